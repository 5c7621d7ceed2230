"""Training history: the store's own past usage, sampled where it is too large."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp.review.analysis.backtesting import UsageHistory
from jwt_lp.review.analysis.evidence import ordinal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jwt_lp.stores import DayRow, UsageAggregates

MAX_DAYS: Final = 400_000
"""The most days of use that are read; of a larger store, a sample of whole subjects is read."""


class TrainingHistory(NamedTuple):
    """A history, and the share of the subjects that it has."""

    history: UsageHistory
    share: float


def load_history(
    store: UsageAggregates, *, until: str, issuer: str | None = None, min_days: int = 0
) -> TrainingHistory:
    """The history of use up to a day, of all subjects, or of a sample where that is too much; always the same sample.

    The history is empty where the records are younger than `min_days` days. `StoreError` where the store does not
    answer.
    """
    start = ordinal(until) - min_days
    if all(
        datetime.fromtimestamp(period.started, UTC).date().toordinal() > start for period in store.recording_periods()
    ):
        return TrainingHistory(UsageHistory(()), 1.0)
    days: dict[tuple[str, str], int] = {}
    for row in store.summary(until=until, issuer=issuer):
        if row.outcome == "granted" and row.subject:
            key = row.issuer, row.subject
            days[key] = days.get(key, 0) + row.days
    if sum(days.values()) <= MAX_DAYS:
        return TrainingHistory(_history(store.days(until=until, issuer=issuer)), 1.0)
    sample: list[tuple[str, str]] = []
    remaining = MAX_DAYS
    order = iter(sorted(days, key=_sampling_key))
    # There are more days than the limit, so the loop ends before the subjects do.
    while days[key := next(order)] <= remaining:
        remaining -= days[key]
        sample.append(key)
    return TrainingHistory(_history(store.days(until=until, subjects=sample)), len(sample) / len(days))


def _history(rows: Iterable[DayRow]) -> UsageHistory:
    return UsageHistory((row.issuer, row.subject, row.grant, ordinal(row.day)) for row in rows if row.subject)


def _sampling_key(key: tuple[str, str]) -> bytes:
    return sha256("\0".join(key).encode("utf-8", "surrogatepass")).digest()
