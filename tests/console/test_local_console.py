"""The console of one operator on this machine: its links, its sessions, and who reaches it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from clock import Clock
from console.serving import text_of
from hosts.serving import HttpAnswer, HttpClient, serve

TYPED = {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Accept": "text/html"}
CROSS_SITE = {**TYPED, "Sec-Fetch-Site": "cross-site"}


class Local(NamedTuple):
    """A console of an operator, served on loopback, and its clock."""

    made: Any
    client: HttpClient
    clock: Clock

    def path(self) -> str:
        """The path of a new link."""
        link: str = self.made.link(self.client.port)
        return link.partition(str(self.client.port))[2]

    def get(self, path: str, cookies: str = "", **headers: str) -> HttpAnswer:
        sent = {**TYPED, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if cookies:
            sent["Cookie"] = cookies
        return self.client.request("GET", path, list(sent.items()))

    def post(self, path: str, body: str, cookies: str = "", site: str = "same-origin") -> HttpAnswer:
        sent = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": site}
        if cookies:
            sent["Cookie"] = cookies
        return self.client.request("POST", path, list(sent.items()), body.encode())

    def sign_in(self) -> str:
        """The cookies of a new session."""
        return cookies_of(self.get(self.path()))


def cookies_of(answer: HttpAnswer) -> str:
    """The Cookie header that a browser sends afterwards."""
    return "; ".join(line.partition(";")[0] for line in answer.cookies)


@pytest.fixture(scope="module")
def local(store: Any) -> Iterator[Local]:
    from jwt_lp.console.local import create_local_console

    clock = Clock(1_900_000_000.0)
    made = create_local_console(store, operator="operator", clock=clock)
    with serve("asgi", made.console) as client:
        yield Local(made, client, clock)


def test_a_link_signs_in(local: Local) -> None:
    """The link of the terminal leads to the first page, with every page of the console for its operator."""
    answer = local.get(local.path())
    assert (303, "/") == (answer.status, answer.headers["location"])
    assert all("SameSite=Strict" in line and "Domain" not in line for line in answer.cookies)
    page = local.get("/", cookies_of(answer))
    assert 200 == page.status
    assert "operator" in text_of(page)


def test_a_link_works_once(local: Local) -> None:
    """Whoever reads the address in a history, or over a shoulder, comes too late."""
    path = local.path()
    assert 303 == local.get(path).status
    again = local.get(path)
    assert (401, ()) == (again.status, again.cookies)
    assert "used already" in text_of(again)


def test_a_link_works_for_five_minutes(local: Local) -> None:
    """Afterwards it is worth nothing."""
    early, late = local.path(), local.path()
    local.clock.now += 299
    assert 303 == local.get(early).status
    local.clock.now += 2
    assert 401 == local.get(late).status


def test_a_guessed_code_does_not_sign_in(local: Local) -> None:
    """Neither a made up code, nor one without a character."""
    for code in ("x" * 32, "", "%00", "%ED%A0%80", local.path().partition("=")[2][:-1]):
        answer = local.get(f"/local/sign-in?code={code}")
        assert (401, ()) == (answer.status, answer.cookies)


@pytest.mark.parametrize("site", ["cross-site", "same-site", "same-origin", ""])
def test_another_page_does_not_sign_a_browser_in(local: Local, site: str) -> None:
    """A link in a page signs nobody in by itself: the operator is asked, and the code stays good."""
    path = local.path()
    answer = local.get(path, Sec_Fetch_Site=site)
    assert (200, ()) == (answer.status, answer.cookies)
    assert "You came here from another page" in text_of(answer)
    code = re.search(r'name="code" value="([^"]+)"', answer.body.decode())
    assert code is not None
    assert 303 == local.post("/local/sign-in", f"code={code[1]}").status


@pytest.mark.parametrize("site", ["cross-site", "same-site", ""])
def test_another_site_does_not_post_a_code(local: Local, site: str) -> None:
    """A form of another site that knows a code is refused, and does not use the code up."""
    path = local.path()
    answer = local.post("/local/sign-in", path.partition("?")[2], site=site)
    assert (403, ()) == (answer.status, answer.cookies)
    assert 303 == local.get(path).status


@pytest.mark.parametrize(
    "host", ["attacker.test", "attacker.test:{port}", "127.0.0.1.attacker.test", "169.254.169.254", "[::1]", ""]
)
def test_another_name_of_this_machine_is_refused(local: Local, host: str) -> None:
    """A site whose name leads to this machine gets nothing, whatever cookies it has (DNS rebinding)."""
    import socket

    cookies = local.sign_in()
    named = host.format(port=local.client.port)
    with socket.create_connection(("127.0.0.1", local.client.port), timeout=10) as raw:
        raw.sendall(f"GET / HTTP/1.1\r\nHost: {named}\r\nCookie: {cookies}\r\nConnection: close\r\n\r\n".encode())
        received = b""
        while part := raw.recv(65536):
            received += part
    assert b" 400 " in received[:20]
    assert b"Overview" not in received


def test_it_is_called_localhost_too(local: Local) -> None:
    """The two names of loopback that browsers use are accepted."""
    for name in ("127.0.0.1", "localhost"):
        assert name in local.made.link(1) or name == "localhost"
    connection = HttpClient(local.client.port)
    assert 200 == connection.request("GET", "/static/console.css").status


def test_a_session_goes_on_without_a_script(local: Local) -> None:
    """Once the access token has expired, opening a page leads over the refresh token back to that page."""
    cookies = local.sign_in()
    local.clock.now += 301
    expired = local.get("/?a=b", cookies)
    assert 303 == expired.status
    renewed = local.get(expired.headers["location"], cookies)
    assert (303, "/?a=b") == (renewed.status, renewed.headers["location"])
    assert 200 == local.get("/", cookies_of(renewed)).status


@pytest.mark.parametrize(
    "target",
    [
        "https://attacker.test/",
        "//attacker.test",
        "/\\attacker.test",
        "/%09/attacker.test",
        "javascript:alert(1)",
        "/a%0d%0aX:y",
    ],
)
def test_next_leads_to_no_other_site(local: Local, target: str) -> None:
    """Only a path on this host is followed."""
    cookies = local.sign_in()
    answer = local.get(f"/local/sign-in?next={target}", cookies)
    assert (303, "/") == (answer.status, answer.headers["location"])


def test_another_site_does_not_refresh(local: Local) -> None:
    """A navigation from another site goes on with no session; browsers would not send the cookie, either."""
    cookies = local.sign_in()
    answer = local.get("/local/sign-in?next=/", cookies, Sec_Fetch_Site="cross-site")
    assert (401, ()) == (answer.status, answer.cookies)


def test_a_refresh_token_that_was_used_ends_the_session(local: Local) -> None:
    """A copied cookie that is used later ends the session, for the thief as well."""
    cookies = local.sign_in()
    renewed = local.get("/local/sign-in?next=/", cookies)
    assert 303 == renewed.status
    local.clock.now += 60
    assert 401 == local.get("/local/sign-in?next=/", cookies).status
    assert 303 == local.get("/", cookies_of(renewed)).status


def test_signing_out_ends_the_session_at_once(local: Local) -> None:
    """The access token is refused with the next request, and the refresh token, too."""
    cookies = local.sign_in()
    answer = local.post("/local/sign-out", "", cookies)
    assert (303, "/local/sign-in") == (answer.status, answer.headers["location"])
    assert 4 == sum("Max-Age=0" in line for line in answer.cookies)
    assert 401 == local.get("/", cookies, Sec_Fetch_Mode="cors").status
    assert 401 == local.get("/local/sign-in?next=/", cookies).status


def test_another_site_does_not_sign_out(local: Local) -> None:
    """Neither does a request of which nobody knows where it comes from."""
    cookies = local.sign_in()
    for site in ("cross-site", ""):
        assert 403 == local.post("/local/sign-out", "", cookies, site=site).status
    assert 200 == local.get("/", cookies).status


def test_the_session_says_when_it_ends(local: Local) -> None:
    """A script renews it in time; the CSRF token is that of the cookie."""
    cookies = local.sign_in()
    answer = local.get("/session", cookies)
    assert 295 < answer.json["expires_in"] <= 300
    assert answer.json["csrf_token"] in cookies


def test_there_is_no_password_to_guess(local: Local) -> None:
    """The sign-in with a password is not there."""
    assert 404 == local.post("/local/token", "username=operator&password=x").status
    assert 404 == local.post("/local/sign-out-everywhere", "").status


def test_two_consoles_share_no_cookie(store: Any, local: Local) -> None:
    """Cookies belong to a host, not to a port: each console has names of its own."""
    from jwt_lp.console.local import create_local_console

    other = create_local_console(store, operator="operator")
    with serve("asgi", other.console) as client:
        cookies = local.sign_in()
        sent = [("Cookie", cookies), *TYPED.items()]
        assert 303 == client.request("GET", "/", sent).status
