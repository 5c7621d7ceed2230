"""Inserting or updating rows while several processes write at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from typing import Any, Final, Literal, TypeAlias, TypeVar

from django.db import models

from jwt_lp_django.database import TransactionConflict, on_conflict_options, split_chunks

M = TypeVar("M", bound=models.Model)
Merge: TypeAlias = Literal["add", "least", "greatest", "new"]

_MERGE_FUNCTIONS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "add": lambda old, new: old + new,
    "least": min,
    "greatest": max,
    "new": lambda _, new: new,
}


def upsert(model: type[M], alias: str, fresh: Iterable[M], **merges: Merge) -> set[Any]:
    """Insert rows, or update the fields of rows with the same keys, inside a transaction; return the new keys.

    `merges` tells for each field whether the values `add` up, or the `least`, the `greatest` or the `new` one stays.
    The keys of the rows must differ. Values that add up are never 0 in a stored row.
    """
    # All processes use the order of the keys, so they rarely deadlock.
    rows = {row.pk: row for row in sorted(fresh, key=lambda row: row.pk)}
    stored = _lock_rows(model, alias, list(rows), merges)
    missing = [key for key in rows if key not in stored]
    if missing:
        # The new rows count nothing yet: another process may insert the same rows, and then both lock them below.
        blank = [zeroed(rows[key], merges) for key in missing]
        for chunk in split_chunks(blank):
            model.objects.using(alias).bulk_create(chunk, ignore_conflicts=True)
        stored |= _lock_rows(model, alias, missing, merges)
    if len(stored) < len(rows):
        # This transaction cannot see rows that another one has committed since it began.
        raise TransactionConflict
    changed = [row for key, row in rows.items() if _merge_row(row, stored[key], merges)]
    for chunk in split_chunks(changed):
        model.objects.using(alias).bulk_create(chunk, **on_conflict_options(alias, *merges))
    added = [name for name, merge in merges.items() if merge == "add"]
    return {key for key in missing if not any(stored[key][name] for name in added)}


def _lock_rows(model: type[M], alias: str, keys: list[Any], fields: Iterable[str]) -> dict[Any, dict[str, Any]]:
    """The stored fields of the rows with these keys, which stay locked until this transaction has ended."""
    stored: dict[Any, dict[str, Any]] = {}
    for chunk in split_chunks(keys):
        query = model.objects.using(alias).filter(pk__in=chunk).order_by("pk").select_for_update()
        stored.update({row["pk"]: row for row in query.values("pk", *fields)})
    return stored


def zeroed(row: M, merges: Mapping[str, Merge]) -> M:
    """A copy of the row that counts nothing."""
    blank = copy(row)
    for name, merge in merges.items():
        if merge == "add":
            setattr(blank, name, 0)
    return blank


def _merge_row(row: models.Model, stored: Mapping[str, Any], merges: Mapping[str, Merge]) -> bool:
    """Merge the stored fields into the row; returns whether the row must be written."""
    for name, merge in merges.items():
        setattr(row, name, _MERGE_FUNCTIONS[merge](stored[name], getattr(row, name)))
    return any(stored[name] != getattr(row, name) for name in merges)
