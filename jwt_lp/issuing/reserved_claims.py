"""Reserved claims: those that only an issuer itself writes, and those that are never copied into a token of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jwt_lp._support.validation import did_you_mean, join_names
from jwt_lp.tokens.claims import COMPACT_CLAIM, ROLE_SCOPE_CLAIM
from jwt_lp.tokens.delegation import LINEAGE_CLAIMS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

# Claims that only the issuer itself writes.
ISSUER_CLAIMS: Final = frozenset(
    {"iss", "sub", "aud", "iat", "exp", "nbf", "jti", "client_id", "scope", "roles", COMPACT_CLAIM, ROLE_SCOPE_CLAIM}
    | LINEAGE_CLAIMS
)

# Other claims that are never copied: those that some profile reads as grants or client, those that mark other kinds of
# tokens, and those that bind a token to a key.
_NEVER_COPIED: Final = frozenset(
    {"permissions", "scp", "groups", "entitlements", "realm_access", "resource_access", "cognito:groups", "wids"}
    | {"azp", "cid", "appid", "uti", "typ", "token_use", "nonce", "at_hash", "c_hash", "s_hash", "events"}
    | {"cnf", "may_act", "authorization_details"}
)


def copy_faults(copied: Mapping[str, str], listed: Collection[str] | None = None) -> list[str]:
    """Return the faults of `copy_claims`, which maps claims of another issuer to claims of ours.

    `listed` are the claims that our audiences list; None skips that check.
    """
    faults: list[str] = []
    for ours in dict.fromkeys(copied.values()):
        theirs = [name for name, target in copied.items() if target == ours]
        if ours in ISSUER_CLAIMS | _NEVER_COPIED:
            faults.append(
                f"{ours!a} is what a verifier reads the token's issuer, holder or grants from, and is never copied: "
                "copy into a claim of another name, and bind that one"
            )
        elif listed is not None and ours not in listed:
            faults.append(
                f"no audience lists the claim {ours!a}{did_you_mean(ours, listed)}: add it to claims under [audiences] "
                "in the policy, or copy into one that is there"
            )
        if len(theirs) > 1:
            faults.append(f"{join_names(map(ascii, theirs))} would all become {ours!a}: give each a claim of its own")
    return faults
