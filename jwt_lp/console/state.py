"""State of a console: what its pages work with, and how a page finds it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, cast

from jwt_lp.errors import ConfigurationError
from jwt_lp.usage.recorder import plain_subject

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from starlette.requests import HTTPConnection

    from jwt_lp.campaigns.campaigns import Campaigns
    from jwt_lp.campaigns.policy_source import PolicySource
    from jwt_lp.console.plan_folder import PlanFolder
    from jwt_lp.elevation.elevations import Elevations
    from jwt_lp.guard.routes import Route
    from jwt_lp.policy.file import Policy
    from jwt_lp.review.analysis.people import Person
    from jwt_lp.stores import Actor, SignInStore, Store
    from jwt_lp.webhooks import Webhook

NO_PEOPLE: Final[Mapping[str, Person]] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class ConsoleState:
    """What the pages of one console share.

    `policy_file` is the file that `policy` was read from, None if it came from the settings. `people` is the list of
    people by subject. `plans` is the folder of plan files, None where plans are only downloaded. `person` is the claim
    that identifies a person at all issuers. The URLs are those of the host's sign-in, "" where it has none.
    `local_operator` is who works with a console that runs on its own, "" where a host has the sign-in. `sessions` is
    the store in which the sign-in keeps its sessions. `naming` gives the name that the store records for a subject.
    `webhooks` get reminders. `applications` are those whose routes are listed.
    `webhooks` get reminders and the notices of plans.
    """

    store: Store
    policy: Policy
    policy_file: Path | None = None
    people: Mapping[str, Person] = field(default_factory=lambda: NO_PEOPLE)
    issuer_names: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    plans: Path | None = None
    person: str = ""
    push: str = ""
    title: str = "Access"
    sign_in_url: str = ""
    refresh_url: str = ""
    sign_out_url: str = ""
    local_operator: str = ""
    sessions: SignInStore
    naming: Callable[[str, str], str] = plain_subject
    webhooks: Sequence[Webhook] = ()
    applications: Sequence[object] = ()
    clock: Callable[[], float] = time.time

    @cached_property
    def policy_source(self) -> PolicySource:
        """The policy as it is now: that of its file, which is read again when it has changed."""
        from jwt_lp.campaigns.policy_source import PolicySource

        return PolicySource(self.policy if self.policy_file is None else self.policy_file)

    @cached_property
    def campaigns(self) -> Campaigns:
        """The engine of campaigns."""
        from jwt_lp.campaigns.campaigns import Campaigns

        policy = self.policy if self.policy_file is None else self.policy_file
        return Campaigns(
            self.store,
            policy,
            people=self.people,
            issuer_names=self.issuer_names,
            naming=self.naming,
            webhooks=self.webhooks,
            clock=self.clock,
        )

    @cached_property
    def application_routes(self) -> tuple[Route, ...]:
        """The routes of the applications, with their declarations."""
        from jwt_lp.guard.hosts import find_host

        return tuple(route for app in self.applications for route in find_host(app).routes(app))

    @cached_property
    def plan_folder(self) -> PlanFolder | None:
        """The plan files in the folder `plans`; None without one."""
        from jwt_lp.console.plan_folder import PlanFolder

        return None if self.plans is None else PlanFolder(self.plans)

    @cached_property
    def elevations(self) -> Elevations:
        """The elevations of the store, by the rules of the policy."""
        from jwt_lp.elevation.elevations import Elevations

        return Elevations(self.policy, self.store, person=self.person, push=self.push or None, clock=self.clock)


def console_of(request: HTTPConnection) -> ConsoleState:
    """The state of the console that answers `request`."""
    state = getattr(request.app.state, "console", None)
    if not isinstance(state, ConsoleState):
        raise ConfigurationError("the application is no console: make it with jwt_lp.console.create_console")
    return state


def actor_of(request: HTTPConnection) -> Actor:
    """Who sends `request`: the issuer and the subject of the verified access token, with the name that people read."""
    from jwt_lp.stores import Actor
    from jwt_lp_starlette import token_from

    token = token_from(request)
    if token is None:
        raise ConfigurationError("nobody is known here: the route needs requires(...) with a permission of the console")
    operator = console_of(request).local_operator
    if operator:
        return Actor(issuer="", subject=operator, name=operator)
    return Actor(issuer=token.issuer, subject=token.subject, name=shown_name(request))


def shown_name(request: HTTPConnection) -> str:
    """The name of the person who sends `request`: of the list of people, else of the token, else the subject."""
    from jwt_lp_starlette import token_from

    token = token_from(request)
    if token is None:
        return ""
    console = console_of(request)
    if console.local_operator:
        return console.local_operator
    person = console.people.get(console.naming(token.issuer, token.subject))
    claimed = cast("Any", token.claims.get("name"))
    return (person.name if person is not None else "") or (claimed if isinstance(claimed, str) else "") or token.subject
