"""Preview of a plan: what it would change now.

Nothing is written. Items are dropped, each with its reason, if their grant was used since the review, is exempt, or if
they would revoke more than was decided.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from jwt_lp.errors import PolicyError
from jwt_lp.permissions.grants import Permissions
from jwt_lp.review.pattern_overlap import overlap
from jwt_lp.review.plan.planned_revocations import PlannedRevocation, PlannedRevocations, used_since
from jwt_lp.review.plan.policy_editor import edit_policy, parse_policy
from jwt_lp.review.plan.role_edits import RoleEdits, plan_role_edits
from jwt_lp.revocation.entries import RevocationEntry

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

    from jwt_lp.policy.file import Policy
    from jwt_lp.review.plan.frozen_plan import Plan, PlanItem
    from jwt_lp.stores import Store

ENTRY_ID_PREFIX: Final = "plan-"
"""The prefix of the ids of deny entries that plans write."""

DEFAULT_CAP_SHARE: Final = 0.25
MIN_CAP: Final = 5
_PSEUDONYM: Final = re.compile(r"h:[A-Za-z0-9_-]{22}")
_MAX_REASON: Final = 1000


class DroppedItem(NamedTuple):
    """An item that is not applied, and the reason."""

    item: PlanItem
    reason: str


class Handoff(NamedTuple):
    """A grant that its issuer must revoke too; otherwise the next token has it again."""

    item: str
    of: str
    issuer: str
    name: str
    role: str
    grant: str
    instead: tuple[str, ...]
    reviewer: str
    comment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanPreview:
    """The changes of a plan. `policy` is a unified diff, `after` the policy's new text (None without an edit).

    `touches` is the highest number of grants that holders lose, `cap` the limit for it. `wrote` has the ids of each
    item and its entry.
    """

    items: tuple[PlanItem, ...]
    dropped: tuple[DroppedItem, ...]
    policy: tuple[str, ...]
    after: str | None
    entries: tuple[RevocationEntry, ...]
    wrote: tuple[tuple[str, str], ...]
    handoffs: tuple[Handoff, ...]
    touches: int
    cap: int
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.items)


def preview(
    plan: Plan,
    store: Store,
    policy: str | None,
    *,
    now: float,
    cap: int | None = None,
    even_last_holder: bool = False,
    attempt: int = 0,
    name: str = "least-privilege.toml",
) -> PlanPreview:
    """What the plan would change, given the policy file's text `policy` (None without a policy file).

    `PolicyError` where the policy is not the one that was reviewed, and where more grants would be revoked than the cap
    allows. The cap is checked before the store is read, so items that turn out to be used count too.
    """
    rules = None if policy is None else parse_policy(policy)
    _check_policy(plan, rules, name)
    limit = _cap(plan, cap)
    today = datetime.fromtimestamp(now, UTC).date().isoformat()
    siblings, dropped = _by_holder(plan.items), _initially_dropped(plan, today, even_last_holder=even_last_holder)
    while True:
        items = [item for item in plan.items if item.revokes and item.id not in dropped]
        going = {item.id for item in items}
        kept_grants = {(item.name, item.grant) for item in plan.items if item.of == "role" and item.id not in going}
        role_edits = plan_role_edits((item for item in items if item.of == "role"), policy, dropped, kept_grants)
        items = [item for item in items if item.id not in dropped]
        _check_cap(items, limit)
        going = {item.id for item in items}
        revocations = [
            revocation
            for item in items
            for revocation in _revocations_for(item, siblings[_holder(item)], going, rules, role_edits, today)
        ]
        indexed = PlannedRevocations(revocations)
        later = store.later_uses(indexed.holders(), at=plan.origin.made_at)
        used = used_since(later, indexed, items, plan.origin.made_at)
        if not used:
            break
        # Another item may have depended on a dropped one, so all are checked again.
        dropped.update(used)
    after = edit_policy(policy, role_edits.edits) if policy is not None and role_edits.edits else None
    written = [*_entries(plan, revocations, store, attempt)]
    by_id = {item.id: item for item in plan.items}
    return PlanPreview(
        items=tuple(items),
        dropped=tuple(DroppedItem(item, dropped[id_]) for id_, item in by_id.items() if id_ in dropped),
        policy=tuple(_diff(policy or "", after or policy or "", name)),
        after=after,
        entries=tuple(entry for _, entry in written),
        wrote=tuple((item.id, entry.id) for item, entry in written),
        handoffs=tuple(_handoff(item) for item in items if item.of != "role"),
        touches=sum(item.touches for item in items),
        cap=limit,
        notes=tuple(_expired_exemptions(plan, today)),
    )


def _cap(plan: Plan, cap: int | None) -> int:
    default = max(MIN_CAP, int(DEFAULT_CAP_SHARE * plan.origin.grants))
    return next(limit for limit in (cap, plan.cap, default) if limit is not None)


def _check_cap(items: Iterable[PlanItem], cap: int) -> None:
    touches = sum(item.touches for item in items)
    if touches > cap:
        raise PolicyError(
            f"{touches:,} grants would be revoked, but the limit is {cap:,}: apply fewer, or pass --cap {touches}"
        )


def _holder(item: PlanItem) -> tuple[str, str, str]:
    return item.of, item.issuer, item.name


def _by_holder(items: Iterable[PlanItem]) -> Mapping[tuple[str, str, str], Sequence[PlanItem]]:
    found: dict[tuple[str, str, str], list[PlanItem]] = {}
    for item in items:
        found.setdefault(_holder(item), []).append(item)
    return found


def _check_policy(plan: Plan, rules: Policy | None, name: str) -> None:
    changes = [item for item in plan.items if item.revokes]
    if not (changes and plan.origin.policy) or (rules is None and not any(item.of == "role" for item in changes)):
        return
    # INVARIANT: decisions about one policy are not applied to another.
    if rules is None:
        raise PolicyError(
            f"the plan edits the policy that was reviewed: pass --policy FILE (it was {plan.origin.path})"
        )
    if rules.digest != plan.origin.policy:
        raise PolicyError(
            f"{name} has changed since the review (digest {rules.digest[:12]}, reviewed: {plan.origin.policy[:12]}): "
            "review it again"
        )


def _initially_dropped(plan: Plan, today: str, *, even_last_holder: bool) -> dict[str, str]:
    """The reasons to drop items, apart from use since the review, by their ids."""
    exempt: dict[str, list[PlanItem]] = {}
    for item in plan.items:
        if item.action == "exempt" and item.until >= today:
            exempt.setdefault(item.role, []).append(item)
    return {
        item.id: reason
        for item in plan.items
        if (reason := _drop_reason(item, plan, exempt, even_last_holder=even_last_holder))
    }


def _drop_reason(
    item: PlanItem, plan: Plan, exempt: Mapping[str, Sequence[PlanItem]], *, even_last_holder: bool
) -> str:
    """The reason to drop an item, apart from use since the review; "" without one."""
    if not item.revokes:
        return ""
    if item.last_holder and plan.origin.source == "tokens" and not even_last_holder:
        return (
            "no other holder was seen, and holders are known from tokens only: pass --even-last-holder to revoke it "
            "anyway"
        )
    if item.of == "subject" and not item.name:
        return "the store records no subjects (SUBJECTS), so no deny entry can name this one"
    if item.of == "subject" and _PSEUDONYM.fullmatch(item.name):
        return (
            "the store records subjects as keyed hashes (SUBJECTS), but a deny entry needs the name that tokens carry"
        )
    for other in exempt.get(item.name, ()) if item.of == "role" else ():
        if _overlap(other, item):
            return f"{other.of} {other.name} is exempt until {other.until} and has it through the role"
    return ""


def _overlap(one: PlanItem, other: PlanItem) -> bool:
    return not (one.grant and other.grant) or overlap(one.grant, other.grant)


def _expired_exemptions(plan: Plan, today: str) -> Iterator[str]:
    for item in plan.items:
        if item.action == "exempt" and item.until < today:
            yield f"the exemption of {item} ended on {item.until}: decide again"


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
        stays = other.action == "keep" or (other.action == "exempt" and other.until >= today)
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


def _entries(
    plan: Plan, revocations: Iterable[PlannedRevocation], store: Store, attempt: int
) -> Iterator[tuple[PlanItem, RevocationEntry]]:
    issuers, plan_hash = store.issuers(), plan.hash
    for item, pattern, keep in revocations:
        reviewer = f" ({item.reviewer})" if item.reviewer else ""
        reason = f"plan {plan_hash[:12]}: {item.comment or 'not needed'}{reviewer}"[:_MAX_REASON]
        entry = RevocationEntry(
            id="", of=item.of, issuer=item.issuer, name=item.name, pattern=pattern, keep=keep, reason=reason
        )
        # All issuers share the roles of the policy, but a deny entry is about one issuer.
        entry_issuers = dict.fromkeys((item.issuer, *issuers)) if item.of == "role" else (item.issuer,)
        for issuer in filter(None, entry_issuers):
            identity = "\0".join((plan_hash, str(attempt), item.id, item.of, issuer, item.name, pattern))
            yield (
                item,
                replace(entry, id=f"{ENTRY_ID_PREFIX}{sha256(identity.encode()).hexdigest()[:20]}", issuer=issuer),
            )


def _handoff(item: PlanItem) -> Handoff:
    values: dict[str, Any] = {name: getattr(item, name) for name in Handoff._fields if name != "item"}
    return Handoff(item.id, **values)


def _diff(before: str, after: str, name: str) -> Iterator[str]:
    return difflib.unified_diff(before.splitlines(), after.splitlines(), name, name, lineterm="")
