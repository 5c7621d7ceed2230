"""Which routes does this project have, and what is declared for each?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit

import django
from django.apps import apps
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.urls import Resolver404, URLPattern, URLResolver, get_resolver
from django.utils.module_loading import import_string

from jwt_lp import ConfigurationError, Guard, Route
from jwt_lp_django.apps import config, guard_from
from jwt_lp_django.template import names_of, route_template
from jwt_lp_django.views import STANDARD_ACTIONS, MethodDeclaration, ViewInfo, declaration_of

_ACTIONS_BY_METHOD: Final[Mapping[str, str]] = {
    "POST": "create",
    "PUT": "update",
    "PATCH": "update",
    "DELETE": "delete",
}

# The endpoint of what no view answers.
MIDDLEWARE_ENDPOINT = "a middleware"


class URLConfEntry(NamedTuple):
    """One endpoint of a URLconf, with everything that leads to it."""

    callback: Callable[..., Any]
    route: str
    namespaces: tuple[str, ...]
    name: str | None
    parameters: frozenset[str]


def iter_entries(patterns: Sequence[Any], above: URLConfEntry | None = None) -> Iterator[URLConfEntry]:
    """Every endpoint below `patterns`."""
    start = above or URLConfEntry(iter_entries, "", (), None, frozenset())
    for each in patterns:
        route = start.route + str(each.pattern).removeprefix("^") if start.route else str(each.pattern)
        found = start.parameters | _parameters(each)
        if isinstance(each, URLResolver):
            spaces = (*start.namespaces, *filter(None, (each.namespace,)))
            yield from iter_entries(each.url_patterns, start._replace(route=route, namespaces=spaces, parameters=found))
        elif isinstance(each, URLPattern):
            yield URLConfEntry(each.callback, route, start.namespaces, each.name, found)


def _parameters(each: Any) -> frozenset[str]:
    given = each.default_kwargs if isinstance(each, URLResolver) else each.default_args
    regex = getattr(each.pattern, "regex", None)
    return frozenset(given) | frozenset(regex.groupindex if regex is not None else ())


def entry_routes(entry: URLConfEntry) -> list[Route]:
    """The routes of one endpoint: its methods, put together where the same is declared for them."""
    shape = ViewInfo.of(entry.callback)
    found: dict[MethodDeclaration, list[str]] = {}
    for method in shape.methods() or ("",):
        each = declaration_of(entry.callback, method or "GET")
        found.setdefault(each._replace(marks=()), []).append(method)
    try:
        own = tuple(shape.faults())
    except ConfigurationError as error:
        own = error.faults
    made = [_route(entry, each, tuple(filter(None, methods))) for each, methods in found.items()]
    return [replace(made[0], faults=(*own, *made[0].faults)), *made[1:]] if made else []


def _route(entry: URLConfEntry, found: MethodDeclaration, methods: tuple[str, ...]) -> Route:
    names, groups = names_of(entry.namespaces, entry.name)
    path = route_template(entry.route)
    route = Route(methods, path, found.endpoint, found.requirement, found.origin, names, groups, entry.parameters)
    faults = tuple(f"{route.label}: {fault}" for fault in found.faults)
    route = replace(route, faults=faults, hint=_hint(entry, found, path, methods))
    return route if found.closed else guard_from().rules.declare(route)


def _hint(entry: URLConfEntry, found: MethodDeclaration, path: str, methods: tuple[str, ...]) -> str:
    literal = [part for part in path.split("/") if part and "{" not in part]
    shape = ViewInfo.of(entry.callback)
    verb = next((each for each in methods if each not in {"HEAD", "OPTIONS"}), "GET")
    listing = shape.cls is not None and not path.rstrip("/").endswith("}")
    guess = f"{literal[-1] if literal else 'root'}:{_ACTIONS_BY_METHOD.get(verb, 'list' if listing else 'read')}"
    action = (shape.actions or {}).get(verb.lower())
    if action is not None and action not in STANDARD_ACTIONS:
        guess = f"{literal[-2] if len(literal) > 1 else shape.name.rpartition('.')[2].lower()}:{action}"
    if shape.cls is None or shape.cls.__qualname__ == "WrappedAPIView":
        return f'@requires("{guess}")'
    key = action or verb
    return f'required_permissions = {{"{key}": "{guess}"}}' if shape.required is None else f'"{key}": "{guess}",'


def _middleware_routes() -> Iterator[Route]:
    """What middleware that is known serves without any view."""
    for path in settings.MIDDLEWARE:
        if path.endswith("WhiteNoiseMiddleware"):
            below = urlsplit(settings.STATIC_URL or "static").path.strip("/")
            hint = f'EXTERNAL = {{"/{below}": "public files"}}'
            parameters = frozenset({"path"})
            served = f"/{below}/{{path}}"
            yield Route(("GET", "HEAD"), served, path, names=("whitenoise",), parameters=parameters, hint=hint)


def route_without_view(method: str, path: str) -> Route:
    """The route of what a middleware answers, as the rules of the settings see it."""
    for route in _middleware_routes():
        if path.startswith(route.template.removesuffix("{path}")):
            return replace(route, template=path)
    return Route((method,), path, MIDDLEWARE_ENDPOINT)


def all_routes() -> list[Route]:
    """Every route of ROOT_URLCONF and of the setting `URLCONFS`, with marks, includes and settings applied."""
    guard = guard_from()
    found = [guard.rules.declare(route) for route in _middleware_routes()]
    for urlconf in dict.fromkeys((settings.ROOT_URLCONF, *guard.settings.urlconfs)):
        found += [route for entry in iter_entries(get_resolver(urlconf).url_patterns) for route in entry_routes(entry)]
    found = list(dict.fromkeys(found))
    # A path below which no view is can only mean what a middleware answers there.
    unseen = [rule for rule in guard.rules.unmatched(found) if rule.startswith("/")]
    return found + [guard.rules.declare(Route((), rule, MIDDLEWARE_ENDPOINT)) for rule in unseen]


def installed_middleware() -> list[object]:
    """The classes (or factories) in MIDDLEWARE, in order."""
    return [import_string(path) for path in settings.MIDDLEWARE]


class DjangoHost:
    """Django, for the commands and for tests. A project has one guard, so it is not asked which application."""

    name = "django"

    def recognises(self, app: object) -> bool:
        """Whether it is a Django application; None counts where settings are configured."""
        return isinstance(app, WSGIHandler | ASGIHandler) or (app is None and settings.configured)

    def routes(self, app: object) -> Sequence[Route]:
        """Every route of the project."""
        _ensure_django()
        return all_routes()

    def guard(self, app: object) -> Guard:
        """The project's guard."""
        _ensure_django()
        return guard_from()

    def resolve(self, app: object, method: str, path: str) -> tuple[Route, Mapping[str, object]] | None:
        """The route and the view's parameters; None where no view answers."""
        _ensure_django()
        try:
            match = get_resolver().resolve(unquote(path))
        except Resolver404:
            return None
        found = declaration_of(match.func, method.upper())
        if found.allowed is not None:
            return None
        parameters = frozenset(match.kwargs)
        spaces = tuple(match.namespaces)
        entry = URLConfEntry(match.func, match.route or "", spaces, match.url_name, parameters)
        return _route(entry, found, (method.upper(),)), match.kwargs

    def swap_guard(self, app: object, guard: Guard) -> AbstractContextManager[None]:
        """Have the project use `guard` while the context lasts."""
        _ensure_django()
        return config().swap_guard(guard)

    def login(self, client: object, authorization: str) -> bool:
        """Have Django's test client send the header with every request that has none of its own."""
        # Late: a server has no use for the test client.
        from django.test import AsyncRequestFactory, RequestFactory

        if not isinstance(client, RequestFactory):
            return False
        client.defaults["authorization" if isinstance(client, AsyncRequestFactory) else "HTTP_AUTHORIZATION"] = (
            authorization
        )
        return True


def _ensure_django() -> None:
    if not apps.ready:
        django.setup()


host: Final = DjangoHost()
