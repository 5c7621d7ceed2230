"""Temporary grants: permissions that a subject holds for a bounded time, beside what its token grants."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from jwt_lp.permissions.grants import Grant, is_pattern
from jwt_lp.permissions.patterns import ELEVATION_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jwt_lp.tokens.claims import AccessToken


class TemporaryGrant(NamedTuple):
    """One permission or pattern that an approved elevation grants to a subject, the pair of `issuer` and `subject`.

    `id` is that of the elevation. It counts from `since` on and before `until`, in seconds since the epoch. If `client`
    is not None, it counts only for tokens of that client ("" for tokens that name no client).
    """

    id: str
    issuer: str
    subject: str
    permission: str
    since: float
    until: float
    client: str | None = None

    @property
    def grant(self) -> Grant:
        """The grant as a decision credits it."""
        return Grant(
            self.permission, f"elevation {self.id}", f"{ELEVATION_PREFIX}{self.id}", is_pattern(self.permission)
        )

    def is_for(self, token: AccessToken) -> bool:
        """Whether it is for the subject, and the client, of `token`; the time is not checked."""
        named = (token.issuer, token.subject) == (self.issuer, self.subject)
        return named and self.client in (None, token.client or "")


GrantRecord: TypeAlias = tuple[TemporaryGrant, float]
"""A temporary grant, and the monotonic time of this process at which it has ended."""


class GrantsInForce(NamedTuple):
    """The temporary grants of one token.

    It is outdated from `until` on, in seconds since the epoch, and from the monotonic time `deadline` on, because then
    one of them ends or begins to count.
    """

    grants: tuple[TemporaryGrant, ...] = ()
    until: float = math.inf
    deadline: float = math.inf


NO_GRANTS: Final = GrantsInForce()
"""What is in force for a token without temporary grants."""


def grants_in_force(records: Iterable[GrantRecord], token: AccessToken, now: float, monotonic: float) -> GrantsInForce:
    """Return which of the records of a subject are in force for `token`, by both clocks."""
    # INVARIANT: a token with which somebody else acts for the subject (RFC 8693, section 4.1) gets nothing by this.
    if "act" in token._claims:  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - no read-only copy is needed
        return NO_GRANTS
    # INVARIANT: whichever clock comes first ends a grant, so that setting one of them back prolongs none.
    alive = [each for each in records if each[0].is_for(token) and now < each[0].until and monotonic < each[1]]
    if not alive:
        return NO_GRANTS
    return GrantsInForce(
        tuple(grant for grant, _ in alive if grant.since <= now),
        min(grant.until if grant.since <= now else grant.since for grant, _ in alive),
        min(deadline for _, deadline in alive),
    )


class GrantDeadlines:
    """The monotonic times at which temporary grants end, each fixed when this process first sees the grant.

    They are remembered for `retention` seconds after the end: a wall clock that is set back later revives no grant.
    """

    def __init__(self, retention: float) -> None:
        self._retention = retention
        self._deadlines: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._deadlines)

    def fix(self, grant: TemporaryGrant, now: float, monotonic: float) -> float:
        """Return the deadline of `grant`, never later than before; `now` is in seconds since the epoch."""
        deadline = min(monotonic + grant.until - now, self._deadlines.get(grant.id, math.inf))
        self._deadlines[grant.id] = deadline
        return deadline

    def forget(self, monotonic: float) -> None:
        """Forget the deadlines that passed more than `retention` seconds ago."""
        oldest = monotonic - self._retention
        self._deadlines = {id_: deadline for id_, deadline in self._deadlines.items() if deadline >= oldest}
