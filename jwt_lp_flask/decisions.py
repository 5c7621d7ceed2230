"""The decisions about a request.

They are kept on the request object itself. `flask.g` belongs to the application context. If a test or a script pushes
one, several requests share it.
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
    """All decisions about one request. `failed` says that the guard itself raised an error."""

    memo: DecisionMemo = field(default_factory=DecisionMemo)
    token: AccessToken | None = None
    failed: bool = False


def unproxied_request() -> Request:
    """The current request itself, because each access through the proxy costs time."""
    return cast(Request, cast(Any, current_request)._get_current_object())  # noqa: SLF001 - the proxy's public API


def decisions_of(request: Request) -> RequestDecisions:
    """The decisions about the request so far."""
    decisions = getattr(request, _ATTRIBUTE, None)
    if not isinstance(decisions, RequestDecisions):
        decisions = RequestDecisions()
        setattr(request, _ATTRIBUTE, decisions)
    return decisions


def decide(guard: Guard, request: Request, required: EndpointRequirement, params: Mapping[str, object]) -> Decision:
    """Decide, or return the earlier decision for the same requirement and parameters."""
    # INVARIANT: a parameter that a preprocessor removed counts as present, with a value that equals nothing.
    params = {**dict.fromkeys(getattr(request.url_rule, "arguments", ())), **params}
    decisions = decisions_of(request)
    earlier = decisions.memo.find(required.requirement, params)
    if earlier is not None:
        return earlier
    decision = guard.check(
        # WSGI joins two header lines by a comma, which the guard refuses.
        request.environ.get("HTTP_AUTHORIZATION"),
        required.requirement,
        params,
        f"{request.method} {required.template}",
        call=_call(request, required.endpoint),
    )
    if decision.passes:
        decisions.token = decision.token or decisions.token
    return decisions.memo.keep((required.requirement,), params, decision)


def refusal_response_for(decision: Decision) -> Response:
    """The response that carries the decision's refusal."""
    return refusal_response(cast(Refusal, decision.refusal))


def refusal_response(refusal: Refusal) -> Response:
    """The refusal as a response of the application's own class."""
    return current_app.response_class(refusal.body, refusal.status, dict(refusal.headers))


def _call(request: Request, endpoint: str) -> Call:
    # ProxyFix puts the forwarded address into REMOTE_ADDR, and keeps the address of the socket under its own key.
    original = request.environ.get("werkzeug.proxy_fix.orig", request.environ)
    return Call(
        method=request.method,
        url=lambda: request.url,
        field=lambda name: tuple(request.headers.getlist(name)),
        endpoint=endpoint,
        peer=original.get("REMOTE_ADDR"),
    )
