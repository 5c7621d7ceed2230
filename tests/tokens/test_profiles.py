"""The shipped profiles on tokens as the providers document them, and how an operator's own is read.

Headers and payloads have the claims and the shapes of the page cited beside them, with other values.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_lp import (
    AUTH0,
    COGNITO,
    ENTRA,
    KEYCLOAK,
    OKTA,
    RFC9068,
    ClaimProfile,
    ConfigurationError,
    InvalidToken,
    Permissions,
    Policy,
)
from jwt_lp.tokens.claims import AppRule, ClaimSource
from jwt_lp.tokens.custom_profile import read_custom_profile
from jwt_lp.tokens.profiles import SHIPPED_PROFILES, shipped_profile

TIMES = {"iat": 1790000000, "exp": 1790003600}

# https://www.rfc-editor.org/rfc/rfc9068#section-3 (figures 2 and 3)
RFC_USER = {
    "iss": "https://as.example/",
    "sub": "5ba552d67",
    "aud": "https://orders.example/",
    **TIMES,
    "jti": "dbe39bf3a3ba4238a513f51d6e1691c4",
    "client_id": "s6BhdRkqt3",
    "scope": "openid profile orders:read",
}
# https://auth0.com/docs/secure/tokens/access-tokens/access-token-profiles
AUTH0_USER = {
    "iss": "https://tenant.auth0.example/",
    "sub": "auth0|6553da60a54af58e29493993",
    "aud": ["https://orders.example/", "https://tenant.auth0.example/userinfo"],
    "azp": "K1AUPhZq8mRi0Q0p",
    **TIMES,
    "scope": "openid profile orders:read",
}
AUTH0_RFC_USER = {
    **{name: value for name, value in AUTH0_USER.items() if name != "azp"},
    "client_id": "K1AUPhZq8mRi0Q0p",
    "jti": "73WakrfVbNJBaAmhQtEeDv",
}
# the same page: sub is the client's id with a suffix; gty is left out of the RFC 9068 dialect
AUTH0_APP = {
    "iss": "https://tenant.auth0.example/",
    "sub": "awZfdIir8YFdGZWk@clients",
    "aud": "https://orders.example/",
    **TIMES,
    "scope": "orders:read",
    "gty": "client-credentials",
    "azp": "awZfdIir8YFdGZWk",
    "permissions": ["orders:read"],
}
# https://developer.okta.com/docs/reference/api/oidc/#access-token
OKTA_USER = {
    "ver": 1,
    "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE",
    "iss": "https://example.okta.example/oauth2/0oacqf8qaJw56czJi0g4",
    "aud": "https://orders.example",
    "sub": "00ujmkLgagxeRrAg20g3",
    **TIMES,
    "cid": "nmdP1fcyvdVO11AL7ECm",
    "uid": "00ujmkLgagxeRrAg20g3",
    "scp": ["openid", "email", "orders:read"],
}
# the same page: uid "isn't included in the access token if there is no user bound to it"
OKTA_APP = {
    **{name: value for name, value in OKTA_USER.items() if name != "uid"},
    "sub": "nmdP1fcyvdVO11AL7ECm",
    "scp": ["orders:read"],
}
# https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference
ENTRA_USER = {
    "aud": "6e74172b-be56-4843-9ff4-e66a39bb12e3",
    "iss": "https://login.microsoftonline.com/72f988bf/v2.0",
    **TIMES,
    "nbf": 1790000000,
    "aio": "AXQAi/8IAAAA",
    "azp": "6e74172b-0000-4843-9ff4-e66a39bb12e3",
    "azpacr": "0",
    "name": "Abe Lincoln",
    "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
    "preferred_username": "abeli@example.com",
    "rh": "I",
    "scp": "orders:read",
    "sub": "HKZpfaHyWadeOouYlitjrI",
    "tid": "72f988bf-86f1-41af-91ab-2d7cd011db47",
    "uti": "fqiBqXLPj0eQa82S",
    "ver": "2.0",
}
ENTRA_V1_USER = {
    **{name: value for name, value in ENTRA_USER.items() if name not in {"azp", "azpacr", "preferred_username"}},
    "aud": "api://6e74172b-be56-4843-9ff4-e66a39bb12e3",
    "iss": "https://sts.windows.net/72f988bf/",
    "acr": "1",
    "amr": ["pwd"],
    "appid": "75dbe77f-0000-4059-85b3-9e0d56722caf",
    "appidacr": "1",
    "unique_name": "abeli@example.com",
    "ver": "1.0",
}
# .../scenario-protected-web-api-verification-scope-app-roles: oid equals sub, and roles take the place of scp
ENTRA_APP = {
    "aud": "6e74172b-be56-4843-9ff4-e66a39bb12e3",
    "iss": "https://login.microsoftonline.com/72f988bf/v2.0",
    **TIMES,
    "azp": "6e74172b-0000-4843-9ff4-e66a39bb12e3",
    "azpacr": "1",
    "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
    "sub": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
    "roles": ["orders:read"],
    "tid": "72f988bf-86f1-41af-91ab-2d7cd011db47",
    "uti": "fqiBqXLPj0eQa82S",
    "ver": "2.0",
}
# https://www.keycloak.org/docs/latest/server_admin/#audience-support and #_oidc_token_role_mappings
KEYCLOAK_USER = {
    **TIMES,
    "jti": "0e6f8a3c-51d9-4a0e-8c3e-1f4cf1f6b3a2",
    "iss": "https://sso.example/realms/shop",
    "aud": ["orders-api", "account"],
    "sub": "f3f2c1d0-0f47-4b4d-8a5e-1a0e8a0f9b11",
    "typ": "Bearer",
    "azp": "frontend-client",
    "sid": "0f1a9a3b-7a56-4c0f-9a94-0a2a3a1f6f77",
    "acr": "1",
    "allowed-origins": ["https://shop.example"],
    "realm_access": {"roles": ["offline_access", "orders-clerk"]},
    "resource_access": {"orders-api": {"roles": ["clerk"]}, "account": {"roles": ["view-profile"]}},
    "scope": "openid email orders:read",
    "preferred_username": "john",
}
# https://www.keycloak.org/docs/latest/server_admin/#_service_accounts: no session, and the client once more
KEYCLOAK_APP = {
    **{name: value for name, value in KEYCLOAK_USER.items() if name != "sid"},
    "azp": "orders-job",
    "client_id": "orders-job",
    "clientHost": "192.0.2.7",
    "clientAddress": "192.0.2.7",
    "preferred_username": "service-account-orders-job",
    "scope": "email orders:read",
}
# https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-access-token.html
COGNITO_USER = {
    "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
    "device_key": "us-west-2_bbbbbbbb",
    "cognito:groups": ["clerks"],
    "iss": "https://cognito-idp.us-west-2.amazonaws.com/us-west-2_example",
    "version": 2,
    "client_id": "xxxxxxxxxxxxexample",
    "origin_jti": "aaaaaaaa-bbbb-cccc-dddd-ffffffffffff",
    "event_id": "bbbbbbbb-cccc-dddd-eeee-ffffffffffff",
    "token_use": "access",
    "scope": "phone openid profile orders/read",
    "auth_time": 1790000000,
    **TIMES,
    "jti": "cccccccc-dddd-eeee-ffff-aaaaaaaaaaaa",
    "username": "my-test-user",
}
# https://docs.aws.amazon.com/cognito/latest/developerguide/cognito-user-pools-define-resource-servers.html: no
# user, no group, and custom scopes only
COGNITO_APP = {
    "sub": "xxxxxxxxxxxxexample",
    "token_use": "access",
    "scope": "orders/read",
    "auth_time": 1790000000,
    "iss": "https://cognito-idp.us-west-2.amazonaws.com/us-west-2_example",
    **TIMES,
    "version": 2,
    "jti": "cccccccc-dddd-eeee-ffff-aaaaaaaaaaaa",
    "client_id": "xxxxxxxxxxxxexample",
}

ACCESS = [
    pytest.param(RFC9068, "at+jwt", RFC_USER, False, id="rfc9068-user"),
    pytest.param(RFC9068, "application/at+jwt", {**RFC_USER, "sub": "s6BhdRkqt3"}, True, id="rfc9068-app"),
    pytest.param(AUTH0, "JWT", AUTH0_USER, False, id="auth0-user"),
    pytest.param(AUTH0, "at+jwt", AUTH0_RFC_USER, False, id="auth0-rfc-user"),
    pytest.param(AUTH0, "JWT", AUTH0_APP, True, id="auth0-app"),
    pytest.param(AUTH0, "at+jwt", {**AUTH0_RFC_USER, "sub": "K1AUPhZq8mRi0Q0p@clients"}, True, id="auth0-rfc-app"),
    pytest.param(OKTA, None, OKTA_USER, False, id="okta-user"),
    pytest.param(OKTA, None, OKTA_APP, True, id="okta-app"),
    pytest.param(ENTRA, "JWT", ENTRA_USER, False, id="entra-user"),
    pytest.param(ENTRA, "JWT", ENTRA_V1_USER, False, id="entra-v1-user"),
    pytest.param(ENTRA, "JWT", {**ENTRA_USER, "idtyp": "user"}, False, id="entra-user-idtyp"),
    pytest.param(ENTRA, "JWT", ENTRA_APP, True, id="entra-app"),
    pytest.param(ENTRA, "JWT", {**ENTRA_APP, "sub": "else", "idtyp": "app"}, True, id="entra-app-idtyp"),
    pytest.param(KEYCLOAK, "JWT", KEYCLOAK_USER, False, id="keycloak-user"),
    pytest.param(KEYCLOAK, "at+jwt", KEYCLOAK_USER, False, id="keycloak-user-at+jwt"),
    # https://github.com/keycloak/keycloak/issues/26893
    pytest.param(KEYCLOAK, "JWT", {**KEYCLOAK_USER, "nonce": "n"}, False, id="keycloak-24-user"),
    pytest.param(KEYCLOAK, "JWT", KEYCLOAK_APP, True, id="keycloak-app"),
    pytest.param(COGNITO, None, COGNITO_USER, False, id="cognito-user"),
    pytest.param(COGNITO, None, COGNITO_APP, True, id="cognito-app"),
]


@pytest.mark.parametrize(("shipped", "typ", "claims", "app"), ACCESS)
def test_an_access_token_is_accepted(shipped, typ, claims, app) -> None:
    """What the provider documents as an access token is accepted, of a user or of an application."""
    assert (None, app) == (shipped.fault(typ, claims), shipped.is_app(claims))


@pytest.mark.parametrize(
    ("shipped", "typ", "claims"), [param.values[:3] for param in ACCESS], ids=[param.id for param in ACCESS]
)
def test_orders_can_be_read(shipped, typ, claims) -> None:
    """Each of these tokens holds the permission that it was issued with, under the ceiling too."""
    expected = "orders/read" if shipped is COGNITO else "orders:read"
    assert expected in permissions_of(shipped, claims)


def without(claims, *names):
    return {name: value for name, value in claims.items() if name not in names}


# https://auth0.com/docs/secure/tokens/id-tokens/id-token-structure
AUTH0_ID = {
    **without(AUTH0_USER, "azp", "scope"),
    "aud": "https://orders.example/",
    "name": "Jane Doe",
    "email": "janedoe@example.com",
    "picture": "https://example.com/janedoe/me.jpg",
}
# https://developer.okta.com/docs/reference/api/oidc/#id-token
OKTA_ID = {
    **without(OKTA_USER, "cid", "uid", "scp"),
    "jti": "ID.4eAWJOCMB3SX8XewDfVR",
    "amr": ["pwd"],
    "auth_time": 1790000000,
    "groups": ["Admins"],
    "preferred_username": "john.doe@example.com",
}
# https://learn.microsoft.com/entra/identity-platform/id-token-claims-reference
ENTRA_ID = {**without(ENTRA_USER, "azp", "azpacr", "scp"), "roles": ["orders:read"], "sid": "0017a2"}

NOT_ACCESS = [
    # OpenID Connect Core, section 2
    pytest.param(RFC9068, "JWT", RFC_USER, "typ", id="rfc9068-jwt"),
    pytest.param(RFC9068, None, RFC_USER, "typ", id="rfc9068-no-typ"),
    pytest.param(RFC9068, "logout+jwt", RFC_USER, "typ", id="rfc9068-logout"),
    pytest.param(RFC9068, "at+jwt", without(RFC_USER, "client_id"), "not_access_token", id="rfc9068-no-client"),
    pytest.param(RFC9068, "at+jwt", without(RFC_USER, "jti"), "not_access_token", id="rfc9068-no-jti"),
    pytest.param(RFC9068, "at+jwt", without(RFC_USER, "iat"), "not_access_token", id="rfc9068-no-iat"),
    pytest.param(RFC9068, "at+jwt", {**RFC_USER, "nonce": "n"}, "not_access_token", id="rfc9068-nonce"),
    pytest.param(AUTH0, "JWT", AUTH0_ID, "not_access_token", id="auth0-id"),
    pytest.param(AUTH0, "JWT", {**AUTH0_ID, "azp": "x", "nonce": "n"}, "not_access_token", id="auth0-id-nonce"),
    pytest.param(AUTH0, None, AUTH0_USER, "typ", id="auth0-no-typ"),
    pytest.param(OKTA, None, OKTA_ID, "not_access_token", id="okta-id"),
    # https://support.okta.com/help/s/article/Signature-Validation-Failed-on-Access-Token
    pytest.param(OKTA, "application/okta-internal-at+jwt", OKTA_USER, "typ", id="okta-org-server"),
    pytest.param(ENTRA, "JWT", ENTRA_ID, "not_access_token", id="entra-id"),
    pytest.param(ENTRA, "JWT", {**ENTRA_ID, "azp": "x"}, "not_access_token", id="entra-id-azp"),
    pytest.param(ENTRA, "JWT", {**without(ENTRA_ID, "uti"), "ver": "1.0"}, "not_access_token", id="entra-v1-id"),
    # org.keycloak.util.TokenUtil
    *(
        pytest.param(KEYCLOAK, "JWT", {**KEYCLOAK_USER, "typ": kind}, "not_access_token", id=f"keycloak-{kind}")
        for kind in ("ID", "Refresh", "Offline", "Logout", "DPoP", "Serialized-ID", "bearer", None, ["Bearer"])
    ),
    pytest.param(KEYCLOAK, "logout+jwt", {**KEYCLOAK_USER, "events": {}}, "typ", id="keycloak-back-channel"),
    # https://www.keycloak.org/docs/latest/server_admin/#_using_lightweight_access_token
    pytest.param(KEYCLOAK, "JWT", without(KEYCLOAK_USER, "sub"), "subject", id="keycloak-lightweight"),
    # .../amazon-cognito-user-pools-using-the-id-token.html: aud in place of client_id
    pytest.param(
        COGNITO,
        None,
        {**without(COGNITO_USER, "client_id", "scope"), "aud": "xxxxxxxxxxxxexample", "token_use": "id"},
        "not_access_token",
        id="cognito-id",
    ),
    pytest.param(COGNITO, None, {**COGNITO_USER, "token_use": "id"}, "not_access_token", id="cognito-use"),
    pytest.param(COGNITO, None, without(COGNITO_USER, "client_id"), "not_access_token", id="cognito-no-client"),
]


@pytest.mark.parametrize(("shipped", "typ", "claims", "cause"), NOT_ACCESS)
def test_any_other_token_is_refused(shipped, typ, claims, cause) -> None:
    """An ID, refresh or logout token of the same issuer is refused, even for our audience."""
    assert cause == shipped.fault(typ, claims)[0]


@pytest.mark.parametrize(
    ("shipped", "claims", "expected"),
    [
        pytest.param(RFC9068, RFC_USER, ("s6BhdRkqt3", "dbe39bf3a3ba4238a513f51d6e1691c4"), id="rfc9068"),
        pytest.param(AUTH0, AUTH0_USER, ("K1AUPhZq8mRi0Q0p", None), id="auth0"),
        pytest.param(AUTH0, AUTH0_RFC_USER, ("K1AUPhZq8mRi0Q0p", "73WakrfVbNJBaAmhQtEeDv"), id="auth0-rfc"),
        pytest.param(OKTA, OKTA_USER, ("nmdP1fcyvdVO11AL7ECm", OKTA_USER["jti"]), id="okta"),
        pytest.param(ENTRA, ENTRA_USER, (ENTRA_USER["azp"], "fqiBqXLPj0eQa82S"), id="entra"),
        pytest.param(ENTRA, ENTRA_V1_USER, (ENTRA_V1_USER["appid"], "fqiBqXLPj0eQa82S"), id="entra-v1"),
        pytest.param(KEYCLOAK, KEYCLOAK_USER, ("frontend-client", KEYCLOAK_USER["jti"]), id="keycloak"),
        pytest.param(COGNITO, COGNITO_USER, ("xxxxxxxxxxxxexample", COGNITO_USER["jti"]), id="cognito"),
    ],
)
def test_the_client_and_the_token_id(shipped, claims, expected) -> None:
    """Each provider has its own claims for the client and the token id."""
    client = next(claims[name] for name in shipped.client if name in claims)
    assert expected == (client, claims.get(shipped.token_id))


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        pytest.param(COGNITO_USER, ("client_id", "xxxxxxxxxxxxexample"), id="no aud"),
        # "Present only if your application requested a resource binding", says the page
        pytest.param({**COGNITO_USER, "aud": "https://orders.example"}, ("aud", "https://orders.example"), id="aud"),
    ],
)
def test_the_audience_of_a_cognito_token(claims, expected) -> None:
    """A token bound to a resource is for that resource only; any other is matched by its client."""
    assert expected == COGNITO.audience_claim(claims)


POLICY = Policy.from_mapping(
    {
        "version": 1,
        "roles": {
            "admin": {
                "grants": ["orders:**"],
                "from": [
                    "role:Admin",
                    "group:Admins",
                    "group:8b1c77a2",
                    "entitlement:orders-admin",
                    "realm:orders-admin",
                    "client:orders-api:admin",
                ],
            },
            "spa": {"grants": ["orders:*"], "from": ["ceiling:scope:access_as_user"]},
        },
    }
)


def permissions_of(shipped, claims):
    """Return the permissions that the token holds under `POLICY`, with the ceiling."""
    layers = []
    for conferred in filter(None, (shipped.read_grants(claims), shipped.read_ceiling(claims))):
        roles, _ = POLICY.resolve_external_roles(conferred.external_names, "acme", several=False)
        layers.append(Permissions.of([*(text for text, _ in conferred.grants), *POLICY.grants(roles)]))
    return layers[0] if len(layers) == 1 else layers[0] & layers[1]


# A client of little trust acts for an administrator. Each adds to its token what makes the user one.
ADMINS = [
    pytest.param(RFC9068, RFC_USER, {"roles": ["Admin"]}, id="rfc9068-roles"),
    # https://www.rfc-editor.org/rfc/rfc7643#section-8.2
    pytest.param(
        RFC9068, RFC_USER, {"groups": [{"value": "8b1c77a2", "$ref": "https://x/Groups/8b", "display": "A"}]}, id="scim"
    ),
    pytest.param(RFC9068, RFC_USER, {"entitlements": ["orders-admin"]}, id="rfc9068-entitlements"),
    # https://auth0.com/docs/get-started/apis/enable-role-based-access-control-for-apis
    pytest.param(AUTH0, AUTH0_USER, {"permissions": ["orders:read", "orders:delete"]}, id="auth0-permissions"),
    # https://developer.okta.com/docs/guides/customize-tokens-groups-claim/
    pytest.param(OKTA, OKTA_USER, {"groups": ["Everyone", "Admins"]}, id="okta-groups"),
    # https://learn.microsoft.com/entra/identity-platform/claims-validation#validate-the-actor
    pytest.param(ENTRA, ENTRA_USER, {"roles": ["Admin"]}, id="entra-roles"),
    pytest.param(ENTRA, ENTRA_V1_USER, {"groups": ["8b1c77a2"]}, id="entra-v1-groups"),
]


@pytest.mark.parametrize(("shipped", "claims", "admin"), ADMINS)
def test_a_client_of_little_trust_is_no_administrator(shipped, claims, admin) -> None:
    """A user's permissions count only as far as the client's scope covers them."""
    permissions = permissions_of(shipped, {**claims, **admin})
    assert [True, False] == [text in permissions for text in ("orders:read", "orders:delete")]


@pytest.mark.parametrize(("shipped", "claims", "admin"), ADMINS)
@pytest.mark.parametrize("scope", [None, "openid"])
def test_asking_for_no_scope_raises_nothing(shipped, claims, admin, scope) -> None:
    """A client that requests no scope of ours, or no scope at all, holds nothing for its user."""
    name = "scp" if "scp" in claims else "scope"
    scopes = {} if scope is None else {name: [scope] if isinstance(claims[name], list) else scope}
    permissions = permissions_of(shipped, {**without(claims, name), **admin, **scopes})
    assert [False, False] == [text in permissions for text in ("orders:read", "orders:delete")]


@pytest.mark.parametrize(("shipped", "claims", "admin"), ADMINS)
def test_a_scope_that_raises_the_ceiling_grants_nothing(shipped, claims, admin) -> None:
    """With `access_as_user` the policy lets the user's roles count, and gives other users nothing."""
    name = "scp" if "scp" in claims else "scope"
    scope = ["access_as_user"] if isinstance(claims[name], list) else "access_as_user"
    tokens = ({**claims, name: scope, **admin}, {**claims, name: scope})
    assert [True, False] == ["orders:delete" in permissions_of(shipped, token) for token in tokens]


@pytest.mark.parametrize(
    "admin",
    [
        pytest.param({"realm_access": {"roles": ["orders-admin"]}}, id="realm"),
        pytest.param({"resource_access": {"orders-api": {"roles": ["admin"]}}}, id="client"),
    ],
)
def test_keycloak_has_no_ceiling(admin) -> None:
    """Keycloak itself leaves out roles that are not in the client's scope, so each role in the token counts."""
    assert "orders:delete" in permissions_of(KEYCLOAK, {**KEYCLOAK_USER, **admin})


def test_a_role_of_another_keycloak_client_is_another_role() -> None:
    """Only the role of the client that the policy names confers our role."""
    other = {"resource_access": {"shop-api": {"roles": ["admin"]}, "orders-api:admin": {"roles": ["x"]}}}
    assert "orders:delete" not in permissions_of(KEYCLOAK, {**KEYCLOAK_USER, **other})


def test_cognitos_groups_count_beside_its_scope() -> None:
    """Sign-in without the hosted pages gives no scope of ours, so the scope does not limit the groups."""
    claims = {**COGNITO_USER, "cognito:groups": ["Admins"], "scope": "aws.cognito.signin.user.admin"}
    assert [True, ()] == ["orders:delete" in permissions_of(COGNITO, claims), COGNITO.read_grants(claims).grants]


def test_a_setting_makes_cognitos_scope_a_ceiling() -> None:
    """One line in the settings makes the scope a ceiling."""
    capped = read_custom_profile({"BASE": "cognito", "CEILING": "scope"})
    claims = {**COGNITO_USER, "cognito:groups": ["Admins"]}
    assert [True, False] == ["orders:delete" in permissions_of(profile, claims) for profile in (COGNITO, capped)]


def test_a_setting_lets_only_roles_grant() -> None:
    """Without `PERMISSIONS` a scope limits the user's roles and grants nothing."""
    intersecting = read_custom_profile({"BASE": "rfc9068", "PERMISSIONS": []})
    tokens = (RFC_USER, {**RFC_USER, "roles": ["Admin"]})
    assert [False, True] == ["orders:read" in permissions_of(intersecting, token) for token in tokens]


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        pytest.param({**ENTRA_APP, "scp": "orders:write"}, False, id="with a scope it is a user's"),
        pytest.param({**ENTRA_APP, "scp": None}, InvalidToken, id="a null scope is none"),
        pytest.param({**ENTRA_APP, "idtyp": "user"}, False, id="it says so"),
        pytest.param({**ENTRA_APP, "idtyp": "app", "scp": "x"}, False, id="it contradicts itself"),
        pytest.param({**ENTRA_APP, "sub": "pairwise"}, False, id="sub and oid differ"),
        pytest.param(without(ENTRA_APP, "oid"), False, id="no oid"),
        pytest.param(ENTRA_APP, True, id="an application's"),
    ],
)
def test_entras_roles_are_permissions_of_applications_only(claims, expected) -> None:
    """Unless all rules say that the token is an application's, the values of `roles` are names of roles."""
    if expected is InvalidToken:
        with pytest.raises(InvalidToken):
            ENTRA.read_grants(claims)
    else:
        assert expected is ("orders:read" in permissions_of(ENTRA, claims))


@pytest.mark.parametrize(
    ("shipped", "claims", "name", "value"),
    [
        pytest.param(RFC9068, RFC_USER, "scope", ["orders:read"], id="rfc9068-scope-list"),
        pytest.param(RFC9068, RFC_USER, "roles", None, id="rfc9068-roles-null"),
        pytest.param(RFC9068, RFC_USER, "groups", {"a": 1}, id="rfc9068-groups-dict"),
        pytest.param(AUTH0, AUTH0_USER, "permissions", "orders:read", id="auth0-permissions-text"),
        pytest.param(AUTH0, AUTH0_USER, "scope", None, id="auth0-scope-null"),
        pytest.param(OKTA, OKTA_USER, "scp", "orders:read", id="okta-scp-text"),
        pytest.param(OKTA, OKTA_USER, "groups", [1], id="okta-groups-numbers"),
        pytest.param(ENTRA, ENTRA_USER, "scp", 5, id="entra-scp-int"),
        pytest.param(ENTRA, ENTRA_USER, "scp", ["orders:read"], id="entra-scp-list"),
        pytest.param(ENTRA, ENTRA_APP, "roles", {"orders:read": True}, id="entra-roles-dict"),
        pytest.param(ENTRA, ENTRA_USER, "groups", "src1", id="entra-groups-text"),
        pytest.param(KEYCLOAK, KEYCLOAK_USER, "realm_access", ["orders-clerk"], id="keycloak-realm-list"),
        pytest.param(KEYCLOAK, KEYCLOAK_USER, "realm_access", {"roles": None}, id="keycloak-realm-null"),
        pytest.param(KEYCLOAK, KEYCLOAK_USER, "resource_access", {"orders-api": []}, id="keycloak-client-list"),
        pytest.param(COGNITO, COGNITO_USER, "cognito:groups", "clerks", id="cognito-groups-text"),
    ],
)
def test_a_claim_of_another_shape_refuses_the_token(shipped, claims, name, value) -> None:
    """A grant that is not in the provider's shape is refused, never guessed."""
    with pytest.raises(InvalidToken) as caught:
        shipped.read_grants({**claims, name: value})
    assert "claim_type" == caught.value.cause


def test_too_many_groups_at_entra_confer_none() -> None:
    """Past 200 groups Entra sends a link in place of the claim, which is not followed."""
    # .../access-token-claims-reference#groups-overage-claim
    overage = {"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://graph.example"}}}
    assert ENTRA.read_grants(ENTRA_USER) == ENTRA.read_grants({**ENTRA_USER, **overage})


@pytest.mark.parametrize("shipped", SHIPPED_PROFILES.values(), ids=SHIPPED_PROFILES)
def test_every_profile_says_what_to_do(shipped) -> None:
    """Each profile has a remedy for the most common causes."""
    assert {"audience", "not_access_token", "ceiling"} <= shipped.remedies.keys()


@pytest.mark.parametrize("shipped", SHIPPED_PROFILES.values(), ids=SHIPPED_PROFILES)
def test_every_profile_can_be_a_base(shipped) -> None:
    """A profile that changes only the name of its base is valid."""
    profile = read_custom_profile({"BASE": shipped.name.upper(), "NAME": shipped.name})
    order = {source: index for index, source in enumerate(shipped.sources)}
    assert set(order) == set(profile.sources)
    assert [shipped.ceiling, shipped.types, shipped.apps] == [profile.ceiling, profile.types, profile.apps]


@pytest.mark.parametrize("name", ["entra", "ENTRA", "Entra"])
def test_a_profile_by_name(name) -> None:
    """Case does not matter."""
    assert ENTRA is shipped_profile(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("Keyclok", "there is no profile 'Keyclok'; did you mean 'keycloak'?", id="near"),
        pytest.param(
            "",
            "there is no profile ''; there are rfc9068, auth0, okta, entra, keycloak, cognito, simplejwt, flask-jwt-extended",
            id="nothing near",
        ),
    ],
)
def test_an_unknown_profile_name(name, expected) -> None:
    """The error suggests the nearest name, or lists all names."""
    with pytest.raises(ConfigurationError) as caught:
        shipped_profile(name)
    assert (expected,) == caught.value.faults


def test_a_custom_profile_is_strict_by_default() -> None:
    """The defaults are those of RFC 9068: typ at+jwt only, its required claims, the scope as a ceiling."""
    profile = read_custom_profile({"PERMISSIONS": ["rights"]})
    assert "custom" == profile.name
    assert (ClaimSource(("rights",), "rights", shape="either"), *RFC9068.sources[1:]) == profile.sources
    same = ("ceiling", "types", "required", "forbidden", "apps", "audience", "subject", "client", "no_grants")
    assert [getattr(RFC9068, name) for name in same] == [getattr(profile, name) for name in same]


OWN = {
    "name": "acme",
    "permissions": ["scope", ["acme", "rights"]],
    "roles": [{"PATH": ["teams", "*", "names"], "Label": "team", "shape": "list", "when": "users"}],
    "ceiling": ["scope", {"path": "limits", "shape": "text", "when": "always"}],
    "types": ["application/Acme+JWT", ""],
    "required": "kind",
    "any_of": [["azp", "client"], "cid"],
    "expected": {"kind": "access", "use": ["api", "web"]},
    "forbidden": ["nonce"],
    "audience": "for",
    "substitute": "azp",
    "subject": "uid",
    "client": ["azp", "client"],
    "token_id": "tid",
    "no_grants": [],
    "apps": [
        {"claim": "uid", "absent": True},
        [{"claim": "a", "equals": "b"}, {"claim": "c", "same_as": "d", "suffix": "e"}],
    ],
    "remedies": {"audience": 'ask for "{value}"'},
}


@pytest.mark.parametrize("case", [str.lower, str.upper])
def test_every_key_of_a_custom_profile(case) -> None:
    """Each key sets its field, in either case; shapes and labels default to those of the base's claim."""
    assert ClaimProfile(
        name="acme",
        sources=(
            ClaimSource(("scope",), "scope", shape="text"),
            ClaimSource(("acme", "rights"), "rights", shape="either"),
            ClaimSource(("teams", "*", "names"), "team", "roles", when="users"),
        ),
        ceiling=(
            ClaimSource(("scope",), "scope", shape="text", when="users"),
            ClaimSource(("limits",), "limits", shape="text"),
        ),
        types=frozenset({"acme+jwt", ""}),
        required=("kind",),
        any_of=(("azp", "client"), ("cid",)),
        expected={"kind": frozenset({"access"}), "use": frozenset({"api", "web"})},
        forbidden=frozenset({"nonce"}),
        audience="for",
        substitute="azp",
        subject="uid",
        client=("azp", "client"),
        token_id="tid",
        apps=((AppRule("uid", absent=True),), (AppRule("a", equals="b"), AppRule("c", same_as="d", suffix="e"))),
        no_grants=frozenset(),
        remedies={**RFC9068.remedies, "audience": 'ask for "{value}"'},
    ) == read_custom_profile({case(key): value for key, value in OWN.items()})


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param({"CEILING": []}, (), id="none"),
        pytest.param({"CEILING": "scope"}, RFC9068.ceiling, id="as the base has it"),
        pytest.param(
            {"BASE": "keycloak", "CEILING": "scope"}, RFC9068.ceiling, id="for users, where the base has none"
        ),
        pytest.param(
            {"ROLES": ["roles"], "CEILING": ["roles"]},
            (ClaimSource(("roles",), "role", "roles", "scim", "users"),),
            id="of a claim that has roles",
        ),
        pytest.param(
            {"CEILING": {"path": ["a", "*"], "label": "x"}},
            (ClaimSource(("a", "*"), "x", shape="either", when="users"),),
            id="new",
        ),
    ],
)
def test_the_ceiling_of_a_custom_profile(data, expected) -> None:
    """A claim of the base keeps its kind, shape and label, and counts for users by default."""
    assert expected == read_custom_profile(data).ceiling


def faults(data):
    """Return the faults of a custom profile."""
    try:
        read_custom_profile(data)
    except ConfigurationError as error:
        return error.faults
    return ()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param([], "must be a table, not list", id="no mapping"),
        pytest.param({5: 1}, "a key must be a string, not int", id="a key that is no text"),
        pytest.param({"PERMISSION": []}, "PERMISSION: unknown key; did you mean 'PERMISSIONS'?", id="unknown key"),
        pytest.param({"NAME": "a", "name": "b"}, "NAME: is given twice, in upper and in lower case", id="twice"),
        pytest.param({"BASE": "entre"}, "BASE: there is no profile 'entre'; did you mean 'entra'?", id="base"),
        pytest.param({"BASE": []}, "BASE: must be a name", id="base no text"),
        pytest.param({"NAME": ""}, "NAME: must be a name", id="empty name"),
        pytest.param({"SUBJECT": ["sub"]}, "SUBJECT: must be a name", id="a list for a name"),
        pytest.param({"CLIENT": [""]}, "CLIENT: must be a name or a list of names", id="an empty name in a list"),
        pytest.param({"FORBIDDEN": 5}, "FORBIDDEN: must be a name or a list of names", id="a number"),
        pytest.param(
            {"TYPES": []},
            'TYPES: must be a list of types, such as ["at+jwt"]; "" stands for a header without one',
            id="no type",
        ),
        pytest.param(
            {"TYPES": None},
            'TYPES: must be a list of types, such as ["at+jwt"]; "" stands for a header without one',
            id="a null type",
        ),
        pytest.param({"ANY_OF": "azp"}, "ANY_OF: must be a list, not str", id="any_of no list"),
        pytest.param({"ANY_OF": ["a", 5]}, "ANY_OF[1]: must be a name or a list of names", id="any_of a number"),
        pytest.param({"ANY_OF": [[]]}, "ANY_OF[0]: must name one at least", id="any_of nothing"),
        pytest.param({"EXPECTED": {"typ": []}}, "EXPECTED.typ: must name one at least", id="expected nothing"),
        pytest.param({"EXPECTED": []}, "EXPECTED: must be a table, not list", id="expected no mapping"),
        pytest.param(
            {"EXPECTED": {"typ": 1}}, "EXPECTED.typ: must be a name or a list of names", id="expected a number"
        ),
        pytest.param({"REMEDIES": {"typ": 1}}, "REMEDIES.typ: must be a name", id="a remedy that is no text"),
        pytest.param({"APPS": {}}, "APPS: must be a list, not dict", id="apps no list"),
        pytest.param({"APPS": ["a"]}, "APPS[0]: must be a table, not str", id="a rule that is no mapping"),
        pytest.param({"APPS": [{}]}, "APPS[0]: needs a claim, and one of equals, absent, same_as", id="an empty rule"),
        pytest.param({"APPS": [[]]}, "APPS[0]: must be a table, not list", id="an empty group"),
        pytest.param(
            {"APPS": [[{"claim": "a", "absent": True, "equals": "b"}]]},
            "APPS[0][0]: needs a claim, and one of equals, absent, same_as",
            id="two signs in a rule",
        ),
        pytest.param({"PERMISSIONS": 5}, "PERMISSIONS: must be a list, not int", id="sources no list"),
        pytest.param({"ROLES": [5]}, "ROLES[0].path: must be a name or a list of names", id="a path that is no name"),
        pytest.param({"ROLES": [{"label": "x"}]}, "ROLES[0].path: must name one at least", id="no path"),
        pytest.param({"ROLES": [[]]}, "ROLES[0].path: must name one at least", id="an empty path"),
        pytest.param(
            {"ROLES": [{"paths": "x", "path": "x"}]},
            "ROLES[0].paths: unknown key; did you mean 'path'?",
            id="unknown key below",
        ),
        pytest.param(
            {"CEILING": [{"path": "scope", "shape": "txt"}]},
            "CEILING[0].shape: must be one of text, list, either, scim; did you mean 'text'?",
            id="shape",
        ),
        pytest.param(
            {"ROLES": [{"path": "x", "when": "user"}]},
            "ROLES[0].when: must be one of always, users, apps; did you mean 'users'?",
            id="when",
        ),
        pytest.param(
            {"ROLES": ["https://acme.example/roles"]},
            "ROLES[0].label: 'https://acme.example/roles' is not usable as a label in the policy: "
            'set one, such as "role"',
            id="no label",
        ),
        pytest.param(
            {"ROLES": [{"path": ["*"]}]},
            "ROLES[0].label: '' is not usable as a label in the policy: set one, such as \"role\"",
            id="nothing to make a label of",
        ),
        pytest.param(
            {"ROLES": [{"path": "x", "label": "ceiling"}]},
            "ROLES[0].label: 'ceiling' is not usable as a label in the policy: set one, such as \"role\"",
            id="the label of ceilings",
        ),
        pytest.param(
            {"ROLES": ["roles", ["acme", "role"]]},
            "two claims have the label 'role': give one of them another",
            id="one label for two claims",
        ),
        pytest.param(
            {"PERMISSIONS": [], "ROLES": []},
            "grants nothing: name a claim under PERMISSIONS or ROLES",
            id="no source",
        ),
    ],
)
def test_a_fault_of_a_custom_profile(data, expected) -> None:
    """Each fault is one sentence that says where it is and what to write."""
    assert (expected,) == faults(data)


CONFUSED = (
    "an ID token could pass: only typ at+jwt tells an access token by itself, so name a claim that ID tokens "
    "of this issuer lack or have another value in, under REQUIRED, ANY_OF or EXPECTED"
)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param({"TYPES": ["JWT"], "REQUIRED": []}, (CONFUSED,), id="nothing asked for"),
        pytest.param({"TYPES": ["", "at+jwt"], "REQUIRED": ["jti", "iat"]}, (CONFUSED,), id="what ID tokens have"),
        pytest.param({"TYPES": ["JWT"], "REQUIRED": [], "ANY_OF": [["cid", "sub"]]}, (CONFUSED,), id="or it has sub"),
        pytest.param({"TYPES": ["JWT"], "REQUIRED": [], "ANY_OF": [["cid", "azp"]]}, (), id="one of two"),
        pytest.param({"TYPES": ["JWT"], "REQUIRED": [], "EXPECTED": {"use": "access"}}, (), id="a value"),
        pytest.param({"TYPES": ["JWT"]}, (), id="the base asks for client_id"),
        pytest.param({"REQUIRED": []}, (), id="at+jwt only"),
    ],
)
def test_a_profile_that_could_accept_an_id_token_is_refused(data, expected) -> None:
    """If the typ does not exclude ID tokens, some required claim must."""
    assert expected == faults(data)


def test_every_fault_is_reported_at_once() -> None:
    """One error names every fault."""
    messages = faults({"BASE": "x", "TYPE": [], "NAME": 5, "ROLES": [5], "APPS": 5})
    assert {"BASE", "TYPE", "NAME", "APPS", "ROLES[0].path"} == {fault.partition(":")[0] for fault in messages}


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from([*(key.upper() for key in OWN), "BASE", "paths"])
PARTS = st.sampled_from(["path", "shape", "when", "label", "claim", "equals", "absent", "same_as", "suffix"])


@given(st.dictionaries(KEYS, ANY | st.lists(st.dictionaries(PARTS, ANY, max_size=3), max_size=2), max_size=5) | ANY)
def test_any_settings_give_a_profile_or_faults(data) -> None:
    """Any value is either a profile or a `ConfigurationError` with a sentence for each fault."""
    assert all(isinstance(fault, str) and fault for fault in faults(data))
