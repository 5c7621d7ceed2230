"""What was decided about this request?

Decisions are kept on the request object itself. `flask.g` belongs to the application context, which requests
share where one was pushed before them, as tests and scripts do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from flask import Request, Response, current_app
from flask import request as current_request

from jwt_lp import AccessToken, Call, Decision, Guard, Refusal, Requirement

if TYPE_CHECKING:
    from jwt_lp_flask.urlmap import Asked

_ATTRIBUTE: Final = "_jwt_lp"


# Values are kept with their types: 1 and True are equal and do not fill a template alike.
Made: TypeAlias = "tuple[Requirement | None, dict[str, tuple[type, object]], Decision]"


@dataclass(slots=True)
class Decided:
    """Everything decided about one request.

    `refusal` is the first no; `failed` says that the guard itself could not do its work.
    """

    made: list[Made] = field(default_factory=list["Made"])
    token: AccessToken | None = None
    refusal: Refusal | None = None
    failed: bool = False


def this_request() -> Request:
    """The current request itself: going through the proxy costs each time."""
    return cast(Request, cast(Any, current_request)._get_current_object())  # noqa: SLF001 - the proxy's public API


def decided(request: Request) -> Decided:
    """What was decided about the request so far."""
    found = getattr(request, _ATTRIBUTE, None)
    if not isinstance(found, Decided):
        found = Decided()
        setattr(request, _ATTRIBUTE, found)
    return found


def judge(guard: Guard, request: Request, asked: Asked, params: Mapping[str, object]) -> Decision:
    """Decide, or give the decision that was made for the same requirement and parameters."""
    # INVARIANT: a parameter that a preprocessor took away is there all the same, and equals nothing.
    params = {**dict.fromkeys(getattr(request.url_rule, "arguments", ())), **params}
    so_far = decided(request)
    filled: dict[str, tuple[type[object], object]] = {name: (type(value), value) for name, value in params.items()}
    for requirement, with_params, decision in so_far.made:
        if requirement == asked.requirement and with_params == filled:
            return decision
    decision = guard.check(
        # Two lines arrive here joined by a comma, which the guard refuses.
        request.environ.get("HTTP_AUTHORIZATION"),
        asked.requirement,
        params,
        f"{request.method} {asked.template}",
        call=_call(request, asked.endpoint),
    )
    so_far.made.append((asked.requirement, filled, decision))
    if decision.passes:
        so_far.token = decision.token or so_far.token
    else:
        so_far.refusal = so_far.refusal or decision.refusal
    return decision


def refused(decision: Decision) -> Response:
    """The response that carries the decision's refusal."""
    return response_of(cast(Refusal, decision.refusal))


def response_of(refusal: Refusal) -> Response:
    """The refusal as a response of the application's own class."""
    return current_app.response_class(refusal.body, refusal.status, dict(refusal.headers))


def carries(response: Response, refusal: Refusal) -> bool:
    """Whether status and challenge are the refusal's; a project may render the body in its own way."""
    challenge = "WWW-Authenticate"
    same = response.headers.get(challenge) == refusal.headers.get(challenge)
    return same and response.status_code == refusal.status


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
