"""Number of examples of each property: all, or the share that TESTS_EXAMPLES sets."""

from __future__ import annotations

import os
from typing import Final

from hypothesis import settings

SHARE: Final = float(os.environ.get("TESTS_EXAMPLES", "1"))


def examples(number: int) -> settings:
    """Settings with a share of `number` examples and no deadline, because another process may be busy."""
    return settings(max_examples=max(round(number * SHARE), 10), deadline=None)


def load_default_profile() -> None:
    """Set the number of examples of properties without settings of their own: a share of 100."""
    settings.register_profile("shared", examples(100))
    settings.load_profile("shared")
