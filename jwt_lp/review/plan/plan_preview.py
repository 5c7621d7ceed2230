"""Preview of a plan: what it would change now.

Nothing is written. Items are dropped, each with its reason, if their grant was used since the review, is exempt, or if
they would revoke more than was decided.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp.errors import PolicyError
from jwt_lp.review.pattern_overlap import overlap
from jwt_lp.review.plan.deny_entries import ItemRevocations, deny_entries
from jwt_lp.review.plan.handoffs import handoffs_of
from jwt_lp.review.plan.plan_journal import NEW_PLAN, left_out
from jwt_lp.review.plan.plan_stages import FINAL, NOTICE, due_stage
from jwt_lp.review.plan.planned_revocations import PlannedRevocations, used_since
from jwt_lp.review.plan.policy_editor import edit_policy, parse_policy
from jwt_lp.usage.recorder import is_pseudonym

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from jwt_lp.policy.file import Policy
    from jwt_lp.review.plan.frozen_plan import Plan, PlanItem
    from jwt_lp.review.plan.handoffs import Handoff
    from jwt_lp.review.plan.plan_journal import PlanStatus
    from jwt_lp.revocation.entries import RevocationEntry
    from jwt_lp.stores import Store

DEFAULT_CAP_SHARE: Final = 0.25
MIN_CAP: Final = 5


class OverCap(PolicyError):
    """More grants would be revoked than the cap allows: `touches` are those, `cap` is the limit."""

    def __init__(self, touches: int, cap: int) -> None:
        self.touches: int = touches
        self.cap: int = cap
        super().__init__(
            f"{touches:,} grants would be revoked, but the limit is {cap:,}: apply fewer, or pass --cap {touches}"
        )


class DroppedItem(NamedTuple):
    """An item that is not applied, and the reason."""

    item: PlanItem
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanPreview:
    """The changes of a plan. `policy` is a unified diff, `after` the policy's new text (None without an edit).

    `touches` is the highest number of grants that holders lose, `cap` the limit for it. `wrote` has the ids of each
    item and its entry. `stage` is the stage that would begin, "" without stages: `notice` changes nothing, and `trial`
    only writes entries.
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
    stage: str = ""
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
    status: PlanStatus = NEW_PLAN,
    name: str = "least-privilege.toml",
) -> PlanPreview:
    """What the plan would change, given the policy file's text `policy` (None without a policy file).

    `status` is the state of the plan: what was left out of its trial, or restored since, stays out.

    `PolicyError` where the policy is not the one that was reviewed, while an earlier stage still lasts, and where more
    grants would be revoked than the cap allows. The cap is checked before the store is read, so items that turn out to be used count too.
    """
    stage = due_stage(plan.stages, status, now)
    rules = None if policy is None else parse_policy(policy)
    _check_policy(plan, rules, name)
    limit = _cap(plan, cap)
    today = datetime.fromtimestamp(now, UTC).date().isoformat()
    left = left_out(status, (item.id for item in plan.items if item.revokes))
    dropped = left | _initially_dropped(plan, today, even_last_holder=even_last_holder)
    revocations_of = ItemRevocations(plan, rules, policy, today)
    while True:
        items, role_edits, revocations = revocations_of.without(dropped)
        _check_cap(items, limit)
        indexed = PlannedRevocations(revocations)
        later = store.later_uses(indexed.holders(), at=plan.origin.made_at)
        leavers = {item.id for item in items if item.leaver}
        used = used_since(later, indexed, items, plan.origin.made_at)
        used = {id_: reason for id_, reason in used.items() if id_ not in leavers}
        if not used:
            break
        # Another item may have depended on a dropped one, so all are checked again.
        dropped.update(used)
    edits = role_edits.edits if stage in ("", FINAL) else None
    after = edit_policy(policy, edits) if policy is not None and edits else None
    written = [] if stage == NOTICE else [*deny_entries(plan, revocations, store, status.attempt)]
    by_id = {item.id: item for item in plan.items}
    return PlanPreview(
        items=tuple(items),
        dropped=tuple(DroppedItem(item, dropped[id_]) for id_, item in by_id.items() if id_ in dropped),
        policy=tuple(_diff(policy or "", after or policy or "", name)),
        after=after,
        entries=tuple(entry for _, entry in written),
        wrote=tuple((item.id, entry.id) for item, entry in written),
        handoffs=tuple(handoffs_of(items)) if stage in ("", FINAL) else (),
        touches=sum(item.touches for item in items),
        cap=limit,
        stage=stage,
        notes=tuple(_expired_exemptions(plan, today)),
    )


def _cap(plan: Plan, cap: int | None) -> int:
    default = max(MIN_CAP, int(DEFAULT_CAP_SHARE * plan.origin.grants))
    return next(limit for limit in (cap, plan.cap, default) if limit is not None)


def _check_cap(items: Iterable[PlanItem], cap: int) -> None:
    touches = sum(item.touches for item in items)
    if touches > cap:
        raise OverCap(touches, cap)


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
    if item.of == "subject" and is_pseudonym(item.name):
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


def _diff(before: str, after: str, name: str) -> Iterator[str]:
    return difflib.unified_diff(before.splitlines(), after.splitlines(), name, name, lineterm="")
