"""Usage in Parquet files: what an export writes, what is read from it, and which folders are refused."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import examples
from jwt_lp.errors import ConfigurationError, PolicyError, StoreError
from jwt_lp.stores import RecordingPeriod, UsageBatch, UsageRow, Use, open_store
from jwt_lp.stores.month_recording import MonthRecording, month_ends, months_between, recording_by_month
from review_scenario import noon_of
from usage_scan import UsageScan

if TYPE_CHECKING:
    from jwt_lp.stores import Store

duckdb: Any = pytest.importorskip("duckdb", reason="needs DuckDB (extra `parquet`)")
pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy (extra `sql`)")

# Without DuckDB these cannot be imported.
from jwt_lp.stores.parquet_export import ExportedMonth, export_parquet  # noqa: E402
from jwt_lp.stores.parquet_folder import METADATA_KEY, month_path, translated_errors  # noqa: E402
from jwt_lp.stores.parquet_usage import ParquetUsage  # noqa: E402

US, THEM = "https://issuer.example/", "https://other.example/"
END = "2026-12-31"
NOW = noon_of(END)


def use(subject="alice", day="2026-11-24", **other) -> Use:
    parts = {
        "service": "orders", "issuer": US, "client": "web", "role": "clerk", "endpoint": "/orders/{id}",
        "method": "GET", "requirement": "orders:read & x", "permission": "orders:read", "grant": "orders:*",
        "outcome": "granted",
    }  # fmt: skip
    return Use(**{**parts, "subject": subject, "day": day, **other})


def put(store: Store, *uses: Use, times: int = 1, last: float = 1.0, period: RecordingPeriod | None = None) -> None:
    store.record(UsageBatch(id=os.urandom(8).hex(), uses=dict.fromkeys(uses, (times, last)), period=period))


def period(first: str, last: str, dropped: int = 0, name: str = "") -> RecordingPeriod:
    return RecordingPeriod(
        id=name or f"{first}{last}", service="x", started=noon_of(first), until=noon_of(last), dropped=dropped
    )


def rows_of(folder: Path) -> list[UsageRow]:
    """Every row in the files of a folder, read without this project's code."""
    pattern = str(folder / "month=*" / "*.parquet")
    columns = ", ".join(f'"{name}"' for name in (*Use._fields[:-1], "CAST(day AS VARCHAR)", "count", "last"))
    columns = columns.replace('"CAST(day AS VARCHAR)"', "CAST(day AS VARCHAR)")
    found = duckdb.sql(f"SELECT {columns}, month FROM read_parquet('{pattern}', hive_partitioning = true)").fetchall()
    assert all(str(row[11]).startswith(str(row[14])) for row in found)
    return sorted(UsageRow(Use(*row[:12]), *row[12:14]) for row in found)


def names_in(folder: Path) -> list[str]:
    """The names of what is in a folder."""
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store in SQLite."""
    with closing(open_store(f"sqlite:///{tmp_path}/store.db")) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that does not exist yet."""
    return tmp_path / "usage" / "of all"


def test_an_export_has_every_row_once(url: str, folder: Path) -> None:
    """Of each engine: equal rows, one file a month, also where nothing was used; other texts than names are kept."""
    nasty = ["a'b", 'a"b', "a\\b", "a,b\nc", "😀", "", " ", "NULL", "2026-01-01", "x" * 300, "\ud800\0"]
    with closing(open_store(url)) as store:
        put(store, *(use(name, grant=name, endpoint=name) for name in nasty), times=2**40, last=1.7e9 + 0.123456789)
        put(store, use(day="2026-08-31", issuer=THEM), use(day="2026-09-01"), times=3)
        expected = sorted(store.usage())
        months = export_parquet(store, folder)
        assert [("2026-08", 1), ("2026-09", 1), ("2026-10", 0), ("2026-11", len(nasty))] == [
            (month.month, month.rows) for month in months
        ]
    assert expected == rows_of(folder)
    assert len(nasty) + 2 == len(expected)


def test_what_others_may_see(store: Store, folder: Path) -> None:
    """A new folder is its owner's alone, and nothing but the months stays in it."""
    put(store, use())
    export_parquet(store, folder)
    assert 0o700 == folder.stat().st_mode & 0o777
    assert ["month=2026-11"] == names_in(folder)
    assert ["part-0.parquet"] == names_in(folder / "month=2026-11")


def test_a_second_export_writes_its_months_anew(store: Store, folder: Path) -> None:
    """Only those between `since` and `until`; counts are those of now."""
    put(store, use(day="2026-09-05"), use(day="2026-10-05"), use(day="2026-11-05"))
    export_parquet(store, folder)
    put(store, use(day="2026-09-05"), use(day="2026-10-05"), use("bob", "2026-10-31"), use("bob", "2026-11-05"))
    assert [ExportedMonth("2026-10", 2, 0)] == export_parquet(store, folder, since="2026-10", until="2026-10")
    assert [1, 2, 1, 1] == [row.count for row in sorted(rows_of(folder), key=lambda row: row.use.day)]
    export_parquet(store, folder)
    assert sorted(store.usage()) == rows_of(folder)


def test_a_purge_leaves_the_exported_months_whole(store: Store, folder: Path) -> None:
    """Also a month of which the store has a part, and the recording of which the store knows nothing any more."""
    put(store, *(use(day=f"2026-10-{day:02}") for day in range(1, 32)), period=period("2026-09-15", "2026-10-20", 7))
    put(store, use(day="2026-09-20"))
    export_parquet(store, folder)
    before = rows_of(folder)
    store.purge(before="2026-10-25", now=NOW)
    put(store, use("bob", day="2026-10-31"), use(day="2026-10-31"), period=period("2026-10-25", "2026-10-31", 1))
    assert [ExportedMonth("2026-10", 32, 24)] == export_parquet(store, folder)
    after = rows_of(folder)
    assert {row.use for row in before} | {use("bob", day="2026-10-31")} == {row.use for row in after}
    assert {row.use.day: 1 + (row.use == use(day="2026-10-31")) for row in after} == {
        row.use.day: row.count for row in after
    }
    with closing(ParquetUsage(folder)) as usage:
        found = [(each.started, each.until, each.dropped) for each in usage.recording_periods()]
    assert [
        (noon_of(first), noon_of(last), dropped)
        for first, last, dropped in [
            ("2026-09-15", "2026-09-30", 0), ("2026-09-15", "2026-09-15", 7),
            ("2026-10-01", "2026-10-20", 0), ("2026-10-25", "2026-10-31", 0), ("2026-10-25", "2026-10-25", 1),
        ]
    ] == found  # fmt: skip


def test_an_export_while_rows_are_recorded(url: str, folder: Path) -> None:
    """Each export has the rows of one moment, and what its periods promise; the last one has every row."""
    stop = threading.Event()
    written = 0

    def record() -> None:
        nonlocal written
        with closing(open_store(url)) as mine:
            while not stop.is_set():
                written += 1
                # Two rows of one batch and the period's count say the same number.
                both = [use("first", day="2026-10-01"), use("second", day="2026-11-01")]
                put(mine, *both, period=RecordingPeriod(id="p", service="x", started=1.0, until=2.0, recorded=written))

    writer = threading.Thread(target=record)
    with closing(open_store(url)) as store:
        put(store, use("first", day="2026-10-01"), use("second", day="2026-11-01"))
        writer.start()
        try:
            for _ in range(4):
                export_parquet(store, folder, since="2026-10")
                first, second = rows_of(folder)
                assert first.count == second.count >= 1
        finally:
            stop.set()
            writer.join()
        export_parquet(store, folder, since="2026-10")
        assert [written + 1] * 2 == [row.count for row in rows_of(folder)]


def test_nothing_to_export(store: Store, folder: Path) -> None:
    """An empty store, or months without usage, leave the folder as it is."""
    assert [] == export_parquet(store, folder)
    put(store, use(), period=period("2026-11-01", "2026-11-24"))
    assert [] == export_parquet(store, folder, since="2026-12")
    assert [] == export_parquet(store, folder, until="2026-10")
    assert [] == names_in(folder)


def test_a_wrong_day_does_not_make_thousands_of_files(store: Store, folder: Path) -> None:
    """It is refused, and can be left out."""
    put(store, use(day="0001-01-01"), use())
    with pytest.raises(StoreError, match=r"from 0001-01 to 2026-11.*--since"):
        export_parquet(store, folder)
    assert [ExportedMonth("2026-11", 1, 0)] == export_parquet(store, folder, since="2020-01")


def test_usage_of_another_store_is_not_mixed_in(store: Store, folder: Path, tmp_path: Path) -> None:
    """A month of one store is not replaced by that of another."""
    put(store, use())
    export_parquet(store, folder)
    before = rows_of(folder)
    with closing(open_store(f"sqlite:///{tmp_path}/other.db")) as other:
        put(other, use("mallory"))
        with pytest.raises(StoreError, match=r"store\.db: export the usage of .*other\.db to another folder"):
            export_parquet(other, folder)
    assert before == rows_of(folder)


def test_one_export_at_a_time(store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second export is refused while the first one works, and so is a reader."""
    put(store, use())
    export_parquet(store, folder)
    monkeypatch.setattr("jwt_lp.stores.parquet_export._LOCK_WAIT", 0.0)
    seen: list[str] = []

    def during(_number: int) -> None:
        with pytest.raises(PolicyError, match="is being changed by process"):
            export_parquet(store, folder)
        with pytest.raises(StoreError, match="is being written by an export"):
            ParquetUsage(folder)
        seen.append("both")

    export_parquet(store, folder, on_rows=during)
    assert ["both"] == seen


@pytest.mark.parametrize("moment", ["rows", "file", "rename"])
def test_a_crash_leaves_whole_months(store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    """Whenever a process is killed, each month is as before or as after; the next export removes what it left."""
    put(store, use(day="2026-10-05"), use())
    export_parquet(store, folder)
    put(store, use("bob", day="2026-10-05"), use("bob"))
    target = {
        "rows": "parquet_export._months", "file": "parquet_export._rename", "rename": "parquet_export._rename",
    }[moment]  # fmt: skip
    kill = f"""
import os, sys
from pathlib import Path
from jwt_lp.stores import open_store, parquet_export
real = {target}
calls = []
def killed(*arguments):
    calls.append(1)
    if len(calls) == {2 if moment == "rename" else 1}:
        os._exit(9)
    return real(*arguments)
{target} = killed
parquet_export.export_parquet(open_store(sys.argv[1]), Path(sys.argv[2]))
"""
    done = subprocess.run([sys.executable, "-c", kill, store.name, str(folder)], check=False)
    assert 9 == done.returncode
    assert [name for name in names_in(folder) if name.startswith(".export-")]
    with closing(ParquetUsage(folder)) as usage:
        months = [(row.month, row.uses) for row in usage.months(until=END)]
    assert [("2026-10", 2 if moment == "rename" else 1), ("2026-11", 1)] == months
    export_parquet(store, folder)
    assert ["month=2026-10", "month=2026-11"] == names_in(folder)
    assert sorted(store.usage()) == rows_of(folder)


def _exported(store: Store, folder: Path) -> Path:
    """The file of a month in a folder with three."""
    put(store, *(use(f"s{number}", day=f"2026-{month}-05") for month in ("09", "10", "11") for number in range(50)))
    export_parquet(store, folder)
    return month_path(folder, "2026-10")


def _read_all(folder: Path) -> None:
    with closing(ParquetUsage(folder)) as usage:
        list(usage.summary(until=END))


def _copy_with(source: Path, target: Path, columns: str = "*", metadata: str | None = None) -> None:
    """Write rows of a file to another one, with its own metadata, or other ones, or none."""
    written = duckdb.execute("SELECT value FROM parquet_kv_metadata(?)", [str(source)]).fetchone()
    text = bytes(written[0]).decode() if metadata is None else metadata
    extra = f", KV_METADATA {{{METADATA_KEY}: '{text}'}}" if text else ""
    copied = target.with_suffix(".new")
    duckdb.execute(f"COPY (SELECT {columns} FROM read_parquet('{source}')) TO '{copied}' (FORMAT parquet{extra})")
    copied.replace(target)


def test_a_missing_month_is_noticed(store: Store, folder: Path) -> None:
    """A review without it would take what was used then as unused."""
    shutil.rmtree(_exported(store, folder).parent)
    with pytest.raises(StoreError, match="from 2026-09 to 2026-11, but not of 2026-10"):
        _read_all(folder)
    export_parquet(store, folder, since="2026-10", until="2026-10")
    _read_all(folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(lambda file: file.unlink(), "missing or damaged: delete it, and export", id="no file"),
        pytest.param(lambda file: file.write_bytes(b""), "missing or damaged", id="empty"),
        pytest.param(lambda file: file.write_bytes(file.read_bytes()[:-20]), "missing or damaged", id="cut"),
        pytest.param(lambda file: file.write_text("hello, world"), "missing or damaged", id="text"),
        pytest.param(lambda file: _copy_with(file, file, metadata=""), "not written by jwt-lp", id="foreign"),
        pytest.param(lambda file: _copy_with(file, file, metadata="["), "is damaged", id="metadata"),
        pytest.param(lambda file: _copy_with(file, file, metadata='{"version": 1}'), "is damaged", id="short metadata"),
        pytest.param(lambda file: _copy_with(file, file, metadata="[1]"), "is damaged", id="other metadata"),
        pytest.param(
            lambda file: _copy_with(file, file, metadata='{"version": 2}'), r"version '2' .* reads version 1", id="version"
        ),
        pytest.param(lambda file: _copy_with(file, file, "* EXCLUDE (day)"), "column day is missing", id="column"),
        pytest.param(
            lambda file: _copy_with(file, file, "* REPLACE (count::INTEGER AS count)"),
            "column count has the type INTEGER instead of BIGINT",
            id="type",
        ),
        pytest.param(
            lambda file: shutil.copy(month_path(file.parents[1], "2026-09"), file), "usage of '2026-09'", id="other month"
        ),
        pytest.param(lambda file: shutil.copy(file, file.with_name("part-1.parquet")), "part-1.parquet.*away", id="two"),
        pytest.param(lambda file: (file.parents[1] / "month=may").mkdir(), "'month=may' is not from an export", id="name"),
    ],
)  # fmt: skip
def test_a_folder_that_is_not_an_export(store: Store, folder: Path, damage: Any, message: str) -> None:
    """Each fault is an error that names the file and says what to do; nothing of it is read."""
    damage(_exported(store, folder))
    with pytest.raises(StoreError, match=message):
        _read_all(folder)


def test_a_damaged_page_is_an_error(store: Store, folder: Path) -> None:
    """A file whose end is whole and whose rows are not is an error, for a reader and for an export."""
    file = _exported(store, folder)
    data = bytearray(file.read_bytes())
    data[4:400] = bytes(396)
    file.write_bytes(data)
    with pytest.raises(StoreError, match="cannot be used"):
        _read_all(folder)
    with pytest.raises(StoreError, match="cannot be used"):
        export_parquet(store, folder)
    file.unlink()
    export_parquet(store, folder)
    assert sorted(store.usage()) == rows_of(folder)


def test_a_folder_without_usage(store: Store, tmp_path: Path) -> None:
    """A missing folder, an empty one and a file are errors, to read from or to write to."""
    with pytest.raises(StoreError, match="No such file"):
        ParquetUsage(tmp_path / "nonesuch")
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match="has no usage"):
        ParquetUsage(tmp_path / "empty")
    (tmp_path / "file").touch()
    put(store, use())
    for action in (lambda: ParquetUsage(tmp_path / "file"), lambda: export_parquet(store, tmp_path / "file")):
        with pytest.raises(StoreError, match="cannot be used"):
            action()


def test_files_of_the_system_are_passed_over(store: Store, folder: Path) -> None:
    """Hidden files and names without a month are not usage."""
    file = _exported(store, folder)
    (folder / "README").touch()
    file.with_name(".DS_Store").touch()
    _read_all(folder)


def test_a_folder_that_changes_while_it_is_read(store: Store, folder: Path) -> None:
    """A review would be of two moments, so it is an error."""
    _exported(store, folder)
    with closing(ParquetUsage(folder)) as usage:
        assert 1 == len(list(usage.months(until="2026-09-30")))
        put(store, use("bob", day="2026-09-05"))
        export_parquet(store, folder)
        with pytest.raises(StoreError, match="was changed while it was read"):
            list(usage.months(until="2026-09-30"))


def test_names_of_folders(store: Store, tmp_path: Path) -> None:
    """A name with a quote is that name; one that DuckDB would take as a pattern is refused."""
    put(store, use())
    export_parquet(store, tmp_path / "it's {x}")
    _read_all(tmp_path / "it's {x}")
    for name in ("usage[1]", "usage*", "usage?"):
        with pytest.raises(StoreError, match="rename the folder"):
            export_parquet(store, tmp_path / name)
        with pytest.raises(StoreError, match="rename the folder"):
            ParquetUsage(tmp_path / name)


def test_the_connection_reads_nothing_else(store: Store, folder: Path, tmp_path: Path) -> None:
    """DuckDB can open no other file, and load no extension."""
    _exported(store, folder)
    (tmp_path / "secret.csv").write_text("a\n1\n")
    with closing(ParquetUsage(folder)) as usage:
        for statement in (
            f"SELECT * FROM read_csv('{tmp_path / 'secret.csv'}')",
            "INSTALL httpfs",
            "SET enable_external_access = true",
        ):
            with pytest.raises(duckdb.Error):
                usage._connection.execute(statement)


def test_too_little_memory_is_an_error(store: Store, folder: Path) -> None:
    """It says that memory or space is missing, and not that a file is damaged."""
    _exported(store, folder)
    with pytest.raises(StoreError, match="not enough memory"):
        ParquetUsage(folder, memory="1KB")


def test_it_says_what_it_is_and_closes(store: Store, folder: Path) -> None:
    """It has the folder's name and its stores' names; a closed one reads nothing, and leaves no temporary files."""
    _exported(store, folder)
    usage = ParquetUsage(str(folder))
    assert (str(folder), f"<ParquetUsage {folder}>", (store.name,)) == (usage.name, repr(usage), usage.stores)
    usage.close()
    usage.close()
    with pytest.raises(StoreError):
        list(usage.months(until=END))


def test_a_day_that_is_not_a_date_is_refused(store: Store, folder: Path) -> None:
    """It raises `ValueError`, as from any store."""
    _exported(store, folder)
    with closing(ParquetUsage(folder)) as usage, pytest.raises(ValueError, match="isoformat"):
        list(usage.summary(until="yesterday"))


def test_without_duckdb(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install."""
    monkeypatch.setitem(sys.modules, "duckdb", None)
    monkeypatch.delitem(sys.modules, "jwt_lp.stores.parquet_folder")
    with pytest.raises(ConfigurationError, match=r'needs duckdb: pip install "jwt-lp\[parquet\]"'):
        importlib.import_module("jwt_lp.stores.parquet_folder")


USES = st.builds(
    use,
    st.sampled_from(["alice", "bob", ""]),
    st.sampled_from(["2026-11-24", "20261124", "2026-11-30", "2026-12-01", "2026-10-31", "2026-11-01"]),
    issuer=st.sampled_from([US, THEM]),
    client=st.sampled_from(["", "web"]),
    role=st.sampled_from(["", "clerk"]),
    endpoint=st.sampled_from(["/a", "/b", "x" * 300]),
    permission=st.sampled_from(["orders:read", "orders:list", "a\0b"]),
    grant=st.sampled_from(["", "orders:*", "\U0001f600", "\uffff"]),
    outcome=st.sampled_from(["granted", "denied", "revoked", "observed"]),
)


@examples(15)
@given(
    st.lists(st.dictionaries(USES, st.tuples(st.integers(1, 5), st.floats(0, 1e9)), max_size=8), max_size=3),
    st.sampled_from(["2026-01-01", "2026-10-31", "2026-11-24", END]),
    st.booleans(),
)
def test_aggregates_are_those_of_a_scan(batches: list[dict[Use, tuple[int, float]]], until: str, twice: bool) -> None:
    """Of any rows, as of any day, of all issuers, of one and of some subjects, after one export or after several."""
    with (
        tempfile.TemporaryDirectory() as name,
        closing(open_store(f"sqlite:///{name}/store.db")) as store,
    ):
        put(store, use("zoe"))
        for number, uses in enumerate(batches):
            store.record(UsageBatch(id=f"{number}", uses=uses))
            if twice:
                export_parquet(store, Path(name) / "usage")
        export_parquet(store, Path(name) / "usage")
        assert sorted(store.usage()) == rows_of(Path(name) / "usage")
        scan = UsageScan(lambda: ((row.use, row.count) for row in store.usage()))
        some = [(US, "alice"), (THEM, ""), (US, "nobody"), (US, "alice")]
        with closing(ParquetUsage(Path(name) / "usage")) as usage:
            for each in (store, usage):
                assert list(scan.summary(until=until)) == list(each.summary(until=until))
                assert list(scan.summary(until=until, issuer=US)) == list(each.summary(until=until, issuer=US))
                assert list(scan.requested_permissions(until=until)) == list(each.requested_permissions(until=until))
                assert list(scan.months(until=until)) == list(each.months(until=until))
                assert list(scan.days(until=until)) == list(each.days(until=until))
                assert list(scan.days(until=until, issuer=THEM)) == list(each.days(until=until, issuer=THEM))
                assert list(scan.days(until=until, subjects=some)) == list(each.days(until=until, subjects=some))
                assert [] == list(each.days(until=until, subjects=[]))


@given(
    st.lists(st.tuples(st.integers(0, 800), st.integers(0, 100), st.integers(0, 3)), max_size=6), st.integers(0, 900)
)
def test_recording_by_month_covers_the_same_days(drawn: list[tuple[int, int, int]], until: int) -> None:
    """Split by month, encoded, merged with itself and read back: the same days, ends and dropped decisions."""
    from datetime import date

    from jwt_lp.review.analysis.evidence import recording_coverage

    base = date(2024, 1, 15).toordinal()
    day = date.fromordinal
    periods = [
        period(day(base + first).isoformat(), day(base + first + length).isoformat(), dropped, f"p{number}")
        for number, (first, length, dropped) in enumerate(drawn)
    ]
    split = recording_by_month(periods)
    read = [
        MonthRecording.from_json(json.loads(json.dumps(split[month].as_json()))).merge(split[month])
        for month in sorted(split)
    ]
    again = [each for recording in read for each in recording.periods()]

    def ordinal(at: float) -> int:
        from datetime import UTC, datetime

        return datetime.fromtimestamp(at, UTC).date().toordinal()

    assert recording_coverage(periods, base + until, ordinal) == recording_coverage(again, base + until, ordinal)


def test_months() -> None:
    """Ends of months, also in leap years, and the months between two."""
    assert [("2024-02-01", "2024-02-29"), ("2026-12-01", "2026-12-31")] == list(map(month_ends, ("2024-02", "2026-12")))
    assert ["2025-11", "2025-12", "2026-01"] == months_between("2025-11", "2026-01")
    assert [] == months_between("2026-01", "2025-12")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (duckdb.OutOfMemoryException("row of alice"), "there is not enough memory"),
        (duckdb.IOException("row of alice"), "is the disk full?"),
        (duckdb.InvalidInputException("row of alice"), "InvalidInputException of DuckDB"),
        (OSError(28, "No space left on device"), "No space left on device"),
    ],
)
def test_errors_of_files_are_errors_of_the_store(error: Exception, message: str) -> None:
    """Each says what to do, and none shows or chains what DuckDB said, which may hold values of rows."""
    with pytest.raises(StoreError, match=re.escape(message)) as caught, translated_errors(Path("usage")):
        raise error
    assert "alice" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
