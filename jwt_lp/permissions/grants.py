"""Sets of grants, ceilings and denials, and the permissions that they confer together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Self

from jwt_lp.errors import GrammarError
from jwt_lp.permissions.grammar import (
    MAX_LENGTH,
    MAX_SEGMENTS,
    Permission,
    check_grant,
    is_pattern,
    is_scope_token,
    is_segment,
    within_limits,
)
from jwt_lp.permissions.patterns import Grant, Pattern, common, grant_order

__all__ = [
    "MAX_LENGTH",
    "MAX_SEGMENTS",
    "Denial",
    "Grant",
    "Permission",
    "Permissions",
    "check_grant",
    "common",
    "is_pattern",
    "is_scope_token",
    "is_segment",
    "within_limits",
]


@dataclass(frozen=True, slots=True)
class _Layer:
    exact: Mapping[str, Grant]
    patterns: tuple[Pattern, ...]
    # further grants with the same text as an exact grant
    others: Mapping[str, tuple[Grant, ...]] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def of(cls, grants: Iterable[Grant]) -> Self:
        all_grants = list(grants)
        exact = {grant.text: grant for grant in all_grants}
        if len(exact) == len(all_grants) and "*" not in "".join(exact):
            return cls(MappingProxyType(exact), ())
        exact.clear()
        patterns: list[Pattern] = []
        by_text: dict[str, list[Grant]] = {}
        for grant in all_grants:
            if grant.pattern and is_pattern(grant.text):
                patterns.append(Pattern.of(grant))
            else:
                by_text.setdefault(grant.text, []).append(grant)
        others: dict[str, tuple[Grant, ...]] = {}
        for text, same_text in by_text.items():
            exact[text], *rest = sorted(same_text, key=grant_order)
            if rest:
                others[text] = tuple(rest)
        patterns.sort(key=lambda pattern: pattern.order)
        return cls(MappingProxyType(exact), tuple(patterns), MappingProxyType(others))

    def grant_for(self, permission: str) -> Grant | None:
        grant = self.exact.get(permission)
        if grant is not None or not self.patterns:
            return grant
        # INVARIANT: text that is not a permission is only compared whole, so no pattern covers it.
        segments = tuple(permission.split(":"))
        if not (within_limits(permission) and all(map(is_segment, segments))):
            return None
        return next((pattern.grant for pattern in self.patterns if pattern.covers(segments)), None)

    def find_covering(self, permission: str) -> Iterator[Grant]:
        if permission in self.exact:
            yield self.exact[permission]
            yield from self.others.get(permission, ())
        if self.patterns and within_limits(permission):
            segments = tuple(permission.split(":"))
            if all(map(is_segment, segments)):
                yield from (pattern.grant for pattern in self.patterns if pattern.covers(segments))

    def find_containing(self, text: str) -> Iterator[Grant]:
        if not is_pattern(text):
            if text in self.exact:
                yield self.exact[text]
                yield from self.others.get(text, ())
            if not (within_limits(text) and all(map(is_segment, text.split(":")))):
                return
        # INVARIANT: only patterns contain a pattern. A grant with the same text whose wildcards do not count confers
        # no more than its own text.
        wanted = Pattern.of(Grant(text, ""))
        yield from (pattern.grant for pattern in self.patterns if pattern.contains(wanted))

    def __iter__(self) -> Iterator[Grant]:
        yield from self.exact.values()
        for pattern in self.patterns:
            yield pattern.grant


@dataclass(frozen=True, slots=True, init=False, eq=False)
class Denial:
    """A revocation of permissions: everything that `pattern` covers, except what `keep` covers.

    With a `role`, it applies only to the grants of that role. `id` names it in logs.
    """

    id: str
    pattern: str
    role: str | None
    _denied_layer: _Layer
    _kept_layer: _Layer

    def __init__(self, id: str, pattern: str, keep: Iterable[str] = (), role: str | None = None) -> None:  # noqa: A002
        object.__setattr__(self, "id", id)
        object.__setattr__(self, "pattern", pattern)
        object.__setattr__(self, "role", role)
        object.__setattr__(self, "_denied_layer", _Layer.of([Grant(pattern, "", pattern=True)]))
        object.__setattr__(
            self, "_kept_layer", _Layer.of([Grant(text, "", pattern=True) for text in dict.fromkeys(keep)])
        )

    def denies(self, permission: str, grant: Grant) -> bool:
        """Whether this denial stops `grant` from conferring `permission`."""
        if self.role is not None and self.role != grant.role:
            return False
        # INVARIANT: `**` denies everything, even text that is not a permission.
        covered = self.pattern == "**" or self._denied_layer.grant_for(permission) is not None
        return covered and self._kept_layer.grant_for(permission) is None

    def denies_part(self, text: str, grant: Grant) -> bool:
        """Whether it stops `grant` from conferring all of `text`, a permission or a pattern."""
        if not is_pattern(text):
            return self.denies(text, grant)
        if self.role is not None and self.role != grant.role:
            return False
        wanted = Pattern.of(Grant(text, "", pattern=True))
        if not is_pattern(self.pattern):
            return wanted.covers(tuple(self.pattern.split(":"))) and self.denies(self.pattern, grant)
        both = wanted.meet(Pattern.of(Grant(self.pattern, "", pattern=True)))
        return both is not None and not all(map(self._keeps, both.samples()))

    def _keeps(self, segments: tuple[str, ...]) -> bool:
        if "" not in segments and ":".join(segments) in self._kept_layer.exact:
            return True
        return any(pattern.covers(segments) for pattern in self._kept_layer.patterns)


@dataclass(frozen=True, slots=True)
class Permissions:
    """The permissions of a token: layers, each of which must cover a permission, without what was revoked.

    The first layer holds the grants; the others are ceilings. `permission in permissions` checks one permission, and
    iteration gives the grants of the first layer. `a & b` holds what both hold.
    """

    _layers: tuple[_Layer, ...] = field(default=())
    _denials: tuple[Denial, ...] = field(default=())

    @classmethod
    def of(cls, grants: Iterable[Grant | str], *, patterns: bool = False) -> Self:
        """One layer of `grants`. A plain str is a direct grant; its wildcards count if `patterns` is True."""
        if isinstance(grants, str):
            raise GrammarError(f"grants are a list: write [{grants!a}]")
        return cls(
            (
                _Layer.of(
                    grant if isinstance(grant, Grant) else Grant(grant, "direct", pattern=patterns) for grant in grants
                ),
            )
        )

    def grant_for(self, permission: str) -> Grant | None:
        """Return the one grant that is credited with `permission`, or None if it is not held.

        The order is: exact before `*` before `**`, direct before role, then by name. A ceiling is never credited.
        """
        if self._denials:
            return self._first_undenied(permission)
        # INVARIANT: without layers nothing is held, and every layer can veto.
        grant = self._layers[0].grant_for(permission) if self._layers else None
        if len(self._layers) == 1:
            return grant
        for ceiling in self._layers[1:]:
            if grant is None or ceiling.grant_for(permission) is None:
                return None
        return grant

    def with_denials(self, denials: Iterable[Denial]) -> Permissions:
        """The same permissions with these denials instead of the earlier ones."""
        return Permissions(self._layers, tuple(denials))

    @property
    def has_denials(self) -> bool:
        """Whether there are any denials."""
        return bool(self._denials)

    def denial_for(self, permission: str) -> Denial | None:
        """The denial that revokes `permission`; None if it is held, or would not be held without denials either."""
        if not self._denials or self._first_undenied(permission) is not None:
            return None
        for grant in self._grants_covering(permission):
            return next(denial for denial in self._denials if denial.denies(permission, grant))
        return None

    def _first_undenied(self, permission: str) -> Grant | None:
        # INVARIANT: a denied grant confers nothing; the next one still may.
        return next(
            (
                grant
                for grant in self._grants_covering(permission)
                if not any(denial.denies(permission, grant) for denial in self._denials)
            ),
            None,
        )

    def _grants_covering(self, permission: str) -> tuple[Grant, ...]:
        """All grants that cover `permission`, which is never a pattern; the one to credit comes first."""
        ceilings = self._layers[1:]
        if not self._layers or any(ceiling.grant_for(permission) is None for ceiling in ceilings):
            return ()
        return tuple(self._layers[0].find_covering(permission))

    def find_containing(self, text: str) -> Grant | None:
        """Return one grant that covers all of `text`, a permission or a pattern, or None.

        Several grants that cover it only together do not count. Every ceiling must cover all of it too.
        """
        return next(iter(self.grants_containing(text)), None)

    def grants_containing(self, text: str) -> tuple[Grant, ...]:
        """All grants of the first layer that cover all of `text`, the one to credit first.

        There are none if a ceiling does not cover all of it. A grant does not count if any part of `text` is denied.
        """
        if not self._layers or any(next(ceiling.find_containing(text), None) is None for ceiling in self._layers[1:]):
            return ()
        grants = tuple(self._layers[0].find_containing(text))
        if not self._denials:
            return grants
        return tuple(grant for grant in grants if not any(denial.denies_part(text, grant) for denial in self._denials))

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles behind its grants, each once; also of grants whose text another grant confers too."""
        if not self._layers:
            return ()
        layer = self._layers[0]
        grants = (*layer, *(grant for same_text in layer.others.values() for grant in same_text))
        return tuple(dict.fromkeys(grant.role for grant in grants if grant.role is not None))

    def is_capped(self, permission: str) -> bool:
        """Whether `permission` was granted but a ceiling does not cover it."""
        granted = bool(self._layers) and self._layers[0].grant_for(permission) is not None
        return granted and any(ceiling.grant_for(permission) is None for ceiling in self._layers[1:])

    def __contains__(self, permission: object) -> bool:
        return isinstance(permission, str) and self.grant_for(permission) is not None

    def __iter__(self) -> Iterator[Grant]:
        return iter(self._layers[0] if self._layers else ())

    def __and__(self, other: Permissions) -> Permissions:
        if not (self._layers and other._layers):
            return Permissions()
        return Permissions((*self._layers, *other._layers), (*self._denials, *other._denials))

    def __repr__(self) -> str:
        return f"<Permissions: {sum(1 for _ in self)} grants, {max(len(self._layers) - 1, 0)} ceilings>"
