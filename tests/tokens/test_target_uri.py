"""The normal form of target URIs: what is the same address, and what is not (RFC 3986, section 6.2)."""

from __future__ import annotations

from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_lp.tokens.target_uri import normal_uri

SEGMENTS = st.lists(st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda each: each not in (".", "..")))
HOSTS = st.sampled_from(["api.test", "localhost", "127.0.0.1", "[::1]", "xn--bcher-kva.test", "a_b.test"])


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("https://a.test", "https://a.test/"),
        ("HTTPS://A.Test:443/x?y#z", "https://a.test/x"),
        ("http://a.test:80/", "http://a.test/"),
        ("http://a.test:443/", "http://a.test:443/"),
        ("http://a.test:0080/", "http://a.test/"),
        ("http://a.test:/", "http://a.test/"),
        ("wss://a.test/x", "https://a.test/x"),
        ("ws://a.test:80/x", "http://a.test/x"),
        ("https://[::1]:8443/x", "https://[::1]:8443/x"),
        # RFC 3986, sections 6.2.2.2 and 6.2.2.3, and the example of section 5.2.4.
        ("https://a.test/%7euser/%61", "https://a.test/~user/a"),
        ("https://a.test/a/b/c/./../../g", "https://a.test/a/g"),
        ("https://a.test/..", "https://a.test/"),
        ("https://a.test/a/..", "https://a.test/"),
        ("https://a.test/a/.", "https://a.test/a/"),
        ("https://a.test/a/%2e%2e/b", "https://a.test/b"),
        ("https://a.test//a", "https://a.test//a"),
        ("https://a.test/.well-known", "https://a.test/.well-known"),
        ("https://a.test/%2541", "https://a.test/%2541"),
        ("https://a.test/é", "https://a.test/%C3%A9"),
        ("https://a.test/%ff", "https://a.test/%FF"),
        *((bad, None) for bad in ("", "/x", "a.test/x", "ftp://a.test/", "https:///x", "https://u@a.test/", "https://a b/")),
        *((bad, None) for bad in ("https://a.test/x y", "https://a.test/x\n", "https://a.test\\x", "https://a.test:x/")),
        *((bad, None) for bad in (" https://a.test/", "https://a.test/\x00", "https://%61.test/", "https://é.test/")),
        *((bad, None) for bad in ("https://a.test:123456/", "javascript://a.test/", "https://[x]/", "https//a.test")),
    ],
)  # fmt: skip
def test_normal_forms(uri: str, expected: str | None) -> None:
    """Each URI has one normal form, or none."""
    assert expected == normal_uri(uri)


@given(
    segments=SEGMENTS,
    host=HOSTS,
    port=st.sampled_from(["", ":443", ":0443"]),
    scheme=st.sampled_from(["https", "HTTPS", "wss"]),
    safe=st.sampled_from(["", ":@!$&'()*+,;=", "-._~"]),
    tail=st.sampled_from(["", "?a=%2F..", "#x", "?a/../b#c"]),
    upper=st.booleans(),
)
def test_all_ways_to_write_an_address_are_equal(
    segments: list[str], host: str, port: str, scheme: str, safe: str, tail: str, upper: bool
) -> None:
    """However a client encodes an address, its normal form is that of the decoded path, and is normal itself."""
    path = "/" + "/".join(segments)
    expected = normal_uri(f"https://{host}{quote(path)}")
    assert expected is not None
    written = f"{scheme}://{host.upper() if upper else host}{port}{quote(path, safe=safe + '/')}{tail}"
    assert expected == normal_uri(written) == normal_uri(expected)


@given(first=SEGMENTS, second=SEGMENTS)
def test_other_paths_are_other_addresses(first: list[str], second: list[str]) -> None:
    """Two decoded paths have the same normal form only if they are the same, whatever percent signs are in them."""
    paths = ["/" + "/".join(segments) for segments in (first, second)]
    forms = [normal_uri(f"https://a.test{quote(path)}") for path in paths]
    if not any(part in (".", "..") for path in paths for part in path.split("/")):
        assert (paths[0] == paths[1]) is (forms[0] == forms[1])
        assert [f"https://a.test{path}" for path in paths] == [unquote(form or "") for form in forms]


@given(st.text(max_size=60))
def test_any_text_is_read_without_an_error(text: str) -> None:
    """Any text has a normal form that is normal, or none."""
    form = normal_uri(f"https://a.test/{text}")
    assert form is None or form == normal_uri(form)
    assert normal_uri(text) is None or "://" in text
