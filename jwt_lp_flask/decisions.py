"""What was decided about this request?

Decisions are kept on the request object itself. `flask.g` belongs to the application context, which requests
share where one was pushed before them, as tests and scripts do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

from flask import Request, Response, current_app
from flask import request as current_request

from jwt_lp import AccessToken, Call, Decision, DecisionMemo, Guard, Refusal

if TYPE_CHECKING:
    from jwt_lp_flask.urlmap import EndpointRequirement

_ATTRIBUTE: Final = "_jwt_lp"


@dataclass(slots=True)
class RequestDecisions:
    """Everything decided about one request. `failed` says that the guard itself could not do its work."""

    memo: DecisionMemo = field(default_factory=DecisionMemo)
    token: AccessToken | None = None
    failed: bool = False


def unproxied_request() -> Request:
    """The current request itself: going through the proxy costs each time."""
    return cast(Request, cast(Any, current_request)._get_current_object())  # noqa: SLF001 - the proxy's public API


def decisions_of(request: Request) -> RequestDecisions:
    """What was decided about the request so far."""
    found = getattr(request, _ATTRIBUTE, None)
    if not isinstance(found, RequestDecisions):
        found = RequestDecisions()
        setattr(request, _ATTRIBUTE, found)
    return found


def decide(guard: Guard, request: Request, asked: EndpointRequirement, params: Mapping[str, object]) -> Decision:
    """Decide, or give the decision that was made for the same requirement and parameters."""
    # INVARIANT: a parameter that a preprocessor took away is there all the same, and equals nothing.
    params = {**dict.fromkeys(getattr(request.url_rule, "arguments", ())), **params}
    so_far = decisions_of(request)
    known = so_far.memo.find(asked.requirement, params)
    if known is not None:
        return known
    decision = guard.check(
        # Two lines arrive here joined by a comma, which the guard refuses.
        request.environ.get("HTTP_AUTHORIZATION"),
        asked.requirement,
        params,
        f"{request.method} {asked.template}",
        call=_call(request, asked.endpoint),
    )
    if decision.passes:
        so_far.token = decision.token or so_far.token
    return so_far.memo.keep((asked.requirement,), params, decision)


def refusal_response_for(decision: Decision) -> Response:
    """The response that carries the decision's refusal."""
    return refusal_response(cast(Refusal, decision.refusal))


def refusal_response(refusal: Refusal) -> Response:
    """The refusal as a response of the application's own class."""
    return current_app.response_class(refusal.body, refusal.status, dict(refusal.headers))


def _call(request: Request, endpoint: str) -> Call:
    # ProxyFix puts the forwarded address into REMOTE_ADDR and keeps the socket's here.
    socket = request.environ.get("werkzeug.proxy_fix.orig", request.environ)
    return Call(
        method=request.method,
        url=lambda: request.url,
        field=lambda name: tuple(request.headers.getlist(name)),
        endpoint=endpoint,
        peer=socket.get("REMOTE_ADDR"),
    )
