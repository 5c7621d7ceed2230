"""Temporary grants of a guard's snapshot: who holds what by an elevation, and until when."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from elevated import approve, change
from jwt_lp import AUTHENTICATED, AccessToken, Call, Guard, all_of
from jwt_lp.errors import ConfigurationError, StoreError
from jwt_lp.stores import Elevation
from jwt_lp.testing.authority import ISSUER, Authority
from memory_store import MemoryStore, entry

POLICY = {
    "version": 1,
    "permissions": {"orders:read": {}, "orders:export": {}, "orders:purge": {}, "stock:take": {"risk": "high"}},
}
CALL = Call("GET", str, lambda _: (), "views.orders")
EXPORT = "orders:export"


class World:
    """A guard for another issuer's tokens, on a store in memory, with its own clocks."""

    def __init__(self, **settings: Any) -> None:
        self.now = datetime.now(UTC).timestamp()
        self.monotonic = 1000.0
        self.store = MemoryStore()
        self.authority = Authority(policy=POLICY, clock=lambda: self.now)
        usual = {"OWN": False, "ELEVATION": ["orders:*", "stock:take"], "STORE": self.store, "SERVICE": "orders"}
        self.guard = Guard(self.authority.settings(**{**usual, **settings}), clock=lambda: self.now)
        # The worker's rounds are made here, one by one.
        self.guard._worker.close()
        runtime = self.guard._runtime
        assert runtime is not None
        self.runtime = runtime
        runtime.revocations.clock = lambda: self.monotonic
        self.poll()
        # Issued long ago, so that it is valid by every clock of a test.
        claims = {"iat": int(self.now) - 7200}
        self.token = self.authority.token(permissions=["orders:read"], lifetime=7200, claims=claims)

    def poll(self) -> None:
        self.runtime.revocations.poll()

    def approve(self, permission: str = EXPORT, seconds: int = 60, **more: Any) -> Elevation:
        elevation = approve(self.store, permission, self.now, seconds, **more)
        self.poll()
        return elevation

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.monotonic += seconds

    def end(self, elevation: Elevation) -> None:
        change(self.store, elevation, "ended", self.now)
        self.poll()

    def revoke(self, *entries: Any) -> None:
        self.store.revoke(list(entries), at=self.now)
        self.poll()

    def step(self, step: str, what: Any, elevations: list[Elevation]) -> None:
        """Do one of the things that can happen while requests are served."""
        if step in {"pass", "wall"}:
            self.now += what
        if step in {"pass", "monotonic"}:
            self.monotonic += what
        if step in {"down", "up"}:
            self.store.down = OSError("down") if step == "down" else None
        if self.store.down is not None:
            return
        if step in {"approve", "later"}:
            elevations.append(approve(self.store, what, self.now + 5 * (step == "later"), 30))
        if step == "end" and elevations and elevations[-1].state(self.now) == "approved":
            change(self.store, elevations.pop(), "ended", self.now)
        if step == "deny":
            self.store.revoke([entry("subject", "alice", pattern=EXPORT, until=self.now + 20)], at=self.now)
        if step in {"poll", "end"}:
            self.poll()

    def ask(self, permission: Any = EXPORT, token: str | None = None) -> Any:
        needed = all_of(permission) if isinstance(permission, str) else permission
        return self.guard.check(f"Bearer {token or self.token}", needed, {}, "GET /orders", call=CALL)

    def held(self, *permissions: str, token: str | None = None) -> list[str]:
        """Which of the permissions are allowed; each is asked for twice, so that what is kept is used too."""
        return [each for each in permissions or (EXPORT,) if self.ask(each, token).passes and self.ask(each, token)]


@pytest.fixture
def world() -> Iterator[World]:
    created = World()
    yield created
    created.guard.close()


def test_an_elevation_is_held_from_its_approval_to_its_end(world: World) -> None:
    """Refused, elevated, allowed; from the end on, the first request is refused although nothing was polled since."""
    assert [] == world.held()
    world.approve(seconds=60)
    assert [EXPORT] == world.held()
    world.store.down = OSError("down")
    world.pass_time(59.9)
    assert [EXPORT] == world.held()
    world.pass_time(0.1)
    assert [] == world.held()
    assert ["orders:read"] == world.held("orders:read")


def test_a_decision_is_not_kept_longer_than_the_elevation(world: World) -> None:
    """No question that was asked while it was held is answered from memory after its end, nor by an earlier token."""
    world.approve(seconds=30)
    effective = world.ask().token
    assert isinstance(effective, AccessToken)
    assert [True, True] == [EXPORT in effective.permissions, world.guard.can(effective, all_of(EXPORT))]
    assert world.guard.authorize(effective, all_of(EXPORT), {}, "GET /orders").passes
    world.pass_time(30)
    assert not world.guard.can(effective, all_of(EXPORT))
    assert not world.guard.authorize(effective, all_of(EXPORT), {}, "GET /orders").passes
    assert not world.ask().passes
    identified = world.guard.authenticate(f"Bearer {world.token}").token
    assert identified is not None
    assert EXPORT not in identified.permissions


def test_an_elevation_that_is_ended_early_is_over_with_the_next_poll(world: World) -> None:
    """And what else is known of its subject stays."""
    ended, other = world.approve(), world.approve("orders:purge")
    world.store.revoke([entry("subject", "alice", pattern="orders:read")], at=world.now)
    change(world.store, ended, "ended", world.now)
    assert [EXPORT] == world.held()
    world.poll()
    assert ["orders:purge"] == world.held(EXPORT, "orders:purge", "orders:read")
    change(world.store, other, "ended", world.now)
    world.poll()
    assert [] == world.held(EXPORT, "orders:purge")


@pytest.mark.parametrize(
    ("held", "permission", "more"),
    [
        pytest.param(True, EXPORT, {}, id="the permission"),
        pytest.param(True, "orders:*", {}, id="a pattern that covers it"),
        pytest.param(False, "orders:purge", {}, id="another permission"),
        pytest.param(False, EXPORT, {"subject": "bob"}, id="another subject"),
        pytest.param(False, EXPORT, {"issuer": "https://other.test"}, id="the same name at another issuer"),
        pytest.param(True, EXPORT, {"client": "tests"}, id="the client that asked"),
        pytest.param(False, EXPORT, {"client": "other"}, id="another client"),
        pytest.param(False, EXPORT, {"client": ""}, id="a token without a client asked"),
    ],
)
def test_whose_elevation_counts(held: bool, permission: str, more: dict[str, Any], world: World) -> None:
    """Only that of the token's subject at its issuer, for tokens of the client that asked."""
    world.approve(permission, **more)
    assert held is bool(world.held())


@pytest.mark.parametrize(
    ("held", "ceiling"),
    [([EXPORT], [EXPORT]), ([], ["orders:read"]), ([EXPORT, "stock:take"], ["**"]), ([EXPORT], "orders:*")],
)
def test_nothing_is_held_above_the_ceiling(held: list[str], ceiling: Any) -> None:
    """Whatever was approved, also by a pattern, only what ELEVATION covers counts; CEILING is for tokens alone."""
    world = World(ELEVATION=ceiling, CEILING=["orders:read"])
    world.approve("**")
    assert held == world.held(EXPORT, "stock:take")
    world.guard.close()


@pytest.mark.parametrize("settings", [{"ELEVATION": []}, {"ELEVATION": None}, {"OWN": True, "ELEVATION": ()}])
def test_elevation_is_off_by_default(settings: dict[str, Any]) -> None:
    """Without ELEVATION nothing is held by elevation, nor by tokens of our own issuer, whose next token has it."""
    world = World(**settings)
    world.approve()
    assert [] == world.held()
    world.guard.close()


@pytest.mark.parametrize(
    "revocation",
    [
        pytest.param(entry("subject", "alice", pattern=EXPORT), id="a deny entry"),
        pytest.param(entry("client", "tests", pattern="orders:*", keep=("orders:read",)), id="of the client"),
        pytest.param(entry("issuer", "", pattern="**"), id="of the issuer"),
        pytest.param(entry("subject", "alice"), id="a not-before entry"),
        pytest.param(entry("client", "tests"), id="a not-before entry of the client"),
    ],
)
def test_a_revocation_beats_an_elevation(revocation: Any, world: World) -> None:
    """Also one that was written before the elevation."""
    world.store.revoke([revocation], at=world.now)
    world.approve()
    assert [] == world.held()
    assert not any(world.ask().passes for _ in range(2))
    world.store.lift([revocation.id], at=world.now)
    world.poll()
    assert [EXPORT] == world.held()


@pytest.mark.parametrize(("of", "name"), [("subject", "alice"), ("client", "tests"), ("issuer", "")])
def test_what_a_plan_revoked_can_be_held_by_an_elevation(of: str, name: str, world: World) -> None:
    """An entry for standing grants refuses what the token grants, before the elevation, beside it, and after its end."""
    claims = {"iat": int(world.now) - 7200}
    token = world.authority.token(permissions=["orders:read", EXPORT], lifetime=7200, claims=claims)
    assert [EXPORT] == world.held(token=token)
    world.revoke(entry(of, name, pattern="orders:*", keep=("orders:read",), standing=True))
    assert "permission_revoked" == world.ask(token=token).refusal.code
    elevation = world.approve(seconds=60)
    assert [EXPORT] == world.held(EXPORT, "orders:purge", token=token)
    assert [elevation.id] == [grant.elevation for grant in world.ask(token=token).used]
    world.store.down = OSError("down")
    world.pass_time(60)
    assert [] == world.held(token=token)
    world.store.down = None
    world.end(world.approve())
    assert [] == world.held(token=token)


def test_a_revocation_beside_what_a_plan_revoked_beats_the_elevation(world: World) -> None:
    """In either order; once it is lifted, the elevation counts again."""
    world.approve(seconds=600)
    plan, hard = (
        entry("subject", "alice", pattern=EXPORT, standing=True),
        entry("subject", "alice", pattern="orders:**"),
    )
    world.revoke(plan)
    assert [EXPORT] == world.held()
    world.revoke(hard)
    assert [] == world.held()
    assert "permission_revoked" == world.ask().refusal.code
    world.store.lift([hard.id], at=world.now)
    world.poll()
    assert [EXPORT] == world.held()


def test_an_elevation_of_a_revoked_token_is_nothing(world: World) -> None:
    """The token is refused as a whole."""
    world.approve()
    effective = world.ask().token
    world.store.revoke([entry("token", effective.token_id)], at=world.now)
    world.poll()
    assert 401 == world.ask().refusal.status


def test_a_revoked_elevation_is_told_as_such(world: World) -> None:
    """What somebody holds by elevation alone and is denied, is refused as revoked, not as missing."""
    world.approve()
    world.store.revoke([entry("subject", "alice", pattern=EXPORT)], at=world.now)
    world.poll()
    assert "permission_revoked" == world.ask().refusal.code


def test_a_token_that_somebody_else_uses_gets_nothing(world: World) -> None:
    """With an `act` claim (RFC 8693) another one acts for the subject, who alone was approved."""
    world.approve()
    assert [] == world.held(token=world.authority.token(claims={"act": {"sub": "robot"}}))


def test_an_elevation_counts_only_while_the_snapshot_is_fresh(world: World) -> None:
    """A stale snapshot could miss that it was ended: it counts again with the next poll, and other grants all along."""
    world.approve(seconds=600)
    assert [EXPORT] == world.held()
    world.pass_time(60)
    assert [EXPORT] == world.held()
    world.pass_time(1)
    assert ["orders:read"] == world.held(EXPORT, "orders:read")
    assert ["orders:read"] == world.held(EXPORT, "orders:read")
    world.poll()
    assert [EXPORT] == world.held()
    world.pass_time(599)
    world.poll()
    assert [] == world.held()


def test_a_start_without_the_store_grants_nothing() -> None:
    """With REVOCATION_START open, a token has what it grants itself until the first poll."""
    store = MemoryStore()
    authority = Authority(policy=POLICY)
    now = datetime.now(UTC).timestamp()
    approve(store, EXPORT, now)
    store.down = OSError("down")
    settings = {"OWN": False, "ELEVATION": ["**"], "STORE": store, "REVOCATION_START": "open"}
    with authority.guard(**settings) as guard:
        header = authority.headers(permissions=["orders:read"])["Authorization"]
        answers = [guard.check(header, all_of(each), {}, "GET /").passes for each in ("orders:read", EXPORT)]
        assert [True, False] == answers


@pytest.mark.parametrize("jump", [-3600, -30, 30, 3600])
def test_a_wall_clock_that_is_set_prolongs_nothing(jump: float, world: World) -> None:
    """Whichever clock comes first ends it, also after the snapshot was built anew by the new time."""
    world.approve(seconds=60)
    world.pass_time(10)
    world.now += jump
    world.poll()
    # Set back, it is before the approval.
    assert ([EXPORT] if jump == 30 else []) == world.held()
    world.pass_time(50)
    assert [] == world.held()
    world.poll()
    assert [] == world.held()


def test_an_ended_elevation_does_not_come_back_with_the_clock(world: World) -> None:
    """Not even if it was dropped from the snapshot before the wall clock was set back."""
    world.approve(seconds=60)
    world.pass_time(61)
    world.runtime.revocations._rebuilt_at = -1e12
    world.poll()
    world.now -= 3600
    world.poll()
    assert [] == world.held()


def test_a_monotonic_clock_that_stands_still_prolongs_nothing(world: World) -> None:
    """As it does while a machine sleeps."""
    world.approve(seconds=60)
    world.now += 60
    assert [] == world.held()


def test_an_older_copy_of_the_store_brings_nothing_back(world: World) -> None:
    """The poll notices that the sequence went back; what was ended stays so, and soon nothing counts at all."""
    ended, other = world.approve(seconds=600), world.approve("orders:purge", seconds=600)
    copy = dict(world.store.reported), world.store.sequence
    change(world.store, ended, "ended", world.now)
    world.poll()
    world.store.reported, world.store.sequence = dict(copy[0]), copy[1]
    with pytest.raises(StoreError, match="went back"):
        world.poll()
    assert [other.permission] == world.held(EXPORT, "orders:purge")
    world.pass_time(61)
    assert [] == world.held(EXPORT, "orders:purge")


def test_an_elevation_that_begins_later(world: World) -> None:
    """It counts from its beginning on, without a poll: the clock of whoever approved may be ahead."""
    approve(world.store, EXPORT, world.now + 5)
    world.poll()
    assert ["orders:read"] == world.held(EXPORT, "orders:read")
    world.pass_time(5)
    assert [EXPORT] == world.held()


def test_observe_mode_counts_no_elevation_as_a_refusal() -> None:
    """Where requirements are only observed, an elevated request is an ordinary one, also after the end."""
    until = (datetime.now(UTC) + timedelta(days=9)).date().isoformat()
    world = World(OBSERVE_UNTIL=until)
    world.approve(seconds=60)
    assert world.ask().observed is None
    world.pass_time(60)
    assert world.ask().observed is not None
    world.guard.close()


def test_a_high_risk_permission_by_elevation(world: World) -> None:
    """It is allowed while the snapshot is fresh, and undecided while it is stale, as any other."""
    world.approve("stock:take", seconds=600)
    assert ["stock:take"] == world.held("stock:take")
    world.pass_time(61)
    assert 503 == world.ask("stock:take").refusal.status


def test_usage_tells_elevated_use_from_standing_use(world: World) -> None:
    """The use names the elevation as its role. A grant of the token's own is credited before it."""
    elevation = world.approve("orders:*")
    for permission in (EXPORT, EXPORT, "orders:read"):
        assert world.ask(permission).passes
    world.runtime.recorder.flush()
    assert {
        (EXPORT, "orders:*", f"elevation:{elevation.id}"): 2,
        ("orders:read", "orders:read", ""): 1,
    } == {(use.permission, use.grant, use.role): number for use, number in world.store.counts.items()}
    (grant,) = world.ask().used
    assert (elevation.id, f"elevation {elevation.id}") == (grant.elevation, grant.source)
    observed = {each.grant for batch in world.store.batches for each in batch.observed_grants}
    assert {"orders:read"} == observed


def test_several_elevations_end_one_by_one(world: World) -> None:
    """Each at its own time; the last one that covers a permission holds it."""
    world.approve(seconds=10)
    world.approve("orders:*", seconds=20)
    for expected in ([EXPORT, "orders:purge"], [EXPORT, "orders:purge"], []):
        assert expected == world.held(EXPORT, "orders:purge")
        world.pass_time(10)


def test_a_guard_without_temporary_grants_takes_none_over(world: World) -> None:
    """A token that another guard elevated is decided by this guard's own settings and store."""
    world.approve()
    effective = world.ask().token
    other = World(ELEVATION=None)
    assert not other.guard.authorize(effective, all_of(EXPORT), {}, "GET /orders").passes
    other.guard.close()
    without = world.authority.guard(OWN=False)
    assert not without.authorize(world.ask(AUTHENTICATED).token, all_of("orders:purge"), {}, "GET /orders").passes
    without.close()


def test_the_readiness_counts_the_temporary_grants_in_force(world: World) -> None:
    """Of whatever subject, without those that have not begun or have ended by either clock."""
    for number in range(3):
        world.approve(seconds=30, subject=f"holder-{number}")
    ended = world.approve(seconds=60)
    approve(world.store, EXPORT, world.now + 10)
    world.poll()

    def count() -> int:
        store = world.guard.ready().store
        assert store is not None
        return store.temporary_grants

    assert 4 == count()
    world.pass_time(10)
    assert 5 == count()
    world.monotonic += 20
    assert 2 == count()
    world.end(ended)
    assert 1 == count()


@pytest.mark.parametrize(
    ("fault", "settings"),
    [
        ("ELEVATION: 'orders:**:x'", {"ELEVATION": ["orders:**:x"]}),
        ("ELEVATION is a list of strings", {"ELEVATION": {"orders": "export"}}),
        ("ELEVATION: this issuer is OWN", {"OWN": True, "ELEVATION": ["orders:export"]}),
        ("ELEVATION needs STORE", {"STORE": None}),
    ],
)
def test_faults_of_the_setting(fault: str, settings: dict[str, Any]) -> None:
    """Each says what is wrong."""
    usual = {"OWN": False, "ELEVATION": [EXPORT], "STORE": MemoryStore(), **settings}
    with pytest.raises(ConfigurationError) as caught:
        Authority().guard(**usual)
    assert fault in str(caught.value)


def test_a_fault_names_its_issuer() -> None:
    """With several issuers, too."""
    one = {"ISSUER": ISSUER, "AUDIENCE": "a", "CEILING": ["**"], "ELEVATION": "**", **Authority()._keys()}
    with pytest.raises(ConfigurationError, match=r"ISSUERS'\]\['corp'\]: ELEVATION needs STORE"):
        Guard({"ISSUERS": {"corp": one}})


END: dict[str, Callable[[World, Elevation], None]] = {
    "both clocks": lambda world, _: world.pass_time(30),
    "the wall clock alone": lambda world, _: setattr(world, "now", world.now + 30),
    "the monotonic clock alone": lambda world, _: setattr(world, "monotonic", world.monotonic + 30),
    "an early end": lambda world, elevation: world.end(elevation),
    "an early end that is revoked too": lambda world, _: world.revoke(entry("subject", "alice", pattern=EXPORT)),
    "a stale snapshot": lambda world, _: setattr(world, "monotonic", world.monotonic + 61),
}


@pytest.mark.parametrize("how", END)
@pytest.mark.parametrize("by", ["check", "authorize", "can"])
def test_the_first_request_after_the_end_is_refused(how: str, by: str, world: World) -> None:
    """Although its decision was given from memory until then, and the store is down since."""
    elevation = world.approve(seconds=600 if how == "a stale snapshot" else 30)
    kept = world.ask()
    effective = kept.token
    assert kept.passes
    assert world.ask() is kept
    assert world.guard.authorize(effective, all_of(EXPORT), {}, "GET /orders") is kept
    END[how](world, elevation)
    world.store.down = OSError("down")
    answers: dict[str, Callable[[], bool]] = {
        "check": lambda: world.ask().passes,
        "authorize": lambda: world.guard.authorize(effective, all_of(EXPORT), {}, "GET /orders").passes,
        "can": lambda: world.guard.can(effective, all_of(EXPORT)),
    }
    assert not answers[by]()
    assert not any(answer() for answer in answers.values())


def test_a_decision_by_elevation_is_given_again_until_just_before_the_end(world: World) -> None:
    """The same decision, and each time it is counted."""
    elevation = world.approve(seconds=30)
    kept = world.ask()
    world.pass_time(29.9)
    assert world.ask() is kept
    assert world.ask("orders:read") is world.ask("orders:read")
    world.runtime.recorder.flush()
    assert {(EXPORT, f"elevation:{elevation.id}"): 2, ("orders:read", ""): 2} == {
        (use.permission, use.role): number for use, number in world.store.counts.items()
    }


def test_what_was_kept_before_an_elevation_began_is_not_given_again(world: World) -> None:
    """At the beginning of an elevation, as at its end, everything about the token is decided anew."""
    approve(world.store, EXPORT, world.now + 5, 30)
    world.poll()
    kept = world.ask("orders:read")
    assert world.ask("orders:read") is kept
    for _ in range(2):
        world.pass_time(20)
        assert world.ask("orders:read") is not kept
        kept = world.ask("orders:read")


def test_decisions_beside_a_denial_that_ends_are_kept_until_it_does(world: World) -> None:
    """Then what was denied is allowed again."""
    world.store.revoke([entry("subject", "alice", pattern=EXPORT, until=world.now + 30)], at=world.now)
    world.poll()
    token = world.authority.token(permissions=["orders:read", EXPORT])
    assert world.ask("orders:read", token) is world.ask("orders:read", token)
    assert [] == world.held(token=token)
    world.pass_time(30)
    assert [EXPORT] == world.held(token=token)


def test_a_clock_that_cannot_tell_keeps_nothing(world: World) -> None:
    """While the snapshot is stale, what a token grants itself is decided at each request."""
    world.approve(seconds=600)
    world.pass_time(61)
    assert world.ask("orders:read") is not world.ask("orders:read")


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.sampled_from([1, 10, 29, 30, 61])),
        st.tuples(st.sampled_from(["wall", "monotonic"]), st.sampled_from([1, 10, 30])),
        st.tuples(st.sampled_from(["approve", "later"]), st.sampled_from([EXPORT, "orders:*", "orders:purge"])),
        st.tuples(st.sampled_from(["end", "poll", "deny", "down", "up"]), st.just("")),
    ),
    max_size=12,
)


@hypothesis_settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_what_is_kept_answers_as_what_is_decided_anew(steps: list[tuple[str, Any]]) -> None:
    """Whatever happens, a token that was seen all along is answered as one that was never seen."""
    world = World()
    elevations: list[Elevation] = []
    for number, (step, what) in enumerate(steps):
        world.step(step, what, elevations)
        never_seen = world.authority.token(permissions=["orders:read"], lifetime=3600, claims={"number": number})
        for permission in (EXPORT, "orders:purge", "orders:read"):
            anew = world.ask(permission, never_seen).passes
            assert [anew, anew] == [world.ask(permission).passes, world.ask(permission).passes]
    world.guard.close()


@pytest.mark.parametrize(
    "text",
    ["", "***", "orders:**:**", "orders:export orders:read", "orders:{id}", "Orders:EXPORT", "*:" * 2000, "\ud800"],
)
def test_a_row_with_a_text_that_is_no_permission_confers_nothing(world: World, text: str) -> None:
    """Whoever edits the store by mistake neither gives anything away nor locks anybody out."""
    elevation = world.approve()
    assert [EXPORT] == world.held()
    number, _ = world.store.reported[elevation.id]
    world.store.reported[elevation.id] = number, replace(elevation, permission=text)
    world.runtime.revocations._rebuilt_at = 0.0
    world.poll()
    assert ["orders:read"] == world.held(EXPORT, "orders:read", "orders:purge")
