"""Which routes does a router have, and what is declared for each?

Reads Starlette's routes, and FastAPI's with what they inherit from the routers that include them, into entries
that keep the framework's own matcher.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias, cast

from starlette.applications import Starlette
from starlette.routing import Host, Match, Mount, Router, WebSocketRoute, compile_path

from jwt_lp import Open, Requirement, Route, Rules, all_of
from jwt_lp_starlette.marks import dotted_name, is_http_endpoint, mark_of, method_handler, ruled
from jwt_lp_starlette.request_context import WEBSOCKET, Scope

Matcher: TypeAlias = Callable[[Scope], tuple[Match, Any]]

_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY")
_ACTIONS_BY_METHOD: Final = {"POST": "create", "PUT": "update", "PATCH": "update", "DELETE": "delete"}
_FRAMEWORK_MODULES: Final = frozenset({"starlette.routing", "fastapi.routing"})
_MAX_DEPTH: Final = 32


class RouteRule(NamedTuple):
    """What is declared for some methods of an entry; `parts` are all that has passed when that has."""

    route: Route
    parts: frozenset[Requirement | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class MountContext:
    """Where a router stands: what its mounts add to templates, names and parameters, and the nearest mark."""

    owner: object = None
    prefix: str = ""
    names: tuple[str, ...] = ()
    parameters: frozenset[str] = frozenset()
    mark: Requirement | None = None
    origin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RouteEntry:
    """One thing that a router may choose.

    `key` is the literal beginning of every path that it can match, up to a `/`, and "" where that cannot be told.
    `path` is its template within its own application. `inner` is the router below a mount, with its place; `chain`
    the applications on the way there.
    """

    matches: Matcher
    rules: tuple[RouteRule, ...]
    key: str = ""
    path: str = ""
    inner: tuple[Router, MountContext] | None = None
    chain: tuple[object, ...] = ()

    def rule(self, method: str) -> RouteRule | None:
        """What is declared for `method`; None where the endpoint does not have it, so that 405 is the answer."""
        return next((rule for rule in self.rules if not rule.route.methods or method in rule.route.methods), None)

    def methods(self) -> tuple[str, ...]:
        """Every method that the endpoint answers."""
        return tuple(method for rule in self.rules for method in rule.route.methods)


class RouteReader:
    """Reads the routes of one router in its place."""

    def __init__(self, router: Router, mount: MountContext, rules: Rules) -> None:
        self.router = router
        self.mount = mount
        self.settings = rules

    def entries(self) -> Iterator[RouteEntry]:
        """Every route, in the order in which the router asks them."""
        for route, matches in _iter_routes(self.router):
            yield (
                self._mount_entry(route, matches)
                if isinstance(route, Mount | Host)
                else self._endpoint_entry(route, matches)
            )

    def fallbacks(self) -> Iterator[RouteEntry]:
        """What is asked when no route matched: FastAPI's frontends, the longest path first."""
        for path, matches, dependant in sorted(_frontends(self.router), key=lambda each: -len(each[0].rstrip("/"))):
            template = path.rstrip("/") + "/{path}"
            rule = self._rule(("GET", "HEAD"), template, None, dependant=dependant, called="fastapi.frontend")
            yield RouteEntry(matches=matches, rules=(rule,))

    def default(self) -> RouteEntry | None:
        """The application that answers when nothing matched, unless it is the router's own 404."""
        app = self.router.default
        if getattr(app, "__func__", None) is Router.not_found:
            return None
        return RouteEntry(matches=lambda _: (Match.FULL, {}), rules=(self._rule((), "/{path}", app),), chain=(app,))

    def _endpoint_entry(self, route: Any, matches: Matcher) -> RouteEntry:
        endpoint = getattr(route, "endpoint", route)
        path = getattr(route, "path_format", "") or ""
        name = getattr(route, "name", None)
        make = partial(self._rule, path=path, dependant=getattr(route, "dependant", None), route=route, name=name)
        rules: tuple[RouteRule, ...]
        if isinstance(route, WebSocketRoute):
            rules = (make((WEBSOCKET,), endpoint=endpoint),)
        elif is_http_endpoint(endpoint):
            rules = tuple(make(methods, endpoint=endpoint, mark=mark) for methods, mark in _by_method(endpoint, route))
        else:
            rules = (make(tuple(sorted(getattr(route, "methods", None) or ())), endpoint=endpoint),)
        return RouteEntry(matches=matches, rules=rules, key=_literal_prefix(route, matches), path=path)

    def _mount_entry(self, route: Any, matches: Matcher) -> RouteEntry:
        chain, router, owner = _unwrap_app(route.app)
        marks = list(dict.fromkeys(mark for each in chain if (mark := mark_of(each)) is not None))
        mark = marks[0] if marks else None
        # A rule that opens a path opens it nowhere else: what stands below a host has that in its template.
        prefix = route.path_format.removesuffix("/{path}") if isinstance(route, Mount) else f"//{route.host_format}"
        own = frozenset(route.param_convertors) - {"path"}
        mount = replace(
            self.mount,
            owner=owner or self.mount.owner,
            prefix=self.mount.prefix + prefix,
            names=(*self.mount.names, *filter(None, [route.name])),
            parameters=self.mount.parameters | own,
            mark=mark or self.mount.mark,
            origin=f"mount {self.mount.prefix}{prefix}" if mark is not None else self.mount.origin,
        )
        clash = tuple(f"the mount {mount.prefix} has the marks {mark} and {other}" for other in marks[1:])
        rule = self._rule((), prefix + "/{path}", chain[-1], route=route, name=route.name, mark=mark, faults=clash)
        # INVARIANT: below a mount that says two things nothing is declared, so all of it is refused.
        inner = None if router is None or clash else (router, mount)
        return RouteEntry(matches=matches, rules=(rule,), key=_literal_prefix(route, matches), inner=inner, chain=chain)

    def _rule(  # noqa: PLR0913 - what is known of a route
        self,
        methods: tuple[str, ...],
        path: str,
        endpoint: object,
        *,
        route: object = None,
        name: str | None = None,
        dependant: object = None,
        mark: Requirement | None = None,
        faults: tuple[str, ...] = (),
        called: str = "",
    ) -> RouteRule:
        parts = [each for each in (mark or mark_of(endpoint), *_dependency_requirements(dependant)) if each is not None]
        origin = "mark" if parts else self.mount.origin
        requirement, unclear = _combine_parts(parts or [each for each in (self.mount.mark,) if each is not None])
        template = self.mount.prefix + path
        found = Route(
            methods=methods,
            template=template,
            endpoint=called or dotted_name(endpoint),
            requirement=None if faults else requirement,
            origin=origin,
            names=(":".join((*self.mount.names, name)),) if name else (),
            groups=self.mount.names,
            parameters=self.mount.parameters
            | (frozenset(getattr(route, "param_convertors", ())) - _mount_parameters(route)),
            hint=_hint(methods, template, endpoint),
            faults=faults + tuple(f"{','.join(methods) or '*'} {template}: {fault}" for fault in unclear),
        )
        declared = found if found.faults else self.settings.declare(found)
        return RouteRule(declared, frozenset((*(parts if declared.guarded else ()), declared.requirement)))


def _mount_parameters(route: object) -> frozenset[str]:
    return frozenset({"path"}) if isinstance(route, Mount) else frozenset()


def _combine_parts(parts: list[Requirement]) -> tuple[Requirement | None, tuple[str, ...]]:
    """All that was declared as one requirement; None with a fault where an open mark stands beside another."""
    different = list(dict.fromkeys(parts))
    if len(different) > 1 and any(isinstance(part, Open) for part in different):
        return None, (f"it has two marks: {' and '.join(map(str, different))}",)
    return (all_of(*different) if len(different) > 1 else next(iter(different), None)), ()


def _dependency_requirements(dependant: Any) -> Iterator[Requirement]:
    """What the dependencies of a FastAPI route ask for, at any depth."""
    for below in getattr(dependant, "dependencies", ()):
        found = mark_of(below.call)
        if found is not None and not isinstance(found, Open):
            yield found
        yield from _dependency_requirements(below)


def _by_method(endpoint: type, route: Any) -> Iterator[tuple[tuple[str, ...], Requirement | None]]:
    allowed = getattr(route, "methods", None) or _METHODS
    found: dict[Requirement | None, list[str]] = {}
    for method in _METHODS:
        if method_handler(endpoint, method) is not None and method in allowed:
            found.setdefault(mark_of(ruled(endpoint, method)) or mark_of(endpoint), []).append(method)
    yield from ((tuple(methods), mark) for mark, methods in found.items())


def _unwrap_app(app: Any) -> tuple[tuple[object, ...], Router | None, object]:
    """The applications that a mount passes through, the router that they end at, and whose it is."""
    chain: list[object] = []
    while app is not None and len(chain) < _MAX_DEPTH:
        chain.append(app)
        if isinstance(app, Starlette):
            return tuple(chain), app.router, app
        if isinstance(app, Router):
            return tuple(chain), app, None
        app = getattr(app, "app", None)
    return tuple(chain), None, None


def _literal_prefix(route: Any, matches: Matcher) -> str:
    path: object = f"{route.path}/{{path:path}}" if isinstance(route, Mount) else getattr(route, "path", None)
    # INVARIANT: only where framework code matches the regex made from this very path can the path be an index.
    if not (
        isinstance(path, str) and path.startswith("/") and getattr(matches, "__module__", "") in _FRAMEWORK_MODULES
    ):
        return ""
    if compile_path(path)[0] != getattr(route, "path_regex", None):
        return ""
    head, brace, _ = path.partition("{")
    return head.rpartition("/")[0] if brace else head


def _iter_routes(router: Router) -> Iterator[tuple[Any, Matcher]]:
    """Each route with its matcher; FastAPI's included ones with the prefix and dependencies they got there."""
    contexts: Any = getattr(sys.modules.get("fastapi.routing"), "iter_route_contexts", None)
    if contexts is None:
        yield from ((route, route.matches) for route in router.routes)
        return
    for context in contexts(router.routes):
        effective = getattr(context, "_effective_route", context)
        effective = getattr(effective, "starlette_route", None) or effective
        yield effective, _matcher(context, effective)


def _matcher(context: Any, effective: Any) -> Matcher:
    original = context.original_route
    matches: Matcher = effective.matches
    if effective is original or cast(Any, type(original)).matches.__module__ in _FRAMEWORK_MODULES:
        return matches
    # A route class with a matcher of its own is asked as the including router would ask it.
    own = {"effective_route_context": getattr(context, "_route_context", None)}
    return lambda scope: original.matches({**scope, "fastapi": {**scope.get("fastapi", {}), **own}})


def _frontends(router: Any) -> Iterator[tuple[str, Matcher, object]]:
    listed: Callable[[], Iterable[Any]] = getattr(router, "_iter_low_priority_routes", tuple)
    for candidate in listed():
        prefix = getattr(candidate, "frontend_prefix", "")
        for route in getattr(getattr(candidate, "original_route", candidate), "routes", ()):
            path = prefix if prefix and route.path == "/" else prefix + route.path
            yield path, partial(route.matches_with_path, path=path), getattr(candidate, "dependant", None)


def _hint(methods: tuple[str, ...], template: str, endpoint: object) -> str:
    words = [part for part in template.split("/") if part and "{" not in part]
    if dotted_name(endpoint).startswith("fastapi.") or not callable(endpoint):
        return f'"PUBLIC": ["/{"/".join(words)}"] in the settings, if anybody may see it'
    if not methods:
        host = template.split("/")[2] if template.startswith("//") else ""
        return f'Host("{host}", app=public(...))' if host else f'Mount("/{"/".join(words)}", app=public(...))'
    verb = next((_ACTIONS_BY_METHOD[method] for method in methods if method in _ACTIONS_BY_METHOD), "read")
    return f'@requires("{words[-1] if words else "root"}:{verb}")'
