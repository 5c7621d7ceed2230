"""Decisions about a token, a requirement and a route that are known already: every check still holds."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from clock import Clock
from forked_child import run_in_child
from jwt_lp import AUTHENTICATED, Guard, KeysUnavailable, Requirement, Settings, SigningKey, StaticKeys, all_of, any_of
from jwt_lp.guard import authentication
from jwt_lp.guard.issuer_settings import IssuerSettings
from jwt_lp.jose.jws import fingerprint
from jwt_lp.testing.authority import Authority
from memory_store import MemoryStore, entry

ROUTE = "GET /orders"
NEEDED = all_of("orders:read")


class Keys:
    """A key source whose keys can be exchanged, and which can fail."""

    def __init__(self, key: SigningKey) -> None:
        self.generation = 1
        self.seconds = 1e9
        self.error: Exception | None = None
        self.hold(key)

    def hold(self, key: SigningKey) -> None:
        self.held = StaticKeys.from_jwks(key.public_jwk())
        self.generation += 1

    def find(self, kid: str | None, algorithm: str, **_: Any) -> Any:
        if self.error is not None:
            raise self.error
        return self.held.find(kid, algorithm)

    def usable_for(self) -> float:
        return self.seconds

    def start(self, worker: Any) -> None: ...

    def status(self) -> Any: ...


class Service:
    """A guard with its own clocks and keys; its store, if it has one, is polled by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, store: bool, **settings: Any) -> None:
        self.clock = Clock(datetime(2027, 1, 15, 12, tzinfo=UTC).timestamp())
        self.steady = Clock(0.0)
        self.authority = Authority(clock=self.clock)
        self.keys = Keys(self.authority.key)
        monkeypatch.setattr(IssuerSettings, "key_source", lambda *_: self.keys)
        self.store = MemoryStore()
        mapping = self.authority.settings(**({"STORE": self.store, "SERVICE": "s"} if store else {}), **settings)
        day = datetime.fromtimestamp(self.clock.now, UTC).date()
        self.guard = Guard(Settings.from_mapping(mapping, environ={}, today=day), clock=self.clock)
        self.guard.verifier._monotonic = self.steady
        if self.guard._runtime is not None:
            self.guard._worker.close()
            self.guard._runtime.revocations.clock = self.steady
            self.guard._runtime.revocations.poll()
            self.guard._runtime.sync.first_poll_done = True

    def header(self, *permissions: str, **more: Any) -> str:
        return f"Bearer {self.authority.token(permissions=permissions or ['orders:read'], **more)}"

    def ask(
        self,
        header: str | Sequence[str] | None,
        requirement: Requirement | None = NEEDED,
        params: Mapping[str, object] | None = None,
        route: str = ROUTE,
    ) -> Any:
        return self.guard.check(header, requirement, params or {}, route)

    def answers(self, header: str | Sequence[str] | None, **more: Any) -> int | None:
        """The status of the refusal, None where the request passes."""
        refusal = self.ask(header, **more).refusal
        return None if refusal is None else int(refusal.status)

    def uses(self) -> int:
        """How many uses were counted."""
        assert self.guard._runtime is not None
        self.guard._runtime.recorder.flush()
        return sum(self.store.counts.values())


@pytest.fixture(params=[pytest.param(False, id="without store"), pytest.param(True, id="with store")])
def service(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    made = Service(monkeypatch, store=request.param)
    with made.guard:
        yield made


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    made = Service(monkeypatch, store=True)
    with made.guard:
        yield made


@pytest.mark.parametrize(
    "requirement",
    [
        NEEDED,
        AUTHENTICATED,
        all_of("orders:read", "orders:list"),
        any_of("nothing", "orders:list"),
        all_of("orders:read", enforce=True),
        all_of("orders:read", unbound=["tenant"]),
    ],
    ids=str,
)
@pytest.mark.parametrize("lines", [1, 2], ids=["a text", "a list of one line"])
def test_the_same_question_is_answered_without_reading_the_header(
    service: Service, monkeypatch: pytest.MonkeyPatch, requirement: Requirement, lines: int
) -> None:
    """The second answer is the first one again, and neither parses the header nor evaluates the requirement."""
    text = service.header("orders:read", "orders:list")
    header = text if lines == 1 else [text]
    first = service.ask(header, requirement)
    assert first.passes
    monkeypatch.setattr(authentication, "parse_authorization", None)
    monkeypatch.setattr(type(requirement), "evaluate", None)
    assert first is service.ask(header, requirement)
    assert first is service.ask(header, requirement, {"order_id": 7})
    assert first is service.guard.authorize(first.token, requirement, {}, ROUTE)


def test_other_questions_are_decided_anew(service: Service) -> None:
    """Another token, requirement or route has its own answer; a requirement with parameters is decided each time."""
    one, other = service.header("orders:*"), service.header("orders:*")
    first = service.ask(one)
    template = all_of("orders:{what}")
    assert service.ask(other).token is not first.token
    assert ["orders:list", "orders:read"] == [
        str(service.ask(one, all_of(each)).requirement) for each in ("orders:list", "orders:read")
    ]
    assert "POST /orders" == service.ask(one, route="POST /orders").route
    assert service.ask(one, template, {"what": "read"}).passes
    assert 403 == service.answers(one, requirement=template, params={"what": "a:b"})
    assert 403 == service.answers(one, requirement=None)
    assert first is service.ask(one)


def test_several_requirements_on_one_route_are_all_kept(service: Service) -> None:
    """The requirement of the route and those that its view enforces keep one decision each."""
    header, needed = service.header("orders:*"), [all_of(f"orders:{each}") for each in "abc"]
    first = [service.ask(header, each) for each in needed]
    assert first == [service.ask(header, each) for each in needed]
    assert all(one is again for one, again in zip(first, [service.ask(header, each) for each in needed], strict=True))


def test_a_refusal_is_never_kept(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    """What was refused is decided, logged and given a reference of its own each time."""
    header = service.header("stock:read")
    references = {service.ask(header).refusal.reference for _ in range(3)}
    assert (3, 3) == (len(references), len(caplog.records))


@pytest.mark.parametrize("requirement", [NEEDED, all_of("orders:{what}")], ids=str)
def test_a_known_token_expires(service: Service, requirement: Requirement) -> None:
    """A known token is refused from the moment of its expiry, by the wall clock."""
    header, start = service.header(lifetime=60), service.clock.now
    for seconds, expected in ((0, None), (59.9, None), (60, 401)):
        service.clock.now = start + seconds
        assert expected == service.answers(header, requirement=requirement, params={"what": "read"})


def test_a_removed_key_refuses_its_known_tokens(service: Service) -> None:
    """When the keys of the issuer change, a known token is verified again."""
    header = service.header()
    assert [None, None] == [service.answers(header) for _ in range(2)]
    service.keys.hold(service.authority.key)
    assert [None, None] == [service.answers(header) for _ in range(2)]
    service.keys.hold(SigningKey.generate("ES256", kid="other"))
    assert 401 == service.answers(header)


def test_keys_that_are_too_old_refuse_known_tokens(service: Service) -> None:
    """A known token is not accepted longer than the keys may be used, whatever the wall clock shows."""
    service.keys.seconds = 10
    header = service.header()
    assert [None, None] == [service.answers(header) for _ in range(2)]
    service.keys.error = KeysUnavailable("too old")
    service.steady.now += 9
    assert None is service.answers(header)
    service.steady.now += 1
    assert 503 == service.answers(header)


def test_the_worker_is_checked_once_a_second(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Known tokens too have the worker checked, once a second, and at once after the clock was set back."""
    header, checks = service.header(), []
    service.answers(header)
    monkeypatch.setattr(service.guard._worker, "ensure_running", lambda: checks.append(service.clock.now))
    start = service.clock.now
    for step in (0.5, 0.9, 1.0, 1.5, 1.9, 2.1, -60, -59.5, -58.9):
        service.clock.now = start + step
        assert None is service.answers(header)
    assert [1.0, 2.1, -60, -58.9] == [round(at - start, 1) for at in checks]


def test_a_forked_child_checks_at_once(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A forked child checks the worker at its first request, in the same second too."""
    header, checks = service.header(), []
    service.answers(header)
    monkeypatch.setattr(service.guard._worker, "ensure_running", lambda: checks.append(True))
    assert True is run_in_child(lambda: service.answers(header) in (None, 503) and len(checks) > 0)
    assert [None, []] == [service.answers(header), checks]


@pytest.mark.parametrize(
    ("expected", "change"),
    [
        pytest.param(None, lambda line: line, id="as it was"),
        pytest.param(None, lambda line: [line], id="in a list"),
        pytest.param(None, lambda line: line.replace("Bearer", "bearer"), id="lower case"),
        pytest.param(400, lambda line: [line, line], id="twice"),
        pytest.param(400, lambda line: f"{line}, {line}", id="joined by a comma"),
        pytest.param(400, lambda line: f"{line} ", id="a blank behind"),
        pytest.param(400, lambda line: line.replace(" ", "  "), id="two blanks"),
        pytest.param(400, lambda line: line.replace(" ", "\t"), id="a tab"),
        pytest.param(401, lambda line: f" {line}", id="a blank before"),
        pytest.param(401, lambda line: line.replace("Bearer", "DPoP"), id="another scheme"),
        pytest.param(401, lambda line: line.removeprefix("Bearer "), id="no scheme"),
        pytest.param(401, lambda line: line.replace("Bearer ", "Bearer"), id="no blank"),
        pytest.param(401, lambda line: line[:-1], id="cut"),
        pytest.param(401, lambda line: f"{line}A", id="longer"),
        pytest.param(401, lambda line: f"{line}\u017f", id="not ASCII"),
        pytest.param(401, lambda line: f"{line}\ud800", id="a surrogate"),
        pytest.param(401, lambda line: line.ljust(20_000, "A"), id="too long"),
        pytest.param(401, lambda _: None, id="none"),
        pytest.param(401, lambda _: [], id="no line"),
        pytest.param(401, lambda _: "", id="empty"),
    ],
)
def test_a_header_that_is_like_a_known_one(service: Service, expected: int | None, change: Any) -> None:
    """Only the very header is known; every other one is read as strictly as ever."""
    header = service.header()
    assert None is service.answers(header)
    service.guard.verifier.verify(header.removeprefix("Bearer "))
    for _ in range(2):
        assert expected == service.answers(change(header))


@pytest.mark.parametrize("store", [True, False])
def test_bindings_of_the_settings_are_checked_each_time(monkeypatch: pytest.MonkeyPatch, store: bool) -> None:
    """With BIND, a decision is kept for requests without the parameter, and never given to one that has it."""
    service = Service(monkeypatch, store=store, BIND={"who": "sub"})
    header = service.header(subject="alice")
    with service.guard:
        for _ in range(2):
            assert [None, None, 403, 403] == [
                service.answers(header, params=params)
                for params in ({}, {"who": "alice"}, {"who": "bob"}, {"who": None})
            ]
            assert service.ask(header) is service.ask(header, params={"other": "bob"})


@pytest.mark.parametrize("store", [True, False])
def test_observe_mode_is_asked_each_time(monkeypatch: pytest.MonkeyPatch, store: bool) -> None:
    """A refusal that observe mode lets pass is not kept: it ends with observe mode, in the same process."""
    service = Service(monkeypatch, store=store, OBSERVE_UNTIL="2027-01-15")
    header = service.header("stock:read", lifetime=80_000)
    with service.guard:
        observed = [service.ask(header) for _ in range(2)]
        assert [(True, 403)] * 2 == [(each.passes, each.observed.status) for each in observed]
        service.clock.now += 12 * 3600
        assert 403 == service.answers(header)


# --- with a store


def test_each_answer_is_counted(stored: Service) -> None:
    """An answer that is given again is counted like the first one; a question that is no use is not."""
    header = stored.header("orders:read", "orders:list")
    for _ in range(50):
        stored.ask(header)
        stored.ask(header, all_of("orders:read", "orders:list"))
    token = stored.ask(header).token
    for _ in range(5):
        assert stored.guard.authorize(token, NEEDED, {}, ROUTE, record=False).passes
        assert stored.guard.can(token, NEEDED)
        assert stored.guard.authorize(token, NEEDED, {}, ROUTE).passes
    assert 50 + 2 * 50 + 1 + 5 == stored.uses()


def test_answers_beyond_the_bound_are_dropped_and_counted(stored: Service) -> None:
    """While nothing can be written, a known token's uses beyond the bound are counted as dropped."""
    runtime = stored.guard._runtime
    assert runtime is not None
    runtime.recorder.max_events = 3
    header = stored.header()
    for _ in range(8):
        assert stored.ask(header).passes
    assert (3, 5) == (runtime.recorder.status().pending, runtime.recorder.status().dropped)


def test_a_deny_entry_applies_with_the_next_snapshot(stored: Service) -> None:
    """A kept decision does not outlive the snapshot that it was made with."""
    header = stored.header("orders:*")
    assert stored.ask(header) is stored.ask(header)
    stored.store.revoke([entry("subject", "alice", pattern="orders:read")], at=stored.clock.now)
    assert stored.guard._runtime is not None
    assert None is stored.answers(header)
    stored.guard._runtime.revocations.poll()
    assert [403, 403, None] == [
        stored.answers(header),
        stored.answers(header),
        stored.answers(header, requirement=all_of("orders:list")),
    ]
    stored.store.revoke([entry("subject", "alice")], at=stored.clock.now)
    stored.guard._runtime.revocations.poll()
    assert 401 == stored.answers(header, requirement=all_of("orders:list"))


@pytest.mark.parametrize(("age", "expected"), [(60.0, None), (60.1, None), (3600.1, 503)])
def test_a_kept_decision_knows_the_age_of_the_snapshot(
    stored: Service, caplog: pytest.LogCaptureFixture, age: float, expected: int | None
) -> None:
    """A kept decision is not given on a snapshot that is too old, and the log says once that it is stale."""
    header = stored.header(lifetime=7200)
    kept = stored.ask(header)
    stored.steady.now += age
    for _ in range(2):
        assert expected == stored.answers(header)
    assert (kept is stored.ask(header)) is (age <= 60)
    stale = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert (0 if age <= 60 else 1) == len(stale)
    assert stored.guard._runtime is not None
    stored.guard._runtime.revocations.poll()
    assert None is stored.answers(header)


def test_no_kept_decision_is_given_before_the_first_poll(stored: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has not polled yet gives no kept decision: it waits, or it cannot decide."""
    header = stored.header()
    assert stored.ask(header).passes
    runtime = stored.guard._runtime
    assert runtime is not None
    runtime.sync._reset_after_fork()
    stored.guard._authenticator._check_after_fork()
    monkeypatch.setattr(runtime.sync, "await_first_poll", lambda *, wait: wait)
    assert [True, False] == [stored.guard.check(header, NEEDED, {}, ROUTE, wait=wait).pending for wait in (False, True)]


def test_guards_do_not_share_what_they_keep(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that two guards use has the decisions of each for itself."""
    one, other = (
        Service(monkeypatch, store=store, **more) for store, more in ((False, {}), (False, {"BIND": {"x": "sub"}}))
    )
    with one.guard, other.guard:
        token = one.ask(one.header("orders:*")).token
        for _ in range(2):
            assert one.guard.authorize(token, NEEDED, {}, ROUTE).passes
            assert other.guard.authorize(token, NEEDED, {}, ROUTE).passes
            assert not other.guard.authorize(token, NEEDED, {"x": "bob"}, ROUTE).passes
            assert one.guard.authorize(token, NEEDED, {"x": "bob"}, ROUTE).passes


def test_a_snapshot_without_a_poll_keeps_nothing(stored: Service) -> None:
    """With `REVOCATION_START = open`, decisions before the first poll are not given again as if they were current."""
    runtime = stored.guard._runtime
    assert runtime is not None
    header = stored.header()
    runtime.revocations._open = True
    runtime.revocations.polled = replace(runtime.revocations.polled, at=None, fresh_until=float("-inf"))
    assert stored.ask(header) is not stored.ask(header)
    assert 2 == stored.uses()


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_a_refused_token_is_logged_by_its_fingerprint(scheme: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is the beginning of the digest of the token alone, whether or not the header was looked up first."""
    token = Authority().token("alice")
    with Authority().guard() as guard:
        assert guard.check(f"{scheme} {token}", AUTHENTICATED, {}, "GET /x").refusal is not None
    assert f'"token": "{fingerprint(token)}"' in caplog.text
