"""Discovery of the adapter for an application.

Adapters are found by the entry-point group `jwt_lp.hosts`. So the core imports none of them, and a host need not be
installed.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Protocol, cast

from jwt_lp.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jwt_lp.guard.guard import Guard
    from jwt_lp.guard.routes import Route


class Host(Protocol):
    """The interface of an adapter for the commands and the test fixture."""

    name: str

    def recognises(self, app: object) -> bool:
        """Whether `app` is an application of this host."""
        ...

    def routes(self, app: object) -> Sequence[Route]:
        """Every route with its declaration, whether from the view, from what contains the route, or from settings."""
        ...

    def guard(self, app: object) -> Guard:
        """The application's guard; `ConfigurationError` says what to add if it has none."""
        ...

    def resolve(self, app: object, method: str, path: str) -> tuple[Route, Mapping[str, object]] | None:
        """The route that the host's router chooses, and the parameters that its view would receive; None for none."""
        ...

    def swap_guard(self, app: object, guard: Guard) -> AbstractContextManager[object]:
        """Make `app` use `guard` inside the context."""
        ...

    def login(self, client: object, authorization: str) -> bool:
        """Make a test client of this host send the header from now on; False for any other object."""
        ...


def installed_hosts() -> list[Host]:
    """The adapters whose host is installed, in the order of their entry points' names."""
    hosts: list[Host] = []
    for point in sorted(entry_points(group="jwt_lp.hosts"), key=lambda point: point.name):
        try:
            hosts.append(cast(Host, point.load()))
        except ModuleNotFoundError as error:
            if error.name is None or error.name.split(".")[0].startswith("jwt_lp"):
                raise
    return hosts


def find_host(app: object) -> Host:
    """The adapter that recognises `app`; `ConfigurationError` names the installed hosts if none does."""
    installed = installed_hosts()
    for host in installed:
        if host.recognises(app):
            return host
    names = ", ".join(host.name for host in installed) or "none is installed"
    raise ConfigurationError(f"{type(app).__name__} is not an application of an installed host ({names})")
