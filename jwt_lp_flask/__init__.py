"""Least privilege with JWTs for Flask: what is not declared is refused, before any code of the project runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, cast, overload

from flask import Flask, Request, abort
from flask import request as current_request
from werkzeug.local import LocalProxy

from jwt_lp import AUTHENTICATED, IDENTIFIED, PUBLIC, AccessToken, Guard, Requirement, all_of
from jwt_lp import external as external_to
from jwt_lp_flask.decisions import decide, decisions_of, refusal_response_for
from jwt_lp_flask.extension import LeastPrivilege, app_guard_of, enforce_mark
from jwt_lp_flask.marks import View, mark_view
from jwt_lp_flask.tokens import token_endpoint

if TYPE_CHECKING:
    from jwt_lp.permissions.requirements import Where

__all__ = [
    "LeastPrivilege",
    "authenticated",
    "can",
    "current_token",
    "enforce",
    "external",
    "guard_from",
    "public",
    "requires",
    "token_endpoint",
    "token_from",
]

_NONE: Final[Mapping[str, object]] = MappingProxyType({})


def requires(
    *permissions: str | Requirement,
    where: Where | None = None,
    unbound: Iterable[str] = (),
    enforce: bool = False,
) -> Callable[[View], View]:
    """Declare what a view asks for, all of it: below the decorator that registers the route.

    For one method of a `MethodView`, or in a class's `decorators`. `where`, `unbound` and `enforce` are those of
    `jwt_lp.all_of`. `ConfigurationError` for what can never be granted, and for a view that is declared already.
    """
    requirement = all_of(*permissions, where=where, unbound=unbound, enforce=enforce)
    return lambda view: mark_view(view, requirement, enforce_mark)


@overload
def public(view: View, /) -> View: ...
@overload
def public(*, identify: bool = False) -> Callable[[View], View]: ...
def public(view: View | None = None, /, *, identify: bool = False) -> View | Callable[[View], View]:
    """Declare that a view needs no token. With `identify`, a good one is there and any other is ignored."""
    requirement = IDENTIFIED if identify else PUBLIC
    return (
        (lambda each: mark_view(each, requirement, enforce_mark))
        if view is None
        else mark_view(view, requirement, enforce_mark)
    )


@overload
def authenticated(view: View, /) -> View: ...
@overload
def authenticated(
    *, where: Where | None = None, unbound: Iterable[str] = (), enforce: bool = False
) -> Callable[[View], View]: ...
def authenticated(
    view: View | None = None,
    /,
    *,
    where: Where | None = None,
    unbound: Iterable[str] = (),
    enforce: bool = False,
) -> View | Callable[[View], View]:
    """Declare that a view asks for a valid token, whatever it grants."""
    declare = requires(AUTHENTICATED, where=where, unbound=unbound, enforce=enforce)
    return declare if view is None else declare(view)


def external(reason: str) -> Callable[[View], View]:
    """Declare that somebody else guards the view; `reason` says who, and is listed."""
    requirement = external_to(reason)
    return lambda view: mark_view(view, requirement, enforce_mark)


def enforce(request: Request, *permissions: str | Requirement, params: Mapping[str, object] = _NONE) -> AccessToken:
    """Decide inside a view, for what depends on the body or on a loaded object; ends the request on a refusal.

    Templates are filled from the route's parameters and `params`, the latter first. A refusal is final: no error
    handler and no `except` turns it into another answer; to ask without consequence there is `can`. While the
    operator only observes, a request without a good token passes and what is returned is None.
    """
    app_guard = app_guard_of()
    asked = replace(app_guard.requirement_for(request), requirement=all_of(*permissions))
    decision = decide(app_guard.guard, request, asked, {**(request.view_args or {}), **params})
    if not decision.passes:
        abort(refusal_response_for(decision))
    return cast(AccessToken, decision.token)


def can(request: Request, *permissions: str | Requirement, params: Mapping[str, object] = _NONE) -> bool:
    """Whether the request's token would do: a question, never recorded as use; False where no token was decided on."""
    requirement = all_of(*permissions)
    token = token_from(request)
    if token is None:
        return False
    return app_guard_of().guard.can(token, requirement, {**(request.view_args or {}), **params})


def token_from(request: Request) -> AccessToken | None:
    """The token that the request was let pass with; None before a decision, and where none was asked for."""
    # The proxy is false outside a request.
    return decisions_of(request).token if request else None


def guard_from(request_or_app: Request | Flask | None = None) -> Guard:
    """The guard of an application, by default the current one; `ConfigurationError` where there is none."""
    return app_guard_of(request_or_app if isinstance(request_or_app, Flask) else None).guard


current_token = cast(AccessToken, LocalProxy(lambda: token_from(current_request)))
"""The current request's token, as `token_from` gives it: false where there is none."""
