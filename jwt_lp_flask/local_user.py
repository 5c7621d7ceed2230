"""The application's own user for an access token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from flask import abort
from flask import request as current_request

from jwt_lp import ConfigurationError
from jwt_lp_flask.decisions import RequestDecisions, decisions_of, refusal_response_for, unproxied_app
from jwt_lp_flask.extension import AppGuard, app_guard_of
from jwt_lp_flask.signals import send_refused

if TYPE_CHECKING:
    from flask import Request


def local_user(request: Request | None = None) -> Any:
    """The user that `LOCAL_USER` finds for the request's token; None without a token, and for an application's own.

    It is found once for a request. If the function returns None, or a user whose `is_active` is false, the request
    ends with 401, finally; in observe mode, and on a public route, None is returned. `ConfigurationError` if `LOCAL_USER` is not set.
    """
    request = current_request if request is None else request
    decisions, app_guard = decisions_of(request), app_guard_of()
    users = app_guard.guard.local_users
    if users is None:
        raise ConfigurationError("there is no LOCAL_USER in JWT_LP: set it to a function of the token")
    token = decisions.token
    if token is None or token.app:
        return None
    if decisions.local_user is None:
        decisions.local_user = _admit(app_guard, request, decisions, users.get(token))
    return decisions.local_user


def _admit(app_guard: AppGuard, request: Request, decisions: RequestDecisions, user: Any) -> Any:
    """The user, if the guard lets it in; otherwise the request ends."""
    required = app_guard.requirement_for(unproxied_app(), request)
    token = cast(Any, decisions.token)
    decision = decisions.memo.note(app_guard.guard.admit_user(token, user, required.requirement, required.route))
    if decision.refusal is not None:
        send_refused(unproxied_app(), request, decision)
        abort(refusal_response_for(decision))
    return user if decision.token is not None else None
