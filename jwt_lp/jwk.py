"""Is this key fit to verify with?

Turns one JSON Web Key (RFC 7517, RFC 7518 section 6, RFC 8037) into a value that verifies signatures of
exactly one algorithm. What is weak, private, ambiguous or not written canonically is refused with a reason.
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

from jwt.algorithms import Algorithm, get_default_algorithms

from jwt_lp.errors import ConfigurationError
from jwt_lp.jws import decode_base64url, kid_fault
from jwt_lp.sources import is_object
from jwt_lp.weakness import rsa_weakness, secret_weakness

MAX_MEMBER: Final = 4096


class _Shape(NamedTuple):
    """Which keys an algorithm takes, and how long its signatures are (for RSA the modulus says)."""

    kty: str
    curves: tuple[str, ...]
    signature: int
    members: tuple[str, ...]


_POINT: Final = ("crv", "x", "y")
_RSA: Final = _Shape("RSA", (), 0, ("n", "e"))
_SHAPES: Final[Mapping[str, _Shape]] = MappingProxyType(
    {
        **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), _RSA),
        "ES256": _Shape("EC", ("P-256",), 64, _POINT),
        "ES384": _Shape("EC", ("P-384",), 96, _POINT),
        "ES512": _Shape("EC", ("P-521",), 132, _POINT),
        "EdDSA": _Shape("OKP", ("Ed25519", "Ed448"), 0, ("crv", "x")),
        "HS256": _Shape("oct", (), 32, ("k",)),
        "HS384": _Shape("oct", (), 48, ("k",)),
        "HS512": _Shape("oct", (), 64, ("k",)),
    }
)
_ENGINES: Final[Mapping[str, Algorithm]] = MappingProxyType(get_default_algorithms())
_EDWARDS: Final[Mapping[str, int]] = MappingProxyType({"Ed25519": 64, "Ed448": 114})
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})

ALGORITHMS: Final = frozenset(_SHAPES) | frozenset(_EDWARDS)
"""Every algorithm name that may be configured (RFC 7518, RFC 8037, RFC 9864)."""
SYMMETRIC: Final = frozenset({"HS256", "HS384", "HS512"})


class UnfitKey(ConfigurationError):
    """A key that must not verify anything. `skippable` when it merely was not meant for signatures."""

    def __init__(self, reason: str, *, skippable: bool = False) -> None:
        self.reason = reason
        self.skippable = skippable
        super().__init__(reason)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class VerificationKey:
    """A key and the one algorithm it may be used with (RFC 8725, section 3.1).

    A key on an Edwards curve also answers to its curve's name (RFC 9864): it is the same computation.
    `thumbprint` compares content and is nothing to show: of a secret it is a keyed digest.
    """

    kid: str | None
    algorithm: str
    symmetric: bool
    thumbprint: str
    _names: frozenset[str]
    _signature_length: int
    _engine: Algorithm
    _material: Any

    def fits(self, algorithm: str) -> bool:
        """Tell whether a header's `alg` is this key's algorithm."""
        return algorithm in self._names

    def verify(self, signing_input: bytes, signature: bytes) -> bool:
        """Tell whether the signature is this key's over these bytes (RFC 7515, section 5.2); never raises."""
        if len(signature) != self._signature_length:
            return False
        try:
            # INVARIANT: the engine comes from the key alone; nothing the token says picks the computation.
            return self._engine.verify(signing_input, self._material, signature) is True
        except Exception:  # noqa: BLE001 - what a library makes of an odd signature is still no signature
            return False

    def __repr__(self) -> str:
        return f"VerificationKey(kid={self.kid!r}, algorithm={self.algorithm!r})"


def same_algorithms(algorithms: Collection[str]) -> frozenset[str]:
    """Give the names a header may use when these are allowed: an Edwards curve has two (RFC 9864)."""
    names = set(algorithms)
    if "EdDSA" in names:
        names |= set(_EDWARDS)
    elif not names.isdisjoint(_EDWARDS):
        names.add("EdDSA")
    return frozenset(names)


def load(jwk: object, algorithms: Collection[str] | None, *, trusted: bool) -> VerificationKey:
    """Make a verification key of one JWK; `algorithms` are those allowed, None for any we support.

    `trusted` says that the operator wrote the key down: only then may it be a shared secret. Refuses with
    `UnfitKey`, and nothing else: an algorithm that is missing and not decided by the one that fits, unknown,
    not allowed or not for this type and curve; RSA outside 2048 to 8192 bits, with an odd-one-out exponent
    or with the ROCA weakness; a point off its curve; a secret shorter than the hash (RFC 7518, section 3.2)
    or one that is a public key in disguise; private members; `use` other than `sig` and `key_ops` without
    `verify` (RFC 7517, sections 4.2 and 4.3); members that are not canonical base64url.
    """
    if not is_object(jwk):
        raise UnfitKey("is no JSON object")
    members = dict(jwk)
    kid = _kid(members)
    _check_purpose(members)
    algorithm = _bound_algorithm(members, algorithms)
    shape = _SHAPES[algorithm]
    _check_publicity(shape, members, trusted=trusted)
    public = {"kty": shape.kty, **{name: _text(members, name) for name in shape.members}}
    length = _signature_length(shape, public)
    material = _material(algorithm, public)
    _rehearse(algorithm, material, length)
    return VerificationKey(
        kid=kid,
        algorithm=algorithm,
        symmetric=shape.kty == "oct",
        thumbprint=_thumbprint(public),
        _names=frozenset({algorithm, public["crv"]} if algorithm == "EdDSA" else {algorithm}),
        _signature_length=length,
        _engine=_ENGINES[algorithm],
        _material=material,
    )


def _kid(members: Mapping[str, object]) -> str | None:
    if "kid" not in members:
        return None
    kid = members["kid"]
    if not isinstance(kid, str):
        raise UnfitKey("kid is no string")
    fault = kid_fault(kid)
    if fault is not None:
        raise UnfitKey(fault)
    return kid


def _check_purpose(members: Mapping[str, object]) -> None:
    use = members.get("use", "sig")
    if use == "enc":
        raise UnfitKey("is for encryption (use)", skippable=True)
    if use != "sig":
        raise UnfitKey("use is neither sig nor enc")
    operations = members.get("key_ops", ["verify"])
    if not isinstance(operations, list | tuple):
        raise UnfitKey("key_ops is no list")
    if "verify" not in operations:
        raise UnfitKey("is not for verifying (key_ops)", skippable=True)


def _check_publicity(shape: _Shape, members: Mapping[str, object], *, trusted: bool) -> None:
    if shape.kty == "oct":
        if not trusted:
            raise UnfitKey("is a shared secret, which no published set may hold")
    elif not _PRIVATE.isdisjoint(members):
        raise UnfitKey("holds private members: give the public half, and replace a key that was published")


def _bound_algorithm(members: Mapping[str, object], algorithms: Collection[str] | None) -> str:
    kty, crv = members.get("kty"), members.get("crv")
    fitting = [name for name, shape in _SHAPES.items() if _suits(shape, kty, crv)]
    if not fitting:
        raise UnfitKey("is of a type or curve that no supported algorithm uses")
    if "alg" in members:
        return _stated_algorithm(members["alg"], fitting, crv, algorithms)
    allowed = [name for name in fitting if _allowed(name, crv, algorithms)]
    if not allowed:
        raise UnfitKey("fits none of the allowed algorithms")
    if len(allowed) > 1:
        raise UnfitKey(f"has no alg and fits {', '.join(allowed)}: give it an alg, or allow only one of them")
    return allowed[0]


def _stated_algorithm(stated: object, fitting: Collection[str], crv: object, algorithms: Collection[str] | None) -> str:
    if not isinstance(stated, str) or stated not in ALGORITHMS:
        raise UnfitKey("alg is none of the supported signature algorithms")
    if stated in _EDWARDS:
        fits = stated == crv
        name = "EdDSA"
    else:
        fits = stated in fitting
        name = stated
    if not fits:
        raise UnfitKey(f"alg {stated} does not go with its type or curve")
    if not _allowed(name, crv, algorithms):
        raise UnfitKey(f"alg {stated} is not among the allowed algorithms")
    return name


def _suits(shape: _Shape, kty: object, crv: object) -> bool:
    return shape.kty == kty and (crv in shape.curves or not shape.curves)


def _allowed(name: str, crv: object, algorithms: Collection[str] | None) -> bool:
    return algorithms is None or name in algorithms or (name == "EdDSA" and crv in algorithms)


def _text(members: Mapping[str, object], name: str) -> str:
    value = members.get(name)
    if not isinstance(value, str) or not value or len(value) > MAX_MEMBER:
        raise UnfitKey(f"{name} is missing, no string, empty or too long")
    return value


def _bytes(public: Mapping[str, str], name: str) -> bytes:
    text = public[name]
    decoded = decode_base64url(text.encode("ascii")) if text.isascii() else None
    if decoded is None:
        raise UnfitKey(f"{name} is not canonical base64url")
    return decoded


def _signature_length(shape: _Shape, public: Mapping[str, str]) -> int:
    """Check the numbers of the key, and give the length that every signature of it has."""
    numbers = {name: _bytes(public, name) for name in shape.members if name != "crv"}
    weakness = None
    length = shape.signature or _EDWARDS.get(public.get("crv", ""), 0)
    if shape.kty == "RSA":
        modulus = int.from_bytes(numbers["n"], "big")
        weakness = rsa_weakness(modulus, int.from_bytes(numbers["e"], "big"))
        length = (modulus.bit_length() + 7) // 8
    elif shape.kty == "oct":
        weakness = secret_weakness(numbers["k"], shape.signature)
    if weakness is not None:
        raise UnfitKey(weakness)
    return length


def _material(algorithm: str, public: dict[str, str]) -> Any:
    engine = _ENGINES[algorithm]
    with suppress(Exception):  # the libraries raise many types, all of which mean the same here
        return engine.prepare_key(engine.from_jwk(public))
    # Raised out here so that no library's exception, which may hold the key, hangs on ours as its context.
    raise UnfitKey(f"is no valid {public['kty']} key: a coordinate, length or number is wrong")


def _rehearse(algorithm: str, material: Any, length: int) -> None:
    """Refuse a key that this build of OpenSSL cannot compute with, while nobody depends on it yet."""
    try:
        answer = _ENGINES[algorithm].verify(b"", material, bytes(length))
    except Exception:  # noqa: BLE001 - see _material
        answer = True
    if answer:
        raise UnfitKey(f"cannot be used for {algorithm} by this machine's OpenSSL")


def _thumbprint(public: Mapping[str, str]) -> str:
    if public["kty"] == "oct":
        return hmac.digest(_bytes(public, "k"), b"content of a shared secret", "sha256").hex()
    canonical = json.dumps(dict(sorted(public.items())), separators=(",", ":"))
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()
