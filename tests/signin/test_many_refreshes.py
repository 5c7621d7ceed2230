"""Refreshes at once: in threads, in processes, and under a load with theft."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jwt_lp import Issuer, SignIn, SignInRefused, Tokens
from jwt_lp.stores import open_store
from signin.signin_world import ISSUER, KEY
from stores.conftest import ENGINES
from stores.threads import at_once

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwt_lp import Sessions
    from jwt_lp.stores import Store

TESTS = Path(__file__).parents[1]
REFRESHES = int(os.environ.get("TESTS_REFRESHES", "800"))
PROCESSES = 8


@pytest.fixture(params=ENGINES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty store, on each engine in turn."""
    with ENGINES[request.param](tmp_path) as url:
        yield url


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """The store at that URL."""
    with closing(open_store(url)) as store:
        yield store


def sessions(store: Store) -> Sessions:
    issuer = Issuer(ISSUER, KEY, audience="shop", client="web")
    return SignIn(issuer, store, permissions=lambda _: ["orders:read"]).sessions


def start(function: str, url: str, argument: str) -> subprocess.Popen[str]:
    if url.startswith("django:"):
        pytest.skip("another process would need the project's settings")
    environment = {**os.environ, "TESTS_KEY": json.dumps(KEY.private_jwk()), "PYTHONPATH": str(TESTS)}
    command = [sys.executable, "-m", "signin.refresh_process", function, url, argument]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def test_threads_that_refresh_at_once(store: Store) -> None:
    """Each gets the same successor, and the session goes on in one line."""
    on = sessions(store)
    token = on.start("alice").refresh_token
    for counter in range(1, 4):
        answers = at_once(store, *[partial(on.renew, token)] * 6)
        assert {counter} == {on._refresh_tokens.read(each.refresh_token).counter for each in answers}
        token = answers[counter].refresh_token


def test_a_refresh_and_a_sign_out_at_once(store: Store) -> None:
    """Whichever comes first, no token of the session refreshes afterwards."""
    on = sessions(store)
    for _ in range(5):
        first = on.start("alice")
        second, ended = at_once(store, partial(on.renew, first.refresh_token), partial(on.end_all, "alice"))
        assert 1 == ended
        for tokens in (first, second):
            if isinstance(tokens, Tokens):
                with pytest.raises(SignInRefused):
                    on.renew(tokens.refresh_token)
            else:
                assert isinstance(tokens, SignInRefused)


@pytest.mark.servers
def test_processes_that_refresh_at_once(url: str, store: Store) -> None:
    """The counter moves once, and nobody is signed out."""
    token = sessions(store).start("alice").refresh_token
    processes = [start("at_once", url, f"{time.time() + 4},{token}") for _ in range(4)]
    assert ["1"] * 4 == [process.communicate(timeout=60)[0] for process in processes]


@pytest.mark.servers
@pytest.mark.parametrize("name", ["sqlite", "postgresql"])
def test_a_load_with_theft(name: str, tmp_path: Path) -> None:
    """Eight processes refresh, some with two requests at once; every reuse is caught, and no honest client is out."""
    with ENGINES[name](tmp_path) as url:
        processes = [start("load", url, f"{REFRESHES // PROCESSES},{number}") for number in range(PROCESSES)]
        counts: Counter[str] = Counter()
        for process in processes:
            output, _ = process.communicate(timeout=300)
            assert 0 == process.returncode
            counts.update(json.loads(output))
        print(name, dict(counts))  # noqa: T201 - how long a run is, and how many were caught
        assert counts["refreshes"] >= REFRESHES // PROCESSES * PROCESSES
        assert counts["reuses caught"] == counts["reuses"] > 0
        assert 0 == counts["honest signed out"]
        with closing(open_store(url)) as store:
            assert counts["reuses"] == sum(row.entry.reason == "reuse" for row in store.revocations())
