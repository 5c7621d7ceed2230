"""Shipped profiles of providers.

Each profile refers to the provider's documentation and gives the reasons for its choices. The ceilings follow one rule
(RFC 6749, section 1.4; RFC 9068, section 2.2.3): a scope says what a client may do, a role or a group what its user is.
If a user's token has both, the scope must cover a permission too, because a client of little trust that acts for an
administrator is not an administrator. A role of the policy can raise the ceiling for one scope:

    [roles.spa]
    from = ["ceiling:scope:access_as_user"]
    grants = ["orders:**"]

It raises the ceiling where that scope is present, and grants nothing by itself. `from = ["scope:access_as_user"]` would
do both, and give those grants to every user of that client. Scopes that are permissions are granted to every user. If
only roles may grant, set `PERMISSIONS = []` in `PROFILE`; the ceiling stays.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Final

from jwt_lp._support.validation import did_you_mean, quote_text
from jwt_lp.errors import ConfigurationError
from jwt_lp.tokens.claims import OPENID_SCOPES, AppRule, ClaimProfile, ClaimSource

_RAISE: Final = (
    'the scope of the client does not cover "{value}": have the client ask for a scope that does, or let a role '
    'in the policy say how far one of its scopes reaches, from = ["ceiling:scope:NAME"]'
)
_NO_CEILING: Final = "; where scopes of this issuer bound no client, set CEILING = [] in PROFILE"
_ACCESS_ONLY: Final = "send the access token, not the refresh token"
_NO_AUDIENCE: Final = 'have the library write {{value}} as the audience ({setting}), or set ABSENT_CLAIMS = ["iss", "aud"] while it writes none'
_ID_TOKEN: Final = "send the access token, not the ID token"

_SCOPE: Final = ClaimSource(("scope",), "scope", shape="text")
_USERS_SCOPE: Final = replace(_SCOPE, when="users")
_GROUPS: Final = ClaimSource(("groups",), "group", "roles")

# RFC 9068: section 2.1 (typ), 2.2 (required claims), 2.2.3 (scope), 2.2.3.1 (roles, groups and entitlements are
# attributes of the user, in SCIM's encoding, RFC 7643 section 4.1.2, though most servers write plain strings).
# The ceiling counts without a scope claim too: a client could otherwise raise itself by asking for no scope.
# A token is an application's own if sub is the client (section 2.2); by section 5 a user's token never has such a sub.
RFC9068: Final = ClaimProfile(
    name="rfc9068",
    sources=(
        _SCOPE,
        ClaimSource(("roles",), "role", "roles", "scim"),
        ClaimSource(("groups",), "group", "roles", "scim"),
        ClaimSource(("entitlements",), "entitlement", "roles", "scim"),
    ),
    ceiling=(_USERS_SCOPE,),
    required=("client_id", "iat", "jti"),
    client=("client_id",),
    apps=((AppRule("sub", same_as="client_id"),),),
    remedies=MappingProxyType(
        {
            "audience": 'have the client ask for the resource "{value}" (RFC 8707), or AUDIENCE name what is sent',
            "typ": "have the issuer follow RFC 9068 (typ at+jwt), or set PROFILE to the provider in use",
            "not_access_token": "have the issuer follow RFC 9068, or set PROFILE to the provider in use",
            "ceiling": _RAISE + _NO_CEILING,
        }
    ),
)
"""Access tokens of servers that follow RFC 9068, the default."""

# https://auth0.com/docs/secure/tokens/access-tokens/access-token-profiles: the Auth0 dialect has typ JWT and azp,
# the RFC 9068 one at+jwt, client_id and jti; ID tokens have neither azp nor client_id (.../id-token-structure).
# https://auth0.com/docs/get-started/apis/enable-role-based-access-control-for-apis: `permissions` has all that
# the user is assigned, whatever the client requested; `scope` has what was requested and is assigned. So the scope
# is the ceiling. In an application's token, whose sub is `CLIENT@clients`, the two are equal.
AUTH0: Final = ClaimProfile(
    name="auth0",
    sources=(_SCOPE, ClaimSource(("permissions",), "permission")),
    ceiling=(_USERS_SCOPE,),
    types=frozenset({"jwt", "at+jwt"}),
    any_of=(("azp", "client_id"),),
    client=("azp", "client_id"),
    apps=tuple((AppRule("sub", same_as=name, suffix="@clients"),) for name in ("azp", "client_id")),
    remedies=MappingProxyType(
        {
            "audience": "pass audience={value} in the authorization request, the identifier of the API at Auth0",
            "not_access_token": f"{_ID_TOKEN}; pass audience= in the authorization request to get one",
            "ceiling": _RAISE,
        }
    ),
)
"""Access tokens of Auth0, in its own profile or in that of RFC 9068."""

# https://developer.okta.com/docs/reference/api/oidc/#access-token: cid, scp (a list) and jti are reserved and
# always present, uid only in users' tokens; the header need not have a typ. ID tokens have neither cid nor scp.
# https://developer.okta.com/docs/guides/customize-tokens-groups-claim/: groups is a claim that the operator adds,
# and it describes the user. Scopes are what the access policies allow the client, so they are the ceiling.
# Tokens of the org authorization server are for Okta itself and are refused by their typ and audience:
# https://support.okta.com/help/s/article/Signature-Validation-Failed-on-Access-Token
OKTA: Final = ClaimProfile(
    name="okta",
    sources=(ClaimSource(("scp",), "scope"), _GROUPS),
    ceiling=(ClaimSource(("scp",), "scope", when="users"),),
    types=frozenset({"", "jwt", "at+jwt"}),
    required=("cid", "jti"),
    client=("cid",),
    apps=((AppRule("uid", absent=True), AppRule("sub", same_as="cid")),),
    remedies=MappingProxyType(
        {
            "audience": 'use a custom authorization server whose audience is "{value}", not the org one',
            "typ": "use a custom authorization server, not the org one, whose tokens only Okta may read",
            "not_access_token": f"{_ID_TOKEN}, of a custom authorization server",
            "ceiling": _RAISE,
        }
    ),
)
"""Access tokens of a custom authorization server of Okta."""

# https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference: typ is always JWT; azp and
# azpacr (v1.0: appid and appidacr) name the client and how it authenticated, and no ID token has them
# (.../id-token-claims-reference), even where API and client are one registration and so one audience. uti is jti.
# .../claims-validation: scp says what the client may do for the user, and is the ceiling. roles are those of
# the user, or in a token of an application its permissions. groups (object ids) and wids are the user's.
# .../optional-claims-reference: idtyp is `app` where the API requests the claim; without it
# .../scenario-protected-web-api-verification-scope-app-roles has oid equal sub.
ENTRA: Final = ClaimProfile(
    name="entra",
    sources=(
        ClaimSource(("scp",), "scope", shape="text", when="users"),
        ClaimSource(("roles",), "role", "roles", when="users"),
        ClaimSource(("roles",), "role", when="apps"),
        _GROUPS,
        ClaimSource(("wids",), "wid", "roles"),
    ),
    ceiling=(ClaimSource(("scp",), "scope", shape="text", when="users"),),
    types=frozenset({"jwt", "at+jwt"}),
    any_of=(("azp", "appid"), ("azpacr", "appidacr")),
    client=("azp", "appid"),
    token_id="uti",
    apps=(
        (AppRule("idtyp", equals="app"), AppRule("scp", absent=True)),
        (AppRule("idtyp", absent=True), AppRule("scp", absent=True), AppRule("sub", same_as="oid")),
    ),
    remedies=MappingProxyType(
        {
            "audience": 'have the client ask for a scope of this API ("Expose an API"); AUDIENCE is its client id in '
            "tokens of version 2.0 (requestedAccessTokenVersion 2 in the manifest), its application ID URI in 1.0",
            "not_access_token": f"{_ID_TOKEN}; have the client ask for a scope of this API",
            "ceiling": _RAISE,
        }
    ),
)
"""Access tokens of Microsoft Entra ID, versions 1.0 and 2.0."""

# https://www.keycloak.org/docs/latest/server_admin/#_role_scope_mappings: the server itself leaves out the roles
# that are not in the client's scope, so there is no ceiling; but Full Scope Allowed must be off, and is on by default.
# The payload's typ distinguishes Bearer from ID, Refresh, Offline, Logout and DPoP (org.keycloak.util.TokenUtil); the
# header's is JWT, or at+jwt where the client is configured so. Before release 25 access tokens had the nonce too
# (https://github.com/keycloak/keycloak/issues/26893). Service accounts have client_id and no session.
KEYCLOAK: Final = ClaimProfile(
    name="keycloak",
    sources=(
        _SCOPE,
        ClaimSource(("realm_access", "roles"), "realm", "roles"),
        ClaimSource(("resource_access", "*", "roles"), "client", "roles"),
        _GROUPS,
    ),
    types=frozenset({"jwt", "at+jwt"}),
    expected=MappingProxyType({"typ": frozenset({"Bearer"})}),
    forbidden=frozenset({"at_hash", "c_hash", "s_hash", "events"}),
    client=("azp", "client_id"),
    apps=((AppRule("client_id", same_as="azp"), AppRule("sid", absent=True)),),
    remedies=MappingProxyType(
        {
            "audience": 'add an audience mapper for "{value}" to a client scope of the client',
            "not_access_token": "send the access token, not the ID or refresh token; tokens of typ DPoP need their "
            "proof",
            "subject": 'give the client the client scope "basic", or turn off "Always use lightweight access token"',
            "ceiling": _RAISE,
        }
    ),
)
"""Access tokens of Keycloak."""

# https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-access-token.html:
# token_use is access (id in ID tokens), the header has no typ, and aud is present only if the client requested a
# resource. Otherwise client_id takes its place, so AUDIENCE lists the clients that may call, and other clients of the
# pool are refused. No ceiling: sign-in without the hosted pages gives no scope but Cognito's own, and a trigger can
# give scopes to users, so scopes do not limit clients. Where they do: CEILING = ["scope"] in PROFILE.
COGNITO: Final = ClaimProfile(
    name="cognito",
    sources=(_SCOPE, ClaimSource(("cognito:groups",), "group", "roles")),
    types=frozenset({"", "jwt", "at+jwt"}),
    required=("client_id",),
    expected=MappingProxyType({"token_use": frozenset({"access"})}),
    substitute="client_id",
    client=("client_id",),
    apps=((AppRule("sub", same_as="client_id"), AppRule("username", absent=True)),),
    no_grants=OPENID_SCOPES | {"aws.cognito.signin.user.admin"},
    remedies=MappingProxyType(
        {
            "audience": "add the id of the app client to AUDIENCE, or the resource where it asks for one",
            "not_access_token": _ID_TOKEN,
            "ceiling": _RAISE,
        }
    ),
)
"""Access tokens of Amazon Cognito."""

# What libraries write into the tokens of a project that is its own issuer, if the project adds such claims.
_ADDED: Final = (
    ClaimSource(("scope",), "scope", shape="either"),
    ClaimSource(("permissions",), "permission", shape="either"),
    ClaimSource(("roles",), "role", "roles", "either"),
    ClaimSource(("groups",), "group", "roles", "either"),
)

# https://django-rest-framework-simplejwt.readthedocs.io/en/latest/settings.html: TOKEN_TYPE_CLAIM, USER_ID_CLAIM and
# JTI_CLAIM; the type is `refresh` or `sliding` in other tokens. The header has typ JWT (PyJWT's default). There is no
# client and no grant: a project adds claims with a serializer (.../customizing_token_claims.html).
SIMPLEJWT: Final = ClaimProfile(
    name="simplejwt",
    sources=_ADDED,
    types=frozenset({"jwt"}),
    expected=MappingProxyType({"token_type": frozenset({"access"})}),
    subject="user_id",
    client=(),
    remedies=MappingProxyType(
        {
            "audience": _NO_AUDIENCE.format(setting='SIMPLE_JWT["AUDIENCE"]'),
            "not_access_token": _ACCESS_ONLY,
            "ceiling": _RAISE,
            "subject": "release 5.5 of simplejwt and later write user_id as text; SUBJECT in PROFILE is USER_ID_CLAIM",
        }
    ),
)
"""Access tokens of djangorestframework-simplejwt."""

# https://flask-jwt-extended.readthedocs.io/en/stable/options.html: JWT_IDENTITY_CLAIM is sub; `type` is `refresh` in
# the other tokens. `fresh` and `csrf` grant nothing: `csrf` is compared where the token comes in a cookie.
FLASK_JWT_EXTENDED: Final = ClaimProfile(
    name="flask-jwt-extended",
    sources=_ADDED,
    types=frozenset({"jwt"}),
    expected=MappingProxyType({"type": frozenset({"access"})}),
    client=(),
    remedies=MappingProxyType(
        {
            "audience": _NO_AUDIENCE.format(setting="JWT_ENCODE_AUDIENCE"),
            "not_access_token": _ACCESS_ONLY,
            "ceiling": _RAISE,
        }
    ),
)
"""Access tokens of Flask-JWT-Extended."""

SHIPPED_PROFILES: Final = MappingProxyType(
    {
        profile.name: profile
        for profile in (RFC9068, AUTH0, OKTA, ENTRA, KEYCLOAK, COGNITO, SIMPLEJWT, FLASK_JWT_EXTENDED)
    }
)


def shipped_profile(name: str) -> ClaimProfile:
    """Return the shipped profile of that name, in any case; otherwise `ConfigurationError` names the nearest."""
    profile = SHIPPED_PROFILES.get(name.lower())
    if profile is None:
        hint = did_you_mean(name.lower(), SHIPPED_PROFILES) or f"; there are {', '.join(SHIPPED_PROFILES)}"
        raise ConfigurationError(f"there is no profile {quote_text(name)}{hint}")
    return profile
