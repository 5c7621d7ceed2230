"""The state of a guard, for health endpoints and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jwt_lp.guard.runtime import StoreStatus
    from jwt_lp.jose.jwks import KeysStatus


@dataclass(frozen=True, slots=True)
class Readiness:
    """The state of a guard, for a health endpoint.

    `ready` is True when the guard can decide about every issuer's tokens. `policy` is the policy's digest,
    `observing_until` the ISO date on which observe mode ends (None when requirements are enforced), and `store` the
    state of the connection to the store (None without a store).
    """

    ready: bool
    keys: Mapping[str, KeysStatus]
    policy: str
    observing_until: str | None
    store: StoreStatus | None = None
