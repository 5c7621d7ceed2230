"""Rows that stores take and return.

Days are ISO dates in UTC, times are seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from jwt_lp.revocation.entries import RevocationEntry

UsageOutcome: TypeAlias = Literal["granted", "denied", "observed", "revoked"]


class Use(NamedTuple):
    """The key of one row of usage.

    `requirement` is the whole requirement of the route, and `permission` is one of its terms as written: a template
    keeps the parameter's name, never its value. `grant` is the credited grant and `role` the role that conferred it;
    both are "" if no grant served. `subject` is stored as the setting `SUBJECTS` says.
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
    """A use with its count and the time of the last one, in seconds since the epoch."""

    use: Use
    # It hides the method `count` of tuples, which a row does not need.
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
    """An observed grant with the first and the last day it was seen."""

    issuer: str
    subject: str
    client: str
    role: str
    grant: str
    first_day: str
    last_day: str


class EnforcementPoint(NamedTuple):
    """A route's endpoint that requires `requirement`, seen on a day."""

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
    """One process's recording: its start, the time until which the store has all of it, and its counts.

    `recorded` and `dropped` are numbers of uses. `source` is `recorder`, or `import` for rows of a file, whose times
    are those of its first and last day.
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
    """What one flush writes, all or nothing. Its `id` ensures that it counts once, however often it is sent.

    `uses` are counts to add, with the time of the last use; `period` is the whole recording period up to now.
    """

    id: str
    uses: Mapping[Use, tuple[int, float]] = field(default_factory=dict[Use, "tuple[int, float]"])
    observed_grants: Iterable[ObservedGrant] = ()
    enforcement_points: Iterable[EnforcementPoint] = ()
    period: RecordingPeriod | None = None


class ProcessHeartbeat(NamedTuple):
    """The status of one serving process at a time: its revocation sequence number, the snapshot's age, its policy."""

    process: str
    service: str
    host: str
    pid: int
    sequence: int
    policy: str
    age: float
    at: float


class StoredRevocation(NamedTuple):
    """An entry with its sequence number, when and by whom it was written, and when it was lifted."""

    entry: RevocationEntry
    sequence: int
    at: float
    by: str
    lifted_at: float | None = None


class HeldGrant(NamedTuple):
    """An imported assignment: a grant held directly or through `role`, since a day if known.

    `subject` is "" if a client holds it, `client` is "" if a subject does; `grant` is "" for a role as a whole.
    """

    issuer: str
    subject: str
    client: str
    role: str
    grant: str
    since: str = ""


class HeldGrantRow(NamedTuple):
    """A held grant with the day of its import, and whether that import was complete."""

    held: HeldGrant
    as_of: str
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeCounts:
    """The number of deleted rows, by table."""

    usage: int = 0
    observed_grants: int = 0
    enforcement_points: int = 0
    revocations: int = 0
    recording_periods: int = 0
    heartbeats: int = 0
    batches: int = 0
    families: int = 0
    elevations: int = 0


class UsageSummary(NamedTuple):
    """The uses of one permission through one grant by one holder with one outcome, over all services and endpoints.

    `days` is an upper bound of the days of use: a day counts once for each endpoint, but there are never more days
    than from the first to the last.
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


class ReviewedHolder(NamedTuple):
    """A holder, and the last day of its use that a review knew, "" for none.

    All issuers share the roles of the policy, so the `issuer` of a role does not count.
    """

    of: Literal["subject", "client", "role"]
    issuer: str
    name: str
    last_day: str


class LaterUse(NamedTuple):
    """A permission that was used through a grant since a review, with the day and the time of the last use."""

    issuer: str
    subject: str
    client: str
    role: str
    permission: str
    grant: str
    last_day: str
    last: float


class RequestedPermission(NamedTuple):
    """A permission that an enforcement point asked for: how often it was granted and refused, and the last day.

    Uses with the outcome `observed` count in neither.
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
    """The number of uses with one outcome in a month, such as 2026-11."""

    month: str
    outcome: UsageOutcome
    uses: int


class DayRow(NamedTuple):
    """A day on which a subject used a grant, or the permission itself if no grant was credited."""

    issuer: str
    subject: str
    grant: str
    day: str
