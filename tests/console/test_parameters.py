"""Numbers in addresses and forms."""

from __future__ import annotations

import pytest

pytest.importorskip("starlette", reason="the console is built on it")

from jwt_lp.console.parameters import whole_number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("007", 7),
        ("9" * 18, 10**18 - 1),
        ("9" * 19, None),
        ("9" * 5000, None),
        ("", None),
        ("-1", None),
        ("1.0", None),
        (" 1", None),
        ("1_0", None),
        ("²", None),
        ("١", None),
    ],
)
def test_a_whole_number_has_few_ascii_digits(text: str, number: int | None) -> None:
    """Anything else is no number, also what Python would read as one, or would refuse with an error of its own."""
    assert number == whole_number(text)
