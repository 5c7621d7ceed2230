"""Addresses of the console: paths below the place where it is mounted, and paths to come back to.

None of them has a host, so no header of a request gets into a link.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from starlette.routing import NoMatchFound

if TYPE_CHECKING:
    from collections.abc import MutableMapping, Sequence

    from starlette.requests import Request

ROOT_KEY: Final = "jwt_lp.console.root"
"""The key of the scope for the path at which the console is mounted; a mount inside the console does not change it."""

_PATH: Final = "/:@!$&'()*+,;=-._~"
_QUERY: Final = "/:@!$&()*+,;=-._~?%"


def root_of(scope: MutableMapping[str, Any]) -> str:
    """The path at which the console is mounted, without a slash at the end."""
    root: str = scope.get(ROOT_KEY, "")
    return root.rstrip("/")


def url_of(request: Request, route: str, **parameters: object) -> str:
    """The path of a route with these parameters, below the place where the console is mounted.

    Parameters that the path does not have go into the query; None is left out.
    """
    in_path = _path_parameters(request, route)
    path = request.app.url_path_for(route, **{name: parameters[name] for name in in_path})
    query = {name: value for name, value in parameters.items() if name not in in_path and value is not None}
    return f"{root_of(request.scope)}{path}" + (f"?{urlencode(query, doseq=True)}" if query else "")


def page_of(scope: MutableMapping[str, Any]) -> str:
    """The path and the query of a request, as a link has them. Every other character is encoded."""
    query: bytes = scope.get("query_string", b"")
    # INVARIANT: one slash at the beginning, because an address that begins with two names another host.
    path = "/" + quote(scope["path"], safe=_PATH).lstrip("/")
    return path + (f"?{quote(query.decode('latin-1'), safe=_QUERY)}" if query else "")


def sign_in_target(url: str, page: str) -> str:
    """The address of a sign-in page that leads back to `page`."""
    return f"{quote(url, safe=_QUERY)}{'&' if '?' in url else '?'}{urlencode({'next': page})}"


def safe_next(value: str, otherwise: str) -> str:
    """`value` if it is a path on this host, otherwise `otherwise`: a link must not lead to another site."""
    # INVARIANT: browsers take a backslash for a slash, and remove tabs and line ends before they read an address.
    local = value.startswith("/") and not value.startswith("//") and "\\" not in value and value.isprintable()
    return value if local and value.isascii() and " " not in value else otherwise


def _path_parameters(request: Request, name: str) -> frozenset[str]:
    routes: Sequence[Any] = request.app.routes
    *mounts, last = name.split(":")
    for mount in mounts:
        routes = next((each.routes for each in routes if each.name == mount), ())
    for route in routes:
        if route.name == last:
            return frozenset(route.param_convertors)
    raise NoMatchFound(name, {})
