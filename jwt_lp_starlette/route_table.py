"""The table of a router's routes, which finds what the router will call for a request.

The index only narrows the search. The framework's own matcher decides whether a route matches, and if no indexed route
matches, the table walks through all routes in order, as the router does. The router gets what was found, so that it
does not search again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final, NamedTuple

from starlette._utils import get_route_path
from starlette.routing import BaseRoute, Match, Router

from jwt_lp import ConfigurationError, Route, Rules
from jwt_lp_starlette.dispatch import MatchedRoute
from jwt_lp_starlette.route_reader import MountContext, RouteEntry, RouteReader, RouteRule, included_routers
from jwt_lp_starlette.scope import NO_PARAMETERS, Scope, request_method

_ORDER: Final = attrgetter("order")


class RouteTarget(NamedTuple):
    """What the router is about to call: its declaration, its parameters, and the applications on the way to it.

    `routes` are those that the router needs for its answer. `rule` is None if the router itself answers: not found, not
    allowed, redirected. `tables` are those of the mounted routers on the way. `allow` has the methods of an endpoint
    that was found but does not answer this method.
    """

    routes: Sequence[BaseRoute]
    rule: RouteRule | None = None
    params: Mapping[str, object] = NO_PARAMETERS
    chain: tuple[object, ...] = ()
    tables: tuple[RouteTable, ...] = ()
    allow: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class _RouteSnapshot:
    """The routes at one reading. It is replaced as a whole, so that no thread sees half of a change.

    `routes` are those of the router's list. `read` has every router that was read, the included ones too, with its list
    and version at that time.
    """

    router: Router
    routes: list[BaseRoute]
    default: object
    read: list[tuple[Router, list[BaseRoute], int]]
    entries: list[RouteEntry]
    fallbacks: list[RouteEntry]
    mounted: dict[RouteEntry, RouteTable]
    index: dict[str, list[RouteEntry]]
    depth: int

    def is_current(self) -> bool:
        """Whether the router, and those that it includes, still list equal routes."""
        for router, routes, version in self.read:
            # No walk in Python: comparing two lists of the same objects takes half a microsecond for 1,000 routes.
            if router.routes != routes or getattr(router, _VERSION, 0) != version:
                return False
        return self.router.default is self.default

    def find(self, scope: Scope, listed: Sequence[BaseRoute]) -> RouteTarget | None:
        """What the router will call; None if a route on the way is no longer the one that was read.

        `listed` are the router's routes now.
        """
        method = request_method(scope)
        for entry in self.candidates(get_route_path(scope)):
            route = self.routes[entry.position]
            # INVARIANT: equal routes may differ in dependencies and middleware, so it must be the route that was read.
            if listed[entry.position] is not route:
                return None
            match, child = entry.matches(scope)
            if match is Match.FULL:
                return self._matched(entry, route, scope, child, method) if entry.is_current(method) else None
        return self._find_in_order(scope, listed, method)

    def candidates(self, path: str) -> list[RouteEntry]:
        """The entries that can match, in order: those whose key is the path or a prefix of it that ends at a slash."""
        if path.endswith("\n"):
            # A regex that ends in `$` also matches before a newline: `/orders\n` is `/orders`, which the index misses.
            return self.entries
        found = self.index.get(path)
        end, depth = path.find("/"), self.depth
        while end >= 0 and depth >= 0:
            if more := self.index.get(path[:end]):
                found = more if found is None else sorted((*found, *more), key=_ORDER)
            end, depth = path.find("/", end + 1), depth - 1
        return found or []

    def _find_in_order(self, scope: Scope, listed: Sequence[BaseRoute], method: str) -> RouteTarget | None:
        partial = None
        for entry in self.entries:
            route = self.routes[entry.position]
            if listed[entry.position] is not route:
                return None
            match, child = entry.matches(scope)
            if match is Match.FULL:
                return self._matched(entry, route, scope, child, method) if entry.is_current(method) else None
            if match is Match.PARTIAL and partial is None:
                partial = entry
        if partial is not None:
            return RouteTarget([self.routes[partial.position]])
        routes = self._redirect_routes(scope)
        for entry in self.fallbacks:
            match, child = entry.matches(scope)
            if match is not Match.NONE:
                return self._target(entry, scope, child, method, routes) if match is Match.FULL else RouteTarget(routes)
        return RouteTarget(routes)

    def _redirect_routes(self, scope: Scope) -> list[BaseRoute]:
        """The routes to which the router may redirect: with a slash more, or without those at the end."""
        path: str = scope["path"]
        other = path.rstrip("/") if path.endswith("/") else path + "/"
        positions = {entry.position for entry in self.candidates(get_route_path({**scope, "path": other}))}
        return [self.routes[position] for position in sorted(positions)]

    def _matched(self, entry: RouteEntry, route: BaseRoute, scope: Scope, child: Any, method: str) -> RouteTarget:
        if entry.included:
            # A router that FastAPI includes adds nothing to the scope before it is called.
            route = MatchedRoute(route, {})
        elif not entry.chain and entry.route is route:
            route = MatchedRoute(route, child)
        return self._target(entry, scope, child, method, (route,))

    def _target(
        self, entry: RouteEntry, scope: Scope, child: Mapping[str, Any], method: str, routes: Sequence[BaseRoute]
    ) -> RouteTarget:
        chain = (*entry.chain, child.get("endpoint", scope.get("endpoint")))
        tables: tuple[RouteTable, ...] = ()
        if (table := self.mounted.get(entry)) is not None:
            target = table.find({**scope, **child})
            tables = (table, *target.tables)
            if target.rule is not None or not entry.rules[0].route.guarded:
                return target._replace(routes=routes, chain=(*chain, *target.chain), tables=tables)
        rule = entry.rule(method)
        params: Mapping[str, object] = child.get("path_params", scope.get("path_params", NO_PARAMETERS))
        return RouteTarget(routes, rule, params, chain, tables, entry.methods() if rule is None else None)


class RouteTable:
    """The routes of one router, in order, and of the routers mounted below it.

    `hook` puts the guard around a mounted router; it returns False if that is impossible. `on_change` is called when a
    request finds that routes have changed.
    """

    def __init__(
        self,
        router: Router,
        mount: MountContext,
        rules: Rules,
        hook: Callable[[Router], bool],
        on_change: Callable[[], object],
    ) -> None:
        self.router = router
        self.mount = mount
        self.rules = rules
        self._hook = hook
        self._on_change = on_change
        self._snapshot = self._read()

    def refresh(self) -> bool:
        """Read the routes again if they have changed; True if they have, here or in a mounted router."""
        if self._snapshot.is_current():
            # A list, not a generator: every table must refresh.
            return any([table.refresh() for table in self._snapshot.mounted.values()])  # noqa: C419
        self._snapshot = self._read()
        return True

    def find(self, scope: Scope) -> RouteTarget:
        """What will be called, by the router itself or by one mounted below it."""
        snapshot = self._snapshot
        target = snapshot.find(scope, self.router.routes) if snapshot.is_current() else None
        if target is None:
            snapshot = self._snapshot = self._read()
            self._on_change()
            target = snapshot.find(scope, snapshot.routes)
        if target is None:
            raise ConfigurationError(f"{scope['path']}: the route has another endpoint each time it is asked for it")
        return target

    def routes(self) -> Iterator[tuple[RouteEntry, MountContext, Route]]:
        """Every route with its entry and mount; for a mounted router, its routes instead of the mount."""
        snapshot = self._snapshot
        for entry in (*snapshot.entries, *snapshot.fallbacks):
            if entry in snapshot.mounted:
                yield from snapshot.mounted[entry].routes()
            else:
                yield from ((entry, self.mount, rule.route) for rule in entry.rules)

    def _read(self) -> _RouteSnapshot:
        router = self.router
        # The copies come first: if a list changes while it is read, it differs from its copy and is read again.
        routes, default = list(router.routes), router.default
        read = [(each, list(each.routes), getattr(each, _VERSION, 0)) for each in included_routers(router)]
        reader = RouteReader(router, self.mount, self.rules)
        fallback = reader.default()
        entries = list(reader.entries(routes))
        index: dict[str, list[RouteEntry]] = {}
        for entry in entries:
            index.setdefault(entry.key, []).append(entry)
        return _RouteSnapshot(
            router=router,
            routes=routes,
            default=default,
            read=read,
            entries=entries,
            fallbacks=[*reader.fallbacks(), *([fallback] if fallback is not None else ())],
            # INVARIANT: a router that cannot be hooked is decided as a whole, like any other application.
            mounted={
                entry: RouteTable(*entry.inner, self.rules, self._hook, self._on_change)
                for entry in entries
                if entry.inner and self._hook(entry.inner[0])
            },
            index=index,
            depth=max((key.count("/") for key in index), default=0),
        )


# FastAPI counts what it adds to a router, its frontends too.
_VERSION: Final = "_routes_version"
