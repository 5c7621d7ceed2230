"""How fast is a decision, and a token made, held against PyJWT alone?

Both sides run in one process, in interleaved rounds and in alternating order, so that what else the machine
does falls on both. Each line is the median of the rounds' ratios, with the quartiles beside it; microseconds are
there for scale and mean little on another machine.
"""

from __future__ import annotations

import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable

import jwt

from jwt_lp import Guard, InvalidToken, Issuer, Policy, SigningKey, all_of
from jwt_lp.revocation.entries import RevocationEntry
from jwt_lp.stores import open_store
from jwt_lp.testing.authority import AUDIENCE, ISSUER, Authority

ROUNDS = 31
COLD = 80
WARM = 200
SCOPES = [f"orders:{number}:read" for number in range(10)]
WANTED = SCOPES[3]


def main() -> None:
    """Print one line a measurement."""
    logging.disable(logging.CRITICAL)
    print(
        f"Python {sys.version.split()[0]}, PyJWT {jwt.__version__}, {ROUNDS} interleaved rounds, tokens with 10 permissions"
    )
    for algorithm in ("RS256", "ES256", "EdDSA", "HS256"):
        authority = Authority(algorithm=algorithm)
        guard = authority.guard()
        requirement = all_of(WANTED)
        tokens = [authority.token(permissions=SCOPES) for _ in range(COLD * (ROUNDS + 1))]
        headers = {token: f"Bearer {token}" for token in tokens}
        decode = _peer(authority, algorithm)

        # What is looked at for taken-back permissions, and counted, on a store of its own.
        folder = tempfile.TemporaryDirectory()
        remembering = _remembering(authority, folder.name)

        def ours(token: str) -> None:
            assert guard.check(headers[token], requirement, {}, "GET /orders").passes  # noqa: B023 - called at once

        def warm(token: str) -> None:
            header = headers[token]  # noqa: B023 - called at once
            for _ in range(WARM):
                assert guard.check(header, requirement, {}, "GET /orders").passes  # noqa: B023

        def remembered(token: str) -> None:
            header = headers[token]  # noqa: B023
            for _ in range(WARM):
                assert remembering.check(header, requirement, {}, "GET /orders").passes  # noqa: B023

        # A token that was never seen: the whole way is gone each time. Then the last one again and again.
        _show(f"{algorithm}, a token never seen", decode, ours, tokens, 1)
        _show(f"{algorithm}, the same token again", decode, warm, [tokens[-1]] * (ROUNDS + 1) * 5, WARM)
        _show(f"{algorithm}, again, with a store", decode, remembered, [tokens[-1]] * (ROUNDS + 1) * 5, WARM)
        remembering.close()
        folder.cleanup()
    _oversized(authority)
    for algorithm in ("RS256", "ES256", "EdDSA"):
        _issued(algorithm)


def _remembering(authority: Authority, folder: str) -> Guard:
    """A guard that counts, and to which something of others was revoked."""
    url = f"sqlite:///{folder}/store.db"
    store = open_store(url)
    taken = [
        RevocationEntry(id=f"e{number}", of="subject", issuer=ISSUER, name=f"user-{number}", pattern="orders:**")
        for number in range(1000)
    ]
    store.revoke(taken, at=time.time())
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
    """Let both sides go through the tokens, a round's share at a time; a call of ours makes `decisions`."""
    share = len(tokens) // (ROUNDS + 1)
    ratios: list[float] = []
    costs: list[float] = []
    for number in range(ROUNDS + 1):
        batch = tokens[number * share : (number + 1) * share]
        # Who goes first changes every round.
        if number % 2:
            theirs, mine = _time(peer, batch), _time(ours, batch) / decisions
        else:
            mine, theirs = _time(ours, batch) / decisions, _time(peer, batch)
        if number:  # the first round warms up
            ratios.append(theirs / mine)
            costs.append(mine)
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(f"{what:32} {middle:6.2f} times as fast ({low:.2f} to {high:.2f}), {statistics.median(costs) * 1e6:6.1f} µs")


def _time(work: Callable[[str], None], tokens: list[str]) -> float:
    begun = time.perf_counter()
    for token in tokens:
        work(token)
    return (time.perf_counter() - begun) / len(tokens)


def _oversized(authority: Authority) -> None:
    guard = authority.guard()
    huge = "A" * 1_000_000

    def refuse(token: str) -> None:
        try:
            guard.verifier.verify(token)  # what the header's parser costs is not the question
        except InvalidToken:
            return

    costs = [_time(refuse, [huge] * 10) for _ in range(ROUNDS)]
    print(f"{'a token of 1 MB is refused in':32} {statistics.median(costs) * 1e6:.1f} µs")


def _issued(algorithm: str) -> None:
    """Hold issuing a token against the bare signature over the same bytes, by the same library."""
    key = SigningKey.generate(algorithm)
    policy = Policy.from_mapping({"version": 1, "permissions": {each: {} for each in SCOPES}})
    issuer = Issuer(ISSUER, key, policy=policy, audience=AUDIENCE, client="bench")
    signing_input = issuer.issue("alice", permissions=SCOPES).rpartition(".")[0].encode()
    pair = jwt.PyJWK(key.private_jwk())

    def bare(_: str) -> None:
        pair.Algorithm.sign(signing_input, pair.key)

    def issue(subject: str) -> None:
        issuer.issue(subject, permissions=SCOPES)

    subjects = ["alice"] * COLD
    more: list[float] = []
    for number in range(ROUNDS + 1):
        if number % 2:
            signed, issued = _time(bare, subjects), _time(issue, subjects)
        else:
            issued, signed = _time(issue, subjects), _time(bare, subjects)
        if number:
            more.append(issued - 1.3 * signed)
    low, middle, high = (each * 1e6 for each in statistics.quantiles(more, n=4))
    print(
        f"{algorithm + ', issued':32} 1.3 bare signatures and {middle:.0f} µs ({low:.0f} to {high:.0f}), "
        f"{statistics.median(more) * 1e6 + 1.3 * signed * 1e6:6.1f} µs"
    )


if __name__ == "__main__":
    main()
