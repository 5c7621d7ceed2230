"""A whole quarter in a real browser: from the new campaign to a refused token, and back.

Each time with real servers: the console, an application on Flask and one on FastAPI, and a receiver of webhooks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the console is built on it")
pytest.importorskip("jinja2", reason="the pages are templates")
pytest.importorskip("sqlalchemy", reason="the store is an SQL store")
pytest.importorskip("uvicorn", reason="the console is served by it")
pytest.importorskip("tomlkit", reason="a plan is applied to a policy file")
pytest.importorskip("python_multipart", reason="forms are read by it")
pytest.importorskip("standardwebhooks", reason="it verifies the reminder")
pytest.importorskip("flask")
pytest.importorskip("fastapi")

import standardwebhooks

from console.page_list import DECIDES
from console.quarter_world import DAY, Quarter, make_quarter
from console.serving import ISSUER, KEY, ServedConsole, served_console
from hosts.serving import HttpClient, serve
from jwt_lp import Issuer, Policy
from jwt_lp.campaigns import verify_audit, verify_audit_file
from jwt_lp.stores import ItemFilter, open_store
from jwt_lp.usage.recorder import UsageRecorder
from jwt_lp.webhooks import Webhook
from servers import postgres_database
from webhook_receiver import SECRET, WebhookReceiver

pytestmark = [pytest.mark.browser, pytest.mark.once]

# Grace holds it, has never used it, and Nora takes it back.
HOLDER, UNUSED, USED = "n06", "orders:export", "orders:list"
PATIENCE = 60


@dataclass
class Round:
    """The quarter with its console, its browser and its applications, and what the pages complained about."""

    quarter: Quarter
    console: ServedConsole
    browser: Any
    applications: dict[str, HttpClient]
    receiver: WebhookReceiver
    faults: list[str] = field(default_factory=list)

    def sign_in(self, subject: str, *permissions: str, **options: Any) -> Any:
        """A page of a context in which somebody is signed in; "" is the console's address."""
        person = self.console.person(subject, *permissions)
        context = self.console.context(self.browser, person, base_url=self.console.url, **options)
        page = context.new_page()
        page.set_default_timeout(PATIENCE * 1000)
        page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
        page.on("console", self._hear)
        page.on("request", self._see)
        return page

    def _hear(self, line: Any) -> None:
        if line.type == "error":
            self.faults.append(f"console: {line.text}")

    def _see(self, sent: Any) -> None:
        if not sent.url.startswith(f"{self.console.url}/"):
            self.faults.append(f"request: {sent.url}")

    def statuses(self, permission: str) -> dict[str, int]:
        """What each application answers to a live token of the holder who has this permission."""
        rules = Policy.load(self.quarter.policy)
        issuer = Issuer(ISSUER, KEY, policy=rules, audience="orders", client="web")
        header = ("Authorization", f"Bearer {issuer.issue(HOLDER, permissions=[UNUSED, USED])}")
        return {
            name: client.request("GET", f"/{permission.replace(':', '/')}", [header]).status
            for name, client in self.applications.items()
        }


@pytest.fixture(params=["sqlite", "postgresql"])
def quarter_round(
    request: pytest.FixtureRequest, tmp_path: Path, browser: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Round]:
    """The store, and everything that runs on it."""
    from jwt_lp_flask import guard_from

    # What the test asks of the applications must not look like a use of it.
    monkeypatch.setattr(UsageRecorder, "flush", lambda _: 60.0)
    with ExitStack() as stack:
        url = f"sqlite:///{tmp_path}/access.db"
        if request.param == "postgresql":
            url = stack.enter_context(postgres_database())
        store = open_store(url)
        stack.callback(store.close)
        store.migrate()
        quarter = make_quarter(store, tmp_path, team=12)
        (tmp_path / "plans").mkdir()
        receiver = stack.enter_context(WebhookReceiver())
        console = stack.enter_context(
            served_console(
                store,
                policy=quarter.policy,
                people=quarter.people,
                plans=tmp_path / "plans",
                webhooks=[Webhook(receiver.url, SECRET)],
                clock=quarter.clock,
            )
        )
        settings = {
            "ISSUER": ISSUER,
            "AUDIENCE": "orders",
            "ALGORITHMS": ["ES256"],
            "JWKS": {"keys": [KEY.public_jwk()]},
            "OWN": True,
            "POLICY": str(quarter.policy),
            "STORE": url,
            "SERVICE": "orders",
        }
        flask = flask_application(settings)
        stack.callback(guard_from(flask).close)
        applications = {
            "Flask": stack.enter_context(serve("wsgi", flask)),
            "FastAPI": stack.enter_context(serve("asgi", fastapi_application(settings))),
        }
        yield Round(quarter, console, browser, applications, receiver)


def flask_application(settings: dict[str, Any]) -> Any:
    """Two routes on Flask."""
    from flask import Flask

    from jwt_lp_flask import LeastPrivilege, requires

    app = Flask(__name__)

    @app.get("/orders/list")
    @requires(USED)
    def orders() -> dict[str, bool]:
        return {"ok": True}

    @app.get("/orders/export")
    @requires(UNUSED)
    def export() -> dict[str, bool]:
        return {"ok": True}

    LeastPrivilege(app, settings=settings)
    return app


def fastapi_application(settings: dict[str, Any]) -> Any:
    """The same routes on FastAPI."""
    from fastapi import FastAPI

    from jwt_lp_starlette import LeastPrivilege
    from jwt_lp_starlette.fastapi import Requires

    app = FastAPI(openapi_url=None)

    @app.get("/orders/list", dependencies=[Requires(USED)])
    async def orders() -> dict[str, bool]:
        return {"ok": True}

    @app.get("/orders/export", dependencies=[Requires(UNUSED)])
    async def export() -> dict[str, bool]:
        return {"ok": True}

    LeastPrivilege(app, settings)
    return app


def test_a_quarter(quarter_round: Round) -> None:
    """A campaign is frozen, decided, closed, applied and undone; what was taken back is refused everywhere, then given back."""
    quarter = quarter_round.quarter
    engineer = quarter_round.sign_in("root")
    campaign = freeze(engineer, datetime.fromtimestamp(quarter.clock(), UTC).date().isoformat())
    remind(quarter_round, engineer, campaign)
    decide_with_keys(quarter_round, campaign)
    left = decide_without_script(quarter_round, campaign)
    assert {"Flask": 200, "FastAPI": 200} == quarter_round.statuses(UNUSED)

    quarter.clock.ahead = 1.1 * DAY
    engineer = quarter_round.sign_in("root")
    close(engineer, campaign, left)
    apply(engineer, campaign)
    wait_until(lambda: quarter_round.statuses(UNUSED) == {"Flask": 403, "FastAPI": 403})
    assert {"Flask": 200, "FastAPI": 200} == quarter_round.statuses(USED)

    engineer.get_by_role("link", name="Verify the effect").click()
    assert "stay revoked" in engineer.locator("main").inner_text()
    undo(engineer, campaign)
    wait_until(lambda: quarter_round.statuses(UNUSED) == {"Flask": 200, "FastAPI": 200})
    check_trail(quarter_round, engineer)
    assert [] == quarter_round.faults


def freeze(engineer: Any, last_day: str) -> str:
    """Make a campaign by the form, from the first page on; its id."""
    engineer.goto("/")
    engineer.get_by_role("link", name="Campaigns", exact=True).click()
    engineer.get_by_role("link", name="New campaign").click()
    engineer.get_by_label("Name").fill("Q4 2026")
    engineer.get_by_label("Last day to decide").fill(last_day)
    engineer.get_by_role("button", name="Review and freeze").click()
    engineer.get_by_role("heading", name="Q4 2026").wait_for()
    campaign: str = engineer.url.rpartition("/campaigns/")[2].partition("?")[0]
    return campaign


def remind(quarter_round: Round, engineer: Any, campaign: str) -> None:
    """Remind everybody; each reviewer's event is signed."""
    engineer.get_by_role("button", name="Remind all reviewers with open items").click()
    engineer.get_by_text("reviewers reminded").wait_for()
    events = quarter_round.receiver.received
    for event in events:
        standardwebhooks.Webhook(SECRET).verify(event.body, event.headers)
    data = [event.content["data"] for event in events]
    assert {"nora", "omar", "root", "maximiliane"} == {each["reviewer"]["subject"] for each in data}
    assert {campaign} == {each["campaign"]["id"] for each in data}


def decide_with_keys(quarter_round: Round, campaign: str) -> None:
    """Nora decides about everything: a group, some by keyboard, one exempt, one narrowed, the rest at once."""
    page = quarter_round.sign_in("nora", DECIDES)
    page.goto("/")
    page.get_by_role("link", name="Decide about").click()
    page.get_by_text("0 decided on this page").wait_for()
    page.keyboard.press("j")
    page.keyboard.press("2")  # the group is removed
    for key in ("j1", "j2", "j2"):
        for each in key:
            page.keyboard.press(each)
    narrow, _ = page.locator(".item:has(input[value=narrow])").all()
    narrow.get_by_label("Narrow").check()
    exempt = page.locator(".item", has_text="Grace E6").filter(has_text="stock:adjust")
    exempt.get_by_label("Exempt", exact=True).check()
    exempt.get_by_label("Exempt until").fill(quarter_round.quarter.ago(-300))
    page.keyboard.press("Escape")
    save(page, "Would be taken back")
    while page.locator("#tick-all").count():
        page.get_by_label("Select all on this page").check()
        page.get_by_text("Decide about all selected").click()
        page.locator("select[name=all_decision]").select_option("remove")
        save(page, "Would be taken back")
    assert "Everything in this part is decided." in page.locator("main").inner_text()
    page.context.close()
    made = {
        (each.finding["name"], each.finding["grant"]): each.decision.decision
        for each in quarter_round.quarter.store.campaign_items(ItemFilter(campaign=campaign, part="nora"))
    }
    assert len(made) > 60
    assert {"keep", "remove", "narrow", "exempt"} == {*made.values()}
    assert ("remove", "exempt") == (made[HOLDER, UNUSED], made[HOLDER, "stock:adjust"])


def decide_without_script(quarter_round: Round, campaign: str) -> int:
    """Omar decides about one page of his part without JavaScript; the number of items that are left."""
    page = quarter_round.sign_in("omar", DECIDES, java_script_enabled=False)
    page.goto(f"/campaigns/{campaign}/decide?part=omar")
    page.get_by_role("link", name="Select all on this page").click()
    page.locator("select[name=all_decision]").select_option("remove")
    save(page, "Would be taken back")
    left = int(page.get_by_role("link", name="Open (").inner_text().strip("Open ()"))
    page.context.close()
    store = quarter_round.quarter.store
    (part,) = [each for each in store.campaign_parts(campaign) if each.name == "omar"]
    assert (True, left) == (part.decided >= 50, part.items - part.decided)
    return left


def save(page: Any, shown: str) -> None:
    """Preview the decisions, and save them."""
    page.get_by_role("button", name="Preview decisions").click()
    page.get_by_text(shown, exact=True).wait_for()
    page.locator("main form.actions button.main").click()
    page.get_by_text("saved.").wait_for()


def close(engineer: Any, campaign: str, left: int) -> None:
    """Close the campaign after its deadline: what is open is kept by the rule."""
    assert left
    engineer.goto(f"/campaigns/{campaign}")
    assert "The deadline is past." in engineer.locator("main").inner_text()
    engineer.get_by_role("link", name="Close the campaign").click()
    assert "The rule of the deadline keeps all of them." in engineer.locator("main").inner_text()
    engineer.get_by_role("button", name="Close the campaign").click()
    engineer.get_by_text("The campaign is closed.").wait_for()


def apply(engineer: Any, campaign: str) -> None:
    """Make the plan, raise its limit, confirm the number and apply it."""
    engineer.get_by_role("link", name="Make and apply the plan").click()
    engineer.get_by_role("button", name="Make the plan").click()
    engineer.get_by_text("Other limits").wait_for()
    cap = engineer.get_by_label("Revoke at most this many grants")
    if not cap.is_visible():
        engineer.get_by_text("Other limits").click()
    cap.fill("1000")
    engineer.get_by_label("Also revoke grants that have no other known holder").check()
    engineer.get_by_role("button", name="Show what it would change then").click()
    number = engineer.locator("input[name=shown]").get_attribute("value")
    assert int(number) > 60
    engineer.get_by_label("Number of grants that would be revoked").fill(number)
    engineer.get_by_role("button", name="Apply it").click()
    engineer.get_by_text("The plan is applied").wait_for()


def undo(engineer: Any, campaign: str) -> None:
    """Undo the plan."""
    engineer.goto(f"/plans/{campaign}")
    engineer.locator("input[name=sure]").check()
    engineer.get_by_role("button", name="Undo the plan").click()
    engineer.get_by_text("Undone; deny entries lifted").wait_for()


def check_trail(quarter_round: Round, engineer: Any) -> None:
    """The audit trail is whole, and so is its export; an export without a line is not."""
    engineer.get_by_role("link", name="Audit", exact=True).click()
    engineer.get_by_role("link", name="Verify the chain").click()
    assert "The chain is whole" in engineer.locator("main").inner_text()
    engineer.go_back()
    with engineer.expect_download() as download:
        engineer.get_by_role("link", name="Export as JSON lines").click()
    lines = download.value.path().read_text().splitlines()
    trail = verify_audit(quarter_round.quarter.store)
    assert (None, len(lines)) == (trail.broken, trail.entries)
    assert verify_audit_file(lines).broken is None
    assert verify_audit_file([*lines[:5], *lines[6:]]).broken is not None


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait for what the applications learn when they ask the store the next time."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)
