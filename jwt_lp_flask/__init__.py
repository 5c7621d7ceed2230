"""Least privilege with JWTs for Flask. Routes without a declaration are refused before any code of the project runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, cast, overload

from flask import Flask, Request, abort
from flask import request as current_request
from werkzeug.local import LocalProxy

from jwt_lp import ANONYMOUS, AUTHENTICATED, IDENTIFIED, PUBLIC, AccessToken, Guard, Requirement, all_of
from jwt_lp import external as external_requirement
from jwt_lp_flask.console import mount_console
from jwt_lp_flask.cookies import clear_cookie, set_cookie
from jwt_lp_flask.decisions import decisions_of, params_of, refusal_response_for, unproxied_app
from jwt_lp_flask.declarations import View, declare_view
from jwt_lp_flask.elevation import elevation_endpoints, request_elevation
from jwt_lp_flask.extension import LeastPrivilege, app_guard_of, enforce_declaration
from jwt_lp_flask.local_user import local_user
from jwt_lp_flask.metadata import resource_metadata
from jwt_lp_flask.sign_in import sign_in_endpoints
from jwt_lp_flask.tokens import token_endpoint

if TYPE_CHECKING:
    from jwt_lp.permissions.requirements import Where

__all__ = [
    "LeastPrivilege",
    "authenticated",
    "can",
    "clear_cookie",
    "current_token",
    "elevation_endpoints",
    "enforce",
    "external",
    "guard_from",
    "local_user",
    "mount_console",
    "public",
    "request_elevation",
    "requires",
    "resource_metadata",
    "set_cookie",
    "sign_in_endpoints",
    "token_endpoint",
    "token_from",
]

_NONE: Final[Mapping[str, object]] = MappingProxyType({})


def requires(
    *permissions: str | Requirement,
    where: Where | None = None,
    unbound: Iterable[str] = (),
    enforce: bool = False,
    or_session: str | None = None,
) -> Callable[[View], View]:
    """Declare that a view requires all `permissions`. Write it below the decorator that registers the route.

    It also works on one method of a `MethodView`, and in a class's `decorators`. `where`, `unbound`, `enforce` and
    `or_session` are those of `jwt_lp.all_of`; the session is that of Flask-Login. Raises `ConfigurationError` for what can never be granted, and for a view that is
    declared already.
    """
    return _declare(all_of(*permissions, where=where, unbound=unbound, enforce=enforce, or_session=or_session))


@overload
def public(view: View, /) -> View: ...
@overload
def public(*, identify: bool = False) -> Callable[[View], View]: ...
def public(view: View | None = None, /, *, identify: bool = False) -> View | Callable[[View], View]:
    """Declare that a view requires no token. With `identify`, a valid token is kept and any other is ignored."""
    declare = _declare(IDENTIFIED if identify else PUBLIC)
    return declare if view is None else declare(view)


@overload
def authenticated(view: View, /) -> View: ...
@overload
def authenticated(
    *, where: Where | None = None, unbound: Iterable[str] = (), enforce: bool = False, or_session: str | None = None
) -> Callable[[View], View]: ...
def authenticated(
    view: View | None = None,
    /,
    *,
    where: Where | None = None,
    unbound: Iterable[str] = (),
    enforce: bool = False,
    or_session: str | None = None,
) -> View | Callable[[View], View]:
    """Declare that a view requires a valid token, whatever it grants."""
    declare = requires(AUTHENTICATED, where=where, unbound=unbound, enforce=enforce, or_session=or_session)
    return declare if view is None else declare(view)


def external(reason: str) -> Callable[[View], View]:
    """Declare that something else guards the view; `reason` says what, and appears in the list of routes."""
    return _declare(external_requirement(reason))


def _declare(requirement: Requirement) -> Callable[[View], View]:
    return lambda view: declare_view(view, requirement, enforce_declaration)


def enforce(request: Request, *permissions: str | Requirement, params: Mapping[str, object] = _NONE) -> AccessToken:
    """Decide inside a view, for what depends on the body or on a loaded object; a refusal ends the request.

    Templates are filled from `params` first, then from the route's parameters. A refusal is final: no error handler
    and no `except` turns it into another answer. To ask without that effect, use `can`. In observe mode a request
    without a valid token passes, and `jwt_lp.ANONYMOUS` is returned.
    """
    app = unproxied_app()
    app_guard = app_guard_of(app)
    required = app_guard.requirement_for(app, request)
    params = {**params_of(request), **params}
    decision = decisions_of(request).decide(app_guard.guard, request, required, all_of(*permissions), params)
    if not decision.passes:
        abort(refusal_response_for(decision))
    return decision.token or ANONYMOUS


def can(request: Request, *permissions: str | Requirement, params: Mapping[str, object] = _NONE) -> bool:
    """Whether the request's token passes `permissions`; never recorded as usage. False if there is no token."""
    requirement = all_of(*permissions)
    token = token_from(request)
    if token is None:
        return False
    return app_guard_of().guard.can(token, requirement, {**(request.view_args or {}), **params})


def token_from(request: Request) -> AccessToken | None:
    """The verified token of the request; None before a decision, and if the route requires none."""
    # Outside a request, the proxy is false.
    return decisions_of(request).token if request else None


def guard_from(request_or_app: Request | Flask | None = None) -> Guard:
    """The guard of an application, by default of the current one; `ConfigurationError` if there is none."""
    return app_guard_of(request_or_app if isinstance(request_or_app, Flask) else None).guard


current_token = cast(AccessToken, LocalProxy(lambda: token_from(current_request) or ANONYMOUS))
"""The current request's token; `jwt_lp.ANONYMOUS`, which is false and holds nothing, if there is none."""
