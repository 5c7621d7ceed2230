"""Does this grant cover that permission?

In a grant that may be a pattern, `*` as a whole segment stands for exactly one segment and `**` as the last one for
one or more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple, Self

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


class Grant(NamedTuple):
    """A permission or a pattern that a token or a role confers, and where it came from.

    `source` names the claim (`scope`) or the role (`role clerk`); `role` is the policy's role, or None for a
    direct grant; `pattern` says whether wildcards count in it.
    """

    text: str
    source: str
    role: str | None = None
    pattern: bool = False

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class _Pattern:
    grant: Grant
    head: tuple[str, ...]
    recursive: bool

    @classmethod
    def of(cls, grant: Grant) -> Self:
        segments = tuple(grant.text.split(":"))
        recursive = segments[-1] == "**"
        return cls(grant, segments[:-1] if recursive else segments, recursive)

    def covers(self, segments: tuple[str, ...]) -> bool:
        size = len(self.head)
        # INVARIANT: `**` stands for one segment or more, never for none.
        if len(segments) <= size if self.recursive else len(segments) != size:
            return False
        return all(mine in ("*", theirs) for mine, theirs in zip(self.head, segments, strict=False))

    def contains(self, other: _Pattern) -> bool:
        """Whether it covers all that `other` covers. `*` in `other` is any segment, so only `*` stands for it."""
        size = len(self.head)
        # INVARIANT: as `covers`, with what `other` has for sure; a `**` may go on for ever, so only `**` holds it.
        if len(other.head) + other.recursive <= size if self.recursive else other.recursive or len(other.head) != size:
            return False
        return all(mine in ("*", theirs) for mine, theirs in zip(self.head, other.head, strict=False))

    def meet(self, other: _Pattern) -> _Pattern | None:
        """What both cover, which is one pattern again, or a permission; None where that is nothing."""
        short, long = (self, other) if len(self.head) <= len(other.head) else (other, self)
        same = len(short.head) == len(long.head)
        # INVARIANT: as `covers`: without `**` the length is fixed, and `**` is one segment at least.
        if short.recursive is not (long.recursive if same else True):
            return None
        head: list[str] = []
        for index, theirs in enumerate(long.head):
            mine = short.head[index] if index < len(short.head) else "*"
            if "*" not in (mine, theirs) and mine != theirs:
                return None
            head.append(theirs if mine == "*" else mine)
        recursive = short.recursive and long.recursive
        return _Pattern(
            Grant(":".join([*head, *(["**"] if recursive else [])]), "", pattern=True), tuple(head), recursive
        )

    def samples(self) -> Iterator[tuple[str, ...]]:
        """One permission for each number of segments, with segments that no grant names where there are wildcards."""
        # "" is no segment, so nothing but a wildcard covers it: what covers a sample covers all that is like it.
        head = tuple("" if part == "*" else part for part in self.head)
        for more in range(1, MAX_SEGMENTS - len(head) + 1) if self.recursive else (0,):
            yield (*head, *[""] * more)

    @property
    def order(self) -> tuple[bool, bool, str, str, str, bool]:
        return (self.recursive, *_grant_order(self.grant))


def _grant_order(grant: Grant) -> tuple[bool, str, str, str, bool]:
    return (grant.role is not None, grant.text, grant.source, grant.role or "", grant.pattern)


@dataclass(frozen=True, slots=True)
class _Layer:
    exact: Mapping[str, Grant]
    patterns: tuple[_Pattern, ...]
    # what confers the text of an exact grant as well, for who asks what else would serve
    others: Mapping[str, tuple[Grant, ...]] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def of(cls, grants: Iterable[Grant]) -> Self:
        all_grants = list(grants)
        exact = {grant.text: grant for grant in all_grants}
        if len(exact) == len(all_grants) and "*" not in "".join(exact):
            return cls(MappingProxyType(exact), ())
        exact.clear()
        patterns: list[_Pattern] = []
        named: dict[str, list[Grant]] = {}
        for grant in all_grants:
            if grant.pattern and is_pattern(grant.text):
                patterns.append(_Pattern.of(grant))
            else:
                named.setdefault(grant.text, []).append(grant)
        others: dict[str, tuple[Grant, ...]] = {}
        for text, alike in named.items():
            exact[text], *rest = sorted(alike, key=_grant_order)
            if rest:
                others[text] = tuple(rest)
        patterns.sort(key=lambda pattern: pattern.order)
        return cls(MappingProxyType(exact), tuple(patterns), MappingProxyType(others))

    def grant_for(self, permission: str) -> Grant | None:
        found = self.exact.get(permission)
        if found is not None or not self.patterns:
            return found
        # INVARIANT: what does not parse as a permission is compared whole, so no pattern can widen it.
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
        # INVARIANT: a pattern is contained in patterns alone; a grant that is only spelt like it holds no more
        # than its own text.
        asked = _Pattern.of(Grant(text, ""))
        yield from (pattern.grant for pattern in self.patterns if pattern.contains(asked))

    def __iter__(self) -> Iterator[Grant]:
        yield from self.exact.values()
        for pattern in self.patterns:
            yield pattern.grant


def common(one: str, other: str) -> str | None:
    """The permission or pattern that both of two cover, each a permission or a well-formed pattern, or None."""
    both = _Pattern.of(Grant(one, "", pattern=True)).meet(_Pattern.of(Grant(other, "", pattern=True)))
    return None if both is None else both.grant.text


@dataclass(frozen=True, slots=True, init=False, eq=False)
class Denial:
    """What is revoked of what somebody holds: whatever `pattern` covers and none of `keep` does.

    With a `role` it takes from what that role confers alone. `id` names it in logs.
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
        """Whether `grant` may no longer serve `permission`."""
        if self.role is not None and self.role != grant.role:
            return False
        # INVARIANT: `**` takes everything, what does not parse as a permission included.
        covered = self.pattern == "**" or self._denied_layer.grant_for(permission) is not None
        return covered and self._kept_layer.grant_for(permission) is None

    def takes_part(self, text: str, grant: Grant) -> bool:
        """Whether `grant` may no longer serve all of `text`, a permission or a pattern."""
        if not is_pattern(text):
            return self.denies(text, grant)
        if self.role is not None and self.role != grant.role:
            return False
        asked = _Pattern.of(Grant(text, "", pattern=True))
        if not is_pattern(self.pattern):
            return asked.covers(tuple(self.pattern.split(":"))) and self.denies(self.pattern, grant)
        both = asked.meet(_Pattern.of(Grant(self.pattern, "", pattern=True)))
        return both is not None and not all(map(self._keeps, both.samples()))

    def _keeps(self, segments: tuple[str, ...]) -> bool:
        if "" not in segments and ":".join(segments) in self._kept_layer.exact:
            return True
        return any(each.covers(segments) for each in self._kept_layer.patterns)


@dataclass(frozen=True, slots=True)
class Permissions:
    """What a token holds: a conjunction of layers, each of which must cover a permission, less what was revoked.

    The first layer is what was granted; the others are ceilings. `permission in permissions` asks one
    permission; iterating gives the grants of the first layer. `a & b` holds what both hold.
    """

    _layers: tuple[_Layer, ...] = field(default=())
    _denials: tuple[Denial, ...] = field(default=())

    @classmethod
    def of(cls, grants: Iterable[Grant | str], *, patterns: bool = False) -> Self:
        """One layer of `grants`. A plain str is a direct grant in which wildcards count if `patterns`."""
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
        """Return the one grant credited with `permission`, or None where it is not held.

        Exact before `*` before `**`, direct before role, then by name; a ceiling is never credited.
        """
        if self._denials:
            return self._first_undenied(permission)
        # INVARIANT: no layers hold nothing, and every layer has a veto.
        found = self._layers[0].grant_for(permission) if self._layers else None
        if len(self._layers) == 1:
            return found
        for ceiling in self._layers[1:]:
            if found is None or ceiling.grant_for(permission) is None:
                return None
        return found

    def with_denials(self, denials: Iterable[Denial]) -> Permissions:
        """The same, less what these deny. They replace earlier denials."""
        return Permissions(self._layers, tuple(denials))

    @property
    def has_denials(self) -> bool:
        """Whether any denial applies to it."""
        return bool(self._denials)

    def denial_for(self, permission: str) -> Denial | None:
        """The denial that revokes `permission`, where it would be held otherwise."""
        if not self._denials or self._first_undenied(permission) is not None:
            return None
        for grant in self._grants_covering(permission):
            return next(denial for denial in self._denials if denial.denies(permission, grant))
        return None

    def _first_undenied(self, permission: str) -> Grant | None:
        # INVARIANT: a grant serves only where nothing takes from it; the next one may still serve.
        return next(
            (
                grant
                for grant in self._grants_covering(permission)
                if not any(denial.denies(permission, grant) for denial in self._denials)
            ),
            None,
        )

    def _grants_covering(self, permission: str) -> tuple[Grant, ...]:
        """Every grant that covers a permission, the one to credit first; what is asked for is never a pattern."""
        ceilings = self._layers[1:]
        if not self._layers or any(ceiling.grant_for(permission) is None for ceiling in ceilings):
            return ()
        return tuple(self._layers[0].find_covering(permission))

    def find_containing(self, text: str) -> Grant | None:
        """Return one grant that holds all of `text`, a permission or a pattern, or None.

        What is held only by several grants together is not found. Every ceiling has to hold all of it too.
        """
        return next(iter(self.grants_containing(text)), None)

    def grants_containing(self, text: str) -> tuple[Grant, ...]:
        """Every grant of the first layer that holds all of `text`, the one to credit first; none for what is cut.

        A grant of which any part of `text` was revoked holds it no more.
        """
        if not self._layers or any(next(ceiling.find_containing(text), None) is None for ceiling in self._layers[1:]):
            return ()
        found = tuple(self._layers[0].find_containing(text))
        if not self._denials:
            return found
        return tuple(each for each in found if not any(denial.takes_part(text, each) for denial in self._denials))

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that confer some of it, each once, also where another grant of the same text is credited."""
        if not self._layers:
            return ()
        layer = self._layers[0]
        grants = (*layer, *(each for alike in layer.others.values() for each in alike))
        return tuple(dict.fromkeys(each.role for each in grants if each.role is not None))

    def is_capped(self, permission: str) -> bool:
        """Whether it was granted, and a ceiling holds it back."""
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
