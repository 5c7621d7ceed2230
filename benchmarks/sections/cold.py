"""Decisions about tokens that the process never saw: header, signature, claims and requirement."""

from __future__ import annotations

import warnings
from collections.abc import Callable

from benchmarks import peers
from benchmarks.figures import Figure
from benchmarks.rounds import WARM_UP, Work, measure
from benchmarks.scale import Scale
from benchmarks.workbench import ALGORITHMS, CALL, ROUTE, WANTED, guard_with_store, issue, logging_off
from jwt_lp import Guard, all_of
from jwt_lp.testing.authority import Authority

OPERATIONS = 80


def run(scale: Scale) -> list[Figure]:
    """The figures for each algorithm."""
    with logging_off(), warnings.catch_warnings():
        # joserfc warns about `EdDSA`, PyJWT's name of the algorithm Ed25519.
        warnings.simplefilter("ignore")
        return [figure for algorithm in ALGORITHMS for figure in _of_algorithm(algorithm, scale)]


def _of_algorithm(algorithm: str, scale: Scale) -> list[Figure]:
    authority, share = Authority(algorithm=algorithm), scale.of(OPERATIONS)
    tokens = issue(authority, share * (scale.rounds + WARM_UP))

    def over_tokens(decide: Callable[[str], object]) -> Work:
        def work(number: int) -> int:
            for token in tokens[number * share : (number + 1) * share]:
                decide(token)
            return share

        return work

    with authority.guard() as guard, guard_with_store(authority) as recording:
        sides = {
            "ours": over_tokens(_decide(guard)),
            "with a store": over_tokens(_decide(recording)),
            "PyJWT": over_tokens(_allowed(peers.pyjwt(authority, WANTED))),
            "joserfc": over_tokens(_allowed(peers.joserfc(authority, WANTED))),
            "bare verification": over_tokens(peers.bare_verification(authority, tokens)),
        }
        rounds = measure(sides, scale.rounds)
    return [
        Figure.of_times(rounds, algorithm, "ours", "PyJWT"),
        Figure.of_times(rounds, algorithm, "ours", "joserfc"),
        Figure.of_extra(rounds, algorithm, "ours", "bare verification"),
        Figure.of_times(rounds, f"{algorithm}, with a store", "with a store", "PyJWT"),
    ]


def _decide(guard: Guard) -> Callable[[str], None]:
    check, requirement, params = guard.check, all_of(WANTED), dict[str, object]()

    def decide(token: str) -> None:
        assert check(f"Bearer {token}", requirement, params, ROUTE, call=CALL).passes

    return decide


def _allowed(decide: peers.Decide) -> Callable[[str], None]:
    def allowed(token: str) -> None:
        assert decide(token)

    return allowed
