"""The guard decides about the endpoint that Starlette calls, for random sets of routes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("starlette")

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Mount, Route, Router

from hosts.asgi_calls import acall
from jwt_lp.testing.authority import Authority
from jwt_lp_starlette import LeastPrivilege, public, requires

pytestmark = pytest.mark.host

SEGMENTS = ["a", "a", "b", "", "{x}", "{x}", "{x:int}", "a{x}", "{x}b"]
ASKED = ["a", "a", "a", "b", "b", "1", "ab", "", "a%0A"]


class Plan:
    """A router generated from a seed, with or without declarations; the same seed gives the same routes."""

    def __init__(self, seed: int, ran: list[int]) -> None:
        self.seed = seed
        self.ran = ran

    def build(self, declare: Callable[[int, Any], Any]) -> Starlette:
        self.random, self.count = random.Random(self.seed), 0
        return Starlette(routes=self._routes(2, declare))

    def _routes(self, depth: int, declare: Callable[[int, Any], Any]) -> list[BaseRoute]:
        return [self._route(depth, declare) for _ in range(self.random.randint(3, 8))]

    def _route(self, depth: int, declare: Callable[[int, Any], Any]) -> BaseRoute:
        self.count += 1
        number = self.count
        parts = [part.replace("x", f"x{number}{at}") for at, part in enumerate(self._some(SEGMENTS, 1, 2))]
        path = "/" + "/".join(parts)
        if depth and self.random.random() < 0.3:
            routes = self._routes(depth - 1, declare)
            app: Any = self.random.choice([Router, Starlette])(routes=routes)
            return Mount(path.rstrip("/"), app=app)
        path += self.random.choice(["", "", "/", f"/{{rest{number}:path}}"])

        async def view(request: Any) -> PlainTextResponse:
            self.ran.append(number)
            return PlainTextResponse(str(number))

        return Route(path, declare(number, view), methods=self.random.choice([None, None, ["GET"], ["POST"]]))

    def _some(self, among: list[str], least: int, most: int) -> list[str]:
        return [self.random.choice(among) for _ in range(self.random.randint(least, most))]

    def request(self) -> tuple[str, str]:
        path = "/" + "/".join(self._some(ASKED, 0, 3)) + self.random.choice(["", "", "/", "%0A"])
        return self.random.choice(["GET", "GET", "POST", "HEAD", "PUT"]), path


@pytest.mark.parametrize("block", range(8))
def test_the_endpoint_that_runs_is_the_one_that_was_checked(block: int) -> None:
    """Public endpoints run as without the guard; the others never run. Other answers are Starlette's."""
    asyncio.run(_compare(range(block * 25, block * 25 + 25)))


async def _compare(seeds: range) -> None:
    authority, matched = Authority(), 0
    for seed in seeds:
        ran: list[int] = []
        plan = Plan(seed, ran)
        bare = plan.build(lambda number, view: view)
        guarded = plan.build(lambda number, view: public(view) if number % 2 else requires("x")(view))
        LeastPrivilege(guarded, authority.settings())
        for _ in range(25):
            request = plan.request()
            expected, called = (await acall(bare, *request)).status, [*ran]
            ran.clear()
            status = (await acall(guarded, *request)).status
            closed = [number for number in called if not number % 2]
            assert (401 if closed else expected, [] if closed else called) == (status, ran), (seed, request)
            matched += len(called)
            ran.clear()
    assert matched > 50
