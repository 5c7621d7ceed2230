"""Elevations that are approved at once, for tests of what follows from them."""

from __future__ import annotations

from itertools import count
from typing import Any

from jwt_lp.stores import Elevation, ElevationChange

_IDS = count(1)


def approve(store: Any, permission: str, at: float, seconds: int = 60, **more: Any) -> Elevation:
    """An elevation of alice with a unique id, asked for and approved at `at`."""
    usual: dict[str, Any] = {"id": f"e{next(_IDS)}", "issuer": "https://authority.test", "subject": "alice"}
    asked = Elevation(
        **{"client": None, **usual, **more}, permission=permission, asked_at=at, answer_by=at + 600, seconds=seconds
    )
    store.ask(asked)
    return change(store, asked, "approved", at)


def change(store: Any, elevation: Elevation, action: Any, at: float) -> Elevation:
    """The elevation after a decision, or an end, by the manager."""
    by: dict[str, Any] = {"issuer": elevation.issuer, "subject": "manager"}
    changed: Elevation = store.change_elevation(ElevationChange(elevation=elevation.id, action=action, at=at, **by))
    return changed
