"""Look-ups of pages: what one holder, one role or one permission has and used."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Max, Q, QuerySet, Sum
from django.db.models.functions import Left, Lower

from jwt_lp.stores import (
    EndpointUse,
    FoundHolder,
    FoundName,
    FoundUses,
    HolderCount,
    HolderUse,
    PermissionDay,
    UseDay,
)
from jwt_lp.stores.lookup_values import (
    STANDING_ROLES,
    CurrentImports,
    HeldRow,
    SeenRow,
    lower_text,
    merge_grants,
    merge_names,
)
from jwt_lp.stores.lookups import MAX_READ
from jwt_lp.stores.row_keys import ELEVATED_ROLE, fit_text, iso_day, storable_text
from jwt_lp_django import models, revocation_rows
from jwt_lp_django.row_keys import row_values

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jwt_lp.stores import HolderGrant, RevocationFilter, StoredRevocation
    from jwt_lp.stores.lookups import NameKind

_HOLDER: Final = FoundHolder._fields


def find_names(alias: str, kind: NameKind, text: str, limit: int) -> tuple[FoundName, ...]:
    """The first names that contain a text."""
    wanted = lower_text(text)
    if kind == "permission":
        rows = _names(models.DailySum.objects.using(alias), kind, wanted)
        return merge_names("", [rows.values_list(kind, flat=True).distinct().order_by(kind)[:limit]], limit)
    sightings = _names(models.Sighting.objects.using(alias), kind, wanted)
    holdings = _names(models.Holding.objects.using(alias), kind, wanted)
    if kind == "role":
        ranges = [
            rows.filter(**_between(low, high)).values_list("role", flat=True).distinct().order_by("role")[:limit]
            for rows in (sightings, holdings)
            for low, high in STANDING_ROLES
        ]
        return merge_names("", ranges, limit)
    named = [_names(models.HolderSum.objects.using(alias), kind, wanted), sightings, holdings]
    pages = [rows.values_list("issuer", kind).distinct().order_by("issuer", kind)[:limit] for rows in named]
    found = {FoundName(*row) for page in pages for row in page}
    return tuple(sorted(found)[:limit])


def _names(rows: QuerySet[Any], kind: str, wanted: str) -> QuerySet[Any]:
    rows = rows.exclude(**{kind: ""})
    return rows.annotate(lowered=Lower(kind)).filter(lowered__contains=wanted) if wanted else rows


def _between(low: str | None, high: str | None) -> dict[str, str]:
    bounds = {"role__gte": low, "role__lt": high}
    return {name: value for name, value in bounds.items() if value is not None}


def current_imports(alias: str) -> CurrentImports:
    """The imports that count."""
    rows = models.Import.objects.using(alias)
    found = rows.aggregate(first=Max("as_of", filter=Q(complete=True)), last=Max("as_of"))
    return CurrentImports(found["first"] or "", found["last"] or "", found["first"] is not None)


def latest_import(alias: str) -> tuple[str, bool] | None:
    """The day of the latest import, and whether it was complete."""
    return models.Import.objects.using(alias).order_by("-as_of").values_list("as_of", "complete").first()


def recorded_until(alias: str) -> tuple[tuple[str, float], ...]:
    """Until when the store has the usage of each service."""
    rows = models.Run.objects.using(alias).order_by("service").values("service").annotate(latest=Max("until"))
    return tuple(rows.values_list("service", "latest"))


def holder_grants(
    alias: str, issuer: str, subject: str | None, client: str | None, limit: int
) -> tuple[HolderGrant, ...]:
    """What a holder has, by role and grant."""
    imports = current_imports(alias)
    # A client that holds grants itself is listed without a subject.
    held = _matching(
        models.Holding.objects.using(alias),
        {"issuer": issuer, "subject": "" if subject is None else subject, "client": client},
    )
    seen = _matching(models.Sighting.objects.using(alias), {"issuer": issuer, "subject": subject, "client": client})
    return merge_grants(
        [HeldRow(*row) for row in held.filter(as_of__gte=imports.first).values_list(*HeldRow._fields)[:MAX_READ]],
        [SeenRow(*row) for row in _standing(seen).values_list(*SeenRow._fields)[:MAX_READ]],
        imports,
        limit,
        ever=subject is None,
    )


def find_uses(alias: str, parts: Mapping[str, str | None], limit: int) -> FoundUses:
    """The uses with these parts, the most recent first."""
    rows = _matching(models.HolderSum.objects.using(alias), parts).values_list(*HolderUse._fields)[: MAX_READ + 1]
    # Ordered here, so that the database reads no more rows than that.
    uses = sorted(sorted(HolderUse(*row) for row in rows), key=lambda use: use.last_day, reverse=True)
    return FoundUses(tuple(uses[:limit]), len(uses) <= MAX_READ)


def holders(alias: str, name: str, value: str, limit: int, after: FoundHolder | None) -> tuple[FoundHolder, ...]:
    """Who holds a role or a grant, in order; those behind `after`."""
    behind = Q()
    if after is not None:
        issuer, subject, client = map(fit_text, after)
        behind = (
            Q(issuer__gt=issuer)
            | Q(issuer=issuer, subject__gt=subject)
            | Q(issuer=issuer, subject=subject, client__gt=client)
        )
    pages = [
        rows.filter(behind).values_list(*_HOLDER).distinct().order_by(*_HOLDER)[:limit]
        for rows in _holders(alias, name, value)
    ]
    return tuple(sorted({FoundHolder(*row) for page in pages for row in page})[:limit])


def count_holders(alias: str, name: str, value: str) -> HolderCount:
    """How many hold a role or a grant."""
    read = [list(rows.values_list(*_HOLDER)[: MAX_READ + 1]) for rows in _holders(alias, name, value)]
    return HolderCount(len({row for rows in read for row in rows}), max(map(len, read)) <= MAX_READ)


def _holders(alias: str, name: str, value: str) -> Iterator[QuerySet[Any]]:
    """The rows of who holds it by an import, and by a token."""
    imports = current_imports(alias)
    yield models.Holding.objects.using(alias).filter(**{name: fit_text(value)}, as_of__gte=imports.first)
    seen = _standing(models.Sighting.objects.using(alias).filter(**{name: fit_text(value)}))
    yield seen.filter(last_day__gt=imports.last) if imports.complete else seen


def _standing(rows: QuerySet[Any]) -> QuerySet[Any]:
    # Not by `startswith`, which ignores the case in SQLite.
    return rows.annotate(prefix=Left("role", len(ELEVATED_ROLE))).exclude(prefix=ELEVATED_ROLE)


def _matching(rows: QuerySet[Any], parts: Mapping[str, str | None]) -> QuerySet[Any]:
    return rows.filter(**{name: fit_text(value) for name, value in parts.items() if value is not None})


def use_days(alias: str, parts: Mapping[str, str | None], since: str, limit: int) -> tuple[UseDay, ...]:
    """The uses with these parts on each day, the most recent first."""
    rows = _matching(models.Usage.objects.using(alias), parts).filter(day__gte=iso_day(since))
    totals: dict[Any, int] = defaultdict(int)
    for *key, count in rows.values_list(*UseDay._fields[:-1], "count")[:MAX_READ]:
        totals[tuple(key)] += count
    days = sorted(
        sorted(UseDay._make((*key, uses)) for key, uses in totals.items()), key=lambda use: use.day, reverse=True
    )
    return tuple(days[:limit])


def permission_days(alias: str, permission: str, since: str) -> tuple[PermissionDay, ...]:
    """The uses of a permission on each day, in order."""
    rows = models.DailySum.objects.using(alias).filter(permission=fit_text(permission), day__gte=iso_day(since))
    totals = rows.order_by("day").values("day").annotate(**_TOTALS).values_list("day", *_TOTALS)
    return tuple(PermissionDay(day, int(uses), int(refused)) for day, uses, refused in totals)


def endpoint_uses(alias: str, permission: str, limit: int) -> tuple[EndpointUse, ...]:
    """Where a permission was used, the most recent first."""
    where = EndpointUse._fields[:3]
    rows = models.DailySum.objects.using(alias).filter(permission=fit_text(permission)).order_by().values(*where)
    totals = rows.annotate(**_TOTALS, last_day=Max("day")).order_by("-last_day", *where)
    found = totals.values_list(*where, *_TOTALS, "last_day")[:limit]
    return tuple(EndpointUse._make((*place, int(uses), int(refused), last)) for *place, uses, refused, last in found)


_TOTALS: Final = {
    "granted": Sum("uses", filter=Q(outcome="granted"), default=0),
    "refused": Sum("uses", filter=Q(outcome__in=("denied", "revoked")), default=0),
}


def revocation_page(alias: str, which: RevocationFilter) -> tuple[StoredRevocation, ...]:
    """The entries that match, the newest first."""
    rows = models.Revocation.objects.using(alias).order_by("-sequence")
    if which.lifted is not None:
        rows = rows.filter(lifted_at__isnull=not which.lifted)
    named = {"of": which.of, "issuer": which.issuer, "name": which.name, "entry_id": which.id}
    rows = rows.filter(**{name: storable_text(value) for name, value in named.items() if value is not None})
    if which.of is not None and which.issuer is not None and which.name is not None:
        rows = rows.filter(key=row_values({"of": which.of, "issuer": which.issuer, "name": which.name})["id"])
    if which.before is not None:
        rows = rows.filter(sequence__lt=which.before)
    return tuple(map(revocation_rows.stored_revocation, rows[: which.limit]))
