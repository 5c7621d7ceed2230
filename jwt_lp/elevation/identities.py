"""Who asks and who decides: the identities and the standing grants that a verified token proves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwt_lp.permissions.grants import Grant
    from jwt_lp.tokens.claims import AccessToken

_MAX_ACTORS: Final = 16


class Operator(NamedTuple):
    """Somebody without a token: the operator of a command, who has the store anyway. An `issuer` of "" stands for the command itself.

    An operator may ask, deny, end and review, but never approves, because nothing shows what an operator holds.
    """

    issuer: str
    subject: str


def identities(token: AccessToken) -> tuple[tuple[str, str], ...]:
    """The pairs of issuer and subject that a token names: its subject, the original one, and those that act for it."""
    others = [(token.issuer, actor) for actor in _actors(token)]
    if token.lineage is not None and token.lineage.subject is not None:
        others.append(token.lineage.subject)
    return tuple(dict.fromkeys([(token.issuer, token.subject), *others]))


def _actors(token: AccessToken) -> Iterator[str]:
    """The names in a nested `act` claim (RFC 8693, section 4.1), of whatever issuer."""
    act = token.claims.get("act")
    for _ in range(_MAX_ACTORS):
        if not isinstance(act, Mapping):
            return
        members = cast("Mapping[str, object]", act)
        if isinstance(name := members.get("sub"), str):
            yield name
        act = members.get("act")


def person_of(token: AccessToken, claim: str) -> str:
    """What identifies the person at all issuers: the text in `claim`; "" if the token has none."""
    value = token.claims.get(claim) if claim else None
    return value if isinstance(value, str) and value.isprintable() else ""


def standing_grants(token: AccessToken, permission: str) -> list[Grant]:
    """The grants of a token that cover a permission, without those by an elevation."""
    grants = token.permissions.grants_containing(permission)
    return [grant for grant in grants if grant.elevation is None]
