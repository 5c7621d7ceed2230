"""Which issuer a token is of, by claims that are not verified yet, and which settings leave that open."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jwt_lp.guard.issuer_settings import IssuerSettings
    from jwt_lp.jose.jwks import StaticKeys


def issuer_of(issuers: Sequence[IssuerSettings], claims: Mapping[str, object]) -> IssuerSettings | None:
    """The issuer of a token with these claims, as the verifier finds it; None if there is none."""
    if "iss" not in claims:
        return next((issuer for issuer in issuers if "iss" in issuer.absent_claims), None)
    return next((issuer for issuer in issuers if issuer.issuer == claims["iss"]), None)


def ambiguous_issuers(issuers: Sequence[IssuerSettings]) -> list[str]:
    """A fault where a token without `iss`, or without `aud`, could be of two issuers."""
    unnamed = [issuer.name for issuer in issuers if "iss" in issuer.absent_claims]
    if len(unnamed) > 1:
        return [f"ABSENT_CLAIMS: tokens of {' and '.join(unnamed)} may have no iss: only those of one issuer can"]
    return [
        f"ABSENT_CLAIMS: {other.name} has a key of {issuer.name} too, and then the key does not say whose a token is: "
        "give each its own"
        for issuer, other in permutations(issuers, 2)
        if issuer.absent_claims and _share_key(issuer.static, other.static)
    ]


def introspecting_issuers(issuers: Sequence[IssuerSettings]) -> list[str]:
    """A fault where an opaque token could be of two issuers, and would be shown to one that did not make it."""
    names = [issuer.name for issuer in issuers if issuer.introspection is not None]
    if len(names) < 2:  # noqa: PLR2004 - two of them contradict each other
        return []
    return [
        (
            f"INTROSPECTION: {' and '.join(names)} have it, and an opaque token does not say whose it is: only one issuer "
            "can have it"
        )
    ]


def _share_key(keys: StaticKeys | None, others: StaticKeys | None) -> bool:
    return keys is not None and others is not None and not keys.thumbprints.isdisjoint(others.thumbprints)
