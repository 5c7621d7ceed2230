"""Views of REST framework that change while the process runs, or from one request to the next."""

# ruff: noqa: E402, RUF012 - Django reads its settings first; views declare their rules as users do

from __future__ import annotations

from copy import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("rest_framework")

from hosts.django_setup import AUTHORITY, configure, make_class, project

configure()

from django.test import Client
from django.urls import path
from rest_framework.decorators import action
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from jwt_lp import all_of
from jwt_lp_django import LeastPrivilegeMixin, requires
from jwt_lp_django.declaration_cache import DeclarationCache
from jwt_lp_django.drf import HasPermissions
from jwt_lp_django.marks import INCLUDE_ATTRIBUTE, INHERITED, MARKS_ATTRIBUTE
from jwt_lp_django.views import declaration_of

pytestmark = pytest.mark.host


def bearer(*permissions):
    return AUTHORITY.headers("alice", permissions)


def answers(client, url, *permissions, method="get"):
    return [getattr(client, method)(url, headers=bearer(permission)).status_code for permission in permissions]


class Plain(APIView):
    def get(self, request, **kwargs):
        return Response("get")


class Orders(ViewSet):
    def list(self, request):
        return Response("list")

    def export(self, request):
        return Response("export")


def replace_permission_classes():
    cls = make_class(Plain, permission_classes=[HasPermissions.of("a:b")])
    return cls.as_view(), lambda: setattr(cls, "permission_classes", [HasPermissions.of("c:d")])


def rewrite_permission_classes():
    cls = make_class(Plain, permission_classes=[HasPermissions.of("a:b")])
    return cls.as_view(), lambda: cls.permission_classes.__setitem__(0, HasPermissions.of("c:d"))


def replace_rules():
    cls = make_class(Plain, required_permissions={"GET": "a:b"})
    return cls.as_view(), lambda: setattr(cls, "required_permissions", {"GET": "c:d"})


def rewrite_rules_behind_the_mixin():
    base = make_class(Plain, required_permissions={"GET": "a:b"})
    view = make_class(LeastPrivilegeMixin, base).as_view()
    return view, lambda: base.required_permissions.update(GET="c:d")


def replace_permission_classes_of_the_route():
    view: Any = Orders.as_view({"get": "list"}, permission_classes=[HasPermissions.of("a:b")])
    return view, lambda: view.initkwargs.update(permission_classes=[HasPermissions.of("c:d")])


def map_another_action():
    cls = make_class(Orders, required_permissions={"list": "a:b", "export": "c:d"})
    view: Any = cls.as_view({"get": "list"})
    return view, lambda: view.actions.update(get="export", head="export")


def decorate_an_action():
    cls = make_class(Orders, list=requires("a:b")(Orders.list))
    return cls.as_view({"get": "list"}), lambda: setattr(cls, "list", requires("c:d")(Orders.list))


CHANGES = [
    replace_permission_classes,
    rewrite_permission_classes,
    replace_rules,
    rewrite_rules_behind_the_mixin,
    replace_permission_classes_of_the_route,
    map_another_action,
    decorate_an_action,
]


@pytest.mark.parametrize("method", ["get", "head"])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_counts_at_once(change, method) -> None:
    """Whatever a declaration is read from may change between two requests: the next one gets the new rule."""
    view, apply = change()
    with project(path("x", view)):
        client = Client()
        before = answers(client, "/x", "a:b", "c:d", method=method)
        apply()
        after = answers(client, "/x", "a:b", "c:d", method=method)
    assert ([200, 403], [403, 200]) == (before, after)


def test_one_class_in_two_routes_has_two_rules() -> None:
    """Two routes of one class differ in the arguments of `as_view`, and each has its own rule."""
    routes = [path(name, Plain.as_view(permission_classes=[HasPermissions.of(f"{name}:b")])) for name in ("a", "c")]
    with project(*routes):
        client = Client()
        assert [[200, 403], [403, 200]] == [answers(client, f"/{name}", "a:b", "c:b") for name in ("a", "c")]


class Asking(APIView):
    """A view whose permission classes depend on the request."""

    required_permissions = {"GET": "a:b"}

    def get_permissions(self):
        wanted = self.request.query_params.get("wanted")
        return [HasPermissions.of(wanted)() if wanted else HasPermissions()]

    def get(self, request):
        return Response("get")


def test_permission_classes_may_depend_on_the_request() -> None:
    """What `get_permissions` returns for one request is asked in that request, and in no other."""
    urls = ("/x", "/x?wanted=c:d", "/x?wanted=e:f", "/x")
    with project(path("x", Asking.as_view())):
        client = Client()
        with_all = [client.get(url, headers=bearer("a:b", "c:d")).status_code for url in urls]
        with_one = [client.get(url, headers=bearer("a:b")).status_code for url in urls]
    assert ([200, 200, 403, 200], [200, 403, 403, 200]) == (with_all, with_one)


CLASSES = {"permission_classes": [HasPermissions.of("a:b")]}, {"permission_classes": [HasPermissions.of("c:d")]}
RULES = {"required_permissions": {"GET": "a:b"}}, {"required_permissions": {"GET": "c:d"}}


@pytest.mark.parametrize(("declared", "changed"), [CLASSES, RULES], ids=["permission_classes", "required_permissions"])
def test_attributes_of_one_view_instance_count(declared, changed) -> None:
    """A view that changes its own attributes for one request is decided on anew, by what it has then."""
    base: Any = make_class(Plain, **{"permission_classes": [HasPermissions], **declared})

    class Changing(base):  # type: ignore[misc]  # made for this test
        def initial(self, request, *args, **kwargs):
            if "strict" in request.query_params:
                for name, value in changed.items():
                    setattr(self, name, value)
            super().initial(request, *args, **kwargs)

    with project(path("x", Changing.as_view())):
        client = Client()
        for _ in range(2):
            assert [200, 403] == answers(client, "/x", "a:b", "c:d")
            assert [403, 403] == answers(client, "/x?strict", "a:b", "c:d")
            assert 200 == client.get("/x?strict", headers=bearer("a:b", "c:d")).status_code


def test_parameters_that_a_view_changes_are_decided_on_anew() -> None:
    """The permission class asks about the parameters that the view has when it is asked."""

    class Changing(Plain):
        permission_classes = [HasPermissions]
        required_permissions = {"GET": "o:{pk}:read"}

        def initial(self, request, *args, **kwargs):
            self.kwargs["pk"] = 8
            super().initial(request, *args, **kwargs)

    with project(path("x/<int:pk>", Changing.as_view())):
        client = Client()
        assert [403, 403] == answers(client, "/x/7", "o:7:read", "o:8:read")
        assert 200 == client.get("/x/7", headers=bearer("o:7:read", "o:8:read")).status_code


def test_a_view_of_the_same_class_with_other_arguments_is_decided_on_anew() -> None:
    """A view that calls another view of its class, with other arguments of `as_view`, does not lend it its rule."""
    inner = Plain.as_view(permission_classes=[HasPermissions.of("c:d")])

    class Calling(Plain):
        permission_classes = [HasPermissions.of("a:b")]

        def get(self, request, **kwargs):
            if "again" in request.query_params:
                return type(self).as_view(permission_classes=[HasPermissions], required_permissions="c:d")(
                    request._request
                )
            return inner(request._request)

        required_permissions = None

    with project(path("x", Calling.as_view())):
        for url in ("/x", "/x?again"):
            assert [403, 403] == answers(Client(), url, "a:b", "c:d")


def test_extra_actions_and_format_suffixes_have_their_own_rules() -> None:
    """Routes of one viewset, by action and by suffix, do not share what was found for another."""

    class Items(LeastPrivilegeMixin, ViewSet):
        required_permissions = {"list": "i:list", "ship": "i:ship"}

        def list(self, request, format=None):  # noqa: A002 - REST framework's name
            return Response("list")

        @action(detail=False, methods=["get"])
        def ship(self, request, format=None):  # noqa: A002 - REST framework's name
            return Response("ship")

        @action(detail=False, permission_classes=[HasPermissions.of("i:top")])
        def top(self, request, format=None):  # noqa: A002 - REST framework's name
            return Response("top")

    from rest_framework.urlpatterns import format_suffix_patterns

    router = SimpleRouter()
    router.register("items", Items, "items")
    with project(*format_suffix_patterns(router.urls, allowed=["json"])):
        client = Client()
        for _ in range(2):
            assert [200, 403, 403] == answers(client, "/items/", "i:list", "i:ship", "i:top")
            assert [403, 200, 403] == answers(client, "/items/ship/", "i:list", "i:ship", "i:top")
            assert [403, 200, 403] == answers(client, "/items/ship.json", "i:list", "i:ship", "i:top")
            assert [403, 403, 403] == answers(client, "/items/top/", "i:list", "i:ship", "i:top")


REQUIREMENTS = st.sampled_from(["a:b", "c:d", all_of("a:b"), INHERITED, {"GET": "a:b"}, {"list": "c:d"}, {}, 7])
LISTS = st.lists(st.sampled_from([HasPermissions, HasPermissions.of("a:b"), HasPermissions.of("c:d")]), max_size=2)
METHODS = st.lists(st.sampled_from(["get", "post", "head", "options"]), max_size=4)
HANDLERS = st.sampled_from([Orders.list, requires("a:b")(Orders.list), requires("c:d", methods="POST")(Orders.list)])
MARKS = st.sampled_from([(), *(getattr(requires(each)(Orders.list), MARKS_ATTRIBUTE) for each in ("a:b", "c:d"))])
ACTIONS = st.dictionaries(st.sampled_from(["get", "post", "head"]), st.sampled_from(["list", "export"]), max_size=3)
INITKWARGS = st.fixed_dictionaries({}, optional={"required_permissions": REQUIREMENTS, "permission_classes": LISTS})
OF_CLASSES = {
    "required_permissions": REQUIREMENTS,
    "permission_classes": LISTS,
    "http_method_names": METHODS,
    "dispatch": st.sampled_from([APIView.dispatch, Plain.get]),
    **dict.fromkeys(["get", "post", "head", "list", "export"], HANDLERS),
}
OF_CALLBACKS = {
    "initkwargs": INITKWARGS,
    "actions": ACTIONS,
    MARKS_ATTRIBUTE: MARKS,
    INCLUDE_ATTRIBUTE: st.sampled_from([None, all_of("e:f")]),
}


def steps(owner, attributes):
    """One change: the owner's number, the attribute's name, and its new value; None deletes it."""
    return st.one_of(
        *(st.tuples(st.just(owner), st.just(name), st.none() | value) for name, value in attributes.items())
    )


@given(st.booleans(), st.lists(steps(0, OF_CALLBACKS) | steps(1, OF_CLASSES) | steps(2, OF_CLASSES)))
def test_the_cache_finds_what_the_view_declares(in_place, changes) -> None:
    """After any change of a callback, its class or a base, in place or not, the cache agrees with a new reading."""
    base = make_class(APIView)
    cls = make_class(LeastPrivilegeMixin, base, list=Orders.list, export=Orders.export)
    callback: Any = lambda request: None  # noqa: E731 - a function with attributes of its own
    callback.cls = cls
    cache = DeclarationCache()
    for number, name, value in [(0, "", None), *changes]:
        owner = (callback, cls, base)[number]
        old = vars(owner).get(name)
        if in_place and type(old) is type(value) and isinstance(old, (dict, list)):
            old.clear()
            old.update(value) if isinstance(old, dict) else old.extend(value)
        elif value is not None:
            setattr(owner, name, copy(value))
        elif name in vars(owner):
            delattr(owner, name)
        for method in ("GET", "HEAD", "POST", "OPTIONS", "FOO"):
            assert declaration_of(callback, method) == cache.find(callback, method)
