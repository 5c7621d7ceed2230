"""Worksheets of campaigns: what is exported, what is imported, and the plan that follows from either."""

from __future__ import annotations

import csv
import io
import random
from dataclasses import replace
from typing import Any

import pytest

from campaigns.conftest import ANN, BEN, OPERATOR, Quarter
from jwt_lp.campaigns.campaign_sheets import load_parts
from jwt_lp.errors import CampaignRefused, CampaignUnknown, InvalidDecision
from jwt_lp.review.plan import from_worksheet, join_worksheets, read_worksheet, write_worksheet
from jwt_lp.review.plan.sheet_file import SheetFile
from jwt_lp.stores.campaigns import Campaign, WantedDecision

pytestmark = pytest.mark.once

COMMENTS = ("", "", "=1+1", "'x", 'a,"b"\nc;d', "é ﷽ \u202e", "@sum;=2", "\x00bad\ud800", "-")


def rows_of(text: str) -> list[dict[str, str]]:
    return [*csv.DictReader(io.StringIO(text, newline=""))]


def text_of(rows: list[dict[str, str]]) -> str:
    output = io.StringIO(newline="")
    writer = csv.DictWriter(output, [*rows[0]])
    writer.writeheader()
    writer.writerows(rows)
    return output.getvalue()


def decide_at_random(quarter: Quarter, campaign: Campaign, seed: int, share: float = 1.0) -> None:
    """Decide as the reviewers would: groups at once or one by one, and single items, with comments of all kinds."""
    chosen = random.Random(seed)
    for part in quarter.campaigns.parts(campaign.id):
        actor = part.reviewer or OPERATOR
        page = quarter.campaigns.items(campaign.id, part=part.name, limit=1000)
        together = {group.group.id: chosen.random() < 0.7 for group in page.groups}
        answers = {id_: _answer(chosen) for id_ in together}
        wanted = [
            WantedDecision(
                item=view.id,
                version=view.version,
                **(answers[view.group] | {"group": view.group} if together.get(view.group) else _answer(chosen, view)),
            )
            for view in page.items
            if chosen.random() < share
        ]
        quarter.campaigns.decide(actor, campaign.id, wanted, part=part.name)


def _answer(chosen: random.Random, view: Any = None) -> dict[str, Any]:
    words = ["keep", "remove", "exempt", *(["narrow"] if view is not None and view.finding.instead else [])]
    decision = chosen.choice(words)
    until = "2027-01-31" if decision == "exempt" else ""
    return {"decision": decision, "until": until, "comment": chosen.choice(COMMENTS)}


def decisions_of(quarter: Quarter, campaign: Campaign) -> list[tuple[Any, ...]]:
    return [
        (view.id, found and (found.decision, found.until, found.comment, found.group, found.by, found.rule))
        for view in quarter.views(campaign)
        for found in [view.decision]
    ]


def test_an_open_worksheet_is_that_of_the_review(quarter: Quarter) -> None:
    """A part without decisions has exactly the rows that `write_worksheet` writes for its findings."""
    campaign = quarter.freeze()
    for part in ("Ben Ray", ""):
        sheet = load_parts(quarter.store, campaign.id, [part])[part]
        written = write_worksheet([view.finding for view in sheet.views])
        assert written == quarter.campaigns.worksheet(campaign.id, part).text
    rows = rows_of(quarter.campaigns.worksheet(campaign.id).text)
    assert 24 + 1 == len(rows)
    with pytest.raises(CampaignUnknown):
        quarter.campaigns.worksheet(campaign.id, "no such")


def test_the_sheet_files(quarter: Quarter) -> None:
    """That of one part has its items; that of all worksheets has every item and group of the campaign."""
    campaign = quarter.freeze()
    sheets = quarter.campaigns.worksheets(campaign.id)
    parts = [part.name for part in quarter.campaigns.parts(campaign.id)]
    one, every = (SheetFile.decode(quarter.campaigns.worksheet(campaign.id, part).sheet) for part in ("ann", None))
    assert ((3, 0), (24, 1)) == tuple((len(sheet.items), len(sheet.groups)) for sheet in (one, every))
    assert campaign.origin == one.origin._asdict() == every.origin._asdict()
    assert {quarter.campaigns.worksheet(campaign.id).sheet} == {sheet.sheet for sheet in sheets.values()}
    assert {name: quarter.campaigns.worksheet(campaign.id, name).text for name in parts} == {
        name: sheet.text for name, sheet in sheets.items()
    }


def test_worksheets_of_single_parts_make_one_plan(quarter: Quarter) -> None:
    """Parts that were exported one by one, each with its own sheet file, are joined as those of a review are."""
    campaign = quarter.freeze()
    quarter.campaigns.close(OPERATOR, campaign.id, early=True)
    written = [quarter.campaigns.worksheet(campaign.id, part.name) for part in quarter.campaigns.parts(campaign.id)]
    joined = join_worksheets(read_worksheet(text, SheetFile.decode(sheet)) for text, sheet in written)
    assert quarter.campaigns.plan(campaign.id) == from_worksheet(joined, now=quarter.now)


@pytest.mark.parametrize("seed", range(4))
def test_a_worksheet_decides_as_deciding_item_by_item(quarter: Quarter, seed: int) -> None:
    """What was decided in one campaign, exported and imported into its twin, gives the same decisions and plan."""
    campaign, twin = quarter.freeze(), quarter.freeze()
    decide_at_random(quarter, campaign, seed)
    for part in quarter.campaigns.parts(campaign.id):
        actor = part.reviewer or OPERATOR
        text = quarter.campaigns.worksheet(campaign.id, part.name).text
        quarter.campaigns.read_worksheet(actor, twin.id, text, part=part.name)
    mine, theirs = decisions_of(quarter, campaign), decisions_of(quarter, twin)
    # Whoever imports for nobody's part is named in the worksheet.
    assert [(id_, found[:4]) for id_, found in mine] == [(id_, found[:4]) for id_, found in theirs]
    plans = [quarter.campaigns.plan(quarter.campaigns.close(OPERATOR, each.id).id) for each in (campaign, twin)]
    assert plans[0].hash == plans[1].hash


@pytest.mark.parametrize("seed", range(4))
def test_the_plan_is_that_of_the_worksheets(quarter: Quarter, seed: int) -> None:
    """`jwt-lp plan` makes of the exported worksheets what `Campaigns.plan` makes of the campaign, the rule's decisions included."""
    campaign = quarter.freeze(undecided="proposal")
    decide_at_random(quarter, campaign, seed, share=0.8)
    quarter.campaigns.close(OPERATOR, campaign.id, early=True)
    text, sheet = quarter.campaigns.worksheet(campaign.id)
    read = read_worksheet(text, SheetFile.decode(sheet))
    assert quarter.campaigns.plan(campaign.id) == from_worksheet(read, now=quarter.now)


def test_importing_again_changes_nothing(quarter: Quarter) -> None:
    """Rows that say what is stored already are no changes, whoever imports them."""
    campaign = quarter.freeze()
    decide_at_random(quarter, campaign, 7, share=0.6)
    text = quarter.campaigns.worksheet(campaign.id).text
    before = decisions_of(quarter, campaign)
    for actor in (OPERATOR, ANN, BEN):
        part = None if actor is OPERATOR else {"ann": "Ann Lee", "ben": "Ben Ray"}[actor.subject]
        own = text if part is None else quarter.campaigns.worksheet(campaign.id, part).text
        assert ((), ()) == quarter.campaigns.read_worksheet(actor, campaign.id, own, part=part)
    assert before == decisions_of(quarter, campaign)


def filled(quarter: Quarter, campaign: Campaign, part: str | None, **answer: str) -> str:
    rows = rows_of(quarter.campaigns.worksheet(campaign.id, part).text)
    return text_of([row | answer for row in rows])


def test_an_operator_imports_what_somebody_else_decided(quarter: Quarter) -> None:
    """The worksheet names who decided; the trail says who imported it."""
    campaign = quarter.freeze()
    result = quarter.campaigns.read_worksheet(
        OPERATOR,
        campaign.id,
        filled(quarter, campaign, "Ann Lee", decision="remove", reviewer="Ann Lee"),
        part="Ann Lee",
    )
    assert 3 == len(result.changed)
    decision = quarter.view(campaign, "alice", "reports:read").decision
    assert decision is not None
    assert replace(OPERATOR, name="Ann Lee") == decision.by
    with pytest.raises(InvalidDecision, match="reviewer is empty"):
        quarter.campaigns.read_worksheet(
            OPERATOR, campaign.id, filled(quarter, campaign, "ann", decision="remove"), part="ann"
        )


def test_a_long_name_of_a_reviewer_is_cut(quarter: Quarter) -> None:
    """The name in a worksheet has a bounded length, and importing it again changes nothing."""
    campaign = quarter.freeze()
    text = filled(quarter, campaign, "ann", decision="remove", reviewer="Ann " * 100)
    assert 3 == len(quarter.campaigns.read_worksheet(OPERATOR, campaign.id, text).changed)
    assert ((), ()) == quarter.campaigns.read_worksheet(OPERATOR, campaign.id, text)
    decision = quarter.view(campaign, "bob", "reports:read").decision
    assert decision is not None
    assert ("Ann " * 50).strip() == decision.by.name


def test_a_reviewer_whose_name_is_a_blank(quarter: Quarter) -> None:
    """A worksheet names such a reviewer too, so it is read back, and a plan is made of it."""
    campaign = quarter.freeze()
    blank = replace(OPERATOR, subject="\u2028", name=" ")
    (view, *_) = quarter.views(campaign, part="Ann Lee")
    quarter.decide(blank, view)
    text = quarter.campaigns.worksheet(campaign.id).text
    assert "'\\u2028'" in [row["reviewer"] for row in rows_of(text)]
    assert ((), ()) == quarter.campaigns.read_worksheet(OPERATOR, campaign.id, text)


def test_whoever_is_signed_in_decides(quarter: Quarter) -> None:
    """What a worksheet says of the reviewer does not count where somebody is signed in."""
    campaign = quarter.freeze()
    for part, reviewer in (("Ann Lee", "Somebody Else"), ("ann", "")):
        text = filled(quarter, campaign, part, decision="remove", reviewer=reviewer)
        quarter.campaigns.read_worksheet(ANN, campaign.id, text, part=part)
    decided = [view.decision for view in quarter.views(campaign) if view.decision is not None]
    assert [ANN] * 6 == [decision.by for decision in decided]


def test_rows_of_all_parts_of_a_reviewer(quarter: Quarter) -> None:
    """Without a part, a worksheet may be about everything that is the actor's, and about nothing else."""
    campaign = quarter.freeze()
    mine = filled(quarter, campaign, "Ann Lee", decision="keep")
    assert 3 == len(quarter.campaigns.read_worksheet(ANN, campaign.id, mine).changed)
    theirs = filled(quarter, campaign, "Ben Ray", decision="keep")
    with pytest.raises(InvalidDecision, match="no finding with this id"):
        quarter.campaigns.read_worksheet(ANN, campaign.id, theirs)
    with pytest.raises(CampaignRefused, match="not yours"):
        quarter.campaigns.read_worksheet(ANN, campaign.id, theirs, part="Ben Ray")
    with pytest.raises(CampaignRefused, match="no part of the campaign is yours"):
        quarter.campaigns.read_worksheet(replace(ANN, subject="zoe"), campaign.id, theirs)


def test_a_worksheet_does_not_decide_about_its_reader(quarter: Quarter) -> None:
    """One's own access cannot come by a worksheet either, also if an operator imports it in place of the reviewer."""
    campaign = quarter.freeze()
    quarter.campaigns.delegate(BEN, campaign.id, "Ben Ray", ANN, version=0)
    text = filled(quarter, campaign, "Ben Ray", decision="keep", reviewer="Ben Ray")
    for actor in (ANN, OPERATOR):
        with pytest.raises(CampaignRefused, match="nobody decides about their own access"):
            quarter.campaigns.read_worksheet(actor, campaign.id, text, part="Ben Ray")
    rows = [row for row in rows_of(text) if row["holder"] != "ann"]
    assert 10 == len(quarter.campaigns.read_worksheet(ANN, campaign.id, text_of(rows), part="Ben Ray").changed)


def test_faults_have_their_lines(quarter: Quarter) -> None:
    """A worksheet with a fault changes nothing, and a person can find it."""
    campaign = quarter.freeze()
    rows = rows_of(quarter.campaigns.worksheet(campaign.id, "ann").text)
    rows[0] |= {"decision": "kepe"}
    rows[1] |= {"decision": "keep", "holder": "alice"}
    with pytest.raises(InvalidDecision) as caught:
        quarter.campaigns.read_worksheet(ANN, campaign.id, text_of(rows), part="ann")
    assert ("line 2: 'kepe' is not a decision; did you mean 'keep'?", True) == (
        caught.value.faults[1], caught.value.faults[0].startswith("line 3: the holder, role or grant"),
    )  # fmt: skip
    rows = [row | {"decision": "exempt", "until": "2026-01-01", "holder": "bob"} for row in rows]
    with pytest.raises(InvalidDecision, match="bob reports:read: the exemption ended on 2026-01-01"):
        quarter.campaigns.read_worksheet(ANN, campaign.id, text_of(rows), part="ann")
    with pytest.raises(InvalidDecision, match="not a worksheet"):
        quarter.campaigns.read_worksheet(ANN, campaign.id, "hello", part="ann")
    assert 24 == quarter.campaigns.progress(campaign.id).open


def test_rows_without_a_decision_stay_open(quarter: Quarter) -> None:
    """A reviewer may import what is decided so far; a comment alone decides nothing."""
    campaign = quarter.freeze()
    rows = rows_of(quarter.campaigns.worksheet(campaign.id, "ann").text)
    rows[0] |= {"decision": "KEEP"}
    rows[1] |= {"comment": "I am not sure"}
    result = quarter.campaigns.read_worksheet(ANN, campaign.id, text_of(rows), part="ann")
    assert (1, 23) == (len(result.changed), quarter.campaigns.progress(campaign.id).open)
    assert ((), ()) == quarter.campaigns.read_worksheet(
        ANN, campaign.id, quarter.campaigns.worksheet(campaign.id, "Ann Lee").text, part="Ann Lee"
    )


def test_nothing_is_imported_after_the_deadline(quarter: Quarter) -> None:
    """A worksheet that comes late is refused like any decision."""
    campaign = quarter.freeze()
    text = filled(quarter, campaign, "ann", decision="keep")
    quarter.now = campaign.deadline
    with pytest.raises(CampaignRefused, match="deadline"):
        quarter.campaigns.read_worksheet(ANN, campaign.id, text, part="ann")
