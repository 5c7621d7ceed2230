"""Renewal of a token: what it holds and its subject is still granted."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from jwt_lp.errors import PolicyError
from jwt_lp.issuing.revoked_grants import subtract_denials
from jwt_lp.permissions.grants import Permissions
from jwt_lp.tokens.claims import ROLE_SCOPE_CLAIM

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jwt_lp.permissions.grants import Denial
    from jwt_lp.policy.file import Policy
    from jwt_lp.tokens.claims import AccessToken


def still_granted(
    policy: Policy, old: AccessToken, granted: Permissions, roles: Sequence[str], denials: Sequence[Denial]
) -> tuple[list[str], list[str], dict[str, list[str]]]:
    """Return what a token holds and its subject is still granted: direct grants, whole roles, and parts of roles.

    `granted` is all that the subject is granted, directly and by `roles`. Of a direct grant of the token that is
    granted by roles only, the rest that `denials` leave of one of them counts. Raises `PolicyError` if nothing is
    still granted of what it held without an elevation.
    """
    held = [grant.text for grant in old.permissions if grant.role is None]
    direct: list[str] = []
    for text in held:
        by = dict.fromkeys(grant.role for grant in granted.grants_containing(text))
        # Permissions that were retired since are left out too.
        if by and policy.catalogue_has(text):
            through = {role: (text,) for role in by if role is not None}
            rest = subtract_denials(policy, (), (), through, denials)[0].by_role
            direct += [text] if None in by else sum(rest.values(), ())
    direct = list(dict.fromkeys(direct))
    whole_roles = [role for role in old.roles if role in roles]
    # Of a role that was revoked in part when the token was made, the token holds the rest.
    by_role: dict[str, list[str]] = {}
    for role, texts in cast("Mapping[str, str]", old.claims.get(ROLE_SCOPE_CLAIM, {})).items():
        if role in roles and role not in old.roles:
            conferred = Permissions.of(policy.roles[role].grants)
            by_role[role] = [text for text in texts.split(" ") if conferred.find_containing(text) is not None]
    if any(grant.elevation is None for grant in old.permissions) and not (
        direct or whole_roles or any(by_role.values())
    ):
        raise PolicyError("none of the token's grants is still in force: sign in again", reason="scope")
    return direct, whole_roles, by_role
