"""Benchmark of decisions and of issuing tokens, compared with PyJWT alone.

Both sides run in one process, in interleaved rounds and in alternating order, so that other load on the machine affects
both. Each line is the median of the rounds' ratios with its quartiles; the microseconds only show the scale.
"""

from __future__ import annotations

import logging
import statistics
import sys
import tempfile
import time
from typing import TYPE_CHECKING

import jwt

from jwt_lp import Guard, InvalidToken, Issuer, Policy, SigningKey, all_of
from jwt_lp.revocation.entries import RevocationEntry
from jwt_lp.stores import open_store
from jwt_lp.testing.authority import AUDIENCE, ISSUER, Authority

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 31
COLD = 80
WARM = 200
SCOPES = [f"orders:{number}:read" for number in range(10)]
WANTED = SCOPES[3]


def main() -> None:
    """Print one line for each measurement."""
    logging.disable(logging.CRITICAL)
    print(
        f"Python {sys.version.split()[0]}, PyJWT {jwt.__version__}, {ROUNDS} interleaved rounds, "
        "tokens with 10 permissions"
    )
    for algorithm in ("RS256", "ES256", "EdDSA", "HS256"):
        authority = Authority(algorithm=algorithm)
        guard = authority.guard()
        requirement = all_of(WANTED)
        tokens = [authority.token(permissions=SCOPES) for _ in range(COLD * (ROUNDS + 1))]
        headers = {token: f"Bearer {token}" for token in tokens}
        decode = _peer(authority, algorithm)

        # A second guard with a store checks revocations and records usage.
        folder = tempfile.TemporaryDirectory()
        guard_with_store = _guard_with_store(authority, folder.name)

        def cold(token: str) -> None:
            assert guard.check(headers[token], requirement, {}, "GET /orders").passes  # noqa: B023 - called at once

        def warm(token: str) -> None:
            header = headers[token]  # noqa: B023 - called at once
            for _ in range(WARM):
                assert guard.check(header, requirement, {}, "GET /orders").passes  # noqa: B023

        def warm_with_store(token: str) -> None:
            header = headers[token]  # noqa: B023
            for _ in range(WARM):
                assert guard_with_store.check(header, requirement, {}, "GET /orders").passes  # noqa: B023

        # First new tokens, which are verified in full; then the last one again and again.
        _show(f"{algorithm}, a token never seen", decode, cold, tokens, 1)
        _show(f"{algorithm}, the same token again", decode, warm, [tokens[-1]] * (ROUNDS + 1) * 5, WARM)
        _show(f"{algorithm}, again, with a store", decode, warm_with_store, [tokens[-1]] * (ROUNDS + 1) * 5, WARM)
        guard_with_store.close()
        folder.cleanup()
    _show_oversized(authority)
    for algorithm in ("RS256", "ES256", "EdDSA"):
        _show_issuing(algorithm)


def _guard_with_store(authority: Authority, folder: str) -> Guard:
    """A guard with a store that has revocations of other subjects."""
    url = f"sqlite:///{folder}/store.db"
    store = open_store(url)
    entries = [
        RevocationEntry(id=f"e{number}", of="subject", issuer=ISSUER, name=f"user-{number}", pattern="orders:**")
        for number in range(1000)
    ]
    store.revoke(entries, at=time.time())
    store.close()
    return authority.guard(STORE=url)


def _peer(authority: Authority, algorithm: str) -> Callable[[str], None]:
    key = jwt.PyJWK(authority.key.public_jwk())
    options = {"require": ["exp", "iat", "iss", "sub", "aud"]}

    def decode(token: str) -> None:
        claims = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=AUDIENCE,
            issuer=ISSUER,
            options=options,  # type: ignore[arg-type]
        )
        assert WANTED in set(claims["scope"].split())

    return decode


def _show(
    what: str, peer: Callable[[str], None], ours: Callable[[str], None], tokens: list[str], decisions: int
) -> None:
    """Time both sides on the tokens, one share for each round; one call of `ours` makes so many `decisions`."""
    share = len(tokens) // (ROUNDS + 1)
    ratios: list[float] = []
    costs: list[float] = []
    for number in range(ROUNDS + 1):
        batch = tokens[number * share : (number + 1) * share]
        # The side that goes first changes every round.
        if number % 2:
            peer_cost, our_cost = _time(peer, batch), _time(ours, batch) / decisions
        else:
            our_cost, peer_cost = _time(ours, batch) / decisions, _time(peer, batch)
        if number:  # the first round warms up
            ratios.append(peer_cost / our_cost)
            costs.append(our_cost)
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(f"{what:32} {middle:6.2f} times as fast ({low:.2f} to {high:.2f}), {statistics.median(costs) * 1e6:6.1f} µs")


def _time(work: Callable[[str], None], tokens: list[str]) -> float:
    start = time.perf_counter()
    for token in tokens:
        work(token)
    return (time.perf_counter() - start) / len(tokens)


def _show_oversized(authority: Authority) -> None:
    guard = authority.guard()
    huge = "A" * 1_000_000

    def refuse(token: str) -> None:
        try:
            guard.verifier.verify(token)  # without the parser of the header
        except InvalidToken:
            return

    costs = [_time(refuse, [huge] * 10) for _ in range(ROUNDS)]
    print(f"{'a token of 1 MB is refused in':32} {statistics.median(costs) * 1e6:.1f} µs")


def _show_issuing(algorithm: str) -> None:
    """Compare issuing a token with the bare signature over the same bytes by the same library."""
    key = SigningKey.generate(algorithm)
    policy = Policy.from_mapping({"version": 1, "permissions": {scope: {} for scope in SCOPES}})
    issuer = Issuer(ISSUER, key, policy=policy, audience=AUDIENCE, client="bench")
    signing_input = issuer.issue("alice", permissions=SCOPES).rpartition(".")[0].encode()
    jwk = jwt.PyJWK(key.private_jwk())

    def sign(_: str) -> None:
        jwk.Algorithm.sign(signing_input, jwk.key)

    def issue(subject: str) -> None:
        issuer.issue(subject, permissions=SCOPES)

    subjects = ["alice"] * COLD
    surplus: list[float] = []
    for number in range(ROUNDS + 1):
        if number % 2:
            signed, issued = _time(sign, subjects), _time(issue, subjects)
        else:
            issued, signed = _time(issue, subjects), _time(sign, subjects)
        if number:
            surplus.append(issued - 1.3 * signed)
    low, middle, high = (cost * 1e6 for cost in statistics.quantiles(surplus, n=4))
    print(
        f"{algorithm + ', issued':32} 1.3 bare signatures and {middle:.0f} µs ({low:.0f} to {high:.0f}), "
        f"{statistics.median(surplus) * 1e6 + 1.3 * signed * 1e6:6.1f} µs"
    )


if __name__ == "__main__":
    main()
