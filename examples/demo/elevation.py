"""An agent that works for erin with two tools: each call has a token for that one thing, and what it lacks it asks for."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from jwt_lp import Elevations, Issuer, Policy
from jwt_lp.stores import open_store

if TYPE_CHECKING:
    from .issuer import DemoIssuer

SECONDS: Final = 4
"""How long the agent asks to hold the permission: long enough to call every host, short enough to watch it end."""

_TASK: Final = "order-roses"
_AGENT_LIFETIME: Final = 60


@dataclass
class Agent:
    """The agent: its tokens by tool, and what each host has answered to its request."""

    tokens: dict[str, str] = field(default_factory=dict[str, str])
    asked: dict[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])

    def token_for(self, issuer: DemoIssuer, permission: str) -> str:
        """A token that can do this one thing for this one task, narrowed from the token that erin has then."""
        if permission not in self.tokens:
            own = _issuer(issuer)
            mine = own.issue("erin", permissions=["orders:list"], client="demo", lifetime=_AGENT_LIFETIME)
            self.tokens[permission] = own.narrow(mine, [permission], task=_TASK)
        return self.tokens[permission]

    def wish(self, host: str) -> Mapping[str, object]:
        """The body of the request for what is lacking."""
        return {"permission": "orders:create", "reason": f"erin wants roses, on {host}", "seconds": SECONDS}

    def keep_answer(self, host: str, content: object) -> None:
        """Keep the elevation that a host has answered with."""
        self.asked[host] = cast("Mapping[str, str]", content)


def new_token_of_erin(issuer: DemoIssuer) -> str:
    """The next token that erin gets: it holds what was approved, while that lasts."""
    return _issuer(issuer).issue("erin", permissions=["orders:list"], client="demo", lifetime=_AGENT_LIFETIME)


def wait_for_the_end(issuer: DemoIssuer) -> None:
    """Wait until what was approved is over; nothing has to run for it to end."""
    store = open_store(issuer.store)
    ends = [store.elevation(asked["id"]) for asked in issuer.agent.asked.values()]
    store.close()
    latest = max((found.until for found in ends if found is not None and found.until is not None), default=0.0)
    time.sleep(max(0.0, latest - time.time()) + 0.1)


def _issuer(issuer: DemoIssuer) -> Issuer:
    policy = Policy.load(issuer.policy)
    elevations = Elevations(policy, open_store(issuer.store))
    return Issuer(
        issuer.url,
        issuer.keys[0],
        policy=policy,
        audience=issuer.audience,
        elevated=lambda token: elevations.held(token.issuer, token.subject, token.client),
    )
