"""System checks of settings and declarations.

`manage.py check` and the middleware's start report the same. Errors: E001 the settings are wrong, E002 the middleware
is missing, E003 it is not first, E004 a declaration is wrong, E005 a requirement does not fit the settings, E006 a rule
of the settings does not fit the routes. Warnings: W001 a route has no declaration, W004 a path rule has no view below
it; with `--deploy`, W002 the guard only observes, and W003 it accepts development tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004 - Django's name for it

from jwt_lp import ConfigurationError, Guard, Route
from jwt_lp_django.guard_access import guard_from
from jwt_lp_django.hints import summarise_admin
from jwt_lp_django.routes import MIDDLEWARE_ENDPOINT, all_routes, installed_middleware

_UNMATCHED_HINT = "it applies to what a middleware answers there; if none does, correct or remove it"

MIDDLEWARE = "jwt_lp_django.middleware.LeastPrivilegeMiddleware"


def register() -> None:
    """Register the checks with Django."""
    checks.register(_check_declarations, checks.Tags.security)
    checks.register(_check_deployment, checks.Tags.security, deploy=True)


def _check_declarations(app_configs: Any, **_: Any) -> list[CheckMessage]:
    return run_checks()


def run_checks() -> list[CheckMessage]:
    """Every fault, and every route without a declaration."""
    try:
        guard = guard_from()
    except ConfigurationError as error:
        return _errors("E001", error.faults)
    user_faults = () if guard.local_users is None else guard.local_users.faults()
    messages = [*_middleware_errors(), *_errors("E001", (*_urlconf_faults(guard), *user_faults))]
    if any(message.id == "jwt_lp.E001" for message in messages):
        return messages
    try:
        routes = all_routes()
    except ConfigurationError as error:
        # An unreadable declaration raises when its module is imported.
        return [*messages, *_errors("E004", error.faults)]
    return [*messages, *_declaration_errors(routes, guard), *_undeclared_warnings(summarise_admin(routes))]


def _urlconf_faults(guard: Guard) -> Iterator[str]:
    for name in guard.settings.urlconfs:
        try:
            import_module(name)
        except ImportError as error:
            yield f"JWT_LP: URLCONFS: {name} cannot be imported: {error}"


def _errors(number: str, faults: Iterable[str]) -> list[CheckMessage]:
    return [Error(fault, id=f"jwt_lp.{number}") for fault in dict.fromkeys(faults)]


def _middleware_errors() -> list[CheckMessage]:
    guards = [_is_guard(middleware) for middleware in installed_middleware()]
    if not any(guards):
        message = "the guard is not in MIDDLEWARE: only views with a declaration of their own are guarded"
        return [Error(message, hint=f'MIDDLEWARE = ["{MIDDLEWARE}", *MIDDLEWARE]', id="jwt_lp.E002")]
    if guards.index(True) > 0:
        message = f"{settings.MIDDLEWARE[0]} comes before the guard in MIDDLEWARE and may answer, or call a view, first"
        return [Error(message, hint=f'put "{MIDDLEWARE}" first', id="jwt_lp.E003")]
    return []


def _is_guard(middleware: object) -> bool:
    """Whether it is the guard's class or a subclass. By name, because the middleware's module imports this one."""
    bases: tuple[type, ...] = getattr(middleware, "__mro__", ())
    return any(f"{base.__module__}.{base.__qualname__}" == MIDDLEWARE for base in bases)


def _declaration_errors(routes: list[Route], guard: Guard) -> list[CheckMessage]:
    requirements = dict.fromkeys(route.requirement for route in routes if route.requirement is not None)
    return [
        *_errors("E004", (fault for route in routes for fault in route.all_faults())),
        *_errors("E005", (fault for requirement in requirements for fault in guard.faults(requirement))),
        *_errors("E006", guard.rules.faults(routes)),
    ]


def _undeclared_warnings(routes: list[Route]) -> list[CheckMessage]:
    unmatched: list[CheckMessage] = [
        Warning(f"the rule {route.template!a} matches no view", hint=_UNMATCHED_HINT, id="jwt_lp.W004")
        for route in routes
        if route.endpoint == MIDDLEWARE_ENDPOINT
    ]
    return unmatched + [
        Warning(f"{route.label} ({route.endpoint}) declares nothing and is refused", hint=route.hint, id="jwt_lp.W001")
        for route in routes
        if not route.guarded and not route.faults
    ]


def _check_deployment(app_configs: Any, **_: Any) -> list[CheckMessage]:
    try:
        guard_settings = guard_from().settings
    except ConfigurationError:
        return []
    messages: list[CheckMessage] = []
    if guard_settings.observe_until is not None:
        message = f"requirements are observed and not enforced until {guard_settings.observe_until.isoformat()}"
        messages.append(Warning(message, hint="remove OBSERVE_UNTIL from JWT_LP", id="jwt_lp.W002"))
    if guard_settings.development:
        message = "tokens signed with this machine's development key are accepted"
        messages.append(Warning(message, hint="unset JWT_LP_DEV", id="jwt_lp.W003"))
    return messages
