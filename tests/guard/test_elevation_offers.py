"""What a refusal offers: only what the caller may ask for, and only what the client sent itself."""

from __future__ import annotations

from typing import Any

import pytest

from jwt_lp import ConfigurationError, Decision, Guard, Requirement, Settings, all_of, any_of
from jwt_lp.guard.decisions import Call
from jwt_lp.revocation.entries import RevocationEntry
from jwt_lp.testing.authority import Authority
from memory_store import MemoryStore

POLICY: dict[str, Any] = {
    "version": 1,
    "roles": {"clerk": {"grants": ["orders:list"], "from": ["roles:clerk"]}},
    "elevation": {
        "orders:export": {"ask": ["role:clerk"], "approve": "approve:orders"},
        "orders:*:read": {"ask": ["role:clerk"], "approve": "approve:orders"},
        "orders:purge": {"ask": ["subject:root"], "approve": "approve:orders"},
        "batch:*": {"ask": "anyone", "approve": "approve:orders"},
    },
}
AUTHORITY = Authority()
EXPORT = all_of("orders:export")


def make_guard(**more: Any) -> Guard:
    settings = {**AUTHORITY.settings(), "OWN": True, "POLICY": POLICY, "ELEVATION_URL": "/elevations"}
    return Guard({**settings, **more})


def decide(guard: Guard, requirement: Requirement, route: str = "GET /x", path: str = "", **params: object) -> Decision:
    call = Call("GET", lambda: "", lambda _: (), "view", path=path)
    token = AUTHORITY.token("ana", roles=["clerk"])
    return guard.check(f"Bearer {token}", requirement, params, route, call=call)


def offered(decision: Decision) -> list[str] | None:
    assert decision.refusal is not None
    offer = decision.refusal.elevation
    assert (offer is None) == ("elevation" not in decision.refusal.problem)
    assert (offer is None) == ("elevation_uri" not in decision.headers["WWW-Authenticate"])
    return None if offer is None else list(offer.permissions)


@pytest.mark.parametrize(
    ("requirement", "expected"),
    [
        pytest.param(EXPORT, ["orders:export"], id="one"),
        pytest.param(all_of("orders:list", "orders:export"), ["orders:export"], id="what is held is not asked for"),
        pytest.param(all_of("orders:export", "batch:a"), ["orders:export", "batch:a"], id="all that is lacking"),
        pytest.param(all_of("orders:export", "orders:purge"), None, id="one of two may not be asked for"),
        pytest.param(all_of("orders:purge"), None, id="others may ask"),
        pytest.param(all_of("orders:void"), None, id="nobody may ask"),
        pytest.param(any_of("orders:export", "orders:purge"), ["orders:export"], id="the first alternative"),
        pytest.param(all_of("orders:export", where={"user": "sub"}), None, id="a claim does not match"),
        pytest.param(all_of(*(f"batch:{number}" for number in range(8))), [f"batch:{n}" for n in range(8)], id="eight"),
        pytest.param(all_of(*(f"batch:{number}" for number in range(9))), None, id="nine"),
    ],
)
def test_what_is_offered(requirement: Requirement, expected: list[str] | None) -> None:
    """Everything that is lacking, if this subject may ask for all of it; otherwise nothing."""
    with make_guard() as guard:
        assert expected == offered(decide(guard, requirement, user="bob"))


@pytest.mark.parametrize(
    ("route", "path", "value", "expected"),
    [
        pytest.param("GET /orders/{id}", "/orders/7", "7", ["orders:7:read"], id="sent"),
        pytest.param("GET /orders/{id}", "/orders/7", "8", None, id="changed by code"),
        pytest.param("GET /mine", "/mine", "7", None, id="put in by code"),
        pytest.param("GET /orders/{id}", "/orders/a:b", "a:b", None, id="no segment"),
        pytest.param("GET /orders/{id}", "/orders/" + "7" * 300, "7" * 300, None, id="too long"),
    ],
)
def test_a_template_is_filled_with_what_the_client_sent(
    route: str, path: str, value: str, expected: list[str] | None
) -> None:
    """A value that code of the application chose is not told, and a client does not choose how long a refusal is."""
    with make_guard() as guard:
        assert expected == offered(decide(guard, all_of("orders:{id}:read"), route, path, id=value))


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"SHOW_REQUIREMENT": False}, id="requirements are not shown"),
        pytest.param({"ELEVATION_URL": ""}, id="there is no address"),
        pytest.param({"OWN": False}, id="another issuer's tokens, without ELEVATION"),
        pytest.param({"OWN": False, "ELEVATION": ["batch:*"], "STORE": MemoryStore()}, id="outside ELEVATION"),
    ],
)
def test_nothing_is_offered(more: dict[str, Any]) -> None:
    """Where the detail is switched off, and where an approval would change nothing."""
    with make_guard(**more) as guard:
        assert offered(decide(guard, EXPORT)) is None


def test_within_the_limit_of_another_issuer() -> None:
    """What may be held by elevation beside that issuer's tokens is offered."""
    with make_guard(OWN=False, ELEVATION=["batch:*"], STORE=MemoryStore()) as guard:
        assert ["batch:a"] == offered(decide(guard, all_of("batch:a")))


@pytest.mark.parametrize(
    ("standing", "expected"),
    [
        pytest.param([True], ["orders:list"], id="by a plan"),
        pytest.param([False], None, id="by a revocation"),
        pytest.param([True, False], None, id="by both"),
        pytest.param([False, True], None, id="by both, in the other order"),
    ],
)
def test_a_revoked_permission(standing: list[bool], expected: list[str] | None) -> None:
    """A deny entry beats an elevation, so asking would be of no use, unless it is for standing grants only."""
    store = MemoryStore()
    target: Any = {"of": "subject", "issuer": str(AUTHORITY.settings()["ISSUER"]), "name": "ana"}
    entries = [RevocationEntry(id=str(n), pattern="orders:*", standing=s, **target) for n, s in enumerate(standing)]
    store.revoke(entries, at=1.0, by="")
    rules = {"orders:list": {"ask": "anyone", "approve": "approve:orders"}}
    with make_guard(STORE=store, POLICY={**POLICY, "elevation": rules}) as guard:
        decision = decide(guard, all_of("orders:list"))
        assert decision.refusal is not None
        assert ("permission_revoked", expected) == (decision.refusal.code, offered(decision))


def test_an_invalid_token_is_offered_nothing() -> None:
    """A refusal for lack of a token, and for a route without a declaration, offers nothing."""
    with make_guard() as guard:
        assert "elevation" not in guard.check(None, EXPORT, {}, "GET /x").refusal.problem  # type: ignore[union-attr]
        assert offered(decide(guard, None)) is None  # type: ignore[arg-type]  # no declaration


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        pytest.param("/elevations", "", id="a path"),
        pytest.param("https://desk.example.com/ask", "", id="an address"),
        pytest.param("http://desk.example.com/ask", "is an http address", id="http"),
        pytest.param("//evil.example.com/ask", "is an address without a query", id="an address without a scheme"),
        pytest.param('/ask"x', "is an address without a query", id="a quote"),
        pytest.param("/ask?next=1", "is an address without a query", id="a query"),
        pytest.param("elevations", "is not an https:// address", id="a relative path"),
    ],
)
def test_the_setting(url: str, fault: str) -> None:
    """It is an https address or a path, which needs no quoting in a challenge."""
    mapping = {**AUTHORITY.settings(), "POLICY": POLICY, "ELEVATION_URL": url}
    if not fault:
        assert url == Settings.from_mapping(mapping).elevation_url
        return
    with pytest.raises(ConfigurationError, match=f"ELEVATION_URL {fault}"):
        Settings.from_mapping(mapping)


def test_the_setting_needs_rules() -> None:
    """An address where nobody may ask for anything is a fault."""
    with pytest.raises(ConfigurationError, match=r"ELEVATION_URL has no effect: the policy has no \[elevation\]"):
        Settings.from_mapping({**AUTHORITY.settings(), "ELEVATION_URL": "/elevations"})
