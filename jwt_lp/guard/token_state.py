"""What a guard keeps for a verified token, so that the same question is answered again by look-ups."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from jwt_lp.guard.decisions import Cause, Decision
    from jwt_lp.tokens.claims import AccessToken
    from jwt_lp.usage.recorder import UsageSlot

MAX_KEPT: Final = 64
"""How many decisions are kept for one token, and how many uses. With the bound of the token cache, this bounds the memory of a process."""

MAX_KEPT_ROUTE: Final = 256
"""How long the route of a kept decision is at most: a client may invent a method if a route does not list its own."""

ENDS: Final = "ends"
"""The last part of what finds a kept decision that time alone can change."""


@dataclass(frozen=True, slots=True, eq=False)
class KeptDecision:
    """A decision that let a request pass, and the usage to count each time it is given again."""

    key: object
    decision: Decision
    slots: tuple[UsageSlot, ...] = ()


@dataclass(slots=True, eq=False)
class TokenState:
    """What a guard keeps for a token while its `basis` stays the same.

    `owner` is the runtime whose state it is, and `basis` its revocation snapshot; without a store both are the guard's
    `Authorizer`. `token` is the token without its revoked grants and with the temporary grants of its subject; `cause`
    is set if the whole token is revoked. At `expires_at`, in seconds since the epoch, a deny entry ends, or a temporary
    grant ends or begins, and the state must be computed again; after the monotonic time `deadline` too.
    """

    owner: object
    # INVARIANT: no two guards have the same basis, so no guard uses a state of another one.
    basis: object
    token: AccessToken
    cause: Cause | None = None
    expires_at: float = math.inf
    # INVARIANT: infinite if `expires_at` is, so that most requests compare one number and read no clock.
    deadline: float = math.inf
    decisions: dict[object, KeptDecision] = field(default_factory=dict[object, KeptDecision])

    slots: dict[object, tuple[UsageSlot, ...]] = field(default_factory=dict[object, "tuple[UsageSlot, ...]"])

    def keep(self, key: object, decision: Decision, slots: tuple[UsageSlot, ...] = ()) -> None:
        """Keep a decision about the requirement with this key.

        It is found by its route, or by `(key, route)`; in a state that has an end only by `(key, route, ENDS)`.
        """
        route = decision.route
        if len(route) <= MAX_KEPT_ROUTE:
            if len(self.decisions) >= MAX_KEPT:
                # What is still in use is soon kept again.
                self.decisions = {}
            name: object
            if self.expires_at != math.inf:
                # INVARIANT: whoever compares no clock with the end of the state does not find its decisions.
                name = key, route, ENDS
            else:
                # A route has mostly one requirement, which is found by the route alone.
                name = route if route not in self.decisions else (key, route)
            self.decisions[name] = KeptDecision(key, decision, slots)

    def keep_slots(self, key: tuple[object, str, str, object, str], slots: tuple[UsageSlot, ...]) -> None:
        """Keep what a decision counts under a key that holds its route in the second place."""
        if len(key[1]) <= MAX_KEPT_ROUTE:
            if len(self.slots) >= MAX_KEPT:
                self.slots = {}
            self.slots[key] = slots


def attach_state(state: TokenState, *tokens: AccessToken) -> TokenState:
    """Keep the state on the frozen tokens themselves, and return it.

    The state refers to the token, so a weak dictionary would never release it.
    """
    for token in tokens:
        object.__setattr__(token, "token_state", state)
    return state
