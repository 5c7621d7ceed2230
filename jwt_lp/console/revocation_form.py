"""Form of a new revocation: what somebody typed, the entry that it means, and whom that hits."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from jwt_lp.errors import ConfigurationError
from jwt_lp.permissions.grants import Permissions
from jwt_lp.revocation.entries import RevocationEntry
from jwt_lp.revocation.wanted import MAX_NAME, MAX_REASON, is_name, issuer_warnings, pattern_faults, read_end

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jwt_lp.console.state import ConsoleState
    from jwt_lp.stores.lookups import HolderUse

OPTIONS: Final = (
    ("permission", "One permission, or what a pattern covers"),
    ("issued", "Every token issued until now"),
    ("block", "Every token, until it is lifted"),
    ("token", "One token or session, by its id, and all downscoped from it"),
)
_HOLDERS: Final = ("subject", "client", "role")
_ID: Final = re.compile(r"[0-9a-f]{12}")
_MOST_KEPT: Final = 50
_SHOWN: Final = 20


class Hits(NamedTuple):
    """Whom a revocation hits: the recorded uses that it would refuse, and the number of holders; warnings."""

    uses: tuple[HolderUse, ...] = ()
    more: bool = False
    holders: int | None = None
    warnings: tuple[str, ...] = ()


class RevocationForm(NamedTuple):
    """The fields as they were typed. `entry` is the id that the entry gets, so that a form sent twice writes once."""

    what: str = "permission"
    of: str = "subject"
    issuer: str = ""
    name: str = ""
    pattern: str = ""
    keep: str = ""
    until: str = ""
    reason: str = ""
    entry: str = ""

    @classmethod
    def from_values(cls, values: Mapping[str, str]) -> Self:
        """The form with these values; those that are missing have the usual ones."""
        return cls(**{name: values[name].strip() for name in cls._fields if values.get(name)})

    def with_id(self) -> Self:
        """The form with an id for the entry."""
        return self if self.entry else self._replace(entry=secrets.token_hex(6))

    def check(self, now: float) -> tuple[RevocationEntry | None, dict[str, str]]:
        """The entry, or the faults by the fields that have them."""
        faults: dict[str, str] = {}
        if self.what not in dict(OPTIONS) or self.of not in _HOLDERS or (self.entry and not _ID.fullmatch(self.entry)):
            faults["what"] = "choose one of these"
        elif self.what in ("issued", "block") and self.of == "role":
            faults["of"] = "tokens are issued to a subject or a client: for a role, revoke the permission **"
        for name in ("issuer", "name"):
            if not is_name(getattr(self, name)):
                faults[name] = f"1 to {MAX_NAME} characters, all of them printable"
        if len(self.reason) > MAX_REASON or (self.reason and not self.reason.isprintable()):
            faults["reason"] = f"at most {MAX_REASON} printable characters on one line"
        values = self._values(now, faults)
        if faults:
            return None, faults
        of: Any = "token" if self.what == "token" else self.of
        base = {"id": self.entry or "preview", "of": of, "issuer": self.issuer, "name": self.name}
        return RevocationEntry(**base, reason=self.reason, at=now, **values), {}

    def _values(self, now: float, faults: dict[str, str]) -> dict[str, Any]:
        """The members of the entry that say what is refused and until when."""
        until: float | None = None
        if self.until:
            try:
                until = read_end(self.until, now)
            except ConfigurationError as error:
                faults["until"] = str(error)
        if self.what == "block" and self.until:
            faults["until"] = "a block has no end: for a limited time, revoke the permission **"
        if self.what != "permission":
            if self.pattern or self.keep:
                faults["pattern"] = "only where a permission is revoked"
            return {"before": now if self.what == "issued" else None, "until": until}
        keep = tuple(dict.fromkeys(self.keep.split()))
        if len(keep) > _MOST_KEPT:
            faults["keep"] = f"at most {_MOST_KEPT} exceptions"
        elif found := [*pattern_faults(self.pattern, keep)]:
            faults["keep" if found and found[0].startswith("keep ") else "pattern"] = "; ".join(found[:3])
        return {"pattern": self.pattern, "keep": keep, "until": until}


def hits_of(console: ConsoleState, entry: RevocationEntry) -> Hits:
    """Whom the entry hits, as far as the store has recorded it."""
    warnings = tuple(issuer_warnings(entry.issuer, console.store.issuers()))
    if entry.of == "role":
        counted = console.store.count_role_members(entry.name)
        return Hits(holders=counted.number, more=not counted.complete, warnings=warnings)
    if entry.of == "token":
        return Hits(warnings=warnings)
    holder: dict[str, Any] = {entry.of: entry.name}
    found = console.store.holder_uses(issuer=entry.issuer, **holder)
    denied = Permissions.of([entry.pattern or "**"], patterns=True)
    kept = Permissions.of(entry.keep, patterns=True)
    uses = [
        use
        for use in found.uses
        if use.outcome == "granted"
        and denied.find_containing(use.permission) is not None
        and kept.find_containing(use.permission) is None
    ]
    return Hits(tuple(uses[:_SHOWN]), len(uses) > _SHOWN or not found.complete, warnings=warnings)
