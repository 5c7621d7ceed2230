"""How do I call the next service with less?

`OnBehalfOf` goes where httpx2 and httpx take an `auth`. It never sends the token that it was given: it has it narrowed
for the one call (RFC 8693), here or by a token endpoint, and sends what comes of that, or nothing at all.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterable, Iterator
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from jwt_lp.bearer import LONGEST, TOKEN, credential
from jwt_lp.errors import ConfigurationError, InvalidToken, clears_locals
from jwt_lp.narrower import Narrow, Narrower, Wish, moved

__all__ = ["Narrower", "OnBehalfOf"]

LIBRARIES: Final = ("httpx2", "httpx")


def base_of(libraries: Iterable[str]) -> type:
    """What an `auth` has to be for those of `libraries` that are installed; `ImportError` where none is."""
    found = dict.fromkeys(import_module(name).Auth for name in libraries if find_spec(name) is not None)
    if not found:
        raise ImportError("OnBehalfOf is for httpx2 (or httpx), which is not installed: pip install 'jwt-lp[client]'")
    return type("Auth", tuple(found), {})


if TYPE_CHECKING:
    from httpx2 import Auth, Request, Response

    from jwt_lp.issue import Issuer
else:
    Auth = base_of(LIBRARIES)


class OnBehalfOf(Auth):
    """Calls with a token narrowed to `permissions`, for `audience`: `client.get(url, auth=OnBehalfOf(...))`.

    `token` is the caller's, alone or as its Authorization header has it. `via` says where it is narrowed; an `Issuer`
    of this process will do. `audience` left out is the token's own. `lifetime`, in seconds, can be said where tokens are
    narrowed in this process; an endpoint decides by itself.

    The call raises `PolicyError` where the token may not be narrowed so, `InvalidToken` where it is none,
    `KeysUnavailable` where nobody can say, and `ConfigurationError` for an address that is http and not loopback. In
    none of these cases anything is sent to it.
    """

    @clears_locals
    def __init__(
        self,
        token: str | None,
        permissions: Iterable[str],
        *,
        via: Narrower | Issuer,
        audience: str | None = None,
        lifetime: float | None = None,
    ) -> None:
        if isinstance(permissions, str):
            raise ConfigurationError(f'permissions is a list: write ["{permissions}"]')
        self._via = via if isinstance(via, Narrower) else Narrower(via)
        if lifetime is not None and not self._via.is_here:
            raise ConfigurationError("lifetime is the token endpoint's to decide: leave it out")
        self._wish = Wish(_bare(token), tuple(dict.fromkeys(permissions)), audience, lifetime)
        if not self._wish.permissions:
            raise ConfigurationError("name the permissions that the call needs")

    def sync_auth_flow(self, request: Request) -> Generator[Request, Response]:
        """Send the request with the narrow token, which is had first where it is not there yet."""
        self._via.check(str(request.url))
        narrow = self._via.kept(self._wish)
        if narrow is None and self._via.is_here:
            narrow = self._via.made(self._wish)
        if narrow is None:
            response = yield self._via.request(_unread(_kind(request)), self._wish, _Once)
            response.read()
            narrow = self._via.answered(self._wish, response)
        response = yield _with(request, narrow)
        self._look(response)

    async def async_auth_flow(self, request: Request) -> AsyncGenerator[Request, Response]:
        """The same; what may have to wait does so in a thread."""
        self._via.check(str(request.url))
        narrow = self._via.kept(self._wish)
        if narrow is None and self._via.is_here:
            narrow = await _in_thread(partial(self._via.made, self._wish))
        if narrow is None:
            response = yield self._via.request(_unread(_kind(request)), self._wish, _AsyncOnce)
            await response.aread()
            narrow = self._via.answered(self._wish, response)
        response = yield _with(request, narrow)
        self._look(response)

    def _look(self, response: Response) -> None:
        if response.status_code == 401:  # noqa: PLR2004 - an HTTP status
            # Taken back meanwhile, perhaps: the next call asks anew.
            self._via.forget(self._wish)

    def __repr__(self) -> str:
        return f"<OnBehalfOf {' '.join(self._wish.permissions)}>"


class _Once:
    """A body that is sent once: a redirect may not take the token and the client's secret elsewhere."""

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body

    def take(self) -> bytes:
        body, self._body = self._body, None
        if body is None:
            raise moved()
        return body

    def __iter__(self) -> Iterator[bytes]:
        yield self.take()


class _AsyncOnce:
    """The same for an async client."""

    def __init__(self, body: bytes) -> None:
        self._once = _Once(body)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._once.take()


def _with(request: Request, narrow: Narrow) -> Request:
    request.headers["Authorization"] = f"Bearer {narrow.token}"
    return request


async def _in_thread(make: Callable[[], Narrow]) -> Narrow:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        # Another loop than asyncio's, which has threads of its own.
        return make()
    return await asyncio.to_thread(make)


def _kind(request: Request) -> type[Request]:
    """The library's own class of the request."""
    return next(each for each in type(request).__mro__ if each.__module__.partition(".")[0] in LIBRARIES)


def _unread(kind: type[Request]) -> type[Request]:
    """A request whose body is sent once even where a hook or a transport has read it before."""

    class Unread(kind):  # type: ignore[misc, valid-type]
        def read(self) -> bytes:
            content: bytes = super().read()
            self.stream = _OnceBytes(content)
            return content

        async def aread(self) -> bytes:
            content: bytes = await super().aread()
            self.stream = _OnceBytes(content)
            return content

    class _OnceBytes(sys.modules[kind.__module__.partition(".")[0]].ByteStream):  # type: ignore[misc]
        def __init__(self, body: bytes) -> None:
            self._once = _Once(body)

        def __iter__(self) -> Iterator[bytes]:
            yield self._once.take()

        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield self._once.take()

    return Unread


def _bare(token: str | None) -> str:
    said = (token or "").strip()
    kind, text = credential(said if said.partition(" ")[0].lower() == "bearer" else f"Bearer {said}")
    if kind is TOKEN and len(text) <= LONGEST:
        return text
    raise InvalidToken("malformed", "the caller's token is neither a token nor a Bearer credential")
