"""Worksheets, and the plans made from them."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_lp.errors import ConfigurationError
from jwt_lp.review.findings import Reason
from jwt_lp.review.plan import frozen_plan, worksheet
from jwt_lp.review.plan.decision_faults import read_day
from jwt_lp.review.plan.frozen_plan import Plan
from jwt_lp.review.plan.sheet_file import SheetFile, sheet_candidates, sheet_path
from jwt_lp.review.plan.worksheet import COLUMNS, read_worksheet, write_worksheet
from jwt_lp.usage import row_reader
from review_factory import DAY, ISSUER, at, make_finding, make_review

NASTY = ("=1+1", "+1", "-1", "@x", "\tx", "\rx", "'=1", "'", "''", "plain", "'plain", 'a,"b"\nc;d')


def filled(text, delimiter=",", **answers):
    """The worksheet with the same answers in every row; a callable computes the value from the row."""
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    output = io.StringIO()
    writer = csv.DictWriter(output, COLUMNS, delimiter=delimiter)
    writer.writeheader()
    for row in rows:
        writer.writerow({**row, **{name: value(row) if callable(value) else value for name, value in answers.items()}})
    return output.getvalue()


def answered(review, delimiter=",", **answers):
    """The worksheet of a review with the same answers in every row, read back."""
    text = filled(write_worksheet(review.findings), delimiter, **answers)
    return read_worksheet(text, SheetFile.from_review(review))


def removed(*findings, **more):
    """The plan of a worksheet in which carol decided to remove everything."""
    return frozen_plan.from_worksheet(
        answered(make_review(*findings, **more), decision="remove", reviewer="carol"), now=at(DAY)
    )


def faults(text, *findings, **more):
    with pytest.raises(ConfigurationError) as caught:
        read_worksheet(text, SheetFile.from_review(make_review(*(findings or (make_finding(),)))), **more)
    return list(caught.value.faults)


def sheet(*findings):
    """The worksheet of a review of these findings; of one finding if there are none."""
    return write_worksheet(findings or (make_finding(),))


def test_a_worksheet_asks_what_there_is_to_decide():
    """A worksheet has a row for finding proposal and finding guarded finding, and none for others."""
    guarded = make_finding("bob", proposal="keep", guards=("within the grace of 14 days",))
    shown = [
        make_finding(),
        guarded,
        make_finding("clerk", of="role"),
        make_finding("web", of="client"),
        make_finding("dan", "", role="clerk"),
    ]
    others = [
        make_finding("eve", proposal="keep"),
        make_finding("fay", proposal="keep", guards=("revoked already",)),
        make_finding("gus", proposal="keep", guards=("exempt until 2027-01-01 by carol",)),
        make_finding("clerk", "", of="role", kind="split"),
        make_finding("", "orders:x", of="catalogue", kind="permission"),
    ]
    rows = list(csv.DictReader(io.StringIO(sheet(*shown, *others), newline="")))
    assert sorted(f"F{finding.id}" for finding in shown) == sorted(row["id"] for row in rows)
    assert {("", "", "", "")} == {(row["decision"], row["until"], row["reviewer"], row["comment"]) for row in rows}


def test_a_worksheet_shows_what_a_person_needs():
    """Every column has its value; a list is one cell, and nothing that seals is in the worksheet."""
    one = make_finding(
        kind="wildcard", proposal="narrow", grant="orders:*", instead=("orders:a", "orders:b"), uses=7,
        last_day="2026-01-02", score=61, guards=("a, b", "c"), others=("orders:**",), person_name="Ann", team="shop",
        manager="mia", because=(Reason("idle", "for", -1.0, "idle for long"),),
    )  # fmt: skip
    (row,) = csv.DictReader(io.StringIO(sheet(one), newline=""))
    assert {
        "id": f"F{one.id}", "decision": "", "until": "", "reviewer": "", "comment": "", "person": "Ann", "team": "shop",
        "manager": "mia", "of": "subject", "holder": "alice", "role": "", "grant": "orders:*",
        "instead": "orders:a orders:b", "last_use": "2026-01-02", "uses": "7",
        "reasons": "Nobody used it.; for removal: idle for long", "held_back_by": "a, b; c", "others": "orders:**",
        "risk": "61 of 100", "proposal": "narrow", "issuer": ISSUER, "group": "",
    } == row  # fmt: skip
    (row,) = csv.DictReader(io.StringIO(sheet(), newline=""))
    assert "never" == row["last_use"]


@pytest.mark.parametrize("text", NASTY)
def test_no_cell_is_a_formula_and_every_cell_is_read_back(text):
    """A name or comment that looks like a formula is shielded, and read back unchanged."""
    review = make_review(make_finding(text))
    (row,) = csv.reader(io.StringIO(write_worksheet(review.findings).partition("\r\n")[2], newline=""))
    assert [] == [cell for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    (answer,) = answered(review, decision="keep", comment=row_reader.escape_formulas("=x")).decisions
    assert (text, "=x") == (answer.item.name, answer.comment)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_spreadsheet_s_own_csv_is_read(delimiter):
    """Other delimiters, a byte order mark and empty lines are accepted."""
    text = filled(sheet(), delimiter, decision=" Remove ", reviewer="carol")
    found = SheetFile.from_review(make_review(make_finding()))
    (answer,) = read_worksheet(f"\ufeff{text}\r\n{delimiter}\r\n", found).decisions
    assert ("remove", 2) == (answer.decision, answer.line)


@pytest.mark.parametrize(
    ("answers", "fault"),
    [
        ({}, "no decision: write one of keep, remove, narrow, exempt"),
        ({"decision": "remov", "reviewer": "c"}, "'remov' is not a decision; did you mean 'remove'?"),
        ({"decision": "zzz"}, "'zzz' is not a decision: write one of keep, remove, narrow, exempt"),
        ({"decision": "remove"}, "reviewer is empty: name who decided to remove"),
        ({"decision": "exempt", "until": "2027-01-01"}, "reviewer is empty: name who decided to exempt"),
        ({"decision": "exempt", "reviewer": "c"}, "an exemption needs a last day: fill in until, as in 2027-01-31"),
        (
            {"decision": "exempt", "reviewer": "c", "until": "1.2.27"},
            "until: '1.2.27' is not a day such as 2027-01-31",
        ),
        (
            {"decision": "exempt", "reviewer": "c", "until": "20270131"},
            "until: '20270131' is not a day such as 2027-01-31",
        ),
        ({"decision": "remove", "reviewer": "c", "until": "2027-01-01"}, "until is only for exemptions"),
        (
            {"decision": "narrow", "reviewer": "c"},
            "the grant cannot be narrowed: there is no narrower grant instead",
        ),
    ],
)
def test_an_incomplete_answer_is_refused(answers, fault):
    """Each fault is reported with its line."""
    assert [f"line 2: {fault}"] == faults(filled(sheet(), **answers))


@pytest.mark.parametrize("name", ["of", "issuer", "holder", "role", "grant", "instead"])
def test_the_cells_of_the_review_cannot_be_changed(name):
    """A changed holder, role or grant is reported with its line."""
    found = faults(filled(sheet(), decision="keep", **{name: lambda row: f"{row[name]}x"}))
    assert [True] == [fault.startswith("line 2: the holder, role or grant is not that of this id") for fault in found]


def test_sorting_one_column_alone_is_found():
    """If only some columns were sorted, decisions would be about other rows: every such row is refused."""
    both = (make_finding(), make_finding("bob"))
    swapped = {"alice": "bob", "bob": "alice"}
    (fault,) = faults(filled(sheet(*both), decision="keep", holder=lambda row: swapped[row["holder"]]), *both)
    assert fault.startswith("lines 2, 3: the holder, role or grant is not that of this id")


@pytest.mark.parametrize(("name", "cell"), [("007", "7"), ("000", "0"), ("ann  lee", " Ann Lee ")])
def test_what_a_spreadsheet_does_to_a_name_is_understood(name, cell):
    """Zeros before a number, blanks and capitals may change."""
    review = make_review(make_finding(name))
    assert name == answered(review, decision="keep", holder=cell).decisions[0].item.name


@pytest.mark.parametrize(
    ("cell", "day"),
    [
        ("2027-01-31", "2027-01-31"),
        ("31.01.2027", "2027-01-31"),
        ("1.2.2027", "2027-02-01"),
        ("31.02.2027", None),
        ("1.2.27", None),
        ("1/31/2027", None),
        ("2/3/2027", None),
        ("46418", None),
    ],
)
def test_days_of_spreadsheets_are_read_or_refused(cell, day):
    """A day with dots has the day first everywhere; with slashes nobody knows."""
    assert day == read_day(cell)


def test_rows_and_columns_may_move_and_columns_may_go():
    """The order of rows and columns does not matter, nor do the columns that only inform."""
    review = make_review(make_finding(), make_finding("bob"))
    header = "grant;role;holder;reviewer;decision;id\n"
    rows = [f"orders:read;;{each.name};carol;remove;F{each.id}\n" for each in reversed(review.findings)]
    read = read_worksheet(header + "".join(rows), SheetFile.from_review(review))
    assert (["bob", "alice"], 2) == ([row.item.name for row in read.decisions], read.asked)


def test_thousands_of_faults_are_one_sentence():
    """An unanswered worksheet is one fault with its first lines, and many kinds of faults are cut."""
    many = [make_finding(f"s{number}") for number in range(1000)]
    assert ["lines 2, 3, 4, 5, 6 and 995 more: no decision: write one of keep, remove, narrow, exempt"] == faults(
        sheet(*many), *many
    )
    found = faults(filled(sheet(*many), decision=lambda row: row["holder"]), *many)
    assert (21, "and 980 more faults") == (len(found), found[-1])


def test_rows_of_another_review_are_refused():
    """Rows of another review, repeated findings and unknown findings are refused."""
    one = filled(sheet(), decision="keep")
    (fault,) = faults(one, make_finding("bob"))
    assert fault.startswith("line 2: the sheet file has no finding with this id")
    assert ["line 3: the finding is on line 2 already"] == faults(one + one.partition("\r\n")[2])
    assert ["line 2: the review given with --review does not have this finding"] == faults(one, known={"x"})


def test_a_worksheet_of_an_earlier_release_is_refused():
    """Its rows carried their own seals; the message says what to do."""
    (fault,) = faults("id,decision,facts,seal\n")
    assert "an earlier release wrote this worksheet: write a new one" in fault


def test_a_sheet_file_is_read_back_and_a_changed_one_is_refused():
    """A sheet file keeps the review and its items, and refuses changes, other versions and other files."""
    found = SheetFile.from_review(make_review(make_finding(), make_finding("eve", proposal="keep")))
    assert (found, 1) == (SheetFile.decode(found.encode()), len(found.items))
    changed = json.loads(found.encode())
    for text, fault in (
        (found.encode().replace("alice", "mallory"), "the sheet file was changed"),
        (json.dumps({**changed, "version": 9}), "another release"),
        ("[]", "this is not a sheet file"),
        ("{}", "this is not a sheet file"),
        ("x", "this is not a sheet file"),
    ):
        with pytest.raises(ConfigurationError, match=fault):
            SheetFile.decode(text)


def test_split_worksheets_share_a_sheet_file():
    """The sheet file is beside the worksheet, under its name or the name before any hyphen."""
    assert "a/decide.sheet.json" == str(sheet_path("a/decide.csv"))
    assert ["a/decide-ann-lee.sheet.json", "a/decide-ann.sheet.json", "a/decide.sheet.json"] == [
        *map(str, sheet_candidates("a/decide-ann-lee.csv"))
    ]


def test_a_file_that_is_not_a_worksheet_is_refused():
    """A file without header, without rows or that is not CSV is refused."""
    assert faults("a,b\n")[0].startswith("line 1: not a worksheet of a review: no column 'id'")
    assert faults("")[0].startswith("line 1: not a worksheet of a review")
    assert ["the worksheet has no rows: there is nothing to decide"] == faults(write_worksheet(()))
    long = f'"{"x" * 200_000}"'
    assert faults(write_worksheet(()) + long)[0].startswith("line 2: not CSV")


def test_worksheets_are_split_and_joined():
    """Worksheets are split by the manager, and joined if they belong to one review."""
    mine, other = make_finding(manager="carol"), make_finding("bob", manager="dave")
    parts = worksheet.split_findings([mine, other, make_finding("eve")], "manager")
    assert {"": (make_finding("eve"),), "carol": (mine,), "dave": (other,)} == parts
    with pytest.raises(ConfigurationError, match="split by manager, team, role or issuer, not by 'x'"):
        worksheet.split_findings([], "x")
    review = make_review(mine, other)
    found = SheetFile.from_review(review)
    sheets = [
        read_worksheet(filled(write_worksheet(part), decision="keep"), found)
        for part in parts.values()
        if part[0].manager
    ]
    assert [mine.id, other.id] == [answer.item.id for answer in worksheet.join_worksheets(sheets).decisions]
    foreign = answered(dataclasses.replace(make_review(mine), digest="e"), decision="keep")
    with pytest.raises(ConfigurationError) as caught:
        worksheet.join_worksheets([*sheets, foreign])
    assert (f"the finding '{mine.id}' is in several worksheets", "the worksheets belong to different reviews") == (
        caught.value.faults
    )


def test_decisions_become_items():
    """A decision edits a role, denies a grant, hands off a membership, or exempts."""
    wide = make_finding("web", "orders:*", of="client", instead=("orders:read",))
    found = [
        make_finding(),
        make_finding("clerk", of="role", members=9),
        make_finding("dan", "", role="clerk"),
        wide,
        make_finding("eve"),
    ]
    answers = {
        found[0].id: ("remove", ""),
        found[1].id: ("remove", ""),
        found[2].id: ("remove", ""),
        found[3].id: ("narrow", ""),
        found[4].id: ("exempt", "2027-01-31"),
    }
    read = answered(
        make_review(*found),
        decision=lambda row: answers[row["id"][1:]][0],
        until=lambda row: answers[row["id"][1:]][1],
        reviewer="carol",
    )
    plan = frozen_plan.from_worksheet(read, now=5.0, cap=3)
    # A worksheet asks first what tells most, so items come in another order than the findings.
    by_id = {item.id: item for item in plan.items}
    items = [by_id[finding.id] for finding in found]
    assert ["deny", "role", "handoff", "deny", "exempt"] == [item.action for item in items]
    assert [1, 9, 1, 1, 1] == [item.touches for item in items]
    assert ("orders:read",) == items[3].instead
    assert ("carol", "2027-01-31", 3, 5.0) == (items[4].reviewer, items[4].until, plan.cap, plan.made_at)
    assert [
        "subject alice: orders:read",
        "role clerk: orders:read",
        "subject dan: all grants through the role clerk",
        "client web: orders:*, except orders:read",
        "subject eve: orders:read",
    ] == [str(item) for item in items]


def test_the_rules_alone_decide_what_they_propose():
    """The plan of the rules has no guarded finding except the last holder, which is marked."""
    last = make_finding("bob", guards=("last holder",))
    guarded = make_finding("eve", proposal="keep", guards=("within the grace",))
    plan = frozen_plan.from_review(make_review(make_finding(), last, guarded), now=5.0)
    assert [("alice", False, "the rules"), ("bob", True, "the rules")] == [
        (item.name, item.last_holder, item.reviewer) for item in plan.items
    ]


def test_a_plan_is_the_same_after_it_was_written():
    """An encoded plan decodes to the same plan and hash."""
    plan = removed(make_finding(), make_finding("web", "orders:*", of="client", guards=("x",)))
    assert (plan, plan.hash) == (Plan.decode(plan.encode()), Plan.decode(plan.encode()).hash)


def test_a_plan_that_was_changed_is_refused():
    """Any changed member of a plan is refused."""
    contents = json.loads(removed(make_finding()).encode())
    for name, value in (("cap", 7), ("made_at", 0), ("items", [])):
        with pytest.raises(ConfigurationError, match="the plan was changed after it was made"):
            Plan.decode(json.dumps({**contents, name: value}))


def _hashed(contents):
    import hashlib

    body = {name: value for name, value in contents.items() if name != "hash"}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return json.dumps({**body, "hash": hashlib.sha256(text.encode()).hexdigest()})


def test_a_file_that_is_not_a_plan_is_refused():
    """Other texts, other JSON, other versions and incomplete contents with a valid hash are refused."""
    for text in ("", "[]", "3", "{}", '{"version": 1}'):
        with pytest.raises(ConfigurationError, match="this is not a plan"):
            Plan.decode(text)
    with pytest.raises(ConfigurationError, match="the plan has version '2', but this release reads 1"):
        Plan.decode('{"version": 2, "hash": ""}')
    contents = json.loads(removed(make_finding()).encode())
    with pytest.raises(ConfigurationError, match="this is not a plan"):
        Plan.decode(_hashed({**contents, "items": [{}]}))


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"action": "add"}, "the action 'add' is not possible for a 'subject'"),
        ({"action": "role"}, "the action 'role' is not possible for a 'subject'"),
        ({"instead": ["orders:*"]}, "'orders:*' is not narrower than 'orders:read'"),
        ({"instead": ["orders:read"]}, "'orders:read' is not narrower than 'orders:read'"),
    ],
)
def test_a_plan_can_only_revoke(changed, fault):
    """Impossible actions and broader grants are refused even with a valid hash."""
    contents = json.loads(removed(make_finding()).encode())
    contents["items"][0] |= changed
    with pytest.raises(ConfigurationError, match=fault.replace("*", r"\*")):
        Plan.decode(_hashed(contents))


@given(st.text("=+-@'\"\t\r\n,; a", max_size=8) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8))
def test_any_name_is_read_back(text):
    """Any name is read back unchanged, and no cell is a formula with any delimiter."""
    review = make_review(make_finding(text))
    sheet = write_worksheet(review.findings)
    for delimiter in ",;\t":
        cells = [cell for row in csv.reader(io.StringIO(sheet, newline=""), delimiter=delimiter) for cell in row]
        assert [] == [cell for cell in cells if re.match(r'[\s"]*[=+\-@＝＋－＠]', cell)]
    (answer,) = answered(review, decision="keep").decisions
    assert text == answer.item.name


@given(st.lists(st.text(alphabet="=+-@\t\r'ab,;\n\"", max_size=6), min_size=1, max_size=4))
def test_any_comment_is_read_back(texts):
    """Any comment is read back unchanged, except for outer blanks."""
    for text in texts:
        review = make_review(make_finding())
        (answer,) = answered(review, decision="keep", comment=row_reader.escape_formulas(text)).decisions
        assert text.strip() == answer.comment
    assert ISSUER == answer.item.issuer
