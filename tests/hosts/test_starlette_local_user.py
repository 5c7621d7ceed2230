"""`LOCAL_USER` in Starlette and FastAPI: `local_user` in views and as a dependency."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Any

import pytest

pytest.importorskip("starlette")
if not (find_spec("httpx2") or find_spec("httpx")):
    pytest.skip("Starlette's test client needs httpx2 or httpx", allow_module_level=True)

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from jwt_lp import AccessToken, ConfigurationError
from jwt_lp.testing.authority import Authority
from jwt_lp_starlette import LeastPrivilege, authenticated, local_user, public, requires

pytestmark = pytest.mark.host

AUTHORITY = Authority()
THREADS: list[bool] = []


@dataclass
class Member:
    name: str
    is_active: bool = True


def member(token: AccessToken) -> Member | None:
    THREADS.append(threading.current_thread() is threading.main_thread())
    return {"alice": Member("local alice"), "gone": Member("gone", is_active=False)}.get(token.subject)


async def async_member(token: AccessToken) -> Member | None:
    return member(token)


async def me(request: Request) -> JSONResponse:
    user = await local_user(request)
    assert user is await local_user(request)
    return JSONResponse({"name": user and user.name})


async def catching(request: Request) -> JSONResponse:
    for _ in range(2):
        with suppress(Exception):
            await local_user(request)
    return JSONResponse({"name": "secret"})


async def untouched(request: Request) -> JSONResponse:
    return JSONResponse({"name": "not asked"})


def client_of(source: Any, **more: Any) -> TestClient:
    routes = [
        Route("/me", authenticated(me)),
        Route("/open", public(me)),
        Route("/known", public(identify=True)(me)),
        Route("/catching", authenticated(catching)),
        Route("/untouched", requires("orders:list")(untouched)),
    ]
    app = Starlette(routes=routes)
    LeastPrivilege(app, AUTHORITY.settings(LOCAL_USER=source, **more))
    return TestClient(app)


def bearer(subject: str = "alice", **more: Any) -> dict[str, str]:
    return AUTHORITY.headers(subject, ["orders:list"], **more)


@pytest.mark.parametrize("source", [member, async_member])
def test_the_local_user_of_the_token(source: Any) -> None:
    """It is the user of the function, plain or a coroutine function, asked once for a request."""
    THREADS.clear()
    client = client_of(source)
    assert {"name": "local alice"} == client.get("/me", headers=bearer()).json()
    assert 1 == len(THREADS)
    assert {"name": None} == client.get("/open", headers=bearer()).json()
    assert {"name": None} == client.get("/me", headers=bearer("batch", client="batch")).json()
    assert 1 == len(THREADS)


def test_a_kept_user_is_not_looked_up_again() -> None:
    """With LOCAL_USER_TTL the function is asked once for several requests."""
    THREADS.clear()
    client = client_of(member, LOCAL_USER_TTL=60)
    assert [{"name": "local alice"}] * 3 == [client.get("/me", headers=bearer()).json() for _ in range(3)]
    assert 1 == len(THREADS)


@pytest.mark.parametrize(("subject", "cause"), [("gone", "inactive_user"), ("bob", "unknown_user")])
def test_without_an_active_user_the_request_is_refused(subject: str, cause: str, caplog: Any) -> None:
    """A view that asks for it ends with 401, whatever it catches; a view that does not ask is not affected."""
    client = client_of(member)
    for url in ("/me", "/catching"):
        caplog.clear()
        answer = client.get(url, headers=bearer(subject))
        assert (401, "invalid_token") == (answer.status_code, answer.json()["error"])
        assert {cause} == {vars(record)["jwt_lp"]["cause"] for record in caplog.records if hasattr(record, "jwt_lp")}
    assert 200 == client.get("/untouched", headers=bearer(subject)).status_code
    # A public route refuses nobody.
    assert {"name": None} == client.get("/known", headers=bearer(subject)).json()
    observing = client_of(member, OBSERVE_UNTIL=datetime.now(UTC).date())
    assert {"name": None} == observing.get("/me", headers=bearer(subject)).json()


def test_a_missing_function() -> None:
    """Without the setting, `local_user` says what to set."""
    with pytest.raises(ConfigurationError, match="there is no LOCAL_USER"):
        client_of(None).get("/me", headers=bearer())


def test_it_is_a_dependency_of_fastapi() -> None:
    """`Depends(local_user)` gives the user to a FastAPI view."""
    fastapi = pytest.importorskip("fastapi")
    from jwt_lp import AUTHENTICATED
    from jwt_lp_starlette.fastapi import Requires

    app = fastapi.FastAPI(openapi_url=None)

    def mine(user: Any = fastapi.Depends(local_user)) -> dict[str, str]:  # noqa: B008 - as FastAPI has it
        return {"name": user.name}

    app.get("/me", dependencies=[Requires(AUTHENTICATED)])(mine)
    LeastPrivilege(app, AUTHORITY.settings(LOCAL_USER=member))
    client = TestClient(app)
    assert {"name": "local alice"} == client.get("/me", headers=bearer()).json()
    assert 401 == client.get("/me", headers=bearer("gone")).status_code
