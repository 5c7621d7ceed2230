"""Sign-in, refresh and sign-out: what a client gets, and when a session ends."""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

import pytest

from jwt_lp import (
    ConfigurationError,
    Granted,
    Issuer,
    KeyRing,
    SignIn,
    SigningKey,
    SignInRefused,
    StoreError,
)
from jwt_lp.issuing.claim_policy import ClaimPolicy
from jwt_lp.jose import jws
from jwt_lp.jose.key_rotation import add_key, rotate_keys
from jwt_lp.permissions.grants import Denial
from jwt_lp.revocation.snapshot import RevocationMatch
from signin.signin_world import ISSUER, JSON, KEY, NOW, PASSWORD, POLICY, World, new_world, read, to_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from jwt_lp import Answer
    from jwt_lp.stores import RefreshFamily

pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy (extra `sql`)")

WRONG = "The username or the password is wrong."
BAD_TOKEN = "The refresh token is expired, revoked, used before, malformed or not from here: sign in again."


@pytest.fixture
def world(tmp_path: Path) -> World:
    return new_world(tmp_path)


def claims(token: str) -> Mapping[str, Any]:
    return jws.read_json(jws.parse_compact(token).payload, "payload")


def events(caplog: pytest.LogCaptureFixture) -> list[tuple[str, dict[str, Any]]]:
    """The logged events with their members."""
    lines: list[Any] = [record.args for record in caplog.records if record.name == "jwt_lp"]
    return [(event, json.loads(members)) for event, members in lines]


def family_of(world: World, refresh_token: str) -> RefreshFamily:
    found = world.store.family(claims(refresh_token)["family"])
    assert found is not None
    return found


def problem(answer: Answer) -> tuple[int, str, str]:
    """Status, error and detail of a refusal, whose other parts are checked."""
    body = read(answer)
    assert {"type", "title", "status", "detail", "error", "reference"} == body.keys()
    assert ("about:blank", HTTPStatus(answer.status).phrase, answer.status, "ref") == (
        body["type"],
        body["title"],
        body["status"],
        body["reference"],
    )
    assert ("application/problem+json", "no-store") == (answer.headers["Content-Type"], answer.headers["Cache-Control"])
    assert (answer.status == 401) is ("WWW-Authenticate" in answer.headers)
    assert (answer.status in (429, 503)) is ("Retry-After" in answer.headers)
    return answer.status, body["error"], body["detail"]


def test_signing_in_gives_both_tokens(world: World) -> None:
    """The answer is that of RFC 6749, section 5.1, and is not stored by anybody."""
    answer = world.obtain()
    assert (200, "no-store", "application/json") == (
        answer.status,
        answer.headers["Cache-Control"],
        answer.headers["Content-Type"],
    )
    body = read(answer)
    assert {"access_token", "token_type", "expires_in", "refresh_token", "scope"} == body.keys()
    assert ("Bearer", 299, "orders:read") == (body["token_type"], body["expires_in"], body["scope"])
    assert world.accepts(body["access_token"])
    sent = claims(body["refresh_token"])
    assert {"iss", "sub", "aud", "iat", "exp", "family", "counter"} == sent.keys()
    assert (ISSUER, "alice", ISSUER, 0) == (sent["iss"], sent["sub"], sent["aud"], sent["counter"])
    assert "refresh+jwt" == jws.parse_compact(body["refresh_token"]).header["typ"]


def test_a_form_signs_in_too(world: World) -> None:
    """The form of RFC 6749, section 4.3, is accepted with its grant type."""
    body = b"grant_type=password&username=alice&password=correct+horse&scope="
    answer = world.sign_in.obtain("application/x-www-form-urlencoded; charset=UTF-8", body, address=None)
    assert 200 == answer.status


@pytest.mark.parametrize(("name", "password"), [("alice", "wrong"), ("nobody", PASSWORD), ("nobody", "wrong")])
def test_an_unknown_user_and_a_wrong_password_are_alike(world: World, name: str, password: str) -> None:
    """The answers are equal, and no store is asked, so that neither tells which names exist."""
    world.store = None  # type: ignore[assignment]  # nothing may use it
    answer = world.obtain(name, password)
    assert (401, "invalid_grant", WRONG) == problem(answer)
    assert world.obtain("alice", "other wrong") == answer


def test_a_refresh_gives_the_next_tokens(world: World) -> None:
    """Both tokens are new; the store keeps a counter and no token."""
    first = read(world.obtain())
    world.clock.now += 60
    second = read(world.refresh(first["refresh_token"]))
    assert 1 == claims(second["refresh_token"])["counter"]
    assert world.accepts(second["access_token"])
    kept = family_of(world, second["refresh_token"])
    assert (1, NOW + 60, NOW + 30 * 86400) == (kept.counter, kept.rotated_at, kept.expires_at)
    raw = (world.folder / "store.db").read_bytes()
    assert not any(token.encode()[-40:] in raw for token in (*first.values(), *second.values()) if len(str(token)) > 99)


def test_grants_are_evaluated_at_each_refresh(world: World) -> None:
    """What was taken away since is gone, what was added is there, and roles go into the token as roles."""
    world.granted["alice"] = ["orders:read", "orders:write"]
    first = read(world.obtain())
    assert "orders:read orders:write" == first["scope"]
    world.granted["alice"] = Granted(["orders:read"], ["clerk"])
    second = read(world.refresh(first["refresh_token"]))
    assert ("orders:read", ["clerk"]) == (second["scope"], claims(second["access_token"])["roles"])
    world.granted["alice"] = Granted(roles=["clerk"])
    assert "scope" not in read(world.refresh(second["refresh_token"]))


def test_without_permissions_a_token_holds_none(tmp_path: Path) -> None:
    """It says who somebody is."""
    world = new_world(tmp_path, permissions=None)
    body = read(world.obtain())
    assert "scope" not in claims(body["access_token"]).keys() | body.keys()


def test_compact_permissions_are_named_in_the_answer(tmp_path: Path) -> None:
    """`scope` tells a client what it got, however the token writes it."""
    world = new_world(tmp_path)
    issuer = Issuer(ISSUER, KEY, policy=POLICY, audience="shop", client="web", clock=world.clock, compact=True)
    sign_in = SignIn(issuer, world.store, permissions=lambda _: [*POLICY.catalogue], clock=world.clock)
    tokens = sign_in.sessions.start("alice")
    assert "scope" not in claims(tokens.access_token)
    assert {*POLICY.catalogue} == {*tokens.scope.split()}


def test_the_successor_is_given_again_for_a_moment(world: World) -> None:
    """A second tab, or a client that lost the answer, gets the same number again, and nobody is signed out."""
    first = read(world.obtain())
    second = read(world.refresh(first["refresh_token"]))
    world.clock.now += 10
    again = read(world.refresh(first["refresh_token"]))
    assert 1 == claims(again["refresh_token"])["counter"]
    assert 1 == family_of(world, again["refresh_token"]).counter
    assert [200, 200] == [world.refresh(each["refresh_token"]).status for each in (second, again)]


@pytest.mark.parametrize("grace", [0, 3])
def test_a_reused_refresh_token_ends_its_family(tmp_path: Path, grace: int, caplog) -> None:
    """Its newest refresh token and all its access tokens are refused at once; other sessions go on."""
    caplog.set_level(logging.INFO)
    world = new_world(tmp_path, grace=grace)
    other, first = read(world.obtain()), read(world.obtain())
    second = read(world.refresh(first["refresh_token"]))
    narrowed = world.issuer.narrow(second["access_token"], ["orders:read"])
    assert world.accepts(narrowed)
    world.clock.now += grace + 0.25
    assert (401, "invalid_grant", BAD_TOKEN) == problem(world.refresh(first["refresh_token"]))
    assert (401, "invalid_grant", BAD_TOKEN) == problem(world.refresh(second["refresh_token"]))
    assert [False] * 3 == [world.accepts(t) for t in (first["access_token"], second["access_token"], narrowed)]
    assert world.accepts(other["access_token"])
    assert 200 == world.refresh(other["refresh_token"]).status
    assert "reuse" == family_of(world, second["refresh_token"]).reason
    assert ["refresh-reused", "refresh-refused", "refresh-refused"] == [name for name, _ in events(caplog)][3:6]


def test_a_much_older_refresh_token_is_reuse_at_once(world: World) -> None:
    """The grace is for the last but one token only."""
    first = read(world.obtain())
    third = read(world.refresh(read(world.refresh(first["refresh_token"]))["refresh_token"]))
    assert 401 == world.refresh(first["refresh_token"]).status
    assert 401 == world.refresh(third["refresh_token"]).status


@pytest.mark.parametrize(("back", "status"), [(1, 200), (60, 200), (3600, 401)])
def test_a_clock_that_was_set_back_does_not_lengthen_the_grace(world: World, back: int, status: int) -> None:
    """A used token is accepted for the grace, whatever the clock does; a difference between servers is no theft."""
    first = read(world.obtain())["refresh_token"]
    assert 200 == world.refresh(first).status
    world.clock.now -= back
    assert status == world.refresh(first).status


def test_a_session_ends_at_its_longest_lifetime(tmp_path: Path) -> None:
    """Refresh tokens slide, and none outlives its family; an idle session ends earlier."""
    world = new_world(tmp_path, refresh_lifetime=100, family_lifetime=250)
    idle, token = (read(world.obtain())["refresh_token"] for _ in range(2))
    for _ in range(3):
        world.clock.now += 80
        token = read(world.refresh(token))["refresh_token"]
    assert int(NOW + 250) == claims(token)["exp"]
    assert (401, "invalid_grant", BAD_TOKEN) == problem(world.refresh(idle))
    world.clock.now = NOW + 249.9
    assert 401 == world.refresh(token).status


def test_an_expired_family_is_refused_whatever_the_token_says(tmp_path: Path, caplog) -> None:
    """The store's row counts, too."""
    world = new_world(tmp_path)
    longer = SignIn(world.issuer, world.store, family_lifetime=60 * 86400, refresh_lifetime=8e5, clock=world.clock)
    made = longer.sessions.start("alice")
    family = world.store.family(made.family)
    assert family is not None
    world.clock.now += 6e5
    token = longer.sessions._refresh_tokens.make(family, 0, NOW + 9e6)
    world.clock.now = family.expires_at
    assert 401 == world.refresh(token).status
    assert "expired" == events(caplog)[-1][1]["cause"]


def test_a_subject_that_may_not_sign_in_any_more_is_signed_out(world: World, caplog) -> None:
    """`permissions` returns None: no sign-in, and the next refresh ends the session."""
    caplog.set_level(logging.INFO)
    first = read(world.obtain())
    world.granted["alice"] = None
    assert (401, "invalid_grant", WRONG) == problem(world.obtain())
    assert (401, "invalid_grant", BAD_TOKEN) == problem(world.refresh(first["refresh_token"]))
    assert not world.accepts(first["access_token"])
    world.granted["alice"] = []
    assert 401 == world.refresh(first["refresh_token"]).status
    assert "disabled" == family_of(world, first["refresh_token"]).reason
    world.granted["alice"] = None
    with pytest.raises(SignInRefused, match="disabled"):
        world.sessions.start("alice")


def test_signing_out_ends_one_session(world: World) -> None:
    """Its tokens are refused; signing out again gives the same answer, and other sessions go on."""
    other, first = read(world.obtain()), read(world.obtain())
    body = to_json(refresh_token=first["refresh_token"])
    answers = [world.sign_in.sign_out(JSON, body, address=None) for _ in range(2)]
    assert [(204, b"", "no-store")] * 2 == [(each.status, each.body, each.headers["Cache-Control"]) for each in answers]
    assert 401 == world.refresh(first["refresh_token"]).status
    assert [False, True] == [world.accepts(each["access_token"]) for each in (first, other)]
    assert 200 == world.refresh(other["refresh_token"]).status


def test_an_older_refresh_token_signs_out_too(world: World) -> None:
    """Whoever has any token of a session may end it, even after the token has expired."""
    first = read(world.obtain())
    second = read(world.refresh(first["refresh_token"]))
    world.clock.now += 8 * 86400
    assert world.sessions.end(first["refresh_token"])
    assert not world.sessions.end(second["refresh_token"])
    assert "sign_out" == family_of(world, second["refresh_token"]).reason


@pytest.mark.parametrize("token", ["", "a.b.c", "x" * 9000, "no token"])
def test_signing_out_with_any_text_tells_nothing(world: World, token: str) -> None:
    """A cookie may hold anything; the answer says that the session is over (RFC 7009, section 2.2)."""
    answer = world.sign_in.sign_out(None, b"", refresh_token=token, address=None)
    assert 204 == answer.status


def test_signing_out_of_a_purged_session(world: World) -> None:
    """The answer is that of any other sign-out."""
    token = read(world.obtain())["refresh_token"]
    world.store.purge(before="2020-01-01", now=NOW + 40 * 86400)
    with pytest.raises(SignInRefused, match="unknown"):
        world.sessions.end(token)
    assert 204 == world.sign_in.sign_out(None, b"", refresh_token=token, address=None).status
    assert 401 == world.refresh(token).status


def test_signing_out_everywhere_ends_all_sessions(world: World) -> None:
    """All families and all access tokens of the subject end; signing in again works in the same second."""
    sessions = [read(world.obtain()) for _ in range(3)]
    bob = read(world.obtain("bob"))
    direct = world.issuer.issue("alice", permissions=["orders:read"])
    world.clock.now += 5.5
    fresh = read(world.obtain())
    body = to_json(refresh_token=sessions[0]["refresh_token"])
    assert 204 == world.sign_in.sign_out_everywhere(JSON, body, address=None).status
    again = read(world.obtain())
    for each in (*sessions, fresh):
        assert 401 == world.refresh(each["refresh_token"]).status
        assert not world.accepts(each["access_token"])
    assert not world.accepts(direct)
    for each in (bob, again):
        assert world.accepts(each["access_token"])
        assert world.accepts(read(world.refresh(each["refresh_token"]))["access_token"])


def test_signing_out_everywhere_needs_a_refresh_token_that_would_be_accepted(world: World) -> None:
    """A thief of an old token ends its session, as at a refresh, and no other."""
    other, first = read(world.obtain()), read(world.obtain())
    read(world.refresh(first["refresh_token"]))
    world.clock.now += 11
    body = to_json(refresh_token=first["refresh_token"])
    assert (401, "invalid_grant", BAD_TOKEN) == problem(world.sign_in.sign_out_everywhere(JSON, body, address=None))
    assert 200 == world.refresh(other["refresh_token"]).status
    assert 1 == world.sessions.end_all("alice")


def test_a_refresh_token_from_a_cookie(world: World) -> None:
    """The host passes it; the body is empty, and must not hold another one."""
    token = read(world.obtain())["refresh_token"]
    tokens = world.sign_in.refresh_tokens(None, b"", refresh_token=token, address=None)
    assert not isinstance(tokens, tuple) or hasattr(tokens, "refresh_token")
    assert 200 == world.sign_in.refresh(JSON, b"{}", refresh_token=token, address=None).status
    answer = world.sign_in.refresh(JSON, to_json(refresh_token=token), refresh_token=token, address=None)
    assert (400, "invalid_request", "The refresh token is sent twice, in a cookie and in the body.") == problem(answer)


def test_tokens_of_a_revoked_family_are_refused_while_a_refresh_is_in_flight(tmp_path: Path) -> None:
    """A family that ends between the check and the rotation gives no tokens."""
    world = new_world(tmp_path)
    token = read(world.obtain())["refresh_token"]

    def sign_out(subject: str) -> list[str]:
        world.store.end_families(world.sessions._ending(subject, claims(token)["family"], "sign_out"))
        return ["orders:read"]

    world.sessions._permissions = sign_out
    assert (401, "invalid_grant", BAD_TOKEN) == problem(world.refresh(token))


def test_tokens_that_were_given_while_the_family_ended_are_revoked(tmp_path: Path) -> None:
    """In the grace no rotation tells of the end; the access token is refused, and so is the refresh token."""
    world = new_world(tmp_path)
    first = read(world.obtain())
    read(world.refresh(first["refresh_token"]))

    def sign_out(subject: str) -> list[str]:
        world.store.end_families(world.sessions._ending(subject, None, "sign_out_everywhere"))
        return ["orders:read"]

    world.sessions._permissions = sign_out
    again = read(world.refresh(first["refresh_token"]))
    assert not world.accepts(again["access_token"])
    assert 401 == world.refresh(again["refresh_token"]).status


def test_two_refreshes_at_once_are_told_from_theft(tmp_path: Path) -> None:
    """The second finds the counter moved between its check and its rotation, and gets the same successor."""
    world = new_world(tmp_path)
    token = read(world.obtain())["refresh_token"]
    winners: list[Any] = []

    def refresh_first(_: str) -> list[str]:
        world.sessions._permissions = None
        winners.append(read(world.refresh(token)))
        return ["orders:read"]

    world.sessions._permissions = refresh_first
    late = read(world.refresh(token))
    assert [1, 1] == [claims(each["refresh_token"])["counter"] for each in (late, *winners)]
    assert 1 == family_of(world, token).counter


def test_slow_grants_do_not_look_like_theft(tmp_path: Path) -> None:
    """The grace is measured when a request comes, also if its work takes longer than the grace."""
    world = new_world(tmp_path)
    token = read(world.obtain())["refresh_token"]

    def be_slow(_: str) -> list[str]:
        world.sessions._permissions = None
        assert 200 == world.refresh(token).status
        world.clock.now += 30
        return []

    world.sessions._permissions = be_slow
    assert 200 == world.refresh(token).status


def test_a_store_that_never_agrees_is_503(tmp_path: Path, monkeypatch) -> None:
    """It is not asked for ever."""
    world = new_world(tmp_path)
    token = read(world.obtain())["refresh_token"]
    monkeypatch.setattr(type(world.store), "rotate_family", lambda *_, **__: False)
    assert 503 == world.refresh(token).status


@pytest.mark.parametrize("error", [StoreError("down"), ConfigurationError("no tables")])
def test_a_store_that_is_down_signs_nobody_in_or_out(tmp_path: Path, monkeypatch, error: Exception) -> None:
    """Every answer is 503 with Retry-After, and afterwards everything goes on."""
    world = new_world(tmp_path)
    token = read(world.obtain())["refresh_token"]

    def fail(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as down:
        for method in ("add_family", "family", "rotate_family", "end_families"):
            down.setattr(type(world.store), method, fail)
        body = to_json(refresh_token=token)
        for answer in (
            world.obtain(),
            world.refresh(token),
            world.sign_in.sign_out(JSON, body, address=None),
            world.sign_in.sign_out_everywhere(JSON, body, address=None),
        ):
            expected = (503, "temporarily_unavailable", "It cannot be decided right now; try again.")
            assert expected == problem(answer)
    assert 200 == world.refresh(token).status


def test_a_failing_callable_leaves_the_session_as_it_was(tmp_path: Path) -> None:
    """The error reaches the host, without the token in its traceback, and the refresh token is still good."""
    world = new_world(tmp_path)
    token = read(world.obtain())["refresh_token"]
    world.granted["alice"] = None

    def fail(_: str) -> list[str]:
        raise OSError("the user's table is gone")

    world.sessions._permissions = fail
    with pytest.raises(OSError, match="table is gone"):
        world.refresh(token)
    world.sessions._permissions = lambda _: []
    world.clock.now += 60
    assert 200 == world.refresh(token).status


@pytest.mark.parametrize(
    ("granted", "detail"), [(["orders:nonesuch"], "not in the catalogue"), (Granted(roles=["boss"]), "no role")]
)
def test_grants_that_cannot_be_issued_are_a_fault_of_the_project(world: World, granted, detail: str, caplog) -> None:
    """500, with the remedy in the log at the level ERROR; the refresh token is still good."""
    first = read(world.obtain())["refresh_token"]
    world.granted["alice"] = granted
    assert (500, "server_error", "Sign-in is misconfigured here.") == problem(world.obtain())
    assert 500 == world.refresh(first).status
    assert detail in events(caplog)[-1][1]["detail"]
    assert logging.ERROR == caplog.records[-1].levelno
    world.granted["alice"] = []
    assert 200 == world.refresh(first).status


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (RevocationMatch("blocked"), 401),
        (RevocationMatch(None, (Denial("d", "orders:**", (), None),)), 401),
        (OSError("unknown"), 503),
    ],
    ids=["all", "what it holds", "unknown"],
)
def test_nothing_that_is_revoked_is_issued(tmp_path: Path, answer: Any, status: int) -> None:
    """An issuer that knows the revocations refuses at sign-in and at refresh."""
    world = new_world(tmp_path)
    token = read(world.obtain())["refresh_token"]

    def revoked(_: object) -> RevocationMatch:
        if isinstance(answer, OSError):
            raise answer
        return cast("RevocationMatch", answer)

    world.issuer._revoked = revoked
    assert [status, status] == [world.obtain().status, world.refresh(token).status]
    world.issuer._revoked = None
    assert 200 == world.refresh(token).status


def test_a_revoked_subject_is_refused_with_all_its_sessions(world: World) -> None:
    """`jwt-lp revoke subject` counts from when the session began, so a refresh does not escape it."""
    first = read(world.obtain())
    world.clock.now += 60
    before = world.sessions._ending("alice", None, "sign_out_everywhere").revocations(())
    world.store.revoke(before, at=world.clock.now)
    world.clock.now += 60
    assert not world.accepts(read(world.refresh(first["refresh_token"]))["access_token"])
    assert world.accepts(read(world.obtain())["access_token"])


def test_what_is_logged(world: World, caplog) -> None:
    """Each event has a stable name; a name that somebody typed is only a digest, and no token is there."""
    caplog.set_level(logging.INFO)
    first = read(world.obtain())
    second = read(world.refresh(first["refresh_token"]))
    world.obtain("hunter2", "wrong")
    world.sign_in.sign_out(JSON, to_json(refresh_token=second["refresh_token"]), address=None)
    world.sessions.end_all("alice")
    world.sign_in.sign_out(JSON, b"", address="192.0.2.7")
    logged = events(caplog)
    family = claims(first["refresh_token"])["family"]
    who = {"issuer": ISSUER, "subject": "alice", "family": family}
    assert [("signed-in", who), ("refreshed", who)] == logged[:2]
    name, refused = logged[2]
    assert ("sign-in-refused", 401, "credentials", "ref", "192.0.2.1", ISSUER) == (
        name,
        *(refused[member] for member in ("status", "cause", "reference", "address", "issuer")),
    )
    assert ("signed-out", {**who, "reason": "sign_out"}) == logged[3]
    assert ("signed-out-everywhere", {"issuer": ISSUER, "subject": "alice"}) == logged[4]
    assert ("sign-out-refused", "malformed") == (logged[5][0], logged[5][1]["cause"])
    for secret in ("hunter2", PASSWORD, first["access_token"], first["refresh_token"].rpartition(".")[2]):
        assert secret not in caplog.text


def test_nothing_shows_tokens(world: World) -> None:
    """Neither a repr nor the traceback of an error."""
    tokens = world.sessions.start("alice")
    for shown in (repr(tokens), repr(tokens.answer), repr(world.sessions._read(tokens.refresh_token))):
        assert "eyJ" not in shown


@pytest.mark.parametrize("subject", [7, object(), b"alice", "", True])
def test_authenticate_returns_text_or_none(tmp_path: Path, subject: object) -> None:
    """Anything else is an error of the project, and signs nobody in; the attempt does not count."""
    world = new_world(tmp_path, authenticate=lambda *_: subject)
    for _ in range(7):
        with pytest.raises(ConfigurationError, match="authenticate returned"):
            world.obtain()


def test_without_authenticate_nobody_signs_in_with_a_password(tmp_path: Path) -> None:
    """A project may begin sessions itself."""
    world = new_world(tmp_path, authenticate=None)
    with pytest.raises(ConfigurationError, match="authenticate="):
        world.obtain()
    assert 200 == world.refresh(world.sessions.start("alice").refresh_token).status


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"refresh_lifetime": 0}, "refresh_lifetime is 0"),
        ({"refresh_lifetime": float("nan")}, "refresh_lifetime is nan"),
        ({"refresh_lifetime": 200, "family_lifetime": 100}, "no longer than its family"),
        ({"family_lifetime": float("inf")}, "family_lifetime inf"),
        ({"access_lifetime": 0}, "access_lifetime is 0"),
        ({"access_lifetime": 3601}, "access_lifetime is 3601"),
        ({"grace": -1}, "grace is -1"),
        ({"grace": 61}, "grace is 61"),
        ({"audience": "nonesuch"}, "not an audience"),
    ],
)
def test_settings_that_cannot_work(tmp_path: Path, settings: Any, fault: str) -> None:
    """They are found at start."""
    with pytest.raises(ConfigurationError, match=fault):
        new_world(tmp_path, **settings)


def test_a_store_without_families_is_found_at_start() -> None:
    """The message says what to pass."""
    with pytest.raises(ConfigurationError, match="open_store"):
        SignIn(Issuer(ISSUER, KEY, audience="shop", client="web"), object())  # type: ignore[arg-type]  # the fault


def test_revocations_last_as_long_as_the_longest_access_token(tmp_path: Path) -> None:
    """Also if an access token of the audience lives longer than the default."""
    world = new_world(tmp_path)
    issuer = Issuer(ISSUER, KEY, audience="x", client="web", claims={"x": ClaimPolicy(max_lifetime=9000)})
    sessions = SignIn(issuer, world.store, access_lifetime=9000, clock=world.clock).sessions
    sessions.end(sessions.start("alice").refresh_token)
    (row,) = world.store.revocations()
    assert NOW + 9300 == row.entry.until


def test_keys_that_are_retired_before_refresh_tokens_end(tmp_path: Path, caplog) -> None:
    """A ring that keeps retired keys for an hour is reported at start, with the command; sessions survive a rotation."""
    folder = tmp_path / "keys"
    add_key(folder)
    world = new_world(tmp_path)
    ring = KeyRing(folder, reload_interval=0)
    issuer = Issuer(ISSUER, ring, audience="shop", client="web", clock=world.clock)
    sessions = SignIn(issuer, world.store, clock=world.clock).sessions
    assert "jwt-lp keys rotate --lifetime 604800s" in events(caplog)[-1][1]["detail"]
    caplog.clear()
    token = sessions.start("alice").refresh_token
    rotate_keys(folder, lifetime=604800, force=True)
    SignIn(issuer, world.store, clock=world.clock)
    assert [] == events(caplog)
    assert 1 == claims(sessions.renew(token).refresh_token)["counter"]


def test_an_issuers_own_key_kinds(tmp_path: Path) -> None:
    """A shared secret signs refresh tokens, too."""
    world = new_world(tmp_path)
    issuer = Issuer(ISSUER, SigningKey.generate("HS256"), audience="shop", client="web", clock=world.clock)
    sessions = SignIn(issuer, world.store, clock=world.clock).sessions
    assert "alice" == sessions.renew(sessions.start("alice").refresh_token).subject
