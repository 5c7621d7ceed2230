"""Introspection of opaque tokens (RFC 7662), against an endpoint on loopback."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from clock import Clock
from introspection_server import AUDIENCE, CLIENT, ISSUER, SECRET, IntrospectionServer, active
from jwks_server import eventually
from jwt_lp import (
    Call,
    ConfigurationError,
    Decision,
    Guard,
    IntrospectionUnavailable,
    InvalidToken,
    Settings,
    SigningKey,
    all_of,
)
from jwt_lp.guard.cookies import csrf_token
from jwt_lp.jose.client_credentials import ASSERTION_TYPE
from jwt_lp.jose.http_fetch import _Request
from jwt_lp.jose.signing import sign
from jwt_lp.oauth.private_key_jwt import PrivateKeyJwt
from jwt_lp.revocation.entries import RevocationEntry
from jwt_lp.tokens import introspection_endpoint
from jwt_lp.tokens.introspection import MAX_OPAQUE, is_opaque
from memory_store import MemoryStore

KEY = SigningKey.generate("ES256")
LIST = all_of("orders:list")


@pytest.fixture
def server() -> Iterator[IntrospectionServer]:
    with IntrospectionServer(good=active()) as endpoint:
        yield endpoint


@pytest.fixture
def guard(server: IntrospectionServer) -> Iterator[Guard]:
    with Guard(settings(server)) as made:
        yield made


def settings(server: IntrospectionServer, **changes: object) -> dict[str, object]:
    jwks = {"ALGORITHMS": ["ES256"], "JWKS": {"keys": [KEY.public_jwk()]}}
    own = {"ISSUER": ISSUER, "AUDIENCE": AUDIENCE, **jwks, "INTROSPECTION": server.settings(), **changes}
    return {name: value for name, value in own.items() if value is not None}


def check(guard: Guard, token: str, *, wait: bool = True) -> Decision:
    return guard.check(f"Bearer {token}", LIST, {}, "GET /orders", wait=wait)


def outcome(guard: Guard, token: str) -> tuple[int, str]:
    """The status, 200 for a request that passes, and the cause of the refusal."""
    refusal = check(guard, token).refusal
    return (200, "") if refusal is None else (refusal.status, refusal.code)


def jwt(**changes: object) -> str:
    claims = {**active(jti="1", active=None, token_type=None), **changes}
    return sign(claims, KEY, typ="at+jwt")


def test_an_active_token_is_accepted(server: IntrospectionServer, guard: Guard) -> None:
    """The answer becomes an access token: subject, client, permissions, dates and a fingerprint."""
    server.tokens["good"] = answer = active(tenant={"id": 7})
    decision = check(guard, "good")
    token = decision.token
    assert decision.passes
    assert token is not None
    assert (ISSUER, "alice", "web") == (token.issuer, token.subject, token.client)
    assert (answer["iat"], answer["exp"]) == (token.issued_at, token.expires_at)
    assert {"id": 7} == token.claims["tenant"]
    assert 12 == len(token.fingerprint)
    refusal = guard.check("Bearer good", all_of("orders:delete"), {}, "DELETE /orders").refusal
    assert refusal is not None
    assert (403, "insufficient_scope") == (refusal.status, refusal.error)
    assert 1 == len(server.asked)


def test_the_request_is_a_form_with_basic_credentials(server: IntrospectionServer, guard: Guard) -> None:
    """The token is sent in a form, once, and client and secret are encoded as RFC 6749, section 2.3.1 says."""
    token = "aB3-._~+/9=="
    server.tokens[token] = active()
    assert (200, "") == outcome(guard, token)
    asked = server.asked[0]
    assert {"token": [token], "token_type_hint": ["access_token"]} == asked.form
    assert (CLIENT, SECRET) == asked.basic
    assert "application/x-www-form-urlencoded" == asked.headers["content-type"]


def test_the_client_may_sign_an_assertion(server: IntrospectionServer) -> None:
    """With KEY the client authenticates by private_key_jwt, and our own verifier accepts the assertion once."""
    key = SigningKey.generate("ES256")
    clients = PrivateKeyJwt({"orders": {"keys": [key.public_jwk()]}}, server.url)
    for value in (key, key.private_jwk()):
        introspection = {"URL": server.url, "CLIENT": "orders", "KEY": value}
        with Guard(settings(server, INTROSPECTION=introspection)) as guard:
            assert (200, "") == outcome(guard, "good")
        asked = server.asked[-1]
        assert "authorization" not in asked.headers
        assert [ASSERTION_TYPE] == asked.form["client_assertion_type"]
        assert "orders" == clients.authenticate(asked.form, [])


def test_no_jwt_is_ever_sent(server: IntrospectionServer, guard: Guard) -> None:
    """JWTs are decided as always: accepted, and refused without a question, however they are damaged."""
    good = jwt()
    head, body, signature = good.split(".")
    assert (200, "") == outcome(guard, good)
    other = SigningKey.generate("ES256", kid=KEY.kid)
    refused = [
        sign(active(jti="1"), other, typ="at+jwt"),
        jwt(exp=1, iat=0),
        jwt(aud="another"),
        jwt(iss="https://attacker.test"),
        f"{head}.{body}.",
        f"{head}.{body}",
        head,
        f"{good}.{signature}",
        f"{good}.a.b",
        f"..{signature}",
        f"{head}.{body}.{signature}=",
        "a.b.c",
    ]
    for token in refused:
        assert 401 == outcome(guard, token)[0], token
        server.tokens[token] = active()
        assert 401 == outcome(guard, token)[0], token
    assert [] == server.asked


def test_what_is_opaque() -> None:
    """A text is opaque if it has the characters of RFC 6750, at most one dot, a bounded length and no JOSE header."""
    for token in ("a", "ya29.a0AfH6", "abc==", "a~+/_-", "eyJ", "ey.ey", "e30x.a", "W10.b", "x" * MAX_OPAQUE):
        assert is_opaque(token), token
    head = jwt().split(".")[0]
    for token in ("", "=", "a=b", "a\u00e9", "a%", 'a"', "a\x00", "a&b", "a\n", "x" * (MAX_OPAQUE + 1), "a.b.c", head):
        assert not is_opaque(token), token


@pytest.mark.parametrize("token", ["a%2e", 'a"b', "a&token=good", "a=b", "caf\u00e9", "a\x7f", "x" * 5000, "{}", "a\\"])
def test_odd_characters_are_never_sent(server: IntrospectionServer, guard: Guard, token: str) -> None:
    """A text with any other character, or a long one, is refused without a question."""
    assert 401 == outcome(guard, token)[0]
    assert [] == server.asked


def answers(*pairs: tuple[str, Callable[[], object], str]) -> list[Any]:
    return [pytest.param(answer, cause, id=name) for name, answer, cause in pairs]


@pytest.mark.parametrize(
    ("answer", "cause"),
    answers(
        ("not active", lambda: {"active": False}, "inactive"),
        ("nothing", dict, "inactive"),
        ("active is text", lambda: active(active="true"), "inactive"),
        ("active is one", lambda: active(active=1), "inactive"),
        ("active is a list", lambda: active(active=[True]), "inactive"),
        ("active is null", lambda: json.dumps({**active(), "active": None}), "inactive"),
        ("a member in another case", lambda: active(active=None, Active=True), "inactive"),
        ("no exp", lambda: active(exp=None), "date"),
        ("exp is text", lambda: active(exp=str(int(time.time()) + 60)), "date"),
        ("expired", lambda: active(exp=int(time.time()) - 1), "expired"),
        ("not yet valid", lambda: active(nbf=int(time.time()) + 60), "not_yet_valid"),
        ("iat in the future", lambda: active(iat=int(time.time()) + 60), "not_yet_valid"),
        ("iat is null", lambda: json.dumps({**active(), "iat": None}), "date"),
        ("lives too long", lambda: active(exp=int(time.time()) + 90_000), "lifetime"),
        ("no iat", lambda: active(iat=None), "date"),
        ("no aud", lambda: active(aud=None), "audience"),
        ("another aud", lambda: active(aud=["another"]), "audience"),
        ("no iss", lambda: active(iss=None), "issuer"),
        ("another iss", lambda: active(iss="https://login.example.com"), "issuer"),
        ("iss is a list", lambda: active(iss=[ISSUER]), "issuer"),
        ("no sub", lambda: active(sub=None), "subject"),
        ("sub is a number", lambda: active(sub=7), "subject"),
        ("client is a list", lambda: active(client_id=["web"]), "client"),
        ("a refresh token", lambda: active(token_use="refresh_token"), "not_access_token"),
        ("an ID token", lambda: active(nonce="n"), "not_access_token"),
        ("a token bound to a key", lambda: active(token_type="DPoP"), "not_access_token"),
        ("a confirmation", lambda: active(cnf={"jkt": "x"}), "sender_constrained"),
        ("token_type is null", lambda: json.dumps({**active(), "token_type": None}), "not_access_token"),
        ("scope is an object", lambda: active(scope={}), "claim_type"),
    ),
)
def test_what_an_answer_must_have(
    server: IntrospectionServer, guard: Guard, answer: Callable[[], object], cause: str
) -> None:
    """An answer is checked like a JWT's claims, and the refusal is given again without a question."""
    server.tokens["bad"] = answer()
    assert (401, cause) == outcome(guard, "bad")
    assert (401, cause) == outcome(guard, "bad")
    assert 1 == len(server.asked)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param('{"active": false, "active": true}', id="duplicate members"),
        pytest.param('{"active": true, "exp": NaN}', id="NaN"),
        pytest.param('{"active": true, "exp": Infinity}', id="infinity"),
        pytest.param('{"active": true, "x": ' + "[" * 200 + "]" * 200 + "}", id="deep"),
        pytest.param("[true]", id="a list"),
        pytest.param("true", id="true"),
        pytest.param("", id="empty"),
        pytest.param('{"active": true', id="cut off"),
        pytest.param('{"active": true} {"active": true}', id="two answers"),
        pytest.param("<html>Sign in</html>", id="HTML"),
    ],
)
def test_an_answer_that_is_not_strict_json_is_no_answer(server: IntrospectionServer, guard: Guard, body: str) -> None:
    """Such an answer says nothing about the token: 503, and the token is not accepted."""
    server.tokens["odd"] = body
    assert (503, "introspection_unavailable") == outcome(guard, "odd")


@pytest.mark.parametrize(
    "behaviour",
    ["megabyte", "redirect", "html", "zipped", "deep", "not_utf8", "error_500", "error_404", "error_401", "error_400",
     "reset", "short", "short_chunks", "no_http", "empty", "array"],
)  # fmt: skip
def test_a_faulty_endpoint_gives_503(server: IntrospectionServer, guard: Guard, behaviour: str) -> None:
    """No failure of the endpoint accepts a token or calls it invalid; the client hears when to ask again."""
    server.behaviour = behaviour
    refusal = check(guard, "good").refusal
    assert refusal is not None
    assert (503, "introspection_unavailable") == (refusal.status, refusal.code)
    assert "1" == dict(refusal.headers)["Retry-After"]
    assert "WWW-Authenticate" not in dict(refusal.headers)
    assert ["/introspect"] == server.paths
    server.behaviour = "introspect"
    assert (200, "") == outcome(guard, "good")


def test_a_slow_endpoint_is_given_up(server: IntrospectionServer, guard: Guard) -> None:
    """An endpoint that sends its answer byte by byte costs a caller the time limit, and no more."""
    server.behaviour = "drip_body"
    guard.verifier._endpoint._deadline = 0.3  # type: ignore[attr-defined]  # of the subclass
    start = time.monotonic()
    assert (503, "introspection_unavailable") == outcome(guard, "good")
    assert time.monotonic() - start < 2


def test_an_unreachable_endpoint_gives_503(server: IntrospectionServer) -> None:
    """Nobody listens: 503."""
    introspection = server.settings(URL="http://127.0.0.1:9/introspect")
    with Guard(settings(server, INTROSPECTION=introspection)) as guard:
        assert (503, "introspection_unavailable") == outcome(guard, "good")


def test_an_endpoint_that_is_down_is_left_alone(
    server: IntrospectionServer, guard: Guard, caplog: pytest.LogCaptureFixture
) -> None:
    """After three failures it is asked once per cool-down; known tokens and JWTs are decided meanwhile."""
    clock = Clock(time.monotonic())
    guard.verifier._endpoint._clock = clock  # type: ignore[attr-defined]  # of the subclass
    assert (200, "") == outcome(guard, "good")
    server.behaviour = "error_500"
    statuses = [outcome(guard, f"t{number}")[0] for number in range(20)]
    assert [503] * 20 == statuses
    assert 1 + 3 == len(server.asked)
    assert (200, 200) == (outcome(guard, "good")[0], outcome(guard, jwt())[0])
    # With `wait=False` it is answered at once: nothing is pending.
    refusal = check(guard, "t21", wait=False).refusal
    assert refusal is not None
    assert "5" == dict(refusal.headers)["Retry-After"]
    clock.now += introspection_endpoint.COOLDOWN + 1
    assert 503 == outcome(guard, "t1")[0]
    assert 503 == outcome(guard, "t2")[0]
    assert 1 + 4 == len(server.asked)
    server.behaviour = "introspect"
    clock.now += introspection_endpoint.COOLDOWN + 1
    assert (401, "inactive") == outcome(guard, "t1")
    assert (401, "inactive") == outcome(guard, "t2")
    lines = [record.getMessage() for record in caplog.records if record.name == "jwt_lp.introspection"]
    assert 2 == len(lines)
    assert "answered 500; opaque tokens get 503" in lines[0]
    assert "it answers again" in lines[1]
    assert SECRET not in caplog.text


def test_answers_about_one_token_do_not_count_as_down(server: IntrospectionServer, guard: Guard) -> None:
    """Nobody can have the endpoint declared down with tokens that it does not like."""
    server.behaviour = "error_400"
    assert {503} == {outcome(guard, f"t{number}")[0] for number in range(10)}
    server.behaviour = "introspect"
    assert (200, "") == outcome(guard, "good")


def test_one_question_per_token_at_a_time(server: IntrospectionServer, guard: Guard) -> None:
    """Callers with the same token share one request."""
    server.delays["good"] = 0.3
    with ThreadPoolExecutor(20) as pool:
        assert {(200, "")} == set(pool.map(lambda _: outcome(guard, "good"), range(20)))
    assert 1 == len(server.asked)


def test_each_token_gets_its_own_answer(server: IntrospectionServer, guard: Guard) -> None:
    """Requests that overlap, and that end in another order than they began, are not mixed up."""
    names = [f"user{number}" for number in range(12)]
    server.tokens |= {name: active(sub=name) for name in names}
    server.delays |= {name: 0.3 - 0.02 * number for number, name in enumerate(names)}

    def subject(name: str) -> str:
        token = check(guard, name).token
        return "" if token is None else token.subject

    with ThreadPoolExecutor(12) as pool:
        assert names == list(pool.map(subject, names))


def test_no_caller_waits_beside_too_many(server: IntrospectionServer, guard: Guard) -> None:
    """No more requests are open than the limit, and the others are answered at once."""
    server.behaviour = "hang"
    with ThreadPoolExecutor(40) as pool:
        waiting = [pool.submit(outcome, guard, f"t{number}") for number in range(16)]
        assert eventually(lambda: len(server.asked) == introspection_endpoint.MAX_IN_FLIGHT)
        start = time.monotonic()
        assert (503, "introspection_unavailable") == outcome(guard, "another")
        more = [pool.submit(outcome, guard, "t0") for _ in range(16)]
        assert eventually(lambda: not guard.check("Bearer t0", LIST, {}, "GET /orders", wait=False).pending)
        assert time.monotonic() - start < 2
        server.open.set()
        assert {401} == {future.result()[0] for future in (*waiting, *more)}
    assert introspection_endpoint.MAX_IN_FLIGHT == len(server.asked)


def test_random_tokens_do_not_hammer_the_endpoint(server: IntrospectionServer) -> None:
    """Tokens that are not active are asked for at a bounded rate; a token that was active is always asked for."""
    introspection = server.settings(TTL=1)
    with Guard(settings(server, INTROSPECTION=introspection)) as guard:
        assert (200, "") == outcome(guard, "good")
        start = time.monotonic()
        statuses = [outcome(guard, f"random{number}")[0] for number in range(300)]
        took = time.monotonic() - start
        assert {401, 503} == set(statuses)
        most = introspection_endpoint.FIRST_ASKS + introspection_endpoint.ASKS_PER_SECOND * took + 2
        assert len(server.asked) <= most
        time.sleep(max(0.0, 1.1 - took))
        assert (200, "") == outcome(guard, "good")


def test_legitimate_tokens_do_not_use_up_the_limit(server: IntrospectionServer, guard: Guard) -> None:
    """Any number of active tokens may be seen for the first time."""
    server.tokens |= {f"t{number}": active(sub=f"u{number}") for number in range(150)}
    assert {(200, "")} == {outcome(guard, f"t{number}") for number in range(150)}


def test_without_waiting_the_decision_is_pending(server: IntrospectionServer, guard: Guard) -> None:
    """With `wait=False` nothing is sent; once the answer is known, nothing is pending, good or bad."""
    assert check(guard, "good", wait=False).pending
    assert check(guard, "bad", wait=False).pending
    assert [] == server.asked
    assert (200, 401) == (outcome(guard, "good")[0], outcome(guard, "bad")[0])
    assert check(guard, "good", wait=False).passes
    assert 401 == getattr(check(guard, "bad", wait=False).refusal, "status", None)
    server.delays["slow"] = 5
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(outcome, guard, "slow")
        assert eventually(lambda: len(server.asked) == 3)
        assert check(guard, "slow", wait=False).pending
        server.open.set()
        assert 401 == future.result()[0]


def test_an_answer_is_used_for_the_ttl(server: IntrospectionServer) -> None:
    """After TTL the endpoint is asked again, and what is no longer active is refused."""
    clock = Clock(time.time())
    with Guard(settings(server), clock=clock) as guard:
        assert (200, "") == outcome(guard, "good")
        server.tokens["good"] = {"active": False}
        clock.now += 29
        assert (200, "") == outcome(guard, "good")
        clock.now += 2
        assert (401, "inactive") == outcome(guard, "good")
        assert 2 == len(server.asked)


def test_an_answer_is_not_used_after_exp(server: IntrospectionServer) -> None:
    """`exp` ends the use of an answer before TTL does."""
    clock = Clock(time.time())
    server.tokens["good"] = active(exp=int(clock.now) + 5)
    with Guard(settings(server), clock=clock) as guard:
        assert (200, "") == outcome(guard, "good")
        clock.now += 6
        assert (401, "expired") == outcome(guard, "good")


def test_a_clock_that_is_set_back_does_not_prolong_an_answer(server: IntrospectionServer) -> None:
    """TTL is also measured by a clock that is never set."""
    clock = Clock(time.time())
    with Guard(settings(server, INTROSPECTION=server.settings(TTL=1)), clock=clock) as guard:
        assert (200, "") == outcome(guard, "good")
        clock.now -= 5
        server.tokens["good"] = {"active": False}
        time.sleep(1.1)
        assert (401, "inactive") == outcome(guard, "good")


def test_an_outage_ends_the_use_of_an_answer(server: IntrospectionServer) -> None:
    """No stale answer is used while the endpoint is down: 503, not 200 and not 401."""
    clock = Clock(time.time())
    with Guard(settings(server), clock=clock) as guard:
        assert (200, "") == outcome(guard, "good")
        server.behaviour = "error_500"
        clock.now += 31
        assert (503, "introspection_unavailable") == outcome(guard, "good")


def test_absent_claims_apply_to_answers_alone(server: IntrospectionServer) -> None:
    """Answers need no iss and aud where the setting says so; what is there is compared, and JWTs need theirs."""
    introspection = server.settings(ABSENT_CLAIMS=["iss", "aud"])
    server.tokens |= {
        "bare": active(iss=None, aud=None),
        "other": active(iss="https://attacker.test", aud=None),
        "another": active(iss=None, aud="another"),
    }
    with Guard(settings(server, INTROSPECTION=introspection)) as guard:
        assert (200, "") == outcome(guard, "bare")
        assert (401, "issuer") == outcome(guard, "other")
        assert (401, "audience") == outcome(guard, "another")
        for absent in ("iss", "aud"):
            claims = {name: value for name, value in active(jti="1").items() if name not in (absent, "active")}
            assert 401 == outcome(guard, sign(claims, KEY, typ="at+jwt"))[0]


def test_an_issuer_of_opaque_tokens_needs_no_keys(server: IntrospectionServer) -> None:
    """Without ALGORITHMS and keys every JWT is refused, whoever signed it."""
    with Guard(settings(server, ALGORITHMS=None, JWKS=None)) as guard:
        assert (200, "") == outcome(guard, "good")
        assert (401, "algorithm") == outcome(guard, jwt())
        assert guard.ready().ready


def test_the_ceiling_and_clients_apply(server: IntrospectionServer) -> None:
    """CEILING bounds what an answer confers, and CLIENTS says whose tokens are accepted."""
    server.tokens["other"] = active(client_id="other")
    with Guard(settings(server, CEILING=["orders:read"], CLIENTS=["web"])) as guard:
        assert (403, "insufficient_scope") == outcome(guard, "good")
        assert (401, "client_not_accepted") == outcome(guard, "other")


def test_wildcards_of_an_answer_confer_nothing(server: IntrospectionServer, guard: Guard) -> None:
    """As in a JWT of another issuer, a pattern in a scope is no pattern."""
    server.tokens["star"] = active(scope="orders:*")
    assert 403 == outcome(guard, "star")[0]


def test_a_profile_says_what_marks_an_access_token(server: IntrospectionServer) -> None:
    """Keycloak's answers have its `typ` and its roles; the answer about a refresh token is refused."""
    policy = {"version": 1, "permissions": {}, "roles": {"clerk": {"grants": ["orders:*"], "from": ["realm:clerk"]}}}
    server.tokens["good"] = active(scope=None, typ="Bearer", realm_access={"roles": ["clerk"]})
    server.tokens["refresh"] = active(typ="Refresh", realm_access={"roles": ["clerk"]})
    with Guard(settings(server, PROFILE="keycloak", POLICY=policy)) as guard:
        assert (200, "") == outcome(guard, "good")
        assert (401, "not_access_token") == outcome(guard, "refresh")


def test_revocations_apply(server: IntrospectionServer) -> None:
    """A revoked subject is refused, cached or not; and an answer without `iat` counts as issued before."""
    store = MemoryStore()
    server.tokens |= {"undated": active(iat=None), "later": active(sub="bob")}
    introspection = server.settings(ABSENT_CLAIMS=["iat"])
    with Guard(settings(server, STORE=store, INTROSPECTION=introspection)) as guard:
        assert {(200, "")} == {outcome(guard, name) for name in ("good", "undated", "later")}
        revocation = RevocationEntry(id="1", of="subject", issuer=ISSUER, name="alice", before=time.time() - 5)
        store.revoke([revocation], at=time.time())
        assert guard._runtime is not None
        guard._runtime.revocations.poll()
        assert (401, "revoked") == outcome(guard, "good")
        assert (401, "revoked") == outcome(guard, "undated")
        assert (200, "") == outcome(guard, "later")
        server.tokens["forever"] = active(iat=None, exp=int(time.time()) + 90_000)
        assert (401, "lifetime") == outcome(guard, "forever")


def test_a_forked_child_asks_for_itself(server: IntrospectionServer, guard: Guard) -> None:
    """A child that was forked while a request was open does not wait for its parent's request."""
    server.delays["good"] = 1
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(outcome, guard, "good")
        assert eventually(lambda: len(server.asked) == 1)
        pid = os.fork()
        if pid == 0:  # pragma: no cover - another process
            try:
                os._exit(0 if outcome(guard, "good") == (200, "") else 1)
            finally:
                os._exit(2)
        assert 0 == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert (200, "") == future.result()
    assert 2 == len(server.asked)


def test_no_thread_can_start(server: IntrospectionServer, guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system starts no thread, the answer is 503, and the next request tries again."""

    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert (503, "introspection_unavailable") == outcome(guard, "good")
    assert (200, "") == outcome(guard, "good")


def test_nothing_secret_is_shown(server: IntrospectionServer, caplog: pytest.LogCaptureFixture) -> None:
    """Neither logs nor representations show a token, the secret or the query of the address."""
    caplog.set_level(logging.DEBUG)
    introspection = server.settings(URL=f"{server.url}?key=hidden")
    read = Settings.from_mapping(settings(server, INTROSPECTION=introspection))
    server.behaviour = "error_500"
    with Guard(read) as guard:
        for number in range(5):
            assert 503 == outcome(guard, f"opaquetoken{number}")[0]
        shown = f"{read!r} {read.issuers!r} {guard.verifier!r} {guard.verifier._endpoint!r} {caplog.text}"  # type: ignore[attr-defined]  # of the subclass
    shown += repr(_Request(b"token=opaquetoken", {"Authorization": SECRET}))
    for secret in (SECRET, "hidden", "opaquetoken"):
        assert secret not in shown
    assert server.origin in caplog.text


FAULTS: list[tuple[object, str]] = [
    ("on", "INTROSPECTION']: is a mapping"),
    ({"CLIENT": "a", "SECRET": "b"}, "URL is missing or empty"),
    ({"URL": "http://login.example.com/i", "CLIENT": "a", "SECRET": "b"}, "URL is an http address"),
    ({"URL": "https://login.example.com/i", "SECRET": "b"}, "CLIENT is missing or empty"),
    ({"URL": "https://login.example.com/i", "CLIENT": "a"}, "exactly one of SECRET and KEY"),
    ({"URL": "https://login.example.com/i", "CLIENT": "a", "SECRET": "b", "KEY": KEY}, "exactly one of SECRET and KEY"),
    ({"URL": "https://login.example.com/i", "CLIENT": "a", "KEY": {"kty": "EC"}}, "KEY: the signing key is not"),
    (
        {"URL": "https://login.example.com/i", "CLIENT": "a", "KEY": SigningKey.generate("HS256")},
        "is a shared secret",
    ),
    ({"URL": "https://login.example.com/i", "CLIENT": "a", "SECRET": "b", "TTL": 301}, "TTL is a number of seconds"),
    ({"URL": "https://login.example.com/i", "CLIENT": "a", "SECRET": "b", "TTL": 0}, "TTL is at least 1"),
    (
        {"URL": "https://login.example.com/i", "CLIENT": "a", "SECRET": "b", "ABSENT_CLAIMS": ["exp"]},
        "'exp' cannot be absent",
    ),
    ({"URI": "https://login.example.com/i"}, "unknown key 'URI'; did you mean 'URL'?"),
]


@pytest.mark.parametrize(("value", "fault"), FAULTS)
def test_faults_of_the_setting(server: IntrospectionServer, value: object, fault: str) -> None:
    """Each fault is found at start, and no message shows the secret."""
    with pytest.raises(ConfigurationError) as raised:
        Settings.from_mapping(settings(server, INTROSPECTION=value))
    assert fault in str(raised.value)


def test_who_cannot_have_the_setting(server: IntrospectionServer) -> None:
    """An issuer of our own has JWTs; and with two endpoints a token would be shown to the wrong one."""
    with pytest.raises(ConfigurationError, match="this issuer is OWN"):
        Settings.from_mapping(settings(server, OWN=True))
    entry = settings(server, CEILING=["orders:*"])
    other = {**entry, "ISSUER": "https://other.example"}
    with pytest.raises(ConfigurationError, match="a and b have it"):
        Settings.from_mapping({"ISSUERS": {"a": entry, "b": other}})
    one = {name: value for name, value in other.items() if name != "INTROSPECTION"}
    with Guard({"ISSUERS": {"b": one, "a": entry}}) as guard:
        assert (200, "") == outcome(guard, "good")


def test_the_setting_from_the_environment(server: IntrospectionServer) -> None:
    """The variables go one level down, so that the secret comes from the environment."""
    read = Settings.from_env(
        {
            "JWT_LP_ISSUER": ISSUER,
            "JWT_LP_AUDIENCE": AUDIENCE,
            "JWT_LP_INTROSPECTION__URL": server.url,
            "JWT_LP_INTROSPECTION__CLIENT": CLIENT,
            "JWT_LP_INTROSPECTION__SECRET": SECRET,
            "JWT_LP_INTROSPECTION__TTL": "5",
        }
    )
    with Guard(read) as guard:
        assert (200, "") == outcome(guard, "good")
    assert (CLIENT, SECRET) == server.asked[0].basic


def test_an_empty_setting_is_none(server: IntrospectionServer) -> None:
    """Without the setting an opaque token is malformed."""
    values: tuple[object, ...] = (None, {}, "")
    for empty in values:
        with Guard({**settings(server), "INTROSPECTION": empty}) as guard:
            assert (401, "malformed") == outcome(guard, "good")
    assert [] == server.asked


def test_an_opaque_token_in_a_cookie(server: IntrospectionServer) -> None:
    """The cookie may hold an opaque token, and an unsafe request still needs its proof."""
    with Guard(settings(server, COOKIE=True)) as guard:

        def status(method: str, *more: tuple[str, str]) -> int:
            fields = {"cookie": ("__Host-access=good",), **{name: (value,) for name, value in more}}
            call = Call(method, lambda: "https://api.test/orders", lambda name: fields.get(name.lower(), ()), "view")
            refusal = guard.check([], LIST, {}, f"{method} /orders", call=call).refusal
            return 200 if refusal is None else refusal.status

        assert 200 == status("GET")
        assert 403 == status("POST")
        assert 200 == status("POST", ("x-csrf-token", csrf_token("good")))


@pytest.mark.parametrize(("token", "error"), [("bad", InvalidToken), ("odd", IntrospectionUnavailable)])
def test_no_frame_shows_the_token(server: IntrospectionServer, token: str, error: type[Exception]) -> None:
    """A traceback with local variables, as error trackers make it, shows neither token nor secret nor answer."""
    name = f"{token}-opaquetoken"
    server.tokens |= {"bad-opaquetoken": active(aud="x", email="alice@hidden"), "odd-opaquetoken": "alice@hidden"}
    with Guard(settings(server)) as guard:
        with pytest.raises(error) as raised:
            guard.verifier.verify(name)
        shown = "".join(traceback.TracebackException.from_exception(raised.value, capture_locals=True).format())
    ours = shown.partition("verification.py")[2]
    assert ours
    for secret in (name, SECRET, "hidden"):
        assert secret not in ours
