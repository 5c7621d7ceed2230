"""Configured keys, published keys, and which callers wait for a fetch."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from clock import Clock
from import_tracing import imports_of_thread
from jwks_server import KeyServer, b64, ec_jwk, eventually, fresh, okp_jwk, rsa_jwk
from jwt_lp._support.worker import Worker
from jwt_lp.errors import ConfigurationError, KeysPending, KeysUnavailable
from jwt_lp.jose.jwks import KeySet, read_published_jwks
from jwt_lp.jose.remote_jwks import SKEW, FetchTimings, JwksKeys, KeysStatus, StaticKeys
from jwt_lp.jose.single_flight import ABANDON_AFTER, Flight, SingleFlight

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jwt_lp.jose.jwk import VerificationKey

forks = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
OCT = {"kty": "oct", "alg": "HS256", "k": b64(bytes(range(32)))}
PATIENCE = 0.3
HASTY = FetchTimings(wait_timeout=PATIENCE)


@pytest.fixture
def clock() -> Clock:
    return Clock(5000.0)


@pytest.fixture
def server() -> Iterator[KeyServer]:
    with KeyServer(fresh("a")) as server:
        yield server


def keys_of(server: KeyServer, clock: Clock, **more: Any) -> JwksKeys:
    return JwksKeys(server.url, **{"algorithms": ["ES256"], "clock": clock, **more})


@pytest.fixture
def keys(server: KeyServer, clock: Clock) -> JwksKeys:
    return keys_of(server, clock)


@pytest.fixture
def short_wait_keys(server: KeyServer, clock: Clock) -> JwksKeys:
    return keys_of(server, clock, timings=HASTY)


def kids(keys: tuple[VerificationKey, ...]) -> list[str | None]:
    return [key.kid for key in keys]


def outcome(keys: JwksKeys, kid: str | None, *, wait: bool = True, age: float = 0.0) -> object:
    """Return the result of find(): the kids, or the error's code."""
    try:
        return kids(keys.find(kid, "ES256", wait=wait, age=age))
    except (KeysUnavailable, KeysPending) as error:
        return error.code


def waiting(keys: JwksKeys, number: int) -> bool:
    """Return whether so many callers wait for the current fetch."""
    flight = keys._single_flight.get()._current
    return flight is not None and flight.waiters == number


def logged(caplog: pytest.LogCaptureFixture, lines: int) -> list[str]:
    """Wait for so many log lines of the key sources, which are written after the callers have their answers."""

    def messages() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.name == "jwt_lp.keys"]

    eventually(lambda: len(messages()) >= lines)
    return messages()


def timed(action: Callable[[], object]) -> tuple[object, float]:
    begun = time.monotonic()
    return action(), time.monotonic() - begun


def refreshed(keys: JwksKeys, server: KeyServer, requests: int) -> bool:
    """Wait until the server had so many requests and no fetch is running."""
    return eventually(lambda: len(server.paths) == requests and keys._single_flight.get()._current is None)


# --- configured keys


def faults(jwks: Any, algorithms: Any = None) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        StaticKeys.from_jwks(jwks, algorithms)
    return caught.value.faults


def test_configured_keys_are_found_by_name_and_algorithm() -> None:
    """A configured key is returned for its kid and algorithm only."""
    keys = StaticKeys.from_jwks({"keys": [fresh("a"), rsa_jwk(RSA, kid="b", alg="RS256")]})
    assert ["a"] == kids(keys.find("a", "ES256"))
    assert ["b"] == kids(keys.find("b", "RS256", wait=False))
    assert [(), (), (), ()] == [
        keys.find(*arguments) for arguments in [("a", "RS256"), ("b", "ES256"), ("c", "ES256"), ("a", "none")]
    ]


def test_a_single_jwk_is_a_set() -> None:
    """One JWK is read as a set of one; a key without kid serves tokens with any kid."""
    keys = StaticKeys.from_jwks(OCT)
    assert [None] == kids(keys.find("any", "HS256")) == kids(keys.find(None, "HS256"))
    assert () == keys.find("any", "HS512")
    assert () == StaticKeys.from_jwks(OCT | {"kid": "a"}).find("b", "HS256")


def test_a_token_without_kid_needs_exactly_one_key() -> None:
    """Without kid, the only key for the algorithm is returned; with two keys, none."""
    one = StaticKeys.from_jwks({"keys": [fresh("a"), rsa_jwk(RSA, kid="b", alg="RS256")]})
    two = StaticKeys.from_jwks({"keys": [fresh("a"), fresh("b")]})
    assert (["a"], []) == (kids(one.find(None, "ES256")), kids(two.find(None, "ES256")))


def test_edwards_keys_are_found_under_both_names() -> None:
    """An Ed25519 key is found for EdDSA and for Ed25519."""
    keys = StaticKeys.from_jwks(okp_jwk(ed25519.Ed25519PrivateKey.generate(), kid="a"), ["Ed25519"])
    assert [["a"], ["a"], []] == [kids(keys.find("a", name)) for name in ("EdDSA", "Ed25519", "Ed448")]


def test_a_configured_set_is_refused_with_every_fault() -> None:
    """The error names duplicate kids, mixed kinds and unusable keys."""
    jwks = {"keys": [fresh("a"), fresh("a"), OCT, rsa_jwk(RSA, kid="p", alg="RS256", d="AQAB"), "x"]}
    assert (
        "key 3 (kid 'p') holds private members: give the public half, and replace a key that was published",
        "key 4 is not a JSON object",
        "kid 'a' is used twice",
        "the key set mixes shared secrets with public keys: give them to two issuers",
    ) == faults(jwks)


@pytest.mark.parametrize(
    ("jwks", "fault"),
    [
        (None, "the key set is not a mapping"),
        ([fresh("a")], "the key set is not a mapping"),
        ({}, 'the key set has no list named "keys"'),
        ({"keys": {"a": fresh("a")}}, 'the key set has no list named "keys"'),
        ({"keys": "abc"}, 'the key set has no list named "keys"'),
        ({"keys": []}, "the key set has no key to verify signatures with"),
        ({"keys": [fresh("a", use="enc")]}, "the key set has no key to verify signatures with"),
        ({"keys": [{}] * 101}, "the key set has more than 100 keys"),
    ],
)
def test_a_set_without_a_usable_key_is_refused(jwks: Any, fault: str) -> None:
    """A document that is not a set, and a set without a usable key, are configuration errors."""
    assert (fault,) == faults(jwks)


def test_keys_for_encryption_are_skipped() -> None:
    """A configured key with use enc is no fault if another key can verify."""
    keys = StaticKeys.from_jwks({"keys": [fresh("e", use="enc"), fresh("a")]})
    assert (1, ["a"]) == (keys.status().keys, kids(keys.find(None, "ES256")))


def test_configured_algorithms_bind() -> None:
    """Unknown algorithms, an empty list and a single string are refused."""
    supported = (
        "ES256, ES384, ES512, Ed25519, Ed448, EdDSA, HS256, HS384, HS512, PS256, PS384, PS512, RS256, RS384, RS512"
    )
    assert (f"algorithm 'none' is unknown: one of {supported}", "key 0 fits none of the allowed algorithms") == faults(
        {"keys": [ec_jwk(EC)]}, ["none"]
    )
    assert "algorithms is empty: name those that the issuer signs with" == faults(fresh("a"), [])[0]
    assert "algorithms is one string: write a list" == faults(fresh("a"), "ES256")[0]


def test_configured_keys_need_nothing() -> None:
    """StaticKeys never changes, starts no work and is always loaded."""
    keys = StaticKeys.from_jwks(OCT)
    worker = Worker()
    keys.start(worker)
    assert (1, []) == (keys.generation, worker._jobs)
    assert KeysStatus(loaded=True, keys=1, age_seconds=None, last_error=None) == keys.status()
    assert "StaticKeys(KeySet(generation=1, keys=1))" == repr(keys)


# --- published keys: reading a set


def test_a_faulty_key_is_left_out_of_a_published_set() -> None:
    """Faulty keys of a published set are reported and left out; the others are used."""
    members: list[Any] = [
        *(
            None,
            {"kty": "oct"},
            OCT | {"kid": "s"},
            fresh("bad\x1b") | {"alg": ["ES256"]},
            fresh("n") | {"alg": "none"},
        ),
        *(rsa_jwk(RSA, kid="d", alg="RS256", d="AQAB"), fresh("e", use="enc"), fresh("good")),
    ]
    keys, problems = read_published_jwks({"keys": members}, ["ES256", "RS256"])
    assert ["good"] == kids(tuple(keys))
    assert (
        "key 0 is not a JSON object",
        "key 1 fits none of the allowed algorithms",
        "key 2 (kid 's') alg HS256 is not among the allowed algorithms",
        "key 3 (kid 'bad\\x1b') kid has a control character",
        "key 4 (kid 'n') alg is not a supported signature algorithm",
        "key 5 (kid 'd') holds private members: give the public half, and replace a key that was published",
    ) == problems


def test_a_published_key_that_two_algorithms_fit_is_skipped() -> None:
    """A published key without alg is used if one allowed algorithm fits, and skipped if two do."""
    document = {"keys": [rsa_jwk(RSA, kid="a")]}
    assert ([], ["a"]) == (
        read_published_jwks(document, ["RS256", "PS256"])[0],
        kids(tuple(read_published_jwks(document, ["RS256"])[0])),
    )


def test_a_single_jwk_is_no_published_set() -> None:
    """An issuer must publish a set; a single JWK in its place is a fault."""
    assert ([], ('the key set has no list named "keys"',)) == read_published_jwks(fresh("a"), ["ES256"])


def test_of_keys_with_one_name_three_are_tried() -> None:
    """For a kid that is used several times, at most three keys that fit are returned."""
    keys, _ = read_published_jwks({"keys": [fresh("a") for _ in range(5)]}, ["ES256"])
    assert 3 == len(KeySet.of(keys).find("a", "ES256"))


# --- published keys: who waits


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({}, "give either the key set's address or discovery"),
        (
            {"url": "https://a.example/", "issuer": "https://a.example", "discovery": True},
            "give either the key set's address or discovery",
        ),
        ({"discovery": True}, "discovery needs the issuer"),
        (
            {"url": "http://a.example/jwks?secret=1"},
            (
                "the address 'http://a.example/jwks' is an http address: "
                "use https (or name the host in ALLOW_HTTP_HOSTS, in development only)"
            ),
        ),
        (
            {"url": ""},
            (
                "the address '' is empty or has white space, control or non-ASCII characters "
                "(write host names in punycode)"
            ),
        ),
        ({"issuer": "a", "discovery": "https://a.example/#m"}, "the address 'https://a.example/#m' has a fragment"),
        (
            {"url": "https://a.example/", "algorithms": ["HS256"]},
            "algorithm HS256: a published key cannot be a shared secret",
        ),
        ({"url": "https://a.example/", "algorithms": []}, "algorithms is empty: name those that the issuer signs with"),
    ],
)
def test_faults_of_configuration_stop_the_start(arguments: dict[str, Any], fault: str) -> None:
    """JwksKeys is refused for neither or both addresses, a bad address, or bad algorithms."""
    with pytest.raises(ConfigurationError) as caught:
        JwksKeys(**{"algorithms": ["ES256"], **arguments})
    assert (fault,) == caught.value.faults


def test_nothing_is_fetched_before_it_is_needed(server: KeyServer, keys: JwksKeys) -> None:
    """A new source is empty, has generation 0, and has sent no request."""
    assert KeysStatus(loaded=False, keys=0, age_seconds=None, last_error=None) == keys.status()
    assert (0, []) == (keys.generation, server.paths)
    assert f"JwksKeys('{server.url}', generation=0)" == repr(keys)


def test_the_first_caller_waits_for_the_first_set(server: KeyServer, keys: JwksKeys, clock: Clock) -> None:
    """If no set was ever loaded, a caller waits for the fetch and gets its key."""
    assert ["a"] == outcome(keys, "a")
    clock.now += 7
    assert KeysStatus(loaded=True, keys=1, age_seconds=7.0, last_error=None) == keys.status()
    assert (1, ["/jwks"]) == (keys.generation, server.paths)


def test_the_worker_fetches_at_start_and_ahead_of_expiry(server: KeyServer, keys: JwksKeys, clock: Clock) -> None:
    """With a worker, the set is loaded at once and refreshed at four fifths of its age."""
    server.headers["Cache-Control"] = "max-age=1000"
    worker = Worker(clock=clock)
    keys.start(worker)
    worker.ensure_running()
    try:
        assert True is eventually(lambda: keys.status().loaded)
        for seconds, requests in ((799, 1), (1, 2)):
            clock.now += seconds
            worker.wake()
            time.sleep(0.03)
            assert True is refreshed(keys, server, requests)
    finally:
        worker.close()


@pytest.mark.parametrize(
    ("header", "age"),
    [("max-age=0", 60), ("no-store", 60), ("max-age=120", 120), ("max-age=999999999", 86400), ("", 600)],
)
def test_the_age_is_clamped(server: KeyServer, keys: JwksKeys, clock: Clock, header: str, age: float) -> None:
    """The refresh time is four fifths of the age, which counts as at least a minute and at most a day."""
    server.headers["Cache-Control"] = header
    assert ["a"] == outcome(keys, "a")
    assert pytest.approx(0.8 * age) == keys._refresh()


def test_the_worker_retries_after_the_cool_down(server: KeyServer, keys: JwksKeys, clock: Clock) -> None:
    """After a failed fetch, the worker tries again when the cool-down has passed."""
    server.behaviour = "error_500"
    assert 30.0 == keys._refresh()
    assert True is refreshed(keys, server, 1)
    clock.now += 29
    assert 1.0 == keys._refresh()
    clock.now += 1
    assert 30.0 == keys._refresh()
    assert True is refreshed(keys, server, 2)


def test_a_rotated_key_is_found_at_its_first_token(server: KeyServer, keys: JwksKeys, clock: Clock) -> None:
    """An unknown kid causes a fetch if the cool-down has passed, and the generation grows."""
    assert ["a"] == outcome(keys, "a")
    server.serve(fresh("b"))
    clock.now += 30
    assert ["b"] == outcome(keys, "b")
    assert ([], 2) == (outcome(keys, "a", age=60), keys.generation)


OLD = 60.0
"""The age of a token that is older than the sets of these tests."""


def test_a_key_that_came_inside_the_cool_down_is_not_unknown(server: KeyServer, keys: JwksKeys, clock: Clock) -> None:
    """A token that may be newer than the set is 503 until a fetch is allowed, and then its key is found."""
    assert ["a"] == outcome(keys, "a")
    server.serve(fresh("a"), fresh("b"))
    for passed, rest in ((0, 30.0), (12, 18.0), (17.5, 1.0)):
        clock.now += passed
        for wait in (True, False):
            with pytest.raises(KeysUnavailable, match="is unknown, and may be newer than the set") as caught:
                keys.find("b", "ES256", wait=wait)
            assert rest == caught.value.retry_after
    assert (["a"], 1) == (outcome(keys, "a"), len(server.paths))
    clock.now += 0.5
    assert (["b"], 2) == (outcome(keys, "b"), len(server.paths))


@pytest.mark.parametrize(
    ("set_age", "age", "answer"),
    [
        *((0, 0, "keys_unavailable"), (0, SKEW, "keys_unavailable"), (0, SKEW + 0.1, [])),
        *((20, 20, "keys_unavailable"), (20, 20 + SKEW, "keys_unavailable"), (20, 20.1 + SKEW, [])),
        *((20, -1e9, "keys_unavailable"), (20, 1e9, []), (20, math.inf, [])),
    ],
)
def test_a_key_is_unknown_if_the_set_is_newer_than_the_token(
    keys: JwksKeys, clock: Clock, set_age: float, age: float, answer: object
) -> None:
    """A set that was fetched after the token was signed decides, with a tolerance for clock differences."""
    outcome(keys, "a")
    clock.now += set_age
    assert [answer] * 2 == [outcome(keys, "x", age=age, wait=wait) for wait in (True, False)]


def test_a_known_kid_is_answered_from_the_set(server: KeyServer, keys: JwksKeys) -> None:
    """A known kid with another algorithm, and a missing kid, are answered from the set, however new the token is."""
    server.serve(fresh("a"), fresh("b"))
    keys = JwksKeys(server.url, algorithms=["ES256", "ES384"])
    outcome(keys, "a")
    assert ((), [], 1) == (keys.find("a", "ES384"), outcome(keys, None), len(server.paths))


def test_the_fetch_that_a_token_caused_decides_about_it(server: KeyServer, keys: JwksKeys, clock: Clock) -> None:
    """A caller that waited for a fetch started after its request is answered from the result."""
    outcome(keys, "a")
    clock.now += 30
    assert [] == outcome(keys, "x", age=-1e9)
    assert "keys_unavailable" == outcome(keys, "y")


@pytest.mark.parametrize("rotated_at", [1, 14, 29, 31, 59])
def test_made_up_kids_delay_a_new_key_by_at_most_one_cool_down(
    server: KeyServer, keys: JwksKeys, clock: Clock, rotated_at: int
) -> None:
    """However many made-up kids arrive, there is one fetch per cool-down, and the next one brings the key."""
    outcome(keys, "a")
    found_at = None
    for second in range(120):
        for number, age in enumerate((0.0, 1e9, -1e9, math.inf, 3.0)):
            outcome(keys, f"junk{second}-{number}", age=age, wait=number % 2 == 0)
        if second == rotated_at:
            server.serve(fresh("b"))
        if second >= rotated_at and found_at is None:
            answer = outcome(keys, "b", age=float(second - rotated_at))
            assert answer in (["b"], "keys_unavailable")
            found_at = second if answer == ["b"] else None
        clock.now += 1
    assert found_at is not None
    assert (True, 4) == (found_at - rotated_at <= 30, len(server.paths))


def test_a_caller_that_may_not_wait_retries_after_a_second(
    server: KeyServer, short_wait_keys: JwksKeys, clock: Clock
) -> None:
    """While a fetch runs with the maximum of waiters, an unknown kid is 503 with Retry-After 1."""
    outcome(short_wait_keys, "a")
    server.behaviour = "hang"
    clock.now += 30
    with ThreadPoolExecutor(5) as pool:
        for _ in range(5):
            pool.submit(outcome, short_wait_keys, "junk")
        assert True is eventually(partial(waiting, short_wait_keys, 5))
        for wait in (True, False):
            with pytest.raises(KeysUnavailable) as caught:
                short_wait_keys.find("b", "ES256", wait=wait)
            assert 1.0 == caught.value.retry_after
    server.open.set()


def test_in_an_outage_a_caller_is_told_when_the_next_attempt_is(
    server: KeyServer, keys: JwksKeys, clock: Clock
) -> None:
    """Before and after the first set, an unknown kid gets the seconds until a retry may help."""
    server.behaviour = "error_500"
    rests = []
    for behaviour, passed in (("error_500", 0), ("error_500", 7), ("ok", 23), ("error_500", 30), ("error_500", 10)):
        server.behaviour = behaviour
        clock.now += passed
        try:
            keys.find("a" if behaviour == "ok" else "x", "ES256")
        except KeysUnavailable as error:
            rests.append(error.retry_after)
    assert [30.0, 23.0, 30.0, 20.0] == rests
    assert ([], "keys_unavailable") == (outcome(keys, "x", age=OLD), outcome(keys, "x", wait=False))


def test_the_generation_changes_only_with_the_content(server: KeyServer, keys: JwksKeys, clock: Clock) -> None:
    """The same keys in another order or with other members have the same generation."""
    first, second = fresh("a"), fresh("b")
    seen = []
    for served in ([first, second], [second, first], [first | {"x5t": "z"}, second], [first], [first, second]):
        server.serve(*served)
        clock.now += 30
        outcome(keys, "unknown")
        seen.append(keys.generation)
    assert [1, 1, 1, 2, 3] == seen


def test_an_unknown_name_is_answered_at_once_within_the_cool_down(
    server: KeyServer, keys: JwksKeys, clock: Clock
) -> None:
    """Within 30 s of an attempt, an unknown kid is answered without a fetch; later with one."""
    outcome(keys, "a")
    assert [[]] * 50 == [outcome(keys, f"junk{n}", age=OLD) for n in range(50)]
    assert ["keys_unavailable"] * 50 == [outcome(keys, f"junk{n}") for n in range(50)]
    assert 1 == len(server.paths)
    clock.now += 30
    assert [[]] * 50 == [outcome(keys, f"junk{n}", age=OLD) for n in range(50)]
    assert 2 == len(server.paths)


def test_other_algorithms_and_missing_kids_never_cause_a_fetch(server: KeyServer, keys: JwksKeys, clock: Clock) -> None:
    """A disallowed algorithm, and with a loaded set a missing kid, cause no fetch."""
    assert [()] * 4 == [keys.find("x", name) for name in ("none", "HS256", "RS256", "EdDSA")]
    assert [] == server.paths
    outcome(keys, "a")
    clock.now += 100
    server.serve(fresh("a"), fresh("b"))
    assert ["a"] == outcome(keys, None)
    assert 1 == len(server.paths)


def test_a_known_name_never_waits(server: KeyServer, short_wait_keys: JwksKeys, clock: Clock) -> None:
    """While a fetch for an unknown kid hangs, known kids are answered at once and without a lock."""
    outcome(short_wait_keys, "a")
    server.behaviour = "hang"
    clock.now += 30
    waiter = threading.Thread(target=outcome, args=(short_wait_keys, "unknown"))
    waiter.start()
    assert True is eventually(lambda: len(server.paths) == 2)
    with short_wait_keys._single_flight.get()._lock:
        slowest = max(timed(lambda: outcome(short_wait_keys, "a"))[1] for _ in range(200))
    waiter.join()
    assert True is (slowest < PATIENCE)
    assert ["a"] == outcome(short_wait_keys, "a")


def test_made_up_kids_do_not_block_the_threads(server: KeyServer, short_wait_keys: JwksKeys, clock: Clock) -> None:
    """Of 200 requests with unknown kids, five wait for the hanging fetch, and the others are answered."""
    outcome(short_wait_keys, "a")
    server.behaviour = "hang"
    clock.now += 30
    with ThreadPoolExecutor(200) as pool:
        results = list(pool.map(lambda n: timed(lambda: outcome(short_wait_keys, f"junk{n}")), range(200)))
    waited = [answer for answer, seconds in results if seconds >= PATIENCE]
    assert ["keys_unavailable"] * 5 == waited
    assert [("keys_unavailable", True)] * 195 == [
        (answer, seconds < PATIENCE) for answer, seconds in results if seconds < PATIENCE
    ]
    assert 2 == len(server.paths)
    server.open.set()


def test_everybody_who_waits_gets_the_answer(server: KeyServer, keys: JwksKeys, clock: Clock) -> None:
    """All callers that wait for one fetch are answered from its result."""
    server.behaviour = "hang"
    with ThreadPoolExecutor(5) as pool:
        answers = [pool.submit(outcome, keys, "a") for _ in range(5)]
        assert True is eventually(partial(waiting, keys, 5))
        assert "keys_unavailable" == outcome(keys, "a")
        server.open.set()
        assert [["a"]] * 5 == [answer.result() for answer in answers]
    assert 1 == len(server.paths)


@pytest.mark.parametrize("error", [ValueError(), SystemExit(), KeyboardInterrupt()])
def test_a_fetch_that_ends_oddly_keeps_nobody_waiting(
    keys: JwksKeys, clock: Clock, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """However the thread of a fetch ends, the waiters are answered at once, and the next fetch brings the keys."""

    def fetch(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr("jwt_lp.jose.remote_jwks.fetch_json", fetch)
        answer, seconds = timed(lambda: outcome(keys, "a"))
    assert ("keys_unavailable", True) == (answer, seconds < 1)
    assert "the fetch ended unexpectedly" == keys.status().last_error
    clock.now += 30
    assert ["a"] == outcome(keys, "a")


def test_a_cold_start_in_an_outage_is_unavailable(server: KeyServer, keys: JwksKeys, clock: Clock) -> None:
    """If no set was ever loaded and the issuer is down, every answer is 503, with one attempt per cool-down."""
    server.behaviour = "error_500"
    assert ["keys_unavailable"] * 50 == [outcome(keys, "a") for _ in range(50)]
    assert 1 == len(server.paths)
    clock.now += 30
    server.behaviour = "ok"
    assert ["a"] == outcome(keys, "a")


def test_an_unknown_name_in_an_outage_is_unavailable(server: KeyServer, keys: JwksKeys, clock: Clock) -> None:
    """After a failed attempt an unknown kid is 503, a known one is served, and the cool-down holds."""
    outcome(keys, "a")
    server.behaviour = "error_500"
    clock.now += 30
    assert ["keys_unavailable"] * 50 == [outcome(keys, f"junk{n}") for n in range(50)]
    assert (["a"], 2) == (outcome(keys, "a"), len(server.paths))
    assert "OSError: answered 500" == keys.status().last_error


def test_the_last_good_set_is_served_until_it_is_too_old(server: KeyServer, keys: JwksKeys, clock: Clock) -> None:
    """During an outage the last good set is used for 24 h; then even known kids are 503 until a fetch succeeds."""
    outcome(keys, "a")
    server.behaviour = "error_500"
    clock.now += 24 * 3600
    assert ["a"] == outcome(keys, "a")
    assert True is refreshed(keys, server, 2)
    clock.now += 1
    with pytest.raises(KeysUnavailable) as caught:
        keys.find("a", "ES256")
    assert f"keys of {server.url}: the last good set is 86401 s old (OSError: answered 500)" == str(caught.value)
    assert "keys_unavailable" == outcome(keys, "a", wait=False)
    server.behaviour = "ok"
    clock.now += 30
    assert "keys_unavailable" == outcome(keys, "a")
    assert True is eventually(lambda: outcome(keys, "a") == ["a"])


def test_a_request_starts_an_overdue_refresh(server: KeyServer, short_wait_keys: JwksKeys, clock: Clock) -> None:
    """If a refresh is overdue, a request starts it without waiting, once per cool-down."""
    outcome(short_wait_keys, "a")
    server.behaviour = "hang"
    clock.now += 0.8 * 600 + 31
    answers = [timed(lambda: outcome(short_wait_keys, "a")) for _ in range(20)]
    assert [["a"]] * 20 == [answer for answer, _ in answers]
    assert True is (max(seconds for _, seconds in answers) < PATIENCE)
    assert True is eventually(lambda: len(server.paths) == 2)
    server.open.set()
    assert True is refreshed(short_wait_keys, server, 2)


def test_without_waiting_pending_says_where_waiting_would_help(server: KeyServer, keys: JwksKeys, clock: Clock) -> None:
    """With wait=False, KeysPending is raised where a caller would have waited; otherwise the answer is the same."""
    assert ("keys_pending", []) == (outcome(keys, "a", wait=False), server.paths)
    outcome(keys, "a")
    assert (["a"], []) == (outcome(keys, "a", wait=False), outcome(keys, "x", wait=False, age=OLD))
    clock.now += 30
    server.behaviour = "hang"
    assert "keys_pending" == outcome(keys, "x", wait=False)
    with ThreadPoolExecutor(5) as pool:
        for joined in range(1, 6):
            pool.submit(outcome, keys, "x")
            assert True is eventually(partial(waiting, keys, joined))
            answer = "keys_unavailable" if joined == 5 else "keys_pending"
            assert answer == outcome(keys, "x", wait=False)
        server.open.set()


def test_the_rule_holds_while_the_first_fetch_hangs(server: KeyServer, short_wait_keys: JwksKeys, clock: Clock) -> None:
    """Callers wait for a hanging first fetch up to the time limit, and no second fetch starts meanwhile."""
    server.behaviour = "hang"
    answer, seconds = timed(lambda: outcome(short_wait_keys, "a"))
    assert ("keys_unavailable", True) == (answer, PATIENCE <= seconds < PATIENCE + 0.5)
    clock.now += ABANDON_AFTER - 1
    assert "keys_unavailable" == outcome(short_wait_keys, "a")
    assert 1 == len(server.paths)
    server.open.set()


BAD_DOCUMENTS = [
    *("html", "empty", "not_utf8", "zipped", "deep", "array", "huge", "redirect", "reset", "short"),
    *("keys_of_wrong_type", "too_many_keys", "no_keys", "error_404", "drip_body", "no_http", "short_chunks"),
]


@pytest.mark.parametrize("behaviour", BAD_DOCUMENTS)
def test_a_bad_document_is_a_failed_fetch(server: KeyServer, clock: Clock, behaviour: str) -> None:
    """For a document without keys the answer is 503 before the first set; later the last good set stays."""
    timings = FetchTimings(deadline=0.5)
    warm, cold = keys_of(server, clock, timings=timings), keys_of(server, clock, timings=timings)
    outcome(warm, "a")
    server.behaviour = behaviour
    clock.now += 30
    assert ("keys_unavailable", "keys_unavailable") == (outcome(warm, "x"), outcome(cold, "a"))
    assert (["a"], 1, True) == (outcome(warm, "a"), warm.generation, bool(warm.status().last_error))
    server.behaviour = "ok"
    clock.now += 30
    assert (["a"], None) == (outcome(cold, "a"), cold.status().last_error)


def test_a_set_with_nothing_usable_keeps_the_last_good(
    server: KeyServer, keys: JwksKeys, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """A set of unusable keys counts as a failed fetch: it is logged, and the last good set stays."""
    outcome(keys, "a")
    server.serve(OCT, fresh("b") | {"alg": "none"})
    clock.now += 30
    assert "keys_unavailable" == outcome(keys, "b")
    assert ["a"] == outcome(keys, "a")
    expected = (
        "no usable key in the set: key 0 alg HS256 is not among the allowed algorithms; "
        "key 1 (kid 'b') alg is not a supported signature algorithm"
    )
    assert expected == keys.status().last_error
    line = f"keys of {server.url}: {expected}; the last good set stays in use, next try after the cool-down"
    assert [line] == logged(caplog, 1)


def test_a_set_for_encryption_alone_says_so(server: KeyServer, keys: JwksKeys) -> None:
    """The error of a set without signature keys says so."""
    server.serve(fresh("a", use="enc"))
    assert "keys_unavailable" == outcome(keys, "a")
    assert "no usable key in the set: none is for signatures" == keys.status().last_error


def test_changes_are_logged_once(
    server: KeyServer, keys: JwksKeys, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Faulty keys are logged when they appear and not again; a set that shrinks is a warning."""
    caplog.set_level(logging.INFO, "jwt_lp.keys")
    first, second = fresh("a"), fresh("b")
    bad = fresh("x\r\n\x1b[2J") | {"kid": "x\r\n\x1b[2J"}
    for lines, served in ((2, [first, second, bad]), (2, [first, second, bad]), (3, [first, second]), (5, [first])):
        server.serve(*served)
        clock.now += 30
        outcome(keys, "unknown")
        logged(caplog, lines)
    name = f"keys of {server.url}"
    reason = "key 2 (kid 'x\\r\\n\\x1b[2J') kid has a control character"
    shrunk = (
        "the set shrank from 2 keys to 1: tokens signed with the removed keys are refused now; "
        "verify that the issuer intended this"
    )
    assert [
        f"{name}: 2 usable, generation 1",
        f"{name}: {reason}; the other keys stay in use; ask the issuer to correct the set",
        f"{name}: 2 usable, generation 1",
        f"{name}: 1 usable, generation 2",
        f"{name}: {shrunk}",
    ] == logged(caplog, 5)


def test_a_cold_failure_says_what_follows(server: KeyServer, keys: JwksKeys, caplog: pytest.LogCaptureFixture) -> None:
    """A failed first fetch is logged with its consequence."""
    server.behaviour = "error_500"
    outcome(keys, "a")
    consequence = "tokens get 503 until a set is loaded, next try after the cool-down"
    assert [f"keys of {server.url}: OSError: answered 500; {consequence}"] == logged(caplog, 1)


def test_an_unexpected_exception_ends_the_fetch_as_failed(
    server: KeyServer, keys: JwksKeys, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug in a fetch releases the waiters, counts as a failure, and is logged."""

    def broken(_: object) -> object:
        raise ZeroDivisionError

    monkeypatch.setattr(keys, "_get", broken)
    assert ("keys_unavailable", "the fetch ended unexpectedly") == (outcome(keys, "a"), keys.status().last_error)
    assert True is eventually(lambda: any("ZeroDivisionError at " in message for message in caplog.messages))


def test_a_missing_thread_is_a_failed_attempt(
    server: KeyServer, keys: JwksKeys, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If no thread can be started, callers get 503 and the cool-down counts."""

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(Worker, "spawn", refuse)
        assert ("keys_unavailable", "no thread could be started for the fetch") == (
            outcome(keys, "a"),
            keys.status().last_error,
        )
    assert "keys_unavailable" == outcome(keys, "a")
    clock.now += 30
    assert ["a"] == outcome(keys, "a")


def test_an_abandoned_fetch_replaces_nothing(server: KeyServer, short_wait_keys: JwksKeys, clock: Clock) -> None:
    """An abandoned fetch that completes after its successor replaces nothing."""
    server.behaviour = "hang"
    assert "keys_unavailable" == outcome(short_wait_keys, "a")
    server.behaviour = "ok"
    server.serve(fresh("b"))
    clock.now += 30
    assert ["b"] == outcome(short_wait_keys, "b")
    server.serve(fresh("a"))
    server.open.set()
    assert True is eventually(lambda: short_wait_keys._single_flight.get()._in_flight == 0)
    assert ([], ["b"], 1) == (
        outcome(short_wait_keys, "a", age=OLD),
        outcome(short_wait_keys, "b"),
        short_wait_keys.generation,
    )


# --- bookkeeping of fetches


def test_a_late_answer_does_not_overwrite_a_newer_one(clock: Clock) -> None:
    """A fetch that completes after a later one changes nothing."""
    begun: list[Flight] = []
    stored: list[int] = []
    flights = SingleFlight(begun.append, cooldown=30, clock=clock)
    flights.trigger()
    clock.now += 30
    flights.trigger()
    assert [1, 2] == [flight.number for flight in begun]
    assert True is flights.complete(begun[1], None, lambda: stored.append(2))
    assert False is flights.complete(begun[0], "late", lambda: stored.append(1))
    assert ([2], None, True) == (stored, flights.error, begun[0].done.is_set())


@pytest.mark.parametrize("error", [ValueError(), SystemExit(), KeyboardInterrupt()])
def test_an_error_on_completion_releases_the_waiters(clock: Clock, error: BaseException) -> None:
    """If complete() raises, the waiters are released, and the next fetch may start."""
    begun: list[Flight] = []
    flights = SingleFlight(begun.append, cooldown=30, clock=clock)

    def take() -> None:
        raise error

    flights.trigger()
    with pytest.raises(type(error)):
        flights.complete(begun[0], None, take)
    clock.now += 30
    flights.trigger()
    assert (True, 2) == (begun[0].done.is_set(), len(begun))


def test_a_failure_keeps_the_set(clock: Clock) -> None:
    """A failed fetch is recorded and does not replace the set."""
    begun: list[Flight] = []
    stored: list[int] = []
    flights = SingleFlight(begun.append, cooldown=30, clock=clock)
    flights.trigger()
    assert (True, "down") == (flights.complete(begun[0], "down", lambda: stored.append(1)), flights.error)
    assert [] == stored


def test_at_most_three_fetches_run_at_once(clock: Clock) -> None:
    """Fetches that never complete are abandoned for new ones, at most three at a time."""
    begun: list[Flight] = []
    flights = SingleFlight(begun.append, cooldown=30, clock=clock)
    for _ in range(10):
        flights.trigger()
        clock.now += 30
    assert 3 == len(begun)
    assert None is flights.join(wait=True)
    assert None is flights.join(wait=False)
    flights.complete(begun[0], "late", lambda: None)
    assert 4 == getattr(flights.join(wait=True), "number", None)


def test_trigger_never_waits(clock: Clock) -> None:
    """trigger() returns if another thread holds the lock, and starts nothing while a fetch runs."""
    begun: list[Flight] = []
    flights = SingleFlight(begun.append, cooldown=1, clock=clock)
    with flights._lock:
        flights.trigger()
    assert 0 == len(begun)
    for _ in range(3):
        flights.trigger()
        clock.now += 5
    assert 1 == len(begun)


# --- discovery


@pytest.fixture
def discovering(server: KeyServer, clock: Clock) -> JwksKeys:
    server.behaviour = "error_404"
    return JwksKeys(issuer=f"{server.origin}/t", discovery=True, algorithms=["ES256"], clock=clock)


def metadata(server: KeyServer, place: str) -> dict[str, object]:
    return {"issuer": f"{server.origin}/t", "jwks_uri": f"{server.origin}/{place}"}


OPENID, OAUTH = "/t/.well-known/openid-configuration", "/.well-known/oauth-authorization-server/t"


def test_keys_are_discovered(server: KeyServer, discovering: JwksKeys, clock: Clock) -> None:
    """The issuer's OpenID metadata gives the address of the keys, which is cached while it works."""
    server.routes = {OPENID: metadata(server, "k1"), "/k1": "ok"}
    assert ["a"] == outcome(discovering, "a")
    clock.now += 30
    assert [] == outcome(discovering, "x")
    assert [OPENID, "/k1", "/k1"] == server.paths


def test_oauth_metadata_is_the_second_try(server: KeyServer, discovering: JwksKeys) -> None:
    """If there is no OpenID metadata, RFC 8414's address is tried."""
    server.routes = {OAUTH: metadata(server, "k1"), "/k1": "ok"}
    assert ["a"] == outcome(discovering, "a")
    assert [OPENID, OAUTH, "/k1"] == server.paths


def test_the_address_is_read_anew_after_a_failure(server: KeyServer, discovering: JwksKeys, clock: Clock) -> None:
    """An address that stops working is discovered again at the next attempt."""
    server.routes = {OPENID: metadata(server, "k1"), "/k1": "ok"}
    outcome(discovering, "a")
    server.routes = {OPENID: metadata(server, "k2"), "/k2": {"keys": [fresh("b")]}}
    clock.now += 30
    assert "keys_unavailable" == outcome(discovering, "b")
    clock.now += 30
    assert ["b"] == outcome(discovering, "b")
    assert [OPENID, "/k1", "/k1", OPENID, "/k2"] == server.paths


def test_metadata_of_another_issuer_gives_no_keys(server: KeyServer, discovering: JwksKeys) -> None:
    """Metadata that names another issuer is refused, and its keys are never fetched."""
    server.routes = {OPENID: metadata(server, "k1") | {"issuer": f"{server.origin}/T"}, "/k1": "ok"}
    assert "keys_unavailable" == outcome(discovering, "a")
    assert [OPENID, OAUTH] == server.paths
    assert (
        f"no metadata: {OPENID}: its issuer is not exactly the configured one; {OAUTH}: OSError: answered 404"
    ) == discovering.status().last_error


def test_a_configured_metadata_address(server: KeyServer, clock: Clock) -> None:
    """A configured metadata address is the only one that is requested."""
    keys = JwksKeys(issuer="urn:us", discovery=f"{server.origin}/m", algorithms=["ES256"], clock=clock)
    server.routes = {"/m": {"issuer": "urn:us", "jwks_uri": server.url}}
    assert (["a"], ["/m", "/jwks"]) == (outcome(keys, "a"), server.paths)


# --- fork


def in_child(action: Callable[[], bool]) -> bool:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if action() else 2
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@forks
def test_a_forked_child_keeps_the_set_and_fetches_for_itself(
    server: KeyServer, short_wait_keys: JwksKeys, clock: Clock
) -> None:
    """The snapshot is usable after a fork, and neither a held lock nor a running fetch blocks the child."""
    outcome(short_wait_keys, "a")
    server.behaviour = "hang"
    clock.now += 30
    waiter = threading.Thread(target=outcome, args=(short_wait_keys, "x"))
    waiter.start()
    assert True is eventually(lambda: len(server.paths) == 2)
    server.behaviour = "ok"
    server.serve(fresh("a"), fresh("b"))
    with short_wait_keys._single_flight.get()._lock:
        assert True is in_child(
            lambda: outcome(short_wait_keys, "a") == ["a"] and outcome(short_wait_keys, "b") == ["b"]
        )
    waiter.join()
    assert 1 == short_wait_keys.generation
    server.open.set()


@forks
def test_a_forked_child_renews_with_its_own_worker(server: KeyServer, keys: JwksKeys, clock: Clock) -> None:
    """A worker started in the child fetches what the parent had not loaded."""
    worker = Worker(clock=clock)
    keys.start(worker)

    def child() -> bool:
        worker.ensure_running()
        return eventually(lambda: keys.status().loaded)

    assert True is in_child(child)
    assert (False, 1) == (keys.status().loaded, len(server.paths))


def test_a_fetch_imports_nothing_beside_the_request(server: KeyServer) -> None:
    """All imports happen before the fetch thread starts; a child forked during an import would hang forever."""
    prepare = """
from jwt_lp._support.worker import Worker
from jwt_lp.jose.remote_jwks import JwksKeys

keys = JwksKeys(sys.argv[1], algorithms=["ES256"])
keys.start(Worker())
"""
    # By host name, because resolving it uses an encoding that is imported lazily.
    url = server.url.replace("127.0.0.1", "localhost")
    assert [[], []] == imports_of_thread(
        prepare, "keys.find('a', 'ES256'); assert keys.status().loaded, keys.status()", url
    )
