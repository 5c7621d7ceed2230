"""Refusals by the endpoints of elevation, and their problem bodies (RFC 9457)."""

from __future__ import annotations

import json
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from jwt_lp.errors import JwtLpError
from jwt_lp.guard.decisions import whole_seconds
from jwt_lp.oauth.token_endpoint import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping

_UNDECIDED: Final = "It cannot be decided right now; try again."
_WITH_RETRY_AFTER: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_STATUSES: Final[Mapping[str, HTTPStatus]] = MappingProxyType(
    {
        "elevation_invalid": HTTPStatus.BAD_REQUEST,
        "elevation_not_allowed": HTTPStatus.FORBIDDEN,
        "elevation_unknown": HTTPStatus.NOT_FOUND,
        "elevation_closed": HTTPStatus.CONFLICT,
        "elevation_key_reused": HTTPStatus.UNPROCESSABLE_ENTITY,
        "elevation_too_many": HTTPStatus.TOO_MANY_REQUESTS,
    }
)
"""The status of each error of the domain, by its code."""


class RequestRefused(JwtLpError):
    """A request to an endpoint that changes nothing.

    `status` is that of the answer, `error` a stable code, and `description` a public sentence. `detail` is for the
    operator: it is logged. `retry_after` is in seconds.
    """

    code = "elevation_refused"

    def __init__(
        self,
        status: HTTPStatus,
        error: str,
        description: str,
        detail: str = "",
        *,
        retry_after: float | None = None,
    ) -> None:
        self.status = status
        self.error = error
        self.description = description
        self.detail: str = detail or description
        self.retry_after = retry_after
        super().__init__(int(status), error)

    def __str__(self) -> str:
        return f"{self.error}: {self.detail}"

    def answer(self, reference: str) -> Answer:
        """The response to send; `reference` finds this refusal in the log."""
        headers = {"Content-Type": "application/problem+json", "Cache-Control": "no-store"}
        if self.status in _WITH_RETRY_AFTER:
            headers["Retry-After"] = str(whole_seconds(self.retry_after))
        problem = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": int(self.status),
            "detail": self.description,
            "error": self.error,
            "reference": reference,
        }
        return Answer(int(self.status), headers, json.dumps(problem).encode())


def bad_request(description: str, error: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> RequestRefused:
    """The refusal of a malformed request; its description is public."""
    return RequestRefused(status, error, description)


def unknown_elevation() -> RequestRefused:
    """The refusal of an id that the caller may not see, or that nothing has."""
    return RequestRefused(_STATUSES["elevation_unknown"], "elevation_unknown", "There is no such elevation here.")


def refusal_of(error: JwtLpError) -> RequestRefused:
    """The refusal that an error of the domain or of the store becomes."""
    status = _STATUSES.get(error.code)
    if status is None:
        # INVARIANT: what the store says may name hosts and databases, so no client is told.
        return RequestRefused(
            HTTPStatus.SERVICE_UNAVAILABLE, "temporarily_unavailable", _UNDECIDED, f"{error.code}: {error}"
        )
    if status is HTTPStatus.NOT_FOUND:
        return unknown_elevation()
    return RequestRefused(status, error.code, str(error))
