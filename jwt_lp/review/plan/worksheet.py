"""Worksheets: CSV files in which reviewers decide about findings.

They are written for spreadsheets and read back from them. Each row carries all that a plan needs, with a seal that
shows whether the review's cells were changed. A spreadsheet finds no formula in any cell (`jwt_lp.usage.row_reader`).
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, cast

from jwt_lp._support.json_types import is_json_array
from jwt_lp._support.validation import did_you_mean, quote_text
from jwt_lp.errors import ConfigurationError
from jwt_lp.review.plan.review_items import ReviewItem, ReviewOrigin, undecided_findings
from jwt_lp.usage import row_reader

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from jwt_lp.review.findings import Finding, Review

FINDING_COLUMNS: Final = (
    "id", "kind", "verdict", "proposal", "of", "issuer", "name", "role", "grant", "instead", "uses", "days",
    "last_day", "idle", "likelihood", "risk", "reason", "guards", "others",
)  # fmt: skip
DECISION_COLUMNS: Final = ("decision", "until", "reviewer", "comment")
SEAL_COLUMNS: Final = ("review", "policy", "facts", "seal")
COLUMNS: Final = (*FINDING_COLUMNS, *DECISION_COLUMNS, *SEAL_COLUMNS)
DECISIONS: Final = ("keep", "remove", "narrow", "exempt")

_SEALED_COLUMNS: Final = ("id", "of", "issuer", "name", "role", "grant", "instead")


@dataclass(frozen=True, slots=True)
class WorksheetDecision:
    """A reviewer's decision about one finding, with its line in the file."""

    line: int
    item: ReviewItem
    decision: str
    until: str
    reviewer: str
    comment: str


@dataclass(frozen=True, slots=True)
class Worksheet:
    """The decisions of a worksheet, and the review that all of its rows come from."""

    origin: ReviewOrigin
    decisions: tuple[WorksheetDecision, ...]


def write_worksheet(review: Review, findings: Iterable[Finding] | None = None) -> str:
    """The worksheet of a review, or of some of its findings, with a row for each finding that needs a decision."""
    origin = ReviewOrigin.from_review(review)
    output = io.StringIO()
    undecided = undecided_findings(review.findings if findings is None else findings)
    rows = ((*_finding_cells(finding), "", "", "", "", *_seal_cells(finding, origin)) for finding in undecided)
    row_reader.write_csv(output, COLUMNS, rows, end="\r\n")
    return output.getvalue()


def split_findings(findings: Iterable[Finding], key: str) -> dict[str, tuple[Finding, ...]]:
    """The findings by `manager`, `team`, `role` or `issuer`; "" for findings without one."""
    if key not in ("manager", "team", "role", "issuer"):
        raise ConfigurationError(f"a worksheet is split by manager, team, role or issuer, not by {quote_text(key)}")
    parts: dict[str, list[Finding]] = {}
    for finding in findings:
        parts.setdefault(getattr(finding, key), []).append(finding)
    return {name: tuple(parts[name]) for name in sorted(parts)}


def read_worksheet(text: str, *, known: Collection[str] | None = None) -> Worksheet:
    """The decisions of a worksheet.

    `known` has the ids of the review's findings. `ConfigurationError` names every fault with its line: a row without a
    decision, a row whose sealed cells were changed, rows of several reviews, an incomplete decision.
    """
    faults: list[str] = []
    decisions: list[WorksheetDecision] = []
    origins: dict[ReviewOrigin, int] = {}
    lines: dict[str, int] = {}
    for line, row in _rows(text.removeprefix("\ufeff")):
        answer = {name: row[name].strip() for name in DECISION_COLUMNS}
        answer["decision"] = answer["decision"].lower()
        facts = _verified_facts(row)
        if facts is None:
            faults.append(
                f"line {line}: a cell that the review wrote was changed; a spreadsheet may reformat numbers and days "
                "by itself: open the original with every column as text"
            )
            continue
        item, origin = facts
        origins.setdefault(origin, line)
        row_faults = [*_decision_faults(item, answer)]
        if known is not None and item.id not in known:
            row_faults.append(f"the review has no finding {quote_text(item.id)}")
        if item.id in lines:
            row_faults.append(f"the finding {quote_text(item.id)} is on line {lines[item.id]} already")
        lines.setdefault(item.id, line)
        faults += (f"line {line}: {fault}" for fault in row_faults)
        decisions.append(WorksheetDecision(line, item, *(answer[name] for name in DECISION_COLUMNS)))
    if len(origins) > 1:
        faults += (f"line {line}: from here on the rows belong to another review" for line in [*origins.values()][1:])
    if not faults and not decisions:
        faults.append("the worksheet has no rows: there is nothing to decide")
    if faults:
        raise ConfigurationError(*faults)
    return Worksheet(next(iter(origins)), tuple(decisions))


def join_worksheets(sheets: Iterable[Worksheet]) -> Worksheet:
    """Several worksheets of one review, such as one for each manager, as one worksheet."""
    listed = list(sheets)
    decisions = tuple(decision for sheet in listed for decision in sheet.decisions)
    repeated = [id_ for id_, times in Counter(decision.item.id for decision in decisions).items() if times > 1]
    faults = [f"the finding {quote_text(id_)} is in several worksheets" for id_ in repeated]
    if len({sheet.origin for sheet in listed}) > 1:
        faults.append("the worksheets belong to different reviews")
    if faults:
        raise ConfigurationError(*faults)
    return Worksheet(listed[0].origin, decisions)


def _rows(text: str) -> Iterator[tuple[int, Mapping[str, str]]]:
    head = text.partition("\n")[0]
    # Spreadsheets use the delimiter of their locale.
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    first: list[str] = next(reader, [""])
    names = [name.strip() for name in first]
    if lacking := [name for name in COLUMNS if name not in names]:
        raise ConfigurationError(
            f"line 1: not a worksheet of a review: no column {', '.join(map(quote_text, lacking))}"
        )
    line = reader.line_num + 1
    try:
        for row in reader:
            if any(row):
                cells = (*row, *[""] * (len(names) - len(row)))
                yield line, {name: row_reader.unescape_formulas(cell) for name, cell in zip(names, cells, strict=False)}
            line = reader.line_num + 1
    except csv.Error as error:
        raise ConfigurationError(f"line {line}: not CSV: {error}") from None


def _decision_faults(item: ReviewItem, answer: Mapping[str, str]) -> Iterator[str]:
    """The faults of an answer."""
    decision, until = answer["decision"], answer["until"]
    if not decision:
        yield f"no decision: write one of {', '.join(DECISIONS)}"
    elif decision not in DECISIONS:
        choices = f": write one of {', '.join(DECISIONS)}"
        yield f"{quote_text(decision)} is not a decision{did_you_mean(decision, DECISIONS) or choices}"
    if decision in ("remove", "narrow", "exempt") and not answer["reviewer"]:
        yield f"reviewer is empty: name who decided to {decision}"
    if decision == "narrow" and not item.instead:
        yield "the grant cannot be narrowed: the column instead is empty"
    if decision == "exempt" and not until:
        yield "an exemption needs a last day: fill in until, as in 2027-01-31"
    elif until and decision not in ("exempt", ""):
        yield "until is only for exemptions"
    elif until and not _is_day(until):
        yield f"until: {quote_text(until)} is not a day such as 2027-01-31"


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _finding_cells(finding: Finding) -> Sequence[str]:
    cells: list[str] = []
    for name in FINDING_COLUMNS:
        value: Any = getattr(finding, name)
        if isinstance(value, tuple):
            # A guard may contain commas; a grant contains no blanks.
            value = ("; " if name == "guards" else " ").join(cast("tuple[str, ...]", value))
        elif isinstance(value, float):
            value = f"{value:.4f}"
        cells.append("" if value is None else str(value))
    return cells


def _seal_cells(finding: Finding, origin: ReviewOrigin) -> tuple[str, str, str, str]:
    facts = json.dumps([ReviewItem.from_finding(finding), origin], separators=(",", ":"))
    return origin.review, origin.policy, facts, _seal(origin.review, facts)


def _seal(review: str, facts: str) -> str:
    # Against mistakes by people and spreadsheets, not attacks: whoever may write the worksheet may decide.
    return sha256(f"worksheet\0{review}\0{facts}".encode()).hexdigest()[:32]


def _verified_facts(row: Mapping[str, str]) -> tuple[ReviewItem, ReviewOrigin] | None:
    """The item and the origin of a row; None where a sealed cell was changed."""
    if _seal(row["review"], row["facts"]) != row["seal"]:
        return None
    item_values, origin_values = json.loads(row["facts"])
    values: list[Any] = [tuple(value) if is_json_array(value) else value for value in item_values]
    item = ReviewItem(*values)
    origin = ReviewOrigin(*origin_values)
    # INVARIANT: the plan applies what the reviewer saw.
    shown = (item.id, item.of, item.issuer, item.name, item.role, item.grant, " ".join(item.instead))
    same = all(row[name] == value for name, value in zip(_SEALED_COLUMNS, shown, strict=True))
    return (item, origin) if same and row["policy"] == origin.policy and row["review"] == origin.review else None
