"""How is a token made?

RFC 7515 and RFC 7519; RFC 9068 says what an access token has in it.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self, cast

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from jwt.algorithms import get_default_algorithms

from jwt_lp.errors import ConfigurationError

if TYPE_CHECKING:
    from jwt_lp.claims import ClaimProfile, Source

_CURVES: Final = (("ES256", ec.SECP256R1), ("ES384", ec.SECP384R1), ("ES512", ec.SECP521R1))


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class SigningKey:
    """A private key with its name and its one algorithm. Its repr shows neither key nor material."""

    kid: str
    algorithm: str
    _key: Any

    @classmethod
    def generate(cls, algorithm: str = "ES256", *, kid: str | None = None) -> Self:
        """Make a new key for `algorithm`: RS, PS, ES and HS 256/384/512, EdDSA, Ed25519 or Ed448."""
        return cls(kid or secrets.token_hex(8), algorithm, _new_key(algorithm))

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, object]) -> Self:
        """Read a private JWK that names its `kid` and `alg`; `ConfigurationError` without a word of its content."""
        kid, algorithm = jwk.get("kid"), jwk.get("alg")
        if isinstance(kid, str) and isinstance(algorithm, str):
            try:
                return cls(kid, algorithm, _implementation(algorithm).from_jwk(dict(jwk)))
            except (jwt.InvalidKeyError, ValueError, TypeError, KeyError):
                pass
        raise ConfigurationError("the signing key is no private JWK with kid and alg")

    def public_jwk(self) -> dict[str, object]:
        """The JWK to publish; for a secret (HS…) the secret itself, which only goes to the verifying side."""
        symmetric = self.algorithm.startswith("HS")
        return self._jwk(self._key if symmetric else self._key.public_key())

    def private_jwk(self) -> dict[str, object]:
        """The JWK to keep."""
        return self._jwk(self._key)

    def _jwk(self, key: object) -> dict[str, object]:
        members = json.loads(_implementation(self.algorithm).to_jwk(key))
        members.pop("key_ops", None)
        return {**members, "kid": self.kid, "alg": self.algorithm, "use": "sig"}

    def __repr__(self) -> str:
        return f"<SigningKey {self.kid} {self.algorithm}>"


def sign(claims: Mapping[str, object], key: SigningKey, *, typ: str | None = "at+jwt") -> str:
    """Sign `claims` as they are, with no claim added and none checked."""
    payload = json.dumps(dict(claims), separators=(",", ":")).encode()
    headers = {"kid": key.kid, "typ": typ}
    return jwt.PyJWS().encode(payload, key._key, algorithm=_registered(key.algorithm), headers=headers)  # noqa: SLF001


def shaped(
    profile: ClaimProfile, registered: Mapping[str, object], permissions: Iterable[str], roles: Iterable[str]
) -> tuple[dict[str, object], str | None]:
    """Return `(claims, typ)` of a user's access token as an issuer of this profile would shape it.

    `registered` holds `iss`, `sub`, `aud`, `iat`, `exp`, `jti` and `client_id`; `roles` are the issuer's own
    names, each with its label (`realm:clerk`) or bare for the first source of roles.
    """
    audience = profile.substitute or profile.audience
    claims = {**registered, profile.subject: registered["sub"], profile.token_id: registered["jti"]}
    claims[audience] = claims.pop("aud")
    for name in (*profile.client[:1], *profile.required, *(names[0] for names in profile.any_of)):
        claims.setdefault(name, registered["client_id"])
    claims.update({name: min(values) for name, values in profile.expected.items()})
    wanted = [("permissions", value) for value in permissions] + [("roles", value) for value in roles]
    places = {source.path: source for source in (*profile.ceiling, *profile.sources) if source.counts(app=False)}
    for source in places.values():
        _fill(claims, source, wanted)
    typ = min(profile.types, key=lambda each: (each == "", each))
    return claims, "JWT" if typ == "jwt" else typ or None


def _fill(claims: dict[str, object], source: Source, wanted: list[tuple[str, str]]) -> None:
    values = []
    for kind, value in list(wanted):
        label, _, rest = value.partition(":")
        if kind == source.kind and kind == "permissions":
            values.append((source.path, value))
        elif kind == source.kind and (label == source.label or not rest):
            keys = (rest or value).split(":") if "*" in source.path else [rest or value]
            path = tuple(keys[0] if key == "*" else key for key in source.path)
            values.append((path, keys[-1]))
            wanted.remove((kind, value))
    for path, value in values:
        node = claims
        for key in path[:-1]:
            node = cast("dict[str, object]", node.setdefault(key, {}))
        if source.shape == "text":
            node[path[-1]] = f"{node.get(path[-1], '')} {value}".strip()
        else:
            node[path[-1]] = [*cast("list[str]", node.get(path[-1], [])), value]


def _registered(algorithm: str) -> str:
    """PyJWT's name: RFC 9864's Ed25519 and Ed448 are what it calls EdDSA."""
    return "EdDSA" if algorithm in {"Ed25519", "Ed448"} else algorithm


def _implementation(algorithm: str) -> Any:
    found = get_default_algorithms().get(_registered(algorithm))
    if found is None:
        raise ConfigurationError(f"the algorithm {algorithm!a} is not supported")
    return found


def _new_key(algorithm: str) -> object:
    if algorithm.startswith("HS"):
        return secrets.token_bytes(int(algorithm[2:]) // 8)
    if algorithm.startswith(("RS", "PS")):
        return rsa.generate_private_key(65537, 2048)
    if algorithm == "Ed448":
        return ed448.Ed448PrivateKey.generate()
    if algorithm in {"EdDSA", "Ed25519"}:
        return ed25519.Ed25519PrivateKey.generate()
    curve = dict(_CURVES).get(algorithm)
    if curve is None:
        raise ConfigurationError(f"the algorithm {algorithm!a} is not supported")
    return ec.generate_private_key(cast("Any", curve)())
