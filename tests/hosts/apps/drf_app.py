"""The application of the conformance tests on Django REST framework: viewsets, a router, function views."""

# ruff: noqa: E402, RUF012 - Django reads its settings first; views declare their rules as users do

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from functools import partial
from threading import Timer
from typing import Any

from hosts.apps import caught
from hosts.django_setup import configure, served

configure()

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import include, path
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from jwt_lp import AUTHENTICATED, PUBLIC, all_of
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
def undeclared(request: Request) -> Response:
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


def _described(token: Any) -> Response:
    holds = "orders:list" in token.permissions
    return Response({"subject": token.subject, "anonymous": token.is_anonymous, "holds": holds})


@api_view()
@requires("orders:list")
def by_token(request: Request) -> Response:
    return _described(request.auth)


@api_view()
@public
def open_by_token(request: Request) -> Response:
    return _described(request.access_token)  # type: ignore[attr-defined]


@api_view()
@requires(all_of("orders:list"))
def slow(request: Request) -> Response:
    time.sleep(0.05)
    return Response({"subject": subject(request)})


class Between:
    """A middleware of the project, inside the guard: it calls `enforce` and catches its errors."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path == "/caught/before":
            caught.view(partial(enforce, request))
        response = self.get_response(request)
        if request.path == "/caught/after":
            caught.view(partial(enforce, request))
        return response


class Catching(APIView):
    """A view that catches refusals in the `way` given to `as_view`; its exception handler answers 200 to any error."""

    way: Any = None
    required_permissions: Any = None
    permission_classes = [HasPermissions]

    def get(self, request: Request) -> Any:
        answer = self.way(partial(enforce, request), request)
        return Response({"ok": True}) if answer is None else answer

    def get_exception_handler(self) -> Callable[..., Any]:
        default = super().get_exception_handler()
        rewords = self.request.path in {"/caught/raised", "/caught/reworded"}
        return (lambda error, context: Response({"ok": True})) if rewords else default


def _catching(way: Callable[..., Any], required: Any = AUTHENTICATED) -> Any:
    return Catching.as_view(way=staticmethod(way), required_permissions=required)


def _without_request(way: Callable[[caught.Ask], None]) -> Callable[..., None]:
    def call(ask: caught.Ask, request: Request) -> None:
        way(ask)

    return call


def forbids(ask: caught.Ask, request: Request) -> Response | None:
    return Response({"error": "insufficient_scope", "secret": 1}, status=403) if caught.refused(ask) else None


def raises(ask: caught.Ask, request: Request) -> None:
    ask("caught:use")


def streams(ask: caught.Ask, request: Request) -> StreamingHttpResponse:
    caught.view(ask)
    return StreamingHttpResponse(iter([b'{"ok"', b": true}"]))


@requires("caught:use")
def guarded_part(request: Request) -> None:
    pass


def calls_marked(ask: caught.Ask, request: Request) -> None:
    with suppress(Exception):
        guarded_part(request)


def in_background(ask: caught.Ask, request: Request) -> None:
    Timer(0.1, caught.background, [ask]).start()


def nothing(ask: caught.Ask, request: Request) -> None:
    pass


class Verbs(APIView):
    """Only `get` has a declaration; the other methods are code of the project without one."""

    @public
    def get(self, request: Request) -> Response:
        return Response({"ok": True})

    def head(self, request: Request) -> Response:
        return Response(headers={"X-Verb": "head"})

    def options(self, request: Any, *args: Any, **kwargs: Any) -> Response:
        return Response({"ok": True})

    post = put = patch = delete = options


class Listing(ViewSet):
    """The same in a viewset, but the action of `get` requires a permission."""

    @requires("orders:list")
    def list(self, request: Request) -> Response:
        return Response({"ok": True})

    def destroy(self, request: Request) -> Response:
        return Response({"ok": True})

    head, options = Verbs.head, Verbs.options


MORE = {
    "before": nothing,
    "after": nothing,
    "forbidden": forbids,
    "raised": raises,
    "stream": streams,
    "marked": calls_marked,
    "background": in_background,
    **{name: _without_request(way) for name, way in caught.PLAIN.items()},
}

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
    path("undeclared", undeclared),
    path("external", proxied),
    path("enforce", Enforced.as_view()),
    path("can", probed),
    path("by-token", by_token),
    path("open-by-token", open_by_token),
    path("slow", slow),
    *(path(f"caught/{name}", _catching(way)) for name, way in MORE.items()),
    path("caught/reworded", _catching(nothing, "caught:use")),
    path("caught/public", _catching(raises, PUBLIC)),
    path("caught/open", _catching(_without_request(caught.view), PUBLIC)),
    path("verbs", Verbs.as_view()),
    path("listing", Listing.as_view({"get": "list", "delete": "destroy"})),
]


def _drf(settings: Mapping[str, object]) -> AbstractContextManager[Any]:
    return served("wsgi", *PATTERNS, lp=settings, middleware=[f"{__name__}.Between"])


MODES: dict[str, Callable[[Mapping[str, object]], AbstractContextManager[Any]]] = {"drf": _drf}
