"""What does the store's own history teach?"""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp.review.analysis.backtesting import UsageHistory
from jwt_lp.review.analysis.evidence import ordinal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jwt_lp.stores import DayRow, Store

MAX_DAYS: Final = 400_000
"""Days of use that are read; of a store that has more, whole subjects are drawn."""


class TrainingHistory(NamedTuple):
    """A history, and which share of the subjects it is of."""

    history: UsageHistory
    share: float


def load_history(store: Store, *, until: str, issuer: str | None = None, min_days: int = 0) -> TrainingHistory:
    """The history of use up to a day, of all subjects or, where that is too much, of some: always the same ones.

    None of it is read where the records are younger than `min_days` days. `StoreError` where the store does not answer.
    """
    start = ordinal(until) - min_days
    if all(datetime.fromtimestamp(run.started, UTC).date().toordinal() > start for run in store.recording_periods()):
        return TrainingHistory(UsageHistory(()), 1.0)
    days: dict[tuple[str, str], int] = {}
    for row in store.summary(until=until, issuer=issuer):
        if row.outcome == "granted" and row.subject:
            key = row.issuer, row.subject
            days[key] = days.get(key, 0) + row.days
    if sum(days.values()) <= MAX_DAYS:
        return TrainingHistory(_history(store.days(until=until, issuer=issuer)), 1.0)
    drawn: list[tuple[str, str]] = []
    left = MAX_DAYS
    order = iter(sorted(days, key=_sampling_key))
    # There are more days than are read, so that one of them is too many.
    while days[key := next(order)] <= left:
        left -= days[key]
        drawn.append(key)
    return TrainingHistory(_history(store.days(until=until, subjects=drawn)), len(drawn) / len(days))


def _history(rows: Iterable[DayRow]) -> UsageHistory:
    return UsageHistory(_history_rows(rows))


def _history_rows(rows: Iterable[DayRow]) -> Iterator[tuple[str, str, str, int]]:
    return ((row.issuer, row.subject, row.grant, ordinal(row.day)) for row in rows if row.subject)


def _sampling_key(key: tuple[str, str]) -> bytes:
    return sha256("\0".join(key).encode("utf-8", "surrogatepass")).digest()
