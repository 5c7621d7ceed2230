"""What does the demo review, revoke and restore?"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from jwt_lp.review import DecisionRule, review
from jwt_lp.review.analysis import DEFAULT_WINDOW_DAYS
from jwt_lp.review.plan import apply, from_review, journal_path, undo, write_atomically
from jwt_lp.review.report import render
from jwt_lp.stores import ObservedGrant, RecordingPeriod, UsageBatch, Use, open_store

if TYPE_CHECKING:
    from pathlib import Path

_DAY: Final = 86400.0


def record_history(url: str, issuer: str) -> None:
    """Give the store a year in which dave listed orders every week, and placed the last one 300 days ago."""
    now = time.time()

    def use(permission: str, days: int) -> tuple[Use, tuple[int, float]]:
        at = now - days * _DAY
        said = ("", f"views.{permission.partition(':')[2]}", "GET", permission, permission, permission)
        return Use("orders", issuer, "dave", "demo", *said, "granted", _day(at)), (1, at)

    listed = [use("orders:list", days) for days in range(3, 365, 7)]
    uses = dict([*listed, use("orders:create", 300), use("orders:create", 309)])
    seen = [ObservedGrant(each.issuer, each.subject, each.client, "", each.grant, each.day) for each in uses]
    run = RecordingPeriod(id="demo", service="orders", started=now - 365 * _DAY, until=now)
    store = open_store(url)
    store.migrate()
    store.record(UsageBatch(id="demo", uses=uses, observed_grants=seen, period=run))
    store.close()


def review_and_apply(url: str, issuer: str, folder: Path) -> tuple[Path, list[str]]:
    """Review that year and apply what the rules alone decide; gives the plan's journal, and what to say of it."""
    store, now = open_store(url), time.time()
    made = review(store, now=_day(now), rule=DecisionRule("fixed", DEFAULT_WINDOW_DAYS), issuer=issuer)
    page = folder / "review.html"
    write_atomically(page, render(made, "html").encode(), mode=0o600)
    plan = from_review(made, now=now)
    write_atomically(folder / "plan.json", plan.encode().encode(), mode=0o600)
    journal = journal_path(folder / "plan.json")
    done = apply(plan, store, None, journal=journal, now=now, by="demo", even_last_holder=True)
    store.close()
    taken = done.difference.items if done.difference is not None else ()
    return journal, [
        f"The review looked at {made.population.grants} grants of {made.population.subjects} people, and wrote {page}.",
        *(f"Its plan revoked, while the token stayed valid: {each}." for each in taken),
    ]


def undo_plan(url: str, journal: Path) -> None:
    """Undo the plan, in one step."""
    store = open_store(url)
    undo(journal, store, now=time.time(), by="demo")
    store.close()


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()
