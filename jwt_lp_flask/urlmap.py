"""The routes of Flask's URL map, with their declarations."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field, replace
from inspect import isclass
from types import MappingProxyType
from typing import Final

from flask import Flask, Request
from werkzeug.routing import Rule

from jwt_lp import Requirement, Route, Rules
from jwt_lp_flask.declarations import (
    ClassParts,
    EffectiveDeclaration,
    ViewDeclaration,
    class_parts,
    declaration_of,
    dotted_name,
    effective_declaration,
)

_PARAMETER: Final = re.compile(r"<(?:\w+(?:\(.*?\))?:)?(\w+)>")
_NOUN: Final = re.compile(r"[A-Za-z][\w.-]*", re.ASCII)
_ACTIONS_BY_METHOD: Final = MappingProxyType({"GET": "read", "HEAD": "read", "POST": "create", "DELETE": "delete"})


@dataclass(frozen=True, slots=True, eq=False)
class EndpointRequirement:
    """The requirement for one method of an endpoint, and what it was read from.

    `route` is the method with the template, `endpoint` the view's dotted name. `declarations` are all those on the
    endpoint. `parts` is None if the view is a function. `groups` are the endpoint's blueprints, or None if the view's
    own declaration makes them irrelevant.
    """

    requirement: Requirement | None
    route: str
    endpoint: str
    declarations: tuple[ViewDeclaration, ...] = ()
    rules: Rules = field(default_factory=Rules)
    view: object = None
    parts: ClassParts | None = None
    groups: tuple[str, ...] | None = None

    def is_current(self, app: Flask, rule: Rule) -> bool:
        """Whether the rule's endpoint still has the view, the declarations and the blueprints that were read."""
        view, parts = app.view_functions.get(rule.endpoint), self.parts
        if view is not self.view:
            return False
        # Flask lets a class be replaced behind the view that `as_view` made.
        if getattr(view, "view_class", None) is not (None if parts is None else parts.cls):
            return False
        if parts is not None and not parts.are_current():
            return False
        return self.groups is None or self.groups == _groups(app, rule.endpoint)


def endpoint_requirement(app: Flask, rules: Rules, rule: Rule, method: str) -> EndpointRequirement:
    """The requirement for `method` of the rule's view, as the view is now."""
    view = app.view_functions.get(rule.endpoint)
    # Read before the declarations: if another thread replaces a part meanwhile, the old one is kept, and not current.
    cls = getattr(view, "view_class", None)
    parts = class_parts(cls, method) if isclass(cls) else None
    groups = _groups(app, rule.endpoint)
    declared = effective_declaration(view, method)
    route = _route_of(view, declared, groups, rules, rule, (method,))
    return EndpointRequirement(
        requirement=route.requirement,
        route=f"{method} {route.template}",
        endpoint=route.endpoint,
        declarations=declared.declarations,
        rules=rules,
        view=view,
        parts=parts,
        groups=groups if declared.requirement is None else None,
    )


def is_automatic_options(request: Request) -> bool:
    """Whether Flask answers this OPTIONS request itself, without the view."""
    return request.method == "OPTIONS" and bool(getattr(request.url_rule, "provide_automatic_options", False))


def route_of(app: Flask, rules: Rules, rule: Rule, methods: tuple[str, ...]) -> Route:
    """The route for methods of a rule that share a declaration, which is on the view, or else in the settings."""
    view = app.view_functions.get(rule.endpoint)
    declared = effective_declaration(view, next(iter(methods), ""))
    return _route_of(view, declared, _groups(app, rule.endpoint), rules, rule, methods)


def routes_of(app: Flask, rules: Rules) -> list[Route]:
    """Every route that calls a view; for a class-based view, one for each method, because declarations may differ."""
    routes: list[Route] = []
    for rule in app.url_map.iter_rules():
        if rule.build_only or rule.redirect_to or rule.websocket:
            continue
        view = app.view_functions.get(rule.endpoint)
        methods = _methods(rule)
        parts: list[tuple[str, ...]] = [(method,) for method in methods] if hasattr(view, "view_class") else []
        routes += [_with_hint(route_of(app, rules, rule, part), view) for part in parts or [methods]]
    return routes


def _route_of(
    view: object,
    declared: EffectiveDeclaration,
    groups: tuple[str, ...],
    rules: Rules,
    rule: Rule,
    methods: tuple[str, ...],
) -> Route:
    route = Route(
        methods=methods,
        template=_PARAMETER.sub(r"{\1}", rule.rule),
        endpoint=dotted_name(view, next(iter(methods), "")),
        requirement=declared.requirement,
        origin=declared.origin,
        names=(rule.endpoint,),
        groups=groups,
        parameters=_parameters(rule),
        faults=tuple(f"{dotted_name(view)}: {fault}" for fault in declared.faults),
    )
    # INVARIANT: settings never open a route whose own declaration has a fault.
    return route if declared.faults else rules.declare(route)


def _parameters(rule: Rule) -> frozenset[str]:
    # Werkzeug annotates it only as `set`.
    return frozenset(map(str, rule.arguments))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]


def _methods(rule: Rule) -> tuple[str, ...]:
    methods = set(rule.methods or ())
    if getattr(rule, "provide_automatic_options", False):
        methods.discard("OPTIONS")
    # HEAD takes the rule of GET.
    return tuple(sorted(methods - {"HEAD"} if "GET" in methods else methods))


def _groups(app: Flask, endpoint: str) -> tuple[str, ...]:
    """The blueprints of the endpoint, the innermost first."""
    parts = endpoint.split(".")[:-1]
    names = (".".join(parts[:size]) for size in range(len(parts), 0, -1))
    return tuple(name for name in names if name in app.blueprints)


def _with_hint(route: Route, view: object) -> Route:
    return route if route.guarded else replace(route, hint=_hint(route, view))


def _hint(route: Route, view: object) -> str:
    if route.endpoint.startswith("flask."):
        return f'"PUBLIC": ["{route.names[0]}"]'
    named = getattr(sys.modules.get(getattr(view, "__module__", "")), getattr(view, "__qualname__", ""), None)
    if declaration_of(named) is not None and getattr(named, "__wrapped__", None) is view:
        return f"move the declaration of {route.endpoint} below the decorator that registers the route"
    method = route.methods[0] if route.methods else "GET"
    nouns = [part for part in route.template.split("/") if _NOUN.fullmatch(part)]
    permission = f"{nouns[-1] if nouns else 'app'}:{_ACTIONS_BY_METHOD.get(method, 'update')}"
    if hasattr(view, "view_class"):
        return f'required_permissions = {{"{method}": "{permission}"}}'
    return f'@requires("{permission}")'
