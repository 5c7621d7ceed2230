"""How is a route written for people, and by what names is it known?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

# In this order: what begins a group, a parameter of `path`, a class of characters, an escape, an anchor or `/?`.
_PIECES: Final = re.compile(
    r"\(\?P<(?P<named>\w+)>|(?P<unnamed>\((?!\?))|<(?:[^<>:()]+:)?(?P<parameter>\w+)>"
    r"|(?P<class>\[\^?\]?(?:\\.|[^\]\\])*\])|\\(?P<escaped>.)|(?P<dropped>[\^$]|(?<=/)\?)"
)
_BRACKETS: Final = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.", re.DOTALL)
_SINGLE_CHARACTERS: Final = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\$")
# Alternatives, or a slash that need not be there, anywhere but at the end.
_AMBIGUOUS: Final = re.compile(r"\||/[?*{].")
_BOUNDARIES: Final = frozenset("ABZbz")


@lru_cache(maxsize=4096)
def route_template(route: str) -> str:
    """A route of `path` or `re_path`, or several joined, as one template: `/orders/{order_id}`.

    What else a regular expression says stays as written, so that no two routes become one. One that has alternatives,
    or may leave a slash out, stays so as a whole and begins with `/^`: no path rule is about it.
    """
    # INVARIANT: a path rule applies only where every path that matches has the segments of the template.
    if _AMBIGUOUS.search(_SINGLE_CHARACTERS.sub(_placeholder_letter, _without_groups(route))):
        return "/^" + route.removeprefix("^")
    written: list[str] = []
    at = 0
    while (found := _PIECES.search(route, at)) is not None:
        written.append(route[at : found.start()])
        at = found.end()
        if found["named"] or found["unnamed"]:
            written.append("{" + (found["named"] or "") + "}")
            at = _group_end(route, at)
        else:
            written.append(_piece(found))
    return "/" + "".join((*written, route[at:])).removeprefix("/")


def _without_groups(route: str) -> str:
    """The route with a letter for each group."""
    depth, kept = 0, list[str]()
    for piece in _BRACKETS.findall(route):
        opens, closes = piece == "(", piece == ")"
        if depth == 0:
            kept.append("x" if opens else piece)
        depth = max(0, depth + opens - closes)
    return "".join(kept)


def _placeholder_letter(found: re.Match[str]) -> str:
    """A letter for a class, and nothing for an anchor."""
    if found[0] == r"\/":
        return "/"
    return "" if found[0] == "$" or found[0][1] in _BOUNDARIES else "x"


def _piece(found: re.Match[str]) -> str:
    if found["parameter"]:
        return "{" + found["parameter"] + "}"
    escaped = found["escaped"]
    if escaped is None:
        return found["class"] or ""
    if escaped in _BOUNDARIES:
        return ""
    return found[0] if escaped.isalnum() else escaped


def _group_end(route: str, at: int) -> int:
    depth = 1
    for found in re.finditer(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[()]", route[at:]):
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if depth == 0:
            end = at + found.end()
            return end + (route[end : end + 1] in {"?", "*", "+"})
    return len(route)


def names_of(namespaces: Sequence[str], name: str | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names that a rule may use: those of the route, and those of its namespaces."""
    spaces = [space for space in namespaces if space]
    nested = tuple(":".join(spaces[:depth]) for depth in range(1, len(spaces) + 1))
    return ((":".join((*spaces, name)),) if name else ()), tuple(dict.fromkeys((*nested, *spaces)))
