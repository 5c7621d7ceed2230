"""The endpoints of elevation without a host: every malformed request, and every error of the domain and the store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

import pytest

from elevation.elevation_world import NOW, World, policy
from jwt_lp import ANONYMOUS, Answer, ConfigurationError, ElevationCall, ElevationEndpoints, StoreError, subscribe
from jwt_lp.elevation.guard_elevations import guard_elevations, request_elevation
from jwt_lp.elevation.refusals import bad_request
from jwt_lp.elevation.representation import members_of
from jwt_lp.stores.elevations import MAX_OPEN

WISH = {"permission": "orders:export", "seconds": 600}


class Desk:
    """The endpoints over a world, and how they are called."""

    def __init__(self, **rule: Any) -> None:
        self.world = World(policy(**rule))
        self.endpoints = ElevationEndpoints(self.world.elevations, reference=lambda: "ref")

    def call(self, name: str, token: Any, content: object = None, *, elevation_id: str = "", **more: Any) -> Answer:
        endpoint = self.endpoints.endpoints[name]
        body = b"" if content is None else content if isinstance(content, bytes) else json.dumps(content).encode()
        path = f"/lift{endpoint.path}".replace("{id}", elevation_id)
        sent = {"content_type": "application/json", "body": body, **more}
        return self.endpoints.answer(name, ElevationCall(self.world.guard, token, path, **sent), elevation_id)

    def ask(self, token: Any = None, **wish: Any) -> dict[str, Any]:
        answer = self.call("ask", token or self.world.token(), {**WISH, **wish})
        assert 201 == answer.status, answer.body
        content: dict[str, Any] = json.loads(answer.body)
        return content


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk(break_glass=True)
    yield made
    made.world.guard.close()


def problem(answer: Answer) -> tuple[int, str]:
    content = json.loads(answer.body)
    assert ("application/problem+json", "no-store") == (answer.headers["Content-Type"], answer.headers["Cache-Control"])
    assert (answer.status, "ref") == (content["status"], content["reference"])
    return answer.status, content["error"]


@pytest.mark.parametrize(
    ("body", "more", "expected"),
    [
        pytest.param(b"{}", {}, (400, "missing"), id="nothing"),
        pytest.param(b"[]", {}, (400, "malformed"), id="a list"),
        pytest.param(b"\xff", {}, (400, "malformed"), id="no text"),
        pytest.param(b"", {}, (400, "malformed"), id="no body"),
        pytest.param(b'{"permission":"a","permission":"b"}', {}, (400, "malformed"), id="a member twice"),
        pytest.param(b'{"permission":7}', {}, (400, "not_a_string"), id="a number"),
        pytest.param(b'{"permission":"a","subject":"bob"}', {}, (400, "unknown_member"), id="for somebody else"),
        pytest.param(b'{"permission":"orders:export","seconds":true}', {}, (400, "seconds"), id="seconds: true"),
        pytest.param(b'{"permission":"orders:export","seconds":1.5}', {}, (400, "seconds"), id="half a second"),
        pytest.param(b'{"permission":"orders:export","break_glass":1}', {}, (400, "break_glass"), id="break_glass: 1"),
        pytest.param(b'{"permission":"orders:export","seconds":0}', {}, (400, "elevation_invalid"), id="no second"),
        pytest.param(b'{"permission":"orders:*"}', {}, (400, "elevation_invalid"), id="a pattern"),
        pytest.param(b'{"permission":"orders:purge"}', {}, (403, "elevation_not_allowed"), id="nobody may ask"),
        pytest.param(b" " * 9000, {}, (413, "too_large"), id="long"),
        pytest.param(b"{}", {"content_type": None}, (415, "content_type"), id="no type"),
        pytest.param(b"{}", {"content_type": "application/json; charset=latin-1"}, (415, "content_type"), id="latin"),
        pytest.param(b"{}", {"content_type": "text/plain"}, (415, "content_type"), id="another type"),
        pytest.param(b"{}", {"idempotency_key": ["a", "b"]}, (400, "idempotency_key"), id="two keys"),
        pytest.param(b"{}", {"idempotency_key": ["a b"]}, (400, "idempotency_key"), id="a key with a blank"),
        pytest.param(b"{}", {"idempotency_key": ['"' + "a" * 129 + '"']}, (400, "idempotency_key"), id="a long key"),
    ],
)
def test_malformed_requests(desk: Desk, body: bytes, more: dict[str, Any], expected: tuple[int, str]) -> None:
    """Each is refused with the status that says what is wrong, and nothing was asked for."""
    assert expected == problem(desk.call("ask", desk.world.token(), body, **more))
    assert b'{"elevations": []}' == desk.call("list", desk.world.token()).body


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "limit=-1",
        "limit=1e1",
        "limit=²",
        "waiting=1",
        "after=..",
        "more=1",
        "limit=1&limit=1",
        "limit",
        "a=" + "b" * 2000,
        "%ff=1",
        "after=%ff",
    ],
)
def test_malformed_queries(desk: Desk, query: str) -> None:
    """A page is asked for in one way only."""
    assert (400, "query") == problem(desk.call("list", desk.world.token(), query=query))


def test_a_key_has_quotes_or_none(desk: Desk) -> None:
    """Both forms of the header are the same key (RFC 9651, section 3.3.3)."""
    ids = [
        json.loads(desk.call("ask", desk.world.token(), WISH, idempotency_key=[key]).body)["id"]
        for key in ('"8e03978e"', "8e03978e", ' "8e03978e"\t')
    ]
    assert 1 == len(set(ids))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(b"", (415, "content_type"), id="no body"),
        pytest.param(b"{}", (400, "missing"), id="no digest"),
        pytest.param(b'{"digest":"0"}', (409, "elevation_closed"), id="another digest"),
        pytest.param(b'{"digest":"0","seconds":9}', (400, "unknown_member"), id="another wish"),
    ],
)
def test_an_approval_names_what_was_seen(desk: Desk, body: bytes, expected: tuple[int, str]) -> None:
    """Without the digest of what was asked, nothing is approved."""
    asked = desk.ask()
    lead = desk.world.token("bob")
    content_type = "application/json" if body else None
    answer = desk.call("approve", lead, body, elevation_id=asked["id"], content_type=content_type)
    assert expected == problem(answer)
    assert "requested" == json.loads(desk.call("show", lead, elevation_id=asked["id"]).body)["state"]


def test_ids_that_nothing_can_have(desk: Desk) -> None:
    """They get the answer of an unknown id, and do not reach the store."""
    desk.world.elevations.store = cast("Any", None)
    for elevation_id in ("", "..", "a" * 65, "é", "a/b", "a\n"):
        assert (404, "elevation_unknown") == problem(desk.call("show", desk.world.token(), elevation_id=elevation_id))


def test_too_many_requests(desk: Desk) -> None:
    """A subject with too many open requests is told to try again later."""
    for _ in range(MAX_OPEN):
        desk.ask()
    answer = desk.call("ask", desk.world.token(), WISH)
    assert (429, "elevation_too_many") == problem(answer)
    assert answer.headers["Retry-After"].isdigit()


def test_what_the_store_says_reaches_the_log_alone(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that does not answer is 503; its message, which may name a host, is logged and not sent."""
    events: list[Any] = []
    undo = subscribe(lambda event, members: events.append((event, dict(members))), events=["elevation-refused"])

    def fail(*_: object, **__: object) -> None:
        raise StoreError("db.internal:5432 does not answer")

    monkeypatch.setattr(desk.world.store, "ask", fail)
    answer = desk.call("ask", desk.world.token(), WISH)
    undo()
    assert (503, "temporarily_unavailable") == problem(answer)
    assert b"internal" not in answer.body
    assert answer.headers["Retry-After"].isdigit()
    ((event, members),) = events
    assert ("elevation-refused", "ask", "ana", "ref") == (
        event,
        members["endpoint"],
        members["subject"],
        members["reference"],
    )
    assert "db.internal" in members["detail"]


def test_break_glass_is_reviewed(desk: Desk) -> None:
    """It is granted at once, and a decider notes that it was reviewed; the asker does not."""
    taken = desk.ask(break_glass=True)
    assert ("approved", True) == (taken["state"], taken["break_glass"])
    refused = desk.call("review", desk.world.token(), elevation_id=taken["id"])
    assert 403 == refused.status
    reviewed = desk.call("review", desk.world.token("bob"), {"reason": "fine"}, elevation_id=taken["id"])
    assert (200, "2027-01-15T08:00:00Z") == (reviewed.status, json.loads(reviewed.body)["reviewed_at"])


def test_an_approval_counts_as_use_of_the_permission(desk: Desk) -> None:
    """The guard decides about the approver too, on the route's template, so that a review sees the permission used."""
    decided: list[Any] = []
    desk.world.guard.listen(lambda decision, call: decided.append(decision))
    asked = desk.ask()
    content = {"digest": asked["digest"]}
    assert 200 == desk.call("approve", desk.world.token("bob"), content, elevation_id=asked["id"]).status
    (decision,) = decided
    assert ("orders:*:approve", "POST /lift/{id}/approve", True) == (
        str(decision.used[0].text),
        decision.route,
        decision.passes,
    )


def test_a_rule_that_is_gone(desk: Desk) -> None:
    """What was asked under a rule that the policy has no more is decided by nobody; its asker still sees and ends it."""
    asked = desk.ask()
    desk.world.elevations.policy = World().policy.from_mapping({"version": 1})
    answer = desk.call("approve", desk.world.token(), {"digest": asked["digest"]}, elevation_id=asked["id"])
    assert (403, "elevation_not_allowed") == problem(answer)
    assert "ended" == json.loads(desk.call("end", desk.world.token(), elevation_id=asked["id"]).body)["state"]


def test_the_members_of_an_elevation(desk: Desk) -> None:
    """Empty members are left out, times are whole seconds, rounded down."""
    asked = desk.world.elevations.request(desk.world.token(), "orders:export", seconds=600)
    members = members_of(asked, NOW)
    assert "2027-01-15T08:00:00Z" == members["asked_at"]
    assert not {"reason", "ticket", "since", "until", "ended_at", "break_glass"} & members.keys()
    assert 64 == len(str(members["digest"]))


def test_asking_in_code_needs_a_token_a_store_and_rules() -> None:
    """Each lack is an error of the configuration that says what to do."""
    world = World()
    for token in (None, ANONYMOUS):
        with pytest.raises(ConfigurationError, match="in the name of a token"):
            request_elevation(world.guard, token, "orders:export")
    with pytest.raises(ConfigurationError, match="STORE"):
        guard_elevations(world.guard)
    asked = request_elevation(world.guard, world.token(), "orders:export", elevations=world.elevations)
    assert ("requested", "ana") == (asked.state(NOW), asked.subject)
    world.guard.close()


def test_the_elevations_of_a_guard_are_made_once() -> None:
    """They have the guard's policy and its store."""
    from jwt_lp import Guard

    world = World()
    with Guard({**world.authority.settings(), "POLICY": world.policy, "STORE": world.store}) as guard:
        elevations = guard_elevations(guard)
        assert elevations is guard_elevations(guard)
        assert (world.policy, world.store) == (elevations.policy, elevations.store)
    world.guard.close()


@pytest.mark.parametrize("name", [*ElevationEndpoints.endpoints])
def test_the_description_of_an_endpoint_names_what_it_answers(name: str) -> None:
    """Each operation has its answers, and a body where the endpoint reads one."""
    operation = ElevationEndpoints.operation(name)
    assert ("201" if name == "ask" else "200") in operation["responses"]
    assert ("requestBody" in operation) is (ElevationEndpoints.endpoints[name].method == "POST")
    assert ("{id}" in ElevationEndpoints.endpoints[name].path) is any(
        each["in"] == "path" for each in operation["parameters"]
    )


def test_pages(desk: Desk) -> None:
    """A page that is full names the next one, for both kinds of list."""
    made = [desk.ask() for _ in range(3)]
    for name, token in (("", desk.world.token()), ("waiting=true&", desk.world.token("bob"))):
        first = json.loads(desk.call("list", token, query=f"{name}limit=2").body)
        assert f"/lift?{name}after={first['elevations'][1]['id']}&limit=2" == first["next"]
        rest = json.loads(desk.call("list", token, query=first["next"].partition("?")[2]).body)
        assert "next" not in rest
        assert {each["id"] for each in made} == {each["id"] for each in first["elevations"] + rest["elevations"]}


def test_what_is_unknown_to_the_domain_is_unknown_here(desk: Desk) -> None:
    """An id that nothing has gets the same answer as one that nothing can have."""
    absent = desk.call("show", desk.world.token(), elevation_id="0" * 32)
    impossible = desk.call("show", desk.world.token(), elevation_id="..")
    assert (404, absent.body) == (absent.status, impossible.body)


def test_nothing_of_a_request_is_in_a_traceback(desk: Desk) -> None:
    """The text of a call shows neither its token nor its body, and that of a refusal says what is wrong."""
    call = ElevationCall(desk.world.guard, desk.world.token(), "/lift", body=b"secret")
    assert "ElevationCall(masked)" == repr(call)
    assert "missing: permission is needed." == str(bad_request("permission is needed.", "missing"))
