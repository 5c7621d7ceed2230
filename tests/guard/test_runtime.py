"""A guard with a store: revocations, recorded usage, and an unreachable store."""

from __future__ import annotations

import gc
import logging
import os
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from forked_child import run_in_child
from jwt_lp import AUTHENTICATED, IDENTIFIED, PUBLIC, AccessToken, Call, Guard, PolicyError, all_of, any_of
from jwt_lp.errors import ConfigurationError
from jwt_lp.guard.routes import Route
from jwt_lp.guard.store_sync import StoreSync
from jwt_lp.guard.token_state import MAX_KEPT, TokenState
from jwt_lp.testing.authority import ISSUER, Authority
from memory_store import MemoryStore, entry

POLICY = {
    "version": 1,
    "permissions": {"orders:read": {"risk": "low"}, "orders:list": {}, "stock:take": {"risk": "high"}},
    "roles": {"clerk": {"grants": ["orders:list", "orders:read"]}},
}
CALL = Call("GET", str, lambda _: (), "views.orders")


class World:
    """A guard on a store in memory, with its own clocks."""

    def __init__(self, **settings: Any) -> None:
        self.now = datetime.now(UTC).timestamp()
        self.monotonic = 0.0
        self.store = MemoryStore()
        self.authority = Authority(policy=POLICY, clock=lambda: self.now)
        settings = self.authority.settings(**{"STORE": self.store, "SERVICE": "orders", **settings})
        self.guard = Guard(settings, clock=lambda: self.now)
        # The worker's rounds are made here, one by one.
        self.guard._worker.close()
        runtime = self.guard._runtime
        assert runtime is not None
        self.runtime = runtime
        runtime.revocations.clock = lambda: self.monotonic
        runtime.revocations.poll()

    def token(self, *permissions: str, **more: Any) -> str:
        return self.authority.token(permissions=permissions, **more)

    def ask(self, token: str, requirement: Any = "orders:read", **more: Any) -> Any:
        needed = all_of(requirement) if isinstance(requirement, str) else requirement
        return self.guard.check(f"Bearer {token}", needed, more.pop("params", {}), "GET /orders", call=CALL, **more)

    def revoke(self, *args: Any, **more: Any) -> str:
        revocation = entry(*args, **more)
        self.store.revoke([revocation], at=self.now)
        self.runtime.revocations.poll()
        return revocation.id

    def uses(self) -> Counter[tuple[str, str, str]]:
        """How often each permission was granted, by which grant, or refused."""
        self.runtime.recorder.flush()
        counted: Counter[tuple[str, str, str]] = Counter()
        for use, number in self.store.counts.items():
            counted[use.outcome, use.permission, use.grant] += number
        return counted


@pytest.fixture
def world() -> Iterator[World]:
    created = World()
    yield created
    created.guard.close()


def cause(caplog: pytest.LogCaptureFixture) -> str:
    return str(caplog.records[-1].jwt_lp["cause"])  # type: ignore[attr-defined]


def test_exactly_the_revoked_permission_is_refused(world: World) -> None:
    """Revoking one permission of `orders:*` keeps the others, other subjects, and everything before the poll."""
    alice, bob = world.token("orders:*"), world.token("orders:*", subject="bob")
    assert world.ask(alice).passes
    entry_id = world.revoke("subject", "alice", pattern="orders:read")
    assert [False, True, True] == [
        world.ask(alice).passes,
        world.ask(alice, "orders:list").passes,
        world.ask(bob).passes,
    ]
    world.store.lift([entry_id], at=world.now)
    world.runtime.revocations.poll()
    assert world.ask(alice).passes


def test_views_get_the_token_without_revoked_grants(world: World) -> None:
    """The token of a decision, and every later question about it, is without the revoked grants."""
    token = world.token("orders:*")
    world.revoke("subject", "alice", pattern="orders:read")
    effective = world.ask(token, AUTHENTICATED).token
    assert ["orders:list" in effective.permissions, "orders:read" in effective.permissions] == [True, False]
    assert [True, False] == [world.guard.can(effective, all_of(each)) for each in ("orders:list", "orders:read")]
    assert not world.guard.authorize(effective, all_of("orders:read"), {}, "GET /orders").passes
    named = world.guard.authenticate(f"Bearer {token}").token
    assert named is not None
    assert "orders:read" not in named.permissions


def test_a_kept_token_follows_revocations(world: World) -> None:
    """`authorize` with an earlier token follows each revocation and each lifted entry."""
    effective = world.ask(world.token("orders:*")).token
    entry_id = world.revoke("subject", "alice", pattern="orders:read")
    assert not world.guard.authorize(effective, all_of("orders:read"), {}, "GET /orders").passes
    second = world.guard.authorize(effective, all_of("orders:list"), {}, "GET /orders").token
    world.store.lift([entry_id], at=world.now)
    world.runtime.revocations.poll()
    assert second is not None
    assert world.guard.authorize(second, all_of("orders:read"), {}, "GET /orders").passes
    world.revoke("token", effective.token_id)
    refusal = world.guard.authorize(effective, all_of("orders:list"), {}, "GET /orders").refusal
    assert refusal is not None
    assert 401 == refusal.status
    assert not world.guard.can(effective, all_of("orders:list"))


def test_a_revoked_token(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A revoked token gets 401 with the public message, and the cause is logged; public routes ignore the token."""
    token = world.token("orders:read")
    assert world.ask(token, PUBLIC).passes
    world.revoke("subject", "alice", before=world.now)
    refusal = world.ask(token).refusal
    assert (401, "invalid_token") == (refusal.status, refusal.error)
    assert "revoked" == cause(caplog)
    refused = world.guard.authenticate(f"Bearer {token}").refusal
    assert refused is not None
    assert 401 == refused.status


def test_identify_follows_revocations(world: World) -> None:
    """With `identify`, a revoked token names nobody, and another token is attached without its revoked grants."""
    token = world.token("orders:*")
    world.revoke("subject", "alice", pattern="orders:read")
    effective = world.ask(token, IDENTIFIED).token
    assert isinstance(effective, AccessToken)
    assert "orders:read" not in effective.permissions
    world.revoke("token", effective.token_id)
    assert None is world.ask(token, IDENTIFIED).token


def test_an_attempt_to_use_a_revoked_permission(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """It gets 403, raises an alert that names the deny entry, and is counted as revoked."""
    token = world.token("orders:*")
    entry_id = world.revoke("subject", "alice", pattern="orders:read")
    refusal = world.ask(token).refusal
    assert (403, "insufficient_scope") == (refusal.status, refusal.error)
    alert, refused = (record.jwt_lp for record in caplog.records[-2:][::-1])  # type: ignore[attr-defined]
    assert ("revoked_permission_requested", entry_id, "orders:read", "alice") == (
        alert["event"],
        alert["entry"],
        alert["permission"],
        alert["subject"],
    )
    assert ("refused", "permission_revoked") == (refused["event"], refused["cause"])
    assert {("revoked", "orders:read", ""): 1} == world.uses()


def test_observe_mode_lets_no_revoked_permission_pass() -> None:
    """Other refusals pass and count as observed; revoked permissions and tokens are refused, and all if unknown."""
    until = (datetime.now(UTC) + timedelta(days=9)).date().isoformat()
    world = World(OBSERVE_UNTIL=until)
    token = world.token("orders:*")
    assert world.ask(token, "stock:take").passes
    world.revoke("subject", "alice", pattern="orders:read")
    assert not world.ask(token).passes
    assert {("observed", "stock:take", ""): 1, ("revoked", "orders:read", ""): 1} == world.uses()
    world.revoke("subject", "alice")
    assert not world.ask(token, "orders:list").passes
    world.monotonic += 4000
    assert 503 == world.ask(world.token("orders:list", subject="bob"), "orders:list").refusal.status
    world.guard.close()


@pytest.mark.parametrize(
    ("age", "answers"),
    [(0, [True, True, True]), (60, [True, True, True]), (61, [True, True, 503]), (3601, [503, 503, 503])],
)
def test_how_old_the_snapshot_may_be(age: int, answers: list[Any], world: World) -> None:
    """A stale snapshot refuses requirements of high risk; one that is too old refuses everything."""
    token = world.token("orders:*", "stock:*")
    world.ask(token)  # and what was decided before does not outlive the picture either
    world.ask(token, "stock:take")
    world.monotonic += age
    decisions = [world.ask(token, each) for each in (AUTHENTICATED, "orders:read", "stock:take")]
    assert answers == [each.passes or each.refusal.status for each in decisions]
    assert [each is True for each in answers] == [
        world.guard.can(decisions[0].token or world.guard.verifier.verify(token), each)
        for each in (AUTHENTICATED, all_of("orders:read"), all_of("stock:take"))
    ]


def test_staleness_is_logged_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """One alert when staleness begins, one when it gets worse, one when it ends."""
    token = world.token("orders:read")
    for age in (0, 61, 62, 4000, 4001):
        world.monotonic = age
        world.ask(token)
    world.runtime.revocations.poll()
    world.ask(token)
    events = [record.jwt_lp for record in caplog.records]  # type: ignore[attr-defined]
    alerts = [(each["event"], each.get("refused")) for each in events if each["event"].startswith("revocations")]
    assert [
        ("revocations_stale", "requirements of high risk"),
        ("revocations_stale", "everything"),
        ("revocations_fresh", None),
    ] == alerts


@pytest.mark.parametrize(("expected", "start"), [(503, "closed"), (True, "open")])
def test_a_cold_start_without_the_store(expected: Any, start: str) -> None:
    """Nothing is decided before the first poll, unless REVOCATION_START is open."""
    authority = Authority()
    store = MemoryStore()
    store.down = OSError("down")
    with authority.guard(STORE=store, REVOCATION_START=start) as guard:
        decision = guard.check(authority.headers()["Authorization"], AUTHENTICATED, {}, "GET /")
        assert expected == (decision.passes or (decision.refusal and decision.refusal.status))
        memory = guard.ready().store
        assert memory is not None
        assert (start == "open", None) == (memory.known, memory.age)
        assert (start == "open") is guard.ready().ready


def test_what_is_counted(world: World) -> None:
    """Each decision is counted once, by the grant that satisfied it; probes and unrecorded questions are not."""
    token = world.token("orders:*", "stock:take")
    for _ in range(3):
        world.ask(token)
    world.ask(token, any_of("orders:lost:x", "stock:take"))
    world.ask(token, all_of("orders:list", "stock:take"))
    world.ask(token, "reports:read")
    world.ask(token, AUTHENTICATED)
    effective = world.ask(token, "orders:{id}", params={"id": "7"}).token
    world.guard.can(effective, all_of("orders:read"))
    world.guard.authorize(effective, all_of("orders:read"), {}, "GET /orders", record=False)
    world.guard.authorize(effective, all_of("reports:read"), {}, "GET /orders", record=False)
    world.guard.check(None, all_of("orders:read"), {}, "GET /orders")
    world.ask(token, PUBLIC)
    assert {
        ("granted", "orders:read", "orders:*"): 3,
        ("granted", "stock:take", "stock:take"): 2,
        ("granted", "orders:list", "orders:*"): 1,
        ("granted", "", ""): 1,
        ("granted", "orders:{id}", "orders:*"): 1,
        ("denied", "reports:read", ""): 1,
    } == world.uses()
    (use,) = [use for use in world.store.counts if use.permission == "orders:{id}"]
    assert ("orders", ISSUER, "alice", "tests", "", "views.orders", "GET", "orders:{id}") == tuple(use)[:8]


def test_roles_are_credited(world: World) -> None:
    """Usage and observed grants of a role are recorded with the role."""
    world.ask(world.token(roles=["clerk"]))
    world.uses()
    assert {"clerk"} == {use.role for use in world.store.counts}
    assert {("clerk", "orders:list"), ("clerk", "orders:read")} == {
        (each.role, each.grant) for batch in world.store.batches for each in batch.observed_grants
    }


def test_without_a_call_the_route_stands_for_the_endpoint(world: World) -> None:
    """Without a `Call` the route's template is recorded as the endpoint."""
    world.guard.check(f"Bearer {world.token('orders:read')}", all_of("orders:read"), {}, "GET /orders")
    world.uses()
    assert {"/orders"} == {use.endpoint for use in world.store.counts}


def test_a_decision_is_reused_only_for_the_same_question(world: World) -> None:
    """A decision is kept for one token, one permission and one route, until the snapshot changes."""
    token, requirement = world.token("orders:*"), all_of("orders:read")
    first = world.ask(token, requirement)
    assert first is world.ask(token, requirement)
    assert first is world.ask(token, all_of("orders:read"))
    assert world.ask(token, all_of("orders:read", enforce=True)) is not first
    assert world.ask(token, all_of("orders:list")).requirement is not requirement
    other = world.guard.check(f"Bearer {token}", requirement, {}, "POST /orders", call=CALL)
    assert "POST /orders" == other.route
    world.revoke("subject", "bob", pattern="**")
    again = world.ask(token, requirement)
    assert again is not first
    assert again.passes
    world.guard.authorize(again.token, requirement, {}, "GET /orders", record=False)
    assert 7 == sum(world.uses().values())


def test_a_deny_entry_ends_without_a_poll(world: World) -> None:
    """A deny entry has no effect after its end, even if nothing was polled."""
    token = world.token("orders:*")
    world.revoke("subject", "alice", pattern="orders:read", until=world.now + 60)
    requirement = all_of("orders:list")
    assert [False, True, False] == [
        world.ask(token).passes,
        world.ask(token, requirement).passes,
        world.ask(token).passes,
    ]
    world.now += 61
    assert "orders:read" in world.ask(token, requirement).token.permissions
    assert world.ask(token).passes


def test_two_guards_do_not_share_token_states(world: World) -> None:
    """A token that another guard verified is decided by this guard's own store."""
    other = World()
    token = world.token("orders:read")
    effective = world.ask(token).token
    other.revoke("subject", "alice", pattern="**")
    assert not other.guard.authorize(effective, all_of("orders:read"), {}, "GET /orders").passes
    assert world.ask(token).passes
    other.guard.close()


def state_of(world: World, token: str) -> TokenState:
    """What the guard keeps for the token of a header."""
    known = world.guard.authenticate(f"Bearer {token}").token
    assert known is not None
    assert isinstance(known.token_state, TokenState)
    return known.token_state


def test_what_is_kept_for_a_token_is_bounded(world: World) -> None:
    """However many routes a client invents, what is kept for its token is bounded, and each decision is counted."""
    token, by_text, by_parameter = world.token("orders:*"), all_of("orders:read"), all_of("orders:{id}")
    most = 0
    for number in range(300):
        for requirement in (by_text, by_parameter):
            world.guard.check(f"Bearer {token}", requirement, {"id": number}, f"M{number} /orders", call=CALL)
        state = state_of(world, token)
        most = max(most, len(state.decisions), len(state.slots))
    assert MAX_KEPT == most
    assert 600 == sum(world.uses().values())


def test_requirements_methods_and_parameters_made_for_one_request_take_no_memory(world: World) -> None:
    """A requirement made anew for each request finds the kept decision; a very long method is not kept."""
    token = world.token("orders:read", "orders:*:read")
    for number in range(20):
        world.ask(token, all_of("orders:read"))
        world.ask(token, all_of("orders:{id}:read"), params={"id": number})
    for number in range(20):
        route = f"{'M' * 300}{number} /orders"
        for requirement in (all_of("orders:read"), all_of("orders:{id}:read")):
            assert world.guard.check(f"Bearer {token}", requirement, {"id": number}, route).passes
    assert (1, 1) == (len(state_of(world, token).decisions), len(state_of(world, token).slots))
    assert 80 == sum(world.uses().values())


def test_a_question_is_no_use(world: World) -> None:
    """`authorize(record=False)` decides as ever; it counts nothing, and keeps no decision."""
    token = world.guard.verifier.verify(world.token("orders:read"))
    needed = all_of("orders:read")
    assert world.guard.authorize(token, needed, {}, "GET /orders", record=False).passes
    assert {} == token.token_state.decisions
    assert 0 == sum(world.uses().values())
    assert world.guard.authorize(token, needed, {}, "GET /orders").passes
    assert 1 == sum(world.uses().values())


def test_enforcement_points_are_recorded(world: World) -> None:
    """Every route that requires a token is an enforcement point; open and undeclared routes are not."""
    routes = [
        Route(("GET", "HEAD"), "/orders", "views.orders", all_of("orders:read")),
        Route((), "/any", "views.any", AUTHENTICATED),
        Route(("GET",), "/health", "views.health", PUBLIC),
        Route(("GET",), "/lost", "views.lost"),
    ]
    world.guard.check_routes(routes)
    world.uses()
    points = [
        (point.endpoint, point.method, point.requirement)
        for each in world.store.batches
        for point in each.enforcement_points
    ]
    assert [
        ("views.orders", "GET", "orders:read"),
        ("views.orders", "HEAD", "orders:read"),
        ("views.any", "*", "authenticated"),
    ] == points
    with Authority().guard() as without:
        without.check_routes(routes)


def test_heartbeats(world: World) -> None:
    """A heartbeat names service and policy, and the last change received."""
    world.revoke("token", "t")
    assert 10.0 == world.runtime.sync._send_heartbeat()
    beat = world.store.received_heartbeats[-1]
    policy = world.guard.settings.policy.digest
    assert ("orders", 1, policy, 0.0, world.now) == (beat.service, beat.sequence, beat.policy, beat.age, beat.at)


def test_a_heartbeat_before_the_first_poll() -> None:
    """A heartbeat before the first poll has an age that nobody takes for fresh."""
    authority = Authority()
    store = MemoryStore()
    with authority.guard(STORE=store) as guard:
        guard._worker.close()
        runtime = guard._runtime
        assert runtime is not None
        runtime.revocations.polled = replace(runtime.revocations.polled, at=None)
        runtime.sync._send_heartbeat()
    assert 1e9 == store.received_heartbeats[-1].age
    assert "https://api.test" == store.received_heartbeats[-1].service


def test_readiness_has_the_state_of_the_store(world: World) -> None:
    """Readiness has the state of revocations and recording; None without a store."""
    world.revoke("token", "t")
    world.monotonic += 7
    world.ask(world.token("orders:read"))
    memory = world.guard.ready().store
    assert memory is not None
    assert (True, 1, 7, 1, 1, 0) == (
        memory.known,
        memory.sequence,
        memory.age,
        memory.revocations,
        memory.recording.pending,
        memory.recording.dropped,
    )
    with Authority().guard() as without:
        assert None is without.ready().store


def test_closing_writes_the_usage(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """`close` writes all usage; if the store is unreachable, the loss is logged."""
    world.ask(world.token("orders:read"))
    world.guard.close()
    assert (1, True) == (sum(world.store.counts.values()), world.store.closed)
    other = World()
    other.ask(other.token("orders:read"))
    other.store.down = OSError("down")
    other.guard.close()
    event = caplog.records[-1].jwt_lp  # type: ignore[attr-defined]
    assert ("usage_lost", True) == (event["event"], other.store.closed)
    assert logging.ERROR == caplog.records[-1].levelno


def test_no_request_fails_for_the_store(world: World) -> None:
    """While the store is unreachable, requests are decided as before and counted later."""
    world.store.down = OSError("down")
    token = world.token("orders:read")
    for _ in range(10):
        assert world.ask(token).passes
    with pytest.raises(OSError, match="down"):
        world.runtime.recorder.flush()
    world.store.down = None
    assert 10 == sum(world.uses().values())


def test_the_first_request_waits_for_the_first_poll() -> None:
    """The first request of a process waits for the first poll, unless it may not wait."""
    authority, store = Authority(), MemoryStore()
    polled, released = threading.Event(), threading.Event()
    changes = store.changes

    def slow(since: int) -> Any:
        polled.set()
        released.wait(10)
        return changes(since)

    store.changes = slow  # type: ignore[method-assign]
    header = authority.headers()["Authorization"]
    with authority.guard(STORE=store) as guard:
        polled.wait(5)
        assert guard.check(header, AUTHENTICATED, {}, "GET /", wait=False).pending
        threading.Timer(0.2, released.set).start()
        assert guard.check(header, AUTHENTICATED, {}, "GET /").passes
        assert guard.check(header, AUTHENTICATED, {}, "GET /", wait=False).passes


def test_a_forked_child_polls_before_it_decides(world: World) -> None:
    """A revocation since the parent's last poll applies to the child's first decision; `can` does not wait."""
    guard = Guard(world.guard.settings, clock=lambda: world.now)
    token = world.token("orders:*")
    effective = guard.check(f"Bearer {token}", all_of("orders:read"), {}, "GET /orders").token
    world.store.revoke([entry("subject", "alice", pattern="orders:read")], at=world.now)
    assert guard._runtime is not None
    assert guard._runtime.sync.first_poll_done
    for ask in (
        lambda: not guard.check(f"Bearer {token}", all_of("orders:read"), {}, "GET /orders").passes,
        lambda: guard.can(effective, all_of("orders:list")) and guard._worker.running,
    ):
        assert True is run_in_child(ask)
    guard._runtime.sync._reset_after_fork()
    assert guard.can(effective, all_of("orders:list"))
    assert [True] == [guard._runtime.sync.await_first_poll(wait=True)]
    guard.close()


def test_without_a_thread_requests_are_refused(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a thread nothing waits: requests are refused, readiness and log say so, and the start is tried again."""

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    header = f"Bearer {world.token('orders:read')}"
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        guard = Guard(world.guard.settings, clock=lambda: world.now)
        assert 503 == guard.check(header, all_of("orders:read"), {}, "GET /").refusal.status  # type: ignore[union-attr]
        ready = guard.ready()
        assert ready.store is not None
        assert (False, False, False) == (ready.ready, ready.store.known, ready.store.running)
        assert any("cannot start" in record.message for record in caplog.records)
    world.now += 2
    guard.check(header, all_of("orders:read"), {}, "GET /")
    runtime = guard._runtime
    assert runtime is not None
    runtime.sync._first_poll.wait(5)
    assert guard.check(header, all_of("orders:read"), {}, "GET /").passes
    assert guard.ready().ready
    guard.close()


def test_the_end_of_a_process(world: World) -> None:
    """At exit a process writes its own usage; one that only inherited the guard writes nothing."""
    guard = Guard(world.guard.settings, clock=lambda: world.now)
    runtime = guard._runtime
    assert runtime is not None

    def ended() -> bool:
        runtime.sync._at_exit()
        return not runtime._worker._closed

    assert True is run_in_child(ended)
    guard.check(f"Bearer {world.token('orders:read')}", all_of("orders:read"), {}, "GET /orders")
    runtime.sync._at_exit()
    runtime.sync._at_exit()
    assert (1, True, False) == (sum(world.store.counts.values()), world.store.closed, guard._worker.running)


def test_fork_hooks_do_not_keep_a_closed_guard() -> None:
    """The fork hooks do not keep a closed guard alive."""
    world = World()
    world.guard.close()
    hook = weakref.ref(world.runtime)
    world.runtime._worker._jobs.clear()
    del world
    gc.collect()
    assert None is hook()
    assert True is run_in_child(lambda: True)


def test_each_process_listens_for_pushes(world: World) -> None:
    """Each process has one listener, which ends with the guard; without Redis polling continues."""
    pytest.importorskip("redis", reason="needs redis (extra `redis`)")
    settings = world.authority.settings(STORE=world.store, PUSH="redis://127.0.0.1:1")
    guard = Guard(settings, clock=lambda: world.now)
    runtime = guard._runtime
    assert runtime is not None
    guard._worker.close()
    assert 5.0 == runtime.sync._ensure_listener()
    listener = runtime.sync._listener
    runtime.sync._ensure_listener()
    assert listener is runtime.sync._listener
    listener.pid = -1
    runtime.sync._ensure_listener()
    assert listener is not runtime.sync._listener
    runtime.sync._listener._on_push()
    listener.close()
    guard.close()
    assert runtime.sync._listener._closed.is_set()


@pytest.fixture
def pushing(world: World) -> Iterator[StoreSync]:
    """The background jobs of a guard with PUSH, with its worker stopped and no Redis."""
    pytest.importorskip("redis", reason="needs redis (extra `redis`)")
    settings = world.authority.settings(STORE=world.store, PUSH="redis://127.0.0.1:1")
    guard = Guard(settings, clock=lambda: world.now)
    assert guard._runtime is not None
    guard._worker.close()
    # The worker may have begun it before it was stopped.
    if guard._runtime.sync._listener is not None:
        guard._runtime.sync._listener.close()
        guard._runtime.sync._listener = None
    yield guard._runtime.sync
    guard.close()


def test_a_child_that_is_forked_while_its_parent_begins_to_listen_listens_too(pushing: StoreSync, monkeypatch) -> None:
    """A child that is forked while the parent starts its listener starts its own."""
    listened: list[bool] = []

    class Forking:
        def __enter__(self) -> None:
            pass

        def __exit__(self, *_: object) -> None:
            if not listened:
                # Only the parent forks.
                listened.append(False)
                listened.append(
                    run_in_child(lambda: pushing._ensure_listener() == 5.0 and pushing._listener.pid == os.getpid())
                )

    monkeypatch.setattr(pushing, "_store_lock", Forking())
    pushing._ensure_listener()
    assert [False, True] == listened
    assert pushing._listener.pid == os.getpid()


def test_a_listener_that_cannot_start_is_tried_again(pushing: StoreSync, monkeypatch) -> None:
    """If no thread can be started, the next round starts the listener."""

    def refuse(job: object, *, name: str) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(pushing._worker, "spawn", refuse)
        with pytest.raises(RuntimeError):
            pushing._ensure_listener()
    started: list[str] = []
    monkeypatch.setattr(pushing._worker, "spawn", lambda job, *, name: started.append(name))
    pushing._ensure_listener()
    assert ["push listener"] == started


def test_a_clock_that_jumps(world: World) -> None:
    """Jumps of the wall clock change neither counts nor revocations nor the age of the snapshot."""
    world.revoke("subject", "alice", pattern="orders:list")
    for jump in (0, -86400, 3 * 86400, -10):
        world.now += jump
        token = world.token("orders:*")
        assert [True, False] == [world.ask(token).passes, world.ask(token, "orders:list").passes]
        assert 5.0 == world.runtime.revocations.poll()
    assert {("granted", "orders:read", "orders:*"): 4, ("revoked", "orders:list", ""): 4} == world.uses()


def test_the_issuer_narrows_no_revoked_token(world: World) -> None:
    """The guard's issuer refuses to narrow a revoked token, or any token while revocations are unknown."""
    issuer = world.guard.issuer(world.authority.key, client="tests")
    token = issuer.issue("alice", permissions=["orders:read"])
    child = issuer.narrow(token, ["orders:read"])
    assert world.ask(child).passes
    world.monotonic += 61
    with pytest.raises(PolicyError, match="could not be determined"):
        issuer.narrow(token, ["orders:read"])
    world.runtime.revocations.poll()
    world.revoke("token", world.guard.verifier.verify(token).token_id)
    with pytest.raises(PolicyError, match="revoked"):
        issuer.narrow(token, ["orders:read"])
    assert not world.ask(child).passes


@pytest.mark.parametrize(
    "target",
    [
        pytest.param(("subject", "alice"), id="the subject"),
        pytest.param(("client", "tests"), id="the client"),
        pytest.param(("issuer", ""), id="the issuer"),
        pytest.param(("role", "clerk"), id="the role"),
    ],
)
def test_the_issuer_signs_no_revoked_permission(world: World, target: tuple[str, str]) -> None:
    """The guard's issuer signs no revoked permission, so that guards without the store refuse it too."""
    issuer = world.guard.issuer(world.authority.key, client="tests")
    before = issuer.issue("alice", roles=["clerk"])
    assert issuer.narrow(before, ["orders:list"])
    entry_id = world.revoke(*target, pattern="orders:list")
    with pytest.raises(PolicyError, match="orders:list was revoked") as caught:
        issuer.narrow(before, ["orders:list", "orders:read"])
    assert "scope" == caught.value.reason
    with world.authority.guard() as other:
        for token in (
            issuer.narrow(before, ["orders:read"]),
            issuer.renew(before, roles=["clerk"]),
            issuer.issue("alice", roles=["clerk"]),
        ):
            permissions = other.verifier.verify(token).permissions
            assert [False, True] == ["orders:list" in permissions, "orders:read" in permissions]
    world.store.lift([entry_id], at=world.now)
    world.runtime.revocations.poll()
    assert issuer.narrow(before, ["orders:list"])


def test_nothing_is_signed_while_revocations_are_unknown(world: World) -> None:
    """With a stale snapshot nothing is issued; a blocked subject gets no token."""
    issuer = world.guard.issuer(world.authority.key, client="tests")
    world.revoke("subject", "mallory")
    with pytest.raises(PolicyError) as caught:
        issuer.issue("mallory")
    assert "revoked" == caught.value.reason
    world.monotonic += 61
    for make in (issuer.issue, partial(issuer.renew, permissions=["orders:read"])):
        with pytest.raises(PolicyError) as caught:
            make(world.token("orders:read"))
        assert "undecided" == caught.value.reason


def test_issuing_waits_for_the_first_poll() -> None:
    """The first token of a process waits for the first poll, without any request before it."""
    authority = Authority(policy=POLICY)
    store = MemoryStore()
    store.revoke([entry("subject", "alice", pattern="orders:list")], at=0)
    with Guard(authority.settings(STORE=store)) as guard:
        token = guard.issuer(authority.key, client="tests").issue("alice", permissions=["orders:list", "orders:read"])
        assert ["orders:read"] == [grant.text for grant in guard.verifier.verify(token).permissions]


@pytest.mark.parametrize(
    ("fault", "settings"),
    [
        ("PUSH, SUBJECTS: there is no STORE", {"PUSH": "redis://localhost", "SUBJECTS": "absent"}),
        ("PUSH is the URL of a Redis", {"STORE": MemoryStore(), "PUSH": "http://localhost"}),
        ("STALE_AFTER is longer than REFUSE_AFTER", {"STORE": MemoryStore(), "STALE_AFTER": 10, "REFUSE_AFTER": 5}),
        ("REVOCATION_START is", {"STORE": MemoryStore(), "REVOCATION_START": "ajar"}),
        ("SUBJECTS is", {"STORE": MemoryStore(), "SUBJECTS": "hashed"}),
        ("SUBJECTS is", {"STORE": MemoryStore(), "SUBJECTS": {"KEY": "short"}}),
        ("SUBJECTS is", {"STORE": MemoryStore(), "SUBJECTS": {"KEY": "k" * 32, "MORE": 1}}),
        ("STORE is a string", {"STORE": 7}),
        ("STORE: ", {"STORE": "no-scheme"}),
    ],
)
def test_faults_of_the_store_settings(fault: str, settings: dict[str, Any]) -> None:
    """Each fault of the store's settings is named at start."""
    with pytest.raises(ConfigurationError) as caught:
        Authority().guard(**settings)
    assert fault in str(caught.value)


@pytest.mark.parametrize(
    ("expected", "subjects"), [("alice", "plain"), ("", "absent"), ("h:", {"KEY": "k" * 32}), ("h:", {"key": "k" * 32})]
)
def test_subjects_are_stored_as_configured(expected: str, subjects: Any) -> None:
    """Subjects are stored in plain text, not at all, or as keyed hashes."""
    world = World(SUBJECTS=subjects)
    world.ask(world.token("orders:read"))
    world.uses()
    (use,) = world.store.counts
    assert use.subject.startswith(expected)
    assert (expected == "alice") is ("alice" in use.subject)
    world.guard.close()
