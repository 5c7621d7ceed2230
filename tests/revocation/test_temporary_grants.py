"""Temporary grants in a snapshot: the ends that a process fixes, and what a page of changes does to them."""

from __future__ import annotations

from jwt_lp.revocation.entries import RevocationChanges, RevocationKey
from jwt_lp.revocation.snapshot import RevocationSnapshot, SnapshotBuilder
from jwt_lp.revocation.temporary_grants import GrantDeadlines, TemporaryGrant
from jwt_lp.testing import Authority

ISSUER = "https://authority.test"
NOW = 1_800_000_000.0
DAY = 86400.0
AUTHORITY = Authority()


def grant(id_: str = "e1", until: float = NOW + 60, subject: str = "alice") -> TemporaryGrant:
    return TemporaryGrant(id_, ISSUER, subject, "orders:export", NOW, until)


def test_the_end_is_fixed_once() -> None:
    """A later look by a clock that was set back gives no later end, one by a clock ahead an earlier one."""
    deadlines = GrantDeadlines(DAY)
    assert 160.0 == deadlines.fix(grant(), NOW, 100.0)
    assert 160.0 == deadlines.fix(grant(), NOW - 3600, 110.0)
    assert 130.0 == deadlines.fix(grant(), NOW + 50, 120.0)


def test_fixed_ends_are_forgotten_when_no_clock_can_matter_any_more() -> None:
    """So their number is bounded by the grants of the last retention."""
    deadlines = GrantDeadlines(DAY)
    for number in range(100):
        deadlines.fix(grant(f"e{number}"), NOW + number * DAY, number * DAY + 0.0)
        deadlines.forget(number * DAY)
        assert len(deadlines) <= 3


def test_a_page_replaces_the_grants_of_its_targets() -> None:
    """A known id is replaced, a touched subject loses all, an ended grant is not added, and old snapshots stay."""
    with AUTHORITY.guard() as guard:
        token = guard.authenticate(AUTHORITY.headers()["Authorization"]).token
    assert token is not None
    first = SnapshotBuilder(RevocationSnapshot(), NOW, DAY)
    for each in (grant("e1"), grant("e2"), grant("e1", NOW + 30), grant("e3", NOW), grant("e4", subject="bob")):
        first.grant(each, each.until)
    old = first.build()
    assert [("e2", NOW + 60), ("e1", NOW + 30)] == [(each.id, end) for each, end in old.temporary_grants(token)]
    assert 0 == len(old)
    page = RevocationChanges(9, (RevocationKey("subject", ISSUER, "alice"),), grants=(grant("e5"),))
    second = SnapshotBuilder(old, NOW, DAY)
    second.remove(page.touched)
    for each in page.grants:
        second.grant(each, each.until)
    assert ["e5"] == [each.id for each, _ in second.build().temporary_grants(token)]
    assert 2 == len(old.temporary_grants(token))
