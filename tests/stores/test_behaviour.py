"""Behaviour of every store, on each engine."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING

import pytest

from jwt_lp import subscribe
from jwt_lp.errors import PolicyError, StoreError
from jwt_lp.revocation.entries import RevocationChanges, RevocationEntry, RevocationKey
from jwt_lp.revocation.poller import RevocationPoller
from jwt_lp.stores import (
    EnforcementPoint,
    EnforcementPointRow,
    HeldGrant,
    HeldGrantRow,
    ObservedGrant,
    ObservedGrantRow,
    ProcessHeartbeat,
    PurgeCounts,
    RecordingPeriod,
    StoredRevocation,
    UsageBatch,
    UsageRow,
    Use,
    open_store,
)

if TYPE_CHECKING:
    from jwt_lp.stores import Store

DAY = 86400.0
NOW = 1_800_000_000.0  # in January 2027


def use(subject="alice", day="2026-11-24", **other) -> Use:
    parts = {
        "service": "orders", "issuer": "https://issuer.example/", "subject": subject, "client": "web",
        "role": "clerk", "endpoint": "/orders/{id}", "method": "GET", "requirement": "orders:read & x",
        "permission": "orders:read", "grant": "orders:*", "outcome": "granted", "day": day,
    }  # fmt: skip
    return Use(**{**parts, **other})


def entry(key, of="subject", name="alice", **other) -> RevocationEntry:
    return RevocationEntry(id=key, of=of, issuer="https://issuer.example/", name=name, **other)


def deny(key, name="alice", **other) -> RevocationEntry:
    return entry(key, name=name, pattern="orders:*", **other)


def test_an_empty_store_answers(store: Store) -> None:
    """Every query returns nothing, and none fails."""
    assert RevocationChanges(0) == store.changes(0)
    for rows in (
        store.usage(),
        store.observed_grants(),
        store.enforcement_points(),
        store.recording_periods(),
        store.held_grants(),
        store.revocations(),
    ):
        assert [] == list(rows)
    assert () == store.issuers()
    assert () == store.heartbeats(since=0)


def test_migrating_again_changes_nothing(store: Store) -> None:
    """A second `migrate` returns the same version twice and keeps the rows."""
    store.revoke([deny("1")], at=1.0)
    before, after = store.migrate()
    assert before == after >= 1
    assert 1 == store.changes(0).sequence


def test_an_entry_comes_back_as_it_was_written(store: Store) -> None:
    """Every member of an entry is stored, with the time of its writing."""
    whole = entry("1", pattern="a:**", keep=("a:b", "a:c:*"), until=5.25, reason="left “us”", standing=True)
    token = entry("2", of="token", name="jti", until=7.5)
    before = entry("3", of="client", name="web", before=3.5)
    issuer = entry("4", of="issuer", name="")
    assert 4 == store.revoke([whole, token, before, issuer], at=9.5, by="me")
    expected = tuple(RevocationEntry(**{**_fields(written), "at": 9.5}) for written in (whole, token, before, issuer))
    assert RevocationChanges(4, (), expected) == store.changes(0)
    assert [StoredRevocation(stored, number, 9.5, "me") for number, stored in enumerate(expected, 1)] == list(
        store.revocations()
    )


def _fields(written: RevocationEntry) -> dict:
    return {name: getattr(written, name) for name in RevocationEntry.__slots__}


def test_changes_after_a_sequence_number(store: Store) -> None:
    """A reader gets the later changes in order, and none once it knows all."""
    store.revoke([deny("1"), deny("2", name="bob")], at=1.0)
    store.revoke([deny("3", name="carol")], at=2.0)
    assert (3, ["2", "3"]) == _seen(store.changes(1))
    assert (3, ["3"]) == _seen(store.changes(2))
    assert (3, []) == _seen(store.changes(3))


def _seen(changes: RevocationChanges) -> tuple[int, list[str]]:
    return changes.sequence, [changed.id for changed in changes.entries]


def test_a_lifted_entry_touches_its_key(store: Store) -> None:
    """A reader that knew the entry gets its key and the entries still in force; a new reader gets no trace of it."""
    store.revoke([deny("1"), deny("2"), deny("3", name="bob")], at=1.0)
    assert 4 == store.lift(["1"], at=2.0)
    changes = store.changes(3)
    assert (RevocationKey("subject", "https://issuer.example/", "alice"),) == changes.touched
    assert (4, ["2"]) == _seen(changes)
    assert (4, [], ["2", "3"]) == ((new := store.changes(0)).sequence, [*new.touched], [e.id for e in new.entries])


def test_lifted_entries_can_be_listed(store: Store) -> None:
    """`lifted=True` lists them with their time and sequence number; otherwise only entries in force are listed."""
    store.revoke([deny("1"), deny("2")], at=1.0)
    store.lift(["1"], at=2.0)
    assert [("1", 1, 2.0), ("2", 2, None)] == [
        (row.entry.id, row.sequence, row.lifted_at) for row in store.revocations(lifted=True)
    ]
    assert ["2"] == [row.entry.id for row in store.revocations()]


@pytest.mark.parametrize("ids", [["none"], ["1", "none"], ["2"]])
def test_lifting_is_all_or_none(store: Store, ids) -> None:
    """If one id is unknown or already lifted, nothing is lifted, and the error names it."""
    store.revoke([deny("1"), deny("2")], at=1.0)
    store.lift(["2"], at=2.0)
    with pytest.raises(StoreError, match=repr(ids[-1])):
        store.lift(ids, at=3.0)
    assert 3 == store.changes(3).sequence
    assert ["1"] == [row.entry.id for row in store.revocations()]


def test_a_message_names_few_ids(store: Store) -> None:
    """It names five ids and the number of the others."""
    with pytest.raises(StoreError, match="'id-0', 'id-1', 'id-2', 'id-3', 'id-4' and 4 more"):
        store.lift([f"id-{number}" for number in range(9)], at=3.0)


def test_the_same_id_twice_lifts_once(store: Store) -> None:
    """A repeated id takes one sequence number."""
    store.revoke([deny("1")], at=1.0)
    assert 2 == store.lift(["1", "1"], at=2.0)


@pytest.mark.parametrize("ids", [["2", "1"], ["3", "3"]])
def test_revoking_is_all_or_none(store: Store, ids) -> None:
    """If an id exists already or is repeated, nothing is written, and no sequence number is skipped."""
    store.revoke([deny("1")], at=1.0)
    with pytest.raises(StoreError, match=repr(ids[-1])):
        store.revoke([deny(name) for name in ids], at=2.0)
    assert (1, ["1"]) == _seen(store.changes(0))
    assert 2 == store.revoke([deny("9")], at=2.0)


def test_nothing_to_do_takes_no_number(store: Store) -> None:
    """Without entries or ids the sequence number does not change."""
    store.revoke([deny("1")], at=1.0)
    assert (1, 1) == (store.revoke([], at=2.0), store.lift([], at=2.0))


def test_changes_come_in_pages(store: Store) -> None:
    """Many changes come in several pages, which together have each entry once."""
    entries = [deny(f"{number}", name=f"{number}") for number in range(1_601)]
    store.revoke(entries, at=1.0)
    store.lift([f"{number}" for number in range(0, 800, 2)], at=2.0)
    for start in (0, 1):
        seen: dict[str, RevocationEntry] = {}
        since, pages, more = start, 0, True
        while more:
            page = store.changes(since)
            assert page.sequence > since
            touched = {*page.touched}
            seen = {name: known for name, known in seen.items() if known.key not in touched}
            seen |= {known.id: known for known in page.entries}
            since, more, pages = page.sequence, page.more, pages + 1
        assert (2_001, True) == (since, pages > 3)
        assert {row.entry.id for row in store.revocations()} == seen.keys()


def test_a_full_last_page_has_the_latest_sequence_number(store: Store) -> None:
    """A reader ends at the store's sequence number, even if the last entries were lifted again or purged."""
    store.revoke([deny(f"{number}", name=f"{number}") for number in range(1000)], at=1.0)
    assert 1001 == store.lift(["999"], at=2.0)
    poller = RevocationPoller(store, retention=3600)
    poller.poll()
    assert 1001 == poller.sequence
    poller.poll()
    assert 1001 == poller.sequence


def test_a_batch_is_counted(store: Store) -> None:
    """Counts add up by use, and the latest time is kept, whatever the order of the batches."""
    assert store.record(UsageBatch(id="a", uses={use(): (3, 100.5), use("bob"): (1, 50.0)}))
    assert store.record(UsageBatch(id="b", uses={use(): (4, 90.0), use(outcome="denied"): (1, 60.0)}))
    expected = [
        UsageRow(use(outcome="denied"), 1, 60.0),
        UsageRow(use(), 7, 100.5),
        UsageRow(use("bob"), 1, 50.0),
    ]
    assert expected == list(store.usage())


def test_a_batch_is_counted_once(store: Store) -> None:
    """A batch with a known id returns False, and nothing of it is written, whatever it holds."""
    batch = UsageBatch(id="a", uses={use(): (3, 100.5)})
    assert [True, False, False] == [
        store.record(sent) for sent in (batch, batch, UsageBatch(id="a", uses={use("bob"): (1, 1.0)}))
    ]
    assert [UsageRow(use(), 3, 100.5)] == list(store.usage())


def test_a_batch_may_be_empty(store: Store) -> None:
    """A recording period without uses is written, too."""
    period = RecordingPeriod(id="r", service="orders", started=1.0, until=2.0, recorded=3, dropped=4)
    assert store.record(UsageBatch(id="a", period=period))
    assert [period] == list(store.recording_periods())


def test_a_recording_period_grows(store: Store) -> None:
    """The largest numbers of its batches are kept, also if an older batch comes late."""
    periods = [
        RecordingPeriod(id="r", service="orders", started=1.0, until=until, recorded=n, dropped=n)
        for until, n in ((2.0, 5), (4.0, 9), (3.0, 7))
    ]
    for number, period in enumerate(periods):
        store.record(UsageBatch(id=f"{number}", period=period))
    store.record(
        UsageBatch(
            id="older", period=RecordingPeriod(id="q", service="orders", started=0.5, until=9.0, source="import")
        )
    )
    assert ["q", "r"] == [period.id for period in store.recording_periods()]
    assert periods[1] == list(store.recording_periods())[1]


def test_different_uses_are_different_rows(store: Store) -> None:
    """Uses that differ only in the border of two parts, or in case, are different rows."""
    uses = [use(role="ab", client="c"), use(role="b", client="ca"), use(role="", client=""), use("ALICE"), use("alicé")]
    store.record(UsageBatch(id="a", uses=dict.fromkeys(uses, (1, 1.0))))
    assert sorted(uses) == sorted(row.use for row in store.usage())


def test_unstorable_texts_fail_no_batch(store: Store) -> None:
    """NUL, lone surrogates and very long names are stored in another form; two long names stay different."""
    strange = ["a\0b", "\ud800", "x" * 9000, "x" * 9001, "é" * 4000, "😀" * 4000]
    store.record(UsageBatch(id="a", uses={use(name, client=name): (1, 1.0) for name in strange}))
    store.record(UsageBatch(id="b", uses={use(name, client=name): (1, 1.0) for name in strange}))
    assert [2] * len(strange) == [row.count for row in store.usage()]
    assert {"a\ufffdb", "?"} < {row.use.subject for row in store.usage()}
    assert 1 == len(list(store.usage(subject="x" * 9000)))


def test_usage_is_ordered_alike_everywhere(store: Store) -> None:
    """Rows are ordered by issuer, subject and the rest, by code point."""
    uses = [use(name, issuer=issuer) for name in ("b", "B", "é", "a-b", "ab", "a", "_") for issuer in ("i", "I")]
    store.record(UsageBatch(id="a", uses=dict.fromkeys(uses, (1, 1.0))))
    assert sorted(uses, key=attrgetter("issuer", "subject")) == [row.use for row in store.usage()]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"subject": "bob"}, {"bob"}),
        ({"issuer": "other"}, {"olga"}),
        ({"client": "cron"}, {"cora"}),
        ({"permission": "orders:write"}, {"walt"}),
        ({"service": "billing"}, {"bill"}),
        ({"since": "2026-11-25"}, {"late"}),
        ({"until": "2026-11-23"}, {"early"}),
        ({"since": "2026-11-24", "until": "2026-11-24", "subject": "bob"}, {"bob"}),
        ({"subject": "nobody"}, set()),
        ({}, {"bob", "olga", "cora", "walt", "bill", "late", "early"}),
    ],
)
def test_usage_is_filtered(store: Store, filters, expected) -> None:
    """Each filter selects equal values; the first and the last day are included."""
    uses = [
        use("bob"), use("olga", issuer="other"), use("cora", client="cron"), use("walt", permission="orders:write"),
        use("bill", service="billing"), use("late", day="2026-11-25"), use("early", day="2026-11-23"),
    ]  # fmt: skip
    store.record(UsageBatch(id="a", uses=dict.fromkeys(uses, (1, 1.0))))
    assert expected == {row.use.subject for row in store.usage(**filters)}


def test_a_stream_can_be_abandoned(store: Store) -> None:
    """A reader that stops in the middle does not block writers."""
    store.record(UsageBatch(id="a", uses={use(f"{number}"): (1, 1.0) for number in range(5000)}))
    rows = store.usage()
    assert 3 == len(list(islice(rows, 3)))
    assert store.record(UsageBatch(id="b", uses={use("0"): (1, 2.0)}))
    assert 4997 == len(list(rows))
    abandoned = store.usage()
    next(abandoned)
    del abandoned
    assert 5000 == len(list(store.usage()))


def test_observed_grants_keep_the_first_and_the_last_day(store: Store) -> None:
    """The range of days grows in both directions, within a batch and over several."""

    def seen(day, subject="alice", role="") -> ObservedGrant:
        return ObservedGrant("i", subject, "web", role, "orders:*", day)

    store.record(
        UsageBatch(id="a", observed_grants=[seen("2026-11-05"), seen("2026-11-09"), seen("2026-11-07", "bob")])
    )
    store.record(
        UsageBatch(id="b", observed_grants=[seen("2026-11-02"), seen("2026-11-06"), seen("2026-11-07", role="r")])
    )
    expected = [
        ObservedGrantRow("i", "alice", "web", "", "orders:*", "2026-11-02", "2026-11-09"),
        ObservedGrantRow("i", "alice", "web", "r", "orders:*", "2026-11-07", "2026-11-07"),
        ObservedGrantRow("i", "bob", "web", "", "orders:*", "2026-11-07", "2026-11-07"),
    ]
    assert expected == list(store.observed_grants())
    assert expected[:2] == list(store.observed_grants(subject="alice"))
    assert [] == list(store.observed_grants(issuer="j"))
    assert expected[2:] == list(store.observed_grants(issuer="i", subject="bob"))


def test_points_keep_the_first_and_the_last_day(store: Store) -> None:
    """The last day shows which routes no longer exist."""
    points = [EnforcementPoint("orders", "/orders", method, "orders:read", day) for method, day in
              (("GET", "2026-11-05"), ("GET", "2026-11-03"), ("POST", "2026-11-04"))]  # fmt: skip
    for number, point in enumerate(points):
        store.record(UsageBatch(id=f"{number}", enforcement_points=iter([point])))
    assert [
        EnforcementPointRow("orders", "/orders", "GET", "orders:read", "2026-11-03", "2026-11-05"),
        EnforcementPointRow("orders", "/orders", "POST", "orders:read", "2026-11-04", "2026-11-04"),
    ] == list(store.enforcement_points())


def import_grants(store: Store, as_of: str, *names: str, complete: bool = True) -> int:
    return store.import_grants(
        (HeldGrant("i", name, "", "", "orders:*") for name in names), as_of=as_of, complete=complete
    )


def held_grants(store: Store) -> list[tuple[str, str, bool]]:
    return [(row.held.subject, row.as_of, row.complete) for row in store.held_grants()]


def test_held_is_the_latest_complete_import_and_what_came_later(store: Store) -> None:
    """An import of everything replaces what came before it; a partial one adds to it."""
    import_grants(store, "2026-11-01", "zoe", complete=False)
    assert [("zoe", "2026-11-01", False)] == held_grants(store)
    assert 2 == import_grants(store, "2026-11-02", "alice", "bob")
    import_grants(store, "2026-11-03", "carol", complete=False)
    expected = [("alice", "2026-11-02", True), ("bob", "2026-11-02", True), ("carol", "2026-11-03", False)]
    assert expected == held_grants(store)
    import_grants(store, "2026-11-04", "dave")
    assert [("dave", "2026-11-04", True)] == held_grants(store)


def test_an_import_replaces_one_of_the_same_day(store: Store) -> None:
    """A corrected file can be imported again; nothing of the first import remains."""
    import_grants(store, "2026-11-02", "alice", "bob", complete=False)
    assert 1 == import_grants(store, "2026-11-02", "carol")
    assert [("carol", "2026-11-02", True)] == held_grants(store)


def test_an_import_that_fails_changes_nothing(store: Store) -> None:
    """An import is one transaction: a failure while reading rows leaves the previous import unchanged."""
    import_grants(store, "2026-11-02", "alice")

    def broken():
        yield HeldGrant("i", "bob", "", "", "orders:*")
        raise KeyError("the file ended")

    with pytest.raises(KeyError):
        store.import_grants(broken(), as_of="2026-11-02", complete=False)
    assert [("alice", "2026-11-02", True)] == held_grants(store)


def test_held_rows_are_whole_and_distinct(store: Store) -> None:
    """Every part is stored; a repeated grant of an import is one row, with the `since` of the first."""
    row = HeldGrant("i", "alice", "", "clerk", "", "2026-01-02")
    grants = [row, row._replace(since=""), HeldGrant("i", "", "cron", "", "x")]
    assert 2 == store.import_grants(grants, as_of="2026-11-02", complete=True)
    expected = [
        HeldGrantRow(HeldGrant("i", "", "cron", "", "x"), "2026-11-02", True),
        HeldGrantRow(row, "2026-11-02", True),
    ]
    assert expected == list(store.held_grants())


def test_issuers_come_from_everywhere(store: Store) -> None:
    """Usage, observed grants, imports and revocations each add their issuers."""
    store.record(UsageBatch(id="a", uses={use(issuer=name): (1, 1.0) for name in ("c", "a")}))
    store.record(UsageBatch(id="b", observed_grants=[ObservedGrant("b", "s", "", "", "g", "2026-11-01")]))
    store.import_grants([HeldGrant("d", "s", "", "", "g")], as_of="2026-11-01", complete=False)
    store.revoke([RevocationEntry(id="1", of="issuer", issuer="e", name="")], at=1.0)
    assert ("a", "b", "c", "d", "e") == store.issuers()


def test_a_heartbeat_replaces_the_previous_one(store: Store) -> None:
    """Each process has one row, its latest; `since` selects the recent ones."""
    first = ProcessHeartbeat("p", "orders", "host", 12, 5, "policy", 0.5, 100.0)
    again = ProcessHeartbeat("p", "orders", "host", 13, 7, "other", 1.5, 200.0)
    other = ProcessHeartbeat("q", "orders", "host", 14, 6, "policy", 0.5, 150.0)
    for beat in (first, other, again):
        store.record_heartbeat(beat)
    assert (again, other) == store.heartbeats(since=0)
    assert (again,) == store.heartbeats(since=151.0)


def test_purge_deletes_rows_before_the_day(store: Store) -> None:
    """Usage, observed grants, enforcement points and recording periods before the day are deleted and counted."""
    for day, at in (("2027-01-09", NOW - 6 * DAY), ("2027-01-10", NOW)):
        batch = UsageBatch(
            id=day,
            uses={use(day=day): (1, 1.0)},
            observed_grants=[ObservedGrant("i", day, "", "", "g", day)],
            enforcement_points=[EnforcementPoint("s", day, "GET", "r", day)],
            period=RecordingPeriod(id=day, service="s", started=1.0, until=at),
        )
        store.record(batch)
    # Ids of batches are purged by the store's own clock.
    purged = replace(store.purge(before="2027-01-10", now=NOW), batches=0)
    assert PurgeCounts(usage=1, observed_grants=1, enforcement_points=1, recording_periods=1) == purged
    assert ["2027-01-10"] == [row.use.day for row in store.usage()]
    assert ["2027-01-10"] == [row.subject for row in store.observed_grants()]
    assert ["2027-01-10"] == [row.endpoint for row in store.enforcement_points()]
    assert ["2027-01-10"] == [period.id for period in store.recording_periods()]
    assert PurgeCounts() == store.purge(before="2027-01-10", now=NOW)


OLD = NOW - 401 * DAY


@pytest.mark.parametrize(
    ("deleted", "written", "entry"),
    [
        pytest.param(True, OLD, deny("1", until=NOW - 31 * DAY), id="a deny entry that ended"),
        pytest.param(False, OLD, deny("1", until=NOW - 29 * DAY), id="a deny entry that ended recently"),
        pytest.param(False, OLD, deny("1"), id="a deny entry without an end"),
        pytest.param(True, OLD, entry("1", of="token"), id="a token that has expired"),
        pytest.param(False, OLD, entry("1", of="token", until=NOW), id="a token whose end is later"),
        pytest.param(False, NOW - 399 * DAY, entry("1", of="token", until=1.0), id="a token that may be alive"),
        pytest.param(True, OLD, entry("1", before=OLD), id="a time before which no token is alive"),
        pytest.param(False, OLD, entry("1", before=NOW - 399 * DAY), id="a time before which a token may be alive"),
        pytest.param(False, OLD, entry("1"), id="a blocked subject"),
        pytest.param(False, OLD, entry("1", until=1.0), id="a blocked subject with an end"),
    ],
)  # fmt: skip
def test_purge_deletes_entries_without_effect(store: Store, deleted, written, entry) -> None:
    """An entry is deleted only if no token can be left that it would refuse."""
    store.revoke([entry], at=written)
    assert PurgeCounts(revocations=int(deleted)) == store.purge(before="2020-01-01", now=NOW)


def test_purge_deletes_entries_lifted_long_ago(store: Store) -> None:
    """A lifted entry stays until every process has learned of it; the sequence number never goes back."""
    store.revoke([deny("1"), deny("2")], at=1.0)
    store.lift(["1"], at=NOW - 31 * DAY)
    store.lift(["2"], at=NOW - 29 * DAY)
    assert PurgeCounts(revocations=1) == store.purge(before="2020-01-01", now=NOW)
    assert PurgeCounts(revocations=1) == store.purge(before="2020-01-01", now=NOW + 2 * DAY)
    assert RevocationChanges(4) == store.changes(0)
    assert RevocationChanges(4) == store.changes(4)
    assert 5 == store.revoke([deny("3")], at=NOW)


def test_purge_deletes_heartbeats_and_batch_ids(store: Store) -> None:
    """Ids of batches are deleted after a week; those of imported files stay, so that no file counts twice."""
    store.record_heartbeat(ProcessHeartbeat("p", "orders", "host", 12, 5, "policy", 0.5, NOW - 2 * DAY))
    store.record_heartbeat(ProcessHeartbeat("q", "orders", "host", 12, 5, "policy", 0.5, NOW))
    imported = UsageBatch(
        id="file", period=RecordingPeriod(id="f", service="", started=1.0, until=9e12, source="import")
    )
    store.record(UsageBatch(id="a"))
    store.record(imported)
    # Batches have the time of the store's own clock.
    purged = store.purge(before="2020-01-01", now=4e9)
    assert (2, 1) == (purged.heartbeats, purged.batches)
    assert (True, False) == (store.record(UsageBatch(id="a")), store.record(imported))


def test_a_large_purge_goes_in_parts(store: Store) -> None:
    """More rows than one transaction deletes are all deleted at the end."""
    store.record(UsageBatch(id="a", uses={use(f"{number}"): (1, 1.0) for number in range(5_500)}))
    assert 5_500 == store.purge(before="2027-01-01", now=NOW).usage


def test_a_store_works_after_close(store: Store) -> None:
    """`close` may be called twice, and the next call opens new connections."""
    store.close()
    store.close()
    assert RevocationChanges(0) == store.changes(0)


def test_only_one_process_holds_the_lock(store: Store, url: str) -> None:
    """A second holder waits and learns the name of the first; other calls do not wait."""
    other = open_store(url)
    with store.exclusive("a plan", wait=0):
        start = time.monotonic()
        with pytest.raises(PolicyError, match=r"a plan in .* is being changed by .+ \(waited 0.2 s\)") as caught:
            other.exclusive("a plan", wait=0.2).__enter__()
        assert 0.2 <= time.monotonic() - start < 10
        assert f"process {os.getpid()} on " in str(caught.value)
        assert 1 == store.revoke([deny("1")], at=NOW)
        assert 2 == other.lift(["1"], at=NOW)
        assert [] == list(other.revocations())
    with other.exclusive("a plan", wait=0), pytest.raises(PolicyError):
        store.exclusive("a plan", wait=0).__enter__()
    with pytest.raises(KeyError), store.exclusive("a plan", wait=0):
        raise KeyError
    with store.exclusive("a plan", wait=0):
        other.close()


def test_what_is_revoked_is_an_event(store) -> None:
    """Each entry that is written is told once; a write that fails tells nothing."""
    told = []
    end = subscribe(lambda event, members: told.append((event, members["entry"], members.get("by"))))
    try:
        store.revoke([deny("e1"), deny("e2")], at=1.0, by="operator")
        with pytest.raises(StoreError):
            store.revoke([deny("e2")], at=2.0)
    finally:
        end()
    assert [("revoked", "e1", "operator"), ("revoked", "e2", "operator")] == told
