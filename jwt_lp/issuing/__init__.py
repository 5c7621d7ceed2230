"""Issuing access tokens: the issuer, claim policies and downscoping."""

from __future__ import annotations

from jwt_lp.issuing.claim_policy import ClaimPolicy
from jwt_lp.issuing.issuer import Issuer

__all__ = ["ClaimPolicy", "Issuer"]
