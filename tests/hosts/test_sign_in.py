"""Journeys through sign-in in each host, over real HTTP, with the tokens in bodies; and what is Django's own."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from hosts.apps.sign_in_apps import APPS, PASSWORD, SignInApp
from hosts.serving import HttpAnswer, HttpClient, serve

pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy (extra `sql`)")

JSON = (("Content-Type", "application/json"),)
FORM = (("Content-Type", "application/x-www-form-urlencoded"),)
INSTALLED = [name for name, (package, _) in APPS.items() if find_spec(package)]
# Each host once: Django under WSGI here, and under ASGI with cookies.
WITH_BODIES = [name for name in INSTALLED if name != "django-async"]


@dataclass
class Session:
    """A client of one served application; it keeps cookies as a browser does."""

    http: HttpClient
    app: SignInApp
    jar: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])

    def send(
        self,
        request: str,
        body: bytes | None = None,
        headers: tuple[tuple[str, str], ...] = (),
        token: str | None = None,
    ) -> HttpAnswer:
        """Send exactly these headers, and `token` as the access token."""
        method, _, path = request.partition(" ")
        bearer = () if token is None else (("Authorization", f"Bearer {token}"),)
        return self.http.request(method, path, (*headers, *bearer), b"" if body is None and method == "POST" else body)

    def post(self, path: str, **members: object) -> HttpAnswer:
        return self.send(f"POST {path}", json.dumps(members).encode(), JSON)

    def sign_in(self, username: str = "alice", password: str = PASSWORD) -> HttpAnswer:
        return self.post("/auth/token", username=username, password=password)

    def browse(self, request: str, body: bytes | None = None, headers: tuple[tuple[str, str], ...] = ()) -> HttpAnswer:
        """Send what a page of this host would send, with the cookies that belong to the path, and keep the new ones."""
        path = request.split(" ")[1]
        cookies = "; ".join(f"{name}={value}" for name, (value, where) in self.jar.items() if path.startswith(where))
        sent = (("Cookie", cookies),) if cookies else ()
        answer = self.send(request, body, (*sent, ("Origin", self.origin), ("Sec-Fetch-Site", "same-origin"), *headers))
        for line in answer.cookies:
            for name, morsel in SimpleCookie(line).items():
                self.jar[name] = (morsel.value, morsel["path"])
                if morsel["max-age"] == "0":
                    del self.jar[name]
        return answer

    @property
    def origin(self) -> str:
        """The origin of a page of this host."""
        return f"{self.app.origin_scheme}://127.0.0.1:{self.http.port}"

    def poll(self) -> None:
        """Wait until the guard has seen what is revoked now."""
        runtime: Any = self.app.guard._runtime
        runtime.sync._poll()


@contextmanager
def opened(name: str, folder: Path, **lp: object) -> Iterator[Session]:
    options = lp.pop("options", {})
    with APPS[name][1](folder, lp, options) as app, serve(app.kind, app.app) as http:  # type: ignore[arg-type]
        yield Session(http, app)


@pytest.fixture(scope="module", params=WITH_BODIES)
def bodies(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """An application with the tokens in bodies."""
    with opened(request.param, tmp_path_factory.mktemp("bodies"), options={"grace": 0}) as session:
        yield session


def test_a_journey_with_tokens_in_bodies(bodies: Session) -> None:
    """Sign in, call, refresh; a used refresh token ends the session, and its access tokens are refused."""
    signed_in = bodies.sign_in()
    assert (200, "Bearer", "no-store") == (
        signed_in.status,
        signed_in.json["token_type"],
        signed_in.headers["cache-control"],
    )
    assert () == signed_in.cookies
    access, refresh = signed_in.json["access_token"], signed_in.json["refresh_token"]
    assert 200 == bodies.send("GET /orders", token=access).status
    assert 401 == bodies.send("GET /orders", token=refresh).status
    refreshed = bodies.post("/auth/refresh", refresh_token=refresh)
    assert 200 == refreshed.status
    newer = refreshed.json["access_token"]
    assert {200} == {bodies.send("GET /orders", token=token).status for token in (access, newer)}
    time.sleep(0.01)
    reused = bodies.post("/auth/refresh", refresh_token=refresh)
    assert (401, "invalid_grant", "Bearer") == (reused.status, reused.json["error"], reused.headers["www-authenticate"])
    assert 401 == bodies.post("/auth/refresh", refresh_token=refreshed.json["refresh_token"]).status
    bodies.poll()
    assert {401} == {bodies.send("GET /orders", token=token).status for token in (access, newer)}


def test_signing_out_of_one_session(bodies: Session) -> None:
    """Sign-out ends its session alone; with a form instead of JSON too."""
    one, two = bodies.sign_in().json, bodies.sign_in().json
    form = f"refresh_token={one['refresh_token']}".encode()
    assert 204 == bodies.send("POST /auth/sign-out", form, FORM).status
    bodies.poll()
    assert [401, 200] == [bodies.send("GET /orders", token=each["access_token"]).status for each in (one, two)]
    assert 401 == bodies.post("/auth/refresh", refresh_token=one["refresh_token"]).status
    # Signing out twice is no error.
    assert 204 == bodies.send("POST /auth/sign-out", form, FORM).status


def test_signing_out_everywhere(bodies: Session) -> None:
    """Sign-out everywhere ends all sessions of this subject, and of no other."""
    one, two, other = bodies.sign_in("bob").json, bodies.sign_in("bob").json, bodies.sign_in("alice").json
    assert 204 == bodies.post("/auth/sign-out-everywhere", refresh_token=one["refresh_token"]).status
    bodies.poll()
    answers = [bodies.send("GET /orders", token=each["access_token"]).status for each in (one, two, other)]
    assert [401, 401, 200] == answers
    assert 401 == bodies.post("/auth/refresh", refresh_token=two["refresh_token"]).status


def test_wrong_credentials_and_requests(bodies: Session) -> None:
    """An unknown user and a wrong password get the same answer; the body is read strictly, and not beyond its bound."""
    wrong, unknown = bodies.sign_in("alice", "wrong"), bodies.sign_in("nobody", "wrong")
    assert (401, 401) == (wrong.status, unknown.status)
    assert {**wrong.json, "reference": 0} == {**unknown.json, "reference": 0}
    requests = {
        400: [
            b"{}",
            b"[]",
            b'{"username":"alice","password":"x","more":"y"}',
            b'{"username":"a","username":"b"}',
            b"\xff",
        ],
        413: [b" " * 1_000_000],
    }
    for status, bodies_sent in requests.items():
        assert {status} == {bodies.send("POST /auth/token", body, JSON).status for body in bodies_sent}
    assert 415 == bodies.send("POST /auth/token", b"{}", (("Content-Type", "text/plain"),)).status
    assert 405 == bodies.send("GET /auth/token").status
    assert 400 == bodies.post("/auth/refresh", refresh_token="").status
    access = bodies.sign_in().json["access_token"]
    assert 401 == bodies.post("/auth/refresh", refresh_token=access).status


def test_a_guarded_route_needs_a_token_and_sign_in_does_not(bodies: Session) -> None:
    """The endpoints are declared, so the guard lets them pass; a bad access token does not matter there."""
    assert 401 == bodies.send("GET /orders").status
    body = json.dumps({"username": "alice", "password": PASSWORD}).encode()
    assert 200 == bodies.send("POST /auth/token", body, JSON, "junk").status


def test_who_was_locked_out_is_signed_out_at_the_next_refresh(bodies: Session) -> None:
    """What somebody may do is asked at each refresh; a user that is inactive gets nothing."""
    signed_in = bodies.sign_in("carol").json
    bodies.app.lock_out("carol")
    assert 401 == bodies.post("/auth/refresh", refresh_token=signed_in["refresh_token"]).status
    assert 401 == bodies.sign_in("carol").status


@contextmanager
def _django_users(folder: Path, **options: Any) -> Iterator[Any]:
    """A Django project with its users, and a client for it."""
    with APPS["django"][1](folder, {}, options):
        from django.test import Client

        yield Client()


@pytest.mark.skipif("django" not in INSTALLED, reason="needs Django")
def test_django_asks_its_backends_and_sends_its_signals(tmp_path: Path) -> None:
    """Each backend gets the request, and Django's signal tells of a failed attempt."""
    with _django_users(tmp_path) as client:
        from django.contrib.auth.signals import user_login_failed
        from django.test import override_settings

        failed: list[tuple[str, object]] = []

        def note(credentials: dict[str, Any], request: Any, **_: Any) -> None:
            failed.append((credentials["username"], request.path))

        user_login_failed.connect(note)
        try:
            backends = ["django.contrib.auth.backends.ModelBackend", "hosts.test_sign_in.HeaderBackend"]
            with override_settings(AUTHENTICATION_BACKENDS=backends):
                wrong = client.post("/auth/token", {"username": "alice", "password": "wrong"}, "application/json")
                body = {"username": "alice", "password": "from the header"}
                right = client.post("/auth/token", body, "application/json", headers={"X-Password": "from the header"})
        finally:
            user_login_failed.disconnect(note)
    assert (401, 200, [("alice", "/auth/token")]) == (wrong.status_code, right.status_code, failed)


class HeaderBackend:
    """A backend of a project, which needs the request."""

    def authenticate(self, request: Any, username: str = "", password: str = "") -> Any:
        from django.contrib.auth.models import User

        matches = request is not None and request.headers.get("X-Password") == password
        return User.objects.get(username=username) if matches else None


@pytest.mark.skipif("django" not in INSTALLED, reason="needs Django")
def test_groups_and_permissions_of_django_become_roles(tmp_path: Path) -> None:
    """They are read anew at each refresh; a user that was deleted is signed out, and an inactive one too."""
    with _django_users(tmp_path, grace=0) as client:
        from django.contrib.auth.models import User

        from jwt_lp.jose.jws import parse_compact, read_json

        def roles(answer: Any) -> object:
            return read_json(parse_compact(answer.json()["access_token"]).payload, "payload").get("roles")

        def refresh(answer: Any) -> Any:
            return client.post("/auth/refresh", {"refresh_token": answer.json()["refresh_token"]}, "application/json")

        body = {"username": "alice", "password": PASSWORD}
        first = client.post("/auth/token", body, "application/json")
        assert ["reader", "clerk"] == roles(first)
        user = User.objects.get(username="alice")
        user.groups.clear()
        second = refresh(first)
        assert ["clerk"] == roles(second)
        user.user_permissions.clear()
        third = refresh(second)
        assert roles(third) in (None, [])
        # Without the signals of `delete`, which look for the tables of other applications.
        User.objects.filter(pk=user.pk)._raw_delete(User.objects.db)
        assert 401 == refresh(third).status_code


@pytest.mark.parametrize("name", [name for name in INSTALLED if name in ("flask", "django", "django-async", "drf")])
def test_the_hosts_signals_tell_of_a_journey(name: str, tmp_path: Path) -> None:
    """Each sign-in, sign-out, end of all sessions and reuse of a refresh token is one signal of the host."""
    package = APPS[name][0].replace("rest_framework", "django")
    signals: Any = pytest.importorskip(f"jwt_lp_{package}.signals")
    told: list[tuple[str, str, object]] = []

    def receive(sender: object, event: str, members: dict[str, Any], signal: Any = None, **_: object) -> None:
        told.append((event, members["subject"], "token" in str(members)))

    sent = [signals.signed_in, signals.signed_out, signals.revoked]
    for signal in sent:
        signal.connect(receive)
    try:
        with opened(name, tmp_path, options={"grace": 0}) as session:
            one, two, three = (session.sign_in().json["refresh_token"] for _ in range(3))
            assert 401 == session.sign_in(password="wrong").status
            assert 204 == session.post("/auth/sign-out", refresh_token=one).status
            assert 204 == session.post("/auth/sign-out", refresh_token=one).status
            assert 200 == session.post("/auth/refresh", refresh_token=two).status
            time.sleep(0.01)
            assert 401 == session.post("/auth/refresh", refresh_token=two).status
            assert 204 == session.post("/auth/sign-out-everywhere", refresh_token=three).status
    finally:
        for signal in sent:
            signal.disconnect(receive)
    events = ["signed-in"] * 3 + ["signed-out", "refresh-reused", "signed-out-everywhere"]
    assert [(event, told[0][1], False) for event in events] == told
    assert told[0][1] in ("alice", "1")


@pytest.mark.skipif("django" not in INSTALLED, reason="needs Django")
def test_django_signs_in_where_requests_are_transactions(tmp_path: Path) -> None:
    """Under ATOMIC_REQUESTS too, tokens are made, and a session that has ended is not rolled back."""
    with _django_users(tmp_path, grace=0) as client:
        from django.db import connections

        # Each project of these tests has an alias of its own.
        for name in connections:
            connections.settings[name]["ATOMIC_REQUESTS"] = name.startswith("lp_")

        def post(path: str, **members: object) -> Any:
            return client.post(f"/auth/{path}", members, "application/json")

        first = post("token", username="alice", password=PASSWORD)
        if first.status_code == 503:
            # The guard's first heartbeat was written meanwhile, and in SQLite a transaction that has read cannot wait.
            first = post("token", username="alice", password=PASSWORD)
        assert 200 == first.status_code
        token = {"refresh_token": first.json()["refresh_token"]}
        second = post("refresh", **token)
        assert [200, 401] == [second.status_code, post("refresh", **token).status_code]
        # The refused request ended the session for good.
        assert 401 == post("refresh", refresh_token=second.json()["refresh_token"]).status_code
        third = post("token", username="alice", password=PASSWORD).json()["refresh_token"]
        assert 204 == post("sign-out-everywhere", refresh_token=third).status_code
        assert 401 == post("refresh", refresh_token=third).status_code
