"""Pushes over a real Redis."""

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


class Heard:
    """A listener on its thread, and how often it was told to poll."""

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
    """The server's URL, with a channel of this test's own."""
    with redis_server():
        pass
    monkeypatch.setattr(push, "CHANNEL", f"jwt_lp:{secrets.token_hex(6)}")
    # and so that what it cuts is its own
    monkeypatch.setattr(push, "CLIENT_NAME", f"jwt-lp-{secrets.token_hex(6)}")
    return REDIS


@pytest.fixture
def heard(redis: str) -> Iterator[Heard]:
    heard = Heard(redis)
    assert eventually(heard.listener.connected.is_set)
    yield heard
    heard.close()


def test_a_push_is_heard_at_once(redis: str, heard: Heard) -> None:
    """Every listener is told to poll, within moments; the writer learns how many there were."""
    before = heard.count
    begun = time.monotonic()
    assert 1 == announce(redis, 7)
    assert eventually(lambda: heard.count > before)
    assert time.monotonic() - begun < 1.0


def test_a_listener_polls_when_it_is_connected(heard: Heard) -> None:
    """Whatever was pushed before it listened is not missed."""
    assert eventually(lambda: heard.count == 1)


def test_nobody_need_listen(redis: str) -> None:
    """A push without listeners is none's fault."""
    assert 0 == announce(redis, 7)


def test_a_connection_that_is_cut_comes_back(redis: str, heard: Heard) -> None:
    """After CLIENT KILL it listens again, and polls for what it may have missed."""
    import redis as library

    before = heard.count
    with library.Redis.from_url(redis) as client:
        (mine,) = [each for each in client.client_list(_type="pubsub") if each["name"] == push.CLIENT_NAME]
        client.client_kill_filter(_id=mine["id"])
        assert eventually(lambda: heard.count > before)
        assert eventually(lambda: client.pubsub_numsub(push.CHANNEL)[0][1] == 1)
    before = heard.count
    announce(redis, 8)
    assert eventually(lambda: heard.count > before)


def test_what_a_push_says_is_not_looked_at(redis: str, heard: Heard) -> None:
    """Whatever stands in the channel, it means: poll now."""
    import redis as library

    before = heard.count
    with library.Redis.from_url(redis) as client:
        client.publish(push.CHANNEL, b"\xff" * 10_000)
    assert eventually(lambda: heard.count > before)


def test_a_poll_that_fails_does_not_end_the_listening(redis: str, caplog) -> None:
    """What `on_push` raises is logged once by its kind, without its message."""
    heard = Heard(redis, ValueError("hunter2"))
    assert eventually(lambda: heard.count == 1)
    announce(redis, 1)
    assert eventually(lambda: heard.count == 2)
    heard.close()
    assert ["handling a push failed: ValueError"] == [record.getMessage() for record in caplog.records]


def test_what_is_no_exception_does_not_end_the_listening_either(redis: str) -> None:
    """After `SystemExit` and its like the listener connects anew, and goes on being told."""
    heard = Heard(redis, SystemExit("hunter2"))
    assert eventually(lambda: heard.count == 2)
    heard.close()


def test_a_server_that_is_not_there_is_said_once(caplog, monkeypatch) -> None:
    """However often it is tried; and `close` ends it while it waits."""
    pytest.importorskip("redis", reason="needs redis (extra `redis`)")
    monkeypatch.setattr(push, "_MIN_PAUSE", 0.01)
    heard = Heard("redis://user:hunter2@127.0.0.1:1/0")
    assert eventually(lambda: len(caplog.records) == 1)
    time.sleep(0.1)
    heard.close()
    (record,) = caplog.records
    assert record.getMessage().startswith("no pushes from redis://127.0.0.1:1: ")
    assert (logging.WARNING, 0) == (record.levelno, heard.count)
    assert "hunter2" not in caplog.text


def test_a_server_that_comes_back_is_said(redis: str, caplog, monkeypatch) -> None:
    """Once it listens again, that is logged too."""
    monkeypatch.setattr(push, "_MIN_PAUSE", 0.01)
    caplog.set_level(logging.INFO, "jwt_lp")
    heard = Heard("redis://127.0.0.1:1/0")
    assert eventually(lambda: len(caplog.records) == 1)
    heard.listener._url = redis
    assert eventually(heard.listener.connected.is_set)
    heard.close()
    assert caplog.records[-1].getMessage().endswith(" again")


def test_a_push_that_cannot_be_sent() -> None:
    """`StoreError` says that it is found at the next poll, without the password."""
    pytest.importorskip("redis", reason="needs redis (extra `redis`)")
    with pytest.raises(StoreError, match=r"redis://127.0.0.1:1: .*next poll") as caught:
        announce("redis://user:hunter2@127.0.0.1:1/0", 1)
    assert "hunter2" not in str(caught.value)
    assert "<Listener redis://127.0.0.1:1>" == repr(Listener("redis://user:hunter2@127.0.0.1:1/0", print))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://x", "another scheme"),
        ("", "another scheme"),
        ("redis://u:hunter2@host:port/0", "redis://host: the URL"),
    ],
)
def test_a_url_that_is_none(url, said) -> None:
    """Known at start, before anything listens."""
    pytest.importorskip("redis", reason="needs redis (extra `redis`)")
    with pytest.raises(ConfigurationError, match=said) as caught:
        Listener(url, print)
    assert "hunter2" not in str(caught.value)


def test_a_missing_library_is_named_with_its_extra(monkeypatch) -> None:
    """Without redis the message says what to install."""
    monkeypatch.setattr(push, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r'pushes need redis: pip install "jwt-lp\[redis\]"'):
        announce("redis://host", 1)


def test_a_listener_imports_nothing_beside_the_request(redis: str) -> None:
    """What listening needs is there before its thread begins: a child forked in between would wait for it for ever."""
    prepare = """
from jwt_lp.stores.push import Listener

listener = Listener(sys.argv[1], lambda: listener.close())
"""
    assert [[], []] == imports_of_thread(prepare, "listener._listen()", redis)
