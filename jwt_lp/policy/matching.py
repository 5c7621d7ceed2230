"""How names in the policy match: permissions with entries of the catalogue, and external roles with roles.

Also the levels of risk, in their order.
"""

from __future__ import annotations

import re
from typing import Final

RISKS: Final = ("low", "medium", "high")

# The provider chooses the name, so it may hold nearly anything (a Keycloak group begins with a slash); the part before
# it follows our own grammar.
_SOURCE: Final = re.compile(r"(?:([^/:\s]+)/)?([a-z][a-z0-9_-]*:\S(?:.*\S)?)")


def overlaps(text: str, entry: str) -> bool:
    """Whether one permission can match both; a placeholder or `*` is any segment, a last `**` is one or more."""
    parts, segments = text.split(":"), entry.split(":")
    if parts[-1] == "**":
        parts[-1:] = ["*"] * max(1, len(segments) - len(parts) + 1)
    return len(parts) == len(segments) and all(
        part in (segment, "*") or part[:1] == "{" or segment[:1] == "{"
        for part, segment in zip(parts, segments, strict=True)
    )


def parse_role_source(text: str) -> tuple[str | None, str] | None:
    """The issuer's name (lower case, as in the settings; or None) and the external role; None if malformed."""
    match = _SOURCE.fullmatch(text) if text.isprintable() else None
    return None if match is None else (match[1] and match[1].lower(), match[2])
