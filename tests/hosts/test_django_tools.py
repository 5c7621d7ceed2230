"""The Django adapter's user, command and test tools."""

# ruff: noqa: E402 - Django reads its settings first; views declare their rules as users do

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

pytest.importorskip("django")

from hosts.django_setup import AUTHORITY, configure, project

configure()

from django.contrib.auth.decorators import permission_required
from django.core.management import call_command, execute_from_command_line
from django.http import HttpResponse
from django.template import engines
from django.test import AsyncClient, Client, override_settings
from django.urls import path

from jwt_lp import ConfigurationError
from jwt_lp.testing.authority import Authority, LeastPrivilegeTesting
from jwt_lp_django import TokenUser, guard_from, public, requires
from jwt_lp_django.guard_access import guard_holder
from jwt_lp_django.routes import host

pytestmark = pytest.mark.host

OWN = {key: value for key, value in AUTHORITY.settings(CEILING=["**"]).items() if key not in {"ISSUER", "POLICY"}}
ISSUERS = {"ISSUERS": {name: {**OWN, "ISSUER": f"https://{name}.test"} for name in ("one", "two")}}


def user(*permissions, subject="alice"):
    guard = guard_from()
    token: Any = guard.authenticate(AUTHORITY.headers(subject, permissions)["Authorization"]).token
    return TokenUser(token, guard)


def greeting(request):
    return HttpResponse(f"hello {request.access_token.subject}")


def test_a_user_has_the_tokens_permissions() -> None:
    """The token answers every question; no permission covers single objects, and a malformed name is not held."""
    alice = user("orders:read", "shop.view_order", "carts:*")
    permissions = ["orders:read", "shop.view_order", "carts:open", "orders:write", "a:*", ""]
    assert [True, True, True, False, False, False] == [alice.has_perm(permission) for permission in permissions]
    assert [False, True, False] == [
        alice.has_perm("orders:read", object()),
        alice.has_perms(["orders:read", "carts:open"]),
        alice.has_perms(["orders:read", "x"]),
    ]
    assert [True, True, False] == [alice.has_module_perms(label) for label in ("orders", "shop", "sho")]
    assert {"orders:read", "shop.view_order"} == alice.get_all_permissions() == alice.get_user_permissions()
    assert set() == alice.get_group_permissions()


def test_async_methods_of_a_user_answer_the_same() -> None:
    """The async methods return the same as the sync ones."""
    alice = user("orders:read")

    async def ask():
        return [
            await alice.ahas_perm("orders:read"),
            await alice.ahas_perms(["orders:read", "x"]),
            await alice.ahas_module_perms("orders"),
            await alice.aget_all_permissions(),
        ]

    assert [True, False, True, {"orders:read"}] == asyncio.run(ask())


def test_a_user_is_never_staff() -> None:
    """The user is authenticated and active, but never staff or superuser, whatever the claims say."""
    claims = {"is_staff": True, "is_superuser": True}
    token: Any = guard_from().authenticate(AUTHORITY.headers("root", claims=claims)["Authorization"]).token
    alice = TokenUser(token, guard_from())
    assert (True, True, False, False, False) == (
        alice.is_authenticated,
        alice.is_active,
        alice.is_anonymous,
        alice.is_staff,
        alice.is_superuser,
    )
    assert {"root"} == {alice.pk, alice.id, alice.username, alice.get_username(), str(alice)}


def test_users_are_equal_by_issuer_and_subject() -> None:
    """Two tokens of one subject give equal users; another subject or another object is not equal."""
    assert user() == user("a:b")
    assert 1 == len({user(), user("a:b")})
    assert user() != user(subject="bob")
    assert user() != "alice"


def test_a_users_list_of_permissions_is_no_string() -> None:
    """As in Django, a str instead of a list is an error."""
    with pytest.raises(ValueError, match="iterable"):
        user().has_perms("orders:read")


def test_djangos_own_tools_use_the_token() -> None:
    """`permission_required` and `{{ perms }}` in templates use the permissions of the token."""
    template = engines["django"].from_string("{{ perms.shop.view }}{{ perms.shop.edit }}")

    def view(request):
        return HttpResponse(template.render({}, request))

    with project(path("x", requires("a:b")(permission_required("shop.view", raise_exception=True)(view)))):
        responses = [Client().get("/x", headers=AUTHORITY.headers("a", ["a:b", *more])) for more in ([], ["shop.view"])]
    assert [(403, False), (200, True)] == [(page.status_code, page.content == b"TrueFalse") for page in responses]


def test_the_fixture_installs_an_authority(lp) -> None:
    """`lp.install()` keeps the project's other settings, and `lp.login` makes its clients send a token."""
    other = Authority()
    with project(path("x", requires("a:b")(greeting)), lp=other.settings(AUDIENCE="https://mine.test")):
        lp.install()
        assert frozenset({"https://mine.test"}) == guard_from().settings.issuers[0].audience
        client, aclient = Client(), AsyncClient()
        lp.login(client, "carol", ["a:b"])
        lp.login(aclient, "dave", ["a:b"])
        assert b"hello carol" == client.get("/x").content
        assert b"hello dave" == asyncio.run(aclient.get("/x")).content
        lp.close()
        assert 401 == client.get("/x").status_code


def test_the_fixture_knows_rest_frameworks_client() -> None:
    """`lp.login` works with `APIClient` too."""
    testing = pytest.importorskip("rest_framework.test")
    lp = LeastPrivilegeTesting()
    with project(path("x", requires("a:b")(greeting))):
        lp.install()
        client = testing.APIClient()
        lp.login(client, permissions=["a:b"])
        assert b"hello alice" == client.get("/x").content
        lp.close()
    assert False is host.login(object(), "Bearer x")


def test_the_guard_follows_the_settings() -> None:
    """Changed settings create a new guard, and a swapped guard is restored."""
    before = guard_from()
    assert before is guard_from()
    with override_settings(JWT_LP=AUTHORITY.settings(SERVICE="other")):
        assert "other" == guard_from().settings.service
        with guard_holder().swap_guard(before):
            assert guard_from() is before
        assert "other" == guard_from().settings.service
    assert "" == guard_from().settings.service


def test_all_faults_of_settings_are_in_one_error() -> None:
    """One error lists every fault."""
    with override_settings(JWT_LP={"ISUER": "x"}), pytest.raises(ConfigurationError) as raised:
        guard_from()
    assert len(raised.value.faults) > 2


def test_the_command_lists_the_routes(capsys) -> None:
    """`manage.py jwt_lp routes --json` runs `jwt-lp routes --json` for this project, with its exit code."""
    pytest.importorskip("rich")
    with project(path("x", public(greeting)), path("u", greeting)):
        with pytest.raises(SystemExit) as stop:
            execute_from_command_line(["manage.py", "jwt_lp", "routes", "--json"])
        listed = json.loads(capsys.readouterr().out)
    assert (1, ["/x", "/u"]) == (stop.value.code, [route["template"] for route in listed])


def test_call_command_runs_the_command(capsys) -> None:
    """`call_command` passes its arguments on, and returns if the exit code is 0."""
    pytest.importorskip("rich")
    with project(path("x", public(greeting))):
        call_command("jwt_lp", "routes", "--json")
        assert "/x" in capsys.readouterr().out
    with project(path("u", greeting)), pytest.raises(SystemExit):
        call_command("jwt_lp", "routes", "--json")


def test_a_binding_must_name_its_issuer() -> None:
    """With several issuers a binding without an issuer is an error of the check."""
    from jwt_lp_django.checks import run_checks

    with project(path("x/<n>", requires("a:b", where={"n": "sub"})(greeting)), lp=ISSUERS):
        assert ["jwt_lp.E005"] == [message.id for message in run_checks()]
