"""The operations of Django Ninja behind a callback of the URLconf. Ninja itself is never imported here."""

from __future__ import annotations

import sys
from collections.abc import Callable
from inspect import Parameter, Signature, signature, unwrap
from typing import Any, NamedTuple, cast


class Operations(NamedTuple):
    """The operations of one path: Ninja's object that holds them, and for each its methods and its function."""

    owner: Any
    entries: tuple[tuple[Any, frozenset[str], Callable[..., Any]], ...]

    def find(self, method: str) -> Callable[..., Any] | None:
        """The function that answers `method`: the first, as Ninja chooses."""
        return next((function for _, methods, function in self.entries if method in methods), None)

    @property
    def methods(self) -> frozenset[str]:
        """Every method that one of them answers."""
        return frozenset[str]().union(*(methods for _, methods, _ in self.entries))


def operations_of(callback: Callable[..., Any]) -> Operations | None:
    """The operations that `callback` dispatches to; None if it is no view of Ninja.

    Ninja's views are closures over the object that holds the operations.
    """
    module = sys.modules.get("ninja.operation")
    if module is None:
        return None
    function: Any = unwrap(callback)
    owner: Any = getattr(function, "__self__", None)
    if owner is None and getattr(function, "__module__", "") == module.__name__:
        cells = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
        owner = next((value for value in cells if isinstance(value, module.PathView)), None)
    if not isinstance(owner, module.PathView):
        return None
    operations = cast("list[Any]", cast(Any, owner).operations)
    return Operations(owner, tuple((each, frozenset(each.methods), each.view_func) for each in operations))


def with_readable_signature(wrapper: Any, view: Callable[..., Any]) -> None:
    """Give a wrapper its view's signature with the annotations themselves.

    Ninja looks up what is written as text in the globals of the function that it gets, which are not those of the view.
    """
    if "ninja" not in sys.modules or not any(isinstance(each, str) for each in _annotations(view)):
        return
    try:
        wrapper.__signature__ = signature(view, eval_str=True)
    except (NameError, TypeError, ValueError, AttributeError, SyntaxError):
        # It stays as it is written, as with any other decorator.
        return


def _annotations(view: Callable[..., Any]) -> list[object]:
    try:
        written: Signature = signature(view)
    except (TypeError, ValueError):
        return []
    return [each.annotation for each in written.parameters.values() if each.annotation is not Parameter.empty]
