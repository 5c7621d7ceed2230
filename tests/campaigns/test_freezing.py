"""Freezing a review: parts, reviewers, the order of deciding, and what is refused."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from campaign_scenario import PEOPLE, hold
from campaigns.conftest import ANN, BEN, DAY, EVE, OPERATOR, Quarter
from jwt_lp.campaigns import Campaigns, ReviewOptions
from jwt_lp.campaigns.finding_json import finding_from_json, finding_to_json
from jwt_lp.campaigns.frozen_parts import freeze_parts
from jwt_lp.campaigns.reviewers import ReviewerList
from jwt_lp.errors import CampaignUnknown, ConfigurationError
from jwt_lp.review import DecisionRule, JustInTime, Person, Reason, ScorePart
from jwt_lp.review.trained_review import trained_review
from jwt_lp.stores import UsageBatch
from jwt_lp.usage.recorder import plain_subject, pseudonymizer
from memory_store import MemoryStore
from review_factory import make_finding
from review_scenario import ISSUER, NOW, days_ago, noon_of

pytestmark = pytest.mark.once


def test_each_manager_gets_a_part(quarter: Quarter) -> None:
    """Parts are by manager, and the reviewer is the person whom the list of people has by that subject or name."""
    parts = quarter.campaigns.parts(quarter.freeze().id)
    assert {"": None, "Ann Lee": ANN, "Ben Ray": BEN, "ann": ANN} == {part.name: part.reviewer for part in parts}
    assert 24 == sum(part.items for part in parts)


def test_what_reviewers_hold_is_in_nobodys_part(quarter: Quarter) -> None:
    """No one is asked about oneself: what a reviewer holds is in the part without a reviewer."""
    campaign = quarter.freeze(reviewers={"Ben Ray": replace(ANN, name="")})
    assert {"Ben Ray": 0, "": 3} == {
        part: sum(view.finding.name == "ann" for view in quarter.views(campaign, part=part)) for part in ("Ben Ray", "")
    }


def test_the_review_is_that_of_the_command(quarter: Quarter) -> None:
    """A campaign has exactly the findings that the same review has, unchanged."""
    options = ReviewOptions(rule=DecisionRule("fixed", 180), people=PEOPLE)
    review = trained_review(quarter.store, options, now=NOW, policy=quarter.policy, made_at=quarter.now)
    campaign = quarter.freeze()
    views = {view.id: view.finding for view in quarter.views(campaign)}
    assert views == {found.id: found for found in review.findings if found.id in views}
    assert (review.digest, quarter.policy.digest) == (campaign.origin["review"], campaign.origin["policy"])


def test_the_most_certain_comes_first(quarter: Quarter) -> None:
    """Groups come first, then removals by the upper bound of their likelihood, and last what has none."""
    views = quarter.views(quarter.freeze(), part="Ben Ray")
    assert [True] * 4 + [False] * 9 == [bool(view.group) for view in views]
    bounds = [view.finding.likelihood_bound for view in views[4:]]
    known = [bound for bound in bounds if bound is not None]
    assert [*sorted(known), *[None] * (9 - len(known))] == bounds
    assert [*range(13)] == [view.position for view in views]


def test_a_single_leaver_comes_before_what_somebody_might_need() -> None:
    """Nobody who has left needs anything, so it is certain although it has no likelihood; what is held back comes later."""
    findings = [
        make_finding("none"),
        make_finding("likely", likelihood=0.3, likelihood_bound=0.4),
        make_finding("held", proposal="keep", guards=("a guard",), likelihood=0.0, likelihood_bound=0.0),
        make_finding("leaver", verdict="leaver"),
    ]
    nobody = ReviewerList({}, {}, issuer="", naming=plain_subject, today=NOW)
    (part,) = freeze_parts(findings, "manager", nobody, lambda _finding, _actor: False)
    assert ["leaver", "likely", "held", "none"] == [finding.name for finding in part.findings]


@pytest.mark.parametrize(
    ("part", "issuers", "options", "reviewer"),
    [
        pytest.param("ann", [ISSUER], {}, ANN, id="a subject"),
        pytest.param("Ann Lee", [ISSUER], {}, ANN, id="a name"),
        pytest.param("Ann Lee", [ISSUER, "https://other.example/"], {}, None, id="two issuers"),
        pytest.param("Ann Lee", [ISSUER, "x"], {"issuer": ISSUER}, ANN, id="where reviewers sign in"),
        pytest.param("Ann", [ISSUER], {}, None, id="nobody of that name"),
        pytest.param("Twin", [ISSUER], {}, None, id="two of that name"),
        pytest.param("lars", [ISSUER], {}, None, id="has left"),
        pytest.param("", [ISSUER], {}, None, id="nobody in charge"),
        pytest.param("ann", [ISSUER], {"by_manager": False}, None, id="not by manager"),
        pytest.param("Ann Lee", [ISSUER], {"named": {"Ann Lee": EVE}}, EVE, id="named"),
    ],
)
def test_the_reviewer_of_a_part(part: str, issuers: list[str], options: dict[str, Any], reviewer: object) -> None:
    """A reviewer is known by one name or subject, works there today, and signs in at one known issuer."""
    people = {**PEOPLE, "t1": Person("Twin"), "t2": Person("Twin")}
    by_manager = options.pop("by_manager", True)
    given: dict[str, Any] = {"named": {}, "issuer": "", "naming": plain_subject, "today": NOW} | options
    found = ReviewerList(people, given.pop("named"), **given).find(part, issuers, by_manager=by_manager)
    assert reviewer == found


def test_keyed_hashes_are_no_reviewers() -> None:
    """A list of keyed hashes has the manager's name for tokens only where it is written as the manager."""
    naming = pseudonymizer(b"k" * 32)
    listed = ReviewerList({naming(ISSUER, "ann"): PEOPLE["ann"]}, {}, issuer="", naming=naming, today=NOW)
    assert ANN == listed.find("ann", [ISSUER], by_manager=True)
    assert None is listed.find("Ann Lee", [ISSUER], by_manager=True)


def test_a_team_has_no_reviewer_until_one_is_assigned(quarter: Quarter) -> None:
    """The list of people names managers alone, so parts by team are assigned by hand."""
    campaign = quarter.freeze(split="team", reviewers={"stock": EVE})
    assert {"": None, "board": None, "sales": None, "stock": EVE} == {
        part.name: part.reviewer for part in quarter.campaigns.parts(campaign.id)
    }
    assert 14 == quarter.campaigns.progress(campaign.id).unassigned


@pytest.mark.parametrize(
    ("terms", "faults"),
    [
        ({"name": " "}, ["a campaign needs a name of at most 200 characters"]),
        ({"name": "x" * 201}, ["a campaign needs a name of at most 200 characters"]),
        ({"deadline": 0.0}, ["the deadline is to come, within 366 days"]),
        ({"deadline": float("nan")}, ["the deadline is to come, within 366 days"]),
        ({"deadline": 9e12}, ["the deadline is to come, within 366 days"]),
        ({"undecided": "kepe"}, ["undecided: 'kepe' is not possible; did you mean 'keep'?"]),
        ({"split": "x"}, ["split: 'x' is not possible: write one of manager, team, role, issuer"]),
        ({"stages": "now"}, ["'now' is not a stage: write notice=14d,trial=30d, or one of them"]),
        ({"reviewers": {"Zoe": EVE}}, ["no part has the name 'Zoe': the parts are '', 'Ann Lee', 'Ben Ray', 'ann'"]),
        (
            {"reviewers": {"ann": OPERATOR}},
            ["a reviewer has an issuer and a subject, as the reviewer's token names them"],
        ),
    ],
)
def test_impossible_terms_are_refused(quarter: Quarter, terms: dict[str, Any], faults: list[str]) -> None:
    """Each fault is named, and no campaign is made."""
    with pytest.raises(ConfigurationError) as caught:
        quarter.freeze(**terms)
    assert (faults, ()) == ([*caught.value.faults], quarter.campaigns.list())


def test_without_anything_to_decide_there_is_no_campaign(quarter: Quarter) -> None:
    """A campaign without an item would tell nobody anything."""
    with pytest.raises(ConfigurationError, match="nothing needs a decision"):
        quarter.freeze(options=ReviewOptions(issuer="https://nobody.example/"))


def test_many_parts_are_named_in_short(quarter: Quarter) -> None:
    """A fault names the first parts, not all."""
    quarter.scenario.import_grants(*(hold(f"p{number}", "reports:read") for number in range(20)))
    people = {f"p{number}": Person(team=f"{number}") for number in range(20)}
    options = ReviewOptions(rule=DecisionRule("fixed", 180), people=people)
    with pytest.raises(ConfigurationError, match=re.escape(", ...")):
        quarter.freeze(split="team", reviewers={"Zoe": EVE}, options=options)


def test_campaigns_are_listed_and_found(quarter: Quarter) -> None:
    """The newest comes first; an unknown id is `CampaignUnknown`."""
    first = quarter.freeze(name=" One ", stages="notice=14d, trial=30d")
    quarter.now += DAY
    second = quarter.freeze(name="Two", day=NOW)
    assert [second.id, first.id] == [each.id for each in quarter.campaigns.list()]
    found = quarter.campaigns.get(first.id)
    assert ("One", "notice=14d, trial=30d", NOW, 24, 0) == (
        found.name, found.stages, found.day, found.items, found.decided,
    )  # fmt: skip
    assert found == first
    assert found.summary == json.loads(json.dumps(found.summary))
    for call in (quarter.campaigns.get, quarter.campaigns.parts, quarter.campaigns.plan, quarter.campaigns.progress):
        with pytest.raises(CampaignUnknown):
            call("no such")


def test_the_summary_has_the_numbers_of_the_review(quarter: Quarter) -> None:
    """What pages show of a campaign as a whole is kept with it."""
    summary = quarter.freeze(options=ReviewOptions(rule=DecisionRule("fixed", 180), backtest=True)).summary
    assert (8, 1, 28, 28, 7) == tuple(summary[name] for name in ("subjects", "roles", "grants", "standing", "needed"))
    assert [["clerk", "orders:list", 6, 6], ["clerk", "orders:read", 6, 0], ["clerk", "orders:refund", 6, 0]] == (
        summary["matrix"]
    )
    assert ["orders:read", 8, 0] == summary["top_grants"][0]
    assert (11, 7, {"remove": 11, "keep": 12, "narrow": 1}) == (
        summary["removals"], summary["unknown"], summary["items"],
    )  # fmt: skip
    assert {"horizon", "settings", "recommended", "sampled"} <= {*summary["backtest"]}


def test_what_was_refused_is_no_standing_grant(quarter: Quarter) -> None:
    """What was requested and refused is counted apart: nobody holds it."""
    before = quarter.freeze(name="One").summary
    asked = quarter.scenario.use("alice", "orders:delete", 3, "", outcome="denied")
    quarter.store.record(UsageBatch(id="refused", uses={asked: (5, noon_of(days_ago(3)))}))
    after = quarter.freeze(name="Two").summary
    assert (0, 1) == (before["refused"], after["refused"])
    names = ("grants", "standing", "needed", "verdicts", "proposals")
    assert [before[name] for name in names] == [after[name] for name in names]


def test_the_policy_is_read_again_when_its_file_changes(quarter: Quarter, tmp_path: Path) -> None:
    """A console that runs for weeks freezes by the policy as it is."""
    file = tmp_path / "least-privilege.toml"
    campaigns = quarter.engine()
    engine = Campaigns(quarter.store, file, people=PEOPLE, clock=lambda: quarter.now)
    terms: dict[str, Any] = {"name": "Autumn", "deadline": quarter.now + DAY}
    first = engine.freeze(OPERATOR, **terms)
    assert quarter.policy.digest == first.origin["policy"] == engine.freeze(OPERATOR, **terms).origin["policy"]
    file.write_text(file.read_text().replace('"orders:refund"]', '"orders:refund", "reports:read"]'))
    assert first.origin["policy"] != engine.freeze(OPERATOR, **terms).origin["policy"]
    file.unlink()
    with pytest.raises(ConfigurationError):
        engine.freeze(OPERATOR, **terms)
    assert 3 == len(campaigns.list())


def test_without_a_policy_a_campaign_is_about_holders(quarter: Quarter) -> None:
    """A store without a policy file has campaigns as well."""
    engine = Campaigns(quarter.store, None, people=PEOPLE, clock=lambda: quarter.now)
    campaign = engine.freeze(OPERATOR, name="Autumn", deadline=quarter.now + DAY)
    assert "" == campaign.origin["policy"]


def test_a_store_without_campaigns_is_refused() -> None:
    """A store of somebody else's that keeps no campaigns is recognised at once."""
    store: Any = MemoryStore()
    with pytest.raises(ConfigurationError, match="keeps no campaigns"):
        Campaigns(store, None)


def test_a_finding_survives_the_store() -> None:
    """JSON gives back the same finding, and a member of a later release does no harm."""
    full = make_finding(
        instead=("a:b",),
        guards=("g",),
        others=("o",),
        because=(Reason("idle", "for", -1.0, "Idle."),),
        score=7,
        score_parts=(ScorePart("risk", 5, 40, "Risky."),),
        just_in_time=JustInTime("a:*", 60, 2.0),
        idle=3,
    )
    for finding in (full, make_finding()):
        stored = json.loads(json.dumps(finding_to_json(finding)))
        assert finding == finding_from_json({**stored, "added_later": 1})


def test_a_store_of_many_findings_tells_how_far_it_is(quarter: Quarter) -> None:
    """The steps of a freeze are told, the last one with the number of items."""
    steps: list[tuple[str, int]] = []
    quarter.freeze(on_step=lambda what, number: steps.append((what, number)))
    assert [("history read", 0), ("items written", 24)] == [steps[0], steps[-1]]
