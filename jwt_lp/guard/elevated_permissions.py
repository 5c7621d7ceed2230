"""What a token confers after revocations, and with the temporary grants of its subject."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from jwt_lp.permissions.grants import Permissions
from jwt_lp.revocation.temporary_grants import GrantsInForce

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jwt_lp.guard.issuer_settings import IssuerSettings
    from jwt_lp.permissions.grants import Denial

UNTOLD: Final = GrantsInForce(until=-math.inf, deadline=-math.inf)
"""No temporary grant, because they cannot be told now: to be asked again at the next request."""


def elevation_ceilings(issuers: Iterable[IssuerSettings]) -> Mapping[str, Permissions]:
    """The most that a subject may hold by elevation, by the `iss` of its tokens; without an entry, nothing."""
    return MappingProxyType(
        {each.issuer: Permissions.of(each.elevation, patterns=True) for each in issuers if each.elevation}
    )


def effective_permissions(
    permissions: Permissions, denials: tuple[Denial, ...], held: GrantsInForce, ceiling: Permissions | None
) -> Permissions:
    """The permissions of a token with these denials and temporary grants; the same object if nothing changes.

    They replace those of an earlier time, so it does not matter whether `permissions` has some.
    """
    if denials or permissions.has_denials:
        permissions = permissions.with_denials(denials)
    if ceiling is not None and held.grants:
        # INVARIANT: whatever was approved, a permission that this service did not allow for elevation is not held.
        return permissions.with_temporary(Permissions.of(grant.grant for grant in held.grants) & ceiling)
    return permissions if permissions.temporary is None else permissions.with_temporary(None)
