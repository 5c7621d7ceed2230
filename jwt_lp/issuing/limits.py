"""The limits of tokens that an issuer makes, where nothing else is configured: seconds, and characters."""

from __future__ import annotations

from typing import Final

DEFAULT_LIFETIME: Final = 300.0
MAX_LIFETIME: Final = 3600.0
MAX_SIZE: Final = 4096
