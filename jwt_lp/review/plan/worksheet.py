"""What do people decide about each finding?

A table of comma-separated values, made for spreadsheets and read back from them. A row carries all that a plan needs,
sealed, so that what was signed is what was found. No cell is a formula for a spreadsheet (`jwt_lp.usage.row_reader`).
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
    """What somebody decided about one finding, on which line of the file."""

    line: int
    case: ReviewItem
    decision: str
    until: str
    reviewer: str
    comment: str


@dataclass(frozen=True, slots=True)
class Worksheet:
    """Every answer of a worksheet, and the one review that all of its rows come from."""

    origin: ReviewOrigin
    decisions: tuple[WorksheetDecision, ...]


def write_worksheet(review: Review, findings: Iterable[Finding] | None = None) -> str:
    """The worksheet of a review, or of those among its findings: a row for each that asks for a decision."""
    origin = ReviewOrigin.from_review(review)
    said = io.StringIO()
    listed = undecided_findings(review.findings if findings is None else findings)
    rows = ((*_finding_cells(found), "", "", "", "", *_seal_cells(found, origin)) for found in listed)
    row_reader.write(said, COLUMNS, rows, end="\r\n")
    return said.getvalue()


def split_findings(findings: Iterable[Finding], key: str) -> dict[str, tuple[Finding, ...]]:
    """The findings by `manager` (who answers for the holder), `team`, `role` or `issuer`; "" for who has none."""
    field = {"manager": "owner", "team": "team", "role": "role", "issuer": "issuer"}.get(key)
    if field is None:
        raise ConfigurationError(f"a worksheet is split by manager, team, role or issuer, not by {quote_text(key)}")
    parts: dict[str, list[Finding]] = {}
    for found in findings:
        parts.setdefault(getattr(found, field), []).append(found)
    return {name: tuple(parts[name]) for name in sorted(parts)}


def read_worksheet(text: str, *, known: Collection[str] | None = None) -> Worksheet:
    """What was decided.

    `known` are the ids there may be. `ConfigurationError` names every fault with its line: a row without an answer,
    one whose facts were changed, rows of several reviews, what a decision lacks.
    """
    faults: list[str] = []
    answers: list[WorksheetDecision] = []
    origins: dict[ReviewOrigin, int] = {}
    lines: dict[str, int] = {}
    for line, row in _rows(text.removeprefix("\ufeff")):
        said = {name: row[name].strip() for name in DECISION_COLUMNS}
        said["decision"] = said["decision"].lower()
        found = _verified_facts(row)
        if found is None:
            faults.append(
                f"line {line}: what the review found was changed; a spreadsheet may do that by itself with numbers and "
                "days: open the original with every column as text"
            )
            continue
        case, origin = found
        origins.setdefault(origin, line)
        wrong = [*_decision_faults(case, said)]
        if known is not None and case.id not in known:
            wrong.append(f"the review has no finding {quote_text(case.id)}")
        if case.id in lines:
            wrong.append(f"the finding {quote_text(case.id)} is on line {lines[case.id]} already")
        lines.setdefault(case.id, line)
        faults += (f"line {line}: {each}" for each in wrong)
        answers.append(WorksheetDecision(line, case, *(said[name] for name in DECISION_COLUMNS)))
    if len(origins) > 1:
        faults += (f"line {line}: from here on the rows belong to another review" for line in [*origins.values()][1:])
    if not faults and not answers:
        faults.append("the worksheet has no rows: there is nothing to decide")
    if faults:
        raise ConfigurationError(*faults)
    return Worksheet(next(iter(origins)), tuple(answers))


def join_worksheets(sheets: Iterable[Worksheet]) -> Worksheet:
    """Several worksheets of one review as one, such as one of each manager's."""
    listed = list(sheets)
    answers = tuple(answer for sheet in listed for answer in sheet.decisions)
    twice = [each for each, times in Counter(answer.case.id for answer in answers).items() if times > 1]
    faults = [f"the finding {quote_text(each)} is in several worksheets" for each in twice]
    if len({sheet.origin for sheet in listed}) > 1:
        faults.append("the worksheets are of several reviews")
    if faults:
        raise ConfigurationError(*faults)
    return Worksheet(listed[0].origin, answers)


def _rows(text: str) -> Iterator[tuple[int, Mapping[str, str]]]:
    head = text.partition("\n")[0]
    # Spreadsheets write what their country separates by.
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
                yield line, {name: row_reader.bare(cell) for name, cell in zip(names, cells, strict=False)}
            line = reader.line_num + 1
    except csv.Error as error:
        raise ConfigurationError(f"line {line}: not CSV: {error}") from None


def _decision_faults(case: ReviewItem, said: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with an answer."""
    decision, until = said["decision"], said["until"]
    if not decision:
        yield f"no decision: write one of {', '.join(DECISIONS)}"
    elif decision not in DECISIONS:
        among = f": write one of {', '.join(DECISIONS)}"
        yield f"{quote_text(decision)} is no decision{did_you_mean(decision, DECISIONS) or among}"
    if decision in ("remove", "narrow", "exempt") and not said["reviewer"]:
        yield f"who decided to {decision}? fill in reviewer"
    if decision == "narrow" and not case.instead:
        yield "there is nothing to narrow it to: the column instead is empty"
    if decision == "exempt" and not until:
        yield "an exemption ends on some day: fill in until, as in 2027-01-31"
    elif until and decision not in ("exempt", ""):
        yield "until is for exemptions"
    elif until and not _is_day(until):
        yield f"until: {quote_text(until)} is not a day such as 2027-01-31"


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _finding_cells(found: Finding) -> Sequence[str]:
    said: list[str] = []
    for name in FINDING_COLUMNS:
        value: Any = getattr(found, name)
        if isinstance(value, tuple):
            # A guard may hold commas, a grant may not hold blanks.
            value = ("; " if name == "guards" else " ").join(cast("tuple[str, ...]", value))
        elif isinstance(value, float):
            value = f"{value:.4f}"
        said.append("" if value is None else str(value))
    return said


def _seal_cells(found: Finding, origin: ReviewOrigin) -> tuple[str, str, str, str]:
    facts = json.dumps([ReviewItem.from_finding(found), origin], separators=(",", ":"))
    return origin.review, origin.policy, facts, _seal(origin.review, facts)


def _seal(review: str, facts: str) -> str:
    # Against slips, of people and spreadsheets: whoever may write the worksheet may decide anyway.
    return sha256(f"worksheet\0{review}\0{facts}".encode()).hexdigest()[:32]


def _verified_facts(row: Mapping[str, str]) -> tuple[ReviewItem, ReviewOrigin] | None:
    """What the row is about; None where any of it is not as it was written."""
    if _seal(row["review"], row["facts"]) != row["seal"]:
        return None
    said, whence = json.loads(row["facts"])
    values: list[Any] = [tuple(each) if is_json_array(each) else each for each in said]
    case = ReviewItem(*values)
    origin = ReviewOrigin(*whence)
    # INVARIANT: what the reviewer saw is what the plan will do.
    shown = (case.id, case.of, case.issuer, case.name, case.role, case.grant, " ".join(case.instead))
    same = all(row[name] == value for name, value in zip(_SEALED_COLUMNS, shown, strict=True))
    return (case, origin) if same and row["policy"] == origin.policy and row["review"] == origin.review else None
