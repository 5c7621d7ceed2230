"""The decorators that declare what an endpoint requires.

A decorator puts the declaration on a new wrapper, never on the function, class or application itself. The wrapper also
enforces it, so that a route that the guard's table did not find is refused too.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypeVar, cast, overload

from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.requests import HTTPConnection, Request
from starlette.websockets import WebSocket

from jwt_lp import AUTHENTICATED, IDENTIFIED, PUBLIC, ConfigurationError, Requirement, all_of
from jwt_lp import external as external_requirement
from jwt_lp_starlette.declarations import (
    DECLARATION_ATTRIBUTE,
    declaration_of,
    declaring_handler,
    dotted_name,
    method_handler,
)
from jwt_lp_starlette.request_context import (
    context_of,
    enforce_declaration,
    enforce_declaration_sync,
    passed_before,
)
from jwt_lp_starlette.scope import Scope

T = TypeVar("T")
Where: TypeAlias = Mapping[str, str | Sequence[str] | Mapping[str, str | Sequence[str]]]

_CONNECTION_PARAMETER: Final = "jwt_lp_connection"
# The usual classes first: `isinstance` finds an exact class much faster than a subclass of an abstract one.
_CONNECTIONS: Final = (Request, WebSocket, HTTPConnection)


def requires(
    *permissions: Requirement | str,
    where: Where | None = None,
    unbound: Iterable[str] = (),
    enforce: bool = False,
    or_session: str | None = None,
) -> Callable[[T], T]:
    """Declare that a function, a method, an endpoint class or an ASGI application requires all `permissions`.

    `where`, `unbound`, `enforce` and `or_session` are those of `jwt_lp.all_of`; the session is that of a middleware that
    sets `scope["user"]`, such as Starlette's `AuthenticationMiddleware`. Raises `ConfigurationError` for what can never be
    granted, and for a second, different declaration on the same endpoint.
    """
    return functools.partial(
        _declare, all_of(*permissions, where=where, unbound=unbound, enforce=enforce, or_session=or_session)
    )


@overload
def authenticated(endpoint: T, /) -> T: ...
@overload
def authenticated(
    *, where: Where | None = None, unbound: Iterable[str] = (), enforce: bool = False, or_session: str | None = None
) -> Callable[[T], T]: ...
def authenticated(
    endpoint: object = None,
    /,
    *,
    where: Where | None = None,
    unbound: Iterable[str] = (),
    enforce: bool = False,
    or_session: str | None = None,
) -> object:
    """Declare that an endpoint requires a valid token, whatever it grants."""
    declare = requires(AUTHENTICATED, where=where, unbound=unbound, enforce=enforce, or_session=or_session)
    return declare if endpoint is None else declare(endpoint)


@overload
def public(endpoint: T, /) -> T: ...
@overload
def public(*, identify: bool = False) -> Callable[[T], T]: ...
def public(endpoint: object = None, /, *, identify: bool = False) -> object:
    """Declare that an endpoint requires no token. With `identify`, a valid token is kept and any other is ignored."""
    requirement = IDENTIFIED if identify else PUBLIC
    return functools.partial(_declare, requirement) if endpoint is None else _declare(requirement, endpoint)


def external(reason: str) -> Callable[[T], T]:
    """Declare that something else guards the endpoint; `reason` says what, and appears in the list of routes."""
    return functools.partial(_declare, external_requirement(reason))


def _declare(requirement: Requirement, endpoint: T) -> T:
    declared = declaration_of(endpoint)
    if declared is not None and declared != requirement:
        raise ConfigurationError(
            f"{dotted_name(endpoint)} has two declarations, {declared} and {requirement}: "
            "write one, with all_of(...) or any_of(...)"
        )
    if inspect.isclass(endpoint) and issubclass(endpoint, HTTPEndpoint | WebSocketEndpoint):
        return cast(T, _declare_class(requirement, endpoint))
    if inspect.isroutine(endpoint) or isinstance(endpoint, functools.partial):
        return cast(T, _declare_function(requirement, cast(Callable[..., Any], endpoint)))
    return cast(T, DeclaredApp(requirement, endpoint))


def _declare_function(requirement: Requirement, view: Callable[..., Any]) -> Callable[..., Any]:
    signature, injected = _signature(view)

    @functools.wraps(view)
    async def asynchronous(*args: Any, **kwargs: Any) -> Any:
        scope = _scope(args, kwargs, injected=injected)
        if requirement.requires_token and passed_before(scope, requirement) is None:
            await enforce_declaration(scope, requirement)
        return await view(*args, **kwargs)

    @functools.wraps(view)
    def synchronous(*args: Any, **kwargs: Any) -> Any:
        scope = _scope(args, kwargs, injected=injected)
        if requirement.requires_token and passed_before(scope, requirement) is None:
            enforce_declaration_sync(scope, requirement)
        return view(*args, **kwargs)

    wrapper: Any = asynchronous if inspect.iscoroutinefunction(view) else synchronous
    setattr(wrapper, DECLARATION_ATTRIBUTE, requirement)
    wrapper.__signature__ = signature
    return cast(Callable[..., Any], wrapper)


def _signature(view: Callable[..., Any]) -> tuple[inspect.Signature, bool]:
    """The view's signature; if no parameter takes the connection, with one that FastAPI fills with it.

    Annotations are evaluated here, because older FastAPI evaluates those of a wrapper in the wrapper's own module.
    """
    try:
        signature = inspect.signature(view, eval_str=True)
    except Exception:  # noqa: BLE001 - evaluation may raise anything; newer FastAPI accepts names it cannot resolve
        signature = inspect.signature(view)
    parameters = list(signature.parameters.values())
    annotations = [parameter.annotation for parameter in parameters]
    if any(inspect.isclass(annotation) and issubclass(annotation, HTTPConnection) for annotation in annotations):
        return signature, False
    connection = inspect.Parameter(_CONNECTION_PARAMETER, inspect.Parameter.KEYWORD_ONLY, annotation=HTTPConnection)
    variable = [parameter for parameter in parameters if parameter.kind is inspect.Parameter.VAR_KEYWORD]
    fixed = [parameter for parameter in parameters if parameter.kind is not inspect.Parameter.VAR_KEYWORD]
    return signature.replace(parameters=[*fixed, connection, *variable]), True


def _scope(args: tuple[Any, ...], kwargs: dict[str, Any], *, injected: bool) -> Scope:
    """The scope of the request that a view is called with; empty if no argument has it."""
    connection = kwargs.pop(_CONNECTION_PARAMETER, None) if injected else None
    if args and isinstance(args[0], dict):
        return cast(Scope, args[0])
    for argument in (*args, *kwargs.values()) if connection is None else (connection,):
        if isinstance(argument, _CONNECTIONS):
            return argument.scope
    return {}


def _declare_class(requirement: Requirement, endpoint: type) -> type:
    inner = cast(Callable[[Any], Awaitable[None]], endpoint.dispatch)  # type: ignore[attr-defined]

    @functools.wraps(inner)
    async def dispatch(self: Any) -> None:
        method = self.scope.get("method", "")
        answered = method_handler(endpoint, method) is not None
        if requirement.requires_token and answered and declaration_of(declaring_handler(endpoint, method)) is None:
            await enforce_declaration(self.scope, requirement)
        await inner(self)

    members = {name: getattr(endpoint, name) for name in ("__module__", "__qualname__", "__doc__")}
    return type(endpoint)(
        endpoint.__name__, (endpoint,), {**members, DECLARATION_ATTRIBUTE: requirement, "dispatch": dispatch}
    )


class DeclaredApp:
    """An ASGI application with a declaration, for `Mount` and `Host`; other attributes are the application's own."""

    def __init__(self, requirement: Requirement, app: Any) -> None:
        self.app = app
        self.__jwt_lp__ = requirement

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Enforce the declaration, unless the guard has decided about a route below; then pass the call on."""
        enforced = scope["type"] != "lifespan" and self.__jwt_lp__.requires_token
        # A route below was decided by its own declaration, which takes precedence over this one.
        if enforced and not context_of(scope).passes_through(self):
            await enforce_declaration(scope, self.__jwt_lp__)
        await self.app(scope, receive, send)

    def __getattr__(self, name: str) -> Any:
        if name == "app":
            raise AttributeError(name)
        return getattr(self.app, name)
