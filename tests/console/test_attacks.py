"""Attacks on the console: by whoever has few permissions, or none, and by pages of other origins."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from console.serving import EVERYTHING, ISSUER, KEY, POLICY, ServedConsole
from jwt_lp import Issuer, Policy, SignIn

READ, DECIDE, APPLY, APPROVE, REVOKE = EVERYTHING
SEES = (READ, DECIDE)
PLANS = (READ, APPLY)
ANYBODY = ("public",)
SIGNED_IN = ("authenticated",)


class Access(NamedTuple):
    """Who may use a route: each of `permissions` alone is enough."""

    name: str
    method: str
    permissions: tuple[str, ...]


ACCESS = [
    Access("static", "GET", ANYBODY),
    Access("session", "GET", SIGNED_IN),
    Access("overview", "GET", (READ, DECIDE, APPROVE)),
    Access("campaigns", "GET", SEES),
    Access("campaign_new", "GET", (APPLY,)),
    Access("campaign_make", "POST", (APPLY,)),
    Access("campaign_progress", "GET", (APPLY,)),
    Access("campaign", "GET", (READ,)),
    Access("campaign_used", "GET", (READ,)),
    Access("campaign_assign", "POST", (APPLY,)),
    Access("campaign_delegate", "POST", (DECIDE,)),
    Access("campaign_remind", "POST", (APPLY,)),
    Access("campaign_close", "GET", (APPLY,)),
    Access("campaign_closed", "POST", (APPLY,)),
    Access("campaign_cancel", "POST", (APPLY,)),
    Access("worksheet", "GET", SEES),
    Access("worksheet_upload", "GET", (DECIDE,)),
    Access("worksheet_read", "POST", (DECIDE,)),
    Access("decide", "GET", SEES),
    Access("decide_save", "POST", (DECIDE,)),
    Access("preview", "POST", (DECIDE,)),
    Access("item", "GET", SEES),
    Access("subject", "GET", (READ,)),
    Access("client", "GET", (READ,)),
    Access("role", "GET", (READ,)),
    Access("permission", "GET", (READ,)),
    Access("search", "GET", (READ,)),
    Access("routes", "GET", (READ,)),
    Access("plans", "GET", PLANS),
    Access("plan", "GET", PLANS),
    Access("plan_make", "POST", (APPLY,)),
    Access("plan_apply", "POST", (APPLY,)),
    Access("plan_undo", "POST", (APPLY,)),
    Access("plan_restore", "POST", (APPLY,)),
    Access("plan_verify", "GET", PLANS),
    Access("plan_handoff", "GET", PLANS),
    Access("plan_file", "GET", PLANS),
    Access("elevations", "GET", (APPROVE, READ)),
    Access("elevation", "GET", (APPROVE, READ)),
    Access("elevation_decide", "POST", (APPROVE,)),
    Access("revocations", "GET", (READ, REVOKE)),
    Access("revocation_new", "GET", (REVOKE,)),
    Access("revocation_write", "POST", (REVOKE,)),
    Access("revocation", "GET", (READ, REVOKE)),
    Access("revocation_lift", "POST", (REVOKE,)),
    Access("audit", "GET", (READ,)),
    Access("audit_verify", "GET", (READ,)),
    Access("audit_export", "GET", (READ,)),
]
POSTS = [each for each in ACCESS if each.method == "POST"]


def _routes(console: ServedConsole) -> dict[str, Any]:
    return {route.name: route for route in console.app.starlette.routes}


def _path(console: ServedConsole, name: str) -> str:
    """A path of the route, about what is not there."""
    route = _routes(console)[name]
    values = {"number": 1, "file": "console.css"}
    return str(route.url_path_for(name, **{key: values.get(key, "0" * 32) for key in route.param_convertors}))


def _is_out_of_scope(answer: Any) -> bool:
    return 403 == answer.status and 'error="insufficient_scope"' in answer.headers.get("www-authenticate", "")


def test_the_table_of_access_has_every_route(console: ServedConsole) -> None:
    """A new route needs a line here, so that somebody thinks about who may use it."""
    methods = {name: route.methods - {"HEAD"} for name, route in _routes(console).items()}
    assert {each.name: {each.method} for each in ACCESS} == methods


@pytest.mark.parametrize("permission", ["", *EVERYTHING, "orders:read"])
def test_each_permission_opens_its_own_routes_alone(console: ServedConsole, permission: str) -> None:
    """No route is open to a permission that is not its own, neither by GET, nor by HEAD or POST."""
    person = console.person("mallory", permission) if permission else console.stranger()
    opened: set[str] = set()
    for access in ACCESS:
        path = _path(console, access.name)
        sends = access.method == "POST" and permission
        answer = person.post(path) if sends else console.client.request(access.method, path, person.headers())
        if access.method == "GET":
            head = console.client.request("HEAD", path, person.headers())
            assert answer.status == head.status, access.name
        if not (_is_out_of_scope(answer) or answer.status == 401):
            opened.add(access.name)
    own = {
        each.name
        for each in ACCESS
        if permission in each.permissions
        or each.permissions == ANYBODY
        or (permission and each.permissions == SIGNED_IN)
    }
    assert own == opened


@pytest.mark.parametrize(
    ("token", "kind", "headers"),
    [
        pytest.param("own", "application/x-www-form-urlencoded", {"Sec_Fetch_Site": "cross-site"}, id="another site"),
        pytest.param("own", "application/x-www-form-urlencoded", {"Sec_Fetch_Site": "same-site"}, id="sibling host"),
        pytest.param(
            "own", "application/x-www-form-urlencoded", {"Sec_Fetch_Site": "", "Origin": "null"}, id="sandbox"
        ),
        pytest.param(
            "own",
            "application/x-www-form-urlencoded",
            {"Sec_Fetch_Site": "", "Origin": "https://sibling.127.0.0.1", "X_Forwarded_Host": "sibling.127.0.0.1"},
            id="a host that a proxy would name",
        ),
        pytest.param("", "application/x-www-form-urlencoded", {}, id="no token"),
        pytest.param("wrong", "application/x-www-form-urlencoded", {}, id="wrong token"),
        pytest.param("own", "text/plain", {}, id="text"),
        pytest.param("own", "application/json", {}, id="JSON"),
        pytest.param("own", "", {}, id="no kind"),
    ],
)
def test_no_route_takes_a_forged_form(console: ServedConsole, token: str, kind: str, headers: dict[str, str]) -> None:
    """Every POST needs the token of the session, in a form that a page of the console sent."""
    mallory = console.person("mallory")
    sent = {"own": mallory.csrf_token}.get(token, token)
    for access in POSTS:
        answer = mallory.post(_path(console, access.name), {"csrf_token": sent}, **{"Content_Type": kind, **headers})
        assert 403 == answer.status, access.name
        assert b"page of the console" in answer.body or b"was renewed" in answer.body, access.name


def test_a_session_that_was_signed_out_is_no_bearer_token(console: ServedConsole, store: Any) -> None:
    """Whoever has copied the cookie cannot send it as a header, before the guard's next poll, where it ended already."""
    issuer = Issuer(ISSUER, KEY, policy=Policy.from_mapping(POLICY), audience="console", client="web")
    sign_in = SignIn(issuer, store, permissions=lambda _: [READ])
    tokens = sign_in.sessions.start("alice")
    headers = [("Authorization", f"Bearer {tokens.access_token}")]
    assert 200 == console.client.request("GET", "/campaigns", headers).status
    assert sign_in.sessions.end(tokens.refresh_token)
    for scheme in ("Bearer", "bearer", "BEARER "):
        headers = [("Authorization", f"{scheme} {tokens.access_token}")]
        assert console.client.request("GET", "/campaigns", headers).status in (400, 401), scheme


@pytest.mark.parametrize("charset", ["punycode", "undefined", "unicode_escape", "utf-16", "UTF-8"])
@pytest.mark.parametrize("signed_in", [True, False])
def test_a_form_does_not_choose_its_encoding(console: ServedConsole, charset: str, signed_in: bool) -> None:
    """Some encodings of Python take minutes for a megabyte, fail in ways of their own, or make what no store keeps."""
    headers = console.person("mallory").headers() if signed_in else [("Sec-Fetch-Site", "same-origin")]
    headers.append(("Content-Type", f"multipart/form-data; boundary=x; ChARset={charset}"))
    head = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n'
    answer = console.client.request("POST", "/campaigns/new", headers, head + b"-\\ud800\r\n--x--\r\n")
    assert 400 == answer.status
    assert "<main" in answer.body.decode()
