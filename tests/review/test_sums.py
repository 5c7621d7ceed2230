"""A review from sums has the findings of a review from a plain scan of the rows."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import examples
from jwt_lp.review import DecisionRule, Review, review
from jwt_lp.review.analysis import fit_model, load_history
from jwt_lp.review.plan import from_review, preview
from jwt_lp.stores import UsageBatch, open_store
from jwt_lp.usage.row_reader import read_rows
from jwt_lp.usage.usage_import import ImportSummary, build_batches
from jwt_lp.usage.usage_records import REQUIRED_USAGE_FIELDS, USAGE_FIELDS, UsageRowReader
from prerequisites import require
from review_scenario import NOW, POLICY, ReviewScenario, days_ago, noon_of
from usage_scan import ScannedStore

if TYPE_CHECKING:
    from jwt_lp.stores import Store

TRACE = Path(__file__).parents[3] / "shared" / "data" / "usage_trace.csv"
GRANTS = ("orders:read", "orders:list", "orders:*", "orders:7:read", "reports:**")
PERMISSIONS = ("orders:read", "orders:list", "orders:refund", "orders:{id}:read", "reports:a:b")


@contextmanager
def scenario() -> Iterator[ReviewScenario]:
    pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy (extra `sql`)")
    with tempfile.TemporaryDirectory() as folder, closing(open_store(f"sqlite:///{folder}/access.db")) as store:
        made = ReviewScenario(store, Path(folder))
        made.record_period()
        yield made


def both(store: Store, **options: Any) -> tuple[Review, Review]:
    """The review from sums and the review from a scan, made at the same time."""
    given = {"made_at": 1.0, "rule": DecisionRule("fixed", 180)} | options
    return review(store, **given), review(ScannedStore(store), **given)  # type: ignore[arg-type]


@st.composite
def uses(draw: st.DrawFn) -> dict[str, Any]:
    permission = draw(st.sampled_from(PERMISSIONS))
    outcome = draw(st.sampled_from(["granted", "granted", "granted", "denied", "revoked", "observed"]))
    return {
        "subject": draw(st.sampled_from(["alice", "bob", "carol", ""])),
        "permission": permission,
        "days": draw(st.integers(-3, 420)),
        "grant": draw(st.sampled_from(["", permission, *GRANTS])) if outcome == "granted" else "",
        "role": draw(st.sampled_from(["", "clerk", "boss"])) if outcome == "granted" else "",
        "client": draw(st.sampled_from(["", "web", "alice"])),
        "endpoint": draw(st.sampled_from(["/a", "/b"])),
        "outcome": outcome,
    }


@examples(40)
@given(
    st.lists(st.lists(uses(), min_size=1, max_size=12), max_size=4),
    st.integers(0, 420),
    st.integers(0, 300),
    st.booleans(),
)
def test_findings_are_those_of_a_scan(batches: list[list[dict[str, Any]]], keep: int, ago: int, imported: bool) -> None:
    """Of any history, after a purge, as of the last day and as of an earlier one; and so are the digests."""
    with scenario() as past:
        for batch in batches:
            past.add([past.use(**each) for each in batch])
            for each in batch:
                if each["outcome"] == "granted":
                    past.observe_grant(
                        each["subject"], each["grant"] or each["permission"], max(each["days"], 0), role=each["role"]
                    )
        if imported:
            past.import_grants(complete=False, days=30)
        past.store.purge(before=days_ago(keep), now=noon_of(NOW))
        policy = past.policy(POLICY)
        for now in dict.fromkeys((NOW, days_ago(ago))):
            summed, scanned = both(past.store, now=now, policy=policy)
            assert scanned == summed
        assert 0 == past.store.check_sums()


@pytest.mark.once
def test_a_likelihood_is_that_of_a_scan(tmp_path: Path) -> None:
    """On a public trace of 22 years: the history, the model, and all findings; `apply` finds the same later use."""
    require(TRACE.exists(), "the shared data is not here")
    pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy (extra `sql`)")
    with closing(open_store(f"sqlite:///{tmp_path}/trace.db")) as store, TRACE.open(encoding="utf-8") as file:
        rows, _ = read_rows(file, "csv", USAGE_FIELDS, {}, REQUIRED_USAGE_FIELDS)
        reader = UsageRowReader("https://issuer.test/", "trace", lambda _, subject: subject, 1.8e9)
        batches = list(build_batches(rows, reader.read, "trace", ImportSummary()))
        assert [True] * len(batches) == [store.record(batch) for batch in batches]
        assert [False] * len(batches) == [store.record(batch) for batch in batches]
        assert 0 == store.check_sums()
        scan: Any = ScannedStore(store)
        last = max(row.use.day for row in store.usage())
        for now in (last, "2015-06-30"):
            histories = [load_history(each, until=now).history for each in (store, scan)]
            model, expected = (fit_model(history, until=now, horizon=365) for history in histories)
            assert expected == model is not None
            rule = DecisionRule("likelihood", 0.05)
            summed, scanned = both(store, now=now, rule=rule, model=model, history=histories[0])
            assert scanned == summed
            assert len(summed.findings) > 100
        _assert_later_use_is_found(store, replace(summed, made_at=noon_of(now)))


def _assert_later_use_is_found(store: Store, found: Review) -> None:
    """Of a review of the past, `apply` drops exactly the grants that rows show as used since."""
    plan = from_review(found, now=2.0, cap=100_000)
    shown = preview(plan, store, None, now=3.0, even_last_holder=True)
    used = {
        (row.use.subject, row.use.grant) for row in store.usage() if row.use.day > found.now or row.last > found.made_at
    }
    items = [item for item in plan.items if item.revokes and item.of == "subject"]
    assert {item.id for item in items if (item.name, item.grant) in used} == {each.item.id for each in shown.dropped}
    assert 0 < len(shown.dropped) < len(items)


def test_a_store_without_uses(tmp_path: Path) -> None:
    """Without rows both reviews are empty."""
    with scenario() as past:
        past.store.record(UsageBatch(id="empty"))
        summed, scanned = both(past.store, now=NOW)
        assert scanned == summed
