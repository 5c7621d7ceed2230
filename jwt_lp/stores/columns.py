"""Columns of the store's tables, and the collection that all tables belong to."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import Any, Final

import sqlalchemy as sa


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
TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def texts(*names: str) -> list[sa.Column[str]]:
    """Columns of texts."""
    return [sa.Column(name, TEXT, nullable=False) for name in names]


def number(name: str) -> sa.Column[int]:
    """A column of whole numbers."""
    return sa.Column(name, sa.BigInteger, nullable=False, autoincrement=False)


def time(name: str, *, nullable: bool = False) -> sa.Column[float]:
    """A column of times, in seconds since the epoch."""
    return sa.Column(name, sa.Double, nullable=nullable)


def day(name: str, *, nullable: bool = False) -> sa.Column[str]:
    """A column of days."""
    return sa.Column(name, IsoDate, nullable=nullable)


def digest(name: str = "id", *, primary: bool = True, nullable: bool = False) -> sa.Column[bytes]:
    """A column of digests of 16 bytes."""
    return sa.Column(name, sa.LargeBinary(16), primary_key=primary, nullable=nullable)


def single_row_key() -> sa.Column[int]:
    """The key of a table that has one row."""
    return sa.Column("id", sa.SmallInteger, sa.CheckConstraint("id = 1"), primary_key=True, autoincrement=False)


metadata: Final = sa.MetaData()
