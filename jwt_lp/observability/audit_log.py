"""The audit log: one record for each decision, on the logger `jwt_lp.audit`.

A record's message says in a few words what was decided. Its attributes are fields of the Elastic Common Schema (ECS),
so that every formatter that writes extra attributes as JSON writes them; `EcsFormatter` does.
"""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from ipaddress import ip_address
from random import random
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

    from jwt_lp.guard.decisions import Call, Decision

MAX_TEXT: Final = 1024
"""How long a value is at most: Elasticsearch indexes no longer keyword."""

_LOG: Final = logging.getLogger("jwt_lp.audit")
_to_json: Final = json.JSONEncoder().encode


class AuditLog:
    """A listener that logs decisions: every refusal, and of the requests that pass a share.

    `share` is from 0 (none) to 1 (all), and `service` the name of the service. `chance` returns a number from 0 up to 1.
    """

    def __init__(self, share: float, *, service: str = "", chance: Callable[[], float] = random) -> None:
        self._share = share
        self._service = service
        self._chance = chance
        if _LOG.level == logging.NOTSET:
            # The root logger's default, WARNING, would drop every record.
            _LOG.setLevel(logging.INFO)

    def __call__(self, decision: Decision, call: Call | None) -> None:
        """Log a decision, unless it passes and is not in the share."""
        passes = decision.refusal is None and decision.observed is None
        if passes and self._chance() >= self._share:
            return
        action = outcome(decision)
        fields: dict[str, object] = {
            "event": _event(decision, action),
            "service": {"name": self._service} if self._service else None,
        }
        if call is not None:
            fields["http"] = _http(decision, call)
            fields["url"] = _url(call)
            fields["source"] = address_fields(call.peer)
        if decision.token is not None:
            fields["user"] = {"id": cut(decision.token.subject)}
        extra = {name: value for name, value in fields.items() if value}
        # INVARIANT: the message is one line of ASCII for every formatter; a route without a template is what a client sent.
        route = _to_json(cut(decision.route))[1:-1]
        _LOG.info("%s %s", action, route, extra={**extra, "jwt_lp": _details(decision)})


def outcome(decision: Decision) -> str:
    """`granted`, `refused`, or `observed` for a refusal that observe mode let pass."""
    return "refused" if decision.refusal is not None else "observed" if decision.observed is not None else "granted"


def cause_code(decision: Decision) -> str:
    """The code of the cause of a refusal, also of one that observe mode let pass; "" without one."""
    refusal = decision.refusal or decision.observed
    return "" if refusal is None else refusal.code


def used_elevations(decision: Decision) -> list[str]:
    """The ids of the elevations without which the request would have been refused."""
    return [cut(grant.elevation) for grant in decision.used if grant.elevation is not None]


def task_of(decision: Decision) -> str:
    """The task that the token is for; "" if it is for none."""
    token = decision.token
    return "" if token is None or token.lineage is None else token.lineage.task


def cut(text: str) -> str:
    """The text, at most `MAX_TEXT` characters of it."""
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def address_fields(address: str | None) -> dict[str, str]:
    """The ECS fields of an address; `ip` only for an IP address, because Elasticsearch refuses any other value."""
    if not address:
        return {}
    try:
        return {"address": cut(address), "ip": str(ip_address(address.partition("%")[0]))}
    except ValueError:
        return {"address": cut(address)}


def _event(decision: Decision, action: str) -> dict[str, object]:
    refusal = decision.refusal or decision.observed
    categories = ["api"]
    if refusal is not None and refusal.status == HTTPStatus.UNAUTHORIZED:
        categories.append("authentication")
    event: dict[str, object] = {
        "kind": "event",
        "category": categories,
        "type": ["access", "denied" if action == "refused" else "allowed"],
        "action": action,
        "outcome": "failure" if action == "refused" else "success",
    }
    if refusal is not None:
        # The reference is empty if the log's level leaves out its line.
        event |= {"reason": refusal.code, **({"id": refusal.reference} if refusal.reference else {})}
    return event


def _http(decision: Decision, call: Call) -> dict[str, object]:
    http: dict[str, object] = {"request": {"method": cut(call.method)}}
    if decision.refusal is not None:
        http["response"] = {"status_code": int(decision.refusal.status)}
    return http


def _url(call: Call) -> dict[str, object]:
    # INVARIANT: no client avoids the audit log by a URL that its host cannot build, such as one with a bad `Host`.
    try:
        path = urlsplit(call.url()).path
    except Exception:  # noqa: BLE001 - whatever the host raises
        return {}
    # Without the query, which may hold a token.
    return {"path": cut(path)} if path else {}


def _details(decision: Decision) -> dict[str, object]:
    token = decision.token
    details: dict[str, object] = {
        "route": cut(decision.route),
        "requirement": "" if decision.requirement is None else cut(str(decision.requirement)),
        "used": [cut(grant.text) for grant in decision.used],
        "missing": [cut(permission) for permission in decision.missing],
        "elevations": used_elevations(decision),
        "task": task_of(decision),
    }
    if token is not None:
        details |= {"issuer": token.issuer_name, "client": cut(token.client or ""), "token": token.fingerprint}
    return {name: value for name, value in details.items() if value}
