"""Deliveries of steps to receivers: at least once, in order, and by one of several processes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from elevation.elevation_world import NOW, World, policy
from jwt_lp import subscribe
from jwt_lp.elevation.deliveries import CLAIM, ElevationDeliveries
from jwt_lp.stores import open_store
from jwt_lp.webhooks import Webhook, WebhookEvent
from memory_store import MemoryStore
from webhook_receiver import SECRET, WebhookReceiver


class Inbox:
    """A sender that keeps what it was sent, and fails as often as it is told."""

    def __init__(self, failures: int = 0) -> None:
        self.events: list[WebhookEvent] = []
        self.failures = failures

    def __call__(self, event: WebhookEvent) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("https://hooks.test/T0/secret refused")
        self.events.append(event)

    @property
    def types(self) -> list[str]:
        return [event.type for event in self.events]


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    if request.param == "memory":
        yield MemoryStore()
        return
    pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy (extra `sql`)")
    opened = open_store(f"sqlite:///{tmp_path / 'steps.db'}")
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def world(store: Any) -> Iterator[World]:
    made = World(policy(break_glass=True), store)
    yield made
    made.guard.close()


def deliveries_of(world: World, *senders: Any) -> ElevationDeliveries:
    return ElevationDeliveries(world.store, senders, clock=lambda: world.now)


def test_every_step_is_delivered_once(world: World) -> None:
    """Asked, approved, granted and ended, in their order; nothing is sent again."""
    inbox = Inbox()
    asked = world.elevations.request(world.token(), "orders:export", seconds=600, reason="a customer")
    world.elevations.approve(world.token("bob"), asked.id, digest=asked.digest, reason="fine")
    assert 3 == deliveries_of(world, inbox).deliver()
    world.elevations.end(world.token(), asked.id)
    assert [1, 0] == [deliveries_of(world, inbox).deliver() for _ in range(2)]
    assert ["elevation.asked", "elevation.approved", "elevation.granted", "elevation.ended"] == inbox.types
    approved: Any = inbox.events[1].data
    assert ("bob", "fine", "2027-01-15T08:00:00Z") == tuple(
        approved["step"][each] for each in ("subject", "reason", "at")
    )
    assert ("ana", "approved") == (approved["elevation"]["subject"], approved["elevation"]["state"])
    assert 4 == len({event.id for event in inbox.events})


def test_break_glass_and_a_denial_have_their_own_types(world: World) -> None:
    """Who takes a permission without an approval is told of as such."""
    inbox = Inbox()
    world.elevations.request(world.token(), "orders:export", break_glass=True)
    world.now += 1
    asked = world.elevations.request(world.token("ina", "support"), "orders:export")
    world.elevations.deny(world.token("bob"), asked.id)
    deliveries_of(world, inbox).deliver()
    assert ["asked", "break_glass", "asked", "denied"] == [each.removeprefix("elevation.") for each in inbox.types]


def test_a_failure_delays_only_what_failed(world: World) -> None:
    """The step that failed is sent again when its claim has lapsed, with the same id; others need not wait for it."""
    inbox = Inbox(failures=1)
    world.elevations.request(world.token(), "orders:export", key="one")
    world.now += 1
    world.elevations.request(world.token("ina", "support"), "orders:export", key="two")
    deliveries = deliveries_of(world, inbox)
    assert (0, 1) == (deliveries.deliver(), deliveries.failures)
    assert (1, 0) == (deliveries.deliver(), deliveries.failures)
    assert ["ina"] == [event.data["elevation"]["subject"] for event in inbox.events]  # type: ignore[index]
    world.now += CLAIM
    assert 1 == deliveries.deliver()
    assert ["ina", "ana"] == [event.data["elevation"]["subject"] for event in inbox.events]  # type: ignore[index]


def test_what_failed_is_logged_without_its_message(world: World) -> None:
    """The message of an error may hold the address of a webhook, which is a secret."""
    events: list[Any] = []
    undo = subscribe(lambda event, members: events.append(dict(members)), events=["elevation-undelivered"])
    world.elevations.request(world.token(), "orders:export")
    deliveries_of(world, Inbox(failures=1)).deliver()
    undo()
    ((members),) = events
    assert ("elevation.asked", "ConnectionError") == (members["event"], members["error"])
    assert "secret" not in str(members)


def test_a_process_that_stops_loses_nothing(world: World) -> None:
    """Steps are claimed and not marked: another process sends them after the claim has lapsed, not before."""
    world.elevations.request(world.token(), "orders:export")
    assert 1 == len(world.store.claim_steps(5, at=world.now, until=world.now + CLAIM))
    inbox = Inbox()
    assert 0 == deliveries_of(world, inbox).deliver()
    world.now += CLAIM
    assert (1, ["elevation.asked"]) == (deliveries_of(world, inbox).deliver(), inbox.types)


def test_all_senders_get_an_event_again_if_one_of_them_failed(world: World) -> None:
    """The ids are the same, so that the others can ignore it."""
    good, bad = Inbox(), Inbox(failures=1)
    world.elevations.request(world.token(), "orders:export")
    deliveries = deliveries_of(world, good, bad)
    deliveries.deliver()
    world.now += CLAIM
    deliveries.deliver()
    assert (2, 1, 1) == (len(good.events), len({each.id for each in good.events}), len(bad.events))


def test_two_processes_do_not_send_the_same(store: Any) -> None:
    """Both deliver at once: every step is sent once."""
    world = World(store=store)
    for number in range(6):
        world.elevations.request(world.token(f"ana{number}", "support"), "orders:export")
    inboxes = [Inbox(), Inbox()]
    threads = [threading.Thread(target=deliveries_of(world, inbox).deliver) for inbox in inboxes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = [event.id for inbox in inboxes for event in inbox.events]
    assert (6, 6) == (len(ids), len(set(ids)))
    world.guard.close()


def test_a_step_without_its_elevation_is_not_sent(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its elevation was purged meanwhile: nobody waits for it any more."""
    world.elevations.request(world.token(), "orders:export")
    monkeypatch.setattr(world.store, "elevation", lambda _: None)
    inbox = Inbox()
    assert ([1, 0], []) == ([deliveries_of(world, inbox).deliver() for _ in range(2)], inbox.events)


def test_running_until_it_is_stopped(world: World) -> None:
    """It delivers again and again, and waits longer after a failure."""
    waits: list[float] = []
    stop = threading.Event()

    class Stop:
        def is_set(self) -> bool:
            return stop.is_set()

        def wait(self, seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 2:
                stop.set()
            world.now += CLAIM

    inbox = Inbox(failures=1)
    world.elevations.request(world.token(), "orders:export")
    deliveries_of(world, inbox).run(Stop(), interval=0.25)  # type: ignore[arg-type]  # as much of an event as it needs
    assert (1, [1.0, 0.25]) == (len(inbox.events), waits)


def test_a_real_receiver_gets_signed_events(world: World) -> None:
    """Over HTTP: an answer of 503 is tried again, and the signature is right."""
    with WebhookReceiver((503, {})) as receiver:
        webhook = Webhook(receiver.url, SECRET, allow_http_hosts=("127.0.0.1",))
        deliveries = deliveries_of(world, lambda event: webhook.send(event, now=time.time()))
        asked = world.elevations.request(world.token(), "orders:export")
        assert 0 == deliveries.deliver()
        world.now += CLAIM
        assert 1 == deliveries.deliver()
    first, second = receiver.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == f"{asked.id}-1"
    assert first.body == second.body
    signed = webhook.sign(second.headers["webhook-id"], int(second.headers["webhook-timestamp"]), second.body)
    assert signed == second.headers["webhook-signature"]
    assert ("elevation.asked", NOW) == (second.content["type"], asked.asked_at)
