"""The endpoints that hosts mount: tokens in bodies or in cookies, and what is refused there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy (extra `sql`)")

from jwt_lp import Call, ConfigurationError, Cookies, SignInAnswer, SignInEndpoints, StoreError
from jwt_lp.guard.cookies import csrf_token, refresh_check
from signin.signin_world import JSON, PASSWORD, World, new_world, to_json

HERE = {"host": "shop.test", "sec-fetch-site": "same-origin"}
COOKIES = Cookies()
CREDENTIALS = to_json(username="alice", password=PASSWORD)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = new_world(tmp_path)
    yield world
    world.store.close()


def call(**headers: str | tuple[str, ...]) -> Call:
    lines = {name.replace("_", "-"): value if isinstance(value, tuple) else (value,) for name, value in headers.items()}
    lines = {**{name: (value,) for name, value in HERE.items()}, **lines}
    return Call("POST", lambda: "", lambda name: lines.get(name.lower(), ()), "signin", "192.0.2.1")


def post(world: World, name: str, body: bytes = b"", *, path: str = "", **more: Any) -> SignInAnswer:
    endpoints = SignInEndpoints(world.sign_in, cookies=more.pop("cookies", True))
    settings = more.pop("settings", COOKIES)
    csrf = more.pop("csrf", None)
    return endpoints.post(
        name, JSON, body, path=path or f"/auth/{name}", call=call(**more), cookies=settings, csrf=csrf
    )


def named(answer: SignInAnswer) -> dict[str, str]:
    return {cookie.name: cookie.value for cookie in answer.cookies}


def as_cookies(refresh: str) -> str:
    """The two cookies that a browser sends for a refresh token."""
    return f"__Secure-refresh={refresh}; __Host-refresh-check={refresh_check(refresh)}"


def test_tokens_in_bodies(world: World) -> None:
    """Without cookies, the answers are those of `SignIn`, and no cookie is read or set."""
    obtained, cookies = post(world, "token", CREDENTIALS, cookies=False, settings=None)
    tokens = json.loads(obtained.body)
    assert (200, ()) == (obtained.status, cookies)
    refresh = tokens["refresh_token"]
    ignored = post(world, "refresh", b"{}", cookies=False, cookie=as_cookies(refresh))
    assert (400, ()) == (ignored.answer.status, ignored.cookies)
    assert 204 == post(world, "sign-out", to_json(refresh_token=refresh), cookies=False).answer.status
    everywhere = post(world, "sign-out-everywhere", to_json(refresh_token=refresh), cookies=False)
    assert 401 == everywhere.answer.status


def test_tokens_in_cookies(world: World) -> None:
    """The tokens are in cookies alone; the body has the CSRF token, for pages of another origin."""
    obtained = post(world, "token", CREDENTIALS)
    body, cookies = json.loads(obtained.answer.body), named(obtained)
    assert {"__Host-access", "__Host-csrf", "__Secure-refresh", "__Host-refresh-check"} == set(cookies)
    assert cookies["__Host-csrf"] == body["csrf_token"] == csrf_token(cookies["__Host-access"])
    assert not any(cookies[name].encode() in obtained.answer.body for name in ("__Host-access", "__Secure-refresh"))
    ages = {cookie.name: cookie.max_age for cookie in obtained.cookies}
    assert (body["expires_in"], body["refresh_expires_in"]) == (ages["__Host-access"], ages["__Secure-refresh"])
    sent = as_cookies(cookies["__Secure-refresh"])
    refreshed = post(world, "refresh", cookie=sent)
    assert 200 == refreshed.answer.status
    newest = as_cookies(named(refreshed)["__Secure-refresh"])
    left = post(world, "sign-out-everywhere", cookie=newest)
    assert (204, {*cookies}, {""}) == (left.answer.status, {*named(left)}, {*named(left).values()})
    assert 401 == post(world, "refresh", cookie=newest).answer.status


def test_the_csrf_token_of_a_host(world: World) -> None:
    """A host with CSRF tokens of its own sets no cookie of ours for them, and makes one only where it is needed."""
    made: list[int] = []

    def own() -> str:
        made.append(1)
        return "own"

    wrong = post(world, "token", to_json(username="alice", password="wrong"), csrf=own)
    assert (401, []) == (wrong.answer.status, made)
    obtained = post(world, "token", CREDENTIALS, csrf=own)
    assert ("own", {"__Host-access", "__Secure-refresh", "__Host-refresh-check"}) == (
        json.loads(obtained.answer.body)["csrf_token"],
        set(named(obtained)),
    )
    assert {"__Host-access", "__Secure-refresh", "__Host-refresh-check"} == set(
        named(post(world, "sign-out", csrf=own))
    )


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/auth/token", "/auth"),
        ("/token", "/"),
        ("/v1/tenants/a-b_c/auth/token", "/v1/tenants/a-b_c/auth"),
        ("/a;Domain=attacker.test/token", "/"),
        ("/a b/token", "/"),
        ("/\u00e9/token", "/"),
        ("/a\r\nSet-Cookie: x/token", "/"),
    ],
)
def test_the_path_of_the_refresh_cookie(world: World, path: str, expected: str) -> None:
    """It is where the endpoints are; a path that could end the attribute is not repeated."""
    paths = {cookie.name: cookie.path for cookie in post(world, "token", CREDENTIALS, path=path).cookies}
    assert expected == paths.pop("__Secure-refresh")
    assert {"__Host-access": "/", "__Host-csrf": "/", "__Host-refresh-check": "/"} == paths


@pytest.mark.parametrize("name", SignInEndpoints.reasons)
@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_site": ()},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": (), "origin": "https://attacker.test"},
        {"sec_fetch_site": (), "origin": "null"},
        {"sec_fetch_site": ("same-origin", "same-origin")},
    ],
    ids=repr,
)
def test_a_forged_request_changes_nothing(
    world: World, name: str, headers: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """A request that does not come from a page of this host is refused before anything is read."""
    cookies = named(post(world, "token", CREDENTIALS))
    sent = as_cookies(cookies["__Secure-refresh"])
    refused = post(world, name, CREDENTIALS if name == "token" else b"", cookie=sent, **headers)
    problem = json.loads(refused.answer.body)
    assert (403, "csrf", ()) == (refused.answer.status, problem["error"], refused.cookies)
    assert "Send this request from a page of this origin." == problem["detail"]
    assert f'jwt-lp {name}-refused {{"status": 403, "error": "csrf", "cause": "csrf"' in caplog.text
    assert 200 == post(world, "refresh", cookie=sent).answer.status


def test_an_origin_of_the_settings_may_sign_in(world: World) -> None:
    """A page of a listed origin may use the endpoints."""
    settings = Cookies(origins=frozenset({"https://app.test"}))
    from_app = {"origin": "https://app.test", "sec_fetch_site": "same-site"}
    assert 200 == post(world, "token", CREDENTIALS, settings=settings, **from_app).answer.status
    assert 403 == post(world, "token", CREDENTIALS, **from_app).answer.status


def test_bad_refresh_cookies(world: World) -> None:
    """No cookie, a malformed one, an access token, and a token in the body beside it."""
    cookies = named(post(world, "token", CREDENTIALS))
    refresh, access = cookies["__Secure-refresh"], cookies["__Host-access"]
    statuses = {
        "none": post(world, "refresh").answer.status,
        "twice": post(world, "refresh", cookie=f"{as_cookies(refresh)}; __Secure-refresh=x").answer.status,
        "quoted": post(world, "sign-out", cookie=f'__Secure-refresh="{refresh}"').answer.status,
        "access": post(world, "refresh", cookie=as_cookies(access)).answer.status,
        "body": post(world, "refresh", to_json(refresh_token=refresh), cookie=as_cookies(refresh)).answer.status,
        "only body": post(world, "refresh", to_json(refresh_token=refresh)).answer.status,
        "everywhere": post(world, "sign-out-everywhere").answer.status,
        "out": post(world, "sign-out").answer.status,
    }
    assert {
        "none": 401,
        "twice": 400,
        "quoted": 400,
        "access": 401,
        "body": 400,
        "only body": 401,
        "everywhere": 401,
        "out": 204,
    } == statuses
    assert 200 == post(world, "refresh", cookie=as_cookies(refresh)).answer.status


def test_a_refresh_token_that_another_host_has_set_signs_nobody_in(world: World) -> None:
    """A host below the same domain can set `__Secure-refresh` with its own token, and no cookie with `__Host-`."""
    own, foreign = (named(post(world, "token", CREDENTIALS))["__Secure-refresh"] for _ in range(2))
    checks = {"without": "", "of another": refresh_check(own), "of an access token's kind": csrf_token(foreign)}
    for check in checks.values():
        sent = f"__Secure-refresh={foreign}; __Host-refresh-check={check}"
        assert [401, 204, 401] == [
            post(world, name, cookie=sent).answer.status for name in ("refresh", "sign-out", "sign-out-everywhere")
        ]
    assert {200} == {post(world, "refresh", cookie=as_cookies(each)).answer.status for each in (own, foreign)}


def test_a_token_that_no_browser_keeps(world: World) -> None:
    """The answer is an error of the server, not a cookie that the browser drops."""
    answer = post(world, "token", CREDENTIALS, settings=Cookies(name="__Host-" + "a" * 4000))
    assert (500, ()) == (answer.answer.status, answer.cookies)


def test_a_store_that_is_down_signs_nobody_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """503, and the browser keeps its cookies."""
    cookies = named(post(world, "token", CREDENTIALS))

    def fails(*_: object, **__: object) -> None:
        raise StoreError("down")

    monkeypatch.setattr(world.store, "family", fails)
    sent = as_cookies(cookies["__Secure-refresh"])
    for name in ("refresh", "sign-out", "sign-out-everywhere"):
        answer = post(world, name, cookie=sent)
        assert (503, ()) == (answer.answer.status, answer.cookies)


def test_cookies_need_the_setting(world: World) -> None:
    """Without the guard's setting the mount is misconfigured, and says so."""
    with pytest.raises(ConfigurationError, match='"COOKIE": True'):
        post(world, "token", CREDENTIALS, settings=None)
