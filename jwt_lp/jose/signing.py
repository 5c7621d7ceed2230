"""Signing keys, and signing compact JWS (RFC 7515, RFC 7518)."""

from __future__ import annotations

import json
import math
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from jwt.algorithms import get_default_algorithms

from jwt_lp._support.json_types import is_json_object
from jwt_lp.errors import ConfigurationError, clears_locals
from jwt_lp.jose.jwk import ALGORITHMS, SYMMETRIC, load_jwk
from jwt_lp.jose.jwks import KeysStatus, StaticKeys

if TYPE_CHECKING:
    from jwt_lp._support.worker import Worker
    from jwt_lp.jose.jwk import VerificationKey

_PYJWT_ALGORITHMS: Final[Mapping[str, Any]] = MappingProxyType(get_default_algorithms())
_CURVES: Final[Mapping[str, type[ec.EllipticCurve]]] = MappingProxyType(
    {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}
)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class SigningKey:
    """A private key with its `kid` and its one algorithm. The repr does not show the key material."""

    kid: str
    algorithm: str
    _key: Any

    @classmethod
    def generate(cls, algorithm: str = "ES256", *, kid: str | None = None) -> Self:
        """Make a new key for `algorithm`: RS, PS, ES and HS 256/384/512, EdDSA, Ed25519 or Ed448."""
        _check_algorithm(algorithm)
        return cls(kid or secrets.token_hex(8), algorithm, _new_key(algorithm))

    @classmethod
    @clears_locals
    def from_jwk(cls, jwk: object) -> Self:
        """Read a private JWK with `kid` and `alg`; raise `ConfigurationError`, which shows nothing of the key."""
        members: dict[str, object] = dict(jwk) if is_json_object(jwk) else {}
        kid, algorithm = members.get("kid"), members.get("alg")
        if not (isinstance(kid, str) and isinstance(algorithm, str)):
            raise ConfigurationError("the signing key is not a private JWK with kid and alg")
        _check_algorithm(algorithm)
        try:
            key = _pyjwt_algorithm(algorithm).from_jwk(members)
        except (jwt.InvalidKeyError, ValueError, TypeError, KeyError, AttributeError):
            key = None
        signing_key = cls(kid, algorithm, key)
        if not (isinstance(key, bytes) or hasattr(key, "sign")):
            raise ConfigurationError(f"the signing key {kid!a} is not a private JWK for {algorithm}")
        # The public key must pass the rules by which its signatures are verified.
        load_jwk(signing_key.public_jwk(), None, trusted=True)
        return signing_key

    @clears_locals
    def public_jwk(self) -> dict[str, object]:
        """Return the JWK to publish. For a secret (HS…) it is the secret itself, which only the verifier may get."""
        symmetric = self.algorithm.startswith("HS")
        return self._jwk(self._key if symmetric else self._key.public_key())

    @clears_locals
    def private_jwk(self) -> dict[str, object]:
        """Return the JWK to store."""
        return self._jwk(self._key)

    @clears_locals
    def sign_compact(self, payload: bytes, *, typ: str | None, embedded_key: bool = False) -> str:
        """Return the compact JWS of `payload`, with `kid`, `alg` and `typ` in its header.

        With `embedded_key` the header has the public key as `jwk` in place of `kid`, for proofs of possession.
        """
        header = self._proof_header(typ) if embedded_key else _encode_header(self.kid, self.algorithm, typ)
        signing_input = header + b"." + _base64url(payload)
        signature = _PYJWT_ALGORITHMS[_pyjwt_name(self.algorithm)].sign(signing_input, self._key)
        return (signing_input + b"." + _base64url(signature)).decode()

    def _proof_header(self, typ: str | None) -> bytes:
        if self.algorithm in SYMMETRIC:
            raise ConfigurationError(f"{self.algorithm} is a shared secret, which is in no header")
        jwk = {name: value for name, value in self.public_jwk().items() if name not in {"kid", "alg", "use"}}
        header = {"alg": _pyjwt_name(self.algorithm), "typ": typ, "jwk": jwk}
        return _base64url(json.dumps(header, separators=(",", ":")).encode())

    def _jwk(self, key: object) -> dict[str, object]:
        members = json.loads(_pyjwt_algorithm(self.algorithm).to_jwk(key))
        members.pop("key_ops", None)
        return {**members, "kid": self.kid, "alg": self.algorithm, "use": "sig"}

    def __repr__(self) -> str:
        return f"<SigningKey {self.kid} {self.algorithm}>"


class SigningKeys(Protocol):
    """Signing keys of one kind, symmetric or asymmetric, that may change while tokens are made."""

    @property
    def current(self) -> SigningKey:
        """The key that signs now."""
        ...

    @property
    def generation(self) -> int:
        """A number that changes whenever the set to publish changes."""
        ...

    def jwks(self) -> dict[str, object]:
        """Return the set to publish: every key whose tokens may be alive, and the one that signs next."""
        ...


@dataclass(frozen=True, slots=True)
class FixedSigningKey:
    """One key that never changes, as `SigningKeys`."""

    current: SigningKey
    generation: int = 0

    def jwks(self) -> dict[str, object]:
        """Return the public key; a secret is never published."""
        return {"keys": [] if self.current.algorithm in SYMMETRIC else [self.current.public_jwk()]}


class OwnKeySource:
    """A source of keys for a verifier, with the current public keys of our own signing keys."""

    def __init__(self, keys: SigningKeys) -> None:
        self._keys = keys
        self._cached = (keys.generation, self._verification_keys())

    @property
    def algorithms(self) -> frozenset[str]:
        """The algorithms of the same kind, symmetric or asymmetric, as the current key's."""
        return SYMMETRIC if self._keys.current.algorithm in SYMMETRIC else ALGORITHMS - SYMMETRIC

    @property
    def generation(self) -> int:
        """The generation of the signing keys."""
        return self._keys.generation

    def find(
        self, kid: str | None, algorithm: str, *, wait: bool = True, age: float = 0.0
    ) -> tuple[VerificationKey, ...]:
        """Return the keys to try, or none; never wait."""
        generation, keys = self._cached
        if generation != self._keys.generation:
            # The generation is read before the set, so that a change in between causes another read the next time.
            generation = self._keys.generation
            keys = self._verification_keys()
            self._cached = (generation, keys)
        return keys.find(kid, algorithm, wait=wait, age=age)

    def usable_for(self) -> float:
        """Return infinity, because the keys do not expire."""
        return math.inf

    def start(self, worker: Worker) -> None:
        """Do nothing: there is no background work."""

    def status(self) -> KeysStatus:
        """Return that the keys are loaded; their age does not matter."""
        return self._cached[1].status()

    def _verification_keys(self) -> StaticKeys:
        secret = self._keys.current.algorithm in SYMMETRIC
        return StaticKeys.from_jwks({"keys": [self._keys.current.public_jwk()]} if secret else self._keys.jwks())


def sign(claims: Mapping[str, object], key: SigningKey, *, typ: str | None = "at+jwt") -> str:
    """Sign `claims` unchanged and unchecked; return the compact JWS."""
    return key.sign_compact(json.dumps(dict(claims), separators=(",", ":")).encode(), typ=typ)


def _check_algorithm(algorithm: str) -> None:
    if algorithm not in ALGORITHMS:
        raise ConfigurationError(f"the algorithm {algorithm!a} is not supported")


def _pyjwt_name(algorithm: str) -> str:
    """Return PyJWT's name of the algorithm: it calls RFC 9864's Ed25519 and Ed448 EdDSA."""
    return "EdDSA" if algorithm in {"Ed25519", "Ed448"} else algorithm


def _pyjwt_algorithm(algorithm: str) -> Any:
    return _PYJWT_ALGORITHMS[_pyjwt_name(algorithm)]


@lru_cache(maxsize=64)
def _encode_header(kid: str, algorithm: str, typ: str | None) -> bytes:
    """Return the header's segment, cached per key and type. `alg` is PyJWT's name of the algorithm."""
    header = {"alg": _pyjwt_name(algorithm), "kid": kid} | ({} if typ is None else {"typ": typ})
    return _base64url(json.dumps(header, separators=(",", ":")).encode())


def _base64url(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


def _new_key(algorithm: str) -> object:
    if algorithm.startswith("HS"):
        return secrets.token_bytes(int(algorithm[2:]) // 8)
    if algorithm.startswith(("RS", "PS")):
        return rsa.generate_private_key(65537, 2048)
    if algorithm.startswith("ES"):
        return ec.generate_private_key(_CURVES[algorithm]())
    return ed448.Ed448PrivateKey.generate() if algorithm == "Ed448" else ed25519.Ed25519PrivateKey.generate()
