"""`LOCAL_USER` in Django and REST framework: `request.user` is a user of the project's own model."""

# ruff: noqa: E402 - Django reads its settings first; views declare their rules as users do

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest

pytest.importorskip("django")

from hosts.django_setup import AUTHORITY, configure, project

configure()

from asgiref.sync import async_to_sync
from django.contrib.auth.models import Permission, User
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext
from django.urls import path

from jwt_lp import AccessToken
from jwt_lp.guard.issuer_reader import ISSUER_KEYS
from jwt_lp_django import TokenUser, authenticated, external, public, requires
from jwt_lp_django.signals import refused

pytestmark = pytest.mark.host

MADE = "hosts.test_django_local_user.found_or_made"


def found_or_made(token: AccessToken) -> Any:
    return User.objects.get_or_create(username=f"{token.issuer_name}|{token.subject}")[0]


def nobody(token: AccessToken) -> None:
    return None


@pytest.fixture(scope="module", autouse=True)
def _tables() -> None:
    call_command("migrate", verbosity=0)


@pytest.fixture(autouse=True)
def _no_users(_tables: None) -> Iterator[None]:
    User.objects.all().delete()
    yield
    User.objects.all().delete()


def settings(source: Any = found_or_made, **more: Any) -> dict[str, Any]:
    return AUTHORITY.settings(LOCAL_USER=source, **more)


def bearer(subject: str = "alice", **more: Any) -> dict[str, str]:
    return AUTHORITY.headers(subject, ["orders:list"], **more)


@authenticated
def me(request: Any) -> JsonResponse:
    mine = Permission.objects.filter(user=request.user).count()
    return JsonResponse({"type": type(request.user._wrapped).__name__, "name": request.user.username, "mine": mine})


@requires("orders:list")
def untouched(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok")


@authenticated
async def ame(request: Any) -> JsonResponse:
    return JsonResponse({"name": (await request.auser()).username})


@authenticated
def catching(request: HttpRequest) -> HttpResponse:
    for _ in range(2):
        with suppress(Exception):
            assert request.user.pk
    return HttpResponse("nothing happened")


PATTERNS = [
    path("me", me),
    path("untouched", untouched),
    path("ame", ame),
    path("catching", catching),
    path("public", public(lambda request: HttpResponse(str(hasattr(request, "user"))))),
    path("external", external("its own")(lambda request: HttpResponse(str(hasattr(request, "user"))))),
    path("known", public(identify=True)(lambda request: HttpResponse(request.user.username))),
]


@pytest.mark.parametrize("source", [found_or_made, MADE])
def test_the_user_is_made_at_first_sight_and_found_later(source: Any) -> None:
    """`request.user` is a user of the model, usable in a query, also under ASGI and on an identified view."""
    expected = {"type": "User", "name": "default|alice", "mine": 0}
    with project(*PATTERNS, lp=settings(source)):
        assert [expected] * 2 == [Client().get("/me", headers=bearer()).json() for _ in range(2)]
        assert b"default|alice" == Client().get("/known", headers=bearer()).content
        answer = async_to_sync(_get)("/ame")
    assert {"name": "default|alice"} == answer
    assert 1 == User.objects.count()


async def _get(url: str) -> Any:
    return (await AsyncClient().get(url, headers=bearer())).json()


def test_no_query_where_nobody_asks() -> None:
    """A view that does not ask for the user costs no query, and neither does a route without a token."""
    with project(*PATTERNS, lp=settings()), CaptureQueriesContext(connection) as queries:
        assert b"ok" == Client().get("/untouched", headers=bearer()).content
        assert [b"False", b"False"] == [Client().get(url, headers=bearer()).content for url in ("/public", "/external")]
        assert 401 == Client().get("/me", headers={"Authorization": "Bearer x"}).status_code
    assert [] == queries.captured_queries
    assert 0 == User.objects.count()


@pytest.mark.parametrize(("ttl", "found"), [(0, 3), (60, 1)])
def test_a_kept_user_is_not_looked_up_again(ttl: int, found: int) -> None:
    """With `LOCAL_USER_TTL` the user is kept between requests, for its subject alone, and no request changes it."""
    asked: list[str] = []

    def source(token: AccessToken) -> Any:
        asked.append(token.subject)
        return found_or_made(token)

    def rename(request: Any) -> HttpResponse:
        before, request.user.username = request.user.username, "mallory"
        return HttpResponse(before)

    with project(path("x", authenticated(rename)), lp=settings(source, LOCAL_USER_TTL=ttl)):
        answers = [Client().get("/x", headers=bearer()).content for _ in range(3)]
        other = Client().get("/x", headers=bearer("bob")).content
    assert [b"default|alice"] * 3 == answers
    assert b"default|bob" == other
    assert [*["alice"] * found, "bob"] == asked


def inactive(token: AccessToken) -> Any:
    return User(username="x", is_active=False)


@pytest.mark.parametrize(("source", "cause"), [(inactive, "inactive_user"), (nobody, "unknown_user")])
def test_without_an_active_user_the_request_is_refused(
    source: Any, cause: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A view that asks for a user who is unknown or not active ends with 401, whatever it catches; the log says why."""
    with project(*PATTERNS, lp=settings(source)):
        for url in ("/me", "/catching"):
            caplog.clear()
            answer = Client().get(url, headers=bearer())
            assert (401, True) == (answer.status_code, b"invalid_token" in answer.content)
            # Asked twice, it is refused once.
            assert [cause] == [
                vars(record)["jwt_lp"]["cause"] for record in caplog.records if hasattr(record, "jwt_lp")
            ]
        assert 401 == async_to_sync(_status)("/ame")
        assert 200 == Client().get("/untouched", headers=bearer()).status_code
        # A public route refuses nobody.
        assert (200, b"") == ((known := Client().get("/known", headers=bearer())).status_code, known.content)


def test_such_a_refusal_is_sent_as_a_signal() -> None:
    """As every other refusal is, once for each request, under ASGI too."""
    sent: list[tuple[str, str]] = []

    def note(request: Any, decision: Any, **_: Any) -> None:
        sent.append((request.path, decision.refusal.code))

    refused.connect(note)
    try:
        with project(*PATTERNS, lp=settings(nobody)):
            for url in ("/me", "/catching"):
                assert 401 == Client().get(url, headers=bearer()).status_code
            assert 401 == async_to_sync(_status)("/ame")
    finally:
        refused.disconnect(note)
    assert [(url, "unknown_user") for url in ("/me", "/catching", "/ame")] == sent


async def _status(url: str) -> int:
    return (await AsyncClient().get(url, headers=bearer())).status_code


def test_observe_mode_gives_djangos_anonymous_user(caplog: pytest.LogCaptureFixture) -> None:
    """In observe mode a view without a user gets Django's anonymous one, and the log has the refusal."""
    view = authenticated(lambda request: HttpResponse(f"{request.user.is_anonymous}"))
    with project(path("x", view), lp=settings(nobody, OBSERVE_UNTIL=datetime.now(UTC).date())):
        assert b"True" == Client().get("/x", headers=bearer()).content
    assert "unknown_user" in caplog.text


def test_an_applications_own_token_has_no_local_user() -> None:
    """A token without a user keeps the stateless one, and the function is not asked."""
    kinds: list[Any] = []

    @authenticated
    def view(request: HttpRequest) -> HttpResponse:
        kinds.append(type(request.user))
        return HttpResponse()

    with project(path("x", view), lp=settings(nobody, OWN=False)):
        headers = bearer("batch", client="batch")
        assert 200 == Client().get("/x", headers=headers).status_code
    assert [TokenUser] == kinds


@pytest.mark.parametrize(("source", "subject", "field"), [("by_pk", "7", "id"), ("by_username", "alice", "username")])
def test_the_shipped_functions_find_a_user_by_the_subject(source: str, subject: str, field: str) -> None:
    """`by_pk` and `by_username` find the one user that the subject names, character by character."""
    User.objects.create(**{"id": 7, "username": "alice", field: subject})
    with project(*PATTERNS, lp=settings(f"jwt_lp_django.local_user.{source}")):
        assert "alice" == Client().get("/me", headers=bearer(subject)).json()["name"]
        for other in ("07", " 7", "7 ", "\u0667", "8", "x", "Alice", "alice ", "9" * 30):
            assert 401 == Client().get("/me", headers=bearer(other)).status_code, other


def test_the_shipped_functions_need_one_issuer() -> None:
    """With several issuers each could name any user, so the functions refuse to answer."""
    one = {name: value for name, value in AUTHORITY.settings(CEILING=["**"]).items() if name in ISSUER_KEYS}
    other = {**one, "ISSUER": "https://other.example", "OWN": False}
    lp = {"ISSUERS": {"a": one, "b": other}, "LOCAL_USER": "jwt_lp_django.local_user.by_pk"}
    with project(*PATTERNS, lp=lp), pytest.raises(Exception, match="with several issuers"):
        Client().get("/me", headers=bearer("7"))


@pytest.mark.parametrize("source", ["nowhere.at_all", "hosts.test_django_local_user.nothing", f"{__name__}.MADE"])
def test_a_wrong_function_stops_the_start(source: str) -> None:
    """A function that cannot be imported, or is none, is an error at start."""
    with project(*PATTERNS, lp=settings(source)), pytest.raises(ImproperlyConfigured, match="LOCAL_USER"):
        get_wsgi_application()


def test_rest_framework_gets_the_same_user() -> None:
    """In REST framework `filter(owner=request.user)` works, the token is `request.auth`, and nothing is asked early."""
    pytest.importorskip("rest_framework")
    from rest_framework.decorators import api_view
    from rest_framework.response import Response

    @api_view()
    @requires("orders:list")
    def mine(request: Any) -> Any:
        count = Permission.objects.filter(user=request.user).count()
        return Response({"mine": count, "name": request.user.username, "auth": request.auth.subject})

    @api_view()
    @requires("orders:list")
    def other(request: Any) -> Any:
        return Response({"auth": request.auth.subject})

    patterns = [path("mine", mine), path("other", other)]
    with project(*patterns, lp=settings()):
        with CaptureQueriesContext(connection) as queries:
            assert {"auth": "alice"} == Client().get("/other", headers=bearer()).json()
        assert [] == queries.captured_queries
        expected = {"mine": 0, "name": "default|alice", "auth": "alice"}
        assert expected == Client().get("/mine", headers=bearer()).json()
    with project(*patterns, lp=settings(inactive)):
        answer = Client().get("/mine", headers=bearer())
        assert (401, "invalid_token") == (answer.status_code, answer.json()["error"])
        assert answer.headers["WWW-Authenticate"].startswith("Bearer error=")
