"""What was decided, and why?

The values that cross between the core and an adapter: a `Call` goes in beside the route and its parameters, a
`Decision` comes out, and a `Refusal` in it is ready to be copied into the host's own response.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp.guard.bearer import challenge

if TYPE_CHECKING:
    from jwt_lp.permissions.grants import Grant
    from jwt_lp.permissions.requirements import Requirement
    from jwt_lp.tokens.claims import AccessToken

RETRY_AFTER: Final = 5

_TITLES: Final = MappingProxyType(
    {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 503: "Service Unavailable"}
)
_DESCRIPTIONS: Final = MappingProxyType(
    {
        None: "A bearer access token is needed.",
        "invalid_request": "The request carries more than one credential or a malformed one.",
        "invalid_token": "The access token is expired, revoked, malformed or not for this service.",
        "insufficient_scope": "The access token does not grant what this request requires.",
    }
)
_UNDECIDED: Final = "It cannot be decided right now whether the access token is good; try again."


@dataclass(frozen=True, slots=True)
class Call:
    """The call itself, for what a proof or a check of the peer needs; the core reads it lazily.

    `field` gives every line of a header; `endpoint` is the view's dotted name; `peer` is the socket's address,
    never a forwarded one, and None where the host does not say.
    """

    method: str
    url: Callable[[], str]
    field: Callable[[str], tuple[str, ...]]
    endpoint: str
    peer: str | None = None


@dataclass(frozen=True, slots=True)
class Cause:
    """Why not, in the operator's words. It goes to the log, and to the client only under `EXPLAIN`.

    `code` is a stable slug, `detail` one sentence with the remedy; `fingerprint` is all that is shown of a token.
    `misconfigured` says that the application is at fault, not the caller. `retry_after` is the seconds after which
    asking again may help, None where nobody can tell.
    """

    status: int
    error: str | None
    code: str
    detail: str
    fingerprint: str | None = None
    misconfigured: bool = False
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal: status, RFC 6750 error code (None where none is due), and what goes on the wire.

    `requirement` and `scope` are shown to the client unless the operator turned that off; `cause` is there only
    under `EXPLAIN`. `retry_after` is whole seconds, and on the wire with 503 alone.
    """

    status: int
    error: str | None
    reference: str
    scope: str | None = None
    requirement: str | None = None
    cause: str | None = None
    retry_after: int = RETRY_AFTER

    @property
    def description(self) -> str:
        """One public sentence, the same for every cause of the same error."""
        return _UNDECIDED if self.status == 503 else _DESCRIPTIONS[self.error]  # noqa: PLR2004 - an HTTP status

    @property
    def headers(self) -> Mapping[str, str]:
        """The response's headers, challenge included (RFC 9110, section 11.6.1; RFC 6750, section 3)."""
        headers = {"Content-Type": "application/problem+json", "Cache-Control": "no-store"}
        if self.status == 503:  # noqa: PLR2004 - an HTTP status
            headers["Retry-After"] = str(self.retry_after)
        else:
            description = self.description if self.error else None
            headers["WWW-Authenticate"] = challenge(self.error, description, self.scope)
        return headers

    @property
    def problem(self) -> Mapping[str, object]:
        """The body as an object (RFC 9457)."""
        members = {
            "type": "about:blank",
            "title": _TITLES[self.status],
            "status": self.status,
            "detail": self.description,
            "error": self.error,
            "requirement": self.requirement,
            "cause": self.cause,
            "reference": self.reference,
        }
        return {name: value for name, value in members.items() if value is not None}

    @property
    def body(self) -> bytes:
        """The response's body, UTF-8 JSON of `problem`."""
        return json.dumps(self.problem).encode()


def whole_seconds(retry_after: float | None) -> int:
    """The seconds of a `Retry-After` (RFC 9110, section 10.2.3), and the usual ones where nobody can tell."""
    return RETRY_AFTER if retry_after is None else max(1, math.ceil(retry_after))


class Decision(NamedTuple):
    """What was decided about one request.

    The request passes when `refusal` is None and `pending` is False. `used` holds the grants that served,
    `missing` what was asked for and not held, as written. `observed` is the refusal that observe mode let pass.
    `pending` means that only a key fetch could tell: ask again with `wait=True`, off the event loop.
    """

    token: AccessToken | None = None
    requirement: Requirement | None = None
    used: tuple[Grant, ...] = ()
    missing: tuple[str, ...] = ()
    route: str = ""
    refusal: Refusal | None = None
    observed: Refusal | None = None
    pending: bool = False

    @property
    def headers(self) -> Mapping[str, str]:
        """What has to be on the response: the refusal's headers, and nothing where the request passes."""
        return {} if self.refusal is None else self.refusal.headers

    @property
    def passes(self) -> bool:
        """Whether the request may go on."""
        # INVARIANT: what is pending has not passed.
        return self.refusal is None and not self.pending
