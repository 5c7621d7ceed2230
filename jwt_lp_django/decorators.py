"""What can a developer say?"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias, TypeVar, cast, overload

from django.http import HttpRequest

from jwt_lp import AUTHENTICATED, IDENTIFIED, PUBLIC, AccessToken, ConfigurationError, Decision, Requirement, all_of
from jwt_lp import external as external_requirement
from jwt_lp_django.apps import guard_from
from jwt_lp_django.decisions import (
    AuthorizationRequest,
    RequestRefused,
    authorization_request,
    build_call,
    decide,
    django_request,
    forced_decision,
    request_state,
    resolved_view,
    store_decision,
)
from jwt_lp_django.enforcement import wrap_view
from jwt_lp_django.marks import INHERITED, RequirementMark
from jwt_lp_django.views import MethodDeclaration, is_drf

V = TypeVar("V", bound=Callable[..., Any])
Where: TypeAlias = "Mapping[str, Any]"


class Declaration:
    """A decorator that declares one thing, and enforces it by itself. It also stands for what it declares.

    Above another decorator that keeps a function's attributes (`functools.wraps`) or below it, it is the same; one
    that loses them loses the declaration, and the route is refused.
    """

    __slots__ = ("mark",)

    def __init__(self, mark: RequirementMark) -> None:
        self.mark: Final = mark

    def __call__(self, view: V) -> V:
        """Declare it for `view`: a function, an `as_view()`, or a method of a class. `ConfigurationError` for a class."""
        if isinstance(view, type):
            raise ConfigurationError(
                f"{self.mark.origin} on the class {view.__name__}: set required_permissions there, or decorate a method"
            )
        wrapper = wrap_view(view, (self.mark,))
        _extend_api_view(view, wrapper, self.mark)
        return wrapper


def _extend_api_view(view: Callable[..., Any], wrapper: Any, mark: RequirementMark) -> None:
    # `api_view` copies this attribute of the function that it gets, and none of ours.
    module = sys.modules.get("rest_framework.views")
    if module is not None and not hasattr(view, "cls"):
        from jwt_lp_django.drf import HasPermissions

        usual = getattr(view, "permission_classes", module.APIView.permission_classes)
        wrapper.permission_classes = [*usual, HasPermissions.marked(mark)]


def requires(
    *permissions: str | Requirement,
    where: Where | None = None,
    unbound: Iterable[str] = (),
    enforce: bool = False,
    methods: Iterable[str] | None = None,
) -> Declaration:
    """Declare that every one of `permissions` is asked for.

    `where={"user_id": "sub"}` demands that a parameter of the route equals a claim, `unbound` names parameters that
    the setting `BIND` does not apply to, and `enforce=True` refuses even while the operator only observes. A function
    answers GET and HEAD, or the `methods` named, and 405 to any other; a class its own methods. Several declarations
    with different `methods` add up. `ConfigurationError` where nothing can be asked for.
    """
    requirement = all_of(*permissions, where=where, unbound=unbound, enforce=enforce)
    return Declaration(RequirementMark.of(requirement, "@requires", methods))


class _Public(Declaration):
    """Declare that a view is for everybody, and that no credential is read.

    Bare, or `public(identify=True)`: then a good token is hung on the request and any other ignored. `methods` as in
    `requires`.
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
    """Declare that any valid token will do. Bare, or with `where`, `unbound`, `enforce` and `methods` as in `requires`."""

    @overload
    def __call__(self, view: V) -> V: ...
    @overload
    def __call__(
        self,
        *,
        where: Where | None = None,
        unbound: Iterable[str] = (),
        enforce: bool = False,
        methods: Iterable[str] | None = None,
    ) -> Declaration: ...
    def __call__(self, view: Any = None, *, methods: Iterable[str] | None = None, **terms: Any) -> Any:
        if view is not None:
            return super().__call__(view)
        return Declaration(RequirementMark.of(all_of(AUTHENTICATED, **terms), "@authenticated", methods))


public: Final = _Public(RequirementMark(PUBLIC, "@public"))
authenticated: Final = _Authenticated(RequirementMark(AUTHENTICATED, "@authenticated"))


def external(reason: str, *, methods: Iterable[str] | None = None) -> Declaration:
    """Declare that somebody else guards a view; `reason` says who, and is listed. No credential is read."""
    return Declaration(RequirementMark.of(external_requirement(reason), "@external", methods))


class LeastPrivilegeMixin:
    """A view class, of Django or of REST framework, that says in `required_permissions` what it asks for.

    A mapping from method (`"GET"`) or, in a viewset, action (`"list"`) to a permission, a requirement or a
    declaration; what it leaves out is refused. Or one of these alone, for all methods of the class. It comes first
    among the bases, and enforces by itself where the middleware is missing.
    """

    required_permissions: ClassVar[Any] = INHERITED
    __jwt_lp_mixin__: ClassVar[bool] = True

    # A type checker keeps the signature that the class has without us, which differs between the two hosts.
    if not TYPE_CHECKING:

        @classmethod
        def as_view(cls, *args: Any, **initkwargs: Any) -> Callable[..., Any]:
            """The view function, which asks the guard before anything of the class is made."""
            return wrap_view(super().as_view(*args, **initkwargs))


def enforce(request: Any, *permissions: str | Requirement, params: Mapping[str, object] | None = None) -> AccessToken:
    """Ask the guard inside a view, for what depends on the body or on a loaded object; templates read `params`.

    Returns the token; a refusal ends the request with the guard's status, headers and body. It is final: nothing but the
    refusal is sent, whatever catches the exception; to ask without consequence there is `can`. While the operator only
    observes, what would be refused passes, and then there may be no token. Where nobody has read a credential yet, it
    may have to wait for keys; in an async view, which must not wait, the refusal is 503 then.
    """
    http, state = django_request(request), request_state(request)
    question = _request_inside_view(http, all_of(*permissions), params)
    made = state.find_decision(question) or forced_decision(question)
    if made is None and state.token is not None:
        made = guard_from().authorize(
            state.token, question.requirement, question.params, question.label, call=build_call(question)
        )
    decision: Decision = store_decision(question, made) if made is not None else decide(question)
    if decision.refusal is None:
        return cast(AccessToken, decision.token)
    shape = resolved_view(http)
    if not isinstance(request, HttpRequest) or (shape is not None and is_drf(shape.cls)):
        from jwt_lp_django.drf import refusal_error

        raise refusal_error(decision.refusal)
    raise RequestRefused(decision.refusal)


def _request_inside_view(
    http: HttpRequest, requirement: Requirement, params: Mapping[str, object] | None
) -> AuthorizationRequest:
    shape = resolved_view(http)
    endpoint = shape.declaration_for(http.method or "").endpoint if shape is not None else "no view"
    return authorization_request(http, MethodDeclaration(endpoint, requirement), _template_params(http, params))


def _template_params(http: HttpRequest, params: Mapping[str, object] | None) -> dict[str, object]:
    """What fills templates inside a view: the route's own parameters, and those that were passed."""
    return {**(request_state(http).params or {}), **(params or {})}


def can(request: Any, *permissions: str | Requirement, params: Mapping[str, object] | None = None) -> bool:
    """Whether the request's token would do: a probe, never recorded. False where there is no token."""
    return guard_from().can(
        token_from(request), all_of(*permissions), _template_params(django_request(request), params)
    )


def token_from(request: Any) -> AccessToken | None:
    """The token that the request was let in with, if any."""
    return request_state(request).token
