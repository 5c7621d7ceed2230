"""Authentication for httpx2 and httpx that sends a downscoped token.

`OnBehalfOf` is passed as `auth`. It never sends the token that it was given: it has that token narrowed for the call
(RFC 8693), in this process or by a token endpoint, and sends only the downscoped token.
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
    """A common base class for an `auth` of each installed library; `ImportError` if none is installed."""
    bases = dict.fromkeys(import_module(name).Auth for name in libraries if find_spec(name) is not None)
    if not bases:
        raise ImportError("OnBehalfOf is for httpx2 (or httpx), which is not installed: pip install 'jwt-lp[client]'")
    return type("Auth", tuple(bases), {})


if TYPE_CHECKING:
    from httpx2 import Auth, Request, Response

    from jwt_lp.issuing.issuer import Issuer
else:
    Auth = auth_base_for(HTTPX_LIBRARIES)


class OnBehalfOf(Auth):
    """Sends the caller's token narrowed to `permissions`, for `audience`: `client.get(url, auth=OnBehalfOf(...))`.

    `token` is the caller's token, alone or as in its Authorization header. `via` narrows it: an `ExchangeClient`, or an
    `Issuer` of this process. `audience` is by default that of the token. `lifetime`, in seconds, may be given only if
    an `Issuer` of this process narrows the token; an endpoint decides the lifetime itself.

    The call raises `PolicyError` if the token may not be narrowed in this way, `InvalidToken` if it is not valid,
    `KeysUnavailable` if nobody can tell, and `ConfigurationError` for a URL that is http and not loopback. In all these
    cases nothing is sent to the service.
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
        self._downscoping = DownscopingRequest(
            _bare_token(token), tuple(dict.fromkeys(permissions)), audience, lifetime
        )
        if not self._downscoping.permissions:
            raise ConfigurationError("name the permissions that the call needs")

    def sync_auth_flow(self, request: Request) -> Generator[Request, Response]:
        """Send the request with the downscoped token, after an exchange if none is cached."""
        self._via.check_address(str(request.url))
        downscoped = self._via.cached(self._downscoping)
        if downscoped is None and self._via.is_local:
            downscoped = self._via.downscope_locally(self._downscoping)
        if downscoped is None:
            response = yield self._via.build_request(
                _single_use_request(_request_class(request)), self._downscoping, _SingleUseBody
            )
            response.read()
            downscoped = self._via.read_response(self._downscoping, response)
        response = yield _with_token(request, downscoped)
        self._forget_if_refused(response)

    async def async_auth_flow(self, request: Request) -> AsyncGenerator[Request, Response]:
        """The same for async clients; whatever may block runs in a thread."""
        self._via.check_address(str(request.url))
        downscoped = self._via.cached(self._downscoping)
        if downscoped is None and self._via.is_local:
            downscoped = await _in_thread(partial(self._via.downscope_locally, self._downscoping))
        if downscoped is None:
            response = yield self._via.build_request(
                _single_use_request(_request_class(request)), self._downscoping, _AsyncSingleUseBody
            )
            await response.aread()
            downscoped = self._via.read_response(self._downscoping, response)
        response = yield _with_token(request, downscoped)
        self._forget_if_refused(response)

    def _forget_if_refused(self, response: Response) -> None:
        if response.status_code == 401:  # noqa: PLR2004 - an HTTP status
            # The token may be revoked, so the next call exchanges again.
            self._via.forget(self._downscoping)

    def __repr__(self) -> str:
        return f"<OnBehalfOf {' '.join(self._downscoping.permissions)}>"


class _SingleUseBody:
    """A body that is sent once, so that no redirect takes the token and the client's secret elsewhere."""

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
    """The same for async clients."""

    def __init__(self, body: bytes) -> None:
        self._once = _SingleUseBody(body)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._once.consume()


def _with_token(request: Request, downscoped: DownscopedToken) -> Request:
    request.headers["Authorization"] = f"Bearer {downscoped.token}"
    return request


async def _in_thread(exchange: Callable[[], DownscopedToken]) -> DownscopedToken:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        # The event loop is not asyncio's, so there is no `to_thread`.
        return exchange()
    return await asyncio.to_thread(exchange)


def _request_class(request: Request) -> type[Request]:
    """The HTTP library's own class of the request."""
    return next(base for base in type(request).__mro__ if base.__module__.partition(".")[0] in HTTPX_LIBRARIES)


def _single_use_request(kind: type[Request]) -> type[Request]:
    """A request class whose body is sent once even if a hook or a transport has read it before."""

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
    credential = (token or "").strip()
    if credential.partition(" ")[0].lower() != "bearer":
        credential = f"Bearer {credential}"
    kind, text = parse_authorization(credential)
    if kind is TOKEN and len(text) <= MAX_TOKEN:
        return text
    raise InvalidToken("malformed", "the caller's token is neither a token nor a Bearer credential")
