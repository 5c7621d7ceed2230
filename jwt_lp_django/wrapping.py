"""How does a declaration enforce itself, wherever the view is called from?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, wraps
from inspect import ismethod
from typing import Any, NamedTuple, TypeVar, cast

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed

from jwt_lp import Decision, Requirement
from jwt_lp_django.deciding import Question, adecide, decide, plain, question_of, response_to, state_of
from jwt_lp_django.marks import INCLUDE, MARKS, Mark, marks_of
from jwt_lp_django.views import Declared, Shape, declared, is_drf

V = TypeVar("V", bound=Callable[..., Any])


def is_async(view: object) -> bool:
    """Whether calling it gives something to await."""
    # asgiref's own name for it: on Python 3.11 `inspect` does not know what Django marks.
    return bool(iscoroutinefunction(cast(Any, view)))  # pyright: ignore[reportDeprecated]


def enforcing(view: V, marks: Sequence[Mark] = (), include: Requirement | None = None) -> V:
    """A new wrapper of `view` that carries the declarations and enforces what is declared, once per request.

    The view itself stays as it is, so that it may stand elsewhere under another declaration.
    """
    wrapper: Any
    if is_async(view):

        @wraps(view)
        async def awaiting(*args: Any, **kwargs: Any) -> Any:
            visit = Visit.of(wrapper, view, marks, args, kwargs)
            no = visit.answer if visit.question is None else visit.refused(await adecide(visit.question))
            return await view(*args, **kwargs) if no is None else no

        wrapper = awaiting
    else:

        @wraps(view)
        def calling(*args: Any, **kwargs: Any) -> Any:
            visit = Visit.of(wrapper, view, marks, args, kwargs)
            no = visit.answer if visit.question is None else visit.refused(decide(visit.question))
            return view(*args, **kwargs) if no is None else visit.fitting(no)

        wrapper = calling
    if marks:
        setattr(wrapper, MARKS, (*marks, *marks_of(view)))
    if include is not None:
        # The nearest include's declaration counts, and it was put there first.
        setattr(wrapper, INCLUDE, getattr(view, INCLUDE, include))
    return cast(V, wrapper)


class Visit(NamedTuple):
    """One call of a wrapper: what to ask the guard, or what to answer at once (None: let it pass)."""

    view: Callable[..., Any]
    request: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    question: Question | None = None
    answer: HttpResponse | None = None

    @classmethod
    def of(
        cls,
        wrapper: Callable[..., Any],
        view: Callable[..., Any],
        marks: Sequence[Mark],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Visit:
        """Look at the call. `TypeError` where neither of the first two arguments is a request."""
        first = args[0] if args else kwargs.get("request")
        request = first if _is_request(first) else args[1] if len(args) > 1 else None
        http = plain(request)
        visit, state = cls(view, request, args, kwargs), state_of(http)
        # INVARIANT: what was weighed for this method and these parameters has been decided on, and passed.
        if state.let_in(wrapper, http.method, kwargs) or (
            marks and all(state.let_in(mark, http.method, kwargs) for mark in marks)
        ):
            return visit
        # A method of a class, or a function that REST framework calls, is called for the methods that those know.
        bound = request is not first or not isinstance(request, HttpRequest) or _is_method(view)
        found = declared(wrapper, http.method or "", bound=bound)
        if found.allowed is None:
            return visit._replace(question=question_of(http, found, kwargs))
        return visit._replace(answer=not_allowed(wrapper, http, args, kwargs, found))

    def refused(self, decision: Decision) -> HttpResponse | None:
        """The response to a refusal, None where the call passes. Inside REST framework it is raised instead."""
        if decision.refusal is None:
            return None
        if not isinstance(self.request, HttpRequest):
            from jwt_lp_django.drf import refused

            raise refused(decision.refusal)
        if is_drf(Shape.of(self.view).cls):
            from jwt_lp_django.drf import rendered

            return rendered(self.view, self.request, self.args[1:], self.kwargs, decision.refusal)
        return response_to(decision.refusal)

    def fitting(self, response: HttpResponse) -> Any:
        """The response, as something to await where the method wrapped belongs to an async class."""
        owner = getattr(getattr(self.view, "func", None), "__self__", None)
        # Called unbound, `self` comes first.
        owner = self.args[0] if owner is None and self.args[0] is not self.request else owner
        return _awaited(response) if getattr(owner, "view_is_async", False) else response


async def _awaited(response: HttpResponse) -> HttpResponse:
    return response


def _is_request(value: object) -> bool:
    return isinstance(getattr(value, "_request", value), HttpRequest)


def _is_method(view: Callable[..., Any]) -> bool:
    # What `method_decorator` hands over.
    return isinstance(view, partial) and ismethod(view.func)


def not_allowed(
    callback: Callable[..., Any], request: HttpRequest, args: Sequence[Any], kwargs: dict[str, Any], found: Declared
) -> HttpResponse:
    """The 405 that the host would give, or the empty answer to OPTIONS, without calling the view."""
    if is_drf(Shape.of(callback).cls):
        from jwt_lp_django.drf import method_not_allowed

        return method_not_allowed(callback, request, args, kwargs)
    allowed = found.allowed or ()
    if request.method in allowed:
        return HttpResponse(headers={"Allow": ", ".join(allowed), "Content-Length": "0"})
    return HttpResponseNotAllowed(allowed)
