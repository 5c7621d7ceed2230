"""A session of the host in place of a token, as the core decides it, and where a request comes from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jwt_lp import AUTHENTICATED, Call, Requirement, all_of, cross_origin_fault
from jwt_lp.testing.authority import Authority

AUTHORITY = Authority()
WITH_SESSION = all_of("orders:{order_id}:read", or_session="the pages")


def call(session: Callable[[], str | None] | None = None, **more: Any) -> Call:
    fields = {"host": ("shop.example",), **{name.lower(): lines for name, lines in more.get("fields", {}).items()}}
    return Call(
        more.get("method", "POST"),
        lambda: more.get("url", "https://shop.example/x"),
        lambda name: fields.get(name.lower(), ()),
        "x",
        session=session,
    )


@pytest.mark.parametrize(
    ("requirement", "given", "passes"),
    [
        (WITH_SESSION, call(lambda: None), True),
        (WITH_SESSION, call(lambda: "nobody"), False),
        (WITH_SESSION, call(), False),
        (WITH_SESSION, None, False),
        (AUTHENTICATED, call(lambda: None), False),
        (None, call(lambda: None), False),
    ],
)
def test_when_a_session_counts(requirement: Requirement | None, given: Call | None, passes: bool) -> None:
    """Only for a requirement that says so, and only if the host says that it does."""
    with AUTHORITY.guard() as guard:
        nothing: list[str] | str | None
        for nothing in (None, [], ""):
            decision = guard.check(nothing, requirement, {"order_id": "7"}, "GET /x", call=given)
            assert (passes, None) == (decision.passes, decision.token)
        bad = guard.check("Bearer x", requirement, {"order_id": "7"}, "GET /x", call=given)
        assert not bad.passes


def test_a_token_is_decided_as_without_a_session() -> None:
    """Bindings, parameters and `enforce` apply to a token, and the session is not asked."""

    def asked() -> str | None:
        raise AssertionError("the session was asked")

    with AUTHORITY.guard(BIND={"order_id": "order"}) as guard:
        for claims, held, passes in (
            ({"order": "7"}, "orders:7:read", True),
            ({"order": "8"}, "orders:7:read", False),
            ({"order": "7"}, "orders:8:read", False),
        ):
            header = AUTHORITY.headers("alice", [held], claims=claims)["Authorization"]
            decision = guard.check(header, WITH_SESSION, {"order_id": "7"}, "GET /x", call=call(asked))
            assert passes is decision.passes
    assert WITH_SESSION.names == {"order_id"}
    assert (None, [("orders:{order_id}:read",)]) == (WITH_SESSION.scope({}), WITH_SESSION.alternatives())
    assert all_of("a:b", enforce=True, or_session="x").enforced
    assert not WITH_SESSION.enforced
    assert WITH_SESSION.key is None


def test_a_decision_on_the_permission_alone_is_another() -> None:
    """What passed with a session is not what the permission requires, so the two have different keys."""
    plain, with_session = all_of("orders:list"), all_of("orders:list", or_session="the pages")
    assert plain.key != with_session.key is not None
    assert with_session.key != all_of("orders:list", or_session="other pages").key
    assert plain != with_session


@pytest.mark.parametrize(
    ("fault", "method", "fields"),
    [
        (None, "GET", {"Sec-Fetch-Site": ("cross-site",)}),
        (None, "POST", {"Sec-Fetch-Site": ("same-origin",)}),
        (None, "POST", {"Sec-Fetch-Site": ("none",)}),
        (None, "POST", {"Sec-Fetch-Site": ("same-origin",), "Origin": ("https://proxy.internal",)}),
        (None, "DELETE", {"Origin": ("https://shop.example",)}),
        (None, "WEBSOCKET", {"Origin": ("https://shop.example",), "Sec-Fetch-Site": ("same-origin",)}),
        (None, "GET", {"Origin": ("https://shop.example",), "Upgrade": ("websocket",)}),
        (None, "GET", {"Origin": ("https://evil.example",), "Upgrade": ("h2c",)}),
        ("another origin", "POST", {"Sec-Fetch-Site": ("same-site",)}),
        ("another origin", "POST", {"Sec-Fetch-Site": ("cross-site",), "Origin": ("https://shop.example",)}),
        ("more than once", "POST", {"Sec-Fetch-Site": ("same-origin", "cross-site")}),
        ("more than once", "POST", {"Origin": ("https://shop.example", "https://evil.example")}),
        ("neither", "WEBSOCKET", {"Origin": ("https://evil.example",)}),
        ("neither", "GET", {"Origin": ("https://evil.example",), "Upgrade": ("h2c", "WebSocket")}),
        ("no Origin", "GET", {"Upgrade": ("websocket",)}),
        ("no Origin", "WEBSOCKET", {"Sec-Fetch-Site": ("same-origin",)}),
        ("neither", "POST", {"Origin": ("null",)}),
        ("neither", "POST", {"Origin": ("http://shop.example",)}),
        ("neither", "POST", {"Origin": ("https://shop.example:8443",)}),
        ("neither", "POST", {"Origin": ("https://shop.example.evil.example",)}),
        ("neither", "POST", {"Origin": ("https://evil.example/@shop.example",)}),
        ("neither", "POST", {"Origin": ("https://[",)}),
        ("neither", "POST", {"Origin": ("https://shop.example",), "Host": ("shop.example", "shop.example")}),
        ("no Sec-Fetch-Site and no Origin", "POST", {}),
        ("no Sec-Fetch-Site and no Origin", "post", {}),
    ],
)
def test_where_a_request_comes_from(fault: str | None, method: str, fields: dict[str, tuple[str, ...]]) -> None:
    """A safe method, or our own origin; a request that does not say is no request of a browser's page."""
    found = cross_origin_fault(call(method=method, fields=fields))
    assert (found is None) is (fault is None)
    assert (fault or "") in (found or "")


def test_without_tls_the_scheme_may_be_either() -> None:
    """A proxy may end TLS, so a request that came by http may be from a page of https."""
    for origin in ("http://shop.example", "https://shop.example"):
        given = call(url="http://shop.example/x", fields={"Origin": (origin,)})
        assert cross_origin_fault(given) is None


def test_no_other_origin_opens_a_websocket_with_a_session() -> None:
    """WSGI hosts see a GET, and some hosts ask no more than who is signed in."""
    for origin, passes in (("https://shop.example", True), ("https://evil.example", False)):
        given = call(method="GET", fields={"Origin": (origin,), "Upgrade": ("websocket",)})._replace(
            session=lambda: None
        )
        with AUTHORITY.guard() as guard:
            assert passes is guard.check(None, WITH_SESSION, {"order_id": "7"}, "GET /x", call=given).passes
