"""Selections of sums and their rows, each small enough for one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeAlias

import sqlalchemy as sa

from jwt_lp.stores.schema import daily_sums, holder_sums, usage
from jwt_lp.stores.summation import chunk_holders
from jwt_lp.stores.usage_sums import DAYS, HOLDERS, Selection

CHUNK_ROWS: Final = 5000
"""The most rows of a selection of several holders."""

_PAGE: Final = 500

_Query: TypeAlias = "sa.Select[*tuple[Any, ...]]"
Fetch: TypeAlias = Callable[[_Query], Sequence[Any]]
"""A function that returns all rows of a query."""


def all_selections(fetch: Fetch) -> Iterator[Selection]:
    """Selections that have all sums and all rows of usage together."""
    counted: _Query = sa.select(usage.c.issuer, usage.c.subject, sa.func.count()).group_by(
        usage.c.issuer, usage.c.subject
    )
    stored: _Query = sa.select(holder_sums.c.issuer, holder_sums.c.subject, sa.literal(0)).distinct()
    yield from _holder_selections(fetch, counted, stored)
    day = _next_day(fetch, None)
    while day is not None:
        yield Selection(DAYS, {"day": day})
        day = _next_day(fetch, day)


def obsolete_selections(fetch: Fetch, before: str) -> Iterator[Selection]:
    """Selections of the holders that have rows before a day; the caller deletes these rows, one selection at a time."""
    sums = holder_sums.c
    query: _Query = sa.select(sums.issuer, sums.subject, sa.func.sum(sums.rows)).where(sums.first_day < before)
    yield from _holder_selections(fetch, query.group_by(sums.issuer, sums.subject))
    # Privacy does not depend on the sums: a row that none of them counts is deleted, too.
    uncounted: _Query = sa.select(usage.c.issuer, usage.c.subject).where(usage.c.day < before).limit(1)
    while rows := fetch(uncounted):
        yield Selection(HOLDERS, {"issuer": rows[0][0], "subject": [rows[0][1]]})


def _holder_selections(fetch: Fetch, *queries: _Query) -> Iterator[Selection]:
    """Selections of the holders that any of the queries names, with a number of rows."""

    def page(after: tuple[str, str] | None) -> list[tuple[str, str, int]]:
        sizes: dict[tuple[str, str], int] = {}
        for query in queries:
            for issuer, subject, size in fetch(_holders_after(query, after)):
                sizes[issuer, subject] = max(sizes.get((issuer, subject), 0), int(size))
        # Each query named its first holders, so the first ones of all are among them.
        return [(*holder, sizes[holder]) for holder in sorted(sizes)[:_PAGE]]

    for issuer, names in chunk_holders(page, CHUNK_ROWS):
        yield Selection(HOLDERS, {"issuer": issuer, "subject": names})


def _holders_after(query: _Query, after: tuple[str, str] | None) -> _Query:
    issuer, subject, *_ = query.selected_columns
    if after is not None:
        query = query.where(sa.tuple_(issuer, subject) > sa.tuple_(*after))
    return query.order_by(issuer, subject).limit(_PAGE)


def _next_day(fetch: Fetch, after: str | None) -> str | None:
    first_days: list[str] = []
    for table in (usage, daily_sums):
        query: _Query = sa.select(sa.func.min(table.c.day))
        rows = fetch(query if after is None else query.where(table.c.day > after))
        first_days += (day for (day,) in rows if day is not None)
    return min(first_days, default=None)
