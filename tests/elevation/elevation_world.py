"""A policy, a store and people for tests of elevations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jwt_lp import AccessToken, Elevations, Policy
from jwt_lp.errors import ElevationNotAllowed
from jwt_lp.testing import Authority
from memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from jwt_lp.stores import Elevation

NOW = 1_800_000_000.0
APPROVE = "orders:export:approve"
RULE: dict[str, Any] = {"ask": ["role:support"], "approve": APPROVE, "reason": False}
ROLES = {"support": {"grants": ["orders:read"]}, "lead": {"grants": ["orders:*", "orders:*:approve"]}}
ISSUERS = {
    name: {
        "ISSUER": f"https://{name}.example/",
        "AUDIENCE": "orders",
        "JWKS_URL": f"https://{name}.example/jwks",
        "ALGORITHMS": ["ES256"],
        "CEILING": ["**"],
    }
    for name in ("staff", "partners")
}


def policy(*, catalogue: dict[str, Any] | None = None, **rule: Any) -> Policy:
    """A policy with a rule for `orders:export`, changed by `rule`."""
    tables = {"roles": ROLES, "elevation": {"orders:export": {**RULE, **rule}}}
    return Policy.from_mapping({"version": 1, **tables, **({"permissions": catalogue} if catalogue else {})})


class World:
    """People with tokens, a store, and a clock that the test moves.

    There is one issuer of our own; with `several`, there are the issuers `staff` and `partners`.
    """

    def __init__(
        self, rules: Policy | None = None, store: Any = None, *, several: bool = False, person: str = ""
    ) -> None:
        self.now = NOW
        self.store: Any = MemoryStore() if store is None else store
        self.policy = policy() if rules is None else rules
        like = {"ISSUERS": ISSUERS, "POLICY": self.policy, "SERVICE": "orders"} if several else None
        self.authority = Authority(policy=self.policy, like=like, clock=lambda: self.now)
        self.guard = self.authority.guard()
        self.elevations = self.under(self.policy, person=person)

    def under(self, rules: Policy, *, person: str = "", clock: Callable[[], float] | None = None) -> Elevations:
        """Elevations of the same store by another policy, or with another clock."""
        return Elevations(rules, self.store, person=person, clock=clock or (lambda: self.now))

    def token(self, subject: str = "ana", *roles: str, **more: Any) -> AccessToken:
        """The verified token of somebody: Ana has the role `support`, everybody else is a `lead`."""
        if not roles and "permissions" not in more:
            roles = ("support",) if subject == "ana" else ("lead",)
        return self.read(self.authority.token(subject, roles=roles, **more))

    def read(self, text: str, guard: Any = None) -> AccessToken:
        """A token as a guard verifies it."""
        token = (guard or self.guard).authenticate(f"Bearer {text}").token
        assert token is not None
        return token

    def ask(self, **more: Any) -> Elevation:
        """A request of Ana's."""
        return self.elevations.request(self.token(), "orders:export", **more)

    def approve(self, who: AccessToken, elevation: Elevation) -> Elevation:
        """The approval of what `elevation` says."""
        return self.elevations.approve(who, elevation.id, digest=elevation.digest)

    def refusal(self, who: AccessToken, elevation: Elevation) -> str:
        """Why an approval is refused; "" if it is not. A refused one changes nothing."""
        before = self.store.elevation_steps(elevation.id)
        try:
            self.approve(who, elevation)
        except ElevationNotAllowed as error:
            assert before == self.store.elevation_steps(elevation.id)
            return error.reason
        return ""
