"""How often a property is tried: in full, or, where TESTS_EXAMPLES says so, with a share of the examples."""

from __future__ import annotations

import os
from typing import Final

from hypothesis import settings

SHARE: Final = float(os.environ.get("TESTS_EXAMPLES", "1"))


def examples(number: int) -> settings:
    """Settings with so many examples in full, and no limit on how long one takes: another process may be busy."""
    return settings(max_examples=max(round(number * SHARE), 10), deadline=None)


def usual() -> None:
    """Have a property that says no number be tried 100 times in full."""
    settings.register_profile("usual", examples(100))
    settings.load_profile("usual")
