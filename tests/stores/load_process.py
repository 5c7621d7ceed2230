"""Process of a load test: it makes decisions, prints what it expects to be counted, and ends normally.

Its arguments are the kind of load (`all`, `killed` or `full`) and the number of decisions. `killed` goes on until it is
killed, and prints its progress.
"""

from __future__ import annotations

import json
import logging
import os
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable

from jwt_lp import Call, Guard, all_of
from jwt_lp.testing.authority import ISSUER
from jwt_lp.usage.recorder import RecorderStatus

CALL = Call("GET", str, lambda _: (), "views.load")
REQUIREMENTS = {name: all_of(name) for name in ("orders:read", "orders:list", "stock:take", "reports:read")}


def create_guard() -> tuple[Guard, list[str]]:
    """A guard with its store, and the tokens of ten subjects."""
    if os.environ.get("TESTS_DATABASE"):
        from stores.server_apps import django_wsgi

        django_wsgi()
    settings = json.loads(os.environ["TESTS_JWT_LP"])
    guard = Guard(settings)
    return guard, json.loads(os.environ["TESTS_TOKENS"])


def decide(guard: Guard, tokens: list[str], number: int, counts: Counter[str]) -> None:
    """Make mixed decisions; none raises, and none is refused because the store is missing."""
    for _ in range(number):
        subject, (name, requirement) = random.randrange(len(tokens)), random.choice(list(REQUIREMENTS.items()))
        decision = guard.check(f"Bearer {tokens[subject]}", requirement, {}, f"GET /{name}", call=CALL)
        assert decision.passes or (decision.refusal and decision.refusal.status == 403)
        counts[f"{subject} {name} {'granted' if decision.passes else 'denied'}"] += 1


def recorder_status(guard: Guard) -> RecorderStatus:
    runtime = guard.ready().store
    assert runtime is not None
    return runtime.recording


def decide_on_full_disk(guard: Guard, tokens: list[str], number: int, counts: Counter[str]) -> None:
    """Make mixed decisions, some of them while the disk is full."""
    decide(guard, tokens, 10, counts)
    wait_until(lambda: recorder_status(guard).recorded == 10)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, limits[1]))
    decide(guard, tokens, number, counts)
    time.sleep(7)
    decide(guard, tokens, number, counts)
    status = recorder_status(guard)
    print(json.dumps({"late": round(time.time() - status.stored_until), "dropped": status.dropped}), file=sys.stderr)
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def main() -> None:
    kind, number = sys.argv[1], int(sys.argv[2])
    # Every second decision is a refusal and would be logged.
    logging.getLogger("jwt_lp").setLevel(logging.CRITICAL)
    guard, tokens = create_guard()
    counts: Counter[str] = Counter()
    if kind == "killed":
        while True:
            decide(guard, tokens, number, counts)
            print(time.time(), sum(counts.values()), flush=True)
            time.sleep(0.01)
    (decide_on_full_disk if kind == "full" else decide)(guard, tokens, number, counts)
    print(json.dumps({"issuer": ISSUER, "counts": counts}))


if __name__ == "__main__":
    main()
