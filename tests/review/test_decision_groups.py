"""Decisions by exception: what is obvious, what is asked first, and how many decisions are saved."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_lp.review.plan.decision_groups import describe_triage, information, sort_out
from jwt_lp.review.plan.review_items import undecided_findings
from jwt_lp.review.report import render
from review_factory import make_finding, make_review

OLD = {"idle": 800, "risk": "low", "likelihood": 0.001, "likelihood_bound": 0.004, "score": 20}


def old(name, **more):
    return make_finding(name, "a:x", **{**OLD, **more})


def test_what_is_obvious_is_one_decision() -> None:
    """Removals of the same age are one group; what is less clear is asked about one by one."""
    findings = [*(old(f"s{number}") for number in range(5)), old("risky", risk="high", score=90)]
    triage = sort_out(findings)
    (group,) = triage.groups
    assert (6, 4, 5) == (triage.open, triage.saved, group.holders)
    assert tuple(finding.id for finding in findings[:5]) == group.findings
    assert ("unused for 2 years or more", 0.004) == (group.what, group.likelihood)
    assert pytest.approx(0.005) == group.expected
    assert (findings[5].id,) == triage.questions
    assert "2 decisions about 6 findings: 1 group of obvious removals saves 4 decisions" == describe_triage(triage)


@pytest.mark.parametrize(
    "change",
    [
        {"risk": "high"},
        {"risk": "critical"},
        {"likelihood_bound": 0.0051},
        {"likelihood_bound": None},
        {"idle": 364},
        {"idle": None},
        {"proposal": "narrow", "instead": ("a:x:y",)},
        {"guards": ("last holder",)},
        {"of": "client"},
        {"of": "role"},
        {"verdict": "leaver", "left": "2026-10-01", "last_day": "2026-10-05"},
    ],
    ids=str,
)
def test_what_is_not_obvious_stays_in_no_group(change) -> None:
    """A doubt about one of its properties, and a person decides about it alone."""
    doubtful = old("doubtful", **change)
    triage = sort_out([old("a"), old("b"), doubtful, old("doubtful", **change | {"id": "again"})])
    assert all(doubtful.id not in group.findings for group in triage.groups)
    assert doubtful.id in triage.questions


def test_what_leavers_hold_is_one_decision_whatever_its_risk() -> None:
    """Nobody is left who could need it."""
    triage = sort_out([old(name, verdict="leaver", risk="high", likelihood_bound=None) for name in "ab"])
    assert [("held by people who have left", None)] == [(group.what, group.likelihood) for group in triage.groups]
    assert "1 decision about 2 findings: 1 group of obvious removals saves 1 decision" == describe_triage(triage)


def test_a_group_of_one_saves_nothing() -> None:
    """So it is a question like any other."""
    triage = sort_out([old("alone")])
    assert ((), 0, 1) == (triage.groups, triage.saved, len(triage.questions))
    assert "1 finding to decide" == describe_triage(triage)
    assert "" == describe_triage(sort_out([]))


def test_a_group_of_other_members_is_another_group() -> None:
    """A decision about a group cannot be taken for one about a different group."""
    first = sort_out([old("a"), old("b")]).groups[0].id
    assert first == sort_out([old("b"), old("a")]).groups[0].id
    assert first != sort_out([old("a"), old("b"), old("c")]).groups[0].id


def test_the_least_certain_and_riskiest_comes_first() -> None:
    """A likelihood of 50 % tells most; one that is unknown is as uncertain; risk weighs in."""
    asked = [
        old("even", risk="high", likelihood=0.5, score=80),
        old("unknown", risk="high", likelihood=None, score=70),
        old("even and harmless", risk="high", likelihood=0.5, score=20),
        old("nearly sure", risk="high", likelihood=0.01, score=90),
        old("sure", risk="high", likelihood=0.0, score=100),
    ]
    assert tuple(finding.id for finding in asked) == sort_out(reversed(asked)).questions


@given(
    st.lists(
        st.builds(
            lambda name, **more: old(f"s{name}", **more),
            st.integers(0, 10**9),
            idle=st.sampled_from([None, 10, 400, 800, 2000]),
            risk=st.sampled_from(["low", "medium", "high"]),
            verdict=st.sampled_from(["unused", "leaver", "dormant"]),
            proposal=st.sampled_from(["remove", "keep"]),
            likelihood=st.sampled_from([None, 0.0, 0.3]),
            likelihood_bound=st.sampled_from([None, 0.001, 0.4]),
            guards=st.sampled_from([(), ("held for only 1 day",)]),
        ),
        unique_by=lambda finding: finding.id,
        max_size=20,
    )
)
def test_every_open_decision_is_asked_once(findings) -> None:
    """Groups and questions together are what the worksheet lists, and the count of what is saved is true."""
    triage = sort_out(findings)
    listed = [name for group in triage.groups for name in group.findings] + [*triage.questions]
    assert sorted(listed) == sorted(finding.id for finding in undecided_findings(findings))
    assert triage.open - triage.saved == len(triage.groups) + len(triage.questions)
    by_id = {finding.id: finding for finding in findings}
    weights = [information(by_id[name]) for name in triage.questions]
    assert sorted(weights, reverse=True) == weights


def test_every_output_says_what_is_saved() -> None:
    """Text, JSON and page have the groups, the first questions and the number of decisions."""
    pytest.importorskip("jinja2", reason="the page needs Jinja2")
    review = make_review(*(old(f"s{number}") for number in range(5)), old("risky", risk="high", score=90))
    group = sort_out(review.findings).groups[0]
    text, page = render(review, "text"), render(review, "html")
    said = json.loads(render(review, "json"))["decisions"]
    assert (6, 4, list(group.findings)) == (said["open"], said["saved"], said["groups"][0]["findings"])
    for each in ("saves 4 decisions", "5 grants of 5 holders, unused for 2 years or more", group.id, "Ask first"):
        assert each in text
        assert each in page


def test_what_is_used_and_kept_is_no_question() -> None:
    """A large review does not list such findings, and its questions are those of a small one."""
    assert 0 == sort_out([old("a", verdict="used", proposal="keep", guards=("held for only 1 day",))]).open


def test_a_review_of_obvious_findings_asks_nothing() -> None:
    """Without a question, nothing says that anybody should be asked first."""
    text = render(make_review(old("a"), old("b")), "text")
    assert "Decide at once" in text
    assert "Ask first" not in text
