"""Refusals of sign-in, refresh and sign-out, and their problem bodies (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from jwt_lp.errors import JwtLpError
from jwt_lp.oauth.problem_answers import problem_answer

if TYPE_CHECKING:
    from jwt_lp.oauth.token_endpoint import Answer

WRONG_CREDENTIALS: Final = "The username or the password is wrong."
BAD_REFRESH_TOKEN: Final = (
    "The refresh token is expired, revoked, used before, malformed or not from here: sign in again."
)
NOT_ALLOWED: Final = "This account may not sign in."
UNDECIDED: Final = "It cannot be decided right now; try again."
TOO_MANY: Final = "There were too many failed attempts; try again later."
MISCONFIGURED: Final = "Sign-in is misconfigured here."


# The error code of each status where there is only one (RFC 6749, section 5.2; `slow_down` is from RFC 8628).
_ERRORS: Final[Mapping[int, str]] = MappingProxyType(
    {
        HTTPStatus.UNAUTHORIZED: "invalid_grant",
        HTTPStatus.TOO_MANY_REQUESTS: "slow_down",
        HTTPStatus.SERVICE_UNAVAILABLE: "temporarily_unavailable",
        HTTPStatus.INTERNAL_SERVER_ERROR: "server_error",
    }
)


class SignInRefused(JwtLpError):
    """Nobody was signed in, or a refresh token was not accepted.

    `status` is that of the answer and `description` its public sentence. `cause` is a stable slug and `detail` an
    explanation for the operator; neither holds a token, a password or a name. `retry_after` is in seconds. `subject` is
    set where the request proved it.
    """

    code = "sign_in_refused"

    def __init__(
        self,
        status: HTTPStatus,
        description: str,
        cause: str,
        detail: str = "",
        *,
        retry_after: float | None = None,
        subject: str = "",
    ) -> None:
        self.status = status
        self.description = description
        self.cause = cause
        self.detail: str = detail or description
        self.retry_after = retry_after
        self.subject = subject
        super().__init__(int(status), cause)

    def __str__(self) -> str:
        return f"{self.cause}: {self.detail}"

    @property
    def error(self) -> str:
        """The error code: `invalid_request` for a malformed request, `invalid_grant` for a refused one."""
        return _ERRORS.get(self.status, "invalid_request")

    def answer(self, reference: str) -> Answer:
        """The response to send; `reference` finds this refusal in the log."""
        return problem_answer(self.status, self.error, self.description, reference, retry_after=self.retry_after)


def bad_request(description: str, cause: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> SignInRefused:
    """The refusal of a malformed request; its description is public."""
    return SignInRefused(status, description, cause)


def refresh_refused(cause: str, detail: str, subject: str = "") -> SignInRefused:
    """The refusal of a refresh token; the client gets one public sentence for every cause."""
    return SignInRefused(HTTPStatus.UNAUTHORIZED, BAD_REFRESH_TOKEN, cause, detail, subject=subject)


def undecided(cause: str, detail: str, retry_after: float | None = None) -> SignInRefused:
    """The refusal when nothing could be decided."""
    return SignInRefused(HTTPStatus.SERVICE_UNAVAILABLE, UNDECIDED, cause, detail, retry_after=retry_after)
