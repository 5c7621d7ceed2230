"""Plans in stages that are killed at each of their writes: the next call finishes them, and undo reverts all of them."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import pytest

from jwt_lp.errors import ConfigurationError, PolicyError
from jwt_lp.review.plan import application, apply, give_notice, read_status, restoration
from jwt_lp.stores import open_store
from review.test_staged_removal import ALICE, BOB, CLERK, DAY, FINAL, POLICY, STAGES, START, TRIAL, Round
from review_factory import make_finding, make_use, record_uses

pytest.importorskip("sqlalchemy")
pytest.importorskip("tomlkit")

WIDE = make_finding("alice", "orders:*", kind="wildcard")
WRITES = {"trial": 3, "restore": 3, "final": 5, "undo": 4}
"""How many writes each call makes."""
KILLS = [(step, number) for step, writes in WRITES.items() for number in range(writes)]


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def store(tmp_path):
    """A store that knows one issuer."""
    with closing(open_store(f"sqlite:///{tmp_path}/a.db")) as found:
        found.migrate()
        record_uses(found, make_use("orders:list", "2026-10-01", "zoe"))
        yield found


@pytest.fixture
def kill(store, monkeypatch):
    """Call something, and end it before its n-th write; whether it ended so."""

    def run(number, call):
        count = 0

        def dying(write):
            def step(*args, **kwargs):
                nonlocal count
                count += 1
                if count > number:
                    raise Killed
                return write(*args, **kwargs)

            return step

        with monkeypatch.context() as patch:
            for module in (application, restoration):
                for name in ("append_entry", "append_intent", "write_atomically"):
                    if hasattr(module, name):
                        patch.setattr(module, name, dying(getattr(module, name)))
            for name in ("revoke", "lift"):
                patch.setattr(type(store), name, dying(getattr(type(store), name)))
            try:
                call()
            except Killed:
                return True
        return False

    return run


def in_trial(store, tmp_path):
    """A plan in its trial, in which two entries of one holder overlap; of `bob` and `clerk` too."""
    run = Round(store, tmp_path, ALICE, WIDE, BOB, CLERK, stages=STAGES[1:])
    run.apply(TRIAL)
    return run


STEPS = {
    "trial": lambda run: run.apply(TRIAL),
    "restore": lambda run: run.restore(ALICE),
    "final": lambda run: run.apply(FINAL),
    "undo": lambda run: run.undo(FINAL + DAY),
}


def before(step, store, tmp_path):
    """A plan just before a step, which gives back an item first, so that the final stage has entries to replace."""
    if step == "trial":
        return Round(store, tmp_path, ALICE, WIDE, BOB, CLERK, stages=STAGES[1:])
    run = in_trial(store, tmp_path)
    if step in ("final", "undo"):
        # Bob's use drops his item, so the final stage lifts an entry of the trial.
        record_uses(store, make_use("orders:read", "2026-12-01", "bob"))
    if step == "undo":
        run.apply(FINAL)
    return run


@pytest.mark.parametrize(("step", "number"), KILLS)
def test_undo_after_a_kill_frees_everybody(store, tmp_path, kill, step, number):
    """After a kill at any write, undo lifts every entry of the plan and restores the policy, also the second time."""
    run = before(step, store, tmp_path)
    assert kill(number, lambda: STEPS[step](run))
    if read_status(run.journal).state not in ("new", "undone"):
        run.undo(FINAL + 2 * DAY)
    assert (set(), POLICY) == (run.denied(), run.policy.read_text())


@pytest.mark.parametrize(("step", "number"), KILLS)
def test_the_same_call_after_a_kill_finishes_it(store, tmp_path, kill, step, number):
    """The second call leaves the store and the policy as one call would have."""
    (tmp_path / "one").mkdir()
    with closing(open_store(f"sqlite:///{tmp_path}/one/a.db")) as other:
        other.migrate()
        record_uses(other, make_use("orders:list", "2026-10-01", "zoe"))
        whole = before(step, other, tmp_path / "one")
        STEPS[step](whole)
        expected = whole.denied(), whole.policy.read_text()
    run = before(step, store, tmp_path)
    assert kill(number, lambda: STEPS[step](run))
    STEPS[step](run)
    assert expected == (run.denied(), run.policy.read_text())


@pytest.mark.parametrize("number", [1, 2])
def test_the_final_stage_finishes_a_killed_restoration(store, tmp_path, kill, number):
    """The journal says that the item was given back: the final stage leaves nothing of it denied."""
    run = in_trial(store, tmp_path)
    kill(number, lambda: run.restore(BOB))
    run.apply(FINAL)
    assert "bob" not in {entry[0] for entry in run.denied()}


@pytest.mark.parametrize("call", ["restore", "final", "undo"])
def test_another_store_than_that_of_the_plan_is_refused(store, tmp_path, call):
    """A mistyped store gets no entries, and the journal does not say that something was lifted there."""
    run = in_trial(store, tmp_path)
    journal = run.journal.read_bytes()
    with closing(open_store(f"sqlite:///{tmp_path}/other.db")) as other:
        other.migrate()
        run.store = other
        with pytest.raises(PolicyError, match="none of the deny entries of this plan"):
            STEPS[call](run)
        assert set() == run.denied()
    assert (journal, POLICY) == (run.journal.read_bytes(), run.policy.read_text())


def with_last_holder(store, tmp_path):
    """A plan of which a notice leaves out the last holder, who is known from tokens alone."""
    run = Round(store, tmp_path, ALICE, make_finding("bob", guards=("last holder",)))
    run.plan = replace(run.plan, origin=run.plan.origin._replace(source="tokens"))
    return run


def test_nobody_loses_what_was_not_in_the_notice(store, tmp_path):
    """An item that the notice left out stays out, also if the reason is gone when the trial begins."""
    run = with_last_holder(store, tmp_path)
    run.notice()
    assert ["alice"] == [item.name for item in run.notices[0].items]
    apply(run.plan, store, run.policy, journal=run.journal, now=TRIAL, by="sam", even_last_holder=True, cap=100)
    assert {"alice"} == {entry[0] for entry in run.denied()}
    run.restore(ALICE)
    assert [ALICE.id] == sorted(read_status(run.journal).told or ())
    run.undo(TRIAL + 2 * DAY)
    assert read_status(run.journal).told is None


def test_the_notice_tells_the_last_holder_too(store, tmp_path):
    """With the same option, the notice has what the trial will take back."""
    run = with_last_holder(store, tmp_path)
    give_notice(
        run.plan, store, run.policy, journal=run.journal, now=START, by="sam", tell=run.notices.append,
        even_last_holder=True,
    )  # fmt: skip
    assert ["alice", "bob"] == [item.name for item in run.notices[0].items]


def test_a_slow_receiver_of_a_notice_stops_no_restoration(store, tmp_path):
    """While one plan tells its holders, somebody gives back a grant of another plan."""
    (tmp_path / "other").mkdir()
    trial = Round(store, tmp_path / "other", ALICE, stages=STAGES[1:])
    trial.apply(TRIAL)
    telling = Round(store, tmp_path, BOB)

    def tell(_):
        trial.restore(ALICE)

    give_notice(telling.plan, store, telling.policy, journal=telling.journal, now=TRIAL, by="sam", tell=tell)
    assert set() == trial.denied()


@pytest.mark.parametrize(
    "line", ['{"what": []}', '{"what": {}}', '{"what": "intent", "at": 1, "by": "x", "entries": 5}']
)
def test_a_journal_that_is_none_is_a_clear_error(tmp_path, line):
    """Whatever a line holds, the error names the journal."""
    (tmp_path / "q.plan.journal").write_text(f"{line}\n")
    with pytest.raises(ConfigurationError, match=r"q\.plan\.journal.* not a journal of a plan"):
        read_status(tmp_path / "q.plan.journal")


def test_a_journal_line_of_brackets_is_no_step(tmp_path):
    """It is not JSON that anybody could read, as a line that was interrupted."""
    (tmp_path / "q.plan.journal").write_text("[" * 100_000 + "\n")
    assert "new" == read_status(tmp_path / "q.plan.journal").state
