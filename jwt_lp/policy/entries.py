"""The entries of the policy file: permissions, roles, audiences and clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from jwt_lp.permissions.grants import Grant


class CatalogueEntry(NamedTuple):
    """One permission, or a template of permissions; `risk` is `low`, `medium` or `high`.

    A `retired` entry keeps its position, but nothing may grant it any more.
    """

    name: str
    description: str = ""
    risk: str = "medium"
    retired: bool = False


class Role(NamedTuple):
    """A name for a set of grants.

    `grants` holds its own grants and those of every role that it includes. All are credited to this role, because
    tokens and deny entries name this role. `sources` are the external roles that confer it, as written.
    """

    name: str
    description: str = ""
    grants: tuple[Grant, ...] = ()
    includes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


class Audience(NamedTuple):
    """Limits for tokens of one audience, in seconds and bytes; None if the file sets no limit."""

    name: str
    may_call: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()
    max_lifetime: int | None = None
    max_size: int | None = None
    wildcards: bool = False


class Client(NamedTuple):
    """A client with grants of its own; `Policy.grants` gives the grants of its `roles`."""

    name: str
    description: str = ""
    grants: tuple[Grant, ...] = ()
    roles: tuple[str, ...] = ()
