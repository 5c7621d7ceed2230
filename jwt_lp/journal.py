"""What does the log say?

One line an event, `jwt-lp <event> <JSON object>`, so that people and `jwt-lp observed` read the same thing.
JSON's escapes keep a line a line whatever a client sent. Of a token nothing is written but its fingerprint.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from jwt_lp.claims import AccessToken
    from jwt_lp.decision import Cause, Refusal
    from jwt_lp.requirements import Requirement
    from jwt_lp.settings import Settings

_LOG: Final = logging.getLogger("jwt_lp")


class Journal:
    """Writes the guard's log lines, under the service's name."""

    def __init__(self, service: str) -> None:
        self._service = service

    def started(self, settings: Settings) -> None:
        """Say loudly what makes this process laxer than it will be."""
        if settings.development:
            self._write(logging.WARNING, "development", {"detail": "development tokens are taken from loopback peers"})
        if settings.observe_until is not None:
            detail = f"requirements are observed and not enforced until {settings.observe_until.isoformat()}"
            self._write(logging.WARNING, "observing", {"detail": detail})

    def refused(
        self,
        refusal: Refusal,
        cause: Cause,
        token: AccessToken | None,
        requirement: Requirement | None,
        route: str,
        *,
        missing: tuple[str, ...],
        observed: bool,
    ) -> None:
        """Log one refusal, or one that observe mode let pass."""
        quiet = cause.error is None and cause.status != 503 and not observed  # noqa: PLR2004 - an HTTP status
        level = logging.INFO if quiet else logging.ERROR if cause.misconfigured else logging.WARNING
        event = {
            "status": refusal.status,
            "error": refusal.error,
            "cause": cause.code,
            "detail": cause.detail,
            "route": route,
            "requirement": str(requirement) if requirement is not None else None,
            "missing": list(missing),
            "issuer": token.issuer_name if token else None,
            "subject": token.subject if token else None,
            "client": token.client if token else None,
            "token": token.fingerprint if token else cause.fingerprint,
            "reference": refusal.reference,
        }
        self._write(level, "observed" if observed else "refused", event)

    def _write(self, level: int, event: str, members: dict[str, object]) -> None:
        if _LOG.isEnabledFor(level):
            kept = {name: value for name, value in {**members, "service": self._service}.items() if value}
            _LOG.log(level, "jwt-lp %s %s", event, json.dumps(kept), extra={"jwt_lp": {"event": event, **kept}})
