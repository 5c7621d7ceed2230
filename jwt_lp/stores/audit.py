"""The audit trail: who did what, as a chain of hashes.

Entries are only added. Each names the hash of the one before it, so an entry that was changed, taken out, put in or moved
no longer fits. The store keeps the last number and hash apart, so missing entries at the end are noticed, too.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from jwt_lp.stores.row_keys import fit_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who acts: a subject of an issuer. `name` is only shown. An issuer of "" is a command on the store."""

    issuer: str
    subject: str
    name: str = ""

    def is_same(self, other: Actor | None) -> bool:
        """Whether it is the same subject, whatever name is shown."""
        return other is not None and (self.issuer, self.subject) == (other.issuer, other.subject)


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedEntry:
    """An entry that is to be added: who did what, when, and to what.

    `campaign` is its id, "" outside a campaign. `object` is what was changed: the id of an item, the name of a part, the
    id of a plan and so on. `details` are stored as JSON.
    """

    actor: Actor
    at: float
    action: str
    campaign: str = ""
    object: str = ""
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """An entry of the audit trail. `sequence` counts from 1 without a gap; `previous` is "" for the first entry.

    `hash` is the SHA-256, in hexadecimal, of the canonical JSON of everything else.
    """

    sequence: int
    at: float
    actor: Actor
    action: str
    campaign: str
    object: str
    details: Mapping[str, Any]
    previous: str
    hash: str

    def computed_hash(self) -> str:
        """The hash that an entry with these members has."""
        members = {
            "sequence": self.sequence,
            "at": float(self.at),
            "actor": {"issuer": self.actor.issuer, "subject": self.actor.subject, "name": self.actor.name},
            "action": self.action,
            "campaign": self.campaign,
            "object": self.object,
            "details": self.details,
            "previous": self.previous,
        }
        return hashlib.sha256(canonical_json(members).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which entries are listed; None for any.

    `actor` is the subject or the shown name of who acted. `since` and `until` are times, the first included. `after` and
    `before` are sequence numbers, both left out, and `limit` is the most entries of a page.
    """

    campaign: str | None = None
    object: str | None = None
    action: str | None = None
    actor: str | None = None
    since: float | None = None
    until: float | None = None
    after: int = 0
    before: int | None = None
    limit: int | None = None
    newest_first: bool = False


def canonical_json(value: object) -> str:
    """The JSON of a value in one form: ASCII, names in order, no space; `ValueError` for NaN and infinity."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def chain_entries(wanted: Iterable[WantedEntry], head: tuple[int, str]) -> list[AuditEntry]:
    """The entries as they follow `head`, the number and the hash of the last stored one."""
    sequence, previous = head
    chained: list[AuditEntry] = []
    for each in wanted:
        sequence += 1
        entry = AuditEntry(
            sequence=sequence,
            at=float(each.at),
            actor=Actor(
                issuer=fit_text(each.actor.issuer),
                subject=fit_text(each.actor.subject),
                name=fit_text(each.actor.name),
            ),
            action=fit_text(each.action),
            campaign=fit_text(each.campaign),
            object=fit_text(each.object),
            # As they come back: a tuple becomes a list.
            details=json.loads(canonical_json(each.details)),
            previous=previous,
            hash="",
        )
        previous = entry.computed_hash()
        chained.append(replace(entry, hash=previous))
    return chained
