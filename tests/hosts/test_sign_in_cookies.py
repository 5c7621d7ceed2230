"""Journeys through sign-in in each host, over real HTTP, with the tokens in cookies of a browser."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy (extra `sql`)")

from hosts.apps.sign_in_apps import PASSWORD
from hosts.serving import HttpAnswer
from hosts.test_sign_in import FORM, INSTALLED, JSON, Session, opened
from jwt_lp.guard.cookies import refresh_check

WITH_COOKIES = [name for name in INSTALLED if name != "django"]


@pytest.fixture(scope="module", params=WITH_COOKIES)
def cookies(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """An application with the tokens in cookies."""
    with opened(request.param, tmp_path_factory.mktemp("cookies"), COOKIE=True, options={"grace": 0}) as session:
        yield session


def test_a_journey_with_tokens_in_cookies(cookies: Session) -> None:
    """Sign in, call, refresh and sign out with cookies: no token is in a body."""
    signed_in = cookies.browse("POST /auth/token", _credentials(), JSON)
    assert 200 == signed_in.status
    assert {"expires_in", "refresh_expires_in", "scope", "csrf_token"} == signed_in.json.keys()
    assert "no-store" == signed_in.headers["cache-control"]
    assert {"__Host-access": "/", "__Secure-refresh": "/auth", "__Host-refresh-check": "/"} == {
        name: path for name, (_, path) in cookies.jar.items() if name not in ("__Host-csrf", "csrftoken")
    }
    assert 200 == cookies.browse("GET /orders").status
    refused = cookies.browse("POST /orders")
    assert (403, "csrf") == (refused.status, refused.json["error"])
    first = dict(cookies.jar)
    assert 200 == cookies.browse("POST /orders", None, _csrf(signed_in)).status
    refreshed = cookies.browse("POST /auth/refresh")
    assert 200 == refreshed.status
    assert first["__Host-access"] != cookies.jar["__Host-access"]
    assert 200 == cookies.browse("POST /orders", None, _csrf(refreshed)).status
    assert 204 == cookies.browse("POST /auth/sign-out").status
    assert {} == {name: value for name, value in cookies.jar.items() if name != "csrftoken"}
    assert 401 == cookies.browse("GET /orders").status
    # The refresh token of before is worth nothing.
    cookies.jar.update(first)
    assert 401 == cookies.browse("POST /auth/refresh").status
    cookies.poll()
    assert 401 == cookies.browse("GET /orders").status
    cookies.jar.clear()


def test_signing_out_everywhere_with_cookies(cookies: Session) -> None:
    """Each browser of the subject is signed out."""
    other = Session(cookies.http, cookies.app)
    for browser in (cookies, other):
        assert 200 == browser.browse("POST /auth/token", _credentials("bob"), JSON).status
    assert 204 == other.browse("POST /auth/sign-out-everywhere").status
    cookies.poll()
    assert 401 == cookies.browse("GET /orders").status
    assert 401 == cookies.browse("POST /auth/refresh").status
    cookies.jar.clear()


def test_no_other_site_signs_a_browser_in_or_out(cookies: Session) -> None:
    """Without a sign of this origin nothing happens: no cookie is set, and the session goes on."""
    attacker = (("Origin", "https://attacker.test"), ("Sec-Fetch-Site", "cross-site"))
    form = f"username=alice&password={PASSWORD}".replace(" ", "+").encode()
    for headers in ((), attacker, (("Origin", "null"),), (("Sec-Fetch-Site", "same-site"),)):
        answer = cookies.send("POST /auth/token", form, (*FORM, *headers))
        assert (403, "csrf", ()) == (answer.status, answer.json["error"], answer.cookies)
    cookies.browse("POST /auth/token", _credentials(), JSON)
    sent = (("Cookie", _as_cookies(cookies.jar["__Secure-refresh"][0])),)
    for path in ("refresh", "sign-out", "sign-out-everywhere"):
        answer = cookies.send(f"POST /auth/{path}", b"", (*sent, *attacker))
        assert (403, ()) == (answer.status, answer.cookies)
    assert 200 == cookies.browse("POST /auth/refresh").status
    cookies.jar.clear()


def test_bad_refresh_cookies(cookies: Session) -> None:
    """Two refresh cookies, one that is malformed, one beside a token in the body, and none at all."""
    cookies.browse("POST /auth/token", _credentials(), JSON)
    refresh, access = cookies.jar["__Secure-refresh"][0], cookies.jar["__Host-access"][0]
    here = (("Origin", cookies.origin), ("Sec-Fetch-Site", "same-origin"))

    def refreshed(value: str, body: bytes = b"") -> int:
        headers = (("Cookie", value),) if value else ()
        return cookies.send("POST /auth/refresh", body, (*headers, *here, *JSON)).status

    assert 400 == refreshed(f"{_as_cookies(refresh)}; __Secure-refresh={refresh}")
    assert 400 == refreshed(f'__Secure-refresh="{refresh}"')
    assert 400 == refreshed(_as_cookies(refresh), json.dumps({"refresh_token": refresh}).encode())
    assert 401 == refreshed("")
    assert 401 == refreshed("", json.dumps({"refresh_token": refresh}).encode())
    assert 401 == refreshed(_as_cookies(access))
    # A host below the same domain can set the one cookie, but not the other.
    assert 401 == refreshed(f"__Secure-refresh={refresh}")
    assert 204 == cookies.send("POST /auth/sign-out", b"", here).status
    # An access cookie alone does not refresh, and a refresh token is no access cookie.
    assert 401 == cookies.send("GET /orders", None, (("Cookie", f"__Host-access={refresh}"),)).status
    cookies.jar.clear()


def _as_cookies(refresh: str) -> str:
    return f"__Secure-refresh={refresh}; __Host-refresh-check={refresh_check(refresh)}"


def _credentials(username: str = "alice") -> bytes:
    return json.dumps({"username": username, "password": PASSWORD}).encode()


def _csrf(answer: HttpAnswer) -> tuple[tuple[str, str], ...]:
    token = answer.json["csrf_token"]
    return (("X-CSRF-Token", token), ("X-CSRFToken", token))
