"""The application of the conformance table on Django: sync views under WSGI, async ones under ASGI."""

# ruff: noqa: E402 - Django reads its settings first; views say their rules as users do

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from hosts.django_setup import configure, served

configure()

from django.http import HttpRequest, JsonResponse
from django.urls import path

from jwt_lp import all_of, any_of
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


def patterns(own: Callable[[Callable[..., Any]], Callable[..., Any]]) -> list[Any]:
    read, remove = requires("orders:{order_id}:read"), requires("orders:delete", methods=("DELETE",))
    return [
        path("public", public(own(ok))),
        path("identified", public(identify=True)(own(orders))),
        path("me", authenticated(own(orders))),
        path("orders", requires("orders:list")(requires("orders:create", methods=("POST",))(own(orders)))),
        path("orders/<int:order_id>", read(remove(own(order)))),
        path("either", requires(any_of("orders:audit", all_of("orders:list", "orders:export")))(own(orders))),
        path("both", requires("orders:list", "orders:export")(own(orders))),
        path("users/<str:user_id>", requires("users:read", where={"user_id": "sub"})(own(named))),
        path("files/<str:name>", requires("files:{name}:read")(own(named))),
        path("encoded/<str:name>", requires("files:{name!e}:read")(own(named))),
        path("unmarked", own(ok)),
        path("external", external("guarded by a proxy")(own(ok))),
        path("enforce", authenticated(own(enforced))),
        path("can", authenticated(own(probed))),
        path("slow", requires("orders:list")(own(slow))),
    ]


def _mode(kind: str, own: Callable[[Any], Any], settings: Mapping[str, object]) -> AbstractContextManager[Any]:
    return served(kind, *patterns(own), lp=settings)


MODES: dict[str, Callable[[Mapping[str, object]], AbstractContextManager[Any]]] = {
    "django-sync": partial(_mode, "wsgi", lambda view: view),
    "django-async": partial(_mode, "asgi", as_async),
}
