"""Look-ups for pages: what one holder, one role or one permission has and used, each answered by an index.

Every look-up reads a bounded number of rows, so it answers quickly in a large store. Where that bound was reached, the
answer says so. Days are ISO dates in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from jwt_lp.stores.rows import StoredRevocation, UsageOutcome

NameKind: TypeAlias = Literal["subject", "client", "role", "permission"]
"""What is looked for by name."""

MAX_READ: Final = 20_000
"""The most rows that one look-up reads."""


class FoundName(NamedTuple):
    """A name that the store has; the issuer is "" for roles and permissions."""

    issuer: str
    name: str


class HolderGrant(NamedTuple):
    """A grant that a holder has, directly (`role` is "") or through a role; `grant` is "" for a role as a whole.

    `since` is the day of the grant as the import says, "" if it does not. `as_of` is the day of the latest import that
    lists it, "" for none. `first_day` and `last_day` are the days on which tokens carried it, "" if none did.
    """

    role: str
    grant: str
    since: str
    as_of: str
    first_day: str
    last_day: str


class HolderUse(NamedTuple):
    """The uses of one permission through one grant by one holder with one outcome."""

    issuer: str
    subject: str
    client: str
    role: str
    permission: str
    grant: str
    outcome: UsageOutcome
    uses: int
    first_day: str
    last_day: str


class FoundUses(NamedTuple):
    """Uses, the most recent first. `complete` is False if there were more than `MAX_READ` to choose from."""

    uses: tuple[HolderUse, ...]
    complete: bool


class FoundHolder(NamedTuple):
    """A holder of a grant or a role. `client` is that of its tokens; one of the two is "" for an imported grant."""

    issuer: str
    subject: str
    client: str


class HolderCount(NamedTuple):
    """The number of holders. `complete` is False if it is only what the first `MAX_READ` rows say."""

    number: int
    complete: bool


class UseDay(NamedTuple):
    """The uses of one permission on one day at one endpoint."""

    day: str
    service: str
    endpoint: str
    permission: str
    grant: str
    outcome: UsageOutcome
    uses: int


class PermissionDay(NamedTuple):
    """The uses of a permission by everybody on one day, and how many requests for it were refused."""

    day: str
    uses: int
    refused: int


class EndpointUse(NamedTuple):
    """Where a permission was used: how often, how many requests were refused, and on what day last."""

    service: str
    endpoint: str
    method: str
    uses: int
    refused: int
    last_day: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationFilter:
    """Which revocation entries are listed; None for any.

    `lifted` is True for those that were lifted, False for those that were not. `of`, `issuer` and `name` are those of the
    entry, and `id` is its id. `before` is a sequence number, left out, and `limit` the most entries of a page.
    """

    lifted: bool | None = None
    of: str | None = None
    issuer: str | None = None
    name: str | None = None
    id: str | None = None
    before: int | None = None
    limit: int = 60


class LookupStore(Protocol):
    """Look-ups for pages. Every store of `jwt_lp.stores` has them.

    Holders have what the latest complete import and later ones list. What tokens carried counts, too, if no import is
    complete, or if they carried it after the day of the latest import. What they carried by an elevation does not count.
    """

    def find_names(self, kind: NameKind, text: str, *, limit: int = 50) -> tuple[FoundName, ...]:
        """The names that contain `text`, whatever the case of ASCII letters, in order; all names for ""."""
        ...

    def holder_grants(
        self, *, issuer: str, subject: str | None = None, client: str | None = None, limit: int = 1000
    ) -> tuple[HolderGrant, ...]:
        """What a subject or a client holds, by role and grant. Of a client: also what tokens for it carried at any time."""
        ...

    def holder_uses(
        self, *, issuer: str, subject: str | None = None, client: str | None = None, limit: int = 1000
    ) -> FoundUses:
        """What a subject, or a client, or a subject by one client, used."""
        ...

    def permission_uses(self, permission: str, *, limit: int = 100) -> FoundUses:
        """Who used a permission."""
        ...

    def grant_holders(
        self, grant: str, *, limit: int = 100, after: FoundHolder | None = None
    ) -> tuple[FoundHolder, ...]:
        """Who holds a grant, directly or through a role, in order; those behind `after`.

        Whoever holds a role as a whole is found by `role_members` alone, because the store does not know the policy.
        """
        ...

    def role_members(self, role: str, *, limit: int = 100, after: FoundHolder | None = None) -> tuple[FoundHolder, ...]:
        """Who holds a role, or a grant through it, in order; those behind `after`."""
        ...

    def count_grant_holders(self, grant: str) -> HolderCount:
        """How many `grant_holders` there are."""
        ...

    def count_role_members(self, role: str) -> HolderCount:
        """How many `role_members` there are."""
        ...

    def use_days(
        self,
        *,
        issuer: str,
        subject: str,
        client: str | None = None,
        permission: str | None = None,
        grant: str | None = None,
        since: str,
        limit: int = 1000,
    ) -> tuple[UseDay, ...]:
        """What a subject used on each day from `since` on, the most recent first; of at most `MAX_READ` rows."""
        ...

    def permission_days(self, permission: str, *, since: str) -> tuple[PermissionDay, ...]:
        """The uses of a permission on each day from `since` on, in order."""
        ...

    def endpoint_uses(self, permission: str, *, limit: int = 100) -> tuple[EndpointUse, ...]:
        """Where a permission was used, the most recent first."""
        ...

    def revocation_page(self, which: RevocationFilter) -> tuple[StoredRevocation, ...]:
        """The entries that match, the newest first."""
        ...

    def latest_import(self) -> tuple[str, bool] | None:
        """The day of the latest import of grants, and whether it was complete; None if there is none."""
        ...

    def recorded_until(self) -> tuple[tuple[str, float], ...]:
        """The services, and until when the store has their recorded usage, by service."""
        ...
