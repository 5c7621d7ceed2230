"""Ways around the guard through REST framework's pages, viewsets and permission lists; all are closed."""

# ruff: noqa: E402, RUF012 - Django reads its settings first; views declare their rules as users do

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("rest_framework")

from hosts.django_setup import AUTHORITY, configure, make_class, project

configure()

from django.test import Client
from django.urls import path
from rest_framework import permissions, serializers
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet, ViewSet

from jwt_lp_django.checks import run_checks
from jwt_lp_django.drf import HasPermissions, LeastPrivilegeMixin

pytestmark = pytest.mark.host


def bearer(*permissions):
    return AUTHORITY.headers("alice", permissions)


class Form(serializers.Serializer):
    customer = serializers.ChoiceField(choices=[("c1", "SECRET")])


@pytest.mark.parametrize("classes", [[], [permissions.AllowAny], [HasPermissions]], ids=str)
@pytest.mark.parametrize("middleware", [True, False], ids=["guarded", "alone"])
def test_a_refusals_page_shows_no_form(middleware, classes) -> None:
    """The browsable API's 401, 403 and 405 call no serializer of the view, and keep the Allow header."""
    ran = []

    class Forms(LeastPrivilegeMixin, GenericViewSet):
        serializer_class = Form
        permission_classes = classes
        required_permissions = {"list": "o:read", "create": "o:create"}

        def get_serializer(self, *args, **kwargs):
            ran.append("serializer")
            return super().get_serializer(*args, **kwargs)

        def get_queryset(self):
            ran.append("queryset")

        def list(self, request):
            return Response([])

        def create(self, request):
            return Response()

    calls: list[Any] = [
        ("GET", {}),
        ("GET", bearer("c:d")),
        ("POST", {}),
        ("POST", bearer("c:d")),
        ("PUT", bearer("o:read")),
    ]
    view: Any = Forms.as_view({"get": "list", "post": "create"})
    with project(path("o", view), **({} if middleware else {"MIDDLEWARE": []})):
        pages = [Client().generic(m, "/o", headers={"Accept": "text/html", **headers}) for m, headers in calls]
    assert [401, 403, 401, 403, 405] == [page.status_code for page in pages]
    assert (True, False) == (
        all(b"<html" in page.content for page in pages),
        any(b"SECRET" in page.content for page in pages),
    )
    assert ([], ["GET", "POST"]) == (ran, pages[-1]["Allow"].split(", ")[:2])


@pytest.mark.parametrize("bases", [(ViewSet,), (LeastPrivilegeMixin, ViewSet)], ids=["alone", "mixin"])
def test_a_call_of_another_action_is_decided_anew(bases) -> None:
    """A view that calls another action of its class needs the permission of that action too."""

    class Again(*bases):  # type: ignore[misc]  # the cases are lists of bases
        permission_classes = [HasPermissions]
        required_permissions = {"list": "o:read", "export": "o:export"}

        def list(self, request):
            return type(self).as_view({"get": "export"})(request._request)

        def export(self, request):
            return Response("SECRET")

    with project(path("o", Again.as_view({"get": "list"}))):
        assert [403, 200] == [
            Client().get("/o", headers=bearer(*permissions)).status_code
            for permissions in (["o:read"], ["o:read", "o:export"])
        ]


@pytest.mark.parametrize("middleware", [True, False], ids=["guarded", "alone"])
def test_head_with_an_action_of_its_own_has_its_rule(middleware) -> None:
    """HEAD has the rule of GET if it runs the action of GET, and the rule of its own action otherwise."""

    class Mapped(LeastPrivilegeMixin, ViewSet):
        required_permissions = {"list": "o:read", "ship": "o:ship"}

        def list(self, request):
            return Response()

        def ship(self, request):
            return Response()

    patterns = [
        path("o", Mapped.as_view({"get": "list", "head": "ship"})),
        path("h", Mapped.as_view({"head": "ship"})),
        path("g", Mapped.as_view({"get": "list"})),
    ]
    with project(*patterns, **({} if middleware else {"MIDDLEWARE": []})):
        codes = [
            Client().head(f"/{url}", headers=bearer(permission)).status_code
            for url in "ohg"
            for permission in ("o:read", "o:ship")
        ]
    assert [403, 200, 403, 200, 200, 403] == codes


@pytest.mark.parametrize("middleware", [True, False], ids=["guarded", "alone"])
def test_no_permission_class_opens_what_a_mapping_omits(middleware) -> None:
    """A method that `required_permissions` omits stays refused, whatever the permission class requires."""

    class Half(LeastPrivilegeMixin, ViewSet):
        permission_classes = [HasPermissions.of("o:basic")]
        required_permissions = {"list": "o:basic"}

        def list(self, request):
            return Response()

        def destroy(self, request):
            return Response("SECRET")

    view: Any = Half.as_view({"get": "list", "delete": "destroy"})
    with project(path("o", view), **({} if middleware else {"MIDDLEWARE": []})):
        assert [200, 403] == [
            Client().generic(m, "/o", headers=bearer("o:basic")).status_code for m in ("GET", "DELETE")
        ]


class Plain(APIView):
    required_permissions = {"GET": "a:b"}

    def get(self, request):
        return Response()


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (Plain.as_view(permission_classes=[]), ["jwt_lp.E004"]),
        (Plain.as_view(permission_classes=[permissions.AllowAny]), ["jwt_lp.E004"]),
        (Plain.as_view(permission_classes=[HasPermissions]), []),
        (Plain.as_view(permission_classes=[permissions.AllowAny & HasPermissions]), []),
        (make_class(LeastPrivilegeMixin, Plain, permission_classes=[]).as_view(), []),
    ],
)
def test_a_rule_that_nothing_enforces_is_an_error(view, expected) -> None:
    """`required_permissions` needs the mixin or `HasPermissions`, so that it is enforced without the middleware."""
    with project(path("x", view)):
        assert expected == [message.id for message in run_checks()]
