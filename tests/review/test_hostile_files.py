"""Worksheets, plans and lists of people that somebody made wrong, by mistake or on purpose."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest

from jwt_lp.cli.file_names import name_parts
from jwt_lp.cli.output import Failure
from jwt_lp.cli.people import load_people
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


@pytest.mark.parametrize(
    ("groups", "parts"),
    [
        (["", "nobody", "///"], ["nobody", "nobody-2", "nobody-3"]),
        (["Ann Lee", "Ann-Lee", "ann lee"], ["Ann-Lee", "Ann-Lee-2", "ann-lee-3"]),
        (["李雷", "王芳", "Жанна"], ["李雷", "王芳", "Жанна"]),
        (["é", "e\u0301"], ["é", "é-2"]),
        (["../../etc/passwd", "m" * 80, "m" * 90], ["etc-passwd", "m" * 60, "m" * 60 + "-2"]),
        (["a", "a-2", "a/"], ["a", "a-2", "a-3"]),
    ],
)
def test_no_two_managers_share_a_file(groups, parts):
    """One worksheet must not replace another one, whatever the names are."""
    assert list(zip(groups, parts, strict=True)) == list(name_parts(groups))


@pytest.mark.parametrize(("value", "active"), [("true", "true"), ("false", "false"), ('"no"', "no"), ("0", "0")])
def test_active_may_be_true_or_false(tmp_path, value, active):
    """JSON Lines have truth values of their own."""
    (tmp_path / "people.jsonl").write_text(f'{{"subject": "alice", "active": {value}}}\n')
    assert active == load_people(str(tmp_path / "people.jsonl"), str)["alice"].active


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ('{"subject": true}', "a value is neither a text nor a number"),
        ('{"subject": "alice", "active": []}', "a value is neither a text nor a number"),
        ('{"subject": "alice", "active": "yes", "active": "no"}', "a member comes twice"),
    ],
)
def test_other_truth_values_are_refused(tmp_path, row, fault):
    """Only `active` says yes or no, and only once."""
    (tmp_path / "people.jsonl").write_text(f"{row}\n")
    with pytest.raises(Failure, match=f"line 1: .*{fault}"):
        load_people(str(tmp_path / "people.jsonl"), str)


@pytest.mark.parametrize("name", ["people.csv", "people.jsonl"])
def test_a_list_that_is_not_utf_8_is_refused(tmp_path, name):
    """A spreadsheet saved it in an older encoding; no worksheet could be written with such a name."""
    row = b"subject,name\nalice,M\xfcller\n" if name.endswith("csv") else b'{"subject": "alice", "name": "\\udcfc"}\n'
    (tmp_path / name).write_bytes(row)
    with pytest.raises(Failure, match=r"line [12]: it is not UTF-8"):
        load_people(str(tmp_path / name), str)
