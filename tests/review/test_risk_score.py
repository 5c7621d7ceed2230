"""The risk score of a finding."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_lp.review.analysis import risk_score
from jwt_lp.review.analysis.risk_score import (
    GrantBreadth,
    breadth_part,
    holder_part,
    idle_part,
    members_part,
    risk_part,
)
from jwt_lp.review.findings import ScorePart
from review_scenario import ReviewScenario, find_finding

COUNTS = st.integers(0, 100_000)


@given(COUNTS, COUNTS, COUNTS, COUNTS)
def test_no_part_falls_when_its_input_grows(one: int, more: int, other: int, step: int) -> None:
    """Each part is monotone in each of its inputs, and stays within its most."""
    pairs: list[tuple[ScorePart, ScorePart]] = [
        (breadth_part(GrantBreadth(one, other)), breadth_part(GrantBreadth(one + more, other + step))),
        (idle_part(one, used=True), idle_part(one + more, used=True)),
        (idle_part(one, used=False), idle_part(one + more, used=False)),
        (holder_part(one), holder_part(one + more)),
        (holder_part(one), holder_part(one, client=True)),
        (holder_part(one, client=True), holder_part(one + more, client=True)),
        (members_part(one), members_part(one + more)),
    ]
    for less, most in pairs:
        assert 0 <= less.points <= most.points <= most.most == less.most


def test_the_parts_add_up_to_a_hundred() -> None:
    """The highest score is 100, and a higher risk has more points."""
    highest = (risk_part("high"), breadth_part(GrantBreadth(16, 1)), idle_part(365, used=True), holder_part(5))
    assert 100 == risk_score.total(highest) == sum(part.most for part in highest)
    assert [10, 25, 40] == [risk_part(risk).points for risk in ("low", "medium", "high")]


@pytest.mark.parametrize(
    ("part", "points", "sentence"),
    [
        (risk_part("low"), 10, "low risk"),
        (breadth_part(GrantBreadth(1, 0)), 0, "covers 1 permission"),
        (breadth_part(GrantBreadth(2, 1)), 5, "covers 2 permissions on 1 route"),
        (breadth_part(GrantBreadth(1, 2000)), 20, "covers 1 permission on 2,000 routes"),
        (idle_part(73, used=True), 5, "not used for 73 days"),
        (idle_part(4093, used=False), 25, "never used in 4,093 days"),
        (holder_part(0), 0, "a subject with no pattern and no grant of high risk"),
        (holder_part(1), 3, "a subject with 1 pattern or grant of high risk"),
        (holder_part(2, client=True), 12, "a client with 2 patterns or grants of high risk"),
        (members_part(1), 0, "a role with 1 member"),
        (members_part(8), 6, "a role with 8 members"),
        (risk_score.UNKNOWN_IDLE, 0, "its use is not recorded"),
    ],
)
def test_a_part_is_explained(part: ScorePart, points: int, sentence: str) -> None:
    """A part has its points and its reason in words."""
    assert (points, sentence) == (part.points, part.sentence)
    assert f"{sentence} ({points} of {part.most})" == str(part)


def test_a_finding_has_its_score(past: ReviewScenario) -> None:
    """The score of each finding is the sum of its parts; the riskier of two removals comes first."""
    past.declare_permissions("orders:list", "orders:read", "orders:refund", "reports:read")
    past.record_use("alice", "orders:read", 390, grant="orders:*")
    past.record_use("bob", "reports:read", 390)
    past.record_use("bob", "orders:list", 2, role="clerk", client="web")
    found = past.review(policy=past.policy())
    assert all(one.score == sum(part.points for part in one.score_parts) for one in found.findings)
    wide = find_finding(found, "alice", "orders:*")
    assert (40, 8, 25, 3) == tuple(part.points for part in wide.score_parts)
    assert "covers 3 permissions on 3 routes" == wide.score_parts[1].sentence
    narrow = [one for one in found.findings if one.name == "bob" and one.grant == "reports:read"]
    assert [10 + 0 + 25 + 0] == [one.score for one in narrow]
    order = [one.name for one in found.findings if one.proposal == "remove" and one.of == "subject"]
    assert order.index("alice") < order.index("bob")
    client: Any = find_finding(found, "web", "orders:list")
    assert "a client with no pattern and no grant of high risk" == client.score_parts[3].sentence


def test_what_nothing_requires_has_no_idle_time(past: ReviewScenario) -> None:
    """Where use is not recorded, idle time counts nothing, for grants, roles and memberships."""
    past.declare_permissions("orders:read")
    past.observe_grant("alice", "orders:archive", 300)
    past.observe_grant("bob", "stock:move", 300, role="mover")
    found = past.review()
    assert [risk_score.UNKNOWN_IDLE] * 4 == [
        one.score_parts[2]
        for one in found.findings
        if one.grant in ("orders:archive", "stock:move", "") and one.of != "service"
    ]
