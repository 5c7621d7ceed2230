"""Sums over rows of usage, for stores of every kind."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from jwt_lp.stores.row_keys import fit_text
from jwt_lp.stores.rows import MonthRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_CHUNK: Final = 500


def sum_by_month(rows: Iterable[Sequence[Any]]) -> Iterator[MonthRow]:
    """The uses by month and outcome, from ordered rows of an ISO date, an outcome and a number."""
    for month, days in groupby(rows, key=lambda row: str(row[0])[:7]):
        uses: dict[Any, int] = {}
        for _, outcome, number in days:
            uses[outcome] = uses.get(outcome, 0) + int(number)
        for outcome in sorted(uses):
            yield MonthRow(month, outcome, uses[outcome])


def max_days(rows: int, first: str, last: str) -> int:
    """The largest number of days that so many rows between two days can have."""
    return min(rows, _ordinal(last) - _ordinal(first) + 1)


@lru_cache(maxsize=65536)
def _ordinal(day: str) -> int:
    return date.fromisoformat(day).toordinal()


def chunk_subjects(subjects: Iterable[tuple[str, str]]) -> Iterator[tuple[str, list[str]]]:
    """The distinct subjects by issuer, in order, in chunks small enough for one statement."""
    pairs = sorted({(fit_text(issuer), fit_text(subject)) for issuer, subject in subjects})
    for issuer, group in groupby(pairs, key=itemgetter(0)):
        names = [subject for _, subject in group]
        for start in range(0, len(names), _CHUNK):
            yield issuer, names[start : start + _CHUNK]
