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
from drf_spectacular.settings import patched_settings
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


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("url", "changed"),
    [
        ("/api/v1/plain", {}),
        ("/plain", {"SCHEMA_PATH_PREFIX": "/api/v[0-9]", "SCHEMA_PATH_PREFIX_TRIM": True}),
        ("/plain", {"SCHEMA_PATH_PREFIX": "^/api/v[0-9]/", "SCHEMA_PATH_PREFIX_TRIM": True}),
        ("/x/api/v1/plain", {"SCHEMA_PATH_PREFIX_INSERT": "/x"}),
        (
            "/x/plain",
            {"SCHEMA_PATH_PREFIX": "/API/V1", "SCHEMA_PATH_PREFIX_TRIM": True, "SCHEMA_PATH_PREFIX_INSERT": "x"},
        ),
    ],
)
def test_the_hook_finds_paths_with_other_prefixes(url: str, changed: dict[str, object]) -> None:
    """The hook describes an operation under the path that drf-spectacular gives to it."""
    hook = {"POSTPROCESSING_HOOKS": ["jwt_lp_django.spectacular.describe_guard"]}
    with project(path("api/v1/plain", plain)), patched_settings({**hook, **changed}):
        schema = SchemaGenerator().get_schema(request=None, public=True)
    operation = schema["paths"][url]["get"]
    assert ([["a:b", "c:d"]], True) == (operation["x-required-permissions"], "503" in operation["responses"])
    # OpenAPI 3.0 has no permissions in the requirement of a bearer scheme.
    assert [{"jwt_lp": []}] == operation["security"]
