"""What somebody types to revoke something, and what an entry refuses in words."""

from __future__ import annotations

import pytest

from jwt_lp.errors import ConfigurationError
from jwt_lp.revocation.entries import RevocationEntry
from jwt_lp.revocation.wanted import describe_entry, is_name, issuer_warnings, join_names, pattern_faults, read_end

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("90m", NOW + 5400),
        ("7d", NOW + 7 * 86400),
        ("2027-06-01", 1811808000.0),
        ("2027-06-01T02:00:00+02:00", 1811808000.0),
    ],
)
def test_an_end_is_read(text: str, end: float) -> None:
    """A span from now, a day, or a time with its zone."""
    assert end == read_end(text, NOW)


@pytest.mark.parametrize("text", ["", "tomorrow", "7", "9999999d", "2027-13-01", "0s", "2020-01-01"])
def test_what_is_no_end_is_refused(text: str) -> None:
    """Another text, and what is over."""
    with pytest.raises(ConfigurationError, match=r"write a day such as|is over"):
        read_end(text, NOW)


@pytest.mark.parametrize(
    ("name", "known"),
    [("alice", True), ("", False), ("a\nb", False), ("a\u202eb", False), ("x" * 1024, True), ("x" * 1025, False)],
)
def test_names(name: str, known: bool) -> None:
    """A name has 1 to 1024 printable characters."""
    assert known == is_name(name)


@pytest.mark.parametrize(
    ("pattern", "keep", "faults"),
    [
        ("orders:*", ("orders:read",), []),
        ("orders:read", ("users:read",), ["keep users:read: orders:read does not cover it"]),
        ("orders:read", ("orders:read",), ["keep orders:read: nothing of orders:read would be revoked"]),
    ],
)
def test_exceptions_are_covered_by_the_pattern(pattern: str, keep: tuple[str, ...], faults: list[str]) -> None:
    """An exception is a part of what is revoked, and not all of it."""
    assert faults == [*pattern_faults(pattern, keep)]


def test_a_pattern_that_is_none_is_the_only_fault() -> None:
    """Exceptions are not compared with a text that is no pattern."""
    assert 1 == len([*pattern_faults("not a pattern", ("orders:read",))])


def test_an_unknown_issuer_is_warned_of() -> None:
    """A similar one is suggested; otherwise the known ones are named, at most five."""
    assert [] == [*issuer_warnings("https://a.test", ["https://a.test"])]
    assert [] == [*issuer_warnings("https://a.test", ["", ""])]
    (near,) = issuer_warnings("https://a.tests/", ["https://a.test/"])
    assert "did you mean" in near
    (far,) = issuer_warnings("https://a.test/", [f"urn:{number}" for number in range(7)])
    assert "it knows urn:0, urn:1, urn:2, urn:3, urn:4 and 2 more" in far
    assert "a, b" == join_names(["a", "b"])


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"of": "token"}, "the token x of i is refused, and every token downscoped from it"),
        ({"before": None}, "every token of the subject x of i is refused until this is lifted"),
        (
            {"before": 0.0},
            "every token of the subject x of i that was issued until 1970-01-01T00:00:00Z is refused; later ones are not",
        ),
        ({"pattern": "**", "until": 1e18}, "all is refused to the subject x of i, until no date"),
        (
            {"of": "role", "pattern": "a:*", "keep": ("a:b",)},
            "a:* that the role x of i confers is refused, but for a:b, until this is lifted",
        ),
        (
            {"name": "", "of": "issuer", "pattern": "a:b", "standing": True},
            "a:b is refused to i, except by elevation, until this is lifted",
        ),
    ],
)
def test_an_entry_is_described(more: dict[str, object], text: str) -> None:
    """What it refuses to whom, with exceptions and the end."""
    values: dict[str, object] = {"id": "e", "of": "subject", "issuer": "i", "name": "x", **more}
    assert text == describe_entry(RevocationEntry(**values))  # type: ignore[arg-type]  # the cases have the right types
