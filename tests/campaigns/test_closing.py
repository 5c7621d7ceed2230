"""Closing a campaign: the deadline rule, and the plan of all decisions."""

from __future__ import annotations

from typing import Any

import pytest

from campaigns.conftest import ANN, BEN, DAY, OPERATOR, Quarter
from jwt_lp.campaigns import ReviewOptions
from jwt_lp.campaigns.deadline_rule import rule_decision
from jwt_lp.errors import CampaignClosed, CampaignRefused
from jwt_lp.review import DecisionRule
from jwt_lp.review.findings import LAST_HOLDER
from review_factory import make_finding


@pytest.mark.parametrize(
    ("proposal", "guards", "decisions"),
    [
        ("remove", (), ("keep", "remove", "remove")),
        ("remove", (LAST_HOLDER,), ("keep", "remove", "remove")),
        ("narrow", (), ("keep", "remove", "narrow")),
        ("keep", ("a guard",), ("keep", "keep", "keep")),
        ("remove", ("a guard",), ("keep", "keep", "keep")),
    ],
)
def test_the_deadline_rule(proposal: Any, guards: tuple[str, ...], decisions: tuple[str, ...]) -> None:
    """`keep` keeps; `remove` and `proposal` take back what the review would, and nothing that a guard holds back."""
    finding = make_finding(proposal=proposal, guards=guards)
    rules: tuple[Any, ...] = ("keep", "remove", "proposal")
    assert decisions == tuple(rule_decision(rule, finding) for rule in rules)


@pytest.mark.parametrize(
    ("rule", "counts"),
    [
        ("keep", {"keep": 23, "remove": 1}),
        ("remove", {"keep": 12, "remove": 12}),
        ("proposal", {"keep": 12, "remove": 11, "narrow": 1}),
    ],
)
def test_what_nobody_decided_follows_the_rule(quarter: Quarter, rule: Any, counts: dict[str, int]) -> None:
    """After the deadline the rule decides about what is open, and about nothing that somebody decided."""
    campaign = quarter.freeze(undecided=rule)
    quarter.decide(ANN, quarter.view(campaign, "alice", "orders:read"), "remove")
    quarter.decide(ANN, quarter.view(campaign, "alice", "reports:read"), "keep")
    quarter.now = campaign.deadline
    closed = quarter.campaigns.close(OPERATOR, campaign.id)
    assert ("closed", 24, quarter.now) == (closed.state(quarter.now), closed.decided, closed.closed_at)
    found: dict[str, int] = {}
    by_rule = 0
    for view in quarter.views(campaign):
        assert view.decision is not None
        found[view.decision.decision] = found.get(view.decision.decision, 0) + 1
        by_rule += view.decision.rule
    assert (counts, 22) == (found, by_rule)
    assert [*["frozen"], *["decided"] * 24, "closed"] == quarter.actions(campaign)


def test_closing_early_is_said(quarter: Quarter) -> None:
    """Before the deadline, open items need a word of their own; a campaign that is all decided does not."""
    campaign = quarter.freeze()
    with pytest.raises(CampaignRefused, match="24 items are open") as caught:
        quarter.campaigns.close(OPERATOR, campaign.id)
    assert ("early", 0) == (caught.value.reason, quarter.campaigns.get(campaign.id).decided)
    quarter.campaigns.close(OPERATOR, campaign.id, early=True)
    with pytest.raises(CampaignClosed, match="closed"):
        quarter.campaigns.close(OPERATOR, campaign.id)
    second = quarter.freeze()
    quarter.decide_all(second)
    assert second.id == quarter.campaigns.close(OPERATOR, second.id).id


@pytest.mark.parametrize(("times", "closes"), [(1, True), (99, False)])
def test_a_decision_that_is_taken_back_while_closing(
    quarter: Quarter, monkeypatch: pytest.MonkeyPatch, times: int, closes: bool
) -> None:
    """The rule decides about it again, and gives up only if this goes on."""
    campaign, close, left = quarter.freeze(), quarter.store.close_campaign, [None] * times

    def close_later(*arguments: Any, **more: Any) -> Any:
        if left:
            left.pop()
            quarter.decide(ANN, quarter.views(campaign, part="Ann Lee")[0], "")
        return close(*arguments, **more)

    monkeypatch.setattr(quarter.store, "close_campaign", close_later)
    if closes:
        assert quarter.campaigns.close(OPERATOR, campaign.id, early=True).closed_at is not None
        assert all(view.decision is not None for view in quarter.views(campaign))
        return
    with pytest.raises(CampaignRefused, match="close it again") as refused:
        quarter.campaigns.close(OPERATOR, campaign.id, early=True)
    assert "undecided" == refused.value.reason


def test_the_plan_of_a_closed_campaign(quarter: Quarter) -> None:
    """It has every decision with who made it and why, and the same hash each time."""
    campaign = quarter.freeze(stages="notice=14d,trial=30d")
    quarter.decide(ANN, quarter.view(campaign, "alice", "reports:read"), "remove", comment="not her work")
    quarter.decide(BEN, quarter.view(campaign, "dave", "orders:*"), "narrow")
    quarter.decide(BEN, quarter.view(campaign, "carol", "reports:read"), "exempt", until="2027-01-31")
    with pytest.raises(CampaignRefused, match="not closed") as caught:
        quarter.campaigns.plan(campaign.id)
    assert "open" == caught.value.reason
    quarter.campaigns.close(OPERATOR, campaign.id, early=True)
    plan = quarter.campaigns.plan(campaign.id)
    quarter.now += 1
    assert (24, plan.hash, quarter.now - 1) == (len(plan.items), quarter.engine().plan(campaign.id).hash, plan.made_at)
    assert ["notice", "trial"] == [stage.name for stage in plan.stages]
    items = {(item.name, item.grant): item for item in plan.items}
    alice, dave, carol = items["alice", "reports:read"], items["dave", "orders:*"], items["carol", "reports:read"]
    assert ("deny", "Ann Lee", "not her work") == (alice.action, alice.reviewer, alice.comment)
    assert ("deny", "Ben Ray", ("orders:list", "orders:read")) == (dave.action, dave.reviewer, dave.instead)
    assert ("exempt", "2027-01-31") == (carol.action, carol.until)
    assert {"the deadline rule"} == {item.reviewer for item in plan.items} - {"Ann Lee", "Ben Ray"}
    assert 2 == sum(item.revokes for item in plan.items)


def test_exemptions_hold_in_later_campaigns(quarter: Quarter) -> None:
    """What was exempt in a closed campaign is not asked again until that day is over."""
    first = quarter.freeze()
    quarter.decide(ANN, quarter.view(first, "alice", "reports:read"), "exempt", until="2026-11-20")
    quarter.decide(BEN, quarter.view(first, "ann", "reports:read"), "exempt", until="2026-11-02")
    given_up = quarter.freeze()
    quarter.decide(ANN, quarter.view(given_up, "bob", "reports:read"), "exempt", until="2026-12-31")
    quarter.campaigns.cancel(OPERATOR, given_up.id, reason="by mistake")
    quarter.campaigns.close(OPERATOR, first.id, early=True)
    quarter.now += 2 * DAY
    asked = {view.finding.name for view in quarter.views(quarter.freeze()) if view.finding.grant == "reports:read"}
    assert ("alice" not in asked, {"ann", "bob"} <= asked) == (True, True)
    quarter.now += 18 * DAY
    later = quarter.views(quarter.freeze(options=ReviewOptions(rule=DecisionRule("fixed", 180))))
    asked = {view.finding.name for view in later if view.finding.grant == "reports:read"}
    assert "alice" in asked
