"""What a verified token confers: its permissions, the policy's roles behind them, and the ceilings that bound them."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from jwt_lp._support.json_types import is_json_object
from jwt_lp.errors import GrammarError, InvalidToken, PolicyError
from jwt_lp.permissions.grants import Grant, Permissions, is_scope_token
from jwt_lp.tokens.claim_checks import check_bounds
from jwt_lp.tokens.claims import COMPACT_CLAIM, ROLE_SCOPE_CLAIM, ConferredGrants

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jwt_lp.policy.file import Policy
    from jwt_lp.tokens.claims import ClaimProfile
    from jwt_lp.tokens.trusted_issuer import TrustedIssuer

MAX_KEPT: Final = 512
"""How many results are kept for one issuer."""

_ABSENT: Final = ...


class Conferred(NamedTuple):
    """The permissions and the policy's roles that a token confers, and how many outside roles were ignored."""

    permissions: Permissions
    roles: tuple[str, ...]
    ignored_roles: int


class GrantReader:
    """Reads the grants of one issuer's tokens; `several` says whether there are other issuers.

    Tokens of one client mostly carry the same grants. So results are kept by the claims that they were read from, and
    such tokens share one `Permissions` object.
    """

    def __init__(self, issuer: TrustedIssuer, policy: Policy, *, several: bool) -> None:
        profile = issuer.profile
        self._issuer = issuer
        self._policy = policy
        self._several = several
        read = dict.fromkeys(source.path[0] for source in (*profile.sources, *profile.ceiling))
        own = (COMPACT_CLAIM, ROLE_SCOPE_CLAIM) if issuer.own else ()
        # A path that begins with `*` may read any claim, and nearly every token has one that is its own.
        self._names = () if "*" in read else (*read, *own)
        self._same_ceiling = {app: _has_same_ceiling(profile, app=app) for app in (False, True)}
        self._kept: dict[object, Conferred] = {}
        # A role may confer any number of grants, so they exist once for all tokens with the same roles.
        self._role_permissions = lru_cache(maxsize=256)(self._build_role_permissions)

    def read(self, claims: Mapping[str, Any], app: bool) -> Conferred:  # noqa: FBT001 - every new token takes this path
        """Return what the claims confer; `InvalidToken` for a claim of the wrong shape, or more than is read.

        `app` says whether the token is an application's own.
        """
        if not self._names:
            return self._read(claims, app=app)
        # INVARIANT: the key tells apart whatever is read differently: each claim by its name, an absent one from a null,
        # and by the repr a list from its text and 1 from True.
        values = tuple([claims.get(name, _ABSENT) for name in self._names])
        key: tuple[bool, object] = (app, values)
        for value in values:
            if type(value) is not str and value is not _ABSENT:
                key = (app, repr(values))
                break
        conferred = self._kept.get(key)
        if conferred is None:
            conferred = self._read(claims, app=app)
            if len(self._kept) >= MAX_KEPT:
                self._kept = {}
            self._kept[key] = conferred
        return conferred

    def _read(self, claims: Mapping[str, object], *, app: bool) -> Conferred:
        issuer, profile = self._issuer, self._issuer.profile
        granted = profile.read_grants(claims, app=app)
        by_role: tuple[tuple[str, tuple[str, ...]], ...] = ()
        if issuer.own:
            granted, by_role = self._read_own_claims(granted, claims)
        roles, ignored_roles = self._map_roles(granted)
        permissions = self._permissions(granted, roles, by_role)
        # Our own issuers have applied every ceiling when they made the token. A ceiling equal to the grants removes none.
        ceiling = None
        if not issuer.own and (roles or not self._same_ceiling[app]):
            ceiling = profile.read_ceiling(claims, app=app)
        if ceiling is not None and (roles or ceiling.permissions != granted.permissions):
            permissions &= self._permissions(ceiling, self._map_roles(ceiling)[0], ())
        if issuer.ceiling is not None:
            permissions &= issuer.ceiling
        return Conferred(permissions, roles, ignored_roles)

    def _permissions(
        self, conferred: ConferredGrants, roles: tuple[str, ...], by_role: tuple[tuple[str, tuple[str, ...]], ...]
    ) -> Permissions:
        patterns = self._issuer.own or self._issuer.patterns
        direct = conferred.grants
        through_roles = [
            Grant(text, ROLE_SCOPE_CLAIM, role, patterns)
            for role, texts in by_role
            for text in self._conferred_by_role(role, texts)
        ]
        check_bounds([*[text for text, _ in direct], *[grant.text for grant in through_roles]], patterns=patterns)
        permissions = Permissions.of_texts(direct, patterns=patterns)
        if through_roles:
            permissions |= Permissions.of(through_roles)
        if not roles:
            return permissions
        # Without an empty set beside it, each look-up in the roles' grants takes less time.
        of_roles = self._role_permissions(roles)
        return permissions | of_roles if direct or through_roles else of_roles

    def _conferred_by_role(self, role: str, texts: tuple[str, ...]) -> Iterator[str]:
        # INVARIANT: if the policy has the role, a grant that the role no longer confers is not held through it.
        conferred = self._role_permissions((role,)) if role in self._policy.roles else None
        for text in texts:
            if is_scope_token(text) and (conferred is None or conferred.find_containing(text) is not None):
                yield text

    def _build_role_permissions(self, roles: tuple[str, ...]) -> Permissions:
        return Permissions.of(self._policy.grants(roles))

    def _read_own_claims(
        self, granted: ConferredGrants, claims: Mapping[str, object]
    ) -> tuple[ConferredGrants, tuple[tuple[str, tuple[str, ...]], ...]]:
        """Add what only our own tokens carry: compact permissions, and permissions held through a role."""
        if COMPACT_CLAIM in claims:
            try:
                names = self._policy.decode(cast("str", claims[COMPACT_CLAIM]))
            except (GrammarError, PolicyError) as error:
                raise InvalidToken("compact", f"{COMPACT_CLAIM} cannot be read: {error}") from None
            granted = granted._replace(permissions=(*granted.permissions, (COMPACT_CLAIM, "permission:", names)))
        by_role = claims.get(ROLE_SCOPE_CLAIM, {})
        if not is_json_object(by_role) or not all(isinstance(texts, str) for texts in by_role.values()):
            raise InvalidToken("claim_type", f"{ROLE_SCOPE_CLAIM} is not an object of strings")
        return granted, tuple((role, tuple(cast("str", texts).split(" "))) for role, texts in by_role.items())

    def _map_roles(self, conferred: ConferredGrants) -> tuple[tuple[str, ...], int]:
        """Return the policy's roles that are conferred, and how many outside roles were ignored."""
        issuer = self._issuer
        if not conferred.external_roles and (issuer.own or not self._policy.maps_external_roles):
            return (), 0
        external_roles = conferred.roles
        if issuer.own:
            # Our issuers write roles only into the first claim for roles, by the policy's names.
            label = next(source.label for source in issuer.profile.sources if source.kind == "roles")
            names = [name.removeprefix(f"{label}:") for name in external_roles if name.startswith(f"{label}:")]
            roles = tuple(name for name in names if name in self._policy.roles)
            return roles, len(external_roles) - len(roles)
        resolve, several = self._policy.resolve_external_roles, self._several
        ignored_roles = resolve(external_roles, issuer.name, several=several)[1] if external_roles else 0
        return resolve(conferred.external_names, issuer.name, several=several)[0], ignored_roles


def _has_same_ceiling(profile: ClaimProfile, *, app: bool) -> bool:
    """Whether the ceiling of such tokens has the permissions that its sources have, so that it removes none of them."""
    sources, ceiling = (
        [replace(source, when="always") for source in group if source.applies(app=app)]
        for group in (profile.sources, profile.ceiling)
    )
    permissions = [source for source in sources if source.kind == "permissions"]
    # Every claim of the ceiling is read in the same way, so that a wrong shape is noticed.
    return ceiling == permissions
