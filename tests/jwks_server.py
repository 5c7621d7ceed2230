"""Key set server on loopback with many kinds of failures, and keys to serve."""

from __future__ import annotations

import base64
import gzip
import json
import socket
import ssl
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

HANG_AT_MOST = 10.0
DRIP_EVERY = 0.02


def b64(data: bytes) -> str:
    """Encode as JOSE does: base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int) -> str:
    """Encode a non-negative integer as a JWK member."""
    return b64(value.to_bytes((value.bit_length() + 7) // 8 or 1, "big"))


def rsa_jwk(key: rsa.RSAPrivateKey, **more: object) -> dict[str, object]:
    """Give the public JWK of an RSA key."""
    numbers = key.public_key().public_numbers()
    return {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e), **more}


def ec_jwk(key: ec.EllipticCurvePrivateKey, **more: object) -> dict[str, object]:
    """Give the public JWK of a NIST curve's key."""
    size = (key.curve.key_size + 7) // 8
    numbers = key.public_key().public_numbers()
    x, y = b64(numbers.x.to_bytes(size, "big")), b64(numbers.y.to_bytes(size, "big"))
    return {"kty": "EC", "crv": f"P-{key.curve.key_size}", "x": x, "y": y, **more}


def okp_jwk(key: ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey, **more: object) -> dict[str, object]:
    """Give the public JWK of an Edwards curve's key."""
    curve = "Ed25519" if isinstance(key, ed25519.Ed25519PrivateKey) else "Ed448"
    x = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return {"kty": "OKP", "crv": curve, "x": b64(x), **more}


def raw_es256(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    """Sign as ES256 does: r and s, 32 bytes each."""
    r, s = utils.decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def fresh(kid: str | None = None, **more: object) -> dict[str, object]:
    """Give the public JWK of a new ES256 key."""
    name = {} if kid is None else {"kid": kid}
    return ec_jwk(ec.generate_private_key(ec.SECP256R1()), alg="ES256", **name, **more)


class KeyServer:
    """Serves `document` at every path unless `routes` has another document or behaviour for it.

    `behaviour` names a method of the handler below. `paths` lists the requested paths; setting `open` releases every
    hanging request.
    """

    def __init__(self, *keys: Mapping[str, object], certificate: Path | None = None) -> None:
        self.document: object = {"keys": list(keys)}
        self.behaviour = "ok"
        self.routes: dict[str, object] = {}
        self.headers: dict[str, str] = {}
        self.paths: list[str] = []
        self.open = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self._scheme = "https"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        """The URL of the key set."""
        return f"{self.origin}/jwks"

    def serve(self, *keys: Mapping[str, object]) -> None:
        """Serve these keys from now on."""
        self.document = {"keys": list(keys)}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.open.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """Print nothing; many tests close their connection early."""


class _Handler(BaseHTTPRequestHandler):
    keys: KeyServer

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def do_GET(self) -> None:
        self.keys.paths.append(self.path)
        served = self.keys.routes.get(self.path, self.keys.behaviour)
        if isinstance(served, str):
            getattr(self, served)()
        else:
            self.answer(json.dumps(served).encode())

    def answer(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in {"Content-Length": str(len(body)), **self.keys.headers, **more}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def ok(self) -> None:
        self.answer(json.dumps(self.keys.document).encode())

    def error_500(self) -> None:
        self.answer(b"{}", 500)

    def error_404(self) -> None:
        self.answer(b"{}", 404)

    def hang(self) -> None:
        self.keys.open.wait(HANG_AT_MOST)
        self.ok()

    def drip_headers(self) -> None:
        self.drip(b"HTTP/1.1 200 OK\r\nX-Slow: ")

    def drip_body(self) -> None:
        self.drip(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{")

    def drip(self, start: bytes) -> None:
        self.wfile.write(start)
        while not self.keys.open.wait(DRIP_EVERY):
            self.wfile.write(b" ")

    def huge(self) -> None:
        self.answer(json.dumps({"keys": [], "filler": "x" * 600 * 1024}).encode())

    def redirect(self) -> None:
        self.answer(b"", 302, Location=f"{self.keys.origin}/elsewhere")

    def html(self) -> None:
        self.answer(b"  <!doctype html><title>Sign in</title>")

    def empty(self) -> None:
        self.answer(b"")

    def not_utf8(self) -> None:
        self.answer(b'{"keys": [], "name": "\xff"}')

    def zipped(self) -> None:
        self.answer(gzip.compress(json.dumps(self.keys.document).encode()), Content_Encoding="gzip")

    def deep(self) -> None:
        self.answer(b'{"keys": ' + b"[" * 100_000 + b"]" * 100_000 + b"}")

    def array(self) -> None:
        self.answer(b"[]")

    def keys_of_wrong_type(self) -> None:
        self.answer(b'{"keys": {"kty": "EC"}}')

    def too_many_keys(self) -> None:
        self.answer(json.dumps({"keys": [{}] * 101}).encode())

    def no_keys(self) -> None:
        self.answer(b'{"keys": []}')

    def reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def short(self) -> None:
        body = json.dumps(self.keys.document).encode()
        self.answer(body, Content_Length=str(len(body) + 10))

    def short_chunks(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{")

    def no_http(self) -> None:
        self.wfile.write(b"220 mail.example ESMTP\r\n")

    def junk_then_slow(self) -> None:
        self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)
        self.keys.open.wait(HANG_AT_MOST)


def _handler(server: KeyServer) -> type[_Handler]:
    return type("Handler", (_Handler,), {"keys": server})


def eventually(condition: Callable[[], object], within: float = 5.0) -> bool:
    """Wait until the condition holds; False if it does not hold in time."""
    end = time.monotonic() + within
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True
