"""Helpers for tests of issued tokens."""

from __future__ import annotations

from typing import Any

import jwt
import pytest

from jwt_lp.errors import PolicyError


def claims_of(token: str) -> dict[str, Any]:
    """Return the claims of a token without verifying it."""
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def refused(reason: str, make: Any, *args: Any, **kwargs: Any) -> str:
    """Return the message of the `PolicyError` with that reason."""
    with pytest.raises(PolicyError) as caught:
        make(*args, **kwargs)
    assert reason == caught.value.reason
    return str(caught.value)
