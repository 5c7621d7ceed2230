"""Elevations in a review: elevated use, standing grants that it suggests, and grants that an elevation could serve."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from typing import Any

import pytest

from jwt_lp.errors import ConfigurationError
from jwt_lp.review import Person, Review
from jwt_lp.review.analysis.training import load_history
from jwt_lp.review.elevation_values import ElevatedUse
from jwt_lp.review.plan.frozen_plan import from_review
from jwt_lp.review.plan.sheet_file import SheetFile
from jwt_lp.review.plan.worksheet import read_worksheet, write_worksheet
from jwt_lp.review.report import render
from jwt_lp.review.report.elevations import write_elevation_sheet
from jwt_lp.stores import HeldGrant
from review import sample_review
from review_scenario import ISSUER, NOW, POLICY, ReviewScenario, days_ago, find_finding

WITH_RULES = (
    POLICY
    + """
[permissions."orders:decide"]
[elevation."orders:refund"]
ask = ["role:clerk", "staff/subject:ana"]
approve = "orders:decide"
longest = "30m"
[elevation."reports:*"]
ask = "anyone"
approve = "orders:decide"
"""
)
NAMES = {ISSUER: "staff"}
REVIEW = sample_review.review()


def record_elevated(past: ReviewScenario, subject: str, permission: str, *days: int, **more: Any) -> None:
    """A subject used something by an elevation of its own, on each of these days."""
    for day in days:
        past.record_use(subject, permission, day, role=f"elevation:{subject}-{day}", **more)


def elevated(found: Review, subject: str) -> ElevatedUse:
    (one,) = [each for each in found.elevated if each.name == subject]
    return one


# Elevated use is apart from standing grants


def test_elevated_use_keeps_no_standing_grant(past: ReviewScenario) -> None:
    """A standing grant that was only used by elevations lately is unused, and shows them as another way."""
    past.record_use("ana", "orders:refund", 300, 290)
    record_elevated(past, "ana", "orders:refund", 60, 5)
    one = find_finding(past.review(), "ana", "orders:refund")
    assert ("unused", "remove", 290, 2) == (one.verdict, one.proposal, one.idle, one.uses)
    assert ("orders:refund by 2 elevations",) == one.others


def test_elevated_use_is_no_grant(past: ReviewScenario) -> None:
    """What was only held by elevations has no finding, counts as no grant or role, and is shown apart."""
    record_elevated(past, "ana", "orders:refund", 60, 5, client="web")
    found = past.review()
    assert () == found.findings
    assert (1, 0, 0, 0) == (found.population.subjects, found.population.grants, found.population.roles,
                            found.population.clients)  # fmt: skip
    one = elevated(found, "ana")
    assert (2, 2, 1, days_ago(60), days_ago(5)) == (one.elevations, one.uses, one.weeks, one.first_day, one.last_day)


def test_elevated_use_keeps_no_grant_of_a_role(past: ReviewScenario) -> None:
    """Findings about a role, and about a member of it, do not count elevated use."""
    past.import_grants(HeldGrant(ISSUER, "ana", "", "clerk", "", days_ago(390)))
    past.declare_permissions("orders:list", "orders:read", "orders:refund")
    record_elevated(past, "ana", "orders:refund", 5)
    found = past.review(policy=past.policy())
    assert ("dormant", 0, 1) == tuple(
        getattr(find_finding(found, "clerk", "orders:refund", "role"), name) for name in ("verdict", "users", "members")
    )
    member = find_finding(found, "ana", kind="member")
    assert ("dormant", "remove", 0) == (member.verdict, member.proposal, member.uses)


def test_elevated_use_narrows_a_wildcard(past: ReviewScenario) -> None:
    """What a wildcard's holder used by an elevation is not among the grants that would suffice instead."""
    past.record_use("ana", "orders:list", 100, 3, grant="orders:*")
    record_elevated(past, "ana", "orders:refund", 4)
    past.declare_permissions("orders:list", "orders:refund")
    one = find_finding(past.review(), "ana", "orders:*")
    assert ("narrow", ("orders:list",)) == (one.proposal, one.instead)


def test_elevated_use_was_needed_but_is_no_pair_of_its_own(past: ReviewScenario) -> None:
    """A history counts it as need of the standing grant that served before, and not as a grant of its own."""
    past.record_use("ana", "orders:refund", 300)
    record_elevated(past, "ana", "orders:refund", 60)
    record_elevated(past, "bob", "orders:refund", 60, 50)
    history = load_history(past.store, until=NOW).history
    assert 1 == history.pairs
    assert 240 == history.last - history.first


def test_elevated_use_of_a_leaver_is_shown_and_suggests_nothing(past: ReviewScenario) -> None:
    """Nobody is proposed a standing grant after leaving."""
    record_elevated(past, "ana", "orders:refund", *range(1, 57, 7))
    one = elevated(past.review(people={"ana": Person("Ana", "", "", "no", "")}), "ana")
    assert (8, False, "Ana") == (one.weeks, one.propose_standing, one.person_name)
    assert one.reason.endswith("the person has left.")


def test_use_without_a_subject_is_left_out(past: ReviewScenario) -> None:
    """A store that records no subjects cannot say who was elevated."""
    record_elevated(past, "", "orders:refund", 5)
    assert () == past.review().elevated


# Standing grants that elevated use suggests


@pytest.mark.parametrize(
    ("days", "weeks", "proposed"),
    [
        ((0, 7, 14, 21, 28, 35), 6, True),
        ((6, 13, 20, 27, 34, 41), 6, True),
        ((0, 7, 14, 21, 28), 5, False),
        ((0, 1, 2, 3, 4, 5, 6), 1, False),
        ((14, 21, 28, 35, 42, 49, 55), 6, True),
        ((21, 28, 35, 42, 49, 56, 63, 70), 5, False),
    ],
)  # fmt: skip
def test_a_standing_grant_is_proposed_from_six_of_eight_weeks_on(
    past: ReviewScenario, days: tuple[int, ...], weeks: int, proposed: bool
) -> None:
    """Only weeks count, and only the last eight."""
    record_elevated(past, "ana", "orders:refund", *days)
    one = elevated(past.review(), "ana")
    assert (weeks, proposed) == (one.weeks, one.propose_standing)


def test_no_plan_gives_a_standing_grant(past: ReviewScenario) -> None:
    """Neither a plan nor a worksheet has anything of what is proposed to be given."""
    past.record_use("bob", "orders:list", 300)
    record_elevated(past, "ana", "orders:refund", *range(1, 57, 7))
    found = past.review()
    assert elevated(found, "ana").propose_standing
    for written in (from_review(found, now=found.made_at).encode(), write_worksheet(found.findings)):
        assert "bob" in written
        assert "orders:refund" not in written


def test_proposals_come_first(past: ReviewScenario) -> None:
    """Those for whom a standing grant is proposed come before others, whatever their names are."""
    record_elevated(past, "ana", "orders:refund", 5)
    record_elevated(past, "zoe", "orders:refund", *range(1, 57, 7))
    assert ["zoe", "ana"] == [each.name for each in past.review().elevated]


# Grants that an elevation could serve


def test_a_removal_says_what_asking_instead_would_cost(past: ReviewScenario) -> None:
    """The proposal stays, with the rule that lets the holder ask, and the requests of a year."""
    past.record_use("ana", "orders:refund", 390, 300, 290)
    one = find_finding(past.review(policy=past.policy(WITH_RULES), issuer_names=NAMES), "ana", "orders:refund")
    assert "remove" == one.proposal
    assert one.just_in_time is not None
    assert ("orders:refund", 1800) == one.just_in_time[:2]
    assert 3 * 365 / 390 == pytest.approx(one.just_in_time.requests)
    assert "needed at most 2.8 requests a year" in str(one.just_in_time)


@pytest.mark.parametrize(
    ("subject", "permission", "days", "role", "expected"),
    [
        # The rule keeps it: used rarely and of high risk.
        ("ana", "orders:refund", (100, 50), "", True),
        # By the role that may ask.
        ("bob", "orders:refund", (100, 50), "clerk", True),
        # Nobody lets this subject ask.
        ("bob", "orders:refund", (100, 50), "", False),
        # Used too often.
        ("ana", "orders:refund", tuple(range(31, 60)), "", False),
        # The rule keeps it, and the risk is low.
        ("ana", "reports:read", (100, 50), "", False),
        # The rule would remove it: the risk does not matter.
        ("bob", "reports:read", (300, 250), "", True),
        # No rule covers it, or all of it.
        ("ana", "orders:read", (300, 250), "", False),
        ("ana", "reports:*", (300, 250), "", False),
    ],
)
def test_who_could_ask_instead(
    past: ReviewScenario, subject: str, permission: str, days: tuple[int, ...], role: str, *, expected: bool
) -> None:
    """The rule must cover the permission and let the subject ask; what is kept must be used rarely, at high risk."""
    past.record_use(subject, permission, *days, role=role)
    found = past.review(policy=past.policy(WITH_RULES), issuer_names=NAMES)
    one = find_finding(found, subject, permission, "grant")
    assert expected is (one.just_in_time is not None)


def test_a_leaver_asks_for_nothing_instead(past: ReviewScenario) -> None:
    """What a leaver holds is taken back without an alternative."""
    past.record_use("ana", "orders:refund", 300)
    people = {"ana": Person("Ana", "", "", "no", "")}
    found = past.review(policy=past.policy(WITH_RULES), issuer_names=NAMES, people=people)
    assert find_finding(found, "ana", "orders:refund").just_in_time is None


def test_a_subject_of_an_issuer_without_a_name_may_ask_by_role_alone(past: ReviewScenario) -> None:
    """An entry `staff/subject:ana` names nobody of an issuer that the settings do not name."""
    past.record_use("ana", "orders:refund", 300)
    assert find_finding(past.review(policy=past.policy(WITH_RULES)), "ana", "orders:refund").just_in_time is None


# In every output


def reported(**more: object) -> Review:
    """A review with one proposal for a standing grant, and one other use by elevations."""
    plain: dict[str, Any] = {
        "id": "0123456789abcdef", "issuer": ISSUER, "name": "ana", "permission": "orders:refund", "elevations": 9,
        "uses": 12, "weeks": 7, "watched_weeks": 8, "first_day": "2026-09-01", "last_day": "2026-10-30",
        "propose_standing": True, "reason": "Used 12 times.", "risk": "high", "manager": "dana",
    }  # fmt: skip
    other = plain | {"name": "bob", "weeks": 2, "propose_standing": False, "id": "fedcba9876543210"}
    return replace(REVIEW, elevated=(ElevatedUse(**(plain | more)), ElevatedUse(**(other | more))))


def test_text_shows_proposals_apart_from_findings() -> None:
    """They follow the findings, under a title of their own that says who decides."""
    lines = render(reported(), "text").split("\n")
    title = lines.index(
        "Proposed for a standing grant: a person decides about it and gives it; no plan and no command does"
    )
    assert lines[title + 1] == (
        "  subject ana orders:refund: Used 12 times. Last on 2026-10-30, risk high [0123456789abcdef]"
    )
    assert "Used by elevations, which keep no standing grant" == lines[title + 3]
    assert title > max(number for number, line in enumerate(lines) if "fewer" in line or "finding" in line)
    assert "Elevations: 2 permissions used by elevations, by 2 subjects; a standing grant proposed for 1" in lines


def test_text_shows_the_most_frequent_and_counts_the_rest() -> None:
    """As of findings, only the first ones are listed, with the names of persons."""
    one = reported(person_name="Ana").elevated[1]
    lines = render(replace(reported(), elevated=(one,) * 3), "text", top=2).split("\n")
    assert "  ... and 1 more" in lines
    assert 2 == sum(line.startswith("  subject bob (Ana) orders:refund") for line in lines)


def test_json_has_them_beside_the_findings() -> None:
    """They are a member of their own, and no finding is about them."""
    found = json.loads(render(reported(), "json"))
    assert [("ana", True), ("bob", False)] == [(each["name"], each["propose_standing"]) for each in found["elevated"]]
    assert len(REVIEW.findings) == len(found["findings"])


def test_csv_has_rows_of_their_own_kind_after_the_findings() -> None:
    """A program that looks for removals or narrowings sees none in them."""
    rows = list(csv.DictReader(io.StringIO(render(reported(), "csv"))))
    assert len(REVIEW.findings) == len(rows) - 2
    assert [("elevation", "standing grant?", "orders:refund"), ("elevation", "", "orders:refund")] == [
        (row["kind"], row["proposal"], row["grant"]) for row in rows[-2:]
    ]


def test_the_page_has_a_section_of_its_own() -> None:
    """It follows the findings, and is absent where nothing was used by elevations."""
    pytest.importorskip("jinja2")
    page = render(reported(), "html")
    section = page.partition('<section id="elevations"')[2].partition("</section>")[0]
    assert 1 == section.count("<strong>standing grant?</strong>")
    assert "no plan and no command does" in section
    assert 'href="#elevations"' in page
    assert "elevations-title" not in render(REVIEW, "html")


@pytest.mark.parametrize("nasty", sample_review.NASTY)
@pytest.mark.parametrize("form", ["text", "json", "csv", "html"])
def test_names_control_neither_terminal_nor_page_nor_spreadsheet(nasty: str, form: Any) -> None:
    """Names of subjects and permissions come from tokens: every output escapes them."""
    pytest.importorskip("jinja2")
    written = render(reported(name=nasty, permission=nasty, person_name=nasty, reason=nasty), form)
    assert all(char.isprintable() or char == "\n" for char in written)
    if form == "html":
        assert "<script>alert" not in written
        assert "<img src=https" not in written


def test_the_sheet_is_for_people_and_no_plan_reads_it(past: ReviewScenario) -> None:
    """Its cells hide no formula, and `jwt-lp plan` refuses it as no worksheet."""
    past.record_use("bob", "orders:list", 300)
    sheet = write_elevation_sheet(reported(name="=1+1").elevated)
    (first, second) = csv.DictReader(io.StringIO(sheet))
    assert ("'=1+1", "standing grant?", "") == (first["holder"], first["proposal"], second["proposal"])
    with pytest.raises(ConfigurationError, match="not a worksheet of a review"):
        read_worksheet(sheet, SheetFile.from_review(past.review()))


def test_a_finding_shows_the_elevation_that_could_serve(past: ReviewScenario) -> None:
    """Text, JSON, CSV, page and worksheet say it with the removal, which stays the proposal."""
    pytest.importorskip("jinja2")
    past.record_use("ana", "orders:refund", 300)
    found = past.review(policy=past.policy(WITH_RULES), issuer_names=NAMES)
    said = "just in time instead: the elevation rule orders:refund lets the holder ask for it; past use would have "
    for written in (*(render(found, form) for form in ("text", "csv", "html")), write_worksheet(found.findings)):
        assert f"{said}needed at most 1 request a year" in written
    (one,) = [each for each in json.loads(render(found, "json"))["findings"] if each["kind"] == "grant"]
    assert "remove" == one["proposal"]
    assert {"pattern": "orders:refund", "longest": 1800, "requests": 1.0} == one["just_in_time"]
