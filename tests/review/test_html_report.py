"""The HTML page in a browser: requests, sorting, filters, print and accessibility."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chromium import chromium
from jwt_lp.review.report import render
from review import sample_review

pytestmark = pytest.mark.browser

pytest.importorskip("jinja2", reason="the page needs Jinja2")

REVIEW = sample_review.review()
NUMBER = len(REVIEW.findings)
WIDTHS = pytest.mark.parametrize("width", [390, 1440])
SCHEMES = pytest.mark.parametrize("scheme", ["light", "dark"])

# The least contrast of a text with what is behind it, of all elements with text of their own.
CONTRAST = """() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (each) => {
    for (; each; each = each.parentElement) {
      const colour = parts(getComputedStyle(each).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const each of document.querySelectorAll("body *")) {
    const own = [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !each.checkVisibility() || ["SCRIPT", "STYLE", "OPTION"].includes(each.tagName)) continue;
    const svg = each.namespaceURI.endsWith("svg");
    if (svg && each.tagName !== "text") continue;
    const style = getComputedStyle(each);
    const [a, b] = [light(parts(svg ? style.fill : style.color)), light(behind(each))];
    found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), each.tagName, each.textContent.slice(0, 40)]);
  }
  return found.sort((a, b) => a[0] - b[0])[0];
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("page") / "review.html"
    file.write_text(render(REVIEW, "html"), "utf-8")
    return file.as_uri()


@pytest.fixture
def page(browser, written) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    opened.goto(written)
    yield opened
    context.close()


def _seen(page) -> list[str]:
    """The ids of the visible findings, in their order."""
    found: list[str] = page.eval_on_selector_all(
        "#list tbody tr",
        "rows => rows.filter(row => row.checkVisibility()).map(row => row.querySelector('i').innerText)",
    )
    return found


def _choose(page, name: str, value: str) -> None:
    page.locator(f"#tools [name={name}]").select_option(value)


def test_the_page_makes_no_requests_and_no_errors(browser, written) -> None:
    """Loading the page is the only request, no name is run, and the console stays empty."""
    context = browser.new_context()
    page = context.new_page()
    requests: list[str] = []
    messages: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("dialog", lambda dialog: messages.append(dialog.message))
    page.goto(written, wait_until="networkidle")
    page.get_by_role("button", name="Uses").click()
    context.close()
    assert ([], []) == ([url for url in requests if url != written and not url.startswith("data:")], messages)


def test_without_javascript_all_is_readable(browser, written) -> None:
    """Without JavaScript, every finding is visible, and no control that needs it."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(written)
    seen = [row.is_visible() for row in page.locator("#list tbody tr").all()]
    controls = [element.is_visible() for element in page.locator("button, input, select").all()]
    context.close()
    assert ([True] * NUMBER, set()) == (seen, {visible for visible in controls if visible})


def test_a_column_sorts_both_ways(page) -> None:
    """A click sorts by a column, a second click reverses it, and the header has the direction."""
    uses = {finding.id: finding.uses for finding in REVIEW.findings}
    header = page.get_by_role("columnheader", name="Uses")
    for order, backwards in (("ascending", False), ("descending", True)):
        header.get_by_role("button").click()
        assert order == header.get_attribute("aria-sort")
        assert sorted(uses.values(), reverse=backwards) == [uses[id_] for id_ in _seen(page)]
    assert 1 == page.locator("[aria-sort]").count()


def test_risk_sorts_by_its_score(page) -> None:
    """Risks are sorted by score."""
    scores = {finding.id: finding.score for finding in REVIEW.findings}
    page.locator("#list").get_by_role("columnheader", name="Risk").get_by_role("button").click()
    assert sorted(scores.values()) == [scores[id_] for id_ in _seen(page)]


def test_only_what_is_new_is_shown(page) -> None:
    """A filter shows what is new, or what came back, since the last review."""
    for change in ("new", "came-back"):
        _choose(page, "change", change)
        assert [finding.id for finding in REVIEW.findings if finding.change == change] == _seen(page)


def test_decisions_come_first(page) -> None:
    """After the overview the page lists the findings, leavers first, with names beside ids."""
    order = page.eval_on_selector_all("main > section", "all => all.map(each => each.id)")
    assert ["overview", "findings", "groups", "changes", "granted", "time", "past", "evidence"] == order
    row = page.locator("#list tbody tr", has_text="Ivan Petrov").inner_text()
    assert ["u-1234", "team Payments", "manager dana.levi", "last day 2026-08-31"] == [
        part for part in ("u-1234", "team Payments", "manager dana.levi", "last day 2026-08-31") if part in row
    ]


def test_the_keyboard_reaches_the_sort_buttons(page) -> None:
    """Tab leads from the last filter to the first header, where Enter sorts, with a visible focus."""
    page.get_by_role("button", name="Reset").focus()
    page.keyboard.press("Tab")
    assert "Holder" == page.evaluate("document.activeElement.textContent")
    assert "solid" == page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    page.keyboard.press("Enter")
    assert "ascending" == page.locator("#list").get_by_role("columnheader", name="Holder").get_attribute("aria-sort")
    names = {finding.id: _sorted_as(finding.person_name or finding.name) for finding in REVIEW.findings}
    assert sorted(names.values()) == [names[id_] for id_ in _seen(page)]


def _sorted_as(name: str) -> str:
    """A name as the page sorts it."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in name or "–"
    ).lower()


@pytest.mark.parametrize("name", ["verdict", "proposal", "kind"])
def test_a_filter_shows_only_matches(page, name: str) -> None:
    """Each filter shows the findings with its value and their number."""
    for value in sorted({getattr(finding, name) for finding in REVIEW.findings}):
        _choose(page, name, value)
        wanted = [finding.id for finding in REVIEW.findings if getattr(finding, name) == value]
        assert f"Showing {len(wanted)} of {NUMBER} findings" == page.get_by_role("status").inner_text()
        assert wanted == _seen(page)


def test_a_search_is_reset(page) -> None:
    """A search ignores case; Reset shows all findings in the original order."""
    page.get_by_role("button", name="Risk").click()
    page.get_by_label("Text").fill("NIGHTLY-export")
    page.get_by_text(f"Showing 1 of {NUMBER} findings").wait_for()
    assert [finding.id for finding in REVIEW.findings if finding.name == "nightly-export"] == _seen(page)
    page.get_by_role("button", name="Reset").click()
    page.get_by_text(f"Showing {NUMBER} of {NUMBER} findings").wait_for()
    assert [finding.id for finding in REVIEW.findings] == _seen(page)


def test_a_group_can_be_shown_alone(page) -> None:
    """The button of a group shows only its findings."""
    page.get_by_role("button", name="Show the findings of orders:refund", exact=True).click()
    assert [finding.id for finding in REVIEW.findings if finding.grant == "orders:refund"] == _seen(page)


@WIDTHS
def test_the_page_never_scrolls_sideways(browser, written, width: int) -> None:
    """The page does not scroll sideways on a phone or a desktop."""
    context = browser.new_context(viewport={"width": width, "height": 800})
    page = context.new_page()
    page.goto(written)
    page.eval_on_selector_all("details", "all => all.forEach(each => each.open = true)")
    assert width == page.evaluate("document.documentElement.scrollWidth")
    context.close()


@SCHEMES
@WIDTHS
def test_every_text_has_contrast(browser, written, width: int, scheme: str) -> None:
    """Each text has a contrast of at least 4.5 to 1 (WCAG 2.2, 1.4.3), light and dark."""
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    page.goto(written)
    page.eval_on_selector_all("details", "all => all.forEach(each => each.open = true)")
    least = page.evaluate(CONTRAST)
    context.close()
    assert least[0] >= 4.5, least


def test_print_shows_everything(page) -> None:
    """A print has every finding, no controls, and light colours, whatever is filtered."""
    page.emulate_media(color_scheme="dark")
    _choose(page, "verdict", "unobservable")
    assert 6 == len(_seen(page))
    page.emulate_media(media="print", color_scheme="dark")
    assert [finding.id for finding in REVIEW.findings] == _seen(page)
    assert not page.locator("#tools").is_visible()
    assert "rgb(255, 255, 255)" == page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_a_screen_reader_finds_its_way(page) -> None:
    """The page has landmarks, a skip link, and a name for each table, chart and scrolling region."""
    assert "en" == page.evaluate("document.documentElement.lang")
    assert (1, 1, 1, 1) == tuple(
        page.get_by_role(role).count() for role in ("banner", "main", "contentinfo", "navigation")
    )
    page.keyboard.press("Tab")
    assert "#main" == page.evaluate("document.activeElement.getAttribute('href')")
    unnamed = "all => all.filter(each => !each.caption || !each.caption.textContent.trim()).length"
    assert 0 == page.eval_on_selector_all("table", unnamed)
    assert 0 == page.locator("svg:not([aria-hidden=true]):not([role=img][aria-labelledby])").count()
    assert 0 == page.locator(".scroll:not([aria-label][tabindex='0'])").count()
    links = page.eval_on_selector_all("a[href^='#']", "all => all.map(each => each.getAttribute('href'))")
    assert [] == [link for link in links if not page.locator(link).count()]


def test_many_findings_open(browser, tmp_path: Path) -> None:
    """A page of 2,500 findings shows the first 250, more on demand, and finds one by its id."""
    file = tmp_path / "many.html"
    many = sample_review.many(2_500)
    file.write_text(render(many, "html"), "utf-8")
    context = browser.new_context()
    page = context.new_page()
    page.goto(file.as_uri())
    assert 250 == len(_seen(page))
    page.get_by_role("button", name="Show 250 more").click()
    assert [finding.id for finding in many.findings[:500]] == _seen(page)
    wanted = many.findings[2_400].id
    page.get_by_label("Text").fill(wanted)
    page.get_by_text(re.compile("Showing 1 of 2,500 findings")).wait_for()
    assert [wanted] == _seen(page)
    context.close()
