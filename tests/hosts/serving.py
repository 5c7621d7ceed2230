"""A server on loopback for applications of any host, and an HTTP client for it."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any, NamedTuple
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An HTTP response; header names are in lower case, and `cookies` has every line of Set-Cookie."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    cookies: tuple[str, ...] = ()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class HttpClient:
    """Sends one request for each connection, with every header line unchanged."""

    port: int

    def request(
        self, method: str, path: str, headers: Iterable[tuple[str, str]] = (), body: bytes | None = None
    ) -> HttpAnswer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.putrequest(method, path)
            for name, value in headers:
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            lowered = {name.lower(): value for name, value in response.getheaders()}
            cookies = tuple(response.headers.get_all("set-cookie") or ())
            return HttpAnswer(response.status, lowered, response.read(), cookies)
        finally:
            connection.close()


class Certificate(NamedTuple):
    """The files of a certificate and its key."""

    file: Path
    key: Path


@contextmanager
def serve(kind: str, app: Any, certificate: Certificate | None = None) -> Iterator[HttpClient]:
    """Serve a WSGI or ASGI application until the context ends; with a certificate over https."""
    with _wsgi(app, certificate) if kind == "wsgi" else _asgi(app, certificate) as port:
        yield HttpClient(port)


class _Threaded(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print an error, but not that a browser broke off a handshake."""
        if not isinstance(sys.exception(), ssl.SSLError):
            super().handle_error(request, client_address)


class _Quiet(WSGIRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def _wsgi(app: Any, certificate: Certificate | None) -> Iterator[int]:
    with make_server("127.0.0.1", 0, app, server_class=_Threaded, handler_class=_Quiet) as server:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate.file, certificate.key)
            # A browser opens connections that it may not use: a handshake must not keep the others waiting.
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
            server.base_environ["HTTPS"] = "on"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join(5)


@contextmanager
def _asgi(app: Any, certificate: Certificate | None) -> Iterator[int]:
    import uvicorn

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_level="error",
                proxy_headers=False,
                timeout_graceful_shutdown=1,
                ssl_certfile=certificate and certificate.file,
                ssl_keyfile=certificate and certificate.key,
            )
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + 15
        while not server.started and thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert server.started
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join(10)
