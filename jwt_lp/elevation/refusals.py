"""Refusals by the endpoints of elevation, and their problem bodies (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from jwt_lp.errors import JwtLpError
from jwt_lp.oauth.problem_answers import problem_answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jwt_lp.oauth.token_endpoint import Answer

_UNDECIDED: Final = "It cannot be decided right now; try again."
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
        return problem_answer(self.status, self.error, self.description, reference, retry_after=self.retry_after)


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
