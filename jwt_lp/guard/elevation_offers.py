"""What the caller of a refused request may ask for by elevation, as the policy allows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jwt_lp.errors import TemplateError
from jwt_lp.guard.decisions import ElevationOffer
from jwt_lp.permissions.grants import Permissions
from jwt_lp.permissions.templates import fill_template, parse_template

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jwt_lp.guard.settings import Settings
    from jwt_lp.permissions.requirements import Requirement
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

    def offer(
        self, token: AccessToken, requirement: Requirement, missing: Sequence[str], sent: Mapping[str, object]
    ) -> ElevationOffer | None:
        """The permissions that the token lacks, if its subject may ask for every one of them; otherwise None.

        Templates are filled with `sent`, the parameters that the client sent itself.
        """
        # INVARIANT: who may not ask is told nothing: neither that others may ask nor where. And a claim that does not
        # match, which `missing` names too, is nothing that anybody could ask for.
        if not self._shown or len(missing) > MAX_OFFERED or not set(missing) <= set(requirement.permissions):
            return None
        try:
            permissions = [fill_template(parse_template(text), sent) if "{" in text else text for text in missing]
        except TemplateError:
            return None
        if all(self._may_ask(token, permission) for permission in permissions):
            return ElevationOffer(tuple(dict.fromkeys(permissions)), self._url)
        return None

    def _may_ask(self, token: AccessToken, permission: str) -> bool:
        rule = self._policy.elevation_rule(permission)
        if rule is None or not rule.may_ask(token.subject, token.roles, token.issuer_name):
            return False
        return permission in self._limits.get(token.issuer_name, ())
