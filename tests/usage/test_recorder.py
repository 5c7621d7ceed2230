"""What is counted, what is lost, and that nothing is counted twice."""

from __future__ import annotations

import os
import threading
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from jwt_lp import AccessToken, Permissions
from jwt_lp.permissions.grants import Grant
from jwt_lp.stores import ObservedGrant, UsageBatch, Use
from jwt_lp.usage.recorder import UsageRecorder, UsageSlot, omitted_subject, plain_subject, pseudonymizer
from memory_store import MemoryStore

NOW = 1_800_000_000.0  # 2027-01-15
DAY = "2027-01-15"


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def token(subject: str = "alice", **changes: Any) -> AccessToken:
    usual: dict[str, Any] = {
        "issuer": "https://i.test",
        "issuer_name": "own",
        "subject": subject,
        "client": "web",
        "permissions": Permissions.of([Grant("a", "scope"), Grant("b", "role clerk", "clerk")]),
        "_claims": {},
        "issued_at": NOW,
        "expires_at": NOW + 300,
        "token_id": "t",
        "roles": ("clerk",),
        "fingerprint": "abc",
    }
    return AccessToken(**{**usual, **changes})


def recorder(store: Any = None, **options: Any) -> tuple[MemoryStore, UsageRecorder]:
    store = store or MemoryStore()
    return store, UsageRecorder(store, service="orders", **{"clock": Clock(), **options})


def slots(found: UsageRecorder, held: AccessToken | None = None, outcome: Any = "granted") -> tuple[UsageSlot, ...]:
    served = [("a", Grant("a", "scope")), ("{x}:b", Grant("*:b", "role clerk", "clerk", pattern=True)), ("c", None)]
    return found.slots(held or token(), "a & {x}:b", "GET /x/{x}", "views.x", served, outcome)


def test_what_a_row_says() -> None:
    """Every term of the requirement has a row of its own, with the grant and the role that served it."""
    store, found = recorder()
    found.count(slots(found))
    found.flush()
    common = ("orders", "https://i.test", "alice", "web")
    place = ("views.x", "GET", "a & {x}:b")
    assert {
        Use(*common, "", *place, "a", "a", "granted", DAY): 1,
        Use(*common, "clerk", *place, "{x}:b", "*:b", "granted", DAY): 1,
        Use(*common, "", *place, "c", "", "granted", DAY): 1,
    } == dict(store.counts)


def test_counts_add_up() -> None:
    """Between flushes and over them, for each day; the time of the last one is kept."""
    clock = Clock()
    store, found = recorder(clock=clock)
    one = slots(found)[:1]
    for _ in range(5):
        found.count(one)
    found.flush()
    clock.now += 86400
    found.count(one)
    assert 1 == found.status().pending
    found.flush()
    assert {DAY: 5, "2027-01-16": 1} == {use.day: number for use, number in store.counts.items()}
    assert [NOW, NOW + 86400] == [last for batch in store.batches for _, last in batch.uses.values()]
    status = found.status()
    assert (NOW, NOW + 86400, 6, 0, 0) == status


def test_many_threads_lose_nothing() -> None:
    """Counts are exact while others count and the worker writes."""
    store, found = recorder()
    one = slots(found)

    def work() -> None:
        for _ in range(5000):
            found.count(one)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        found.flush()
    found.flush()
    assert 3 * 4 * 5000 == sum(store.counts.values())


def test_a_store_that_is_down_costs_nothing_until_it_is_back() -> None:
    """What could not be written is written later, once; the run says until when all of it is there."""
    clock = Clock()
    store, found = recorder(clock=clock)
    found.count(slots(found))
    store.down = OSError("down")
    for _ in range(3):
        clock.now += 5
        with pytest.raises(OSError, match="down"):
            found.flush()
        found.count(slots(found))
    assert NOW == found.status().stored_until
    store.down = None
    clock.now += 5
    found.flush()
    assert 12 == sum(store.counts.values())
    assert NOW + 20 == found.status().stored_until
    assert 5.0 == found.flush()


class Forgetful(MemoryStore):
    """A store whose answer gets lost after it has written."""

    def record(self, batch: UsageBatch) -> bool:
        super().record(batch)
        if not self.closed:
            self.closed = True
            raise TimeoutError
        return True


def test_an_answer_that_is_lost_counts_once() -> None:
    """A batch whose fate is not known is sent again under its id, as it was."""
    store, found = recorder(Forgetful())
    found.count(slots(found)[:1])
    with pytest.raises(TimeoutError):
        found.flush()
    found.count(slots(found)[:1])
    found.flush()
    assert [1, 1] == [sum(number for number, _ in batch.uses.values()) for batch in store.batches]
    assert 2 == sum(store.counts.values())


def test_what_is_too_much_is_dropped_and_counted() -> None:
    """Events, rows and sightings have a bound each; every drop shows."""
    store, found = recorder(max_events=2, max_rows=2)
    one = slots(found)[:1]
    for _ in range(5):
        found.count(one)
    assert (2, 3) == (found.status().pending, found.status().dropped)
    found.flush()
    store.down = OSError("down")
    for number in range(4):
        found.count(slots(found, token(f"user-{number}"))[:1])
        with pytest.raises(OSError, match="down"):
            found.flush()
    store.down = None
    found.flush()
    found.flush()
    status = found.status()
    assert 9 == sum(store.counts.values()) + status.dropped
    found.observe_token(token(permissions=Permissions.of(["a", "b", "c", "d"])))
    assert status.dropped + 2 == found.status().dropped
    found.flush()
    assert status.dropped + 2 == store.batches[-1].period.dropped  # type: ignore[union-attr]


def test_more_different_rows_than_are_kept() -> None:
    """Rows that are known go on counting; each use of one that has no room is dropped and counted."""
    store, found = recorder(max_rows=2)
    for subject in ("a", "b", "c", "a", "c"):
        found.count(slots(found, token(subject))[:1])
    found.flush()
    assert {"a": 2, "b": 1} == {use.subject: number for use, number in store.counts.items()}
    assert (3, 2) == (found.status().recorded, found.status().dropped)
    found.count(slots(found, token("c"))[:1])
    found.flush()
    assert 1 == sum(number for use, number in store.counts.items() if use.subject == "c")


def test_what_tokens_carry_is_seen_once_a_day() -> None:
    """Direct grants and those of roles, each with who holds it."""
    clock = Clock()
    store, found = recorder(clock=clock)
    found.observe_token(token())
    found.observe_token(token())
    found.flush()
    clock.now += 86400
    found.observe_token(token())
    found.flush()
    expected = [
        ObservedGrant("https://i.test", "alice", "web", role, grant, day)
        for day in (DAY, "2027-01-16")
        for role, grant in (("", "a"), ("clerk", "b"))
    ]
    assert expected == [each for batch in store.batches for each in batch.observed_grants]


def test_enforcement_points_are_noted() -> None:
    """Once where they are found, and again by a child of this process."""
    store, found = recorder()
    found.declare_enforcement_points([("views.x", "GET", "a"), ("views.y", "POST", "b")])
    found.flush()
    assert [("orders", "views.x", "GET", "a", DAY), ("orders", "views.y", "POST", "b", DAY)] == [
        tuple(each) for batch in store.batches for each in batch.enforcement_points
    ]


def test_silence_is_told_once_a_minute() -> None:
    """A quiet service still says that it was recording, and not at every flush."""
    clock = Clock()
    store, found = recorder(clock=clock)
    for _ in range(30):
        clock.now += 5
        found.flush()
    assert 2 == len(store.batches)
    assert [NOW + 60, NOW + 120] == [batch.period.until for batch in store.batches if batch.period]


@pytest.mark.parametrize("jump", [-400 * 86400.0, -3600.0, 3600.0, 400 * 86400.0])
def test_a_clock_that_jumps_loses_no_count(jump: float) -> None:
    """Before and after it everything is counted, under the day that the clock says when it is added up."""
    clock = Clock()
    store, found = recorder(clock=clock)
    one = slots(found)[:1]
    for _ in range(3):
        found.count(one)
    clock.now += jump
    found.count(one)
    found.observe_token(token())
    found.flush()
    clock.now -= jump
    found.count(one)
    found.observe_token(token())
    found.flush()
    day = datetime.fromtimestamp(NOW + jump, UTC).date().isoformat()
    expected = Counter({day: 4})
    expected[DAY] += 1
    assert expected == Counter({use.day: number for use, number in store.counts.items()})
    assert (5, 0, 0) == found.status()[2:]
    assert {day, DAY} == {each.day for batch in store.batches for each in batch.observed_grants}


def test_a_child_counts_for_itself() -> None:
    """What a parent has not written is its own to write: a forked child begins with nothing, under another name."""
    store, found = recorder()
    found.declare_enforcement_points([("views.x", "GET", "a")])
    found.count(slots(found))
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - another process
        before = found.status().pending
        found.count(slots(found)[:1])
        found.flush()
        batch = store.batches[0]
        said = f"{before} {sum(n for n, _ in batch.uses.values())} {len(tuple(batch.enforcement_points))} {batch.id}"
        os.write(writer, said.encode())
        os._exit(0)
    os.waitpid(child, 0)
    pending, counted, points, name = os.read(reader, 200).decode().split(" ")
    found.flush()
    assert ("0", "1", "1") == (pending, counted, points)
    assert 3 == sum(store.counts.values())
    assert name.partition(":")[0] != store.batches[0].id.partition(":")[0]


def test_a_recorder_that_is_gone_is_not_kept_for_forks() -> None:
    """A fork after a recorder has been forgotten does not find it."""
    _, found = recorder()
    del found
    child = os.fork()
    if child == 0:  # pragma: no cover - another process
        os._exit(0)
    assert 0 == os.waitpid(child, 0)[1]


def test_how_subjects_stand_in_the_store() -> None:
    """Plainly, as a keyed hash that tells subjects and issuers apart, or not at all."""
    name = pseudonymizer(b"k" * 32)
    names = {name(issuer, subject) for issuer in ("a", "b") for subject in ("x", "y")}
    assert 4 == len(names)
    assert all(each.startswith("h:") and len(each) == 24 for each in names)
    assert name("a", "x") != pseudonymizer(b"l" * 32)("a", "x")
    assert ("x", "") == (plain_subject("a", "x"), omitted_subject("a", "x"))
    store, found = recorder(name=omitted_subject)
    found.count(slots(found))
    found.observe_token(token())
    found.flush()
    assert {""} == {use.subject for use in store.counts} | {each.subject for each in store.batches[0].observed_grants}
