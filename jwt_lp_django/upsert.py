"""How are rows added to those that are there, by several processes at once?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from typing import Any, Final, Literal, TypeAlias, TypeVar

from django.db import models

from jwt_lp_django.database import TransactionConflict, on_conflict_options, split_chunks

M = TypeVar("M", bound=models.Model)
Verb: TypeAlias = Literal["add", "least", "greatest", "new"]

_MERGE_FUNCTIONS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "add": lambda old, new: old + new,
    "least": min,
    "greatest": max,
    "new": lambda _, new: new,
}


def upsert(model: type[M], alias: str, fresh: Iterable[M], **how: Verb) -> None:
    """Insert rows, and where there is one with the same key, bring its fields up to date, within a transaction.

    `how` says of each such field whether they `add` up, the `least` or the `greatest` stays, or the `new` one. Of
    the rows no two have one key.
    """
    # In the order of their keys, everywhere: so two processes hardly ever wait for each other.
    rows = {row.pk: row for row in sorted(fresh, key=lambda row: row.pk)}
    there = _lock_rows(model, alias, list(rows), how)
    lacking = [key for key in rows if key not in there]
    if lacking:
        # Nothing is counted yet: somebody else may be inserting the same row, and then both find it below.
        blank = [_zeroed(rows[key], how) for key in lacking]
        for some in split_chunks(blank):
            model.objects.using(alias).bulk_create(some, ignore_conflicts=True)
        there |= _lock_rows(model, alias, lacking, how)
    if len(there) < len(rows):
        # This transaction cannot see what another one committed meanwhile.
        raise TransactionConflict
    changed = [row for key, row in rows.items() if _merge_row(row, there[key], how)]
    for some in split_chunks(changed):
        model.objects.using(alias).bulk_create(some, **on_conflict_options(alias, *how))


def _lock_rows(model: type[M], alias: str, keys: list[Any], how: Iterable[str]) -> dict[Any, dict[str, Any]]:
    """What there is under these keys, and nobody else changes it until this transaction has ended."""
    found: dict[Any, dict[str, Any]] = {}
    for some in split_chunks(keys):
        asked = model.objects.using(alias).filter(pk__in=some).order_by("pk").select_for_update()
        found.update({row["pk"]: row for row in asked.values("pk", *how)})
    return found


def _zeroed(row: M, how: Mapping[str, Verb]) -> M:
    made = copy(row)
    for name, verb in how.items():
        if verb == "add":
            setattr(made, name, 0)
    return made


def _merge_row(row: models.Model, there: Mapping[str, Any], how: Mapping[str, Verb]) -> bool:
    """Bring the row up to date with what is there; says whether that has to be written."""
    for name, verb in how.items():
        setattr(row, name, _MERGE_FUNCTIONS[verb](there[name], getattr(row, name)))
    return any(there[name] != getattr(row, name) for name in how)
