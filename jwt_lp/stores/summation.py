"""Sums over rows of usage, for stores of every kind.

Beside the rows a store keeps two kinds of sums: by holder, one for each holder, permission, grant and outcome; and by
day, one for each day, enforcement point, permission and outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeAlias, cast

from jwt_lp.stores.row_keys import fit_text
from jwt_lp.stores.rows import MonthRow, RequestedPermission, ReviewedHolder, UsageSummary

HOLDER_PARTS: Final = UsageSummary._fields[:7]
"""The columns that identify a sum by holder."""
DAILY_PARTS: Final = ("day", *RequestedPermission._fields[:5], "outcome")
"""The columns that identify a sum by day."""

Sums: TypeAlias = dict[tuple[str, ...], dict[str, Any]]
"""The totals of each sum, by the values of its identifying columns."""

_CHUNK: Final = 500


def sum_by_holder(rows: Iterable[Mapping[str, Any]], new: Collection[object]) -> Sums:
    """What rows of usage add to the sums by holder; `new` has the `id` of each row that was not stored before."""
    sums: Sums = {}
    parts_of = cast("Callable[[Mapping[str, Any]], tuple[str, ...]]", itemgetter(*HOLDER_PARTS))
    for row in rows:
        parts, day, last = parts_of(row), row["day"], row["last"]
        total = sums.get(parts)
        if total is None:
            sums[parts] = {
                "uses": row["count"], "rows": int(row["id"] in new), "first_day": day, "last_day": day, "last": last,
            }  # fmt: skip
            continue
        total["uses"] += row["count"]
        total["rows"] += row["id"] in new
        total["first_day"] = min(total["first_day"], day)
        total["last_day"] = max(total["last_day"], day)
        total["last"] = max(total["last"], last)
    return sums


def sum_by_day(rows: Iterable[Mapping[str, Any]], new: Collection[object]) -> Sums:
    """What rows of usage add to the sums by day; `new` has the `id` of each row that was not stored before."""
    sums: Sums = {}
    parts_of: Any = itemgetter(*DAILY_PARTS)
    for row in rows:
        total = sums.setdefault(parts_of(row), {"uses": 0, "rows": 0})
        total["uses"] += row["count"]
        total["rows"] += row["id"] in new
    return sums


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


class HolderChunk(NamedTuple):
    """Some holders of one kind and issuer (None: any), and the earliest of their last known days, "" for none."""

    of: str
    issuer: str | None
    names: list[str]
    day: str


def chunk_reviewed(holders: Iterable[ReviewedHolder]) -> Iterator[HolderChunk]:
    """The holders in chunks small enough for one statement, those with near days together."""
    rows = sorted((row.of, "" if row.of == "role" else row.issuer, row.last_day, row.name) for row in holders)
    for (of, issuer), group in groupby(rows, key=itemgetter(0, 1)):
        same = list(group)
        for start in range(0, len(same), _CHUNK):
            names = [fit_text(name) for *_, name in same[start : start + _CHUNK]]
            yield HolderChunk(of, None if of == "role" else fit_text(issuer), names, same[start][2])


def chunk_holders(
    pages: Callable[[tuple[str, str] | None], Sequence[tuple[str, str, int]]], max_rows: int
) -> Iterator[tuple[str, list[str]]]:
    """The holders of all pages by issuer, in chunks with at most `max_rows` rows, or with one subject.

    `pages` returns the first holders after one, each an issuer, a subject and a number of rows, in order.
    """
    after: tuple[str, str] | None = None
    while page := pages(after):
        for issuer, holders in groupby(page, key=itemgetter(0)):
            names, rows = list[str](), 0
            for _, subject, size in holders:
                if names and rows + size > max_rows:
                    yield issuer, names
                    names, rows = [], 0
                names.append(subject)
                rows += size
            yield issuer, names
        after = page[-1][:2]
