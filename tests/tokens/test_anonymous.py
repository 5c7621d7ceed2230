"""The anonymous token holds nothing, and no guard takes it for a verified one."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime

import pytest

from jwt_lp import ANONYMOUS, AUTHENTICATED, AccessToken, all_of
from jwt_lp.testing.authority import Authority


def test_it_holds_nothing() -> None:
    """It is false, names nobody, and has no permission and no claim."""
    assert isinstance(ANONYMOUS, AccessToken)
    assert ANONYMOUS.is_anonymous
    assert not ANONYMOUS
    assert ("", "", "", None, None, "") == (
        ANONYMOUS.subject,
        ANONYMOUS.issuer,
        ANONYMOUS.issuer_name,
        ANONYMOUS.client,
        ANONYMOUS.token_id,
        ANONYMOUS.fingerprint,
    )
    assert ([], {}, (), False) == (
        list(ANONYMOUS.permissions),
        dict(ANONYMOUS.claims),
        ANONYMOUS.roles,
        "orders:list" in ANONYMOUS.permissions,
    )
    assert "<AccessToken anonymous>" == repr(ANONYMOUS)


def test_every_guard_refuses_it() -> None:
    """Given to a guard as the token, it is refused like a request without a credential, in observe mode too."""
    authority = Authority()
    for observing in ({}, {"OBSERVE_UNTIL": datetime.now(UTC).date()}):
        with authority.guard(**observing) as guard:
            for requirement in (AUTHENTICATED, all_of("orders:list"), None):
                refusal = guard.authorize(ANONYMOUS, requirement, {}, "GET /orders").refusal
                assert refusal is not None
                assert (401, None) == (refusal.status, refusal.error)
            assert not guard.can(ANONYMOUS, AUTHENTICATED)
            assert not guard.can(ANONYMOUS, all_of("orders:list"))


def test_a_verified_token_is_not_anonymous() -> None:
    """A verified token is true, also one without a permission."""
    authority = Authority()
    with authority.guard() as guard:
        token = guard.authenticate(authority.headers("alice", [])["Authorization"]).token
    assert token
    assert not token.is_anonymous


def test_it_is_the_only_one() -> None:
    """It cannot be changed, copied or pickled."""
    for make in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            make(ANONYMOUS)
    with pytest.raises(AttributeError):
        ANONYMOUS.subject = "alice"  # type: ignore[misc]
