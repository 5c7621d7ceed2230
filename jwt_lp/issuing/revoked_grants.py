"""Revoked grants, which no new token may hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from jwt_lp.errors import PolicyError
from jwt_lp.issuing.downscoping import DownscopedGrants
from jwt_lp.permissions.grants import Grant, is_pattern
from jwt_lp.revocation.snapshot import RevocationMatch
from jwt_lp.tokens.claims import AccessToken

if TYPE_CHECKING:
    from jwt_lp.permissions.grants import Denial
    from jwt_lp.policy.file import Policy

Revoked: TypeAlias = Callable[[AccessToken], "RevocationMatch | bool"]
"""Says what of a token is revoked: True for the whole token, False for nothing, or a `RevocationMatch`."""


def find_denials(revoked: Revoked | None, token: AccessToken) -> tuple[Denial, ...]:
    """Return what of a token is revoked; raise `PolicyError` if all of it is, and if that cannot be determined."""
    if revoked is None:
        return ()
    try:
        match = revoked(token)
    except Exception:  # noqa: BLE001 - after any error, the token may be revoked
        match = None
    # INVARIANT: an error refuses, and so does an answer that is neither a RevocationMatch nor exactly False.
    if match is False:
        return ()
    if isinstance(match, RevocationMatch) and match.cause is None:
        return match.denials
    raise PolicyError(
        "it could not be determined whether the token is revoked: try again"
        if match is None
        else "the token was revoked, or all tokens of its subject or client were: sign in again",
        reason="undecided" if match is None else "revoked",
    )


def subtract_denials(
    policy: Policy,
    permissions: Iterable[str],
    roles: Iterable[str],
    by_role: Mapping[str, Iterable[str]],
    denials: Sequence[Denial],
) -> tuple[DownscopedGrants, tuple[str, ...]]:
    """Return the grants that remain without `denials`, direct and by role, and the roles that remain whole.

    A pattern that is denied in part is replaced by the entries of the catalogue that are not denied; a role that is
    denied in part, by its remaining grants. `roles` are in the policy; `by_role` holds grants by the role that confers
    them.
    """

    def remaining(texts: Iterable[str], role: str | None = None) -> tuple[str, ...]:
        result: list[str] = []
        for text in texts:
            grant = Grant(text, "", role)
            denied = any(denial.denies_part(text, grant) for denial in denials)
            parts = (policy.under(text) if is_pattern(text) else ()) if denied else (text,)
            result += [part for part in parts if not any(denial.denies_part(part, grant) for denial in denials)]
        return tuple(dict.fromkeys(result))

    parts_of_roles = {role: remaining(texts, role) for role, texts in by_role.items()}
    whole_roles: list[str] = []
    for role in roles:
        grants = tuple(grant.text for grant in policy.roles[role].grants)
        rest = remaining(grants, role)
        if rest == grants:
            whole_roles.append(role)
        else:
            parts_of_roles[role] = rest
    nonempty = {role: texts for role, texts in parts_of_roles.items() if texts}
    return DownscopedGrants(remaining(permissions), nonempty), tuple(whole_roles)
