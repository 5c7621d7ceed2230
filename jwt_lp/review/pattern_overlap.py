"""Which permissions do two texts have in common, and which does an enforcement point ask for?"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from jwt_lp.permissions.grants import Grant, Permissions, is_pattern

if TYPE_CHECKING:
    from collections.abc import Iterable

_PLACEHOLDER: Final = re.compile(r"\{[^{}]*\}")
_SPLIT: Final = re.compile(r" & | \| |[()]")
_CACHE_SIZE: Final = 65536


@lru_cache(maxsize=_CACHE_SIZE)
def overlap(one: str, other: str) -> bool:
    """Whether some permission is covered by both; a placeholder or `*` is any segment, a last `**` one or more."""
    if one == other:
        return True
    mine, theirs = _parse_segments(one), _parse_segments(other)
    if mine is None or theirs is None:
        return False
    (head, deep), (their_head, their_deep) = mine, theirs
    if not deep and not their_deep and len(head) != len(their_head):
        return False
    if (deep and not their_deep and len(their_head) <= len(head)) or (
        their_deep and not deep and len(head) <= len(their_head)
    ):
        return False
    return all(a == b or _is_wildcard(a) or _is_wildcard(b) for a, b in zip(head, their_head, strict=False))


def _is_wildcard(segment: str) -> bool:
    return segment == "*" or segment[:1] == "{"


@lru_cache(maxsize=_CACHE_SIZE)
def _parse_segments(text: str) -> tuple[tuple[str, ...], bool] | None:
    """The segments, and whether more follow; None for what stands for itself alone."""
    segments = tuple(text.split(":"))
    if "" in segments:
        return None
    deep = segments[-1] == "**"
    return (segments[:-1] if deep else segments), deep


@lru_cache(maxsize=_CACHE_SIZE)
def covers(grant: str, permission: str) -> bool:
    """Whether `grant` holds all that `permission`, literal or template, may be."""
    if grant == permission:
        return True
    # A value of the template, which no grant names.
    filled = _PLACEHOLDER.sub("~", permission)
    return is_pattern(grant) and Permissions.of([Grant(grant, "", pattern=True)]).grant_for(filled) is not None


def pattern_of(permission: str) -> str:
    """What has to be granted for a permission as it is declared: `*` for each placeholder."""
    return ":".join("*" if "{" in part else part for part in permission.split(":"))


def permissions_in(requirement: str) -> tuple[str, ...]:
    """The permissions that a requirement, as it is written, asks for."""
    said = requirement.partition(" unbound ")[0]
    # A binding has `=`, which no permission that is asked for has outside of one segment's text.
    found = (each for each in _SPLIT.split(said) if each and not _BINDING.match(each))
    return tuple(dict.fromkeys(each for each in found if each not in _MARKS and not each.startswith("external: ")))


_BINDING: Final = re.compile(r"[^:=\s]+=(?:[^:]*)\Z")
_MARKS: Final = ("authenticated", "public", "public, identified")


class EnforcedPermissions:
    """The permissions that enforcement points are known to ask for."""

    def __init__(self, terms: Iterable[str]) -> None:
        self._terms: Final = tuple(dict.fromkeys(terms))
        self._terms_set: Final = frozenset(self._terms)
        self._is_wildcard: Final = tuple(each for each in self._terms if "{" in each)
        self._cache: dict[str, tuple[str, ...]] = {}

    def __bool__(self) -> bool:
        return bool(self._terms)

    def matching(self, grant: str) -> tuple[str, ...]:
        """Those that somebody with `grant` may pass, some or all of."""
        found = self._cache.get(grant)
        if found is None:
            among = self._terms if is_pattern(grant) or "{" in grant else self._is_wildcard
            found = tuple(each for each in among if overlap(grant, each))
            if grant in self._terms_set and grant not in found:
                found = (grant, *found)
            self._cache[grant] = found
        return found
