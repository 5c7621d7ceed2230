"""The endpoints of elevation, which hosts mount: ask, see, approve, deny and end, in JSON.

The guard lets only requests with a valid token through to them. Who may ask and who decides is the policy's business.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Callable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote, urlencode

from jwt_lp._support.events import log_event
from jwt_lp.elevation.openapi import elevation_operation
from jwt_lp.elevation.refusals import RequestRefused, refusal_of, unknown_elevation
from jwt_lp.elevation.representation import members_of
from jwt_lp.elevation.requests import MAX_BODY, is_id, read_answer, read_key, read_page, read_wanted
from jwt_lp.errors import ConfigurationError, ElevationError, StoreError, clears_locals
from jwt_lp.oauth.token_endpoint import Answer
from jwt_lp.permissions.requirements import all_of

if TYPE_CHECKING:
    from jwt_lp.elevation.elevations import Elevations
    from jwt_lp.elevation.requests import ElevationCall
    from jwt_lp.guard.decisions import Refusal
    from jwt_lp.stores.elevations import Elevation

ASK: Final = "ask"
LIST: Final = "list"
SHOW: Final = "show"
APPROVE: Final = "approve"
DENY: Final = "deny"
END: Final = "end"
REVIEW: Final = "review"


class Endpoint(NamedTuple):
    """One endpoint: its method, its path below the one at which all are mounted, and one line that describes it."""

    method: str
    path: str
    summary: str


class ElevationEndpoints:
    """Answers requests to the endpoints of `elevations`; `reference` returns a short random text for each refusal."""

    max_body: Final = MAX_BODY
    endpoints: Final[Mapping[str, Endpoint]] = MappingProxyType(
        {
            ASK: Endpoint("POST", "", "Ask for a permission for a bounded time"),
            LIST: Endpoint("GET", "", "List your elevations, or those that wait for you"),
            SHOW: Endpoint("GET", "/{id}", "Show one elevation"),
            APPROVE: Endpoint("POST", "/{id}/approve", "Approve what was asked for"),
            DENY: Endpoint("POST", "/{id}/deny", "Deny what was asked for"),
            END: Endpoint("POST", "/{id}/end", "Withdraw a request, or end an elevation early"),
            REVIEW: Endpoint("POST", "/{id}/review", "Note that a permission taken without an approval was reviewed"),
        }
    )
    """The endpoints by name."""

    def __init__(self, elevations: Elevations, *, reference: Callable[[], str] = lambda: secrets.token_hex(5)) -> None:
        self.elevations: Elevations = elevations
        self._reference = reference

    @staticmethod
    def operation(name: str) -> dict[str, Any]:
        """What an OpenAPI document says of the endpoint `name`, beside its summary and what the guard adds."""
        return elevation_operation(name)

    @clears_locals
    def answer(self, name: str, call: ElevationCall, elevation_id: str = "") -> Answer:
        """Answer a request to the endpoint `name`. Nothing is raised for a bad request; the store may take time."""
        try:
            if name == ASK:
                return self._ask(call)
            if name == LIST:
                return self._list(call)
            if not is_id(elevation_id):
                raise unknown_elevation()
            if name == SHOW:
                return self._shown(self.elevations.show(call.token, elevation_id))
            return self._decide(name, call, elevation_id)
        except RequestRefused as refused:
            return self._refuse(name, refused, call)
        except (ElevationError, StoreError, ConfigurationError) as error:
            return self._refuse(name, refusal_of(error), call)

    def _ask(self, call: ElevationCall) -> Answer:
        key = read_key(call.idempotency_key)
        wanted = read_wanted(call.content_type, call.body)
        elevation = self.elevations.request(
            call.token,
            wanted.permission,
            reason=wanted.reason,
            ticket=wanted.ticket,
            seconds=wanted.seconds,
            key=key,
            break_glass=wanted.break_glass,
        )
        location = {"Location": f"{_quoted(call.path).rstrip('/')}/{elevation.id}"}
        return _json(HTTPStatus.CREATED, members_of(elevation, self.elevations.now()), location)

    def _list(self, call: ElevationCall) -> Answer:
        page = read_page(call.query)
        read = self.elevations.waiting_for if page.waiting else self.elevations.elevations_of
        # One more than is shown tells whether there is another page.
        found = read(call.token, after=page.after, limit=page.limit + 1)
        shown, now = found[: page.limit], self.elevations.now()
        members: dict[str, object] = {"elevations": [members_of(each, now) for each in shown]}
        if len(found) > len(shown):
            query = {"waiting": "true"} if page.waiting else {}
            following = urlencode({**query, "after": shown[-1].id, "limit": page.limit})
            members["next"] = f"{_quoted(call.path)}?{following}"
        return _json(HTTPStatus.OK, members)

    def _decide(self, name: str, call: ElevationCall, elevation_id: str) -> Answer:
        answered = read_answer(call.content_type, call.body, approval=name == APPROVE)
        # Who may not see it learns nothing of it.
        elevation = self.elevations.show(call.token, elevation_id)
        if name == END:
            return self._shown(self.elevations.end(call.token, elevation_id, reason=answered.reason))
        refusal = self._refusal(name, call, elevation)
        if refusal is not None:
            return Answer(refusal.status, dict(refusal.headers), refusal.body)
        if name == APPROVE:
            return self._shown(
                self.elevations.approve(call.token, elevation_id, digest=answered.digest, reason=answered.reason)
            )
        decide = self.elevations.deny if name == DENY else self.elevations.review
        return self._shown(decide(call.token, elevation_id, reason=answered.reason))

    def _shown(self, elevation: Elevation) -> Answer:
        return _json(HTTPStatus.OK, members_of(elevation, self.elevations.now()))

    def _refusal(self, name: str, call: ElevationCall, elevation: Elevation) -> Refusal | None:
        """The guard's refusal of who may not decide; otherwise the permission to decide counts as used."""
        rule = self.elevations.policy.elevation_rule(elevation.permission)
        if rule is None:
            return None
        mounted = call.path.removesuffix(f"/{elevation.id}/{name}")
        route = f"{self.endpoints[name].method} {mounted}{self.endpoints[name].path}"
        # INVARIANT: observe mode lets nobody decide.
        return call.guard.authorize(call.token, all_of(rule.approve, enforce=True), {}, route).refusal

    def _refuse(self, name: str, refused: RequestRefused, call: ElevationCall) -> Answer:
        reference = self._reference()
        event = {
            "endpoint": name,
            "status": int(refused.status),
            "error": refused.error,
            "detail": refused.detail,
            "issuer": call.token.issuer,
            "subject": call.token.subject,
            "token": call.token.fingerprint,
            "reference": reference,
        }
        log_event(logging.WARNING, "elevation-refused", event)
        return refused.answer(reference)


def _quoted(path: str) -> str:
    """A decoded path as a client writes it, so that nothing that it sent ends a header's line."""
    return quote(path, safe="/:@!$&'()*+,;=~-._")


def _json(
    status: HTTPStatus, members: Mapping[str, object], headers: Mapping[str, str] = MappingProxyType({})
) -> Answer:
    fixed = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return Answer(int(status), {**fixed, **headers}, json.dumps(members).encode())
