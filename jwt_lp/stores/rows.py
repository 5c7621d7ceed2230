"""What is kept?

The rows that stores take and give. Days are ISO dates in UTC, times seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from jwt_lp.revocation.entries import RevocationEntry

UsageOutcome: TypeAlias = Literal["granted", "denied", "observed", "revoked"]


class Use(NamedTuple):
    """What one row of usage counts.

    `requirement` is the whole of what the route asked for, `permission` one of its terms, as written: a template
    keeps its name, never the value. `grant` is the one that was credited and `role` what conferred it; both are ""
    where nothing served. `subject` is as `SUBJECTS` has it.
    """

    service: str
    issuer: str
    subject: str
    client: str
    role: str
    endpoint: str
    method: str
    requirement: str
    permission: str
    grant: str
    outcome: UsageOutcome
    day: str


class UsageRow(NamedTuple):
    """A use with how often it was made, and when last, in seconds since the epoch."""

    use: Use
    # hides a tuple's own `count`, which nobody asks a row for
    count: int  # type: ignore[assignment]
    last: float


class ObservedGrant(NamedTuple):
    """A grant that a token carried, directly (`role` is "") or through a role, seen on a day."""

    issuer: str
    subject: str
    client: str
    role: str
    grant: str
    day: str


class ObservedGrantRow(NamedTuple):
    """A grant that was seen, its first and its last day."""

    issuer: str
    subject: str
    client: str
    role: str
    grant: str
    first_day: str
    last_day: str


class EnforcementPoint(NamedTuple):
    """An enforcement point: a route's endpoint that asks for `requirement`, seen on a day."""

    service: str
    endpoint: str
    method: str
    requirement: str
    day: str


class EnforcementPointRow(NamedTuple):
    """An enforcement point with the first and the last day it was seen."""

    service: str
    endpoint: str
    method: str
    requirement: str
    first_day: str
    last_day: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingPeriod:
    """One process's recording: when it began, until when all of it is in the store, how much, and what was dropped.

    `source` is `recorder`, or `import` for rows of a file, whose times are those of its first and last day.
    """

    id: str
    service: str
    started: float
    until: float
    recorded: int = 0
    dropped: int = 0
    source: Literal["recorder", "import"] = "recorder"


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageBatch:
    """What one flush writes, all of it or nothing. Its `id` makes sure that it is counted once, however often sent.

    `uses` are counts to add, with the time of the last one; `run` is how the run stands by now, in whole.
    """

    id: str
    uses: Mapping[Use, tuple[int, float]] = field(default_factory=dict[Use, "tuple[int, float]"])
    observed_grants: Iterable[ObservedGrant] = ()
    enforcement_points: Iterable[EnforcementPoint] = ()
    period: RecordingPeriod | None = None


class ProcessHeartbeat(NamedTuple):
    """How one serving process stands: what it has of the revocations, with which policy, at which time."""

    process: str
    service: str
    host: str
    pid: int
    sequence: int
    policy: str
    age: float
    at: float


class StoredRevocation(NamedTuple):
    """An entry as the store has it: its sequence number, when and by whom it was written, and when it was lifted."""

    entry: RevocationEntry
    sequence: int
    at: float
    by: str
    lifted_at: float | None = None


class HeldGrant(NamedTuple):
    """A grant that somebody is known to hold, from an import: directly or through `role`, since a day where known.

    `subject` or `client` is "" where it is about the other; `grant` is "" for a role as a whole.
    """

    issuer: str
    subject: str
    client: str
    role: str
    grant: str
    since: str = ""


class HeldGrantRow(NamedTuple):
    """A held grant with the day that its import speaks of, and whether that import was of everything there is."""

    held: HeldGrant
    as_of: str
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeCounts:
    """How many rows a purge took, by table."""

    usage: int = 0
    observed_grants: int = 0
    enforcement_points: int = 0
    revocations: int = 0
    recording_periods: int = 0
    heartbeats: int = 0
    batches: int = 0


class UsageSummary(NamedTuple):
    """What somebody did with one permission through one grant, over all services and endpoints, with one outcome.

    `days` is on how many days at most: a day counts once for each endpoint, and never are there more than lie between
    the first and the last.
    """

    issuer: str
    subject: str
    client: str
    role: str
    permission: str
    grant: str
    outcome: UsageOutcome
    uses: int
    days: int
    first_day: str
    last_day: str


class RequestedPermission(NamedTuple):
    """A permission that an enforcement point asked for: how often it was granted and refused, and the last day.

    What was only observed is in neither.
    """

    service: str
    endpoint: str
    method: str
    requirement: str
    permission: str
    uses: int
    refused: int
    last_day: str


class MonthRow(NamedTuple):
    """How many uses of a month, as in 2026-11, had one outcome."""

    month: str
    outcome: UsageOutcome
    uses: int


class DayRow(NamedTuple):
    """A day on which somebody used a grant, or the permission itself where none was credited."""

    issuer: str
    subject: str
    grant: str
    day: str
