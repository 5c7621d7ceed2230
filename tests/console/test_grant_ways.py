"""Ways to a permission: which grants and roles confer it."""

from __future__ import annotations

import pytest

from jwt_lp import Policy
from jwt_lp.console.grant_ways import covering_grants, covering_roles


@pytest.mark.parametrize(
    ("permission", "grants"),
    [
        ("orders:read", ("orders:read", "orders:*", "orders:**", "*:*", "**")),
        ("a:b:c", ("a:b:c", "a:b:*", "a:b:**", "a:*:*", "a:**", "*:*:*", "**")),
        (
            "orders:{id}:read",
            ("orders:{id}:read", "orders:*:read", "orders:*:*", "orders:*:**", "orders:**", "*:*:*", "**"),
        ),
        ("orders:*", ("orders:*",)),
        ("::", ("::",)),
        ("", ("",)),
    ],
)
def test_covering_grants_are_the_narrowest_first(permission, grants) -> None:
    """The permission itself comes first, and every candidate covers it."""
    assert grants[:1] == covering_grants(permission)[:1]
    assert set(grants) == set(covering_grants(permission))


def test_a_long_permission_has_few_candidates() -> None:
    """A name from an address cannot make the store look up hundreds of patterns."""
    assert 1 == len(covering_grants(":".join(["a"] * 500)))


def test_roles_confer_what_their_grants_cover() -> None:
    """Each role counts once, with the grant that covers the permission."""
    policy = Policy.from_mapping(
        {
            "version": 1,
            "permissions": {"orders:read": {}, "orders:write": {}, "pay:all": {}},
            "roles": {
                "boss": {"grants": ["orders:*", "pay:all"]},
                "clerk": {"grants": ["orders:read"]},
                "lead": {"grants": ["pay:all"], "includes": ["clerk"]},
            },
        }
    )
    assert [("boss", "orders:*"), ("clerk", "orders:read"), ("lead", "orders:read")] == list(
        covering_roles(policy, "orders:read")
    )
    assert [("boss", "orders:*")] == list(covering_roles(policy, "orders:write"))
