"""Benchmark of a review over usage in Parquet files, compared with one plain scan of them.

    python benchmarks/parquet.py [MILLIONS OF ROWS]

It writes three years of usage to a folder of its own, as an export would, and deletes it at the end; BENCH_FOLDER says
where. Each query runs in a process of its own, so that its memory is its own. The scan counts rows by permission.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from jwt_lp.review import DecisionRule, review
from jwt_lp.review.analysis import fit_model, load_history
from jwt_lp.stores import open_store
from jwt_lp.stores.month_recording import MonthRecording, month_ends, months_between
from jwt_lp.stores.parquet_export import write_file
from jwt_lp.stores.parquet_folder import DEFAULT_MEMORY, MonthFile, month_path, open_duckdb
from jwt_lp.stores.parquet_usage import ParquetUsage

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from jwt_lp.stores import Store

MONTHS = months_between("2024-01", "2026-12")
UNTIL = "2026-12-31"
DAYS = 1096

# Twenty thousand subjects have thirty of three hundred permissions each, and use some of them more often than others. A
# fifth of these grants is not used any more after some day. `often` is the share of days on which the first is used.
FILL = """
SELECT 'service-' || permission % 5 AS service, 'https://issuer.example/' AS issuer, 'subject-' || subject AS subject,
    'client-' || subject % 4 AS client, 'role-' || permission % 20 AS role,
    '/things/' || permission || '/' || (random() * 1.99)::INT % 2 AS endpoint, 'GET' AS method,
    name AS requirement, name AS permission, 'area-' || permission % 20 || ':*' AS "grant",
    CASE WHEN permission % 50 = 7 THEN 'denied' ELSE 'granted' END AS outcome, day,
    1 + (random() * 7)::BIGINT AS count, epoch(day) + 86400 * random() AS last
FROM (
    SELECT subject, permission, 'area-' || permission % 20 || ':thing-' || permission || ':read' AS name, day
    FROM (
        SELECT subject, (subject * 7 + pick) % 300 AS permission, day::DATE AS day, pick,
            hash(subject, pick) % 5 = 0 AS ends, date '2024-01-01' + (hash(pick, subject) % 1096)::INT AS last_day
        FROM range(20000) subjects (subject), range(30) picks (pick),
            range($first::DATE, $last::DATE + 1, INTERVAL 1 DAY) days (day)
    )
    WHERE random() < $often / sqrt(pick + 1) AND (NOT ends OR day <= last_day)
)
ORDER BY issuer, subject, service, client, role, endpoint
"""
PLAIN = "SELECT permission, count(*), max(day) FROM read_parquet($files, hive_partitioning = false) GROUP BY permission"


def main() -> None:
    """Print one line for the files, and one for each query."""
    if len(sys.argv) > 2:  # noqa: PLR2004
        _run_query(sys.argv[1], Path(sys.argv[2]))
        return
    rows = int(float(sys.argv[1] if len(sys.argv) > 1 else "100") * 1_000_000)
    with tempfile.TemporaryDirectory(prefix="jwt-lp-bench-", dir=os.environ.get("BENCH_FOLDER")) as name:
        _fill(Path(name), rows)
        for query in QUERIES:
            subprocess.run([sys.executable, __file__, query, name], check=True)


def _fill(folder: Path, rows: int) -> None:
    often = rows / (DAYS * 20000 * sum((pick + 1) ** -0.5 for pick in range(30))) / 0.9
    start, written, size = time.perf_counter(), 0, 0
    with open_duckdb(None, folder, folder, "2GB") as connection:
        for month in MONTHS:
            first, last = month_ends(month)
            path = month_path(folder, month)
            path.parent.mkdir()
            file = MonthFile(month, path, "none", MonthRecording(((first, last),), {}))
            written += write_file(connection, file, FILL, {"first": first, "last": last, "often": often})
            size += path.stat().st_size
    print(
        f"{written:,} rows in {len(MONTHS)} files of {size / 1e6:,.0f} MB, made in {time.perf_counter() - start:.0f} s"
    )


def _scan(folder: Path) -> int:
    files = [str(month_path(folder, month)) for month in MONTHS]
    with tempfile.TemporaryDirectory() as name, open_duckdb(None, Path(name), folder, DEFAULT_MEMORY) as connection:
        return len(connection.execute(PLAIN, {"files": files}).fetchall())


def _review(folder: Path) -> int:
    with _opened(folder) as (store, usage):
        return len(review(store, usage=usage, now=UNTIL, rule=DecisionRule("fixed", 180)).findings)


def _likelihoods(folder: Path) -> int:
    with _opened(folder) as (store, usage):
        history = load_history(usage, until=UNTIL).history
        model = fit_model(history, until=UNTIL, horizon=365)
        rule = DecisionRule("likelihood", 0.05)
        return len(review(store, usage=usage, now=UNTIL, rule=rule, model=model, history=history).findings)


@contextmanager
def _opened(folder: Path) -> Generator[tuple[Store, ParquetUsage]]:
    """An empty store, and the usage in the folder."""
    with (
        tempfile.TemporaryDirectory() as name,
        closing(open_store(f"sqlite:///{name}/empty.db")) as store,
        closing(ParquetUsage(folder)) as usage,
    ):
        yield store, usage


QUERIES: dict[str, Callable[[Path], int]] = {
    "scan by permission": _scan,
    "review, fixed window": _review,
    "review, likelihoods": _likelihoods,
}


def _run_query(name: str, folder: Path) -> None:
    start = time.perf_counter()
    number = QUERIES[name](folder)
    seconds = time.perf_counter() - start
    # Not by `getrusage`, whose peak also counts what the process was forked from.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    print(f"{name:21} {number:9,} rows, {seconds:6.1f} s, {peak:,.0f} MB at most")


if __name__ == "__main__":
    main()
