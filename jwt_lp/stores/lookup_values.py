"""What look-ups make of rows, for stores of every kind."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp.stores.lookups import FoundName, HolderGrant
from jwt_lp.stores.row_keys import ELEVATED_ROLE, fit_text

if TYPE_CHECKING:
    from collections.abc import Iterable

# As every database does it: the letters of ASCII alone.
_LOWER: Final = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)

STANDING_ROLES: Final = ((None, ELEVATED_ROLE), (ELEVATED_ROLE[:-1] + chr(ord(ELEVATED_ROLE[-1]) + 1), None))
"""The ranges of roles that are not elevations: each from a text on, and up to one that is left out."""


class CurrentImports(NamedTuple):
    """The imports that count: from the latest complete one on, or all. Days are "" if there are none."""

    first: str
    last: str
    complete: bool


class HeldRow(NamedTuple):
    """A grant of a holder in an import."""

    role: str
    grant: str
    since: str
    as_of: str


class SeenRow(NamedTuple):
    """A grant that a token of a holder carried."""

    role: str
    grant: str
    first_day: str
    last_day: str


def lower_text(text: str) -> str:
    """The text that names are compared with, whatever the case of their letters."""
    return fit_text(text).translate(_LOWER)


def merge_names(issuer: str, lists: Iterable[Iterable[str]], limit: int) -> tuple[FoundName, ...]:
    """The first names of several lists, each in order."""
    names = sorted({name for names in lists for name in names})
    return tuple(FoundName(issuer, name) for name in names[:limit])


def merge_grants(
    held: Iterable[HeldRow], seen: Iterable[SeenRow], imports: CurrentImports, limit: int, *, ever: bool
) -> tuple[HolderGrant, ...]:
    """What a holder has, by role and grant; with `ever` whatever its tokens carried."""
    found: dict[tuple[str, str], HolderGrant] = {}
    for row in sorted(held, key=lambda each: each.as_of):
        known = found.get(row[:2])
        # The latest import decides, unless it does not know the day.
        since = row.since or (known.since if known is not None else "")
        found[row[:2]] = HolderGrant(row.role, row.grant, since, row.as_of, "", "")
    listed = set(found)
    for each in seen:
        late = ever or not imports.complete or each.last_day > imports.last
        if late or each[:2] in listed or (each.role and (each.role, "") in listed):
            known = found.get(each[:2], HolderGrant(each.role, each.grant, "", "", "", ""))
            days = [day for day in (known.first_day, each.first_day) if day]
            found[each[:2]] = known._replace(first_day=min(days), last_day=max(known.last_day, each.last_day))
    return tuple(found[key] for key in sorted(found)[:limit])
