"""Django Ninja: operations that declare what they require, and those that do not."""

# ruff: noqa: E402 - Django reads its settings first

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import pytest

pytest.importorskip("django")
from hosts.django_setup import AUTHORITY, configure, project

configure()
# It reads Django's settings when it is imported.
pytest.importorskip("ninja")

from django.http import HttpRequest
from django.test import AsyncClient, Client
from django.urls import path, resolve
from ninja import NinjaAPI, Router, Schema
from ninja.streaming import JSONL

from jwt_lp import Guard
from jwt_lp_django import authenticated, enforce, guarded, public, requires
from jwt_lp_django.guard_access import guard_from
from jwt_lp_django.ninja_views import operations_of
from jwt_lp_django.routes import all_routes, host

pytestmark = pytest.mark.host

CALLED: list[Any] = []


class Order(Schema):
    """The body of a POST."""

    name: str


def new_api(**more: Any) -> NinjaAPI:
    # Ninja asks for a name of its own for each API in a process.
    return NinjaAPI(urls_namespace=f"api-{secrets.token_hex(4)}", **more)


def keeps_attributes(function: Any) -> Any:
    @wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return inner


def make_api() -> NinjaAPI:
    api, router = new_api(docs_decorator=public), Router()
    CALLED.clear()

    @api.get("/orders/{order_id}")
    @requires("orders:{order_id}:read")
    def order(request: HttpRequest, order_id: int, q: str = "") -> dict[str, Any]:
        CALLED.append(order_id)
        return {"order": order_id, "q": q}

    @api.post("/orders/{order_id}")
    @requires("orders:{order_id}:write")
    def change(request: HttpRequest, order_id: int, body: Order) -> dict[str, Any]:
        CALLED.append(body.name)
        return {"order": order_id, "name": body.name}

    @api.get("/open")
    @public
    def everybody(request: HttpRequest) -> dict[str, Any]:
        return {"ok": True}

    @api.get("/undeclared")
    def undeclared(request: HttpRequest) -> dict[str, Any]:
        CALLED.append("undeclared")
        return {"ok": True}

    @api.api_operation(["GET", "PATCH"], "/two")
    @keeps_attributes
    @requires("two:use")
    def two(request: HttpRequest) -> dict[str, Any]:
        return {"ok": True}

    @router.get("/inside")
    @authenticated
    def inside(request: HttpRequest, held: str = "inside:more") -> dict[str, Any]:
        enforce(request, held)
        CALLED.append("inside")
        return {"subject": request.user.get_username()}

    @router.get("/caught")
    @authenticated
    def caught(request: HttpRequest) -> dict[str, Any]:
        try:
            enforce(request, "caught:use")
        except Exception:  # noqa: BLE001 - as careless code does
            CALLED.append("caught")
        return {"ok": True}

    @router.get("/later")
    @requires("later:use")
    async def later(request: HttpRequest) -> dict[str, Any]:
        CALLED.append("later")
        return {"ok": True}

    api.add_router("/more", router)
    return api


@contextmanager
def served(**more: Any) -> Iterator[None]:
    with project(path("api/", make_api().urls), **more):
        yield


def ask(method: str, url: str, *permissions: str, **more: Any) -> tuple[int, Any]:
    headers = AUTHORITY.headers("alice", permissions) if permissions else {}
    answer = Client().generic(method, f"/api{url}", headers=headers, content_type="application/json", **more)
    kind = answer.headers.get("Content-Type", "")
    return answer.status_code, answer.json() if kind.startswith("application/json") else kind


BODY = {"data": '{"name": "tea"}'}
PROBLEM = "application/problem+json"


@pytest.mark.parametrize(
    ("method", "url", "permissions", "more", "expected"),
    [
        ("GET", "/orders/7?q=x", ["orders:7:read"], {}, (200, {"order": 7, "q": "x"})),
        ("GET", "/orders/7", ["orders:8:read"], {}, (403, PROBLEM)),
        ("GET", "/orders/7", [], {}, (401, PROBLEM)),
        ("GET", "/orders/7", ["orders:7:write"], {}, (403, PROBLEM)),
        ("POST", "/orders/7", ["orders:7:write"], BODY, (200, {"order": 7, "name": "tea"})),
        ("POST", "/orders/7", ["orders:7:read"], BODY, (403, PROBLEM)),
        ("POST", "/orders/7?order_id=8", ["orders:8:write"], BODY, (403, PROBLEM)),
        ("DELETE", "/orders/7", ["orders:**"], {}, (405, "text/html; charset=utf-8")),
        ("HEAD", "/orders/7", ["orders:**"], {}, (405, "text/html; charset=utf-8")),
        ("GET", "/open", [], {}, (200, {"ok": True})),
        ("GET", "/undeclared", ["**"], {}, (403, PROBLEM)),
        ("GET", "/two", ["two:use"], {}, (200, {"ok": True})),
        ("PATCH", "/two", ["two:use"], {}, (200, {"ok": True})),
        ("PATCH", "/two", ["three:use"], {}, (403, PROBLEM)),
        ("GET", "/more/inside", ["inside:more"], {}, (200, {"subject": "alice"})),
        ("GET", "/more/inside", ["inside:less"], {}, (403, PROBLEM)),
        ("GET", "/more/caught", ["x"], {}, (403, PROBLEM)),
        ("GET", "/more/later", ["later:use"], {}, (200, {"ok": True})),
        ("GET", "/more/later", ["x"], {}, (403, PROBLEM)),
        ("GET", "/nowhere", ["**"], {}, (404, "text/html; charset=utf-8")),
    ],
)
def test_operations(method: str, url: str, permissions: list[str], more: Any, expected: tuple[int, Any]) -> None:
    """Each operation has its own requirement, also beside others of its path; without one it is refused."""
    with served():
        assert expected == ask(method, url, *permissions, **more)
    assert expected[0] == 200 or CALLED in ([], ["caught"])


def test_operations_on_an_event_loop() -> None:
    """The same under ASGI, for synchronous and asynchronous operations."""

    async def codes() -> list[int]:
        client = AsyncClient()
        headers = AUTHORITY.headers("alice", ["later:use", "orders:7:read"])
        urls = ("/api/more/later", "/api/orders/7", "/api/orders/8", "/api/undeclared")
        return [(await client.get(url, headers=headers)).status_code for url in urls]

    with served():
        assert [200, 200, 403, 403] == asyncio.run(codes())


@pytest.mark.parametrize("url", ["/orders/007", "/orders/%207", "/orders/+7", "/orders/7.0"])
def test_the_requirement_is_about_what_the_operation_receives(url: str) -> None:
    """Ninja reads 007 as 7, so the token must hold the permission for 7, and for what the path says."""
    with served():
        assert 200 != ask("GET", url, "orders:7:read")[0]
        assert 200 != ask("GET", url, "orders:007:read")[0]
    assert [] == CALLED


def test_one_request_is_one_decision() -> None:
    """The declaration is decided once, before the operation is called, although Ninja converts the parameters."""
    routes: list[str] = []
    with served():
        guard: Guard = guard_from()
        guard.listen(lambda decision, call: routes.append(decision.route))
        assert 200 == ask("GET", "/orders/7", "orders:7:read")[0]
        assert 200 == ask("POST", "/orders/7", "orders:7:write", **BODY)[0]
        assert 200 == ask("GET", "/orders/007", "orders:**")[0]
    label = "/api/orders/{order_id}"
    assert [f"GET {label}", f"POST {label}", f"GET {label}", f"GET {label}"] == routes


def test_the_routes_are_listed_once_with_their_requirements() -> None:
    """Each method of a path has its own line, whose endpoint is the operation."""
    with served():
        found = {
            (method, route.template): (None if route.requirement is None else str(route.requirement), route.endpoint)
            for route in all_routes()
            for method in route.methods or ("*",)
        }
        listed = [(method, route.template) for route in all_routes() for method in route.methods or ("*",)]
        resolved, params = host.resolve(None, "POST", "/api/orders/7") or pytest.fail("no route")
    requirements = {key: value[0] for key, value in found.items() if key[1].startswith("/api/")}
    assert {
        ("GET", "/api/orders/{order_id}"): "orders:{order_id}:read",
        ("POST", "/api/orders/{order_id}"): "orders:{order_id}:write",
        ("GET", "/api/open"): "public",
        ("GET", "/api/undeclared"): None,
        ("GET", "/api/two"): "two:use",
        ("PATCH", "/api/two"): "two:use",
        ("GET", "/api/more/inside"): "authenticated",
        ("GET", "/api/more/caught"): "authenticated",
        ("GET", "/api/more/later"): "later:use",
        ("GET", "/api/openapi.json"): "public",
        ("HEAD", "/api/openapi.json"): "public",
        ("GET", "/api/docs"): "public",
        ("HEAD", "/api/docs"): "public",
        ("*", "/api/"): None,
    } == requirements
    assert len(set(listed)) == len(listed)
    assert found["GET", "/api/orders/{order_id}"][1].endswith("make_api.<locals>.order")
    assert ("orders:{order_id}:write", {"order_id": "7"}) == (str(resolved.requirement), params)


def test_an_include_declares_what_has_no_declaration() -> None:
    """`guarded(api.urls, ...)` is for the operations that say nothing; those that do keep their own."""
    with project(path("api/", guarded(make_api().urls, "api:use"))):
        assert 200 == ask("GET", "/undeclared", "api:use")[0]
        assert 403 == ask("GET", "/undeclared", "x")[0]
        assert 403 == ask("GET", "/orders/7", "api:use")[0]
        assert 200 == ask("GET", "/orders/7", "orders:7:read")[0]


def test_rules_of_the_settings_apply_to_operations() -> None:
    """A rule opens an operation without a declaration, and none that has one."""
    with served(lp=AUTHORITY.settings(PUBLIC=["/api/undeclared", "/api/orders"])):
        assert 200 == ask("GET", "/undeclared")[0]
        assert 401 == ask("GET", "/orders/7")[0]


def test_an_operation_that_is_added_or_declared_late_is_seen() -> None:
    """Declarations are read again when the operations of a path change."""
    with served():
        assert 403 == ask("GET", "/undeclared", "late:use")[0]
        operations = operations_of(resolve("/api/undeclared").func) or pytest.fail("no operations")
        operation = operations.owner.operations[0]
        operation.view_func = requires("late:use")(operation.view_func)
        assert 200 == ask("GET", "/undeclared", "late:use")[0]
        assert 403 == ask("GET", "/undeclared", "x")[0]


def test_what_is_no_operation_is_none() -> None:
    """A function, and a callback whose closure holds something else, are views as always."""
    value = object()

    def closure() -> object:
        return value

    assert None is operations_of(closure)
    closure.__module__ = "ninja.operation"
    assert None is operations_of(closure)


def test_a_signature_that_cannot_be_read_stays_as_it_is() -> None:
    """An annotation that names nothing here is left to Ninja, and a view without a signature to Django."""

    def view(request: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821 - what this is about

    assert "Missing" == requires("a")(view).__annotations__["request"]
    assert not hasattr(requires("a")(view), "__signature__")


def test_an_operation_that_streams_is_declared_by_its_include() -> None:
    """Ninja looks at the generator function itself, so that one has no decorator."""
    api = new_api()

    @api.get("/stream", response=JSONL[Order])
    async def stream(request: HttpRequest) -> Any:
        CALLED.append("stream")
        yield {"name": "tea"}

    async def ask_twice() -> list[tuple[int, bytes]]:
        answers = []
        for held in ("stream:use", "x"):
            answer: Any = await AsyncClient().get("/api/stream", headers=AUTHORITY.headers("alice", [held]))
            body = b"".join([part async for part in answer]) if answer.streaming else b""
            answers.append((answer.status_code, body.strip()))
        return answers

    CALLED.clear()
    with project(path("api/", guarded(api.urls, "stream:use"))):
        assert [(200, b'{"name": "tea"}'), (403, b"")] == asyncio.run(ask_twice())
    assert ["stream"] == CALLED
