"""Patterns of permissions: what they cover, contain and have in common.

`*` as a whole segment stands for exactly one segment, and `**` as the last segment for one or more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple, Self

from jwt_lp.permissions.grammar import MAX_SEGMENTS

ELEVATION_PREFIX: Final = "elevation:"
"""What precedes the id of an elevation where a grant names its role. No role of a policy has a colon in its name."""


def is_elevation(role: str) -> bool:
    """Whether the role that a grant or a use names is an elevation."""
    return role.startswith(ELEVATION_PREFIX)


class Grant(NamedTuple):
    """A permission or a pattern that a token or a role confers, and where it came from.

    `source` names the claim (`scope`) or the role (`role clerk`); `role` is the policy's role, or None for a
    direct grant; for a grant by an elevation it is `elevation:` and the elevation's id. `pattern` says whether `*` and
    `**` are wildcards in it.
    """

    text: str
    source: str
    role: str | None = None
    pattern: bool = False

    def __str__(self) -> str:
        return self.text

    @property
    def elevation(self) -> str | None:
        """The id of the elevation that it comes from; None for a standing grant."""
        role = self.role
        return role.removeprefix(ELEVATION_PREFIX) if role is not None and is_elevation(role) else None


class Pattern(NamedTuple):
    """A grant split into segments; `head` is without a final `**`, which `recursive` stands for."""

    grant: Grant
    head: tuple[str, ...]
    recursive: bool

    @classmethod
    def of(cls, grant: Grant) -> Self:
        """Split the text of `grant`, which need not be a pattern."""
        segments = tuple(grant.text.split(":"))
        recursive = segments[-1] == "**"
        return cls(grant, segments[:-1] if recursive else segments, recursive)

    def covers(self, segments: tuple[str, ...]) -> bool:
        """Whether it covers the permission with these segments."""
        size = len(self.head)
        # INVARIANT: `**` stands for one segment or more, never for none.
        if len(segments) <= size if self.recursive else len(segments) != size:
            return False
        return all(part in ("*", segment) for part, segment in zip(self.head, segments, strict=False))

    def contains(self, other: Pattern) -> bool:
        """Whether it covers all that `other` covers. `*` in `other` is any segment, so only `*` covers it."""
        size = len(self.head)
        # INVARIANT: as in `covers`, with the shortest match of `other`; a `**` has no end, so only `**` covers it.
        if len(other.head) + other.recursive <= size if self.recursive else other.recursive or len(other.head) != size:
            return False
        return all(mine in ("*", theirs) for mine, theirs in zip(self.head, other.head, strict=False))

    def meet(self, other: Pattern) -> Pattern | None:
        """The intersection: what both cover, as one pattern or permission; None if it is empty."""
        short, long = (self, other) if len(self.head) <= len(other.head) else (other, self)
        same = len(short.head) == len(long.head)
        # INVARIANT: as in `covers`: without `**` the length is fixed, and `**` is at least one segment.
        if short.recursive is not (long.recursive if same else True):
            return None
        head: list[str] = []
        for index, theirs in enumerate(long.head):
            mine = short.head[index] if index < len(short.head) else "*"
            if "*" not in (mine, theirs) and mine != theirs:
                return None
            head.append(theirs if mine == "*" else mine)
        recursive = short.recursive and long.recursive
        return Pattern(
            Grant(":".join([*head, *(["**"] if recursive else [])]), "", pattern=True), tuple(head), recursive
        )

    def samples(self) -> Iterator[tuple[str, ...]]:
        """One sample for each possible number of segments, with "" in place of each wildcard."""
        # "" is not a segment, so only a wildcard covers it: what covers a sample covers all permissions like it.
        head = tuple("" if part == "*" else part for part in self.head)
        for more in range(1, MAX_SEGMENTS - len(head) + 1) if self.recursive else (0,):
            yield (*head, *[""] * more)


def grant_order(grant: Grant) -> tuple[bool, str, str, str, bool]:
    """The sort key among grants: direct grants before those of roles, then by text and source."""
    return (grant.role is not None, grant.text, grant.source, grant.role or "", grant.pattern)


def pattern_order(pattern: Pattern) -> tuple[bool, bool, str, str, str, bool]:
    """The sort key among patterns: those without `**` first, then as for other grants."""
    return (pattern.recursive, *grant_order(pattern.grant))


def common(one: str, other: str) -> str | None:
    """The intersection of two permissions or well-formed patterns; None if it is empty."""
    both = Pattern.of(Grant(one, "", pattern=True)).meet(Pattern.of(Grant(other, "", pattern=True)))
    return None if both is None else both.grant.text
