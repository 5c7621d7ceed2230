"""Refusals and the log.

Each event is one line, `jwt-lp <event> <JSON object>`, for people and for `jwt-lp observed`. JSON escapes line breaks,
so a client cannot add lines to the log. Only the fingerprint of a token is logged.
"""

from __future__ import annotations

import logging
import math
from datetime import UTC, datetime
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from jwt_lp._support.events import is_wanted, log_event
from jwt_lp.guard.decisions import Cause, Decision, Refusal, whole_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jwt_lp.guard.routes import Route
    from jwt_lp.guard.settings import Settings
    from jwt_lp.permissions.requirements import Requirement
    from jwt_lp.tokens.claims import AccessToken

__all__ = ["UNDECLARED", "UNDECLARED_ROUTE", "RefusalFactory", "undeclared_cause"]

UNDECLARED: Final = "jwt_lp.W001"
UNDECLARED_ROUTE: Final = Cause(
    HTTPStatus.FORBIDDEN,
    "insufficient_scope",
    "undeclared_route",
    "the route has no declaration: give it requires(...), authenticated, public or external(...)",
)

# Calls without a credential are easy to make in any number, so of those for routes without a declaration only so many
# lines are written: one for each route in a minute.
_WINDOW: Final = 60.0
_MAX_ROUTES: Final = 100

_NO_PARAMETERS: Final[Mapping[str, object]] = MappingProxyType({})


class RefusalFactory:
    """Builds and logs refusals according to the settings."""

    def __init__(self, settings: Settings, clock: Callable[[], float], reference: Callable[[], str]) -> None:
        self._settings = settings
        self._clock = clock
        self._reference = reference
        self._undeclared: set[str] = set()
        self._enforcing = False
        self._resource_metadata = settings.resource_metadata
        self._schemes = settings.schemes
        self._window_end = -math.inf
        self._shown: set[str] = set()

    def log_start(self) -> None:
        """Log a warning for each setting that makes this process less strict: development and observe mode."""
        if self._settings.development:
            self._log_service_event(
                logging.WARNING, "development", {"detail": "development tokens are accepted from loopback peers"}
            )
        until = self._settings.observe_until
        if until is not None:
            detail = f"requirements are observed and not enforced until {until.isoformat()}"
            self._log_service_event(logging.WARNING, "observing", {"detail": detail})

    def log_undeclared(self, route: Route) -> None:
        """Log once that a route has no declaration."""
        if route.label not in self._undeclared:
            self._undeclared.add(route.label)
            event = {"id": UNDECLARED, "route": route.label, "endpoint": route.endpoint, "hint": route.hint}
            self._log_service_event(logging.WARNING, "undeclared", event)

    def is_observing(self) -> bool:
        """Whether observe mode lets refusals pass today, in UTC."""
        until = self._settings.observe_until
        # INVARIANT: once observe mode has ended, it does not begin again even if the clock is set back.
        if until is None or self._enforcing:
            return False
        self._enforcing = datetime.fromtimestamp(self._clock(), UTC).date() > until
        return not self._enforcing

    def refuse(
        self,
        cause: Cause,
        token: AccessToken | None = None,
        requirement: Requirement | None = None,
        route: str = "",
        missing: tuple[str, ...] = (),
        sent: Mapping[str, object] = _NO_PARAMETERS,
        *,
        record: bool = True,
        observable: bool = True,
    ) -> Decision:
        """Refuse, or let an `observable` refusal pass in observe mode; `record` says whether it is logged.

        `sent` are the parameters that the client is told in `scope`, because it sent them itself.
        """
        # INVARIANT: observe mode lets nothing pass that could not be decided (503).
        observed = (
            observable
            and self.is_observing()
            and cause.status != HTTPStatus.SERVICE_UNAVAILABLE
            and not (requirement is not None and requirement.enforced)
        )
        usual = _usual_level(cause, observed=observed)
        level = (
            self._undeclared_level(route) if usual == logging.INFO and cause.code == UNDECLARED_ROUTE.code else usual
        )
        # INVARIANT: the client's reference is in the log; and it does not tell anybody which routes have no declaration.
        event = "observed" if observed else "refused"
        shown = record and is_wanted(usual, event)
        refusal = self._refusal(cause, requirement, sent, self._reference() if shown else "")
        if record and is_wanted(level, event):
            self._log_refusal(level, event, refusal, cause, token, requirement, route, missing)
        if observed:
            # An invalid token is not attached to the request.
            valid = token if cause.status == HTTPStatus.FORBIDDEN else None
            return Decision(valid, requirement, (), missing, route, observed=refusal)
        return Decision(token, requirement, (), missing, route, refusal)

    def _undeclared_level(self, route: str) -> int:
        """The level for a call without a credential of a route without a declaration: a warning, but not each time."""
        now = self._clock()
        if not self._window_end - _WINDOW <= now < self._window_end:
            self._window_end, self._shown = now + _WINDOW, set()
        if route in self._shown or len(self._shown) >= _MAX_ROUTES:
            return logging.INFO
        self._shown.add(route)
        return logging.WARNING

    def _refusal(
        self, cause: Cause, requirement: Requirement | None, sent: Mapping[str, object], reference: str
    ) -> Refusal:
        """The refusal as the client receives it."""
        shown = None
        if self._settings.show_requirement and cause.error == "insufficient_scope":
            shown = requirement
        return Refusal(
            cause.status,
            cause.error,
            reference,
            scope=shown.scope(sent) if shown is not None and not cause.misconfigured else None,
            requirement=str(shown) if shown is not None else None,
            cause=f"{cause.code}: {cause.detail}" if self._settings.explain else None,
            retry_after=whole_seconds(cause.retry_after),
            resource_metadata=self._resource_metadata,
            advice=cause.advice,
            code=cause.code,
            schemes=self._schemes,
            elevation=cause.elevation,
        )

    def _log_refusal(
        self,
        level: int,
        event: str,
        refusal: Refusal,
        cause: Cause,
        token: AccessToken | None,
        requirement: Requirement | None,
        route: str,
        missing: tuple[str, ...],
    ) -> None:
        members: dict[str, object] = {
            "status": refusal.status,
            "error": refusal.error,
            "cause": cause.code,
            "detail": cause.detail,
            "route": route,
            "requirement": None if requirement is None else str(requirement),
            "missing": list(missing),
            "issuer": token.issuer_name if token else None,
            "subject": token.subject if token else None,
            "client": token.client if token else None,
            "token": token.fingerprint if token else cause.fingerprint,
            "reference": refusal.reference,
            "service": self._settings.service,
        }
        log_event(level, event, members)

    def _log_service_event(self, level: int, event: str, members: Mapping[str, object]) -> None:
        log_event(level, event, {**members, "service": self._settings.service})


def _usual_level(cause: Cause, *, observed: bool) -> int:
    """The level of the line in the log; INFO for what anybody can cause in any number."""
    if cause.misconfigured:
        return logging.ERROR
    anonymous = cause.error is None and cause.status == HTTPStatus.UNAUTHORIZED and not observed
    return logging.INFO if anonymous else logging.WARNING


def undeclared_cause(cause: Cause) -> Cause:
    """The cause of a 401 for a route without a declaration: that comes first, because no token would change it."""
    if cause.status != HTTPStatus.UNAUTHORIZED:
        return cause
    return cause._replace(code=UNDECLARED_ROUTE.code, detail=f"{UNDECLARED_ROUTE.detail}; besides, {cause.detail}")
