"""The metadata of the protected resource (RFC 9728) in every host, over real HTTP, and the challenges that name it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import pytest

from hosts.conformance import BARE, INVALID, MALFORMED, lacking
from hosts.serving import HttpClient, serve
from jwt_lp import ConfigurationError, Guard, Settings
from jwt_lp.guard.hosts import find_host
from jwt_lp.testing.authority import ISSUER, Authority

pytestmark = pytest.mark.host

AUTHORITY = Authority()
RESOURCE = "https://api.example.com/orders/v1"
WELL_KNOWN = "/.well-known/oauth-protected-resource"
Served = tuple[str, Any]


def _flask(settings: Mapping[str, object]) -> Iterator[Served]:
    from flask import Flask

    from jwt_lp_flask import LeastPrivilege, guard_from, requires, resource_metadata

    app = Flask(__name__, static_folder=None)
    app.config["JWT_LP"] = settings
    LeastPrivilege(app)
    app.register_blueprint(resource_metadata())

    def view(order_id: str = "") -> dict[str, str]:
        return {}

    app.add_url_rule("/orders", "orders", requires("orders:list")(view))
    app.add_url_rule("/orders/<order_id>", "order", requires("orders:{order_id}:read")(view))
    with guard_from(app):
        yield "wsgi", app


def _django(kind: str, settings: Mapping[str, object]) -> Iterator[Served]:
    from hosts.django_setup import configure, served

    configure()
    from django.http import HttpRequest, JsonResponse
    from django.urls import path

    from jwt_lp_django import requires, resource_metadata

    def view(request: HttpRequest, **_: object) -> JsonResponse:
        return JsonResponse({})

    patterns = (
        *resource_metadata(),
        path("orders", requires("orders:list")(view)),
        path("orders/<order_id>", requires("orders:{order_id}:read")(view)),
    )
    with served(kind, *patterns, lp=settings) as project:
        yield project


def _starlette(settings: Mapping[str, object]) -> Iterator[Served]:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    from jwt_lp_starlette import LeastPrivilege, guard_from, requires, resource_metadata

    def view(request: Request) -> JSONResponse:
        return JSONResponse({})

    routes = [
        *resource_metadata(),
        Route("/orders", requires("orders:list")(view)),
        Route("/orders/{order_id}", requires("orders:{order_id}:read")(view)),
    ]
    app = Starlette(routes=routes)
    LeastPrivilege(app, settings)
    with guard_from(app):
        yield "asgi", app


def _fastapi(settings: Mapping[str, object]) -> Iterator[Served]:
    from fastapi import FastAPI

    from jwt_lp_starlette import LeastPrivilege, guard_from, resource_metadata
    from jwt_lp_starlette.fastapi import Requires

    def view() -> dict[str, str]:
        return {}

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    LeastPrivilege(app, settings)
    app.router.routes.extend(resource_metadata())
    app.get("/orders", dependencies=[Requires("orders:list")])(view)
    app.get("/orders/{order_id}", dependencies=[Requires("orders:{order_id}:read")])(view)
    with guard_from(app):
        yield "asgi", app


Maker = Callable[[Mapping[str, object]], Iterator[Served]]
MODES: dict[str, tuple[str, Maker]] = {
    "flask": ("flask", _flask),
    "django-sync": ("django", partial(_django, "wsgi")),
    "django-async": ("django", partial(_django, "asgi")),
    "starlette": ("starlette", _starlette),
    "fastapi": ("fastapi", _fastapi),
}
INSTALLED = {mode: maker for mode, (host, maker) in MODES.items() if find_spec(host)}


@dataclass(frozen=True)
class Service:
    """A served application, and who makes tokens for it."""

    client: HttpClient
    authority: Authority
    app: Any


@contextmanager
def running(mode: str, **changes: object) -> Iterator[Service]:
    authority = Authority()
    application: AbstractContextManager[Served] = contextmanager(INSTALLED[mode])(authority.settings(**changes))
    with application as (kind, app), serve(kind, app) as client:
        yield Service(client, authority, app)


@pytest.fixture(scope="module", params=list(INSTALLED))
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    with running(request.param, RESOURCE=RESOURCE, SERVICE="orders") as served:
        yield served


@pytest.mark.parametrize("path", [f"{WELL_KNOWN}/orders/v1", WELL_KNOWN])
def test_the_metadata_names_the_issuers_and_scopes(service: Service, path: str) -> None:
    """It is public at the path that RFC 9728 derives from the resource, and at the bare one; no template is a scope."""
    answer = service.client.request("GET", path, [("Authorization", "Bearer junk")])
    assert {
        "resource": RESOURCE,
        "resource_name": "orders",
        "authorization_servers": [ISSUER],
        "scopes_supported": ["orders:list"],
        "bearer_methods_supported": ["header"],
    } == answer.json
    assert (200, "application/json", "public, max-age=300") == (
        answer.status,
        answer.headers["content-type"],
        answer.headers["cache-control"],
    )


@pytest.mark.parametrize(
    "suffix",
    [
        pytest.param("/orders", id="a part of the path"),
        pytest.param("/orders/v1/", id="a slash more"),
        pytest.param("/orders/v1/x", id="more than the path"),
        pytest.param("/ORDERS/V1", id="another case"),
        pytest.param("/%2e%2e", id="dots"),
    ],
)
def test_another_resource_has_no_metadata(service: Service, suffix: str) -> None:
    """Any other path is 404, because its metadata would name a resource that the client did not ask about."""
    answer = service.client.request("GET", WELL_KNOWN + suffix)
    assert (404, False) == (answer.status, RESOURCE.encode() in answer.body)


def test_the_metadata_is_only_read(service: Service) -> None:
    """HEAD has no body, and POST is not allowed."""
    head = service.client.request("HEAD", WELL_KNOWN)
    assert (200, b"") == (head.status, head.body)
    assert 405 == service.client.request("POST", WELL_KNOWN, (), b"").status


@pytest.mark.parametrize(
    ("status", "expected", "lines"),
    [
        pytest.param(401, BARE, [], id="no token"),
        pytest.param(401, INVALID, ["Bearer junk"], id="a bad token"),
        pytest.param(400, MALFORMED, ["Bearer a b"], id="a malformed header"),
        pytest.param(403, lacking("orders:7:read"), None, id="not enough"),
    ],
)
def test_each_challenge_names_the_metadata(
    service: Service, status: int, expected: str, lines: list[str] | None
) -> None:
    """Every challenge has the address of the metadata (RFC 9728, section 5.1), and nothing else has changed."""
    held = [service.authority.headers(permissions=["orders:list"])["Authorization"]] if lines is None else lines
    answer = service.client.request("GET", "/orders/7", [("Authorization", line) for line in held])
    challenge = answer.headers["www-authenticate"]
    address = f'resource_metadata="https://api.example.com{WELL_KNOWN}/orders/v1"'
    assert (status, 1) == (answer.status, challenge.count(address))
    assert expected == challenge.replace(f", {address}", "").replace(f" {address}", "")


def _check_before_serving(mode: str) -> None:
    """Raise what the host's check finds; Django raises it already when its middleware is made."""
    application: AbstractContextManager[Served] = contextmanager(INSTALLED[mode])(Authority().settings())
    with application as (_, app):
        host = find_host(app)
        raise ConfigurationError(*host.guard(app).check_routes(host.routes(app)))


@pytest.mark.parametrize("mode", list(INSTALLED))
def test_without_a_resource_it_is_a_fault(mode: str) -> None:
    """Without RESOURCE each host's check before it serves fails, and the fault says what to set."""
    with pytest.raises(Exception, match="set RESOURCE to the address of this service"):
        _check_before_serving(mode)


@pytest.mark.parametrize("mode", list(INSTALLED))
def test_what_is_hidden_is_not_published(mode: str) -> None:
    """With SHOW_REQUIREMENT off no permission is published."""
    with running(mode, RESOURCE="https://api.example.com/", SHOW_REQUIREMENT=False) as served:
        answer = served.client.request("GET", WELL_KNOWN)
        assert {"resource", "authorization_servers", "bearer_methods_supported"} == answer.json.keys()
        assert "orders:list" not in answer.body.decode()
        denied = served.client.request("GET", "/orders").headers["www-authenticate"]
        assert f'Bearer resource_metadata="https://api.example.com{WELL_KNOWN}"' == denied


def _scopes(client: Any) -> list[str]:
    answer = client.get(WELL_KNOWN)
    scopes: list[str] = (answer.get_json() if hasattr(answer, "get_json") else answer.json())["scopes_supported"]
    return scopes


@pytest.mark.skipif(find_spec("flask") is None, reason="needs Flask")
def test_a_blueprint_of_two_applications_of_flask() -> None:
    """Each shows its own permissions, also with the same settings."""
    from flask import Flask

    from jwt_lp_flask import LeastPrivilege, guard_from, requires, resource_metadata

    settings, blueprint = Settings.from_mapping(AUTHORITY.settings(RESOURCE=RESOURCE)), resource_metadata()
    for permission in ("orders:list", "stock:list"):
        app = Flask(permission.partition(":")[0], static_folder=None)
        LeastPrivilege(app, settings)
        app.register_blueprint(blueprint)
        app.add_url_rule("/x", "x", requires(permission)(lambda: ""))
        with guard_from(app):
            assert [[permission]] * 2 == [_scopes(app.test_client()) for _ in range(2)]


@pytest.mark.skipif(find_spec("starlette") is None, reason="needs Starlette")
def test_routes_of_two_applications_of_starlette() -> None:
    """Each shows its own permissions, also with the same guard."""
    pytest.importorskip("httpx2" if find_spec("httpx2") else "httpx")
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Route
    from starlette.testclient import TestClient

    from jwt_lp_starlette import LeastPrivilege, requires, resource_metadata

    routes = resource_metadata()
    with Guard(AUTHORITY.settings(RESOURCE=RESOURCE)) as guard:
        for permission in ("orders:list", "stock:list"):
            app = Starlette(routes=[Route("/x", requires(permission)(lambda request: Response())), *routes])
            LeastPrivilege(app, guard)
            assert [[permission]] * 2 == [_scopes(TestClient(app)) for _ in range(2)]
