"""Flask's signals for refusals, revocations and sign-ins."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from typing import Any

import pytest

pytest.importorskip("flask")

from flask import Flask, request

from jwt_lp._support.events import log_event
from jwt_lp.testing.authority import Authority
from jwt_lp_flask import LeastPrivilege, can, enforce, guard_from, requires
from jwt_lp_flask.signals import elevation_changed, refused, revoked, signed_in, signed_out

pytestmark = pytest.mark.host

AUTHORITY = Authority()


@pytest.fixture
def app() -> Iterator[Flask]:
    app = Flask("shop", static_folder=None)
    LeastPrivilege(app, AUTHORITY.settings())

    @app.get("/order")
    @requires("orders:read")
    def order() -> str:
        if "ask" in request.args:
            can(request, "orders:write")
        if "twice" in request.args:
            enforce(request, "orders:write")
        return "ok"

    with guard_from(app):
        yield app


def get(app: Flask, url: str, *permissions: str) -> int:
    return app.test_client().get(url, headers=AUTHORITY.headers("alice", permissions)).status_code


def test_a_refusal_is_sent_once_with_its_request(app: Flask) -> None:
    """A pass and a probe send nothing; another application's receivers hear nothing."""
    sent: list[tuple[str, str]] = []

    def receive(sender: Flask, **values: Any) -> None:
        assert app is sender
        sent.append((values["decision"].refusal.code, values["request"].full_path))

    def never(sender: Flask, **values: Any) -> None:
        raise AssertionError

    with refused.connected_to(receive, app), refused.connected_to(never, Flask("other")):
        assert [200, 200, 403, 403] == [
            get(app, "/order", "orders:read"),
            get(app, "/order?ask=1", "orders:read"),
            get(app, "/order"),
            get(app, "/order?twice=1", "orders:read"),
        ]
        assert 401 == app.test_client().get("/order").status_code
    assert [
        ("insufficient_scope", "/order?"),
        ("insufficient_scope", "/order?twice=1"),
        ("no_credential", "/order?"),
    ] == sent


def test_a_receiver_that_fails_changes_no_decision(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    """The others are called, the answer is the guard's, and only the type of the error is logged."""
    sent: list[str] = []

    def fails(sender: Flask, **values: Any) -> None:
        sent.append("fails")
        raise RuntimeError("hunter2")

    def receive(sender: Flask, **values: Any) -> None:
        sent.append("receive")

    with refused.connected_to(fails), refused.connected_to(receive):
        assert 403 == get(app, "/order")
    assert ["fails", "receive"] == sorted(sent)
    assert ("failed: RuntimeError" in caplog.text, "hunter2" in caplog.text) == (True, False)


@pytest.mark.skipif(not find_spec("asgiref"), reason="needs asgiref, which runs coroutine functions for Flask")
def test_a_receiver_may_be_a_coroutine_function(app: Flask) -> None:
    """Flask runs it as it runs an async view."""
    sent: list[str] = []

    async def receive(sender: Flask, **values: Any) -> None:
        sent.append(values["decision"].refusal.code)

    with refused.connected_to(receive):
        assert 403 == get(app, "/order")
    assert ["insufficient_scope"] == sent


@pytest.mark.parametrize("inside", [True, False], ids=["in an application context", "outside"])
@pytest.mark.parametrize(
    ("event", "signal"),
    [
        ("revoked", revoked),
        ("refresh-reused", revoked),
        ("signed-in", signed_in),
        ("signed-out", signed_out),
        ("signed-out-everywhere", signed_out),
        ("elevation-ended", elevation_changed),
        ("elevation-break-glass", elevation_changed),
        ("exchanged", None),
    ],
)
def test_security_events_are_sent(app: Flask, event: str, signal: Any, inside: bool) -> None:
    """Each event has its signal, or none; the sender is the current application, if there is one."""
    sent: list[tuple[object, object, dict[str, Any]]] = []

    def receive(sender: object, **values: Any) -> None:
        sent.append((signal, sender, values))

    with ExitStack() as stack:
        for each in (revoked, signed_in, signed_out, elevation_changed):
            stack.enter_context(each.connected_to(receive))
        if inside:
            with app.app_context():
                log_event(logging.INFO, event, {"subject": "alice"})
        else:
            log_event(logging.INFO, event, {"subject": "alice"})
    values = {"event": event, "members": {"subject": "alice"}}
    assert ([] if signal is None else [(signal, app if inside else None, values)]) == sent
