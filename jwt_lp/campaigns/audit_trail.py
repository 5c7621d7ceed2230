"""The audit trail: its chain of hashes verified, in a store and in an exported file."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

from jwt_lp._support.json_types import unique_members
from jwt_lp.errors import ConfigurationError
from jwt_lp.stores.audit import Actor, AuditEntry, AuditFilter, canonical_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jwt_lp.stores import Store

MAX_LINE: Final = 1 << 20
"""The most characters of a line of an exported trail."""

_MEMBERS: Final = frozenset(("sequence", "at", "actor", "action", "campaign", "object", "details", "previous", "hash"))


class BrokenEntry(NamedTuple):
    """The first entry of an audit trail that is not as it was written: its sequence number, and what is wrong."""

    sequence: int
    fault: str

    def __str__(self) -> str:
        return f"entry {self.sequence:,}: {self.fault}"


def verify_audit(store: Store) -> BrokenEntry | None:
    """The first entry of the store's trail that was changed, deleted or moved; None if the trail is whole.

    Entries that were deleted at the end are noticed too, because the store keeps the last number and hash apart. Whoever
    can write to the tables can make a whole new chain: keep exported hashes elsewhere.
    """
    # Read before the entries, so that those that are added meanwhile are no fault.
    head = store.audit_head()
    return _check_chain(store.audit_entries(AuditFilter()), head)


def verify_audit_file(lines: Iterable[str], *, head: str | None = None) -> BrokenEntry | None:
    """The same for an exported trail. `head` is the hash of its last entry, if it is known from elsewhere.

    `ConfigurationError` for a line that is no entry.
    """
    return _check_chain(_read_entries(lines), None if head is None else (0, head))


def _check_chain(entries: Iterable[AuditEntry], head: tuple[int, str] | None) -> BrokenEntry | None:
    """The first entry that does not follow the one before it; or the last one, if `head` is not met."""
    sequence, previous, met = 0, "", head is None or head == (0, "")
    for entry in entries:
        if entry.sequence > sequence + 1:
            return BrokenEntry(sequence + 1, "is missing")
        if entry.sequence <= sequence:
            return BrokenEntry(entry.sequence, "stands behind a later one")
        if entry.previous != previous:
            return BrokenEntry(entry.sequence, "does not name the hash of the entry before it")
        if entry.computed_hash() != entry.hash:
            return BrokenEntry(entry.sequence, "was changed: its hash is another one")
        sequence, previous = entry.sequence, entry.hash
        met = met or (head is not None and previous == head[1] and head[0] in (0, sequence))
    return (
        None
        if met
        else BrokenEntry(sequence + 1, "is missing: the trail ends before the entry that is known to be last")
    )


def export_audit(store: Store, file: IO[str], *, campaign: str | None = None) -> int:
    """Write the trail as JSON lines, oldest entry first; return how many entries.

    Those of one `campaign` alone are no chain, so `verify_audit_file` finds that entries are missing.
    """
    number = 0
    for entry in store.audit_entries(AuditFilter(campaign=campaign)):
        file.write(encode_entry(entry) + "\n")
        number += 1
    return number


def encode_entry(entry: AuditEntry) -> str:
    """An entry as one line of JSON."""
    actor = {"issuer": entry.actor.issuer, "subject": entry.actor.subject, "name": entry.actor.name}
    values = {name: getattr(entry, name) for name in _MEMBERS}
    return canonical_json({**values, "actor": actor})


def _read_entries(lines: Iterable[str]) -> Iterator[AuditEntry]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _read_entry(line, number)


def _read_entry(line: str, number: int) -> AuditEntry:
    try:
        values: dict[str, Any] = json.loads(line if len(line) <= MAX_LINE else "", object_pairs_hook=unique_members)
        entry = AuditEntry(**{**values, "actor": Actor(**values["actor"])})
        # It is an entry only if a hash can be made of it.
        entry.computed_hash()
        typed = type(entry.sequence) is int and isinstance(entry.previous, str) and isinstance(entry.hash, str)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        typed, entry = False, None
    if entry is None or not typed:
        raise ConfigurationError(f"line {number}: not an entry of an audit trail: export it again")
    return entry
