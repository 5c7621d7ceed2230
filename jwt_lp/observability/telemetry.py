"""OpenTelemetry: metrics of every guard of this process, and attributes of the current span."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final, Protocol
from weakref import WeakKeyDictionary

from opentelemetry import metrics, trace
from opentelemetry.metrics import Observation

from jwt_lp.observability.audit_log import cause_code, outcome, task_of, used_elevations

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from opentelemetry.metrics import CallbackOptions, Counter

    from jwt_lp.guard.decisions import Call, Decision
    from jwt_lp.guard.readiness import Readiness

MAX_TEXT: Final = 256

_SCOPE: Final = "jwt_lp"


class Measured(Protocol):
    """What is measured: a guard."""

    def ready(self) -> Readiness:
        """The state now."""
        ...


class Telemetry:
    """A listener that counts the decisions of `guard`, and describes each on the current span.

    `service` is the name of the guard's service.

    A span has the subject only with `show_subject`, and of the token beside it only the task that it is for. Providers are those that
    OpenTelemetry's API returns: without one, nothing is measured.
    """

    def __init__(self, guard: Measured, *, service: str = "", show_subject: bool = False) -> None:
        self._show_subject = show_subject
        instruments = process_instruments()
        instruments.services[guard] = service
        self._decisions = instruments.decisions

    def __call__(self, decision: Decision, call: Call | None) -> None:
        """Count a decision, and set the attributes of the span."""
        del call
        result, cause = outcome(decision), cause_code(decision)
        # INVARIANT: no attribute of a metric is a value that a client chooses, so their number is bounded.
        self._decisions.add(1, {"jwt_lp.outcome": result, "jwt_lp.cause": cause})
        span = trace.get_current_span()
        if not span.is_recording():
            return
        span.set_attribute("jwt_lp.outcome", result)
        span.set_attribute("jwt_lp.cause", cause)
        span.set_attribute("jwt_lp.route", decision.route[:MAX_TEXT])
        span.set_attribute("jwt_lp.requirement", str(decision.requirement or "")[:MAX_TEXT])
        if elevations := used_elevations(decision):
            span.set_attribute("jwt_lp.elevations", elevations)
        if task := task_of(decision):
            span.set_attribute("jwt_lp.task", task)
        if self._show_subject and decision.token is not None:
            span.set_attribute("user.id", decision.token.subject[:MAX_TEXT])


class _Instruments:
    """The instruments of this process; `services` has the guards that they read, with their services."""

    def __init__(self) -> None:
        self.services: WeakKeyDictionary[Measured, str] = WeakKeyDictionary()
        meter = metrics.get_meter(_SCOPE)
        self.decisions: Counter = meter.create_counter(
            "jwt_lp.decisions", unit="{decision}", description="Decisions about requests, by outcome and cause"
        )
        meter.create_observable_gauge(
            "jwt_lp.keys.age", [self._keys_age], unit="s", description="Age of an issuer's loaded key set"
        )
        meter.create_observable_gauge(
            "jwt_lp.revocations.age",
            [self._revocations_age],
            unit="s",
            description="Time since the store last answered",
        )
        meter.create_observable_counter(
            "jwt_lp.usage.recorded", [self._recorded], unit="{use}", description="Uses that were recorded"
        )
        meter.create_observable_counter(
            "jwt_lp.usage.dropped", [self._dropped], unit="{use}", description="Uses that did not fit into memory"
        )

    def _states(self) -> Iterator[tuple[str, Readiness]]:
        for guard, service in list(self.services.items()):
            yield service, guard.ready()

    def _keys_age(self, options: CallbackOptions) -> Iterable[Observation]:
        del options
        for service, state in self._states():
            for issuer, keys in state.keys.items():
                if keys.age_seconds is not None:
                    yield Observation(keys.age_seconds, {"jwt_lp.issuer": issuer, "jwt_lp.service": service})

    def _revocations_age(self, options: CallbackOptions) -> Iterable[Observation]:
        del options
        for service, state in self._states():
            if state.store is not None and state.store.age is not None:
                yield Observation(state.store.age, {"jwt_lp.service": service})

    def _recorded(self, options: CallbackOptions) -> Iterable[Observation]:
        del options
        for service, state in self._states():
            if state.store is not None:
                yield Observation(state.store.recording.recorded, {"jwt_lp.service": service})

    def _dropped(self, options: CallbackOptions) -> Iterable[Observation]:
        del options
        for service, state in self._states():
            if state.store is not None:
                yield Observation(state.store.recording.dropped, {"jwt_lp.service": service})


@cache
def process_instruments() -> _Instruments:
    """The instruments: made once, because OpenTelemetry warns of a second instrument of a name."""
    return _Instruments()
