"""The audit trail: its chain of hashes verified, in a store and in an exported file."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jwt_lp.stores import Store


class BrokenEntry(NamedTuple):
    """The first entry of an audit trail that is not as it was written: its sequence number, and what is wrong."""

    sequence: int
    fault: str


def verify_audit(store: Store) -> BrokenEntry | None:
    """The first entry of the store's trail that was changed, deleted or moved; None if the trail is whole."""
    raise NotImplementedError


def export_audit(store: Store, file: IO[str], *, campaign: str | None = None) -> int:
    """Write the trail as JSON lines, oldest entry first; return how many."""
    raise NotImplementedError


def verify_audit_file(lines: Iterable[str]) -> BrokenEntry | None:
    """The same as `verify_audit` for an exported trail."""
    raise NotImplementedError
