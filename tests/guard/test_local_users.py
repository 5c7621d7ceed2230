"""Local users: found by the project's function, kept for a while, and refused if they are not active."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from clock import Clock
from jwt_lp import AUTHENTICATED, IDENTIFIED, AccessToken, ConfigurationError, Settings
from jwt_lp.guard.local_users import MAX_KEPT, LocalUsers
from jwt_lp.testing.authority import Authority

AUTHORITY = Authority()


@dataclass
class Member:
    name: str
    is_active: bool = True


@dataclass
class Mapped:
    _sa_instance_state: object = None


def member(token: AccessToken) -> Member:
    return Member(token.subject)


async def async_member(token: AccessToken) -> Member:
    return Member(token.subject)


def token_of(subject: str = "alice") -> AccessToken:
    with AUTHORITY.guard() as guard:
        token = guard.authenticate(AUTHORITY.headers(subject)["Authorization"]).token
    assert token is not None
    return token


def test_a_user_is_kept_for_its_time() -> None:
    """The function is asked again when the time is over; each caller gets a user of its own."""
    clock = Clock(0.0)
    users = LocalUsers(member, 10, monotonic=clock)
    token = token_of()
    assert users.recall(token) is None
    first = users.get(token)
    first.name = "changed"
    second = users.get(token)
    second.name = "changed too"
    assert "alice" == users.recall(token).name
    clock.now = 10.0
    assert users.recall(token) is None
    assert "alice" == users.get(token).name


@pytest.mark.parametrize(("source", "ttl"), [(member, 0), (lambda _: None, 10), (lambda _: Mapped(), 10)])
def test_what_is_not_kept(source: Any, ttl: float) -> None:
    """Without a time, for nobody, and for an object that belongs to a session of SQLAlchemy, nothing is kept."""
    users, token = LocalUsers(source, ttl), token_of()
    users.get(token)
    assert users.recall(token) is None


def test_the_memory_is_bounded() -> None:
    """No more than a fixed number of users is kept."""
    users = LocalUsers(member, 300)
    token = token_of()
    for number in range(MAX_KEPT + 1):
        users.keep(_named(token, f"u{number}"), Member("x"))
    assert 1 == len(users._kept)


def _named(token: AccessToken, subject: str) -> AccessToken:
    copied = AccessToken(token.issuer, "", subject, None, token.permissions, {}, 0, 1, None, (), "")
    assert subject == copied.subject
    return copied


@pytest.mark.parametrize("path", [f"{__name__}.member", f"{__name__}:member"])
def test_a_dotted_path_is_imported_at_first_use(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The function may be a dotted path, with a dot or a colon before its name."""
    import sys

    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _this_module())
    users = LocalUsers(path, 0)
    assert () == users.faults()
    assert "alice" == users.get(token_of()).name


def _this_module() -> Any:
    from types import SimpleNamespace

    return SimpleNamespace(member=member)


@pytest.mark.parametrize("path", ["nowhere.member", "math.nothing", "math.pi"])
def test_a_path_without_a_function_is_a_fault(path: str) -> None:
    """A path that cannot be imported, or names no function, is a fault that names it."""
    users = LocalUsers(path, 0)
    (fault,) = users.faults()
    assert fault.startswith(f"LOCAL_USER: {path}")
    with pytest.raises(ConfigurationError):
        users.get(token_of())
    with AUTHORITY.guard(LOCAL_USER=path) as guard:
        assert (fault,) == guard.check_routes([])


def test_a_coroutine_function_is_for_asynchronous_hosts() -> None:
    """`get` refuses a coroutine function, which its caller could not await."""
    users = LocalUsers(async_member, 0)
    assert users.is_async
    with pytest.raises(ConfigurationError, match="coroutine function"):
        users.get(token_of())


@pytest.mark.parametrize(
    ("user", "cause"), [(None, "unknown_user"), (Member("x", is_active=False), "inactive_user"), (object(), "")]
)
def test_who_is_admitted(user: object, cause: str, caplog: pytest.LogCaptureFixture) -> None:
    """A user that is there and not inactive; otherwise 401 invalid_token, observed in observe mode."""
    token = token_of()
    for observing in (False, True):
        caplog.clear()
        more: dict[str, Any] = {"OBSERVE_UNTIL": datetime.now(UTC).date()} if observing else {}
        with AUTHORITY.guard(LOCAL_USER=member, **more) as guard:
            decision = guard.admit_user(token, user, AUTHENTICATED, "GET /x")
        assert decision.passes is (observing or not cause)
        assert (cause in caplog.text) is True
        refusal = decision.observed if observing else decision.refusal
        if cause:
            assert refusal is not None
            assert (401, "invalid_token") == (refusal.status, refusal.error)
        else:
            assert (refusal, decision.token) == (None, token)
    with AUTHORITY.guard(LOCAL_USER=member) as guard:
        # A public route refuses nobody.
        decision = guard.admit_user(token, user, IDENTIFIED, "GET /x")
        assert (True, cause == "") == (decision.passes, decision.token is token)
    with AUTHORITY.guard() as guard:
        assert guard.local_users is None
        assert guard.admit_user(token, None, AUTHENTICATED, "GET /x").passes


@pytest.mark.parametrize("value", ["user_for", "shop.", 7, ["a.b"], "a b.c"])
def test_a_wrong_setting(value: object) -> None:
    """LOCAL_USER is a function or a dotted path."""
    with pytest.raises(ConfigurationError, match="LOCAL_USER is a function of the token, or its dotted path"):
        Settings.from_mapping({**AUTHORITY.settings(), "LOCAL_USER": value})


def test_a_time_that_is_too_long() -> None:
    """LOCAL_USER_TTL is at most five minutes, because a change of the user is not seen before."""
    with pytest.raises(ConfigurationError, match="LOCAL_USER_TTL is a number of seconds from 0 to 300"):
        Settings.from_mapping({**AUTHORITY.settings(), "LOCAL_USER": member, "LOCAL_USER_TTL": 301})
