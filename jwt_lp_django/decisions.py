"""Decisions about one request, and the state that the request carries."""

from __future__ import annotations

import sys
from asyncio import get_running_loop
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, NoReturn, cast
from weakref import ref

from asgiref.sync import sync_to_async
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import ResolverMatch

from jwt_lp import ANONYMOUS, AccessToken, Call, Decision, DecisionMemo, Guard, HostCsrf, Refusal, Requirement, Route
from jwt_lp_django import signals
from jwt_lp_django.csrf import csrf_advice, csrf_fault
from jwt_lp_django.guard_access import guard_from
from jwt_lp_django.sessions import session_fault
from jwt_lp_django.template import names_of, route_template
from jwt_lp_django.user import TokenUser
from jwt_lp_django.views import MethodDeclaration, ViewInfo, is_drf


class RequestRefused(PermissionDenied):
    """Ends a request with a refusal. The middleware answers with its status, headers and body.

    Without the middleware Django answers a plain 403.
    """

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.description)
        self.refusal = refusal


class AuthorizationRequest(NamedTuple):
    """One question to the guard about one request, which has the state `state`.

    `subjects` are the callback and the declarations that count as passed if the decision passes.
    """

    request: HttpRequest
    state: RequestState
    guard: Guard
    requirement: Requirement | None
    params: Mapping[str, object]
    endpoint: str
    label: str
    method: str
    subjects: tuple[object, ...] = ()


class RequestState:
    """What the adapter knows about one request. The request holds it, and it ends with the request.

    `owner` refers to that request. `authorization`, `cookie` (the headers) and `peer` (the socket's address) are as
    they arrived, before another middleware could change them. `csrf_fault` is what Django's CSRF check said, None if it
    was not asked. `is_decided` is True after the first decision. `params` are
    the parameters of the view. `unanswered` is the question about a view that the guard answered for, with a 405 or an
    answer to OPTIONS. `is_observed` says that observe mode let the request pass without a valid token.
    `user` is the user that was set for the token, or that of the session that let the request pass.
    """

    __slots__ = (
        "_passed",
        "authorization",
        "cookie",
        "csrf_fault",
        "is_decided",
        "is_observed",
        "memo",
        "owner",
        "params",
        "peer",
        "token",
        "unanswered",
        "user",
    )

    def __init__(self, request: HttpRequest) -> None:
        # Weakly, because the request holds its state; not by id, because a copy of a copy may get the id of the first.
        self.owner = ref(request)
        # The header itself, because a digest costs more than the rest of the state. META holds it anyway, and no `repr`
        # shows it.
        self.authorization = authorization_header(request)
        self.cookie: str | None = request.META.get("HTTP_COOKIE")
        self.csrf_fault: str | None = None
        self.peer: str | None = request.META.get("REMOTE_ADDR") or None
        self.is_decided = False
        self.is_observed = False
        self.memo = DecisionMemo()
        self.params: Mapping[str, object] | None = None
        self.unanswered: AuthorizationRequest | None = None
        self.token: AccessToken | None = None
        self.user: Any = None
        self._passed: dict[tuple[object, ...], object] = {}

    def find_decision(self, question: AuthorizationRequest) -> Decision | None:
        """The decision on the same requirement with the same parameters, if there is one."""
        return self.memo.find(question.requirement, question.params) if self.is_decided else None

    def has_passed(self, subject: object, method: str | None, params: Mapping[str, object]) -> bool:
        """Whether `subject`, a callback or a declaration, passed for this method and these very parameters.

        Where equal values are other objects it is False, and then `find_decision` tells whether to decide anew.
        """
        return (id(subject), method, *params, *map(id, params.values())) in self._passed

    def mark_passed(self, question: AuthorizationRequest) -> None:
        """Record that the subjects of `question` passed."""
        params, subjects = question.params, question.subjects
        rest = (question.method, *params, *map(id, params.values()))
        for subject in subjects:
            # The objects themselves are kept too, so that no other object can get the id of one.
            self._passed[id(subject), *rest] = (subjects, params)

    def has_same_credential(self, request: HttpRequest) -> bool:
        """Whether the request's Authorization and Cookie headers are those that arrived."""
        return self.authorization == authorization_header(request) and self.cookie == request.META.get("HTTP_COOKIE")


def django_request(request: Any) -> HttpRequest:
    """Django's own request, given that or REST framework's."""
    http = request if isinstance(request, HttpRequest) else getattr(request, "_request", request)
    if not isinstance(http, HttpRequest):
        raise TypeError(f"{type(http).__name__} is no request")
    return http


def request_state(request: Any) -> RequestState:
    """The request's state; it is created if there is none."""
    state: RequestState | None = request.__dict__.get("_jwt_lp")
    # INVARIANT: decisions about a request do not apply to a copy of it with another credential.
    if state is None or (state.owner() is not request and not state.has_same_credential(request)):
        http = django_request(request)
        if http is not request:
            return request_state(http)
        state = http.__dict__["_jwt_lp"] = RequestState(http)
    return state


def token_from(request: Any) -> AccessToken | None:
    """The access token of the request, None if no decision let it in with one."""
    return request_state(request).token


def authorization_header(request: HttpRequest) -> str | None:
    """The Authorization header as it is now, after other middleware; Django joins several lines with commas."""
    value: str | None = request.META.get("HTTP_AUTHORIZATION")
    return value


def authorization_request(
    request: HttpRequest,
    declaration: MethodDeclaration,
    params: Mapping[str, object],
    match: ResolverMatch | None = None,
    callback: object = None,
) -> AuthorizationRequest:
    """The question about a view. The rules of the settings apply if the view declares nothing.

    `callback` is the view that may be called if the decision passes.
    """
    match = match or request.resolver_match
    guard, endpoint, requirement = guard_from(), declaration.endpoint, declaration.requirement
    method = request.method or ""
    path = endpoint if match is None else route_template(match.route)
    if requirement is None and not declaration.closed and match is not None:
        names, groups = names_of(match.namespaces, match.url_name)
        requirement = guard.rules.declare(Route((method,), path, endpoint, names=names, groups=groups)).requirement
    return AuthorizationRequest(
        request,
        request_state(request),
        guard,
        requirement,
        # A copy: another middleware may change the parameters of the view.
        dict(params),
        endpoint,
        f"{method} {path}",
        method,
        declaration.marks if callback is None else (callback, *declaration.marks),
    )


def decide(question: AuthorizationRequest) -> Decision:
    """Decide, once per request, requirement and parameters.

    This may wait for keys. On an event loop, which other requests share, it does not wait: the refusal is 503.
    """
    known = question.state.find_decision(question)
    if known is not None:
        return store_decision(question, known)
    decision = forced_decision(question) or _check(question, wait=False)
    if decision.pending and not _on_event_loop():
        decision = _check(question, wait=True)
    if decision.pending:
        decision = question.guard.refuse_pending(question.requirement, question.label)
    store_decision(question, decision)
    if decision.refusal is not None:
        signals.send_refused(question.request, decision)
    return decision


async def decide_async(question: AuthorizationRequest) -> Decision:
    """Decide without blocking the event loop."""
    known = question.state.find_decision(question)
    if known is not None:
        return store_decision(question, known)
    decision = forced_decision(question)
    if decision is None and _may_be_session(question):
        # The session's user is read from the database.
        decision = await sync_to_async(_check)(question, wait=True)
    decision = decision or _check(question, wait=False, defer=True)
    if decision.pending:
        decision = await sync_to_async(_check, thread_sensitive=False)(question, wait=True)
    store_decision(question, decision)
    if decision.refusal is not None:
        await signals.asend_refused(question.request, decision)
    return decision


def probe(question: AuthorizationRequest) -> Decision:
    """Decide without keeping or logging it where a token is known, and without making a refusal final."""
    token = question.state.token
    if token is None:
        decision = forced_decision(question) or _check(question, wait=not _on_event_loop())
    else:
        decision = question.guard.authorize(
            token, question.requirement, question.params, question.label, call=build_call(question), record=False
        )
    return question.guard.refuse_pending(question.requirement, question.label) if decision.pending else decision


def _on_event_loop() -> bool:
    try:
        get_running_loop()
    except RuntimeError:
        return False
    return True


def _check(question: AuthorizationRequest, *, wait: bool, defer: bool = False) -> Decision:
    return question.guard.check(
        authorization_lines(question.request),
        question.requirement,
        question.params,
        question.label,
        call=build_call(question, defer=defer),
        wait=wait,
    )


def _may_be_session(question: AuthorizationRequest) -> bool:
    return question.requirement is not None and question.requirement.session is not None


def store_decision(question: AuthorizationRequest, decision: Decision) -> Decision:
    """Store a decision in its request's state, and set the request's user and token."""
    request: Any = question.request
    state = question.state
    state.memo.keep((question.requirement,), question.params, decision)
    state.is_decided = True
    if decision.passes:
        # INVARIANT: a declaration counts as enforced only if a decision that evaluated it has passed.
        state.mark_passed(question)
        if decision.token is not None:
            state.token = decision.token
            _set_user(request, question, decision.token)
        elif decision.observed is not None:
            state.is_observed = True
        elif _may_be_session(question):
            state.user = request.user
    request.access_token = state.token or ANONYMOUS
    return decision


def _set_user(request: Any, question: AuthorizationRequest, token: AccessToken) -> None:
    """Set `request.user` and `request.auser`: the token's, or the local user where `LOCAL_USER` is set."""
    state, guard = question.state, question.guard
    if guard.local_users is None or token.app:
        user = state.user = request.user = TokenUser(token, guard)

        async def auser() -> TokenUser:
            return user

        request.auser = auser
        return
    # Only where it is used, because it needs Django's models. The start has imported it.
    from jwt_lp_django.local_user import LocalUserLoader

    def refuse(decision: Decision) -> NoReturn:
        state.memo.note(decision)
        raise refusal_exception(question.request, cast(Refusal, decision.refusal))

    tell = partial(signals.send_refused, question.request)
    loader = LocalUserLoader(guard, token, question.requirement, question.label, refuse, tell)
    state.user = request.user = loader.lazy()
    request.auser = loader.aload


def refusal_exception(request: Any, refusal: Refusal) -> Exception:
    """The exception that ends the request with the refusal: REST framework's if its request or its view is asked."""
    view = resolved_view(django_request(request))
    if not isinstance(request, HttpRequest) or (view is not None and is_drf(view.cls)):
        from jwt_lp_django.drf_responses import refusal_error

        return refusal_error(refusal)
    return RequestRefused(refusal)


def forced_decision(question: AuthorizationRequest) -> Decision | None:
    """The decision for REST framework's `force_authenticate`, which Django's test client and request factory support.

    A forced `AccessToken` must satisfy the requirement. With any other user or token the request passes, unless the
    view declares nothing. None for every other request.
    """
    request: Any = question.request
    attributes = request.__dict__
    user, token = attributes.get("_force_auth_user"), attributes.get("_force_auth_token")
    if (user is None and token is None) or question.requirement is None:
        return None
    test_client = sys.modules.get("django.test.client")
    # INVARIANT: no request of a server has the test client's payload as its body.
    if test_client is None:
        return None
    if not isinstance(request.META.get("wsgi.input"), test_client.FakePayload):
        return None
    if isinstance(token, AccessToken) and question.requirement.requires_token:
        call = build_call(question)
        return question.guard.authorize(token, question.requirement, question.params, question.label, call=call)
    return Decision(requirement=question.requirement, route=question.label)


def authorization_lines(request: HttpRequest) -> str | Sequence[str] | None:
    """The Authorization header, or its lines as far as the server shows them: WSGI servers join them with commas."""
    header = authorization_header(request)
    if header is not None and "," in header and hasattr(request, "scope"):
        lines = header_lines(request, "authorization")
        # A header that another middleware wrote is not in the scope.
        if header == ",".join(lines):
            return lines
    return header


def header_lines(request: HttpRequest, name: str) -> tuple[str, ...]:
    """Every line of a header as it arrived."""
    scope: Mapping[str, Any] | None = getattr(request, "scope", None)
    if scope is not None:
        wanted = name.lower().encode("latin-1")
        return tuple(value.decode("latin-1") for key, value in scope["headers"] if key.lower() == wanted)
    value = request.headers.get(name)
    return () if value is None else (value,)


def build_call(question: AuthorizationRequest, *, defer: bool = False) -> Call:
    """The facts about the call that the core reads when it needs them.

    With `defer`, Django's CSRF check is left to the thread in which the caller will ask again.
    """
    request = question.request

    def field(name: str) -> tuple[str, ...]:
        return header_lines(request, name)

    return Call(
        method=request.method or "",
        url=request.build_absolute_uri,
        field=field,
        endpoint=question.endpoint,
        peer=question.state.peer,
        path=request.path,
        csrf=None
        if question.guard.settings.cookies is None
        else HostCsrf(partial(_csrf_fault, question, defer), csrf_advice()),
        session=None if not _may_be_session(question) else partial(session_fault, request),
        memo=question.state.memo,
    )


def _csrf_fault(question: AuthorizationRequest, defer: bool, wait: bool) -> str | None:  # noqa: FBT001 - by position
    """What Django's CSRF check says, asked once for each request; None if the caller can ask it off the event loop."""
    state = question.state
    if state.csrf_fault is None:
        # Django reads the form, which takes time, unless that was done already.
        if defer and not wait and not hasattr(question.request, "_post"):
            return None
        state.csrf_fault = csrf_fault(question.request)
    return state.csrf_fault


def refusal_response(refusal: Refusal) -> HttpResponse:
    """The refusal as Django's response."""
    return HttpResponse(refusal.body, status=refusal.status, headers=dict(refusal.headers))


def resolved_view(request: HttpRequest) -> ViewInfo | None:
    """The view that Django's router chose, None if it has not chosen one."""
    return None if request.resolver_match is None else ViewInfo.of(request.resolver_match.func)
