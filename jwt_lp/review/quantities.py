"""Numbers in the words of a review: counts with thousands separators and a plural, and percentages."""

from __future__ import annotations

from typing import Final

_PLURALS: Final = {"entry": "entries", "person": "people"}


def count_noun(number: int, noun: str) -> str:
    """`number` with thousands separators, and `noun` in the plural where the number is not 1."""
    return f"{number:,} {noun if number == 1 else plural_of(noun)}"


def plural_of(noun: str) -> str:
    """The plural of a noun."""
    return _PLURALS.get(noun, f"{noun}s")


def count_times(number: int) -> str:
    """`once`, or `number` times."""
    return "once" if number == 1 else f"{number:,} times"


def format_quantity(number: float) -> str:
    """A number with at most one decimal; one that is almost 0 is not rounded to 0."""
    if 0 < number < 0.05:  # noqa: PLR2004 - what would be rounded to 0
        return "< 0.1"
    return f"{number:,.1f}".removesuffix(".0")


def format_percent(share: float) -> str:
    """A share between 0 and 1 as a percentage with at most one decimal.

    A share near 0 or 1 is not rounded to none or all.
    """
    if 0 < share < 0.0005:  # noqa: PLR2004 - what would be rounded to none
        return "< 0.1 %"
    if 0.9995 < share < 1:  # noqa: PLR2004 - what would be rounded to all
        return "> 99.9 %"
    return f"{share * 100:,.1f}".removesuffix(".0") + " %"
