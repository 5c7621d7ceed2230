"""The files of `--people` and `--exempt`: persons by subject, and exemptions from earlier worksheets."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Final

from jwt_lp.cli.output import Failure
from jwt_lp.cli.row_input import open_input, prefix_faults
from jwt_lp.review import Person, ReviewExemption
from jwt_lp.usage.row_reader import read_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from jwt_lp.usage.row_reader import Row

_PEOPLE_COLUMNS: Final = ("subject", "name", "team", "manager", "active")
_EXEMPTION_COLUMNS: Final = ("id", "decision", "until", "reviewer", "comment")
_SHOWN: Final = 20


def load_people(file: str, name: Callable[[str], str]) -> dict[str, Person]:
    """The persons in a file, by the subject's name in the store, which `name` derives."""
    return {
        name(subject): Person(*rest)
        for subject, *rest in (row.values for row in _read_rows(file, _PEOPLE_COLUMNS, ("subject",)))
    }


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
            exemptions.append(ReviewExemption(finding.strip(), until.strip(), reviewer.strip(), comment.strip()))
    if faults:
        raise Failure(*faults[:_SHOWN])
    return exemptions


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _read_rows(file: str, fields: tuple[str, ...], needed: tuple[str, ...]) -> Iterator[Row]:
    with (
        open_input(file, "csv" if not file.endswith((".jsonl", ".ndjson")) else None) as opened,
        prefix_faults(opened.name),
    ):
        rows, _ = read_rows(opened.lines(), opened.form, fields, {}, needed)
        for row in rows:
            if row.fault:
                raise Failure(f"{opened.name}: line {row.line}: {row.fault}")
            yield row
