"""Type guards for decoded JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeGuard


def unique_members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """The object of a JSON document, for `object_pairs_hook`; `ValueError` for a member that comes twice.

    Of such members one reader takes the first and another the last, so that each reads something else.
    """
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member comes twice")
    return members


def is_json_object(value: object) -> TypeGuard[Mapping[str, object]]:
    """Whether the value is a JSON object: any mapping, frozen ones included."""
    return isinstance(value, Mapping)


def is_json_array(value: object) -> TypeGuard[list[object] | tuple[object, ...]]:
    """Whether the value is a JSON array: a list or a tuple."""
    return isinstance(value, list | tuple)
