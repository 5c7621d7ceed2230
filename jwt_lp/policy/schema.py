"""Is each entry of the policy well written?

What the policy file may hold, as values, and how each part of it is read. Faults are noted and reading goes
on: a name that is at fault is still known, so that what refers to it is not at fault too.
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

# The name is the provider's, so nearly anything may stand in it (a Keycloak group begins with a slash); what
# stands before it is ours.
_SOURCE: Final = re.compile(r"(?:([^/:\s]+)/)?([a-z][a-z0-9_-]*:\S(?:.*\S)?)")


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One permission that exists, or a template of them; `risk` is `low`, `medium` or `high`.

    What is `retired` keeps its position, and nothing may grant it any more.
    """

    name: str
    description: str = ""
    risk: str = "medium"
    retired: bool = False


@dataclass(frozen=True, slots=True)
class Role:
    """A name for a set of grants.

    `grants` holds its own and those of every role it includes, all credited to this role: it is the one that a
    token names, and that a deny entry shrinks. `sources` are the outside roles that confer it, as written.
    """

    name: str
    description: str = ""
    grants: tuple[Grant, ...] = ()
    includes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Audience:
    """What tokens for one audience may be. Seconds and bytes; None where the file sets no limit."""

    name: str
    may_call: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()
    max_lifetime: int | None = None
    max_size: int | None = None
    wildcards: bool = False


@dataclass(frozen=True, slots=True)
class Client:
    """A client with grants of its own; those of its `roles` are had from `Policy.grants`."""

    name: str
    description: str = ""
    grants: tuple[Grant, ...] = ()
    roles: tuple[str, ...] = ()


def overlaps(text: str, entry: str) -> bool:
    """Whether one permission can be both; a placeholder or `*` is any segment, a last `**` one or more."""
    mine, theirs = text.split(":"), entry.split(":")
    if mine[-1] == "**":
        mine[-1:] = ["*"] * max(1, len(theirs) - len(mine) + 1)
    return len(mine) == len(theirs) and all(
        one in (other, "*") or one[:1] == "{" or other[:1] == "{" for one, other in zip(mine, theirs, strict=True)
    )


def parse_role_source(text: str) -> tuple[str | None, str] | None:
    """The issuer's name (lower case, as in the settings) or None, and the outside name; None where it is neither."""
    found = _SOURCE.fullmatch(text) if text.isprintable() else None
    return None if found is None else (found[1] and found[1].lower(), found[2])


def read_catalogue(top: TableReader) -> dict[str, CatalogueEntry]:
    """The table `[permissions]`, by permission."""
    found: dict[str, CatalogueEntry] = {}
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
        found[name] = CatalogueEntry(name, table.text("description"), risk, table.flag("retired"))
    return found


def read_roles(top: TableReader, catalogue: Mapping[str, CatalogueEntry]) -> dict[str, Role]:
    """The table `[roles]`, by name, with the roles that each includes."""
    tables = dict(top.tables("roles", ("description", "grants", "includes", "from")))
    own: dict[str, Role] = {}
    for name, table in tables.items():
        if not (is_segment(name) and within_limits(name)):
            table.fault("a role's name is one segment, as in a permission: no blank, `:`, `*`, `{` or `}`")
        sources = table.texts("from")
        for index, each in sources:
            if parse_role_source(each) is None:
                table.fault(
                    f'{quote_text(each)} is not an external role: write "kind:name" or "issuer/kind:name", '
                    'such as "realm:clerk" or "auth0/role:clerk"',
                    "from",
                    index,
                )
        own[name] = Role(
            name,
            table.text("description"),
            _grants(table, f"role {name}", name, catalogue),
            table.names("includes", tables, "role"),
            tuple(each for _, each in sources),
        )
    return _expand_includes(own, top)


def _expand_includes(own: Mapping[str, Role], top: TableReader) -> dict[str, Role]:
    includes = {name: list(role.includes) for name, role in own.items()}
    texts: dict[str, dict[str, None]] = {}
    for name in _include_order(includes, top):
        texts[name] = dict.fromkeys(grant.text for grant in own[name].grants)
        for each in includes[name]:
            texts[name] |= texts[each]
    return {
        name: replace(role, grants=tuple(_grant(text, f"role {name}", name) for text in texts[name]))
        for name, role in own.items()
    }


def _include_order(includes: dict[str, list[str]], top: TableReader) -> list[str]:
    """Each role after all that it includes. A cycle is noted and cut, so that the next one is found too."""
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
        named = catalogue.get(text)
        if named.retired if named is not None else not any(overlaps(text, name) for name in live):
            table.fault(f"{quote_text(text)} {_grant_fault(text, catalogue, live)}", "grants", index)
    return tuple(_grant(text, source, role) for _, text in texts)


def _grant_fault(text: str, catalogue: Iterable[str], live: Sequence[str]) -> str:
    """What is wrong with a grant that none of the `live` entries is for."""
    retired = any(overlaps(text, name) for name in catalogue)
    if is_pattern(text):
        return f"covers nothing in the catalogue{' but what is retired' if retired else ''}"
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
            tuple(each for _, each in table.texts("claims")),
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
    found: dict[str, Client] = {}
    for name, table in top.tables("clients", ("description", "grants", "roles")):
        _check_name(name, table)
        grants = _grants(table, f"client {name}", None, catalogue)
        found[name] = Client(name, table.text("description"), grants, table.names("roles", roles, "role"))
    return found


def _check_name(name: str, table: TableReader) -> None:
    if not name or not name.isprintable() or name != name.strip():
        table.fault("a name is printable, not empty, and has no leading or trailing blanks")
