"""How do REST framework's own hooks speak with the guard?

The middleware decides first. What stands here gives REST framework the user and the token, has the project's
exception handler render a refusal, and decides by itself where the middleware is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, NoReturn, cast

from django.http import HttpRequest, HttpResponse
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import APIException, MethodNotAllowed, PermissionDenied
from rest_framework.permissions import BasePermission, BasePermissionMetaclass

from jwt_lp import AccessToken, ConfigurationError, Refusal, Requirement, all_of, any_of
from jwt_lp_django.apps import guard_from
from jwt_lp_django.decisions import AuthorizationRequest, authorization_request, decide, django_request, request_state
from jwt_lp_django.decorators import LeastPrivilegeMixin, token_from
from jwt_lp_django.marks import RequirementMark
from jwt_lp_django.user import TokenUser
from jwt_lp_django.views import PERMISSION_CLASSES, MethodDeclaration, ViewInfo, dotted_name

__all__ = ["APIRefused", "HasPermissions", "JWTAuthentication", "LeastPrivilegeMixin", "crud"]

_FORBIDDEN = 403
_DECLARING_ATTRIBUTES = ("required_permissions", "permission_classes")


class APIRefused(APIException):
    """A refusal, as REST framework knows errors. `detail` is the problem (RFC 9457), `auth_header` the challenge."""

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
    """What handlers of the project take for REST framework's own 403."""


def refusal_error(refusal: Refusal) -> APIRefused:
    """The exception that ends a request with `refusal`."""
    # No such twin for 401: REST framework turns its own into 403 where the first authenticator has no challenge.
    return _APIForbidden(refusal) if refusal.status == _FORBIDDEN else APIRefused(refusal)


def render_refusal(
    callback: Any, request: HttpRequest, args: Sequence[Any], kwargs: Mapping[str, Any], refusal: Refusal
) -> HttpResponse:
    """The refusal as the view's exception handler and renderers have it; nothing else of the view is run."""
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
    """REST framework's 405, without asking the view."""
    return _error_response(callback, request, args, kwargs, MethodNotAllowed(request.method or ""))


def _error_response(
    callback: Any, request: HttpRequest, args: Sequence[Any], kwargs: Mapping[str, Any], error: APIException
) -> HttpResponse:
    view = callback.cls(**callback.initkwargs)
    actions = dict(getattr(callback, "actions", None) or {})
    if actions:
        view.action_map = actions
    # Only what dispatch itself does before it asks the view anything.
    for method, action in actions.items():
        setattr(view, method, getattr(view, action))
    view.args, view.kwargs, view.request = args, kwargs, request
    view.request = view.initialize_request(request, *args, **kwargs)
    view.format_kwarg = view.get_format_suffix(**kwargs)
    view.headers = view.default_response_headers
    # INVARIANT: the browsable API builds no form of a method that the view does not have, and asks no serializer
    # and no authenticator of the view's.
    view.http_method_names, view.request.authenticators = (), ()
    response = view.handle_exception(error)
    return cast(HttpResponse, view.finalize_response(view.request, response, *args, **kwargs))


class JWTAuthentication(BaseAuthentication):
    """Gives the view the user and the token that the guard let in: `request.user`, `request.auth`.

    Where the guard read no token (public views), other authentication classes are asked.
    """

    def authenticate(self, request: Any) -> tuple[TokenUser, AccessToken] | None:
        """The user and the token, None where there is none; `Refused` where the middleware is missing and it is bad."""
        decision = (
            None
            if request_state(request).is_decided
            else decide(_build_request(request, request.parser_context["view"]))
        )
        if decision is not None and decision.refusal is not None:
            raise refusal_error(decision.refusal)
        token = token_from(request)
        user = getattr(django_request(request), "user", None)
        return (user, token) if token is not None and isinstance(user, TokenUser) else None

    def authenticate_header(self, request: Any) -> str:
        """The challenge for what other permission classes refuse to anonymous callers."""
        return "Bearer"


def view_declaration(view: Any, method: str) -> MethodDeclaration:
    """What a view, as REST framework has made it, declares for a method."""
    return _view_info(view).declaration_for(method)


def _view_info(view: Any) -> ViewInfo:
    cls = cast(Any, type(view))
    own = cast(dict[str, Any], vars(view))
    kwargs: dict[str, Any] = {name: own[name] for name in _DECLARING_ATTRIBUTES if name in own}
    made = ViewInfo(dotted_name(cls), cls=cls, initkwargs=kwargs, actions=own.get("action_map"))
    match = getattr(own.get("request"), "resolver_match", None)
    chosen = made if match is None else ViewInfo.of(match.func)
    # INVARIANT: a view may call another of its own class, with other actions. What the route declares is not for that.
    same = chosen.cls is cls and chosen.actions == made.actions
    return (
        chosen
        if same and all(chosen.initkwargs.get(name) is kwargs.get(name) for name in _DECLARING_ATTRIBUTES)
        else made
    )


def _build_request(request: Any, view: Any) -> AuthorizationRequest:
    return authorization_request(django_request(request), view_declaration(view, request.method), view.kwargs)


class _PermissionMeta(BasePermissionMetaclass):
    """What `&`, `|` and `~` mean between permission classes, where ours is one of them."""

    mark: RequirementMark | None

    def __and__(self, other: Any) -> Any:
        theirs = getattr(other, "mark", None)
        if self.mark is None or not isinstance(theirs, RequirementMark):
            return super().__and__(other)
        return HasPermissions.of(self.mark.requirement, theirs.requirement)

    def __or__(self, other: Any) -> Any:
        theirs = getattr(other, "mark", None)
        if self.mark is None or not isinstance(theirs, RequirementMark):
            _reject_or()
        return HasPermissions.of(any_of(self.mark.requirement, theirs.requirement))

    def __ror__(self, other: Any) -> Any:
        _reject_or()

    def __invert__(self) -> NoReturn:
        raise ConfigurationError("~HasPermissions would let in whoever sends no token: say what is asked for instead")


def _reject_or() -> NoReturn:
    raise ConfigurationError(
        "HasPermissions | another class: the guard cannot know what the other would let in. Write any_of(...) for "
        'alternatives between permissions, or external("...") where the other class guards the view alone'
    )


class HasPermissions(BasePermission, metaclass=_PermissionMeta):
    """Asks what the view declares. `HasPermissions.of("orders:read")` asks that of a view which declares nothing else.

    Ours compose with each other by `&` and `|`, with other classes by `&`. `|` with another class and `~` are a
    `ConfigurationError`.
    """

    mark: ClassVar[RequirementMark | None] = None

    @classmethod
    def of(cls, *permissions: str | Requirement, where: Mapping[str, Any] | None = None) -> type[HasPermissions]:
        """A permission class that asks for every one of `permissions`."""
        return cls.marked(RequirementMark(all_of(*permissions, where=where), PERMISSION_CLASSES))

    @classmethod
    def marked(cls, mark: RequirementMark) -> type[HasPermissions]:
        """A permission class that carries a declaration."""
        return cast("type[HasPermissions]", _PermissionMeta("HasPermissions", (cls,), {"mark": mark}))

    def has_permission(self, request: Any, view: Any) -> bool:
        """Whether the request passes. A refusal is raised, so that its challenge gets out."""
        http = django_request(request)
        if request.method != http.method:
            # The browsable API and metadata ask what else the caller might do: nothing of that is a use.
            return self._probe(http, _build_request(request, view))
        # INVARIANT: what was weighed as a part of the view's declarations has been decided on.
        if self.mark is not None and request_state(http).has_passed(self.mark, http.method, view.kwargs):
            return True
        decision = decide(self._authorization_request(request, view))
        if decision.refusal is not None:
            raise refusal_error(decision.refusal)
        return True

    def _authorization_request(self, request: Any, view: Any) -> AuthorizationRequest:
        question = _build_request(request, view)
        if self.mark is None or self.mark in question.marks:
            return question
        return question._replace(requirement=self.mark.requirement, marks=(self.mark,))

    def _probe(self, http: HttpRequest, question: AuthorizationRequest) -> bool:
        asked = question.requirement
        if asked is None or not asked.requires_token:
            return asked is not None
        return guard_from().can(token_from(http), asked, dict(question.params))


def permission_marks(classes: Iterable[Any]) -> tuple[RequirementMark, ...]:
    """The declarations in a view's `permission_classes`; `ConfigurationError` where one is under `|` or `~`."""
    return tuple(mark for each in classes for mark in _marks_in(each, alone=True))


def enforces_permissions(classes: Iterable[Any]) -> bool:
    """Whether one of ours is asked, whatever the others say."""
    return any(isinstance(each, _PermissionMeta) or _and_enforces(each) for each in classes)


def _and_enforces(held: Any) -> bool:
    joins = getattr(getattr(held, "operator_class", None), "__name__", "") == "AND"
    return joins and enforces_permissions((held.op1_class, held.op2_class))


def _marks_in(held: Any, *, alone: bool) -> Iterator[RequirementMark]:
    operator = getattr(held, "operator_class", None)
    if operator is None:
        mark = getattr(held, "mark", None)
        if isinstance(held, _PermissionMeta) and not alone:
            _reject_or()
        if isinstance(mark, RequirementMark):
            yield mark
        return
    alone = alone and operator.__name__ == "AND"
    for operand in (held.op1_class, getattr(held, "op2_class", None)):
        if operand is not None:
            yield from _marks_in(operand, alone=alone)


def crud(resource: str) -> dict[str, str]:
    """The usual rules of a viewset: `orders:read`, `orders:create`, `orders:update` and `orders:delete`."""
    verbs = {
        "list": "read",
        "retrieve": "read",
        "create": "create",
        "update": "update",
        "partial_update": "update",
        "destroy": "delete",
    }
    return {action: f"{resource}:{verb}" for action, verb in verbs.items()}
