"""The part of the SQL store for campaigns and the audit trail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jwt_lp.stores import audit_rows, campaign_rows
from jwt_lp.stores.audit import Actor
from jwt_lp.stores.campaign_changes import Assignment, Deciding
from jwt_lp.stores.campaign_values import ItemCounts, read_campaign, read_item, read_part, reviewer_key
from jwt_lp.stores.database import stream_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import sqlalchemy as sa

    from jwt_lp.stores.audit import AuditEntry, WantedEntry
    from jwt_lp.stores.campaigns import (
        Campaign,
        CampaignItem,
        CampaignPart,
        DecideResult,
        ItemFilter,
        WantedDecision,
    )
    from jwt_lp.stores.database import SqlDatabase


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
        return tuple(map(read_campaign, self._mappings(campaign_rows.select_campaigns())))

    def campaign(self, campaign_id: str) -> Campaign | None:
        """The campaign with this id, or None."""
        with self._database.read() as connection:
            return campaign_rows.find(connection, campaign_id)

    def campaign_parts(self, campaign: str) -> tuple[CampaignPart, ...]:
        """The parts of a campaign, by name."""
        return tuple(map(read_part, self._mappings(campaign_rows.select_parts(campaign))))

    def parts_of(self, issuer: str, subject: str) -> tuple[CampaignPart, ...]:
        """The parts of a reviewer in campaigns that are neither closed nor cancelled."""
        key = reviewer_key(Actor(issuer=issuer, subject=subject))
        return tuple(map(read_part, self._mappings(campaign_rows.select_parts_of(key))))

    def campaign_groups(self, campaign: str, part: str) -> tuple[Mapping[str, Any], ...]:
        """The groups of a part, in their order."""
        with self._database.read() as connection:
            return campaign_rows.list_groups(connection, campaign, part)

    def campaign_items(self, which: ItemFilter) -> Iterator[CampaignItem]:
        """The items that match, ordered by part and position."""
        rows = stream_rows(self._database, campaign_rows.select_items(which))
        return (read_item(row._asdict()) for row in rows)

    def item_history(self, item_id: str, *, limit: int = 20) -> tuple[CampaignItem, ...]:
        """The items with this id in all campaigns, the newest campaign first."""
        return tuple(map(read_item, self._mappings(campaign_rows.select_history(item_id, limit))))

    def decide_items(
        self,
        campaign: str,
        wanted: Sequence[WantedDecision],
        *,
        actor: Actor,
        at: float,
        part: str | None = None,
        rule: bool = False,
        override: bool = False,
    ) -> DecideResult:
        """Write decisions, each with an entry of the audit trail."""
        with self._database.write() as connection:
            return campaign_rows.decide(connection, campaign, wanted, Deciding(actor, at, part, rule, override))

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

    def audit_entries(
        self,
        *,
        campaign: str | None = None,
        object: str | None = None,  # noqa: A002 - the member's name
        after: int = 0,
        before: int | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> Iterator[AuditEntry]:
        """The entries that match, streamed."""
        query = audit_rows.select(campaign, object, after, before, limit, newest_first=newest_first)
        return map(audit_rows.read, stream_rows(self._database, query))

    def audit_head(self) -> tuple[int, str]:
        """The sequence number and the hash of the last entry."""
        with self._database.read() as connection:
            return audit_rows.head(connection)

    def _mappings(self, query: sa.Select[Any]) -> Sequence[Mapping[str, Any]]:
        with self._database.read() as connection:
            return [row._asdict() for row in connection.execute(query).all()]
