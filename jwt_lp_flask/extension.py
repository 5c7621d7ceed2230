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

from jwt_lp import ConfigurationError, Decision, Guard, Memo, Rules, Settings
from jwt_lp_flask.decisions import decided, judge, refused, response_of, this_request
from jwt_lp_flask.marks import METHODS, Mark
from jwt_lp_flask.urlmap import Asked, answers_itself, asked_of, routes_of

_NAME: Final = "jwt_lp"


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
        if _NAME in app.extensions:
            raise ConfigurationError(f"the application {app.name!r} has a guard already: initialise it once")
        configured = cast("dict[str, Mapping[str, object]]", app.config).get("JWT_LP")
        given = next((each for each in (settings, self._settings, configured) if each is not None), None)
        if given is None:
            raise ConfigurationError('there are no settings: app.config["JWT_LP"] = {...} before LeastPrivilege(app)')
        door = Door(Guard(given))
        app.extensions[_NAME] = door
        # INVARIANT: the first hook of all before the request and, as those run in reverse, the last one after it.
        app.before_request_funcs.setdefault(None, []).insert(0, door.before)
        app.after_request_funcs.setdefault(None, []).insert(0, door.after)

    def check(self, app: Flask) -> None:
        """Check every declaration: `ConfigurationError` lists the faults, unguarded routes are logged.

        Call it when all routes are registered. The first request does so at the latest.
        """
        door_of(app).check(app)


class Door:
    """One application's guard, and what is to be done before and after each of its requests."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self._lock = Lock()
        self._faults: tuple[str, ...] | None = None
        self._asked: dict[tuple[str, str, str], tuple[object, object, Rules, Asked]] = {}

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
        self._faults = self.guard.survey(routes_of(app, self.guard.rules))
        if self._faults:
            raise ConfigurationError(*self._faults)

    def before(self) -> Response | None:
        """Decide, before any hook of the project; a response where the request is refused."""
        seen = this_request()
        try:
            self._ensure_checked()
            if seen.routing_exception is not None or answers_itself(seen):
                return None
            decision = self.judged(seen)
        except Exception:
            decided(seen).failed = True
            raise
        return None if decision.passes else refused(decision)

    def after(self, response: Response) -> Response:
        """Withhold what nobody decided on and what was refused; the host's own answers go out."""
        seen = this_request()
        so_far = decided(seen)
        if so_far.failed:
            served = response.status_code < 500  # noqa: PLR2004 - an HTTP status
            return _instead(response, current_app.response_class("", 500)) if served else response
        memo = so_far.memo
        if memo.refusal is None and not _is_hosts_own(seen, response):
            # Decided already, unless a hook answered before the guard or changed what the view is called with.
            self._ensure_checked()
            self.judged(seen)
        if memo.refusal is None:
            # A file is no code that could be refused, and servers send it in a way of their own.
            if response.is_streamed and not response.direct_passthrough:
                parts = cast(Iterable[Any], response.response)
                response.response = ClosingIterator(_watched(parts, memo), getattr(parts, "close", None))
            return response
        if memo.lets_out(response.status_code, response.headers.get("WWW-Authenticate")):
            return response
        return _instead(response, response_of(memo.refusal))

    def judged(self, seen: Request, mark: Mark | None = None) -> Decision:
        """Decide about the endpoint that Flask chose, or about `mark` where that is not one of its own."""
        asked = self.asked(seen)
        if mark is not None and mark not in asked.marks:
            asked = replace(asked, requirement=mark.requirement)
        return judge(self.guard, seen, asked, seen.view_args or {})

    def asked(self, seen: Request) -> Asked:
        """What the request is held against; read anew where the view function was replaced."""
        rule, rules = seen.url_rule, self.guard.rules
        if rule is None:
            return Asked(None, "(no route)", "")
        view = current_app.view_functions.get(rule.endpoint)
        # Flask lets a class be replaced behind the view that `as_view` made.
        cls = getattr(view, "view_class", None)
        key = (rule.endpoint, rule.rule, seen.method)
        known = self._asked.get(key)
        if known is not None and known[0] is view and known[1] is cls and known[2] is rules:
            return known[3]
        asked = asked_of(current_app, rules, rule, seen.method)
        # Bounded by the URL map: a client may make up methods where a rule names none.
        if seen.method in METHODS:
            self._asked[key] = (view, cls, rules, asked)
        return asked

    def _ensure_checked(self) -> None:
        if self._faults is None:
            with self._lock:
                if self._faults is None:
                    self._check(current_app)
        if self._faults:
            raise ConfigurationError(*self._faults)


def door_of(app: Flask | None = None) -> Door:
    """The guard's place in `app`, or in the current application; `ConfigurationError` where it has none."""
    where = current_app if app is None else app
    found = where.extensions.get(_NAME)
    if not isinstance(found, Door):
        raise ConfigurationError(f"no guard stands before the Flask application {where.name!r}: LeastPrivilege(app)")
    return found


def admit(mark: Mark) -> None:
    """End the request unless it passes `mark`; for the wrapper that carries it."""
    decision = door_of().judged(this_request(), mark)
    if not decision.passes:
        abort(refused(decision))


def _is_hosts_own(seen: Request, response: Response) -> bool:
    """Whether it is Flask's own 404, 405, redirect to a slash or empty answer to OPTIONS; handlers may word them."""
    missed = seen.routing_exception
    if missed is not None:
        return response.status_code >= 400 or response.status_code == missed.code  # noqa: PLR2004 - an HTTP status
    return answers_itself(seen) and response.calculate_content_length() == 0


def _watched(parts: Iterable[Any], memo: Memo) -> Iterator[Any]:
    """The parts of a response, as long as the request is not refused while they are sent."""
    for part in parts:
        if memo.refusal is not None:
            raise RuntimeError(f"the request was refused after its response had begun: {memo.refusal.reference}")
        yield part


def _instead(withheld: Response, sent: Response) -> Response:
    withheld.close()
    return sent
