"""What an issuer makes, and what it refuses to make."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clock import Clock
from examples import examples
from issued_tokens import claims_of, refused
from jwt_lp import (
    AccessToken,
    ClaimPolicy,
    ConfigurationError,
    Guard,
    InvalidToken,
    Issuer,
    Policy,
    all_of,
)
from jwt_lp.jose.signing import SigningKey, sign
from jwt_lp.permissions.grants import Denial
from jwt_lp.revocation.snapshot import RevocationMatch
from jwt_lp.testing.authority import Authority

ISSUER = "https://issuer.test"
NOW = 1_800_000_000
KEY = SigningKey.generate("ES256", kid="k1")
POLICY = Policy.from_mapping(
    {
        "version": 1,
        "permissions": {
            "orders:list": {},
            "orders:create": {},
            "orders:{id}:read": {},
            "orders:old": {"retired": True},
            "stock:take": {},
        },
        "roles": {"clerk": {"grants": ["orders:list", "orders:create"]}, "boss": {"grants": ["**"]}},
        "audiences": {
            "orders": {"claims": ["tenant"], "max_lifetime": 600, "wildcards": True, "may_call": ["stock"]},
            "stock": {"max_lifetime": 60},
            "tiny": {"max_size": 300},
        },
        "clients": {"orders": {"grants": ["stock:*", "orders:list"], "roles": ["clerk"]}},
    }
)


def issuer(**options: Any) -> Issuer:
    usual = {"policy": POLICY, "audience": "orders", "client": "web", "clock": Clock(NOW + 0.25)}
    return Issuer(ISSUER, KEY, **{**usual, **options})


def test_a_token_has_what_rfc_9068_wants_and_nothing_else() -> None:
    """Section 2.2: iss, exp, aud, sub, client_id, iat and jti, and the scope; typ at+jwt and the kid."""
    token = issuer(randomness=bytes).issue("alice", permissions=["orders:list", "orders:7:read"])
    assert {"typ": "at+jwt", "alg": "ES256", "kid": "k1"} == jwt.get_unverified_header(token)
    assert {
        "iss": ISSUER,
        "sub": "alice",
        "aud": "orders",
        "client_id": "web",
        "iat": NOW,
        "exp": NOW + 300,
        "jti": "AAAAAAAAAAAAAAAA",
        "scope": "orders:list orders:7:read",
    } == claims_of(token)


def test_a_token_without_permissions() -> None:
    """A token without permissions has neither a scope nor roles."""
    assert set() == {"scope", "roles", "cperm"} & claims_of(issuer().issue("alice")).keys()


def test_every_token_has_its_own_id() -> None:
    """Each token has an id of 96 random bits."""
    one = issuer()
    assert 100 == len({claims_of(one.issue("alice"))["jti"] for _ in range(100)})


def test_every_argument_reaches_the_token() -> None:
    """Audience, client, lifetime, roles and listed claims are those of the call."""
    token = issuer().issue(
        "alice", roles=["clerk"], audience="orders", client="app", lifetime=90, claims={"tenant": {"id": "acmé"}}
    )
    body = claims_of(token)
    assert ("app", NOW + 90, ["clerk"], {"id": "acmé"}) == (
        body["client_id"], body["exp"], body["roles"], body["tenant"],
    )  # fmt: skip


def test_the_guard_accepts_what_is_issued() -> None:
    """A guard accepts a token of our issuer with its patterns and its roles."""
    authority = Authority(policy=POLICY, clock=Clock(NOW + 0.25))
    with authority.guard() as guard:
        token = guard.verifier.verify(authority.issuer.issue("alice", permissions=["orders:*:read"], roles=["clerk"]))
        allowed = ["orders:7:read" in token.permissions, "orders:list" in token.permissions]
        assert [True, True, False] == [*allowed, "stock:take" in token.permissions]


@pytest.mark.parametrize(
    ("reason", "message", "arguments"),
    [
        ("scope", "orders:lost is not in the catalogue", {"permissions": ["orders:lost"]}),
        ("scope", "orders:old is not in the catalogue, or retired there", {"permissions": ["orders:old"]}),
        ("scope", "bills:* is not in the catalogue", {"permissions": ["bills:*"]}),
        ("scope", "'a::b' is not a permission", {"permissions": ["a::b"]}),
        ("scope", "'orders:re*' is not a permission", {"permissions": ["orders:re*"]}),
        ("scope", "'orders:{id}:read' is not a permission", {"permissions": ["orders:{id}:read"]}),
        ("scope", "write permissions=", {"permissions": "orders:list"}),
        ("scope", "is a list of strings", {"permissions": [7]}),
        (
            "scope",
            "a token for stock may not carry wildcards such as stock:*",
            {"permissions": ["stock:*"], "audience": "stock"},
        ),
        ("scope", "are more than a guard reads", {"permissions": [f"orders:{n}:read" for n in range(1001)]}),
        ("scope", "are more than a guard reads", {"permissions": [f"orders:{n}:*" for n in range(65)]}),
        ("scope", "the policy has no role 'cleric'; its roles are: clerk, boss", {"roles": ["cleric"]}),
        (
            "target",
            "'bills' is not an audience that tokens are issued for; the audiences are orders",
            {"audience": "bills"},
        ),
        ("target", "printable", {"audience": "orders\n"}),
        ("policy", "printable", {"subject": ""}),
        ("policy", "printable", {"subject": 7}),
        ("policy", "printable", {"client": "a\x1b"}),
        ("lifetime", "700 s is too long: a token for orders lives 600 s at most", {"lifetime": 700}),
        ("lifetime", "at least one", {"lifetime": 0}),
        ("lifetime", "at least one", {"lifetime": -5}),
        ("lifetime", "at least one", {"lifetime": math.nan}),
        ("lifetime", "at least one", {"lifetime": math.inf}),
        ("lifetime", "at least one", {"lifetime": True}),
        ("lifetime", "at least one", {"lifetime": "5m"}),
        ("claims", "may not carry 'email', 'name'", {"claims": {"email": "a@b.c", "tenant": 1, "name": "Alice"}}),
        ("claims", "exp, scope is set by the issuer", {"claims": {"exp": 1, "scope": "**"}}),
        ("claims", "lineage is set by the issuer", {"claims": {"lineage": {}}}),
        ("claims", "not JSON", {"claims": {"tenant": {1, 2}}}),
        ("claims", "not JSON", {"claims": {"tenant": math.nan}}),
        ("claims", "not JSON", {"claims": {"tenant": "\ud800"}}),
        ("claims", "no verifier would accept these claims", {"claims": {"tenant": {1: "a", "1": "b"}}}),
        ("claims", "no verifier would accept these claims", {"claims": {"tenant": 10**80}}),
        ("scope", "and 12 more", {"permissions": [f"a::{number}" for number in range(20)]}),
        ("size", "the largest claims are scope (", {"permissions": ["orders:list", "stock:take"], "audience": "tiny"}),
    ],
)  # fmt: skip
def test_refused_requests(reason: str, message: str, arguments: dict[str, Any]) -> None:
    """What the policy does not allow fails, and the message names the fault and the remedy."""
    subject = arguments.pop("subject", "alice")
    assert message in refused(reason, issuer().issue, subject, **arguments)


def test_audience_and_client_are_required() -> None:
    """Unless the issuer has an audience and a client, each must be passed."""
    assert "pass audience=" in refused("target", issuer(audience=None).issue, "alice")
    assert "pass client=" in refused("policy", issuer(client=None).issue, "alice")


def test_no_token_is_longer_than_a_guard_reads() -> None:
    """The limit holds whatever the audience allows."""
    own = issuer(claims={"orders": ClaimPolicy(claims=frozenset({"x"}), max_size=10**6)})
    assert "16384 at most" in refused("size", own.issue, "alice", claims={"x": "y" * 16000})


def test_faulty_names_are_listed_and_counted() -> None:
    """Of many faulty names the first are listed, and the others counted."""
    message = refused("scope", issuer().issue, "alice", permissions=[f"lost:{number}" for number in range(20)])
    assert message.startswith("lost:0, lost:1,")
    assert "and 12 more" in message


def test_the_default_lifetime_is_short() -> None:
    """Five minutes, or the audience's maximum if that is shorter; the default maximum is an hour."""
    assert NOW + 60 == claims_of(issuer().issue("alice", audience="stock"))["exp"]
    free = issuer(policy=Policy())
    assert NOW + 300 == claims_of(free.issue("alice"))["exp"]
    assert "3600 s at most" in refused("lifetime", free.issue, "alice", lifetime=3601)


def test_without_a_catalogue_every_permission_may_be_issued() -> None:
    """So may patterns, for any audience, if no audience is declared."""
    token = issuer(policy=Policy()).issue("alice", permissions=["a:b", "c:**"], audience="anything")
    assert "a:b c:**" == claims_of(token)["scope"]


def test_claim_policies_replace_the_policys_audiences() -> None:
    """`claims` replaces the limits of the policy's audiences."""
    allowed = {"orders": ClaimPolicy(claims=frozenset({"org"}), max_lifetime=30)}
    own = issuer(claims=allowed)
    assert NOW + 30 == claims_of(own.issue("alice", claims={"org": 1}))["exp"]
    refused("target", own.issue, "alice", audience="stock")
    refused("scope", own.issue, "alice", permissions=["orders:*:read"])


def test_a_claim_that_is_no_name() -> None:
    """A key that is not text is an unlisted claim."""
    refused("claims", issuer().issue, "alice", claims={7: 1})


@pytest.mark.parametrize("name", ["", "a\n", None])
def test_an_issuer_has_a_name(name: Any) -> None:
    """An issuer without a usable `iss` is refused."""
    with pytest.raises(ConfigurationError, match="needs an identifier"):
        Issuer(name, KEY)


@pytest.mark.parametrize(
    ("keys", "policy", "faults"),
    [
        ("my-keys", POLICY, ['keys is a SigningKey or a KeyRing: write KeyRing("my-keys")']),
        (KEY, Path("x.toml"), ['policy is a Policy: write Policy.load("x.toml")']),
        (
            None,
            None,
            [
                'keys is a SigningKey or a KeyRing: write KeyRing("signing-keys")',
                'policy is a Policy: write Policy.load("least-privilege.toml")',
            ],
        ),
    ],
)
def test_a_path_is_neither_keys_nor_a_policy(keys: Any, policy: Any, faults: list[str]) -> None:
    """The error names what reads the file."""
    with pytest.raises(ConfigurationError) as caught:
        Issuer(ISSUER, keys, policy=policy)
    assert tuple(faults) == caught.value.faults


def test_an_issuer_shows_no_secret() -> None:
    """Its repr is its name; the published set has no private member."""
    own = issuer()
    assert f"<Issuer {ISSUER}>" == repr(own)
    assert {"keys": [KEY.public_jwk()]} == own.jwks()
    assert "d" not in json.dumps(own.jwks()).split('"')


# Compact permissions.

CATALOGUE = Policy.from_mapping({"version": 1, "permissions": {f"orders:{n}:use": {} for n in range(500)}})


def test_compact_permissions_are_written_where_they_are_shorter() -> None:
    """Many permissions become one short claim, few stay text, and others stay in the scope."""
    own = issuer(policy=CATALOGUE, compact=True, audience="any")
    many = [f"orders:{number}:use" for number in range(0, 500, 5)]
    claims = claims_of(own.issue("alice", permissions=[*many, "orders:*:use"]))
    assert "orders:*:use" == claims["scope"]
    assert set(many) == set(CATALOGUE.decode(claims["cperm"]))
    assert set(many) == {
        grant.text for grant in own.verify(own.issue("alice", permissions=many)).permissions if not grant.pattern
    } | {grant.text for grant in own.verify(own.issue("alice", permissions=many)).permissions}
    assert "scope" not in claims_of(own.issue("alice", permissions=many))
    assert "cperm" not in claims_of(own.issue("alice", permissions=many[:1]))
    assert "cperm" not in claims_of(own.issue("alice", permissions=["orders:*:use"]))


@pytest.mark.parametrize(
    ("cause", "changes"),
    [
        ("compact", {"cperm": "?"}),
        ("compact", {"cperm": 7}),
        ("compact", {"cperm": None}),
        ("claim_type", {"role_scope": "clerk"}),
        ("claim_type", {"role_scope": {"clerk": ["orders:list"]}}),
        ("claim_type", {"lineage": 1}),
    ],
)
def test_our_own_claims_are_read_strictly(cause: str, changes: dict[str, Any]) -> None:
    """One of our own claims in another shape refuses the token."""
    own = issuer(policy=CATALOGUE, audience="any")
    body = {**claims_of(own.issue("alice")), **changes}
    with pytest.raises(InvalidToken) as caught:
        own.verify(sign(body, KEY))
    assert cause == caught.value.cause


def test_claims_of_ours_mean_nothing_in_other_tokens() -> None:
    """In tokens of an issuer that is not marked OWN, our claims confer and refuse nothing."""
    authority = Authority(policy=CATALOGUE)
    body = {
        "cperm": CATALOGUE.encode(["orders:1:use"]),
        "role_scope": {"clerk": "orders:2:use"},
        "lineage": {"iat": 1, "ids": ["a"]},
    }
    with authority.guard(OWN=False) as guard:
        token = guard.verifier.verify(authority.token(claims=body))
        assert ([], None) == (list(token.permissions), token.lineage)
    with authority.guard() as guard:
        token = guard.verifier.verify(authority.token(claims=body))
        assert [("orders:1:use", None), ("orders:2:use", "clerk")] == [(g.text, g.role) for g in token.permissions]
        assert token.lineage is not None


def test_a_role_scope_with_nothing_in_it_confers_nothing() -> None:
    """An empty text, and what no route could require, are no permissions."""
    authority = Authority()
    with authority.guard() as guard:
        token = guard.verifier.verify(authority.token(claims={"role_scope": {"clerk": "", "boss": "é"}}))
        assert [] == list(token.permissions)


# Renewal.


def test_renewal_applies_the_current_grants() -> None:
    """Grants removed since are left out, new ones are not added, and the rest stays."""
    own = issuer()
    old = own.issue("alice", permissions=["orders:list", "orders:7:read"], roles=["clerk"], claims={"tenant": "acme"})
    new = claims_of(own.renew(old, permissions=["orders:*:read", "stock:take"], roles=["clerk", "boss"]))
    # The role boss covers everything, so the old direct grants are still granted.
    assert ("orders:list orders:7:read", ["clerk"], "acme") == (new["scope"], new["roles"], new["tenant"])
    assert claims_of(old)["jti"] != new["jti"]
    fewer = claims_of(own.renew(old, permissions=["orders:*:read", "stock:take"]))
    assert ("orders:7:read", False, "web") == (fewer["scope"], "roles" in fewer, fewer["client_id"])


def test_renewal_starts_a_new_lifetime() -> None:
    """The new token has a full lifetime from now on; an expired one is not renewed."""
    clock = Clock(NOW + 0.25)
    own = issuer(clock=clock)
    old = own.issue("alice", permissions=["orders:list"])
    clock.now += 100
    assert NOW + 190 == claims_of(own.renew(old, permissions=["orders:list"], lifetime=90))["exp"]
    clock.now += 1000
    with pytest.raises(InvalidToken) as caught:
        own.renew(old, permissions=["orders:list"])
    assert "expired" == caught.value.cause


def test_a_renewal_of_nothing() -> None:
    """If nothing is granted any more there is no token; one that never held anything is renewed."""
    own = issuer()
    assert "sign in again" in refused("scope", own.renew, own.issue("alice", permissions=["orders:list"]))
    assert "sign in again" in refused("scope", own.renew, own.issue("alice", roles=["clerk"]))
    assert "scope" not in claims_of(own.renew(own.issue("alice")))


def test_a_narrowed_token_is_not_renewed() -> None:
    """Renewing a downscoped token would lose its lineage."""
    own = issuer()
    narrow = own.narrow(own.issue("alice", permissions=["orders:list"]), ["orders:list"])
    refused("lineage", own.renew, narrow, permissions=["orders:list"])


def test_what_was_revoked_is_not_renewed() -> None:
    """Revocation is checked, and an unknown role is named."""
    own = issuer(revoked=lambda _: True)
    refused("revoked", own.renew, issuer().issue("alice"))
    refused("undecided", issuer(revoked=lambda _: None).renew, issuer().issue("alice"))
    refused("scope", issuer().renew, issuer().issue("alice"), roles=["cleric"])


# What is revoked.

SOME = Denial("d", "orders:create")
CLERKS = Denial("d", "orders:create", role="clerk")


def issuer_with_denials(*denials: Denial) -> Issuer:
    """Return an issuer for which these denials apply to everybody."""
    return issuer(revoked=lambda _: RevocationMatch(None, denials))


@pytest.mark.parametrize(
    ("expected", "denials", "requested"),
    [
        pytest.param({"scope": "orders:list"}, [SOME], {"permissions": ["orders:list", "orders:create"]}, id="one"),
        pytest.param(
            {"scope": "stock:take"},
            [Denial("d", "orders:*")],
            {"permissions": ["orders:list", "stock:take"]},
            id="by a pattern",
        ),
        pytest.param(
            {"scope": "orders:list"},
            [Denial("d", "**", ["orders:list"])],
            {"permissions": ["orders:list", "stock:take"]},
            id="all but an exception",
        ),
        pytest.param(
            {"scope": "orders:list orders:*:read"},
            [SOME],
            {"permissions": ["orders:**"]},
            id="the rest of a pattern, by the catalogue",
        ),
        pytest.param(
            {"scope": "orders:list"},
            [SOME, Denial("e", "orders:7:read")],
            {"permissions": ["orders:**"]},
            id="an entry denied in part",
        ),
        pytest.param({"role_scope": {"clerk": "orders:list"}}, [SOME], {"roles": ["clerk"]}, id="the rest of a role"),
        pytest.param(
            {"role_scope": {"clerk": "orders:list"}}, [CLERKS], {"roles": ["clerk"]}, id="a denial for the role"
        ),
        pytest.param(
            {"scope": "orders:create"},
            [Denial("d", "**", role="clerk")],
            {"permissions": ["orders:create"], "roles": ["clerk"]},
            id="a role and not its holder",
        ),
        pytest.param({"roles": ["clerk"]}, [Denial("d", "stock:*")], {"roles": ["clerk"]}, id="nothing of a role"),
        pytest.param(
            {"roles": ["clerk"], "role_scope": {"boss": "orders:list orders:create orders:*:read"}},
            [Denial("d", "stock:*")],
            {"roles": ["clerk", "boss"]},
            id="a role that has a pattern",
        ),
    ],
)
def test_what_was_revoked_is_not_issued(
    expected: dict[str, object], denials: list[Denial], requested: dict[str, Any]
) -> None:
    """It is left out, by permission; the rest is in the token, and a guard without a store holds no more."""
    own, names = issuer_with_denials(*denials), ("scope", "roles", "role_scope")
    issued = own.issue("alice", **requested)
    assert expected == {name: value for name, value in claims_of(issued).items() if name in names}
    # A renewal of an older token holds the same, and so does the renewal of that.
    old = issuer().issue("alice", **requested)
    for _ in range(2):
        old = own.renew(old, **requested)
        assert expected == {name: value for name, value in claims_of(old).items() if name in names}
    with Guard({"ISSUER": ISSUER, "AUDIENCE": "orders", "ALGORITHMS": ["ES256"], "JWKS": {"keys": [KEY.public_jwk()]},
                "OWN": True, "POLICY": POLICY}, clock=Clock(NOW + 0.25)) as guard:  # fmt: skip
        whole = guard.verifier.verify(issuer().issue("alice", **requested)).permissions.with_denials(denials)
        for token in (issued, old):
            permissions = guard.verifier.verify(token).permissions
            for text in ("orders:list", "orders:create", "orders:7:read", "orders:8:read", "stock:take"):
                assert text not in permissions or text in whole


def test_the_remaining_part_of_a_role_is_renewed_with_the_role() -> None:
    """A renewal keeps it while the role is granted, and adds nothing when the revocation is lifted."""
    requested: dict[str, Any] = {"permissions": ["stock:take"], "roles": ["clerk"]}
    old = issuer_with_denials(SOME).issue("alice", **requested)
    assert {"clerk": "orders:list"} == claims_of(issuer().renew(old, **requested))["role_scope"]
    assert not {"roles", "role_scope"} & claims_of(issuer().renew(old, permissions=["stock:take"])).keys()
    assert "sign in again" in refused(
        "scope", issuer().renew, issuer_with_denials(SOME).issue("alice", roles=["clerk"])
    )


@pytest.mark.parametrize(
    ("expected", "role", "held", "granted"),
    [
        ("orders:list", "clerk", ["orders:list", "orders:create"], {"roles": ["clerk"]}),
        ("orders:list orders:create", "clerk", ["orders:list", "orders:create"], {"roles": ["clerk", "boss"]}),
        ("orders:create", "clerk", ["orders:create"], {"permissions": ["orders:create"], "roles": ["clerk"]}),
        ("orders:list orders:*:read", "boss", ["orders:**"], {"roles": ["boss"]}),
    ],
    ids=["the role only", "another role too", "a direct grant too", "the rest of a pattern"],
)
def test_what_was_revoked_from_a_role_is_not_renewed_as_a_direct_grant(
    expected: str, role: str, held: list[str], granted: dict[str, Any]
) -> None:
    """A permission that a token holds directly, and its subject now through a role, is revoked with that role."""

    def revoked(token: AccessToken) -> RevocationMatch:
        return RevocationMatch(None, (Denial("d", "orders:create", role=role),) if role in token.roles else ())

    old = issuer().issue("alice", permissions=held)
    assert expected == claims_of(issuer(revoked=revoked).renew(old, **granted))["scope"]


@pytest.mark.parametrize("requested", [{"permissions": ["orders:create"]}, {"roles": ["clerk"]}])
def test_a_token_without_remaining_grants_is_not_made(requested: dict[str, Any]) -> None:
    """It is neither issued nor renewed; a token that requests no grants is."""
    own = issuer_with_denials(Denial("d", "orders:**"))
    assert "all that the token would hold was revoked" in refused("revoked", own.issue, "alice", **requested)
    refused("revoked", own.renew, issuer().issue("alice", **requested), **requested)
    assert own.issue("alice")
    free = issuer(policy=Policy(), revoked=lambda _: RevocationMatch(None, (SOME,)))
    # Without a catalogue, the remaining part of a pattern is unknown.
    refused("revoked", free.issue, "alice", permissions=["orders:*"])


def test_nothing_is_issued_if_everything_is_revoked() -> None:
    """The hook is called with the token that is to be made, and an error of it refuses."""
    seen: list[AccessToken] = []

    def blocked(token: AccessToken) -> RevocationMatch:
        seen.append(token)
        return RevocationMatch("blocked" if token.subject == "mallory" else None)

    own = issuer(revoked=blocked)
    refused("revoked", own.issue, "mallory", permissions=["orders:list"])
    claims = claims_of(own.issue("alice", permissions=["orders:list"], roles=["clerk"]))
    planned = seen[-1]
    assert (ISSUER, "alice", "web", claims["jti"], ("clerk",), NOW) == (
        planned.issuer, planned.subject, planned.client, planned.token_id, planned.roles, planned.issued_at,
    )  # fmt: skip
    assert ["orders:create", "orders:list"] == sorted({grant.text for grant in planned.permissions})
    assert (claims["scope"], claims["exp"]) == (planned.claims.get("scope", "orders:list"), planned.expires_at)
    refused("undecided", issuer(revoked=lambda _: 1 / 0 > 0).issue, "alice")


# From a guard and from an authority.


def test_a_guard_makes_its_own_issuer() -> None:
    """The issuer marked OWN gets the policy, the claim policies, and the other issuers as trusted."""
    authority = Authority(policy=POLICY)
    outside = {
        "ISSUER": "https://idp.test",
        "AUDIENCE": "orders",
        "ALGORITHMS": ["ES256"],
        "JWKS": {"keys": [KEY.public_jwk()]},
        "CEILING": ["orders:list"],
    }
    own = {**authority.settings(AUDIENCE=["orders"], CEILING=["**"])}
    whole = {"POLICY": own.pop("POLICY"), "CLAIMS": {"orders": {"MAX_LIFETIME": "1m", "claims": ["tenant"]}}}
    with Guard({**whole, "ISSUERS": {"own": own, "idp": outside}}) as guard:
        own_issuer = guard.issuer(authority.key, client="web")
        assert guard.verifier.verify(own_issuer.issue("alice", permissions=["orders:list"], claims={"tenant": 1}))
        assert ClaimPolicy(claims=frozenset({"tenant"}), max_lifetime=60) == own_issuer.claim_policy_for("orders")
        foreign = Issuer("https://idp.test", KEY, audience="orders", client="spa").issue(
            "42", permissions=["orders:list", "orders:create"]
        )
        child = guard.verifier.verify(own_issuer.narrow(foreign, ["orders:list"]))
        assert ("idp:42", "idp:spa") == (child.subject, child.client)
        refused("scope", own_issuer.narrow, foreign, ["orders:create"])
    none = {**whole, "ISSUERS": {"a": outside, "b": {**outside, "ISSUER": "https://b.test"}}}
    with Guard(none) as guard, pytest.raises(ConfigurationError, match="0 issuers are marked OWN"):
        guard.issuer(KEY)


@pytest.mark.parametrize("copies", [{}, {"org_id": "tenant"}])
def test_a_binding_is_not_escaped_by_narrowing(copies: dict[str, str]) -> None:
    """What a binding refuses to the provider's token, it refuses to our token downscoped from it."""
    authority = Authority(policy=POLICY, clock=Clock(NOW + 0.25))
    partner = {
        "ISSUER": "https://partner.test",
        "AUDIENCE": "orders",
        "ALGORITHMS": ["ES256"],
        "JWKS": {"keys": [KEY.public_jwk()]},
        "CEILING": ["orders:list"],
        "COPY_CLAIMS": copies,
    }
    own = authority.settings(AUDIENCE=["orders"], CEILING=["**"])
    bind = {"tenant": {"own": "tenant", "partner": "org_id"}}
    settings = {"POLICY": own.pop("POLICY"), "BIND": bind, "ISSUERS": {"own": own, "partner": partner}}
    body = {
        "iss": "https://partner.test", "sub": "mallory", "aud": "orders", "client_id": "spa", "jti": "j",
        "iat": NOW, "exp": NOW + 60, "scope": "orders:list", "org_id": "mallory-inc", "tenant": "victim-corp",
    }  # fmt: skip
    direct = sign(body, KEY)
    with Guard(settings, clock=Clock(NOW + 0.25)) as guard:
        child = guard.issuer(authority.key).narrow(direct, ["orders:list"])

        def reaches(token: str, tenant: str) -> bool:
            return guard.check(f"Bearer {token}", all_of("orders:list"), {"tenant": tenant}, "GET /").passes

        assert [False, True] == [reaches(direct, "victim-corp"), reaches(direct, "mallory-inc")]
        assert [False, bool(copies)] == [reaches(child, "victim-corp"), reaches(child, "mallory-inc")]


def test_a_guard_gives_its_issuer_no_client_of_another_issuer() -> None:
    """`client=` is refused as everywhere else."""
    authority = Authority(policy=POLICY)
    own = authority.settings(CEILING=["**"])
    policy = own.pop("POLICY")
    issuers = {"own": own, "partner": {**own, "ISSUER": "https://partner.test", "OWN": False}}
    with (
        Guard({"POLICY": policy, "ISSUERS": issuers}) as guard,
        pytest.raises(ConfigurationError, match="begins with the name of another issuer"),
    ):
        guard.issuer(authority.key, client="partner:pc")


def test_an_authority_is_an_issuer() -> None:
    """Its settings accept its tokens, also after a rotation; a provider's token is not one of ours."""
    authority = Authority(policy=POLICY)
    own = authority.issuer
    with authority.guard() as guard:
        assert "alice" == guard.verifier.verify(own.issue("alice")).subject
    old = own.issue("alice", permissions=["orders:list"])
    authority.rotate()
    with authority.guard() as guard:
        assert "alice" == guard.verifier.verify(own.issue("alice")).subject
    with pytest.raises(InvalidToken):
        own.narrow(old, ["orders:list"])
    with pytest.raises(ConfigurationError, match="OWN"):
        _ = Authority(like=authority.settings(OWN=False)).issuer
    assert "60 s at most" in refused(
        "lifetime",
        Authority(like=authority.settings(CLAIMS={"https://api.test": {"max_lifetime": 60}})).issuer.issue,
        "alice",
        lifetime=61,
    )


# The bounds of what an issuer makes.

PERMISSIONS = st.lists(
    st.sampled_from(["orders:list", "orders:create", "orders:7:read", "orders:*:read", "**", "stock:take"]), max_size=6
)


@examples(100)
@given(PERMISSIONS, st.lists(st.sampled_from(["clerk", "boss"]), max_size=2), st.booleans())
def test_a_token_confers_what_was_requested(permissions: list[str], roles: list[str], compact: bool) -> None:
    """The token has these permissions and roles, each once, in text or compact."""
    own = issuer(compact=compact)
    token: AccessToken = own.verify(own.issue("alice", permissions=permissions, roles=roles))
    assert set(permissions) == {grant.text for grant in token.permissions if grant.role is None}
    assert tuple(dict.fromkeys(roles)) == token.roles


@pytest.mark.parametrize(
    ("message", "claims"),
    [
        ("JWT_LP: CLAIMS is a mapping from an audience", ["orders"]),
        ("JWT_LP: CLAIMS: orders: must be a table, not str", {"orders": "short"}),
        ("JWT_LP: CLAIMS: orders.claim: unknown key; did you mean 'claims'?", {"orders": {"claim": ["tenant"]}}),
        ("JWT_LP: CLAIMS: 'orders': may_call belongs in the policy file", {"orders": {"may_call": ["orders"]}}),
    ],
)
def test_faults_of_claim_policies_in_settings(message: str, claims: Any) -> None:
    """Claim policies are written as in the policy file, and each fault says where it is."""
    with pytest.raises(ConfigurationError) as caught:
        Authority().guard(CLAIMS=claims)
    assert str(caught.value).startswith(message)


def test_claim_policies_in_settings() -> None:
    """Keys are in upper or lower case."""
    with Authority().guard(CLAIMS={"orders": {"MAX_SIZE": 500, "wildcards": True}}) as guard:
        assert ClaimPolicy(max_size=500, wildcards=True) == guard.settings.claims["orders"]
