"""Rows of groups in worksheets: one decision for many findings."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from hashlib import sha256

import pytest

from jwt_lp import ConfigurationError
from jwt_lp.review.plan import frozen_plan
from jwt_lp.review.plan.decision_groups import sort_out
from jwt_lp.review.plan.frozen_plan import Plan
from jwt_lp.review.plan.sheet_file import SheetFile
from jwt_lp.review.plan.worksheet import COLUMNS, read_worksheet, write_worksheet
from review_factory import DAY, at, make_finding, make_review

REMOVE = {"decision": "remove", "reviewer": "mia"}


def old(name, **more):
    return make_finding(
        name, "a:x", **{"idle": 800, "risk": "low", "likelihood": 0.001, "likelihood_bound": 0.004, "score": 20, **more}
    )


REVIEW = make_review(
    *(old(f"s{number}") for number in range(4)),
    old("risky", risk="high", score=60),
    old("doubtful", risk="high", likelihood=0.5, score=90),
    old("used", verdict="used", proposal="keep", guards=("held for only 1 day",)),
)
GROUP = sort_out(REVIEW.findings).groups[0]


def rows():
    return list(csv.DictReader(io.StringIO(write_worksheet(REVIEW.findings), newline="")))


def csv_of(edited):
    output = io.StringIO()
    writer = csv.DictWriter(output, COLUMNS)
    writer.writeheader()
    writer.writerows(edited)
    return output.getvalue()


def answer(answers, *, lacking=()):
    """The worksheet read back, with answers by holder; `group` is the row of the group, others are kept."""
    edited = []
    for row in rows():
        name = "group" if row["of"] == "group" else row["holder"]
        given = {} if row["group"] else {"decision": "keep"}
        edited += [] if name in lacking else [row | given | answers.get(name, {})]
    return read_worksheet(csv_of(edited), SheetFile.from_review(REVIEW))


def decided(worksheet):
    return {row.item.name: (row.decision, row.reviewer, row.group) for row in worksheet.decisions}


def test_questions_come_first_and_the_group_before_its_members() -> None:
    """The most informative question is the first row; the row of the group says what it saves."""
    listed = rows()
    assert ["doubtful", "risky", "4 grants of 4 holders", "s0", "s1", "s2", "s3", "used"] == [
        row["holder"] for row in listed
    ]
    assert ["", "", *[f"G{GROUP.id}"] * 5, ""] == [row["group"] for row in listed]
    group = listed[2]
    assert (f"G{GROUP.id}", "group", "remove (saves 3 decisions)") == (group["id"], group["of"], group["proposal"])
    assert group["reasons"].startswith("unused for 2 years or more, likelihood of need at most 0.4 %")


@pytest.mark.parametrize("decision", ["remove", "keep", "exempt"])
@pytest.mark.parametrize("lacking", [(), ("s0", "s1", "s2", "s3")], ids=["empty rows", "deleted rows"])
def test_the_decision_of_a_group_holds_for_its_members(decision, lacking) -> None:
    """Each member gets it, whether its row is empty or was deleted."""
    given = {"decision": decision, "reviewer": "mia", "until": "2027-01-31" if decision == "exempt" else ""}
    found = answer({"group": given}, lacking=lacking)
    assert dict.fromkeys(("s0", "s1", "s2", "s3"), (decision, "mia", GROUP.id)) == {
        name: value for name, value in decided(found).items() if value[2]
    }
    assert found.asked == len(found.decisions) == 7
    plan = frozen_plan.from_worksheet(found, now=at(DAY))
    action = {"remove": "deny"}.get(decision, decision)
    assert [action] * 4 == [item.action for item in plan.items if item.group == GROUP.id]
    assert plan == Plan.decode(plan.encode())


def test_the_row_of_a_member_comes_before_its_group() -> None:
    """A member that is decided on its own leaves the group."""
    found = decided(answer({"group": REMOVE, "s2": {"decision": "keep", "comment": "hers"}}))
    assert [("remove", "mia", GROUP.id), ("keep", "", "")] == [found["s1"], found["s2"]]
    alone = {name: {"decision": "keep"} for name in ("s0", "s1", "s2", "s3")}
    assert {("keep", "", "")} == {*decided(answer(alone)).values()}


@pytest.mark.parametrize(
    ("answers", "lacking", "faults"),
    [
        ({}, (), ["line 4: no decision: write one of keep, remove, narrow, exempt"]),
        ({}, ("group",), ["lines 4, 5, 6, 7: no decision: write one of keep, remove, narrow, exempt"]),
        ({"group": {"decision": "remove"}}, (), ["line 4: reviewer is empty: name who decided to remove"]),
        (
            {"group": {"decision": "narrow", "reviewer": "mia"}},
            (),
            ["line 4: the grant cannot be narrowed: there is no narrower grant instead"],
        ),
        (
            {"group": REMOVE, "s1": {"comment": "is she back?"}},
            (),
            ["line 6: no decision: write one of keep, remove, narrow, exempt"],
        ),
    ],
    ids=["undecided", "no row of the group", "nobody decided", "narrow", "doubt of a member"],
)
def test_what_a_group_does_not_decide_is_a_fault(answers, lacking, faults) -> None:
    """A comment without a decision may be a doubt, so such a row does not follow its group."""
    with pytest.raises(ConfigurationError) as caught:
        answer(answers, lacking=lacking)
    assert faults == list(caught.value.faults)


def test_a_group_of_other_members_is_refused() -> None:
    """Whoever changes what a group row shows, or takes the row of another review, decides nothing."""
    with pytest.raises(ConfigurationError, match="not that of this id"):
        answer({"group": REMOVE | {"holder": "3 grants of 3 holders"}})
    fewer = make_review(*REVIEW.findings[1:])
    edited = [row | REMOVE for row in rows() if row["of"] == "group"]
    with pytest.raises(ConfigurationError, match="no finding with this id"):
        read_worksheet(csv_of(edited), SheetFile.from_review(fewer))
    with pytest.raises(ConfigurationError, match="on line 2 already"):
        read_worksheet(csv_of(edited * 2), SheetFile.from_review(REVIEW))
    with pytest.raises(ConfigurationError, match="given with --review does not have this finding"):
        read_worksheet(csv_of(edited), SheetFile.from_review(REVIEW), known={"s0"})


def test_each_worksheet_has_its_own_groups() -> None:
    """A manager decides about the members in the own worksheet only, and the sheet file knows both groups."""
    parts = REVIEW.findings[:2], REVIEW.findings[2:4]
    sheet = SheetFile.from_review(REVIEW, parts)
    assert [2, 2] == [len(group.findings) for group in sheet.groups.values()]
    for part in parts:
        listed = csv.DictReader(io.StringIO(write_worksheet(part), newline=""))
        text = csv_of(row | REMOVE for row in listed if row["of"] == "group")
        assert [each.id for each in part] == [row.item.id for row in read_worksheet(text, sheet).decisions]


def test_a_sheet_file_keeps_its_groups() -> None:
    """They are read back as they were written; the sheet file of an earlier release has none."""
    sheet = SheetFile.from_review(REVIEW)
    assert sheet == SheetFile.decode(sheet.encode())
    contents = json.loads(sheet.encode())
    del contents["hash"], contents["groups"]
    digest = sha256(json.dumps(contents, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    assert dataclasses.replace(sheet, groups={}) == SheetFile.decode(json.dumps({**contents, "hash": digest}))
