"""The audit log: its records, and its lines in ECS."""

from __future__ import annotations

import json
import logging
import logging.config
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import examples
from jwt_lp import AUTHENTICATED, Call, Decision, EcsFormatter, all_of
from jwt_lp._support.events import log_event
from jwt_lp.observability.audit_log import MAX_TEXT, AuditLog
from jwt_lp.testing import Authority

AUTHORITY = Authority()
READ = all_of("orders:{order_id}:read")
SERVICE = {"SERVICE": "orders-api"}


def call(
    method: str = "GET", url: str = "https://api.test/orders/7?access_token=x", peer: str | None = "192.0.2.7"
) -> Call:
    return Call(method, lambda: url, lambda name: (), "app.orders", peer)


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Loggers as they were: the audit log sets its logger's level, and tests add handlers."""
    loggers = [logging.getLogger(name) for name in ("jwt_lp", "jwt_lp.audit")]
    before = [(logger.level, logger.handlers[:], logger.propagate) for logger in loggers]
    yield
    for logger, (level, handlers, propagate) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.handlers[:], logger.propagate = handlers, propagate


def lines(logger: str = "jwt_lp.audit") -> StringIO:
    """What is written from now on, configured as the docs say."""
    written = StringIO()
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"ecs": {"()": "jwt_lp.EcsFormatter"}},
            "handlers": {"audit": {"class": "logging.StreamHandler", "formatter": "ecs", "stream": written}},
            "loggers": {logger: {"handlers": ["audit"], "propagate": False}},
        }
    )
    return written


def documents(written: StringIO) -> list[dict[str, Any]]:
    text = written.getvalue()
    assert text.isascii()
    return [json.loads(line) for line in text.splitlines()]


def test_a_pass_and_a_refusal_in_ecs() -> None:
    """Who did what, from where, with which outcome and why; without the query and without the token."""
    written = lines()
    with AUTHORITY.guard(AUDIT="full", **SERVICE) as guard:
        header = AUTHORITY.headers("alice", ["orders:*:read"], client="web")["Authorization"]
        guard.check(header, READ, {"order_id": 7}, "GET /orders/{order_id}", call=call())
        refused = guard.check(header, all_of("orders:write"), {}, "POST /orders", call=call("POST")).refusal
        assert refused is not None
    passed, denied = documents(written)
    stamp = datetime.fromisoformat(passed.pop("@timestamp"))
    assert timedelta(0) <= datetime.now(UTC) - stamp < timedelta(minutes=1)
    token = passed["jwt_lp"].pop("token")
    assert 12 == len(token)
    assert {
        "log": {"level": "info", "logger": "jwt_lp.audit"},
        "message": "granted GET /orders/{order_id}",
        "ecs": {"version": "8.17.0"},
        "event": {
            "kind": "event",
            "category": ["api"],
            "type": ["access", "allowed"],
            "action": "granted",
            "outcome": "success",
        },
        "service": {"name": "orders-api"},
        "http": {"request": {"method": "GET"}},
        "url": {"path": "/orders/7"},
        "source": {"address": "192.0.2.7", "ip": "192.0.2.7"},
        "user": {"id": "alice"},
        "jwt_lp": {
            "route": "GET /orders/{order_id}",
            "requirement": "orders:{order_id}:read",
            "used": ["orders:*:read"],
            "issuer": "default",
            "client": "web",
        },
    } == passed
    assert {
        "kind": "event",
        "category": ["api"],
        "type": ["access", "denied"],
        "action": "refused",
        "outcome": "failure",
        "reason": "insufficient_scope",
        "id": refused.reference,
    } == denied["event"]
    assert ({"request": {"method": "POST"}, "response": {"status_code": 403}}, ["orders:write"]) == (
        denied["http"],
        denied["jwt_lp"]["missing"],
    )


def test_what_is_not_known_is_not_there() -> None:
    """Without a call, a token and a service their fields are absent; a 401 is about authentication too."""
    written = lines()
    with AUTHORITY.guard(AUDIT="refused") as guard:
        guard.check(None, AUTHENTICATED, {}, "GET /a")
        guard.check(None, None, {}, "GET /b", call=call(url="https://api.test", peer=None))
    first, second = documents(written)
    assert ["api", "authentication"] == first["event"]["category"]
    assert set() == {"http", "url", "source", "user", "service"} & set(first)
    assert set() == {"url", "source"} & set(second)


@pytest.mark.parametrize(
    ("share", "passes", "refusals"), [("off", 0, 0), ("refused", 0, 20), ("full", 20, 20), ("0", 0, 20), (1.0, 20, 20)]
)
def test_refusals_are_always_logged_and_passes_by_their_share(share: object, passes: int, refusals: int) -> None:
    """The share is one of the requests that pass."""
    written = lines()
    with AUTHORITY.guard(AUDIT=share) as guard:
        header = AUTHORITY.headers("alice", ["orders:read"])["Authorization"]
        for _ in range(20):
            guard.check(header, all_of("orders:read"), {}, "GET /a")
            guard.check(header, all_of("orders:write"), {}, "GET /b")
    actions = [document["event"]["action"] for document in documents(written)]
    assert (passes, refusals) == (actions.count("granted"), actions.count("refused"))


def test_a_share_is_drawn_for_each_request() -> None:
    """A request is logged if the draw is below the share."""
    written, draws = lines(), iter([0.0, 0.24, 0.25, 0.9])
    audit = AuditLog(0.25, chance=lambda: next(draws))
    for number in range(4):
        audit(Decision(route=f"GET /{number}"), None)
    assert ["GET /0", "GET /1"] == [document["jwt_lp"]["route"] for document in documents(written)]


def test_observed_refusals_are_logged_as_such() -> None:
    """The request passes, and the line says what would have been refused."""
    written = lines()
    with AUTHORITY.guard(AUDIT="refused", OBSERVE_UNTIL=datetime.now(UTC).date() + timedelta(days=7)) as guard:
        guard.check(None, AUTHENTICATED, {}, "GET /a", call=call())
    (document,) = documents(written)
    assert ("observed", "success", "no_credential") == (
        document["event"]["action"],
        document["event"]["outcome"],
        document["event"]["reason"],
    )
    assert "response" not in document["http"]


def test_a_url_that_the_host_cannot_build_hides_nothing() -> None:
    """Django builds no URL for a bad `Host`: the line is written without the path."""

    def fails() -> str:
        raise ValueError("Invalid HTTP_HOST header")

    written = lines()
    with AUTHORITY.guard(AUDIT="full") as guard:
        guard.check(None, AUTHENTICATED, {}, "GET /a", call=call()._replace(url=fails))
    (document,) = documents(written)
    assert ("refused", False) == (document["event"]["action"], "url" in document)


@pytest.mark.parametrize(
    ("peer", "source"),
    [
        ("2001:db8::1", {"address": "2001:db8::1", "ip": "2001:db8::1"}),
        ("fe80::1%eth0", {"address": "fe80::1%eth0", "ip": "fe80::1"}),
        ("testclient", {"address": "testclient"}),
        ("/run/app.sock", {"address": "/run/app.sock"}),
    ],
)
def test_only_an_ip_address_is_called_one(peer: str, source: dict[str, str]) -> None:
    """Elasticsearch drops a document whose `source.ip` is none."""
    written = lines()
    AuditLog(1.0)(Decision(route="GET /a"), call(peer=peer))
    assert source == documents(written)[0]["source"]


def test_long_values_are_cut() -> None:
    """What a client may choose is bounded."""
    written = lines()
    AuditLog(1.0)(Decision(route="x" * 5000), call("M" * 5000, "https://a.test/" + "p" * 5000, "h" * 5000))
    (document,) = documents(written)
    values = (
        document["jwt_lp"]["route"],
        document["http"]["request"]["method"],
        document["url"]["path"],
        document["source"]["address"],
    )
    assert [MAX_TEXT] * 4 == [len(value) for value in values]


def test_the_audit_log_is_not_dropped_by_the_default_level() -> None:
    """The logger has a level of its own, unless the project gave it one."""
    logger = logging.getLogger("jwt_lp.audit")
    logger.setLevel(logging.NOTSET)
    AuditLog(1.0)
    assert logging.INFO == logger.level
    logger.setLevel(logging.ERROR)
    AuditLog(1.0)
    assert logging.ERROR == logger.level


def test_a_handler_that_fails_changes_no_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk neither refuses a request nor lets one pass."""

    class Full(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError("no space left")

    monkeypatch.setattr(logging.getLogger("jwt_lp.audit"), "handlers", [Full()])
    with AUTHORITY.guard(AUDIT="full") as guard:
        header = AUTHORITY.headers("alice", ["orders:read"])["Authorization"]
        assert guard.check(header, all_of("orders:read"), {}, "GET /a").passes
        assert 403 == getattr(guard.check(header, all_of("x"), {}, "GET /a").refusal, "status", None)


@examples(80)
@given(st.text(), st.text(), st.text(), st.text())
def test_no_text_forges_a_line(route: str, method: str, path: str, peer: str) -> None:
    """Whatever a client sends, a decision is one line of ASCII, and a JSON object that strict parsers read."""
    handler, plain = logging.StreamHandler(written := StringIO()), logging.StreamHandler(text := StringIO())
    handler.setFormatter(EcsFormatter())
    logger = logging.getLogger("jwt_lp.audit")
    logger.handlers[:] = [handler, plain]
    AuditLog(1.0)(Decision(route=route), call(method, f"https://a.test/{path}", peer))
    (document,) = documents(written)
    assert "granted" == document["event"]["action"]
    assert (1, True) == (len(text.getvalue().splitlines()), text.getvalue().isascii())
    json.dumps(document, ensure_ascii=False).encode()


# --- EcsFormatter for other records


def formatted(record: logging.LogRecord) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(EcsFormatter().format(record))
    return document


def test_a_security_event_in_ecs() -> None:
    """The events of the logger `jwt_lp` have the fields of the audit log."""
    written = lines("jwt_lp")
    members = {"subject": "alice", "address": "192.0.2.7", "status": 401, "cause": "password", "reference": "4f2d"}
    log_event(logging.WARNING, "sign-in-refused", {**members, "service": "shop", "family": "f1"})
    log_event(logging.WARNING, "something_else", {"detail": "x"})
    first, second = documents(written)
    event = {
        "kind": "event",
        "category": ["authentication"],
        "type": ["start"],
        "action": "sign-in-refused",
        "outcome": "failure",
        "reason": "password",
        "id": "4f2d",
    }
    assert "jwt-lp sign-in-refused" == first["message"]
    assert (event, {"id": "alice"}, {"family": "f1"}) == (first["event"], first["user"], first["jwt_lp"])
    assert ({"response": {"status_code": 401}}, "192.0.2.7", {"name": "shop"}) == (
        first["http"],
        first["source"]["ip"],
        first["service"],
    )
    assert ("unknown", {"detail": "x"}) == (second["event"]["outcome"], second["jwt_lp"])


def test_any_other_record_in_ecs() -> None:
    """A record of another logger has its message, and of an exception what it is."""
    plain = formatted(logging.LogRecord("shop", logging.INFO, "shop.py", 1, "%s paid", ("alice",), None))
    assert ("alice paid", {"level": "info", "logger": "shop"}) == (plain["message"], plain["log"])
    assert "error" not in plain
    try:
        dict[str, int]()["a\nb"]
    except KeyError:
        failed = formatted(logging.LogRecord("shop", logging.ERROR, "shop.py", 1, "failed", (), sys.exc_info()))
    assert ("KeyError", True) == (failed["error"]["type"], "Traceback" in failed["error"]["stack_trace"])
    empty = formatted(logging.LogRecord("shop", logging.ERROR, "shop.py", 1, "failed", (), (None, None, None)))
    assert "error" not in empty
