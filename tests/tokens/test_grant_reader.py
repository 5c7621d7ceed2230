"""What tokens confer is kept by the claims it was read from, and never given for other claims."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import examples
from jwt_lp import InvalidToken, StaticKeys
from jwt_lp.jose.signing import SigningKey
from jwt_lp.permissions.grants import Grant
from jwt_lp.policy.file import EMPTY_POLICY, Policy
from jwt_lp.tokens.claims import ClaimProfile, ClaimSource
from jwt_lp.tokens.grant_reader import MAX_KEPT, GrantReader
from jwt_lp.tokens.profiles import AUTH0, COGNITO, ENTRA, KEYCLOAK, OKTA, RFC9068, SHIPPED_PROFILES
from jwt_lp.tokens.trusted_issuer import TrustedIssuer

KEYS = StaticKeys.from_jwks({"keys": [SigningKey.generate("ES256").public_jwk()]})
POLICY = Policy.from_mapping(
    {
        "version": 1,
        "roles": {
            "clerk": {
                "grants": ["orders:*"],
                "from": ["role:clerk", "group:clerk", "realm:clerk", "client:web:clerk", "scope:a"],
            },
            "reach": {"grants": ["orders:read"], "from": ["ceiling:scope:b"]},
        },
    }
)


def reader(profile: ClaimProfile = RFC9068, policy: Policy = EMPTY_POLICY, **changes: Any) -> GrantReader:
    audience, algorithms = frozenset({"api"}), frozenset({"ES256"})
    issuer = TrustedIssuer("main", "https://issuer.test", audience, algorithms, profile, KEYS, **changes)
    return GrantReader(issuer, policy, several=False)


def result(grants: GrantReader, claims: dict[str, Any], app: bool) -> object:
    """What can be seen of the result, or the refusal."""
    try:
        permissions, roles, ignored_roles = grants.read(claims, app)
    except InvalidToken as refusal:
        return refusal.args
    held = [permissions.grant_for(text) for text in ("a", "b", "orders:read", "orders:list", "['a']")]
    return tuple(permissions), held, roles, ignored_roles


def test_equal_claims_share_their_permissions() -> None:
    """Claims that are not read do not matter; equal texts and equal lists give the very same permissions."""
    grants = reader()
    one = grants.read({"sub": "alice", "scope": "a b"}, False)
    assert one is grants.read({"sub": "bob", "x": [1], "scope": "a b"}, False)
    assert one is not grants.read({"scope": "b a"}, False)
    listed = grants.read({"scope": "a", "roles": ["x"]}, False)
    assert listed is grants.read({"scope": "a", "roles": ["x"]}, False)


def test_the_kind_of_token_matters() -> None:
    """The same claims of a user and of an application are read separately."""
    grants = reader(ENTRA)
    listed, text = {"roles": ["orders:read"]}, {"scp": "orders:read"}
    assert [[], [Grant("orders:read", "roles")]] == [list(grants.read(listed, app)[0]) for app in (False, True)]
    assert [[Grant("orders:read", "scp")], []] == [list(grants.read(text, app)[0]) for app in (False, True)]


def test_a_bounded_number_is_kept() -> None:
    """However many sets of grants there are, few are kept; the last is."""
    grants = reader()
    kept = [grants.read({"scope": f"a:{number}"}, False) for number in range(2 * MAX_KEPT + 5)]
    assert len(grants._kept) <= MAX_KEPT
    assert kept[-1] is grants.read({"scope": f"a:{2 * MAX_KEPT + 4}"}, False)


def test_a_refusal_is_not_kept() -> None:
    """A claim of the wrong shape is refused every time."""
    grants = reader()
    for _ in range(2):
        with pytest.raises(InvalidToken):
            grants.read({"scope": None}, False)
    assert 0 == len(grants._kept)


def test_a_source_of_any_claim_is_read_each_time() -> None:
    """Where every claim may confer something, nothing is kept."""
    grants = reader(replace(RFC9068, sources=(ClaimSource(("*", "may"), "any"),), ceiling=()))
    assert [["a"], ["b"], []] == [
        [grant.text for grant in grants.read({name: {"may": [name]} for name in names}, False)[0]]
        for names in ("a", "b", "")
    ]
    assert 0 == len(grants._kept)


CLAIMS = ("scope", "scp", "permissions", "roles", "groups", "entitlements", "realm_access", "resource_access", "wids")
OWN = ("cperm", "role_scope", "cognito:groups")
LEAVES = st.sampled_from(
    [None, True, False, 0, 1, 1.0, "", "a", "b", "a b", "clerk", "orders:read", "['a']", "(['a'],)"]
)
SHAPES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["roles", "value", "web", "clerk", "a"]), inner, max_size=2)
    ),
    max_leaves=5,
)
SEVERAL = st.lists(
    st.tuples(st.dictionaries(st.sampled_from([*CLAIMS, *OWN]), SHAPES, max_size=3), st.booleans()), max_size=8
)


@examples(300)
@given(st.sampled_from(list(SHIPPED_PROFILES)), st.booleans(), SEVERAL)
def test_what_is_kept_changes_no_result(profile: str, own: bool, several: list[tuple[dict[str, Any], bool]]) -> None:
    """After any other tokens, a token confers what it confers to a reader that never read another."""
    issuer: dict[str, Any] = {"profile": SHIPPED_PROFILES["rfc9068" if own else profile], "policy": POLICY, "own": own}
    grants = reader(**issuer)
    for claims, app in [*several, *several]:
        assert result(reader(**issuer), claims, app) == result(grants, claims, app)


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        (RFC9068, [True, False]),
        (AUTH0, [False, False]),
        (OKTA, [True, False]),
        (ENTRA, [True, False]),
        (KEYCLOAK, [False, False]),
        (COGNITO, [False, False]),
    ],
    ids=lambda value: value.name if isinstance(value, ClaimProfile) else None,
)
def test_a_ceiling_of_the_same_claims_is_not_read_again(profile: ClaimProfile, expected: list[bool]) -> None:
    """Only where the ceiling has the very sources of the permissions, it removes none and need not be read."""
    assert expected == [reader(profile)._same_ceiling[app] for app in (False, True)]


def test_a_ceiling_of_the_same_claims_still_bounds_roles() -> None:
    """With a role of the policy, the ceiling is read although its claims are those of the grants."""
    grants = reader(policy=POLICY)
    bounded = grants.read({"scope": "orders:list", "roles": ["clerk"]}, False)[0]
    assert ["orders:list", None] == [
        grant and grant.text for grant in map(bounded.grant_for, ("orders:list", "orders:read"))
    ]
