"""How is the guard put before a Flask application?

It stands before every hook and every view, on the endpoint that Flask itself chose, and again behind them: what
nobody decided on is not sent.
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
from jwt_lp_flask.marks import HTTP_METHODS, ViewMark
from jwt_lp_flask.urlmap import EndpointRequirement, endpoint_requirement, is_automatic_options, routes_of

_EXTENSION: Final = "jwt_lp"


class LeastPrivilege:
    """The Flask extension: `LeastPrivilege(app)`, or `init_app(app)` in a factory.

    Settings are those passed, a mapping or a `Settings`, otherwise `app.config["JWT_LP"]`. `ConfigurationError`
    lists everything that is wrong with them. Any number of applications may be initialised.
    """

    def __init__(self, app: Flask | None = None, settings: Settings | Mapping[str, object] | None = None) -> None:
        self._settings = settings
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask, settings: Settings | Mapping[str, object] | None = None) -> None:
        """Put a guard before `app`, whatever was or will be registered on it."""
        if _EXTENSION in app.extensions:
            raise ConfigurationError(f"the application {app.name!r} has a guard already: initialise it once")
        configured = cast("dict[str, Mapping[str, object]]", app.config).get("JWT_LP")
        given = next((each for each in (settings, self._settings, configured) if each is not None), None)
        if given is None:
            raise ConfigurationError('there are no settings: app.config["JWT_LP"] = {...} before LeastPrivilege(app)')
        app_guard = AppGuard(Guard(given))
        app.extensions[_EXTENSION] = app_guard
        # INVARIANT: the first hook of all before the request and, as those run in reverse, the last one after it.
        app.before_request_funcs.setdefault(None, []).insert(0, app_guard.before)
        app.after_request_funcs.setdefault(None, []).insert(0, app_guard.after)

    def check(self, app: Flask) -> None:
        """Check every declaration: `ConfigurationError` lists the faults, unguarded routes are logged.

        Call it when all routes are registered. The first request does so at the latest.
        """
        app_guard_of(app).check(app)


class AppGuard:
    """One application's guard, and what is to be done before and after each of its requests."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self._lock = Lock()
        self._faults: tuple[str, ...] | None = None
        self._requirement_cache: dict[tuple[str, str, str], tuple[object, object, Rules, EndpointRequirement]] = {}

    def swap(self, guard: Guard) -> Guard:
        """Use another guard from now on, check the routes under it anew, and return the one before."""
        with self._lock:
            self.guard, before, self._faults = guard, self.guard, None
        return before

    def check(self, app: Flask) -> None:
        """Look at every route: `ConfigurationError` for faults, a warning once for each unguarded one."""
        with self._lock:
            self._check(app)

    def _check(self, app: Flask) -> None:
        self._faults = self.guard.check_routes(routes_of(app, self.guard.rules))
        if self._faults:
            raise ConfigurationError(*self._faults)

    def before(self) -> Response | None:
        """Decide, before any hook of the project; a response where the request is refused."""
        seen = unproxied_request()
        try:
            self._ensure_checked()
            if seen.routing_exception is not None or is_automatic_options(seen):
                return None
            decision = self.decide(seen)
        except Exception:
            decisions_of(seen).failed = True
            raise
        return None if decision.passes else refusal_response_for(decision)

    def after(self, response: Response) -> Response:
        """Withhold what nobody decided on and what was refused; the host's own answers go out."""
        seen = unproxied_request()
        so_far = decisions_of(seen)
        if so_far.failed:
            served = response.status_code < 500  # noqa: PLR2004 - an HTTP status
            return _replace_response(response, current_app.response_class("", 500)) if served else response
        memo = so_far.memo
        if memo.refusal is None and not _is_flask_answer(seen, response):
            # Decided already, unless a hook answered before the guard or changed what the view is called with.
            self._ensure_checked()
            self.decide(seen)
        if memo.refusal is None:
            # A file is no code that could be refused, and servers send it in a way of their own.
            if response.is_streamed and not response.direct_passthrough:
                parts = cast(Iterable[Any], response.response)
                response.response = ClosingIterator(_watched(parts, memo), getattr(parts, "close", None))
            return response
        if memo.permits(response.status_code, response.headers.get("WWW-Authenticate")):
            return response
        return _replace_response(response, refusal_response(memo.refusal))

    def decide(self, seen: Request, mark: ViewMark | None = None) -> Decision:
        """Decide about the endpoint that Flask chose, or about `mark` where that is not one of its own."""
        asked = self.requirement_for(seen)
        if mark is not None and mark not in asked.marks:
            asked = replace(asked, requirement=mark.requirement)
        return decide(self.guard, seen, asked, seen.view_args or {})

    def requirement_for(self, seen: Request) -> EndpointRequirement:
        """What the request is held against; read anew where the view function was replaced."""
        rule, rules = seen.url_rule, self.guard.rules
        if rule is None:
            return EndpointRequirement(None, "(no route)", "")
        view = current_app.view_functions.get(rule.endpoint)
        # Flask lets a class be replaced behind the view that `as_view` made.
        cls = getattr(view, "view_class", None)
        key = (rule.endpoint, rule.rule, seen.method)
        known = self._requirement_cache.get(key)
        if known is not None and known[0] is view and known[1] is cls and known[2] is rules:
            return known[3]
        asked = endpoint_requirement(current_app, rules, rule, seen.method)
        # Bounded by the URL map: a client may make up methods where a rule names none.
        if seen.method in HTTP_METHODS:
            self._requirement_cache[key] = (view, cls, rules, asked)
        return asked

    def _ensure_checked(self) -> None:
        if self._faults is None:
            with self._lock:
                if self._faults is None:
                    self._check(current_app)
        if self._faults:
            raise ConfigurationError(*self._faults)


def app_guard_of(app: Flask | None = None) -> AppGuard:
    """The guard's place in `app`, or in the current application; `ConfigurationError` where it has none."""
    where = current_app if app is None else app
    found = where.extensions.get(_EXTENSION)
    if not isinstance(found, AppGuard):
        raise ConfigurationError(f"no guard stands before the Flask application {where.name!r}: LeastPrivilege(app)")
    return found


def enforce_mark(mark: ViewMark) -> None:
    """End the request unless it passes `mark`; for the wrapper that carries it."""
    decision = app_guard_of().decide(unproxied_request(), mark)
    if not decision.passes:
        abort(refusal_response_for(decision))


def _is_flask_answer(seen: Request, response: Response) -> bool:
    """Whether it is Flask's own 404, 405, redirect to a slash or empty answer to OPTIONS; handlers may word them."""
    missed = seen.routing_exception
    if missed is not None:
        return response.status_code >= 400 or response.status_code == missed.code  # noqa: PLR2004 - an HTTP status
    return is_automatic_options(seen) and response.calculate_content_length() == 0


def _watched(parts: Iterable[Any], memo: DecisionMemo) -> Iterator[Any]:
    """The parts of a response, as long as the request is not refused while they are sent."""
    for part in parts:
        if memo.refusal is not None:
            raise RuntimeError(f"the request was refused after its response had begun: {memo.refusal.reference}")
        yield part


def _replace_response(withheld: Response, sent: Response) -> Response:
    withheld.close()
    return sent
