"""The console as an ASGI application: its guard, its pages and what surrounds them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.middleware import Middleware

from jwt_lp.console import static_files
from jwt_lp.console.error_pages import handlers
from jwt_lp.console.forms import FormMiddleware
from jwt_lp.console.response_headers import ResponseHeadersMiddleware
from jwt_lp.console.state import NO_PEOPLE, ConsoleState
from jwt_lp.errors import ConfigurationError
from jwt_lp.guard.guard import Guard
from jwt_lp.guard.settings import Settings
from jwt_lp.policy.file import Policy
from jwt_lp.stores import open_store
from jwt_lp_starlette import LeastPrivilege

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.routing import BaseRoute

    from jwt_lp.review.analysis.people import Person
    from jwt_lp.stores import Store

_PAGES: Final = (
    "overview",
    "campaigns",
    "decide",
    "items",
    "holders",
    "search",
    "route_list",
    "plans",
    "elevations",
    "revocations",
    "audit",
)


def create_console(  # noqa: PLR0913 - keywords, each with a default
    settings: Mapping[str, object] | Settings | Guard,
    *,
    store: Store | str | None = None,
    policy: Policy | str | Path | None = None,
    people: Mapping[str, Person] = NO_PEOPLE,
    issuer_names: Mapping[str, str] | None = None,
    plans: str | Path | None = None,
    sign_in_url: str = "",
    refresh_url: str = "",
    sign_out_url: str = "",
    person: str = "",
    title: str = "Access",
    applications: Sequence[object] = (),
    clock: Callable[[], float] = time.time,
) -> Starlette:
    """The console as an ASGI application, with a guard of its own.

    `settings` are those of the guard, with `COOKIE`, because people use the console in a browser. `store` and `policy`
    are those of the settings unless others are given; `policy` may be the path of the policy file, which plans need.
    `people` is the list of people by subject. `plans` is the folder of plan files. `sign_in_url`, `refresh_url` and
    `sign_out_url` are those of the host's sign-in, as paths on this host. `person` is the claim that identifies a
    person at all issuers. The routes of `applications`, of any host, are listed with their declarations. Raises
    `ConfigurationError` for what cannot work.
    """
    guard = settings if isinstance(settings, Guard) else Guard(settings)
    made = guard.settings
    if made.cookies is None:
        raise ConfigurationError('the console is used in a browser: its settings need "COOKIE": True')
    named = made.store if store is None else store
    if not named:
        raise ConfigurationError("the console needs a store: pass store=, or set STORE in the settings")
    policy_file = Path(policy) if isinstance(policy, str | Path) else None
    state = ConsoleState(
        store=open_store(named) if isinstance(named, str) else named,
        policy=Policy.from_file(policy_file) if policy_file is not None else (policy or made.policy),
        policy_file=policy_file,
        people=people,
        issuer_names=issuer_names or {},
        plans=None if plans is None else Path(plans),
        person=person,
        push=made.push,
        title=title,
        sign_in_url=sign_in_url,
        refresh_url=refresh_url,
        sign_out_url=sign_out_url,
        applications=tuple(applications),
        clock=clock,
    )
    app = Starlette(
        routes=_routes(),
        middleware=[Middleware(ResponseHeadersMiddleware), Middleware(FormMiddleware)],
        exception_handlers=handlers(),
    )
    app.state.console = state
    LeastPrivilege(app, guard)
    return app


def _routes() -> list[BaseRoute]:
    found: list[BaseRoute] = [*static_files.routes()]
    for name in _PAGES:
        module = f"jwt_lp.console.pages.{name}"
        if find_spec(module) is not None:
            found += import_module(module).routes()
    return found
