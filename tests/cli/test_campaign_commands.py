"""The commands `jwt-lp campaign`: a quarter by commands alone, and each way in which they refuse."""

from __future__ import annotations

import csv
import json
import os
import shutil
import time
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("tomlkit")

from campaign_scenario import PEOPLE, record_quarter
from jwt_lp.review.plan import Plan
from jwt_lp.stores import open_store
from jwt_lp.stores.audit import AuditFilter
from review_scenario import NOW, POLICY, ReviewScenario, noon_of
from webhook_receiver import SECRET, WebhookReceiver

URL = "sqlite:///access.db"
FILE = Path("least-privilege.toml")
DAY = 86_400
COLUMNS = ("subject", "name", "team", "manager", "active", "left")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A file with the store of the small company."""
    folder = tmp_path_factory.mktemp("recorded")
    store = open_store(f"sqlite:///{folder}/access.db")
    store.migrate()
    record_quarter(ReviewScenario(store, folder))
    store.close()
    return folder / "access.db"


@pytest.fixture
def clock(monkeypatch):
    """The time that commands see: noon of the day of the review, and the days `later` after it."""
    days = {"later": 0}
    monkeypatch.setattr(time, "time", lambda: noon_of(NOW) + days["later"] * DAY)
    return days


@pytest.fixture
def run(project, cli, recorded, clock):
    """`run(*arguments)`: output and errors of a command, which ends with the exit code `code`."""
    shutil.copy(recorded, "access.db")
    FILE.write_text(f"# the shop's\n{POLICY}")
    with Path("people.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *((subject, *person) for subject, person in PEOPLE.items())])

    def run(*arguments, code=0, **more):
        found, out, err = cli(*arguments, JWT_LP_STORE=URL, COLUMNS="400", **more)
        assert code == found, f"{arguments}: {out}{err}"
        return out + " ".join(err.split())

    return run


def freeze(run, *more, name="Autumn", deadline="14d"):
    """A campaign by manager; its id."""
    out = run("campaign", "freeze", "--name", name, "--deadline", deadline, "--policy", str(FILE), "--people",
              "people.csv", "--window", "180", "--format", "json", *more)  # fmt: skip
    return json.loads(out)["id"]


def answer(path, decide):
    """Fill in a worksheet: `decide` says what for each row."""
    with Path(path).open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["decision"] = decide(row)
        row["reviewer"] = "Eve" if row["decision"] else ""
    with Path(path).open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0]])
        writer.writeheader()
        writer.writerows(rows)


def proposed(row):
    return "remove" if row["proposal"].startswith("remove") else "keep" if row["of"] != "group" else ""


def test_a_quarter(run, clock):
    """Freeze, two worksheets imported, the deadline, close, plan, apply and undo: the policy is as it was before."""
    freeze(run, "--undecided", "proposal")
    out = run("campaign", "worksheet", "Autumn", "-o", "decide.csv", "--split")
    for part in ("ann", "Ann-Lee", "Ben-Ray", "nobody"):
        assert f"decide-{part}.csv" in out
    answer("decide-ann.csv", proposed)
    answer("decide-Ben-Ray.csv", lambda row: "keep" if row["holder"] == "carol" else proposed(row))
    out = run("campaign", "import", "Autumn", "decide-ann.csv", "decide-Ben-Ray.csv")
    assert ["3 decisions stored", "13 decisions stored"] == [line for line in out.splitlines() if "stored" in line]
    assert "16 of 24 decided" in run("campaign", "show", "Autumn")
    clock["later"] = 14
    assert "decided by the rule (proposal): 8 of 24" in run("campaign", "close", "Autumn")
    out = run("campaign", "plan", "Autumn", "-o", "autumn.plan")
    plan = Plan.decode(Path("autumn.plan").read_text())
    assert f"autumn.plan: {sum(item.revokes for item in plan.items)} grants to revoke" in out
    assert {"Eve", "the deadline rule"} == {item.reviewer for item in plan.items}
    before = FILE.read_bytes()
    run("apply", "autumn.plan", "--policy", str(FILE), "--yes", "--cap", "50", "--even-last-holder")
    assert b"orders:refund" in before
    assert b'grants = ["orders:list"]' in FILE.read_bytes()
    run("undo", "autumn.plan", "--yes")
    assert before == FILE.read_bytes()
    assert "the audit trail is whole: 26 entries" in run("campaign", "audit", "--verify")


def test_the_plan_of_the_exported_worksheets(run):
    """`jwt-lp plan` makes of the worksheets of a closed campaign the plan that `jwt-lp campaign plan` makes."""
    freeze(run)
    run("campaign", "worksheet", "Autumn", "-o", "decide.csv", "--part", "Ben Ray")
    answer("decide.csv", lambda row: "remove" if row["of"] == "group" else "" if row["group"] else proposed(row))
    run("campaign", "import", "Autumn", "decide.csv", "--part", "Ben Ray")
    run("campaign", "close", "Autumn", "--early")
    run("campaign", "worksheet", "Autumn", "-o", "all.csv")
    run("campaign", "plan", "Autumn", "-o", "one.plan")
    run("plan", "all.csv", "-o", "other.plan")
    one, other = (Plan.decode(Path(name).read_text()) for name in ("one.plan", "other.plan"))
    assert one.items == other.items
    assert {"lars", "lena", "ann", "carol"} == {item.name for item in one.items if item.revokes}
    assert 4 == sum(bool(item.group) for item in one.items)
    assert 0o600 == Path("all.csv").stat().st_mode & 0o777


def test_campaigns_are_listed_and_named(run, clock):
    """A campaign is named by its name or the first digits of its id, never by what could be several."""
    assert "0 campaigns" in run("campaign", "list")
    first = freeze(run)
    clock["later"] = 1
    second = freeze(run, name="Winter", deadline="2026-12-15")
    out = run("campaign", "list")
    assert ["Winter", "Autumn"] == [line.split()[1] for line in out.splitlines()[1:3]]
    assert "2026-12-16T00:00:00Z" in out
    listed = json.loads(run("campaign", "list", "--format", "json"))
    assert [(second, "open", 24), (first, "open", 24)] == [
        (each["id"], each["state"], each["items"]) for each in listed
    ]
    shown = json.loads(run("campaign", "show", first[:6], "--format", "json"))
    assert ("Autumn", [5, 3, 13, 3]) == (shown["name"], [part["items"] for part in shown["parts"]])
    assert "id " + first in run("campaign", "show", first)
    freeze(run)
    assert "several campaigns" in run("campaign", "show", "Autumn", code=1)
    assert "no campaign x" in run("campaign", "show", "x", code=1)


def test_parts_are_given_to_reviewers(run):
    """A part is assigned, delegated, and taken from its reviewer; the issuer is that of the last reviewer if none is named."""
    freeze(run, "--reviewer", "", "zoe", "--reviewer-issuer", "https://staff.example/")
    assert "zoe" in run("campaign", "show", "Autumn")
    assert "Zoe (zoe2), 5 open items" in run("campaign", "assign", "Autumn", "", "zoe2", "--shown-name", "Zoe")
    run("campaign", "delegate", "Autumn", "Ben Ray", "eve", "--reviewer-issuer", "https://staff.example/")
    shown = json.loads(run("campaign", "show", "Autumn", "--format", "json"))
    parts = {part["name"]: part for part in shown["parts"]}
    assert ["https://staff.example/"] * 2 == [parts[name]["reviewer"]["issuer"] for name in ("", "Ben Ray")]
    assert parts["Ben Ray"]["delegated_by"] is not None
    assert "nobody, 13 open items" in run("campaign", "assign", "Autumn", "Ben Ray")
    assert "parts without a reviewer: 13" in run("campaign", "show", "Autumn")
    assert "no part x" in run("campaign", "assign", "Autumn", "x", "eve", code=1)
    assert "--reviewer-issuer" in run("campaign", "assign", "Autumn", "Ben Ray", "eve", code=2)
    assert "--reviewer-issuer" in run(
        "campaign", "freeze", "--name", "x", "--deadline", "1d", "--reviewer", "", "z", code=2
    )


def test_worksheets_with_faults_change_nothing(run, clock):
    """A fault is named with its file and line; nothing is stored."""
    freeze(run)
    run("campaign", "worksheet", "Autumn", "-o", "decide.csv")
    answer("decide.csv", lambda _row: "perhaps")
    assert "decide.csv: lines 2, 3" in run("campaign", "import", "Autumn", "decide.csv", code=2)
    assert "0 of 24 decided" in run("campaign", "show", "Autumn")
    assert "exclude each other" in run(
        "campaign", "worksheet", "Autumn", "-o", "x.csv", "--split", "--part", "ann", code=2
    )
    assert "no such part" in run("campaign", "worksheet", "Autumn", "-o", "x.csv", "--part", "x", code=1)
    clock["later"] = 14
    answer("decide.csv", lambda _row: "keep")
    assert "the deadline was" in run("campaign", "import", "Autumn", "decide.csv", code=1)


def test_a_campaign_is_given_up(run):
    """It needs a reason, and no plan can be made of it."""
    freeze(run)
    assert "not closed" in run("campaign", "plan", "Autumn", "-o", "x.plan", code=1)
    assert "24 items are open" in run("campaign", "close", "Autumn", code=1)
    assert "say why" in run("campaign", "cancel", "Autumn", "--reason", " ", code=1)
    run("campaign", "cancel", "Autumn", "--reason", "wrong data", "--by", "eve")
    assert "cancelled" in run("campaign", "close", "Autumn", code=1)
    assert "eve, by a command  cancelled" in run("campaign", "audit")


@pytest.mark.parametrize("deadline", ["soon", "2026-13-01", "20261215", "9999d", "2026-01-01"])
def test_a_deadline_is_a_day_to_come(run, deadline):
    """Anything else is refused, with what to write."""
    out = run("campaign", "freeze", "--name", "x", "--deadline", deadline, code=2)
    assert "such as 14d" in out or "within 366 days" in out


def test_reviewers_are_reminded(run):
    """Each once a day, with the number of open items; a webhook that fails is reported with exit code 1."""
    freeze(run)
    assert "--webhook" in run("campaign", "remind", "Autumn", code=2)
    with WebhookReceiver((410, {})) as receiver:
        webhook = {"JWT_LP_WEBHOOK": receiver.url, "JWT_LP_WEBHOOK_SECRET": SECRET}
        out = run("campaign", "remind", "Autumn", "--part", "ann", code=1, **webhook)
        assert "ann: the webhook" in out
        assert "3 reminders sent" in run("campaign", "remind", "Autumn", **webhook)
        assert "within the last 24 hours: 3" in run("campaign", "remind", "Autumn", **webhook)
        assert "1 reminder sent" in run("campaign", "remind", "Autumn", "--part", "ann", "--force", **webhook)
        assert ["review.reminder"] * 5 == [event.content["type"] for event in receiver.received]


def test_the_audit_trail_is_exported_and_verified(run, tmp_path):
    """Exit code 1 names the first entry that does not fit, in a file and in the store."""
    campaign = freeze(run)
    run("campaign", "close", "Autumn", "--early")
    run("campaign", "audit", "--export", "trail.jsonl")
    assert 0o600 == Path("trail.jsonl").stat().st_mode & 0o777
    out = run("campaign", "audit", "--verify", "trail.jsonl")
    head = out.split()[-1]
    run("campaign", "audit", "--verify", "trail.jsonl", "--head", head)
    lines = Path("trail.jsonl").read_text().splitlines(keepends=True)
    Path("short.jsonl").write_text("".join(lines[:-1]))
    assert "whole: 25 entries" in run("campaign", "audit", "--verify", "short.jsonl")
    assert "entry 26: is missing" in run("campaign", "audit", "--verify", "short.jsonl", "--head", head, code=1)
    Path("changed.jsonl").write_text("".join([*lines[:4], lines[4].replace('"keep"', '"remove"'), *lines[5:]]))
    assert "entry 5: was changed" in run("campaign", "audit", "--verify", "changed.jsonl", code=1)
    Path("changed.jsonl").write_text("hello\n")
    assert "changed.jsonl: line 1: not an entry" in run("campaign", "audit", "--verify", "changed.jsonl", code=2)
    entry = json.loads(run("campaign", "audit", "--format", "json", "--limit", "1", "--campaign", campaign))
    assert "closed" == entry["action"]
    assert "2 entries written" not in run("campaign", "audit", "--export", "one.jsonl", "--campaign", "Autumn")
    store = open_store(URL)
    assert 26 == len([*store.audit_entries(AuditFilter())])
    store.close()
    assert "whole: 26 entries" in run("campaign", "audit", "--verify", "--head", head)
    assert "entry 27: is missing" in run("campaign", "audit", "--head", "x", "--verify", code=1)
    for wrong in (["--verify", "trail.jsonl", "--export", "x"], ["--head", "x"]):
        run("campaign", "audit", *wrong, code=2)
    assert "cannot be written" in run("campaign", "audit", "--export", "no/such/folder.jsonl", code=2)


def test_an_export_writes_through_nothing_of_others(run, tmp_path):
    """What lies beside the file is not followed, and a pipe or a device is not replaced by a file."""
    freeze(run)
    Path("victim").write_text("precious")
    Path("trail.jsonl.part").symlink_to("victim")
    run("campaign", "audit", "--export", "trail.jsonl")
    assert "precious" == Path("victim").read_text()
    assert (False, 0o600) == (Path("trail.jsonl").is_symlink(), Path("trail.jsonl").stat().st_mode & 0o777)
    os.mkfifo("pipe")
    assert "is not a file: choose another" in run("campaign", "audit", "--export", "pipe", code=2)
    assert Path("pipe").is_fifo()
    assert [] == [*Path().glob(".*jsonl*")]
