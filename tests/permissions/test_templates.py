"""The parameters that a client is told, because it sent them."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import examples
from jwt_lp.permissions.requirements import all_of
from jwt_lp.permissions.templates import sent_parameters

ID = "0b6f0c1e-6c47-4b4c-8a6b-3a5d0f7f2c11"
ANY = st.one_of(st.text(), st.integers(), st.uuids(), st.none(), st.floats(), st.binary())


@pytest.mark.parametrize(
    ("value", "path"),
    [
        pytest.param("7", "/orders/7", id="a text"),
        pytest.param(7, "/orders/7", id="a number"),
        pytest.param(UUID(ID), f"/orders/{ID}", id="a UUID"),
        pytest.param('a"b', '/orders/a"b', id="a text that needs encoding"),
        pytest.param(7, "/mounted/at/orders/7", id="below where the application is mounted"),
    ],
)
def test_what_the_client_sent(value: object, path: str) -> None:
    """A parameter of the route whose text is a segment of the path was sent by the client."""
    for template in ("GET /orders/{x}", "GET /orders/{x:int}"):
        assert {"x": value} == sent_parameters({"x": value, "y": value}, template, path)
        assert {"x": value} == sent_parameters({"x": value}, f"{template}/y", f"{path}/y")


@pytest.mark.parametrize(
    ("value", "template", "path"),
    [
        pytest.param(8, "GET /orders/{x}", "/orders/7", id="replaced by the application"),
        pytest.param(7, "GET /orders/{x}", "/orders/77", id="a part of what was sent"),
        pytest.param(7, "GET /orders/{x}", "/orders/007", id="written in another way"),
        pytest.param(7, "GET /orders/{y}", "/orders/7", id="no parameter of the route"),
        pytest.param(7, "GET /orders/{xx}", "/orders/7", id="a part of a parameter's name"),
        pytest.param(7, "GET /orders/x", "/orders/7", id="a literal of the route"),
        pytest.param(7, "GET /orders/{x}", "", id="no path"),
        pytest.param("", "GET /orders/{x}", "/orders/", id="empty"),
        pytest.param(7, "GET /{y}/{x}", "/7/slug", id="sent for another parameter"),
        pytest.param(7, "GET /7/{x}", "/7/slug", id="equal to a literal of the route"),
        pytest.param(7, "GET /a-{x}", "/7", id="a part of a segment of the route"),
        pytest.param("a/b", "GET /{x:path}", "/a/b", id="several segments"),
        pytest.param(UUID(ID), "GET /orders/{x}", f"/orders/{ID.upper()}", id="a UUID in capitals"),
        pytest.param("a/b", "GET /orders/{x}", "/orders/a/b", id="two segments"),
        pytest.param(True, "GET /orders/{x}", "/orders/True", id="a flag"),
        pytest.param(None, "GET /orders/{x}", "/orders/None", id="null"),
        pytest.param(10**5000, "GET /orders/{x}", "/orders/1", id="a huge number"),
        pytest.param("\ud800", "GET /orders/{x}", "/orders/\ud800", id="a lone surrogate"),
    ],
)
def test_what_the_client_may_not_have_sent(value: object, template: str, path: str) -> None:
    """Every other value is left out, because the application may have put it in."""
    assert {} == sent_parameters({"x": value}, template, path)


@examples(100)
@given(ANY, st.lists(st.one_of(st.text(), st.uuids().map(str), st.integers().map(str))))
def test_nothing_is_told_that_was_not_sent(value: object, segments: list[str]) -> None:
    """Whatever the values, a filled scope holds one of the path's segments, and fits between quotes."""
    path = "/".join(segments)
    sent = sent_parameters({"x": value}, "GET /{x}", path)
    assert all(str(each) in path.split("/") for each in sent.values())
    for template in ("a:{x}", "a:{x!e}"):
        scope = all_of(template).scope(sent)
        assert scope is None or (scope.isascii() and scope.isprintable() and not set(scope) & set(' "\\'))
