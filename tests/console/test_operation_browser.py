"""Plans, elevations, revocations and the audit trail in a real browser, for everybody (WCAG 2.2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the console is built on it")
pytest.importorskip("jinja2", reason="the pages are templates")
pytest.importorskip("sqlalchemy", reason="the store is an SQL store")
pytest.importorskip("uvicorn", reason="the console is served by it")
pytest.importorskip("tomlkit", reason="plans edit the policy with it")

from console.campaign_world import ENGINEER, PEOPLE, CampaignWorld, make_world
from console.serving import ISSUER, POLICY, ServedConsole, served_console
from jwt_lp import Elevations, Policy
from jwt_lp.elevation.identities import Operator
from jwt_lp.revocation.entries import RevocationEntry
from jwt_lp.stores import open_store

pytestmark = [pytest.mark.browser, pytest.mark.once]

RULE = {"ask": ["subject:ana"], "approve": "orders:create"}
DELETIONS = ("jwt-lp:review:read", "jwt-lp:review:apply", "jwt-lp:elevation:approve", "jwt-lp:revocation:write")


@dataclass
class Operations:
    """A console with a closed campaign, an elevation that waits, and revocations."""

    world: CampaignWorld
    served: ServedConsole
    closed: str
    asked: str

    @property
    def paths(self) -> dict[str, str]:
        """The pages, each by a name."""
        return {
            "plans": "/plans",
            "plan": f"/plans/{self.closed}",
            "elevations": "/elevations",
            "history": "/elevations?list=history",
            "elevation": f"/elevations/{self.asked}",
            "revocations": "/revocations",
            "revocation": "/revocations/1",
            "new revocation": "/revocations/new",
            "audit": "/audit",
            "audit of nothing": "/audit?actor=nobody",
            "verified": "/audit/verify",
        }


@pytest.fixture(scope="module")
def operations(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operations]:
    """The console over a store in which something of everything has happened."""
    folder = tmp_path_factory.mktemp("operations")
    store = open_store(f"sqlite:///{folder / 'store.db'}")
    store.migrate()
    entry = RevocationEntry(id="e1", of="subject", issuer=ISSUER, name="zoe", pattern="orders:*", reason="left", at=1.0)
    store.revoke([entry], at=1_790_000_000.0, by="wim")
    world = make_world(store)
    campaign = world.freeze(undecided="proposal", stages="trial=30d")
    world.engine.close(ENGINEER, campaign, early=True)
    rules = Policy.from_mapping({**POLICY, "elevation": {"orders:delete": RULE}})
    asked = Elevations(rules, store).request(Operator(ISSUER, "ana"), "orders:delete", reason="tax audit")
    plans: Path = folder / "plans"
    plans.mkdir()
    with served_console(store, people=PEOPLE, policy=rules, plans=plans) as served:
        yield Operations(world, served, campaign, asked.id)
    store.close()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1440), ("dark", 390)])
def test_a_plan_is_made_applied_and_undone_in_a_browser(
    operations: Operations, browser: Any, scheme: str, width: int
) -> None:
    """From the closed campaign to its plan, its trial, one restored grant and undoing; each page is accessible and fits."""
    person = operations.served.person("cleo", *DELETIONS, "orders:create")
    context = operations.served.context(browser, person, viewport={"width": width, "height": 800}, color_scheme=scheme)
    faults: list[str] = []
    page = context.new_page()
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
    for name, path in operations.paths.items():
        page.goto(f"{operations.served.url}{path}")
        check(page, name)
    page.goto(f"{operations.served.url}/plans/{operations.closed}")
    if page.get_by_role("button", name="Make the plan").count():
        page.get_by_role("button", name="Make the plan").click()
        page.wait_for_load_state()
    page.get_by_role("link", name="Show it with a limit of 14").click()
    number = page.locator("input[name=shown]").input_value()
    page.get_by_label("Number of grants").fill(number)
    check(page, "plan with its changes")
    page.get_by_role("button", name="Begin the trial").click()
    page.get_by_text("The trial has begun").wait_for()
    check(page, "plan in its trial")
    page.goto(f"{operations.served.url}/plans/{operations.closed}/verify")
    check(page, "effect")
    page.goto(f"{operations.served.url}/plans/{operations.closed}")
    page.get_by_text("Restore", exact=True).first.click()
    page.get_by_label("Why it is needed").first.fill("month end")
    page.get_by_role("button", name="Restore this grant").first.click()
    page.get_by_text("Restored.").wait_for()
    page.get_by_label("Give back").check()
    page.get_by_role("button", name="Undo the plan").click()
    page.get_by_text("Undone;").wait_for()
    assert {"zoe"} == {row.entry.name for row in operations.world.store.revocations()}
    assert [] == faults
    context.close()


def check(page: Any, name: str) -> None:
    """Axe finds nothing, and the page is not wider than the window."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe checks the pages")
    result = axe.Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]})
    assert 0 == result.violations_count, f"{name}: {result.generate_report()}"
    wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert 0 == wider, name
