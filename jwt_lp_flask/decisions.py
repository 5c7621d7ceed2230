"""The decisions about a request.

They are kept on the request object itself. `flask.g` belongs to the application context. If a test or a script pushes
one, several requests share it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from operator import is_
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast
from urllib.parse import quote

from flask import Flask, Request, Response, current_app
from flask import request as current_request

from jwt_lp import AccessToken, Call, Decision, DecisionMemo, Guard, Refusal, Requirement
from jwt_lp_flask.sessions import session_fault
from jwt_lp_flask.signals import send_refused

if TYPE_CHECKING:
    from werkzeug.routing import Rule

    from jwt_lp_flask.urlmap import EndpointRequirement

_ATTRIBUTE: Final = "_jwt_lp"


class EndpointDecision(NamedTuple):
    """A decision about the endpoint that Flask chose, and what it is about."""

    app: Flask
    rule: Rule
    method: str
    view_args: Mapping[str, object]
    required: EndpointRequirement
    decision: Decision

    def is_about(self, request: Request) -> bool:
        """Whether Flask would still call the same view with the very same arguments."""
        if request.url_rule is not self.rule or request.method != self.method:
            return False
        if (request.view_args or self.view_args) and not _are_identical(request.view_args or {}, self.view_args):
            return False
        return self.required.is_current(self.app, self.rule)


@dataclass(slots=True)
class RequestDecisions:
    """All decisions about one request.

    `endpoint` is the last one about the endpoint itself. `failed` says that the guard itself raised an error.
    `local_user` is the user that was found for the token.
    """

    memo: DecisionMemo = field(default_factory=DecisionMemo)
    token: AccessToken | None = None
    failed: bool = False
    endpoint: EndpointDecision | None = None
    local_user: Any = None

    def decide(
        self,
        guard: Guard,
        request: Request,
        required: EndpointRequirement,
        requirement: Requirement | None,
        params: Mapping[str, object],
    ) -> Decision:
        """Decide on `requirement` at an endpoint, or return the earlier decision for it and the same parameters."""
        earlier = self.memo.find(requirement, params)
        if earlier is not None:
            return earlier
        decision = guard.check(
            # WSGI joins two header lines by a comma, which the guard refuses.
            request.environ.get("HTTP_AUTHORIZATION"),
            requirement,
            params,
            required.route,
            call=_call(request, required.endpoint, requirement, self.memo),
        )
        if decision.passes:
            self.token = decision.token or self.token
            return self.memo.keep((requirement,), params, decision)
        self.memo.keep((requirement,), params, decision)
        send_refused(unproxied_app(), request, decision)
        return decision


def unproxied_app() -> Flask:
    """The current application itself, because each access through the proxy costs time."""
    return cast(Flask, cast(Any, current_app)._get_current_object())  # noqa: SLF001 - the proxy's public API


def unproxied_request() -> Request:
    """The current request itself, for the same reason."""
    return cast(Request, cast(Any, current_request)._get_current_object())  # noqa: SLF001 - the proxy's public API


def decisions_of(request: Request) -> RequestDecisions:
    """The decisions about the request so far."""
    decisions = getattr(request, _ATTRIBUTE, None)
    if not isinstance(decisions, RequestDecisions):
        decisions = RequestDecisions()
        setattr(request, _ATTRIBUTE, decisions)
    return decisions


def params_of(request: Request) -> Mapping[str, object]:
    """The parameters of the route as the view receives them."""
    # INVARIANT: a parameter that a preprocessor removed counts as present, with a value that equals nothing.
    return {**dict.fromkeys(getattr(request.url_rule, "arguments", ())), **(request.view_args or {})}


def refusal_response_for(decision: Decision) -> Response:
    """The response that carries the decision's refusal."""
    return refusal_response(cast(Refusal, decision.refusal))


def refusal_response(refusal: Refusal) -> Response:
    """The refusal as a response of the application's own class."""
    return current_app.response_class(refusal.body, refusal.status, dict(refusal.headers))


def _are_identical(args: Mapping[str, object], others: Mapping[str, object]) -> bool:
    """Whether both have the very same values in the same order. Equal ones are not enough, because 1 equals True."""
    return list(args) == list(others) and all(map(is_, args.values(), others.values()))


def _call(request: Request, endpoint: str, requirement: Requirement | None, memo: DecisionMemo) -> Call:
    environ = request.environ
    # ProxyFix puts the forwarded address into REMOTE_ADDR, and keeps the address of the socket under its own key.
    original = environ.get("werkzeug.proxy_fix.orig", environ)

    def field(name: str) -> tuple[str, ...]:
        return tuple(request.headers.getlist(name))

    call = Call(
        request.method,
        lambda: _url(request),
        field,
        endpoint,
        original.get("REMOTE_ADDR"),
        request.path,
        memo=memo,
    )
    if requirement is None or requirement.session is None:
        return call
    return call._replace(session=partial(session_fault, unproxied_app(), call))


def _url(request: Request) -> str:
    """The address of the request as a URI: `request.url` does not tell a decoded percent sign from an encoded one."""
    query = request.query_string.decode("latin-1")
    path = quote(request.root_path.rstrip("/") + request.path)
    return f"{request.scheme}://{request.host}{path}{'?' if query else ''}{query}"
