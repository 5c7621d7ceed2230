"""The command `jwt-lp routes`: every route with its declaration, and suggestions for undeclared ones."""

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
# What REST framework's routers add to a template, and what declares a class as a whole.
_FORMAT_SUFFIX: Final = ".{format}"
_FOR_CLASS: Final = "required_permissions = "
_KINDS: Final = ("requirement", "authenticated", "public", "external", "undeclared")
_STYLES: Final[Mapping[str, str]] = {"public": WARNING, "external": WARNING, "undeclared": ERROR}


@dataclass(frozen=True, slots=True)
class RouteListing:
    """Every route of an application, and the faults of their declarations."""

    routes: tuple[Route, ...]
    faults: tuple[str, ...]
    faults_by_requirement: Mapping[str, tuple[str, ...]]
    notices: tuple[str, ...]
    observing: bool

    @property
    def undeclared(self) -> tuple[Route, ...]:
        """The routes without a declaration."""
        return tuple(route for route in self.routes if not route.guarded)

    def faults_of(self, route: Route) -> tuple[str, ...]:
        """The faults of one route's declaration."""
        return tuple(dict.fromkeys((*route.all_faults(), *self.faults_by_requirement.get(str(route.requirement), ()))))

    @property
    def unplaced_faults(self) -> tuple[str, ...]:
        """The faults that belong to no route, such as a rule that matches none."""
        placed = {fault for route in self.routes for fault in self.faults_of(route)}
        return tuple(fault for fault in self.faults if fault not in placed)


@click.command(short_help="List every route and its declaration.")
@click.argument("target", metavar="MODULE:APP", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list, and nothing else, on standard output.")
@click.option("--suggest", is_flag=True, help="Print the missing declarations, ready to paste, instead of the table.")
@click.pass_context
def routes(ctx: click.Context, target: str | None, *, as_json: bool, suggest: bool) -> None:
    """List every route with its methods, its endpoint, its requirement and where that is declared.

    Requests to a route without a declaration are refused; such routes, and faults, are marked "!!". External routes are
    listed with their reason.

    \b
      jwt-lp routes shop.main:app
      jwt-lp routes "shop.main:create_app()" --json
      jwt-lp routes shop.wsgi:application --suggest

    The exit code is 0 if every route has a declaration without a fault, otherwise 1, so that CI can check it.
    """  # noqa: D301 - a real backspace is what click looks for
    if as_json and suggest:
        raise click.UsageError("--json already has each route's hint: leave --suggest out")
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
    ctx.exit(1 if listing.faults or listing.undeclared else 0)


def _list_routes(routes: Sequence[Route], guard: Guard) -> RouteListing:
    faults = {
        str(route.requirement): guard.faults(route.requirement) for route in routes if route.requirement is not None
    }
    return RouteListing(
        tuple(routes),
        route_faults(routes, guard.rules, guard.faults) + guard.settings.metadata_faults(routes),
        faults,
        tuple(relaxed_settings(guard.settings)),
        guard.ready().observing_until is not None,
    )


def _as_json(route: Route, listing: RouteListing) -> dict[str, object]:
    requirement = route.requirement
    return {
        "methods": list(route.methods),
        "template": route.template,
        "endpoint": route.endpoint,
        "kind": route.kind,
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
    headers = ("", "METHODS", "ROUTE", "ENDPOINT", "REQUIRES", "DECLARED BY")
    rows = [_row(route, listing) for route in listing.routes]
    if wide:
        grid(rows, headers, fixed=2)
        return
    # Too narrow for six columns: put the endpoint below its route, and the origin below its requirement.
    stacked = [
        (mark, methods, Text("\n").join((template, endpoint)), Text("\n").join(filter(None, (asks, origin))))
        for mark, methods, template, endpoint, asks, origin in rows
    ]
    grid(stacked, ("", "METHODS", "ROUTE", "REQUIRES"), fixed=1)


def _row(route: Route, listing: RouteListing) -> tuple[Text, Text, Text, Text, Text, Text]:
    bad = not route.guarded or bool(listing.faults_of(route))
    return (
        text("!!" if bad else "", ERROR),
        text(", ".join(route.methods) or "*"),
        text(route.template),
        text(route.endpoint, DIM),
        text(_requirement_text(route, listing), _STYLES.get(route.kind, "")),
        text(route.origin, DIM),
    )


def _requirement_text(route: Route, listing: RouteListing) -> str:
    if route.requirement is not None:
        return str(route.requirement)
    return "no declaration: passes while observing" if listing.observing else "no declaration: refused"


def _print_summary(listing: RouteListing, *, err: bool) -> None:
    if err:
        notices(listing.notices, err=True)
    faults = listing.unplaced_faults if err else listing.faults
    for fault in faults:
        say(text("!! fault: ", ERROR), fault, err=err)
    counts = ", ".join(f"{sum(route.kind == name for route in listing.routes)} {name}" for name in _KINDS)
    bad = bool(listing.faults or listing.undeclared)
    summary = f"{count(len(listing.routes), 'route')}: {counts}; {count(len(listing.faults), 'fault')}"
    say(text(summary, ERROR if bad else OK), err=err)
    if listing.undeclared and not err:
        say("--suggest prints the missing declarations.", err=err)


def _suggest(listing: RouteListing) -> None:
    missing = listing.undeclared
    third_party = [route for route in missing if is_third_party(route.endpoint)]
    for routes in _by_declaration([route for route in missing if route not in third_party]):
        hints = dict.fromkeys(route.hint or "# no suggestion: declare it by hand" for route in routes)
        _print_lines(f"# {_common_endpoint(routes)}: {'; '.join(route.label for route in routes)}")
        _print_lines(*(line for hint in hints for line in hint.split("\n")), "")
    if third_party:
        _print_lines("# in the settings, for routes that you cannot decorate (or PUBLIC = [...], if they are public)")
        rules = dict.fromkeys(
            _rule(route, [other for other in listing.routes if other not in third_party]) for route in third_party
        )
        _print_lines("EXTERNAL = {", *(f"    {rule}" for rule in rules), "}")
    if not missing:
        say("# nothing is missing: every route has a declaration", err=True)


def _by_declaration(routes: Sequence[Route]) -> list[list[Route]]:
    """The routes by endpoint, and those of one class together; without the routes that only add a format suffix."""
    plain = {(route.endpoint, route.template) for route in routes}
    groups: dict[str, list[Route]] = {}
    for route in routes:
        without_suffix = route.template.replace(_FORMAT_SUFFIX, "")
        if route.template != without_suffix and (route.endpoint, without_suffix) in plain:
            continue
        # Every action of a viewset has the hint of the class.
        by_class = f"{route.endpoint.rpartition('.')[0]} {route.hint}"
        groups.setdefault(by_class if route.hint.startswith(_FOR_CLASS) else route.endpoint, []).append(route)
    return list(groups.values())


def _common_endpoint(routes: Sequence[Route]) -> str:
    endpoints = list(dict.fromkeys(route.endpoint for route in routes))
    return endpoints[0] if len(endpoints) == 1 else endpoints[0].rpartition(".")[0]


def _print_lines(*lines: str) -> None:
    # Not wrapped, so that they can be pasted.
    for line in lines:
        click.echo(text(line).plain)


def _rule(route: Route, others: Sequence[Route]) -> str:
    """A line of `EXTERNAL` that declares `route` and none of the `others`."""
    own_names = {name for other in others for name in (*other.groups, *other.names)}
    for rule in (*route.groups, *route.names, route.template):
        # INVARIANT: a suggestion never declares a route of the project itself, whether it exists already or is added
        # later to the same namespace.
        declared = Rules(((rule, Open("suggested")),)).declare
        if (
            rule.strip("/")
            and rule not in own_names
            and not any(declared(other).guarded for other in others if not other.guarded)
        ):
            return f'{json.dumps(rule)}: "say who guards it instead",'
    return f"# no rule matches only {route.label}: serve it under a path of its own"


def is_third_party(endpoint: str) -> bool:
    """Whether the endpoint's code belongs to the standard library or to an installed package."""
    name = endpoint.partition(".")[0]
    try:
        # A module that runs as a script belongs to the project.
        spec = None if name == "__main__" else find_spec(name)
    except (ImportError, ValueError):
        return False
    places = [] if spec is None else [spec.origin, *(spec.submodule_search_locations or ())]
    standard_library = Path(sysconfig.get_path("stdlib"))
    return name in sys.stdlib_module_names or any(
        place is not None
        and ({"site-packages", "dist-packages"} & set(Path(place).parts) or standard_library in Path(place).parents)
        for place in places
    )
