"""Upkeep of the sums over usage: what a batch adds, and sums made anew from the rows.

INVARIANT: in every committed state each sum is that of its rows. A transaction writes its rows first, and after them
the sums, in the order of their keys. So whoever holds the lock of a sum sees every row that the sum counts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import partial
from operator import attrgetter
from typing import Any, Final, NamedTuple

from django.db.models import Count, Max, Min, Q, QuerySet, Sum

from jwt_lp.stores.summation import DAILY_PARTS, HOLDER_PARTS, Sums, chunk_holders, sum_by_day, sum_by_holder
from jwt_lp_django import models
from jwt_lp_django.database import DjangoDatabase, TransactionConflict, on_conflict_options, split_chunks
from jwt_lp_django.row_keys import row_id
from jwt_lp_django.upsert import Merge, upsert, zeroed

_CHUNK_ROWS: Final = 2000
_PAGE: Final = 200

_TOTALS: Final[Mapping[str, Any]] = {
    "uses": Sum("count"), "rows": Count("*"), "first_day": Min("day"), "last_day": Max("day"), "last": Max("last"),
}  # fmt: skip


class SumTable(NamedTuple):
    """A table of sums: the columns that identify a sum, and how each total merges with the stored one."""

    model: Any
    parts: tuple[str, ...]
    totals: Mapping[str, Merge]


HOLDERS: Final = SumTable(
    models.HolderSum,
    HOLDER_PARTS,
    {"uses": "add", "rows": "add", "first_day": "least", "last_day": "greatest", "last": "greatest"},
)
DAYS: Final = SumTable(models.DailySum, DAILY_PARTS, {"uses": "add", "rows": "add"})


class Selection(NamedTuple):
    """Some sums and the rows behind them, by filters that hold for both tables."""

    sums: SumTable
    filters: Mapping[str, Any]


def add_to_sums(alias: str, rows: Collection[Mapping[str, Any]], new: Collection[object]) -> None:
    """Add rows of usage to the sums; `new` has the keys of those that were not stored before."""
    _merge(alias, HOLDERS, sum_by_holder(rows, new))
    # Every process changes the sums of today, so they come last: their locks are held for the shortest time.
    _merge(alias, DAYS, sum_by_day(rows, new))


def add_up(rows: QuerySet[Any, Any], sums: SumTable) -> QuerySet[Any, Any]:
    """The query that adds up rows of usage, whatever the sums say."""
    totals = {name: _TOTALS[name] for name in sums.totals}
    return rows.order_by().values(*sums.parts).annotate(**totals).values_list(*sums.parts, *sums.totals)


def rebuild(alias: str, selection: Selection) -> None:
    """Make the selected sums anew from their rows, inside a transaction that wrote before."""
    sums, model = selection.sums, selection.sums.model.objects.using(alias)
    stored = set(model.filter(**selection.filters).order_by("pk").select_for_update().values_list("pk", flat=True))
    rows = add_up(models.Usage.objects.using(alias).filter(**selection.filters), sums)
    width = len(sums.parts)
    fresh = _objects(sums, {row[:width]: dict(zip(sums.totals, row[width:], strict=True)) for row in rows})
    for chunk in split_chunks(row for row in fresh if row.pk not in stored):
        # They count nothing yet, which shows below whether another transaction wrote one of them since.
        model.bulk_create([zeroed(row, sums.totals) for row in chunk], ignore_conflicts=True)
        written = model.filter(pk__in=[row.pk for row in chunk]).order_by("pk").select_for_update()
        if any(written.values_list("rows", flat=True)):
            raise TransactionConflict
    for chunk in split_chunks(fresh):
        model.bulk_create(chunk, **on_conflict_options(alias, *sums.totals))
    for keys in split_chunks(stored - {row.pk for row in fresh}):
        model.filter(pk__in=keys).delete()


def rebuild_all(database: DjangoDatabase) -> None:
    """Make all sums anew, a bounded number in each transaction."""
    for selection in _all_selections(database):
        database.write(partial(_rebuild_alone, database.alias, selection))


def _rebuild_alone(alias: str, selection: Selection) -> None:
    lock_sqlite(alias)
    rebuild(alias, selection)


def delete_usage(database: DjangoDatabase, before: str) -> int:
    """Delete rows of usage before a day, with their part of the sums, a bounded number in each transaction."""
    deleted = 0
    for selection in _obsolete_selections(database, before):
        count = _CHUNK_ROWS
        while count == _CHUNK_ROWS:
            count = database.write(partial(_delete_usage_of, database.alias, selection, before))
            deleted += count
    return deleted


def _delete_usage_of(alias: str, selection: Selection, before: str) -> int:
    lock_sqlite(alias)
    usage = models.Usage.objects.using(alias)
    obsolete = usage.filter(**selection.filters, day__lt=before).order_by("pk").select_for_update()
    deleted: list[Any] = list(obsolete.values("id", "count", *DAILY_PARTS)[:_CHUNK_ROWS])
    for rows in split_chunks(deleted):
        usage.filter(pk__in=[row["id"] for row in rows]).delete()
    rebuild(alias, selection)
    totals = sum_by_day(deleted, {row["id"] for row in deleted})
    _merge(alias, DAYS, {parts: {name: -total[name] for name in DAYS.totals} for parts, total in totals.items()})
    for keys in split_chunks(map(row_id, totals)):
        models.DailySum.objects.using(alias).filter(pk__in=keys, rows=0).delete()
    return len(deleted)


def lock_sqlite(alias: str) -> None:
    """Write something that changes nothing: SQLite refuses a transaction that reads first and writes later."""
    models.Batch.objects.using(alias).filter(pk="").update(at=0.0)


def count_differences(alias: str) -> int:
    """The number of sums that are not those of their rows."""
    return sum(_count_differences(alias, sums) for sums in (HOLDERS, DAYS))


def _count_differences(alias: str, sums: SumTable) -> int:
    expected = add_up(models.Usage.objects.using(alias), sums)
    stored = sums.model.objects.using(alias).order_by().values_list(*sums.parts, *sums.totals)
    width = len(sums.parts)
    # A sum with a wrong total is in both.
    return len({row[:width] for rows in (expected.difference(stored), stored.difference(expected)) for row in rows})


def _all_selections(database: DjangoDatabase) -> Iterator[Selection]:
    usage, sums = models.Usage.objects.using(database.alias), models.HolderSum.objects.using(database.alias)
    yield from _holder_selections(database, (usage, Count("*")), (sums, Sum("rows")))
    day = _next_day(database, "")
    while day:
        yield Selection(DAYS, {"day": day})
        day = _next_day(database, day)


def _obsolete_selections(database: DjangoDatabase, before: str) -> Iterator[Selection]:
    sums = models.HolderSum.objects.using(database.alias).filter(first_day__lt=before)
    yield from _holder_selections(database, (sums, Sum("rows")))
    # Privacy does not depend on the sums: a row that none of them counts is deleted, too.
    uncounted = models.Usage.objects.using(database.alias).filter(day__lt=before).values_list("issuer", "subject")
    while holder := database.read(uncounted.first):
        yield Selection(HOLDERS, {"issuer": holder[0], "subject__in": [holder[1]]})


def _holder_selections(database: DjangoDatabase, *sources: tuple[QuerySet[Any, Any], Any]) -> Iterator[Selection]:
    """Selections of the holders that any of the queries has, each with the number of its rows."""

    def page(after: tuple[str, str] | None) -> list[tuple[str, str, int]]:
        sizes: dict[tuple[str, str], int] = {}
        for rows, size in sources:
            for issuer, subject, number in database.stream_rows(partial(_holders_after, rows, size, after)):
                sizes[issuer, subject] = max(sizes.get((issuer, subject), 0), int(number))
        # Each query had its first holders, so the first ones of all are among them.
        return [(*holder, sizes[holder]) for holder in sorted(sizes)[:_PAGE]]

    for issuer, names in chunk_holders(page, _CHUNK_ROWS):
        yield Selection(HOLDERS, {"issuer": issuer, "subject__in": names})


def _holders_after(rows: QuerySet[Any, Any], size: Any, after: tuple[str, str] | None) -> QuerySet[Any, Any]:
    if after is not None:
        rows = rows.filter(Q(issuer__gt=after[0]) | Q(issuer=after[0], subject__gt=after[1]))
    holder = ("issuer", "subject")
    return rows.order_by(*holder).values(*holder).annotate(size=size).values_list(*holder, "size")[:_PAGE]


def _next_day(database: DjangoDatabase, after: str) -> str:
    first_days: list[str] = []
    tables: tuple[Any, ...] = (models.Usage, models.DailySum)
    for model in tables:
        rows = model.objects.using(database.alias).filter(day__gt=after)
        first: dict[str, str | None] = database.read(partial(rows.aggregate, day=Min("day")))
        first_days += filter(None, [first["day"]])
    return min(first_days, default="")


def _merge(alias: str, sums: SumTable, totals: Sums) -> None:
    upsert(sums.model, alias, _objects(sums, totals), **sums.totals)


def _objects(sums: SumTable, totals: Sums) -> list[Any]:
    rows = [
        sums.model(id=row_id(parts), **dict(zip(sums.parts, parts, strict=True)), **totals[parts]) for parts in totals
    ]
    return sorted(rows, key=attrgetter("pk"))
