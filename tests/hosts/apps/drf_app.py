"""The application of the conformance table on Django REST framework: viewsets, a router, function views."""

# ruff: noqa: E402, RUF012 - Django reads its settings first; views say their rules as users do

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from hosts.django_setup import configure, served

configure()

from django.urls import include, path
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from jwt_lp import PUBLIC, all_of
from jwt_lp_django import authenticated, can, enforce, external, public, requires, token_from
from jwt_lp_django.drf import HasPermissions, LeastPrivilegeMixin


def subject(request: Request) -> Any:
    token = token_from(request)
    return token and token.subject


class Orders(LeastPrivilegeMixin, ViewSet):
    lookup_url_kwarg = "order_id"
    lookup_value_converter = "int"
    required_permissions = {
        "list": "orders:list",
        "create": "orders:create",
        "retrieve": "orders:{order_id}:read",
        "DELETE": "orders:delete",
    }

    def list(self, request: Request) -> Response:
        return Response({"subject": subject(request)})

    def create(self, request: Request) -> Response:
        return Response({"subject": request.user.get_username()})

    def retrieve(self, request: Request, order_id: int) -> Response:
        return Response({"subject": subject(request), "order_id": str(order_id)})

    def destroy(self, request: Request, order_id: int) -> Response:
        return Response({"subject": subject(request), "order_id": str(order_id)})


class Public(LeastPrivilegeMixin, APIView):
    required_permissions = PUBLIC

    def get(self, request: Request) -> Response:
        return Response({"ok": True})


class Either(APIView):
    permission_classes = [
        HasPermissions.of("orders:audit") | (HasPermissions.of("orders:list") & HasPermissions.of("orders:export"))
    ]

    def get(self, request: Request) -> Response:
        return Response({"subject": subject(request)})


@api_view()
@public(identify=True)
def identified(request: Request) -> Response:
    return Response({"subject": subject(request)})


@authenticated
@api_view()
def me(request: Request) -> Response:
    return Response({"subject": subject(request)})


@api_view()
@requires("orders:list", "orders:export")
def both(request: Request) -> Response:
    return Response({"subject": subject(request)})


@requires("users:read", where={"user_id": "sub"})
@api_view()
def user(request: Request, user_id: str) -> Response:
    return Response({"subject": subject(request)})


@api_view()
@requires("files:{name}:read")
def file(request: Request, name: str) -> Response:
    return Response({"subject": subject(request)})


@api_view()
@requires("files:{name!e}:read")
def encoded(request: Request, name: str) -> Response:
    return Response({"subject": subject(request)})


@api_view()
def unmarked(request: Request) -> Response:
    return Response({"ok": True})


@external("guarded by a proxy")
@api_view()
def proxied(request: Request) -> Response:
    return Response({"ok": True})


class Enforced(APIView):
    @authenticated
    def get(self, request: Request) -> Response:
        enforce(request, "items:{item}:use", params={"item": request.query_params["item"]})
        return Response({"ok": True})


@api_view()
@authenticated
def probed(request: Request) -> Response:
    return Response({"can": can(request, "orders:list")})


@api_view()
@requires(all_of("orders:list"))
def slow(request: Request) -> Response:
    time.sleep(0.05)
    return Response({"subject": subject(request)})


router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("orders", Orders, basename="order")

PATTERNS = [
    path("public", Public.as_view()),
    path("identified", identified),
    path("me", me),
    path("", include(router.urls)),
    path("either", Either.as_view()),
    path("both", both),
    path("users/<str:user_id>", user),
    path("files/<str:name>", file),
    path("encoded/<str:name>", encoded),
    path("unmarked", unmarked),
    path("external", proxied),
    path("enforce", Enforced.as_view()),
    path("can", probed),
    path("slow", slow),
]


def _drf(settings: Mapping[str, object]) -> AbstractContextManager[Any]:
    return served("wsgi", *PATTERNS, lp=settings)


MODES: dict[str, Callable[[Mapping[str, object]], AbstractContextManager[Any]]] = {"drf": _drf}
