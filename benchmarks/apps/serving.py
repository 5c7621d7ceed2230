"""The application that a server process serves, as the environment variable `BENCHMARKS_APP` describes it."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from typing import Any, Final

from benchmarks.apps.handlers import OrderBook

VARIABLE: Final = "BENCHMARKS_APP"
WSGI: Final = ("Flask", "Django", "DRF")
ASGI: Final = ("Starlette", "FastAPI")


def create() -> Any:
    """The application: `host` names its host, and `settings` are those of jwt-lp, or None for the bare application."""
    wanted = json.loads(os.environ[VARIABLE])
    logging.disable(logging.CRITICAL)
    return make(wanted["host"], _page(), wanted["settings"])


def _page() -> Callable[[], dict[str, Any]]:
    book = OrderBook()
    # Looked up at each call: a bound method would be that of the thread which made it, with its own table.
    return lambda: book.page()  # noqa: PLW0108


def make(host: str, handler: Any, settings: Any) -> Any:
    """The host's application around `handler`; without `settings` it has no guard."""
    module = _module(host)
    if host in ASGI or host == "Flask":
        return module.bare(handler) if settings is None else module.guarded(handler, settings)
    module.configure({} if settings is None else settings)
    prefix = "drf_" if host == "DRF" else ""
    make_site = getattr(module, f"{prefix}bare" if settings is None else f"{prefix}guarded")
    return make_site(handler).wsgi


def _module(host: str) -> Any:
    if host == "Flask":
        from benchmarks.apps import flask_apps

        return flask_apps
    if host == "Starlette":
        from benchmarks.apps import starlette_apps

        return starlette_apps
    if host == "FastAPI":
        from benchmarks.apps import fastapi_apps

        return fastapi_apps
    from benchmarks.apps import django_apps

    return django_apps
