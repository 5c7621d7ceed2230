"""Pages of a subject, a client, a role and a permission: what is held, by which way, and when it was used."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

from jwt_lp.console.answers import page, url_of
from jwt_lp.console.holder_facts import ROWS, read_holder
from jwt_lp.console.navigation import READ
from jwt_lp.console.parameters import page_parameter, text_parameter
from jwt_lp.console.permission_facts import read_permission
from jwt_lp.console.role_facts import read_role
from jwt_lp.console.state import console_of
from jwt_lp.stores.lookups import FoundHolder
from jwt_lp_starlette import requires

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from jwt_lp.console.holder_facts import HolderKind


def routes() -> list[Route]:
    """The routes of this module."""
    return [
        Route("/subject", subject, name="subject"),
        Route("/client", client, name="client"),
        Route("/role", role, name="role"),
        Route("/permission", permission, name="permission"),
    ]


@requires(READ)
async def subject(request: Request) -> Response:
    """Show a subject: 404 if the store does not know it."""
    return await _holder(request, "subject")


@requires(READ)
async def client(request: Request) -> Response:
    """Show a client: 404 if the store does not know it."""
    return await _holder(request, "client")


async def _holder(request: Request, of: HolderKind) -> Response:
    issuer = text_parameter(request, "issuer", required=True)
    name = text_parameter(request, "name", required=True)
    number = page_parameter(request)
    console = console_of(request)
    facts = await run_in_threadpool(read_holder, console, of, issuer, name, page=number)
    context = {
        "facts": facts,
        "person": console.people.get(name) if of == "subject" else None,
        "now": console.clock(),
        **_pages(request, of, number, facts.held, issuer=issuer, name=name),
    }
    return page(request, "holder.html", context, _status(known=facts.is_known))


@requires(READ)
async def role(request: Request) -> Response:
    """Show a role: 404 if neither the policy nor the store knows it."""
    name = text_parameter(request, "name", required=True)
    number = page_parameter(request)
    facts = await run_in_threadpool(read_role, console_of(request), name, page=number, after=_after(request))
    context = {
        "facts": facts,
        "next_url": _next(request, "role", name, facts.members) if facts.more else "",
        **_pages(request, "role", number, facts.granted, name=name),
    }
    return page(request, "role.html", context, _status(known=facts.is_known))


@requires(READ)
async def permission(request: Request) -> Response:
    """Show a permission: 404 if neither the policy nor the store knows it."""
    name = text_parameter(request, "name", required=True)
    facts = await run_in_threadpool(read_permission, console_of(request), name, after=_after(request))
    context = {"facts": facts, "next_url": _next(request, "permission", name, facts.holders) if facts.more else ""}
    return page(request, "permission.html", context, _status(known=facts.is_known))


def _pages(request: Request, route: str, number: int, total: int, **parameters: str) -> dict[str, str]:
    """The addresses of the next and the previous page of grants, "" for none."""
    more = (number + 1) * ROWS < total
    return {
        "next_grants": url_of(request, route, **parameters, page=number + 1) if more else "",
        "previous_grants": url_of(request, route, **parameters, page=number - 1) if number else "",
    }


def _status(*, known: bool) -> HTTPStatus:
    return HTTPStatus.OK if known else HTTPStatus.NOT_FOUND


def _after(request: Request) -> FoundHolder | None:
    """The holder behind whom the page begins; None for the first page."""
    parts = FoundHolder(*(text_parameter(request, f"after_{name}") for name in FoundHolder._fields))
    return parts if any(parts) else None


def _next(request: Request, route: str, name: str, holders: Sequence[FoundHolder]) -> str:
    after = {f"after_{key}": value for key, value in holders[-1]._asdict().items() if value}
    return url_of(request, route, name=name, **after)
