"""Type guards for decoded JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeGuard


def is_json_object(value: object) -> TypeGuard[Mapping[str, object]]:
    """Whether it is an object of JSON, frozen or not."""
    return isinstance(value, Mapping)


def is_json_array(value: object) -> TypeGuard[list[object] | tuple[object, ...]]:
    """Whether it is an array of JSON, frozen or not."""
    return isinstance(value, list | tuple)
