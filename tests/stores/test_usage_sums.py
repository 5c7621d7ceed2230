"""The sums that a store keeps beside the rows of usage: in every state they are those of the rows, on each engine."""

from __future__ import annotations

import random
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from examples import examples
from jwt_lp.errors import ConfigurationError
from jwt_lp.stores import PurgeCounts, ReviewedHolder, UsageBatch, Use, open_store
from servers import POSTGRES, postgres_database
from stores.django_engines import alias, settings_of
from usage_scan import ScannedStore

if TYPE_CHECKING:
    from jwt_lp.stores import Store

pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy (extra `sql`)")

NOW = 1_800_000_000.0
END = "2026-12-31"
_NUMBERS = count()


def use(subject="alice", day="2026-11-24", **other) -> Use:
    parts = {
        "service": "orders", "issuer": "https://issuer.example/", "client": "web", "role": "clerk",
        "endpoint": "/orders/{id}", "method": "GET", "requirement": "orders:read", "permission": "orders:read",
        "grant": "orders:*", "outcome": "granted",
    }  # fmt: skip
    return Use(**{**parts, "subject": subject, "day": day, **other})


def put(store: Store, *uses: Use, times: int = 1) -> None:
    store.record(UsageBatch(id=f"b{next(_NUMBERS)}", uses=dict.fromkeys(uses, (times, 1.0))))


def assert_sums_of_rows(store: Store, until: str = END) -> None:
    """The aggregates are those of a scan, as of the last day and as of an earlier one."""
    scan = ScannedStore(store)
    for day in dict.fromkeys((END, until)):
        assert list(scan.summary(until=day)) == list(store.summary(until=day))
        assert list(scan.requested_permissions(until=day)) == list(store.requested_permissions(until=day))
        assert list(scan.months(until=day)) == list(store.months(until=day))
        assert list(scan.days(until=day)) == list(store.days(until=day))
    assert 0 == store.check_sums()


USES = st.builds(
    use,
    st.sampled_from(["alice", "bob", ""]),
    st.dates().map(lambda day: day.replace(year=2026).isoformat()) | st.sampled_from(["2026-11-24", "20261124"]),
    issuer=st.sampled_from(["i", "j"]),
    client=st.sampled_from(["", "web"]),
    role=st.sampled_from(["", "clerk"]),
    endpoint=st.sampled_from(["/a", "/b", "x" * 300]),
    permission=st.sampled_from(["orders:read", "orders:list", "a\0b"]),
    grant=st.sampled_from(["", "orders:*"]),
    outcome=st.sampled_from(["granted", "denied", "revoked", "observed"]),
)
DAYS = st.sampled_from(["2026-01-01", "2026-06-30", "2026-11-24", "2026-11-25"])


class SumsModel(RuleBasedStateMachine):
    """Whatever is recorded, sent again, deleted and made anew: the sums are those of the rows."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.store = open_store(f"sqlite:///{self.folder.name}/store.db")
        self.batches: list[UsageBatch] = []

    @rule(uses=st.dictionaries(USES, st.tuples(st.integers(0, 5), st.floats(0, 1e9)), max_size=8))
    def record(self, uses) -> None:
        batch = UsageBatch(id=f"{len(self.batches)}", uses=uses)
        assert self.store.record(batch)
        self.batches.append(batch)

    @rule(pick=st.randoms())
    def send_again(self, pick) -> None:
        if self.batches:
            assert not self.store.record(pick.choice(self.batches))

    @rule(before=DAYS)
    def purge(self, before) -> None:
        # The true time, because the store forgets batches a week after it stored them.
        self.store.purge(before=before, now=time.time())
        assert all(row.use.day >= before for row in self.store.usage())

    @rule()
    def rebuild(self) -> None:
        self.store.rebuild_sums()

    @rule(until=DAYS)
    def compare(self, until) -> None:
        assert_sums_of_rows(self.store, until)

    def teardown(self) -> None:
        assert_sums_of_rows(self.store)
        self.store.close()
        self.folder.cleanup()


TestSums = SumsModel.TestCase
TestSums.settings = settings(examples(20), stateful_step_count=8)


def some_uses(number: int, seed: int = 1) -> list[Use]:
    """Uses of many subjects on many days."""
    pick = random.Random(seed)
    return [
        use(
            f"s{pick.randrange(40)}",
            f"2026-{pick.randint(1, 12):02}-{pick.choice((1, 15)):02}",
            issuer=pick.choice("ij"),
            permission=f"p:{pick.randrange(3)}",
            endpoint=f"/{pick.randrange(2)}",
            outcome=pick.choice(["granted", "granted", "denied"]),
        )
        for _ in range(number)
    ]


def test_sums_follow_every_batch(store: Store) -> None:
    """New rows, more of stored rows, earlier days, and a batch that is sent twice."""
    for seed in range(3):
        put(store, *some_uses(300, seed))
    put(store, *some_uses(300, 1), times=4)
    batch = UsageBatch(id="twice", uses=dict.fromkeys(some_uses(50, 9), (2, 5.0)))
    assert [True, False] == [store.record(batch), store.record(batch)]
    assert_sums_of_rows(store, "2026-07-15")


def test_a_use_without_a_count_is_no_row(store: Store) -> None:
    """Every row counts at least one use."""
    store.record(UsageBatch(id="a", uses={use(): (0, 1.0), use("bob"): (1, 1.0)}))
    assert ["bob"] == [row.use.subject for row in store.usage()]
    assert_sums_of_rows(store)


def test_days_are_stored_in_one_form(store: Store) -> None:
    """A day in the short ISO form is the same day, in the rows and in their sums."""
    put(store, use(day="20261124"), use("bob", day="2026-11-24"))
    assert ["2026-11-24"] * 2 == [row.use.day for row in store.usage()]
    assert_sums_of_rows(store)


def test_a_purge_takes_its_rows_from_the_sums(store: Store) -> None:
    """First days move, and sums without rows are gone; also where one holder has more rows than one part."""
    put(store, *some_uses(800))
    put(store, *(use("busy", f"2026-{month:02}-01", endpoint=f"/{n}") for month in (1, 9) for n in range(3000)))
    expected = sum(row.use.day < "2026-07-01" for row in store.usage())
    assert expected == store.purge(before="2026-07-01", now=NOW).usage
    assert all(row.use.day >= "2026-07-01" for row in store.usage())
    assert_sums_of_rows(store, "2026-08-01")
    assert PurgeCounts() == store.purge(before="2026-07-01", now=NOW)
    store.purge(before="2027-01-01", now=NOW)
    assert ([], []) == (list(store.summary(until=END)), list(store.requested_permissions(until=END)))
    assert_sums_of_rows(store)


def test_a_batch_that_fails_leaves_no_part(store: Store) -> None:
    """A failure after the rows were written undoes rows, sums and the batch's id."""
    put(store, use())
    before = list(store.usage())
    batch = UsageBatch(id="bad", uses={use(): (1, 2.0), use("bob"): (1, 2.0)}, period=_Broken())  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        store.record(batch)
    assert before == list(store.usage())
    assert_sums_of_rows(store)
    assert store.record(UsageBatch(id="bad", uses=batch.uses))


class _Broken:
    """A recording period that fails when it is written, which is after the rows of usage."""

    source = "recorder"


def test_what_something_else_changed_is_found_and_made_anew(store: Store, url: str) -> None:
    """Rows without sums, sums without rows and wrong totals are counted, and made anew from the rows."""
    put(store, *some_uses(300))
    usage, holder, daily = _tables(url)
    _execute(url, f"DELETE FROM {usage} WHERE subject = 's1'")
    _execute(url, f"DELETE FROM {holder} WHERE subject = 's2'")
    _execute(url, f"UPDATE {holder} SET uses = uses + 1 WHERE subject = 's3'")
    _execute(url, f"DELETE FROM {daily} WHERE permission = 'p:1'")
    assert store.check_sums() > 4
    store.rebuild_sums()
    assert_sums_of_rows(store, "2026-03-03")


def test_rows_that_no_sum_counts_are_deleted_too(store: Store, url: str) -> None:
    """How long personal data stays does not depend on the sums."""
    put(store, *some_uses(300))
    for table in _tables(url)[1:]:
        _execute(url, f"DELETE FROM {table}")
    expected = sum(row.use.day < "2026-07-01" for row in store.usage())
    assert expected == store.purge(before="2026-07-01", now=NOW).usage
    store.rebuild_sums()
    assert_sums_of_rows(store)


def test_migrating_makes_the_sums_of_an_older_store(store: Store, url: str) -> None:
    """Tables of the release before the sums are refused until they are migrated, and then have sums."""
    put(store, *some_uses(300))
    if url.startswith("django:"):
        from django.core.management import call_command

        call_command("migrate", "jwt_lp_django", "0001", database=url.removeprefix("django:"), verbosity=0)
    else:
        for table in _tables(url)[1:]:
            _execute(url, f"DROP TABLE {table}")
        _execute(url, "UPDATE jwt_lp_schema SET version = 1")
    store.close()
    with closing(open_store(url)) as other, pytest.raises(ConfigurationError, match="migrate"):
        other.record(UsageBatch(id="refused", uses={use(): (1, 1.0)}))
    assert (1, 5) == store.migrate()
    assert_sums_of_rows(store, "2026-04-01")
    assert store.record(UsageBatch(id="refused", uses={use(): (1, 1.0)}))
    assert_sums_of_rows(store)


def test_later_uses_of_holders(store: Store) -> None:
    """What a subject, a client or a role used after a day or a time, and everything of a holder that used nothing."""
    put(store, use("alice", "2026-05-01"), use("bob", "2026-05-01"), use("carol", "2026-05-01", client="app"))
    put(store, use("alice", "2026-07-01", permission="orders:list"), use("dave", "2026-07-01", role="boss"))
    put(store, use("bob", "2026-07-01", outcome="denied"), use("alice", "2026-07-01", issuer="other"))
    store.record(UsageBatch(id="late", uses={use("erin", "2026-05-01"): (1, 50.0)}))

    def later(*holders: tuple[str, str, str, str], at: float = 10.0) -> set[tuple[str, str, str, float]]:
        rows = store.later_uses([ReviewedHolder(*holder) for holder in holders], at=at)  # type: ignore[arg-type]
        return {(row.subject, row.permission, row.last_day, row.last) for row in rows}

    here = "https://issuer.example/"
    assert set() == later()
    assert set() == later(("subject", here, "bob", "2026-05-01")) == later(("subject", here, "nobody", ""))
    assert {("alice", "orders:list", "2026-07-01", 1.0)} == later(("subject", here, "alice", "2026-06-30"))
    assert {("alice", "orders:read", "2026-05-01", 1.0), ("alice", "orders:list", "2026-07-01", 1.0)} == later(
        ("subject", here, "alice", "")
    )
    assert {("erin", "orders:read", "2026-05-01", 50.0)} == later(("subject", here, "erin", "2026-05-01"))
    assert set() == later(("subject", here, "erin", "2026-05-01"), at=50.0)
    assert {("carol", "orders:read", "2026-05-01", 1.0)} == later(("client", here, "app", "2026-04-01"))
    assert {("dave", "orders:read", "2026-07-01", 1.0)} == later(("role", "", "boss", "2026-06-30"))
    many = [("subject", here, f"s{number}", "2026-05-01") for number in range(1200)]
    put(store, use("s7", "2026-05-02"), use("s1107", "2026-06-02"))
    assert {"s7", "s1107"} == {row[0] for row in later(*many)}


def _tables(url: str) -> tuple[str, str, str]:
    if url.startswith("django"):
        return "jwt_lp_django_usage", "jwt_lp_django_holdersum", "jwt_lp_django_dailysum"
    return "jwt_lp_usage", "jwt_lp_holder_sum", "jwt_lp_daily_sum"


def _execute(url: str, statement: str) -> None:
    """Change the database of a store behind its back."""
    if url.startswith("django:"):
        from django.db import connections

        with connections[url.removeprefix("django:")].cursor() as cursor:
            cursor.execute(statement)
        return
    import sqlalchemy as sa

    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()


def test_a_restored_backup_has_the_sums_of_its_rows(store: Store, url: str, tmp_path: Path) -> None:
    """A copy of the database is one state of it; what is sent to the copy later is added there."""
    put(store, *some_uses(300))
    store.close()
    with _copied(url, tmp_path / "copy.db") as copied_url:
        copy = open_store(copied_url)
        put(store, *some_uses(300, 2))
        assert len(list(copy.usage())) < len(list(store.usage()))
        assert_sums_of_rows(copy)
        put(copy, *some_uses(300, 3))
        assert_sums_of_rows(copy)
        copy.close()
    assert_sums_of_rows(store)


@contextmanager
def _copied(url: str, file: Path) -> Iterator[str]:
    """The URL of a copy of a store's database."""
    settings: Any = None
    if url.startswith("django:"):
        from django.db import connections

        settings = connections.settings[url.removeprefix("django:")]
    if "sqlite" in (settings["ENGINE"] if settings else url):
        source = settings["NAME"] if settings else url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(source)) as original, closing(sqlite3.connect(file)) as copy:
            original.backup(copy)
        if settings is None:
            yield f"sqlite:///{file}"
        else:
            with alias(**settings | {"NAME": str(file)}) as copied_url:
                yield copied_url
        return
    with postgres_database() as copied_url:
        _copy_postgresql(settings["NAME"] if settings else url.rpartition("/")[2], copied_url.rpartition("/")[2])
        if settings is None:
            yield copied_url
        else:
            with alias(**settings_of(copied_url)) as copied_url:  # noqa: PLW2901 - the alias of the copy
                yield copied_url


def _copy_postgresql(source: str, copy: str) -> None:
    import psycopg
    from psycopg import sql

    with psycopg.connect(POSTGRES, autocommit=True) as server:
        server.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(copy)))
        server.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(copy), sql.Identifier(source)))


def test_holders_are_read_in_bounded_chunks() -> None:
    """A chunk ends before it has too many rows, and with each issuer; one subject alone may have more."""
    from jwt_lp.stores.summation import chunk_holders

    pages = [[("i", "a", 3), ("i", "b", 3), ("j", "c", 9)], []]
    assert [("i", ["a"]), ("i", ["b"]), ("j", ["c"])] == list(chunk_holders(lambda _: pages.pop(0), 4))


def test_a_sum_that_another_wrote_meanwhile_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a row cannot be inserted because it is there by now, its rows are read again."""
    from jwt_lp.stores import upserts, usage_sums

    original, calls = upserts.insert_missing, count()

    def insert_missing(connection: Any, table: Any, rows: Any) -> int:
        return -1 if next(calls) == 0 else original(connection, table, rows)

    store = open_store(f"sqlite:///{tmp_path}/store.db")
    put(store, *some_uses(20))
    monkeypatch.setattr(usage_sums, "insert_missing", insert_missing)
    store.rebuild_sums()
    assert next(calls) > 1
    assert_sums_of_rows(store)
    store.close()


def test_what_is_obsolete_is_deleted_in_bounded_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One transaction deletes a bounded number of rows, and further ones the rest."""
    from jwt_lp.stores import purge

    monkeypatch.setattr(purge, "CHUNK_ROWS", 2)
    store = open_store(f"sqlite:///{tmp_path}/store.db")
    for _ in range(5):
        put(store, use())
    assert 5 == store.purge(before="2026-01-01", now=NOW).batches
    store.close()
