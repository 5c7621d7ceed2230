"""Tracebacks with their locals, as error trackers and debug pages show them, contain no token and no secret."""

from __future__ import annotations

import base64
import gc
import json
import logging
import secrets
import sys
import time
import traceback
import weakref
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from jwt_lp import (
    Answer,
    Call,
    ClientMethods,
    ClientRefused,
    ClientSecrets,
    ConfigurationError,
    Cookies,
    Decision,
    EcsFormatter,
    GrammarError,
    Guard,
    InvalidToken,
    Issuer,
    JwtLpError,
    KeyRing,
    KeysUnavailable,
    PasswordCheck,
    PolicyError,
    PrivateKeyJwt,
    Settings,
    SignIn,
    SigningKey,
    SignInRefused,
    StaticKeys,
    StoreError,
    TokenExchange,
    Verifier,
    subscribe,
)
from jwt_lp.errors import clear_locals, clears_locals
from jwt_lp.guard.cookie_reader import CookieReader
from jwt_lp.guard.csrf import CsrfCheck
from jwt_lp.guard.development_key import development_key
from jwt_lp.issuing.issuer import ClaimPolicy
from jwt_lp.jose import key_rotation as rings
from jwt_lp.jose.client_credentials import ASSERTION_TYPE
from jwt_lp.jose.signing import sign
from jwt_lp.lint.linter import lint
from jwt_lp.oauth.exchange_client import DownscopingRequest, ExchangeClient
from jwt_lp.oauth.exchange_request import ACCESS_TOKEN, TOKEN_EXCHANGE
from jwt_lp.permissions.requirements import all_of
from jwt_lp.policy.file import EMPTY_POLICY
from jwt_lp.stores import open_store
from jwt_lp.testing.authority import Authority
from jwt_lp.tokens.profiles import RFC9068
from jwt_lp.tokens.trusted_issuer import TrustedIssuer
from jwt_lp.tokens.verification import verify_signature

ISSUER, OTHER = "https://issuer.test", "https://other.test"
NOW = int(time.time())
KEY = SigningKey.generate("ES256", kid="k1")
STRANGER = SigningKey.generate("ES256", kid="k1")
PASSWORD = secrets.token_hex(24)
RAW = secrets.token_hex(32)
SHARED = {"kty": "oct", "kid": "s1", "alg": "HS256", "k": base64.urlsafe_b64encode(RAW.encode()).decode().rstrip("=")}
CLAIMS = {"iss": ISSUER, "sub": "alice", "aud": "api", "client_id": "web", "iat": NOW, "exp": NOW + 7200, "jti": "j1"}
FORM = "application/x-www-form-urlencoded"


def token(key: SigningKey = KEY, **changes: Any) -> str:
    return sign({**CLAIMS, "scope": "orders:read", **changes}, key)


GOOD, FORGED = token(), token(STRANGER)
OLD = token(iat=NOW - 900, exp=NOW - 600)
FOREIGN = token(iss=OTHER)
UNREADABLE = GOOD.replace(".", "=.", 1)
PRIVATE = KEY.private_jwk()
ASSERTION = sign({"iss": "shop", "sub": "shop", "aud": "here", "exp": NOW + 60, "jti": "j1"}, STRANGER, typ="JWT")
CANARIES = [
    *(part for each in (GOOD, FORGED, OLD, FOREIGN, ASSERTION) for part in (each.split(".")[1][:40], each[-40:])),
    *(PASSWORD, base64.b64encode(f"shop:{PASSWORD}".encode()).decode()[8:], RAW, str(SHARED["k"]), str(PRIVATE["d"])),
]


class Unforeseen(OSError):
    """An unexpected error."""


class Broken:
    """Keys, a store, a client's method or a cache that fails with an unexpected error."""

    generation = 1

    def fails(self, *_: object, **__: object) -> NoReturn:
        raise Unforeseen("no such thing")

    find = authenticate = once = family = add_family = rotate_family = fails

    def usable_for(self) -> float:
        return 1e9


def trusted(keys: Any = None) -> TrustedIssuer:
    keys = keys or StaticKeys.from_jwks({"keys": [KEY.public_jwk()]})
    return TrustedIssuer("other", OTHER, frozenset({"api"}), frozenset({"ES256"}), RFC9068, keys)


def unreachable(*_: object, **__: object) -> NoReturn:
    raise KeysUnavailable("no answer")


def issuer(**more: Any) -> Issuer:
    return Issuer(ISSUER, KEY, client="web", claims={"api": ClaimPolicy()}, **more)


def form(**more: str) -> dict[str, list[str]]:
    return {name: [value] for name, value in more.items()}


def basic(client: str = "shop", secret: str = PASSWORD) -> list[str]:
    return [f"Basic {base64.b64encode(f'{client}:{secret}'.encode()).decode()}"]


def settings(**more: Any) -> dict[str, Any]:
    given = {"ISSUER": ISSUER, "AUDIENCE": "api", "ALGORITHMS": ["HS256"], "JWKS": {"keys": [SHARED]}}
    return {**given, "STORE": f"sqlite:///x?password={PASSWORD}", **more}


def exchange(clients: Any) -> TokenExchange:
    return TokenExchange(issuer(), clients)


def form_values(subject: str = GOOD) -> dict[str, list[str]]:
    more = {"grant_type": TOKEN_EXCHANGE, "subject_token": subject, "subject_token_type": ACCESS_TOKEN}
    return form(scope="orders:read", client_id="shop", client_secret=PASSWORD, **more)


def body(values: dict[str, list[str]]) -> bytes:
    return "&".join(f"{name}={value}" for name, (value,) in values.items()).encode()


SECRETS = ClientSecrets({"web": PASSWORD})
ASSERTIONS = PrivateKeyJwt({"shop": {"keys": [KEY.public_jwk()]}}, "here", clock=lambda: NOW)
BOTH = ClientMethods(SECRETS, ASSERTIONS)
SIGNED = form(client_assertion_type=ASSERTION_TYPE, client_assertion=ASSERTION)
HERE = ExchangeClient(issuer(), None)
THERE = ExchangeClient("https://tokens.test", "shop", secret=PASSWORD)
WISH = DownscopingRequest(GOOD, ("orders:read",), "api", None)


class Response:
    """A response of the token endpoint, in the form of httpx2."""

    is_redirect, history, url = False, (), "https://tokens.test"

    def __init__(self, status_code: int = 200, **members: object) -> None:
        self.status_code = status_code
        self.content = json.dumps(members).encode()


def refused_here(value: str) -> None:
    HERE.downscope_locally(DownscopingRequest(value, ("orders:write",), "api", None))


def once_fails() -> str:
    assertion = sign({"iss": "shop", "sub": "shop", "aud": "here", "exp": NOW + 60, "jti": "j1"}, KEY, typ="JWT")
    CANARIES.append(assertion[-40:])
    method = PrivateKeyJwt({"shop": {"keys": [KEY.public_jwk()]}}, "here", once=Broken().once, clock=lambda: NOW)
    return method.authenticate(form(client_assertion_type=ASSERTION_TYPE, client_assertion=assertion), [])


REFRESH = sign(
    {"iss": ISSUER, "sub": "alice", "aud": ISSUER, "iat": NOW, "exp": NOW + 7200, "family": "f", "counter": 0},
    KEY,
    typ="refresh+jwt",
)
CANARIES += [REFRESH.split(".")[1][:40], REFRESH[-40:]]
CREDENTIALS = json.dumps({"username": "alice", "password": PASSWORD}).encode()
JSON = "application/json"


def sign_in(authenticate: Any = None, store: Any = None, **more: Any) -> SignIn:
    kept: Any = store or Broken()
    return SignIn(issuer(**more), kept, audience="api", authenticate=authenticate)


def unwilling() -> Issuer:
    """An issuer whose tokens are signed, and whose refresh tokens are not."""

    class Unwilling(SigningKey):
        def sign_compact(self, payload: bytes, *, typ: str | None, embedded_key: bool = False) -> str:
            if typ == "refresh+jwt":
                raise Unforeseen("no such thing")
            token = super().sign_compact(payload, typ=typ, embedded_key=embedded_key)
            CANARIES.append(token[-40:])
            return token

    return Issuer(ISSUER, Unwilling("k1", "ES256", KEY._key), audience="api", client="web")


VERBS: dict[str, tuple[type[BaseException], Callable[[], object]]] = {
    "verify: forged": (InvalidToken, lambda: issuer().verify(FORGED)),
    "verify: expired": (InvalidToken, lambda: issuer().verify(OLD)),
    "verify: unreadable": (InvalidToken, lambda: issuer().verify(UNREADABLE)),
    "verify: no keys": (KeysUnavailable, lambda: _without_keys().verify(FOREIGN)),
    "verify: broken": (Unforeseen, lambda: issuer(trusts=[trusted(Broken())]).verify(FOREIGN)),
    "narrow: forged": (InvalidToken, lambda: issuer().narrow(FORGED, ["orders:read"])),
    "narrow: more": (PolicyError, lambda: issuer().narrow(GOOD, ["orders:write"])),
    "narrow: a string": (PolicyError, lambda: issuer().narrow(GOOD, "orders:read")),
    "narrow: broken": (Unforeseen, lambda: issuer(trusts=[trusted(Broken())]).narrow(FOREIGN, ["orders:read"])),
    "narrow: no clock": (Unforeseen, lambda: issuer(randomness=Broken().fails).narrow(GOOD, ["orders:read"])),
    "narrow: no list": (TypeError, lambda: issuer().narrow(token=GOOD, permissions=7)),  # type: ignore[arg-type]
    "renew: forged": (InvalidToken, lambda: issuer().renew(FORGED)),
    "renew: nothing left": (PolicyError, lambda: issuer().renew(GOOD)),
    "renew: foreign": (PolicyError, lambda: issuer(trusts=[trusted()]).renew(token=FOREIGN)),
    "issue: too long": (PolicyError, lambda: _small().issue("alice", permissions=["orders:read"], audience="api")),
    "verifier": (InvalidToken, lambda: Verifier([trusted()], EMPTY_POLICY).verify(FORGED)),
    "verifier: broken": (Unforeseen, lambda: Verifier([trusted(Broken())], EMPTY_POLICY).verify(FOREIGN)),
    "verifier: no text": (InvalidToken, lambda: Verifier([], EMPTY_POLICY).verify([GOOD])),
    "verify_signature": (InvalidToken, lambda: verify_signature(FORGED, trusted().keys)),
    "verify_signature: unreadable": (InvalidToken, lambda: verify_signature(UNREADABLE, trusted().keys)),
    "verify_signature: broken": (Unforeseen, lambda: verify_signature(GOOD, Broken())),  # type: ignore[arg-type]
    "lint": (GrammarError, lambda: lint("e30." + GOOD.split(".")[1] + "!." + GOOD.split(".")[2], now=NOW)),
    "lint: encrypted": (GrammarError, lambda: lint(f"{GOOD}.{GOOD}", now=NOW)),
    "lint: broken": (AttributeError, lambda: lint(GOOD, now=NOW, policy=Broken())),  # type: ignore[arg-type]
    "a key: no kid": (ConfigurationError, lambda: SigningKey.from_jwk({**PRIVATE, "kid": None})),
    "a key: another curve": (ConfigurationError, lambda: SigningKey.from_jwk({**PRIVATE, "crv": "P-384"})),
    "a key: another type": (ConfigurationError, lambda: SigningKey.from_jwk({**PRIVATE, "alg": "RS256"})),
    "a key: another x": (ConfigurationError, lambda: SigningKey.from_jwk({**PRIVATE, "x": "AA"})),
    "a key: weak": (ConfigurationError, lambda: SigningKey.from_jwk({**SHARED, "alg": "HS512", "k": SHARED["k"][:80]})),
    "a key: a text": (ConfigurationError, lambda: SigningKey.from_jwk(json.dumps(PRIVATE))),
    "signing": (TypeError, lambda: SigningKey.from_jwk(SHARED).sign_compact(RAW, typ="JWT")),  # type: ignore[arg-type]
    "keys: private": (ConfigurationError, lambda: StaticKeys.from_jwks({"keys": [PRIVATE]})),
    "keys: mixed": (ConfigurationError, lambda: StaticKeys.from_jwks({"keys": [SHARED, KEY.public_jwk()]})),
    "keys: weak": (ConfigurationError, lambda: StaticKeys.from_jwks({**SHARED, "k": SHARED["k"][:40]})),
    "keys: not allowed": (ConfigurationError, lambda: StaticKeys.from_jwks(SHARED, ["ES256"])),
    "settings": (ConfigurationError, lambda: Settings.from_mapping(settings(LEEWAY=-1))),
    "settings: environment": (ConfigurationError, lambda: Settings.from_env({"JWT_LP_STORE": PASSWORD})),
    "guard: settings": (ConfigurationError, lambda: Guard(settings(LEEWAY=-1))),
    "guard: store": (ConfigurationError, lambda: Guard(settings(STORE=f"nothing://x:{PASSWORD}@h/x"))),
    "store: no scheme": (ConfigurationError, lambda: open_store(f"nothing://x:{PASSWORD}@h/x")),
    "store: no URL": (ConfigurationError, lambda: open_store(PASSWORD)),
    "authority": (ConfigurationError, lambda: Authority(like=settings(LEEWAY=-1))),
    "authority: guard": (ConfigurationError, lambda: Authority(algorithm="HS256").guard(**settings(LEEWAY=-1))),
    "secrets: short": (ConfigurationError, lambda: ClientSecrets({"shop": PASSWORD, "web": ["", PASSWORD]})),
    "secrets: none": (TypeError, lambda: ClientSecrets({"shop": [PASSWORD, 7]})),  # type: ignore[list-item]
    "secret: another": (ClientRefused, lambda: SECRETS.authenticate({}, basic("web", PASSWORD + "x"))),
    "secret: nobody": (ClientRefused, lambda: SECRETS.authenticate({}, basic())),
    "secret: twice": (ClientRefused, lambda: SECRETS.authenticate({}, basic() * 2)),
    "secret: in the form": (ClientRefused, lambda: SECRETS.authenticate(form_values(), [])),
    "secret: two ways": (ClientRefused, lambda: SECRETS.authenticate(form_values(), basic())),
    "secret: no form": (AttributeError, lambda: SECRETS.authenticate(PASSWORD, basic())),  # type: ignore[arg-type]
    "assertion: for secrets": (ClientRefused, lambda: SECRETS.authenticate(SIGNED, [])),
    "assertion: forged": (ClientRefused, lambda: ASSERTIONS.authenticate(SIGNED, [])),
    "assertion: a secret": (ClientRefused, lambda: ASSERTIONS.authenticate(form_values(), [])),
    "assertion: broken": (Unforeseen, once_fails),
    "methods": (ClientRefused, lambda: BOTH.authenticate({}, basic())),
    "methods: no such": (ClientRefused, lambda: ClientMethods(ASSERTIONS).authenticate({}, basic())),
    "exchange: broken": (Unforeseen, lambda: exchange(Broken()).post(FORM, body(form_values()), basic())),
    "exchange: broken form": (Unforeseen, lambda: exchange(Broken()).answer(form_values(), basic())),
    "sign-in: broken": (Unforeseen, lambda: sign_in(Broken().fails).obtain(JSON, CREDENTIALS, address=None)),
    "sign-in: no subject": (
        ConfigurationError,
        lambda: sign_in(lambda *_: 7).obtain_tokens(JSON, CREDENTIALS, address=None),
    ),
    "sign-in: no such": (ConfigurationError, lambda: sign_in().obtain(JSON, CREDENTIALS, address=None)),
    "sign-in: broken store": (
        Unforeseen,
        lambda: sign_in(lambda name, _: name).obtain(JSON, CREDENTIALS, address=None),
    ),
    "session: broken store": (Unforeseen, lambda: sign_in().sessions.start("alice")),
    "session: no refresh token": (Unforeseen, lambda: SignIn(unwilling(), Broken()).sessions.start("alice")),  # type: ignore[arg-type]
    "refresh: forged": (SignInRefused, lambda: sign_in().sessions.renew(FORGED)),
    "refresh: unreadable": (SignInRefused, lambda: sign_in().sessions.renew(REFRESH[:-1] + "=")),
    "refresh: broken store": (
        Unforeseen,
        lambda: sign_in().refresh_tokens(None, b"", refresh_token=REFRESH, address=None),
    ),
    "refresh: broken store, in the body": (
        Unforeseen,
        lambda: sign_in().refresh(JSON, json.dumps({"refresh_token": REFRESH}).encode(), address=None),
    ),
    "sign-out: broken store": (
        Unforeseen,
        lambda: sign_in().sign_out(None, b"", refresh_token=REFRESH, address=None),
    ),
    "sign-out everywhere: broken store": (
        Unforeseen,
        lambda: sign_in().sign_out_everywhere(None, b"", refresh_token=REFRESH, address=None),
    ),
    "sign-out: forged": (SignInRefused, lambda: sign_in().sessions.end(FORGED)),
    "a password: broken": (Unforeseen, lambda: PasswordCheck(Broken().fails, str)("stored", PASSWORD)),
    "narrower: arguments": (ConfigurationError, lambda: ExchangeClient("http://x.test", "shop", secret=PASSWORD)),
    "narrower: here": (PolicyError, lambda: refused_here(GOOD)),
    "narrower: here, forged": (InvalidToken, lambda: refused_here(FORGED)),
    "narrower: request": (Unforeseen, lambda: THERE.build_request(Broken().fails, WISH, bytes)),  # type: ignore[arg-type]
    "narrower: echoed": (
        PolicyError,
        lambda: THERE.read_response(WISH, _answer(access_token=GOOD, token_type="Bearer")),
    ),
    "narrower: no type": (PolicyError, lambda: THERE.read_response(WISH, _answer(access_token=FOREIGN))),
}


def _answer(**members: object) -> Any:
    return Response(**members)  # type: ignore[arg-type]


def _without_keys() -> Issuer:
    keys = Broken()
    keys.find = unreachable  # type: ignore[method-assign]
    return issuer(trusts=[trusted(keys)])


def _small() -> Issuer:
    """An issuer whose tokens are all too long, which it notices only after signing."""

    class Shown(SigningKey):
        def sign_compact(self, payload: bytes, *, typ: str | None, embedded_key: bool = False) -> str:
            token = super().sign_compact(payload, typ=typ, embedded_key=embedded_key)
            CANARIES.append(token[-40:])
            return token

    key = Shown("k1", "ES256", KEY._key)
    return Issuer(ISSUER, key, client="web", claims={"api": ClaimPolicy(max_size=64)})


def chained(error: BaseException) -> Iterator[BaseException]:
    """Return the error and all its causes and contexts, suppressed or not."""
    pending: list[BaseException | None] = [error]
    seen: list[BaseException] = []
    while pending:
        current = pending.pop()
        if current is not None and current not in seen:
            seen.append(current)
            pending += [current.__cause__, current.__context__]
            yield current


def shown(error: BaseException) -> list[str]:
    """Return every message, and every local of every frame but those of tests."""
    texts = []
    for current in chained(error):
        texts += [str(current), repr(current)]
        for frame, _ in traceback.walk_tb(current.__traceback__):
            if Path(frame.f_code.co_filename).parent != Path(__file__).parent:
                texts += [f"{frame.f_code.co_qualname}: {name} = {value!r}" for name, value in frame.f_locals.items()]
    return texts


def leaks(error: BaseException) -> list[str]:
    return [text for text in shown(error) if any(each in text for each in CANARIES)]


@pytest.mark.parametrize("verb", VERBS)
def test_no_traceback_shows_a_token_or_a_secret(verb: str) -> None:
    """Whatever a function that gets one raises, neither a message nor a local of a frame holds it."""
    kind, act = VERBS[verb]
    with pytest.raises(kind) as caught:
        act()
    assert [] == leaks(caught.value)


@pytest.mark.parametrize("verb", [verb for verb, (kind, _) in VERBS.items() if kind.__module__ != "builtins"])
def test_a_dropped_error_leaves_no_reference_cycle(verb: str) -> None:
    """No traceback is part of a cycle, so the memory of a flood of bad tokens is freed at once."""
    _, act = VERBS[verb]
    gone: list[weakref.ref[BaseException]] = []
    gc.collect()
    gc.disable()
    try:
        try:
            act()
        except (JwtLpError, Unforeseen) as error:
            gone.append(weakref.ref(error))
        assert None is gone[0]()
    finally:
        gc.enable()


class Full(logging.Handler):
    """A log that fails on write."""

    def emit(self, _: logging.LogRecord) -> None:
        raise OSError("no space left")


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(f"Bearer {GOOD}", id="good"),
        pytest.param(f"Bearer {FORGED}", id="forged"),
        pytest.param(f"Bearer {GOOD},{GOOD}", id="two"),
        pytest.param([f"Bearer {OLD}"] * 2, id="two lines"),
    ],
)
def test_a_guard_that_fails_shows_no_token(monkeypatch: pytest.MonkeyPatch, value: str | list[str]) -> None:
    """An error during a decision is raised without the header in its frames."""
    with Guard({"ISSUER": ISSUER, "AUDIENCE": "api", "ALGORITHMS": ["ES256"], "JWKS": KEY.public_jwk()}) as guard:
        monkeypatch.setattr(logging.getLogger("jwt_lp"), "handlers", [Full()])
        with pytest.raises(OSError, match="space") as caught:
            guard.check(value, all_of("x"), {}, "GET /")
        assert [] == leaks(caught.value)


@pytest.mark.parametrize("value", [f"Bearer {GOOD}", [f"Bearer {GOOD}"]], ids=["text", "lines"])
@pytest.mark.parametrize("what", ["_recall", "_repeat", "_clock"])
def test_a_guard_that_fails_at_a_known_token_shows_no_token(
    monkeypatch: pytest.MonkeyPatch, value: str | list[str], what: str
) -> None:
    """An error on the short way of a known token is raised without the header in its frames."""
    with Guard({"ISSUER": ISSUER, "AUDIENCE": "api", "ALGORITHMS": ["ES256"], "JWKS": KEY.public_jwk()}) as guard:
        needed = all_of("orders:read")
        assert guard.check(value, needed, {}, "GET /").passes
        monkeypatch.setattr(guard, what, Broken().fails)
        with pytest.raises(Unforeseen) as caught:
            guard.check(value, needed, {}, "GET /")
        assert [] == leaks(caught.value)


@pytest.mark.parametrize("value", [f"Bearer {GOOD}", [f"Bearer {FORGED}"]], ids=["text", "lines"])
def test_a_guard_with_listeners_shows_no_token(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, value: str | list[str]
) -> None:
    """What stands between the caller and the guard holds the header, and shows it as little as the guard does."""
    with Guard({"ISSUER": ISSUER, "AUDIENCE": "api", "ALGORITHMS": ["ES256"], "JWKS": KEY.public_jwk()}) as guard:

        def fails(decision: Decision, call: Call | None) -> NoReturn:
            raise Unforeseen(f"{value} {decision.token}")

        guard.listen(fails)
        guard.check(value, all_of("orders:read"), {}, "GET /")
        assert "listener_failed" in caplog.text
        assert [] == [canary for canary in CANARIES if canary in caplog.text]
        monkeypatch.setattr(guard, "_clock", Broken().fails)
        monkeypatch.setattr(guard._authenticator, "_clock", Broken().fails)
        for act in (
            lambda: guard.check(value, all_of("x"), {}, "GET /"),
            lambda: guard.authenticate(value),
        ):
            with pytest.raises(Unforeseen) as caught:
                act()
            assert [] == leaks(caught.value)


CALL = Call(
    "GET", lambda: f"https://api.test/?access_token={GOOD}", lambda _: (f"Bearer {GOOD}",), "app.view", "192.0.2.7"
)


@pytest.mark.parametrize("value", [GOOD, FORGED, OLD, UNREADABLE], ids=["good", "forged", "expired", "unreadable"])
def test_the_audit_log_shows_no_token(value: str) -> None:
    """No line of the audit log or of the events holds a part of a token, also where the URL does."""
    given = {"ISSUER": ISSUER, "AUDIENCE": "api", "ALGORITHMS": ["ES256"], "JWKS": KEY.public_jwk(), "AUDIT": "full"}
    records: list[logging.LogRecord] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    handler = Collector()
    logger = logging.getLogger("jwt_lp")
    logger.addHandler(handler)
    end = subscribe(lambda event, members: told.append(f"{event} {dict(members)}"))
    told: list[str] = []
    try:
        with Guard(given) as guard:
            for needed in (all_of("orders:read"), all_of("orders:write"), None):
                guard.check(f"Bearer {value}", needed, {}, "GET /", call=CALL)
    finally:
        end()
        logger.removeHandler(handler)
    lines = [EcsFormatter().format(record) for record in records] + [str(vars(record)) for record in records] + told
    assert 3 == sum(record.name == "jwt_lp.audit" for record in records)
    assert [] == [line for line in lines if any(canary in line for canary in CANARIES)]


@pytest.mark.parametrize("wait", [True, False])
def test_a_guard_whose_keys_fail_shows_no_token(monkeypatch: pytest.MonkeyPatch, wait: bool) -> None:
    """An unexpected error of a key source is raised without the header in its frames."""
    with Guard({"ISSUER": ISSUER, "AUDIENCE": "api", "ALGORITHMS": ["ES256"], "JWKS": KEY.public_jwk()}) as guard:
        monkeypatch.setattr(StaticKeys, "find", Broken().fails)
        for act in (
            lambda: guard.check(f"Bearer {GOOD}", all_of("x"), {}, "GET /", wait=wait),
            lambda: guard.authenticate([f"Bearer {GOOD}"], wait=wait),
        ):
            with pytest.raises(Unforeseen) as caught:
                act()
            assert [] == leaks(caught.value)


@pytest.mark.parametrize("what", ["fault", "read", "log"])
def test_a_guard_with_cookies_shows_no_token(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """An error while a cookie is read, checked or refused is raised without the cookie in its frames."""
    settings = {"ISSUER": ISSUER, "AUDIENCE": "api", "ALGORITHMS": ["ES256"], "JWKS": KEY.public_jwk(), "COOKIE": True}
    if what == "log":
        monkeypatch.setattr(logging.getLogger("jwt_lp"), "handlers", [Full()])
    else:
        monkeypatch.setattr(CsrfCheck if what == "fault" else CookieReader, what, Broken().fails)
    call = Call("POST", str, lambda name: (f"__Host-access={GOOD}",) if name == "cookie" else (), "view")
    with Guard(settings) as guard:
        for act in (
            lambda: guard.check(None, all_of("orders:read"), {}, "POST /", call=call),
            lambda: guard.authenticate(None, call=call),
        ):
            with pytest.raises((Unforeseen, OSError)) as caught:
                act()
            assert [] == leaks(caught.value)


def test_cookies_of_a_response_show_no_token() -> None:
    """The repr of a cookie is masked, and an error about its size shows nothing of it."""
    cookies = Cookies().access(GOOD)
    assert [] == [each for each in cookies if any(canary in repr(each) for canary in CANARIES)]
    with pytest.raises(PolicyError) as caught:
        Cookies(name="__Host-" + "a" * 4096).access(GOOD)
    assert [] == leaks(caught.value)


def test_the_keys_folder_shows_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk, a damaged file and a wrong key give errors without a private key."""
    folder = tmp_path / "keys"
    rings.add_key(folder)
    private = next(folder.glob("key-*.json"))
    kept = private.read_text()
    CANARIES.extend(json.loads(path.read_text())["d"] for path in folder.glob("key-*.json"))
    errors = []
    for content in (json.dumps(PRIVATE), kept[:-1], kept.replace("P-256", "P-384")):
        for path in folder.glob("key-*.json"):
            path.write_text(content)
        with pytest.raises(ConfigurationError) as caught:
            KeyRing(folder)
        errors.append(caught.value)
    with monkeypatch.context() as patched:
        patched.setattr("jwt_lp.jose.key_files.os.fsync", Broken().fails)
        with pytest.raises(ConfigurationError) as caught:
            rings.add_key(tmp_path / "new")
        errors.append(caught.value)
    path = tmp_path / "development-key.json"
    path.write_text(json.dumps(PRIVATE))
    path.chmod(0o600)
    with pytest.raises(ConfigurationError) as caught:
        development_key(tmp_path)
    errors.append(caught.value)
    assert [] == [leak for error in errors for leak in leaks(error)]


@pytest.mark.parametrize(
    "echo",
    [
        pytest.param(GOOD, id="the token"),
        pytest.param(GOOD[-30:], id="a part of it"),
        pytest.param(FOREIGN, id="another token"),
        pytest.param(PASSWORD, id="the secret"),
        pytest.param(PASSWORD[3:20], id="a part of that"),
        pytest.param(base64.b64encode(f"shop:{PASSWORD}".encode()).decode(), id="the credential"),
    ],
)
@pytest.mark.parametrize("member", ["error", "error_description"])
def test_what_an_endpoint_echoes_is_not_repeated(echo: str, member: str) -> None:
    """If a token endpoint repeats what it was sent, or a part of it, the error does not contain it."""
    members = {"error": "invalid_request", "error_description": "bad", member: f"bad value '{echo}'"}
    with pytest.raises(PolicyError, match="answered 400 with what it was sent") as caught:
        THERE.read_response(WISH, Response(400, **members))  # type: ignore[arg-type]
    assert [] == [text for text in shown(caught.value) if echo[-12:] in text]


def test_other_answers_of_an_endpoint_are_reported() -> None:
    """The endpoint's own words, such as permissions and addresses, are in the error."""
    members = {
        "error": "invalid_scope",
        "error_description": "orders:read:everything-there-is, see https://tokens.test/help",
    }
    for where in (THERE, ExchangeClient("https://tokens.test", "shop", key=KEY)):
        with pytest.raises(PolicyError, match="orders:read:everything-there-is, see https:"):
            where.read_response(WISH, Response(400, **members))  # type: ignore[arg-type]


def test_no_repr_shows_a_secret() -> None:
    """The repr of a public object that holds a token or a secret does not show it."""
    read_settings = Settings.from_mapping(settings(PUSH=f"redis://:{PASSWORD}@h", SUBJECTS={"KEY": PASSWORD}))
    objects = [
        read_settings,
        read_settings.issuers,
        SECRETS,
        ASSERTIONS,
        BOTH,
        HERE,
        THERE,
        WISH,
        KEY,
        SigningKey.from_jwk(SHARED),
    ]
    objects += [
        Answer(200, {}, GOOD.encode()),
        issuer(),
        issuer().verify(GOOD),
        Authority(algorithm="HS256"),
        trusted(),
    ]
    objects += [StaticKeys.from_jwks(SHARED), exchange(SECRETS), exchange(SECRETS).answer(form_values(), [])]
    assert [] == [repr(item) for item in objects if any(canary in repr(item) for canary in CANARIES)]


# --- clear_locals and clears_locals


def test_the_lines_of_a_traceback_stay() -> None:
    """A traceback still shows where the error arose, and who called."""
    with pytest.raises(Unforeseen, match="no such thing") as caught:
        exchange(Broken()).post(FORM, body(form_values()), basic())
    names = {frame.f_code.co_name for frame, _ in traceback.walk_tb(caught.value.__traceback__)}
    assert {"post", "answer", "_client", "fails"} <= names


@clears_locals
def raise_from(secret: str, cause: BaseException | None = None) -> None:
    """Raise from a caught error, which holds the secret."""
    try:
        int(secret)
    except ValueError:
        raise StoreError("no") from cause


@clears_locals
def plainly(secret: str) -> None:
    """Raise without a cause, with what a caller is handling as its context."""
    raise StoreError("no")


def test_what_a_caller_is_handling_keeps_its_locals() -> None:
    """An error that a caller is handling is not cleared, nor the generator that it came through."""

    def steps() -> Generator[Exception]:
        try:
            int("theirs")
        except ValueError as error:
            yield error
            yield KeyError()

    def again(error: Exception, mine: int) -> None:
        assert mine
        raise error

    def handle(error: Exception) -> None:
        try:
            again(error, 7)
        except ValueError:
            inside()

    def inside() -> None:
        plainly("hunter2")

    going = steps()
    theirs = next(going)
    with pytest.raises(StoreError) as caught:
        handle(theirs)
    assert caught.value.__context__ is theirs
    assert [7] == [
        frame.f_locals["mine"] for frame, _ in traceback.walk_tb(theirs.__traceback__) if "mine" in frame.f_locals
    ]
    assert isinstance(next(going), KeyError)


def test_suppressed_contexts_go_and_causes_stay() -> None:
    """`from None` leaves no context; a cause stays, without its locals."""
    with pytest.raises(StoreError) as caught:
        raise_from("hunter2")
    assert (None, None) == (caught.value.__context__, caught.value.__cause__)
    with pytest.raises(ValueError, match="invalid literal") as first:
        int("x")
    with pytest.raises(StoreError) as caught:
        raise_from("hunter2", first.value)
    assert (None, first.value) == (caught.value.__context__, caught.value.__cause__)


def test_an_error_without_a_traceback_has_nothing_to_clear() -> None:
    """An error that was never raised, or has such a cause, is left unchanged."""
    error = StoreError("no")
    error.__context__ = ValueError("x")
    clear_locals(error)
    assert "x" == str(error.__context__)
    loop = StoreError("a")
    loop.__cause__ = loop
    clear_locals(loop)
    assert loop is loop.__cause__


def test_the_members_of_a_group_are_cleared_too() -> None:
    """An error of a project's code may be a group; its members have frames of their own."""

    def failing(secret: str) -> NoReturn:
        raise ValueError(len(secret))

    @clears_locals
    def grouped(secret: str) -> NoReturn:
        members: list[Exception] = []
        try:
            failing(secret)
        except ValueError as error:
            members.append(error)
        raise ExceptionGroup("several", [ExceptionGroup("inner", members)])

    with pytest.raises(ExceptionGroup) as caught:
        grouped("hunter2")
    (inner,) = caught.value.exceptions
    assert isinstance(inner, ExceptionGroup)
    (member,) = inner.exceptions
    assert ["grouped", "failing"] == [frame.f_code.co_name for frame, _ in traceback.walk_tb(member.__traceback__)]
    assert [{}, {}] == [frame.f_locals for frame, _ in traceback.walk_tb(member.__traceback__)]


def test_a_wrapped_function_keeps_its_metadata() -> None:
    """Name, documentation and signature are those of the function itself."""
    import inspect

    assert ("narrow", True) == (Issuer.narrow.__name__, (Issuer.narrow.__doc__ or "").startswith("Make a token"))
    assert ["self", "token"] == list(inspect.signature(Issuer.narrow).parameters)[:2]
    assert sys.exc_info() == (None, None, None)
