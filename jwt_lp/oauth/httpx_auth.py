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

from jwt_lp.errors import ConfigurationError, InvalidToken, clears_locals
from jwt_lp.guard.bearer import TOKEN, parse_authorization
from jwt_lp.jose.jws import MAX_TOKEN
from jwt_lp.oauth.exchange_client import DownscopedToken, DownscopingRequest, ExchangeClient, redirect_error

__all__ = ["ExchangeClient", "OnBehalfOf"]

HTTPX_LIBRARIES: Final = ("httpx2", "httpx")


def auth_base_for(libraries: Iterable[str]) -> type:
    """What an `auth` has to be for those of `libraries` that are installed; `ImportError` where none is."""
    found = dict.fromkeys(import_module(name).Auth for name in libraries if find_spec(name) is not None)
    if not found:
        raise ImportError("OnBehalfOf is for httpx2 (or httpx), which is not installed: pip install 'jwt-lp[client]'")
    return type("Auth", tuple(found), {})


if TYPE_CHECKING:
    from httpx2 import Auth, Request, Response

    from jwt_lp.issuing.issuer import Issuer
else:
    Auth = auth_base_for(HTTPX_LIBRARIES)


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
        via: ExchangeClient | Issuer,
        audience: str | None = None,
        lifetime: float | None = None,
    ) -> None:
        if isinstance(permissions, str):
            raise ConfigurationError(f'permissions is a list: write ["{permissions}"]')
        self._via = via if isinstance(via, ExchangeClient) else ExchangeClient(via)
        if lifetime is not None and not self._via.is_local:
            raise ConfigurationError("lifetime is decided by the token endpoint: leave it out")
        self._wanted = DownscopingRequest(_bare_token(token), tuple(dict.fromkeys(permissions)), audience, lifetime)
        if not self._wanted.permissions:
            raise ConfigurationError("name the permissions that the call needs")

    def sync_auth_flow(self, request: Request) -> Generator[Request, Response]:
        """Send the request with the narrow token, which is had first where it is not there yet."""
        self._via.check_address(str(request.url))
        narrow = self._via.cached(self._wanted)
        if narrow is None and self._via.is_local:
            narrow = self._via.downscope_locally(self._wanted)
        if narrow is None:
            response = yield self._via.build_request(
                _single_use_request(_request_class(request)), self._wanted, _SingleUseBody
            )
            response.read()
            narrow = self._via.read_response(self._wanted, response)
        response = yield _with_token(request, narrow)
        self._forget_if_refused(response)

    async def async_auth_flow(self, request: Request) -> AsyncGenerator[Request, Response]:
        """The same; what may have to wait does so in a thread."""
        self._via.check_address(str(request.url))
        narrow = self._via.cached(self._wanted)
        if narrow is None and self._via.is_local:
            narrow = await _in_thread(partial(self._via.downscope_locally, self._wanted))
        if narrow is None:
            response = yield self._via.build_request(
                _single_use_request(_request_class(request)), self._wanted, _AsyncSingleUseBody
            )
            await response.aread()
            narrow = self._via.read_response(self._wanted, response)
        response = yield _with_token(request, narrow)
        self._forget_if_refused(response)

    def _forget_if_refused(self, response: Response) -> None:
        if response.status_code == 401:  # noqa: PLR2004 - an HTTP status
            # Revoked meanwhile, perhaps: the next call asks anew.
            self._via.forget(self._wanted)

    def __repr__(self) -> str:
        return f"<OnBehalfOf {' '.join(self._wanted.permissions)}>"


class _SingleUseBody:
    """A body that is sent once: a redirect may not take the token and the client's secret elsewhere."""

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body

    def consume(self) -> bytes:
        body, self._body = self._body, None
        if body is None:
            raise redirect_error()
        return body

    def __iter__(self) -> Iterator[bytes]:
        yield self.consume()


class _AsyncSingleUseBody:
    """The same for an async client."""

    def __init__(self, body: bytes) -> None:
        self._once = _SingleUseBody(body)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._once.consume()


def _with_token(request: Request, narrow: DownscopedToken) -> Request:
    request.headers["Authorization"] = f"Bearer {narrow.token}"
    return request


async def _in_thread(make: Callable[[], DownscopedToken]) -> DownscopedToken:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        # Another loop than asyncio's, which has threads of its own.
        return make()
    return await asyncio.to_thread(make)


def _request_class(request: Request) -> type[Request]:
    """The library's own class of the request."""
    return next(each for each in type(request).__mro__ if each.__module__.partition(".")[0] in HTTPX_LIBRARIES)


def _single_use_request(kind: type[Request]) -> type[Request]:
    """A request whose body is sent once even where a hook or a transport has read it before."""

    class SingleUseRequest(kind):  # type: ignore[misc, valid-type]
        def read(self) -> bytes:
            content: bytes = super().read()
            self.stream = _SingleUseStream(content)
            return content

        async def aread(self) -> bytes:
            content: bytes = await super().aread()
            self.stream = _SingleUseStream(content)
            return content

    class _SingleUseStream(sys.modules[kind.__module__.partition(".")[0]].ByteStream):  # type: ignore[misc]
        def __init__(self, body: bytes) -> None:
            self._once = _SingleUseBody(body)

        def __iter__(self) -> Iterator[bytes]:
            yield self._once.consume()

        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield self._once.consume()

    return SingleUseRequest


def _bare_token(token: str | None) -> str:
    said = (token or "").strip()
    kind, text = parse_authorization(said if said.partition(" ")[0].lower() == "bearer" else f"Bearer {said}")
    if kind is TOKEN and len(text) <= MAX_TOKEN:
        return text
    raise InvalidToken("malformed", "the caller's token is neither a token nor a Bearer credential")
