"""Decisions and refusals, as they are sent to the client."""

from __future__ import annotations

import json

import pytest

from jwt_lp import Decision, Grant, Refusal, all_of
from jwt_lp.guard.decisions import RETRY_AFTER

BAD_TOKEN = Refusal(401, "invalid_token", "r")
REFUSALS = [
    pytest.param(Refusal(401, None, "r1"), "Bearer", "A bearer access token is needed.", id="no credential"),
    pytest.param(
        Refusal(400, "invalid_request", "r2"),
        'Bearer error="invalid_request", error_description='
        '"The request carries more than one credential or a malformed one."',
        "The request carries more than one credential or a malformed one.",
        id="malformed header",
    ),
    pytest.param(
        Refusal(401, "invalid_token", "r3"),
        'Bearer error="invalid_token", error_description='
        '"The access token is expired, revoked, malformed or not for this service."',
        "The access token is expired, revoked, malformed or not for this service.",
        id="bad token",
    ),
    pytest.param(
        Refusal(403, "insufficient_scope", "r4", scope="a b", requirement="a & b"),
        'Bearer error="insufficient_scope", error_description='
        '"The access token does not grant what this request requires.", scope="a b"',
        "The access token does not grant what this request requires.",
        id="not enough",
    ),
    pytest.param(
        Refusal(503, None, "r5"),
        None,
        "It cannot be decided right now whether the access token is good; try again.",
        id="undecidable",
    ),
]


@pytest.mark.parametrize(("refusal", "challenge", "description"), REFUSALS)
def test_headers(refusal: Refusal, challenge: str | None, description: str) -> None:
    """Every refusal except 503 has a challenge, 503 has Retry-After, and no refusal may be cached."""
    headers = dict(refusal.headers)
    assert challenge == headers.pop("WWW-Authenticate", None)
    assert (None if challenge else str(RETRY_AFTER)) == headers.pop("Retry-After", None)
    assert {"Content-Type": "application/problem+json", "Cache-Control": "no-store"} == headers
    assert description == refusal.description


def test_retry_after() -> None:
    """A known number of seconds replaces the default in Retry-After."""
    assert "17" == Refusal(503, None, "r", retry_after=17).headers["Retry-After"]


@pytest.mark.parametrize(("refusal", "challenge", "description"), REFUSALS)
def test_body(refusal: Refusal, challenge: str | None, description: str) -> None:
    """The body is an RFC 9457 object with a reference and without null members."""
    body = json.loads(refusal.body)
    assert dict(refusal.problem) == body
    assert ("about:blank", refusal.status, description, refusal.reference) == (
        body["type"],
        body["status"],
        body["detail"],
        body["reference"],
    )
    assert {
        400: "Bad Request",
        401: "Unauthorized",
        403: "Forbidden",
        503: "Service Unavailable",
    }[refusal.status] == body["title"]
    assert (refusal.error, refusal.requirement, None) == (body.get("error"), body.get("requirement"), body.get("cause"))
    assert None not in body.values()


def test_a_cause_is_in_the_body_only() -> None:
    """A cause is part of the body and not of the headers, and the body stays ASCII."""
    refusal = Refusal(401, "invalid_token", "r", cause='expired: "é"\r\n\ud800')
    assert ('expired: "é"\r\n\ud800', True) == (json.loads(refusal.body)["cause"], refusal.body.isascii())
    assert (
        "expired"
        not in refusal.headers["WWW-Authenticate"].removeprefix(f'Bearer error="{refusal.error}"').split("The")[0]
    )


@pytest.mark.parametrize(
    ("expected", "decision"),
    [
        pytest.param((True, {}), Decision(), id="no refusal"),
        pytest.param((True, {}), Decision(used=(Grant("a", "scope"),)), id="used"),
        pytest.param((True, {}), Decision(observed=Refusal(401, None, "r")), id="observed only"),
        pytest.param((False, {}), Decision(pending=True), id="pending"),
        pytest.param((False, Refusal(401, None, "r").headers), Decision(refusal=Refusal(401, None, "r")), id="refused"),
    ],
)
def test_what_passes(expected: tuple[bool, dict[str, str]], decision: Decision) -> None:
    """A request passes without a refusal if the decision is not pending; only a refusal has headers."""
    assert expected == (decision.passes, decision.headers)


def test_a_decision_cannot_be_changed() -> None:
    """Requests share decisions, so no field can be set, deleted or added."""
    decision = Decision(route="GET /", refusal=Refusal(403, "insufficient_scope", "r"))
    for change in (
        lambda: setattr(decision, "refusal", None),
        lambda: setattr(decision, "passes", True),
        lambda: setattr(decision, "another", 1),
        lambda: delattr(decision, "refusal"),
    ):
        with pytest.raises(AttributeError, match="cannot be changed"):
            change()
    assert (False, "r") == (decision.passes, decision.refusal and decision.refusal.reference)
    assert not hasattr(decision, "__dict__")


def test_decisions_are_compared_by_their_fields() -> None:
    """Decisions are equal if all their fields are, and to nothing else."""
    one, same, other = Decision(route="a"), Decision(None, None, (), (), "a"), Decision(route="a", pending=True)
    assert (one, {one}) == (same, {same, one})
    assert one != other
    assert one != ("a",)


@pytest.mark.parametrize(
    ("expected", "decision"),
    [
        ("<Decision on None for no route: passes>", Decision()),
        ("<Decision on a:b for GET /x: pending>", Decision(requirement=all_of("a:b"), route="GET /x", pending=True)),
        ("<Decision on a:b for GET /x: refused, 401>", Decision(None, all_of("a:b"), (), (), "GET /x", BAD_TOKEN)),
    ],
)
def test_the_repr_of_a_decision(expected: str, decision: Decision) -> None:
    """The repr names the requirement, the route and the outcome, and nothing of the token."""
    assert expected == repr(decision)
