"""Temporary grants: permissions that a subject holds for a bounded time, beside what its token grants."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from jwt_lp.revocation.entries import RevocationKey

if TYPE_CHECKING:
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
    def target(self) -> RevocationKey:
        """The target under which a source reports that the grant changed."""
        return RevocationKey("subject", self.issuer, self.subject)

    def is_for(self, token: AccessToken) -> bool:
        """Whether it is a grant for the subject, and the client, of `token`; the time is not checked."""
        if (token.issuer, token.subject) != (self.issuer, self.subject):
            return False
        return self.client is None or self.client == (token.client or "")
