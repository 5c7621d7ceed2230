"""What elevation costs: requests of holders and of others, and refusals that say what may be asked for.

The tokens are of another issuer, and usage and revocations are on. The policy has a rule, and the store holds approved
elevations of other subjects.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from benchmarks.figures import Figure
from benchmarks.rounds import WARM_UP, Work, measure
from benchmarks.scale import Scale
from benchmarks.sections.warm import again
from benchmarks.workbench import CALL, ROUTE, SCOPES, WANTED, issue, logging_off, store_url
from jwt_lp import Elevation, Guard, Requirement, all_of
from jwt_lp.stores import ElevationChange, open_store
from jwt_lp.testing.authority import ISSUER, Authority

WARM: Final = 1000
COLD: Final = 20
REFUSED: Final = 100
OTHERS: Final = 1000
"""How many other subjects hold something by elevation."""

EXPORT: Final = "orders:export"
POLICY: Final = {
    "version": 1,
    "permissions": {name: {} for name in (*SCOPES, EXPORT, "stock:purge", "approve:orders")},
    "elevation": {
        "orders:*": {"ask": "anyone", "approve": "approve:orders"},
        "stock:purge": {"ask": ["subject:root"], "approve": "approve:orders"},
    },
}
ON: Final = {"ELEVATION": ["orders:**"]}
OFF: Final = "without ELEVATION"
NO_URL: Final = "without ELEVATION_URL"


def run(scale: Scale) -> list[Figure]:
    """The figures."""
    authority = Authority(algorithm="ES256", policy=POLICY)
    with logging_off(), ExitStack() as stack:
        url = stack.enter_context(store_of_holders(OTHERS))

        def guard(**settings: object) -> Guard:
            return stack.enter_context(authority.guard(OWN=False, STORE=url, SERVICE="api", **settings))

        off, on = guard(), guard(**ON)
        return [
            *_warm(authority, off, on, scale),
            *_cold(authority, off, on, scale),
            *_refused(authority, off, guard(**ON, ELEVATION_URL="/elevations"), scale),
        ]


@contextmanager
def store_of_holders(others: int) -> Iterator[str]:
    """The URL of a store in which alice and so many others hold something by elevation."""
    with store_url() as url:
        store, now = open_store(url), time.time()
        for name in ("alice", *(f"holder-{number}" for number in range(others))):
            asked = Elevation(
                id=f"e-{name}",
                issuer=ISSUER,
                subject=name,
                client=None,
                permission=EXPORT,
                asked_at=now,
                answer_by=now + 60,
                seconds=86_400,
            )
            store.ask(asked)
            store.change_elevation(
                ElevationChange(elevation=asked.id, action="approved", at=now, issuer=ISSUER, subject="manager")
            )
        store.close()
        yield url


def _warm(authority: Authority, off: Guard, on: Guard, scale: Scale) -> list[Figure]:
    """Tokens that were seen before: one that grants what is needed, and one whose subject holds it by elevation."""
    number = scale.of(WARM)
    standing = authority.token("carol", SCOPES, lifetime=3600)
    elevated = authority.token("alice", SCOPES, lifetime=3600)
    sides: dict[str, Work] = {
        OFF: again(off, standing, number),
        "others hold something": again(on, standing, number),
        "a holder, for what the token grants": again(on, elevated, number),
        "a holder, for what is held by elevation": again(on, elevated, number, EXPORT),
    }
    return _shares(sides, OFF, "seen before", scale)


def _cold(authority: Authority, off: Guard, on: Guard, scale: Scale) -> list[Figure]:
    """Tokens that were never seen, of subjects that hold nothing by elevation."""
    number = scale.of(COLD)
    needed = number * (scale.rounds + WARM_UP)
    tokens = issue(authority, needed)
    sides: dict[str, Work] = {OFF: _each(off, tokens, number), "others hold something": _each(on, tokens, number)}
    return _shares(sides, OFF, "never seen", scale)


def _refused(authority: Authority, off: Guard, offering: Guard, scale: Scale) -> list[Figure]:
    """Requests for what the token does not grant, of a subject that may ask for it, and of one that may not."""
    token, number = authority.token("carol", SCOPES, lifetime=3600), scale.of(REFUSED)
    sides: dict[str, Work] = {
        NO_URL: _refusals(off, token, all_of(EXPORT), number),
        "the caller may ask": _refusals(offering, token, all_of(EXPORT), number),
        "only others may ask": _refusals(offering, token, all_of("stock:purge"), number),
        "nobody may ask": _refusals(offering, token, all_of("stock:take"), number),
    }
    return _shares(sides, NO_URL, "refused", scale)


def _shares(sides: dict[str, Work], base: str, what: str, scale: Scale) -> list[Figure]:
    rounds = measure(sides, scale.rounds)
    return [Figure.of_share(rounds, f"{what}, {side}", side, base) for side in sides if side != base]


def _each(guard: Guard, tokens: Sequence[str], number: int) -> Work:
    requirement, params = all_of(WANTED), dict[str, Any]()

    def work(turn: int) -> int:
        for token in tokens[turn * number : (turn + 1) * number]:
            assert guard.check(f"Bearer {token}", requirement, params, ROUTE, call=CALL).passes
        return number

    return work


def _refusals(guard: Guard, token: str, requirement: Requirement, number: int) -> Work:
    header, params = f"Bearer {token}", dict[str, Any]()

    def work(_: int) -> int:
        for _ in range(number):
            assert guard.check(header, requirement, params, ROUTE, call=CALL).refusal is not None
        return number

    return work
