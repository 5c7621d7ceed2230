"""The console: how long each page takes at the server, and twenty reviewers who decide at once.

The store is in PostgreSQL, on the server that BENCH_POSTGRES names. Pages are asked for by a person who is signed in, over
one connection that stays open, and the time is that until the page is there as a whole. In the load each reviewer opens
their list, previews decisions and saves them, over and over; afterwards every saved decision has to be in the store, and
the audit trail has to be whole.
"""

from __future__ import annotations

import json
import os
import random
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import psutil

from benchmarks.apps.console_app import VARIABLE
from benchmarks.console_reviewer import PageFailed, Reviewer
from benchmarks.console_store import CONSOLE, ISSUER, BenchedStore, ConsoleSize, benched_store
from benchmarks.figures import Figure
from benchmarks.rounds import Distribution
from benchmarks.scale import FULL, QUICK, Scale
from jwt_lp import Guard, Issuer, Policy
from jwt_lp.campaigns import Campaigns, verify_audit
from jwt_lp.stores import ItemFilter, open_store

SUBJECTS: Final = 10_000
REVIEWERS: Final = 20
AT_ONCE: Final = 60
"""How many decisions the preview of the pages is asked about."""
IN_TURN: Final = 10
"""How many decisions each reviewer of the load saves at once."""
PAUSE: Final = 1.0
"""Seconds between the pages of a reviewer, on average."""
SECONDS: Final[Mapping[str, float]] = {FULL.name: 300, QUICK.name: 20}
"""How long the load takes; at any other scale two seconds."""
SAMPLED: Final = 0.25
_MB: Final = 1024 * 1024


def run(scale: Scale) -> list[Figure]:
    """The figures."""
    large = scale.name in SECONDS
    size = ConsoleSize(subjects=SUBJECTS if large else 100, reviewers=REVIEWERS if large else 2)
    with benched_store(size) as benched, _served(benched) as server:
        memory = [server.memory]
        pages = _pages(benched, server, scale.rounds)
        memory.append(server.memory)
        with server.watched() as most:
            load = _load(benched, server, SECONDS.get(scale.name, 2))
        memory.append(server.memory)
        names = ("before any page", "after the pages", "after the load")
        return [
            *pages,
            *load,
            *(Figure.of_value(f"memory {name}", "MB", value) for name, value in zip(names, memory, strict=True)),
            Figure.of_value("memory, the most during the load", "MB", max(most)),
            Figure.of_value("memory that pages and load add", "MB", max(most) - memory[0]),
        ]


@dataclass
class _Server:
    """The server's process, and the people who use it."""

    process: psutil.Process
    port: int
    benched: BenchedStore
    guard: Guard
    issuer: Issuer = field(init=False)

    def __post_init__(self) -> None:
        settings = self.benched.settings
        self.issuer = Issuer(
            ISSUER, self.benched.key, policy=Policy.from_mapping(settings["POLICY"]), audience="console", client="web"
        )

    @property
    def memory(self) -> float:
        """Resident memory, in MB."""
        return float(self.process.memory_info().rss / _MB)

    @property
    def processor_time(self) -> float:
        """What its threads have computed, in seconds."""
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(each.read_text().split()[0]) for each in threads) / 1e9

    def person(self, subject: str, *permissions: str) -> Reviewer:
        """Somebody who is signed in; without permissions, with all of the console."""
        token = self.issuer.issue(subject, permissions=list(permissions or CONSOLE), lifetime=3600)
        return Reviewer(self.port, token, self.guard)

    @contextmanager
    def watched(self) -> Iterator[list[float]]:
        """The memory at many moments until the context ends."""
        seen, ended = [self.memory], threading.Event()

        def watch() -> None:
            while not ended.wait(SAMPLED):
                seen.append(self.memory)

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield seen
        finally:
            ended.set()
            thread.join()


@contextmanager
def _served(benched: BenchedStore) -> Iterator[_Server]:
    """The console in a process of its own, on loopback."""
    environment = os.environ | {VARIABLE: json.dumps({"settings": benched.settings, "size": asdict(benched.size)})}
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        command = [sys.executable, "-m", "uvicorn", "--factory", "--log-level", "error", "--timeout-keep-alive", "600"]
        process = subprocess.Popen(
            [*command, "--fd", str(listener.fileno()), "benchmarks.apps.console_app:create"],
            env=environment,
            pass_fds=[listener.fileno()],
        )
        guard = Guard({name: value for name, value in benched.settings.items() if name != "STORE"})
        try:
            server = _Server(psutil.Process(process.pid), listener.getsockname()[1], benched, guard)
            with closing(server.person("engineer")) as engineer:
                engineer.get("/")
            yield server
        finally:
            process.terminate()
            process.wait(30)


def _pages(benched: BenchedStore, server: _Server, rounds: int) -> list[Figure]:
    """Every page, in rounds of another order each; the first round is not counted."""
    with closing(server.person("engineer")) as engineer, closing(server.person("manager-0")) as manager:
        manager.times = engineer.times
        pages = _places(benched, engineer, manager)
        computed: dict[str, list[float]] = {name: [] for name in pages}
        for number in range(rounds + 1):
            order = list(pages)
            random.Random(number).shuffle(order)
            for name in order:
                before = server.processor_time
                pages[name]()
                computed[name].append(server.processor_time - before)
            if number == 0:
                engineer.times.clear()
        return [
            figure
            for name in pages
            for figure in _of_times(name, engineer.times[name], ours=statistics.median(computed[name][1:]))
        ]


def _places(benched: BenchedStore, engineer: Reviewer, manager: Reviewer) -> dict[str, Callable[[], object]]:
    """How each page is asked for, by its name; only the reviewer of a part sees a preview."""
    campaign = f"/campaigns/{benched.campaign}"
    part = {"part": "manager-0"}
    with closing(open_store(benched.url)) as store:
        wanted = ItemFilter(campaign=benched.campaign, part="manager-0", after=-1, limit=AT_ONCE)
        items = [item.id for item in store.campaign_items(wanted)]
    permission = "area-7:thing-7:read"
    paths = {
        "overview": "/",
        "campaigns": "/campaigns",
        "a campaign": campaign,
        "the list of a part": f"{campaign}/decide?{urlencode(part)}",
        "the list, further on": f"{campaign}/decide?{urlencode({**part, 'after': 300})}",
        "an item": f"{campaign}/items/{items[0]}",
        "search": "/search?q=subject-12",
        "a subject": f"/subject?{urlencode({'issuer': ISSUER, 'name': 'subject-12'})}",
        "a client": f"/client?{urlencode({'issuer': ISSUER, 'name': 'client-1'})}",
        "a role": "/role?name=role-7",
        "a permission": f"/permission?{urlencode({'name': permission})}",
        "routes": "/routes",
        "plans": "/plans",
        "elevations": "/elevations",
        "revocations": "/revocations",
        "audit trail": "/audit",
    }
    asked: dict[str, Callable[[], object]] = {name: partial(engineer.get, path, name) for name, path in paths.items()}
    answers = [
        *part.items(), ("show", "open"), ("group", ""), ("after", "-1"), ("step", "preview"),
        *(pair for item in items for pair in ((f"version.{item}", "0"), (f"decision.{item}", "remove"))),
    ]  # fmt: skip
    name = f"preview of {AT_ONCE} decisions"
    asked[name] = partial(manager.post, f"{campaign}/preview", answers, name)
    return asked


def _load(benched: BenchedStore, server: _Server, seconds: float) -> list[Figure]:
    """Reviewers who decide at once; `RuntimeError` if a page fails, or a decision or a link of the trail is lost."""
    reviewers = {
        f"manager-{number}": server.person(f"manager-{number}", CONSOLE[1]) for number in range(benched.size.reviewers)
    }
    faults: list[str] = []
    until = time.monotonic() + seconds

    def work(name: str, reviewer: Reviewer) -> None:
        dice, turn = random.Random(name), 0
        while time.monotonic() < until and not faults:
            try:
                reviewer.decide(benched.campaign, name, turn, IN_TURN)
            except (PageFailed, OSError) as error:
                faults.append(f"{name}: {error}")
            turn += 1
            time.sleep(dice.uniform(0, 2 * PAUSE))
        reviewer.close()

    threads = [threading.Thread(target=work, args=pair) for pair in reviewers.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    faults += _lost(benched, reviewers)
    if faults:
        raise RuntimeError("; ".join(faults[:5]))
    saved = sum(len(reviewer.decided) for reviewer in reviewers.values())
    times = {kind: [each for one in reviewers.values() for each in one.times.get(kind, ())] for kind in _KINDS}
    return [
        *(figure for kind, name in _KINDS.items() for figure in _of_times(name, times[kind])),
        Figure.of_value("decisions saved in the load", "per s", saved / seconds),
    ]


_KINDS: Final = {"list": "in the load: the list", "preview": "in the load: a preview", "save": "in the load: saving"}


def _lost(benched: BenchedStore, reviewers: Mapping[str, Reviewer]) -> Iterator[str]:
    """What the store does not hold as it was saved."""
    with closing(open_store(benched.url)) as store:
        stored = {
            item.id: (item.decision.decision, item.decision.by.subject)
            for item in store.campaign_items(ItemFilter(campaign=benched.campaign, decided=True))
            if item.decision is not None
        }
        for name, reviewer in reviewers.items():
            for item, decision in reviewer.decided.items():
                if stored.get(item) != (decision, name):
                    yield f"{name} saved {decision} about {item}, and the store holds {stored.get(item)}"
        wanted = sum(len(reviewer.decided) for reviewer in reviewers.values())
        counted = Campaigns(store, None).get(benched.campaign).decided
        if not wanted == len(stored) == counted:
            yield f"{wanted} decisions were saved, {len(stored)} are stored, and {counted} are counted"
        if verify_audit(store).broken is not None:
            yield "the audit trail is broken"


def _of_times(name: str, seconds: list[float], *, ours: float | None = None) -> Iterator[Figure]:
    """Median with quartiles, and the highest; `ours` is the processor time of the server's process."""
    spread = Distribution(*(1e3 * each for each in Distribution.of(seconds)))
    yield Figure(what=name, unit="ms", value=spread, ours=ours, samples=tuple(seconds))
    yield Figure.of_value(f"{name}, the slowest", "ms", 1e3 * max(seconds))
