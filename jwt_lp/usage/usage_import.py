"""Import of usage from the rows of a file.

Rows become uses, observed grants and enforcement points. The ids of the batches derive from the file, so a file counts
once, however often it is imported. A row without a use is counted with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING, Final

from jwt_lp._support.validation import did_you_mean, quote_text
from jwt_lp.errors import ConfigurationError
from jwt_lp.stores import EnforcementPoint, ObservedGrant, RecordingPeriod, UsageBatch, Use
from jwt_lp.usage.usage_records import DAY_SECONDS, RowResult

if TYPE_CHECKING:
    from jwt_lp.usage.row_reader import Row

BATCH_ROWS: Final = 5_000
"""Rows of one batch, which bounds how long other writers of the store wait."""


@dataclass(slots=True)
class ImportSummary:
    """Counts of an import: rows, uses by outcome, and skipped rows by reason, each with its first line."""

    rows: int = 0
    outcomes: dict[str, int] = field(default_factory=dict[str, int])
    reasons: dict[str, tuple[int, int, bool]] = field(default_factory=dict[str, "tuple[int, int, bool]"])
    alternative_count: int = 0
    first: str = ""
    last: str = ""
    batches: int = 0
    added: int = 0

    @property
    def fault_count(self) -> int:
        """The number of faulty rows."""
        return sum(number for number, _, is_fault in self.reasons.values() if is_fault)

    def count_skipped(self, line: int, reason: str, *, is_fault: bool) -> None:
        """Count a row that has no use."""
        number, first, _ = self.reasons.get(reason, (0, line, is_fault))
        self.reasons[reason] = number + 1, first, is_fault

    def count_result(self, result: RowResult) -> None:
        """Count the uses of a row."""
        self.alternative_count += result.is_alternative
        for use in result.uses:
            self.outcomes[use.outcome] = self.outcomes.get(use.outcome, 0) + result.times
        day = result.uses[0].day
        self.first = min(self.first or day, day)
        self.last = max(self.last, day)


def parse_mapping(pairs: Iterable[str], fields: Iterable[str]) -> dict[str, str]:
    """The column of each field from pairs such as `subject=user` and `time=ts` (`--map`).

    `time` is another name for the field `day`. `ConfigurationError` lists every fault.
    """
    fields = list(fields)
    columns: dict[str, str] = {}
    faults: list[str] = []
    for pair in pairs:
        name, equals, column = (part.strip() for part in pair.partition("="))
        name = "day" if name == "time" else name
        if not equals or not column:
            faults.append(f"--map {quote_text(pair)}: write field=column, such as subject=user")
        elif name not in fields:
            hint = did_you_mean(name, fields) or f"; there are {', '.join(fields)}"
            faults.append(f"--map {quote_text(name)}: no such field{hint}")
        elif name in columns:
            faults.append(f"--map: {name} is given twice")
        else:
            columns[name] = column
    if faults:
        raise ConfigurationError(*faults)
    return columns


def import_id(content: str, options: Mapping[str, object]) -> str:
    """The identity of an import: a digest of the file's digest `content` and of all options of its reading."""
    text = "\n".join(f"{name}={value!r}" for name, value in sorted(options.items()))
    return sha256(f"{content}\n{text}".encode("utf-8", "surrogatepass")).hexdigest()


def build_batches(
    rows: Iterable[Row], read: Callable[[Row], RowResult], digest: str, tally: ImportSummary
) -> Iterator[UsageBatch]:
    """The batches of a file; counts its rows in `tally`.

    INVARIANT: the rows of a batch and its id depend only on the file and the options of its reading. So a stored batch
    is not counted again, wherever an earlier import was interrupted.
    """
    periods: dict[str, RecordingPeriod] = {}
    remaining = iter(rows)
    number = 0
    while chunk := list(islice(remaining, BATCH_ROWS)):
        parts: dict[str, _ServiceUsage] = {}
        for row in chunk:
            result = RowResult(reason=row.fault, is_fault=True) if row.fault else read(row)
            if result.reason:
                tally.count_skipped(row.line, result.reason, is_fault=result.is_fault)
                continue
            tally.count_result(result)
            for use in result.uses:
                parts.setdefault(use.service, _ServiceUsage()).add(use, result.times, result.at)
        tally.rows += len(chunk)
        for service, part in sorted(parts.items()):
            periods[service] = period = part.period(digest, service, periods.get(service))
            yield part.batch(f"import:{digest}:{number}{_service_suffix(service) if len(parts) > 1 else ''}", period)
        number += 1


def _service_suffix(service: str) -> str:
    return f":{sha256(service.encode()).hexdigest()[:16]}"


@dataclass(slots=True)
class _ServiceUsage:
    """The uses of one service in a chunk."""

    uses: dict[Use, tuple[int, float]] = field(default_factory=dict[Use, "tuple[int, float]"])

    def add(self, use: Use, count: int, at: float) -> None:
        total, last = self.uses.get(use, (0, at))
        self.uses[use] = total + count, max(last, at)

    def period(self, digest: str, service: str, before: RecordingPeriod | None) -> RecordingPeriod:
        """The period of the import so far, from its first day to the end of its last."""
        days = [use.day for use in self.uses]
        started = _midnight(min(days))
        until = _midnight(max(days)) + DAY_SECONDS - 1
        recorded = sum(count for count, _ in self.uses.values())
        if before is not None:
            started, until = min(started, before.started), max(until, before.until)
            recorded += before.recorded
        return RecordingPeriod(
            id=f"import:{digest}{_service_suffix(service)}",
            service=service,
            started=started,
            until=until,
            recorded=recorded,
            source="import",
        )

    def batch(self, name: str, period: RecordingPeriod) -> UsageBatch:
        """The batch of all uses; each grant that served is also an observed grant."""
        observed = {
            ObservedGrant(use.issuer, use.subject, use.client, use.role, use.grant, use.day)
            for use in self.uses
            if use.outcome == "granted" and use.grant
        }
        points = {
            EnforcementPoint(use.service, use.endpoint, use.method, use.requirement, use.day) for use in self.uses
        }
        return UsageBatch(
            id=name, uses=self.uses, observed_grants=tuple(observed), enforcement_points=tuple(points), period=period
        )


def _midnight(day: str) -> float:
    return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()
