"""How an elevation is shown: the members of its JSON object."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jwt_lp.stores.elevations import Elevation


def members_of(elevation: Elevation, now: float) -> dict[str, object]:
    """The members of an elevation as it is at the time `now`, without empty ones.

    Times are those of RFC 3339, in UTC and to the second.
    """
    members = {
        "id": elevation.id,
        "permission": elevation.permission,
        "state": elevation.state(now),
        "issuer": elevation.issuer,
        "subject": elevation.subject,
        "client": elevation.client,
        "reason": elevation.reason,
        "ticket": elevation.ticket,
        "seconds": elevation.seconds,
        "break_glass": elevation.break_glass or None,
        "approvals": elevation.approvals,
        "needed": elevation.needed,
        "asked_at": moment(elevation.asked_at),
        "answer_by": moment(elevation.answer_by),
        "since": moment(elevation.since),
        "until": moment(elevation.until),
        "ended_at": moment(elevation.ended_at),
        "reviewed_at": moment(elevation.reviewed_at),
        "digest": elevation.digest,
    }
    return {name: value for name, value in members.items() if value not in (None, "")}


def moment(seconds: float | None) -> str | None:
    """A time in RFC 3339; None for None."""
    # Rounded down, so that nobody is told a later end.
    return None if seconds is None else f"{datetime.fromtimestamp(seconds // 1, UTC):%Y-%m-%dT%H:%M:%SZ}"
