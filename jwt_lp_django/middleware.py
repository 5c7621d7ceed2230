"""Does every request get decided on before any view runs, and does nothing undecided get out?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, cast

from asgiref.sync import markcoroutinefunction, sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import Resolver404, ResolverMatch, get_resolver

from jwt_lp import Decision, Refusal
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
        return _finished(request, response, None if question is None else decide(question))

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        response = await self.get_response(request)
        question = _undecided(request, response)
        return _finished(request, response, None if question is None else await adecide(question))

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
    state_of(view.request).refused = question
    return None, lambda: _ours(not_allowed(view.callback, view.request, view.args, view.kwargs, found))


def _let_in(view: _View, question: Question, decision: Decision) -> Refusal | None:
    request: Any = view.request
    state = state_of(request)
    if decision.refusal is not None:
        state.refused = question
        return decision.refusal
    state.refused, state.params = None, question.params
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

        response = rendered(view.callback, view.request, view.args, view.kwargs, refusal)
    else:
        response = response_to(refusal)
    return _ours(response)


def _ours(response: HttpResponse) -> HttpResponse:
    response.__dict__[_OURS] = True
    return response


def _undecided(request: HttpRequest, response: HttpResponseBase) -> Question | None:
    """What to ask about a response that nobody decided on; None where it may go out as it is."""
    state, match, method = state_of(request), request.resolver_match, request.method or ""
    if state.params is not None and match is not None and not state.let_in(match.func, method, match.kwargs):
        # Another middleware had the view called for something else than what was decided on.
        found = declared(match.func, method)
        passes = found.allowed is not None and _says_nothing(request, response)
        return None if passes else question_of(request, found, match.kwargs)
    if state.refused is not None:
        # Another middleware may have called the view, or had something else to show, once it was refused.
        return None if _OURS in response.__dict__ or _says_nothing(request, response) else state.refused
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


def _finished(request: HttpRequest, response: HttpResponseBase, decision: Decision | None) -> HttpResponseBase:
    raised = state_of(request).refusal
    refusal = raised if decision is None else decision.refusal
    # What `enforce` raises in a middleware Django has made a plain 403 of.
    if refusal is not None and (decision is not None or request.resolver_match is None):
        withheld = response_to(refusal)
        # What the view left open is closed with the response that goes out in its place.
        closers: list[Any] = getattr(response, "_resource_closers", [])
        cast(Any, withheld)._resource_closers.extend(closers)  # noqa: SLF001 - there is no public way
        return withheld
    if raised is not None and response.status_code == raised.status:
        # An exception handler of REST framework passes the challenge on, and no other header.
        for name, value in raised.headers.items():
            if name != "Content-Type":
                response.headers.setdefault(name, value)
    return response
