"""The entries of the policy file, and the reading of its tables.

Faults are noted and reading goes on. A faulty name still counts as defined, so references to it are not faults too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Final

from jwt_lp._support.validation import TableReader, did_you_mean, quote_text
from jwt_lp.errors import ConfigurationError, GrammarError
from jwt_lp.permissions.grants import Grant, Permission, check_grant, is_pattern, is_segment, within_limits
from jwt_lp.permissions.requirements import PermissionRequirement

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

RISKS: Final = ("low", "medium", "high")

# The provider chooses the name, so it may hold nearly anything (a Keycloak group begins with a slash); the part before
# it follows our own grammar.
_SOURCE: Final = re.compile(r"(?:([^/:\s]+)/)?([a-z][a-z0-9_-]*:\S(?:.*\S)?)")


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One permission, or a template of permissions; `risk` is `low`, `medium` or `high`.

    A `retired` entry keeps its position, but nothing may grant it any more.
    """

    name: str
    description: str = ""
    risk: str = "medium"
    retired: bool = False


@dataclass(frozen=True, slots=True)
class Role:
    """A name for a set of grants.

    `grants` holds its own grants and those of every role that it includes. All are credited to this role, because
    tokens and deny entries name this role. `sources` are the external roles that confer it, as written.
    """

    name: str
    description: str = ""
    grants: tuple[Grant, ...] = ()
    includes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Audience:
    """Limits for tokens of one audience, in seconds and bytes; None if the file sets no limit."""

    name: str
    may_call: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()
    max_lifetime: int | None = None
    max_size: int | None = None
    wildcards: bool = False


@dataclass(frozen=True, slots=True)
class Client:
    """A client with grants of its own; `Policy.grants` gives the grants of its `roles`."""

    name: str
    description: str = ""
    grants: tuple[Grant, ...] = ()
    roles: tuple[str, ...] = ()


def overlaps(text: str, entry: str) -> bool:
    """Whether one permission can match both; a placeholder or `*` is any segment, a last `**` is one or more."""
    parts, segments = text.split(":"), entry.split(":")
    if parts[-1] == "**":
        parts[-1:] = ["*"] * max(1, len(segments) - len(parts) + 1)
    return len(parts) == len(segments) and all(
        part in (segment, "*") or part[:1] == "{" or segment[:1] == "{"
        for part, segment in zip(parts, segments, strict=True)
    )


def parse_role_source(text: str) -> tuple[str | None, str] | None:
    """The issuer's name (lower case, as in the settings; or None) and the external role; None if malformed."""
    match = _SOURCE.fullmatch(text) if text.isprintable() else None
    return None if match is None else (match[1] and match[1].lower(), match[2])


def read_catalogue(top: TableReader) -> dict[str, CatalogueEntry]:
    """The table `[permissions]`, by permission."""
    catalogue: dict[str, CatalogueEntry] = {}
    for name, table in top.tables("permissions", ("description", "risk", "retired")):
        try:
            if "*" in name:
                table.fault("a wildcard belongs in a grant; the catalogue names permissions")
            elif "{" in name or "}" in name:
                PermissionRequirement.parse(name)
            else:
                Permission.parse(name)
        except (GrammarError, ConfigurationError) as error:
            table.fault(str(error))
        risk = table.choice("risk", RISKS, "medium")
        catalogue[name] = CatalogueEntry(name, table.text("description"), risk, table.flag("retired"))
    return catalogue


def read_roles(top: TableReader, catalogue: Mapping[str, CatalogueEntry]) -> dict[str, Role]:
    """The table `[roles]`, by name, with the grants of included roles."""
    tables = dict(top.tables("roles", ("description", "grants", "includes", "from")))
    own: dict[str, Role] = {}
    for name, table in tables.items():
        if not (is_segment(name) and within_limits(name)):
            table.fault("a role's name is one segment, as in a permission: no blank, `:`, `*`, `{` or `}`")
        sources = table.texts("from")
        for index, source in sources:
            if parse_role_source(source) is None:
                table.fault(
                    f'{quote_text(source)} is not an external role: write "kind:name" or "issuer/kind:name", '
                    'such as "realm:clerk" or "auth0/role:clerk"',
                    "from",
                    index,
                )
        own[name] = Role(
            name,
            table.text("description"),
            _grants(table, f"role {name}", name, catalogue),
            table.names("includes", tables, "role"),
            tuple(source for _, source in sources),
        )
    return _expand_includes(own, top)


def _expand_includes(own: Mapping[str, Role], top: TableReader) -> dict[str, Role]:
    includes = {name: list(role.includes) for name, role in own.items()}
    texts: dict[str, dict[str, None]] = {}
    for name in _include_order(includes, top):
        texts[name] = dict.fromkeys(grant.text for grant in own[name].grants)
        for included in includes[name]:
            texts[name] |= texts[included]
    return {
        name: replace(role, grants=tuple(_grant(text, f"role {name}", name) for text in texts[name]))
        for name, role in own.items()
    }


def _include_order(includes: dict[str, list[str]], top: TableReader) -> list[str]:
    """All roles, each after those that it includes. Each cycle is noted and cut, so that all cycles are found."""
    while True:
        try:
            return list(TopologicalSorter(includes).static_order())
        except CycleError as error:
            ring: list[str] = error.args[1][:0:-1]
            first = ring.index(min(ring))
            cycle = [*ring[first:], *ring[: first + 1]]
            top.fault(f"roles include each other: {' -> '.join(map(quote_text, cycle))}", "roles", cycle[0], "includes")
            includes[cycle[0]].remove(cycle[1])


def _grants(
    table: TableReader, source: str, role: str | None, catalogue: Mapping[str, CatalogueEntry]
) -> tuple[Grant, ...]:
    texts = table.texts("grants")
    live = [name for name, entry in catalogue.items() if not entry.retired]
    for index, text in texts:
        try:
            check_grant(text)
        except GrammarError as error:
            hint = "; a wildcard is a whole segment, and `**` the last one" if "*" in text else ""
            table.fault(f"{error}{hint}", "grants", index)
            continue
        if not catalogue:
            continue
        entry = catalogue.get(text)
        if entry.retired if entry is not None else not any(overlaps(text, name) for name in live):
            table.fault(f"{quote_text(text)} {_grant_fault(text, catalogue, live)}", "grants", index)
    return tuple(_grant(text, source, role) for _, text in texts)


def _grant_fault(text: str, catalogue: Iterable[str], live: Sequence[str]) -> str:
    """The fault of a grant that matches none of the `live` entries."""
    retired = any(overlaps(text, name) for name in catalogue)
    if is_pattern(text):
        return f"covers nothing in the catalogue{' but retired entries' if retired else ''}"
    return f"is {'retired' if retired else 'not in the catalogue'}{did_you_mean(text, live)}"


def _grant(text: str, source: str, role: str | None) -> Grant:
    return Grant(text, source, role, is_pattern(text))


def read_audiences(top: TableReader) -> dict[str, Audience]:
    """The table `[audiences]`, by name."""
    keys = ("may_call", "claims", "max_lifetime", "max_size", "wildcards")
    tables = dict(top.tables("audiences", keys))
    for name, table in tables.items():
        _check_name(name, table)
    return {
        name: Audience(
            name,
            table.names("may_call", tables, "audience"),
            tuple(claim for _, claim in table.texts("claims")),
            table.seconds("max_lifetime"),
            table.number("max_size", "bytes"),
            table.flag("wildcards"),
        )
        for name, table in tables.items()
    }


def read_clients(
    top: TableReader, catalogue: Mapping[str, CatalogueEntry], roles: Mapping[str, Role]
) -> dict[str, Client]:
    """The table `[clients]`, by name."""
    clients: dict[str, Client] = {}
    for name, table in top.tables("clients", ("description", "grants", "roles")):
        _check_name(name, table)
        grants = _grants(table, f"client {name}", None, catalogue)
        clients[name] = Client(name, table.text("description"), grants, table.names("roles", roles, "role"))
    return clients


def _check_name(name: str, table: TableReader) -> None:
    if not name or not name.isprintable() or name != name.strip():
        table.fault("a name is printable, not empty, and has no leading or trailing blanks")
