"""The Flask extension, and the guard of one application.

The guard decides before every hook and every view, about the endpoint that Flask itself chose. After them it withholds
a response that was not authorised.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from threading import Lock
from typing import Any, Final, cast

from flask import Flask, Request, Response, abort, current_app
from werkzeug.wsgi import ClosingIterator

from jwt_lp import ConfigurationError, Decision, DecisionMemo, Guard, Rules, Settings
from jwt_lp_flask.decisions import decide, decisions_of, refusal_response, refusal_response_for, unproxied_request
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
        app_guard = AppGuard(Guard(chosen))
        app.extensions[_EXTENSION] = app_guard
        # INVARIANT: the first hook before the request, and the last one after it, because those run in reverse.
        app.before_request_funcs.setdefault(None, []).insert(0, app_guard.before)
        app.after_request_funcs.setdefault(None, []).insert(0, app_guard.after)

    def check(self, app: Flask) -> None:
        """Check every declaration: `ConfigurationError` lists the faults; undeclared routes are logged.

        Call it when all routes are registered. Otherwise the first request does it.
        """
        app_guard_of(app).check(app)


class AppGuard:
    """The guard of one application, with its hooks before and after each request."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self._lock = Lock()
        self._faults: tuple[str, ...] | None = None
        self._requirement_cache: dict[tuple[str, str, str], tuple[object, object, Rules, EndpointRequirement]] = {}

    def swap(self, guard: Guard) -> Guard:
        """Use another guard from now on and return the previous one. The routes are checked again."""
        with self._lock:
            self.guard, previous, self._faults = guard, self.guard, None
        return previous

    def check(self, app: Flask) -> None:
        """Check every route: `ConfigurationError` for faults, one warning for each undeclared route."""
        with self._lock:
            self._check(app)

    def _check(self, app: Flask) -> None:
        self._faults = self.guard.check_routes(routes_of(app, self.guard.rules))
        if self._faults:
            raise ConfigurationError(*self._faults)

    def before(self) -> Response | None:
        """Decide before any hook of the project; returns a response if the request is refused."""
        request = unproxied_request()
        try:
            self._ensure_checked()
            if request.routing_exception is not None or is_automatic_options(request):
                return None
            decision = self.decide(request)
        except Exception:
            decisions_of(request).failed = True
            raise
        return None if decision.passes else refusal_response_for(decision)

    def after(self, response: Response) -> Response:
        """Withhold a response that was not authorised or was refused; forward Flask's own answers."""
        request = unproxied_request()
        decisions = decisions_of(request)
        if decisions.failed:
            hides_failure = response.status_code < 500  # noqa: PLR2004 - an HTTP status
            return _replace_response(response, current_app.response_class("", 500)) if hides_failure else response
        memo = decisions.memo
        if memo.refusal is None and not _is_flask_answer(request, response):
            # This repeats the decision, unless a hook answered before the guard or changed the view's arguments.
            self._ensure_checked()
            self.decide(request)
        if memo.refusal is None:
            # A file runs no code that could be refused, and servers have their own way to send it.
            if response.is_streamed and not response.direct_passthrough:
                parts = cast(Iterable[Any], response.response)
                response.response = ClosingIterator(_stop_on_refusal(parts, memo), getattr(parts, "close", None))
            return response
        if memo.permits(response.status_code, response.headers.get("WWW-Authenticate")):
            return response
        return _replace_response(response, refusal_response(memo.refusal))

    def decide(self, request: Request, declaration: ViewDeclaration | None = None) -> Decision:
        """Decide about the endpoint that Flask chose, or about `declaration` if it is not on that endpoint."""
        required = self.requirement_for(request)
        if declaration is not None and declaration not in required.declarations:
            required = replace(required, requirement=declaration.requirement)
        return decide(self.guard, request, required, request.view_args or {})

    def requirement_for(self, request: Request) -> EndpointRequirement:
        """The requirement for the request; it is read again if the view function was replaced."""
        rule, rules = request.url_rule, self.guard.rules
        if rule is None:
            return EndpointRequirement(None, "(no route)", "")
        view = current_app.view_functions.get(rule.endpoint)
        # Flask lets a class be replaced behind the view that `as_view` made.
        cls = getattr(view, "view_class", None)
        key = (rule.endpoint, rule.rule, request.method)
        cached = self._requirement_cache.get(key)
        if cached is not None and cached[0] is view and cached[1] is cls and cached[2] is rules:
            return cached[3]
        required = endpoint_requirement(current_app, rules, rule, request.method)
        # The URL map bounds the cache: if a rule names no methods, a client may invent some.
        if request.method in HTTP_METHODS:
            self._requirement_cache[key] = (view, cls, rules, required)
        return required

    def _ensure_checked(self) -> None:
        if self._faults is None:
            with self._lock:
                if self._faults is None:
                    self._check(current_app)
        if self._faults:
            raise ConfigurationError(*self._faults)


def app_guard_of(app: Flask | None = None) -> AppGuard:
    """The guard of `app`, or of the current application; `ConfigurationError` if it has none."""
    owner = current_app if app is None else app
    app_guard = owner.extensions.get(_EXTENSION)
    if not isinstance(app_guard, AppGuard):
        raise ConfigurationError(f"the Flask application {owner.name!r} has no guard: call LeastPrivilege(app)")
    return app_guard


def enforce_declaration(declaration: ViewDeclaration) -> None:
    """End the request unless it passes `declaration`; for the wrapper that carries it."""
    decision = app_guard_of().decide(unproxied_request(), declaration)
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
