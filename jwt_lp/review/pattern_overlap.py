"""Overlap of permission patterns, and the permissions that enforcement points require."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from jwt_lp.permissions import grants
from jwt_lp.permissions.grants import Grant, Permissions

if TYPE_CHECKING:
    from collections.abc import Iterable

_PLACEHOLDER: Final = re.compile(r"\{[^{}]*\}")
_SPLIT: Final = re.compile(r" & | \| |[()]")
_CACHE_SIZE: Final = 65536


is_pattern: Final = lru_cache(maxsize=_CACHE_SIZE)(grants.is_pattern)
"""Whether a text is a pattern: asked again and again about the same grants of many holders."""


@lru_cache(maxsize=_CACHE_SIZE)
def overlap(one: str, other: str) -> bool:
    """Whether some permission matches both; a placeholder or `*` is any segment, a last `**` one or more segments."""
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
    """The segments, and whether more may follow; None for a text that matches only itself."""
    segments = tuple(text.split(":"))
    if "" in segments:
        return None
    deep = segments[-1] == "**"
    return (segments[:-1] if deep else segments), deep


@lru_cache(maxsize=_CACHE_SIZE)
def covers(grant: str, permission: str) -> bool:
    """Whether `grant` covers every value of `permission`, a literal or a template."""
    if grant == permission:
        return True
    # "~" stands for any value of the template; no grant names it.
    filled = _PLACEHOLDER.sub("~", permission)
    return is_pattern(grant) and Permissions.of([Grant(grant, "", pattern=True)]).grant_for(filled) is not None


def pattern_of(permission: str) -> str:
    """The grant that covers a declared permission: `*` for each placeholder."""
    return ":".join("*" if "{" in part else part for part in permission.split(":"))


def permissions_in(requirement: str) -> tuple[str, ...]:
    """The permissions in the text of a requirement."""
    text = requirement.partition(" unbound ")[0]
    # A binding such as `id=orders` has a `=`, which a required permission has only inside a segment.
    terms = (term for term in _SPLIT.split(text) if term and not _BINDING.match(term))
    return tuple(dict.fromkeys(term for term in terms if term not in _MARKS and not term.startswith("external: ")))


_BINDING: Final = re.compile(r"[^:=\s]+=(?:[^:]*)\Z")
_MARKS: Final = ("authenticated", "public", "public, identified")


class EnforcedPermissions:
    """The permissions that known enforcement points require."""

    def __init__(self, terms: Iterable[str]) -> None:
        self._terms: Final = tuple(dict.fromkeys(terms))
        self._terms_set: Final = frozenset(self._terms)
        self._templates: Final = tuple(term for term in self._terms if "{" in term)
        self._cache: dict[str, tuple[str, ...]] = {}

    def __bool__(self) -> bool:
        return bool(self._terms)

    def matching(self, grant: str) -> tuple[str, ...]:
        """The required permissions that `grant` covers, wholly or in part."""
        matches = self._cache.get(grant)
        if matches is None:
            candidates = self._terms if is_pattern(grant) or "{" in grant else self._templates
            matches = tuple(term for term in candidates if overlap(grant, term))
            if grant in self._terms_set and grant not in matches:
                matches = (grant, *matches)
            self._cache[grant] = matches
        return matches
