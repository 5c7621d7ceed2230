"""The sentences that a review prints: one number format, and a plural where it belongs."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from jwt_lp.review import Person
from jwt_lp.review.analysis.grant_features import FEATURES, GrantFeatures
from jwt_lp.review.analysis.likelihood import LikelihoodModel
from jwt_lp.review.analysis.people import PeopleCount
from jwt_lp.review.analysis.reasons import describe_feature
from jwt_lp.review.analysis.risk_score import GrantBreadth, breadth_part, holder_part, idle_part, members_part
from jwt_lp.review.findings import Backtest, BacktestedSetting, Population, Review, ReviewWindow
from jwt_lp.review.quantities import count_noun, count_times, format_percent
from jwt_lp.review.report import render, render_backtest
from jwt_lp.stores import HeldGrant
from review import sample_review
from review_scenario import ISSUER, NOW, ReviewScenario, days_ago

DAY = re.compile(r"\d{4}-\d\d-\d\d(T[\d:]+Z)?")
ID = re.compile(r"\[[0-9a-f]{16}\]|sha256 \w+|policy \w+")
FAULTS = (
    re.compile(r"(?<![\w,.-])\d{4,}"),  # a number without thousands separators
    re.compile(r"\d\.\d\d|\d\.0\b(?! times)|\de-?\d"),  # the tail of a float
    re.compile(
        r"(?<![\d,.])1 (days|grants|subjects|clients|roles|members|findings|times|routes|people|cases|groups)\b"
    ),
    re.compile(
        r"(?<![\d.])([02-9]|\d\d+) (day|grant|subject|client|role|member|finding|time|route|person|case|group)\b"
    ),
    re.compile(r"\d%|\bNone\b|\bnan\b|[{}]| {2,}\S+ {2,}"),
)


def faults_of(text: str) -> list[tuple[str, str]]:
    """What is wrong in each line, without its days and ids."""
    found: list[tuple[str, str]] = []
    for line in text.split("\n"):
        bare = ID.sub("", DAY.sub("a day", line)).strip()
        found += [(match[0], bare) for pattern in FAULTS if (match := pattern.search(bare))]
    return found


@pytest.mark.parametrize(
    "wrong", ["2292 grants", "4093.0 times", "1 days", "2 day", "0.12345 %", "1 people", "5%", "in 1e-05", "None"]
)
def test_the_check_finds_what_is_wrong(wrong: str) -> None:
    """The pattern of each fault finds it."""
    assert faults_of(f"About {wrong} of it.")


@pytest.mark.parametrize("number", [0, 1, 2, 999, 1000, 2292, 1_234_567])
def test_every_sentence_with_a_number(number: int) -> None:
    """Reasons, scores and counts are right for none, one, few and many."""
    features = GrantFeatures(
        number,
        max(number, 1),
        number * 3,
        number * 4,
        number,
        number,
        min(number / 9999, 1.0),
        number * 5,
        number,
        number,
    )
    people = PeopleCount(number, number, number, number, ["a"] * min(number, 3))
    sentences = [
        *(describe_feature(name, features) for name in FEATURES),
        *(str(part) for part in (breadth_part(GrantBreadth(number, number)), holder_part(number, client=True))),
        *(str(part) for part in (idle_part(number, used=True), idle_part(number, used=False), members_part(number))),
        *people.notes({}, NOW),
        people.doubt("x"),
        *(count_noun(number, noun) for noun in ("person", "day")),
        count_times(number),
    ]
    assert [] == faults_of("\n".join(sentences))


def _with_size(number: int) -> Review:
    """The sample review without hostile names, with this size of everything."""
    setting = BacktestedSetting("fixed", 180, number, number, number)
    sample = sample_review.review()
    sizes: dict[str, Any] = {"uses": number, "days": number, "members": number, "users": number, "denied": number}
    findings = tuple(
        replace(one, **sizes, refused_since=number, idle=number, reason="", because=(), instead=(), guards=())
        for one in sample.findings[:25]
    )
    return replace(
        sample,
        findings=findings,
        notes=(),
        window=ReviewWindow("2026-01-01", NOW, NOW, number, number),
        unlisted=number,
        population=Population(
            source="imported", as_of=NOW, complete=True, subjects=number, clients=number, roles=number, grants=number,
            excluded=number,
        ),
        judging=replace(sample.judging, floor=number, grace=number, horizon=number, fitted_on=number, threshold=0.05),
        backtest=Backtest(
            horizon=number, first_review=NOW, last_day=NOW, pairs=number, regret=0.1, settings=(setting,),
            recommended=setting, judged=setting, sampled=0.333333,
        ),
    )  # fmt: skip


@pytest.mark.parametrize("number", [0, 1, 2, 2292])
def test_every_line_of_a_report(number: int) -> None:
    """Text and backtest have one number format, and a plural where it belongs."""
    review = _with_size(number)
    assert review.backtest is not None
    written = [render(review, "text", by=by) for by in (None, "permission", "manager")]
    assert [] == faults_of("\n".join([*written, render_backtest(review.backtest, "text")]))


@pytest.mark.parametrize("likelihood", [False, True])
def test_every_sentence_of_a_review(past: ReviewScenario, likelihood: bool) -> None:
    """Reasons, guards and notes of a whole review are right too."""
    cases = [
        (GrantFeatures(30 + number, 1 + number % 9, 50, 80 + number, 5, 2, 0.1, 700, 9, 3), number % 9 > 4)
        for number in range(600)
    ]
    past.declare_permissions("orders:list", "orders:read", "orders:refund", "reports:read")
    past.import_grants(
        HeldGrant(ISSUER, "dave", "", "", "orders:read", since=days_ago(1)),
        HeldGrant(ISSUER, "erin", "", "", "orders:read", since=days_ago(100)),
        complete=False,
    )
    past.record_use("alice", "orders:read", 390, 1)
    past.record_use("alice", "orders:list", 390, 200, 181, grant="orders:*")
    past.record_use("bob", "orders:refund", 250, role="clerk", client="web")
    past.record_use("carol", "orders:list", 1, role="clerk", client="web")
    past.record_refusal("frank", "orders:refund", 1)
    past.record_refusal("frank", "orders:list", 1, outcome="revoked")
    found = past.review(
        policy=past.policy(),
        people={"bob": Person(left=days_ago(251)), "zoe": Person(), "carol": Person(active="yes", left=days_ago(2))},
        model=LikelihoodModel.fit(cases) if likelihood else None,
    )
    assert likelihood is any(one.because for one in found.findings)
    assert [] == faults_of(render(found, "text"))


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0 %"), (0.0004, "< 0.1 %"), (0.001, "0.1 %"), (0.05, "5 %"), (0.0736, "7.4 %"), (0.25, "25 %"),
     (0.9991, "99.9 %"), (0.9999, "> 99.9 %"), (1.0, "100 %")],
)  # fmt: skip
def test_a_percentage_has_one_format(share: float, text: str) -> None:
    """At most one decimal, and neither none nor all by rounding."""
    assert text == format_percent(share)
