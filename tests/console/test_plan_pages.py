"""Plans in the console: shown, applied, verified, restored and undone, together with the commands."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")
pytest.importorskip("sqlalchemy")
pytest.importorskip("tomlkit")
pytest.importorskip("click")
pytest.importorskip("uvicorn")
pytest.importorskip("python_multipart")
pytest.importorskip("jinja2")

from cli.conftest import invoker
from clock import Clock
from console.campaign_world import ENGINEER, make_world
from console.serving import EVERYTHING, Person, ServedConsole, served_console, text_of
from hosts.serving import HttpAnswer
from jwt_lp import Policy
from jwt_lp.console import plan_views
from jwt_lp.console.plan_folder import PlanFolder
from jwt_lp.errors import StoreError
from jwt_lp.review import Person as ListedPerson
from jwt_lp.review.plan import Plan, frozen_plan, journal_path, read_status
from jwt_lp.review.plan.plan_stages import PlanStage
from jwt_lp.stores import AuditFilter, open_store
from jwt_lp.webhooks import Webhook
from review_factory import LATER, at, make_finding, make_review, make_use, record_uses
from webhook_receiver import SECRET, WebhookReceiver

POLICY_FILE = """version = 1
# who may do what
[roles.clerk]  # the counter
grants = ["orders:list", "orders:read"]
"""
DAY = 86400.0
PEOPLE = {"mona": ListedPerson("Mona", "Security", "")}


@dataclass
class PlanWorld:
    """A console with a folder of plans, a policy file and a clock."""

    console: ServedConsole
    folder: Path
    policy: Path
    clock: Clock
    sessions: dict[float, Person] = field(default_factory=dict[float, Person])

    @property
    def manager(self) -> Person:
        """Somebody with all permissions of the console, in one session as long as the clock stands still."""
        if self.clock.now not in self.sessions:
            self.sessions[self.clock.now] = self.console.person("mona", *EVERYTHING)
        return self.sessions[self.clock.now]

    def write(self, name: str, *findings: Any, stages: tuple[PlanStage, ...] = (), **more: Any) -> Plan:
        """A plan of these findings in the folder."""
        review = make_review(*findings, policy=Policy.load(self.policy), **more)
        plan = frozen_plan.from_review(review, now=self.clock(), stages=stages)
        (self.folder / f"{name}.plan").write_text(plan.encode())
        return plan

    def apply(self, name: str, person: Person | None = None, **fields: str) -> HttpAnswer:
        """Send the form of the plan's page, with the number that it shows."""
        who = person or self.manager
        shown = who.get(f"/plans/{name}")
        values = {"seen": hidden(shown, "seen"), "shown": hidden(shown, "shown"), "confirmed": hidden(shown, "shown")}
        return who.post(f"/plans/{name}/apply", values | fields)

    def denied(self) -> set[str]:
        """The subjects and roles that entries in force are about."""
        return {row.entry.name for row in self.console.store.revocations()}

    def actions(self, plan: str) -> list[str]:
        """What the audit trail says was done with a plan, oldest first."""
        return [entry.action for entry in self.console.store.audit_entries(AuditFilter(object=plan))]

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """A command on the same store."""
        make_command: Any = invoker
        found: tuple[int, str, str] = make_command(())(*arguments, JWT_LP_STORE=self.console.store.name, COLUMNS="300")
        return found


def hidden(answer: HttpAnswer, name: str) -> str:
    """The value of a hidden field of a page, "" if it has none."""
    match = re.search(rf'type="hidden" name="{name}" value="([^"]*)"', answer.body.decode())
    return unescape(match[1]) if match else ""


@contextmanager
def world_in(folder: Path, **options: Any) -> Iterator[PlanWorld]:
    """A console with plans, a policy file and a store in a folder."""
    store = open_store(f"sqlite:///{folder}/a.db")
    store.migrate()
    record_uses(store, make_use("orders:list", "2026-10-01", "zoe"))
    policy, plans, clock = folder / "least-privilege.toml", folder / "plans", Clock(at(LATER))
    policy.write_text(POLICY_FILE)
    plans.mkdir()
    options = {"policy": policy, "plans": plans, "clock": clock, "people": PEOPLE, **options}
    with served_console(store, **options) as console:
        yield PlanWorld(console, plans, policy, clock)
    store.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[PlanWorld]:
    with world_in(tmp_path) as made:
        yield made


ALICE = make_finding("alice")
CLERK = make_finding("clerk", of="role", members=2)


def test_a_plan_is_shown_applied_and_undone(world: PlanWorld) -> None:
    """The page shows every change; applying writes the entries and the policy, and undoing restores both."""
    plan = world.write("q", ALICE, CLERK)
    assert "not applied" in text_of(world.manager.get("/plans"))
    shown = text_of(world.manager.get("/plans/q"))
    for part in ("2 decisions would revoke 3 grants", "orders:read is refused to the subject alice", plan.hash):
        assert part in shown
    assert '-grants = ["orders:list", "orders:read"]' in shown
    answer = world.manager.follow(world.apply("q"))
    assert "The plan is applied: deny entries written: 2" in text_of(answer)
    assert ({"alice", "clerk"}, False) == (world.denied(), "orders:read" in world.policy.read_text())
    seen = hidden(answer, "seen")
    assert b"alice" in world.manager.get("/plans/q/handoff.csv").body
    assert b"clerk" not in world.manager.get("/plans/q/handoff.csv").body
    answer = world.manager.post("/plans/q/undo", {"seen": seen})
    assert (409, {"alice", "clerk"}) == (answer.status, world.denied())
    answer = world.manager.follow(world.manager.post("/plans/q/undo", {"seen": seen, "sure": "yes"}))
    assert "Undone; deny entries lifted: 2" in text_of(answer)
    assert (set(), POLICY_FILE) == (world.denied(), world.policy.read_text())
    assert ["applying", "applied", "undoing", "undone"] == world.actions("q")


def test_the_intent_is_in_the_trail_before_the_result(world: PlanWorld) -> None:
    """Both entries name the plan's hash and who did it."""
    plan = world.write("q", ALICE)
    world.apply("q")
    first, second = world.console.store.audit_entries(AuditFilter(object="q"))
    assert [plan.hash] * 2 == [entry.details["plan"] for entry in (first, second)]
    assert ("mona", "Mona", 1, 1) == (
        first.actor.subject, first.actor.name, first.details["confirmed"], second.details["entries"]
    )  # fmt: skip


def test_what_the_console_applied_the_command_undoes(world: PlanWorld) -> None:
    """`jwt-lp undo` reads the journal that the console wrote."""
    world.write("q", ALICE, CLERK)
    world.apply("q")
    code, out, _ = world.run("undo", str(world.folder / "q.plan"), "--yes")
    assert (0, True) == (code, "deny entries lifted: 2" in out)
    assert (set(), POLICY_FILE) == (world.denied(), world.policy.read_text())
    assert "undone" in text_of(world.manager.get("/plans/q"))


def test_what_the_command_applied_the_console_undoes(world: PlanWorld) -> None:
    """The console reads the journal that `jwt-lp apply` wrote."""
    world.write("q", ALICE, CLERK)
    code, _, _ = world.run("apply", str(world.folder / "q.plan"), "--policy", str(world.policy), "--yes")
    assert (0, {"alice", "clerk"}) == (code, world.denied())
    seen = hidden(world.manager.get("/plans/q"), "seen")
    answer = world.manager.post("/plans/q/undo", {"seen": seen, "sure": "yes"})
    assert (303, set(), POLICY_FILE) == (answer.status, world.denied(), world.policy.read_text())


def test_attack_a_form_from_before_the_command_applied_changes_nothing(world: PlanWorld) -> None:
    """The page was shown, the command applied the plan meanwhile: the stale form is refused and says so."""
    world.write("q", ALICE)
    shown = world.manager.get("/plans/q")
    world.run("apply", str(world.folder / "q.plan"), "--policy", str(world.policy), "--yes")
    before = journal_path(world.folder / "q.plan").read_bytes()
    answer = world.manager.post("/plans/q/apply", {"seen": hidden(shown, "seen"), "shown": "1", "confirmed": "1"})
    assert (409, True) == (answer.status, "Nothing was changed" in text_of(answer))
    assert before == journal_path(world.folder / "q.plan").read_bytes()


def test_attack_a_form_that_is_sent_twice_applies_once(world: PlanWorld) -> None:
    """The second of two equal forms is refused."""
    world.write("q", ALICE)
    shown = world.manager.get("/plans/q")
    fields = {"seen": hidden(shown, "seen"), "shown": "1", "confirmed": "1"}
    answers = [world.manager.post("/plans/q/apply", fields) for _ in range(2)]
    assert [303, 409] == [answer.status for answer in answers]
    assert 1 == len([*world.console.store.revocations(lifted=True)])


def test_attack_two_forms_at_once_apply_once(world: PlanWorld) -> None:
    """Of two people who confirm at the same moment, one applies the plan, and the other is told."""
    world.write("q", ALICE, CLERK)
    people = [world.manager, world.console.person("nora")]
    shown = [hidden(person.get("/plans/q"), "seen") for person in people]

    def send(number: int) -> int:
        fields = {"seen": shown[number], "shown": "3", "confirmed": "3"}
        return people[number].post("/plans/q/apply", fields).status

    with ThreadPoolExecutor(2) as pool:
        assert [303, 409] == sorted(pool.map(send, range(2)))
    assert 2 == len([*world.console.store.revocations(lifted=True)])
    assert 1 == world.actions("q").count("applied")


def test_attack_nobody_changes_a_plan_without_the_permission(world: PlanWorld) -> None:
    """Whoever may only read is refused, and sees no form."""
    world.write("q", ALICE)
    reader = world.console.person("rob", "jwt-lp:review:read")
    shown = reader.get("/plans/q")
    assert (200, "") == (shown.status, hidden(shown, "seen"))
    seen = hidden(world.manager.get("/plans/q"), "seen")
    fields = {"seen": seen, "shown": "1", "confirmed": "1", "sure": "yes"}
    answers = [reader.post(f"/plans/q/{path}", fields) for path in ("apply", "undo", "restore", "make")]
    assert ([403] * 4, set(), []) == ([answer.status for answer in answers], world.denied(), world.actions("q"))


def test_attack_a_plan_that_was_changed_on_disk_is_refused(world: PlanWorld) -> None:
    """A changed file is refused by its hash, also after the page has shown the right one."""
    world.write("q", ALICE)
    shown = world.manager.get("/plans/q")
    file = world.folder / "q.plan"
    file.write_text(file.read_text().replace("alice", "mallo"))
    answer = world.manager.post("/plans/q/apply", {"seen": hidden(shown, "seen"), "shown": "1", "confirmed": "1"})
    assert (409, True) == (answer.status, "the plan was changed after it was made" in text_of(answer))
    assert (409, set()) == (world.manager.get("/plans/q").status, world.denied())
    assert "cannot be used" in text_of(world.manager.get("/plans"))


def test_attack_another_plan_under_the_same_name_is_not_applied(world: PlanWorld) -> None:
    """A file that was replaced by another valid plan does not match the form."""
    world.write("q", ALICE)
    shown = world.manager.get("/plans/q")
    world.write("q", make_finding("bob"))
    answer = world.manager.post("/plans/q/apply", {"seen": hidden(shown, "seen"), "shown": "1", "confirmed": "1"})
    assert (409, set()) == (answer.status, world.denied())


def test_attack_the_journal_of_another_plan_stops_everything(world: PlanWorld) -> None:
    """A plan file that replaced an applied one offers neither applying nor undoing."""
    world.write("q", ALICE)
    world.apply("q")
    world.write("q", make_finding("bob"))
    shown = world.manager.get("/plans/q")
    assert (True, "") == ("belongs to another plan" in text_of(shown), hidden(shown, "seen"))
    stored = PlanFolder(world.folder).find("q")
    assert stored is not None
    fields = {"seen": plan_views.state_mark(stored), "shown": "1", "confirmed": "1", "sure": "yes"}
    answers = [world.manager.post(f"/plans/q/{path}", fields).status for path in ("apply", "undo")]
    assert ([409, 409], {"alice"}) == (answers, world.denied())


STRANGE = ("..%2Fq", "%2e%2e%2fq", ".q", "q%00", "q%2F..%2Fq", "q%0aX", "-q", "a" * 101, "q.journal", "%ff")


def test_attack_an_id_never_leads_out_of_the_folder(world: PlanWorld) -> None:
    """A path in an id is an unknown plan, whatever lies there."""
    world.write("q", ALICE)
    (world.folder.parent / "q.plan").write_text((world.folder / "q.plan").read_text())
    manager = world.manager
    for name in STRANGE:
        statuses = {manager.get(f"/plans/{name}{path}").status for path in ("", "/file", "/verify", "/handoff.csv")}
        statuses.add(manager.post(f"/plans/{name}/apply", {"seen": "x"}).status)
        assert (name, set()) == (name, statuses - {400, 404})


def test_attack_a_link_out_of_the_folder_is_no_plan(world: PlanWorld) -> None:
    """A symbolic link in the folder is left out of the list, and not opened."""
    world.write("q", ALICE)
    outside = world.folder.parent / "outside.plan"
    (world.folder / "q.plan").rename(outside)
    (world.folder / "link.plan").symlink_to(outside)
    assert ("There are no plans yet" in text_of(world.manager.get("/plans")), 404) == (
        True,
        world.manager.get("/plans/link").status,
    )


def test_attack_markup_and_formulas_in_names_stay_text(world: PlanWorld) -> None:
    """Names from tokens are escaped on the page, and are no formulas in the list for the issuers."""
    world.write(
        "q", make_finding("<img src=x>"), make_finding('=HYPERLINK("http://evil.test")'), make_finding("a\u202eb")
    )
    answer = world.manager.get("/plans/q")
    assert b"<img src=x>" not in answer.body
    assert "\u202e" not in answer.body.decode()
    listed = world.manager.get("/plans/q/handoff.csv")
    assert ("attachment", True) == (
        listed.headers["content-disposition"].partition(";")[0],
        "\"'=HYPERLINK" in listed.body.decode(),
    )


def test_the_number_has_to_be_typed(world: PlanWorld) -> None:
    """Another number, or none, changes nothing."""
    world.write("q", ALICE)
    answers = [world.apply("q", confirmed=typed) for typed in ("", "2", "all", "1e0", "\u0661")]
    assert ([409] * 5, set(), []) == ([answer.status for answer in answers], world.denied(), world.actions("q"))


def test_more_grants_than_were_confirmed_are_not_revoked(world: PlanWorld) -> None:
    """A forged number that is below that of the plan is refused by the engine, in its lock."""
    world.write("q", ALICE, make_finding("bob"))
    answer = world.apply("q", shown="1", confirmed="1")
    assert (409, True) == (answer.status, "2 grants would be revoked now, but 1 were confirmed" in text_of(answer))
    assert (set(), ["applying", "apply_failed"]) == (world.denied(), world.actions("q"))


def test_the_cap_holds_until_another_is_chosen(world: PlanWorld) -> None:
    """Beyond the cap the page says the number, and a higher cap is part of the form."""
    world.write("q", *(make_finding(f"s{number}") for number in range(6)), grants=8)
    shown = world.manager.get("/plans/q")
    assert "6 grants would be revoked, but the limit is 5" in text_of(shown)
    assert "/plans/q?show=1&amp;cap=6" in shown.body.decode()
    shown = world.manager.get("/plans/q?cap=6")
    assert "6 decisions would revoke 6 grants ; the limit is 6" in text_of(shown)
    assert "write the number in digits" in text_of(world.manager.get("/plans/q?cap=many"))
    fields = {name: hidden(shown, name) for name in ("seen", "shown", "cap")} | {"confirmed": "6"}
    assert (303, 6) == (world.manager.post("/plans/q/apply", fields).status, len(world.denied()))


def test_items_that_were_used_since_are_left_out_with_the_reason(world: PlanWorld) -> None:
    """What was used after the review stays, and the page says which and why."""
    world.write("q", ALICE, make_finding("bob"))
    record_uses(world.console.store, make_use("orders:read", "2026-11-05"))
    shown = text_of(world.manager.get("/plans/q"))
    assert "Left out: 1" in shown
    assert "1 decision would revoke 1 grant ;" in shown
    world.apply("q")
    assert {"bob"} == world.denied()


def test_the_last_holder_keeps_it_unless_that_is_chosen(world: PlanWorld) -> None:
    """A grant without another known holder needs a box to be ticked."""
    world.write("q", make_finding("alice", guards=("no other holder is known",)), ALICE, source="tokens")
    shown = text_of(world.manager.get("/plans/q?even_last_holder=yes"))
    assert "Also revoke grants that have no other known holder" in shown


def test_a_policy_that_has_moved_stops_the_plan(world: PlanWorld) -> None:
    """The page shows why, and offers no form; a form from before is refused by the engine."""
    world.write("q", CLERK)
    before = world.manager.get("/plans/q")
    world.policy.write_text(POLICY_FILE.replace("orders:list", "orders:view"))
    shown = world.manager.get("/plans/q")
    assert (True, "") == ("has changed since the review" in text_of(shown), hidden(shown, "shown"))
    assert (409, 409) == (world.manager.get("/plans/q/handoff.csv").status, world.manager.get("/plans/q/verify").status)
    fields = {"seen": hidden(before, "seen"), "shown": "2", "confirmed": "2"}
    assert (409, set()) == (world.manager.post("/plans/q/apply", fields).status, world.denied())


def test_undo_shows_the_edit_where_somebody_changed_the_policy(world: PlanWorld) -> None:
    """A later edit is never overwritten: the page shows what to do by hand, and lifts the entries alone if asked to."""
    world.write("q", CLERK)
    world.apply("q")
    world.policy.write_text(world.policy.read_text() + "# mine\n")
    seen = hidden(world.manager.get("/plans/q"), "seen")
    answer = world.manager.post("/plans/q/undo", {"seen": seen, "sure": "yes"})
    assert (409, True, {"clerk"}) == (
        answer.status,
        '+grants = ["orders:list", "orders:read"]' in text_of(answer),
        world.denied(),
    )
    fields = {"seen": hidden(answer, "seen"), "sure": "yes", "leave_policy": "yes"}
    assert (303, set()) == (world.manager.post("/plans/q/undo", fields).status, world.denied())
    assert "# mine" in world.policy.read_text()


def test_without_a_policy_file_of_its_own_the_console_edits_the_reviewed_one(tmp_path: Path) -> None:
    """As the command does: the plan says which file was reviewed."""
    with world_in(tmp_path, policy=None) as world:
        world.write("q", CLERK)
        assert (303, False) == (world.apply("q").status, "orders:read" in world.policy.read_text())


def test_an_interrupted_plan_is_finished(world: PlanWorld) -> None:
    """A plan whose applying stopped in the middle is shown as such; finishing it writes nothing twice."""
    world.write("q", ALICE, CLERK)
    world.apply("q")
    journal = journal_path(world.folder / "q.plan")
    journal.write_text("".join(line for line in journal.read_text().splitlines(keepends=True) if '"done"' not in line))
    shown = world.manager.get("/plans/q")
    assert "Applying was interrupted" in text_of(shown)
    answer = world.manager.post("/plans/q/apply", {"seen": hidden(shown, "seen")})
    assert (303, "applied", 2) == (
        answer.status, read_status(journal).state, len([*world.console.store.revocations(lifted=True)])
    )  # fmt: skip


STAGES = (PlanStage("notice", 14), PlanStage("trial", 30))


def test_a_plan_goes_through_its_stages_and_one_item_is_restored(world: PlanWorld) -> None:
    """Notice, trial, one restored grant and the final stage, each when it is due."""
    world.write("q", ALICE, make_finding("bob"), CLERK, stages=STAGES)
    assert 303 == world.apply("q").status
    assert (set(), True) == (world.denied(), (world.folder / "q.plan.notice.csv").exists())
    assert "the notice lasts until" in text_of(world.manager.get("/plans/q"))
    world.clock.now += 14 * DAY
    assert 303 == world.apply("q").status
    assert ({"alice", "bob", "clerk"}, True) == (world.denied(), "orders:read" in world.policy.read_text())
    shown = world.manager.get("/plans/q")
    long = world.manager.post("/plans/q/restore", {"seen": hidden(shown, "seen"), "item": "x", "reason": "x" * 1001})
    unknown = world.manager.post("/plans/q/restore", {"seen": hidden(shown, "seen"), "item": "x"})
    assert (409, 409) == (long.status, unknown.status)
    item = next(item.id for item in Plan.decode((world.folder / "q.plan").read_text()).items if item.name == "alice")
    fields = {"seen": hidden(shown, "seen"), "item": item, "reason": "month end"}
    assert (303, {"bob", "clerk"}) == (world.manager.post("/plans/q/restore", fields).status, world.denied())
    world.clock.now += 30 * DAY
    assert 303 == world.apply("q").status
    assert ({"bob", "clerk"}, False) == (world.denied(), "orders:read" in world.policy.read_text())
    assert [
        "applying",
        "noticed",
        "applying",
        "applied",
        "restoring",
        "restored",
        "applying",
        "applied",
    ] == world.actions("q")
    outcome = text_of(world.manager.get("/plans/q/verify"))
    assert "All of 3 stay revoked" in outcome
    assert "month end" in outcome


def test_what_was_used_again_is_found_by_verify(world: PlanWorld) -> None:
    """A use after the plan was applied makes an item not effective, and puts it first."""
    world.write("q", ALICE, make_finding("bob"))
    world.apply("q")
    record_uses(world.console.store, make_use("orders:read", "2026-11-12", "bob"))
    shown = text_of(world.manager.get("/plans/q/verify"))
    assert "1 of 2 are still held or used" in shown
    assert shown.index("bob") < shown.index("alice")


def test_a_plan_of_many_items_is_cut(world: PlanWorld) -> None:
    """Each section has fifty rows and the number of the others."""
    world.write("q", *(make_finding(f"s{number:03}") for number in range(120)))
    answer = world.manager.get("/plans/q")
    assert (50, 2) == (answer.body.count(b"orders:read is refused"), text_of(answer).count("and 70 more"))


def test_a_very_large_plan_is_computed_when_somebody_asks(world: PlanWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page of a large plan opens at once, and links to what takes seconds."""
    monkeypatch.setattr(plan_views, "MAX_AT_ONCE", 1)
    world.write("q", ALICE, make_finding("bob"))
    first, second = world.manager.get("/plans/q"), world.manager.get("/plans/q?show=1")
    assert ("", "2") == (hidden(first, "shown"), hidden(second, "shown"))


def test_only_one_plan_is_computed_at_a_time(world: PlanWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one is computed, others are told to wait: a few people cannot keep every thread busy."""
    monkeypatch.setattr(plan_views, "_WAIT", 0.01)
    world.write("q", ALICE)
    manager = world.manager
    with plan_views.one_at_a_time():
        assert (503, True) == ((answer := manager.get("/plans/q")).status, "Another plan" in text_of(answer))
    assert 200 == manager.get("/plans/q").status


def test_attack_a_store_that_fails_in_the_middle_says_nothing_of_its_host(
    world: PlanWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page says that it was interrupted and how to go on; the message of the store stays in the log."""
    world.write("q", ALICE)
    shown = world.manager.get("/plans/q")

    def fail(*_: object, **__: object) -> int:
        raise StoreError("no answer from postgresql://secret-host/")

    with monkeypatch.context() as patch:
        patch.setattr(type(world.console.store), "revoke", fail)
        answer = world.manager.post("/plans/q/apply", {"seen": hidden(shown, "seen"), "shown": "1", "confirmed": "1"})
    assert (503, False, True) == (
        answer.status, b"secret-host" in answer.body, "Applying was interrupted" in text_of(answer)
    )  # fmt: skip
    assert 303 == world.manager.post("/plans/q/apply", {"seen": hidden(answer, "seen")}).status
    assert ({"alice"}, ["applying", "apply_failed", "applying", "applied"]) == (world.denied(), world.actions("q"))


def test_the_plan_file_is_what_the_command_reads(world: PlanWorld) -> None:
    """The download is the plan, byte by byte."""
    plan = world.write("q", ALICE)
    assert plan.hash == Plan.decode(world.manager.get("/plans/q/file").body.decode()).hash


def test_a_store_that_does_not_take_notes_stops_the_plan(world: PlanWorld) -> None:
    """Nothing is applied that the audit trail cannot announce."""
    world.write("q", ALICE)
    shown = world.manager.get("/plans/q")
    journal = world.folder / "q.plan.journal"
    fields = {"seen": hidden(shown, "seen"), "shown": "1", "confirmed": "1"}
    with closing(sqlite3.connect(world.console.store.name.removeprefix("sqlite:///"))) as database, database:
        table = next(
            name
            for (name,) in database.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE '%audit%'"
            )
        )
        database.execute(f"DROP TABLE {table}")
    assert (503, False) == (world.manager.post("/plans/q/apply", fields).status, journal.exists())
    assert json.loads(world.manager.get("/plans/q/file").body)["version"] == 1


def test_the_notice_is_sent_to_the_webhooks(tmp_path: Path) -> None:
    """Where a receiver fails, the notice has not begun; once it takes the events, it has."""
    with WebhookReceiver() as receiver, world_in(tmp_path, webhooks=[Webhook(receiver.url, SECRET)]) as world:
        world.write("q", ALICE, stages=STAGES)
        receiver.answers = [(400, {})]
        answer = world.apply("q")
        assert (503, True, "new") == (
            answer.status, "The notice has not begun" in text_of(answer), read_status(world.folder / "q.plan.journal").state
        )  # fmt: skip
        assert (303, "noticed") == (world.apply("q").status, read_status(world.folder / "q.plan.journal").state)
    assert ["applying", "apply_failed", "applying", "noticed"] == world.actions("q")


def test_a_campaign_becomes_a_plan_once(tmp_path: Path) -> None:
    """A closed campaign's plan is made by a form, is the one that the engine makes, and is not made anew."""
    store = open_store(f"sqlite:///{tmp_path}/a.db")
    store.migrate()
    made = make_world(store)
    campaign = made.freeze(undecided="proposal")
    with served_console(store, plans=tmp_path) as console:
        mona = console.person("mona")
        shown = text_of(mona.get(f"/plans/{campaign}"))
        assert ("is not closed" in shown, 403) == (True, mona.post(f"/plans/{campaign}/make").status)
        made.engine.close(ENGINEER, campaign, early=True)
        assert "Closed campaigns without a plan" in text_of(mona.get("/plans"))
        assert [303, 303] == [mona.post(f"/plans/{campaign}/make").status for _ in range(2)]
        plan = Plan.decode((tmp_path / f"{campaign}.plan").read_text())
        assert made.engine.plan(campaign).hash == plan.hash
        assert 404 == mona.post(f"/plans/{'0' * 32}/make").status
        assert ["planned"] == [
            entry.action for entry in store.audit_entries(AuditFilter(object=campaign, action="planned"))
        ]
    store.close()


def test_without_a_folder_plans_are_downloaded(tmp_path: Path) -> None:
    """The page says how to apply the plan elsewhere, and sends the file."""
    store = open_store(f"sqlite:///{tmp_path}/a.db")
    store.migrate()
    made = make_world(store)
    campaign = made.freeze(undecided="keep", name="Without a folder")
    made.engine.close(ENGINEER, campaign, early=True)
    with served_console(store) as console:
        mona = console.person("mona")
        assert "no folder for plans" in text_of(mona.get(f"/plans/{campaign}"))
        assert made.engine.plan(campaign).hash == Plan.decode(mona.get(f"/plans/{campaign}/file").body.decode()).hash
        assert (409, 404) == (mona.post(f"/plans/{campaign}/make").status, mona.get(f"/plans/{'0' * 32}/file").status)
    store.close()
