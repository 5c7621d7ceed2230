"""The orders API on every host, one issuer, and the same requests to all of them: `jwt-lp demo`."""
