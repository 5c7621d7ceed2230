"""The policy, read from the file `least-privilege.toml`.

It holds the catalogue of permissions, the roles with their grants, the audiences, the clients and the elevation rules.
It is read once; `ConfigurationError` names all its faults together.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Self, cast

from jwt_lp._support.validation import did_you_mean, quote_text
from jwt_lp.errors import PolicyError
from jwt_lp.permissions.grammar import is_permission
from jwt_lp.permissions.grants import common, is_pattern
from jwt_lp.policy.compact import CatalogueCodec
from jwt_lp.policy.matching import RISKS, overlaps, parse_role_source

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jwt_lp.permissions.grants import Grant
    from jwt_lp.policy.elevation_rules import ElevationRule
    from jwt_lp.policy.entries import Audience, CatalogueEntry, Client, Role

# Each hint is a search of the whole catalogue, and a caller may pass any number of unknown names.
_MAX_HINTS: Final = 3


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Policy:
    """The catalogue in the order of the file, and the other tables by name; all of it is read-only.

    `digest` is the SHA-256 of the content, in hexadecimal. Layout, comments and the order of roles do not change it;
    the order of the catalogue does. Two policies are equal if their digests are. `from_mapping` and `load` validate;
    the constructor does not.
    """

    catalogue: Mapping[str, CatalogueEntry] = field(default_factory=lambda: MappingProxyType({}))
    roles: Mapping[str, Role] = field(default_factory=lambda: MappingProxyType({}))
    audiences: Mapping[str, Audience] = field(default_factory=lambda: MappingProxyType({}))
    clients: Mapping[str, Client] = field(default_factory=lambda: MappingProxyType({}))
    elevation: Mapping[str, ElevationRule] = field(default_factory=lambda: MappingProxyType({}))
    path: str | None = None
    digest: str = field(init=False)
    _sources: Mapping[tuple[str | None, str], tuple[str, ...]] = field(init=False)
    _templates: Mapping[tuple[int, str], tuple[str, ...]] = field(init=False)
    _codec: CatalogueCodec = field(init=False)

    def __post_init__(self) -> None:
        for name in ("catalogue", "roles", "audiences", "clients", "elevation"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        object.__setattr__(self, "digest", _digest(self))
        object.__setattr__(self, "_sources", MappingProxyType(_roles_by_source(self.roles.values())))
        object.__setattr__(
            self, "_templates", MappingProxyType(_group_templates(name for name in self.catalogue if "{" in name))
        )
        object.__setattr__(self, "_codec", CatalogueCodec.of(self.catalogue))

    @classmethod
    def from_mapping(cls, data: Mapping[str, object]) -> Self:
        """Read a policy from plain values; `ConfigurationError` holds all faults, each with its place."""
        # Imported where a policy is read: a guard without one does not need it.
        from jwt_lp.policy.schema import read_mapping

        return cls(*read_mapping(data))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read the file at `path`, at most 1 MiB of UTF-8; each fault begins with `path:line: `."""
        from jwt_lp.policy.schema import read_file

        name = os.fsdecode(path)
        return cls(*read_file(name), name)

    @property
    def maps_external_roles(self) -> bool:
        """Whether any role lists an external role in `from`."""
        return bool(self._sources)

    def resolve_external_roles(
        self, external_names: Iterable[str], issuer: str, *, several: bool
    ) -> tuple[tuple[str, ...], int]:
        """The policy's roles that external roles such as `realm:clerk` confer, and the number of unlisted names.

        `issuer` is the configured name of the issuer that states them, in upper or lower case. With `several` issuers,
        only entries that begin with that name and a slash count; otherwise entries without an issuer count too. An
        external role never confers the policy's role of the same name by itself.
        """
        roles: list[str] = []
        unlisted = 0
        for name in dict.fromkeys(external_names):
            listed = self._sources.get((issuer.lower(), name), ())
            # INVARIANT: with several issuers, an issuer confers a role only by an entry that names the issuer.
            listed += () if several else self._sources.get((None, name), ())
            roles += listed
            unlisted += not listed
        return tuple(dict.fromkeys(roles)), unlisted

    def grants(self, roles: Iterable[str]) -> tuple[Grant, ...]:
        """All grants of these roles; a role that is not in the policy grants nothing."""
        return tuple(grant for name in dict.fromkeys(roles) if name in self.roles for grant in self.roles[name].grants)

    def catalogue_has(self, text: str) -> bool:
        """Whether the catalogue has `text`: by name, as an instance of a template, or as part of a pattern.

        A pattern counts if it covers any entry. Always True without a catalogue. Retired entries do not count.
        """
        if not self.catalogue:
            return True
        # A literal name is one look-up; templates and patterns are compared one by one.
        named = None if "{" in text else self.catalogue.get(text)
        candidates: Iterable[str] = self.catalogue if is_pattern(text) else self._templates_like(text)
        return (
            not named.retired
            if named is not None
            else any(overlaps(text, name) and not self.catalogue[name].retired for name in candidates)
        )

    def under(self, pattern: str) -> tuple[str, ...]:
        """The live catalogue entries that `pattern` covers, in order, with `*` for each placeholder.

        Of an entry that is covered in part, the covered part is returned.
        """
        live = (name.split(":") for name, entry in self.catalogue.items() if not entry.retired)
        names = (":".join("*" if part[:1] == "{" else part for part in parts) for parts in live)
        return tuple(dict.fromkeys(filter(None, (common(pattern, name) for name in names))))

    def encode(self, permissions: Iterable[str]) -> str:
        """Write `permissions` as positions in the catalogue, for the claim `cperm`. Order and duplicates do not matter.

        `PolicyError` names each permission that has no position: one that is not in the catalogue or is retired, a
        template, an instance of a template, or a pattern.
        """
        names = () if isinstance(permissions, str) else tuple(permissions)
        if isinstance(permissions, str) or not all(map(_is_text, names)):
            raise PolicyError('permissions are a list of strings, such as ["orders:read"]', reason="scope")
        faults = [(name, fault) for name in dict.fromkeys(names) if (fault := self._position_fault(name)) is not None]
        if faults:
            live = [name for name in self.catalogue if self._position_fault(name) is None]
            messages = (
                f"{quote_text(name)} is {fault}{did_you_mean(name, live) if index < _MAX_HINTS else ''}"
                for index, (name, fault) in enumerate(faults)
            )
            raise PolicyError(f"cannot be written as positions: {', '.join(messages)}", reason="scope")
        return self._codec.encode(names)

    def decode(self, text: str) -> tuple[str, ...]:
        """The permissions in `text`, retired ones included, in the order of the catalogue.

        `GrammarError` for text that `encode` would not write. `PolicyError` if this catalogue is too short, or does not
        begin with the entries that `text` was written with.
        """
        return self._codec.decode(text)

    def _position_fault(self, permission: str) -> str | None:
        """Why no token may hold the position of this permission; None if one may."""
        entry = self.catalogue.get(permission)
        if entry is None:
            return "not in the catalogue"
        return "a template" if "{" in permission else "retired" if entry.retired else None

    def elevation_rule(self, permission: str) -> ElevationRule | None:
        """The rule for elevations of `permission`: of those that cover it, the one with the fewest wildcards.

        None if nobody may ask for it, and for a pattern or a template.
        """
        if not self.elevation or not is_permission(permission):
            return None
        from jwt_lp.policy.elevation_rules import most_specific

        return self.elevation.get(permission) or most_specific(
            rule for rule in self.elevation.values() if rule.covers(permission)
        )

    def risk(self, permission: str) -> str:
        """The highest risk among the catalogue entries that `permission`, a permission or template, matches.

        A placeholder on either side matches any segment. `medium` if the catalogue has no such entry.
        """
        names: Iterable[str] = self.catalogue
        if "*" not in permission and "{" not in permission:
            # A literal name matches itself and templates; pages ask for many.
            named = (permission,) if permission in self.catalogue else ()
            names = (*named, *self._templates_like(permission))
        risks = [self.catalogue[name].risk for name in names if overlaps(permission, name)]
        return max(risks, key=RISKS.index, default="medium")

    def _templates_like(self, text: str) -> tuple[str, ...]:
        """The templates of the catalogue that have as many segments, and the same first one or any."""
        first, size = text.partition(":")[0], text.count(":")
        return (*self._templates.get((size, first), ()), *self._templates.get((size, ""), ()))

    def __eq__(self, other: object) -> bool:
        return self.digest == other.digest if isinstance(other, Policy) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        counts = f"{len(self.catalogue)} permissions, {len(self.roles)} roles"
        return f"<Policy: {counts}, digest {self.digest[:12]}>"


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _group_templates(templates: Iterable[str]) -> dict[tuple[int, str], tuple[str, ...]]:
    """Templates by their number of colons and their first segment, "" if that is a placeholder."""
    groups: dict[tuple[int, str], list[str]] = {}
    for name in templates:
        first = name.partition(":")[0]
        groups.setdefault((name.count(":"), "" if "{" in first else first), []).append(name)
    return {key: tuple(names) for key, names in groups.items()}


def _roles_by_source(roles: Iterable[Role]) -> dict[tuple[str | None, str], tuple[str, ...]]:
    """The roles that each external role confers, by issuer (None if the entry names none) and name."""
    roles_by_source: dict[tuple[str | None, str], tuple[str, ...]] = {}
    for role in roles:
        for key in filter(None, map(parse_role_source, role.sources)):
            roles_by_source[key] = (*roles_by_source.get(key, ()), role.name)
    return roles_by_source


def _digest(policy: Policy) -> str:
    tables = (policy.roles, policy.audiences, policy.clients)
    content = [
        [_digest_fields(entry) for entry in policy.catalogue.values()],
        *({name: _digest_fields(value) for name, value in table.items()} for table in tables),
    ]
    if policy.elevation:
        # Left out where there are none, so that older digests stay the same.
        content.append({name: _digest_fields(rule) for name, rule in policy.elevation.items()})
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _digest_fields(value: CatalogueEntry | Role | Audience | Client | ElevationRule) -> dict[str, object]:
    """The fields of `value` for the digest. The order inside a field does not matter."""
    return {
        name: sorted(map(str, cast(tuple[object, ...], content))) if isinstance(content, tuple) else content
        for name, content in value._asdict().items()
        # A later field is left out while it has its default, so that older digests stay the same.
        if name != "retired" or content
    }


EMPTY_POLICY: Final = Policy()
