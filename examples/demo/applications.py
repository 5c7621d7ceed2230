"""The example applications, each served by a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from .issuer import AUDIENCE, POLICY, DemoIssuer

EXAMPLES: Final = Path(__file__).parents[1]
START_TIMEOUT: Final = 30.0
# (column, what must be installed, the example)
HOSTS: Final = (
    ("Django", ("django", "sqlalchemy"), "django_orders.py"),
    ("DRF", ("rest_framework",), "drf_orders.py"),
    ("Flask", ("flask",), "flask_orders.py"),
    ("Starlette", ("starlette", "uvicorn"), "starlette_orders.py"),
    ("FastAPI", ("fastapi", "uvicorn"), "fastapi_orders.py"),
)


class StartError(Exception):
    """An example did not start; the message ends with its last output."""


@dataclass(frozen=True)
class ExampleServer:
    """A running example."""

    host: str
    port: int
    process: subprocess.Popen[str]
    log: IO[str]

    def wait(self) -> None:
        """Return when it accepts connections; `StartError` if it does not within `START_TIMEOUT` seconds."""
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        self.log.seek(0)
        raise StartError(f"the example on {self.host} did not start. Its output:\n{self.log.read()[-2000:]}")


@contextmanager
def serve_example(host: str, script: str, issuer: DemoIssuer) -> Generator[ExampleServer]:
    """Start an example on a free port, with `issuer` as its issuer; kill it afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("JWT_LP_", "DJANGO_"))}
    environment |= {
        "JWT_LP_ISSUER": issuer.url,
        "JWT_LP_AUDIENCE": AUDIENCE,
        "JWT_LP_ALGORITHMS": "ES256",
        "JWT_LP_JWKS_URL": f"{issuer.url}/jwks.json",
        "JWT_LP_POLICY": str(POLICY),
        "JWT_LP_ELEVATION_URL": "/elevations",
        "JWT_LP_OWN": "true",
        "JWT_LP_STORE": issuer.store,
    }
    with tempfile.TemporaryFile("w+") as log:
        command = [sys.executable, str(EXAMPLES / script), str(port)]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, text=True)  # noqa: S603 - our own
        try:
            yield ExampleServer(host, port, process, log)
        finally:
            process.kill()
            process.wait()
