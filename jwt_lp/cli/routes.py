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

from jwt_lp.cli.output import DIM, ERROR, OK, WARNING, console, count, emit, grid, notices, say, text
from jwt_lp.cli.target import application, relaxed_settings, silence_logs
from jwt_lp.guard.routes import Route, Rules, route_faults
from jwt_lp.permissions.requirements import Open

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jwt_lp.guard.guard import Guard

_WIDE_TERMINAL: Final = 120
_KINDS: Final = ("requirement", "authenticated", "public", "external", "unguarded")
_STYLES: Final[Mapping[str, str]] = {"public": WARNING, "external": WARNING, "unguarded": ERROR}


@dataclass(frozen=True, slots=True)
class RouteListing:
    """Every route of an application, and what is wrong with what is declared for them."""

    routes: tuple[Route, ...]
    faults: tuple[str, ...]
    faults_by_requirement: Mapping[str, tuple[str, ...]]
    notices: tuple[str, ...]
    observing: bool

    @property
    def unguarded(self) -> tuple[Route, ...]:
        """The routes on which nothing is declared."""
        return tuple(route for route in self.routes if not route.guarded)

    def faults_of(self, route: Route) -> tuple[str, ...]:
        """The faults of one route's declaration."""
        return tuple(dict.fromkeys((*route.all_faults(), *self.faults_by_requirement.get(str(route.requirement), ()))))

    @property
    def unplaced_faults(self) -> tuple[str, ...]:
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
    with silence_logs():
        guard = host.guard(app)
        listing = _list_routes(host.routes(app), guard)
    if as_json:
        emit([_as_json(route, listing) for route in listing.routes])
    elif suggest:
        _suggest(listing)
    else:
        _print_table(listing)
    _print_summary(listing, err=as_json or suggest)
    ctx.exit(1 if listing.faults or listing.unguarded else 0)


def _list_routes(found: Sequence[Route], guard: Guard) -> RouteListing:
    own = {str(route.requirement): guard.faults(route.requirement) for route in found if route.requirement is not None}
    return RouteListing(
        tuple(found),
        route_faults(found, guard.rules, guard.faults),
        own,
        tuple(relaxed_settings(guard.settings)),
        guard.ready().observing_until is not None,
    )


def kind(route: Route) -> str:
    """Which of the few things is declared: `requirement`, `authenticated`, `public`, `external` or `unguarded`."""
    if route.requirement is None:
        return "unguarded"
    if isinstance(route.requirement, Open):
        return "public" if route.requirement.reason is None else "external"
    return "requirement" if route.requirement.permissions else "authenticated"


def _as_json(route: Route, listing: RouteListing) -> dict[str, object]:
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


def _print_table(listing: RouteListing) -> None:
    notices(listing.notices)
    wide = console().width >= _WIDE_TERMINAL
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


def _row(route: Route, listing: RouteListing) -> tuple[Text, Text, Text, Text, Text, Text]:
    bad = not route.guarded or bool(listing.faults_of(route))
    return (
        text("!!" if bad else "", ERROR),
        text(", ".join(route.methods) or "*"),
        text(route.template),
        text(route.endpoint, DIM),
        text(_requirement_text(route, listing), _STYLES.get(kind(route), "")),
        text(route.origin, DIM),
    )


def _requirement_text(route: Route, listing: RouteListing) -> str:
    if route.requirement is not None:
        return str(route.requirement)
    return "NOTHING DECLARED: passes while observing" if listing.observing else "NOTHING DECLARED: refused"


def _print_summary(listing: RouteListing, *, err: bool) -> None:
    if err:
        notices(listing.notices, err=True)
    faults = listing.unplaced_faults if err else listing.faults
    for fault in faults:
        say(text("!! fault: ", ERROR), fault, err=err)
    counted = ", ".join(f"{sum(kind(route) == name for route in listing.routes)} {name}" for name in _KINDS)
    bad = bool(listing.faults or listing.unguarded)
    said = f"{count(len(listing.routes), 'route')}: {counted}; {count(len(listing.faults), 'fault')}"
    say(text(said, ERROR if bad else OK), err=err)
    if listing.unguarded and not err:
        say("--suggest prints the lines that are missing.", err=err)


def _suggest(listing: RouteListing) -> None:
    missing = listing.unguarded
    foreign = [route for route in missing if is_third_party(route.endpoint)]
    grouped: dict[str, list[Route]] = {}
    for route in missing:
        if route not in foreign:
            grouped.setdefault(route.endpoint, []).append(route)
    for endpoint, found in grouped.items():
        _print_lines(f"# {endpoint}: {'; '.join(route.label for route in found)}")
        _print_lines(*dict.fromkeys(route.hint or "# no suggestion: declare it by hand" for route in found), "")
    if foreign:
        _print_lines("# in the settings, for what is not yours to decorate (or PUBLIC = [...], if it is for everybody)")
        rules = dict.fromkeys(
            _rule(route, [each for each in listing.routes if each not in foreign]) for route in foreign
        )
        _print_lines("EXTERNAL = {", *(f"    {rule}" for rule in rules), "}")
    if not missing:
        say("# nothing is missing: every route is declared", err=True)


def _print_lines(*lines: str) -> None:
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


def is_third_party(endpoint: str) -> bool:
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
