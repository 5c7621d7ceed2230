"""Wrappers that enforce a view's declarations, wherever the view is called from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial, wraps
from inspect import ismethod
from typing import Any, NamedTuple, TypeVar, cast

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed

from jwt_lp import Decision, Requirement
from jwt_lp_django.decisions import (
    AuthorizationRequest,
    RequestState,
    authorization_request,
    decide,
    decide_async,
    django_request,
    refusal_response,
    request_state,
    resolved_view,
)
from jwt_lp_django.marks import INCLUDE_ATTRIBUTE, MARKS_ATTRIBUTE, RequirementMark, marks_of
from jwt_lp_django.ninja_views import with_readable_signature
from jwt_lp_django.views import MethodDeclaration, ViewInfo, declaration_of, is_drf

V = TypeVar("V", bound=Callable[..., Any])


def is_async(view: object) -> bool:
    """Whether a call of `view` returns an awaitable."""
    # asgiref's function: on Python 3.11 that of `inspect` does not know the callables that Django marks.
    return bool(iscoroutinefunction(cast(Any, view)))  # pyright: ignore[reportDeprecated]


def wrap_view(view: V, marks: Sequence[RequirementMark] = (), include: Requirement | None = None) -> V:
    """A new wrapper of `view` that carries the declarations and enforces them, once per request.

    The view itself is not changed, so that another route may use it under another declaration.
    """
    wrapper: Any
    if is_async(view):

        @wraps(view)
        async def async_wrapper(*args: Any, **kwargs: Any) -> Any:
            invocation = Invocation.of(wrapper, view, marks, args, kwargs)
            if invocation is None:
                return await view(*args, **kwargs)
            response = (
                invocation.answer
                if invocation.question is None
                else invocation.refusal_response(await decide_async(invocation.question))
            )
            return await view(*args, **kwargs) if response is None else response

        wrapper = async_wrapper
    else:

        @wraps(view)
        def sync_wrapper(*args: Any, **kwargs: Any) -> Any:
            invocation = Invocation.of(wrapper, view, marks, args, kwargs)
            if invocation is None:
                return view(*args, **kwargs)
            response = (
                invocation.answer
                if invocation.question is None
                else invocation.refusal_response(decide(invocation.question))
            )
            return view(*args, **kwargs) if response is None else invocation.as_result(response)

        wrapper = sync_wrapper
    if marks:
        setattr(wrapper, MARKS_ATTRIBUTE, (*marks, *marks_of(view)))
        with_readable_signature(wrapper, view)
    if include is not None:
        # The declaration of the nearest include counts, and that one was set first.
        setattr(wrapper, INCLUDE_ATTRIBUTE, getattr(view, INCLUDE_ATTRIBUTE, include))
    return cast(V, wrapper)


class Invocation(NamedTuple):
    """One call of a wrapper that did not pass before: the question to the guard, or the answer without one."""

    view: Callable[..., Any]
    request: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    question: AuthorizationRequest | None = None
    answer: HttpResponse | None = None

    @classmethod
    def of(
        cls,
        wrapper: Callable[..., Any],
        view: Callable[..., Any],
        marks: Sequence[RequirementMark],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Invocation | None:
        """Read the call's arguments; None if the call passed before. `TypeError` if there is no request among them."""
        first: Any = args[0] if args else kwargs.get("request")
        is_function = isinstance(first, HttpRequest)
        request = first if is_function or _is_drf_request(first) else args[1] if len(args) > 1 else None
        http = first if is_function else django_request(request)
        state = request_state(http)
        # INVARIANT: what passed for this method and these parameters was decided on.
        if state.has_passed(wrapper, http.method, kwargs) or (
            marks and all(state.has_passed(mark, http.method, kwargs) for mark in marks)
        ):
            return None
        invocation = cls(view, request, args, kwargs)
        received = _operation_params(http, marks, kwargs)
        if received is not None:
            match = http.resolver_match
            if match is not None and _are_alike(received, match.kwargs) and _have_passed(state, http, marks):
                return None
            kwargs = {**(match.kwargs if match is not None else {}), **received}
        # A method of a class, or a function that REST framework or Ninja calls, is called only for methods that those
        # accept.
        bound = not is_function or _is_bound_partial(view) or received is not None
        declaration = declaration_of(wrapper, http.method or "", bound=bound)
        if declaration.allowed is None:
            return invocation._replace(question=authorization_request(http, declaration, kwargs))
        return invocation._replace(answer=not_allowed(wrapper, http, args, kwargs, declaration))

    def refusal_response(self, decision: Decision) -> HttpResponse | None:
        """The response to a refusal, None if the call passes. Inside REST framework the refusal is raised instead."""
        if decision.refusal is None:
            return None
        if not isinstance(self.request, HttpRequest):
            from jwt_lp_django.drf_responses import refusal_error

            raise refusal_error(decision.refusal)
        if is_drf(ViewInfo.of(self.view).cls):
            from jwt_lp_django.drf_responses import render_refusal

            return render_refusal(self.view, self.request, self.args[1:], self.kwargs, decision.refusal)
        return refusal_response(decision.refusal)

    def as_result(self, response: HttpResponse) -> Any:
        """The response, as an awaitable if the wrapped method belongs to an async class."""
        owner = getattr(getattr(self.view, "func", None), "__self__", None)
        # In a call of an unbound method, `self` comes first.
        owner = self.args[0] if owner is None and self.args[0] is not self.request else owner
        return _async_result(response) if getattr(owner, "view_is_async", False) else response


def _operation_params(
    http: HttpRequest, marks: Sequence[RequirementMark], kwargs: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """The route's parameters as an operation of Ninja receives them; None if no operation is called.

    Ninja converts the route's parameters, and passes those of the query and the body by name as well.
    """
    view = resolved_view(http)
    if view is None or view.operations is None or http.resolver_match is None:
        return None
    declared = view.declaration_for(http.method or "").marks
    if not any(mark in declared for mark in marks):
        return None
    return {name: kwargs[name] for name in http.resolver_match.kwargs if name in kwargs}


def _are_alike(received: Mapping[str, Any], matched: Mapping[str, Any]) -> bool:
    # INVARIANT: a template is filled with the same text for both, so the decision is about what the operation gets.
    return all(str(value) == str(matched[name]) for name, value in received.items())


def _have_passed(state: RequestState, http: HttpRequest, marks: Sequence[RequirementMark]) -> bool:
    params = http.resolver_match.kwargs if http.resolver_match is not None else {}
    return all(state.has_passed(mark, http.method, params) for mark in marks)


async def _async_result(response: HttpResponse) -> HttpResponse:
    return response


def _is_drf_request(value: object) -> bool:
    return isinstance(getattr(value, "_request", None), HttpRequest)


def _is_bound_partial(view: Callable[..., Any]) -> bool:
    # `method_decorator` passes such a partial.
    return isinstance(view, partial) and ismethod(view.func)


def not_allowed(
    callback: Callable[..., Any],
    request: HttpRequest,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    declaration: MethodDeclaration,
) -> HttpResponse:
    """The 405 that the host would send, or the empty answer to OPTIONS, without calling the view."""
    if is_drf(ViewInfo.of(callback).cls):
        from jwt_lp_django.drf_responses import method_not_allowed

        return method_not_allowed(callback, request, args, kwargs)
    allowed = declaration.allowed or ()
    if request.method in allowed:
        return HttpResponse(headers={"Allow": ", ".join(allowed), "Content-Length": "0"})
    return HttpResponseNotAllowed(allowed)
