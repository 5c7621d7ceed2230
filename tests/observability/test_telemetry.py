"""OpenTelemetry: metrics and span attributes, with the real SDK."""

from __future__ import annotations

import gc
import secrets
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from jwt_lp import ConfigurationError, Settings, all_of
from jwt_lp.guard import observability_settings
from jwt_lp.testing import Authority

pytest.importorskip("opentelemetry.sdk.metrics")

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from jwt_lp.observability import telemetry

AUTHORITY = Authority()
READ = all_of("orders:read")
Points = dict[str, list[tuple[dict[str, Any], float]]]


class Exporters:
    """The in-memory exporters of the SDK."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader])
        self.spans = InMemorySpanExporter()
        self.traces = TracerProvider()
        self.traces.add_span_processor(SimpleSpanProcessor(self.spans))
        self.tracer = self.traces.get_tracer("tests")

    def points(self) -> Points:
        data = self.reader.get_metrics_data()
        if data is None:
            return {}
        return {
            metric.name: [
                (dict(point.attributes or {}), getattr(point, "value", 0)) for point in metric.data.data_points
            ]
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@pytest.fixture
def exporters(monkeypatch: pytest.MonkeyPatch) -> Iterator[Exporters]:
    made = Exporters()
    # The API sets its global provider only once in a process.
    monkeypatch.setattr(metrics, "get_meter", made.meters.get_meter)
    telemetry.process_instruments.cache_clear()
    yield made
    telemetry.process_instruments.cache_clear()
    made.meters.shutdown()


def bearer(*permissions: str) -> str:
    return AUTHORITY.headers("alice", permissions)["Authorization"]


def test_decisions_are_counted_by_outcome_and_cause(exporters: Exporters) -> None:
    """No attribute is a value that a client chose."""
    with AUTHORITY.guard(OPENTELEMETRY=True) as guard:
        for route in ("GET /a", "GET /b"):
            guard.check(bearer("orders:read"), READ, {}, route)
        guard.check(bearer(), READ, {}, "GET /" + secrets.token_hex(8))
        guard.check(None, READ, {}, "GET /a")
    counted = {
        (point["jwt_lp.outcome"], point["jwt_lp.cause"]): value
        for point, value in exporters.points()["jwt_lp.decisions"]
    }
    assert {("granted", ""): 2, ("refused", "insufficient_scope"): 1, ("refused", "no_credential"): 1} == counted


def test_ages_and_drops_are_observed(exporters: Exporters, tmp_path: Path) -> None:
    """The gauges read every guard that is alive, with the name of its service."""
    pytest.importorskip("sqlalchemy")
    store = f"sqlite:///{tmp_path / 'store.db'}"
    from jwt_lp.stores import open_store

    opened = open_store(store)
    opened.migrate()
    opened.close()
    with (
        AUTHORITY.guard(OPENTELEMETRY=True, STORE=store, SERVICE="orders") as guard,
        AUTHORITY.guard(OPENTELEMETRY=True),
    ):
        assert guard.check(bearer("orders:read"), READ, {}, "GET /a").passes
        guard._runtime.recorder.flush()  # type: ignore[union-attr]  # a guard with a store
        points = exporters.points()
    ((revocations, age),) = points["jwt_lp.revocations.age"]
    assert ({"jwt_lp.service": "orders"}, True) == (revocations, 0 <= age < 60)
    assert [({"jwt_lp.service": "orders"}, 1)] == points["jwt_lp.usage.recorded"]
    assert [({"jwt_lp.service": "orders"}, 0)] == points["jwt_lp.usage.dropped"]
    del guard
    gc.collect()
    assert "jwt_lp.usage.dropped" not in exporters.points()


def test_the_age_of_a_fetched_key_set_is_observed(exporters: Exporters) -> None:
    """Keys in the settings have no age."""
    from jwks_server import KeyServer

    with KeyServer(AUTHORITY.key.public_jwk()) as keys:
        settings = {name: value for name, value in AUTHORITY.settings().items() if name != "JWKS"}
        from jwt_lp import Guard

        with Guard({**settings, "JWKS_URL": keys.url, "OPENTELEMETRY": "1", "SERVICE": "orders"}) as guard:
            assert guard.check(bearer("orders:read"), READ, {}, "GET /a").passes
            ((point, age),) = exporters.points()["jwt_lp.keys.age"]
    assert ({"jwt_lp.issuer": "default", "jwt_lp.service": "orders"}, True) == (point, 0 <= age < 60)


def test_the_current_span_says_what_was_decided(exporters: Exporters) -> None:
    """Outcome, cause, route and requirement; no subject, and nothing else of the token."""
    with AUTHORITY.guard(OPENTELEMETRY=True) as guard, exporters.tracer.start_as_current_span("request"):
        guard.check(bearer("orders:list"), READ, {}, "GET /orders")
    (span,) = exporters.spans.get_finished_spans()
    assert {
        "jwt_lp.outcome": "refused",
        "jwt_lp.cause": "insufficient_scope",
        "jwt_lp.route": "GET /orders",
        "jwt_lp.requirement": "orders:read",
    } == dict(span.attributes or {})


def test_the_subject_is_on_the_span_only_where_it_was_asked_for(exporters: Exporters) -> None:
    """`OPENTELEMETRY = "subject"` adds `user.id`."""
    with AUTHORITY.guard(OPENTELEMETRY="subject") as guard, exporters.tracer.start_as_current_span("request"):
        guard.check(bearer("orders:read"), READ, {}, "GET /orders")
    with AUTHORITY.guard(OPENTELEMETRY="subject") as guard, exporters.tracer.start_as_current_span("request"):
        guard.check(None, READ, {}, "GET /orders")
    known, unknown = exporters.spans.get_finished_spans()
    assert ("alice", None) == tuple((span.attributes or {}).get("user.id") for span in (known, unknown))


def test_no_span_and_no_metric_shows_a_token(exporters: Exporters) -> None:
    """Whatever the token is, no part of it is exported."""
    good = bearer("orders:read")
    forged = good[:-8] + "AAAAAAAA"
    with AUTHORITY.guard(OPENTELEMETRY=True) as guard:
        for header in (good, forged, f"{good}, {good}", good[:-9]):
            for needed in (READ, all_of("x"), None):
                with exporters.tracer.start_as_current_span("request"):
                    guard.check(header, needed, {}, "GET /orders")
        points = exporters.points()
    exported = repr(points) + "".join(span.to_json() for span in exporters.spans.get_finished_spans())
    payload, signature = good.split(".")[1:]
    assert [] == [part for part in (payload[:30], signature[:30], "alice") if part in exported]


def test_long_routes_are_cut(exporters: Exporters) -> None:
    """A route without a template is as long as the client likes."""
    with AUTHORITY.guard(OPENTELEMETRY=True) as guard, exporters.tracer.start_as_current_span("request"):
        guard.check(None, READ, {}, "GET /" + "x" * 5000)
    (span,) = exporters.spans.get_finished_spans()
    assert telemetry.MAX_TEXT == len(str((span.attributes or {})["jwt_lp.route"]))


def test_without_a_provider_nothing_happens() -> None:
    """The API alone measures nothing, and decides nothing."""
    telemetry.process_instruments.cache_clear()
    with AUTHORITY.guard(OPENTELEMETRY=True) as guard:
        assert guard.check(bearer("orders:read"), READ, {}, "GET /orders").passes
    assert not trace.get_current_span().is_recording()


@pytest.mark.parametrize("missing", ["opentelemetry", "opentelemetry.metrics"])
def test_without_the_api_the_setting_is_a_fault(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what to install."""
    monkeypatch.setattr(observability_settings, "find_spec", lambda name: None if name == missing else find_spec(name))
    with pytest.raises(ConfigurationError, match="pip install"):
        Settings.from_mapping(AUTHORITY.settings(OPENTELEMETRY=True))
    assert not Settings.from_mapping(AUTHORITY.settings(OPENTELEMETRY=False)).opentelemetry


def test_opentelemetry_is_not_imported_unless_it_is_asked_for() -> None:
    """A guard without the setting loads nothing of it, nor of the audit log."""
    code = (
        "import sys\nfrom jwt_lp.testing import Authority\n"
        "with Authority().guard() as guard:\n    guard.check(None, None, {}, 'GET /')\n"
        "print([name for name in sys.modules if 'opentelemetry' in name or 'observability' in name.split('.')])"
    )
    fresh = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[]" == fresh.stdout.strip()
