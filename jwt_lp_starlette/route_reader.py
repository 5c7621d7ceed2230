"""The reader of a router's routes and their declarations.

Starlette's routes, and FastAPI's with what they inherit from including routers, become entries that keep the
framework's own matcher.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from typing import Any, Final, NamedTuple, TypeAlias, cast

from starlette.applications import Starlette
from starlette.routing import Host, Match, Mount, Router, WebSocketRoute, compile_path

from jwt_lp import Open, Requirement, Route, Rules, all_of
from jwt_lp_starlette.declarations import (
    declaration_of,
    declaring_handler,
    dotted_name,
    is_http_endpoint,
    method_handler,
)
from jwt_lp_starlette.dispatch import FRAMEWORK_MODULES
from jwt_lp_starlette.scope import WEBSOCKET, Scope

Matcher: TypeAlias = Callable[[Scope], tuple[Match, Any]]

_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY")
_ACTIONS_BY_METHOD: Final = {"POST": "create", "PUT": "update", "PATCH": "update", "DELETE": "delete"}
_MAX_DEPTH: Final = 32


class RouteRule(NamedTuple):
    """The declaration for some methods of an entry. `parts` are the requirements that pass if the route's passes."""

    route: Route
    parts: tuple[Requirement | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MountContext:
    """Where a router is mounted: what its mounts add to templates, names and parameters.

    `declared` is the nearest declaration on a mount, and `origin` says where it is.
    """

    owner: object = None
    prefix: str = ""
    names: tuple[str, ...] = ()
    parameters: frozenset[str] = frozenset()
    declared: Requirement | None = None
    origin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RouteEntry:
    """One route or mount that a router may choose.

    `order` is its place among all entries, and `position` the place in the router's list of the route itself, or of the
    router that includes it; `included` says that FastAPI's own code includes it. `route` is the route with what the
    including routers add. Its attribute `calls` had the value `called`, the endpoint or application from which the
    declarations were read; `by_method` has those of an endpoint class. `key` is the literal prefix, up to a `/`, of
    every path that it can match, or "" if that is unknown. `path` is its template within its own application. `inner`
    is the router below a mount, with its `MountContext`; `chain` has the applications on the way there, and is empty
    for what is no mount.
    """

    matches: Matcher
    rules: tuple[RouteRule, ...]
    order: int = -1
    position: int = -1
    included: bool = False
    route: object = None
    calls: str = "endpoint"
    called: object = None
    by_method: Mapping[str, Requirement | None] = field(default_factory=dict[str, Requirement | None])
    key: str = ""
    path: str = ""
    inner: tuple[Router, MountContext] | None = None
    chain: tuple[object, ...] = ()

    def is_current(self, method: str) -> bool:
        """Whether the route still calls what the declarations were read from, with the same one on `method`."""
        if getattr(self.route, self.calls, self.route) is not self.called:
            return False
        return method not in self.by_method or _declared(cast(type, self.called), method) is self.by_method[method]

    def rule(self, method: str) -> RouteRule | None:
        """The rule for `method`; None if the endpoint does not have the method, so that the answer is 405."""
        for rule in self.rules:
            if not rule.route.methods or method in rule.route.methods:
                return rule
        return None

    def methods(self) -> tuple[str, ...]:
        """Every method that the endpoint answers."""
        return tuple(method for rule in self.rules for method in rule.route.methods)


class RouteReader:
    """Reads the routes of one router."""

    def __init__(self, router: Router, mount: MountContext, rules: Rules) -> None:
        self.router = router
        self.mount = mount
        self.settings_rules = rules

    def entries(self, routes: Iterable[Any]) -> Iterator[RouteEntry]:
        """Every one of the router's `routes`, in the order in which the router tries them."""
        order = count()
        for position, listed in enumerate(routes):
            own = _has_own_matcher(listed)
            for route, matcher in _effective_routes(listed):
                matches = partial(_match_both, listed, matcher) if own else matcher
                make = self._mount_entry if isinstance(route, Mount | Host) else self._endpoint_entry
                included = route is not listed and not own
                yield replace(make(route, matches), order=next(order), position=position, included=included)

    def fallbacks(self) -> Iterator[RouteEntry]:
        """What the router tries if no route matches: FastAPI's frontends, the longest path first."""
        frontends = sorted(_frontends(self.router), key=lambda frontend: -len(frontend[0].rstrip("/")))
        for path, matches, dependant in frontends:
            template = path.rstrip("/") + "/{path}"
            rule = self._rule(("GET", "HEAD"), template, None, dependant=dependant, called="fastapi.frontend")
            yield RouteEntry(matches=matches, rules=(rule,))

    def default(self) -> RouteEntry | None:
        """The application that answers if nothing matches, unless it is the router's own 404."""
        app = self.router.default
        if getattr(app, "__func__", None) is Router.not_found:
            return None
        return RouteEntry(matches=lambda _: (Match.FULL, {}), rules=(self._rule((), "/{path}", app),), chain=(app,))

    def _endpoint_entry(self, route: Any, matches: Matcher) -> RouteEntry:
        endpoint = getattr(route, "endpoint", route)
        path = getattr(route, "path_format", "") or ""
        name = getattr(route, "name", None)
        make = partial(self._rule, path=path, dependant=getattr(route, "dependant", None), route=route, name=name)
        by_method: dict[str, Requirement | None] = {}
        rules: tuple[RouteRule, ...]
        if isinstance(route, WebSocketRoute):
            rules = (make((WEBSOCKET,), endpoint=endpoint),)
        elif is_http_endpoint(endpoint):
            by_method = _by_method(endpoint, route)
            grouped = _group_methods(by_method)
            rules = tuple(make(methods, endpoint=endpoint, declared=declared) for methods, declared in grouped)
        else:
            rules = (make(tuple(sorted(getattr(route, "methods", None) or ())), endpoint=endpoint),)
        return RouteEntry(
            matches=matches,
            rules=rules,
            route=route,
            called=endpoint,
            by_method=by_method,
            key=_literal_prefix(route, matches),
            path=path,
        )

    def _mount_entry(self, route: Any, matches: Matcher) -> RouteEntry:
        chain, router, owner = _unwrap_app(route.app)
        requirements = [requirement for app in chain if (requirement := declaration_of(app)) is not None]
        declared, *others = dict.fromkeys(requirements) or (None,)
        # The template below a `Host` has the host, so a settings rule that opens a path does not open it there.
        prefix = route.path_format.removesuffix("/{path}") if isinstance(route, Mount) else f"//{route.host_format}"
        own = frozenset(route.param_convertors) - {"path"}
        mount = replace(
            self.mount,
            owner=owner or self.mount.owner,
            prefix=self.mount.prefix + prefix,
            names=(*self.mount.names, *filter(None, [route.name])),
            parameters=self.mount.parameters | own,
            declared=declared or self.mount.declared,
            origin=f"mount {self.mount.prefix}{prefix}" if declared is not None else self.mount.origin,
        )
        faults = tuple(f"the mount {mount.prefix} has the declarations {declared} and {other}" for other in others)
        template = prefix + "/{path}"
        rule = self._rule((), template, chain[-1], route=route, name=route.name, declared=declared, faults=faults)
        # INVARIANT: nothing is declared below a mount with contradicting declarations, so all of it is refused.
        inner = None if router is None or faults else (router, mount)
        return RouteEntry(
            matches=matches,
            rules=(rule,),
            route=route,
            calls="app",
            called=route.app,
            key=_literal_prefix(route, matches),
            inner=inner,
            chain=chain,
        )

    def _rule(  # noqa: PLR0913 - one parameter for each property of a route
        self,
        methods: tuple[str, ...],
        path: str,
        endpoint: object,
        *,
        route: object = None,
        name: str | None = None,
        dependant: object = None,
        declared: Requirement | None = None,
        faults: tuple[str, ...] = (),
        called: str = "",
    ) -> RouteRule:
        own = declared or declaration_of(endpoint)
        parts = [*([] if own is None else [own]), *_dependency_requirements(dependant)]
        origin = "declaration" if parts else self.mount.origin
        inherited = [] if self.mount.declared is None else [self.mount.declared]
        requirement, contradictions = _combine_parts(parts or inherited)
        template = self.mount.prefix + path
        parameters = frozenset(getattr(route, "param_convertors", ()))
        as_read = Route(
            methods=methods,
            template=template,
            endpoint=called or dotted_name(endpoint),
            requirement=None if faults else requirement,
            origin=origin,
            names=(":".join((*self.mount.names, name)),) if name else (),
            groups=self.mount.names,
            parameters=self.mount.parameters | (parameters - {"path"} if isinstance(route, Mount) else parameters),
            hint=_hint(methods, template, endpoint),
            faults=faults + tuple(f"{','.join(methods) or '*'} {template}: {fault}" for fault in contradictions),
        )
        final = as_read if as_read.faults else self.settings_rules.declare(as_read)
        return RouteRule(final, tuple(dict.fromkeys((final.requirement, *(parts if final.guarded else ())))))


def _combine_parts(parts: list[Requirement]) -> tuple[Requirement | None, tuple[str, ...]]:
    """All declarations as one requirement; None and a fault if one of several is open, or a session may stand in."""
    different = list(dict.fromkeys(parts))
    if len(different) > 1 and any(isinstance(part, Open) or part.session is not None for part in different):
        return None, (f"it has two declarations: {' and '.join(map(str, different))}",)
    return (all_of(*different) if len(different) > 1 else next(iter(different), None)), ()


def _dependency_requirements(dependant: Any) -> Iterator[Requirement]:
    """What the dependencies of a FastAPI route require, at any depth."""
    for dependency in getattr(dependant, "dependencies", ()):
        requirement = declaration_of(dependency.call)
        if requirement is not None and not isinstance(requirement, Open):
            yield requirement
        yield from _dependency_requirements(dependency)


def _by_method(endpoint: type, route: Any) -> dict[str, Requirement | None]:
    """The declaration of each method that an endpoint class answers on the route."""
    allowed = getattr(route, "methods", None) or _METHODS
    return {
        method: _declared(endpoint, method)
        for method in _METHODS
        if method_handler(endpoint, method) is not None and method in allowed
    }


def _declared(endpoint: type, method: str) -> Requirement | None:
    return declaration_of(declaring_handler(endpoint, method)) or declaration_of(endpoint)


def _group_methods(by_method: Mapping[str, Requirement | None]) -> Iterator[tuple[tuple[str, ...], Requirement | None]]:
    methods_of: dict[Requirement | None, list[str]] = {}
    for method, requirement in by_method.items():
        methods_of.setdefault(requirement, []).append(method)
    yield from ((tuple(methods), requirement) for requirement, methods in methods_of.items())


def _unwrap_app(app: Any) -> tuple[tuple[object, ...], Router | None, object]:
    """The applications that a mount passes through, the router at their end, and the application that owns it."""
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
    # INVARIANT: the path is an index only if framework code matches the regex that was made from this very path.
    if not (isinstance(path, str) and path.startswith("/") and getattr(matches, "__module__", "") in FRAMEWORK_MODULES):
        return ""
    if compile_path(path)[0] != getattr(route, "path_regex", None):
        return ""
    head, brace, _ = path.partition("{")
    return head.rpartition("/")[0] if brace else head


def included_routers(router: Router) -> list[Router]:
    """The router, and every router that FastAPI includes in it, at any depth."""
    found = {id(router): router}
    pending = [router]
    while pending:
        for route in pending.pop().routes:
            included = getattr(route, "original_router", None)
            if isinstance(included, Router) and id(included) not in found:
                found[id(included)] = included
                pending.append(included)
    return list(found.values())


def _effective_routes(listed: Any) -> Iterator[tuple[Any, Matcher]]:
    """A listed route, or each that FastAPI's router includes there, with prefix and dependencies; and the matchers."""
    contexts: Any = getattr(sys.modules.get("fastapi.routing"), "iter_route_contexts", None)
    if contexts is None:
        yield listed, listed.matches
        return
    for context in contexts([listed]):
        effective = getattr(context, "_effective_route", context)
        effective = getattr(effective, "starlette_route", None) or effective
        yield effective, _matcher(context, effective)


def _has_own_matcher(listed: Any) -> bool:
    """Whether the project's own code decides if a router matches that FastAPI includes there."""
    included = getattr(listed, "original_router", None)
    routers: list[Any] = [] if included is None else included_routers(included)
    return any(getattr(cast(Any, type(each)), "matches", each).__module__ not in FRAMEWORK_MODULES for each in routers)


def _match_both(listed: Any, matches: Matcher, scope: Scope) -> tuple[Match, Any]:
    match, _ = listed.matches(scope)
    return matches(scope) if match is Match.FULL else (match, {})


def _matcher(context: Any, effective: Any) -> Matcher:
    original = context.original_route
    matches: Matcher = effective.matches
    if effective is original or cast(Any, type(original)).matches.__module__ in FRAMEWORK_MODULES:
        return matches
    # A route class with its own matcher is called as the including router would call it.
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
