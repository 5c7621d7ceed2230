"""Elevations by the rules of a policy: who may do what, and which values are refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from elevation.elevation_world import NOW, World, policy
from jwt_lp import (
    ANONYMOUS,
    ConfigurationError,
    ElevationInvalid,
    ElevationKeyReused,
    ElevationNotAllowed,
    Elevations,
    ElevationUnknown,
    Operator,
    StoreError,
    subscribe,
)
from jwt_lp.elevation import elevations as module
from jwt_lp.elevation.identities import identities

if TYPE_CHECKING:
    from jwt_lp import AccessToken

ISSUER = "https://authority.test"


def reason_of(call: Any, *args: Any, **more: Any) -> str:
    """Why a call is refused."""
    with pytest.raises(ElevationNotAllowed) as caught:
        call(*args, **more)
    return caught.value.reason


def test_the_settings_are_checked() -> None:
    """A store that keeps no elevations, and a URL that is none of Redis."""
    with pytest.raises(ConfigurationError, match="keeps no elevations"):
        Elevations(policy(), object())  # type: ignore[arg-type]  # what is refused
    with pytest.raises(ConfigurationError):
        Elevations(policy(), World().store, push="http://127.0.0.1/")


def test_a_request_says_what_was_asked() -> None:
    """With the rule's time and number of approvals; texts have no blanks around them."""
    world = World(policy(approvals=2, answer="2h", ticket="OPS-[0-9]+"))
    request = world.ask(reason=" why \t", ticket=" OPS-1 ", seconds=60)
    assert (ISSUER, "ana", "tests", "orders:export", NOW, NOW + 7200, 60, 2, "why", "OPS-1", False, "", ()) == (
        request.issuer, request.subject, request.client, request.permission, request.asked_at, request.answer_by,
        request.seconds, request.needed, request.reason, request.ticket, request.break_glass, request.person,
        request.known_as,
    )  # fmt: skip
    assert 3600 == World().ask().seconds


@pytest.mark.parametrize(
    ("rule", "values", "fault"),
    [
        ({"reason": True}, {}, "reason: say why"),
        ({"reason": True}, {"reason": " "}, "reason: say why"),
        ({}, {"reason": "x" * 501}, "reason: must be at most 500"),
        ({}, {"reason": "a\nb"}, "reason: must be at most 500 printable"),
        ({}, {"reason": "a\0b"}, "reason: must be"),
        ({}, {"reason": "\ud800"}, "reason: must be"),
        ({"ticket": True}, {}, "ticket: give the number"),
        ({"ticket": "OPS-[0-9]+"}, {"ticket": "OPS-1 or 2"}, "ticket: give the number"),
        ({}, {"ticket": "x" * 101}, "ticket: must be at most 100"),
        ({}, {"key": "x" * 256}, "key: must be at most 255"),
        ({}, {"seconds": 0}, "seconds: must be a whole number from 1 to 3600"),
        ({}, {"seconds": 3601}, "seconds: must be"),
        ({}, {"seconds": True}, "seconds: must be"),
        ({}, {"seconds": 1.5}, "seconds: must be"),
    ],
)
def test_a_wrong_value_is_refused(rule: dict[str, Any], values: dict[str, Any], fault: str) -> None:
    """The message names the value and says what to write; nothing is stored."""
    world = World(policy(**rule))
    with pytest.raises(ElevationInvalid, match=fault):
        world.ask(**values)
    assert {} == world.store.asked


def test_who_may_not_ask() -> None:
    """Nobody without a token, without the role, without a rule, or who holds the permission already."""
    world = World(policy(ask=["role:support", "subject:carl"]))
    ask = world.elevations.request
    assert "ask" == reason_of(ask, ANONYMOUS, "orders:export")
    assert "ask" == reason_of(ask, world.token("bob", permissions=["a:b"]), "orders:export")
    assert "rule" == reason_of(ask, world.token(), "orders:delete")
    assert "ask" == reason_of(ask, Operator(ISSUER, "ana"), "orders:export")
    assert ask(Operator(ISSUER, "carl"), "orders:export").client is None
    with pytest.raises(ElevationInvalid, match="held already"):
        ask(world.token("ana", "support", "lead"), "orders:export")
    may = [world.elevations.may_ask(world.token(), each) for each in ("orders:export", "orders:delete")]
    assert [True, False, False] == [*may, world.elevations.may_ask(world.token("bob"), "orders:export")]


def test_a_repeated_key_asks_once() -> None:
    """Of one subject; another request needs another key."""
    world = World()
    first = world.ask(key="k1", reason="r")
    world.now += 9
    assert first == world.ask(key="k1", reason="r")
    with pytest.raises(ElevationKeyReused):
        world.ask(key="k1", reason="other")
    other = world.elevations.request(world.token("eve", "support"), "orders:export", key="k1")
    assert 3 == len({first.id, other.id, world.ask(key="k2").id})


def test_who_decides_ends_and_looks() -> None:
    """The asker and the approvers see a request; for everybody else there is none."""
    world = World()
    ana, bob, eve = world.token(), world.token("bob"), world.token("eve", "support")
    request = world.ask()
    for who in (ana, bob, Operator("", "root")):
        assert request == world.elevations.show(who, request.id)
    for who, name in ((eve, request.id), (bob, "none")):
        with pytest.raises(ElevationUnknown):
            world.elevations.show(who, name)
    assert ["approver"] * 3 == [
        reason_of(call, eve, request.id)
        for call in (world.elevations.deny, world.elevations.end, world.elevations.review)
    ]
    assert "own" == reason_of(world.elevations.deny, world.token("ana", "lead"), request.id)
    assert NOW == world.elevations.deny(bob, request.id, reason="no").denied_at
    second, third = world.ask(), world.ask()
    assert NOW == world.elevations.end(bob, second.id).ended_at
    assert (third,) == world.elevations.waiting_for(bob)
    assert ([request.id, second.id, third.id], ()) == (
        sorted([each.id for each in world.elevations.elevations_of(ana)], key=[request.id, second.id, third.id].index),
        world.elevations.elevations_of(eve),
    )
    glass = World(policy(break_glass=True))
    emergency = glass.ask(break_glass=True)
    assert NOW == glass.elevations.review(Operator("", "root"), emergency.id).reviewed_at


def test_who_may_see_decide_and_end_is_asked_without_an_error() -> None:
    """The answers are those that the steps themselves would give; operators see everything."""
    world = World()
    asked, ana, ben, eve = world.ask(), world.token(), world.token("ben"), world.token("eve", "support")
    engine = world.elevations
    assert [True, True, False] == [engine.may_see(who, asked) for who in (ana, ben, eve)]
    assert [False, True, False] == [engine.may_decide(who, asked) for who in (ana, ben, eve)]
    assert [True, True, False] == [engine.may_end(who, asked) for who in (ana, ben, eve)]
    assert engine.may_see(Operator("", "op"), asked)
    without = world.under(policy().from_mapping({"version": 1}))
    assert [False, False] == [without.may_decide(ben, asked), without.may_end(ben, asked)]


def test_what_is_held_is_for_the_client_that_asked() -> None:
    """A request without a client, by a command, is for all of them."""
    world = World(policy(ask=["role:support", "subject:ana"]))
    bob = world.token("bob")
    mine, all_clients = world.ask(), world.elevations.request(Operator(ISSUER, "ana"), "orders:export")
    for each in (mine, all_clients):
        world.approve(bob, each)

    def held(client: str | None) -> set[str]:
        return {grant.id for grant in world.elevations.held(ISSUER, "ana", client)}

    assert ({mine.id, all_clients.id}, {all_clients.id}, {all_clients.id}) == (held("tests"), held("other"), held(None))
    assert () == world.elevations.held(ISSUER, "bob", "tests")


def test_guards_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a grant and of an end, not of a request; if Redis fails, the step is done all the same."""
    pytest.importorskip("redis", reason="needs redis (extra `redis`)")
    world = World(policy(approvals=2, break_glass=True))
    told: list[str] = []
    monkeypatch.setattr(module, "announce", lambda url, *_, **__: told.append(url))
    url = "redis://127.0.0.1:6379/0"
    elevations = Elevations(world.policy, world.store, push=url, clock=lambda: NOW)
    request = elevations.request(world.token(), "orders:export")
    elevations.approve(world.token("bob"), request.id, digest=request.digest)
    assert [] == told
    elevations.approve(world.token("cy"), request.id, digest=request.digest)
    elevations.end(world.token(), request.id)
    elevations.request(world.token(), "orders:export", break_glass=True)
    assert [url] * 3 == told

    def fails(*_: object, **__: object) -> None:
        raise StoreError("Redis is down")

    monkeypatch.setattr(module, "announce", fails)
    heard: list[str] = []
    unsubscribe = subscribe(lambda event, _: heard.append(event), events=["push-failed"])
    again = elevations.request(world.token(), "orders:export", break_glass=True)
    unsubscribe()
    assert ("approved", ["push-failed"], NOW) == (again.state(NOW), heard, elevations.now())


def chain(length: int) -> dict[str, Any]:
    """An `act` claim of as many actors, `a0` the current one."""
    act: dict[str, Any] = {}
    for number in reversed(range(length)):
        act = {"sub": f"a{number}", "act": act}
    return act


@pytest.mark.parametrize(
    ("act", "actors"),
    [({"sub": 7, "act": {"sub": "deep"}}, ["deep"]), (chain(20), [f"a{number}" for number in range(16)])],
)
def test_the_actors_of_any_issuer_are_read_as_far_as_they_make_sense(act: Any, actors: list[str]) -> None:
    """What is no name is passed over, and a chain has an end."""
    token = cast("AccessToken", SimpleNamespace(issuer=ISSUER, subject="ana", lineage=None, claims={"act": act}))
    assert ("ana", *actors) == tuple(name for _, name in identities(token))
