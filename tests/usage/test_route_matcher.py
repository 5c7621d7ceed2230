"""Routes of the methods and paths in an access log."""

from __future__ import annotations

import pytest

from jwt_lp.errors import ConfigurationError
from jwt_lp.usage.route_matcher import RouteMatcher


def _route(template, *methods, name="", permissions=("p",), **more):
    return {
        "template": template, "methods": list(methods), "endpoint": name or template, "kind": "requirement",
        "requirement": "p", "permissions": list(permissions), **more,
    }  # fmt: skip


ROUTES = RouteMatcher(
    [
        _route("/", "GET"),
        _route("/orders", "GET", "POST"),
        _route("/orders/{order_id}", "GET"),
        _route("/orders/latest", "GET"),
        _route("/orders/{order_id}", "DELETE", name="delete"),
        _route("/orders/{order_id}/lines/{}", "GET"),
        _route("/files/{path:path}", "GET"),
        _route("/files/{name}/meta", "GET"),
        _route("/static/{filename}", "GET"),
        _route("/v{version}/a-{x}-{y}.json", "GET"),
        _route("/any"),
        _route("//shop.example.com/admin", "GET"),
        _route("/trailing/", "GET"),
        _route("/^a|b", "GET"),
        _route("/twice/{a}", "GET", name="first"),
        _route("/twice/{b}", "GET", name="second"),
        _route("/mixed{a}{b}", "GET"),
    ]
)


@pytest.mark.parametrize(
    ("method", "path", "endpoint"),
    [
        ("GET", "/", "/"),
        ("GET", "/orders", "/orders"),
        ("get", "/orders?page=2#x", "/orders"),
        ("HEAD", "/orders", "/orders"),
        ("PUT", "/orders", None),
        ("GET", "/orders/", None),
        ("GET", "/orders/7", "/orders/{order_id}"),
        ("GET", "https://shop.example.com:8443/orders/7", "/orders/{order_id}"),
        ("DELETE", "/orders/7", "delete"),
        ("GET", "/orders/latest", "/orders/latest"),
        ("DELETE", "/orders/latest", "delete"),
        ("GET", "/orders/7/lines/1", "/orders/{order_id}/lines/{}"),
        ("GET", "/files/a/b/c.txt", "/files/{path:path}"),
        ("GET", "/files/a", "/files/{path:path}"),
        ("GET", "/files/a/meta", "/files/{name}/meta"),
        ("GET", "/files/", None),
        ("GET", "/static/css/site.css", "/static/{filename}"),
        ("GET", "/orders/7/8/9", "/orders/{order_id}"),
        ("GET", "/v2/a-1-2.json", "/v{version}/a-{x}-{y}.json"),
        ("GET", "/v/a-1-2.json", None),
        ("GET", "/v2/a-1.json", None),
        ("GET", "/v2/a-1-.json", None),
        ("GET", "/mixedab", "/mixed{a}{b}"),
        ("GET", "/mixeda", None),
        ("PATCH", "/any", "/any"),
        ("GET", "/admin", "//shop.example.com/admin"),
        ("GET", "/trailing/", "/trailing/"),
        ("GET", "/trailing", None),
        ("GET", "/or%64ers", "/orders"),
        ("GET", "/orders/a%2Fb", "/orders/{order_id}"),
        ("GET", "/twice/x", "first"),
        ("GET", "orders", None),
        ("GET", "*", None),
        ("GET", "/orders/" + "x" * 2048, None),
        ("GET", "/a", None),
    ],
)
def test_the_route_of_a_path(method, path, endpoint):
    """Literal segments win over parameters, one segment over several, and an earlier route over a later one."""
    route = ROUTES.find(method, path)
    assert endpoint == (route and route.endpoint)


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ({}, "the routes must be the list that jwt-lp routes --json prints"),
        ([_route("/"), {}], "route 2 is not one that jwt-lp routes --json prints"),
        ([_route("/", permissions=(1,))], "route 1 is not one"),
        ([_route(7)], "route 1 is not one"),
        ([{**_route("/"), "requirement": 7}], "route 1 is not one"),
        ([None], "route 1 is not one"),
    ],
)
def test_a_document_that_is_not_a_list_of_routes(document, fault):
    """It is refused with the number of its first bad item."""
    with pytest.raises(ConfigurationError, match=fault):
        RouteMatcher(document)
