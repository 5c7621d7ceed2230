"""An ASGI application, such as the console, below a path of a Flask application."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from jwt_lp import ConfigurationError

WsgiApp: TypeAlias = Callable[[dict[str, Any], Any], Iterable[bytes]]


def mount_console(app: Flask, console: Any, path: str = "/access") -> None:
    """Have the console answer everything below `path`, before Flask: `mount_console(app, create_console(...))`.

    `path` begins with `/`, and is not `/` itself, `ConfigurationError` otherwise.
    The console has a guard of its own, so Flask's hooks and the guard of `app` do not see these requests. It needs
    a2wsgi (`pip install "jwt-lp[console]"`), `ConfigurationError` without it. It works in servers that fork after they have loaded the application.
    """
    if not path.startswith("/") or not path.strip("/"):
        raise ConfigurationError(f'mount_console needs a path of its own, such as "/access", not {path!r}')
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {path.rstrip("/"): _EachProcess(console)})  # type: ignore[method-assign]


class _EachProcess:
    """A WSGI application for an ASGI application, made anew in each process: it has a thread, which no fork copies."""

    def __init__(self, app: Any) -> None:
        try:
            from a2wsgi import ASGIMiddleware
        except ImportError as error:
            raise ConfigurationError('mount_console needs a2wsgi: pip install "jwt-lp[console]"') from error
        self._make: Callable[[], Any] = lambda: ASGIMiddleware(app)
        self._made: tuple[int, WsgiApp] | None = None
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer a request."""
        made = self._made
        if made is None or made[0] != os.getpid():
            with self._lock:
                made = self._made
                if made is None or made[0] != os.getpid():
                    made = self._made = os.getpid(), self._make()
        return made[1](environ, start_response)
