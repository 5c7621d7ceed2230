"""A review over usage in Parquet files is that over the store which the usage came from."""

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
from jwt_lp.review import DecisionRule, Person, Review, review
from jwt_lp.review.analysis import finding_collector, fit_model, load_history
from jwt_lp.review.report import KeptFindings, iter_table, render
from jwt_lp.stores import HeldGrant, open_store
from jwt_lp.usage.row_reader import read_rows
from jwt_lp.usage.usage_import import ImportSummary, build_batches
from jwt_lp.usage.usage_records import REQUIRED_USAGE_FIELDS, USAGE_FIELDS, UsageRowReader
from prerequisites import require
from review_scenario import ISSUER, NOW, POLICY, ReviewScenario, days_ago, noon_of
from servers import postgres_database

if TYPE_CHECKING:
    from jwt_lp.stores import Store

pytest.importorskip("duckdb", reason="needs DuckDB (extra `parquet`)")
pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy (extra `sql`)")

# Without DuckDB these cannot be imported.
from jwt_lp.stores.parquet_export import export_parquet
from jwt_lp.stores.parquet_usage import ParquetUsage

TRACE = Path(__file__).parents[3] / "shared" / "data" / "usage_trace.csv"
GRANTS = ("orders:read", "orders:list", "orders:*", "orders:7:read", "reports:**")
PERMISSIONS = ("orders:read", "orders:list", "orders:refund", "orders:{id}:read", "reports:a:b")


def rendered(found: Review) -> list[str]:
    """The review in every form, with the same name for every store."""
    same = replace(found, store="the store")
    return [render(same, form, by=None, top=1000) for form in ("text", "json", "csv")]


def sorted_lines(text: str) -> list[str]:
    return sorted(line.removesuffix(",") for line in text.split("\n"))


def record_history(past: ReviewScenario) -> None:
    """A history with every kind of finding."""
    past.record_period(400, fresh=200)
    past.add(started=noon_of(days_ago(150)), until=noon_of(days_ago(0)), dropped=7)
    for number in range(40):
        name = f"s{number:02}"
        past.record_use(name, "orders:read", 300, 200 - number, number % 30, grant=GRANTS[number % 3], role="clerk")
        past.record_use(name, "orders:list", 380 - number, role="boss" if number % 5 else "", client="web")
        past.record_refusal(name, "orders:refund", number, "revoked" if number % 3 else "denied")
        past.observe_grant(name, "reports:**", 390, last=number)
    for number in range(8):
        past.record_use("s03", "orders:refund", number * 7, role=f"elevation:{number}", client="web")
    past.record_use("s04", "orders:list", 200, 5, role="elevation:x", grant="orders:*")
    past.record_use("\U0001f600", "reports:a:b", 20, 3)
    past.record_use("\uffff", "reports:a:b", 250)
    past.declare_permissions("orders:read", "orders:list", "never:asked")
    past.import_grants(HeldGrant(ISSUER, "s01", "", "clerk", "", days_ago(300)), complete=False, days=30)
    past.deny("s02", "orders:list")


@contextmanager
def stores(folder: Path) -> Iterator[dict[str, Store]]:
    """The same history in SQLite and in PostgreSQL."""
    with postgres_database() as url:
        opened = {"sqlite": open_store(f"sqlite:///{folder}/access.db"), "postgresql": open_store(url)}
        for store in opened.values():
            store.migrate()
            record_history(ReviewScenario(store, folder))
        yield opened
        for store in opened.values():
            store.close()


def test_every_engine_gives_the_same_review(tmp_path: Path) -> None:
    """SQLite, PostgreSQL, and files exported from each: the same text, JSON and CSV, as of any day."""
    with stores(tmp_path) as both:
        for now in (NOW, days_ago(100)):
            given: dict[str, Any] = {"now": now, "made_at": 1.0, "rule": DecisionRule("fixed", 180)}
            expected = review(both["sqlite"], **given)
            assert len(expected.findings) > 50
            for name, store in both.items():
                export_parquet(store, tmp_path / name)
                with closing(ParquetUsage(tmp_path / name)) as usage:
                    found = review(store, usage=usage, **given)
                assert f"{store.name}, usage in {tmp_path / name}" == found.store
                assert rendered(expected) == rendered(found) == rendered(review(store, **given))


def test_every_engine_lists_every_grant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With leavers, and with more grants than a review lists, the JSON of every engine is that of a review without limit."""
    people = {"s01": Person("One", active="no"), "s03": Person(left=days_ago(9))}
    given: dict[str, Any] = {"now": NOW, "made_at": 1.0, "rule": DecisionRule("fixed", 180), "people": people}
    with stores(tmp_path) as both:
        whole = rendered(review(both["sqlite"], **given))[1]
        assert '"leaver"' in whole
        monkeypatch.setattr(finding_collector, "MAX_LISTED", 5)
        for name, store in both.items():
            export_parquet(store, tmp_path / name)
            with closing(ParquetUsage(tmp_path / name)) as usage:
                for engine in (None, usage):
                    with closing(KeptFindings("json")) as kept:
                        found = review(store, usage=engine, on_kept=kept.add, **given)
                        assert found.unlisted
                        written = "".join(iter_table(replace(found, store="the store"), "json", kept))
                        # What a review does not list comes in the order of its holders, after the rest.
                        assert sorted_lines(whole) == sorted_lines(written)


def test_a_purge_of_the_store_does_not_change_the_review(tmp_path: Path) -> None:
    """The usage of a year ago is in the files alone, and so are its days of recording."""
    with closing(open_store(f"sqlite:///{tmp_path}/access.db")) as store:
        past = ReviewScenario(store, tmp_path)
        past.record_period(400, fresh=200)
        past.record_period(199)
        past.record_use("alice", "orders:read", 300, 5)
        past.record_use("bob", "orders:read", 220, 20)
        given: dict[str, Any] = {"now": NOW, "made_at": 1.0, "rule": DecisionRule("fixed", 180)}
        expected = review(store, **given)
        export_parquet(store, tmp_path / "usage")
        store.purge(before=days_ago(100), now=noon_of(NOW))
        export_parquet(store, tmp_path / "usage")
        with closing(ParquetUsage(tmp_path / "usage")) as usage:
            assert rendered(expected) == rendered(review(store, usage=usage, **given))
        assert rendered(expected) != rendered(review(store, **given))


@st.composite
def uses(draw: st.DrawFn) -> dict[str, Any]:
    permission = draw(st.sampled_from(PERMISSIONS))
    outcome = draw(st.sampled_from(["granted", "granted", "granted", "denied", "revoked", "observed"]))
    return {
        "subject": draw(st.sampled_from(["alice", "bob", "carol", ""])),
        "permission": permission,
        "days": draw(st.integers(0, 200)),
        "grant": draw(st.sampled_from(["", permission, *GRANTS])) if outcome == "granted" else "",
        "role": draw(st.sampled_from(["", "clerk", "boss"])) if outcome == "granted" else "",
        "client": draw(st.sampled_from(["", "web", "alice"])),
        "endpoint": draw(st.sampled_from(["/a", "/b"])),
        "outcome": outcome,
    }


@examples(12)
@given(
    st.lists(uses(), min_size=1, max_size=20),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 60), st.integers(0, 5)), max_size=3),
    st.integers(0, 200),
)
def test_any_history_gives_the_same_review(
    used: list[dict[str, Any]], recorded: list[tuple[int, int, int]], ago: int
) -> None:
    """Of any uses and recording periods, as of the last day and as of an earlier one."""
    with (
        tempfile.TemporaryDirectory() as name,
        closing(open_store(f"sqlite:///{name}/access.db")) as store,
    ):
        past = ReviewScenario(store, Path(name))
        past.add([past.use(**each) for each in used])
        for first, length, dropped in recorded:
            started, until = noon_of(days_ago(first)), noon_of(days_ago(max(first - length, 0)))
            past.add(started=started, until=until, dropped=dropped)
        policy = past.policy(POLICY)
        export_parquet(store, Path(name) / "usage")
        with closing(ParquetUsage(Path(name) / "usage")) as usage:
            for now in dict.fromkeys((NOW, days_ago(ago))):
                given: dict[str, Any] = {
                    "now": now, "made_at": 1.0, "rule": DecisionRule("fixed", 90), "policy": policy,
                }  # fmt: skip
                found = review(store, usage=usage, **given)
                assert review(store, **given) == replace(found, store=store.name)


@pytest.mark.once
def test_a_likelihood_is_that_of_the_store(tmp_path: Path) -> None:
    """On a public trace of 22 years: the history, the model and all findings."""
    require(TRACE.exists(), "the shared data is not here")
    with closing(open_store(f"sqlite:///{tmp_path}/trace.db")) as store, TRACE.open(encoding="utf-8") as file:
        rows, _ = read_rows(file, "csv", USAGE_FIELDS, {}, REQUIRED_USAGE_FIELDS)
        reader = UsageRowReader("https://issuer.test/", "trace", lambda _, subject: subject, 1.8e9)
        for batch in build_batches(rows, reader.read, "trace", ImportSummary()):
            store.record(batch)
        export_parquet(store, tmp_path / "usage")
        last = max(row.use.day for row in store.usage())
        with closing(ParquetUsage(tmp_path / "usage")) as usage:
            history = load_history(usage, until=last).history
            model = fit_model(history, until=last, horizon=365)
            assert model is not None
            assert fit_model(load_history(store, until=last).history, until=last, horizon=365) == model
            given: dict[str, Any] = {
                "now": last, "made_at": 1.0, "rule": DecisionRule("likelihood", 0.05), "model": model,
                "history": history,
            }  # fmt: skip
            expected = review(store, **given)
            assert rendered(expected) == rendered(review(store, usage=usage, **given))
            assert len(expected.findings) > 100
