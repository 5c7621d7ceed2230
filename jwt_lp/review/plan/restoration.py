"""Restoration of one item during the trial of a plan."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING

from jwt_lp._support.validation import quote_text
from jwt_lp.errors import PolicyError
from jwt_lp.permissions.grants import Permissions
from jwt_lp.review.pattern_overlap import overlap
from jwt_lp.review.plan.application import in_trial, lock_plan
from jwt_lp.review.plan.deny_entries import ENTRY_ID_PREFIX, check_store, entries_in_force
from jwt_lp.review.plan.plan_journal import append_entry, read_status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jwt_lp.review.plan.frozen_plan import Plan
    from jwt_lp.review.plan.plan_journal import ApplyIntent, PlanStatus
    from jwt_lp.revocation.entries import RevocationEntry
    from jwt_lp.stores import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreResult:
    """The numbers of lifted entries and of narrower ones that replace some of them, and the store's sequence."""

    lifted: int
    written: int
    sequence: int


def restore(
    plan: Plan, item: str, store: Store, *, journal: Path, now: float, by: str, reason: str = ""
) -> RestoreResult:
    """Give back what the item with this id revoked; entries of its holder's other items do not deny it any more.

    The journal records it as a regret, and the final stage leaves the item out. Restoring it again writes what an
    interruption left out. `PolicyError` unless the plan is in its trial and revoked this item, and where another
    process still applies or undoes a plan after `WAIT` seconds; nothing is changed then.
    """
    with lock_plan(store, journal):
        status = read_status(journal)
        check_store(status, store)
        if item not in {restored.id for restored in status.restored}:
            _record(_trial_intent(plan, item, status, journal), item, journal, now=now, by=by, reason=reason)
        return _write_journal(plan, journal, store, now=now, by=by)


def _trial_intent(plan: Plan, item: str, status: PlanStatus, journal: Path) -> ApplyIntent:
    intent = status.intent
    if intent is None or not in_trial(status):
        raise PolicyError(f"{quote_text(str(journal))}: no trial lasts: jwt-lp undo gives back the whole plan")
    if intent.plan != plan.hash:
        raise PolicyError(f"{quote_text(str(journal))} belongs to another plan: was the plan file overwritten?")
    if item not in intent.items:
        raise PolicyError(f"the trial revokes no item {quote_text(item)}: jwt-lp verify --all lists the items")
    return intent


def _record(intent: ApplyIntent, item: str, journal: Path, *, now: float, by: str, reason: str) -> None:
    own = {entry for owner, entry in intent.wrote if owner == item}
    owners = {entry: owner for owner, entry in intent.wrote}
    lifted = [entry for entry in intent.entries if entry.id in own]
    replaced = [*_overlapping(intent, lifted)]
    written = [entry for _, entry in replaced if entry is not None]
    append_entry(
        journal,
        "restored",
        at=now,
        by=by,
        item=item,
        reason=reason,
        lifted=[*own, *(old.id for old, _ in replaced)],
        entries=[asdict(entry) for entry in written],
        wrote=[(owners[old.id], new.id) for old, new in replaced if new is not None],
    )


def _overlapping(
    intent: ApplyIntent, restored: list[RevocationEntry]
) -> Iterator[tuple[RevocationEntry, RevocationEntry | None]]:
    """Each other entry that denies a part of what is restored, with the one that replaces it: None if nothing is left."""
    given_back: dict[tuple[str, str, str], list[RevocationEntry]] = {}
    for entry in restored:
        given_back.setdefault((entry.of, entry.issuer, entry.name), []).append(entry)
    ids = {entry.id for entry in restored}
    for entry in intent.entries:
        parts = given_back.get((entry.of, entry.issuer, entry.name), ()) if entry.id not in ids else ()
        patterns = [part.pattern for part in parts if overlap(part.pattern, entry.pattern)]
        kept = tuple(dict.fromkeys((*entry.keep, *patterns)))
        if kept == entry.keep:
            continue
        if Permissions.of(kept, patterns=True).find_containing(entry.pattern) is not None:
            yield entry, None
            continue
        identity = "\0".join((entry.id, *kept))
        yield entry, replace(entry, id=f"{ENTRY_ID_PREFIX}{sha256(identity.encode()).hexdigest()[:20]}", keep=kept)


def _write_journal(plan: Plan, journal: Path, store: Store, *, now: float, by: str) -> RestoreResult:
    """Bring the plan's entries in the store to what the journal says."""
    intent = read_status(journal).intent
    assert intent is not None, "a restoration follows an intent"  # noqa: S101 - for the type checker
    wanted = {entry.id: entry for entry in intent.entries}
    stored = {row.entry.id for row in store.revocations(lifted=True)}
    missing = [entry for id_, entry in wanted.items() if id_ not in stored]
    # Narrower entries first, so that nothing else is free in between.
    sequence = store.revoke(missing, at=now, by=by)
    if stale := [id_ for id_ in entries_in_force(store, plan.hash) if id_ not in wanted]:
        sequence = store.lift(stale, at=now)
    return RestoreResult(lifted=len(stale), written=len(missing), sequence=sequence)
