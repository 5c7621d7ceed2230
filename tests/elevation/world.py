"""A policy, a store and people for tests of elevations."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jwt_lp import AccessToken, Elevations, Policy
from jwt_lp.testing import Authority

if TYPE_CHECKING:
    from jwt_lp.stores import Store

NOW = 1_800_000_000.0
APPROVE = "orders:export:approve"
RULE: dict[str, Any] = {"ask": ["role:support"], "approve": APPROVE, "longest": "1h", "reason": False}
ROLES = {"support": {"grants": ["orders:read"]}, "lead": {"grants": ["orders:*", APPROVE]}}


def policy(rules: dict[str, dict[str, Any]] | None = None, **rule: Any) -> Policy:
    """A policy with a rule for `orders:export`, changed by `rule`, and other rules."""
    return Policy.from_mapping(
        {"version": 1, "roles": ROLES, "elevation": {"orders:export": {**RULE, **rule}, **(rules or {})}}
    )


class World:
    """One issuer with its people, a store, and a clock that the test moves."""

    def __init__(self, store: Store, rules: Policy | None = None, **options: Any) -> None:
        self.now = NOW
        self.store = store
        self.policy = policy() if rules is None else rules
        self.authority = Authority(policy=self.policy, clock=lambda: self.now)
        self.guard = self.authority.guard()
        self.elevations = Elevations(self.policy, store, clock=lambda: self.now, **options)

    def token(self, subject: str = "ana", *roles: str, **more: Any) -> AccessToken:
        """The verified token of somebody; by default of Ana, who has the role `support`."""
        if not roles and "permissions" not in more:
            roles = ("support",) if subject == "ana" else ("lead",)
        return self.read(self.authority.token(subject, roles=roles, **more))

    def read(self, text: str, guard: Any = None) -> AccessToken:
        """A token as a guard verifies it."""
        token = (guard or self.guard).authenticate(f"Bearer {text}").token
        assert token is not None
        return token


WorldMaker = Callable[..., World]
