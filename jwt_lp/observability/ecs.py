"""The formatter for log records in the Elastic Common Schema (ECS), one JSON object a line."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final, cast

from jwt_lp.observability.audit_log import address_fields

ECS_VERSION: Final = "8.17.0"
_FIELDS: Final = ("event", "http", "url", "source", "user", "service")
_to_json: Final = json.JSONEncoder(default=str).encode

# What a security event is: its category, its type and its outcome, by its name. Others are of the category `api`.
_KINDS: Final[Mapping[str, tuple[str, str, str]]] = MappingProxyType(
    {
        "refused": ("api", "denied", "failure"),
        "observed": ("api", "allowed", "success"),
        "revoked": ("iam", "change", "success"),
        "exchanged": ("authentication", "info", "success"),
        "exchange-refused": ("authentication", "info", "failure"),
        "signed-in": ("authentication", "start", "success"),
        "sign-in-refused": ("authentication", "start", "failure"),
        "refreshed": ("authentication", "info", "success"),
        "refresh-refused": ("authentication", "info", "failure"),
        "refresh-reused": ("authentication", "info", "failure"),
        "signed-out": ("authentication", "end", "success"),
        "signed-out-everywhere": ("authentication", "end", "success"),
        "sign-out-refused": ("authentication", "end", "failure"),
        "elevation-asked": ("iam", "info", "success"),
        "elevation-approved": ("iam", "info", "success"),
        "elevation-denied": ("iam", "info", "failure"),
        "elevation-granted": ("iam", "change", "success"),
        "elevation-break-glass": ("iam", "change", "success"),
        "elevation-ended": ("iam", "change", "success"),
        "elevation-reviewed": ("iam", "info", "success"),
    }
)


class EcsFormatter(logging.Formatter):
    """Formats a record as one line of JSON with ECS field names.

    A record of the audit log or of a security event of jwt-lp has its own fields. Any other record has its message, its
    level and its logger, and of an exception the type, the message and the traceback. JSON escapes line breaks and every
    character outside of ASCII, so no value can add a line.
    """

    def __init__(self) -> None:
        super().__init__()

    def format(self, record: logging.LogRecord) -> str:
        """The line, without a line break at its end."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        document: dict[str, object] = {
            "@timestamp": moment.replace("+00:00", "Z"),
            "log": {"level": record.levelname.lower(), "logger": record.name},
            "message": record.getMessage(),
            "ecs": {"version": ECS_VERSION},
        }
        details = record.__dict__.get("jwt_lp")
        if isinstance(details, Mapping):
            members = cast("Mapping[str, object]", details)
            if "event" in members:
                # The fields say the rest.
                document["message"] = f"jwt-lp {members['event']}"
                document |= _event_fields(members)
            else:
                document |= _audit_fields(record, members)
        if record.exc_info and record.exc_info[0] is not None:
            document["error"] = {
                "type": record.exc_info[0].__name__,
                "message": str(record.exc_info[1]),
                "stack_trace": self.formatException(record.exc_info),
            }
        return _to_json(_writable(document))


def _audit_fields(record: logging.LogRecord, details: Mapping[str, object]) -> dict[str, object]:
    fields: dict[str, object] = {name: record.__dict__[name] for name in _FIELDS if name in record.__dict__}
    return {**fields, "jwt_lp": details}


def _event_fields(members: Mapping[str, object]) -> dict[str, object]:
    rest = dict(members)
    name = str(rest.pop("event"))
    category, kind, outcome = _KINDS.get(name, ("api", "info", "unknown"))
    event: dict[str, object] = {
        "kind": "event",
        "category": [category],
        "type": [kind],
        "action": name,
        "outcome": outcome,
        "reason": rest.pop("cause", None),
        "id": rest.pop("reference", None),
    }
    status, subject, service = rest.pop("status", None), rest.pop("subject", None), rest.pop("service", None)
    address = rest.pop("address", None)
    fields: dict[str, object] = {
        "event": {key: value for key, value in event.items() if value},
        "http": {"response": {"status_code": status}} if status else None,
        "user": {"id": subject} if subject else None,
        "service": {"name": service} if service else None,
        "source": address_fields(address) if isinstance(address, str) else None,
        "jwt_lp": rest,
    }
    return {key: value for key, value in fields.items() if value}


def _writable(value: object) -> object:
    """The value with texts that every JSON parser reads: no long ones, and no half of a surrogate pair."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, Mapping):
        return {key: _writable(member) for key, member in cast("Mapping[str, object]", value).items()}
    if isinstance(value, (list, tuple)):
        return [_writable(member) for member in cast("list[object]", value)]
    return value
