"""Edits of roles that several issuers share and other roles include."""

from __future__ import annotations

import pytest

from jwt_lp.review.plan import frozen_plan, preview
from jwt_lp.stores import open_store
from review.test_worksheet import answered
from review_factory import LATER, at, make_finding, make_review, make_use, record_uses

pytest.importorskip("sqlalchemy")
pytest.importorskip("tomlkit")

OTHER = "https://other.test"
POLICY = """version = 1
[roles.clerk]
grants = ["orders:list", "orders:read"]
[roles.lead]
grants = ["orders:list"]
includes = ["clerk"]
"""
ALONE = POLICY.partition("[roles.lead]")[0]
CLERK = make_finding("clerk", of="role", last_day="2026-01-01")
THEIRS = make_finding("clerk", of="role", issuer=OTHER, last_day="2026-02-01")
LEAD = make_finding("lead", of="role")


@pytest.fixture
def store(tmp_path):
    found = open_store(f"sqlite:///{tmp_path}/a.db")
    found.migrate()
    yield found
    found.close()


def shown(store, text, *findings):
    return preview(frozen_plan.from_review(make_review(*findings), now=at(LATER)), store, text, now=at(LATER))


def reasons(found):
    return [dropped.reason for dropped in found.dropped]


def test_a_grant_that_one_issuer_keeps_is_kept_for_all(store):
    """A decision to keep the grant for one issuer's members prevents the edit of the role."""
    read = answered(
        make_review(CLERK, THEIRS),
        decision=lambda row: "keep" if row["issuer"] == OTHER else "remove",
        reviewer="carol",
    )
    found = preview(frozen_plan.from_worksheet(read, now=at(LATER)), store, ALONE, now=at(LATER))
    assert ((), None) == (found.items, found.after)
    assert ["the decision for another issuer differs, and all issuers share the role"] == reasons(found)


def test_the_rules_keep_what_one_issuer_keeps():
    """The rules do not plan to revoke a grant that another issuer's members need."""
    kept = make_finding("clerk", of="role", issuer=OTHER, proposal="keep", verdict="used")
    assert ((), 1) == (
        frozen_plan.from_review(make_review(CLERK, kept), now=0.0).items,
        len(frozen_plan.from_review(make_review(CLERK), now=0.0).items),
    )


def test_use_before_the_review_holds_nothing_back(store):
    """Use by each issuer's members before the review is known; later use drops the item."""
    record_uses(store, make_use("orders:read", "2026-02-01", issuer=OTHER, role="clerk"))
    assert [] == reasons(shown(store, ALONE, CLERK, THEIRS))
    record_uses(store, make_use("orders:read", "2026-11-05", issuer=OTHER, role="clerk"))
    assert ["orders:read was used on 2026-11-05, after the review"] * 2 == reasons(shown(store, ALONE, CLERK, THEIRS))


def test_a_role_that_includes_it_is_decided_too(store):
    """An included grant is removed only with a decision about the including role, which is not enough alone."""
    assert ["the role lead includes it and would lose orders:read too: decide that as well"] == reasons(
        shown(store, POLICY, CLERK)
    )
    assert ["it comes through the role clerk, which keeps it"] == reasons(shown(store, POLICY, LEAD))
    both = shown(store, POLICY, CLERK, LEAD)
    assert ([], True) == (reasons(both), both.after is not None and "orders:read" not in both.after)


def test_a_role_that_is_not_there_is_left_out(store):
    """A missing policy, role or grant is named as the reason."""
    assert ["there is no policy file to edit"] == reasons(shown(store, None, CLERK))
    assert ["the policy has no role boss"] == reasons(shown(store, ALONE, make_finding("boss", of="role")))
    gone = make_finding("clerk", "orders:x", of="role")
    assert ["the role clerk does not grant orders:x any more"] == reasons(shown(store, ALONE, gone))
