"""The parts of an OpenAPI document, as plain values."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from jwt_lp import AUTHENTICATED, IDENTIFIED, PUBLIC, Requirement, Route, Settings, all_of, any_of, external
from jwt_lp.guard.decisions import Refusal
from jwt_lp.guard.openapi import (
    BEARER_SCHEME,
    OpenAPIDescription,
    RoutesByPath,
    parameter_names,
    problem_schema,
    security_schemes,
)
from jwt_lp.jose.signing import SigningKey

JWKS = {"keys": [SigningKey.generate("ES256", kid="k1").public_jwk()]}
ONE: dict[str, Any] = {"ISSUER": "https://one.test/", "AUDIENCE": "a", "ALGORITHMS": "ES256"}
ANSWERS = ["400", "401", "403", "503"]


def settings(**more: Any) -> Settings:
    return Settings.from_mapping({**ONE, **(more or {"JWKS": JWKS})}, environ={})


def described(requirement: Requirement | None, version: str = "3.1.0", **operation: Any) -> dict[str, Any]:
    OpenAPIDescription(settings(), version).describe(operation, requirement)
    return operation


@pytest.mark.parametrize(
    ("security", "permissions", "requirement"),
    [
        pytest.param([["a"]], [["a"]], all_of("a"), id="one"),
        pytest.param([["a", "b"]], [["a", "b"]], all_of("a", "b"), id="all"),
        pytest.param([["a"], ["b", "c"]], [["a"], ["b", "c"]], any_of("a", all_of("b", "c")), id="any"),
        pytest.param([["a:{x}"]], [["a:{x}"]], all_of("a:{x}", where={"u": "sub"}), id="a template and a binding"),
        pytest.param([[]], [[]], AUTHENTICATED, id="authenticated"),
        pytest.param([[]], None, None, id="undeclared"),
    ],
)
def test_what_needs_a_token(
    security: list[list[str]], permissions: list[list[str]] | None, requirement: Requirement | None
) -> None:
    """Each alternative is one security requirement, and every status that the guard answers with is described."""
    operation = described(requirement)
    assert [{BEARER_SCHEME: texts} for texts in security] == operation["security"]
    assert permissions == operation.get("x-required-permissions")
    assert (requirement is None) is operation.get("x-always-refused", False)
    assert ANSWERS == list(operation["responses"])


@pytest.mark.parametrize("requirement", [PUBLIC, IDENTIFIED, external("a proxy")])
def test_what_needs_no_token(requirement: Requirement) -> None:
    """An open operation has no security of ours, and none of the guard's answers; another scheme stays."""
    assert {"security": []} == described(requirement)
    assert {"security": [{"key": ["x"]}]} == described(requirement, security=[{"key": ["x"], BEARER_SCHEME: []}])


def test_the_security_of_openapi_3_0() -> None:
    """In OpenAPI 3.0 a bearer scheme lists no permissions, so equal alternatives are one."""
    operation = described(any_of("a", "b"), "3.0.3")
    assert ([{BEARER_SCHEME: []}], [["a"], ["b"]]) == (operation["security"], operation["x-required-permissions"])


def test_what_an_operation_says_already() -> None:
    """Another scheme stays required, an answer of its own gets the problem too, and a reference stays."""
    own = {"200": {"description": "OK"}, "401": {"description": "Mine"}, 403: {"description": "Mine"}}
    reference = {"$ref": "#/components/responses/Mine"}
    operation = described(all_of("a"), security=[{"key": []}], responses={**own, "503": reference, "400": "Mine"})
    assert [{"key": [], BEARER_SCHEME: ["a"]}] == operation["security"]
    responses = operation["responses"]
    assert (reference, "Mine", {"description": "OK"}) == (responses["503"], responses["400"], responses["200"])
    for answer in (responses["401"], responses[403]):
        assert ("Mine", ["application/problem+json"]) == (answer["description"], list(answer["content"]))
    assert "403" not in responses


@pytest.mark.parametrize(
    ("token", "public", "security"),
    [
        pytest.param([{BEARER_SCHEME: ["a"]}], [], [], id="nothing"),
        pytest.param([{BEARER_SCHEME: ["a"]}], [], [{}], id="nothing, written out"),
        pytest.param([{BEARER_SCHEME: ["a"]}], [], [{BEARER_SCHEME: []}], id="ours"),
        pytest.param([{"k": [], BEARER_SCHEME: ["a"]}], [{"k": []}], [{"k": []}], id="another"),
        pytest.param([{"k": [], BEARER_SCHEME: ["a"]}], [{"k": []}], [{"k": [], BEARER_SCHEME: []}], id="both"),
        pytest.param([{"k": [], BEARER_SCHEME: ["a"]}], [{"k": []}], [{"k": []}, {"k": [], "jwt_lp": []}], id="twice"),
        pytest.param([{BEARER_SCHEME: ["a"]}], [{"k": []}, {}], [{"k": []}, {BEARER_SCHEME: []}], id="either"),
        pytest.param(
            [{"k": [], BEARER_SCHEME: ["a"]}, {"m": [], BEARER_SCHEME: ["a"]}],
            [{"k": []}, {"m": []}],
            [{"k": []}, {"m": []}],
            id="one of two others",
        ),
    ],
)
def test_other_schemes(token: list[Any], public: list[Any], security: list[Any]) -> None:
    """Other schemes stay as they are, as alternatives too; the token is required in addition to each."""
    assert token == described(all_of("a"), security=security)["security"]
    assert public == described(PUBLIC, security=security)["security"]


def test_the_security_of_a_whole_document() -> None:
    """What the document requires of every operation stays required where the guard adds its own."""
    document: dict[str, Any] = {"security": [{"k": []}], "paths": {"/a": {"get": {}, "put": {"security": []}}}}
    OpenAPIDescription(settings()).describe_document(document, [Route((), "/a", "app.a", all_of("a"))])
    item = document["paths"]["/a"]
    assert [{"k": [], BEARER_SCHEME: ["a"]}] == item["get"]["security"]
    assert [{BEARER_SCHEME: ["a"]}] == item["put"]["security"]


def test_describing_again_changes_nothing() -> None:
    """An operation that is described again is the same, and one with another requirement is that of the last."""
    operation = described(None)
    first = described(all_of("a"), **copy.deepcopy(operation))
    assert first == described(all_of("a"), **copy.deepcopy(first))
    assert (False, [["a"]]) == ("x-always-refused" in first, first["x-required-permissions"])


def test_a_document() -> None:
    """Every operation that a route serves is described, with the document's parameter names; the others stay."""
    routes = [
        Route(("GET",), "/orders/{pk}", "app.order", all_of("orders:{pk}:read", "orders:{pk!e}:x", "a:{other}")),
        Route(("GET",), "/orders/{later}", "app.never", PUBLIC),
        Route((), "/any", "app.any", all_of("any")),
    ]
    other: dict[str, Any] = {"responses": {}}
    document: dict[str, Any] = {
        "paths": {
            "/orders/{id}": {"get": {}, "post": dict(other), "parameters": []},
            "/any": {"put": {}},
            "/orders": {"get": dict(other)},
        },
        "components": {"schemas": {"Mine": {}}},
    }
    OpenAPIDescription(settings()).describe_document(document, routes)
    paths = document["paths"]
    assert [["orders:{id}:read", "orders:{id!e}:x", "a:{other}"]] == paths["/orders/{id}"]["get"][
        "x-required-permissions"
    ]
    assert (other, other, []) == (
        paths["/orders/{id}"]["post"],
        paths["/orders"]["get"],
        paths["/orders/{id}"]["parameters"],
    )
    assert [["any"]] == paths["/any"]["put"]["x-required-permissions"]
    assert {"Mine", "JwtLpProblem"} == document["components"]["schemas"].keys()
    references = json.dumps(paths).split("#/components/")[1:]
    for reference in references:
        kind, name = reference.partition('"')[0].split("/")
        assert name in document["components"][kind]


def test_a_document_without_paths() -> None:
    """A document without paths gets the components only."""
    document: dict[str, Any] = {}
    OpenAPIDescription(settings()).describe_document(document, [])
    assert {"components"} == document.keys()


def test_routes_by_path() -> None:
    """A route is found by its method and the shape of its path."""
    route = Route(("GET",), "/a/{x:int}/b/{y}", "app.a", PUBLIC)
    served = RoutesByPath([route])
    assert route is served.find("/a/{one}/b/{two}", "get")
    assert (None, None) == (served.find("/a/{one}/b/{two}", "post"), served.find("/a/{one}/b", "get"))
    assert {"x": "one", "y": "two"} == parameter_names(route.template, "/a/{one}/b/{two}")


def test_the_schemes() -> None:
    """An issuer is a scheme only with DISCOVERY: True, because an address from the settings is not published."""
    bearer = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    internal = "https://keys.internal/.well-known/openid-configuration?secret"
    assert {BEARER_SCHEME: bearer} == security_schemes(settings()) == security_schemes(settings(DISCOVERY=internal))
    issuers = {
        "a": {**ONE, "DISCOVERY": True, "CEILING": ["a"]},
        "b": {**ONE, "ISSUER": "https://two.test", "JWKS": JWKS, "CEILING": ["a"]},
    }
    read = Settings.from_mapping({"ISSUERS": issuers}, environ={})
    openid = {"type": "openIdConnect", "openIdConnectUrl": "https://one.test/.well-known/openid-configuration"}
    assert {BEARER_SCHEME: bearer, "jwt_lp_openid_a": openid} == security_schemes(read)
    operation: dict[str, Any] = {}
    OpenAPIDescription(read, "3.0.3").describe(operation, any_of("a", "b"))
    assert [{BEARER_SCHEME: []}, {"jwt_lp_openid_a": ["a"]}, {"jwt_lp_openid_a": ["b"]}] == operation["security"]


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal(400, "invalid_request", "r"),
        Refusal(401, None, "r"),
        Refusal(401, "invalid_token", "r", cause="expired: an hour ago"),
        Refusal(403, "insufficient_scope", "r", "a", "a & b"),
        Refusal(503, None, "r"),
    ],
)
def test_the_schema_of_a_problem(refusal: Refusal) -> None:
    """The schema allows every refusal's body, and describes each of its members."""
    schema = problem_schema()
    assert set(schema["required"]) <= refusal.problem.keys() <= schema["properties"].keys()
    for name in ("status", "error"):
        assert refusal.problem.get(name) in [*schema["properties"][name]["enum"], None]


def test_a_cookie_is_an_alternative_that_needs_a_csrf_token() -> None:
    """With `COOKIE` every alternative is there with the cookie too, for unsafe methods with the CSRF token beside it."""
    description = OpenAPIDescription(settings(JWKS=JWKS, COOKIE=True), csrf_header="X-Mine")
    read: dict[str, Any] = {}
    write: dict[str, Any] = {}
    description.describe(read, all_of("a"), method="GET")
    description.describe(write, all_of("a"), method="PATCH")
    assert [{"jwt_lp": ["a"]}, {"jwt_lp_cookie": ["a"]}] == read["security"]
    assert [{"jwt_lp": ["a"]}, {"jwt_lp_cookie": ["a"], "jwt_lp_csrf": []}] == write["security"]
    schemes = description.components()["securitySchemes"]
    assert ("apiKey", "cookie", "__Host-access") == tuple(
        schemes["jwt_lp_cookie"][key] for key in ("type", "in", "name")
    )
    assert ("apiKey", "header", "X-Mine") == tuple(schemes["jwt_lp_csrf"][key] for key in ("type", "in", "name"))


@pytest.mark.parametrize(
    ("dpop", "names"),
    [(False, [BEARER_SCHEME]), (True, [BEARER_SCHEME, "jwt_lp_dpop"]), ("required", ["jwt_lp_dpop"])],
)
def test_the_scheme_of_dpop(dpop: object, names: list[str]) -> None:
    """Where `DPOP` is set, a token with a proof is one more way, or the only one; its error code is listed."""
    read = settings(JWKS=JWKS, DPOP=dpop)
    assert names == list(security_schemes(read))
    description = OpenAPIDescription(read)
    operation: dict[str, Any] = {}
    description.describe(operation, all_of("a"))
    assert [{name: ["a"]} for name in names] == operation["security"]
    errors = description.components()["schemas"]["JwtLpProblem"]["properties"]["error"]["enum"]
    assert bool(dpop) is ("invalid_dpop_proof" in errors)
