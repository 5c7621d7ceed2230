"""Answers of endpoints that refuse: problem bodies (RFC 9457)."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Final

from jwt_lp.guard.decisions import whole_seconds
from jwt_lp.oauth.token_endpoint import Answer

_WITH_RETRY_AFTER: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})


def problem_answer(
    status: HTTPStatus, error: str, description: str, reference: str, *, retry_after: float | None = None
) -> Answer:
    """The answer with a code and a public sentence; `reference` finds the refusal in the log, `retry_after` is in seconds."""
    headers = {"Content-Type": "application/problem+json", "Cache-Control": "no-store"}
    if status == HTTPStatus.UNAUTHORIZED:
        # RFC 9110, section 15.5.2, wants a challenge; a browser asks its user for a password only for Basic.
        headers["WWW-Authenticate"] = "Bearer"
    if status in _WITH_RETRY_AFTER:
        headers["Retry-After"] = str(whole_seconds(retry_after))
    problem = {
        "type": "about:blank",
        "title": status.phrase,
        "status": int(status),
        "detail": description,
        "error": error,
        "reference": reference,
    }
    return Answer(int(status), headers, json.dumps(problem).encode())
