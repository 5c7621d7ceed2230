"""Which endpoint will the router choose for this request?

The index only narrows the search: whether a route matches is for the framework's own matcher to say, and a miss
is followed by the walk that the router itself makes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from starlette._utils import get_route_path
from starlette.routing import Match, Router

from jwt_lp import Route, Rules
from jwt_lp_starlette.hearing import NO_PARAMS, Scope
from jwt_lp_starlette.routing import WEBSOCKET, Entry, Place, Reader, Rule


class Target(NamedTuple):
    """What the router is about to call: what is declared for it, its parameters, and what stands on the way."""

    rule: Rule
    params: Mapping[str, object]
    chain: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """The routes as they were read: whole or not at all, so that no thread sees half of them."""

    seen: tuple[object, ...]
    entries: list[Entry]
    last: list[Entry]
    below: dict[Entry, Table]
    index: dict[str, list[int]]
    depth: int

    def likely(self, path: str) -> list[Entry]:
        """The entries that can match, in order: those whose key is the path or its beginning up to a slash."""
        keys, end = [path], -1
        while len(keys) <= self.depth + 1 and (end := path.find("/", end + 1)) >= 0:
            keys.append(path[:end])
        found = [position for key in keys for position in self.index.get(key, ())]
        return [self.entries[position] for position in sorted(found)]


class Table:
    """The routes of one router, in order, and of the routers mounted below it."""

    def __init__(self, router: Router, place: Place, rules: Rules) -> None:
        self.router = router
        self.place = place
        self.rules = rules
        self._now = self._read()

    def refresh(self) -> bool:
        """Read the routes again if the router has others than before; True if so, here or below."""
        if self._now.seen == self._state(self.router.routes):
            # A list, not a generator: each of them has to look.
            return any([below.refresh() for below in self._now.below.values()])  # noqa: C419
        self._now = self._read()
        return True

    def find(self, scope: Scope) -> Target | None:
        """What will be called, or None where the router itself answers: not found, not allowed, redirected."""
        now = self._now
        path = get_route_path(scope)
        # A regex that ends in `$` also matches before a newline: `/orders\n` is `/orders`, which no index says.
        for entry in () if path.endswith("\n") else now.likely(path):
            match, child = entry.matches(scope)
            if match is Match.FULL:
                return _enter(now, entry, scope, child)
        return _walk(now, scope)

    def routes(self) -> Iterator[tuple[Entry, Place, Route]]:
        """Every route with its entry and place; a mounted router's routes instead of the mount."""
        now = self._now
        for entry in (*now.entries, *now.last):
            if entry in now.below:
                yield from now.below[entry].routes()
            else:
                yield from ((entry, self.place, rule.route) for rule in entry.rules)

    def _state(self, routes: list[Any]) -> tuple[object, ...]:
        return (routes, getattr(self.router, "_get_routes_version", int)(), self.router.default)

    def _read(self) -> _Snapshot:
        seen = self._state(list(self.router.routes))
        reader = Reader(self.router, self.place, self.rules)
        default = reader.default()
        entries = list(reader.entries())
        index: dict[str, list[int]] = {}
        for position, entry in enumerate(entries):
            index.setdefault(entry.key, []).append(position)
        return _Snapshot(
            seen=seen,
            entries=entries,
            last=[*reader.last(), *([default] if default is not None else ())],
            below={each: Table(*each.inner, self.rules) for each in entries if each.inner is not None},
            index=index,
            depth=max((key.count("/") for key in index), default=0),
        )


def _walk(now: _Snapshot, scope: Scope) -> Target | None:
    partial = False
    for entry in now.entries:
        match, child = entry.matches(scope)
        if match is Match.FULL:
            return _enter(now, entry, scope, child)
        partial = partial or match is Match.PARTIAL
    for entry in () if partial else now.last:
        match, child = entry.matches(scope)
        if match is not Match.NONE:
            return _enter(now, entry, scope, child) if match is Match.FULL else None
    return None


def _enter(now: _Snapshot, entry: Entry, scope: Scope, child: Mapping[str, Any]) -> Target | None:
    chain = (*entry.chain, child.get("endpoint", scope.get("endpoint")))
    if entry in now.below:
        inner = now.below[entry].find({**scope, **child, **_own_root(entry)})
        if inner is not None:
            return inner._replace(chain=(*chain, *inner.chain))
        if not entry.rules[0].route.guarded:
            return None
    rule = entry.rule(WEBSOCKET if scope["type"] == "websocket" else scope["method"])
    params: Mapping[str, object] = child.get("path_params", scope.get("path_params", NO_PARAMS))
    return None if rule is None else Target(rule, params, chain)


def _own_root(entry: Entry) -> dict[str, str]:
    """The root path that a mounted FastAPI application puts in place of the mount's, if it was given one."""
    root: str = getattr(entry.chain[-1], "root_path", "")
    return {"root_path": root} if root else {}
