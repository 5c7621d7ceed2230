"""The console in a real browser: its sign-in, its script, its session, and what a page of another site can do."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import pytest

pytest.importorskip("python_multipart", reason="the console needs python-multipart (extra `console`)")

from hosts.serving import HttpClient, serve

pytestmark = [pytest.mark.browser, pytest.mark.once]

ATTACKER = "http://attacker.test"
FORM = """<form method="post" action="{}/test/save"><input name="comment" value="forged"></form>
<script>document.forms[0].submit()</script>"""
FRAME = '<iframe id="frame" src="{}/"></iframe>'


class Served(NamedTuple):
    """A console of an operator on loopback, with a page that has a form."""

    made: Any
    client: HttpClient
    saved: list[str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.client.port}"

    def link(self) -> str:
        link: str = self.made.link(self.client.port)
        return link


def _routes(saved: list[str]) -> list[Any]:
    from starlette.routing import Route

    from jwt_lp.console.answers import page, see_other
    from jwt_lp.console.forms import form_of
    from jwt_lp_starlette import requires

    @requires("jwt-lp:review:decide")
    async def form(request: Any) -> Any:
        fields = [("comment", "typed")]
        return page(request, "form_again.html", {"fields": fields, "files": False, "over": False, "reference": ""})

    @requires("jwt-lp:review:decide")
    async def save(request: Any) -> Any:
        sent = await form_of(request)
        saved.append(sent.get("comment"))
        return see_other(request, "test_form", notice=f"saved {sent.get('comment')}")

    return [Route("/test/form", form, name="test_form"), Route("/test/form", save, methods=["POST"], name="test_save")]


@pytest.fixture(scope="module")
def served(store: Any) -> Iterator[Served]:
    from jwt_lp.console.local import create_local_console

    saved: list[str] = []
    made = create_local_console(store, operator="operator", routes=_routes(saved))
    with serve("asgi", made.console) as client:
        yield Served(made, client, saved)


class Window:
    """A browser with cookies of its own; a page of another site is at hand."""

    def __init__(self, browser: Any, served: Served, **options: Any) -> None:
        self.served = served
        self.context = browser.new_context(**options)
        self.context.route(f"{ATTACKER}/form", partial(_fulfill, FORM.format(served.url)))
        self.page = self.context.new_page()
        self.faults: list[str] = []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", lambda line: self.faults.append(line.text) if line.type == "error" else None)

    def sign_in(self) -> Any:
        self.page.goto(self.served.link())
        return self.page

    def cookie(self, suffix: str) -> dict[str, Any] | None:
        return next((each for each in self.context.cookies() if each["name"].endswith(suffix)), None)

    def drop(self, *suffixes: str) -> None:
        """Remove cookies, as a browser does when they have expired."""
        kept = [each for each in self.context.cookies() if not each["name"].endswith(suffixes)]
        self.context.clear_cookies()
        self.context.add_cookies(kept)


def _fulfill(html: str, route: Any) -> None:
    route.fulfill(body=f"<!doctype html><title>page</title>{html}", content_type="text/html")


@pytest.fixture
def window(browser: Any, served: Served) -> Iterator[Window]:
    served.saved.clear()
    opened = Window(browser, served)
    yield opened
    opened.context.close()


def test_a_link_signs_in_and_out(window: Window) -> None:
    """The link leads to the first page, and its button ends the session in this browser and at the server."""
    page = window.sign_in()
    assert f"{window.served.url}/" == page.url
    assert "operator" in page.inner_text("header")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/local/sign-in**")
    assert "You are not signed in" in page.inner_text("h1")
    assert [] == window.context.cookies()
    assert [] == [fault for fault in window.faults if "401" not in fault]


def test_a_form_is_sent_with_the_token_of_now(window: Window) -> None:
    """Another tab has renewed the session since the form was opened; nobody notices."""
    page = window.sign_in()
    page.goto(f"{window.served.url}/test/form")
    assert page.evaluate("fetch('/local/refresh', {method: 'POST'}).then((answer) => answer.ok)")
    page.get_by_role("button", name="Send again").click()
    page.wait_for_selector("text=saved typed")
    assert ["typed"] == window.served.saved
    page.wait_for_url(lambda url: "notice" not in url)
    assert [] == window.faults


def test_a_form_outlives_the_access_token(window: Window) -> None:
    """The script renews the session before it sends the form."""
    page = window.sign_in()
    page.goto(f"{window.served.url}/test/form")
    window.drop("-csrf", window.cookie("-csrf")["name"].removesuffix("-csrf"))  # type: ignore[index]
    page.get_by_role("button", name="Send again").click()
    page.wait_for_selector("text=saved typed")
    assert ["typed"] == window.served.saved


def test_a_form_outlives_the_session(window: Window) -> None:
    """Whoever signs in again in another tab sends the same form again; nothing is lost, and nothing is sent twice."""
    page = window.sign_in()
    page.goto(f"{window.served.url}/test/form")
    window.context.clear_cookies()
    page.get_by_role("button", name="Send again").click()
    page.wait_for_selector("text=Your session has ended")
    assert [] == window.served.saved
    other = window.context.new_page()
    other.goto(window.served.link())
    page.get_by_role("button", name="Send again").click()
    page.wait_for_selector("text=Your session was renewed")
    page.get_by_role("button", name="Send again").click()
    page.wait_for_selector("text=saved typed")
    assert ["typed"] == window.served.saved


def test_it_works_without_a_script(browser: Any, served: Served) -> None:
    """Signing in, a form, and going on after the access token has expired."""
    served.saved.clear()
    window = Window(browser, served, java_script_enabled=False)
    page = window.sign_in()
    page.goto(f"{served.url}/test/form")
    page.get_by_role("button", name="Send again").click()
    assert "saved typed" in page.inner_text("main")
    window.drop("-csrf", window.cookie("-csrf")["name"].removesuffix("-csrf"))  # type: ignore[index]
    page.goto(f"{served.url}/test/form")
    assert f"{served.url}/test/form" == page.url
    page.get_by_role("button", name="Send again").click()
    assert ["typed", "typed"] == served.saved
    page.get_by_role("button", name="Sign out").click()
    assert "You are not signed in" in page.inner_text("h1")
    window.context.close()


def test_a_form_of_another_site_changes_nothing(window: Window) -> None:
    """The browser sends no cookie with it, and the console does not accept it."""
    page = window.sign_in()
    page.goto(f"{ATTACKER}/form")
    page.wait_for_url(f"{window.served.url}/**")
    assert [] == window.served.saved
    assert "forged" not in page.content()


def test_another_site_cannot_frame_it(window: Window) -> None:
    """Nobody is led to click on a page of the console without seeing it."""

    async def attacker(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/html")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": FRAME.format(window.served.url).encode()})

    page = window.sign_in()
    with serve("asgi", attacker) as client:
        page.goto(f"http://127.0.0.1:{client.port}/")
        page.wait_for_timeout(500)
        assert "operator" not in page.frames[1].content()
    assert any("frame-ancestors" in fault for fault in window.faults)


@pytest.mark.parametrize(("scheme", "width"), [("light", 390), ("dark", 1440)])
def test_pages_are_accessible(browser: Any, served: Served, scheme: str, width: int) -> None:
    """WCAG 2.2 AA as far as a tool can tell; no page is wider than the screen."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    window = Window(browser, served, color_scheme=scheme, viewport={"width": width, "height": 800})
    for path in ("/local/sign-in?code=x", "", "/test/form", "/nothing"):
        page = window.page
        page.goto(f"{served.url}{path}" if path else served.link())
        options = {"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]}
        found = axe.Axe().run(page, options=options)
        assert 0 == found.violations_count, found.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    window.context.close()


def test_the_keyboard_reaches_the_content_first(window: Window) -> None:
    """The first stop is the link that skips the navigation, and it works."""
    page = window.sign_in()
    page.keyboard.press("Tab")
    assert "Skip to the content" == page.evaluate("document.activeElement.textContent")
    page.keyboard.press("Enter")
    assert "main" == page.evaluate("document.activeElement.id")
