"""Sign-in for projects that are their own issuer: access tokens, and refresh tokens that rotate."""
