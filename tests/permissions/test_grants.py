"""Grants, patterns, ceilings and denials, and values as segments."""

from __future__ import annotations

import string
from enum import Enum, StrEnum
from functools import partial
from itertools import product
from typing import Any
from urllib.parse import unquote
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

import naughty_strings
from examples import examples
from jwt_lp import GrammarError, Grant, Permission, Permissions, TemplateError
from jwt_lp.permissions.grants import (
    MAX_LENGTH,
    MAX_SEGMENTS,
    Denial,
    check_grant,
    common,
    is_pattern,
    is_scope_token,
    is_segment,
    within_limits,
)

# RFC 6749, appendix A.4, written out once more.
SCOPE = frozenset(chr(code) for code in (0x21, *range(0x23, 0x5C), *range(0x5D, 0x7F)))
SEGMENT = SCOPE - set(":*{}")
UNRESERVED = frozenset(string.ascii_letters + string.digits + "._~@-")

FEW = examples(60)
MANY = examples(200)

# Few letters, so that grants and permissions meet.
segments = st.sampled_from(["a", "b", "A", "a-b"])
permissions = st.lists(segments, min_size=1, max_size=4).map(":".join)
patterns = st.builds(
    lambda head, last: ":".join([*head, *last]),
    st.lists(st.one_of(segments, st.just("*")), min_size=1, max_size=4),
    st.sampled_from([[], ["**"]]),
)
# Near misses too: empty segments, misplaced and repeated wildcards, characters of no segment.
texts = st.lists(st.sampled_from(["a", "b", "*", "**", "", "{a}", "é", " "]), max_size=5).map(":".join)
anything = st.one_of(texts, permissions, patterns)
grants = st.builds(
    lambda text, role, wild, source: Grant(text, source, role, wild),
    anything,
    st.sampled_from([None, "clerk", "boss"]),
    st.booleans(),
    st.sampled_from(["scope", "permissions"]),
)


class Word(StrEnum):
    ALL = "all"


class Number(int, Enum):
    ONE = 1


class Text(str):
    __slots__ = ()


def parses(text: str) -> bool:
    parts = text.split(":")
    return len(text) <= 256 and len(parts) <= 16 and all(part and set(part) <= SEGMENT for part in parts)


def matches(pattern: list[str], permission: list[str]) -> bool:
    """A slow and plain reference matcher, one segment at a time."""
    if not pattern or not permission:
        return pattern == permission
    if pattern == ["**"]:
        return True
    return pattern[0] in ("*", permission[0]) and matches(pattern[1:], permission[1:])


def well_formed(text: str) -> bool:
    *head, last = text.split(":")
    plain = ":".join("a" if part == "*" else part for part in head)
    return (
        "*" in text
        and len(text) <= 256
        and (not head or parses(plain))
        and (last in ("*", "**") or parses(last))
        and text.count(":") < 16
    )


def covers(grant: Grant, permission: str) -> bool:
    if grant.pattern and well_formed(grant.text):
        return parses(permission) and matches(grant.text.split(":"), permission.split(":"))
    return grant.text == permission


def credit(grant: Grant) -> tuple[int, bool, str, str, str, bool]:
    wild = grant.pattern and well_formed(grant.text)
    kind = 0 if not wild else 2 if grant.text.endswith("**") else 1
    return kind, grant.role is not None, grant.text, grant.source, grant.role or "", grant.pattern


@pytest.mark.parametrize("code", range(0x100), ids=hex)
def test_the_alphabet_is_that_of_the_rfc(code: int) -> None:
    """A character is a scope token by RFC 6749, and also a segment unless it is `:`, `*`, `{` or `}`."""
    char = chr(code)
    assert (char in SCOPE, char in SEGMENT) == (is_scope_token(char), is_segment(char))


@pytest.mark.parametrize("char", ["\u0130", "\uff41", "\u0661", "\u200b", "\ud800", "\U0001f600", "\u2028", "\xad"])
def test_a_segment_is_ascii(char: str) -> None:
    """Look-alikes, digits of other scripts, invisible characters and lone surrogates are refused in segments."""
    assert (False, False) == (is_scope_token(char), is_segment(f"a{char}"))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("orders", id="one segment"),
        pytest.param("orders:42:read", id="three segments"),
        pytest.param("!#$%&'()+,-./;<=>?@[]^_`|~", id="every mark"),
        pytest.param(":".join("a" * 16), id="16 segments"),
        pytest.param("a" * 256, id="256 characters"),
        pytest.param("..:..", id="dots are no path"),
    ],
)
def test_a_permission_reads_back_as_written(text: str) -> None:
    """A parsed permission prints as it was written and equals itself."""
    assert (text, Permission.parse(text)) == (str(Permission.parse(text)), Permission(tuple(text.split(":"))))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("", "a segment is empty", id="empty"),
        pytest.param("a::b", "a segment is empty", id="empty segment"),
        pytest.param("a:", "a segment is empty", id="trailing colon"),
        pytest.param(":a", "a segment is empty", id="leading colon"),
        pytest.param("a:*", "'*' is not allowed", id="wildcard"),
        pytest.param("a:{id}", "'{' is not allowed", id="template"),
        pytest.param("a:b c", "' ' is not allowed", id="blank"),
        pytest.param('a:"', "is not allowed", id="quote"),
        pytest.param("a:\\", "is not allowed", id="backslash"),
        pytest.param("a\n", "'\\n' is not allowed", id="line feed"),
        pytest.param("é", "'\\xe9' is not allowed", id="not ASCII"),
        pytest.param(":".join("a" * 17), "at most 16 segments", id="17 segments"),
        pytest.param("a" * 257, "256 characters", id="257 characters"),
    ],
)
def test_a_malformed_permission_is_refused(text: str, reason: str) -> None:
    """`GrammarError`, a ValueError, says what is wrong, in ASCII on one line."""
    with pytest.raises(GrammarError) as caught:
        Permission.parse(text)
    assert isinstance(caught.value, ValueError)
    assert reason in str(caught.value)
    assert set(str(caught.value)) <= {" ", '"', "\\", *SCOPE}


@MANY
@given(st.one_of(st.text(max_size=20), anything))
def test_parsing_agrees_with_the_grammar(text: str) -> None:
    """`parse` accepts exactly what a second implementation of the grammar accepts."""
    try:
        accepted = str(Permission.parse(text)) == text
    except GrammarError:
        accepted = False
    assert parses(text) is accepted


@pytest.mark.parametrize(
    ("expected", "grant", "permission"),
    [
        (True, "orders:*", "orders:read"),
        (False, "orders:*", "orders:42:read"),
        (False, "orders:*", "orders"),
        (False, "orders:*", "orders:"),
        (True, "orders:**", "orders:read"),
        (True, "orders:**", "orders:42:read"),
        (False, "orders:**", "orders"),
        (True, "*", "orders"),
        (False, "*", "orders:read"),
        (True, "**", "orders"),
        (True, "**", ":".join("a" * 16)),
        (False, "**", ":".join("a" * 17)),
        (False, "**", "a" * 257),
        (False, "**", ""),
        (False, "**", "a::b"),
        (False, "**", "a:*"),
        (False, "**", "é"),
        (True, "*:read", "orders:read"),
        (False, "*:read", "orders:write"),
        (True, "*:*:read", "orders:42:read"),
        (True, "a:*:**", "a:b:c"),
        (False, "a:*:**", "a:b"),
        (False, "a:**:b", "a:x:b"),
        (True, "a:**:b", "a:**:b"),
        (False, "ord*", "orders"),
        (False, "***", "orders"),
        (False, "orders:rea?", "orders:read"),
        (False, "Orders:read", "orders:read"),
        (False, "orders:read", "orders:READ"),
        (True, "a::b", "a::b"),
        (False, "a:*", "a:*"),
        (False, "", "a"),
        (False, "a:*\n", "a:b"),
    ],
)
def test_the_permissions_that_one_grant_covers(expected: bool, grant: str, permission: str) -> None:
    """`*` is exactly one segment, `**` is one or more at the end; no other character is a wildcard."""
    assert expected is (permission in Permissions.of([grant], patterns=True))


@pytest.mark.parametrize("grant", ["*", "**", "orders:*", "orders:**", "*:read"])
def test_without_patterns_a_wildcard_is_an_ordinary_character(grant: str) -> None:
    """If wildcards do not count, a grant with a wildcard covers only its own text."""
    held = Permissions.of([grant])
    assert (True, False, False) == (grant in held, "orders" in held, "orders:read" in held)


@MANY
@given(anything, anything)
def test_a_literal_grant_covers_itself_and_nothing_else(grant: str, permission: str) -> None:
    """Without wildcards, covering is equality of code points."""
    assert (grant == permission) is (permission in Permissions.of([grant]))


@MANY
@given(st.lists(grants, max_size=6), anything)
def test_the_reference_matcher_agrees(held: list[Grant], permission: str) -> None:
    """The credited grant is the first covering one: exact, `*`, `**`, then direct, role, then by name."""
    covering = [grant for grant in held if covers(grant, permission)]
    assert min(covering, key=credit, default=None) == Permissions.of(held).grant_for(permission)


@FEW
@given(st.lists(grants, max_size=5), anything, st.randoms(use_true_random=False))
def test_the_order_of_grants_does_not_matter(held: list[Grant], permission: str, random: Any) -> None:
    """The same grant is credited if the grants are in another order."""
    shuffled = random.sample(held, len(held))
    assert Permissions.of(held).grant_for(permission) == Permissions.of(shuffled).grant_for(permission)


@MANY
@given(st.lists(grants, max_size=4), st.lists(grants, max_size=4), anything)
def test_union_and_conjunction(one: list[Grant], other: list[Grant], permission: str) -> None:
    """Grants in one layer cover what either covers; two layers cover what both cover, and the first is credited."""
    here, there = Permissions.of(one), Permissions.of(other)
    mine, theirs = permission in here, permission in there
    assert (mine or theirs) is (permission in Permissions.of([*one, *other]))
    assert (mine and theirs) is (permission in here & there)
    assert (here.grant_for(permission) if theirs else None) == (here & there).grant_for(permission)


@FEW
@given(st.lists(grants, max_size=4), st.text(max_size=12))
def test_no_pattern_covers_a_malformed_permission(held: list[Grant], text: str) -> None:
    """Text that is not a permission is held only by a grant of the same text."""
    text += " "
    assert any(grant.text == text for grant in held) is (text in Permissions.of([*held, Grant("**", "", None, True)]))


@pytest.mark.parametrize(
    ("expected", "held"),
    [
        pytest.param("scope a:b", [("a:b", None), ("a:*", None), ("a:**", None)], id="exact before patterns"),
        pytest.param("role r a:b", [("a:b", "r"), ("a:*", None)], id="an exact one of a role before a direct *"),
        pytest.param("scope a:*", [("a:*", "r"), ("a:*", None), ("a:**", None)], id="direct before role"),
        pytest.param("role r a:*", [("a:*", "r"), ("a:**", None), ("**", None)], id="* of a role before a direct **"),
        pytest.param("scope *:*", [("a:*", None), ("*:*", None)], id="by name"),
        pytest.param("scope **", [("a:**", None), ("**", None)], id="by name among **"),
        pytest.param("role q a:b", [("a:b", "r"), ("a:b", "q")], id="roles by name"),
    ],
)
def test_exactly_one_grant_is_credited(expected: str, held: list[tuple[str, str | None]]) -> None:
    """Exact before `*` before `**`, direct before role, then by name."""
    grant = Permissions.of(
        Grant(text, f"role {role}" if role else "scope", role, "*" in text) for text, role in held
    ).grant_for("a:b")
    assert expected == f"{grant.source} {grant}" if grant else ""


def test_empty_permissions_cover_nothing() -> None:
    """No layer, an empty layer and a conjunction with either cover no permission."""
    full = Permissions.of(["**"], patterns=True)
    empties = [Permissions(), Permissions.of([]), full & Permissions(), Permissions() & full, full & Permissions.of([])]
    assert [False] * 5 == ["a" in empty for empty in empties]
    assert [None] * 5 == [empty.grant_for("a") for empty in empties]


@pytest.mark.parametrize("value", [None, 5, b"a", ("a",), object()])
def test_only_a_str_is_held(value: object) -> None:
    """A value that is not a str is not held, and the check does not raise."""
    assert (False, False) == (value in Permissions.of(["**"], patterns=True), value in Permissions())


def test_iteration_and_repr() -> None:
    """Iteration gives the first layer's grants, patterns last; the repr shows only counts."""
    held = Permissions.of(["b:*", "a:**", "a"], patterns=True)
    assert ["a", "b:*", "a:**"] == [str(grant) for grant in held & Permissions.of(["x"])]
    assert [] == list(Permissions())
    assert "<Permissions: 3 grants, 1 ceilings>" == repr(held & Permissions.of(["x"]))
    assert "<Permissions: 0 grants, 0 ceilings>" == repr(Permissions())


def test_a_ceiling_vetoes_with_patterns_of_its_own() -> None:
    """Three layers hold what each of them covers, in any order of the layers."""
    granted, issuer, actor = (
        Permissions.of(texts, patterns=True) for texts in (["orders:**"], ["*:read", "**"], ["orders:read"])
    )
    for held in (granted & issuer & actor, actor & granted & issuer, granted & (issuer & actor)):
        assert (True, False) == ("orders:read" in held, "orders:write" in held)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (True, "*"),
        (True, "**"),
        (True, "a:*"),
        (True, "*:a"),
        (True, "*:**"),
        (True, ":".join("*" * 16)),
        (True, "a" * 254 + ":*"),
        (False, ""),
        (False, "a"),
        (False, "a*"),
        (False, "*a:b"),
        (False, "a:***"),
        (False, "**:a"),
        (False, "**:**"),
        (False, "a::*"),
        (False, "a:*:"),
        (False, "a:{b}:*"),
        (False, "a b:*"),
        (False, "*:a b"),
        (False, ":".join("*" * 17)),
        (False, "a" * 255 + ":*"),
    ],
)
def test_well_formed_patterns(expected: bool, text: str) -> None:
    """A wildcard is a whole segment, `**` only the last one, and the limits of a permission apply."""
    assert (expected, expected) == (is_pattern(text), well_formed(text))


@pytest.mark.parametrize("text", ["a", "a:*", "a:**", "a:b"])
def test_a_well_formed_grant_is_accepted(text: str) -> None:
    """`check_grant` accepts permissions and patterns."""
    assert check_grant(text) is None  # type: ignore[func-returns-value]


@pytest.mark.parametrize("text", ["", "a*", "**:a", "a::b", "{a}", "a b", "é", "a" * 257])
def test_a_malformed_grant_is_refused(text: str) -> None:
    """A grant that is neither a permission nor a pattern raises `GrammarError`."""
    with pytest.raises(GrammarError):
        check_grant(text)


@pytest.mark.parametrize(
    ("expected", "value", "encode"),
    [
        pytest.param("orders", "orders", False, id="text"),
        pytest.param("..", "..", False, id="dots"),
        pytest.param("42", 42, False, id="int"),
        pytest.param("-42", -42, False, id="negative"),
        pytest.param("0", 0, True, id="zero"),
        pytest.param("9" * 256, 10**256 - 1, False, id="the longest number"),
        pytest.param("0" * 7 + "a-0000-0000-0000-" + "0" * 12, UUID(int=0xA << 96), False, id="UUID in lower case"),
        pytest.param("a%3Ab", "a:b", True, id="colon"),
        pytest.param("%2A%2A", "**", True, id="wildcards"),
        pytest.param("%257B", "%7B", True, id="percent"),
        pytest.param("%C3%A9%2F%2B", "é/+", True, id="UTF-8, slash, plus"),
        pytest.param("%00%20%22%5C", '\x00 "\\', True, id="NUL, blank, quote, backslash"),
        pytest.param("A.z_~@-9", "A.z_~@-9", True, id="what stays"),
    ],
)
def test_a_value_becomes_one_segment(expected: str, value: object, encode: bool) -> None:
    """A str, an int in decimal and a UUID in canonical form become segments, percent-encoded on request."""
    assert expected == Permission.segment(value, encode=encode)


@pytest.mark.parametrize(
    ("configured", "value", "encode"),
    [
        pytest.param(False, "", False, id="empty"),
        pytest.param(False, "", True, id="empty, encoded"),
        pytest.param(False, "a:b", False, id="two segments"),
        pytest.param(False, "*", False, id="wildcard"),
        pytest.param(False, "{a}", False, id="braces"),
        pytest.param(False, "a b", False, id="blank"),
        pytest.param(False, "é", False, id="not ASCII"),
        pytest.param(False, "\ud800", False, id="surrogate"),
        pytest.param(False, "\ud800", True, id="surrogate, encoded"),
        pytest.param(False, 10**256, False, id="a number of 257 digits"),
        pytest.param(False, 10**10_000, True, id="a number that Python would not write"),
        pytest.param(False, -(10**10_000), True, id="a negative one"),
        pytest.param(True, True, False, id="bool"),
        pytest.param(True, 1.0, True, id="float"),
        pytest.param(True, None, True, id="None"),
        pytest.param(True, b"a", True, id="bytes"),
        pytest.param(True, ["a"], True, id="list"),
        pytest.param(True, Word.ALL, True, id="enum of text"),
        pytest.param(True, Number.ONE, True, id="enum of numbers"),
        pytest.param(True, Text("a"), True, id="subclass of str"),
    ],
)
def test_values_that_are_not_segments(configured: bool, value: object, encode: bool) -> None:
    """`TemplateError` says whether the application is at fault (the type) or the caller (the text)."""
    with pytest.raises(TemplateError) as caught:
        Permission.segment(value, encode=encode)
    assert configured is caught.value.configured
    assert str(caught.value).isprintable()


@MANY
@given(st.text(min_size=1, max_size=12))
def test_an_encoded_value_is_one_segment_and_decodes(text: str) -> None:
    """An encoded value is one segment of the permitted alphabet and decodes to the same value."""
    if any(0xD800 <= ord(char) < 0xE000 for char in text):
        with pytest.raises(TemplateError):
            Permission.segment(text, encode=True)
        return
    segment = Permission.segment(text, encode=True)
    assert (True, text) == (is_segment(segment), unquote(segment, errors="strict"))
    assert set(segment) <= UNRESERVED | {"%"}
    assert segment == Permission.segment(text, encode=True)


@FEW
@given(st.one_of(st.integers(), st.uuids(), st.text(max_size=10)), st.booleans())
def test_a_segment_or_a_template_error(value: object, encode: bool) -> None:
    """A value of a right type gives one literal segment or a `TemplateError`."""
    result = naughty_strings.result_or_error(lambda: Permission.segment(value, encode=encode), TemplateError)
    assert not result.configured if isinstance(result, TemplateError) else is_segment(result)


@pytest.mark.parametrize(
    ("expected", "text"),
    [(True, "a" * 256), (False, "a" * 257), (True, ":".join("a" * 16)), (False, ":".join("a" * 17)), (True, "")],
)
def test_bounds(expected: bool, text: str) -> None:
    """At most 16 segments and 256 characters."""
    assert (expected, 16, 256) == (within_limits(text), MAX_SEGMENTS, MAX_LENGTH)


def test_naughty_strings_as_grants() -> None:
    """Each string covers only itself, and `**` covers it only if it is a permission."""
    permissions = ["a", "a:b", "orders:read", "admin"]
    wide = Permissions.of(["**", "*", "a:*"], patterns=True)
    for text in naughty_strings.load_strings():
        exact = Permissions.of([text])
        assert text in exact
        assert [] == [permission for permission in permissions if permission != text and permission in exact]
        assert parses(text) is (text in wide)
        assert all(
            covers(Grant(text, "", None, True), permission) is (permission in Permissions.of([text], patterns=True))
            for permission in permissions
        )


def test_naughty_strings_as_values() -> None:
    """Each string is one literal segment or is refused; if encoded, all but surrogates and "" are segments."""
    for text in naughty_strings.load_strings():
        lone = any(0xD800 <= ord(char) < 0xE000 for char in text)
        plain = naughty_strings.result_or_error(partial(Permission.segment, text), TemplateError)
        encoded = naughty_strings.result_or_error(partial(Permission.segment, text, encode=True), TemplateError)
        assert str(plain).isascii()
        assert (text == "" or lone) is isinstance(encoded, TemplateError)
        for result in (plain, encoded):
            assert isinstance(result, TemplateError) or is_segment(result)


def test_grants_are_a_list() -> None:
    """A str in place of a list is refused, and not read letter by letter."""
    with pytest.raises(GrammarError, match="are a list"):
        Permissions.of("orders:*", patterns=True)


@pytest.mark.parametrize(
    ("expected", "grant", "text"),
    [
        (True, "a:b", "a:b"),
        (False, "a:b", "a:*"),
        (True, "a:*", "a:b"),
        (True, "a:*", "a:*"),
        (False, "a:*", "a:b:c"),
        (False, "a:*", "a:**"),
        (False, "a:*", "*:b"),
        (False, "a:*", "*:*"),
        (True, "*:b", "a:b"),
        (True, "*:*", "a:*"),
        (True, "a:**", "a:*"),
        (True, "a:**", "a:b:*"),
        (True, "a:**", "a:**"),
        (True, "a:**", "a:b:**"),
        (False, "a:b:**", "a:**"),
        (False, "a:**", "a"),
        (False, "a:**", "*:**"),
        (True, "**", "a"),
        (True, "**", "*"),
        (True, "**", "**"),
        (True, "**", "*:*:**"),
        (False, "*:**", "**"),
        (False, "*:**", "*"),
        (True, "*:**", "*:*"),
        (False, "**", "a::b"),
        (False, "a:*", "a:*b"),
    ],
)
def test_the_patterns_that_one_grant_contains(expected: bool, grant: str, text: str) -> None:
    """A pattern is contained only in a pattern that covers every permission that it covers."""
    assert expected is (Permissions.of([grant], patterns=True).find_containing(text) is not None)


@pytest.mark.parametrize("text", ["a:*", "a:**", "*", "**"])
def test_a_literal_wildcard_contains_no_pattern(text: str) -> None:
    """A grant whose wildcards do not count contains no pattern, not even one with the same text."""
    held = Permissions.of([text])
    assert text in held
    assert held.find_containing(text) is None


@FEW
@given(st.lists(grants, max_size=5), st.lists(grants, max_size=4), anything, permissions)
def test_the_permissions_of_a_contained_pattern_are_held(
    held: list[Grant], cap: list[Grant], text: str, permission: str
) -> None:
    """All permissions of a contained pattern are held, under ceilings too; a contained permission is held."""
    both = Permissions.of(held) & Permissions.of(cap)
    if both.find_containing(text) is None:
        return
    if is_pattern(text):
        assert permission not in Permissions.of([text], patterns=True) or permission in both
    else:
        assert text in both


@FEW
@given(st.lists(grants, max_size=5), st.lists(grants, max_size=4), permissions)
def test_a_permission_is_contained_exactly_if_it_is_held(held: list[Grant], cap: list[Grant], permission: str) -> None:
    """For a permission, containing and holding agree, and the credited grant comes first."""
    both = Permissions.of(held) & Permissions.of(cap)
    assert both.grant_for(permission) == both.find_containing(permission)


@FEW
@given(st.lists(grants, max_size=6), anything)
def test_each_containing_grant_contains_it_alone(held: list[Grant], text: str) -> None:
    """Each returned grant contains the pattern without the others, and no other grant does."""
    alone = {grant for grant in held if Permissions.of([grant]).find_containing(text) is not None}
    assert alone == set(Permissions.of(held).grants_containing(text))


def test_empty_permissions_contain_nothing() -> None:
    """Permissions without grants or with an empty ceiling contain nothing."""
    assert () == Permissions().grants_containing("a")
    assert () == (Permissions.of(["a"]) & Permissions.of([])).grants_containing("a")


@MANY
@given(anything | st.text(max_size=8) | st.sampled_from(["a" * 256, "a" * 257, ":".join("a" * 16), ":".join("a" * 17)]))
def test_a_grant_is_checked_as_it_is_parsed(text: str) -> None:
    """The fast check of a permission agrees with `Permission.parse`."""
    try:
        Permission.parse(text)
    except GrammarError:
        expected = is_pattern(text)
    else:
        expected = True
    try:
        check_grant(text)
    except GrammarError:
        accepted = False
    else:
        accepted = True
    assert expected is accepted


# --- what was revoked


@pytest.mark.parametrize("odd", ["a::b", "a:", ":a", "a:{x}", "a:" + "b" * MAX_LENGTH])
def test_no_pattern_covers_a_malformed_permission_despite_a_denial(odd: str) -> None:
    """A denial of something else does not let a pattern cover a malformed permission."""
    rest = Permissions.of(["a:*", "**"], patterns=True).with_denials([Denial("d", "x")])
    assert (False, None) == (odd in rest, rest.denial_for(odd))
    assert "a:b" in rest


@pytest.mark.parametrize("odd", ["a::b", "a:{x}"])
def test_a_malformed_permission_is_denied_only_by_everything(odd: str) -> None:
    """A malformed permission is held as its own text, and only `**` revokes it."""
    whole = Permissions.of([odd, "b:*"], patterns=True)
    assert [True, False] == [odd in whole.with_denials([Denial("d", pattern)]) for pattern in ("a:*", "**")]


def test_a_permission_that_was_never_held_was_not_revoked() -> None:
    """A denial that covers a permission is not named if the permission was never held."""
    rest = Permissions.of(["a:read"]).with_denials([Denial("d", "**")])
    denial = rest.denial_for("a:read")
    assert denial is not None
    assert ("d", None) == (denial.id, rest.denial_for("b:read"))


def test_a_permission_beyond_a_ceiling_was_not_revoked() -> None:
    """A permission beyond a ceiling, or of empty permissions, is refused without a denial."""
    denial = Denial("d", "a:*")
    rest = (Permissions.of(["a:read", "b:read"]) & Permissions.of(["b:read"])).with_denials([denial])
    assert (False, True) == ("a:read" in rest, "b:read" in rest)
    assert (None, None) == (rest.denial_for("a:read"), Permissions().with_denials([denial]).denial_for("a:read"))


# Few enough to try them all: "z" stands for every segment that no pattern names. Patterns of at most three segments
# and `**` tell no two permissions of four segments or more apart by their length.
EVERY = [":".join(each) for size in range(1, 5) for each in product("abz", repeat=size)]
short = st.builds(
    lambda head, deep: ":".join([*head, *(["**"] if deep else [])]),
    st.lists(st.sampled_from(["a", "b", "*"]), min_size=1, max_size=3),
    st.booleans(),
) | st.just("**")


def covered(pattern: str) -> set[str]:
    held = Permissions.of([pattern], patterns=True)
    return {permission for permission in EVERY if permission in held}


@examples(500)
@given(short, short)
def test_the_intersection_of_two_patterns(one: str, other: str) -> None:
    """The intersection does not depend on the order, and covers exactly what both cover."""
    both = common(one, other)
    assert both == common(other, one)
    assert (set() if both is None else covered(both)) == covered(one) & covered(other)


@examples(500)
@given(short, short, st.lists(short, max_size=3), st.sampled_from([None, "clerk"]), st.sampled_from([None, "clerk"]))
def test_a_part_is_denied_exactly_if_some_permission_is(
    text: str, pattern: str, keep: list[str], role: str | None, holder: str | None
) -> None:
    """A part of a pattern is denied exactly if one of its permissions is denied."""
    denial, grant = Denial("d", pattern, keep, role), Grant(text, "scope", holder, pattern=True)
    expected = any(denial.denies(permission, grant) for permission in covered(text))
    assert expected is denial.denies_part(text, grant)
    remaining = Permissions.of([grant]).with_denials([denial])
    assert (remaining.find_containing(text) is None) is expected


def test_an_exception_for_the_whole_intersection() -> None:
    """An exception for the whole intersection leaves nothing denied."""
    grant = Grant("a:*", "scope", pattern=True)
    assert [False, True] == [Denial("d", "*:b", [keep]).denies_part("a:*", grant) for keep in ("a:b", "a:c")]


def test_denials_of_malformed_permissions() -> None:
    """A denial of a malformed permission denies that text; a malformed exception keeps nothing else."""
    grant = Grant("a:*", "scope", pattern=True)
    assert not Denial("d", "b::c").denies_part("a:*", grant)
    assert Denial("d", "a:*", ["a:"]).denies_part("a:*", grant)
