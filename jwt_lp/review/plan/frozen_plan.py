"""What is to be done, and who decided it?

A plan is frozen: its hash is that of all it says, and a plan that was changed afterwards is refused. It can take away
and leave alone, and has no way to say that anything be added.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

from jwt_lp._support.json_types import is_json_array
from jwt_lp._support.validation import quote_text
from jwt_lp.errors import ConfigurationError
from jwt_lp.permissions.grants import Permissions
from jwt_lp.review.findings import LAST_HOLDER
from jwt_lp.review.plan.review_items import ReviewItem, ReviewOrigin, undecided_findings

if TYPE_CHECKING:
    from jwt_lp.review.findings import Review
    from jwt_lp.review.plan.worksheet import Worksheet

VERSION: Final = 1
RULES_REVIEWER: Final = "the rules"

Action: TypeAlias = Literal["role", "deny", "handoff", "exempt", "keep"]
"""Take a grant from a role of the policy; deny a subject or client a grant; end a membership; or leave it as it is.

What a subject or a client has comes from outside, which would grant it again: for `deny` and `handoff` both an entry
is written and a line handed off.
"""

_ACTIONS: Final = ("role", "deny", "handoff", "exempt", "keep")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanItem:
    """What happens to one grant of a holder (`of`, `issuer`, `name`), which it has through `role` ("" directly).

    With `instead`, all of the grant goes but that. `uses` and `last_day` are what was known when it was decided.
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

    @property
    def revokes(self) -> bool:
        """Whether it takes anything away."""
        return self.action in ("role", "deny", "handoff")

    @property
    def last_holder(self) -> bool:
        """Whether nobody would hold the grant any more, as far as the review could see."""
        return LAST_HOLDER in self.guards

    def __str__(self) -> str:
        through = f" through the role {self.role}" if self.role and self.of != "role" else ""
        left = f", but for {' '.join(self.instead)}" if self.instead else ""
        return f"{self.of} {self.name}: {self.grant or 'all that it has'}{through}{left}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What was decided about a review's findings. `cap` is the most grants that it may revoke, None for the usual."""

    made_at: float
    origin: ReviewOrigin
    items: tuple[PlanItem, ...]
    cap: int | None = None
    version: int = VERSION

    @property
    def hash(self) -> str:
        """The SHA-256 of all that it says, in hexadecimal."""
        return sha256(json.dumps(self._contents(), sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def encode(self) -> str:
        """The plan as JSON, with its hash."""
        return json.dumps({**self._contents(), "hash": self.hash}, indent=2) + "\n"

    @classmethod
    def decode(cls, text: str) -> Plan:
        """Read a plan; `ConfigurationError` for what is none, is of another version, or was changed."""
        try:
            said = json.loads(text)
            version, known = said["version"], said.pop("hash")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise ConfigurationError("this is not a plan: jwt-lp plan makes one") from None
        if version != VERSION:
            raise ConfigurationError(
                f"the plan has version {quote_text(str(version))}, and this release knows {VERSION}: make it anew"
            )
        # INVARIANT: what was decided is what is done; nothing of a plan is looked at before that is known.
        if known != sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).hexdigest():
            raise ConfigurationError("the plan was changed after it was made: make it anew")
        try:
            plan = cls(
                made_at=said["made_at"],
                origin=ReviewOrigin(**said["origin"]),
                items=tuple(_decode_item(each) for each in said["items"]),
                cap=said["cap"],
            )
        except (KeyError, TypeError):
            raise ConfigurationError("this is not a plan: jwt-lp plan makes one") from None
        _check(plan.items)
        return plan

    def _contents(self) -> dict[str, Any]:
        return {
            "version": self.version,
            "made_at": self.made_at,
            "origin": self.origin._asdict(),
            "cap": self.cap,
            "items": [asdict(item) for item in self.items],
        }


def from_review(review: Review, *, now: float, cap: int | None = None) -> Plan:
    """What the rules alone decide: what is proposed goes, and nothing that a guard holds back.

    A role of the policy is one: where one issuer's members keep a grant of it, it stays.
    """
    stays = {(each.name, each.grant) for each in review.findings if each.kind == "role" and each.proposal == "keep"}
    cases = map(ReviewItem.from_finding, undecided_findings(review.findings))
    items = tuple(
        _plan_item(case, case.proposal, RULES_REVIEWER)
        for case in cases
        if case.proposal != "keep" and not (case.of == "role" and (case.name, case.grant) in stays)
    )
    return _make_plan(ReviewOrigin.from_review(review), items, now, cap)


def from_worksheet(sheet: Worksheet, *, now: float, cap: int | None = None) -> Plan:
    """What people decided."""
    items = tuple(
        _plan_item(each.case, each.decision, each.reviewer, each.until, each.comment) for each in sheet.decisions
    )
    return _make_plan(sheet.origin, items, now, cap)


def _make_plan(origin: ReviewOrigin, items: tuple[PlanItem, ...], now: float, cap: int | None) -> Plan:
    _check(items)
    return Plan(made_at=now, origin=origin, items=items, cap=cap)


def _plan_item(case: ReviewItem, decision: str, reviewer: str, until: str = "", comment: str = "") -> PlanItem:
    action: Action = "keep"
    if decision == "exempt":
        action = "exempt"
    elif decision in ("remove", "narrow"):
        action = "role" if case.of == "role" else "deny" if case.grant else "handoff"
    return PlanItem(
        id=case.id,
        action=action,
        of=cast("Any", case.of),
        issuer=case.issuer,
        name=case.name,
        role=case.role,
        grant=case.grant,
        instead=case.instead if decision == "narrow" else (),
        guards=case.guards,
        touches=case.touches,
        uses=case.uses,
        last_day=case.last_day,
        reviewer=reviewer,
        until=until,
        comment=comment,
    )


def _decode_item(said: dict[str, Any]) -> PlanItem:
    values: dict[str, Any] = {each.name: said[each.name] for each in fields(PlanItem)}
    values |= {name: tuple(value) for name, value in values.items() if is_json_array(value)}
    return PlanItem(**values)


def _check(items: Iterable[PlanItem]) -> None:
    """`ConfigurationError` for what would be more than was held."""
    faults: list[str] = []
    for item in items:
        if item.action not in _ACTIONS or (item.action == "role") != (item.of == "role" and item.revokes):
            faults.append(f"{item.id}: nobody can {quote_text(item.action)} what a {quote_text(item.of)} has")
        elif item.revokes and item.grant:
            held = Permissions.of([item.grant], patterns=True)
            # INVARIANT: narrowing never goes beyond the grant that is narrowed.
            faults += (
                f"{item.id}: {quote_text(each)} is not less than {quote_text(item.grant)}"
                for each in item.instead
                if each == item.grant or held.find_containing(each) is None
            )
    if faults:
        raise ConfigurationError(*faults)
