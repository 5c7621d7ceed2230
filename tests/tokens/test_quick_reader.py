"""The quick reader decides as the careful one does, for any token, and is used for plain tokens."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clock import Clock
from examples import SHARE, examples
from jwks_server import b64
from jwt_lp import InvalidToken, StaticKeys
from jwt_lp.errors import KeysUnavailable
from jwt_lp.jose import jws
from jwt_lp.jose.signing import SigningKey
from jwt_lp.permissions.grants import Permissions
from jwt_lp.policy.file import Policy
from jwt_lp.tokens import verification
from jwt_lp.tokens.grant_reader import GrantReader
from jwt_lp.tokens.profiles import SHIPPED_PROFILES
from jwt_lp.tokens.provider_claims import shape_claims
from jwt_lp.tokens.quick_reader import MAX_PLAIN, QuickChecks, read_plain
from jwt_lp.tokens.trusted_issuer import TrustedIssuer

if TYPE_CHECKING:
    from jwt_lp.tokens.claims import AccessToken

NOW = 1_800_000_000
AUDIENCE = "https://api.test"
PERMISSIONS = ("orders:read", "orders:7:read", "bills:*")
PROBES = (*PERMISSIONS, "orders:8:read", "bills:read", "bills:7", "reports:read", "a", "", "x y")
# 300,000 before a release.
MANY = int(os.environ.get("TESTS_MUTATIONS", round(20_000 * SHARE)))


def careful_verification() -> Any:
    """A second copy of the module, which has only the careful reader and keeps no grants."""
    spec = importlib.util.spec_from_file_location("careful_verification", verification.__file__)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    # A dataclass looks for its module here.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)

    class NoQuickChecks:
        def __init__(self, issuer: TrustedIssuer) -> None: ...

        def check(self, *_: object) -> None: ...

    class ForgetfulReader(GrantReader):
        def read(self, claims: Any, app: bool) -> Any:
            return self._read(claims, app=app)

    module.read_plain = lambda _: None
    module.QuickChecks = NoQuickChecks
    module.GrantReader = ForgetfulReader
    return module


POLICY = Policy.from_mapping(
    {
        "version": 1,
        "permissions": {name: {} for name in ("orders:read", "orders:7:read", "bills:read", "reports:read")},
        "roles": {
            "clerk": {
                "grants": ["orders:*:read", "reports:read"],
                "from": ["role:clerk", "group:clerk", "realm:clerk", "client:web:clerk", "scope:orders:read"],
            },
            "reach": {"grants": ["reports:*"], "from": ["ceiling:scope:orders:7:read"]},
        },
    }
)


def trusted(name: str, **changes: Any) -> TrustedIssuer:
    key = SigningKey.from_jwk({"kty": "oct", "alg": "HS256", "kid": name, "k": b64(name.encode() * 32)})
    usual: dict[str, Any] = {
        "name": name,
        "issuer": f"https://{name}.test/",
        "audience": frozenset({AUDIENCE, "https://other.test"}),
        "algorithms": frozenset({"HS256"}),
        "profile": SHIPPED_PROFILES.get(name, SHIPPED_PROFILES["rfc9068"]),
        "keys": StaticKeys.from_jwks({"keys": [key.private_jwk()]}),
    }
    return TrustedIssuer(**{**usual, **changes})


ISSUERS = (
    *map(trusted, SHIPPED_PROFILES),
    trusted("own", own=True, leeway=5),
    trusted("late", leeway=30, max_lifetime=400, patterns=True),
    trusted("bound", sender_constrained=frozenset({"jkt"}), ceiling=Permissions.of(["orders:*"], patterns=True)),
    trusted("bare", absent_claims=frozenset({"aud"})),
    trusted("some", clients=frozenset({"web", "j2"})),
    *(
        trusted(f"{name}-some", profile=profile, clients=frozenset({"web", AUDIENCE}))
        for name, profile in SHIPPED_PROFILES.items()
        # The settings refuse CLIENTS with a profile that names no claim for the client.
        if profile.client
    ),
    trusted("any", audience=None),
)
KEYS = {
    issuer.issuer: SigningKey.from_jwk(
        {"kty": "oct", "alg": "HS256", "kid": issuer.name, "k": b64(issuer.name.encode() * 32)}
    )
    for issuer in ISSUERS
}
CLOCK = Clock(NOW + 0.5)
QUICK = verification.Verifier(ISSUERS, POLICY, clock=CLOCK)
CAREFUL = careful_verification().Verifier(ISSUERS, POLICY, clock=CLOCK)


def plain_claims(
    issuer: TrustedIssuer, permissions: tuple[str, ...] = PERMISSIONS
) -> tuple[dict[str, Any], str | None]:
    registered = {
        "iss": issuer.issuer,
        "sub": "alice",
        "aud": AUDIENCE,
        "iat": NOW,
        "exp": NOW + 300,
        "jti": "j1",
        "client_id": AUDIENCE if issuer.profile.substitute else "web",
    }
    return shape_claims(issuer.profile, registered, permissions, [])


def written(header: bytes, body: bytes, key: SigningKey) -> str:
    """A token of this text, signed."""
    signed = f"{b64(header)}.{b64(body)}"
    signature = jwt.get_algorithm_by_name("HS256").sign(signed.encode(), key._key)
    return f"{signed}.{b64(signature)}"


def plain_token(claims: dict[str, Any], typ: str | None, key: SigningKey) -> str:
    """A token as most libraries write it: without blanks."""
    header = {"alg": "HS256", "kid": key.kid, **({} if typ is None else {"typ": typ})}
    head, body = (json.dumps(part, separators=(",", ":"), ensure_ascii=False).encode() for part in (header, claims))
    return written(head, body, key)


def outcome(verifier: Any, token: str) -> tuple[object, ...]:
    """Everything that can be seen of a verified token, or the whole refusal."""
    verifier._cache.clear()
    try:
        verified = verifier.verify(token)
    except (InvalidToken, KeysUnavailable) as error:
        return (type(error), error.args)
    return seen(verified)


def seen(token: AccessToken) -> tuple[object, ...]:
    permissions = token.permissions
    return (
        *(token.issuer, token.issuer_name, token.subject, token.client, token.token_id, token.fingerprint),
        *(repr(token.issued_at), repr(token.expires_at), token.app, token.development, token.lineage),
        *(token.roles, token.ignored_roles, repr(token._claims)),
        *(tuple(permissions), tuple(permissions.grant_for(probe) for probe in PROBES)),
        tuple(permissions.is_capped(probe) for probe in PROBES),
    )


NAMES = (
    *("iss", "sub", "aud", "iat", "exp", "nbf", "jti", "client_id", "azp", "cid", "scope", "scp", "permissions"),
    *("roles", "groups", "entitlements", "realm_access", "resource_access", "cognito:groups", "cnf", "nonce", "typ"),
    *("token_use", "cperm", "role_scope", "lineage", "act", "sub_id", "azpacr", "uti", "oid", "uid", "idtyp", "x", ""),
)
VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        1.0,
        -1,
        2**70,
        10**15,
        0.5,
        1e300,
        "",
        " ",
        "a",
        "é",
        "\x00",
        "\x7f",
        "\u202e",
        ":",
        '"',
    ),
    *("web", AUDIENCE, "https://other.test", "https://own.test/", "j2", "Bearer", "access", "JWT", "at+jwt", "clerk"),
    *(
        "orders:read",
        "orders:read  bills:read",
        " orders:read",
        "openid",
        "a" * 257,
        ":".join("a" * 17),
        "**",
        "bills:*",
    ),
    *(NOW, NOW + 1, NOW - 1, NOW + 300, NOW + 0.25, float(NOW), NOW - 86400, NOW + 86401, NOW + 20, NOW - 20, str(NOW)),
    *(
        [],
        {},
        [AUDIENCE],
        ["x", AUDIENCE],
        [AUDIENCE, 1],
        [[AUDIENCE]],
        ["orders:read"],
        ["orders:read", ""],
        ["clerk"],
    ),
    *([1], [True], [None], [{"value": "clerk"}], [{"value": 1}], [{"value": "clerk", "primary": True}], ["('a', ...)"]),
    *({"roles": ["clerk"]}, {"roles": None}, {"web": {"roles": ["clerk"]}}, {"web": {"roles": [True]}}, {"jkt": "0Z"}),
    *({"clerk": "orders:7:read"}, {"clerk": 1}, {"iat": NOW - 9, "ids": ["j0"]}, {"sub": "svc"}, {"a": [{"b": {}}]}),
    *("(['orders:read'], Ellipsis)", "Ellipsis", "[" * 40, "{" * 40, '":', " :", "\\", "j" * 300, "x" * 3000),
)
HEADERS: tuple[tuple[str, Any], ...] = (
    *(
        ("alg", "none"),
        ("alg", "RS256"),
        ("alg", ["HS256"]),
        ("kid", "nobody"),
        ("kid", 1),
        ("kid", ""),
        ("typ", "JWT"),
    ),
    *(
        ("typ", "AT+JWT"),
        ("typ", "application/at+jwt"),
        ("typ", ["at+jwt"]),
        ("typ", ""),
        ("typ", None),
        ("cty", "JWT"),
    ),
    *(
        ("crit", ["x"]),
        ("b64", False),
        ("x", 1),
        ("x", "y" * 5000),
        ("jku", "https://x"),
        ("typ", "at+jwt"),
        ("x", "é"),
    ),
)
FRAGMENTS = (
    *('"x":NaN', '"x":-Infinity', '"x":1e400', '"x":' + "1" * 65, '"x":0.' + "1" * 70, '"x":' + "1" * 64, '"x":-0'),
    *(
        '"sub":"alice"',
        '"s\\u0075b":"mallory"',
        '"x":"\\ud800"',
        '"x":"\\/"',
        '"x":{"a":1,"a":2}',
        '"x":[{"a":1,"a":2}]',
    ),
    *(
        '"x":{"a":1}',
        '"x":[1,[2,{"y":[]}]]',
        '"x":":y"',
        '"x":"y:"',
        '"x":"{"',
        '"x" :1',
        '"x"\t:1',
        '"x":\n1',
        '"x":" "',
    ),
    *(
        '"x":' + "[" * 33 + "]" * 33,
        '"x":' + "[" * 31 + "]" * 31,
        '"x":' + "[" * 30 + '{"":0}' + "]" * 30,
        '"x":tru',
        "x",
    ),
    *(
        '"x":[' + ",".join(["[]"] * 40) + "]",
        '"scope":"orders:read"',
        '"iat":1',
        "'x':1",
        '"":0',
        '"x":01',
        '"x":+1',
        ",",
    ),
)
CHARACTERS = ("=", ".", "-", "_", "A", " ", "\n", "\x00", "+", "/", "é", "!", "Q", "~")


def mutated(rng: random.Random) -> str:
    """A token that is good, or wrong in a few places."""
    issuer = rng.choice(ISSUERS)
    claims, typ = plain_claims(issuer, tuple(rng.sample(PERMISSIONS, rng.randrange(3))))
    for _ in range(rng.choice((0, 0, 1, 1, 2, 3))):
        name = rng.choice(NAMES if rng.random() < 0.6 else tuple(claims))
        if rng.random() < 0.2:
            claims.pop(name, None)
        else:
            claims[name] = rng.choice(VALUES)
    header: dict[str, Any] = {"alg": "HS256", "kid": issuer.name}
    if typ is not None:
        header["typ"] = typ
    if rng.random() < 0.15:
        name, value = rng.choice(HEADERS)
        header[name] = value
    body = json.dumps(
        claims,
        separators=rng.choice(((",", ":"), (",", ":"), (",", ":"), (", ", ": "), (",", " :"))),
        ensure_ascii=rng.random() < 0.5,
    )
    if rng.random() < 0.3:
        body = _rewritten(rng, body)
    head = json.dumps(header, separators=(",", ":"))
    if rng.random() < 0.05:
        head = _rewritten(rng, head)
    key = KEYS[issuer.issuer] if rng.random() < 0.95 else KEYS["https://own.test/"]
    token = written(head.encode("utf-8", "surrogatepass"), body.encode("utf-8", "surrogatepass"), key)
    if rng.random() < 0.15:
        at = rng.randrange(len(token) + 1)
        token = token[:at] + rng.choice((*CHARACTERS, "")) + token[at + rng.randrange(2) :]
    return token


def _rewritten(rng: random.Random, text: str) -> str:
    """The JSON text with a member more, or a character more or less."""
    kind = rng.randrange(6)
    if kind <= 2:
        return text.replace("{", "{" + rng.choice(FRAGMENTS) + ",", 1)
    if kind == 3:
        return rng.choice(("\ufeff", " ", "[", "\n", "")) + text + rng.choice((" ", "\n", "x", "{}", "\x00", ""))
    at = rng.randrange(len(text))
    return text[:at] + rng.choice(' \t\n"\\:,{}[]0a\u00e9\ud800') + text[at + kind - 4 :]


def agrees(token: str) -> bool:
    """Whether the token is accepted; both readers must say the same, and PyJWT must accept what they do."""
    expected = outcome(CAREFUL, token)
    assert expected == outcome(QUICK, token)
    if isinstance(expected[0], type):
        return False
    claims: dict[str, Any] = jws.read_json(jws.parse_compact(token).payload, "payload")
    if any(isinstance(claims.get(name), float) for name in ("iat", "exp", "nbf")):
        return True  # a date with a fraction, which PyJWT rounds
    named = next(each for each in ISSUERS if each.issuer == claims["iss"])
    options: Any = {
        "require": ["exp", "iat", "iss", named.profile.subject],
        "verify_sub": named.profile.subject == "sub",
        "verify_aud": "aud" in claims and named.audience is not None,
        # a claim that the profile does not read
        "verify_jti": named.profile.token_id == "jti",
        **dict.fromkeys(("verify_exp", "verify_nbf", "verify_iat"), False),
    }
    decoded = jwt.decode(
        token,
        KEYS[claims["iss"]]._key,
        algorithms=["HS256"],
        audience=AUDIENCE if AUDIENCE in claims.get("aud", ()) else "https://other.test",
        issuer=claims["iss"],
        options=options,
    )
    leeway = named.leeway
    assert decoded["exp"] + leeway > CLOCK.now >= max(decoded["iat"], decoded.get("nbf", 0)) - leeway
    return True


@examples(500)
@given(st.randoms(use_true_random=False))
def test_both_readers_agree(rng: random.Random) -> None:
    """Whatever is changed in a token, both readers give the same token or the same refusal."""
    agrees(mutated(rng))


def test_both_readers_agree_on_many_mutations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many mutations get the same result, and enough of them are read quickly for that to say something."""
    rng = random.Random(20260809)
    taken = {"read": 0, "checked": 0}
    real_read, real_check = read_plain, QuickChecks.check

    def read(raw: bytes) -> Any:
        found = real_read(raw)
        taken["read"] += found is not None
        return found

    def check(self: QuickChecks, *args: Any) -> Any:
        found = real_check(self, *args)
        taken["checked"] += found is not None
        return found

    monkeypatch.setattr(verification, "read_plain", read)
    monkeypatch.setattr(QuickChecks, "check", check)
    accepted = sum(agrees(mutated(rng)) for _ in range(MANY))
    assert 0.2 < accepted / MANY < 0.8
    assert taken["read"] > 0.4 * MANY
    assert taken["checked"] > 0.6 * accepted


def refusing(*_: object, **__: object) -> Any:
    raise AssertionError("the careful reader was asked")


@pytest.mark.parametrize("issuer", ISSUERS[:-1], ids=lambda issuer: issuer.name)
def test_a_plain_token_of_every_profile_is_read_quickly(issuer: TrustedIssuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A good token of each shipped profile, as its provider writes it, never needs the careful reader."""
    claims, typ = plain_claims(issuer)
    tokens = [
        plain_token(body, typ, KEYS[issuer.issuer]) for body in (claims, {**claims, "nbf": NOW, "name": "Zoé [x]"})
    ]
    monkeypatch.setattr(verification, "_read_carefully", refusing)
    monkeypatch.setattr(verification, "check_claims", refusing)
    assert ["alice", "alice"] == [QUICK.verify(token).subject for token in tokens]


ISSUER = ISSUERS[0]
CLAIMS, TYP = plain_claims(ISSUER)
PLAIN = plain_token(CLAIMS, TYP, KEYS[ISSUER.issuer])
HEAD, BODY, SIGNATURE = PLAIN.split(".")
TEXT = json.dumps(CLAIMS, separators=(",", ":"))


def with_text(text: str | bytes) -> str:
    return f"{HEAD}.{b64(text.encode() if isinstance(text, str) else text)}.{SIGNATURE}"


def with_member(member: str) -> str:
    return with_text(TEXT.replace("{", "{" + member + ",", 1))


def with_head(head: str) -> str:
    return f"{b64(head.encode())}.{BODY}.{SIGNATURE}"


NOT_PLAIN: dict[str, str] = {
    "long": with_member('"x":"' + "y" * MAX_PLAIN + '"'),
    "no dot": HEAD,
    "one dot": f"{HEAD}.{BODY}",
    "three dots": f"{PLAIN}.AA",
    "no header": f".{BODY}.{SIGNATURE}",
    "no payload": f"{HEAD}..{SIGNATURE}",
    "no signature": f"{HEAD}.{BODY}.",
    "padding": f"{HEAD}.{BODY}.{SIGNATURE}=",
    "the standard alphabet": f"{HEAD}.{BODY}.{'+/' * 21}A",
    # so many that a decoder that passes over them finds the same bytes
    "other characters in the payload": f"{HEAD}.{BODY[:8]}!!!!{BODY[8:]}.{SIGNATURE}",
    "other characters in the signature": f"{HEAD}.{BODY}.{SIGNATURE[:8]}!!!!{SIGNATURE[8:]}",
    "padding within": f"{HEAD}.{BODY[:8]}===={BODY[8:]}.{SIGNATURE}",
    "another character in the header": f"{HEAD[:8]}!{HEAD[9:]}.{BODY}.{SIGNATURE}",
    "an impossible length": f"{HEAD}.{BODY}.{SIGNATURE}AA",
    "dropped bits in the signature": f"{HEAD}.{BODY}.{SIGNATURE[:-1]}B",
    "dropped bits in the payload": f"{HEAD}.{b64(b'{}')[:-1]}1.{SIGNATURE}",
    "a long header": with_head('{"alg":"HS256","x":"' + "y" * 3500 + '"}'),
    "a header that is not JSON": with_head("x"),
    "an extension": with_head('{"alg":"HS256","crit":["x"]}'),
    "no UTF-8": with_text(b'{"x":"\xff"}'),
    "no JSON": with_text("{x}"),
    "nothing": with_text(" "),
    "a list": with_text("[]"),
    "a string": with_text('"x"'),
    "text after the object": with_text(TEXT + "{}"),
    "a blank after the object": with_text(TEXT + " "),
    "a blank before it": with_text(" " + TEXT),
    "a byte order mark": with_text("\ufeff" + TEXT),
    "an escape": with_member('"x":"\\n"'),
    "a blank before a colon": with_member('"x" :1'),
    "a tab": with_member('"x"\t:1'),
    "a line feed": with_member('"x":\n1'),
    "a carriage return": with_member('"x":\r1'),
    "a name given twice": with_member('"sub":"mallory"'),
    "a name given twice further down": with_member('"x":[{"a":1,"a":1}]'),
    "a colon at the start of a string": with_member('"x":":"'),
    # with as many pairs of a quote and a colon as members
    **{
        f"a name given twice, and {blank!r} before colons": with_member(f'"sub"{blank}:"mallory","x"{blank}:1,"y":":"')
        for blank in " \t\n\r"
    },
    "NaN": with_member('"x":NaN'),
    "a number beyond a double": with_member('"x":1e400'),
    "a long number": with_member('"x":' + "1" * 65),
    "33 lists": with_member('"x":[' + ",".join(["[]"] * 32) + "]"),
}


@pytest.mark.parametrize("token", NOT_PLAIN.values(), ids=NOT_PLAIN)
def test_any_other_token_is_left_to_the_careful_reader(token: str) -> None:
    """Each condition of the first step by itself makes a token one for the careful reader."""
    assert None is read_plain(token.encode())
    assert outcome(CAREFUL, token) == outcome(QUICK, token)


def test_a_plain_token_is_read_whole() -> None:
    """The first step gives the header, the claims, the signed bytes and the signature of the token."""
    found = read_plain(PLAIN.encode())
    assert found is not None
    header, claims, signed, signature = found
    assert ("HS256", ISSUER.name, TYP, CLAIMS) == (header.algorithm, header.kid, header.typ, claims)
    assert PLAIN == f"{signed.decode()}.{b64(signature)}"


def test_the_longest_plain_token_is_read() -> None:
    """A token of exactly the limit is plain, and one of a block more is not."""
    room = MAX_PLAIN - len(HEAD) - len(SIGNATURE) - 2
    for size, plain in ((room // 4 * 3, True), (room // 4 * 3 + 3, False)):
        text = '{"x":"' + "y" * (size - 8) + '"}'
        assert plain is (read_plain(with_text(text).encode()) is not None)


def changed(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**CLAIMS, **changes}.items() if value is not None}


NOT_QUICK: dict[str, tuple[str, str | None, dict[str, Any]]] = {
    "no iat": ("rfc9068", "at+jwt", changed(iat=None)),
    "no exp": ("rfc9068", "at+jwt", changed(exp=None)),
    "another typ": ("rfc9068", "JWT", changed()),
    "a typ in capitals": ("rfc9068", "AT+JWT", changed()),
    "no typ": ("rfc9068", None, changed()),
    "an empty typ": ("okta", "", changed(cid="web")),
    "a claim of ID tokens": ("rfc9068", "at+jwt", changed(nonce="n")),
    "a binding": ("bound", "at+jwt", changed(cnf={"jkt": "0Z"})),
    "iat true": ("rfc9068", "at+jwt", changed(iat=True)),
    "iat a fraction": ("rfc9068", "at+jwt", changed(iat=NOW - 0.5)),
    "iat negative": ("rfc9068", "at+jwt", changed(iat=-1)),
    "iat to come": ("late", "at+jwt", changed(iat=NOW + 1)),
    "exp a fraction": ("rfc9068", "at+jwt", changed(exp=NOW + 1.5)),
    "exp past": ("late", "at+jwt", changed(iat=NOW - 9, exp=NOW)),
    "exp too far": ("endless", "at+jwt", changed(exp=10**15)),
    "a long life": ("late", "at+jwt", changed(exp=NOW + 401)),
    "nbf to come": ("late", "at+jwt", changed(nbf=NOW + 1)),
    "nbf a fraction": ("rfc9068", "at+jwt", changed(nbf=NOW - 0.5)),
    "nbf negative": ("rfc9068", "at+jwt", changed(nbf=-1)),
    "no sub": ("rfc9068", "at+jwt", changed(sub=None)),
    "an empty sub": ("rfc9068", "at+jwt", changed(sub="")),
    "sub a number": ("rfc9068", "at+jwt", changed(sub=7)),
    "sub unprintable": ("rfc9068", "at+jwt", changed(sub="a\x00")),
    "client a list": ("rfc9068", "at+jwt", changed(client_id=["web"])),
    "no client": ("rfc9068", "at+jwt", changed(client_id=None)),
    "a second client a number": ("auth0", "JWT", changed(azp="web", client_id=7)),
    "token id a number": ("keycloak", "JWT", changed(typ="Bearer", jti=1)),
    "another audience": ("rfc9068", "at+jwt", changed(aud="x")),
    "an audience a number": ("rfc9068", "at+jwt", changed(aud=7)),
    "a list of other audiences": ("rfc9068", "at+jwt", changed(aud=["x"])),
    "any audience": ("any", "at+jwt", changed()),
    "none of the group": ("entra", "JWT", changed(azp="web")),
    "no mark": ("marked", "at+jwt", changed()),
    "no expected value": ("keycloak", "JWT", changed()),
    "another value": ("keycloak", "JWT", changed(typ="ID")),
    "a list as value": ("keycloak", "JWT", changed(typ=["Bearer"])),
}
MARKED = replace(SHIPPED_PROFILES["rfc9068"], required=(*SHIPPED_PROFILES["rfc9068"].required, "mark"))
MORE = (trusted("marked", profile=MARKED), trusted("endless", max_lifetime=float("inf")))
BY_NAME = {issuer.name: issuer for issuer in (*ISSUERS, *MORE)}


@pytest.mark.parametrize(("name", "typ", "claims"), NOT_QUICK.values(), ids=NOT_QUICK)
def test_any_other_claims_are_left_to_the_careful_checks(name: str, typ: str | None, claims: dict[str, Any]) -> None:
    """Each condition of the second step by itself makes claims ones for the careful checks."""
    assert None is QuickChecks(BY_NAME[name]).check(typ, claims, CLOCK.now)


@pytest.mark.parametrize(
    ("name", "typ", "claims"),
    [
        pytest.param("rfc9068", "at+jwt", changed(), id="plain"),
        pytest.param("rfc9068", "at+jwt", changed(aud=["x", AUDIENCE]), id="a list of audiences"),
        pytest.param("rfc9068", "at+jwt", changed(nbf=0), id="valid long since"),
        pytest.param("rfc9068", "at+jwt", changed(sub="Zoé"), id="letters"),
        pytest.param("okta", None, changed(cid="web"), id="no typ"),
        pytest.param("keycloak", "JWT", changed(jti=None, typ="Bearer"), id="no token id"),
        pytest.param("entra", "JWT", changed(appid="web", appidacr="1"), id="the second of a group"),
        pytest.param("marked", "at+jwt", changed(mark=0), id="marked"),
        pytest.param("endless", "at+jwt", changed(nbf=NOW), id="valid from now"),
    ],
)
def test_plain_claims_pass_quickly(name: str, typ: str | None, claims: dict[str, Any]) -> None:
    """Claims of the simplest types pass without the careful checks, with the dates of the token."""
    assert (NOW, NOW + 300) == QuickChecks(BY_NAME[name]).check(typ, claims, CLOCK.now)


def test_a_header_is_judged_alone_whoever_asks_first() -> None:
    """A header with characters that decoding skips is not kept, so that the same header without them stays the only one."""
    fresh = b64(json.dumps({"alg": "HS256", "kid": "fresh"}).encode())
    body = BODY.encode()
    for inserted in ("!", "=", "\n", ".", "+"):
        other = fresh[:8] + 4 * inserted + fresh[8:]
        assert None is read_plain(b".".join((other.encode(), body, SIGNATURE.encode())))
        assert InvalidToken is outcome(QUICK, f"{other}.{BODY}.{SIGNATURE}")[0]
    assert None is not read_plain(b".".join((fresh.encode(), body, SIGNATURE.encode())))


def test_a_forged_signature_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain token with a wrong signature is refused by one verification, so that a flood costs no more than before."""
    calls: list[bytes] = []
    (key,) = ISSUER.keys._keys.keys  # type: ignore[attr-defined]
    real = key.verify

    def verify(_: object, signed: bytes, signature: bytes) -> bool:
        calls.append(signature)
        return bool(real(signed, signature))

    monkeypatch.setattr(type(key), "verify", verify)
    assert (InvalidToken, ("signature", "the signature was not made by a key of this issuer")) == outcome(
        QUICK, f"{HEAD}.{BODY}.{'A' * len(SIGNATURE)}"
    )
    assert 1 == len(calls)
