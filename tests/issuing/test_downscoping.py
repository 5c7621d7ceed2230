"""Downscoped tokens: what they may be, and that they never hold more than their parent."""

from __future__ import annotations

import base64
import json
import os
import random
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clock import Clock
from examples import examples
from issued_tokens import claims_of, refused
from jwt_lp import (
    AccessToken,
    ClaimPolicy,
    ClientSecrets,
    ConfigurationError,
    InvalidToken,
    Issuer,
    Permissions,
    Policy,
    PolicyError,
    StaticKeys,
    TokenExchange,
    all_of,
)
from jwt_lp.guard.guard import Guard
from jwt_lp.issuing.downscoping import downscope
from jwt_lp.jose.signing import SigningKey, sign
from jwt_lp.oauth.exchange_request import ACCESS_TOKEN, TOKEN_EXCHANGE
from jwt_lp.permissions.grants import Denial, Grant, is_pattern
from jwt_lp.permissions.requirements import EvaluationContext
from jwt_lp.revocation.snapshot import RevocationMatch
from jwt_lp.tokens.profiles import AUTH0, KEYCLOAK, RFC9068
from jwt_lp.tokens.trusted_issuer import TrustedIssuer

ISSUER = "https://issuer.test"
IDP = "https://idp.test"
NOW = 1_800_000_000
KEY = SigningKey.generate("ES256", kid="k1")
IDP_KEY = SigningKey.generate("ES256", kid="idp")
POLICY = Policy.from_mapping(
    {
        "version": 1,
        "permissions": {
            "orders:list": {},
            "orders:create": {},
            "orders:{id}:read": {},
            "stock:take": {},
            "stock:count": {},
        },
        "roles": {
            "clerk": {"grants": ["orders:list", "orders:create"], "from": ["idp/realm:clerk"]},
            "lister": {"grants": ["orders:list"]},
            "boss": {"grants": ["**"]},
        },
        "audiences": {
            "orders": {"claims": ["tenant"], "wildcards": True, "may_call": ["stock"]},
            "stock": {"max_lifetime": 60, "claims": ["tenant"], "wildcards": True},
            "bills": {"may_call": ["orders"]},
        },
        "clients": {"orders": {"grants": ["stock:*"], "roles": ["clerk"]}, "gateway": {"grants": ["**"]}, "idle": {}},
    }
)


def foreign(profile: Any = KEYCLOAK, name: str = "idp", **changes: Any) -> TrustedIssuer:
    usual: dict[str, Any] = {
        "name": name,
        "issuer": IDP,
        "audience": frozenset({"orders"}),
        "algorithms": frozenset({"ES256"}),
        "profile": profile,
        "keys": StaticKeys.from_jwks({"keys": [IDP_KEY.public_jwk()]}),
    }
    return TrustedIssuer(**{**usual, **changes})


def issuer(**options: Any) -> Issuer:
    usual = {"policy": POLICY, "audience": "orders", "client": "web", "clock": Clock(NOW + 0.25), "trusts": [foreign()]}
    return Issuer(ISSUER, KEY, **{**usual, **options})


def idp_token(**changes: Any) -> str:
    usual: dict[str, Any] = {
        "iss": IDP,
        "sub": "42",
        "aud": "orders",
        "azp": "spa",
        "iat": NOW - 30,
        "exp": NOW + 120,
        "jti": "outside",
        "typ": "Bearer",
        "scope": "openid orders:list",
        "realm_access": {"roles": ["clerk"]},
    }
    body = {name: value for name, value in {**usual, **changes}.items() if value is not None}
    return sign(body, IDP_KEY, typ="JWT")


BOUND = {"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}


def test_a_bound_token_never_becomes_one_that_is_not() -> None:
    """Neither `narrow` nor `renew` accepts a token with `cnf`, even if a guard accepts its method."""
    policy = Policy.from_mapping({"version": 1, "audiences": {"orders": {"claims": ["cnf"]}}})
    ours = issuer(policy=policy, trusts=[foreign(sender_constrained=frozenset({"jkt"}))])
    own = ours.issue("alice", permissions=["orders:list"], claims=BOUND)
    for make in (
        lambda: ours.narrow(own, ["orders:list"]),
        lambda: ours.renew(own, permissions=["orders:list"]),
        lambda: ours.narrow(idp_token(**BOUND), ["orders:list"]),
    ):
        with pytest.raises(InvalidToken) as caught:
            make()
        assert "sender_constrained" == caught.value.cause


def test_a_guard_that_accepts_bound_tokens_does_not_narrow_them() -> None:
    """`SENDER_CONSTRAINED` applies to the guard's verifier, and not to its issuer."""
    accepting = {"ISSUER": ISSUER, "AUDIENCE": "orders", "ALGORITHMS": ["ES256"], "JWKS": KEY.public_jwk(), "OWN": True}
    with Guard({**accepting, "SENDER_CONSTRAINED": ["jkt"]}, clock=Clock(NOW + 0.25)) as guard:
        ours = guard.issuer(KEY, client="web")
        token = issuer(policy=Policy.from_mapping({"version": 1, "audiences": {"orders": {"claims": ["cnf"]}}})).issue(
            "alice", permissions=["orders:list"], claims=BOUND
        )
        assert guard.check(f"Bearer {token}", all_of("orders:list"), {}, "GET /").passes
        with pytest.raises(InvalidToken) as caught:
            ours.narrow(token, ["orders:list"])
        assert "sender_constrained" == caught.value.cause


def test_a_downscoped_token_holds_what_was_requested() -> None:
    """One permission of many, for the same audience, with its parent's id and the parent's issue time."""
    own = issuer(randomness=bytes)
    child = claims_of(own.narrow(own.issue("alice", permissions=["orders:**"]), ["orders:7:read"]))
    assert {
        "iss": ISSUER,
        "sub": "alice",
        "aud": "orders",
        "client_id": "web",
        "iat": NOW,
        "exp": NOW + 300,
        "jti": "AAAAAAAAAAAAAAAA",
        "scope": "orders:7:read",
        "lineage": {"iat": NOW, "ids": ["AAAAAAAAAAAAAAAA"], "clients": ["web"]},
    } == child


def test_a_pattern_is_narrowed_to_a_smaller_one() -> None:
    """A pattern may be requested if one of the parent's contains it."""
    own = issuer()
    parent = own.issue("alice", permissions=["orders:**"])
    assert "orders:*:read" == claims_of(own.narrow(parent, ["orders:*:read"]))["scope"]
    refused("scope", own.narrow, own.issue("alice", permissions=["orders:*"]), ["orders:**"])


def test_permissions_that_are_not_held_are_named() -> None:
    """What no single grant of the parent contains is refused, whatever else is requested."""
    own = issuer()
    parent = own.issue("alice", permissions=["orders:list", "orders:7:read"])
    message = refused("scope", own.narrow, parent, ["orders:list", "orders:create", "stock:take"])
    assert "does not hold orders:create, stock:take" in message
    refused("scope", own.narrow, parent, ["orders:8:read"])
    refused("scope", own.narrow, parent, ["orders:*"])
    refused("scope", own.narrow, parent, "orders:list")


def test_an_empty_request_is_allowed() -> None:
    """A token without permissions still identifies the caller."""
    own = issuer()
    assert "scope" not in claims_of(own.narrow(own.issue("alice", permissions=["orders:list"]), []))


def test_grants_held_through_roles_name_them() -> None:
    """Each role is named, so that a revocation for the role applies to the child."""
    own = issuer()
    parent = own.issue("alice", permissions=["orders:7:read", "stock:take"], roles=["clerk", "lister"])
    child = claims_of(own.narrow(parent, ["orders:list", "orders:create", "stock:take"]))
    assert "stock:take" == child["scope"]
    assert {"clerk": "orders:list orders:create", "lister": "orders:list"} == child["role_scope"]
    assert "roles" not in child
    token = own.verify(own.narrow(parent, ["orders:list"]))
    assert {("orders:list", "clerk"), ("orders:list", "lister")} == {
        (grant.text, grant.role) for grant in token.permissions.grants_containing("orders:list")
    }
    # It is held directly too, so only a revocation for the subject removes it.
    both = own.issue("alice", permissions=["orders:list"], roles=["clerk"])
    assert "role_scope" not in claims_of(own.narrow(both, ["orders:list"]))
    # The same holds for the child of a child.
    again = claims_of(own.narrow(own.narrow(parent, ["orders:list", "stock:take"]), ["orders:list"]))
    assert {"clerk": "orders:list", "lister": "orders:list"} == again["role_scope"]


@pytest.mark.parametrize(
    ("expected", "requested", "parents"),
    [
        ("orders", None, "orders"),
        ("orders", "orders", "orders"),
        ("stock", "stock", "orders"),
        ("orders", "orders", ["orders", "bills"]),
        ("stock", "stock", ["bills", "orders"]),
        ("orders", None, ["orders"]),
    ],
)
def test_the_audience_of_a_child(expected: str, requested: str | None, parents: Any) -> None:
    """One of the parent's, or one that the policy lets one of those call."""
    own = issuer()
    parent = sign({**claims_of(own.issue("alice", permissions=["orders:list"])), "aud": parents}, KEY)
    assert expected == claims_of(own.narrow(parent, ["orders:list"], audience=requested))["aud"]


@pytest.mark.parametrize(
    ("message", "requested", "parents"),
    [
        ("name one audience", None, ["orders", "bills"]),
        ("may not be narrowed to one for 'orders'", "orders", "stock"),
        ("may not be narrowed to one for 'bills'", "bills", "orders"),
        ("may not be narrowed to one for 'stock'", "stock", "bills"),
        ("may not be narrowed to one for 'anything'", "anything", ["orders", "bills"]),
        ("may not be narrowed to one for 'stock'", "stock", "unheard-of"),
        ("may not be narrowed to one for ''", "", "orders"),
    ],
)
def test_an_audience_that_the_policy_does_not_allow(message: str, requested: str | None, parents: Any) -> None:
    """`may_call` has one direction and is not transitive."""
    own = issuer()
    parent = sign({**claims_of(own.issue("alice", permissions=["orders:list"])), "aud": parents}, KEY)
    assert message in refused("target", own.narrow, parent, ["orders:list"], audience=requested)


def test_an_actor_that_is_an_audience_calls_for_itself() -> None:
    """Of a token for two services, one cannot reach what only the other may call."""
    own = issuer()
    parent = sign({**claims_of(own.issue("alice", permissions=["stock:take"])), "aud": ["orders", "bills"]}, KEY)
    assert "stock" == claims_of(own.narrow(parent, ["stock:take"], audience="stock", actor="orders"))["aud"]
    policy = {
        "version": 1,
        "audiences": {"a": {"may_call": ["c"]}, "b": {}, "c": {}},
        "clients": {"b": {"grants": ["**"]}},
    }
    other = issuer(policy=Policy.from_mapping(policy), audience="a")
    two = sign({**claims_of(other.issue("alice", permissions=["x"])), "aud": ["a", "b"]}, KEY)
    assert "c" == claims_of(other.narrow(two, ["x"], audience="c"))["aud"]
    assert "a token for b may" in refused("target", other.narrow, two, ["x"], audience="c", actor="b")


def test_a_child_never_lives_longer() -> None:
    """A longer lifetime is cut to the parent's, to the second; the audience's maximum holds too."""
    clock = Clock(NOW + 0.25)
    own = issuer(clock=clock)
    parent = own.issue("alice", permissions=["orders:list", "stock:take"], lifetime=100)
    clock.now += 30
    assert NOW + 100 == claims_of(own.narrow(parent, ["orders:list"], lifetime=3000))["exp"]
    assert NOW + 40 == claims_of(own.narrow(parent, ["orders:list"], lifetime=10))["exp"]
    assert NOW + 90 == claims_of(own.narrow(parent, ["stock:take"], audience="stock"))["exp"]
    assert "60 s at most" in refused("lifetime", own.narrow, parent, ["stock:take"], audience="stock", lifetime=61)
    clock.now = NOW + 99.9
    assert NOW + 100 == claims_of(own.narrow(parent, ["orders:list"]))["exp"]
    fraction = sign({**claims_of(parent), "exp": NOW + 99.95}, KEY)
    assert "about to expire" in refused("lifetime", own.narrow, fraction, ["orders:list"])
    clock.now = NOW + 100
    with pytest.raises(InvalidToken):
        own.narrow(parent, ["orders:list"])


def test_an_actor_gets_what_both_hold() -> None:
    """The child is issued to the actor, names it, and holds nothing that either lacks."""
    own = issuer()
    parent = own.issue("alice", permissions=["orders:**", "stock:**"])
    child = claims_of(own.narrow(parent, ["stock:take", "orders:list"], audience="stock", actor="orders"))
    assert ("orders", {"sub": "orders"}, "alice") == (child["client_id"], child["act"], child["sub"])
    message = refused("scope", own.narrow, parent, ["orders:7:read", "stock:take"], actor="orders")
    assert "the client orders has no grant of its own for orders:7:read" in message
    refused("scope", own.narrow, own.issue("alice", permissions=["orders:list"]), ["stock:take"], actor="orders")
    refused("scope", own.narrow, parent, ["stock:**"], actor="orders")
    refused("scope", own.narrow, parent, ["stock:take"], actor="idle")


@pytest.mark.parametrize("name", ["stranger", "", "alice", "clerk", "a\nb"])
def test_an_actor_is_a_client_of_the_policy(name: str) -> None:
    """Nobody else can act, and the message has no control characters."""
    own = issuer()
    message = refused("actor", own.narrow, own.issue("alice", permissions=["orders:list"]), ["orders:list"], actor=name)
    assert message.isprintable()


def test_actors_and_ancestors_are_kept() -> None:
    """In a chain the current actor is outermost, and every ancestor is named, oldest first."""
    clock = Clock(NOW + 0.25)
    own = issuer(clock=clock)
    first = own.issue("alice", permissions=["orders:**"])
    second = own.narrow(first, ["orders:*"], actor="gateway")
    clock.now += 5
    third = own.narrow(second, ["orders:list", "orders:create"], actor="orders")
    fourth = claims_of(own.narrow(third, ["orders:list"]))
    ids = [claims_of(token)["jti"] for token in (first, second, third)]
    assert {"iat": NOW, "ids": ids, "clients": ["web", "gateway", "orders"]} == fourth["lineage"]
    assert {"sub": "orders", "act": {"sub": "gateway"}} == fourth["act"]
    assert "orders" == fourth["client_id"]


def test_a_chain_has_an_end() -> None:
    """A token can be downscoped four times in a chain."""
    own = issuer()
    token = own.issue("alice", permissions=["orders:list"])
    for _ in range(4):
        token = own.narrow(token, ["orders:list"], actor="gateway")
    assert "narrowed 4 times already" in refused("lineage", own.narrow, token, ["orders:list"])


def test_a_parent_without_an_id_is_not_narrowed() -> None:
    """Its children could not be revoked with it."""
    own = issuer()
    assert "have its issuer send jti" in refused("lineage", own.narrow, idp_token(jti=None), ["orders:list"])
    with pytest.raises(InvalidToken):
        own.narrow(sign({**claims_of(own.issue("alice")), "jti": None}, KEY), [])


def test_a_foreign_parent() -> None:
    """Its subject is distinguished from ours and kept in `sub_id` down the chain; its roles are kept."""
    own = issuer(trusts=[foreign(copy_claims={"tenant": "tenant"})])
    child = own.narrow(idp_token(tenant="acme", email="a@b.c", sid="s"), ["orders:list", "orders:create"])
    claims = claims_of(child)
    assert ("idp:42", "idp:spa", "acme") == (claims["sub"], claims["client_id"], claims["tenant"])
    assert {"format": "iss_sub", "iss": IDP, "sub": "42"} == claims["sub_id"]
    assert ("orders:list", {"clerk": "orders:create"}) == (claims["scope"], claims["role_scope"])
    assert {"iat": NOW - 30, "ids": ["outside"], "clients": ["spa"]} == claims["lineage"]
    assert NOW + 120 == claims["exp"]
    assert not {"email", "sid", "azp", "typ", "realm_access"} & claims.keys()
    grandchild = own.verify(own.narrow(child, ["orders:list"], audience="stock", actor="orders"))
    assert grandchild.lineage is not None
    assert ((IDP, "outside"), (ISSUER, claims["jti"])) == grandchild.lineage.ancestors
    assert ((IDP, "42"), "idp:42", ("spa", "idp:spa")) == (
        grandchild.lineage.subject,
        grandchild.subject,
        grandchild.lineage.clients,
    )


def test_claims_of_another_issuer_are_not_copied() -> None:
    """A listed claim is not copied from another issuer's token, nor by its children."""
    own = issuer()
    child = own.narrow(idp_token(tenant="victim-corp"), ["orders:list"])
    assert "tenant" not in claims_of(child)
    assert "tenant" not in claims_of(own.narrow(child, ["orders:list"], audience="stock"))


def test_a_claim_is_copied_as_the_settings_say() -> None:
    """It gets our name if the audience lists it; a claim that has our name already is not used."""
    own = issuer(trusts=[foreign(copy_claims={"org_id": "tenant"})])
    child = own.narrow(idp_token(org_id={"id": 7}, tenant="victim-corp"), ["orders:list"])
    assert {"id": 7} == claims_of(child)["tenant"]
    assert {"id": 7} == claims_of(own.narrow(child, ["orders:list"], audience="stock"))["tenant"]
    assert "tenant" not in claims_of(own.narrow(idp_token(tenant="victim-corp"), ["orders:list"]))
    strict = issuer(
        trusts=[foreign(copy_claims={"org_id": "tenant"})],
        claims={"orders": ClaimPolicy(claims=frozenset({"tenant"})), "bills": ClaimPolicy(), "stock": ClaimPolicy()},
    )
    first = strict.narrow(idp_token(org_id="acme"), ["orders:list"])
    assert "tenant" not in claims_of(strict.narrow(first, ["orders:list"], audience="stock"))


@pytest.mark.parametrize(
    ("message", "copied"),
    [
        ("no audience lists the claim 'tenent'; did you mean 'tenant'?: add it to claims", {"org": "tenent"}),
        ("'a', 'b' would all become 'tenant': give each a claim of its own", {"a": "tenant", "b": "tenant"}),
        *(
            (f"'{name}' is what a verifier reads", {"org": name})
            for name in ("iss", "sub", "aud", "exp", "act", "lineage", "sub_id", "role_scope", "scope", "permissions",
                         "roles", "cperm", "client_id", "azp", "nonce", "cnf", "groups", "jti")
        ),
    ],
)  # fmt: skip
def test_a_claim_that_cannot_be_copied(message: str, copied: dict[str, str]) -> None:
    """The target must be a listed claim that no verifier interprets itself."""
    with pytest.raises(ConfigurationError) as caught:
        issuer(trusts=[foreign(copy_claims=copied)])
    assert message in str(caught.value)
    assert "copy_claims of idp" in str(caught.value)


def test_wildcards_of_a_foreign_parent_do_not_count() -> None:
    """In a token of another issuer `*` is an ordinary character; it does not become a wildcard."""
    own = issuer()
    for text in ("orders:*", "orders:list", "**"):
        refused("scope", own.narrow, idp_token(scope="orders:* **", realm_access=None), [text])


def test_a_ceiling_of_a_foreign_parent_holds() -> None:
    """What exceeds its client's scope or the issuer's ceiling is not passed on."""
    capped = foreign(AUTH0)
    own = issuer(trusts=[capped])
    token = idp_token(scope="orders:list", permissions=["orders:list", "orders:create"])
    assert "orders:list" == claims_of(own.narrow(token, ["orders:list"]))["scope"]
    refused("scope", own.narrow, token, ["orders:create"])
    bounded = issuer(trusts=[foreign(ceiling=Permissions.of(["orders:create"]))])
    refused("scope", bounded.narrow, idp_token(), ["orders:list"])
    assert {"clerk": "orders:create"} == claims_of(bounded.narrow(idp_token(), ["orders:create"]))["role_scope"]


def test_a_foreign_actor_is_kept_by_name() -> None:
    """Only the names of another issuer's actors are kept, outermost first."""
    own = issuer()
    token = idp_token(act={"sub": "proxy", "email": "a@b.c", "act": {"sub": "edge"}})
    assert {"sub": "orders", "act": {"sub": "idp:proxy", "act": {"sub": "idp:edge"}}} == (
        claims_of(own.narrow(token, ["orders:list"], actor="orders"))["act"]
    )
    for act in ("proxy", {"client_id": "proxy"}, [{"sub": "proxy"}]):
        refused("lineage", own.narrow, idp_token(act=act), ["orders:list"])


def test_too_many_actors() -> None:
    """A foreign token with the maximum of actors gets no further one."""
    own = issuer()
    act = {"sub": "a", "act": {"sub": "b", "act": {"sub": "c", "act": {"sub": "d"}}}}
    kept = {"sub": "idp:a", "act": {"sub": "idp:b", "act": {"sub": "idp:c", "act": {"sub": "idp:d"}}}}
    assert kept == claims_of(own.narrow(idp_token(act=act), ["orders:list"]))["act"]
    refused("lineage", own.narrow, idp_token(act=act), ["orders:list"], actor="orders")


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="nothing"),
        pytest.param("a.b.c", id="no token"),
        pytest.param(sign({"iss": "https://other.test"}, KEY), id="of nobody we trust"),
        pytest.param(sign({**claims_of(idp_token()), "iss": ISSUER}, IDP_KEY), id="in our name"),
        pytest.param(idp_token(aud="bills"), id="for another audience"),
        pytest.param(idp_token(exp=NOW - 1, iat=NOW - 9), id="expired"),
    ],
)
def test_an_invalid_parent(token: str) -> None:
    """It is verified as a guard would, with the same cause."""
    with pytest.raises(InvalidToken):
        issuer().narrow(token, [])


def test_an_id_token_is_no_parent() -> None:
    """A token that is not an access token cannot be downscoped."""
    with pytest.raises(InvalidToken) as caught:
        issuer().narrow(idp_token(typ="ID"), [])
    assert "not_access_token" == caught.value.cause


def test_revocation_is_checked_and_fails_closed() -> None:
    """A revoked token has no children; an error or an odd answer of the hook refuses too."""

    def broken(_: object) -> bool:
        raise OSError("down")

    token_ids: list[str | None] = []

    def good(token: Any) -> bool:
        token_ids.append(token.token_id)
        return False

    parent = issuer().issue("alice", permissions=["orders:list"])
    assert "was revoked" in refused("revoked", issuer(revoked=lambda _: True).narrow, parent, ["orders:list"])
    assert "could not be determined" in refused("undecided", issuer(revoked=broken).narrow, parent, ["orders:list"])
    refused("undecided", issuer(revoked=lambda _: None).narrow, parent, ["orders:list"])
    refused("revoked", issuer(revoked=lambda _: "no").narrow, parent, ["orders:list"])
    assert issuer(revoked=good).narrow(parent, ["orders:list"])
    # The hook is called for the given token and for the new one.
    assert ["parent", "child"] == [
        "parent" if token_id == claims_of(parent)["jti"] else "child" for token_id in token_ids
    ]


def test_what_a_child_may_be_is_checked_as_for_any_token() -> None:
    """Grammar, catalogue, wildcards and claims of the audience are checked as for issued tokens."""
    own = issuer()
    parent = own.issue("alice", permissions=["**"], claims={"tenant": "acme"})
    for text in ("orders:lost", "a::b", "orders:{id}:read", "bills:*"):
        refused("scope", own.narrow, parent, [text])
    claims = claims_of(own.narrow(parent, ["stock:take"], audience="stock"))
    assert "acme" == claims["tenant"]
    other = issuer(policy=Policy(), trusts=[])
    assert "a:b:c" == claims_of(other.narrow(parent, ["a:b:c"]))["scope"]
    assert "tenant" not in claims_of(other.narrow(parent, ["a:b:c"]))


def test_an_issuer_does_not_trust_itself_twice() -> None:
    """An issuer cannot be among its own `trusts`."""
    with pytest.raises(ConfigurationError, match="remove it from trusts"):
        issuer(trusts=[foreign(issuer=ISSUER)])
    with pytest.raises(ConfigurationError, match="marked own"):
        issuer(trusts=[foreign(own=True)])


def test_names_of_another_issuer_are_never_ours() -> None:
    """A foreign subject never has the name of one of ours, and only configured audiences count."""
    own = issuer()
    with pytest.raises(PolicyError, match="begins with the name of another issuer"):
        own.issue("idp:42")
    token = idp_token(aud=["orders", "stock", "bills"], realm_access=None)
    assert "orders" == claims_of(own.narrow(token, ["orders:list"]))["aud"]
    refused("target", own.narrow, token, ["orders:list"], audience="bills")
    assert ("orders",) == own.audiences(own.verify(token))
    nobody = issuer(trusts=[foreign(audience=None)])
    refused("target", nobody.narrow, token, ["orders:list"], audience="orders")


@pytest.mark.parametrize("name", ["idp:spa", "IDP:spa", "idp:"])
def test_our_names_never_look_like_another_issuers(name: str) -> None:
    """No subject, client or actor of ours has another issuer's prefix, in any case."""
    policy = {"version": 1, "clients": {name: {"grants": ["**"]}}}
    own = issuer(policy=Policy.from_mapping(policy))
    token = own.issue("alice", permissions=["x"])
    assert "begins with the name of another issuer" in refused("policy", own.issue, "alice", client=name)
    refused("policy", own.issue, name)
    assert "begins with the name of another issuer" in refused("actor", own.narrow, token, ["x"], actor=name)
    refused("actor", own.narrow, idp_token(scope="x"), ["x"], actor=name)
    with pytest.raises(ConfigurationError, match="the client begins with the name of another issuer"):
        issuer(client=name)
    # Made before the other issuer was trusted.
    for changes in ({"client_id": name}, {"sub": name}):
        forged = sign({**claims_of(token), **changes}, KEY)
        refused("policy", own.narrow, forged, ["x"])
        refused("policy", own.renew, forged, permissions=["x"])


def test_trusted_issuers_have_distinct_names() -> None:
    """Their names are prefixes of their subjects, so no two are equal, and none has a colon."""
    other = "https://other.test"
    for changes in ({"name": "idp"}, {"name": "IDP"}, {"name": "other", "issuer": IDP}):
        with pytest.raises(ConfigurationError, match="a name of its own"):
            issuer(trusts=[foreign(), foreign(**{"issuer": other, **changes})])
    for name in ("", "idp:b"):
        with pytest.raises(ConfigurationError, match="NAME:SUBJECT"):
            issuer(trusts=[foreign(), foreign(name=name, issuer=other)])


def test_may_call_is_not_escaped_by_asking_twice() -> None:
    """A service reaches what it may call itself, not what those may call."""
    chain = {
        "version": 1,
        "audiences": {"shop": {"may_call": ["stock"]}, "stock": {"may_call": ["ledger"]}, "ledger": {}},
        "clients": {"shop": {"grants": ["**"]}, "stock": {"grants": ["**"]}},
    }
    own = issuer(policy=Policy.from_mapping(chain), audience="shop", trusts=[])
    child = own.narrow(own.issue("alice", permissions=["x"]), ["x"], audience="stock", actor="shop")
    refused("target", own.narrow, child, ["x"], audience="ledger", actor="shop")
    assert "ledger" == claims_of(own.narrow(child, ["x"], audience="ledger", actor="stock"))["aud"]


def test_grants_removed_from_a_role_are_removed_from_children() -> None:
    """If the policy has the role, it must still confer the grant; otherwise the token's claim counts."""
    own = issuer()
    child = own.narrow(own.issue("alice", roles=["clerk"]), ["orders:create", "orders:list"])
    fewer = issuer(policy=Policy.from_mapping({"version": 1, "roles": {"clerk": {"grants": ["orders:list"]}}}))
    without = issuer(policy=Policy())
    texts = [sorted(grant.text for grant in verifying.verify(child).permissions) for verifying in (fewer, without)]
    assert [["orders:list"], ["orders:create", "orders:list"]] == texts


def test_the_audience_is_read_by_the_other_issuers_profile() -> None:
    """The audience is read from that issuer's claim, and a missing `act` is accepted."""
    from dataclasses import replace

    own = issuer(trusts=[foreign(replace(RFC9068, audience="resource", required=(), apps=(), ceiling=()))])
    body = claims_of(idp_token(aud=None, resource="orders", client_id="spa", azp=None, typ=None))
    assert "orders" == claims_of(own.narrow(sign(body, IDP_KEY), ["orders:list"]))["aud"]


# What was revoked.


def without(*denials: Denial, of: str | None = None) -> Any:
    """Return a `revoked` hook with these denials, for everybody or for this name."""

    def standing(token: AccessToken) -> RevocationMatch:
        named = {token.subject, token.client, *(token.lineage.actors if token.lineage else ())}
        return RevocationMatch(None, denials) if of is None or of in named else RevocationMatch()

    return standing


@pytest.mark.parametrize(
    ("text", "denial"),
    [
        pytest.param("orders:create", Denial("d", "orders:create"), id="exactly that"),
        pytest.param("orders:create", Denial("d", "orders:*"), id="a pattern that covers it"),
        pytest.param("orders:create", Denial("d", "**", ["orders:list"]), id="all with an exception"),
        pytest.param("orders:*", Denial("d", "orders:create"), id="a pattern that loses one"),
        pytest.param("orders:*:read", Denial("d", "*:7:*"), id="a pattern that loses a part"),
        pytest.param(
            "orders:**", Denial("d", "orders:**", ["orders:*", "orders:7:read"]), id="a part beside exceptions"
        ),
    ],
)
def test_what_was_revoked_is_not_passed_on(text: str, denial: Denial) -> None:
    """Neither as a permission nor in a pattern; what remains may be requested."""
    parent = issuer().issue("alice", permissions=["orders:**", "stock:take"])
    own = issuer(revoked=without(denial))
    assert f"{text} was revoked" in refused("scope", own.narrow, parent, [text])
    refused("scope", own.narrow, parent, ["orders:list", text])
    assert "does not hold stock:count" in refused("scope", own.narrow, parent, ["stock:count"])


@pytest.mark.parametrize(
    ("text", "denial"),
    [
        ("orders:list", Denial("d", "**", ["orders:list"])),
        ("orders:*", Denial("d", "**", ["orders:*"])),
        ("orders:*", Denial("d", "orders:*:read")),
        ("orders:list", Denial("d", "orders:*", role="clerk")),
    ],
)
def test_what_remains_is_passed_on(text: str, denial: Denial) -> None:
    """An exception stays, and so does what was revoked from another."""
    parent = issuer().issue("alice", permissions=["orders:**"], roles=["clerk"])
    assert text == claims_of(issuer(revoked=without(denial)).narrow(parent, [text]))["scope"]


def test_what_was_revoked_from_a_role_is_not_passed_on() -> None:
    """What another role confers stays, and is held through that role only."""
    parent = issuer().issue("alice", roles=["clerk", "lister"])
    own = issuer(revoked=without(Denial("d", "orders:*", role="clerk")))
    assert {"lister": "orders:list"} == claims_of(own.narrow(parent, ["orders:list"]))["role_scope"]
    refused("scope", own.narrow, parent, ["orders:create"])


def test_what_was_revoked_from_a_role_of_the_actor_is_not_passed_on() -> None:
    """A client does not act with a permission that it holds only through a role from which it was revoked."""

    def revoked(token: AccessToken) -> RevocationMatch:
        return RevocationMatch(None, (Denial("d", "orders:list", role="clerk"),) if "clerk" in token.roles else ())

    roles = {"clerk": {"grants": ["orders:list", "orders:create"]}, "lister": {"grants": ["orders:list"]}}
    for client, passes in ({"roles": ["clerk"]}, False), ({"roles": ["clerk", "lister"]}, True):
        policy = Policy.from_mapping({"version": 1, "roles": roles, "clients": {"shop": client}})
        own = issuer(policy=policy, revoked=revoked)
        parent = issuer(policy=policy).issue("alice", permissions=["orders:list", "orders:create"])
        assert "orders:create" == claims_of(own.narrow(parent, ["orders:create"], actor="shop"))["scope"]
        if passes:
            assert "orders:list" == claims_of(own.narrow(parent, ["orders:list"], actor="shop"))["scope"]
        else:
            message = refused("scope", own.narrow, parent, ["orders:list"], actor="shop")
            assert "orders:list was revoked from a role of the client shop" in message


@pytest.mark.parametrize("named", ["orders", "idp:42", "idp:spa"])
def test_revocations_of_the_childs_holders_count(named: str) -> None:
    """Revocations from the actor count, and from another issuer's subject and client by their names here."""
    own = issuer(revoked=without(Denial("d", "orders:list"), of=named))
    actor = "orders" if named == "orders" else None
    refused("scope", own.narrow, idp_token(), ["orders:list"], actor=actor)
    assert own.narrow(idp_token(), ["orders:create"], actor=actor)
    dead = issuer(
        revoked=lambda token: RevocationMatch("gone") if named in (token.subject, token.client) else RevocationMatch()
    )
    refused("revoked", dead.narrow, idp_token(), ["orders:create"], actor=actor)


# The rules as properties.

SEGMENTS = st.sampled_from(["a", "b", "c"])
PERMISSIONS = st.lists(SEGMENTS, min_size=1, max_size=4).map(":".join)
PATTERNS = st.builds(
    lambda head, last: ":".join([*head, *last]),
    st.lists(SEGMENTS | st.just("*"), min_size=1, max_size=3),
    st.sampled_from([[], ["**"]]),
)
GRANTS = st.builds(
    lambda text, role: Grant(text, "scope", role, pattern=is_pattern(text)),
    PERMISSIONS | PATTERNS,
    st.sampled_from([None, None, "clerk", "boss"]),
)


@examples(300)
@given(
    st.lists(GRANTS, min_size=1, max_size=5),
    st.lists(PERMISSIONS | PATTERNS, min_size=1, max_size=3, unique=True),
    st.none() | st.lists(PERMISSIONS | PATTERNS, min_size=1, max_size=4),
    PERMISSIONS,
)
def test_a_share_is_within_the_parent_and_the_actor(
    parent: list[Grant], requested: list[str], actor: list[str] | None, permission: str
) -> None:
    """Parent and actor cover every grant of the child, nothing requested is lost, and roles are kept."""
    parent_permissions = Permissions.of(parent)
    own = None if actor is None else Permissions.of(actor, patterns=True)
    try:
        grants = downscope(parent_permissions, requested, None if own is None else ("client", own))
    except PolicyError:
        return
    texts = {*grants.direct, *(text for role_texts in grants.by_role.values() for text in role_texts)}
    assert set(requested) == texts
    child = Permissions.of([Grant(text, "scope", pattern=is_pattern(text)) for text in texts])
    assert permission not in child or (permission in parent_permissions and (own is None or permission in own))
    for role, role_texts in grants.by_role.items():
        only = Permissions.of([grant for grant in parent if grant.role == role])
        assert all(only.find_containing(text) is not None for text in role_texts)
    without = Permissions.of([grant for grant in parent if grant.role is None])
    assert all(without.find_containing(text) is not None for text in grants.direct)


OTHERS = {name: SigningKey.generate("HS256", kid=name) for name in ("a", "b")}
OURS = SigningKey.generate("HS256", kid="ours")
SECRET = "a secret that nobody guesses: 1"
CHAIN_POLICY = {
    "version": 1,
    "permissions": {"x": {}},
    "clients": {"one": {"grants": ["**"]}, "two": {"grants": ["**"]}},
}
VALUES = st.sampled_from(["acme", "victim-corp"])
NAMES = st.sets(st.sampled_from(["tenant", "org", "user"]))


@pytest.fixture(scope="module")
def bound() -> Iterator[dict[str, Guard]]:
    """Services that accept our tokens and bind their claims."""
    settings = {
        "ISSUER": ISSUER,
        "ALGORITHMS": ["HS256"],
        "JWKS": {"keys": [OURS.public_jwk()]},
        "OWN": True,
        "BIND": {"tenant": "tenant", "org": "org", "user": "user"},
    }
    with ExitStack() as guards:
        yield {
            name: guards.enter_context(Guard({**settings, "AUDIENCE": name}, clock=Clock(NOW + 0.25)))
            for name in ("one", "two")
        }


@examples(150)
@given(
    root=st.sampled_from(["a", "b", "ours"]),
    copies=st.fixed_dictionaries(
        {
            name: st.lists(
                st.tuples(st.sampled_from(["tenant", "org", "sub"]), st.sampled_from(["tenant", "org", "user"])),
                unique_by=(lambda pair: pair[0], lambda pair: pair[1]),
            )
            for name in ("a", "b")
        }
    ),
    listed=st.fixed_dictionaries({"one": NAMES, "two": NAMES}),
    given_claims=st.dictionaries(st.sampled_from(["tenant", "org", "user"]), VALUES),
    steps=st.lists(st.tuples(st.sampled_from(["one", "two"]), st.booleans()), min_size=1, max_size=3),
)
def test_a_binding_compares_only_trusted_claims(
    bound: dict[str, Guard],
    root: str,
    copies: dict[str, list[tuple[str, str]]],
    listed: dict[str, set[str]],
    given_claims: dict[str, str],
    steps: list[tuple[str, bool]],
) -> None:
    """Down any chain, by method or endpoint, a claim is what our issuer was given or may copy, nothing else."""
    audiences = {
        name: {"claims": sorted(listed[name] | {"tenant", "org", "user"} if name == "one" else listed[name])}
        for name in ("one", "two")
    }
    policy = {
        **CHAIN_POLICY,
        "audiences": {
            "one": {**audiences["one"], "may_call": ["two"]},
            "two": {**audiences["two"], "may_call": ["one"]},
        },
    }
    trusts = [
        TrustedIssuer(
            name,
            f"https://{name}.test",
            frozenset({"one"}),
            frozenset({"HS256"}),
            RFC9068,
            StaticKeys.from_jwks({"keys": [OTHERS[name].public_jwk()]}),
            copy_claims=dict(copies[name]),
        )
        for name in ("a", "b")
    ]
    own = Issuer(ISSUER, OURS, policy=Policy.from_mapping(policy), client="web", clock=Clock(NOW + 0.25), trusts=trusts)
    if root == "ours":
        token = own.issue("7", permissions=["x"], audience="one", claims=given_claims)
        expected = dict(given_claims)
    else:
        body: dict[str, Any] = {
            "iss": f"https://{root}.test", "sub": "victim-corp", "aud": "one", "client_id": "spa",
            "iat": NOW, "exp": NOW + 100, "jti": "j", "scope": "x", **given_claims,
        }  # fmt: skip
        token = sign(body, OTHERS[root])
        expected = {ours: body[theirs] for theirs, ours in copies[root] if theirs in body}
    caller = "one"
    for target, through_endpoint in steps:
        token = (exchanged if through_endpoint else narrowed)(own, token, caller, target)
        expected = {name: value for name, value in expected.items() if name in audiences[target]["claims"]}
        caller = target
    result = claims_of(token)
    registered = {"iss", "sub", "aud", "client_id", "iat", "exp", "jti", "scope", "lineage", "act"}
    assert expected == {name: value for name, value in result.items() if name not in {*registered, "sub_id"}}
    assert ("7" if root == "ours" else f"{root}:victim-corp") == result["sub"]
    guard = bound[caller]
    verified = guard.verifier.verify(token)
    for name in ("tenant", "org", "user"):
        for value in ("acme", "victim-corp"):
            requirement = all_of("x", where={"p": name})
            assert guard.can(verified, requirement, {"p": value}) is (expected.get(name) == value)
            assert guard.can(verified, all_of("x"), {name: value}) is (expected.get(name) == value)


def narrowed(own: Issuer, token: str, caller: str, target: str) -> str:
    return own.narrow(token, ["x"], audience=target, actor=caller)


def exchanged(own: Issuer, token: str, caller: str, target: str) -> str:
    form = {
        "grant_type": TOKEN_EXCHANGE,
        "subject_token": token,
        "subject_token_type": ACCESS_TOKEN,
        "audience": target,
        "scope": "x",
    }
    who = "Basic " + base64.b64encode(f"{caller}:{SECRET}".encode()).decode()
    exchange = TokenExchange(own, ClientSecrets({"one": SECRET, "two": SECRET}), clock=Clock(NOW + 0.25))
    answer = exchange.post("application/x-www-form-urlencoded", urlencode(form).encode(), [who])
    assert 200 == answer.status, answer.body
    made: str = json.loads(answer.body)["access_token"]
    return made


MANY = int(os.environ.get("TESTS_NARROWINGS", "4000"))
ALPHABET = ("a", "b", "c")
SAMPLED = [
    *ALPHABET,
    *(f"{x}:{y}" for x in ALPHABET for y in ALPHABET),
    *(f"{x}:{y}:{z}" for x in ALPHABET for y in ALPHABET for z in ALPHABET),
    "a:b:c:a:b",
]


def some_grant(dice: random.Random) -> str:
    head = [dice.choice(ALPHABET) if dice.random() < 0.7 else "*" for _ in range(dice.randint(1, 3))]
    return ":".join([*head, *(["**"] if dice.random() < 0.3 else [])])


def narrower(dice: random.Random, grant: str) -> str:
    """Return a pattern or permission that is likely, but not certainly, within `grant`."""
    if dice.random() < 0.15:
        return some_grant(dice)
    parts = [dice.choice(ALPHABET) if part == "*" and dice.random() < 0.6 else part for part in grant.split(":")]
    if parts[-1] == "**" and dice.random() < 0.7:
        parts[-1:] = [dice.choice((*ALPHABET, "*")) for _ in range(dice.randint(1, 2))]
    return ":".join(parts)


def test_many_narrowings_and_chains_of_them() -> None:
    """No child allows more than its parent, outlives it, or lacks its actor and lineage."""
    dice = random.Random(20_260_301)
    secret = SigningKey.generate("HS256", kid="s")
    clock = Clock(NOW + 0.25)
    policy = Policy.from_mapping(
        {
            "version": 1,
            "roles": {"r": {"grants": ["a:*", "b:**"]}, "s": {"grants": ["*:b", "c"]}},
            "audiences": {
                "one": {"may_call": ["two"], "wildcards": True},
                "two": {"may_call": ["three"], "wildcards": True},
                "three": {"wildcards": True, "max_lifetime": 60},
            },
            "clients": {"x": {"grants": ["a:**", "*:b:*"]}, "y": {"roles": ["r"], "grants": ["**"]}},
        }
    )
    own = Issuer(ISSUER, secret, policy=policy, audience="one", client="web", clock=clock)
    guards = {
        name: Guard(
            {
                "ISSUER": ISSUER,
                "AUDIENCE": name,
                "ALGORITHMS": ["HS256"],
                "JWKS": {"keys": [secret.public_jwk()]},
                "OWN": True,
                "POLICY": policy,
            },
            clock=clock,
        )
        for name in ("one", "two", "three")
    }
    requirements = {text: all_of(text) for text in SAMPLED}
    clients = {name: Permissions.of([*c.grants, *policy.grants(c.roles)]) for name, c in policy.clients.items()}
    downscoped = tried = 0
    while downscoped < MANY:
        clock.now += dice.choice((0, 0, 0.5, 3))
        token = own.issue(
            f"user-{dice.randint(0, 9)}",
            permissions=[some_grant(dice) for _ in range(dice.randint(0, 4))],
            roles=[role for role in ("r", "s") if dice.random() < 0.4],
            lifetime=dice.randint(2, 600),
        )
        for _ in range(4):
            tried += 1
            parent = own.verify(token)
            if clock.now >= parent.expires_at - 1:
                break
            texts = [grant.text for grant in parent.permissions]
            requested = [narrower(dice, dice.choice(texts)) for _ in range(dice.randint(1, 2))] if texts else []
            actor = dice.choice((None, "x", "y"))
            target = dice.choice((None, "one", "two", "three"))
            lifetime = dice.choice((None, 5, 60, 590))
            try:
                token = own.narrow(token, requested, audience=target, lifetime=lifetime, actor=actor)
            except PolicyError:
                continue
            downscoped += 1
            audience = str(claims_of(token)["aud"])
            child = guards[audience].verifier.verify(token)
            assert child.expires_at <= parent.expires_at
            assert (child.issuer, child.subject) == (parent.issuer, parent.subject)
            before = parent.lineage
            assert child.lineage is not None
            assert (*(before.ancestors if before else ()), (ISSUER, parent.token_id)) == child.lineage.ancestors
            assert (before.issued_at if before else parent.issued_at) == child.lineage.issued_at
            acting = before.actors if before else ()
            assert ((actor, *acting) if actor else acting) == child.lineage.actors
            assert {parent.client, *(before.clients if before else ())} == set(child.lineage.clients)
            assert actor in (None, child.client)
            for permission in dice.sample(SAMPLED, 6):
                if guards[audience].can(child, requirements[permission]):
                    assert (
                        requirements[permission].evaluate(EvaluationContext(parent.permissions, {}, {}, "")).satisfied
                    )
                    assert actor is None or permission in clients[actor]
    for guard in guards.values():
        guard.close()
    # The generator must stay useful: enough of its requests must be allowed, and enough refused.
    assert 0.3 < downscoped / tried < 0.95
