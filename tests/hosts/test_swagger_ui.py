"""Swagger UI of a FastAPI application in a real browser: Authorize, then try an operation."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("playwright", reason="the page is read in a browser, which Playwright drives")
pytest.importorskip("drf_spectacular_sidecar", reason="it has the files of Swagger UI")

from fastapi import FastAPI
from playwright.sync_api import expect

from chromium import chromium
from hosts.serving import serve
from jwt_lp import AccessToken
from jwt_lp.testing.authority import Authority
from jwt_lp_starlette import LeastPrivilege, guard_from, public
from jwt_lp_starlette.fastapi import Requires

pytestmark = [pytest.mark.browser, pytest.mark.host]

DOCS = ["/docs", "/openapi.json"]


def _files() -> Path:
    spec = find_spec("drf_spectacular_sidecar")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "static" / "drf_spectacular_sidecar" / "swagger-ui-dist"


def _application(authority: Authority) -> FastAPI:
    app = FastAPI(redoc_url=None)
    LeastPrivilege(app, authority.settings(PUBLIC=DOCS))

    @app.get("/orders/{order_id}")
    def order(order_id: int, token: Annotated[AccessToken, Requires("orders:{order_id}:read")]) -> dict[str, object]:
        return {"order": order_id, "for": token.subject}

    @app.get("/hello")
    @public
    def hello() -> dict[str, str]:
        return {}

    return app


@pytest.fixture
def page() -> Iterator[Any]:
    with chromium() as browser:
        page = browser.new_page()
        # FastAPI's page names files of a CDN, which are read from disk here.
        page.route(
            "https://cdn.jsdelivr.net/**", lambda route: route.fulfill(path=_files() / Path(route.request.url).name)
        )
        page.route("https://fastapi.tiangolo.com/**", lambda route: route.abort())
        yield page


def test_authorize_and_try(page: Any) -> None:
    """Only operations that need a token have a lock; with the token of Authorize they answer, without it they do not."""
    authority = Authority()
    app = _application(authority)
    token = authority.token(permissions=["orders:7:read"])
    with guard_from(app), serve("asgi", app) as client:
        page.goto(f"http://127.0.0.1:{client.port}/docs")
        order, hello = (
            page.locator(f".opblock:has([data-path='{path}'])") for path in ("/orders/{order_id}", "/hello")
        )
        expect(order.locator(".authorization__btn")).to_have_count(1)
        expect(hello.locator(".authorization__btn")).to_have_count(0)
        order.locator(".opblock-summary-control").click()
        for status in ("400", "401", "403", "503"):
            expect(
                order.locator(f".responses-table:not(.live-responses-table) tr[data-code='{status}']")
            ).to_have_count(1)
        order.get_by_role("button", name="Try it out").click()
        order.get_by_placeholder("order_id").fill("7")
        answered = order.locator(".live-responses-table tr.response td.response-col_status")

        order.get_by_role("button", name="Execute").click()
        expect(answered.first).to_contain_text("401")

        page.locator(".auth-wrapper .btn.authorize").first.click()
        dialog = page.locator(".dialog-ux")
        expect(dialog).to_contain_text("jwt_lp")
        dialog.locator("input").first.fill(token)
        dialog.get_by_role("button", name="Apply credentials").click()
        dialog.get_by_role("button", name="Close").click()
        order.get_by_role("button", name="Execute").click()
        expect(answered.first).to_contain_text("200")
        expect(order.locator(".live-responses-table")).to_contain_text("alice")

        order.get_by_placeholder("order_id").fill("8")
        order.get_by_role("button", name="Execute").click()
        expect(answered.first).to_contain_text("403")
        expect(order.locator(".live-responses-table")).to_contain_text("orders:8:read")
