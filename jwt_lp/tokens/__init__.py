"""Access tokens: claims, provider profiles, verification and the token cache."""

from __future__ import annotations

from jwt_lp.tokens.claims import AccessToken, ClaimProfile
from jwt_lp.tokens.profiles import AUTH0, COGNITO, ENTRA, KEYCLOAK, OKTA, RFC9068
from jwt_lp.tokens.verification import Verifier

__all__ = ["AUTH0", "COGNITO", "ENTRA", "KEYCLOAK", "OKTA", "RFC9068", "AccessToken", "ClaimProfile", "Verifier"]
