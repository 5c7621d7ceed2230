"""The application's own user for an access token."""

from __future__ import annotations

from typing import Any, Final

from anyio import to_thread
from starlette.requests import HTTPConnection

from jwt_lp import AccessToken, ConfigurationError
from jwt_lp_starlette.request_context import context_of

_KEY: Final = "jwt_lp_local_user"


async def local_user(request: HTTPConnection) -> Any:
    """The user that `LOCAL_USER` finds for the request's token; None without a token, and for an application's own.

    A plain function runs in a worker thread. It is asked once for a request. If it returns None, or a user whose
    `is_active` is false, the request ends with 401, finally; in observe mode, and on a public route, None is returned. In FastAPI it is a
    dependency too: `Depends(local_user)`. `ConfigurationError` if `LOCAL_USER` is not set.
    """
    scope = request.scope
    context = context_of(scope)
    users = context.guard.local_users
    if users is None:
        raise ConfigurationError("there is no LOCAL_USER in JWT_LP: set it to a function of the token")
    token = context.token
    if token is None or token.app:
        return None
    # With its token, because a mounted application may have decided about another one.
    known: tuple[AccessToken, Any] | None = scope.get(_KEY)
    if known is not None and known[0] is token:
        return known[1]
    user = users.recall(token)
    if user is None:
        found = await users.find(token) if users.is_async else await to_thread.run_sync(users.find, token)
        user = users.keep(token, found)
    requirement = None if context.decision is None else context.decision.requirement
    decision = context.require_pass(scope, context.guard.admit_user(token, user, requirement, context.label))
    user = user if decision.token is not None else None
    scope[_KEY] = (token, user)
    return user
