"""Revocation entries, and the changes that a source reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, TypeAlias

TargetKind: TypeAlias = Literal["token", "subject", "client", "role", "issuer"]
"""What an entry is about."""


class RevocationKey(NamedTuple):
    """Whom an entry is about: what it is, the exact `iss`, and its name, "" for an issuer as a whole."""

    of: TargetKind
    issuer: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationEntry:
    """One revocation, of one token, subject, client, role or issuer.

    For a token (by its `jti`) that token and all that were narrowed from it. With a `pattern`, a deny entry: it
    refuses every permission that the pattern covers and none of `keep` does; for a role, what that role confers.
    Without one, a not-before entry: it refuses tokens issued at `before` or earlier, or every token where that is
    None. Times are seconds since the epoch; `until` is None for what stands until it is lifted, or, for a token and
    a not-before entry, until no token that it refuses can be alive. `id` is unique; `at` is when the store took it.
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

    @property
    def key(self) -> RevocationKey:
        """Whom it is about."""
        return RevocationKey(self.of, self.issuer, self.name)

    @property
    def kind(self) -> Literal["token", "deny", "not_before"]:
        """Which of the three it is."""
        return "token" if self.of == "token" else "deny" if self.pattern else "not_before"


class RevocationChanges(NamedTuple):
    """What changed after a sequence number, as far as one page goes.

    To apply: forget everything about each of `touched`, then add `entries`, ignoring those that are known by `id`.
    `sequence` is that of the last change in the page; `more` says that there are later ones to ask for at once.
    """

    sequence: int
    touched: tuple[RevocationKey, ...] = ()
    entries: tuple[RevocationEntry, ...] = ()
    more: bool = False


class RevocationSource(Protocol):
    """Where entries come from."""

    def changes(self, since: int) -> RevocationChanges:
        """What changed after `since`, in the order of the commits; 0 gives all that stands."""
        ...
