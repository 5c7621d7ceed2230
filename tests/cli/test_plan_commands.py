"""`jwt-lp plan`, `apply`, `verify` and `undo`, from a worksheet to the end."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")

from jwt_lp.review.plan import Plan
from jwt_lp.stores import HeldGrant, open_store
from review_factory import make_use, record_uses
from review_scenario import ISSUER, NOW, POLICY, ReviewScenario
from webhook_receiver import SECRET, WebhookReceiver

URL = "sqlite:///access.db"
FILE = Path("least-privilege.toml")


@pytest.fixture
def run(project, cli):
    """`run(*arguments)`: a command on a store where alice has too much, and no clerk refunds any more."""
    FILE.write_text(f"# the shop's\n{POLICY}")
    store = open_store(URL)
    store.migrate()
    past = ReviewScenario(store, Path())
    past.record_period()
    past.record_use("alice", "reports:read", 300)
    past.record_use("bob", "reports:read", 3)
    for name in ("carl", "dora"):
        past.record_use(name, "orders:list", 300, 3, role="clerk")
        past.record_use(name, "orders:read", 300, 4, role="clerk")
        past.record_use(name, "orders:refund", 300, role="clerk")
    store.close()

    def run(*arguments, **more):
        code, out, err = cli(*arguments, JWT_LP_STORE=URL, COLUMNS="400", **more)
        return code, out, " ".join(err.split())

    return run


@pytest.fixture
def sheet(run):
    """The worksheet of its review, answered: what is proposed goes, the rest stays."""
    code, _, _ = run("review", "--now", NOW, "--policy", str(FILE), "--worksheet", "decide.csv", "--format", "json")
    assert 0 == code
    _answer(lambda row: "remove" if row["proposal"] == "remove" else "keep")
    return Path("decide.csv")


def _answer(decide) -> None:
    with Path("decide.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["decision"], row["reviewer"] = decide(row), "eve"
    with Path("decide.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def plan(run, sheet):
    """The plan of it."""
    code, out, _ = run("plan", str(sheet), "-o", "q.plan")
    assert (0, True) == (code, "2 grants to revoke" in out)
    return Path("q.plan")


def _standing() -> set[tuple[str, str, str]]:
    store = open_store(URL)
    found: set[tuple[str, str, str]] = {
        (each.entry.of, each.entry.name, each.entry.pattern) for each in store.revocations()
    }
    store.close()
    return found


BOTH = {("subject", "alice", "reports:read"), ("role", "clerk", "orders:refund")}


def test_rows_that_nobody_answered_are_refused(run) -> None:
    """A worksheet with an undecided row is refused, and each such row is named."""
    run("review", "--now", NOW, "--policy", str(FILE), "--worksheet", "decide.csv")
    code, _, err = run("plan", "decide.csv", "-o", "q.plan")
    assert 2 == code
    assert "no decision: write one of keep, remove, narrow, exempt" in err
    assert not Path("q.plan").exists()


def test_a_worksheet_of_another_review_is_refused(run, sheet) -> None:
    """With --review, a row of another review is refused."""
    Path("review.json").write_text('{"findings": [{"id": "another"}]}')
    code, _, err = run("plan", str(sheet), "-o", "q.plan", "--review", "review.json")
    assert (2, True) == (code, "decide.csv" in err)
    Path("review.json").write_text("[]")
    assert "not a review as JSON" in run("plan", str(sheet), "-o", "q.plan", "--review", "review.json")[2]
    assert "cannot be read" in run("plan", "nonesuch.csv", "-o", "q.plan")[2]
    Path("latin.csv").write_bytes(b"id;\xe4\n")
    assert "save it as CSV UTF-8" in run("plan", "latin.csv", "-o", "q.plan")[2]


def test_a_dry_run_changes_nothing(run, plan) -> None:
    """--dry-run shows the policy's diff, the deny entries and the list for the issuer, and changes nothing."""
    code, out, _ = run("apply", str(plan), "--dry-run")
    assert 0 == code
    assert "orders:refund" in out
    assert "nothing was changed" in out
    assert (set(), True) == (_standing(), "orders:refund" in FILE.read_text().split("[roles")[1])


def test_nothing_is_applied_without_a_yes(run, plan) -> None:
    """Without a terminal and without --yes, nothing is changed."""
    code, _, err = run("apply", str(plan))
    assert (2, set()) == (code, _standing())
    assert "pass --yes, or --dry-run" in err


def test_a_plan_is_applied_verified_and_undone(run, plan) -> None:
    """Deny entries are written and the policy is edited with its comments; undo restores both exactly."""
    before = FILE.read_bytes()
    code, out, _ = run("apply", str(plan), "--yes", "--by", "dave", "--handoff", "csv")
    assert 0 == code
    assert "applied; deny entries written: 2" in out
    assert BOTH == _standing()
    assert "# the shop's" in FILE.read_text()
    assert "orders:refund" not in FILE.read_text().split("[roles")[1]
    listed = list(csv.DictReader(Path("q.plan.handoff.csv").read_text().splitlines()))
    assert [("alice", "reports:read", "eve")] == [(each["name"], each["grant"], each["reviewer"]) for each in listed]
    code, out, _ = run("verify", str(plan))
    assert (0, True) == (code, "all of 2 stay revoked" in out)
    code, out, err = run("apply", str(plan), "--yes")
    assert (1, True) == (code, "applied already" in err)
    assert "was applied" in run("plan", "decide.csv", "-o", str(plan))[2]
    assert "was applied" in run("review", "--now", NOW, "--plan", str(plan))[2]
    code, out, _ = run("undo", str(plan), "--dry-run")
    assert ("nothing was changed" in out, BOTH) == (True, _standing())
    assert 2 == run("undo", str(plan))[0]
    code, out, _ = run("undo", str(plan), "--yes")
    assert (0, True) == (code, "undone; deny entries lifted: 2" in out)
    assert (before, set()) == (FILE.read_bytes(), _standing())
    assert "there is no applied plan to undo" in run("undo", str(plan), "--yes")[2]


def test_a_hand_off_as_json(run, plan) -> None:
    """--handoff writes the list for the issuer as CSV and JSON."""
    run("apply", str(plan), "--dry-run", "--handoff", "json", "--handoff-file", "tell.json")
    assert ["alice"] == [each["name"] for each in json.loads(Path("tell.json").read_text())]
    assert "pass --handoff csv or --handoff json" in run("apply", str(plan), "--handoff-file", "tell.json")[2]


def test_a_grant_that_returns_fails_the_verification(run, plan) -> None:
    """A grant that is granted again makes the exit code 1, and JSON has the time."""
    run("apply", str(plan), "--yes")
    store = open_store(URL)
    store.import_grants([HeldGrant(ISSUER, "alice", "", "", "reports:read")], as_of="2099-01-01", complete=False)
    store.close()
    code, out, _ = run("verify", str(plan), "--format", "json")
    assert 1 == code
    assert {"alice": "2099-01-01", "clerk": ""} == {each["name"]: each["granted_again"] for each in json.loads(out)}
    assert (1, True) == (run("verify", str(plan))[0], "1 of 2 are still held or used" in run("verify", str(plan))[1])


def test_more_than_may_go_at_once_does_not(run, plan) -> None:
    """A plan beyond the cap is refused, and the error names the option."""
    code, _, err = run("apply", str(plan), "--yes", "--cap", "1")
    assert (1, True, set()) == (code, "pass --cap 3" in err, _standing())


def test_a_policy_that_moved_stops_it(run, plan) -> None:
    """A plan is not applied to a changed policy file, and undo does not overwrite later changes."""
    FILE.write_text(FILE.read_text().replace('"orders:list", ', ""))
    code, _, err = run("apply", str(plan), "--yes")
    assert (1, True) == (code, "has changed since the review" in err)
    FILE.write_text(f"# the shop's\n{POLICY}")
    assert 0 == run("apply", str(plan), "--yes")[0]
    FILE.write_text(FILE.read_text() + "# mine\n")
    code, out, err = run("undo", str(plan), "--yes")
    assert (1, True) == (code, "--leave-policy" in err)
    assert "+grants" in out
    assert 0 == run("undo", str(plan), "--yes", "--leave-policy")[0]
    assert set() == _standing()
    assert "there is no file" in run("apply", str(plan), "--policy", "nonesuch.toml")[2]


def test_a_plan_that_was_changed_is_refused(run, plan) -> None:
    """A changed plan is refused, because its hash no longer matches."""
    plan.write_text(plan.read_text().replace("alice", "mallory"))
    code, _, err = run("apply", str(plan), "--yes")
    assert (2, True) == (code, "changed after it was made" in err)


def test_a_plan_in_stages_is_told_tried_restored_and_finished(run, sheet, monkeypatch) -> None:
    """Each apply begins the stage that is due; a restored item is shown as a regret and stays in force for nobody."""
    before, start = FILE.read_bytes(), 1_900_000_000.0
    assert 0 == run("plan", str(sheet), "-o", "q.plan", "--stages", "notice=14d,trial=30d")[0]
    monkeypatch.setattr("time.time", lambda: start)
    with WebhookReceiver() as receiver:
        hook = {"JWT_LP_WEBHOOK": receiver.url, "JWT_LP_WEBHOOK_SECRET": SECRET}
        code, out, _ = run("apply", "q.plan", "--yes", **hook)
    assert (0, True, set()) == (code, "the notice has begun" in out, _standing())
    assert {"alice", "clerk"} == {event.content["data"]["recipient"]["name"] for event in receiver.received}
    listed = list(csv.DictReader(Path("q.plan.notice.csv").read_text().splitlines()))
    assert (0o600, {"alice", "clerk"}) == (
        Path("q.plan.notice.csv").stat().st_mode & 0o777, {row["subject"] for row in listed},
    )  # fmt: skip
    assert "the notice lasts until" in run("apply", "q.plan", "--yes")[2]
    monkeypatch.setattr("time.time", lambda: start + 14 * 86400)
    assert "the trial has begun" in run("apply", "q.plan", "--yes")[1]
    assert (BOTH, before) == (_standing(), FILE.read_bytes())
    item = next(
        each["id"]
        for each in json.loads(run("verify", "q.plan", "--format", "json")[1])
        if each["grant"] == "reports:read"
    )
    code, out, _ = run("restore", "q.plan", item[:6], "--by", "tim", "--reason", "month end", "--wait", "0")
    assert (1, True) == (code, "restored: subject alice: reports:read" in out)
    assert "whose id begins with" in run("restore", "q.plan", "nonesuch")[2]
    monkeypatch.setattr("time.time", lambda: start + 44 * 86400)
    assert 0 == run("apply", "q.plan", "--yes")[0]
    assert {("role", "clerk", "orders:refund")} == _standing()
    code, out, _ = run("verify", "q.plan")
    assert (0, True) == (code, "1 grant restored during the trial" in out)
    # The next review learns that it was needed.
    monkeypatch.setattr("time.time", lambda: start + 400 * 86400)
    learned = [
        json.loads(run("review", "--policy", str(FILE), "--likelihood", "0.05", "--format", "json", *more)[1])[
            "judging"
        ]
        for more in ((), ("--earlier-plan", "q.plan"))
    ]
    assert learned[0] != learned[1]
    assert 0 == run("undo", "q.plan", "--yes")[0]
    assert (set(), before) == (_standing(), FILE.read_bytes())


def test_the_plan_of_the_rule_alone_has_stages(run) -> None:
    """`review --plan` takes stages; a wrong text, or stages without a plan, is refused before the review."""
    review = ("review", "--now", NOW, "--policy", str(FILE))
    assert 0 == run(*review, "--plan", "q.plan", "--stages", "notice=14d,trial=30d")[0]
    assert (("notice", 14), ("trial", 30)) == Plan.decode(Path("q.plan").read_text()).stages
    assert "is not a stage" in run(*review, "--plan", "p.plan", "--stages", "soon")[2]
    assert "--stages needs --plan" in run(*review, "--stages", "trial=3d")[2]
    assert "was not applied" in run(*review, "--earlier-plan", "q.plan")[2]
    assert not Path("p.plan").exists()


def test_a_long_verification_shows_what_matters_first(run, plan, monkeypatch) -> None:
    """The text has the first items, those still held or used before the others, and says how many more there are."""
    monkeypatch.setattr("jwt_lp.cli.verify._SHOWN", 1)
    run("apply", str(plan), "--yes")
    store = open_store(URL)
    store.import_grants([HeldGrant(ISSUER, "", "", "clerk", "orders:refund")], as_of="2099-01-01", complete=False)
    record_uses(store, make_use("reports:read", "2099-01-01", grant="", outcome="revoked"))
    store.close()
    code, out, _ = run("verify", str(plan))
    assert (1, True, False) == (code, "role clerk" in out, "subject alice" in out)
    assert ("and 1 more item: --all shows them" in out, "1 of 2 are still held" in out) == (True, True)
    assert "1 grant requested and refused since" in out
    assert "subject alice" in run("verify", str(plan), "--all")[1]
    assert 2 == len(json.loads(run("verify", str(plan), "--format", "json")[1]))


def test_a_notice_that_nobody_received_has_not_begun(run, sheet) -> None:
    """A webhook without a secret, or one that refuses, stops the notice."""
    run("plan", str(sheet), "-o", "q.plan", "--stages", "notice=14d")
    assert "set JWT_LP_WEBHOOK_SECRET" in run("apply", "q.plan", "--yes", "--webhook", "https://hooks.test/")[2]
    with WebhookReceiver((404, {})) as receiver:
        hook = {"JWT_LP_WEBHOOK": receiver.url, "JWT_LP_WEBHOOK_SECRET": SECRET}
        code, _, err = run("apply", "q.plan", "--yes", **hook)
        assert (2, True) == (code, "answered 404; 0 events sent, and the notice has not begun" in err)
        assert "the notice has begun" in run("apply", "q.plan", "--yes", **hook)[1]
    assert "is not a stage" in run("plan", str(sheet), "-o", "p.plan", "--stages", "soon")[2]
