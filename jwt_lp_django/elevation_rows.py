"""Elevations and their steps as rows.

A writer locks the counter of changes first, so writers follow one another.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Q, QuerySet

from jwt_lp import ElevationUnknown
from jwt_lp.revocation.entries import RevocationKey
from jwt_lp.stores import Elevation, ElevationStep
from jwt_lp.stores.elevation_changes import (
    DAY,
    apply_change,
    check_known,
    check_new,
    ending_change,
    ending_entries,
    first_steps,
    is_ended_by,
)
from jwt_lp.stores.elevation_events import log_all_steps, log_steps
from jwt_lp.stores.elevations import ELEVATION_WRITER
from jwt_lp.stores.row_keys import storable_text
from jwt_lp_django import models
from jwt_lp_django.revocation_rows import revoke, take_numbers
from jwt_lp_django.row_keys import row_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

    from jwt_lp.revocation.entries import RevocationEntry
    from jwt_lp.stores import ElevationChange, ElevationFilter
    from jwt_lp.stores.elevation_events import WrittenSteps

__all__ = [
    "ask",
    "change",
    "claim_steps",
    "end_revoked",
    "find",
    "log_all_steps",
    "log_steps",
    "mark_delivered",
    "read",
    "select",
    "steps_of",
]

_FIELDS: Final = tuple(Elevation.__dataclass_fields__)
_STEP_FIELDS: Final = tuple(ElevationStep.__dataclass_fields__)


def ask(alias: str, elevation: Elevation) -> WrittenSteps:
    """Write a new request, inside a transaction; return it with the steps that were written."""
    # The lock comes first; nothing is written yet that needs a number.
    take_numbers(alias, 0)
    if (stored := find(alias, elevation.id)) is not None:
        return check_known(stored, elevation), ()
    check_new(elevation, _recent(alias, elevation))
    steps = first_steps(elevation)
    changed = None if elevation.since is None else take_numbers(alias, 1) + 1
    row = models.Elevation(**_values(elevation), key=_key(elevation.issuer, elevation.subject), changed=changed)
    models.Elevation.objects.using(alias).bulk_create([row])
    _write_steps(alias, steps)
    return elevation, steps


def change(alias: str, wanted: ElevationChange) -> WrittenSteps:
    """Apply a change, inside a transaction; return the elevation as it is then, with the steps that were written."""
    # As above.
    take_numbers(alias, 0)
    stored = find(alias, wanted.elevation)
    if stored is None:
        raise ElevationUnknown("there is no such elevation")
    return _apply(alias, stored, wanted)


def end_revoked(alias: str, entries: Sequence[RevocationEntry], at: float, by: str) -> list[WrittenSteps]:
    """End the elevations of those whose older tokens these entries refuse, in the transaction that writes the entries."""
    written: list[WrittenSteps] = []
    for entry in ending_entries(entries):
        live = models.Elevation.objects.using(alias).filter(issuer=entry.issuer, closes_at__gt=at)
        if entry.of == "subject":
            live = live.filter(key=_key(entry.issuer, entry.name))
        written += [
            _apply(alias, elevation, ending_change(elevation, entry, at, by))
            for elevation in list(map(read, live.order_by("pk").values(*_FIELDS)))
            if is_ended_by(elevation, entry, at)
        ]
    return written


def _apply(alias: str, stored: Elevation, wanted: ElevationChange) -> WrittenSteps:
    applied = apply_change(stored, steps_of(alias, stored.id), wanted)
    values = _values(applied.elevation)
    if applied.revocations:
        revoke(alias, applied.revocations, applied.steps[0].at, ELEVATION_WRITER)
    if applied.reported:
        values["changed"] = take_numbers(alias, 1) + 1
    models.Elevation.objects.using(alias).filter(pk=stored.id).update(**values)
    _write_steps(alias, applied.steps)
    return applied.elevation, applied.steps


def find(alias: str, elevation_id: str) -> Elevation | None:
    """The elevation with this id."""
    row = models.Elevation.objects.using(alias).filter(pk=elevation_id).values(*_FIELDS).first()
    return None if row is None else read(row)


def select(alias: str, which: ElevationFilter) -> QuerySet[Any, Any]:
    """The query for elevations, in order."""
    rows = models.Elevation.objects.using(alias)
    if which.issuer is not None and which.subject is not None:
        rows = rows.filter(key=_key(which.issuer, which.subject))
    named = {name: getattr(which, name) for name in ("issuer", "subject", "permission")}
    rows = rows.filter(**{name: storable_text(value) for name, value in named.items() if value is not None})
    if which.open_at is not None:
        rows = rows.filter(ended_at=None, denied_at=None, since=None, closes_at__gt=which.open_at)
    if which.held_at is not None:
        rows = rows.filter(ended_at=None, since__isnull=False, closes_at__gt=which.held_at)
    if which.unreviewed:
        rows = rows.filter(break_glass=True, reviewed_at=None)
    order = ("-asked_at", "-pk") if which.newest_first else ("asked_at", "pk")
    if which.after is not None:
        after, then = storable_text(which.after), "lt" if which.newest_first else "gt"
        asked_at = models.Elevation.objects.using(alias).filter(pk=after).values("asked_at")[:1]
        rows = rows.filter(Q(**{f"asked_at__{then}": asked_at}) | Q(**{"asked_at": asked_at, f"pk__{then}": after}))
    return rows.order_by(*order).values(*_FIELDS)[: which.limit]


def steps_of(alias: str, elevation_id: str) -> tuple[ElevationStep, ...]:
    """The steps of an elevation."""
    rows = models.ElevationStep.objects.using(alias).filter(elevation=elevation_id).order_by("number")
    return tuple(ElevationStep(**row) for row in rows.values(*_STEP_FIELDS))


def claim_steps(alias: str, limit: int, at: float, until: float) -> tuple[ElevationStep, ...]:
    """The oldest steps that are to be delivered, inside a transaction; each is put off until `until`."""
    rows = models.ElevationStep.objects.using(alias)
    # INVARIANT: the first statement is a write, which takes the lock in SQLite; this one changes no row.
    rows.filter(pk="").update(deliver_at=None)
    due = rows.filter(deliver_at__lte=at).order_by("deliver_at", "at", "elevation", "number")[:limit]
    return tuple(
        ElevationStep(**row)
        for row in list(due.values("pk", "deliver_at", *_STEP_FIELDS))
        # Of two workers that read the same row, one changes it.
        if rows.filter(pk=row.pop("pk"), deliver_at=row.pop("deliver_at")).update(deliver_at=until)
    )


def mark_delivered(alias: str, steps: Sequence[ElevationStep]) -> None:
    """Note that steps were delivered."""
    rows = models.ElevationStep.objects.using(alias)
    for step in steps:
        rows.filter(pk=_step_id(step)).update(deliver_at=None)


def read(row: Mapping[str, Any]) -> Elevation:
    """The elevation in a row."""
    values: dict[str, Any] = {**row}
    values["known_as"] = tuple((issuer, name) for issuer, name in json.loads(row["known_as"]))
    return Elevation(**values)


def _recent(alias: str, elevation: Elevation) -> Iterable[Elevation]:
    """The elevations of the same subject that may stand in the way of a new one."""
    rows = models.Elevation.objects.using(alias).filter(key=_key(elevation.issuer, elevation.subject))
    recent = Q(closes_at__gt=elevation.asked_at - DAY) | Q(break_glass=True, reviewed_at=None)
    return map(read, rows.filter(recent).values(*_FIELDS))


def _values(elevation: Elevation) -> dict[str, Any]:
    values = {name: getattr(elevation, name) for name in _FIELDS}
    return {**values, "known_as": json.dumps(elevation.known_as), "closes_at": elevation.closes_at}


def _key(issuer: str, subject: str) -> UUID:
    """The key that revocation entries for the subject have."""
    key: UUID = row_values(RevocationKey("subject", issuer, subject)._asdict())["id"]
    return key


def _step_id(step: ElevationStep) -> str:
    return f"{step.elevation}:{step.number}"


def _write_steps(alias: str, steps: Sequence[ElevationStep]) -> None:
    rows = [
        models.ElevationStep(id=_step_id(step), deliver_at=0.0, **{name: getattr(step, name) for name in _STEP_FIELDS})
        for step in steps
    ]
    models.ElevationStep.objects.using(alias).bulk_create(rows)
