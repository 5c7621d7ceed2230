"""Decorators that declare a requirement, and the questions to the guard inside a view."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias, TypeVar, overload

from django.http import HttpRequest

from jwt_lp import (
    ANONYMOUS,
    AUTHENTICATED,
    IDENTIFIED,
    PUBLIC,
    AccessToken,
    ConfigurationError,
    Decision,
    Requirement,
    all_of,
)
from jwt_lp import external as external_requirement
from jwt_lp_django.decisions import (
    AuthorizationRequest,
    authorization_request,
    build_call,
    decide,
    django_request,
    forced_decision,
    probe,
    refusal_exception,
    request_state,
    resolved_view,
    store_decision,
    token_from,
)
from jwt_lp_django.enforcement import wrap_view
from jwt_lp_django.guard_access import guard_from
from jwt_lp_django.marks import RequirementMark
from jwt_lp_django.signals import send_refused
from jwt_lp_django.views import MethodDeclaration

V = TypeVar("V", bound=Callable[..., Any])
Where: TypeAlias = "Mapping[str, Any]"

# What a class declares in place of a decorator; both names are those of `jwt_lp`.
_VALUES: Final = {"@public": "PUBLIC", "@authenticated": "AUTHENTICATED"}


class Declaration:
    """A decorator that declares one requirement and enforces it. It also serves as a value: a rule elsewhere.

    It may stand above or below another decorator that keeps a function's attributes (`functools.wraps`). A decorator
    that loses them loses the declaration, and then the route is refused.
    """

    __slots__ = ("mark",)

    def __init__(self, mark: RequirementMark) -> None:
        self.mark: Final = mark

    def __call__(self, view: V) -> V:
        """Declare it for `view`: a function, an `as_view()` or a method. `ConfigurationError` for a class."""
        if isinstance(view, type):
            raise ConfigurationError(
                f"{self.mark.origin} on the class {view.__name__}: write required_permissions = "
                f"{_VALUES.get(self.mark.origin, '...')} there, with LeastPrivilegeMixin as its first base, or decorate a method"
            )
        wrapper = wrap_view(view, (self.mark,))
        _extend_api_view(view, wrapper, self.mark)
        return wrapper


def _extend_api_view(view: Callable[..., Any], wrapper: Any, mark: RequirementMark) -> None:
    # `api_view` copies this attribute of the function that it receives, and none of ours.
    module = sys.modules.get("rest_framework.views")
    if module is not None and not hasattr(view, "cls"):
        from jwt_lp_django.drf import HasPermissions

        classes = getattr(view, "permission_classes", module.APIView.permission_classes)
        wrapper.permission_classes = [*classes, HasPermissions.marked(mark)]


def requires(
    *permissions: str | Requirement,
    where: Where | None = None,
    unbound: Iterable[str] = (),
    enforce: bool = False,
    or_session: str | None = None,
    methods: Iterable[str] | None = None,
) -> Declaration:
    """Declare that every one of `permissions` is required.

    `where={"user_id": "sub"}` requires that a parameter of the route equals a claim. `unbound` names parameters that
    the setting `BIND` does not apply to. `enforce=True` refuses in observe mode too. With `or_session`, a reason
    that is listed, a request without a token passes with a session whose user is signed in, and CSRF is checked. A function answers GET and HEAD,
    or the given `methods`, and 405 to any other; a class answers its own methods. Several declarations with different
    `methods` add up. `ConfigurationError` if there are no permissions, or one is malformed.
    """
    requirement = all_of(*permissions, where=where, unbound=unbound, enforce=enforce, or_session=or_session)
    return Declaration(RequirementMark.of(requirement, "@requires", methods))


class _Public(Declaration):
    """Declare that everybody may call a view, and that no credential is read.

    Write `@public`, or `@public(identify=True)`: then a valid token is attached to the request, and any other is
    ignored. `methods` as in `requires`.
    """

    @overload
    def __call__(self, view: V) -> V: ...
    @overload
    def __call__(self, *, identify: bool = False, methods: Iterable[str] | None = None) -> Declaration: ...
    def __call__(self, view: Any = None, *, identify: bool = False, methods: Iterable[str] | None = None) -> Any:
        if view is not None:
            return super().__call__(view)
        return Declaration(RequirementMark.of(IDENTIFIED if identify else PUBLIC, "@public", methods))


class _Authenticated(Declaration):
    """Declare that any valid token suffices. Without arguments, or with those of `requires` that are no permissions."""

    @overload
    def __call__(self, view: V) -> V: ...
    @overload
    def __call__(
        self,
        *,
        where: Where | None = None,
        unbound: Iterable[str] = (),
        enforce: bool = False,
        or_session: str | None = None,
        methods: Iterable[str] | None = None,
    ) -> Declaration: ...
    def __call__(self, view: Any = None, *, methods: Iterable[str] | None = None, **terms: Any) -> Any:
        if view is not None:
            return super().__call__(view)
        return Declaration(RequirementMark.of(all_of(AUTHENTICATED, **terms), "@authenticated", methods))


public: Final = _Public(RequirementMark(PUBLIC, "@public"))
"""Declare that a view requires no token: `@public`. With `@public(identify=True)`, a valid token is kept and any other
is ignored."""

authenticated: Final = _Authenticated(RequirementMark(AUTHENTICATED, "@authenticated"))
"""Declare that a view requires a valid token, whatever it grants: `@authenticated`, or with the terms of `requires`:
`@authenticated(where=…)`."""


def external(reason: str, *, methods: Iterable[str] | None = None) -> Declaration:
    """Declare that another mechanism guards a view. `reason` names it and is listed. No credential is read."""
    return Declaration(RequirementMark.of(external_requirement(reason), "@external", methods))


def enforce(request: Any, *permissions: str | Requirement, params: Mapping[str, object] | None = None) -> AccessToken:
    """Enforce permissions inside a view, if they depend on the body or on a loaded object. `params` fill templates.

    Returns the token, in observe mode `jwt_lp.ANONYMOUS` if there is no valid one. A refusal ends the request with the guard's status, headers and body. It is final: even if the
    exception is caught, only the refusal is sent. `can` asks without this consequence. In observe mode a request that
    would be refused passes. If no credential has been read yet, this may wait for
    keys; in an async view, which must not wait, the refusal is 503. The browsable API and the metadata of REST framework
    ask with other methods than the request's whether they may offer them: there a refusal is raised, and is not final.
    """
    http = django_request(request)
    question = _request_inside_view(http, all_of(*permissions), params)
    decision = probe(question) if request.method != http.method else _decide_inside_view(question)
    if decision.refusal is None:
        return decision.token or ANONYMOUS
    raise refusal_exception(request, decision.refusal)


def _decide_inside_view(question: AuthorizationRequest) -> Decision:
    """Decide with the token that the request was let in with, if there is one."""
    state = question.state
    known = state.find_decision(question)
    if known is not None:
        return store_decision(question, known)
    decision = forced_decision(question)
    if decision is None and state.token is not None:
        decision = question.guard.authorize(
            state.token, question.requirement, question.params, question.label, call=build_call(question)
        )
    if decision is None:
        return decide(question)
    store_decision(question, decision)
    if decision.refusal is not None:
        send_refused(question.request, decision)
    return decision


def _request_inside_view(
    http: HttpRequest, requirement: Requirement, params: Mapping[str, object] | None
) -> AuthorizationRequest:
    view = resolved_view(http)
    endpoint = view.declaration_for(http.method or "").endpoint if view is not None else "no view"
    return authorization_request(http, MethodDeclaration(endpoint, requirement), _template_params(http, params))


def _template_params(http: HttpRequest, params: Mapping[str, object] | None) -> dict[str, object]:
    """The values for templates inside a view: the route's parameters, and `params`."""
    return {**(request_state(http).params or {}), **(params or {})}


def can(request: Any, *permissions: str | Requirement, params: Mapping[str, object] | None = None) -> bool:
    """Whether the request's token satisfies `permissions`; False without a token. A probe, which is never recorded."""
    return guard_from().can(
        token_from(request), all_of(*permissions), _template_params(django_request(request), params)
    )
