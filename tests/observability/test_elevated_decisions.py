"""What the audit log and spans say of elevations and tasks."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from jwt_lp import AUTHENTICATED, Decision, all_of
from jwt_lp.observability.audit_log import AuditLog
from jwt_lp.permissions.grants import Grant
from jwt_lp.testing import Authority
from jwt_lp.tokens.delegation import Lineage

AUTHORITY = Authority()


def decided() -> Decision:
    """A decision by an elevation and a standing grant, with a token for a task."""
    claims = {"lineage": {"iat": 0, "ids": ["parent"], "clients": ["web"], "task": "ticket 17"}}
    with AUTHORITY.guard() as guard:
        token = guard.authenticate(AUTHORITY.headers(claims=claims)["Authorization"]).token
    assert token is not None
    used = Grant("orders:export", "elevation e1", "elevation:e1"), Grant("orders:read", "scope")
    return Decision(token, all_of("orders:export", "orders:read"), used, (), "GET /orders")


def test_the_audit_log_names_elevations_and_the_task(caplog: pytest.LogCaptureFixture) -> None:
    """Those that were used, and nothing where there are none."""
    caplog.set_level(logging.INFO, "jwt_lp.audit")
    log = AuditLog(1.0, chance=lambda: 0.0)
    log(decided(), None)
    log(Decision(None, AUTHENTICATED, (), (), "GET /"), None)
    elevated, plain = (record.jwt_lp for record in caplog.records)  # type: ignore[attr-defined]  # set by the log
    assert (["e1"], "ticket 17") == (elevated["elevations"], elevated["task"])
    assert plain.keys().isdisjoint({"elevations", "task"})


def test_the_span_names_elevations_and_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """As attributes of the current span."""
    pytest.importorskip("opentelemetry.sdk.trace")
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from jwt_lp.observability.telemetry import Telemetry

    class Measured:
        def ready(self) -> Any:
            raise NotImplementedError

    spans, traces = InMemorySpanExporter(), TracerProvider()
    traces.add_span_processor(SimpleSpanProcessor(spans))
    measured = Measured()
    listener = Telemetry(measured)
    for decision in (decided(), Decision(None, AUTHENTICATED, (), (), "GET /")):
        with traces.get_tracer("tests").start_as_current_span("request"):
            listener(decision, None)
    first, second = (dict(span.attributes or {}) for span in spans.get_finished_spans())
    assert (("e1",), "ticket 17") == (first["jwt_lp.elevations"], first["jwt_lp.task"])
    assert second.keys().isdisjoint({"jwt_lp.elevations", "jwt_lp.task"})


def test_a_lineage_that_was_not_narrowed_names_no_task() -> None:
    """A token of a session has a lineage too."""
    assert ("", False) == (Lineage(0.0, (("i", "family"),)).task, Lineage(0.0, (("i", "family"),)).is_narrowed)
