"""What do all the rows of usage add up to?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any, NamedTuple

from django.db.models import Case, Count, F, Max, Min, Q, QuerySet, Sum, When

from jwt_lp.stores import Asking, MonthRow, Summary
from jwt_lp.stores._added import (  # pyright: ignore[reportPrivateUsage] - one way to add up, for all stores
    at_most,
    by_month,
    in_order,
)
from jwt_lp.stores._keyed import fitted  # pyright: ignore[reportPrivateUsage] - one way to keep, for all stores
from jwt_lp_django import models

_SUMMED = Summary._fields[:7]
_ASKED = Asking._fields[:5]


class Part(NamedTuple):
    """Whose days one question is for: an issuer's, None for everybody's, and of that some subjects'."""

    issuer: str | None
    subjects: list[str] | None = None


def summing(alias: str, until: str, since: str | None, issuer: str | None) -> QuerySet[Any, Any]:
    """The question for uses of everybody, added up."""
    asked = _until(alias, until)
    if since is not None:
        asked = asked.filter(day__gte=_day(since))
    if issuer is not None:
        asked = asked.filter(issuer=fitted(issuer))
    return (
        asked.order_by(*_SUMMED)
        .values(*_SUMMED)
        .annotate(uses=Sum("count"), rows=Count("*"), first_day=Min("day"), last_day=Max("day"))
        .values_list(*_SUMMED, "uses", "rows", "first_day", "last_day")
    )


def summary(row: tuple[Any, ...]) -> Summary:
    """A row of it."""
    *parts, uses, rows, first, last = row
    # PostgreSQL's sums are decimals.
    return Summary._make((*parts, int(uses), at_most(rows, first, last), first, last))


def asked(alias: str, until: str) -> QuerySet[Any, Any]:
    """The question for what enforcement points asked for."""
    refused = Q(outcome__in=("denied", "revoked"))
    return (
        _until(alias, until)
        .order_by(*_ASKED)
        .values(*_ASKED)
        .annotate(
            uses=Sum("count", filter=Q(outcome="granted"), default=0),
            refused=Sum("count", filter=refused, default=0),
            last_day=Max("day"),
        )
        .values_list(*Asking._fields)
    )


def asking(row: tuple[Any, ...]) -> Asking:
    """A row of it."""
    *parts, uses, refused, last = row
    return Asking._make((*parts, int(uses), int(refused), last))


def daily(alias: str, until: str) -> QuerySet[Any, Any]:
    """The question for how much there was on each day, by outcome."""
    by = ("day", "outcome")
    return _until(alias, until).order_by(*by).values(*by).annotate(uses=Sum("count")).values_list(*by, "uses")


def months(rows: Iterable[tuple[Any, ...]]) -> Iterator[MonthRow]:
    """Months of it."""
    return by_month(rows)


def parts(issuer: str | None, subjects: Iterable[tuple[str, str]] | None) -> Iterator[Part]:
    """Into which questions the days of these are divided."""
    if subjects is None:
        yield Part(None if issuer is None else fitted(issuer))
        return
    for theirs, some in in_order(subjects):
        if issuer is None or theirs == fitted(issuer):
            yield Part(theirs, some)


def days(alias: str, until: str, part: Part) -> QuerySet[Any, Any]:
    """The question for days of use of a part."""
    asked = _until(alias, until).filter(outcome="granted")
    if part.issuer is not None:
        asked = asked.filter(issuer=part.issuer)
    if part.subjects is not None:
        asked = asked.filter(subject__in=part.subjects)
    by = ("issuer", "subject", "credited", "day")
    credited = Case(When(grant="", then=F("permission")), default=F("grant"))
    return asked.annotate(credited=credited).order_by(*by).values_list(*by).distinct()


def _until(alias: str, until: str) -> QuerySet[Any, Any]:
    return models.Usage.objects.using(alias).filter(day__lte=_day(until))


def _day(text: str) -> str:
    """Of the shape that sorts; `ValueError` for what is no date."""
    return date.fromisoformat(text).isoformat()
