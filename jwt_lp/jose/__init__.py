"""JWS, JWK and key sets: parsing, key strength, remote key sets, signing keys and their rotation."""

from __future__ import annotations

from jwt_lp.jose.jwks import StaticKeys
from jwt_lp.jose.key_rotation import KeyRing
from jwt_lp.jose.remote_jwks import JwksKeys
from jwt_lp.jose.signing import SigningKey, SigningKeys, sign

__all__ = ["JwksKeys", "KeyRing", "SigningKey", "SigningKeys", "StaticKeys", "sign"]
