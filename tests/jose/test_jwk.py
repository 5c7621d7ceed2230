"""Verification keys: which JWKs are accepted, and how they verify."""

from __future__ import annotations

import base64
import hashlib
import json
from contextlib import suppress
from datetime import datetime
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from jwks_server import b64, ec_jwk, number, okp_jwk, raw_es256, rsa_jwk
from jwt_lp.errors import ConfigurationError
from jwt_lp.jose import jwk as jwk_module
from jwt_lp.jose.jwk import ALGORITHMS, SYMMETRIC, UnusableKey, VerificationKey, header_algorithms, load_jwk
from jwt_lp.jose.key_strength import rsa_weakness

DATA = b"header.payload"
RSA = rsa.generate_private_key(65537, 2048)
P256 = ec.generate_private_key(ec.SECP256R1())
P384 = ec.generate_private_key(ec.SECP384R1())
P521 = ec.generate_private_key(ec.SECP521R1())
ED25519 = ed25519.Ed25519PrivateKey.generate()
ED448 = ed448.Ed448PrivateKey.generate()
SECRET = bytes(range(64))
PRIVATE = {"RSA": RSA, "P-256": P256, "P-384": P384, "P-521": P521, "Ed25519": ED25519, "Ed448": ED448}


def public(kind: str, **more: object) -> dict[str, Any]:
    if kind == "oct":
        return {"kty": "oct", "k": b64(SECRET), **more}
    key: Any = PRIVATE[kind]
    maker: Any = rsa_jwk if kind == "RSA" else ec_jwk if kind.startswith("P") else okp_jwk
    return dict(maker(key, **more))


def unusable(jwk: object, algorithms: Any = None, *, trusted: bool = True) -> str:
    with pytest.raises(UnusableKey) as caught:
        load_jwk(jwk, algorithms, trusted=trusted)
    assert (None, (caught.value.reason,)) == (caught.value.__context__, caught.value.faults)
    return caught.value.reason


def sign(algorithm: str, kind: str, data: bytes = DATA) -> bytes:
    engine = jwt.get_algorithm_by_name(algorithm)
    return engine.sign(data, SECRET if kind == "oct" else PRIVATE[kind])


CASES = [
    *((name, "RSA", (2048 + 7) // 8) for name in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
    *(("ES256", "P-256", 64), ("ES384", "P-384", 96), ("ES512", "P-521", 132)),
    *(("EdDSA", "Ed25519", 64), ("EdDSA", "Ed448", 114)),
    *(("HS256", "oct", 32), ("HS384", "oct", 48), ("HS512", "oct", 64)),
]


@pytest.mark.parametrize(("algorithm", "kind", "length"), CASES)
def test_every_algorithm_verifies_its_own_signatures_only(algorithm: str, kind: str, length: int) -> None:
    """A key accepts its own signature of these bytes, and no other bytes, signature or length."""
    key = load_jwk(public(kind, alg=algorithm, kid="k"), {algorithm}, trusted=True)
    signature = sign(algorithm, kind)
    assert length == len(signature)
    assert True is key.verify(DATA, signature)
    tampered = bytes([signature[0] ^ 1]) + signature[1:]
    others = [(b"other", signature), (DATA, tampered), (DATA, b""), (DATA, signature[:-1]), (DATA, signature + b"\0")]
    assert [False] * 5 == [key.verify(data, wrong) for data, wrong in others]
    assert (kind == "oct", algorithm, "k") == (key.symmetric, key.algorithm, key.kid)


def test_the_supported_algorithms_are_these() -> None:
    """Only the signatures of RFC 7518, EdDSA and its RFC 9864 names are supported; `none` is not."""
    assert {case[0] for case in CASES} | {"Ed25519", "Ed448"} == ALGORITHMS
    assert {"HS256", "HS384", "HS512"} == SYMMETRIC


@pytest.mark.parametrize(("algorithm", "kind", "_"), CASES)
def test_a_key_fits_its_one_algorithm(algorithm: str, kind: str, _: int) -> None:
    """A key supports its own algorithm and, on an Edwards curve, that curve's name; nothing else."""
    key = load_jwk(public(kind, alg=algorithm), None, trusted=True)
    expected = {algorithm, kind} if algorithm == "EdDSA" else {algorithm}
    assert expected == {name for name in [*ALGORITHMS, "none", "ES256K", "", "rs256", "HS256 "] if key.supports(name)}


@pytest.mark.parametrize(
    ("algorithms", "kind", "alg", "expected"),
    [
        (None, "P-256", None, "ES256"),
        (None, "P-384", None, "ES384"),
        (None, "P-521", None, "ES512"),
        (None, "Ed25519", None, "EdDSA"),
        (["PS256", "ES256"], "RSA", None, "PS256"),
        (["RS256", "ES384"], "P-384", None, "ES384"),
        (["HS512"], "oct", None, "HS512"),
        (["EdDSA"], "Ed448", "Ed448", "EdDSA"),
        (["Ed25519"], "Ed25519", "EdDSA", "EdDSA"),
        (["Ed25519"], "Ed25519", None, "EdDSA"),
        (["RS256", "RS512"], "RSA", "RS512", "RS512"),
    ],
)
def test_the_algorithm_is_the_keys_or_the_one_that_fits(
    algorithms: list[str] | None, kind: str, alg: str | None, expected: str
) -> None:
    """A key's alg binds it; without alg it gets the single allowed algorithm that fits type and curve."""
    more = {} if alg is None else {"alg": alg}
    assert expected == load_jwk(public(kind, **more), algorithms, trusted=True).algorithm


AMBIGUOUS = "give it an alg, or allow only one of them"
NO_ALGORITHMS: list[Any] = ["none", "", "RS1", "RSA-OAEP", "ES521", "rs256", ["RS256"], None, {}, 1]
NO_CURVES: list[Any] = ["secp256k1", "P-257", None, []]
NO_TYPES: list[Any] = [{}, {"kty": None}, {"kty": ["RSA"]}, {"kty": "AKP"}, public("Ed25519") | {"crv": "X25519"}]
UNFIT: dict[str, tuple[object, Any, str]] = {
    "no-object": (None, None, "is not a JSON object"),
    "list": ([public("P-256")], None, "is not a JSON object"),
    "rsa-two-fit": (public("RSA"), ["RS256", "PS256"], f"has no alg and fits RS256, PS256: {AMBIGUOUS}"),
    "rsa-any": (public("RSA"), None, f"has no alg and fits RS256, RS384, RS512, PS256, PS384, PS512: {AMBIGUOUS}"),
    "oct-any": (public("oct"), None, f"has no alg and fits HS256, HS384, HS512: {AMBIGUOUS}"),
    "none-fits": (public("P-256"), ["RS256"], "fits none of the allowed algorithms"),
    "alg-not-allowed": (public("RSA", alg="RS512"), ["RS256"], "alg RS512 is not among the allowed algorithms"),
    "ed448-not-allowed": (public("Ed448"), ["Ed25519"], "fits none of the allowed algorithms"),
    "eddsa-not-allowed": (public("Ed448", alg="EdDSA"), ["Ed25519"], "alg EdDSA is not among the allowed algorithms"),
    "alg-of-other-curve": (public("P-384", alg="ES256"), None, "alg ES256 does not match its type or curve"),
    "alg-of-other-edwards": (public("Ed448", alg="Ed25519"), None, "alg Ed25519 does not match its type or curve"),
    "alg-of-other-type": (public("RSA", alg="HS256"), None, "alg HS256 does not match its type or curve"),
    **{
        f"alg-{n}": (public("RSA", alg=alg), None, "alg is not a supported signature algorithm")
        for n, alg in enumerate(NO_ALGORITHMS)
    },
    **{
        f"type-{n}": (jwk, None, "has a type or curve that no supported algorithm uses")
        for n, jwk in enumerate([*NO_TYPES, *(public("P-256") | {"crv": crv} for crv in NO_CURVES)])
    },
    "kid-int": (public("P-256", kid=1), None, "kid is not a string"),
    "kid-null": (public("P-256", kid=None), None, "kid is not a string"),
    "kid-long": (public("P-256", kid="k" * 257), None, "kid is longer than 256 bytes"),
    "kid-surrogate": (public("P-256", kid="\ud800" * 100), None, "kid is longer than 256 bytes"),
    "kid-control": (public("P-256", kid="\x1b["), None, "kid has a control character"),
    "use-odd": (public("P-256", use="signature"), None, "use is neither sig nor enc"),
    "use-list": (public("P-256", use=["sig"]), None, "use is neither sig nor enc"),
    "ops-str": (public("P-256", key_ops="verify"), None, "key_ops is not a list"),
    "ops-null": (public("P-256", key_ops=None), None, "key_ops is not a list"),
    "n-missing": ({"kty": "RSA", "e": "AQAB", "alg": "RS256"}, None, "n is missing, not a string, empty or too long"),
    "n-int": (public("RSA", alg="RS256") | {"n": 5}, None, "n is missing, not a string, empty or too long"),
    "n-empty": (public("RSA", alg="RS256") | {"n": ""}, None, "n is missing, not a string, empty or too long"),
    "n-megabytes": (
        public("RSA", alg="RS256") | {"n": "A" * 4097},
        None,
        "n is missing, not a string, empty or too long",
    ),
    "n-padded": (public("RSA", alg="RS256") | {"n": public("RSA")["n"] + "=="}, None, "n is not canonical base64url"),
    "n-non-ascii": (public("RSA", alg="RS256") | {"n": "é" * 400}, None, "n is not canonical base64url"),
    "n-standard": (public("RSA", alg="RS256") | {"n": "+/" * 200}, None, "n is not canonical base64url"),
    "x-unused-bits": (public("P-256") | {"x": "A" * 42 + "B"}, None, "x is not canonical base64url"),
    "y-list": (public("P-256") | {"y": ["A"]}, None, "y is missing, not a string, empty or too long"),
    "k-padded": (public("oct", alg="HS256") | {"k": b64(SECRET) + "=="}, None, "k is not canonical base64url"),
    "off-curve": (
        public("P-256") | {"x": public("P-256")["y"]},
        None,
        "is not a valid EC key: a coordinate, length or number is wrong",
    ),
    "short-coordinate": (
        public("P-256") | {"x": "AAAA"},
        None,
        "is not a valid EC key: a coordinate, length or number is wrong",
    ),
    "short-okp": (
        public("Ed25519") | {"x": "AAAA"},
        None,
        "is not a valid OKP key: a coordinate, length or number is wrong",
    ),
    "private-rsa": (
        public("RSA", alg="RS256", d="AQAB"),
        None,
        "holds private members: give the public half, and replace a key that was published",
    ),
    "private-ec": (
        public("P-256", d="AQAB"),
        None,
        "holds private members: give the public half, and replace a key that was published",
    ),
    "secret-beside-public": (
        public("P-256", k=b64(SECRET)),
        None,
        "holds private members: give the public half, and replace a key that was published",
    ),
    "short-hs256": (
        {"kty": "oct", "alg": "HS256", "k": b64(bytes(31))},
        None,
        "is a secret of 31 bytes: its hash requires at least 32",
    ),
    "short-hs512": (
        {"kty": "oct", "alg": "HS512", "k": b64(bytes(63))},
        None,
        "is a secret of 63 bytes: its hash requires at least 64",
    ),
}


@pytest.mark.parametrize(("jwk", "algorithms", "reason"), UNFIT.values(), ids=UNFIT)
def test_an_unusable_key_is_refused_with_its_reason(jwk: object, algorithms: Any, reason: str) -> None:
    """A key that must not verify raises UnusableKey with one reason, and no library's exception as context."""
    assert reason == unusable(jwk, algorithms)


@pytest.mark.parametrize(
    ("jwk", "reason"),
    [
        (public("RSA", use="enc", alg="RSA-OAEP"), "is for encryption (use)"),
        (public("P-256", key_ops=["sign"]), "is not for verifying (key_ops)"),
        (public("P-256", key_ops=[]), "is not for verifying (key_ops)"),
    ],
)
def test_a_key_for_another_purpose_is_skippable(jwk: dict[str, Any], reason: str) -> None:
    """A key that is declared for another purpose is refused as skippable."""
    with pytest.raises(UnusableKey) as caught:
        load_jwk(jwk, None, trusted=True)
    assert (reason, True) == (caught.value.reason, caught.value.skippable)


@pytest.mark.parametrize("more", [{"use": "sig"}, {"key_ops": ["verify"]}, {"key_ops": ("sign", "verify")}, {}])
def test_a_key_for_signatures_is_accepted(more: dict[str, Any]) -> None:
    """use sig, key_ops with verify, and neither of them all allow a key to verify."""
    assert "ES256" == load_jwk(public("P-256", **more), None, trusted=False).algorithm


def test_a_published_secret_is_refused() -> None:
    """A shared secret in a published set is refused."""
    jwk = public("oct", alg="HS256")
    assert "is a shared secret, which must not be in a published set" == unusable(jwk, ["HS256"], trusted=False)


RSA_NUMBERS: dict[str, tuple[int, int, str | None]] = {
    "n-0": (0, 65537, "is an RSA key of 0 bits: 2048 to 8192 are accepted"),
    "2047": (2**2047 - 1, 65537, "is an RSA key of 2047 bits: 2048 to 8192 are accepted"),
    "8193": (2**8192 + 1, 65537, "is an RSA key of 8193 bits: 2048 to 8192 are accepted"),
    "even-n": (2**2047 + 2, 65537, "has an even RSA modulus"),
    "e-0": (2**2047 + 1, 0, "has an RSA exponent that is even, below 3 or above 64 bits"),
    "e-1": (2**2047 + 1, 1, "has an RSA exponent that is even, below 3 or above 64 bits"),
    "e-2": (2**2047 + 1, 2, "has an RSA exponent that is even, below 3 or above 64 bits"),
    "e-even": (2**2047 + 1, 65536, "has an RSA exponent that is even, below 3 or above 64 bits"),
    "e-huge": (2**2047 + 1, 2**64 + 1, "has an RSA exponent that is even, below 3 or above 64 bits"),
    "e-3": (2**2047 + 1, 3, None),
    "usual": (RSA.public_key().public_numbers().n, 65537, None),
    "4096": (2**4095 + 1, 65537, None),
}


@pytest.mark.parametrize(("modulus", "exponent", "reason"), RSA_NUMBERS.values(), ids=RSA_NUMBERS)
def test_rsa_numbers_out_of_bounds_are_weak(modulus: int, exponent: int, reason: str | None) -> None:
    """A modulus or exponent that is too small, too large or even is refused before any computation."""
    assert reason == rsa_weakness(modulus, exponent)


def roca_modulus() -> int:
    """Build a modulus of the form that devices with the ROCA weakness make."""
    primes = [p for p in range(2, 702) if all(p % q for q in range(2, p))]
    product = 1
    for prime in primes:
        product *= prime
    return pow(65537, 123_456_789, product) + product * (2**2048 // product)


def test_a_roca_modulus_is_refused() -> None:
    """A modulus with the published fingerprint of CVE-2017-15361 is weak, alone and as a JWK."""
    modulus = roca_modulus() | 0
    reason = "has the ROCA weakness (CVE-2017-15361): replace it"
    assert reason == rsa_weakness(modulus, 65537)
    assert reason == unusable({"kty": "RSA", "alg": "RS256", "n": number(modulus), "e": "AQAB"})


def certificate() -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "issuer.example")])
    builder = x509.CertificateBuilder(name, name, RSA.public_key(), 1, datetime(2020, 1, 1), datetime(2040, 1, 1))  # noqa: DTZ001
    return builder.sign(RSA, hashes.SHA256())


RSA_PUBLIC = RSA.public_key()
PEM = RSA_PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
DER = RSA_PUBLIC.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
SSH = RSA_PUBLIC.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
DISGUISES = {
    "pem": PEM,
    "pkcs1-pem": RSA_PUBLIC.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
    "der": DER,
    "pkcs1-der": RSA_PUBLIC.public_bytes(Encoding.DER, PublicFormat.PKCS1),
    "ssh": SSH,
    "ssh-ec": P256.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
    "x509-pem": certificate().public_bytes(Encoding.PEM),
    "x509-der": certificate().public_bytes(Encoding.DER),
    "jwk": json.dumps(public("RSA")).encode(),
    "jwks": json.dumps({"keys": [public("RSA")]}).encode(),
    "jwk-in-array": json.dumps([public("P-256")]).encode(),
    "space-pem": b"  \r\n" + PEM,
    "bom-pem": b"\xef\xbb\xbf" + PEM,
    "bom-ssh": b"\xef\xbb\xbf " + SSH,
    "bom-jwk": b"\xef\xbb\xbf" + json.dumps(public("RSA")).encode(),
    "space-der": b"\n" + DER,
    "utf16-pem": PEM.decode().encode("utf-16"),
    "utf16-ssh": SSH.decode().encode("utf-16"),
    "base64-der": base64.b64encode(DER),
    "base64-der-lines": base64.encodebytes(DER),
    "der-newline": DER + b"\n",
}


@pytest.mark.parametrize("secret", DISGUISES.values(), ids=DISGUISES)
def test_a_public_key_is_no_secret(secret: bytes) -> None:
    """A secret that is a public key, certificate or JWK, in any encoding, is refused (RFC 8725, 2.1)."""
    reason = "is a secret that is also a public key, certificate or JWK, which others know"
    assert reason == unusable({"kty": "oct", "alg": "HS256", "k": b64(secret)})


def test_any_other_secret_is_accepted() -> None:
    """A secret that is text, base64 or white space only is accepted."""
    for secret in (b"correct horse battery staple is long", base64.b64encode(SECRET), b" " * 40, bytes(32)):
        assert True is load_jwk({"kty": "oct", "alg": "HS256", "k": b64(secret)}, None, trusted=True).symmetric


def test_an_edwards_key_verifies_under_both_names() -> None:
    """EdDSA and the curve's RFC 9864 name are one algorithm: allowing one admits headers with either."""
    assert {"EdDSA", "Ed25519", "Ed448", "RS256"} == header_algorithms(["EdDSA", "RS256"])
    assert {"EdDSA", "Ed448"} == header_algorithms(["Ed448"])
    assert {"RS256"} == header_algorithms(["RS256"])


def test_an_es256_twin_is_valid() -> None:
    """ECDSA's second signature (r, n - s) verifies, so a token's text is not unique."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    signature = raw_es256(P256, DATA)
    twin = signature[:32] + (order - int.from_bytes(signature[32:], "big")).to_bytes(32, "big")
    assert True is load_jwk(public("P-256"), None, trusted=True).verify(DATA, twin)


@pytest.mark.parametrize("signature", [bytes(64), b"\xff" * 64, bytes(63) + b"\x01"])
def test_degenerate_ecdsa_numbers_are_no_signature(signature: bytes) -> None:
    """r or s of zero, or beyond the order, verifies nothing."""
    assert False is load_jwk(public("P-256"), None, trusted=True).verify(DATA, signature)


def test_a_pkcs1_signature_is_no_pss_signature() -> None:
    """A signature of one RSA algorithm does not verify under another algorithm of the same key."""
    signature = RSA.sign(DATA, padding.PKCS1v15(), hashes.SHA256())
    keys = [load_jwk(public("RSA", alg=alg), None, trusted=True) for alg in ("RS256", "PS256", "RS512")]
    assert [True, False, False] == [key.verify(DATA, signature) for key in keys]


def test_a_leading_zero_in_the_modulus_changes_nothing() -> None:
    """A modulus with a leading zero octet, as some libraries write it, is the same number."""
    jwk = public("RSA", alg="RS256")
    padded = jwk | {"n": b64(b"\0" + RSA.public_key().public_numbers().n.to_bytes(256, "big"))}
    assert True is load_jwk(padded, None, trusted=True).verify(DATA, sign("RS256", "RSA"))


def test_a_thumbprint_compares_content() -> None:
    """The thumbprint is RFC 7638's for a public key, and a keyed digest for a secret."""
    jwk = public("P-256")
    canonical = json.dumps({name: jwk[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"))
    named = load_jwk(jwk | {"kid": "a", "x5t": "z"}, None, trusted=True)
    assert hashlib.sha256(canonical.encode()).hexdigest() == named.thumbprint
    secret = load_jwk(public("oct", alg="HS256"), None, trusted=True)
    digests = {hashlib.sha256(data).hexdigest() for data in (SECRET, b64(SECRET).encode())}
    assert False is (secret.thumbprint in digests)
    assert load_jwk(public("oct", alg="HS512"), None, trusted=True).thumbprint == secret.thumbprint


def test_a_key_shows_its_name_and_algorithm_only() -> None:
    """The repr has the escaped kid and the algorithm; neither it nor an error has key material."""
    key = load_jwk(public("oct", alg="HS256", kid="a\u202eb"), None, trusted=True)
    assert "VerificationKey(kid='a\\u202eb', algorithm='HS256')" == repr(key) == str(key)
    reason = unusable({"kty": "oct", "alg": "HS512", "k": b64(b"hunter2" * 5)})
    assert False is ("hunter2" in reason or b64(b"hunter2" * 5) in reason)


def test_an_exception_of_a_library_is_no_signature() -> None:
    """If the cryptographic library raises while verifying, the result is False."""

    def broken(*_: object) -> bool:
        raise OverflowError

    fit = load_jwk(public("P-256"), None, trusted=True)
    key = VerificationKey(None, "ES256", False, "", frozenset({"ES256"}), 64, broken)
    assert (True, False) == (fit.verify(DATA, raw_es256(P256, DATA)), key.verify(DATA, bytes(64)))


def test_a_key_that_openssl_cannot_use_is_refused_at_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """An algorithm that this machine's library refuses is noticed when the key is loaded, not at the first token."""

    def refuse(*_: object) -> bool:
        raise ValueError("not in FIPS mode")

    monkeypatch.setattr(jwk_module, "signature_check", lambda *_: refuse)
    assert "cannot be used for ES256 by this machine's OpenSSL" == _reason_with_context(public("P-256"))


def _reason_with_context(jwk: dict[str, Any]) -> str:
    with pytest.raises(UnusableKey) as caught:
        load_jwk(jwk, None, trusted=True)
    return caught.value.reason


def test_an_unusable_key_is_a_configuration_error() -> None:
    """UnusableKey is a ConfigurationError."""
    assert True is issubclass(UnusableKey, ConfigurationError)


junk = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=50) | st.lists(st.text(), max_size=2)
names = ["kty", "crv", "alg", "kid", "use", "key_ops", "n", "e", "x", "y", "k", "d"]
words = st.sampled_from([*ALGORITHMS, "RSA", "EC", "OKP", "oct", "P-256", "Ed25519", "sig", "AQAB", "AAAA"])


@given(st.dictionaries(st.sampled_from(names), words | junk), st.booleans())
def test_nothing_but_unusable_key_is_raised(jwk: dict[str, object], trusted: bool) -> None:
    """For any JSON object, load_jwk() returns a key or raises UnusableKey."""
    with suppress(UnusableKey):
        key = load_jwk(jwk, None, trusted=trusted)
        assert True is key.supports(key.algorithm)


@given(st.sampled_from(["RSA", "P-256", "Ed25519"]), st.sampled_from(names), words | junk)
def test_one_odd_member_never_escapes_as_another_exception(kind: str, name: str, value: object) -> None:
    """A good key with one member replaced is a key or raises UnusableKey."""
    jwk = public(kind, alg={"RSA": "RS256", "P-256": "ES256"}.get(kind, "EdDSA")) | {name: value}
    with suppress(UnusableKey):
        assert False is load_jwk(jwk, None, trusted=False).symmetric
