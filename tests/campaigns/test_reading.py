"""Reading a campaign: pages of items, use since the freeze, earlier decisions, and previews of decisions."""

from __future__ import annotations

from typing import Any

import pytest

from campaign_scenario import hold
from campaigns.conftest import ANN, BEN, DAY, OPERATOR, Quarter
from jwt_lp.campaigns import CampaignItemView, ReviewOptions
from jwt_lp.review import DecisionRule
from jwt_lp.stores import UsageBatch
from jwt_lp.stores.campaigns import WantedDecision
from review_scenario import ISSUER, days_ago, noon_of

pytestmark = pytest.mark.once


def use_again(quarter: Quarter, subject: str, permission: str, **more: str) -> None:
    """A use a day after the freeze."""
    use = quarter.scenario.use(subject, permission, -1, more.pop("grant", permission), **more)
    quarter.store.record(UsageBatch(id="later", uses={use: (1, noon_of(days_ago(-1)))}))


def test_pages_of_items(quarter: Quarter) -> None:
    """The pages of a part have each item once, in the order of deciding."""
    campaign = quarter.freeze()
    found: list[CampaignItemView] = []
    after = -1
    while True:
        page = quarter.campaigns.items(campaign.id, part="Ben Ray", after=after, limit=5)
        found += page.items
        if page.next is None:
            break
        after = page.next
    assert quarter.views(campaign, part="Ben Ray", details=True) == found
    assert 13 == len(found)


def test_items_of_the_whole_campaign(quarter: Quarter) -> None:
    """Without a part, there is one page, and the groups of all parts."""
    campaign = quarter.freeze()
    every = [view.id for view in quarter.views(campaign)]
    page = quarter.campaigns.items(campaign.id, limit=20)
    assert (20, None, ["Ben Ray"]) == (len(page.items), page.next, [group.part for group in page.groups])
    assert 24 == len(quarter.campaigns.items(campaign.id, ids=[*every, *map(str, range(1000))], details=False).items)
    some = [view.id for view in page.items[:2]]
    assert {*some} == {view.id for view in quarter.campaigns.items(campaign.id, ids=some).items}


def test_items_are_chosen(quarter: Quarter) -> None:
    """By group, by being in none, and by being decided."""
    campaign = quarter.freeze()
    views = quarter.views(campaign, part="Ben Ray")
    assert 9 == len(quarter.campaigns.items(campaign.id, part="Ben Ray", group="").items)
    quarter.decide(BEN, views[5])
    assert [views[5].id] == [
        view.id for view in quarter.campaigns.items(campaign.id, part="Ben Ray", decided=True).items
    ]
    assert 12 == len(quarter.campaigns.items(campaign.id, part="Ben Ray", decided=False).items)


def test_a_use_after_the_freeze_is_shown(quarter: Quarter) -> None:
    """What would be taken back and was used meanwhile says so, on the page, on the item, and in the preview."""
    campaign = quarter.freeze()
    use_again(quarter, "alice", "reports:read")
    view = quarter.view(campaign, "alice", "reports:read", details=True)
    assert "reports:read was used on 2026-11-02, after the review" == view.used_since
    assert view == quarter.campaigns.item(campaign.id, view.id)
    assert [view.id] == [each.id for each in quarter.views(campaign, details=True) if each.used_since]
    wanted = [WantedDecision(item=view.id, decision="remove", version=0)]
    preview = quarter.campaigns.preview(campaign.id, wanted)
    assert (1, view.used_since) == (preview.used_since, preview.items[0].used_since)


def test_a_use_of_a_roles_grant_is_shown(quarter: Quarter) -> None:
    """A role's grant that a member used after the freeze says so."""
    campaign = quarter.freeze()
    use_again(quarter, "carol", "orders:refund", role="clerk")
    assert "orders:refund was used on 2026-11-02, after the review" == (
        quarter.view(campaign, "clerk", "orders:refund", details=True).used_since
    )


def test_earlier_decisions_are_shown(quarter: Quarter) -> None:
    """A reviewer sees what was decided about the same finding in earlier campaigns, newest first, and not in later ones."""
    first = quarter.freeze(name="Spring")
    quarter.decide(ANN, quarter.view(first, "alice", "reports:read"), "keep", comment="wait")
    quarter.now += DAY
    second = quarter.freeze(name="Summer")
    quarter.decide(OPERATOR, quarter.view(second, "alice", "reports:read"), "remove")
    quarter.now += DAY
    third = quarter.freeze(name="Autumn")
    history = quarter.view(third, "alice", "reports:read", details=True).history
    assert [("Summer", "remove", OPERATOR), ("Spring", "keep", ANN)] == [
        (each.name, each.decision.decision, each.decision.by) for each in history
    ]
    assert ["Spring"] == [each.name for each in quarter.view(second, "alice", "reports:read", details=True).history]
    assert () == quarter.view(third, "bob", "reports:read", details=True).history


def test_what_would_break(quarter: Quarter) -> None:
    """A preview counts who loses what, last holders, routes, and what is expected to be needed again; it stores nothing."""
    campaign = quarter.freeze()
    names = [("carol", "reports:read"), ("dave", "orders:*"), ("clerk", "orders:refund"), ("alice", "orders:read")]
    views = [quarter.view(campaign, *name) for name in names]
    decisions: tuple[Any, ...] = ("remove", "narrow", "remove", "keep")
    wanted = [
        WantedDecision(item=view.id, decision=decision, version=0)
        for view, decision in zip(views, decisions, strict=True)
    ]
    preview = quarter.campaigns.preview(campaign.id, wanted)
    carol, dave, clerk = preview.items
    assert (3, 8, 1, 0, 1) == (
        preview.revoked, preview.holders, preview.last_holders, preview.used_since, preview.unknown,
    )  # fmt: skip
    assert preview.expected == sum(each.likelihood or 0 for each in preview.items)
    assert (("GET views.reports:read",), True, 1) == (carol.routes, carol.last_holder, carol.holders)
    held_back = ("conferred by the role clerk: decide about the role or the membership",)
    assert ((), ()) == (carol.guards, clerk.guards)
    (bob,) = quarter.campaigns.preview(
        campaign.id,
        [WantedDecision(item=quarter.view(campaign, "bob", "orders:refund").id, decision="remove", version=0)],
    ).items
    assert held_back == bob.guards
    # What is narrowed keeps the grants that it is narrowed to.
    assert (("GET views.orders:refund",), 6) == (dave.routes, clerk.holders)
    assert ("GET views.reports:read", "GET views.orders:refund") == preview.routes
    assert 24 == quarter.campaigns.progress(campaign.id).open


def test_a_membership_is_previewed_by_its_role(quarter: Quarter) -> None:
    """Ending a membership touches the routes that the role's grants open, if the policy knows the role."""
    for subject in ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8"):
        quarter.scenario.record_use(subject, "orders:list", 300, 100, 3, 2, role="clerk")
        quarter.scenario.record_use(subject, "orders:read", 300, 100, 3, 2, role="clerk")
        quarter.scenario.record_use(subject, "orders:refund", 300, 100, 3, 2, role="clerk")
    quarter.scenario.observe_grant("idle", "orders:list", 390, role="clerk")
    quarter.scenario.import_grants(
        *(hold(name, "", "clerk") for name in ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "idle")), complete=True
    )
    campaign = quarter.freeze(options=ReviewOptions(rule=DecisionRule("fixed", 90), issuer=ISSUER))
    (member,) = [view for view in quarter.views(campaign) if view.finding.kind == "member"]
    wanted = [WantedDecision(item=member.id, decision="remove", version=0)]
    routes = ("GET views.orders:list", "GET views.orders:read", "GET views.orders:refund")
    assert {*routes} == {*quarter.campaigns.preview(campaign.id, wanted).routes}
    engine = type(quarter.campaigns)(quarter.store, None)
    assert () == engine.preview(campaign.id, wanted).routes


def test_a_preview_of_nothing(quarter: Quarter) -> None:
    """Who keeps everything takes nothing back."""
    campaign = quarter.freeze()
    view = quarter.view(campaign, "alice", "reports:read")
    preview = quarter.campaigns.preview(campaign.id, [WantedDecision(item=view.id, decision="keep", version=0)])
    assert (0, 0, 0.0, ()) == (preview.revoked, preview.holders, preview.expected, preview.routes)


def test_a_grant_of_several_holders_is_looked_up_once(quarter: Quarter) -> None:
    """Several decisions about one grant name the same routes."""
    campaign = quarter.freeze()
    views = [quarter.view(campaign, name, "reports:read") for name in ("alice", "bob")]
    wanted = [WantedDecision(item=view.id, decision="remove", version=0) for view in views]
    preview = quarter.campaigns.preview(campaign.id, wanted)
    assert [("GET views.reports:read",)] * 2 == [item.routes for item in preview.items]


def test_progress_by_day(quarter: Quarter) -> None:
    """How many decisions were made on each day, and what is open in which part."""
    campaign = quarter.freeze()
    quarter.decide(ANN, quarter.view(campaign, "alice", "reports:read"))
    quarter.now += DAY
    for name in ("carol", "ann"):
        quarter.decide(BEN, quarter.view(campaign, name, "reports:read"))
    progress = quarter.campaigns.progress(campaign.id)
    assert ((("2026-11-01", 1), ("2026-11-02", 2)), 21, 5) == (progress.by_day, progress.open, progress.unassigned)
    assert {"": 0, "Ann Lee": 1, "Ben Ray": 2, "ann": 0} == {part.name: part.decided for part in progress.parts}
    assert {"Ann Lee", "ann"} == {part.name for part in quarter.campaigns.parts_for(ANN)}
