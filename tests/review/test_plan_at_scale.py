"""Plans of ten thousand items."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any

import pytest

from jwt_lp.errors import PolicyError
from jwt_lp.review.plan import ApplyResult, Plan, apply, frozen_plan, journal_path, preview, restore, undo, verify
from jwt_lp.review.plan.plan_stages import PlanStage
from jwt_lp.stores import open_store
from review_factory import LATER, at, make_finding, make_review, make_use, record_uses
from servers import postgres_database

pytest.importorskip("sqlalchemy")

pytestmark = pytest.mark.servers

ITEMS = 10_000
NOW = at(LATER)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """A store in which each holder used something else."""
    with ExitStack() as stack:
        url = f"sqlite:///{tmp_path}/a.db"
        if request.param == "postgresql":
            url = stack.enter_context(postgres_database())
        with closing(open_store(url)) as store:
            store.migrate()
            record_uses(store, *(make_use("orders:list", "2026-10-01", f"s{number}") for number in range(ITEMS // 4)))
        yield url


def _plan(cap: int | None = None) -> Plan:
    findings = (make_finding(f"s{number // 4}", f"orders:p{number % 4}") for number in range(ITEMS))
    review = make_review(*findings, grants=10 * ITEMS)
    return frozen_plan.from_review(review, now=NOW, cap=cap, stages=(PlanStage("trial", 30),))


def test_two_processes_apply_ten_thousand_items_once(url, tmp_path):
    """Of two that apply at once, one does; a restoration changes one entry, and undo lifts all others."""
    plan = Plan.decode(_plan().encode())
    journal = journal_path(tmp_path / "q.plan")

    def attempt(name: str) -> ApplyResult | PolicyError:
        with closing(open_store(url)) as store:
            try:
                return apply(plan, store, None, journal=journal, now=NOW, by=name)
            except PolicyError as error:
                return error

    with ThreadPoolExecutor(2) as pool:
        results = [*pool.map(attempt, ("ann", "ben"))]
    (done,) = (result for result in results if isinstance(result, ApplyResult))
    (refused,) = (result for result in results if not isinstance(result, ApplyResult))
    assert ("trial", ITEMS) == (done.stage, done.entries)
    assert any(part in str(refused) for part in ("the trial lasts until", "another process"))
    with closing(open_store(url)) as store:
        assert 1 == restore(plan, plan.items[7].id, store, journal=journal, now=NOW + 60, by="ann").lifted
        outcomes = verify(plan, journal, store)
        assert (ITEMS, 1) == (len(outcomes), sum(outcome.is_regret for outcome in outcomes))
        assert ITEMS - 1 == len(undo(journal, store, now=NOW + 120, by="ann").lifted)
        assert [] == [*store.revocations()]


def test_the_cap_is_checked_before_the_store_is_read():
    """A plan beyond its cap is refused without a look at the store, which is none here."""
    nothing: Any = None
    with pytest.raises(PolicyError, match="10,000 grants would be revoked, but the limit is 9,999"):
        preview(_plan(cap=ITEMS - 1), nothing, None, now=NOW)
