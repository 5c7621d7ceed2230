"""What importing jwt-lp and making a guard load, and that no request loads more."""

from __future__ import annotations

import ast
import inspect
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import jwt_lp
from import_tracing import imports_of_thread
from jwks_server import KeyServer
from jwt_lp import SigningKey
from jwt_lp.guard.development_key import FOLDER, development_key
from jwt_lp.jose.signing import sign
from jwt_lp.revocation.entries import RevocationEntry
from jwt_lp.stores import open_store
from jwt_lp.testing import authority

if TYPE_CHECKING:
    pass

ISSUER = "https://login.example.com/"
KEY = SigningKey.generate("ES256", kid="a")
SETTINGS: dict[str, Any] = {"ISSUER": ISSUER, "AUDIENCE": "orders", "ALGORITHMS": ["ES256"]}
STATIC = {**SETTINGS, "JWKS": {"keys": [KEY.public_jwk()]}}
POLICY = {
    "version": 1,
    "permissions": {"orders:read": {}, "orders:{order_id}:read": {"risk": "high"}},
    "roles": {"clerk": {"grants": ["orders:**"], "from": ["role:clerk"]}},
    "audiences": {"orders": {"claims": ["tenant"]}},
}

# What a guard loads only where a setting needs it.
POLICY_READER = {"jwt_lp.policy.schema", "jwt_lp.policy.entries", "tomllib", "graphlib"}
REMOTE_KEYS = {"jwt_lp.jose.remote_jwks", "jwt_lp.jose.http_fetch", "jwt_lp.jose.discovery", "urllib3"}
SIGNING = {"jwt_lp.jose.signing", "jwt_lp.guard.development_key"}
CLAIM_POLICIES = {"jwt_lp.issuing.claim_policy"}
CUSTOM_PROFILE = {"jwt_lp.tokens.custom_profile"}
LINTER = {"jwt_lp.lint", "jwt_lp.lint.linter"}
STORE = {"jwt_lp.guard.runtime", "jwt_lp.guard.store_sync", "jwt_lp.revocation.snapshot", "jwt_lp.usage.recorder"}
STORE |= {"jwt_lp.stores", "jwt_lp.stores.rows"}
NOT_AT_FIRST = POLICY_READER | REMOTE_KEYS | SIGNING | CLAIM_POLICIES | CUSTOM_PROFILE | LINTER | STORE
# What no guard loads: `Guard.issuer` and the other exports do, and messages about faults.
NEVER = {"jwt_lp.cli", "jwt_lp.issuing.issuer", "jwt_lp.jose.key_rotation", "jwt_lp.oauth", "jwt_lp.review"}
NEVER |= {"jwt_lp.testing", "difflib"}

MAKE = "from jwt_lp import Guard\nguard = Guard(json.loads(sys.argv[1]))"


def modules_after(code: str, *arguments: str, **environment: str) -> set[str]:
    """The modules that a new process has loaded after `code`, with those of the interpreter's own start."""
    script = f"import json, sys\n{code}\nprint(json.dumps([*sys.modules]))"
    # `-S`, so that nothing is loaded by what is installed beside the package; `-P`, nor by the current folder.
    paths = [str(Path(jwt_lp.__file__).parents[1]), *filter(None, sys.path)]
    done = subprocess.run(
        [sys.executable, "-S", "-P", "-c", script, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stdout))


def ours(modules: set[str]) -> set[str]:
    """Those of jwt-lp, and of the libraries that it cannot do without."""
    return {name for name in modules if name.partition(".")[0] in {"jwt_lp", "jwt", "cryptography"}}


# The exports of the root


def test_importing_the_root_loads_nothing_else() -> None:
    """`import jwt_lp` loads the root alone; a name's module is loaded when the name is first used."""
    assert {"jwt_lp"} == ours(modules_after("import jwt_lp"))
    assert {"jwt_lp", "jwt_lp.errors"} == ours(modules_after("import jwt_lp; jwt_lp.InvalidToken"))


def test_checkers_and_editors_see_what_is_imported() -> None:
    """The imports for type checkers, the table for the interpreter and `__all__` name the same."""
    source = ast.parse(inspect.getsource(jwt_lp))
    statements = [node for node in ast.walk(source) if isinstance(node, ast.ImportFrom)]
    stated = {alias.name: node.module for node in statements for alias in node.names if node.module != "importlib"}
    stated.pop("TYPE_CHECKING")
    assert stated == jwt_lp._MODULE_OF
    assert sorted(stated) == sorted(jwt_lp.__all__)


@pytest.mark.parametrize("name", jwt_lp.__all__)
def test_each_export_is_that_of_its_module(name: str) -> None:
    """The name means the same in the root and in the module of the table, the first time and later."""
    vars(jwt_lp).pop(name, None)
    first = getattr(jwt_lp, name)
    assert first is getattr(sys.modules[jwt_lp._MODULE_OF[name]], name)
    assert first is vars(jwt_lp)[name]


def test_the_exports_are_listed() -> None:
    """`dir()` and `import *` know the exports before they are used."""
    code = "import jwt_lp; assert {*jwt_lp.__all__} <= {*dir(jwt_lp)}; from jwt_lp import *; Guard, all_of, RFC9068"
    assert set(jwt_lp._MODULE_OF.values()) <= modules_after(code)
    assert set() == set(jwt_lp.__all__) - set(dir(jwt_lp))


def test_an_unknown_name_is_none_of_the_root() -> None:
    """A misspelt name fails as in any other module."""
    with pytest.raises(AttributeError, match="module 'jwt_lp' has no attribute 'Gaurd'"):
        _ = jwt_lp.Gaurd  # type: ignore[attr-defined] # which is the point
    with pytest.raises(ImportError, match="cannot import name 'Gaurd' from 'jwt_lp'"):
        exec("from jwt_lp import Gaurd")


def test_the_plugin_of_pytest_loads_nothing_else() -> None:
    """A run of pytest that does not use the fixture `lp` pays nothing for it."""
    plugin = {"jwt_lp", "jwt_lp.testing", "jwt_lp.testing.pytest_plugin"}
    assert plugin == ours(modules_after("import jwt_lp.testing.pytest_plugin"))
    from jwt_lp import testing

    assert authority.Authority is testing.Authority
    with pytest.raises(ImportError, match="cannot import name 'Autority'"):
        exec("from jwt_lp.testing import Autority")


# What a guard loads


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("import jwt_lp", id="the root"),
        pytest.param("from jwt_lp import Guard", id="the guard"),
        pytest.param("from jwt_lp import DecisionMemo, Route, Settings, all_of", id="what adapters import"),
        pytest.param(MAKE, id="a guard with static keys"),
    ],
)
def test_what_is_not_needed_is_not_loaded(code: str) -> None:
    """Code that signs, lints, fetches, stores, reads a policy file or serves tokens is left alone until it is needed."""
    slow = {"importlib.metadata", "pathlib", "zipfile"}
    assert set() == modules_after(code, json.dumps(STATIC)) & (NOT_AT_FIRST | NEVER | slow)


@pytest.mark.parametrize(
    ("more", "needed"),
    [
        pytest.param({"JWKS_URL": "https://login.example.com/jwks", "JWKS": None}, REMOTE_KEYS, id="JWKS_URL"),
        pytest.param({"DISCOVERY": True, "JWKS": None}, REMOTE_KEYS, id="DISCOVERY"),
        pytest.param({"POLICY": POLICY}, POLICY_READER, id="POLICY"),
        pytest.param({"CLAIMS": {"orders": {}}}, CLAIM_POLICIES | POLICY_READER, id="CLAIMS"),
        pytest.param({"PROFILE": {"BASE": "okta"}}, CUSTOM_PROFILE, id="PROFILE"),
        pytest.param({"LINT": {}}, LINTER, id="LINT"),
        pytest.param({"OWN": True, "COPY_CLAIMS": {}}, set(), id="OWN"),
    ],
)
def test_a_setting_loads_what_it_needs(more: dict[str, object], needed: set[str]) -> None:
    """Each setting that needs more has it loaded when the guard is made, and nothing that another setting needs."""
    settings = {name: value for name, value in {**STATIC, **more}.items() if value is not None}
    assert needed == modules_after(MAKE, json.dumps(settings)) & (NOT_AT_FIRST | NEVER)


def test_development_loads_what_makes_its_key(tmp_path: Path) -> None:
    """The development key is read or made when the guard is made."""
    code = f"import os; os.chdir(sys.argv[2]); {MAKE}"
    assert SIGNING == modules_after(code, json.dumps(STATIC), str(tmp_path), JWT_LP_DEV="1") & (NOT_AT_FIRST | NEVER)


def test_a_store_loads_what_keeps_it(tmp_path: Path) -> None:
    """A guard with a store has what reads revocations and records usage."""
    pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy (extra `sql`)")
    settings = {**STATIC, "STORE": f"sqlite:///{tmp_path / 'store.db'}"}
    assert modules_after(MAKE, json.dumps(settings)) >= STORE


# The first request


def token(*, key: SigningKey = KEY, **changes: object) -> str:
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": "orders", "sub": "ada", "client_id": "web", "jti": "1", "iat": now, "exp": now + 60}
    return sign({**claims, "scope": "orders:read", **changes}, key)


def headers() -> list[str | list[str] | None]:
    """What callers send: good tokens, each kind of bad one, and none."""
    good, stranger = token(), SigningKey.generate("ES256", kid="b")
    tokens = [
        good,
        token(sub="eve", roles=["clerk"], scope=""),
        token(scope="orders:8f14e45f-ceea-467f-a0e6-6b2d4d1b6c9a:read"),
        token(lineage={"ids": ["0"], "iat": 1}, act={"sub": "web"}),
        token(cperm="dAA"),
        token(cnf={"jkt": "x"}),
        token(exp=1),
        token(iss="https://other.example.com/"),
        token(nothing="\ud800"),
        token(key=stranger),
        token(key=SigningKey.generate("ES256", kid=KEY.kid)),
        good[:-4],
        f"{good}é",
        "x" * 20_000,
    ]
    return [None, "", "Basic eA==", "Bearer", [f"Bearer {good}"] * 2, *(f"Bearer {text}" for text in tokens)]


SERVE = """
import logging
from uuid import UUID
from jwt_lp import PUBLIC, IDENTIFIED, Call, DecisionMemo, Guard, all_of, any_of

settings, headers = json.loads(sys.argv[1]), json.loads(sys.argv[2])
logging.basicConfig(stream=open(os.devnull, "w"), level=logging.DEBUG)
requirements = [None, PUBLIC, IDENTIFIED, all_of("orders:read"), any_of("orders:{order_id}:read", "orders:write")]
requirements += [all_of("orders:read", where={"user": "sub"}), all_of("orders:{missing}:read")]
params = {"order_id": UUID("8f14e45f-ceea-467f-a0e6-6b2d4d1b6c9a"), "user": "ada"}
guard = Guard(settings)
served = []

def serve():
    for header in headers:
        for requirement in requirements:
            memo = DecisionMemo()
            call = Call("GET", lambda: "http://localhost/", lambda name: (), "views.orders", "127.0.0.1")
            decision = guard.check(header, requirement, params, "GET /orders/{order_id}", call=call)
            memo.keep([requirement], params, decision)
            if decision.refusal is not None:
                decision.refusal.headers, decision.refusal.body
            elif decision.token is not None and requirement is not None:
                dict(decision.token.claims), repr(decision), guard.can(decision.token, requirement, params)
                guard.authorize(decision.token, requirement, params, "GET /orders/{order_id}")
            served.append(decision.refusal is None and decision.token is not None)
    guard.ready()
    assert any(served) and not all(served), served
"""


def imports_of_requests(settings: dict[str, object]) -> list[list[str]]:
    prepare = f"import os{SERVE}"
    return imports_of_thread(prepare, "serve()", json.dumps(settings), json.dumps(headers()))


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({}, id="the least"),
        pytest.param({"POLICY": POLICY, "OBSERVE_UNTIL": "2020-01-01"}, id="a policy"),
        pytest.param({"POLICY": POLICY, "OWN": True}, id="our own"),
        pytest.param({"BIND": {"user": "sub"}, "CEILING": ["orders:**"], "PROFILE": {}}, id="bindings and a ceiling"),
    ],
)
def test_the_first_requests_import_nothing(more: dict[str, object]) -> None:
    """All that a request can need is loaded when the guard is made, whatever is sent and required."""
    assert [[], []] == imports_of_requests({**STATIC, **more})


def test_the_first_requests_with_remote_keys_import_nothing() -> None:
    """Neither the request nor the thread that fetches the keys imports anything."""
    with KeyServer(KEY.public_jwk()) as server:
        assert [[], []] == imports_of_requests({**SETTINGS, "JWKS_URL": server.url.replace("127.0.0.1", "localhost")})


def test_the_first_requests_in_development_import_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with a development key."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JWT_LP_DEV", "1")
    key = development_key(tmp_path / FOLDER)
    prepare = f"import os{SERVE}"
    sent = json.dumps([*headers(), f"Bearer {token(key=key)}"])
    assert [[], []] == imports_of_thread(prepare, "serve()", json.dumps({**STATIC, "EXPLAIN": True}), sent)


def test_the_first_requests_with_a_store_import_nothing(tmp_path: Path) -> None:
    """Neither the request nor the background thread imports anything, with revocations and with usage to write."""
    pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy (extra `sql`)")
    url = f"sqlite:///{tmp_path / 'store.db'}"
    store = open_store(url)
    entries = [
        RevocationEntry(id="1", of="token", issuer=ISSUER, name="revoked"),
        RevocationEntry(id="2", of="subject", issuer=ISSUER, name="eve", pattern="orders:read"),
        RevocationEntry(id="3", of="role", issuer=ISSUER, name="clerk", pattern="orders:*:read"),
    ]
    store.revoke(entries, at=time.time())
    serve = f"import os{SERVE}\n    guard.close()"
    sent = json.dumps([*headers(), f"Bearer {token(jti='revoked')}", f"Bearer {token(sub='eve')}"])
    settings = {**STATIC, "STORE": url, "POLICY": POLICY, "SUBJECTS": {"KEY": "k" * 32}}
    assert [[], []] == imports_of_thread(serve, "serve()", json.dumps(settings), sent)
    assert {"granted", "denied", "revoked"} == {row.use.outcome for row in store.usage()}
    store.close()


def test_listening_for_pushes_imports_nothing(tmp_path: Path) -> None:
    """What the listener needs is loaded when the guard is made, not by the thread that starts it."""
    pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy (extra `sql`)")
    pytest.importorskip("redis", reason="needs redis (extra `redis`)")
    url = f"sqlite:///{tmp_path / 'store.db'}"
    prepare = f"""
import time
{MAKE}

def listen():
    guard._worker.wake("push")
    while guard._runtime.sync._listener is None:
        time.sleep(0.01)
    # It tries to connect, and says that it cannot.
    while not guard._runtime.sync._listener._logged:
        time.sleep(0.01)
    guard.close()
"""
    settings = {**STATIC, "STORE": url, "PUSH": "redis://localhost:1"}
    assert [[], []] == imports_of_thread(prepare, "listen()", json.dumps(settings))


EXCHANGE = """
from base64 import b64encode
from urllib.parse import urlencode
from jwt_lp import ClientSecrets, Guard, SigningKey, TokenExchange

guard = Guard(json.loads(sys.argv[1]))
issuer = guard.issuer(SigningKey.from_jwk(json.loads(sys.argv[2])))
endpoint = TokenExchange(issuer, ClientSecrets({"orders": "s" * 32}))
form = {"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token": sys.argv[3]}
form |= {"subject_token_type": "urn:ietf:params:oauth:token-type:access_token", "audience": "orders"}

def exchange():
    statuses = []
    for scope in ("orders:read", "orders:write", "*"):
        for secret in ("s" * 32, "wrong"):
            body = urlencode({**form, "scope": scope}).encode()
            basic = ["Basic " + b64encode(f"orders:{secret}".encode()).decode()]
            statuses.append(endpoint.post("application/x-www-form-urlencoded", body, basic).status)
    endpoint.jwks()
    assert {200, 400, 401} == {*statuses}, statuses
"""


def test_the_first_token_exchanges_import_nothing() -> None:
    """The endpoint that narrows tokens has loaded before what it needs."""
    policy = {"version": 1, "audiences": {"orders": {}}, "clients": {"orders": {"grants": ["orders:read"]}}}
    settings, key = {**STATIC, "OWN": True, "POLICY": policy}, KEY.private_jwk()
    assert [[], []] == imports_of_thread(EXCHANGE, "exchange()", json.dumps(settings), json.dumps(key), token())
