"""The endpoints of a `SignIn`, which hosts mount: the tokens are in the bodies, or in cookies of the browser."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp.errors import ConfigurationError, PolicyError, clears_locals
from jwt_lp.guard.bearer import MALFORMED, TOKEN
from jwt_lp.guard.cookie_reader import CookieReader
from jwt_lp.guard.cookies import csrf_token, refresh_check
from jwt_lp.guard.same_origin import origin_fault
from jwt_lp.oauth.token_endpoint import Answer
from jwt_lp.signin.refusals import MISCONFIGURED, SignInRefused, bad_request, refresh_refused
from jwt_lp.signin.requests import MAX_BODY

if TYPE_CHECKING:
    from collections.abc import Callable

    from jwt_lp.guard.cookies import Cookies, ResponseCookie
    from jwt_lp.guard.decisions import Call
    from jwt_lp.signin.sign_in import SignIn
    from jwt_lp.signin.tokens import Tokens

TOKEN_ENDPOINT: Final = "token"
REFRESH: Final = "refresh"
SIGN_OUT: Final = "sign-out"
SIGN_OUT_EVERYWHERE: Final = "sign-out-everywhere"

_FORGED: Final = "Send this request from a page of this origin."
# What a cookie's path may consist of; an attribute could begin at any other character.
_PATH: Final = re.compile(r"/[A-Za-z0-9/._~%!$&'()*+,=:@-]*")


class SignInAnswer(NamedTuple):
    """A response that a host sends back unchanged, and the cookies that it adds to it."""

    answer: Answer
    cookies: tuple[ResponseCookie, ...] = ()


class _ForgedRequest(SignInRefused):
    """A request to an endpoint with cookies that another site may have made a browser send."""

    @property
    def error(self) -> str:
        return "csrf"


class SignInEndpoints:
    """Answers POST requests to the endpoints of `sign_in`; with `cookies` the tokens are in cookies, and in no body."""

    max_body: Final = MAX_BODY
    reasons: Final[Mapping[str, str]] = MappingProxyType(
        {
            TOKEN_ENDPOINT: "sign-in with a password",
            REFRESH: "refresh token",
            SIGN_OUT: "refresh token",
            SIGN_OUT_EVERYWHERE: "refresh token",
        }
    )
    """The names of the endpoints, and what guards each instead of an access token."""

    def __init__(self, sign_in: SignIn, *, cookies: bool = False) -> None:
        self.sign_in: SignIn = sign_in
        self.cookies: bool = cookies

    @clears_locals
    def post(
        self,
        name: str,
        content_type: str | None,
        body: bytes,
        *,
        path: str,
        call: Call,
        cookies: Cookies | None = None,
        csrf: Callable[[], str] | None = None,
    ) -> SignInAnswer:
        """Answer a POST request to the endpoint `name`, at the URL's whole `path`.

        `cookies` is the guard's setting, needed where the tokens are in cookies. `csrf` makes the host's own CSRF token
        where it has one; it is called if somebody has signed in or refreshed. `call.peer` is the client's address as
        the host trusts it. `ConfigurationError` if `cookies` is missing.
        """
        if not self.cookies:
            return SignInAnswer(self._plain(name, content_type, body, None, call.peer))
        if cookies is None:
            raise ConfigurationError('tokens in cookies need the guard\'s setting: "COOKIE": True in JWT_LP')
        folder = path.rpartition("/")[0] or "/"
        refresh_path = folder if _PATH.fullmatch(folder) else "/"
        try:
            self._check_origin(cookies, call)
            return self._with_cookies(name, content_type, body, refresh_path, call, cookies, csrf)
        except SignInRefused as refused:
            return SignInAnswer(self.sign_in.refuse(refused, f"{name}-refused", address=call.peer))

    def _plain(
        self, name: str, content_type: str | None, body: bytes, refresh_token: str | None, address: str | None
    ) -> Answer:
        sign_in = self.sign_in
        if name == TOKEN_ENDPOINT:
            return sign_in.obtain(content_type, body, address=address)
        methods = {
            REFRESH: sign_in.refresh,
            SIGN_OUT: sign_in.sign_out,
            SIGN_OUT_EVERYWHERE: sign_in.sign_out_everywhere,
        }
        return methods[name](content_type, body, refresh_token=refresh_token, address=address)

    @staticmethod
    def _check_origin(cookies: Cookies, call: Call) -> None:
        # INVARIANT: no other site signs a browser in, refreshes or signs out. There may be no access token yet that a CSRF
        # token could belong to, so the browser has to say where the request comes from.
        fault = origin_fault(call, origins=cookies.origins, schemes=cookies.schemes, needed="any")
        if fault:
            raise _ForgedRequest(HTTPStatus.FORBIDDEN, _FORGED, "csrf", fault)

    @clears_locals
    def _with_cookies(
        self,
        name: str,
        content_type: str | None,
        body: bytes,
        refresh_path: str,
        call: Call,
        cookies: Cookies,
        csrf: Callable[[], str] | None,
    ) -> SignInAnswer:
        if name == TOKEN_ENDPOINT:
            tokens = self.sign_in.obtain_tokens(content_type, body, address=call.peer)
            return self._answer_tokens(tokens, cookies, refresh_path, csrf)
        cleared = cookies.clear(csrf=csrf is None, refresh_path=refresh_path)
        token = _refresh_cookie(cookies, call)
        if token is None:
            if name == SIGN_OUT:
                return SignInAnswer(Answer(int(HTTPStatus.NO_CONTENT), {"Cache-Control": "no-store"}, b""), cleared)
            names = f"{cookies.refresh_name} and {cookies.check_name}"
            raise refresh_refused("no_cookie", f"the cookies {names} were not both sent, or do not belong together")
        if name == REFRESH:
            refreshed = self.sign_in.refresh_tokens(content_type, body, refresh_token=token, address=call.peer)
            return self._answer_tokens(refreshed, cookies, refresh_path, csrf)
        answer = self._plain(name, content_type, body, token, call.peer)
        # INVARIANT: a browser keeps its cookies if the store is down, so that it can sign out later.
        return SignInAnswer(answer, cleared if answer.status == HTTPStatus.NO_CONTENT else ())

    @staticmethod
    def _answer_tokens(
        tokens: Tokens | Answer, cookies: Cookies, refresh_path: str, csrf: Callable[[], str] | None
    ) -> SignInAnswer:
        if isinstance(tokens, Answer):
            return SignInAnswer(tokens)
        try:
            made = (
                *cookies.access(tokens.access_token, max_age=tokens.expires_in, csrf=csrf is None),
                *cookies.refresh(tokens.refresh_token, max_age=tokens.refresh_expires_in, path=refresh_path),
            )
        except PolicyError as error:
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            raise SignInRefused(status, MISCONFIGURED, f"policy_{error.reason}", str(error)) from None
        members = {
            "expires_in": tokens.expires_in,
            "refresh_expires_in": tokens.refresh_expires_in,
            "scope": tokens.scope,
            "csrf_token": csrf_token(tokens.access_token) if csrf is None else csrf(),
        }
        headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
        return SignInAnswer(Answer(int(HTTPStatus.OK), headers, json.dumps(members).encode()), made)


@lru_cache(maxsize=16)
def _reader(name: str) -> CookieReader:
    return CookieReader(name)


@clears_locals
def _refresh_cookie(cookies: Cookies, call: Call) -> str | None:
    """The refresh token of its cookie; None without one, and if this host has not set it."""
    token, check = (_read_cookie(name, call) for name in (cookies.refresh_name, cookies.check_name))
    if token is None or check is None:
        return None
    # INVARIANT: no host below the same domain signs a browser in as somebody else, by a refresh token of its own.
    return token if hmac.compare_digest(check, refresh_check(token)) else None


def _read_cookie(name: str, call: Call) -> str | None:
    kind, text = _reader(name).read(call.field("cookie"))
    if kind is MALFORMED:
        raise bad_request(f"{text[0].upper()}{text[1:]}.", "malformed_cookie")
    return text if kind is TOKEN else None
