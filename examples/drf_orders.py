"""The orders API on Django REST framework. `python examples/drf_orders.py PORT` serves it on loopback."""

from __future__ import annotations

import os
import secrets
import sys

import django
from django.conf import settings
from django.core.management import execute_from_command_line

settings.configure(
    ROOT_URLCONF=__name__,
    SECRET_KEY=secrets.token_hex(),
    ALLOWED_HOSTS=["127.0.0.1"],
    INSTALLED_APPS=["rest_framework", "jwt_lp_django"],
    MIDDLEWARE=["jwt_lp_django.middleware.LeastPrivilegeMiddleware"],
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": ["jwt_lp_django.drf.JWTAuthentication"],
        "DEFAULT_PERMISSION_CLASSES": ["jwt_lp_django.drf.HasPermissions"],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "UNAUTHENTICATED_USER": None,
    },
    JWT_LP={
        key: os.environ.get(f"JWT_LP_{key}", "")
        for key in ("ISSUER", "AUDIENCE", "ALGORITHMS", "JWKS_URL", "POLICY", "OWN", "STORE", "ELEVATION_URL")
    },
)
django.setup()

from django.urls import include, path  # noqa: E402 - Django reads its settings first
from rest_framework.decorators import api_view  # noqa: E402
from rest_framework.request import Request  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.routers import SimpleRouter  # noqa: E402
from rest_framework.viewsets import ViewSet  # noqa: E402

from jwt_lp_django import elevation_endpoints, public, token_from  # noqa: E402
from jwt_lp_django.drf import LeastPrivilegeMixin  # noqa: E402

ORDERS = {7: "seven roses", 8: "eight tulips"}


class Orders(LeastPrivilegeMixin, ViewSet):
    lookup_value_converter = "int"
    required_permissions = {
        "list": "orders:list",
        "create": "orders:create",
        "retrieve": "orders:{pk}:read",
    }

    def list(self, request: Request) -> Response:
        token = token_from(request)
        return Response({"orders": ORDERS, "seen_by": token and token.subject})

    def create(self, request: Request) -> Response:
        return Response({"created": True}, status=201)

    def retrieve(self, request: Request, pk: int) -> Response:
        return Response({"order": ORDERS.get(pk)})


@api_view()
@public
def health(request: Request) -> Response:
    return Response({"ok": True})


@api_view()
def report(request: Request) -> Response:
    return Response({"secret": "this route declares no requirement, so nobody can see this"})


router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("orders", Orders, basename="order")
urlpatterns = [
    path("health", health),
    path("report", report),
    path("", include(router.urls)),
    *elevation_endpoints(),
]

if __name__ == "__main__":
    execute_from_command_line([sys.argv[0], "runserver", "--noreload", f"127.0.0.1:{sys.argv[1]}"])
