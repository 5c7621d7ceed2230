"""One process of a load: decides so often, says what was to be counted, and ends as an ordinary process does.

Run with a number and, for one that goes on until it is killed, a file to write its progress to.
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

from jwt_lp import Call, Guard, all_of
from jwt_lp.testing.authority import ISSUER
from jwt_lp.usage.recorder import RecorderStatus

CALL = Call("GET", str, lambda _: (), "views.load")
ASKED = {each: all_of(each) for each in ("orders:read", "orders:list", "stock:take", "reports:read")}


def begin() -> tuple[Guard, list[str]]:
    """A guard with its store, and the tokens of ten subjects."""
    if os.environ.get("TESTS_DATABASE"):
        from stores.server_apps import django_wsgi

        django_wsgi()
    settings = json.loads(os.environ["TESTS_JWT_LP"])
    guard = Guard(settings)
    return guard, json.loads(os.environ["TESTS_TOKENS"])


def decide(guard: Guard, tokens: list[str], number: int, found: Counter[str]) -> None:
    """So many mixed decisions; none raises and none is refused for want of the store."""
    for _ in range(number):
        subject, (name, asked) = random.randrange(len(tokens)), random.choice(list(ASKED.items()))
        decision = guard.check(f"Bearer {tokens[subject]}", asked, {}, f"GET /{name}", call=CALL)
        assert decision.passes or (decision.refusal and decision.refusal.status == 403)
        found[f"{subject} {name} {'granted' if decision.passes else 'denied'}"] += 1


def recording(guard: Guard) -> RecorderStatus:
    memory = guard.ready().store
    assert memory is not None
    return memory.recording


def full(guard: Guard, tokens: list[str], number: int, found: Counter[str]) -> None:
    """The same on a disk that is full for a while."""
    decide(guard, tokens, 10, found)
    until(lambda: recording(guard).recorded == 10)
    allowed = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, allowed[1]))
    decide(guard, tokens, number, found)
    time.sleep(7)
    decide(guard, tokens, number, found)
    stood = recording(guard)
    print(json.dumps({"late": round(time.time() - stood.stored_until), "dropped": stood.dropped}), file=sys.stderr)
    resource.setrlimit(resource.RLIMIT_FSIZE, allowed)


def until(holds: object) -> None:
    deadline = time.monotonic() + 20
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.1)


def main() -> None:
    how, number = sys.argv[1], int(sys.argv[2])
    # Every second decision is a refusal, and a line.
    logging.getLogger("jwt_lp").setLevel(logging.CRITICAL)
    guard, tokens = begin()
    found: Counter[str] = Counter()
    if how == "killed":
        while True:
            decide(guard, tokens, number, found)
            print(time.time(), sum(found.values()), flush=True)
            time.sleep(0.01)
    (full if how == "full" else decide)(guard, tokens, number, found)
    print(json.dumps({"issuer": ISSUER, "found": found}))


if __name__ == "__main__":
    main()
