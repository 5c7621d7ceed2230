"""Words about a campaign: its deadline, and what its rule decides."""

from __future__ import annotations

from typing import Final

from jwt_lp.review.quantities import count_noun

_DAY: Final = 86400

RULE_WORDS: Final = {
    "keep": "what nobody decides about is kept",
    "remove": "what nobody decides about is removed, unless something speaks against it",
    "proposal": "what nobody decides about is done as the review proposes",
}


def time_left(seconds: float) -> str:
    """How long it is until a deadline, or how long it is past, in days or hours."""
    ago = " ago" if seconds < 0 else " left"
    days, hours = divmod(abs(seconds), _DAY)
    if days:
        return f"{count_noun(int(days), 'day')}{ago}"
    return f"{count_noun(max(1, int(hours // 3600)), 'hour')}{ago}"
