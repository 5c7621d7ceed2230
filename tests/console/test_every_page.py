"""Every page of the console in a real browser: accessible, as wide as the window, and without a request elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the console is built on it")
pytest.importorskip("jinja2", reason="the pages are templates")
pytest.importorskip("sqlalchemy", reason="the store is an SQL store")
pytest.importorskip("uvicorn", reason="the console is served by it")
pytest.importorskip("tomlkit", reason="a plan is applied to a policy file")
pytest.importorskip("python_multipart", reason="a form sends a file")
pytest.importorskip("axe_playwright_python", reason="axe checks the pages")

from console.page_list import EMPTY_PAGES, ConsolePage
from console.screenshots import empty_console, furnished_console, open_context
from console.serving import ServedConsole

AXE_SCRIPT = pytest.importorskip("axe_playwright_python.base").AXE_SCRIPT
pytestmark = [pytest.mark.browser, pytest.mark.once]

RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
SIZES = ({"width": 390, "height": 844}, {"width": 1440, "height": 900})
# What a click, not the address, shows: it is checked too.
OPEN_ALL = "document.querySelectorAll('details').forEach(each => { each.open = true })"
TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
RUN_AXE = "rules => axe.run({ runOnly: rules, resultTypes: ['violations'] })"


def test_every_page(browser: Any, tmp_path: Any) -> None:
    """Narrow and wide, light and dark: axe finds no fault, nothing is too wide, and there is a title and one h1."""
    with furnished_console(tmp_path, team=12) as (console, furnished):
        faults = [*_faults(console, browser, furnished.pages())]
    with empty_console(tmp_path) as console:
        faults += _faults(console, browser, EMPTY_PAGES)
    assert [] == faults


def test_faults_are_found(browser: Any, tmp_path: Any) -> None:
    """A page with faults is not passed by the checks of this module."""
    with empty_console(tmp_path) as console, _tab(console, browser, "engineer") as (tab, said):
        tab.goto(f"{console.url}/campaigns")
        assert [] == [*said, *_look(tab)]
        tab.evaluate("document.querySelector('h1').innerHTML = '<img src=\"http://elsewhere.test/x\">'")
        tab.evaluate("document.querySelector('h2').style.color = 'rgb(128 128 128)'")
        tab.evaluate("document.querySelector('h2').style.width = '2000px'")
        found = " ".join(each.partition(":")[0] for each in _look(tab))
    for fault in ("image-alt", "color-contrast", "pixels too wide at 1440"):
        assert fault in found
    assert "elsewhere.test" in " ".join(said)


def _faults(console: ServedConsole, browser: Any, pages: list[ConsolePage]) -> Iterator[str]:
    """The faults of these pages, each with the page's name."""
    for who in sorted({page.who for page in pages}):
        with _tab(console, browser, who) as (tab, said):
            for page in pages:
                if page.who == who:
                    said.clear()
                    answer = tab.goto(console.url + page.path)
                    found = [*said, *_look(tab)]
                    if answer.status != page.status:
                        found.append(f"status {answer.status}")
                    yield from (f"{page.name}: {each}" for each in found)


@contextmanager
def _tab(console: ServedConsole, browser: Any, who: str) -> Iterator[tuple[Any, list[str]]]:
    """A page of a browser, and what its console said and which requests it sent elsewhere."""
    context = open_context(console, browser, who)
    tab, said = context.new_page(), list[str]()

    def hear(line: Any) -> None:
        # The page itself may answer 403 or 404; nothing that it loads does.
        if line.type == "error" and line.location["url"] != tab.url:
            said.append(f"console: {line.text}")

    def see(sent: Any) -> None:
        if not sent.url.startswith(f"{console.url}/"):
            said.append(f"request to {sent.url}")

    tab.on("pageerror", lambda error: said.append(f"script: {error}"))
    tab.on("console", hear)
    tab.on("request", see)
    yield tab, said
    context.close()


def _look(tab: Any) -> Iterator[str]:
    """The faults of the page that is shown."""
    if not tab.title().split(" · ")[0] or tab.locator("h1:visible").count() != 1:
        yield f"title {tab.title()!r}, h1 {tab.locator('h1').all_inner_texts()}"
    tab.evaluate(AXE_SCRIPT)
    tab.evaluate(OPEN_ALL)
    # Nothing but colours is another in the dark, so one look of each width is enough for the other rules.
    for size, (first, second) in zip(SIZES, (("light", "dark"), ("dark", "light")), strict=True):
        tab.set_viewport_size(size)
        if wider := tab.evaluate(TOO_WIDE):
            yield f"{wider} pixels too wide at {size['width']}"
        tab.emulate_media(color_scheme=first)
        yield from _axe(tab, {"type": "tag", "values": RULES})
        tab.emulate_media(color_scheme=second)
        yield from _axe(tab, {"type": "rule", "values": ["color-contrast"]})


def _axe(tab: Any, rules: dict[str, Any]) -> Iterator[str]:
    for fault in tab.evaluate(RUN_AXE, rules)["violations"]:
        yield f"{fault['id']}: {[node['html'][:200] for node in fault['nodes'][:3]]}"
