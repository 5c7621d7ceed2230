"""Least privilege access with JWTs: issue little, decide from the token, refuse what is not declared."""

from jwt_lp.assertion import PrivateKeyJwt
from jwt_lp.claims import AccessToken, ClaimProfile
from jwt_lp.clientauth import ClientAuthentication, ClientMethods, ClientRefused, ClientSecrets
from jwt_lp.decision import Call, Decision, Refusal
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
from jwt_lp.exchange import Answer, TokenExchange
from jwt_lp.guard import Guard, Readiness
from jwt_lp.issue import ClaimPolicy, Issuer
from jwt_lp.keyring import KeyRing
from jwt_lp.keys import JwksKeys, StaticKeys
from jwt_lp.memo import Memo
from jwt_lp.permissions import Grant, Permission, Permissions
from jwt_lp.policy import Policy
from jwt_lp.profiles import AUTH0, COGNITO, ENTRA, KEYCLOAK, OKTA, RFC9068
from jwt_lp.requirements import AUTHENTICATED, IDENTIFIED, PUBLIC, Open, Requirement, all_of, any_of, external
from jwt_lp.routes import Route, Rules, route_faults
from jwt_lp.settings import Settings
from jwt_lp.signing import SigningKey, SigningKeys
from jwt_lp.verify import Verifier

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
    "GrammarError",
    "Grant",
    "Guard",
    "InvalidToken",
    "Issuer",
    "JwksKeys",
    "JwtLpError",
    "KeyRing",
    "KeysUnavailable",
    "Memo",
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
