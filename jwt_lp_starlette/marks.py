"""What is declared for this endpoint, and how does it get there?

A verb puts its mark on a new wrapper, never on the function, class or application itself, and the wrapper asks
the hearing too, so that a route reached past the guard's table still fails closed.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypeGuard, TypeVar, cast, overload

from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.requests import HTTPConnection

from jwt_lp import AUTHENTICATED, IDENTIFIED, PUBLIC, ConfigurationError, Requirement, all_of
from jwt_lp import external as external_mark
from jwt_lp_starlette.request_context import Scope, context_of, enforce_mark, enforce_mark_sync

T = TypeVar("T")
Where: TypeAlias = Mapping[str, str | Sequence[str] | Mapping[str, str | Sequence[str]]]

MARK_ATTRIBUTE: Final = "__jwt_lp__"
_CONNECTION_PARAMETER: Final = "jwt_lp_connection"


def requires(
    *permissions: Requirement | str, where: Where | None = None, unbound: Iterable[str] = (), enforce: bool = False
) -> Callable[[T], T]:
    """Declare what an endpoint asks for, all of it: a function, a method, an endpoint class or an ASGI application.

    `where`, `unbound` and `enforce` are those of `jwt_lp.all_of`. `ConfigurationError` for what can never be
    granted, and for a second, different mark on the same endpoint.
    """
    return functools.partial(_mark, all_of(*permissions, where=where, unbound=unbound, enforce=enforce))


@overload
def authenticated(endpoint: T, /) -> T: ...
@overload
def authenticated(
    *, where: Where | None = None, unbound: Iterable[str] = (), enforce: bool = False
) -> Callable[[T], T]: ...
def authenticated(
    endpoint: object = None, /, *, where: Where | None = None, unbound: Iterable[str] = (), enforce: bool = False
) -> object:
    """Declare that any valid token will do."""
    mark = requires(AUTHENTICATED, where=where, unbound=unbound, enforce=enforce)
    return mark if endpoint is None else mark(endpoint)


@overload
def public(endpoint: T, /) -> T: ...
@overload
def public(*, identify: bool = False) -> Callable[[T], T]: ...
def public(endpoint: object = None, /, *, identify: bool = False) -> object:
    """Declare an endpoint open. With `identify`, a good token is hung on the request and any other is ignored."""
    requirement = IDENTIFIED if identify else PUBLIC
    return functools.partial(_mark, requirement) if endpoint is None else _mark(requirement, endpoint)


def external(reason: str) -> Callable[[T], T]:
    """Declare that somebody else guards the endpoint; `reason` says who, and is listed."""
    return functools.partial(_mark, external_mark(reason))


def mark_of(endpoint: object) -> Requirement | None:
    """The requirement that a verb put on `endpoint` itself."""
    # INVARIANT: a class does not inherit a mark: what a subclass adds would be open by its parent's `public`.
    found = vars(endpoint).get(MARK_ATTRIBUTE) if inspect.isclass(endpoint) else getattr(endpoint, MARK_ATTRIBUTE, None)
    return found if isinstance(found, Requirement) else None


def is_http_endpoint(endpoint: object) -> TypeGuard[type[HTTPEndpoint]]:
    """Whether the endpoint is a class that answers by methods as Starlette's own does."""
    return (
        inspect.isclass(endpoint)
        and issubclass(endpoint, HTTPEndpoint)
        and inspect.unwrap(endpoint.dispatch) is HTTPEndpoint.dispatch
    )


def method_handler(endpoint: type, method: str) -> object:
    """What of an endpoint class answers `method`: a function of it, None where 405 is the answer, or all of it."""
    if not is_http_endpoint(endpoint):
        return endpoint
    found = getattr(endpoint, method.lower(), None)
    return getattr(endpoint, "get", None) if found is None and method == "HEAD" else found


def ruled(endpoint: type, method: str) -> object:
    """Whose mark counts before the class's for `method`: the function's that answers, and for HEAD that of `get`.

    So HEAD has the rule of GET where a `head` beside `get` answers too; a mark on that `head` asks when it is called.
    """
    found = getattr(endpoint, "get", None) if method == "HEAD" and is_http_endpoint(endpoint) else None
    return method_handler(endpoint, method) if found is None else found


def _mark(requirement: Requirement, endpoint: T) -> T:
    there = mark_of(endpoint)
    if there is not None and there != requirement:
        raise ConfigurationError(
            f"{dotted_name(endpoint)} has two marks, {there} and {requirement}: write one, with all_of(...) or any_of(...)"
        )
    if inspect.isclass(endpoint) and issubclass(endpoint, HTTPEndpoint | WebSocketEndpoint):
        return cast(T, _marked_class(requirement, endpoint))
    if inspect.isroutine(endpoint) or isinstance(endpoint, functools.partial):
        return cast(T, _marked_function(requirement, cast(Callable[..., Any], endpoint)))
    return cast(T, MarkedApp(requirement, endpoint))


def dotted_name(endpoint: object) -> str:
    """The endpoint's dotted name, which usage is kept under."""
    found: Any = endpoint
    while isinstance(found, functools.partial):
        found = found.func  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    found = inspect.unwrap(found) if callable(found) else found
    titled = found if hasattr(found, "__qualname__") else cast(Any, type(found))
    return f"{titled.__module__}.{titled.__qualname__}"


def _marked_function(requirement: Requirement, view: Callable[..., Any]) -> Callable[..., Any]:
    signature, injected = _signature(view)

    @functools.wraps(view)
    async def asynchronous(*args: Any, **kwargs: Any) -> Any:
        scope = _scope(args, kwargs, injected=injected)
        if requirement.requires_token:
            await enforce_mark(scope, requirement)
        return await view(*args, **kwargs)

    @functools.wraps(view)
    def synchronous(*args: Any, **kwargs: Any) -> Any:
        scope = _scope(args, kwargs, injected=injected)
        if requirement.requires_token:
            enforce_mark_sync(scope, requirement)
        return view(*args, **kwargs)

    wrapper: Any = asynchronous if inspect.iscoroutinefunction(view) else synchronous
    setattr(wrapper, MARK_ATTRIBUTE, requirement)
    wrapper.__signature__ = signature
    return cast(Callable[..., Any], wrapper)


def _signature(view: Callable[..., Any]) -> tuple[inspect.Signature, bool]:
    """The view's signature with a parameter by which FastAPI hands over the connection, if it has none.

    Annotations are evaluated here: older FastAPI reads a wrapper's in the wrapper's own module.
    """
    try:
        signature = inspect.signature(view, eval_str=True)
    except Exception:  # noqa: BLE001 - evaluating may raise anything; newer FastAPI copes with names it cannot have
        signature = inspect.signature(view)
    parameters = list(signature.parameters.values())
    if any(inspect.isclass(each.annotation) and issubclass(each.annotation, HTTPConnection) for each in parameters):
        return signature, False
    ours = inspect.Parameter(_CONNECTION_PARAMETER, inspect.Parameter.KEYWORD_ONLY, annotation=HTTPConnection)
    variable = [each for each in parameters if each.kind is inspect.Parameter.VAR_KEYWORD]
    fixed = [each for each in parameters if each.kind is not inspect.Parameter.VAR_KEYWORD]
    return signature.replace(parameters=[*fixed, ours, *variable]), True


def _scope(args: tuple[Any, ...], kwargs: dict[str, Any], *, injected: bool) -> Scope:
    """The scope of the request that a view is called with; empty where there is none to be found."""
    ours = kwargs.pop(_CONNECTION_PARAMETER, None) if injected else None
    if args and isinstance(args[0], dict):
        return cast(Scope, args[0])
    for each in (ours, *args, *kwargs.values()):
        if isinstance(each, HTTPConnection):
            return each.scope
    return {}


def _marked_class(requirement: Requirement, endpoint: type) -> type:
    inner = cast(Callable[[Any], Awaitable[None]], endpoint.dispatch)  # type: ignore[attr-defined]

    @functools.wraps(inner)
    async def dispatch(self: Any) -> None:
        method = self.scope.get("method", "")
        answered = method_handler(endpoint, method) is not None
        if requirement.requires_token and answered and mark_of(ruled(endpoint, method)) is None:
            await enforce_mark(self.scope, requirement)
        await inner(self)

    members = {name: getattr(endpoint, name) for name in ("__module__", "__qualname__", "__doc__")}
    return type(endpoint)(
        endpoint.__name__, (endpoint,), {**members, MARK_ATTRIBUTE: requirement, "dispatch": dispatch}
    )


class MarkedApp:
    """An ASGI application with a mark, for `Mount` and `Host`; everything else is the application's own."""

    def __init__(self, requirement: Requirement, app: Any) -> None:
        self.app = app
        self.__jwt_lp__ = requirement

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Ask the hearing, unless the guard has judged a route below; then pass the call on."""
        asks = scope["type"] != "lifespan" and self.__jwt_lp__.requires_token
        # What the guard judged below is judged by its own mark, which beats this one.
        if asks and not context_of(scope).passes_through(self):
            await enforce_mark(scope, self.__jwt_lp__)
        await self.app(scope, receive, send)

    def __getattr__(self, name: str) -> Any:
        if name == "app":
            raise AttributeError(name)
        return getattr(self.app, name)
