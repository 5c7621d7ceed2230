"""Claim sources, application rules, ceilings, and what distinguishes access tokens."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, replace
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_lp import AccessToken, ClaimProfile, ConfigurationError, InvalidToken, Permissions
from jwt_lp.tokens.claims import OPENID_SCOPES, AppRule, ClaimSource, ConferredGrants, make_token, read_only
from jwt_lp.tokens.profiles import SHIPPED_PROFILES

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
PLACES = {path for shipped in SHIPPED_PROFILES.values() for source in shipped.sources for path in source.path}
SIGNS = {rule.claim for shipped in SHIPPED_PROFILES.values() for rules in shipped.apps for rule in rules}
NAMES = st.sampled_from(sorted(PLACES | SIGNS | {"azp", "appid", "azpacr", "client_id", "cid", "jti", "iat", "nonce"}))
CLAIMS = st.dictionaries(NAMES | st.text(max_size=4), JSON, max_size=8)
PROFILES = st.sampled_from(list(SHIPPED_PROFILES.values()))


def profile(*sources, **changes):
    return ClaimProfile(name="acme", sources=sources, **changes)


def refusal(source, claims):
    with pytest.raises(InvalidToken) as caught:
        list(source.read(claims))
    return caught.value.cause, caught.value.detail


@pytest.mark.parametrize(
    ("shape", "value", "expected"),
    [
        pytest.param("text", "a:b  c", ["a:b", "c"], id="text, doubled space"),
        pytest.param("text", "", [], id="text, empty"),
        pytest.param("text", " a ", ["a"], id="text, spaces around"),
        pytest.param("text", "a\tb", ["a\tb"], id="text, a tab parts nothing"),
        pytest.param("list", ["a", "", "b c"], ["a", "b c"], id="list, one of them empty"),
        pytest.param("list", (), [], id="list, frozen and empty"),
        pytest.param("either", "a b", ["a", "b"], id="either, text"),
        pytest.param("either", ["a b"], ["a b"], id="either, list"),
        pytest.param("scim", ["a", {"value": "b", "display": "B"}], ["a", "b"], id="SCIM's objects"),
        pytest.param("scim", (MappingProxyType({"value": "b"}),), ["b"], id="SCIM's objects, frozen"),
    ],
)
def test_a_source_reads_its_shape(shape, value, expected) -> None:
    """A text is split at spaces only; the values of a list are unchanged."""
    assert [("c", "l:", tuple(expected))] == ClaimSource(("c",), "l", shape=shape).read({"c": value})


@pytest.mark.parametrize(
    ("shape", "value", "says"),
    [
        pytest.param("text", ["a"], "one space-separated string", id="a list for a text"),
        pytest.param("text", 5, "one space-separated string", id="a number for a text"),
        pytest.param("text", None, "one space-separated string", id="null for a text"),
        pytest.param("list", "a", "a list of strings", id="a text for a list"),
        pytest.param("list", {"a": 1}, "a list of strings", id="an object for a list"),
        pytest.param("list", None, "a list of strings", id="null for a list"),
        pytest.param("list", ["a", 1], "a list of strings", id="a list with a number"),
        pytest.param("list", [{"value": "a"}], "a list of strings", id="a list with an object"),
        pytest.param("either", True, "a string or a list of strings", id="a bool for either"),
        pytest.param("scim", [{"display": "a"}], "a list of strings or of objects with a value", id="no value"),
        pytest.param("scim", "a", "a list of strings or of objects with a value", id="a text for SCIM's list"),
    ],
)
def test_a_claim_of_another_shape_is_refused(shape, value, says) -> None:
    """A claim of another shape refuses the token; the explanation names only the claim."""
    assert ("claim_type", f"c is not {says}") == refusal(ClaimSource(("c",), "l", shape=shape), {"c": value})


@pytest.mark.parametrize("holder", [None, "x", [], 5], ids=ascii)
def test_the_parent_of_a_claim_must_be_an_object(holder) -> None:
    """A nested claim whose parent is not an object is refused, not read as absent."""
    source = ClaimSource(("a", "*", "roles"), "l", "roles")
    expected = ("claim_type", "a.*.roles cannot be reached: its parent is not an object")
    assert [expected, expected] == [refusal(source, {"a": holder}), refusal(source, {"a": {"k": holder}})]


def test_any_key_of_the_payload() -> None:
    """A path may begin with `*`: then every claim must be an object, and each is searched."""
    source = ClaimSource(("*", "roles"), "any", "roles")
    assert ("any:a:r", "any:b:s") == profile(source).read_grants({"a": {"roles": ["r"]}, "b": {"roles": ["s"]}}).roles
    assert "claim_type" == refusal(source, {"a": 1})[0]


def test_an_absent_claim_confers_nothing() -> None:
    """An absent claim is no fault, at any depth."""
    source = ClaimSource(("a", "*", "roles"), "l", "roles")
    tokens: list[dict[str, object]] = [{}, {"a": {}}, {"a": {"k": {}}}]
    assert [[], [], []] == [list(source.read(claims)) for claims in tokens]


def test_no_two_claims_are_known_by_one_name() -> None:
    """A key with a colon cannot make one client's role read as another's."""
    source = ClaimSource(("r", "*"), "client", "roles")
    claims = {"r": {"a": ["b:c"], "a:b": ["c"], "a%3Ab": ["c"]}}
    names = ("client:a:b:c", "client:a%3Ab:c", "client:a%253Ab:c")
    assert names == profile(source).read_grants(claims).roles


@pytest.mark.parametrize(
    ("rule", "claims", "expected"),
    [
        pytest.param(AppRule("t", equals="app"), {"t": "app"}, True, id="equals"),
        pytest.param(AppRule("t", equals="app"), {"t": "user"}, False, id="another value"),
        pytest.param(AppRule("t", equals="app"), {"t": ["app"]}, False, id="a list is no text"),
        pytest.param(AppRule("t", absent=True), {}, True, id="absent"),
        pytest.param(AppRule("t", absent=True), {"t": None}, False, id="null is not absent"),
        pytest.param(AppRule("s", same_as="c"), {"s": "x", "c": "x"}, True, id="the same"),
        pytest.param(AppRule("s", same_as="c", suffix="@c"), {"s": "x@c", "c": "x"}, True, id="with the suffix"),
        pytest.param(AppRule("s", same_as="c", suffix="@c"), {"s": "x", "c": "x"}, False, id="without it"),
        pytest.param(AppRule("s", same_as="c"), {}, False, id="both absent"),
        pytest.param(AppRule("s", same_as="c"), {"s": 1, "c": 1}, False, id="two numbers"),
    ],
)
def test_an_application_rule(rule, claims, expected) -> None:
    """A rule matches only strings, or an absent claim."""
    assert expected is rule.matches(claims)


def test_a_token_that_matches_no_group_of_rules_is_a_users() -> None:
    """All rules of one group must match, and a profile without groups knows no applications."""
    both = ((AppRule("a", absent=True), AppRule("b", absent=True)),)
    assert [False, True, False] == [
        profile().is_app({}),
        profile(apps=both).is_app({}),
        profile(apps=both).is_app({"a": 1}),
    ]


def test_sources_add_up_once_each() -> None:
    """Values keep their order, claim and outside name, and have no duplicates."""
    acme = profile(
        ClaimSource(("scope",), "scope", shape="text"),
        ClaimSource(("x", "permissions"), "permission"),
        ClaimSource(("roles",), "role", "roles"),
    )
    claims = {"scope": "a b a", "x": {"permissions": ["a"]}, "roles": ["a", "r"]}
    conferred = acme.read_grants(claims)
    assert (("a", "scope"), ("b", "scope"), ("a", "x.permissions")) == conferred.grants
    assert ("scope:a", "scope:b", "permission:a", "role:a", "role:r") == conferred.external_names
    assert ("role:a", "role:r") == conferred.roles


@pytest.mark.parametrize(
    "value",
    [
        *(pytest.param(scope, id=scope) for scope in sorted(OPENID_SCOPES)),
        pytest.param("a\tb", id="tab"),
        pytest.param("a\nb", id="newline"),
        pytest.param('a"b', id="quote"),
        pytest.param("bestellung:lösen", id="not ASCII"),
    ],
)
def test_values_that_no_route_can_require_are_no_grants(value) -> None:
    """OpenID's scopes and values that are no scope tokens grant nothing, but may be mapped to a role."""
    acme = profile(ClaimSource(("scope",), "scope", shape="text"))
    conferred = acme.read_grants({"scope": value})
    assert ((), (f"scope:{value}",)) == (conferred.grants, conferred.external_names)


def test_each_value_is_judged_alone() -> None:
    """One value that is no permission takes away neither the others nor their order, and each place counts once."""
    places = (("a", "a:", ("x", "", "openid", 'q"', "y")), ("b", "b:", ("y", "x", "y")), ("a", "a:", ("x", "z")))
    expected = (("x", "a"), ("y", "a"), ("y", "b"), ("x", "b"), ("z", "a"))
    assert expected == ConferredGrants(places, (), OPENID_SCOPES).grants


def test_when_a_source_counts() -> None:
    """A source counts always, or only in tokens of users, or only in those of applications."""
    acme = profile(
        ClaimSource(("a",), "a"),
        ClaimSource(("u",), "u", when="users"),
        ClaimSource(("p",), "p", when="apps"),
        apps=((AppRule("app", equals="yes"),),),
    )
    claims = {"a": ["1"], "u": ["2"], "p": ["3"]}
    conferred = [acme.read_grants(claims), acme.read_grants({**claims, "app": "yes"})]
    assert [("a:1", "u:2"), ("a:1", "p:3")] == [grants.external_names for grants in conferred]


def test_a_ceiling_counts_without_its_claim() -> None:
    """A token without the ceiling's claim holds nothing, not everything."""
    acme = profile(ceiling=(ClaimSource(("scope",), "scope", shape="text"),))
    assert ConferredGrants((), (), OPENID_SCOPES) == acme.read_ceiling({})


def test_a_ceiling_for_users_leaves_applications_alone() -> None:
    """If no source of the ceiling applies there is no ceiling, which differs from an empty one."""
    scope = ClaimSource(("scope",), "scope", shape="text", when="users")
    acme = profile(ceiling=(scope,), apps=((AppRule("app", equals="yes"),),))
    assert [None, None] == [acme.read_ceiling({"app": "yes", "scope": "a"}), profile().read_ceiling({"scope": "a"})]


def test_names_that_raise_the_ceiling_alone() -> None:
    """A ceiling has each outside name with and without `ceiling:`; grants have it only without."""
    scope = ClaimSource(("scope",), "scope", shape="text")
    acme = profile(scope, ceiling=(scope,))
    claims = {"scope": "a openid"}
    names = ("scope:a", "scope:openid", "ceiling:scope:a", "ceiling:scope:openid")
    conferred = [acme.read_grants(claims), acme.read_ceiling(claims)]
    assert [(("a", "scope"),)] * 2 == [grants.grants for grants in conferred]
    assert [names[:2], names] == [grants.external_names for grants in conferred]


@pytest.mark.parametrize(
    ("substitute", "claims", "expected"),
    [
        pytest.param(None, {"aud": "a"}, ("aud", "a"), id="aud"),
        pytest.param(None, {"client_id": "c"}, ("aud", None), id="no aud and no substitute"),
        pytest.param("client_id", {"client_id": "c"}, ("client_id", "c"), id="the substitute"),
        pytest.param("client_id", {"client_id": "c", "aud": "a"}, ("aud", "a"), id="aud before the substitute"),
        pytest.param("client_id", {"client_id": "c", "aud": None}, ("aud", None), id="even a null aud"),
        pytest.param("client_id", {}, ("client_id", None), id="neither"),
    ],
)
def test_the_audience_claim(substitute, claims, expected) -> None:
    """The substitute is read only if the token has no audience claim."""
    assert expected == profile(substitute=substitute).audience_claim(claims)


TYP = "the header's typ is"
WANTED = "access tokens here have at+jwt or none"


@pytest.mark.parametrize(
    ("typ", "expected"),
    [
        pytest.param("at+jwt", None, id="as it is"),
        pytest.param("AT+JWT", None, id="case does not matter"),
        pytest.param("application/at+jwt", None, id="with the prefix"),
        pytest.param("Application/AT+jwt", None, id="with the prefix in another case"),
        pytest.param(None, None, id="absent"),
        pytest.param("", f"{TYP} ''; {WANTED}", id="empty is not absent"),
        pytest.param("application/", f"{TYP} 'application/'; {WANTED}", id="the prefix alone is not absent"),
        pytest.param("JWT", f"{TYP} 'JWT'; {WANTED}", id="another"),
        pytest.param("application/application/at+jwt", f"{TYP} 'application/application/at+jwt'; {WANTED}", id="twice"),
        pytest.param("at+\u212awt", f"{TYP} 'at+\\u212awt'; {WANTED}", id="not ASCII"),
        pytest.param("at+jwt\n", f"{TYP} 'at+jwt\\n'; {WANTED}", id="newline"),
        pytest.param(["at+jwt"], f"{TYP} no string; {WANTED}", id="a list"),
        pytest.param("x" * 99, f"{TYP} '{'x' * 79}...; {WANTED}", id="cut where it is long"),
    ],
)
def test_the_type_in_the_header(typ, expected) -> None:
    """The type is compared without case and prefix, an absent one is distinct, and it is shown escaped."""
    fault = profile(types=frozenset({"", "at+jwt"})).fault(typ, {"sub": "s"})
    assert (None if expected is None else ("typ", expected)) == fault


ACME = profile(
    required=("iat",),
    any_of=(("azp", "appid"),),
    expected=MappingProxyType({"use": frozenset({"access", "api"})}),
    remedies=MappingProxyType({"not_access_token": "ask for another", "audience": 'add "{value}", {value}'}),
)
GOOD = MappingProxyType({"sub": "s", "iat": 1, "azp": "c", "use": "access"})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, None, id="good"),
        pytest.param({"azp": None, "appid": "c"}, "client", id="one of a group, the other null"),
        pytest.param({"iat": None}, "there is no iat, which access tokens have", id="required is null"),
        pytest.param({"azp": None}, "there is no azp or appid, which access tokens have", id="none of a group"),
        pytest.param({"use": "id"}, "use is 'id'; access tokens have 'access' or 'api'", id="another value"),
        pytest.param({"use": None}, "use is absent; access tokens have 'access' or 'api'", id="no value"),
        pytest.param({"use": {}}, "use is no string; access tokens have 'access' or 'api'", id="no text"),
        pytest.param({"nonce": None}, "there is nonce, which access tokens do not have", id="nonce, even null"),
        pytest.param({"events": {}}, "there is events, which access tokens do not have", id="a logout token"),
        pytest.param({"at_hash": "x"}, "there is at_hash, which access tokens do not have", id="at_hash"),
        pytest.param({"c_hash": "x"}, "there is c_hash, which access tokens do not have", id="c_hash"),
        pytest.param({"s_hash": "x"}, "there is s_hash, which access tokens do not have", id="s_hash"),
    ],
)
def test_other_tokens_are_refused(changes, expected) -> None:
    """A missing, a wrong and a forbidden claim each mark another kind of token; the fault names the remedy."""
    fault = ACME.fault("at+jwt", {**GOOD, **changes})
    if expected in (None, "client"):
        assert expected == (fault and fault[0])
    else:
        assert ("not_access_token", f"{expected}: ask for another") == fault


@pytest.mark.parametrize(
    ("name", "cause"), [("sub", "subject"), ("azp", "client"), ("client_id", "client"), ("jti", "claim_type")]
)
@pytest.mark.parametrize("value", ["", 5, True, ["x"], {"x": 1}, "a\nb", "a\x00b", "a\u202eb", "\ud800"], ids=ascii)
def test_names_are_printable_texts(name, cause, value) -> None:
    """Subject, client and token id must be printable, because they reach logs and keys."""
    expected = (cause, f"{name} is not a non-empty string of printable characters")
    assert expected == ACME.fault("at+jwt", {**GOOD, name: value})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"sub": "Müller, Ä 1"}, None, id="not ASCII, with spaces"),
        pytest.param({"jti": "x", "client_id": "y"}, None, id="all there"),
        pytest.param({"jti": None}, "claim_type", id="the token id is null"),
    ],
)
def test_names_may_be_absent_but_for_the_subject(changes, expected) -> None:
    """A client and a token id are checked if they are present; the subject is required."""
    without = {name: value for name, value in GOOD.items() if name != "sub"}
    fault = ACME.fault("at+jwt", {**GOOD, **changes})
    assert [expected, "subject"] == [fault and fault[0], ACME.fault("at+jwt", without)[0]]


def test_a_remedy_names_what_was_expected() -> None:
    """The expected value replaces each placeholder; an unknown cause has no remedy."""
    assert ['add "{x}", {x}', ""] == [ACME.remedy("audience", "{x}"), ACME.remedy("else", "x")]


def cause(read, claims):
    """Return why the claims cannot be read, or None."""
    try:
        read(claims)
    except InvalidToken as error:
        return error.cause
    return None


@given(PROFILES, CLAIMS, JSON)
def test_no_claims_break_a_profile(shipped, claims, typ) -> None:
    """Whatever JSON a token holds, the only exception is `InvalidToken`, and a fault is one line of ASCII."""
    assert {None, "claim_type"} >= {cause(read, claims) for read in (shipped.read_grants, shipped.read_ceiling)}
    fault = shipped.fault(typ, claims)
    assert fault is None or (fault[1].isascii() and fault[1].isprintable())


@given(PROFILES, CLAIMS)
def test_a_profile_reads_frozen_claims_alike(shipped, claims) -> None:
    """Read-only claims confer the same as the original claims."""

    def read(given_claims):
        try:
            return shipped.read_grants(given_claims), shipped.read_ceiling(given_claims)
        except InvalidToken as error:
            return str(error)

    assert read(claims) == read(read_only(claims))


@given(JSON)
def test_read_only_claims_are_equal(value) -> None:
    """Read-only claims, made mutable again, equal the original."""

    def thawed(value):
        if isinstance(value, MappingProxyType):
            return {key: thawed(child) for key, child in value.items()}
        return [thawed(child) for child in value] if isinstance(value, tuple) else value

    assert {"a": value} == thawed(read_only({"a": value}))


def test_claims_are_read_only_at_every_depth() -> None:
    """Neither the payload nor anything in it can be changed, and the original is not shared."""
    original: Any = {"a": [{"b": [1]}]}
    claims: Any = read_only(original)
    original["a"][0]["b"].append(2)
    with pytest.raises(TypeError):
        claims["a"][0]["c"] = 1
    assert (1,) == claims["a"][0]["b"]


def token(**changes):
    return AccessToken(
        **{
            "issuer": "https://issuer.example/",
            "issuer_name": "acme",
            "subject": "s",
            "client": None,
            "permissions": Permissions(),
            "_claims": {},
            "issued_at": 0.0,
            "expires_at": 1.0,
            "token_id": None,
            "roles": (),
            "fingerprint": "0a1b2c",
            **changes,
        }
    )


def test_a_token_shows_nothing_of_itself() -> None:
    """The repr is the fingerprint and the issuer's name in the settings."""
    assert "<AccessToken 0a1b2c from acme>" == repr(token(_claims={"secret": "x"}))


def test_tokens_are_compared_by_identity() -> None:
    """Two tokens are never equal, however alike, and each can be a dict key."""
    one, other = token(), token()
    assert [True, False, 2] == [one == one, one == other, len({one, other})]  # noqa: PLR0124


def test_a_token_is_made_of_its_fields_in_order() -> None:
    """`make_token` gives the token that the class itself makes, frozen like any other, and without a guard's state."""
    names = [field.name for field in fields(AccessToken) if field.init]
    made = make_token(*names)
    usual = AccessToken(**{name: name for name in names})  # type: ignore[arg-type]
    assert AccessToken is type(made)
    assert [getattr(usual, name) for name in AccessToken.__slots__] == [
        getattr(made, name) for name in AccessToken.__slots__
    ]
    assert (None, "other") == (made.token_state, replace(made, subject="other").subject)
    with pytest.raises(FrozenInstanceError):
        made.subject = "other"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        del made.subject
    with pytest.raises(ValueError, match="values to unpack"):
        make_token(*names, "one more")


def test_a_token_is_never_request_data() -> None:
    """FastAPI refuses a view that would read an `AccessToken` from the body, and says what to write."""
    fastapi = pytest.importorskip("fastapi")
    app = fastapi.FastAPI()

    def view(token: AccessToken):
        """A view without `Requires`."""

    with pytest.raises(ConfigurationError) as caught:
        app.post("/orders")(view)
    expected = (
        "AccessToken is never read from the request's data: "
        'annotate the parameter as Annotated[AccessToken, Requires("…")]'
    )
    assert (expected,) == caught.value.faults
