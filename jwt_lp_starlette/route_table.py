"""The table of a router's routes, which finds what the router will call for a request.

The index only narrows the search. The framework's own matcher decides whether a route matches, and if no indexed route
matches, the table walks through all routes in order, as the router does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from starlette._utils import get_route_path
from starlette.routing import Match, Router

from jwt_lp import Route, Rules
from jwt_lp_starlette.route_reader import MountContext, RouteEntry, RouteReader, RouteRule
from jwt_lp_starlette.scope import NO_PARAMETERS, Scope, request_method


class RouteTarget(NamedTuple):
    """What the router is about to call: its declaration, its parameters, and the applications on the way to it.

    `rule` is None if the router itself answers: not found, not allowed, redirected. `tables` are those of the
    mounted routers on the way. `allow` has the methods of an endpoint that was found but does not answer this method.
    """

    rule: RouteRule | None = None
    params: Mapping[str, object] = NO_PARAMETERS
    chain: tuple[object, ...] = ()
    tables: tuple[RouteTable, ...] = ()
    allow: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class _RouteSnapshot:
    """The routes at one reading. It is replaced as a whole, so that no thread sees half of a change."""

    router_state: tuple[object, ...]
    entries: list[RouteEntry]
    fallbacks: list[RouteEntry]
    mounted: dict[RouteEntry, RouteTable]
    index: dict[str, list[int]]
    depth: int

    def candidates(self, path: str) -> list[RouteEntry]:
        """The entries that can match, in order: those whose key is the path or a prefix of it that ends at a slash."""
        keys, end = [path], -1
        while len(keys) <= self.depth + 1 and (end := path.find("/", end + 1)) >= 0:
            keys.append(path[:end])
        positions = [position for key in keys for position in self.index.get(key, ())]
        return [self.entries[position] for position in sorted(positions)]


class RouteTable:
    """The routes of one router, in order, and of the routers mounted below it.

    `hook` puts the guard around a mounted router; it returns False if that is impossible.
    """

    def __init__(self, router: Router, mount: MountContext, rules: Rules, hook: Callable[[Router], bool]) -> None:
        self.router = router
        self.mount = mount
        self.rules = rules
        self._hook = hook
        self._snapshot = self._read()

    def refresh(self) -> bool:
        """Read the routes again if they have changed; True if they have, here or in a mounted router."""
        if self._snapshot.router_state == self._router_state(self.router.routes):
            # A list, not a generator: every table must refresh.
            return any([table.refresh() for table in self._snapshot.mounted.values()])  # noqa: C419
        self._snapshot = self._read()
        return True

    def find(self, scope: Scope) -> RouteTarget:
        """What will be called, by the router itself or by one mounted below it."""
        snapshot = self._snapshot
        path = get_route_path(scope)
        # A regex that ends in `$` also matches before a newline: `/orders\n` is `/orders`, which the index misses.
        for entry in () if path.endswith("\n") else snapshot.candidates(path):
            match, child = entry.matches(scope)
            if match is Match.FULL:
                return _build_target(snapshot, entry, scope, child)
        return _match_in_order(snapshot, scope)

    def routes(self) -> Iterator[tuple[RouteEntry, MountContext, Route]]:
        """Every route with its entry and mount; for a mounted router, its routes instead of the mount."""
        snapshot = self._snapshot
        for entry in (*snapshot.entries, *snapshot.fallbacks):
            if entry in snapshot.mounted:
                yield from snapshot.mounted[entry].routes()
            else:
                yield from ((entry, self.mount, rule.route) for rule in entry.rules)

    def _router_state(self, routes: list[Any]) -> tuple[object, ...]:
        return (routes, getattr(self.router, "_get_routes_version", int)(), self.router.default)

    def _read(self) -> _RouteSnapshot:
        router_state = self._router_state(list(self.router.routes))
        reader = RouteReader(self.router, self.mount, self.rules)
        default = reader.default()
        entries = list(reader.entries())
        index: dict[str, list[int]] = {}
        for position, entry in enumerate(entries):
            index.setdefault(entry.key, []).append(position)
        return _RouteSnapshot(
            router_state=router_state,
            entries=entries,
            fallbacks=[*reader.fallbacks(), *([default] if default is not None else ())],
            # INVARIANT: a router that cannot be hooked is decided as a whole, like any other application.
            mounted={
                entry: RouteTable(*entry.inner, self.rules, self._hook)
                for entry in entries
                if entry.inner and self._hook(entry.inner[0])
            },
            index=index,
            depth=max((key.count("/") for key in index), default=0),
        )


def _match_in_order(snapshot: _RouteSnapshot, scope: Scope) -> RouteTarget:
    partial = False
    for entry in snapshot.entries:
        match, child = entry.matches(scope)
        if match is Match.FULL:
            return _build_target(snapshot, entry, scope, child)
        partial = partial or match is Match.PARTIAL
    for entry in () if partial else snapshot.fallbacks:
        match, child = entry.matches(scope)
        if match is not Match.NONE:
            return _build_target(snapshot, entry, scope, child) if match is Match.FULL else RouteTarget()
    return RouteTarget()


def _build_target(snapshot: _RouteSnapshot, entry: RouteEntry, scope: Scope, child: Mapping[str, Any]) -> RouteTarget:
    chain = (*entry.chain, child.get("endpoint", scope.get("endpoint")))
    tables: tuple[RouteTable, ...] = ()
    if (table := snapshot.mounted.get(entry)) is not None:
        target = table.find({**scope, **child})
        tables = (table, *target.tables)
        if target.rule is not None or not entry.rules[0].route.guarded:
            return target._replace(chain=(*chain, *target.chain), tables=tables)
    rule = entry.rule(request_method(scope))
    params: Mapping[str, object] = child.get("path_params", scope.get("path_params", NO_PARAMETERS))
    return RouteTarget(rule, params, chain, tables, entry.methods() if rule is None else None)
