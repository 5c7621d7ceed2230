"""Revocation entries, and the changes that a source reports."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias

from jwt_lp._support.events import log_event

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jwt_lp.revocation.temporary_grants import TemporaryGrant

TargetKind: TypeAlias = Literal["token", "subject", "client", "role", "issuer"]
"""What an entry applies to."""


class RevocationKey(NamedTuple):
    """The target of an entry: its kind, the exact `iss`, and its name ("" for a whole issuer)."""

    of: TargetKind
    issuer: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationEntry:
    """One revocation, of one token, subject, client, role or issuer.

    An entry for a token (by its `jti`) refuses that token and every token downscoped from it. For other targets, an
    entry with a `pattern` is a deny entry: it refuses every permission that `pattern` covers and no pattern of `keep`
    does; for a role, only as far as that role confers it. With `standing` it refuses only what is held by a standing
    grant, and nothing that is held by an elevation. An entry without a `pattern` is a not-before entry: it refuses
    tokens issued at `before` or earlier, or every token if that is None.

    Times are seconds since the epoch. A deny entry whose `until` is None stays in force until it is lifted; the other
    entries until no token that they refuse can be alive. `id` is unique; `at` is when the store recorded the entry.
    """

    id: str
    of: TargetKind
    issuer: str
    name: str
    pattern: str = ""
    keep: tuple[str, ...] = ()
    before: float | None = None
    until: float | None = None
    reason: str = ""
    at: float = 0.0
    standing: bool = False

    @property
    def key(self) -> RevocationKey:
        """The target of the entry."""
        return RevocationKey(self.of, self.issuer, self.name)

    @property
    def kind(self) -> Literal["token", "deny", "not_before"]:
        """The kind of the entry."""
        return "token" if self.of == "token" else "deny" if self.pattern else "not_before"


class RevocationChanges(NamedTuple):
    """One page of the changes after a sequence number.

    To apply a page, remove all entries and temporary grants of each target in `touched`, then add `entries` and
    `grants`; those whose `id` is known replace the known ones. `sequence` is that of the last change in the page; `more`
    says that there are later changes to read at once.
    """

    sequence: int
    touched: tuple[RevocationKey, ...] = ()
    entries: tuple[RevocationEntry, ...] = ()
    more: bool = False
    grants: tuple[TemporaryGrant, ...] = ()


class RevocationSource(Protocol):
    """A source of revocation entries, such as a store."""

    def changes(self, since: int) -> RevocationChanges:
        """Return the changes after `since`, in the order of the commits; for 0, all entries in force."""
        ...


def log_revoked(entries: Iterable[RevocationEntry], by: str) -> None:
    """Log the event `revoked` for each entry that a store has written; `by` says who revoked, or is ""."""
    for entry in entries:
        event = {
            "entry": entry.id,
            "of": entry.of,
            "issuer": entry.issuer,
            "name": entry.name,
            "pattern": entry.pattern,
            "reason": entry.reason,
            "by": by,
        }
        log_event(logging.INFO, "revoked", event)
