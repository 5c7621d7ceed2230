"""The projects in examples/migrations, served before and after side by side: as during a deployment."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from jwt_lp import SigningKey

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[2]
PROJECTS = ROOT / "examples" / "migrations"
START_AT_MOST = 30.0

# library -> what has to be installed
LIBRARIES = {
    "fastapi_pyjwt": ("fastapi", "python_multipart", "uvicorn"),
    "fastapi_auth0": ("fastapi_plugin", "uvicorn"),
    "flask_jwt_extended": ("flask_jwt_extended",),
    "drf_simplejwt": ("rest_framework_simplejwt",),
    "django_oauth_toolkit": ("oauth2_provider", "rest_framework"),
}

_SETUP = """
import django, sys
django.setup()
from django.contrib.auth.models import Permission, User
from django.conf import settings
from django.core.management import call_command
# The tables as the models have them now: the history of every application takes seconds.
settings.MIGRATION_MODULES = dict.fromkeys(django.apps.apps.app_configs)
call_command("migrate", run_syncdb=True, verbosity=0)
alice = User.objects.create_user("alice", password="wonderland")
alice.user_permissions.add(Permission.objects.get(codename="add_user"))
User.objects.create_user("bob", password="builder")
if "oauth2_provider" in django.apps.apps.app_configs:
    from oauth2_provider.models import Application
    Application.objects.create(client_id="web", client_secret="web-secret", client_type="confidential",
                               authorization_grant_type="password", name="web")
"""


@dataclass
class Server:
    """A project that is being served."""

    port: int
    process: subprocess.Popen[bytes]

    def request(self, method: str, path: str, bearer: str | None = None, /, **form: str) -> tuple[int, Any]:
        """Status and JSON body (None if it is no JSON)."""
        data = urllib.parse.urlencode(form).encode() if form else None
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, method=method)
        if bearer is not None:
            request.add_header("Authorization", f"Bearer {bearer}")
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return response.status, _json(response.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _json(error.read())


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


@dataclass
class Deployment:
    """A project before and after, both being served with the same secrets, database and store."""

    name: str
    folder: Path
    environment: Mapping[str, str]
    # Auth0's alone: the issuer and its key
    tenant: tuple[str, SigningKey] | None = None
    stack: ExitStack = field(default_factory=ExitStack)
    servers: dict[str, Server] = field(default_factory=dict)
    tokens: dict[str, dict[str, str]] = field(default_factory=dict)

    def serve(self, when: str, folder: Path | None = None, **more: str) -> Server:
        """Start a server for `before` or `after`, or for another folder."""
        port = _free_port()
        here = folder or PROJECTS / self.name / when
        django = (here / "manage.py").exists()
        program = ["manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"] if django else ["main.py", str(port)]
        with (self.folder / f"{when}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, *program], cwd=here, env={**self.environment, **more}, stdout=log, stderr=log
            )
        self.stack.callback(process.wait, 10)
        self.stack.callback(process.terminate)
        server = self.servers[when] = Server(port, process)
        self._wait(server, when)
        return server

    def _wait(self, server: Server, when: str) -> None:
        until = time.monotonic() + START_AT_MOST
        while time.monotonic() < until and server.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", server.port), 1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError(f"{self.name} {when} did not start:\n{self.log(when)}")

    def log(self, when: str) -> str:
        return (self.folder / f"{when}.log").read_text(encoding="utf-8", errors="replace")

    @property
    def store(self) -> str:
        return self.environment["STORE"]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


@contextmanager
def deployed(name: str, folder: Path, before: Path | None = None, **environment: str) -> Iterator[Deployment]:
    """Serve a project before and after; `before` is a copy of the first that differs."""
    values = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("JWT_LP", "DJANGO", "COVERAGE"))},
        "SECRET_KEY": secrets.token_hex(32),
        "SIGNING_KEY": json.dumps(SigningKey.generate("ES256").private_jwk()),
        "DATABASE": str(folder / "project.db"),
        "STORE": f"sqlite:///{folder / 'access.db'}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(ROOT),
        **environment,
    }
    deployment = Deployment(name, folder, values)
    with deployment.stack:
        before = before or PROJECTS / name / "before"
        if (before / "manage.py").exists():
            setup = [sys.executable, "-c", _SETUP]
            subprocess.run(setup, cwd=before, env={**values, "DJANGO_SETTINGS_MODULE": "settings"}, check=True)
        deployment.serve("before", before)
        deployment.serve("after")
        yield deployment


def copied(name: str, when: str, folder: Path) -> Path:
    """A copy of a project that a test may change."""
    target = folder / f"{name}-{when}"
    shutil.copytree(PROJECTS / name / when, target, ignore=shutil.ignore_patterns("__pycache__"))
    return target


def certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 with its key, which is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(hours=1)
        )
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(made.public_bytes(Encoding.PEM) + private)
    ssl.create_default_context(cafile=path)
    return path
