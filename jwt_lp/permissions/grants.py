"""Sets of grants, ceilings and denials, and the permissions that they confer together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter
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
from jwt_lp.permissions.layers import DirectTexts, GrantList, Layer
from jwt_lp.permissions.patterns import Grant, Pattern, common

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


@dataclass(frozen=True, slots=True, init=False, eq=False)
class Denial:
    """A revocation of permissions: everything that `pattern` covers, except what `keep` covers.

    With a `role`, it applies only to the grants of that role, and with `standing` to no grant by an elevation. `id`
    names it in logs.
    """

    id: str
    pattern: str
    role: str | None
    standing: bool
    _denied_layer: Layer
    _kept_layer: Layer

    def __init__(
        self,
        id: str,  # noqa: A002
        pattern: str,
        keep: Iterable[str] = (),
        role: str | None = None,
        *,
        standing: bool = False,
    ) -> None:
        object.__setattr__(self, "id", id)
        object.__setattr__(self, "pattern", pattern)
        object.__setattr__(self, "role", role)
        object.__setattr__(self, "standing", standing)
        object.__setattr__(self, "_denied_layer", Layer(DirectTexts({pattern: ""}, patterns=True)))
        object.__setattr__(self, "_kept_layer", Layer(DirectTexts(dict.fromkeys(keep, ""), patterns=True)))

    def denies(self, permission: str, grant: Grant) -> bool:
        """Whether this denial stops `grant` from conferring `permission`."""
        if not self._concerns(grant):
            return False
        # INVARIANT: `**` denies everything, even text that is not a permission.
        covered = self.pattern == "**" or self._denied_layer.grant_for(permission) is not None
        return covered and self._kept_layer.grant_for(permission) is None

    def denies_part(self, text: str, grant: Grant) -> bool:
        """Whether it stops `grant` from conferring all of `text`, a permission or a pattern."""
        if not is_pattern(text):
            return self.denies(text, grant)
        if not self._concerns(grant):
            return False
        wanted = Pattern.of(Grant(text, "", pattern=True))
        if not is_pattern(self.pattern):
            return wanted.covers(tuple(self.pattern.split(":"))) and self.denies(self.pattern, grant)
        both = wanted.meet(Pattern.of(Grant(self.pattern, "", pattern=True)))
        return both is not None and not all(map(self._keeps, both.samples()))

    def _concerns(self, grant: Grant) -> bool:
        """Whether `grant` is one that this denial can stop at all."""
        if self.role is not None and self.role != grant.role:
            return False
        return not self.standing or grant.elevation is None

    def _keeps(self, segments: tuple[str, ...]) -> bool:
        if "" not in segments and self._kept_layer.has_text(":".join(segments)):
            return True
        return any(pattern.covers(segments) for pattern in self._kept_layer.patterns)


@dataclass(frozen=True, slots=True)
class Permissions:
    """The permissions of a token: layers, each of which must cover a permission, without what was revoked.

    The first layer holds the grants; the others are ceilings. `permission in permissions` checks one permission, and
    iteration gives the grants of the first layer. Temporary grants stand beside the layers and have ceilings of their
    own; what was revoked applies to them too. `a & b` holds what both hold without temporary grants.
    """

    _layers: tuple[Layer, ...] = field(default=())
    _denials: tuple[Denial, ...] = field(default=())
    _temporary: Permissions | None = field(default=None)

    @classmethod
    def of(cls, grants: Iterable[Grant | str], *, patterns: bool = False) -> Self:
        """One layer of `grants`. A plain str is a direct grant; its wildcards count if `patterns` is True."""
        if isinstance(grants, str):
            raise GrammarError(f"grants are a list: write [{grants!a}]")
        return cls(
            (
                Layer(
                    GrantList(
                        grant if isinstance(grant, Grant) else Grant(grant, "direct", pattern=patterns)
                        for grant in grants
                    )
                ),
            )
        )

    @classmethod
    def of_texts(cls, grants: Iterable[tuple[str, str]], *, patterns: bool) -> Self:
        """One layer of direct grants, each a text and its source; wildcards count if `patterns` is True.

        It costs a fraction of `of`, because each `Grant` is made only when it is credited.
        """
        pairs = tuple(grants)
        sources = dict(pairs)
        if len(sources) < len(pairs):
            return cls.of(Grant(text, source, pattern=patterns) for text, source in pairs)
        return cls((Layer(DirectTexts(sources, patterns=patterns)),))

    def grant_for(self, permission: str) -> Grant | None:
        """Return the one grant that is credited with `permission`, or None if it is not held.

        The order is: exact before `*` before `**`, direct before role, then by name. A ceiling is never credited, and a
        temporary grant only if no other grant is.
        """
        # Written out, because every new token takes this path.
        if self._denials or self._temporary is not None:
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
        return Permissions(self._layers, tuple(denials), self._temporary)

    def with_temporary(self, temporary: Permissions | None) -> Permissions:
        """The same permissions with these temporary ones instead of the earlier ones; None for no temporary ones."""
        return Permissions(self._layers, self._denials, temporary)

    @property
    def temporary(self) -> Permissions | None:
        """The temporary permissions; None if there are none."""
        return self._temporary

    @property
    def has_denials(self) -> bool:
        """Whether there are any denials."""
        return bool(self._denials)

    def denial_for(self, permission: str) -> Denial | None:
        """The denial that revokes `permission`; None if it is held, or would not be held without denials either.

        Of several, one that is not for standing grants only: an elevation would not help against it.
        """
        if not self._denials or self._first_undenied(permission) is not None:
            return None
        grants = self._grants_covering(permission)
        found = (denial for denial in self._denials for grant in grants if denial.denies(permission, grant))
        return min(found, key=attrgetter("standing"), default=None)

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
        grants: tuple[Grant, ...] = ()
        if self._layers and all(ceiling.grant_for(permission) is not None for ceiling in ceilings):
            grants = tuple(self._layers[0].find_covering(permission))
        return grants if self._temporary is None else grants + Permissions._grants_covering(self._temporary, permission)

    def find_containing(self, text: str) -> Grant | None:
        """Return one grant that covers all of `text`, a permission or a pattern, or None.

        Several grants that cover it only together do not count. Every ceiling must cover all of it too.
        """
        return next(iter(self.grants_containing(text)), None)

    def grants_containing(self, text: str) -> tuple[Grant, ...]:
        """All grants that cover all of `text`, the one to credit first; temporary ones come last.

        Those of the first layer count only if each ceiling covers all of `text`, and none does if any part of `text` is
        denied to it.
        """
        grants: tuple[Grant, ...] = ()
        if self._layers and all(ceiling.find_containing(text) for ceiling in self._layers[1:]):
            grants = tuple(self._layers[0].find_containing(text))
        if self._temporary is not None:
            grants += self._temporary.grants_containing(text)
        if not self._denials:
            return grants
        return tuple(grant for grant in grants if not any(denial.denies_part(text, grant) for denial in self._denials))

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles behind its grants, each once; also of grants whose text another grant confers too."""
        return self._layers[0].roles if self._layers else ()

    def is_capped(self, permission: str) -> bool:
        """Whether `permission` was granted but a ceiling does not cover it."""
        granted = bool(self._layers) and self._layers[0].grant_for(permission) is not None
        return granted and any(ceiling.grant_for(permission) is None for ceiling in self._layers[1:])

    @property
    def _restricted(self) -> bool:
        """Whether more than its layers says what it holds."""
        return bool(self._denials) or self._temporary is not None

    def __contains__(self, permission: object) -> bool:
        return isinstance(permission, str) and self.grant_for(permission) is not None

    def __iter__(self) -> Iterator[Grant]:
        return iter(self._layers[0] if self._layers else ())

    def __or__(self, other: Permissions) -> Permissions:
        """The grants of both in one layer; neither may have a ceiling, a denial or temporary ones (`GrammarError`)."""
        if len(self._layers) != 1 or len(other._layers) != 1 or self._restricted or other._restricted:
            raise GrammarError("only grants without a ceiling, a denial or temporary ones can be joined")
        return Permissions((self._layers[0] | other._layers[0],))

    def __and__(self, other: Permissions) -> Permissions:
        if not (self._layers and other._layers):
            return Permissions()
        return Permissions((*self._layers, *other._layers), (*self._denials, *other._denials))

    def __repr__(self) -> str:
        return f"<Permissions: {sum(1 for _ in self)} grants, {max(len(self._layers) - 1, 0)} ceilings>"
