"""Numbers in the words of a review: counts with thousands separators and a plural, and percentages."""

from __future__ import annotations


def count_noun(number: int, noun: str) -> str:
    """`number` with thousands separators, and `noun` with an s where the number is not 1."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def count_times(number: int) -> str:
    """`once`, or `number` times."""
    return "once" if number == 1 else f"{number:,} times"


def format_percent(share: float) -> str:
    """A share between 0 and 1 as a percentage; a share near 0 or 1 is not rounded to none or all."""
    if 0 < share < 0.001:  # noqa: PLR2004 - the last digit that is written
        return "< 0.1 %"
    if 0.999 < share < 1:  # noqa: PLR2004
        return "> 99.9 %"
    return f"{share * 100:.1f} %"
