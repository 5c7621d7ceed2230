"""`jwt-lp evidence`, from a worksheet to what an auditor verifies."""

from __future__ import annotations

import json
import stat
import threading
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("tomlkit")

from jwt_lp._support.file_lock import hold_lock, lock_path
from jwt_lp.jose.key_rotation import FOLDER, KeyRing, add_key
from jwt_lp.review.evidence_file import read_evidence
from jwt_lp.review.plan import Plan
from jwt_lp.review.plan.frozen_plan import PlanItem
from jwt_lp.review.plan.plan_journal import ApplyIntent, append_entry, append_intent
from jwt_lp.review.plan.review_items import ReviewOrigin

EVIDENCE = Path("q.evidence")


@pytest.fixture
def run(project, cli):
    """`run(*arguments)`: a command of the group, where keys, a worksheet and a plan with its journal are."""
    add_key(FOLDER)
    project.write("decide.csv", "id,decision\n1,remove\n")
    origin = ReviewOrigin(*("x" for _ in ReviewOrigin._fields))  # type: ignore[arg-type] # nothing reads it here
    item = PlanItem(
        id="1", action="deny", of="subject", issuer="i", name="ann", role="", grant="a:read", reviewer="eve"
    )
    made = Plan(made_at=1e9, origin=origin, items=(item,))
    project.write("q.plan", made.encode())
    project.write("verified.json", "[]")

    def run(*arguments):
        code, out, err = cli("evidence", *arguments, COLUMNS="400")
        return code, out, " ".join(err.split())

    return run


def _apply(plan="q.plan", hash_=None):
    """The journal that an application leaves."""
    made = Plan.decode(Path(plan).read_text())
    intent = ApplyIntent(
        at=1e9, by="eve", plan=hash_ or made.hash, path="", before=None, after=None, entries=(), wrote=(), items=("1",),
        dropped=(),
    )  # fmt: skip
    journal = Path(f"{plan}.journal")
    append_intent(journal, intent)
    append_entry(journal, "done", at=1e9, by="eve")
    return str(journal)


def _thumbprint():
    return read_evidence(EVIDENCE.read_bytes().splitlines(keepends=True), None).thumbprints[0]


def _head(out):
    return next(line.split()[1].rstrip(";") for line in out.splitlines() if line.startswith("head "))


def test_from_decisions_to_an_auditor(run, project):
    """Each step is added, the end closes the file, and an auditor verifies it with the thumbprint or the key set."""
    code, out, _ = run("create", str(EVIDENCE), "decide.csv", "--plan", "q.plan", "--by", "mia")
    assert (0, 0o600) == (code, stat.S_IMODE(EVIDENCE.stat().st_mode))
    assert (_thumbprint() in out, "mia" in out) == (True, True)
    known = ("--thumbprint", _thumbprint())
    code, out, err = run("verify", str(EVIDENCE), *known)
    assert (1, True) == (code, "cannot be shown to be complete" in err)
    journal = _apply()
    code, out, _ = run("add", str(EVIDENCE), "--journal", journal, "--verification", "verified.json")
    head = _head(out)
    code, out, _ = run("verify", str(EVIDENCE), *known, "--head", head)
    assert (0, True) == (code, "unchanged and up to the given head" in out)
    assert 0 == run("add", str(EVIDENCE), "--close")[0]
    project.write("jwks.json", json.dumps(KeyRing(FOLDER).jwks()))
    for trusted in (known, ("--jwks", "jwks.json")):
        code, out, _ = run("verify", str(EVIDENCE), *trusted)
        assert (0, True) == (code, "unchanged and complete" in out)
    found = read_evidence(EVIDENCE.read_bytes().splitlines(keepends=True), None)
    assert ["decisions", "plan", "journal", "verification", "closing"] == [each.step for each in found.entries]
    assert Path("q.plan").read_text() == found.entries[1].files["q.plan"]
    assert (2, True) == ((done := run("add", str(EVIDENCE), "--close"))[0], "the evidence is closed" in done[2])
    assert 0 == run("page", str(EVIDENCE), "-o", "q.html")[0]
    assert ("Evidence of an access review" in Path("q.html").read_text(), 0o600) == (
        True, stat.S_IMODE(Path("q.html").stat().st_mode),
    )  # fmt: skip


def test_a_plan_that_was_applied_before(run):
    """The journal beside the plan is part of the evidence."""
    _apply()
    assert 0 == run("create", str(EVIDENCE), "--plan", "q.plan")[0]
    found = read_evidence(EVIDENCE.read_bytes().splitlines(keepends=True), None)
    assert ["decisions", "plan", "journal"] == [each.step for each in found.entries]


def test_what_an_auditor_must_see(run):
    """A changed, a shortened and a foreign file are exit code 1, and none is verified without a known key."""
    run("create", str(EVIDENCE), "decide.csv", "--plan", "q.plan")
    out = run("add", str(EVIDENCE), "--close")[1]
    whole, known = EVIDENCE.read_bytes(), ("--thumbprint", _thumbprint())
    for data, more, message in (
        (whole.replace(b"remove", b"keep", 1), (), "entry 1: its signature is wrong"),
        (b"".join(whole.splitlines(keepends=True)[:-1]), (), "cannot be shown to be complete"),
        (b"".join(whole.splitlines(keepends=True)[:-1]), ("--head", _head(out)), "entries were dropped or added"),
        (b"", (), "it is empty"),
        (b"\xff\n", (), "entry 1: the line is not JSON in UTF-8"),
    ):
        EVIDENCE.write_bytes(data)
        code, _, err = run("verify", str(EVIDENCE), *known, *more)
        assert (1, True) == (code, message in err), err
    EVIDENCE.write_bytes(whole)
    code, _, err = run("verify", str(EVIDENCE), "--thumbprint", "x")
    assert (1, True) == (code, "entry 1: it is signed by another key" in err)
    code, _, err = run("verify", str(EVIDENCE))
    assert (2, True) == (code, "whose key is it? pass --thumbprint or --jwks" in err)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("create", "q.evidence", "missing.csv", "--plan", "q.plan"), "'missing.csv' cannot be read"),
        (("create", "q.evidence", "--plan", "decide.csv"), "this is not a plan"),
        (("create", "q.evidence", "bytes.csv", "--plan", "q.plan"), "bytes.csv is not UTF-8"),
        (("create", "q.evidence", "--plan", "q.plan", "--keys", "nowhere"), "holds no signing keys"),
        (("create", "decide.csv", "--plan", "q.plan"), "decide.csv is there already"),
        (("add", "q.evidence", "--close"), "'q.evidence' cannot be read"),
        (("add", "decide.csv", "--close"), "decide.csv: entry 1: the line is not JSON"),
        (("add", "q.evidence"), "what is to be added?"),
        (("verify", "q.evidence", "--jwks", "decide.csv"), "the key set is not JSON"),
        (("verify", "q.evidence", "--jwks", "http://login.example.com/jwks"), "is an http address: use https"),
        (("page", "missing", "-o", "q.html"), "'missing' cannot be read"),
    ],
)
def test_what_is_refused(run, arguments, message):
    """A wrong file is exit code 2 or 1 with what is wrong, and no evidence is written."""
    Path("bytes.csv").write_bytes(b"\xff")
    code, _, err = run(*arguments)
    assert (True, True) == (code in (1, 2), message in err), err
    assert not EVIDENCE.exists()
    assert not Path("q.html").exists()


def test_a_journal_of_another_plan(run):
    """It is refused, and the evidence stays as it was."""
    run("create", str(EVIDENCE), "--plan", "q.plan")
    before = EVIDENCE.read_bytes()
    code, _, err = run("add", str(EVIDENCE), "--journal", _apply(hash_="0" * 64))
    assert (2, True) == (code, "is not the journal of the plan in the evidence" in err)
    assert before == EVIDENCE.read_bytes()


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ('[{"id": "2"}]', "verified.json is not the verification of the plan in the evidence"),
        ("[5]", "verified.json is not the output of jwt-lp verify"),
        ("!", "verified.json is not the output of jwt-lp verify"),
    ],
)
def test_a_verification_of_another_plan(run, project, written, message):
    """It is refused, and the evidence stays as it was."""
    run("create", str(EVIDENCE), "--plan", "q.plan")
    before = EVIDENCE.read_bytes()
    project.write("verified.json", written)
    code, _, err = run("add", str(EVIDENCE), "--verification", "verified.json")
    assert (2, True) == (code, message in err), err
    assert before == EVIDENCE.read_bytes()
    project.write("verified.json", '[{"id": "1"}]')
    assert 0 == run("add", str(EVIDENCE), "--verification", "verified.json")[0]


def test_two_worksheets_of_one_name(run, project):
    """The evidence keeps names without folders, so one of the two would be lost."""
    Path("north").mkdir()
    project.write("north/decide.csv", "id,decision\n1,remove\n")
    code, _, err = run("create", str(EVIDENCE), "decide.csv", "north/decide.csv", "--plan", "q.plan")
    assert (2, True) == (code, "two files are named decide.csv: rename one of them" in err)
    assert not EVIDENCE.exists()


def test_two_that_add_at_once(run, monkeypatch):
    """The second one waits for the first, and says who holds the lock if it takes too long."""
    monkeypatch.setattr("jwt_lp.cli.evidence._LOCK_SECONDS", 0.1)
    run("create", str(EVIDENCE), "--plan", "q.plan")
    held, done = threading.Event(), threading.Event()

    def hold():
        with hold_lock(lock_path(EVIDENCE), "q.evidence", wait=1):
            held.set()
            done.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    code, _, err = run("add", str(EVIDENCE), "--close")
    done.set()
    thread.join()
    assert (True, True) == (code in (1, 2), "q.evidence" in err), err
    assert 0 == run("add", str(EVIDENCE), "--close")[0]
