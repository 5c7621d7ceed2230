"""The part of the store in Django's database for campaigns and the audit trail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jwt_lp.stores import Actor
from jwt_lp.stores.campaign_changes import Assignment, Deciding
from jwt_lp.stores.campaign_values import ItemCounts

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from jwt_lp.stores import (
        AuditEntry,
        AuditFilter,
        Campaign,
        CampaignItem,
        CampaignPart,
        DecideResult,
        ItemFilter,
        WantedDecision,
        WantedEntry,
    )
    from jwt_lp_django.database import DjangoDatabase


class DjangoCampaigns:
    """The methods of `CampaignStore`, for `DjangoStore`."""

    _alias: str
    _database: DjangoDatabase

    def add_campaign(
        self,
        campaign: Campaign,
        parts: Iterable[CampaignPart],
        items: Iterable[CampaignItem],
        groups: Iterable[tuple[str, Mapping[str, Any]]],
        entry: WantedEntry,
    ) -> None:
        """Write a campaign with all that belongs to it; its items are read as a stream."""
        rows, counts = self._campaign_rows(), ItemCounts(campaign.id, parts)
        # One try: the items cannot be read twice.
        self._database.write(lambda: rows.add(self._alias, campaign, counts, (items, groups), entry), tries=1)

    def campaigns(self) -> tuple[Campaign, ...]:
        """All campaigns, the newest first."""
        rows = self._campaign_rows()
        found: tuple[Campaign, ...] = self._database.read(lambda: rows.list_campaigns(self._alias))
        return found

    def campaign(self, campaign_id: str) -> Campaign | None:
        """The campaign with this id, or None."""
        rows = self._campaign_rows()
        found: Campaign | None = self._database.read(lambda: rows.find(self._alias, campaign_id))
        return found

    def campaign_parts(self, campaign: str) -> tuple[CampaignPart, ...]:
        """The parts of a campaign, by name."""
        rows = self._campaign_rows()
        found: tuple[CampaignPart, ...] = self._database.read(lambda: rows.list_parts(self._alias, campaign))
        return found

    def parts_of(self, issuer: str, subject: str) -> tuple[CampaignPart, ...]:
        """The parts of a reviewer in campaigns that are neither closed nor cancelled."""
        rows, reviewer = self._campaign_rows(), Actor(issuer=issuer, subject=subject)
        found: tuple[CampaignPart, ...] = self._database.read(lambda: rows.parts_of(self._alias, reviewer))
        return found

    def campaign_groups(self, campaign: str, part: str) -> tuple[Mapping[str, Any], ...]:
        """The groups of a part, in their order."""
        rows = self._campaign_rows()
        found: tuple[Mapping[str, Any], ...] = self._database.read(
            lambda: rows.list_groups(self._alias, campaign, part)
        )
        return found

    def group_counts(self, campaign: str, part: str) -> Mapping[str, tuple[int, int]]:
        """The numbers of items and of decisions in each group of a part."""
        rows = self._campaign_rows()
        found: Mapping[str, tuple[int, int]] = self._database.read(
            lambda: rows.count_by_group(self._alias, campaign, part)
        )
        return found

    def campaign_items(self, which: ItemFilter) -> Iterator[CampaignItem]:
        """The items that match, ordered by part and position."""
        rows = self._campaign_rows()
        return map(rows.read_stored_item, self._database.stream_rows(lambda: rows.select_items(self._alias, which)))

    def item_history(
        self, ids: Collection[str], *, before: float | None = None, limit: int = 3
    ) -> tuple[CampaignItem, ...]:
        """The items with these ids in all campaigns, the newest campaign first."""
        rows = self._campaign_rows()
        found: tuple[CampaignItem, ...] = self._database.read(lambda: rows.history(self._alias, ids, before, limit))
        return found

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
        rows, deciding = self._campaign_rows(), Deciding(actor, at, parts, rule, override)
        result: DecideResult = self._database.write(lambda: rows.decide(self._alias, campaign, wanted, deciding))
        return result

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
        rows, wanted = self._campaign_rows(), Assignment(reviewer, version, actor, at, delegated)
        assigned: CampaignPart = self._database.write(lambda: rows.assign(self._alias, campaign, part, wanted))
        return assigned

    def mark_reminded(self, campaign: str, parts: Sequence[str], *, at: float, actor: Actor) -> None:
        """Note that the reviewers of these parts were reminded."""
        rows = self._campaign_rows()
        self._database.write(lambda: rows.remind(self._alias, campaign, parts, at, actor))

    def close_campaign(self, campaign: str, *, at: float, actor: Actor) -> Campaign:
        """Close it, so that no decision follows."""
        rows = self._campaign_rows()
        closed: Campaign = self._database.write(lambda: rows.close(self._alias, campaign, at, actor))
        return closed

    def cancel_campaign(self, campaign: str, *, at: float, actor: Actor, reason: str = "") -> Campaign:
        """Give it up."""
        rows = self._campaign_rows()
        cancelled: Campaign = self._database.write(lambda: rows.cancel(self._alias, campaign, at, actor, reason))
        return cancelled

    def decisions_by_day(self, campaign: str) -> tuple[tuple[str, int], ...]:
        """The days on which decisions were made that stand now, and how many of each day."""
        rows = self._campaign_rows()
        found: tuple[tuple[str, int], ...] = self._database.read(lambda: rows.count_by_day(self._alias, campaign))
        return found

    def append_audit(self, wanted: Sequence[WantedEntry]) -> tuple[AuditEntry, ...]:
        """Add entries to the audit trail; return them as they are stored."""
        rows = self._audit_rows()
        entries: tuple[AuditEntry, ...] = self._database.write(lambda: rows.append(self._alias, wanted))
        return entries

    def audit_entries(self, which: AuditFilter) -> Iterator[AuditEntry]:
        """The entries that match, streamed."""
        rows = self._audit_rows()
        return map(rows.read_audit, self._database.stream_rows(lambda: rows.select(self._alias, which)))

    def audit_head(self) -> tuple[int, str]:
        """The sequence number and the hash of the last entry."""
        rows = self._audit_rows()
        found: tuple[int, str] = self._database.read(lambda: rows.head(self._alias))
        return found

    def _campaign_rows(self) -> Any:
        """The module with the queries. It imports models, which is possible only after Django is set up."""
        self._database.ensure_ready()
        from jwt_lp_django import campaign_rows

        return campaign_rows

    def _audit_rows(self) -> Any:
        self._database.ensure_ready()
        from jwt_lp_django import audit_rows

        return audit_rows
