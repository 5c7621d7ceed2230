"""Cookies in a real browser: a page that signs in and works, an attacker's page, the browsable API, and Swagger UI."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy (extra `sql`)")

from chromium import chromium
from hosts.apps.sign_in_apps import APPS, PASSWORD, SignInApp
from hosts.serving import Certificate, serve

pytestmark = [pytest.mark.host, pytest.mark.browser]

NAMES = [name for name, (package, _) in APPS.items() if find_spec(package)]
ATTACKER = "https://attacker.test"
FORM = """<form method="post" action="{}/orders"><input name="item" value="1"></form><script>document.forms[0].submit()</script>"""
CALL = """async ([method, path, body, csrf]) => {
  const names = ["__Host-csrf", "csrftoken"];
  const values = document.cookie.split("; ").map((pair) => pair.split("="));
  const token = values.filter(([name]) => names.includes(name)).map(([, value]) => value)[0] ?? "";
  const headers = {"Content-Type": "application/json"};
  if (csrf) Object.assign(headers, {"X-CSRF-Token": token, "X-CSRFToken": token});
  const answer = await fetch(path, {method, headers, body: body && JSON.stringify(body)});
  return answer.status;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate for localhost, signed by itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, folder = ec.generate_private_key(ec.SECP256R1()), tmp_path_factory.mktemp("certificate")
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(private)
    (folder / "certificate.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return Certificate(folder / "certificate.pem", folder / "key.pem")


@pytest.fixture(autouse=True)
def _beside_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Playwright runs an event loop in the thread in which a test makes Django's users."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")


class Window:
    """A browser with cookies of its own, for one served application."""

    def __init__(self, browser: Any, app: SignInApp, port: int) -> None:
        self.app = app
        self.origin = f"https://localhost:{port}"
        self.context = browser.new_context(ignore_https_errors=True)
        self.page = self.context.new_page()
        # A page of the application's own origin, so that its scripts are those of that origin.
        self.context.route(f"{self.origin}/page", partial(_fulfill, "<title>page</title>"))
        self.context.route(f"{ATTACKER}/", partial(_fulfill, FORM.format(self.origin)))
        self.page.goto(f"{self.origin}/page")

    def call(self, method: str, path: str, body: object = None, *, csrf: bool = True) -> int:
        """The status of a request that a script of the page sends."""
        status: int = self.page.evaluate(CALL, [method, path, body, csrf])
        return status

    def sign_in(self) -> int:
        return self.call("POST", "/auth/token", {"username": "alice", "password": PASSWORD}, csrf=False)

    def cookie(self, name: str) -> dict[str, Any] | None:
        return next((each for each in self.context.cookies() if each["name"] == name), None)

    def attack(self) -> int:
        """The status of the form that a page of another site makes the browser send."""
        page = self.context.new_page()
        with page.expect_response(f"{self.origin}/orders") as response:
            page.goto(f"{ATTACKER}/")
        status: int = response.value.status
        page.close()
        return status

    def poll(self) -> None:
        """Have the guard see what is revoked now."""
        runtime: Any = self.app.guard._runtime
        runtime.sync._poll()


def _fulfill(html: str, route: Any) -> None:
    route.fulfill(body=f"<!doctype html>{html}", content_type="text/html")


def opened(browser: Any, certificate: Certificate, name: str, folder: Path, cookie: object) -> Iterator[Window]:
    # REST framework has one mode, which runs under ASGI too.
    with (
        APPS[name][1](folder, {"COOKIE": cookie}, {"grace": 0}) as app,
        serve(app.kind, app.app, certificate) as client,
    ):
        window = Window(browser, app, client.port)
        yield window
        window.context.close()


@pytest.fixture(params=[name for name in ("django-async", "flask", "fastapi") if name in NAMES])
def window(request: pytest.FixtureRequest, browser: Any, certificate: Certificate, tmp_path: Path) -> Iterator[Window]:
    yield from opened(browser, certificate, request.param, tmp_path, True)


@pytest.fixture(params=[name for name in ("drf", "starlette") if name in NAMES])
def lax_window(
    request: pytest.FixtureRequest, browser: Any, certificate: Certificate, tmp_path: Path
) -> Iterator[Window]:
    """An application whose cookies every site makes the browser send, so that the guard alone refuses."""
    yield from opened(browser, certificate, request.param, tmp_path, {"SAMESITE": "None"})


def test_a_page_signs_in_works_and_signs_out(window: Window) -> None:
    """A page signs in, calls, refreshes and signs out; its scripts see no token; another site gets nothing."""
    assert 401 == window.call("GET", "/orders")
    assert 200 == window.sign_in()
    assert "__Host-access" not in window.page.evaluate("document.cookie")
    access, refresh = window.cookie("__Host-access"), window.cookie("__Secure-refresh")
    check = window.cookie("__Host-refresh-check")
    assert access is not None
    assert refresh is not None
    assert check is not None
    assert (True, True, "Lax", "/") == (access["httpOnly"], access["secure"], access["sameSite"], access["path"])
    assert (True, "Strict", "/auth") == (refresh["httpOnly"], refresh["sameSite"], refresh["path"])
    assert [200, 403, 200] == [
        window.call("GET", "/orders"),
        window.call("POST", "/orders", csrf=False),
        window.call("POST", "/orders"),
    ]
    # The browser does not send the cookie with the form of another site.
    assert 401 == window.attack()
    assert 200 == window.call("POST", "/auth/refresh")
    renewed = window.cookie("__Host-access")
    assert renewed is not None
    assert renewed["value"] != access["value"]
    assert 200 == window.call("POST", "/orders")
    # A thief's use of the old refresh token ends the session.
    names = ("__Secure-refresh", "__Host-refresh-check")
    newest = [window.cookie(name) for name in names]
    window.context.add_cookies([refresh])
    # The token alone, as a host below the same domain could set it, does nothing.
    assert 401 == window.call("POST", "/auth/refresh")
    window.context.add_cookies([check])
    assert 401 == window.call("POST", "/auth/refresh")
    window.context.add_cookies(newest)
    assert 401 == window.call("POST", "/auth/refresh")
    window.poll()
    assert 401 == window.call("GET", "/orders")
    assert 200 == window.sign_in()
    assert 200 == window.call("GET", "/orders")
    assert 204 == window.call("POST", "/auth/sign-out-everywhere")
    assert (None, None) == (window.cookie("__Host-access"), window.cookie("__Secure-refresh"))
    assert 401 == window.call("GET", "/orders")


def test_a_form_of_another_site_is_refused(lax_window: Window) -> None:
    """Also where the browser sends the cookie with it."""
    assert 200 == lax_window.sign_in()
    assert 200 == lax_window.call("POST", "/orders")
    assert 403 == lax_window.attack()


@pytest.mark.skipif("drf" not in NAMES, reason="needs Django REST framework")
def test_the_browsable_api(browser: Any, certificate: Certificate, tmp_path: Path) -> None:
    """Its forms work with the cookie, because Django's CSRF token is in them."""
    import rest_framework

    static = Path(rest_framework.__file__).parent / "static"
    for window in opened(browser, certificate, "drf", tmp_path, True):
        window.context.route(
            "**/static/**", lambda route: route.fulfill(path=static / route.request.url.partition("/static/")[2])
        )
        assert 200 == window.sign_in()
        page = window.page
        page.goto(f"{window.origin}/orders")
        assert "HTTP 200 OK" in page.inner_text("body")
        with page.expect_response(lambda response: response.request.method == "POST") as answer:
            page.get_by_role("button", name="POST", exact=True).last.click()
        assert 200 == answer.value.status
        window.call("POST", "/auth/sign-out")
        page.goto(f"{window.origin}/orders")
        assert "HTTP 401 Unauthorized" in page.inner_text("body")


@pytest.mark.skipif("fastapi" not in NAMES, reason="needs FastAPI")
def test_swagger_ui(browser: Any, certificate: Certificate, tmp_path: Path) -> None:
    """FastAPI's page sends the cookie, and after *Authorize* the CSRF token too; it shows no error of its own."""
    sidecar = pytest.importorskip("drf_spectacular_sidecar", reason="has the files of Swagger UI")
    files = Path(sidecar.__file__).parent / "static" / "drf_spectacular_sidecar" / "swagger-ui-dist"
    for window in opened(browser, certificate, "fastapi", tmp_path, True):
        window.context.route(
            "https://cdn.jsdelivr.net/**",
            lambda route: route.fulfill(path=files / route.request.url.rpartition("/")[2]),
        )
        window.context.route("https://fastapi.tiangolo.com/**", lambda route: route.abort())
        assert 200 == window.sign_in()
        page = window.page
        page.goto(f"{window.origin}/docs")
        assert 200 == _try_out(window, "GET")
        assert 403 == _try_out(window, "POST")
        csrf = window.cookie("__Host-csrf")
        assert csrf is not None
        page.get_by_role("button", name="Authorize").first.click()
        field = page.locator(".auth-container", has_text="X-CSRF-Token")
        field.locator("input").fill(csrf["value"])
        field.get_by_role("button", name="Apply credentials").or_(field.locator("button.authorize")).first.click()
        page.locator("button.btn-done").first.click()
        assert 200 == _send_again(window, "POST")


def _try_out(window: Window, method: str) -> int:
    """The status of what Swagger UI sends for the operation `/orders` of this method."""
    operation = window.page.locator(f".opblock-{method.lower()}", has_text="/orders").first
    operation.click()
    operation.get_by_role("button", name="Try it out").click()
    return _send_again(window, method)


def _send_again(window: Window, method: str) -> int:
    operation = window.page.locator(f".opblock-{method.lower()}", has_text="/orders").first
    with window.page.expect_response(f"{window.origin}/orders") as response:
        operation.get_by_role("button", name="Execute").click()
    status: int = response.value.status
    return status
