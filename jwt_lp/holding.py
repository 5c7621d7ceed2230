"""Who holds what, as a file tells it?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final

from jwt_lp.permissions import fits, is_pattern, is_scope_token
from jwt_lp.stores import Held
from jwt_lp.telling import Naming, moment_of

if TYPE_CHECKING:
    from jwt_lp.tabular import Row

HELD: Final = ("subject", "client", "role", "grant", "issuer", "since")


def held_of(row: Row, issuer: str, name: Naming) -> Held | str:
    """The grant that a row with `HELD` says somebody has, or why it says none."""
    if row.fault:
        return row.fault
    subject, client, role, grant, own, since = row.values
    if not "".join(row.values).isprintable():
        return "it has a character that is not printable, or no UTF-8"
    if not subject and not client:
        return "it has neither a subject nor a client"
    if not grant and not role:
        return "it has neither a grant nor a role"
    if grant and not (is_scope_token(grant) and fits(grant) and ("*" not in grant or is_pattern(grant))):
        return "its grant is neither a permission nor a pattern"
    moment = moment_of(since) if since else None
    if since and moment is None:
        return "its since is no ISO date, ISO time or number of seconds since the epoch"
    own = own or issuer
    return Held(
        own, name(own, subject) if subject else "", client, role, grant, moment.day if moment is not None else ""
    )


def all_held(rows: Iterable[Row], issuer: str, name: Naming, skip: Callable[[int, str], object]) -> Iterator[Held]:
    """The grants of a file; `skip` hears of the line and the reason of each row that says none."""
    for row in rows:
        found = held_of(row, issuer, name)
        if isinstance(found, str):
            skip(row.line, found)
        else:
            yield found
