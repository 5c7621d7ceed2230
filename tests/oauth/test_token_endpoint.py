"""The token endpoint: granted and refused exchanges, and their log lines."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import examples
from jwt_lp import (
    AccessToken,
    Answer,
    ClientAuthentication,
    ClientRefused,
    ClientSecrets,
    Issuer,
    JwksKeys,
    JwtLpError,
    KeysUnavailable,
    Policy,
    SigningKey,
    StaticKeys,
    TokenExchange,
)
from jwt_lp.jose import jws
from jwt_lp.jose.jws import fingerprint
from jwt_lp.jose.signing import sign
from jwt_lp.oauth.exchange_request import ACCESS_TOKEN, JWT, MAX_BODY, TOKEN_EXCHANGE, ExchangeRequest
from jwt_lp.permissions.grants import Denial
from jwt_lp.revocation.snapshot import RevocationMatch
from jwt_lp.tokens.profiles import AUTH0, COGNITO
from jwt_lp.tokens.trusted_issuer import TrustedIssuer

NOW = 1_800_000_000.0
FORM = "application/x-www-form-urlencoded"
SECRETS = {name: f"secret-of-{name}".ljust(32, "-") for name in ("shop", "web", "stock", "stranger", "poor")}
POLICY = Policy.from_mapping(
    {
        "version": 1,
        "audiences": {"shop": {"may_call": ["stock"]}, "stock": {}, "bank": {}},
        "clients": {
            "shop": {"grants": ["stock:*", "orders:**"]},
            "web": {"grants": ["orders:list"]},
            "stock": {"grants": ["stock:read"]},
        },
    }
)
KEY = SigningKey.generate(kid="k1")
FOREIGN = SigningKey.generate(kid="f1")


def foreign(name: str, profile: Any, keys: Any, audience: str | None) -> TrustedIssuer:
    wanted = None if audience is None else frozenset({audience})
    return TrustedIssuer(name, f"https://{name}.test/", wanted, frozenset({"ES256"}), profile, keys)


def issuer(now: Any = lambda: NOW, **more: Any) -> Issuer:
    keys = StaticKeys.from_jwks({"keys": [FOREIGN.public_jwk()]})
    gone = JwksKeys("http://127.0.0.1:9/jwks", algorithms=["ES256"])
    trusts = [
        foreign("auth0", AUTH0, keys, "shop"),
        foreign("cognito", COGNITO, keys, "web"),
        foreign("gone", AUTH0, gone, "shop"),
    ]
    return Issuer("https://issuer.test", KEY, policy=POLICY, trusts=trusts, clock=now, **more)


def exchange(now: Any = lambda: NOW, clients: ClientAuthentication | None = None, **more: Any) -> TokenExchange:
    return TokenExchange(issuer(now, **more), clients or ClientSecrets(SECRETS), reference=lambda: "ref", clock=now)


def parent(audience: str = "shop", client: str = "web", *permissions: str, **more: Any) -> str:
    granted = permissions or ("orders:list", "orders:create", "stock:read", "stock:write")
    return issuer().issue("alice", permissions=granted, audience=audience, client=client, **more)


def basic(client: str, secret: str | None = None) -> list[str]:
    text = f"{client}:{SECRETS.get(client, 'x' * 32) if secret is None else secret}"
    return ["Basic " + base64.b64encode(text.encode()).decode()]


def form(token: str, scope: str = "stock:read", audience: str | None = "stock", **more: str | None) -> dict[str, str]:
    parameters = {
        "grant_type": TOKEN_EXCHANGE,
        "subject_token": token,
        "subject_token_type": ACCESS_TOKEN,
        "scope": scope,
        "audience": audience,
        **more,
    }
    return {name: value for name, value in parameters.items() if value is not None}


def ask(
    parameters: Mapping[str, str] | Sequence[tuple[str, str]], client: str = "shop", ours: TokenExchange | None = None
) -> Answer:
    return (ours or exchange()).post(FORM, urlencode(parameters).encode(), basic(client))


def read_body(answer: Answer) -> Any:
    return json.loads(answer.body)


def error(answer: Answer) -> tuple[int, str]:
    body = read_body(answer)
    assert {"error", "error_description", "reference"} == body.keys()
    assert "ref" == body["reference"]
    description = body["error_description"]
    assert 0 < len(description) <= 400
    assert description.isascii()
    assert description.isprintable()
    assert set() == set('"\\') & set(description)
    assert ("application/json", "no-store") == (answer.headers["Content-Type"], answer.headers["Cache-Control"])
    return answer.status, body["error"]


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str, dict[str, Any]]]:
    events = []
    for record in caplog.records:
        if record.name == "jwt_lp":
            _, event, text = record.getMessage().split(" ", 2)
            events.append((record.levelno, event, json.loads(text)))
    return events


@pytest.fixture(autouse=True)
def everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "jwt_lp")


def test_a_service_gets_a_narrower_token_for_the_next() -> None:
    """The token's audience gets a token for a service that the policy lets it call, and is its actor."""
    answer = ask(form(parent()))
    body = read_body(answer)
    token = body.pop("access_token")
    usual = {"issued_token_type": ACCESS_TOKEN, "token_type": "Bearer", "expires_in": 300, "scope": "stock:read"}
    assert (200, usual) == (answer.status, body)
    assert {"Content-Type": "application/json", "Cache-Control": "no-store"} == answer.headers
    new = issuer().verify(token)
    assert ("alice", "shop", ("stock",)) == (new.subject, new.client, issuer().audiences(new))
    assert ["stock:read"] == [grant.text for grant in new.permissions]
    assert new.lineage is not None
    assert ("shop",) == new.lineage.actors


@pytest.mark.parametrize(
    ("parameters", "client"),
    [
        pytest.param(form(parent(), "orders:list", None), "web", id="the client that it was issued to"),
        pytest.param(form(parent(), "orders:list", "shop"), "shop", id="the same audience, named"),
        pytest.param(form(parent(), "orders:list", None), "shop", id="the same audience, not named"),
        pytest.param(form(parent(), audience=None, resource="stock"), "shop", id="the audience as a resource"),
        pytest.param(form(parent(), resource="stock"), "shop", id="both, which agree"),
        pytest.param(form(parent(), subject_token_type=JWT), "shop", id="a token of the type jwt"),
        pytest.param(form(parent(), requested_token_type=JWT), "shop", id="a jwt asked for"),
        pytest.param(form(parent(), requested_token_type=ACCESS_TOKEN), "shop", id="an access token asked for"),
        pytest.param(form(parent(), nonsense="x"), "shop", id="a parameter that is not known"),
        pytest.param(form(parent(), actor_token=""), "shop", id="a parameter without a value"),
        pytest.param([*form(parent()).items(), ("audience", "stock")], "shop", id="the same audience twice"),
        pytest.param(form(parent(), "stock:read  stock:read "), "shop", id="a permission twice"),
    ],
)
def test_well_formed_requests_are_granted(parameters: Any, client: str) -> None:
    """Each well-formed request gives a token with the requested permissions and no others."""
    answer = ask(parameters, client)
    wanted = dict(parameters)["scope"].split()[0]
    assert (200, wanted) == (answer.status, read_body(answer).get("scope"))
    assert [wanted] == [grant.text for grant in issuer().verify(read_body(answer)["access_token"]).permissions]


TOKEN = parent()
BAD = (400, "invalid_request")
SCOPE = (400, "invalid_scope")
TARGET = (400, "invalid_target")
CALLER = (400, "unauthorized_client")
CLIENT = (401, "invalid_client")
LATER = (503, "temporarily_unavailable")


@pytest.mark.parametrize(
    ("parameters", "client", "expected", "cause"),
    [
        pytest.param(form(TOKEN), "nobody", CLIENT, "secret", id="an unknown client"),
        pytest.param(form(TOKEN, grant_type=None), "shop", BAD, "invalid_request", id="no grant type"),
        pytest.param(
            form(TOKEN, grant_type="client_credentials"),
            "shop",
            (400, "unsupported_grant_type"),
            "unsupported_grant_type",
            id="another grant type",
        ),
        pytest.param(form(""), "shop", BAD, "invalid_request", id="no subject token"),
        pytest.param(form(TOKEN, subject_token_type=None), "shop", BAD, "invalid_request", id="no type"),
        pytest.param(
            form(TOKEN, subject_token_type="urn:ietf:params:oauth:token-type:id_token"),
            "shop",
            BAD,
            "invalid_request",
            id="an ID token",
        ),
        pytest.param(
            form(TOKEN, requested_token_type="urn:ietf:params:oauth:token-type:refresh_token"),
            "shop",
            BAD,
            "invalid_request",
            id="a refresh token asked for",
        ),
        pytest.param(form(TOKEN, actor_token=TOKEN), "shop", BAD, "invalid_request", id="an actor token"),
        pytest.param(form(TOKEN, actor_token_type=JWT), "shop", BAD, "invalid_request", id="an actor's type"),
        pytest.param([*form(TOKEN).items(), ("scope", "a")], "shop", BAD, "repeated", id="a scope twice"),
        pytest.param([*form(TOKEN).items(), ("scope", "")], "shop", BAD, "repeated", id="a scope twice, once empty"),
        pytest.param(
            [*form(TOKEN).items(), ("x", "1"), ("x", "2")], "shop", BAD, "repeated", id="an unknown one twice"
        ),
        pytest.param(form(TOKEN, ""), "shop", SCOPE, "invalid_scope", id="no scope"),
        pytest.param(form(TOKEN, "  "), "shop", SCOPE, "invalid_scope", id="a scope of blanks"),
        pytest.param(form(TOKEN, "stock:delete"), "shop", SCOPE, "scope", id="not held"),
        pytest.param(form(TOKEN, "stock:read stock:delete"), "shop", SCOPE, "scope", id="one of two not held"),
        pytest.param(form(TOKEN, "orders:create", None), "web", SCOPE, "scope", id="not the actor's"),
        pytest.param(form(TOKEN, "stock:*"), "shop", SCOPE, "scope", id="a wildcard"),
        pytest.param(form(TOKEN, " ".join(f"a:{n}" for n in range(101))), "shop", SCOPE, "too_many", id="too much"),
        pytest.param(form(TOKEN, 'a"b\\c'), "shop", SCOPE, "scope", id="no permission"),
        pytest.param(form(TOKEN, "é\x00"), "shop", SCOPE, "scope", id="no ASCII"),
        pytest.param(form(TOKEN, "x" * 2000), "shop", SCOPE, "too_long", id="very long"),
        pytest.param(form(TOKEN, TOKEN), "shop", SCOPE, "too_long", id="a token for a scope"),
        pytest.param(form(TOKEN, audience=TOKEN), "shop", TARGET, "too_long", id="a token for an audience"),
        pytest.param(
            form(TOKEN, "stock:read " + " ".join(f"{n}:" + "x" * 200 for n in range(40))),
            "shop",
            SCOPE,
            "scope",
            id="many",
        ),
        pytest.param(form(TOKEN, audience="bank"), "shop", TARGET, "target", id="an audience not to be called"),
        pytest.param(form(TOKEN, audience="nowhere"), "shop", TARGET, "target", id="an unknown audience"),
        pytest.param(form(TOKEN, audience="é\n"), "shop", TARGET, "target", id="an audience that is none"),
        pytest.param(form(TOKEN, resource="shop"), "shop", TARGET, "several_audiences", id="both, which differ"),
        pytest.param(
            [*form(TOKEN).items(), ("audience", "shop")], "shop", TARGET, "several_audiences", id="several audiences"
        ),
        pytest.param(form(TOKEN), "stranger", CALLER, "not_its_token", id="neither audience nor client"),
        pytest.param(form(TOKEN), "stock", CALLER, "not_its_token", id="the one that is to be called"),
        pytest.param(form(parent("shop", "poor")), "poor", CALLER, "actor", id="a client without grants"),
        pytest.param(form("junk"), "shop", BAD, "malformed", id="junk"),
        pytest.param(
            form(parent().rpartition(".")[0] + "." + 86 * "A"), "shop", BAD, "signature", id="a signature that is none"
        ),
        pytest.param(form(sign({"iss": "https://x.test"}, KEY)), "shop", BAD, "issuer", id="an unknown issuer"),
        pytest.param(
            form(Issuer("https://issuer.test", KEY, clock=lambda: NOW - 900).issue("a", audience="shop", client="web")),
            "shop",
            BAD,
            "expired",
            id="expired",
        ),
    ],
)
def test_what_is_refused(
    parameters: Any, client: str, expected: tuple[int, str], cause: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Each fault has its error code and one log line with the cause and without the token."""
    answer = ask(parameters, client)
    assert expected == error(answer)
    ((level, event, members),) = lines(caplog)
    assert (logging.WARNING, "exchange-refused") == (level, event)
    assert (*expected, cause, "ref") == tuple(members[name] for name in ("status", "error", "cause", "reference"))
    token = dict(parameters)["subject_token"]
    shown = json.dumps(members) + answer.body.decode()
    assert not token or (len(token) < 20 or token[20:40] not in shown)
    assert "token" not in members or fingerprint(token) == members["token"]
    assert SECRETS["shop"] not in shown


def test_a_401_says_how_to_authenticate() -> None:
    """The challenge is Basic, and only an unauthenticated client receives one."""
    assert 'Basic realm="token endpoint"' == ask(form(TOKEN), "nobody").headers["WWW-Authenticate"]
    assert "WWW-Authenticate" not in ask(form(TOKEN, "")).headers


def test_the_success_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """One line names client, subject and permissions, with fingerprints in place of tokens."""
    answer = ask(form(TOKEN))
    ((level, event, members),) = lines(caplog)
    expected = {
        "client": "shop",
        "issuer": "https://issuer.test",
        "subject": "alice",
        "token": fingerprint(TOKEN),
        "audience": "stock",
        "permissions": ["stock:read"],
        "made": fingerprint(read_body(answer)["access_token"]),
    }
    assert (logging.INFO, "exchanged", expected) == (level, event, members)


@pytest.mark.parametrize(
    ("media", "body", "cause"),
    [
        pytest.param("application/json", b"{}", "content_type", id="JSON"),
        pytest.param("multipart/form-data; boundary=x", b"--x--", "content_type", id="multipart"),
        pytest.param(None, b"a=b", "content_type", id="no media type"),
        pytest.param(FORM, b"", "malformed", id="empty"),
        pytest.param(FORM, b"grant_type", "malformed", id="no value"),
        pytest.param(FORM, b"a=\xff", "malformed", id="not ASCII"),
        pytest.param(FORM, b"a=%ff", "malformed", id="not UTF-8"),
        pytest.param(FORM, b"&".join(b"a%d=1" % number for number in range(33)), "malformed", id="many parameters"),
        pytest.param(FORM, b"a=" + b"x" * MAX_BODY, "too_large", id="large"),
    ],
)
def test_a_body_that_is_no_form_is_refused(
    media: str | None, body: bytes, cause: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A body that is not a form is refused before the client is authenticated."""
    assert BAD == error(exchange().post(media, body, basic("shop")))
    assert [cause] == [members["cause"] for _, _, members in lines(caplog)]


def test_the_media_type_may_have_parameters() -> None:
    """The media type is compared without its parameters and without case."""
    body = urlencode(form(TOKEN)).encode()
    assert 200 == exchange().post("Application/X-WWW-Form-Urlencoded; charset=UTF-8", body, basic("shop")).status


@given(
    st.dictionaries(
        st.sampled_from(["grant_type", "subject_token", "scope", "audience", "client_id", "client_secret", "x"]),
        st.lists(st.text(max_size=20), max_size=2),
    ),
    st.lists(st.text(max_size=30), max_size=2),
)
@examples(200)
def test_nothing_is_raised_for_what_a_client_sends(parameters: dict[str, list[str]], authorization: list[str]) -> None:
    """Any parameters and any header get a refusal, not an exception."""
    assert error(exchange().answer(parameters, authorization)) in {BAD, CLIENT}


def test_a_revoked_token_is_a_bad_token(caplog: pytest.LogCaptureFixture) -> None:
    """The client cannot tell a revoked token from another bad one; if revocations are unknown, it gets 503."""
    bad = read_body(ask(form("junk")))
    assert bad == read_body(ask(form(TOKEN), ours=exchange(revoked=lambda _: True)))
    answer = ask(form(TOKEN), ours=exchange(revoked=lambda _: 1 / 0 > 0))
    assert (*LATER, "5") == (*error(answer), answer.headers["Retry-After"])
    assert ["malformed", "revoked", "undecided"] == [members["cause"] for _, _, members in lines(caplog)]


@pytest.mark.parametrize("token", ["A" * 60_000, "." * 60_000])
def test_a_token_that_is_too_large_is_not_hashed(token: str, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    """It is not decoded either; it is refused like any bad token, and the log shows nothing of it."""
    ours = exchange()
    monkeypatch.setattr(jws, "hashlib", None)
    monkeypatch.setattr(jws, "binascii", None)
    assert read_body(ask(form(token), ours=ours))["error"] == "invalid_request"
    ((_, _, members),) = lines(caplog)
    assert ("too_large", None) == (members["cause"], members.get("token"))


def test_long_header_values_are_not_searched() -> None:
    """A media type and a list of validators are read only up to a bounded length."""
    ours = exchange()
    etag = ours.jwks().headers["ETag"]
    assert 304 == ours.jwks([f'"x", {etag}']).status
    assert 200 == ours.jwks(["a," * 500_000 + etag]).status
    assert BAD == error(ours.post("a" * 1_000_000, b"a=b", []))
    assert BAD == error(ours.post(f"{FORM};{'a' * 1_000_000}", b"a=b" * 50_000, []))


@pytest.mark.parametrize("of", ["alice", "shop", "web"])
def test_a_revoked_permission_is_not_granted(of: str, caplog: pytest.LogCaptureFixture) -> None:
    """A permission revoked for the subject, the calling client or the token's client is not granted."""
    denials = (Denial("d", "stock:*", ["stock:write"]),)

    def standing(token: AccessToken) -> RevocationMatch:
        named = {token.subject, token.client, *(token.lineage.clients if token.lineage else ())}
        return RevocationMatch(None, denials if of in named else ())

    ours = exchange(revoked=standing)
    assert SCOPE == error(ask(form(TOKEN), ours=ours))
    assert 200 == ask(form(TOKEN, "stock:write"), ours=ours).status
    assert 200 == ask(form(TOKEN, "orders:list", None), ours=ours).status
    assert "scope" == lines(caplog)[0][2]["cause"]


def test_another_issuers_client_of_the_same_name_is_refused() -> None:
    """A client of another issuer may not exchange, whatever the policy has under its name."""
    clients = ClientSecrets({"auth0:spa": SECRETS["shop"]})
    policy = Policy.from_mapping({"version": 1, "clients": {"auth0:spa": {"grants": ["**"]}}})
    body = {"iss": "https://auth0.test/", "sub": "auth0|1", "aud": "shop", "azp": "spa", "scope": "x", "jti": "j"}
    foreign_token = sign({**body, "iat": NOW, "exp": NOW + 60}, FOREIGN, typ="JWT")
    ours = TokenExchange(issuer(), clients, reference=lambda: "ref", clock=lambda: NOW)
    ours.issuer.policy = policy
    child = ours.issuer.narrow(foreign_token, ["x"])
    parameters = form(child, "x", None, client_id="auth0:spa", client_secret=SECRETS["shop"])
    assert CALLER == error(ours.post(FORM, urlencode(parameters).encode(), []))


def test_a_client_exchanges_a_token_issued_to_it() -> None:
    """A client may exchange a token issued to it for the next service, within its own grants."""
    grants = {"clients": {"web": {"grants": ["stock:read"]}}}
    audiences = {"shop": {"may_call": ["stock"]}, "stock": {}}
    body = urlencode(form(TOKEN)).encode()

    def answer_under(policy: Mapping[str, object]) -> Answer:
        own = Issuer(
            "https://issuer.test", KEY, policy=Policy.from_mapping({"version": 1, **policy}), clock=lambda: NOW
        )
        ours = TokenExchange(own, ClientSecrets(SECRETS), reference=lambda: "ref", clock=lambda: NOW)
        return ours.post(FORM, body, basic("web"))

    assert 200 == answer_under({"audiences": audiences, **grants}).status
    assert SCOPE == error(answer_under({"audiences": audiences, "clients": {"web": {"grants": ["orders:*"]}}}))
    # As an audience it calls for itself, and may call nobody.
    assert TARGET == error(answer_under({"audiences": {**audiences, "web": {}}, **grants}))


def test_unavailable_keys_are_503() -> None:
    """If the keys of a foreign issuer or of a client are unavailable, the answer is 503 with Retry-After."""
    claims = {
        "iss": "https://gone.test/",
        "sub": "a",
        "aud": "shop",
        "iat": NOW,
        "exp": NOW + 60,
        "jti": "1",
        "azp": "web",
    }
    answer = ask(form(sign(claims, FOREIGN)))
    assert (*LATER, "30") == (*error(answer), answer.headers["Retry-After"])

    class NoKeys:
        def authenticate(self, form: object, authorization: object) -> str:
            raise KeysUnavailable("no keys", retry_after=16.2)

    class Full:
        def authenticate(self, form: object, authorization: object) -> str:
            raise ClientRefused("temporarily_unavailable", "assertions_full", "too many")

    answer = ask(form(TOKEN), ours=exchange(clients=NoKeys()))
    assert (*LATER, "17") == (*error(answer), answer.headers["Retry-After"])
    assert LATER == error(ask(form(TOKEN), ours=exchange(clients=Full())))


@pytest.mark.parametrize(
    ("claims", "client"),
    [
        ({"iss": "https://auth0.test/", "aud": "shop", "azp": "web", "scope": "stock:read"}, "shop"),
        (
            {
                "iss": "https://auth0.test/",
                "aud": ["shop", "https://x.test/userinfo"],
                "azp": "web",
                "scope": "stock:read",
            },
            "shop",
        ),
    ],
)
def test_a_foreign_token_is_exchanged_by_its_audience(claims: dict[str, Any], client: str) -> None:
    """The service in the audience of a trusted issuer's token may exchange it for one of ours."""
    token = sign({"sub": "a", "iat": NOW, "exp": NOW + 60, "jti": "1", **claims}, FOREIGN, typ="JWT")
    answer = ask(form(token), client)
    assert (200, 60) == (answer.status, read_body(answer)["expires_in"])
    new = issuer().verify(read_body(answer)["access_token"])
    assert ("auth0:a", (claims["iss"], "a")) == (new.subject, new.lineage and new.lineage.subject)
    assert CALLER == error(ask(form(token), "stranger"))
    # That issuer's client "web" is not ours of the same name.
    assert CALLER == error(ask(form(token), "web"))


def test_the_substitute_for_aud_counts_as_audience() -> None:
    """If the provider's tokens have no `aud`, the claim that replaces it counts as the audience."""
    claims = {
        "iss": "https://cognito.test/",
        "sub": "a",
        "client_id": "web",
        "token_use": "access",
        "scope": "orders:list",
        "iat": NOW,
        "exp": NOW + 60,
        "jti": "1",
    }
    ours = exchange()
    token = sign(claims, FOREIGN, typ=None)
    assert ("web",) == ours.issuer.audiences(ours.issuer.verify(token))
    assert CALLER == error(ask(form(token), "shop", ours))


def test_the_new_token_expires_with_its_parent() -> None:
    """The new token expires with its parent, and `expires_in` says in how many seconds."""
    now = [NOW + 100.5]
    answer = ask(form(TOKEN), ours=exchange(lambda: now[0]))
    assert 199 == read_body(answer)["expires_in"]
    assert NOW + 300 == issuer(lambda: now[0]).verify(read_body(answer)["access_token"]).expires_at
    now[0] = NOW + 300
    assert BAD == error(ask(form(TOKEN), ours=exchange(lambda: now[0])))


def test_the_key_set_has_a_validator() -> None:
    """The key set may be cached, and is not sent again to a client that has it."""
    ours = exchange()
    answer = ours.jwks()
    assert (200, {"keys": [KEY.public_jwk()]}) == (answer.status, read_body(answer))
    assert "application/jwk-set+json" == answer.headers["Content-Type"]
    assert "public, max-age=300" == answer.headers["Cache-Control"]
    etag = answer.headers["ETag"]
    for line in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        again = ours.jwks([line])
        assert (304, b"", etag) == (again.status, again.body, again.headers["ETag"])
    assert [200] * 3 == [ours.jwks(lines).status for lines in (['"x"'], [""], [etag[1:-1]])]


class ForeignKeySet:
    """A key set of another implementation."""

    current = KEY
    generation = 1

    def __init__(self, document: dict[str, object]) -> None:
        self.document = document

    def jwks(self) -> dict[str, object]:
        return self.document


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param([KEY.private_jwk(), KEY.public_jwk()], id="a private key"),
        pytest.param([SigningKey.generate("HS256", kid="s").public_jwk(), KEY.public_jwk()], id="a shared secret"),
        pytest.param(["junk", KEY.public_jwk()], id="no key"),
    ],
)
def test_nothing_that_signs_is_published(keys: list[object]) -> None:
    """A private key and a shared secret in the key set are left out."""
    changing = ForeignKeySet({"keys": [KEY.public_jwk()]})
    ours = TokenExchange(Issuer("https://issuer.test", changing), ClientSecrets(SECRETS))
    changing.document = {"keys": keys}
    assert {"keys": [KEY.public_jwk()]} == read_body(ours.jwks())
    changing.document = {}
    assert {"keys": []} == read_body(ours.jwks())


def test_an_issuer_with_a_shared_secret_publishes_nothing() -> None:
    """The key set of an issuer with a shared secret is empty."""
    ours = TokenExchange(Issuer("https://issuer.test", SigningKey.generate("HS256")), ClientSecrets(SECRETS))
    assert {"keys": []} == read_body(ours.jwks())


def test_refusals_have_references_of_their_own() -> None:
    """Each refusal has its own reference."""
    ours = TokenExchange(issuer(), ClientSecrets(SECRETS))
    references = {read_body(ask(form("junk"), ours=ours))["reference"] for _ in range(3)}
    assert (3, {10}) == (len(references), set(map(len, references)))


def test_the_repr_of_a_request_is_masked() -> None:
    """The repr of a request does not show its token."""
    assert "ExchangeRequest(masked)" == repr(ExchangeRequest("token", (), None))


def test_its_errors_are_ours() -> None:
    """The errors of a client method belong to the library's hierarchy."""
    assert issubclass(ClientRefused, JwtLpError)
