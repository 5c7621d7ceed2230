"""Faults of many lines, in few sentences."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from jwt_lp.review.quantities import count_noun

if TYPE_CHECKING:
    from collections.abc import Iterable

SHOWN: Final = 5
MAX_KINDS: Final = 20


class LineFaults:
    """The faults of a file by their text, each with its lines."""

    def __init__(self) -> None:
        self._lines: dict[str, list[int]] = {}

    def add(self, line: int, fault: str) -> None:
        """Note a fault of a line."""
        self._lines.setdefault(fault, []).append(line)

    def summary(self) -> list[str]:
        """One sentence for each text with its first lines, and at most `MAX_KINDS` of them."""
        return limit_faults(f"{_name_lines(lines)}: {fault}" for fault, lines in self._lines.items())


def limit_faults(faults: Iterable[str]) -> list[str]:
    """The first `MAX_KINDS` faults, and how many more there are."""
    iterator = iter(faults)
    shown = list(islice(iterator, MAX_KINDS))
    more = sum(1 for _ in iterator)
    return [*shown, f"and {count_noun(more, 'more fault')}"] if more else shown


def _name_lines(lines: list[int]) -> str:
    first = ", ".join(map(str, lines[:SHOWN]))
    more = len(lines) - SHOWN
    return f"line{'' if len(lines) == 1 else 's'} {first}{f' and {more:,} more' if more > 0 else ''}"
