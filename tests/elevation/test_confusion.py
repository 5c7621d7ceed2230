"""Attacks on elevations by mistaken identity, reused keys and late ends."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from clock import Clock
from elevation.elevation_world import APPROVE, NOW, ROLES, RULE, World, policy
from jwt_lp import (
    ConfigurationError,
    ElevationCall,
    ElevationClosed,
    ElevationEndpoints,
    ElevationUnknown,
    Guard,
    Issuer,
    Operator,
    Policy,
)
from jwt_lp.elevation.deliveries import ElevationDeliveries
from jwt_lp.errors import ElevationNotAllowed, StoreError
from jwt_lp.jose.signing import SigningKey
from jwt_lp.revocation.temporary_grants import TemporaryGrant
from jwt_lp.stores import open_store
from jwt_lp.tokens.delegation import Lineage
from jwt_lp.webhooks import WebhookEvent
from stores.conftest import ENGINES

BOT = {"clients": {"bot": {"grants": ["orders:read"]}}}
DAY = 86400.0


# Who is another person


@pytest.mark.parametrize(
    ("asker", "approver", "reason"),
    [("7", "", "person"), ("", "7", "person"), ("", "", "person"), ("7", "7", "own"), ("7", "8", "")],
)
def test_leaving_out_the_claim_that_identifies_the_person(asker: str, approver: str, reason: str) -> None:
    """Whoever asks for fewer claims, at the same issuer too, does not become another person."""
    world = World(person="employee")

    def token(subject: str, employee: str) -> Any:
        return world.token(subject, claims={"employee": employee} if employee else {})

    request = world.elevations.request(token("ana", asker), "orders:export")
    assert reason == world.refusal(token("ana.admin", approver), request)


def test_approving_elsewhere_without_the_name_of_the_claim() -> None:
    """A command that does not know which claim identifies persons cannot be used to go round it."""
    world = World(person="employee")
    request = world.elevations.request(world.token("ana", claims={"employee": "7"}), "orders:export")
    twin = world.token("ana.admin", claims={"employee": "7"})
    with pytest.raises(ElevationNotAllowed) as caught:
        world.under(world.policy).approve(twin, request.id, digest=request.digest)
    assert "person" == caught.value.reason


def test_what_an_operator_asked_for_needs_no_claim() -> None:
    """Nothing is known of the person there, and whoever has the store needs no request."""
    world = World(policy(ask=["subject:ana"]), person="employee")
    request = world.elevations.request(Operator("https://authority.test", "ana"), "orders:export")
    assert "own" == world.refusal(world.token("ana", "lead"), request)
    assert "" == world.refusal(world.token("bob"), request)


def test_two_approvals_of_one_person_with_accounts_at_two_issuers() -> None:
    """A quorum needs as many people as it says."""
    world = World(policy(ask="anyone", approver_issuers=["partners"], approvals=2), several=True, person="employee")

    def token(subject: str, issuer: str, permission: str, **claims: str) -> Any:
        return world.token(subject, issuer=issuer, permissions=[permission], claims=claims)

    request = world.elevations.request(token("ana", "staff", "a:b", employee="7"), "orders:export")
    assert "person" == world.refusal(token("bob", "staff", APPROVE), request)
    assert "" == world.refusal(token("bob", "staff", APPROVE, employee="8"), request)
    with pytest.raises(ElevationClosed):
        world.approve(token("robert", "partners", APPROVE, employee="8"), request)


# Who sees, and who ends


def test_a_subject_with_the_name_of_an_actor_or_a_client() -> None:
    """It does not see or end what somebody asked for through that client: it only may not approve it."""
    world = World(Policy.from_mapping(
        {"version": 1, "roles": ROLES, "elevation": {"orders:export": {**RULE, "ask": "anyone"}}, **BOT}
    ))  # fmt: skip
    narrow = world.authority.issuer.narrow
    text = narrow(world.authority.token("ana", permissions=["orders:read"]), ["orders:read"], actor="bot")
    request = world.elevations.request(world.read(text), "orders:export")
    for other in (world.token("bot", "support"), world.token("eve", "support", client="bot")):
        with pytest.raises(ElevationUnknown):
            world.elevations.show(other, request.id)
        with pytest.raises(ElevationNotAllowed):
            world.elevations.end(other, request.id)
    assert world.elevations.show(world.token(), request.id)
    assert world.elevations.end(world.token(), request.id).ended_at == NOW


def test_the_original_subject_sees_and_ends_what_was_asked_under_its_other_name() -> None:
    """A token that was exchanged is of the same person, in both directions."""
    world = World(policy(ask="anyone"), several=True)
    staff = world.token("ana", issuer="staff", permissions=["a:b"])
    lineage = Lineage(NOW, ((staff.issuer, "t1"),), subject=(staff.issuer, "ana"))
    exchanged = replace(staff, issuer="https://own.example/", subject="staff:ana", lineage=lineage)
    request = world.elevations.request(exchanged, "orders:export")
    assert request.id == world.elevations.show(staff, request.id).id
    mine = world.elevations.request(staff, "orders:export")
    assert mine.id == world.elevations.show(exchanged, mine.id).id
    assert world.elevations.end(staff, request.id).ended_at == NOW


def test_a_list_after_the_elevation_of_somebody_else() -> None:
    """It is empty, as after an id that nothing has, so it does not say which ids exist."""
    world = World()
    eve = world.token("eve", "support")
    request = world.elevations.request(world.token(), "orders:export", key="guessed")
    world.now += 1
    mine = world.elevations.request(eve, "orders:export")
    assert () == world.elevations.elevations_of(eve, after=request.id)
    assert () == world.elevations.elevations_of(eve, after="unknown")
    assert () == world.elevations.waiting_for(world.token("bob", "support"), after=request.id)
    assert (mine.id,) == tuple(each.id for each in world.elevations.waiting_for(world.token("bob"), after=request.id))


def test_who_decides_about_nothing_does_not_make_the_store_read_all_requests() -> None:
    """Every holder of a token may ask what waits for it, so that must cost little."""
    world = World()
    world.ask()
    read: list[object] = []
    elevations = world.store.elevations

    def select(which: Any) -> Any:
        read.append(which)
        return elevations(which)

    world.store.elevations = select
    assert () == world.elevations.waiting_for(world.token("eve", "support"))
    assert [] == read
    assert 1 == len(world.elevations.waiting_for(world.token("bob")))


# What outlives its end


@pytest.mark.parametrize("later", [False, True], ids=["a new guard", "a guard that knows the token"])
def test_a_leeway_does_not_prolong_an_elevation(later: bool) -> None:
    """`LEEWAY` is for clocks that differ. A token that rests on an elevation ends with it; others keep the leeway."""
    clock, key = Clock(NOW), SigningKey.generate("ES256")
    rules = Policy.from_mapping({"version": 1, "roles": ROLES, "elevation": {"orders:export": RULE}})
    settings = {
        "ISSUER": "https://own.test", "AUDIENCE": "orders", "ALGORITHMS": ["ES256"], "OWN": True, "LEEWAY": 60,
        "JWKS": {"keys": [key.public_jwk()]}, "POLICY": rules,
    }  # fmt: skip
    grant = TemporaryGrant("e1", "https://own.test", "ana", "orders:export", NOW, NOW + 30)
    with closing(Guard(settings, clock=clock)) as guard:
        issuer = guard.issuer(key, client="web", elevated=lambda token: [grant])
        elevated = issuer.issue("ana", permissions=["orders:read"])
        narrowed = issuer.narrow(elevated, ["orders:export"])
        plain = issuer.issue("bob", permissions=["orders:read"], lifetime=30)
        tokens = [guard.authenticate(f"Bearer {text}").token for text in (elevated, narrowed, plain)] if later else []
        clock.now = NOW + 30
        refused = [guard.authenticate(f"Bearer {text}").token is None for text in (elevated, narrowed, plain)]
        assert [True, True, False] == refused
        causes = [guard._authenticator.expiry_cause(token) is not None for token in tokens if token is not None]
        assert [True, True, False][: len(tokens)] == causes


def test_a_rule_that_was_tightened_is_in_no_new_token() -> None:
    """What runs for longer than the rule allows now is not put into a token by any issuer."""
    key, clock = SigningKey.generate("ES256"), Clock(NOW)
    grants = [TemporaryGrant("e1", "https://own.test", "ana", "orders:export", NOW - 60, NOW + 3540)]
    usual: dict[str, Any] = {"audience": "a", "client": "web", "elevated": lambda _: grants, "clock": clock}
    for longest, held in (("1h", True), ("10m", False)):
        issuer = Issuer("https://own.test", key, policy=policy(longest=longest), **usual)
        token = issuer.verify(issuer.issue("ana", permissions=["orders:read"]))
        assert held is ("orders:export" in token.permissions)


def test_what_was_taken_without_an_approval_ends_with_the_rule_that_allows_it() -> None:
    """No new token holds it once the rule wants approvals; what was approved goes on."""
    world = World(policy(break_glass=True))
    taken, approved = world.ask(break_glass=True), world.ask()
    world.approve(world.token("bob"), approved)
    strict = world.under(policy())
    assert {taken.id, approved.id} == {each.id for each in world.elevations.held(taken.issuer, "ana", "tests")}
    assert [approved.id] == [each.id for each in strict.held(taken.issuer, "ana", "tests")]


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_an_early_end_after_a_purge_and_a_key_that_is_used_again(engine: str, tmp_path: Any) -> None:
    """An elevation whose end is still in the list of revocations stays, so that its id comes back only after that."""
    with ENGINES[engine](tmp_path) as url, closing(open_store(url)) as store:
        world = World(policy(longest="10m"), store)
        store._clock = lambda: world.now  # type: ignore[attr-defined]
        first = world.ask(key="export")
        world.approve(world.token("bob"), first)
        world.elevations.end(world.token(), first.id)
        # Past the day for which it is reported, but not past the day for which its end is kept.
        world.now += DAY + 700
        store.purge(before="2027-02-01", now=world.now)
        assert store.elevation(first.id) is not None
        world.now += 600
        store.purge(before="2027-02-01", now=world.now)
        again = world.ask(key="export")
        world.approve(world.token("bob"), again)
        assert world.elevations.end(world.token(), again.id).ended_at == world.now


# What the unlucky operator has


def test_a_store_without_its_tables_is_no_traceback() -> None:
    """The client is told to come back, and the log says what to do."""
    world = World()
    fault = ConfigurationError("db: its tables are of an older release; run jwt-lp store migrate")

    def fail(*_: Any) -> Any:
        raise fault

    world.store.elevations = fail
    endpoints = ElevationEndpoints(world.elevations)
    answer = endpoints.answer("list", ElevationCall(world.guard, world.token(), "/elevations"))
    problem = json.loads(answer.body)
    assert (503, "temporarily_unavailable") == (answer.status, problem["error"])
    assert b"migrate" not in answer.body


class Stop:
    """A stop that counts the waits, and is set after some."""

    def __init__(self, waits: int) -> None:
        self.waits: list[float] = []
        self._most = waits

    def is_set(self) -> bool:
        return len(self.waits) >= self._most

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)


def test_deliveries_go_on_after_the_store_was_away() -> None:
    """A worker that ended at the first outage would keep alarms to itself."""
    world = World()
    events: list[WebhookEvent] = []
    world.ask()
    claim, outages = world.store.claim_steps, [StoreError("db: no connection")]

    def claim_steps(*given: Any, **more: Any) -> Any:
        if outages:
            raise outages.pop()
        return claim(*given, **more)

    world.store.claim_steps = claim_steps
    deliveries = ElevationDeliveries(world.store, [events.append], clock=lambda: world.now)
    deliveries.run(Stop(2))  # type: ignore[arg-type]
    assert ["elevation.asked"] == [event.type for event in events]
    assert 0 == deliveries.failures


def test_a_step_that_cannot_be_shown_stops_no_other() -> None:
    """A row that somebody edited delays itself alone."""
    world = World()
    events: list[WebhookEvent] = []
    broken = world.ask()
    world.store.asked[broken.id] = replace(broken, until=1e18, since=NOW)
    deliveries = ElevationDeliveries(world.store, [events.append], clock=lambda: world.now)
    assert (0, 1) == (deliveries.deliver(), deliveries.failures)
    world.elevations.request(world.token("eve", "support"), "orders:export")
    assert 1 == deliveries.deliver()
