"""The linter: findings, options, and what it never repeats."""

from __future__ import annotations

import base64
import json
import sys
import time
import traceback
from datetime import UTC, date, datetime
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import naughty_strings
from jwt_lp import ConfigurationError, GrammarError, JwtLpError, Policy, Settings
from jwt_lp._support.json_nesting import MAX_DEPTH
from jwt_lp.issuing.issuer import Issuer
from jwt_lp.jose.signing import SigningKey, sign
from jwt_lp.lint.linter import RULES, SEVERITIES, Exemption, LintFinding, LintOptions, LintReport, lint
from jwt_lp.lint.unverified_token import MAX_INPUT, MAX_VALUES

NOW = 1_800_000_000
KEY = SigningKey.generate("ES256", kid="k1")
POLICY = Policy.from_mapping(
    {
        "version": 1,
        "permissions": {
            "orders:read": {},
            "orders:write": {},
            "orders:{order_id}:ship": {},
            "orders:purge": {"risk": "high"},
            "orders:{order_id}:erase": {"risk": "high"},
            "orders:fax": {"retired": True},
        },
        "roles": {
            "clerk": {"grants": ["orders:read", "orders:write"], "from": ["realm:orders-clerk"]},
            "keeper": {"grants": ["orders:*"]},
        },
        "audiences": {
            "orders-api": {"may_call": ["billing"], "claims": ["tenant"]},
            "gateway": {"may_call": ["billing"], "wildcards": True},
            "billing": {},
        },
        "clients": {"orders-api": {"grants": ["orders:read"]}},
    }
)
GOOD: MappingProxyType[str, Any] = MappingProxyType(
    {
        "iss": "https://issuer.test",
        "sub": "alice",
        "aud": "orders-api",
        "client_id": "web",
        "iat": NOW,
        "exp": NOW + 300,
        "jti": "5f0c6a1e",
        "scope": "orders:read",
    }
)
JWT = sign({"a": 1}, KEY)
LONG_TEXT = "what somebody once wrote into a form and nobody has read ever since"


def encoded(text: str | bytes) -> str:
    raw = text.encode() if isinstance(text, str) else text
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def raw(payload: str | bytes, header: str | bytes = '{"alg":"ES256","typ":"at+jwt"}', signature: str = "c2ln") -> str:
    return f"{encoded(header)}.{encoded(payload)}.{signature}"


def token(*, typ: Any = "at+jwt", **changes: Any) -> str:
    """A good token with these claims changed; None removes a claim."""
    return sign({name: value for name, value in {**GOOD, **changes}.items() if value is not None}, KEY, typ=typ)


def findings_of(jwt: object, policy: Policy = POLICY, options: LintOptions | None = None) -> list[tuple[str, str, str]]:
    report = lint(jwt, now=NOW, policy=policy, options=options)
    return [(finding.id, finding.severity, finding.claim) for finding in report.findings]


def act(depth: int) -> dict[str, Any]:
    actor: dict[str, Any] = {"sub": "c0"}
    for level in range(1, depth):
        actor = {"sub": f"c{level}", "act": actor}
    return actor


CASES = [
    # how it is made
    pytest.param(raw(json.dumps(dict(GOOD)), '{"alg":"none","typ":"at+jwt"}', ""), "alg-none error header.alg", id="none"),
    pytest.param(raw(json.dumps(dict(GOOD)), '{"alg":"NoNe","typ":"at+jwt"}'), "alg-none error header.alg", id="NoNe"),
    pytest.param(raw(json.dumps(dict(GOOD)), signature=""), "alg-none error header.alg", id="no signature"),
    pytest.param(raw(json.dumps(dict(GOOD)), '{"typ":"at+jwt"}'), "alg-none error header.alg", id="no alg"),
    pytest.param(token().rpartition(".")[0], "alg-none error header.alg", id="two parts"),
    pytest.param(token(typ=None), "typ warning header.typ", id="no typ"),
    pytest.param(token(typ="JWT"), "typ warning header.typ", id="typ JWT"),
    pytest.param(token(typ="application/AT+JWT"), "", id="typ, long"),
    pytest.param(raw(json.dumps(dict(GOOD))[:-1] + ',"scope":"a"}', '{"alg":"ES256","typ":"at+jwt"}'),
                 "claim-twice error scope;permission-unknown warning scope", id="twice"),
    pytest.param(token(nonce="n"), "not-access-token error nonce", id="nonce"),
    pytest.param(token(at_hash="n"), "not-access-token error at_hash", id="at_hash"),
    pytest.param(token(c_hash="n"), "not-access-token error c_hash", id="c_hash"),
    pytest.param(token(s_hash="n"), "not-access-token error s_hash", id="s_hash"),
    pytest.param(token(typ="at+jwt", token_use="id"), "not-access-token error token_use", id="Cognito's ID token"),
    pytest.param(token(token_use="access"), "", id="Cognito's access token"),
    pytest.param(raw(json.dumps({**GOOD, "typ": "Refresh"})), "not-access-token error typ", id="Keycloak's refresh token"),
    pytest.param(raw(json.dumps({**GOOD, "typ": "Bearer"})), "", id="Keycloak's access token"),
    # who, for whom
    pytest.param(token(iss=None), "iss-missing error iss", id="no iss"),
    pytest.param(token(iss=7), "iss-missing error iss", id="iss, a number"),
    pytest.param(token(sub=None), "sub-missing error sub", id="no sub"),
    pytest.param(token(sub=""), "sub-missing error sub", id="sub empty"),
    pytest.param(token(sub="alice@example.com"), "sub-personal warning sub", id="sub, an address"),
    pytest.param(token(sub="Alice Smith"), "sub-personal warning sub", id="sub, a name"),
    pytest.param(token(sub="Zoë d'Arc-Núñez"), "sub-personal warning sub", id="sub, another name"),
    pytest.param(token(sub="+44 20 7946 0958"), "sub-personal warning sub", id="sub, a phone"),
    pytest.param(token(sub="6fa459ea-ee8a-3ca4-894e-db77e160355e"), "", id="sub, a UUID"),
    pytest.param(token(sub="auth0|5f7c8ec7c33c6c004bbafe82"), "", id="sub of Auth0"),
    pytest.param(token(sub="k3Xq9@clients"), "", id="sub of an application at Auth0"),
    pytest.param(token(sub="partners:42"), "", id="sub, of another issuer"),
    pytest.param(token(aud=None), "aud-missing error aud", id="no aud"),
    pytest.param(token(aud=[]), "aud-missing error aud", id="aud, an empty list"),
    pytest.param(token(aud=["a", "b"]), "aud-several warning aud", id="aud, two"),
    pytest.param(token(aud=["a", "a"]), "", id="aud, twice the same"),
    pytest.param(token(aud=["a"]), "", id="aud, a list of one"),
    pytest.param(token(aud="*"), "aud-wildcard error aud", id="aud, a wildcard"),
    pytest.param(token(aud=["a", "https://*.test"]), "aud-wildcard error aud", id="aud, a wildcard among two"),
    pytest.param(token(client_id=None), "client-missing warning client_id", id="no client"),
    pytest.param(token(client_id=None, azp="web"), "", id="azp"),
    pytest.param(token(client_id=None, cid="web"), "", id="cid"),
    pytest.param(token(client_id=None, appid="web"), "", id="appid"),
    pytest.param(token(jti=None), "jti-missing warning jti", id="no jti"),
    pytest.param(token(jti=None, uti="x"), "", id="uti"),
    # dates
    pytest.param(token(exp=None), "exp-missing error exp", id="no exp"),
    pytest.param(token(iat=None), "iat-missing warning iat", id="no iat"),
    pytest.param(token(iat=None, exp=NOW + 901), "iat-missing warning iat;lifetime-long warning exp", id="no iat, long"),
    pytest.param(token(iat=NOW - 9000, exp=NOW - 8700), "", id="expired"),
    pytest.param(token(exp=NOW + 900), "", id="15 minutes"),
    pytest.param(token(exp=NOW + 901), "lifetime-long warning exp", id="longer than 15 minutes"),
    pytest.param(token(exp=NOW + 3600), "lifetime-long warning exp", id="an hour"),
    pytest.param(token(exp=NOW + 3601), "lifetime-long error exp", id="longer than an hour"),
    pytest.param(token(exp=str(NOW)), "date-malformed error exp", id="exp, a text"),
    pytest.param(token(iat=NOW * 1000), "date-malformed error iat", id="iat in milliseconds"),
    pytest.param(token(nbf=True), "date-malformed error nbf", id="nbf, a boolean"),
    pytest.param(token(nbf=NOW - 0.5), "", id="nbf, a fraction"),
    pytest.param(raw(json.dumps({**GOOD, "exp": 1e999})), "date-malformed error exp", id="exp, infinite"),
    pytest.param(raw(json.dumps(dict(GOOD)).replace(str(NOW + 300), "9" * 5000)),
                 "date-malformed error exp;size error ", id="exp of 5000 digits"),
    # how large
    pytest.param(token(lineage={"iat": NOW, "ids": ["a"]}, act=act(4)), "", id="four actors"),
    pytest.param(token(act=act(5)), "act-depth warning act", id="five actors"),
    pytest.param(token(tenant="x" * 1000), "size warning ", id="over 1 KB"),
    pytest.param(token(tenant="x" * 4000), "size error ", id="over 4 KB"),
    # what it carries
    pytest.param(token(password="hunter2"), "secret-claim error password", id="password"),
    pytest.param(token(dbPassword="hunter2"), "secret-claim error dbPassword", id="dbPassword"),
    pytest.param(token(refresh_token="opaque"), "secret-claim error refresh_token", id="refresh_token"),
    pytest.param(token(api_key="k"), "secret-claim error api_key", id="api_key"),
    pytest.param(token(APIKey=["k"]), "secret-claim error APIKey", id="APIKey"),
    pytest.param(token(hash="5f4dcc3b"), "secret-claim error hash", id="hash"),
    pytest.param(token(**{"https://shop.test/claims/client-secret": "s"}),
                 "secret-claim error https://shop.test/claims/client-secret", id="secret at an address"),
    pytest.param(token(cnf={"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}), "", id="cnf"),
    pytest.param(token(cnf={"jwk": {"kty": "EC", "key": "k"}}), "", id="names in cnf are a key's"),
    pytest.param(token(groups=["password"]), "", id="a group called password"),
    pytest.param(token(role_scope={"token": "orders:read"}), "", id="a role called token"),
    pytest.param(token(tenant=JWT), "secret-value error tenant", id="a JWT"),
    pytest.param(token(tenant=f"Bearer {JWT}"), "secret-value error tenant", id="a JWT with Bearer"),
    pytest.param(token(tenant="eyJx and 1.2.3"), "", id="hardly a JWT"),
    pytest.param(token(tenant="-----BEGIN EC PRIVATE KEY-----\nMIG"), "secret-value error tenant", id="a private key"),
    pytest.param(token(tenant="-----BEGIN PUBLIC KEY-----\nMIG"), "", id="a public key"),
    pytest.param(token(tenant="$2b$12$abcdefghijklmnopqrstuv"), "secret-value error tenant", id="bcrypt"),
    pytest.param(token(tenant="$argon2id$v=19$m=65536$c2FsdA"), "secret-value error tenant", id="argon2"),
    pytest.param(token(tenant="pbkdf2_sha256$600000$c2FsdA$aGFzaA"), "secret-value error tenant", id="Django's hash"),
    pytest.param(token(tenant="{SSHA}0123456789abcdef"), "secret-value error tenant", id="LDAP's hash"),
    pytest.param(token(tenant="AKIAIOSFODNN7EXAMPLE"), "secret-value error tenant", id="a key of AWS"),
    pytest.param(token(tenant="d41d8cd98f00b204e9800998ecf8427e"), "", id="an id in hexadecimal"),
    pytest.param(token(act={"sub": f"{JWT}"}), "secret-value error act.sub", id="a JWT at depth"),
    *(
        pytest.param(token(**{name: "x"}), f"pii-claim warning {name}", id=name)
        for name in (
            *("email", "name", "given_name", "family_name", "phone_number", "birthdate", "picture", "gender"),
            *("user_email", "givenName", "ssn", "national_id", "passport_number", "iban", "date-of-birth", "upn"),
        )
    ),
    pytest.param(token(address={"country": "FR"}), "pii-claim warning address", id="address"),
    pytest.param(token(tenant={"contact": {"email": "x"}}), "pii-claim warning tenant.contact.email", id="email at depth"),
    pytest.param(token(tenant=[[{"phone": 1}, {"phone": 2}, {"a": 1}]]), "pii-claim warning tenant.phone", id="in a list"),
    pytest.param(token(email_verified=True, tenant={"email": None, "name": "", "phone": 0, "password": False}),
                 "dead-claim warning email_verified;nested-claim note tenant", id="nothing is said of anybody"),
    pytest.param(token(tenant="mail alice@example.com!"), "pii-value warning tenant", id="an address"),
    pytest.param(token(tenant="alice@example"), "", id="no address"),
    pytest.param(token(tenant=["a", "alice@example.com"]), "pii-value warning tenant", id="an address in a list"),
    pytest.param(token(tenant="4111 1111 1111 1112"), "", id="a wrong check digit"),
    pytest.param(token(tenant=NOW * 1000), "", id="milliseconds are no card"),
    pytest.param(token(tenant="0000000000000000"), "", id="zeros are no card"),
    pytest.param(token(tenant="GB83WEST12345698765432"), "", id="a wrong checksum"),
    pytest.param(token(tenant="EE96FCC23425BE7C9F4A98DD"), "", id="an id in capitals is no IBAN"),
    pytest.param(token(tenant="+49 (30) 901820"), "pii-value warning tenant", id="a phone"),
    pytest.param(token(tenant="+01:00"), "", id="a time zone is no phone"),
    pytest.param(token(sub_id={"format": "iss_sub", "iss": "https://idp.test", "sub": "a@example.com"}),
                 "pii-value warning sub_id.sub", id="the subject of another issuer"),
    pytest.param(token(scope="orders:alice@example.com:ship"), "pii-value warning scope", id="an address in a permission"),
    *(
        pytest.param(token(**{name: value}), f"superuser error {name}", id=f"{name} {value}")
        for name, value in [("admin", True), ("is_superuser", 1), ("root", "true"), ("isAdmin", True)]
    ),
    pytest.param(token(tenant={"admin": True}), "superuser error tenant.admin", id="admin at depth"),
    pytest.param(token(admin=False), "dead-claim warning admin", id="no admin"),
    pytest.param(token(colour="red"), "dead-claim warning colour", id="nobody reads it"),
    pytest.param(token(aud="billing", tenant="acme"), "dead-claim warning tenant", id="nobody there reads it"),
    pytest.param(token(tenant="acme"), "", id="the audience reads it"),
    pytest.param(token(tenant={"id": 7}), "nested-claim note tenant", id="an object"),
    pytest.param(token(tenant=[{"id": 7}]), "nested-claim note tenant", id="a list of objects"),
    pytest.param(token(tenant=["a", {}]), "", id="nothing in the object"),
    pytest.param(token(authorization_details=[{"type": "pay"}], cnf={"jkt": "x"}), "", id="objects that have a standard"),
    pytest.param(token(tenant=LONG_TEXT), "free-text note tenant", id="prose"),
    pytest.param(token(tenant=LONG_TEXT[:63]), "", id="short prose"),
    pytest.param(token(tenant="x" * 64), "", id="long, and no prose"),
    # what it holds
    pytest.param(token(scope="orders:*"), "permission-wildcard warning scope;cnf-missing note scope", id="a wildcard"),
    pytest.param(token(scope="orders:*", cnf={"jkt": "x"}), "permission-wildcard warning scope", id="a bound wildcard"),
    pytest.param(token(scope=None, roles=["*"]), "permission-wildcard error roles", id="all roles"),
    pytest.param(token(scope="**", cnf={"jkt": "x"}), "permission-wildcard error scope", id="all permissions"),
    pytest.param(token(scope=None, role_scope={"clerk": "orders:*"}, cnf={"jkt": "x"}),
                 "permission-wildcard warning role_scope", id="a wildcard through a role"),
    pytest.param(token(realm_access={"roles": ["orders.*"]}), "permission-wildcard warning realm_access.roles", id="realm"),
    pytest.param(token(resource_access={"shop": {"roles": ["a/*"]}, "x": 1}),
                 "permission-wildcard warning resource_access.roles", id="client roles"),
    pytest.param(token(**{"https://shop.test/roles": ["a:*"]}),
                 "dead-claim warning https://shop.test/roles;permission-wildcard warning https://shop.test/roles",
                 id="roles at an address"),
    pytest.param(token(groups=["5*s"]), "", id="a star in a name"),
    pytest.param(token(scope="orders:sell"), "permission-unknown warning scope", id="unknown"),
    pytest.param(token(scp=["orders:read", "x"]), "permission-unknown warning scp", id="unknown, of Okta"),
    pytest.param(token(scope="openid email orders:7:ship"), "", id="a template's instance, and OpenID's scopes"),
    pytest.param(token(scope="orders:fax"), "permission-retired warning scope", id="retired"),
    pytest.param(token(scope="orders:purge"), "cnf-missing note scope", id="high risk"),
    pytest.param(token(scope="orders:7:erase"), "cnf-missing note scope", id="high risk, a template's instance"),
    pytest.param(token(scope=None, roles=["keeper"]), "cnf-missing note roles", id="high risk through a role"),
    pytest.param(token(scope="orders:purge", cnf={"jkt": "x"}), "", id="high risk, bound"),
    pytest.param(token(roles=["clerk"]), "role-and-permissions warning scope", id="role and permission"),
    pytest.param(token(realm_access={"roles": ["orders-clerk"]}), "role-and-permissions warning scope", id="outside role"),
    pytest.param(token(scope="orders:7:ship", roles=["clerk"]), "", id="role and another permission"),
    pytest.param(token(scope=None, cperm=POLICY.encode(["orders:read"])), "", id="compact"),
    pytest.param(token(scope=None, cperm="Q" + POLICY.encode(["orders:read"])[1:]),
                 "compact-unreadable error cperm", id="compact, no such encoding"),
    pytest.param(token(scope=None, cperm=[1]), "compact-unreadable error cperm", id="compact, no text"),
    pytest.param(token(scope=None, cperm=Policy.from_mapping({"version": 1, "permissions": {"a:b": {}}}).encode(["a:b"])),
                 "compact-unreadable error cperm", id="compact, another catalogue"),
    pytest.param(token(scope=7, scp=[7], role_scope="x", realm_access=7, resource_access=7), "", id="odd shapes"),
]  # fmt: skip


PAYMENT_NUMBERS = [
    pytest.param("4111 1111 1111 1111", id="a card"),
    pytest.param(4111111111111111, id="a card as a number"),
    pytest.param("378282246310005", id="another card"),
    pytest.param("٤١١١١١١١١١١١١١١١", id="a card in Arabic digits"),
    pytest.param("pay DE89 3704 0044 0532 0130 00", id="an IBAN"),
    pytest.param("GB82WEST12345698765432", id="another IBAN"),
    pytest.param("from NL91 ABNA 0417 1643 00 TO US", id="an IBAN in a text"),
    pytest.param("DE89 3704 0044 0532 0130 00EUR", id="an IBAN with a currency"),
]


@pytest.mark.parametrize("value", PAYMENT_NUMBERS)
def test_payment_numbers_are_found(value: object) -> None:
    """Card numbers and IBANs with valid check digits are personal data."""
    pytest.importorskip("stdnum", reason="check digits are checked by python-stdnum (extra `cli`)")
    assert [("pii-value", "warning", "tenant")] == findings_of(token(tenant=value))


@pytest.mark.parametrize("value", PAYMENT_NUMBERS)
def test_payment_numbers_without_python_stdnum(value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without python-stdnum a value is not reported, but a claim's name that may be such a number is hidden."""
    monkeypatch.setitem(sys.modules, "stdnum", None)
    name = str(value)
    assert [] == findings_of(token(tenant=value))
    assert [("dead-claim", "warning", f"({len(name)} characters)")] == findings_of(token(**{name: 1}))


@pytest.mark.parametrize(("jwt", "expected"), CASES)
def test_the_findings_of_each_token(jwt: str, expected: str) -> None:
    """Each token has exactly the expected findings."""
    assert sorted(filter(None, expected.split(";"))) == sorted(" ".join(finding) for finding in findings_of(jwt))


def test_every_rule_has_a_case() -> None:
    """Each rule has a token that violates it."""
    violated = {finding.split(" ")[0] for case in CASES for finding in str(case.values[1]).split(";")} - {""}
    assert RULES.keys() - violated == {"permission-unasked", "permission-unused", "exemption-expired"}


def test_a_good_token_has_no_finding() -> None:
    """A good token has no finding, with a policy and without one."""
    assert [] == findings_of(token())
    assert [] == findings_of(token(), Policy())
    assert None is lint(token(), now=NOW).worst


def issued() -> list[tuple[str, str]]:
    """Tokens that our issuer makes, by name."""
    issuer = Issuer(
        "https://issuer.test", KEY, policy=POLICY, audience="orders-api", client="web", compact=True, clock=lambda: NOW
    )
    first = issuer.issue("alice", roles=["clerk"], permissions=["orders:7:ship"])
    child = issuer.narrow(first, ["orders:read"], audience="billing", actor="orders-api")
    return [
        ("permissions", issuer.issue("alice", permissions=["orders:read", "orders:7:ship"])),
        ("a UUID", issuer.issue("6fa459ea-ee8a-3ca4-894e-db77e160355e", permissions=["orders:read"])),
        ("a role", first),
        ("compact", issuer.issue("alice", permissions=["orders:read", "orders:write"])),
        ("narrowed", child),
        ("narrowed again", issuer.narrow(child, ["orders:read"])),
        ("a claim on the list", issuer.issue("alice", permissions=["orders:read"], claims={"tenant": "acme"})),
    ]


@pytest.mark.parametrize("jwt", [pytest.param(jwt, id=name) for name, jwt in issued()])
def test_our_own_tokens_have_no_finding(jwt: str) -> None:
    """The tokens of our issuer have no finding."""
    assert [] == findings_of(jwt)


def test_tokens_of_an_issuer_without_a_policy_have_no_finding() -> None:
    """Without a catalogue, no permission is unknown."""
    issuer = Issuer("https://issuer.test", KEY, audience="orders-api", client="web", clock=lambda: NOW)
    assert [] == findings_of(issuer.issue("alice", permissions=["any:thing"]), Policy())


def test_permissions_that_no_route_requires() -> None:
    """A permission that no route requires is reported; a template requires all its instances."""
    options = LintOptions(required=["orders:{id}:ship", "orders:write"])
    assert [("permission-unasked", "warning", "scope")] == findings_of(token(aud="billing"), options=options)
    assert [] == findings_of(token(scope="orders:7:ship orders:write"), options=options)
    assert [] == findings_of(token(scope=None, cperm=POLICY.encode(["orders:write"])), options=options)


def test_permissions_that_a_called_service_may_require() -> None:
    """If the audience may call other services, the finding is a note, because their routes are unknown."""
    options = LintOptions(required=["orders:write"])
    assert [("permission-unasked", "note", "scope")] == findings_of(token(aud="gateway"), options=options)
    several = token(aud=["gateway", "orders-api"])
    assert ("permission-unasked", "warning", "scope") in findings_of(several, options=options)


def test_wildcards_that_the_policy_allows_are_no_finding() -> None:
    """Wildcards that the policy allows the only audience are no finding, unless they grant everything or are roles."""
    bound = {"cnf": {"jkt": "x"}}
    assert [] == findings_of(token(aud="gateway", scope="orders:*", role_scope={"x": "orders:*"}, **bound))
    assert [("permission-wildcard", "error", "scope")] == findings_of(token(aud=["gateway"], scope="**", **bound))
    assert [("permission-wildcard", "warning", "roles")] == findings_of(token(aud="gateway", roles=["a:*"], **bound))
    several = findings_of(token(aud=["gateway", "x"], scope="orders:*", **bound))
    assert ("permission-wildcard", "warning", "scope") in several
    assert [("permission-wildcard", "warning", "scope")] == findings_of(token(scope="orders:*", **bound))


def test_permissions_that_the_subject_never_used() -> None:
    """Unused permissions are reported; a wildcard is used if any permission of it was."""
    options = LintOptions(used=["orders:write"])
    assert [("permission-unused", "warning", "scope")] == findings_of(token(), options=options)
    assert [] == findings_of(token(scope="orders:write"), options=options)
    bound = token(scope="orders:*", cnf={"jkt": "x"})
    assert [("permission-wildcard", "warning", "scope")] == findings_of(bound, options=options)


def test_each_permission_has_one_finding() -> None:
    """An unknown permission is not also unrequired, and an unrequired one is not also unused."""
    (finding,) = lint(token(scope="x"), now=NOW, policy=POLICY, options=LintOptions(required=[], used=[])).findings
    assert "permission-unknown" == finding.id
    (finding,) = lint(token(), now=NOW, policy=POLICY, options=LintOptions(required=[], used=[])).findings
    assert "permission-unasked" == finding.id


def test_permissions_are_named_by_position() -> None:
    """A message gives the number of permissions and their positions, and no permission."""
    scope = " ".join(["orders:read", *(f"x{number}" for number in range(10))])
    (finding,) = lint(token(scope=scope), now=NOW, policy=POLICY).findings
    assert "10 of 11 permissions in scope: not in the catalogue (number 2, 3, 4, 5, 6, 7, 8, 9 and 2 more)" == (
        finding.message
    )


def test_claims_in_the_options_are_read() -> None:
    """A claim that the options name is not dead."""
    assert [] == findings_of(token(colour="red"), options=LintOptions(read=frozenset({"colour"})))


def test_without_a_catalogue_compact_permissions_are_not_checked() -> None:
    """Without a catalogue, only malformed compact permissions are reported."""
    compact = POLICY.encode(["orders:read"])
    assert [] == findings_of(token(scope=None, cperm=compact), Policy())
    assert [("compact-unreadable", "error", "cperm")] == findings_of(token(cperm="?"), Policy())


def test_a_finding_has_a_remedy_and_characters() -> None:
    """A finding has its claim, message, characters and remedy."""
    (finding,) = lint(token(colour="red"), now=NOW).findings
    expected = LintFinding(
        "dead-claim", "warning", "colour", "no verifier reads colour", RULES["dead-claim"].remedy, 20
    )
    assert expected == finding


@given(name=st.text(max_size=12), value=st.recursive(st.none() | st.text() | st.integers() | st.floats(allow_nan=False),
       lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=5),
       escaped=st.booleans())  # fmt: skip
@example(name="\x7f", value=None, escaped=False)
def test_the_saved_characters_are_exact(name: str, value: object, escaped: bool) -> None:
    """Without the claim, the token is shorter by exactly this number of characters."""

    def size(claims: dict[str, object]) -> int:
        text = json.dumps(claims, separators=(",", ":"), ensure_ascii=escaped)
        return len(raw(text.encode("utf-8", "surrogatepass")))

    claims = {claim: content for claim, content in GOOD.items() if claim != name}
    text = json.dumps({**claims, name: value}, separators=(",", ":"), ensure_ascii=escaped)
    jwt = raw(text.encode("utf-8", "surrogatepass"))
    findings = [finding for finding in lint(jwt, now=NOW).findings if finding.id == "dead-claim"]
    assert [size({**claims, name: value}) - size(claims)] * len(findings) == [
        finding.characters for finding in findings
    ]


def test_the_total_counts_each_claim_once() -> None:
    """The characters of a claim with two findings count once."""
    one = LintFinding("a", "error", "scope", "", "", 10)
    report = LintReport((one, one._replace(characters=4), one._replace(claim="email", characters=1)), 100)
    assert 11 == report.saved


def test_the_worst_finding_comes_first() -> None:
    """Errors come before warnings and notes, and `reaches` compares with a severity."""
    report = lint(token(scope="orders:purge", colour="red", exp=None), now=NOW, policy=POLICY)
    assert ["error", "warning", "note"] == [finding.severity for finding in report.findings]
    assert [True, True, True] == [report.reaches(severity) for severity in SEVERITIES]
    note = lint(token(scope="orders:purge"), now=NOW, policy=POLICY)
    assert [False, False, True] == [note.reaches(severity) for severity in SEVERITIES]
    assert not lint(token(), now=NOW).reaches("note")


# -- options


def options(**values: Any) -> LintOptions:
    return LintOptions.from_mapping(values)


def test_severities_in_the_options() -> None:
    """The options set the severity of a rule or switch it off, and the report lists rules that are off."""
    jwt = token(jti=None, tenant="x" * 4000)
    read = options(severity={"jti-missing": "error", "size": "off"})
    report = lint(jwt, now=NOW, policy=POLICY, options=read)
    assert [("jti-missing", "error")] == [(finding.id, finding.severity) for finding in report.findings]
    assert ("size",) == report.off == read.off


def test_an_exemption_holds_until_the_end_of_its_day() -> None:
    """An exempted finding is listed separately; after the last day it is a finding again, and so is the exemption."""
    day = datetime.fromtimestamp(NOW, UTC).date()
    read = LintOptions(exempt=(Exemption("pii-claim", day, "support desk", "email"),))
    jwt = token(email="x", name="y", colour="z")
    report = lint(jwt, now=NOW, policy=POLICY, options=read)
    assert ["pii-claim name", "dead-claim colour"] == [f"{finding.id} {finding.claim}" for finding in report.findings]
    assert [("pii-claim", "email", "support desk")] == [
        (item.finding.id, item.finding.claim, item.exemption.reason) for item in report.exempt
    ]
    late = lint(jwt, now=NOW + 86400, policy=POLICY, options=read)
    assert () == late.exempt
    assert ["pii-claim email", "pii-claim name", "dead-claim colour", "exemption-expired email"] == [
        f"{finding.id} {finding.claim}" for finding in late.findings
    ]
    assert () == read.without_expired(NOW + 86400).exempt


def test_an_exemption_covers_the_members_of_its_claim() -> None:
    """An exemption for a claim covers its members, but no claim with a similar name; without a claim it covers all."""
    jwt = token(tenant={"email": "x"}, tenant_email="x")
    until = date(2999, 1, 1)
    one = LintOptions(exempt=(Exemption("pii-claim", until, "r", "tenant"),))
    assert [("pii-claim", "warning", "tenant_email")] == findings_of(jwt, options=one)
    assert [] == findings_of(jwt, options=LintOptions(exempt=(Exemption("pii-claim", until, "r"),)))
    assert 2 == len(findings_of(jwt, options=LintOptions(exempt=(Exemption("pii-value", until, "r"),))))


def test_options_are_read() -> None:
    """Keys may be in upper case, and dates may be dates or strings."""
    exempt = [
        {"id": "pii-claim", "claim": "email", "until": "2027-03-31", "reason": "support desk"},
        {"id": "size", "until": date(2027, 1, 1), "reason": "they will be compact"},
    ]
    expected = LintOptions(
        severity={"size": "off"},
        read=frozenset({"tenant"}),
        exempt=(
            Exemption("pii-claim", date(2027, 3, 31), "support desk", "email"),
            Exemption("size", date(2027, 1, 1), "they will be compact"),
        ),
    )
    assert expected == options(SEVERITY={"size": "off"}, Read=["tenant"], exempt=exempt)
    assert LintOptions() == options()


EXEMPT = {"id": "size", "until": "2027-03-31", "reason": "r"}


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        pytest.param([], "LINT: must be a table, not list", id="no table"),
        pytest.param({"severities": {}}, "LINT.severities: unknown key; did you mean 'severity'?", id="key"),
        pytest.param(
            {"severity": {"pii-clam": "off"}}, "LINT.severity.pii-clam: unknown key; did you mean 'pii-claim'?", id="id"
        ),
        pytest.param(
            {"severity": {"size": "warn"}},
            "LINT.severity.size: must be one of error, warning, note, off; did you mean 'warning'?",
            id="severity",
        ),
        pytest.param({"severity": 7}, "LINT.severity: must be a table, not int", id="severities"),
        pytest.param({"read": "tenant"}, "LINT.read: must be a list of strings, not str", id="read"),
        pytest.param({"exempt": EXEMPT}, "LINT.exempt: must be a list of tables, not dict", id="no list"),
        pytest.param(
            {"exempt": [{**EXEMPT, "id": "sice"}]},
            "LINT.exempt[0].id: there is no check 'sice'; did you mean 'size'?",
            id="exempt id",
        ),
        pytest.param(
            {"exempt": [{**EXEMPT, "til": "2027-03-31"}]},
            "LINT.exempt[0].til: unknown key; did you mean 'until'?",
            id="exempt key",
        ),
        pytest.param(
            {"exempt": [{**EXEMPT, "reason": " "}]},
            'LINT.exempt[0].reason: needs a reason, such as "the support desk reads it until it is moved"',
            id="reason",
        ),
        *(
            pytest.param(
                {"exempt": [{**EXEMPT, "until": until}]},
                "LINT.exempt[0].until: needs its last day, such as 2027-03-31",
                id=f"until {until}",
            )
            for until in (None, "", "soon", 2027, datetime(2027, 1, 1, tzinfo=UTC))
        ),
    ],
)
def test_faulty_options_are_refused(value: object, fault: str) -> None:
    """Each fault has its place, and the nearest known name."""
    with pytest.raises(ConfigurationError) as caught:
        LintOptions.from_mapping(value)
    assert (fault,) == caught.value.faults


SETTINGS = {
    "ISSUER": "https://login.example.com/",
    "AUDIENCE": "a",
    "ALGORITHMS": ["ES256"],
    "JWKS": {"keys": [KEY.public_jwk()]},
}


def test_the_settings_have_options() -> None:
    """The setting `LINT` is read."""
    settings = Settings.from_mapping({**SETTINGS, "LINT": {"severity": {"size": "off"}}}, environ={})
    assert LintOptions(severity={"size": "off"}) == settings.lint
    assert Settings.from_mapping(SETTINGS, environ={}).lint is None


def test_the_settings_report_faults_of_options() -> None:
    """Faults of `LINT` are reported with the others."""
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_mapping({**SETTINGS, "EXPLAIN": 7, "LINT": {"severity": 7}}, environ={})
    assert ("JWT_LP: EXPLAIN is True or False", "JWT_LP: LINT.severity: must be a table, not int") == (
        caught.value.faults
    )


# -- what is read, and what is not


@pytest.mark.parametrize(
    "jwt",
    [
        pytest.param(token().encode(), id="bytes"),
        pytest.param(f" Bearer  {token()}\n", id="Bearer"),
        pytest.param(f"Authorization: bearer {token()}", id="a header"),
        pytest.param(token().replace(".", "=.", 1), id="padding"),
        pytest.param(raw(b"\xef\xbb\xbf " + json.dumps(dict(GOOD)).encode()), id="a BOM"),
    ],
)
def test_the_reader_is_lenient(jwt: object) -> None:
    """Tokens with a form that a verifier refuses are linted."""
    assert [] == findings_of(jwt)


@pytest.mark.parametrize(
    ("jwt", "why"),
    [
        pytest.param(7, "a token is text, not int", id="no text"),
        pytest.param("", "it is not a JWT: a JWT has three parts separated by dots", id="empty"),
        pytest.param("a.b.c.d", "it is not a JWT: a JWT has three parts separated by dots", id="four parts"),
        pytest.param("a.b.c.d.e", "it is encrypted (JWE): its content cannot be read", id="JWE"),
        pytest.param("é.e30.", "it is not a JWT: its header is not base64url", id="letters"),
        pytest.param("eyJ9x.e30.", "it is not a JWT: its header is not base64url", id="length"),
        pytest.param("e30.W10.", "it is not a JWT: its payload is not a JSON object", id="an array"),
        pytest.param(raw("{"), "it is not a JWT: its payload is not a JSON object", id="no JSON"),
        pytest.param(raw("{}", "[]"), "it is not a JWT: its header is not a JSON object", id="header"),
        pytest.param(raw('{"a":' * 40 + "1" + "}" * 40), f"its payload is nested deeper than {MAX_DEPTH}", id="deep"),
        pytest.param("[" * 2 * MAX_INPUT, f"it is longer than {MAX_INPUT} characters", id="long"),
        pytest.param(
            raw(json.dumps({"a": [0] * MAX_VALUES, "b": 1})),
            f"its payload has more than {MAX_VALUES} values",
            id="many",
        ),
    ],
)
def test_input_that_is_not_a_jwt(jwt: object, why: str) -> None:
    """Such input raises GrammarError, which repeats nothing of it."""
    with pytest.raises(GrammarError) as caught:
        lint(jwt, now=NOW)
    assert why == str(caught.value)


def test_brackets_in_strings_do_not_nest() -> None:
    """Brackets in JSON strings do not count as nesting."""
    assert [] == findings_of(token(tenant="[{" * 40 + '"\\'))


def test_an_error_keeps_no_token() -> None:
    """Neither our frames nor the error's context hold the token, so a traceback cannot show it."""
    payload = '{"sub":"marked-subject'
    with pytest.raises(GrammarError) as caught:
        lint(raw(payload), now=NOW)
    frames = traceback.walk_tb(caught.value.__traceback__)
    ours = [frame.f_locals for frame, _ in frames if "jwt_lp" in frame.f_code.co_filename.split("/")]
    assert [] == [names for names in ours if encoded(payload) in repr(names) or "marked" in repr(names)]
    assert None is caught.value.__context__


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param('{"a":"' + "eyJ" * 60_000 + '"}', id="eyJ"),
        pytest.param('{"a":"' + "4" * 180_000 + '"}', id="digits"),
        pytest.param('{"a":"' + "4 " * 90_000 + '"}', id="digits and blanks"),
        pytest.param('{"a":"' + "a@" * 90_000 + '"}', id="at"),
        pytest.param('{"a":"' + "a@" + "a." * 90_000 + '"}', id="a long domain"),
        pytest.param('{"a":"' + "DE89 " * 36_000 + '"}', id="IBAN"),
        pytest.param('{"a":"' + "+1" * 90_000 + '"}', id="phones"),
        pytest.param('{"sub":"' + "a " * 90_000 + '"}', id="a long name"),
        pytest.param('{"' + "aA" * 90_000 + '":1}', id="a long word"),
        pytest.param('{"scope":"' + "orders:* " * 20_000 + '"}', id="wildcards"),
        pytest.param('{"scope":"' + "orders:7:ship " * 12_000 + '"}', id="permissions"),
        pytest.param('{"a":"' + '\\"' * 80_000 + '"}', id="quotes"),
        pytest.param('{"a":' + "[" * 180_000, id="brackets"),
        pytest.param("{" + ",".join(f'"k{number}":""' for number in range(9_000)) + "}", id="claims"),
        pytest.param('{"a":[' + ",".join(['{"email":1}'] * 4_000) + "]}", id="objects"),
    ],
)
def test_every_token_is_linted_quickly(payload: str) -> None:
    """No token that is small enough to be read takes long."""
    jwt = raw(payload)
    started = time.process_time()
    naughty_strings.result_or_error(
        lambda: findings_of(jwt, options=LintOptions(required=["a:b"], used=["a:b"])), GrammarError
    )
    assert time.process_time() - started < 3


def test_a_megabyte_is_refused_at_once() -> None:
    """Input that is too long is refused before it is read."""
    jwt = raw("{" + " " * 1_000_000 + "}")
    started = time.process_time()
    with pytest.raises(GrammarError):
        lint(jwt, now=NOW)
    assert time.process_time() - started < 0.1


@given(st.binary(max_size=200) | st.text(max_size=200) | st.builds(raw, st.text() | st.binary(), st.text()))
def test_lint_raises_no_other_errors(jwt: object) -> None:
    """For any input, lint returns a report or raises one of our errors."""
    naughty_strings.result_or_error(lambda: lint(jwt, now=NOW, policy=POLICY), JwtLpError)


def test_naughty_strings_in_claims() -> None:
    """Naughty strings may be names, values and permissions."""
    for text in naughty_strings.load_strings():
        jwt = raw(json.dumps({**GOOD, text: text, "scope": text, "roles": [text], "tenant": {text: [text]}}))
        assert isinstance(lint(jwt, now=NOW, policy=POLICY), LintReport)


MARK = "QJX"
MARKED = st.text(max_size=8).map(lambda text: f"{text}{MARK}") | st.sampled_from(
    [f"{MARK}@example.com", f"{MARK} 4111111111111111", f"orders:{MARK}", f"{MARK}:*", f"eyJ{MARK}.eyJ.{MARK}", f"{MARK} " * 20]
)  # fmt: skip
VALUES = st.recursive(
    MARKED,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["email", "x"]), inner, max_size=3),
)
NAMES = st.sampled_from(
    [
        *(
            *GOOD,
            "email",
            "password",
            "nonce",
            "roles",
            "permissions",
            "cperm",
            "role_scope",
            "act",
            "sub_id",
            "lineage",
        ),
        *("cnf", "admin", "nbf", "colour", "tenant", "realm_access", "resource_access", "typ", "token_use"),
    ]
)


@given(
    claims=st.dictionaries(NAMES, VALUES, max_size=8),
    header=st.dictionaries(st.sampled_from(["typ", "alg", "kid"]), VALUES),
)
def test_no_value_is_ever_reported(claims: dict[str, object], header: dict[str, object]) -> None:
    """Findings contain names of claims and never their values."""
    jwt = raw(json.dumps({**GOOD, **claims}), json.dumps(header))
    assert MARK not in repr(lint(jwt, now=NOW, policy=POLICY, options=LintOptions(required=[], used=[])))


@pytest.mark.parametrize(
    "name",
    [f"{MARK}@example.com", f"eyJ{MARK}.eyJ.{MARK}", MARK * 50, "4111111111111111"],
    ids=["mail", "JWT", "long", "card"],
)
def test_a_name_that_holds_data_is_hidden(name: str) -> None:
    """If a claim's name looks like data, only its length is reported."""
    report = repr(lint(token(tenant={name: {"email": "x"}}, **{name: 1}), now=NOW))
    assert name not in report
    assert f"({len(name)} characters)" in report
