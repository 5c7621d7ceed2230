"""What is done when an ASGI server stops?

Django does not speak ASGI's lifespan, and uvicorn ends a process by a signal, so that nothing that Python runs at exit
is run. So the lifespan is answered here, and what was counted is written at its end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from functools import wraps
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIHandler

from jwt_lp_django.apps import guard_from

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def install_lifespan() -> None:
    """Have Django's ASGI application answer lifespan, unless a later Django or somebody else's class does."""
    call = ASGIHandler.__call__
    if hasattr(call, "__jwt_lp__"):
        return

    @wraps(call)
    async def answering(self: ASGIHandler, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        else:
            await call(self, scope, receive, send)

    answering.__jwt_lp__ = True  # type: ignore[attr-defined]
    ASGIHandler.__call__ = answering  # type: ignore[method-assign]


async def _lifespan(receive: _Receive, send: _Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        else:
            # The store is not to be spoken to on the event loop.
            await sync_to_async(guard_from().close, thread_sensitive=False)()
            await send({"type": "lifespan.shutdown.complete"})
            return
