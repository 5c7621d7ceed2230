"""Strict parsing of compact tokens and of JSON."""

from __future__ import annotations

import json
import sys
import time
import traceback
from contextlib import suppress
from itertools import accumulate
from typing import Any

import jwt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from examples import examples
from jwks_server import b64
from jwt_lp._support.json_nesting import MAX_CONTAINERS, MAX_DEPTH, nesting_fault
from jwt_lp.errors import InvalidToken
from jwt_lp.jose import jws

SECRET = b"0123456789abcdef0123456789abcdef"
HEADER = {"alg": "HS256", "typ": "at+jwt", "kid": "k1"}


def compact(header: object = HEADER, payload: bytes = b'{"sub":"u"}', signature: bytes = b"signature") -> str:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return ".".join(map(b64, (raw, payload, signature)))


def refusal(token: object) -> str:
    with pytest.raises(InvalidToken) as caught:
        jws.parse_compact(token)
    return caught.value.cause


def json_refusal(data: bytes) -> str:
    with pytest.raises(InvalidToken) as caught:
        jws.read_json(data, "thing")
    return caught.value.detail


def test_a_token_is_parsed() -> None:
    """parse_compact() returns header, payload, signing input, signature, algorithm and kid."""
    token = compact()
    parsed = jws.parse_compact(token)
    assert HEADER == parsed.header
    assert b'{"sub":"u"}' == parsed.payload
    assert token.rpartition(".")[0].encode() == parsed.signing_input
    assert b"signature" == parsed.signature
    assert ("HS256", "k1") == (parsed.algorithm, parsed.kid)


def test_a_token_without_kid_has_none() -> None:
    """A header without kid is well formed, and the kid is None."""
    assert None is jws.parse_compact(compact({"alg": "HS256"})).kid


def test_an_empty_payload_is_well_formed() -> None:
    """An empty payload is well formed."""
    assert b"" == jws.parse_compact(compact(payload=b"")).payload


def test_the_repr_shows_nothing() -> None:
    """Neither repr nor str of a parsed token shows a part of it."""
    assert "CompactJws(masked)" == repr(jws.parse_compact(compact())) == str(jws.parse_compact(compact()))


SEGMENTS = compact().split(".")
BAD_TOKENS: dict[str, Any] = {
    "none": None,
    "bytes": compact().encode(),
    "int": 7,
    "list": [compact()],
    "empty": "",
    "lone-surrogate": compact() + "\ud800",
    "non-ascii": compact().replace("e", "é"),
    "fullwidth-dot": compact().replace(".", "．"),
    "leading-space": " " + compact(),
    "trailing-newline": compact() + "\n",
    "tab": compact().replace(".", "\t.", 1),
    "nul": compact() + "\x00",
    "comma-list": compact() + "," + compact(),
    "two-segments": ".".join(SEGMENTS[:2]),
    "four-segments": compact() + ".AA",
    "jwe": ".".join([*SEGMENTS, "AA", "AA"]),
    "json-form": json.dumps({"payload": "", "signatures": []}),
    "no-signature": compact(signature=b""),
    "no-header": f".{SEGMENTS[1]}.{SEGMENTS[2]}",
    "only-dots": "..",
    "padded-header": f"{b64(b'{}')}=.{SEGMENTS[1]}.{SEGMENTS[2]}",
    "padded-payload": f"{SEGMENTS[0]}.{b64(b'{} ')}==.{SEGMENTS[2]}",
    "padded-signature": compact() + "=",
    "standard-alphabet": f"{SEGMENTS[0]}.{SEGMENTS[1]}.+/+/",
    "question-mark": f"{SEGMENTS[0]}.{SEGMENTS[1]}.AA?A",
    "hash-marks": f"{SEGMENTS[0]}.{SEGMENTS[1]}.####",
    "unused-bits-of-two": f"{SEGMENTS[0]}.{SEGMENTS[1]}.AB",
    "unused-bits-of-three": f"{SEGMENTS[0]}.{SEGMENTS[1]}.AAB",
    "impossible-length": f"{SEGMENTS[0]}.{SEGMENTS[1]}.AAAAA",
    "payload-unused-bits": f"{SEGMENTS[0]}.AB.{SEGMENTS[2]}",
    "header-no-json": compact(b"junk"),
    "header-utf16": compact(json.dumps(HEADER).encode("utf-16")),
    "header-utf32": compact(json.dumps(HEADER).encode("utf-32-be")),
    "header-bom": compact(b"\xef\xbb\xbf" + json.dumps(HEADER).encode()),
    "header-array": compact([HEADER]),
    "header-null": compact(None),
    "header-string": compact("alg"),
    "header-trailing-junk": compact(b'{"alg":"HS256"}x'),
    "header-twice-alg": compact(b'{"alg":"HS256","alg":"none"}'),
    "header-nan": compact(b'{"alg":"HS256","x":NaN}'),
    "header-surrogate": compact(b'{"alg":"HS256","x":"\\ud800"}'),
}


@pytest.mark.parametrize("token", BAD_TOKENS.values(), ids=BAD_TOKENS)
def test_malformed_tokens_are_refused(token: object) -> None:
    """Any but the one canonical spelling of a token raises InvalidToken with cause malformed."""
    assert "malformed" == refusal(token)


@pytest.mark.parametrize("segments", [1, 2, 4, 5])
def test_another_number_of_segments_is_named(segments: int) -> None:
    """The refusal of a token with other than three segments says so."""
    with pytest.raises(InvalidToken, match="does not have three segments"):
        jws.parse_compact(".".join([*SEGMENTS, "AA", "AA"][:segments]))


BAD_HEADERS: dict[str, dict[str, Any]] = {
    "alg-missing": {"typ": "JWT"},
    "alg-null": {"alg": None},
    "alg-list": {"alg": ["HS256"]},
    "alg-dict": {"alg": {}},
    "alg-int": {"alg": 256},
    "kid-int": HEADER | {"kid": 1},
    "kid-null": HEADER | {"kid": None},
    "kid-long": HEADER | {"kid": "k" * 257},
    "kid-long-in-bytes": HEADER | {"kid": "é" * 129},
    "kid-crlf": HEADER | {"kid": "a\r\nSet-Cookie: x"},
    "kid-escape": HEADER | {"kid": "\x1b[31m"},
    "kid-nul": HEADER | {"kid": "\x00"},
    "kid-c1": HEADER | {"kid": "\x9b31m"},
    "typ-int": HEADER | {"typ": 1},
    "typ-null": HEADER | {"typ": None},
    "cty-jwt": HEADER | {"cty": "JWT"},
    "cty-lower": HEADER | {"cty": "jwt"},
    "cty-media-type": HEADER | {"cty": "application/JWT"},
    "cty-int": HEADER | {"cty": 1},
    **{f"crit-{n}": HEADER | {"crit": value} for n, value in enumerate([["x"], [], "b64", None, [1], ["alg"]])},
    "b64-false": HEADER | {"b64": False},
    "b64-true": HEADER | {"b64": True, "crit": ["b64"]},
    "b64-zero": HEADER | {"b64": 0},
    **{name: HEADER | {name: "x"} for name in ("zip", "enc", "jwk", "jku", "x5u", "x5c")},
}


@pytest.mark.parametrize("header", BAD_HEADERS.values(), ids=BAD_HEADERS)
def test_bad_headers_are_refused(header: dict[str, Any]) -> None:
    """A header with a wrong type, an extension or a key raises InvalidToken with cause header."""
    assert "header" == refusal(compact(header))


@pytest.mark.parametrize("kid", ["", "../../x", "' OR 1=1", "ключ", "k" * 256, "é" * 128])
def test_any_other_kid_is_only_a_name(kid: str) -> None:
    """A kid of at most 256 bytes without control characters is returned unchanged."""
    assert kid == jws.parse_compact(compact(HEADER | {"kid": kid})).kid


def test_another_content_type_is_accepted() -> None:
    """A cty that does not declare a nested token is accepted."""
    assert "text/plain" == jws.parse_compact(compact(HEADER | {"cty": "text/plain"})).header["cty"]


@pytest.mark.parametrize(
    "token",
    [
        "a" * 1_000_000,
        "." * 1_000_000,
        "é" * 1_000_000,
        compact(payload=b" " * 12 * 1024),
        compact(HEADER | {"x": "y" * 4096}),
    ],
    ids=["letters", "dots", "non-ascii", "just-over", "header"],
)
def test_too_large_tokens_are_refused_before_decoding(token: str) -> None:
    """A token over 16 KiB or a header over 4 KiB is refused in well under a millisecond."""
    best = min(_seconds(token) for _ in range(5))
    assert "too_large" == refusal(token)
    assert True is (best < 0.001)


def _seconds(token: str) -> float:
    begun = time.perf_counter()
    with pytest.raises(InvalidToken):
        jws.parse_compact(token)
    return time.perf_counter() - begun


def test_the_largest_token_is_read() -> None:
    """A token of exactly 16 KiB is well formed."""
    head, _, signature = compact().split(".")
    body = "A" * (jws.MAX_TOKEN - len(head) - len(signature) - 2)
    token = f"{head}.{body[: len(body) // 4 * 4]}.{signature}"
    assert len(token) // 4 == jws.MAX_TOKEN // 4
    assert token.rpartition(".")[0].encode() == jws.parse_compact(token).signing_input


def test_a_refusal_keeps_nothing_of_the_token() -> None:
    """No error has a context, a message or a local variable of ours that holds the token."""
    secret = "c2VjcmV0LWNsYWlt"
    for token in (f"{SEGMENTS[0]}.{secret}.!", compact(b'{"secret": "' + secret.encode() + b'"'), secret + "\ud800"):
        with pytest.raises(InvalidToken) as caught:
            jws.parse_compact(token)
        ours = [frame for frame, _ in traceback.walk_tb(caught.tb) if frame.f_code.co_filename == jws.__file__]
        shown = [repr(frame.f_locals) for frame in ours] + [str(caught.value)]
        assert [] == [text for text in shown if secret in text or SEGMENTS[0] in text]
        assert (None, None) == (caught.value.__context__, caught.value.__cause__)


BAD_JSON = {
    "nan": (b'{"a": NaN}', "the thing has NaN or Infinity"),
    "infinity": (b'{"a": [-Infinity]}', "the thing has NaN or Infinity"),
    "1e400": (b'{"a": 1e400}', "the thing has a number of more than 64 characters or beyond a double"),
    "-1e400": (b'{"a": -1e400}', "the thing has a number of more than 64 characters or beyond a double"),
    "long-fraction": (
        b'{"a": 0.' + b"1" * 70 + b"}",
        "the thing has a number of more than 64 characters or beyond a double",
    ),
    "long-integer": (b'{"a": ' + b"1" * 65 + b"}", "the thing has a number of more than 64 characters"),
    "5000-digits": (b'{"a": ' + b"1" * 5000 + b"}", "the thing has a number of more than 64 characters"),
    "duplicate": (b'{"a": 1, "a": 1}', "the thing names a member twice"),
    "nested-duplicate": (b'{"a": [{"b": 1, "\\u0062": 2}]}', "the thing names a member twice"),
    "surrogate": (b'{"a": "\\ud800"}', "the thing has a lone surrogate"),
    "surrogate-name": (b'{"\\uDC00": 1}', "the thing has a lone surrogate"),
    "raw-surrogate": (b'{"a": "\xed\xa0\x80"}', "the thing is not JSON in UTF-8"),
    "overlong": (b'{"a": "\xc0\x80"}', "the thing is not JSON in UTF-8"),
    "array": (b"[]", "the thing is not a JSON object"),
    "null": (b"null", "the thing is not a JSON object"),
    "empty": (b"", "the thing is not JSON in UTF-8"),
    "bom": (b"\xef\xbb\xbf{}", "the thing is not JSON in UTF-8"),
    "raw-control": (b'{"a": "\n"}', "the thing is not JSON in UTF-8"),
    "trailing": (b"{} {}", "the thing is not JSON in UTF-8"),
    "single-quotes": (b"{'a': 1}", "the thing is not JSON in UTF-8"),
    "33-deep": (b'{"a":' * 33 + b"1" + b"}" * 33, "the thing is nested deeper than 32"),
    "100000-deep": (b'{"a":' + b"[" * 100_000, "the thing is nested deeper than 32"),
    "deep-after-string": (b'{"a": "]]]\\"]]]", "b":' + b"[" * 40, "the thing is nested deeper than 32"),
}


@pytest.mark.parametrize(("data", "detail"), BAD_JSON.values(), ids=BAD_JSON)
def test_lenient_json_is_refused(data: bytes, detail: str) -> None:
    """read_json() refuses JSON that two parsers could read differently, and says why."""
    assert detail == json_refusal(data)


GOOD_JSON = {
    "32-deep": (b'{"a":' * 32 + b"1" + b"}" * 32, None),
    "32-deep-and-wide": (b'{"a":[],"b":' * 31 + b"[1]" + b"}" * 31, None),
    "brackets-in-strings": (json.dumps({"a": "[" * 50, "b": '\\"{{{' * 10}).encode(), None),
    "wide": (json.dumps({"a": [{}] * 100}).encode(), None),
    "surrogate-pair": (b'{"a": "\\ud83d\\ude00"}', {"a": "\U0001f600"}),
    "escapes": (b'{"a": "\\u0000\\n"}', {"a": "\x00\n"}),
    "non-ascii": ('{"ключ": "é"}'.encode(), {"ключ": "é"}),
    "numbers": (b'{"a": [-0, 1.5, 1e3, 18446744073709551616]}', {"a": [0, 1.5, 1000.0, 2**64]}),
    "space": (b" \t\r\n{ } \n", {}),
}


@pytest.mark.parametrize(("data", "value"), GOOD_JSON.values(), ids=GOOD_JSON)
def test_strict_json_is_read_as_the_standard_library_does(data: bytes, value: object) -> None:
    """Accepted JSON has the value that the standard library gives it."""
    assert (json.loads(data) if value is None else value) == jws.read_json(data, "thing")


def test_nesting_is_measured_before_parsing() -> None:
    """Deep nesting does not reach the recursive scanner, even with a raised recursion limit."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10**6)
    try:
        assert "the thing is nested deeper than 32" == json_refusal(b'{"a":' + b"[" * 400_000)
    finally:
        sys.setrecursionlimit(limit)


def test_too_large_or_too_deep_documents_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The size is checked before decoding and hashing, and the depth before parsing."""
    head, deep = b64(json.dumps(HEADER).encode()), b64(b"[" * 3000)
    with monkeypatch.context() as patched:
        for name in ("binascii", "hashlib", "read_json", "_DECODER"):
            patched.setattr(jws, name, None)
        for token in ("a" * 1_000_000, "." * 1_000_000, "é" * 1_000_000, f"{'a' * 5000}.e30.AAAA"):
            assert "too_large" == refusal(token)
        assert "" == jws.fingerprint("a" * (jws.MAX_TOKEN + 1))
    # a header that is known already, as it needs a decoder too
    jws.parse_compact(f"{head}.e30.AAAA")
    monkeypatch.setattr(jws, "_DECODER", None)
    for token in (f"{deep}.e30.AAAA", f"{head}.{b64(b'[' * 12_000)}.AAAA"):
        with pytest.raises(InvalidToken, match="is nested deeper than 32"):
            jws.read_json(jws.parse_compact(token).payload, "payload")
    assert "the thing has more than 1000 objects and lists" == json_refusal(b"[" + b"[]," * 1000 + b"[]]")


def test_nesting_is_measured_on_a_prefix_first() -> None:
    """Of half a megabyte of brackets only the beginning is read."""

    class Unread(bytes):
        def count(self, *_: object) -> int:
            raise AssertionError

        translate = replace = count  # type: ignore[assignment]

    for start in (b"", b"  ", b'{"a":', b'{"a":"]]]\\"]","b":'):
        assert "is nested deeper than 32" == nesting_fault(Unread(start + b"[" * 500_000))


def test_more_objects_and_lists_than_are_read() -> None:
    """A thousand objects and lists are accepted and one more is refused; those in strings do not count."""
    filling = b"x" * 600
    for count, fault in (
        (MAX_CONTAINERS, None),
        (MAX_CONTAINERS + 1, f"has more than {MAX_CONTAINERS} objects and lists"),
    ):
        for one in (b"[]", b"{}"):
            inner = b",".join([one] * (count - 1))
            assert fault == nesting_fault(b"[" + inner + b"]")
            assert fault == nesting_fault(b'{"' + filling + b'":0,"a":' + inner + b"}")
    assert None is nesting_fault(json.dumps(["[{" * 2000, '"[\\"[' * 500]).encode())
    assert None is nesting_fault(b"[" + b"[]," * MAX_CONTAINERS + b"[]]", MAX_CONTAINERS + 2)


def scanned(data: bytes) -> int:
    """Return how deep a scanner is when it stops, at the end or at the first character that is not JSON."""
    depth = deepest = at = 0
    inside = False
    while at < len(data):
        sign = data[at : at + 1]
        if inside and sign == b"\\":
            at += 1
        elif sign == b'"':
            inside = not inside
        elif not inside and sign == b"\\":
            break
        elif not inside and sign in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif not inside and sign in b"]}":
            depth -= 1
        at += 1
    return deepest


PIECES = st.sampled_from(
    [b"[" * 9, b"{" * 20, b"]" * 9, b"}", b'"', b"\\", b'\\"', b"a", b",", b"\xc3\xa9", b"x" * 300]
)


@given(st.lists(PIECES, max_size=40).map(b"".join))
def test_no_depth_is_overlooked(data: bytes) -> None:
    """Text in which a scanner would get deeper than 32 is refused before scanning, whatever quotes it has."""
    if scanned(data) > MAX_DEPTH:
        assert None is not nesting_fault(data)


def deepest(data: bytes) -> int:
    """Return how many brackets outside strings are open at once, counted one by one."""
    bare = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    changes = [(sign in b"[{") - (sign in b"]}") for sign in b"".join(bare.split(b'"')[::2])]
    return max(accumulate(changes, initial=0))


SLOPES = st.sampled_from(
    [b"[]", b"[" * 3, b"{" * 8, b"]" * 8, b"[{}]", b"[" * 30, b"}" * 30, b'"["', b'""', b",", b"["]
)


@examples(400)
@example(b"[]" + b"[" * 32 + b"]" * 32)
@example(b"[]" + b"[" * 33 + b"]" * 33)
@example(b"[" * 31 + b"[]," * 9)
@example(b"[" * 31 + b"[[]]," * 9)
@example(b"[[]]," * 9 + b"]" * 9 + b"[" * 41)
@given(st.lists(SLOPES | PIECES, max_size=80).map(b"".join))
def test_the_depth_is_the_number_of_open_brackets(data: bytes) -> None:
    """For any bytes, the fault is that of counting each bracket, first in the beginning and then in the whole text."""
    few = 10_000
    expected = "is nested deeper than 32" if max(deepest(data[:512]), deepest(data)) > MAX_DEPTH else None
    assert expected == nesting_fault(data, few)


@given(
    st.recursive(st.text('"\\[]{}a', max_size=4), lambda inner: st.lists(inner, max_size=3), max_leaves=30),
    st.integers(0, 40),
)
def test_nesting_of_json_is_measured_exactly(value: object, deeper: int) -> None:
    """JSON is refused if, and only if, it is deeper than 32."""
    data = json.dumps(value).encode()
    data = b"[" * deeper + data + b"]" * deeper
    assert (scanned(data) > MAX_DEPTH) is (nesting_fault(data) is not None)


def test_a_json_refusal_keeps_nothing_of_the_document() -> None:
    """The decoder's exception, which holds the document, is not the context of the error."""
    with pytest.raises(InvalidToken) as caught:
        jws.read_json(b'{"secret": ', "thing")
    assert (None, None) == (caught.value.__context__, caught.value.__cause__)


def test_a_fingerprint_is_a_digest_prefix() -> None:
    """fingerprint() returns 12 hex digits of the SHA-256 of any str."""
    assert "ba7816bf8f01" == jws.fingerprint("abc")
    assert 12 == len(jws.fingerprint("\ud800"))


def test_base64url_has_one_spelling() -> None:
    """decode_base64url() returns None for any but the canonical spelling."""
    assert [b"", b"\x00", None, None, None] == [
        jws.decode_base64url(text) for text in (b"", b"AA", b"AB", b"AA==", b"A A")
    ]


@given(st.text(max_size=200) | st.from_regex(r"[A-Za-z0-9_=-]{0,80}\.[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}"))
def test_nothing_but_invalid_token_is_raised(token: str) -> None:
    """For any text, parse_compact() returns or raises InvalidToken."""
    with suppress(InvalidToken):
        parsed = jws.parse_compact(token)
        assert token == f"{parsed.signing_input.decode()}.{b64(parsed.signature)}"


scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(st.characters())
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
headers = st.fixed_dictionaries(
    {"alg": st.sampled_from(["HS256"])},
    optional={
        "kid": st.text(max_size=8) | st.none(),
        "typ": st.sampled_from(["JWT", "at+jwt", 1]),
        "crit": values,
        "b64": values,
        "x": values,
    },
)


@given(headers, st.dictionaries(st.text(), values, max_size=4), st.binary(max_size=3), st.integers(0, 8))
def test_accepted_tokens_are_read_as_pyjwt_reads_them(
    header: dict[str, object], claims: dict[str, object], junk: bytes, cut: int
) -> None:
    """PyJWT accepts every token that is accepted here, with the same content."""
    raw = json.dumps(header).encode()
    signing = f"{b64(raw)}.{b64(json.dumps(claims).encode())}".encode()
    signature = jwt.get_algorithm_by_name("HS256").sign(signing, SECRET)
    token = signing.decode() + "." + b64(signature) + ("=" * (cut == 1)) + (b64(junk) if cut == 2 else "")
    try:
        parsed = jws.parse_compact(token)
        payload = jws.read_json(parsed.payload, "payload")
    except InvalidToken:
        return
    if signature == parsed.signature:
        read = jwt.api_jws.decode_complete(token, SECRET, algorithms=["HS256"])
        assert (read["header"], json.loads(read["payload"])) == (parsed.header, payload)


def test_a_long_payload_that_begins_deep_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first bytes are enough to refuse it, so the rest costs nothing."""
    decoded: list[str] = []
    decode = jws._decode_segment

    def noting(segment: bytes, what: str) -> bytes:
        decoded.append(what)
        return decode(segment, what)

    monkeypatch.setattr(jws, "_decode_segment", noting)
    with pytest.raises(InvalidToken, match="the payload is nested deeper than 32"):
        jws.parse_compact(compact(payload=b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}"))
    assert [] == decoded
    jws.parse_compact(compact(payload=b'{"a":"' + b"x" * 5000 + b'"}'))
    assert ["payload", "signature"] == decoded
