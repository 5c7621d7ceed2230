"""What REST framework's pages, viewsets and permission lists would say or run for the wrong caller: nothing."""

# ruff: noqa: E402, RUF012 - Django reads its settings first; views say their rules as users do

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("rest_framework")

from hosts.django_setup import AUTHORITY, configure, made, project

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


def held(*permissions):
    return AUTHORITY.headers("alice", permissions)


class Form(serializers.Serializer):
    customer = serializers.ChoiceField(choices=[("c1", "SECRET")])


@pytest.mark.parametrize("classes", [[], [permissions.AllowAny], [HasPermissions]], ids=str)
@pytest.mark.parametrize("middleware", [True, False], ids=["guarded", "alone"])
def test_a_refusals_page_shows_no_form(middleware, classes) -> None:
    """The browsable API's 401, 403 and 405 run no serializer of the view, and keep Allow."""
    ran = []

    class Shown(LeastPrivilegeMixin, GenericViewSet):
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

    calls: list[Any] = [("GET", {}), ("GET", held("c:d")), ("POST", {}), ("POST", held("c:d")), ("PUT", held("o:read"))]
    view: Any = Shown.as_view({"get": "list", "post": "create"})
    with project(path("o", view), **({} if middleware else {"MIDDLEWARE": []})):
        answers = [Client().generic(m, "/o", headers={"Accept": "text/html", **each}) for m, each in calls]
    assert [401, 403, 401, 403, 405] == [each.status_code for each in answers]
    assert (True, False) == (
        all(b"<html" in each.content for each in answers),
        any(b"SECRET" in e.content for e in answers),
    )
    assert ([], ["GET", "POST"]) == (ran, answers[-1]["Allow"].split(", ")[:2])


@pytest.mark.parametrize("bases", [(ViewSet,), (LeastPrivilegeMixin, ViewSet)], ids=["alone", "mixin"])
def test_another_action_of_the_same_class_is_asked_for(bases) -> None:
    """A view that calls another action of its class is not let in there by what it was let in with itself."""

    class Again(*bases):  # type: ignore[misc]  # the cases are lists of bases
        permission_classes = [HasPermissions]
        required_permissions = {"list": "o:read", "export": "o:export"}

        def list(self, request):
            return type(self).as_view({"get": "export"})(request._request)

        def export(self, request):
            return Response("SECRET")

    with project(path("o", Again.as_view({"get": "list"}))):
        assert [403, 200] == [
            Client().get("/o", headers=held(*each)).status_code for each in (["o:read"], ["o:read", "o:export"])
        ]


@pytest.mark.parametrize("middleware", [True, False], ids=["guarded", "alone"])
def test_head_with_an_action_of_its_own_has_its_rule(middleware) -> None:
    """HEAD has GET's rule where it runs GET's action, and its own action's where it is mapped to one."""

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
        found = [
            Client().head(f"/{url}", headers=held(each)).status_code for url in "ohg" for each in ("o:read", "o:ship")
        ]
    assert [403, 200, 403, 200, 200, 403] == found


@pytest.mark.parametrize("middleware", [True, False], ids=["guarded", "alone"])
def test_no_permission_class_opens_what_a_map_leaves_out(middleware) -> None:
    """What `required_permissions` does not name stays refused, whoever holds what the permission class asks."""

    class Half(LeastPrivilegeMixin, ViewSet):
        permission_classes = [HasPermissions.of("o:basic")]
        required_permissions = {"list": "o:basic"}

        def list(self, request):
            return Response()

        def destroy(self, request):
            return Response("SECRET")

    view: Any = Half.as_view({"get": "list", "delete": "destroy"})
    with project(path("o", view), **({} if middleware else {"MIDDLEWARE": []})):
        assert [200, 403] == [Client().generic(m, "/o", headers=held("o:basic")).status_code for m in ("GET", "DELETE")]


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
        (made(LeastPrivilegeMixin, Plain, permission_classes=[]).as_view(), []),
    ],
)
def test_a_rule_that_nothing_asks_for_is_an_error(view, expected) -> None:
    """`required_permissions` needs the mixin, or our permission class, to hold without the middleware."""
    with project(path("x", view)):
        assert expected == [message.id for message in run_checks()]
