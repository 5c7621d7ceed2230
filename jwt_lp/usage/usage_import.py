"""What was used, as a file tells it?

Rows become uses, sightings of grants and enforcement points, in batches whose ids are those of the file, so that a
file counts once, however often it is imported. A row that says nothing of the kind is counted with its reason.
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
"""Rows of one batch: who else writes to the store waits for no more than that."""


@dataclass(slots=True)
class ImportSummary:
    """What a file held: rows, uses by outcome, and rows that counted for nothing, by reason with the first line."""

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
        """How many rows are at fault."""
        return sum(number for number, _, is_fault in self.reasons.values() if is_fault)

    def count_skipped(self, line: int, reason: str, *, is_fault: bool) -> None:
        """Count a row that says nothing."""
        number, first, _ = self.reasons.get(reason, (0, line, is_fault))
        self.reasons[reason] = number + 1, first, is_fault

    def count_result(self, found: RowResult) -> None:
        """Count what a row says."""
        self.alternative_count += found.is_alternative
        for use in found.uses:
            self.outcomes[use.outcome] = self.outcomes.get(use.outcome, 0) + found.times
        day = found.uses[0].day
        self.first = min(self.first or day, day)
        self.last = max(self.last, day)


def parse_mapping(said: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """`--map subject=user,time=ts` as the file's name of each field; `ConfigurationError` lists every fault."""
    known = list(known)
    found: dict[str, str] = {}
    faults: list[str] = []
    for pair in said:
        name, equals, column = (part.strip() for part in pair.partition("="))
        name = "day" if name == "time" else name
        if not equals or not column:
            faults.append(f"--map {quote_text(pair)}: write field=column, such as subject=user")
        elif name not in known:
            faults.append(
                f"--map {quote_text(name)}: no such field{did_you_mean(name, known) or '; there are ' + ', '.join(known)}"
            )
        elif name in found:
            faults.append(f"--map: {name} is given twice")
        else:
            found[name] = column
    if faults:
        raise ConfigurationError(*faults)
    return found


def import_id(content: str, how: Mapping[str, object]) -> str:
    """What tells a file read in one way from any other: of its digest, and of all that its reading depends on."""
    said = "\n".join(f"{name}={value!r}" for name, value in sorted(how.items()))
    return sha256(f"{content}\n{said}".encode("utf-8", "surrogatepass")).hexdigest()


def build_batches(
    rows: Iterable[Row], read: Callable[[Row], RowResult], digest: str, tally: ImportSummary
) -> Iterator[UsageBatch]:
    """The batches of a file; `tally` counts along.

    INVARIANT: which rows a batch has, and its id, hang on the file and its reading alone: so one that is stored already
    is one that is not counted again, whatever interrupted the import before.
    """
    runs: dict[str, RecordingPeriod] = {}
    left = iter(rows)
    number = 0
    while chunk := list(islice(left, BATCH_ROWS)):
        parts: dict[str, _ServiceUsage] = {}
        for row in chunk:
            found = RowResult(reason=row.fault, is_fault=True) if row.fault else read(row)
            if found.reason:
                tally.count_skipped(row.line, found.reason, is_fault=found.is_fault)
                continue
            tally.count_result(found)
            for use in found.uses:
                parts.setdefault(use.service, _ServiceUsage()).add(use, found.times, found.at)
        tally.rows += len(chunk)
        for service, part in sorted(parts.items()):
            runs[service] = run = part.period(digest, service, runs.get(service))
            yield part.batch(f"import:{digest}:{number}{_service_suffix(service) if len(parts) > 1 else ''}", run)
        number += 1


def _service_suffix(service: str) -> str:
    return f":{sha256(service.encode()).hexdigest()[:16]}"


@dataclass(slots=True)
class _ServiceUsage:
    """What a chunk has of one service."""

    uses: dict[Use, tuple[int, float]] = field(default_factory=dict[Use, "tuple[int, float]"])

    def add(self, use: Use, count: int, at: float) -> None:
        before, last = self.uses.get(use, (0, at))
        self.uses[use] = before + count, max(last, at)

    def period(self, digest: str, service: str, before: RecordingPeriod | None) -> RecordingPeriod:
        """The import so far, from its first to the end of its last day."""
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

    def batch(self, name: str, run: RecordingPeriod) -> UsageBatch:
        """All of it; each grant that served is one that was seen."""
        sightings = {
            ObservedGrant(use.issuer, use.subject, use.client, use.role, use.grant, use.day)
            for use in self.uses
            if use.outcome == "granted" and use.grant
        }
        points = {
            EnforcementPoint(use.service, use.endpoint, use.method, use.requirement, use.day) for use in self.uses
        }
        return UsageBatch(
            id=name, uses=self.uses, observed_grants=tuple(sightings), enforcement_points=tuple(points), period=run
        )


def _midnight(day: str) -> float:
    return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()
