"""The values that pass between the core and an adapter: calls, decisions and refusals.

A `Call` goes in with the route and its parameters, and a `Decision` comes out. Its `Refusal` is ready to be copied into
the host's own response.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn, Protocol, Self, cast

from jwt_lp.guard.bearer import DPOP, challenge

if TYPE_CHECKING:
    from jwt_lp.permissions.grants import Grant
    from jwt_lp.permissions.requirements import Requirement
    from jwt_lp.tokens.claims import AccessToken

RETRY_AFTER: Final = 5

WEBSOCKET: Final = "WEBSOCKET"
"""The method of a `Call` that opens a websocket."""

_TITLES: Final = MappingProxyType(
    {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 503: "Service Unavailable"}
)
_DESCRIPTIONS: Final = MappingProxyType(
    {
        None: "A bearer access token is needed.",
        "invalid_request": "The request carries more than one credential or a malformed one.",
        "invalid_token": "The access token is expired, revoked, malformed or not for this service.",
        "insufficient_scope": "The access token does not grant what this request requires.",
        "invalid_dpop_proof": "The DPoP proof is missing, malformed, used before or not for this request.",
    }
)
# Codes of ours; all others are those of RFC 6750 and RFC 9449, which alone belong in a challenge.
_OWN_ERRORS: Final = frozenset({"csrf"})
INVALID_PROOF: Final = "invalid_dpop_proof"
_to_json: Final = json.JSONEncoder().encode
_UNDECIDED: Final = "It cannot be decided right now whether the access token is good; try again."


class HostCsrf(NamedTuple):
    """A host's own CSRF check, for a request whose token came from a cookie.

    `fault` returns the reason of a refusal, "" if the request passes, and None if it would block and its argument
    `wait` is False. `advice` is one public sentence that says what a client must send.
    """

    fault: Callable[[bool], str | None]
    advice: str


class RequestMemo(Protocol):
    """What the guard notes about one request: the digest of the proof that was accepted for it (RFC 9449), if any."""

    proof: bytes | None


class Call(NamedTuple):
    """The HTTP call, for checks that need more than the token; the core reads it only when it needs it.

    `method` is `WEBSOCKET` for the handshake of a websocket. `url` returns the whole address as a client writes it:
    percent-encoded once. `field` returns every line of a header. `endpoint` is the
    view's dotted name. `peer` is the address of the socket, never a forwarded one, or None if the host does not know it.
    `path` is the decoded path that the client sent, or "" if the host does not know it. `csrf` is the host's own CSRF
    check, if it has one. `session` says why the host's session does not let the request pass, None if it does; it is
    there only for a requirement that a session may replace. `memo` is the same object for all calls of one request;
    without it a DPoP proof counts as used after one call.
    """

    method: str
    url: Callable[[], str]
    field: Callable[[str], tuple[str, ...]]
    endpoint: str
    peer: str | None = None
    path: str = ""
    csrf: HostCsrf | None = None
    session: Callable[[], str | None] | None = None
    memo: RequestMemo | None = None


class ElevationOffer(NamedTuple):
    """What the caller of a refused request may ask for, and where: permissions that it lacks, each to be asked for."""

    permissions: tuple[str, ...]
    request_at: str

    @property
    def member(self) -> Mapping[str, object]:
        """The member `elevation` of a refusal's body."""
        return {"permissions": list(self.permissions), "request_at": self.request_at}


class Cause(NamedTuple):
    """The cause of a refusal, for the operator: it is logged, and shown to the client only under `EXPLAIN`.

    `code` is a stable slug and `detail` one sentence with the remedy. Only the `fingerprint` of a token is shown.
    `misconfigured` is True if the application is at fault, not the caller. `retry_after` is the number of seconds
    after which a retry may succeed, or None if that is unknown. `advice` is a public sentence: what to send instead.
    `elevation` is sent too: what this caller may ask for.
    """

    status: int
    error: str | None
    code: str
    detail: str
    fingerprint: str | None = None
    misconfigured: bool = False
    retry_after: float | None = None
    advice: str | None = None
    elevation: ElevationOffer | None = None


class Refusal(NamedTuple):
    """A refusal: status, error code (of RFC 6750 or 9449, `csrf`, or None), and everything that is sent to the client.

    `reference` is that of the line in the log, "" if the log's level leaves that line out, and then it is not sent.
    `requirement` and `scope` are sent unless `SHOW_REQUIREMENT` is off, `cause` only under `EXPLAIN`. `retry_after` is
    in whole seconds and is sent only with 503. `resource_metadata` is the address of the metadata (RFC 9728) or None.
    `advice` says what to send instead; most errors have none. `code` is the code of the cause, for the operator: it is
    never sent. `schemes` are those that the guard accepts, `Bearer` and `DPoP`. `elevation` is what the caller may ask for.
    """

    status: int
    error: str | None
    reference: str
    scope: str | None = None
    requirement: str | None = None
    cause: str | None = None
    retry_after: int = RETRY_AFTER
    resource_metadata: str | None = None
    advice: str | None = None
    code: str = ""
    schemes: tuple[str, ...] = ("Bearer",)
    elevation: ElevationOffer | None = None

    @property
    def description(self) -> str:
        """One public sentence, the same for every cause of the same error."""
        if self.advice is not None:
            return self.advice
        return _UNDECIDED if self.status == 503 else _DESCRIPTIONS[self.error]  # noqa: PLR2004 - an HTTP status

    @property
    def headers(self) -> Mapping[str, str]:
        """The response's headers, challenge included (RFC 9110, section 11.6.1; RFC 6750, section 3)."""
        headers = {"Content-Type": "application/problem+json", "Cache-Control": "no-store"}
        if self.status == 503:  # noqa: PLR2004 - an HTTP status
            headers["Retry-After"] = str(self.retry_after)
        else:
            error = None if self.error in _OWN_ERRORS else self.error
            description = self.description if error else None
            schemes = (DPOP,) if error == INVALID_PROOF else self.schemes
            request_at = None if self.elevation is None else self.elevation.request_at
            headers["WWW-Authenticate"] = ", ".join(
                [
                    challenge(error, description, self.scope, self.resource_metadata, scheme, request_at)
                    for scheme in schemes
                ]
            )
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
            "elevation": None if self.elevation is None else self.elevation.member,
            "reference": self.reference or None,
        }
        return {name: value for name, value in members.items() if value is not None}

    @property
    def body(self) -> bytes:
        """The response's body, UTF-8 JSON of `problem`."""
        return _to_json(self.problem).encode()


def whole_seconds(retry_after: float | None) -> int:
    """The seconds for `Retry-After` (RFC 9110, section 10.2.3); `RETRY_AFTER` if no number is known."""
    return RETRY_AFTER if retry_after is None else max(1, math.ceil(retry_after))


class _DecisionFields:
    """The fields of a decision, and the only place where they are set."""

    __slots__ = ("missing", "observed", "passes", "pending", "refusal", "requirement", "route", "token", "used")

    token: AccessToken | None
    requirement: Requirement | None
    used: tuple[Grant, ...]
    missing: tuple[str, ...]
    route: str
    refusal: Refusal | None
    observed: Refusal | None
    pending: bool
    passes: bool


class Decision(_DecisionFields):
    """The decision about one request. It is immutable, because requests with the same token share it.

    The request passes if `passes` is True: if `refusal` is None and `pending` is False. `used` holds the grants that
    satisfied the requirement, `missing` the permissions that are required and not held, as the declaration writes
    them. `observed` is the refusal that observe mode let pass. `pending` means that only a key fetch could tell: ask
    again with `wait=True`, off the event loop.
    """

    __slots__ = ()

    def __new__(
        cls,
        token: AccessToken | None = None,
        requirement: Requirement | None = None,
        used: tuple[Grant, ...] = (),
        missing: tuple[str, ...] = (),
        route: str = "",
        refusal: Refusal | None = None,
        observed: Refusal | None = None,
        pending: bool = False,  # noqa: FBT001, FBT002 - a field like the others
    ) -> Self:
        """Set the fields, and freeze them by the class: a frozen dataclass takes three times as long."""
        decision = object.__new__(_DecisionFields)
        decision.token = token
        decision.requirement = requirement
        decision.used = used
        decision.missing = missing
        decision.route = route
        decision.refusal = refusal
        decision.observed = observed
        decision.pending = pending
        # INVARIANT: a pending decision lets nothing pass.
        decision.passes = refusal is None and not pending
        decision.__class__ = cls
        return cast("Self", decision)

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers that the response must carry: those of the refusal, or none."""
        return {} if self.refusal is None else self.refusal.headers

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a decision cannot be changed: {name}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a decision cannot be changed: {name}")

    def _fields(self) -> tuple[object, ...]:
        return (
            self.token,
            self.requirement,
            self.used,
            self.missing,
            self.route,
            self.refusal,
            self.observed,
            self.pending,
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Decision) and self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash(self._fields())

    def __repr__(self) -> str:
        outcome = "pending" if self.pending else "passes" if self.refusal is None else f"refused, {self.refusal.status}"
        return f"<Decision on {self.requirement} for {self.route or 'no route'}: {outcome}>"
