"""Bounded fetches from an issuer, and discovery of its key set."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from jwks_server import KeyServer, fresh
from jwt_lp.jose.discovery import discover, metadata_urls
from jwt_lp.jose.http_fetch import FetchedDocument, FetchError, check_url, deliver_json, escape_for_log, fetch_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def server() -> Iterator[KeyServer]:
    with KeyServer(fresh("a")) as server:
        yield server


def failure(url: str, deadline: float = 5.0) -> str:
    with pytest.raises(FetchError) as caught:
        fetch_json(url, deadline=deadline)
    return str(caught.value)


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("https://issuer.example/jwks", None),
        ("https://issuer.example:8443/jwks?v=1", None),
        ("https://[2001:db8::1]/jwks", None),
        ("http://localhost/jwks", None),
        ("http://127.0.0.1:8000/jwks", None),
        ("http://127.8.9.1/jwks", None),
        ("http://[::1]:8000/jwks", None),
        ("http://keycloak:8080/jwks", None),
        ("HTTP://KEYCLOAK:8080/jwks", None),
        (
            "http://issuer.example/",
            "is an http address: use https (or name the host in ALLOW_HTTP_HOSTS, in development only)",
        ),
        (
            "http://10.0.0.1/",
            "is an http address: use https (or name the host in ALLOW_HTTP_HOSTS, in development only)",
        ),
        (
            "http://localhost.example/",
            "is an http address: use https (or name the host in ALLOW_HTTP_HOSTS, in development only)",
        ),
        ("file:///etc/passwd", "is not an https:// address with a host"),
        ("ftp://issuer.example/jwks", "is not an https:// address with a host"),
        ("data:application/json,{}", "is not an https:// address with a host"),
        ("https:///jwks", "is not an https:// address with a host"),
        ("issuer.example/jwks", "is not an https:// address with a host"),
        ("https://user:secret@issuer.example/", "has a user name or password in it"),
        ("https://@issuer.example/", "has a user name or password in it"),
        ("https://issuer.example/#keys", "has a fragment"),
        ("https://issuer.example/#", "has a fragment"),
        ("https://issuer.example:port/", "is not a URL"),
        ("https://issuer.example:99999/", "is not a URL"),
        ("https://[::1/", "is not a URL"),
        ("", "is empty or has white space, control or non-ASCII characters (write host names in punycode)"),
        ("https://a b/", "is empty or has white space, control or non-ASCII characters (write host names in punycode)"),
        (
            "https://a/\r\n",
            "is empty or has white space, control or non-ASCII characters (write host names in punycode)",
        ),
        ("https://é/", "is empty or has white space, control or non-ASCII characters (write host names in punycode)"),
    ],
)
def test_check_url_names_the_fault_of_an_address(url: str, fault: str | None) -> None:
    """check_url() names the fault of an address; http is for loopback and the configured hosts only."""
    assert fault == check_url(url, ["Keycloak"])


def test_a_document_is_fetched(server: KeyServer) -> None:
    """fetch_json() returns the JSON object, and None as its age if the response has no max-age."""
    assert FetchedDocument(server.document, None) == fetch_json(f"{server.url}?v=1")  # type: ignore[arg-type]
    assert ["/jwks?v=1"] == server.paths


@pytest.mark.parametrize(
    ("header", "age"),
    [
        ("max-age=300", 300.0),
        ("public, max-age=300, must-revalidate", 300.0),
        ("public,MAX-AGE=300", 300.0),
        ('max-age="300"', 300.0),
        ("s-maxage=5", None),
        ("x-max-age=5", None),
        ("max-age=-1", None),
        ("max-age=soon", None),
        ("no-store", 0.0),
        ("no-cache, max-age=300", 0.0),
        ("", None),
    ],
)
def test_the_age_is_what_cache_control_says(server: KeyServer, header: str, age: float | None) -> None:
    """max-age is read in its usual spellings, no-store and no-cache mean 0, and malformed values are ignored."""
    server.headers["Cache-Control"] = header
    assert age == fetch_json(server.url).max_age


FAULTS = {
    "error_500": "OSError: answered 500",
    "error_404": "OSError: answered 404",
    "redirect": "OSError: answered 302: redirects are not followed; configure the final address",
    "html": "answered with HTML or XML, not JSON: is this the right address?",
    "empty": "the answer is not JSON in UTF-8",
    "not_utf8": "the answer is not JSON in UTF-8",
    "zipped": "OSError: answered with a content encoding that was not asked for",
    "deep": "the answer is nested deeper than 32",
    "array": "the answer is not a JSON object",
    "huge": "OSError: answered with more than 524288 bytes",
    "short": "OSError: broke off 10 bytes before the end",
    "no_http": "BadStatusLine: 220 mail.example ESMTP\\r\\n",
}


@pytest.mark.parametrize(("behaviour", "message"), FAULTS.items(), ids=FAULTS)
def test_a_bad_answer_is_a_fetch_error_that_says_why(server: KeyServer, behaviour: str, message: str) -> None:
    """Every bad response raises FetchError, with an explanation for the operator."""
    server.behaviour = behaviour
    assert message == failure(server.url)
    assert 1 == len(server.paths)


@contextmanager
def dripping_server(start: bytes, drip: bytes = b"") -> Iterator[str]:
    """Send one caller `start` at once, and then `drip` forever; return host and port."""
    over = threading.Event()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.sendall(start)
            while not over.wait(0.02):
                connection.sendall(drip)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        over.set()
        thread.join()


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_an_answer_in_chunks_is_read_whole() -> None:
    """Without a Content-Length, the response ends with the last chunk, and the size limit holds too."""
    with dripping_server(CHUNKED + b'6\r\n{"a": \r\n2\r\n1}\r\n0\r\n\r\n') as origin:
        assert FetchedDocument({"a": 1}, None) == fetch_json(f"http://{origin}/")
    with dripping_server(CHUNKED, b"1000\r\n" + b" " * 0x1000 + b"\r\n") as origin, pytest.raises(FetchError) as caught:
        fetch_json(f"http://{origin}/", max_bytes=10_000)
    assert "OSError: answered with more than 10000 bytes" == str(caught.value)


def test_two_lengths_are_a_fetch_error(server: KeyServer) -> None:
    """An error of the HTTP client itself is raised as FetchError."""
    server.headers["Content-Length"] = "2, 3"
    assert "InvalidHeader: Content-Length contained multiple unmatching values (2, 3)" == failure(server.url)


def test_a_broken_connection_is_a_fetch_error(server: KeyServer) -> None:
    """A reset, and a chunked response that ends early, raise FetchError."""
    server.behaviour = "reset"
    assert True is ("Error: " in failure(server.url) or "Disconnected: " in failure(server.url))
    server.behaviour = "short_chunks"
    assert True is failure(server.url).startswith("IncompleteRead: ")


def test_nobody_listening_is_a_fetch_error() -> None:
    """A refused connection and a name that does not resolve raise FetchError."""
    assert True is failure("http://127.0.0.1:9/").startswith("ConnectionRefusedError: ")
    assert True is failure("https://nowhere.invalid/").startswith("gaierror: ")
    assert True is failure(f"https://{'a' * 70}.example/").startswith("Unicode")


@pytest.mark.parametrize("behaviour", ["hang", "drip_headers", "drip_body", "junk_then_slow"])
def test_slowness_is_bounded_in_total(server: KeyServer, behaviour: str) -> None:
    """A fetch from an issuer that hangs, or sends byte by byte, ends at the deadline."""
    server.behaviour = behaviour
    begun = time.monotonic()
    found = failure(server.url, deadline=0.2)
    if behaviour == "junk_then_slow" and found == "HTTPException: got more than 100 interim responses":
        return  # the standard library's own limit, in newer releases of Python
    assert "no complete answer within 0.2 s" == found
    assert True is (0.15 < time.monotonic() - begun < 1.0)


def test_a_deadline_in_the_past_connects_to_nobody(server: KeyServer) -> None:
    """If no time is left, nothing is sent."""
    assert "no complete answer within 0 s" == failure(server.url, deadline=0)
    assert [] == server.paths


def resolve_several(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int], after: float = 0.0) -> None:
    """Let the name `several` resolve to these addresses, in this order, after so many seconds."""
    real = socket.getaddrinfo

    def resolve(host: str, port: int, *more: int, **named: int) -> object:
        if host != "several":
            # an address stands for itself, with the port it was given here
            return real(host, dict(addresses).get(host, port), *more, **named)
        time.sleep(after)
        return [result for address in addresses for result in real(*address, type=socket.SOCK_STREAM)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def test_every_address_of_a_host_has_its_share_of_the_time(server: KeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unreachable, refusing or silent address does not use up the time of the addresses after it."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.2", 0))
        deaf.listen(0)
        fill = [socket.socket() for _ in range(4)]
        for one in fill:
            one.setblocking(False)
            one.connect_ex(deaf.getsockname())
        port = int(server.origin.rpartition(":")[2])
        resolve_several(monkeypatch, ("2001:db8::1", 9), ("127.0.0.3", 9), deaf.getsockname(), ("127.0.0.1", port))
        begun = time.monotonic()
        fetched = fetch_json("http://several/jwks", allow_http_hosts=["several"], deadline=2.0)
        assert server.document == fetched.document
        assert True is (0.3 < time.monotonic() - begun < 2.0)
        for one in fill:
            one.close()


def first_of_six(monkeypatch: pytest.MonkeyPatch, server: KeyServer) -> None:
    """Let `several` resolve to this server and five more addresses."""
    port = int(server.origin.rpartition(":")[2])
    resolve_several(monkeypatch, ("127.0.0.1", port), *[(f"127.0.0.{at}", 9) for at in range(2, 7)])


def test_an_answer_may_use_all_the_remaining_time(server: KeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The share of an address limits connecting only; the response may take longer."""
    first_of_six(monkeypatch, server)
    server.behaviour = "hang"
    threading.Timer(0.5, server.open.set).start()
    fetched = fetch_json("http://several/", allow_http_hosts=["several"], deadline=2.0)
    assert server.document == fetched.document


def test_a_handshake_may_use_all_the_remaining_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The share of an address does not limit the TLS handshake."""
    server = KeyServer(fresh("a"), certificate=make_certificate(tmp_path / "server.pem"))
    first_of_six(monkeypatch, server)
    threading.Timer(0.5, server.__enter__).start()
    assert True is failure("https://several/", deadline=2.0).startswith("SSLCertVerificationError: ")
    server.__exit__()


def test_the_deadline_starts_after_name_resolution(server: KeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow resolver leaves the whole time to the connection."""
    resolve_several(monkeypatch, ("127.0.0.1", int(server.origin.rpartition(":")[2])), after=0.4)
    assert server.document == fetch_json("http://several/", allow_http_hosts=["several"], deadline=0.3).document


def test_a_host_without_address_is_a_fetch_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that resolves to nothing raises FetchError."""
    resolve_several(monkeypatch)
    assert "OSError: the name has no address" == failure("https://several/")


def test_a_refused_address_is_not_fetched(server: KeyServer) -> None:
    """fetch_json() checks the address itself, so that no caller can forget it."""
    assert "the address has a fragment" == failure(f"{server.url}#x")
    assert [] == server.paths


def test_proxies_of_the_environment_are_not_used(server: KeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY and similar variables do not redirect a key fetch."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    assert server.document == fetch_json(server.url).document


def make_certificate(path: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(1), now + timedelta(1))
    builder = builder.add_extension(
        x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    pem = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + pem)
    return path


def test_certificates_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """https requires a certificate that the system's store trusts and that names the host."""
    certificate = make_certificate(tmp_path / "server.pem")
    with KeyServer(fresh("a"), certificate=certificate) as server:
        assert True is failure(server.url).startswith("SSLCertVerificationError: ")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert server.document == fetch_json(server.url).document
        other = server.url.replace("127.0.0.1", "localhost")
        assert True is ("localhost" in failure(other))
        server.behaviour = "drip_body"
        assert "no complete answer within 0.3 s" == failure(server.url, deadline=0.3)


@pytest.mark.parametrize(
    ("start", "drip"), [(b"", b""), (b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc", b"\x00")], ids=["hang", "drip"]
)
def test_a_handshake_is_bounded_too(start: bytes, drip: bytes) -> None:
    """A server that accepts a connection but never completes TLS is abandoned at the deadline."""
    with dripping_server(start, drip) as origin:
        begun = time.monotonic()
        assert "no complete answer within 0.3 s" == failure(f"https://{origin}/", deadline=0.3)
        assert True is (0.25 < time.monotonic() - begun < 1.0)


def test_a_missing_timer_thread_is_a_fetch_error(server: KeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the timer thread cannot be started, nothing is sent."""

    def refuse(_: threading.Timer) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Timer, "start", refuse)
    assert "RuntimeError: can't start new thread" == failure(server.url)
    assert [] == server.paths


def test_no_thread_is_left_behind(server: KeyServer) -> None:
    """The timer thread ends with the fetch, however the fetch ends."""
    server.routes["/slow"] = "drip_body"
    fetch_json(server.url)
    failure(f"{server.origin}/slow", deadline=0.1)
    assert False is any(thread.name == "jwt-lp alarm" for thread in threading.enumerate())


def test_text_for_logs_is_escaped() -> None:
    """escape_for_log() escapes control characters and shortens."""
    assert "a\\r\\nb\\x1b" == escape_for_log("a\r\nb\x1b")
    assert 200 == len(escape_for_log("x" * 1000))


ISSUER = "https://issuer.example/tenant"


@pytest.mark.parametrize(
    ("issuer", "discovery", "urls"),
    [
        (
            "https://a.example",
            True,
            (
                "https://a.example/.well-known/openid-configuration",
                "https://a.example/.well-known/oauth-authorization-server",
            ),
        ),
        (
            "https://a.example/t/1/",
            True,
            (
                "https://a.example/t/1/.well-known/openid-configuration",
                "https://a.example/.well-known/oauth-authorization-server/t/1",
            ),
        ),
        ("https://a.example", "https://b.example/metadata", ("https://b.example/metadata",)),
    ],
)
def test_metadata_addresses(issuer: str, discovery: bool | str, urls: tuple[str, ...]) -> None:
    """OpenID appends to the issuer, RFC 8414 inserts after the host, and a configured address is the only one."""
    assert urls == metadata_urls(issuer, discovery=discovery)


def discovered(*documents: dict[str, object] | str, scheme: str = "https") -> str:
    urls = [f"{scheme}://issuer.example/{place}" for place in range(len(documents))]

    def fetch(url: str) -> FetchedDocument:
        document = documents[urls.index(url)]
        if isinstance(document, str):
            raise FetchError(document)
        return FetchedDocument(document, None)

    return discover(urls, ISSUER, fetch, ["issuer.example"])


GOOD: dict[str, object] = {"issuer": ISSUER, "jwks_uri": "https://keys.example/jwks"}


def test_the_first_good_metadata_counts() -> None:
    """discover() returns the jwks_uri of the first good document."""
    assert "https://keys.example/jwks" == discovered(GOOD, "down")
    assert "https://keys.example/jwks" == discovered("answered 404", GOOD)


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({}, "its issuer is not exactly the configured one"),
        (GOOD | {"issuer": ISSUER + "/"}, "its issuer is not exactly the configured one"),
        (GOOD | {"issuer": [ISSUER]}, "its issuer is not exactly the configured one"),
        ({"issuer": ISSUER}, "it has no jwks_uri"),
        (GOOD | {"jwks_uri": 1}, "it has no jwks_uri"),
        (GOOD | {"jwks_uri": "file:///etc/passwd"}, "its jwks_uri is not an https:// address with a host"),
        (GOOD | {"jwks_uri": "https://u@h/"}, "its jwks_uri has a user name or password in it"),
        (GOOD | {"jwks_uri": "http://127.0.0.1/"}, "its jwks_uri leads from https to http"),
        (GOOD | {"jwks_uri": "http://issuer.example/"}, "its jwks_uri leads from https to http"),
    ],
)
def test_metadata_with_another_issuer_or_a_bad_address_is_refused(document: dict[str, object], problem: str) -> None:
    """Metadata must name exactly this issuer and an address that check_url() accepts."""
    with pytest.raises(FetchError) as caught:
        discovered(document, "answered 404")
    assert f"no metadata: /0: {problem}; /1: answered 404" == str(caught.value)


def test_metadata_over_http_may_lead_to_http() -> None:
    """If the metadata is served over http, in development, the keys may be too."""
    document = GOOD | {"jwks_uri": "http://issuer.example/jwks"}
    assert "http://issuer.example/jwks" == discovered(document, scheme="http")


def test_nothing_is_delivered_to_an_address_that_is_refused() -> None:
    """A delivery to an http address fails before a connection is opened."""
    with pytest.raises(FetchError, match="the address is an http address"):
        deliver_json("http://issuer.example/hook", b"{}")
