"""The changes that an elevation allows. Every store applies them, to what it read under its lock.

These are pure functions: they return what is to be written, or raise `ElevationError`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp.errors import ElevationClosed, ElevationKeyReused, ElevationNotAllowed, ElevationTooMany
from jwt_lp.revocation.entries import RevocationEntry
from jwt_lp.stores.elevations import MAX_DAILY, MAX_OPEN, TOKEN_LEEWAY, ElevationChange, ElevationStep

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jwt_lp.stores.elevations import Elevation, ElevationAction

DAY: Final = 86400.0


class AppliedChange(NamedTuple):
    """What is to be written: the elevation, the new steps, and the entries that revoke what rests on it.

    `reported` says whether `changes` must report the elevation.
    """

    elevation: Elevation
    steps: tuple[ElevationStep, ...]
    revocations: tuple[RevocationEntry, ...] = ()
    reported: bool = False


def first_steps(elevation: Elevation) -> tuple[ElevationStep, ...]:
    """The steps of a new request."""
    asked = ElevationStep(
        elevation=elevation.id,
        number=1,
        at=elevation.asked_at,
        action="asked",
        issuer=elevation.issuer,
        subject=elevation.subject,
        reason=elevation.reason,
        person=elevation.person,
        digest=elevation.digest,
    )
    return (asked,) if elevation.since is None else (asked, replace(asked, number=2, action="granted"))


def check_known(stored: Elevation, elevation: Elevation) -> Elevation:
    """The stored request with the same id, if it asks for the same."""
    if stored.asks_same_as(elevation):
        return stored
    raise ElevationKeyReused("the idempotency key belongs to another request: use a new key for each request")


def check_new(elevation: Elevation, recent: Iterable[Elevation]) -> None:
    """Refuse a request of a subject that has asked too much; `recent` are its elevations that `is_recent` selects."""
    now, waiting, asked = elevation.asked_at, 0, 0
    for other in recent:
        waiting += other.state(now) == "requested"
        asked += other.asked_at > now - DAY
        unreviewed = other.break_glass and other.reviewed_at is None
        # While the earlier one is held it is the same emergency.
        if elevation.break_glass and unreviewed and other.state(now) != "approved":
            raise ElevationNotAllowed(
                f"the elevation {other.id} was granted without an approval, and nobody has reviewed it: have it "
                "reviewed first",
                reason="unreviewed",
            )
    if waiting >= MAX_OPEN:
        raise ElevationTooMany(f"{MAX_OPEN} requests wait for an answer already: withdraw one, or wait for an answer")
    if asked >= MAX_DAILY:
        raise ElevationTooMany(f"{MAX_DAILY} requests were made in 24 hours: ask again later")


def apply_change(elevation: Elevation, steps: Sequence[ElevationStep], change: ElevationChange) -> AppliedChange:
    """What `change` makes of an elevation with these steps."""
    # INVARIANT: a clock that was set back brings no elevation back that has lapsed by an earlier step.
    now = max(change.at, steps[-1].at)
    if change.digest is not None and change.digest != elevation.digest:
        raise ElevationClosed("the request is not the one that was seen: look at it again")
    if change.action == "ended":
        return _end(elevation, steps, change, now)
    if change.action == "reviewed":
        return _review(elevation, steps, change, now)
    if (state := elevation.state(now)) != "requested":
        raise ElevationClosed(f"the request does not wait for an answer: it is {state}")
    if change.action == "denied":
        return AppliedChange(replace(elevation, denied_at=now), (_step(steps, change, "denied", now),))
    return _approve(elevation, steps, change, now)


def ending_entries(entries: Iterable[RevocationEntry]) -> list[RevocationEntry]:
    """The entries that end elevations: those that refuse all older tokens of a subject, a client or an issuer."""
    return [entry for entry in entries if entry.kind == "not_before" and entry.of in ("subject", "client", "issuer")]


def is_ended_by(elevation: Elevation, entry: RevocationEntry, at: float) -> bool:
    """Whether an elevation, not yet over at the time `at`, ends with such an entry.

    What was asked after the time that the entry names goes on.
    """
    names = {"subject": elevation.subject, "client": elevation.client, "issuer": entry.name}
    return (
        (elevation.issuer, names[entry.of]) == (entry.issuer, entry.name)
        and elevation.state(at) in ("requested", "approved")
        and (entry.before is None or elevation.asked_at < entry.before + 1)
    )


def ending_change(elevation: Elevation, entry: RevocationEntry, at: float, by: str) -> ElevationChange:
    """The change that ends it."""
    reason = f"revoked: {entry.reason}" if entry.reason else "revoked"
    return ElevationChange(elevation=elevation.id, action="ended", at=at, issuer="", subject=by, reason=reason)


def _approve(
    elevation: Elevation, steps: Sequence[ElevationStep], change: ElevationChange, now: float
) -> AppliedChange:
    earlier = [step for step in steps if step.action == "approved"]
    for step in earlier:
        # INVARIANT: each approval of a quorum is of another person, and is an approval of what the row says now.
        if (step.issuer, step.subject) == (change.issuer, change.subject) or (
            step.person and step.person == change.person
        ):
            raise ElevationClosed("you have approved it already")
        if step.digest != elevation.digest:
            raise ElevationClosed("the request was changed after an approval: it has to be made again")
    approved = _step(steps, change, "approved", now, digest=elevation.digest)
    elevation = replace(elevation, approvals=len(earlier) + 1)
    if elevation.approvals < max(elevation.needed, change.needed):
        return AppliedChange(elevation, (approved,))
    seconds = elevation.seconds if change.longest is None else min(elevation.seconds, change.longest)
    granted = replace(approved, number=approved.number + 1, action="granted", reason="")
    elevation = replace(elevation, since=now, until=now + seconds)
    return AppliedChange(elevation, (approved, granted), reported=True)


def _end(elevation: Elevation, steps: Sequence[ElevationStep], change: ElevationChange, now: float) -> AppliedChange:
    if (state := elevation.state(now)) not in ("requested", "approved"):
        raise ElevationClosed(f"there is nothing to end: it is {state}")
    ended = AppliedChange(replace(elevation, ended_at=now), (_step(steps, change, "ended", now),))
    if elevation.until is None:
        return ended
    # Tokens that carry the permission name the elevation, so it is revoked like a token that they come from.
    entry = RevocationEntry(
        id=elevation.id,
        of="token",
        issuer=elevation.issuer,
        name=elevation.id,
        until=elevation.until + TOKEN_LEEWAY,
        reason="elevation ended",
    )
    return ended._replace(revocations=(entry,), reported=True)


def _review(elevation: Elevation, steps: Sequence[ElevationStep], change: ElevationChange, now: float) -> AppliedChange:
    if not elevation.break_glass or elevation.reviewed_at is not None:
        raise ElevationClosed(
            "it was reviewed already"
            if elevation.break_glass
            else "it was approved before it was granted: no review is due"
        )
    return AppliedChange(replace(elevation, reviewed_at=now), (_step(steps, change, "reviewed", now),))


def _step(
    steps: Sequence[ElevationStep], change: ElevationChange, action: ElevationAction, at: float, digest: str = ""
) -> ElevationStep:
    return ElevationStep(
        elevation=change.elevation,
        number=steps[-1].number + 1,
        at=at,
        action=action,
        issuer=change.issuer,
        subject=change.subject,
        reason=change.reason,
        person=change.person,
        digest=digest or change.digest or "",
    )
