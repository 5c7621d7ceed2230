"""What the verifier accepts and refuses, and that it never accepts what PyJWT refuses."""

from __future__ import annotations

import base64
import gc
import json
import traceback
import weakref
from dataclasses import replace
from typing import Any, cast

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import get_default_algorithms

from clock import Clock
from examples import examples
from jwt_lp import InvalidToken, KeysUnavailable, StaticKeys
from jwt_lp.errors import KeysPending
from jwt_lp.jose.signing import SigningKey, sign
from jwt_lp.policy.file import EMPTY_POLICY, Policy
from jwt_lp.testing.authority import AUDIENCE, ISSUER
from jwt_lp.tokens.profiles import COGNITO, ENTRA, KEYCLOAK, RFC9068
from jwt_lp.tokens.trusted_issuer import TrustedIssuer
from jwt_lp.tokens.verification import Verifier, verify_signature

NOW = 1_800_000_000
ALGORITHMS = (
    *(f"{kind}{size}" for kind in ("RS", "PS", "ES", "HS") for size in (256, 384, 512)),
    "EdDSA",
    "Ed25519",
    "Ed448",
)
KEY = SigningKey.generate("ES256", kid="k1")


def claims(**changes: Any) -> dict[str, Any]:
    usual = {
        "iss": ISSUER,
        "sub": "alice",
        "aud": AUDIENCE,
        "iat": NOW,
        "exp": NOW + 300,
        "jti": "1",
        "client_id": "web",
        "scope": "orders:read",
    }
    return {name: value for name, value in {**usual, **changes}.items() if value is not None}


def trusted(key: SigningKey = KEY, **changes: Any) -> TrustedIssuer:
    usual = {
        "name": "main",
        "issuer": ISSUER,
        "audience": frozenset({AUDIENCE}),
        "algorithms": frozenset({key.algorithm}),
        "profile": RFC9068,
        "keys": StaticKeys.from_jwks({"keys": [key.public_jwk()]}),
    }
    return TrustedIssuer(**{**usual, **changes})


def verifier(*issuers: TrustedIssuer, policy: Policy = EMPTY_POLICY, clock: Clock | None = None) -> Verifier:
    return Verifier(issuers or [trusted()], policy, clock=clock or Clock(float(NOW)))


def cause(checker: Verifier, token: str) -> str:
    with pytest.raises(InvalidToken) as caught:
        checker.verify(token)
    return caught.value.cause


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_is_verified(algorithm: str) -> None:
    """A token of each supported algorithm is accepted, and the same token with another signature is refused."""
    key = SigningKey.generate(algorithm)
    checker = verifier(trusted(key))
    token = sign(claims(), key)
    assert "alice" == checker.verify(token).subject
    forged = sign(claims(), SigningKey.generate(algorithm, kid=key.kid))
    assert "signature" == cause(checker, forged)


def test_the_fields_of_a_verified_token() -> None:
    """Issuer, subject, client, times, id, grants and every claim are those of the token, read-only."""
    token = verifier().verify(sign(claims(org={"id": [1, {"a": 2}]}), KEY))
    assert (ISSUER, "main", "alice", "web", NOW, NOW + 300, "1") == (
        token.issuer,
        token.issuer_name,
        token.subject,
        token.client,
        token.issued_at,
        token.expires_at,
        token.token_id,
    )
    assert ["orders:read"] == [str(grant) for grant in token.permissions]
    assert (1, {"a": 2}) == token.claims["org"]["id"]  # type: ignore[index]
    with pytest.raises(TypeError):
        token.claims["org"]["id"][1]["a"] = 3  # type: ignore[index]


def test_nothing_of_the_token_is_shown() -> None:
    """A token's repr has its fingerprint and its issuer's name, and not its claims."""
    token = verifier().verify(sign(claims(secret="hunter2"), KEY))
    assert f"<AccessToken {token.fingerprint} from main>" == repr(token)


def test_a_token_without_iss_is_of_the_issuer_that_may_leave_it_out() -> None:
    """Only an absent `iss` counts as absent, and only the keys of that issuer verify the token."""
    other = SigningKey.generate("ES256", kid="k2")
    named = trusted(other, name="named", issuer="https://named.test")
    checker = verifier(named, trusted(absent_claims=frozenset({"iss"})))
    bare = claims(iss=None)
    assert "main" == checker.verify(sign(bare, KEY)).issuer_name
    assert "issuer" == cause(checker, sign({**bare, "iss": None}, KEY))
    assert "issuer" == cause(checker, sign({**bare, "iss": ""}, KEY))
    assert "unknown_key" == cause(checker, sign(bare, other))
    assert "signature" == cause(checker, sign(bare, SigningKey.generate("ES256", kid=KEY.kid)))
    assert "audience" == cause(checker, sign(claims(iss=None, aud=None), KEY))
    assert "issuer" == cause(verifier(named, trusted()), sign(bare, KEY))


def test_an_absent_audience_is_absent_in_both_claims() -> None:
    """An `aud` that is there, or the claim in its place, is compared although it may be absent."""
    checker = verifier(trusted(absent_claims=frozenset({"aud"})))
    assert "alice" == checker.verify(sign(claims(aud=None), KEY)).subject
    audience: object
    for audience in ("other", [], None, ""):
        assert "audience" == cause(checker, sign({**claims(), "aud": audience}, KEY))
    cognito = verifier(trusted(profile=COGNITO, absent_claims=frozenset({"aud"})))
    token = claims(aud=None, token_use="access")
    assert "audience" == cause(cognito, sign(token, KEY, typ=None))


@pytest.mark.parametrize("value", [None, b"x", 7, [], "é.a.b", "\ud800", "a" * 20_000, "." * 1_000_000])
def test_other_objects_are_refused(value: Any) -> None:
    """An object that is not an ASCII str of at most 16 KiB raises `InvalidToken` and nothing else."""
    with pytest.raises(InvalidToken):
        verifier().verify(value)


@pytest.mark.parametrize(
    ("expected", "changes"),
    [
        pytest.param("issuer", {"iss": "https://other.test"}, id="another issuer"),
        pytest.param("issuer", {"iss": [ISSUER]}, id="a list of issuers"),
        pytest.param("issuer", {"iss": ISSUER[:-1]}, id="a prefix of the issuer"),
        pytest.param("issuer", {"iss": ISSUER.upper()}, id="the issuer in capitals"),
        pytest.param("audience", {"aud": "x"}, id="another audience"),
        pytest.param("audience", {"aud": [AUDIENCE, 7]}, id="a number among audiences"),
        pytest.param("audience", {"aud": [[AUDIENCE]]}, id="nested audiences"),
        pytest.param("audience", {"aud": {AUDIENCE: 1}}, id="an object of audiences"),
        pytest.param("audience", {"aud": ""}, id="an empty audience"),
        pytest.param("date", {"exp": "1900000000"}, id="exp as text"),
        pytest.param("date", {"exp": True}, id="exp true"),
        pytest.param("date", {"exp": [NOW]}, id="exp a list"),
        pytest.param("date", {"exp": -1}, id="exp negative"),
        pytest.param("date", {"exp": 1e300}, id="exp a huge float"),
        pytest.param("date", {"iat": "1"}, id="iat as text"),
        pytest.param("date", {"nbf": True}, id="nbf true"),
        pytest.param("expired", {"exp": NOW}, id="expired this second"),
        pytest.param("not_yet_valid", {"iat": NOW + 1}, id="issued in a second"),
        pytest.param("not_yet_valid", {"nbf": NOW + 1}, id="valid in a second"),
        pytest.param("lifetime", {"iat": NOW - 86400, "exp": NOW + 1}, id="a second over a day"),
        pytest.param("lifetime", {"exp": NOW * 1000}, id="exp in milliseconds"),
        pytest.param("claim_type", {"scope": ["orders:read"]}, id="scope a list"),
        pytest.param("too_many_grants", {"scope": " ".join(f"a:{n}" for n in range(1001))}, id="1,001 grants"),
        pytest.param("grant_too_long", {"scope": "a" * 257}, id="a grant of 257 characters"),
        pytest.param("grant_too_long", {"scope": "b " + ":".join("a" * 17)}, id="a grant of 17 segments"),
    ],
)
def test_bad_claims_are_refused(expected: str, changes: dict[str, Any]) -> None:
    """Each fault of a claim has its own cause for the log."""
    assert expected == cause(verifier(), sign(claims(**changes), KEY))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"exp": NOW + 0.5}, id="half a second to live"),
        pytest.param({"iat": NOW - 0.5, "exp": NOW + 1}, id="issued half a second ago"),
        pytest.param({"iat": NOW - 86399, "exp": NOW + 1}, id="a day to the second"),
        pytest.param({"nbf": NOW}, id="valid from now"),
        pytest.param({"scope": " ".join(f"a:{n}" for n in range(1000))}, id="1,000 grants"),
        pytest.param(
            {"scope": ":".join("a" * 16) + " " + "b" * 256}, id="a grant of 16 segments and one of 256 letters"
        ),
        pytest.param({"scope": None}, id="no scope"),
    ],
)
def test_claims_within_the_limits_are_accepted(changes: dict[str, Any]) -> None:
    """A value just within a limit is accepted."""
    assert "alice" == verifier().verify(sign(claims(**changes), KEY)).subject


@pytest.mark.parametrize(("leeway", "age", "good"), [(0, 0, False), (5, 4, True), (5, 5, False)])
def test_leeway_widens_expiry_and_no_more(leeway: float, age: float, good: bool) -> None:
    """A token is valid until its expiry plus the leeway, exclusively."""
    clock = Clock(float(NOW))
    checker = verifier(trusted(leeway=leeway), clock=clock)
    token = sign(claims(), KEY)
    clock.now = NOW + 300 + age
    assert good is (cause_or_none(checker, token) is None)


def cause_or_none(checker: Verifier, token: str) -> str | None:
    try:
        checker.verify(token)
    except InvalidToken as error:
        return error.cause
    return None


def test_leeway_does_not_mend_dates_that_contradict_each_other() -> None:
    """A token issued after its own expiry is refused, even if the leeway covers both dates."""
    assert "lifetime" == cause(verifier(trusted(leeway=60)), sign(claims(iat=NOW + 5, exp=NOW - 5), KEY))


def test_a_token_without_a_client() -> None:
    """A profile may have tokens without a client."""
    body = claims(client_id=None, typ="Bearer", azp=None)
    assert None is verifier(trusted(profile=KEYCLOAK)).verify(sign(body, KEY, typ="JWT")).client


def test_a_cached_token_expires() -> None:
    """The same token is served from the cache until it expires, and never after."""
    clock = Clock(float(NOW))
    checker = verifier(clock=clock)
    token = sign(claims(), KEY)
    first = checker.verify(token)
    clock.now = NOW + 299.9
    assert first is checker.verify(token)
    clock.now = NOW + 300
    assert "expired" == cause(checker, token)


def test_the_result_is_stable() -> None:
    """The same token gets the same result a thousand times."""
    checker = verifier()
    good, bad = sign(claims(), KEY), sign(claims(aud="x"), KEY)
    assert {"alice"} == {checker.verify(good).subject for _ in range(1000)}
    assert {"audience"} == {cause(checker, bad) for _ in range(100)}


class Keys:
    """A source whose keys can be changed, and which can fail."""

    def __init__(self, *keys: SigningKey) -> None:
        self.generation = 1
        self.lookups = 0
        self.error: Exception | None = None
        self.seconds = 1e9
        self.hold(*keys)

    def hold(self, *keys: SigningKey) -> None:
        self.static_keys = StaticKeys.from_jwks({"keys": [key.public_jwk() for key in keys]})
        self.generation += 1

    def find(self, kid: str | None, algorithm: str, *, wait: bool = True, age: float = 0.0) -> Any:
        self.lookups += 1
        if self.error is not None:
            raise self.error
        return self.static_keys.find(kid, algorithm, wait=wait)

    def usable_for(self) -> float:
        return self.seconds

    def start(self, worker: Any) -> None: ...

    def status(self) -> Any: ...


def test_a_removed_key_invalidates_its_cached_tokens() -> None:
    """A token is verified again when its issuer's keys change, and refused when its key is gone."""
    keys = Keys(KEY)
    checker = verifier(trusted(keys=keys))
    token = sign(claims(), KEY)
    checker.verify(token)
    keys.hold(SigningKey.generate("ES256", kid="k2"))
    assert "unknown_key" == cause(checker, token)


def test_an_unconfigured_issuer_costs_no_look_up() -> None:
    """Neither another issuer nor an algorithm outside ALGORITHMS causes a key look-up."""
    keys = Keys(KEY)
    checker = verifier(trusted(keys=keys))
    assert "issuer" == cause(checker, sign(claims(iss="https://other.test"), KEY))
    assert "algorithm" == cause(checker, sign(claims(), SigningKey.generate("RS256", kid="k1")))
    assert 0 == keys.lookups


def test_a_cached_token_is_not_served_on_keys_that_are_too_old() -> None:
    """When the keys may not be used any more, a cached token is verified again."""
    keys, clock = Keys(KEY), Clock(float(NOW))
    checker = verifier(trusted(keys=keys), clock=clock)
    keys.seconds = 10
    token = sign(claims(), KEY)
    assert [1, 1, 2] == [(checker.verify(token), keys.lookups)[1] for clock.now in (NOW, NOW + 9, NOW + 10)]


@pytest.mark.parametrize("step", [-3600, 3600])
def test_no_step_of_the_clock_lengthens_the_life_of_keys(step: float) -> None:
    """The age of keys is measured by the monotonic clock, so setting the other clock does not extend it."""
    keys, clock, steady = Keys(KEY), Clock(float(NOW)), Clock(float(NOW))
    checker = Verifier([trusted(keys=keys)], EMPTY_POLICY, clock=clock, monotonic=steady)
    keys.seconds = 10
    token = sign(claims(iat=NOW - 7200, exp=NOW + 7200), KEY)
    checker.verify(token)
    clock.now += step
    steady.now += 9
    keys.seconds -= 9
    checker.verify(token)
    steady.now += 1
    keys.error = KeysUnavailable("too old")
    with pytest.raises(KeysUnavailable):
        checker.verify(token)


def test_no_frame_of_ours_holds_the_token() -> None:
    """A traceback with its locals, as error trackers render it, shows nothing of the token or its claims."""
    token = sign(claims(secret="hunter2", aud="x"), KEY)
    try:
        verifier().verify(token)
    except InvalidToken as error:
        frames = traceback.TracebackException.from_exception(error, capture_locals=True).stack
    ours = [str(frame.locals) for frame in frames if "jwt_lp" in frame.filename and "test" not in frame.filename]
    assert [] == [text for text in ours if "hunter2" in text or token.split(".")[1][:20] in text]
    assert {"verify", "_verify"} <= {frame.name for frame in frames}


def test_a_refused_token_leaves_no_reference_cycle() -> None:
    """A flood of bad tokens makes no reference cycles: memory is freed at once."""
    checker, token = verifier(), sign(claims(aud="x"), KEY)
    gone: list[weakref.ref[InvalidToken]] = []
    gc.disable()
    try:
        try:
            checker.verify(token)
        except InvalidToken as error:
            gone.append(weakref.ref(error))
        assert None is gone[0]()
    finally:
        gc.enable()


@pytest.mark.parametrize("error", [KeysUnavailable("down"), KeysPending("fetch")])
def test_missing_keys_are_unavailable(error: Exception) -> None:
    """If no key can be had, KeysUnavailable is raised, and nothing is cached."""
    keys = Keys(KEY)
    checker = verifier(trusted(keys=keys))
    keys.error = error
    with pytest.raises(type(error)):
        checker.verify(sign(claims(), KEY))
    keys.error = None
    assert "alice" == checker.verify(sign(claims(), KEY)).subject


def test_keys_belong_to_their_issuer() -> None:
    """A key of issuer B with the same kid signs nothing for issuer A (RFC 8725, section 3.8)."""
    other = SigningKey.generate("ES256", kid="k1")
    checker = verifier(trusted(), trusted(other, name="other", issuer="https://other.test"))
    assert "signature" == cause(checker, sign(claims(), other))
    assert "other" == checker.verify(sign(claims(iss="https://other.test"), other)).issuer_name


def test_a_token_that_expires_while_keys_are_fetched_is_expired() -> None:
    """The clock is read after the wait for keys, not before."""
    clock = Clock(float(NOW))

    class Slow(Keys):
        def find(self, kid: str | None, algorithm: str, *, wait: bool = True, age: float = 0.0) -> Any:
            clock.now += 2
            return super().find(kid, algorithm, wait=wait, age=age)

    assert "expired" == cause(verifier(trusted(keys=Slow(KEY)), clock=clock), sign(claims(exp=NOW + 1), KEY))


def test_a_forged_token_that_expired_is_forged() -> None:
    """The signature is checked before any claim (RFC 7519, section 7.2)."""
    forged = sign(claims(exp=NOW - 5), SigningKey.generate("ES256", kid="k1"))
    assert "signature" == cause(verifier(), forged)


def test_patterns_count_only_where_the_operator_says_so() -> None:
    """`*` is an ordinary character unless the issuer is ours or marked PATTERNS."""
    token = sign(claims(scope="orders:*"), KEY)
    assert [False, True, True] == [
        "orders:read" in verifier(trusted(**marks)).verify(token).permissions
        for marks in cast("list[dict[str, Any]]", [{}, {"patterns": True}, {"own": True}])
    ]


def test_more_patterns_than_are_read() -> None:
    """64 patterns are read and one more refuses the token; as plain text they do not count."""
    token = sign(claims(scope=" ".join(f"a{n}:*" for n in range(65))), KEY)
    assert "too_many_patterns" == cause(verifier(trusted(patterns=True)), token)
    assert "alice" == verifier().verify(token).subject


POLICY = Policy.from_mapping(
    {
        "version": 1,
        "permissions": {},
        "roles": {
            "clerk": {"grants": ["orders:*"], "from": ["role:Orders.Clerk", "scope:access_as_user"]},
            "all": {"grants": ["**"]},
        },
    }
)


def test_outside_roles_confer_what_the_policy_lists() -> None:
    """An outside role confers a role of ours only if the policy lists it; others are ignored and counted."""
    token = sign(claims(scope="openid", roles=["Orders.Clerk", "clerk", "all"]), KEY)
    verified = verifier(trusted(profile=RFC9068, own=False), policy=POLICY).verify(token)
    assert ("clerk",) == verified.roles
    own = verifier(trusted(own=True), policy=POLICY).verify(sign(claims(roles=["clerk", "nobody"]), KEY))
    assert (("clerk",), 1) == (own.roles, own.ignored_roles)
    assert "orders:list" in own.permissions
    assert "orders:4:read" not in own.permissions


def test_the_ceiling_bounds_what_an_issuer_confers() -> None:
    """With CEILING a permission is held only if both the token and the ceiling cover it."""
    from jwt_lp import Grant, Permissions

    ceiling = Permissions.of([Grant("orders:*", "CEILING", pattern=True)])
    token = verifier(trusted(own=True, ceiling=ceiling)).verify(sign(claims(scope="** bills:read"), KEY))
    assert (True, False) == ("orders:read" in token.permissions, "bills:read" in token.permissions)


def test_a_providers_ceiling_bounds_the_users_roles() -> None:
    """In Entra a client acting for an administrator holds what its own scopes cover (low-trust client)."""
    body = claims(
        scope=None, client_id=None, azp="web", azpacr="0", ver="2.0", scp="bills:read", roles=["Orders.Clerk"]
    )
    token = verifier(trusted(profile=ENTRA), policy=POLICY).verify(sign(body, KEY, typ="JWT"))
    assert "orders:list" not in token.permissions


def test_a_token_of_our_own_for_another_service() -> None:
    """For our own issuer the remedy is an exchange by the caller; for another, to request another token."""
    token = sign(claims(aud="x"), KEY)
    exchange = f'have the caller exchange it for one for "{AUDIENCE}" (OnBehalfOf)'
    narrow = f"{exchange}, or correct AUDIENCE if this service is meant"
    resource = f'have the client ask for the resource "{AUDIENCE}" (RFC 8707), or AUDIENCE name what is sent'
    for own, remedy in ((True, narrow), (False, resource)):
        with pytest.raises(InvalidToken) as caught:
            verifier(trusted(own=own)).verify(token)
        assert caught.value.detail.endswith(f": {remedy}")


def test_cognito_names_the_audience_in_another_claim() -> None:
    """A Cognito access token has no `aud`; the client's id is compared with AUDIENCE instead."""
    body = claims(aud=None, client_id=AUDIENCE, token_use="access", scope="orders/read")
    checker = verifier(trusted(profile=COGNITO))
    assert AUDIENCE == checker.verify(sign(body, KEY, typ=None)).client
    assert "audience" == cause(checker, sign({**body, "client_id": "other"}, KEY, typ=None))


def test_a_development_key_is_used_besides_the_issuers() -> None:
    """A token of the development key is verified under the issuer it names, and marked."""
    key = SigningKey.generate("ES256", kid="development-1")
    rsa = SigningKey.generate("RS256", kid="k1")
    development = StaticKeys.from_jwks({"keys": [key.public_jwk()]})
    checker = verifier(trusted(rsa, development=development))
    assert (True, False) == (
        checker.verify(sign(claims(), key)).development,
        checker.verify(sign(claims(), rsa)).development,
    )
    assert "algorithm" == cause(verifier(trusted(rsa)), sign(claims(), key))


def test_a_token_without_kid_is_never_a_development_token() -> None:
    """An issuer's own token without `kid` is verified with its keys, even if a development key fits."""
    own, key = SigningKey.generate("ES256"), SigningKey.generate("ES256", kid="development-1")
    development = StaticKeys.from_jwks({"keys": [key.public_jwk()]})
    token = jwt.encode(claims(), own._key, algorithm="ES256", headers={"typ": "at+jwt"})
    assert not verifier(trusted(own, development=development)).verify(token).development


def test_signature_alone() -> None:
    """`verify_signature` returns header and payload for a good signature, and refuses another."""
    token = sign(claims(), KEY)
    keys = StaticKeys.from_jwks({"keys": [KEY.public_jwk()]})
    header, payload = verify_signature(token, keys)
    assert ("ES256", claims()) == (header["alg"], json.loads(payload))
    with pytest.raises(InvalidToken):
        verify_signature(token[:-4] + "AAAA", keys)


@pytest.mark.parametrize(
    "cnf",
    [
        *(
            {"jkt": "0ZcO"},
            {"x5t#S256": "bwcK"},
            {"jwk": {"kty": "oct", "k": "AAAA"}},
            {"jwe": "a.b.c.d.e"},
            {"kid": "k1"},
        ),
        *({"jku": "https://a.test/keys", "kid": "k1"}, {"osc": {}}, {"new": 1}, {"jkt": "0ZcO", "x5t#S256": "bwcK"}),
        *({}, [], "jkt", ["jkt"], None, True, 0),
    ],
    ids=str,
)
def test_a_token_that_is_bound_to_a_key_is_no_bearer_token(cnf: Any) -> None:
    """Any `cnf`, whatever its method or its shape, is refused, and a second time too (RFC 7800, 8705 and 9449)."""
    checker = verifier()
    token = sign(claims() | {"cnf": cnf}, KEY)
    assert ["sender_constrained"] * 2 == [cause(checker, token) for _ in range(2)]


@pytest.mark.parametrize(
    ("cnf", "accepted", "good"),
    [
        ({"jkt": "0ZcO"}, ["jkt"], True),
        ({"jkt": "0ZcO"}, ["jkt", "x5t#S256"], True),
        ({"jkt": "0ZcO", "x5t#S256": "bwcK"}, ["jkt", "x5t#S256"], True),
        ({"jkt": "0ZcO", "x5t#S256": "bwcK"}, ["jkt"], False),
        ({"x5t#S256": "bwcK"}, ["jkt"], False),
        ({"new": 1}, ["jkt"], False),
        ({}, ["jkt"], False),
        ("jkt", ["jkt"], False),
        (["jkt"], ["jkt"], False),
        (None, ["jkt"], False),
    ],
    ids=str,
)
def test_confirmation_methods_are_accepted_by_name(cnf: Any, accepted: list[str], good: bool) -> None:
    """A bound token is accepted only if each of its methods is configured for its issuer."""
    checker = verifier(trusted(sender_constrained=frozenset(accepted)))
    token = sign(claims() | {"cnf": cnf}, KEY)
    assert (None if good else "sender_constrained") == cause_or_none(checker, token)


@pytest.mark.parametrize(
    ("cnf", "named"),
    [
        ({"x5t#S256": "bwcK", "jkt": "0ZcO"}, "jkt, x5t#S256"),
        ({}, "no method"),
        ({"\n" + "x" * 99: 1}, "\\n" + "x" * 78 + "…"),
    ],
    ids=["two", "none", "odd"],
)
def test_the_refusal_of_a_bound_token_says_why(cnf: Any, named: str) -> None:
    """The log names the methods and the remedy, but no key."""
    with pytest.raises(InvalidToken) as caught:
        verifier().verify(sign(claims(cnf=cnf), KEY))
    assert (
        f"the token is bound to a key (cnf: {named}), and no proof of that key is checked here: have the client "
        "send a bearer token, set DPOP for proofs of jkt, or name the method in SENDER_CONSTRAINED where a gateway in "
        "front checks the proof"
    ) == caught.value.detail


# Two exceptions are stated: RFC 9864's algorithm names, and dates with a fraction, which are compared exactly.
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 2),
    st.integers(NOW - 400, NOW + 400),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.sampled_from([ISSUER, AUDIENCE, "ES256", "none", "JWT", "at+jwt", str(NOW + 300), "k1"]),
    st.lists(st.sampled_from([AUDIENCE, "x", ""]), max_size=3),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
)
NAMES = st.sampled_from(["iss", "sub", "aud", "iat", "exp", "nbf", "jti", "client_id", "scope", "nonce", "roles"])
HEADERS = st.sampled_from(["alg", "kid", "typ", "cty", "crit", "b64", "zip", "jku", "x"])
MANGLING = st.one_of(
    st.just(lambda text: text),
    st.builds(
        lambda at, char: lambda text: text[: at % (len(text) + 1)] + char + text[at % (len(text) + 1) :],
        st.integers(0, 900),
        st.sampled_from(["=", ".", "-", "_", "A", " ", "\n", "\x00", "+", "é"]),
    ),
    st.builds(lambda at: lambda text: text[: at % len(text)] + text[at % len(text) + 1 :], st.integers(0, 900)),
)


@examples(600)
@given(st.dictionaries(NAMES, VALUES, max_size=3), st.dictionaries(HEADERS, VALUES, max_size=2), MANGLING)
def test_never_accepts_what_pyjwt_refuses(changes: dict[str, Any], header: dict[str, Any], mangle: Any) -> None:
    """For any claims, header and changed character, `jwt.decode` accepts what is accepted here."""
    head = json.dumps({"alg": "ES256", "kid": "k1", "typ": "at+jwt", **header}).encode()
    body = json.dumps({**claims(), **changes}).encode()
    text = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (head, body))
    signature = get_default_algorithms()["ES256"].sign(text.encode(), KEY._key)
    token = mangle(f"{text}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}")
    if cause_or_none(verifier(), token) is not None:
        return
    dates = {name: value for name, value in changes.items() if name in {"exp", "iat", "nbf"}}
    if any(isinstance(value, float) for value in dates.values()):
        return
    options = {
        "require": ["exp", "iat", "iss", "sub", "aud"],
        "verify_exp": False,
        "verify_nbf": False,
        "verify_iat": False,
    }
    decoded = jwt.decode(
        token,
        jwt.PyJWK(KEY.public_jwk()),
        algorithms=["ES256"],
        audience=AUDIENCE,
        issuer=ISSUER,
        options=options,  # type: ignore[arg-type]
    )
    assert NOW < decoded["exp"]
    assert NOW >= max(decoded["iat"], decoded.get("nbf", 0))


# --- clients


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"client_id": "web"}, None, id="listed"),
        pytest.param({"client_id": "other"}, "client_not_accepted", id="another"),
        pytest.param({"client_id": "WEB"}, "client_not_accepted", id="case counts"),
        pytest.param({"client_id": "other", "azp": "web"}, "client_not_accepted", id="the first claim counts"),
        pytest.param({"client_id": "web", "azp": "other"}, None, id="a claim that is not read"),
        pytest.param({"client_id": "we\nb"}, "client", id="malformed"),
    ],
)
def test_only_listed_clients_are_accepted(changes: dict[str, Any], expected: str | None) -> None:
    """The client is the claim that the profile reads, compared exactly."""
    checker = verifier(trusted(clients=frozenset({"web", "mobile"})))
    assert expected == cause_or_none(checker, sign(claims(**changes), KEY))


def test_a_token_without_a_client_is_no_listed_one() -> None:
    """Profiles that need no client accept such a token only if any client may call; the detail says what is missing."""
    profile = replace(RFC9068, required=("iat", "jti"))
    token = sign(claims(client_id=None), KEY)
    assert None is cause_or_none(verifier(trusted(profile=profile)), token)
    with pytest.raises(InvalidToken, match="names no client; CLIENTS accepts web") as caught:
        verifier(trusted(profile=profile, clients=frozenset({"web"}))).verify(token)
    assert "client_not_accepted" == caught.value.cause
