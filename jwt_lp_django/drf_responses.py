"""Refusals and 405 responses inside REST framework. Import it only where REST framework is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from django.http import HttpRequest, HttpResponse
from rest_framework.exceptions import APIException, MethodNotAllowed, PermissionDenied

from jwt_lp import Refusal

_FORBIDDEN = 403


class APIRefused(APIException):
    """A refusal as REST framework's exception: `detail` is the problem (RFC 9457), `auth_header` the challenge."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
        self.status_code = refusal.status
        self.detail = cast(Any, dict(refusal.problem))
        self.default_code = refusal.error or "not_authenticated"
        self.auth_header = refusal.headers.get("WWW-Authenticate")
        self.wait = refusal.headers.get("Retry-After") and int(refusal.headers["Retry-After"])

    def get_codes(self) -> Any:
        """The error's one code."""
        return self.default_code

    def get_full_details(self) -> Any:
        """The public sentence and the code."""
        return {"message": self.refusal.description, "code": self.default_code}


class _APIForbidden(APIRefused, PermissionDenied):
    """A 403, which exception handlers of the project treat as REST framework's own `PermissionDenied`."""


def refusal_error(refusal: Refusal) -> APIRefused:
    """The exception that ends a request with `refusal`."""
    # There is no such class for 401: REST framework turns its own 401 into 403 if the first authenticator has no
    # challenge.
    return _APIForbidden(refusal) if refusal.status == _FORBIDDEN else APIRefused(refusal)


def render_refusal(
    callback: Any, request: HttpRequest, args: Sequence[Any], kwargs: Mapping[str, Any], refusal: Refusal
) -> HttpResponse:
    """The refusal as the view's exception handler and renderers write it; no other code of the view runs."""
    response = _error_response(callback, request, args, kwargs, refusal_error(refusal))
    for name, value in refusal.headers.items():
        if name != "Content-Type":
            response.headers.setdefault(name, value)
    if getattr(response, "data", None) == refusal.problem and _renders_json(response):
        cast(Any, response).content_type = refusal.headers["Content-Type"]
    return response


def _renders_json(response: HttpResponse) -> bool:
    return getattr(getattr(response, "accepted_renderer", None), "format", None) == "json"


def method_not_allowed(
    callback: Any, request: HttpRequest, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> HttpResponse:
    """REST framework's 405, without calling the view."""
    return _error_response(callback, request, args, kwargs, MethodNotAllowed(request.method or ""))


def _error_response(
    callback: Any, request: HttpRequest, args: Sequence[Any], kwargs: Mapping[str, Any], error: APIException
) -> HttpResponse:
    view = callback.cls(**callback.initkwargs)
    actions = dict(getattr(callback, "actions", None) or {})
    if actions:
        view.action_map = actions
    # Only what `dispatch` itself does before it calls code of the view.
    for method, action in actions.items():
        setattr(view, method, getattr(view, action))
    view.args, view.kwargs, view.request = args, kwargs, request
    view.request = view.initialize_request(request, *args, **kwargs)
    view.format_kwarg = view.get_format_suffix(**kwargs)
    view.headers = view.default_response_headers
    # INVARIANT: the browsable API builds no form for a method that the view does not have, and calls no serializer
    # and no authenticator of the view.
    view.http_method_names, view.request.authenticators = (), ()
    response = view.handle_exception(error)
    return cast(HttpResponse, view.finalize_response(view.request, response, *args, **kwargs))
