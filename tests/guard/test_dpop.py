"""The setting `DPOP`: the proofs of tokens that are bound to a key, and every attack on them that we know."""

from __future__ import annotations

import base64
import json
import os
import threading
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any

import pytest

from clock import Clock
from jwt_lp import (
    AUTHENTICATED,
    IDENTIFIED,
    Call,
    ConfigurationError,
    Decision,
    DecisionMemo,
    Guard,
    Refusal,
    all_of,
)
from jwt_lp.errors import InvalidToken
from jwt_lp.guard.bearer import MALFORMED, NONE, TOKEN, parse_dpop
from jwt_lp.guard.replay_memory import PER_SECOND, ReplayMemory
from jwt_lp.jose.jwk import PROOF_ALGORITHMS, UnusableKey, public_thumbprint
from jwt_lp.jose.jws import MAX_TOKEN
from jwt_lp.jose.signing import SigningKey
from jwt_lp.testing import Authority, DpopKey
from jwt_lp.tokens.dpop import MAX_PROOF, ProofContext, verify_proof

NOW = 1_800_000_000.0
URL = "https://api.test/orders"
LIST = all_of("orders:list")
ROUTE = "GET /orders"


class World:
    """A guard with `DPOP`, a clock, and a client with its key and a token that is bound to it."""

    def __init__(self, **changes: Any) -> None:
        self.clock = Clock(NOW)
        self.authority = Authority(clock=self.clock)
        self.key = DpopKey(clock=self.clock)
        self.token = self.bound_token(self.key)
        self.guard = self.authority.guard(**{"DPOP": True, **changes})

    def bound_token(self, key: DpopKey, **more: Any) -> str:
        return self.authority.token(permissions=["orders:list"], claims=key.claims, **more)

    def ask(
        self,
        proofs: str | Sequence[str],
        authorization: str | Sequence[str] | None = None,
        *,
        method: str = "GET",
        url: str = URL,
        memo: DecisionMemo | None = None,
        **more: Any,
    ) -> Decision:
        lines = (proofs,) if isinstance(proofs, str) else tuple(proofs)
        call = make_call(lines, method=method, url=url, memo=memo, **more)
        header = f"DPoP {self.token}" if authorization is None else authorization
        return self.guard.check(header, LIST, {}, ROUTE, call=call)

    def proof(self, **claims: Any) -> str:
        return self.key.proof("GET", URL, self.token, claims=claims)


def make_call(
    proofs: Sequence[str], *, method: str = "GET", url: str = URL, memo: DecisionMemo | None = None, cookie: str = ""
) -> Call:
    fields = {"dpop": tuple(proofs), "cookie": (cookie,) if cookie else ()}
    return Call(method, lambda: url, lambda name: fields.get(name, ()), "shop.orders", memo=memo)


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    with made.guard:
        yield made


def refusal_of(decision: Decision) -> Refusal:
    assert decision.refusal is not None
    return decision.refusal


def outcome(decision: Decision) -> tuple[int, str | None, str]:
    refusal = decision.refusal
    return (200, None, "") if refusal is None else (int(refusal.status), refusal.error, refusal.code)


def proof_fault(cause: str) -> tuple[int, str, str]:
    return 401, "invalid_dpop_proof", cause


def crafted(header: dict[str, Any] | None, payload: dict[str, Any] | bytes, key: SigningKey) -> str:
    """A proof with exactly these parts, signed by `key` with its own algorithm."""
    real = key.sign_compact(
        payload if isinstance(payload, bytes) else json.dumps(payload).encode(), typ="dpop+jwt", embedded_key=True
    )
    if header is None:
        return real
    head, body, signature = real.split(".")
    merged = {**json.loads(base64.urlsafe_b64decode(head + "==")), **header}
    return f"{encoded({name: value for name, value in merged.items() if value is not ...})}.{body}.{signature}"


def encoded(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


# RFC 9449, sections 4.1 and 7.1: the proof and the token of the RFC's own requests.
RFC_KEY = {
    "kty": "EC",
    "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
    "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
    "crv": "P-256",
}
RFC_TOKEN = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
RFC_PROOF = (
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6Ik"
    "VDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCR"
    "nMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JE"
    "QSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIj"
    "oiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0Z"
    "WRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNF"
    "c05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71E"
    "OptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
)
RFC_URL = "https://resource.example.org/protectedresource"
RFC_THUMBPRINT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"


def rfc_context(**changes: Any) -> ProofContext:
    return ProofContext("GET", RFC_URL, RFC_TOKEN, RFC_THUMBPRINT, 60.0, 0.0)._replace(**changes)


def test_the_proof_of_rfc_9449() -> None:
    """The key of the RFC has its `jkt`, and the proof of section 7.1 is good for the token that it was made for."""
    assert RFC_THUMBPRINT == public_thumbprint(RFC_KEY)
    assert 32 == len(verify_proof(RFC_PROOF, rfc_context(), 1562262618.0))


@pytest.mark.parametrize(
    ("changes", "now", "cause"),
    [
        ({"method": "POST"}, 0, "dpop_method"),
        ({"url": RFC_URL + "/"}, 0, "dpop_url"),
        ({"token": RFC_TOKEN + "x"}, 0, "dpop_token"),
        ({"thumbprint": RFC_THUMBPRINT.lower()}, 0, "dpop_key"),
        ({}, 61, "dpop_time"),
        ({}, -6, "dpop_time"),
    ],
)
def test_the_proof_of_rfc_9449_for_something_else(changes: dict[str, Any], now: float, cause: str) -> None:
    """The same proof is refused for another method, URL, token, key or time."""
    with pytest.raises(InvalidToken) as caught:
        verify_proof(RFC_PROOF, rfc_context(**changes), 1562262618.0 + now)
    assert cause == caught.value.cause


def test_the_thumbprint_of_rfc_7638() -> None:
    """The example of RFC 7638, section 3.1."""
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjh"
        "Mstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvR"
        "L5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDK"
        "gw"
    )
    jwk = {"kty": "RSA", "n": modulus, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}
    assert "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs" == public_thumbprint(jwk)


@pytest.mark.parametrize("jwk", [None, {}, {"kty": "oct", "k": "AAAA"}, {**RFC_KEY, "d": "AA"}, {**RFC_KEY, "x": 1}])
def test_no_thumbprint_of_what_is_no_public_key(jwk: Any) -> None:
    """Secrets, private keys and other values have none."""
    with pytest.raises(UnusableKey):
        public_thumbprint(jwk)


@pytest.mark.parametrize("algorithm", PROOF_ALGORITHMS)
def test_a_good_proof_of_each_algorithm(world: World, algorithm: str) -> None:
    """A token that is bound to a key passes with a proof of that key, and the scheme is read in any case."""
    world.key = DpopKey(algorithm, clock=world.clock)
    world.token = world.bound_token(world.key)
    assert (200, None, "") == outcome(world.ask(world.proof()))
    assert (200, None, "") == outcome(world.ask(world.proof(), f"dpop {world.token}"))


@pytest.mark.parametrize("url", [f"{URL}?a=1#b", "HTTPS://API.test:443/orders", "https://api.test/%6Frders"])
def test_the_same_address_written_in_another_way(world: World, url: str) -> None:
    """Query and fragment do not count, and addresses are compared in their normal form (RFC 3986)."""
    assert 200 == outcome(world.ask(world.proof(), url=url))[0]
    assert 200 == outcome(world.ask(world.proof(htu=url)))[0]


def test_a_replayed_proof(world: World) -> None:
    """A proof is good for one request; the same identifier in another proof of that key is not good either."""
    proof = world.proof(jti="once")
    assert [(200, None, ""), proof_fault("dpop_replayed")] == [outcome(world.ask(proof)) for _ in range(2)]
    assert proof_fault("dpop_replayed") == outcome(world.ask(world.proof(jti="once", iat=NOW - 1)))
    other = DpopKey(clock=world.clock)
    token = world.bound_token(other)
    proof = other.proof("GET", URL, token, claims={"jti": "once"})
    assert 200 == outcome(world.ask(proof, f"DPoP {token}"))[0]


def test_a_replayed_proof_at_the_same_moment(world: World) -> None:
    """Of many requests with one proof at the same time, one passes."""
    proof, barrier, outcomes = world.proof(), threading.Barrier(8), []

    def send() -> None:
        barrier.wait()
        outcomes.append(outcome(world.ask(proof))[0])

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [200, *[401] * 7] == sorted(outcomes)


def test_a_replayed_proof_is_known_as_long_as_it_is_new_enough() -> None:
    """A proof from a clock ahead is refused again until it is too old, with the leeway of both sides."""
    world = World(LEEWAY=20)
    with world.guard:
        steady = Clock(0.0)
        memory = world.guard._authenticator._proofs = ReplayMemory(60 + 2 * 20 + 5 + 1, steady)  # type: ignore[attr-defined]
        proof = world.proof(iat=NOW + 25)
        seen = []
        for _ in range(130):
            seen.append(outcome(world.ask(proof))[2])
            world.clock.now += 1
            steady.now += 1
        assert ["", *["dpop_replayed"] * 105, *["dpop_time"] * 24] == seen
        assert 1 == len(memory)


def test_another_method(world: World) -> None:
    """A proof for GET is not one for DELETE, and the method is compared as it is written."""
    assert proof_fault("dpop_method") == outcome(world.ask(world.proof(), method="DELETE"))
    assert proof_fault("dpop_method") == outcome(world.ask(world.proof(htm="get")))


@pytest.mark.parametrize(
    "htu",
    [
        "https://api.test/orders/7", "http://api.test/orders", "https://api.test.evil.test/orders", "/orders", "",
        "https://api.test:8443/orders", "https://api.test@evil.test/orders", "https://api.test/orders ", 7, None,
        "https://api.test/ORDERS", "javascript://api.test/orders", "https://api.test/%2541orders",
    ],
)  # fmt: skip
def test_another_url(world: World, htu: object) -> None:
    """A proof for another address is refused."""
    assert proof_fault("dpop_url") == outcome(world.ask(world.proof(htu=htu)))


def test_a_host_that_does_not_know_its_address(world: World) -> None:
    """Without an address nothing is accepted, also not a proof without one."""
    assert proof_fault("dpop_url") == outcome(world.ask(world.proof(htu=None), url=""))
    assert proof_fault("dpop_url") == outcome(world.ask(world.proof(htu=""), url=""))


def test_another_token(world: World) -> None:
    """A proof for another token of the same key is refused, and so is one without `ath`."""
    other = world.bound_token(world.key, subject="bob")
    assert proof_fault("dpop_token") == outcome(world.ask(world.key.proof("GET", URL, other)))
    assert proof_fault("dpop_token") == outcome(world.ask(world.proof(ath=None)))
    assert proof_fault("dpop_token") == outcome(world.ask(world.proof(ath=sha256(world.token.encode()).hexdigest())))


def test_another_key(world: World) -> None:
    """The proof of a thief, with a key of its own, is refused, also if it names the right key."""
    thief = DpopKey(clock=world.clock)
    assert proof_fault("dpop_key") == outcome(world.ask(thief.proof("GET", URL, world.token)))
    payload = json.loads(base64.urlsafe_b64decode(world.proof().split(".")[1] + "=="))
    forged = crafted({"jwk": world.key.key.public_jwk()}, payload, thief.key)
    assert proof_fault("dpop_signature") == outcome(world.ask(forged))


def test_a_tampered_proof(world: World) -> None:
    """The claims cannot be changed after they were signed."""
    proof = world.proof(iat=NOW - 100)
    head, body, signature = proof.split(".")
    payload = json.loads(base64.urlsafe_b64decode(body + "=="))
    assert proof_fault("dpop_signature") == outcome(world.ask(f"{head}.{encoded({**payload, 'iat': NOW})}.{signature}"))
    assert proof_fault("dpop_malformed") == outcome(world.ask(f"{head}.{body}."))


@pytest.mark.parametrize("alg", ["HS256", "none", "None", "ES256K", "Ed448", "", "es256"])
def test_an_algorithm_that_is_not_accepted(world: World, alg: str) -> None:
    """Symmetric algorithms, `none` and unknown ones are refused, whatever the key."""
    payload = json.loads(base64.urlsafe_b64decode(world.proof().split(".")[1] + "=="))
    assert proof_fault("dpop_malformed") == outcome(world.ask(crafted({"alg": alg}, payload, world.key.key)))


@pytest.mark.parametrize("alg", ["ES384", "RS256", "EdDSA"])
def test_an_algorithm_of_another_key(world: World, alg: str) -> None:
    """The algorithm has to fit the key."""
    payload = json.loads(base64.urlsafe_b64decode(world.proof().split(".")[1] + "=="))
    assert proof_fault("dpop_malformed") == outcome(world.ask(crafted({"alg": alg}, payload, world.key.key)))


def test_a_symmetric_key_in_the_proof(world: World) -> None:
    """A shared secret in the header verifies nothing."""
    jwk = {"kty": "oct", "k": "A" * 43, "alg": "HS256"}
    assert proof_fault("dpop_malformed") == outcome(world.ask(crafted({"jwk": jwk}, {}, world.key.key)))
    with pytest.raises(ConfigurationError):
        SigningKey.generate("HS256").sign_compact(b"{}", typ="dpop+jwt", embedded_key=True)


def test_a_private_key_in_the_proof(world: World) -> None:
    """A client that shows its private key is refused, and the key is not logged."""
    payload = json.loads(base64.urlsafe_b64decode(world.proof().split(".")[1] + "=="))
    proof = crafted({"jwk": world.key.key.private_jwk()}, payload, world.key.key)
    assert proof_fault("dpop_malformed") == outcome(world.ask(proof))


@pytest.mark.parametrize("algorithm", ["RS256", "PS256"])
def test_a_weak_key(world: World, algorithm: str) -> None:
    """A token that is bound to a weak key is not usable: the strength is that of an issuer's keys."""
    jwk = {"kty": "RSA", "n": "v" * 170 + "E", "e": "AQAB"}
    world.token = world.authority.token(permissions=["orders:list"], claims={"cnf": {"jkt": public_thumbprint(jwk)}})
    payload = json.loads(base64.urlsafe_b64decode(world.proof().split(".")[1] + "=="))
    proof = crafted({"alg": algorithm, "jwk": jwk}, payload, world.key.key)
    assert proof_fault("dpop_malformed") == outcome(world.ask(proof))


@pytest.mark.parametrize(
    "header",
    [{"jwk": ...}, {"jwk": "text"}, {"jwk": {}}, {"x5c": ["A"]}, {"jku": "https://a.test"}, {"crit": ["x"], "x": 1},
     {"typ": "JWT"}, {"typ": "at+jwt"}, {"typ": ...}, {"typ": 1}, {"alg": ...}, {"alg": 5}],
    ids=str,
)  # fmt: skip
def test_a_header_of_another_kind(world: World, header: dict[str, Any]) -> None:
    """The header has the type, an algorithm and one key, and no other source of keys."""
    payload = json.loads(base64.urlsafe_b64decode(world.proof().split(".")[1] + "=="))
    assert proof_fault("dpop_malformed") == outcome(world.ask(crafted(header, payload, world.key.key)))


@pytest.mark.parametrize(
    "claims",
    [{"jti": None}, {"jti": ""}, {"jti": "x" * 257}, {"jti": 7}, {"iat": None}, {"iat": "1"}, {"iat": True},
     {"iat": -1}, {"iat": 1e300}],
    ids=str,
)  # fmt: skip
def test_claims_of_another_shape(world: World, claims: dict[str, Any]) -> None:
    """`jti` is bounded text, and `iat` is a date."""
    assert proof_fault("dpop_malformed") == outcome(world.ask(world.proof(**claims)))


@pytest.mark.parametrize("payload", [b"", b"[]", b"\xff", b'{"jti":"a","jti":"b"}'])
def test_a_payload_that_is_no_object(world: World, payload: bytes) -> None:
    """The payload is read as strictly as that of a token."""
    assert proof_fault("dpop_malformed") == outcome(world.ask(crafted(None, payload, world.key.key)))


@pytest.mark.parametrize(("seconds", "good"), [(60, True), (61, False), (-5, True), (-6, False)])
def test_a_stale_or_future_proof(world: World, seconds: float, good: bool) -> None:
    """A proof is 60 seconds old at most, and 5 seconds ahead at most."""
    expected = (200, None, "") if good else proof_fault("dpop_time")
    assert expected == outcome(world.ask(world.proof(iat=NOW - seconds)))


def test_the_age_of_the_settings() -> None:
    """`DPOP_MAX_AGE` sets the age, and `LEEWAY` widens both ends."""
    world = World(DPOP_MAX_AGE=10, LEEWAY=2)
    with world.guard:
        ages = (12, 13, -7, -8)
        assert [200, 401, 200, 401] == [outcome(world.ask(world.proof(iat=NOW - age)))[0] for age in ages]


@pytest.mark.parametrize("size", [MAX_PROOF + 1, 10**6])
def test_a_huge_proof(world: World, size: int) -> None:
    """A proof that is too long is neither hashed nor parsed."""
    assert proof_fault("dpop_malformed") == outcome(world.ask("A" * size))


@pytest.mark.parametrize("count", [0, 2])
def test_no_proof_and_two_proofs(world: World, count: int) -> None:
    """Exactly one header field has the proof; WSGI servers join two by a comma."""
    proofs = [world.proof() for _ in range(count)]
    assert proof_fault("dpop_missing") == outcome(world.ask(proofs))
    assert proof_fault("dpop_missing") == outcome(world.ask(",".join(proofs) or []))
    decision = world.guard.check(f"DPoP {world.token}", LIST, {}, ROUTE)
    assert proof_fault("dpop_missing") == outcome(decision)


def test_a_proof_as_access_token(world: World) -> None:
    """A proof is no access token, with either scheme."""
    proof = world.proof()
    for scheme in ("Bearer", "DPoP"):
        assert (401, "invalid_token", "header") == outcome(world.ask(world.proof(), f"{scheme} {proof}"))


def test_an_access_token_as_proof(world: World) -> None:
    """An access token is no proof, its own or another."""
    assert proof_fault("dpop_malformed") == outcome(world.ask(world.token))


def test_a_bound_token_as_a_bearer_token(world: World) -> None:
    """A bound token is refused as a bearer token, with and without a proof, cached or not (RFC 9449, section 7.1)."""
    expected = (401, "invalid_token", "dpop_scheme")
    assert expected == outcome(world.ask([], f"Bearer {world.token}"))
    assert 200 == outcome(world.ask(world.proof()))[0]
    for line in (f"Bearer {world.token}", f"bearer {world.token}", [f"Bearer {world.token}"]):
        assert [expected] * 3 == [outcome(world.ask(world.proof(), line)) for _ in range(3)]


def test_a_bound_token_in_a_cookie() -> None:
    """A bound token is refused in a cookie, and a token with the scheme DPoP beside a cookie is one too many."""
    world = World(COOKIE=True)
    with world.guard:
        cookie = f"__Host-access={world.token}"
        call = make_call([world.proof()], cookie=cookie)
        assert (401, "invalid_token", "dpop_scheme") == outcome(world.guard.check(None, LIST, {}, ROUTE, call=call))
        header = f"DPoP {world.token}"
        assert (400, "invalid_request", "two_credentials") == outcome(
            world.guard.check(header, LIST, {}, ROUTE, call=call)
        )
        assert 200 == outcome(world.ask(world.proof()))[0]
        plain = f"__Host-access={world.authority.token(permissions=['orders:list'])}"
        assert 200 == outcome(world.guard.check(None, LIST, {}, ROUTE, call=make_call([], cookie=plain)))[0]


def test_a_token_that_is_bound_to_no_key(world: World) -> None:
    """It works as a bearer token, and not with the scheme DPoP."""
    plain = world.authority.token(permissions=["orders:list"])
    assert [(200, None, "")] * 2 == [outcome(world.ask([], f"Bearer {plain}")) for _ in range(2)]
    assert (401, "invalid_token", "dpop_scheme") == outcome(
        world.ask(world.key.proof("GET", URL, plain), f"DPoP {plain}")
    )


def test_required() -> None:
    """With "required" a token that is bound to no key is refused."""
    world = World(DPOP="required")
    with world.guard:
        assert 200 == outcome(world.ask(world.proof()))[0]
        plain = world.authority.token(permissions=["orders:list"])
        assert (401, "invalid_token", "dpop_required") == outcome(world.ask([], f"Bearer {plain}"))


@pytest.mark.parametrize(
    ("cnf", "cause"),
    [
        ({"jkt": 7}, "dpop_key"),
        ({"jkt": None}, "dpop_key"),
        ({"jkt": ""}, "dpop_key"),
        ({"jkt": "x", "x5t#S256": "y"}, "sender_constrained"),
        ({"x5t#S256": "y"}, "sender_constrained"),
        ({}, "sender_constrained"),
        ("jkt", "sender_constrained"),
    ],
)
def test_another_binding(world: World, cnf: object, cause: str) -> None:
    """Any binding that is not by the proof's key alone stays refused."""
    token = world.authority.token(permissions=["orders:list"], claims={"cnf": cnf})
    assert cause == outcome(world.ask(world.key.proof("GET", URL, token), f"DPoP {token}"))[2]


def test_several_issuers() -> None:
    """Each issuer has its own `DPOP`: a bound token of an issuer without it is refused."""
    clock = Clock(NOW)
    first, second = Authority(clock=clock), Authority(clock=clock)
    entries = {
        "a": {**first.settings(DPOP="required", CEILING=["**"]), "ISSUER": "https://a.test"},
        "b": {**second.settings(CEILING=["**"]), "ISSUER": "https://b.test"},
    }
    for entry in entries.values():
        del entry["POLICY"]
    key = DpopKey(clock=clock)
    with Guard({"ISSUERS": entries}, clock=clock) as guard:
        assert ("Bearer", "DPoP") == guard.settings.schemes

        def ask(authority: Authority, scheme: str, **claims: Any) -> str:
            token = authority.token(permissions=["orders:list"], claims=claims)
            call = make_call([key.proof("GET", URL, token)])
            return outcome(guard.check(f"{scheme} {token}", LIST, {}, ROUTE, call=call))[2]

        assert "" == ask(first, "DPoP", iss="https://a.test", **key.claims)
        assert "dpop_required" == ask(first, "Bearer", iss="https://a.test")
        assert "" == ask(second, "Bearer", iss="https://b.test")
        assert "dpop_scheme" == ask(second, "DPoP", iss="https://b.test")
        assert "sender_constrained" == ask(second, "DPoP", iss="https://b.test", **key.claims)


def test_one_request_is_asked_about_several_times(world: World) -> None:
    """The proof of a request is good for everything that is asked about it, and for no other request."""
    proof, memo = world.proof(), DecisionMemo()
    assert [200] * 3 == [outcome(world.ask(proof, memo=memo))[0] for _ in range(3)]
    assert proof_fault("dpop_replayed") == outcome(world.ask(proof, memo=DecisionMemo()))
    other = world.bound_token(world.key)
    assert proof_fault("dpop_token") == outcome(world.ask(proof, f"DPoP {other}", memo=memo))
    assert 200 == outcome(world.ask(proof, memo=memo))[0]


def test_every_request_needs_a_proof(world: World) -> None:
    """No cache of tokens or decisions stands in for a proof; a token that was checked can be asked about again."""
    decision = world.ask(world.proof())
    assert proof_fault("dpop_missing") == outcome(world.ask([]))
    assert decision.token is not None
    assert world.guard.authorize(decision.token, LIST, {}, ROUTE).passes
    assert world.guard.can(decision.token, LIST)


def test_the_other_entries(world: World) -> None:
    """`authenticate` and routes that only identify need a proof too."""
    header = f"DPoP {world.token}"
    assert proof_fault("dpop_missing") == outcome(world.guard.authenticate(header))
    assert world.guard.authenticate(header, call=make_call([world.proof()])).token is not None
    for proofs, named in (([], False), ([world.proof()], True)):
        decision = world.guard.check(header, IDENTIFIED, {}, ROUTE, call=make_call(proofs))
        assert (True, named) == (decision.passes, decision.token is not None)
    assert proof_fault("dpop_missing") == outcome(world.guard.check(header, AUTHENTICATED, {}, ROUTE))


def test_the_handshake_of_a_websocket(world: World) -> None:
    """The handshake is a GET of the http address (RFC 6455)."""
    proofs = [world.proof(), world.proof(htu="wss://api.test/orders")]
    assert [200, 200] == [
        outcome(world.ask(proof, method="WEBSOCKET", url="wss://api.test/orders"))[0] for proof in proofs
    ]
    assert proof_fault("dpop_method") == outcome(world.ask(world.proof(htm="WEBSOCKET"), method="WEBSOCKET"))


def test_the_challenges(world: World) -> None:
    """A challenge lists both schemes where both are accepted, and a refused proof that of DPoP alone."""
    algs = f'algs="{" ".join(PROOF_ALGORITHMS)}"'
    nobody = refusal_of(world.guard.check(None, LIST, {}, ROUTE)).headers["WWW-Authenticate"]
    assert f"Bearer, DPoP {algs}" == nobody
    proof = refusal_of(world.ask([])).headers["WWW-Authenticate"]
    assert proof.startswith('DPoP error="invalid_dpop_proof", error_description="')
    assert proof.endswith(algs)
    assert "Bearer" not in proof
    token = refusal_of(world.ask([], f"Bearer {world.token}")).headers["WWW-Authenticate"]
    assert token.startswith('Bearer error="invalid_token"')
    assert ', DPoP error="invalid_token"' in token
    lacking = refusal_of(world.guard.check(None, LIST, {}, ROUTE)).problem
    assert "error" not in lacking
    with World(DPOP="required").guard as guard:
        assert f"DPoP {algs}" == refusal_of(guard.check(None, LIST, {}, ROUTE)).headers["WWW-Authenticate"]
    with World(DPOP=False).guard as guard:
        assert "Bearer" == refusal_of(guard.check(None, LIST, {}, ROUTE)).headers["WWW-Authenticate"]


def test_without_the_setting_nothing_changes() -> None:
    """Without `DPOP` a bound token is refused, and the scheme is not known."""
    world = World(DPOP=False)
    with world.guard:
        assert (401, "invalid_token", "sender_constrained") == outcome(world.ask([], f"Bearer {world.token}"))
        assert (401, None, "no_credential") == outcome(world.ask(world.proof()))


def test_a_full_memory(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no more proofs can be remembered, the answer is 503, and nothing is forgotten for it."""
    first = world.proof()
    assert 200 == outcome(world.ask(first))[0]
    monkeypatch.setattr(world.guard._authenticator._proofs, "_capacity", 1)  # type: ignore[attr-defined]
    refusal = refusal_of(world.ask(world.proof()))
    assert (503, "dpop_memory", "5") == (refusal.status, refusal.code, refusal.headers["Retry-After"])
    assert proof_fault("dpop_replayed") == outcome(world.ask(first))


def test_the_memory_forgets_what_is_too_old() -> None:
    """Each digest is kept for the window at least, and for two at most; the size is bounded."""
    clock = Clock(0.0)
    memory = ReplayMemory(2, clock)
    assert (True, False) == (memory.add(b"a"), memory.add(b"a"))
    clock.now = 2.0
    assert (False, True, 2) == (memory.add(b"a"), memory.add(b"b"), len(memory))
    clock.now = 4.0
    assert (True, False) == (memory.add(b"a"), memory.add(b"b"))
    clock.now = 100.0
    assert (True, 1) == (memory.add(b"c"), len(memory))
    added = [memory.add(str(number).encode()) for number in range(2 * PER_SECOND)]
    assert (True, None, 2 * PER_SECOND) == (added[-2], added[-1], len(memory))


def test_a_forked_child_checks_proofs(world: World) -> None:
    """A forked child knows the proofs that its parent has accepted, and accepts others."""
    used, fresh = world.proof(), world.proof()
    assert 200 == outcome(world.ask(used))[0]
    child = os.fork()
    if child == 0:
        os._exit(0 if [401, 200] == [outcome(world.ask(each))[0] for each in (used, fresh)] else 1)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_nothing_of_a_proof_is_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """The log has neither the proof, nor the token, nor the query of an address."""
    for proof in (world.proof(htu=f"{URL}/x?secret=1"), world.token, world.proof(iat=1)):
        refusal = refusal_of(world.ask(proof))
        assert refusal.reference in caplog.text
        for part in (*proof.split("."), *world.token.split("."), "secret"):
            assert part not in caplog.text


def test_a_narrowed_token(world: World) -> None:
    """Neither `narrow` nor `renew` accepts a bound token, because the new one would be bound to no key."""
    issuer = world.authority.issuer
    for what in ("narrow", "renew"):
        with pytest.raises(InvalidToken) as caught:
            _ = issuer.narrow(world.token, ["orders:list"]) if what == "narrow" else issuer.renew(world.token)
        assert "sender_constrained" == caught.value.cause


@pytest.mark.parametrize(
    ("expected", "line"),
    [
        ((NONE, ""), None),
        ((NONE, ""), ""),
        ((NONE, ""), "Bearer a"),
        ((NONE, ""), "DPoPx a"),
        ((NONE, ""), []),
        ((NONE, ""), ["DPoP a", "DPoP b"]),
        ((TOKEN, "a"), "DPoP a"),
        ((TOKEN, "a"), ["dpop a"]),
        ((MALFORMED, "no single space follows DPoP"), "DPoP\ta"),
        ((MALFORMED, "DPoP is followed by nothing, by white space or by a list"), "DPoP"),
        ((MALFORMED, "DPoP is followed by nothing, by white space or by a list"), "DPoP a,DPoP b"),
    ],
)
def test_the_scheme_is_read_strictly(expected: tuple[str, str], line: Any) -> None:
    """The header is read as one of the scheme Bearer is."""
    assert expected == parse_dpop(line)


def test_malformed_credentials(world: World) -> None:
    """Two credentials and malformed ones get 400, and a token that is too long is cut before it is read."""
    header = f"DPoP {world.token}"
    for line in ([header, header], [header, f"Bearer {world.token}"], f"{header},{header}", "DPoP", "DPoP  a"):
        assert (400, "invalid_request") == outcome(world.ask(world.proof(), line))[:2]
    assert (401, "invalid_token", "too_large") == outcome(world.ask(world.proof(), "DPoP " + "A" * 10**6))
    assert MAX_TOKEN + 2 >= len(parse_dpop("DPoP " + "A" * 10**6)[1])


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"DPOP": "yes please"}, 'DPOP is True, False or "required"'),
        ({"DPOP": 1}, 'DPOP is True, False or "required"'),
        ({"DPOP": True, "SENDER_CONSTRAINED": ["jkt"]}, "SENDER_CONSTRAINED lists jkt"),
        ({"DPOP_MAX_AGE": 30}, "DPOP_MAX_AGE is for DPOP, which is not set"),
        ({"DPOP": True, "DPOP_MAX_AGE": 301}, "DPOP_MAX_AGE is a number of seconds from 0 to 300"),
        ({"DPOP": True, "DPOP_MAX_AGE": 0}, "DPOP_MAX_AGE is a second at least"),
        ({"DPOPS": True}, "did you mean 'DPOP'?"),
    ],
)
def test_faults_of_the_settings(settings: dict[str, Any], fault: str) -> None:
    """A wrong setting stops the start."""
    with pytest.raises(ConfigurationError) as caught:
        Authority().guard(**settings)
    assert fault in str(caught.value)


def test_authorities_like_settings_with_dpop() -> None:
    """An authority for tests keeps `DPOP` of the settings that it is like."""
    like = Authority().settings(DPOP="required", DPOP_MAX_AGE=30)
    (issuer,) = Authority(like=like).guard().settings.issuers
    assert ("required", 30.0) == (issuer.dpop, issuer.dpop_max_age)
