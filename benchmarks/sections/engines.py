"""One question to a hundred rules: jwt-lp's `Guard.can` beside the enforcers of PyCasbin and Cedar.

Each engine has what it can prepare beforehand prepared: PyCasbin its model and policy, Cedar its policies and entities.
Questions that are asked: every rule in turn that grants (hits), and as many that no rule grants (misses).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from benchmarks.figures import Figure
from benchmarks.rounds import Work, measure
from benchmarks.scale import Scale
from benchmarks.workbench import logging_off
from jwt_lp import all_of
from jwt_lp.testing.authority import Authority

RULES: Final = 100
OURS: Final = 1000
THEIRS: Final = 20

Question = tuple[str, str, str]
"""An area, a thing in it, and an action."""

_CASBIN_MODEL: Final = """
[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.sub == p.sub && {object} && r.act == p.act
"""


def run(scale: Scale) -> list[Figure]:
    """The figures for rules that name a thing, and for rules that name all things of an area."""
    with logging_off():
        return [*_compare("exact rules", scale, wildcards=False), *_compare("wildcards", scale, wildcards=True)]


def _compare(rules: str, scale: Scale, *, wildcards: bool) -> list[Figure]:
    hits = [(f"area{number}", f"thing{number}", "read") for number in range(RULES)]
    misses = [(f"area{number}", f"thing{number}", "write") for number in range(RULES)]
    engines = {
        "ours": (_jwt_lp(hits, wildcards=wildcards), scale.of(OURS)),
        "PyCasbin": (_casbin(hits, wildcards=wildcards), scale.of(THEIRS)),
        "cedarpy": (_cedar(hits, wildcards=wildcards), scale.of(THEIRS)),
    }
    figures: list[Figure] = []
    for kind, questions in (("hits", hits), ("misses", misses)):
        works = {
            name: _work(prepare(questions), expected=kind == "hits", number=number)
            for name, (prepare, number) in engines.items()
        }
        rounds = measure(works, scale.rounds)
        figures += [Figure.of_times(rounds, f"{rules}, {kind}", "ours", peer) for peer in ("PyCasbin", "cedarpy")]
    return figures


Prepare = Callable[[Sequence[Question]], Sequence[Callable[[], bool]]]
"""Turns questions into calls that ask them, with nothing but the question itself left to do."""


def _work(asks: Sequence[Callable[[], bool]], *, expected: bool, number: int) -> Work:
    assert all(ask() is expected for ask in asks)

    def work(turn: int) -> int:
        for index in range(number):
            asks[(turn * number + index) % RULES]()
        return number

    return work


def _jwt_lp(rules: Sequence[Question], *, wildcards: bool) -> Prepare:
    # The rules stand in the policy, as they do for the others. A token may carry only 64 patterns itself.
    grants = [f"{area}:{'*' if wildcards else thing}:{action}" for area, thing, action in rules]
    authority = Authority(policy={"version": 1, "roles": {"reader": {"grants": grants}}})
    guard = authority.guard()
    token = guard.verifier.verify(authority.token("alice", roles=["reader"], lifetime=3600))

    def prepare(questions: Sequence[Question]) -> list[Callable[[], bool]]:
        requirements = [all_of(":".join(question)) for question in questions]
        return [partial(guard.can, token, requirement) for requirement in requirements]

    return prepare


def _casbin(rules: Sequence[Question], *, wildcards: bool) -> Prepare:
    import casbin

    model = casbin.Model()
    model.load_model_from_text(_CASBIN_MODEL.format(object="keyMatch(r.obj, p.obj)" if wildcards else "r.obj == p.obj"))
    enforcer = casbin.Enforcer(model)
    enforcer.add_policies([["alice", f"{area}/{'*' if wildcards else thing}", action] for area, thing, action in rules])

    def prepare(questions: Sequence[Question]) -> list[Callable[[], bool]]:
        wanted = [("alice", f"{area}/{thing}", action) for area, thing, action in questions]
        return [partial(enforcer.enforce, *question) for question in wanted]

    return prepare


def _cedar(rules: Sequence[Question], *, wildcards: bool) -> Prepare:
    import cedarpy

    policies = cedarpy.PolicySet.from_str(
        "\n".join(
            f'permit(principal == User::"alice", action == Action::"{action}", '
            + (f'resource in Area::"{area}");' if wildcards else f'resource == Thing::"{thing}");')
            for area, thing, action in rules
        )
    )
    things = [
        {"uid": {"type": "Thing", "id": thing}, "attrs": {}, "parents": [{"type": "Area", "id": area}]}
        for area, thing, _ in rules
    ]
    entities = cedarpy.Entities.from_json_str(json.dumps(things))

    def ask(request: dict[str, Any]) -> bool:
        return bool(cedarpy.is_authorized(request, policies, entities).allowed)

    def prepare(questions: Sequence[Question]) -> list[Callable[[], bool]]:
        requests: list[dict[str, Any]] = [
            {
                "principal": {"type": "User", "id": "alice"},
                "action": {"type": "Action", "id": action},
                "resource": {"type": "Thing", "id": thing},
                "context": {},
            }
            for _, thing, action in questions
        ]
        return [partial(ask, request) for request in requests]

    return prepare
