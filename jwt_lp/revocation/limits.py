"""The ages, in seconds, at which a revocation snapshot is stale and at which it counts as none, by default."""

from __future__ import annotations

from typing import Final

STALE_AFTER: Final = 60.0
REFUSE_AFTER: Final = 3600.0
