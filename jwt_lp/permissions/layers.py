"""Layers of grants, and the look-up of the grant that covers a permission.

No look-up walks over all grants: an exact grant is found by its text, and a pattern by its shape.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from jwt_lp.permissions.grammar import is_pattern, is_permission, split_permission
from jwt_lp.permissions.pattern_index import NO_PATTERNS, PatternIndex
from jwt_lp.permissions.patterns import Grant, Pattern, grant_order, pattern_order


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
        self.patterns: PatternIndex = NO_PATTERNS
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
        self.patterns: PatternIndex = PatternIndex(patterns) if patterns else NO_PATTERNS
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
        if found is not None or not self._indexes or (segments := split_permission(permission)) is None:
            return found
        indexes = self._indexes
        best = indexes[0].first(segments)
        for index in indexes[1:] if len(indexes) > 1 else ():
            pattern = index.first(segments)
            if pattern is not None and (best is None or pattern_order(pattern) < pattern_order(best)):
                best = pattern
        return None if best is None else best.grant

    def find_covering(self, permission: str) -> list[Grant]:
        """Every grant that covers `permission`, the one to credit first."""
        grants = self._exact(permission)
        if self._indexes and (segments := split_permission(permission)) is not None:
            covering = [pattern for index in self._indexes for pattern in index.covering(segments)]
            grants += [pattern.grant for pattern in sorted(covering, key=pattern_order)]
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
        return tuple(sorted((each for index in self._indexes for each in index.patterns), key=pattern_order))

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
