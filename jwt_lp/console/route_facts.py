"""Facts about routes: what each asks for, when it was last seen, and whether anybody holds what it asks for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp.console.grant_ways import HeldPermissions
from jwt_lp.review.pattern_overlap import permissions_in

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jwt_lp.console.grant_ways import HeldBySomebody
    from jwt_lp.console.state import ConsoleState
    from jwt_lp.guard.routes import Route
    from jwt_lp.stores import EnforcementPointRow

ROUTE_ROWS: Final = 30
"""The most routes on one page: each asks for several permissions, and each of these is looked up."""

MOST_POINTS: Final = 20_000
"""The most enforcement points that one page reads."""

_MOST_TERMS: Final = 20
_KINDS: Final = ("undeclared", "public", "external", "authenticated", "requirement")


class AskedPermission(NamedTuple):
    """A permission that a route asks for, and whether anybody holds it."""

    name: str
    held: HeldBySomebody


class RouteRow(NamedTuple):
    """One enforcement point or route.

    `template` is "" for what only the store knows, and `last_day` for what only the application knows. `kind` is the kind
    of its declaration; `note` has the reason of an external one, and faults.
    """

    service: str
    methods: str
    template: str
    endpoint: str
    kind: str
    requirement: str
    asks: tuple[AskedPermission, ...]
    first_day: str
    last_day: str
    note: str


@dataclass(frozen=True, slots=True)
class RouteFacts:
    """One page of routes, those without a guard first, out of `total`; and how many of each kind there are.

    `complete` is False if the store has more than `MOST_POINTS` enforcement points: only the first of them were read.
    """

    rows: tuple[RouteRow, ...]
    total: int
    counts: tuple[tuple[str, int], ...]
    complete: bool


def read_routes(console: ConsoleState, *, text: str = "", page: int = 0, own: str = "") -> RouteFacts:
    """The routes whose service, endpoint, path or requirement has `text`, in lower or upper case.

    Those of the service `own`, which is the console itself, come after those of the same kind.
    """
    points = [*islice(console.store.enforcement_points(), MOST_POINTS + 1)]
    seen = [*_seen(console, points[:MOST_POINTS])]
    rows = [*_listed(console.application_routes, seen), *seen]
    wanted = text.casefold()
    if wanted:
        rows = [row for row in rows if any(wanted in part.casefold() for part in row if isinstance(part, str))]
    rows.sort(
        key=lambda row: (
            _KINDS.index(row.kind),
            row.service == own,
            row.service,
            row.endpoint,
            row.methods,
            row.template,
        )
    )
    held = HeldPermissions(console.store, console.policy)
    return RouteFacts(
        tuple(_with_holders(row, held) for row in rows[page * ROUTE_ROWS : (page + 1) * ROUTE_ROWS]),
        len(rows),
        tuple((kind, number) for kind in _KINDS if (number := sum(row.kind == kind for row in rows))),
        len(points) <= MOST_POINTS,
    )


def _listed(routes: Iterable[Route], seen: Iterable[RouteRow]) -> Iterable[RouteRow]:
    """The routes of the applications that the console knows, without those that the store has, too.

    The store lacks what asks for no token, and all of an application that never ran with this store.
    """
    known = {(row.endpoint, row.requirement) for row in seen}
    for route in routes:
        guarded = route.kind in ("requirement", "authenticated")
        requirement = str(route.requirement) if guarded else ""
        if guarded and (route.endpoint, requirement) in known:
            continue
        declared = () if guarded else (str(route.requirement or "no declaration: refused"),)
        yield RouteRow(
            "",
            ", ".join(route.methods) or "*",
            route.template,
            route.endpoint,
            route.kind,
            requirement,
            (),
            "",
            "",
            "; ".join((*declared, *route.all_faults())),
        )


def _seen(console: ConsoleState, points: Iterable[EnforcementPointRow]) -> Iterable[RouteRow]:
    """The enforcement points of the store; those that differ in their method only are one row."""
    templates = {
        (route.endpoint, str(route.requirement)): route.template
        for route in console.application_routes
        if route.requirement is not None
    }
    rows: dict[tuple[str, str, str], RouteRow] = {}
    # Many routes have the same requirement.
    asks = cache(permissions_in)
    for point in points:
        key = (point.service, point.endpoint, point.requirement)
        seen = rows.get(key)
        rows[key] = RouteRow(
            point.service,
            point.method if seen is None else f"{seen.methods}, {point.method}",
            templates.get((point.endpoint, point.requirement), ""),
            point.endpoint,
            "requirement" if asks(point.requirement) else "authenticated",
            point.requirement,
            (),
            point.first_day if seen is None else min(seen.first_day, point.first_day),
            point.last_day if seen is None else max(seen.last_day, point.last_day),
            "",
        )
    return rows.values()


def _with_holders(row: RouteRow, held: HeldPermissions) -> RouteRow:
    names = permissions_in(row.requirement)[:_MOST_TERMS]
    return row._replace(asks=tuple(AskedPermission(name, held.held(name)) for name in names))
