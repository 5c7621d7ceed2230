"""The tokens that somebody gets who signs in or refreshes."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import NamedTuple

from jwt_lp.oauth.token_endpoint import Answer


class Tokens(NamedTuple):
    """An access token and a refresh token, the seconds that each lives, the subject, and the id of the family."""

    access_token: str
    expires_in: int
    refresh_token: str
    refresh_expires_in: int
    scope: str
    subject: str
    family: str

    @property
    def answer(self) -> Answer:
        """The response that holds both tokens (RFC 6749, section 5.1)."""
        members: dict[str, object] = {
            "access_token": self.access_token,
            "token_type": "Bearer",
            "expires_in": self.expires_in,
            "refresh_token": self.refresh_token,
        }
        if self.scope:
            members["scope"] = self.scope
        headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
        return Answer(int(HTTPStatus.OK), headers, json.dumps(members).encode())

    def __repr__(self) -> str:
        return f"Tokens(family={self.family!r}, masked)"
