"""Layers of grants, and the look-up of the grant that covers a permission.

No look-up walks over all grants: an exact grant is found by its text, and a pattern by its shape.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, cast

from jwt_lp.permissions.grammar import is_pattern, is_permission
from jwt_lp.permissions.patterns import Grant, Pattern, grant_order

if TYPE_CHECKING:
    from collections.abc import Callable


_Reader: TypeAlias = "Callable[[Sequence[str]], object]"
# The rank of the first pattern of a shape, what reads the segments that are no wildcards, and the ranks by these.
_Shape: TypeAlias = "tuple[int, _Reader, dict[object, list[int]]]"


class PatternIndex:
    """Patterns, found by their shape: the number of segments, a final `**`, and which segments are wildcards.

    Each shape takes one look-up, however many patterns have it. A rank is a pattern's place in the order of credit.
    """

    __slots__ = ("_by_size", "_grants", "_patterns", "_shapes")

    def __init__(self, grants: Sequence[Grant]) -> None:
        self._grants = grants
        # The rest is made when it is first needed: most requests need an exact grant only.
        self._patterns: tuple[Pattern, ...] | None = None
        self._shapes: dict[tuple[int, bool, tuple[int, ...]], _Shape] | None = None
        self._by_size: dict[int, tuple[_Shape, ...]] = {}

    def __bool__(self) -> bool:
        return bool(self._grants)

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        """All patterns, the one to credit first."""
        patterns = self._patterns
        if patterns is None:
            patterns = self._patterns = tuple(sorted(map(Pattern.of, self._grants), key=_pattern_order))
        return patterns

    def first(self, segments: Sequence[str]) -> Pattern | None:
        """The pattern to credit with the permission that has these segments."""
        best: int | None = None
        for first, read_literals, ranks in self._shapes_for(len(segments)):
            if best is not None and first > best:
                break
            found = ranks.get(read_literals(segments))
            if found is not None and (best is None or found[0] < best):
                best = found[0]
        return None if best is None else self.patterns[best]

    def covering(self, segments: Sequence[str]) -> list[Pattern]:
        """All patterns that cover the permission with these segments, the one to credit first."""
        found = [
            rank
            for _, read_literals, ranks in self._shapes_for(len(segments))
            for rank in ranks.get(read_literals(segments), ())
        ]
        return [self.patterns[rank] for rank in sorted(found)]

    def _shapes_for(self, size: int) -> tuple[_Shape, ...]:
        """The shapes that can cover a permission of so many segments, by the rank of their first pattern."""
        shapes = self._by_size.get(size)
        if shapes is None:
            if self._shapes is None:
                self._shapes = _group_by_shape(self.patterns)
            # INVARIANT: `**` stands for one segment or more, never for none.
            shapes = tuple(
                shape
                for (length, recursive, _), shape in self._shapes.items()
                if (length < size if recursive else length == size)
            )
            self._by_size[size] = shapes
        return shapes


def _group_by_shape(patterns: Sequence[Pattern]) -> dict[tuple[int, bool, tuple[int, ...]], _Shape]:
    shapes: dict[tuple[int, bool, tuple[int, ...]], _Shape] = {}
    for rank, (_, head, recursive) in enumerate(patterns):
        places = tuple([place for place, part in enumerate(head) if part != "*"])
        key = len(head), recursive, places
        shape = shapes.get(key)
        if shape is None:
            read = cast("_Reader", itemgetter(*places)) if places else _no_literals
            shape = shapes[key] = rank, read, {}
        _, read_literals, ranks = shape
        ranks.setdefault(read_literals(head), []).append(rank)
    return shapes


def _no_literals(_: Sequence[str]) -> None:
    """What a shape of wildcards alone compares."""


def _pattern_order(pattern: Pattern) -> tuple[bool, bool, str, str, str, bool]:
    return pattern.order


_NO_PATTERNS: Final = PatternIndex(())


class _GrantSet(Protocol):
    """Grants of one origin: the exact ones by text, and the patterns."""

    @property
    def patterns(self) -> PatternIndex:
        """The grants whose wildcards count."""
        ...

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles behind the grants, each once."""
        ...

    def first(self, text: str) -> Grant | None:
        """The exact grant to credit with `text`."""
        ...

    def all(self, text: str) -> Sequence[Grant]:
        """Every exact grant with this text."""
        ...

    def __iter__(self) -> Iterator[Grant]:
        """The exact grant to credit with each text."""
        ...


class DirectTexts:
    """Direct grants, as texts with their sources. A `Grant` is made when it is first needed.

    If `patterns` is true, wildcards count.
    """

    __slots__ = ("_grants", "_wild", "patterns")

    def __init__(self, sources: Mapping[str, str], *, patterns: bool) -> None:
        self._wild = patterns
        self.patterns: PatternIndex = _NO_PATTERNS
        # One search of all texts, because few tokens have a wildcard.
        if patterns and "*" in "".join(sources):
            wild = {text: source for text, source in sources.items() if is_pattern(text)}
            self.patterns = PatternIndex([Grant(text, source, None, pattern=True) for text, source in wild.items()])
            sources = {text: source for text, source in sources.items() if text not in wild}
        # The source of each grant, until the grant itself takes its place.
        self._grants: dict[str, str | Grant] = {**sources}

    @property
    def roles(self) -> tuple[str, ...]:
        """None: the grants are direct."""
        return ()

    def first(self, text: str) -> Grant | None:
        """The exact grant to credit with `text`."""
        grant = self._grants.get(text)
        if isinstance(grant, str):
            grant = self._grants[text] = Grant(text, grant, None, self._wild)
        return grant

    def all(self, text: str) -> Sequence[Grant]:
        """Every exact grant with this text."""
        grant = self.first(text)
        return () if grant is None else (grant,)

    def __iter__(self) -> Iterator[Grant]:
        return (
            grant if isinstance(grant, Grant) else Grant(text, grant, None, self._wild)
            for text, grant in self._grants.items()
        )


class GrantList:
    """Any grants, also several with the same text."""

    __slots__ = ("_exact", "_others", "patterns", "roles")

    def __init__(self, grants: Iterable[Grant]) -> None:
        exact: dict[str, Grant] = {}
        others: dict[str, list[Grant]] = {}
        patterns: list[Grant] = []
        roles: dict[str, None] = {}
        for grant in grants:
            text = grant.text
            if grant.role is not None:
                roles[grant.role] = None
            if grant.pattern and is_pattern(text):
                patterns.append(grant)
            elif exact.setdefault(text, grant) is not grant:
                others.setdefault(text, []).append(grant)
        for text, same_text in others.items():
            exact[text], *others[text] = sorted((exact[text], *same_text), key=grant_order)
        self._exact = exact
        self._others = others
        self.patterns: PatternIndex = PatternIndex(patterns) if patterns else _NO_PATTERNS
        self.roles: tuple[str, ...] = tuple(roles)

    def first(self, text: str) -> Grant | None:
        """The exact grant to credit with `text`."""
        return self._exact.get(text)

    def all(self, text: str) -> Sequence[Grant]:
        """Every exact grant with this text."""
        grant = self._exact.get(text)
        return () if grant is None else (grant, *self._others.get(text, ()))

    def __iter__(self) -> Iterator[Grant]:
        return iter(self._exact.values())


class Layer:
    """Grants that count together. It may be made of several sets, so that the large set of a role exists only once."""

    __slots__ = ("_indexes", "_sets")

    def __init__(self, *sets: _GrantSet) -> None:
        self._sets = sets
        self._indexes = tuple([each.patterns for each in sets if each.patterns])

    def grant_for(self, permission: str) -> Grant | None:
        """The one grant that is credited with `permission`."""
        found: Grant | None = None
        for each in self._sets:
            grant = each.first(permission)
            if grant is not None and (found is None or grant_order(grant) < grant_order(found)):
                found = grant
        # INVARIANT: text that is not a permission is only compared whole, so no pattern covers it.
        if found is not None or not self._indexes or not is_permission(permission):
            return found
        segments = permission.split(":")
        best = self._indexes[0].first(segments)
        for index in self._indexes[1:]:
            pattern = index.first(segments)
            if pattern is not None and (best is None or pattern.order < best.order):
                best = pattern
        return None if best is None else best.grant

    def find_covering(self, permission: str) -> list[Grant]:
        """Every grant that covers `permission`, the one to credit first."""
        grants = self._exact(permission)
        if self._indexes and is_permission(permission):
            segments = permission.split(":")
            covering = [pattern for index in self._indexes for pattern in index.covering(segments)]
            grants += [pattern.grant for pattern in sorted(covering, key=_pattern_order)]
        return grants

    def find_containing(self, text: str) -> list[Grant]:
        """Every grant that covers all of `text`, a permission or a pattern, the one to credit first."""
        grants: list[Grant] = []
        if not is_pattern(text):
            grants = self._exact(text)
            if not is_permission(text):
                return grants
        # INVARIANT: only patterns contain a pattern. A grant with the same text whose wildcards do not count confers
        # no more than its own text.
        wanted = Pattern.of(Grant(text, ""))
        return grants + [pattern.grant for pattern in self.patterns if pattern.contains(wanted)]

    def has_text(self, text: str) -> bool:
        """Whether a grant without wildcards has this text."""
        return any(each.first(text) is not None for each in self._sets)

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        """All patterns, the one to credit first."""
        if len(self._indexes) == 1:
            return self._indexes[0].patterns
        return tuple(sorted((each for index in self._indexes for each in index.patterns), key=_pattern_order))

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles behind its grants, each once."""
        return tuple(dict.fromkeys(role for each in self._sets for role in each.roles))

    def __or__(self, other: Layer) -> Layer:
        return Layer(*self._sets, *other._sets)

    def __iter__(self) -> Iterator[Grant]:
        """The grant to credit with each text, and every pattern."""
        exact: dict[str, Grant] = {}
        for grant in (grant for each in self._sets for grant in each):
            known = exact.setdefault(grant.text, grant)
            if grant_order(grant) < grant_order(known):
                exact[grant.text] = grant
        yield from exact.values()
        for pattern in self.patterns:
            yield pattern.grant

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Layer) and self._all() == other._all()

    def __hash__(self) -> int:
        return hash(self._all())

    def _all(self) -> frozenset[Grant]:
        exact = (same for each in self._sets for grant in each for same in each.all(grant.text))
        return frozenset((*exact, *(pattern.grant for pattern in self.patterns)))

    def _exact(self, text: str) -> list[Grant]:
        grants = [grant for each in self._sets for grant in each.all(text)]
        return sorted(grants, key=grant_order) if len(self._sets) > 1 else grants
