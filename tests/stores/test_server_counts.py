"""Counts of several processes on one store are exact, and what a crash or a full disk costs is what is promised."""

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
from stores.test_servers import AUTHORITY, TESTS, engine

pytestmark = pytest.mark.servers

DECISIONS = int(os.environ.get("TESTS_DECISIONS", "16000"))
PROCESSES = 8


def load(how: str, number: int, url: str, database: str) -> subprocess.Popen[str]:
    """A process of the load."""
    tokens = [AUTHORITY.token(f"subject{each}", ["orders:*", "stock:take"], lifetime=900) for each in range(10)]
    environment = {
        **os.environ,
        "TESTS_JWT_LP": json.dumps(AUTHORITY.settings(STORE=url, SERVICE="load")),
        "TESTS_TOKENS": json.dumps(tokens),
        "TESTS_DATABASE": database,
        "PYTHONPATH": str(TESTS),
    }
    command = [sys.executable, "-m", "stores.load_process", how, str(number)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def stored(store: Store) -> Counter[str]:
    found: Counter[str] = Counter()
    for row in store.usage():
        use = row.use
        found[f"{use.subject.removeprefix('subject')} {use.permission} {use.outcome}"] += row.count
    return found


@pytest.mark.parametrize("name", ENGINES)
def test_a_known_load_is_what_the_store_holds(name: str, tmp_path: Path) -> None:
    """Mixed decisions in eight processes that end in the ordinary way: to each subject, permission and outcome."""
    with engine(name, tmp_path) as (url, database, store):
        processes = [load("all", DECISIONS // PROCESSES, url, database) for _ in range(PROCESSES)]
        expected: Counter[str] = Counter()
        for each in processes:
            said, log = each.communicate(timeout=300)
            assert 0 == each.returncode, log[-2000:]
            expected.update(json.loads(said)["found"])
        assert DECISIONS // PROCESSES * PROCESSES == sum(expected.values())
        assert expected == stored(store)
        runs = list(store.recording_periods())
        assert (DECISIONS // PROCESSES * PROCESSES, 0) == (sum(r.recorded for r in runs), sum(r.dropped for r in runs))


@pytest.mark.parametrize("name", ["sqlite", "postgresql"])
def test_a_process_that_is_killed_loses_one_pause(name: str, tmp_path: Path) -> None:
    """Everything older than a pause is stored, and nothing is stored twice."""
    with engine(name, tmp_path) as (url, database, store):
        process = load("killed", 20, url, database)
        assert process.stdout is not None
        progress = [process.stdout.readline().split()]
        while float(progress[-1][0]) - float(progress[0][0]) < FLUSH_INTERVAL * 2.5:
            progress.append(process.stdout.readline().split())
        killed_at = time.time()
        process.send_signal(signal.SIGKILL)
        progress += [line.split() for line in process.stdout if line.endswith("\n")]
        process.communicate()
        made = int(progress[-1][1]) + 20
        old = max(int(number) for at, number in progress if float(at) < killed_at - FLUSH_INTERVAL - 1)
        assert old <= sum(stored(store).values()) <= made


def test_a_full_disk_costs_no_request_and_no_count(tmp_path: Path) -> None:
    """While nothing can be written requests are decided, readiness says since when, and later all of it is written."""
    with engine("sqlite", tmp_path) as (url, database, store):
        process = load("full", 500, url, database)
        said, log = process.communicate(timeout=60)
        assert 0 == process.returncode, log[-2000:]
        stood = json.loads(next(line for line in log.splitlines() if line.startswith("{")))
        assert (True, 0) == (stood["late"] >= 7, stood["dropped"])
        assert json.loads(said)["found"] == stored(store)
