"""Sign-in of the operator of a console that runs on its own: by a link from the terminal, or a session that goes on."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeAlias

from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from jwt_lp.console.addresses import safe_next, url_of
from jwt_lp.console.answers import page
from jwt_lp.console.forms import form_of
from jwt_lp.console.origins import call_of, is_foreign
from jwt_lp.signin.endpoints import REFRESH, SIGN_OUT, SignInEndpoints
from jwt_lp_starlette import external, guard_from

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from starlette.requests import Request
    from starlette.responses import Response

    from jwt_lp.console.one_time_codes import OneTimeCodes
    from jwt_lp.guard.cookies import ResponseCookie
    from jwt_lp.signin.sign_in import SignIn

    View: TypeAlias = Callable[[Request], Awaitable[Response]]

_START: Final = "/"


class LocalSignIn:
    """Signs `operator` in with one of `codes`."""

    def __init__(self, sign_in: SignIn, codes: OneTimeCodes, operator: str) -> None:
        self._sign_in = sign_in
        self._endpoints = SignInEndpoints(sign_in, cookies=True)
        self._codes = codes
        self._operator = operator
        self.view: View = external("one-time link, or refresh token")(self._view)
        self.leave: View = external("refresh token")(self._leave)

    async def _view(self, request: Request) -> Response:
        if request.method == "POST":
            form = await form_of(request)
            # INVARIANT: no other site signs a browser in, because then somebody would work in a session that is not
            # the one they think.
            if is_foreign(request):
                return _page(request, "", HTTPStatus.FORBIDDEN, foreign=True)
            return await self._use(request, form.get("code"))
        code = request.query_params.get("code", "")
        if not code:
            return await self._continue(request)
        if request.headers.get("sec-fetch-site") != "none":
            # A page led here, or a browser that does not say what did: ask.
            return _page(request, code, HTTPStatus.OK)
        return await self._use(request, code)

    async def _leave(self, request: Request) -> Response:
        """End the session; without a script, too, so the answer is a page."""
        cookies = guard_from(request.app).cookies
        answer, made = await run_in_threadpool(
            self._endpoints.post, SIGN_OUT, None, b"", path=request.url.path, call=call_of(request), cookies=cookies
        )
        if answer.status != HTTPStatus.NO_CONTENT:
            return _page(request, "", answer.status, foreign=answer.status == HTTPStatus.FORBIDDEN)
        return _redirect(url_of(request, "local:sign_in"), made)

    async def _use(self, request: Request, code: str) -> Response:
        if not self._codes.use(code):
            return _page(request, "", HTTPStatus.UNAUTHORIZED, used=True)
        tokens = await run_in_threadpool(self._sign_in.sessions.start, self._operator)
        cookies = guard_from(request.app).cookies
        folder = request.url.path.rpartition("/")[0]
        made = (
            *cookies.access(tokens.access_token, max_age=tokens.expires_in),
            *cookies.refresh(tokens.refresh_token, max_age=tokens.refresh_expires_in, path=folder),
        )
        return _redirect(_START, made)

    async def _continue(self, request: Request) -> Response:
        """Go on with the session of the refresh token, if the browser has sent one: it does not need a script."""
        cookies = guard_from(request.app).cookies
        if cookies.check_name not in request.headers.get("cookie", ""):
            return _page(request, "", HTTPStatus.UNAUTHORIZED)
        answer, made = await run_in_threadpool(
            self._endpoints.post, REFRESH, None, b"", path=request.url.path, call=call_of(request), cookies=cookies
        )
        if answer.status != HTTPStatus.OK:
            return _page(request, "", HTTPStatus.UNAUTHORIZED)
        return _redirect(safe_next(request.query_params.get("next", ""), _START), made)


def _page(request: Request, code: str, status: int, *, used: bool = False, foreign: bool = False) -> Response:
    return page(request, "sign_in.html", {"code": code, "used": used, "foreign": foreign}, status)


def _redirect(target: str, cookies: Iterable[ResponseCookie]) -> Response:
    response = RedirectResponse(target, HTTPStatus.SEE_OTHER)
    for cookie in cookies:
        response.headers.append("Set-Cookie", cookie.header)
    return response
