"""Which route was that?

A log has paths, and a route a template. `jwt-lp routes --json` writes templates alike for every host: a segment is a
text, or has parameters in braces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from jwt_lp._support.json_types import is_json_array
from jwt_lp.errors import ConfigurationError

_PARAMETER: Final = re.compile(r"\{([^{}:]*)(:[^{}]*)?\}")
_ABSOLUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_MAX_PATH: Final = 2048


class MatchedRoute(NamedTuple):
    """What a route asks for: its endpoint, the requirement as written, its permissions and its kind."""

    endpoint: str
    requirement: str
    permissions: tuple[str, ...]
    kind: str
    methods: frozenset[str]
    order: int


@dataclass(slots=True)
class _Node:
    """What may come next: a segment as it is, or one with parameters, the most literal first."""

    literal: dict[str, _Node] = field(default_factory=dict[str, "_Node"])
    patterns: list[tuple[tuple[str, ...], _Node]] = field(default_factory=list[tuple[tuple[str, ...], "_Node"]])
    routes: list[MatchedRoute] = field(default_factory=list[MatchedRoute])
    rest_routes: list[MatchedRoute] = field(default_factory=list[MatchedRoute])


class RouteMatcher:
    """Finds the route of a method and a path. `ConfigurationError` for what `jwt-lp routes --json` did not write."""

    def __init__(self, listed: object) -> None:
        self._root = _Node()
        if not is_json_array(listed):
            raise ConfigurationError("the routes must be the list that jwt-lp routes --json prints")
        for order, each in enumerate(listed):
            self._add(*_parse_route(each, order))

    def find(self, method: str, path: str) -> MatchedRoute | None:
        """The route that such a request is for, or None."""
        segments = _split_path(path)
        if segments is None:
            return None
        method = method.upper()
        for wanted in (method, "GET") if method == "HEAD" else (method,):
            # One segment for each parameter; only then those at the end that may stand for several.
            for walk in (_match_exact, _match_rest):
                for targets in walk(self._root, segments, 0):
                    found = [each for each in targets if not each.methods or wanted in each.methods]
                    if found:
                        return min(found, key=lambda each: each.order)
        return None

    def _add(self, target: MatchedRoute, template: str) -> None:
        if template.startswith("//"):
            # Below a host, which a log does not tell.
            template = "/" + template[2:].partition("/")[2]
        node = self._root
        parts = template.removeprefix("/").split("/")
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            pieces = tuple(_PARAMETER.sub("\0", part).split("\0"))
            if last and pieces == ("", ""):
                node.rest_routes.append(target)
            if len(pieces) == 1:
                node = node.literal.setdefault(part, _Node())
                continue
            known = next((inner for shape, inner in node.patterns if shape == pieces), None)
            if known is None:
                known = _Node()
                node.patterns.append((pieces, known))
                node.patterns.sort(key=lambda each: -sum(map(len, each[0])))
            node = known
        node.routes.append(target)


def _parse_route(each: Any, order: int) -> tuple[MatchedRoute, str]:
    """What a route asks for, and its template."""
    try:
        permissions: tuple[Any, ...] = tuple(each["permissions"])
        requirement = each["requirement"] or ""
        # Nothing but texts can be joined.
        "".join((each["template"], each["endpoint"], each["kind"], requirement, *permissions, *each["methods"]))
        methods = frozenset(each["methods"])
        target = MatchedRoute(each["endpoint"], requirement, permissions, each["kind"], methods, order)
        return target, each["template"]
    except (KeyError, TypeError):
        raise ConfigurationError(f"route {order + 1} is not one that jwt-lp routes --json prints") from None


def _split_path(path: str) -> list[str] | None:
    """The segments of a request's path, decoded; None for what is none."""
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
    inner = node.literal.get(segment)
    if inner is not None:
        yield from _match_exact(inner, segments, at + 1)
    for pieces, inner in node.patterns:
        if _segment_matches(pieces, segment):
            yield from _match_exact(inner, segments, at + 1)


def _match_rest(node: _Node, segments: Sequence[str], at: int) -> Iterator[Sequence[MatchedRoute]]:
    """Those whose last parameter takes what is left, the longest beginning first."""
    if at < len(segments):
        segment = segments[at]
        literal = node.literal.get(segment)
        if literal is not None:
            yield from _match_rest(literal, segments, at + 1)
        for pieces, inner in node.patterns:
            if _segment_matches(pieces, segment):
                yield from _match_rest(inner, segments, at + 1)
        if any(segments[at:]):
            yield node.rest_routes


def _segment_matches(pieces: Sequence[str], segment: str) -> bool:
    """Whether a segment has these pieces in order, with something in each place between two."""
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
