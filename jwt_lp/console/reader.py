"""Reader of a page about campaigns: who it is, and what they may see and decide."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from jwt_lp.console.navigation import APPLY, DECIDE, READ
from jwt_lp.console.state import ConsoleState, actor_of, console_of
from jwt_lp_starlette import can

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

    from jwt_lp.stores.audit import Actor
    from jwt_lp.stores.campaigns import CampaignItem, CampaignPart, DecideResult, WantedDecision


class Reader(NamedTuple):
    """Who reads a page: `may_read` everything, `may_decide` about own parts, `may_apply` freeze, assign and close."""

    console: ConsoleState
    actor: Actor
    may_read: bool
    may_decide: bool
    may_apply: bool

    def parts(self) -> tuple[CampaignPart, ...]:
        """The reader's own parts, in campaigns that are neither closed nor cancelled."""
        return self.console.campaigns.parts_for(self.actor)

    def parts_in(self, campaign: str) -> tuple[CampaignPart, ...]:
        """The reader's own parts in one campaign."""
        return tuple(part for part in self.parts() if part.campaign == campaign)

    def decide(self, campaign: str, wanted: Sequence[WantedDecision], part: str) -> DecideResult:
        """Write decisions as this reader."""
        return self.console.campaigns.decide(self.actor, campaign, wanted, part=part)

    def has_decided(self, item: CampaignItem, wanted: WantedDecision) -> bool:
        """Whether the item already has exactly this decision of the reader."""
        made = item.decision
        if made is None:
            return not wanted.decision
        same = (made.decision, made.until, made.comment) == (wanted.decision, wanted.until, wanted.comment)
        return same and (made.by.issuer, made.by.subject) == (self.actor.issuer, self.actor.subject)


def reader_of(request: Request) -> Reader:
    """Who sends `request`."""
    return Reader(console_of(request), actor_of(request), can(request, READ), can(request, DECIDE), can(request, APPLY))
