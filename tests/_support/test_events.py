"""Security events: their receivers, and what a receiver that fails can do."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping

import pytest

from jwt_lp import subscribe
from jwt_lp._support import events
from jwt_lp._support.events import is_wanted, log_event

Told = list[tuple[str, Mapping[str, object]]]


@pytest.fixture
def told() -> Iterator[Told]:
    received: Told = []

    def receive(event: str, members: Mapping[str, object]) -> None:
        received.append((event, members))

    end = subscribe(receive)
    assert end is not subscribe(receive)
    yield received
    end()
    end()
    assert receive not in events._RECEIVERS


def test_a_receiver_is_told_once_whatever_is_logged(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    """A receiver gets the members that are not empty, also where the logger is silent."""
    caplog.set_level(logging.CRITICAL, "jwt_lp")
    log_event(logging.INFO, "signed-in", {"subject": "alice", "client": None})
    assert [("signed-in", {"subject": "alice"})] == told
    assert [] == caplog.records


def test_a_receiver_cannot_change_the_log_line(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    """The members are read-only."""

    def change(event: str, members: Mapping[str, object]) -> None:
        members["subject"] = "mallory"  # type: ignore[index]  # what this is about

    end = subscribe(change)
    log_event(logging.WARNING, "refused", {"subject": "alice"})
    end()
    assert [("refused", {"subject": "alice"})] == told
    assert "jwt-lp refused " + json.dumps({"subject": "alice"}) == caplog.records[-1].getMessage()


def test_a_receiver_that_fails_changes_nothing(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    """The others are told, the event is logged, and the error is logged by its type alone."""

    def fails(event: str, members: Mapping[str, object]) -> None:
        raise OSError(f"no disk for {members}")

    end = subscribe(fails)
    log_event(logging.WARNING, "refused", {"subject": "alice"})
    log_event(logging.WARNING, "refused", {"subject": "bob"})
    end()
    assert ["alice", "bob"] == [members["subject"] for _, members in told]
    failed, refused = caplog.records[:2]
    assert {"event": "listener_failed", "listener": fails.__qualname__, "error": "OSError"} == vars(failed)["jwt_lp"]
    assert (None, "refused") == (failed.exc_info, vars(refused)["jwt_lp"]["event"])
    assert "no disk" not in caplog.text


def test_a_log_that_fails_too_changes_nothing(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listener that fails while the log fails goes unnoticed, and the caller goes on."""

    class Full(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError("no space left")

    def fails() -> None:
        raise ValueError

    monkeypatch.setattr(logging.getLogger("jwt_lp"), "handlers", [Full()])
    events.call_safely(fails)
    with pytest.raises(OSError, match="space"):
        log_event(logging.WARNING, "refused", {"subject": "alice"})
    assert [("refused", {"subject": "alice"})] == told


def test_a_receiver_of_some_events_is_told_of_these(caplog: pytest.LogCaptureFixture) -> None:
    """No other event is made for it."""
    caplog.set_level(logging.CRITICAL, "jwt_lp")
    told: list[str] = []

    def receive(event: str, members: Mapping[str, object]) -> None:
        told.append(event)

    end = subscribe(receive, events=["one", "two"])
    try:
        assert (True, False) == (is_wanted(logging.INFO, "one"), is_wanted(logging.INFO, "none"))
        for event in ("none", "one", "two", "three"):
            log_event(logging.INFO, event, {})
    finally:
        end()
    assert (["one", "two"], False) == (told, is_wanted(logging.INFO, "one"))


def test_an_event_that_nobody_wants_is_not_made(caplog: pytest.LogCaptureFixture) -> None:
    """Without a receiver, the level of the logger decides."""
    caplog.set_level(logging.WARNING, "jwt_lp")
    assert (False, True) == (is_wanted(logging.INFO, "refused"), is_wanted(logging.WARNING, "refused"))


def test_a_receiver_of_some_events_makes_no_other_wanted(caplog: pytest.LogCaptureFixture) -> None:
    """It is told those alone, so that a signal of a host makes no refusal cost more."""
    caplog.set_level(logging.WARNING, "jwt_lp")
    told: list[str] = []
    end = subscribe(lambda event, _: told.append(event), events=("signed-in",))
    assert (True, False) == (is_wanted(logging.INFO, "signed-in"), is_wanted(logging.INFO, "refused"))
    for event in ("signed-in", "refused"):
        log_event(logging.INFO, event, {"subject": "alice"})
    end()
    assert ["signed-in"] == told
