"""Index of patterns, which finds those that cover a permission without a walk over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from jwt_lp.permissions.patterns import Pattern, pattern_order

if TYPE_CHECKING:
    from collections.abc import Callable

    from jwt_lp.permissions.patterns import Grant

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
            patterns = self._patterns = tuple(sorted(map(Pattern.of, self._grants), key=pattern_order))
        return patterns

    def first(self, segments: Sequence[str]) -> Pattern | None:
        """The pattern to credit with the permission that has these segments."""
        best: int | None = None
        shapes = self._by_size.get(len(segments))
        for first, read_literals, ranks in self._shapes_for(len(segments)) if shapes is None else shapes:
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


NO_PATTERNS: Final = PatternIndex(())
