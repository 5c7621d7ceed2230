"""Worksheets and plans that somebody made wrong, by mistake or on purpose."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest

from jwt_lp.errors import ConfigurationError
from jwt_lp.review.plan import Plan, PlanStage, frozen_plan, read_worksheet, write_worksheet
from jwt_lp.review.plan.sheet_file import SheetFile
from review_factory import LATER, at, make_finding, make_review

REVIEW = make_review(make_finding())
SHEET = SheetFile.from_review(REVIEW)
PLAN = frozen_plan.from_review(REVIEW, now=at(LATER), stages=(PlanStage("trial", 3),)).encode()


@pytest.mark.parametrize("name", ["id", "decision", "reviewer", "grant"])
def test_two_columns_of_one_name_are_refused(name):
    """Of two decisions in one row, none may be taken silently."""
    head, _, rows = write_worksheet(REVIEW.findings).partition("\r\n")
    with pytest.raises(ConfigurationError, match=f"line 1: there are two columns '{name}'"):
        read_worksheet(f'{head},"{name}"\r\n{rows}', SHEET)


def test_a_header_that_is_too_long_is_not_csv():
    """The error names the line, also where the csv module gives up."""
    with pytest.raises(ConfigurationError, match="line 1: not CSV: field larger than"):
        read_worksheet("x" * 200_000, SHEET)


def test_a_header_of_many_columns_is_refused():
    """Each row would have as many cells: a file of ten megabytes would be read for days."""
    with pytest.raises(ConfigurationError, match="line 1: not a worksheet of a review: more than 256 columns"):
        read_worksheet(write_worksheet(REVIEW.findings).replace("\r\n", "," * 300 + "\r\n", 1), SHEET)


def test_not_more_rows_are_read_than_a_worksheet_may_have():
    """A file of millions of rows is not read to its end, and says so."""
    text = write_worksheet(REVIEW.findings) + "x\r\n" * 50_000
    with pytest.raises(ConfigurationError, match="and 9,995 more: the sheet file has no finding") as caught:
        read_worksheet(text, SHEET)
    assert "line 10003: there are many more rows than findings" in str(caught.value)


@pytest.mark.parametrize("decode", [Plan.decode, SheetFile.decode])
def test_members_that_come_twice_are_refused(decode):
    """A person would read the first of them, and the program the last."""
    text = PLAN if decode == Plan.decode else SHEET.encode()
    assert decode(text)
    place = text.index('"grant"')
    with pytest.raises(ConfigurationError, match="this is not a"):
        decode(f'{text[:place]}"grant": "nothing:much", {text[place:]}')


@pytest.mark.parametrize(
    "change",
    [
        {"touches": "9"}, {"touches": True}, {"uses": None}, {"instead": "orders:list"}, {"guards": [1]}, {"leaver": "no"},
        {"action": ["deny"]}, {"grant": 5}, {"name": None},
    ],
)  # fmt: skip
def test_a_plan_whose_hash_was_made_anew_with_wrong_values(change):
    """Whoever makes the hash anew still gets an error and no crash for a value of another type."""
    contents = json.loads(PLAN)
    contents["items"][0] |= change
    _assert_refused(contents)


@pytest.mark.parametrize("days", ["3", None, [3]])
def test_a_plan_whose_stages_have_wrong_values(days):
    """The same for its stages."""
    contents = json.loads(PLAN)
    contents["stages"][0]["days"] = days
    _assert_refused(contents)


def _assert_refused(contents):
    del contents["hash"]
    written = json.dumps(contents, sort_keys=True, separators=(",", ":"))
    with pytest.raises(ConfigurationError, match="this is not a plan"):
        Plan.decode(json.dumps({**contents, "hash": sha256(written.encode()).hexdigest()}))
