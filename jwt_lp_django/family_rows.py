"""Families of refresh tokens as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import F

from jwt_lp import StoreError
from jwt_lp.stores import RefreshFamily
from jwt_lp.stores.families import WRITER
from jwt_lp_django.database import split_chunks
from jwt_lp_django.elevation_rows import end_revoked
from jwt_lp_django.models import Family
from jwt_lp_django.revocation_rows import revoke
from jwt_lp_django.row_keys import row_id

if TYPE_CHECKING:
    from uuid import UUID

    from jwt_lp.stores import FamilyEnding
    from jwt_lp.stores.elevation_events import WrittenSteps

_FIELDS = tuple(RefreshFamily.__dataclass_fields__)


def add(alias: str, family: RefreshFamily) -> None:
    """Write a new family, inside a transaction."""
    rows = Family.objects.using(alias)
    if rows.filter(pk=family.id).exists():
        raise StoreError("a family of refresh tokens is written once, and its id exists already")
    values = {name: getattr(family, name) for name in _FIELDS}
    rows.bulk_create([Family(**values, key=_key(family.issuer, family.subject))])


def find(alias: str, family_id: str) -> RefreshFamily | None:
    """The family with this id."""
    row = Family.objects.using(alias).filter(pk=family_id).values(*_FIELDS).first()
    return None if row is None else RefreshFamily(**row)


def rotate(alias: str, family_id: str, counter: int, at: float) -> bool:
    """Add one to the counter if it is `counter`, in one statement."""
    live = Family.objects.using(alias).filter(pk=family_id, counter=counter, ended_at=None, expires_at__gt=at)
    return live.update(counter=counter + 1, rotated_at=at) == 1


def end(alias: str, ending: FamilyEnding) -> tuple[tuple[RefreshFamily, ...], list[WrittenSteps]]:
    """End families, revoke their tokens, and end what elevations such a revocation ends, inside a transaction."""
    live = Family.objects.using(alias).filter(key=_key(ending.issuer, ending.subject), ended_at=None)
    if ending.family is not None:
        live = live.filter(pk=ending.family)
    # INVARIANT: the first statement is a write, which locks the rows in every database; SQLite has no SELECT FOR UPDATE.
    live.update(counter=F("counter"))
    ended = tuple(RefreshFamily(**row) for row in live.order_by("pk").values(*_FIELDS))
    for chunk in split_chunks(family.id for family in ended):
        Family.objects.using(alias).filter(pk__in=chunk).update(ended_at=ending.at, reason=ending.reason)
    if not (entries := ending.revocations(ended)):
        return ended, []
    revoke(alias, entries, ending.at, WRITER)
    return ended, end_revoked(alias, entries, ending.at, WRITER)


def _key(issuer: str, subject: str) -> UUID:
    return row_id(("subject", issuer, subject))
