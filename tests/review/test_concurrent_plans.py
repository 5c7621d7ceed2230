"""Plans that several processes apply and undo at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("tomlkit", reason="a policy file is edited with tomlkit (extra `cli`)")
pytest.importorskip("click", reason="plans are applied by the command (extra `cli`)")

from jwt_lp import Policy
from jwt_lp.review.plan import frozen_plan
from jwt_lp.review.plan.plan_journal import journal_path, read_status
from jwt_lp.stores import open_store
from review_factory import at, make_finding, make_review
from servers import postgres_database

if TYPE_CHECKING:
    from collections.abc import Iterator

POLICY = """version = 1
[permissions]
"orders:list" = {}
"orders:read" = {}
"orders:refund" = {}
# who may do what
[roles.clerk]
grants = ["orders:list", "orders:read", "orders:refund"]
"""
# In both orders where everything is installed, in one on the lowest versions.
ROUNDS = pytest.mark.parametrize("number", [0, pytest.param(1, marks=pytest.mark.once)])
REFUSED = ("has changed since the review", "was changed after the plan was applied", "waited")


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A store on this machine."""
    url = f"sqlite:///{tmp_path}/access.db"
    store = open_store(url)
    store.migrate()
    store.close()
    return url


def _checkout(folder: Path) -> Path:
    """A policy file in a folder of its own."""
    folder.mkdir()
    policy = folder / "least-privilege.toml"
    policy.write_text(POLICY)
    return policy


def _plan(policy: Path, name: str, grant: str) -> Path:
    """A plan that removes a grant from the role clerk of the current policy."""
    path = policy.with_name(name)
    finding = make_finding("clerk", grant, of="role", members=2)
    plan = frozen_plan.from_review(make_review(finding, policy=Policy.load(policy)), now=at("2026-11-10"))
    path.write_text(plan.encode())
    return path


# All imports are done before the process waits for the other one.
COMMAND = """
import os, sys, time
import sqlalchemy, tomlkit
from jwt_lp.cli import apply, undo
from jwt_lp.cli.commands import commands
from jwt_lp.stores.sql import SqlStore
go = sys.argv.pop(1)
open(f"{go}.{os.getpid()}", "w").close()
while not os.path.exists(f"{go}.go"):
    time.sleep(0.001)
commands()
"""


def _start(what: str, plan: Path, policy: Path, url: str) -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JWT_LP")}
    named = ["--policy", str(policy)] if what == "apply" else []
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, str(_line(policy)), what, str(plan), *named, "--yes", "--store", url],
        env=kept,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _line(policy: Path) -> Path:
    """The path of the files by which processes report that they are ready, and are started."""
    return policy.resolve().parent.with_name("line")


def _ended(policy: Path, *started: subprocess.Popen[str]) -> list[tuple[int, str]]:
    """Start all at once; return the exit code and the standard error, in one line, of each."""
    line = _line(policy)
    until = time.monotonic() + 60
    while not all(Path(f"{line}.{process.pid}").exists() for process in started):
        assert time.monotonic() < until
        assert not any(process.poll() for process in started)
        time.sleep(0.01)
    go = Path(f"{line}.go")
    go.touch()
    errors = [process.communicate(timeout=120)[1] for process in started]
    go.unlink()
    return [(process.returncode, " ".join(text.split())) for process, text in zip(started, errors, strict=True)]


def _codes(policy: Path, *started: subprocess.Popen[str]) -> list[int]:
    return [code for code, _ in _ended(policy, *started)]


def _grants(policy: Path) -> set[str]:
    return {grant.text for grant in Policy.load(policy).roles["clerk"].grants}


def _standing(url: str) -> set[str]:
    store = open_store(url)
    found = {row.entry.pattern for row in store.revocations()}
    store.close()
    return found


ALL = {"orders:list", "orders:read", "orders:refund"}


@ROUNDS
def test_two_plans_at_once_revoke_what_their_journals_say(tmp_path: Path, url: str, number: int) -> None:
    """Of two plans at once, one is applied as its journal says; the other is refused and changes nothing."""
    policy = _checkout(tmp_path / "checkout")
    revoked = {"a.plan": "orders:refund", "b.plan": "orders:read"}
    plans = [_plan(policy, name, grant) for name, grant in revoked.items()]
    if number % 2:
        plans.reverse()
    ended = _ended(policy, *(_start("apply", plan, policy, url) for plan in plans))
    done = {revoked[plan.name] for plan in plans if read_status(journal_path(plan)).state == "applied"}
    assert ALL - done == _grants(policy)
    assert (1, [0, 1]) == (len(done), sorted(code for code, _ in ended))
    assert [True] == [any(text in error for text in REFUSED) for code, error in ended if code]
    assert {"applied", "new"} == {read_status(journal_path(plan)).state for plan in plans}
    # The store knows no issuer, so that its entry is the review's alone.
    assert done == _standing(url)
    assert {"a.plan", "b.plan", "least-privilege.toml"} >= {
        file.name for file in policy.parent.iterdir() if not file.name.endswith(".journal")
    }


@ROUNDS
def test_applying_and_undoing_at_once_match_their_journals(tmp_path: Path, url: str, number: int) -> None:
    """Of an undo and an application at once, one succeeds and the other is refused."""
    policy = _checkout(tmp_path / "checkout")
    first = _plan(policy, "first.plan", "orders:refund")
    assert [0] == _codes(policy, _start("apply", first, policy, url))
    second = _plan(policy, "second.plan", "orders:read")
    what = [("undo", first), ("apply", second)]
    if number % 2:
        what.reverse()
    ended = _ended(policy, *(_start(verb, plan, policy, url) for verb, plan in what))
    states = read_status(journal_path(first)).state, read_status(journal_path(second)).state
    assert states in {("undone", "new"), ("applied", "applied")}
    assert [0, 1] == sorted(code for code, _ in ended)
    gone = set() if states[0] == "undone" else {"orders:refund", "orders:read"}
    assert (ALL - gone, gone) == (_grants(policy), _standing(url))
    assert [True] == [any(text in error for text in REFUSED) for code, error in ended if code]


@ROUNDS
def test_the_same_plan_twice_at_once_is_applied_once(tmp_path: Path, url: str, number: int) -> None:
    """The later process reports that the plan was applied already; entries and journal lines exist once."""
    policy = _checkout(tmp_path / "checkout")
    plan = _plan(policy, f"{number}.plan", "orders:refund")
    ended = _ended(policy, *(_start("apply", plan, policy, url) for _ in range(2)))
    assert [0, 1] == sorted(code for code, _ in ended)
    assert [True] == ["was applied already" in error for code, error in ended if code]
    lines = [json.loads(line)["what"] for line in journal_path(plan).read_text().splitlines()]
    assert (["intent", "done"], {"orders:refund"}) == (lines, _standing(url))
    assert ALL - {"orders:refund"} == _grants(policy)


def test_a_linked_policy_file_is_one_file(tmp_path: Path, url: str) -> None:
    """A policy file and a link to it are not edited at once."""
    policy = _checkout(tmp_path / "checkout")
    link = tmp_path / "linked.toml"
    link.symlink_to(policy)
    plans = [_plan(policy, "a.plan", "orders:refund"), _plan(policy, "b.plan", "orders:read")]
    # Two stores: nothing but the file is shared.
    other = f"sqlite:///{tmp_path}/other.db"
    store = open_store(other)
    store.migrate()
    store.close()
    ended = _ended(policy, _start("apply", plans[0], policy, url), _start("apply", plans[1], link, other))
    assert [0, 1] == sorted(code for code, _ in ended)
    done = [grant for grant, plan in zip(("orders:refund", "orders:read"), plans, strict=True)
            if read_status(journal_path(plan)).state == "applied"]  # fmt: skip
    assert (1, ALL - {*done}) == (len(done), _grants(policy))
    assert link.is_symlink()


@pytest.fixture
def server() -> Iterator[str]:
    """A store that several machines share."""
    with postgres_database() as found:
        store = open_store(found)
        store.migrate()
        store.close()
        yield found


def test_two_checkouts_of_one_store_are_not_applied_at_once(tmp_path: Path, server: str) -> None:
    """Processes that share only the store exclude each other, and the error names the other process."""
    policy = _checkout(tmp_path / "there")
    plan = _plan(policy, "q.plan", "orders:refund")
    store = open_store(server)
    with store.exclusive("a plan", wait=0):
        ((code, error),) = _ended(policy, _start("apply", plan, policy, server))
    store.close()
    assert (1, True) == (code, f"process {os.getpid()} on " in error)
    assert ("new", ALL, set()) == (read_status(journal_path(plan)).state, _grants(policy), _standing(server))
    assert [0] == _codes(policy, _start("apply", plan, policy, server))
