"""Whether a token is used by its subject itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jwt_lp.tokens.claims import AccessToken


def is_delegated(token: AccessToken) -> bool:
    """Whether a token was downscoped, or somebody else acts with it. A token of a session is neither."""
    narrowed = token.lineage is not None and token.lineage.is_narrowed
    return narrowed or "act" in token._claims  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - no copy is needed
