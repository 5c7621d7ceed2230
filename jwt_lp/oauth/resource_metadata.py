"""The metadata of a protected resource (RFC 9728): where clients get tokens for this service.

Each host sends the same answers.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from jwt_lp.guard.bearer import DPOP
from jwt_lp.guard.settings import METADATA_PATH
from jwt_lp.jose.jwk import PROOF_ALGORITHMS
from jwt_lp.oauth.token_endpoint import Answer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jwt_lp.guard.routes import Route
    from jwt_lp.guard.settings import Settings

METADATA_MAX_AGE: Final = 300

_NOT_FOUND: Final = Answer(
    int(HTTPStatus.NOT_FOUND),
    {"Content-Type": "application/problem+json"},
    b'{"type": "about:blank", "title": "Not Found", "status": 404}',
)


class ResourceMetadata:
    """The metadata about the service whose settings and routes these are.

    `authorization_servers` are the issuers whose names are addresses. `scopes_supported` are the permissions that the
    routes require, without templates; it is left out if `SHOW_REQUIREMENT` is off. Without the setting `RESOURCE` every
    answer is 404.
    """

    path: Final = METADATA_PATH

    def __init__(self, settings: Settings, routes: Iterable[Route]) -> None:
        self.settings: Settings = settings
        self._suffixes = {"", urlsplit(settings.resource).path} if settings.resource else frozenset[str]()
        headers = {"Content-Type": "application/json", "Cache-Control": f"public, max-age={METADATA_MAX_AGE}"}
        self._answer = Answer(int(HTTPStatus.OK), headers, json.dumps(_members(settings, routes)).encode())

    def get(self, suffix: str = "") -> Answer:
        """Answer a GET request; `suffix` is what follows `path` in the request's path."""
        return self._answer if suffix in self._suffixes else _NOT_FOUND


def _members(settings: Settings, routes: Iterable[Route]) -> dict[str, object]:
    """The members (RFC 9728, section 2); no `jwks_uri`, because this service signs no answers."""
    required = {text for route in routes if route.requirement is not None for text in route.requirement.permissions}
    members = {
        "resource": settings.resource,
        "resource_name": settings.service,
        "authorization_servers": [
            each.issuer for each in settings.issuers if each.issuer.startswith(("https://", "http://"))
        ],
        "scopes_supported": sorted(text for text in required if "{" not in text) if settings.show_requirement else [],
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": list(PROOF_ALGORITHMS) if DPOP in settings.schemes else [],
        "dpop_bound_access_tokens_required": settings.schemes == (DPOP,),
    }
    # A member without a value is left out (section 3.2).
    return {name: value for name, value in members.items() if value}
