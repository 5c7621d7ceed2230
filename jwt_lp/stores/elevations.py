"""Elevations: what a store keeps of them, and the protocol of a store for them.

An elevation is one permission that one subject asked to hold for a bounded time. What was asked never changes. Its steps
are only added. Its state follows from them and from the clock, so nothing has to run for an elevation to end. Times are
seconds since the epoch.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

from jwt_lp.revocation.temporary_grants import TemporaryGrant
from jwt_lp.stores.families import KEEP_FAMILIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ElevationState: TypeAlias = Literal["requested", "approved", "denied", "expired", "ended"]
"""Waiting for an answer; held now; denied; not answered in time, or over; and ended early or withdrawn."""

ElevationAction: TypeAlias = Literal["asked", "approved", "denied", "granted", "ended", "reviewed"]
"""What a step did. `approved` is one approval, `granted` the moment from which the permission is held."""

ELEVATION_WRITER: Final = "jwt_lp.elevation"
"""The author of the revocation entries that end the tokens of an elevation."""

KEEP_OVER: Final = 86400.0
"""Seconds for which a grant that is over is still reported to guards, because the clocks of processes may differ."""

TOKEN_LEEWAY: Final = 300.0
"""Seconds after its end for which tokens that rest on an elevation are refused by name, however guards are set."""

KEEP_ENDED: Final = KEEP_FAMILIES + TOKEN_LEEWAY
"""Seconds for which one that ended early is kept after its time, because what revokes its id is kept as long."""

MAX_OPEN: Final = 20
"""The most requests of one subject that wait for an answer."""

MAX_DAILY: Final = 100
"""The most requests of one subject in 24 hours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Elevation:
    """One elevation: what was asked, and how far it is.

    `client` is the client whose tokens may use the permission; "" for tokens that name none, None for all tokens. The
    permission is to be held for `seconds`, after `needed` approvals; a request without an answer lapses at `answer_by`.
    `known_as` are other pairs of issuer and subject that the asker's token names, and `person` is what identifies the
    person at all issuers, "" if that is not known. With `break_glass` it was granted without an approval.

    It is held from `since` until `until`, both None before that. `ended_at` is when it ended early or was withdrawn.
    """

    id: str
    issuer: str
    subject: str
    client: str | None
    permission: str
    asked_at: float
    answer_by: float
    seconds: int
    needed: int = 1
    reason: str = ""
    ticket: str = ""
    break_glass: bool = False
    person: str = ""
    known_as: tuple[tuple[str, str], ...] = ()
    approvals: int = 0
    since: float | None = None
    until: float | None = None
    denied_at: float | None = None
    ended_at: float | None = None
    reviewed_at: float | None = None

    @property
    def digest(self) -> str:
        """The SHA-256 of what was asked, in hexadecimal. An approval names it, so it holds for what was seen alone."""
        asked = (
            self.id, self.issuer, self.subject, self.client, self.permission, self.asked_at, self.answer_by,
            self.seconds, self.needed, self.reason, self.ticket, self.break_glass, self.person, self.known_as,
        )  # fmt: skip
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()

    @property
    def closes_at(self) -> float:
        """The time after which nothing comes of it any more."""
        return self.answer_by if self.until is None else self.until

    @property
    def temporary_grant(self) -> TemporaryGrant | None:
        """What it grants; None before it is granted, and after it has ended early."""
        if self.since is None or self.until is None or self.ended_at is not None:
            return None
        return TemporaryGrant(self.id, self.issuer, self.subject, self.permission, self.since, self.until, self.client)

    def asks_same_as(self, other: Elevation) -> bool:
        """Whether the same was asked for, whenever that was."""
        return _wish(self) == _wish(other)

    def state(self, now: float) -> ElevationState:
        """Its state at the time `now`."""
        if self.ended_at is not None:
            return "ended"
        if self.denied_at is not None:
            return "denied"
        if now >= self.closes_at:
            return "expired"
        return "requested" if self.since is None else "approved"


def _wish(elevation: Elevation) -> tuple[object, ...]:
    return (
        elevation.issuer, elevation.subject, elevation.client, elevation.permission, elevation.seconds,
        elevation.reason, elevation.ticket, elevation.break_glass,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ElevationStep:
    """One step of an elevation: what was done, when and by whom. `number` counts from 1.

    `digest` is that of what was asked, as whoever took the step saw it. An issuer of "" is a command on the store.
    """

    elevation: str
    number: int
    at: float
    action: ElevationAction
    issuer: str
    subject: str
    reason: str = ""
    person: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ElevationChange:
    """A decision, an end or a review that somebody wants to write.

    `digest` is that of what was seen; None if nothing depends on it. A decision needs `needed` approvals at least, and
    grants for `longest` seconds at most, whatever the request says: the policy may have changed since.
    """

    elevation: str
    action: Literal["approved", "denied", "ended", "reviewed"]
    at: float
    issuer: str
    subject: str
    reason: str = ""
    person: str = ""
    digest: str | None = None
    needed: int = 1
    longest: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ElevationFilter:
    """Which elevations are listed; None for any.

    `open_at` and `held_at` are times at which they wait for an answer, and at which they are held. `unreviewed` are
    those of break-glass that nobody has reviewed. `after` is the id of the last elevation of the page before, and `limit`
    the most elevations of a page. They are listed in the order of the requests, or with `newest_first` the other way round.
    """

    issuer: str | None = None
    subject: str | None = None
    permission: str | None = None
    open_at: float | None = None
    held_at: float | None = None
    unreviewed: bool = False
    after: str | None = None
    limit: int | None = None
    newest_first: bool = False


class ElevationStore(Protocol):
    """Storage of elevations. Every store of `jwt_lp.stores` has it.

    Every method is atomic and safe to call from several threads and processes. It raises `StoreError` and
    `ConfigurationError` as the methods of `Store` do, and `ElevationError` if the elevation does not allow the change;
    then nothing is written.
    """

    def ask(self, elevation: Elevation) -> Elevation:
        """Write a new request, with its first step; one that is granted already with a second step.

        If its id exists, the stored elevation is returned if it asks for the same, and nothing is written.
        `ElevationKeyReused` if it asks for something else, `ElevationTooMany` if its subject has too many, and
        `ElevationNotAllowed` for one of break-glass while an earlier one is over and not reviewed.
        """
        ...

    def change_elevation(self, change: ElevationChange) -> Elevation:
        """Write a step, and what follows from it; return the elevation as it is then.

        The approval that completes the quorum grants the permission. An end revokes the tokens that rest on the
        elevation. Both are changes that `changes` reports. `ElevationUnknown` if there is no such elevation, and
        `ElevationClosed` if it does not wait for this step, or is not what was seen.
        """
        ...

    def elevation(self, elevation_id: str) -> Elevation | None:
        """The elevation with this id, or None."""
        ...

    def elevations(self, which: ElevationFilter) -> Iterator[Elevation]:
        """The elevations that match, streamed, the oldest request first unless the filter says otherwise."""
        ...

    def elevation_steps(self, elevation_id: str) -> tuple[ElevationStep, ...]:
        """The steps of an elevation, in order; none if there is no such elevation."""
        ...

    def claim_steps(self, limit: int, *, at: float, until: float) -> tuple[ElevationStep, ...]:
        """The oldest steps that are to be delivered to webhooks at the time `at`, at most `limit`.

        No other call returns them before `until`, and none after `mark_delivered`.
        """
        ...

    def mark_delivered(self, steps: Sequence[ElevationStep]) -> None:
        """Note that these steps were delivered."""
        ...
