"""How is a token made?

RFC 7515 and RFC 7519; RFC 9068 says what an access token has in it.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from jwt.algorithms import get_default_algorithms

from jwt_lp.errors import ConfigurationError
from jwt_lp.jwk import ALGORITHMS, load
from jwt_lp.sources import is_object

if TYPE_CHECKING:
    from jwt_lp.claims import ClaimProfile, Source

_CURVES: Final[Mapping[str, type[ec.EllipticCurve]]] = MappingProxyType(
    {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}
)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class SigningKey:
    """A private key with its name and its one algorithm. Its repr shows neither key nor material."""

    kid: str
    algorithm: str
    _key: Any

    @classmethod
    def generate(cls, algorithm: str = "ES256", *, kid: str | None = None) -> Self:
        """Make a new key for `algorithm`: RS, PS, ES and HS 256/384/512, EdDSA, Ed25519 or Ed448."""
        _check_algorithm(algorithm)
        return cls(kid or secrets.token_hex(8), algorithm, _new_key(algorithm))

    @classmethod
    def from_jwk(cls, jwk: object) -> Self:
        """Read a private JWK that names its `kid` and `alg`; `ConfigurationError` without a word of its content."""
        members: dict[str, object] = dict(jwk) if is_object(jwk) else {}
        kid, algorithm = members.get("kid"), members.get("alg")
        if not (isinstance(kid, str) and isinstance(algorithm, str)):
            raise ConfigurationError("the signing key is no private JWK with kid and alg")
        _check_algorithm(algorithm)
        try:
            key = _implementation(algorithm).from_jwk(members)
        except (jwt.InvalidKeyError, ValueError, TypeError, KeyError, AttributeError):
            key = None
        found = cls(kid, algorithm, key)
        if not (isinstance(key, bytes) or hasattr(key, "sign")):
            raise ConfigurationError(f"the signing key {kid!a} is no private JWK for {algorithm}")
        # What it signs will be verified by the same rules.
        load(found.public_jwk(), None, trusted=True)
        return found

    def public_jwk(self) -> dict[str, object]:
        """The JWK to publish; for a secret (HS…) the secret itself, which only goes to the verifying side."""
        symmetric = self.algorithm.startswith("HS")
        return self._jwk(self._key if symmetric else self._key.public_key())

    def private_jwk(self) -> dict[str, object]:
        """The JWK to keep."""
        return self._jwk(self._key)

    def compact(self, payload: bytes, *, typ: str | None) -> str:
        """The compact JWS of `payload`, with `kid`, `alg` and `typ` in its header."""
        headers = {"kid": self.kid, "typ": typ}
        return jwt.PyJWS().encode(payload, self._key, algorithm=_registered(self.algorithm), headers=headers)

    def _jwk(self, key: object) -> dict[str, object]:
        members = json.loads(_implementation(self.algorithm).to_jwk(key))
        members.pop("key_ops", None)
        return {**members, "kid": self.kid, "alg": self.algorithm, "use": "sig"}

    def __repr__(self) -> str:
        return f"<SigningKey {self.kid} {self.algorithm}>"


def sign(claims: Mapping[str, object], key: SigningKey, *, typ: str | None = "at+jwt") -> str:
    """Sign `claims` as they are, with no claim added and none checked."""
    return key.compact(json.dumps(dict(claims), separators=(",", ":")).encode(), typ=typ)


def shaped(
    profile: ClaimProfile, registered: Mapping[str, object], permissions: Iterable[str], roles: Iterable[str]
) -> tuple[dict[str, object], str | None]:
    """Return `(claims, typ)` of a user's access token as an issuer of this profile would shape it.

    `registered` holds `iss`, `sub`, `aud`, `iat`, `exp`, `jti` and `client_id`; `roles` are outside names with
    their label (`realm:clerk`), or bare for the first source of roles. `ConfigurationError` for a permission or a
    role that no claim of the profile can carry.
    """
    claims: dict[str, object] = {name: registered[name] for name in ("iss", "iat", "exp")}
    claims[profile.substitute or profile.audience] = registered["aud"]
    claims[profile.subject] = registered["sub"]
    claims[profile.token_id] = registered["jti"]
    for name in profile.client[:1]:
        claims.setdefault(name, registered["client_id"])
    claims.update({name: min(values) for name, values in profile.expected.items()})
    sources = {source.path: source for source in (*profile.ceiling, *profile.sources) if source.counts(app=False)}
    for permission in dict.fromkeys(permissions):
        _carry(claims, [each for each in sources.values() if each.kind == "permissions"], permission, registered)
    for role in dict.fromkeys(roles):
        _carry_role(claims, list(sources.values()), role, registered)
    # A claim that has to be there and carries grants is empty; of any other nothing is known, so it says who asked.
    empty: dict[str, object] = {
        path[0]: {} if len(path) > 1 else "" if source.shape == "text" else [] for path, source in sources.items()
    }
    for name in (*profile.required, *(names[0] for names in profile.any_of)):
        claims.setdefault(name, empty.get(name, registered["client_id"]))
    typ = min(profile.types, key=lambda each: (each == "", each))
    return claims, "JWT" if typ == "jwt" else typ or None


def _carry(claims: dict[str, object], sources: Sequence[Source], value: str, registered: Mapping[str, object]) -> None:
    if not sources:
        raise ConfigurationError(f"the profile has no claim that could carry {value!a}")
    for source in sources:
        _put(claims, source, [str(registered["client_id"])] * source.path.count("*"), value)


def _carry_role(
    claims: dict[str, object], sources: Sequence[Source], name: str, registered: Mapping[str, object]
) -> None:
    label, _, rest = name.partition(":")
    named = [source for source in sources if source.label == label and rest]
    if not named:
        _carry(claims, [source for source in sources if source.kind == "roles"][:1], name, registered)
        return
    *keys, value = rest.split(":", named[0].path.count("*"))
    _put(claims, named[0], [key.replace("%3A", ":").replace("%25", "%") for key in keys], value)


def _put(claims: dict[str, object], source: Source, keys: list[str], value: str) -> None:
    filled = iter(keys)
    *path, last = [next(filled) if key == "*" else key for key in source.path]
    node: Any = claims
    for key in path:
        node = node.setdefault(key, {})
    if source.shape == "text":
        node[last] = " ".join(dict.fromkeys([*node.get(last, "").split(), value]))
    elif value not in node.setdefault(last, []):
        node[last].append(value)


def _check_algorithm(algorithm: str) -> None:
    if algorithm not in ALGORITHMS:
        raise ConfigurationError(f"the algorithm {algorithm!a} is not supported")


def _registered(algorithm: str) -> str:
    """PyJWT's name: RFC 9864's Ed25519 and Ed448 are what it calls EdDSA."""
    return "EdDSA" if algorithm in {"Ed25519", "Ed448"} else algorithm


def _implementation(algorithm: str) -> Any:
    return get_default_algorithms()[_registered(algorithm)]


def _new_key(algorithm: str) -> object:
    if algorithm.startswith("HS"):
        return secrets.token_bytes(int(algorithm[2:]) // 8)
    if algorithm.startswith(("RS", "PS")):
        return rsa.generate_private_key(65537, 2048)
    if algorithm.startswith("ES"):
        return ec.generate_private_key(_CURVES[algorithm]())
    return ed448.Ed448PrivateKey.generate() if algorithm == "Ed448" else ed25519.Ed25519PrivateKey.generate()
