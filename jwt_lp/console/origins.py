"""Where a request comes from: a page of the console, or of another origin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jwt_lp.guard.decisions import Call
from jwt_lp.guard.same_origin import origin_fault
from jwt_lp_starlette import guard_from

if TYPE_CHECKING:
    from starlette.requests import Request


def call_of(request: Request) -> Call:
    """The request as the guard's checks read it."""

    def field(name: str) -> tuple[str, ...]:
        return tuple(request.headers.getlist(name))

    peer = request.client.host if request.client is not None else None
    return Call(request.method, lambda: str(request.url), field, "jwt_lp.console", peer, request.url.path)


def is_foreign(request: Request) -> bool:
    """Whether a page of another origin may have sent it; a browser that says nothing about it counts as foreign."""
    cookies = guard_from(request.app).cookies
    return bool(origin_fault(call_of(request), origins=cookies.origins, schemes=cookies.schemes, needed="any"))
