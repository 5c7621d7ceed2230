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

from .issuer import DemoIssuer
from .review import record_history, review_and_apply, undo_plan


@dataclass(frozen=True)
class DemoStep:
    """One request, made to every host alike, and the status that each must answer with."""

    title: str
    request: str
    token: Callable[[DemoIssuer], str | None]
    expected: int
    before: Callable[[DemoIssuer], None] = lambda _: None


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
    "A route without a declaration (/report) is refused, whatever the token holds.",
    "Keys were fetched ahead of time: no request failed because of a new key or because the issuer was down.",
)
