"""Navigation: the entries at the top of each page, for what the person may see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp.console.addresses import root_of
from jwt_lp.permissions.requirements import any_of
from jwt_lp_starlette import can

if TYPE_CHECKING:
    from starlette.requests import Request

READ: Final = "jwt-lp:review:read"
DECIDE: Final = "jwt-lp:review:decide"
APPLY: Final = "jwt-lp:review:apply"
APPROVE: Final = "jwt-lp:elevation:approve"
REVOKE: Final = "jwt-lp:revocation:write"


class NavigationEntry(NamedTuple):
    """One entry: the route's name, the shown text, and whether the page that is shown is below it."""

    route: str
    label: str
    current: bool


# Route, text, who sees it, and the first segments of the paths that belong to it.
_ENTRIES: Final = (
    ("overview", "Overview", (READ, DECIDE, APPROVE), ("",)),
    ("campaigns", "Campaigns", (READ, DECIDE), ("campaigns",)),
    ("search", "Find", (READ,), ("search", "subject", "role", "permission", "client")),
    ("routes", "Routes", (READ,), ("routes",)),
    ("plans", "Plans", (READ, APPLY), ("plans",)),
    ("elevations", "Elevations", (APPROVE, READ), ("elevations",)),
    ("revocations", "Revocations", (READ, REVOKE), ("revocations",)),
    ("audit", "Audit", (READ,), ("audit",)),
)


def navigation(request: Request) -> list[NavigationEntry]:
    """The entries for whoever sent `request`; none if nobody is signed in."""
    names = {getattr(route, "name", "") for route in request.app.routes}
    path = request.scope["path"].removeprefix(root_of(request.scope))
    first = path.lstrip("/").partition("/")[0]
    return [
        NavigationEntry(route, label, first in below)
        for route, label, permissions, below in _ENTRIES
        if route in names and can(request, any_of(*permissions))
    ]
