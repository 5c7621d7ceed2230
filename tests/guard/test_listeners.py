"""Listeners of a guard: what they are told, and what they cannot do."""

from __future__ import annotations

import logging
import socket
from datetime import UTC, datetime, timedelta

import pytest

from jwt_lp import AUTHENTICATED, IDENTIFIED, PUBLIC, Call, ConfigurationError, Decision, Guard, Settings, all_of
from jwt_lp.testing import Authority

AUTHORITY = Authority()
READ = all_of("orders:read")
CALL = Call("GET", lambda: "https://api.test/orders?page=2", lambda name: (), "app.orders", "192.0.2.7")
Told = list[tuple[str, str, bool]]


def heard(guard: Guard) -> Told:
    """What the guard's listener is told from now on: cause, route, and whether there was a call."""
    told: Told = []

    def listener(decision: Decision, call: Call | None) -> None:
        refusal = decision.refusal or decision.observed
        told.append(("" if refusal is None else refusal.code, decision.route, call is not None))

    guard.listen(listener)
    guard.listen(listener)
    return told


def bearer(*permissions: str, **more: object) -> str:
    return AUTHORITY.headers("alice", permissions, **more)["Authorization"]


def test_each_decision_is_told_once() -> None:
    """Passes, refusals and decisions that are given again are told, with the call if there is one."""
    with AUTHORITY.guard() as guard:
        told, good = heard(guard), bearer("orders:read")
        first = guard.check(good, READ, {}, "GET /a", call=CALL)
        assert first is guard.check([good], READ, {}, "GET /a")
        guard.check(good, all_of("orders:write"), {}, "GET /b", call=CALL)
        guard.check(None, READ, {}, "GET /c")
        guard.check(good, None, {}, "GET /d")
        guard.check(None, PUBLIC, {}, "GET /e")
        guard.check("Bearer x", IDENTIFIED, {}, "GET /f")
        guard.refuse_pending(READ, "GET /g")
    assert told == [
        ("", "GET /a", True),
        ("", "GET /a", False),
        ("insufficient_scope", "GET /b", True),
        ("no_credential", "GET /c", False),
        ("undeclared_route", "GET /d", False),
        ("", "GET /e", False),
        ("", "GET /f", False),
        ("keys_unavailable", "GET /g", False),
    ]


def test_the_two_halves_of_a_check_are_told_once() -> None:
    """Authentication is told where it refuses; authorisation always, unless it is a probe."""
    with AUTHORITY.guard() as guard:
        told = heard(guard)
        token = guard.authenticate(bearer("orders:read")).token
        assert token is not None
        guard.authenticate("Bearer x")
        guard.authorize(token, READ, {}, "GET /a", call=CALL)
        guard.authorize(token, all_of("x"), {}, "GET /b")
        guard.authorize(token, all_of("x"), {}, "GET /c", record=False)
        guard.can(token, all_of("x"))
    assert [("malformed", "", False), ("", "GET /a", True), ("insufficient_scope", "GET /b", False)] == told


def test_nothing_is_told_before_it_is_decided() -> None:
    """A pending decision is no decision."""
    settings = {name: value for name, value in AUTHORITY.settings().items() if name != "JWKS"}
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        Guard({**settings, "JWKS_URL": f"http://127.0.0.1:{silent.getsockname()[1]}/jwks.json"}) as guard,
    ):
        told = heard(guard)
        assert guard.check(bearer("orders:read"), READ, {}, "GET /a", wait=False).pending
    assert [] == told


def test_what_observe_mode_lets_pass_is_told_with_its_cause() -> None:
    """The decision passes, and `observed` has the code."""
    until = datetime.now(UTC).date() + timedelta(days=7)
    with AUTHORITY.guard(OBSERVE_UNTIL=until) as guard:
        told = heard(guard)
        assert guard.check(None, AUTHENTICATED, {}, "GET /a").passes
    assert [("no_credential", "GET /a", False)] == told


def test_a_listener_that_fails_changes_no_decision(caplog: pytest.LogCaptureFixture) -> None:
    """The decision is the same, other listeners are told, and only the type of the error is logged."""

    def fails(decision: Decision, call: Call | None) -> None:
        raise RuntimeError(repr(call))

    with AUTHORITY.guard() as guard:
        guard.listen(fails)
        told = heard(guard)
        assert guard.check(bearer("orders:read"), READ, {}, "GET /a").passes
        assert not guard.check(bearer(), READ, {}, "GET /b").passes
    assert ["", "insufficient_scope"] == [cause for cause, _, _ in told]
    failures = [record for record in caplog.records if "listener_failed" in record.getMessage()]
    assert [logging.ERROR] * 2 == [record.levelno for record in failures]
    assert '"error": "RuntimeError"' in failures[0].getMessage()


def test_a_guard_without_listeners_is_not_wrapped() -> None:
    """Nothing stands between the caller and the decision until the first listener is added."""
    with AUTHORITY.guard() as guard:
        assert guard.check.__func__ is Guard.check  # type: ignore[attr-defined]  # a bound method
        heard(guard)
        assert "check" in vars(guard)


@pytest.mark.parametrize(
    ("value", "share"),
    [
        ("off", None),
        (None, None),
        ("", None),
        (False, None),
        ("refused", 0.0),
        ("FULL", 1.0),
        (0.25, 0.25),
        ("0.25", 0.25),
        (1, 1.0),
    ],
)
def test_the_audit_setting(value: object, share: float | None) -> None:
    """A word or a share of the requests that pass."""
    assert share == Settings.from_mapping(AUTHORITY.settings(AUDIT=value)).audit


@pytest.mark.parametrize("value", ["half", 1.5, -0.1, True, ["full"], "nan", "1e999"])
def test_an_audit_setting_that_means_nothing_is_a_fault(value: object) -> None:
    """True is no share, and a list is no word."""
    with pytest.raises(ConfigurationError, match=r"AUDIT is \"off\", \"refused\", \"full\""):
        Settings.from_mapping(AUTHORITY.settings(AUDIT=value))


@pytest.mark.parametrize("value", ["user", 2, ["subject"]])
def test_an_opentelemetry_setting_that_means_nothing_is_a_fault(value: object) -> None:
    """Whatever is installed."""
    with pytest.raises(ConfigurationError, match="OPENTELEMETRY is True, False"):
        Settings.from_mapping(AUTHORITY.settings(OPENTELEMETRY=value))


def test_refusals_of_local_users_are_told() -> None:
    """A user who is not there or not active is a refusal as any other; one who may go on is no second decision."""
    with AUTHORITY.guard(LOCAL_USER=lambda token: None) as guard:
        token = guard.authenticate(bearer("orders:read")).token
        assert token is not None
        told = heard(guard)
        guard.admit_user(token, None, READ, "GET /a")
        guard.admit_user(token, object(), READ, "GET /b")
    assert [("unknown_user", "GET /a", False)] == told
