"""The first requests of each host: the adapter has imported before what it needs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from import_tracing import imports_of_thread
from jwks_server import KeyServer
from jwt_lp import SigningKey
from jwt_lp.jose.signing import sign

pytestmark = pytest.mark.host

ROOT = Path(__file__).parents[2]
ISSUER = "https://login.example.com/"
KEY = SigningKey.generate("ES256", kid="a")

WSGI = """
from io import BytesIO

def answer(method, path, header):
    statuses = []
    environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "80"}
    environ |= {"REMOTE_ADDR": "127.0.0.1", "wsgi.input": BytesIO(), "wsgi.errors": sys.stderr, "wsgi.url_scheme": "http"}
    environ |= {"HTTP_AUTHORIZATION": header} if header else {}
    b"".join(app(environ, lambda status, headers, *_: statuses.append(int(status.split()[0]))))
    return statuses[0]
"""
ASGI = """
import asyncio
from hosts.asgi_calls import Wire, request_scope

class Waiting(Wire):
    async def receive(self):
        # The caller stays until it has its answer.
        return await (super().receive() if self.incoming else asyncio.Event().wait())

def answer(method, path, header):
    headers = {"host": "127.0.0.1"} | ({"authorization": header} if header else {})
    wire = Waiting([{"type": "http.request", "body": b"", "more_body": False}])
    asyncio.run(app({**request_scope(path, headers), "method": method}, wire.receive, wire.send))
    return wire.answer().status
"""
DJANGO = "import {example}; from django.core.{kind} import get_{kind}_application as make; app = make()"
HOSTS = {
    "flask": ("flask", "from flask_orders import app", WSGI),
    "starlette": ("starlette", "from starlette_orders import app", ASGI),
    "fastapi": ("fastapi", "from fastapi_orders import app", ASGI),
    "django": ("django", DJANGO.format(example="django_orders", kind="wsgi"), WSGI),
    "django-asgi": ("django", DJANGO.format(example="django_orders", kind="asgi"), ASGI),
    "drf": ("rest_framework", DJANGO.format(example="drf_orders", kind="wsgi"), WSGI),
}
SERVE = """
bearer = [f"Bearer {sys.argv[3]}", f"Bearer {sys.argv[3]}x", "Bearer x y", None]
paths = ["/health", "/orders", "/orders/7", "/report", "/nowhere"]

def serve():
    served = [answer(method, path, header) for header in bearer for path in paths for method in ("GET", "HEAD", "POST")]
    assert {200, 400, 401, 403, 404} <= {*served}, served
"""


def token(**changes: Any) -> str:
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": "orders", "sub": "ada", "client_id": "web", "jti": "1", "iat": now, "exp": now + 60}
    return sign({**claims, "scope": "orders:list", **changes}, KEY)


@pytest.mark.parametrize("host", HOSTS)
def test_the_first_requests_import_nothing_of_ours(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the adapter nor the core imports anything in a request; what the host itself imports is its own affair."""
    library, make, call = HOSTS[host]
    pytest.importorskip(library)
    with KeyServer(KEY.public_jwk()) as server:
        settings = {"ISSUER": ISSUER, "AUDIENCE": "orders", "ALGORITHMS": "ES256", "JWKS_URL": server.url}
        settings["POLICY"] = str(ROOT / "examples/least-privilege.toml")
        for name, value in settings.items():
            monkeypatch.setenv(f"JWT_LP_{name}", value)
        prepare = f"sys.path += sys.argv[1:3]\n{make}\n{call}\n{SERVE}"
        arguments = str(ROOT / "examples"), str(ROOT / "tests"), token()
        assert [[], []] == imports_of_thread(prepare, "serve()", *arguments, by="jwt_lp")
