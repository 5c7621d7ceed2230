"""Access tokens: claims, provider profiles, verification and the token cache."""
