"""Bodies of requests: what is read, and what is refused before anything is done."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_lp import SignInRefused
from jwt_lp.signin.requests import MAX_BODY, read_credentials, read_refresh_token

if TYPE_CHECKING:
    from collections.abc import Callable

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
GOOD = b'{"username": "alice", "password": "x"}'


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (JSON, GOOD),
        ("Application/JSON; charset=utf-8", GOOD),
        ('application/json;charset="UTF-8" ; ', GOOD),
        (JSON, b'{"grant_type": "password", "username": "alice", "password": "x"}'),
        (FORM, b"username=alice&password=x"),
        (f"{FORM};charset=utf-8", b"password=x&grant_type=password&username=%61lice&scope=&client_id="),
    ],
)
def test_credentials_are_read(content_type: str, body: bytes) -> None:
    """As JSON and as a form, with the grant type or without."""
    assert ("alice", "x") == read_credentials(content_type, body)
    assert "alice" not in repr(read_credentials(content_type, body))


def test_text_is_unicode() -> None:
    """Both forms are UTF-8; the password is not changed at all."""
    expected = ("Zoë", " päss wörd\t")
    assert expected == read_credentials(JSON, '{"username": "Zoë", "password": " päss wörd\\t"}'.encode())
    assert expected == read_credentials(FORM, b"username=Zo%C3%AB&password=+p%C3%A4ss+w%C3%B6rd%09")


BAD = [
    pytest.param(None, GOOD, 415, id="no media type"),
    pytest.param("", GOOD, 415, id="empty media type"),
    pytest.param("text/plain", GOOD, 415, id="text"),
    pytest.param("multipart/form-data; boundary=x", b"--x--", 415, id="multipart"),
    pytest.param("application/json; charset=utf-16", GOOD, 415, id="another charset"),
    pytest.param("application/json; charset=utf-8; a=b", GOOD, 415, id="another parameter"),
    pytest.param("x" * 1_000_000, GOOD, 415, id="a long media type"),
    pytest.param(JSON, b" " * (MAX_BODY + 1), 413, id="8 KB"),
    pytest.param(FORM, b"a" * 1_000_000, 413, id="1 MB"),
    pytest.param(JSON, b"", 400, id="nothing"),
    pytest.param(JSON, b"null", 400, id="null"),
    pytest.param(JSON, b"[]", 400, id="list"),
    pytest.param(JSON, b'"x"', 400, id="text in JSON"),
    pytest.param(JSON, b"{}", 400, id="empty object"),
    pytest.param(JSON, GOOD[:-1], 400, id="cut"),
    pytest.param(JSON, GOOD + b"x", 400, id="more behind"),
    pytest.param(JSON, "{}".encode("utf-16"), 400, id="UTF-16"),
    pytest.param(JSON, b"\xef\xbb\xbf" + GOOD, 400, id="BOM"),
    pytest.param(JSON, b'{"username": "\xff", "password": "x"}', 400, id="not UTF-8"),
    pytest.param(JSON, b'{"username": "\\ud800", "password": "x"}', 400, id="lone surrogate"),
    pytest.param(JSON, b'{"username": "a", "username": "b", "password": "x"}', 400, id="doubled field"),
    pytest.param(JSON, b'{"username": "a", "password": "x", "admin": "1"}', 400, id="unknown field"),
    pytest.param(JSON, b'{"username": "a", "password": "x", "Password": "x"}', 400, id="another case"),
    pytest.param(JSON, b'{"username": ["a"], "password": "x"}', 400, id="a list"),
    pytest.param(JSON, b'{"username": "a", "password": 1234}', 400, id="a number"),
    pytest.param(JSON, b'{"username": "a", "password": null}', 400, id="null for a field"),
    pytest.param(JSON, b'{"username": "a", "password": {"$ne": ""}}', 400, id="an object"),
    pytest.param(JSON, b'{"username": "a"}', 400, id="no password"),
    pytest.param(JSON, b'{"password": "x"}', 400, id="no username"),
    pytest.param(JSON, b'{"username": "", "password": "x"}', 400, id="empty username"),
    pytest.param(JSON, b'{"username": "a", "password": ""}', 400, id="empty password"),
    pytest.param(JSON, b'{"username": "a\\u0000", "password": "x"}', 400, id="NUL in the username"),
    pytest.param(JSON, b'{"username": "a\\n", "password": "x"}', 400, id="line break in the username"),
    pytest.param(JSON, b'{"username": "a", "password": "x\\u0000y"}', 400, id="NUL in the password"),
    pytest.param(JSON, b'{"username": "' + b"a" * 257 + b'", "password": "x"}', 400, id="long username"),
    pytest.param(JSON, b'{"grant_type": "refresh_token", "username": "a", "password": "x"}', 400, id="grant type"),
    pytest.param(JSON, b'{"refresh_token": "x"}', 400, id="another request"),
    pytest.param(JSON, b"[" * 8000, 400, id="deep"),
    pytest.param(FORM, b"", 400, id="empty form"),
    pytest.param(FORM, b"username=a&username=a&password=x", 400, id="doubled in a form"),
    pytest.param(FORM, b"username=a&password=x&password=", 400, id="doubled and empty"),
    pytest.param(FORM, b"username=a&password=x&admin=1", 400, id="unknown in a form"),
    pytest.param(FORM, b"username=a&password=x&scope=all", 400, id="a scope"),
    pytest.param(FORM, b"username=a&password", 400, id="no value"),
    pytest.param(FORM, b"username=%ff&password=x", 400, id="not UTF-8 in a form"),
    pytest.param(FORM, "username=é&password=x".encode(), 400, id="not ASCII"),
    pytest.param(FORM, b"&".join(b"a%d=1" % n for n in range(99)), 400, id="many fields"),
    pytest.param(FORM, b'{"username": "a", "password": "x"}', 400, id="JSON as a form"),
]


@pytest.mark.parametrize(("content_type", "body", "status"), BAD)
def test_other_bodies_are_refused(content_type: str | None, body: bytes, status: int) -> None:
    """The status tells what is wrong, and the description repeats nothing that was sent."""
    readers: list[Callable[[str | None, bytes], object]] = [
        read_credentials,
        lambda kind, sent: read_refresh_token(kind, sent, None),
    ]
    for read in readers:
        if read is not read_credentials and b"refresh_token" in body:
            continue
        with pytest.raises(SignInRefused) as caught:
            read(content_type, body)
        assert (status, "invalid_request") == (caught.value.status, caught.value.error)
        assert "admin" not in caught.value.description


def test_a_large_body_costs_nothing() -> None:
    """A megabyte is refused by its length."""
    body = b'{"username": "' + b"a" * 1_000_000
    start = time.perf_counter()
    for _ in range(1000):
        with pytest.raises(SignInRefused):
            read_credentials(JSON, body)
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize("body", [b"", b"{}"])
def test_a_refresh_token_of_a_cookie(body: bytes) -> None:
    """The host passes it, and the body is empty in any form."""
    assert "cookie" == read_refresh_token(JSON, body, "cookie")
    assert "cookie" == read_refresh_token(FORM, b"grant_type=refresh_token", "cookie")
    assert "cookie" == read_refresh_token(None, b"", "cookie")


def test_a_refresh_token_of_a_body() -> None:
    """As JSON and as a form."""
    assert "t" == read_refresh_token(JSON, b'{"refresh_token": "t"}', None)
    assert "t" == read_refresh_token(FORM, b"grant_type=refresh_token&refresh_token=t", None)


@given(content_type=st.sampled_from([JSON, FORM]), body=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content_type: str, body: bytes) -> None:
    """No other error escapes."""
    readers: list[Callable[[], object]] = [
        lambda: read_credentials(content_type, body),
        lambda: read_refresh_token(content_type, body, None),
        lambda: read_refresh_token(content_type, body, "cookie"),
    ]
    for read in readers:
        with suppress(SignInRefused):
            read()
