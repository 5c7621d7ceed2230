"""Permissions in the OpenAPI description of drf-spectacular."""

# ruff: noqa: E402, RUF012 - Django reads its settings first; views declare their rules as users do

from __future__ import annotations

import pytest

pytest.importorskip("rest_framework")
pytest.importorskip("drf_spectacular")

from hosts.django_setup import configure, project

configure()

from django.urls import include, path
from drf_spectacular.generators import SchemaGenerator
from rest_framework.decorators import api_view
from rest_framework.routers import SimpleRouter
from rest_framework.serializers import Serializer
from rest_framework.viewsets import ViewSet

from jwt_lp import PUBLIC, any_of
from jwt_lp_django import requires
from jwt_lp_django.drf import LeastPrivilegeMixin

pytestmark = pytest.mark.host


class Orders(LeastPrivilegeMixin, ViewSet):
    serializer_class = Serializer
    required_permissions = {
        "list": PUBLIC,
        "create": any_of("orders:create", "orders:admin"),
        "retrieve": "orders:{pk}:read",
    }

    def list(self, request): ...

    def create(self, request): ...

    def retrieve(self, request, pk: str): ...

    def destroy(self, request, pk: str): ...


@api_view(["GET"])
@requires("a:b", "c:d")
def plain(request): ...


@pytest.mark.filterwarnings("ignore")
def test_each_operation_shows_its_permissions() -> None:
    """An operation shows every alternative with the path's parameter names, and `{}` if it needs no token."""
    router = SimpleRouter()
    router.register("orders", Orders, basename="orders")
    with project(path("", include(router.urls)), path("plain", plain)):
        schema = SchemaGenerator().get_schema(request=None, public=True)
    security_by_operation = {
        f"{method} {url}": operation.get("security")
        for url, methods in schema["paths"].items()
        for method, operation in methods.items()
    }
    read = next(
        security for operation, security in security_by_operation.items() if operation.startswith("get /orders/{")
    )
    name = "id" if "get /orders/{id}/" in security_by_operation else "pk"
    assert [{"jwt_lp": [f"orders:{{{name}}}:read"]}] == read
    either = [{"jwt_lp": ["orders:create"]}, {"jwt_lp": ["orders:admin"]}]
    assert ([{}], either) == (security_by_operation["get /orders/"], security_by_operation["post /orders/"])
    assert [{"jwt_lp": ["a:b", "c:d"]}] == security_by_operation["get /plain"]
    assert {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"} == schema["components"]["securitySchemes"][
        "jwt_lp"
    ]
