"""OAuth 2.0 token exchange (RFC 8693): token endpoint, client authentication, exchange client."""

from __future__ import annotations

from jwt_lp.oauth.client_authentication import ClientAuthentication, ClientMethods, ClientRefused, ClientSecrets
from jwt_lp.oauth.private_key_jwt import PrivateKeyJwt
from jwt_lp.oauth.token_endpoint import Answer, TokenExchange

__all__ = [
    "Answer",
    "ClientAuthentication",
    "ClientMethods",
    "ClientRefused",
    "ClientSecrets",
    "PrivateKeyJwt",
    "TokenExchange",
]
