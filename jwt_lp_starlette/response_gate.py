"""The gate that forwards authorised responses and refusals, and withholds any other response."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

from starlette.datastructures import Headers

from jwt_lp import Refusal
from jwt_lp_starlette.request_context import RequestContext, can_deny_handshake, refusal_error, refusal_response
from jwt_lp_starlette.scope import BEARER, NO_PARAMETERS, Scope

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

# The router's own answers if it calls nothing: not found, not allowed, and the redirect that adds or drops a slash.
_METHOD_NOT_ALLOWED: Final = 405
_ROUTER_STATUSES: Final = frozenset({404, _METHOD_NOT_ALLOWED, 307})
_RESPONSE_STARTS: Final = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})


class ResponseGate:
    """Forwards authorised responses, refusals and the router's own answers; withholds the rest.

    `begun` says that a response has begun, or that a websocket was accepted.
    """

    __slots__ = ("_accepted", "_context", "_receive", "_refusal_at_start", "_scope", "_send", "_withheld", "begun")

    def __init__(self, context: RequestContext, scope: Scope, receive: Receive, send: Send) -> None:
        self._context = context
        self._scope = scope
        self._receive = receive
        self._send = send
        self.begun = False
        self._refusal_at_start: Refusal | None = None
        self._accepted = False
        self._withheld = False

    async def __call__(self, message: Message) -> None:
        """Forward the message, or send the refusal instead."""
        if self._withheld:
            return
        kind, memo = message["type"], self._context.memo
        starts = kind in _RESPONSE_STARTS
        # INVARIANT: a refusal is final; a response that began before it is not continued.
        may_send = self._may_start(message) if starts else memo.refusal is self._refusal_at_start
        if not may_send and kind != "websocket.close" and await self._withhold():
            return
        if starts:
            self.begun, self._refusal_at_start = True, memo.refusal
        if kind == "websocket.accept":
            self._accepted = True
            if self._context.offered_tokens and not message.get("subprotocol"):
                # A browser that offered subprotocols gives up unless the server chooses one of them.
                message["subprotocol"] = BEARER
        await self._send(message)

    def _may_start(self, message: Message) -> bool:
        # INVARIANT: what answers is what was authorised; nothing else may answer with content.
        context = self._context
        if context.memo.refusal is not None:
            return context.memo.permits(*_status_and_challenge(message))
        if context.decision is None and message.get("status") not in _ROUTER_STATUSES:
            return False
        # For a 405, the endpoint was found by its path but not called.
        passed = context.passes_through(self._scope.get("endpoint"))
        return passed or (context.decision is None and message.get("status") == _METHOD_NOT_ALLOWED)

    async def refuse(self) -> None:
        """Send the refusal, unless something was sent."""
        if not (self.begun or self._withheld):
            await self._withhold()

    async def _withhold(self) -> bool:
        refusal = self._context.memo.refusal or (await self._context.decide(None, NO_PARAMETERS)).refusal
        if refusal is None:
            return False
        self._withheld = True
        if self.begun and not self._accepted:
            # The status is sent. An error makes the server break the connection, so the client sees the early end.
            raise refusal_error(self._scope, refusal)
        if self._scope["type"] == "websocket" and (self._accepted or not can_deny_handshake(self._scope)):
            await self._send({"type": "websocket.close", "code": 1008, "reason": refusal.error or ""})
        else:
            await refusal_response(refusal)(self._scope, self._receive, self._send)
        return True


def _status_and_challenge(message: Message) -> tuple[int, str | None]:
    """Status and challenge of a response that begins; an accepted websocket has status 0."""
    return message.get("status", 0), Headers(raw=list(message.get("headers", ()))).get("www-authenticate")
