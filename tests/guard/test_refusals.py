"""Refusals and their log lines."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, date, datetime
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import naughty_strings
from clock import Clock
from examples import examples
from jwt_lp import AUTHENTICATED, AccessToken, Permissions, Requirement, Route, Settings, all_of, any_of, external
from jwt_lp._support import events
from jwt_lp.guard.decisions import Cause, Refusal
from jwt_lp.guard.refusals import RefusalFactory, undeclared_cause
from jwt_lp.jose.signing import SigningKey

DAY = datetime(2027, 1, 15, tzinfo=UTC)
JWKS = {"keys": [SigningKey.generate("ES256", kid="k1").public_jwk()]}
BAD_TOKEN = Cause(401, "invalid_token", "expired", "an hour ago", "0123456789ab")
LACKING = Cause(403, "insufficient_scope", "insufficient_scope", "the token lacks a")
UNDECIDED = Cause(503, None, "keys_unavailable", "no keys", "0123456789ab")
NOBODY = Cause(401, None, "no_credential", "no bearer token was sent")
TWICE = Cause(400, "invalid_request", "malformed_header", "sent more than once")
FAULT = Cause(403, "insufficient_scope", "declaration", "no parameter", misconfigured=True)


def refusal_of(factory: RefusalFactory, cause: Cause) -> Refusal:
    refusal = factory.refuse(cause).refusal
    assert refusal is not None
    return refusal


def make_factory(
    *,
    dev: bool = False,
    now: Callable[[], float] = DAY.timestamp,
    reference: Callable[[], str] = lambda: "ref",
    **more: Any,
) -> RefusalFactory:
    mapping = {"ISSUER": "https://a.test", "AUDIENCE": "x", "ALGORITHMS": "ES256", "JWKS": JWKS, **more}
    read = Settings.from_mapping(mapping, environ={"JWT_LP_DEV": "1"} if dev else {}, today=date(2027, 1, 10))
    return RefusalFactory(read, now, reference)


def token(**more: Any) -> AccessToken:
    usual: dict[str, Any] = {
        "issuer": "https://a.test",
        "issuer_name": "default",
        "subject": "alice",
        "client": "web",
        "permissions": Permissions.of(["secret:grant"]),
        "_claims": MappingProxyType({"email": "alice@example.com"}),
        "issued_at": 0,
        "expires_at": 1,
        "token_id": "jti-1",
        "roles": ("clerk",),
        "fingerprint": "fedcba987654",
    }
    return AccessToken(**{**usual, **more})


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str, dict[str, Any]]]:
    """Level, event and members of each line, read back from its text."""
    events = []
    for record in caplog.records:
        if record.name == "jwt_lp":
            mark, event, text = record.getMessage().split(" ", 2)
            members = json.loads(text)
            assert ("jwt-lp", {"event": event, **members}) == (mark, record.jwt_lp)  # type: ignore[attr-defined]
            events.append((record.levelno, event, members))
    return events


@pytest.fixture(autouse=True)
def everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "jwt_lp")


@pytest.mark.parametrize(
    ("level", "cause"),
    [
        pytest.param(logging.INFO, NOBODY, id="nobody asked with a credential"),
        pytest.param(logging.WARNING, TWICE, id="malformed"),
        pytest.param(logging.WARNING, BAD_TOKEN, id="bad token"),
        pytest.param(logging.WARNING, LACKING, id="not enough"),
        pytest.param(logging.WARNING, UNDECIDED, id="undecidable"),
        pytest.param(logging.ERROR, FAULT, id="the application's fault"),
    ],
)
def test_a_refusal_is_one_log_line(caplog: pytest.LogCaptureFixture, level: int, cause: Cause) -> None:
    """A refusal is one line of its level with cause, detail and the reference that the client receives."""
    decision = make_factory(SERVICE="orders").refuse(cause, route="GET /x")
    ((logged_level, event, members),) = lines(caplog)
    assert (level, "refused", cause.status, cause.code, cause.detail) == (
        logged_level,
        event,
        members["status"],
        members["cause"],
        members["detail"],
    )
    assert (cause.error, cause.fingerprint, "GET /x", "orders") == (
        members.get("error"),
        members.get("token"),
        members["route"],
        members["service"],
    )
    assert decision.refusal is not None
    assert (decision.refusal.reference, cause.status) == (members["reference"], decision.refusal.status)
    assert (False, None) == (decision.passes, decision.observed)


def test_the_log_names_the_subject_and_the_requirement(caplog: pytest.LogCaptureFixture) -> None:
    """With a token the line has its subject, client and fingerprint, the requirement, what is missing, and no claim."""
    decision = make_factory().refuse(LACKING, token(), all_of("a", "b"), "GET /x", ("a",))
    ((_, _, members),) = lines(caplog)
    assert {
        "status": 403,
        "error": "insufficient_scope",
        "cause": "insufficient_scope",
        "detail": "the token lacks a",
        "route": "GET /x",
        "requirement": "a & b",
        "missing": ["a"],
        "issuer": "default",
        "subject": "alice",
        "client": "web",
        "token": "fedcba987654",
        "reference": "ref",
    } == members
    assert not any(word in caplog.text for word in ("secret:grant", "example.com", "jti-1", "clerk"))
    assert (("a",), "alice", "GET /x") == (
        decision.missing,
        decision.token.subject if decision.token else "",
        decision.route,
    )


@pytest.mark.parametrize(
    ("scope", "requirement", "cause", "declared"),
    [
        pytest.param("a b", "a & b", LACKING, all_of("a", "b"), id="literal"),
        pytest.param("a", "a | (b & c)", LACKING, any_of("a", all_of("b", "c")), id="the first alternative"),
        pytest.param(None, "a:{x}", LACKING, all_of("a:{x}"), id="a template"),
        pytest.param(None, "authenticated", LACKING, AUTHENTICATED, id="authenticated"),
        pytest.param(None, "a", FAULT, all_of("a"), id="the application's fault"),
        pytest.param(None, None, BAD_TOKEN, all_of("a"), id="a bad token"),
        pytest.param(None, None, NOBODY, all_of("a"), id="no token"),
        pytest.param(None, None, UNDECIDED, all_of("a"), id="undecidable"),
        pytest.param(None, None, LACKING, None, id="nothing declared"),
    ],
)
def test_what_the_client_receives(
    scope: str | None, requirement: str | None, cause: Cause, declared: Requirement | None
) -> None:
    """The requirement is shown only with a 403; SHOW_REQUIREMENT off hides it and the scope."""
    for factory, shown in ((make_factory(), True), (make_factory(SHOW_REQUIREMENT=False), False)):
        refusal = factory.refuse(cause, None, declared).refusal
        assert refusal is not None
        assert (scope if shown else None, requirement if shown else None, None) == (
            refusal.scope,
            refusal.requirement,
            refusal.cause,
        )


@pytest.mark.parametrize("cause", [BAD_TOKEN, LACKING, NOBODY, TWICE])
def test_each_challenge_names_the_metadata(cause: Cause) -> None:
    """With RESOURCE each challenge has the address of its metadata, and without it none has."""
    address = 'resource_metadata="https://api.test/.well-known/oauth-protected-resource"'
    for factory, named in ((make_factory(RESOURCE="https://api.test"), True), (make_factory(), False)):
        assert named is (address in refusal_of(factory, cause).headers["WWW-Authenticate"])
    assert "WWW-Authenticate" not in refusal_of(make_factory(RESOURCE="https://api.test"), UNDECIDED).headers


def test_explain_shows_the_cause() -> None:
    """EXPLAIN, which is on in development, puts code and detail of the cause into the refusal."""
    for factory, expected in (
        (make_factory(dev=True, EXPLAIN=True), "expired: an hour ago"),
        (make_factory(dev=True), "expired: an hour ago"),
        (make_factory(dev=True, EXPLAIN=False), None),
        (make_factory(), None),
    ):
        refusal = factory.refuse(BAD_TOKEN).refusal
        assert refusal is not None
        assert expected == refusal.cause
        assert ("cause" in refusal.problem) is bool(expected)


def test_each_refusal_has_a_reference_of_its_own() -> None:
    """Each refusal has its own reference."""
    numbers = iter("12")
    factory = make_factory(reference=lambda: next(numbers))
    assert ["1", "2"] == [getattr(factory.refuse(NOBODY).refusal, "reference", "") for _ in range(2)]


@pytest.mark.parametrize(
    ("expected", "cause", "requirement"),
    [
        pytest.param("observed", LACKING, all_of("a"), id="not enough"),
        pytest.param("observed", NOBODY, all_of("a"), id="no token"),
        pytest.param("observed", BAD_TOKEN, all_of("a"), id="a bad token"),
        pytest.param("observed", TWICE, all_of("a"), id="malformed"),
        pytest.param("observed", FAULT, None, id="undeclared"),
        pytest.param("refused", UNDECIDED, all_of("a"), id="undecidable"),
        pytest.param("refused", LACKING, all_of("a", enforce=True), id="enforced"),
        pytest.param("refused", NOBODY, any_of("b", all_of("a", enforce=True)), id="enforced in a part"),
    ],
)
def test_observing(
    caplog: pytest.LogCaptureFixture, expected: str, cause: Cause, requirement: Requirement | None
) -> None:
    """Observe mode lets refusals pass and logs them as observed, except undecided and enforced ones."""
    decision = make_factory(OBSERVE_UNTIL="2027-01-15").refuse(cause, token(), requirement)
    ((level, event, _),) = lines(caplog)
    assert (expected, expected == "observed") == (event, decision.passes)
    assert level >= logging.WARNING or (expected, cause) == ("refused", NOBODY)
    assert (decision.refusal is None) is (decision.observed is not None) is (expected == "observed")
    has_token = decision.token is not None
    assert has_token is (expected == "refused" or cause.status == 403)


@pytest.mark.parametrize(
    ("expected", "until", "now"),
    [
        (True, "2027-01-15", datetime(2027, 1, 15, 23, 59, 59, tzinfo=UTC)),
        (False, "2027-01-15", datetime(2027, 1, 16, tzinfo=UTC)),
        (False, "2020-01-01", DAY),
        (False, None, DAY),
    ],
)
def test_observing_ends_by_itself(expected: bool, until: str | None, now: datetime) -> None:
    """Each request compares the clock with the last day, in UTC; the last day is still observed."""
    factory = make_factory(now=now.timestamp, OBSERVE_UNTIL=until)
    assert (expected, expected) == (factory.is_observing(), factory.refuse(LACKING).passes)
    assert not factory.refuse(LACKING, observable=False).passes


def test_observing_that_has_ended_does_not_begin_again() -> None:
    """Observe mode that has ended does not begin again when the clock is set back."""
    days = iter((16, 15, 15))
    factory = make_factory(
        now=lambda: datetime(2027, 1, next(days), tzinfo=UTC).timestamp(), OBSERVE_UNTIL="2027-01-15"
    )
    assert not factory.is_observing()
    assert (False, False) == (factory.is_observing(), factory.refuse(LACKING).passes)


def test_what_is_not_logged_has_no_reference(caplog: pytest.LogCaptureFixture) -> None:
    """A client gets a reference only if the log has it too."""
    caplog.set_level(logging.WARNING, "jwt_lp")
    factory = make_factory(reference=lambda: "r")
    decisions = [factory.refuse(NOBODY), factory.refuse(LACKING, record=False), factory.refuse(LACKING)]
    refusals = [decision.refusal for decision in decisions if decision.refusal]
    assert [(False, "")] * 2 + [(True, "r")] == [("reference" in each.problem, each.reference) for each in refusals]
    assert ["r"] == [members["reference"] for _, _, members in lines(caplog)]


def test_anonymous_calls_of_undeclared_routes_do_not_flood_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """One warning a minute for each route, and at most a hundred; the others are logged at INFO."""
    clock = Clock(1_800_000_000.0)
    factory = make_factory(now=clock)

    def warnings(routes: list[str]) -> int:
        caplog.clear()
        for route in routes:
            factory.refuse(undeclared_cause(NOBODY), None, None, route)
        assert len(routes) == len(caplog.records)
        return [level for level, _, _ in lines(caplog)].count(logging.WARNING)

    many = [f"GET /{number}" for number in range(200)]
    assert [1, 0, 99] == [warnings(["GET /a"] * 3), warnings(["GET /a"]), warnings(many)]
    clock.now += 59
    assert 0 == warnings(many)
    clock.now += 2
    assert 100 == warnings(many)
    # Set back, the clock begins another minute.
    clock.now -= 3600
    assert 100 == warnings(many)
    # A token that is no good is the caller's, and every line of it is wanted.
    caplog.clear()
    for _ in range(3):
        factory.refuse(undeclared_cause(BAD_TOKEN), None, None, "GET /a")
    assert [logging.WARNING] * 3 == [level for level, _, _ in lines(caplog)]


@pytest.mark.parametrize("cause", [NOBODY, BAD_TOKEN])
def test_a_route_without_a_declaration_is_the_cause_whatever_was_sent(cause: Cause) -> None:
    """The answer is that to the credential, and the log says both; what could not be decided stays as it is."""
    made = undeclared_cause(cause)
    assert ("undeclared_route", cause.status, cause.error, cause.fingerprint) == (
        made.code,
        made.status,
        made.error,
        made.fingerprint,
    )
    assert made.detail.startswith("the route has no declaration: ")
    assert made.detail.endswith(f"; besides, {cause.detail}")
    for other in (UNDECIDED, TWICE):
        assert other == undeclared_cause(other)


def test_without_record_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """With `record=False` the refusal is the same and nothing is logged."""
    assert 403 == getattr(make_factory().refuse(LACKING, record=False).refusal, "status", None)
    assert [] == caplog.records


def test_the_level_of_the_logger_counts(caplog: pytest.LogCaptureFixture) -> None:
    """Events below the logger's level are not logged."""
    caplog.set_level(logging.ERROR, "jwt_lp")
    make_factory().refuse(LACKING)
    make_factory().refuse(FAULT)
    assert [logging.ERROR] == [level for level, _, _ in lines(caplog)]


@pytest.mark.parametrize(
    ("expected", "settings_"),
    [
        ([], {}),
        (["development"], {"dev": True}),
        (["observing"], {"OBSERVE_UNTIL": "2027-02-01"}),
        (["development", "observing"], {"dev": True, "OBSERVE_UNTIL": "2027-02-01"}),
    ],
)
def test_less_strict_settings_are_logged_at_start(
    caplog: pytest.LogCaptureFixture, expected: list[str], settings_: dict[str, Any]
) -> None:
    """Development and observe mode are warnings at start, with the date."""
    make_factory(**settings_).log_start()
    logged = lines(caplog)
    assert [(logging.WARNING, event) for event in expected] == [(level, event) for level, event, _ in logged]
    assert ("OBSERVE_UNTIL" in settings_) is ("2027-02-01" in caplog.text)


def test_an_undeclared_route_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Each route without a declaration is one warning with an id, the view and the line to add."""
    factory = make_factory()
    one = Route(("GET",), "/a", "app.a", hint='@requires("a:read")')
    for route in (one, Route(("GET",), "/b", "app.b"), one):
        factory.log_undeclared(route)
    assert [
        (logging.WARNING, "undeclared", "GET /a", "app.a", '@requires("a:read")'),
        (logging.WARNING, "undeclared", "GET /b", "app.b", None),
    ] == [
        (level, event, members["route"], members["endpoint"], members.get("hint"))
        for level, event, members in lines(caplog)
    ]
    assert all(members["id"] for _, _, members in lines(caplog))


def one_line_of_ascii(record: logging.LogRecord) -> bool:
    return all(0x20 <= ord(char) < 0x7F for char in record.getMessage())


def test_naughty_strings_stay_on_their_line(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever a client or an operator wrote, an event is one line of printable ASCII that can be read back."""
    for text in naughty_strings.load_strings():
        caplog.clear()
        cause = Cause(401, "invalid_token", "subject", text, "0123456789ab")
        who = token(subject=text, client=text, issuer_name=text)
        requirement = external(text) if text.strip() else None
        make_factory(SERVICE=text).refuse(cause, who, requirement, text, (text,))
        ((_, _, members),) = lines(caplog)
        assert one_line_of_ascii(caplog.records[-1])
        assert {text or None} == {members.get(name) for name in ("detail", "subject", "client", "route", "service")}


class Collector(logging.Handler):
    def __init__(self, records: list[logging.LogRecord]) -> None:
        super().__init__()
        self._records = records

    def emit(self, record: logging.LogRecord) -> None:
        self._records.append(record)


@examples(60)
@given(st.text(), st.text())
def test_any_text_stays_on_its_line(detail: str, route: str) -> None:
    """Any text is logged as one line of printable ASCII."""
    records: list[logging.LogRecord] = []
    handler = Collector(records)
    logger = logging.getLogger("jwt_lp")
    logger.addHandler(handler)
    try:
        make_factory().refuse(Cause(403, None, "x", detail), None, None, route)
    finally:
        logger.removeHandler(handler)
    assert (1, True) == (len(records), one_line_of_ascii(records[0]))


def test_a_level_that_is_off_costs_no_line(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the level is not logged, nothing is formatted."""
    caplog.set_level(logging.CRITICAL, "jwt_lp")
    monkeypatch.setattr(events, "_to_json", None)
    make_factory().refuse(BAD_TOKEN)
    events.log_event(logging.WARNING, "undeclared", {"route": "GET /"})
    assert [] == caplog.records
