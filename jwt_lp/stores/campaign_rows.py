"""Queries for campaigns, their parts and their items.

A writer locks the row of the campaign first, so what changes one campaign follows one another: a decision comes before the
close and counts, or after it and is refused. The row of the last entry of the audit trail is locked last.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from jwt_lp.errors import StoreError
from jwt_lp.stores import audit_rows
from jwt_lp.stores.campaign_changes import (
    Assignment,
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
from jwt_lp.stores.campaign_schema import campaigns, groups, items, parts
from jwt_lp.stores.campaign_values import (
    CAMPAIGN_FIELDS,
    DECISION_FIELDS,
    ITEM_FIELDS,
    PART_FIELDS,
    ItemCounts,
    actor_text,
    campaign_row,
    decision_values,
    holder_key,
    read_campaign,
    read_item,
    read_part,
    reviewer_values,
)
from jwt_lp.stores.campaigns import DecideResult
from jwt_lp.stores.row_keys import fit_text, storable_text
from jwt_lp.stores.upserts import insert_missing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from jwt_lp.stores.audit import Actor, WantedEntry
    from jwt_lp.stores.campaign_changes import Deciding, ItemChange
    from jwt_lp.stores.campaigns import Campaign, CampaignItem, CampaignPart, ItemFilter, WantedDecision

_CHUNK: Final = 500
_CAMPAIGN_COLUMNS = [campaigns.c[name] for name in CAMPAIGN_FIELDS]
_PART_COLUMNS = [parts.c[name] for name in PART_FIELDS]
_SMALL_COLUMNS = [items.c[name] for name in ITEM_FIELDS]
_ITEM_COLUMNS = [*_SMALL_COLUMNS, items.c.finding]


def add(
    connection: sa.Connection,
    campaign: Campaign,
    counts: ItemCounts,
    members: tuple[Iterable[CampaignItem], Iterable[tuple[str, Mapping[str, Any]]]],
    entry: WantedEntry,
) -> None:
    """Write a campaign with its parts, and its items and groups, which are read as streams."""
    if not insert_missing(connection, campaigns, [campaign_row(campaign)]):
        raise StoreError("a campaign is written once, and its id exists already")
    _insert(connection, items, counts.count(members[0]))
    _insert(connection, groups, counts.number(members[1]))
    _insert(connection, parts, iter(counts.parts.values()))
    connection.execute(campaigns.update().where(campaigns.c.id == counts.campaign).values(counts.totals()))
    audit_rows.append(connection, [entry])


def _insert(connection: sa.Connection, table: sa.Table, rows: Iterator[dict[str, Any]]) -> None:
    while chunk := list(islice(rows, _CHUNK)):
        if insert_missing(connection, table, chunk) < len(chunk):
            raise ValueError("two members of the campaign have the same id")


def select_campaigns() -> sa.Select[Any]:
    """The query for all campaigns, the newest first."""
    return sa.select(*_CAMPAIGN_COLUMNS).order_by(campaigns.c.made_at.desc(), campaigns.c.id)


def find(connection: sa.Connection, campaign_id: str, *, lock: bool = False) -> Campaign | None:
    """The campaign with this id; with `lock` nobody else changes it until the transaction ends."""
    query = sa.select(*_CAMPAIGN_COLUMNS).where(campaigns.c.id == storable_text(campaign_id))
    row = connection.execute(query.with_for_update() if lock else query).first()
    return None if row is None else read_stored_campaign(row)


def select_parts(campaign_id: str) -> sa.Select[Any]:
    """The query for the parts of a campaign, by name."""
    query = sa.select(*_PART_COLUMNS).where(parts.c.campaign == storable_text(campaign_id))
    return query.order_by(parts.c.name)


def list_parts(connection: sa.Connection, campaign_id: str) -> list[CampaignPart]:
    """The parts of a campaign, by name."""
    return [read_stored_part(row) for row in connection.execute(select_parts(campaign_id))]


def select_parts_of(key: bytes) -> sa.Select[Any]:
    """The query for the parts of a reviewer in campaigns that can still be decided about."""
    going_on = sa.and_(campaigns.c.closed_at.is_(None), campaigns.c.cancelled_at.is_(None))
    query = sa.select(*_PART_COLUMNS).join(campaigns, campaigns.c.id == parts.c.campaign)
    return query.where(parts.c.key == key, going_on).order_by(campaigns.c.deadline, campaigns.c.id, parts.c.name)


def list_groups(connection: sa.Connection, campaign_id: str, part: str) -> tuple[Mapping[str, Any], ...]:
    """The groups of a part, in their order."""
    row = groups.c
    query = sa.select(row.content).where(row.campaign == storable_text(campaign_id), row.part == fit_text(part))
    return tuple(map(json.loads, connection.execute(query.order_by(row.number)).scalars()))


def select_items(which: ItemFilter) -> sa.Select[Any]:
    """The query for items, in order."""
    row = items.c
    query = sa.select(*_ITEM_COLUMNS).where(row.campaign == storable_text(which.campaign))
    for name in ("part", "group", "grant", "role"):
        if (value := getattr(which, name)) is not None:
            query = query.where(row[name] == fit_text(value))
    if which.holder is not None:
        query = query.where(row.key == holder_key(which.holder))
    if which.decided is not None:
        query = query.where(row.decision != "" if which.decided else row.decision == "")
    if which.decision is not None:
        query = query.where(row.decision == which.decision)
    if which.after is not None:
        query = query.where(row.position > which.after)
    if which.ids is not None:
        query = query.where(row.id.in_(list(map(fit_text, which.ids))))
    # Without a part few match: they are sorted, because SQLite would read the whole campaign in the order of an index.
    part = row.part if which.part is not None or not _is_narrow(which) else sa.func.coalesce(row.part, "")
    return query.order_by(part, row.position).limit(which.limit)


def _is_narrow(which: ItemFilter) -> bool:
    return any(value is not None for value in (which.holder, which.grant, which.role, which.ids))


def select_history(ids: Collection[str], before: float | None, limit: int) -> Any:
    """The query for items in all campaigns, the newest first, at most `limit` of each id."""
    place = sa.func.row_number().over(partition_by=items.c.id, order_by=(campaigns.c.made_at.desc(), campaigns.c.id))
    query = sa.select(*_ITEM_COLUMNS, campaigns.c.made_at, place.label("place"))
    query = query.join(campaigns, campaigns.c.id == items.c.campaign).where(items.c.id.in_(list(map(fit_text, ids))))
    if before is not None:
        query = query.where(campaigns.c.made_at < before)
    found = query.subquery().c
    latest = sa.select(*(found[column.name] for column in _ITEM_COLUMNS))
    return latest.where(found.place <= limit).order_by(found.made_at.desc(), found.campaign, found.id)


def count_by_group(connection: sa.Connection, campaign_id: str, part: str) -> dict[str, tuple[int, int]]:
    """The numbers of items and of decisions in each group of a part."""
    row = items.c
    decided = sa.func.count(sa.case((row.decision != "", 1)))
    query = sa.select(row.group, sa.func.count(), decided).group_by(row.group)
    query = query.where(row.campaign == storable_text(campaign_id), row.part == fit_text(part))
    return {group: (number, done) for group, number, done in connection.execute(query.order_by(row.group))}


def read_stored_part(row: Sequence[Any]) -> CampaignPart:
    """The part in a row."""
    return read_part(dict(zip(PART_FIELDS, row, strict=True)))


def read_stored_item(row: Sequence[Any]) -> CampaignItem:
    """The item in a row; its finding is the last column, and may be left out."""
    return read_item(dict(zip((*ITEM_FIELDS, "finding"), row, strict=False)))


def read_stored_campaign(row: Sequence[Any]) -> Campaign:
    """The campaign in a row."""
    return read_campaign(dict(zip(CAMPAIGN_FIELDS, row, strict=True)))


def decide(
    connection: sa.Connection, campaign_id: str, wanted: Sequence[WantedDecision], deciding: Deciding
) -> DecideResult:
    """Write decisions; return what was written and what was not."""
    campaign = check_open(find(connection, campaign_id, lock=True))
    check_parts(partial(list_parts, connection, campaign.id), deciding)
    stored = _items_by_id(connection, campaign.id, wanted_ids(wanted), _SMALL_COLUMNS)
    planned = plan_decisions(stored, wanted, deciding)
    _write_decisions(connection, campaign.id, planned.changes)
    for part, more in planned.decided.items():
        row = parts.c
        counted = parts.update().where(row.campaign == campaign.id, row.name == part)
        connection.execute(counted.values(decided=row.decided + more))
    total = sum(planned.decided.values())
    counted = campaigns.update().where(campaigns.c.id == campaign.id)
    connection.execute(counted.values(decided=campaigns.c.decided + total))
    current = _items_by_id(connection, campaign.id, planned.conflicts, _ITEM_COLUMNS)
    audit_rows.append(connection, planned.entries)
    return DecideResult(
        tuple(change.item.id for change in planned.changes), tuple(current[name] for name in planned.conflicts)
    )


def _items_by_id(
    connection: sa.Connection, campaign_id: str, ids: Sequence[str], columns: Sequence[Any]
) -> dict[str, CampaignItem]:
    found: dict[str, CampaignItem] = {}
    for start in range(0, len(ids), _CHUNK):
        chosen = items.c.campaign == campaign_id, items.c.id.in_(ids[start : start + _CHUNK])
        for row in connection.execute(sa.select(*columns).where(*chosen)):
            found[row.id] = read_stored_item(row)
    return found


def _write_decisions(connection: sa.Connection, campaign_id: str, changes: Sequence[ItemChange]) -> None:
    if not changes:
        return
    row = items.c
    # INVARIANT: the version is compared again where it is written, so no decision replaces one that was not read.
    unchanged = row.campaign == campaign_id, row.id == sa.bindparam("item"), row.version == sa.bindparam("known")
    statement = items.update().where(*unchanged).values({name: sa.bindparam(f"new_{name}") for name in DECISION_FIELDS})
    values = [
        {
            "item": change.item.id,
            "known": change.item.version,
            **{f"new_{name}": value for name, value in decision_values(change.decision, change.version).items()},
        }
        for change in changes
    ]
    if connection.execute(statement, values).rowcount != len(changes):
        raise StoreError("somebody else has written to the items of the campaign: try again")


def assign(connection: sa.Connection, campaign_id: str, part: str, wanted: Assignment) -> CampaignPart:
    """Give a part to a reviewer; return the part as it is then."""
    campaign = check_open(find(connection, campaign_id, lock=True))
    before = check_assignment(_find_parts(connection, campaign.id, [part])[0], wanted)
    after = apply_assignment(before, wanted)
    values = {
        **reviewer_values(after.reviewer),
        "delegated_by": actor_text(after.delegated_by),
        "version": after.version,
    }
    connection.execute(parts.update().where(_is_part(before)).values(values))
    audit_rows.append(connection, [assigned_entry(before, after, wanted)])
    return after


def remind(connection: sa.Connection, campaign_id: str, names: Sequence[str], at: float, actor: Actor) -> None:
    """Note that the reviewers of parts were reminded."""
    campaign = check_open(find(connection, campaign_id, lock=True))
    found = _find_parts(connection, campaign.id, names)
    for part in found:
        connection.execute(parts.update().where(_is_part(part)).values(reminded_at=float(at)))
    audit_rows.append(connection, reminded_entries(found, actor, at))


def close(connection: sa.Connection, campaign_id: str, at: float, actor: Actor) -> Campaign:
    """Close a campaign whose items are all decided."""
    campaign = check_complete(check_open(find(connection, campaign_id, lock=True)))
    return _end(connection, replace(campaign, closed_at=float(at)), closed_entry(campaign, actor, at))


def cancel(connection: sa.Connection, campaign_id: str, at: float, actor: Actor, reason: str) -> Campaign:
    """Give a campaign up."""
    campaign = check_open(find(connection, campaign_id, lock=True))
    return _end(connection, replace(campaign, cancelled_at=float(at)), cancelled_entry(campaign, actor, at, reason))


def _end(connection: sa.Connection, campaign: Campaign, entry: WantedEntry) -> Campaign:
    ended = campaigns.update().where(campaigns.c.id == campaign.id)
    connection.execute(ended.values(closed_at=campaign.closed_at, cancelled_at=campaign.cancelled_at))
    audit_rows.append(connection, [entry])
    return campaign


def _find_parts(connection: sa.Connection, campaign_id: str, names: Sequence[str]) -> list[CampaignPart]:
    known = {part.name: part for part in list_parts(connection, campaign_id)}
    return [check_part(known.get(fit_text(name))) for name in names]


def _is_part(part: CampaignPart) -> sa.ColumnElement[bool]:
    return sa.and_(parts.c.campaign == part.campaign, parts.c.name == part.name)


def count_by_day(connection: sa.Connection, campaign_id: str) -> tuple[tuple[str, int], ...]:
    """The days on which the decisions that stand were made, and how many of each day."""
    row = items.c
    decided = row.campaign == storable_text(campaign_id), row.decided_on.is_not(None)
    query = sa.select(row.decided_on, sa.func.count()).where(*decided).group_by(row.decided_on)
    return tuple((day, number) for day, number in connection.execute(query.order_by(row.decided_on)))
