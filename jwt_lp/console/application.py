"""The console as an ASGI application: its guard, its pages and what surrounds them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware

from jwt_lp.console import session_page, static_files
from jwt_lp.console.addresses import ROOT_KEY
from jwt_lp.console.ended_sessions import EndedSessionMiddleware
from jwt_lp.console.error_pages import fail, handlers
from jwt_lp.console.forms import FormMiddleware
from jwt_lp.console.pages import (
    audit,
    campaigns,
    decide,
    elevations,
    holders,
    items,
    overview,
    plans,
    revocations,
    route_list,
    search,
)
from jwt_lp.console.response_headers import ResponseHeadersMiddleware
from jwt_lp.console.sign_in_redirect import SignInRedirectMiddleware
from jwt_lp.console.state import NO_PEOPLE, ConsoleState
from jwt_lp.errors import ConfigurationError
from jwt_lp.guard.guard import Guard
from jwt_lp.guard.routes import Rules
from jwt_lp.guard.settings import Settings
from jwt_lp.permissions.requirements import external
from jwt_lp.policy.file import Policy
from jwt_lp.stores import open_store
from jwt_lp.usage.recorder import omitted_subject, plain_subject, pseudonymizer
from jwt_lp_starlette import LeastPrivilege

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping, Sequence

    from starlette.routing import BaseRoute

    from jwt_lp.permissions.requirements import Requirement
    from jwt_lp.review.analysis.people import Person
    from jwt_lp.stores import SignInStore, Store
    from jwt_lp.webhooks import Webhook

_PAGES: Final = (overview, campaigns, decide, items, holders, search, route_list, plans, elevations, revocations, audit)
_NO_NAMES: Final[Mapping[str, str]] = MappingProxyType({})


class Console:
    """The console, an ASGI application to serve or to mount.

    It carries its own declaration for a guard around it: `external`, because its own guard decides about each request.
    `guard` is that guard, `starlette` the application inside.
    """

    def __init__(self, starlette: Starlette, guard: Guard, own_store: Store | None = None) -> None:
        self.starlette: Starlette = starlette
        self.guard: Guard = guard
        self._own_store = own_store
        self._app = ResponseHeadersMiddleware(starlette)
        self.__jwt_lp__: Requirement = external("the console has a guard of its own")

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Answer a request; the scope of an application around this one stays as it is."""
        ended = False

        async def sending(message: MutableMapping[str, Any]) -> None:
            nonlocal ended
            ended = ended or (message["type"] == "http.response.body" and not message.get("more_body"))
            await send(message)

        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        own = {name: value for name, value in scope.items() if name != "jwt_lp"}
        own[ROOT_KEY] = scope.get("root_path", "")
        try:
            await self._app(own, receive, sending)
        except Exception:
            # An error that was answered with a page was logged, too: a host must not answer it once more.
            if not ended:
                raise

    async def _live(self, receive: Any, send: Any) -> None:
        """Answer the lifespan protocol."""
        for event in ("startup", "shutdown"):
            await receive()
            if event == "shutdown":
                await run_in_threadpool(self.close)
            await send({"type": f"lifespan.{event}.complete"})

    def close(self) -> None:
        """Close its guard, which writes the recorded usage, and the store that was opened for it.

        A server that runs the lifespan protocol has it done; a host in which the console is mounted does it itself.
        """
        self.guard.close()
        if self._own_store is not None:
            self._own_store.close()


def create_console(  # noqa: PLR0913 - keywords, each with a default
    settings: Mapping[str, object] | Settings | Guard,
    *,
    store: Store | str | None = None,
    policy: Policy | str | Path | None = None,
    people: Mapping[str, Person] = NO_PEOPLE,
    issuer_names: Mapping[str, str] = _NO_NAMES,
    plans: str | Path | None = None,
    sign_in_url: str = "",
    refresh_url: str = "",
    sign_out_url: str = "",
    person: str = "",
    title: str = "Access",
    webhooks: Sequence[Webhook] = (),
    local_operator: str = "",
    sessions: SignInStore | None = None,
    routes: Sequence[BaseRoute] = (),
    middleware: Sequence[Middleware] = (),
    applications: Sequence[object] = (),
    clock: Callable[[], float] = time.time,
) -> Console:
    """The console as an ASGI application, with a guard of its own.

    `settings` are those of the host's guard, or the guard, with `COOKIE`, because people use the console in a browser.
    `store` and `policy` are those of the settings unless others are given; `policy` may be the path of the policy file,
    which plans need. `people` is the list of people by subject. `plans` is the folder of plan files. `sign_in_url` is
    the host's page for signing in, which gets the path to come back to as `next`; `refresh_url` and `sign_out_url` are
    its endpoints `refresh` and `sign-out`; all are paths on this host. `person` is the claim that identifies a
    person at all issuers. `webhooks` get reminders. `sessions` is the store of the host's sign-in, by default `store`.
    `local_operator` is who works with a console that runs on its own, and `routes` and `middleware` are what signs that
    person in. The routes of `applications`, of any host, are listed with their declarations. Raises
    `ConfigurationError` for what cannot work.
    """
    _check_people(people)
    # Nothing is opened where something is wrong.
    paths = {
        "sign_in_url": _local_path("sign_in_url", sign_in_url),
        "refresh_url": _local_path("refresh_url", refresh_url),
        "sign_out_url": _local_path("sign_out_url", sign_out_url),
    }
    guard = Guard(_console_settings(settings), clock=clock)
    opened, own_store = _open(guard.settings.store if store is None else store)
    policy_file = Path(policy) if isinstance(policy, str | Path) else None
    state = ConsoleState(
        store=opened,
        policy=policy if isinstance(policy, Policy) else _read_policy(policy_file, guard.settings.policy),
        policy_file=policy_file,
        people=people,
        issuer_names=issuer_names,
        plans=None if plans is None else Path(plans),
        person=person,
        push=guard.settings.push,
        title=title,
        **paths,
        local_operator=local_operator,
        sessions=opened if sessions is None else sessions,
        naming=_naming(guard.settings.subjects),
        webhooks=webhooks,
        applications=tuple(applications),
        clock=clock,
    )
    app = _application(state, guard, routes, middleware)
    return Console(app, guard, own_store)


def _open(named: Store | str | None) -> tuple[Store, Store | None]:
    """The store, and again if it was opened here and so has to be closed here."""
    if not named:
        raise ConfigurationError("the console needs a store: pass store=, or set STORE in the settings")
    if not isinstance(named, str):
        return named, None
    opened = open_store(named)
    return opened, opened


def _application(
    state: ConsoleState, guard: Guard, routes: Sequence[BaseRoute], middleware: Sequence[Middleware]
) -> Starlette:
    """The pages under the guard, and what handles each request around them, the outermost first."""
    app = Starlette(
        routes=[*routes, *_routes()],
        middleware=[
            *middleware,
            Middleware(SignInRedirectMiddleware, state=state),
            Middleware(EndedSessionMiddleware, state=state, guard=guard),
            Middleware(FormMiddleware, fail=fail),
        ],
        exception_handlers=handlers(),
    )
    app.state.console = state
    LeastPrivilege(app, guard)
    return app


def _console_settings(settings: Mapping[str, object] | Settings | Guard) -> Settings:
    """The settings without what belongs to the host's routes; the console's own declarations are always enforced."""
    read = settings.settings if isinstance(settings, Guard) else Settings.from_mapping(settings)
    if read.cookies is None:
        raise ConfigurationError('the console is used in a browser: its settings need "COOKIE": True')
    return replace(read, rules=Rules(), urlconfs=(), observe_until=None, resource="", elevation_url="", local_user=None)


def _check_people(people: object) -> None:
    if not isinstance(people, Mapping):
        raise ConfigurationError(
            'people are a mapping by subject, such as {"ann": Person("Ann Lee", "Sales", "Bob Ray")}'
        )


def _naming(key: bytes | None) -> Callable[[str, str], str]:
    """How the store names subjects, by `SUBJECTS` in the settings."""
    if key is None:
        return omitted_subject
    return pseudonymizer(key) if key else plain_subject


def _read_policy(file: Path | None, otherwise: Policy) -> Policy:
    return otherwise if file is None else Policy.load(file)


def _local_path(name: str, url: str) -> str:
    if url and (not url.startswith("/") or url.startswith(("//", "/\\")) or not url.isprintable()):
        raise ConfigurationError(f'{name} is a path on this host, such as "/auth/sign-in"')
    return url


def _routes() -> list[BaseRoute]:
    found: list[BaseRoute] = [*static_files.routes(), *session_page.routes()]
    for module in _PAGES:
        found += module.routes()
    return found
