"""The documentation's site, built: whole, self-contained, and readable on a desk and on a phone."""

from __future__ import annotations

import functools
import http.server
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chromium import chromium
from docs.pages import ROOT, prose

pytestmark = [pytest.mark.docs, pytest.mark.browser]

pytest.importorskip("zensical", reason="the site is built by Zensical (dependency group `site`)")

# Pages of each kind: words, long commands, wide tables, charts, signatures.
READ = ("", "start/django/", "settings/", "commands/", "providers/keycloak/", "benchmarks/", "reference/jwt_lp/")
# What a browser fetches by itself; a link that a reader may follow is none of these, and nor is a page's own address.
FETCHED = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"([^\"]+)\"|<link\b(?! rel=\"canonical\")[^>]*\bhref=\"([^\"]+)\""
)


@pytest.fixture(scope="module")
def site() -> Path:
    """The folder of the site, built anew; any warning fails the build."""
    build = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    done = subprocess.run(build, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert 0 == done.returncode, done.stdout
    return ROOT / "site"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


def _html(site: Path, page: str) -> str:
    return (site / page / "index.html").read_text(encoding="utf-8")


def test_no_page_fetches_from_another_host(site: Path) -> None:
    """Scripts, styles, pictures and fonts all come from the site itself."""
    files = sorted(site.rglob("*.html"))
    assert len(files) > len(READ)
    fetched = {a or b for file in files for a, b in FETCHED.findall(file.read_text(encoding="utf-8"))}
    assert [] == sorted(target for target in fetched if re.match(r"(https?:)?//", target))
    styles = [file.read_text(encoding="utf-8") for file in site.rglob("*.css")]
    assert [] == [found for style in styles for found in re.findall(r"(?:url\(|@import )[\"']?https?:[^)\"']*", style)]


@pytest.mark.parametrize("page", sorted(path.stem for path in (ROOT / "docs/reference").glob("*.md")))
def test_every_public_name_is_described(page: str, site: Path) -> None:
    """Below the heading of each name stands what its docstring says."""
    names = re.findall(r"^::: (\S+)$", prose(f"docs/reference/{page}.md"), flags=re.MULTILINE)
    html = _html(site, f"reference/{page}")
    starts = [html.find(f'id="{name}"') for name in names]
    undescribed = []
    for name, start, end in zip(names, starts, [*starts[1:], len(html)], strict=True):
        _, _, contents = html[start:end].partition('<div class="doc doc-contents')
        if start < 0 or re.match(r"[^>]*>\s*(?:<p class=\"doc[^>]*>.*?</p>\s*)?<p>\s*\S", contents, re.DOTALL) is None:
            undescribed.append(name)
    assert [] == undescribed


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_pages_fit_and_ask_nobody(width: int, scheme: str, address: str, browser: Any) -> None:
    """No page scrolls sideways, fetches from another host, or writes an error to the console."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    requested: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    wide = []
    for path in READ:
        page.goto(address + path, wait_until="load")
        if page.evaluate("(window.scrollTo(10000, 0), window.scrollX)"):
            wide.append(path)
    context.close()
    assert [] == wide
    assert [] == [url for url in requested if not url.startswith((address, "data:", "blob:"))]
    assert [] == said


def test_the_search_finds_a_page(address: str, browser: Any) -> None:
    """The search runs in the browser, on the site's own index."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.goto(address, wait_until="networkidle")
    page.get_by_role("button", name="Search").first.click()
    page.locator("input").filter(visible=True).first.fill("Keycloak", timeout=10_000)
    page.locator("a[href*='/providers/keycloak/?h=']").first.wait_for(timeout=10_000)
    context.close()
    assert [] == [url for url in requested if not url.startswith((address, "data:", "blob:"))]
