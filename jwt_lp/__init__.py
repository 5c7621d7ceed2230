"""Least privilege access with JWTs for Django, Flask, Starlette and FastAPI.

Each name is imported when it is first used (PEP 562), so a service loads only what it needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jwt_lp._support.events import ELEVATION_EVENTS, subscribe
    from jwt_lp.elevation.deliveries import ElevationDeliveries
    from jwt_lp.elevation.elevations import Elevations
    from jwt_lp.elevation.endpoints import ElevationEndpoints
    from jwt_lp.elevation.guard_elevations import guard_elevations, request_elevation
    from jwt_lp.elevation.identities import Operator
    from jwt_lp.elevation.requests import ElevationCall
    from jwt_lp.errors import (
        CampaignClosed,
        CampaignError,
        CampaignRefused,
        CampaignUnknown,
        ConfigurationError,
        ElevationClosed,
        ElevationError,
        ElevationInvalid,
        ElevationKeyReused,
        ElevationNotAllowed,
        ElevationTooMany,
        ElevationUnknown,
        GrammarError,
        IntrospectionUnavailable,
        InvalidDecision,
        InvalidToken,
        JwtLpError,
        KeysUnavailable,
        PolicyError,
        StoreError,
        TemplateError,
    )
    from jwt_lp.guard.cookies import Cookies, ResponseCookie
    from jwt_lp.guard.decision_memo import DecisionMemo
    from jwt_lp.guard.decisions import Call, Decision, HostCsrf, Refusal
    from jwt_lp.guard.guard import Guard
    from jwt_lp.guard.openapi import OpenAPIDescription, RoutesByPath
    from jwt_lp.guard.readiness import Readiness
    from jwt_lp.guard.routes import Route, Rules, route_faults
    from jwt_lp.guard.same_origin import cross_origin_fault
    from jwt_lp.guard.settings import Settings
    from jwt_lp.issuing.claim_policy import ClaimPolicy
    from jwt_lp.issuing.issuer import Issuer
    from jwt_lp.jose.jwks import StaticKeys
    from jwt_lp.jose.key_rotation import KeyRing
    from jwt_lp.jose.remote_jwks import JwksKeys
    from jwt_lp.jose.signing import SigningKey, SigningKeys
    from jwt_lp.oauth.client_authentication import ClientAuthentication, ClientMethods, ClientRefused, ClientSecrets
    from jwt_lp.oauth.private_key_jwt import PrivateKeyJwt
    from jwt_lp.oauth.resource_metadata import ResourceMetadata
    from jwt_lp.oauth.token_endpoint import Answer, TokenExchange
    from jwt_lp.observability.ecs import EcsFormatter
    from jwt_lp.permissions.grammar import Permission
    from jwt_lp.permissions.grants import Permissions
    from jwt_lp.permissions.patterns import Grant
    from jwt_lp.permissions.requirement_nodes import Requirement
    from jwt_lp.permissions.requirements import AUTHENTICATED, IDENTIFIED, PUBLIC, Open, all_of, any_of, external
    from jwt_lp.policy.file import Policy
    from jwt_lp.signin.endpoints import SignInAnswer, SignInEndpoints
    from jwt_lp.signin.granted import Granted
    from jwt_lp.signin.password_check import PasswordCheck
    from jwt_lp.signin.refusals import SignInRefused
    from jwt_lp.signin.sessions import Sessions
    from jwt_lp.signin.sign_in import SignIn
    from jwt_lp.signin.throttle import Throttle
    from jwt_lp.signin.tokens import Tokens
    from jwt_lp.stores.elevations import Elevation
    from jwt_lp.tokens.anonymous import ANONYMOUS
    from jwt_lp.tokens.claims import AccessToken, ClaimProfile
    from jwt_lp.tokens.profiles import (
        AUTH0,
        COGNITO,
        ENTRA,
        FLASK_JWT_EXTENDED,
        KEYCLOAK,
        OKTA,
        RFC9068,
        SIMPLEJWT,
    )
    from jwt_lp.tokens.verification import Verifier
else:
    # Not for checkers, which would take any name for one of these.
    def __getattr__(name: str) -> object:
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
        return value


__all__ = [
    "ANONYMOUS",
    "AUTH0",
    "AUTHENTICATED",
    "COGNITO",
    "ELEVATION_EVENTS",
    "ENTRA",
    "FLASK_JWT_EXTENDED",
    "IDENTIFIED",
    "KEYCLOAK",
    "OKTA",
    "PUBLIC",
    "RFC9068",
    "SIMPLEJWT",
    "AccessToken",
    "Answer",
    "Call",
    "CampaignClosed",
    "CampaignError",
    "CampaignRefused",
    "CampaignUnknown",
    "ClaimPolicy",
    "ClaimProfile",
    "ClientAuthentication",
    "ClientMethods",
    "ClientRefused",
    "ClientSecrets",
    "ConfigurationError",
    "Cookies",
    "Decision",
    "DecisionMemo",
    "EcsFormatter",
    "Elevation",
    "ElevationCall",
    "ElevationClosed",
    "ElevationDeliveries",
    "ElevationEndpoints",
    "ElevationError",
    "ElevationInvalid",
    "ElevationKeyReused",
    "ElevationNotAllowed",
    "ElevationTooMany",
    "ElevationUnknown",
    "Elevations",
    "GrammarError",
    "Grant",
    "Granted",
    "Guard",
    "HostCsrf",
    "IntrospectionUnavailable",
    "InvalidDecision",
    "InvalidToken",
    "Issuer",
    "JwksKeys",
    "JwtLpError",
    "KeyRing",
    "KeysUnavailable",
    "Open",
    "OpenAPIDescription",
    "Operator",
    "PasswordCheck",
    "Permission",
    "Permissions",
    "Policy",
    "PolicyError",
    "PrivateKeyJwt",
    "Readiness",
    "Refusal",
    "Requirement",
    "ResourceMetadata",
    "ResponseCookie",
    "Route",
    "RoutesByPath",
    "Rules",
    "Sessions",
    "Settings",
    "SignIn",
    "SignInAnswer",
    "SignInEndpoints",
    "SignInRefused",
    "SigningKey",
    "SigningKeys",
    "StaticKeys",
    "StoreError",
    "TemplateError",
    "Throttle",
    "TokenExchange",
    "Tokens",
    "Verifier",
    "all_of",
    "any_of",
    "cross_origin_fault",
    "external",
    "guard_elevations",
    "request_elevation",
    "route_faults",
    "subscribe",
]

_MODULES = {
    "jwt_lp._support.events": ("ELEVATION_EVENTS", "subscribe"),
    "jwt_lp.elevation.deliveries": ("ElevationDeliveries",),
    "jwt_lp.elevation.elevations": ("Elevations",),
    "jwt_lp.elevation.endpoints": ("ElevationEndpoints",),
    "jwt_lp.elevation.guard_elevations": ("guard_elevations", "request_elevation"),
    "jwt_lp.elevation.identities": ("Operator",),
    "jwt_lp.elevation.requests": ("ElevationCall",),
    "jwt_lp.errors": (
        "CampaignClosed",
        "CampaignError",
        "CampaignRefused",
        "CampaignUnknown",
        "ConfigurationError",
        "ElevationClosed",
        "ElevationError",
        "ElevationInvalid",
        "ElevationKeyReused",
        "ElevationNotAllowed",
        "ElevationTooMany",
        "ElevationUnknown",
        "GrammarError",
        "IntrospectionUnavailable",
        "InvalidDecision",
        "InvalidToken",
        "JwtLpError",
        "KeysUnavailable",
        "PolicyError",
        "StoreError",
        "TemplateError",
    ),
    "jwt_lp.guard.cookies": ("Cookies", "ResponseCookie"),
    "jwt_lp.guard.decision_memo": ("DecisionMemo",),
    "jwt_lp.guard.decisions": ("Call", "Decision", "HostCsrf", "Refusal"),
    "jwt_lp.guard.guard": ("Guard",),
    "jwt_lp.guard.openapi": ("OpenAPIDescription", "RoutesByPath"),
    "jwt_lp.guard.readiness": ("Readiness",),
    "jwt_lp.guard.routes": ("Route", "Rules", "route_faults"),
    "jwt_lp.guard.same_origin": ("cross_origin_fault",),
    "jwt_lp.guard.settings": ("Settings",),
    "jwt_lp.issuing.claim_policy": ("ClaimPolicy",),
    "jwt_lp.issuing.issuer": ("Issuer",),
    "jwt_lp.jose.jwks": ("StaticKeys",),
    "jwt_lp.jose.key_rotation": ("KeyRing",),
    "jwt_lp.jose.remote_jwks": ("JwksKeys",),
    "jwt_lp.jose.signing": ("SigningKey", "SigningKeys"),
    "jwt_lp.observability.ecs": ("EcsFormatter",),
    "jwt_lp.oauth.client_authentication": ("ClientAuthentication", "ClientMethods", "ClientRefused", "ClientSecrets"),
    "jwt_lp.oauth.private_key_jwt": ("PrivateKeyJwt",),
    "jwt_lp.oauth.resource_metadata": ("ResourceMetadata",),
    "jwt_lp.oauth.token_endpoint": ("Answer", "TokenExchange"),
    "jwt_lp.permissions.grammar": ("Permission",),
    "jwt_lp.permissions.grants": ("Permissions",),
    "jwt_lp.permissions.patterns": ("Grant",),
    "jwt_lp.permissions.requirement_nodes": ("Requirement",),
    "jwt_lp.permissions.requirements": (
        "AUTHENTICATED",
        "IDENTIFIED",
        "PUBLIC",
        "Open",
        "all_of",
        "any_of",
        "external",
    ),
    "jwt_lp.policy.file": ("Policy",),
    "jwt_lp.signin.endpoints": ("SignInAnswer", "SignInEndpoints"),
    "jwt_lp.signin.granted": ("Granted",),
    "jwt_lp.signin.password_check": ("PasswordCheck",),
    "jwt_lp.signin.refusals": ("SignInRefused",),
    "jwt_lp.signin.sessions": ("Sessions",),
    "jwt_lp.signin.sign_in": ("SignIn",),
    "jwt_lp.signin.throttle": ("Throttle",),
    "jwt_lp.signin.tokens": ("Tokens",),
    "jwt_lp.stores.elevations": ("Elevation",),
    "jwt_lp.tokens.anonymous": ("ANONYMOUS",),
    "jwt_lp.tokens.claims": ("AccessToken", "ClaimProfile"),
    "jwt_lp.tokens.profiles": (
        "AUTH0",
        "COGNITO",
        "ENTRA",
        "FLASK_JWT_EXTENDED",
        "KEYCLOAK",
        "OKTA",
        "RFC9068",
        "SIMPLEJWT",
    ),
    "jwt_lp.tokens.verification": ("Verifier",),
}
"""Where each name is defined."""

_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
