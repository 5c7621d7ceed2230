"""Permissions by elevations, which new tokens hold until the elevations end."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast

from jwt_lp._support.events import log_event
from jwt_lp.errors import PolicyError
from jwt_lp.permissions.grants import Permissions
from jwt_lp.permissions.patterns import ELEVATION_PREFIX
from jwt_lp.revocation.temporary_grants import TemporaryGrant
from jwt_lp.tokens.claims import ROLE_SCOPE_CLAIM, AccessToken
from jwt_lp.tokens.delegation import MAX_ELEVATIONS, is_delegated

if TYPE_CHECKING:
    from jwt_lp.issuing.claim_policy import ClaimPolicy
    from jwt_lp.policy.file import Policy

Elevated: TypeAlias = Callable[[AccessToken], Iterable[TemporaryGrant]]
"""Returns the temporary grants of the subject of a token, which is given or is to be made."""


class ElevatedGrants(NamedTuple):
    """The temporary grants that a new token may hold, by the role that stands for each elevation."""

    by_role: Mapping[str, TemporaryGrant] = {}

    @property
    def texts(self) -> dict[str, tuple[str, ...]]:
        """The permissions by role."""
        return {role: (grant.permission,) for role, grant in self.by_role.items()}

    def permissions(self, ceiling: Permissions | None) -> Permissions | None:
        """What they confer beside a token's own grants; None for nothing. A `ceiling` of None is no limit."""
        if not self.by_role:
            return None
        held = Permissions.of(grant.grant for grant in self.by_role.values())
        return held if ceiling is None else held & ceiling

    def bind(self, body: Mapping[str, object], grant_claims: Mapping[str, object]) -> dict[str, object]:
        """Return the body of a token with these grants so that it ends, and is revoked, with each elevation it rests on."""
        roles = cast("Mapping[str, object]", grant_claims.get(ROLE_SCOPE_CLAIM, {}))
        used = [grant for role, grant in self.by_role.items() if role in roles]
        if not used:
            return dict(body)
        lineage = cast("Mapping[str, list[str]]", body.get("lineage", {"iat": body["iat"]}))
        names = dict.fromkeys([*lineage.get("elevations", ()), *(grant.id for grant in used)])
        if len(names) > MAX_ELEVATIONS:
            raise PolicyError(
                f"the token would rest on {len(names)} elevations, {MAX_ELEVATIONS} at most: request fewer permissions",
                reason="lineage",
            )
        # INVARIANT: no token outlives an elevation that it rests on.
        ends = [int(grant.until) for grant in used]
        return {**body, "exp": min(cast(int, body["exp"]), *ends), "lineage": {**lineage, "elevations": [*names]}}


NO_ELEVATED_GRANTS = ElevatedGrants()
"""The elevated grants of a subject that has none."""


def find_elevated(
    elevated: Elevated | None, token: AccessToken, policy: Policy, now: float, *, standing: Permissions
) -> ElevatedGrants:
    """Return the temporary grants of a token's subject that `policy` allows now, without those that it holds anyway.

    At most `MAX_ELEVATIONS` of them, those that end last. An error of `elevated` is logged and gives none: the token is
    as good as it was before the elevation.
    """
    # A token that is not its subject's own gains nothing.
    if elevated is None or is_delegated(token):
        return NO_ELEVATED_GRANTS
    try:
        found = list(elevated(token))
    except Exception as error:  # noqa: BLE001 - nobody shall be unable to sign in because of it
        event = {"issuer": token.issuer, "subject": token.subject, "error": type(error).__name__}
        log_event(logging.ERROR, "elevations_unknown", event)
        return NO_ELEVATED_GRANTS
    # By whole seconds, because the exp of a token is one.
    grants = [
        grant
        for grant in found
        if grant.is_for(token)
        and grant.since <= now
        and int(now) < math.floor(grant.until)
        and _is_allowed(grant, policy)
        and _is_credited(grant, standing)
    ]
    latest: dict[str, TemporaryGrant] = {}
    for grant in sorted(grants, key=lambda each: (each.until, each.id)):
        latest[grant.permission] = grant
    kept = sorted(latest.values(), key=lambda each: (-each.until, each.id))[:MAX_ELEVATIONS]
    return ElevatedGrants({f"{ELEVATION_PREFIX}{grant.id}": grant for grant in kept})


def without_faulty(grants: ElevatedGrants, allowed: ClaimPolicy, policy: Policy, audience: str) -> ElevatedGrants:
    """Return those that a token for `audience` may carry; each other one is logged."""
    kept: dict[str, TemporaryGrant] = {}
    for role, grant in grants.by_role.items():
        try:
            allowed.check_grants((grant.permission,), policy, audience)
        except PolicyError as error:
            event = {"elevation": grant.id, "issuer": grant.issuer, "subject": grant.subject, "detail": str(error)}
            log_event(logging.WARNING, "elevation_not_issued", event)
        else:
            kept[role] = grant
    return ElevatedGrants(kept)


def elevated_texts(claims: Mapping[str, object]) -> list[str]:
    """Return the permissions that the claims of a token of ours hold by elevations."""
    by_role = cast("Mapping[str, str]", claims.get(ROLE_SCOPE_CLAIM, {}))
    return [text for role, texts in by_role.items() if role.startswith(ELEVATION_PREFIX) for text in texts.split(" ")]


def _is_allowed(grant: TemporaryGrant, policy: Policy) -> bool:
    """Whether the policy has a rule for it now, and for so long."""
    rule = policy.elevation_rule(grant.permission)
    return rule is not None and grant.until - grant.since <= rule.longest


def _is_credited(grant: TemporaryGrant, standing: Permissions) -> bool:
    """Whether the subject holds its permission by it: nothing else confers it, and no denial of `standing` revokes it."""
    credited = standing.with_temporary(Permissions.of([grant.grant])).grant_for(grant.permission)
    return credited is not None and credited.elevation is not None
