"""Sums over the rows of usage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any, NamedTuple

from django.db.models import Case, Count, F, Max, Min, Q, QuerySet, Sum, When

from jwt_lp.stores import MonthRow, RequestedPermission, UsageSummary
from jwt_lp.stores.row_keys import fit_text
from jwt_lp.stores.summation import chunk_subjects, max_days, sum_by_month
from jwt_lp_django import models

_SUMMARY_FIELDS = UsageSummary._fields[:7]
_REQUESTED_FIELDS = RequestedPermission._fields[:5]


class SubjectSelection(NamedTuple):
    """The selection of one query: an issuer (None: all), and some of its subjects (None: all)."""

    issuer: str | None
    subjects: list[str] | None = None


def select_summary(alias: str, until: str, since: str | None, issuer: str | None) -> QuerySet[Any, Any]:
    """The query for the sums of everybody's usage."""
    rows = _usage_until(alias, until)
    if since is not None:
        rows = rows.filter(day__gte=_sortable_day(since))
    if issuer is not None:
        rows = rows.filter(issuer=fit_text(issuer))
    return (
        rows.order_by(*_SUMMARY_FIELDS)
        .values(*_SUMMARY_FIELDS)
        .annotate(uses=Sum("count"), rows=Count("*"), first_day=Min("day"), last_day=Max("day"))
        .values_list(*_SUMMARY_FIELDS, "uses", "rows", "first_day", "last_day")
    )


def usage_summary(row: tuple[Any, ...]) -> UsageSummary:
    """A row of that query."""
    *parts, uses, rows, first, last = row
    # PostgreSQL returns sums as decimals.
    return UsageSummary._make((*parts, int(uses), max_days(rows, first, last), first, last))


def select_requested(alias: str, until: str) -> QuerySet[Any, Any]:
    """The query for the permissions that enforcement points required."""
    refused = Q(outcome__in=("denied", "revoked"))
    return (
        _usage_until(alias, until)
        .order_by(*_REQUESTED_FIELDS)
        .values(*_REQUESTED_FIELDS)
        .annotate(
            uses=Sum("count", filter=Q(outcome="granted"), default=0),
            refused=Sum("count", filter=refused, default=0),
            last_day=Max("day"),
        )
        .values_list(*RequestedPermission._fields)
    )


def requested_permission(row: tuple[Any, ...]) -> RequestedPermission:
    """A row of that query."""
    *parts, uses, refused, last = row
    return RequestedPermission._make((*parts, int(uses), int(refused), last))


def select_daily_totals(alias: str, until: str) -> QuerySet[Any, Any]:
    """The query for the number of uses on each day, by outcome."""
    group = ("day", "outcome")
    rows = _usage_until(alias, until).order_by(*group).values(*group)
    return rows.annotate(uses=Sum("count")).values_list(*group, "uses")


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
    rows = _usage_until(alias, until).filter(outcome="granted")
    if selection.issuer is not None:
        rows = rows.filter(issuer=selection.issuer)
    if selection.subjects is not None:
        rows = rows.filter(subject__in=selection.subjects)
    columns = ("issuer", "subject", "credited", "day")
    credited = Case(When(grant="", then=F("permission")), default=F("grant"))
    return rows.annotate(credited=credited).order_by(*columns).values_list(*columns).distinct()


def _usage_until(alias: str, until: str) -> QuerySet[Any, Any]:
    return models.Usage.objects.using(alias).filter(day__lte=_sortable_day(until))


def _sortable_day(text: str) -> str:
    """The date as YYYY-MM-DD, which sorts as text; `ValueError` if it is no date."""
    return date.fromisoformat(text).isoformat()
