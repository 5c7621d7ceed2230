"""Type guards for decoded JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeGuard


def is_json_object(value: object) -> TypeGuard[Mapping[str, object]]:
    """Whether the value is a JSON object: any mapping, frozen ones included."""
    return isinstance(value, Mapping)


def is_json_array(value: object) -> TypeGuard[list[object] | tuple[object, ...]]:
    """Whether the value is a JSON array: a list or a tuple."""
    return isinstance(value, list | tuple)
