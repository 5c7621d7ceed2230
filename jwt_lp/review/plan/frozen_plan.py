"""Frozen plans: the decisions about the findings of a review.

The hash of a plan covers all its contents, and a plan that was changed afterwards is refused. A plan can only revoke or
keep grants; its format cannot express an added grant.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

from jwt_lp._support.json_types import is_json_array, unique_members
from jwt_lp._support.validation import quote_text
from jwt_lp.errors import ConfigurationError
from jwt_lp.permissions.grants import Permissions
from jwt_lp.review.findings import LAST_HOLDER
from jwt_lp.review.plan.line_faults import limit_faults
from jwt_lp.review.plan.plan_stages import PlanStage, check_stages
from jwt_lp.review.plan.review_items import ReviewItem, ReviewOrigin, undecided_findings

if TYPE_CHECKING:
    from jwt_lp.review.findings import Review
    from jwt_lp.review.plan.worksheet import Worksheet

VERSION: Final = 1
RULES_REVIEWER: Final = "the rules"

Action: TypeAlias = Literal["role", "deny", "handoff", "exempt", "keep"]
"""`role`: remove a grant from a role of the policy. `deny`: deny a subject or client a grant. `handoff`: end a
membership. `exempt`, `keep`: change nothing.

Grants of a subject or a client come from an issuer, which would grant them again. So for `deny` and `handoff`, a deny
entry is written and a hand-off line tells the issuer.
"""

_LATER_FIELDS: Final = ("person", "manager", "leaver", "group")
_LIST_FIELDS: Final = ("instead", "guards")
_OTHER_TYPES: Final = {"touches": int, "uses": int, "leaver": bool}
_ACTIONS: Final = ("role", "deny", "handoff", "exempt", "keep")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanItem:
    """The decision about one grant of a holder (`of`, `issuer`, `name`), held through `role` ("" for a direct grant).

    With `instead`, the grant is narrowed to that. `uses` and `last_day` are the usage at the time of the review. What a
    `leaver` uses after the review is no need, so it holds nothing back.
    """

    id: str
    action: Action
    of: Literal["subject", "client", "role"]
    issuer: str
    name: str
    role: str
    grant: str
    instead: tuple[str, ...] = ()
    guards: tuple[str, ...] = ()
    touches: int = 1
    uses: int = 0
    last_day: str = ""
    reviewer: str = ""
    until: str = ""
    comment: str = ""
    person: str = ""
    manager: str = ""
    leaver: bool = False
    group: str = ""

    @property
    def revokes(self) -> bool:
        """Whether it revokes anything."""
        return self.action in ("role", "deny", "handoff")

    @property
    def last_holder(self) -> bool:
        """Whether nobody would hold the grant any more, as far as the review knows."""
        return LAST_HOLDER in self.guards

    def __str__(self) -> str:
        through = f" through the role {self.role}" if self.role and self.of != "role" else ""
        kept = f", except {' '.join(self.instead)}" if self.instead else ""
        return f"{self.of} {self.name}: {self.grant or 'all grants'}{through}{kept}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The decisions about a review's findings. `cap` is the most grants that it may revoke, None for the default.

    With `stages`, grants are taken back step by step; without any, at once.
    """

    made_at: float
    origin: ReviewOrigin
    items: tuple[PlanItem, ...]
    cap: int | None = None
    stages: tuple[PlanStage, ...] = ()
    version: int = VERSION

    @property
    def hash(self) -> str:
        """The SHA-256 of all its contents, in hexadecimal."""
        return sha256(json.dumps(self._contents(), sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def encode(self) -> str:
        """The plan as JSON, with its hash."""
        return json.dumps({**self._contents(), "hash": self.hash}, indent=2) + "\n"

    @classmethod
    def decode(cls, text: str) -> Plan:
        """Read a plan; `ConfigurationError` if it is not a plan, has another version, or was changed."""
        try:
            contents = json.loads(text, object_pairs_hook=unique_members)
            version, written_hash = contents["version"], contents.pop("hash")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise ConfigurationError("this is not a plan: create one with jwt-lp plan") from None
        if version != VERSION:
            raise ConfigurationError(
                f"the plan has version {quote_text(str(version))}, but this release reads {VERSION}: create it again"
            )
        # INVARIANT: only the decisions that were made are applied, so the hash is checked before anything is read.
        if written_hash != sha256(json.dumps(contents, sort_keys=True, separators=(",", ":")).encode()).hexdigest():
            raise ConfigurationError("the plan was changed after it was made: create it again")
        try:
            plan = cls(
                made_at=contents["made_at"],
                origin=ReviewOrigin(**contents["origin"]),
                items=tuple(_decode_item(item) for item in contents["items"]),
                cap=contents["cap"],
                stages=tuple(PlanStage(**stage) for stage in contents.get("stages", ())),
            )
            check_stages(plan.stages)
        except (KeyError, TypeError):
            raise ConfigurationError("this is not a plan: create one with jwt-lp plan") from None
        _check(plan.items)
        return plan

    def _contents(self) -> dict[str, Any]:
        # A plan without stages keeps the hash that earlier releases gave it.
        stages = {"stages": [stage._asdict() for stage in self.stages]} if self.stages else {}
        return stages | {
            "version": self.version,
            "made_at": self.made_at,
            "origin": self.origin._asdict(),
            "cap": self.cap,
            "items": [_item_contents(item) for item in self.items],
        }


def from_review(review: Review, *, now: float, cap: int | None = None, stages: tuple[PlanStage, ...] = ()) -> Plan:
    """The plan of the rules alone: it applies each proposal, and nothing that a guard holds back.

    All issuers share the roles of the policy: where one issuer's members keep a grant of a role, the role keeps it.
    """
    findings = review.findings
    kept = {(found.name, found.grant) for found in findings if found.kind == "role" and found.proposal == "keep"}
    candidates = map(ReviewItem.from_finding, undecided_findings(findings))
    items = tuple(
        _plan_item(item, item.proposal, RULES_REVIEWER)
        for item in candidates
        if item.proposal != "keep" and not (item.of == "role" and (item.name, item.grant) in kept)
    )
    return _make_plan(ReviewOrigin.from_review(review), items, now, cap, stages)


def from_worksheet(sheet: Worksheet, *, now: float, cap: int | None = None, stages: tuple[PlanStage, ...] = ()) -> Plan:
    """The plan of a worksheet's decisions."""
    items = tuple(
        _plan_item(row.item, row.decision, row.reviewer, row.until, row.comment, row.group) for row in sheet.decisions
    )
    return _make_plan(sheet.origin, items, now, cap, stages)


def _make_plan(
    origin: ReviewOrigin, items: tuple[PlanItem, ...], now: float, cap: int | None, stages: tuple[PlanStage, ...]
) -> Plan:
    check_stages(stages)
    _check(items)
    return Plan(made_at=now, origin=origin, items=items, cap=cap, stages=stages)


def _plan_item(
    item: ReviewItem, decision: str, reviewer: str, until: str = "", comment: str = "", group: str = ""
) -> PlanItem:
    action: Action = "keep"
    if decision == "exempt":
        action = "exempt"
    elif decision in ("remove", "narrow"):
        action = "role" if item.of == "role" else "deny" if item.grant else "handoff"
    return PlanItem(
        id=item.id,
        action=action,
        of=cast("Any", item.of),
        issuer=item.issuer,
        name=item.name,
        role=item.role,
        grant=item.grant,
        instead=item.instead if decision == "narrow" else (),
        guards=item.guards,
        touches=item.touches,
        uses=item.uses,
        last_day=item.last_day,
        reviewer=reviewer,
        until=until,
        comment=comment,
        person=item.person,
        manager=item.manager,
        leaver=item.leaver,
        group=group,
    )


def _item_contents(item: PlanItem) -> dict[str, Any]:
    contents = asdict(item)
    return {name: value for name, value in contents.items() if value or name not in _LATER_FIELDS}


def _decode_item(contents: dict[str, Any]) -> PlanItem:
    # A plan of an earlier release has no names.
    names = (field.name for field in fields(PlanItem) if field.name in contents or field.name not in _LATER_FIELDS)
    values: dict[str, Any] = {name: contents[name] for name in names}
    values |= {name: tuple(value) for name, value in values.items() if is_json_array(value)}
    if not all(_is_typed(name, value) for name, value in values.items()):
        raise TypeError
    return PlanItem(**values)


def _is_typed(name: str, value: object) -> bool:
    if name in _LIST_FIELDS:
        return isinstance(value, tuple) and all(isinstance(each, str) for each in cast("tuple[object, ...]", value))
    return type(value) is _OTHER_TYPES.get(name, str)


def _check(items: Iterable[PlanItem]) -> None:
    """`ConfigurationError` for an impossible action, or a narrowing that is not narrower."""
    faults: list[str] = []
    for item in items:
        if item.action not in _ACTIONS or (item.action == "role") != (item.of == "role" and item.revokes):
            faults.append(
                f"{item.id}: the action {quote_text(item.action)} is not possible for a {quote_text(item.of)}"
            )
        elif item.revokes and item.grant:
            held = Permissions.of([item.grant], patterns=True)
            # INVARIANT: narrowing never goes beyond the grant that is narrowed.
            faults += (
                f"{item.id}: {quote_text(grant)} is not narrower than {quote_text(item.grant)}"
                for grant in item.instead
                if grant == item.grant or held.find_containing(grant) is None
            )
    if faults:
        raise ConfigurationError(*limit_faults(faults))
