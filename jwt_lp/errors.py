"""Errors of jwt-lp, and the stable code of each.

A short ladder under `JwtLpError`. Every error has a stable machine `code`; messages are for people and
may change. No message holds a token, a key or a claim's value that a client chose.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import wraps
from types import FrameType
from typing import ClassVar, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class JwtLpError(Exception):
    """Anything this library raises on purpose."""

    code: ClassVar[str] = "error"


class GrammarError(JwtLpError, ValueError):
    """A permission, pattern or template is not written as the grammar wants it."""

    code = "grammar"


class ConfigurationError(JwtLpError):
    """The operator has to change something before this process may serve.

    Raised at start, never for what a client sent. `faults` holds every fault found, one sentence each.
    """

    code = "configuration"

    def __init__(self, *faults: str) -> None:
        self.faults: tuple[str, ...] = faults
        super().__init__("\n".join(faults))


class PolicyError(JwtLpError):
    """The policy does not allow what was asked of it; the message names the culprits and the remedy.

    `reason` is a stable slug: `scope`, `target` (the audience), `actor`, `claims`, `lifetime`, `size`, `lineage`,
    `revoked`, `undecided`, and `policy` where none of them says it. `OnBehalfOf` adds `token` (the one to be narrowed
    is no good) and `client` (the endpoint does not take ours for who it is).
    """

    code = "policy"

    def __init__(self, message: str, *, reason: str = "policy") -> None:
        self.reason = reason
        super().__init__(message)


class StoreError(JwtLpError):
    """The store cannot be had, does not answer, or was asked for what it does not have."""

    code = "store"


class TemplateError(JwtLpError):
    """A route's parameters cannot fill a requirement's template.

    `configured` is True when the application is at fault (an unknown name, a value that is neither str,
    int nor UUID) and False when the value came from the client and is not one segment.
    """

    code = "template"

    def __init__(self, message: str, *, configured: bool = False) -> None:
        self.configured = configured
        super().__init__(message)


class InvalidToken(JwtLpError):
    """The token is not one that this service accepts (RFC 6750, section 3.1).

    `cause` is a stable slug (`expired`, `signature`, …) for logs and metrics; `detail` is the operator's
    explanation. Clients get one public message for all causes.
    """

    code = "invalid_token"

    def __init__(self, cause: str, detail: str) -> None:
        self.cause = cause
        self.detail = detail
        super().__init__(cause, detail)

    def __str__(self) -> str:
        return f"{self.cause}: {self.detail}"


class KeysUnavailable(JwtLpError):
    """No key set could be had, so nothing can be said about the token: the answer is 503, never 401.

    `retry_after` says in how many seconds asking again may help; None where nobody can tell.
    """

    code = "keys_unavailable"

    def __init__(self, message: str = "", *, retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class KeysPending(JwtLpError):
    """Only a fetch could tell, and the caller asked not to wait. Internal."""

    code = "keys_pending"


def clear_locals(error: BaseException) -> None:
    """Clear the local variables of every frame that `error`, and what it came from, has left behind.

    Error trackers and debug pages show the locals of each frame of a traceback, and there may be a token or a secret
    among them. The lines of the traceback stay; a context that `from None` suppressed goes. Call it in the handler
    that caught `error`, delete there what the handler's own frame holds, and raise again.
    """
    handler = error.__traceback__.tb_frame if error.__traceback__ is not None else None
    left: list[BaseException | None] = [error]
    seen: set[int] = set()
    while left:
        each = left.pop()
        if each is None or id(each) in seen or (each is not error and _is_callers(each, handler)):
            continue
        seen.add(id(each))
        if each.__suppress_context__:
            each.__context__ = None
        traceback.clear_frames(each.__traceback__)
        left += [each.__cause__, each.__context__]


def _is_callers(error: BaseException, handler: FrameType | None) -> bool:
    """Whether a caller of the handler is handling it: its frames, which may be suspended only, are none of ours."""
    caught = None if error.__traceback__ is None else error.__traceback__.tb_frame
    while caught is not None and handler is not None:
        handler = handler.f_back
        if handler is caught:
            return True
    return False


def clears_locals(function: Callable[P, T]) -> Callable[P, T]:
    """Have what `function` raises show none of its arguments: for one that is given a token or a secret."""

    @wraps(function)
    def cleared(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            clear_locals(error)
            # INVARIANT: this frame stays in the traceback, and held them too.
            del args, kwargs
            raise

    return cleared
