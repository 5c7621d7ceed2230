"""Slowing of failed attempts: per account and address, in bounded memory, and over Redis."""

from __future__ import annotations

import logging
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from clock import Clock
from jwt_lp import ConfigurationError, PasswordCheck, Throttle
from jwt_lp.signin.attempts import ACCOUNT, ADDRESS, FORGET_AFTER, PAIR, REMEMBER, LocalCounts
from jwt_lp.signin.throttle import account_label, read_attempt
from servers import REDIS, redis_server
from signin.signin_world import PASSWORD, new_world, read

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOME, CAFE, STRANGER = "192.0.2.1", "192.0.2.2", "203.0.113.9"


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def counts(clock: Clock) -> LocalCounts:
    return LocalCounts(clock=clock)


def delays(counts: LocalCounts, clock: Clock, account: str, address: str | None, number: int) -> list[float]:
    """The seconds to wait before each of `number` attempts, all failed."""
    waits = []
    for _ in range(number):
        wait = counts.reserve(read_attempt(account, address))
        waits.append(round(wait, 3))
        if wait:
            clock.now += wait
            assert 0 == counts.reserve(read_attempt(account, address))
    return waits


def test_failures_cost_more_and_more(counts: LocalCounts, clock: Clock) -> None:
    """Five are free; then the delay doubles from a second to a quarter of an hour."""
    expected = [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]
    assert expected == delays(counts, clock, "alice", HOME, 17)
    assert 900.0 == PAIR.delay(10_000)


def test_a_refused_attempt_does_not_count(counts: LocalCounts, clock: Clock) -> None:
    """Who tries on while it is refused waits no longer for it."""
    delays(counts, clock, "alice", HOME, 5)
    assert [1.0] * 50 == [counts.reserve(read_attempt("alice", HOME)) for _ in range(50)]


def test_success_forgets_the_failures_of_the_account(counts: LocalCounts, clock: Clock) -> None:
    """The next typing error is the first again."""
    delays(counts, clock, "alice", HOME, 7)
    counts.succeed(read_attempt("alice", HOME))
    assert [0, 0, 0, 0, 0, 1] == delays(counts, clock, "alice", HOME, 6)


def test_failures_are_forgotten_after_an_hour(counts: LocalCounts, clock: Clock) -> None:
    """Counted from the end of the last delay."""
    delays(counts, clock, "alice", HOME, 8)
    clock.now += 8 + FORGET_AFTER + 1
    assert [0, 0, 0, 0, 0, 1] == delays(counts, clock, "alice", HOME, 6)


def test_one_address_is_slowed_over_all_accounts(counts: LocalCounts, clock: Clock) -> None:
    """Guessing one password for many accounts, 20 are free; others are not slowed."""
    waits = [delays(counts, clock, f"user{number}", STRANGER, 1)[0] for number in range(24)]
    assert [0] * ADDRESS.free + [1, 2, 4, 8] == waits
    assert 0 == counts.reserve(read_attempt("user1", HOME))


def test_an_account_of_his_own_does_not_help_an_attacker(counts: LocalCounts, clock: Clock) -> None:
    """Signing in between guesses leaves the failures of the address where they are."""
    for number in range(20):
        assert 0 == counts.reserve(read_attempt(f"user{number}", STRANGER))
        if number < 19:
            assert 0 == counts.reserve(read_attempt("mallory", STRANGER))
            counts.succeed(read_attempt("mallory", STRANGER))
    assert 1.0 == counts.reserve(read_attempt("user20", STRANGER))


def test_one_account_is_slowed_over_all_addresses(counts: LocalCounts, clock: Clock) -> None:
    """Many addresses get 20 attempts together, and then at least one a minute."""
    waits = [delays(counts, clock, "alice", f"198.51.100.{number}", 1)[0] for number in range(30)]
    assert [0] * ACCOUNT.free + [1, 2, 4, 8, 16, 32, 60, 60, 60, 60] == waits


def test_strangers_do_not_keep_the_owner_out(counts: LocalCounts, clock: Clock) -> None:
    """An address from which the account has signed in does not feel what others do; a month later it does."""
    assert 0 == counts.reserve(read_attempt("alice", HOME))
    counts.succeed(read_attempt("alice", HOME))
    for number in range(40):
        delays(counts, clock, "alice", f"198.51.100.{number}", 1)
    assert (0, True) == (counts.reserve(read_attempt("alice", HOME)), counts.reserve(read_attempt("alice", CAFE)) > 50)
    clock.now += REMEMBER
    for number in range(40):
        delays(counts, clock, "alice", f"198.51.100.{number}", 1)
    assert counts.reserve(read_attempt("alice", HOME)) > 50


def test_without_an_address_nobody_is_locked_out(counts: LocalCounts, clock: Clock) -> None:
    """Behind a Unix socket nobody has an address: strangers delay an account by a minute at most, and no other one."""
    waits = delays(counts, clock, "alice", None, 30)
    assert [0] * ACCOUNT.free + [1, 2, 4, 8, 16, 32, 60, 60, 60, 60] == waits
    assert 0 == counts.reserve(read_attempt("bob", None))
    counts.succeed(read_attempt("bob", None))
    # One success is no sign that the next stranger is the same person.
    assert [0] * ACCOUNT.free + [1, 2] == delays(counts, clock, "bob", None, 22)


def test_attempts_at_once_get_no_more_tries(counts: LocalCounts) -> None:
    """Each counts before it is tried."""
    with ThreadPoolExecutor(8) as threads:
        waits = list(threads.map(lambda _: counts.reserve(read_attempt("alice", HOME)), range(200)))
    assert PAIR.free == waits.count(0)


def test_an_attempt_without_a_result_does_not_count(counts: LocalCounts, clock: Clock) -> None:
    """The table of users was down: nobody is slowed by that."""
    for _ in range(50):
        assert 0 == counts.reserve(read_attempt("alice", HOME))
        counts.withdraw(read_attempt("alice", HOME))
    counts.withdraw(read_attempt("nobody", CAFE))
    assert [0, 0, 0, 0, 0, 1] == delays(counts, clock, "alice", HOME, 6)


def test_a_million_names_neither_grow_it_nor_free_the_attacker(clock: Clock) -> None:
    """The lightest counts go first, so the ones that slow somebody stay."""
    counts = LocalCounts(1000, clock=clock)
    delays(counts, clock, "alice", STRANGER, 12)
    before = counts.reserve(read_attempt("alice", STRANGER))
    for number in range(20_000):
        counts.reserve(read_attempt(f"user{number}", f"10.{number >> 8}.{number & 255}.1"))
        counts.succeed(read_attempt(f"known{number}", "10.0.0.1"))
    assert len(counts) <= 1000
    assert len(counts._known) <= 1000
    assert before == counts.reserve(read_attempt("alice", STRANGER))


def test_it_cannot_be_made_too_small() -> None:
    """A tenth of it is dropped at once."""
    with pytest.raises(ConfigurationError, match="10 or more"):
        LocalCounts(9)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("Alice", HOME), (" ALICE ", HOME)),
        (("straße", HOME), ("STRASSE", HOME)),
        (("\uff41lice", HOME), ("alice", HOME)),
        (("alice", HOME), ("alice", f"::ffff:{HOME}")),
        (("alice", "2001:db8:1:2::1"), ("alice", "2001:db8:1:2:ffff:ffff:ffff:ffff")),
        (("alice", None), ("alice", "")),
        (("josé", HOME), ("jose\u0301", HOME)),
        (("jose", HOME), ("JOSÉ", HOME)),
        (("i", HOME), ("\u0130", HOME)),
    ],
)
def test_spellings_share_their_attempts(one: Any, other: Any) -> None:
    """Many user tables find a name in any case, and whoever has an IPv6 address has its network."""
    assert read_attempt(*one) == read_attempt(*other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("alice", HOME), ("alice", CAFE)),
        (("alice", HOME), ("bob", HOME)),
        (("alice", "2001:db8:1:2::1"), ("alice", "2001:db8:1:3::1")),
        (("alice", "testclient"), ("alice", "unix:")),
        (("a\ud800", HOME), ("a", HOME)),
    ],
)
def test_others_do_not(one: Any, other: Any) -> None:
    """Neither accounts nor addresses are mixed up, and names are not kept."""
    first, second = read_attempt(*one), read_attempt(*other)
    assert first.pair != second.pair
    assert 1 == len({len(key) for key in (*first, *second) if key is not None})
    assert account_label(one[0]) in first.account.hex()


def test_the_answer_says_how_long_to_wait(tmp_path: Path) -> None:
    """429 with Retry-After in whole seconds, for the right password, too; `authenticate` is not called."""
    pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy (extra `sql`)")
    clock = Clock(5.0)
    world = new_world(tmp_path, throttle=Throttle(local=LocalCounts(clock=clock)))
    assert [401] * 5 == [world.obtain("alice", "wrong").status for _ in range(5)]
    world.users.clear()
    answer = world.obtain()
    assert (429, "1", "slow_down") == (answer.status, answer.headers["Retry-After"], read(answer)["error"])
    world.users["alice"] = PASSWORD
    clock.now += 1
    assert [200, 401] == [world.obtain().status, world.obtain("alice", "wrong").status]
    assert 200 == world.obtain().status


def test_an_unknown_user_costs_as_much_work(tmp_path: Path) -> None:
    """A check of passwords is called as often, and with as much to do, for any name."""
    calls: list[tuple[str, str]] = []

    def verify(stored: str, password: str) -> bool:
        calls.append((stored, password))
        return stored == f"hash of {password}"

    check = PasswordCheck(verify, lambda password: f"hash of {password}")
    results = [check(stored, "x") for stored in ("hash of x", "hash of y", None)]
    assert [True, False, False] == results
    assert ["x"] * 3 == [password for _, password in calls]
    assert "hash" not in repr(check)
    unknown = PasswordCheck(lambda *_: True, str)
    assert (True, False) == (unknown("h", "x"), unknown(None, "x"))


@pytest.fixture
def redis() -> Iterator[str]:
    """The URL of a server, without the keys of earlier tests."""
    with redis_server() as client:
        yield REDIS
        for key in client.scan_iter("{jwt_lp:signin}:*"):
            client.delete(key)


def name(of: str = "user") -> str:
    """A name that no other test uses."""
    return f"{of}-{secrets.token_hex(8)}"


def test_processes_share_their_counts(redis: str) -> None:
    """What one counts the other feels: attempts, delays, and success."""
    one, other = Throttle(redis), Throttle(redis)
    attempt = read_attempt(name(), f"host-{name()}")
    assert [0.0] * 5 == [each.reserve(attempt) for each in (one, other, one, other, one)]
    assert 0.5 < other.reserve(attempt) <= 1
    assert 0.5 < one.reserve(attempt) <= 1
    other.succeed(attempt)
    one.succeed(attempt)
    assert [0.0] * 3 == [other.reserve(attempt) for _ in range(3)]


def test_shared_counts_follow_the_same_rules(redis: str) -> None:
    """An address is slowed over all accounts, an account over all addresses, and a known pair is not."""
    from jwt_lp.signin.shared_attempts import SharedCounts

    shared, address, account = SharedCounts(redis), f"host-{name()}", name()
    assert [0.0] * 20 == [shared.reserve(read_attempt(name(), address)) for _ in range(20)]
    assert 0 < shared.reserve(read_attempt(name(), address)) <= 1
    home = read_attempt(account, f"host-{name()}")
    shared.reserve(home)
    shared.succeed(home)
    assert [0.0] * 20 == [shared.reserve(read_attempt(account, f"host-{name()}")) for _ in range(20)]
    assert 0 < shared.reserve(read_attempt(account, f"host-{name()}")) <= 1
    assert 0 == shared.reserve(home)
    nowhere = read_attempt(name(), None)
    for _ in range(30):
        assert 0 == shared.reserve(nowhere)
        shared.withdraw(nowhere)
    shared.succeed(nowhere)
    assert [0.0] * 20 == [shared.reserve(nowhere) for _ in range(20)]
    assert 0 < shared.reserve(nowhere) <= 1
    assert "masked" not in repr(shared)


def test_shared_counts_end_by_themselves(redis: str) -> None:
    """Each key has an end, so memory is bounded by an hour of attempts; no key shows a name."""
    from jwt_lp.signin.shared_attempts import SharedCounts

    account = name("hunter2")
    attempt = read_attempt(account, "192.0.2.77")
    shared = SharedCounts(redis)
    shared.reserve(attempt)
    shared.succeed(attempt)
    shared.reserve(attempt)
    with redis_server() as client:
        keys = list(client.scan_iter("{jwt_lp:signin}:*"))
        assert keys
        assert not any(b"hunter2" in key or b"192.0.2" in key for key in keys)
        assert all(0 < client.ttl(key) <= REMEMBER for key in keys)


def test_without_redis_each_process_counts_by_itself(caplog) -> None:
    """It is logged without the password, and Redis is not asked again for a while."""
    pytest.importorskip("redis", reason="needs redis (extra `redis`)")
    from jwt_lp.signin import shared_attempts

    clock = Clock(0.0)
    throttle = Throttle("redis://user:hunter2@127.0.0.1:1/0")
    throttle._shared = shared_attempts.SharedCounts("redis://user:hunter2@127.0.0.1:1/0", clock=clock)
    caplog.set_level(logging.INFO)
    attempt = read_attempt("alice", HOME)
    assert [0.0] * 5 == [throttle.reserve(attempt) for _ in range(5)]
    assert throttle.reserve(attempt) > 0
    throttle.withdraw(attempt)
    throttle.succeed(attempt)
    assert 1 == len(caplog.records)
    assert "hunter2" not in caplog.text + repr(throttle._shared)
    clock.now += shared_attempts.PAUSE
    throttle.reserve(attempt)
    assert 2 == len(caplog.records)


def test_services_learn_at_once_that_a_session_has_ended(redis: str, tmp_path: Path) -> None:
    """Each end is announced as a revocation by `jwt-lp revoke --push` is; a sign-out that ends nothing is not."""
    world = new_world(tmp_path, push=redis)
    tokens = [read(world.obtain("alice", address=f"host-{name()}"))["refresh_token"] for _ in range(2)]
    with redis_server() as client, client.pubsub() as subscription:
        subscription.subscribe("jwt_lp:changed")
        assert "subscribe" == subscription.get_message(timeout=5)["type"]
        world.sessions.end(tokens[0])
        world.sessions.end(tokens[0])
        world.sessions.end_everywhere(tokens[1])
        assert ["message", "message"] == [subscription.get_message(timeout=5)["type"] for _ in range(2)]
        assert subscription.get_message(timeout=0.2) is None


def test_without_redis_a_session_ends_all_the_same(tmp_path: Path, caplog) -> None:
    """It is logged that services learn of it at their next poll."""
    pytest.importorskip("redis", reason="needs redis (extra `redis`)")
    world = new_world(tmp_path, push="redis://user:hunter2@127.0.0.1:1/0", throttle=Throttle())
    token = world.sessions.start("alice").refresh_token
    assert world.sessions.end(token)
    assert 401 == world.refresh(token).status
    assert "push-failed" in caplog.text
    assert "hunter2" not in caplog.text
    with pytest.raises(ConfigurationError, match="scheme"):
        new_world(tmp_path, push="http://127.0.0.1/")


def test_the_url_is_checked_at_start() -> None:
    """As that of `PUSH` is."""
    pytest.importorskip("redis", reason="needs redis (extra `redis`)")
    with pytest.raises(ConfigurationError, match="scheme"):
        Throttle("http://127.0.0.1/")
