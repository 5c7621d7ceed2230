"""Sessions of a console that runs on its own: kept in memory, and over when it stops."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from jwt_lp.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from jwt_lp.stores import FamilyEnding, RefreshFamily


class LocalSessions:
    """A `SignInStore` in memory. The access tokens of an ended session are refused by `EndedSessionMiddleware`."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._families: dict[str, RefreshFamily] = {}
        self._lock = threading.Lock()

    def add_family(self, family: RefreshFamily) -> None:
        """Keep a new session, and forget those that have expired."""
        with self._lock:
            if family.id in self._families:
                raise StoreError("there is a session with this id already")
            now = self._clock()
            self._families = {name: each for name, each in self._families.items() if each.expires_at > now}
            self._families[family.id] = family

    def family(self, family_id: str) -> RefreshFamily | None:
        """The session with this id, ended or not."""
        with self._lock:
            return self._families.get(family_id)

    def rotate_family(self, family_id: str, *, counter: int, at: float) -> bool:
        """Add one to the counter if it is `counter` and the session goes on; return whether it was."""
        with self._lock:
            family = self._families.get(family_id)
            if family is None or family.ended_at is not None or family.counter != counter or family.expires_at <= at:
                return False
            self._families[family_id] = replace(family, counter=counter + 1, rotated_at=at)
            return True

    def end_families(self, ending: FamilyEnding) -> tuple[RefreshFamily, ...]:
        """End the sessions that have not ended; return them as they were before."""
        with self._lock:
            ended = [
                family
                for family in self._families.values()
                if family.ended_at is None
                and (family.issuer, family.subject) == (ending.issuer, ending.subject)
                and ending.family in (None, family.id)
            ]
            for family in ended:
                self._families[family.id] = replace(family, ended_at=ending.at, reason=ending.reason)
        return tuple(sorted(ended, key=lambda family: family.id))
