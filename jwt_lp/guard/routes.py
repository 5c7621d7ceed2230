"""Routes and their declarations.

An adapter reads its host's routes into `Route` values; `Rules` holds what the settings declare for routes. The start-up
check, the listing of routes and the refusal of routes without a declaration use both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from jwt_lp.errors import ConfigurationError
from jwt_lp.permissions.requirements import PUBLIC, Open, Requirement, external


@dataclass(frozen=True, slots=True)
class Route:
    """One route of a host, with its declaration.

    `template` is the full path template, mounts included; `endpoint` is the view's dotted name. `names` are the host's
    names for the route itself, `groups` those of its namespaces, blueprints or mounts. `requirement` is None without a
    declaration; `origin` says where the declaration is. `parameters` are the names in the template, or None if the
    host does not tell. `hint` is a line that would declare the route. `faults` are the faults of the declaration
    itself.
    """

    methods: tuple[str, ...]
    template: str
    endpoint: str
    requirement: Requirement | None = None
    origin: str = ""
    names: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    parameters: frozenset[str] | None = None
    hint: str = ""
    faults: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The methods and the template, for people."""
        return f"{','.join(self.methods) or '*'} {self.template}"

    @property
    def kind(self) -> Literal["requirement", "authenticated", "public", "external", "undeclared"]:
        """The kind of declaration; `authenticated` requires a token and no permission."""
        if self.requirement is None:
            return "undeclared"
        if isinstance(self.requirement, Open):
            return "public" if self.requirement.reason is None else "external"
        return "requirement" if self.requirement.permissions else "authenticated"

    @property
    def guarded(self) -> bool:
        """Whether the route has a declaration."""
        return self.requirement is not None

    def all_faults(self) -> tuple[str, ...]:
        """The faults of the declaration, and a fault for each name in it that is no parameter of the route."""
        if self.requirement is None or self.parameters is None:
            return self.faults
        unknown = sorted(self.requirement.names - self.parameters)
        known = ", ".join(sorted(self.parameters)) or "none"
        return self.faults + tuple(
            f"{self.label}: {self.requirement} reads {name}, but the route's parameters are: {known}"
            for name in unknown
        )


class Rules(NamedTuple):
    """Declarations from the settings: `EXTERNAL` and `PUBLIC` rules, each a path prefix (leading `/`) or a name."""

    entries: tuple[tuple[str, Open], ...] = ()

    @classmethod
    def of(cls, external_rules: Mapping[str, str], public_rules: Sequence[str]) -> Rules:
        """Read both settings; `ConfigurationError` lists every fault."""
        faults: list[str] = []
        entries: list[tuple[str, Open]] = []
        for rule, reason in external_rules.items():
            try:
                entries.append((rule, external(reason)))
            except ConfigurationError as error:
                faults.append(f"EXTERNAL[{rule!a}]: {error}")
        entries += [(rule, PUBLIC) for rule in public_rules]
        faults += [
            f"the rule {rule!a} would open everything: name a prefix below it"
            for rule, _ in entries
            if not rule.strip("/")
        ]
        faults += [
            f"the rule {rule!a} is in both EXTERNAL and PUBLIC" for rule in external_rules if rule in public_rules
        ]
        if faults:
            raise ConfigurationError(*faults)
        return cls(tuple(entries))

    def declare(self, route: Route) -> Route:
        """The route with the rules' declaration, unless it has one of its own, even a faulty one."""
        if route.requirement is not None or route.faults or not self.entries:
            return route
        matches = [(rule, requirement) for rule, requirement in self.entries if _matches(rule, route)]
        if len({requirement for _, requirement in matches}) > 1:
            # INVARIANT: rules that contradict each other declare nothing, so requests to the route are refused.
            rules = ", ".join(ascii(rule) for rule, _ in matches)
            return replace(route, faults=(*route.faults, f"{route.label}: the rules {rules} contradict each other"))
        if not matches:
            return route
        rule, requirement = matches[0]
        setting = "PUBLIC" if requirement.reason is None else "EXTERNAL"
        return replace(route, requirement=requirement, origin=f"{setting} {rule}")

    def unmatched(self, routes: Sequence[Route]) -> tuple[str, ...]:
        """The rules that match none of these routes."""
        return tuple(rule for rule, _ in self.entries if not any(_matches(rule, route) for route in routes))

    def faults(self, routes: Iterable[Route]) -> tuple[str, ...]:
        """A fault for each rule that matches no route, and for each name that is ambiguous."""
        routes = list(routes)
        faults = [f"the rule {rule!a} matches no route: correct or remove it" for rule in self.unmatched(routes)]
        for rule, _ in self.entries:
            if any(rule in route.names for route in routes) and any(rule in route.groups for route in routes):
                faults.append(f"the rule {rule!a} is the name of a route and of a namespace: use a path prefix")
            elif len({route.endpoint for route in routes if rule in route.names}) > 1:
                faults.append(f"the rule {rule!a} is the name of several routes: use a path prefix")
        return tuple(faults)


def _matches(rule: str, route: Route) -> bool:
    if not rule.startswith("/"):
        return rule in route.names or rule in route.groups
    # Leading slashes count: a template below a host begins with two slashes and the host's name.
    prefix = rule.rstrip("/").split("/")
    return route.template.rstrip("/").split("/")[: len(prefix)] == prefix


def route_faults(
    routes: Sequence[Route], rules: Rules, requirement_faults: Callable[[Requirement], Iterable[str]]
) -> tuple[str, ...]:
    """Every fault of the declarations and rules of a host's routes, each once."""
    faults = [fault for route in routes for fault in route.all_faults()]
    for requirement in dict.fromkeys(route.requirement for route in routes if route.requirement is not None):
        faults += requirement_faults(requirement)
    return tuple(dict.fromkeys((*faults, *rules.faults(routes))))


def enforcement_points(routes: Sequence[Route]) -> Iterator[tuple[str, str, str]]:
    """Endpoint, method and requirement of every route that requires a token."""
    for route in routes:
        if route.requirement is not None and route.requirement.requires_token:
            for method in route.methods or ("*",):
                yield route.endpoint, method, str(route.requirement)
