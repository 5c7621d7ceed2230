"""Settings from mappings and from the environment, and their faults."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import naughty_strings
from examples import examples
from jwt_lp import (
    AUTH0,
    PUBLIC,
    RFC9068,
    ConfigurationError,
    JwksKeys,
    Policy,
    Route,
    Settings,
    StaticKeys,
    all_of,
    external,
)
from jwt_lp.jose.signing import SigningKey

TODAY = date(2027, 1, 15)
KEY = SigningKey.generate("ES256", kid="k1")
SECRET = SigningKey.generate("HS256", kid="s1")
JWKS = {"keys": [KEY.public_jwk()]}
ISSUER = "https://login.example.com/"
ONE: Mapping[str, Any] = MappingProxyType(
    {"ISSUER": ISSUER, "AUDIENCE": "orders-api", "ALGORITHMS": ["ES256"], "JWKS": JWKS}
)
FETCHED: Mapping[str, Any] = MappingProxyType(
    {"ISSUER": ISSUER, "AUDIENCE": "orders-api", "ALGORITHMS": ["RS256"], "JWKS_URL": "https://login.example.com/jwks"}
)
ENV: Mapping[str, str] = MappingProxyType(
    {
        "JWT_LP_ISSUER": ISSUER,
        "JWT_LP_AUDIENCE": "orders-api",
        "JWT_LP_ALGORITHMS": "RS256",
        "JWT_LP_JWKS_URL": "https://login.example.com/jwks",
    }
)
# fmt: off
TOP = ["SERVICE", "POLICY", "EXTERNAL", "PUBLIC", "BIND", "URLCONFS",
       "OBSERVE_UNTIL", "EXPLAIN", "SHOW_REQUIREMENT", "ALLOW_HTTP_HOSTS", "ISSUERS"]
EACH = ["ISSUER", "AUDIENCE", "ALGORITHMS", "PROFILE", "OWN", "JWKS", "JWKS_URL",
        "DISCOVERY", "LEEWAY", "MAX_LIFETIME", "CEILING", "PATTERNS", "COPY_CLAIMS", "ABSENT_CLAIMS"]
# fmt: on


def read(mapping: Any, *, dev: bool = False) -> Settings:
    return Settings.from_mapping(mapping, environ={"JWT_LP_DEV": "1"} if dev else {}, today=TODAY)


def several(**more: Any) -> dict[str, Any]:
    one = {**ONE, "CEILING": ["orders:**"]}
    return {"ISSUERS": {"Auth0": one, "okta": {**one, "ISSUER": "https://two.example.com/"}}, **more}


def faults(mapping: Any, *, dev: bool = False) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        read(mapping, dev=dev)
    return caught.value.faults


@pytest.mark.parametrize(
    ("resource", "metadata"),
    [
        ("https://api.example.com", "https://api.example.com/.well-known/oauth-protected-resource"),
        ("https://api.example.com/", "https://api.example.com/.well-known/oauth-protected-resource"),
        ("https://a.test:8443/orders", "https://a.test:8443/.well-known/oauth-protected-resource/orders"),
        ("https://a.test/v1.2/or-ders/", "https://a.test/.well-known/oauth-protected-resource/v1.2/or-ders/"),
        ("http://[::1]:80/x", "http://[::1]:80/.well-known/oauth-protected-resource/x"),
    ],
)
def test_the_address_of_the_metadata(resource: str, metadata: str) -> None:
    """The well-known path stands between the host and the path of RESOURCE (RFC 9728, section 3.1)."""
    settings = read({**ONE, "RESOURCE": resource})
    assert (resource, metadata) == (settings.resource, settings.resource_metadata)


def test_metadata_without_a_resource_is_a_fault() -> None:
    """A route of an adapter for the metadata needs RESOURCE; a project's own route at that path does not."""
    path = "/.well-known/oauth-protected-resource"
    routes = [Route(("GET",), path, "jwt_lp_flask.metadata.x"), Route(("GET",), path, "app.own")]
    (fault,) = read(ONE).metadata_faults([*routes, Route(("GET",), "/", "jwt_lp_flask.tokens.x")])
    assert f"GET {path}: set RESOURCE to the address of this service, which its metadata names" == fault
    assert () == read({**ONE, "RESOURCE": "https://api.test"}).metadata_faults(routes)


@pytest.mark.parametrize(
    ("expected", "resource"),
    [
        ("RESOURCE is an http address", "http://api.example.com"),
        ("RESOURCE is not an https:// address", "api.example.com"),
        ("RESOURCE has a user name or password", "https://me@api.example.com"),
        ("RESOURCE has a fragment", "https://api.example.com/#x"),
        ("RESOURCE is a string", 7),
        *(
            ("RESOURCE is an address without a query", f"https://api.example.com/{path}")
            for path in ("?a=b", "a//b", "..", "a/../b", ".", 'a"b', "%41", "{a}", "<a>", "a:b", "a\\b")
        ),
    ],
)
def test_faults_of_the_resource(expected: str, resource: object) -> None:
    """RESOURCE must be an address that every host can route, and that needs no quoting in a challenge."""
    (fault,) = faults({**ONE, "RESOURCE": resource})
    assert fault.startswith(f"JWT_LP: {expected}")


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (["iss"], ["iss"], "tokens of a and b may have no iss"),
        (["iss"], ["aud"], ""),
        (["iss", "aud"], [], ""),
        ([], [], ""),
    ],
)
@pytest.mark.parametrize("share", [False, True])
def test_a_token_without_iss_has_one_issuer(first: list[str], second: list[str], expected: str, share: bool) -> None:
    """At most one issuer may leave out `iss`, and no other may have its key."""
    other = JWKS if share else {"keys": [SigningKey.generate("ES256", kid="k2").public_jwk()]}
    each = {"CEILING": ["orders:**"]}
    issuers = {
        "a": {**ONE, **each, "ABSENT_CLAIMS": first},
        "b": {**ONE, **each, "ISSUER": "https://b.example", "JWKS": other, "ABSENT_CLAIMS": second},
        "c": {**FETCHED, **each, "ISSUER": "https://c.example"},
    }
    if share and not expected and (first or second):
        expected = "b has a key of a too"
    if not expected:
        assert ["a", "b", "c"] == [issuer.name for issuer in read({"ISSUERS": issuers}).issuers]
        return
    assert expected in "\n".join(faults({"ISSUERS": issuers}))


def test_minimal_settings() -> None:
    """Only issuer, audience, algorithms and keys are required; everything else is off or strict."""
    settings = read(ONE)
    (issuer,) = settings.issuers
    assert ("default", ISSUER, frozenset({"orders-api"}), frozenset({"ES256"}), RFC9068) == (
        issuer.name,
        issuer.issuer,
        issuer.audience,
        issuer.algorithms,
        issuer.profile,
    )
    assert (False, False, 0.0, 86400.0, None) == (
        issuer.own,
        issuer.patterns,
        issuer.leeway,
        issuer.max_lifetime,
        issuer.ceiling,
    )
    assert ("", {}, (), None, False, True, frozenset(), False) == (
        settings.service,
        dict(settings.bind),
        settings.urlconfs,
        settings.observe_until,
        settings.explain,
        settings.show_requirement,
        settings.allow_http_hosts,
        settings.development,
    )
    assert frozenset() == issuer.sender_constrained
    assert isinstance(issuer.key_source(), StaticKeys)
    assert settings is Settings.from_mapping(settings)


def test_all_settings() -> None:
    """Every key is read, in upper or lower case."""
    policy = Policy.from_mapping({"version": 1, "roles": {"clerk": {"grants": ["orders:*"]}}})
    settings = read(
        {
            **{key.lower(): value for key, value in ONE.items()},
            "audience": ["orders-api", "https://orders.example.com"],
            "Service": "orders",
            "POLICY": policy,
            "external": {"/admin": "session login"},
            "PUBLIC": ["health"],
            "BIND": {"tenant_id": ["org", "id"]},
            "URLCONFS": ("urls",),
            "OBSERVE_UNTIL": date(2027, 2, 1),
            "EXPLAIN": True,
            "SHOW_REQUIREMENT": False,
            "ALLOW_HTTP_HOSTS": ["keys.internal"],
            "PROFILE": "auth0",
            "OWN": True,
            "PATTERNS": True,
            "LEEWAY": timedelta(seconds=30),
            "MAX_LIFETIME": 3600,
            "CEILING": ["orders:**", "reports:read"],
            "SENDER_CONSTRAINED": "jkt, x5t#S256",
        },
        dev=True,
    )
    (issuer,) = settings.issuers
    assert frozenset({"jkt", "x5t#S256"}) == issuer.sender_constrained
    assert (AUTH0, True, True, 30.0, 3600.0) == (
        issuer.profile,
        issuer.own,
        issuer.patterns,
        issuer.leeway,
        issuer.max_lifetime,
    )
    assert ["reports:read", "orders:**"] == [str(grant) for grant in issuer.ceiling or ()]
    assert ("orders", policy, ("urls",), date(2027, 2, 1), True, False, frozenset({"keys.internal"}), True) == (
        settings.service,
        settings.policy,
        settings.urlconfs,
        settings.observe_until,
        settings.explain,
        settings.show_requirement,
        settings.allow_http_hosts,
        settings.development,
    )
    assert {"tenant_id": "tenant_id=org.id"} == {name: str(each) for name, each in settings.bind.items()}
    assert [external("session login"), PUBLIC] == [requirement for _, requirement in settings.rules.entries]


def test_several_issuers() -> None:
    """Each issuer has a name, compared without case, and its own ceiling."""
    settings = read(several(BIND={"tenant": {"auth0": "org_id", "okta": ["org", "id"]}}))
    assert ["auth0", "okta"] == [each.name for each in settings.issuers]
    assert [["orders:**"]] * 2 == [[str(grant) for grant in each.ceiling or ()] for each in settings.issuers]
    assert "tenant=auth0/org_id,okta/org.id" == str(settings.bind["tenant"])


def test_one_issuer_by_name_needs_no_ceiling() -> None:
    """A single entry of ISSUERS differs from plain settings only by its name."""
    (issuer,) = read({"ISSUERS": {"main": ONE}, "BIND": {"tenant": "org"}}).issuers
    assert ("main", None) == (issuer.name, issuer.ceiling)


def test_claims_that_are_copied(tmp_path: Path) -> None:
    """COPY_CLAIMS maps an issuer's claims to claims that the policy or CLAIMS lists."""
    (issuer,) = read({**ONE, "COPY_CLAIMS": {"org": "tenant"}, "CLAIMS": {"x": {"claims": ["tenant"]}}}).issuers
    assert {"org": "tenant"} == issuer.copy_claims == issuer.to_trusted_issuer(issuer.key_source()).copy_claims
    policy = {"version": 1, "audiences": {"x": {"claims": ["tenant"]}, "y": {}}}
    assert read({**ONE, "COPY_CLAIMS": {"org": "tenant"}, "POLICY": policy})
    (tmp_path / "p.toml").write_text('version = 1\naudiences.x.claims = ["tenant"]', encoding="utf-8")
    environ = {**ENV, "JWT_LP_COPY_CLAIMS__org_Id": "tenant", "JWT_LP_POLICY": str(tmp_path / "p.toml")}
    settings = Settings.from_env(environ)
    assert {"org_Id": "tenant"} == settings.issuers[0].copy_claims
    two = several()["ISSUERS"]
    wrong = faults({"ISSUERS": {**two, "okta": {**two["okta"], "COPY_CLAIMS": {"org": "tenant"}}}})
    assert wrong[0].startswith("JWT_LP['ISSUERS']['okta']: COPY_CLAIMS: no audience lists the claim 'tenant'")


@pytest.mark.parametrize(
    ("profile", "listed", "named"),
    [
        ({"PERMISSIONS": ["scope", "entitled"]}, ["entitled", "tenant"], ["'entitled'"]),
        ({"PERMISSIONS": [["may", "do"]]}, ["may"], ["'may'"]),
        ({"PERMISSIONS": [["*", "do"]]}, ["may", "tenant"], ["'may'", "'tenant'"]),
        ({"ROLES": ["duties"]}, ["duties"], ["'duties'"]),
        ({"SUBJECT": "uid"}, ["uid"], ["'uid'"]),
        ({"CLIENT": ["app"]}, ["app"], ["'app'"]),
        ({}, ["groups", "azp", "tenant"], []),
    ],
    ids=["permissions", "a path", "every claim", "roles", "subject", "client", "RFC 9068"],
)
def test_no_listed_claim_decides_what_a_token_of_ours_means(profile: Any, listed: list[str], named: list[str]) -> None:
    """`narrow` keeps listed claims as they are, so a grant in one of them would be kept too."""
    mapping = {**ONE, "PROFILE": profile, "CLAIMS": {"x": {"claims": listed}}}
    assert read(mapping)
    found = [*faults_or_none({**mapping, "OWN": True})]
    assert [True] * len(named) == [
        f"are read from {name}, and an audience" in fault for name, fault in zip(named, found, strict=True)
    ]


def test_a_binding_to_sub_id_needs_the_issuers_own_claim() -> None:
    """In our tokens any issuer may have chosen `sub_id`; in another issuer's tokens it is that issuer's own claim."""
    two = several()["ISSUERS"]
    whole = {"ISSUERS": {**two, "okta": {**two["okta"], "OWN": True}}}
    for okta, expected in ((["sub_id", "sub"], 1), ("sub", 0)):
        requirement = all_of("x", where={"u": {"okta": okta, "auth0": ["sub_id", "sub"]}})
        assert expected == len(read(whole).faults(requirement))
        assert expected == len([*faults_or_none({**whole, "BIND": {"u": {"okta": okta, "auth0": ["sub_id", "sub"]}}})])
    assert () == read(ONE).faults(all_of("x", where={"u": ["sub_id", "sub"]}))
    (fault,) = read({**ONE, "OWN": True}).faults(all_of("x", where={"u": ["sub_id", "sub"]}))
    assert "COPY_CLAIMS" in fault


def faults_or_none(mapping: dict[str, Any]) -> tuple[str, ...]:
    try:
        read(mapping)
    except ConfigurationError as error:
        return error.faults
    return ()


ONE_FAULT = [
    pytest.param({"AUDIENCE": None}, "AUDIENCE is missing or empty", id="no audience"),
    pytest.param({"AUDIENCE": ""}, "AUDIENCE is missing or empty", id="empty audience"),
    pytest.param({"AUDIENCE": []}, "AUDIENCE is missing or empty", id="no audiences"),
    pytest.param({"AUDIENCE": ["a", ""]}, "AUDIENCE is a list of non-empty strings", id="an empty audience among"),
    pytest.param({"AUDIENCE": "a,,b"}, "AUDIENCE is a list of non-empty strings", id="an empty one in text"),
    pytest.param({"AUDIENCE": ["a", 5]}, "AUDIENCE is a list of non-empty strings", id="a number among"),
    pytest.param({"AUDIENCE": {"a": 1}}, "AUDIENCE is a list of strings, not dict", id="a mapping of audiences"),
    pytest.param({"AUDIENCE": 5}, "AUDIENCE is a list of strings, not int", id="a number for audiences"),
    pytest.param({"AUDIENCE": b"a"}, "AUDIENCE is a list of non-empty strings", id="bytes for audiences"),
    pytest.param({"AUDIENCE": iter("a")}, "AUDIENCE is a list of strings", id="an iterator of audiences"),
    pytest.param({"ISSUER": None}, "ISSUER is missing or empty", id="no issuer"),
    pytest.param({"ISSUER": ""}, "ISSUER is missing or empty", id="empty issuer"),
    pytest.param({"ISSUER": [ISSUER]}, "ISSUER is a string, not list", id="a list of issuers"),
    pytest.param({"ISSUER": 0}, "ISSUER is a string, not int", id="zero for the issuer"),
    pytest.param({"ALGORITHMS": None}, "ALGORITHMS is missing or empty", id="no algorithms"),
    pytest.param({"PROFILE": "outh0"}, "there is no profile 'outh0'; did you mean 'auth0'?", id="a profile's typo"),
    pytest.param({"PROFILE": "x"}, "there is no profile 'x'; there are rfc9068", id="no such profile"),
    pytest.param({"PROFILE": 5}, "PROFILE", id="a number for the profile"),
    pytest.param({"PROFILE": None}, "PROFILE", id="no profile"),
    pytest.param({"PROFILE": ["okta"]}, "PROFILE", id="a list of profiles"),
    pytest.param({"PROFILE": {"SHAPE": 1}}, "PROFILE: SHAPE: unknown key", id="a profile's unknown key"),
    pytest.param({"OWN": "maybe"}, "OWN is True or False", id="a flag of another word"),
    pytest.param({"OWN": 1}, "OWN is True or False", id="a flag of a number"),
    pytest.param({"PATTERNS": None}, "PATTERNS is True or False", id="a flag of None"),
    pytest.param(
        {"SENDER_CONSTRAINED": ["x5t#s256"]},
        "SENDER_CONSTRAINED: 'x5t#s256' is not a confirmation method; did you mean 'x5t#S256'?",
        id="a confirmation method's typo",
    ),
    pytest.param(
        {"SENDER_CONSTRAINED": True}, "SENDER_CONSTRAINED is a list of strings, not bool", id="bound tokens True"
    ),
    pytest.param({"SENDER_CONSTRAINED": "*"}, "'*' is not a confirmation method", id="every confirmation method"),
    pytest.param({"LEEWAY": 301}, "LEEWAY is a number of seconds from 0 to 300", id="too much leeway"),
    pytest.param({"LEEWAY": -1}, "LEEWAY is a number", id="negative leeway"),
    pytest.param({"LEEWAY": True}, "LEEWAY is a number", id="leeway True"),
    pytest.param({"LEEWAY": None}, "LEEWAY is a number", id="leeway None"),
    pytest.param({"LEEWAY": float("nan")}, "LEEWAY is a number", id="leeway NaN"),
    pytest.param({"LEEWAY": "inf"}, "LEEWAY is a number", id="leeway infinite"),
    pytest.param({"LEEWAY": "5m"}, "LEEWAY is a number", id="leeway with a unit"),
    pytest.param({"LEEWAY": Decimal(5)}, "LEEWAY is a number", id="leeway a Decimal"),
    pytest.param({"LEEWAY": timedelta(hours=1)}, "LEEWAY is a number", id="an hour of leeway"),
    pytest.param({"LEEWAY": 10**400}, "LEEWAY is a number", id="leeway beyond a float"),
    pytest.param({"MAX_LIFETIME": 10**9}, "MAX_LIFETIME is a number of seconds from 0 to ten years", id="30 years"),
    pytest.param({"MAX_LIFETIME": float("inf")}, "MAX_LIFETIME is a number", id="for ever"),
    pytest.param({"CEILING": ["orders:rea*"]}, "CEILING: 'orders:rea*' is not a permission", id="half a wildcard"),
    pytest.param({"CEILING": ["a b"]}, "CEILING: ", id="a blank in the ceiling"),
    pytest.param({"CEILING": 5}, "CEILING is a list of strings", id="a number for the ceiling"),
    pytest.param({"JWKS": None}, "exactly one of JWKS, JWKS_URL and DISCOVERY: none is given", id="no keys"),
    pytest.param({"JWKS_URL": "https://a.test/"}, ": JWKS and JWKS_URL are given", id="keys twice"),
    pytest.param({"DISCOVERY": True}, ": JWKS and DISCOVERY are given", id="keys and discovery"),
    pytest.param({"JWKS": "https://a.test/"}, "for an address use JWKS_URL", id="an address for keys"),
    pytest.param({"JWKS": [1]}, "JWKS is the key set itself", id="a list for keys"),
    pytest.param({"JWKS": {"a": 1}}, 'JWKS: the key set has no list named "keys"', id="no key set"),
    pytest.param({"JWKS": {"keys": []}}, "JWKS: the key set has no key", id="an empty key set"),
    pytest.param({"JWKS": {"keys": [KEY.private_jwk()]}}, "JWKS: key 0 (kid 'k1')", id="a private key"),
    pytest.param({"SERVICE": 5}, "SERVICE is a string, not int", id="a number for the service"),
    pytest.param({"EXTERNAL": ["admin"]}, "EXTERNAL is a mapping from a rule to a reason", id="a list of external"),
    pytest.param({"EXTERNAL": {5: "x"}}, "EXTERNAL is a mapping from a rule to a reason", id="a number as rule"),
    pytest.param({"EXTERNAL": {"admin": ""}}, "EXTERNAL['admin']", id="no reason"),
    pytest.param({"EXTERNAL": {"/": "x"}}, "would open everything", id="external /"),
    pytest.param({"PUBLIC": ["/"]}, "would open everything", id="public /"),
    pytest.param({"PUBLIC": "/a,/"}, "would open everything", id="public / in text"),
    pytest.param({"PUBLIC": [5]}, "PUBLIC is a list of non-empty strings", id="a number as public rule"),
    pytest.param({"PUBLIC": True}, "PUBLIC is a list of strings, not bool", id="public True"),
    pytest.param({"BIND": ["tenant"]}, "BIND is a mapping from a route parameter to a claim", id="a list of bindings"),
    pytest.param({"BIND": {"tenant": ""}}, "BIND: the claim for tenant", id="a binding to nothing"),
    pytest.param({"BIND": {"tenant": 5}}, "BIND: the claim for tenant", id="a binding to a number"),
    pytest.param({"BIND": {"tenant": {"other": "sub"}}}, "no issuer is called 'other'", id="a binding of no issuer"),
    pytest.param({"BIND": {5: "sub"}}, "BIND", id="a binding of a number"),
    pytest.param({"ABSENT_CLAIMS": ["sub"]}, "ABSENT_CLAIMS: 'sub' cannot be absent", id="an absent subject"),
    pytest.param({"ABSENT_CLAIMS": "iss,exp"}, "ABSENT_CLAIMS: 'exp' cannot be absent", id="an absent date"),
    pytest.param(
        {"ABSENT_CLAIMS": ["aud"], "JWKS": None, "JWKS_URL": "https://login.example.com/jwks"},
        "ABSENT_CLAIMS is for an issuer with a key of its own",
        id="an absent claim and fetched keys",
    ),
    pytest.param({"ABSENT_CLAIMS": ["iss"], "OWN": True}, "its tokens have iss and aud", id="an own absent claim"),
    pytest.param({"COPY_CLAIMS": ["org"]}, "COPY_CLAIMS is a mapping from a claim", id="a list of copies"),
    pytest.param({"COPY_CLAIMS": {"org": 5}}, "COPY_CLAIMS is a mapping from a claim", id="a copy to a number"),
    pytest.param({"COPY_CLAIMS": {"": "a"}}, "COPY_CLAIMS is a mapping from a claim", id="a copy of nothing"),
    pytest.param({"COPY_CLAIMS": {"a": "sub"}}, "COPY_CLAIMS: 'sub' is what a verifier reads", id="a copy to sub"),
    pytest.param({"COPY_CLAIMS": {"a": "b"}}, "COPY_CLAIMS: no audience lists the claim 'b'", id="a copy to nowhere"),
    pytest.param(
        {"COPY_CLAIMS": {"a": "b"}, "CLAIMS": {"x": {"claims": ["b"]}}, "OWN": True}, "is OWN", id="own copies"
    ),
    pytest.param(
        {"OWN": True, "BIND": {"u": ["sub_id", "sub"]}}, "BIND: u=sub_id.sub: sub_id is a subject", id="sub_id"
    ),
    pytest.param({"OBSERVE_UNTIL": "soon"}, "OBSERVE_UNTIL is a date", id="no date"),
    pytest.param({"OBSERVE_UNTIL": True}, "OBSERVE_UNTIL is a date", id="observe True"),
    pytest.param({"OBSERVE_UNTIL": datetime(2027, 2, 1, tzinfo=UTC)}, "OBSERVE_UNTIL is a date", id="a moment"),
    pytest.param({"OBSERVE_UNTIL": TODAY + timedelta(days=91)}, "more than 90 days ahead", id="observe for 91 days"),
    pytest.param({"OBSERVE_UNTIL": "9999-12-31"}, "more than 90 days ahead", id="observe for ever"),
    pytest.param({"EXPLAIN": True}, "EXPLAIN tells clients why they were refused: it needs JWT_LP_DEV=1", id="explain"),
    pytest.param({"ALLOW_HTTP_HOSTS": ["a"]}, "ALLOW_HTTP_HOSTS is for development", id="http in production"),
    pytest.param({"POLICY": 5}, "POLICY is the path", id="a number for the policy"),
    pytest.param({"POLICY": {}}, "POLICY: version: must be 1", id="an empty policy"),
    pytest.param({"POLICY": "/nowhere/x.toml"}, "POLICY: /nowhere/x.toml:1: cannot be read", id="no such file"),
    pytest.param({"POLICY": "a\0b"}, "cannot be read", id="NUL in a path"),
    pytest.param({"POLICY": Path("/")}, "cannot be read", id="a folder"),
    pytest.param({"URLCONFS": 5}, "URLCONFS is a list of strings", id="a number for urlconfs"),
    pytest.param({"audience": "x"}, "AUDIENCE is given twice", id="a key in both cases"),
    pytest.param({"AUDIENC": "x"}, "unknown key 'AUDIENC'; did you mean 'AUDIENCE'?", id="a typo"),
    pytest.param({"explian": True}, "unknown key 'EXPLIAN'; did you mean 'EXPLAIN'?", id="a typo in lower case"),
    pytest.param({"xyzzy": True}, "unknown key 'XYZZY'", id="no near key"),
    pytest.param({"": True}, "unknown key ''", id="an empty key"),
    pytest.param({5: True}, "unknown key '5'", id="a number as key"),
    pytest.param({"é\n": 1}, "unknown key '\\xc9\\n'", id="a key that would break the line"),
]


@pytest.mark.parametrize(("change", "expected"), ONE_FAULT)
def test_one_fault(change: dict[Any, Any], expected: str) -> None:
    """Each wrong value gives one sentence that begins with the place and names the key."""
    (fault,) = faults({**ONE, **change})
    assert expected in fault
    assert ("JWT_LP: ", 1) == (fault[:8], len(fault.splitlines()))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({"ALGORITHMS": ["RS257"]}, "ALGORITHMS: 'RS257' is not supported; did you mean", id="a typo"),
        pytest.param(
            {"ALGORITHMS": ["rs256"]}, "ALGORITHMS: 'rs256' is not supported; did you mean 'RS256'?", id="case"
        ),
        pytest.param({"ALGORITHMS": ["none"]}, "ALGORITHMS: 'none' is not supported", id="none"),
        pytest.param({"ALGORITHMS": ["RS256", "HS256"]}, "mixes HS", id="both kinds"),
        pytest.param(
            {"ALGORITHMS": ["HS256"]},
            "JWT_LP: ALGORITHMS: HS256 is a shared secret, which is never fetched: use JWKS, not JWKS_URL",
            id="a fetched secret",
        ),
        pytest.param({"JWKS_URL": "http://a.test/jwks"}, "JWT_LP: JWKS_URL is an http address: use https", id="http"),
        pytest.param({"JWKS_URL": "ftp://a.test/jwks"}, "JWKS_URL is not an https://", id="ftp"),
        pytest.param({"JWKS_URL": "file:///etc/passwd"}, "JWKS_URL is not an https://", id="file"),
        pytest.param({"JWKS_URL": "https://u:p@a.test/"}, "JWKS_URL has a user name", id="user and password"),
        pytest.param({"JWKS_URL": 5}, "JWKS_URL is a string, not int", id="a number for an address"),
        pytest.param({"JWKS_URL": "", "DISCOVERY": "x"}, "DISCOVERY is not an https://", id="discovery of no address"),
        pytest.param({"JWKS_URL": "", "DISCOVERY": 5}, "DISCOVERY is a string, not int", id="discovery a number"),
        pytest.param(
            {"JWKS_URL": "", "DISCOVERY": True, "ISSUER": "orders"},
            "ISSUER is not an https://",
            id="discovery of no URL",
        ),
    ],
)
def test_one_fault_of_fetched_keys(change: dict[str, Any], expected: str) -> None:
    """URLs must be https, secrets are never fetched, and the algorithms are of one kind."""
    all_faults = faults({**FETCHED, **change})
    assert [each for each in all_faults if expected in each] == [all_faults[0]]


def test_empty_settings_name_every_required_key() -> None:
    """An empty mapping gives a fault for each required key."""
    assert ["ISSUER", "AUDIENCE", "ALGORITHMS", "give"] == [each.split()[1] for each in faults({})]


@pytest.mark.parametrize("value", [None, 5, "x", [], [("ISSUER", ISSUER)], b"x", object], ids=repr)
def test_settings_must_be_a_mapping(value: object) -> None:
    """Anything but a mapping is a `ConfigurationError`."""
    assert "JWT_LP: is a mapping of settings" in faults(value)[0]


def test_every_fault_at_once() -> None:
    """No fault hides another: the single faults of different keys are all reported together."""
    together: dict[Any, Any] = {**ONE, "AUDIENC": 1}
    wanted = ["unknown key 'AUDIENC'"]
    for key in (*TOP, *EACH):
        if key in {"ISSUERS", "JWKS_URL", "DISCOVERY"}:
            continue
        together[key] = {"JWKS": {"keys": [5]}, "ALGORITHMS": ["x"]}.get(key, object())
        wanted.append(key)
    all_faults = "\n".join(faults(together))
    assert [] == [each for each in wanted if each not in all_faults]


def test_faults_of_several_issuers_name_the_entry() -> None:
    """Each entry's faults are reported under its name, those of all entries at once."""
    all_faults = faults(
        {"ISSUERS": {"a": {}, "b": {**ONE, "LEEWAY": 999}, "c": 5, "d": {**ONE, "SERVICE": "x"}}, "ISSUER": ISSUER}
    )
    assert "JWT_LP: unknown key 'ISSUER' here: with ISSUERS, set it in each of its entries" in all_faults
    assert "JWT_LP['ISSUERS']['b']: LEEWAY is a number of seconds from 0 to 300" in all_faults
    assert any(each.startswith("JWT_LP['ISSUERS']['d']: unknown key 'SERVICE'") for each in all_faults)
    assert 4 <= sum(each.startswith("JWT_LP['ISSUERS']['a']: ") for each in all_faults)
    assert 1 <= sum(each.startswith("JWT_LP['ISSUERS']['c']: is a mapping") for each in all_faults)
    assert 4 == sum("CEILING is needed with several issuers" in each for each in all_faults)


@pytest.mark.parametrize("value", [None, {}, [], "auth0", 5], ids=repr)
def test_issuers_that_are_no_mapping(value: object) -> None:
    """ISSUERS must be a mapping with at least one entry."""
    assert "ISSUERS is a mapping from a name of yours" in "\n".join(
        faults({"ISSUERS": value, "BIND": {"t": {"a": "b"}}})
    )


@pytest.mark.parametrize(
    ("expected", "entries"),
    [
        pytest.param(
            "two entries called 'auth0'", {"Auth0": {}, "AUTH0": {"ISSUER": "https://b/"}}, id="one name twice"
        ),
        pytest.param("is configured twice", {"a": {}, "b": {}}, id="one issuer twice"),
    ],
)
def test_issuers_that_cannot_be_told_apart(expected: str, entries: dict[str, dict[str, Any]]) -> None:
    """No two issuers may have the same name or the same `iss`."""
    (fault,) = faults({"ISSUERS": {name: {**ONE, "CEILING": ["a"], **each} for name, each in entries.items()}})
    assert expected in fault


@pytest.mark.parametrize("missing", [None, ""], ids=repr)
def test_a_ceiling_cannot_be_left_empty_by_accident(missing: object) -> None:
    """With several issuers, a ceiling of None or of empty text counts as missing."""
    mapping = several()
    mapping["ISSUERS"]["okta"]["CEILING"] = missing
    assert any("CEILING is needed" in each for each in faults(mapping))


def test_an_empty_ceiling_grants_nothing() -> None:
    """A ceiling written as an empty list blocks every permission."""
    (issuer,) = read({**ONE, "CEILING": []}).issuers
    assert issuer.ceiling is not None
    assert "orders:read" not in issuer.ceiling


def test_a_binding_over_several_issuers_names_each() -> None:
    """A claim without an issuer's name is ambiguous with several issuers."""
    assert any("a binding has to name its issuer" in each for each in faults(several(BIND={"tenant": "org"})))


@pytest.mark.parametrize(
    ("expected", "change"),
    [
        pytest.param(("https://login.example.com/jwks", False), {}, id="JWKS_URL"),
        pytest.param((None, True), {"JWKS_URL": None, "DISCOVERY": True}, id="DISCOVERY"),
        pytest.param((None, True), {"JWKS_URL": "", "DISCOVERY": "true"}, id="DISCOVERY as a word"),
        pytest.param(
            (None, "https://x.test/meta"), {"JWKS_URL": "", "DISCOVERY": "https://x.test/meta"}, id="an address"
        ),
        pytest.param(("http://127.0.0.1/jwks", False), {"JWKS_URL": "http://127.0.0.1/jwks"}, id="loopback"),
    ],
)
def test_where_keys_are_fetched_from(expected: tuple[Any, Any], change: dict[str, Any]) -> None:
    """Keys come from one URL or from the issuer's metadata, under the settings' restrictions."""
    (issuer,) = read({**FETCHED, **change}).issuers
    assert expected == (issuer.jwks_url, issuer.discovery)
    assert isinstance(issuer.key_source(), JwksKeys)


def test_http_is_for_development() -> None:
    """With JWT_LP_DEV=1 plain http is allowed to named hosts."""
    mapping = {**FETCHED, "JWKS_URL": "http://keys.internal/jwks", "ALLOW_HTTP_HOSTS": "keys.internal"}
    assert "http://keys.internal/jwks" == read(mapping, dev=True).issuers[0].jwks_url
    assert 1 == len(faults(mapping))


def test_secrets_stand_in_the_settings() -> None:
    """HS256 is accepted with a key set of secrets, and the repr shows none of it."""
    settings = read({**ONE, "ALGORITHMS": ["HS256"], "JWKS": {"keys": [SECRET.public_jwk()]}})
    assert str(SECRET.public_jwk()["k"]) not in repr(settings)


@pytest.mark.parametrize("value", ["2027-04-15", date(2027, 4, 15), "2020-01-01"], ids=repr)
def test_observing_until(value: object) -> None:
    """OBSERVE_UNTIL is at most ninety days ahead; a past date is allowed."""
    until = read({**ONE, "OBSERVE_UNTIL": value}).observe_until
    assert str(value) == str(until)


@pytest.mark.parametrize(
    ("expected", "word"),
    [(True, "1"), (True, "True"), (True, "YES"), (False, "0"), (False, "false"), (False, "no"), (False, "")],
)
def test_flags_as_words(expected: bool, word: str) -> None:
    """The words for yes and no in the environment are read in any case."""
    assert expected is read({**ONE, "PATTERNS": word}).issuers[0].patterns


@pytest.mark.parametrize(
    "value", ["a, b", ["a", "b"], ("b", "a"), {"a", "b"}, frozenset({"a", "b"}), {"a": 1, "b": 1}.keys()]
)
def test_lists(value: object) -> None:
    """A list is any collection of strings, or comma-separated text."""
    assert frozenset({"a", "b"}) == read({**ONE, "AUDIENCE": value}).issuers[0].audience


def test_the_environment() -> None:
    """`JWT_LP_…` variables give the same settings as a mapping; other variables are ignored."""
    settings = Settings.from_env(
        {
            **ENV,
            "JWT_LP_AUDIENCE": "a, b",
            "JWT_LP_ALGORITHMS": "RS256,ES256",
            "JWT_LP_PUBLIC": "/health,/metrics",
            "JWT_LP_SHOW_REQUIREMENT": "no",
            "JWT_LP_LEEWAY": "5",
            "JWT_LP_DEV": "1",
            "JWT_LP_TOKEN": "x",
            "OTHER": "x",
            "XJWT_LP_SERVICE": "x",
            "JWT_LPX": "x",
        }
    )
    assert (frozenset("ab"), frozenset({"RS256", "ES256"}), 5.0, False, True) == (
        settings.issuers[0].audience,
        settings.issuers[0].algorithms,
        settings.issuers[0].leeway,
        settings.show_requirement,
        settings.development,
    )
    assert ["/health", "/metrics"] == [rule for rule, _ in settings.rules.entries]


def test_issuers_of_the_environment() -> None:
    """`JWT_LP_ISSUERS__AUTH0__ISSUER` is the key ISSUER of the issuer auth0."""
    settings = Settings.from_env(
        {
            **{key.replace("LP_", "LP_ISSUERS__AUTH0__"): value for key, value in ENV.items()},
            **{key.replace("LP_", "LP_ISSUERS__OKTA__"): value for key, value in ENV.items()},
            "JWT_LP_ISSUERS__OKTA__ISSUER": "https://okta.example.com",
            "JWT_LP_ISSUERS__OKTA__CEILING": "orders:**",
            "JWT_LP_ISSUERS__AUTH0__CEILING": "orders:read,orders:list",
        }
    )
    assert [("auth0", ISSUER), ("okta", "https://okta.example.com")] == [
        (each.name, each.issuer) for each in settings.issuers
    ]
    assert ["orders:read", "orders:list"] == [str(grant) for grant in settings.issuers[0].ceiling or ()]


def test_the_environment_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an argument the process's variables are read, but never in addition to a mapping."""
    for name, value in ENV.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("TESTS_REQUIRE_ALL", raising=False)
    monkeypatch.delenv("JWT_LP_DEV", raising=False)
    monkeypatch.setenv("JWT_LP_SERVICE", "from the environment")
    assert ("from the environment", "", False) == (
        Settings.from_env().service,
        Settings.from_mapping(ONE).service,
        Settings.from_mapping(ONE).development,
    )


@pytest.mark.parametrize("dev", ["", "0", "true", "2", "1 "])
def test_development_is_1_and_nothing_else(dev: str) -> None:
    """Only the exact text 1 switches development on."""
    assert not Settings.from_mapping(ONE, environ={"JWT_LP_DEV": dev}).development


@pytest.mark.parametrize("word", ["true", "True", "TRUE", "1", "yes"])
def test_discovery_by_the_environment(word: str) -> None:
    """DISCOVERY is a flag or a URL; it accepts the same words as every flag."""
    environ = {name: value for name, value in ENV.items() if name != "JWT_LP_JWKS_URL"}
    assert Settings.from_env({**environ, "JWT_LP_DISCOVERY": word}).issuers[0].discovery is True


@pytest.mark.parametrize("word", ["false", "False", "0", "no", ""])
def test_no_discovery_by_the_environment(word: str) -> None:
    """If DISCOVERY is switched off by a word, JWKS_URL is the one source of keys."""
    assert Settings.from_env({**ENV, "JWT_LP_DISCOVERY": word}).issuers[0].discovery is False


def test_a_binding_by_the_environment_binds_the_routes_parameter() -> None:
    """A variable in capitals binds the parameter in lower case."""
    settings = Settings.from_env({**ENV, "JWT_LP_BIND__TENANT_ID": "org"})
    assert ["tenant_id"] == list(settings.bind)


def test_a_binding_by_the_environment_names_its_issuers() -> None:
    """The issuers' names in a binding are compared without case."""
    settings = Settings.from_env(
        {
            **{key.replace("LP_", "LP_ISSUERS__AUTH0__"): value for key, value in ENV.items()},
            "JWT_LP_BIND__TENANT_ID__AUTH0": "org",
        }
    )
    assert "tenant_id=auth0/org" == str(settings.bind["tenant_id"])


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param({"JWT_LP_POLICY": "x", "JWT_LP_POLICY__A__B": "y"}, id="a value and what is below it"),
        pytest.param({"JWT_LP_POLICY__A__B": "y", "JWT_LP_POLICY__A": "x"}, id="the other way round"),
        pytest.param({"JWT_LP_PROFILE": "auth0", "JWT_LP_PROFILE__BASE": "okta"}, id="a profile twice"),
        pytest.param(
            {"JWT_LP_PROFILE__BASE": "okta", "JWT_LP_PROFILE": "auth0"}, id="a profile twice, the other way round"
        ),
        pytest.param({"JWT_LP_": "x"}, id="no name"),
        pytest.param({"JWT_LP___": "x"}, id="empty names"),
        pytest.param({"JWT_LP_ISSUERS": "x"}, id="issuers as text"),
        pytest.param({"JWT_LP_ISSUER__X": "x"}, id="below a text"),
    ],
)
def test_variables_that_contradict_each_other(extra: dict[str, str]) -> None:
    """A variable that contradicts another is a `ConfigurationError`; none is silently ignored."""
    with pytest.raises(ConfigurationError):
        Settings.from_env({**ENV, **extra})


def test_settings_are_read_only() -> None:
    """Settings cannot be changed after they were checked."""
    settings = read({**ONE, "BIND": {"t": "org"}})
    changes: list[Callable[[], None]] = [
        lambda: setattr(settings, "explain", True),
        lambda: setattr(settings.issuers[0], "own", True),
        lambda: settings.bind.update({}),  # type: ignore[attr-defined]
    ]
    for change in changes:
        with pytest.raises(AttributeError):
            change()


garbage = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=8),
        st.binary(max_size=3),
        st.dates(),
        st.sampled_from([*EACH, *TOP, "auth0", "ES256", "*", "a:**", ISSUER, KEY.public_jwk(), object()]),
    ),
    lambda below: st.one_of(
        st.lists(below, max_size=3),
        st.dictionaries(
            st.one_of(st.sampled_from([*EACH, "keys", "kty", "alg"]), st.text(max_size=3), st.integers()),
            below,
            max_size=3,
        ),
    ),
    max_leaves=6,
)
keys = st.one_of(st.sampled_from([*TOP, *EACH]), st.text(max_size=6), st.integers())


@examples(250)
@given(st.dictionaries(keys, garbage, max_size=6), st.booleans(), st.booleans())
def test_garbage_is_a_configuration_error(given_: dict[Any, Any], base: bool, dev: bool) -> None:
    """Any mapping gives settings or a `ConfigurationError` with sentences."""
    result = naughty_strings.result_or_error(
        lambda: read({**ONE, **given_} if base else given_, dev=dev), ConfigurationError
    )
    if isinstance(result, ConfigurationError):
        assert result.faults
        assert all(isinstance(fault, str) and fault for fault in result.faults)
    else:
        assert result.issuers
        assert all(each.audience and each.algorithms for each in result.issuers)


@examples(100)
@given(
    st.dictionaries(st.sampled_from([*EACH, "keys", "BASE", "PERMISSIONS", "ROLES"]), garbage, max_size=4),
    st.sampled_from(["JWKS", "PROFILE", "POLICY", "BIND", "EXTERNAL", "ISSUERS"]),
)
def test_garbage_in_nested_mappings(given_: dict[Any, Any], key: str) -> None:
    """The same holds for mappings inside the mapping."""
    result = naughty_strings.result_or_error(lambda: read({**ONE, key: given_}), ConfigurationError)
    assert not isinstance(result, ConfigurationError) or result.faults


@examples(80)
@given(
    st.dictionaries(
        st.lists(st.sampled_from([*TOP, *EACH, "AUTH0", "", "a"]), min_size=1, max_size=3).map(
            lambda parts: "JWT_LP_" + "__".join(parts)
        ),
        st.text(max_size=10),
        max_size=6,
    )
)
def test_garbage_in_the_environment(environ: dict[str, str]) -> None:
    """Any variables give settings or a `ConfigurationError`."""
    result = naughty_strings.result_or_error(lambda: Settings.from_env({**ENV, **environ}), ConfigurationError)
    assert not isinstance(result, ConfigurationError) or result.faults


def test_naughty_settings() -> None:
    """A naughty string as a value or key is accepted or refused with sentences of one line each."""
    plain = Route(("GET",), "/orders", "app.view", names=("orders",))
    for text in naughty_strings.load_strings():
        changes: list[dict[str, Any]] = [
            {"SERVICE": text, "AUDIENCE": [text], "ISSUER": text, "PUBLIC": [text], "EXTERNAL": {"a": text}},
            {"CEILING": [text], "ALGORITHMS": [text], "OBSERVE_UNTIL": text, "LEEWAY": text, "OWN": text},
            {"PROFILE": text, "JWKS": text, "BIND": {text: text}, text: text, "URLCONFS": text, "EXPLAIN": text},
            {"JWKS": None, "JWKS_URL": text},
            {"JWKS": None, "DISCOVERY": text, "EXTERNAL": {text: text}},
            {"ISSUERS": {text: {**ONE, text: text}}},
        ]
        for change in changes:
            result = naughty_strings.result_or_error(partial(read, {**ONE, **change}), ConfigurationError)
            if isinstance(result, ConfigurationError):
                assert all(fault.isprintable() for fault in result.faults)
            else:
                assert result.rules.declare(plain).requirement is None


@pytest.mark.parametrize("value", [None, "", "web, mobile", ["web", "mobile"]], ids=repr)
def test_clients(value: object) -> None:
    """The clients are a list or text; without one, or with None, all are accepted."""
    (issuer,) = read({**ONE, "CLIENTS": value}).issuers
    assert (frozenset({"web", "mobile"}) if value else None) == issuer.clients


@pytest.mark.parametrize("value", [[], (), ["web", ""], [7], {"web": True}, ","], ids=repr)
def test_an_empty_list_of_clients_is_a_fault(value: object) -> None:
    """No list that came out empty, or half empty, accepts every client."""
    assert any("CLIENTS is" in fault for fault in faults({**ONE, "CLIENTS": value}))


def test_clients_need_a_profile_that_reads_one() -> None:
    """Otherwise every token would be refused."""
    (fault,) = faults({**ONE, "CLIENTS": ["web"], "PROFILE": {"CLIENT": [], "REQUIRED": ["iat"]}})
    assert "the profile names no claim for the client" in fault
