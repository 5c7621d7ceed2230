"""How is a document fetched from an issuer without being hurt?

One GET, bounded in time, bytes and reach. Nothing is followed: no redirect, no proxy of the environment, no
retry. The standard library's client does it: a pool's retries, redirects and per-read time limits would all
have to be switched off or worked around.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import re
import socket
import ssl
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from jwt_lp.errors import InvalidToken, JwtLpError
from jwt_lp.jws import read_json

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from urllib.parse import SplitResult

DEADLINE: Final = 5.0
MAX_BYTES: Final = 512 * 1024

_URL: Final = re.compile(r"[!-~]+")
_MAX_AGE: Final = re.compile(r"(?:^|[\s,])max-age=\"?(\d{1,9})", re.IGNORECASE)
_HEADERS: Final = (
    ("Accept", "application/json"),
    ("Accept-Encoding", "identity"),
    ("Connection", "close"),
    ("User-Agent", "jwt-lp"),
)


class FetchError(JwtLpError):
    """A document could not be had; the message is for the operator and has no control character in it."""

    code = "fetch"


@dataclass(frozen=True, slots=True)
class Fetched:
    """A JSON object as an issuer served it, and for how many seconds it said it stays good (RFC 9111)."""

    document: dict[str, object]
    max_age: float | None


def check_url(url: str, allow_http_hosts: Collection[str] = ()) -> str | None:
    """Say what is wrong with a configured address, or None: https with a host and nothing else odd.

    http is for loopback and for the hosts named in `allow_http_hosts` (names without port). User names in
    the address, fragments, white space and characters outside ASCII are refused.
    """
    if not _URL.fullmatch(url):
        return "is empty or has white space, control or non-ASCII characters (write host names in punycode)"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is no URL"
    if parts.scheme not in {"https", "http"} or not host:
        return "is no https:// address with a host"
    if "@" in parts.netloc:
        return "has a user name or password in it"
    if "#" in url:
        return "has a fragment"
    if parts.scheme == "http" and not _may_be_plain(host, allow_http_hosts):
        return "is http: use https (or name the host in ALLOW_HTTP_HOSTS, in development only)"
    return None


def fetch_json(
    url: str,
    *,
    allow_http_hosts: Collection[str] = (),
    deadline: float = DEADLINE,
    max_bytes: int = MAX_BYTES,
    clock: Callable[[], float] = time.monotonic,
) -> Fetched:
    """Fetch one JSON object, or raise `FetchError` and nothing else.

    `deadline` bounds everything after name resolution in total, however slowly the other side drips. Refused:
    an address that `check_url` refuses, any status but 200 (redirects included), a content encoding, more
    than `max_bytes`, and what `read_json` refuses. Certificates are checked against the system's store.
    """
    fault = check_url(url, allow_http_hosts)
    if fault is not None:
        raise FetchError(f"the address {fault}")
    try:
        body, headers = _get(urlsplit(url), _Deadline(clock() + deadline, clock), max_bytes)
    except TimeoutError:
        problem = f"no complete answer within {deadline:g} s"
    except (OSError, ValueError, http.client.HTTPException) as error:
        problem = f"{type(error).__name__}: {plain(error)}"
    else:
        return Fetched(_document(body), _max_age(headers))
    raise FetchError(problem)


def plain(text: object) -> str:
    """Make text from elsewhere fit to be logged: control characters escaped, 200 characters at most."""
    return repr(str(text))[1:-1][:200]


class _Deadline:
    """A point in time that every wait on a socket is cut down to."""

    def __init__(self, end: float, clock: Callable[[], float]) -> None:
        self._end = end
        self._clock = clock

    def bound(self, connection: socket.socket, among: int = 1) -> None:
        """Let the next operation last until the deadline and no longer, or for its share `among` several."""
        left = (self._end - self._clock()) / among
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)


class _BoundedReader(io.RawIOBase):
    """Reads a socket's stream, cutting every wait down to the deadline."""

    def __init__(self, stream: io.RawIOBase, connection: socket.socket, deadline: _Deadline) -> None:
        super().__init__()
        self._stream = stream
        self._connection = connection
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview, /) -> int | None:  # type: ignore[override]
        self._deadline.bound(self._connection)
        return self._stream.readinto(buffer)

    def close(self) -> None:
        self._stream.close()
        super().close()


def _get(parts: SplitResult, deadline: _Deadline, max_bytes: int) -> tuple[bytes, http.client.HTTPMessage]:
    host = parts.hostname or ""
    secure = parts.scheme == "https"
    connection = http.client.HTTPConnection(host, parts.port or (443 if secure else 80))
    try:
        # Connected by hand: the client's own way allows its whole time limit to every address of the host.
        connection.sock = raw = _connect(host, connection.port, deadline, secure=secure)
        deadline.bound(raw)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", target, headers={"Host": parts.netloc, **dict(_HEADERS)})
        response = http.client.HTTPResponse(raw, method="GET")
        with response:
            stream = response.fp.detach()
            response.fp = io.BufferedReader(_BoundedReader(stream, raw, deadline))
            response.begin()
            _check_head(response)
            return _body(response, max_bytes), response.headers
    finally:
        connection.close()


def _connect(host: str, port: int, deadline: _Deadline, *, secure: bool) -> socket.socket:
    """Connect to the first of the host's addresses that answers; each has its share of the time left."""
    failure: OSError = OSError("the name has no address")
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for place, (family, _, _, _, address) in enumerate(found):
        try:
            connection = _dial(family, address, deadline, among=len(found) - place)
        except OSError as error:
            failure = error
        else:
            return _secured(connection, host, deadline) if secure else connection
    raise failure


def _dial(family: int, address: tuple[object, ...], deadline: _Deadline, among: int) -> socket.socket:
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        deadline.bound(connection, among)
        connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection


def _secured(connection: socket.socket, host: str, deadline: _Deadline) -> socket.socket:
    try:
        deadline.bound(connection)
        return ssl.create_default_context().wrap_socket(connection, server_hostname=host)
    except (OSError, ValueError):
        connection.close()
        raise


def _check_head(response: http.client.HTTPResponse) -> None:
    if response.status != HTTPStatus.OK:
        hint = ": redirects are not followed, configure where it leads" if "Location" in response.headers else ""
        raise OSError(f"answered {response.status}{hint}")
    if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise OSError("answered with a content encoding that was not asked for")


def _body(response: http.client.HTTPResponse, max_bytes: int) -> bytes:
    body = response.read(max_bytes + 1)
    if len(body) > max_bytes:
        raise OSError(f"answered with more than {max_bytes} bytes")
    if response.length:
        raise OSError(f"broke off {response.length} bytes before the end")
    return body


def _document(body: bytes) -> dict[str, object]:
    if body.lstrip()[:1] == b"<":
        raise FetchError("answered with HTML or XML, not JSON: is this the right address?")
    try:
        return read_json(body, "answer")
    except InvalidToken as refusal:
        raise FetchError(refusal.detail) from None


def _max_age(headers: http.client.HTTPMessage) -> float | None:
    control = ",".join(headers.get_all("Cache-Control", ()))
    if re.search(r"\bno-(?:store|cache)\b", control, re.IGNORECASE):
        return 0.0
    found = _MAX_AGE.search(control)
    return None if found is None else float(found[1])


def _may_be_plain(host: str, allowed: Collection[str]) -> bool:
    if host == "localhost" or host in {name.lower() for name in allowed}:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
