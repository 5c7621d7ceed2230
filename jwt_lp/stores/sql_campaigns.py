"""The part of the SQL store for campaigns and the audit trail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from jwt_lp.stores import audit_rows, campaign_rows
from jwt_lp.stores.audit import Actor
from jwt_lp.stores.campaign_changes import Assignment, Deciding
from jwt_lp.stores.campaign_values import ItemCounts, reviewer_key
from jwt_lp.stores.database import stream_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    import sqlalchemy as sa

    from jwt_lp.stores.audit import AuditEntry, AuditFilter, WantedEntry
    from jwt_lp.stores.campaigns import (
        Campaign,
        CampaignItem,
        CampaignPart,
        DecideResult,
        ItemFilter,
        WantedDecision,
    )
    from jwt_lp.stores.database import SqlDatabase

T = TypeVar("T")


class SqlCampaigns:
    """The methods of `CampaignStore`, for `SqlStore`."""

    _database: SqlDatabase

    def add_campaign(
        self,
        campaign: Campaign,
        parts: Iterable[CampaignPart],
        items: Iterable[CampaignItem],
        groups: Iterable[tuple[str, Mapping[str, Any]]],
        entry: WantedEntry,
    ) -> None:
        """Write a campaign with all that belongs to it; its items are read as a stream."""
        counts = ItemCounts(campaign.id, parts)
        with self._database.write(unlimited=True) as connection:
            campaign_rows.add(connection, campaign, counts, (items, groups), entry)

    def campaigns(self) -> tuple[Campaign, ...]:
        """All campaigns, the newest first."""
        return self._list(campaign_rows.read_stored_campaign, campaign_rows.select_campaigns())

    def campaign(self, campaign_id: str) -> Campaign | None:
        """The campaign with this id, or None."""
        with self._database.read() as connection:
            return campaign_rows.find(connection, campaign_id)

    def campaign_parts(self, campaign: str) -> tuple[CampaignPart, ...]:
        """The parts of a campaign, by name."""
        return self._list(campaign_rows.read_stored_part, campaign_rows.select_parts(campaign))

    def parts_of(self, issuer: str, subject: str) -> tuple[CampaignPart, ...]:
        """The parts of a reviewer in campaigns that are neither closed nor cancelled."""
        key = reviewer_key(Actor(issuer=issuer, subject=subject))
        return self._list(campaign_rows.read_stored_part, campaign_rows.select_parts_of(key))

    def campaign_groups(self, campaign: str, part: str) -> tuple[Mapping[str, Any], ...]:
        """The groups of a part, in their order."""
        with self._database.read() as connection:
            return campaign_rows.list_groups(connection, campaign, part)

    def group_counts(self, campaign: str, part: str) -> Mapping[str, tuple[int, int]]:
        """The numbers of items and of decisions in each group of a part."""
        with self._database.read() as connection:
            return campaign_rows.count_by_group(connection, campaign, part)

    def campaign_items(self, which: ItemFilter) -> Iterator[CampaignItem]:
        """The items that match, ordered by part and position."""
        return map(campaign_rows.read_stored_item, stream_rows(self._database, campaign_rows.select_items(which)))

    def item_history(
        self, ids: Collection[str], *, before: float | None = None, limit: int = 3
    ) -> tuple[CampaignItem, ...]:
        """The items with these ids in all campaigns, the newest campaign first."""
        return self._list(campaign_rows.read_stored_item, campaign_rows.select_history(ids, before, limit))

    def decide_items(
        self,
        campaign: str,
        wanted: Sequence[WantedDecision],
        *,
        actor: Actor,
        at: float,
        parts: Sequence[CampaignPart] | None = None,
        rule: bool = False,
        override: bool = False,
    ) -> DecideResult:
        """Write decisions, each with an entry of the audit trail."""
        with self._database.write() as connection:
            return campaign_rows.decide(connection, campaign, wanted, Deciding(actor, at, parts, rule, override))

    def assign_part(
        self,
        campaign: str,
        part: str,
        reviewer: Actor | None,
        *,
        version: int,
        actor: Actor,
        at: float,
        delegated: bool = False,
    ) -> CampaignPart:
        """Give a part to a reviewer; return it as it is then."""
        with self._database.write() as connection:
            wanted = Assignment(reviewer, version, actor, at, delegated)
            return campaign_rows.assign(connection, campaign, part, wanted)

    def mark_reminded(self, campaign: str, parts: Sequence[str], *, at: float, actor: Actor) -> None:
        """Note that the reviewers of these parts were reminded."""
        with self._database.write() as connection:
            campaign_rows.remind(connection, campaign, parts, at, actor)

    def close_campaign(self, campaign: str, *, at: float, actor: Actor) -> Campaign:
        """Close it, so that no decision follows."""
        with self._database.write() as connection:
            return campaign_rows.close(connection, campaign, at, actor)

    def cancel_campaign(self, campaign: str, *, at: float, actor: Actor, reason: str = "") -> Campaign:
        """Give it up."""
        with self._database.write() as connection:
            return campaign_rows.cancel(connection, campaign, at, actor, reason)

    def decisions_by_day(self, campaign: str) -> tuple[tuple[str, int], ...]:
        """The days on which decisions were made that stand now, and how many of each day."""
        with self._database.read() as connection:
            return campaign_rows.count_by_day(connection, campaign)

    def append_audit(self, wanted: Sequence[WantedEntry]) -> tuple[AuditEntry, ...]:
        """Add entries to the audit trail; return them as they are stored."""
        with self._database.write() as connection:
            return audit_rows.append(connection, wanted)

    def audit_entries(self, which: AuditFilter) -> Iterator[AuditEntry]:
        """The entries that match, streamed."""
        return map(audit_rows.read, stream_rows(self._database, audit_rows.select(which)))

    def audit_head(self) -> tuple[int, str]:
        """The sequence number and the hash of the last entry."""
        with self._database.read() as connection:
            return audit_rows.head(connection)

    def _list(self, read: Callable[[Sequence[Any]], T], query: sa.Select[Any]) -> tuple[T, ...]:
        with self._database.read() as connection:
            return tuple(read(row) for row in connection.execute(query))
