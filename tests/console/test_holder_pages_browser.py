"""The overview and the pages of holders in a real browser: for everybody (WCAG 2.2), in both themes, on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

pytest.importorskip("starlette", reason="the console is built on it")
pytest.importorskip("jinja2", reason="the pages are templates")
pytest.importorskip("sqlalchemy", reason="the store is an SQL store")
pytest.importorskip("uvicorn", reason="the console is served by it")

from console.access_history import HOSTILE, ISSUER, freeze_campaign, record_history
from console.serving import ServedConsole, served_console

pytestmark = [pytest.mark.browser, pytest.mark.once]

PATHS = (
    "/",
    f"/subject?{urlencode({'issuer': ISSUER, 'name': 'alice'})}",
    f"/client?{urlencode({'issuer': ISSUER, 'name': HOSTILE})}",
    "/role?name=clerk",
    "/permission?name=orders:read",
    "/routes",
    "/search?q=cl",
)


@pytest.fixture(scope="module")
def console(store: Any) -> Iterator[ServedConsole]:
    """A console over a store with a past and a campaign."""
    record_history(store)
    freeze_campaign(store)
    with served_console(store) as served:
        yield served


@pytest.mark.parametrize(
    ("scheme", "width", "paths"), [("light", 1280, PATHS), ("dark", 390, (PATHS[0], *PATHS[1:5:2]))]
)
def test_the_pages_are_accessible(
    console: ServedConsole, browser: Any, scheme: str, width: int, paths: tuple[str, ...]
) -> None:
    """No rule of WCAG 2.2 AA is broken, nothing is wider than the screen, and no page runs a hostile name."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe checks the pages")
    context = console.context(
        browser, console.person("boss"), viewport={"width": width, "height": 800}, color_scheme=scheme
    )
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda line: said.append(line.text))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.on("pageerror", lambda error: said.append(str(error)))
    broken: list[str] = []
    for path in paths:
        page.goto(f"{console.url}{path}")
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        found = axe.Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]})
        broken += [f"{path} {each['id']} {each['nodes'][0]['html'][:200]}" for each in found.response["violations"]]
        broken += [f"{path} is too wide"] if wide > 0 else []
    context.close()
    assert ([], []) == (broken, said)


def test_the_latest_use_is_seen_first(console: ServedConsole, browser: Any) -> None:
    """On a phone a time line is scrolled to its end, where the latest use is; on a wide screen it begins at the left."""
    path = PATHS[1]
    for width, seen in ((390, True), (1280, False)):
        context = console.context(browser, console.person("boss"), viewport={"width": width, "height": 800})
        page = context.new_page()
        page.goto(f"{console.url}{path}")
        box, last = (
            page.locator(each).first.bounding_box() for each in (".scroll.latest", ".scroll.latest rect:last-of-type")
        )
        scrolls = page.evaluate("(e => e.scrollWidth > e.clientWidth)(document.querySelector('.scroll.latest'))")
        context.close()
        assert seen == scrolls
        assert box["x"] <= last["x"] <= box["x"] + box["width"]


def test_the_search_is_reached_by_keyboard(console: ServedConsole, browser: Any) -> None:
    """A name is typed, sent with Enter, and the result followed with the keyboard alone."""
    context = console.context(browser, console.person("boss"), java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{console.url}/search")
    page.get_by_label("Part of a name").focus()
    page.keyboard.type("alic")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search?q=alic*")
    page.get_by_role("link", name="alice").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/subject?*")
    heading = page.get_by_role("heading", level=1).inner_text()
    context.close()
    assert "Subject alice" == heading
