"""OAuth 2.0: token exchange (RFC 8693) with its endpoint and client, and resource metadata (RFC 9728)."""
