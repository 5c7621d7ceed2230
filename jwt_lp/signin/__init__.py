"""Sign-in for a project that is its own issuer: requests, refresh tokens, sessions, slowed attempts."""
