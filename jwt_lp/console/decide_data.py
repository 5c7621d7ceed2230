"""Data of the Decide pages: whose part it is, and what is shown of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

from starlette.exceptions import HTTPException

from jwt_lp.campaigns import CampaignPage
from jwt_lp.console.campaign_words import time_left
from jwt_lp.console.decision_form import Answers
from jwt_lp.console.item_words import ShownItem, show_item
from jwt_lp.console.parameters import whole_number
from jwt_lp.errors import CampaignRefused, CampaignUnknown, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jwt_lp.campaigns import CampaignItemView, GroupView
    from jwt_lp.console.decision_form import Answer
    from jwt_lp.console.reader import Reader
    from jwt_lp.console.state import ConsoleState
    from jwt_lp.stores.audit import Actor
    from jwt_lp.stores.campaigns import Campaign, CampaignPart

PAGE_SIZE: Final = 60
SHOWS: Final = ("open", "decided", "all")
NOT_YOURS: Final = "this part is not yours"


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


def read_position(text: str | None) -> int:
    """The position in an address or a form, -1 for the beginning; 400 for what is none."""
    if text is None or text in ("", "-1"):
        return -1
    if (position := whole_number(text, digits=9)) is None:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "after is the position of an item")
    return position


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
    left: str
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
    def unseen(self) -> tuple[Answer, ...]:
        """The answers about what is not on this page any more, because somebody else decided about it meanwhile."""
        names = {each.item.id for each in self.items} | {f"G{each.group.id}" for each in self.groups}
        return tuple(answer for answer in self.answers.given if answer.name not in names)

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
    """The digest of the policy as it is now; "" where its file cannot be read."""
    try:
        return console.policy_source.read().digest
    except ConfigurationError:
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
    # The list that begins with the item, for a form of this page that has a fault.
    place = Place(campaign.id, part.name, "all", after=item.position - 1)
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
        left=time_left(campaign.deadline - reader.console.clock()),
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
