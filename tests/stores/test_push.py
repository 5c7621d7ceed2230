"""Push notifications over a real Redis server."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from typing import TYPE_CHECKING

import pytest

from import_tracing import imports_of_thread
from jwks_server import eventually
from jwt_lp.errors import ConfigurationError, StoreError
from jwt_lp.stores import push
from jwt_lp.stores.push import Listener, announce
from servers import REDIS, redis_server

if TYPE_CHECKING:
    from collections.abc import Iterator


class CountingListener:
    """A listener in a thread, with the number of its pushes."""

    def __init__(self, url: str, error: BaseException | None = None) -> None:
        self.count = 0
        self.error = error
        self.listener = Listener(url, self.push)
        self.thread = threading.Thread(target=self.listener.run)
        self.thread.start()

    def push(self) -> None:
        self.count += 1
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        self.listener.close()
        self.thread.join(5)
        assert not self.thread.is_alive()


@pytest.fixture
def redis(monkeypatch) -> str:
    """The server's URL; the test has a channel and a client name of its own."""
    with redis_server():
        pass
    monkeypatch.setattr(push, "CHANNEL", f"jwt_lp:{secrets.token_hex(6)}")
    # With its own name the test cuts only its own connection.
    monkeypatch.setattr(push, "CLIENT_NAME", f"jwt-lp-{secrets.token_hex(6)}")
    return REDIS


@pytest.fixture
def listening(redis: str) -> Iterator[CountingListener]:
    listening = CountingListener(redis)
    assert eventually(listening.listener.connected.is_set)
    yield listening
    listening.close()


def test_a_push_arrives_at_once(redis: str, listening: CountingListener) -> None:
    """Every listener is called within a second; `announce` returns their number."""
    before = listening.count
    start = time.monotonic()
    assert 1 == announce(redis, 7)
    assert eventually(lambda: listening.count > before)
    assert time.monotonic() - start < 1.0


def test_a_listener_polls_when_it_is_connected(listening: CountingListener) -> None:
    """A new connection counts as a push, so that earlier changes are not missed."""
    assert eventually(lambda: listening.count == 1)


def test_a_push_without_listeners(redis: str) -> None:
    """A push without listeners is not an error."""
    assert 0 == announce(redis, 7)


def test_a_connection_that_is_cut_comes_back(redis: str, listening: CountingListener) -> None:
    """After CLIENT KILL the listener connects again, which counts as a push."""
    import redis as library

    before = listening.count
    with library.Redis.from_url(redis) as client:
        (own,) = [entry for entry in client.client_list(_type="pubsub") if entry["name"] == push.CLIENT_NAME]
        client.client_kill_filter(_id=own["id"])
        assert eventually(lambda: listening.count > before)
        assert eventually(lambda: client.pubsub_numsub(push.CHANNEL)[0][1] == 1)
    before = listening.count
    announce(redis, 8)
    assert eventually(lambda: listening.count > before)


def test_the_content_of_a_push_is_ignored(redis: str, listening: CountingListener) -> None:
    """Any message on the channel means: poll now."""
    import redis as library

    before = listening.count
    with library.Redis.from_url(redis) as client:
        client.publish(push.CHANNEL, b"\xff" * 10_000)
    assert eventually(lambda: listening.count > before)


def test_a_failing_callback_does_not_end_the_listening(redis: str, caplog) -> None:
    """An error of `on_push` is logged once with its type, without its message."""
    listening = CountingListener(redis, ValueError("hunter2"))
    assert eventually(lambda: listening.count == 1)
    announce(redis, 1)
    assert eventually(lambda: listening.count == 2)
    listening.close()
    assert ["handling a push failed: ValueError"] == [record.getMessage() for record in caplog.records]


def test_a_base_exception_does_not_end_the_listening(redis: str) -> None:
    """After `SystemExit` and the like the listener connects again and goes on."""
    listening = CountingListener(redis, SystemExit("hunter2"))
    assert eventually(lambda: listening.count == 2)
    listening.close()


def records(caplog) -> list[logging.LogRecord]:
    """What this listener logged; a thread of another test may still be at work."""
    return [record for record in caplog.records if record.module == "push"]


def test_an_unreachable_server_is_logged_once(caplog, monkeypatch) -> None:
    """It is logged once for many attempts; `close` ends the listener during a pause."""
    pytest.importorskip("redis", reason="needs redis (extra `redis`)")
    monkeypatch.setattr(push, "_MIN_PAUSE", 0.01)
    listening = CountingListener("redis://user:hunter2@127.0.0.1:1/0")
    assert eventually(lambda: len(records(caplog)) == 1)
    time.sleep(0.1)
    listening.close()
    (record,) = records(caplog)
    assert record.getMessage().startswith("no pushes from redis://127.0.0.1:1: ")
    assert (logging.WARNING, 0) == (record.levelno, listening.count)
    assert "hunter2" not in caplog.text


def test_a_reconnection_is_logged(redis: str, caplog, monkeypatch) -> None:
    """It is logged when the listener is connected again."""
    monkeypatch.setattr(push, "_MIN_PAUSE", 0.01)
    caplog.set_level(logging.INFO, "jwt_lp")
    listening = CountingListener("redis://127.0.0.1:1/0")
    assert eventually(lambda: len(records(caplog)) == 1)
    listening.listener._url = redis
    assert eventually(listening.listener.connected.is_set)
    listening.close()
    assert records(caplog)[-1].getMessage().endswith(" again")


def test_a_push_that_cannot_be_sent() -> None:
    """`StoreError` says that the next poll finds the change, and does not show the password."""
    pytest.importorskip("redis", reason="needs redis (extra `redis`)")
    with pytest.raises(StoreError, match=r"redis://127.0.0.1:1: .*next poll") as caught:
        announce("redis://user:hunter2@127.0.0.1:1/0", 1)
    assert "hunter2" not in str(caught.value)
    assert "<Listener redis://127.0.0.1:1>" == repr(Listener("redis://user:hunter2@127.0.0.1:1/0", print))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://x", "another scheme"),
        ("", "another scheme"),
        ("redis://u:hunter2@host:port/0", "redis://host: the URL"),
    ],
)
def test_a_malformed_url(url, message) -> None:
    """It is refused when the listener is created."""
    pytest.importorskip("redis", reason="needs redis (extra `redis`)")
    with pytest.raises(ConfigurationError, match=message) as caught:
        Listener(url, print)
    assert "hunter2" not in str(caught.value)


def test_a_missing_library_is_named_with_its_extra(monkeypatch) -> None:
    """Without redis the message says what to install."""
    monkeypatch.setattr(push, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r'pushes need redis: pip install "jwt-lp\[redis\]"'):
        announce("redis://host", 1)


def test_a_listening_thread_imports_nothing(redis: str) -> None:
    """Its imports are done before its thread starts, because a child that is forked during an import waits forever."""
    prepare = """
from jwt_lp.stores.push import Listener

listener = Listener(sys.argv[1], lambda: listener.close())
"""
    assert [[], []] == imports_of_thread(prepare, "listener._listen()", redis)
