"""The pages of campaigns: the list, a new one, one campaign with its parts, its steps and its worksheets."""

from __future__ import annotations

import io
import re
import time
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the console is built on it")
pytest.importorskip("jinja2", reason="the pages are templates")
pytest.importorskip("sqlalchemy", reason="the store is an SQL store")
pytest.importorskip("uvicorn", reason="the console is served by it")

from console.campaign_world import APPLIES, DECIDES, MAX, MIA, PEOPLE, READS, CampaignWorld, make_world, today
from console.hand_made import finding_of, hand_made
from console.serving import ISSUER, Person, ServedConsole, served_console, text_of
from console.worksheet_upload import upload
from jwt_lp.console.freezing import Freezes, run_freeze
from jwt_lp.errors import ConfigurationError, StoreError
from jwt_lp.stores import open_store
from jwt_lp.stores.audit import AuditFilter
from jwt_lp.stores.campaigns import WantedDecision
from jwt_lp.webhooks import Webhook
from webhook_receiver import SECRET, WebhookReceiver


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CampaignWorld]:
    """A store with recorded use, in which each test freezes a campaign of its own."""
    store = open_store(f"sqlite:///{tmp_path_factory.mktemp('campaigns') / 'store.db'}")
    store.migrate()
    yield make_world(store)
    store.close()


@pytest.fixture(scope="module")
def served(world: CampaignWorld) -> Iterator[ServedConsole]:
    """The console over that store."""
    with served_console(world.store, people=PEOPLE) as served:
        yield served


def part_of(world: CampaignWorld, campaign: str, name: str) -> Any:
    """A part as it is now."""
    return next(each for each in world.engine.parts(campaign) if each.name == name)


def actions(world: CampaignWorld, campaign: str) -> list[str]:
    """The actions of the audit trail about a campaign."""
    return [each.action for each in world.store.audit_entries(AuditFilter(campaign=campaign))]


def test_a_reviewer_sees_their_own_parts_alone(world: CampaignWorld, served: ServedConsole) -> None:
    """The list has what waits for the reviewer; other campaigns and their numbers are for who may read everything."""
    world.freeze("For Mia and Max")
    mia, auditor = served.person("mia", DECIDES), served.person("ira", READS)
    shown = text_of(mia.get("/campaigns"))
    assert "For Mia and Max Mia Berg 0 of 10" in shown
    assert "All campaigns" not in shown
    assert "New campaign" not in shown
    shown = text_of(auditor.get("/campaigns"))
    assert "Nothing is waiting for your decision." in shown
    assert "For Mia and Max open" in shown


def test_a_reviewer_with_one_part_is_led_to_it(world: CampaignWorld, served: ServedConsole) -> None:
    """The address without a part leads to one's own; a person without one to the list."""
    campaign = world.untouched()
    assert f"/campaigns/{campaign}/decide?part=mia" == located(served.person("mia", DECIDES), campaign)
    assert "/campaigns" == located(served.person("ann", DECIDES), campaign).partition("?")[0]
    assert f"/campaigns/{campaign}" == located(served.person("ira", READS), campaign)


def located(person: Person, campaign: str) -> str:
    """Where the address without a part leads."""
    return person.get(f"/campaigns/{campaign}/decide").headers["location"]


def test_a_campaign_shows_how_far_it_is(world: CampaignWorld, served: ServedConsole) -> None:
    """Its page has population, deadline, rule, progress by part, and the burn-down with the same numbers as text."""
    campaign = world.freeze("Q4", undecided="proposal", stages="notice=14d,trial=30d")
    item = world.item(campaign, "ann", "orders:create")
    world.engine.decide(MIA, campaign, [WantedDecision(item=item.id, decision="keep", version=0)], part="mia")
    answer = served.person("ira", READS).get(f"/campaigns/{campaign}")
    shown = text_of(answer)
    for text in (
        "6 subjects, 0 clients", "what nobody decides about is done as the review proposes", "notice=14d,trial=30d",
        "Mia Berg Mia Berg 1 of 10", "Max Holm Max Holm 0 of 4", "1 of 14 items decided, 13 undecided", "14 days left",
    ):  # fmt: skip
        assert text in shown, text
    main = answer.body.decode().partition("<main")[2]
    assert "<form" not in main
    assert f'href="/audit?campaign={campaign}"' in main


def test_a_campaign_is_made_in_the_background(world: CampaignWorld, served: ServedConsole) -> None:
    """The form leads to a page of progress, which leads to the campaign; the person is in the audit trail."""
    root = served.person("root", APPLIES, READS)
    day = (today() + timedelta(days=30)).isoformat()
    sent = {"name": "Made here", "deadline": day, "split": "manager", "undecided": "remove", "stages": "",
            "reviewer_issuer": ""}  # fmt: skip
    answer = root.post("/campaigns/new", sent)
    assert 303 == answer.status
    progress = answer.headers["location"]
    for _ in range(200):
        answer = root.get(progress)
        if answer.status == 303:
            break
        assert "is being made" in text_of(answer)
        assert 'http-equiv="refresh"' in answer.body.decode()
        time.sleep(0.05)
    shown = text_of(root.follow(answer))
    assert "The campaign Made here is frozen." in shown
    made = next(each for each in world.engine.list() if each.name == "Made here")
    assert (ISSUER, "root") == (made.made_by.issuer, made.made_by.subject)
    assert ("remove", f"{(today() + timedelta(days=31)).isoformat()}") == (
        made.undecided,
        time.strftime("%Y-%m-%d", time.gmtime(made.deadline)),
    )


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        ("name", "", "Give it a name"),
        ("name", "x" * 121, "at most 120 characters"),
        ("deadline", "soon", "Give the last day"),
        ("deadline", "2020-01-01", "The last day is past"),
        ("deadline", "9999-12-31", "more than a year ahead"),
        ("deadline", (today() + timedelta(days=366)).isoformat(), "more than a year ahead"),
        ("split", "<b>", "Choose by what the items are split"),
        ("undecided", "grant", "Choose what happens to an item"),
        ("stages", "trial=0d", "a stage lasts 1 to 365 days"),
        ("stages", "later", "is not a stage"),
    ],
)
def test_a_faulty_form_of_a_new_campaign_comes_back(served: ServedConsole, field: str, value: str, fault: str) -> None:
    """Each fault is said, and what was typed is still there."""
    root = served.person("root", APPLIES)
    good = {"name": "A name", "deadline": (today() + timedelta(days=9)).isoformat(), "split": "team",
            "undecided": "keep", "stages": "", "reviewer_issuer": ""}  # fmt: skip
    answer = root.post("/campaigns/new", good | {field: value})
    assert 422 == answer.status
    assert fault in text_of(answer)
    if field != "name":
        assert 'value="A name"' in answer.body.decode()


def test_a_review_that_cannot_be_made_says_why(tmp_path: Any) -> None:
    """A store without anything to decide about is no failure of the page."""
    store = open_store(f"sqlite:///{tmp_path / 'empty.db'}")
    store.migrate()
    with served_console(store) as served:
        root = served.person("root", APPLIES)
        day = (today() + timedelta(days=9)).isoformat()
        sent = {"name": "Empty", "deadline": day, "split": "team", "undecided": "keep"}
        progress = root.post("/campaigns/new", sent).headers["location"]
        for _ in range(200):
            shown = text_of(root.get(progress))
            if "was not made" in shown:
                break
            time.sleep(0.02)
        assert "The campaign Empty was not made:" in shown
        assert "in the list of campaigns" in text_of(root.get("/campaigns/new/" + "0" * 32))
    store.close()


def test_a_part_is_assigned_and_an_old_form_is_refused(world: CampaignWorld, served: ServedConsole) -> None:
    """The part gets its reviewer; a form that does not know that is refused, so nobody is overwritten unseen."""
    campaign, root = world.freeze(), served.person("root")
    sent = {"part": "mia", "version": "0", "issuer": ISSUER, "subject": "max"}
    assert "is assigned to max" in text_of(root.follow(root.post(f"/campaigns/{campaign}/assign", sent)))
    assert "max" == part_of(world, campaign, "mia").reviewer.subject
    assert 403 == root.post(f"/campaigns/{campaign}/assign", sent | {"subject": "mia"}).status
    assert 422 == root.post(f"/campaigns/{campaign}/assign", sent | {"version": "1", "issuer": ""}).status
    nobody = sent | {"version": "1", "issuer": "", "subject": ""}
    assert "is assigned to nobody" in text_of(root.follow(root.post(f"/campaigns/{campaign}/assign", nobody)))
    assert "10 open items in parts without a reviewer" in text_of(root.get(f"/campaigns/{campaign}"))


def test_a_reviewer_gives_their_part_away(world: CampaignWorld, served: ServedConsole) -> None:
    """Afterwards the other one decides; the page says who delegated, and the audit trail too."""
    campaign, mia = world.freeze(), served.person("mia", DECIDES)
    sent = {"part": "mia", "version": "0", "issuer": ISSUER, "subject": "max"}
    assert "is given to max" in text_of(mia.follow(mia.post(f"/campaigns/{campaign}/delegate", sent)))
    assert 403 == mia.get(f"/campaigns/{campaign}/decide?part=mia").status
    assert 200 == served.person("max", DECIDES).get(f"/campaigns/{campaign}/decide?part=mia").status
    assert "delegated by Mia Berg" in text_of(served.person("ira", READS).get(f"/campaigns/{campaign}"))
    assert "delegated" in actions(world, campaign)


@pytest.mark.parametrize(
    "change",
    [{"part": "max"}, {"subject": ""}, {"subject": "mia"}, {"version": "7"}, {"version": "x"}, {"part": "<b>"}],
    ids=["another part", "nobody", "oneself", "old version", "no version", "no part"],
)
def test_a_part_is_not_given_away_wrongly(world: CampaignWorld, served: ServedConsole, change: dict[str, str]) -> None:
    """Another one's part, half a name, oneself and a form that is too old are refused, and nothing changes."""
    campaign, mia = world.untouched(), served.person("mia", DECIDES)
    sent = {"part": "mia", "version": "0", "issuer": ISSUER, "subject": "max"} | change
    assert mia.post(f"/campaigns/{campaign}/delegate", sent).status in (403, 404, 422)
    assert ["max", "mia"] == sorted(each.reviewer.subject for each in world.engine.parts(campaign) if each.reviewer)


@pytest.mark.parametrize("step", ["assign", "remind", "close", "cancel"])
def test_steps_need_the_permission_to_apply(world: CampaignWorld, served: ServedConsole, step: str) -> None:
    """Whoever may read and decide may not steer the campaign."""
    campaign = world.untouched()
    person = served.person("mia", READS, DECIDES)
    sent = {"part": "mia", "version": "0", "issuer": ISSUER, "subject": "mia", "early": "yes", "reason": "x"}
    assert 403 == person.post(f"/campaigns/{campaign}/{step}", sent).status
    assert "open" == world.engine.get(campaign).state(time.time())
    assert 403 == person.get("/campaigns/new").status


def test_closing_asks_first_and_says_what_the_rule_decides(world: CampaignWorld, served: ServedConsole) -> None:
    """Before the deadline it needs a tick; then the rule decides about what is open, and the page leads to the plan."""
    campaign, root = world.freeze(undecided="keep"), served.person("root")
    item = world.item(campaign, "ann", "orders:create")
    world.engine.decide(MIA, campaign, [WantedDecision(item=item.id, decision="remove", version=0)], part="mia")
    shown = text_of(root.get(f"/campaigns/{campaign}/close"))
    assert "13 items of 14 are open" in shown
    assert "The rule of the deadline keeps all of them." in shown
    assert 403 == root.post(f"/campaigns/{campaign}/close").status
    closed = root.follow(root.post(f"/campaigns/{campaign}/close", {"early": "yes"}))
    assert "The campaign is closed." in text_of(closed)
    assert f"/plans/{campaign}" in closed.body.decode()
    made = [each.decision for each in world.items(campaign, None)]
    assert (13, 1) == (sum(each.rule for each in made), sum(each.decision == "remove" for each in made))
    assert 409 == root.post(f"/campaigns/{campaign}/cancel", {"reason": "too late"}).status


def test_cancelling_needs_a_reason(world: CampaignWorld, served: ServedConsole) -> None:
    """The reason is in the audit trail."""
    campaign, root = world.freeze(), served.person("root")
    assert 422 == root.post(f"/campaigns/{campaign}/cancel", {"reason": " "}).status
    assert 422 == root.post(f"/campaigns/{campaign}/cancel", {"reason": "x" * 501}).status
    root.follow(root.post(f"/campaigns/{campaign}/cancel", {"reason": "wrong list of people"}))
    entry = next(world.store.audit_entries(AuditFilter(campaign=campaign, action="cancelled")))
    assert "wrong list of people" == entry.details["reason"]
    assert "cancelled" in text_of(root.get(f"/campaigns/{campaign}"))


def test_a_campaign_past_its_deadline_takes_no_decision(world: CampaignWorld, served: ServedConsole) -> None:
    """The list and the part can be read; decisions are refused, and closing needs no tick."""
    campaign = world.freeze_late()
    mia, root = served.person("mia", DECIDES), served.person("root")
    assert "1 day ago" in text_of(mia.get("/campaigns"))
    assert "decisions are no longer taken" in text_of(mia.get(f"/campaigns/{campaign}/decide?part=mia"))
    item = world.item(campaign, "ann", "orders:create")
    sent = {"part": "mia", f"decision.{item.id}": "keep", f"version.{item.id}": "0"}
    for path in ("preview", "decide"):
        assert 403 == mia.post(f"/campaigns/{campaign}/{path}", sent).status
    assert "The deadline is past. Close the campaign" in text_of(root.get(f"/campaigns/{campaign}"))
    root.follow(root.post(f"/campaigns/{campaign}/close"))
    assert world.engine.get(campaign).closed_at is not None


def test_a_policy_that_moved_is_told(world: CampaignWorld, tmp_path: Any) -> None:
    """The campaign, the part and the confirmation to close say that the policy is not the reviewed one."""
    campaign = world.untouched()
    other = tmp_path / "least-privilege.toml"
    other.write_text('version = 1\n[permissions]\n"orders:read" = {}\n')
    with served_console(world.store, people=PEOPLE, policy=str(other)) as moved:
        root = moved.person("root")
        for path in ("", "/decide?part=mia", "/close"):
            assert "The policy has changed since" in text_of(root.get(f"/campaigns/{campaign}{path}")), path


def test_reviewers_are_reminded_by_the_webhook(world: CampaignWorld) -> None:
    """The page says how many were reminded and when; without a webhook there is no button, and the step says why."""
    campaign = world.freeze()
    with WebhookReceiver() as receiver:
        hook = Webhook(receiver.url, SECRET)
        with served_console(world.store, people=PEOPLE, webhooks=[hook]) as served:
            root = served.person("root")
            told = text_of(root.follow(root.post(f"/campaigns/{campaign}/remind")))
            assert "2 reviewers reminded." in told
            again = text_of(root.follow(root.post(f"/campaigns/{campaign}/remind", {"part": "mia"})))
            assert "0 reviewers reminded. 1 part left out" in again
    assert part_of(world, campaign, "mia").reminded_at is not None
    with served_console(world.store, people=PEOPLE) as without:
        root = without.person("root")
        assert "/remind" not in root.get(f"/campaigns/{campaign}").body.decode()
        assert 409 == root.post(f"/campaigns/{campaign}/remind").status


def test_a_worksheet_goes_out_and_comes_back(world: CampaignWorld, served: ServedConsole) -> None:
    """The archive has the worksheet and its sheet file; rows that were filled in become decisions."""
    campaign, mia = world.freeze(), served.person("mia", DECIDES)
    answer = mia.get(f"/campaigns/{campaign}/worksheet?part=mia")
    assert 'attachment; filename="decide.zip"' == answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        assert ["decide.csv", "decide.sheet.json"] == archive.namelist()
        text = archive.read("decide.csv").decode()
    item = world.item(campaign, "ann", "orders:create")
    filled = re.sub(f'"F{item.id}","","","",""', f'"F{item.id}","keep","","Mia","in use soon"', text)
    assert filled != text
    assert "1 decision saved." in text_of(mia.follow(upload(mia, campaign, "mia", filled)))
    made = world.item(campaign, "ann", "orders:create").decision
    assert ("keep", "in use soon", "mia") == (made.decision, made.comment, made.by.subject)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "worksheet"),
        ("a,b\n1,2\n", "not a worksheet"),
        ("id,decision,holder,role,grant\nF0000000000000000,keep,x,,y\n", "no finding with this id"),
    ],
)
def test_a_faulty_worksheet_names_its_faults(
    world: CampaignWorld, served: ServedConsole, text: str, fault: str
) -> None:
    """Nothing is written, and the page says what is wrong."""
    campaign, mia = world.untouched(), served.person("mia", DECIDES)
    answer = upload(mia, campaign, "mia", text)
    assert 422 == answer.status
    assert "Nothing was saved." in text_of(answer)
    assert fault in text_of(answer)


def test_a_worksheet_of_another_part_is_not_given_out(world: CampaignWorld, served: ServedConsole) -> None:
    """Neither another reviewer's part, nor the whole campaign; and none is taken for it."""
    campaign, mia = world.untouched(), served.person("mia", DECIDES)
    for path in ("worksheet?part=max", "worksheet", "worksheet?part=nobody", "worksheet/upload?part=max"):
        assert 403 == mia.get(f"/campaigns/{campaign}/{path}").status, path
    text = world.engine.worksheet(campaign, "max").text
    filled = re.sub(r'^("F[0-9a-f]+"),"","",""', r'\1,"remove","","Mia"', text, flags=re.MULTILINE)
    for part in ("max", "mia"):
        assert upload(mia, campaign, part, filled).status in (403, 422)
    assert [] == [each.id for each in world.items(campaign, "max", decided=True)]
    assert MAX.subject == part_of(world, campaign, "max").reviewer.subject


def test_what_was_used_since_the_freeze_is_listed(tmp_path: Path) -> None:
    """The page of a campaign leads to it; each item is named with its use and its decision."""
    store = open_store(f"sqlite:///{tmp_path / 'used.db'}")
    store.migrate()
    world = make_world(store)
    campaign = world.freeze()
    with served_console(store, people=PEOPLE) as served:
        auditor = served.person("ira", READS)
        assert f"/campaigns/{campaign}/used" in auditor.get(f"/campaigns/{campaign}").body.decode()
        assert "None of these 14 items was used." in text_of(auditor.get(f"/campaigns/{campaign}/used"))
        world.record_use("bob", "orders:create", 0)
        shown = text_of(auditor.get(f"/campaigns/{campaign}/used"))
        assert "Bob Ray, orders:create Mia Berg" in shown
        assert "14 items read." in shown
        assert 403 == served.person("mia", DECIDES).get(f"/campaigns/{campaign}/used").status
        assert 400 == auditor.get(f"/campaigns/{campaign}/used?part=mia&after=x").status
    store.close()


def test_what_was_used_is_found_in_bounded_steps(world: CampaignWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step reads a bounded number of items, and together they read every item once."""
    from jwt_lp.console import later_used

    campaign = world.untouched()
    for size in (1, 3, 4, 10, 14, 100):
        monkeypatch.setattr(later_used, "READ_AT_ONCE", size)
        read = 0
        place: tuple[str | None, int] = (None, -1)
        for _ in range(20):
            step = later_used.find_used(world.engine, campaign, *place)
            assert step.read <= size
            read += step.read
            if step.next is None:
                break
            place = step.next
        assert 14 == read


def test_only_one_campaign_is_made_at_a_time(served: ServedConsole) -> None:
    """While one is being made in this process, another form comes back and says so."""
    freezes = Freezes()
    begun = freezes.begin("first")
    assert begun is not None
    served.app.starlette.state.freezes = freezes
    root = served.person("root", APPLIES)
    sent = {"name": "second", "deadline": (today() + timedelta(days=9)).isoformat(), "split": "team",
            "undecided": "keep"}  # fmt: skip
    answer = root.post("/campaigns/new", sent)
    assert 409 == answer.status
    assert "Another campaign is being made." in text_of(answer)
    begun.on_step("history read", 1200)
    assert "history read, 1,200 so far" in text_of(root.get(f"/campaigns/new/{begun.id}"))
    del served.app.starlette.state.freezes


def test_a_freeze_that_fails_tells_no_more_than_it_may(caplog: pytest.LogCaptureFixture) -> None:
    """A fault of the input is told; anything else goes to the log, and does not stop the next one."""
    freezes = Freezes()
    for error, fault in (
        (ConfigurationError("there is nothing to decide"), "there is nothing to decide"),
        (StoreError("postgresql://secret.host"), "the store does not answer: the log of the service says more"),
        (RuntimeError("secret detail"), "something unexpected went wrong: the log of the service says more"),
    ):
        freeze = freezes.begin("one")
        assert freeze is not None

        def make(_: object, error: Exception = error) -> Any:
            raise error

        run_freeze(freeze, make)
        assert fault == freeze.fault
    assert "secret detail" in caplog.text
    assert "secret.host" in caplog.text
    assert freeze is not None
    for _ in range(30):
        another = freezes.begin("one")
        assert another is not None
        another.fault = "over"
    assert freezes.find(freeze.id) is None


def test_a_failed_reminder_is_told(world: CampaignWorld) -> None:
    """A receiver that refuses is named with the part, without its address."""
    campaign = world.freeze()
    with WebhookReceiver(*[(400, {})] * 8) as receiver:
        hook = Webhook(receiver.url, SECRET)
        with served_console(world.store, people=PEOPLE, webhooks=[hook]) as served:
            root = served.person("root")
            told = text_of(root.follow(root.post(f"/campaigns/{campaign}/remind", {"part": "mia"})))
    assert "0 reviewers reminded. 1 reminder failed; the first one, of the part mia:" in told


def test_the_pages_of_a_role_and_of_a_client_are_shown(tmp_path: Path) -> None:
    """An item about a role, a membership, a grant of it or a client has its page, although uses are kept by subject and day."""
    store = open_store(f"sqlite:///{tmp_path / 'kinds.db'}")
    store.migrate()
    world = make_world(store, roles={"dan": "clerk"})
    findings = [
        finding_of(1, "clerk", "orders:read", of="role", kind="role", members=2),
        finding_of(2, "dan", "", role="clerk", kind="member"),
        finding_of(3, "web", "orders:read", of="client"),
        finding_of(4, "dan", "orders:read", role="clerk"),
    ]
    campaign = hand_made(world, 5, *findings)
    with served_console(store, people=PEOPLE) as served:
        root = served.person("root")
        shown = [text_of(root.get(f"/campaigns/{campaign}/items/{each.id}")) for each in findings]
    assert "1 holder of the role clerk." in shown[0]
    assert "1 holder of the role clerk." in shown[1]
    assert "role clerk" in shown[1].partition("All ways to it")[2]
    assert "6 holders of the grant orders:read." in shown[2]
    assert "1 holder of the role clerk." in shown[3]
    store.close()


def test_a_worksheet_that_is_no_text_is_refused(world: CampaignWorld, served: ServedConsole) -> None:
    """Bytes that are not UTF-8, and no file at all, are answered with the form."""
    campaign, mia = world.untouched(), served.person("mia", DECIDES)
    answer = upload(mia, campaign, "mia", "id,decision\n\udcff", errors="surrogateescape")
    assert 422 == answer.status
    assert "not UTF-8 text" in text_of(answer)
