"""Issuing tokens with ten permissions of a catalogue, beside the bare signature over the same bytes by the same library."""

from __future__ import annotations

import jwt

from benchmarks.figures import Figure
from benchmarks.rounds import Distribution, measure
from benchmarks.scale import Scale
from benchmarks.workbench import SCOPES
from jwt_lp import Issuer, Policy, SigningKey
from jwt_lp.testing.authority import AUDIENCE, ISSUER

OPERATIONS = 60
ALGORITHMS = ("RS256", "ES256", "EdDSA")
SIGNATURES = 1.3
"""Issuing may cost this many bare signatures, and a number of microseconds."""


def run(scale: Scale) -> list[Figure]:
    """The figures for each algorithm."""
    return [figure for algorithm in ALGORITHMS for figure in _of_algorithm(algorithm, scale)]


def _of_algorithm(algorithm: str, scale: Scale) -> list[Figure]:
    key, number = SigningKey.generate(algorithm), scale.of(OPERATIONS)
    policy = Policy.from_mapping({"version": 1, "permissions": {scope: {} for scope in SCOPES}})
    issuer = Issuer(ISSUER, key, policy=policy, audience=AUDIENCE, client="bench")
    signing_input = issuer.issue("alice", permissions=SCOPES).rpartition(".")[0].encode()
    jwk = jwt.PyJWK(key.private_jwk())

    def sign(_: int) -> int:
        for _ in range(number):
            jwk.Algorithm.sign(signing_input, jwk.key)
        return number

    def issue(_: int) -> int:
        for _ in range(number):
            issuer.issue("alice", permissions=SCOPES)
        return number

    rounds = measure({"ours": issue, "bare signature": sign}, scale.rounds)
    surplus = Distribution.of(
        (issued - SIGNATURES * signed) * 1e6
        for issued, signed in zip(rounds.costs["ours"], rounds.costs["bare signature"], strict=True)
    )
    return [
        Figure.of_share(rounds, algorithm, "ours", "bare signature"),
        Figure(what=f"{algorithm}, beyond {SIGNATURES} bare signatures", unit="µs", value=surplus),
    ]
