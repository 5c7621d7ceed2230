"""Which permissions and roles exist?

The policy is the file `least-privilege.toml`, read once: the catalogue of permissions, the roles and what
they grant, the audiences and the clients. `ConfigurationError` names everything that is wrong with it at once.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Self, cast

from jwt_lp._support.toml_lines import line_of, locate_keys, read_toml
from jwt_lp._support.validation import Fault, TableReader, did_you_mean, format_fault, quote_text
from jwt_lp.errors import ConfigurationError, PolicyError
from jwt_lp.permissions.grants import common, is_pattern
from jwt_lp.policy.compact import CatalogueCodec
from jwt_lp.policy.schema import (
    RISKS,
    Audience,
    CatalogueEntry,
    Client,
    Role,
    overlaps,
    parse_role_source,
    read_audiences,
    read_catalogue,
    read_clients,
    read_roles,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jwt_lp.permissions.grants import Grant

__all__ = ["EMPTY_POLICY", "Audience", "CatalogueEntry", "Client", "Policy", "Role", "parse_role_source"]

MAX_BYTES: Final = 1024 * 1024

# The nearest name is sought among all of the catalogue, and who asks may choose how often.
_MAX_HINTS: Final = 3


@dataclass(frozen=True, slots=True, repr=False)
class Policy:
    """The catalogue in the order of the file, roles, audiences and clients by name; all of it read-only.

    `digest` is the SHA-256, in hexadecimal, of what the policy says: layout, comments and the order of roles
    do not change it, the order of the catalogue does. Two policies are equal when their digests are.
    `from_mapping` and `load` check; the constructor does not.
    """

    catalogue: Mapping[str, CatalogueEntry] = field(default_factory=dict[str, CatalogueEntry], compare=False)
    roles: Mapping[str, Role] = field(default_factory=dict[str, Role], compare=False)
    audiences: Mapping[str, Audience] = field(default_factory=dict[str, Audience], compare=False)
    clients: Mapping[str, Client] = field(default_factory=dict[str, Client], compare=False)
    path: str | None = field(default=None, compare=False)
    digest: str = field(init=False)
    _sources: Mapping[tuple[str | None, str], tuple[str, ...]] = field(init=False, compare=False)
    _templates: Mapping[tuple[int, str], tuple[str, ...]] = field(init=False, compare=False)
    _codec: CatalogueCodec = field(init=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("catalogue", "roles", "audiences", "clients"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        object.__setattr__(self, "digest", _digest(self))
        object.__setattr__(self, "_sources", MappingProxyType(_roles_by_source(self.roles.values())))
        object.__setattr__(
            self, "_templates", MappingProxyType(_group_templates(name for name in self.catalogue if "{" in name))
        )
        object.__setattr__(self, "_codec", CatalogueCodec.of(self.catalogue))

    @classmethod
    def from_mapping(cls, data: Mapping[str, object]) -> Self:
        """Read a policy from plain values; `ConfigurationError` holds every fault, each with its place."""
        return cls._read(data, "", None)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read the file at `path`, at most 1 MiB of UTF-8; each fault begins with `path:line: `."""
        name = os.fsdecode(path)
        return cls._read(*read_toml(name, MAX_BYTES), name)

    @classmethod
    def _read(cls, data: object, text: str, path: str | None) -> Self:
        faults: list[Fault] = []
        top = TableReader.read((), data, faults, ("version", "permissions", "roles", "audiences", "clients"))
        # The exact type: True and 1.0 equal 1 too.
        if type(top.data.get("version")) is not int or top.data["version"] != 1:
            top.fault("must be 1: write `version = 1` at the top", "version")
        catalogue = read_catalogue(top)
        roles = read_roles(top, catalogue)
        policy = cls(catalogue, roles, read_audiences(top), read_clients(top, catalogue, roles), path)
        if path is None and faults:
            raise ConfigurationError(*map(format_fault, faults))
        if faults:
            found = locate_keys(text)
            numbered = [(line_of(found, fault[0]), format_fault(fault)) for fault in faults]
            numbered.sort(key=lambda each: each[0])
            raise ConfigurationError(*(f"{path}:{line}: {said}" for line, said in numbered))
        return policy

    @property
    def maps_external_roles(self) -> bool:
        """Whether any role lists an outside name."""
        return bool(self._sources)

    def resolve_external_roles(
        self, external_names: Iterable[str], issuer: str, *, several: bool
    ) -> tuple[tuple[str, ...], int]:
        """Our roles that outside names such as `realm:clerk` confer, and how many names were unlisted.

        `issuer` is the configured name of who said so, in any case. Where there are `several` issuers, only entries that
        begin with that name and a slash count; otherwise those without one count too. A name never confers
        the role of the same name by itself.
        """
        found: list[str] = []
        unlisted = 0
        for name in dict.fromkeys(external_names):
            listed = self._sources.get((issuer.lower(), name), ())
            # INVARIANT: with several issuers, no issuer confers a role by an entry that does not name it.
            listed += () if several else self._sources.get((None, name), ())
            found += listed
            unlisted += not listed
        return tuple(dict.fromkeys(found)), unlisted

    def grants(self, roles: Iterable[str]) -> tuple[Grant, ...]:
        """All that these roles grant; a role that is not in the policy grants nothing."""
        return tuple(grant for name in dict.fromkeys(roles) if name in self.roles for grant in self.roles[name].grants)

    def catalogue_has(self, text: str) -> bool:
        """Whether the catalogue has `text`: by name, as an instance of a template, or, for a pattern, any it covers.

        Always True where there is no catalogue; never for what is retired.
        """
        if not self.catalogue:
            return True
        # A name by one look; only templates and patterns have to be gone through.
        named = None if "{" in text else self.catalogue.get(text)
        candidates: Iterable[str] = self.catalogue
        if not is_pattern(text):
            first, size = text.partition(":")[0], text.count(":")
            candidates = (*self._templates.get((size, first), ()), *self._templates.get((size, ""), ()))
        return (
            not named.retired
            if named is not None
            else any(overlaps(text, name) and not self.catalogue[name].retired for name in candidates)
        )

    def under(self, pattern: str) -> tuple[str, ...]:
        """What a pattern covers of the catalogue, in its order and without what is retired; a placeholder is `*`."""
        live = (name.split(":") for name, entry in self.catalogue.items() if not entry.retired)
        names = (":".join("*" if part[:1] == "{" else part for part in each) for each in live)
        return tuple(dict.fromkeys(filter(None, (common(pattern, name) for name in names))))

    def encode(self, permissions: Iterable[str]) -> str:
        """Write `permissions` as positions in the catalogue, for the claim `cperm`; order and repetition mean nothing.

        `PolicyError` names each that is no entry of the catalogue by its own name, or is retired: templates,
        their instances and patterns have no position.
        """
        asked = () if isinstance(permissions, str) else tuple(permissions)
        if isinstance(permissions, str) or not all(map(_is_text, asked)):
            raise PolicyError('permissions are a list of strings, such as ["orders:read"]', reason="scope")
        faults = [(each, fault) for each in dict.fromkeys(asked) if (fault := self._position_fault(each)) is not None]
        if faults:
            live = [name for name in self.catalogue if self._position_fault(name) is None]
            said = (
                f"{quote_text(each)} is {fault}{did_you_mean(each, live) if index < _MAX_HINTS else ''}"
                for index, (each, fault) in enumerate(faults)
            )
            raise PolicyError(f"cannot be written as positions: {', '.join(said)}", reason="scope")
        return self._codec.encode(asked)

    def decode(self, text: str) -> tuple[str, ...]:
        """The permissions that `text` holds, in the order of the catalogue; the retired ones too.

        `GrammarError` for what `encode` would not write. `PolicyError` where the catalogue here is too short, or
        does not begin with the one that `text` was written with.
        """
        return self._codec.decode(text)

    def _position_fault(self, permission: str) -> str | None:
        """Why no token may have this one's position."""
        entry = self.catalogue.get(permission)
        if entry is None:
            return "not in the catalogue"
        return "a template" if "{" in permission else "retired" if entry.retired else None

    def risk(self, permission: str) -> str:
        """The highest risk among the catalogue's entries that `permission`, literal or template, may be.

        A placeholder, on either side, may be any segment. `medium` where the catalogue has no such entry.
        """
        found = [entry.risk for name, entry in self.catalogue.items() if overlaps(permission, name)]
        return max(found, key=RISKS.index, default="medium")

    def __repr__(self) -> str:
        counts = f"{len(self.catalogue)} permissions, {len(self.roles)} roles"
        return f"<Policy: {counts}, digest {self.digest[:12]}>"


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _group_templates(templates: Iterable[str]) -> dict[tuple[int, str], tuple[str, ...]]:
    """Templates by how many colons they have and how they begin, "" where that is a placeholder."""
    found: dict[tuple[int, str], list[str]] = {}
    for name in templates:
        first = name.partition(":")[0]
        found.setdefault((name.count(":"), "" if "{" in first else first), []).append(name)
    return {form: tuple(names) for form, names in found.items()}


def _roles_by_source(roles: Iterable[Role]) -> dict[tuple[str | None, str], tuple[str, ...]]:
    """Which roles each outside name confers, by issuer (None where the entry names none)."""
    found: dict[tuple[str | None, str], tuple[str, ...]] = {}
    for role in roles:
        for key in filter(None, map(parse_role_source, role.sources)):
            found[key] = (*found.get(key, ()), role.name)
    return found


def _digest(policy: Policy) -> str:
    named = (policy.roles, policy.audiences, policy.clients)
    says = [
        [_digest_fields(entry) for entry in policy.catalogue.values()],
        *({name: _digest_fields(each) for name, each in part.items()} for part in named),
    ]
    return hashlib.sha256(json.dumps(says, sort_keys=True).encode()).hexdigest()


def _digest_fields(value: CatalogueEntry | Role | Audience | Client) -> dict[str, object]:
    """What `value` says, for the digest. Whatever it has several of, their order means nothing."""
    found = ((each.name, getattr(value, each.name)) for each in fields(value))
    return {
        name: sorted(map(str, cast(tuple[object, ...], each))) if isinstance(each, tuple) else each
        for name, each in found
        # What came later says nothing where it is not said, so that no digest of before changes.
        if name != "retired" or each
    }


EMPTY_POLICY: Final = Policy()
