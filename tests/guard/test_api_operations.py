"""Decisions of the core over a real map of API operations."""

from __future__ import annotations

from api_operations import load_operations
from jwt_lp import all_of
from jwt_lp.testing.authority import Authority


def test_the_map_is_whole() -> None:
    """The map has 440 operations with distinct methods and templates."""
    found = load_operations()
    assert 440 == len(found)
    assert 440 == len({(each.method, each.template) for each in found})


def test_every_pair_of_permission_and_operation() -> None:
    """An operation is allowed with its own permission and refused with every other permission of the map."""
    authority = Authority()
    guard = authority.guard()
    found = load_operations()
    headers = {name: authority.headers(permissions=[name]) for name in {each.permission for each in found}}
    wrong = [
        (held, each)
        for held, header in headers.items()
        for each in found
        if guard.check(header["Authorization"], all_of(each.permission), {}, each.template).passes
        is not (held == each.permission)
    ]
    assert [] == wrong


def test_wildcards_over_the_map() -> None:
    """`*:read` allows every read operation and no write operation; `**` allows all."""
    authority = Authority()
    guard = authority.guard()
    read, everything = (
        guard.authenticate(authority.headers(permissions=[held])["Authorization"]).token for held in ("*:read", "**")
    )
    found = load_operations()
    assert [each.permission.endswith(":read") for each in found] == [
        guard.can(read, all_of(each.permission)) for each in found
    ]
    assert all(guard.can(everything, all_of(each.permission)) for each in found)
