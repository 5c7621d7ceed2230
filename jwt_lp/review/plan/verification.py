"""Verification of an applied plan: use, refusals and renewed grants since."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from jwt_lp.errors import PolicyError
from jwt_lp.permissions.patterns import is_elevation
from jwt_lp.review.plan.deny_entries import ENTRY_ID_PREFIX
from jwt_lp.review.plan.plan_journal import read_status
from jwt_lp.review.plan.planned_revocations import PlannedRevocation, PlannedRevocations

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from jwt_lp.review.plan.frozen_plan import Plan, PlanItem
    from jwt_lp.review.plan.plan_journal import ApplyIntent
    from jwt_lp.stores import Store, StoredRevocation

SETTLE_SECONDS: Final = 60.0
"""Seconds after which every service applies a new deny entry, or refuses."""


@dataclass(slots=True)
class ItemOutcome:
    """The outcome of one item. Times are seconds since the epoch, 0 for never; `held_again` is a day, "" for none.

    `used` and `refused` count the requests since; of the day of the application, at most one is counted. Refusals for a
    role's grant are an upper bound, because a refusal names no role. `lifted_by` is "" unless the plan was undone or the
    item was restored during the trial; `is_regret` says that
    it was restored, `reason` why.
    """

    item: PlanItem
    revoked_at: float
    lifted_at: float = 0.0
    lifted_by: str = ""
    used: int = 0
    refused: int = 0
    held_again: str = ""
    is_regret: bool = False
    reason: str = ""

    @property
    def is_effective(self) -> bool:
        """Whether the grant was not used and not granted again since."""
        return not self.used and not self.held_again


def verify(plan: Plan, journal: Path, store: Store, *, settle: float = SETTLE_SECONDS) -> tuple[ItemOutcome, ...]:
    """The outcome of each applied item. `PolicyError` for a plan that was not applied.

    Use in the first `settle` seconds does not count, nor does use by an elevation, or after the item was lifted.
    """
    status = read_status(journal)
    intent = status.intent
    if status.state == "noticed":
        raise PolicyError("the plan was not applied: its notice lasts, and nothing is denied yet")
    if intent is None or intent.plan != plan.hash:
        raise PolicyError("the plan was not applied: there is no journal of it")
    stored = {row.entry.id: row for row in store.revocations(lifted=True)}
    items = {item.id: item for item in plan.items}
    applied = dict.fromkeys((*intent.items, *(restored.id for restored in status.restored)))
    outcomes = {item: ItemOutcome(items[item], intent.since) for item in applied if item in items}
    for item, entry in intent.wrote:
        row = stored.get(entry)
        if row is not None and item in outcomes:
            _note_entry(outcomes[item], row)
    for restored in status.restored:
        outcome = outcomes[restored.id]
        outcome.lifted_at, outcome.lifted_by = restored.at, restored.by
        outcome.is_regret, outcome.reason = True, restored.reason
    if status.state == "undone":
        for outcome in outcomes.values():
            outcome.lifted_at, outcome.lifted_by = outcome.lifted_at or status.at, status.by
    _count_use(outcomes, _written_revocations(intent, items), intent.since + settle, store)
    _note_held_again(outcomes, _day(intent.since), store)
    return tuple(outcomes.values())


def plan_entries(store: Store) -> Iterator[StoredRevocation]:
    """The entries in force that plans wrote, in order; later refusals by them are regrets."""
    return (row for row in store.revocations() if row.entry.id.startswith(ENTRY_ID_PREFIX))


def _note_entry(outcome: ItemOutcome, row: StoredRevocation) -> None:
    outcome.revoked_at = row.at
    outcome.lifted_at = max(outcome.lifted_at, row.lifted_at or 0.0)


def _written_revocations(intent: ApplyIntent, items: Mapping[str, PlanItem]) -> PlannedRevocations:
    entries = {entry.id: entry for entry in intent.entries}
    pairs = ((items[item], entries[entry]) for item, entry in intent.wrote if item in items)
    # The entries for a role, one per issuer, are the same revocation.
    return PlannedRevocations(
        dict.fromkeys(PlannedRevocation(item, entry.pattern, entry.keep) for item, entry in pairs)
    )


def _count_use(
    outcomes: Mapping[str, ItemOutcome], revocations: PlannedRevocations, start: float, store: Store
) -> None:
    if not revocations:
        return
    first = _day(start)
    for row in store.usage(since=first, subject=revocations.subject):
        if row.last <= start:
            continue
        matches = revocations.matching if row.use.outcome == "granted" else revocations.possibly_matching
        if row.use.outcome not in ("granted", "revoked") or is_elevation(row.use.role):
            continue
        # Of the first day's requests, only the last one is known to be later than the start.
        times = 1 if row.use.day <= first else row.count
        for item in {revocation.item.id for revocation in matches(row.use)}:
            outcome = outcomes[item]
            if outcome.lifted_at and row.last > outcome.lifted_at:
                continue
            if row.use.outcome == "granted":
                outcome.used += times
            else:
                outcome.refused += times


def _note_held_again(outcomes: Mapping[str, ItemOutcome], day: str, store: Store) -> None:
    """Note the last day after `day` on which a token or an import had the revoked grant."""
    by_grant: dict[tuple[str, str, str, str, str], list[ItemOutcome]] = {}
    for outcome in outcomes.values():
        item = outcome.item
        issuer, name = ("", "") if item.of == "role" else (item.issuer, item.name)
        role = "" if item.of == "client" else item.role or (item.name if item.of == "role" else "")
        by_grant.setdefault((item.of, issuer, name, role, item.grant), []).append(outcome)

    def note(issuer: str, subject: str, client: str, role: str, grant: str, last: str) -> None:
        keys = [("subject", issuer, subject, role, grant), ("subject", issuer, subject, role, "")]
        keys += [("client", issuer, client, "", grant), ("role", "", "", role, grant)]
        for key in dict.fromkeys(keys):
            for outcome in by_grant.get(key, ()):
                if not (outcome.lifted_at and _day(outcome.lifted_at) <= last):
                    outcome.held_again = max(outcome.held_again, last)

    for seen in store.observed_grants():
        if seen.last_day > day and not is_elevation(seen.role):
            note(seen.issuer, seen.subject, seen.client, seen.role, seen.grant, seen.last_day)
    for row in store.held_grants():
        if row.as_of > day:
            note(row.held.issuer, row.held.subject, row.held.client, row.held.role, row.held.grant, row.as_of)


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()
