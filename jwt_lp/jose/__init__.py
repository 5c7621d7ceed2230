"""JWS, JWK and key sets: parsing, key strength, remote key sets, signing keys and their rotation."""
