"""Decisions of the core over a real map of API operations."""

from __future__ import annotations

import pytest

from api_operations import load_operations
from jwt_lp import all_of
from jwt_lp.testing.authority import Authority


def test_the_map_is_whole() -> None:
    """The map has 440 operations with distinct methods and templates."""
    operations = load_operations()
    assert 440 == len(operations)
    assert 440 == len({(operation.method, operation.template) for operation in operations})


@pytest.mark.once
def test_every_pair_of_permission_and_operation() -> None:
    """An operation is allowed with its own permission and refused with every other permission of the map."""
    authority = Authority()
    guard = authority.guard()
    operations = load_operations()
    headers = {
        name: authority.headers(permissions=[name]) for name in {operation.permission for operation in operations}
    }
    wrong = [
        (permission, operation)
        for permission, header in headers.items()
        for operation in operations
        if guard.check(header["Authorization"], all_of(operation.permission), {}, operation.template).passes
        is not (permission == operation.permission)
    ]
    assert [] == wrong


def test_wildcards_over_the_map() -> None:
    """`*:read` allows every read operation and no write operation; `**` allows all."""
    authority = Authority()
    guard = authority.guard()
    read, everything = (
        guard.authenticate(authority.headers(permissions=[permission])["Authorization"]).token
        for permission in ("*:read", "**")
    )
    operations = load_operations()
    assert [operation.permission.endswith(":read") for operation in operations] == [
        guard.can(read, all_of(operation.permission)) for operation in operations
    ]
    assert all(guard.can(everything, all_of(operation.permission)) for operation in operations)
