"""Tables of the store. A change to them needs a new version and a step in `migration`."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import event


class IsoDate(sa.types.TypeDecorator[str]):
    """An ISO date, stored as a `date` in PostgreSQL and as text in SQLite."""

    impl: sa.types.TypeEngine[Any] | type[sa.types.TypeEngine[Any]] = sa.String(10)
    cache_ok: bool | None = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """A date of four bytes in PostgreSQL, text elsewhere."""
        return dialect.type_descriptor(sa.Date() if dialect.name == "postgresql" else sa.String(10))

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> date | str | None:
        """The date in a form that sorts; `ValueError` for a text that is not a date."""
        return None if value is None else _date(value) if dialect.name == "postgresql" else _date(value).isoformat()

    def process_result_value(self, value: date | str | None, dialect: sa.Dialect) -> str | None:  # noqa: ARG002
        """The date as ISO text."""
        return value.isoformat() if isinstance(value, date) else value


@lru_cache(maxsize=4096)
def _date(text: str) -> date:
    return date.fromisoformat(text)


# Texts compare by code point in every database: it is the fastest, and the order is the same everywhere.
_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, _TEXT, nullable=False) for name in names]


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, autoincrement=False)


def _time(name: str, *, nullable: bool = False) -> sa.Column[float]:
    return sa.Column(name, sa.Double, nullable=nullable)


def _day(name: str) -> sa.Column[str]:
    return sa.Column(name, IsoDate, nullable=False)


def _digest(name: str = "id", *, primary: bool = True) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(16), primary_key=primary, nullable=False)


def _single_row_key() -> sa.Column[int]:
    """The key of a table that has one row."""
    return sa.Column("id", sa.SmallInteger, sa.CheckConstraint("id = 1"), primary_key=True, autoincrement=False)


metadata: Final = sa.MetaData()

schema: Final = sa.Table("jwt_lp_schema", metadata, _single_row_key(), _number("version"))

# The sequence number of the last change. A writer of revocations locks this row first.
counter: Final = sa.Table("jwt_lp_counter", metadata, _single_row_key(), _number("sequence"))

# `changed` is the sequence number of the last change to the row: of its writing, or of its lifting.
revocations: Final = sa.Table(
    "jwt_lp_revocation",
    metadata,
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    _number("changed"),
    _time("at"),
    _time("before", nullable=True),
    _time("until", nullable=True),
    _time("lifted_at", nullable=True),
    _digest("key", primary=False),
    *_texts("id", "of", "issuer", "name", "pattern", "keep", "reason", "by"),
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
    sa.Column("id", _TEXT, primary_key=True),
    _number("counter"),
    _time("created_at"),
    _time("rotated_at"),
    _time("expires_at"),
    _time("ended_at", nullable=True),
    _digest("key", primary=False),
    *_texts("issuer", "subject", "reason"),
    sa.Index("jwt_lp_family_key", "key"),
    sa.Index("jwt_lp_family_expires", "expires_at"),
)

# One row for each elevation; `changed` is the sequence number of its last change that processes have to know, and `closes_at`
# is when nothing can come of it any more. `key` is the digest of issuer and subject.
elevations: Final = sa.Table(
    "jwt_lp_elevation",
    metadata,
    sa.Column("id", _TEXT, primary_key=True),
    sa.Column("changed", sa.BigInteger),
    *map(_time, ("asked_at", "answer_by", "closes_at")),
    *[_time(name, nullable=True) for name in ("since", "until", "denied_at", "ended_at", "reviewed_at")],
    *map(_number, ("seconds", "needed", "approvals")),
    sa.Column("break_glass", sa.Boolean, nullable=False),
    _digest("key", primary=False),
    sa.Column("client", _TEXT),
    *_texts("issuer", "subject", "permission", "reason", "ticket", "person", "known_as"),
    sa.Index("jwt_lp_elevation_changed", "changed"),
    sa.Index("jwt_lp_elevation_key", "key"),
    sa.Index("jwt_lp_elevation_closes", "closes_at"),
    sa.Index("jwt_lp_elevation_asked", "asked_at", "id"),
)

# Steps are only added. `deliver_at` is when webhooks are to be told of one; NULL once they were.
elevation_steps: Final = sa.Table(
    "jwt_lp_elevation_step",
    metadata,
    sa.Column("elevation", _TEXT, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    _time("at"),
    _time("deliver_at", nullable=True),
    *_texts("action", "issuer", "subject", "reason", "person", "digest"),
    sa.Index("jwt_lp_elevation_step_deliver", "deliver_at"),
)

# Wide columns come before narrow ones, so that alignment wastes no space.
usage: Final = sa.Table(
    "jwt_lp_usage",
    metadata,
    _number("count"),
    _time("last"),
    _day("day"),
    _digest(),
    *_texts("service", "issuer", "subject", "client", "role", "endpoint", "method", "requirement", "permission"),
    *_texts("grant", "outcome"),
    sa.Index("jwt_lp_usage_who", "issuer", "subject"),
    sa.Index("jwt_lp_usage_permission", "permission"),
    sa.Index("jwt_lp_usage_day", "day"),
)

# Sums over the rows of usage. Whoever writes or deletes rows changes them in the same transaction (`usage_sums`).
holder_sums: Final = sa.Table(
    "jwt_lp_holder_sum",
    metadata,
    _number("uses"),
    _number("rows"),
    _time("last"),
    _day("first_day"),
    _day("last_day"),
    _digest(),
    *_texts("issuer", "subject", "client", "role", "permission", "grant", "outcome"),
    sa.Index("jwt_lp_holder_sum_who", "issuer", "subject"),
)

daily_sums: Final = sa.Table(
    "jwt_lp_daily_sum",
    metadata,
    _number("uses"),
    _number("rows"),
    _day("day"),
    _digest(),
    *_texts("service", "endpoint", "method", "requirement", "permission", "outcome"),
    sa.Index("jwt_lp_daily_sum_when", "day"),
)

observed_grants: Final = sa.Table(
    "jwt_lp_sighting",
    metadata,
    _day("first_day"),
    _day("last_day"),
    _digest(),
    *_texts("issuer", "subject", "client", "role", "grant"),
    sa.Index("jwt_lp_sighting_who", "issuer", "subject"),
)

enforcement_points: Final = sa.Table(
    "jwt_lp_point",
    metadata,
    _day("first_day"),
    _day("last_day"),
    _digest(),
    *_texts("service", "endpoint", "method", "requirement"),
)

recording_periods: Final = sa.Table(
    "jwt_lp_run",
    metadata,
    sa.Column("id", _TEXT, primary_key=True),
    _time("started"),
    _time("until"),
    _number("recorded"),
    _number("dropped"),
    *_texts("service", "source"),
)

# `kept` marks ids of imported files: they are never purged, because the file may be imported again.
batches: Final = sa.Table(
    "jwt_lp_batch",
    metadata,
    sa.Column("id", _TEXT, primary_key=True),
    _time("at"),
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
    _digest(),
    *_texts("issuer", "subject", "client", "role", "grant", "since"),
    sa.Index("jwt_lp_held_who", "issuer", "subject"),
)

heartbeats: Final = sa.Table(
    "jwt_lp_beat",
    metadata,
    sa.Column("process", _TEXT, primary_key=True),
    _time("at"),
    _time("age"),
    _number("sequence"),
    _number("pid"),
    *_texts("service", "host", "policy"),
)


# Free space in each page of tables whose rows are updated, so that an update touches no index.
for _table in (usage, holder_sums, daily_sums, observed_grants, families):
    _fillfactor: Any = sa.DDL(f"ALTER TABLE {_table.name} SET (fillfactor = 90)")  # type: ignore[no-untyped-call]
    event.listen(_table, "after_create", _fillfactor.execute_if(dialect="postgresql"))
