"""Lists of people that somebody made wrong, and the worksheets that are named after managers."""

from __future__ import annotations

import pytest

pytest.importorskip("click")

from jwt_lp.cli.file_names import name_parts
from jwt_lp.cli.output import Failure
from jwt_lp.cli.people import load_people


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
