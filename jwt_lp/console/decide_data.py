"""Data of the Decide pages: whose part it is, what is shown of it, and what a form's answers mean."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from jwt_lp.campaigns import CampaignPage
from jwt_lp.console.decision_form import TAKE_BACK, Answers
from jwt_lp.console.item_words import ShownItem, describe_item, show_item
from jwt_lp.errors import CampaignRefused, CampaignUnknown
from jwt_lp.review.quantities import format_quantity
from jwt_lp.stores.campaigns import WantedDecision

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jwt_lp.campaigns import CampaignItemView, Campaigns, DecisionPreview, GroupView, ItemPreview
    from jwt_lp.console.reader import Reader
    from jwt_lp.console.state import ConsoleState
    from jwt_lp.stores.audit import Actor
    from jwt_lp.stores.campaigns import Campaign, CampaignPart

PAGE_SIZE: Final = 60
SHOWS: Final = ("open", "decided", "all")
NOT_YOURS: Final = "this part is not yours"
_MOST_MEMBERS: Final = 100_000


class Place(NamedTuple):
    """What of a part is shown: `show` is one of `SHOWS`, `group` the id of a group ("" for none), `after` a position."""

    campaign: str
    part: str
    show: str = "open"
    group: str = ""
    after: int = -1

    def query(self) -> Mapping[str, object]:
        """The parameters of the page's address."""
        return {
            "id": self.campaign,
            "part": self.part,
            "show": None if self.show == "open" else self.show,
            "group": self.group or None,
            "after": None if self.after < 0 else self.after,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class DecidePage:
    """Some items of one part, as a reviewer or an auditor sees them. `refusal` says why nothing can be decided here."""

    place: Place
    campaign: Campaign
    part: CampaignPart
    items: tuple[ShownItem, ...]
    groups: tuple[GroupView, ...]
    next: int | None
    refusal: str
    policy_moved: bool
    may_read: bool
    may_delegate: bool
    issuer: str
    answers: Answers = field(default_factory=Answers)

    @property
    def open(self) -> int:
        """How many items of the part nobody has decided about."""
        return self.part.items - self.part.decided

    def with_all_ticked(self) -> DecidePage:
        """The same page with every item ticked."""
        return replace(self, answers=Answers(ticked=frozenset(each.item.id for each in self.items)))

    @property
    def next_place(self) -> Place | None:
        """Where the list goes on."""
        return None if self.next is None else self.place._replace(after=self.next)

    @property
    def first_place(self) -> Place:
        """Where the list begins."""
        return self.place._replace(after=-1)


def find_part(reader: Reader, campaign: Campaign, name: str) -> CampaignPart:
    """The part of this name; `CampaignRefused` where it is not the reader's, who may not read them all either."""
    part = next((part for part in reader.console.campaigns.parts(campaign.id) if part.name == name), None)
    if part is not None and (reader.may_read or is_reviewer(reader.actor, part)):
        return part
    if part is None and reader.may_read:
        raise CampaignUnknown("there is no such part in this campaign")
    # Somebody who may not see all parts does not learn which ones there are.
    raise CampaignRefused(NOT_YOURS, reason="part")


def is_reviewer(actor: Actor, part: CampaignPart) -> bool:
    """Whether the part is the actor's."""
    # An operator has the store at hand, and may decide about every part.
    return not actor.issuer or actor.is_same(part.reviewer)


def refusal_of(reader: Reader, campaign: Campaign, part: CampaignPart) -> str:
    """Why the reader cannot decide about the part; "" if they can."""
    state = campaign.state(reader.console.clock())
    if state in ("closed", "cancelled"):
        return f"The campaign is {state}: nothing in it changes any more."
    if state == "overdue":
        return "The deadline is past: decisions are no longer taken."
    if not is_reviewer(reader.actor, part):
        return "You can read this part, but its reviewer decides about it."
    return "" if reader.may_decide else "You may read here, but not decide."


def policy_moved(console: ConsoleState, campaign: Campaign) -> bool:
    """Whether the policy is another one than the one that was reviewed."""
    reviewed = campaign.origin.get("policy", "")
    return bool(reviewed) and current_policy_digest(console) != reviewed


def current_policy_digest(console: ConsoleState) -> str:
    """The digest of the policy as it is now: of its file, if it has one; "" where the file cannot be read."""
    from jwt_lp.errors import ConfigurationError, PolicyError
    from jwt_lp.policy.file import Policy

    if console.policy_file is None:
        return console.policy.digest
    try:
        return Policy.load(console.policy_file).digest
    except (ConfigurationError, PolicyError, OSError):
        return ""


def load_page(reader: Reader, place: Place, answers: Answers | None = None) -> DecidePage:
    """The page of a place."""
    engine = reader.console.campaigns
    campaign = engine.get(place.campaign)
    part = find_part(reader, campaign, place.part)
    decided = {"open": False, "decided": True}.get(place.show)
    # The members of a group have one decision, so they are not listed among the questions.
    group = place.group if place.group or place.show == "open" else None
    found = engine.items(campaign.id, part=part.name, decided=decided, group=group, after=place.after, limit=PAGE_SIZE)
    with_groups = place.show == "open" and not place.group and place.after < 0
    groups = tuple(each for each in found.groups if each.decided < each.items) if with_groups else ()
    return _decide_page(reader, place, campaign, part, found, groups, answers or Answers())


def find_item(reader: Reader, campaign_id: str, item_id: str) -> DecidePage:
    """The page of one item; `CampaignUnknown` if there is none, `CampaignRefused` if it is of another one's part."""
    engine = reader.console.campaigns
    campaign = engine.get(campaign_id)
    try:
        item = engine.item(campaign.id, item_id)
    except CampaignUnknown:
        # Somebody who may not see all items does not learn which ones there are.
        if reader.may_read:
            raise
        raise CampaignRefused(NOT_YOURS, reason="part") from None
    part = find_part(reader, campaign, item.part)
    found = CampaignPage(items=(item,), groups=(), next=None)
    place = Place(campaign.id, part.name, "all")
    return _decide_page(reader, place, campaign, part, found, (), Answers())


def _decide_page(
    reader: Reader,
    place: Place,
    campaign: Campaign,
    part: CampaignPart,
    found: CampaignPage,
    groups: tuple[GroupView, ...],
    answers: Answers,
) -> DecidePage:
    refusal = refusal_of(reader, campaign, part)
    return DecidePage(
        place=place,
        campaign=campaign,
        part=part,
        items=_show_items(reader, campaign, found.items, refusal),
        groups=groups,
        next=found.next,
        refusal=refusal,
        policy_moved=policy_moved(reader.console, campaign),
        may_read=reader.may_read,
        may_delegate=not refusal and bool(reader.actor.issuer),
        issuer=reader.actor.issuer,
        answers=answers,
    )


def _show_items(
    reader: Reader, campaign: Campaign, items: Sequence[CampaignItemView], refusal: str
) -> tuple[ShownItem, ...]:
    """The items with their words; `refusal` is why nothing can be decided at all, "" if something can."""
    engine, actor = reader.console.campaigns, reader.actor
    none = engine.refusals(actor, campaign.id, items, "remove") if not refusal else {}
    no_keeping = engine.refusals(actor, campaign.id, items, "keep") if not refusal else {}
    return tuple(
        show_item(each, campaign.day, refusal=refusal or none.get(each.id, ""), no_keeping=no_keeping.get(each.id, ""))
        for each in items
    )


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
        refused = engine.refusals(actor, campaign, members, answer.decision)
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
