"""Django's signals for refusals, revocations and sign-ins."""

# ruff: noqa: E402 - Django reads its settings first

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("django")

from hosts.django_setup import AUTHORITY, configure, project

configure()

from django.http import HttpResponse
from django.test import AsyncClient, Client
from django.urls import path

from jwt_lp import Guard
from jwt_lp._support.events import log_event
from jwt_lp_django import can, enforce, requires
from jwt_lp_django.signals import elevation_changed, refused, revoked, signed_in, signed_out

pytestmark = pytest.mark.host


def bearer(*permissions: str) -> dict[str, str]:
    return AUTHORITY.headers("alice", permissions)


class Receiver:
    """Remembers what it was sent; fails if it has to."""

    def __init__(self, *, fails: bool = False) -> None:
        self.sent: list[dict[str, Any]] = []
        self.fails = fails

    def __call__(self, sender: object, **values: Any) -> None:
        assert sender is Guard
        self.sent.append(values)
        if self.fails:
            raise RuntimeError("hunter2")

    @property
    def codes(self) -> list[str]:
        return [values["decision"].refusal.code for values in self.sent]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    signals = (refused, revoked, signed_in, signed_out)
    for signal in signals:
        signal.connect(made)
    yield made
    for signal in signals:
        signal.disconnect(made)


@requires("orders:read")
def order(request):
    if "ask" in request.GET:
        can(request, "orders:write")
    if "twice" in request.GET:
        for _ in range(2):
            enforce(request, "orders:write")
    return HttpResponse("ok")


@requires("orders:read")
async def aorder(request):
    if "twice" in request.GET:
        enforce(request, "orders:write")
    return HttpResponse("ok")


URLS = (path("order", order), path("aorder", aorder))


def test_a_refusal_is_sent_once_with_its_request(receiver: Receiver) -> None:
    """A pass and a probe send nothing."""
    with project(*URLS):
        client = Client()
        assert [200, 200, 403, 401, 403] == [
            client.get("/order", headers=bearer("orders:read")).status_code,
            client.get("/order?ask=1", headers=bearer("orders:read")).status_code,
            client.get("/order", headers=bearer()).status_code,
            client.get("/order").status_code,
            client.get("/order?twice=1", headers=bearer("orders:read")).status_code,
        ]
    assert ["insufficient_scope", "no_credential", "insufficient_scope"] == receiver.codes
    assert "/order?twice=1" == receiver.sent[-1]["request"].get_full_path()


def test_a_refusal_is_sent_from_an_event_loop(receiver: Receiver) -> None:
    """Synchronous and asynchronous receivers are called, also for what an async view enforces itself."""
    told: list[str] = []

    async def later(sender: object, **values: Any) -> None:
        told.append(values["decision"].refusal.code)

    async def ask() -> list[int]:
        client = AsyncClient()
        codes = [
            (await client.get(url, headers=bearer(*held))).status_code
            for url, held in (("/aorder", ()), ("/aorder?twice=1", ("orders:read",)), ("/order", ()))
        ]
        await asyncio.sleep(0.05)
        return codes

    refused.connect(later)
    try:
        with project(*URLS):
            assert [403, 403, 403] == asyncio.run(ask())
    finally:
        refused.disconnect(later)
    assert ["insufficient_scope"] * 3 == receiver.codes == told


@pytest.mark.parametrize("url", ["/order", "/order?twice=1"])
def test_a_receiver_that_fails_changes_no_decision(receiver: Receiver, url: str) -> None:
    """The others are called, and the answer is the guard's."""
    bad = Receiver(fails=True)
    refused.connect(bad)
    try:
        with project(*URLS):
            answer = Client().get(url, headers=bearer(*(["orders:read"] if "twice" in url else [])))
    finally:
        refused.disconnect(bad)
    assert (403, "application/problem+json") == (answer.status_code, answer.headers["Content-Type"])
    assert (1, 1) == (len(bad.sent), len(receiver.sent))


def test_a_receiver_that_fails_on_a_loop_changes_no_decision(receiver: Receiver) -> None:
    """The same under ASGI."""
    bad = Receiver(fails=True)
    refused.connect(bad)
    try:
        with project(*URLS):
            answer = asyncio.run(AsyncClient().get("/aorder", headers=bearer()))
    finally:
        refused.disconnect(bad)
    assert (403, 1, 1) == (answer.status_code, len(bad.sent), len(receiver.sent))


def test_a_signal_that_cannot_be_sent_changes_no_decision(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever Django's dispatcher raises."""

    def fails(*_: object, **__: object) -> None:
        raise OSError("hunter2")

    monkeypatch.setattr(refused, "send_robust", fails)
    monkeypatch.setattr(refused, "asend_robust", fails)
    with project(*URLS):
        assert 403 == Client().get("/order", headers=bearer()).status_code
        assert 403 == asyncio.run(AsyncClient().get("/aorder", headers=bearer())).status_code
    assert ("a signal was not sent: OSError" in caplog.text, "hunter2" in caplog.text) == (True, False)


@pytest.mark.parametrize(
    ("event", "signal"),
    [
        ("signed-in", signed_in),
        ("signed-out", signed_out),
        ("signed-out-everywhere", signed_out),
        ("refresh-reused", revoked),
        ("elevation-asked", elevation_changed),
        ("elevation-break-glass", elevation_changed),
        ("exchanged", None),
    ],
)
def test_security_events_are_sent(event: str, signal: Any) -> None:
    """Each event has its signal, or none."""
    receivers = {each: Receiver() for each in (revoked, signed_in, signed_out, elevation_changed)}
    for each, made in receivers.items():
        each.connect(made)
    try:
        log_event(logging.INFO, event, {"subject": "alice"})
    finally:
        for each, made in receivers.items():
            each.disconnect(made)
    assert [
        [{"signal": each, "event": event, "members": {"subject": "alice"}}] if each is signal else []
        for each in receivers
    ] == [made.sent for made in receivers.values()]
