"""Who holds what, as a file tells it?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final

from jwt_lp.permissions.grants import is_pattern, is_scope_token, within_limits
from jwt_lp.stores import HeldGrant
from jwt_lp.usage.usage_records import SubjectNaming, parse_moment

if TYPE_CHECKING:
    from jwt_lp.usage.row_reader import Row

ASSIGNMENT_FIELDS: Final = ("subject", "client", "role", "grant", "issuer", "since")


def parse_assignment(row: Row, issuer: str, name: SubjectNaming) -> HeldGrant | str:
    """The grant that a row with `HELD` says somebody has, or why it says none."""
    if row.fault:
        return row.fault
    subject, client, role, grant, own, since = row.values
    if not "".join(row.values).isprintable():
        return "it has a character that is not printable, or is not UTF-8"
    if not subject and not client:
        return "it has neither a subject nor a client"
    if not grant and not role:
        return "it has neither a grant nor a role"
    if grant and not (is_scope_token(grant) and within_limits(grant) and ("*" not in grant or is_pattern(grant))):
        return "its grant is neither a permission nor a pattern"
    moment = parse_moment(since) if since else None
    if since and moment is None:
        return "its since is not an ISO date, ISO time or number of seconds since the epoch"
    own = own or issuer
    return HeldGrant(
        own, name(own, subject) if subject else "", client, role, grant, moment.day if moment is not None else ""
    )


def read_assignments(
    rows: Iterable[Row], issuer: str, name: SubjectNaming, skip: Callable[[int, str], object]
) -> Iterator[HeldGrant]:
    """The grants of a file; `skip` hears of the line and the reason of each row that says none."""
    for row in rows:
        found = parse_assignment(row, issuer, name)
        if isinstance(found, str):
            skip(row.line, found)
        else:
            yield found
