"""Plans in stages: notice, trial with restorations, and the final removal."""

from __future__ import annotations

import dataclasses
import json
from contextlib import ExitStack, closing

import pytest

from jwt_lp import Policy
from jwt_lp.errors import ConfigurationError, PolicyError
from jwt_lp.review.plan import (
    Plan,
    PlanStage,
    apply,
    frozen_plan,
    give_notice,
    journal_path,
    parse_stages,
    preview,
    read_status,
    restore,
    undo,
    verify,
)
from jwt_lp.review.plan.notice import MAX_ITEMS
from jwt_lp.stores import open_store
from review_factory import ISSUER, LATER, at, make_finding, make_review, make_use, record_uses
from servers import postgres_database

pytest.importorskip("sqlalchemy")
pytest.importorskip("tomlkit")

POLICY = """version = 1
[roles.clerk]  # the counter
grants = ["orders:list", "orders:read", "reports:*"]
"""
DAY = 86400
START = at(LATER)
TRIAL = START + 14 * DAY
FINAL = TRIAL + 30 * DAY
STAGES = (PlanStage("notice", 14), PlanStage("trial", 30))


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    """A store that knows one issuer."""
    with ExitStack() as stack:
        url = f"sqlite:///{tmp_path}/a.db"
        if request.param == "postgresql":
            url = stack.enter_context(postgres_database())
        found = stack.enter_context(closing(open_store(url)))
        found.migrate()
        record_uses(found, make_use("orders:list", "2026-10-01", "zoe"))
        yield found


class Round:
    """One plan in stages, with its store, policy file and journal."""

    def __init__(self, store, tmp_path, *findings, stages=STAGES):
        self.store = store
        self.policy = tmp_path / "least-privilege.toml"
        self.policy.write_text(POLICY)
        review = make_review(*findings, policy=Policy.load(self.policy))
        self.plan = frozen_plan.from_review(review, now=START, stages=stages)
        self.journal = journal_path(tmp_path / "q.plan")
        self.notices = []

    def notice(self, now=START):
        return give_notice(
            self.plan, self.store, self.policy, journal=self.journal, now=now, by="sam", tell=self.notices.append
        )

    def apply(self, now):
        return apply(self.plan, self.store, self.policy, journal=self.journal, now=now, by="sam")

    def restore(self, finding, now=TRIAL + DAY):
        return restore(self.plan, finding.id, self.store, journal=self.journal, now=now, by="tim", reason="needed")

    def undo(self, now):
        return undo(self.journal, self.store, now=now, by="sam")

    def denied(self):
        """Each deny entry in force: its holder, pattern, and what it keeps."""
        return {(row.entry.name, row.entry.pattern, *row.entry.keep) for row in self.store.revocations()}

    def outcomes(self):
        return {outcome.item.id: outcome for outcome in verify(self.plan, self.journal, self.store)}


ALICE = make_finding(manager="mia", person_name="Alice A.")
BOB = make_finding("bob", manager="mia")
CLERK = make_finding("clerk", "orders:read", of="role")


def test_a_plan_goes_through_its_stages(store, tmp_path):
    """The notice changes nothing, the trial denies, the final stage edits the policy, and undo restores every byte."""
    run = Round(store, tmp_path, ALICE, CLERK)
    assert "notice" == run.notice().stage
    assert (set(), POLICY) == (run.denied(), run.policy.read_text())
    with pytest.raises(PolicyError, match=r"the notice lasts until 2026-11-24T12:00Z"):
        run.apply(TRIAL - 1)
    assert "trial" == run.apply(TRIAL).stage
    assert {("alice", "orders:read"), ("clerk", "orders:read")} == {entry[:2] for entry in run.denied()}
    assert POLICY == run.policy.read_text()
    with pytest.raises(PolicyError, match=r"the trial lasts until 2026-12-24T12:00Z: .* to begin final"):
        run.apply(FINAL - 1)
    done = run.apply(FINAL)
    assert ("final", 0, True) == (done.stage, done.entries, done.policy)
    assert ["orders:list", "reports:*"] == [grant.text for grant in Policy.load(run.policy).roles["clerk"].grants]
    assert {("alice", "orders:read"), ("clerk", "orders:read")} == {entry[:2] for entry in run.denied()}
    assert [TRIAL, TRIAL] == [outcome.revoked_at for outcome in run.outcomes().values()]
    with pytest.raises(PolicyError, match="applied already"):
        run.apply(FINAL + DAY)
    assert 2 == len(run.undo(FINAL + DAY).lifted)
    assert (set(), POLICY) == (run.denied(), run.policy.read_text())
    assert "notice" == run.notice(FINAL + 2 * DAY).stage


@pytest.mark.parametrize(
    ("stages", "first"), [((PlanStage("trial", 30),), "trial"), ((PlanStage("notice", 14),), "notice")]
)
def test_a_plan_may_leave_a_stage_out(store, tmp_path, stages, first):
    """With one stage, the final stage follows it."""
    run = Round(store, tmp_path, ALICE, stages=stages)
    began = run.notice() if first == "notice" else run.apply(START)
    assert first == began.stage
    assert "final" == run.apply(FINAL).stage
    assert {("alice", "orders:read")} == run.denied()


def test_a_use_during_the_notice_drops_the_item(store, tmp_path):
    """Who uses a grant after the notice keeps it."""
    run = Round(store, tmp_path, ALICE, BOB)
    run.notice()
    record_uses(store, make_use("orders:read", "2026-11-12"))
    (dropped,) = run.apply(TRIAL).difference.dropped
    assert ("alice", True) == (dropped.item.name, "was used on 2026-11-12" in dropped.reason)
    assert {("bob", "orders:read")} == run.denied()


def test_a_restored_item_works_at_once_and_stays(store, tmp_path):
    """A restoration lifts the entry, counts as regret, stays out of the final stage, and may be repeated."""
    run = Round(store, tmp_path, ALICE, BOB, CLERK, stages=STAGES[1:])
    run.apply(TRIAL)
    assert (1, 0) == (run.restore(ALICE).lifted, run.restore(ALICE).lifted)
    assert {"bob", "clerk"} == {entry[0] for entry in run.denied()}
    outcome = run.outcomes()[ALICE.id]
    assert (True, "needed", "tim", TRIAL + DAY) == (
        outcome.is_regret, outcome.reason, outcome.lifted_by, outcome.lifted_at,
    )  # fmt: skip
    assert 1 == len(read_status(run.journal).restored)
    done = run.apply(FINAL)
    reasons = {dropped.item.name: dropped.reason for dropped in done.difference.dropped}
    assert {"alice": "restored during the trial by tim"} == reasons
    assert {"bob", "clerk"} == {entry[0] for entry in run.denied()}
    assert [True, False, False] == [run.outcomes()[finding.id].is_regret for finding in (ALICE, BOB, CLERK)]
    run.undo(FINAL + 1)
    assert (set(), POLICY) == (run.denied(), run.policy.read_text())


def test_a_restored_role_grant_stays_in_the_policy(store, tmp_path):
    """The final stage leaves a restored grant in its role."""
    run = Round(store, tmp_path, ALICE, CLERK, stages=STAGES[1:])
    run.apply(TRIAL)
    run.restore(CLERK)
    assert (False, {("alice", "orders:read")}) == (run.apply(FINAL).policy, run.denied())
    assert POLICY == run.policy.read_text()


def test_no_other_entry_of_the_holder_denies_what_was_restored(store, tmp_path):
    """A wider entry of the same holder is narrowed, and one that the restored pattern covers goes."""
    wide, narrow = make_finding(grant="orders:*", kind="wildcard"), make_finding(grant="orders:read")
    run = Round(store, tmp_path, wide, narrow, BOB, stages=STAGES[1:])
    run.apply(TRIAL)
    assert 1 == run.restore(narrow).written
    assert {("alice", "orders:*", "orders:read"), ("bob", "orders:read")} == run.denied()
    run.apply(FINAL)
    assert {("alice", "orders:*", "orders:read"), ("bob", "orders:read")} == run.denied()
    assert [wide.id, BOB.id] == list(read_status(run.journal).intent.items)
    run.undo(FINAL + 1)
    assert set() == run.denied()


def test_a_restored_pattern_frees_what_it_covers(store, tmp_path):
    """An entry is lifted without a replacement where nothing of it would be left."""
    wide, narrow = make_finding(grant="orders:*", kind="wildcard"), make_finding(grant="orders:read")
    run = Round(store, tmp_path, wide, narrow, BOB, stages=STAGES[1:])
    run.apply(TRIAL)
    assert (2, 0) == (run.restore(wide).lifted, len(run.denied()) - 1)
    assert {("bob", "orders:read")} == run.denied()


def test_an_item_that_was_dropped_after_the_trial_is_free_again(store, tmp_path):
    """If the final stage drops an item, the entry of its trial is lifted."""
    run = Round(store, tmp_path, ALICE, BOB, stages=STAGES[1:])
    run.apply(TRIAL)
    record_uses(store, make_use("orders:read", "2026-12-01"))
    run.apply(FINAL)
    assert {("bob", "orders:read")} == run.denied()


def test_an_interrupted_restoration_is_finished(store, tmp_path):
    """The journal comes first: if the store fails then, restoring again lifts the entry."""
    run = Round(store, tmp_path, ALICE, BOB, stages=STAGES[1:])
    run.apply(TRIAL)

    class Failing:
        def __getattr__(self, name):
            if name == "revoke":
                raise ConnectionError
            return getattr(store, name)

    with pytest.raises(ConnectionError):
        restore(run.plan, ALICE.id, Failing(), journal=run.journal, now=TRIAL + 1, by="tim")
    assert 2 == len(run.denied())
    assert (1, 1) == (run.restore(ALICE).lifted, len(run.denied()))
    assert [TRIAL + 1] == [restored.at for restored in read_status(run.journal).restored]


def test_an_interrupted_final_stage_is_finished(store, tmp_path):
    """Applying again after an interruption writes the rest of the final stage and nothing twice."""
    run = Round(store, tmp_path, ALICE, BOB, CLERK, stages=STAGES[1:])
    run.apply(TRIAL)
    record_uses(store, make_use("orders:read", "2026-12-01"))
    run.apply(FINAL)
    lines = run.journal.read_text().splitlines()
    assert "done" == json.loads(lines[-1])["what"]
    run.journal.write_text("\n".join(lines[:-1]) + "\n")
    done = run.apply(FINAL + 1)
    assert (True, "final", 0) == (done.resumed, done.stage, done.entries)
    assert {"bob", "clerk"} == {entry[0] for entry in run.denied()}


def test_only_a_trial_gives_back(store, tmp_path):
    """Nothing is restored before the trial, after it, of another plan, or by an unknown id."""
    run = Round(store, tmp_path, ALICE, BOB)
    with pytest.raises(PolicyError, match="no trial lasts"):
        run.restore(ALICE)
    run.notice()
    with pytest.raises(PolicyError, match="no trial lasts"):
        run.restore(ALICE)
    run.apply(TRIAL)
    with pytest.raises(PolicyError, match="the trial revokes no item"):
        run.restore(CLERK)
    run.plan = dataclasses.replace(run.plan, made_at=1.0)
    with pytest.raises(PolicyError, match="belongs to another plan"):
        run.restore(ALICE)
    run = Round(store, tmp_path, ALICE, BOB)
    run.apply(FINAL)
    with pytest.raises(PolicyError, match="no trial lasts"):
        run.restore(ALICE)


def test_a_notice_that_fails_has_not_begun(store, tmp_path):
    """If nobody could be told, the journal has no notice, and the next one sends the same events."""
    run = Round(store, tmp_path, ALICE, BOB)

    def fail(notice):
        run.notices.append(notice)
        raise ConnectionError

    with pytest.raises(ConnectionError):
        give_notice(run.plan, store, run.policy, journal=run.journal, now=START, by="sam", tell=fail)
    assert "new" == read_status(run.journal).state
    run.notice(START + 60)
    first, second = ([event.id for event in notice.events()] for notice in run.notices)
    assert first == second
    with pytest.raises(PolicyError, match="there is no applied plan to undo"):
        run.undo(START + 61)
    with pytest.raises(PolicyError, match="nothing is denied yet"):
        run.outcomes()
    with pytest.raises(PolicyError, match="the notice lasts until"):
        run.notice(START + 62)
    with pytest.raises(PolicyError, match="no notice that is due"):
        run.notice(TRIAL + DAY)


def test_holders_and_managers_are_told(store, tmp_path):
    """Each holder has one event, each manager one about all their people, and long lists come in several."""
    many = [make_finding("max", f"orders:p{number}", manager="zed") for number in range(MAX_ITEMS + 1)]
    run = Round(store, tmp_path, ALICE, BOB, *many)
    give_notice(
        run.plan, store, run.policy, journal=run.journal, now=START, by="sam", cap=1000, tell=run.notices.append
    )
    events = [event.data for event in run.notices[0].events()]
    found = {(event["recipient"]["kind"], event["recipient"]["name"], len(event["items"])) for event in events}
    assert {("subject", "alice", 1), ("subject", "bob", 1), ("manager", "mia", 2)} | {
        (kind, name, size) for kind, name in (("subject", "max"), ("manager", "zed")) for size in (MAX_ITEMS, 1)
    } == found
    assert "2026-11-24" == run.notices[0].ends == events[0]["ends"]
    row = next(run.notices[0].rows())
    assert ("alice", "Alice A.", "mia", ISSUER, "", "orders:read", "", "2026-11-24", "the rules", "") == row


def test_a_plan_without_its_notice_is_not_applied(store, tmp_path):
    """Applying a plan that begins with a notice changes nothing until the notice was given."""
    run = Round(store, tmp_path, ALICE, BOB)
    with pytest.raises(PolicyError, match="give it first"):
        run.apply(START)
    assert (set(), "new") == (run.denied(), read_status(run.journal).state)
    shown = preview(run.plan, store, POLICY, now=START)
    assert ("notice", (), (), 2) == (shown.stage, shown.entries, shown.handoffs, len(shown.items))


def test_an_interrupted_plan_gives_no_notice(store, tmp_path):
    """A plan whose trial was interrupted is applied first."""
    run = Round(store, tmp_path, ALICE, BOB)
    run.notice()
    run.apply(TRIAL)
    run.journal.write_text("".join(f"{line}\n" for line in run.journal.read_text().splitlines()[:-1]))
    with pytest.raises(PolicyError, match="was interrupted: apply it first"):
        run.notice(FINAL)


def test_stages_are_read_and_belong_to_the_hash():
    """Stages are written as notice=14d,trial=30d; a plan keeps them, and one without them keeps its old hash."""
    assert STAGES == parse_stages(" notice=14d, trial = 30d")
    review = make_review(ALICE)
    staged, plain = (frozen_plan.from_review(review, now=START, stages=stages) for stages in (STAGES, ()))
    assert (staged, True) == (Plan.decode(staged.encode()), staged.hash != plain.hash)
    assert "stages" not in plain.encode()
    assert ("Alice A.", "mia") == (staged.items[0].person, staged.items[0].manager)
    old = {name: value for name, value in json.loads(plain.encode())["items"][0].items() if name != "person"}
    assert "" == frozen_plan._decode_item(old).person


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "'' is not a stage"),
        ("notice", "'notice' is not a stage"),
        ("notice=2w", "'notice=2w' is not a stage"),
        ("trial=30d,notice=14d", "the stages are notice and then trial"),
        ("trial=30d,trial=3d", "the stages are notice and then trial"),
        ("final=1d", "the stages are notice and then trial"),
        ("notice=0d", "a stage lasts 1 to 365 days"),
        ("trial=9999d", "a stage lasts 1 to 365 days"),
    ],
)
def test_bad_stages_are_refused(text, fault):
    """A stage that does not exist, an order that does not, and a length that is none."""
    with pytest.raises(ConfigurationError, match=fault):
        parse_stages(text)


def test_a_journal_with_a_restoration_alone_is_refused(tmp_path):
    """A restoration follows an application; a journal without one was changed."""
    path = tmp_path / "q.plan.journal"
    path.write_text('{"what": "restored", "at": 1.0, "by": "x", "item": "a", "reason": ""}\n')
    with pytest.raises(ConfigurationError, match="a line is incomplete"):
        read_status(path)
