"""The security events of elevations."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeAlias

from jwt_lp._support.events import log_event

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jwt_lp.stores.elevations import Elevation, ElevationStep

WrittenSteps: TypeAlias = "tuple[Elevation, tuple[ElevationStep, ...]]"
"""An elevation as it is after the steps that a store has written."""


def log_all_steps(written: Iterable[WrittenSteps]) -> None:
    """Log the steps of several elevations."""
    for elevation, steps in written:
        log_steps(elevation, steps)


def log_steps(elevation: Elevation, steps: Iterable[ElevationStep]) -> None:
    """Log an event for each step that a store has written; `elevation` is as it is after them.

    The event is `elevation-asked`, `elevation-approved` and so on; `elevation-break-glass`, as a warning, where a
    permission was granted without an approval.
    """
    for step in steps:
        alarm = elevation.break_glass and step.action == "granted"
        event = {
            "elevation": elevation.id,
            "issuer": elevation.issuer,
            "subject": elevation.subject,
            "client": elevation.client,
            "permission": elevation.permission,
            "by_issuer": step.issuer,
            "by": step.subject,
            "reason": step.reason,
            "ticket": elevation.ticket,
            "until": elevation.until,
            "state": elevation.state(step.at),
        }
        name = "elevation-break-glass" if alarm else f"elevation-{step.action}"
        log_event(logging.WARNING if alarm else logging.INFO, name, event)
