"""Bar of granted and used: one line that is divided into its parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp.review.quantities import format_percent

if TYPE_CHECKING:
    from collections.abc import Iterable

BAR_SIZE: Final = (1000, 28)
"""The width and the height of a bar."""

_LEAST: Final = 4.0


class BarPart(NamedTuple):
    """A part of a bar: its kind, by which it is coloured, its label, its number and its share."""

    kind: str
    label: str
    number: int
    share: str
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar, and the sentence that says the same."""

    total: int
    parts: tuple[BarPart, ...]
    description: str


def build_bar(parts: Iterable[tuple[str, str, int]]) -> Bar:
    """The bar of these parts, each with its kind, its label and its number; an empty part is listed but not drawn."""
    numbers = [(kind, label, max(0, number)) for kind, label, number in parts]
    total = sum(number for _, _, number in numbers)
    # A part that is hardly visible would look like none.
    widths = [max(_LEAST, number / total * BAR_SIZE[0]) if number else 0.0 for _, _, number in numbers]
    scale = BAR_SIZE[0] / sum(widths) if total else 0.0
    drawn: list[BarPart] = []
    x = 0.0
    for (kind, label, number), width in zip(numbers, widths, strict=True):
        share = format_percent(number / total) if total else "0 %"
        drawn.append(BarPart(kind, label, number, share, round(x, 1), round(width * scale, 1)))
        x += width * scale
    described = ", ".join(f"{part.number:,} {part.label} ({part.share})" for part in drawn)
    return Bar(total, tuple(drawn), f"{total:,} in all: {described}" if total else "none")
