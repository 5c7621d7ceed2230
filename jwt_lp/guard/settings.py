"""The settings of a guard, from a mapping or the environment.

The keys are the same for every host: upper-case in mappings, lower-case in TOML and as arguments, `JWT_LP_…` in the
environment. All faults are reported at once, before anything is served.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, Self
from urllib.parse import urlsplit

from jwt_lp.errors import ConfigurationError, clears_locals
from jwt_lp.guard.bearer import DPOP
from jwt_lp.guard.issuer_settings import IssuerSettings, unvouched_faults
from jwt_lp.guard.routes import Route, Rules
from jwt_lp.guard.settings_reader import SettingsReader
from jwt_lp.permissions.requirements import Binding, Requirement
from jwt_lp.policy.file import EMPTY_POLICY, Policy
from jwt_lp.policy.matching import parse_role_source
from jwt_lp.revocation.limits import REFUSE_AFTER, STALE_AFTER

if TYPE_CHECKING:
    from jwt_lp.guard.cookies import Cookies
    from jwt_lp.issuing.claim_policy import ClaimPolicy
    from jwt_lp.lint.linter import LintOptions
    from jwt_lp.stores import Store
    from jwt_lp.tokens.claims import AccessToken

__all__ = ["IssuerSettings", "Settings"]

METADATA_PATH: Final = "/.well-known/oauth-protected-resource"

# Variables that are not settings: whether this is development, and the token that `jwt-lp explain` reads.
_OTHER_VARIABLES: Final = frozenset({"DEV", "TOKEN"})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Settings:
    """All settings, checked. Create them with `from_mapping` or `from_env`; compare with `is`."""

    issuers: tuple[IssuerSettings, ...]
    service: str = ""
    policy: Policy = EMPTY_POLICY
    rules: Rules = field(default_factory=Rules)
    bind: Mapping[str, Binding] = field(default_factory=lambda: MappingProxyType({}))
    urlconfs: tuple[str, ...] = ()
    observe_until: date | None = None
    explain: bool = False
    show_requirement: bool = True
    resource: str = ""
    elevation_url: str = ""
    allow_http_hosts: frozenset[str] = frozenset()
    claims: Mapping[str, ClaimPolicy] = field(default_factory=lambda: MappingProxyType({}))
    lint: LintOptions | None = None
    # The repr shows no URL with a password and no key.
    store: str | Store = field(default="", repr=False)
    push: str = field(default="", repr=False)
    subjects: bytes | None = field(default=b"", repr=False)
    stale_after: float = STALE_AFTER
    refuse_after: float = REFUSE_AFTER
    revocation_start: str = "closed"
    audit: float | None = None
    opentelemetry: bool | Literal["subject"] = False
    local_user: str | Callable[[AccessToken], object] | None = None
    local_user_ttl: float = 0.0
    development: bool = False
    cookies: Cookies | None = None

    @classmethod
    @clears_locals
    def from_mapping(
        cls,
        mapping: Mapping[str, object] | Self,
        *,
        environ: Mapping[str, str] | None = None,
        today: date | None = None,
    ) -> Self:
        """Read a settings mapping; `ConfigurationError` lists every fault and suggests the nearest known key.

        Of `environ` (by default that of the process) only `JWT_LP_DEV=1` is read, which means development.
        `today` is the date in UTC that `OBSERVE_UNTIL` is compared with.
        """
        if isinstance(mapping, cls):
            return mapping
        development = (os.environ if environ is None else environ).get("JWT_LP_DEV") == "1"
        reader = SettingsReader(mapping, "JWT_LP")
        settings = reader.settings(development=development, today=today or datetime.now(UTC).date())
        if reader.faults:
            raise ConfigurationError(*reader.faults)
        return cls(**settings)

    @classmethod
    @clears_locals
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read `JWT_LP_…` variables: `JWT_LP_ISSUER`, `JWT_LP_ISSUERS__AUTH0__ISSUER`, `JWT_LP_BIND__TENANT_ID`.

        Lists are comma-separated, except inside `PROFILE` and `BIND`. `ConfigurationError` as for a mapping, and if
        variables contradict each other.
        """
        variables = os.environ if environ is None else environ
        tree: dict[str, object] = {}
        faults: list[str] = []
        for name, value in variables.items():
            keys = name.removeprefix("JWT_LP_").split("__")
            if keys[0] == "BIND":
                # Variable names are upper-case, route parameters are not.
                keys[1:] = [key.lower() for key in keys[1:]]
            if name.startswith("JWT_LP_") and keys[0] not in _OTHER_VARIABLES and not _insert(tree, keys, value):
                faults.append(f"{name} contradicts another variable, or has an empty part")
        if faults:
            raise ConfigurationError(*faults)
        return cls.from_mapping(tree, environ=variables)

    def faults(self, requirement: Requirement) -> tuple[str, ...]:
        """The faults of a declaration under these settings, for a start-up check."""
        names = [issuer.name for issuer in self.issuers]
        bindings = [atom for atom in requirement.atoms() if isinstance(atom, Binding)]
        faults = [
            fault
            for binding in bindings
            for fault in (*binding.faults(names), *unvouched_faults(binding, self.issuers))
        ]
        return tuple(f"{requirement}: {fault}" for fault in faults)

    @property
    def schemes(self) -> tuple[str, ...]:
        """The schemes of the Authorization header that are accepted (RFC 6750; RFC 9449, section 7)."""
        if all(issuer.dpop == "required" for issuer in self.issuers):
            return (DPOP,)
        return ("Bearer", DPOP) if any(issuer.dpop for issuer in self.issuers) else ("Bearer",)

    @property
    def resource_metadata(self) -> str | None:
        """The address of the metadata about `resource` (RFC 9728, section 3.1); None without `RESOURCE`."""
        if not self.resource:
            return None
        parts = urlsplit(self.resource)
        return f"{parts.scheme}://{parts.netloc}{METADATA_PATH}{parts.path.rstrip('/') and parts.path}"

    def metadata_faults(self, routes: Iterable[Route]) -> tuple[str, ...]:
        """A fault for each route of an adapter that would publish the metadata, if there is no `RESOURCE`."""
        return tuple(
            f"{route.label}: set RESOURCE to the address of this service, which its metadata names"
            for route in routes
            if not self.resource and route.template.startswith(METADATA_PATH) and route.endpoint.startswith("jwt_lp_")
        )

    def external_role_name(self, role: str, issuer: IssuerSettings) -> str:
        """The name that an issuer's tokens have for a role of the policy; the role itself if the issuer is `OWN`.

        For another issuer, `ConfigurationError` if the policy has no such role, or lists no `from` entry for it that
        this issuer's tokens can carry.
        """
        if issuer.own:
            return role
        definition = self.policy.roles.get(role)
        if definition is None:
            known = ", ".join(self.policy.roles) or "none"
            raise ConfigurationError(f"the policy has no role {role!a}; its roles are: {known}")
        # With several issuers, `from` entries that name no issuer confer nothing.
        owners = {issuer.name} if len(self.issuers) > 1 else {issuer.name, None}
        labels = {source.label for source in issuer.profile.sources}
        for owner, name in filter(None, map(parse_role_source, definition.sources)):
            if owner in owners and name.partition(":")[0] in labels:
                return name
        raise ConfigurationError(f'no role of {issuer.name} confers {role}: add from = ["..."] to it in the policy')


def _insert(tree: dict[str, object], keys: list[str], value: str) -> bool:
    """Set the value at the path `keys`; False if a key is empty or another variable stands in the way."""
    node: dict[str, Any] | str | None = tree
    for key in keys[:-1]:
        node = node.setdefault(key, {}) if isinstance(node, dict) else None
    if not isinstance(node, dict) or keys[-1] in node or not all(keys):
        return False
    node[keys[-1]] = value
    return True
