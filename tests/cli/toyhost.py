"""A minimal host, found by its entry point, so that the commands are tested without a framework."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from jwt_lp import ConfigurationError, Guard, Route


@dataclass
class ToyApp:
    table: list[Route]
    settings: Mapping[str, object] | None = None
    guard: Guard | None = None

    def __post_init__(self):
        if self.settings is not None:
            self.guard = Guard(self.settings)


class ToyHost:
    name = "toy"

    def recognises(self, app):
        return isinstance(app, ToyApp)

    def routes(self, app):
        return [app.guard.rules.declare(route) for route in app.table]

    def guard(self, app):
        if app.guard is None:
            raise ConfigurationError("the application has no guard: add ToyGuard(app)")
        return app.guard

    def resolve(self, app, method, path):
        for route in app.table:
            mine, theirs = route.template.split("/"), path.split("/")
            if method in route.methods and len(mine) == len(theirs):
                pairs = list(zip(mine, theirs, strict=True))
                if all(one == other or one.startswith("{") for one, other in pairs):
                    return route, {one.strip("{}"): other for one, other in pairs if one.startswith("{")}
        return None

    @contextmanager
    def swap_guard(self, app, guard):
        yield

    def login(self, client, authorization):
        return False


host = ToyHost()
