"""Did a plan do what it was to do, and was it missed?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from jwt_lp.errors import PolicyError
from jwt_lp.review.plan.plan_journal import read_status
from jwt_lp.review.plan.planned_revocations import PlannedRevocation, PlannedRevocations
from jwt_lp.review.plan.preview import ENTRY_ID_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from jwt_lp.review.plan.frozen_plan import Plan, PlanItem
    from jwt_lp.review.plan.plan_journal import ApplyIntent
    from jwt_lp.stores import Store, StoredRevocation

SETTLE_SECONDS: Final = 60.0
"""Seconds after which every service knows of an entry, or refuses."""


@dataclass(slots=True)
class ItemOutcome:
    """What became of one item. Times are seconds since the epoch, 0 for never; `again` is a day, "" for none.

    `used` and `refused` count requests since; of the day on which it was applied only its last one. What was refused of
    a role's grant is what may have been: a refusal names no role. `lifted_by` is "" where it was not undone by a
    command that says so.
    """

    item: PlanItem
    revoked_at: float
    lifted_at: float = 0.0
    lifted_by: str = ""
    used: int = 0
    refused: int = 0
    held_again: str = ""

    @property
    def is_effective(self) -> bool:
        """Whether it is gone, and stayed so."""
        return not self.used and not self.held_again


def verify(plan: Plan, journal: Path, store: Store, *, settle: float = SETTLE_SECONDS) -> tuple[ItemOutcome, ...]:
    """What became of each item that was applied. `PolicyError` for a plan that was not.

    Use in the first `settle` seconds does not count, nor does use after the item was lifted.
    """
    before = read_status(journal)
    intent = before.intent
    if intent is None or intent.plan != plan.hash:
        raise PolicyError("the plan was not applied: there is no journal of it")
    recorded = {each.entry.id: each for each in store.revocations(lifted=True)}
    items = {item.id: item for item in plan.items}
    found = {each: ItemOutcome(items[each], intent.at) for each in intent.items if each in items}
    for item, entry in intent.wrote:
        known = recorded.get(entry)
        if known is not None and item in found:
            _note_entry(found[item], known)
    if before.state == "undone":
        for each in found.values():
            each.lifted_at, each.lifted_by = each.lifted_at or before.at, before.by
    _count_use(found, _written_revocations(intent, items), intent.at + settle, store)
    _note_held_again(found, _day(intent.at), store)
    return tuple(found.values())


def plan_entries(store: Store) -> Iterator[StoredRevocation]:
    """The entries that plans wrote and that stand, in order: what is refused of them since is regret."""
    return (each for each in store.revocations() if each.entry.id.startswith(ENTRY_ID_PREFIX))


def _note_entry(outcome: ItemOutcome, known: StoredRevocation) -> None:
    outcome.revoked_at = known.at
    outcome.lifted_at = max(outcome.lifted_at, known.lifted_at or 0.0)


def _written_revocations(intent: ApplyIntent, items: Mapping[str, PlanItem]) -> PlannedRevocations:
    entries = {entry.id: entry for entry in intent.entries}
    pairs = ((items[item], entries[entry]) for item, entry in intent.wrote if item in items)
    # An entry per issuer says the same of a role.
    return PlannedRevocations(
        dict.fromkeys(PlannedRevocation(item, entry.pattern, entry.keep) for item, entry in pairs)
    )


def _count_use(found: Mapping[str, ItemOutcome], takings: PlannedRevocations, start: float, store: Store) -> None:
    if not takings:
        return
    first = _day(start)
    for row in store.usage(since=first, subject=takings.subject):
        if row.last <= start:
            continue
        about = takings.matching if row.use.outcome == "granted" else takings.possibly_matching
        if row.use.outcome not in ("granted", "revoked"):
            continue
        # How many of the first day's came later nobody knows: the last one did.
        times = 1 if row.use.day <= first else row.count
        for each in {taking.item.id for taking in about(row.use)}:
            outcome = found[each]
            if outcome.lifted_at and row.last > outcome.lifted_at:
                continue
            if row.use.outcome == "granted":
                outcome.used += times
            else:
                outcome.refused += times


def _note_held_again(found: Mapping[str, ItemOutcome], day: str, store: Store) -> None:
    """Note the last day after `day` on which a token or an import had what was revoked."""
    holding: dict[tuple[str, str, str, str, str], list[ItemOutcome]] = {}
    for each in found.values():
        item = each.item
        issuer, name = ("", "") if item.of == "role" else (item.issuer, item.name)
        role = "" if item.of == "client" else item.role or (item.name if item.of == "role" else "")
        holding.setdefault((item.of, issuer, name, role, item.grant), []).append(each)

    def see(issuer: str, subject: str, client: str, role: str, grant: str, last: str) -> None:
        keys = [("subject", issuer, subject, role, grant), ("subject", issuer, subject, role, "")]
        keys += [("client", issuer, client, "", grant), ("role", "", "", role, grant)]
        for key in dict.fromkeys(keys):
            for outcome in holding.get(key, ()):
                if not (outcome.lifted_at and _day(outcome.lifted_at) <= last):
                    outcome.held_again = max(outcome.held_again, last)

    for seen in store.observed_grants():
        if seen.last_day > day:
            see(seen.issuer, seen.subject, seen.client, seen.role, seen.grant, seen.last_day)
    for row in store.held_grants():
        if row.as_of > day:
            see(row.held.issuer, row.held.subject, row.held.client, row.held.role, row.held.grant, row.as_of)


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()
