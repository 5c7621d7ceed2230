"""Development tokens, and the callers that may send them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jwt_lp.jose import jws

if TYPE_CHECKING:
    from jwt_lp.guard.decisions import Call

PREFIX: Final = "development-"
"""How the `kid` of each development key begins."""

_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})
_FORWARDING: Final = (
    "forwarded", "via", "x-forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-prefix",
    "x-forwarded-proto", "x-forwarded-server", "x-original-forwarded-for", "x-real-ip", "x-client-ip",
    "x-cluster-client-ip", "true-client-ip", "cf-connecting-ip",
)  # fmt: skip


def is_development_token(token: str) -> bool:
    """Whether the header of a well-formed `token`, which is not verified here, names a development key."""
    return (jws.parse_compact(token).kid or "").startswith(PREFIX)


def is_local(call: Call | None) -> bool:
    """Whether the call seems to come from this machine: a loopback peer and no header that a proxy adds."""
    return call is not None and call.peer in _LOOPBACK and not any(call.field(name) for name in _FORWARDING)
