"""A quarter's round from assignments to undo, through the commands.

TESTS_SUBJECTS=10021 takes everybody of the data set, and gives each command a process of its own. With -s it prints the
processor time and the memory of each step.
"""

from __future__ import annotations

import csv
import json
import logging
import os
import random
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("click")
pytest.importorskip("rich")
pytest.importorskip("sqlalchemy")
pytest.importorskip("standardwebhooks")
pytest.importorskip("tomlkit")

import standardwebhooks
from click.testing import CliRunner

from jwt_lp import all_of
from jwt_lp.cli.commands import commands
from jwt_lp.testing.authority import ISSUER, Authority
from jwt_lp.usage.recorder import UsageRecorder
from prerequisites import require
from servers import postgres_database
from webhook_receiver import SECRET, WebhookReceiver

pytestmark = [pytest.mark.servers, pytest.mark.once]

ASSIGNMENTS = Path(__file__).parents[3] / "shared" / "data" / "assignments.csv"
SUBJECTS = int(os.environ.get("TESTS_SUBJECTS", "300"))
OWN_PROCESSES = "TESTS_SUBJECTS" in os.environ
PROBED = 2_000
DAYS = 800
POLICY = "least-privilege.toml"
PLAN = "quarter.plan"
HANDOFF = f"{PLAN}.handoff.csv"
EVIDENCE = "quarter.evidence"
USAGE_COLUMNS = ("subject", "permission", "grant", "role", "day")
DESK, DESK_GRANTS, DESK_SPARE = "service-desk", ("ticket:close", "ticket:purge", "ticket:read"), "ticket:purge"
DAY_SECONDS = 86_400
REVOKING = ("deny", "role", "handoff")
Answers = dict[tuple[str, str], bool]
real_time = time.time

# The commands take the time from the clock, so each process is started with one that is ahead. In the end it says how much
# memory it had at most: what `wait4` says of memory includes that of the process that started it.
LAUNCHER = """
import atexit, pathlib, re, sys, time
real, ahead = time.time, float(sys.argv.pop(1))
time.time = lambda: real() + ahead
@atexit.register
def note_memory():
    status = pathlib.Path("/proc/self/status").read_text()
    pathlib.Path("memory").write_text(re.search(r"VmHWM:\\s+(\\d+)", status)[1])
from jwt_lp.cli import main
main()
"""


@dataclass
class Round:
    """The folder of a round, its store, and a clock that is `ahead` by so many days.

    `figures` has the processor time in seconds, the time, and the memory in MB of each command. They are those of the
    command alone if it has a process of its own.
    """

    folder: Path
    url: str
    ahead: int = 0
    figures: dict[str, tuple[float, float, int]] = field(default_factory=dict)

    def now(self) -> float:
        """The time in the round, in seconds since the epoch."""
        return real_time() + self.ahead * DAY_SECONDS

    def run(self, *args: str, code: int = 0, store: bool = True, label: str = "") -> str:
        """What a command prints; its exit code must be `code`."""
        args += ("--store", self.url) if store else ()
        label, begun = label or " ".join(args[:1]), time.monotonic()
        found, printed, used, memory = self._in_process(args) if OWN_PROCESSES else self._in_this_process(args)
        self.figures[label] = (used, time.monotonic() - begun, memory)
        assert code == found, f"{args}: {found}\n{printed[-2000:]}"
        return printed

    def _in_process(self, args: tuple[str, ...]) -> tuple[int, str, float, int]:
        command = [sys.executable, "-c", LAUNCHER, str(self.ahead * DAY_SECONDS), *args]
        with (self.folder / "out").open("w+b") as out, (self.folder / "err").open("w+b") as err:
            process = subprocess.Popen(command, cwd=self.folder, stdout=out, stderr=err)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            memory = int((self.folder / "memory").read_text()) // 1024
            out.seek(0)
            err.seek(0)
            printed = out.read().decode() + err.read().decode() * bool(process.returncode)
        return process.returncode, printed, usage.ru_utime + usage.ru_stime, memory

    def _in_this_process(self, args: tuple[str, ...]) -> tuple[int, str, float, int]:
        begun = time.process_time()
        result = CliRunner().invoke(commands, args, obj=())
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout + result.output * bool(result.exit_code), time.process_time() - begun, 0

    def day(self, days: int) -> str:
        """The day so many days from the beginning of the round."""
        return (datetime.now(UTC).date() + timedelta(days)).isoformat()

    def write(self, name: str, header: tuple[str, ...], rows: Any) -> None:
        with (self.folder / name).open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(header)
            writer.writerows(rows)

    def rows(self, name: str) -> list[dict[str, str]]:
        with (self.folder / name).open(newline="", encoding="utf-8-sig") as file:
            return [*csv.DictReader(file)]


@pytest.fixture(params=["sqlite", "postgresql"])
def quarter(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Round]:
    require(ASSIGNMENTS.exists(), "the shared data is not here")
    for name in [name for name in os.environ if name.startswith("JWT_LP")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    with ExitStack() as stack:
        url = f"sqlite:///{tmp_path}/access.db"
        if request.param == "postgresql":
            url = stack.enter_context(postgres_database())
        found = Round(tmp_path, url)
        monkeypatch.setattr(time, "time", found.now)
        yield found
    for label, (used, elapsed, memory) in found.figures.items():
        print(f"{request.param} | {label} | {used:.1f} s | {elapsed:.1f} s | {memory} MB")  # noqa: T201


class Population:
    """Who holds what, directly and through which role; what of it was used on which days; and who they are."""

    def __init__(self, quarter: Round) -> None:
        self._random = random.Random(20261130)
        with ASSIGNMENTS.open(newline="") as file:
            rows = [*csv.DictReader(file)]
        subjects = sorted({row["user"] for row in rows}, key=int)[:SUBJECTS]
        self.subjects = [*subjects]
        known = set(subjects)
        quarter.write(
            "assignments.csv",
            ("user", "permission"),
            [(row["user"], row["permission"]) for row in rows if row["user"] in known],
        )
        self.direct: dict[str, set[str]] = defaultdict(set)
        self.roles: dict[str, set[str]] = defaultdict(set)
        self.role_grants: dict[str, list[str]] = {}

    def mine(self, quarter: Round) -> None:
        """Take the roles that `jwt-lp roles mine` finds, and the assignments that stay direct."""
        mined = json.loads(
            quarter.run(
                *("roles", "mine", "assignments.csv", "--map", "subject=user,grant=permission", "--min-members"),
                *("10", "-o", POLICY, "--members", "members.csv", "--report", "json"),
                store=False,
            )
        )
        for role in mined["roles"]:
            self.role_grants[role["name"]] = role["grants"]
            for member in role["members"]:
                self.roles[member["subject"]].add(role["name"])
        for each in mined["direct"]:
            self.direct[each["subject"]].add(each["grant"])

    def add_desk(self, quarter: Round) -> None:
        """Write a role by hand, below those that were mined. One person holds a grant of it directly, and uses it."""
        with (quarter.folder / POLICY).open("a") as file:
            file.write(
                f"\n[roles.{DESK}]  # kept by hand\ngrants = [\n"
                + "".join(f'    "{grant}",  # see the handbook\n' for grant in DESK_GRANTS)
                + "]\n"
            )
        self.role_grants[DESK] = [*DESK_GRANTS]
        for subject in self.subjects[::3]:
            self.roles[subject].add(DESK)
        self.direct[self.subjects[1]].add(DESK_SPARE)

    def held(self, subject: str) -> dict[str, set[str]]:
        """The permissions of a subject, each with the roles that give it; "" for a direct grant."""
        found = defaultdict[str, set[str]](set)
        for grant in self.direct.get(subject, ()):
            found[grant].add("")
        for role in self.roles.get(subject, ()):
            for grant in self.role_grants[role]:
                found[grant].add(role)
        return found

    def write_grants(self, quarter: Round) -> None:
        since = quarter.day(-DAYS)
        rows = [(subject, "", role, since) for subject in self.subjects for role in sorted(self.roles.get(subject, ()))]
        rows += [
            (subject, grant, "", since) for subject in self.subjects for grant in sorted(self.direct.get(subject, ()))
        ]
        quarter.write("grants.csv", ("subject", "grant", "role", "since"), rows)

    def write_people(self, quarter: Round) -> None:
        """Twenty-five people to a manager; one in a hundred has left."""
        quarter.write(
            "people.csv",
            ("subject", "name", "team", "manager", "active"),
            [
                (
                    subject,
                    f"Person {subject}",
                    f"team {n // 100}",
                    f"Manager {n // 25}",
                    "no" if n % 100 == 7 else "yes",
                )
                for n, subject in enumerate(self.subjects)
            ],
        )

    def write_usage(self, quarter: Round) -> None:
        """Steady use, use that ended, rare use and no use; no member uses one grant of the role made by hand."""
        first = date.fromisoformat(quarter.day(-DAYS))
        rows: list[tuple[str, ...]] = []
        for subject in self.subjects:
            for grant, sources in sorted(self.held(subject).items()):
                role = min(sources)
                if (role, grant) == (DESK, DESK_SPARE):
                    continue
                rows += ((subject, grant, grant, role, (first + timedelta(days)).isoformat()) for days in self._days())
        quarter.write("usage.csv", USAGE_COLUMNS, rows)

    def _days(self) -> list[int]:
        kind = self._random.random()
        gap, end = (45, DAYS) if kind < 0.65 else (45, self._random.randrange(60, 600)) if kind < 0.8 else (300, DAYS)
        if kind > 0.9:
            return []
        days, at = [], self._random.expovariate(1 / gap)
        while at < end:
            days.append(int(at))
            at += 1 + self._random.expovariate(1 / gap)
        return days


class Probe:
    """Decisions of a guard about a sample of subjects: all they hold, and one permission that they do not."""

    def __init__(self, quarter: Round, population: Population, monkeypatch: pytest.MonkeyPatch) -> None:
        # What the sample asks must not look like a use of it.
        monkeypatch.setattr(UsageRecorder, "flush", lambda _: 60.0)
        self._quarter, self._population = quarter, population
        every = max(1, len(population.subjects) // PROBED)
        self.subjects = population.subjects[::every]

    def ask(self, extra: Any = ()) -> dict[tuple[str, str], bool]:
        """Whether each of the sample, and each of the `extra` subjects, may do what they hold."""
        quarter, population = self._quarter, self._population
        authority = Authority(policy=str(quarter.folder / POLICY))
        answers: dict[tuple[str, str], bool] = {}
        with closing(authority.guard(STORE=quarter.url, SERVICE="orders")) as guard:
            for subject in dict.fromkeys((*self.subjects, *extra)):
                token = authority.token(
                    subject, sorted(population.direct.get(subject, ())), sorted(population.roles.get(subject, ()))
                )
                for permission in (*population.held(subject), "not:held"):
                    decision = guard.check(f"Bearer {token}", all_of(permission), {}, "GET /x")
                    assert decision.refusal is None or 403 == decision.refusal.status
                    answers[subject, permission] = decision.passes
        return answers


def fill_worksheets(quarter: Round) -> list[str]:
    """Decide every row as proposed, but keep every fiftieth, and take from roles what no member uses.

    Returns the names of the worksheets.
    """
    names = sorted(path.name for path in quarter.folder.glob("decide-*.csv"))
    for name in names:
        rows = quarter.rows(name)
        for number, row in enumerate(rows):
            # The budget holds back what many people hold, and the row of a group says more than its decision.
            proposed = "remove" if row["of"] in ("role", "group") else row["proposal"]
            if row["group"] and row["of"] != "group":
                continue  # The decision about the group holds.
            row["decision"] = "keep" if number % 50 == 49 else proposed
            row["reviewer"] = row["manager"] or "the platform team"
        quarter.write(name, tuple(rows[0]), [row.values() for row in rows])
    return names


def import_everything(quarter: Round, population: Population) -> None:
    """Import the assignments as they were, then roles and direct grants as they are, and the usage."""
    population.mine(quarter)
    population.add_desk(quarter)
    population.write_grants(quarter)
    population.write_people(quarter)
    population.write_usage(quarter)
    issuer = ("--issuer", ISSUER)
    quarter.run("store", "migrate", label="store migrate")
    quarter.run("grants", "import", "assignments.csv", "--map", "subject=user,grant=permission", "--as-of",
                quarter.day(-DAYS), "--complete", *issuer, label="grants import")  # fmt: skip
    quarter.run("grants", "import", "grants.csv", "--as-of", quarter.day(-1), "--complete", *issuer,
                label="grants import, with roles")  # fmt: skip
    quarter.run("usage", "import", "usage.csv", "--service", "orders", *issuer, label="usage import")


def decide(quarter: Round) -> list[dict[str, Any]]:
    """Review, fill in the worksheets and make the plan; its items."""
    review = ("review", "--policy", POLICY, "--people", "people.csv")
    found = quarter.run(*review, "--likelihood", "0.05", "--format", "json", label="review --likelihood, JSON")
    assert json.loads(found)["findings"]
    quarter.run(*review, "--budget", f"{max(3, SUBJECTS // 20)} people this quarter", "--html", "review.html",
                "--worksheet", "decide.csv", "--split-by", "manager", label="review --budget, page, worksheets")  # fmt: skip
    sheets = fill_worksheets(quarter)
    assert len(sheets) > SUBJECTS // 50
    quarter.run("plan", *sheets, "-o", PLAN, "--stages", "notice=14d,trial=30d", store=False, label="plan")
    plan = json.loads((quarter.folder / PLAN).read_text())
    return [*plan["items"]]


def check_decisions(
    before: Answers, after: Answers, population: Population, items: list[dict[str, Any]], left_out: set[str]
) -> None:
    """Exactly what the items revoke is refused, except what is `left_out`; all the rest is as before.

    A permission that a row of the worksheets keeps for somebody is not denied to them, whatever other row names it. But
    a membership that ends takes its own rows along.
    """
    going = [item for item in items if item["action"] in REVOKING and item["id"] not in left_out]
    ids = {item["id"] for item in going}
    denied: set[tuple[str, str]] = set()
    keeping: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for item in items:
        if item["of"] == "subject" and item["grant"] and item["id"] not in ids:
            keeping[item["name"], item["grant"]].append(item)
    for item in going:
        for grant in [item["grant"]] if item["grant"] else population.role_grants[item["role"]]:
            own = "" if item["grant"] else item["role"]
            kept = [
                other
                for other in keeping[item["name"], grant]
                if not own or "keep" != other["action"] or own != other["role"]
            ]
            if item["of"] == "subject" and not kept:
                denied.add((item["name"], grant))
    roles = {(item["name"], item["grant"]) for item in going if item["of"] == "role"}
    for (subject, permission), passes in after.items():
        sources = population.held(subject).get(permission, set())
        held = any((role, permission) not in roles for role in sources)
        expected = held and (subject, permission) not in denied
        assert expected == passes, (subject, permission, sources)
    assert sum(after.values()) < sum(before.values())


def test_a_quarters_round_leaves_everything_as_it_was(
    quarter: Round, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Only what was decided changes, and in the end the policy's bytes and every decision are as before."""
    caplog.set_level(logging.CRITICAL, logger="jwt_lp")
    population = Population(quarter)
    import_everything(quarter, population)
    policy = (quarter.folder / POLICY).read_bytes()
    probe = Probe(quarter, population, monkeypatch)
    decided = decide(quarter)
    items = [item for item in decided if item["action"] in REVOKING]
    direct = [item for item in items if item["action"] == "deny" and not item.get("leaver")]
    people = dict.fromkeys(item["name"] for item in items if item["of"] == "subject")
    assert set(REVOKING) == {item["action"] for item in items}
    assert any(item.get("group") for item in items)
    before = probe.ask(people)
    assert all(passes == (permission != "not:held") for (_, permission), passes in before.items())

    used = give_notice(quarter, items, direct, monkeypatch)
    quarter.ahead = 15
    quarter.run("apply", PLAN, "--yes", label="apply, trial")
    assert policy == (quarter.folder / POLICY).read_bytes()
    going = [item for item in items if item["id"] not in used]
    check_decisions(before, probe.ask(people), population, decided, used)

    # Trial: what turns out to be needed is given back at once.
    restored = {item["id"] for item in direct[-3:]}
    for id_ in restored:
        quarter.run("restore", PLAN, id_, "--reason", "needed for the year's end", label="restore")
    check_decisions(before, probe.ask(people), population, decided, used | restored)
    quarter.run("verify", PLAN, label="verify, trial")

    quarter.ahead = 46
    quarter.run("apply", PLAN, "--yes", "--handoff", "csv", label="apply, final")
    assert policy != (quarter.folder / POLICY).read_bytes()
    final = [item for item in going if item["id"] not in restored]
    assert {item["id"] for item in final if item["of"] != "role"} == {row["item"] for row in quarter.rows(HANDOFF)}
    check_decisions(before, probe.ask(people), population, decided, used | restored)
    verify_finally(quarter, final, restored)
    keep_evidence(quarter)

    quarter.run("undo", PLAN, "--yes", label="undo")
    assert policy == (quarter.folder / POLICY).read_bytes()
    assert before == probe.ask(people)


def give_notice(
    quarter: Round, items: list[dict[str, Any]], direct: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> set[str]:
    """Tell everybody concerned; the ids of three items that are used then, and so are kept."""
    monkeypatch.setenv("JWT_LP_WEBHOOK_SECRET", SECRET)
    with WebhookReceiver() as receiver:
        quarter.run("apply", PLAN, "--yes", "--webhook", receiver.url, label="apply, notice")
    recipients = [event.content["data"]["recipient"] for event in receiver.received]
    assert {(item["of"], item["name"]) for item in items} <= {(each["kind"], each["name"]) for each in recipients}
    assert {item["manager"] for item in items if item.get("manager")} == {
        each["name"] for each in recipients if "manager" == each["kind"]
    }
    for event in receiver.received[:100]:
        standardwebhooks.Webhook(SECRET).verify(event.body, event.headers)
    quarter.run("verify", PLAN, code=1, label="verify, notice")
    uses = [(item["name"], item["grant"], item["grant"], item["role"], quarter.day(5)) for item in direct[:3]]
    quarter.write("notice.csv", USAGE_COLUMNS, uses)
    quarter.ahead = 6
    quarter.run(
        "usage", "import", "notice.csv", "--service", "orders", "--issuer", ISSUER, label="usage import, notice"
    )
    return {item["id"] for item in direct[:3]}


def verify_finally(quarter: Round, final: list[dict[str, Any]], restored: set[str]) -> None:
    """Every item is listed as revoked, and what was restored as a regret."""
    found = quarter.run("verify", PLAN, "--format", "json", label="verify, final")
    (quarter.folder / "verified.json").write_text(found)
    outcomes = json.loads(found)
    assert {item["id"] for item in final} | restored == {outcome["id"] for outcome in outcomes}
    assert restored == {outcome["id"] for outcome in outcomes if outcome["regret"]}


def keep_evidence(quarter: Round) -> None:
    """Sign decisions, plan, journal and verification; an auditor who knows the key verifies them."""
    sheets = sorted(path.name for path in quarter.folder.glob("decide-*.csv"))
    quarter.run("keys", "new", store=False, label="keys new")
    quarter.run("evidence", "create", EVIDENCE, *sheets, "--plan", PLAN, store=False, label="evidence create")
    added = quarter.run(
        "evidence", "add", EVIDENCE, "--verification", "verified.json", "--close", store=False, label="evidence add"
    )
    ((head, thumbprint),) = re.findall(r"head (\S+); signed by (\S+)", " ".join(added.split()))
    known = ("--thumbprint", thumbprint, "--head", head)
    quarter.run("evidence", "verify", EVIDENCE, *known, store=False, label="evidence verify")
    entries = (quarter.folder / EVIDENCE).read_text().splitlines()
    (quarter.folder / "forged.evidence").write_text("\n".join((*entries[:1], *entries[2:])) + "\n")
    quarter.run("evidence", "verify", "forged.evidence", *known, code=1, store=False, label="evidence verify, forged")
    quarter.run("evidence", "page", EVIDENCE, "-o", "evidence.html", store=False, label="evidence page")
