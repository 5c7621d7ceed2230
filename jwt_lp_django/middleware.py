"""The middleware: it decides on every request before a view runs, and withholds undecided responses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple, cast

from asgiref.sync import markcoroutinefunction, sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import Resolver404, ResolverMatch, get_resolver

from jwt_lp import ANONYMOUS, Decision, DecisionMemo, Refusal
from jwt_lp_django import checks
from jwt_lp_django.decisions import (
    AuthorizationRequest,
    RequestRefused,
    RequestState,
    authorization_request,
    decide,
    decide_async,
    refusal_response,
    request_state,
    resolved_view,
)
from jwt_lp_django.declaration_cache import DeclarationCache
from jwt_lp_django.enforcement import is_async, not_allowed
from jwt_lp_django.guard_access import guard_from
from jwt_lp_django.hints import summarise_admin
from jwt_lp_django.routes import all_routes, route_without_view
from jwt_lp_django.views import MethodDeclaration, declaration_of, is_drf

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_FIRST_ERROR_STATUS = 400
_OWN_RESPONSE = "_jwt_lp_refusal"


class _ViewCall(NamedTuple):
    request: HttpRequest
    callback: Callable[..., Any]
    args: Sequence[Any]
    kwargs: dict[str, Any]


class LeastPrivilegeMiddleware:
    """The guard. It must be first in `MIDDLEWARE`. It works under WSGI and ASGI.

    It decides on the view that Django's router chose, before any code of the view runs, and withholds every response
    without a decision. At start `ImproperlyConfigured` lists every fault of settings and declarations; routes without
    a declaration are logged, and refused.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self._declarations = DeclarationCache()
        self.is_async = is_async(get_response)
        if self.is_async:
            markcoroutinefunction(cast(Any, self))
            # Under ASGI Django would run a sync hook in a thread.
            self.process_view = self.aprocess_view  # type: ignore[method-assign,assignment]
        _check_at_start()

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Forward the request to the view, and the response if there was a decision."""
        # Now, before another middleware can change what arrived.
        state = request_state(request)
        cast(Any, request).access_token = ANONYMOUS
        if self.is_async:
            return self._acall(request, state)
        response = self.get_response(request)
        question = _undecided_request(request, state, response)
        if question is not None:
            decide(question)
        return _finish_response(state.memo, response)

    async def _acall(self, request: HttpRequest, state: RequestState) -> HttpResponseBase:
        response = await self.get_response(request)
        question = _undecided_request(request, state, response)
        if question is not None:
            await decide_async(question)
        return _finish_response(state.memo, response)

    def process_view(
        self, request: HttpRequest, callback: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
    ) -> HttpResponseBase | None:
        """Decide on the view that the router chose; a refusal is the response instead of the view's."""
        declaration = self._declarations.find(callback, request.method or "")
        question = authorization_request(request, declaration, kwargs, callback=callback)
        if declaration.allowed is not None:
            return _answer_for_view(_ViewCall(request, callback, args, kwargs), question, declaration)
        refusal = _admit(question, decide(question))
        return None if refusal is None else _render_refusal(_ViewCall(request, callback, args, kwargs), refusal)

    async def aprocess_view(
        self, request: HttpRequest, callback: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
    ) -> HttpResponseBase | None:
        """`process_view` under ASGI."""
        declaration = self._declarations.find(callback, request.method or "")
        question = authorization_request(request, declaration, kwargs, callback=callback)
        view = _ViewCall(request, callback, args, kwargs)
        if declaration.allowed is not None:
            answer = partial(_answer_for_view, view, question, declaration)
        else:
            refusal = _admit(question, await decide_async(question))
            if refusal is None:
                return None
            answer = partial(_render_refusal, view, refusal)
        # The exception handlers of REST framework are the project's code, and sync.
        return await sync_to_async(answer)() if is_drf(_view_class(view)) else answer()

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """The response to a refusal that `enforce` raised."""
        return refusal_response(exception.refusal) if isinstance(exception, RequestRefused) else None


def _check_at_start() -> None:
    messages = checks.run_checks()
    errors = [message for message in messages if message.is_serious()]
    if errors:
        raise ImproperlyConfigured("\n".join(f"({message.id}) {message.msg}" for message in errors))
    if guard_from().local_users is not None:
        # No request imports anything.
        import_module("jwt_lp_django.local_user")
    if not all(message.is_silenced() for message in messages):
        guard_from().check_routes(summarise_admin(all_routes()))


def _view_class(view: _ViewCall) -> type | None:
    resolved = resolved_view(view.request)
    return None if resolved is None else resolved.cls


def _answer_for_view(view: _ViewCall, question: AuthorizationRequest, declaration: MethodDeclaration) -> HttpResponse:
    """The guard's own answer, a 405 or an answer to OPTIONS, without calling the view."""
    question.state.unanswered = question
    response = not_allowed(view.callback, view.request, view.args, view.kwargs, declaration)
    response.__dict__[_OWN_RESPONSE] = True
    return response


def _admit(question: AuthorizationRequest, decision: Decision) -> Refusal | None:
    """The refusal, or None after recording in the request's state that the view may be called."""
    if decision.refusal is not None:
        return decision.refusal
    request: Any = question.request
    state = question.state
    state.unanswered, state.params = None, question.params
    # INVARIANT: only a credential that no other site can make a browser send replaces the CSRF token. A header that
    # another middleware made from a cookie did not arrive.
    if (
        question.requirement is not None
        and question.requirement.requires_token
        and decision.passes
        and decision.observed is None
        and decision.token is not None
        and state.authorization is not None
        and state.has_same_credential(request)
    ):
        request.csrf_processing_done = True
    return None


def _render_refusal(view: _ViewCall, refusal: Refusal) -> HttpResponse:
    if is_drf(_view_class(view)):
        from jwt_lp_django.drf_responses import render_refusal

        return render_refusal(view.callback, view.request, view.args, view.kwargs, refusal)
    return refusal_response(refusal)


def _undecided_request(
    request: HttpRequest, state: RequestState, response: HttpResponseBase
) -> AuthorizationRequest | None:
    """The question about a response without a decision; None if the response may be sent as it is."""
    match, method = request.resolver_match, request.method or ""
    if state.memo.refusal is not None:
        return None
    if state.params is not None and match is not None and not state.has_passed(match.func, method, match.kwargs):
        # Another middleware called the view for another method or with other parameters than the decision was about.
        declaration = declaration_of(match.func, method)
        passes = declaration.allowed is not None and _is_empty_answer(request, response)
        return None if passes else authorization_request(request, declaration, match.kwargs)
    if state.unanswered is not None:
        # Another middleware may have called the view, or have sent a response of its own.
        is_ours = _OWN_RESPONSE in response.__dict__
        return None if is_ours or _is_empty_answer(request, response) else state.unanswered
    if state.is_decided or (match is None and _is_empty_answer(request, response)):
        # INVARIANT: after the router chose a view, only a decision about that view forwards a response.
        return None
    # INVARIANT: a middleware's response for a route (that of a cache, for example) needs what the route requires.
    path = request.path_info
    has_dot_segments = ".." in path.split("/")
    match = match or (None if has_dot_segments else _resolve_path(request))
    if match is not None:
        return authorization_request(request, declaration_of(match.func, method), match.kwargs, match)
    route = route_without_view(method, path)
    guard = guard_from()
    requirement = None if has_dot_segments else guard.rules.declare(route).requirement
    return AuthorizationRequest(request, state, guard, requirement, {}, route.endpoint, f"{method} {path}", method)


def _resolve_path(request: HttpRequest) -> ResolverMatch | None:
    try:
        return get_resolver(getattr(request, "urlconf", None)).resolve(request.path_info)
    except Resolver404:
        return None


def _is_empty_answer(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Whether the response is an error, an empty redirect or an empty answer to a preflight: the host's own."""
    if response.status_code >= _FIRST_ERROR_STATUS:
        return True
    may_be_empty = response.status_code in _REDIRECTS or request.method == "OPTIONS"
    # A template that is not rendered yet has no content to look at.
    return may_be_empty and getattr(response, "is_rendered", True) and getattr(response, "content", None) == b""


def _finish_response(memo: DecisionMemo, response: HttpResponseBase) -> HttpResponseBase:
    """The response, or the first refusal of the request instead."""
    refusal = memo.refusal
    if refusal is None:
        # A file runs no code that could be refused, and servers send files in their own way.
        if isinstance(response, StreamingHttpResponse) and getattr(response, "file_to_stream", None) is None:
            _stop_when_refused(response, memo)
        return response
    if response.status_code == refusal.status and getattr(response, "exception", False):
        # REST framework's exception handler copies the challenge, and no other header.
        for name, value in refusal.headers.items():
            if name != "Content-Type":
                response.headers.setdefault(name, value)
    # INVARIANT: a refusal is final, even if the exception was caught and another response was sent.
    if memo.permits(response.status_code, response.headers.get("WWW-Authenticate")):
        return response
    withheld = refusal_response(refusal)
    # What the view left open is closed together with the response that replaces its own.
    closers: list[Any] = getattr(response, "_resource_closers", [])
    cast(Any, withheld)._resource_closers.extend(closers)  # noqa: SLF001 - there is no public way
    return withheld


def _stop_when_refused(response: StreamingHttpResponse, memo: DecisionMemo) -> None:
    """End the response with `RequestRefused` if the request is refused while the response is sent."""
    parts: Any = response.streaming_content

    def sync_parts() -> Iterator[bytes]:
        for part in parts:
            if memo.refusal is not None:
                raise RequestRefused(memo.refusal)
            yield part

    async def async_parts() -> AsyncIterator[bytes]:
        async for part in parts:
            if memo.refusal is not None:
                raise RequestRefused(memo.refusal)
            yield part

    response.streaming_content = async_parts() if response.is_async else sync_parts()
