"""Sessions that have ended: their access tokens are refused at once, before the guard learns of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers

from jwt_lp._support.json_types import is_json_array, is_json_object
from jwt_lp.console.addresses import root_of
from jwt_lp.errors import JwtLpError
from jwt_lp.guard.bearer import TOKEN, parse_authorization, parse_dpop
from jwt_lp.guard.cookie_reader import CookieReader
from jwt_lp.jose.jws import parse_compact, read_json
from jwt_lp.tokens.delegation import MAX_DEPTH

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence

    from jwt_lp.console.state import ConsoleState
    from jwt_lp.guard.guard import Guard
    from jwt_lp.stores import SignInStore

_CREDENTIALS: Final = frozenset({b"cookie", b"authorization"})


class EndedSessionMiddleware:
    """Takes the token of a session that has ended out of a request, so that the guard finds none. Pure ASGI.

    A guard learns of a sign-out at its next poll. Who decides about access must not have those seconds.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], state: ConsoleState, guard: Guard) -> None:
        self.app = app
        self._sessions = state.sessions
        self._reader = CookieReader(guard.cookies.name)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Look the session up, then pass the call on."""
        # Static files need no session, and are the same for everybody.
        if scope["type"] == "http" and not scope["path"].startswith(f"{root_of(scope)}/static/"):
            tokens = self._tokens(Headers(scope=scope))
            if bool(tokens) and await run_in_threadpool(_is_one_ended, self._sessions, tokens):
                # INVARIANT: nothing here is verified, and nothing is let in by it: a credential is only taken away.
                headers = [(name, value) for name, value in scope["headers"] if name not in _CREDENTIALS]
                scope = {**scope, "headers": headers}
        await self.app(scope, receive, send)

    def _tokens(self, headers: Headers) -> list[str]:
        """The tokens of a request. A copy of the cookie's token may come in a header, too."""
        lines = headers.getlist("authorization")
        found = self._reader.read(headers.getlist("cookie")), parse_authorization(lines), parse_dpop(lines)
        return [token for kind, token in found if kind is TOKEN]


def _is_one_ended(sessions: SignInStore, tokens: Sequence[str]) -> bool:
    return any(_has_ended(sessions, token) for token in tokens)


def _has_ended(sessions: SignInStore, token: str) -> bool:
    try:
        found = [sessions.family(name) for name in _ancestors(token)]
    except JwtLpError:
        # The guard decides about what is no token, and pages say that the store does not answer.
        return False
    return any(family is not None and family.ended_at is not None for family in found)


def _ancestors(token: str) -> Iterator[str]:
    """The ids of what the token comes from, as it says itself; the session's is among them."""
    lineage = read_json(parse_compact(token).payload, "payload").get("lineage")
    ids = lineage.get("ids") if is_json_object(lineage) else None
    for each in ids[:MAX_DEPTH] if is_json_array(ids) else ():
        if isinstance(each, str):
            yield each
