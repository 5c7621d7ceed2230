"""The token endpoint in every host, over real HTTP."""

from __future__ import annotations

import base64
import json
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from hosts.serving import HttpAnswer, HttpClient, serve
from jwt_lp import ClientSecrets, Issuer, JwksKeys, Policy, SigningKey, TokenExchange
from jwt_lp.guard.hosts import find_host
from jwt_lp.oauth.exchange_request import ACCESS_TOKEN, MAX_BODY, TOKEN_EXCHANGE

pytestmark = pytest.mark.host

ISSUER = "https://issuer.test"
SECRET = "not-guessed-by-anybody-0123456789"
FORM = "application/x-www-form-urlencoded"
Served = tuple[str, Any]


def _flask(exchange: TokenExchange, settings: Mapping[str, object], *, reads_form: bool = False) -> Iterator[Served]:
    from flask import Flask, request

    from jwt_lp_flask import LeastPrivilege, guard_from, token_endpoint

    app = Flask(__name__, static_folder=None)
    app.config["JWT_LP"] = settings
    LeastPrivilege(app)
    if reads_form:

        @app.before_request
        def reads() -> None:
            assert request.form is not None

    app.register_blueprint(token_endpoint(exchange))
    with guard_from(app):
        yield "wsgi", app


def _django(kind: str, exchange: TokenExchange, settings: Mapping[str, object]) -> Iterator[Served]:
    from hosts.django_setup import configure, served

    configure()
    from jwt_lp_django import token_endpoint

    with served(kind, *token_endpoint(exchange), lp=settings) as served_endpoint:
        yield served_endpoint


def _starlette(exchange: TokenExchange, settings: Mapping[str, object]) -> Iterator[Served]:
    from starlette.applications import Starlette

    from jwt_lp_starlette import LeastPrivilege, guard_from, token_endpoint

    app = Starlette(routes=[*token_endpoint(exchange)])
    LeastPrivilege(app, settings)
    with guard_from(app):
        yield "asgi", app


def _fastapi(exchange: TokenExchange, settings: Mapping[str, object]) -> Iterator[Served]:
    from fastapi import FastAPI

    from jwt_lp_starlette import LeastPrivilege, guard_from, token_endpoint

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.router.routes.extend(token_endpoint(exchange))
    LeastPrivilege(app, settings)
    with guard_from(app):
        yield "asgi", app


Maker = Callable[[TokenExchange, Mapping[str, object]], Iterator[Served]]
MODES: dict[str, tuple[str, Maker]] = {
    "flask": ("flask", _flask),
    "flask-form-read-before": ("flask", partial(_flask, reads_form=True)),
    "django-sync": ("django", partial(_django, "wsgi")),
    "django-async": ("django", partial(_django, "asgi")),
    "starlette": ("starlette", _starlette),
    "fastapi": ("fastapi", _fastapi),
}
INSTALLED = {mode: maker for mode, (host, maker) in MODES.items() if find_spec(host)}


@dataclass(frozen=True)
class World:
    """An issuer with a token endpoint, a service that may exchange tokens, and a service that it may call."""

    key: SigningKey = field(default_factory=lambda: SigningKey.generate(kid="k1"))

    @property
    def issuer(self) -> Issuer:
        policy = {
            "version": 1,
            "audiences": {"shop": {"may_call": ["stock"]}, "stock": {}, "bank": {}},
            "clients": {"shop": {"grants": ["stock:*"]}},
        }
        return Issuer(ISSUER, self.key, policy=Policy.from_mapping(policy))

    @property
    def exchange(self) -> TokenExchange:
        return TokenExchange(self.issuer, ClientSecrets({"shop": SECRET, "stranger": SECRET}))

    @property
    def settings(self) -> dict[str, object]:
        return {
            "ISSUER": ISSUER,
            "AUDIENCE": "shop",
            "ALGORITHMS": ["ES256"],
            "JWKS": self.issuer.jwks(),
            "OWN": True,
        }

    def token(self) -> str:
        return self.issuer.issue("alice", permissions=["stock:read", "orders:list"], audience="shop", client="web")

    def form(self, **changes: str | None) -> dict[str, str]:
        parameters = {
            "grant_type": TOKEN_EXCHANGE,
            "subject_token": self.token(),
            "subject_token_type": ACCESS_TOKEN,
            "audience": "stock",
            "scope": "stock:read",
            **changes,
        }
        return {name: value for name, value in parameters.items() if value is not None}


@dataclass(frozen=True)
class Endpoint:
    """A served application, with the issuer and clients that it belongs to."""

    client: HttpClient
    world: World
    app: Any

    def post(
        self, body: bytes, authorization: tuple[str, ...] = (), media: str | None = FORM, path: str = "/oauth/token"
    ) -> HttpAnswer:
        lines = [("Authorization", value) for value in authorization]
        lines += [("Content-Type", media)] if media is not None else []
        return self.client.request("POST", path, lines, body)


def basic(client: str = "shop", secret: str = SECRET) -> tuple[str]:
    return ("Basic " + base64.b64encode(f"{client}:{secret}".encode()).decode(),)


@contextmanager
def running(mode: str) -> Iterator[Endpoint]:
    world = World()
    application: AbstractContextManager[Served] = contextmanager(INSTALLED[mode])(world.exchange, world.settings)
    with application as (kind, app), serve(kind, app) as client:
        yield Endpoint(client, world, app)


@pytest.fixture(scope="module", params=list(INSTALLED))
def endpoint(request: pytest.FixtureRequest) -> Iterator[Endpoint]:
    with running(request.param) as served_endpoint:
        yield served_endpoint


def test_a_token_is_narrowed(endpoint: Endpoint) -> None:
    """Both ways of sending the secret give a downscoped token, and the response may not be cached."""
    in_form = endpoint.world.form(client_id="shop", client_secret=SECRET)
    for form, authorization in ((endpoint.world.form(), basic()), (in_form, ())):
        answer = endpoint.post(urlencode(form).encode(), authorization)
        assert (200, "no-store") == (answer.status, answer.headers["cache-control"])
        assert "application/json" == answer.headers["content-type"]
        token = endpoint.world.issuer.verify(answer.json["access_token"])
        assert ("alice", "shop", ["stock:read"]) == (
            token.subject,
            token.client,
            [grant.text for grant in token.permissions],
        )
        assert "stock:read" == answer.json["scope"]


Said = dict[str, str | None]


@pytest.mark.parametrize(
    ("changes", "authorization", "status", "error"),
    [
        pytest.param({}, (), 401, "invalid_client", id="no client"),
        pytest.param({}, basic("nobody"), 401, "invalid_client", id="an unknown client"),
        pytest.param({}, basic(secret="x" * 32), 401, "invalid_client", id="another secret"),
        pytest.param({}, ("Bearer abc",), 401, "invalid_client", id="a bearer token in place of a client's secret"),
        pytest.param({}, (*basic(), *basic()), 400, "invalid_request", id="two headers"),
        pytest.param({"client_secret": SECRET}, basic(), 400, "invalid_request", id="two methods"),
        pytest.param({"grant_type": None}, basic(), 400, "invalid_request", id="no grant type"),
        pytest.param({"grant_type": "password"}, basic(), 400, "unsupported_grant_type", id="another grant type"),
        pytest.param({"subject_token": "junk"}, basic(), 400, "invalid_request", id="a bad token"),
        pytest.param({"actor_token": "junk"}, basic(), 400, "invalid_request", id="an actor token"),
        pytest.param({"scope": None}, basic(), 400, "invalid_scope", id="no scope"),
        pytest.param({"scope": "stock:write"}, basic(), 400, "invalid_scope", id="more than is held"),
        pytest.param({"scope": "é"}, basic(), 400, "invalid_scope", id="no permission"),
        pytest.param({"audience": "bank"}, basic(), 400, "invalid_target", id="another service"),
        pytest.param({}, basic("stranger"), 400, "unauthorized_client", id="somebody else's token"),
    ],
)
def test_each_error(endpoint: Endpoint, changes: Said, authorization: Any, status: int, error: str) -> None:
    """Status, error code, challenge and headers are the table's, whatever the host."""
    answer = endpoint.post(urlencode(endpoint.world.form(**changes)).encode(), authorization)
    assert (status, error) == (answer.status, answer.json["error"])
    assert ("application/json", "no-store") == (answer.headers["content-type"], answer.headers["cache-control"])
    assert ('Basic realm="token endpoint"' if status == 401 else None) == answer.headers.get("www-authenticate")
    assert {"error", "error_description", "reference"} == answer.json.keys()


@pytest.mark.parametrize(
    ("media", "body"),
    [
        pytest.param("application/json", json.dumps({"grant_type": TOKEN_EXCHANGE}).encode(), id="JSON"),
        pytest.param("multipart/form-data; boundary=x", b"--x\r\n\r\n--x--", id="multipart"),
        pytest.param(None, b"grant_type=x", id="no media type"),
        pytest.param(FORM, b"", id="empty"),
        pytest.param(FORM, b"scope=a&scope=b", id="a parameter twice"),
        pytest.param(FORM, b"a=" + b"x" * MAX_BODY, id="too long"),
    ],
)
def test_only_a_form_body_is_accepted(endpoint: Endpoint, media: str | None, body: bytes) -> None:
    """The endpoint accepts only form bodies, up to the maximum size."""
    answer = endpoint.post(body, basic(), media)
    assert (400, "invalid_request") == (answer.status, answer.json["error"])


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_no_other_method(endpoint: Endpoint, method: str) -> None:
    """The endpoint answers only POST, and ignores a token in the URL."""
    path = f"/oauth/token?{urlencode(endpoint.world.form())}"
    answer = endpoint.client.request(method, path, [("Authorization", basic()[0])], b"" if method == "PUT" else None)
    assert (405, True) == (answer.status, "POST" in answer.headers["allow"])


def test_parameters_in_the_address_do_not_count(endpoint: Endpoint) -> None:
    """Parameters are read only from the body (RFC 6749, section 3.2)."""
    answer = endpoint.post(b"x=y", basic(), path=f"/oauth/token?{urlencode(endpoint.world.form())}")
    assert (400, "invalid_request") == (answer.status, answer.json["error"])


def test_the_key_set(endpoint: Endpoint) -> None:
    """The key set is public and cacheable, and a conditional request gets 304."""
    answer = endpoint.client.request("GET", "/.well-known/jwks.json", [("Authorization", "Bearer junk")])
    assert (200, endpoint.world.issuer.jwks()) == (answer.status, answer.json)
    assert "application/jwk-set+json" == answer.headers["content-type"]
    assert "public, max-age=300" == answer.headers["cache-control"]
    etag = answer.headers["etag"]
    again = endpoint.client.request("GET", "/.well-known/jwks.json", [("If-None-Match", etag)])
    assert (304, b"", etag) == (again.status, again.body, again.headers["etag"])
    head = endpoint.client.request("HEAD", "/.well-known/jwks.json")
    assert (200, etag) == (head.status, head.headers["etag"])
    assert 405 == endpoint.client.request("POST", "/.well-known/jwks.json", [], b"").status


def test_a_guard_can_read_the_key_set(endpoint: Endpoint) -> None:
    """A guard that fetches the key set finds the issuer's key."""
    keys = JwksKeys(f"http://127.0.0.1:{endpoint.client.port}/.well-known/jwks.json", algorithms=["ES256"])
    assert 1 == len(keys.find("k1", "ES256"))


def test_endpoint_and_key_set_are_declared(endpoint: Endpoint) -> None:
    """The list of routes shows the endpoint as external and the key set as public."""
    host = find_host(endpoint.app)
    routes = {route.label: str(route.requirement) for route in host.routes(endpoint.app)}
    declarations = {label: text for label, text in routes.items() if "token" in label or "jwks" in label}
    assert 2 == len(declarations)
    assert {"external: OAuth client authentication", "public"} == set(declarations.values())


@pytest.mark.skipif("flask" not in INSTALLED, reason="Flask is not installed")
def test_the_urls_can_be_changed() -> None:
    """The endpoint may have another URL, and no key set."""
    from flask import Flask

    from jwt_lp_flask import LeastPrivilege, token_endpoint

    world = World()
    app = Flask(__name__, static_folder=None)
    LeastPrivilege(app, world.settings)
    app.register_blueprint(token_endpoint(world.exchange, "/token", keys_url=None), url_prefix="/auth")
    client = app.test_client()
    answer = client.post("/auth/token", data=world.form(), headers={"Authorization": basic()[0]})
    assert (200, 404) == (answer.status_code, client.get("/.well-known/jwks.json").status_code)


@pytest.mark.skipif("flask" not in INSTALLED, reason="Flask is not installed")
def test_an_issuer_alone_needs_no_guard() -> None:
    """An application that only issues tokens needs no guard."""
    from flask import Flask

    from jwt_lp_flask import token_endpoint

    world = World()
    app = Flask(__name__, static_folder=None)
    app.register_blueprint(token_endpoint(world.exchange))
    answer = app.test_client().post("/oauth/token", data=world.form(), headers={"Authorization": basic()[0]})
    assert (200, 200) == (answer.status_code, app.test_client().get("/.well-known/jwks.json").status_code)


class Unforeseen(Exception):
    """An unexpected error."""


@dataclass(frozen=True)
class Failing(World):
    """An endpoint whose client authentication fails with an unexpected error."""

    raised: list[Unforeseen] = field(default_factory=list)

    @property
    def exchange(self) -> TokenExchange:
        return TokenExchange(self.issuer, self)

    def authenticate(self, form: object, authorization: object) -> str:
        assert form
        assert authorization
        self.raised.append(Unforeseen())
        raise self.raised[0]


@pytest.mark.parametrize("mode", list(INSTALLED))
def test_a_traceback_shows_no_token_and_no_secret(mode: str) -> None:
    """No frame of the traceback, in our code or below it, holds the token or the secret."""
    world = Failing()
    application: AbstractContextManager[Served] = contextmanager(INSTALLED[mode])(world.exchange, world.settings)
    token, (authorization,) = world.token(), basic()
    with application as (kind, app), serve(kind, app) as client:
        endpoint = Endpoint(client, world, app)
        answer = endpoint.post(urlencode(world.form(subject_token=token)).encode(), (authorization,))
    assert 500 == answer.status
    frames = [frame for frame, _ in traceback.walk_tb(world.raised[0].__traceback__)]
    names = [frame.f_code.co_name for frame in frames]
    assert {"token", "post", "authenticate"} & set(names) >= {"post", "authenticate"}
    own_frames = [
        frame for frame in frames if any(part.startswith("jwt_lp") for part in Path(frame.f_code.co_filename).parts)
    ]
    deeper = [frame for frame in frames[names.index("post") :] if frame not in own_frames]
    texts = [
        repr(value) for frame in (*own_frames, *deeper) for name, value in frame.f_locals.items() if name != "scope"
    ]
    assert [] == [text for text in texts for part in (token[-40:], authorization[-20:]) if part in text]
