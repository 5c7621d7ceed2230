"""Elevations: requests that wait for a decision, what is held for a bounded time, and what was decided."""

from __future__ import annotations

from http import HTTPStatus
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.routing import Route

from jwt_lp import ANONYMOUS, all_of, any_of
from jwt_lp.console.answers import page, see_other
from jwt_lp.console.audit_notes import note_done
from jwt_lp.console.forms import form_of
from jwt_lp.console.navigation import APPROVE, READ
from jwt_lp.console.state import actor_of, console_of
from jwt_lp.elevation.identities import Operator
from jwt_lp.elevation.refusals import refusal_of
from jwt_lp.elevation.requests import is_id
from jwt_lp.errors import ElevationError
from jwt_lp.stores.elevations import ElevationFilter
from jwt_lp_starlette import can, enforce, requires, token_from

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.requests import Request
    from starlette.responses import Response

    from jwt_lp.console.forms import Form
    from jwt_lp.console.state import ConsoleState
    from jwt_lp.stores.elevations import Elevation
    from jwt_lp.tokens.claims import AccessToken

PAGE: Final = 60

_LISTS: Final = {
    "waiting": "Waiting for you",
    "held": "Held now",
    "unreviewed": "Taken without approval, not reviewed",
    "own": "Your own",
    "history": "History",
}
_DONE: Final = {"approve": "approved", "deny": "denied", "end": "ended", "review": "reviewed"}


def routes() -> list[Route]:
    """The routes of this module."""
    return [
        Route("/elevations", elevations, name="elevations"),
        Route("/elevations/{id}", elevation, name="elevation"),
        Route("/elevations/{id}/{action}", decide, name="elevation_decide", methods=["POST"]),
    ]


@requires(any_of(APPROVE, READ))
async def elevations(request: Request) -> Response:
    """List elevations: those that wait for the person, by default."""
    return await run_in_threadpool(_list, request)


@requires(any_of(APPROVE, READ))
async def elevation(request: Request) -> Response:
    """Show one elevation with its steps, and what the person may do about it."""
    return await run_in_threadpool(_show, request)


@requires(APPROVE)
async def decide(request: Request) -> Response:
    """Approve, deny, end or review an elevation."""
    form = await form_of(request)
    return await run_in_threadpool(_decide, request, form)


def _list(request: Request) -> Response:
    which, after = request.query_params.get("list", "waiting"), request.query_params.get("after", "")
    # Only whoever sees all of it has the history, because the others would have most of it read in vain.
    lists = {key: label for key, label in _LISTS.items() if key != "history" or can(request, READ)}
    if which not in lists or (after and not is_id(after)):
        raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such list.")
    console, who = console_of(request), _who(request)
    found = list(islice(_found(request, console, who, which, after), PAGE + 1))
    context = {
        "lists": lists,
        "list": which,
        "found": found[:PAGE],
        "next": found[PAGE - 1].id if len(found) > PAGE else None,
        "now": console.clock(),
        "is_operator": isinstance(who, Operator),
    }
    return page(request, "elevations.html", context)


def _found(
    request: Request, console: ConsoleState, who: AccessToken | Operator, which: str, after: str
) -> Iterator[Elevation]:
    """The elevations of a list that the person may see."""
    engine, now, limit = console.elevations, console.clock(), PAGE + 1
    if which == "own":
        return iter(engine.elevations_of(who, after=after, limit=limit))
    if which == "waiting" and not isinstance(who, Operator):
        return iter(engine.waiting_for(who, after=after, limit=limit))
    sees_all = can(request, READ)
    wanted = ElevationFilter(
        open_at=now if which == "waiting" else None,
        held_at=now if which == "held" else None,
        unreviewed=which == "unreviewed",
        newest_first=which == "history",
        after=after or None,
        limit=limit if sees_all else None,
    )
    return (each for each in console.store.elevations(wanted) if sees_all or engine.may_see(who, each))


def _show(request: Request, *, fault: str = "", status: int = HTTPStatus.OK) -> Response:
    console, who = console_of(request), _who(request)
    found = _find(request, console, who)
    engine, now = console.elevations, console.clock()
    state = found.state(now)
    acts = can(request, APPROVE)
    operator = acts and isinstance(who, Operator)
    decides = acts and not isinstance(who, Operator) and engine.may_decide(who, found)
    ends = acts and (isinstance(who, Operator) or engine.may_end(who, found))
    context = {
        "elevation": found,
        "state": state,
        "steps": console.store.elevation_steps(found.id),
        "rule": console.policy.elevation_rule(found.permission),
        "fault": fault,
        "is_operator": isinstance(who, Operator),
        "may_approve": decides and state == "requested",
        "may_deny": (decides or operator) and state == "requested",
        "may_end": ends and state in ("requested", "approved"),
        "may_review": (decides or operator)
        and found.break_glass
        and found.reviewed_at is None
        and found.since is not None,
    }
    return page(request, "elevation.html", context, status)


def _decide(request: Request, form: Form) -> Response:
    console, who, action = console_of(request), _who(request), request.path_params["action"]
    if action not in _DONE:
        raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such step.")
    seen = _find(request, console, who)
    rule = console.policy.elevation_rule(seen.permission)
    if rule is not None and action != "end" and not isinstance(who, Operator):
        # So that a review sees that the permission to decide is used; observe mode lets nobody decide.
        enforce(request, all_of(rule.approve, enforce=True))
    try:
        changed = _step(console, who, action, seen.id, form)
    except ElevationError as error:
        refused = refusal_of(error)
        return _show(request, fault=refused.description, status=refused.status)
    note_done(
        console,
        actor_of(request),
        _DONE[action],
        seen.id,
        permission=seen.permission,
        issuer=seen.issuer,
        subject=seen.subject,
        digest=seen.digest,
        reason=form.get("reason"),
    )
    notice = f"{_DONE[action].capitalize()}."
    if action == "approve" and changed.since is None:
        notice = f"Approved. {changed.needed - changed.approvals} more needed."
    return see_other(request, "elevation", id=seen.id, notice=notice)


def _step(console: ConsoleState, who: AccessToken | Operator, action: str, elevation_id: str, form: Form) -> Elevation:
    engine, reason = console.elevations, form.get("reason")
    if action == "approve":
        # INVARIANT: an approval names what was seen on the page, not what is stored now.
        return engine.approve(who, elevation_id, digest=form.get("digest"), reason=reason)
    steps: dict[str, Callable[..., Elevation]] = {"deny": engine.deny, "end": engine.end, "review": engine.review}
    return steps[action](who, elevation_id, reason=reason)


def _find(request: Request, console: ConsoleState, who: AccessToken | Operator) -> Elevation:
    """The elevation of the path; 404 for one that the person may not see, as for one that there is not."""
    elevation_id: Any = request.path_params["id"]
    found = console.store.elevation(elevation_id) if is_id(elevation_id) else None
    if found is None or not (can(request, READ) or console.elevations.may_see(who, found)):
        raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such elevation here.")
    return found


def _who(request: Request) -> AccessToken | Operator:
    """Who acts on elevations: the bearer of the token; in a console on one's own machine, an operator of the store."""
    actor = actor_of(request)
    # INVARIANT: a token of the console itself approves nothing, because it does not say what its operator holds.
    return Operator("", actor.subject) if not actor.issuer else token_from(request) or ANONYMOUS
