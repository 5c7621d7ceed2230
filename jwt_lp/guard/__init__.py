"""The guard: settings, runtime, decisions and refusals."""

from __future__ import annotations

from jwt_lp.guard.decisions import Call, Decision, Refusal
from jwt_lp.guard.guard import Guard, Readiness
from jwt_lp.guard.routes import Route, Rules, route_faults
from jwt_lp.guard.settings import Settings

__all__ = ["Call", "Decision", "Guard", "Readiness", "Refusal", "Route", "Rules", "Settings", "route_faults"]
