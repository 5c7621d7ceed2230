"""A year of recorded usage, a review of it, and a plan that is applied and undone."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from jwt_lp.review import DecisionRule, review
from jwt_lp.review.analysis.decision_rule import DEFAULT_WINDOW_DAYS
from jwt_lp.review.plan.application import apply, undo
from jwt_lp.review.plan.frozen_plan import from_review
from jwt_lp.review.plan.plan_journal import journal_path
from jwt_lp.review.plan.policy_editor import write_atomically
from jwt_lp.review.report import render
from jwt_lp.stores import ObservedGrant, RecordingPeriod, UsageBatch, Use, open_store

_DAY: Final = 86400.0


def record_history(url: str, issuer: str) -> None:
    """Record a year in which dave listed orders every week, and created one 309 and one 300 days ago."""
    now = time.time()

    def use(permission: str, days_ago: int) -> tuple[Use, tuple[int, float]]:
        at = now - days_ago * _DAY
        call = ("", f"views.{permission.partition(':')[2]}", "GET", permission, permission, permission)
        return Use("orders", issuer, "dave", "demo", *call, "granted", _day(at)), (1, at)

    weekly = [use("orders:list", days_ago) for days_ago in range(3, 365, 7)]
    uses = dict([*weekly, use("orders:create", 300), use("orders:create", 309)])
    grants = [ObservedGrant(row.issuer, row.subject, row.client, "", row.grant, row.day) for row in uses]
    period = RecordingPeriod(id="demo", service="orders", started=now - 365 * _DAY, until=now)
    store = open_store(url)
    store.migrate()
    store.record(UsageBatch(id="demo", uses=uses, observed_grants=grants, period=period))
    store.close()


def review_and_apply(url: str, issuer: str, folder: Path) -> tuple[Path, list[str]]:
    """Review that year and apply what the rule alone decides. Returns the plan's journal, and notes to print."""
    store, now = open_store(url), time.time()
    result = review(store, now=_day(now), rule=DecisionRule("fixed", DEFAULT_WINDOW_DAYS), issuer=issuer)
    page = folder / "review.html"
    write_atomically(page, render(result, "html").encode(), mode=0o600)
    plan = from_review(result, now=now)
    write_atomically(folder / "plan.json", plan.encode().encode(), mode=0o600)
    journal = journal_path(folder / "plan.json")
    applied = apply(plan, store, None, journal=journal, now=now, by="demo", even_last_holder=True)
    store.close()
    items = applied.difference.items if applied.difference is not None else ()
    population = result.population
    return journal, [
        f"The review looked at {population.grants} grants of {population.subjects} people. Its page is kept: {page}",
        *(f"Its plan revoked, while the token stayed valid: {item}." for item in items),
    ]


def undo_plan(url: str, journal: Path) -> None:
    """Undo the plan, in one step."""
    store = open_store(url)
    undo(journal, store, now=time.time(), by="demo")
    store.close()


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()
