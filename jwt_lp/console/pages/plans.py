"""Plans: what closed campaigns decided, shown, applied and undone as the commands do it."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from jwt_lp import any_of
from jwt_lp.console import plan_changes, plan_views
from jwt_lp.console.answers import page, see_other
from jwt_lp.console.forms import form_of
from jwt_lp.console.navigation import APPLY, READ
from jwt_lp.console.plan_folder import is_plan_id
from jwt_lp.console.plan_views import Difference, Limits
from jwt_lp.console.state import actor_of, console_of
from jwt_lp.errors import CampaignUnknown, ConfigurationError, PolicyError
from jwt_lp.review.plan import PolicyFileChanged, in_trial, verify, write_handoffs
from jwt_lp_starlette import can, requires

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from jwt_lp.console.forms import Form
    from jwt_lp.console.plan_folder import PlanFolder, StoredPlan
    from jwt_lp.console.state import ConsoleState
    from jwt_lp.stores.audit import Actor
    from jwt_lp.stores.campaigns import Campaign


def routes() -> list[Route]:
    """The routes of this module."""
    return [
        Route("/plans", plans, name="plans"),
        Route("/plans/{id}", plan, name="plan"),
        Route("/plans/{id}/make", plan_make, name="plan_make", methods=["POST"]),
        Route("/plans/{id}/apply", plan_apply, name="plan_apply", methods=["POST"]),
        Route("/plans/{id}/undo", plan_undo, name="plan_undo", methods=["POST"]),
        Route("/plans/{id}/restore", plan_restore, name="plan_restore", methods=["POST"]),
        Route("/plans/{id}/verify", plan_verify, name="plan_verify"),
        Route("/plans/{id}/handoff.csv", plan_handoff, name="plan_handoff"),
        Route("/plans/{id}/file", plan_file, name="plan_file"),
    ]


@requires(any_of(READ, APPLY))
async def plans(request: Request) -> Response:
    """List the plans of the folder, and the closed campaigns that have none yet."""
    return page(request, "plans.html", await run_in_threadpool(_read_plans, console_of(request)))


@requires(any_of(READ, APPLY))
async def plan(request: Request) -> Response:
    """Show one plan: what it would change, what was done with it, and what can be done now."""
    return await run_in_threadpool(_show, request)


@requires(APPLY)
async def plan_make(request: Request) -> Response:
    """Write the plan of a closed campaign to the folder."""
    return await run_in_threadpool(_make, request, console_of(request))


@requires(APPLY)
async def plan_apply(request: Request) -> Response:
    """Apply the plan, or begin the stage of it that is due."""
    return await _change(request, plan_changes.apply_plan)


@requires(APPLY)
async def plan_undo(request: Request) -> Response:
    """Undo the plan."""
    return await _change(request, plan_changes.undo_plan)


@requires(APPLY)
async def plan_restore(request: Request) -> Response:
    """Give back one item of a plan during its trial."""
    return await _change(request, plan_changes.restore_item)


@requires(any_of(READ, APPLY))
async def plan_verify(request: Request) -> Response:
    """Show whether the grants that the plan revoked stay revoked."""
    return await run_in_threadpool(_verify, request, console_of(request))


@requires(any_of(READ, APPLY))
async def plan_handoff(request: Request) -> Response:
    """Send the list of the grants that the issuers must revoke too, as CSV."""
    return await run_in_threadpool(_handoff, request, console_of(request))


@requires(any_of(READ, APPLY))
async def plan_file(request: Request) -> Response:
    """Send the plan file, which `jwt-lp apply` reads."""
    return await run_in_threadpool(_file, request, console_of(request))


async def _change(request: Request, change: Callable[[ConsoleState, Actor, StoredPlan, Form], str]) -> Response:
    """Make a change by a form, and show the plan with what came of it."""
    form = await form_of(request)
    return await run_in_threadpool(_change_now, request, form, change)


def _change_now(
    request: Request, form: Form, change: Callable[[ConsoleState, Actor, StoredPlan, Form], str]
) -> Response:
    console, actor, plan_id = console_of(request), actor_of(request), _id(request)
    stored = _find(console, plan_id, fresh=True)
    if form.get("seen") != plan_views.state_mark(stored):
        stale = "Nothing was changed: somebody did something with this plan since the page was shown. Look at it again."
        return _show(request, fault=stale, status=HTTPStatus.CONFLICT)
    try:
        notice = change(console, actor, stored, form)
    except (PolicyError, ConfigurationError) as error:
        lines = error.lines if isinstance(error, PolicyFileChanged) else ()
        return _show(request, fault=plan_views.message_of(console, error), diff=lines, status=HTTPStatus.CONFLICT)
    except plan_changes.ChangeFailed as error:
        return _show(request, fault=str(error), status=HTTPStatus.SERVICE_UNAVAILABLE)
    return see_other(request, "plan", id=plan_id, notice=notice)


def _read_plans(console: ConsoleState) -> dict[str, Any]:
    folder = console.plan_folder
    listed = () if folder is None else folder.list()
    known = {each.id for each in listed}
    waiting = [each for each in console.campaigns.list() if each.closed_at is not None and each.id not in known]
    names = {each.id: each.name for each in console.campaigns.list()}
    return {
        "plans": listed,
        "waiting": waiting,
        "names": names,
        "has_folder": folder is not None,
        "state_words": plan_views.STATES,
    }


def _show(request: Request, *, fault: str = "", diff: tuple[str, ...] = (), status: int = HTTPStatus.OK) -> Response:
    console, plan_id = console_of(request), _id(request)
    stored = _find_or_none(console, plan_id)
    campaign = _campaign(console, plan_id)
    if stored is None:
        if campaign is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such plan.")
        return page(
            request, "plan_missing.html", {"campaign": campaign, "has_folder": console.plans is not None}, status
        )
    limits, faults = _read_limits(request)
    changes = _difference(request, console, stored, limits) if not faults else Difference(fault=faults)
    context = {
        "plan": stored,
        "campaign": campaign,
        "seen": plan_views.state_mark(stored),
        "fault": fault,
        "diff": plan_views.cut(diff),
        "changes": changes,
        "limits": limits,
        "trial": plan_views.cut(plan_views.trial_items(stored)),
        "in_trial": in_trial(stored.status),
        "steps": plan_views.cut(reversed(stored.steps)),
        "stages": ", ".join(f"{stage.name} of {stage.days} days" for stage in stored.plan.stages) or "at once",
        "policy_file": getattr(plan_views.policy_file(console, stored.plan), "name", ""),
        "may_apply": can(request, APPLY),
        "state_words": plan_views.STATES,
        "step_words": plan_views.STEPS,
        "stage_titles": plan_views.TITLES,
        "stage_buttons": plan_views.BUTTONS,
    }
    return page(request, "plan.html", context, status)


def _difference(request: Request, console: ConsoleState, stored: StoredPlan, limits: Limits) -> Difference | None:
    """What the plan would change now; None where that is of no use, or was not asked for and takes seconds."""
    state = stored.status.state
    if stored.is_strange or state in ("begun", "undoing") or (state == "applied" and not in_trial(stored.status)):
        return None
    asked = request.query_params.get("show") == "1"
    if len(stored.plan.items) > plan_views.MAX_AT_ONCE and not asked:
        return None
    return plan_views.difference(console, stored, limits)


def _read_limits(request: Request) -> tuple[Limits, str]:
    """The limits in the query, and what is wrong with them."""
    text = request.query_params.get("cap", "").strip()
    last = request.query_params.get("even_last_holder") == "yes"
    try:
        return Limits(plan_changes.read_number(text) if text else None, last), ""
    except ConfigurationError as error:
        return Limits(None, last), str(error)


def _make(request: Request, console: ConsoleState) -> Response:
    plan_id, folder, actor = _id(request), console.plan_folder, actor_of(request)
    if folder is None:
        raise HTTPException(HTTPStatus.CONFLICT, "This console has no folder for plans.")
    plan_changes.make_plan(console, actor, folder, plan_id)
    return see_other(request, "plan", id=plan_id, notice="The plan is made. Nothing is changed yet.")


def _verify(request: Request, console: ConsoleState) -> Response:
    stored = _find(console, _id(request))
    try:
        with plan_views.one_at_a_time():
            outcomes = verify(stored.plan, stored.journal, console.store)
    except PolicyError as error:
        raise HTTPException(HTTPStatus.CONFLICT, plan_views.message_of(console, error)) from None
    ordered = sorted(outcomes, key=lambda outcome: (outcome.is_effective, not outcome.is_regret))
    context = {
        "plan": stored,
        "campaign": _campaign(console, stored.id),
        "outcomes": plan_views.cut(ordered),
        "effective": sum(outcome.is_effective for outcome in outcomes),
        "refused": sum(bool(outcome.refused) for outcome in outcomes),
        "regrets": sum(outcome.is_regret for outcome in outcomes),
    }
    return page(request, "plan_verify.html", context)


def _handoff(request: Request, console: ConsoleState) -> Response:
    stored = _find(console, _id(request))
    try:
        text = write_handoffs(plan_views.current_handoffs(console, stored), "csv")
    except PolicyError as error:
        raise HTTPException(HTTPStatus.CONFLICT, plan_views.message_of(console, error)) from None
    return _download(text, f"{stored.id}.handoff.csv", "text/csv; charset=utf-8")


def _file(request: Request, console: ConsoleState) -> Response:
    plan_id = _id(request)
    stored = _find_or_none(console, plan_id)
    made = console.campaigns.plan(plan_id) if stored is None else stored.plan
    return _download(made.encode(), f"{plan_id}.plan", "application/json")


def _download(text: str, name: str, kind: str) -> Response:
    # The name has letters, digits, points, dashes and low lines only (`PlanFolder.path`).
    return Response(text, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})


def _id(request: Request) -> str:
    plan_id: str = request.path_params["id"]
    return plan_id


def _find(console: ConsoleState, plan_id: str, *, fresh: bool = False) -> StoredPlan:
    stored = _find_or_none(console, plan_id, fresh=fresh)
    if stored is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such plan.")
    return stored


def _find_or_none(console: ConsoleState, plan_id: str, *, fresh: bool = False) -> StoredPlan | None:
    folder: PlanFolder | None = console.plan_folder
    if not is_plan_id(plan_id):
        raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such plan.")
    try:
        return None if folder is None else folder.find(plan_id, fresh=fresh)
    except ConfigurationError as error:
        raise HTTPException(
            HTTPStatus.CONFLICT, f"This plan cannot be used: {plan_views.message_of(console, error)}."
        ) from None


def _campaign(console: ConsoleState, plan_id: str) -> Campaign | None:
    try:
        return console.campaigns.get(plan_id)
    except CampaignUnknown:
        return None
