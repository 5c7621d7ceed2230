"""Each project in examples/migrations, before and after side by side: nobody is signed out, and nothing is left open."""

from __future__ import annotations

import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from jwks_server import KeyServer
from jwt_lp.cli import run
from jwt_lp.jose.signing import SigningKey, sign
from migrations.projects import LIBRARIES, Deployment, certificate, copied, deployed
from prerequisites import require

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.peers

Tokens = dict[str, str]

# who asks for what, and the status before and after with a token of before: each row is asked of both servers
ROWS: dict[str, list[tuple[str, str, str | None, int, int]]] = {
    "fastapi_pyjwt": [
        ("GET", "/health", None, 200, 200),
        ("GET", "/me", "alice", 200, 200),
        ("GET", "/me", None, 401, 401),
        ("GET", "/orders", "bob", 200, 200),
        ("POST", "/orders", "alice", 201, 201),
        ("POST", "/orders", "bob", 401, 403),
        ("GET", "/export", None, 200, 401),
        ("GET", "/export", "alice", 200, 403),
    ],
    "fastapi_auth0": [
        ("GET", "/health", None, 200, 200),
        ("GET", "/me", "alice", 200, 200),
        ("GET", "/me", None, 400, 401),
        ("GET", "/orders", "bob", 200, 200),
        ("POST", "/orders", "alice", 201, 201),
        ("POST", "/orders", "bob", 403, 403),
        ("GET", "/export", None, 200, 401),
        ("GET", "/export", "alice", 200, 403),
    ],
    "flask_jwt_extended": [
        ("GET", "/health", None, 200, 200),
        ("GET", "/me", "alice", 200, 200),
        ("GET", "/me", None, 401, 401),
        ("GET", "/me", "alice's refresh", 422, 401),
        ("GET", "/orders", "bob", 200, 200),
        ("POST", "/orders", "alice", 201, 201),
        ("POST", "/orders", "bob", 201, 201),
        ("GET", "/greeting", None, 200, 200),
        ("GET", "/greeting", "alice", 200, 200),
        ("GET", "/export", None, 200, 401),
        ("GET", "/export", "alice", 200, 403),
    ],
    "drf_simplejwt": [
        ("GET", "/health", None, 200, 200),
        ("GET", "/me", "alice", 200, 200),
        ("GET", "/me", None, 401, 401),
        ("GET", "/me", "alice's refresh", 401, 401),
        ("GET", "/orders", "bob", 200, 200),
        ("POST", "/orders", "alice", 201, 201),
        ("POST", "/orders", "bob", 201, 201),
        ("GET", "/export", None, 200, 401),
        ("GET", "/export", "alice", 200, 403),
    ],
    "django_oauth_toolkit": [
        ("GET", "/health", None, 200, 200),
        ("GET", "/me", "alice", 200, 200),
        ("GET", "/me", None, 401, 401),
        ("GET", "/orders", "bob", 200, 200),
        ("POST", "/orders/new", "alice", 201, 201),
        ("POST", "/orders/new", "bob", 403, 403),
        ("GET", "/report", "alice", 200, 200),
        ("GET", "/report", "bob", 403, 403),
        ("GET", "/export", None, 200, 401),
        ("GET", "/export", "alice", 200, 403),
    ],
}
# What a new token may do that an old one might: bob's new tokens hold what bob needs.
NEW_ROWS = [("POST", "/orders", "bob", 403), ("POST", "/orders", "alice", 201), ("GET", "/orders", "bob", 200)]
PASSWORDS = {"alice": "wonderland", "bob": "builder"}
TOOLKIT_SCOPES = {"alice": "orders:list orders:create reports:read", "bob": "orders:list"}


@pytest.fixture(scope="module", params=list(LIBRARIES))
def deployment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    name: str = request.param
    require(all(map(find_spec, LIBRARIES[name])), f"{', '.join(LIBRARIES[name])} (dependency group `migrations`)")
    folder = tmp_path_factory.mktemp(name)
    if name != "fastapi_auth0":
        # The toolkit's step before the guard: the old views, and tokens that are JWTs.
        before = _with_new_tokens(folder) if name == "django_oauth_toolkit" else None
        with deployed(name, folder, before) as running:
            yield running
        return
    path = certificate(folder)
    with KeyServer(certificate=path) as provider:
        key = SigningKey.generate("RS256")
        provider.serve(key.public_jwk())
        domain = provider.origin.removeprefix("https://")
        metadata = {"issuer": f"https://{domain}/", "jwks_uri": provider.url}
        provider.routes["/.well-known/openid-configuration"] = metadata
        with deployed(name, folder, AUTH0_DOMAIN=domain, SSL_CERT_FILE=str(path)) as running:
            running.tenant = (f"https://{domain}/", key)
            yield running


def _with_new_tokens(folder: Path) -> Path:
    """The toolkit's project before, with the two settings and the module that make its tokens JWTs."""
    before, after = (copied("django_oauth_toolkit", when, folder) for when in ("before", "after"))
    (before / "tokens.py").write_text((after / "tokens.py").read_text(encoding="utf-8"), encoding="utf-8")
    settings = (before / "settings.py").read_text(encoding="utf-8")
    new = (after / "settings.py").read_text(encoding="utf-8")
    opened = "OAUTH2_PROVIDER = {\n"
    generators = new.partition(opened)[2].partition('    "SCOPES"')[0]
    head = "import json\nfrom jwt_lp import SigningKey\n" + settings
    key = 'SIGNING_KEY = SigningKey.from_jwk(json.loads(os.environ["SIGNING_KEY"]))\n'
    (before / "settings.py").write_text(head.replace(opened, key + opened + generators), encoding="utf-8")
    return before


def tokens_of(deployment: Deployment, when: str) -> Tokens:
    """Access tokens of alice and bob, and their refresh tokens if there are any, as the server makes them."""
    tokens: Tokens = deployment.tokens.setdefault(when, {})
    if tokens:
        return tokens
    server = deployment.servers[when]
    for user, password in PASSWORDS.items():
        if deployment.name == "fastapi_auth0":
            tokens[user] = _auth0_token(deployment, user)
            continue
        path, form = "/token", {"username": user, "password": password}
        if deployment.name == "django_oauth_toolkit":
            path = "/o/token/"
            form |= {"grant_type": "password", "scope": TOOLKIT_SCOPES[user]}
            form |= {"client_id": "web", "client_secret": "web-secret"}
        status, body = server.request("POST", path, **form)
        assert 200 == status, (body, deployment.log(when))
        tokens[user] = body.get("access_token") or body["access"]
        tokens[f"{user}'s refresh"] = body.get("refresh_token") or body.get("refresh", "")
    return tokens


def _auth0_token(deployment: Deployment, user: str) -> str:
    assert deployment.tenant is not None
    issuer, key = deployment.tenant
    scope = {"alice": "openid orders:list orders:create", "bob": "orders:list"}[user]
    now = int(time.time())
    claims = {"iss": issuer, "sub": f"auth0|{user}", "aud": ["https://orders.example.com", f"{issuer}userinfo"]}
    return sign({**claims, "iat": now, "exp": now + 300, "azp": "web", "scope": scope}, key, typ="JWT")


def test_tokens_of_before_work_before_and_after(deployment: Deployment) -> None:
    """Both servers accept the old tokens for the same requests; only what nobody declared is refused after."""
    tokens = tokens_of(deployment, "before")
    before, after = deployment.servers["before"], deployment.servers["after"]
    for method, path, who, *expected in ROWS[deployment.name]:
        got = [server.request(method, path, tokens.get(who or "")) for server in (before, after)]
        statuses = [status for status, _ in got]
        assert expected == statuses, (method, path, who, got, deployment.log("after"))
        if statuses[0] == statuses[1] < 300:
            assert got[0][1] == got[1][1], (method, path, who)


def test_the_patch_alone_refuses_what_nobody_declared(deployment: Deployment, tmp_path: Path) -> None:
    """The printed patch makes a project that starts, accepts the tokens of before, and refuses the forgotten route."""
    folder = copied(deployment.name, "before", tmp_path)
    assert run(["migrate", str(folder), "--write"]) in {0, 1}
    if deployment.name in {"django_oauth_toolkit", "fastapi_auth0"}:
        return  # the first needs JWT_LP by hand, as the start would say; the other differs from `after` by one decorator
    patched = deployment.serve("patched", folder)
    alice = tokens_of(deployment, "before")["alice"]
    got = [patched.request("GET", path, token)[0] for path, token in (("/me", alice), ("/me", None), ("/export", None))]
    assert [200, 401, 401] == got, deployment.log("patched")


def test_a_forged_token_is_refused(deployment: Deployment) -> None:
    """A token that another key signed is refused, although it names no issuer as the old ones do."""
    now = int(time.time())
    claims: dict[str, Any] = {
        "sub": "alice",
        "user_id": "1",
        "token_type": "access",
        "type": "access",
        "scope": "orders:list",
    }
    claims |= {"iat": now, "exp": now + 60}
    for forged in (jwt.encode(claims, "x" * 32), sign(claims, SigningKey.generate("ES256"), typ="JWT")):
        assert 401 == deployment.servers["after"].request("GET", "/me", forged)[0]


def test_new_tokens_hold_what_their_user_needs(deployment: Deployment) -> None:
    """Who signs in after gets a token of our own, which holds less than an old one did."""
    if deployment.name in {"fastapi_auth0", "django_oauth_toolkit"}:
        return  # the issuer and its scopes stay as they are
    tokens = tokens_of(deployment, "after")
    after = deployment.servers["after"]
    got = [after.request(method, path, tokens[who])[0] for method, path, who, _ in NEW_ROWS]
    assert [status for *_, status in NEW_ROWS] == got
    assert 200 == after.request("GET", "/me", tokens["alice"])[0]


def test_old_refresh_tokens_give_new_access_tokens(deployment: Deployment) -> None:
    """Nobody is signed out: a refresh token of before gives an access token of after."""
    old = tokens_of(deployment, "before").get("bob's refresh")
    # The toolkit ends the access token that came with it, so other tests get new ones.
    deployment.tokens.pop("before")
    if not old:
        assert deployment.name.startswith("fastapi"), "these projects have no refresh tokens"
        return
    after = deployment.servers["after"]
    if deployment.name == "flask_jwt_extended":
        status, body = after.request("POST", "/token/refresh", old)
    elif deployment.name == "drf_simplejwt":
        status, body = after.request("POST", "/token/refresh", refresh=old)
    else:
        form = {"grant_type": "refresh_token", "client_id": "web", "client_secret": "web-secret"}
        status, body = after.request("POST", "/o/token/", refresh_token=old, **form)
    assert 200 == status, (body, deployment.log("after"))
    new = body.get("access_token") or body["access"]
    assert (200, 403) == (after.request("GET", "/orders", new)[0], after.request("POST", "/orders", new)[0]) or (
        deployment.name == "django_oauth_toolkit" and 403 == after.request("POST", "/orders/new", new)[0]
    )


def test_old_tokens_are_counted(deployment: Deployment, cli: Any) -> None:
    """The store tells by issuer which old tokens still come."""
    issuers = {"fastapi_pyjwt": "before", "flask_jwt_extended": "flask-jwt-extended", "drf_simplejwt": "simplejwt"}
    old = issuers.get(deployment.name)
    if old is None:
        assert deployment.name in {"fastapi_auth0", "django_oauth_toolkit"}, "their issuer stays the same"
        return
    bob = tokens_of(deployment, "before")["bob"]
    after = deployment.servers["after"]
    assert 200 == after.request("GET", "/orders", bob)[0]
    # A server writes what it counted every five seconds.
    until, out = time.monotonic() + 15, ""
    while "orders:list" not in out and time.monotonic() < until:
        time.sleep(0.5)
        code, out, _ = cli("usage", "show", "--issuer", old, "--store", deployment.store)
        assert 0 == code
    assert "orders:list" in out
    later = cli("usage", "show", "--issuer", old, "--since", "2999-01-01", "--store", deployment.store)[1]
    assert "orders:list" not in later


def test_a_token_that_the_toolkit_revoked_is_refused(deployment: Deployment) -> None:
    """The toolkit's own checks stay behind the guard: what its database revoked is refused, before and after."""
    if deployment.name != "django_oauth_toolkit":
        return
    client = {"client_id": "web", "client_secret": "web-secret"}
    form = {"grant_type": "password", "scope": "orders:list", "username": "bob", "password": PASSWORDS["bob"]}
    before, after = deployment.servers["before"], deployment.servers["after"]
    token = before.request("POST", "/o/token/", **form, **client)[1]["access_token"]
    assert 200 == after.request("GET", "/orders", token)[0]
    status, body = before.request("POST", "/o/revoke_token/", token=token, token_type_hint="access_token", **client)
    assert 200 == status, body
    refused = [server.request("GET", path, token)[0] for server in (before, after) for path in ("/orders", "/me")]
    assert all(status in {401, 403} for status in refused), refused
