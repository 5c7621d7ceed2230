"""The console inside an application of each host, on a real server, with the host's own sign-in."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest

pytest.importorskip("python_multipart", reason="the console needs python-multipart (extra `console`)")

from console.serving import EVERYTHING, text_of
from hosts.apps import sign_in_apps
from hosts.apps.sign_in_apps import PASSWORD
from hosts.serving import HttpAnswer, HttpClient, serve
from jwt_lp.stores import open_store

pytestmark = pytest.mark.host

POLICY = {
    **sign_in_apps.POLICY,
    "permissions": {**sign_in_apps.POLICY["permissions"], **{name: {} for name in EVERYTHING}},  # type: ignore[dict-item]
    "roles": {
        "reader": {"grants": ["orders:read", *EVERYTHING], "from": ["django/group:readers"]},
        "clerk": {"grants": ["orders:create"], "from": ["django/permission:auth.view_group"]},
    },
}
SETTINGS = {"COOKIE": True, "POLICY": POLICY, "OBSERVE_UNTIL": None}
PAGE = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate", "Accept": "text/html"}


class Mounted(NamedTuple):
    """An application with the console at /access, and the cookies of somebody who signed in there."""

    client: HttpClient
    cookies: dict[str, str]
    uploads: list[int]

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> HttpAnswer:
        sent = {**PAGE, **{name.replace("_", "-"): value for name, value in headers.items()}}
        sent.setdefault("Cookie", "; ".join(f"{name}={value}" for name, value in self.cookies.items()))
        return self.client.request(method, path, list(sent.items()), body)


def _console(guard: Any, uploads: list[int]) -> Any:
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    from jwt_lp.console import create_console
    from jwt_lp.console.answers import see_other
    from jwt_lp.console.forms import form_of
    from jwt_lp_starlette import requires

    @requires("jwt-lp:review:decide")
    async def upload(request: Any) -> Any:
        form = await form_of(request)
        uploads.append(len(form.file("worksheet") or b""))
        return see_other(request, "overview", notice=f"{form.get('name')} was read")

    @requires("jwt-lp:review:read")
    async def broken(request: Any) -> Any:
        raise RuntimeError("broken")

    @requires("jwt-lp:review:read")
    async def peer(request: Any) -> Any:
        return PlainTextResponse(f"{request.url.path} {request.query_params['q']}")

    return create_console(
        guard,
        store=guard.settings.store,
        routes=[
            Route("/test/upload", upload, methods=["POST"], name="test_upload"),
            Route("/test/broken", broken, name="test_broken"),
            Route("/test/peer/{name}", peer, name="test_peer"),
        ],
        sign_in_url="/auth/page",
        refresh_url="/auth/refresh",
        sign_out_url="/auth/sign-out",
    )


@contextmanager
def _flask(folder: Path, uploads: list[int]) -> Iterator[tuple[str, Any]]:
    from jwt_lp_flask import mount_console

    _migrate(folder, "flask")
    with sign_in_apps.flask_app(folder, SETTINGS, {}) as made, closing(_console(made.guard, uploads)) as console:
        mount_console(made.app, console, "/access/")
        yield "wsgi", made.app


@contextmanager
def _starlette(folder: Path, uploads: list[int]) -> Iterator[tuple[str, Any]]:
    from starlette.routing import Mount

    _migrate(folder, "starlette")
    with sign_in_apps.starlette_app(folder, SETTINGS, {}) as made, closing(_console(made.guard, uploads)) as console:
        made.app.router.routes.append(Mount("/access", console))
        yield "asgi", made.app


@contextmanager
def _fastapi(folder: Path, uploads: list[int]) -> Iterator[tuple[str, Any]]:
    _migrate(folder, "fastapi")
    with sign_in_apps.fastapi_app(folder, SETTINGS, {}) as made, closing(_console(made.guard, uploads)) as console:
        made.app.mount("/access", console)
        yield "asgi", made.app


@contextmanager
def _django(kind: str, folder: Path, uploads: list[int]) -> Iterator[tuple[str, Any]]:
    consoles = ExitStack()

    def views() -> list[Any]:
        from django.urls import include, path

        from jwt_lp_django import console_urls, guard_from

        guard = guard_from()
        with closing(open_store(guard.settings.store)) as store:  # type: ignore[arg-type]
            store.migrate()
        console = consoles.enter_context(closing(_console(guard, uploads)))
        return [path("access/", include(console_urls(console)))]

    with sign_in_apps._django(kind, views, folder, SETTINGS, {}) as made, consoles:
        yield "wsgi" if kind == "wsgi" else "asgi", made.app


def _migrate(folder: Path, name: str) -> None:
    store = open_store(f"sqlite:///{folder / f'{name}.db'}")
    store.migrate()
    store.close()


HOSTS: dict[str, tuple[str, Any]] = {
    "flask": ("a2wsgi", _flask),
    "starlette": ("starlette", _starlette),
    "fastapi": ("fastapi", _fastapi),
    "django": ("django", lambda folder, uploads: _django("wsgi", folder, uploads)),
    "django-async": ("django", lambda folder, uploads: _django("asgi", folder, uploads)),
}


@pytest.fixture(scope="module", params=[name for name, (library, _) in HOSTS.items() if find_spec(library)])
def mounted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mounted]:
    uploads: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sign_in_apps._Users, "permissions", lambda self, subject: ["orders:read", *EVERYTHING])
        with (
            HOSTS[request.param][1](tmp_path_factory.mktemp(request.param), uploads) as (kind, app),
            serve(kind, app) as client,
        ):
            body = json.dumps({"username": "alice", "password": PASSWORD}).encode()
            headers = {"Content-Type": "application/json", "Sec-Fetch-Site": "same-origin"}
            answer = client.request("POST", "/auth/token", list(headers.items()), body)
            assert 200 == answer.status, answer.body
            pairs = (line.partition(";")[0].partition("=") for line in answer.cookies)
            yield Mounted(client, {name: value for name, _, value in pairs if name != "__Secure-refresh"}, uploads)


def test_the_sign_in_of_the_host_opens_the_console(mounted: Mounted) -> None:
    """Its links stay below the place where it is mounted, and its files are there."""
    answer = mounted.request("GET", "/access/")
    assert 200 == answer.status
    html = answer.body.decode()
    assert 'href="/access/" aria-current="page"' in html
    style = html.partition('rel="stylesheet" href="')[2].partition('"')[0]
    assert style.startswith("/access/static/console.css")
    assert 200 == mounted.request("GET", style).status
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert 'data-refresh="/auth/refresh"' in html


def test_a_form_reaches_the_console(mounted: Mounted) -> None:
    """A file and a field arrive whole, with the CSRF token of this session, and the redirect stays inside."""
    session = mounted.request("GET", "/access/session").json
    content = b"id,decision\r\n" * 30_000
    parts = [
        f'--x\r\nContent-Disposition: form-data; name="csrf_token"\r\n\r\n{session["csrf_token"]}\r\n'.encode(),
        b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\n\xc3\xa4.csv\r\n',
        b'--x\r\nContent-Disposition: form-data; name="worksheet"; filename="a.csv"\r\n\r\n'
        + content
        + b"\r\n--x--\r\n",
    ]
    answer = mounted.request(
        "POST", "/access/test/upload", b"".join(parts), Content_Type="multipart/form-data; boundary=x"
    )
    assert 303 == answer.status
    assert len(content) == mounted.uploads[-1]
    assert answer.headers["location"].startswith("/access/?notice=")
    assert "ä.csv was read" in text_of(mounted.request("GET", answer.headers["location"]))


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Sec_Fetch_Site": "cross-site"}, id="from another site"),
        pytest.param({"X_CSRF_Token": "x"}, id="wrong token"),
        pytest.param({"Sec_Fetch_Site": "", "Origin": "http://attacker.test"}, id="from another origin"),
    ],
)
def test_a_forged_form_is_refused(mounted: Mounted, headers: dict[str, str]) -> None:
    """Whatever the host checks itself, the console's guard checks each form."""
    before = list(mounted.uploads)
    token = mounted.request("GET", "/access/session").json["csrf_token"]
    body = urlencode({"csrf_token": token}).encode()
    kind = "application/x-www-form-urlencoded"
    answer = mounted.request("POST", "/access/test/upload", body, Content_Type=kind, **headers)
    assert (403, before) == (answer.status, mounted.uploads)


def test_without_a_session_it_leads_to_the_hosts_sign_in(mounted: Mounted) -> None:
    """The address to come back to has the place where the console is mounted."""
    answer = mounted.request("GET", "/access/test/peer/a%20b?q=%C3%A4", Cookie="a=b")
    expected = "/auth/page?next=%2Faccess%2Ftest%2Fpeer%2Fa%2520b%3Fq%3D%25C3%25A4"
    assert (303, expected) == (answer.status, answer.headers["location"])


def test_the_request_arrives_as_it_was_sent(mounted: Mounted) -> None:
    """Path and query are those of the client."""
    answer = mounted.request("GET", "/access/test/peer/a%20b?q=%C3%A4")
    assert (200, "/access/test/peer/a b ä") == (answer.status, answer.body.decode())


@pytest.mark.parametrize(
    ("path", "status"), [("/access/nothing", 404), ("/access/test/upload", 405), ("/access/test/broken", 500)]
)
def test_errors_are_pages_of_the_console(mounted: Mounted, path: str, status: int) -> None:
    """The host does not answer them once more."""
    answer = mounted.request("GET", path)
    assert status == answer.status
    assert 'href="/access/"' in answer.body.decode()
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_signing_out_of_the_host_ends_the_console_at_once(mounted: Mounted) -> None:
    """Another session of the same person goes on; this one is over with the next request."""
    body = json.dumps({"username": "bob", "password": PASSWORD}).encode()
    signed_in = mounted.request("POST", "/auth/token", body, Content_Type="application/json", Cookie="")
    cookies = "; ".join(line.partition(";")[0] for line in signed_in.cookies)
    assert 200 == mounted.request("GET", "/access/", Cookie=cookies).status
    assert 204 == mounted.request("POST", "/auth/sign-out", b"", Cookie=cookies).status
    assert 303 == mounted.request("GET", "/access/", Cookie=cookies).status
    assert 200 == mounted.request("GET", "/access/").status


def test_without_the_slash_it_leads_to_the_first_page(mounted: Mounted) -> None:
    """Whoever types the address leaves the last slash out."""
    if "csrftoken" in mounted.cookies:
        pytest.skip("Django adds the slash with CommonMiddleware, which this project does not have")
    answer = mounted.request("GET", "/access")
    assert answer.status in (302, 303, 307, 308)
    assert answer.headers["location"].endswith("/access/")


@pytest.mark.once
def test_a_server_that_forks_serves_it(tmp_path: Path) -> None:
    """gunicorn loads the application, then forks: each of its processes answers."""
    pytest.importorskip("a2wsgi")
    pytest.importorskip("flask")
    pytest.importorskip("gunicorn")
    _migrate(tmp_path, "store")
    (tmp_path / "forking.py").write_text(FORKING)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        place = ["--bind", f"fd://{listener.fileno()}", "--preload", "--workers", "2"]
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *place, "forking:app"],
            cwd=tmp_path,
            pass_fds=[listener.fileno()],
            stderr=subprocess.DEVNULL,
        )
        try:
            client = HttpClient(listener.getsockname()[1])
            assert {401} == {client.request("GET", "/access/", PAGE.items()).status for _ in range(6)}
            assert 200 == client.request("GET", "/access/static/console.css").status
        finally:
            process.terminate()
            process.wait(20)


FORKING = """
from flask import Flask
from jwt_lp import SigningKey
from jwt_lp.console import create_console
from jwt_lp_flask import LeastPrivilege, mount_console

key = SigningKey.generate(kid="k")
lp = {"ISSUER": "https://a.test", "AUDIENCE": "a", "ALGORITHMS": ["ES256"], "JWKS": {"keys": [key.public_jwk()]},
      "OWN": True, "COOKIE": True, "STORE": "sqlite:///store.db"}
app = Flask(__name__, static_folder=None)
LeastPrivilege(app, lp)
mount_console(app, create_console(lp))
"""
