"""Decisions in REST framework: viewsets, permission classes, exception handlers and test tools."""

# ruff: noqa: E402, RUF012 - Django reads its settings first; views declare their rules as users do

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("rest_framework")

from hosts.django_setup import AUTHORITY, configure, make_class, project

configure()

from django.contrib.auth.models import Group
from django.core.management import execute_from_command_line
from django.http import HttpRequest
from django.test import AsyncClient, Client, RequestFactory
from django.urls import include, path
from rest_framework import permissions
from rest_framework.authentication import SessionAuthentication
from rest_framework.decorators import action, api_view, permission_classes
from rest_framework.exceptions import APIException, PermissionDenied
from rest_framework.renderers import BrowsableAPIRenderer, JSONRenderer
from rest_framework.request import clone_request
from rest_framework.response import Response
from rest_framework.routers import DefaultRouter, SimpleRouter
from rest_framework.test import APIClient, APIRequestFactory, force_authenticate
from rest_framework.views import APIView, exception_handler
from rest_framework.viewsets import ModelViewSet, ViewSet

from jwt_lp import AUTHENTICATED, PUBLIC, ConfigurationError, Guard, any_of
from jwt_lp_django import authenticated, can, enforce, external, guard_from, guarded, public, requires
from jwt_lp_django.checks import run_checks
from jwt_lp_django.drf import HasPermissions, JWTAuthentication, LeastPrivilegeMixin, crud
from jwt_lp_django.routes import all_routes

pytestmark = pytest.mark.host


def bearer(*permissions, **more):
    return AUTHORITY.headers("alice", permissions, **more)


def status(method, url, *permissions):
    return Client().generic(method, url, headers=bearer(*permissions)).status_code


def callers() -> list[Any]:
    """The headers of an anonymous caller, of one without a:b, and of one with it."""
    return [{}, bearer("c:d"), bearer("a:b")]


def routed(viewset, prefix="orders", router=SimpleRouter):
    instance = router()
    instance.register(prefix, viewset, basename=prefix)
    return path("", include(instance.urls))


class Orders(LeastPrivilegeMixin, ViewSet):
    required_permissions = crud("orders") | {
        "retrieve": "orders:{pk}:read",
        "ship": any_of("orders:ship", "orders:admin"),
        "unship": "orders:unship",
    }

    def list(self, request):
        return Response(["SECRET"])

    def create(self, request):
        return Response("SECRET", 201)

    def retrieve(self, request, pk):
        return Response({"pk": pk, "subject": request.auth.subject, "user": request.user.username})

    @action(detail=True, methods=["post"])
    def ship(self, request, pk):
        return Response("SECRET")

    @ship.mapping.delete
    def unship(self, request, pk):
        return Response("SECRET")

    @action(detail=False)
    @requires("orders:top")
    def top(self, request):
        return Response("SECRET")

    @action(detail=False)
    def unmapped(self, request):
        return Response("SECRET")


class Plain(APIView):
    def get(self, request):
        return Response("SECRET")

    def post(self, request):
        return Response("SECRET")


@pytest.mark.parametrize(
    ("method", "url", "permission", "expected"),
    [
        ("GET", "/orders/", "orders:read", 200),
        ("HEAD", "/orders/", "orders:read", 200),
        ("HEAD", "/orders/", "orders:create", 403),
        ("GET", "/orders/", "orders:create", 403),
        ("POST", "/orders/", "orders:create", 201),
        ("GET", "/orders/7/", "orders:7:read", 200),
        ("GET", "/orders/7/", "orders:8:read", 403),
        ("GET", "/orders/7/", "orders:read", 403),
        ("PUT", "/orders/7/", "orders:update", 405),
        ("DELETE", "/orders/7/", "orders:delete", 405),
        ("FOO", "/orders/", "orders:read", 405),
        ("POST", "/orders/7/ship/", "orders:admin", 200),
        ("POST", "/orders/7/ship/", "orders:unship", 403),
        ("DELETE", "/orders/7/ship/", "orders:unship", 200),
        ("DELETE", "/orders/7/ship/", "orders:ship", 403),
        ("GET", "/orders/top/", "orders:top", 200),
        ("GET", "/orders/top/", "orders:read", 403),
        ("GET", "/orders/unmapped/", "orders:read", 403),
        ("OPTIONS", "/orders/", "orders:read", 200),
        ("OPTIONS", "/orders/", "orders:create", 403),
        ("OPTIONS", "/orders/7/ship/", "orders:ship", 200),
    ],
)
@pytest.mark.parametrize("middleware", [True, False], ids=["guarded", "alone"])
def test_a_viewset_has_the_rules_of_its_actions(middleware, method, url, permission, expected) -> None:
    """Each action has its rule, metadata that of the first method; a missing method is 405."""
    with project(routed(Orders), **({} if middleware else {"MIDDLEWARE": []})):
        assert expected == status(method, url, permission)


def test_metadata_may_have_a_rule_of_its_own() -> None:
    """A key `metadata` or OPTIONS takes precedence over the rule of the first method."""

    class Own(Orders):
        required_permissions = {"list": "orders:read", "metadata": PUBLIC}

    with project(routed(Own)):
        assert [200, 401] == [Client().options("/orders/").status_code, Client().get("/orders/").status_code]


class Described(ViewSet):
    @public
    def list(self, request):
        return Response({})

    def mine(self, request):
        return Response("SECRET")


class OwnOptions(Described):
    def options(self, request, *args, **kwargs):
        return Response("SECRET")


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        pytest.param(Described.as_view({"get": "list"}), (200, 200), id="metadata"),
        pytest.param(Described.as_view({"get": "list", "options": "mine"}), (401, 403), id="an action is mapped to it"),
        pytest.param(OwnOptions.as_view({"get": "list"}), (401, 403), id="a method of its own"),
        pytest.param(
            make_class(OwnOptions, options=requires("a:b")(OwnOptions.options)).as_view({"get": "list"}),
            (401, 200),
            id="a method of its own, declared",
        ),
        pytest.param(
            make_class(Described, mine=requires("a:b")(Described.mine)).as_view({"get": "list", "options": "mine"}),
            (401, 200),
            id="an action, declared",
        ),
        pytest.param(
            make_class(Described, metadata=requires("a:b")(Described.mine)).as_view({"get": "metadata"}),
            (401, 200),
            id="the rule of an action of that name",
        ),
        pytest.param(
            make_class(LeastPrivilegeMixin, Described, required_permissions={"mine": "a:b"}).as_view(
                {"get": "list", "options": "mine"}
            ),
            (401, 200),
            id="an action, by its key",
        ),
        pytest.param(
            make_class(LeastPrivilegeMixin, OwnOptions, required_permissions={"OPTIONS": "a:b"}).as_view(
                {"get": "list"}
            ),
            (401, 200),
            id="a method of its own, by its key",
        ),
    ],
)
def test_only_metadata_has_another_methods_rule(view, expected) -> None:
    """If the project itself answers OPTIONS, the declaration for GET does not open it."""
    with project(path("x", view)):
        assert expected == (Client().options("/x").status_code, status("OPTIONS", "/x", "a:b"))


@pytest.mark.parametrize(
    "view",
    [
        make_class(LeastPrivilegeMixin, Plain, required_permissions="a:b").as_view(),
        make_class(Plain, required_permissions={"GET": "a:b"}).as_view(),
        make_class(Plain, permission_classes=[HasPermissions.of("a:b")]).as_view(),
        make_class(Plain, permission_classes=[permissions.AllowAny & HasPermissions.of("a:b")]).as_view(),
        make_class(Plain, permission_classes=[HasPermissions.of("x:y") | HasPermissions.of("a:b")]).as_view(),
        make_class(LeastPrivilegeMixin, Plain, required_permissions="a:b", permission_classes=[]).as_view(),
        make_class(LeastPrivilegeMixin, Plain, required_permissions="a:b").as_view(permission_classes=[]),
        requires("a:b")(Plain.as_view()),
        requires("a:b")(api_view(["GET"])(lambda request: Response("SECRET"))),
        api_view(["GET"])(requires("a:b")(lambda request: Response("SECRET"))),
        api_view(["GET"])(
            requires("a:b")(permission_classes([permissions.AllowAny])(lambda request: Response("SECRET")))
        ),
    ],
)
def test_every_way_to_declare_a_view(view) -> None:
    """401 without a token, 403 with a challenge for too few permissions, 200 for enough."""
    with project(path("x", view)):
        without, little, enough = (Client().get("/x", headers=headers) for headers in callers())
    assert [401, 403, 200] == [response.status_code for response in (without, little, enough)]
    assert "Bearer" == without["WWW-Authenticate"]
    assert little["WWW-Authenticate"].startswith('Bearer error="insufficient_scope"')


@pytest.mark.parametrize(
    "view",
    [
        make_class(LeastPrivilegeMixin, Plain, required_permissions="a:b", permission_classes=[]).as_view(),
        make_class(Plain, permission_classes=[HasPermissions.of("a:b")]).as_view(),
        make_class(Plain, required_permissions="a:b").as_view(),
        requires("a:b")(Plain.as_view(permission_classes=[])),
        api_view(["GET"])(requires("a:b")(lambda request: Response("SECRET"))),
    ],
)
def test_views_decide_without_the_middleware(view) -> None:
    """Every kind of declaration enforces without the middleware, in a project and under a request factory."""
    with project(path("x", view), MIDDLEWARE=[]):
        responses = [Client().get("/x", headers=headers) for headers in callers()]
    assert [401, 403, 200] == [response.status_code for response in responses]
    factory = APIRequestFactory()
    assert [401, 403, 200] == [view(factory.get("/any", headers=headers)).status_code for headers in callers()]


@pytest.mark.parametrize(
    "view",
    [
        Plain.as_view(),
        Plain.as_view(permission_classes=[]),
        Plain.as_view(permission_classes=[permissions.AllowAny]),
        api_view(["GET"])(lambda request: Response("SECRET")),
        api_view(["GET"])(
            permission_classes([permissions.AllowAny])(requires("a:b")(lambda request: Response("SECRET")))
        ),
    ],
)
def test_a_view_without_a_declaration_is_refused(view) -> None:
    """`permission_classes = []` and AllowAny open nothing, and they hide a decorator's declaration below them."""
    with project(path("x", view)):
        assert [401, 403] == [Client().get("/x").status_code, status("GET", "/x", "a:b")]
        assert {"jwt_lp.W001"} == {message.id for message in run_checks()}


def test_an_unmapped_handler_is_refused() -> None:
    """A method that the class has and the mapping omits is 403; a method that the class does not have is 405."""

    class Half(LeastPrivilegeMixin, Plain):
        required_permissions = {"GET": "a:b"}

    with project(path("x", Half.as_view())):
        assert [200, 403, 405] == [status(method, "/x", "a:b") for method in ("GET", "POST", "DELETE")]


def test_a_bad_token_does_not_break_a_public_view() -> None:
    """Public views read no credential, with the middleware and without."""
    seen = []
    stacks: list[Any] = [{}, {"MIDDLEWARE": []}]

    class Seen(LeastPrivilegeMixin, APIView):
        required_permissions = PUBLIC

        def get(self, request):
            seen.append((request.user.is_authenticated, request.auth))
            return Response()

    for stack in stacks:
        with project(path("x", Seen.as_view()), **stack):
            assert 200 == Client().get("/x", headers={"Authorization": "Bearer junk"}).status_code
            assert 200 == Client().get("/x", headers=bearer()).status_code
    assert [(False, None)] * 4 == seen


def test_an_identified_view_has_the_user() -> None:
    """A valid token is attached to the request, and an invalid one ignored."""

    @api_view()
    @public(identify=True)
    def who(request):
        return Response({"who": request.user.username, "token": request.auth is not None})

    with project(path("x", who)):
        requests = (bearer(), {"Authorization": "Bearer junk"})
        good, bad = (Client().get("/x", headers=headers).json() for headers in requests)
    assert ({"who": "alice", "token": True}, {"who": "", "token": False}) == (good, bad)


def rendering(exc, context):
    response: Any = exception_handler(exc, context)
    assert context["request"].method == "GET"
    response.data = {"mine": response.data, "denied": isinstance(exc, PermissionDenied)}
    return response


def test_the_projects_handler_renders_the_refusal() -> None:
    """It gets an initialised request and REST framework's exception; status and challenge stay."""
    settings: Any = {"REST_FRAMEWORK": {"EXCEPTION_HANDLER": f"{__name__}.rendering"}}
    with project(path("x", requires("a:b")(Plain.as_view())), **settings):
        bare, little = Client().get("/x"), Client().get("/x", headers=bearer())
    assert (401, False) == (bare.status_code, bare.json()["denied"])
    assert (403, True) == (little.status_code, little.json()["denied"])
    assert "insufficient_scope" == little.json()["mine"]["error"]
    assert ("no-store", True) == (little["Cache-Control"], "insufficient_scope" in little["WWW-Authenticate"])
    assert "application/json" == little["Content-Type"]


def hiding(exc, context):
    return Response({"errors": [str(exc)]}, 200)


def test_a_handler_that_hides_the_status_is_withheld() -> None:
    """A handler of the project may rewrite a refusal's text, but cannot turn it into a success."""

    class Asking(APIView):
        @authenticated
        def get(self, request):
            enforce(request, "a:b")
            return Response()

    settings: Any = {"REST_FRAMEWORK": {"EXCEPTION_HANDLER": f"{__name__}.hiding"}}
    with project(path("x", requires("a:b")(Plain.as_view())), path("y", Asking.as_view()), **settings):
        bare, little = Client().get("/x"), Client().get("/y", headers=bearer())
    assert (401, "Bearer") == (bare.status_code, bare["WWW-Authenticate"])
    assert (403, "insufficient_scope") == (little.status_code, little.json()["error"])


def test_the_refusals_body_is_the_problem() -> None:
    """Without the project's own handler the body is that of RFC 9457, as in every host."""
    with project(path("x", requires("a:b")(Plain.as_view()))):
        answer = Client().get("/x", headers=bearer())
    assert "application/problem+json" == answer["Content-Type"]
    assert (403, "insufficient_scope", "a:b") == tuple(
        answer.json()[name] for name in ("status", "error", "requirement")
    )


def test_no_code_of_the_view_runs_when_refused() -> None:
    """No permission class, `initial` or handler of the view runs before the decision."""
    ran = []

    class Foreign(permissions.BasePermission):
        def has_permission(self, request, view):
            ran.append("permission")
            return True

    class Loud(LeastPrivilegeMixin, Plain):
        required_permissions = "a:b"
        permission_classes = [Foreign]

        def initial(self, request, *args, **kwargs):
            ran.append("initial")
            super().initial(request, *args, **kwargs)

        def get(self, request):
            ran.append("get")
            return Response()

    with project(path("x", Loud.as_view())):
        assert [401, 403, 405] == [Client().get("/x").status_code, status("GET", "/x"), status("DELETE", "/x", "a:b")]
        assert [] == ran
        assert 200 == status("GET", "/x", "a:b")
    assert ["initial", "permission", "get"] == ran


def test_another_permission_class_may_still_refuse() -> None:
    """A permission class of the project may refuse what the guard let in."""

    class Closed(permissions.BasePermission):
        def has_permission(self, request, view):
            return False

    with project(path("x", Plain.as_view(permission_classes=[HasPermissions.of("a:b") & Closed]))):
        assert 403 == status("GET", "/x", "a:b")


def test_a_session_first_does_not_hide_the_challenge() -> None:
    """401 stays 401 whichever authentication class is first."""
    view = make_class(Plain, authentication_classes=[SessionAuthentication, JWTAuthentication])
    with project(path("x", requires("a:b")(view.as_view()))):
        assert [401, 200] == [Client().get("/x").status_code, status("GET", "/x", "a:b")]


def test_rest_frameworks_permission_classes_accept_the_user() -> None:
    """IsAdminUser never passes, IsAuthenticated does, and no attribute is missing."""
    for cls, expected in ((permissions.IsAdminUser, 403), (permissions.IsAuthenticated, 200)):
        with project(path("x", requires("a:b")(Plain.as_view(permission_classes=[cls])))):
            assert expected == status("GET", "/x", "a:b", "is_staff", "is_superuser")


def response_and_checks(url, method="GET", **headers):
    from jwt_lp_django.guard_access import guard_holder

    checked = []

    class Spy(Guard):
        def check(self, *args, **more):
            checked.append(args[3])
            return super().check(*args, **more)

    with guard_holder().swap_guard(Spy(AUTHORITY.settings())):
        answer = Client().generic(method, url, headers={**bearer("orders:read", "orders:create"), **headers})
    return answer, checked


@pytest.mark.parametrize(
    ("method", "accept"), [("GET", "text/html"), ("OPTIONS", "application/json"), ("GET", "application/json")]
)
def test_one_request_is_one_decision(method, accept) -> None:
    """The browsable API and metadata only probe other methods; one decision is made, about the request itself."""

    class Browsable(Orders):
        renderer_classes = [JSONRenderer, BrowsableAPIRenderer]

    with project(routed(Browsable)):
        answer, checked = response_and_checks("/orders/", method, Accept=accept)
    assert (200, [f"{method} /orders/"]) == (answer.status_code, checked)


def test_the_browsable_api_shows_only_permitted_forms() -> None:
    """Its forms are probed: POST appears with the permission and not without."""

    class Browsable(Orders):
        renderer_classes = [BrowsableAPIRenderer]

    with project(routed(Browsable)):
        pages = [
            Client().get("/orders/", headers=bearer(*permissions)).content
            for permissions in (["orders:read"], ["orders:read", "orders:create"])
        ]
        refused = Client().get("/orders/", headers=bearer())
    assert [False, True] == [b'value="POST"' in page or b">POST<" in page for page in pages]
    assert (403, False) == (refused.status_code, b"SECRET" in refused.content)


@pytest.mark.parametrize("middleware", [True, False], ids=["guarded", "alone"])
@pytest.mark.parametrize("rule", [requires("o:read"), public], ids=["requires", "public"])
def test_pages_that_probe_an_object_permission_are_sent(middleware, rule) -> None:
    """A refusal that the browsable API or the metadata get for another method is not that of the request."""
    seen = []

    class ByMethod(permissions.BasePermission):
        def has_object_permission(self, request, view, obj):
            seen.append(request.method)
            enforce(request, {"GET": "o:read", "OPTIONS": "o:read", "PUT": "o:update"}[request.method])
            return True

    class View(APIView):
        renderer_classes = [JSONRenderer, BrowsableAPIRenderer]
        permission_classes = [HasPermissions, ByMethod]

        def get_object(self):
            self.check_object_permissions(self.request, object())

        @rule
        def get(self, request):
            self.get_object()
            return Response(object.__name__)

        @rule
        def put(self, request):
            self.get_object()
            return Response()

        @rule
        def options(self, request):
            # As `SimpleMetadata` asks, without a serializer.
            self.request = clone_request(request, "PUT")
            try:
                self.get_object()
            except APIException as error:
                return Response({"put": error.status_code})
            return Response({"put": 200})

    reading, writing = bearer("o:read"), bearer("o:read", "o:update")
    with project(path("o", View.as_view()), **({} if middleware else {"MIDDLEWARE": []})):
        pages = [Client().get("/o", headers={"Accept": "text/html", **each}) for each in (reading, writing)]
        metadata = [Client().options("/o", headers=each) for each in (reading, writing)]
        changed = [Client().put("/o", headers=each).status_code for each in (reading, writing)]
    assert ([200, 200], [403, 200]) == ([page.status_code for page in pages], changed)
    assert [(200, {"put": 403}), (200, {"put": 200})] == [(each.status_code, each.json()) for each in metadata]
    assert "PUT" in seen


def test_enforce_and_can_inside_a_view() -> None:
    """The exception goes through REST framework's handler, for either kind of request object."""

    class View(APIView):
        @authenticated
        def get(self, request):
            http = request._request
            assert isinstance(http, HttpRequest)
            token = enforce(http if "plain" in request.query_params else request, "a:b")
            return Response({"subject": token.subject, "can": can(request, "c:d")})

    with project(path("x", View.as_view())):
        for url in ("/x", "/x?plain"):
            refused, passed = Client().get(url, headers=bearer()), Client().get(url, headers=bearer("a:b"))
            assert (403, "insufficient_scope") == (refused.status_code, refused.json()["error"])
            assert "no-store" == refused["Cache-Control"]
            assert "insufficient_scope" in refused["WWW-Authenticate"]
            assert {"subject": "alice", "can": False} == passed.json()


@pytest.mark.parametrize("middleware", [True, False], ids=["guarded", "alone"])
def test_force_authenticate_is_honoured(middleware) -> None:
    """A forced user passes every declaration, a forced token must satisfy it; a missing declaration refuses."""
    patterns = [routed(Orders), path("x", Plain.as_view())]
    token: Any = guard_from().authenticate(bearer("orders:read")["Authorization"]).token
    somebody: Any = object()
    with project(*patterns, **({} if middleware else {"MIDDLEWARE": []})):
        client = APIClient()
        assert 401 == client.get("/orders/").status_code
        client.force_authenticate(user=somebody)
        assert [200, 401] == [client.get(url).status_code for url in ("/orders/", "/x")]
        client.force_authenticate(token=token)
        assert [200, 403] == [client.get("/orders/").status_code, client.post("/orders/").status_code]


def test_force_authenticate_works_with_a_factory() -> None:
    """A forced request of the factory passes too."""
    request: Any = APIRequestFactory().get("/any")
    somebody: Any = object()
    force_authenticate(request, user=somebody)
    assert 200 == Orders.as_view({"get": "list"})(request).status_code


def test_force_authenticate_has_no_effect_on_a_server() -> None:
    """The attributes alone open nothing: the body must be the test client's."""
    import io

    request: Any = RequestFactory().get("/any")
    request.META["wsgi.input"] = io.BytesIO()
    somebody: Any = object()
    force_authenticate(request, user=somebody)
    assert 401 == Orders.as_view({"get": "list"})(request).status_code


def test_the_routers_root_is_declared_like_any_other() -> None:
    """DefaultRouter's root has no declaration until its include or a rule declares it."""
    router = DefaultRouter()
    router.register("orders", Orders, basename="orders")
    with project(path("", include(router.urls))):
        assert 403 == status("GET", "/", "orders:read")
    with project(path("", guarded(include(router.urls), AUTHENTICATED))):
        assert [200, 200, 403] == [status("GET", url, "orders:read") for url in ("/", "/orders/", "/orders/7/")]
        assert 403 == status("GET", "/orders/unmapped/", "orders:read")


def test_a_token_needs_no_csrf_token() -> None:
    """SessionAuthentication accepts the token's user and requires no CSRF token."""
    view = make_class(Plain, authentication_classes=[SessionAuthentication])
    with project(path("x", requires("a:b")(view.as_view()))):
        assert 200 == Client(enforce_csrf_checks=True).post("/x", headers=bearer("a:b")).status_code


def test_classes_compose() -> None:
    """`&` and `|` between HasPermissions classes make one requirement; `&` with another class keeps both."""
    both = HasPermissions.of("a:b") & HasPermissions.of("c:d")
    either = HasPermissions.of("a:b") | HasPermissions.of("c:d", "e:f")
    assert ["a:b & c:d", "a:b | (c:d & e:f)"] == [str(combined.mark.requirement) for combined in (both, either)]
    for mixed in (HasPermissions.of("a:b") & permissions.IsAuthenticated, permissions.IsAuthenticated & HasPermissions):
        assert "OperandHolder" == type(mixed).__name__


@pytest.mark.parametrize(
    "compose",
    [
        lambda: HasPermissions.of("a:b") | permissions.AllowAny,
        lambda: permissions.AllowAny | HasPermissions.of("a:b"),
        lambda: HasPermissions | HasPermissions.of("a:b"),
    ],
)
def test_or_with_another_class_is_an_error(compose) -> None:
    """The error tells what to write instead."""
    with pytest.raises(ConfigurationError, match=r"any_of.*external"):
        compose()


def test_not_is_an_error() -> None:
    """`~` would let in every request without a token."""
    with pytest.raises(ConfigurationError, match="no token"):
        ~HasPermissions.of("a:b")


def test_a_hidden_or_is_found_at_the_start() -> None:
    """A composition that hides `|` is an error of the check, and refused at run time."""
    hidden = (HasPermissions.of("a:b") & permissions.IsAuthenticated) | permissions.AllowAny
    with project(path("x", Plain.as_view(permission_classes=[hidden])), MIDDLEWARE=[]):
        assert 401 == Client().get("/x").status_code
        assert "any_of" in next(message.msg for message in run_checks() if message.id == "jwt_lp.E004")


class Swapped(Orders):
    required_permissions = {"lisst": "a:b", "list": "a:b", "top": "a:b", "HEAD": "a:b"}


class Double(Orders):
    required_permissions = {"list": "a:b", "GET": "c:d", "retrieve": "a:b", "POST": "a:b", "DELETE": "a:b"}


class Lacking(Orders):
    required_permissions = {"list": "orders:{pk}:read"}


class Wide(LeastPrivilegeMixin, ViewSet):
    @action(detail=False, required_permissions="a:b")
    def one(self, request):
        return Response()

    @one.mapping.post
    def two(self, request):
        return Response()


@pytest.mark.parametrize(
    ("viewset", "expected"),
    [
        (Swapped, "'lisst' (did you mean 'list'?)"),
        (Swapped, "HEAD always has the rule of GET"),
        (Swapped, "two rules for one request"),
        (Double, "two rules for one request: a:b (required_permissions['list']) and c:d (required_permissions['GET'])"),
        (Lacking, "reads pk"),
        (Wide, "one rule for one, two"),
    ],
)
def test_faults_of_a_viewset_are_errors(viewset, expected) -> None:
    """Unknown keys, two rules for one request, missing parameters, one rule for several functions."""
    with project(routed(viewset)):
        faults = [message.msg for message in run_checks() if message.id == "jwt_lp.E004"]
    assert any(expected in fault for fault in faults), faults


def test_crud_keys_are_never_unknown() -> None:
    """Keys of `crud` for actions that a viewset does not have are no fault."""

    class ReadOnly(LeastPrivilegeMixin, ViewSet):
        required_permissions = crud("orders")

        def list(self, request):
            return Response()

    with project(routed(ReadOnly)):
        assert [] == run_checks()


def test_viewsets_are_listed_by_action() -> None:
    """The endpoint names the action; OPTIONS is listed with the method whose rule it has."""
    with project(routed(Orders)):
        routes = {route.endpoint.rpartition(".")[2]: (route.methods, str(route.requirement)) for route in all_routes()}
        hint = next(route.hint for route in all_routes() if not route.guarded)
    assert (("GET", "HEAD", "OPTIONS"), "orders:read") == routes["list"]
    assert (("POST", "OPTIONS"), "orders:ship | orders:admin") == routes["ship"]
    assert (("DELETE",), "orders:unship") == routes["unship"]
    assert '"unmapped": "orders:unmapped",' == hint


def test_a_function_view_is_listed_by_its_name() -> None:
    """Its endpoint is the function, and its hint a decorator."""

    @api_view(["GET"])
    def report(request):
        return Response()

    with project(path("report", report)):
        route = all_routes()[0]
    assert (f"{__name__}.report", '@requires("report:read")') == (route.endpoint, route.hint)


def test_a_suggestion_is_one_line_for_a_viewset(capsys) -> None:
    """Every route of a class has the same hint, so `--suggest` prints it once, and passes over format suffixes."""
    pytest.importorskip("rich")

    class Carts(LeastPrivilegeMixin, ModelViewSet):
        queryset = Group.objects.none()

        @action(detail=True, methods=["post"], url_path="check-out")
        def check_out(self, request, pk): ...

        @action(detail=False)
        def overdue(self, request): ...

    class Report(LeastPrivilegeMixin, APIView):
        def get(self, request): ...
        def post(self, request): ...

    @api_view(["POST", "GET"])
    def things(request): ...

    router = DefaultRouter()
    router.register("carts", Carts, "cart")
    patterns = [
        path("api/", include(router.urls)),
        path("report", Report.as_view()),
        path("report/<int:pk>", Report.as_view()),
        path("things", things),
    ]
    with project(*patterns), pytest.raises(SystemExit):
        execute_from_command_line(["manage.py", "jwt_lp", "routes", "--suggest"])
    printed = capsys.readouterr().out.splitlines()
    # The root view of the router is REST framework's own.
    assert printed.index("EXTERNAL = {") > 0
    assert [
        'required_permissions = crud("carts") | {"check_out": "carts:check_out", "overdue": "carts:overdue"}',
        'required_permissions = {"GET": "report:read", "POST": "report:create"}',
        '@requires("things:read")',
        '@requires("things:create", methods=("POST",))',
    ] == [line for line in printed if line.startswith(("required_permissions", "@"))]
    assert [] == [line for line in printed if "{format}" in line and "APIRootView" not in line]
    declared = make_class(Carts, required_permissions=crud("carts") | {"check_out": "c:o", "overdue": "c:o"})
    with project(routed(declared)):
        assert [] == run_checks()


def test_external_leaves_a_view_to_its_own_classes() -> None:
    """REST framework alone decides on a view with `external`."""
    closed = [permissions.IsAdminUser]
    view = make_class(Plain, authentication_classes=[SessionAuthentication], permission_classes=closed)
    with project(path("x", external("sessions")(view.as_view()))):
        assert 403 == status("GET", "/x", "a:b")


def both(request):
    return Response(request.method)


@pytest.mark.parametrize(
    "view",
    [
        api_view(["GET", "POST"])(requires("o:list")(requires("o:create", methods=("POST",))(both))),
        api_view(["GET", "POST"])(requires("o:create", methods=("POST",))(requires("o:list")(both))),
        requires("o:create", methods=("POST",))(requires("o:list")(api_view(["GET", "POST"])(both))),
    ],
)
@pytest.mark.parametrize("middleware", [True, False], ids=["guarded", "alone"])
def test_declarations_add_up_on_a_function_view(middleware, view) -> None:
    """A declaration that names its methods takes precedence for those; the other covers the rest."""
    with project(path("x", view), **({} if middleware else {"MIDDLEWARE": []})):
        permissions = ("o:list", "o:create")
        codes = [status(method, "/x", permission) for method in ("GET", "POST") for permission in permissions]
    assert [200, 403, 403, 200] == codes


class LateMethod:
    """A method override in process_view, after the guard's."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        return self.get_response(request)

    def process_view(self, request, view, args, kwargs):
        request.method = request.headers.get("X-HTTP-Method-Override", request.method)


def test_a_method_that_is_changed_late_is_decided_again() -> None:
    """The permission class asks about the method that the view gets."""

    class Seen(Plain):
        required_permissions = {"GET": "a:b", "POST": "c:d"}

        def post(self, request):
            raise AssertionError

    with project(path("x", Seen.as_view()), middleware=[f"{__name__}.LateMethod"]):
        headers = {**bearer("a:b"), "X-HTTP-Method-Override": "POST"}
        assert [200, 403] == [Client().get("/x", headers=one).status_code for one in (bearer("a:b"), headers)]


def test_refusals_are_rendered_off_the_event_loop() -> None:
    """Under ASGI the project's handler runs in a thread, as for the view's own errors."""

    async def ask(headers, method="get"):
        return (await getattr(AsyncClient(), method)("/x", headers=headers)).status_code

    threaded = {"REST_FRAMEWORK": {"EXCEPTION_HANDLER": f"{__name__}.off_the_loop"}}
    view: Any = make_class(LeastPrivilegeMixin, Plain, required_permissions="a:b").as_view()
    settings: Any = threaded
    with project(path("x", view), **settings):
        codes = [asyncio.run(ask(headers)) for headers in callers()]
        assert [401, 403, 200, 405] == [*codes, asyncio.run(ask(bearer("a:b"), "delete"))]


def off_the_loop(exc, context):
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
    return exception_handler(exc, context)
