"""Reports of one review as text, JSON, CSV and HTML."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from base64 import b64encode
from dataclasses import fields, replace
from hashlib import sha256
from html.parser import HTMLParser

import pytest

from jwt_lp.errors import ConfigurationError
from jwt_lp.review.findings import BacktestedSetting, Finding, ReviewWindow
from jwt_lp.review.report import render, render_backtest
from jwt_lp.usage.row_reader import unescape_formulas
from review import sample_review

REVIEW = sample_review.review()
IDS = [finding.id for finding in REVIEW.findings]
BARE = replace(REVIEW, findings=(), notes=(), timeline=(), backtest=None, policy="", policy_path="", comparison=None)
GONE = REVIEW.comparison.gone_on(REVIEW.now) if REVIEW.comparison else ()


class Page(HTMLParser):
    """The elements, texts, inline assets and finding ids of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.ids: list[str] = []
        self.texts: list[str] = []
        self.inline: dict[str, str] = {}
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open = tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self._open == "i":
            self.ids.append(data)
        if self._open in ("style", "script"):
            self.inline[self._open] = data

    def handle_endtag(self, tag: str) -> None:
        self._open = ""


def _page(review=REVIEW, **options) -> Page:
    pytest.importorskip("jinja2", reason="the page needs Jinja2")
    return Page(render(review, "html", **options))


def _rows(review=REVIEW) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(render(review, "csv"))))


# What the forms have in common


def test_json_csv_and_html_hold_the_same_findings() -> None:
    """Every finding is in JSON, in CSV and on the page, in the same order."""
    as_json = [finding["id"] for finding in json.loads(render(REVIEW, "json"))["findings"]]
    assert (IDS, IDS, IDS) == (as_json, [row["id"] for row in _rows()], _page().ids)


@pytest.mark.parametrize("by", ["permission", "role", "subject", "manager", "team"])
def test_grouping_leaves_nothing_out_of_the_page(by: str) -> None:
    """With any grouping, all findings are on the page."""
    assert IDS == _page(by=by, top=1).ids


def test_the_sample_has_everything() -> None:
    """The sample has every kind and every verdict."""
    kinds = {"grant", "wildcard", "role", "member", "split", "requirement", "permission", "regret"}
    verdicts = {"leaver", "used", "unused", "dormant", "unobservable", "needed-but-denied"}
    assert (kinds, verdicts) == (
        {finding.kind for finding in REVIEW.findings},
        {finding.verdict for finding in REVIEW.findings},
    )


@pytest.mark.parametrize("form", ["text", "json", "csv", "html"])
def test_a_review_without_findings_is_written(form: str) -> None:
    """Without findings, every form has the window."""
    if form == "html":
        pytest.importorskip("jinja2", reason="the page needs Jinja2")
    written = render(BARE, form)  # type: ignore[arg-type]
    assert ("window_last_day" if form == "csv" else "2026-10-01") in written


@pytest.mark.parametrize("form", ["text", "csv", "html"])
def test_no_form_for_people_has_control_characters(form: str) -> None:
    """No control character, direction mark or lone surrogate of a name is in the output."""
    if form == "html":
        pytest.importorskip("jinja2", reason="the page needs Jinja2")
    written = render(REVIEW, form)  # type: ignore[arg-type]
    assert [] == [char for char in written if not char.isprintable() and char != "\n"]
    assert r"mallory\u202egnp.exe" in written
    assert written.encode() == written.encode("utf-8", "strict")


# JSON


def test_json_is_the_review() -> None:
    """JSON has every member of the review and of a finding under its name."""
    found = json.loads(render(REVIEW, "json"))
    # The findings come last, because a large review is written piece by piece.
    assert [*(field.name for field in fields(REVIEW) if field.name != "findings"), "decisions", "findings"] == list(
        found
    )
    assert [field.name for field in fields(Finding)] == list(found["findings"][0])
    assert REVIEW.population.excluded == found["population"]["excluded"]
    assert "grants imported as of 2026-09-28, not marked as complete" == found["population"]["said"]
    assert REVIEW.window._asdict() == found["window"]
    assert {"month": "2025-10-01", "granted": 41000, "denied": 120, "revoked": 0} == found["timeline"][0]
    assert {"name": "colleagues who use it", "weight": 0.41, "mean": 0.3, "spread": 0.2, "prior": 0.0} == found[
        "judging"
    ]["coefficients"][2]
    assert 262 / 3560 == found["backtest"]["recommended"]["regret"]


def test_json_has_names_as_they_are() -> None:
    """JSON has names unchanged."""
    found = json.loads(render(REVIEW, "json"))["findings"]
    assert [finding.name for finding in REVIEW.findings] == [row["name"] for row in found]
    assert render(REVIEW, "json").isascii()


# CSV


def test_csv_has_the_population_in_every_row() -> None:
    """Each row has the population, window, rule and digest."""
    facts = {
        (
            row["population_source"],
            row["population_as_of"],
            row["population_complete"],
            row["population_excluded"],
            row["window_first_day"],
            row["rule"],
            row["digest"],
        )
        for row in _rows()
    }
    assert {("imported", "2026-09-28", "no", "2", "2025-10-02", "likelihood", REVIEW.digest)} == facts


def test_csv_has_numbers_as_numbers() -> None:
    """An unknown value is an empty cell, and a list is one cell."""
    rows = _rows()
    assert ("41", "265", "0.021") == (rows[0]["uses"], rows[0]["idle"], rows[0]["likelihood"])
    assert ("0", "", "") == (rows[3]["uses"], rows[3]["idle"], rows[3]["likelihood"])
    assert "last holder of it; held for 12 days only, grace is 30" == rows[3]["guards"]


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "＝", "＋", "－", "＠", " =", "a;=", "a|-"])
def test_csv_runs_no_formula(begin: str) -> None:
    """A name is no formula for a spreadsheet with any delimiter, and is read back unchanged."""
    one = replace(REVIEW.findings[0], name=f"{begin}cmd|' /C calc'!A0")
    written = render(replace(REVIEW, findings=(one,)), "csv")
    assert [one.name] == [unescape_formulas(row["name"]) for row in _rows(replace(REVIEW, findings=(one,)))]
    for delimiter in ",;|":
        cells = [cell for row in csv.reader(io.StringIO(written), delimiter=delimiter) for cell in row]
        assert [] == [cell for cell in cells if re.match(r'[\s"]*[=+\-@＝＋－＠]', cell)]
    assert [True, True] == [line.startswith('"') and line.endswith('"') for line in written.splitlines()]


@pytest.mark.parametrize("begin", ["\t", "\r", "\n"])
def test_csv_has_a_row_in_a_line(begin: str) -> None:
    """Characters that are not printable are escaped."""
    one = replace(REVIEW.findings[0], name=f"{begin}=x")
    (row,) = _rows(replace(REVIEW, findings=(one,)))
    assert f"{begin.encode('unicode_escape').decode()}=x" == row["name"]
    assert 2 == render(replace(REVIEW, findings=(one,)), "csv").count("\n")


# Text


def test_text_begins_with_the_overview() -> None:
    """Population, window, rule, counts and exclusions come before the findings."""
    first = render(REVIEW, "text").partition("\n\n")[0].split("\n")
    assert [
        "Review of sqlite:usage.db on 2026-10-01, made at 2026-10-02T00:00:00Z",
        (
            "Population: grants imported as of 2026-09-28, not marked as complete: "
            "412 subjects, 9 clients, 4 roles, 1,893 grants"
        ),
        (
            "Window: 2025-10-02 to 2026-10-01, recorded on 361 days; "
            "complete until 2026-09-30; 1,280 decisions lost before they were stored"
        ),
    ] == first[:3]
    assert "!! 2 findings excluded by an exemption or a filter, which is no approval" in first
    assert "!! On 4 days between 2025-10-02 and 2026-09-30 nothing recorded" in first
    assert f"Input: sha256 {REVIEW.digest}, policy {REVIEW.policy}" == first[-1]


def test_text_without_findings_is_no_approval() -> None:
    """An empty review is not reported as an approval."""
    written = render(replace(BARE, window=ReviewWindow("", "2026-10-01", "", 0, 0)), "text")
    assert "unknown to 2026-10-01, recorded on 0 days; complete until unknown" in written
    assert "No findings. This says nothing about grants outside the population." in written
    assert "Verdicts: none" in written


def test_nothing_excluded_is_no_warning() -> None:
    """Without exclusions there is no warning about them."""
    clean = replace(BARE, population=replace(REVIEW.population, excluded=0))
    assert "excluded" not in render(clean, "text")


def test_text_has_a_finding_on_a_line() -> None:
    """A finding is one line, followed by its guards and other grants."""
    lines = render(REVIEW, "text").split("\n")
    assert (
        "  unused, remove: subject björn.lindqvist orders:write (41 uses on 17 days, last 2026-01-09, 265 days ago, "
        "held since 2024-03-01, likelihood of need 2.1 %, limit 5 %; risk high, score 78) "
        "Used 41 times until 2026-01-09, and not for 265 days since. [0000000000000001]"
    ) in lines
    assert "    kept because: last holder of it; held for 12 days only, grace is 30" in lines
    assert "    also held: role platform-admin grants orders:**; granted directly as orders:read" in lines


def test_text_has_rare_details() -> None:
    """Use on unknown days, refusals since, members and narrower grants are shown."""
    one = replace(
        REVIEW.findings[0], uses=1, days=0, last_day="", idle=None, held_since="", likelihood=None, because=()
    )
    assert "(1 use, last on an unknown day; risk high, score 78)" in render(replace(REVIEW, findings=(one,)), "text")
    written = render(REVIEW, "text")
    assert "refused 4 times since it was revoked" in written
    assert "0 of 24 members used it, never used" in written
    assert "used, narrow to orders:read, orders:write: subject" in written
    assert "by role platform-admin" in written


@pytest.mark.parametrize(
    ("by", "line"),
    [
        (
            "permission",
            "orders:refund: 11 findings, 4 due (3 used, 4 unused, 2 dormant, 1 unobservable, 1 needed-but-denied)",
        ),
        ("role", "platform-admin: 8 findings, 5 due (4 used, 4 dormant)"),
        ("subject", "client nightly-export: 1 finding, 1 due (1 used)"),
        (
            "manager",
            "(no manager): 23 findings, 5 due (11 used, 5 unused, 4 dormant, 2 unobservable, 1 needed-but-denied)",
        ),
    ],
)
def test_text_in_groups(by: str, line: str) -> None:
    """Findings are grouped by the key, with their counts."""
    written = render(REVIEW, "text", by=by)  # type: ignore[arg-type]
    assert [line] == [text for text in written.split("\n") if text == line]
    gone = [grant.id for grant in GONE]
    assert sorted([*IDS, *gone]) == sorted(re.findall(r"\[([0-9a-f]{16})\]$", written, re.MULTILINE))


def test_many_findings_are_shown_in_groups() -> None:
    """More than 500 findings are grouped by permission: 50 groups with three examples each."""
    written = render(sample_review.many(900), "text")
    assert "900 findings by permission, in 67 groups" in written
    assert 50 == len(re.findall(r"^\S.* due \(", written, re.MULTILINE))
    assert "  ... and 12 more" in written
    assert "17 more groups with " in written
    assert "For every finding: --format csv, --format json or --html FILE" in written


def test_leavers_come_before_the_groups() -> None:
    """In any grouping, leavers are listed first, by name, with their use after the last day."""
    leaver = next(finding for finding in REVIEW.findings if finding.verdict == "leaver")
    others = [replace(leaver, id=f"{number:016x}", name=f"u-{number}", left="") for number in range(1, 4)]
    written = render(replace(REVIEW, findings=(*REVIEW.findings, *others)), "text", by="permission", top=2)
    assert [
        "4 findings about 4 leavers",
        (
            "  u-1234 (Ivan Petrov, team Payments, manager dana.levi, last day 2026-08-31): 1 finding, "
            "1 used after the last day"
        ),
        "  u-1 (Ivan Petrov, team Payments, manager dana.levi, active: no): 1 finding",
        "  ... and 2 more",
        "",
    ] == written.partition("\n\n")[2].split("\n")[:5]


def test_many_gone_grants_are_counted() -> None:
    """Text names the first fifty grants that are gone, with person and role; the page names five hundred."""
    assert REVIEW.comparison is not None
    gone = [
        replace_gone._replace(id=f"{number:016x}", role="clerk" if number else "", grant="" if number else "a:b")
        for number, replace_gone in enumerate([GONE[0]] * 501)
    ]
    review = replace(REVIEW, comparison=replace(REVIEW.comparison, gone=tuple(gone)))
    lines = render(review, "text").partition("Gone since the last review: ")[2].split("\n")
    assert "501 grants" == lines[0]
    assert "  subject <script>alert('xss')</script> (Ivan) a:b [0000000000000000]" == lines[1]
    assert "  subject <script>alert('xss')</script> (Ivan) by role clerk [0000000000000001]" == lines[2]
    assert "  ... and 451 more" == lines[51]
    text = "".join(_page(review).texts)
    assert "Not shown: 1 more, which the JSON has" in text


def test_five_hundred_findings_are_shown_one_by_one() -> None:
    """Up to 500 findings are listed."""
    plain = replace(sample_review.many(500), comparison=None)
    assert 500 == len(re.findall(r"\[[0-9a-f]{16}\]$", render(plain, "text"), re.MULTILINE))


def test_text_is_folded() -> None:
    """With a width, no line with a place to break is longer."""
    lines = render(replace(REVIEW, findings=REVIEW.findings[:12]), "text", width=72).split("\n")
    assert [] == [line for line in lines if len(line) > 72]


def test_a_long_name_is_cut_in_text() -> None:
    """A name is cut after 300 characters, visibly."""
    one = replace(REVIEW.findings[0], name="n" * 400)
    written = render(replace(REVIEW, findings=(one,)), "text")
    assert ["subject " + "n" * 300 + "..."] == re.findall(r"subject n+\S*", written)


def test_a_fixed_rule_is_described() -> None:
    """A fixed window is described as one."""
    judging = replace(REVIEW.judging, rule="fixed", threshold=180.0, fitted_on=0, coefficients=())
    assert (
        "Rule: a grant is unused after 180 days without use; never removed if used within the last 60 days"
        in render(replace(REVIEW, judging=judging), "text")
    )


# The backtest alone


def test_a_backtest_as_json_and_csv_has_a_row_for_each_setting() -> None:
    """Both have the same five members of each setting."""
    found = json.loads(render_backtest(sample_review.BACKTEST, "json"))
    rows = list(csv.DictReader(io.StringIO(render_backtest(sample_review.BACKTEST, "csv"))))
    assert list(BacktestedSetting._fields) == list(found[0])
    assert [{name: str(value) for name, value in setting.items()} for setting in found] == rows
    assert (180, 3020, 414, 301800) == tuple(found[3].values())[1:]


def test_a_backtest_as_text_marks_what_it_recommends() -> None:
    """The recommended setting is marked and repeated in the last line."""
    lines = render_backtest(sample_review.BACKTEST, "text").split("\n")
    assert "* likelihood up to 5 %: 3,560 revoked, 262 regretted (7.4 %), 279,800 needless days" in lines
    assert "  180 days unused: 3,020 revoked, 414 regretted (13.7 %), 301,800 needless days" in lines


def test_a_backtest_of_too_little_recommends_nothing() -> None:
    """A short history and a sample are reported."""
    short = replace(sample_review.BACKTEST, recommended=None, sampled=0.25)
    written = render_backtest(short, "text", width=100)
    assert "Recommended: no setting had so few regrets, or the history is too short" in written
    assert "!! only 25 % of the subjects were replayed" in written


WINDOW_IN_FORCE = BacktestedSetting("fixed", 180, 3020, 414, 301_800)


@pytest.mark.parametrize(
    ("window", "first"),
    [
        (WINDOW_IN_FORCE, "Backtest: reviews from"),
        (WINDOW_IN_FORCE._replace(regretted=261), "!! the recommended setting regretted 1 grant more than the window"),
        (
            WINDOW_IN_FORCE._replace(days_needlessly_held=279_799),
            "!! the recommended setting held 1 needless day more than the window in force",
        ),
    ],
)
def test_the_first_line_says_what_is_worse_about_a_recommendation(window: BacktestedSetting, first: str) -> None:
    """A recommendation that regrets more, or holds longer, than the window in force says so first."""
    compared = replace(sample_review.BACKTEST, in_force=window, interval=(0.06, 0.09))
    written = render_backtest(compared, "text")
    assert written.startswith(first)
    assert "its share of regrets is between 6 % and 9 % with a confidence of 95 %" in written
    assert f"the window in force, 180 days unused, regretted {window.regretted:,}, with" in written


# HTML


def test_no_name_becomes_markup() -> None:
    """A name is text on the page and creates no element."""
    page = _page()
    tags = {tag for tag, _ in page.elements}
    assert set() == tags & {"img", "iframe", "object", "embed", "base"}
    assert 1 == [tag for tag, _ in page.elements].count("script")
    for name in ("<script>alert('xss')</script>", "{{ 7 * 7 }}{% raw %}", "&amp;&lt;", "</style></script><!--"):
        assert name in "".join(page.texts)


def test_the_page_makes_no_requests() -> None:
    """No attribute and no style names an address outside the page."""
    page = _page()
    places = [
        value
        for _, attributes in page.elements
        for name, value in attributes.items()
        if name in ("src", "href", "action", "srcset", "poster", "data", "formaction", "xlink:href")
    ]
    assert [] == [place for place in places if not (place or "").startswith(("#", "data:"))]
    assert [] == re.findall(r"url\(|@import|fetch\(|XMLHttpRequest|sendBeacon|WebSocket", "".join(page.inline.values()))


def test_the_page_runs_nothing_but_its_own_script() -> None:
    """The content security policy allows only the page's style and script, by their digests."""
    page = _page()
    (policy,) = (found["content"] for _, found in page.elements if found.get("http-equiv"))
    digests = {name: b64encode(sha256(text.encode()).digest()).decode() for name, text in page.inline.items()}
    assert (
        f"default-src 'none'; style-src 'sha256-{digests['style']}'; script-src 'sha256-{digests['script']}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    ) == policy
    assert [] == [name for _, found in page.elements for name in found if name == "style" or name.startswith("on")]


def test_the_page_has_what_an_auditor_signs() -> None:
    """The section Evidence has population, window, rule, both digests and lines to sign."""
    pytest.importorskip("jinja2", reason="the page needs Jinja2")
    evidence = render(REVIEW, "html").partition('id="evidence"')[2]
    wanted = ("412 subjects", "2025-10-02 to 2026-10-01", "9,640 past cases", REVIEW.digest, REVIEW.policy, "Signature")
    assert [] == [text for text in (*wanted, "which is no approval", "☐ rejected") if text not in evidence]


def test_the_page_begins_with_the_exclusions() -> None:
    """The warning about exclusions stands in the overview, before the decisions."""
    text = "".join(_page().texts)
    assert text.index("To remove") < text.index("2 findings excluded by an exemption") < text.index("by risk score")


def test_the_drawback_of_a_recommendation_comes_first_in_text_and_page() -> None:
    """What is worse about the recommendation stands before it, wherever it stands; nothing stands there otherwise."""
    window = WINDOW_IN_FORCE._replace(regretted=261)
    worse = replace(REVIEW, backtest=replace(sample_review.BACKTEST, in_force=window))
    drawback = "the recommended setting regretted 1 grant more than the window in force"
    written, page = render(worse, "text"), "".join(_page(worse).texts)
    assert written.index(f"!! {drawback}") < written.index("Past of this rule") < written.index("Recommended:")
    found = [page.find(drawback), page.rfind(drawback)]
    assert found[0] < page.index("2 findings excluded") < page.index("Recommended")
    assert page.index("Backtest: the results") < found[1] < page.index("This review:")
    for better in (render(REVIEW, "text"), "".join(_page().texts)):
        assert "more than the window in force" not in better


def test_a_page_without_roles_or_history() -> None:
    """Without roles, months and a backtest, the page omits their sections."""
    page = _page(BARE)
    places = {found["id"] for tag, found in page.elements if tag == "section"}
    assert {"overview", "granted", "groups", "findings", "evidence"} == places
    assert "No grant was judged." in "".join(page.texts)


def test_a_page_of_a_history_too_short() -> None:
    """A backtest without settings has no chart; one without a recommendation marks none."""
    none = replace(REVIEW, backtest=replace(sample_review.BACKTEST, settings=(), recommended=None))
    assert "past" not in {found.get("id") for _, found in _page(none).elements}
    short = _page(replace(REVIEW, backtest=replace(sample_review.BACKTEST, recommended=None)))
    assert [] == [found for _, found in short.elements if found.get("class") == "ring"]
    assert "no setting had so few regrets, or the history is too short" in "".join(short.texts).lower()


def test_charts_of_small_numbers() -> None:
    """Settings without cost, a role without members and a month without decisions are drawn."""
    role = replace(REVIEW.findings[-1], kind="role", of="role", name="empty", members=0, users=0)
    partial = replace(role, grant="only:here", name="other", members=1, users=1)
    small = replace(
        REVIEW,
        findings=(role, partial),
        timeline=(("2026-09-01", 0, 0, 0),),
        backtest=replace(sample_review.BACKTEST, settings=(BacktestedSetting("fixed", 60, 0, 0, 0),), recommended=None),
    )
    text = "".join(_page(small).texts)
    assert ("0/0" in text, "1/1" in text, "–" in text) == (True, True, True)


def test_large_numbers_are_short() -> None:
    """The axes abbreviate thousands and millions."""
    big = replace(
        sample_review.BACKTEST, settings=(BacktestedSetting("fixed", 60, 9, 2500, 4_000_000),), recommended=None
    )
    assert {"4 M", "2.5 k"} <= set(_page(replace(REVIEW, backtest=big)).texts)


def test_without_jinja2_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Jinja2, the error names the extra that installs it."""
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ConfigurationError, match=r'pip install "jwt-lp\[cli\]"'):
        render(REVIEW, "html")


@pytest.mark.once
def test_ten_thousand_findings_are_a_page() -> None:
    """10,000 findings are on one page of at most 10 MB."""
    pytest.importorskip("jinja2", reason="the page needs Jinja2")
    many = sample_review.many(10_000)
    written = render(many, "html")
    assert [finding.id for finding in many.findings] == re.findall(r"<i>([0-9a-f]{16})</i>", written)
    assert len(written.encode()) < 10_000_000


def test_a_rule_that_was_not_replayed_has_no_past() -> None:
    """The page and the text say so, and not what another rule would have done."""
    other = replace(REVIEW, backtest=replace(sample_review.BACKTEST, judged=None))
    for written in (render(other, "text"), "".join(_page(other).texts)):
        assert "the rule of this review was not replayed" in written
