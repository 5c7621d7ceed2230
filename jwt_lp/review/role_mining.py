"""Roles mined from assignments: the fewest roles that give every holder exactly what they hold.

The method is the greedy biclique cover of Ene, Horne, Milosavljevic, Rao, Schreiber and Tarjan, "Fast exact and heuristic
methods for role minimization problems" (SACMAT 2008): again and again, the holder or the grant with the fewest
assignments that no role explains yet makes the next role.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

Assignments = Mapping[str, Iterable[str]]
"""The grants of each holder."""

NAME: Final = "mined-{:03}"


@dataclass(frozen=True, slots=True)
class MinedRole:
    """A role: its name, grants and members. Each member holds every one of the grants."""

    name: str
    grants: tuple[str, ...]
    members: tuple[str, ...]

    @property
    def assignments(self) -> int:
        """The number of assignments that it stands for."""
        return len(self.grants) * len(self.members)


@dataclass(frozen=True, slots=True)
class RoleMining:
    """Mined roles, those with most members first, and how well they fit.

    `assignments` is the number of assignments that were given, `deviation` how many of them no role explains, and
    `direct` are those. `least` is a number of roles that no exact cover can do without.
    """

    roles: tuple[MinedRole, ...]
    assignments: int
    direct: tuple[tuple[str, str], ...]
    least: int

    @property
    def deviation(self) -> int:
        """The number of assignments that no role explains. No role explains one that does not exist."""
        return len(self.direct)

    @property
    def coverage(self) -> float:
        """The share of the assignments that roles explain, from 0 to 1."""
        return 1 - self.deviation / self.assignments if self.assignments else 1.0


class RoleSplit(NamedTuple):
    """A role that is broader than its members' use: the roles of what they used, and the grants that nobody used."""

    role: MinedRole
    parts: tuple[MinedRole, ...]
    unused: tuple[str, ...]


def mine_roles(assignments: Assignments, *, min_members: int = 1) -> RoleMining:
    """The roles that reproduce the assignments. The same assignments in any order give the same roles.

    INVARIANT: no member of a role gets a grant that they do not hold. With `min_members`, a role with fewer members is
    left out, and what it alone explained is `direct`.
    """
    matrix = _Matrix.of(assignments)
    roles = [found for found in matrix.cover() if matrix.count(found.holders) >= min_members]
    members = matrix.assign(roles)
    named = _named(matrix, roles, members)
    explained: dict[str, set[str]] = {}
    for role in named:
        for member in role.members:
            explained.setdefault(member, set()).update(role.grants)
    held = {holder: sorted(set(grants)) for holder, grants in sorted(assignments.items())}
    direct = tuple(
        (holder, grant) for holder, grants in held.items() for grant in grants if grant not in explained.get(holder, ())
    )
    return RoleMining(named, sum(map(len, held.values())), direct, matrix.independent_count())


def suggest_split(role: MinedRole, used: Assignments) -> RoleSplit | None:
    """How a role would be split by what each member used; None if every member used all of it, or nobody anything.

    A use of what the role does not grant is left out, so the parts never give more than the role.
    """
    granted = set(role.grants)
    within = {member: tuple(granted.intersection(used.get(member, ()))) for member in role.members}
    parts = mine_roles(within).roles
    taken = {grant for part in parts for grant in part.grants}
    unused = tuple(grant for grant in role.grants if grant not in taken)
    same = len(parts) == 1 and not unused and parts[0].members == role.members
    return RoleSplit(role, parts, unused) if parts and not same else None


class _Biclique(NamedTuple):
    """Grants and holders, each as bits, where every holder has every grant."""

    grants: int
    holders: int


@dataclass(frozen=True, slots=True)
class _Matrix:
    """Assignments as bits. Holders of the same grants are one row."""

    grants: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    of_row: tuple[int, ...]
    of_grant: tuple[int, ...]

    @classmethod
    def of(cls, assignments: Assignments) -> _Matrix:
        held = {holder: frozenset(grants) for holder, grants in assignments.items()}
        names = tuple(sorted(frozenset().union(*held.values())))
        place = {name: number for number, name in enumerate(names)}
        alike: dict[int, list[str]] = {}
        for holder, grants in sorted(held.items()):
            alike.setdefault(sum(1 << place[grant] for grant in grants), []).append(holder)
        alike.pop(0, None)
        of_row = tuple(sorted(alike))
        of_grant = [0] * len(names)
        for row, bits in enumerate(of_row):
            for grant in _bits(bits):
                of_grant[grant] |= 1 << row
        return cls(names, tuple(tuple(alike[bits]) for bits in of_row), of_row, tuple(of_grant))

    def count(self, holders: int) -> int:
        return sum(len(self.rows[row]) for row in _bits(holders))

    def cover(self) -> Iterator[_Biclique]:
        """Bicliques that cover every assignment, and nothing else."""
        rows, grants = _Uncovered.of(self.of_row), _Uncovered.of(self.of_grant)
        while rows.left:
            row, grant = rows.smallest(), grants.smallest()
            if rows.counts[row] <= grants.counts[grant]:
                found = self._widest(rows.bits[row])
            else:
                found = self._widest(_shared(self.of_row, grants.bits[grant], len(self.grants)))
            yield found
            grants.cover(found.grants, found.holders)
            rows.cover(found.holders, found.grants)

    def _widest(self, grants: int) -> _Biclique:
        """All holders who have all of these grants."""
        return _Biclique(grants, _shared(self.of_grant, grants, len(self.of_row)))

    def assign(self, roles: list[_Biclique]) -> dict[int, list[int]]:
        """For each row the roles it needs, by the greedy set cover: the role that explains most is taken first."""
        assigned: dict[int, list[int]] = {}
        fitting: dict[int, list[int]] = {}
        for number, role in enumerate(roles):
            for row in _bits(role.holders):
                fitting.setdefault(row, []).append(number)
        for row, numbers in fitting.items():
            remaining = self.of_row[row]
            while any(roles[number].grants & remaining for number in numbers):
                best = max(numbers, key=lambda number: (roles[number].grants & remaining).bit_count())
                assigned.setdefault(best, []).append(row)
                remaining &= ~roles[best].grants
        return assigned

    def independent_count(self) -> int:
        """The size of a set of assignments of which no two fit into one role: a lower bound of the number of roles."""
        chosen: list[tuple[int, int]] = []
        order = sorted(range(len(self.grants)), key=lambda grant: (self.of_grant[grant].bit_count(), grant))
        for grant in order:
            # The narrowest holder of the grant makes the fewest conflicts.
            row = min(_bits(self.of_grant[grant]), key=lambda row: (self.of_row[row].bit_count(), row))
            if not any(self.of_row[row] >> other & 1 and self.of_row[place] >> grant & 1 for place, other in chosen):
                chosen.append((row, grant))
        return len(chosen)


@dataclass(slots=True)
class _Uncovered:
    """What is not covered yet, in each row or column."""

    bits: list[int]
    counts: list[int]
    left: set[int]

    @classmethod
    def of(cls, bits: Iterable[int]) -> _Uncovered:
        listed = list(bits)
        return cls(listed, [each.bit_count() for each in listed], set(range(len(listed))))

    def smallest(self) -> int:
        return min(self.left, key=lambda place: (self.counts[place], place))

    def cover(self, places: int, bits: int) -> None:
        for place in _bits(places & sum(1 << each for each in self.left)):
            self.bits[place] &= ~bits
            self.counts[place] = self.bits[place].bit_count()
            if not self.counts[place]:
                self.left.discard(place)


def _shared(of: tuple[int, ...], places: int, width: int) -> int:
    """The bits that all of these places have."""
    shared = (1 << width) - 1
    for place in _bits(places):
        shared &= of[place]
    return shared


def _bits(number: int) -> Iterator[int]:
    while number:
        low = number & -number
        yield low.bit_length() - 1
        number ^= low


def _named(matrix: _Matrix, roles: list[_Biclique], members: Mapping[int, list[int]]) -> tuple[MinedRole, ...]:
    """The roles that somebody needs, the ones with most members first."""
    found = [
        (
            tuple(sorted(holder for row in rows for holder in matrix.rows[row])),
            tuple(matrix.grants[grant] for grant in _bits(roles[number].grants)),
        )
        for number, rows in members.items()
    ]
    found.sort(key=lambda each: (-len(each[0]), each[1]))
    return tuple(MinedRole(NAME.format(place), grants, holders) for place, (holders, grants) in enumerate(found, 1))
