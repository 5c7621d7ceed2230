"""A console that runs on its own, for one operator on this machine, who signs in by a link from the terminal.

The operator has the store at hand anyway, so the session has every permission of the console. It is bound to loopback:
the address, the Host header and the cookies, which no other site gets or sends.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.routing import Mount, Route

from jwt_lp.console.application import Console, create_console
from jwt_lp.console.local_sessions import LocalSessions
from jwt_lp.console.local_sign_in import LocalSignIn
from jwt_lp.console.navigation import APPLY, APPROVE, DECIDE, READ, REVOKE
from jwt_lp.console.one_time_codes import OneTimeCodes
from jwt_lp.guard.cookies import Cookies
from jwt_lp.guard.settings import Settings
from jwt_lp.issuing.issuer import Issuer
from jwt_lp.jose.signing import SigningKey
from jwt_lp.signin.granted import Granted
from jwt_lp.signin.sign_in import SignIn
from jwt_lp_starlette import sign_in_endpoints

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.routing import BaseRoute

    from jwt_lp.policy.file import Policy
    from jwt_lp.stores import Store

HOSTS: Final = ("127.0.0.1", "localhost")
"""The names by which a browser may call it; any other is that of a site that leads to this machine (DNS rebinding)."""

_ISSUER: Final = "https://console.jwt-lp.invalid/"
_AUDIENCE: Final = "console"
_PERMISSIONS: Final = (READ, DECIDE, APPLY, APPROVE, REVOKE)
_FOLDER: Final = "/local"
_ACCESS_LIFETIME: Final = 300.0
_REFRESH_LIFETIME: Final = 12 * 3600.0
_SESSION_LIFETIME: Final = 7 * 86400.0
_REFRESH: Final = "jwt_lp_refresh"


class LocalConsole:
    """The application to serve on loopback, and the links that sign in; `console` is the application."""

    def __init__(self, console: Console, codes: OneTimeCodes) -> None:
        self.console: Console = console
        self._codes = codes

    def link(self, port: int) -> str:
        """A new address that signs in once, within five minutes."""
        return f"http://{HOSTS[0]}:{port}{_FOLDER}/sign-in?{urlencode({'code': self._codes.make()})}"


def create_local_console(
    store: Store,
    *,
    operator: str,
    settings: Settings | None = None,
    routes: Sequence[BaseRoute] = (),
    clock: Callable[[], float] = time.time,
    **options: Any,
) -> LocalConsole:
    """A console for `operator`; the other options are those of `create_console`.

    Of `settings` it takes how the store names subjects, and where guards are told of changes.
    """
    key = SigningKey.generate(kid="console")
    own = _settings(key)
    if settings is not None:
        own = replace(own, subjects=settings.subjects, push=settings.push)
    sessions, codes = LocalSessions(clock), OneTimeCodes(clock)
    sign_in = _sign_in(key, own.policy, sessions, clock)
    local = LocalSignIn(sign_in, codes, operator)
    signing_in = [
        Route("/sign-in", local.view, methods=["GET", "POST"], name="sign_in"),
        Route("/sign-out", local.leave, methods=["POST"], name="sign_out"),
        *(each for each in sign_in_endpoints(sign_in, cookies=True) if getattr(each, "name", "") == _REFRESH),
    ]
    console = create_console(
        own,
        store=store,
        sign_in_url=f"{_FOLDER}/sign-in",
        refresh_url=f"{_FOLDER}/refresh",
        sign_out_url=f"{_FOLDER}/sign-out",
        local_operator=operator,
        sessions=sessions,
        routes=[Mount(_FOLDER, routes=signing_in, name="local"), *routes],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS, www_redirect=False)],
        clock=clock,
        **options,
    )
    return LocalConsole(console, codes)


def _sign_in(key: SigningKey, policy: Policy, sessions: LocalSessions, clock: Callable[[], float]) -> SignIn:
    issuer = Issuer(_ISSUER, key, policy=policy, audience=_AUDIENCE, client="jwt-lp console", clock=clock)
    return SignIn(
        issuer,
        sessions,
        permissions=lambda _: Granted(_PERMISSIONS),
        access_lifetime=_ACCESS_LIFETIME,
        refresh_lifetime=_REFRESH_LIFETIME,
        family_lifetime=_SESSION_LIFETIME,
        clock=clock,
    )


def _settings(key: SigningKey) -> Settings:
    nothing: dict[str, object] = {}
    permissions = dict.fromkeys(_PERMISSIONS, nothing)
    policy = {"version": 1, "permissions": permissions, "audiences": {_AUDIENCE: nothing}}
    settings = Settings.from_mapping(
        {
            "ISSUER": _ISSUER,
            "AUDIENCE": _AUDIENCE,
            "ALGORITHMS": ["ES256"],
            "JWKS": {"keys": [key.public_jwk()]},
            "OWN": True,
            "POLICY": policy,
        }
    )
    # Cookies belong to a host and not to a port, so two consoles need different names. Not every browser keeps a
    # secure cookie of http://127.0.0.1, and nothing leaves this machine.
    name = f"jwt-lp-{secrets.token_hex(4)}"
    cookies = Cookies(
        name=name, csrf_name=f"{name}-csrf", refresh_name=f"{name}-refresh", same_site="Strict", secure=False
    )
    return replace(settings, cookies=cookies)
