"""The conformance application in Flask, with sync and async views."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import copy_context
from functools import partial, wraps
from threading import Timer
from typing import Any, Literal

from flask import Flask, Response, request
from flask.views import MethodView
from werkzeug.exceptions import HTTPException

from hosts.apps import caught
from jwt_lp import all_of, any_of
from jwt_lp_flask import (
    LeastPrivilege,
    authenticated,
    can,
    current_token,
    enforce,
    external,
    guard_from,
    public,
    requires,
    token_from,
)

Served = tuple[Literal["wsgi", "asgi"], Any]
Mode = Callable[[Mapping[str, object]], AbstractContextManager[Served]]
View = Callable[..., Any]


def ok() -> dict[str, Any]:
    return {"ok": True}


def subject(**_: object) -> dict[str, Any]:
    token = token_from(request)
    return {"subject": token.subject if token else None}


def current_subject() -> dict[str, Any]:
    return {"subject": current_token.subject}


def by_token() -> dict[str, Any]:
    holds = "orders:list" in current_token.permissions
    return {"subject": current_token.subject, "anonymous": current_token.is_anonymous, "holds": holds}


def order(order_id: int) -> dict[str, Any]:
    return {"subject": current_token.subject, "order_id": str(order_id)}


def enforced() -> dict[str, Any]:
    enforce(request, "items:{item}:use", params={"item": request.args["item"]})
    return {"ok": True}


def probed() -> dict[str, Any]:
    return {"can": can(request, "orders:list")}


def slow() -> dict[str, Any]:
    time.sleep(0.05)
    return subject()


def ask(permission: str) -> Any:
    return enforce(request, permission)


def catching(way: Callable[[caught.Ask], None]) -> View:
    def view() -> dict[str, Any]:
        way(ask)
        return ok()

    return view


def catching_async(way: Callable[[caught.Ask], Any]) -> View:
    async def view() -> dict[str, Any]:
        await way(ask)
        return ok()

    return view


def forbids() -> Any:
    return ({"error": "insufficient_scope", "secret": 1}, 403) if caught.refused(ask) else ok()


def raises() -> dict[str, Any]:
    ask("caught:use")
    return ok()


def streams() -> Response:
    caught.view(ask)
    return Response(iter([b'{"ok"', b": true}"]))


guarded_part = requires("caught:use")(ok)


def calls_marked() -> dict[str, Any]:
    with suppress(Exception):
        guarded_part()
    return ok()


def in_background() -> dict[str, Any]:
    Timer(0.1, partial(copy_context().run, caught.background, ask)).start()
    return ok()


class Verbs(MethodView):
    """Only `get` has a declaration; the other methods have none."""

    @public
    def get(self) -> dict[str, Any]:
        return ok()

    def head(self) -> Response:
        return Response(headers={"X-Verb": "head"})

    def options(self) -> dict[str, Any]:
        return ok()

    post = put = patch = delete = options


class AsyncVerbs(MethodView):
    """The same with coroutine functions."""

    @public
    async def get(self) -> dict[str, Any]:
        return ok()

    async def head(self) -> Response:
        return Response(headers={"X-Verb": "head"})

    async def options(self) -> dict[str, Any]:
        return ok()

    post = put = patch = delete = options


class Listing(MethodView):
    """The same if `get` requires a permission."""

    @requires("orders:list")
    def get(self) -> dict[str, Any]:
        return ok()

    head, options, delete = Verbs.head, Verbs.options, Verbs.delete


class AsyncListing(MethodView):
    """The same with coroutine functions."""

    @requires("orders:list")
    async def get(self) -> dict[str, Any]:
        return ok()

    head, options, delete = AsyncVerbs.head, AsyncVerbs.options, AsyncVerbs.delete


CATCHERS: dict[str, View] = {
    "before": ok,
    "after": ok,
    "forbidden": forbids,
    "raised": raises,
    "stream": streams,
    "marked": calls_marked,
    "background": in_background,
}


def add_catchers(app: Flask, coloured: Callable[[View], View]) -> None:
    """The routes on which code or a hook catches a refusal."""
    if coloured is awaiting:
        ways = {name: catching_async(way) for name, way in caught.AWAITABLE.items()}
    else:
        ways = {name: catching(way) for name, way in caught.PLAIN.items()}
    for name, view in {**ways, **{name: coloured(view) for name, view in CATCHERS.items()}}.items():
        app.add_url_rule(f"/caught/{name}", f"caught {name}", authenticated(view))
    app.add_url_rule("/caught/reworded", "reworded", requires("caught:use")(coloured(ok)))
    app.add_url_rule("/caught/public", "raises in public", public(coloured(raises)))
    app.add_url_rule("/caught/open", "catches in public", public(coloured(catching(caught.view))))
    verbs, listing = (AsyncVerbs, AsyncListing) if coloured is awaiting else (Verbs, Listing)
    app.add_url_rule("/verbs", view_func=verbs.as_view("verbs"))
    app.add_url_rule("/listing", view_func=listing.as_view("listing"))

    @app.before_request
    def before() -> None:
        if request.path == "/caught/before":
            caught.view(ask)

    @app.after_request
    def after(response: Response) -> Response:
        if request.path == "/caught/after":
            caught.view(ask)
        return app.make_response(ok()) if request.path == "/caught/reworded" else response

    @app.errorhandler(Exception)
    def handler(error: Exception) -> Any:
        if request.path == "/caught/raised":
            return ok()
        return error if isinstance(error, HTTPException) else ("", 500)


def undeclared(view: View) -> View:
    return view


TABLE: tuple[tuple[str, Callable[[View], View], View], ...] = (
    ("GET /public", public, ok),
    ("GET /identified", public(identify=True), subject),
    ("GET /me", authenticated, current_subject),
    ("GET /orders", requires("orders:list"), subject),
    ("POST /orders", requires("orders:create"), subject),
    ("GET /orders/<int:order_id>", requires("orders:{order_id}:read"), order),
    ("DELETE /orders/<int:order_id>", requires("orders:delete"), order),
    ("GET /either", requires(any_of("orders:audit", all_of("orders:list", "orders:export"))), subject),
    ("GET /both", requires("orders:list", "orders:export"), subject),
    ("GET /users/<user_id>", requires("users:read", where={"user_id": "sub"}), subject),
    ("GET /files/<name>", requires("files:{name}:read"), subject),
    ("GET /encoded/<name>", requires("files:{name!e}:read"), subject),
    ("GET /undeclared", undeclared, ok),
    ("GET /external", external("guarded by a proxy"), ok),
    ("GET /enforce", authenticated, enforced),
    ("GET /can", authenticated, probed),
    ("GET /by-token", requires("orders:list"), by_token),
    ("GET /open-by-token", public, by_token),
    ("GET /slow", requires("orders:list"), slow),
)


def awaiting(view: View) -> View:
    """The same view as a coroutine function."""

    @wraps(view)
    async def wrapper(**params: Any) -> Any:
        await asyncio.sleep(0)
        return view(**params)

    return wrapper


def mode(coloured: Callable[[View], View]) -> Mode:
    @contextmanager
    def served(settings: Mapping[str, object]) -> Generator[Served]:
        app = Flask(__name__)
        app.config["JWT_LP"] = settings
        LeastPrivilege(app)
        for label, declare, view in TABLE:
            method, path = label.split(" ")
            app.add_url_rule(path, label, declare(coloured(view)), methods=[method])
        add_catchers(app, coloured)
        with guard_from(app):
            yield "wsgi", app

    return served


MODES: dict[str, Mode] = {"flask": mode(lambda view: view), "flask-async": mode(awaiting)}
