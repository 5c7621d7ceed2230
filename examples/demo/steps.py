"""The requests of the demo in their order, and the right answer to each."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from jwt_lp.revocation.entries import RevocationEntry
from jwt_lp.revocation.poller import POLL_INTERVAL
from jwt_lp.stores import open_store

from .elevation import new_token_of_erin, wait_for_the_end
from .issuer import DemoIssuer
from .review import record_history, review_and_apply, undo_plan


@dataclass(frozen=True)
class DemoStep:
    """One request, made to every host alike, and the status that each must answer with.

    `content` makes the body for a host, `answered` is given what the host answers. `{id}` in the path is the elevation that
    this host was asked for.
    """

    title: str
    request: str
    token: Callable[[DemoIssuer], str | None]
    expected: int
    before: Callable[[DemoIssuer], None] = lambda _: None
    content: Callable[[DemoIssuer, str], object] | None = None
    answered: Callable[[DemoIssuer, str, object], None] | None = None


def _revoke_permission(issuer: DemoIssuer) -> None:
    """Revoke one permission of carol's."""
    store = open_store(issuer.store)
    entry = RevocationEntry(
        id=secrets.token_hex(8), of="subject", issuer=issuer.url, name="carol", pattern="orders:list"
    )
    store.revoke([entry], at=time.time(), by="demo")
    store.close()
    _wait_for_poll()


def _record_history(issuer: DemoIssuer) -> None:
    record_history(issuer.store, issuer.url)


def _review_and_apply(issuer: DemoIssuer) -> None:
    issuer.journal, notes = review_and_apply(issuer.store, issuer.url, issuer.folder)
    issuer.notes += notes
    _wait_for_poll()


def _undo_plan(issuer: DemoIssuer) -> None:
    undo_plan(issuer.store, issuer.journal)
    _wait_for_poll()


def _wait_for_poll() -> None:
    """Wait until every service has polled the store."""
    time.sleep(POLL_INTERVAL + 1)


def _expired_token(issuer: DemoIssuer) -> str:
    return issuer.token("orders:list", lifetime=-60, iat=int(time.time()) - 360)


def _token_of_carol(issuer: DemoIssuer) -> str:
    return issuer.kept_token("carol", "orders:*")


def _token_of_dave(issuer: DemoIssuer) -> str:
    return issuer.kept_token("dave", "orders:list orders:create")


def _token_to_list(issuer: DemoIssuer) -> str:
    return issuer.agent.token_for(issuer, "orders:list")


def _token_to_create(issuer: DemoIssuer) -> str:
    return issuer.agent.token_for(issuer, "orders:create")


def _token_of_frank(issuer: DemoIssuer) -> str:
    return issuer.kept_token("frank", "orders:create:approve")


def _digest(issuer: DemoIssuer, host: str) -> object:
    return {"digest": issuer.agent.asked.get(host, {}).get("digest", "")}


# erin may list orders. Her agent asks for more, a person approves, and it ends by itself.
AGENT_STEPS: Final = (
    DemoStep("an agent's, to list", "GET /orders", _token_to_list, 200),
    DemoStep("an agent's, to list", "POST /orders", _token_to_list, 403),
    DemoStep(
        "the agent asks",
        "POST /elevations",
        _token_to_list,
        201,
        content=lambda issuer, host: issuer.agent.wish(host),
        answered=lambda issuer, host, content: issuer.agent.keep_answer(host, content),
    ),
    DemoStep("frank approves", "POST /elevations/{id}/approve", _token_of_frank, 200, content=_digest),
    DemoStep("an agent's, to create", "POST /orders", _token_to_create, 201),
    DemoStep("an agent's, to create", "GET /orders", _token_to_create, 403),
    DemoStep("4 s later, the same", "POST /orders", _token_to_create, 401, wait_for_the_end),
    DemoStep("erin's next token", "POST /orders", new_token_of_erin, 403),
)

STEPS: Final = (
    DemoStep("no token", "GET /orders", lambda _: None, 401),
    DemoStep("no token, but public", "GET /health", lambda _: None, 200),
    DemoStep("for another audience", "GET /orders", lambda i: i.token("orders:list", aud="https://bills.example"), 401),
    DemoStep("expired a minute ago", "GET /orders", _expired_token, 401),
    DemoStep("tampered with", "GET /orders", DemoIssuer.tampered_token, 401),
    DemoStep("holds orders:list", "GET /orders", lambda i: i.token("orders:list"), 200),
    DemoStep("holds orders:list", "POST /orders", lambda i: i.token("orders:list"), 403),
    DemoStep("holds orders:7:read", "GET /orders/7", lambda i: i.token("orders:7:read"), 200),
    DemoStep("holds orders:7:read", "GET /orders/8", lambda i: i.token("orders:7:read"), 403),
    DemoStep("has the role clerk", "GET /orders", lambda i: i.token(roles=("clerk",)), 200),
    DemoStep("has the role clerk", "GET /orders/7", lambda i: i.token(roles=("clerk",)), 403),
    DemoStep("has the role auditor", "GET /orders/7", lambda i: i.token(roles=("auditor",)), 200),
    DemoStep("holds orders:*", "GET /orders", lambda i: i.token("orders:*"), 200),
    DemoStep("holds orders:*", "GET /orders/7", lambda i: i.token("orders:*"), 403),
    DemoStep("holds orders:**", "GET /orders/7", lambda i: i.token("orders:**"), 200),
    DemoStep("holds **, undeclared", "GET /report", lambda i: i.token("**"), 403),
    DemoStep("carol's: orders:*", "GET /orders", _token_of_carol, 200),
    DemoStep("orders:list revoked", "GET /orders", _token_of_carol, 403, _revoke_permission),
    DemoStep("bob's: orders:*", "GET /orders", lambda i: i.token("orders:*", sub="bob"), 200),
    DemoStep("dave's: list, create", "GET /orders", _token_of_dave, 200, _record_history),
    DemoStep("reviewed: no create", "POST /orders", _token_of_dave, 403, _review_and_apply),
    DemoStep("list is in use", "GET /orders", _token_of_dave, 200),
    DemoStep("the plan is undone", "POST /orders", _token_of_dave, 201, _undo_plan),
    *AGENT_STEPS,
    DemoStep("unknown signing key", "GET /orders", DemoIssuer.forged_token, 401),
    DemoStep("signed with next key", "GET /orders", lambda i: i.token("orders:list"), 200, DemoIssuer.rotate),
    DemoStep("with the issuer down", "GET /orders", lambda i: i.token("orders:list"), 200, DemoIssuer.stop),
)

LESSONS: Final = (
    "A declaration means the same in every host: the same request gets the same answer everywhere.",
    "A token opens what it carries and no more: one order, one method, one audience, and not a second longer.",
    "orders:* is one segment (orders:list), orders:** is any depth (orders:7:read).",
    "orders:list was revoked from carol while her token lived: the next request was refused, bob's was not.",
    "dave never used orders:create in 300 days: a review found it, a plan revoked it, and undo restored it.",
    "erin's agent has a token for each thing it does. What it lacked it asked for, frank approved it, and it was over in 4 s.",
    "A route without a declaration (/report) is refused, whatever the token holds.",
    "Keys were fetched ahead of time: no request failed because of a new key or because the issuer was down.",
)
