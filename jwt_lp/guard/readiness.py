"""The state of a guard, for health endpoints and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jwt_lp.jose.jwks import KeysStatus
    from jwt_lp.usage.recorder import RecorderStatus


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """The state of a guard's connection to its store.

    `known` says whether the revocations are known well enough to decide at all. `sequence` is the number of the last
    change received, `age` the seconds since the store last answered (None: never), `revocations` the number of
    entries, and `temporary_grants` that of the temporary grants in force, of whatever subject. `recording` is the state
    of the usage recorder. `running` says whether the background thread runs in this process: without it no change is
    received and no usage is written.
    """

    known: bool
    sequence: int
    age: float | None
    revocations: int
    recording: RecorderStatus
    running: bool = True
    temporary_grants: int = 0


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
