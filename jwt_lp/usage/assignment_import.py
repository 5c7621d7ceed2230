"""Held grants from rows of a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final

from jwt_lp.stores import HeldGrant
from jwt_lp.usage.usage_records import BAD_GRANT, UNPRINTABLE, SubjectNaming, is_grant, parse_moment

if TYPE_CHECKING:
    from jwt_lp.usage.row_reader import Row

ASSIGNMENT_FIELDS: Final = ("subject", "client", "role", "grant", "issuer", "since")


def parse_assignment(row: Row, issuer: str, name: SubjectNaming) -> HeldGrant | str:
    """The held grant in a row of `ASSIGNMENT_FIELDS`, or the reason why the row has none."""
    if row.fault:
        return row.fault
    subject, client, role, grant, row_issuer, since = row.values
    if not "".join(row.values).isprintable():
        return UNPRINTABLE
    if not subject and not client:
        return "it has neither a subject nor a client"
    if not grant and not role:
        return "it has neither a grant nor a role"
    if grant and not is_grant(grant):
        return BAD_GRANT
    moment = parse_moment(since) if since else None
    if since and moment is None:
        return "its since is not an ISO date, ISO time or number of seconds since the epoch"
    issuer = row_issuer or issuer
    return HeldGrant(
        issuer, name(issuer, subject) if subject else "", client, role, grant, moment.day if moment is not None else ""
    )


def read_assignments(
    rows: Iterable[Row], issuer: str, name: SubjectNaming, skip: Callable[[int, str], object]
) -> Iterator[HeldGrant]:
    """The held grants of a file; `skip` is called with the line and the reason of each row that has none."""
    for row in rows:
        result = parse_assignment(row, issuer, name)
        if isinstance(result, str):
            skip(row.line, result)
        else:
            yield result
