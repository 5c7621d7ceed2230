"""Does it really work? The orders API on every host, asked over HTTP."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, Final

import click
import urllib3
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jwt_lp.cli.demo_review import record_history, review_and_apply, undo_plan
from jwt_lp.jose.signing import SigningKey, sign
from jwt_lp.revocation.entries import RevocationEntry
from jwt_lp.revocation.poller import POLL_INTERVAL
from jwt_lp.stores import open_store

AUDIENCE: Final = "https://orders.example"
START_TIMEOUT: Final = 30.0
# (column, what must be installed, the example)
HOSTS: Final = (
    ("Django", ("django", "sqlalchemy"), "django_orders.py"),
    ("DRF", ("rest_framework",), "drf_orders.py"),
    ("Flask", ("flask",), "flask_orders.py"),
    ("Starlette", ("starlette", "uvicorn"), "starlette_orders.py"),
    ("FastAPI", ("fastapi", "uvicorn"), "fastapi_orders.py"),
)


@dataclass
class DemoIssuer:
    """An issuer on loopback: it serves its key set over HTTP and signs with the first key."""

    server: ThreadingHTTPServer
    store: str
    folder: Path
    tokens: dict[str, str] = field(default_factory=dict[str, str])
    notes: list[str] = field(default_factory=list[str])
    journal: Path = Path()
    keys: list[SigningKey] = field(default_factory=lambda: [SigningKey.generate("ES256") for _ in range(2)])

    @property
    def address(self) -> str:
        """Its `iss`, and where it is."""
        return f"http://127.0.0.1:{self.server.server_port}"

    def token(self, scope: str = "", *, lifetime: int = 300, roles: tuple[str, ...] = (), **changes: object) -> str:
        """Sign a token for alice."""
        now = int(time.time())
        claims: dict[str, object] = {
            "iss": self.address,
            "sub": "alice",
            "aud": AUDIENCE,
            "client_id": "demo",
            "iat": now - 10,
            "exp": now + lifetime,
            "jti": secrets.token_hex(8),
            "scope": scope,
        }
        return sign({**claims, **({"roles": list(roles)} if roles else {}), **changes}, self.keys[0])

    def rotate(self) -> None:
        """Sign with the key that was published ahead."""
        self.keys.reverse()

    def stop(self) -> None:
        """Answer no more."""
        self.server.shutdown()
        self.server.server_close()


@dataclass(frozen=True)
class DemoStep:
    """One request, made to every host alike, and the one right answer."""

    title: str
    request: str
    token: Callable[[DemoIssuer], str | None]
    expected: int
    before: Callable[[DemoIssuer], None] = lambda _: None


def _tampered_token(issuer: DemoIssuer) -> str:
    token = issuer.token("orders:list")
    head, _, rest = token.partition(".")
    payload, _, signature = rest.partition(".")
    return f"{head}.{payload}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"


def _foreign_token(issuer: DemoIssuer) -> str:
    return DemoIssuer(issuer.server, issuer.store, issuer.folder).token("orders:list")


def _revoke_permission(issuer: DemoIssuer) -> None:
    """Revoke one permission of carol's, and wait until every service has asked what was revoked."""
    store = open_store(issuer.store)
    taken = RevocationEntry(
        id=secrets.token_hex(8), of="subject", issuer=issuer.address, name="carol", pattern="orders:list"
    )
    store.revoke([taken], at=time.time(), by="demo")
    store.close()
    time.sleep(POLL_INTERVAL + 1)


def _record_history(issuer: DemoIssuer) -> None:
    record_history(issuer.store, issuer.address)


def _review_and_apply(issuer: DemoIssuer) -> None:
    issuer.journal, lines = review_and_apply(issuer.store, issuer.address, issuer.folder)
    issuer.notes += lines
    time.sleep(POLL_INTERVAL + 1)


def _undo_plan(issuer: DemoIssuer) -> None:
    undo_plan(issuer.store, issuer.journal)
    time.sleep(POLL_INTERVAL + 1)


def _token_of_dave(issuer: DemoIssuer) -> str:
    """One token that lives through the review, the plan and its undoing."""
    return issuer.tokens.setdefault("dave", issuer.token("orders:list orders:create", sub="dave"))


def _token_of_carol(issuer: DemoIssuer) -> str:
    """One token, kept through all of the steps that are about it."""
    return issuer.tokens.setdefault("carol", issuer.token("orders:*", sub="carol"))


STEPS: Final = (
    DemoStep("no token", "GET /orders", lambda _: None, 401),
    DemoStep("no token, but public", "GET /health", lambda _: None, 200),
    DemoStep("for another audience", "GET /orders", lambda i: i.token("orders:list", aud="https://bills.example"), 401),
    DemoStep(
        "expired a minute ago",
        "GET /orders",
        lambda i: i.token("orders:list", lifetime=-60, iat=int(time.time()) - 360),
        401,
    ),
    DemoStep("tampered with", "GET /orders", _tampered_token, 401),
    DemoStep("holds orders:list", "GET /orders", lambda i: i.token("orders:list"), 200),
    DemoStep("holds orders:list", "POST /orders", lambda i: i.token("orders:list"), 403),
    DemoStep("holds orders:7:read", "GET /orders/7", lambda i: i.token("orders:7:read"), 200),
    DemoStep("holds orders:7:read", "GET /orders/8", lambda i: i.token("orders:7:read"), 403),
    DemoStep("has the role clerk", "GET /orders", lambda i: i.token(roles=("clerk",)), 200),
    DemoStep("has the role clerk", "GET /orders/7", lambda i: i.token(roles=("clerk",)), 403),
    DemoStep("has the role auditor", "GET /orders/7", lambda i: i.token(roles=("auditor",)), 200),
    DemoStep("holds orders:*", "GET /orders", lambda i: i.token("orders:*"), 200),
    DemoStep("holds orders:*", "GET /orders/7", lambda i: i.token("orders:*"), 403),
    DemoStep("holds orders:**", "GET /orders/7", lambda i: i.token("orders:**"), 200),
    DemoStep("holds **, unmarked", "GET /report", lambda i: i.token("**"), 403),
    DemoStep("carol's: orders:*", "GET /orders", _token_of_carol, 200),
    DemoStep("orders:list is gone", "GET /orders", _token_of_carol, 403, _revoke_permission),
    DemoStep("bob's: orders:*", "GET /orders", lambda i: i.token("orders:*", sub="bob"), 200),
    DemoStep("dave's: list, create", "GET /orders", _token_of_dave, 200, _record_history),
    DemoStep("reviewed: no create", "POST /orders", _token_of_dave, 403, _review_and_apply),
    DemoStep("list is in use", "GET /orders", _token_of_dave, 200),
    DemoStep("the plan is undone", "POST /orders", _token_of_dave, 201, _undo_plan),
    DemoStep("signed by a stranger", "GET /orders", _foreign_token, 401),
    DemoStep("signed with next key", "GET /orders", lambda i: i.token("orders:list"), 200, DemoIssuer.rotate),
    DemoStep("with the issuer down", "GET /orders", lambda i: i.token("orders:list"), 200, DemoIssuer.stop),
)

LESSONS: Final = (
    "One declaration a route, one meaning in every host: the same request gets the same answer everywhere.",
    "A token opens what it carries and no more: one order, one method, one audience, and not a second longer.",
    "orders:* is one segment (orders:list), orders:** is any depth (orders:7:read).",
    "orders:list was revoked from carol while her token lived: the next request was refused, bob's was not.",
    "dave never used orders:create in 300 days: a review found it, a plan revoked it in his live token, undo restored it.",
    "A route on which nothing is declared (/report) is refused, whatever the token holds.",
    "Keys were fetched ahead of time: neither a new key nor an issuer that is down was felt by a request.",
)


@click.command()
def demo() -> int:
    """Start an issuer and the orders API on every host, and show what each answers to the same requests."""
    console = Console()
    folder = Path(__file__).parents[2] / "examples"
    if not (folder / "least-privilege.toml").exists():
        raise click.ClickException(
            "the demo runs the applications in examples/: start it in a checkout, with make demo"
        )
    missing = [name for _, needed, _ in HOSTS for name in needed if find_spec(name) is None]
    if missing:
        raise click.ClickException(f"the demo needs {', '.join(dict.fromkeys(missing))}: make demo installs them")
    with ExitStack() as stack:
        issuer = stack.enter_context(_issuer())
        console.print(
            f"An issuer serves its key set at {issuer.address}/jwks.json; starting the orders API on five hosts …"
        )
        served = [stack.enter_context(_serve_example(name, folder / example, issuer)) for name, _, example in HOSTS]
        for each in served:
            each.wait()
        table, right = _ask_all(issuer, {each.name: each.port for each in served})
    console.print(table)
    for lesson in LESSONS:
        console.print(Text(f"· {lesson}"))
    for line in issuer.notes:
        console.print(Text(f"· {line}"), soft_wrap=True)
    total = len(STEPS) * len(HOSTS)
    console.print(
        Text(f"{right} of {total} answers are the right one.", style="bold green" if right == total else "bold red")
    )
    return 0 if right == total else 1


def _ask_all(issuer: DemoIssuer, ports: dict[str, int]) -> tuple[Table, int]:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("request", no_wrap=True)
    table.add_column("the token", no_wrap=True)
    for name in ports:
        table.add_column(name, justify="right", no_wrap=True)
    right = 0
    with urllib3.PoolManager(retries=False, timeout=10) as pool:
        for step in STEPS:
            step.before(issuer)
            token = step.token(issuer)
            answers = [_status(pool, port, name, step.request, token) for name, port in ports.items()]
            right += sum(answer == step.expected for answer in answers)
            table.add_row(Text(step.request), Text(step.title), *(_cell(answer, step.expected) for answer in answers))
    return table, right


def _cell(answer: int, expected: int) -> Text:
    if answer == expected:
        return Text(str(answer), style="green" if answer < HTTPStatus.BAD_REQUEST else "yellow")
    return Text(f"{answer} (not {expected})", style="bold red")


def _status(pool: urllib3.PoolManager, port: int, host: str, request: str, token: str | None) -> int:
    method, _, path = request.partition(" ")
    # Django routes by path alone, so its example creates orders at a path of their own.
    path = "/orders/new" if (host, request) == ("Django", "POST /orders") else path
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return pool.request(method, f"http://127.0.0.1:{port}{path}", headers=headers).status


@contextmanager
def _issuer() -> Generator[DemoIssuer]:
    class JwksHandler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"keys": [key.public_jwk() for key in issuer.keys]}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), JwksHandler)
    with tempfile.TemporaryDirectory() as folder:
        issuer = DemoIssuer(server, f"sqlite:///{folder}/access.db", Path(tempfile.mkdtemp(prefix="jwt-lp-demo-")))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield issuer


@dataclass(frozen=True)
class ExampleServer:
    """One example that runs in a process of its own."""

    name: str
    port: int
    process: subprocess.Popen[str]
    log: IO[str]

    def wait(self) -> None:
        """Return when it answers; `ClickException` with its last words where it does not start."""
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        self.log.seek(0)
        raise click.ClickException(f"the example on {self.name} did not start. It said:\n{self.log.read()[-2000:]}")


@contextmanager
def _serve_example(name: str, example: Path, issuer: DemoIssuer) -> Generator[ExampleServer]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("JWT_LP_", "DJANGO_"))}
    environment |= {
        "JWT_LP_ISSUER": issuer.address,
        "JWT_LP_AUDIENCE": AUDIENCE,
        "JWT_LP_ALGORITHMS": "ES256",
        "JWT_LP_JWKS_URL": f"{issuer.address}/jwks.json",
        "JWT_LP_POLICY": str(example.parent / "least-privilege.toml"),
        "JWT_LP_OWN": "true",
        "JWT_LP_STORE": issuer.store,
    }
    with tempfile.TemporaryFile("w+") as log:
        command = [sys.executable, str(example), str(port)]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, text=True)  # noqa: S603 - our own
        try:
            yield ExampleServer(name, port, process, log)
        finally:
            process.kill()
            process.wait()
