"""Which host is this application of?

Adapters stand beside the core and are found by the entry-point group `jwt_lp.hosts`, so that the core imports
none of them and a host that is not installed costs nothing.
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
    """What the commands and the test fixture ask of an adapter."""

    name: str

    def recognises(self, app: object) -> bool:
        """Whether `app` is an application of this host."""
        ...

    def routes(self, app: object) -> Sequence[Route]:
        """Every route, with what marks, includes and settings declare for it."""
        ...

    def guard(self, app: object) -> Guard:
        """The application's guard; `ConfigurationError` where there is none, with what to add."""
        ...

    def resolve(self, app: object, method: str, path: str) -> tuple[Route, Mapping[str, object]] | None:
        """The route that the host's own router chooses, and the parameters its view would get."""
        ...

    def swap_guard(self, app: object, guard: Guard) -> AbstractContextManager[object]:
        """Have `app` use `guard` while the context lasts."""
        ...

    def login(self, client: object, authorization: str) -> bool:
        """Have a test client of this host send the header from now on; False for any other object."""
        ...


def installed_hosts() -> list[Host]:
    """The adapters whose host is installed."""
    found: list[Host] = []
    for point in sorted(entry_points(group="jwt_lp.hosts"), key=lambda point: point.name):
        try:
            found.append(cast(Host, point.load()))
        except ModuleNotFoundError as error:
            if error.name is None or error.name.split(".")[0].startswith("jwt_lp"):
                raise
    return found


def find_host(app: object) -> Host:
    """The adapter whose host made `app`; `ConfigurationError` names the hosts that were asked."""
    installed = installed_hosts()
    for host in installed:
        if host.recognises(app):
            return host
    asked = ", ".join(host.name for host in installed) or "none is installed"
    raise ConfigurationError(f"{type(app).__name__} is not an application of an installed host ({asked})")
