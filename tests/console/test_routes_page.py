"""The page of routes: what each asks for, and whether anybody holds it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

pytest.importorskip("starlette", reason="the console is built on it")
pytest.importorskip("jinja2", reason="the pages are templates")
pytest.importorskip("sqlalchemy", reason="the store is an SQL store")
pytest.importorskip("uvicorn", reason="the console is served by it")

from console.access_history import HOSTILE, day, record_history
from console.serving import KEY, ServedConsole, served_console, text_of
from jwt_lp.console import route_facts
from jwt_lp.guard.hosts import find_host
from jwt_lp.stores import EnforcementPoint, UsageBatch, open_store
from jwt_lp_starlette import LeastPrivilege, external, public, requires

READ = "jwt-lp:review:read"


def _application() -> Any:
    """An application with a route of each kind."""
    from starlette.applications import Starlette
    from starlette.routing import Route

    async def orders(request: Any) -> Any: ...
    async def ping(request: Any) -> Any: ...
    async def hook(request: Any) -> Any: ...
    async def forgotten(request: Any) -> Any: ...

    app = Starlette(
        routes=[
            Route("/orders", requires("orders:read")(orders)),
            Route("/ping", public(ping)),
            Route("/hook", external(f"the gateway {HOSTILE}")(hook)),
            Route("/forgotten", forgotten),
        ]
    )
    settings = {
        "ISSUER": "https://id.test/",
        "AUDIENCE": "x",
        "JWKS": {"keys": [KEY.public_jwk()]},
        "ALGORITHMS": ["ES256"],
    }
    LeastPrivilege(app, settings)
    return app


@pytest.fixture(scope="module")
def console(store: Any) -> Iterator[ServedConsole]:
    """A console over a store with enforcement points; it reports its own routes there, too."""
    record_history(store)
    with served_console(store) as served:
        yield served


def _rows(console: ServedConsole, query: str = "") -> list[list[str]]:
    html = console.person("auditor", READ).get(f"/routes{query}").body.decode()
    rows = re.findall(r"<tr>.*?</tr>", html.partition("<tbody>")[2], re.DOTALL)
    cells = [
        [" ".join(re.sub(r"<[^>]+>", " ", cell).split()) for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)]
        for row in rows
    ]
    return [row for row in cells if row[2] != "console"]


def test_each_route_says_what_it_asks_for_and_whether_that_is_held(console: ServedConsole) -> None:
    """Permissions are looked up one by one: held, held by nobody, or a template of which somebody may hold a value."""
    rows = {row[0]: row for row in _rows(console)}
    assert ["GET", "shop", "requirement", "orders:read", "orders:read : yes", day(1)] == rows["shop.views.orders"][1:]
    assert "orders:delete : no orders:purge : no" == rows["shop.views.purge"][5]
    # Methods with the same requirement are one row.
    assert ("GET, HEAD", "orders:{order_id}:read : unknown", day(1)) == tuple(
        rows["shop.views.order"][n] for n in (1, 5, 6)
    )
    assert ["authenticated", "authenticated", "–"] == rows["shop.views.me"][3:6]


def test_routes_are_found_by_a_part(console: ServedConsole) -> None:
    """The text may be part of an endpoint, a service or a requirement, in lower or upper case."""
    assert ["shop.views.purge"] == [row[0] for row in _rows(console, "?q=PURGE")]
    assert 4 == len(_rows(console, "?q=shop"))
    assert "No route that is known" in text_of(console.person("auditor", READ).get("/routes?q=nothing"))


def test_hostile_endpoints_are_only_text(console: ServedConsole) -> None:
    """What a service reported is escaped."""
    html = console.person("auditor", READ).get(f"/routes?q={quote(HOSTILE)}").body.decode()
    assert html.count("alert(1)") >= 4
    assert ("<script>", "\u202e") == tuple(part for part in ("<script>", "\u202e") if part not in html)


@pytest.mark.once
def test_routes_of_an_application_come_first_if_they_have_no_guard(tmp_path: Any) -> None:
    """Undeclared, public and external routes of an application that the console knows come first, in this order.

    Of its guarded routes, those that the store has, too, are listed once, with their path.
    """
    app = _application()
    (seen,) = (route for route in find_host(app).routes(app) if route.template == "/orders")
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    store.migrate()
    with served_console(store, applications=[app]) as console:
        before = _rows(console)
        point = EnforcementPoint("shop", seen.endpoint, "GET", "orders:read", day(1))
        store.record(UsageBatch(id="b", enforcement_points=[point]))
        after = _rows(console)
        text = text_of(console.person("auditor", READ).get("/routes"))
    store.close()
    assert ["undeclared", "public", "external", "requirement"] == [row[3] for row in after]
    assert ["/forgotten", "/ping", "/hook", "/orders"] == [row[0].split()[0] for row in after]
    assert "no declaration: refused" == after[0][4]
    assert "the gateway" in after[2][4]
    assert ["this application", "shop"] == [rows[3][2] for rows in (before, after)]
    assert (before[:3], "–", day(1)) == (after[:3], before[3][6], after[3][6])
    assert ": 1 undeclared, 1 public, 1 external, " in text


def test_many_routes_are_paged(tmp_path: Any) -> None:
    """Thirty routes are on a page, and the number of all is said."""
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    store.migrate()
    with served_console(store) as console:
        points = [EnforcementPoint("s", f"many{number:03}", "GET", "a:b", day(1)) for number in range(130)]
        store.record(UsageBatch(id="b", enforcement_points=points))
        pages = [[row[0] for row in _rows(console, f"?q=MANY&page={number}")] for number in range(6)]
        assert "130 routes" in text_of(console.person("auditor", READ).get("/routes?q=MANY"))
    store.close()
    assert ([30, 30, 30, 30, 10, 0], 130) == (
        [len(each) for each in pages],
        len({name for each in pages for name in each}),
    )


def test_a_store_with_too_many_points_says_so(console: ServedConsole, monkeypatch: pytest.MonkeyPatch) -> None:
    """One page reads a bounded number of enforcement points, and says that there are more."""
    monkeypatch.setattr(route_facts, "MOST_POINTS", 2)
    text = text_of(console.person("auditor", READ).get("/routes"))
    assert ("2 routes", "more enforcement points than one page reads") == tuple(
        part for part in ("2 routes", "more enforcement points than one page reads") if part in text
    )


def test_only_who_may_read_sees_routes(console: ServedConsole) -> None:
    """A reviewer gets 403, and a page that is no number 400."""
    assert 403 == console.person("boss", "jwt-lp:review:decide").get("/routes").status
    assert 400 == console.person("auditor", READ).get("/routes?page=x").status
