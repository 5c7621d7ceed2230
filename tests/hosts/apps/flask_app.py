"""The conformance table's endpoints in Flask, with sync and with async views."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from typing import Any, Literal

from flask import Flask, request

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


def unmarked(view: View) -> View:
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
    ("GET /unmarked", unmarked, ok),
    ("GET /external", external("guarded by a proxy"), ok),
    ("GET /enforce", authenticated, enforced),
    ("GET /can", authenticated, probed),
    ("GET /slow", requires("orders:list"), slow),
)


def awaiting(view: View) -> View:
    """The same view as a coroutine function, which is another task of another event loop."""

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
        with guard_from(app):
            yield "wsgi", app

    return served


MODES: dict[str, Mode] = {"flask": mode(lambda view: view), "flask-async": mode(awaiting)}
