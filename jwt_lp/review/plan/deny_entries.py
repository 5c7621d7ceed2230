"""Deny entries of a plan: the patterns that its items revoke, and their entries for each issuer."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from jwt_lp.errors import PolicyError
from jwt_lp.permissions.grants import Permissions
from jwt_lp.review.findings import USED_THROUGH_ANOTHER
from jwt_lp.review.pattern_overlap import overlap
from jwt_lp.review.plan.planned_revocations import PlannedRevocation
from jwt_lp.review.plan.role_edits import plan_role_edits
from jwt_lp.revocation.entries import RevocationEntry

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

    from jwt_lp.policy.file import Policy
    from jwt_lp.review.plan.frozen_plan import Plan, PlanItem
    from jwt_lp.review.plan.plan_journal import PlanStatus
    from jwt_lp.review.plan.role_edits import RoleEdits
    from jwt_lp.stores import Store

ENTRY_ID_PREFIX: Final = "plan-"
"""The prefix of the ids of deny entries that plans write."""

_MAX_REASON: Final = 1000
_SHOWN_HASH: Final = 12


class ItemRevocations:
    """What the items of a plan revoke, with `policy` and its text, as of the day `today`."""

    def __init__(self, plan: Plan, rules: Policy | None, policy: str | None, today: str) -> None:
        self._plan: Final = plan
        self._rules: Final = rules
        self._policy: Final = policy
        self._today: Final = today
        self._siblings: Final = _by_holder(plan.items)

    def without(self, dropped: dict[str, str]) -> tuple[list[PlanItem], RoleEdits, list[PlannedRevocation]]:
        """The items that stay, the edits of roles, and the revocations, if the items with ids in `dropped` are left out.

        `dropped` gets the reasons against further items: those that cannot be removed from a role.
        """
        items = [item for item in self._plan.items if item.revokes and item.id not in dropped]
        going = {item.id for item in items}
        kept_grants = {
            (item.name, item.grant) for item in self._plan.items if item.of == "role" and item.id not in going
        }
        role_items = (item for item in items if item.of == "role")
        role_edits = plan_role_edits(role_items, self._policy, dropped, kept_grants)
        items = [item for item in items if item.id not in dropped]
        going = {item.id for item in items}
        revocations = [
            revocation
            for item in items
            for revocation in _revocations_for(
                item, self._siblings[_holder(item)], going, self._rules, role_edits, self._today
            )
        ]
        return items, role_edits, revocations


def _revocations_for(
    item: PlanItem,
    siblings: Iterable[PlanItem],
    going: Container[str],
    rules: Policy | None,
    role_edits: RoleEdits,
    today: str,
) -> Iterator[PlannedRevocation]:
    """The patterns to deny so that live tokens lose the grant too.

    `siblings` are all the items of the holder, `going` the ids of those that are applied.
    """
    if item.of == "role":
        yield from _skip_empty(PlannedRevocation(item, item.grant, role_edits.keep(item.name, item.grant)))
        return
    kept = list(item.instead)
    for other in siblings:
        if other.id == item.id:
            continue
        # The membership decides about the row of a role's grant, unless another grant serves the same use.
        decided_by_item = not item.grant and item.role == other.role and USED_THROUGH_ANOTHER not in other.guards
        stays = (other.action == "keep" and not decided_by_item) or (other.action == "exempt" and other.until >= today)
        # INVARIANT: a deny entry refuses a use through any grant, so it names the grants that are kept.
        if other.id in going:
            kept += other.instead
        elif other.grant and (stays or other.revokes):
            kept.append(other.grant)
    patterns: Iterable[str] = (item.grant,)
    if not item.grant:
        role = rules.roles.get(item.role) if rules is not None else None
        patterns = [grant.text for grant in role.grants] if role is not None else ()
    for pattern in patterns:
        exceptions = tuple(dict.fromkeys(grant for grant in kept if overlap(grant, pattern)))
        yield from _skip_empty(PlannedRevocation(item, pattern, exceptions))


def _skip_empty(revocation: PlannedRevocation) -> Iterator[PlannedRevocation]:
    """The revocation, unless what it keeps covers all of it."""
    if Permissions.of(revocation.keep, patterns=True).find_containing(revocation.pattern) is None:
        yield revocation


def deny_entries(
    plan: Plan, revocations: Iterable[PlannedRevocation], store: Store, attempt: int
) -> Iterator[tuple[PlanItem, RevocationEntry]]:
    """The deny entries of the revocations, each with its item.

    The same revocation by the same attempt gives the same entry, so that it is written once.
    """
    issuers, plan_hash = store.issuers(), plan.hash
    for item, pattern, keep in revocations:
        reviewer = f" ({item.reviewer})" if item.reviewer else ""
        reason = f"{_reason_start(plan_hash)}{item.comment or 'not needed'}{reviewer}"[:_MAX_REASON]
        # What a review takes back can be had again by an elevation, for a bounded time; but not by somebody who has left.
        entry = RevocationEntry(
            id="",
            of=item.of,
            issuer=item.issuer,
            name=item.name,
            pattern=pattern,
            keep=keep,
            reason=reason,
            standing=not item.leaver,
        )
        # All issuers share the roles of the policy, but a deny entry is about one issuer.
        entry_issuers = dict.fromkeys((item.issuer, *issuers)) if item.of == "role" else (item.issuer,)
        for issuer in filter(None, entry_issuers):
            identity = "\0".join((plan_hash, str(attempt), item.id, item.of, issuer, item.name, pattern, *keep))
            yield (
                item,
                replace(entry, id=f"{ENTRY_ID_PREFIX}{sha256(identity.encode()).hexdigest()[:20]}", issuer=issuer),
            )


def entries_in_force(store: Store, plan_hash: str) -> Iterator[str]:
    """The ids of the entries in force that a plan wrote, whatever its journal says of them."""
    start = _reason_start(plan_hash)
    for row in store.revocations():
        if row.entry.id.startswith(ENTRY_ID_PREFIX) and row.entry.reason.startswith(start):
            yield row.entry.id


def check_store(status: PlanStatus, store: Store) -> None:
    """`PolicyError` where the plan's entries are not in this store, so that it is not the one they were written to."""
    written = {entry.id for entry in status.intent.entries} if status.intent is not None else frozenset[str]()
    # An interrupted application may have written none.
    if status.state not in ("applied", "undoing") or not written:
        return
    if written.isdisjoint(row.entry.id for row in store.revocations(lifted=True)):
        raise PolicyError(
            "the store has none of the deny entries of this plan: pass --store with the one that the plan was applied to"
        )


def _reason_start(plan_hash: str) -> str:
    return f"plan {plan_hash[:_SHOWN_HASH]}: "


def _holder(item: PlanItem) -> tuple[str, str, str]:
    return item.of, item.issuer, item.name


def _by_holder(items: Iterable[PlanItem]) -> Mapping[tuple[str, str, str], Sequence[PlanItem]]:
    found: dict[tuple[str, str, str], list[PlanItem]] = {}
    for item in items:
        found.setdefault(_holder(item), []).append(item)
    return found
