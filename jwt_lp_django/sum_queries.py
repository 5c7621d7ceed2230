"""Queries for the sums over usage, and for days of use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from django.db.models import Case, Exists, F, Max, OuterRef, Q, QuerySet, Sum, When
from django.db.models.functions import Left

from jwt_lp.stores import LaterUse, MonthRow, RequestedPermission, ReviewedHolder, UsageSummary
from jwt_lp.stores.row_keys import ELEVATED_ROLE, fit_text, iso_day
from jwt_lp.stores.summation import (
    HOLDER_PARTS,
    HolderChunk,
    chunk_reviewed,
    chunk_subjects,
    max_days,
    sum_by_month,
)
from jwt_lp_django import models
from jwt_lp_django.usage_sums import HOLDERS, add_up

_SUMMARY_FIELDS = HOLDER_PARTS
_REQUESTED_FIELDS = RequestedPermission._fields[:5]


class SubjectSelection(NamedTuple):
    """The selection of one query: an issuer (None: all), and some of its subjects (None: all)."""

    issuer: str | None
    subjects: list[str] | None = None


def select_summary(alias: str, until: str, issuer: str | None) -> QuerySet[Any, Any]:
    """The query for the uses of all holders up to a day, added up."""
    last = iso_day(until)
    sums, rows = models.HolderSum.objects.using(alias), models.Usage.objects.using(alias)
    if issuer is not None:
        sums, rows = sums.filter(issuer=fit_text(issuer)), rows.filter(issuer=fit_text(issuer))
    columns = (*_SUMMARY_FIELDS, "uses", "rows", "first_day", "last_day")
    beyond = sums.filter(first_day__lte=last, last_day__gt=last)
    if not beyond.exists():
        # A sum that goes beyond the day by now is better than none.
        return sums.filter(first_day__lte=last).order_by(*_SUMMARY_FIELDS).values_list(*columns)
    # Only the sums that go beyond the day are made from their rows up to the day.
    stored = sums.filter(last_day__lte=last).values_list(*columns)
    same = {name: OuterRef(name) for name in _SUMMARY_FIELDS}
    summed = add_up(rows.filter(Exists(beyond.filter(**same)), day__lte=last), HOLDERS).values_list(*columns)
    return stored.order_by().union(summed, all=True).order_by(*_SUMMARY_FIELDS)


def usage_summary(row: tuple[Any, ...]) -> UsageSummary:
    """A row of that query."""
    *parts, uses, rows, first, last = row
    # PostgreSQL returns sums as decimals.
    return UsageSummary._make((*parts, int(uses), max_days(rows, first, last), first, last))


def select_later_uses(alias: str, holders: HolderChunk, at: float) -> QuerySet[Any, Any]:
    """The query for what holders used since a review."""
    rows = models.HolderSum.objects.using(alias).filter(**{f"{holders.of}__in": holders.names}, outcome="granted")
    if holders.issuer is not None:
        rows = rows.filter(issuer=holders.issuer)
    # Of a grant that was never used, every use is later.
    if holders.day:
        rows = rows.filter(Q(last_day__gt=holders.day) | Q(last__gt=at))
    return rows.values_list(*LaterUse._fields)


def chunk_holders(holders: Iterable[ReviewedHolder]) -> Iterator[HolderChunk]:
    """The holders in chunks, so that no query takes too many parameters."""
    return chunk_reviewed(holders)


def select_requested(alias: str, until: str) -> QuerySet[Any, Any]:
    """The query for the permissions that enforcement points required."""
    refused = Q(outcome__in=("denied", "revoked"))
    return (
        _daily_sums(alias, until)
        .order_by(*_REQUESTED_FIELDS)
        .values(*_REQUESTED_FIELDS)
        .annotate(
            granted=Sum("uses", filter=Q(outcome="granted"), default=0),
            refused=Sum("uses", filter=refused, default=0),
            last_day=Max("day"),
        )
        .values_list(*_REQUESTED_FIELDS, "granted", "refused", "last_day")
    )


def requested_permission(row: tuple[Any, ...]) -> RequestedPermission:
    """A row of that query."""
    *parts, uses, refused, last = row
    return RequestedPermission._make((*parts, int(uses), int(refused), last))


def select_daily_totals(alias: str, until: str) -> QuerySet[Any, Any]:
    """The query for the number of uses on each day, by outcome."""
    group = ("day", "outcome")
    rows = _daily_sums(alias, until).order_by(*group).values(*group)
    return rows.annotate(total=Sum("uses")).values_list(*group, "total")


def monthly_totals(rows: Iterable[tuple[Any, ...]]) -> Iterator[MonthRow]:
    """The sums of these rows by month."""
    return sum_by_month(rows)


def select_subjects(issuer: str | None, subjects: Iterable[tuple[str, str]] | None) -> Iterator[SubjectSelection]:
    """The selections into which these subjects are divided, so that no query takes too many parameters."""
    if subjects is None:
        yield SubjectSelection(None if issuer is None else fit_text(issuer))
        return
    for subject_issuer, names in chunk_subjects(subjects):
        if issuer is None or subject_issuer == fit_text(issuer):
            yield SubjectSelection(subject_issuer, names)


def select_days(alias: str, until: str, selection: SubjectSelection) -> QuerySet[Any, Any]:
    """The query for the days of use of a selection."""
    rows = models.Usage.objects.using(alias).filter(day__lte=iso_day(until), outcome="granted")
    # Not by `startswith`, which ignores the case in SQLite.
    rows = rows.annotate(prefix=Left("role", len(ELEVATED_ROLE))).exclude(prefix=ELEVATED_ROLE)
    if selection.issuer is not None:
        rows = rows.filter(issuer=selection.issuer)
    if selection.subjects is not None:
        rows = rows.filter(subject__in=selection.subjects)
    columns = ("issuer", "subject", "credited", "day")
    credited = Case(When(grant="", then=F("permission")), default=F("grant"))
    return rows.annotate(credited=credited).order_by(*columns).values_list(*columns).distinct()


def _daily_sums(alias: str, until: str) -> QuerySet[Any, Any]:
    return models.DailySum.objects.using(alias).filter(day__lte=iso_day(until))
