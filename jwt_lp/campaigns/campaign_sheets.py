"""Worksheets of a campaign: with the decisions filled in, and read back; and the plan of all decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, cast

from jwt_lp._support.validation import quote_text
from jwt_lp.campaigns.item_views import group_from_json, plain_views
from jwt_lp.review.analysis.engine import review_order
from jwt_lp.review.plan import Worksheet, from_worksheet, parse_stages, write_worksheet
from jwt_lp.review.plan.decision_groups import DecisionGroup, sort_out
from jwt_lp.review.plan.review_items import ReviewItem, ReviewOrigin
from jwt_lp.review.plan.sheet_file import SheetFile
from jwt_lp.review.plan.worksheet import GROUP_PREFIX, Answer, WorksheetDecision
from jwt_lp.stores.campaigns import ItemFilter, WantedDecision

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from jwt_lp.campaigns.values import CampaignItemView
    from jwt_lp.review.plan import Plan
    from jwt_lp.stores import Store
    from jwt_lp.stores.campaigns import Campaign, DecisionWord, ItemDecision

RULE_REVIEWER: Final = "the deadline rule"
"""Who decided, in worksheets and plans, where the deadline rule did."""
MAX_REVIEWER: Final = 200


class SheetPart(NamedTuple):
    """A part with its items in the order of the review, and its groups."""

    views: tuple[CampaignItemView, ...]
    groups: tuple[DecisionGroup, ...]


def load_parts(store: Store, campaign: str, names: Iterable[str] | None = None) -> dict[str, SheetPart]:
    """Parts of a campaign by name, all of them without `names`."""
    views: dict[str, list[CampaignItemView]] = {}
    for name in [None] if names is None else names:
        for view in plain_views(store.campaign_items(ItemFilter(campaign=campaign, part=name))):
            views.setdefault(view.part, []).append(view)
    return {name: _sheet_part(store, campaign, name, some) for name, some in views.items()}


def _sheet_part(store: Store, campaign: str, name: str, views: Iterable[CampaignItemView]) -> SheetPart:
    ordered = tuple(sorted(views, key=lambda view: review_order(view.finding)))
    # Most parts have no groups, so the store is not asked for them.
    groups = store.campaign_groups(campaign, name) if any(view.group for view in ordered) else ()
    return SheetPart(ordered, tuple(map(group_from_json, groups)))


def make_sheet_file(campaign: Campaign, parts: Iterable[SheetPart]) -> SheetFile:
    """The sheet file of the worksheets of these parts."""
    listed = list(parts)
    items = (ReviewItem.from_finding(view.finding) for part in listed for view in part.views)
    return SheetFile(
        ReviewOrigin(**campaign.origin),
        {item.id: item for item in items},
        {group.id: group for part in listed for group in part.groups},
    )


def sheet_text(campaign: Campaign, parts: Mapping[str, SheetPart]) -> str:
    """The text of the sheet file that belongs to the worksheets of these parts."""
    return make_sheet_file(campaign, parts.values()).encode()


def write_parts(parts: Mapping[str, SheetPart]) -> dict[str, str]:
    """The worksheet of each part, with the decisions filled in."""
    return {
        name: write_worksheet([view.finding for view in part.views], _answers(part)) for name, part in parts.items()
    }


def join_texts(texts: Sequence[str]) -> str:
    """Worksheets as one, the rows of one behind those of another. All have the same first line."""
    head, end, _ = texts[0].partition("\r\n")
    return head + end + "".join(text.partition("\r\n")[2] for text in texts)


def reviewer_text(decision: ItemDecision) -> str:
    """Who decided, as a worksheet and a plan name them."""
    if decision.rule:
        return RULE_REVIEWER
    # A worksheet is not read back without a reviewer, and a subject may be a blank.
    shown = decision.by.name.strip() or decision.by.subject.strip() or quote_text(decision.by.subject)
    return shown[:MAX_REVIEWER].strip()


def _answers(part: SheetPart) -> dict[str, Answer]:
    """What is written into the rows of a part: of a group that was decided at once, into its own row alone."""
    by_id = {view.id: view for view in part.views}
    answers = {view.id: _answer(view.decision) for view in part.views if view.decision is not None}
    for group in part.groups:
        members = [by_id[id_] for id_ in group.findings]
        followers = {view.id for view in members if view.decision is not None and view.decision.group == group.id}
        shared = {answers[id_] for id_ in followers}
        # The decision of the group's row would hold for open items as well.
        if len(shared) == 1 and all(view.decision is not None for view in members):
            answers[f"{GROUP_PREFIX}{group.id}"] = shared.pop()
            for id_ in followers:
                del answers[id_]
    return answers


def _answer(decision: ItemDecision) -> Answer:
    return Answer(decision.decision, decision.until, reviewer_text(decision), decision.comment)


def make_plan(campaign: Campaign, parts: Iterable[SheetPart], *, at: float) -> Plan:
    """The plan of all decisions, part by part, in the order in which a worksheet lists them."""
    listed = list(parts)
    rows = tuple(row for part in listed for row in _plan_rows(part))
    stages = parse_stages(campaign.stages) if campaign.stages else ()
    sheet = Worksheet(ReviewOrigin(**campaign.origin), rows, sum(len(part.views) for part in listed))
    return from_worksheet(sheet, now=at, stages=stages)


def _plan_rows(part: SheetPart) -> Iterator[WorksheetDecision]:
    """The decisions of a part, all of which are made once the campaign is closed."""
    by_id = {view.id: view for view in part.views}
    answers = _answers(part)
    return (
        WorksheetDecision(
            line=0,
            item=ReviewItem.from_finding(by_id[id_].finding),
            decision=decision.decision,
            until=decision.until,
            reviewer=reviewer_text(decision),
            comment=decision.comment,
            group="" if id_ in answers else decision.group,
        )
        for id_ in _listed_order([*by_id.values()])
        if (decision := by_id[id_].decision) is not None
    )


def _listed_order(views: Sequence[CampaignItemView]) -> Iterator[str]:
    """The ids in the order of the rows of a worksheet."""
    triage = sort_out(view.finding for view in views)
    ordered = dict.fromkeys((*triage.questions, *(id_ for group in triage.groups for id_ in group.findings)))
    yield from ordered
    yield from (view.id for view in views if view.id not in ordered)


def wanted_rows(
    rows: Iterable[WorksheetDecision], parts: Iterable[SheetPart], *, with_reviewer: bool
) -> dict[str, list[WantedDecision]]:
    """What a worksheet that was read changes, by who is named as the reviewer; all under "" without `with_reviewer`."""
    views = {view.id: view for part in parts for view in part.views}
    wanted: dict[str, list[WantedDecision]] = {}
    for row in rows:
        view = views[row.item.id]
        if not _is_same(view.decision, row, with_reviewer=with_reviewer):
            wanted.setdefault(row.reviewer[:MAX_REVIEWER].strip() if with_reviewer else "", []).append(
                WantedDecision(
                    item=row.item.id,
                    # `read_worksheet` gives no other word.
                    decision=cast("DecisionWord", row.decision),
                    version=view.version,
                    until=row.until,
                    comment=row.comment,
                    group=row.group,
                )
            )
    return wanted


def _is_same(decision: ItemDecision | None, row: WorksheetDecision, *, with_reviewer: bool) -> bool:
    """Whether a row says what is stored already."""
    if decision is None or (with_reviewer and row.reviewer[:MAX_REVIEWER].strip() not in ("", reviewer_text(decision))):
        return False
    # A group in which something is open was written as single rows.
    same_group = row.group in ("", decision.group)
    return same_group and (row.decision, row.until, row.comment) == (
        decision.decision,
        decision.until,
        decision.comment,
    )
