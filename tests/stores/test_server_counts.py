"""Exact counts of several processes on one store, also after a crash and with a full disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from jwt_lp.stores import Store
from jwt_lp.usage.recorder import FLUSH_INTERVAL
from stores.conftest import ENGINES
from stores.test_servers import AUTHORITY, TESTS, open_engine

pytestmark = pytest.mark.servers

DECISIONS = int(os.environ.get("TESTS_DECISIONS", "16000"))
PROCESSES = 8


def start_load(kind: str, number: int, url: str, database: str) -> subprocess.Popen[str]:
    """Start a process of a load."""
    tokens = [AUTHORITY.token(f"subject{index}", ["orders:*", "stock:take"], lifetime=900) for index in range(10)]
    environment = {
        **os.environ,
        "TESTS_JWT_LP": json.dumps(AUTHORITY.settings(STORE=url, SERVICE="load")),
        "TESTS_TOKENS": json.dumps(tokens),
        "TESTS_DATABASE": database,
        "PYTHONPATH": str(TESTS),
    }
    command = [sys.executable, "-m", "stores.load_process", kind, str(number)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def stored_counts(store: Store) -> Counter[str]:
    counts: Counter[str] = Counter()
    for row in store.usage():
        use = row.use
        counts[f"{use.subject.removeprefix('subject')} {use.permission} {use.outcome}"] += row.count
    return counts


@pytest.mark.parametrize("name", ENGINES)
def test_the_store_holds_every_decision_of_a_load(name: str, tmp_path: Path) -> None:
    """Eight processes decide and end normally; counts by subject, permission and outcome are exact."""
    with open_engine(name, tmp_path) as (url, database, store):
        processes = [start_load("all", DECISIONS // PROCESSES, url, database) for _ in range(PROCESSES)]
        expected: Counter[str] = Counter()
        for process in processes:
            output, log = process.communicate(timeout=300)
            assert 0 == process.returncode, log[-2000:]
            expected.update(json.loads(output)["counts"])
        assert DECISIONS // PROCESSES * PROCESSES == sum(expected.values())
        assert expected == stored_counts(store)
        periods = list(store.recording_periods())
        assert DECISIONS // PROCESSES * PROCESSES == sum(period.recorded for period in periods)
        assert 0 == sum(period.dropped for period in periods)


@pytest.mark.parametrize("name", ["sqlite", "postgresql"])
def test_a_killed_process_loses_at_most_one_flush_interval(name: str, tmp_path: Path) -> None:
    """All uses older than a flush interval are stored, and none is stored twice."""
    with open_engine(name, tmp_path) as (url, database, store):
        process = start_load("killed", 20, url, database)
        assert process.stdout is not None
        progress = [process.stdout.readline().split()]
        while float(progress[-1][0]) - float(progress[0][0]) < FLUSH_INTERVAL * 2.5:
            progress.append(process.stdout.readline().split())
        killed_at = time.time()
        process.send_signal(signal.SIGKILL)
        progress += [line.split() for line in process.stdout if line.endswith("\n")]
        process.communicate()
        decided = int(progress[-1][1]) + 20
        old = max(int(number) for at, number in progress if float(at) < killed_at - FLUSH_INTERVAL - 1)
        assert old <= sum(stored_counts(store).values()) <= decided


def test_a_full_disk_fails_no_request_and_loses_no_count(tmp_path: Path) -> None:
    """While the disk is full requests are decided and the status shows the delay; later all counts are written."""
    with open_engine("sqlite", tmp_path) as (url, database, store):
        process = start_load("full", 500, url, database)
        output, log = process.communicate(timeout=60)
        assert 0 == process.returncode, log[-2000:]
        status = json.loads(next(line for line in log.splitlines() if line.startswith("{")))
        assert (True, 0) == (status["late"] >= 7, status["dropped"])
        assert json.loads(output)["counts"] == stored_counts(store)
