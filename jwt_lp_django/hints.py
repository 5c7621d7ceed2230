"""Declarations that a developer could add for routes that have none."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, Final

from jwt_lp import Route
from jwt_lp_django.views import STANDARD_ACTIONS, ViewInfo

_FORMAT_SUFFIX: Final = ".{format}"
_ADMIN: Final = "django.contrib.admin.sites."
_VERBS: Final[Mapping[str, str]] = {
    "GET": "read",
    "POST": "create",
    "PUT": "update",
    "PATCH": "update",
    "DELETE": "delete",
}


def hint_for(view: ViewInfo, path: str, methods: Sequence[str]) -> str:
    """What would declare a route of `view`: for a class that has no rules yet, the same lines for each of its routes.

    The permissions are those of `crud`, named after the last word of the path that is no parameter.
    """
    action = next((name for method in methods if (name := (view.actions or {}).get(method.lower()))), "")
    handler: Any = getattr(view.cls, action, None) if action and action not in STANDARD_ACTIONS else None
    resource = _resource(path, str(getattr(handler, "url_path", "")).count("/") + 1 if handler is not None else 0)
    verbs = [method for method in methods if method in _VERBS] or ["GET"]
    if view.cls is None or view.cls.__qualname__ == "WrappedAPIView":
        return "\n".join(_decorator(f"{resource}:{_VERBS[verb]}", verb) for verb in _in_order(verbs))
    if view.required is not None:
        if action and action not in STANDARD_ACTIONS:
            return f'"{action}": "{resource}:{action}",'
        return f'"{action or verbs[0]}": "{resource}:{_VERBS[verbs[0]]}",'
    if view.actions is not None:
        return f"required_permissions = {_viewset_rules(view.cls, resource)}"
    rules = {verb: f"{resource}:{_VERBS[verb]}" for verb in _in_order(verbs)}
    return f"required_permissions = {json.dumps(rules)}"


def _resource(path: str, words_of_action: int) -> str:
    """The last word of the path that is no parameter; the path of an extra action is left out."""
    segments = [segment for segment in path.replace(_FORMAT_SUFFIX, "").split("/") if segment]
    kept = segments[: len(segments) - words_of_action]
    return next((segment for segment in reversed(kept) if "{" not in segment), "root")


def _in_order(verbs: Sequence[str]) -> list[str]:
    return [verb for verb in _VERBS if verb in verbs]


def _decorator(permission: str, verb: str) -> str:
    return f'@requires("{permission}")' if verb == "GET" else f'@requires("{permission}", methods=("{verb}",))'


def _viewset_rules(cls: Any, resource: str) -> str:
    extra = [action.__name__ for action in cls.get_extra_actions()] if hasattr(cls, "get_extra_actions") else []
    rules = {name: f"{resource}:{name}" for name in sorted(extra)}
    if not any(hasattr(cls, name) for name in STANDARD_ACTIONS):
        return json.dumps(rules)
    return f'crud("{resource}")' + (f" | {json.dumps(rules)}" if rules else "")


def summarise_admin(routes: Sequence[Route]) -> list[Route]:
    """The routes, with one in place of all undeclared ones of each site of Django's admin, which one line declares."""
    sites = {route.groups[-1] for route in routes if route.groups and route.endpoint.startswith(_ADMIN)}

    def site_of(route: Route) -> str:
        return next((group for group in route.groups if group in sites), "") if not route.guarded else ""

    summarised: list[Route] = []
    for site, group in groupby(routes, site_of):
        members = list(group)
        if not site or any(route.faults for route in members):
            summarised += members
            continue
        summarised.append(
            replace(
                members[0],
                endpoint=f"Django's admin, {len(members)} routes",
                hint=f'JWT_LP = {{..., "EXTERNAL": {{"{site}": "session login of Django\'s admin"}}}}',
            )
        )
    return summarised
