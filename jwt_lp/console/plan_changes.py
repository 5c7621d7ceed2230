"""Changes by plans: applied, undone and restored by the same functions as the commands, with notes in the audit trail.

The intent is noted before anything changes, and what came of it afterwards.
"""

from __future__ import annotations

import logging
import re
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from jwt_lp._support.events import log_event
from jwt_lp.console.audit_notes import note, note_done, text_of
from jwt_lp.console.plan_views import Limits, policy_file
from jwt_lp.console.propagation import announce
from jwt_lp.errors import ConfigurationError, JwtLpError, PolicyError, StoreError
from jwt_lp.review.plan import apply, give_notice, restore, send_notice, undo, write_notice
from jwt_lp.review.plan.plan_stages import NOTICE, due_stage
from jwt_lp.review.quantities import count_noun
from jwt_lp.revocation.wanted import MAX_REASON
from jwt_lp.webhooks import WebhookError

if TYPE_CHECKING:
    from collections.abc import Generator

    from jwt_lp.console.forms import Form
    from jwt_lp.console.plan_folder import PlanFolder, StoredPlan
    from jwt_lp.console.state import ConsoleState
    from jwt_lp.review.plan import Notice
    from jwt_lp.stores.audit import Actor

_NUMBER: Final = re.compile(r"[0-9]{1,3}(?:,?[0-9]{3}){0,3}|[0-9]{1,12}")
_LONGEST_WAIT: Final = 20.0
"""Seconds that a receiver may ask to wait; somebody waits for the page."""


class ChangeFailed(JwtLpError):
    """A change may have been begun and not finished: the state of the plan says how far it came."""

    code = "console_change_failed"


def read_number(text: str) -> int:
    """A number that somebody typed, with or without commas; `ConfigurationError` for another text."""
    if _NUMBER.fullmatch(text) is None:
        raise ConfigurationError("write the number in digits")
    return int(text.replace(",", ""))


def make_plan(console: ConsoleState, actor: Actor, folder: PlanFolder, campaign: str) -> None:
    """Write the plan of a closed campaign to the folder. The same campaign gives the same plan."""
    made = console.campaigns.plan(campaign)
    if folder.find(campaign) is None:
        note(console, actor, "planned", campaign, campaign=campaign, plan=made.hash)
    folder.add(campaign, made)


def apply_plan(console: ConsoleState, actor: Actor, stored: StoredPlan, form: Form) -> str:
    """Apply what the form confirms, or give the notice; return what came of it in a sentence.

    `PolicyError` and `ConfigurationError` for the reasons of `apply`, `ChangeFailed` where a part did not answer.
    """
    limits = Limits(read_number(form.get("cap")) if form.get("cap") else None, form.get("even_last_holder") == "yes")
    resumed = stored.status.state == "begun"
    stage = "" if resumed else due_stage(stored.plan.stages, stored.status, console.clock())
    if stage == NOTICE:
        return _give_notice(console, actor, stored, limits)
    confirmed = None if resumed else _confirmed(form)
    said = {"plan": stored.hash, "stage": stage, "confirmed": confirmed, "resumed": resumed, **limits._asdict()}
    with _noted(console, actor, stored, ("applying", "apply_failed"), said):
        done = apply(
            stored.plan,
            console.store,
            policy_file(console, stored.plan),
            journal=stored.journal,
            now=console.clock(),
            by=text_of(actor),
            confirmed=confirmed,
            **limits._asdict(),
        )
    results = {"plan": stored.hash, "stage": done.stage, "entries": done.entries, "policy_edited": done.policy}
    note_done(console, actor, "applied", stored.id, **results, sequence=done.sequence)
    begun = f"The {done.stage} has begun" if done.stage == "trial" else "The plan is applied"
    edited = " The policy file was edited: deploy it." if done.policy else ""
    return f"{begun}: deny entries written: {done.entries:,}.{edited} {announce(console, done.sequence)}"


def undo_plan(console: ConsoleState, actor: Actor, stored: StoredPlan, form: Form) -> str:
    """Undo the plan, if the form confirms it; return what came of it. Errors are those of `apply_plan`."""
    if form.get("sure") != "yes":
        raise ConfigurationError("nothing was undone: tick the box first")
    policy = form.get("leave_policy") != "yes"
    said = {"plan": stored.hash, "leave_policy": not policy}
    with _noted(console, actor, stored, ("undoing", "undo_failed"), said):
        done = undo(stored.journal, console.store, now=console.clock(), by=text_of(actor), policy=policy)
    results = {
        "plan": stored.hash,
        "lifted": len(done.lifted),
        "gone": len(done.gone),
        "policy_restored": bool(done.path),
    }
    note_done(console, actor, "undone", stored.id, **results, sequence=done.sequence)
    restored = " The policy file was restored: deploy it." if done.path else ""
    gone = f" {len(done.gone):,} were gone already." if done.gone else ""
    return f"Undone; deny entries lifted: {len(done.lifted):,}.{gone}{restored} {announce(console, done.sequence)}"


def restore_item(console: ConsoleState, actor: Actor, stored: StoredPlan, form: Form) -> str:
    """Give back what one item revoked, during the trial; return what came of it. Errors are those of `apply_plan`."""
    item, reason = form.get("item"), form.get("reason")
    if len(reason) > MAX_REASON:
        raise ConfigurationError(f"the reason has at most {MAX_REASON} characters")
    if all(item != each.id for each in stored.plan.items):
        raise ConfigurationError("the plan has no such item")
    said = {"plan": stored.hash, "item": item, "reason": reason}
    with _noted(console, actor, stored, ("restoring", "restore_failed"), said):
        done = restore(
            stored.plan,
            item,
            console.store,
            journal=stored.journal,
            now=console.clock(),
            by=text_of(actor),
            reason=reason,
        )
    note_done(console, actor, "restored", stored.id, **said, lifted=done.lifted, sequence=done.sequence)
    return f"Restored. {announce(console, done.sequence)}"


def _confirmed(form: Form) -> int:
    """The number of grants that was shown, if the same number was typed."""
    shown, typed = read_number(form.get("shown")), form.get("confirmed")
    if not typed or read_number(typed) != shown:
        raise ConfigurationError(f"nothing was changed: type the number of grants that would be revoked, {shown:,}")
    return shown


def _give_notice(console: ConsoleState, actor: Actor, stored: StoredPlan, limits: Limits) -> str:
    said: dict[str, Any] = {"plan": stored.hash, "stage": NOTICE, **limits._asdict()}
    ends: list[str] = []

    def tell(notice: Notice) -> None:
        write_notice(notice, f"{stored.path}.notice.csv")
        for webhook in console.webhooks:
            send_notice(notice, partial(webhook.deliver, longest=_LONGEST_WAIT))
        ends.append(notice.ends)

    with _noted(console, actor, stored, ("applying", "apply_failed"), said):
        changes = give_notice(
            stored.plan,
            console.store,
            policy_file(console, stored.plan),
            journal=stored.journal,
            now=console.clock(),
            by=text_of(actor),
            tell=tell,
            **limits._asdict(),
        )
    note_done(console, actor, "noticed", stored.id, **said, items=len(changes.items), ends="".join(ends))
    return f"The notice has begun: {count_noun(len(changes.items), 'item')} end on {''.join(ends)}."


@contextmanager
def _noted(
    console: ConsoleState, actor: Actor, stored: StoredPlan, actions: tuple[str, str], said: dict[str, Any]
) -> Generator[None]:
    """Note the intent, and then a failure. `ChangeFailed` where it is not known that nothing has changed."""
    begun, failed = actions
    if stored.is_strange:
        raise PolicyError("the journal beside this plan belongs to another plan: nothing is changed")
    # INVARIANT: nothing is changed that the audit trail does not announce.
    note(console, actor, begun, stored.id, **said)
    try:
        yield
    except Exception as error:
        note_done(console, actor, failed, stored.id, plan=stored.hash, fault=type(error).__name__)
        if isinstance(error, WebhookError):
            raise ChangeFailed("The notice has not begun, because a webhook did not take it. Try it again.") from error
        if isinstance(error, (StoreError, OSError)):
            # INVARIANT: what a store or a receiver says may name hosts, so nobody is told.
            log_event(
                logging.ERROR, "console-change-failed", {"plan": stored.hash, "action": begun, "detail": str(error)}
            )
            raise ChangeFailed("This was interrupted. The state below says how far it came.") from error
        raise
