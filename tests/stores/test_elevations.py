"""Elevations in every store, on each engine."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from jwt_lp import subscribe
from jwt_lp.errors import (
    ConfigurationError,
    ElevationClosed,
    ElevationKeyReused,
    ElevationNotAllowed,
    ElevationTooMany,
    ElevationUnknown,
)
from jwt_lp.revocation.entries import RevocationEntry, RevocationKey
from jwt_lp.revocation.temporary_grants import TemporaryGrant
from jwt_lp.stores import (
    Elevation,
    ElevationChange,
    ElevationFilter,
    FamilyEnding,
    PurgeCounts,
    RefreshFamily,
    open_store,
)
from jwt_lp.stores.elevation_changes import check_new
from jwt_lp.stores.elevations import ELEVATION_WRITER, MAX_DAILY, MAX_OPEN
from memory_store import MemoryStore
from stores.conftest import ENGINES
from stores.threads import at_once

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jwt_lp.stores import Store

NOW = 1_800_000_000.5
ISSUER = "https://issuer.example/"
DAY = 86400.0


@pytest.fixture(params=["memory", *ENGINES])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """An empty store, also the one in memory that other tests use, whose clock says `NOW`."""
    if request.param == "memory":
        yield MemoryStore()
        return
    with ENGINES[request.param](tmp_path) as url, closing(open_store(url)) as store:
        store._clock = lambda: NOW  # type: ignore[attr-defined]
        yield store


def elevation(name: str = "e1", at: float = NOW, **other: Any) -> Elevation:
    values = {"issuer": ISSUER, "subject": "ana", "client": "desk", "permission": "orders:export", "seconds": 3600}
    return Elevation(**{"id": name, "asked_at": at, "answer_by": at + DAY, **values, **other})


def change(action: Any = "approved", name: str = "e1", at: float = NOW + 5, **other: Any) -> ElevationChange:
    values = {"issuer": ISSUER, "subject": "bob"}
    return ElevationChange(**{"elevation": name, "action": action, "at": at, **values, **other})


def emergency(name: str = "e1", at: float = NOW, **other: Any) -> Elevation:
    return elevation(name, at, break_glass=True, since=at, until=at + 3600, **other)


def actions(store: Store, name: str = "e1") -> list[str]:
    return [step.action for step in store.elevation_steps(name)]


def grants(store: Store, since: int = 0) -> list[str]:
    return sorted(grant.id for grant in store.changes(since).grants)


def test_a_request_comes_back_as_it_was_written(any_store: Store) -> None:
    """Every member is stored; the request itself is the first step, and no guard hears of it."""
    written = elevation(
        reason="Älice “1”\t", ticket="OPS-1", client=None, needed=2, person="ana@example.com",
        known_as=(("https://other.example/", "Ana"),),
    )  # fmt: skip
    assert written == any_store.ask(written) == any_store.elevation("e1")
    assert (None, ()) == (any_store.elevation("E1"), any_store.elevation_steps("E1"))
    (step,) = any_store.elevation_steps("e1")
    assert ("asked", 1, NOW, "ana", written.reason, written.digest) == (
        step.action, step.number, step.at, step.subject, step.reason, step.digest,
    )  # fmt: skip
    assert (0, ()) == (any_store.changes(0).sequence, any_store.changes(0).grants)


def test_an_approval_grants_until_the_end(any_store: Store) -> None:
    """The approval and the moment of the grant are steps; guards hear of the grant once."""
    any_store.ask(elevation())
    granted = any_store.change_elevation(change(reason="ok"))
    assert replace(elevation(), approvals=1, since=NOW + 5, until=NOW + 3605) == granted == any_store.elevation("e1")
    assert [("asked", "ana", ""), ("approved", "bob", "ok"), ("granted", "bob", "")] == [
        (step.action, step.subject, step.reason) for step in any_store.elevation_steps("e1")
    ]
    page = any_store.changes(0)
    grant = TemporaryGrant("e1", ISSUER, "ana", "orders:export", NOW + 5, NOW + 3605, "desk")
    assert ((), (), (grant,), False) == (page.touched, page.entries, page.grants, page.more)
    assert () == any_store.changes(page.sequence).grants
    assert ["requested", "approved", "expired"] == [
        elevation().state(NOW), granted.state(NOW + 3604), granted.state(NOW + 3605),
    ]  # fmt: skip


@pytest.mark.parametrize("longest", [None, 600, 9000])
def test_the_policy_of_the_decision_limits_the_time(any_store: Store, longest: int | None) -> None:
    """A rule that was tightened after the request shortens the time; one that was loosened changes nothing."""
    any_store.ask(elevation())
    until = any_store.change_elevation(change(longest=longest)).until
    assert NOW + 5 + min(3600, longest or 3600) == until


def test_a_quorum_counts_people(any_store: Store) -> None:
    """Each approver counts once, by subject and by person; the last one that is needed grants."""
    any_store.ask(elevation(needed=2))
    first = any_store.change_elevation(change(person="b@x"))
    assert (1, None) == (first.approvals, first.since)
    for again in (
        change(person="b@x"),
        change(),
        change(subject="bob2", person="b@x"),
        change(issuer="x", person="b@x"),
    ):
        with pytest.raises(ElevationClosed, match="already"):
            any_store.change_elevation(again)
    assert ["asked", "approved"] == actions(any_store)
    assert NOW + 6 == any_store.change_elevation(change(at=NOW + 6, subject="cy", person="c@x")).since
    assert ["asked", "approved", "approved", "granted"] == actions(any_store)


def test_a_quorum_that_the_policy_raised_since_counts(any_store: Store) -> None:
    """The larger of both numbers is needed."""
    any_store.ask(elevation())
    assert any_store.change_elevation(change(needed=2)).since is None
    any_store.ask(elevation("e2", needed=3))
    assert any_store.change_elevation(change(name="e2", needed=1)).since is None


@pytest.mark.parametrize(
    ("before", "action", "at"),
    [
        ([("denied", NOW + 1)], "approved", NOW + 2),
        ([("denied", NOW + 1)], "denied", NOW + 2),
        ([("denied", NOW + 1)], "ended", NOW + 2),
        ([("ended", NOW + 1)], "approved", NOW + 2),
        ([("ended", NOW + 1)], "ended", NOW + 2),
        ([("approved", NOW + 1)], "approved", NOW + 2),
        ([("approved", NOW + 1)], "denied", NOW + 2),
        ([("approved", NOW + 1)], "ended", NOW + 3601),
        ([("approved", NOW + 1)], "reviewed", NOW + 2),
        ([], "approved", NOW + DAY),
        ([], "denied", NOW + DAY),
        ([], "ended", NOW + DAY),
        ([], "reviewed", NOW + 1),
    ],
)
def test_a_step_that_comes_too_late_changes_nothing(
    any_store: Store, before: list[tuple[str, float]], action: str, at: float
) -> None:
    """What was decided, has ended or has lapsed stays as it is."""
    any_store.ask(elevation())
    for earlier, moment in before:
        any_store.change_elevation(change(earlier, at=moment))
    known = any_store.elevation("e1"), any_store.elevation_steps("e1"), any_store.changes(0)
    with pytest.raises(ElevationClosed):
        any_store.change_elevation(change(action, at=at, subject="cy"))
    assert known == (any_store.elevation("e1"), any_store.elevation_steps("e1"), any_store.changes(0))


def test_an_unknown_elevation_is_not_changed(any_store: Store) -> None:
    """There is nothing to decide about."""
    with pytest.raises(ElevationUnknown):
        any_store.change_elevation(change())


def test_an_approval_is_of_what_was_seen(any_store: Store) -> None:
    """A request that differs from what the approver saw is not approved."""
    seen = any_store.ask(elevation())
    for other in (replace(seen, permission="orders:**"), replace(seen, seconds=9), replace(seen, client=None)):
        with pytest.raises(ElevationClosed, match="look at it again"):
            any_store.change_elevation(change(digest=other.digest))
    assert any_store.change_elevation(change(digest=seen.digest)).since is not None


def test_an_early_end_revokes_what_rests_on_it(any_store: Store) -> None:
    """The grant goes from the guards, and tokens that name the elevation are revoked, in one change."""
    any_store.ask(elevation())
    any_store.ask(elevation("e2"))
    any_store.change_elevation(change())
    any_store.change_elevation(change(name="e2"))
    known = any_store.changes(0).sequence
    ended = any_store.change_elevation(change("ended", at=NOW + 9, reason="done"))
    assert ("ended", NOW + 9, None) == (ended.state(NOW + 9), ended.ended_at, ended.temporary_grant)
    page = any_store.changes(known)
    assert (RevocationKey("subject", ISSUER, "ana"),) == page.touched
    entry = RevocationEntry(
        id="e1", of="token", issuer=ISSUER, name="e1", until=NOW + 3905, reason="elevation ended", at=NOW + 9
    )
    # What still stands of the subject comes again, because the reader removes all of it.
    assert ((entry,), ["e2"]) == (page.entries, [grant.id for grant in page.grants])
    assert (["e2"], (entry,)) == (grants(any_store), any_store.changes(0).entries)
    if not isinstance(any_store, MemoryStore):
        assert [ELEVATION_WRITER] == [row.by for row in any_store.revocations()]


def test_a_withdrawn_request_revokes_nothing(any_store: Store) -> None:
    """There was no grant, so guards hear of nothing."""
    any_store.ask(elevation())
    assert "ended" == any_store.change_elevation(change("ended")).state(NOW + 5)
    assert (0, ()) == (any_store.changes(0).sequence, any_store.changes(0).entries)


def test_lifting_a_revocation_lists_the_grants_again(any_store: Store) -> None:
    """A page that touches a subject has everything of it that stands."""
    any_store.ask(elevation())
    any_store.change_elevation(change())
    any_store.revoke([RevocationEntry(id="x", of="subject", issuer=ISSUER, name="ana", pattern="orders:*")], at=NOW)
    any_store.revoke([RevocationEntry(id="y", of="subject", issuer=ISSUER, name="ana", pattern="a:*")], at=NOW)
    known = any_store.changes(0).sequence
    any_store.lift(["x"], at=NOW + 6)
    page = any_store.changes(known)
    assert (["ana"], ["y"], ["e1"]) == (
        [key.name for key in page.touched], [entry.id for entry in page.entries], [grant.id for grant in page.grants],
    )  # fmt: skip


def test_pages_keep_the_order_of_revocations_and_grants(any_store: Store) -> None:
    """However many there are, a reader that follows the pages knows each of them, and nothing twice in the end."""
    for number in range(6):
        any_store.ask(elevation(f"e{number}", subject=f"s{number}"))
        any_store.change_elevation(change(name=f"e{number}"))
        entries = [
            RevocationEntry(id=f"r{number}-{n}", of="subject", issuer=ISSUER, name=f"s{n}", pattern="a:*")
            for n in range(90)
        ]
        any_store.revoke(entries, at=NOW)
    known_entries, known_grants, since, more, pages = set(), set(), 0, True, 0
    while more:
        page = any_store.changes(since)
        known_entries |= {entry.id for entry in page.entries}
        known_grants |= {grant.id for grant in page.grants}
        assert page.sequence > since
        since, more, pages = page.sequence, page.more, pages + 1
    assert (6 * 90, 6, 6 * 91) == (len(known_entries), len(known_grants), since)
    assert isinstance(any_store, MemoryStore) or pages > 1


def test_grants_that_are_long_over_are_not_reported(any_store: Store) -> None:
    """A new process need not hear of them."""
    if isinstance(any_store, MemoryStore):
        pytest.skip("the store in memory reports all of them")
    any_store.ask(elevation("old", NOW - 3 * DAY))
    any_store.change_elevation(change(name="old", at=NOW - 3 * DAY))
    any_store.ask(elevation("new", NOW - DAY))
    any_store.change_elevation(change(name="new", at=NOW - DAY))
    assert ["new"] == grants(any_store)


def test_the_same_id_asks_once(any_store: Store) -> None:
    """A repeated request with the same id is the stored one, also after its approval; another one is refused."""
    first = any_store.ask(elevation())
    assert first == any_store.ask(elevation(at=NOW + 9))
    any_store.change_elevation(change())
    assert any_store.elevation("e1") == any_store.ask(elevation(at=NOW + 99))
    with pytest.raises(ElevationKeyReused):
        any_store.ask(elevation(permission="orders:read"))
    assert ["asked", "approved", "granted"] == actions(any_store)


def test_ten_thousand_open_requests_of_one_subject(any_store: Store) -> None:
    """The number is bounded: what is beyond it is refused, writes nothing, and does not concern others."""
    refused = 0
    for number in range(MAX_OPEN + 5):
        try:
            any_store.ask(elevation(f"e{number:02}"))
        except ElevationTooMany:
            refused += 1
    assert (5, MAX_OPEN) == (refused, len(list(any_store.elevations(ElevationFilter()))))
    any_store.ask(elevation("other", subject="Ana"))
    any_store.change_elevation(change("denied", "e00"))
    any_store.ask(elevation("one more", NOW + 6))
    # Those that nobody answered make room by themselves.
    any_store.ask(elevation("next day", NOW + DAY))


def test_a_subject_cannot_ask_and_withdraw_for_ever() -> None:
    """Requests in 24 hours are bounded too."""
    withdrawn = [elevation(f"e{number}", NOW + number, ended_at=NOW + number) for number in range(MAX_DAILY)]
    with pytest.raises(ElevationTooMany, match="24 hours"):
        check_new(elevation("last", NOW + MAX_DAILY), withdrawn)
    check_new(elevation("later", NOW + DAY), withdrawn)


def test_break_glass_grants_at_once(any_store: Store) -> None:
    """Guards hear of it with the request. It is reviewed once, and open until then."""
    any_store.ask(emergency())
    assert (["asked", "granted"], ["e1"]) == (actions(any_store), grants(any_store))
    unreviewed = ElevationFilter(unreviewed=True)
    assert ["e1"] == [each.id for each in any_store.elevations(unreviewed)]
    assert NOW + 9 == any_store.change_elevation(change("reviewed", at=NOW + 9)).reviewed_at
    assert [] == list(any_store.elevations(unreviewed))
    with pytest.raises(ElevationClosed, match="reviewed already"):
        any_store.change_elevation(change("reviewed"))


def test_an_unreviewed_break_glass_blocks_the_next(any_store: Store) -> None:
    """While it is held, it is the same emergency. Once it is over, it has to be reviewed first."""
    any_store.ask(emergency())
    any_store.ask(emergency("e2", NOW + 60, permission="orders:refund"))
    any_store.ask(emergency("bob", NOW + 3700, subject="bob"))
    any_store.ask(elevation("asked", NOW + 3700))
    with pytest.raises(ElevationNotAllowed) as caught:
        any_store.ask(emergency("e3", NOW + 3600))
    assert ("unreviewed", None) == (caught.value.reason, any_store.elevation("e3"))
    any_store.change_elevation(change("reviewed", at=NOW + 3600))
    with pytest.raises(ElevationNotAllowed, match="e2"):
        any_store.ask(emergency("e3", NOW + 40 * DAY))
    any_store.change_elevation(change("reviewed", "e2", at=NOW + 3600))
    any_store.ask(emergency("e3", NOW + 40 * DAY))


@pytest.mark.parametrize(
    ("entry", "ended"),
    [
        ({"of": "subject", "name": "ana"}, ["held", "open"]),
        ({"of": "subject", "name": "ana", "before": NOW}, ["held", "open"]),
        ({"of": "subject", "name": "ana", "before": NOW - 60}, ["held"]),
        ({"of": "subject", "name": "ana", "before": NOW - 600}, []),
        ({"of": "subject", "name": "bob"}, ["other"]),
        ({"of": "subject", "name": "ana", "issuer": "https://other.example/"}, []),
        ({"of": "subject", "name": "ana", "pattern": "orders:*"}, []),
        ({"of": "client", "name": "desk"}, ["held", "open", "other"]),
        ({"of": "client", "name": "web"}, []),
        ({"of": "issuer", "name": ""}, ["held", "open", "other"]),
        ({"of": "role", "name": "support"}, []),
        ({"of": "token", "name": "t1"}, []),
    ],
)
def test_revoking_older_tokens_ends_elevations(any_store: Store, entry: dict[str, Any], ended: list[str]) -> None:
    """Whoever has to sign in again has to ask again, too; what was asked after the named time goes on."""
    any_store.ask(elevation("held", NOW - 100))
    any_store.ask(elevation("over", NOW - 2 * DAY))
    any_store.change_elevation(change(name="held", at=NOW - 90))
    any_store.ask(elevation("open"))
    any_store.ask(elevation("other", subject="bob"))
    any_store.revoke([RevocationEntry(**{"id": "r", "issuer": ISSUER, **entry})], at=NOW + 1, by="sec")
    listed = any_store.elevations(ElevationFilter())
    assert ended == [each.id for each in listed if each.ended_at == NOW + 1]
    assert ([] if "held" in ended else ["held"]) == grants(any_store)
    for name in ended:
        last = any_store.elevation_steps(name)[-1]
        assert ("ended", "", "sec", "revoked") == (last.action, last.issuer, last.subject, last.reason)


def test_the_clock_that_is_set_back_brings_nothing_back(any_store: Store) -> None:
    """A step is never earlier than the one before it."""
    any_store.ask(elevation())
    granted = any_store.change_elevation(change(at=NOW - 9 * DAY))
    assert (NOW, NOW + 3600) == (granted.since, granted.until)
    assert NOW == any_store.change_elevation(change("ended", at=0.0)).ended_at


def test_lists_are_filtered_and_paged(any_store: Store) -> None:
    """Oldest first; the filters are independent of each other."""
    any_store.ask(elevation("c", NOW + 1))
    any_store.ask(elevation("b", NOW + 2, permission="orders:refund"))
    any_store.ask(elevation("a", NOW + 2, subject="bob"))
    any_store.ask(elevation("d", NOW + 3, issuer="https://other.example/"))
    any_store.change_elevation(change(name="b"))
    any_store.change_elevation(change("denied", "d"))

    def listed(**which: Any) -> list[str]:
        return [each.id for each in any_store.elevations(ElevationFilter(**which))]

    assert ["c", "a", "b", "d"] == listed()
    assert ["c", "b"] == listed(issuer=ISSUER, subject="ana")
    assert ["c", "b", "d"] == listed(subject="ana")
    assert ["b"] == listed(permission="orders:refund") == listed(held_at=NOW + 9)
    assert ["c", "a"] == listed(open_at=NOW + 9)
    assert [] == listed(open_at=NOW + 2 * DAY) == listed(held_at=NOW + 2 * DAY) == listed(unreviewed=True)
    assert ["c", "a"] == listed(limit=2)
    assert ["b", "d"] == listed(after="a", limit=2)
    assert [] == listed(after="d") == listed(after="z")
    assert ["d", "b", "a", "c"] == listed(newest_first=True)
    assert ["a", "c"] == listed(newest_first=True, after="b", limit=2)
    assert [] == listed(subject="a\0b") == listed(after="\ud800")


def test_one_of_many_approvals_completes_the_quorum(any_store: Store) -> None:
    """Of approvers that decide at once, as many count as are needed, and the permission is granted once."""
    for round_number in range(3):
        name = f"e{round_number}"
        any_store.ask(elevation(name, needed=2))
        approve = [partial(any_store.change_elevation, change(name=name, subject=f"b{n % 4}")) for n in range(6)]
        results = at_once(any_store, *approve)
        assert 4 == sum(isinstance(each, ElevationClosed) for each in results)
        assert ["asked", "approved", "approved", "granted"] == actions(any_store, name)


def test_requests_at_once_are_bounded(any_store: Store) -> None:
    """The bound holds however many ask at once, and one id is written once."""
    for number in range(MAX_OPEN - 2):
        any_store.ask(elevation(f"e{number}"))
    results = at_once(any_store, *(partial(any_store.ask, elevation(f"x{number // 2}")) for number in range(8)))
    assert 4 == sum(isinstance(each, ElevationTooMany) for each in results)
    assert MAX_OPEN == len(list(any_store.elevations(ElevationFilter())))


def test_each_step_is_an_event(any_store: Store) -> None:
    """Once it is committed; break-glass by a name of its own. What is refused is no event."""
    heard: list[tuple[str, Any]] = []
    end = subscribe(lambda event, members: heard.append((event, members)))
    try:
        any_store.ask(elevation(reason="why"))
        any_store.ask(elevation(reason="why"))
        any_store.change_elevation(change())
        any_store.change_elevation(change("ended"))
        with pytest.raises(ElevationClosed):
            any_store.change_elevation(change("ended"))
        any_store.ask(emergency("e2"))
        any_store.change_elevation(change("reviewed", "e2"))
        any_store.ask(elevation("e3"))
        any_store.change_elevation(change("denied", "e3"))
    finally:
        end()
    assert [
        "asked", "approved", "granted", "ended", "asked", "break-glass", "reviewed", "asked", "denied",
    ] == [event.removeprefix("elevation-") for event, _ in heard]  # fmt: skip
    assert {
        "elevation": "e1", "issuer": ISSUER, "subject": "ana", "client": "desk", "permission": "orders:export",
        "by_issuer": ISSUER, "by": "ana", "reason": "why", "state": "requested",
    } == heard[0][1]  # fmt: skip


def test_steps_are_claimed_and_delivered(any_store: Store) -> None:
    """Oldest first; a claimed step comes again if nobody has delivered it in time."""
    any_store.ask(elevation())
    any_store.ask(elevation("e2", NOW + 1))
    any_store.change_elevation(change(at=NOW + 2))
    first = any_store.claim_steps(2, at=NOW + 3, until=NOW + 60)
    assert [("e1", 1), ("e2", 1)] == [(step.elevation, step.number) for step in first]
    second = any_store.claim_steps(9, at=NOW + 3, until=NOW + 60)
    assert [("e1", 2), ("e1", 3)] == [(step.elevation, step.number) for step in second]
    assert () == any_store.claim_steps(9, at=NOW + 59, until=NOW + 60)
    any_store.mark_delivered([*first, second[0]])
    any_store.mark_delivered([])
    assert second[1:] == any_store.claim_steps(9, at=NOW + 60, until=NOW + 99)


def test_workers_at_once_claim_a_step_once(any_store: Store) -> None:
    """Each step goes to one of them."""
    for number in range(12):
        any_store.ask(elevation(f"e{number}"))
    claim = partial(any_store.claim_steps, 5, at=NOW, until=NOW + 60)
    claimed = [step.elevation for steps in at_once(any_store, *[claim] * 4) for step in steps]
    assert len(claimed) == len(set(claimed)) >= 5


def test_signing_out_everywhere_ends_elevations(store: Store) -> None:
    """The session's end revokes older tokens of the subject, and so what rests on them; one session's end does not."""
    store.ask(elevation())
    store.change_elevation(change())
    store.add_family(RefreshFamily(
        id="f", issuer=ISSUER, subject="ana", counter=0, created_at=NOW - 9, rotated_at=NOW, expires_at=NOW + DAY
    ))  # fmt: skip
    ending = FamilyEnding(
        id="x", issuer=ISSUER, subject="ana", family="f", at=NOW + 9, reason="sign_out", tokens_until=NOW + 99
    )
    store.end_families(ending)
    assert ["e1"] == grants(store)
    everywhere = replace(ending, family=None, reason="sign_out_everywhere")
    heard: list[str] = []
    end = subscribe(lambda event, _: heard.append(event))
    store.end_families(everywhere)
    end()
    last = store.elevation_steps("e1")[-1]
    assert ([], "revoked: sign_out_everywhere", ["elevation-ended"]) == (grants(store), last.reason, heard)


def test_purge_keeps_elevations_as_long_as_usage(store: Store) -> None:
    """With their steps; one of break-glass stays until it is reviewed."""
    store.ask(elevation("lapsed"))
    store.ask(elevation("ended"))
    store.change_elevation(change(name="ended"))
    store.change_elevation(change("ended", "ended", at=NOW + 9))
    store.ask(emergency("glass"))
    store.ask(elevation("long", answer_by=NOW + 9 * DAY))
    # NOW is in the morning of 2027-01-15.
    assert PurgeCounts() == store.purge(before="2027-01-15", now=NOW)
    assert PurgeCounts(elevations=1, revocations=1) == store.purge(before="2027-01-16", now=NOW + 1.5 * DAY)
    assert PurgeCounts(elevations=1) == store.purge(before="2027-01-17", now=NOW + 3 * DAY)
    assert (["glass", "long"], ()) == (
        [each.id for each in store.elevations(ElevationFilter())], store.elevation_steps("lapsed"),
    )  # fmt: skip
    store.change_elevation(change("reviewed", "glass"))
    assert PurgeCounts(elevations=2) == store.purge(before="2027-02-01", now=NOW + 30 * DAY)
    assert () == store.claim_steps(99, at=NOW * 2, until=NOW * 3)


def test_a_purge_goes_on_after_a_part_of_the_elevations(
    store: Store, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are."""
    if not url.startswith("django:"):
        monkeypatch.setattr("jwt_lp.stores.purge.CHUNK_ROWS", 1)
    for name in ("a", "b", "c"):
        store.ask(elevation(name))
    assert PurgeCounts(elevations=3) == store.purge(before="2027-02-01", now=NOW + 30 * DAY)


def test_migrating_adds_the_tables_to_an_older_store(store: Store, url: str) -> None:
    """Tables of the release before are refused until they are migrated, and keep their rows."""
    store.revoke([RevocationEntry(id="x", of="token", issuer=ISSUER, name="x")], at=1.0)
    if url.startswith("django:"):
        from django.core.management import call_command

        call_command("migrate", "jwt_lp_django", "0003", database=url.removeprefix("django:"), verbosity=0)
    else:
        import sqlalchemy as sa

        engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE jwt_lp_elevation")
            connection.exec_driver_sql("DROP TABLE jwt_lp_elevation_step")
            connection.exec_driver_sql("UPDATE jwt_lp_schema SET version = 3")
        engine.dispose()
    store.close()
    with closing(open_store(url)) as other, pytest.raises(ConfigurationError, match="migrate"):
        other.ask(elevation())
    assert (3, 5) == store.migrate()
    store.ask(elevation())
    assert (elevation(), ["x"]) == (store.elevation("e1"), [row.entry.id for row in store.revocations()])
