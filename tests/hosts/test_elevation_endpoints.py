"""Journeys through elevation in each host, over real HTTP: refused, asked, decided, ended; and asking in code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy (extra `sql`)")

from hosts.apps.elevation_apps import APPS, ElevationApp, token_for
from hosts.serving import HttpAnswer, HttpClient, serve

pytestmark = pytest.mark.host

INSTALLED = [name for name, (package, _) in APPS.items() if find_spec(package)]
JSON = ("Content-Type", "application/json")
OFFER = {"permissions": ["orders:create"], "request_at": "/elevations"}


@dataclass
class Caller:
    """A client of one served application, with a token for each person."""

    http: HttpClient
    app: ElevationApp

    def send(
        self, request: str, token: str | None, content: object = None, *headers: tuple[str, str], body: bytes = b""
    ) -> HttpAnswer:
        method, _, path = request.partition(" ")
        sent = body if content is None else json.dumps(content).encode()
        kind = (JSON,) if content is not None else ()
        bearer = () if token is None else (("Authorization", f"Bearer {token}"),)
        return self.http.request(method, path, (*kind, *bearer, *headers), sent if method == "POST" else None)

    def ask(self, token: str, key: str = "", **wish: object) -> HttpAnswer:
        wanted = {"permission": "orders:create", "reason": "a customer is on the phone", **wish}
        headers = (("Idempotency-Key", f'"{key}"'),) if key else ()
        return self.send("POST /elevations", token, wanted, *headers)


@contextmanager
def opened(name: str, folder: Path, **lp: object) -> Iterator[Caller]:
    with APPS[name][1](folder, **lp) as app, serve(app.kind, app.app) as http:
        yield Caller(http, app)


@pytest.fixture(scope="module", params=INSTALLED)
def caller(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    with opened(request.param, tmp_path_factory.mktemp("elevation")) as found:
        yield found


def clerk(name: str = "alice") -> str:
    return token_for(name, roles=("clerk",))


def approver(name: str = "frank") -> str:
    return token_for(name, "orders:create:approve")


def test_a_refusal_says_what_this_caller_may_ask_for(caller: Caller) -> None:
    """The body has what is lacking and where to ask, and the challenge has the address; only for those who may ask."""
    refused = caller.send("POST /orders", clerk())
    assert (403, OFFER) == (refused.status, refused.json["elevation"])
    assert 'elevation_uri="/elevations"' in refused.headers["www-authenticate"]
    # A template is filled with what the client sent.
    filled = caller.send("GET /orders/7", clerk())
    assert ["orders:7:read"] == filled.json["elevation"]["permissions"]
    named = caller.send("POST /orders", token_for("erin", "orders:list"))
    assert OFFER == named.json["elevation"]


def test_a_refusal_tells_nothing_to_those_who_may_not_ask(caller: Caller) -> None:
    """Who may not ask gets the same body as for a permission that nobody may ask for."""
    stranger = token_for("mallory", "orders:list")
    askable, other = caller.send("POST /orders", stranger), caller.send("DELETE /orders", stranger)
    assert (403, 403) == (askable.status, other.status)
    assert askable.json.keys() == other.json.keys()
    assert "elevation" not in askable.json
    assert "elevation_uri" not in askable.headers["www-authenticate"]
    # Nobody may ask for it, whoever is refused.
    assert "elevation" not in caller.send("DELETE /orders", clerk()).json


def test_a_request_is_approved_and_ended(caller: Caller) -> None:
    """Ask, see, approve with what was seen, and end; each answer is the elevation as it is then."""
    alice, frank = clerk(), approver()
    asked = caller.ask(alice, seconds=600)
    elevation = asked.json
    path = f"/elevations/{elevation['id']}"
    assert (201, path, "no-store") == (asked.status, asked.headers["location"], asked.headers["cache-control"])
    assert ("requested", "alice", "orders:create", 600) == tuple(
        elevation[name] for name in ("state", "subject", "permission", "seconds")
    )
    waiting = caller.send("GET /elevations?waiting=true", frank).json["elevations"]
    assert elevation in waiting
    assert elevation in caller.send("GET /elevations", alice).json["elevations"]
    approved = caller.send(f"POST {path}/approve", frank, {"digest": elevation["digest"], "reason": "fine"})
    assert (200, "approved") == (approved.status, approved.json["state"])
    assert approved.json["since"] < approved.json["until"]
    assert approved.json == caller.send(f"GET {path}", alice).json
    again = caller.send(f"POST {path}/approve", frank, {"digest": elevation["digest"]})
    assert (409, "elevation_closed", "application/problem+json") == (
        again.status,
        again.json["error"],
        again.headers["content-type"],
    )
    ended = caller.send(f"POST {path}/end", alice)
    assert (200, "ended") == (ended.status, ended.json["state"])


def test_a_request_is_denied(caller: Caller) -> None:
    """A denial needs no digest, and is final."""
    elevation = caller.ask(clerk("bob")).json
    path = f"/elevations/{elevation['id']}"
    denied = caller.send(f"POST {path}/deny", approver(), {"reason": "not today"})
    assert (200, "denied") == (denied.status, denied.json["state"])
    approved = caller.send(f"POST {path}/approve", approver(), {"digest": elevation["digest"]})
    assert (409, "elevation_closed") == (approved.status, approved.json["error"])


def test_who_may_not_decide_is_refused_by_the_guard(caller: Caller) -> None:
    """The asker gets the guard's own refusal, an approver's own request a 403, and all others learn nothing."""
    elevation = caller.ask(clerk("carol")).json
    path, digest = f"/elevations/{elevation['id']}", {"digest": elevation["digest"]}
    own = caller.send(f"POST {path}/approve", clerk("carol"), digest)
    assert (403, "insufficient_scope") == (own.status, own.json["error"])
    assert 'scope="orders:create:approve"' in own.headers["www-authenticate"]
    both = token_for("carol", "orders:create:approve", roles=("clerk",))
    assert (403, "elevation_not_allowed") == (
        (answer := caller.send(f"POST {path}/approve", both, digest)).status,
        answer.json["error"],
    )
    unknown = f"/elevations/{'0' * 32}"
    for request in ("GET {}", "POST {}/approve", "POST {}/deny", "POST {}/end", "POST {}/review"):
        content = digest if request.endswith("approve") else None
        stranger = clerk("mallory")
        hidden = caller.send(request.format(path), stranger, content)
        absent = caller.send(request.format(unknown), stranger, content)
        assert 404 == hidden.status == absent.status
        assert {**hidden.json, "reference": 0} == {**absent.json, "reference": 0}
    assert "requested" == caller.send(f"GET {path}", clerk("carol")).json["state"]


def test_asking_again_with_the_same_key_makes_no_second_request(caller: Caller) -> None:
    """The same key gives the same elevation; with another content it is refused; another subject has its own keys."""
    first, second = caller.ask(clerk("dora"), "k1"), caller.ask(clerk("dora"), "k1")
    assert (201, 201, first.json) == (first.status, second.status, second.json)
    other = caller.ask(clerk("dora"), "k1", reason="something else")
    assert (422, "elevation_key_reused") == (other.status, other.json["error"])
    assert first.json["id"] != caller.ask(clerk("emil"), "k1").json["id"]
    assert 1 == len(caller.send("GET /elevations", clerk("dora")).json["elevations"])


def test_a_list_is_paged(caller: Caller) -> None:
    """Each page names the next; together they have every elevation once."""
    token = clerk("paula")
    made = {caller.ask(token, str(number)).json["id"] for number in range(5)}
    seen: list[str] = []
    page = "/elevations?limit=2"
    while page:
        content = caller.send(f"GET {page}", token).json
        assert len(content["elevations"]) <= 2
        seen += [each["id"] for each in content["elevations"]]
        page = content.get("next", "")
    assert (5, made) == (len(seen), set(seen))


def test_malformed_requests(caller: Caller) -> None:
    """The host passes on what was sent, and not more than the bound of a body; unknown paths are not answered here."""
    rows: list[tuple[int, str, tuple[tuple[str, str], ...], bytes]] = [
        (400, "POST /elevations", (JSON,), b"{}"),
        (413, "POST /elevations", (JSON,), b" " * 1_000_000),
        (415, "POST /elevations", (("Content-Type", "text/plain"),), b"{}"),
        (400, "POST /elevations", (JSON, ("Idempotency-Key", "a b")), b'{"permission":"orders:create","reason":"x"}'),
        (400, "GET /elevations?limit=0", (), b""),
        (404, "GET /elevations/%2e%2e", (), b""),
        (405, "PUT /elevations", (), b""),
    ]
    for status, request, headers, body in rows:
        assert (request, status) == (request, caller.send(request, clerk("zoe"), None, *headers, body=body).status)
    assert [] == caller.send("GET /elevations", clerk("zoe")).json["elevations"]


def test_no_token_no_endpoint(caller: Caller) -> None:
    """Every endpoint requires a valid token."""
    for request in ("POST /elevations", "GET /elevations", "GET /elevations/x", "POST /elevations/x/approve"):
        assert [401, 401] == [caller.send(request, token).status for token in (None, "junk")]


def test_the_application_asks_in_code(caller: Caller) -> None:
    """`request_elevation` asks in the name of the request's token; with the same key it is the same elevation."""
    token = clerk("greta")
    first, second = caller.send("POST /in-code", token), caller.send("POST /in-code", token)
    assert (200, first.json) == (first.status, second.json)
    (elevation,) = caller.send("GET /elevations", token).json["elevations"]
    assert (first.json["id"], "asked in code", 60) == (elevation["id"], elevation["reason"], elevation["seconds"])


@pytest.mark.parametrize("name", INSTALLED)
def test_what_a_refusal_hides_it_hides_here_too(name: str, tmp_path: Path) -> None:
    """Without `SHOW_REQUIREMENT` no refusal says what can be asked for, and in observe mode the endpoints stay closed."""
    with opened(name, tmp_path, SHOW_REQUIREMENT=False, OBSERVE_UNTIL=_tomorrow()) as caller:
        refused = caller.send("POST /elevations", None)
        assert 401 == refused.status
        elevation = caller.ask(clerk()).json
        path, digest = f"/elevations/{elevation['id']}", {"digest": elevation["digest"]}
        answer = caller.send(f"POST {path}/approve", clerk(), digest)
        assert (403, "insufficient_scope") == (answer.status, answer.json["error"])
        assert "elevation" not in answer.json
        assert "requirement" not in answer.json


def _tomorrow() -> str:
    from datetime import UTC, datetime, timedelta

    return (datetime.now(UTC).date() + timedelta(days=1)).isoformat()
