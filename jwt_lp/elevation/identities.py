"""Who asks and who decides: the identities and the standing grants that a verified token proves."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from jwt_lp.permissions.grants import Grant
    from jwt_lp.tokens.claims import AccessToken

_PREFIX: Final = "elevation:"


class Operator(NamedTuple):
    """Somebody without a token: the operator of a command, who has the store anyway. An `issuer` of "" stands for the command itself.

    An operator may ask, deny, end and review, but never approves, because nothing shows what an operator holds.
    """

    issuer: str
    subject: str


def identities(token: AccessToken) -> tuple[tuple[str, str], ...]:
    """The pairs of issuer and subject that a token names: its subject, the original one, and those that act for it."""
    lineage = token.lineage
    others = [] if lineage is None else [(token.issuer, actor) for actor in lineage.actors]
    if lineage is not None and lineage.subject is not None:
        others.append(lineage.subject)
    return tuple(dict.fromkeys([(token.issuer, token.subject), *others]))


def is_narrowed(token: AccessToken) -> bool:
    """Whether the token was downscoped, or somebody acts with it. A token of a session is neither."""
    lineage = token.lineage
    if lineage is None:
        return False
    # INVARIANT: our issuers write the clients of the tokens before it into every downscoped token, also none, and into
    # no other.
    claim = token.claims.get("lineage")
    session = isinstance(claim, dict | MappingProxyType) and "clients" not in claim
    return not session or bool(lineage.actors) or lineage.subject is not None


def person_of(token: AccessToken, claim: str) -> str:
    """What identifies the person at all issuers: the text in `claim`; "" if the token has none."""
    value = token.claims.get(claim) if claim else None
    return value if isinstance(value, str) and value.isprintable() else ""


def standing_grants(token: AccessToken, permission: str) -> list[Grant]:
    """The grants of a token that cover a permission, without those by an elevation."""
    grants = token.permissions.grants_containing(permission)
    return [grant for grant in grants if not is_elevated(grant.role)]


def is_elevated(role: str | None) -> bool:
    """Whether a grant with this role is one by an elevation."""
    return role is not None and role.startswith(_PREFIX)
