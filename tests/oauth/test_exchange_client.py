"""Calls with downscoped tokens over real HTTP, with each installed library, sync and async."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote_plus

import pytest

from jwt_lp import (
    ClientMethods,
    ClientSecrets,
    ConfigurationError,
    Guard,
    InvalidToken,
    Issuer,
    Policy,
    PolicyError,
    PrivateKeyJwt,
    SigningKey,
    TokenExchange,
    all_of,
)

INSTALLED = [name for name in ("httpx2", "httpx") if find_spec(name)]
if not INSTALLED:
    pytest.skip("neither httpx2 nor httpx is installed", allow_module_level=True)

from jwt_lp.oauth.exchange_client import EXPIRY_MARGIN, DownscopedToken  # noqa: E402 - as above
from jwt_lp.oauth.httpx_auth import ExchangeClient, OnBehalfOf, auth_base_for  # noqa: E402 - as above

SECRET = "not-guessed-by-anybody: 0123456789 %+"
KEY = SigningKey.generate(kid="k1")
SHOP_KEY = SigningKey.generate(kid="shop1")
POLICY = Policy.from_mapping(
    {
        "version": 1,
        "audiences": {"shop": {"may_call": ["stock"]}, "stock": {}},
        "clients": {"shop": {"grants": ["stock:*"]}},
    }
)
ISSUER = Issuer("https://issuer.test", KEY, policy=POLICY)
Steps = dict[str, Any]


@dataclass
class World:
    """A server that is a token endpoint and the called service, and records what it receives."""

    port: int = 0
    tokens: int = 0
    seen: list[str] = field(default_factory=list)
    bodies: set[tuple[bytes, str | None]] = field(default_factory=set)
    moved: str = ""
    says: tuple[int, bytes] | None = None
    answers: int = 200

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def endpoint(self) -> str:
        return f"{self.origin}/oauth/token"


def _handler(world: World) -> type[BaseHTTPRequestHandler]:
    settings = {
        "ISSUER": ISSUER.issuer,
        "AUDIENCE": "stock",
        "ALGORITHMS": "ES256",
        "JWKS": ISSUER.jwks(),
        "OWN": True,
    }
    guard = Guard(settings)
    methods = ClientMethods(
        ClientSecrets({"shop": SECRET}), PrivateKeyJwt({"shop": {"keys": [SHOP_KEY.public_jwk()]}}, world.endpoint)
    )
    exchange = TokenExchange(ISSUER, methods)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def send(self, status: int, body: bytes = b"{}", **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            world.bodies.add((body, self.headers["Authorization"]))
            if not body:
                self.close_connection = True
                return
            world.tokens += 1
            if world.moved:
                code, _, where = world.moved.partition(" ")
                self.send(int(code), Location=where)
            elif world.says is not None:
                self.send(*world.says, Content_Type="application/json")
            else:
                answer = exchange.post(self.headers["Content-Type"], body, self.headers.get_all("Authorization") or [])
                self.send(answer.status, answer.body, **dict(answer.headers))

        def do_GET(self) -> None:
            if self.path.startswith("/to?"):
                self.send(302, Location=parse_qs(self.path[4:])["url"][0])
                return
            sent = self.headers.get("Authorization", "")
            world.seen.append(sent)
            decision = guard.check(sent or None, all_of("stock:read"), {}, "GET /stock")
            status = world.answers if decision.passes else decision.refusal.status if decision.refusal else 500
            self.send(status, json.dumps({"subject": decision.token.subject if decision.token else None}).encode())

    return Handler


@pytest.fixture
def world() -> Iterator[World]:
    created = World()
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        created.port = server.server_port
        server.RequestHandlerClass = _handler(created)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield created
        server.shutdown()
        thread.join(5)


class Caller:
    """Sends a request with one of the libraries, from sync or async code."""

    def __init__(self, library: str, *, is_async: bool) -> None:
        self.library = import_module(library)
        self.is_async = is_async

    def get(self, url: str, auth: Any, **more: Any) -> Any:
        # Reading the system's certificates for each client would take most of the time.
        more["verify"] = False
        if not self.is_async:
            with self.library.Client(**more) as client:
                return client.get(url, auth=auth)

        async def ask() -> Any:
            async with self.library.AsyncClient(**more) as client:
                return await client.get(url, auth=auth)

        return asyncio.run(ask())


@pytest.fixture(params=[(name, way) for name in INSTALLED for way in ("sync", "async")], ids="-".join)
def caller(request: pytest.FixtureRequest) -> Caller:
    return Caller(request.param[0], is_async=request.param[1] == "async")


def original_token(*permissions: str) -> str:
    granted = permissions or ("orders:list", "stock:read", "stock:write")
    return ISSUER.issue("alice", permissions=granted, audience="shop", client="web")


def sent(world: World) -> list[tuple[str, list[str], list[str]]]:
    """Audience, permissions and actor of each token that reached the service."""
    received = []
    for header in world.seen:
        token = ISSUER.verify(header.removeprefix("Bearer "))
        actors = [] if token.lineage is None else list(token.lineage.actors)
        (audience,) = ISSUER.audiences(token)
        received.append((audience, [grant.text for grant in token.permissions], actors))
    return received


LESS = ("stock", ["stock:read"], ["shop"])


@pytest.mark.parametrize(
    "credentials", [pytest.param({"secret": SECRET}, id="secret"), pytest.param({"key": SHOP_KEY}, id="key")]
)
@pytest.mark.parametrize("write", [str, lambda token: f"Bearer {token}", lambda token: f"bearer {token}"])
def test_an_endpoint_narrows(world: World, caller: Caller, credentials: Steps, write: Any) -> None:
    """The service receives a token with one permission, and the endpoint is called once while that token lives."""
    via = ExchangeClient(world.endpoint, "shop", **credentials)
    token = write(original_token())
    for _ in range(2):
        answer = caller.get(f"{world.origin}/stock", OnBehalfOf(token, ["stock:read"], via=via, audience="stock"))
        assert (200, {"subject": "alice"}) == (answer.status_code, answer.json())
    assert ([LESS, LESS], 1) == (sent(world), world.tokens)


def test_an_answer_can_be_streamed(world: World) -> None:
    """The endpoint's answer is read whole; the service's answer is not read."""
    via = ExchangeClient(world.endpoint, "shop", secret=SECRET)
    auth = OnBehalfOf(original_token(), ["stock:read"], via=via, audience="stock")
    with (
        import_module(INSTALLED[0]).Client(verify=False) as client,
        client.stream("GET", f"{world.origin}/stock", auth=auth) as answer,
    ):
        assert (200, False) == (answer.status_code, answer.is_stream_consumed)
        assert {"subject": "alice"} == json.loads(b"".join(answer.iter_bytes()))


def test_an_issuer_of_this_process_narrows(world: World, caller: Caller) -> None:
    """Without an endpoint only the call itself is sent."""
    via = ExchangeClient(ISSUER, "shop")
    for _ in range(2):
        auth = OnBehalfOf(original_token(), ["stock:read"], via=via, audience="stock", lifetime=60)
        assert 200 == caller.get(f"{world.origin}/stock", auth).status_code
    assert ([LESS, LESS], 0) == (sent(world), world.tokens)
    auth = OnBehalfOf(original_token(), ["stock:read"], via=ISSUER, audience="stock")
    assert 200 == caller.get(f"{world.origin}/stock", auth).status_code
    assert ("stock", ["stock:read"], []) == sent(world)[-1]


def test_the_cache_key(world: World, caller: Caller) -> None:
    """A cached token is used only for the same token, audience and permissions."""
    via, token = ExchangeClient(world.endpoint, "shop", secret=SECRET), original_token()
    requests = [(token, ["stock:read"]), (token, ["stock:read", "stock:write"]), (original_token(), ["stock:read"])]
    for each, permissions in [*requests, *requests]:
        auth = OnBehalfOf(each, permissions, via=via, audience="stock")
        assert 200 == caller.get(f"{world.origin}/stock", auth).status_code
    assert 3 == world.tokens


def test_a_token_is_not_sent_when_it_is_about_to_expire(world: World, caller: Caller) -> None:
    """Shortly before a token expires a new one is requested; a token that lives shorter than that is not cached."""
    now = [1000.0]
    via = ExchangeClient(world.endpoint, "shop", secret=SECRET, clock=lambda: now[0])
    auth = OnBehalfOf(original_token(), ["stock:read"], via=via, audience="stock")
    for now[0], exchanges in ((1000.0, 1), (1000.0 + 290 - EXPIRY_MARGIN, 1), (1000.0 + 301 - EXPIRY_MARGIN, 2)):
        assert 200 == caller.get(f"{world.origin}/stock", auth).status_code
        assert exchanges == world.tokens
    token = ISSUER.issue("alice", permissions=["stock:read"], audience="shop", client="web", lifetime=5)
    auth = OnBehalfOf(token, ["stock:read"], via=via, audience="stock")
    for exchanges in (3, 4):
        assert 200 == caller.get(f"{world.origin}/stock", auth).status_code
        assert exchanges == world.tokens


def test_a_401_drops_the_cached_token(world: World, caller: Caller) -> None:
    """After a 401 from the service the cached token is not used again."""
    via = ExchangeClient(world.endpoint, "shop", secret=SECRET)
    auth = OnBehalfOf(original_token(), ["stock:read"], via=via, audience="stock")
    for world.answers, exchanges in ((200, 1), (403, 1), (401, 1), (200, 2)):
        assert world.answers == caller.get(f"{world.origin}/stock", auth).status_code
        assert exchanges == world.tokens


def test_another_origin_gets_no_token(world: World, caller: Caller) -> None:
    """A redirect to another origin is followed without the token; one within the origin keeps it."""
    via = ExchangeClient(ISSUER, "shop")
    auth = OnBehalfOf(original_token(), ["stock:read"], via=via, audience="stock")
    for host, status in (("127.0.0.1", 200), ("localhost", 401)):
        url = f"{world.origin}/to?url=http://{host}:{world.port}/stock"
        assert status == caller.get(url, auth, follow_redirects=True).status_code
    assert ["Bearer", ""] == [header.partition(" ")[0] for header in world.seen]


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("follows", [True, False])
def test_an_endpoint_that_redirects_is_an_error(world: World, caller: Caller, code: int, follows: bool) -> None:
    """Neither token nor secret goes to the new address, and nothing is sent to the service."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        elsewhere = World(server.server_port)
        server.RequestHandlerClass = _handler(elsewhere)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        world.moved = f"{code} {elsewhere.endpoint}"
        auth = OnBehalfOf(
            original_token(),
            ["stock:read"],
            via=ExchangeClient(world.endpoint, "shop", secret=SECRET),
            audience="stock",
        )
        with pytest.raises(PolicyError, match="redirects"):
            caller.get(f"{world.origin}/stock", auth, follow_redirects=follows)
        server.shutdown()
    assert ([], 1, 0) == (world.seen, world.tokens, elsewhere.tokens)
    # The connection may be opened before the body turns out not to be there a second time.
    assert elsewhere.bodies <= {(b"", None)}


def test_a_body_that_a_hook_has_read_is_sent_once(world: World, caller: Caller) -> None:
    """A hook that reads every request, such as a logger, does not make the token follow a redirect."""

    def look(request: Any) -> None:
        request.read()

    async def alook(request: Any) -> None:
        await request.aread()

    hooks = {"request": [alook if caller.is_async else look]}
    via = ExchangeClient(world.endpoint, "shop", secret=SECRET)
    auth = OnBehalfOf(original_token(), ["stock:read"], via=via, audience="stock")
    assert 200 == caller.get(f"{world.origin}/stock", auth, event_hooks=hooks).status_code
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        elsewhere = World(server.server_port)
        server.RequestHandlerClass = _handler(elsewhere)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        world.moved = f"307 {elsewhere.endpoint}"
        auth = OnBehalfOf(original_token(), ["stock:write"], via=via, audience="stock")
        with pytest.raises(PolicyError, match="redirects"):
            caller.get(f"{world.origin}/stock", auth, event_hooks=hooks, follow_redirects=True)
        server.shutdown()
    assert 0 == elsewhere.tokens
    assert elsewhere.bodies <= {(b"", None)}


@pytest.mark.parametrize(
    ("permissions", "audience", "reason", "expected"),
    [
        (["stock:delete"], "stock", "scope", "does not hold stock:delete"),
        (["stock:read"], "bank", "target", "bank"),
        (["orders:list"], None, "scope", "no grant of its own"),
    ],
)
@pytest.mark.parametrize("here", [True, False])
def test_a_refusal_says_why(
    world: World, caller: Caller, permissions: list[str], audience: str | None, reason: str, expected: str, here: bool
) -> None:
    """A refused exchange raises the reason of the endpoint or the issuer, and the service is not called."""
    via = ExchangeClient(ISSUER, "shop") if here else ExchangeClient(world.endpoint, "shop", secret=SECRET)
    token = original_token()
    with pytest.raises(PolicyError, match=expected) as caught:
        caller.get(f"{world.origin}/stock", OnBehalfOf(token, permissions, via=via, audience=audience))
    assert (reason, []) == (caught.value.reason, world.seen)
    ours = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__) if "jwt_lp" in frame.f_code.co_filename]
    assert [] == [name for frame in ours for name, value in frame.f_locals.items() if token[20:60] in repr(value)]


def _shown(error: BaseException) -> list[str]:
    """Every local of every frame except those of tests, for the error and all its causes."""
    pending: list[BaseException | None] = [error]
    texts = []
    while pending:
        current = pending.pop()
        if current is not None:
            pending += [current.__cause__, current.__context__]
            frames = [frame for frame, _ in traceback.walk_tb(current.__traceback__)]
            frames = [frame for frame in frames if Path(frame.f_code.co_filename).parent != Path(__file__).parent]
            texts += [str(current), *(repr(value) for frame in frames for value in frame.f_locals.values())]
    return texts


@pytest.mark.parametrize("template", ["Bearer {0} {0}", "Bearer {0},x", "Basic {0}", "Bearer  {0}"])
def test_a_malformed_credential_is_not_shown(template: str) -> None:
    """No local of the error contains the malformed token or the wrong arguments."""
    credential = template.format(token := original_token())
    with pytest.raises(InvalidToken) as caught:
        OnBehalfOf(credential, ["stock:read"], via=ISSUER)
    with pytest.raises(ConfigurationError) as wrong:
        OnBehalfOf(token, "stock:read", via=ISSUER)
    assert [] == [text for error in (caught.value, wrong.value) for text in _shown(error) if token[-40:] in text]


@pytest.mark.parametrize("answer", ["echo", "moved", "empty", "gone"])
def test_no_failed_exchange_shows_what_was_sent(world: World, caller: Caller, answer: str) -> None:
    """No frame holds the token, the secret or an echo of them in a readable form."""
    token = original_token()
    pair = base64.b64encode(b"shop:" + quote_plus(SECRET).encode()).decode()
    where = world.endpoint
    if answer == "echo":
        world.says = (400, json.dumps({"error": "invalid_request", "error_description": f"{token} {pair}"}).encode())
    elif answer == "moved":
        world.moved = "307 http://127.0.0.1:9/"
    elif answer == "empty":
        world.says = (200, b"{}")
    else:
        where = "http://127.0.0.1:9/oauth/token"
    auth = OnBehalfOf(token, ["stock:read"], via=ExchangeClient(where, "shop", secret=SECRET), audience="stock")
    with pytest.raises(Exception) as caught:  # noqa: PT011 - each library has errors of its own
        caller.get(f"{world.origin}/stock", auth)
    parts = (token.split(".")[1][:40], token[-40:], SECRET, pair[-20:])
    assert [] == [text for text in _shown(caught.value) for part in parts if part in text]


def _says(status: int = 200, **members: object) -> tuple[int, bytes]:
    usual = {"access_token": "narrow", "token_type": "Bearer", "expires_in": 60, "scope": "stock:read"}
    body = {name: value for name, value in (usual | members if status == 200 else members).items() if value is not None}
    return status, json.dumps(body).encode()


@pytest.mark.parametrize(
    ("answer", "reason", "expected"),
    [
        pytest.param(
            _says(401, error="invalid_client", error_description="No."), "client", "invalid_client: No.", id="401"
        ),
        pytest.param(_says(400, error="unauthorized_client"), "actor", "unauthorized_client: None", id="not our token"),
        pytest.param(_says(400, error="invalid_grant"), "token", "invalid_grant", id="a dead token"),
        pytest.param(_says(400, error="invalid_request"), "policy", "invalid_request: None", id="it may be anything"),
        pytest.param(_says(503, error="temporarily_unavailable"), "undecided", "temporarily_unavailable", id="503"),
        pytest.param((500, b"<html>"), "undecided", "no OAuth error", id="an error page"),
        pytest.param((200, b"<html>"), "policy", "no access_token", id="a page"),
        pytest.param((200, b""), "policy", "no access_token", id="nothing"),
        pytest.param(_says(access_token=None), "policy", "no access_token", id="no token"),
        pytest.param(_says(access_token=7), "policy", "no access_token", id="a number"),
        pytest.param(_says(access_token="a\r\nX: y"), "policy", "no access_token", id="a header"),
        pytest.param(_says(access_token="a" * 16385), "policy", "no access_token", id="a token that is too long"),
        pytest.param(
            _says(access_token="a" * 16385 + "\r\nX: y"), "policy", "no access_token", id="a header behind one"
        ),
        pytest.param(_says(access_token="é"), "policy", "no access_token", id="not ASCII"),
        pytest.param(_says(token_type=None), "policy", "no token_type Bearer", id="no type"),
        pytest.param(_says(token_type="N_A"), "policy", "no token_type Bearer", id="another type"),
        pytest.param(_says(scope="stock:read stock:write"), "scope", "more than was requested", id="more"),
        pytest.param(
            _says(400, error="x\r\n" + "y" * 999, error_description="\x00"),
            "policy",
            r"x\\r\\n",
            id="control characters",
        ),
    ],
)
def test_unusable_answers_are_errors(
    world: World, caller: Caller, answer: tuple[int, bytes], reason: str, expected: str
) -> None:
    """Any answer without a downscoped token is an error, and nothing is sent to the service."""
    world.says = answer
    via = ExchangeClient(world.endpoint, "shop", secret=SECRET)
    with pytest.raises(PolicyError, match=expected) as caught:
        caller.get(f"{world.origin}/stock", OnBehalfOf(original_token(), ["stock:read"], via=via, audience="stock"))
    assert (reason, []) == (caught.value.reason, world.seen)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


def test_the_original_token_is_never_sent(world: World, caller: Caller) -> None:
    """An endpoint that returns the original token is an error."""
    token = original_token()
    world.says = _says(access_token=token, scope=None)
    via = ExchangeClient(world.endpoint, "shop", secret=SECRET)
    with pytest.raises(PolicyError, match="more than was requested"):
        caller.get(f"{world.origin}/stock", OnBehalfOf(token, ["stock:read"], via=via))
    assert [] == world.seen


@pytest.mark.parametrize("members", [{"expires_in": None}, {"expires_in": "60"}, {"scope": None}, {"scope": ""}])
def test_optional_members_may_be_missing(world: World, caller: Caller, members: Steps) -> None:
    """Members that RFC 8693 makes optional may be missing; a token of unknown lifetime is not cached."""
    world.says = _says(**members)
    via = ExchangeClient(world.endpoint, "shop", secret=SECRET)
    for _ in range(2):
        caller.get(f"{world.origin}/stock", OnBehalfOf(original_token(), ["stock:read"], via=via))
    assert ["Bearer narrow"] * 2 == world.seen


def test_a_token_is_sent_encrypted_or_not_at_all(world: World, caller: Caller) -> None:
    """http is allowed only for loopback and for named hosts; otherwise the endpoint is not called either."""
    auth = OnBehalfOf(
        original_token(), ["stock:read"], via=ExchangeClient(world.endpoint, "shop", secret=SECRET), audience="stock"
    )
    for url in ("http://stock.test/items", "http://127.0.0.1.stock.test/", "http://10.0.0.1/"):
        with pytest.raises(
            ConfigurationError,
            match=r"no token is sent to this address: it is an http address: .* allow_http_hosts=\[...\]",
        ):
            caller.get(url, auth)
    assert 0 == world.tokens
    named = ExchangeClient(ISSUER, "shop", allow_http_hosts=["stock"])
    named.check_address("http://stock/items#part")
    with pytest.raises(ConfigurationError):
        named.check_address("http://stock.test/items")


@pytest.mark.parametrize(
    "token",
    [None, "", " ", "Bearer", "Bearer ", "Bearer  x", "a b", "Bearer a,b", "Basic abc", "a" * 16385],
    ids=lambda token: str(token)[:12],
)
def test_a_missing_or_malformed_token_is_refused_at_once(token: str | None) -> None:
    """A caller's header without a token causes no call."""
    with pytest.raises(InvalidToken, match="neither a token nor a Bearer credential"):
        OnBehalfOf(token, ["stock:read"], via=ISSUER)


@pytest.mark.parametrize("write", [" {}\n", "Bearer {} ", "\tbearer {}\r\n", "{}"])
def test_white_space_around_a_token_is_ignored(write: str) -> None:
    """A token from a file or a header may have white space around it."""
    token = original_token()
    auth = OnBehalfOf(write.format(token), ["stock:read"], via=ISSUER, audience="stock")
    bare = OnBehalfOf(token, ["stock:read"], via=ISSUER, audience="stock")
    assert vars(bare)["_downscoping"] == vars(auth)["_downscoping"]


def test_a_bad_token_has_its_own_reason(world: World, caller: Caller) -> None:
    """Our endpoint's description of an unusable token is recognised and has its own reason."""
    via = ExchangeClient(world.endpoint, "shop", secret=SECRET)
    with pytest.raises(PolicyError, match="invalid_request") as caught:
        caller.get(f"{world.origin}/stock", OnBehalfOf("junk", ["stock:read"], via=via))
    assert ("token", []) == (caught.value.reason, world.seen)
    via = ExchangeClient(world.endpoint, "shop", secret=f"another {SECRET}")
    with pytest.raises(PolicyError, match="invalid_client") as caught:
        caller.get(f"{world.origin}/stock", OnBehalfOf(original_token(), ["stock:read"], via=via))
    assert ("client", []) == (caught.value.reason, world.seen)


def test_a_local_issuer_refuses_a_bad_token(world: World, caller: Caller) -> None:
    """An issuer of this process raises `InvalidToken` for a bad token."""
    with pytest.raises(InvalidToken):
        caller.get(f"{world.origin}/stock", OnBehalfOf("junk", ["stock:read"], via=ISSUER))
    assert [] == world.seen


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (
            {"where": "http://issuer.test/token", "client": "shop", "secret": SECRET},
            r"the token endpoint's address is an http address: use https \(or name the host in allow_http_hosts=\[...\] of ExchangeClient",
        ),
        ({"where": "https://issuer.test/token", "secret": SECRET}, "pass client="),
        ({"where": "https://issuer.test/token", "client": "shop"}, "pass secret= or key="),
        (
            {"where": "https://issuer.test/token", "client": "shop", "secret": SECRET, "key": KEY},
            "pass secret= or key=",
        ),
        (
            {"where": "https://issuer.test/token", "client": "shop", "key": SigningKey.generate("HS256")},
            "is a shared secret",
        ),
        ({"where": ISSUER, "client": "shop", "secret": SECRET}, "takes neither secret"),
    ],
)
def test_faults_of_the_client(arguments: Steps, fault: str) -> None:
    """Missing, repeated or useless credentials are errors before any call."""
    with pytest.raises(ConfigurationError, match=fault) as caught:
        ExchangeClient(**arguments)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"permissions": "stock:read"}, r'write \["stock:read"\]'),
        ({"permissions": []}, "name the permissions"),
        ({"permissions": ["a"], "lifetime": 5}, "lifetime is decided by the token endpoint"),
    ],
)
def test_faults_of_a_call(arguments: Steps, fault: str) -> None:
    """A call without permissions is an error, and so is a lifetime for an endpoint."""
    with pytest.raises(ConfigurationError, match=fault):
        OnBehalfOf("token", **arguments, via=ExchangeClient("https://issuer.test/token", "shop", secret=SECRET))


def test_the_audience_of_an_assertion(world: World) -> None:
    """The audience of an assertion is the endpoint's URL, or the given issuer's identifier."""
    for audience in (None, "https://issuer.test"):
        via = ExchangeClient(world.endpoint, "shop", key=SHOP_KEY, audience=audience, clock=lambda: 1000.5)
        library = import_module(INSTALLED[0])
        auth = OnBehalfOf(original_token(), ["stock:read"], via=via)
        request = next(auth.sync_auth_flow(library.Request("GET", f"{world.origin}/stock")))
        form = parse_qs(request.read().decode())
        payload = form["client_assertion"][0].split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        assert 22 <= len(claims.pop("jti"))
        times = {"iat": 1000, "exp": 1060}
        assert {"iss": "shop", "sub": "shop", "aud": audience or world.endpoint, **times} == claims
        assert "authorization" not in request.headers


def test_another_event_loop() -> None:
    """Without asyncio, an issuer of this process narrows as well."""
    library = import_module(INSTALLED[0])
    flow = OnBehalfOf(original_token(), ["stock:read"], via=ISSUER, audience="stock").async_auth_flow(
        library.Request("GET", "https://stock.test/")
    )
    with pytest.raises(StopIteration) as caught:
        flow.__anext__().send(None)
    assert caught.value.value.headers["Authorization"].startswith("Bearer ey")


def test_nothing_shows_a_token_or_a_secret(world: World) -> None:
    """Reprs show the permissions and the endpoint, and nothing else."""
    via = ExchangeClient(world.endpoint, "shop", secret=SECRET)
    auth = OnBehalfOf("token-of-alice", ["stock:read", "stock:read"], via=via, audience="stock")
    assert "<OnBehalfOf stock:read>" == repr(auth)
    assert (f"<ExchangeClient at {world.endpoint}>", "<ExchangeClient here>") == (
        repr(via),
        repr(ExchangeClient(ISSUER)),
    )
    assert "DownscopedToken(masked)" == repr(DownscopedToken("x", 1))
    shown = repr([auth, via, vars(auth), *vars(auth).values()])
    assert [] == [text for text in ("token-of-alice", SECRET) if text in shown]


def test_without_a_library_the_import_says_what_to_install() -> None:
    """Without httpx2 and httpx the import error names the extra."""
    with pytest.raises(ImportError, match=r"pip install 'jwt-lp\[client\]'"):
        auth_base_for(["nonesuch"])
    assert all(issubclass(OnBehalfOf, import_module(name).Auth) for name in INSTALLED)
