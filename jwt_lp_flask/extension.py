"""The Flask extension, and the guard of one application.

The guard decides before every hook and every view, about the endpoint that Flask itself chose. After them it withholds
a response that was not authorised.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from threading import Lock
from typing import Any, Final, cast

from flask import Flask, Request, Response, abort
from werkzeug.wsgi import ClosingIterator

from jwt_lp import ConfigurationError, Decision, DecisionMemo, Guard, Settings
from jwt_lp_flask import signals
from jwt_lp_flask.decisions import (
    EndpointDecision,
    decisions_of,
    params_of,
    refusal_response,
    refusal_response_for,
    unproxied_app,
    unproxied_request,
)
from jwt_lp_flask.declarations import HTTP_METHODS, ViewDeclaration
from jwt_lp_flask.urlmap import EndpointRequirement, endpoint_requirement, is_automatic_options, routes_of

_EXTENSION: Final = "jwt_lp"


class LeastPrivilege:
    """The Flask extension: `LeastPrivilege(app)`, or `init_app(app)` in a factory.

    Settings are those passed, a mapping or a `Settings`, otherwise `app.config["JWT_LP"]`. `ConfigurationError`
    lists all their faults. Any number of applications may be initialised.
    """

    def __init__(self, app: Flask | None = None, settings: Settings | Mapping[str, object] | None = None) -> None:
        self._settings = settings
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask, settings: Settings | Mapping[str, object] | None = None) -> None:
        """Install a guard in `app`, whatever was or will be registered on it."""
        if _EXTENSION in app.extensions:
            raise ConfigurationError(f"the application {app.name!r} has a guard already: initialise it once")
        configured = cast("dict[str, Mapping[str, object]]", app.config).get("JWT_LP")
        sources = (settings, self._settings, configured)
        chosen = next((source for source in sources if source is not None), None)
        if chosen is None:
            raise ConfigurationError('there are no settings: app.config["JWT_LP"] = {...} before LeastPrivilege(app)')
        app.extensions[_EXTENSION] = AppGuard(Guard(chosen))
        signals.connect()
        # INVARIANT: the first hook before the request, and the last one after it, because those run in reverse.
        app.before_request_funcs.setdefault(None, []).insert(0, before_request)
        app.after_request_funcs.setdefault(None, []).insert(0, after_request)

    def check(self, app: Flask) -> None:
        """Check every declaration: `ConfigurationError` lists the faults; undeclared routes are logged.

        Call it when all routes are registered. Otherwise the first request does it.
        """
        app_guard_of(app).check(app)


class AppGuard:
    """The guard of one application, and what is known about its routes."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self._lock = Lock()
        self._faults: tuple[str, ...] | None = None
        self._requirements: dict[tuple[str, str, str], EndpointRequirement] = {}

    def swap(self, guard: Guard) -> Guard:
        """Use another guard from now on and return the previous one. The routes are checked again."""
        with self._lock:
            self.guard, previous, self._faults = guard, self.guard, None
        return previous

    def check(self, app: Flask) -> None:
        """Check every route: `ConfigurationError` for faults, one warning for each undeclared route."""
        with self._lock:
            self._check(app)

    def ensure_checked(self, app: Flask) -> None:
        """Check every route unless that is done; `ConfigurationError` as long as there are faults."""
        if self._faults is None:
            with self._lock:
                if self._faults is None:
                    self._check(app)
        if self._faults:
            raise ConfigurationError(*self._faults)

    def _check(self, app: Flask) -> None:
        self._faults = self.guard.check_routes(routes_of(app, self.guard.rules))
        if self._faults:
            raise ConfigurationError(*self._faults)

    def requirement_for(self, app: Flask, request: Request) -> EndpointRequirement:
        """The requirement for the request; it is read again if anything was replaced that it was read from."""
        rule, method, rules = request.url_rule, request.method, self.guard.rules
        if rule is None:
            return EndpointRequirement(None, f"{method} (no route)", "")
        key = (rule.endpoint, rule.rule, method)
        known = self._requirements.get(key)
        if known is not None and known.rules is rules and known.is_current(app, rule):
            return known
        required = endpoint_requirement(app, rules, rule, method)
        # The URL map bounds the cache: if a rule names no methods, a client may invent some.
        if method in HTTP_METHODS:
            self._requirements[key] = required
        return required

    def decide(self, app: Flask, request: Request, declaration: ViewDeclaration | None = None) -> Decision:
        """Decide about the endpoint that Flask chose, or about `declaration` if it is not on that endpoint."""
        decisions, required = decisions_of(request), self.requirement_for(app, request)
        params, rule = params_of(request), request.url_rule
        if declaration is not None and declaration not in required.declarations:
            return decisions.decide(self.guard, request, required, declaration.requirement, params)
        decision = decisions.decide(self.guard, request, required, required.requirement, params)
        if rule is not None:
            view_args = dict(request.view_args or {})
            decisions.endpoint = EndpointDecision(app, rule, request.method, view_args, required, decision)
        return decision


def app_guard_of(app: Flask | None = None) -> AppGuard:
    """The guard of `app`, or of the current application; `ConfigurationError` if it has none."""
    owner = unproxied_app() if app is None else app
    app_guard = owner.extensions.get(_EXTENSION)
    if not isinstance(app_guard, AppGuard):
        raise ConfigurationError(f"the Flask application {owner.name!r} has no guard: call LeastPrivilege(app)")
    return app_guard


# The hooks are functions, because Flask takes twice as long to call a method.


def before_request() -> Response | None:
    """Decide before any hook of the project; returns a response if the request is refused."""
    app, request = unproxied_app(), unproxied_request()
    try:
        app_guard = app_guard_of(app)
        app_guard.ensure_checked(app)
        if request.routing_exception is not None or is_automatic_options(request):
            return None
        decision = app_guard.decide(app, request)
    except Exception:
        decisions_of(request).failed = True
        raise
    return None if decision.passes else refusal_response_for(decision)


def after_request(response: Response) -> Response:
    """Withhold a response that was not authorised or was refused; forward Flask's own answers."""
    request = unproxied_request()
    decisions = decisions_of(request)
    if decisions.failed:
        hides_failure = response.status_code < 500  # noqa: PLR2004 - an HTTP status
        return _replace_response(response, unproxied_app().response_class("", 500)) if hides_failure else response
    memo, last = decisions.memo, decisions.endpoint
    decided = memo.refusal is not None or (last is not None and last.is_about(request))
    # INVARIANT: only Flask's own answers are sent without a decision. There is none if a hook answered before the guard,
    # and none about what was called if a hook changed that.
    if not decided and not _is_flask_answer(request, response):
        app = unproxied_app()
        app_guard = app_guard_of(app)
        app_guard.ensure_checked(app)
        app_guard.decide(app, request)
    if memo.refusal is None:
        # A file runs no code that could be refused, and servers have their own way to send it.
        if response.is_streamed and not response.direct_passthrough:
            parts = cast(Iterable[Any], response.response)
            response.response = ClosingIterator(_stop_on_refusal(parts, memo), getattr(parts, "close", None))
        return response
    if memo.permits(response.status_code, response.headers.get("WWW-Authenticate")):
        return response
    return _replace_response(response, refusal_response(memo.refusal))


def enforce_declaration(declaration: ViewDeclaration) -> None:
    """End the request unless it passes `declaration`; for the wrapper that carries it."""
    request = unproxied_request()
    last = decisions_of(request).endpoint
    if last is not None and declaration in last.required.declarations and last.is_about(request):
        decision = last.decision
    else:
        app = unproxied_app()
        decision = app_guard_of(app).decide(app, request, declaration)
    if not decision.passes:
        abort(refusal_response_for(decision))


def _is_flask_answer(request: Request, response: Response) -> bool:
    """Whether it is Flask's own 404, 405, redirect to a slash or empty answer to OPTIONS; handlers may change them."""
    routing_error = request.routing_exception
    if routing_error is not None:
        status = response.status_code
        return status >= 400 or status == routing_error.code  # noqa: PLR2004 - an HTTP status
    return is_automatic_options(request) and response.calculate_content_length() == 0


def _stop_on_refusal(parts: Iterable[Any], memo: DecisionMemo) -> Iterator[Any]:
    """The parts of a response; `RuntimeError` if the request is refused while they are sent."""
    for part in parts:
        if memo.refusal is not None:
            raise RuntimeError(f"the request was refused after its response had begun: {memo.refusal.reference}")
        yield part


def _replace_response(withheld: Response, replacement: Response) -> Response:
    withheld.close()
    return replacement
