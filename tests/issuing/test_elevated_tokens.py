"""Tokens that hold permissions by elevations, and tokens for one task."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clock import Clock
from elevated import approve, change
from issued_tokens import claims_of, refused
from jwt_lp import ClientSecrets, Granted, Guard, Issuer, Policy, SignIn, StaticKeys, TokenExchange, all_of, subscribe
from jwt_lp.issuing.claim_policy import ClaimPolicy
from jwt_lp.jose.signing import SigningKey, sign
from jwt_lp.oauth.exchange_request import ACCESS_TOKEN, TOKEN_EXCHANGE
from jwt_lp.permissions.grants import Denial, Permissions
from jwt_lp.revocation.snapshot import RevocationMatch
from jwt_lp.revocation.temporary_grants import TemporaryGrant
from jwt_lp.stores import open_store
from jwt_lp.tokens.delegation import Ancestor
from jwt_lp.tokens.profiles import RFC9068
from jwt_lp.tokens.trusted_issuer import TrustedIssuer
from memory_store import MemoryStore, entry

ISSUER = "https://issuer.test"
IDP = "https://idp.test"
NOW = 1_800_000_000
KEY = SigningKey.generate("ES256", kid="k1")
IDP_KEY = SigningKey.generate("ES256", kid="idp")
EXPORT = "orders:export"
RULES = {name: {"ask": "anyone", "approve": "orders:approve"} for name in (EXPORT, "orders:purge:*", "lost:*")}
POLICY = Policy.from_mapping(
    {
        "version": 1,
        "permissions": {"orders:read": {}, EXPORT: {}, "orders:purge:{id}": {}, "orders:approve": {}, "lost:found": {}},
        "roles": {"clerk": {"grants": ["orders:read"]}, "lead": {"grants": ["orders:read", EXPORT]}},
        "audiences": {"orders": {"claims": ["tenant"], "wildcards": True}},
        "clients": {"robot": {"grants": [EXPORT, "orders:read"]}, "web": {}, "orders": {"grants": ["orders:*"]}},
        "elevation": RULES,
    }
)


def grant(permission: str = EXPORT, until: float = NOW + 60, id_: str = "e1", **more: Any) -> TemporaryGrant:
    usual = {"issuer": ISSUER, "subject": "alice", "since": NOW - 5.0}
    return TemporaryGrant(**{**usual, **more}, id=id_, permission=permission, until=until)


def issuer(*grants: TemporaryGrant, **options: Any) -> Issuer:
    usual: dict[str, Any] = {"policy": POLICY, "audience": "orders", "client": "web", "clock": Clock(NOW + 0.25)}
    return Issuer(ISSUER, KEY, **{**usual, "elevated": lambda _: grants, **options})


def idp(**changes: Any) -> TrustedIssuer:
    usual: dict[str, Any] = {
        "name": "idp",
        "issuer": IDP,
        "audience": frozenset({"orders"}),
        "algorithms": frozenset({"ES256"}),
        "profile": RFC9068,
        "keys": StaticKeys.from_jwks({"keys": [IDP_KEY.public_jwk()]}),
        "elevation": Permissions.of(["orders:*"], patterns=True),
    }
    return TrustedIssuer(**{**usual, **changes})


def idp_token(**changes: Any) -> str:
    usual = {
        "iss": IDP, "sub": "42", "aud": "orders", "client_id": "spa", "iat": NOW - 30, "exp": NOW + 120, "jti": "outside",
        "scope": "orders:read",
    }  # fmt: skip
    return sign({**usual, **changes}, IDP_KEY, typ="at+jwt")


def test_the_next_token_holds_what_was_approved() -> None:
    """Under the name of the elevation, beside its other grants; it ends and is revoked with the elevation."""
    token = issuer(grant()).issue("alice", permissions=["orders:read"], roles=["clerk"], lifetime=600)
    claims = claims_of(token)
    assert {"elevation:e1": EXPORT} == claims["role_scope"]
    assert ("orders:read", ["clerk"], NOW + 60) == (claims["scope"], claims["roles"], claims["exp"])
    assert {"iat": NOW, "elevations": ["e1"]} == claims["lineage"]
    read = issuer().verify(token)
    assert read.lineage is not None
    assert ((ISSUER, "e1"),) == read.lineage.elevations
    assert not read.lineage.is_narrowed
    credited = read.permissions.grant_for(EXPORT)
    assert credited is not None
    assert "e1" == credited.elevation


def test_a_token_that_ends_before_the_elevation_keeps_its_lifetime() -> None:
    """The elevation only ever shortens it."""
    claims = claims_of(issuer(grant(until=NOW + 9000.0)).issue("alice", lifetime=600))
    assert NOW + 600 == claims["exp"]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"subject": "bob"}, id="another subject"),
        pytest.param({"issuer": IDP}, id="another issuer"),
        pytest.param({"client": "robot"}, id="another client"),
        pytest.param({"client": ""}, id="no client"),
        pytest.param({"until": NOW + 0.2}, id="it is over"),
        pytest.param({"until": NOW + 0.9}, id="it ends in this second"),
        pytest.param({"since": NOW + 1.0}, id="it begins later"),
        pytest.param({"permission": "orders:read"}, id="the policy has no rule for it"),
        pytest.param({"permission": "orders:*"}, id="a pattern wider than the rule"),
        pytest.param({"permission": "lost:thing"}, id="it is not in the catalogue"),
    ],
)
def test_what_is_no_elevation_of_this_token(other: dict[str, Any]) -> None:
    """Whatever `elevated` returns, a token holds only what the policy lets its own subject hold now."""
    claims = claims_of(issuer(grant(**other)).issue("alice", permissions=["orders:approve"]))
    assert claims.keys().isdisjoint({"role_scope", "lineage"})
    assert NOW + 300 == claims["exp"]


@pytest.mark.parametrize("held", [{"permissions": [EXPORT]}, {"permissions": ["orders:*"]}, {"roles": ["lead"]}])
def test_a_standing_grant_is_not_shortened(held: dict[str, Any]) -> None:
    """Who holds the permission anyway gets the token that one would get without the elevation."""
    assert "lineage" not in claims_of(issuer(grant()).issue("alice", **held))


def test_a_token_without_any_other_grant() -> None:
    """It holds the elevated permission alone."""
    claims = claims_of(issuer(grant("orders:purge:7", client="web")).issue("alice"))
    assert ({"elevation:e1": "orders:purge:7"}, None) == (claims["role_scope"], claims.get("scope"))


def test_the_elevation_joins_the_lineage_of_a_session() -> None:
    """The token is revoked with both."""
    ancestor = Ancestor("family", NOW - 100)
    claims = claims_of(issuer(grant()).issue("alice", ancestor=ancestor))
    assert {"iat": NOW - 100, "ids": ["family"], "elevations": ["e1"]} == claims["lineage"]


def test_of_two_elevations_for_one_permission_the_later_end_counts() -> None:
    """And of many, those that end last, so that no number of approvals makes a token that nobody reads."""
    twice = issuer(grant(until=NOW + 10.0), grant(until=NOW + 20.0, id_="e2"))
    assert ["e2"] == claims_of(twice.issue("alice"))["lineage"]["elevations"]
    many = issuer(*(grant(f"orders:purge:{number}", NOW + 10.0 + number, f"n{number}") for number in range(20)))
    token = many.issue("alice")
    assert [f"n{number}" for number in range(19, 11, -1)] == claims_of(token)["lineage"]["elevations"]
    assert NOW + 22 == many.verify(token).expires_at


def denied(pattern: str, *, standing: bool = False) -> RevocationMatch:
    return RevocationMatch(None, (Denial("d", pattern, standing=standing),))


def test_what_is_denied_is_not_signed() -> None:
    """A deny entry beats an elevation, and hides no other grant."""
    ours = issuer(grant(), revoked=lambda _: denied(EXPORT))
    for permissions in (["orders:read"], []):
        assert "lineage" not in claims_of(ours.issue("alice", permissions=permissions))
    claims = claims_of(issuer(grant(), revoked=lambda _: denied("orders:read")).issue("alice", roles=["clerk"]))
    assert {"elevation:e1": EXPORT} == claims["role_scope"]


@pytest.mark.parametrize("held", [{"permissions": [EXPORT, "orders:approve"]}, {"roles": ["lead"]}])
def test_what_a_plan_revoked_is_signed_by_elevation_only(held: dict[str, Any]) -> None:
    """The standing grant is left out; the elevation is there, and the token ends with it, also when it is renewed or narrowed."""
    plan = {"revoked": lambda _: denied(EXPORT, standing=True)}
    ours = issuer(grant(), **plan)
    before = issuer().issue("alice", **held)
    renewed = ours.renew(before, **held)
    for token in (ours.issue("alice", **held), renewed, ours.narrow(before, [EXPORT]), ours.narrow(renewed, [EXPORT])):
        claims = claims_of(token)
        assert (EXPORT, NOW + 60) == (claims["role_scope"]["elevation:e1"], claims["exp"])
        assert ["e1"] == claims["lineage"]["elevations"]
        assert EXPORT not in str(claims.get("scope"))
        assert "roles" not in claims
    without = issuer(**plan)
    assert EXPORT not in str(claims_of(without.issue("alice", **held)))
    refused("scope", without.narrow, before, [EXPORT])
    refused("scope", ours.narrow, before, ["orders:*"])


def test_an_error_gives_the_token_without_elevations() -> None:
    """Nobody is signed out because it is not known who is elevated; it is logged."""
    events: list[Any] = []

    def fail(token: object) -> Iterable[TemporaryGrant]:
        raise OSError

    unsubscribe = subscribe(lambda name, members: events.append((name, dict(members))))
    claims = claims_of(issuer(elevated=fail).issue("alice", permissions=["orders:read"]))
    issuer(grant("lost:thing")).issue("alice")
    unsubscribe()
    assert "role_scope" not in claims
    assert [
        ("elevations_unknown", {"issuer": ISSUER, "subject": "alice", "error": "OSError"}),
        ("elevation_not_issued", "e1"),
    ] == [events[0], (events[1][0], events[1][1]["elevation"])]


def test_a_token_narrowed_from_an_elevated_one_rests_on_the_elevation_too() -> None:
    """Whether it holds the elevated permission or not, it ends with its parent, and both are revoked together."""
    ours = issuer(grant())
    parent = ours.issue("alice", permissions=["orders:read"])
    for wanted, role_scope in ((EXPORT, {"elevation:e1": EXPORT}), ("orders:read", None)):
        claims = claims_of(ours.narrow(parent, [wanted]))
        assert (NOW + 60, ["e1"], role_scope) == (
            claims["exp"],
            claims["lineage"]["elevations"],
            claims.get("role_scope"),
        )


def test_narrowing_to_an_elevated_permission() -> None:
    """It need not be in the token yet: the new one rests on the elevation if it uses it, and only then."""
    parent = issuer().issue("alice", permissions=["orders:read"], lifetime=600)
    ours = issuer(grant())
    with_it, without = (claims_of(ours.narrow(parent, [each], lifetime=600)) for each in (EXPORT, "orders:read"))
    assert (NOW + 60, ["e1"]) == (with_it["exp"], with_it["lineage"]["elevations"])
    assert (NOW + 600, None) == (without["exp"], without["lineage"].get("elevations"))
    refused("scope", issuer().narrow, parent, [EXPORT])
    refused("scope", issuer(grant(), revoked=lambda _: denied(EXPORT)).narrow, parent, [EXPORT])


def test_no_narrowed_token_gets_back_what_it_was_narrowed_from() -> None:
    """A token that was narrowed, or that somebody else acts with, cannot be elevated by narrowing it again."""
    parent = issuer().issue("alice", permissions=["orders:read"])
    ours = issuer(grant())
    refused("scope", ours.narrow, ours.narrow(parent, ["orders:read"]), [EXPORT])
    refused("scope", ours.narrow, ours.narrow(parent, ["orders:read"], actor="robot"), [EXPORT])
    foreign = grant(issuer=IDP, subject="42")
    acting = idp_token(act={"sub": "somebody"})
    refused("scope", issuer(foreign, trusts=[idp()]).narrow, acting, [EXPORT])


def test_a_client_that_acts_must_hold_an_elevated_permission_itself() -> None:
    """An elevation is the subject's, not the client's."""
    parent = issuer().issue("alice", permissions=["orders:read"])
    assert EXPORT == claims_of(issuer(grant()).narrow(parent, [EXPORT], actor="robot"))["role_scope"]["elevation:e1"]
    refused("scope", issuer(grant()).narrow, parent, [EXPORT], actor="web")


def test_narrowing_a_token_of_another_issuer() -> None:
    """Its subject's elevation counts within ELEVATION of that issuer; an early end revokes the new token."""
    ours = issuer(grant(issuer=IDP, subject="42"), trusts=[idp()])
    token = ours.narrow(idp_token(), [EXPORT, "orders:read"])
    lineage = ours.verify(token).lineage
    assert lineage is not None
    assert ((IDP, "e1"),) == lineage.elevations
    for ceiling in ([], ["orders:read"]):
        capped = issuer(grant(issuer=IDP, subject="42"), trusts=[idp(elevation=Permissions.of(ceiling))])
        refused("scope", capped.narrow, idp_token(), [EXPORT])
    refused("scope", issuer(grant(subject="42"), trusts=[idp()]).narrow, idp_token(), [EXPORT])


def test_a_standing_role_is_credited_before_an_elevation() -> None:
    """A token narrowed to what a role confers does not end with an elevation for the same permission."""
    elevated = issuer(grant("orders:purge:7")).issue("alice", roles=["lead"])
    claims = claims_of(issuer(grant()).narrow(elevated, [EXPORT]))
    assert {"lead": EXPORT} == claims["role_scope"]
    two = [grant("orders:purge:7"), grant("orders:purge:7", id_="e2")]
    parent = issuer().issue("alice", permissions=["orders:read"])
    assert 1 == len(claims_of(issuer(*two).narrow(parent, ["orders:purge:7"]))["role_scope"])


def test_a_token_rests_on_a_bounded_number_of_elevations() -> None:
    """A new elevation that would be one too many is refused, and none is forgotten."""
    full = issuer(*(grant(f"orders:purge:{number}", id_=f"n{number}") for number in range(8))).issue("alice")
    assert "at most" in refused("lineage", issuer(grant()).narrow, full, [EXPORT])


def test_an_elevated_token_is_renewed_by_what_holds_then() -> None:
    """It gets what is approved at that time, and nothing of an elevation that is over."""
    token = issuer(grant()).issue("alice", permissions=["orders:read"])
    again = claims_of(issuer(grant(until=NOW + 90.0)).renew(token, permissions=["orders:read"]))
    assert (NOW + 90, {"elevation:e1": EXPORT}) == (again["exp"], again["role_scope"])
    after = claims_of(issuer().renew(token, permissions=["orders:read"]))
    assert ("orders:read", NOW + 300) == (after["scope"], after["exp"])
    assert after.keys().isdisjoint({"role_scope", "lineage"})
    alone = issuer(grant()).issue("alice")
    assert "role_scope" not in claims_of(issuer().renew(alone))


class OwnWorld:
    """An issuer of ours and a guard for its tokens, on one store in memory."""

    def __init__(self) -> None:
        self.clock = Clock(float(NOW))
        self.store = MemoryStore()
        settings = {
            "ISSUER": ISSUER, "AUDIENCE": "orders", "ALGORITHMS": ["ES256"], "JWKS": {"keys": [KEY.public_jwk()]},
            "OWN": True, "POLICY": POLICY, "STORE": self.store,
        }  # fmt: skip
        self.guard = Guard(settings, clock=self.clock)
        self.guard._worker.close()
        assert self.guard._runtime is not None
        self.poller = self.guard._runtime.revocations
        self.poll()
        self.issuer = self.guard.issuer(KEY, client="web")

    def poll(self) -> None:
        self.poller.poll()

    def passes(self, token: str, permission: str = EXPORT) -> bool:
        return self.guard.check(f"Bearer {token}", all_of(permission), {}, "GET /").passes


@pytest.fixture
def own() -> Iterator[OwnWorld]:
    created = OwnWorld()
    yield created
    created.guard.close()


def test_from_approval_to_the_end_with_our_own_issuer(own: OwnWorld) -> None:
    """The issuer of a guard takes elevations from the guard's store; the token ends with the elevation by itself."""
    before = own.issuer.issue("alice", permissions=["orders:read"])
    approve(own.store, EXPORT, NOW, 60, issuer=ISSUER)
    own.poll()
    token = own.issuer.issue("alice", permissions=["orders:read"])
    assert [False, True] == [own.passes(before), own.passes(token)]
    own.clock.now = NOW + 60
    assert [False, True] == [own.passes(token), own.passes(before, "orders:read")]


@pytest.mark.parametrize(
    ("of", "name", "held"),
    [("subject", "alice", {"permissions": ["orders:read", EXPORT]}), ("role", "lead", {"roles": ["lead"]})],
)
def test_what_a_plan_revoked_is_held_by_an_elevation_in_our_own_token(
    own: OwnWorld, of: str, name: str, held: dict[str, Any]
) -> None:
    """Of the two grants in one token, the entry refuses the standing one only; another deny entry refuses both."""
    elevation = approve(own.store, EXPORT, NOW, 60, issuer=ISSUER)
    own.poll()
    token = own.issuer.issue("alice", permissions=["orders:read"])
    standing = own.issuer.issue("alice", **held)
    own.store.revoke([entry(of, name, issuer=ISSUER, pattern=EXPORT, standing=True)], at=NOW)
    own.poll()
    again = own.issuer.issue("alice", **held)
    child = own.issuer.narrow(again, [EXPORT])
    assert [True, False, True, True] == [own.passes(each) for each in (token, standing, again, child)]
    used = own.guard.check(f"Bearer {again}", all_of(EXPORT), {}, "GET /x").used
    assert [elevation.id] == [each.elevation for each in used]
    hard = entry("subject", "alice", issuer=ISSUER, pattern=EXPORT)
    own.store.revoke([hard], at=NOW)
    own.poll()
    assert not any(own.passes(each) for each in (token, standing, again, child))
    own.store.lift([hard.id], at=NOW)
    change(own.store, elevation, "ended", NOW + 1)
    own.poll()
    assert not any(own.passes(each) for each in (token, standing, again, child))


def test_an_early_end_refuses_every_token_that_rests_on_it(own: OwnWorld) -> None:
    """The token itself, and each that was narrowed from it; a token without the elevation stays good."""
    elevation = approve(own.store, EXPORT, NOW, 60, issuer=ISSUER)
    before = own.issuer.issue("alice", permissions=["orders:read"])
    own.poll()
    token = own.issuer.issue("alice", permissions=["orders:read"])
    children = [own.issuer.narrow(token, [each]) for each in (EXPORT, "orders:read")]
    narrowed = own.issuer.narrow(before, [EXPORT])
    assert all(own.passes(each) for each in (token, children[0], narrowed))
    change(own.store, elevation, "ended", NOW + 1)
    own.poll()
    assert not any(own.passes(each, "orders:read") for each in (token, *children))
    assert not own.passes(narrowed)
    assert own.passes(before, "orders:read")
    assert "role_scope" not in claims_of(own.issuer.issue("alice", permissions=["orders:read"]))
    refused("revoked", own.issuer.narrow, token, ["orders:read"])


def test_an_issuer_knows_no_elevation_by_a_stale_snapshot(own: OwnWorld) -> None:
    """What cannot be told is not granted; `revoked` refuses to sign anything then, unless it is replaced."""
    approve(own.store, EXPORT, NOW, 600, issuer=ISSUER)
    own.poll()
    ours = own.guard.issuer(KEY, client="web", revoked=lambda _: False)
    assert "role_scope" in claims_of(ours.issue("alice"))
    own.poller.clock = lambda: math.inf
    assert "role_scope" not in claims_of(ours.issue("alice"))


def test_issuing_waits_for_the_first_poll(own: OwnWorld) -> None:
    """Elevations that were approved before the process began count in its first token."""
    approve(own.store, EXPORT, NOW, 60, issuer=ISSUER)
    with Guard(own.guard.settings, clock=own.clock) as guard:
        ours = guard.issuer(KEY, client="web", revoked=lambda _: False)
        assert "role_scope" in claims_of(ours.issue("alice"))


def test_the_token_endpoint_gives_an_elevated_permission(own: OwnWorld) -> None:
    """An exchange (RFC 8693) asks for it by name, and its token ends with the elevation."""
    parent = own.issuer.issue("alice", permissions=["orders:read"])
    endpoint = TokenExchange(own.issuer, ClientSecrets({"orders": "x" * 32}), clock=own.clock)
    form = {
        "grant_type": [TOKEN_EXCHANGE], "subject_token": [parent], "subject_token_type": [ACCESS_TOKEN],
        "scope": [EXPORT], "client_id": ["orders"], "client_secret": ["x" * 32],
    }  # fmt: skip
    assert 400 == endpoint.answer(form, ()).status
    approve(own.store, EXPORT, NOW, 60, issuer=ISSUER)
    own.poll()
    answer = json.loads(endpoint.answer(form, ()).body)
    assert (60, EXPORT) == (answer["expires_in"], answer["scope"])
    assert own.passes(answer["access_token"])


def test_a_refresh_gives_an_elevated_permission(own: OwnWorld, tmp_path: Path) -> None:
    """Whoever was approved refreshes, and holds it until its end; the session goes on."""
    pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy (extra `sql`)")
    sessions_store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    sign_in = SignIn(
        own.issuer,
        sessions_store,
        authenticate=lambda name, _: name,
        permissions=lambda _: Granted(["orders:read"]),
        clock=own.clock,
    )
    first = sign_in.sessions.start("alice")
    approve(own.store, EXPORT, NOW, 60, issuer=ISSUER)
    own.poll()
    second = sign_in.sessions.renew(first.refresh_token)
    assert (60, "orders:read orders:export") == (second.expires_in, second.scope)
    assert [False, True] == [own.passes(first.access_token), own.passes(second.access_token)]
    own.clock.now = NOW + 60
    third = sign_in.sessions.renew(second.refresh_token)
    assert [False, True] == [own.passes(third.access_token), own.passes(third.access_token, "orders:read")]
    sessions_store.close()


def test_usage_of_our_own_tokens_names_the_elevation(own: OwnWorld) -> None:
    """As with tokens of other issuers, and a role of the policy can have no such name."""
    elevation = approve(own.store, EXPORT, NOW, 60, issuer=ISSUER)
    own.poll()
    assert own.passes(own.issuer.issue("alice"))
    assert own.guard._runtime is not None
    own.guard._runtime.recorder.flush()
    assert [f"elevation:{elevation.id}"] == [use.role for use in own.store.counts]
    own.store.revoke([entry("role", f"elevation:{elevation.id}", ISSUER, pattern="**")], at=NOW)
    own.poll()
    assert not own.passes(own.issuer.issue("alice"))


def test_a_token_for_one_task() -> None:
    """It holds what the task needs, until a time, under the name of the task; so does every token made from it."""
    ours = issuer()
    parent = ours.issue("alice", permissions=["orders:read", EXPORT])
    token = ours.narrow(parent, ["orders:read"], until=NOW + 20.9, task="ticket 17", actor="robot")
    read = ours.verify(token)
    assert read.lineage is not None
    assert ("ticket 17", NOW + 20) == (read.lineage.task, read.expires_at)
    again = ours.narrow(token, ["orders:read"], task="ticket 17")
    for child in (again, ours.narrow(token, ["orders:read"])):
        lineage = ours.verify(child).lineage
        assert lineage is not None
        assert ("ticket 17", NOW + 20) == (lineage.task, claims_of(child)["exp"])
    assert "another task" in refused("lineage", ours.narrow, token, ["orders:read"], task="ticket 18")
    assert NOW + 300 == claims_of(ours.narrow(parent, ["orders:read"], until=NOW + 9e9))["exp"]


@pytest.mark.parametrize("task", ["", "a\nb", "x" * 129, 7])
def test_a_task_has_a_name(task: Any) -> None:
    """Printable, and not longer than a log shows."""
    parent = issuer().issue("alice", permissions=["orders:read"])
    refused("lineage", issuer().narrow, parent, ["orders:read"], task=task)


@pytest.mark.parametrize("until", [NOW, NOW - 1, NOW + 0.9, math.nan, math.inf, True, "soon"])
def test_a_task_has_an_end(until: Any) -> None:
    """A number of seconds since the epoch, later than this second."""
    parent = issuer().issue("alice", permissions=["orders:read"])
    refused("lifetime", issuer().narrow, parent, ["orders:read"], until=until)


def test_nobody_writes_the_lineage_of_a_token() -> None:
    """Neither a claim policy nor a caller can name a task or an elevation in another way."""
    ours = issuer(claims={"orders": ClaimPolicy(claims=frozenset({"lineage"}))})
    refused("claims", ours.issue, "alice", claims={"lineage": {"iat": NOW, "ids": ["x"], "task": "mine"}})
