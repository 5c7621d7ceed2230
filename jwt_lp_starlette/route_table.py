"""Which endpoint will the router choose for this request, and may it be called?

The index only narrows the search: whether a route matches is for the framework's own matcher to say, and a miss
is followed by the walk that the router itself makes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from starlette._utils import get_route_path
from starlette.exceptions import HTTPException
from starlette.routing import Match, Router

from jwt_lp import Route, Rules
from jwt_lp_starlette.request_context import CONTEXT_KEY, NO_PARAMETERS, RequestContext, Scope, request_method
from jwt_lp_starlette.route_reader import MountContext, RouteEntry, RouteReader, RouteRule


class RouteTarget(NamedTuple):
    """What the router is about to call: what is declared for it, its parameters, and what stands on the way.

    `rule` is None where the router itself answers: not found, not allowed, redirected. `tables` are those of the
    mounted routers on the way. `allow` has the methods of an endpoint that was found and does not answer this one.
    """

    rule: RouteRule | None = None
    params: Mapping[str, object] = NO_PARAMETERS
    chain: tuple[object, ...] = ()
    tables: tuple[RouteTable, ...] = ()
    allow: tuple[str, ...] | None = None


class RouterHook:
    """Stands directly around what a router does, inside all middleware, and has the hearings decide on it.

    Middleware of a mounted application may send the request elsewhere after the decision; here that is seen.
    """

    def __init__(self, router: Router, app: Any) -> None:
        self.router = router
        self.app = app

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Judge what the router will call, then let it."""
        context = scope.get(CONTEXT_KEY)
        if isinstance(context, RequestContext) and scope["type"] != "lifespan":
            await self._authorize(context, scope)
        await self.app(scope, receive, send)

    async def _authorize(self, context: RequestContext, scope: Scope) -> None:
        if context.outer is not None:
            await self._authorize(context.outer, scope)
        table = next((each for each in context.tables if each.router is self.router), None)
        if table is None:
            # An application that was judged whole has routers of its own; otherwise nobody knows this one.
            if context.decision is None:
                context.require_pass(scope, await context.decide(None, NO_PARAMETERS))
            return
        try:
            target = table.find(scope)
        except ValueError:
            # A convertor cannot make anything of the path, such as an int of thousands of digits.
            raise HTTPException(404) from None
        context.chain += target.chain
        context.tables = target.tables + context.tables
        if target.rule is not None:
            await context.admit(target, target.rule, scope)
        elif target.allow is not None:
            # INVARIANT: older Starlette calls whatever attribute of an endpoint class has the method's name.
            raise HTTPException(405, headers={"Allow": ", ".join(target.allow)})


def install_hook(router: Router) -> bool:
    """Put a `Bench` around what `router` does; False where its middleware hides that."""
    holder: Any = router
    name = "middleware_stack"
    while (app := getattr(holder, name, None)) is not None and not isinstance(app, RouterHook):
        if getattr(app, "__self__", None) is router:
            setattr(holder, name, RouterHook(router, app))
            return True
        holder, name = app, "app"
    return app is not None


@dataclass(frozen=True, slots=True)
class _RouteSnapshot:
    """The routes as they were read: whole or not at all, so that no thread sees half of them."""

    seen: tuple[object, ...]
    entries: list[RouteEntry]
    fallbacks: list[RouteEntry]
    mounted: dict[RouteEntry, RouteTable]
    index: dict[str, list[int]]
    depth: int

    def candidates(self, path: str) -> list[RouteEntry]:
        """The entries that can match, in order: those whose key is the path or its beginning up to a slash."""
        keys, end = [path], -1
        while len(keys) <= self.depth + 1 and (end := path.find("/", end + 1)) >= 0:
            keys.append(path[:end])
        found = [position for key in keys for position in self.index.get(key, ())]
        return [self.entries[position] for position in sorted(found)]


class RouteTable:
    """The routes of one router, in order, and of the routers mounted below it."""

    def __init__(self, router: Router, mount: MountContext, rules: Rules) -> None:
        self.router = router
        self.mount = mount
        self.rules = rules
        self._snapshot = self._read()

    def refresh(self) -> bool:
        """Read the routes again if the router has others than before; True if so, here or below."""
        if self._snapshot.seen == self._router_state(self.router.routes):
            # A list, not a generator: each of them has to look.
            return any([below.refresh() for below in self._snapshot.mounted.values()])  # noqa: C419
        self._snapshot = self._read()
        return True

    def find(self, scope: Scope) -> RouteTarget:
        """What will be called, by the router itself or by one mounted below it."""
        now = self._snapshot
        path = get_route_path(scope)
        # A regex that ends in `$` also matches before a newline: `/orders\n` is `/orders`, which no index says.
        for entry in () if path.endswith("\n") else now.candidates(path):
            match, child = entry.matches(scope)
            if match is Match.FULL:
                return _build_target(now, entry, scope, child)
        return _match_in_order(now, scope)

    def routes(self) -> Iterator[tuple[RouteEntry, MountContext, Route]]:
        """Every route with its entry and place; a mounted router's routes instead of the mount."""
        now = self._snapshot
        for entry in (*now.entries, *now.fallbacks):
            if entry in now.mounted:
                yield from now.mounted[entry].routes()
            else:
                yield from ((entry, self.mount, rule.route) for rule in entry.rules)

    def _router_state(self, routes: list[Any]) -> tuple[object, ...]:
        return (routes, getattr(self.router, "_get_routes_version", int)(), self.router.default)

    def _read(self) -> _RouteSnapshot:
        seen = self._router_state(list(self.router.routes))
        reader = RouteReader(self.router, self.mount, self.rules)
        default = reader.default()
        entries = list(reader.entries())
        index: dict[str, list[int]] = {}
        for position, entry in enumerate(entries):
            index.setdefault(entry.key, []).append(position)
        return _RouteSnapshot(
            seen=seen,
            entries=entries,
            fallbacks=[*reader.fallbacks(), *([default] if default is not None else ())],
            # INVARIANT: a router that cannot be watched is an application like any other, judged whole.
            mounted={
                each: RouteTable(*each.inner, self.rules)
                for each in entries
                if each.inner and install_hook(each.inner[0])
            },
            index=index,
            depth=max((key.count("/") for key in index), default=0),
        )


def _match_in_order(now: _RouteSnapshot, scope: Scope) -> RouteTarget:
    partial = False
    for entry in now.entries:
        match, child = entry.matches(scope)
        if match is Match.FULL:
            return _build_target(now, entry, scope, child)
        partial = partial or match is Match.PARTIAL
    for entry in () if partial else now.fallbacks:
        match, child = entry.matches(scope)
        if match is not Match.NONE:
            return _build_target(now, entry, scope, child) if match is Match.FULL else RouteTarget()
    return RouteTarget()


def _build_target(now: _RouteSnapshot, entry: RouteEntry, scope: Scope, child: Mapping[str, Any]) -> RouteTarget:
    chain = (*entry.chain, child.get("endpoint", scope.get("endpoint")))
    tables: tuple[RouteTable, ...] = ()
    if (below := now.mounted.get(entry)) is not None:
        inner = below.find({**scope, **child})
        tables = (below, *inner.tables)
        if inner.rule is not None or not entry.rules[0].route.guarded:
            return inner._replace(chain=(*chain, *inner.chain), tables=tables)
    rule = entry.rule(request_method(scope))
    params: Mapping[str, object] = child.get("path_params", scope.get("path_params", NO_PARAMETERS))
    return RouteTarget(rule, params, chain, tables, entry.methods() if rule is None else None)
