"""`jwt-lp review` and `jwt-lp backtest`, on a store with a past."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")

from jwt_lp.cli import fail_conditions
from jwt_lp.cli.fail_conditions import FailConditionParam
from jwt_lp.cli.people import load_exemptions
from jwt_lp.review.analysis import finding_collector
from jwt_lp.review.plan.sheet_file import SheetFile
from jwt_lp.stores import UsageBatch, Use, open_store
from review_factory import make_finding, make_review
from review_scenario import ISSUER, NOW, POLICY, ReviewScenario, days_ago, noon_of

URL = "sqlite:///access.db"


@pytest.fixture
def run(project, cli):
    """`run(*arguments)`: a command on the store of the project's folder, where alice has what she does not need."""
    store = open_store(URL)
    store.migrate()
    past = ReviewScenario(store, Path())
    past.record_period()
    past.record_use("alice", "orders:read", 300)
    past.record_use("bob", "orders:read", 100)
    past.record_use("bob", "orders:refund", 250)
    past.record_use("=carol", "orders:refund", 2)
    store.close()

    def run(*arguments, **more):
        code, out, err = cli(*arguments, JWT_LP_STORE=URL, COLUMNS="400", **more)
        return code, out, " ".join(err.split())

    return run


def _review(run, *options):
    return run("review", "--now", NOW, *options)


def test_json_has_every_finding(run) -> None:
    """JSON lists the findings, each with holder, grant, verdict, numbers and reason."""
    code, out, _ = _review(run, "--format", "json")
    found = json.loads(out)
    assert 0 == code
    assert {("alice", "orders:read", "unused"), ("bob", "orders:read", "used"), ("bob", "orders:refund", "unused"),
            ("=carol", "orders:refund", "used")} == {
        (each["name"], each["grant"], each["verdict"]) for each in found["findings"]
    }  # fmt: skip


def test_csv_and_page_have_the_same_findings(run) -> None:
    """All formats have the same ids, and a name that looks like a formula is neutralised for spreadsheets."""
    _, out, _ = _review(run, "--format", "json")
    ids = {each["id"] for each in json.loads(out)["findings"]}
    _, out, err = _review(run, "--format", "csv", "--html", "page.html")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert ids == {row["id"] for row in rows}
    assert "'=carol" in {row["name"] for row in rows}
    page = Path("page.html").read_text(encoding="utf-8")
    assert all(each in page for each in ids)
    assert "the page: page.html" in err


def test_text_says_the_population_and_the_reason(run) -> None:
    """Without options the output is text, beginning with the population."""
    code, out, err = _review(run)
    assert 0 == code
    assert out.index("tokens seen only") < out.index("alice")
    assert "idle for 180 days or more" in out
    assert "" == err


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ("unused>90d", 1),
        ("unused>299d", 1),
        ("unused>300d", 0),
        ("unused>1", 1),
        ("unused>2", 0),
        ("dormant", 0),
        ("remove@high", 1),
        ("remove@low", 0),
        ("used>150d", 0),
        ("keep>0", 2),
    ],
)
def test_a_gate_fails_where_its_condition_is_met(run, condition: str, code: int) -> None:
    """`--fail-on` exits with 1 and names the findings; an invalid condition is wrong usage."""
    Path("least-privilege.toml").write_text(POLICY)
    got, out, err = _review(run, "--policy", "least-privilege.toml", "--fail-on", condition)
    assert code == got
    assert (code == 1) is (f"{condition}: " in err)
    assert code == 2 or "tokens seen only" in out


@pytest.mark.parametrize("written", ["", "unused>", "unused>90days", "nonesuch", "unused@huge", "unused > 90d"])
def test_an_invalid_condition_is_refused(run, written: str) -> None:
    """A condition that cannot be parsed is an error, because it would always pass."""
    code, _, err = _review(run, "--fail-on", written)
    assert 2 == code
    assert "unused" in err


def test_an_empty_store_does_not_pass_a_condition(run) -> None:
    """An empty store is an error with --fail-on, and none without it."""
    code, _, err = run("review", "--now", NOW, "--store", "sqlite:///acess.db", "--fail-on", "unused>90d")
    assert (2, True) == (code, "nothing was recorded or imported" in err)
    code, out, _ = run("review", "--now", NOW, "--store", "sqlite:///acess.db")
    assert (0, True) == (code, "there is no history yet" in out)
    code, out, _ = run("backtest", "--now", NOW, "--store", "sqlite:///acess.db")
    assert (0, True) == (code, out.startswith("Backtest: no history yet"))


def test_a_condition_that_was_read_stays(run) -> None:
    """A condition that is already parsed is returned unchanged, because click converts defaults twice."""
    gate = FailConditionParam().convert("unused>90d", None, None)
    assert gate == FailConditionParam().convert(gate, None, None)


def test_a_gate_counts_what_is_not_listed(run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A used grant that a large store does not list meets a condition too; at most five findings are named."""
    monkeypatch.setattr(finding_collector, "MAX_LISTED", 2)
    code, _, err = _review(run, "--fail-on", "unused>90d")
    assert 1 == code
    assert "unused>90d: 3 findings" in err
    monkeypatch.setattr(fail_conditions, "MAX_EXAMPLES", 1)
    _, _, err = _review(run, "--fail-on", "unused>90d")
    assert 1 == err.count("orders:")


def test_worksheets_are_split_by_who_decides(run) -> None:
    """--split-by writes one worksheet per manager, and one for subjects without a manager."""
    Path("people.csv").write_text("subject,name,team,manager,active\nalice,Alice,sales,m/../x,yes\n")
    code, _, err = _review(run, "--people", "people.csv", "--worksheet", "decide.csv", "--split-by", "manager")
    assert 0 == code
    assert ["decide-m----x.csv", "decide-nobody.csv"] == sorted(each.name for each in Path().glob("decide-*.csv"))
    assert "alice" in Path("decide-m----x.csv").read_text()
    assert "the worksheet of nobody: decide-nobody.csv" in err


def test_no_worksheet_replaces_another(run) -> None:
    """Managers whose names give the same file name have worksheets of their own; who has nothing to decide has none."""
    Path("people.csv").write_text("subject,manager\nalice,Mia Ek\nbob,mia-ek\nzoe,nobody here\n", encoding="utf-8")
    _, _, err = _review(run, "--people", "people.csv", "--worksheet", "decide.csv", "--split-by", "manager")
    written = re.findall(r"the worksheet of ([^:]+): (\S+)", err)
    assert [("Mia Ek", "decide-Mia-Ek.csv"), ("mia-ek", "decide-mia-ek-2.csv")] == written
    assert {name for _, name in written} == {path.name for path in Path().glob("decide-*.csv")}
    assert "alice" in Path("decide-Mia-Ek.csv").read_text()
    Path("people.csv").write_text("subject,manager\nalice,\u0410\nbob,\u0411\n", encoding="utf-8")
    _, _, err = _review(run, "--people", "people.csv", "--worksheet", "each.csv", "--split-by", "manager")
    assert ["each-\u0410.csv", "each-\u0411.csv"] == re.findall(r"the worksheet of [^:]+: (\S+)", err)


def test_leavers_come_first_and_fail_a_check(run) -> None:
    """What a leaver holds is proposed for removal, first in the text, with the name; a condition can ask for it."""
    Path("people.csv").write_text("subject,name,team,manager,active,end\nbob,Bob Brown,sales,mia,,2026-06-30\n")
    code, out, err = _review(run, "--people", "people.csv", "--fail-on", "leaver>1")
    assert 1 == code
    assert "leaver>1: 2 findings" in err
    first, person = [line for line in out.split("\n") if line.startswith("  ")][:2]
    assert "leaver, remove: subject bob orders:" in first
    assert "person: Bob Brown; team sales; manager mia; last day 2026-06-30" in person
    assert 0 == _review(run, "--fail-on", "leaver")[0]


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ("alice,maybe,,", "people.csv: line 2: active: write yes or no, not 'maybe'"),
        ("alice,,30.06.2026,", "line 2: left: '30.06.2026' is not a day such as 2027-06-30"),
        ("alice,,,2026-6-30", "line 2: end: '2026-6-30' is not a day such as 2027-06-30"),
        ("alice,,2026-06-30,2026-07-30", "line 2: left and end are different days"),
        ("alice,yes,,\nbob,yes,,\nalice,no,,", "line 4: line 2 says something else about 'alice'"),
        ("\n".join(f"s{number},?,," for number in range(25)), "and 5 more"),
    ],
)
def test_a_faulty_list_of_people_is_refused(run, rows: str, fault: str) -> None:
    """A mistake in the list would take grants from people who have not left, so each is named with its line."""
    Path("people.csv").write_text(f"subject,active,left,end\n{rows}\n")
    code, _, err = _review(run, "--people", "people.csv")
    assert 2 == code
    assert fault in err


def test_the_same_person_twice_is_one(run) -> None:
    """A row that says the same again is no fault, and blanks around a cell do not count."""
    Path("people.csv").write_text("subject,name,active\nalice,Alice , yes\nalice,Alice,yes\n")
    code, out, _ = _review(run, "--people", "people.csv")
    assert 0 == code
    assert "person: Alice; active: yes" in out


def test_a_review_since_the_last_one(run) -> None:
    """--since shows what is new, in every form; a file that is no review is refused."""
    _, out, _ = run("review", "--now", days_ago(150), "--format", "json")
    Path("last.json").write_text(out)
    _, text, _ = _review(run, "--since", "last.json", "--html", "review.html")
    assert f"Changes: since the review of {days_ago(150)}: 2 new findings, 0 came back, 0 grants gone" in text
    assert "2 new findings" in Path("review.html").read_text()
    _, out, _ = _review(run, "--since", "last.json", "--format", "csv")
    assert {("alice", "known"), ("bob", "known"), ("bob", "new"), ("'=carol", "new")} == {
        (row["name"], row["change"]) for row in csv.DictReader(io.StringIO(out))
    }
    Path("last.json").write_text("[]")
    code, _, err = _review(run, "--since", "last.json")
    assert 2 == code
    assert "last.json: not the JSON of a review" in err


def test_json_of_a_large_store_lists_every_grant(run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the limit of listed findings, JSON and CSV still have every one, and text says how to get them."""
    whole = {form: _review(run, "--format", form)[1] for form in ("json", "csv")}
    monkeypatch.setattr(finding_collector, "MAX_LISTED", 2)
    for form in ("json", "csv"):
        assert sorted(_ids_of(whole[form], form)) == sorted(_ids_of(_review(run, "--format", form)[1], form))
    assert 0 == json.loads(_review(run, "--format", "json")[1])["unlisted"]
    assert "2 grants used and kept: counted here, listed one by one with --format json" in _review(run)[1]


def _ids_of(written: str, form: str) -> list[str]:
    rows = json.loads(written)["findings"] if form == "json" else csv.DictReader(io.StringIO(written))
    return [row["id"] for row in rows]


def test_an_exemption_of_a_worksheet_counts(run) -> None:
    """Exempted findings of a worksheet are left out and counted."""
    _, out, _ = _review(run, "--format", "json")
    name = next(each["id"] for each in json.loads(out)["findings"] if each["name"] == "alice")
    Path("old.csv").write_text(f"id,decision,until,reviewer,comment\n{name},exempt,2027-01-01,eve,audit\nx,keep,,,\n")
    _, out, _ = _review(run, "--format", "json", "--exempt", "old.csv")
    found = json.loads(out)
    assert 1 == found["population"]["excluded"]
    assert ["exempt until 2027-01-01 by eve"] == next(
        each["guards"] for each in found["findings"] if each["id"] == name
    )


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("id,decision,until,reviewer,comment\nx,exempt,,eve,\n", "line 2: an exemption needs a reviewer, and until"),
        ("id,decision,until,reviewer,comment\nx,exempt,soon,eve,\n", "line 2: an exemption needs a reviewer"),
        ("id,decision,until,reviewer,comment\nx,exempt,2027-01-01,,\n", "line 2: an exemption needs a reviewer"),
        ("id,until\nx,\n", "there is no column"),
        ("id,decision\nx\n", "more or fewer cells"),
    ],
)
def test_a_faulty_exemption_is_refused(run, content: str, fault: str) -> None:
    """A faulty exemption is an error, so that it never becomes a removal."""
    Path("old.csv").write_text(content)
    code, _, err = _review(run, "--exempt", "old.csv")
    assert 2 == code
    assert fault in err


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["--window", "90", "--likelihood", "0.1"], "--window and --likelihood exclude each other"),
        (["--split-by", "team"], "--split-by needs both"),
        (["--window", "10"], "30<=x"),
        (["--likelihood", "1"], "0<x<1"),
        (["--html", "no/such/folder.html"], "cannot be written"),
        (["--policy", "nonesuch.toml"], "nonesuch.toml"),
        (["--people", "nonesuch.csv"], "cannot be read"),
    ],
)
def test_wrong_usage_says_what_to_do(run, options: list[str], fault: str) -> None:
    """Contradictory options, values out of range and missing files exit with 2."""
    code, _, err = _review(run, *options)
    assert 2 == code
    assert fault in err


def test_a_likelihood_without_a_past_is_the_priors(run) -> None:
    """If the record is too short for past cases, the prior decides, and the review says so."""
    _, out, _ = _review(run, "--likelihood", "0.05", "--format", "json")
    found = json.loads(out)
    assert 0 == found["judging"]["fitted_on"]
    assert any("other organisations' histories" in note for note in found["notes"])


def test_the_rules_alone_make_a_plan_that_is_applied_and_undone(run) -> None:
    """Review, plan, apply, verify, undo: through the commands, with every refusal in between."""
    _, _, err = _review(run, "--plan", "q.plan")
    assert "q.plan" in err
    code, out, _ = run("apply", "q.plan", "--yes", "--cap", "10")
    assert (0, True) == (code, "alice" in out)
    code, out, _ = _review(run, "--format", "json")
    (again,) = [each for each in json.loads(out)["findings"] if each["name"] == "alice"]
    assert ("keep", ["revoked already"]) == (again["proposal"], again["guards"])
    assert 0 == run("verify", "q.plan")[0]
    assert 0 == run("undo", "q.plan", "--yes")[0]
    _, out, _ = _review(run, "--format", "json")
    (back,) = [each for each in json.loads(out)["findings"] if each["name"] == "alice"]
    assert "remove" == back["proposal"]


def test_a_backtest_prints_its_settings(run) -> None:
    """JSON lists the settings, text ends with a recommendation, and a short record is reported."""
    code, out, _ = run("backtest", "--now", NOW, "--horizon", "60", "--format", "json")
    found = json.loads(out)
    assert 0 == code
    assert [60, 90, 120, 180, 270, 365] == [each["threshold"] for each in found if each["rule"] == "fixed"]
    assert {"rule", "threshold", "revoked", "regretted", "days_needlessly_held", "elevation"} == set(found[0])
    assert "Recommended" in run("backtest", "--now", NOW, "--horizon", "60")[1]
    code, out, _ = run("backtest", "--now", days_ago(380), "--format", "json")
    assert (0, []) == (code, json.loads(out))


def test_a_backtest_states_how_long_requests_wait(run) -> None:
    """The stated waiting time is that of the option, in text and in JSON."""
    options = ("backtest", "--now", NOW, "--horizon", "60", "--waiting", "30m", "--longest", "8h")
    assert "Where elevations answer, each after 30 minutes" in run(*options)[1]
    assert {1800} == {each["elevation"]["waiting"] for each in json.loads(run(*options, "--format", "json")[1])}


def test_elevated_use_is_in_a_sheet_beside_the_worksheet(run) -> None:
    """It is for its owner's eyes only; without elevated use there is none, and no plan or worksheet has it."""
    _review(run, "--worksheet", "decide.csv")
    assert not Path("decide.elevated.csv").exists()
    store = open_store(URL)
    uses = {_elevated_use(days): (1, noon_of(days_ago(days))) for days in range(1, 50, 7)}
    store.record(UsageBatch(id="elevated", uses=uses))
    store.close()
    code, _, err = _review(run, "--worksheet", "decide.csv", "--plan", "quarter.plan")
    assert (0, True) == (code, "what was used by elevations, to be read beside the worksheet" in err)
    (row,) = csv.DictReader(io.StringIO(Path("decide.elevated.csv").read_text()))
    assert ("dave", "standing grant?", "7") == (row["holder"], row["proposal"], row["weeks"])
    assert 0o600 == _mode("decide.elevated.csv")
    assert "dave" not in Path("decide.csv").read_text() + Path("quarter.plan").read_text()
    code, _, err = run("plan", "decide.elevated.csv", "-o", "other.plan")
    assert (2, False) == (code, Path("other.plan").exists())


def _elevated_use(days: int) -> Use:
    return Use("orders", ISSUER, "dave", "", f"elevation:{days}", "views.x", "GET", "orders:export", "orders:export",
               "orders:export", "granted", days_ago(days))  # fmt: skip


def test_a_rule_that_names_a_subject_needs_the_settings(run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings give the issuer its name, which the rule of the policy uses."""
    rules = '[permissions."x:decide"]\n[elevation."orders:read"]\nask = ["login/subject:alice"]\napprove = "x:decide"\n'
    Path("least-privilege.toml").write_text(POLICY + rules)
    settings = {"JWT_LP_POLICY": "least-privilege.toml", "JWT_LP_ISSUERS__login__ISSUER": ISSUER,
                "JWT_LP_ISSUERS__login__JWKS_URL": "https://login.example.com/keys",
                "JWT_LP_ISSUERS__login__AUDIENCE": "orders", "JWT_LP_ISSUERS__login__ALGORITHMS": "ES256"}  # fmt: skip
    code, out, err = run("review", "--now", NOW, "--settings", "env", "--format", "json", **settings)
    assert 0 == code, err
    assert [{"alice"}, {"orders:read"}] == [
        {each[name] for each in json.loads(out)["findings"] if each["just_in_time"]} for name in ("name", "grant")
    ]


def test_a_review_of_an_issuer_has_that_one_only(run) -> None:
    """`--issuer` leaves all others out."""
    assert [] == json.loads(_review(run, "--issuer", "https://other.test/", "--format", "json")[1])["findings"]
    assert json.loads(_review(run, "--issuer", ISSUER, "--format", "json")[1])["findings"]


def _mode(path: str) -> int:
    return Path(path).stat().st_mode & 0o7777


@pytest.mark.parametrize("before", [None, 0o644, 0o666])
def test_files_with_names_are_readable_by_their_owner_only(run, before) -> None:
    """Page, worksheets and plans have mode 0600, whatever the umask, and whatever mode the file had that was there."""
    files = ["page.html", "decide.csv", "rules.plan"]
    for name in [*files, "each-nobody.csv"] if before is not None else []:
        Path(name).write_text("old")
        Path(name).chmod(before)
    umask = os.umask(0)
    try:
        code, _, _ = _review(run, "--html", "page.html", "--worksheet", "decide.csv", "--plan", "rules.plan")
        Path("people.csv").write_text("subject,manager\nalice,eve\n")
        split = ("--worksheet", "each.csv", "--people", "people.csv", "--split-by", "manager")
        assert (0, 0) == (code, _review(run, *split)[0])
    finally:
        os.umask(umask)
    assert {0o600} == {_mode(name) for name in [*files, "each-eve.csv", "each-nobody.csv"]}
    assert [] == [name for name in files if Path(name).read_text(encoding="utf-8") == "old"]


def test_only_regular_files_are_replaced(run) -> None:
    """Pipes, devices and other users' links are not replaced; a link of our own is followed."""
    os.mkfifo("pipe")
    code, _, err = _review(run, "--html", "pipe")
    assert (2, True, True) == (code, "is not a file: choose another" in err, Path("pipe").is_fifo())
    assert 2 == _review(run, "--html", "nonesuch/page.html")[0]
    Path("real.html").touch(0o644)
    Path("page.html").symlink_to("real.html")
    assert 0 == _review(run, "--html", "page.html")[0]
    assert (True, 0o600) == (Path("page.html").is_symlink(), _mode("real.html"))
    if os.geteuid() == 0:
        os.lchown("page.html", 12345, 12345)
        code, _, err = _review(run, "--html", "page.html")
        assert (2, True) == (code, "is a link of another user" in err)


def test_an_exemption_of_a_group_counts_for_its_members(run) -> None:
    """Its members are in the sheet file; one with a decision of its own is not exempt, and another sheet file is an error."""
    facts = {"idle": 800, "risk": "low", "likelihood": 0.001, "likelihood_bound": 0.004}
    result = make_review(*(make_finding(name, "orders:read", **facts) for name in ("alice", "bob", "=carol")))
    sheet = SheetFile.from_review(result)
    (group,) = sheet.groups
    own = result.findings[1].id
    Path("old.sheet.json").write_text(sheet.encode())
    head = "id,decision,until,reviewer,comment\n"
    Path("old.csv").write_text(f"{head}G{group},exempt,2027-01-01,eve,audit\nF{own},keep,,,\n")
    assert [result.findings[0].id, result.findings[2].id] == [each.id for each in load_exemptions(["old.csv"])]
    Path("old.csv").write_text(f"{head}G0{group},exempt,2027-01-01,eve,audit\n")
    code, _, err = _review(run, "--exempt", "old.csv")
    assert (2, True) == (code, "the sheet file has no group" in err)
    Path("old.csv").write_text(f"{head}G{group},exempt,2027-01-01,eve,audit\n")
    Path("old.sheet.json").write_text("{}")
    code, _, err = _review(run, "--exempt", "old.csv")
    assert (2, True) == (code, "this is not a sheet file" in err)


def test_a_budget_keeps_what_is_outside_it(run) -> None:
    """A budget of 0 proposes what is not needed in 19 of 20 cases; a large one, all that may go. So does the plan."""
    outputs = {}
    for number in (0, 1000):
        code, out, err = _review(
            run, "--budget", f"{number} people this quarter", "--format", "json", "--plan", f"{number}.plan"
        )
        assert 0 == code, err
        outputs[number] = json.loads(out)
    none, all_of_it = (outputs[number] for number in (0, 1000))
    due = {each["id"] for each in all_of_it["findings"] if each["proposal"] == "remove"}
    assert due
    kept = {each["id"]: each for each in none["findings"]}
    sure = {name for name in due if kept[name]["proposal"] == "remove"}
    assert len(sure) < len(due)
    assert sum(kept[name]["likelihood_bound"] for name in sure) <= 0.05
    assert (len(sure), len(due) - len(sure), 0, len(due)) == (
        none["budget"]["inside"], none["budget"]["outside"], all_of_it["budget"]["outside"], all_of_it["budget"]["inside"],
    )  # fmt: skip
    for name in due - sure:
        assert ("keep", "outside the budget of 0 people this quarter") == (
            kept[name]["proposal"],
            kept[name]["guards"][-1],
        )
    assert [len(sure), len(due)] == [
        len(json.loads(Path(f"{number}.plan").read_text())["items"]) for number in (0, 1000)
    ]
    assert (91, 91) == (none["judging"]["horizon"], none["budget"]["days"])
    assert all(
        each["likelihood"] <= each["likelihood_bound"] for each in none["findings"] if each["likelihood"] is not None
    )
    assert none["digest"] != all_of_it["digest"]
    _, out, _ = _review(run, "--budget", "0 people this quarter")
    assert f"Budget: 0 people this quarter: {len(sure)} proposal" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--budget", "3 roles this year"], "3 people this quarter"), (["--budget", "3 people this year", "--horizon", "90"], "365")],
)  # fmt: skip
def test_a_budget_that_cannot_be_is_refused(run, options, message) -> None:
    """Before anything is read, and the message says what to write."""
    code, _, err = _review(run, *options)
    assert 2 == code
    assert message in err


def test_a_young_store_is_judged_by_likelihood_unless_a_window_is_asked_for(project, cli) -> None:
    """A plain review of 90 days proposes what has long been idle and says by which rule; `--window` proposes nothing."""
    store = open_store(URL)
    store.migrate()
    young = ReviewScenario(store, Path())
    young.record_period(90)
    young.record_use("alice", "orders:read", 85)
    young.record_use("bob", "orders:read", *range(1, 90, 3))
    store.close()
    outputs = {}
    for option in ((), ("--window", "180")):
        code, out, _ = cli("review", "--now", NOW, *option, JWT_LP_STORE=URL, COLUMNS="400")
        assert 0 == code
        outputs[option] = out
    assert "unused, remove: subject alice orders:read" in outputs[()]
    assert "a likelihood of at most 40 % decides instead" in outputs[()]
    assert "never removed if used within the last 45 days" in outputs[()]
    assert "Proposals: 1 remove, 1 keep" in outputs[()]
    assert "remove:" not in outputs["--window", "180"]
    assert "the records cover only 90 days, and the rule needs 180" in outputs["--window", "180"]
