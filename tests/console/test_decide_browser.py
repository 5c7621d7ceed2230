"""Deciding in a real browser: by keyboard, without a script, on a phone, and for everybody (WCAG 2.2)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Self

import pytest

pytest.importorskip("starlette", reason="the console is built on it")
pytest.importorskip("jinja2", reason="the pages are templates")
pytest.importorskip("sqlalchemy", reason="the store is an SQL store")
pytest.importorskip("uvicorn", reason="the console is served by it")
pytest.importorskip("axe_playwright_python", reason="axe checks the pages")

from console.campaign_world import DECIDES, MIA, PEOPLE, CampaignWorld, make_world, today
from console.serving import Person, ServedConsole, served_console
from jwt_lp.stores import open_store
from jwt_lp.stores.campaigns import WantedDecision

pytestmark = [pytest.mark.browser, pytest.mark.once]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CampaignWorld]:
    """A store with recorded use, in which each test freezes a campaign of its own."""
    store = open_store(f"sqlite:///{tmp_path_factory.mktemp('decide') / 'store.db'}")
    store.migrate()
    yield make_world(store)
    store.close()


@pytest.fixture(scope="module")
def served(world: CampaignWorld) -> Iterator[ServedConsole]:
    """The console over that store."""
    with served_console(world.store, people=PEOPLE) as served:
        yield served


STANDARDS = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]


class Screen:
    """A page of a browser in which a person is signed in, and what its console and scripts complained about."""

    def __init__(self, served: ServedConsole, browser: Any, person: Person, **options: Any) -> None:
        self.served = served
        self.context = served.context(browser, person, **options)
        self.page = self.context.new_page()
        self.faults: list[str] = []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", lambda line: self.faults.append(line.text) if line.type == "error" else None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

    def open(self, path: str) -> Any:
        """Open a page of the console."""
        self.page.goto(f"{self.served.url}{path}")
        return self.page


def chosen(page: Any, item: Any) -> str:
    """The chosen decision of an item on the page."""
    value: str = page.locator(f'input[name="decision.{item.id}"]:checked').get_attribute("value")
    return value


def test_items_are_decided_by_keyboard(world: CampaignWorld, served: ServedConsole, browser: Any) -> None:
    """j and k move, digits decide, x selects, p previews; in a text field keys are text until Escape, and ? shows the help."""
    campaign = world.freeze()
    first, second = (each for each in world.items(campaign) if not each.group and each.finding.name == "ann")
    with Screen(served, browser, served.person("mia", DECIDES)) as screen:
        page = screen.open(f"/campaigns/{campaign}/decide?part=mia")
        page.keyboard.press("j")  # the group
        page.keyboard.press("2")
        page.keyboard.press("j")
        page.keyboard.press("1")
        assert "keep" == chosen(page, first)
        page.locator(f'input[name="comment.{first.id}"]').click()
        page.keyboard.type("j24x?")
        assert "j24x?" == page.locator(f'input[name="comment.{first.id}"]').input_value()
        assert ["keep", ""] == [chosen(page, first), chosen(page, second)]
        page.keyboard.press("Escape")
        assert f"i-{first.id}" == page.evaluate("document.activeElement.id")
        page.keyboard.press("j")
        page.keyboard.press("x")
        page.keyboard.press("4")
        assert "exempt" == chosen(page, second)
        assert "until." in (page.evaluate("document.activeElement.name"))
        page.keyboard.type(f"{today() + timedelta(days=300):%m%d%Y}")
        assert "3 decided on this page, 1 selected" == page.locator("#chosen").inner_text()
        page.locator(f"#i-{second.id}").focus()
        page.keyboard.press("?")
        assert page.locator("#keys").is_visible()
        page.keyboard.press("Escape")
        page.locator(f"#i-{second.id}").focus()
        page.keyboard.press("p")
        page.wait_for_url("**/preview")
        page.get_by_role("button", name="Save 8 decisions").click()
        page.wait_for_url("**/decide**")
        assert "8 decisions saved." == page.locator("#notices").inner_text()
        assert [] == screen.faults
    made = {(each.finding.name, each.decision.decision) for each in world.items(campaign, decided=True)}
    assert {("eve", "remove"), ("fay", "remove"), ("ann", "keep"), ("ann", "exempt")} == made


def test_the_keys_can_be_turned_off(world: CampaignWorld, served: ServedConsole, browser: Any) -> None:
    """Turned off in the help, no key does anything, also after a reload (WCAG 2.1.4)."""
    campaign = world.freeze()
    with Screen(served, browser, served.person("mia", DECIDES)) as screen:
        page = screen.open(f"/campaigns/{campaign}/decide?part=mia")
        page.get_by_role("button", name="Keyboard").click()
        page.get_by_label("Use these keys").uncheck()
        page.keyboard.press("Escape")
        page.reload()
        page.keyboard.press("j")
        page.keyboard.press("1")
        assert "BODY" == page.evaluate("document.activeElement.tagName")
        page.keyboard.press("?")
        assert not page.locator("#keys").is_visible()
        page.get_by_role("button", name="Keyboard").click()
        page.get_by_label("Use these keys").check()
        page.keyboard.press("Escape")
        page.evaluate("document.activeElement.blur()")
        page.keyboard.press("?")
        assert page.locator("#keys").is_visible()


def test_choices_that_were_not_sent_are_not_left_unasked(
    world: CampaignWorld, served: ServedConsole, browser: Any
) -> None:
    """Leaving the page with chosen decisions asks first; without any, and when they are sent, it does not."""
    campaign = world.untouched()
    asked: list[str] = []

    def dismiss(dialog: Any) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    with Screen(served, browser, served.person("mia", DECIDES)) as screen:
        page = screen.open(f"/campaigns/{campaign}/decide?part=mia")
        page.on("dialog", dismiss)
        page.get_by_role("link", name="All", exact=True).click()
        page.wait_for_url("**show=all")
        page.get_by_label("Remove", exact=True).first.check()
        page.get_by_role("link", name="Open (10)").click()
        assert "show=all" in page.url
        assert ["beforeunload"] == asked
        page.get_by_role("button", name="Preview decisions").click()
        page.wait_for_url("**/preview")
        assert ["beforeunload"] == asked


def test_everything_is_decided_without_a_script(world: CampaignWorld, served: ServedConsole, browser: Any) -> None:
    """Select all, one decision for all, preview, back, save, and a decision taken back: links and forms only."""
    campaign = world.freeze()
    with Screen(served, browser, served.person("mia", DECIDES), java_script_enabled=False) as screen:
        page = screen.open("/campaigns")
        page.get_by_role("link", name="Q4").first.click()
        page.goto(f"{served.url}/campaigns/{campaign}/decide")
        page.get_by_role("link", name="Select all on this page").click()
        page.locator("select[name=all_decision]").select_option("keep")
        page.get_by_role("button", name="Preview decisions").click()
        page.get_by_role("button", name="Back, to change them").click()
        page.get_by_label("Remove all", exact=True).check()
        page.get_by_role("button", name="Preview decisions").click()
        page.get_by_role("button", name="Save 10 decisions").click()
        assert "10 decisions saved." in page.locator("#notices").inner_text()
        assert "Everything in this part is decided." in page.locator("main").inner_text()
        page.get_by_role("link", name="Decided (10)").click()
        page.locator(".choice", has_text="Take back").first.locator("input").check()
        page.get_by_role("button", name="Preview decisions").click()
        page.get_by_role("button", name="Save 1 decision").click()
        assert "9 of 10" in page.locator(".progress").inner_text()
    assert 9 == sum(each.decision is not None for each in world.items(campaign))


@pytest.mark.parametrize(("scheme", "width"), [("light", 1440), ("dark", 390)])
def test_what_follows_a_form_is_accessible_and_fits(
    world: CampaignWorld, served: ServedConsole, browser: Any, scheme: str, width: int
) -> None:
    """The preview, a form with faults and a conflict have no fault that axe finds, and are not wider than the window.

    `test_every_page.py` checks the pages that an address leads to.
    """
    campaign = world.freeze()
    path = f"/campaigns/{campaign}/decide?part=mia"
    options = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
    with Screen(served, browser, served.person("mia", DECIDES), **options) as screen:
        page = screen.open(path)
        page.locator("input[value=exempt]").nth(1).check()
        page.get_by_role("button", name="Preview decisions").click()
        page.wait_for_url("**/preview")
        _check(page, "faults")
        page.locator("input[value=remove]").nth(1).check()
        page.get_by_role("button", name="Preview decisions").click()
        page.get_by_role("button", name="Save 1 decision").wait_for()
        _check(page, "preview")
        (first, *_) = (each for each in world.items(campaign) if not each.group)
        world.engine.decide(MIA, campaign, [WantedDecision(item=first.id, decision="keep", version=0)], part="mia")
        page.get_by_role("button", name="Save 1 decision").click()
        page.get_by_role("button", name="Save what is chosen").wait_for()
        _check(page, "conflict")
        assert [] == [each for each in screen.faults if "422" not in each and "409" not in each]


def _check(page: Any, name: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    result = axe.Axe().run(page, options={"runOnly": STANDARDS, "resultTypes": ["violations"]})
    assert 0 == result.violations_count, f"{name}: {result.generate_report()}"
    wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert 0 == wider, name
