"""Parsing of the Authorization header, and challenges."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import naughty_strings
from examples import examples
from jwt_lp import ConfigurationError, all_of
from jwt_lp.guard.bearer import MALFORMED, NONE, TOKEN, challenge, parse_authorization
from jwt_lp.guard.decisions import Refusal
from jwt_lp.jose.jws import MAX_TOKEN

# RFC 9110, section 11.2: parameters of a challenge, each a quoted string with nothing to be escaped in it.
CHALLENGE = re.compile(
    r'Bearer(?: [a-z_]+="[\x20\x21\x23-\x5b\x5d-\x7e]*"(?:, [a-z_]+="[\x20\x21\x23-\x5b\x5d-\x7e]*")*)?'
)


@pytest.mark.parametrize(
    ("expected", "authorization"),
    [
        pytest.param((NONE, ""), None, id="no header"),
        pytest.param((NONE, ""), (), id="no line"),
        pytest.param((NONE, ""), "", id="empty"),
        pytest.param((NONE, ""), [""], id="one empty line"),
        pytest.param((NONE, ""), "Basic YTpi", id="Basic"),
        pytest.param((NONE, ""), "DPoP abc", id="DPoP"),
        pytest.param((NONE, ""), "Bearers abc", id="a longer scheme"),
        pytest.param((NONE, ""), "Bear abc", id="a shorter scheme"),
        pytest.param((NONE, ""), "abc", id="a bare token"),
        pytest.param((NONE, ""), "Ｂearer abc", id="a full-width letter"),
        pytest.param((TOKEN, "abc"), "Bearer abc", id="Bearer"),
        pytest.param((TOKEN, "abc"), "bearer abc", id="lower case"),
        pytest.param((TOKEN, "abc"), "BEARER abc", id="upper case"),
        pytest.param((TOKEN, "abc"), ["Bearer abc"], id="one line"),
        pytest.param((TOKEN, "abc"), ("bEaReR abc",), id="one line of a tuple"),
        pytest.param((TOKEN, "a=b"), "Bearer a=b", id="the token is not judged here"),
        pytest.param((MALFORMED, "more than once"), ["Bearer a", "Bearer a"], id="the same line twice"),
        pytest.param((MALFORMED, "more than once"), ["Bearer a", "Basic b"], id="another scheme on the second line"),
        pytest.param((MALFORMED, "more than once"), ["Basic b", ""], id="an empty second line"),
        pytest.param((MALFORMED, "a list"), "Bearer a,Bearer b", id="two lines joined"),
        pytest.param((MALFORMED, "a list"), "Bearer a, Bearer b", id="a comma list"),
        pytest.param((MALFORMED, "a list"), "Bearer a,", id="a trailing comma"),
        pytest.param((MALFORMED, "white space"), "Bearer  a", id="two blanks"),
        pytest.param((MALFORMED, "white space"), "Bearer a ", id="a trailing blank"),
        pytest.param((MALFORMED, "white space"), "Bearer a b", id="two tokens"),
        pytest.param((MALFORMED, "white space"), "Bearer \ta", id="a tab after the blank"),
        pytest.param((MALFORMED, "white space"), "Bearer a\r\nX: y", id="a line break"),
        pytest.param((MALFORMED, "white space"), "Bearer a\n", id="a line feed"),
        pytest.param((MALFORMED, "nothing"), "Bearer ", id="a blank and nothing"),
        pytest.param((MALFORMED, "nothing"), "Bearer", id="nothing"),
        pytest.param((MALFORMED, "no single space"), "Bearer\ta", id="a tab for the blank"),
        pytest.param((MALFORMED, "no single space"), "Bearer,a", id="a comma for the blank"),
        pytest.param((MALFORMED, "no single space"), "bearer\na", id="a line feed for the blank"),
    ],
)
def test_parsing_the_header(expected: tuple[str, str], authorization: str | Sequence[str] | None) -> None:
    """The result is the token, no bearer credential, or malformed with the reason; nothing is guessed."""
    kind, text = parse_authorization(authorization)
    expected_kind, expected_text = expected
    assert expected_kind == kind
    assert (expected_text in text) if kind is MALFORMED else (expected_text == text)


@pytest.mark.parametrize("end", ["", ",", " ", "\t", "\n", "é", "Bearer a"])
def test_a_token_that_is_too_long_is_cut(end: str) -> None:
    """A token of maximal length is returned whole; a longer one is cut after one more character, and not searched."""
    longest = "a" * MAX_TOKEN
    assert (TOKEN, longest) == parse_authorization(f"Bearer {longest}")
    assert (TOKEN, longest + "a") == parse_authorization(f"Bearer {longest}{'a' * 1_000_000}{end}")
    assert (TOKEN, " " * (MAX_TOKEN + 1)) == parse_authorization("Bearer " + " " * 1_000_000)


@examples(200)
@given(
    st.one_of(
        st.text(max_size=30),
        st.text(" \tBearer,a\n", max_size=12),
        st.text(max_size=9).map(lambda text: f"Bearer {text}"),
    )
)
def test_a_token_is_never_made_up(line: str) -> None:
    """A token is the text after the one space, without spaces, commas and line breaks; otherwise there is no token."""
    kind, text = parse_authorization(line)
    assert kind in {NONE, MALFORMED, TOKEN}
    if kind is TOKEN:
        assert f"bearer {text}" == line[:7].lower() + line[7:]
        assert text
        assert not set(text) & set(" \t\r\n,")
    assert (kind, text) == parse_authorization([line])


def test_naughty_credentials() -> None:
    """Naughty lines and tokens are read or refused with one line of ASCII, and nothing is raised."""
    for text in naughty_strings.load_strings():
        for line in (text, f"Bearer {text}", f"{text} Bearer a", f"Bearer{text}", [f"Bearer {text}", text]):
            kind, parsed = parse_authorization(line)
            assert kind is TOKEN or (parsed.isascii() and parsed.isprintable())
            assert kind is not TOKEN or isinstance(line, str)


@pytest.mark.parametrize(
    ("expected", "arguments"),
    [
        pytest.param("Bearer", (), id="bare"),
        pytest.param('Bearer error="invalid_token"', ("invalid_token",), id="error"),
        pytest.param(
            'Bearer error="insufficient_scope", error_description="No.", scope="a b"',
            ("insufficient_scope", "No.", "a b"),
            id="all three",
        ),
        pytest.param('Bearer scope="a"', (None, None, "a"), id="scope alone"),
        pytest.param(
            'Bearer resource_metadata="https://a.test/m"', (None, None, None, "https://a.test/m"), id="metadata alone"
        ),
        pytest.param(
            'Bearer error="insufficient_scope", resource_metadata="https://a.test/m", scope="a"',
            ("insufficient_scope", None, "a", "https://a.test/m"),
            id="metadata and scope",
        ),
    ],
)
def test_challenge(expected: str, arguments: tuple[Any, ...]) -> None:
    """A challenge without arguments is a bare `Bearer`; otherwise it has each argument, quoted."""
    assert expected == challenge(*arguments)


def test_naughty_scopes_break_no_challenge() -> None:
    """For any requirement that can be declared, the challenge is one line of well-formed parameters."""
    seen = 0
    for text in naughty_strings.load_strings():
        requirement = naughty_strings.result_or_error(partial(all_of, text, "orders:read"), ConfigurationError)
        if isinstance(requirement, ConfigurationError):
            continue
        seen += 1
        refusal = Refusal(403, "insufficient_scope", "1", scope=requirement.scope())
        assert CHALLENGE.fullmatch(refusal.headers["WWW-Authenticate"])
    assert seen > 50
