"""Fields of the store's models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import models

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    Chars = models.CharField[str, str]
else:
    Chars = models.CharField

_COLLATIONS = {"mysql": "utf8mb4_bin", "postgresql": "C"}


class Exact(Chars):
    """A text that every database compares by code point, so that two subjects are never treated as one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", 255)
        super().__init__(*args, **kwargs)

    def db_parameters(self, connection: BaseDatabaseWrapper) -> Any:
        """The column's type, with the collation for it. SQLite compares by code point without one."""
        parameters: dict[str, Any] = {**super().db_parameters(connection)}
        if connection.vendor in _COLLATIONS:
            parameters["collation"] = _COLLATIONS[connection.vendor]
        return parameters


def day(**options: Any) -> models.CharField[str, str]:
    """A column of days."""
    return models.CharField(max_length=10, **options)


def time(**options: Any) -> models.FloatField[float, float]:
    """A column of times, in seconds since the epoch."""
    return models.FloatField(**options)


def optional_time() -> models.FloatField[float | None, float | None]:
    """A column of times that may be missing."""
    return models.FloatField(null=True)


def number(**options: Any) -> models.BigIntegerField[int, int]:
    """A column of whole numbers."""
    return models.BigIntegerField(**options)


def digest(**options: Any) -> models.UUIDField[UUID, UUID]:
    """A column of digests."""
    return models.UUIDField(**options)


def text() -> models.TextField[str, str]:
    """A column of texts of any length."""
    return models.TextField()


def flag() -> models.BooleanField[bool, bool]:
    """A column of truth values."""
    return models.BooleanField()
