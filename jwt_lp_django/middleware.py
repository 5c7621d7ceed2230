"""Does every request get decided on before any view runs, and does nothing undecided get out?"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, cast

from asgiref.sync import markcoroutinefunction, sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import Resolver404, ResolverMatch, get_resolver

from jwt_lp import Decision, Memo, Refusal
from jwt_lp_django import checks
from jwt_lp_django.apps import guard_from
from jwt_lp_django.deciding import (
    Question,
    Refused,
    adecide,
    arrived,
    decide,
    question_of,
    response_to,
    shape_of,
    state_of,
)
from jwt_lp_django.routes import all_routes, route_without_view
from jwt_lp_django.views import Declared, declared, is_drf
from jwt_lp_django.wrapping import is_async, not_allowed

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_ERROR = 400
_OURS = "_jwt_lp_refusal"


class _View(NamedTuple):
    request: HttpRequest
    callback: Callable[..., Any]
    args: Sequence[Any]
    kwargs: dict[str, Any]


class LeastPrivilegeMiddleware:
    """The guard. It stands first in `MIDDLEWARE`; one class for WSGI and ASGI.

    It decides on the view that Django's own router chose, before any code of it runs, and withholds every response
    that nobody decided on. `ImproperlyConfigured` at start lists every fault of settings and declarations; routes
    on which nothing is declared are logged, and refused.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        # What a view declares is read once for each method; a process that changes it has to start anew.
        self._known = lru_cache(maxsize=4096)(declared)
        self.is_async = is_async(get_response)
        if self.is_async:
            markcoroutinefunction(cast(Any, self))
            # Under ASGI Django would push a sync hook into a thread.
            self.process_view = self.aprocess_view  # type: ignore[method-assign,assignment]
        _start()

    def _declared(self, callback: Callable[..., Any], method: str) -> Declared:
        try:
            return self._known(callback, method)
        except TypeError:
            # A callable need not be hashable.
            return declared(callback, method)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Let the request through to the view, and its response out where somebody decided on it."""
        _begun(request)
        if self.is_async:
            return self._acall(request)
        response = self.get_response(request)
        question = _undecided(request, response)
        if question is not None:
            decide(question)
        return _finished(request, response)

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        response = await self.get_response(request)
        question = _undecided(request, response)
        if question is not None:
            await adecide(question)
        return _finished(request, response)

    def process_view(
        self, request: HttpRequest, callback: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
    ) -> HttpResponseBase | None:
        """Decide about the view that was chosen; a response instead of the view where it is refused."""
        view = _View(request, callback, args, kwargs)
        question, answer = _looked_at(view, self._declared(callback, request.method or ""))
        if question is not None:
            refusal = _let_in(view, question, decide(question))
            return None if refusal is None else _rendered(view, refusal)
        return None if answer is None else answer()

    async def aprocess_view(
        self, request: HttpRequest, callback: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
    ) -> HttpResponseBase | None:
        """`process_view` under ASGI."""
        view = _View(request, callback, args, kwargs)
        question, answer = _looked_at(view, self._declared(callback, request.method or ""))
        if question is not None:
            refusal = _let_in(view, question, await adecide(question))
            answer = None if refusal is None else lambda: _rendered(view, refusal)
        # REST framework's exception handlers are the project's, and sync.
        return None if answer is None else await sync_to_async(answer)() if is_drf(_cls(view)) else answer()

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer what `enforce` raised."""
        return response_to(exception.refusal) if isinstance(exception, Refused) else None


def _start() -> None:
    messages = checks.inspect()
    errors = [message for message in messages if message.is_serious()]
    if errors:
        raise ImproperlyConfigured("\n".join(f"({message.id}) {message.msg}" for message in errors))
    if not all(message.is_silenced() for message in messages):
        guard_from().survey(all_routes())


def _begun(request: Any) -> None:
    # Now, before another middleware can write over what arrived.
    state_of(request)
    request.access_token = None


def _cls(view: _View) -> type | None:
    shape = shape_of(view.request)
    return None if shape is None else shape.cls


def _looked_at(view: _View, found: Declared) -> tuple[Question | None, Callable[[], HttpResponse] | None]:
    question = question_of(view.request, found, view.kwargs)
    if found.allowed is None:
        return question, None
    state_of(view.request).instead = question
    return None, lambda: _ours(not_allowed(view.callback, view.request, view.args, view.kwargs, found))


def _let_in(view: _View, question: Question, decision: Decision) -> Refusal | None:
    request: Any = view.request
    state = state_of(request)
    if decision.refusal is not None:
        return decision.refusal
    state.instead, state.params = None, question.params
    state.let(view.callback, question.method, question.params)
    # INVARIANT: only what no other site can make a browser send makes up for the CSRF token. A header that
    # another middleware made of a cookie is not what arrived.
    asked = question.requirement is not None and question.requirement.asks_token
    if (
        asked
        and decision.passes
        and decision.observed is None
        and decision.token is not None
        and state.arrived is not None
        and state.arrived == arrived(request)
    ):
        request.csrf_processing_done = True
    return None


def _rendered(view: _View, refusal: Refusal) -> HttpResponse:
    if is_drf(_cls(view)):
        from jwt_lp_django.drf import rendered

        return rendered(view.callback, view.request, view.args, view.kwargs, refusal)
    return response_to(refusal)


def _ours(response: HttpResponse) -> HttpResponse:
    response.__dict__[_OURS] = True
    return response


def _undecided(request: HttpRequest, response: HttpResponseBase) -> Question | None:
    """What to ask about a response that nobody decided on; None where it may go out as it is."""
    state, match, method = state_of(request), request.resolver_match, request.method or ""
    if state.memo.refusal is not None:
        return None
    if state.params is not None and match is not None and not state.let_in(match.func, method, match.kwargs):
        # Another middleware had the view called for something else than what was decided on.
        found = declared(match.func, method)
        passes = found.allowed is not None and _says_nothing(request, response)
        return None if passes else question_of(request, found, match.kwargs)
    if state.instead is not None:
        # Another middleware may have called the view, or had something else to show.
        return None if _OURS in response.__dict__ or _says_nothing(request, response) else state.instead
    if state.settled or (match is None and _says_nothing(request, response)):
        # INVARIANT: once a view was chosen, nothing but a decision about it lets a response out.
        return None
    # INVARIANT: what a middleware has for a route, a cache say, is let out under the rule of that route.
    path = request.path_info
    climbs = ".." in path.split("/")
    match = match or (None if climbs else _would_choose(request))
    if match is not None:
        return question_of(request, declared(match.func, method), match.kwargs, match)
    route = route_without_view(method, path)
    ruled = None if climbs else guard_from().rules.declare(route).requirement
    return Question(request, ruled, {}, route.endpoint, f"{method} {path}", method)


def _would_choose(request: HttpRequest) -> ResolverMatch | None:
    try:
        return get_resolver(getattr(request, "urlconf", None)).resolve(request.path_info)
    except Resolver404:
        return None


def _says_nothing(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Whether it is an error, an empty redirect or an empty answer to a preflight: the host's own."""
    if response.status_code >= _ERROR:
        return True
    bare = response.status_code in _REDIRECTS or request.method == "OPTIONS"
    # A template that nobody has rendered has no content to look at.
    return bare and getattr(response, "is_rendered", True) and getattr(response, "content", None) == b""


def _finished(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """The response, or the first refusal of the request in its place."""
    memo = state_of(request).memo
    refusal = memo.refusal
    if refusal is None:
        # A file is no code that could be refused, and servers send it in a way of their own.
        if isinstance(response, StreamingHttpResponse) and getattr(response, "file_to_stream", None) is None:
            _watched(response, memo)
        return response
    if response.status_code == refusal.status and getattr(response, "exception", False):
        # An exception handler of REST framework passes the challenge on, and no other header.
        for name, value in refusal.headers.items():
            if name != "Content-Type":
                response.headers.setdefault(name, value)
    # INVARIANT: a refusal is final, whoever caught it and whatever answered since.
    if memo.lets_out(response.status_code, response.headers.get("WWW-Authenticate")):
        return response
    withheld = response_to(refusal)
    # What the view left open is closed with the response that goes out in its place.
    closers: list[Any] = getattr(response, "_resource_closers", [])
    cast(Any, withheld)._resource_closers.extend(closers)  # noqa: SLF001 - there is no public way
    return withheld


def _watched(response: StreamingHttpResponse, memo: Memo) -> None:
    """End the response, by `Refused`, where the request is refused while it is sent."""
    parts: Any = response.streaming_content

    def sync() -> Iterator[bytes]:
        for part in parts:
            if memo.refusal is not None:
                raise Refused(memo.refusal)
            yield part

    async def asynchronous() -> AsyncIterator[bytes]:
        async for part in parts:
            if memo.refusal is not None:
                raise Refused(memo.refusal)
            yield part

    response.streaming_content = asynchronous() if response.is_async else sync()
