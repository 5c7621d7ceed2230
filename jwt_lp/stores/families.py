"""Families of refresh tokens: what a store keeps of them, and the protocol of a store for sign-in.

A family is all refresh tokens that follow from one sign-in. No token is ever stored: a family has a counter, which is the
number of its newest refresh token. Times are seconds since the epoch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

from jwt_lp.revocation.entries import RevocationEntry

if TYPE_CHECKING:
    from collections.abc import Iterable

EndReason: TypeAlias = Literal["sign_out", "sign_out_everywhere", "reuse", "disabled"]
"""Why a family ended: signed out, all of the subject's families signed out, a refresh token used again, or a subject
that may not sign in any more."""

WRITER: Final = "jwt_lp.signin"
"""The author of the revocation entries that end the access tokens of a family."""

KEEP_FAMILIES: Final = 86400.0
"""Seconds that an expired family, and an entry of `WRITER` that ended, stay in the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshFamily:
    """One family: its subject, the number of its newest refresh token, and its times.

    `rotated_at` is when that token was made, `expires_at` when the family ends at the latest. `ended_at` is when it ended
    before that, for `reason`.
    """

    id: str
    issuer: str
    subject: str
    counter: int
    created_at: float
    rotated_at: float
    expires_at: float
    ended_at: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyEnding:
    """Which families are to end: one of a subject, or all of them if `family` is None.

    Their access tokens live until `tokens_until` at the latest. `id` is unique: the id of the entry that revokes all
    tokens of the subject, which is written if `family` is None.
    """

    id: str
    issuer: str
    subject: str
    family: str | None
    at: float
    reason: EndReason
    tokens_until: float

    def revocations(self, ended: Iterable[RefreshFamily]) -> list[RevocationEntry]:
        """Return the entries that revoke the access tokens of the families that this ending has ended.

        Each entry for one family has the family's id, because each access token of the family names that id as an
        ancestor. A not-before entry refuses all older tokens of the subject, whoever made them. It ends a second before
        the current one, so that the subject can sign in again at once; families that began in that second have an
        entry of their own.
        """
        before = None if self.family is not None else float(math.floor(self.at) - 1)
        entries = [
            RevocationEntry(
                id=family.id,
                of="token",
                issuer=self.issuer,
                name=family.id,
                until=self.tokens_until,
                reason=self.reason,
            )
            for family in ended
            if before is None or math.floor(family.created_at) > before
        ]
        if before is not None:
            entries.append(
                RevocationEntry(
                    id=self.id, of="subject", issuer=self.issuer, name=self.subject, before=before, reason=self.reason
                )
            )
        return entries


class SignInStore(Protocol):
    """Storage of families of refresh tokens, for a `SignIn`. Every store of `jwt_lp.stores` has it.

    Every method is atomic and safe to call from several threads and processes. It raises `StoreError` and
    `ConfigurationError` as the methods of `Store` do.
    """

    def add_family(self, family: RefreshFamily) -> None:
        """Write a new family; `StoreError` if its id exists already."""
        ...

    def family(self, family_id: str) -> RefreshFamily | None:
        """The family with this id, ended or not, or None."""
        ...

    def rotate_family(self, family_id: str, *, counter: int, at: float) -> bool:
        """Add one to the counter if it is `counter` and the family has neither ended nor expired; return whether it was.

        Of several calls with the same counter, one returns True.
        """
        ...

    def end_families(self, ending: FamilyEnding) -> tuple[RefreshFamily, ...]:
        """End the families that have not ended, and revoke their access tokens in the same transaction.

        Returns the ended families, by id, as they were before. A family whose end another call has written is not
        returned again. After this call no `rotate_family` of these families returns True.
        """
        ...
