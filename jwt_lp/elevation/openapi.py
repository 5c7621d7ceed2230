"""The endpoints of elevation as operations of an OpenAPI document: parameters, bodies and answers."""

from __future__ import annotations

from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from jwt_lp.elevation.requests import DEFAULT_PAGE, MAX_PAGE

if TYPE_CHECKING:
    from collections.abc import Mapping

_TEXT: Final[Mapping[str, object]] = MappingProxyType({"type": "string"})
_TIME: Final[Mapping[str, object]] = MappingProxyType({"type": "string", "format": "date-time"})
_STATES: Final = ("requested", "approved", "denied", "expired", "ended")

# The names of the endpoints by which of these they have.
_DECISIONS: Final = frozenset({"approve", "deny", "end", "review"})
_FAULTS: Final[Mapping[str, tuple[int, ...]]] = MappingProxyType(
    {
        "ask": (400, 403, 413, 415, 422, 429, 503),
        "list": (400, 503),
        "show": (404, 503),
        "approve": (400, 403, 404, 409, 413, 415, 503),
        "deny": (400, 403, 404, 409, 413, 415, 503),
        "end": (400, 403, 404, 409, 413, 415, 503),
        "review": (400, 403, 404, 409, 413, 415, 503),
    }
)


def elevation_operation(name: str) -> dict[str, Any]:
    """What an OpenAPI document says of the endpoint `name`, beside its summary and what the guard adds."""
    operation: dict[str, Any] = {"parameters": _parameters(name), "responses": _responses(name)}
    if name == "ask":
        operation["requestBody"] = {"required": True, "content": _json(_wanted())}
    elif name in _DECISIONS:
        properties = {"reason": dict(_TEXT), **({"digest": dict(_TEXT)} if name == "approve" else {})}
        body: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
        if name == "approve":
            body["required"] = ["digest"]
        operation["requestBody"] = {"required": name == "approve", "content": _json(body)}
    return operation


def _wanted() -> dict[str, Any]:
    properties = {
        "permission": dict(_TEXT),
        "reason": dict(_TEXT),
        "ticket": dict(_TEXT),
        "seconds": {"type": "integer", "minimum": 1, "description": "Default: the longest that is allowed"},
        "break_glass": {"type": "boolean", "default": False, "description": "Take it without an approval"},
    }
    return {"type": "object", "required": ["permission"], "properties": properties, "additionalProperties": False}


def _elevation() -> dict[str, Any]:
    properties: dict[str, Any] = {
        **{each: dict(_TEXT) for each in ("id", "permission", "issuer", "subject", "client", "reason", "ticket")},
        "state": {"type": "string", "enum": list(_STATES)},
        "digest": {"type": "string", "description": "Of what was asked; an approval names it"},
        "break_glass": {"type": "boolean"},
        **{each: {"type": "integer"} for each in ("seconds", "approvals", "needed")},
        **{each: dict(_TIME) for each in ("asked_at", "answer_by", "since", "until", "ended_at", "reviewed_at")},
    }
    required = ["id", "permission", "state", "issuer", "subject", "seconds", "asked_at", "answer_by", "digest"]
    return {"type": "object", "required": required, "properties": properties}


def _parameters(name: str) -> list[dict[str, Any]]:
    if name == "ask":
        described = "Asking again with the same key gives the same elevation"
        return [{"name": "Idempotency-Key", "in": "header", "schema": dict(_TEXT), "description": described}]
    if name == "list":
        return [
            _query("waiting", {"type": "boolean", "default": False}, "Those that wait for your decision, not your own"),
            _query("after", dict(_TEXT), "The last id of the page before"),
            _query("limit", {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": DEFAULT_PAGE}, "At most"),
        ]
    return [{"name": "id", "in": "path", "required": True, "schema": dict(_TEXT)}]


def _query(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema, "description": description}


def _responses(name: str) -> dict[str, Any]:
    status, schema = ("201" if name == "ask" else "200"), _elevation()
    if name == "list":
        members = {
            "elevations": {"type": "array", "items": schema},
            "next": {"type": "string", "format": "uri-reference"},
        }
        schema = {"type": "object", "required": ["elevations"], "properties": members}
    answers: dict[str, Any] = {status: {"description": HTTPStatus(int(status)).phrase, "content": _json(schema)}}
    for fault in _FAULTS[name]:
        problem = {"type": "object", "properties": {each: dict(_TEXT) for each in ("title", "detail", "error")}}
        answers[str(fault)] = {
            "description": HTTPStatus(fault).phrase,
            "content": {"application/problem+json": {"schema": problem}},
        }
    return answers


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
