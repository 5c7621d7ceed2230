"""Rotation of refresh tokens: what a refresh token of a family means when it comes."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from jwt_lp.signin.session_checks import MAX_GRACE

if TYPE_CHECKING:
    from jwt_lp.signin.refresh_tokens import RefreshToken
    from jwt_lp.stores.families import RefreshFamily


class Verdict(Enum):
    """What is to be done about a refresh token; each value explains it to the operator."""

    ROTATE = "it is the newest of its family"
    REPEAT = "its successor was made a moment ago"
    REUSED = (
        "it was used before, and not just now: two have it, and one of them may have stolen it, so its family has ended"
    )
    ENDED = "its family has ended"
    EXPIRED = "its family has reached its longest lifetime"
    UNKNOWN = "the store has no such family: it was purged, or an older copy of the store was restored"
    AHEAD = "it is newer than the store knows: was an older copy of the store restored?"


def judge(token: RefreshToken, family: RefreshFamily | None, *, now: float, grace: float) -> Verdict:
    """Return the verdict about a verified refresh token; `family` is what the store has of its family.

    The predecessor of the newest token is accepted for `grace` seconds after the newest was made: a second tab sent it
    too, or the answer was lost. It leads to the same number again, so the family goes on in one line.
    """
    if family is None or (family.issuer, family.subject) != (token.issuer, token.subject):
        return Verdict.UNKNOWN
    if family.ended_at is not None:
        return Verdict.ENDED
    if now >= family.expires_at:
        return Verdict.EXPIRED
    if token.counter == family.counter:
        return Verdict.ROTATE
    if token.counter > family.counter:
        # Not theft: only this issuer makes tokens. The tokens of other holders in the family may be good.
        return Verdict.AHEAD
    # INVARIANT: a clock that was set back by an hour does not lengthen the grace by an hour.
    if token.counter == family.counter - 1 and -MAX_GRACE <= now - family.rotated_at <= grace:
        return Verdict.REPEAT
    return Verdict.REUSED
