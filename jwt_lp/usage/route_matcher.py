"""Matcher from the method and path of a logged request to its route.

`jwt-lp routes --json` writes templates in the same form for every host: a segment is literal, or has parameters in
braces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from jwt_lp._support.json_types import is_json_array
from jwt_lp.errors import ConfigurationError

_PARAMETER: Final = re.compile(r"\{([^{}:]*)(:[^{}]*)?\}")
_ABSOLUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_MAX_PATH: Final = 2048


class MatchedRoute(NamedTuple):
    """A route: endpoint, requirement as written, permissions, kind, methods (empty for all), place in the list."""

    endpoint: str
    requirement: str
    permissions: tuple[str, ...]
    kind: str
    methods: frozenset[str]
    order: int


@dataclass(slots=True)
class _Node:
    """The children of a path prefix: literal segments, and segments with parameters, the most literal first.

    `routes` end here; the last parameter of `rest_routes` takes all remaining segments.
    """

    literal: dict[str, _Node] = field(default_factory=dict[str, "_Node"])
    patterns: list[tuple[tuple[str, ...], _Node]] = field(default_factory=list[tuple[tuple[str, ...], "_Node"]])
    routes: list[MatchedRoute] = field(default_factory=list[MatchedRoute])
    rest_routes: list[MatchedRoute] = field(default_factory=list[MatchedRoute])


class RouteMatcher:
    """Finds the route of a method and a path.

    Raises `ConfigurationError` for a document that `jwt-lp routes --json` did not write.
    """

    def __init__(self, document: object) -> None:
        self._root = _Node()
        if not is_json_array(document):
            raise ConfigurationError("the routes must be the list that jwt-lp routes --json prints")
        for order, item in enumerate(document):
            self._add(*_parse_route(item, order))

    def find(self, method: str, path: str) -> MatchedRoute | None:
        """The route of a request, or None."""
        segments = _split_path(path)
        if segments is None:
            return None
        method = method.upper()
        for wanted in (method, "GET") if method == "HEAD" else (method,):
            # First routes with one segment for each parameter, then those whose last parameter takes several.
            for match in (_match_exact, _match_rest):
                for candidates in match(self._root, segments, 0):
                    routes = [route for route in candidates if not route.methods or wanted in route.methods]
                    if routes:
                        return min(routes, key=attrgetter("order"))
        return None

    def _add(self, route: MatchedRoute, template: str) -> None:
        if template.startswith("//"):
            # The template begins with a host, which a log does not hold.
            template = "/" + template[2:].partition("/")[2]
        node = self._root
        parts = template.removeprefix("/").split("/")
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            pieces = tuple(_PARAMETER.sub("\0", part).split("\0"))
            if last and pieces == ("", ""):
                node.rest_routes.append(route)
            if len(pieces) == 1:
                node = node.literal.setdefault(part, _Node())
                continue
            child = next((child for shape, child in node.patterns if shape == pieces), None)
            if child is None:
                child = _Node()
                node.patterns.append((pieces, child))
                node.patterns.sort(key=lambda pattern: -sum(map(len, pattern[0])))
            node = child
        node.routes.append(route)


def _parse_route(item: Any, order: int) -> tuple[MatchedRoute, str]:
    """The route in an item of the list, and its template."""
    try:
        permissions: tuple[Any, ...] = tuple(item["permissions"])
        requirement = item["requirement"] or ""
        # `join` raises TypeError for a value that is not a string.
        "".join((item["template"], item["endpoint"], item["kind"], requirement, *permissions, *item["methods"]))
        methods = frozenset(item["methods"])
        route = MatchedRoute(item["endpoint"], requirement, permissions, item["kind"], methods, order)
        return route, item["template"]
    except (KeyError, TypeError):
        raise ConfigurationError(f"route {order + 1} is not one that jwt-lp routes --json prints") from None


def _split_path(path: str) -> list[str] | None:
    """The decoded segments of a request's path; None if it is not an absolute path, or too long."""
    path = _ABSOLUTE.sub("", path, count=1) if "://" in path else path
    path = path.partition("?")[0].partition("#")[0]
    if not path.startswith("/") or len(path) > _MAX_PATH:
        return None
    parts = path[1:].split("/")
    return [unquote(part) for part in parts] if "%" in path else parts


def _match_exact(node: _Node, segments: Sequence[str], at: int) -> Iterator[Sequence[MatchedRoute]]:
    if at == len(segments):
        yield node.routes
        return
    segment = segments[at]
    child = node.literal.get(segment)
    if child is not None:
        yield from _match_exact(child, segments, at + 1)
    for pieces, child in node.patterns:
        if _segment_matches(pieces, segment):
            yield from _match_exact(child, segments, at + 1)


def _match_rest(node: _Node, segments: Sequence[str], at: int) -> Iterator[Sequence[MatchedRoute]]:
    """The routes whose last parameter takes all remaining segments, those with the longest prefix first."""
    if at < len(segments):
        segment = segments[at]
        literal = node.literal.get(segment)
        if literal is not None:
            yield from _match_rest(literal, segments, at + 1)
        for pieces, child in node.patterns:
            if _segment_matches(pieces, segment):
                yield from _match_rest(child, segments, at + 1)
        if any(segments[at:]):
            yield node.rest_routes


def _segment_matches(pieces: Sequence[str], segment: str) -> bool:
    """Whether a segment consists of these literal pieces in order, with at least one character between two."""
    first, *middle, last = pieces
    if not segment.startswith(first):
        return False
    at = len(first)
    for piece in middle:
        at = segment.find(piece, at + 1) if piece else at + 1
        if at < 0:
            return False
        at += len(piece)
    return len(segment) - len(last) > at and segment.endswith(last)
