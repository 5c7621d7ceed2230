"""Issuing access tokens: the issuer, claim policies and downscoping."""
