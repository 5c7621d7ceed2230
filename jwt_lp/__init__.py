"""Least privilege access with JWTs for Django, Flask, Starlette and FastAPI."""

from jwt_lp.errors import (
    ConfigurationError,
    GrammarError,
    InvalidToken,
    JwtLpError,
    KeysUnavailable,
    PolicyError,
    StoreError,
    TemplateError,
)
from jwt_lp.guard.decision_memo import DecisionMemo
from jwt_lp.guard.decisions import Call, Decision, Refusal
from jwt_lp.guard.guard import Guard, Readiness
from jwt_lp.guard.routes import Route, Rules, route_faults
from jwt_lp.guard.settings import Settings
from jwt_lp.issuing.issuer import ClaimPolicy, Issuer
from jwt_lp.jose.key_rotation import KeyRing
from jwt_lp.jose.remote_jwks import JwksKeys, StaticKeys
from jwt_lp.jose.signing import SigningKey, SigningKeys
from jwt_lp.oauth.client_authentication import ClientAuthentication, ClientMethods, ClientRefused, ClientSecrets
from jwt_lp.oauth.private_key_jwt import PrivateKeyJwt
from jwt_lp.oauth.token_endpoint import Answer, TokenExchange
from jwt_lp.permissions.grants import Grant, Permission, Permissions
from jwt_lp.permissions.requirements import (
    AUTHENTICATED,
    IDENTIFIED,
    PUBLIC,
    Open,
    Requirement,
    all_of,
    any_of,
    external,
)
from jwt_lp.policy.file import Policy
from jwt_lp.tokens.claims import AccessToken, ClaimProfile
from jwt_lp.tokens.profiles import AUTH0, COGNITO, ENTRA, KEYCLOAK, OKTA, RFC9068
from jwt_lp.tokens.verification import Verifier

__all__ = [
    "AUTH0",
    "AUTHENTICATED",
    "COGNITO",
    "ENTRA",
    "IDENTIFIED",
    "KEYCLOAK",
    "OKTA",
    "PUBLIC",
    "RFC9068",
    "AccessToken",
    "Answer",
    "Call",
    "ClaimPolicy",
    "ClaimProfile",
    "ClientAuthentication",
    "ClientMethods",
    "ClientRefused",
    "ClientSecrets",
    "ConfigurationError",
    "Decision",
    "DecisionMemo",
    "GrammarError",
    "Grant",
    "Guard",
    "InvalidToken",
    "Issuer",
    "JwksKeys",
    "JwtLpError",
    "KeyRing",
    "KeysUnavailable",
    "Open",
    "Permission",
    "Permissions",
    "Policy",
    "PolicyError",
    "PrivateKeyJwt",
    "Readiness",
    "Refusal",
    "Requirement",
    "Route",
    "Rules",
    "Settings",
    "SigningKey",
    "SigningKeys",
    "StaticKeys",
    "StoreError",
    "TemplateError",
    "TokenExchange",
    "Verifier",
    "all_of",
    "any_of",
    "external",
    "route_faults",
]
