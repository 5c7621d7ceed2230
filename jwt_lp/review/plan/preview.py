"""What would a plan change, here and now?

Nothing is written. What was used since, what is exempt, and what would take more than was decided is left out, each
with its reason.
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
    from collections.abc import Iterable, Iterator, Sequence

    from jwt_lp.policy.file import Policy
    from jwt_lp.review.plan.frozen_plan import Plan, PlanItem
    from jwt_lp.stores import Store

ENTRY_ID_PREFIX: Final = "plan-"
"""How the ids of entries begin that a plan wrote."""

DEFAULT_CAP_SHARE: Final = 0.25
MIN_CAP: Final = 5
_PSEUDONYM: Final = re.compile(r"h:[A-Za-z0-9_-]{22}")
_MAX_REASON: Final = 1000


class DroppedItem(NamedTuple):
    """An item that is left out, and why."""

    item: PlanItem
    reason: str


class Handoff(NamedTuple):
    """What somebody has to revoke where it is granted, or it comes again with the next token."""

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
    """What a plan does. `policy` is a unified diff, `after` the policy's new text (None where it stays as it is).

    `touches` is how many grants of holders go, at most, and `cap` how many may. `wrote` says which entries are whose.
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
    """What the plan would change with the policy file's text `policy`, None where there is none.

    `PolicyError` where the policy is not the one that was reviewed.
    """
    rules = None if policy is None else parse_policy(policy)
    _check_policy(plan, rules, name)
    today = datetime.fromtimestamp(now, UTC).date().isoformat()
    dropped = {
        item.id: reason
        for item in plan.items
        if (reason := _drop_reason(item, plan, today, even_last_holder=even_last_holder))
    }
    while True:
        items = [item for item in plan.items if item.revokes and item.id not in dropped]
        stays = {(item.name, item.grant) for item in plan.items if item.of == "role" and item not in items}
        shrunk = plan_role_edits((item for item in items if item.of == "role"), policy, dropped, stays)
        items = [item for item in items if item.id not in dropped]
        takings = [taking for item in items for taking in _revocations_for(item, plan, items, rules, shrunk, today)]
        indexed = PlannedRevocations(takings)
        rows = store.usage(since=_earliest_last_day(items), subject=indexed.subject) if indexed else ()
        again = used_since(rows, indexed, items, plan.origin.made_at)
        if not again:
            break
        # What is left out may be what another one relied on.
        dropped.update(again)
    after = edit_policy(policy, shrunk.edits) if policy is not None and shrunk.edits else None
    written = [*_entries(plan, takings, store, attempt)]
    reasons = {item.id: item for item in plan.items}
    return PlanPreview(
        items=tuple(items),
        dropped=tuple(DroppedItem(reasons[each], dropped[each]) for each in reasons if each in dropped),
        policy=tuple(_diff(policy or "", after or policy or "", name)),
        after=after,
        entries=tuple(entry for _, entry in written),
        wrote=tuple((item.id, entry.id) for item, entry in written),
        handoffs=tuple(_handoff(item) for item in items if item.of != "role"),
        touches=sum(item.touches for item in items),
        cap=next(
            each
            for each in (cap, plan.cap, max(MIN_CAP, int(DEFAULT_CAP_SHARE * plan.origin.grants)))
            if each is not None
        ),
        notes=tuple(_expired_exemptions(plan, today)),
    )


def _check_policy(plan: Plan, rules: Policy | None, name: str) -> None:
    changes = [item for item in plan.items if item.revokes]
    if not (changes and plan.origin.policy) or (rules is None and not any(item.of == "role" for item in changes)):
        return
    # INVARIANT: what was decided about one policy is not done to another.
    if rules is None:
        raise PolicyError(
            f"the plan edits the policy that was reviewed: pass --policy FILE, that was {plan.origin.path}"
        )
    if rules.digest != plan.origin.policy:
        raise PolicyError(
            f"{name} has changed since the review (digest {rules.digest[:12]}, reviewed was {plan.origin.policy[:12]}): "
            "review it again"
        )


def _drop_reason(item: PlanItem, plan: Plan, today: str, *, even_last_holder: bool) -> str:
    """Why an item may not be applied, whatever was used since; "" where it may."""
    if not item.revokes:
        return ""
    if item.last_holder and plan.origin.source == "tokens" and not even_last_holder:
        return (
            "nobody else was seen to hold it, and who holds it is known from tokens alone: --even-last-holder revokes "
            "it anyway"
        )
    if item.of == "subject" and not item.name:
        return "the store names no subjects (SUBJECTS), so no entry can name this one"
    if item.of == "subject" and _PSEUDONYM.fullmatch(item.name):
        return "the store names subjects by a key (SUBJECTS), and an entry needs the name that tokens carry"
    for other in plan.items:
        exempt = other.action == "exempt" and other.until >= today
        if exempt and item.of == "role" and other.role == item.name and _overlap(other, item):
            return f"{other.of} {other.name} is exempt until {other.until}, and has it through the role"
    return ""


def _overlap(one: PlanItem, other: PlanItem) -> bool:
    return not (one.grant and other.grant) or overlap(one.grant, other.grant)


def _expired_exemptions(plan: Plan, today: str) -> Iterator[str]:
    for item in plan.items:
        if item.action == "exempt" and item.until < today:
            yield f"the exemption of {item} ended on {item.until}: decide it again"


def _revocations_for(
    item: PlanItem, plan: Plan, going: Sequence[PlanItem], rules: Policy | None, shrunk: RoleEdits, today: str
) -> Iterator[PlannedRevocation]:
    """What has to be refused so that it is gone for tokens that are alive."""
    if item.of == "role":
        yield from _skip_empty(PlannedRevocation(item, item.grant, shrunk.keep(item.name, item.grant)))
        return
    kept = list(item.instead)
    ids = {each.id for each in going}
    for other in plan.items:
        if (other.of, other.issuer, other.name) != (item.of, item.issuer, item.name) or other.id == item.id:
            continue
        stays = other.action == "keep" or (other.action == "exempt" and other.until >= today)
        # INVARIANT: an entry refuses whichever way serves, so what was decided to stay is named in it.
        if other.id in ids:
            kept += other.instead
        elif other.grant and (stays or other.revokes):
            kept.append(other.grant)
    patterns: Iterable[str] = (item.grant,)
    if not item.grant:
        role = rules.roles.get(item.role) if rules is not None else None
        patterns = [grant.text for grant in role.grants] if role is not None else ()
    for pattern in patterns:
        mine = tuple(dict.fromkeys(each for each in kept if overlap(each, pattern)))
        yield from _skip_empty(PlannedRevocation(item, pattern, mine))


def _skip_empty(taking: PlannedRevocation) -> Iterator[PlannedRevocation]:
    """None of a taking that would take nothing."""
    if Permissions.of(taking.keep, patterns=True).find_containing(taking.pattern) is None:
        yield taking


def _earliest_last_day(items: Iterable[PlanItem]) -> str | None:
    """From which day on use counts; None where some of it was never used."""
    return min(item.last_day for item in items) or None


def _entries(
    plan: Plan, takings: Iterable[PlannedRevocation], store: Store, attempt: int
) -> Iterator[tuple[PlanItem, RevocationEntry]]:
    issuers = store.issuers()
    for item, pattern, keep in takings:
        said = f"plan {plan.hash[:12]}: {item.comment or 'not needed'}{f' ({item.reviewer})' if item.reviewer else ''}"
        entry = RevocationEntry(
            id="", of=item.of, issuer=item.issuer, name=item.name, pattern=pattern, keep=keep, reason=said[:_MAX_REASON]
        )
        # A role of the policy is one, and an entry is about one issuer's.
        whose = dict.fromkeys((item.issuer, *issuers)) if item.of == "role" else (item.issuer,)
        for issuer in filter(None, whose):
            named = "\0".join((plan.hash, str(attempt), item.id, item.of, issuer, item.name, pattern))
            yield item, replace(entry, id=f"{ENTRY_ID_PREFIX}{sha256(named.encode()).hexdigest()[:20]}", issuer=issuer)


def _handoff(item: PlanItem) -> Handoff:
    values: dict[str, Any] = {name: getattr(item, name) for name in Handoff._fields if name != "item"}
    return Handoff(item.id, **values)


def _diff(before: str, after: str, name: str) -> Iterator[str]:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), name, name, lineterm="")
    yield from lines
