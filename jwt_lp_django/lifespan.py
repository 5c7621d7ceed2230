"""ASGI lifespan for Django: recorded usage is written when the server stops.

Django does not answer ASGI's lifespan, and uvicorn ends a process by a signal, so Python's exit handlers do not run.
Therefore this module answers the lifespan, and writes at its end what was recorded.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from functools import wraps
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIHandler

from jwt_lp_django.guard_access import guard_from

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def install_lifespan() -> None:
    """Make Django's ASGI application answer the lifespan. A second call does nothing."""
    call = ASGIHandler.__call__
    if hasattr(call, "__jwt_lp__"):
        return

    @wraps(call)
    async def with_lifespan(self: ASGIHandler, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        else:
            await call(self, scope, receive, send)

    with_lifespan.__jwt_lp__ = True  # type: ignore[attr-defined]
    ASGIHandler.__call__ = with_lifespan  # type: ignore[method-assign]


async def _lifespan(receive: _Receive, send: _Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        else:
            # Calls of the store must not block the event loop.
            await sync_to_async(guard_from().close, thread_sensitive=False)()
            await send({"type": "lifespan.shutdown.complete"})
            return
