"""What other processes do to a store in tests: `python writers.py WHAT URL NUMBER`."""

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
    """The same for the same number: what a process sends, some of it to rows that all of them count on."""
    chance = random.Random(number)
    return [
        UsageBatch(
            id=f"{number}-{turn}",
            uses={use(subject): (chance.randint(1, 9), 1.0) for subject in chance.sample(range(SUBJECTS), 20)},
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


def flush_for_ever(url: str, number: int) -> None:
    """Send batches until somebody kills this, saying which are in."""
    store = open_store(url)
    turn = 0
    while True:
        store.record(UsageBatch(id=f"{number}-{turn}", uses={use(subject): (1, 1.0) for subject in range(500)}))
        sys.stdout.write(f"{turn}\n")
        sys.stdout.flush()
        turn += 1


def take_back(url: str, number: int) -> None:
    """Revoke and lift by turns."""
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
