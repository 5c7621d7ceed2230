"""The parts of an OpenAPI document that tell what the guard requires and answers.

They are plain values of OpenAPI 3.1, and of 3.0 where the document says so. Each host has its own place for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from http import HTTPStatus
from itertools import product
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, cast

from jwt_lp.guard.bearer import DPOP
from jwt_lp.guard.cookies import CSRF_HEADER
from jwt_lp.guard.decisions import INVALID_PROOF
from jwt_lp.permissions.requirements import Open, Requirement

if TYPE_CHECKING:
    from jwt_lp.guard.routes import Route
    from jwt_lp.guard.settings import Settings

BEARER_SCHEME: Final = "jwt_lp"
COOKIE_SCHEME: Final = "jwt_lp_cookie"
CSRF_SCHEME: Final = "jwt_lp_csrf"
PROBLEM_SCHEMA: Final = "JwtLpProblem"

_PARAMETER: Final = re.compile(r"\{([^{}:]*)[^{}]*\}")
_PLACEHOLDER: Final = re.compile(r"\{(\w+)(!e)?\}")
_MEDIA_TYPE: Final = "application/problem+json"
_METHODS: Final = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})
_SAFE_METHODS: Final = frozenset({"get", "head", "options", "trace"})

_DESCRIPTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "400": "The request carries more than one credential or a malformed one",
        "401": "The access token is missing, expired, revoked or not for this service",
        "403": "The access token does not grant what this operation requires",
        "503": "It cannot be decided right now whether the access token is good",
    }
)
_CHALLENGE: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "WWW-Authenticate": {
            "description": "The challenge (RFC 6750); `scope` names what is missing",
            "schema": {"type": "string"},
        }
    }
)
_RETRY_AFTER: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "Retry-After": {
            "description": "The seconds after which a retry may succeed",
            "schema": {"type": "integer", "minimum": 1},
        }
    }
)


def problem_schema(*, dpop: bool = False) -> dict[str, Any]:
    """The JSON Schema of a refusal's body (RFC 9457); `dpop` says whether proofs are checked."""
    errors = ["invalid_request", "invalid_token", "insufficient_scope", "csrf", *([INVALID_PROOF] if dpop else [])]
    codes = "RFC 6750 or RFC 9449" if dpop else "RFC 6750"
    return {
        "type": "object",
        "description": "A refusal by the guard, as a problem (RFC 9457)",
        "properties": {
            "type": {"type": "string", "format": "uri-reference"},
            "title": {"type": "string"},
            "status": {"type": "integer", "enum": [int(status) for status in _DESCRIPTIONS]},
            "detail": {"type": "string", "description": "One sentence, the same for every cause of the same error"},
            "error": {
                "type": "string",
                "description": f"The code of {codes}, or csrf; absent if no credential was sent, and with 503",
                "enum": errors,
            },
            "requirement": {"type": "string", "description": "What the operation requires, with 403"},
            "cause": {"type": "string", "description": "The reason, in development only"},
            "elevation": {
                "type": "object",
                "description": "What this caller may ask for, and where; with 403, for callers who may",
                "properties": {
                    "permissions": {"type": "array", "items": {"type": "string"}},
                    "request_at": {"type": "string", "format": "uri-reference"},
                },
                "required": ["permissions", "request_at"],
            },
            "reference": {"type": "string", "description": "Identifies the refusal in the service's log"},
        },
        "required": ["type", "title", "status", "detail"],
    }


class RoutesByPath:
    """Routes, found by the path and the method of an operation. Documents may change the names of parameters."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes: dict[tuple[str, str], Route] = {}
        for route in routes:
            for method in route.methods or _METHODS:
                # The first route is the one that answers.
                self._routes.setdefault((_shape(route.template), method.lower()), route)

    def find(self, path: str, method: str) -> Route | None:
        """The route that answers `method` (in lower case) at a document's `path`; None if there is none."""
        return self._routes.get((_shape(path), method))


class OpenAPIDescription:
    """Describes operations in an OpenAPI document, by the settings of a guard.

    `version` is that of the document. In 3.0 the security requirements of a bearer scheme may list no permissions, so
    only `x-required-permissions` does. `csrf_header` is the header that a request with the cookie of `COOKIE` needs.
    """

    def __init__(self, settings: Settings, version: str = "3.1.0", csrf_header: str = CSRF_HEADER) -> None:
        self._schemes = security_schemes(settings, csrf_header)
        self._dpop = DPOP in settings.schemes
        self._lists = {
            name: scheme["type"] == "openIdConnect" or not version.startswith("3.0")
            for name, scheme in self._schemes.items()
            if name != CSRF_SCHEME
        }

    def components(self) -> dict[str, dict[str, Any]]:
        """The components: security schemes, the schema of a problem, and a response for each status."""
        return {
            "securitySchemes": {name: dict(scheme) for name, scheme in self._schemes.items()},
            "schemas": {PROBLEM_SCHEMA: problem_schema(dpop=self._dpop)},
            "responses": {_response_name(status): _response(status) for status in _DESCRIPTIONS},
        }

    def describe(
        self,
        operation: MutableMapping[str, Any],
        requirement: Requirement | None,
        names: Mapping[str, str] = MappingProxyType({}),
        *,
        method: str = "post",
    ) -> None:
        """Add security, `x-required-permissions` and the answers to one operation.

        Methods that are not safe need the CSRF token beside a cookie (RFC 9110, section 9.2.1). Any other security scheme of the operation stays required, in addition to ours; an answer that it describes
        itself gets the problem as one more media type. `names` maps the parameters of the route to those of the
        document. Without a requirement the operation is marked with `x-always-refused`.
        """
        others = self._other_schemes(operation.get("security") or ())
        for member in ("x-required-permissions", "x-always-refused"):
            operation.pop(member, None)
        if isinstance(requirement, Open):
            operation["security"] = others if any(others) else []
            return
        alternatives = [()] if requirement is None else requirement.alternatives()
        named = [[_with_names(text, names) for text in texts] for texts in alternatives]
        # With an alternative that has no other scheme, the others are not required.
        needs_csrf = method.lower() not in _SAFE_METHODS
        operation["security"] = list(self._security(named, others if all(others) else [{}], needs_csrf=needs_csrf))
        if requirement is None:
            operation["x-always-refused"] = True
        else:
            operation["x-required-permissions"] = named
        responses = operation.setdefault("responses", {})
        for status in _DESCRIPTIONS:
            _add_response(responses, status)

    def describe_document(self, document: MutableMapping[str, Any], routes: Iterable[Route]) -> None:
        """Describe every operation of a whole document that one of `routes` serves, and add the components."""
        served = RoutesByPath(routes)
        for path, item in document.get("paths", {}).items():
            # What the document requires of all operations stays required of those that get a list of their own.
            for method in _METHODS & item.keys() if "security" in document else ():
                item[method].setdefault("security", [dict(each) for each in document["security"]])
            self.describe_path(path, item, served)
        self.add_components(document)

    def describe_path(self, path: str, item: Mapping[str, Any], served: RoutesByPath) -> None:
        """Describe every operation of one path that a route serves."""
        for method in _METHODS & item.keys():
            route = served.find(path, method)
            if route is not None:
                names = parameter_names(route.template, path)
                self.describe(item[method], route.requirement, names, method=method)

    def add_components(self, document: MutableMapping[str, Any]) -> None:
        """Add the components to a document; those that it has by the same names are replaced."""
        components = document.setdefault("components", {})
        for kind, values in self.components().items():
            components.setdefault(kind, {}).update(values)

    def _other_schemes(self, security: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The alternatives without our schemes, each once; at least one, which may be empty."""
        others: list[dict[str, Any]] = []
        for alternative in security:
            rest = {name: scopes for name, scopes in alternative.items() if name not in self._schemes}
            if rest not in others:
                others.append(rest)
        return others or [{}]

    def _security(
        self, alternatives: list[list[str]], others: list[dict[str, Any]], *, needs_csrf: bool
    ) -> Iterator[dict[str, Any]]:
        seen: list[dict[str, Any]] = []
        for texts, (name, lists), other in product(alternatives, self._lists.items(), others):
            entry = {**other, name: list(texts) if lists else []}
            if name == COOKIE_SCHEME and needs_csrf:
                entry[CSRF_SCHEME] = []
            if entry not in seen:
                seen.append(entry)
                yield entry


def security_schemes(settings: Settings, csrf_header: str = CSRF_HEADER) -> dict[str, dict[str, Any]]:
    """The schemes (OpenAPI 3.1, section 4.8.27), each of which but the CSRF token is enough for an operation.

    One is the bearer token, and one the token with a proof where `DPOP` is set; with "required" only that. One for each
    issuer with `DISCOVERY: True` tells where to get a token. With `COOKIE`, one is the cookie, and another the CSRF token
    beside it, in the header `csrf_header`.
    """
    schemes: dict[str, dict[str, Any]] = {}
    if "Bearer" in settings.schemes:
        schemes[BEARER_SCHEME] = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    if DPOP in settings.schemes:
        description = "A token that is bound to a key, with a proof in the header `DPoP` (RFC 9449)"
        schemes[f"{BEARER_SCHEME}_dpop"] = {"type": "http", "scheme": "dpop", "description": description}
    for issuer in settings.issuers:
        # INVARIANT: an address from the settings is not published; this one follows from the issuer, which tokens name.
        if issuer.discovery is True:
            # Its guard has loaded this already, and other settings do not need an HTTP client.
            from jwt_lp.jose.discovery import metadata_urls

            url = metadata_urls(issuer.issuer, discovery=True)[0]
            schemes[f"{BEARER_SCHEME}_openid_{issuer.name}"] = {"type": "openIdConnect", "openIdConnectUrl": url}
    cookies = settings.cookies
    if cookies is not None:
        schemes[COOKIE_SCHEME] = {"type": "apiKey", "in": "cookie", "name": cookies.name}
        description = f"The CSRF token, for requests with the cookie {cookies.name}"
        schemes[CSRF_SCHEME] = {"type": "apiKey", "in": "header", "name": csrf_header, "description": description}
    return schemes


def parameter_names(template: str, path: str) -> dict[str, str]:
    """The names that a document gives to the parameters of a route, by those of the route, in their order."""
    return dict(zip(_PARAMETER.findall(template), _PARAMETER.findall(path), strict=False))


def _shape(path: str) -> str:
    """The path without the names of its parameters, which documents may change."""
    return _PARAMETER.sub("{}", path)


def _with_names(permission: str, names: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda match: f"{{{names.get(match[1], match[1])}{match[2] or ''}}}", permission)


def _response_name(status: str) -> str:
    return f"JwtLp{HTTPStatus(int(status)).phrase.replace(' ', '')}"


def _content() -> dict[str, Any]:
    return {_MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{PROBLEM_SCHEMA}"}}}


def _response(status: str) -> dict[str, Any]:
    headers = _RETRY_AFTER if status == "503" else _CHALLENGE
    copied = {name: {**header, "schema": dict(header["schema"])} for name, header in headers.items()}
    return {"description": _DESCRIPTIONS[status], "headers": copied, "content": _content()}


def _add_response(responses: MutableMapping[Any, Any], status: str) -> None:
    # Some generators write a number.
    own = responses.get(status, responses.get(int(status)))
    if own is None:
        responses[status] = {"$ref": f"#/components/responses/{_response_name(status)}"}
    elif isinstance(own, MutableMapping) and "$ref" not in own:
        cast("MutableMapping[str, Any]", own).setdefault("content", {}).update(_content())
