"""Benchmark of a review, compared with plain scans of the same table.

    python benchmarks/review.py [MILLIONS OF ROWS] [ROUNDS]

It fills a new database on the server that BENCH_POSTGRES names, makes the sums of its rows, runs every query in one
process in interleaved rounds, and drops the database. The scan by permission has a few hundred groups; the scan by
holder has as many as the review, which reads sums and no rows. The processor time is that of this process, without the
server's.
"""

from __future__ import annotations

import os
import resource
import secrets
import statistics
import sys
import time
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from jwt_lp.review import DecisionRule, review
from jwt_lp.stores import RecordingPeriod, UsageBatch, open_store

if TYPE_CHECKING:
    from collections.abc import Callable

SERVER = os.environ.get("BENCH_POSTGRES", "postgresql://root@127.0.0.1:5432/postgres")
UNTIL = "2026-12-31"

# Twenty thousand subjects, each of which uses about thirty of three hundred permissions, in the order of the days. Each
# permission has two endpoints.
FILL = """
INSERT INTO jwt_lp_usage
    (count, last, day, id, service, issuer, subject, client, role, endpoint, method, requirement, permission, "grant",
     outcome)
SELECT 1 + row % 7, 1767225600 + (row * 31536000::bigint / {rows}),
    date '2026-01-01' + (row * 365::bigint / {rows})::int,
    decode(md5(row::text), 'hex'), 'service-' || permission % 5, 'https://issuer.example/', 'subject-' || subject,
    'client-' || subject % 4, 'role-' || permission % 20, '/things/' || permission || '/' || row % 2, 'GET',
    'area-' || permission % 20 || ':thing-' || permission || ':read',
    'area-' || permission % 20 || ':thing-' || permission || ':read', 'area-' || permission % 20 || ':*',
    CASE WHEN permission % 50 = 7 THEN 'denied' ELSE 'granted' END
FROM (
    SELECT row, subject, (subject * 7 + (pick * pick * 30)::int) % 300 AS permission
    FROM (SELECT row, (random() * 19999)::int AS subject, random() AS pick FROM generate_series(0, {rows} - 1) row) one
) two
"""
PLAIN = "SELECT permission, count(*), max(day) FROM jwt_lp_usage GROUP BY permission"
BY_HOLDER = """
SELECT issuer, subject, permission, sum(count), min(day), max(day)
FROM jwt_lp_usage GROUP BY issuer, subject, permission
"""


def main() -> None:
    """Print one line for each query."""
    rows = int(float(sys.argv[1] if len(sys.argv) > 1 else "10") * 1_000_000)
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3  # noqa: PLR2004
    name = f"jwt_lp_bench_{secrets.token_hex(4)}"
    url = f"{SERVER.rpartition('/')[0]}/{name}"
    with psycopg.connect(SERVER, autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            _fill(url, rows)
            _measure(url, rows, rounds)
        finally:
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _fill(url: str, rows: int) -> None:
    store = open_store(url)
    store.migrate()
    start = time.perf_counter()
    with psycopg.connect(url, autocommit=True) as connection:
        # Creating the indexes at the end is much faster than updating them for each row.
        indexes = connection.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'jwt_lp_usage' AND indexname NOT LIKE '%pkey'"
        ).fetchall()
        for index, _ in indexes:
            connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(index)))
        connection.execute("ALTER TABLE jwt_lp_usage DROP CONSTRAINT jwt_lp_usage_pkey")
        connection.execute("SET maintenance_work_mem = '512MB'")
        connection.execute(sql.SQL(FILL).format(rows=sql.Literal(rows)))
        connection.execute("ALTER TABLE jwt_lp_usage ADD PRIMARY KEY (id)")
        for _, definition in indexes:
            connection.execute(definition)
        connection.execute("VACUUM ANALYZE jwt_lp_usage")
        print(f"{rows:,} rows written in {time.perf_counter() - start:.0f} s")
        start = time.perf_counter()
        store.rebuild_sums()
        connection.execute("VACUUM ANALYZE jwt_lp_holder_sum")
        connection.execute("VACUUM ANALYZE jwt_lp_daily_sum")
    print(f"their sums made in {time.perf_counter() - start:.0f} s")
    store.close()


def _measure(url: str, rows: int, rounds: int) -> None:
    store = open_store(url)
    period = RecordingPeriod(id="bench", service="bench", started=1767225600.0, until=1767225600.0 + 365 * 86400)
    store.record(UsageBatch(id="bench", period=period))

    def ask(query: str) -> int:
        # In chunks, so that the most memory that is measured is that of the review.
        with psycopg.connect(url) as connection, connection.cursor() as cursor:
            return sum(1 for _ in cursor.stream(query, size=1000))  # type: ignore[call-overload]

    queries: dict[str, Callable[[], int]] = {
        "scan by permission": lambda: ask(PLAIN),
        "scan by holder": lambda: ask(BY_HOLDER),
        "the review": lambda: len(review(store, now=UNTIL, rule=DecisionRule("fixed", 180)).findings),
    }
    times: dict[str, list[float]] = {name: [] for name in queries}
    processor: dict[str, list[float]] = {name: [] for name in queries}
    row_counts: dict[str, int] = {}
    for _ in range(rounds):
        for name, query in queries.items():
            start, spent = time.perf_counter(), time.process_time()
            row_counts[name] = query()
            times[name].append(time.perf_counter() - start)
            processor[name].append(time.process_time() - spent)
    store.close()
    bases = [statistics.median(times[name]) for name in ("scan by permission", "scan by holder")]
    for name, seconds in times.items():
        middle = statistics.median(seconds)
        ratios = ", ".join(f"{middle / base:.1f}" for base in bases)
        spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
        own = f"{statistics.median(processor[name]):.2f} s of it here"
        print(f"{name:18} {row_counts[name]:9,} rows, {middle:6.2f} s ({spread}), {own}: {ratios} times the scans")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{rows:,} rows, {peak:.0f} MB here at most")


if __name__ == "__main__":
    main()
