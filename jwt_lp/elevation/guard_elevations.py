"""The elevations of a guard, by its policy and in its store, and asking in the code of an application."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from jwt_lp.elevation.elevations import Elevations
from jwt_lp.errors import ConfigurationError
from jwt_lp.stores import open_store

if TYPE_CHECKING:
    from jwt_lp.guard.guard import Guard
    from jwt_lp.stores.elevations import Elevation
    from jwt_lp.tokens.claims import AccessToken

_LOCK: Final = Lock()
_KNOWN: Final[WeakKeyDictionary[Guard, Elevations]] = WeakKeyDictionary()


def guard_elevations(guard: Guard) -> Elevations:
    """The elevations of `guard`, made when they are first asked for; `ConfigurationError` without `STORE` or rules."""
    settings = guard.settings
    faults = [
        fault
        for fault in (
            "" if settings.store else "elevations need STORE, which keeps them",
            "" if settings.policy.elevation else "elevations need [elevation] tables in POLICY, which say who may ask",
        )
        if fault
    ]
    if faults:
        raise ConfigurationError(*faults)
    with _LOCK:
        elevations = _KNOWN.get(guard)
        if elevations is None:
            store = open_store(settings.store) if isinstance(settings.store, str) else settings.store
            elevations = _KNOWN[guard] = Elevations(settings.policy, store, push=settings.push or None)
        return elevations


def request_elevation(
    guard: Guard,
    token: AccessToken | None,
    permission: str,
    *,
    reason: str = "",
    ticket: str = "",
    seconds: int | None = None,
    key: str = "",
    elevations: Elevations | None = None,
) -> Elevation:
    """Ask for `permission` in the name of `token`, which `guard` has verified; `elevations` are by default the guard's.

    The other arguments, the result and the errors are those of `Elevations.request`. `ConfigurationError` where there is
    no token, because the route requires none.
    """
    if token is None or token.is_anonymous:
        raise ConfigurationError("an elevation is asked for in the name of a token: require one on this route")
    chosen = guard_elevations(guard) if elevations is None else elevations
    return chosen.request(token, permission, reason=reason, ticket=ticket, seconds=seconds, key=key)
