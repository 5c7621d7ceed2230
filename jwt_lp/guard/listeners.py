"""Listeners of a guard: functions that are told of its decisions, those that let a request pass included."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeAlias, cast

from jwt_lp._support.events import call_safely
from jwt_lp.errors import clears_locals

if TYPE_CHECKING:
    from jwt_lp.guard.decisions import Call, Decision

DecisionListener: TypeAlias = "Callable[[Decision, Call | None], object]"
"""A function of a decision and the call that it is about, as far as the host gave one."""

_P = ParamSpec("_P")


class Listeners:
    """The listeners of one guard, in the order in which they were added."""

    def __init__(self) -> None:
        self._listeners: tuple[DecisionListener, ...] = ()

    def add(self, listener: DecisionListener) -> None:
        """Tell `listener` from the next decision on, once each time."""
        if listener not in self._listeners:
            self._listeners += (listener,)

    def wrap(self, method: Callable[_P, Decision], *, passes: bool = True) -> Callable[_P, Decision]:
        """`method`, whose decisions are told; without `passes` its refusals alone."""

        @wraps(method)
        @clears_locals
        def told(*args: _P.args, **kwargs: _P.kwargs) -> Decision:
            decision = method(*args, **kwargs)
            # Nothing is decided while it is pending; what is not recorded is a probe.
            if not decision.pending and kwargs.get("record", True) and (passes or not decision.passes):
                call = cast("Call | None", kwargs.get("call"))
                for listener in self._listeners:
                    call_safely(listener, decision, call)
            return decision

        return told
