"""The setting `COOKIE`, the reader of the Cookie header, the cookies of responses, and the checks against forgery."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from http.cookies import SimpleCookie
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clock import Clock
from jwt_lp import (
    IDENTIFIED,
    PUBLIC,
    Call,
    ConfigurationError,
    Decision,
    Guard,
    HostCsrf,
    PolicyError,
    Settings,
    all_of,
)
from jwt_lp.guard.bearer import MALFORMED, NONE, TOKEN
from jwt_lp.guard.cookie_reader import MAX_COOKIES, CookieReader
from jwt_lp.guard.cookies import CSRF_HEADER, Cookies, csrf_token, refresh_check
from jwt_lp.jose.jws import MAX_TOKEN
from jwt_lp.testing.authority import Authority

READER = CookieReader("__Host-access")
LIST = all_of("orders:list")
ROUTE = "POST /orders"
HOST = {"host": "api.test"}


def read_setting(value: object, *, dev: bool = False) -> Cookies | None:
    environ = {"JWT_LP_DEV": "1"} if dev else {}
    mapping = {**Authority().settings(), "COOKIE": value}
    return Settings.from_mapping(mapping, environ=environ, today=date(2027, 1, 15)).cookies


@pytest.mark.parametrize("value", [None, False, "false", ""], ids=repr)
def test_no_cookie_is_read_unless_it_is_set(value: object) -> None:
    """The setting is off by default, and a guard without it says what to set."""
    assert read_setting(value) is None
    with Authority().guard() as guard, pytest.raises(ConfigurationError, match='"COOKIE": True'):
        _ = guard.cookies


@pytest.mark.parametrize("value", [True, "true", {}, {"name": "__Host-access"}], ids=repr)
def test_the_defaults_are_strict(value: object) -> None:
    """The names have prefixes, so that no other host sets them, and the cookies are secure."""
    assert Cookies() == read_setting(value)
    assert ("__Host-access", "__Host-csrf", "__Secure-refresh", "Lax", True) == (
        Cookies().name,
        Cookies().csrf_name,
        Cookies().refresh_name,
        Cookies().same_site,
        Cookies().secure,
    )


def test_all_keys() -> None:
    """Every key is read, also from variables of the environment."""
    origins = frozenset({"https://app.test", "https://app.test:8443", "https://[::1]:8000"})
    expected = Cookies(
        name="__Host-a", csrf_name="__Host-b", refresh_name="__Secure-c", same_site="Strict", origins=origins
    )
    names = {"NAME": "__Host-a", "CSRF_NAME": "__Host-b", "REFRESH_NAME": "__Secure-c", "SAMESITE": "strict"}
    assert expected == read_setting({**names, "ORIGINS": sorted(origins)})
    environ = {f"JWT_LP_COOKIE__{key}": value for key, value in {**names, "ORIGINS": ",".join(origins)}.items()}
    settings = Settings.from_env(
        {
            "JWT_LP_ISSUER": "https://login.example.com/",
            "JWT_LP_AUDIENCE": "api",
            "JWT_LP_ALGORITHMS": "RS256",
            "JWT_LP_JWKS_URL": "https://login.example.com/jwks",
            **environ,
        }
    )
    assert expected == settings.cookies


def test_the_authority_of_tests_keeps_the_setting() -> None:
    """An application that the fixture `lp` tests reads the same cookies as before."""
    cookies = Cookies(name="__Host-mine", same_site="Strict")
    settings = Settings.from_mapping({**Authority().settings(), "COOKIE": cookies})
    assert settings.cookies is cookies
    with Authority(like=settings).guard() as guard:
        assert guard.cookies is cookies


def test_development_without_https() -> None:
    """With INSECURE the names have no prefix, and the cookies are sent over http."""
    cookies = read_setting({"INSECURE": True, "ORIGINS": "http://localhost:3000"}, dev=True)
    assert cookies is not None
    assert ("access", "csrf", "refresh", False) == (
        cookies.name,
        cookies.csrf_name,
        cookies.refresh_name,
        cookies.secure,
    )


@pytest.mark.parametrize(
    ("value", "dev", "expected"),
    [
        ("yes please", False, "is a mapping of settings, not str"),
        ({"NAMES": "a"}, False, "unknown key 'NAMES'; did you mean 'NAME'?"),
        ({"INSECURE": True}, False, "it needs JWT_LP_DEV=1"),
        ({"INSECURE": "perhaps"}, True, "INSECURE is True or False"),
        ({"INSECURE": True, "NAME": "__Host-access"}, True, "NAME has a prefix that browsers accept only with https"),
        ({"INSECURE": True, "NAME": "__host-access"}, True, "NAME has a prefix that browsers accept only with https"),
        ({"INSECURE": True, "SAMESITE": "None"}, True, "works only with https"),
        ({"NAME": "access"}, False, "NAME begins with __Host-"),
        ({"NAME": "__Secure-access"}, False, "NAME begins with __Host-"),
        ({"CSRF_NAME": "csrf"}, False, "CSRF_NAME begins with __Host-"),
        ({"REFRESH_NAME": "refresh"}, False, "REFRESH_NAME begins with __Secure-"),
        ({"NAME": "__Host-a b"}, False, "NAME is the name of a cookie"),
        ({"NAME": "__Host-a;b"}, False, "NAME is the name of a cookie"),
        ({"NAME": "__Host-\u00e9"}, False, "NAME is the name of a cookie"),
        ({"NAME": "__Host-csrf"}, False, "three different names"),
        ({"NAME": 5}, False, "NAME is a string, not int"),
        ({"SAMESITE": "Loose"}, False, 'SAMESITE is "Lax", "Strict" or "None"'),
        *(
            ({"ORIGINS": [origin]}, False, "is no origin such as")
            for origin in (
                "*",
                "null",
                "app.test",
                "http://app.test",
                "https://app.test/",
                "https://App.test",
                "https://app.test:443",
                "https://*.app.test",
                "https://user@app.test",
                "https://app.test:port",
                "https://",
                "https://\u00e4pp.test",
            )
        ),
    ],
    ids=repr,
)
def test_wrong_settings(value: object, dev: bool, expected: str) -> None:
    """A wrong setting is found at start, and the message says what is right."""
    with pytest.raises(ConfigurationError) as caught:
        read_setting(value, dev=dev)
    assert [] == [fault for fault in caught.value.faults if expected not in fault]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], (NONE, "")),
        ([""], (NONE, "")),
        (["a=b"], (NONE, "")),
        (["x__Host-access=t"], (NONE, "")),
        (["a=x__Host-access=t"], (NONE, "")),
        (["a=b,__Host-access=t"], (NONE, "")),
        (["__Host-access =t"], (NONE, "")),
        (["__Host-access"], (NONE, "")),
        (["__Host-access="], (NONE, "")),
        (["__Host-access=  "], (NONE, "")),
        (['__Host-access=""'], (NONE, "")),
        (["\u2000__Host-access=t"], (NONE, "")),
        (["\x0b__Host-access=t"], (NONE, "")),
        (["$Version=1; __Host-access=t"], (TOKEN, "t")),
        (["__Host-access=t"], (TOKEN, "t")),
        (["a=b;__Host-access=t;c=d"], (TOKEN, "t")),
        (["a=b; \t __Host-access= t\t ; c=d"], (TOKEN, "t")),
        (["a=b", "__Host-access=t"], (TOKEN, "t")),
        (["__Host-access=a=b"], (TOKEN, "a=b")),
        (["__Host-access=" + "t" * MAX_TOKEN], (TOKEN, "t" * MAX_TOKEN)),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_the_reader_finds_the_cookie(lines: list[str], expected: tuple[str, str]) -> None:
    """Names are compared exactly; only spaces and tabs around a pair do not count."""
    assert expected == READER.read(lines)


@pytest.mark.parametrize(
    "lines",
    [
        ["__Host-access=t; __Host-access=t"],
        ["__Host-access=t; __Host-access="],
        ["__Host-access=t", "__Host-access=u"],
        ['__Host-access="t"'],
        ["__Host-access=t\x00"],
        ["__Host-access=t\x7f"],
        ["__Host-access=\u00e9"],
        ["__Host-access=a b"],
        ["__Host-access=a\\b"],
        ["__Host-access=a,b"],
        ["__Host-access=" + "t" * (MAX_TOKEN + 1)],
        ["__Host-access=t; a=" + "b" * MAX_COOKIES],
    ],
    ids=lambda value: repr(value)[:40],
)
def test_the_reader_refuses_what_is_unclear(lines: list[str]) -> None:
    """Two cookies of the name, and what no cookie's value has, are malformed."""
    assert MALFORMED == READER.read(lines)[0]


NAMES = st.sampled_from(["a", "access", "__Host-acces", "__host-access", "x__Host-access", "__Host-access2"])
VALUES = st.text("abcXYZ019._-~=", max_size=12)


@given(st.lists(st.tuples(NAMES, VALUES)), st.lists(st.tuples(NAMES, VALUES)), st.text("abc019._-", min_size=1))
def test_the_reader_agrees_with_any_other_cookies(
    before: list[tuple[str, str]], after: list[tuple[str, str]], value: str
) -> None:
    """Whatever other cookies are sent, the one cookie of the name is found, and without it none is."""
    pairs = [f"{name}={other}" for name, other in before]
    more = [f"{name}={other}" for name, other in after]
    assert (TOKEN, value) == READER.read(["; ".join([*pairs, f"__Host-access={value}", *more])])
    assert (NONE, "") == READER.read(["; ".join([*pairs, *more])])


def test_a_set_cookie_has_its_attributes() -> None:
    """The access cookie lives as long as the token; scripts can read the CSRF cookie alone."""
    clock = Clock(1_800_000_000.0)
    authority = Authority(clock=clock)
    token = authority.token(lifetime=300)
    access, csrf = Cookies().access(token, clock=clock)
    assert f"__Host-access={token}; Max-Age=300; Path=/; Secure; HttpOnly; SameSite=Lax" == access.header
    assert f"__Host-csrf={csrf_token(token)}; Max-Age=300; Path=/; Secure; SameSite=Lax" == csrf.header
    assert token not in repr(access)
    refresh, check = Cookies().refresh("r", max_age=60.9, path="/auth")
    assert "__Secure-refresh=r; Max-Age=60; Path=/auth; Secure; HttpOnly; SameSite=Strict" == refresh.header
    attributes = "Max-Age=60; Path=/; Secure; HttpOnly; SameSite=Strict"
    assert f"__Host-refresh-check={refresh_check('r')}; {attributes}" == check.header
    assert refresh_check("r") != csrf_token("r")
    assert "refresh-check" == Cookies(refresh_name="refresh", secure=False).check_name
    insecure = Cookies(name="access", secure=False).access(token, csrf=False, clock=clock)
    assert [f"access={token}; Max-Age=300; Path=/; HttpOnly; SameSite=Lax"] == [each.header for each in insecure]
    clock.now += 400
    assert 0 == Cookies().access(token, clock=clock)[0].max_age


def test_clearing_names_the_same_cookies() -> None:
    """A browser removes a cookie only if name and path are those that it was set with."""
    cleared = Cookies().clear(refresh_path="/auth")
    names = [("__Host-access", "/"), ("__Host-csrf", "/"), ("__Secure-refresh", "/auth"), ("__Host-refresh-check", "/")]
    assert names == [(each.name, each.path) for each in cleared]
    assert {("", 0)} == {(each.value, each.max_age) for each in cleared}
    assert ["__Host-access"] == [each.name for each in Cookies().clear(csrf=False)]
    for each in cleared:
        (morsel,) = SimpleCookie(each.header).values()
        assert ("0", each.path) == (morsel["max-age"], morsel["path"])


def test_a_token_that_no_browser_keeps_is_an_error() -> None:
    """A cookie above 4096 bytes would be dropped silently, so it raises."""
    token = Authority().token(permissions=[f"orders:{number}:read" for number in range(300)])
    with pytest.raises(PolicyError, match="browsers keep 4096 at most") as caught:
        Cookies().access(token)
    assert "size" == caught.value.reason
    assert token not in str(caught.value)


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def guard(authority: Authority) -> Guard:
    return Guard({**authority.settings(), "COOKIE": {"ORIGINS": ["https://app.test"]}})


def request(
    method: str, headers: Mapping[str, str | tuple[str, ...]], csrf: Callable[[bool], str | None] | None = None
) -> Call:
    lines = {name: (value,) if isinstance(value, str) else value for name, value in headers.items()}
    host = None if csrf is None else HostCsrf(csrf, "send it")
    return Call(method, str, lambda name: lines.get(name.lower(), ()), "app.view", "192.0.2.7", csrf=host)


def asked(guard: Guard, token: str, method: str = "POST", **headers: str | tuple[str, ...]) -> Decision:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    call = request(method, {"cookie": f"__Host-access={token}", **HOST, **sent})
    return guard.check(None, LIST, {}, ROUTE, call=call)


def status(decision: Decision) -> int:
    return 200 if decision.refusal is None else decision.refusal.status


SAME = {"sec_fetch_site": "same-origin"}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, 200),
        ({"sec_fetch_site": "same-origin"}, 200),
        ({"sec_fetch_site": "none"}, 200),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": ""}, 403),
        ({"sec_fetch_site": ("same-origin", "same-origin")}, 403),
        ({"origin": "https://api.test"}, 200),
        ({"origin": "https://api.test", "host": "API.test:443"}, 200),
        ({"origin": "https://api.test:8443", "host": "api.test:8443"}, 200),
        ({"origin": "https://api.test", "host": ("api.test", "api.test")}, 403),
        ({"origin": "https://api.test", "host": ()}, 403),
        ({"origin": "http://api.test"}, 403),
        ({"origin": "https://api.test:8443"}, 403),
        ({"origin": "https://api.test.attacker.test"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
        ({"origin": ("https://api.test", "https://api.test")}, 403),
        ({"origin": "https://app.test"}, 200),
        ({"origin": "https://app.test", "sec_fetch_site": "same-site"}, 200),
        ({"origin": "https://app.test", "sec_fetch_site": "cross-site"}, 200),
        ({"origin": "https://other.test", "sec_fetch_site": "same-site"}, 403),
        ({"origin": "null", "sec_fetch_site": "same-origin"}, 200),
    ],
    ids=repr,
)
def test_where_a_request_may_come_from(
    authority: Authority, guard: Guard, headers: dict[str, Any], expected: int
) -> None:
    """With a CSRF token, the request must come from this host or a listed origin, as far as the browser says."""
    token = authority.token(permissions=["orders:list"])
    assert expected == status(asked(guard, token, x_csrf_token=csrf_token(token), **headers))
    assert 403 == status(asked(guard, token, **headers))


@pytest.mark.parametrize("sent", [("",), ("x",), ("x", "x"), ("\u00e9",), ("a" * 100_000,)], ids=lambda v: repr(v)[:20])
def test_a_wrong_csrf_token(authority: Authority, guard: Guard, sent: tuple[str, ...]) -> None:
    """Only the CSRF token of this very access token counts."""
    token, other = authority.token(permissions=["orders:list"]), authority.token(permissions=["orders:list", "a"])
    assert 403 == status(asked(guard, token, x_csrf_token=sent, **SAME))
    assert 403 == status(asked(guard, token, x_csrf_token=csrf_token(other), **SAME))
    assert 403 == status(asked(guard, token, x_csrf_token=(csrf_token(token),) * 2, **SAME))
    assert 200 == status(asked(guard, token, x_csrf_token=csrf_token(token), **SAME))


def test_the_check_is_made_at_each_request(authority: Authority, guard: Guard) -> None:
    """No decision about the token, the requirement or the route makes a later forged request pass."""
    token = authority.token(permissions=["orders:list"])
    for _ in range(3):
        assert 200 == status(asked(guard, token, x_csrf_token=csrf_token(token)))
        assert 200 == status(asked(guard, token, "GET"))
        assert 403 == status(asked(guard, token))
        call = request("POST", {})
        assert 200 == status(guard.check(f"Bearer {token}", LIST, {}, ROUTE, call=call))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "CONNECT", "get", "PURGE", ""])
def test_every_other_method_is_unsafe(authority: Authority, guard: Guard, method: str) -> None:
    """Only GET, HEAD, OPTIONS and TRACE need no CSRF token."""
    token = authority.token(permissions=["orders:list"])
    assert 403 == status(asked(guard, token, method))
    assert {200} == {status(asked(guard, token, safe)) for safe in ("GET", "HEAD", "OPTIONS", "TRACE")}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, 403),
        ({"sec_fetch_site": "same-origin"}, 403),
        ({"sec_fetch_site": "cross-site", "origin": "https://api.test"}, 403),
        ({"origin": "https://attacker.test"}, 403),
        ({"origin": "https://api.test"}, 200),
        ({"origin": "https://app.test", "sec_fetch_site": "same-site"}, 200),
    ],
    ids=repr,
)
def test_websockets_need_an_origin(authority: Authority, guard: Guard, headers: dict[str, str], expected: int) -> None:
    """A page cannot add a header to a handshake, so the origin decides, and it has to be there."""
    token = authority.token(permissions=["orders:list"])
    assert expected == status(asked(guard, token, "WEBSOCKET", **headers))
    decision = asked(guard, token, "GET", upgrade="WebSocket", **headers)
    assert expected == status(decision)
    if decision.refusal is not None:
        assert "open the websocket from a page of this origin" in decision.refusal.description


def test_a_refusal_says_what_to_send_and_logs_why(
    authority: Authority, guard: Guard, caplog: pytest.LogCaptureFixture
) -> None:
    """The body names cookie and header; the log has the cause, and neither has the token."""
    token = authority.token(permissions=["orders:list"])
    with caplog.at_level(logging.WARNING, "jwt_lp"):
        refusal = asked(guard, token, origin="https://attacker.test\r\n").refusal
    assert refusal is not None
    assert (403, "csrf", None, "Bearer") == (
        refusal.status,
        refusal.error,
        refusal.requirement,
        refusal.headers["WWW-Authenticate"],
    )
    assert f"send the value of the cookie __Host-csrf in the header {CSRF_HEADER}" in refusal.description
    assert refusal.description == refusal.problem["detail"]
    (record,) = caplog.records
    assert '"cause": "csrf"' in record.getMessage()
    assert "attacker.test" in record.getMessage()
    assert token not in caplog.text
    assert csrf_token(token) not in caplog.text


def test_header_and_cookie(authority: Authority, guard: Guard) -> None:
    """Two tokens are one too many, even if they are the same; another scheme is no token."""
    token = authority.token(permissions=["orders:list"])
    call = request("GET", {"cookie": f"__Host-access={token}"})
    answers = {
        header: status(guard.check(header, LIST, {}, ROUTE, call=call))
        for header in (f"Bearer {token}", "Bearer", "Basic x", None)
    }
    assert {f"Bearer {token}": 400, "Bearer": 400, "Basic x": 200, None: 200} == answers
    # A header alone is decided as without the setting, and a job has no cookies.
    assert 200 == status(guard.check(f"Bearer {token}", LIST, {}, ROUTE))
    assert 401 == status(guard.check(None, LIST, {}, ROUTE))


def test_a_cookie_that_is_no_token(guard: Guard) -> None:
    """A malformed cookie gets 400, and one whose token is not valid 401."""
    assert (400, 401) == (status(asked(guard, '"junk"')), status(asked(guard, "junk")))


def test_open_routes(authority: Authority, guard: Guard) -> None:
    """A public route reads no cookie; one that identifies ignores a forged request's token."""
    token = authority.token()
    forged, sent = (
        request("POST", {"cookie": f"__Host-access={token}", **extra})
        for extra in ({}, {"x-csrf-token": csrf_token(token)})
    )
    assert [None, None, "alice"] == [
        decision.token and decision.token.subject
        for decision in (
            guard.check(None, PUBLIC, {}, ROUTE, call=forged),
            guard.check(None, IDENTIFIED, {}, ROUTE, call=forged),
            guard.check(None, IDENTIFIED, {}, ROUTE, call=sent),
        )
    ]
    assert 403 == status(guard.authenticate(None, call=forged))


def test_the_check_of_a_host(authority: Authority, guard: Guard) -> None:
    """A host's own check replaces ours for unsafe methods; where it would block, the decision is pending."""
    token = authority.token(permissions=["orders:list"])
    asked_with: list[bool] = []

    def check(wait: bool) -> str | None:
        asked_with.append(wait)
        return "no token" if wait else None

    call = request("POST", {"cookie": f"__Host-access={token}"}, check)
    assert guard.check(None, LIST, {}, ROUTE, call=call, wait=False).pending
    refusal = guard.check(None, LIST, {}, ROUTE, call=call).refusal
    assert refusal is not None
    assert ([False, True], "A cookie carried the access token: send it.") == (asked_with, refusal.description)
    assert 200 == status(guard.check(None, LIST, {}, ROUTE, call=call._replace(method="GET")))
    assert 200 == status(guard.check(None, LIST, {}, ROUTE, call=call._replace(csrf=HostCsrf(lambda _: "", ""))))


def test_observe_mode_lets_a_forged_request_pass_as_nobody(authority: Authority) -> None:
    """While observing, a forged request passes without the token's subject."""
    settings = {**authority.settings(), "COOKIE": True, "OBSERVE_UNTIL": datetime.now(UTC).date() + timedelta(days=7)}
    with Guard(settings) as guard:
        decision = asked(guard, authority.token(permissions=["orders:list"]))
    assert (True, None, 403) == (
        decision.passes,
        decision.token,
        decision.observed.status if decision.observed else None,
    )


def test_the_process_is_checked_after_a_fork(authority: Authority, guard: Guard) -> None:
    """A forked child starts its own worker; the parent, where the same hook ran, goes on."""
    token = authority.token(permissions=["orders:list"])
    guard._worker.schedule(lambda: 60.0, name="job")
    assert 200 == status(asked(guard, token, "GET"))
    child = os.fork()
    if child == 0:
        os._exit(0 if status(asked(guard, token, "GET")) == 200 and guard._worker.running else 1)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    guard._authenticator._check_after_fork()
    assert (200, True) == (status(asked(guard, token, "GET")), guard._worker.running)


@pytest.mark.parametrize("setting", [{"COOKIE": True}, {"DPOP": True}, {"COOKIE": True, "DPOP": True}])
def test_the_short_way_is_never_open(setting: dict[str, Any]) -> None:
    """No thread finds the short way for known headers open for a moment, while another one checks the process."""
    written: list[object] = []
    with Authority().guard(**setting) as guard:
        authenticator: Any = guard._authenticator

        class Watched(type(authenticator)):  # type: ignore[misc]  # the class is known only now
            def __setattr__(self, name: str, value: object) -> None:
                written.extend([value] if name == "settled_until" else [])
                super().__setattr__(name, value)

        authenticator.__class__ = Watched
        authenticator._check_process(1.0)
        authenticator._check_after_fork()
        assert {-math.inf} == {authenticator.settled_until, *written}
