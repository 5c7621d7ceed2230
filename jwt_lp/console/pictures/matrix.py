"""Matrix of roles and grants: how many members of each role used each of its grants."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp.console.pictures.scales import Tick, cut
from jwt_lp.review.quantities import count_noun

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_ROLES: Final = 24
MOST_GRANTS: Final = 20
_CELL: Final = 26
_MOST_LETTERS: Final = 26
# The room of a letter: in a line, and in a label that leans by 45 degrees.
_LETTER: Final = 6.8
_LEANING: Final = 5.0
_PADDING: Final = 16
SHADES: Final = ("nobody", "up to a quarter", "up to half", "up to three quarters", "more")
"""What the shades mean: the share of a role's members who used the grant."""


class MatrixCell(NamedTuple):
    """A grant of a role: `users` of its `members` used it. `shade` is an index of `SHADES`."""

    role: str
    grant: str
    members: int
    users: int
    shade: int
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Matrix:
    """The cells that are drawn, the labels of rows and columns, and how many roles and grants are not shown."""

    rows: tuple[Tick, ...]
    columns: tuple[Tick, ...]
    cells: tuple[MatrixCell, ...]
    more_roles: int
    more_grants: int
    size: tuple[int, int]
    left: int
    top: int
    cell: int
    description: str


def build_matrix(uses: Iterable[tuple[str, str, int, int]]) -> Matrix | None:
    """The matrix of these roles, grants, members and users; None where no role has a grant.

    Roles with the most unused grants come first, grants of the most roles are on the left.
    """
    by_role: dict[str, dict[str, tuple[int, int]]] = {}
    unused: Counter[str] = Counter()
    holding: Counter[str] = Counter()
    for role, grant, members, users in uses:
        by_role.setdefault(role, {})[grant] = (members, users)
        unused[role] += not users
        holding[grant] += 1
    if not by_role:
        return None
    roles = sorted(by_role, key=lambda role: (-unused[role], role))[:MOST_ROLES]
    grants = sorted(holding, key=lambda grant: (-holding[grant], grant))[:MOST_GRANTS]
    rows, columns = [cut(role, _MOST_LETTERS) for role in roles], [cut(grant, _MOST_LETTERS) for grant in grants]
    left = round(max(map(len, rows)) * _LETTER) + _PADDING
    leaning = round(max(map(len, columns)) * _LEANING)
    top = leaning + _PADDING
    cells = tuple(
        MatrixCell(role, grant, *by_role[role][grant], _shade(*by_role[role][grant]), left + across, top + down)
        for down, role in _places(roles)
        for across, grant in _places(grants)
        if grant in by_role[role]
    )
    return Matrix(
        tuple(Tick(top + down + _CELL * 0.65, label) for down, label in _places(rows)),
        tuple(Tick(left + across + _CELL * 0.5, label) for across, label in _places(columns)),
        cells,
        len(by_role) - len(roles),
        len(holding) - len(grants),
        (left + len(grants) * _CELL + leaning, top + len(roles) * _CELL + 4),
        left,
        top,
        _CELL,
        _describe(cells, len(roles)),
    )


def _places(names: list[str]) -> Iterable[tuple[int, str]]:
    return ((place * _CELL, name) for place, name in enumerate(names))


def _shade(members: int, users: int) -> int:
    return min(4, math.ceil(users / members * 4)) if members > 0 else min(4, users)


def _describe(cells: tuple[MatrixCell, ...], roles: int) -> str:
    idle = sum(not cell.users for cell in cells)
    return (
        f"{count_noun(roles, 'role')} with {count_noun(len(cells), 'grant')} in all; "
        f"nobody used {idle:,} of them. The table has all numbers."
    )
