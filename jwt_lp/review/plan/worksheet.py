"""Worksheets: CSV files in which reviewers decide about findings.

They are written for spreadsheets and read back from them. A row has what a person needs, and the id of its finding or of a
group of findings; what else a plan needs is in the sheet file beside it. A spreadsheet finds no formula in any cell (`jwt_lp.usage.row_reader`).
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp._support.validation import quote_text
from jwt_lp.errors import ConfigurationError
from jwt_lp.review.plan.decision_faults import decision_faults, read_day
from jwt_lp.review.plan.decision_groups import describe_members, describe_reason, sort_out
from jwt_lp.review.plan.line_faults import LineFaults, limit_faults
from jwt_lp.review.plan.review_items import undecided_findings
from jwt_lp.review.plan.worksheet_rows import DECISION_COLUMNS, read_sheet_rows
from jwt_lp.review.quantities import count_noun
from jwt_lp.usage import row_reader

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from jwt_lp.review.findings import Finding
    from jwt_lp.review.plan.decision_groups import DecisionGroup
    from jwt_lp.review.plan.review_items import ReviewItem, ReviewOrigin
    from jwt_lp.review.plan.sheet_file import SheetFile

SHOWN_COLUMNS: Final = (
    "person", "team", "manager", "of", "holder", "role", "grant", "instead", "last_use", "uses", "reasons",
    "held_back_by", "others", "risk", "proposal", "issuer", "group",
)  # fmt: skip
COLUMNS: Final = ("id", *DECISION_COLUMNS, *SHOWN_COLUMNS)
ID_PREFIX: Final = "F"
"""Before each id, so that a spreadsheet never takes one such as 12e4 for a number."""
GROUP_PREFIX: Final = "G"
"""Before the id of a group."""

_CHECKED_COLUMNS: Final = ("of", "issuer", "holder", "role", "grant", "instead")


class Answer(NamedTuple):
    """What a reviewer wrote into a row."""

    decision: str = ""
    until: str = ""
    reviewer: str = ""
    comment: str = ""


NO_ANSWERS: Final[Mapping[str, Answer]] = MappingProxyType({})
_BLANK: Final = Answer()
_MOST_OTHERS: Final = 10_000
"""The most rows that are read beside those of the findings: somebody may send the worksheet of a whole review."""


@dataclass(frozen=True, slots=True)
class WorksheetDecision:
    """A reviewer's decision about one finding, with its line in the file.

    `group` is the id of the group whose row has the decision, "" if it is the finding's own.
    """

    line: int
    item: ReviewItem
    decision: str
    until: str
    reviewer: str
    comment: str
    group: str = ""


@dataclass(frozen=True, slots=True)
class Worksheet:
    """The decisions of a worksheet, and the review that all of its rows come from.

    `asked` is the number of findings of the review that need a decision; other worksheets may have the rest.
    """

    origin: ReviewOrigin
    decisions: tuple[WorksheetDecision, ...]
    asked: int


def write_worksheet(findings: Iterable[Finding], answers: Mapping[str, Answer] = NO_ANSWERS) -> str:
    """A worksheet as CSV, with a row for each finding that needs a decision, and for each group of obvious removals.

    First come the questions, the most informative first, then each group with its members. `answers` fill the rows of
    findings, by their ids, and those of groups, by `GROUP_PREFIX` and their ids. The worksheet is read back together with
    the sheet file of the same review (`SheetFile`).
    """
    output = io.StringIO()
    row_reader.write_csv(
        output, COLUMNS, _written_rows({each.id: each for each in undecided_findings(findings)}, answers), end="\r\n"
    )
    return output.getvalue()


def _written_rows(findings: Mapping[str, Finding], answers: Mapping[str, Answer]) -> Iterator[tuple[str, ...]]:
    triage = sort_out(findings.values())

    def row(id_: str, group: str) -> tuple[str, ...]:
        return f"{ID_PREFIX}{id_}", *answers.get(id_, _BLANK), *_shown_cells(findings[id_]), group

    for id_ in triage.questions:
        yield row(id_, "")
    for group in triage.groups:
        name = f"{GROUP_PREFIX}{group.id}"
        yield name, *answers.get(name, _BLANK), *_group_cells(group), name
        for id_ in group.findings:
            yield row(id_, name)
    asked = {*triage.questions, *(id_ for group in triage.groups for id_ in group.findings)}
    for id_ in findings:
        if id_ not in asked:
            yield row(id_, "")


def split_findings(findings: Iterable[Finding], key: str) -> dict[str, tuple[Finding, ...]]:
    """The findings by `manager`, `team`, `role` or `issuer`; "" for findings without one."""
    if key not in ("manager", "team", "role", "issuer"):
        raise ConfigurationError(f"a worksheet is split by manager, team, role or issuer, not by {quote_text(key)}")
    parts: dict[str, list[Finding]] = {}
    for finding in findings:
        parts.setdefault(getattr(finding, key), []).append(finding)
    return {name: tuple(parts[name]) for name in sorted(parts)}


def read_worksheet(
    text: str, sheet: SheetFile, *, known: Collection[str] | None = None, partial: bool = False, reviewer: str = ""
) -> Worksheet:
    """The decisions of a worksheet; `sheet` is the sheet file that was written with it.

    Rows and columns may be in another order, and columns that only inform may be missing. The decision of a group holds
    for its members whose own rows are empty or missing. `known` has the ids of the review's findings. With `partial`,
    rows without a decision are left out. `reviewer` decided where no row names another.
    `ConfigurationError` names every kind of fault with its lines: a row without a decision, a row that another review
    wrote, changed cells, an incomplete decision.
    """
    faults, lines = LineFaults(), dict[str, int]()
    answers: dict[str, tuple[int, Answer]] = {}
    left = _MOST_OTHERS + len(sheet.items) + len(sheet.groups)
    for line, row in read_sheet_rows(text.removeprefix("\ufeff")):
        left -= 1
        if left < 0:
            # Whoever sends a file of millions of rows does not have them all read.
            faults.add(line, "there are many more rows than findings: the rows from here on were not read")
            break
        id_ = row["id"].strip().removeprefix(ID_PREFIX)
        shown = _shown_of(sheet, id_)
        if shown is None:
            faults.add(line, "the sheet file has no finding with this id: is it the file of another review?")
        elif not _shows(row, shown):
            faults.add(
                line,
                "the holder, role or grant is not that of this id: a cell was changed, or only some columns were "
                "sorted; if a spreadsheet reformatted a number or a day, open the original with every column as text",
            )
        elif id_ in lines:
            faults.add(line, f"the finding is on line {lines[id_]} already")
        else:
            lines[id_] = line
            answer = Answer(*(row.get(name, "").strip() for name in DECISION_COLUMNS))
            answers[id_] = line, answer._replace(decision=answer.decision.lower())
    decisions = tuple(_decisions(sheet, answers, faults, known, _Reading(reviewer, partial=partial)))
    if summary := faults.summary():
        raise ConfigurationError(*summary)
    if not decisions and not partial:
        raise ConfigurationError("the worksheet has no rows: there is nothing to decide")
    return Worksheet(sheet.origin, decisions, len(sheet.items))


class _Reading(NamedTuple):
    reviewer: str
    partial: bool


def _decisions(
    sheet: SheetFile,
    answers: Mapping[str, tuple[int, Answer]],
    faults: LineFaults,
    known: Collection[str] | None,
    reading: _Reading,
) -> Iterator[WorksheetDecision]:
    """The decision of each finding: that of its row, or of its group."""
    groups = {id_: name for name, group in sheet.groups.items() for id_ in group.findings}
    members = (id_ for name in answers for id_ in (sheet.groups[_group_id(name)].findings if _group_id(name) else ()))
    checked: set[str] = set()
    for id_ in dict.fromkeys((*(name for name in answers if name in sheet.items), *members)):
        line, answer = answers.get(id_, (0, _BLANK))
        group = f"{GROUP_PREFIX}{groups.get(id_, '')}"
        # A comment without a decision may be a doubt, so the row does not follow its group.
        inherits = answer == _BLANK and group in answers
        if inherits:
            line, answer = answers[group]
        if reading.partial and not answer.decision:
            continue
        answer = answer._replace(reviewer=answer.reviewer or reading.reviewer)
        item = sheet.items[id_]
        if not inherits or group not in checked:
            for fault in _answer_faults(item, answer):
                faults.add(line, fault)
        checked.add(group if inherits else id_)
        if known is not None and id_ not in known:
            faults.add(line, "the review given with --review does not have this finding")
        yield WorksheetDecision(
            line, item, answer.decision, read_day(answer.until) or "", answer.reviewer, answer.comment,
            group.removeprefix(GROUP_PREFIX) if inherits else "",
        )  # fmt: skip


def _group_id(name: str) -> str:
    """The id of the group that a row is about; "" for the row of a finding."""
    return name.removeprefix(GROUP_PREFIX) if name.startswith(GROUP_PREFIX) else ""


def join_worksheets(sheets: Iterable[Worksheet]) -> Worksheet:
    """Several worksheets of one review, such as one for each manager, as one worksheet."""
    listed = list(sheets)
    decisions = tuple(decision for sheet in listed for decision in sheet.decisions)
    repeated = [id_ for id_, times in Counter(decision.item.id for decision in decisions).items() if times > 1]
    faults = limit_faults(f"the finding {quote_text(id_)} is in several worksheets" for id_ in repeated)
    if len({sheet.origin for sheet in listed}) > 1:
        faults.append("the worksheets belong to different reviews")
    if faults:
        raise ConfigurationError(*faults)
    # A sheet file may be that of one part alone.
    return Worksheet(listed[0].origin, decisions, max(sheet.asked for sheet in listed))


def _answer_faults(item: ReviewItem, answer: Answer) -> Iterator[str]:
    """The faults of an answer."""
    yield from decision_faults(answer.decision, answer.until, narrower=bool(item.instead))
    if answer.decision in ("remove", "narrow", "exempt") and not answer.reviewer:
        yield f"reviewer is empty: name who decided to {answer.decision}"


def _shown_cells(finding: Finding) -> tuple[str, ...]:
    instead = () if finding.just_in_time is None else (str(finding.just_in_time),)
    reasons = (finding.reason, *instead, *map(str, finding.because))
    return (
        finding.person_name, finding.team, finding.manager, finding.of, finding.name, finding.role, finding.grant,
        " ".join(finding.instead), finding.last_day or "never", str(finding.uses), "; ".join(reasons),
        "; ".join(finding.guards), " ".join(finding.others), f"{finding.score} of 100", finding.proposal,
        finding.issuer,
    )  # fmt: skip


def _group_cells(group: DecisionGroup) -> tuple[str, ...]:
    saved = f"{describe_reason(group)}; this decision holds for the rows of the group that have none"
    return (
        "", "", "", "group", describe_members(group), "", "", "", "", "", saved, "", "", "",
        f"remove (saves {count_noun(len(group.findings) - 1, 'decision')})", "",
    )  # fmt: skip


def _shown_of(sheet: SheetFile, id_: str) -> tuple[str, ...] | None:
    """The cells that the row of a finding or of a group must show; None for an unknown id."""
    if (group := sheet.groups.get(_group_id(id_))) is not None:
        return "group", "", describe_members(group), "", "", ""
    item = sheet.items.get(id_)
    return item and (item.of, item.issuer, item.name, item.role, item.grant, " ".join(item.instead))


def _shows(row: Mapping[str, str], shown: tuple[str, ...]) -> bool:
    """Whether a row shows the holder and the grant of its id, as far as it has the columns."""
    # INVARIANT: the plan applies what the reviewer saw.
    return all(name not in row or _same(row[name], value) for name, value in zip(_CHECKED_COLUMNS, shown, strict=True))


def _same(cell: str, written: str) -> bool:
    """Whether a spreadsheet may have made the cell of the text that was written: blanks, capitals, and whole numbers."""
    one, other = (" ".join(text.split()).casefold() for text in (cell, written))
    # A spreadsheet drops the zeros before a number.
    numbers = one.isdecimal() and other.isdecimal()
    return one == other or (numbers and one.lstrip("0") == other.lstrip("0"))
