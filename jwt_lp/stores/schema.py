"""Tables of the store, but for those of campaigns. A change to them needs a new version and a step in `migration`."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import event

from jwt_lp.stores.columns import TEXT, IsoDate, day, digest, metadata, number, single_row_key, texts, time

schema: Final = sa.Table("jwt_lp_schema", metadata, single_row_key(), number("version"))

# The sequence number of the last change. A writer of revocations locks this row first.
counter: Final = sa.Table("jwt_lp_counter", metadata, single_row_key(), number("sequence"))

# `changed` is the sequence number of the last change to the row: of its writing, or of its lifting.
revocations: Final = sa.Table(
    "jwt_lp_revocation",
    metadata,
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    number("changed"),
    time("at"),
    time("before", nullable=True),
    time("until", nullable=True),
    time("lifted_at", nullable=True),
    digest("key", primary=False),
    *texts("id", "of", "issuer", "name", "pattern", "keep", "reason", "by"),
    # With a default, so that a process of an older release can still write.
    sa.Column("standing", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Index("jwt_lp_revocation_changed", "changed", unique=True),
    sa.Index("jwt_lp_revocation_id", "id", unique=True),
    sa.Index("jwt_lp_revocation_key", "key"),
)

# One row for each family of refresh tokens; `key` is the digest of issuer and subject, by which a subject's are found.
families: Final = sa.Table(
    "jwt_lp_family",
    metadata,
    sa.Column("id", TEXT, primary_key=True),
    number("counter"),
    time("created_at"),
    time("rotated_at"),
    time("expires_at"),
    time("ended_at", nullable=True),
    digest("key", primary=False),
    *texts("issuer", "subject", "reason"),
    sa.Index("jwt_lp_family_key", "key"),
    sa.Index("jwt_lp_family_expires", "expires_at"),
)

# One row for each elevation; `changed` is the sequence number of its last change that processes have to know, and `closes_at`
# is when nothing can come of it any more. `key` is the digest of issuer and subject.
elevations: Final = sa.Table(
    "jwt_lp_elevation",
    metadata,
    sa.Column("id", TEXT, primary_key=True),
    sa.Column("changed", sa.BigInteger),
    *map(time, ("asked_at", "answer_by", "closes_at")),
    *[time(name, nullable=True) for name in ("since", "until", "denied_at", "ended_at", "reviewed_at")],
    *map(number, ("seconds", "needed", "approvals")),
    sa.Column("break_glass", sa.Boolean, nullable=False),
    digest("key", primary=False),
    sa.Column("client", TEXT),
    *texts("issuer", "subject", "permission", "reason", "ticket", "person", "known_as"),
    sa.Index("jwt_lp_elevation_changed", "changed"),
    sa.Index("jwt_lp_elevation_key", "key"),
    sa.Index("jwt_lp_elevation_closes", "closes_at"),
    sa.Index("jwt_lp_elevation_asked", "asked_at", "id"),
)

# Steps are only added. `deliver_at` is when webhooks are to be told of one; NULL once they were.
elevation_steps: Final = sa.Table(
    "jwt_lp_elevation_step",
    metadata,
    sa.Column("elevation", TEXT, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    time("at"),
    time("deliver_at", nullable=True),
    *texts("action", "issuer", "subject", "reason", "person", "digest"),
    sa.Index("jwt_lp_elevation_step_deliver", "deliver_at"),
)

# Wide columns come before narrow ones, so that alignment wastes no space.
usage: Final = sa.Table(
    "jwt_lp_usage",
    metadata,
    number("count"),
    time("last"),
    day("day"),
    digest(),
    *texts("service", "issuer", "subject", "client", "role", "endpoint", "method", "requirement", "permission"),
    *texts("grant", "outcome"),
    sa.Index("jwt_lp_usage_who", "issuer", "subject"),
    sa.Index("jwt_lp_usage_permission", "permission"),
    sa.Index("jwt_lp_usage_day", "day"),
)

# Sums over the rows of usage. Whoever writes or deletes rows changes them in the same transaction (`usage_sums`).
holder_sums: Final = sa.Table(
    "jwt_lp_holder_sum",
    metadata,
    number("uses"),
    number("rows"),
    time("last"),
    day("first_day"),
    day("last_day"),
    digest(),
    *texts("issuer", "subject", "client", "role", "permission", "grant", "outcome"),
    sa.Index("jwt_lp_holder_sum_who", "issuer", "subject"),
    sa.Index("jwt_lp_holder_sum_client", "issuer", "client"),
    sa.Index("jwt_lp_holder_sum_permission", "permission"),
)

daily_sums: Final = sa.Table(
    "jwt_lp_daily_sum",
    metadata,
    number("uses"),
    number("rows"),
    day("day"),
    digest(),
    *texts("service", "endpoint", "method", "requirement", "permission", "outcome"),
    sa.Index("jwt_lp_daily_sum_when", "day"),
    sa.Index("jwt_lp_daily_sum_permission", "permission", "day"),
)

observed_grants: Final = sa.Table(
    "jwt_lp_sighting",
    metadata,
    day("first_day"),
    day("last_day"),
    digest(),
    *texts("issuer", "subject", "client", "role", "grant"),
    sa.Index("jwt_lp_sighting_who", "issuer", "subject"),
    sa.Index("jwt_lp_sighting_client", "issuer", "client"),
    sa.Index("jwt_lp_sighting_role", "role"),
    sa.Index("jwt_lp_sighting_grant", "grant"),
)

enforcement_points: Final = sa.Table(
    "jwt_lp_point",
    metadata,
    day("first_day"),
    day("last_day"),
    digest(),
    *texts("service", "endpoint", "method", "requirement"),
)

recording_periods: Final = sa.Table(
    "jwt_lp_run",
    metadata,
    sa.Column("id", TEXT, primary_key=True),
    time("started"),
    time("until"),
    number("recorded"),
    number("dropped"),
    *texts("service", "source"),
)

# `kept` marks ids of imported files: they are never purged, because the file may be imported again.
batches: Final = sa.Table(
    "jwt_lp_batch",
    metadata,
    sa.Column("id", TEXT, primary_key=True),
    time("at"),
    sa.Column("kept", sa.Boolean, nullable=False),
)

grant_imports: Final = sa.Table(
    "jwt_lp_import",
    metadata,
    sa.Column("as_of", IsoDate, primary_key=True),
    sa.Column("complete", sa.Boolean, nullable=False),
)

held_grants: Final = sa.Table(
    "jwt_lp_held",
    metadata,
    sa.Column("as_of", IsoDate, primary_key=True),
    digest(),
    *texts("issuer", "subject", "client", "role", "grant", "since"),
    sa.Index("jwt_lp_held_who", "issuer", "subject"),
    sa.Index("jwt_lp_held_role", "role"),
    sa.Index("jwt_lp_held_grant", "grant"),
)

heartbeats: Final = sa.Table(
    "jwt_lp_beat",
    metadata,
    sa.Column("process", TEXT, primary_key=True),
    time("at"),
    time("age"),
    number("sequence"),
    number("pid"),
    *texts("service", "host", "policy"),
)


# Free space in each page of tables whose rows are updated, so that an update touches no index.
for _table in (usage, holder_sums, daily_sums, observed_grants, families):
    _fillfactor: Any = sa.DDL(f"ALTER TABLE {_table.name} SET (fillfactor = 90)")  # type: ignore[no-untyped-call]
    event.listen(_table, "after_create", _fillfactor.execute_if(dialect="postgresql"))
