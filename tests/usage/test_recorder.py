"""Recorder of usage: counts are exact, losses are counted, and nothing counts twice."""

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
from jwt_lp.usage import recorder as recorder_module
from jwt_lp.usage.recorder import UsageRecorder, UsageSlot, omitted_subject, plain_subject, pseudonymizer
from memory_store import MemoryStore

NOW = 1_800_000_000.0  # 2027-01-15
DAY = "2027-01-15"


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def token(subject: str = "alice", **changes: Any) -> AccessToken:
    defaults: dict[str, Any] = {
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
    return AccessToken(**{**defaults, **changes})


def make_recorder(store: Any = None, **options: Any) -> tuple[MemoryStore, UsageRecorder]:
    store = store or MemoryStore()
    return store, UsageRecorder(store, service="orders", **{"clock": Clock(), **options})


def slots(
    recorder: UsageRecorder, access: AccessToken | None = None, outcome: Any = "granted"
) -> tuple[UsageSlot, ...]:
    served = [("a", Grant("a", "scope")), ("{x}:b", Grant("*:b", "role clerk", "clerk", pattern=True)), ("c", None)]
    return recorder.slots(access or token(), "a & {x}:b", "GET /x/{x}", "views.x", served, outcome)


def test_the_row_of_each_term() -> None:
    """Every term of the requirement has a row of its own, with the grant and the role that served it."""
    store, recorder = make_recorder()
    recorder.count(slots(recorder))
    recorder.flush()
    holder = ("orders", "https://i.test", "alice", "web")
    point = ("views.x", "GET", "a & {x}:b")
    assert {
        Use(*holder, "", *point, "a", "a", "granted", DAY): 1,
        Use(*holder, "clerk", *point, "{x}:b", "*:b", "granted", DAY): 1,
        Use(*holder, "", *point, "c", "", "granted", DAY): 1,
    } == dict(store.counts)


def test_counts_add_up() -> None:
    """Counts add up by day, within a flush and over several; the time of the last use is kept."""
    clock = Clock()
    store, recorder = make_recorder(clock=clock)
    slot = slots(recorder)[:1]
    for _ in range(5):
        recorder.count(slot)
    recorder.flush()
    clock.now += 86400
    recorder.count(slot)
    assert 1 == recorder.status().pending
    recorder.flush()
    assert {DAY: 5, "2027-01-16": 1} == {use.day: number for use, number in store.counts.items()}
    assert [NOW, NOW + 86400] == [last for batch in store.batches for _, last in batch.uses.values()]
    status = recorder.status()
    assert (NOW, NOW + 86400, 6, 0, 0) == status


def test_many_threads_lose_nothing() -> None:
    """Counts are exact while several threads count and another one flushes."""
    store, recorder = make_recorder()
    slot = slots(recorder)

    def work() -> None:
        for _ in range(5000):
            recorder.count(slot)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        recorder.flush()
    recorder.flush()
    assert 3 * 4 * 5000 == sum(store.counts.values())


def test_an_outage_of_the_store_loses_no_count() -> None:
    """What could not be written is written later, once; `stored_until` shows how far the store is complete."""
    clock = Clock()
    store, recorder = make_recorder(clock=clock)
    recorder.count(slots(recorder))
    store.down = OSError("down")
    for _ in range(3):
        clock.now += 5
        with pytest.raises(OSError, match="down"):
            recorder.flush()
        recorder.count(slots(recorder))
    assert NOW == recorder.status().stored_until
    store.down = None
    clock.now += 5
    recorder.flush()
    assert 12 == sum(store.counts.values())
    assert NOW + 20 == recorder.status().stored_until
    assert 5.0 == recorder.flush()


class LostAnswerStore(MemoryStore):
    """A store whose first answer is lost after it has written."""

    def record(self, batch: UsageBatch) -> bool:
        super().record(batch)
        if not self.closed:
            self.closed = True
            raise TimeoutError
        return True


def test_a_batch_whose_answer_was_lost_counts_once() -> None:
    """It is sent again unchanged with the same id."""
    store, recorder = make_recorder(LostAnswerStore())
    recorder.count(slots(recorder)[:1])
    with pytest.raises(TimeoutError):
        recorder.flush()
    recorder.count(slots(recorder)[:1])
    recorder.flush()
    assert [1, 1] == [sum(number for number, _ in batch.uses.values()) for batch in store.batches]
    assert 2 == sum(store.counts.values())


def test_what_is_too_much_is_dropped_and_counted() -> None:
    """Events, rows and observed grants have a limit each; every dropped one is counted."""
    store, recorder = make_recorder(max_events=2, max_rows=2)
    slot = slots(recorder)[:1]
    for _ in range(5):
        recorder.count(slot)
    assert (2, 3) == (recorder.status().pending, recorder.status().dropped)
    recorder.flush()
    store.down = OSError("down")
    for number in range(4):
        recorder.count(slots(recorder, token(f"user-{number}"))[:1])
        with pytest.raises(OSError, match="down"):
            recorder.flush()
    store.down = None
    recorder.flush()
    recorder.flush()
    status = recorder.status()
    assert 9 == sum(store.counts.values()) + status.dropped
    recorder.observe_token(token(permissions=Permissions.of(["a", "b", "c", "d"])))
    recorder.flush()
    assert status.dropped + 2 == recorder.status().dropped
    assert status.dropped + 2 == store.batches[-1].period.dropped  # type: ignore[union-attr]


def test_more_different_rows_than_are_kept() -> None:
    """Rows that have a place go on counting; each use of another row is dropped and counted."""
    store, recorder = make_recorder(max_rows=2)
    for subject in ("a", "b", "c", "a", "c"):
        recorder.count(slots(recorder, token(subject))[:1])
    recorder.flush()
    assert {"a": 2, "b": 1} == {use.subject: number for use, number in store.counts.items()}
    assert (3, 2) == (recorder.status().recorded, recorder.status().dropped)
    recorder.count(slots(recorder, token("c"))[:1])
    recorder.flush()
    assert 1 == sum(number for use, number in store.counts.items() if use.subject == "c")


def test_grants_of_tokens_are_recorded_once_a_day() -> None:
    """Direct grants and grants of roles are recorded, each with its holder."""
    clock = Clock()
    store, recorder = make_recorder(clock=clock)
    recorder.observe_token(token())
    recorder.observe_token(token())
    recorder.flush()
    clock.now += 86400
    recorder.observe_token(token())
    recorder.flush()
    expected = [
        ObservedGrant("https://i.test", "alice", "web", role, grant, day)
        for day in (DAY, "2027-01-16")
        for role, grant in (("", "a"), ("clerk", "b"))
    ]
    assert expected == [grant for batch in store.batches for grant in batch.observed_grants]


def test_observing_a_token_costs_the_same_for_any_number_of_grants(monkeypatch: pytest.MonkeyPatch) -> None:
    """The grants are read in the background; of tokens beyond the bound, one use each is counted as dropped."""
    monkeypatch.setattr(recorder_module, "MAX_OBSERVED", 3)
    store, recorder = make_recorder()
    with monkeypatch.context() as patch:
        patch.setattr(Permissions, "__iter__", None)
        for number in range(5):
            recorder.observe_token(token(f"user-{number}", permissions=Permissions.of(["a"])))
    assert 2 == recorder.status().dropped
    recorder.flush()
    assert ["user-0", "user-1", "user-2"] == [each.subject for each in store.batches[-1].observed_grants]


def test_a_decision_with_several_uses_is_pending_with_all_of_them() -> None:
    """The status counts uses, not decisions."""
    _, recorder = make_recorder()
    for _ in range(2):
        recorder.count(slots(recorder))
    assert 6 == recorder.status().pending


def test_enforcement_points_are_recorded() -> None:
    """Each declared point is written once, with the service and the day."""
    store, recorder = make_recorder()
    recorder.declare_enforcement_points([("views.x", "GET", "a"), ("views.y", "POST", "b")])
    recorder.flush()
    assert [("orders", "views.x", "GET", "a", DAY), ("orders", "views.y", "POST", "b", DAY)] == [
        tuple(point) for batch in store.batches for point in batch.enforcement_points
    ]


def test_invented_methods_share_one_row() -> None:
    """A client may send any method where a route lists none; usual and declared methods have rows of their own."""
    store, recorder = make_recorder()
    recorder.declare_enforcement_points([("views.x", "PURGE", "a"), ("views.x", "*", "a")])
    methods = ["GET", "PURGE", "WEBSOCKET", "*", "", "get", *("M" * 5000 + str(number) for number in range(9))]
    for method in methods:
        recorder.count(recorder.slots(token(), "a", f"{method} /x", "views.x", [("a", None)], "granted"))
    recorder.flush()
    assert {"GET": 1, "PURGE": 1, "WEBSOCKET": 1, "*": 12} == {use.method: store.counts[use] for use in store.counts}


def test_an_idle_service_writes_once_a_minute() -> None:
    """A service without uses still extends its recording period, but not at every flush."""
    clock = Clock()
    store, recorder = make_recorder(clock=clock)
    for _ in range(30):
        clock.now += 5
        recorder.flush()
    assert 2 == len(store.batches)
    assert [NOW + 60, NOW + 120] == [batch.period.until for batch in store.batches if batch.period]


@pytest.mark.parametrize("jump", [-400 * 86400.0, -3600.0, 3600.0, 400 * 86400.0])
def test_a_clock_that_jumps_loses_no_count(jump: float) -> None:
    """Every use counts, under the day of the clock at the time of the flush."""
    clock = Clock()
    store, recorder = make_recorder(clock=clock)
    slot = slots(recorder)[:1]
    for _ in range(3):
        recorder.count(slot)
    clock.now += jump
    recorder.count(slot)
    recorder.observe_token(token())
    recorder.flush()
    clock.now -= jump
    recorder.count(slot)
    recorder.observe_token(token())
    recorder.flush()
    day = datetime.fromtimestamp(NOW + jump, UTC).date().isoformat()
    expected = Counter({day: 4})
    expected[DAY] += 1
    assert expected == Counter({use.day: number for use, number in store.counts.items()})
    assert (5, 0, 0) == recorder.status()[2:]
    assert {day, DAY} == {grant.day for batch in store.batches for grant in batch.observed_grants}


def test_a_child_counts_for_itself() -> None:
    """A forked child starts empty and with another id; the parent writes what it has counted."""
    store, recorder = make_recorder()
    recorder.declare_enforcement_points([("views.x", "GET", "a")])
    recorder.count(slots(recorder))
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - another process
        before = recorder.status().pending
        recorder.count(slots(recorder)[:1])
        recorder.flush()
        batch = store.batches[0]
        report = f"{before} {sum(n for n, _ in batch.uses.values())} {len(tuple(batch.enforcement_points))} {batch.id}"
        os.write(writer, report.encode())
        os._exit(0)
    os.waitpid(child, 0)
    pending, counted, points, name = os.read(reader, 200).decode().split(" ")
    recorder.flush()
    assert ("0", "1", "1") == (pending, counted, points)
    assert 3 == sum(store.counts.values())
    assert name.partition(":")[0] != store.batches[0].id.partition(":")[0]


def test_the_fork_hook_keeps_no_recorder_alive() -> None:
    """A fork after a recorder was deleted works."""
    _, recorder = make_recorder()
    del recorder
    child = os.fork()
    if child == 0:  # pragma: no cover - another process
        os._exit(0)
    assert 0 == os.waitpid(child, 0)[1]


def test_the_names_of_subjects_in_the_store() -> None:
    """A name is the plain subject, a keyed hash that differs by subject and issuer, or empty."""
    name = pseudonymizer(b"k" * 32)
    names = {name(issuer, subject) for issuer in ("a", "b") for subject in ("x", "y")}
    assert 4 == len(names)
    assert all(pseudonym.startswith("h:") and len(pseudonym) == 24 for pseudonym in names)
    assert name("a", "x") != pseudonymizer(b"l" * 32)("a", "x")
    assert ("x", "") == (plain_subject("a", "x"), omitted_subject("a", "x"))
    store, recorder = make_recorder(subject_naming=omitted_subject)
    recorder.count(slots(recorder))
    recorder.observe_token(token())
    recorder.flush()
    assert {""} == {use.subject for use in store.counts} | {grant.subject for grant in store.batches[0].observed_grants}
