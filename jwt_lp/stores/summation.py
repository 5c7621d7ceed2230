"""What do sums that a database gives become?"""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from jwt_lp.stores.row_keys import fit_text
from jwt_lp.stores.rows import MonthRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_CHUNK: Final = 500


def sum_by_month(rows: Iterable[Sequence[Any]]) -> Iterator[MonthRow]:
    """Months by outcome, of days (ISO dates, ordered) with an outcome and a number."""
    for month, days in groupby(rows, key=lambda row: str(row[0])[:7]):
        uses: dict[Any, int] = {}
        for _, outcome, number in days:
            uses[outcome] = uses.get(outcome, 0) + int(number)
        for outcome in sorted(uses):
            yield MonthRow(month, outcome, uses[outcome])


def max_days(rows: int, first: str, last: str) -> int:
    """On how many days so many rows can be."""
    return min(rows, _ordinal(last) - _ordinal(first) + 1)


@lru_cache(maxsize=65536)
def _ordinal(day: str) -> int:
    return date.fromisoformat(day).toordinal()


def chunk_subjects(subjects: Iterable[tuple[str, str]]) -> Iterator[tuple[str, list[str]]]:
    """Subjects by issuer, in order and each once, in parts of which one statement can name all."""
    named = sorted({(fit_text(issuer), fit_text(subject)) for issuer, subject in subjects})
    for issuer, those in groupby(named, key=lambda each: each[0]):
        names = [subject for _, subject in those]
        for start in range(0, len(names), _CHUNK):
            yield issuer, names[start : start + _CHUNK]
