"""How are rows added to those that are there, by several processes at once?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from typing import Any, Final, Literal, TypeAlias, TypeVar

from django.db import models

from jwt_lp_django.database import Again, chunks, on_conflict

M = TypeVar("M", bound=models.Model)
Verb: TypeAlias = Literal["add", "least", "greatest", "new"]

_VERBS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
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
    there = _locked(model, alias, list(rows), how)
    lacking = [key for key in rows if key not in there]
    if lacking:
        # Nothing is counted yet: somebody else may be inserting the same row, and then both find it below.
        blank = [_blank(rows[key], how) for key in lacking]
        for some in chunks(blank):
            model.objects.using(alias).bulk_create(some, ignore_conflicts=True)
        there |= _locked(model, alias, lacking, how)
    if len(there) < len(rows):
        # This transaction cannot see what another one committed meanwhile.
        raise Again
    changed = [row for key, row in rows.items() if _brought(row, there[key], how)]
    for some in chunks(changed):
        model.objects.using(alias).bulk_create(some, **on_conflict(alias, *how))


def _locked(model: type[M], alias: str, keys: list[Any], how: Iterable[str]) -> dict[Any, dict[str, Any]]:
    """What there is under these keys, and nobody else changes it until this transaction has ended."""
    found: dict[Any, dict[str, Any]] = {}
    for some in chunks(keys):
        asked = model.objects.using(alias).filter(pk__in=some).order_by("pk").select_for_update()
        found.update({row["pk"]: row for row in asked.values("pk", *how)})
    return found


def _blank(row: M, how: Mapping[str, Verb]) -> M:
    made = copy(row)
    for name, verb in how.items():
        if verb == "add":
            setattr(made, name, 0)
    return made


def _brought(row: models.Model, there: Mapping[str, Any], how: Mapping[str, Verb]) -> bool:
    """Bring the row up to date with what is there; says whether that has to be written."""
    for name, verb in how.items():
        setattr(row, name, _VERBS[verb](there[name], getattr(row, name)))
    return any(there[name] != getattr(row, name) for name in how)
