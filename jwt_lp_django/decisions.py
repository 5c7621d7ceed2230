"""What was decided about this request, and by what was it asked?"""

from __future__ import annotations

import sys
from asyncio import get_running_loop
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, NamedTuple

from asgiref.sync import sync_to_async
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import ResolverMatch

from jwt_lp import AccessToken, Call, Decision, DecisionMemo, Refusal, Requirement, Route
from jwt_lp_django.apps import guard_from
from jwt_lp_django.marks import RequirementMark
from jwt_lp_django.template import names_of, route_template
from jwt_lp_django.user import TokenUser
from jwt_lp_django.views import MethodDeclaration, ViewInfo


class RequestRefused(PermissionDenied):
    """Ends a request with a refusal. The middleware answers with its status, headers and body.

    Without the middleware Django answers a plain 403.
    """

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.description)
        self.refusal = refusal


class AuthorizationRequest(NamedTuple):
    """One thing that the guard is asked about one request."""

    request: HttpRequest
    requirement: Requirement | None
    params: Mapping[str, object]
    endpoint: str
    label: str
    method: str
    marks: tuple[RequirementMark, ...] = ()


@dataclass(slots=True)
class RequestState:
    """What is known about one request. It stands on the request itself and ends with it.

    `owner` is that request, `arrived` a digest of its Authorization header and `peer` the socket's address, as they
    came in, before any other middleware could write over them. `settled` says that somebody decided. `passed` are the
    callbacks and declarations that were let in, with what they were called with, and `params` are those of the view.
    `instead` is what to ask where the guard answered in the view's place.
    """

    owner: int
    authorization_digest: bytes | None = field(default=None, repr=False)
    peer: str | None = None
    is_decided: bool = False
    memo: DecisionMemo = field(default_factory=DecisionMemo)
    passed: dict[object, tuple[object, Mapping[str, object]]] = field(
        default_factory=dict[object, tuple[object, Mapping[str, object]]]
    )
    params: Mapping[str, object] | None = None
    instead: AuthorizationRequest | None = None
    token: AccessToken | None = None

    def find_decision(self, question: AuthorizationRequest) -> Decision | None:
        """The decision on the same requirement with the same parameters, if there is one."""
        return self.memo.find(question.requirement, question.params)

    def has_passed(self, thing: object, method: str | None, params: Mapping[str, object]) -> bool:
        """Whether a callback or a declaration passed, for this method and these parameters."""
        return (id(thing), method, DecisionMemo.key(params)) in self.passed

    def mark_passed(self, thing: object, method: str | None, params: Mapping[str, object]) -> None:
        """Write down that it passed."""
        # The things themselves are kept too, so that nothing else can get their ids.
        self.passed[id(thing), method, DecisionMemo.key(params)] = (thing, dict(params))


def django_request(request: Any) -> HttpRequest:
    """Django's own request, where REST framework's may be given."""
    found = getattr(request, "_request", request)
    if not isinstance(found, HttpRequest):
        raise TypeError(f"{type(found).__name__} is no request")
    return found


def request_state(request: Any) -> RequestState:
    """The request's state, begun now where there is none."""
    state: RequestState | None = request.__dict__.get("_jwt_lp")
    # INVARIANT: a copy of a request with another credential has no part in what was decided about the first.
    if state is None or (state.owner != id(request) and state.authorization_digest != authorization_digest(request)):
        http = django_request(request)
        if http is not request:
            return request_state(http)
        state = RequestState(id(http), authorization_digest(http), http.META.get("REMOTE_ADDR") or None)
        http.__dict__["_jwt_lp"] = state
    return state


def authorization_digest(request: HttpRequest) -> bytes | None:
    """A digest of the Authorization header as it stands now."""
    value: str | None = request.META.get("HTTP_AUTHORIZATION")
    return None if value is None else sha256(value.encode("utf-8", "surrogatepass")).digest()


def authorization_request(
    request: HttpRequest, found: MethodDeclaration, params: Mapping[str, object], match: ResolverMatch | None = None
) -> AuthorizationRequest:
    """What the guard is asked about a view; the rules of the settings step in where nothing nearer is declared."""
    match = match or request.resolver_match
    path = route_template(match.route) if match is not None else None
    requirement = found.requirement
    if requirement is None and not found.closed and match is not None:
        names, groups = names_of(match.namespaces, match.url_name)
        route = Route((request.method or "",), path or "", found.endpoint, names=names, groups=groups)
        requirement = guard_from().rules.declare(route).requirement
    method = request.method or ""
    label = f"{method} {path if path is not None else found.endpoint}"
    # Copied: another middleware may change what the view is called with.
    return AuthorizationRequest(request, requirement, dict(params), found.endpoint, label, method, found.marks)


def decide(question: AuthorizationRequest) -> Decision:
    """Decide, once per request, requirement and parameters.

    This may wait for keys, but not on an event loop, which other requests share: then the refusal is 503.
    """
    made = request_state(question.request).find_decision(question) or forced_decision(question)
    decision = made or _check(question, wait=not _on_event_loop())
    if decision.pending:
        decision = guard_from().refuse_pending(question.requirement, question.label)
    return store_decision(question, decision)


async def decide_async(question: AuthorizationRequest) -> Decision:
    """Decide without blocking the event loop."""
    made = request_state(question.request).find_decision(question) or forced_decision(question)
    decision = made or _check(question, wait=False)
    if decision.pending:
        decision = await sync_to_async(_check, thread_sensitive=False)(question, wait=True)
    return store_decision(question, decision)


def _on_event_loop() -> bool:
    try:
        get_running_loop()
    except RuntimeError:
        return False
    return True


def _check(question: AuthorizationRequest, *, wait: bool) -> Decision:
    request, call = question.request, build_call(question)
    return guard_from().check(
        authorization_lines(request), question.requirement, question.params, question.label, call=call, wait=wait
    )


def store_decision(question: AuthorizationRequest, decision: Decision) -> Decision:
    """Write a decision down on its request, and hang the token there."""
    state = request_state(question.request)
    state.is_decided = True
    state.memo.keep((question.requirement,), question.params, decision)
    # INVARIANT: a declaration counts as asked only where a decision that took it into account has passed.
    for mark in question.marks if decision.passes else ():
        state.mark_passed(mark, question.method, question.params)
    request: Any = question.request
    if decision.token is not None and decision.passes:
        state.token = decision.token
        user = TokenUser(decision.token, guard_from())

        async def auser() -> TokenUser:
            return user

        request.user, request.auser = user, auser
    request.access_token = state.token
    return decision


def forced_decision(question: AuthorizationRequest) -> Decision | None:
    """The decision that REST framework's `force_authenticate` makes: only in Django's test client and factory.

    A forced `AccessToken` is held against what is declared; with any other user or token the request passes, unless
    nothing is declared.
    """
    request: Any = question.request
    who = [request.__dict__.get(name) for name in ("_force_auth_user", "_force_auth_token")]
    tests = sys.modules.get("django.test.client")
    # INVARIANT: no request of a server has the test client's payload as its body.
    if tests is None or who == [None, None] or question.requirement is None:
        return None
    if not isinstance(request.META.get("wsgi.input"), tests.FakePayload):
        return None
    if isinstance(who[1], AccessToken) and question.requirement.requires_token:
        guard, call = guard_from(), build_call(question)
        return guard.authorize(who[1], question.requirement, question.params, question.label, call=call)
    return Decision(requirement=question.requirement, route=question.label)


def authorization_lines(request: HttpRequest) -> Sequence[str]:
    """Every line of the Authorization header that the server lets us see; WSGI servers join them with a comma."""
    value: str | None = request.META.get("HTTP_AUTHORIZATION")
    if value is None:
        return []
    lines = header_lines(request, "authorization") if hasattr(request, "scope") else ()
    # What another middleware wrote there counts as it stands.
    return lines if value == ",".join(lines) else [value]


def header_lines(request: HttpRequest, name: str) -> tuple[str, ...]:
    """Every line of a header as it arrived."""
    scope: Mapping[str, Any] | None = getattr(request, "scope", None)
    if scope is not None:
        wanted = name.lower().encode("latin-1")
        return tuple(value.decode("latin-1") for key, value in scope["headers"] if key.lower() == wanted)
    value = request.headers.get(name)
    return () if value is None else (value,)


def build_call(question: AuthorizationRequest) -> Call:
    """The call, for what the core may want to know of it."""
    request = question.request
    return Call(
        method=request.method or "",
        url=request.build_absolute_uri,
        field=lambda name: header_lines(request, name),
        endpoint=question.endpoint,
        peer=request_state(request).peer,
    )


def refusal_response(refusal: Refusal) -> HttpResponse:
    """The refusal as Django's response."""
    return HttpResponse(refusal.body, status=refusal.status, headers=dict(refusal.headers))


def resolved_view(request: HttpRequest) -> ViewInfo | None:
    """The view that Django chose, or None where it has not chosen one."""
    return None if request.resolver_match is None else ViewInfo.of(request.resolver_match.func)
