"""What does each route ask for, and which ask for nothing yet?"""

from __future__ import annotations

import json
import sys
import sysconfig
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.text import Text

from jwt_lp.cli.output import BAD, FAINT, GOOD, LOUD, console, count, emit, grid, notices, say, text
from jwt_lp.cli.target import application, laxer, silenced
from jwt_lp.requirements import Open
from jwt_lp.routes import Route, Rules, route_faults

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jwt_lp.guard import Guard

_WIDE: Final = 120
_KINDS: Final = ("requirement", "authenticated", "public", "external", "unguarded")
_STYLES: Final[Mapping[str, str]] = {"public": LOUD, "external": LOUD, "unguarded": BAD}


@dataclass(frozen=True, slots=True)
class Listing:
    """Every route of an application, and what is wrong with what is declared for them."""

    routes: tuple[Route, ...]
    faults: tuple[str, ...]
    own: Mapping[str, tuple[str, ...]]
    notices: tuple[str, ...]
    observing: bool

    @property
    def unguarded(self) -> tuple[Route, ...]:
        """The routes on which nothing is declared."""
        return tuple(route for route in self.routes if not route.guarded)

    def faults_of(self, route: Route) -> tuple[str, ...]:
        """The faults of one route's declaration."""
        return tuple(dict.fromkeys((*route.all_faults(), *self.own.get(str(route.requirement), ()))))

    @property
    def elsewhere(self) -> tuple[str, ...]:
        """The faults that are of no route, such as a rule that matches none."""
        placed = {fault for route in self.routes for fault in self.faults_of(route)}
        return tuple(fault for fault in self.faults if fault not in placed)


@click.command(short_help="List every route and what is declared for it.")
@click.argument("target", metavar="MODULE:APP", required=False)
@click.option("--json", "as_json", is_flag=True, help="A list of objects on standard output, and nothing else there.")
@click.option("--suggest", is_flag=True, help="Print the lines that are missing, ready to paste, instead of the table.")
@click.pass_context
def routes(ctx: click.Context, target: str | None, *, as_json: bool, suggest: bool) -> None:
    """List every route with its methods, its endpoint, what it asks for and where that is declared.

    A route on which nothing is declared is refused at run time; it is marked "!!" here, as are faults. Public
    and external routes are listed with the reason.

    \b
      jwt-lp routes shop.main:app
      jwt-lp routes "shop.main:create_app()" --json
      jwt-lp routes shop.wsgi:application --suggest

    The exit code is 0 when every route is declared and no declaration is at fault, otherwise 1: a check for CI.
    """  # noqa: D301 - a real backspace is what click looks for
    if as_json and suggest:
        raise click.UsageError("--json has each route's hint already: leave --suggest out")
    app, host = application(target, ctx.obj)
    with silenced():
        guard = host.guard(app)
        listing = _listing(host.routes(app), guard)
    if as_json:
        emit([_plain(route, listing) for route in listing.routes])
    elif suggest:
        _suggest(listing)
    else:
        _table(listing)
    _conclude(listing, err=as_json or suggest)
    ctx.exit(1 if listing.faults or listing.unguarded else 0)


def _listing(found: Sequence[Route], guard: Guard) -> Listing:
    own = {str(route.requirement): guard.faults(route.requirement) for route in found if route.requirement is not None}
    return Listing(
        tuple(found),
        route_faults(found, guard.rules, guard.faults),
        own,
        tuple(laxer(guard.settings)),
        guard.ready().observing_until is not None,
    )


def kind(route: Route) -> str:
    """Which of the few things is declared: `requirement`, `authenticated`, `public`, `external` or `unguarded`."""
    if route.requirement is None:
        return "unguarded"
    if isinstance(route.requirement, Open):
        return "public" if route.requirement.reason is None else "external"
    return "requirement" if route.requirement.permissions else "authenticated"


def _plain(route: Route, listing: Listing) -> dict[str, object]:
    requirement = route.requirement
    return {
        "methods": list(route.methods),
        "template": route.template,
        "endpoint": route.endpoint,
        "kind": kind(route),
        "guarded": route.guarded,
        "requirement": None if requirement is None else str(requirement),
        "permissions": [] if requirement is None else list(requirement.permissions),
        "parameters": None if route.parameters is None else sorted(route.parameters),
        "origin": route.origin,
        "reason": requirement.reason if isinstance(requirement, Open) else None,
        "hint": route.hint,
        "faults": list(listing.faults_of(route)),
    }


def _table(listing: Listing) -> None:
    notices(listing.notices)
    wide = console().width >= _WIDE
    headers = ("", "METHODS", "ROUTE", "ENDPOINT", "ASKS FOR", "DECLARED BY")
    rows = [_row(route, listing) for route in listing.routes]
    if wide:
        grid(rows, headers, fixed=2)
        return
    # One narrow line each would fold everything: what belongs together stands below one another instead.
    stacked = [
        (mark, methods, Text("\n").join((template, endpoint)), Text("\n").join(filter(None, (asks, origin))))
        for mark, methods, template, endpoint, asks, origin in rows
    ]
    grid(stacked, ("", "METHODS", "ROUTE", "ASKS FOR"), fixed=1)


def _row(route: Route, listing: Listing) -> tuple[Text, Text, Text, Text, Text, Text]:
    bad = not route.guarded or bool(listing.faults_of(route))
    return (
        text("!!" if bad else "", BAD),
        text(", ".join(route.methods) or "*"),
        text(route.template),
        text(route.endpoint, FAINT),
        text(_asks(route, listing), _STYLES.get(kind(route), "")),
        text(route.origin, FAINT),
    )


def _asks(route: Route, listing: Listing) -> str:
    if route.requirement is not None:
        return str(route.requirement)
    return "NOTHING DECLARED: passes while observing" if listing.observing else "NOTHING DECLARED: refused"


def _conclude(listing: Listing, *, err: bool) -> None:
    if err:
        notices(listing.notices, err=True)
    faults = listing.elsewhere if err else listing.faults
    for fault in faults:
        say(text("!! fault: ", BAD), fault, err=err)
    counted = ", ".join(f"{sum(kind(route) == name for route in listing.routes)} {name}" for name in _KINDS)
    bad = bool(listing.faults or listing.unguarded)
    said = f"{count(len(listing.routes), 'route')}: {counted}; {count(len(listing.faults), 'fault')}"
    say(text(said, BAD if bad else GOOD), err=err)
    if listing.unguarded and not err:
        say("--suggest prints the lines that are missing.", err=err)


def _suggest(listing: Listing) -> None:
    missing = listing.unguarded
    foreign = [route for route in missing if is_foreign(route.endpoint)]
    grouped: dict[str, list[Route]] = {}
    for route in missing:
        if route not in foreign:
            grouped.setdefault(route.endpoint, []).append(route)
    for endpoint, found in grouped.items():
        _lines(f"# {endpoint}: {'; '.join(route.label for route in found)}")
        _lines(*dict.fromkeys(route.hint or "# no suggestion: declare it by hand" for route in found), "")
    if foreign:
        _lines("# in the settings, for what is not yours to decorate (or PUBLIC = [...], if it is for everybody)")
        rules = dict.fromkeys(
            _rule(route, [each for each in listing.routes if each not in foreign]) for route in foreign
        )
        _lines("EXTERNAL = {", *(f"    {rule}" for rule in rules), "}")
    if not missing:
        say("# nothing is missing: every route is declared", err=True)


def _lines(*lines: str) -> None:
    # Not wrapped: they are to be pasted.
    for line in lines:
        click.echo(text(line).plain)


def _rule(route: Route, others: Sequence[Route]) -> str:
    """A line of `EXTERNAL` that declares `route` and none of the `others`."""
    taken = {name for each in others for name in (*each.groups, *each.names)}
    for rule in (*route.groups, *route.names, route.template):
        # INVARIANT: a suggestion never opens a route of the project's own, neither one of today nor a later
        # one in the same namespace.
        declared = Rules(((rule, Open("suggested")),)).declare
        if (
            rule.strip("/")
            and rule not in taken
            and not any(declared(each).guarded for each in others if not each.guarded)
        ):
            return f'{json.dumps(rule)}: "say who guards it instead",'
    return f"# no rule would name only {route.label}: have it served under a path of its own"


def is_foreign(endpoint: str) -> bool:
    """Whether the endpoint's code is somebody else's: of the standard library or of what is installed."""
    name = endpoint.partition(".")[0]
    try:
        # What runs as a script is the project's, wherever its own loader stands.
        spec = None if name == "__main__" else find_spec(name)
    except (ImportError, ValueError):
        return False
    places = [] if spec is None else [spec.origin, *(spec.submodule_search_locations or ())]
    standard = Path(sysconfig.get_path("stdlib"))
    return name in sys.stdlib_module_names or any(
        place is not None
        and ({"site-packages", "dist-packages"} & set(Path(place).parts) or standard in Path(place).parents)
        for place in places
    )
