"""Django's own CSRF check, for requests whose access token came from a cookie."""

from __future__ import annotations

from typing import Any, cast

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware


class _CsrfCheck(CsrfViewMiddleware):
    """The check without the response: it returns the reason of a refusal."""

    def _reject(self, request: HttpRequest, reason: str) -> Any:
        return reason


def csrf_fault(request: HttpRequest) -> str:
    """Why Django's CSRF check refuses the request, "" if it passes; `csrf_exempt` of the view does not count.

    REST framework asks in the same way for its sessions: a view that is exempt, because it expects no cookie, gets one.
    """
    check = _CsrfCheck(_no_response)
    check.process_request(request)
    return cast("str | None", check.process_view(request, None, (), {})) or ""  # type: ignore[arg-type]  # as REST framework does


def csrf_header() -> str:
    """The header in which Django's CSRF token is sent."""
    name: str = settings.CSRF_HEADER_NAME
    return name.removeprefix("HTTP_").replace("_", "-").replace("CSRFTOKEN", "CSRFToken")


def csrf_advice() -> str:
    """What a client must send for the check."""
    return f"send Django's CSRF token in the header {csrf_header()} or in the form field csrfmiddlewaretoken"


def _no_response(request: HttpRequest) -> HttpResponse:
    raise NotImplementedError(f"nothing is called for {request.method}")
