"""Campaigns, their parts and their items as rows.

A writer locks the row of the campaign first, so what changes one campaign follows one another: a decision comes before the
close and counts, or after it and is refused. The row of the last entry of the audit trail is locked last.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Count, F, Q, QuerySet

from jwt_lp import StoreError
from jwt_lp.stores import Campaign, CampaignItem, CampaignPart, DecideResult
from jwt_lp.stores.campaign_changes import (
    apply_assignment,
    assigned_entry,
    cancelled_entry,
    check_assignment,
    check_complete,
    check_open,
    check_part,
    check_parts,
    closed_entry,
    plan_decisions,
    reminded_entries,
    wanted_ids,
)
from jwt_lp.stores.campaign_values import (
    CAMPAIGN_FIELDS,
    ITEM_FIELDS,
    PART_FIELDS,
    actor_text,
    campaign_row,
    decision_values,
    holder_key,
    read_campaign,
    read_item,
    read_part,
    reviewer_key,
    reviewer_values,
)
from jwt_lp.stores.row_keys import fit_text, storable_text
from jwt_lp_django import audit_rows, models
from jwt_lp_django.database import split_chunks
from jwt_lp_django.row_keys import digest_id, row_id

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from jwt_lp.stores import Actor, ItemFilter, WantedDecision, WantedEntry
    from jwt_lp.stores.campaign_changes import Assignment, Deciding, ItemChange
    from jwt_lp.stores.campaign_values import ItemCounts

# The id of an item is another column than the key of its row.
_SMALL_FIELDS: Final = tuple("item" if name == "id" else name for name in ITEM_FIELDS)
_ITEM_FIELDS: Final = (*_SMALL_FIELDS, "finding")


def add(
    alias: str,
    campaign: Campaign,
    counts: ItemCounts,
    members: tuple[Iterable[CampaignItem], Iterable[tuple[str, Mapping[str, Any]]]],
    entry: WantedEntry,
) -> None:
    """Write a campaign with its parts, and its items and groups, which are read as streams; inside a transaction."""
    rows = models.Campaign.objects.using(alias)
    row = models.Campaign(**campaign_row(campaign))
    # INVARIANT: the first statement is a write, which takes the lock in SQLite; this one changes no row.
    rows.filter(pk="").update(items=0)
    if rows.filter(pk=row.pk).exists():
        raise StoreError("a campaign is written once, and its id exists already")
    rows.bulk_create([row])
    _insert(alias, models.CampaignItem, map(_item_values, counts.count(members[0])))
    _insert(alias, models.CampaignGroup, map(_group_values, counts.number(members[1])))
    _insert(alias, models.CampaignPart, map(_part_values, counts.parts.values()))
    rows.filter(pk=row.pk).update(**counts.totals())
    audit_rows.append(alias, [entry])


def _insert(alias: str, model: Any, rows: Iterator[dict[str, Any]]) -> None:
    for chunk in split_chunks(rows):
        keys = [row["id"] for row in chunk]
        if len(set(keys)) < len(keys) or model.objects.using(alias).filter(pk__in=keys).exists():
            raise ValueError("two members of the campaign have the same id")
        model.objects.using(alias).bulk_create([model(**row) for row in chunk])


def _item_values(row: dict[str, Any]) -> dict[str, Any]:
    item = row["id"]
    return {**row, "item": item, "id": _item_key(row["campaign"], item), "key": digest_id(row["key"])}


def _group_values(row: dict[str, Any]) -> dict[str, Any]:
    place = row.pop("number")
    return {**row, "place": place, "id": row_id((row["campaign"], row["part"], str(place)))}


def _part_values(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, **_reviewer_key(row), "id": row_id((row["campaign"], row["name"]))}


def _reviewer_key(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"key": None if row["key"] is None else digest_id(row["key"])}


def _item_key(campaign: str, item: str) -> Any:
    return row_id((campaign, item))


def list_campaigns(alias: str) -> tuple[Campaign, ...]:
    """All campaigns, the newest first."""
    rows = models.Campaign.objects.using(alias).order_by("-made_at", "id")
    return tuple(map(read_campaign, rows.values(*CAMPAIGN_FIELDS)))


def find(alias: str, campaign_id: str) -> Campaign | None:
    """The campaign with this id."""
    return _read_first(models.Campaign.objects.using(alias).filter(pk=storable_text(campaign_id)))


def _lock(alias: str, campaign_id: str) -> Campaign | None:
    """The campaign with this id; nobody else changes it until the transaction ends."""
    rows = models.Campaign.objects.using(alias).filter(pk=storable_text(campaign_id))
    # INVARIANT: the first statement is a write, which takes the lock in every database; SQLite has no SELECT FOR UPDATE.
    rows.update(decided=F("decided"))
    return _read_first(rows.select_for_update())


def _read_first(rows: QuerySet[models.Campaign]) -> Campaign | None:
    row = rows.values(*CAMPAIGN_FIELDS).first()
    return None if row is None else read_campaign(row)


def list_parts(alias: str, campaign_id: str) -> tuple[CampaignPart, ...]:
    """The parts of a campaign, by name."""
    rows = models.CampaignPart.objects.using(alias).filter(campaign=storable_text(campaign_id)).order_by("name")
    return tuple(map(read_part, rows.values(*PART_FIELDS)))


def parts_of(alias: str, reviewer: Actor) -> tuple[CampaignPart, ...]:
    """The parts of a reviewer in campaigns that can still be decided about."""
    rows = models.CampaignPart.objects.using(alias).filter(key=digest_id(reviewer_key(reviewer)))
    parts = list(map(read_part, rows.values(*PART_FIELDS)))
    going_on = models.Campaign.objects.using(alias).filter(closed_at=None, cancelled_at=None)
    deadlines = {
        campaign: deadline
        for chunk in split_chunks({part.campaign for part in parts})
        for campaign, deadline in going_on.filter(pk__in=chunk).values_list("pk", "deadline")
    }
    open_parts = [part for part in parts if part.campaign in deadlines]
    return tuple(sorted(open_parts, key=lambda part: (deadlines[part.campaign], part.campaign, part.name)))


def list_groups(alias: str, campaign_id: str, part: str) -> tuple[Mapping[str, Any], ...]:
    """The groups of a part, in their order."""
    rows = models.CampaignGroup.objects.using(alias).filter(campaign=storable_text(campaign_id), part=fit_text(part))
    return tuple(map(json.loads, rows.order_by("place").values_list("content", flat=True)))


def count_by_group(alias: str, campaign_id: str, part: str) -> dict[str, tuple[int, int]]:
    """The numbers of items and of decisions in each group of a part."""
    rows = models.CampaignItem.objects.using(alias).filter(campaign=storable_text(campaign_id), part=fit_text(part))
    counted = (
        rows.order_by("group").values("group").annotate(number=Count("pk"), done=Count("pk", filter=~Q(decision="")))
    )
    return {group: (number, done) for group, number, done in counted.values_list("group", "number", "done")}


def select_items(alias: str, which: ItemFilter) -> QuerySet[Any, Any]:
    """The query for items, in order."""
    rows = models.CampaignItem.objects.using(alias).filter(campaign=storable_text(which.campaign))
    named = {name: getattr(which, name) for name in ("part", "group", "grant", "role")}
    rows = rows.filter(**{name: fit_text(value) for name, value in named.items() if value is not None})
    if which.holder is not None:
        rows = rows.filter(key=digest_id(holder_key(which.holder)))
    if which.decided is not None:
        rows = rows.exclude(decision="") if which.decided else rows.filter(decision="")
    if which.decision is not None:
        rows = rows.filter(decision=which.decision)
    if which.after is not None:
        rows = rows.filter(position__gt=which.after)
    if which.ids is not None:
        rows = rows.filter(item__in=list(map(fit_text, which.ids)))
    return rows.order_by("part", "position").values(*_ITEM_FIELDS)[: which.limit]


def read_stored_item(row: Mapping[str, Any]) -> CampaignItem:
    """The item in a row."""
    return read_item({**row, "id": row["item"]})


def history(alias: str, ids: Collection[str], before: float | None, limit: int) -> tuple[CampaignItem, ...]:
    """The items with these ids in all campaigns, the newest first, at most `limit` of each."""
    rows = models.CampaignItem.objects.using(alias).filter(item__in=list(map(fit_text, ids)))
    campaigns = {row["campaign"] for row in rows.values("campaign").distinct()}
    times = dict(models.Campaign.objects.using(alias).filter(pk__in=campaigns).values_list("pk", "made_at"))
    chosen = [
        name for name in sorted(times, key=lambda each: (-times[each], each)) if before is None or times[name] < before
    ]
    found: list[CampaignItem] = []
    number = dict.fromkeys(map(fit_text, ids), 0)
    for campaign in chosen:
        wanted = [name for name, many in number.items() if many < limit]
        if not wanted:
            break
        for row in rows.filter(campaign=campaign, item__in=wanted).order_by("item").values(*_ITEM_FIELDS):
            found.append(read_stored_item(row))
            number[row["item"]] += 1
    return tuple(found)


def decide(alias: str, campaign_id: str, wanted: Sequence[WantedDecision], deciding: Deciding) -> DecideResult:
    """Write decisions, inside a transaction; return what was written and what was not."""
    campaign = check_open(_lock(alias, campaign_id))
    check_parts(partial(list_parts, alias, campaign.id), deciding)
    planned = plan_decisions(_items_by_id(alias, campaign.id, wanted_ids(wanted), _SMALL_FIELDS), wanted, deciding)
    _write_decisions(alias, campaign.id, planned.changes)
    for part, more in planned.decided.items():
        row = models.CampaignPart.objects.using(alias).filter(pk=row_id((campaign.id, part)))
        row.update(decided=F("decided") + more)
    total = sum(planned.decided.values())
    models.Campaign.objects.using(alias).filter(pk=campaign.id).update(decided=F("decided") + total)
    current = _items_by_id(alias, campaign.id, planned.conflicts, _ITEM_FIELDS)
    audit_rows.append(alias, planned.entries)
    return DecideResult(
        tuple(change.item.id for change in planned.changes), tuple(current[name] for name in planned.conflicts)
    )


def _items_by_id(alias: str, campaign_id: str, ids: Iterable[str], fields: Sequence[str]) -> dict[str, CampaignItem]:
    rows = models.CampaignItem.objects.using(alias)
    keys = (_item_key(campaign_id, name) for name in ids)
    found = (row for chunk in split_chunks(keys) for row in rows.filter(pk__in=chunk).values(*fields))
    return {row["item"]: read_stored_item(row) for row in found}


def _write_decisions(alias: str, campaign_id: str, changes: Sequence[ItemChange]) -> None:
    """Write decisions: one statement for many items that get the same one."""
    rows = models.CampaignItem.objects.using(alias)

    def written(change: ItemChange) -> tuple[tuple[str, Any], ...]:
        return tuple(decision_values(change.decision, change.version).items())

    for values, alike in groupby(sorted(changes, key=lambda each: repr(written(each))), key=written):
        for chunk in split_chunks(alike):
            keys = [_item_key(campaign_id, change.item.id) for change in chunk]
            # INVARIANT: the version is compared again where it is written, so no decision replaces one that was not read.
            unchanged = rows.filter(pk__in=keys, version=chunk[0].item.version)
            if unchanged.update(**dict(values)) != len(keys):
                raise StoreError("somebody else has written to the items of the campaign: try again")


def assign(alias: str, campaign_id: str, part: str, wanted: Assignment) -> CampaignPart:
    """Give a part to a reviewer, inside a transaction; return the part as it is then."""
    campaign = check_open(_lock(alias, campaign_id))
    before = check_assignment(_find_parts(alias, campaign.id, [part])[0], wanted)
    after = apply_assignment(before, wanted)
    reviewer = reviewer_values(after.reviewer)
    _update_part(
        alias,
        before,
        **{**reviewer, **_reviewer_key(reviewer)},
        delegated_by=actor_text(after.delegated_by),
        version=after.version,
    )
    audit_rows.append(alias, [assigned_entry(before, after, wanted)])
    return after


def remind(alias: str, campaign_id: str, names: Sequence[str], at: float, actor: Actor) -> None:
    """Note that the reviewers of parts were reminded, inside a transaction."""
    campaign = check_open(_lock(alias, campaign_id))
    found = _find_parts(alias, campaign.id, names)
    for part in found:
        _update_part(alias, part, reminded_at=float(at))
    audit_rows.append(alias, reminded_entries(found, actor, at))


def close(alias: str, campaign_id: str, at: float, actor: Actor) -> Campaign:
    """Close a campaign whose items are all decided, inside a transaction."""
    campaign = check_complete(check_open(_lock(alias, campaign_id)))
    return _end(alias, replace(campaign, closed_at=float(at)), closed_entry(campaign, actor, at))


def cancel(alias: str, campaign_id: str, at: float, actor: Actor, reason: str) -> Campaign:
    """Give a campaign up, inside a transaction."""
    campaign = check_open(_lock(alias, campaign_id))
    return _end(alias, replace(campaign, cancelled_at=float(at)), cancelled_entry(campaign, actor, at, reason))


def _end(alias: str, campaign: Campaign, entry: WantedEntry) -> Campaign:
    ended = models.Campaign.objects.using(alias).filter(pk=campaign.id)
    ended.update(closed_at=campaign.closed_at, cancelled_at=campaign.cancelled_at)
    audit_rows.append(alias, [entry])
    return campaign


def _find_parts(alias: str, campaign_id: str, names: Sequence[str]) -> list[CampaignPart]:
    known = {part.name: part for part in list_parts(alias, campaign_id)}
    return [check_part(known.get(fit_text(name))) for name in names]


def _update_part(alias: str, part: CampaignPart, **values: Any) -> None:
    models.CampaignPart.objects.using(alias).filter(pk=row_id((part.campaign, part.name))).update(**values)


def count_by_day(alias: str, campaign_id: str) -> tuple[tuple[str, int], ...]:
    """The days on which the decisions that stand were made, and how many of each day."""
    rows = models.CampaignItem.objects.using(alias).filter(
        campaign=storable_text(campaign_id), decided_on__isnull=False
    )
    counted = rows.order_by("decided_on").values("decided_on").annotate(number=Count("pk"))
    return tuple((day, number) for day, number in counted.values_list("decided_on", "number") if day is not None)
