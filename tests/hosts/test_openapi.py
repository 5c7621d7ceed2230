"""OpenAPI documents of every host: valid, with the same security, permissions and answers, which the guard then gives."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest

pytest.importorskip("openapi_spec_validator")

import jsonschema
import openapi_spec_validator

from hosts.serving import serve
from jwt_lp import AUTHENTICATED, ConfigurationError, Requirement, all_of, any_of
from jwt_lp.testing.authority import Authority

pytestmark = pytest.mark.host

LIST: Requirement = all_of("orders:list")
CREATE: Requirement = any_of("orders:create", all_of("orders:list", "orders:admin"))
READ: Requirement = all_of("orders:{order_id}:read")
# The paths at which the documents themselves are served.
SETTINGS: Mapping[str, object] = {"PUBLIC": ["/openapi.json"]}

ANSWERS = {"400", "401", "403", "503"}
WANTED: dict[str, tuple[Any, Any, bool, set[str]]] = {
    "get /orders": ([{"jwt_lp": ["orders:list"]}], [["orders:list"]], False, ANSWERS),
    "post /orders": (
        [{"jwt_lp": ["orders:create"]}, {"jwt_lp": ["orders:list", "orders:admin"]}],
        [["orders:create"], ["orders:list", "orders:admin"]],
        False,
        ANSWERS,
    ),
    "get /orders/{order_id}": (
        [{"jwt_lp": ["orders:{order_id}:read"]}],
        [["orders:{order_id}:read"]],
        False,
        ANSWERS,
    ),
    "get /me": ([{"jwt_lp": []}], [[]], False, ANSWERS),
    "get /public": ([], None, False, set()),
    "get /external": ([], None, False, set()),
    "get /undeclared": ([{"jwt_lp": []}], None, True, ANSWERS),
}

Document = dict[str, Any]
Built = tuple[str, Any, Callable[[], Document]]


def _fastapi(settings: Mapping[str, object]) -> Iterator[Built]:
    from fastapi import APIRouter, FastAPI

    from jwt_lp_starlette import LeastPrivilege, external, guard_from, public
    from jwt_lp_starlette.fastapi import Requires

    app, api = FastAPI(docs_url=None, redoc_url=None), APIRouter()
    LeastPrivilege(app, settings)

    def view() -> dict[str, str]:
        return {}

    def order(order_id: str) -> dict[str, str]:
        return {}

    api.get("/orders", dependencies=[Requires(LIST)])(view)
    api.post("/orders", dependencies=[Requires(CREATE)])(view)
    api.get("/orders/{order_id}", dependencies=[Requires(READ)])(order)
    api.get("/me", dependencies=[Requires(AUTHENTICATED)])(view)
    api.get("/public")(public(view))
    api.get("/external")(external("a proxy")(view))
    api.get("/undeclared")(view)
    app.include_router(api)
    with guard_from(app):
        yield "asgi", app, app.openapi


def _starlette(settings: Mapping[str, object]) -> Iterator[Built]:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    from jwt_lp_starlette import LeastPrivilege, authenticated, external, guard_from, public, requires
    from jwt_lp_starlette.schemas import GuardedSchemaGenerator

    def view(request: Request) -> JSONResponse:
        return JSONResponse({})

    def order(request: Request) -> JSONResponse:
        return JSONResponse({})

    view.__doc__ = "responses: {'200': {description: OK}}"
    parameter = "{name: order_id, in: path, required: true, schema: {type: string}}"
    order.__doc__ = f"parameters: [{parameter}]\n{view.__doc__}"
    routes = [
        Route("/orders", requires(LIST)(view)),
        Route("/orders", requires(CREATE)(view), methods=["POST"]),
        Route("/orders/{order_id}", requires(READ)(order)),
        Route("/me", authenticated(view)),
        Route("/public", public(view)),
        Route("/external", external("a proxy")(view)),
        Route("/undeclared", view),
        Route("/openapi.json", lambda request: schemas.OpenAPIResponse(request=request), include_in_schema=False),
    ]
    app = Starlette(routes=routes)
    LeastPrivilege(app, settings)
    schemas = GuardedSchemaGenerator(app, {"openapi": "3.1.0", "info": {"title": "Orders", "version": "1"}})
    with guard_from(app):
        yield "asgi", app, schemas.get_schema


def _views() -> dict[str, Callable[..., dict[str, str]]]:
    from jwt_lp_flask import authenticated, external, public, requires

    def view(order_id: str = "") -> dict[str, str]:
        return {}

    return {
        "get /orders": requires(LIST)(view),
        "post /orders": requires(CREATE)(view),
        "get /orders/{order_id}": requires(READ)(view),
        "get /me": authenticated(view),
        "get /public": public(view),
        "get /external": external("a proxy")(view),
        "get /undeclared": view,
    }


def _apispec(settings: Mapping[str, object]) -> Iterator[Built]:
    from apispec import APISpec
    from flask import Flask

    from jwt_lp_flask import LeastPrivilege, guard_from
    from jwt_lp_flask.apispec import LeastPrivilegePlugin

    app = Flask(__name__, static_folder=None)
    app.config["JWT_LP"] = {**settings, "PUBLIC": []}
    LeastPrivilege(app)
    spec = APISpec("Orders", "1", "3.1.0", plugins=[LeastPrivilegePlugin(app)])
    parameter = {"name": "order_id", "in": "path", "required": True, "schema": {"type": "string"}}
    for label, view in _views().items():
        method, path = label.split()
        app.add_url_rule(path.replace("{", "<").replace("}", ">"), label, view, methods=[method.upper()])
        operation = {"responses": {200: {"description": "OK"}}, "parameters": [parameter] if "{" in path else []}
        spec.path(path, operations={method: operation})
    with guard_from(app):
        yield "wsgi", app, spec.to_dict


def _smorest(settings: Mapping[str, object]) -> Iterator[Built]:
    from flask import Flask

    from jwt_lp_flask import LeastPrivilege, guard_from
    from jwt_lp_flask.apispec import LeastPrivilegePlugin

    smorest: Any = import_module("flask_smorest")
    app = Flask(__name__, static_folder=None)
    app.config |= {"JWT_LP": settings, "API_TITLE": "Orders", "API_VERSION": "1", "OPENAPI_VERSION": "3.1.0"}
    app.config |= {"OPENAPI_URL_PREFIX": "/", "OPENAPI_JSON_PATH": "openapi.json"}
    LeastPrivilege(app)
    api = smorest.Api(app, spec_kwargs={"extra_plugins": [LeastPrivilegePlugin(app)]})
    blueprint = smorest.Blueprint("orders", __name__)
    for label, view in _views().items():
        method, path = label.split()
        rule = path.replace("{", "<").replace("}", ">")
        blueprint.route(rule, endpoint=label.replace("/", " "), methods=[method.upper()])(blueprint.response(200)(view))
    api.register_blueprint(blueprint)
    with guard_from(app):
        yield "wsgi", app, api.spec.to_dict


def _spectacular(settings: Mapping[str, object]) -> Iterator[Built]:
    from hosts.django_setup import configure, served

    configure()
    from django.urls import path
    from drf_spectacular.generators import SchemaGenerator
    from drf_spectacular.settings import patched_settings
    from drf_spectacular.types import OpenApiTypes
    from drf_spectacular.utils import extend_schema
    from drf_spectacular.views import SpectacularJSONAPIView
    from rest_framework.response import Response
    from rest_framework.views import APIView

    from jwt_lp_django.drf import LeastPrivilegeMixin

    def make(**rules: Requirement | None) -> Any:
        def view(self: Any, request: Any, **_: Any) -> Response:
            return Response({})

        answer = extend_schema(responses=OpenApiTypes.OBJECT)(view)
        declared = {method.upper(): rule for method, rule in rules.items() if rule is not None}
        members = {"required_permissions": declared, **dict.fromkeys(rules, answer)}
        view_class: Any = type("Orders", (LeastPrivilegeMixin, APIView), members)
        return view_class.as_view()

    from jwt_lp import PUBLIC, external

    patterns = (
        path("orders", make(get=LIST, post=CREATE)),
        path("orders/<str:order_id>", make(get=READ)),
        path("me", make(get=AUTHENTICATED)),
        path("public", make(get=PUBLIC)),
        path("external", make(get=external("a proxy"))),
        path("undeclared", make(get=None)),
        path("openapi.json", SpectacularJSONAPIView.as_view()),
    )

    def document() -> Document:
        generator: Any = SchemaGenerator
        return dict(generator().get_schema(request=None, public=True))

    changed = {"OAS_VERSION": "3.1.0", "POSTPROCESSING_HOOKS": ["jwt_lp_django.spectacular.describe_guard"]}
    with patched_settings(changed), served("wsgi", *patterns, lp=settings) as (kind, app):
        yield kind, app, document


def _django(settings: Mapping[str, object]) -> Iterator[Built]:
    from hosts.django_setup import configure, served

    configure()
    from django.http import HttpRequest, JsonResponse
    from django.urls import path

    from jwt_lp_django import authenticated, external, public, requires
    from jwt_lp_django.openapi import describe_document

    def view(request: HttpRequest, **_: object) -> JsonResponse:
        return JsonResponse({})

    orders = requires(CREATE, methods=["POST"])(requires(LIST, methods=["GET"])(view))
    patterns = (
        path("orders", orders),
        path("orders/<order_id>", requires(READ)(view)),
        path("me", authenticated(view)),
        path("public", public(view)),
        path("external", external("a proxy")(view)),
        path("undeclared", view),
    )

    def document() -> Document:
        document: Document = {"openapi": "3.1.0", "info": {"title": "Orders", "version": "1"}, "paths": {}}
        for label in WANTED:
            method, url = label.split()
            operation = {"responses": {"200": {"description": "OK"}}}
            document["paths"].setdefault(url, {})[method] = operation
            if "{" in url:
                parameter = {"name": "order_id", "in": "path", "required": True, "schema": {"type": "string"}}
                document["paths"][url]["parameters"] = [parameter]
        describe_document(document)
        return document

    with served("wsgi", *patterns, lp={**settings, "PUBLIC": []}) as (kind, app):
        yield kind, app, document


Maker = Callable[[Mapping[str, object]], Iterator[Built]]
MODES: dict[str, tuple[tuple[str, ...], Maker]] = {
    "fastapi": (("fastapi",), _fastapi),
    "starlette": (("starlette", "yaml"), _starlette),
    "apispec": (("flask", "apispec"), _apispec),
    "flask-smorest": (("flask_smorest",), _smorest),
    "drf-spectacular": (("rest_framework", "drf_spectacular"), _spectacular),
    "django": (("django",), _django),
}
INSTALLED = {mode: make for mode, (needs, make) in MODES.items() if all(map(find_spec, needs))}


@contextmanager
def built(mode: str, authority: Authority, **changes: object) -> Iterator[Built]:
    application: AbstractContextManager[Built] = contextmanager(INSTALLED[mode])(
        authority.settings(**{**SETTINGS, **changes})
    )
    with application as parts:
        yield parts


def described(document: Document) -> dict[str, tuple[Any, Any, bool, set[str]]]:
    """Security, permissions, whether it is always refused, and the guard's answers, of each operation."""
    return {
        f"{method} {path}": (
            operation.get("security"),
            operation.get("x-required-permissions"),
            operation.get("x-always-refused", False),
            ANSWERS & {str(status) for status in operation["responses"]},
        )
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if f"{method} {path}" in WANTED
    }


@pytest.mark.parametrize("mode", list(INSTALLED))
def test_every_host_describes_alike(mode: str) -> None:
    """The document is valid, each operation is described as in the table, and a second document is the same."""
    with built(mode, Authority()) as (_, _, document):
        for each in (document(), document()):
            openapi_spec_validator.validate(each)
            assert WANTED == described(each)
            assert {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"} == each["components"]["securitySchemes"][
                "jwt_lp"
            ]


@pytest.mark.parametrize("mode", list(INSTALLED))
def test_the_guard_answers_as_described(mode: str) -> None:
    """Each refusal has a status that its operation describes, and a body that fits the schema of that answer."""
    authority = Authority()
    held = authority.headers(permissions=["orders:none"])["Authorization"]
    with built(mode, authority, EXPLAIN=False) as (kind, app, make), serve(kind, app) as client:
        document = make()
        seen: set[int] = set()
        for label, (security, *_, answers) in WANTED.items():
            method, path = label.split()
            for line in ("", "Bearer junk", "Bearer a b", held):
                headers = [("Authorization", line)] if line else []
                url = path.replace("{order_id}", "7")
                answer = client.request(method.upper(), url, headers, b"" if method == "post" else None)
                if answer.status == 200:
                    assert security in ([], [{"jwt_lp": []}])
                    continue
                seen.add(answer.status)
                assert str(answer.status) in answers
                component = document["components"]["responses"][
                    document["paths"][path][method]["responses"][str(answer.status)]["$ref"].rpartition("/")[2]
                ]
                media = answer.headers["content-type"].partition(";")[0]
                schema = {**component["content"][media]["schema"], "components": document["components"]}
                jsonschema.validate(answer.json, schema)
                known = document["components"]["schemas"]["JwtLpProblem"]["properties"]
                assert set() == answer.json.keys() - known.keys()
                assert {name.lower() for name in component["headers"]} <= answer.headers.keys()
        assert {400, 401, 403} == seen


SERVED = [mode for mode in INSTALLED if mode not in {"apispec", "django"}]


@pytest.mark.parametrize("mode", SERVED)
def test_the_application_serves_the_document(mode: str) -> None:
    """The document that the application itself serves says the same."""
    with built(mode, Authority()) as (kind, app, _), serve(kind, app) as client:
        headers = [("Accept", "application/json")]
        answer = client.request("GET", "/openapi.json", headers)
        assert 200 == answer.status
        import yaml

        assert WANTED == described(yaml.safe_load(answer.body))


def test_an_issuer_with_discovery_is_a_scheme() -> None:
    """Each issuer with DISCOVERY is one more scheme, and each scheme is an alternative of its own."""
    pytest.importorskip("fastapi")
    more = {"JWKS": None, "DISCOVERY": True, "ISSUER": "https://login.example.com/"}
    with built("fastapi", Authority(), **more) as (_, _, document):
        each = document()
    openapi_spec_validator.validate(each)
    assert {
        "type": "openIdConnect",
        "openIdConnectUrl": "https://login.example.com/.well-known/openid-configuration",
    } == each["components"]["securitySchemes"]["jwt_lp_openid_default"]
    assert [{"jwt_lp": ["orders:list"]}, {"jwt_lp_openid_default": ["orders:list"]}] == each["paths"]["/orders"]["get"][
        "security"
    ]


def test_ninja_is_described() -> None:
    """A document of Django Ninja is described by what the include of its URLs declares."""
    ninja = pytest.importorskip("ninja")
    from hosts.django_setup import configure, project

    configure()
    from django.urls import path

    from jwt_lp_django import guarded
    from jwt_lp_django.openapi import describe_document

    api = ninja.NinjaAPI(docs_url=None, urls_namespace="orders")

    def order(request: Any, order_id: int) -> dict[str, int]:
        return {}

    api.get("/orders/{order_id}")(order)

    with project(path("api/", guarded(api.urls, READ))):
        each = dict(api.get_openapi_schema())
        describe_document(each)
    # As it is served: numbers become strings.
    each = json.loads(json.dumps(each))
    openapi_spec_validator.validate(each)
    operation = each["paths"]["/api/orders/{order_id}"]["get"]
    assert [{"jwt_lp": ["orders:{order_id}:read"]}] == operation["security"]
    assert {"200", *ANSWERS} == operation["responses"].keys()


def test_apispec_needs_a_guard_and_openapi_3() -> None:
    """The plugin says what is missing before it describes anything."""
    pytest.importorskip("apispec")
    flask = pytest.importorskip("flask")
    from apispec import APISpec

    from jwt_lp_flask import LeastPrivilege
    from jwt_lp_flask.apispec import LeastPrivilegePlugin

    app = flask.Flask(__name__)
    with pytest.raises(ConfigurationError, match="has no guard"):
        LeastPrivilegePlugin(app)
    LeastPrivilege(app, Authority().settings())
    with pytest.raises(ConfigurationError, match=r"use 3\.1\.0"):
        APISpec("Orders", "1", "2.0", plugins=[LeastPrivilegePlugin(app)])
