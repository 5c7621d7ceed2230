"""The ASGI scope: its type, the key of the guard's context, and names for what requests have in common."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]

CONTEXT_KEY: Final = "jwt_lp"
BEARER: Final = "bearer"
WEBSOCKET: Final = "WEBSOCKET"
NO_PARAMETERS: Final[Mapping[str, object]] = MappingProxyType({})


def request_method(scope: Scope) -> str:
    """The request's method; `WEBSOCKET` counts as one."""
    return WEBSOCKET if scope["type"] == "websocket" else scope["method"]
