"""Whether the session of Django's own login stands in for a token."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware


def _answer(_: HttpRequest) -> HttpResponse:
    """A view that is not exempt; it is never called."""
    return HttpResponse()


class _CsrfCheck(CsrfViewMiddleware):
    def _reject(self, request: HttpRequest, reason: str) -> Any:
        """The reason instead of a response, as REST framework has it."""
        return reason


def session_fault(request: HttpRequest) -> str | None:
    """Why the session does not let the request pass; None if its user is signed in and active and CSRF is in order.

    CSRF is checked here for every view, because REST framework's views, and others, are exempt from the middleware.
    """
    user: Any = getattr(request, "user", None)
    if user is None:
        return "AuthenticationMiddleware is not in MIDDLEWARE"
    if not user.is_authenticated:
        return "nobody is signed in"
    if not user.is_active:
        return "the user is not active"
    check = _CsrfCheck(_answer)
    check.process_request(request)
    reason: Any = check.process_view(request, _answer, (), {})
    return None if reason is None else f"CSRF: {reason}"
