"""OAuth 2.0 token exchange (RFC 8693): token endpoint, client authentication, exchange client."""
