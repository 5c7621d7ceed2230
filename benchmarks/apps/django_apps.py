"""Django and Django REST framework: bare, with jwt-lp, and with Simple JWT.

One process has one configuration of Django, so the applications differ in their middleware and their URLs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import django
from django.conf import settings as django_settings
from django.http import HttpRequest, JsonResponse
from django.urls import path

from benchmarks.apps.handlers import PATH, PERMISSION

Handler = Callable[[], dict[str, Any]]
Wsgi = Callable[[dict[str, Any], Any], Any]

_GUARD: Final = "jwt_lp_django.middleware.LeastPrivilegeMiddleware"
_COMMON: Final = "django.middleware.common.CommonMiddleware"


def configure(settings: Mapping[str, object], *, key: str = "", issuer: str = "", audience: str = "") -> None:
    """Set Django up, once, with the settings of jwt-lp, and with what Simple JWT needs if there is a `key`."""
    django_settings.configure(
        SECRET_KEY="for benchmarks only",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=_urlconf(),
        INSTALLED_APPS=[
            *("django.contrib.contenttypes", "django.contrib.auth", "rest_framework", "jwt_lp_django"),
        ],
        DATABASES={},
        USE_TZ=True,
        JWT_LP=settings,
        REST_FRAMEWORK={
            "DEFAULT_AUTHENTICATION_CLASSES": ["jwt_lp_django.drf.JWTAuthentication"],
            "DEFAULT_PERMISSION_CLASSES": ["jwt_lp_django.drf.HasPermissions"],
            "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        },
        SIMPLE_JWT={
            "ALGORITHM": "RS256",
            "VERIFYING_KEY": key,
            "ISSUER": issuer,
            "AUDIENCE": audience,
            "USER_ID_CLAIM": "sub",
            # RFC 9068 marks an access token in its header instead.
            "TOKEN_TYPE_CLAIM": None,
        },
    )
    django.setup()


@dataclass(frozen=True, slots=True)
class Site:
    """A WSGI application of Django with its own URLs; `use` makes those the current ones, outside what is measured."""

    wsgi: Wsgi
    urlconf: type
    path: str

    def use(self) -> None:
        """Make the site's URLs the ones that Django resolves."""
        django_settings.ROOT_URLCONF = self.urlconf


def bare(handler: Handler, *, routes: int = 1) -> Site:
    """A function view without a guard, the last of so many routes."""
    return _site(_view(handler), routes, [])


def guarded(handler: Handler, *, routes: int = 1) -> Site:
    """The same with jwt-lp."""
    from jwt_lp_django import requires

    return _site(requires(PERMISSION)(_view(handler)), routes, [_GUARD])


def drf_bare(handler: Handler) -> Site:
    """A view of REST framework without a guard."""
    return _site(_drf_view(handler, authentication_classes=[], permission_classes=[]), 1, [])


def drf_guarded(handler: Handler) -> Site:
    """The same with jwt-lp."""
    from jwt_lp_django.drf import LeastPrivilegeMixin

    return _site(_drf_view(handler, LeastPrivilegeMixin, required_permissions={"list": PERMISSION}), 1, [_GUARD])


def drf_nothing(handler: Handler) -> Site:
    """The same with an authentication and a permission that do nothing: what REST framework takes for them."""
    from rest_framework.authentication import BaseAuthentication
    from rest_framework.permissions import BasePermission

    class Nobody(BaseAuthentication):
        def authenticate(self, request: Any) -> Any:
            return request, None

    classes = {"authentication_classes": [Nobody], "permission_classes": [BasePermission]}
    return _site(_drf_view(handler, **classes), 1, [])


def drf_simplejwt(handler: Handler) -> Site:
    """The same with Simple JWT, without a look-up of the user, and a permission class that looks at the scope."""
    from rest_framework.permissions import BasePermission
    from rest_framework_simplejwt.authentication import JWTStatelessUserAuthentication

    class HasScope(BasePermission):
        def has_permission(self, request: Any, view: Any) -> bool:  # noqa: ARG002 - REST framework hands it over
            return request.auth is not None and PERMISSION in request.auth["scope"].split()

    classes = {
        "authentication_classes": [JWTStatelessUserAuthentication],
        "permission_classes": [HasScope],
    }
    return _site(_drf_view(handler, **classes), 1, [])


def _site(view: Callable[..., Any], routes: int, middleware: Sequence[str]) -> Site:
    from django.core.handlers.wsgi import WSGIHandler

    others = [path(f"things/{number}", view) for number in range(routes - 1)]
    urlconf = _urlconf(*others, path(PATH[1:], view))
    # A handler reads these two when it is made; the URLs are read at each request.
    django_settings.ROOT_URLCONF = urlconf
    django_settings.MIDDLEWARE = [*middleware, _COMMON]
    return Site(WSGIHandler(), urlconf, PATH)


def _urlconf(*patterns: Any) -> type:
    return type("URLs", (), {"urlpatterns": list(patterns)})


def _view(handler: Handler) -> Callable[..., Any]:
    def orders(request: HttpRequest) -> JsonResponse:  # noqa: ARG001 - Django hands it over
        return JsonResponse(handler())

    return orders


def _drf_view(handler: Handler, *mixins: type, **attributes: Any) -> Callable[..., Any]:
    from rest_framework.response import Response
    from rest_framework.viewsets import ViewSet

    def list_orders(self: Any, request: Any) -> Response:  # noqa: ARG001 - REST framework hands them over
        return Response(handler())

    members = {"list": list_orders, "__module__": __name__, **attributes}
    viewset: Any = type("Orders", (*mixins, ViewSet), members)
    view: Callable[..., Any] = viewset.as_view({"get": "list"})
    return view
