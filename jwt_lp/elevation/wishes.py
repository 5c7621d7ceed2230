"""The checks of a request for an elevation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Self

from jwt_lp.elevation.identities import standing_grants
from jwt_lp.errors import ElevationInvalid, ElevationNotAllowed
from jwt_lp.permissions.grammar import is_permission
from jwt_lp.tokens.claims import AccessToken

if TYPE_CHECKING:
    from jwt_lp.elevation.identities import Operator
    from jwt_lp.policy.elevation_rules import ElevationRule
    from jwt_lp.policy.file import Policy

MAX_TEXT: Final = {"reason": 500, "ticket": 100, "key": 255}
"""The most characters of each text that a caller gives."""


class Wish(NamedTuple):
    """What a request asks for, as far as the policy allows it."""

    rule: ElevationRule
    seconds: int
    reason: str
    ticket: str

    @classmethod
    def check(
        cls,
        policy: Policy,
        who: AccessToken | Operator,
        permission: str,
        *,
        reason: str,
        ticket: str,
        seconds: int | None,
    ) -> Self:
        """The request with its rule; `ElevationInvalid` for a wrong value, `ElevationNotAllowed` by the policy."""
        # INVARIANT: one permission is asked for, never a pattern: approvers see all that they grant.
        if not is_permission(permission) or not policy.catalogue_has(permission):
            raise ElevationInvalid("ask for one permission, as the catalogue has it; no pattern can be asked for")
        rule = policy.elevation_rule(permission)
        token = who if isinstance(who, AccessToken) else None
        if token is not None and token.is_anonymous:
            raise ElevationNotAllowed("nobody asks without an access token", reason="ask")
        if rule is None:
            raise ElevationNotAllowed("the policy lets nobody ask for this permission", reason="rule")
        roles, issuer = ((), "") if token is None else (token.roles, token.issuer_name)
        if not rule.may_ask(who.subject, roles, issuer):
            raise ElevationNotAllowed("the policy does not let you ask for this permission", reason="ask")
        if token is not None and standing_grants(token, permission):
            raise ElevationInvalid("the permission is held already")
        reason, ticket = cls.check_text(reason, "reason"), cls.check_text(ticket, "ticket")
        if rule.reason and not reason:
            raise ElevationInvalid("reason: say why the permission is needed")
        if not rule.accepts_ticket(ticket):
            raise ElevationInvalid("ticket: give the number of a ticket, in the form that the policy wants")
        if seconds is not None and not (type(seconds) is int and 1 <= seconds <= rule.longest):
            raise ElevationInvalid(f"seconds: must be a whole number from 1 to {rule.longest}")
        return cls(rule, rule.longest if seconds is None else seconds, reason, ticket)

    @staticmethod
    def check_text(text: str, name: str) -> str:
        """The text without blanks around it; `ElevationInvalid` if it is too long or has characters of control."""
        text = text.strip()
        if len(text) > MAX_TEXT[name] or (text and not text.isprintable()):
            raise ElevationInvalid(f"{name}: must be at most {MAX_TEXT[name]} printable characters on one line")
        return text
