"""Intentions of a reviewer: the decisions that a form's answers ask for, and what these would break."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from jwt_lp.console.decide_data import NOT_YOURS, PAGE_SIZE
from jwt_lp.console.decision_form import TAKE_BACK
from jwt_lp.console.item_words import describe_item
from jwt_lp.errors import CampaignRefused
from jwt_lp.review.quantities import format_quantity
from jwt_lp.stores.campaigns import WantedDecision

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jwt_lp.campaigns import CampaignItemView, Campaigns, DecisionPreview, ItemPreview
    from jwt_lp.console.decision_form import Answers
    from jwt_lp.stores.audit import Actor

_MOST_MEMBERS: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Intention:
    """What the answers of a form mean: the decisions that would be written, and what they would change.

    `states` has for each group of the form the state of its open members, as `Answer.version` of a group. `own` is the
    number of members that are left out, because nobody decides about their own access. `changed` are the groups that
    have other open members than the form showed.
    """

    wanted: tuple[WantedDecision, ...]
    states: Mapping[str, str]
    own: int
    changed: tuple[str, ...]

    @property
    def counts(self) -> tuple[tuple[str, int], ...]:
        """How many items get which decision."""
        counted = Counter(each.decision or "take back" for each in self.wanted)
        return tuple(counted.items())


def intend(engine: Campaigns, campaign: str, part: str, actor: Actor, answers: Answers) -> Intention:
    """The decisions that the answers ask for: each item's own, and those of groups for their open members."""
    ids = [answer.id for answer in answers.items]
    if ids:
        found = engine.items(campaign, part=part, ids=ids, limit=len(ids), details=False).items
        # The preview shows what an item is about, so it is for items of the reader's part alone.
        if len(found) < len(ids):
            raise CampaignRefused(NOT_YOURS, reason="part")
    wanted = {answer.id: _wanted(answer.id, answer, int(answer.version)) for answer in answers.items}
    states: dict[str, str] = {}
    changed: list[str] = []
    own = 0
    for answer in answers.groups:
        members = _open_members(engine, campaign, part, answer.id)
        refused = engine.refusals(actor, campaign, members, answer.decision) if members else {}
        states[answer.name] = _state_of(members)
        if answer.version and answer.version != states[answer.name]:
            changed.append(answer.name)
        for member in members:
            if member.id in wanted:
                continue
            if member.id in refused:
                own += 1
            else:
                wanted[member.id] = _wanted(member.id, answer, member.version)
    return Intention(wanted=tuple(wanted.values()), states=states, own=own, changed=tuple(changed))


class Breakage(NamedTuple):
    """What decisions would change, and the removals that break most, each with what it is about."""

    preview: DecisionPreview
    worst: tuple[tuple[ItemPreview, str], ...]

    @property
    def expected(self) -> str:
        """How many items are expected to be needed again."""
        return format_quantity(self.preview.expected)


def find_breakage(engine: Campaigns, campaign: str, wanted: Sequence[WantedDecision]) -> Breakage:
    """What would break if these decisions were applied."""
    preview = engine.preview(campaign, wanted)
    return Breakage(preview, tuple(_worst(engine, campaign, preview)))


def _worst(engine: Campaigns, campaign: str, preview: DecisionPreview) -> Iterator[tuple[ItemPreview, str]]:
    """The removals that break most, the worst first, each with what it is about."""
    ordered = sorted(preview.items, key=_breaks_most_first)[:PAGE_SIZE]
    shown = engine.items(campaign, part=None, ids=[each.id for each in ordered], limit=PAGE_SIZE, details=False).items
    labels = {item.id: describe_item(item.finding) for item in shown}
    for each in ordered:
        yield each, labels.get(each.id, each.id)


def _breaks_most_first(item: ItemPreview) -> tuple[bool, bool, float, int]:
    unknown = 0.5 if item.likelihood is None else item.likelihood
    return not item.used_since, not item.last_holder, -unknown, -item.holders


def _wanted(item: str, answer: Any, version: int) -> WantedDecision:
    taken_back = answer.decision == TAKE_BACK
    return WantedDecision(
        item=item,
        decision="" if taken_back else answer.decision,
        until="" if taken_back else answer.until,
        comment="" if taken_back else answer.comment,
        version=version,
        group=answer.id if answer.is_group else "",
    )


def _open_members(engine: Campaigns, campaign: str, part: str, group: str) -> tuple[CampaignItemView, ...]:
    found = engine.items(campaign, part=part, decided=False, group=group, limit=_MOST_MEMBERS, details=False)
    return found.items


def _state_of(members: Sequence[CampaignItemView]) -> str:
    return sha256("\n".join(f"{each.id} {each.version}" for each in members).encode()).hexdigest()[:32]
