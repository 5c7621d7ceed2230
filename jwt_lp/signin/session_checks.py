"""Checks of the settings of sessions."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Final

from jwt_lp._support.events import log_event

if TYPE_CHECKING:
    from jwt_lp.issuing.issuer import Issuer

MAX_GRACE: Final = 60.0


def session_faults(store: object, refresh_lifetime: float, family_lifetime: float, grace: float) -> list[str]:
    """Return the faults of these settings of sessions, each with what to write instead."""
    faults: list[str] = []
    if not callable(getattr(store, "rotate_family", None)):
        faults.append("store keeps no families of refresh tokens: pass jwt_lp.stores.open_store(URL)")
    if not 1 <= refresh_lifetime <= family_lifetime < math.inf:
        faults.append(
            f"refresh_lifetime is {refresh_lifetime} and family_lifetime {family_lifetime}: both are seconds, and a "
            "refresh token lives no longer than its family"
        )
    if not 0 <= grace <= MAX_GRACE:
        faults.append(f"grace is {grace}: it is from 0 to {MAX_GRACE:.0f} seconds, because a thief has it, too")
    return faults


def warn_of_retired_keys(issuer: Issuer, refresh_lifetime: float) -> None:
    """Warn if a rotation of the signing keys would end sessions, because their refresh tokens live longer than keys."""
    # A `KeyRing` has it; keys that do not rotate have none.
    lifetime = getattr(issuer.keys, "lifetime", math.inf)
    if lifetime < refresh_lifetime:
        detail = (
            f"a retired signing key is kept for {lifetime:.0f} s and a refresh token lives {refresh_lifetime:.0f} s: rotate "
            f"with jwt-lp keys rotate --lifetime {math.ceil(refresh_lifetime)}s, or the next rotation ends sessions"
        )
        log_event(logging.WARNING, "short-key-lifetime", {"issuer": issuer.issuer, "detail": detail})
