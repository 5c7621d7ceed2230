"""Decisions, refusals and log lines of the guard."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from jwks_server import KeyServer
from jwt_lp import (
    AUTHENTICATED,
    IDENTIFIED,
    PUBLIC,
    Call,
    ConfigurationError,
    Guard,
    Requirement,
    Settings,
    all_of,
    any_of,
    external,
)
from jwt_lp.guard.development_key import development_key
from jwt_lp.guard.routes import Route
from jwt_lp.jose import jws
from jwt_lp.jose.signing import SigningKey, sign
from jwt_lp.testing.authority import AUDIENCE, ISSUER, Authority
from jwt_lp.tokens import verification

ROUTE = "GET /orders/{order_id}"
NOW = datetime(2027, 1, 15, 12, tzinfo=UTC).timestamp()


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def authority(clock: Clock) -> Authority:
    return Authority(clock=clock)


@pytest.fixture
def guard(authority: Authority) -> Guard:
    return authority.guard()


def bearer(authority: Authority, *permissions: str, **more: Any) -> str:
    return authority.headers(permissions=permissions, **more)["Authorization"]


def call(peer: str | None = "127.0.0.1", **headers: str) -> Call:
    lines = {name.replace("_", "-"): (value,) for name, value in headers.items()}
    return Call("GET", lambda: "http://localhost/", lambda name: lines.get(name.lower(), ()), "app.view", peer)


def test_a_decision_that_passes(authority: Authority, guard: Guard) -> None:
    """A decision that passes has the token, the grant that satisfied it and the route, and no refusal."""
    decision = guard.check(bearer(authority, "orders:7:read"), all_of("orders:{order_id}:read"), {"order_id": 7}, ROUTE)
    assert (None, None, False, True) == (decision.refusal, decision.observed, decision.pending, decision.passes)
    assert ("alice", ["orders:7:read"], (), ROUTE, {}) == (
        decision.token.subject if decision.token else None,
        [str(grant) for grant in decision.used],
        decision.missing,
        decision.route,
        decision.headers,
    )


def test_a_refusal_says_what_is_missing(authority: Authority, guard: Guard) -> None:
    """A 403 names the missing permissions and the requirement, with its scope where that is literal."""
    decision = guard.check(bearer(authority), all_of("orders:list", "orders:export"), {}, "GET /orders")
    refusal = decision.refusal
    assert refusal is not None
    assert (403, "insufficient_scope", "orders:list orders:export") == (refusal.status, refusal.error, refusal.scope)
    assert ("orders:list", "orders:export") == decision.missing
    assert "orders:list & orders:export" == json.loads(refusal.body)["requirement"]
    assert refusal.headers == decision.headers


@pytest.mark.parametrize(
    ("requirement", "params", "expected"),
    [
        pytest.param(None, {}, 403, id="undeclared"),
        pytest.param(AUTHENTICATED, {}, None, id="authenticated"),
        pytest.param(PUBLIC, {}, None, id="public"),
        pytest.param(external("a proxy"), {}, None, id="external"),
        pytest.param(any_of("nope", "orders:7:read"), {}, None, id="second alternative"),
        pytest.param(all_of("orders:{nothing}:read"), {"order_id": 7}, 403, id="unknown name"),
        pytest.param(all_of("orders:{order_id}:read"), {"order_id": 7.0}, 403, id="a float as value"),
        pytest.param(all_of("orders:{order_id}:read"), {"order_id": 10**5000}, 403, id="a huge number as value"),
        pytest.param(all_of("orders:{order_id}:read"), {"order_id": None}, 403, id="null as value"),
        pytest.param(all_of(AUTHENTICATED, where={"who": "sub"}), {"who": "alice"}, None, id="binding equal"),
        pytest.param(all_of(AUTHENTICATED, where={"who": "sub"}), {"who": "bob"}, 403, id="binding differs"),
        pytest.param(all_of(AUTHENTICATED, where={"who": "sub"}), {}, 403, id="binding without parameter"),
    ],
)
def test_requirements(
    authority: Authority,
    guard: Guard,
    requirement: Requirement | None,
    params: Mapping[str, object],
    expected: int | None,
) -> None:
    """Every kind of requirement is decided without an exception."""
    decision = guard.check(bearer(authority, "orders:7:read"), requirement, params, ROUTE)
    assert expected == (decision.refusal.status if decision.refusal else None)


def test_no_scope_where_the_declaration_is_at_fault(authority: Authority, guard: Guard, caplog: Any) -> None:
    """A template that the route cannot fill gives a 403 without scope, logged as an error of the application."""
    decision = guard.check(bearer(authority), all_of("orders:{nothing}:read"), {}, ROUTE)
    assert (None, "declaration") == (decision.refusal.scope if decision.refusal else "", events(caplog)[-1]["cause"])
    assert logging.ERROR == caplog.records[-1].levelno


@pytest.mark.parametrize(
    ("expected", "path", "show"),
    [
        pytest.param("orders:7:read", "/orders/7", True, id="sent"),
        pytest.param(None, "/orders/8", True, id="another value than was sent"),
        pytest.param(None, "", True, id="a path that is not known"),
        pytest.param(None, "/orders/7", False, id="nothing is shown"),
    ],
)
def test_the_scope_names_what_the_client_sent(
    authority: Authority, expected: str | None, path: str, show: bool
) -> None:
    """`scope` has a parameter that is in the request's path; without a call, or for any other value, there is none."""
    guard = authority.guard(SHOW_REQUIREMENT=show)
    ask = partial(guard.check, bearer(authority), all_of("orders:{order_id}:read"), {"order_id": 7}, ROUTE)
    for answer, this_call in ((expected, call()._replace(path=path)), (None, None)):
        refusal = ask(call=this_call).refusal
        assert refusal is not None
        assert answer == refusal.scope
        assert ("orders:7" in str(refusal.headers)) is (answer is not None)


def events(caplog: Any) -> list[dict[str, Any]]:
    return [record.jwt_lp for record in caplog.records if hasattr(record, "jwt_lp")]


def test_the_log_says_the_cause_and_nothing_of_the_token(authority: Authority, guard: Guard, caplog: Any) -> None:
    """A refusal is logged with cause, remedy and reference, and with only the fingerprint of the token."""
    token = authority.token(claims={"aud": "account"})
    decision = guard.check(f"Bearer {token}", all_of("a"), {}, ROUTE)
    event = events(caplog)[-1]
    assert ("audience", decision.refusal.reference if decision.refusal else "") == (event["cause"], event["reference"])
    assert AUDIENCE in event["detail"]
    assert not any(part in caplog.text for part in token.split("."))
    assert 12 == len(event["token"])


def test_a_log_line_stays_a_line(guard: Guard, caplog: Any) -> None:
    """Control characters of a client's credential are escaped in the log."""
    guard.check("Bearer \x1b[31m\u2028x\x00", all_of("a"), {}, "GET /x\r\n")
    assert [] == [char for char in caplog.records[-1].getMessage() if not 32 <= ord(char) < 127]


def test_authorize_checks_the_expiry_each_time(authority: Authority, guard: Guard, clock: Clock) -> None:
    """A token kept by a websocket is refused once it has expired."""
    token = guard.authenticate(bearer(authority, "a", lifetime=60)).token
    assert token is not None
    assert guard.authorize(token, all_of("a"), {}, ROUTE).passes
    clock.now += 60
    late = guard.authorize(token, all_of("a"), {}, ROUTE)
    assert (401, "invalid_token") == (late.refusal.status, late.refusal.error) if late.refusal else None
    assert False is guard.can(token, all_of("a"))


def test_a_probe_is_silent(authority: Authority, guard: Guard, caplog: Any) -> None:
    """`can` answers True or False, logs nothing, and is False without a token."""
    token = guard.authenticate(bearer(authority, "a:1")).token
    caplog.clear()
    assert [True, False, True, False] == [
        guard.can(token, all_of("a:1")),
        guard.can(token, all_of("b")),
        guard.can(token, all_of("a:{x}"), {"x": 1}),
        guard.can(None, all_of("a:1")),
    ]
    quiet = guard.authorize(token, all_of("b"), {}, ROUTE, record=False) if token else None
    assert (403, []) == (quiet.refusal.status if quiet and quiet.refusal else None, events(caplog))


def test_authenticate_alone(authority: Authority, guard: Guard) -> None:
    """`authenticate` gives a token or a refusal without a requirement."""
    assert "alice" == getattr(guard.authenticate(bearer(authority)).token, "subject", None)
    assert [401, 401, 400] == [
        getattr(guard.authenticate(header).refusal, "status", None) for header in (None, "Bearer x", ["a", "b"])
    ]


def test_identify_attaches_a_valid_token_and_ignores_any_other(authority: Authority, guard: Guard) -> None:
    """`public(identify=True)` passes whatever credential was sent."""
    subjects = [
        getattr(guard.check(header, IDENTIFIED, {}, ROUTE).token, "subject", None)
        for header in (bearer(authority), bearer(authority, lifetime=-1), None, ["Bearer a", "Bearer b"])
    ]
    assert ["alice", None, None, None] == subjects


def test_public_never_reads_the_credential(authority: Authority, guard: Guard) -> None:
    """On a public route even a valid token is ignored."""
    assert None is guard.check(bearer(authority), PUBLIC, {}, ROUTE).token


def test_the_requirement_can_be_hidden(authority: Authority) -> None:
    """With SHOW_REQUIREMENT off, the client receives neither scope nor requirement."""
    decision = authority.guard(SHOW_REQUIREMENT=False).check(bearer(authority), all_of("a"), {}, ROUTE)
    assert decision.refusal is not None
    assert (None, False) == (decision.refusal.scope, "requirement" in decision.refusal.problem)


def test_bind_applies_to_every_route_with_the_parameter(authority: Authority) -> None:
    """BIND applies to every route with the parameter, unless the declaration opts out by name."""
    guard = authority.guard(BIND={"tenant_id": ["org", "id"]})
    header = bearer(authority, "a", claims={"org": {"id": 7}})

    def status(requirement: Requirement, **params: object) -> int | None:
        decision = guard.check(header, requirement, params, ROUTE)
        return decision.refusal.status if decision.refusal else None

    assert [None, 403, 403, None, None, None, None] == [
        status(all_of("a"), tenant_id="7"),
        status(all_of("a"), tenant_id="8"),
        status(any_of("nope", "a"), tenant_id="8"),
        status(all_of("a", unbound=["tenant_id"]), tenant_id="8"),
        status(any_of("nope", all_of("a", unbound=["tenant_id"])), tenant_id="8"),
        status(all_of("a"), other="8"),
        status(PUBLIC, tenant_id="8"),
    ]


# --- observe mode


def observing(authority: Authority, clock: Clock, **more: object) -> Guard:
    day = datetime.fromtimestamp(clock.now, UTC).date()
    settings = Settings.from_mapping(authority.settings(OBSERVE_UNTIL=day + timedelta(days=5), **more), today=day)
    return Guard(settings, clock=clock)


def test_observe_mode_lets_refusals_pass(authority: Authority, clock: Clock, caplog: Any) -> None:
    """In observe mode the refusal is in `observed` and in the log, and the request passes."""
    guard = observing(authority, clock)
    good, bad = bearer(authority), bearer(authority, lifetime=-1)
    results = [
        guard.check(header, requirement, {}, ROUTE)
        for header, requirement in (
            (good, all_of("a")),
            (good, None),
            (bad, all_of("a")),
            (None, all_of("a")),
            (["a", "b"], None),
        )
    ]
    assert [True] * 5 == [decision.passes for decision in results]
    assert [403, 403, 401, 401, 400] == [
        decision.observed.status if decision.observed else None for decision in results
    ]
    assert ["alice", "alice", None, None, None] == [getattr(decision.token, "subject", None) for decision in results]
    assert [()] * 5 == [decision.used for decision in results]
    assert 5 == sum(event["event"] == "observed" for event in events(caplog))


def test_authenticate_is_not_observed(authority: Authority, clock: Clock) -> None:
    """`authenticate` refuses a bad token even in observe mode."""
    decision = observing(authority, clock).authenticate(bearer(authority, lifetime=-1))
    assert (401, None) == (decision.refusal.status if decision.refusal else None, decision.observed)


def test_observe_ends_by_the_clock(authority: Authority, clock: Clock) -> None:
    """The last day is observed and the next one enforced, without a restart."""
    guard = observing(authority, clock)
    clock.now = datetime(2027, 1, 20, 23, 59, tzinfo=UTC).timestamp()
    assert guard.check(None, all_of("a"), {}, ROUTE).passes
    assert "2027-01-20" == guard.ready().observing_until
    clock.now = datetime(2027, 1, 21, 0, 0, tzinfo=UTC).timestamp()
    assert not guard.check(None, all_of("a"), {}, ROUTE).passes
    assert None is guard.ready().observing_until


@pytest.mark.parametrize(
    "requirement",
    [all_of("a", enforce=True), all_of("b", all_of("a", enforce=True)), any_of(all_of("a", enforce=True), "b")],
    ids=str,
)
def test_enforced_requirements_are_never_only_observed(
    authority: Authority, clock: Clock, requirement: Requirement
) -> None:
    """`enforce=True` refuses even in observe mode."""
    assert not observing(authority, clock).check(bearer(authority), requirement, {}, ROUTE).passes


def test_observe_mode_is_logged_at_start(authority: Authority, clock: Clock, caplog: Any) -> None:
    """A guard in observe mode logs a warning when it is created."""
    observing(authority, clock)
    assert [("observing", logging.WARNING)] == [(events(caplog)[0]["event"], caplog.records[0].levelno)]


# --- development keys


@pytest.fixture
def development(
    authority: Authority, clock: Clock, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> tuple[Guard, str]:
    """A guard in development, and the header of a development token."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JWT_LP_DEV", "1")
    guard = authority.guard()
    body = {
        "iss": ISSUER, "aud": AUDIENCE, "sub": "dev", "client_id": "dev", "jti": "1", "iat": NOW, "exp": NOW + 60,
        "scope": "a",
    }  # fmt: skip
    return guard, "Bearer " + sign(body, development_key())


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        pytest.param(call(), None, id="loopback"),
        pytest.param(call("::1"), None, id="loopback, version 6"),
        pytest.param(None, 401, id="no call"),
        pytest.param(call(None), 401, id="no peer"),
        pytest.param(call(""), 401, id="a unix socket"),
        pytest.param(call("192.0.2.1"), 401, id="another machine"),
        pytest.param(call(x_forwarded_for="192.0.2.1"), 401, id="forwarded"),
        pytest.param(call(forwarded="for=192.0.2.1"), 401, id="forwarded, RFC 7239"),
        pytest.param(call(via="1.1 proxy"), 401, id="through a proxy"),
    ],
)
def test_a_development_token_is_for_this_machine(
    development: tuple[Guard, str], where: Call | None, expected: int | None
) -> None:
    """A development token is accepted from a loopback peer without a forwarding header, cached or not."""
    guard, header = development
    for _ in range(2):
        decision = guard.check(header, all_of("a"), {}, ROUTE, call=where)
        assert expected == (decision.refusal.status if decision.refusal else None)


def test_without_development_its_key_is_unknown(
    development: tuple[Guard, str], authority: Authority, monkeypatch: Any
) -> None:
    """Without JWT_LP_DEV the same token is refused like any bad token."""
    monkeypatch.delenv("JWT_LP_DEV")
    decision = authority.guard().check(development[1], all_of("a"), {}, ROUTE, call=call())
    assert 401 == (decision.refusal.status if decision.refusal else None)


@pytest.mark.parametrize(
    ("keys", "status", "cause"),
    [
        pytest.param({"ALGORITHMS": ["RS256"]}, 401, "algorithm", id="another algorithm"),
        pytest.param({}, 401, "unknown_key", id="the same algorithm"),
        pytest.param({"JWKS": None, "JWKS_URL": "https://127.0.0.1:9/keys"}, 503, "keys_unavailable", id="no key set"),
    ],
)
def test_the_log_names_a_development_token_that_is_not_accepted(
    development: tuple[Guard, str],
    authority: Authority,
    clock: Clock,
    monkeypatch: Any,
    caplog: Any,
    keys: Mapping[str, object],
    status: int,
    cause: str,
) -> None:
    """Without JWT_LP_DEV the log says that it is a development token. The client gets the answer to any bad token."""
    monkeypatch.delenv("JWT_LP_DEV")
    settings = {**authority.settings(), **keys}
    if "ALGORITHMS" in keys:
        settings["JWKS"] = {"keys": [SigningKey.generate("RS256").public_jwk()]}
    _, _, signature = development[1].rpartition(".")
    other = sign({"iss": ISSUER, "iat": NOW}, SigningKey.generate("ES256", kid="other"))
    with Guard(settings, clock=clock, reference=lambda: "r") as guard:
        refusals = [guard.check(each, all_of("a"), {}, ROUTE).refusal for each in (development[1], f"Bearer {other}")]
    named, plain = [event for event in events(caplog) if event["event"] == "refused"]
    assert refusals[0] == refusals[1]
    assert status == (refusals[0].status if refusals[0] else None)
    assert (cause, cause) == (named["cause"], plain["cause"])
    assert named["detail"].endswith(
        "; this is a development token: set JWT_LP_DEV=1 where the service runs, on the developer's machine"
    )
    assert "development" not in plain["detail"]
    assert signature not in caplog.text


# --- life


def test_a_context_manager(authority: Authority) -> None:
    """A guard closes with its context, and still decides with the keys that it has."""
    with authority.guard() as guard:
        assert guard.ready().ready
    assert guard.check(bearer(authority, "a"), all_of("a"), {}, ROUTE).passes


def test_faults_of_settings_stop_the_start() -> None:
    """A guard cannot be created from faulty settings."""
    with pytest.raises(ConfigurationError):
        Guard({"ISSUER": "x"})


def test_bindings_name_their_issuer(authority: Authority) -> None:
    """With several issuers, a binding that names no issuer or an unknown one is a fault."""
    one = {key: value for key, value in authority.settings(CEILING=["**"]).items() if key != "POLICY"}
    guard = Guard({"ISSUERS": {"A": one, "B": {**one, "ISSUER": "https://b.test"}}})
    faults = [
        len(guard.faults(all_of(AUTHENTICATED, where={"u": path}))) for path in ("sub", {"a": "sub"}, {"c": "sub"})
    ]
    assert [1, 0, 1] == faults


def test_threads_share_a_guard(authority: Authority, guard: Guard) -> None:
    """Concurrent decisions of different subjects are never mixed up."""
    headers = {name: bearer(authority, f"own:{name}", subject=name) for name in (f"u{n}" for n in range(20))}
    wrong: list[str] = []

    def ask(name: str) -> None:
        for _ in range(50):
            decision = guard.check(headers[name], all_of("own:{who}"), {"who": name}, ROUTE)
            if not decision.passes or decision.token is None or decision.token.subject != name:
                wrong.append(name)

    threads = [threading.Thread(target=ask, args=(name,)) for name in headers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [] == wrong


MEGABYTE = 1_000_000


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        pytest.param("Bearer " + "A" * MEGABYTE, (401, "too_large"), id="letters"),
        pytest.param("Bearer " + "." * MEGABYTE, (401, "too_large"), id="dots"),
        pytest.param("Bearer " + "a," * MEGABYTE, (401, "too_large"), id="commas"),
        pytest.param("Bearer " + " " * MEGABYTE, (401, "too_large"), id="blanks"),
        pytest.param("Bearer " + "é" * MEGABYTE, (401, "too_large"), id="not ASCII"),
        pytest.param("Bearer " + "\ud800" * MEGABYTE, (401, "too_large"), id="surrogates"),
        pytest.param("Bearer" + "\t" * MEGABYTE, (400, "malformed_header"), id="tabs for the blank"),
        pytest.param("Basic " + "A" * MEGABYTE, (401, "no_credential"), id="Basic"),
        pytest.param("DPoP " + "A" * MEGABYTE, (401, "no_credential"), id="DPoP"),
        pytest.param("A" * MEGABYTE, (401, "no_credential"), id="no scheme"),
        pytest.param(" " * MEGABYTE, (401, "no_credential"), id="nothing else"),
    ],
)
def test_a_megabyte_is_refused_unread(
    guard: Guard, monkeypatch: pytest.MonkeyPatch, caplog: Any, line: str, answer: tuple[int, str]
) -> None:
    """A huge token is not hashed, decoded or parsed, neither for the decision nor for the log."""
    caplog.set_level(logging.INFO, "jwt_lp")
    monkeypatch.setattr(verification, "sha256", None)
    for name in ("hashlib", "binascii", "_DECODER"):
        monkeypatch.setattr(jws, name, None)
    refusal = guard.check([line], all_of("a"), {}, ROUTE).refusal
    (event,) = [each for each in events(caplog) if "cause" in each]
    assert answer == (refusal.status if refusal else None, event["cause"])
    assert "token" not in event


# --- keys over HTTP


def fetching(authority: Authority, server: KeyServer) -> Guard:
    settings = {name: value for name, value in authority.settings().items() if name != "JWKS"}
    return Guard({**settings, "JWKS_URL": server.url})


def test_keys_are_fetched() -> None:
    """A guard fetches its issuer's keys itself, and is ready when it has them."""
    authority = Authority()
    with KeyServer(authority.key.public_jwk()) as server, fetching(authority, server) as guard:
        assert guard.check(bearer(authority, "a"), all_of("a"), {}, ROUTE).passes
        assert (True, 1) == (guard.ready().ready, guard.ready().keys["default"].keys)


@pytest.mark.parametrize("requirement", [all_of("a"), None, IDENTIFIED], ids=str)
def test_nothing_blocks_that_may_not_wait(requirement: Requirement | None) -> None:
    """With `wait=False` a decision that needs a fetch is pending: it has neither passed nor been refused."""
    authority = Authority()
    with KeyServer(authority.key.public_jwk()) as server:
        server.behaviour = "hang"
        with fetching(authority, server) as guard:
            decision = guard.check(bearer(authority, "a"), requirement, {}, ROUTE, wait=False)
            assert (True, None, False) == (decision.pending, decision.refusal, decision.passes)
            assert guard.authenticate(bearer(authority), wait=False).pending
            undecided = guard.refuse_pending(requirement, ROUTE).refusal
            assert (503, None) == (undecided.status, undecided.error) if undecided else None


def answered(guard: Guard, token: str, *, wait: bool = True) -> tuple[int, int | None]:
    """The status, and the seconds of Retry-After."""
    refusal = guard.check(f"Bearer {token}", all_of("a"), {}, ROUTE, wait=wait).refusal
    if refusal is None:
        return 200, None
    after = refusal.headers.get("Retry-After")
    return refusal.status, None if after is None else int(after)


def test_a_key_that_was_rotated_in_refuses_nobody() -> None:
    """During the cool-down a token with a new key gets 503; one issued before the key set was fetched gets 401."""
    authority = Authority()
    with KeyServer(authority.key.public_jwk()) as server, fetching(authority, server) as guard:
        assert (200, None) == answered(guard, authority.token(permissions=["a"]))
        authority.rotate()
        server.serve(authority.key.public_jwk())
        now = int(time.time())
        for wait in (True, False):
            status, after = answered(guard, authority.token(permissions=["a"]), wait=wait)
            assert (503, True) == (status, after is not None and 20 <= after <= 30)
            assert (401, None) == answered(guard, authority.token(claims={"iat": now - 60}), wait=wait)
            # Without a date of issue it is no good whatever its key.
            for date in (None, "1", True, -1, [now]):
                assert (401, None) == answered(guard, authority.token(claims={"iat": date}), wait=wait)
        assert 1 == len(server.paths)


@pytest.mark.parametrize(("leeway", "status"), [(0, 401), (20, 503)])
def test_leeway_counts_in_favour_of_a_new_key(leeway: int, status: int) -> None:
    """A token issued shortly before the fetch may have a new key, because the issuer's clock may be behind."""
    authority = Authority()
    with KeyServer(authority.key.public_jwk()) as server:
        settings = {name: value for name, value in authority.settings(LEEWAY=leeway).items() if name != "JWKS"}
        with Guard({**settings, "JWKS_URL": server.url}) as guard:
            assert (200, None) == answered(guard, authority.token(permissions=["a"]))
            authority.rotate()
            assert status == answered(guard, authority.token(claims={"iat": int(time.time()) - 15}))[0]


def test_an_issuer_that_hangs_is_no_verdict() -> None:
    """Without keys a token gets 503 with Retry-After and no error code, within the two seconds of waiting."""
    authority = Authority()
    with KeyServer(authority.key.public_jwk()) as server:
        server.behaviour = "hang"
        with fetching(authority, server) as guard:
            begun = time.monotonic()
            refusal = guard.check(bearer(authority, "a"), all_of("a"), {}, ROUTE).refusal
            assert 4 > time.monotonic() - begun
            assert (
                (503, None, True) == (refusal.status, refusal.error, "Retry-After" in refusal.headers)
                if refusal
                else None
            )
            assert not guard.ready().ready


# --- declarations


def test_check_routes_logs_each_undeclared_route_once(guard: Guard, caplog: Any) -> None:
    """Undeclared routes are logged with the line that declares them; faults are returned."""
    open_route = Route(("GET",), "/open", "app.open", hint='@requires("open:read")')
    broken = Route(("GET",), "/x/{a}", "app.x", all_of("x:{b}"), parameters=frozenset({"a"}))
    for _ in range(2):
        assert 1 == len(guard.check_routes([open_route, broken]))
    logged = [event for event in events(caplog) if event["event"] == "undeclared"]
    assert [("jwt_lp.W001", "GET /open", '@requires("open:read")')] == [
        (event["id"], event["route"], event["hint"]) for event in logged
    ]


def test_the_log_says_where_a_ceiling_cut(authority: Authority, caplog: Any) -> None:
    """A granted permission that a ceiling blocks is named in the log, with the remedy."""
    authority.guard(CEILING=["b"]).check(bearer(authority, "a"), all_of("a"), {}, ROUTE)
    assert "it is granted a, which a ceiling blocks: " in events(caplog)[-1]["detail"]
