"""One application in each host that signs people in, and that has one guarded route."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from jwt_lp import Guard, SignIn, SigningKey
from jwt_lp.stores import open_store

_FAST_HASHER = "django.contrib.auth.hashers.MD5PasswordHasher"

PASSWORD = "correct horse battery"
KEY = SigningKey.generate(kid="k1")
POLICY = {
    "version": 1,
    "permissions": {"orders:read": {}, "orders:create": {}},
    "roles": {
        "reader": {"grants": ["orders:read"], "from": ["django/group:readers"]},
        "clerk": {"grants": ["orders:create"], "from": ["django/permission:auth.view_group"]},
    },
    "audiences": {"shop": {}},
}


class SignInApp(NamedTuple):
    """An application to serve, and what a test changes while it runs.

    Django compares an origin with the scheme that reached the server, and the others with https.
    """

    kind: str
    app: Any
    guard: Guard
    lock_out: Callable[[str], None]
    origin_scheme: str = "https"


def settings(store: object, **more: object) -> dict[str, object]:
    return {
        "ISSUER": "https://shop.test",
        "AUDIENCE": "shop",
        "ALGORITHMS": ["ES256"],
        "JWKS": {"keys": [KEY.public_jwk()]},
        "OWN": True,
        "POLICY": POLICY,
        "STORE": store,
        **more,
    }


class _Users:
    """The users of a project without Django."""

    def __init__(self) -> None:
        self.passwords = dict.fromkeys(("alice", "bob", "carol"), PASSWORD)

    def authenticate(self, username: str, password: str) -> str | None:
        return username if self.passwords.get(username) == password else None

    def permissions(self, subject: str) -> list[str] | None:
        return ["orders:read", "orders:create"] if subject in self.passwords else None

    def lock_out(self, name: str) -> None:
        del self.passwords[name]

    def sign_in(self, guard: Guard, url: str, **more: Any) -> SignIn:
        issuer = guard.issuer(KEY, client="web", lifetime=300)
        return SignIn(issuer, open_store(url), authenticate=self.authenticate, permissions=self.permissions, **more)


@contextmanager
def flask_app(folder: Path, lp: Mapping[str, object], options: Mapping[str, Any]) -> Iterator[SignInApp]:
    from flask import Flask

    from jwt_lp_flask import LeastPrivilege, current_token, guard_from, requires, sign_in_endpoints

    url, users = f"sqlite:///{folder / 'flask.db'}", _Users()
    app = Flask(__name__, static_folder=None)
    LeastPrivilege(app, settings(url, **lp))
    guard = guard_from(app)

    @app.get("/orders")
    @requires("orders:read")
    def listed() -> Any:
        return {"subject": current_token.subject}

    @app.post("/orders")
    @requires("orders:create")
    def created() -> Any:
        return {"subject": current_token.subject}

    endpoints = sign_in_endpoints(users.sign_in(guard, url, **options), cookies="COOKIE" in lp)
    app.register_blueprint(endpoints, url_prefix="/auth")
    with guard:
        yield SignInApp("wsgi", app, guard, users.lock_out)


@contextmanager
def starlette_app(folder: Path, lp: Mapping[str, object], options: Mapping[str, Any]) -> Iterator[SignInApp]:
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Mount, Route

    from jwt_lp_starlette import LeastPrivilege, requires, sign_in_endpoints, token_from

    url, users = f"sqlite:///{folder / 'starlette.db'}", _Users()
    guard = Guard(settings(url, **lp))

    async def orders(request: Any) -> Any:
        token = token_from(request)
        return JSONResponse({"subject": token and token.subject})

    sign_in = users.sign_in(guard, url, **options)
    app = Starlette(
        routes=[
            Route("/orders", requires("orders:read")(orders)),
            Route("/orders", requires("orders:create")(orders), methods=["POST"]),
            Mount("/auth", routes=sign_in_endpoints(sign_in, cookies="COOKIE" in lp)),
        ]
    )
    LeastPrivilege(app, guard)
    with guard:
        yield SignInApp("asgi", app, guard, users.lock_out)


@contextmanager
def fastapi_app(folder: Path, lp: Mapping[str, object], options: Mapping[str, Any]) -> Iterator[SignInApp]:
    from fastapi import FastAPI, Request

    from jwt_lp_starlette import LeastPrivilege, token_from
    from jwt_lp_starlette.fastapi import Requires, sign_in_router

    url, users = f"sqlite:///{folder / 'fastapi.db'}", _Users()
    guard = Guard(settings(url, **lp, PUBLIC=["/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect"]))
    app = FastAPI()

    def orders(request: Request) -> Any:
        token = token_from(request)
        return {"subject": token and token.subject}

    # Annotations of a local function are strings that FastAPI cannot look up.
    orders.__annotations__ = {"request": Request}
    app.get("/orders", dependencies=[Requires("orders:read")])(orders)
    app.post("/orders", dependencies=[Requires("orders:create")])(orders)
    app.include_router(sign_in_router(users.sign_in(guard, url, **options), cookies="COOKIE" in lp), prefix="/auth")
    LeastPrivilege(app, guard)
    with guard:
        yield SignInApp("asgi", app, guard, users.lock_out)


class _OneDatabase:
    """A router that has the tables of every application in one database."""

    def __init__(self, name: str) -> None:
        self.name = name

    def db_for_read(self, model: object, **_: object) -> str:
        return self.name

    db_for_write = db_for_read


@contextmanager
def _django(
    kind: str, views: Callable[[], list[Any]], folder: Path, lp: Mapping[str, object], options: Mapping[str, Any]
) -> Iterator[SignInApp]:
    from hosts.django_setup import configure, served

    configure()
    from django.core.management import call_command
    from django.test import override_settings
    from django.urls import include, path

    from jwt_lp_django import guard_from, sign_in_endpoints, user_sign_in
    from stores.django_engines import alias

    with alias(ENGINE="django.db.backends.sqlite3", NAME=str(folder / "users.db")) as url:
        name = url.removeprefix("django:")
        call_command("migrate", "auth", database=name, verbosity=0)
        issuer_settings = settings(url, **lp)
        with override_settings(
            DATABASE_ROUTERS=[_OneDatabase(name)], JWT_LP=issuer_settings, PASSWORD_HASHERS=[_FAST_HASHER]
        ):
            _make_users()
            sign_in = user_sign_in(guard_from().issuer(KEY, client="web", lifetime=300), open_store(url), **options)
            patterns = [
                *views(),
                path("auth/", include(sign_in_endpoints(sign_in, cookies="COOKIE" in lp))),
            ]
            with served(kind, *patterns, lp=issuer_settings) as (_, app), guard_from() as guard:
                yield SignInApp(kind, app, guard, _deactivate, "http")


def _make_users() -> None:
    from django.contrib.auth.models import Group, Permission, User

    readers = Group.objects.create(name="readers")
    for name in ("alice", "bob", "carol"):
        user = User.objects.create_user(name, password=PASSWORD)
        user.groups.add(readers)
        user.user_permissions.add(Permission.objects.get(codename="view_group"))


def _deactivate(name: str) -> None:
    from django.contrib.auth.models import User

    User.objects.filter(username=name).update(is_active=False)


def _django_views(*, is_async: bool = False) -> list[Any]:
    from django.http import JsonResponse
    from django.urls import path
    from django.views import View

    from jwt_lp_django import LeastPrivilegeMixin

    class Orders(LeastPrivilegeMixin, View):
        required_permissions = {"GET": "orders:read", "POST": "orders:create"}  # noqa: RUF012 - as projects write it

        def get(self, request: Any) -> Any:
            return JsonResponse({"subject": request.user.username})

        post = get

    class AsyncOrders(Orders):
        async def get(self, request: Any) -> Any:
            return JsonResponse({"subject": request.user.username})

        post = get

    return [path("orders", (AsyncOrders if is_async else Orders).as_view())]


def _drf_views() -> list[Any]:
    from django.urls import path
    from rest_framework.response import Response
    from rest_framework.views import APIView

    class Orders(APIView):
        required_permissions = {"GET": "orders:read", "POST": "orders:create"}  # noqa: RUF012 - as projects write it

        def get(self, request: Any) -> Any:
            return Response({"subject": request.user.username})

        post = get

    return [path("orders", Orders.as_view())]


def django_app(folder: Path, lp: Mapping[str, object], options: Mapping[str, Any]) -> AbstractContextManager[SignInApp]:
    return _django("wsgi", _django_views, folder, lp, options)


def django_async_app(
    folder: Path, lp: Mapping[str, object], options: Mapping[str, Any]
) -> AbstractContextManager[SignInApp]:
    return _django("asgi", lambda: _django_views(is_async=True), folder, lp, options)


def drf_app(folder: Path, lp: Mapping[str, object], options: Mapping[str, Any]) -> AbstractContextManager[SignInApp]:
    return _django("wsgi", _drf_views, folder, lp, options)


App = Callable[[Path, Mapping[str, object], Mapping[str, Any]], AbstractContextManager[SignInApp]]
APPS: dict[str, tuple[str, App]] = {
    "django": ("django", django_app),
    "django-async": ("django", django_async_app),
    "drf": ("rest_framework", drf_app),
    "flask": ("flask", flask_app),
    "starlette": ("starlette", starlette_app),
    "fastapi": ("fastapi", fastapi_app),
}
