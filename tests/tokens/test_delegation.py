"""The lineage in tokens of our own."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_lp import InvalidToken
from jwt_lp.tokens.delegation import Lineage, actors

ISSUER = "https://issuer.test"
LINEAGE = {"iat": 100, "ids": ["a", "b"], "clients": ["web"]}


def test_a_token_that_was_not_downscoped_has_no_lineage() -> None:
    """Only the three lineage claims give a token a lineage."""
    assert None is Lineage.from_claims({"iss": ISSUER, "sub": "alice", "jti": "c"}, ISSUER)


def test_lineage_is_read() -> None:
    """Ancestors are of our issuer, the current actor comes first, and nothing else is assumed."""
    claims = {"lineage": LINEAGE, "act": {"sub": "shop", "act": {"sub": "gateway"}}}
    expected = Lineage(100, ((ISSUER, "a"), (ISSUER, "b")), ("web",), ("shop", "gateway"), None)
    assert expected == Lineage.from_claims(claims, ISSUER)
    assert Lineage(0.5, ((ISSUER, "a"),)) == Lineage.from_claims({"lineage": {"iat": 0.5, "ids": ("a",)}}, ISSUER)


def test_a_foreign_ancestor_is_the_first() -> None:
    """With `sub_id`, the first ancestor was made by that issuer; the others are ours."""
    sub_id = {"format": "iss_sub", "iss": "https://idp.test", "sub": "42"}
    lineage = Lineage.from_claims({"lineage": LINEAGE, "sub_id": sub_id}, ISSUER)
    assert lineage is not None
    assert (("https://idp.test", "a"), (ISSUER, "b")) == lineage.ancestors
    assert ("https://idp.test", "42") == lineage.subject


def deep(levels: int) -> dict[str, Any]:
    act: dict[str, Any] = {"sub": "c0"}
    for level in range(1, levels):
        act = {"sub": f"c{level}", "act": act}
    return act


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"act": {"sub": "shop"}}, id="an actor without lineage"),
        pytest.param({"sub_id": {"format": "iss_sub", "iss": "i", "sub": "s"}}, id="a subject without lineage"),
        pytest.param({"lineage": None}, id="null"),
        pytest.param({"lineage": []}, id="a list"),
        pytest.param({"lineage": {}}, id="empty"),
        pytest.param({"lineage": {"iat": 1}}, id="no ids"),
        pytest.param({"lineage": {"iat": 1, "ids": []}}, id="no id"),
        pytest.param({"lineage": {"iat": 1, "ids": "a"}}, id="ids as text"),
        pytest.param({"lineage": {"iat": 1, "ids": [1]}}, id="a number for an id"),
        pytest.param({"lineage": {"iat": 1, "ids": [""]}}, id="an empty id"),
        pytest.param({"lineage": {"iat": 1, "ids": ["a\n"]}}, id="a line end in an id"),
        pytest.param({"lineage": {"iat": 1, "ids": list("abcde")}}, id="too deep"),
        pytest.param({"lineage": {"ids": ["a"]}}, id="no date"),
        pytest.param({"lineage": {**LINEAGE, "elevations": None}}, id="null for elevations"),
        pytest.param({"lineage": {**LINEAGE, "elevations": [1]}}, id="a number for an elevation"),
        pytest.param({"lineage": {**LINEAGE, "elevations": list("abcdefghi")}}, id="too many elevations"),
        pytest.param({"lineage": {"iat": 1, "elevations": []}}, id="neither ids nor elevations"),
        pytest.param({"lineage": {"iat": 1, "elevations": ["e"]}, "act": {"sub": "shop"}}, id="an actor without ids"),
        pytest.param(
            {"lineage": {"iat": 1, "elevations": ["e"]}, "sub_id": {"format": "iss_sub", "iss": "i", "sub": "s"}},
            id="a subject without ids",
        ),
        pytest.param({"lineage": {**LINEAGE, "task": ""}}, id="an empty task"),
        pytest.param({"lineage": {**LINEAGE, "task": "a\n"}}, id="a line end in a task"),
        pytest.param({"lineage": {"iat": True, "ids": ["a"]}}, id="a bool for a date"),
        pytest.param({"lineage": {"iat": "1", "ids": ["a"]}}, id="text for a date"),
        pytest.param({"lineage": {"iat": -1, "ids": ["a"]}}, id="a negative date"),
        pytest.param({"lineage": {"iat": 10**15, "ids": ["a"]}}, id="a date beyond the bound"),
        pytest.param({"lineage": {**LINEAGE, "clients": None}}, id="null for clients"),
        pytest.param({"lineage": {**LINEAGE, "clients": list("abcde")}}, id="too many clients"),
        pytest.param({"lineage": LINEAGE, "act": []}, id="an actor in a list"),
        pytest.param({"lineage": LINEAGE, "act": {}}, id="an actor without a name"),
        pytest.param({"lineage": LINEAGE, "act": {"sub": 1}}, id="a number for an actor"),
        pytest.param({"lineage": LINEAGE, "act": deep(5)}, id="too many actors"),
        pytest.param({"lineage": LINEAGE, "sub_id": {"iss": "i", "sub": "s"}}, id="no format"),
        pytest.param({"lineage": LINEAGE, "sub_id": {"format": "email", "email": "a"}}, id="another format"),
        pytest.param({"lineage": LINEAGE, "sub_id": {"format": "iss_sub", "iss": "", "sub": "s"}}, id="no issuer"),
        pytest.param({"lineage": LINEAGE, "sub_id": {"format": "iss_sub", "iss": "i"}}, id="no subject"),
        pytest.param({"lineage": LINEAGE, "sub_id": None}, id="null for a subject"),
    ],
)
def test_other_shapes_are_refused(claims: dict[str, Any]) -> None:
    """Any other shape is refused, because an unreadable ancestor could not be revoked."""
    with pytest.raises(InvalidToken) as caught:
        Lineage.from_claims(claims, ISSUER)
    assert "claim_type" == caught.value.cause


def test_at_most_four_actors() -> None:
    """Four actors are read, the current one first; null ends the chain like absence."""
    assert ["c3", "c2", "c1", "c0"] == list(actors(deep(4)))
    assert ["a"] == list(actors({"sub": "a", "act": None}))


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["iat", "ids", "sub", "act"]), inner),
)


@given(json, json, json)
def test_any_claims_give_a_lineage_or_a_refusal(lineage: Any, act: Any, sub_id: Any) -> None:
    """Whatever the claims are, the result is a lineage with an ancestor, None or InvalidToken."""
    try:
        lineage = Lineage.from_claims({"lineage": lineage, "act": act, "sub_id": sub_id}, ISSUER)
    except InvalidToken:
        return
    assert lineage is not None
    assert lineage.ancestors
