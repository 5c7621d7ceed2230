"""Several processes on one store: nothing is lost, nothing counts twice, and changes are read in order."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jwt_lp.stores import UsageBatch, open_store

if TYPE_CHECKING:
    from jwt_lp.revocation.entries import RevocationEntry
    from jwt_lp.stores import Store

WRITERS = Path(__file__).with_name("writers.py")
_spec = spec_from_file_location("writers", WRITERS)
assert _spec is not None
assert _spec.loader is not None
writers = module_from_spec(_spec)
_spec.loader.exec_module(writers)


@pytest.fixture
def shared(url: str) -> str:
    """A store that other processes can open by its URL alone."""
    if url.startswith("django"):
        pytest.skip("another process would need the project's settings")
    return url


def start(function: str, url: str, number: int, stdout: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
    command = [sys.executable, str(WRITERS), function, url, f"{number}"]
    return subprocess.Popen(command, stdout=stdout, text=True)


@pytest.mark.once
def test_eight_processes_count_exactly(shared: str, store: Store) -> None:
    """Each sends random batches to the same rows, some twice; the store holds their sum, each batch once."""
    processes = [start("flush", shared, number) for number in range(8)]
    assert [0] * 8 == [process.wait(120) for process in processes]
    expected: Counter[object] = Counter()
    for number in range(8):
        for batch in writers.batches(number):
            expected.update({use: count for use, (count, _) in batch.uses.items()})
    assert expected == {row.use: row.count for row in store.usage()}
    assert 0 == store.check_sums()


@pytest.mark.once
def test_sums_are_right_while_others_write(shared: str, store: Store) -> None:
    """While four processes send batches, the sums are made anew and old rows are deleted; in the end they are right."""
    store.record(
        UsageBatch(id="old", uses={writers.use(1)._replace(day=f"2025-0{month}-01"): (1, 1.0) for month in (1, 2)})
    )
    processes = [start("flush", shared, number) for number in range(4)]
    rounds = 0
    while rounds < 3 or any(process.poll() is None for process in processes):
        store.rebuild_sums()
        store.purge(before=f"2025-0{min(rounds, 8) + 1}-15", now=1.0)
        assert 0 == store.check_sums()
        rounds += 1
    assert [0] * 4 == [process.wait(120) for process in processes]
    assert 0 == store.check_sums()
    assert sum(row.count for row in store.usage()) == sum(row.uses for row in store.summary(until="2026-12-31"))


def test_a_killed_writer_loses_nothing_and_counts_nothing_twice(shared: str, store: Store) -> None:
    """After SIGKILL during flushes confirmed batches are stored, and sending the others again counts them once."""
    sent = 0
    for number in range(3):
        process = start("flush_until_killed", shared, number, subprocess.PIPE)
        assert process.stdout is not None
        confirmed = -1
        while confirmed < 5:
            confirmed = int(process.stdout.readline())
        process.kill()
        confirmed = max([confirmed, *map(int, process.stdout.read().split())])
        process.stdout.close()
        process.wait()
        # The next batch may be stored, too, although its answer was lost.
        again = [
            store.record(
                UsageBatch(id=f"{number}-{turn}", uses={writers.use(subject): (1, 1.0) for subject in range(500)})
            )
            for turn in range(confirmed + 2)
        ]
        assert [False] * (confirmed + 1) == again[:-1]
        sent += confirmed + 2
        assert {sent} == {row.count for row in store.usage()}
        assert 0 == store.check_sums()


def test_a_reader_misses_nothing(shared: str, store: Store) -> None:
    """While processes revoke and lift, a reader that polls sees all changes in order and ends with the same entries."""
    store.changes(0)
    processes = [start("revoke_and_lift", shared, number) for number in range(4)]
    known: dict[str, RevocationEntry] = {}
    since, running = 0, True
    while running:
        running = any(process.poll() is None for process in processes)
        page = store.changes(since)
        assert page.sequence >= since
        assert bool(page.entries or page.touched) <= (page.sequence > since)
        known = {name: entry for name, entry in known.items() if entry.key not in page.touched}
        known |= {entry.id: entry for entry in page.entries}
        since = page.sequence
    assert [0] * 4 == [process.wait() for process in processes]
    rows = list(store.revocations(lifted=True))
    lifted = sum(row.lifted_at is not None for row in rows)
    assert 4 * writers.ROUNDS * 3 == len(rows)
    assert len(rows) + lifted == since
    assert {row.entry.id: row.entry for row in rows if row.lifted_at is None} == known


def test_processes_that_create_the_store_together(tmp_path: Path) -> None:
    """A file that four processes write to first, at the same time, is created once."""
    pytest.importorskip("sqlalchemy")
    url = f"sqlite:///{tmp_path / 'new.db'}"
    processes = [start("revoke_and_lift", url, number) for number in range(4)]
    assert [0] * 4 == [process.wait(60) for process in processes]
    assert 4 * writers.ROUNDS * 3 == len(list(open_store(url).revocations(lifted=True)))
