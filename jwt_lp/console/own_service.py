"""Service of the console itself, under which its guard records usage and enforcement points."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jwt_lp_starlette import guard_from

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection


def own_service(request: HTTPConnection) -> str:
    """The name of the service, as the store has it."""
    settings = guard_from(request.app).settings
    return settings.service or min(settings.issuers[0].audience)
