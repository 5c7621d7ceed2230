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
    fields: dict[str, tuple[str, ...]] = more.get("fields", {})
    return Call(
        more.get("method", "POST"),
        lambda: more.get("url", "https://shop.example/x"),
        lambda name: fields.get(name, ()),
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
        (None, "DELETE", {"Origin": ("HTTPS://SHOP.example",)}),
        ("another origin", "POST", {"Sec-Fetch-Site": ("same-site",)}),
        ("another origin", "POST", {"Sec-Fetch-Site": ("cross-site",), "Origin": ("https://shop.example",)}),
        ("another origin", "POST", {"Sec-Fetch-Site": ("same-origin", "cross-site")}),
        ("another origin", "WEBSOCKET", {"Origin": ("https://evil.example",)}),
        ("another origin", "POST", {"Origin": ("null",)}),
        ("another origin", "POST", {"Origin": ("https://shop.example:8443",)}),
        ("another origin", "POST", {"Origin": ("https://shop.example.evil.example",)}),
        ("another origin", "POST", {"Origin": ("https://evil.example/@shop.example",)}),
        ("malformed", "POST", {"Origin": ("https://[",)}),
        ("which browsers send", "POST", {}),
        ("which browsers send", "POST", {"Origin": ("https://shop.example", "https://evil.example")}),
        ("which browsers send", "post", {}),
    ],
)
def test_where_a_request_comes_from(fault: str | None, method: str, fields: dict[str, tuple[str, ...]]) -> None:
    """A safe method, or our own origin; a request that does not say is no request of a browser's page."""
    found = cross_origin_fault(call(method=method, fields=fields))
    assert (found is None) is (fault is None)
    assert (fault or "") in (found or "")
