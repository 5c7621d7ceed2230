"""Reading of the policy file's tables.

Faults are noted and reading goes on. A faulty name still counts as defined, so references to it are not faults too.
"""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp._support.toml_lines import line_of, locate_keys, read_toml
from jwt_lp._support.validation import Fault, TableReader, did_you_mean, format_fault, quote_text
from jwt_lp.errors import ConfigurationError, GrammarError
from jwt_lp.permissions.grants import Grant, Permission, check_grant, is_pattern, is_segment, within_limits
from jwt_lp.permissions.requirements import PermissionRequirement
from jwt_lp.policy.entries import Audience, CatalogueEntry, Client, Role
from jwt_lp.policy.matching import RISKS, overlaps, parse_role_source

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jwt_lp.policy.elevation_rules import ElevationRule

MAX_BYTES: Final = 1024 * 1024


class PolicyTables(NamedTuple):
    """What a policy file holds: the catalogue in its order, and roles, audiences, clients and elevation rules by name."""

    catalogue: Mapping[str, CatalogueEntry]
    roles: Mapping[str, Role]
    audiences: Mapping[str, Audience]
    clients: Mapping[str, Client]
    elevation: Mapping[str, ElevationRule]


def read_file(path: str) -> PolicyTables:
    """Read the file at `path`, at most 1 MiB of UTF-8; each fault begins with `path:line: `."""
    data, text = read_toml(path, MAX_BYTES)
    tables, faults = _read(data)
    if faults:
        lines = locate_keys(text)
        numbered = [(line_of(lines, fault[0]), format_fault(fault)) for fault in faults]
        numbered.sort(key=lambda item: item[0])
        raise ConfigurationError(*(f"{path}:{line}: {message}" for line, message in numbered))
    return tables


def read_mapping(data: object) -> PolicyTables:
    """Read plain values; `ConfigurationError` holds all faults, each with its place."""
    tables, faults = _read(data)
    if faults:
        raise ConfigurationError(*map(format_fault, faults))
    return tables


def _read(data: object) -> tuple[PolicyTables, list[Fault]]:
    faults: list[Fault] = []
    top = TableReader.read((), data, faults, ("version", "permissions", "roles", "audiences", "clients", "elevation"))
    # The exact type, because True and 1.0 equal 1 too.
    if type(top.data.get("version")) is not int or top.data["version"] != 1:
        top.fault("must be 1: write `version = 1` at the top", "version")
    catalogue = _read_catalogue(top)
    roles = _read_roles(top, catalogue)
    audiences, clients = _read_audiences(top), _read_clients(top, catalogue, roles)
    return PolicyTables(catalogue, roles, audiences, clients, _read_elevation(top, catalogue, roles)), faults


def _read_elevation(
    top: TableReader, catalogue: Mapping[str, CatalogueEntry], roles: Mapping[str, Role]
) -> Mapping[str, ElevationRule]:
    if "elevation" not in top.data:
        return {}
    # Imported where a policy has such rules: most guards need none.
    from jwt_lp.policy.elevation_schema import read_elevation

    return read_elevation(top, catalogue, roles)


def _read_catalogue(top: TableReader) -> dict[str, CatalogueEntry]:
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


def _read_roles(top: TableReader, catalogue: Mapping[str, CatalogueEntry]) -> dict[str, Role]:
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
        name: role._replace(grants=tuple(_grant(text, f"role {name}", name) for text in texts[name]))
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


def _read_audiences(top: TableReader) -> dict[str, Audience]:
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


def _read_clients(
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
