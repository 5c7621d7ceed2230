"""Aggregates of usage by one plain scan of its rows: what every other way to them must return."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from jwt_lp.permissions.patterns import is_elevation
from jwt_lp.stores import DayRow, MonthRow, RequestedPermission, UsageSummary, Use
from jwt_lp.stores.summation import max_days, sum_by_month


class UsageScan:
    """The aggregates of the rows that `counts` returns, each a use and its count."""

    def __init__(self, counts: Callable[[], Iterable[tuple[Use, int]]]) -> None:
        self._counts = counts

    def summary(self, *, until: str, issuer: str | None = None) -> Iterator[UsageSummary]:
        groups: dict[tuple[str, ...], list[tuple[str, int]]] = {}
        for use, number in self._counts():
            if use.day <= until and issuer in (None, use.issuer):
                key = tuple(getattr(use, name) for name in UsageSummary._fields[:7])
                groups.setdefault(key, []).append((use.day, number))
        for key, rows in sorted(groups.items()):
            first, last = min(rows)[0], max(rows)[0]
            uses = sum(number for _, number in rows)
            yield UsageSummary._make((*key, uses, max_days(len(rows), first, last), first, last))

    def requested_permissions(self, *, until: str) -> Iterator[RequestedPermission]:
        groups: dict[tuple[str, ...], Counter[str]] = {}
        days: dict[tuple[str, ...], str] = {}
        for use, number in self._counts():
            if use.day <= until:
                key = tuple(getattr(use, name) for name in RequestedPermission._fields[:5])
                groups.setdefault(key, Counter())[use.outcome] += number
                days[key] = max(days.get(key, ""), use.day)
        for key, outcomes in sorted(groups.items()):
            refused = outcomes["denied"] + outcomes["revoked"]
            yield RequestedPermission._make((*key, outcomes["granted"], refused, days[key]))

    def months(self, *, until: str) -> Iterator[MonthRow]:
        return sum_by_month(sorted((use.day, use.outcome, n) for use, n in self._counts() if use.day <= until))

    def days(
        self, *, until: str, issuer: str | None = None, subjects: Iterable[tuple[str, str]] | None = None
    ) -> Iterator[DayRow]:
        wanted = None if subjects is None else set(subjects)
        for row in sorted(
            {
                DayRow(use.issuer, use.subject, use.grant or use.permission, use.day)
                for use, _ in self._counts()
                if use.day <= until
                and use.outcome == "granted"
                and not is_elevation(use.role)
                and issuer in (None, use.issuer)
            }
        ):
            if wanted is None or (row.issuer, row.subject) in wanted:
                yield row


class ScannedStore(UsageScan):
    """A store whose aggregates come from a scan of its rows; for all else it is the store itself."""

    def __init__(self, store: Any) -> None:
        super().__init__(lambda: ((row.use, row.count) for row in store.usage()))
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)
