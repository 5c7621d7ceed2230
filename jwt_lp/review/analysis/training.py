"""Training history: the store's own past usage, sampled where it is too large.

A permission that was revoked and then requested was needed, so the requests count like use. So does use by an
elevation of what was used by a standing grant before: it was needed, but it is no standing grant of its own.
"""

from __future__ import annotations

from hashlib import sha256
from itertools import chain, groupby
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp.permissions.patterns import is_elevation
from jwt_lp.review.analysis.evidence import ordinal
from jwt_lp.review.analysis.usage_history import UsageHistory

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Sequence

    from jwt_lp.stores import DayRow, UsageAggregates, UsageSummary

MAX_DAYS: Final = 400_000
"""The most days of use that are read; of a larger store, a sample of whole subjects is read."""


class TrainingHistory(NamedTuple):
    """A history, and the share of the subjects that it has."""

    history: UsageHistory
    share: float


class RestoredGrant(NamedTuple):
    """A grant that was restored to a subject during the trial of a plan, and the day, as an ISO date."""

    issuer: str
    subject: str
    grant: str
    day: str


def load_history(
    store: UsageAggregates, *, until: str, issuer: str | None = None, restored: Iterable[RestoredGrant] = ()
) -> TrainingHistory:
    """The history of use up to a day, of all subjects, or of a sample where that is too much; always the same sample.

    A request of a revoked permission, and its use by an elevation, counts as a use of the grant that served it before. So
    does a restoration of it, if neither was recorded.

    `StoreError` where the store does not answer.
    """
    days: dict[tuple[str, str], int] = {}
    requests: list[tuple[str, str, str, int]] = []
    for key, group in groupby(store.summary(until=until, issuer=issuer), key=lambda row: (row.issuer, row.subject)):
        rows = list(group)
        used = [row for row in rows if row.outcome == "granted" and not is_elevation(row.role)]
        if key[1] and used:
            days[key] = sum(row.days for row in used)
            requests += _other_requests(rows, used)
    requests += _restorations(restored, {request[:3] for request in requests}, days.keys(), until)
    if sum(days.values()) <= MAX_DAYS:
        return TrainingHistory(_history(store.days(until=until, issuer=issuer), requests), 1.0)
    sample: list[tuple[str, str]] = []
    remaining = MAX_DAYS
    order = iter(sorted(days, key=_sampling_key))
    # There are more days than the limit, so the loop ends before the subjects do.
    while days[key := next(order)] <= remaining:
        remaining -= days[key]
        sample.append(key)
    sampled = set(sample)
    kept = [request for request in requests if request[:2] in sampled]
    return TrainingHistory(_history(store.days(until=until, subjects=sample), kept), len(sample) / len(days))


def _other_requests(rows: Sequence[UsageSummary], used: Sequence[UsageSummary]) -> Iterator[tuple[str, str, str, int]]:
    """The first and the last day on which a permission was requested after its revocation, or used by an elevation.

    It was needed then. The days count for the standing grants that the subject used it through before.
    """
    for row in rows:
        if row.outcome == "revoked" or (row.outcome == "granted" and is_elevation(row.role)):
            grants = {before.grant or before.permission for before in used if before.permission == row.permission}
            for grant in sorted(grants):
                yield row.issuer, row.subject, grant, ordinal(row.first_day)
                yield row.issuer, row.subject, grant, ordinal(row.last_day)


def _restorations(
    restored: Iterable[RestoredGrant],
    requested: Container[tuple[str, str, str]],
    subjects: Container[tuple[str, str]],
    until: str,
) -> Iterator[tuple[str, str, str, int]]:
    """The restorations up to a day, to subjects of the history, that no recorded request tells of."""
    for each in restored:
        if each.day <= until and each[:2] in subjects and each[:3] not in requested:
            yield each.issuer, each.subject, each.grant, ordinal(each.day)


def _history(rows: Iterable[DayRow], requests: Iterable[tuple[str, str, str, int]]) -> UsageHistory:
    used = ((row.issuer, row.subject, row.grant, ordinal(row.day)) for row in rows if row.subject)
    return UsageHistory(chain(used, requests))


def _sampling_key(key: tuple[str, str]) -> bytes:
    return sha256("\0".join(key).encode("utf-8", "surrogatepass")).digest()
