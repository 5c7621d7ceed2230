"""Errors of jwt-lp, and the stable code of each.

All of them derive from `JwtLpError`. The `code` of each is stable and for programs; messages are for people and may
change. No message contains a token, a key or a claim's value that a client chose.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import wraps
from types import FrameType
from typing import ClassVar, ParamSpec, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")


class JwtLpError(Exception):
    """The base class of all errors that this library raises deliberately."""

    code: ClassVar[str] = "error"


class GrammarError(JwtLpError, ValueError):
    """A permission, pattern or template violates the grammar."""

    code = "grammar"


class ConfigurationError(JwtLpError):
    """The configuration is wrong: the operator must correct it before this process may serve.

    Raised at start, never because of a request. `faults` holds every fault that was found, one sentence each.
    """

    code = "configuration"

    def __init__(self, *faults: str) -> None:
        self.faults: tuple[str, ...] = faults
        super().__init__("\n".join(faults))


class PolicyError(JwtLpError):
    """The policy forbids the operation; the message names what is forbidden and the remedy.

    `reason` is a stable slug: `scope`, `target` (the audience), `actor`, `claims`, `lifetime`, `size`, `lineage`,
    `revoked`, `undecided`, or `policy` if none of these fits. `OnBehalfOf` adds `token` (the token to be narrowed
    is not valid) and `client` (the token endpoint does not accept our client authentication).
    """

    code = "policy"

    def __init__(self, message: str, *, reason: str = "policy") -> None:
        self.reason = reason
        super().__init__(message)


class StoreError(JwtLpError):
    """The store cannot be opened, does not answer, or does not have what was requested."""

    code = "store"


class ElevationError(JwtLpError):
    """An elevation cannot be requested, decided or ended so; nothing has changed. The message may be shown to the caller."""

    code = "elevation"


class ElevationInvalid(ElevationError, ValueError):
    """A value of the request is wrong: the permission, the reason, the ticket or the number of seconds."""

    code = "elevation_invalid"


class ElevationNotAllowed(ElevationError):
    """The policy does not let this caller ask, decide, end or review.

    `reason` is a stable slug for logs: `rule`, `ask`, `approver`, `own`, `person`, `issuer`, `delegated`, `elevated`,
    `new_approver`, `break_glass` or `unreviewed`.
    """

    code = "elevation_not_allowed"

    def __init__(self, message: str, *, reason: str) -> None:
        self.reason = reason
        super().__init__(message)


class ElevationUnknown(ElevationError):
    """There is no such elevation, or the caller may not know of it."""

    code = "elevation_unknown"


class ElevationClosed(ElevationError):
    """The elevation cannot be changed so any more: it was decided, has ended or lapsed, or is not what was seen."""

    code = "elevation_closed"


class ElevationKeyReused(ElevationError):
    """Another request was made with the same idempotency key."""

    code = "elevation_key_reused"


class ElevationTooMany(ElevationError):
    """The subject has too many open requests, or has made too many in a day."""

    code = "elevation_too_many"


class CampaignError(JwtLpError):
    """A campaign cannot be made, decided about or changed so; nothing has changed. The message may be shown to the caller."""

    code = "campaign"


class CampaignUnknown(CampaignError):
    """There is no such campaign, part or item."""

    code = "campaign_unknown"


class CampaignRefused(CampaignError):
    """Not now, or not by this actor.

    `reason` is a stable slug for logs: `part` (the part is another reviewer's), `own` (one's own access, or a role that
    one holds), `deadline` (it is past), `early` (it is not past, and items are open), `open` (the campaign is not
    closed), `reviewer` (who cannot be one), or `reason` (one is missing); from the store `part`, `undecided`, `twice` and `version`.
    """

    code = "campaign_refused"

    def __init__(self, message: str, *, reason: str) -> None:
        self.reason = reason
        super().__init__(message)


class CampaignClosed(CampaignError):
    """The campaign is closed or cancelled, so nothing in it changes any more."""

    code = "campaign_closed"


class InvalidDecision(CampaignError, ValueError):
    """Decisions are incomplete or impossible; none of them was stored. `faults` names each, one sentence each."""

    code = "invalid_decision"

    def __init__(self, *faults: str) -> None:
        self.faults: tuple[str, ...] = faults
        super().__init__("\n".join(faults))


class TemplateError(JwtLpError):
    """A route's parameters cannot fill a requirement's template.

    `configured` is True if the application is at fault (an unknown name, or a value that is not a str, an int or
    a UUID). It is False if the value came from the client and is not one segment.
    """

    code = "template"

    def __init__(self, message: str, *, configured: bool = False) -> None:
        self.configured = configured
        super().__init__(message)


class InvalidToken(JwtLpError):
    """The token is not accepted by this service (RFC 6750, section 3.1).

    `cause` is a stable slug (`expired`, `signature`, …) for logs and metrics; `detail` explains it to
    the operator. Clients get one public message for all causes.
    """

    code = "invalid_token"

    def __init__(self, cause: str, detail: str) -> None:
        self.cause = cause
        self.detail = detail
        super().__init__(cause, detail)

    def __str__(self) -> str:
        return f"{self.cause}: {self.detail}"


class KeysUnavailable(JwtLpError):
    """No key set is available, so the token cannot be judged: the answer is 503, never 401.

    `retry_after` is the number of seconds after which a retry may succeed; None if that is not known.
    """

    code = "keys_unavailable"

    def __init__(self, message: str = "", *, retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class IntrospectionUnavailable(KeysUnavailable):
    """The introspection endpoint gives no usable answer, so the opaque token cannot be judged: 503, never 401."""

    code = "introspection_unavailable"


class KeysPending(JwtLpError):
    """The answer needs a fetch of keys or an introspection, and the caller does not wait. Internal."""

    code = "keys_pending"


def clear_locals(error: BaseException) -> None:
    """Clear the local variables of all ended frames in the tracebacks of `error`, its causes, contexts and members.

    Error trackers and debug pages show the local variables of each frame, and these may contain a token or a secret.
    The lines of the traceback stay; a context that `from None` suppressed is removed. Call this in the handler that
    caught `error`, delete the sensitive variables of the handler's own frame there, and raise again.
    """
    handler = error.__traceback__.tb_frame if error.__traceback__ is not None else None
    pending: list[BaseException | None] = [error]
    seen: set[int] = set()
    while pending:
        current = pending.pop()
        if current is None or id(current) in seen or (current is not error and _caught_by_caller(current, handler)):
            continue
        seen.add(id(current))
        if current.__suppress_context__:
            current.__context__ = None
        traceback.clear_frames(current.__traceback__)
        pending += [current.__cause__, current.__context__, *_members(current)]


def _members(error: BaseException) -> tuple[BaseException, ...]:
    """The errors in an exception group; none for any other error."""
    if not isinstance(error, BaseExceptionGroup):
        return ()
    return cast("BaseExceptionGroup[BaseException]", error).exceptions


def _caught_by_caller(error: BaseException, handler: FrameType | None) -> bool:
    """Whether a caller of the handler caught this error. Its frames may still be in use, so they are not cleared."""
    catcher = None if error.__traceback__ is None else error.__traceback__.tb_frame
    while catcher is not None and handler is not None:
        handler = handler.f_back
        if handler is catcher:
            return True
    return False


def clears_locals(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function that receives a token or a secret: tracebacks of its errors show no arguments."""

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            clear_locals(error)
            # INVARIANT: this frame stays in the traceback, and it holds the arguments too.
            del args, kwargs
            raise

    return wrapper
