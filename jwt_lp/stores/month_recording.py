"""Recording of uses by month: on which days it ran, and how many decisions were lost.

Months are texts such as 2026-11, days are ISO dates in UTC.
"""

from __future__ import annotations

from calendar import monthrange
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from jwt_lp.stores.rows import RecordingPeriod


class MonthRecording(NamedTuple):
    """The recording in one month: the ranges of recorded days, and the dropped decisions by the day their period began.

    Both days of a range belong to it.
    """

    ranges: tuple[tuple[str, str], ...]
    dropped: Mapping[str, int]

    def merge(self, other: MonthRecording) -> MonthRecording:
        """What one of them or both know: all recorded days, and of each day the larger number of dropped decisions."""
        dropped = Counter(self.dropped) | Counter(other.dropped)
        return MonthRecording(_join_ranges((*self.ranges, *other.ranges)), dropped)

    def periods(self) -> Iterator[RecordingPeriod]:
        """The recording as periods: one for each range, and one for each day with dropped decisions."""
        for first, last in self.ranges:
            yield _period(first, last, 0)
        for day, number in sorted(self.dropped.items()):
            yield _period(day, day, number)

    def as_json(self) -> dict[str, object]:
        """The recording in a form for JSON."""
        return {"recorded": self.ranges, "dropped": dict(sorted(self.dropped.items()))}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> MonthRecording:
        """The recording in what `as_json` returned; `ValueError`, `TypeError` or `LookupError` for anything else."""
        ranges = tuple((_iso_day(first), _iso_day(last)) for first, last in value["recorded"])
        return cls(ranges, {_iso_day(day): int(number) for day, number in dict(value["dropped"]).items()})


NO_RECORDING = MonthRecording((), {})


def recording_by_month(periods: Iterable[RecordingPeriod]) -> dict[str, MonthRecording]:
    """The recording of each month in which one of the periods was."""
    ranges: dict[str, set[tuple[str, str]]] = {}
    dropped: dict[str, Counter[str]] = {}
    for period in periods:
        begin, end = (datetime.fromtimestamp(at, UTC).date() for at in (period.started, period.until))
        for first, last in _split_by_month(begin, end):
            ranges.setdefault(first[:7], set()).add((first, last))
        if period.dropped:
            dropped.setdefault(f"{begin:%Y-%m}", Counter())[begin.isoformat()] += period.dropped
    return {
        month: MonthRecording(_join_ranges(ranges.get(month, ())), dropped.get(month, Counter()))
        for month in ranges.keys() | dropped.keys()
    }


def month_ends(month: str) -> tuple[str, str]:
    """The first and the last day of a month."""
    return f"{month}-01", f"{month}-{monthrange(int(month[:4]), int(month[5:7]))[1]:02}"


def months_between(first: str, last: str) -> list[str]:
    """Every month from the first to the last."""
    begin, end = (int(month[:4]) * 12 + int(month[5:7]) - 1 for month in (first, last))
    return [f"{number // 12:04}-{number % 12 + 1:02}" for number in range(begin, end + 1)]


def _split_by_month(begin: date, end: date) -> Iterator[tuple[str, str]]:
    first, last = begin.isoformat(), end.isoformat()
    for month in months_between(first, last):
        opening, closing = month_ends(month)
        yield max(first, opening), min(last, closing)


def _join_ranges(ranges: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """The days of the ranges as few ranges, in order."""
    joined: list[tuple[str, str]] = []
    for first, last in sorted(ranges):
        if joined and date.fromisoformat(first) - date.fromisoformat(joined[-1][1]) <= timedelta(days=1):
            joined[-1] = joined[-1][0], max(joined[-1][1], last)
        else:
            joined.append((first, last))
    return tuple(joined)


def _period(first: str, last: str, dropped: int) -> RecordingPeriod:
    started, until = (datetime.fromisoformat(f"{day}T12:00:00+00:00").timestamp() for day in (first, last))
    return RecordingPeriod(id=f"{first} {last} {dropped}", service="", started=started, until=until, dropped=dropped)


def _iso_day(text: str) -> str:
    return date.fromisoformat(text).isoformat()
