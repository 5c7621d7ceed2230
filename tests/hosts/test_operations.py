"""A real API's operations in operation host's own router, over HTTP."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import pytest

from api_operations import Operation, load_operations
from hosts.serving import serve
from jwt_lp.testing.authority import Authority

pytestmark = pytest.mark.host

Build = Callable[[list[Operation], Mapping[str, object]], AbstractContextManager[tuple[str, Any]]]


@contextmanager
def flask(operations: list[Operation], settings: Mapping[str, object]) -> Iterator[tuple[str, Any]]:
    from flask import Flask

    from jwt_lp_flask import LeastPrivilege, requires

    app = Flask("operations", static_folder=None)
    for number, operation in enumerate(operations):
        view = requires(operation.permission)(lambda **_: {"ok": True})
        app.add_url_rule(operation.written(r"<\1>"), f"view{number}", view, methods=[operation.method])
    LeastPrivilege(app, settings=settings)
    yield "wsgi", app


@contextmanager
def starlette(operations: list[Operation], settings: Mapping[str, object]) -> Iterator[tuple[str, Any]]:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    from jwt_lp_starlette import LeastPrivilege, requires

    async def view(request: Request) -> JSONResponse:
        return JSONResponse({"ok": True})

    app = Starlette(
        routes=[
            Route(operation.template, requires(operation.permission)(view), methods=[operation.method])
            for operation in operations
        ]
    )
    LeastPrivilege(app, settings)
    yield "asgi", app


@contextmanager
def fastapi(operations: list[Operation], settings: Mapping[str, object]) -> Iterator[tuple[str, Any]]:
    from fastapi import FastAPI

    from jwt_lp_starlette import LeastPrivilege
    from jwt_lp_starlette.fastapi import Requires

    app = FastAPI(openapi_url=None)
    for operation in operations:
        app.add_api_route(
            operation.template,
            lambda: {"ok": True},
            methods=[operation.method],
            dependencies=[Requires(operation.permission)],
        )
    LeastPrivilege(app, settings)
    yield "asgi", app


def _views(operations: list[Operation], bases: tuple[type, ...], answer: Any) -> dict[str, type]:
    """One class for operation template, with one permission for operation of its methods."""
    classes: dict[str, dict[str, Any]] = {}
    for operation in operations:
        members = classes.setdefault(operation.written(r"<str:\1>").lstrip("/"), {"required_permissions": {}})
        members["required_permissions"][operation.method] = operation.permission
        members[operation.method.lower()] = lambda self, request, **_: answer()
    return {template: type("View", bases, members) for template, members in classes.items()}


@contextmanager
def _urlconf(views: dict[str, Any], settings: Mapping[str, object]) -> Iterator[tuple[str, Any]]:
    from django.core.wsgi import get_wsgi_application
    from django.test import override_settings
    from django.urls import path

    urlconf = ModuleType("operations_urls")
    patterns = [path(template, view.as_view()) for template, view in views.items()]
    urlconf.__dict__["urlpatterns"] = patterns
    sys.modules[urlconf.__name__] = urlconf
    try:
        with override_settings(ROOT_URLCONF=urlconf.__name__, JWT_LP=settings):
            yield "wsgi", get_wsgi_application()
    finally:
        del sys.modules[urlconf.__name__]


@contextmanager
def django(operations: list[Operation], settings: Mapping[str, object]) -> Iterator[tuple[str, Any]]:
    from django.http import JsonResponse
    from django.views import View

    from hosts.django_setup import configure

    configure()
    with _urlconf(_views(operations, (View,), lambda: JsonResponse({"ok": True})), settings) as served:
        yield served


@contextmanager
def rest_framework(operations: list[Operation], settings: Mapping[str, object]) -> Iterator[tuple[str, Any]]:
    from hosts.django_setup import configure

    # Before the import: REST framework reads Django's settings as it is imported.
    configure()
    from rest_framework.response import Response
    from rest_framework.views import APIView

    from jwt_lp_django.drf import LeastPrivilegeMixin

    with _urlconf(
        _views(operations, (LeastPrivilegeMixin, APIView), lambda: Response({"ok": True})), settings
    ) as served:
        yield served


BUILDERS: tuple[Build, ...] = (django, rest_framework, flask, starlette, fastapi)


@pytest.mark.parametrize(
    "build", [host for host in BUILDERS if find_spec(host.__name__)], ids=lambda host: host.__name__
)
def test_every_operation_needs_its_permission(build: Build) -> None:
    """Every operation is allowed with its permission, and refused with another one.

    Three of the 440 differ from another one in a parameter's name alone. No router can tell those apart: the
    first one answers, under its own permission.
    """
    operations = load_operations()
    authority = Authority()
    first = {operation.shape: operation.permission for operation in reversed(operations)}
    assert 437 == len(first)
    wrong = []
    with build(operations, authority.settings()) as (kind, app), serve(kind, app) as client:
        tokens = {
            name: authority.headers(permissions=[name]) for name in {operation.permission for operation in operations}
        }
        others = sorted(tokens)
        for number, operation in enumerate(operations):
            own = first[operation.shape]
            other = next(name for name in others[number % len(others) :] + others if name != own)
            answers = [
                client.request(operation.method, operation.path, tokens[held].items(), b"").status
                for held in (own, other)
            ]
            if [200, 403] != answers:
                wrong.append((operation.method, operation.template, own, other, answers))
    assert [] == wrong
