"""What do all the rows of usage add up to?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any, NamedTuple

from django.db.models import Case, Count, F, Max, Min, Q, QuerySet, Sum, When

from jwt_lp.stores import MonthRow, RequestedPermission, UsageSummary
from jwt_lp.stores.row_keys import fit_text  # pyright: ignore[reportPrivateUsage] - one way to keep, for all stores
from jwt_lp.stores.summation import chunk_subjects, max_days, sum_by_month  # pyright: ignore[reportPrivateUsage] - one way to add up, for all stores
from jwt_lp_django import models

_SUMMARY_FIELDS = UsageSummary._fields[:7]
_REQUESTED_FIELDS = RequestedPermission._fields[:5]


class SubjectSelection(NamedTuple):
    """Whose days one question is for: an issuer's, None for everybody's, and of that some subjects'."""

    issuer: str | None
    subjects: list[str] | None = None


def select_summary(alias: str, until: str, since: str | None, issuer: str | None) -> QuerySet[Any, Any]:
    """The question for uses of everybody, added up."""
    asked = _usage_until(alias, until)
    if since is not None:
        asked = asked.filter(day__gte=_sortable_day(since))
    if issuer is not None:
        asked = asked.filter(issuer=fit_text(issuer))
    return (
        asked.order_by(*_SUMMARY_FIELDS)
        .values(*_SUMMARY_FIELDS)
        .annotate(uses=Sum("count"), rows=Count("*"), first_day=Min("day"), last_day=Max("day"))
        .values_list(*_SUMMARY_FIELDS, "uses", "rows", "first_day", "last_day")
    )


def usage_summary(row: tuple[Any, ...]) -> UsageSummary:
    """A row of it."""
    *parts, uses, rows, first, last = row
    # PostgreSQL's sums are decimals.
    return UsageSummary._make((*parts, int(uses), max_days(rows, first, last), first, last))


def select_requested(alias: str, until: str) -> QuerySet[Any, Any]:
    """The question for what enforcement points asked for."""
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
    """A row of it."""
    *parts, uses, refused, last = row
    return RequestedPermission._make((*parts, int(uses), int(refused), last))


def select_daily_totals(alias: str, until: str) -> QuerySet[Any, Any]:
    """The question for how much there was on each day, by outcome."""
    by = ("day", "outcome")
    return _usage_until(alias, until).order_by(*by).values(*by).annotate(uses=Sum("count")).values_list(*by, "uses")


def monthly_totals(rows: Iterable[tuple[Any, ...]]) -> Iterator[MonthRow]:
    """Months of it."""
    return sum_by_month(rows)


def select_subjects(issuer: str | None, subjects: Iterable[tuple[str, str]] | None) -> Iterator[SubjectSelection]:
    """Into which questions the days of these are divided."""
    if subjects is None:
        yield SubjectSelection(None if issuer is None else fit_text(issuer))
        return
    for theirs, some in chunk_subjects(subjects):
        if issuer is None or theirs == fit_text(issuer):
            yield SubjectSelection(theirs, some)


def select_days(alias: str, until: str, part: SubjectSelection) -> QuerySet[Any, Any]:
    """The question for days of use of a part."""
    asked = _usage_until(alias, until).filter(outcome="granted")
    if part.issuer is not None:
        asked = asked.filter(issuer=part.issuer)
    if part.subjects is not None:
        asked = asked.filter(subject__in=part.subjects)
    by = ("issuer", "subject", "credited", "day")
    credited = Case(When(grant="", then=F("permission")), default=F("grant"))
    return asked.annotate(credited=credited).order_by(*by).values_list(*by).distinct()


def _usage_until(alias: str, until: str) -> QuerySet[Any, Any]:
    return models.Usage.objects.using(alias).filter(day__lte=_sortable_day(until))


def _sortable_day(text: str) -> str:
    """Of the shape that sorts; `ValueError` for what is no date."""
    return date.fromisoformat(text).isoformat()
