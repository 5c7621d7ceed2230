"""What the caller of a refused request may ask for by elevation, as the policy allows it."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from jwt_lp.errors import TemplateError
from jwt_lp.guard.decisions import ElevationOffer
from jwt_lp.permissions.grants import Permissions
from jwt_lp.permissions.templates import fill_template, parse_template

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jwt_lp.guard.settings import Settings
    from jwt_lp.permissions.requirements import Requirement
    from jwt_lp.policy.elevation_rules import ElevationRule
    from jwt_lp.tokens.claims import AccessToken

MAX_OFFERED: Final = 8
"""A refusal that needs more permissions than these offers none."""


class ElevationOffers:
    """Makes offers for refusals, from the rules of the policy and the setting `ELEVATION_URL`."""

    def __init__(self, settings: Settings) -> None:
        self._policy = settings.policy
        self._url = settings.elevation_url
        self._shown = settings.show_requirement
        # The next token of an issuer of our own has what was approved, so nothing limits it but the policy.
        self._limits = {
            issuer.name: Permissions.of(["**"] if issuer.own else issuer.elevation, patterns=True)
            for issuer in settings.issuers
        }
        # Bounded, because clients choose what templates are filled with.
        self._rule = lru_cache(maxsize=1024)(self._find_rule)

    def offer(
        self, token: AccessToken, requirement: Requirement, missing: Sequence[str], sent: Mapping[str, object]
    ) -> ElevationOffer | None:
        """The permissions that the token lacks, if its subject may ask for every one of them; otherwise None.

        Templates are filled with `sent`, the parameters that the client sent itself.
        """
        # INVARIANT: who may not ask is told nothing: neither that others may ask nor where.
        if not self._shown or len(missing) > MAX_OFFERED:
            return None
        permissions: dict[str, None] = {}
        for text in missing:
            try:
                permission = fill_template(parse_template(text), sent) if "{" in text else text
            except TemplateError:
                return None
            rule = self._rule(token.issuer_name, permission)
            may_ask = rule is not None and rule.may_ask(token.subject, token.roles, token.issuer_name)
            # A claim that does not match, which `missing` names too, is nothing that anybody could ask for.
            if not may_ask or text not in requirement.permissions:
                return None
            permissions[permission] = None
        return ElevationOffer(tuple(permissions), self._url)

    def _find_rule(self, issuer: str, permission: str) -> ElevationRule | None:
        """The rule for a permission that subjects of the issuer with this name may hold by elevation."""
        return self._policy.elevation_rule(permission) if permission in self._limits.get(issuer, ()) else None
