"""Authentication and permission classes for REST framework.

The middleware decides first. These classes give the view the user and the token, let the project's exception handler
render a refusal, and decide by themselves if the middleware is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NoReturn, cast

from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission, BasePermissionMetaclass

from jwt_lp import ANONYMOUS, AccessToken, ConfigurationError, Refusal, Requirement, all_of, any_of
from jwt_lp_django.decisions import (
    AuthorizationRequest,
    authorization_request,
    decide,
    django_request,
    request_state,
)
from jwt_lp_django.drf_responses import APIRefused, refusal_error
from jwt_lp_django.guard_access import guard_from
from jwt_lp_django.marks import RequirementMark
from jwt_lp_django.mixin import LeastPrivilegeMixin
from jwt_lp_django.permission_classes import DeclaringPermission, reject_or
from jwt_lp_django.views import PERMISSION_CLASSES, MethodDeclaration, ViewInfo, dotted_name

__all__ = ["APIRefused", "HasPermissions", "JWTAuthentication", "LeastPrivilegeMixin", "crud"]

_DECLARING_ATTRIBUTES = ("required_permissions", "permission_classes")


class JWTAuthentication(BaseAuthentication):
    """Gives the view the user and the token of the decision: `request.user`, `request.auth`.

    If the guard read no token (public views), REST framework asks its other authentication classes. If observe mode
    lets a request without a valid token pass and they give none either, `HasPermissions` makes `request.auth` the
    anonymous token.
    """

    def authenticate(self, request: Any) -> tuple[Any, AccessToken | None] | None:
        """The user and the token, the user of a session that stands in for one and None, or None.

        `APIRefused` if the middleware is missing and the guard refuses the request.
        """
        http = django_request(request)
        state = request_state(http)
        if not state.is_decided:
            decision = decide(_authorization_request(request, request.parser_context["view"]))
            if decision.refusal is not None:
                raise refusal_error(decision.refusal)
        # Not by its type, because that would load a local user, which the view may never ask for.
        user = getattr(http, "user", None)
        return (user, state.token) if user is not None and user is state.user else None

    def authenticate_header(self, request: Any) -> str:
        """The challenge for anonymous callers that other permission classes refuse."""
        settings = guard_from().settings
        challenge = Refusal(
            HTTPStatus.UNAUTHORIZED, None, "", resource_metadata=settings.resource_metadata, schemes=settings.schemes
        )
        return challenge.headers["WWW-Authenticate"]


def view_declaration(view: Any, method: str) -> MethodDeclaration:
    """The declaration for a method of a view instance that REST framework created."""
    return _view_info(view).declaration_for(method)


def _view_info(view: Any) -> ViewInfo:
    attributes = cast(dict[str, Any], vars(view))
    match = getattr(attributes.get("request"), "resolver_match", None)
    if match is not None and _is_view_of(match.func, view):
        return ViewInfo.of(match.func)
    kwargs: dict[str, Any] = {name: attributes[name] for name in _DECLARING_ATTRIBUTES if name in attributes}
    cls = cast(Any, type(view))
    return ViewInfo(dotted_name(cls), cls=cls, initkwargs=kwargs, actions=attributes.get("action_map"))


def _is_view_of(callback: Any, view: Any) -> bool:
    """Whether the declarations of `callback` are those of `view`."""
    # INVARIANT: a view may call another view of its own class, with other actions or attributes. The route's
    # declarations do not apply to that one.
    attributes = cast(dict[str, Any], vars(view))
    return (
        getattr(callback, "cls", None) is type(view)
        and getattr(callback, "actions", None) == attributes.get("action_map")
        and callback.initkwargs.get("required_permissions") is attributes.get("required_permissions")
        and callback.initkwargs.get("permission_classes") is attributes.get("permission_classes")
    )


def _authorization_request(request: Any, view: Any) -> AuthorizationRequest:
    return authorization_request(django_request(request), view_declaration(view, request.method), view.kwargs)


class _PermissionMeta(BasePermissionMetaclass):
    """The operators `&`, `|` and `~` between permission classes, if one of them is `HasPermissions`."""

    mark: RequirementMark | None

    def __and__(self, other: Any) -> Any:
        other_mark = getattr(other, "mark", None)
        if self.mark is None or not isinstance(other_mark, RequirementMark):
            return super().__and__(other)
        return HasPermissions.of(self.mark.requirement, other_mark.requirement)

    def __or__(self, other: Any) -> Any:
        other_mark = getattr(other, "mark", None)
        if self.mark is None or not isinstance(other_mark, RequirementMark):
            reject_or()
        return HasPermissions.of(any_of(self.mark.requirement, other_mark.requirement))

    def __ror__(self, other: Any) -> Any:
        reject_or()

    def __invert__(self) -> NoReturn:
        raise ConfigurationError(
            "~HasPermissions would let in everybody who sends no token: declare what is required instead"
        )


class HasPermissions(DeclaringPermission, BasePermission, metaclass=_PermissionMeta):
    """Enforces what the view declares. `HasPermissions.of("orders:read")` also declares it, if nothing else does.

    `&` and `|` combine two of these classes, `&` combines one with any other class. `|` with another class and `~`
    raise `ConfigurationError`.
    """

    @classmethod
    def of(cls, *permissions: str | Requirement, where: Mapping[str, Any] | None = None) -> type[HasPermissions]:
        """A permission class that requires every one of `permissions`."""
        return cls.marked(RequirementMark(all_of(*permissions, where=where), PERMISSION_CLASSES))

    @classmethod
    def marked(cls, mark: RequirementMark) -> type[HasPermissions]:
        """A permission class that carries a declaration."""
        return cast("type[HasPermissions]", _PermissionMeta("HasPermissions", (cls,), {"mark": mark}))

    def has_permission(self, request: Any, view: Any) -> bool:
        """Whether the request passes. A refusal is raised, so that the response carries its challenge."""
        http = django_request(request)
        method = http.method
        if request.method != method:
            # The browsable API and the metadata ask for other methods too. These questions are not usage.
            return self._probe(_authorization_request(request, view))
        # INVARIANT: what passed for this method and these parameters was evaluated: a mark together with the other
        # declarations of its view, and the route's callback for this view, if it is that callback's.
        passed: object = self.mark
        if passed is None and http.resolver_match is not None and _is_view_of(http.resolver_match.func, view):
            passed = http.resolver_match.func
        if passed is not None and request_state(http).has_passed(passed, method, view.kwargs):
            return _admit(request)
        decision = decide(self._with_own_mark(_authorization_request(request, view)))
        if decision.refusal is not None:
            raise refusal_error(decision.refusal)
        return _admit(request)

    def _with_own_mark(self, question: AuthorizationRequest) -> AuthorizationRequest:
        if self.mark is None or self.mark in question.subjects:
            return question
        return question._replace(requirement=self.mark.requirement, subjects=(self.mark,))

    def _probe(self, question: AuthorizationRequest) -> bool:
        requirement = question.requirement
        if requirement is None or not requirement.requires_token:
            return requirement is not None
        return question.guard.can(question.state.token, requirement, dict(question.params))


def _admit(request: Any) -> bool:
    """True, after giving a view that expects a token the anonymous one where observe mode lets the request pass."""
    # Here, because REST framework asks its other authentication classes first, which the project may still need.
    if request_state(request).is_observed and request.auth is None:
        request.auth = ANONYMOUS
    return True


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
