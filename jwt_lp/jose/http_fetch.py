"""Bounded fetches of JSON documents from an issuer, and bounded deliveries of JSON.

Each is one request with limits on time, size and addresses. It follows no redirect, uses no proxy of the environment
and does not retry, so it uses one bare urllib3 connection instead of a pool. A read timeout does not bound a server
that sends its answer byte by byte, so another thread shuts the socket down at the deadline.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from http.client import HTTPException
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from jwt_lp._support.worker import time_limit
from jwt_lp.errors import InvalidToken, JwtLpError
from jwt_lp.jose.jws import read_json

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from urllib.parse import SplitResult

    from urllib3.connection import HTTPConnection

DEADLINE: Final = 5.0
MAX_BYTES: Final = 512 * 1024

_URL: Final = re.compile(r"[!-~]+")
_MAX_AGE: Final = re.compile(r"(?:^|[\s,])max-age=\"?(\d{1,9})", re.IGNORECASE)


class FetchError(JwtLpError):
    """A document could not be fetched. The message is for the operator and contains no control characters.

    `status` is the HTTP status if the server answered with one that is refused, and `retry_after` its Retry-After in
    seconds (RFC 9110, section 10.2.3).
    """

    code = "fetch"

    def __init__(self, message: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        self.status = status
        self.retry_after = retry_after
        super().__init__(message)


class _StatusError(OSError):
    """The server answered with a status that is refused."""

    def __init__(self, message: str, status: int, retry_after: float | None) -> None:
        self.status = status
        self.retry_after = retry_after
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class FetchedDocument:
    """A JSON object that an issuer served, and its `max-age` in seconds (RFC 9111)."""

    document: dict[str, object]
    max_age: float | None


class _Request(NamedTuple):
    """What a request carries besides its address, and whether its answer is read or only its status counts."""

    body: bytes | None
    headers: Mapping[str, str]
    answer: bool = True

    def __repr__(self) -> str:
        return "_Request(masked)"


def check_url(url: str, allow_http_hosts: Collection[str] = (), *, setting: str = "ALLOW_HTTP_HOSTS") -> str | None:
    """Return what is wrong with a configured address, or None for an https address with a host.

    http is accepted for loopback and for the hosts in `allow_http_hosts` (names without port); `setting` is the name
    of that setting. User names in the address, fragments, white space and characters outside ASCII are refused.
    """
    if not _URL.fullmatch(url):
        return "is empty or has white space, control or non-ASCII characters (write host names in punycode)"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is not a URL"
    if parts.scheme not in {"https", "http"} or not host:
        return "is not an https:// address with a host"
    if "@" in parts.netloc:
        return "has a user name or password in it"
    if "#" in url:
        return "has a fragment"
    if parts.scheme == "http" and not _may_use_http(host, allow_http_hosts):
        return f"is an http address: use https (or name the host in {setting}, in development only)"
    return None


def fetch_json(
    url: str,
    *,
    allow_http_hosts: Collection[str] = (),
    deadline: float = DEADLINE,
    max_bytes: int = MAX_BYTES,
    form: bytes | None = None,
    headers: Mapping[str, str] = MappingProxyType({}),
    clock: Callable[[], float] = time.monotonic,
) -> FetchedDocument:
    """Fetch one JSON object, or raise `FetchError` and nothing else.

    With `form`, an encoded form, the request is a POST of it. `headers` are sent too.
    `deadline` is the limit in seconds for everything after name resolution, however slowly the server sends. Refused
    are an address that `check_url` refuses, any status but 200 (redirects included), a content encoding, more
    than `max_bytes`, and what `read_json` refuses. Certificates are checked against the system's store.
    """
    if form is not None:
        headers = {"Content-Type": "application/x-www-form-urlencoded", **headers}
    fault = check_url(url, allow_http_hosts)
    if fault is not None:
        raise FetchError(f"the address {fault}")
    answer = _exchange(urlsplit(url), _Request(form, headers), deadline, max_bytes, clock)
    if isinstance(answer, FetchError):
        raise answer
    body, cache_control = answer
    return FetchedDocument(_document(body), _max_age(cache_control))


def deliver_json(
    url: str,
    body: bytes,
    *,
    headers: Mapping[str, str] = MappingProxyType({}),
    allow_http_hosts: Collection[str] = (),
    deadline: float = DEADLINE,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """POST a JSON document; return once the server has answered with a status from 200 to 299, whatever else it says.

    Raises `FetchError` and nothing else. `deadline` and the refused addresses are those of `fetch_json`.
    """
    headers = {"Content-Type": "application/json", **headers}
    fault = check_url(url, allow_http_hosts)
    if fault is not None:
        raise FetchError(f"the address {fault}")
    answer = _exchange(urlsplit(url), _Request(body, headers, answer=False), deadline, 0, clock)
    if isinstance(answer, FetchError):
        raise answer


def import_dependencies() -> None:
    """Import the modules that a fetch needs, before any thread does.

    A process forked while another thread is importing a module would wait for that import forever.
    """
    # Name resolution uses `encodings.idna`.
    for name in ("encodings.idna", "urllib3.connection", "urllib3.exceptions"):
        import_module(name)


def escape_for_log(text: object) -> str:
    """Make untrusted text safe to log: control characters escaped, 200 characters at most."""
    return repr(str(text))[1:-1][:200]


def _problem(cause: BaseException, deadline: float) -> str:
    if isinstance(cause, TimeoutError):
        return f"no complete answer within {deadline:g} s"
    kind = OSError if isinstance(cause, _StatusError) else type(cause)
    return f"{kind.__name__}: {escape_for_log(cause)}"


def _exchange(
    parts: SplitResult, request: _Request, deadline: float, max_bytes: int, clock: Callable[[], float]
) -> tuple[bytes, str] | FetchError:
    """The body and the Cache-Control header, or the error.

    The caller raises it, outside this handler: as the context, the library's error would keep its objects alive,
    sockets included.
    """
    from urllib3.exceptions import HTTPError

    try:
        return _fetch(parts, request, deadline, max_bytes, clock)
    except _StatusError as error:
        return FetchError(_problem(error, deadline), status=error.status, retry_after=error.retry_after)
    except (OSError, ValueError, RuntimeError, HTTPException, HTTPError) as error:
        return FetchError(_problem(error.__cause__ or error, deadline))


def _fetch(
    parts: SplitResult, request: _Request, deadline: float, max_bytes: int, clock: Callable[[], float]
) -> tuple[bytes, str]:
    """Return the body and the Cache-Control header."""
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    end = clock() + deadline

    def remaining() -> float:
        seconds = end - clock()
        if seconds <= 0:
            raise TimeoutError
        return seconds

    with closing(_connect([str(address[0]) for *_, address in addresses], port, remaining)) as connection:
        raw = connection.sock
        connection.timeout = remaining()
        raw.settimeout(connection.timeout)
        # A second handle for the shutdown: TLS takes over the first, and the client closes it after the answer.
        with (
            socket.fromfd(raw.fileno(), raw.family, raw.type) as duplicate,
            time_limit(connection.timeout, partial(duplicate.shutdown, socket.SHUT_RDWR)),
        ):
            if parts.scheme == "https":
                connection.sock = ssl.create_default_context().wrap_socket(raw, server_hostname=host)
            return _send_request(connection, parts, request, max_bytes)


def _connect(addresses: Sequence[str], port: int, remaining: Callable[[], float]) -> HTTPConnection:
    """Connect to the first address that answers; each gets an equal share of the remaining time.

    The client itself would apply its time limit anew to each address, and again to the TLS handshake.
    """
    from urllib3.connection import HTTPConnection
    from urllib3.exceptions import HTTPError

    failure: Exception = OSError("the name has no address")
    for index, address in enumerate(addresses):
        connection = HTTPConnection(address, port, timeout=remaining() / (len(addresses) - index))
        try:
            connection.connect()
        except (OSError, HTTPError) as error:
            failure = error
        else:
            return connection
    raise failure


def _send_request(
    connection: HTTPConnection, parts: SplitResult, request: _Request, max_bytes: int
) -> tuple[bytes, str]:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {"Host": parts.netloc, "User-Agent": "jwt-lp", "Connection": "close"}
    headers |= {"Accept": "application/json", "Accept-Encoding": "identity"}
    method = "GET" if request.body is None else "POST"
    connection.request(
        method, target, request.body, {**headers, **request.headers}, preload_content=False, decode_content=False
    )
    with connection.getresponse() as response:
        if not request.answer and HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES:
            return b"", ""
        if not request.answer or response.status != HTTPStatus.OK:
            hint = ": redirects are not followed; configure the final address" if "Location" in response.headers else ""
            retry_after = _retry_after(response.headers.get("Retry-After"))
            raise _StatusError(f"answered {response.status}{hint}", response.status, retry_after)
        if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            raise OSError("answered with a content encoding that was not asked for")
        body = response.read(max_bytes + 1)
        if len(body) > max_bytes:
            raise OSError(f"answered with more than {max_bytes} bytes")
        if response.length_remaining:
            raise OSError(f"broke off {response.length_remaining} bytes before the end")
        return body, response.headers.get("Cache-Control", "")


def _document(body: bytes) -> dict[str, object]:
    if body.lstrip()[:1] == b"<":
        raise FetchError("answered with HTML or XML, not JSON: is this the right address?")
    try:
        return read_json(body, "answer")
    except InvalidToken as refusal:
        raise FetchError(refusal.detail) from None


def _max_age(cache_control: str) -> float | None:
    if re.search(r"\bno-(?:store|cache)\b", cache_control, re.IGNORECASE):
        return 0.0
    match = _MAX_AGE.search(cache_control)
    return None if match is None else float(match[1])


def _retry_after(value: str | None) -> float | None:
    """The seconds of a Retry-After header, which names seconds or a date; None without a readable one."""
    from urllib3.exceptions import InvalidHeader
    from urllib3.util.retry import Retry

    with suppress(InvalidHeader):
        return None if value is None else Retry().parse_retry_after(value)
    return None


def _may_use_http(host: str, allowed: Collection[str]) -> bool:
    if host == "localhost" or host in {name.lower() for name in allowed}:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
