"""Route templates such as `/orders/{order_id}`, and the names of routes for rules."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

# In this order: the start of a group, a parameter of `path`, a character class, an escape, an anchor or `/?`.
_PIECES: Final = re.compile(
    r"\(\?P<(?P<named>\w+)>|(?P<unnamed>\((?!\?))|<(?:[^<>:()]+:)?(?P<parameter>\w+)>"
    r"|(?P<class>\[\^?\]?(?:\\.|[^\]\\])*\])|\\(?P<escaped>.)|(?P<dropped>[\^$]|(?<=/)\?)"
)
_BRACKETS: Final = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.", re.DOTALL)
_SINGLE_CHARACTERS: Final = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\$")
# Alternatives anywhere, or an optional slash anywhere but at the end.
_AMBIGUOUS: Final = re.compile(r"\||/[?*{].")
_BOUNDARIES: Final = frozenset("ABZbz")


@lru_cache(maxsize=4096)
def route_template(route: str) -> str:
    """A route of `path` or `re_path`, or several joined, as one template: `/orders/{order_id}`.

    The other parts of a regular expression are not changed, so that two routes never get the same template. A route
    with alternatives or with an optional slash is not changed at all and begins with `/^`: no path rule applies to it.
    """
    # INVARIANT: a path rule applies only to a route whose paths all have the segments of the template.
    if _AMBIGUOUS.search(_SINGLE_CHARACTERS.sub(_placeholder_letter, _without_groups(route))):
        return "/^" + route.removeprefix("^")
    parts: list[str] = []
    position = 0
    while (match := _PIECES.search(route, position)) is not None:
        parts.append(route[position : match.start()])
        position = match.end()
        if match["named"] or match["unnamed"]:
            parts.append("{" + (match["named"] or "") + "}")
            position = _group_end(route, position)
        else:
            parts.append(_piece(match))
    return "/" + "".join((*parts, route[position:])).removeprefix("/")


def _without_groups(route: str) -> str:
    """The route with a letter for each group."""
    depth, outside = 0, list[str]()
    for piece in _BRACKETS.findall(route):
        opens, closes = piece == "(", piece == ")"
        if depth == 0:
            outside.append("x" if opens else piece)
        depth = max(0, depth + opens - closes)
    return "".join(outside)


def _placeholder_letter(match: re.Match[str]) -> str:
    """A letter for a character class or an escape, and nothing for an anchor."""
    if match[0] == r"\/":
        return "/"
    return "" if match[0] == "$" or match[0][1] in _BOUNDARIES else "x"


def _piece(match: re.Match[str]) -> str:
    if match["parameter"]:
        return "{" + match["parameter"] + "}"
    escaped = match["escaped"]
    if escaped is None:
        return match["class"] or ""
    if escaped in _BOUNDARIES:
        return ""
    return match[0] if escaped.isalnum() else escaped


def _group_end(route: str, start: int) -> int:
    depth = 1
    for match in re.finditer(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[()]", route[start:]):
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if depth == 0:
            end = start + match.end()
            return end + (route[end : end + 1] in {"?", "*", "+"})
    return len(route)


def names_of(namespaces: Sequence[str], name: str | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names that a rule may use: that of the route, and those of its namespaces."""
    parts = [namespace for namespace in namespaces if namespace]
    nested = tuple(":".join(parts[:depth]) for depth in range(1, len(parts) + 1))
    return ((":".join((*parts, name)),) if name else ()), tuple(dict.fromkeys((*nested, *parts)))
