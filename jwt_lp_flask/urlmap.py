"""The routes of Flask's URL map, with their declarations."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from flask import Flask, Request
from werkzeug.routing import Rule

from jwt_lp import Requirement, Route, Rules
from jwt_lp_flask.declarations import ViewDeclaration, declaration_of, dotted_name, effective_declaration

_PARAMETER: Final = re.compile(r"<(?:\w+(?:\(.*?\))?:)?(\w+)>")
_NOUN: Final = re.compile(r"[A-Za-z][\w.-]*", re.ASCII)
_ACTIONS_BY_METHOD: Final = MappingProxyType({"GET": "read", "HEAD": "read", "POST": "create", "DELETE": "delete"})


@dataclass(frozen=True, slots=True)
class EndpointRequirement:
    """The requirement for requests to an endpoint. `declarations` are all those on the endpoint."""

    requirement: Requirement | None
    template: str
    endpoint: str
    declarations: tuple[ViewDeclaration, ...] = ()


def endpoint_requirement(app: Flask, rules: Rules, rule: Rule, method: str) -> EndpointRequirement:
    """The requirement for `method` of the rule's view, as the view is now."""
    route = route_of(app, rules, rule, (method,))
    declarations = effective_declaration(app.view_functions.get(rule.endpoint), method).declarations
    return EndpointRequirement(route.requirement, route.template, route.endpoint, declarations)


def is_automatic_options(request: Request) -> bool:
    """Whether Flask answers this OPTIONS request itself, without the view."""
    return request.method == "OPTIONS" and bool(getattr(request.url_rule, "provide_automatic_options", False))


def route_of(app: Flask, rules: Rules, rule: Rule, methods: tuple[str, ...]) -> Route:
    """The route for methods of a rule that share a declaration, which is on the view, or else in the settings."""
    view = app.view_functions.get(rule.endpoint)
    method = next(iter(methods), "")
    declared = effective_declaration(view, method)
    route = Route(
        methods=methods,
        template=_PARAMETER.sub(r"{\1}", rule.rule),
        endpoint=dotted_name(view, method),
        requirement=declared.requirement,
        origin=declared.origin,
        names=(rule.endpoint,),
        groups=_groups(app, rule.endpoint),
        parameters=_parameters(rule),
        faults=tuple(f"{dotted_name(view)}: {fault}" for fault in declared.faults),
    )
    # INVARIANT: settings never open a route whose own declaration has a fault.
    return route if declared.faults else rules.declare(route)


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
