"""Writers to a store for tests with several processes: `python writers.py FUNCTION URL NUMBER`."""

from __future__ import annotations

import random
import sys
import time

from jwt_lp.revocation.entries import RevocationEntry
from jwt_lp.stores import UsageBatch, Use, open_store

ROUNDS = 25
SUBJECTS = 40


def use(subject: int) -> Use:
    return Use("s", "i", f"{subject}", "c", "r", "e", "GET", "q", "p", "g", "granted", "2026-11-24")


def batches(number: int) -> list[UsageBatch]:
    """The batches of a process, equal for equal numbers; some of their rows are shared by all processes."""
    generator = random.Random(number)
    return [
        UsageBatch(
            id=f"{number}-{turn}",
            uses={use(subject): (generator.randint(1, 9), 1.0) for subject in generator.sample(range(SUBJECTS), 20)},
        )
        for turn in range(ROUNDS)
    ]


def flush(url: str, number: int) -> None:
    """Send every batch, each third one twice."""
    store = open_store(url)
    for turn, batch in enumerate(batches(number)):
        assert store.record(batch)
        if turn % 3 == 0:
            assert not store.record(batch)


def flush_until_killed(url: str, number: int) -> None:
    """Send batches until the process is killed; print the number of each stored one."""
    store = open_store(url)
    turn = 0
    while True:
        store.record(UsageBatch(id=f"{number}-{turn}", uses={use(subject): (1, 1.0) for subject in range(500)}))
        sys.stdout.write(f"{turn}\n")
        sys.stdout.flush()
        turn += 1


def revoke_and_lift(url: str, number: int) -> None:
    """Revoke entries, and lift some of them, in turns."""
    store = open_store(url)
    for turn in range(ROUNDS):
        ids = [f"{number}-{turn}-{part}" for part in range(3)]
        store.revoke(
            [RevocationEntry(id=name, of="subject", issuer="i", name=name, pattern="a:*") for name in ids],
            at=time.time(),
        )
        if turn % 2:
            store.lift(ids[:1], at=time.time())


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
