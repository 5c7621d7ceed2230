"""One application in each host with a guarded route, and the endpoints of elevation."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from jwt_lp import Guard, SigningKey
from jwt_lp.jose.signing import sign
from jwt_lp.stores import open_store

ISSUER = "https://shop.test"
KEY = SigningKey.generate(kid="k1")
POLICY = {
    "version": 1,
    "permissions": {
        "orders:list": {},
        "orders:create": {},
        "orders:{id}:read": {},
        "orders:purge": {},
        "orders:create:approve": {},
    },
    "roles": {"clerk": {"grants": ["orders:list"]}},
    "elevation": {
        "orders:create": {"ask": ["role:clerk", "subject:erin"], "approve": "orders:create:approve", "longest": "1h"},
        "orders:*:read": {"ask": ["role:clerk"], "approve": "orders:create:approve", "reason": False},
    },
    "audiences": {"shop": {}},
}


class ElevationApp(NamedTuple):
    """An application to serve, with the prefix of its endpoints."""

    kind: str
    app: Any
    guard: Guard


def settings(store: str, **more: object) -> dict[str, object]:
    return {
        "ISSUER": ISSUER,
        "AUDIENCE": "shop",
        "ALGORITHMS": ["ES256"],
        "JWKS": {"keys": [KEY.public_jwk()]},
        "OWN": True,
        "POLICY": POLICY,
        "STORE": store,
        "ELEVATION_URL": "/elevations",
        **more,
    }


def token_for(subject: str, *scope: str, roles: tuple[str, ...] = (), **changes: object) -> str:
    """A token of this issuer for `subject`."""
    now = int(time.time())
    claims: dict[str, object] = {
        "iss": ISSUER,
        "sub": subject,
        "aud": "shop",
        "client_id": "web",
        "iat": now - 5,
        "exp": now + 300,
        "jti": f"{subject}-{time.monotonic_ns()}",
        "scope": " ".join(scope),
        **({"roles": list(roles)} if roles else {}),
    }
    return sign({**claims, **changes}, KEY)


def _file_store(folder: Path) -> str:
    url = f"sqlite:///{folder / 'elevation.db'}"
    store = open_store(url)
    store.migrate()
    store.close()
    return url


@contextmanager
def flask_app(folder: Path, **lp: object) -> Iterator[ElevationApp]:
    from flask import Flask, request

    from jwt_lp_flask import LeastPrivilege, authenticated, elevation_endpoints, guard_from, request_elevation, requires

    app = Flask(__name__, static_folder=None)
    LeastPrivilege(app, settings(_file_store(folder), **lp))
    guard = guard_from(app)

    @app.post("/orders")
    @requires("orders:create")
    def created() -> Any:
        return {}

    @app.get("/orders/<order_id>")
    @requires("orders:{order_id}:read")
    def read(order_id: str) -> Any:
        return {"order": order_id}

    @app.delete("/orders")
    @requires("orders:purge")
    def purged() -> Any:
        return {}

    @app.post("/in-code")
    @authenticated
    def in_code() -> Any:
        return {"id": request_elevation(request, "orders:create", reason="asked in code", seconds=60, key="one").id}

    app.register_blueprint(elevation_endpoints())
    with guard:
        yield ElevationApp("wsgi", app, guard)


@contextmanager
def starlette_app(folder: Path, **lp: object) -> Iterator[ElevationApp]:
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    from jwt_lp_starlette import LeastPrivilege, authenticated, elevation_endpoints, request_elevation, requires

    guard = Guard(settings(_file_store(folder), **lp))

    async def orders(request: Any) -> Any:
        return JSONResponse({"order": request.path_params.get("order_id")})

    @authenticated
    async def in_code(request: Any) -> Any:
        asked = await request_elevation(request, "orders:create", reason="asked in code", seconds=60, key="one")
        return JSONResponse({"id": asked.id})

    app = Starlette(
        routes=[
            Route("/orders", requires("orders:create")(orders), methods=["POST"]),
            Route("/orders", requires("orders:purge")(orders), methods=["DELETE"]),
            Route("/orders/{order_id}", requires("orders:{order_id}:read")(orders)),
            Route("/in-code", in_code, methods=["POST"]),
            *elevation_endpoints(),
        ]
    )
    LeastPrivilege(app, guard)
    with guard:
        yield ElevationApp("asgi", app, guard)


@contextmanager
def fastapi_app(folder: Path, **lp: object) -> Iterator[ElevationApp]:
    from fastapi import FastAPI, Request

    from jwt_lp import AUTHENTICATED
    from jwt_lp_starlette import LeastPrivilege, request_elevation
    from jwt_lp_starlette.fastapi import Requires, elevation_router

    guard = Guard(settings(_file_store(folder), PUBLIC=["/openapi.json"], **lp))
    app = FastAPI(docs_url=None, redoc_url=None)

    async def orders() -> Any:
        return {}

    async def in_code(request: Any) -> Any:
        asked = await request_elevation(request, "orders:create", reason="asked in code", seconds=60, key="one")
        return {"id": asked.id}

    # Annotations of a local function are strings that FastAPI cannot look up.
    in_code.__annotations__ = {"request": Request}
    app.post("/orders", dependencies=[Requires("orders:create")])(orders)
    app.delete("/orders", dependencies=[Requires("orders:purge")])(orders)
    app.get("/orders/{order_id}", dependencies=[Requires("orders:{order_id}:read")])(orders)
    app.post("/in-code", dependencies=[Requires(AUTHENTICATED)])(in_code)
    app.include_router(elevation_router())
    LeastPrivilege(app, guard)
    with guard:
        yield ElevationApp("asgi", app, guard)


@contextmanager
def _django(kind: str, views: Callable[[], list[Any]], folder: Path, **lp: object) -> Iterator[ElevationApp]:
    from hosts.django_setup import configure, served

    configure()
    from django.test import override_settings

    from jwt_lp_django import elevation_endpoints, guard_from

    issuer_settings = settings(_file_store(folder), **lp)
    with override_settings(JWT_LP=issuer_settings):
        patterns = [*views(), *elevation_endpoints()]
        with served(kind, *patterns, lp=issuer_settings) as (_, app), guard_from() as guard:
            yield ElevationApp(kind, app, guard)


def _django_views(*, is_async: bool = False) -> list[Any]:
    from django.http import JsonResponse
    from django.urls import path
    from django.views import View
    from django.views.decorators.csrf import csrf_exempt

    from jwt_lp_django import LeastPrivilegeMixin, arequest_elevation, authenticated, request_elevation, requires

    class Orders(LeastPrivilegeMixin, View):
        required_permissions = {"POST": "orders:create", "DELETE": "orders:purge"}  # noqa: RUF012 - as projects write it

        def post(self, request: Any) -> Any:
            return JsonResponse({})

        delete = post

    @requires("orders:{order_id}:read")
    def read(request: Any, order_id: str) -> Any:
        return JsonResponse({"order": order_id})

    @csrf_exempt
    @authenticated(methods=("POST",))
    def in_code(request: Any) -> Any:
        asked = request_elevation(request, "orders:create", reason="asked in code", seconds=60, key="one")
        return JsonResponse({"id": asked.id})

    @csrf_exempt
    @authenticated(methods=("POST",))
    async def in_async_code(request: Any) -> Any:
        asked = await arequest_elevation(request, "orders:create", reason="asked in code", seconds=60, key="one")
        return JsonResponse({"id": asked.id})

    return [
        path("orders", csrf_exempt(Orders.as_view())),
        path("orders/<str:order_id>", read),
        path("in-code", in_async_code if is_async else in_code),
    ]


def _drf_views() -> list[Any]:
    from django.urls import path
    from rest_framework.response import Response
    from rest_framework.views import APIView

    from jwt_lp import AUTHENTICATED
    from jwt_lp_django import request_elevation

    class Orders(APIView):
        required_permissions = {"POST": "orders:create", "DELETE": "orders:purge"}  # noqa: RUF012 - as projects write it

        def post(self, request: Any) -> Any:
            return Response({})

        delete = post

    class Order(APIView):
        required_permissions = "orders:{order_id}:read"

        def get(self, request: Any, order_id: str) -> Any:
            return Response({"order": order_id})

    class InCode(APIView):
        required_permissions = AUTHENTICATED

        def post(self, request: Any) -> Any:
            asked = request_elevation(request, "orders:create", reason="asked in code", seconds=60, key="one")
            return Response({"id": asked.id})

    return [
        path("orders", Orders.as_view()),
        path("orders/<str:order_id>", Order.as_view()),
        path("in-code", InCode.as_view()),
    ]


def django_app(folder: Path, **lp: object) -> AbstractContextManager[ElevationApp]:
    return _django("wsgi", _django_views, folder, **lp)


def django_async_app(folder: Path, **lp: object) -> AbstractContextManager[ElevationApp]:
    return _django("asgi", lambda: _django_views(is_async=True), folder, **lp)


def drf_app(folder: Path, **lp: object) -> AbstractContextManager[ElevationApp]:
    return _django("wsgi", _drf_views, folder, **lp)


App = Callable[..., AbstractContextManager[ElevationApp]]
APPS: dict[str, tuple[str, App]] = {
    "django": ("django", django_app),
    "django-async": ("django", django_async_app),
    "drf": ("rest_framework", drf_app),
    "flask": ("flask", flask_app),
    "starlette": ("starlette", starlette_app),
    "fastapi": ("fastapi", fastapi_app),
}
