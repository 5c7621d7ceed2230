"""The conformance table: the answer that every host must give to each request and credential."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from jwt.algorithms import get_default_algorithms

from jwt_lp.guard.cookies import csrf_token
from jwt_lp.jose.signing import SigningKey
from jwt_lp.testing import Authority, DpopKey

POLICY = {
    "version": 1,
    "permissions": {},
    "roles": {
        "clerk": {"grants": ["orders:*"]},
        "keeper": {"grants": ["orders:**"]},
        "supervisor": {"grants": ["orders:export"], "includes": ["clerk"]},
    },
}

BARE = "Bearer"
INVALID = (
    'Bearer error="invalid_token", error_description='
    '"The access token is expired, revoked, malformed or not for this service."'
)
MALFORMED = (
    'Bearer error="invalid_request", error_description='
    '"The request carries more than one credential or a malformed one."'
)


def lacking(scope: str | None = None) -> str:
    """The challenge of a 403."""
    description = "The access token does not grant what this request requires."
    challenge = f'Bearer error="insufficient_scope", error_description="{description}"'
    return challenge if scope is None else f'{challenge}, scope="{scope}"'


@dataclass(frozen=True)
class World:
    """The authority that the application trusts, and a key that it does not trust."""

    authority: Authority
    stranger: SigningKey = field(default_factory=lambda: SigningKey.generate("ES256"))

    def bearer(self, *permissions: str, **more: Any) -> list[str]:
        return ["Bearer " + self.authority.token(permissions=permissions, **more)]

    def claims(self, **changes: Any) -> dict[str, Any]:
        token = self.authority.token(permissions=["orders:list"])
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return {name: value for name, value in {**claims, **changes}.items() if value is not None}

    def crafted(
        self,
        header: dict[str, Any] | bytes | None = None,
        payload: dict[str, Any] | bytes | None = None,
        key: SigningKey | None = None,
    ) -> list[str]:
        """A token with exactly this header and payload, signed by the authority's key or by `key`."""
        signer = key or self.authority.key
        usual = {"alg": signer.algorithm, "kid": self.authority.key.kid, "typ": "at+jwt"}
        head = header if isinstance(header, bytes) else _dumped(usual, header)
        body = payload if isinstance(payload, bytes) else json.dumps(payload or self.claims()).encode()
        text = f"{_encoded(head)}.{_encoded(body)}"
        algorithm = get_default_algorithms()[signer.algorithm]
        signature = algorithm.sign(text.encode(), signer._key)
        return [f"Bearer {text}.{_encoded(signature)}"]


def _dumped(usual: dict[str, Any], changes: dict[str, Any] | None) -> bytes:
    merged = {**usual, **(changes or {})}
    return json.dumps({name: value for name, value in merged.items() if value is not ...}).encode()


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass(frozen=True)
class Case:
    """A request and its right answer: status, RFC 6750 error code and challenge."""

    name: str
    request: str
    credential: Callable[[World], Sequence[str]]
    status: int
    challenge: str | None = None
    error: str | None = None
    json: object = None
    headers: tuple[tuple[str, str], ...] = ()


def passes(name: str, request: str, credential: Callable[[World], Sequence[str]], json: object = None) -> Case:
    return Case(name, request, credential, 200, json=json)


def anonymous(name: str, request: str, credential: Callable[[World], Sequence[str]], **more: Any) -> Case:
    return Case(name, request, credential, 401, BARE, **more)


def invalid(name: str, credential: Callable[[World], Sequence[str]], request: str = "GET /orders") -> Case:
    return Case(name, request, credential, 401, INVALID, "invalid_token")


def malformed(name: str, credential: Callable[[World], Sequence[str]]) -> Case:
    return Case(name, "GET /orders", credential, 400, MALFORMED, "invalid_request")


def refused(name: str, request: str, credential: Callable[[World], Sequence[str]], scope: str | None = None) -> Case:
    return Case(name, request, credential, 403, lacking(scope), "insufficient_scope")


def _nothing(world: World) -> list[str]:
    return []


def _held(*permissions: str, **more: Any) -> Callable[[World], list[str]]:
    return lambda world: world.bearer(*permissions, **more)


def _header(**changes: Any) -> Callable[[World], list[str]]:
    return lambda world: world.crafted(header=changes)


def _claim(**changes: Any) -> Callable[[World], list[str]]:
    return lambda world: world.crafted(payload=world.claims(**changes))


def _raw(change: Callable[[str], str]) -> Callable[[World], list[str]]:
    return lambda world: ["Bearer " + change(world.authority.token(permissions=["orders:list"]))]


def _tampered(token: str) -> str:
    head, body, signature = token.split(".")
    return ".".join((head, body, ("A" if signature[0] != "A" else "B") + signature[1:]))


def _padded_claims(world: World) -> list[str]:
    payload = json.dumps(world.claims()).encode()
    return world.crafted(payload=b"\xef\xbb\xbf" + payload)


def _swapped(world: World) -> list[str]:
    mine = world.bearer("orders:list")[0]
    other = world.bearer("orders:**", subject="root")[0]
    return [".".join((mine.split(".")[0], other.split(".")[1], mine.split(".")[2]))]


def _as_dpop(**changes: Any) -> Callable[[World], list[str]]:
    return lambda world: [world.crafted(payload=world.claims(**changes))[0].replace("Bearer", "DPoP")]


ME = {"subject": "alice"}
PROOF = (("DPoP", "eyJhbGciOiJFUzI1NiIsInR5cCI6ImRwb3Arand0In0.e30.AAAA"),)
OK = {"ok": True}

# Whatever code catches the refusal, the client gets it. See `apps/caught.py`.
CATCHERS = (
    "view",
    "bare",
    "helper",
    "twice",
    "again",
    "error",
    "pool",
    "task",
    "gather",
    "to_thread",
    "executor",
    "marked",
    "stream",
    "forbidden",
    "raised",
    "reworded",
    "before",
    "after",
)

CASES: tuple[Case, ...] = (
    # Routes that require no token.
    passes("public without a credential", "GET /public", _nothing, {"ok": True}),
    passes("public with a good token", "GET /public", _held(), {"ok": True}),
    passes("public never reads a bad token", "GET /public", lambda _: ["Bearer junk"], {"ok": True}),
    passes("public never reads two headers", "GET /public", lambda w: w.bearer() + w.bearer(), {"ok": True}),
    passes("external without a credential", "GET /external", _nothing, {"ok": True}),
    passes("external never reads a bad token", "GET /external", lambda _: ["Bearer junk"], {"ok": True}),
    passes("identified without a credential", "GET /identified", _nothing, {"subject": None}),
    passes("identified with a good token", "GET /identified", _held(), ME),
    passes("identified ignores a bad token", "GET /identified", _raw(_tampered), {"subject": None}),
    passes("identified ignores an expired token", "GET /identified", _held(lifetime=-5), {"subject": None}),
    # No bearer credential: bare challenge, no error code (RFC 6750, section 3.1).
    anonymous("no credential", "GET /orders", _nothing),
    anonymous("no credential on a template route", "GET /orders/7", _nothing),
    anonymous("no credential where any token would do", "GET /me", _nothing),
    anonymous("another scheme", "GET /orders", lambda _: ["Basic YWxhZGRpbjpvcGVuc2VzYW1l"]),
    anonymous("an empty header", "GET /orders", lambda _: [""]),
    anonymous("a scheme that only starts alike", "GET /orders", lambda _: ["Bearerer abc"]),
    anonymous("no credential on an undeclared route", "GET /undeclared", _nothing),
    anonymous("no credential and a wrong method's rule", "DELETE /orders/7", _nothing),
    # A malformed credential (RFC 6750, section 3.1: invalid_request).
    malformed("two headers with good tokens", lambda w: w.bearer("orders:list") + w.bearer("orders:list")),
    malformed("a good and an empty second token", lambda w: [*w.bearer("orders:list"), "Bearer x"]),
    malformed("a list in one header", lambda w: [w.bearer("orders:list")[0] + "," + w.bearer("orders:list")[0]]),
    malformed("two blanks after the scheme", lambda w: [w.bearer("orders:list")[0].replace(" ", "  ")]),
    malformed("nothing after the scheme", lambda _: ["Bearer"]),
    malformed("a blank inside the token", lambda _: ["Bearer abc def"]),
    malformed("a tab inside the token", lambda _: ["Bearer abc\tdef"]),
    # A good token.
    passes("the permission asked for", "GET /orders", _held("orders:list"), ME),
    passes(
        "the scheme in lower case",
        "GET /orders",
        lambda w: [w.bearer("orders:list")[0].replace("Bearer", "bearer")],
        ME,
    ),
    passes("any token where any will do", "GET /me", _held(), ME),
    passes("another subject", "GET /me", _held(subject="bob"), {"subject": "bob"}),
    passes("one of several permissions", "GET /orders", _held("a:b", "orders:list", "c:d"), ME),
    passes("both of two", "GET /both", _held("orders:list", "orders:export"), ME),
    passes("the first alternative", "GET /either", _held("orders:audit"), ME),
    passes("the second alternative", "GET /either", _held("orders:list", "orders:export"), ME),
    passes("this order's permission", "GET /orders/7", _held("orders:7:read"), {"subject": "alice", "order_id": "7"}),
    passes("a wildcard over one segment", "GET /orders", _held("orders:*"), ME),
    passes("a wildcard over any depth", "GET /orders/7", _held("orders:**"), {"subject": "alice", "order_id": "7"}),
    passes("a wildcard in the middle", "GET /orders/7", _held("orders:*:read"), {"subject": "alice", "order_id": "7"}),
    passes("a role that grants it", "GET /orders", _held(roles=["clerk"]), ME),
    passes("a role that includes a role", "GET /both", _held(roles=["supervisor"]), ME),
    passes("a role over any depth", "GET /orders/7", _held(roles=["keeper"]), {"subject": "alice", "order_id": "7"}),
    passes("a parameter equal to the claim", "GET /users/alice", _held("users:read"), ME),
    passes("an encoded value", "GET /encoded/a%3Ab", _held("files:a%3Ab:read"), ME),
    passes("a real decision inside the view", "GET /enforce?item=3", _held("items:3:use"), {"ok": True}),
    passes("a probe of what is held", "GET /can", _held("orders:list"), {"can": True}),
    passes("a probe of what is not held", "GET /can", _held("orders:create"), {"can": False}),
    passes("one of several audiences", "GET /orders", _claim(aud=["https://other.test", "https://api.test"]), ME),
    passes("typ with its media type prefix", "GET /orders", _header(typ="application/at+jwt"), ME),
    passes("typ in capitals", "GET /orders", _header(typ="AT+JWT"), ME),
    passes("no kid and one key that fits", "GET /orders", _header(kid=...), ME),
    # Missing permissions.
    refused("no permission at all", "GET /orders", _held(), "orders:list"),
    refused("another permission", "GET /orders", _held("orders:create"), "orders:list"),
    refused("a longer permission", "GET /orders", _held("orders:list:x"), "orders:list"),
    refused("a shorter permission", "GET /orders", _held("orders"), "orders:list"),
    refused("another case", "GET /orders", _held("Orders:list"), "orders:list"),
    refused("a prefix without a wildcard", "GET /orders", _held("orders:"), "orders:list"),
    refused("a star inside a segment", "GET /orders", _held("orders:li*"), "orders:list"),
    refused("one of two", "GET /both", _held("orders:list"), "orders:list orders:export"),
    refused("half of the second alternative", "GET /either", _held("orders:list"), "orders:audit"),
    refused("another order's permission", "GET /orders/7", _held("orders:8:read"), "orders:7:read"),
    refused("a wildcard of one segment over two", "GET /orders/7", _held("orders:*"), "orders:7:read"),
    refused("a role that grants less", "GET /orders/7", _held(roles=["clerk"]), "orders:7:read"),
    refused("a role that the policy does not have", "GET /orders", _held(roles=["admin"]), "orders:list"),
    refused("a role's name as a permission", "GET /orders", _held("clerk"), "orders:list"),
    refused("OpenID scopes grant nothing", "GET /orders", _held("openid", "profile"), "orders:list"),
    refused("a parameter of somebody else", "GET /users/bob", _held("users:read"), "users:read"),
    refused("a wildcard as the value", "GET /files/*", _held("files:a:read")),
    refused("a separator in the value", "GET /files/a:b", _held("files:**")),
    refused("an encoded separator in the value", "GET /files/a%3Ab", _held("files:**")),
    refused("a brace in the value", "GET /files/%7Bname%7D", _held("files:**")),
    refused("a blank in the value", "GET /files/a%20b", _held("files:**")),
    refused("a control character in the value", "GET /files/a%00b", _held("files:**")),
    refused("a letter outside ASCII in the value", "GET /files/%C3%A9", _held("files:**")),
    # The scope of a 403 names the parameters of the path, and only these. No value breaks out of the quoted string.
    refused("a value of letters", "GET /files/a-b.c~d", _held(), "files:a-b.c~d:read"),
    refused("a value with a percent sign", "GET /files/%2541", _held(), "files:%41:read"),
    refused("a value of other punctuation", "GET /files/a,b;c=d%3Ce%3E", _held(), "files:a,b;c=d<e>:read"),
    refused("a quote in the value", "GET /files/a%22%2C%20error=%22", _held()),
    refused("a backslash in the value", "GET /files/a%5C", _held()),
    refused("line breaks in the value", "GET /files/a%0D%0ASet-Cookie%3A%20b", _held()),
    refused("a value that is too long", f"GET /files/{'a' * 300}", _held()),
    refused("a separator that is encoded", "GET /encoded/a%3Ab", _held(), "files:a%3Ab:read"),
    refused("a quote that is encoded", "GET /encoded/a%22b", _held(), "files:a%22b:read"),
    refused("line breaks that are encoded", "GET /encoded/a%0D%0Ab", _held(), "files:a%0D%0Ab:read"),
    refused("a letter outside ASCII that is encoded", "GET /encoded/%C3%A9", _held(), "files:%C3%A9:read"),
    refused("a percent sign that is encoded", "GET /encoded/%2541", _held(), "files:%2541:read"),
    refused("a value that is too long once encoded", f"GET /encoded/{'%22' * 90}", _held()),
    refused("a number that is written in another way", "GET /orders/007", _held()),
    refused("no permission inside the view", "GET /enforce?item=3", _held("items:4:use")),
    refused("a wildcard value inside the view", "GET /enforce?item=*", _held("items:4:use")),
    refused("an undeclared route with a good token", "GET /undeclared", _held("orders:**")),
    refused("the other method's permission", "POST /orders", _held("orders:list"), "orders:create"),
    refused("delete with the permission to read", "DELETE /orders/7", _held("orders:7:read"), "orders:delete"),
    # An invalid token: all get the same answer.
    invalid("junk", lambda _: ["Bearer junk"]),
    invalid("three junk segments", lambda _: ["Bearer a.b.c"]),
    invalid("a tampered signature", _raw(_tampered)),
    invalid("a tampered payload", _swapped),
    invalid("an expired token", _held("orders:list", lifetime=-1)),
    invalid("a token of a stranger's key", lambda w: w.crafted(key=w.stranger)),
    invalid("alg none", lambda w: [w.crafted(header={"alg": "none"})[0].rpartition(".")[0] + "."]),
    invalid("alg none with a signature", _header(alg="none")),
    invalid("alg in another case", _header(alg="es256")),
    invalid("alg of another kind", _header(alg="HS256")),
    invalid("alg missing", _header(alg=...)),
    invalid("alg null", _header(alg=None)),
    invalid("an unknown kid", _header(kid="nobody")),
    invalid("kid a path", _header(kid="../../etc/passwd")),
    invalid("kid a number", _header(kid=7)),
    invalid("kid with line breaks", _header(kid="a\r\nSet-Cookie: x")),
    invalid("an unknown critical header", _header(crit=["exp"], exp=1)),
    invalid("crit empty", _header(crit=[])),
    invalid("b64 false", _header(b64=False)),
    invalid("compressed", _header(zip="DEF")),
    invalid("a key in the header", _header(jwk={"kty": "oct", "k": "AAAA"})),
    invalid("a key's address in the header", _header(jku="https://attacker.test/jwks.json")),
    invalid("typ of an ID token", _header(typ="JWT")),
    invalid("typ missing", _header(typ=...)),
    invalid("a logout token", _header(typ="logout+jwt")),
    invalid("padding", _raw(lambda token: token + "=")),
    invalid("the payload with a byte order mark", _padded_claims),
    invalid("the payload no object", lambda w: w.crafted(payload=b"[]")),
    invalid(
        "the payload with a member twice",
        lambda w: w.crafted(payload=b'{"sub":"a",' + json.dumps(w.claims()).encode()[1:]),
    ),
    invalid("another audience", _claim(aud="https://other.test")),
    invalid("an audience that only contains ours", _claim(aud="https://api.test.evil.test")),
    invalid("no audience", _claim(aud=None)),
    invalid("an empty list of audiences", _claim(aud=[])),
    invalid("another issuer", _claim(iss="https://other.test")),
    invalid("the issuer with a slash", _claim(iss="https://authority.test/")),
    invalid("no issuer", _claim(iss=None)),
    invalid("no subject", _claim(sub=None)),
    invalid("an empty subject", _claim(sub="")),
    invalid("a subject that is a number", _claim(sub=7)),
    invalid("no expiry", _claim(exp=None)),
    invalid("an expiry that is text", _claim(exp="9999999999")),
    invalid("an expiry that is true", _claim(exp=True)),
    invalid("an expiry beyond reason", _claim(exp=10**30)),
    invalid("a life longer than a day", _held("orders:list", lifetime=86401)),
    invalid("issued in the future", lambda w: w.crafted(payload=w.claims(iat=w.claims()["iat"] + 200))),
    invalid("not valid yet", lambda w: w.crafted(payload=w.claims(nbf=w.claims()["iat"] + 200))),
    invalid("no client", _claim(client_id=None)),
    invalid("another client than those that are accepted", _held("orders:list", client="other")),
    invalid("a client in another case", _held("orders:list", client="Tests")),
    invalid("another client, and one that is accepted in the other claim", _claim(client_id="other", azp="tests")),
    invalid("no client, on a template route", _claim(client_id=None), "GET /orders/7"),
    passes("the other client that is accepted", "GET /orders", _held("orders:list", client="mobile"), ME),
    passes("identified ignores another client", "GET /identified", _held(client="other"), {"subject": None}),
    passes("public never asks for the client", "GET /public", _held(client="other"), {"ok": True}),
    invalid("no token id", _claim(jti=None)),
    invalid("scope a list", _claim(scope=["orders:list"])),
    invalid("scope a number", _claim(scope=1)),
    invalid("more grants than are read", _held(*(f"a:{number}" for number in range(1001)))),
    invalid("more patterns than are read", _held(*(f"a{number}:*" for number in range(65)))),
    invalid("a grant that is too long", _held("a" * 257)),
    invalid("a grant of too many segments", _held(":".join("a" * 17))),
    invalid("a token larger than is read", lambda _: ["Bearer " + "A" * 17000]),
    invalid("five segments", lambda _: ["Bearer a.b.c.d.e"]),
    *(
        invalid(f"a token bound by {name}", _claim(cnf=cnf))
        for name, cnf in {
            "DPoP": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"},
            "a certificate": {"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"},
            "a key": {"jwk": {"kty": "oct", "k": "AAAA"}},
            "an encrypted key": {"jwe": "a.b.c.d.e"},
            "a key's name": {"kid": "k1"},
            "a key's address": {"jku": "https://attacker.test/keys", "kid": "k1"},
            "a method nobody knows": {"new": 1},
            "nothing": {},
            "a text": "jkt",
        }.items()
    ),
    passes("identified ignores a bound token", "GET /identified", _claim(cnf={"jkt": "0ZcO"}), {"subject": None}),
    passes("public never reads a bound token", "GET /public", _claim(cnf={"jkt": "0ZcO"}), {"ok": True}),
    invalid("a bound token on a template route", _claim(cnf={"jkt": "0ZcO"}), "GET /orders/7"),
    anonymous("a good token as DPoP", "GET /orders", _as_dpop()),
    anonymous("a bound token as DPoP, with a proof", "GET /orders", _as_dpop(cnf={"jkt": "0ZcO"}), headers=PROOF),
    passes("identified ignores DPoP", "GET /identified", _as_dpop(), {"subject": None}),
    malformed("Bearer and DPoP", lambda w: w.bearer("orders:list") + _as_dpop()(w)),
    invalid("a bad token on an undeclared route", _raw(_tampered), "GET /undeclared"),
    invalid("a bad token inside a template route", _raw(_tampered), "GET /orders/7"),
    # The first refusal of a request is final.
    *(refused(f"a refusal caught: {by}", f"GET /caught/{by}", _held("orders:list"), "caught:use") for by in CATCHERS),
    *(
        passes(f"nothing to catch: {by}", f"GET /caught/{by}", _held("orders:list", "caught:use", "caught:more"), OK)
        for by in CATCHERS
    ),
    anonymous("a refusal inside a public view", "GET /caught/public", _nothing),
    anonymous("a refusal caught inside a public view", "GET /caught/open", _nothing),
    invalid("a bad token inside a public view", _raw(_tampered), "GET /caught/public"),
    invalid("a bad token caught inside a public view", _raw(_tampered), "GET /caught/open"),
    passes("a good token inside a public view", "GET /caught/open", _held("caught:use"), OK),
    # Methods of a class: a declaration on one method does not open another.
    passes("the method that is public", "GET /verbs", _nothing, OK),
    passes("HEAD has the rule of a public GET, also where a method of its own answers", "HEAD /verbs", _nothing),
    *(
        anonymous(f"no credential, and {method} says nothing beside a public GET", f"{method} /verbs", _nothing)
        for method in ("OPTIONS", "POST", "PUT", "PATCH", "DELETE")
    ),
    *(
        refused(f"a good token, and {method} says nothing beside a public GET", f"{method} /verbs", _held("orders:**"))
        for method in ("OPTIONS", "POST", "PUT", "PATCH", "DELETE")
    ),
    passes("the method that asks for something", "GET /listing", _held("orders:list"), OK),
    passes("HEAD with the permission of GET", "HEAD /listing", _held("orders:list")),
    Case("HEAD without a credential", "HEAD /listing", _nothing, 401, BARE),
    Case("HEAD without the permission of GET", "HEAD /listing", _held(), 403, lacking("orders:list")),
    refused("OPTIONS says nothing beside GET", "OPTIONS /listing", _held("orders:list")),
    refused("DELETE says nothing beside GET", "DELETE /listing", _held("orders:list")),
    # Methods and routes.
    Case("a HEAD has the rule of GET", "HEAD /orders", _nothing, 401, BARE),
    Case(
        "a method override is ignored",
        "POST /orders",
        _held("orders:list"),
        403,
        lacking("orders:create"),
        "insufficient_scope",
        headers=(("X-HTTP-Method-Override", "GET"),),
    ),
    Case("a route that does not exist", "GET /nowhere", _nothing, 404),
    Case("a route that does not exist, with a token", "GET /nowhere", _held("orders:**"), 404),
)


# What every host answers where a cookie carries the token.

FORGED = "csrf"
TOO_LONG = "a" * 17_000
DJANGO_SECRET = "c" * 32
"""A value that Django accepts as CSRF cookie and, repeated, as CSRF token."""


def as_cookie(case: Case, world: World) -> tuple[tuple[str, str], ...] | None:
    """The headers of a case with its token in the cookie, and the proof against forgery that each host asks for.

    None for cases about the Authorization header itself.
    """
    lines = list(case.credential(world))
    if len(lines) != 1 or not lines[0].lower().startswith("bearer ") or case.status == 400 or len(lines[0]) > 16_000:
        return None
    token = lines[0][len("bearer ") :]
    return (*cookie(token), *proof(token), *case.headers)


def cookie(token: str) -> tuple[tuple[str, str], ...]:
    """The cookie that carries a token, among others."""
    return (("Cookie", f"theme=dark; __Host-access={token}; csrftoken={DJANGO_SECRET}"),)


def proof(token: str) -> tuple[tuple[str, str], ...]:
    """The CSRF tokens of the core and of Django."""
    return (("X-CSRF-Token", csrf_token(token)), ("X-CSRFToken", DJANGO_SECRET))


Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class CookieCase:
    """A request of a browser that holds the token `mine`, and its right answer."""

    name: str
    request: str
    headers: Callable[[str], Headers]
    status: int
    error: str | None = None


OTHER_SITE = (("Origin", "https://attacker.test"), ("Sec-Fetch-Site", "cross-site"))
FORM = (("Content-Type", "application/x-www-form-urlencoded"),)

COOKIE_CASES: tuple[CookieCase, ...] = (
    CookieCase("a safe method needs no proof", "GET /orders", cookie, 200),
    CookieCase("a link on another site is followed", "GET /orders", lambda t: (*cookie(t), *OTHER_SITE), 200),
    CookieCase("HEAD is safe", "HEAD /orders", cookie, 200),
    CookieCase("an unsafe method with its proof", "POST /orders", lambda t: (*cookie(t), *proof(t)), 200),
    CookieCase("an unsafe method without a proof", "POST /orders", cookie, 403, FORGED),
    CookieCase("a form of another site", "POST /orders", lambda t: (*cookie(t), *OTHER_SITE, *FORM), 403, FORGED),
    CookieCase(
        "another site that has the proof", "POST /orders", lambda t: (*cookie(t), *proof(t), *OTHER_SITE), 403, FORGED
    ),
    CookieCase(
        "a page without an origin", "POST /orders", lambda t: (*cookie(t), *proof(t), ("Origin", "null")), 403, FORGED
    ),
    CookieCase("the proof of another token", "POST /orders", lambda t: (*cookie(t), *_wrong_proof(t)), 403, FORGED),
    CookieCase("an empty proof", "POST /orders", lambda t: (*cookie(t), *_empty_proof()), 403, FORGED),
    CookieCase(
        "a method override stays unsafe",
        "POST /orders",
        lambda t: (*cookie(t), ("X-HTTP-Method-Override", "GET")),
        403,
        FORGED,
    ),
    CookieCase("another unsafe method", "DELETE /orders/7", cookie, 403, FORGED),
    CookieCase(
        "a header needs no proof", "POST /orders", lambda t: (("Authorization", f"Bearer {t}"), *OTHER_SITE), 200
    ),
    CookieCase("another cookie is no credential", "GET /orders", lambda t: (("Cookie", f"access={t}"),), 401),
    CookieCase("an empty cookie is no credential", "GET /orders", lambda _: (("Cookie", "__Host-access="),), 401),
    CookieCase(
        "white space that only looks like a blank makes another name",
        "GET /orders",
        lambda t: (("Cookie", f"theme=dark; \xa0__Host-access={t}"),),
        401,
    ),
    CookieCase("a name in another case", "GET /orders", lambda t: (("Cookie", f"__host-access={t}"),), 401),
    CookieCase("a cookie that is no token", "GET /orders", lambda _: cookie("junk"), 401, "invalid_token"),
    CookieCase(
        "a refused cookie comes before its proof", "POST /orders", lambda _: cookie("junk"), 401, "invalid_token"
    ),
    CookieCase("a public route reads no cookie", "GET /public", lambda _: cookie('"junk"'), 200),
    CookieCase("identified ignores a malformed cookie", "GET /identified", lambda _: cookie('"junk"'), 200),
    CookieCase(
        "header and cookie",
        "GET /orders",
        lambda t: (*cookie(t), ("Authorization", f"Bearer {t}")),
        400,
        "invalid_request",
    ),
    CookieCase(
        "a malformed header and a cookie",
        "GET /orders",
        lambda t: (*cookie(t), ("Authorization", "Bearer")),
        400,
        "invalid_request",
    ),
    CookieCase(
        "another scheme beside the cookie",
        "GET /orders",
        lambda t: (*cookie(t), ("Authorization", "Basic YWxhZGRpbjpvcGVuc2VzYW1l")),
        200,
    ),
    CookieCase(
        "the cookie twice",
        "GET /orders",
        lambda t: (("Cookie", f"__Host-access={t}; __Host-access={t}"),),
        400,
        "invalid_request",
    ),
    CookieCase("the cookie in two lines", "GET /orders", lambda t: (*cookie(t), *cookie(t)), 400, "invalid_request"),
    CookieCase("a quoted value", "GET /orders", lambda t: cookie(f'"{t}"'), 400, "invalid_request"),
    CookieCase("a blank in the value", "GET /orders", lambda t: cookie(f"{t[:9]} {t[9:]}"), 400, "invalid_request"),
    CookieCase("a comma in the value", "GET /orders", lambda t: cookie(f"{t},{t}"), 400, "invalid_request"),
    CookieCase("a value outside ASCII", "GET /orders", lambda t: cookie(f"{t}\xe9"), 400, "invalid_request"),
    CookieCase("a value that is too long", "GET /orders", lambda _: cookie(TOO_LONG), 400, "invalid_request"),
)


def _wrong_proof(token: str) -> Headers:
    return (("X-CSRF-Token", csrf_token(token + "x")), ("X-CSRFToken", "d" * 32))


def _empty_proof() -> Headers:
    return (("X-CSRF-Token", ""), ("X-CSRFToken", ""))


@dataclass(frozen=True)
class DpopCase:
    """A request with a token that is bound to `key`, and the status and error code of its right answer.

    `headers` gets the key, the token and the address of the request.
    """

    name: str
    request: str
    headers: Callable[[DpopKey, str, str], Headers]
    status: int
    error: str | None = None


def _proved(method: str, *, to: str = "", **claims: Any) -> Callable[[DpopKey, str, str], Headers]:
    """The token with a proof for `method`, and for the address of the request or that with the path `to`."""

    def headers(key: DpopKey, token: str, url: str) -> Headers:
        address = url.replace("/orders", to) if to else url
        return (("Authorization", f"DPoP {token}"), ("DPoP", key.proof(method, address, token, claims=claims)))

    return headers


def _two_proofs(key: DpopKey, token: str, url: str) -> Headers:
    authorization, proof = _proved("GET")(key, token, url)
    return (authorization, proof, ("DPoP", key.proof("GET", url, token)))


def _invalid_proof(
    name: str, headers: Callable[[DpopKey, str, str], Headers], request: str = "GET /orders"
) -> DpopCase:
    return DpopCase(name, request, headers, 401, "invalid_dpop_proof")


DPOP_CASES: tuple[DpopCase, ...] = (
    DpopCase("a proof", "GET /orders", _proved("GET"), 200),
    DpopCase("a proof, and a query", "GET /orders?a=1&b=%2F", _proved("GET"), 200),
    DpopCase("a proof of another method", "POST /orders", _proved("POST"), 200),
    DpopCase("a proof for HEAD", "HEAD /orders", _proved("HEAD"), 200),
    DpopCase("a template route", "GET /orders/7", _proved("GET"), 200),
    DpopCase("an encoded path", "GET /encoded/a%3Ab", _proved("GET"), 200),
    DpopCase("an encoded path, written as the guard does", "GET /encoded/%C3%A9%20%2541", _proved("GET"), 200),
    DpopCase("any token", "GET /me", _proved("GET"), 200),
    DpopCase("a decision inside the view", "GET /enforce?item=3", _proved("GET"), 200),
    DpopCase("several decisions inside a public view", "GET /caught/open", _proved("GET"), 200),
    DpopCase("a missing permission", "DELETE /orders/7", _proved("DELETE"), 403, "insufficient_scope"),
    DpopCase("a public route reads no proof", "GET /public", lambda *_: (("DPoP", "x"), ("DPoP", "y")), 200),
    DpopCase("no credential", "GET /orders", lambda *_: (), 401),
    DpopCase(
        "a bound token as a bearer token",
        "GET /orders",
        lambda key, token, url: (("Authorization", f"Bearer {token}"), ("DPoP", key.proof("GET", url, token))),
        401,
        "invalid_token",
    ),
    DpopCase(
        "a proof as the access token",
        "GET /orders",
        lambda key, token, url: (
            ("Authorization", f"DPoP {key.proof('GET', url, token)}"),
            *_proved("GET")(key, token, url)[1:],
        ),
        401,
        "invalid_token",
    ),
    DpopCase(
        "two credentials",
        "GET /orders",
        lambda key, token, url: (*_proved("GET")(key, token, url), ("Authorization", f"Bearer {token}")),
        400,
        "invalid_request",
    ),
    _invalid_proof("no proof", lambda _, token, __: (("Authorization", f"DPoP {token}"),)),
    _invalid_proof("two proofs", _two_proofs),
    _invalid_proof(
        "the access token as proof", lambda _, token, __: (("Authorization", f"DPoP {token}"), ("DPoP", token))
    ),
    _invalid_proof("a proof for another method", _proved("POST")),
    _invalid_proof("a proof for GET, with HEAD", _proved("GET"), "POST /orders"),
    _invalid_proof("a proof for another path", _proved("GET", to="/orders/7")),
    _invalid_proof("a proof for a path that is encoded twice", _proved("GET", to="/orders/%2537"), "GET /orders/%37"),
    _invalid_proof("a proof for another host", _proved("GET", htu="https://api.test/orders")),
    _invalid_proof("a proof without a token", _proved("GET", ath=None)),
    _invalid_proof("a proof of yesterday", _proved("GET", iat=1)),
    _invalid_proof("a proof of another key", lambda _, token, url: _proved("GET")(DpopKey(), token, url)),
)
