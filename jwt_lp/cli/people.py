"""The files of `--people` and `--exempt`: persons by subject, and exemptions from earlier worksheets."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Final

from jwt_lp._support.validation import quote_text
from jwt_lp.cli.output import Failure
from jwt_lp.cli.plan import find_sheet_file, read_sheet_file
from jwt_lp.cli.row_input import open_input, prefix_faults
from jwt_lp.review import Person, ReviewExemption
from jwt_lp.review.analysis.people import ACTIVE, INACTIVE
from jwt_lp.review.plan.worksheet import GROUP_PREFIX, ID_PREFIX
from jwt_lp.usage.row_reader import read_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from jwt_lp.usage.row_reader import Row

_PEOPLE_COLUMNS: Final = ("subject", "name", "team", "manager", "active", "left", "end")
_EXEMPTION_COLUMNS: Final = ("id", "decision", "until", "reviewer", "comment")
_SHOWN: Final = 20


def load_people(file: str, name: Callable[[str], str]) -> dict[str, Person]:
    """The persons in a file, by the subject's name in the store, which `name` derives.

    `Failure` names every faulty row: an unknown word in `active`, a last day (`left` or `end`) that is no day, a subject
    with two different rows. A wrong list would take grants from people who have not left.
    """
    people: dict[str, Person] = {}
    lines: dict[str, int] = {}
    faults: list[str] = []
    for row in _read_rows(file, _PEOPLE_COLUMNS, ("subject",)):
        person_name, team, manager, active, left, end = (value.strip() for value in row.values[1:])
        person, subject = Person(person_name, team, manager, active, left or end), name(row.values[0])
        row_faults = list(_person_faults(person, left, end))
        line = lines.setdefault(subject, row.line)
        if people.setdefault(subject, person) != person:
            row_faults.append(f"line {line} says something else about {quote_text(row.values[0])}")
        faults += (f"{file}: line {row.line}: {fault}" for fault in row_faults)
    _raise_faults(faults)
    return people


def _person_faults(person: Person, left: str, end: str) -> Iterator[str]:
    if person.active.lower() not in (*ACTIVE, *INACTIVE):
        yield f"active: write yes or no, not {quote_text(person.active)}"
    if left and end and left != end:
        yield "left and end are different days: fill in one of them"
    elif person.left and not _is_day(person.left):
        yield f"{'left' if left else 'end'}: {quote_text(person.left)} is not a day such as 2027-06-30"


def _raise_faults(faults: Sequence[str]) -> None:
    if faults:
        more = [f"and {len(faults) - _SHOWN:,} more"] if len(faults) > _SHOWN else []
        raise Failure(*faults[:_SHOWN], *more)


def load_exemptions(files: Iterable[str]) -> list[ReviewExemption]:
    """The exemptions in worksheets that were filled in before; `Failure` names every faulty one."""
    exemptions: list[ReviewExemption] = []
    faults: list[str] = []
    for file in files:
        for row in _read_rows(file, _EXEMPTION_COLUMNS, ("id", "decision")):
            finding, decision, until, reviewer, comment = row.values
            if decision.strip().lower() != "exempt":
                continue
            if not reviewer.strip() or not _is_day(until.strip()):
                faults.append(
                    f"{file}: line {row.line}: an exemption needs a reviewer, and until: a day such as 2027-06-30"
                )
                continue
            exemptions += (
                ReviewExemption(id_, until.strip(), reviewer.strip(), comment.strip())
                for id_ in _exempted(file, finding.strip())
            )
    _raise_faults(faults)
    return exemptions


def _exempted(file: str, finding: str) -> Iterable[str]:
    """The ids of the findings that a row is about: one, or the members of a group that have no decision of their own."""
    if not finding.startswith(GROUP_PREFIX):
        return (finding.removeprefix(ID_PREFIX),)
    sheet = read_sheet_file(find_sheet_file(file, None))
    group = sheet.groups.get(finding.removeprefix(GROUP_PREFIX))
    if group is None:
        raise Failure(f"{file}: the sheet file has no group {quote_text(finding)}: is it the file of another review?")
    decided = {
        str(row.values[0]).strip().removeprefix(ID_PREFIX)
        for row in _read_rows(file, _EXEMPTION_COLUMNS, ("id", "decision"))
        if any(value.strip() for value in row.values[1:])
    }
    return [id_ for id_ in group.findings if id_ not in decided]


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _read_rows(file: str, fields: tuple[str, ...], needed: tuple[str, ...]) -> Iterator[Row]:
    with (
        open_input(file, "csv" if not file.endswith((".jsonl", ".ndjson")) else None) as opened,
        prefix_faults(opened.name),
    ):
        rows, _ = read_rows(opened.lines(), opened.form, fields, {}, needed, flags=("active",))
        for row in rows:
            # Bytes that are not UTF-8 were read as surrogates, which no output could write.
            fault = row.fault or (
                "" if _is_utf8("".join(row.values)) else "it is not UTF-8: save the file as CSV UTF-8"
            )
            if fault:
                raise Failure(f"{opened.name}: line {row.line}: {fault}")
            yield row
