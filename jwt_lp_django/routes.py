"""The routes of a project with their declarations, and the host for commands and tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
from jwt_lp_django.guard_access import guard_from, guard_holder
from jwt_lp_django.hints import hint_for
from jwt_lp_django.ninja_views import operations_of
from jwt_lp_django.template import names_of, route_template
from jwt_lp_django.views import MethodDeclaration, ViewInfo, declaration_of

# The endpoint of a route that no view answers.
MIDDLEWARE_ENDPOINT = "a middleware"


class URLConfEntry(NamedTuple):
    """One endpoint of a URLconf, with the route, namespaces and parameters of all patterns that lead to it."""

    callback: Callable[..., Any]
    route: str
    namespaces: tuple[str, ...]
    name: str | None
    parameters: frozenset[str]


def iter_entries(patterns: Sequence[Any], above: URLConfEntry | None = None) -> Iterator[URLConfEntry]:
    """Every endpoint below `patterns`."""
    start = above or URLConfEntry(iter_entries, "", (), None, frozenset())
    for entry in patterns:
        route = start.route + str(entry.pattern).removeprefix("^") if start.route else str(entry.pattern)
        parameters = start.parameters | _parameters(entry)
        if isinstance(entry, URLResolver):
            namespaces = (*start.namespaces, *filter(None, (entry.namespace,)))
            inner = start._replace(route=route, namespaces=namespaces, parameters=parameters)
            yield from iter_entries(entry.url_patterns, inner)
        elif isinstance(entry, URLPattern):
            yield URLConfEntry(entry.callback, route, start.namespaces, entry.name, parameters)


def _reachable(entries: Iterable[URLConfEntry]) -> Iterator[URLConfEntry]:
    """The entries without those that repeat a path for each operation of Ninja: the first answers all methods."""
    seen: set[tuple[str, int]] = set()
    for entry in entries:
        operations = operations_of(entry.callback)
        key = None if operations is None else (entry.route, id(operations.owner))
        if key is None or key not in seen:
            yield entry
        if key is not None:
            seen.add(key)


def _parameters(entry: Any) -> frozenset[str]:
    defaults = entry.default_kwargs if isinstance(entry, URLResolver) else entry.default_args
    regex = getattr(entry.pattern, "regex", None)
    return frozenset(defaults) | frozenset(regex.groupindex if regex is not None else ())


def entry_routes(entry: URLConfEntry) -> list[Route]:
    """The routes of one endpoint. Methods with the same declaration share a route."""
    view = ViewInfo.of(entry.callback)
    methods_by_declaration: dict[MethodDeclaration, list[str]] = {}
    for method in view.methods() or ("",):
        declaration = declaration_of(entry.callback, method or "GET")
        methods_by_declaration.setdefault(declaration._replace(marks=()), []).append(method)
    try:
        view_faults = tuple(view.faults())
    except ConfigurationError as error:
        view_faults = error.faults
    routes = [
        _route(entry, declaration, tuple(filter(None, methods)))
        for declaration, methods in methods_by_declaration.items()
    ]
    return [replace(routes[0], faults=(*view_faults, *routes[0].faults)), *routes[1:]] if routes else []


def _route(entry: URLConfEntry, declaration: MethodDeclaration, methods: tuple[str, ...]) -> Route:
    names, groups = names_of(entry.namespaces, entry.name)
    route = Route(
        methods,
        route_template(entry.route),
        declaration.endpoint,
        declaration.requirement,
        declaration.origin,
        names,
        groups,
        entry.parameters,
    )
    faults = tuple(f"{route.label}: {fault}" for fault in declaration.faults)
    route = replace(route, faults=faults, hint=hint_for(ViewInfo.of(entry.callback), route.template, methods))
    return route if declaration.closed else guard_from().rules.declare(route)


def _middleware_routes() -> Iterator[Route]:
    """The routes that WhiteNoise's middleware serves without a view."""
    for path in settings.MIDDLEWARE:
        if path.endswith("WhiteNoiseMiddleware"):
            prefix = urlsplit(settings.STATIC_URL or "static").path.strip("/")
            hint = f'EXTERNAL = {{"/{prefix}": "public files"}}'
            parameters = frozenset({"path"})
            template = f"/{prefix}/{{path}}"
            yield Route(("GET", "HEAD"), template, path, names=("whitenoise",), parameters=parameters, hint=hint)


def route_without_view(method: str, path: str) -> Route:
    """The route of a response that a middleware sent without a view, for the rules of the settings."""
    for route in _middleware_routes():
        if path.startswith(route.template.removesuffix("{path}")):
            return replace(route, template=path)
    return Route((method,), path, MIDDLEWARE_ENDPOINT)


def all_routes() -> list[Route]:
    """Every route of ROOT_URLCONF and of the setting `URLCONFS`, with declarations, includes and settings applied."""
    guard = guard_from()
    routes = [guard.rules.declare(route) for route in _middleware_routes()]
    for urlconf in dict.fromkeys((settings.ROOT_URLCONF, *guard.settings.urlconfs)):
        entries = _reachable(iter_entries(get_resolver(urlconf).url_patterns))
        routes += [route for entry in entries for route in entry_routes(entry)]
    routes = list(dict.fromkeys(routes))
    # A path rule without a view below it can only apply to what a middleware answers there.
    unmatched = [rule for rule in guard.rules.unmatched(routes) if rule.startswith("/")]
    return routes + [guard.rules.declare(Route((), rule, MIDDLEWARE_ENDPOINT)) for rule in unmatched]


def installed_middleware() -> list[object]:
    """The classes (or factories) in MIDDLEWARE, in order."""
    return [import_string(path) for path in settings.MIDDLEWARE]


class DjangoHost:
    """Django for the commands and for tests. A process has one project, so `app` is not used."""

    name = "django"

    def recognises(self, app: object) -> bool:
        """Whether `app` is a Django application; None counts as one if settings are configured."""
        return isinstance(app, WSGIHandler | ASGIHandler) or (app is None and settings.configured)

    def routes(self, app: object) -> Sequence[Route]:
        """Every route of the project, those of Channels included."""
        _ensure_django()
        if not apps.is_installed("channels"):
            return all_routes()
        from jwt_lp_django.channels import channels_routes

        return [*all_routes(), *channels_routes()]

    def guard(self, app: object) -> Guard:
        """The project's guard."""
        _ensure_django()
        return guard_from()

    def resolve(self, app: object, method: str, path: str) -> tuple[Route, Mapping[str, object]] | None:
        """The route and the view's parameters; None if no view answers."""
        _ensure_django()
        try:
            match = get_resolver().resolve(unquote(path))
        except Resolver404:
            return None
        declaration = declaration_of(match.func, method.upper())
        if declaration.allowed is not None:
            return None
        entry = URLConfEntry(
            match.func, match.route or "", tuple(match.namespaces), match.url_name, frozenset(match.kwargs)
        )
        return _route(entry, declaration, (method.upper(),)), match.kwargs

    def swap_guard(self, app: object, guard: Guard) -> AbstractContextManager[None]:
        """Make the project use `guard` while the context lasts."""
        _ensure_django()
        return guard_holder().swap_guard(guard)

    def login(self, client: object, authorization: str) -> bool:
        """Make Django's test client send the header with every request that sets none."""
        # Late: a server does not need the test client.
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
