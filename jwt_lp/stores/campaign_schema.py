"""Tables of campaigns and of the audit trail. A change to them needs a new version and a step in `migration`.

What a review says is JSON, and so are actors where nothing looks for them.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from jwt_lp.stores.columns import TEXT, day, digest, metadata, number, single_row_key, texts, time

campaigns: Final = sa.Table(
    "jwt_lp_campaign",
    metadata,
    sa.Column("id", TEXT, primary_key=True),
    *map(time, ("made_at", "deadline")),
    *[time(name, nullable=True) for name in ("closed_at", "cancelled_at")],
    *map(number, ("items", "decided")),
    *texts("name", "day", "undecided", "split", "stages", "made_by", "origin", "summary"),
)

# `key` is the digest of the reviewer's issuer and subject.
parts: Final = sa.Table(
    "jwt_lp_campaign_part",
    metadata,
    sa.Column("campaign", TEXT, primary_key=True),
    sa.Column("name", TEXT, primary_key=True),
    time("reminded_at", nullable=True),
    *map(number, ("items", "decided", "version")),
    digest("key", primary=False, nullable=True),
    *texts("reviewer", "delegated_by"),
    sa.Index("jwt_lp_campaign_part_key", "key"),
)

groups: Final = sa.Table(
    "jwt_lp_campaign_group",
    metadata,
    sa.Column("campaign", TEXT, primary_key=True),
    sa.Column("part", TEXT, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    *texts("content"),
)

# `key` is the digest of what the finding is about. `decision` is "" while nobody decided, and `decided_on` the day.
items: Final = sa.Table(
    "jwt_lp_campaign_item",
    metadata,
    sa.Column("campaign", TEXT, primary_key=True),
    sa.Column("id", TEXT, primary_key=True),
    number("position"),
    number("version"),
    time("decided_at", nullable=True),
    day("decided_on", nullable=True),
    sa.Column("rule", sa.Boolean, nullable=False),
    digest("key", primary=False),
    *texts("part", "group", "role", "grant", "decision", "until", "comment", "decided_by", "decided_group", "finding"),
    sa.Index("jwt_lp_campaign_item_order", "campaign", "part", "position", unique=True),
    sa.Index("jwt_lp_campaign_item_id", "id"),
    sa.Index("jwt_lp_campaign_item_key", "campaign", "key"),
    sa.Index("jwt_lp_campaign_item_role", "campaign", "role"),
    sa.Index("jwt_lp_campaign_item_grant", "campaign", "grant"),
    sa.Index("jwt_lp_campaign_item_decided", "campaign", "decided_on"),
)

# Entries are only added. `by` is the subject of the actor.
audit_entries: Final = sa.Table(
    "jwt_lp_audit",
    metadata,
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    time("at"),
    *texts("by_issuer", "by", "by_name", "action", "campaign", "object", "details", "previous", "hash"),
    sa.Index("jwt_lp_audit_at", "at"),
    *(sa.Index(f"jwt_lp_audit_{name}", name, "sequence") for name in ("by", "by_name", "action", "campaign", "object")),
)

# The last entry. A writer of entries locks this row first, so the chain has one end.
audit_head: Final = sa.Table("jwt_lp_audit_head", metadata, single_row_key(), number("sequence"), *texts("hash"))
