"""`LOCAL_USER` in Flask: `local_user`, and Flask-Login's `current_user`."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

pytest.importorskip("flask")

from flask import Flask

from jwt_lp import AccessToken, ConfigurationError
from jwt_lp.testing.authority import Authority
from jwt_lp_flask import LeastPrivilege, authenticated, local_user, public, requires
from jwt_lp_flask.signals import refused

pytestmark = pytest.mark.host

AUTHORITY = Authority()


@dataclass
class Member:
    id: str
    is_active: bool = True
    is_authenticated: bool = True
    is_anonymous: bool = False

    def get_id(self) -> str:
        return self.id


def member(token: AccessToken) -> Member | None:
    return {"alice": Member("local alice"), "gone": Member("gone", is_active=False)}.get(token.subject)


def name_of(user: Any) -> dict[str, Any]:
    return {"name": None if user is None else user.id}


def application(source: Any = member, **more: Any) -> Flask:
    app = Flask("local", static_folder=None)
    app.secret_key = "for tests only"
    LeastPrivilege(app, AUTHORITY.settings(LOCAL_USER=source, **more))

    @app.get("/me")
    @authenticated
    def me() -> Any:
        return name_of(local_user())

    @app.get("/catching")
    @authenticated
    def catching() -> Any:
        for _ in range(2):
            with suppress(Exception):
                local_user()
        return {"name": "secret"}

    @app.get("/open")
    @public
    def free() -> Any:
        return name_of(local_user())

    @app.get("/known")
    @public(identify=True)
    def known() -> Any:
        return name_of(local_user())

    @app.get("/untouched")
    @requires("orders:list")
    def untouched() -> Any:
        return {"name": "not asked"}

    return app


def get(app: Flask, url: str, subject: str | None = "alice") -> Any:
    headers = {} if subject is None else AUTHORITY.headers(subject, ["orders:list"])
    return app.test_client().get(url, headers=headers)


def test_the_local_user_of_the_token() -> None:
    """`local_user` is the user of the function; None where no token was read."""
    app = application()
    assert {"name": "local alice"} == get(app, "/me").json
    assert {"name": None} == get(app, "/open").json
    assert {"name": "local alice"} == get(app, "/known").json


@pytest.mark.parametrize(("subject", "cause"), [("gone", "inactive_user"), ("bob", "unknown_user")])
def test_without_an_active_user_the_request_is_refused(subject: str, cause: str, caplog: Any) -> None:
    """A view that asks for it ends with 401, whatever it catches; a view that does not ask is not affected."""
    app = application()
    for url in ("/me", "/catching"):
        caplog.clear()
        answer = get(app, url, subject)
        assert (401, "invalid_token") == (answer.status_code, answer.json["error"])
        assert {cause} == {vars(record)["jwt_lp"]["cause"] for record in caplog.records}
    assert 200 == get(app, "/untouched", subject).status_code
    # A public route refuses nobody.
    assert {"name": None} == get(app, "/known", subject).json
    observing = application(OBSERVE_UNTIL=datetime.now(UTC).date())
    assert {"name": None} == get(observing, "/me", subject).json


def test_such_a_refusal_is_sent_as_a_signal() -> None:
    """As every other refusal is, with its request."""
    sent: list[tuple[str, str]] = []

    def note(sender: Flask, request: Any, decision: Any) -> None:
        sent.append((request.path, decision.refusal.code))

    app = application()
    with refused.connected_to(note, app):
        assert 401 == get(app, "/me", "gone").status_code
        assert 200 == get(app, "/me").status_code
    assert [("/me", "inactive_user")] == sent


def test_it_is_found_once_for_a_request() -> None:
    """The function is asked once for a request, and with LOCAL_USER_TTL once for several."""
    for ttl, expected in ((0, 2), (60, 1)):
        asked: list[str] = []

        def source(token: AccessToken, asked: list[str] = asked) -> Member:
            asked.append(token.subject)
            return Member("local alice")

        app = application(source, LOCAL_USER_TTL=ttl)

        @app.get("/twice")
        @authenticated
        def twice() -> Any:
            first = local_user()
            assert first is local_user()
            name, first.id = first.id, "changed"
            return {"name": name}

        assert [{"name": "local alice"}] * 2 == [get(app, "/twice").json for _ in range(2)]
        assert expected == len(asked)


def test_a_wrong_or_missing_function() -> None:
    """A function that cannot be imported stops the start; without the setting, `local_user` says what to set."""
    app = application("nowhere.user_for")
    with pytest.raises(ConfigurationError, match=r"nowhere\.user_for cannot be imported"):
        app.extensions["jwt_lp"].check(app)
    app = application(None)
    app.testing = True
    with pytest.raises(ConfigurationError, match="there is no LOCAL_USER"):
        get(app, "/me")


def test_flask_login_has_the_user_of_the_token() -> None:
    """`current_user` is the token's user, also beside another user's session; without a token it is the session's."""
    flask_login = pytest.importorskip("flask_login")
    from jwt_lp_flask.login import TokenLoginManager

    app = application()
    manager = TokenLoginManager(app)
    manager.user_loader(Member)

    def who() -> Any:
        user = flask_login.current_user
        return {"name": user.get_id() if user.is_authenticated else None}

    app.add_url_rule("/who", "who", public(identify=True)(who))
    app.add_url_rule("/strict", "strict", authenticated(who))
    app.add_url_rule("/login", "login", public(lambda: {"in": flask_login.login_user(Member("session bob"))}))
    client: Any = app.test_client()
    alice, batch = AUTHORITY.headers("alice"), AUTHORITY.headers("batch", client="batch")
    assert [None, "local alice"] == [client.get("/who", headers=each).json["name"] for each in ({}, alice)]
    assert {"in": True} == client.get("/login").json
    assert ["session bob", "local alice"] == [client.get("/who", headers=each).json["name"] for each in ({}, alice)]
    assert "local alice" == client.get("/strict", headers=alice).json["name"]
    # A session helps nobody whose token is refused, or who has no user.
    assert 401 == client.get("/strict", headers={"Authorization": "Bearer x"}).status_code
    assert 401 == client.get("/strict", headers=AUTHORITY.headers("gone")).status_code
    assert {"name": None} == client.get("/who", headers=AUTHORITY.headers("gone")).json
    assert {"name": None} == client.get("/strict", headers=batch).json
