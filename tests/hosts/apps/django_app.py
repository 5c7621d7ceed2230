"""The application of the conformance tests on Django: sync views under WSGI, async views under ASGI."""

# ruff: noqa: E402 - Django reads its settings first; views declare their rules as users do

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from functools import partial
from threading import Timer
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction

from hosts.apps import caught
from hosts.django_setup import configure, served

configure()

from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path
from django.views import View

from jwt_lp import AccessToken, all_of, any_of
from jwt_lp_django import authenticated, can, enforce, external, public, requires, token_from


def subject(request: HttpRequest) -> Any:
    token = token_from(request)
    return token and token.subject


def orders(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"subject": subject(request)})


def ok(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"ok": True})


def order(request: HttpRequest, order_id: int) -> JsonResponse:
    return JsonResponse({"subject": subject(request), "order_id": str(order_id)})


def named(request: HttpRequest, **kwargs: str) -> JsonResponse:
    return orders(request)


def enforced(request: HttpRequest) -> JsonResponse:
    item = request.GET.get("item", "")
    enforce(request, "items:{item}:use", params={"item": item})
    return JsonResponse({"ok": True})


def probed(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"can": can(request, "orders:list")})


def by_token(request: HttpRequest) -> JsonResponse:
    token: AccessToken = request.access_token  # type: ignore[attr-defined]
    holds = "orders:list" in token.permissions
    return JsonResponse({"subject": token.subject, "anonymous": token.is_anonymous, "holds": holds})


def slow(request: HttpRequest) -> JsonResponse:
    time.sleep(0.05)
    return orders(request)


async def slow_async(request: HttpRequest) -> JsonResponse:
    await asyncio.sleep(0.05)
    return orders(request)


def as_async(view: Callable[..., Any]) -> Callable[..., Any]:
    async def awaited(request: HttpRequest, **kwargs: Any) -> Any:
        return view(request, **kwargs)

    return slow_async if view is slow else awaited


class Between:
    """A middleware of the project, inside the guard: it calls `enforce`, catches errors, and sends its own responses."""

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        self._enforce_at(request, "/caught/before")
        return self._acall(request) if self.is_async else self._answer(request, self.get_response(request))

    async def _acall(self, request: HttpRequest) -> Any:
        return self._answer(request, await self.get_response(request))

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        return ok(request) if request.path == "/caught/raised" else None

    def _enforce_at(self, request: HttpRequest, path: str) -> None:
        if request.path == path:
            caught.view(partial(enforce, request))

    def _answer(self, request: HttpRequest, response: Any) -> Any:
        self._enforce_at(request, "/caught/after")
        return ok(request) if request.path == "/caught/reworded" else response


def forbids(request: HttpRequest) -> HttpResponse:
    if caught.refused(partial(enforce, request)):
        return HttpResponse(b'{"error": "insufficient_scope", "secret": 1}', status=403)
    return ok(request)


def raises(request: HttpRequest) -> HttpResponse:
    enforce(request, "caught:use")
    return ok(request)


def streams(request: HttpRequest) -> StreamingHttpResponse:
    caught.view(partial(enforce, request))
    return StreamingHttpResponse(iter([b'{"ok"', b": true}"]))


async def _parts() -> Any:
    for part in (b'{"ok"', b": true}"):
        yield part


async def streams_async(request: HttpRequest) -> StreamingHttpResponse:
    caught.view(partial(enforce, request))
    return StreamingHttpResponse(_parts())


guarded_part = requires("caught:use")(ok)


def calls_marked(request: HttpRequest) -> HttpResponse:
    with suppress(Exception):
        guarded_part(request)
    return ok(request)


@requires("caught:use")
async def guarded_part_async(request: HttpRequest) -> HttpResponse:
    return ok(request)


async def calls_marked_async(request: HttpRequest) -> HttpResponse:
    with suppress(Exception):
        await guarded_part_async(request)
    return ok(request)


def in_background(request: HttpRequest) -> HttpResponse:
    Timer(0.1, caught.background, [partial(enforce, request)]).start()
    return ok(request)


def catching(way: Callable[[caught.Ask], None]) -> Callable[..., Any]:
    def view(request: HttpRequest) -> HttpResponse:
        way(partial(enforce, request))
        return ok(request)

    return view


def catching_async(way: Callable[[caught.Ask], Any]) -> Callable[..., Any]:
    async def view(request: HttpRequest) -> HttpResponse:
        await way(partial(enforce, request))
        return ok(request)

    return view


class Verbs(View):
    """Only `get` has a declaration; the other methods are code of the project without one."""

    @public
    def get(self, request: HttpRequest) -> HttpResponse:
        return ok(request)

    def head(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(headers={"X-Verb": "head"})

    def options(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return ok(request)

    post = put = patch = delete = options


class AsyncVerbs(View):
    """The same as coroutine functions."""

    @public
    async def get(self, request: HttpRequest) -> HttpResponse:
        return ok(request)

    async def head(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(headers={"X-Verb": "head"})

    async def options(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:  # type: ignore[override]
        return ok(request)

    post = put = patch = delete = options


class Listing(View):
    """The same, but `get` requires a permission."""

    @requires("orders:list")
    def get(self, request: HttpRequest) -> HttpResponse:
        return ok(request)

    head, options, delete = Verbs.head, Verbs.options, Verbs.delete


class AsyncListing(View):
    """The same as coroutine functions."""

    @requires("orders:list")
    async def get(self, request: HttpRequest) -> HttpResponse:
        return ok(request)

    head, options, delete = AsyncVerbs.head, AsyncVerbs.options, AsyncVerbs.delete  # type: ignore[assignment]


def catchers(adapt: Callable[[Any], Any]) -> list[Any]:
    is_async = adapt is as_async
    ways: dict[str, Any] = {
        **{name: catching(way) for name, way in caught.PLAIN.items()},
        "stream": streams,
        "marked": calls_marked,
    }
    if is_async:
        ways = {
            **{name: catching_async(way) for name, way in caught.AWAITABLE.items()},
            "stream": streams_async,
            "marked": calls_marked_async,
        }
    more = {"before": ok, "after": ok, "forbidden": forbids, "raised": raises, "background": in_background}
    return [
        *(path(f"caught/{name}", authenticated(view)) for name, view in ways.items()),
        *(path(f"caught/{name}", authenticated(adapt(view))) for name, view in more.items()),
        path("caught/reworded", requires("caught:use")(adapt(ok))),
        path("caught/public", public(adapt(raises))),
        path("caught/open", public(adapt(catching(caught.view)))),
        path("verbs", (AsyncVerbs if is_async else Verbs).as_view()),
        path("listing", (AsyncListing if is_async else Listing).as_view()),
    ]


def patterns(adapt: Callable[[Callable[..., Any]], Callable[..., Any]]) -> list[Any]:
    read, remove = requires("orders:{order_id}:read"), requires("orders:delete", methods=("DELETE",))
    return [
        path("public", public(adapt(ok))),
        path("identified", public(identify=True)(adapt(orders))),
        path("me", authenticated(adapt(orders))),
        path("orders", requires("orders:list")(requires("orders:create", methods=("POST",))(adapt(orders)))),
        path("orders/<int:order_id>", read(remove(adapt(order)))),
        path("either", requires(any_of("orders:audit", all_of("orders:list", "orders:export")))(adapt(orders))),
        path("both", requires("orders:list", "orders:export")(adapt(orders))),
        path("users/<str:user_id>", requires("users:read", where={"user_id": "sub"})(adapt(named))),
        path("files/<str:name>", requires("files:{name}:read")(adapt(named))),
        path("encoded/<str:name>", requires("files:{name!e}:read")(adapt(named))),
        path("undeclared", adapt(ok)),
        path("external", external("guarded by a proxy")(adapt(ok))),
        path("enforce", authenticated(adapt(enforced))),
        path("can", authenticated(adapt(probed))),
        path("by-token", requires("orders:list")(adapt(by_token))),
        path("open-by-token", public(adapt(by_token))),
        path("slow", requires("orders:list")(adapt(slow))),
        *catchers(adapt),
    ]


def _mode(kind: str, adapt: Callable[[Any], Any], settings: Mapping[str, object]) -> AbstractContextManager[Any]:
    return served(kind, *patterns(adapt), lp=settings, middleware=[f"{__name__}.Between"])


MODES: dict[str, Callable[[Mapping[str, object]], AbstractContextManager[Any]]] = {
    "django-sync": partial(_mode, "wsgi", lambda view: view),
    "django-async": partial(_mode, "asgi", as_async),
}
