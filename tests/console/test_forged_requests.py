"""Requests that another site, or another session, has a browser send to the console."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from console.serving import Person, ServedConsole, served_console, text_of
from jwt_lp import Issuer
from jwt_lp.errors import ConfigurationError, StoreError

FIELDS = {"decision": "remove", "comment": 'two\r\nlines, "quoted" <b>bold</b>'}
CROSS_SITE = {"Sec_Fetch_Site": "cross-site", "Origin": "https://attacker.test"}


def _routes(accepted: list[dict[str, str]]) -> list[Any]:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from jwt_lp.console.answers import see_other
    from jwt_lp.console.forms import form_of
    from jwt_lp_starlette import requires

    @requires("jwt-lp:review:decide")
    async def decide(request: Request) -> Response:
        form = await form_of(request)
        accepted.append(dict(form.fields))
        return see_other(request, "overview", notice=form.get("notice", "saved"))

    @requires("jwt-lp:review:read")
    async def broken(request: Request) -> Response:
        raise RuntimeError("a secret of the inside")

    @requires("jwt-lp:review:read")
    async def unreachable(request: Request) -> Response:
        raise StoreError("postgresql://db.test does not answer")

    @requires("jwt-lp:review:read")
    async def misconfigured(request: Request) -> Response:
        raise ConfigurationError("/srv/secret/policy.toml cannot be read")

    return [
        Route("/test/misconfigured", misconfigured, name="test_misconfigured"),
        Route("/test/decide", decide, methods=["POST"], name="test_decide"),
        Route("/test/broken", broken, name="test_broken"),
        Route("/test/unreachable", unreachable, name="test_unreachable"),
    ]


@pytest.fixture(scope="module")
def accepted() -> list[dict[str, str]]:
    """What the form's view accepted."""
    return []


@pytest.fixture(scope="module")
def console(store: Any, accepted: list[dict[str, str]]) -> Iterator[ServedConsole]:
    """A console with one more page, which accepts a form."""
    with served_console(store, routes=_routes(accepted), sign_in_url="/auth/page?from=console") as served:
        yield served


@pytest.fixture
def alice(console: ServedConsole, accepted: list[dict[str, str]]) -> Person:
    accepted.clear()
    return console.person("alice")


def test_a_form_of_the_console_is_accepted(alice: Person, accepted: list[dict[str, str]]) -> None:
    """The guard takes the hidden field for the header that it knows; the fields arrive as they were typed."""
    answer = alice.post("/test/decide", FIELDS)
    assert 303 == answer.status
    assert [{"csrf_token": alice.csrf_token, **FIELDS}] == accepted
    assert "saved" in text_of(alice.follow(answer))


@pytest.mark.parametrize(
    ("token", "headers"),
    [
        pytest.param("own", CROSS_SITE, id="from another site, even with the token"),
        pytest.param("own", {"Sec_Fetch_Site": "same-site"}, id="from another host below the domain"),
        pytest.param("own", {"Sec_Fetch_Site": "", "Origin": "null"}, id="from a sandboxed page"),
        pytest.param("", {"Sec_Fetch_Site": ""}, id="without token, origin and site"),
        pytest.param("", {}, id="without token"),
        pytest.param("x" * 43, {}, id="with a wrong token"),
        pytest.param("bob", {}, id="with the token of another session"),
        pytest.param("twice", {}, id="with two tokens"),
    ],
)
def test_a_forged_form_is_refused(
    console: ServedConsole, alice: Person, accepted: list[dict[str, str]], token: str, headers: dict[str, str]
) -> None:
    """Nothing is accepted without the token of this very session, sent from a page of this origin."""
    tokens: dict[str, Any] = {
        "own": alice.csrf_token,
        "bob": console.person("bob").csrf_token,
        "twice": [alice.csrf_token, alice.csrf_token],
    }
    answer = alice.post("/test/decide", {**FIELDS, "csrf_token": tokens.get(token, token)}, **headers)
    assert (403, []) == (answer.status, accepted)


@pytest.mark.parametrize("headers", [CROSS_SITE, {"Sec_Fetch_Site": ""}], ids=["another site", "nobody knows"])
def test_a_forged_form_is_not_shown_again(alice: Person, headers: dict[str, str]) -> None:
    """A page that offers the form with a right token is only for requests that come from a page of the console."""
    answer = alice.post("/test/decide", {**FIELDS, "csrf_token": "wrong"}, **headers)
    assert 403 == answer.status
    assert b"quoted" not in answer.body
    assert alice.csrf_token.encode() not in answer.body


def test_a_form_with_an_older_token_is_kept(alice: Person, accepted: list[dict[str, str]]) -> None:
    """Where the session was renewed meanwhile, the same form is shown again, with the token of now."""
    answer = alice.post("/test/decide", {**FIELDS, "csrf_token": "older"})
    assert (403, []) == (answer.status, accepted)
    assert f'value="{alice.csrf_token}"' in answer.body.decode()
    assert 'name="comment" value="two&#13;&#10;lines, &#34;quoted&#34; &lt;b&gt;bold&lt;/b&gt;"' in answer.body.decode()
    assert "renewed" in text_of(answer)


def test_a_form_without_a_session_is_kept(console: ServedConsole, accepted: list[dict[str, str]]) -> None:
    """What was typed comes back in the page that says that the session has ended; nothing was accepted."""
    accepted.clear()
    answer = console.stranger().client.request(
        "POST",
        "/test/decide?part=a%2Fb",
        [("Content-Type", "application/x-www-form-urlencoded"), ("Sec-Fetch-Site", "same-origin")],
        b"decision=remove&comment=%3Cscript%3E&csrf_token=old",
    )
    assert (401, []) == (answer.status, accepted)
    html = answer.body.decode()
    assert 'action="/test/decide?part=a%2Fb"' in html
    assert 'name="comment" value="&lt;script&gt;"' in html
    assert 'value="old"' not in html
    assert 'href="/auth/page?from=console&amp;next=%2F" target="_blank"' in html


def test_another_site_sees_no_form_without_a_session(console: ServedConsole) -> None:
    """A request of another site gets the plain page."""
    headers = [("Content-Type", "application/x-www-form-urlencoded"), ("Sec-Fetch-Site", "cross-site")]
    answer = console.client.request("POST", "/test/decide", headers, b"comment=hello-there")
    assert 401 == answer.status
    assert b"hello-there" not in answer.body


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        pytest.param("/", "%2F", id="the first page"),
        pytest.param("/?a=1&b=%0d%0aSet-Cookie:x", "%2F%3Fa%3D1%26b%3D%250d%250aSet-Cookie%3Ax", id="a line end"),
        pytest.param("/?next=https://attacker.test", "%2F%3Fnext%3Dhttps%3A%2F%2Fattacker.test", id="its own next"),
    ],
)
def test_a_page_without_a_session_leads_to_the_sign_in(console: ServedConsole, path: str, leads_to: str) -> None:
    """Whoever opens a page without a session is sent to sign in, and comes back to that page."""
    answer = console.stranger().get(path)
    assert (303, f"/auth/page?from=console&next={leads_to}") == (answer.status, answer.headers["location"])


def test_a_path_with_two_slashes_leads_to_no_other_host(console: ServedConsole) -> None:
    """A form that is shown again never goes to the host that a path seems to name."""
    headers = [("Content-Type", "application/x-www-form-urlencoded"), ("Sec-Fetch-Site", "same-origin")]
    answer = console.client.request("POST", "//attacker.test/decide", headers, b"a=1")
    assert b"//attacker.test" not in answer.body


def test_a_script_gets_the_401_itself(console: ServedConsole) -> None:
    """A redirect to another page would tell a script nothing."""
    assert 401 == console.stranger().get("/", Sec_Fetch_Mode="cors").status


def test_nobody_sees_what_they_may_not(console: ServedConsole) -> None:
    """Somebody with other permissions is refused with a page that names the log's reference."""
    answer = console.person("bob", "jwt-lp:elevation:approve").get("/audit")
    assert 403 == answer.status
    assert "Reference" in text_of(answer)
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/static/console.css", 200),
        ("GET", "/static/nothing.css", 404),
        ("GET", "/nothing", 404),
        ("GET", "/test/decide", 405),
        ("GET", "/test/broken", 500),
        ("GET", "/test/unreachable", 503),
        ("POST", "/test/decide", 415),
    ],
)
def test_every_answer_limits_what_a_browser_may_do(console: ServedConsole, method: str, path: str, status: int) -> None:
    """No script, style, form or frame of another origin; no cache keeps a page; errors are pages, too."""
    person = console.person("alice")
    csrf = {"X_CSRF_Token": person.csrf_token} if method == "POST" else {}
    answer = console.client.request(method, path, person.headers(**csrf), b"" if method == "POST" else None)
    assert status == answer.status
    policy = answer.headers["content-security-policy"]
    for source in (
        "default-src 'none'",
        "script-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ):
        assert source in policy
    assert "unsafe" not in policy
    assert ("DENY", "nosniff") == (answer.headers["x-frame-options"], answer.headers["x-content-type-options"])
    assert "same-origin" == answer.headers["referrer-policy"]
    assert answer.headers["cache-control"] == ("no-cache" if path.endswith("console.css") else "no-store")
    if not path.startswith("/static/console"):
        assert "<main" in answer.body.decode()


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/test/unreachable", "The store of the console does not answer."),
        ("/test/misconfigured", "A setting of the console, or a file that it names, cannot be used."),
    ],
)
def test_a_page_tells_a_fault_of_the_store_from_one_of_the_settings(
    console: ServedConsole, path: str, text: str
) -> None:
    """Both are 503, and neither names a host or a file."""
    answer = console.person("alice").get(path)
    assert 503 == answer.status
    shown = text_of(answer)
    assert text in shown
    assert "secret" not in shown
    assert "db.test" not in shown


@pytest.mark.parametrize("path", ["/test/broken", "/test/unreachable"])
def test_an_error_tells_nothing_of_the_inside(
    console: ServedConsole, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The page has a reference, and the log has the rest."""
    answer = console.person("alice").get(path)
    text = text_of(answer)
    assert "secret" not in text
    assert "db.test" not in text
    reference = text.partition("Reference ")[2].split()[0].rstrip(":")
    assert any(reference in record.getMessage() for record in caplog.records)


def test_a_notice_comes_from_the_console_alone(console: ServedConsole, alice: Person) -> None:
    """No link puts words into a page: neither without a mark, nor with that of another session."""
    assert "call 555" not in text_of(alice.get("/?notice=call+555&mark=" + "0" * 32))
    others = console.person("bob").post("/test/decide", {"notice": "call 555"})
    assert "call 555" not in text_of(alice.get(others.headers["location"]))


def test_a_notice_adds_no_header(alice: Person) -> None:
    """Line ends in a notice stay in the address."""
    answer = alice.post("/test/decide", {"notice": "a\r\nSet-Cookie: b=c"})
    assert "set-cookie" not in answer.headers
    assert "a%0D%0ASet-Cookie%3A+b%3Dc" in answer.headers["location"]
    assert r"a\r\nSet-Cookie: b=c" in text_of(alice.follow(answer))


def test_two_access_cookies_are_refused(alice: Person) -> None:
    """Another host below the same domain may add a cookie of its own: nobody can tell which one is meant."""
    answer = alice.get("/", Cookie=f"__Host-access={alice.token}; __Host-access={alice.token}")
    assert 400 == answer.status


@pytest.mark.parametrize(
    ("kind", "size", "status"),
    [
        pytest.param("application/x-www-form-urlencoded", 1024 * 1024 + 1, 413, id="a long form"),
        pytest.param("multipart/form-data; boundary=x", 10 * 1024 * 1024 + 1, 413, id="a long upload"),
        pytest.param("multipart/form-data", 10, 400, id="an upload without boundary"),
        pytest.param("application/x-www-form-urlencoded", 20, 400, id="a NUL"),
    ],
)
def test_a_body_is_bounded(alice: Person, kind: str, size: int, status: int) -> None:
    """A longer body is refused by its stated length, and a form that cannot be read by its form."""
    body = b"a=%00" if status == 400 else b""
    headers = [*alice.headers(), ("Content-Type", kind)]
    if status == 413:
        headers.append(("Content-Length", str(size)))
    answer = alice.client.request("POST", "/test/decide", headers, body or None)
    assert status == answer.status
    assert "<main" in answer.body.decode()


def test_a_body_without_a_length_is_bounded(alice: Person) -> None:
    """A body in chunks is read up to the limit, and no further."""
    chunk = b"8000\r\n" + b"a" * 0x8000 + b"\r\n"
    headers = [
        *alice.headers(),
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Transfer-Encoding", "chunked"),
    ]
    with socket.create_connection(("127.0.0.1", alice.client.port), timeout=10) as raw:
        lines = [
            b"POST /test/decide HTTP/1.1",
            b"Host: 127.0.0.1",
            *(f"{n}: {v}".encode() for n, v in headers),
            b"",
            b"",
        ]
        raw.sendall(b"\r\n".join(lines))
        for _ in range(40):
            raw.sendall(chunk)
        assert b" 413 " in raw.recv(100)


def test_too_many_fields_are_refused(alice: Person) -> None:
    """A form has at most 5,000 fields."""
    body = b"&".join(b"a=1" for _ in range(5001))
    headers = [*alice.headers(), ("Content-Type", "application/x-www-form-urlencoded")]
    assert 400 == alice.client.request("POST", "/test/decide", headers, body).status


def test_hostile_names_are_shown_as_text(store: Any) -> None:
    """Markup, direction marks and control characters of a name are text on every page."""
    from jwt_lp.review import Person as Listed

    name = '<img src=x onerror=alert(1)>"\u202egnp.\x00\x1b[2J=HYPERLINK("http://x")'
    with served_console(store, people={"mallory": Listed(name=name)}) as console:
        html = console.person("mallory").get("/").body.decode()
    assert "<img src=x" not in html
    assert "\u202e" not in html
    assert "\x1b" not in html
    assert r"&lt;img src=x onerror=alert(1)&gt;&#34;\u202egnp.\x00\x1b[2J=HYPERLINK" in html


def test_a_session_that_was_signed_out_is_refused_at_once(console: ServedConsole, store: Any) -> None:
    """The next request finds that the session has ended, before the guard's next poll."""
    from console.serving import ISSUER, KEY, POLICY
    from jwt_lp import Policy, SignIn

    issuer = Issuer(ISSUER, KEY, policy=Policy.from_mapping(POLICY), audience="console", client="web")
    sign_in = SignIn(issuer, store, permissions=lambda _: ["jwt-lp:review:read"])
    tokens = sign_in.sessions.start("alice")
    alice = replace(console.person("alice"), token=tokens.access_token, renew=None)
    assert 200 == alice.get("/").status
    assert sign_in.sessions.end(tokens.refresh_token)
    assert 303 == alice.get("/").status
    assert 401 == alice.get("/session", Sec_Fetch_Mode="cors").status


@pytest.mark.parametrize("cookie", ["a.b.c", "x", "e30.e30.e30"])
def test_a_cookie_that_is_no_token_is_refused(console: ServedConsole, cookie: str) -> None:
    """Looking up the session of what is no token changes nothing about its refusal."""
    assert 401 == replace(console.person("alice"), token=cookie, renew=None).get("/", Sec_Fetch_Mode="cors").status
