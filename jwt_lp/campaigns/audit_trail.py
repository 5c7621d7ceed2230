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


class VerifiedTrail(NamedTuple):
    """The result of verifying a trail: how many entries are whole, the hash of the last of them, and what is broken.

    `broken` is the first entry that was changed, deleted or moved; None if the trail is whole.
    """

    entries: int
    hash: str
    broken: BrokenEntry | None


def verify_audit(store: Store, *, head: str = "") -> VerifiedTrail:
    """Verify the trail of a store.

    Entries that were deleted or added at the end are noticed too, because the store keeps the last number and hash apart.
    Whoever can write to the tables could make a whole new chain, or bring back an older copy. So keep the last hash
    elsewhere, and pass it as `head`.
    """
    # Read before the entries, so that those that are added meanwhile are no fault.
    known = store.audit_head()
    trail = _verify(store.audit_entries(AuditFilter()), [known, (0, head)])
    if trail.broken is None and trail.entries > (last := store.audit_head()[0]):
        behind = BrokenEntry(last + 1, "stands behind the last entry: somebody else has written to the table")
        return trail._replace(broken=behind)
    return trail


def verify_audit_file(lines: Iterable[str], *, head: str = "") -> VerifiedTrail:
    """Verify an exported trail. `head` is the hash of its last entry, or of an earlier one, if that is known from elsewhere.

    `ConfigurationError` for a line that is no entry.
    """
    return _verify(_read_entries(lines), [(0, head)])


def _verify(entries: Iterable[AuditEntry], known: Iterable[tuple[int, str]]) -> VerifiedTrail:
    """Whether each entry follows the one before it, and the `known` ones are among them: number, 0 for any, and hash."""
    number, previous, awaited = 0, "", {each for each in known if each[1]}
    for entry in entries:
        if fault := _fault(entry, number, previous):
            return VerifiedTrail(number, previous, fault)
        number, previous = entry.sequence, entry.hash
        awaited -= {(number, previous), (0, previous)}
    missing = BrokenEntry(number + 1, "is missing: the trail ends before the entry that is known to be there")
    return VerifiedTrail(number, previous, missing if awaited else None)


def _fault(entry: AuditEntry, number: int, previous: str) -> BrokenEntry | None:
    """What is wrong with the entry behind entry `number` with the hash `previous`."""
    if entry.sequence > number + 1:
        return BrokenEntry(number + 1, "is missing")
    if entry.sequence <= number:
        return BrokenEntry(entry.sequence, "stands behind a later one")
    if entry.previous != previous:
        return BrokenEntry(entry.sequence, "does not name the hash of the entry before it")
    if _hash_of(entry) != entry.hash:
        return BrokenEntry(entry.sequence, "was changed: its hash is another one")
    return None


def _hash_of(entry: AuditEntry) -> str | None:
    """The hash that an entry has; None if it has members that no entry is written with."""
    try:
        return entry.computed_hash()
    except (ValueError, TypeError, RecursionError):
        return None


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
        values["actor"] = Actor(**values["actor"])
        entry = AuditEntry(**values)
        typed = type(entry.sequence) is int and {type(entry.previous), type(entry.hash)} == {str}
        # It is an entry only if a hash can be made of it.
        typed = typed and type(entry.at) is float and _hash_of(entry) is not None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        typed, entry = False, None
    if entry is None or not typed:
        raise ConfigurationError(f"line {number}: not an entry of an audit trail: export it again")
    return entry
