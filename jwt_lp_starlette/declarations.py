"""The declaration that an endpoint carries, and which of an endpoint class's declarations applies to a method."""

from __future__ import annotations

import functools
import inspect
from typing import Any, Final, TypeGuard, cast

from starlette.endpoints import HTTPEndpoint

from jwt_lp import Requirement

DECLARATION_ATTRIBUTE: Final = "__jwt_lp__"


def declaration_of(endpoint: object) -> Requirement | None:
    """The requirement that is declared on `endpoint` itself; None if there is none."""
    # INVARIANT: a class does not inherit a declaration: its parent's `public` would open what a subclass adds.
    requirement = (
        vars(endpoint).get(DECLARATION_ATTRIBUTE)
        if inspect.isclass(endpoint)
        else getattr(endpoint, DECLARATION_ATTRIBUTE, None)
    )
    return requirement if isinstance(requirement, Requirement) else None


def is_http_endpoint(endpoint: object) -> TypeGuard[type[HTTPEndpoint]]:
    """Whether the endpoint is a class that dispatches by method with Starlette's own `dispatch`."""
    return (
        inspect.isclass(endpoint)
        and issubclass(endpoint, HTTPEndpoint)
        and inspect.unwrap(endpoint.dispatch) is HTTPEndpoint.dispatch
    )


def method_handler(endpoint: type, method: str) -> object:
    """The function of an endpoint class that answers `method`, or None if the answer is 405.

    A class that does not dispatch by method is returned itself.
    """
    if not is_http_endpoint(endpoint):
        return endpoint
    handler = getattr(endpoint, method.lower(), None)
    return getattr(endpoint, "get", None) if handler is None and method == "HEAD" else handler


def declaring_handler(endpoint: type, method: str) -> object:
    """The function whose declaration applies to `method` before that of the class; for HEAD it is `get`.

    So HEAD has the rule of GET even if the class has its own `head`. A declaration on that `head` is enforced when
    the function is called.
    """
    get = getattr(endpoint, "get", None) if method == "HEAD" and is_http_endpoint(endpoint) else None
    return method_handler(endpoint, method) if get is None else get


def dotted_name(endpoint: object) -> str:
    """The endpoint's dotted name, under which its usage is recorded."""
    target: Any = endpoint
    while isinstance(target, functools.partial):
        target = target.func  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    target = inspect.unwrap(target) if callable(target) else target
    named = target if hasattr(target, "__qualname__") else cast(Any, type(target))
    return f"{named.__module__}.{named.__qualname__}"
