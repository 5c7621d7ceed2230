"""Sign-in, refresh and sign-out: what a client gets, and when a session ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jwt_lp.jose import jws
from signin.signin_world import World, new_world, read

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy (extra `sql`)")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return new_world(tmp_path)


def claims(token: str) -> dict:
    return jws.read_json(jws.parse_compact(token).payload, "payload")


def test_signing_in_gives_both_tokens(world: World) -> None:
    """The answer is that of RFC 6749, section 5.1, and is not stored by anybody."""
    answer = world.obtain()
    assert (200, "no-store", "application/json") == (
        answer.status,
        answer.headers["Cache-Control"],
        answer.headers["Content-Type"],
    )
    body = read(answer)
    assert {"access_token", "token_type", "expires_in", "refresh_token", "scope"} == body.keys()
    assert ("Bearer", 299, "orders:read") == (body["token_type"], body["expires_in"], body["scope"])
    assert world.accepts(body["access_token"])
    assert {"iss", "sub", "aud", "iat", "exp", "family", "counter"} == claims(body["refresh_token"]).keys()


def test_a_reused_refresh_token_ends_its_family(world: World) -> None:
    """Its newest refresh token and its access tokens are refused at once."""
    first = read(world.obtain())
    second = read(world.refresh(first["refresh_token"]))
    assert world.accepts(second["access_token"])
    world.clock.now += 10.5
    assert 401 == world.refresh(first["refresh_token"]).status
    assert 401 == world.refresh(second["refresh_token"]).status
    assert not world.accepts(first["access_token"])
    assert not world.accepts(second["access_token"])
