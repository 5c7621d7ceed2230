"""Decisions that are kept with a token, and given again."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from jwt_lp.guard.decisions import Decision
    from jwt_lp.usage.recorder import UsageSlot


class CachedDecision(NamedTuple):
    """A decision that let a request pass, and the usage to count each time it is given again."""

    decision: Decision
    slots: tuple[UsageSlot, ...]
