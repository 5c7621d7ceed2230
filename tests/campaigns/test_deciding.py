"""Deciding: what is stored, what is refused, and who may not decide about what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from campaign_scenario import PEOPLE, hold
from campaigns.conftest import ANN, BEN, DAY, EVE, OPERATOR, Quarter
from jwt_lp import Policy
from jwt_lp.campaigns import Campaigns
from jwt_lp.campaigns.decision_checks import NOT_YOURS
from jwt_lp.errors import CampaignClosed, CampaignRefused, CampaignUnknown, InvalidDecision
from jwt_lp.stores.audit import Actor
from jwt_lp.stores.campaigns import WantedDecision
from jwt_lp.usage.recorder import pseudonymizer
from review_scenario import ISSUER


def test_a_decision_is_stored(quarter: Quarter) -> None:
    """A reviewer decides, and the page, the part, the campaign and the audit trail know it."""
    campaign = quarter.freeze()
    view = quarter.view(campaign, "alice", "reports:read")
    result = quarter.decide(ANN, view, "exempt", until="31.01.2027", comment=" needed for the audit ")
    assert ((view.id,), ()) == (result.changed, result.conflicts)
    decision = quarter.view(campaign, "alice", "reports:read").decision
    assert decision is not None
    assert ("exempt", "2027-01-31", "needed for the audit", ANN, False) == (
        decision.decision, decision.until, decision.comment, decision.by, decision.rule,
    )  # fmt: skip
    progress = quarter.campaigns.progress(campaign.id)
    assert (23, 8, (("2026-11-01", 1),)) == (progress.open, progress.unassigned + 3, progress.by_day)
    assert ["frozen", "decided"] == quarter.actions(campaign)


def test_a_decision_is_changed_and_taken_back(quarter: Quarter) -> None:
    """Until the deadline, a decision may be another one, or none again."""
    campaign = quarter.freeze()
    for decision in ("remove", "keep", ""):
        quarter.decide(ANN, quarter.view(campaign, "alice", "reports:read"), decision)
    view = quarter.view(campaign, "alice", "reports:read")
    assert (None, 3, 24) == (view.decision, view.version, quarter.campaigns.progress(campaign.id).open)


def test_two_reviewers_do_not_overwrite_each_other(quarter: Quarter) -> None:
    """A decision about what somebody else decided meanwhile is a conflict, and shows the item as it is."""
    campaign = quarter.freeze()
    seen = quarter.view(campaign, "alice", "reports:read")
    quarter.decide(OPERATOR, seen, "keep")
    result = quarter.decide(ANN, seen, "remove")
    assert ((), [seen.id]) == (result.changed, [item.id for item in result.conflicts])
    decision = quarter.view(campaign, "alice", "reports:read").decision
    assert decision is not None
    assert "keep" == decision.decision


@pytest.mark.parametrize(
    ("wanted", "fault"),
    [
        ({"decision": "kepe"}, "alice reports:read: 'kepe' is not a decision; did you mean 'keep'?"),
        ({"decision": "narrow"}, "alice reports:read: the grant cannot be narrowed: there is no narrower grant instead"),
        ({"decision": "exempt"}, "alice reports:read: an exemption needs a last day: fill in until, as in 2027-01-31"),
        ({"decision": "exempt", "until": "2/3/2027"}, "alice reports:read: until: '2/3/2027' is not a day such as 2027-01-31"),
        ({"decision": "exempt", "until": "2026-10-31"}, "alice reports:read: the exemption ended on 2026-10-31: name a day that is to come"),
        ({"decision": "exempt", "until": "2028-11-03"}, "alice reports:read: an exemption lasts until 2028-11-02 at most: it can be made again then"),
        ({"decision": "exempt", "until": "9999-12-31"}, "alice reports:read: an exemption lasts until 2028-11-02 at most: it can be made again then"),
        ({"decision": "keep", "until": "2027-01-31"}, "alice reports:read: until is only for exemptions"),
        ({"decision": "keep", "comment": "x" * 1001}, "alice reports:read: the comment has more than 1,000 characters"),
        ({"decision": "keep", "group": "no such"}, "alice reports:read: it is not in that group"),
    ],
)  # fmt: skip
def test_an_incomplete_decision_is_refused(quarter: Quarter, wanted: dict[str, Any], fault: str) -> None:
    """The fault is named, and nothing is stored, also of the decisions beside it."""
    campaign = quarter.freeze()
    view, other = (quarter.view(campaign, "alice", grant) for grant in ("reports:read", "orders:read"))
    given = [
        WantedDecision(item=other.id, decision="remove", version=0),
        WantedDecision(item=view.id, version=0, **wanted),
    ]
    with pytest.raises(InvalidDecision) as caught:
        quarter.campaigns.decide(ANN, campaign.id, given, part=view.part)
    assert ((fault,), 24) == (caught.value.faults, quarter.campaigns.progress(campaign.id).open)


def test_a_broad_grant_is_narrowed(quarter: Quarter) -> None:
    """What has a narrower grant instead can be narrowed."""
    campaign = quarter.freeze()
    quarter.decide(BEN, quarter.view(campaign, "dave", "orders:*"), "narrow")
    decision = quarter.view(campaign, "dave", "orders:*").decision
    assert decision is not None
    assert "narrow" == decision.decision


def test_a_part_is_its_reviewers(quarter: Quarter) -> None:
    """Nobody else decides about it, whatever part is named with the item."""
    campaign = quarter.freeze()
    view = quarter.view(campaign, "carol", "reports:read")
    with pytest.raises(CampaignRefused, match="not yours") as caught:
        quarter.decide(ANN, view)
    assert "part" == caught.value.reason
    with pytest.raises(CampaignRefused, match="another part"):
        quarter.decide(ANN, replace(view, part="Ann Lee"))
    with pytest.raises(CampaignRefused, match="not yours"):
        quarter.decide(replace(BEN, issuer="https://other.example/"), view)
    with pytest.raises(CampaignRefused, match="not yours"):
        quarter.decide(ANN, quarter.view(campaign, "ben", "reports:read"))
    assert 24 == quarter.campaigns.progress(campaign.id).open


def test_unknown_things_are_unknown(quarter: Quarter) -> None:
    """An unknown campaign, part or item is `CampaignUnknown`."""
    view = quarter.view(quarter.freeze(), "alice", "reports:read")
    unknown: list[dict[str, Any]] = [{"campaign": "x"}, {"part": "x"}, {"id": "x"}]
    for changed in unknown:
        with pytest.raises(CampaignUnknown):
            quarter.decide(OPERATOR, replace(view, **changed))
    with pytest.raises(CampaignUnknown):
        quarter.campaigns.item(view.campaign, "x")


def test_nothing_is_decided_after_the_deadline(quarter: Quarter) -> None:
    """The deadline is exact, also for an operator."""
    campaign = quarter.freeze()
    view = quarter.view(campaign, "alice", "reports:read")
    quarter.now = campaign.deadline - 1
    quarter.decide(ANN, view)
    quarter.now = campaign.deadline
    for actor in (ANN, OPERATOR):
        with pytest.raises(CampaignRefused, match="deadline was 2026-11-15T12:00Z") as caught:
            quarter.decide(actor, quarter.view(campaign, "alice", "reports:read"), "keep")
        assert "deadline" == caught.value.reason


def test_nothing_is_decided_in_a_campaign_that_was_given_up(quarter: Quarter) -> None:
    """A cancelled campaign says so, and giving up needs a reason."""
    campaign = quarter.freeze()
    view = quarter.view(campaign, "alice", "reports:read")
    with pytest.raises(CampaignRefused, match="say why"):
        quarter.campaigns.cancel(OPERATOR, campaign.id, reason=" ")
    quarter.campaigns.cancel(OPERATOR, campaign.id, reason="wrong data")
    with pytest.raises(CampaignClosed, match="cancelled"):
        quarter.decide(ANN, view)
    with pytest.raises(CampaignClosed, match="cancelled"):
        quarter.campaigns.cancel(OPERATOR, campaign.id, reason="again")
    assert () == quarter.campaigns.parts_for(ANN)


# Nobody decides about oneself.


def own_view(quarter: Quarter) -> Any:
    """What Ann holds, in a part that was given to her."""
    campaign = quarter.freeze()
    part = next(part for part in quarter.campaigns.parts(campaign.id) if part.name == "Ben Ray")
    quarter.campaigns.delegate(BEN, campaign.id, "Ben Ray", ANN, version=part.version)
    return quarter.view(campaign, "ann", "reports:read")


@pytest.mark.parametrize("decision", ["keep", "remove", "exempt", ""])
@pytest.mark.parametrize("actor", [ANN, OPERATOR], ids=["herself", "by an operator in her place"])
def test_nobody_decides_about_oneself(quarter: Quarter, decision: str, actor: Actor) -> None:
    """Not by delegation, and not by an operator who decides in place of the part's reviewer."""
    view = own_view(quarter)
    with pytest.raises(CampaignRefused, match="nobody decides about their own access") as caught:
        quarter.decide(actor, view, decision, until="2027-01-31" if decision == "exempt" else "")
    assert ("own", 24) == (caught.value.reason, quarter.campaigns.progress(view.campaign).open)


def test_nobody_decides_about_oneself_among_others(quarter: Quarter) -> None:
    """One item of one's own among others refuses them all, and names it."""
    view = own_view(quarter)
    wanted = [
        WantedDecision(item=each.id, decision="keep", version=0)
        for each in quarter.campaigns.items(view.campaign, part=view.part).items
    ]
    with pytest.raises(CampaignRefused, match="ann orders:refund: nobody") as caught:
        quarter.campaigns.decide(ANN, view.campaign, wanted, part=view.part)
    assert "carol" not in str(caught.value)


def test_a_namesake_of_another_issuer_is_somebody_else(quarter: Quarter) -> None:
    """Subjects that are not in the list of people are compared with their issuers."""
    quarter.campaigns = quarter.engine(people={"carol": PEOPLE["carol"], "ben": PEOPLE["ben"]})
    namesake = Actor(issuer="https://staff.example/", subject="ann")
    campaign = quarter.freeze(split="issuer", reviewers={ISSUER: namesake})
    quarter.decide(namesake, quarter.view(campaign, "ann", "reports:read"))
    assert 23 == quarter.campaigns.progress(campaign.id).open


def test_nobody_decides_about_oneself_under_the_reviewers_issuer(quarter: Quarter) -> None:
    """Who signs in elsewhere to decide is found in the list of people by subject, so the subject is the same person."""
    staff = Actor(issuer="https://staff.example/", subject="ben")
    campaign = quarter.freeze(split="issuer", reviewers={ISSUER: staff})
    view = quarter.view(campaign, "ben", "reports:read")
    assert "" == view.part
    part = quarter.campaigns.assign(OPERATOR, campaign.id, "", staff, version=0)
    with pytest.raises(CampaignRefused, match="own access"):
        quarter.decide(staff, quarter.view(campaign, "ben", "reports:read"))
    assert 24 == quarter.campaigns.progress(part.campaign).open
    roles = quarter.freeze(split="role", reviewers={"clerk": staff}, name="Roles")
    with pytest.raises(CampaignRefused, match="a role that they have"):
        quarter.decide(staff, quarter.view(roles, "clerk", "orders:refund"), "keep")


def test_a_long_name_hides_nobodys_own_access(quarter: Quarter) -> None:
    """A store cuts a subject that is longer than its columns; it is still whoever signs in with it."""
    subject = "u" * 300
    quarter.scenario.import_grants(hold(subject, "reports:read"), hold("alice", "reports:read"))
    long = Actor(issuer=ISSUER, subject=subject)
    campaign = quarter.freeze(split="issuer", reviewers={ISSUER: long})
    (view,) = quarter.views(campaign, part="")
    quarter.campaigns.assign(OPERATOR, campaign.id, "", long, version=0)
    with pytest.raises(CampaignRefused, match="own access"):
        quarter.decide(long, view)


def test_keyed_hashes_hide_nobodys_own_access(quarter: Quarter) -> None:
    """A store that records keyed hashes knows what belongs to whoever decides."""
    naming = pseudonymizer(b"k" * 32)
    hashed = naming(ISSUER, "eve")
    quarter.scenario.record_use(hashed, "reports:read", 390, 300)
    quarter.scenario.import_grants(hold(hashed, "reports:read"), hold("alice", "reports:read"))
    quarter.campaigns = quarter.engine(naming=naming)
    campaign = quarter.freeze(split="issuer", reviewers={ISSUER: EVE})
    assert {hashed: "", "alice": ISSUER} == {view.finding.name: view.part for view in quarter.views(campaign)}
    quarter.campaigns.assign(OPERATOR, campaign.id, "", EVE, version=0)
    with pytest.raises(CampaignRefused, match="own access"):
        quarter.decide(EVE, quarter.view(campaign, hashed, "reports:read"))
    quarter.decide(EVE, quarter.view(campaign, "alice", "reports:read"))
    assert 1 == quarter.campaigns.progress(campaign.id).open


@pytest.mark.parametrize(("decision", "until"), [("keep", ""), ("exempt", "2027-01-31")])
def test_nobody_keeps_a_role_of_their_own(quarter: Quarter, decision: str, until: str) -> None:
    """Whoever has a role may take a grant from it, and may not keep one."""
    campaign = quarter.freeze(split="role", reviewers={"clerk": ANN})
    view = quarter.view(campaign, "clerk", "orders:refund")
    with pytest.raises(CampaignRefused, match="clerk orders:refund: nobody keeps a grant of a role") as caught:
        quarter.decide(ANN, view, decision, until=until)
    assert "own" == caught.value.reason
    quarter.decide(ANN, view, "remove")
    both = [quarter.view(campaign, "clerk", grant) for grant in ("orders:read", "orders:refund")]
    reason = "nobody keeps a grant of a role that they have themselves"
    assert {each.id: reason for each in both} == quarter.campaigns.refusals(ANN, campaign.id, both)


def test_nobody_takes_back_that_somebody_else_takes_their_role_away(quarter: Quarter) -> None:
    """It would be open again, and kept by the deadline rule. What one has decided oneself, one takes back."""
    campaign = quarter.freeze(split="role", reviewers={"clerk": EVE})
    first, second = (quarter.view(campaign, "clerk", grant) for grant in ("orders:read", "orders:refund"))
    quarter.decide(EVE, first, "remove")
    quarter.campaigns.delegate(EVE, campaign.id, "clerk", ANN, version=0)
    with pytest.raises(CampaignRefused, match="clerk orders:read: nobody keeps a grant of a role"):
        quarter.decide(ANN, quarter.view(campaign, "clerk", "orders:read"), "")
    for decision in ("remove", ""):
        quarter.decide(ANN, quarter.view(campaign, "clerk", "orders:refund"), decision)
    assert quarter.view(campaign, "clerk", "orders:refund").version == second.version + 2


def test_nobody_keeps_a_grant_of_a_role_that_their_own_includes(quarter: Quarter) -> None:
    """Whoever has a role has what it includes, too."""
    quarter.scenario.import_grants(*(hold(name, "", "clerk") for name in ("alice", "bob")), hold("ann", "", "head"))
    roles = {"clerk": {"grants": ["orders:list", "orders:read", "orders:refund"]}, "head": {"includes": ["lead"]}}
    roles["lead"] = {"includes": ["clerk"]}
    permissions = {name: {} for name in ("orders:list", "orders:read", "orders:refund", "reports:read")}
    quarter.policy = Policy.from_mapping({"version": 1, "permissions": permissions, "roles": roles})
    quarter.campaigns = quarter.engine()
    campaign = quarter.freeze(split="role", reviewers={"clerk": ANN})
    with pytest.raises(CampaignRefused, match="a role that they have"):
        quarter.decide(ANN, quarter.view(campaign, "clerk", "orders:refund"), "keep")


def test_whoever_does_not_have_the_role_keeps_it(quarter: Quarter) -> None:
    """The rule is about those who have the role."""
    campaign = quarter.freeze(split="role", reviewers={"clerk": EVE})
    quarter.decide(EVE, quarter.view(campaign, "clerk", "orders:refund"), "keep")
    assert 23 == quarter.campaigns.progress(campaign.id).open


def test_a_refusal_is_known_before(quarter: Quarter) -> None:
    """A page asks first, and shows no form for what would be refused."""
    view = own_view(quarter)
    campaign = quarter.campaigns.get(view.campaign)
    other, nobodys = quarter.view(campaign, "carol", "reports:read"), quarter.view(campaign, "ben", "reports:read")
    views = [view, other, nobodys]
    refusals = quarter.campaigns.refusals
    own = "nobody decides about their own access"
    assert {view.id: own, nobodys.id: NOT_YOURS} == refusals(ANN, campaign.id, views)
    assert {view.id: own} == refusals(OPERATOR, campaign.id, views)
    assert (own, "") == (quarter.campaigns.refusal(ANN, view), quarter.campaigns.refusal(ANN, other))
    assert {each.id: NOT_YOURS for each in views} == refusals(EVE, campaign.id, views)
    quarter.now += 30 * DAY
    assert ["the deadline was"] * 3 == [text[:16] for text in refusals(ANN, campaign.id, views).values()]


# Assigning.


def test_a_part_is_assigned_and_delegated(quarter: Quarter) -> None:
    """Somebody else decides from then on, and the trail says who gave it to whom."""
    campaign = quarter.freeze()
    part = quarter.campaigns.assign(OPERATOR, campaign.id, "", EVE, version=0)
    assert (EVE, None) == (part.reviewer, part.delegated_by)
    part = quarter.campaigns.delegate(EVE, campaign.id, "", BEN, version=part.version)
    assert (BEN, EVE) == (part.reviewer, part.delegated_by)
    assert {"", "Ben Ray"} == {each.name for each in quarter.campaigns.parts_for(BEN)}
    part = quarter.campaigns.assign(OPERATOR, campaign.id, "", None, version=part.version)
    assert part.reviewer is None
    actions = quarter.actions(campaign)
    assert ["frozen", "assigned", "delegated", "assigned"] == actions


def test_a_part_is_not_given_away_by_others(quarter: Quarter) -> None:
    """Delegating is for the part's reviewer, to somebody else who can sign in, and for what was seen."""
    campaign = quarter.freeze()
    delegate = quarter.campaigns.delegate
    with pytest.raises(CampaignRefused, match="not yours"):
        delegate(ANN, campaign.id, "Ben Ray", EVE, version=0)
    with pytest.raises(CampaignRefused, match="yours already"):
        delegate(BEN, campaign.id, "Ben Ray", replace(BEN, name="B"), version=0)
    for reviewer in (OPERATOR, Actor(issuer=ISSUER, subject=" ")):
        with pytest.raises(CampaignRefused, match="an issuer and a subject"):
            delegate(BEN, campaign.id, "Ben Ray", reviewer, version=0)
        with pytest.raises(CampaignRefused, match="an issuer and a subject"):
            quarter.campaigns.assign(OPERATOR, campaign.id, "Ben Ray", reviewer, version=0)
    delegate(BEN, campaign.id, "Ben Ray", EVE, version=0)
    with pytest.raises(CampaignRefused):
        quarter.campaigns.assign(OPERATOR, campaign.id, "Ben Ray", ANN, version=0)
    quarter.now = campaign.deadline
    with pytest.raises(CampaignRefused, match="deadline"):
        delegate(EVE, campaign.id, "Ben Ray", ANN, version=1)
    quarter.campaigns.close(OPERATOR, campaign.id)
    with pytest.raises(CampaignClosed):
        quarter.campaigns.assign(OPERATOR, campaign.id, "Ben Ray", ANN, version=1)


def test_one_decision_covers_a_group(quarter: Quarter) -> None:
    """A group is decided by the decisions of its members, all or none, and its view counts them."""
    campaign = quarter.freeze()
    page = quarter.campaigns.items(campaign.id, part="Ben Ray")
    (group,) = page.groups
    assert (4, 0, "4 grants of 2 holders, held by people who have left: one decision") == (
        group.items, group.decided, group.sentence,
    )  # fmt: skip
    members = quarter.campaigns.items(campaign.id, part="Ben Ray", group=group.group.id, details=False)
    assert (4, (), None) == (len(members.items), members.groups, members.next)
    wanted = [
        WantedDecision(item=view.id, decision="remove", version=view.version, group=group.group.id)
        for view in members.items
    ]
    quarter.campaigns.decide(BEN, campaign.id, wanted, part="Ben Ray")
    (group,) = quarter.campaigns.items(campaign.id, part="Ben Ray", ids=[]).groups
    assert (4, 4) == (group.items, group.decided)
    assert PEOPLE.keys() >= {view.finding.name for view in members.items}


class _Interrupted:
    """A store in which something happens right before decisions are written."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.happens: Callable[[], object] = lambda: None

    def __getattr__(self, name: str) -> Any:
        if name == "decide_items":
            self.happens()
        return getattr(self._store, name)


@pytest.mark.parametrize("way", ["item", "worksheet"])
def test_a_part_that_was_given_away_meanwhile_is_not_decided(quarter: Quarter, way: str) -> None:
    """Who loses a part while deciding about it decides nothing."""
    campaign = quarter.freeze()
    view = quarter.view(campaign, "alice", "reports:read")
    text = quarter.campaigns.worksheet(campaign.id, view.part).text.replace(f'"F{view.id}",""', f'"F{view.id}","keep"')

    def give_away() -> None:
        quarter.campaigns.assign(OPERATOR, campaign.id, view.part, BEN, version=0)

    store: Any = _Interrupted(quarter.store)
    campaigns = Campaigns(store, quarter.policy, clock=lambda: quarter.now)
    store.happens = give_away
    wanted = [WantedDecision(item=view.id, decision="keep", version=0)]
    decide = {
        "item": lambda: campaigns.decide(ANN, campaign.id, wanted, part=view.part),
        "worksheet": lambda: campaigns.read_worksheet(ANN, campaign.id, text, part=view.part),
    }[way]
    with pytest.raises(CampaignRefused) as caught:
        decide()
    assert ("version", 24) == (caught.value.reason, quarter.campaigns.progress(campaign.id).open)
