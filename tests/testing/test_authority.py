"""The issuer for tests, whose tokens its own guard accepts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import fakehost
from jwt_lp import AUTHENTICATED, AccessToken, ConfigurationError, Guard, Policy, Settings, all_of
from jwt_lp.jose.signing import SigningKey
from jwt_lp.testing.authority import AUDIENCE, ISSUER, Authority, LeastPrivilegeTesting
from jwt_lp.testing.pytest_plugin import lp as fixture
from jwt_lp.tokens.profiles import COGNITO, SHIPPED_PROFILES

KEY = SigningKey.generate("ES256", kid="theirs")
THEIRS = {
    "ISSUER": "https://login.example.com/",
    "AUDIENCE": ["orders-api", "https://orders.example.com"],
    "ALGORITHMS": ["ES256"],
    "JWKS": {"keys": [KEY.public_jwk()]},
}


def policy(*sources: str) -> dict[str, Any]:
    return {
        "version": 1,
        "roles": {"clerk": {"grants": ["orders:*"], "from": list(sources)}, "boss": {"grants": ["**"]}},
    }


def like(**more: Any) -> Settings:
    return Settings.from_mapping({**THEIRS, **more}, environ={})


def verified(authority: Authority, **more: Any) -> AccessToken:
    with authority.guard() as guard:
        decision = guard.authenticate(authority.headers(**more)["Authorization"])
    assert decision.refusal is None, decision.refusal
    assert decision.token is not None
    return decision.token


def refused(authority: Authority, guard: Guard, **more: Any) -> str | None:
    found = guard.authenticate(authority.headers(**more)["Authorization"]).refusal
    return found.error if found else None


def test_without_like_the_issuer_is_own() -> None:
    """Without `like` the issuer is `OWN`: wildcards are allowed, and roles are those of the policy."""
    token = verified(Authority(policy=policy()), permissions=["reports:*"], roles=["clerk", "unknown"])
    assert (ISSUER, "default", "alice", "tests", ("clerk",), False) == (
        token.issuer,
        token.issuer_name,
        token.subject,
        token.client,
        token.roles,
        token.app,
    )
    assert (True, True, False) == tuple(each in token.permissions for each in ("reports:read", "orders:read", "a"))
    assert AUDIENCE == token.claims["aud"]


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES384", "Ed25519", "HS256"])
def test_any_algorithm(algorithm: str) -> None:
    """The guard accepts the authority's tokens for each kind of key."""
    assert "alice" == verified(Authority(algorithm=algorithm)).subject


@pytest.mark.parametrize("name", list(SHIPPED_PROFILES))
def test_it_is_like_every_profile(name: str) -> None:
    """With a provider's profile, tokens have its shape and the requested permissions."""
    authority = Authority(like=like(PROFILE=name))
    token = verified(authority, subject="bob", permissions=["orders:read", "orders:42:write"])
    assert ["orders:read", "orders:42:write"] == [str(grant) for grant in token.permissions]
    assert (True, True, False, False) == tuple(
        each in token.permissions for each in ("orders:read", "orders:42:write", "orders:list", "orders:*")
    )
    client = "tests" if SHIPPED_PROFILES[name].client else None
    assert ("bob", "https://orders.example.com" if name == COGNITO.name else client) == (token.subject, token.client)
    assert (ISSUER, False, False) == (token.issuer, token.app, token.development)


ROLES = [
    ("rfc9068", "role:orders-clerk"),
    ("rfc9068", "group:orders-clerk"),
    ("rfc9068", "entitlement:orders-clerk"),
    ("okta", "group:Clerks of orders"),
    ("entra", "role:Orders.Clerk"),
    ("entra", "wid:62e90394"),
    ("keycloak", "realm:orders-clerk"),
    ("keycloak", "client:orders-api:clerk"),
    ("keycloak", "client:orders-api:ns:clerk"),
    ("keycloak", "client:urn%3Aorders:clerk"),
    ("keycloak", "group:/staff/clerks"),
    ("keycloak", "default/group:/staff/clerks"),
    ("cognito", "group:clerks"),
    ("auth0", "scope:clerk"),
]


@pytest.mark.parametrize(("name", "source"), ROLES, ids=lambda value: value)
def test_a_role_is_put_in_as_the_policy_lists_it(name: str, source: str) -> None:
    """A role of the policy becomes the first external role that it lists, and confers its grants."""
    authority = Authority(like=like(PROFILE=name, POLICY=policy(source)))
    token = verified(authority, permissions=["orders:read"], roles=["clerk"])
    assert ("clerk",) == token.roles
    assert {"orders:*"} == {grant.text for grant in token.permissions if grant.role == "clerk"}
    assert "orders:read" in token.permissions


@pytest.mark.parametrize("name", list(SHIPPED_PROFILES))
def test_a_role_of_ours_in_any_shape(name: str) -> None:
    """With any profile, an own issuer confers the requested roles or raises `ConfigurationError`."""
    authority = Authority(like=like(PROFILE=name, OWN=True, POLICY=policy()))
    try:
        token = authority.token(roles=["clerk"])
    except ConfigurationError:
        return
    with authority.guard() as guard:
        found = guard.authenticate(f"Bearer {token}").token
    assert ("clerk",) == (found.roles if found else None)


@pytest.mark.parametrize(
    ("expected", "sources"),
    [
        pytest.param("no role", [], id="nothing listed"),
        pytest.param("no role", ["other/role:clerk"], id="another issuer's"),
        pytest.param("no role", ["realm:clerk"], id="a claim the profile does not have"),
    ],
)
def test_a_role_without_an_external_role(expected: str, sources: list[str]) -> None:
    """A role that this issuer cannot confer is a `ConfigurationError` that says what to add."""
    authority = Authority(like=like(POLICY=policy(*sources)))
    with pytest.raises(ConfigurationError, match=expected):
        authority.token(roles=["clerk"])


def test_a_role_the_policy_lacks() -> None:
    """An unknown role is a `ConfigurationError` that lists the roles."""
    with pytest.raises(ConfigurationError, match="clerk, boss"):
        Authority(like=like(POLICY=policy())).token(roles=["clrek"])


@pytest.mark.parametrize("what", ["permissions", "roles"])
def test_a_string_is_not_a_list(what: str) -> None:
    """One string in place of a list is refused, because it would be read letter by letter."""
    with pytest.raises(ConfigurationError, match=rf'{what} is a list: write {what}=\["abc"\]'):
        Authority().token(**{what: "abc"})  # type: ignore[arg-type]


def test_what_stays_and_what_is_swapped() -> None:
    """Audience, profile, policy, rules and bounds stay the application's; issuer and keys do not."""
    until = datetime.now(UTC).date() + timedelta(days=3)
    theirs = like(
        SERVICE="orders",
        POLICY=policy(),
        EXTERNAL={"/admin": "session login"},
        PUBLIC=["health"],
        BIND={"tenant": ["org", "id"]},
        URLCONFS=["urls"],
        OBSERVE_UNTIL=until,
        SHOW_REQUIREMENT=False,
        PROFILE="okta",
        OWN=True,
        PATTERNS=True,
        LEEWAY=7,
        MAX_LIFETIME=600,
        CEILING=["orders:**", "health"],
        SENDER_CONSTRAINED=["jkt"],
        CLIENTS=["web", "mobile"],
    )
    ours = Settings.from_mapping(Authority(like=theirs).settings())
    for name in ("service", "policy", "rules", "bind", "urlconfs", "observe_until", "show_requirement"):
        assert getattr(theirs, name) == getattr(ours, name)
    for name in (
        "name",
        "audience",
        "profile",
        "own",
        "patterns",
        "leeway",
        "max_lifetime",
        "ceiling",
        "sender_constrained",
        "clients",
    ):
        assert getattr(theirs.issuers[0], name) == getattr(ours.issuers[0], name)
    assert ISSUER == ours.issuers[0].issuer
    assert () == (ours.issuers[0].static or pytest.fail("no keys")).find("theirs", "ES256")


def test_like_accepts_a_mapping() -> None:
    """`like` also accepts a settings mapping."""
    assert "orders:read" in verified(Authority(like=THEIRS), permissions=["orders:read"]).permissions


def test_several_issuers() -> None:
    """Each of the application's issuers has a counterpart, chosen by name; the first is the default."""
    one = {**THEIRS, "CEILING": ["orders:**"], "PROFILE": "auth0"}
    two = {**THEIRS, "CEILING": ["**"], "PROFILE": "keycloak", "ISSUER": "https://two.example.com/"}
    theirs = Settings.from_mapping(
        {
            "ISSUERS": {"Auth0": one, "kc": two},
            "BIND": {"tenant": {"auth0": "org", "kc": ["org", "id"]}},
            "POLICY": policy("kc/realm:clerk", "auth0/role:x"),
        },
        environ={},
    )
    authority = Authority(like=theirs)
    assert ("auth0", "kc") == (verified(authority).issuer_name, verified(authority, issuer="kc").issuer_name)
    assert ("clerk",) == verified(authority, issuer="kc", roles=["clerk"]).roles
    assert "a" not in verified(authority, permissions=["a"]).permissions
    assert "a" in verified(authority, issuer="kc", permissions=["a"]).permissions
    with pytest.raises(ConfigurationError, match="no issuer is called 'x'; there is auth0, kc"):
        authority.token(issuer="x")
    guard = authority.guard()
    requirement = all_of(AUTHENTICATED)
    for name, claims in (("auth0", {"org": "t1"}), ("kc", {"org": {"id": "t1"}})):
        header = authority.headers(issuer=name, claims=claims)["Authorization"]
        assert [True, False] == [
            guard.check(header, requirement, {"tenant": each}, "GET /").passes for each in ("t1", "t2")
        ]


def test_one_issuer_by_name_keeps_its_name() -> None:
    """A single entry of ISSUERS keeps its name in bindings, in the policy and in `issuer=`."""
    theirs = Settings.from_mapping(
        {"ISSUERS": {"kc": {**THEIRS, "PROFILE": "keycloak"}}, "POLICY": policy("kc/realm:clerk")}, environ={}
    )
    authority = Authority(like=theirs)
    token = verified(authority, issuer="kc", roles=["clerk"])
    assert ("kc", ("clerk",)) == (token.issuer_name, token.roles)


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.75

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("expected", "lifetime"),
    [(None, 300), (None, 1), (None, 86400), ("invalid_token", 0), ("invalid_token", -60), ("invalid_token", 86402)],
)
def test_how_long_a_token_lives(expected: str | None, lifetime: float) -> None:
    """`lifetime` is in seconds from now; a negative one has expired, and one that is too long is refused."""
    authority = Authority(clock=Clock())
    with authority.guard() as guard:
        assert expected == refused(authority, guard, lifetime=lifetime)


def test_the_clock_is_shared() -> None:
    """The guard reads the authority's clock, so a test can let a token expire."""
    clock = Clock()
    authority = Authority(clock=clock)
    header = authority.headers(lifetime=60)["Authorization"]
    with authority.guard() as guard:
        before = guard.authenticate(header).refusal
        clock.now += 60
        after = guard.authenticate(header).refusal
    assert (None, "invalid_token") == (before, after.error if after else None)


def test_claims_are_added_last() -> None:
    """`claims` may replace any claim, and None removes one."""
    authority = Authority()
    assert ("carol", {"id": 7}, None) == (
        (token := verified(authority, claims={"sub": "carol", "org": {"id": 7}, "iat_": None})).subject,
        dict(token.claims["org"]),  # type: ignore[call-overload]
        token.claims.get("iat_"),
    )
    with authority.guard() as guard:
        for claims in ({"aud": None}, {"aud": "other"}, {"exp": None}, {"iss": "https://other.test"}, {"jti": None}):
            assert "invalid_token" == refused(authority, guard, claims=claims)


def test_a_given_typ() -> None:
    """`typ` replaces the profile's `typ` in the header."""
    authority = Authority()
    with authority.guard() as guard:
        assert ["invalid_token", None] == [refused(authority, guard, typ=typ) for typ in ("JWT", "application/at+jwt")]


def test_a_new_key_is_known_from_then_on() -> None:
    """After a rotation the old guard refuses new tokens, and a guard with new settings accepts them."""
    authority = Authority()
    old = authority.token()
    with authority.guard() as before:
        authority.rotate()
        with authority.guard() as after:
            found = [
                (guard.authenticate(f"Bearer {token}").token is not None)
                for guard in (before, after)
                for token in (old, authority.token())
            ]
    assert [True, False, False, True] == found
    assert authority.key.kid == authority.jwks()["keys"][0]["kid"]  # type: ignore[index]


def test_tokens_of_two_authorities_are_told_apart() -> None:
    """An authority's guard accepts no token of another authority."""
    one, two = Authority(), Authority()
    with one.guard() as guard:
        assert "invalid_token" == refused(two, guard)


def test_overrides() -> None:
    """Upper-case keys change the settings without changing the authority."""
    authority = Authority()
    with authority.guard(CEILING=["orders:**"], SERVICE="x") as guard:
        token = guard.authenticate(authority.headers(permissions=["a", "orders:read"])["Authorization"]).token
        assert token is not None
        assert (True, False, "x") == (
            "orders:read" in token.permissions,
            "a" in token.permissions,
            guard.settings.service,
        )
    assert "CEILING" not in authority.settings()


def test_a_policy_in_any_form(tmp_path: Path) -> None:
    """`policy` is a path, a mapping or a `Policy`."""
    file = tmp_path / "least-privilege.toml"
    file.write_text('version = 1\n[roles.clerk]\ngrants = ["orders:*"]\n', "utf-8")
    for each in (file, str(file), policy(), Policy.from_mapping(policy())):
        assert ("clerk",) == verified(Authority(policy=each), roles=["clerk"]).roles


def application() -> tuple[dict[str, Any], Guard]:
    guard = Guard(like(PROFILE="keycloak", SERVICE="theirs"))
    return {"kind": "fake", "guard": guard}, guard


def test_install_makes_an_application_accept_the_authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the test ends the application accepts the authority's tokens, with its own settings otherwise."""
    fakehost.install_fake_host(tmp_path, monkeypatch)
    (one, first), (two, second) = application(), application()
    testing = LeastPrivilegeTesting()
    testing.install(one)
    testing.install(two)
    header = testing.headers(permissions=["orders:read"])["Authorization"]
    token = two["guard"].authenticate(header).token
    assert ("theirs", "keycloak", "orders:read") == (
        two["guard"].settings.service,
        two["guard"].settings.issuers[0].profile.name,
        token.permissions.grant_for("orders:read").text,
    )
    assert (True, False) == (
        two["guard"].authenticate(f"Bearer {testing.token()}").passes,
        second.authenticate(f"Bearer {testing.token()}").passes,
    )
    testing.close()
    testing.close()
    assert (first, second) == (one["guard"], two["guard"])


def test_logging_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host's test client sends the header from then on; any other object is an error with the remedy."""
    fakehost.install_fake_host(tmp_path, monkeypatch)
    testing = LeastPrivilegeTesting()
    client: dict[str, Any] = {"kind": "client"}
    testing.login(client, "bob", ["orders:read"], claims={"org": 1})
    with testing.authority.guard() as guard:
        token = guard.authenticate(client["authorization"]).token
    assert token is not None
    assert ("bob", 1, True) == (token.subject, token.claims["org"], "orders:read" in token.permissions)
    with pytest.raises(ConfigurationError, match=r"object is not a test client .*lp\.headers"):
        testing.login(object())


def test_the_fixture_is_closed() -> None:
    """The pytest fixture yields the object and restores everything afterwards."""
    generator = fixture.__wrapped__()  # type: ignore[attr-defined]
    testing = next(generator)
    assert isinstance(testing, LeastPrivilegeTesting)
    assert None is next(generator, None)
