"""A reviewer of the benchmark: a person's browser over one connection, which opens pages and sends forms."""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import unescape
from http import HTTPStatus
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from jwt_lp import Guard

TIMEOUT: Final = 120
_HIDDEN: Final = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)"')
_PREVIEW: Final = re.compile(r"<form[^>]*action=\"[^\"]*/decide\"[^>]*>.*?</form>", re.DOTALL)
_FORM: Final = re.compile(r"<form[^>]*action=\"[^\"]*/preview\"[^>]*>.*?</form>", re.DOTALL)
_VERSION: Final = re.compile(r"version\.([0-9a-f]{16})")


class Page(NamedTuple):
    """An answer of the console, and the seconds until it was there as a whole."""

    status: int
    text: str
    seconds: float
    location: str = ""


class PageFailed(Exception):
    """The console gave another answer than a person may expect."""


@dataclass
class Reviewer:
    """Somebody who is signed in at the console on `port` with an access token; `times` are those of each kind of page."""

    port: int
    token: str
    guard: Guard
    times: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    decided: dict[str, str] = field(default_factory=dict[str, str])
    _connection: http.client.HTTPConnection | None = None

    def get(self, path: str, kind: str = "") -> Page:
        """Open a page; `PageFailed` unless it is there."""
        return self._expect(self._send("GET", path), HTTPStatus.OK, path, kind)

    def post(self, path: str, fields: Iterable[tuple[str, str]], kind: str = "", status: int = HTTPStatus.OK) -> Page:
        """Send a form; `PageFailed` for another status."""
        assert self.guard.settings.cookies is not None
        cookies = {each.name: each.value for each in self.guard.settings.cookies.access(self.token)}
        body = urlencode([("csrf_token", cookies["__Host-csrf"]), *fields])
        return self._expect(self._send("POST", path, body), status, path, kind)

    def decide(self, campaign: str, part: str, turn: int, number: int) -> int:
        """Open the list of a part, preview decisions about the first items, and save them; returns how many.

        Every fourth is kept. With `turn` the choice changes.
        """
        path = f"/campaigns/{campaign}"
        form = _FORM.search(self.get(f"{path}/decide?{urlencode({'part': part})}", "list").text)
        if form is None:
            return 0
        shown = _hidden(form[0])
        items = [match[1] for name in shown if (match := _VERSION.fullmatch(name))][:number]
        wanted = {item: "keep" if (index + turn) % 4 == 0 else "remove" for index, item in enumerate(items)}
        answers = [(f"decision.{item}", decision) for item, decision in wanted.items()]
        preview = self.post(f"{path}/preview", [*shown.items(), *answers, ("step", "preview")], "preview")
        confirm = _PREVIEW.search(preview.text)
        if confirm is None:
            raise PageFailed("the preview has no form to save the decisions")
        self.post(f"{path}/decide", _hidden(confirm[0]).items(), "save", HTTPStatus.SEE_OTHER)
        self.decided |= wanted
        return len(wanted)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    def _expect(self, page: Page, status: int, path: str, kind: str) -> Page:
        if page.status != status:
            words = " ".join(re.sub(r"<[^>]+>", " ", page.text).split())
            raise PageFailed(f"{path} is answered with {page.status}: {words[:500]}")
        if kind:
            self.times.setdefault(kind, []).append(page.seconds)
        return page

    def _send(self, method: str, path: str, body: str | None = None) -> Page:
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        headers = {
            "Cookie": f"__Host-access={self.token}",
            "Accept": "text/html",
            "Sec-Fetch-Site": "same-origin",
            "Sec-Fetch-Mode": "navigate",
        }
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        start = time.perf_counter()
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        text = answer.read().decode()
        return Page(answer.status, text, time.perf_counter() - start, answer.getheader("location", ""))


def _hidden(form: str) -> Mapping[str, Any]:
    return {unescape(name): unescape(value) for name, value in _HIDDEN.findall(form) if name != "csrf_token"}
