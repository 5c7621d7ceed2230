"""Verification keys made from JSON Web Keys (RFC 7517; RFC 7518, section 6; RFC 8037).

A verification key verifies signatures of exactly one algorithm. A JWK that is weak, private, ambiguous or not canonical
is refused with a reason.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from jwt.algorithms import Algorithm, get_default_algorithms

from jwt_lp._support.json_types import is_json_object
from jwt_lp.errors import ConfigurationError
from jwt_lp.jose.jws import decode_base64url, encode_base64url, kid_fault
from jwt_lp.jose.key_strength import rsa_weakness, secret_weakness
from jwt_lp.jose.signature_checks import SignatureCheck, signature_check

MAX_MEMBER: Final = 4096


class _KeyType(NamedTuple):
    """The keys that an algorithm takes, and the length of its signatures (0 where it depends on the key)."""

    kty: str
    curves: tuple[str, ...]
    signature: int
    members: tuple[str, ...]


_POINT: Final = ("crv", "x", "y")
_RSA: Final = _KeyType("RSA", (), 0, ("n", "e"))
_KEY_TYPES: Final[Mapping[str, _KeyType]] = MappingProxyType(
    {
        **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), _RSA),
        "ES256": _KeyType("EC", ("P-256",), 64, _POINT),
        "ES384": _KeyType("EC", ("P-384",), 96, _POINT),
        "ES512": _KeyType("EC", ("P-521",), 132, _POINT),
        "EdDSA": _KeyType("OKP", ("Ed25519", "Ed448"), 0, ("crv", "x")),
        "HS256": _KeyType("oct", (), 32, ("k",)),
        "HS384": _KeyType("oct", (), 48, ("k",)),
        "HS512": _KeyType("oct", (), 64, ("k",)),
    }
)
_PYJWT_ALGORITHMS: Final[Mapping[str, Algorithm]] = MappingProxyType(get_default_algorithms())
_EDWARDS: Final[Mapping[str, int]] = MappingProxyType({"Ed25519": 64, "Ed448": 114})
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})

ALGORITHMS: Final = frozenset(_KEY_TYPES) | frozenset(_EDWARDS)
"""Every algorithm name that may be configured (RFC 7518, RFC 8037, RFC 9864)."""
SYMMETRIC: Final = frozenset({"HS256", "HS384", "HS512"})
PROOF_ALGORITHMS: Final = ("ES256", "ES384", "ES512", "EdDSA", "Ed25519", "PS256", "RS256")
"""The algorithms that a proof of possession may be signed with, all of them asymmetric (RFC 9449, section 4.3)."""


class UnusableKey(ConfigurationError):
    """A key that must not verify anything. `skippable` is True if it is only not meant for signatures."""

    def __init__(self, reason: str, *, skippable: bool = False) -> None:
        self.reason = reason
        self.skippable = skippable
        super().__init__(reason)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class VerificationKey:
    """A key and the one algorithm it may be used with (RFC 8725, section 3.1).

    `names` are the `alg` values that a header may have: a key on an Edwards curve also supports its curve's name
    (RFC 9864), which is the same computation.
    `thumbprint` is for comparing keys and must not be shown. For a secret it is a keyed digest.
    """

    kid: str | None
    algorithm: str
    symmetric: bool
    thumbprint: str
    names: frozenset[str]
    _signature_length: int
    _check: SignatureCheck

    def supports(self, algorithm: str) -> bool:
        """Return whether a header's `alg` is this key's algorithm."""
        return algorithm in self.names

    def verify(self, signing_input: bytes, signature: bytes) -> bool:
        """Return whether this key made the signature over these bytes (RFC 7515, section 5.2); never raises."""
        if len(signature) != self._signature_length:
            return False
        try:
            # INVARIANT: the key alone decides the algorithm; the token does not.
            return self._check(signing_input, signature) is True
        except Exception:  # noqa: BLE001 - whatever a library raises, the signature is not valid
            return False

    def __repr__(self) -> str:
        return f"VerificationKey(kid={self.kid!r}, algorithm={self.algorithm!r})"


def header_algorithms(algorithms: Collection[str]) -> frozenset[str]:
    """Return the `alg` values that a header may have when these are allowed: Edwards curves have two (RFC 9864)."""
    names = set(algorithms)
    if "EdDSA" in names:
        names |= set(_EDWARDS)
    elif not names.isdisjoint(_EDWARDS):
        names.add("EdDSA")
    return frozenset(names)


def load_jwk(jwk: object, algorithms: Collection[str] | None, *, trusted: bool) -> VerificationKey:
    """Make a verification key from one JWK; `algorithms` are those allowed, None for all supported ones.

    `trusted` says that the operator configured the key; only then may it be a shared secret. Raises `UnusableKey`, and
    nothing else, for: an algorithm that is unknown, not allowed, not for this type and curve, or missing where not
    exactly one allowed algorithm fits; RSA outside 2048 to 8192 bits, with an unusual exponent or with the ROCA
    weakness; a point that is not on its curve; a secret shorter than the hash (RFC 7518, section 3.2) or one that is
    a public key, certificate or JWK; private members; `use` other than `sig`, and `key_ops` without `verify` (RFC 7517,
    sections 4.2 and 4.3); members that are not canonical base64url.
    """
    if not is_json_object(jwk):
        raise UnusableKey("is not a JSON object")
    members = dict(jwk)
    kid = _kid(members)
    _check_purpose(members)
    algorithm = _select_algorithm(members, algorithms)
    key_type = _KEY_TYPES[algorithm]
    _check_private_members(key_type, members, trusted=trusted)
    public = {"kty": key_type.kty, **{name: _member_text(members, name) for name in key_type.members}}
    length = _signature_length(key_type, public)
    check = signature_check(algorithm, _material(algorithm, public))
    _check_usable(algorithm, check, length)
    return VerificationKey(
        kid=kid,
        algorithm=algorithm,
        symmetric=key_type.kty == "oct",
        thumbprint=_thumbprint(public),
        names=frozenset({algorithm, public["crv"]} if algorithm == "EdDSA" else {algorithm}),
        _signature_length=length,
        _check=check,
    )


def public_thumbprint(jwk: object) -> str:
    """Return the SHA-256 thumbprint of a public key in base64url (RFC 7638, section 3), before the key is loaded.

    Raises `UnusableKey` for a shared secret, private members, an unknown type, and members that are no text.
    """
    if not is_json_object(jwk):
        raise UnusableKey("is not a JSON object")
    members = dict(jwk)
    kty, crv = members.get("kty"), members.get("crv")
    key_type = next((each for each in _KEY_TYPES.values() if _matches_key_type(each, kty, crv)), None)
    if key_type is None:
        raise UnusableKey("has a type or curve that no supported algorithm uses")
    _check_private_members(key_type, members, trusted=False)
    public = {"kty": key_type.kty, **{name: _member_text(members, name) for name in key_type.members}}
    return encode_base64url(_thumbprint_digest(public))


def _kid(members: Mapping[str, object]) -> str | None:
    if "kid" not in members:
        return None
    kid = members["kid"]
    if not isinstance(kid, str):
        raise UnusableKey("kid is not a string")
    fault = kid_fault(kid)
    if fault is not None:
        raise UnusableKey(fault)
    return kid


def _check_purpose(members: Mapping[str, object]) -> None:
    use = members.get("use", "sig")
    if use == "enc":
        raise UnusableKey("is for encryption (use)", skippable=True)
    if use != "sig":
        raise UnusableKey("use is neither sig nor enc")
    operations = members.get("key_ops", ["verify"])
    if not isinstance(operations, list | tuple):
        raise UnusableKey("key_ops is not a list")
    if "verify" not in operations:
        raise UnusableKey("is not for verifying (key_ops)", skippable=True)


def _check_private_members(key_type: _KeyType, members: Mapping[str, object], *, trusted: bool) -> None:
    if key_type.kty == "oct":
        if not trusted:
            raise UnusableKey("is a shared secret, which must not be in a published set")
    elif not _PRIVATE.isdisjoint(members):
        raise UnusableKey("holds private members: give the public half, and replace a key that was published")


def _select_algorithm(members: Mapping[str, object], algorithms: Collection[str] | None) -> str:
    kty, crv = members.get("kty"), members.get("crv")
    fitting = [name for name, key_type in _KEY_TYPES.items() if _matches_key_type(key_type, kty, crv)]
    if not fitting:
        raise UnusableKey("has a type or curve that no supported algorithm uses")
    if "alg" in members:
        return _check_declared_algorithm(members["alg"], fitting, crv, algorithms)
    allowed = [name for name in fitting if _is_allowed(name, crv, algorithms)]
    if not allowed:
        raise UnusableKey("fits none of the allowed algorithms")
    if len(allowed) > 1:
        raise UnusableKey(f"has no alg and fits {', '.join(allowed)}: give it an alg, or allow only one of them")
    return allowed[0]


def _check_declared_algorithm(
    stated: object, fitting: Collection[str], crv: object, algorithms: Collection[str] | None
) -> str:
    if not isinstance(stated, str) or stated not in ALGORITHMS:
        raise UnusableKey("alg is not a supported signature algorithm")
    if stated in _EDWARDS:
        fits = stated == crv
        name = "EdDSA"
    else:
        fits = stated in fitting
        name = stated
    if not fits:
        raise UnusableKey(f"alg {stated} does not match its type or curve")
    if not _is_allowed(name, crv, algorithms):
        raise UnusableKey(f"alg {stated} is not among the allowed algorithms")
    return name


def _matches_key_type(key_type: _KeyType, kty: object, crv: object) -> bool:
    return key_type.kty == kty and (crv in key_type.curves or not key_type.curves)


def _is_allowed(name: str, crv: object, algorithms: Collection[str] | None) -> bool:
    return algorithms is None or name in algorithms or (name == "EdDSA" and crv in algorithms)


def _member_text(members: Mapping[str, object], name: str) -> str:
    value = members.get(name)
    if not isinstance(value, str) or not value or len(value) > MAX_MEMBER:
        raise UnusableKey(f"{name} is missing, not a string, empty or too long")
    return value


def _member_bytes(public: Mapping[str, str], name: str) -> bytes:
    text = public[name]
    decoded = decode_base64url(text.encode("ascii")) if text.isascii() else None
    if decoded is None:
        raise UnusableKey(f"{name} is not canonical base64url")
    return decoded


def _signature_length(key_type: _KeyType, public: Mapping[str, str]) -> int:
    """Check the numbers of the key, and return the length of its signatures."""
    numbers = {name: _member_bytes(public, name) for name in key_type.members if name != "crv"}
    weakness = None
    length = key_type.signature or _EDWARDS.get(public.get("crv", ""), 0)
    if key_type.kty == "RSA":
        modulus = int.from_bytes(numbers["n"], "big")
        weakness = rsa_weakness(modulus, int.from_bytes(numbers["e"], "big"))
        length = (modulus.bit_length() + 7) // 8
    elif key_type.kty == "oct":
        weakness = secret_weakness(numbers["k"], key_type.signature)
    if weakness is not None:
        raise UnusableKey(weakness)
    return length


def _material(algorithm: str, public: dict[str, str]) -> Any:
    implementation = _PYJWT_ALGORITHMS[algorithm]
    with suppress(Exception):  # the libraries raise many types, and all mean the same here
        return implementation.prepare_key(implementation.from_jwk(public))
    # Raised outside the handler, so that a library's exception, which may hold the key, is not the error's context.
    raise UnusableKey(f"is not a valid {public['kty']} key: a coordinate, length or number is wrong")


def _check_usable(algorithm: str, check: SignatureCheck, length: int) -> None:
    """Refuse a key that this build of OpenSSL cannot compute with, by verifying a signature that must be invalid."""
    verified = False
    try:
        verified = check(b"", bytes(length))
    except InvalidSignature:
        return
    except Exception:  # noqa: BLE001 - see _material
        verified = True
    if verified:
        raise UnusableKey(f"cannot be used for {algorithm} by this machine's OpenSSL")


def _thumbprint(public: Mapping[str, str]) -> str:
    if public["kty"] == "oct":
        return hmac.digest(_member_bytes(public, "k"), b"content of a shared secret", "sha256").hex()
    return _thumbprint_digest(public).hex()


def _thumbprint_digest(public: Mapping[str, str]) -> bytes:
    canonical = json.dumps(dict(sorted(public.items())), separators=(",", ":"))
    return hashlib.sha256(canonical.encode("ascii")).digest()
