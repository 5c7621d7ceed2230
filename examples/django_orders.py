"""The orders API on Django. `python examples/django_orders.py PORT` serves it on loopback."""

from __future__ import annotations

import os
import secrets
import sys

import django
from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpRequest, JsonResponse
from django.urls import path

settings.configure(
    ROOT_URLCONF=__name__,
    SECRET_KEY=secrets.token_hex(),
    ALLOWED_HOSTS=["127.0.0.1"],
    INSTALLED_APPS=["jwt_lp_django"],
    MIDDLEWARE=["jwt_lp_django.middleware.LeastPrivilegeMiddleware"],
    JWT_LP={
        key: os.environ.get(f"JWT_LP_{key}", "")
        for key in ("ISSUER", "AUDIENCE", "ALGORITHMS", "JWKS_URL", "POLICY", "OWN", "STORE", "ELEVATION_URL")
    },
)
django.setup()

from jwt_lp_django import elevation_endpoints, public, requires, token_from  # noqa: E402 - Django reads its settings first

ORDERS = {7: "seven roses", 8: "eight tulips"}


@public
def health(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"ok": True})


@requires("orders:list")
def orders(request: HttpRequest) -> JsonResponse:
    token = token_from(request)
    return JsonResponse({"orders": ORDERS, "seen_by": token and token.subject})


@requires("orders:create", methods=("POST",))
def create(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"created": True}, status=201)


@requires("orders:{order_id}:read")
async def order(request: HttpRequest, order_id: int) -> JsonResponse:
    return JsonResponse({"order": ORDERS.get(order_id)})


def report(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"secret": "this route declares no requirement, so nobody can see this"})


urlpatterns = [
    path("health", health),
    path("orders", orders),
    path("orders/new", create),
    path("orders/<int:order_id>", order),
    path("report", report),
    *elevation_endpoints(),
]

if __name__ == "__main__":
    execute_from_command_line([sys.argv[0], "runserver", "--noreload", f"127.0.0.1:{sys.argv[1]}"])
