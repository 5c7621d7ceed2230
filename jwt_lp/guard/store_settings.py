"""Reader of the setting `STORE`, and of those that need it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jwt_lp._support.json_types import is_json_object
from jwt_lp.guard.setting_fields import SettingReader
from jwt_lp.revocation.limits import REFUSE_AFTER, STALE_AFTER

if TYPE_CHECKING:
    from jwt_lp.stores import Store

MIN_KEY_LENGTH: Final = 32
_STORE_KEYS: Final = ("PUSH", "SUBJECTS", "STALE_AFTER", "REFUSE_AFTER", "REVOCATION_START")


class StoreReader(SettingReader):
    """Reads where revocations and usage are stored, and how."""

    def store_settings(self) -> dict[str, object]:
        """The store, how subjects are stored, and how old the revocation snapshot may be."""
        store = self.store()
        push = self.text("PUSH") or ""
        given = [key for key in _STORE_KEYS if key in self.values]
        if given and not store:
            self.fault(f"{', '.join(given)}: there is no STORE, so nothing is stored and nothing can be revoked")
        if push and not push.startswith(("redis://", "rediss://")):
            self.fault("PUSH is the URL of a Redis, such as redis://localhost:6379/0")
        stale = self.seconds("STALE_AFTER", STALE_AFTER, None)
        refuse = self.seconds("REFUSE_AFTER", REFUSE_AFTER, None)
        if stale > refuse:
            self.fault(
                "STALE_AFTER is longer than REFUSE_AFTER: requests would be refused before the revocations are stale"
            )
        start = self.values.get("REVOCATION_START", "closed")
        if start not in ("closed", "open"):
            self.fault(
                'REVOCATION_START is "closed", or "open" to let every request pass until the store has been reached'
            )
        return {
            "store": store,
            "push": push,
            "subjects": self.subjects(),
            "stale_after": stale,
            "refuse_after": refuse,
            "revocation_start": start,
        }

    def store(self) -> str | Store:
        """The store, or its URL; "" if there is none."""
        value = self.values.get("STORE")
        if value is not None and not isinstance(value, str):
            from jwt_lp.stores import is_store

            if is_store(value):
                return value
        return self.text("STORE") or ""

    def subjects(self) -> bytes | None:
        """How subjects are stored: b"" for plain text, a key for keyed hashes, None for not at all."""
        value = self.values.get("SUBJECTS", "plain")
        if value in ("plain", "absent"):
            return b"" if value == "plain" else None
        members = {str(name).upper(): member for name, member in value.items()} if is_json_object(value) else {}
        key = members.get("KEY")
        if set(members) == {"KEY"} and isinstance(key, str) and len(key) >= MIN_KEY_LENGTH:
            return key.encode()
        self.fault(
            'SUBJECTS is "plain", "absent", or {"KEY": "..."} for keyed hashes, '
            f"with {MIN_KEY_LENGTH} characters at least"
        )
        return b""
