"""Signing keys and signing."""

from __future__ import annotations

import json
import math
from typing import Any

import jwt
import pytest

from jwt_lp import ConfigurationError, StaticKeys
from jwt_lp._support.worker import Worker
from jwt_lp.jose.signing import FixedSigningKey, OwnKeySource, SigningKey, sign
from jwt_lp.tokens import verification

ALGORITHMS = (
    *(f"{kind}{size}" for kind in ("RS", "PS", "ES", "HS") for size in (256, 384, 512)),
    "EdDSA",
    "Ed25519",
    "Ed448",
)
KEYS = {name: SigningKey.generate(name, kid="k1") for name in ("ES256", "RS256", "Ed25519", "Ed448", "HS256")}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_signs_what_its_public_key_verifies(algorithm: str) -> None:
    """A key of each algorithm signs, can be stored and read again, and has a repr without key material."""
    key = SigningKey.generate(algorithm, kid="k1")
    again = SigningKey.from_jwk(json.loads(json.dumps(key.private_jwk())))
    assert key.public_jwk() == again.public_jwk()
    header, payload = verification.verify_signature(
        sign({"a": 1}, again), StaticKeys.from_jwks({"keys": [key.public_jwk()]})
    )
    assert ("k1", "at+jwt", b'{"a":1}') == (header["kid"], header["typ"], payload)
    assert f"<SigningKey k1 {algorithm}>" == repr(key)
    assert not any(str(value) in repr([key, again]) for name, value in key.private_jwk().items() if name in "dkn")


@pytest.mark.parametrize("name", list(KEYS))
def test_a_public_jwk_is_public(name: str) -> None:
    """A public JWK has no private member; for a secret it is the secret, for the verifier."""
    public = KEYS[name].public_jwk()
    assert ("k1", name, "sig") == (public["kid"], public["alg"], public["use"])
    assert set() == {"d", "p", "q", "dp", "dq", "qi", "key_ops"} & set(public)
    assert (name == "HS256") is ("k" in public)


def test_keys_differ() -> None:
    """Two keys have different kids and material, and are never equal."""
    one, two = SigningKey.generate(), SigningKey.generate()
    assert one.kid != two.kid
    assert one.public_jwk()["x"] != two.public_jwk()["x"]
    assert one != SigningKey.from_jwk(one.private_jwk())


@pytest.mark.parametrize(
    "algorithm", ["", "none", "None", "es256", "ES256K", "ES521", "HS", "HSabc", "HS1", "HS8", "RS1", "RSx", "PS"]
)
def test_an_algorithm_that_is_not_supported(algorithm: str) -> None:
    """Only the algorithms named in the docstring have keys; any other name is a `ConfigurationError`."""
    with pytest.raises(ConfigurationError):
        SigningKey.generate(algorithm)


@pytest.mark.parametrize(
    "jwk",
    [
        pytest.param([], id="a list"),
        pytest.param(None, id="null"),
        pytest.param("x", id="a string"),
        pytest.param({}, id="empty"),
        pytest.param({"kid": "a", "alg": "none"}, id="none"),
        pytest.param({"kid": "a", "alg": "XX"}, id="an unknown algorithm"),
        pytest.param({**KEYS["ES256"].private_jwk(), "kid": None}, id="no kid"),
        pytest.param({**KEYS["ES256"].private_jwk(), "kid": 5}, id="a number for kid"),
        pytest.param({**KEYS["ES256"].private_jwk(), "alg": None}, id="no alg"),
        pytest.param({**KEYS["ES256"].private_jwk(), "alg": "RS256"}, id="another kind of key"),
        pytest.param({**KEYS["ES256"].private_jwk(), "alg": "ES384"}, id="another curve"),
        pytest.param({**KEYS["ES256"].private_jwk(), "crv": 5}, id="a number for the curve"),
        pytest.param({**KEYS["ES256"].private_jwk(), "d": 5}, id="a number for the key"),
        pytest.param({**KEYS["ES256"].private_jwk(), "d": "é"}, id="no base64"),
        pytest.param({**KEYS["ES256"].private_jwk(), "d": [KEYS["ES256"].private_jwk()["d"]]}, id="a list for the key"),
        pytest.param({**KEYS["RS256"].private_jwk(), "p": 5}, id="a number for a prime"),
        pytest.param({**KEYS["HS256"].private_jwk(), "k": ""}, id="an empty secret"),
        *(
            pytest.param(KEYS[name].public_jwk(), id=f"the public half, {name}")
            for name in ("ES256", "RS256", "Ed25519", "Ed448")
        ),
    ],
)
def test_other_documents_are_no_signing_key(jwk: Any) -> None:
    """A document that is not a private JWK is refused, and the error holds nothing of it."""
    with pytest.raises(ConfigurationError) as caught:
        SigningKey.from_jwk(jwk)
    text = f"{caught.value!r} {caught.value.__cause__!r}"
    assert not isinstance(jwk, dict) or not any(
        str(value) in text for name, value in jwk.items() if name in {"d", "k", "n", "x"} and len(str(value)) > 5
    )


@pytest.mark.parametrize(("expected", "typ"), [("at+jwt", "at+jwt"), ("JWT", "JWT"), (None, None)])
def test_the_typ_of_a_token(expected: str | None, typ: str | None) -> None:
    """The header has the given `typ`, or none."""
    assert expected == jwt.get_unverified_header(sign({}, KEYS["ES256"], typ=typ)).get("typ")


def test_claims_are_signed_as_they_are() -> None:
    """No claim is added, checked or reordered."""
    token = sign({"exp": 1, "b": [None, {"é": 1.5}], "a": True}, KEYS["HS256"])
    payload = verification.verify_signature(token, StaticKeys.from_jwks({"keys": [KEYS["HS256"].public_jwk()]}))[1]
    assert [("exp", 1), ("b", [None, {"é": 1.5}]), ("a", True)] == list(json.loads(payload).items())


@pytest.mark.parametrize("algorithm", ["ES256", "HS256"])
def test_the_published_set_of_one_key(algorithm: str) -> None:
    """A public key is published, a secret never; the source that verifies our own tokens has both."""
    keys = FixedSigningKey(SigningKey.generate(algorithm))
    own = OwnKeySource(keys)
    assert {"keys": [] if algorithm == "HS256" else [keys.current.public_jwk()]} == keys.jwks()
    assert 1 == len(own.find(keys.current.kid, algorithm))
    assert (algorithm in own.algorithms) is True
    assert (algorithm == "HS256") is ("HS512" in own.algorithms)
    assert () == own.find("another", algorithm)
    assert (True, 1) == (own.status().loaded, own.status().keys)


class ChangingKeys:
    """Keys that change."""

    def __init__(self) -> None:
        self.keys = [SigningKey.generate("ES256")]
        self.generation = 0

    @property
    def current(self) -> SigningKey:
        return self.keys[-1]

    def jwks(self) -> dict[str, object]:
        return {"keys": [key.public_jwk() for key in self.keys]}


def test_keys_that_change_are_read_again() -> None:
    """A new key verifies as soon as the generation changes, and not before."""
    turning = ChangingKeys()
    own = OwnKeySource(turning)
    own.start(Worker())
    turning.keys.append(SigningKey.generate("ES256"))
    assert () == own.find(turning.current.kid, "ES256")
    turning.generation += 1
    assert (1, math.inf) == (own.generation, own.usable_for())
    assert 1 == len(own.find(turning.current.kid, "ES256", wait=False))
    assert 1 == len(own.find(turning.keys[0].kid, "ES256"))
