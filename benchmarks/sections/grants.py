"""Decisions with many grants, patterns, roles and routes, and with requirements of many permissions.

The token was seen before, and usage and revocations are on, unless a figure says otherwise. With a store a decision about
one permission is kept, without one it is made each time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256

from benchmarks.figures import Figure
from benchmarks.rounds import WARM_UP, Work, measure
from benchmarks.scale import Scale
from benchmarks.workbench import CALL, guard_with_store, logging_off
from jwt_lp import Guard, Requirement, all_of, any_of
from jwt_lp.testing.authority import Authority

OPERATIONS = 1000
COLD = 10
COUNTS = (10, 100, 1000)
MANY = 100_000


@dataclass(frozen=True, slots=True)
class Case:
    """A token, and the requirements that it meets, on routes of their own."""

    what: str
    permissions: Sequence[str]
    requirements: Sequence[Requirement]
    roles: Sequence[str] = ()
    policy: object = None


def cases() -> list[Case]:
    """Every case except those that count grants."""
    roles = {f"r{number}": {"grants": [f"area-{number}:read"]} for number in range(1000)}
    book = {"book": {"grants": [f"orders:{number}:read" for number in range(MANY)]}}
    return [
        Case("64 patterns, the last one meets it", [f"a{each}:*:read" for each in range(64)], [all_of("a63:x:read")]),
        Case("any of 50, the last one is held", ["a49:read"], [any_of(*(f"a{each}:read" for each in range(50)))]),
        Case("all of 10", [f"a{each}:read" for each in range(10)], [all_of(*(f"a{each}:read" for each in range(10)))]),
        Case(
            "100,000 grants, and a wildcard meets it",
            ["orders:*:ship"],
            [all_of("orders:7:ship")],
            roles=["book"],
            policy={"version": 1, "roles": book},
        ),
        Case(
            "1,000 roles, the last one confers it",
            [],
            [all_of("area-999:read")],
            roles=list(roles),
            policy={"version": 1, "roles": roles},
        ),
        Case("1,000 routes", ["area:*:read"], [all_of(f"area:{number}:read") for number in range(1000)]),
    ]


def run(scale: Scale) -> list[Figure]:
    """The figures of each case."""
    with logging_off():
        return [*_counts(scale), *_first_sight(scale), *_cases(scale)]


def _counts(scale: Scale) -> list[Figure]:
    """The same decision with more and more grants, and the part of it that grows: the digest of the token's text."""
    authority, few = Authority(), COUNTS[0]
    works: dict[str, Work] = {}
    with guard_with_store(authority) as guard:
        for number in COUNTS:
            case = Case("", _names(number), [all_of(_names(number)[-1])])
            works[f"{number}"] = _work(authority, guard, case, scale.of(OPERATIONS))
            works[_digest(number)] = _digests(authority.token("alice", case.permissions), scale.of(OPERATIONS))
        rounds = measure(works, scale.rounds)
    rest = rounds.added({f"{number}": _digest(number) for number in COUNTS})
    quiet = rounds.quiet_half().added({f"{number}": _digest(number) for number in COUNTS})
    against = f"{few} grants"
    return [
        *(Figure.of_cost(rounds, f"{number:,} grants", f"{number}") for number in COUNTS),
        *(Figure.of_cost(rounds, f"{number:,} grants, the digest alone", _digest(number)) for number in COUNTS),
        *(
            Figure.of_share(rounds, f"{number:,} grants", f"{number}", f"{few}", against=against)
            for number in COUNTS[1:]
        ),
        *(
            Figure.of_share(
                rest, f"{number:,} grants, without the digest", f"{number}", f"{few}", against=against, quiet=quiet
            )
            for number in COUNTS[1:]
        ),
    ]


def _digest(number: int) -> str:
    return f"digest, {number}"


def _digests(token: str, number: int) -> Work:
    """So many digests of a token, as the cache needs one for each request."""

    def work(_: int) -> int:
        for _ in range(number):
            sha256(token.encode()).digest()
        return number

    return work


def _first_sight(scale: Scale) -> list[Figure]:
    """What each further grant adds when a token is seen for the first time, with grants that no token had before."""
    authority, share, (few, *_, many) = Authority(algorithm="HS256"), scale.of(COLD), COUNTS
    number = share * (scale.rounds + WARM_UP)

    def work(guard: Guard, grants: int) -> Work:
        names = [_names(grants, token) for token in range(number)]
        headers = [authority.headers("alice", each, lifetime=3600)["Authorization"] for each in names]
        requirements = [all_of(each[-1]) for each in names]

        def decide(turn: int) -> int:
            for index in range(turn * share, (turn + 1) * share):
                assert guard.check(headers[index], requirements[index], {}, "GET /things", call=CALL).passes
            return share

        return decide

    with authority.guard() as guard:
        rounds = measure({"few": work(guard, few), "many": work(guard, many)}, scale.rounds)
    further = many - few
    each = Figure.of_extra(rounds, "each further grant at first sight", "many", "few")
    return [
        Figure(
            what=each.what,
            unit="µs",
            value=type(each.value)(*(value / further for value in each.value)),
            quiet=None if each.quiet is None else each.quiet / further,
        )
    ]


def _cases(scale: Scale) -> list[Figure]:
    with ExitStack() as stack:
        works: dict[str, Work] = {}
        for case in cases():
            authority = Authority(policy=case.policy)
            recording = stack.enter_context(guard_with_store(authority))
            guard = stack.enter_context(authority.guard())
            works[case.what] = _work(authority, recording, case, scale.of(OPERATIONS))
            works[f"{case.what}; no store"] = _work(authority, guard, case, scale.of(OPERATIONS))
        rounds = measure(works, scale.rounds)
    return [Figure.of_cost(rounds, what, what) for what in works]


def _work(authority: Authority, guard: Guard, case: Case, number: int) -> Work:
    """So many decisions, over the case's requirements in turn."""
    header = authority.headers("alice", case.permissions, case.roles, lifetime=3600)["Authorization"]
    routes = [(requirement, f"GET /things/{index}") for index, requirement in enumerate(case.requirements)]
    turns = (routes * (number // len(routes) + 1))[:number]
    check: Callable[..., object] = guard.check
    for requirement, route in routes:
        assert guard.check(header, requirement, {}, route, call=CALL).passes

    def work(_: int) -> int:
        for requirement, route in turns:
            check(header, requirement, {}, route, call=CALL)
        return number

    return work


def _names(number: int, token: int = 0) -> list[str]:
    """Different short permissions, so that a thousand of them fit into a token."""
    return [f"{token:x}g{index}:r" for index in range(number)]
