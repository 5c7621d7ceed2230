"""Application and undo of a plan.

The order is: the journal's intent, the deny entries in one transaction, the policy file by one rename, the journal's
end. If this is interrupted, applying again finishes it and writes nothing twice, and undoing reverts what was done.
Locks on the store, the policy file and the plan let only one process at a time apply or undo.
"""

from __future__ import annotations

import difflib
import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jwt_lp._support.file_lock import hold_lock, lock_path
from jwt_lp._support.validation import quote_text
from jwt_lp.errors import PolicyError
from jwt_lp.review.plan.deny_entries import check_store, entries_in_force
from jwt_lp.review.plan.plan_journal import (
    ApplyIntent,
    PlanStatus,
    append_entry,
    append_intent,
    read_status,
)
from jwt_lp.review.plan.plan_preview import PlanPreview, preview
from jwt_lp.review.plan.plan_stages import NOTICE, TRIAL
from jwt_lp.review.plan.policy_editor import read_bytes, write_atomically

if TYPE_CHECKING:
    from collections.abc import Generator

    from jwt_lp.review.plan.frozen_plan import Plan
    from jwt_lp.stores import Store

WAIT: Final = 10.0
"""Seconds to wait for another process that applies or undoes a plan."""


class PolicyFileChanged(PolicyError):
    """The policy file was changed by somebody else; `lines` are the pending edit as a unified diff."""

    def __init__(self, message: str, lines: tuple[str, ...]) -> None:
        super().__init__(message)
        self.lines: tuple[str, ...] = lines


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyResult:
    """The result of applying: the number of entries written, the store's sequence, and whether the policy was edited.

    `stage` is the stage that began, "" for a plan without stages.
    `resumed` says that an interrupted application was finished; `difference` is the preview, None if resumed.
    """

    entries: int
    sequence: int
    policy: bool
    resumed: bool
    difference: PlanPreview | None
    stage: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoResult:
    """The result of undoing: the lifted entries, the store's sequence, and the policy's path where it was restored.

    `gone` are entries that somebody had lifted before.
    """

    lifted: tuple[str, ...]
    gone: tuple[str, ...]
    sequence: int
    path: str


def apply(  # noqa: PLR0913 - what to apply and where to, and the rest by name
    plan: Plan,
    store: Store,
    policy_path: str | os.PathLike[str] | None,
    *,
    journal: Path,
    now: float,
    by: str,
    cap: int | None = None,
    even_last_holder: bool = False,
    confirmed: int | None = None,
) -> ApplyResult:
    """Apply the plan, except the items that `preview` drops, and record it in the journal.

    `cap` replaces the plan's own limit on revoked grants. `confirmed` is the number of grants that somebody saw in the
    preview and confirmed; more are not revoked. `PolicyError` where the policy has changed, where more grants
    would be revoked, for a plan that was applied already, and where another process still applies or undoes a plan
    after `WAIT` seconds; nothing is changed then. A plan with stages begins the one that is due, and `PolicyError` says
    when it is not due yet; its notice is given by `give_notice`.
    """
    with lock_plan(store, journal):
        before = check_status(plan, journal)
        check_store(before, store)
        intent, changes = before.intent if before.state == "begun" else None, None
        with _lock_policy(_edited_policy(plan, policy_path, intent)):
            if intent is None:
                data, changes = preview_now(
                    plan, store, policy_path, now=now, cap=cap, even_last_holder=even_last_holder, status=before
                )
                check_preview(changes, confirmed)
                if changes.stage == NOTICE:
                    raise PolicyError("the plan begins with a notice: give it first")
                path = "" if policy_path is None else str(Path(policy_path).absolute())
                intent = _new_intent(plan, changes, before, path, data, now=now, by=by)
                append_intent(journal, intent)
            return _write_rest(intent, store, journal, now=now, by=by, difference=changes)


def preview_now(
    plan: Plan, store: Store, policy_path: str | os.PathLike[str] | None, **options: Any
) -> tuple[bytes | None, PlanPreview]:
    """The policy file's bytes, and the preview of the plan with them; `options` are those of `preview`."""
    data = None if policy_path is None else read_bytes(policy_path)
    name = "" if policy_path is None else os.fspath(policy_path)
    return data, preview(plan, store, None if data is None else _decode_policy(data), name=name, **options)


def _new_intent(
    plan: Plan, changes: PlanPreview, before: PlanStatus, path: str, data: bytes | None, *, now: float, by: str
) -> ApplyIntent:
    trial = before.intent if before.state == "applied" else None
    return ApplyIntent(
        at=now,
        by=by,
        plan=plan.hash,
        path=path,
        before=None if changes.after is None else data,
        after=None if changes.after is None else changes.after.encode(),
        entries=changes.entries,
        wrote=changes.wrote,
        items=tuple(item.id for item in changes.items),
        dropped=tuple((dropped.item.id, dropped.reason) for dropped in changes.dropped),
        stage=changes.stage,
        since=now if trial is None else trial.since,
    )


@contextmanager
def lock_plan(store: Store, journal: Path) -> Generator[None]:
    """Lock the store and the plan against other processes that apply or undo."""
    with store.exclusive("what plans revoke", wait=WAIT), hold_lock(lock_path(journal), os.fspath(journal), wait=WAIT):
        yield


@contextmanager
def _lock_policy(policy_path: str | os.PathLike[str] | None) -> Generator[None]:
    """Lock the policy file against other processes that edit it, whichever store they use."""
    if policy_path is None:
        yield
        return
    with hold_lock(lock_path(policy_path), os.fspath(policy_path), wait=WAIT):
        yield


def _edited_policy(
    plan: Plan, policy_path: str | os.PathLike[str] | None, begun: ApplyIntent | None
) -> str | os.PathLike[str] | None:
    """The policy file if it is edited; a file that is only read needs no lock and may be in a read-only folder."""
    if begun is not None:
        return begun.path if begun.after is not None else None
    return policy_path if any(item.revokes and item.of == "role" for item in plan.items) else None


def check_status(plan: Plan, journal: Path) -> PlanStatus:
    """The state of the plan by its journal; `PolicyError` where the plan cannot be applied."""
    status = read_status(journal)
    if status.intent is not None and status.intent.plan != plan.hash:
        raise PolicyError(f"{quote_text(str(journal))} belongs to another plan: was the plan file overwritten?")
    if status.state == "undoing" or (status.state == "applied" and not in_trial(status)):
        state = "applied already" if status.state == "applied" else "undone only in part"
        raise PolicyError(f"the plan was {state}: undo it first")
    return status


def in_trial(status: PlanStatus) -> bool:
    """Whether the trial of a plan has begun, and nothing after it."""
    return status.state == "applied" and status.intent is not None and status.intent.stage == TRIAL


def check_preview(changes: PlanPreview, confirmed: int | None = None) -> None:
    """`PolicyError` where no item is left, and where more grants would be revoked than were confirmed."""
    if not changes.items:
        raise PolicyError("no item of the plan is left to apply")
    if confirmed is not None and changes.touches > confirmed:
        raise PolicyError(
            f"{changes.touches:,} grants would be revoked now, but {confirmed:,} were confirmed: look at the plan again"
        )


def undo(journal: Path, store: Store, *, now: float, by: str, policy: bool = True) -> UndoResult:
    """Lift the entries that were written, and restore the policy file's bytes.

    Without `policy` the file is left alone. `PolicyError` where there is nothing to undo, and where another process
    still applies or undoes a plan after `WAIT` seconds; `PolicyFileChanged` where somebody else changed the file.
    Nothing is changed then.
    """
    with lock_plan(store, journal):
        intent = prepare_undo(journal, policy=False)
        check_store(read_status(journal), store)
        with _lock_policy(intent.path if policy and intent.before is not None else None):
            return _undo(prepare_undo(journal, policy=policy), store, journal, now=now, by=by, policy=policy)


def _undo(intent: ApplyIntent, store: Store, journal: Path, *, now: float, by: str, policy: bool) -> UndoResult:
    in_force = {row.entry.id for row in store.revocations()}
    # An interrupted stage or restoration may have left entries of which the journal says nothing any more.
    ours = dict.fromkeys((*(entry.id for entry in intent.entries), *entries_in_force(store, intent.plan)))
    append_entry(journal, "undoing", at=now, by=by)
    restored = ""
    if policy and intent.before is not None and read_bytes(intent.path) != intent.before:
        write_atomically(intent.path, intent.before, policy=True, still=lambda: _check_unchanged(intent, undoing=True))
        restored = intent.path
    lifted = tuple(entry for entry in ours if entry in in_force)
    sequence = store.lift(lifted, at=now)
    gone = tuple(entry for entry in ours if entry not in in_force)
    append_entry(journal, "undone", at=now, by=by, sequence=sequence, lifted=lifted, gone=gone)
    return UndoResult(lifted=lifted, gone=gone, sequence=sequence, path=restored)


def prepare_undo(journal: Path, *, policy: bool = True) -> ApplyIntent:
    """What undoing would revert; raises what `undo` does and changes nothing."""
    status = read_status(journal)
    intent = status.intent
    if intent is None or status.state in ("undone", "noticed"):
        raise PolicyError(f"{quote_text(str(journal))}: there is no applied plan to undo")
    if policy:
        _check_unchanged(intent, undoing=True)
    return intent


def _check_unchanged(intent: ApplyIntent, *, undoing: bool) -> bytes | None:
    """The policy file's bytes, None if the intent has no edit; `PolicyFileChanged` if somebody else changed it."""
    if intent.before is None or intent.after is None:
        return None
    data = read_bytes(intent.path)
    # INVARIANT: a later edit by somebody else is never overwritten.
    if data in (intent.before, intent.after):
        return data
    if undoing:
        raise PolicyFileChanged(
            f"{quote_text(intent.path)} was changed after the plan was applied: make the edit below by hand, and lift "
            "the entries with --leave-policy",
            _reverse_diff(intent.after, intent.before, intent.path),
        )
    raise PolicyFileChanged(
        f"{quote_text(intent.path)} was changed while the plan was applied: undo the plan",
        _reverse_diff(intent.before, intent.after, intent.path),
    )


def _write_rest(
    intent: ApplyIntent, store: Store, journal: Path, *, now: float, by: str, difference: PlanPreview | None
) -> ApplyResult:
    """Write the entries and the policy edit of an intent that are not written yet."""
    data = _check_unchanged(intent, undoing=False)
    stored = {row.entry.id for row in store.revocations(lifted=True)}
    entries = [entry for entry in intent.entries if entry.id not in stored]
    sequence = store.revoke(entries, at=now, by=by)
    # What the trial wrote and this stage ends or replaces. Only now, so that no grant is free in between.
    kept = {entry.id for entry in intent.entries}
    if stale := [entry for entry in entries_in_force(store, intent.plan) if entry not in kept]:
        sequence = store.lift(stale, at=now)
    edits = intent.after is not None and data != intent.after
    if intent.after is not None and edits:
        write_atomically(intent.path, intent.after, policy=True, still=lambda: _check_unchanged(intent, undoing=False))
    append_entry(journal, "done", at=now, by=by, sequence=sequence)
    return ApplyResult(
        entries=len(entries),
        sequence=sequence,
        policy=edits,
        resumed=difference is None,
        difference=difference,
        stage=intent.stage,
    )


def _decode_policy(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise PolicyError("the policy file is not UTF-8") from None


def _reverse_diff(old: bytes, new: bytes, name: str) -> tuple[str, ...]:
    before, after = (data.decode("utf-8", "replace").splitlines() for data in (old, new))
    return tuple(difflib.unified_diff(before, after, name, name, lineterm=""))
