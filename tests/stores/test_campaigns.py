"""Campaigns and the audit trail in every store, on each engine."""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy (extra `sql`)")

from jwt_lp.errors import CampaignClosed, CampaignRefused, CampaignUnknown, ConfigurationError, StoreError
from jwt_lp.revocation.entries import RevocationEntry
from jwt_lp.stores import (
    Actor,
    AuditEntry,
    AuditFilter,
    Campaign,
    CampaignItem,
    CampaignPart,
    DecideResult,
    ItemDecision,
    ItemFilter,
    PurgeCounts,
    WantedDecision,
    WantedEntry,
    open_store,
)
from jwt_lp.stores.migration import VERSION
from stores.conftest import ENGINES
from stores.threads import at_once

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from jwt_lp.stores import Store

NOW = 1_800_000_000.5
DAY = 86400.0
ISSUER = "https://issuer.example/"
ADA = Actor(issuer=ISSUER, subject="ada", name="Ada “A”\t")
BOB = Actor(issuer=ISSUER, subject="bob")
CY = Actor(issuer="", subject="cy")


@pytest.fixture
def store(emptied_store: Store) -> Store:
    """An empty store, on each engine in turn."""
    return emptied_store


def campaign(of: str = "c1", **other: Any) -> Campaign:
    values: dict[str, Any] = {
        "name": "Autumn ☂", "made_at": NOW, "day": "2027-01-15", "deadline": NOW + 14 * DAY, "undecided": "keep",
        "split": "manager", "made_by": ADA, "origin": {"store": "s", "days": 90}, "summary": {"by": {"x": 1.5}},
        "stages": "notice=14d",
    }  # fmt: skip
    return Campaign(**{"id": of, **values, **other})


def part(name: str = "bob", reviewer: Actor | None = BOB, **other: Any) -> CampaignPart:
    return CampaignPart(**{"campaign": "c1", "name": name, "reviewer": reviewer, **other})


def item(of: str, position: int, **other: Any) -> CampaignItem:
    finding = {
        "of": "subject", "issuer": ISSUER, "name": f"s-{of}", "role": "clerk", "grant": "orders:read",
        "proposal": "remove", "uses": 3, "instead": ["a"], **other.pop("finding", {}),
    }  # fmt: skip
    return CampaignItem(
        **{"campaign": "c1", "id": of, "part": "bob", "position": position, "finding": finding, **other}
    )


def entry(action: str = "frozen", **other: Any) -> WantedEntry:
    return WantedEntry(**{"actor": ADA, "at": NOW, "action": action, "campaign": "c1", **other})


def freeze(store: Store, members: Iterable[CampaignItem], of: str = "c1", **other: Any) -> Campaign:
    """Write a campaign with the parts `bob` and `cy`."""
    made = campaign(of, **other)
    owned = [replace(each, campaign=made.id) for each in members]
    parts = [part(campaign=made.id), part("cy", CY, campaign=made.id)]
    store.add_campaign(made, parts, iter(owned), [("bob", {"id": "g1", "holders": 2})], entry(campaign=made.id))
    return made


def wanted(name: str, decision: Any = "remove", version: int = 0, **other: Any) -> WantedDecision:
    return WantedDecision(item=name, decision=decision, version=version, **other)


def decide(
    store: Store, *decisions: WantedDecision, actor: Actor = BOB, at: float = NOW + 5, **other: Any
) -> DecideResult:
    return store.decide_items("c1", decisions, actor=actor, at=at, **other)


def items(store: Store, **other: Any) -> list[CampaignItem]:
    return list(store.campaign_items(ItemFilter(campaign="c1", **other)))


def ids(store: Store, **other: Any) -> list[str]:
    return [each.id for each in items(store, **other)]


def counts(store: Store) -> tuple[tuple[int, int], dict[str, tuple[int, int]]]:
    """The items and decisions of the campaign `c1`, and of each part."""
    found = store.campaign("c1")
    assert found is not None
    return (found.items, found.decided), {each.name: (each.items, each.decided) for each in store.campaign_parts("c1")}


def trail(store: Store, **other: Any) -> list[tuple[str, str]]:
    return [(each.action, each.object) for each in store.audit_entries(AuditFilter(**other))]


def check_chain(store: Store) -> list[AuditEntry]:
    """The entries of the audit trail, each of which fits the one before it."""
    entries, previous = list(store.audit_entries(AuditFilter())), ""
    for number, each in enumerate(entries, 1):
        assert (number, previous, each.computed_hash()) == (each.sequence, each.previous, each.hash)
        previous = each.hash
    assert (len(entries), previous) == store.audit_head()
    return entries


def test_a_campaign_comes_back_as_it_was_written(store: Store) -> None:
    """Every member is stored; the numbers of items are counted, whatever the caller says."""
    assert ((), None, (), []) == (store.campaigns(), store.campaign("c1"), store.campaign_parts("c1"), items(store))
    first, second = item("i1", 0, group="g1"), item("i2", 1, finding={"grant": "a:b"})
    decided = item("i3", 0, part="cy", version=2, decision=ItemDecision(
        decision="exempt", by=CY, at=NOW, until="2027-06-30", comment="Älice\n“why”", rule=True, group="g9",
    ))  # fmt: skip
    freeze(store, [decided, second, first], items=99, decided=98)
    written = campaign(items=3, decided=1)
    assert written == store.campaign("c1")
    assert (written,) == store.campaigns()
    assert (part(items=2), part("cy", CY, items=1, decided=1)) == store.campaign_parts("c1")
    assert [first, second, decided] == items(store)
    assert (({"id": "g1", "holders": 2},), ()) == (
        store.campaign_groups("c1", "bob"),
        store.campaign_groups("c1", "cy"),
    )
    (logged,) = check_chain(store)
    assert (ADA, NOW, "frozen", "c1", "") == (logged.actor, logged.at, logged.action, logged.campaign, logged.object)


def test_the_state_follows_from_the_clock() -> None:
    """A campaign is overdue from its deadline on, until somebody closes or cancels it."""
    made = campaign()
    states = [made.state(NOW), made.state(made.deadline), replace(made, closed_at=NOW).state(NOW + 99 * DAY)]
    assert ["open", "overdue", "closed"] == states
    assert "cancelled" == replace(made, cancelled_at=NOW).state(NOW)


def test_a_campaign_is_written_once_and_whole(store: Store) -> None:
    """A second one with its id, or one that contradicts itself, changes nothing."""
    freeze(store, [item("i1", 0)])
    known = store.campaigns(), items(store), store.audit_head()
    with pytest.raises(StoreError, match="exists already"):
        store.add_campaign(campaign(name="other"), [], [], [], entry())
    for parts, members, groups, fault in (
        ([part(campaign="c2")], [item("i1", 0, campaign="c2", part="nobody")], [], "does not have"),
        ([part(campaign="c2")], [item("i1", 0)], [], "another campaign"),
        ([part()], [], [], "another campaign"),
        ([part(campaign="c2")], [], [("nobody", {})], "does not have"),
        ([part(campaign="c2")], [item("i1", n, campaign="c2") for n in range(2)], [], "the same id"),
    ):
        with pytest.raises(ValueError, match=fault):
            store.add_campaign(campaign("c2"), parts, members, groups, entry(campaign="c2"))
    assert known == (store.campaigns(), items(store), store.audit_head())


def test_texts_that_a_database_cannot_store_are_replaced(store: Store) -> None:
    """NUL and half characters are replaced, long names cut; JSON keeps what it says, and the chain is whole."""
    odd, long = "a\0b\ud800", "x" * 300
    finding = {"of": "subject", "issuer": odd, "name": long, "grant": long, "role": odd, "note": odd}
    store.add_campaign(
        campaign(id=odd, name=odd, origin={odd: odd}),
        [part(long, Actor(issuer=odd, subject=long), campaign=odd)],
        [item(long, 0, campaign=odd, part=long, group=long, finding=finding)],
        [(long, {"id": odd})],
        entry(odd, campaign=odd, object=long, details={"x": odd, "y": (1, 2)}, actor=Actor(issuer=odd, subject=odd)),
    )
    (found,) = store.campaigns()
    assert ("a\ufffdb?", {odd: odd}, found) == (found.name, found.origin, store.campaign(odd))
    (mine,) = store.parts_of(odd, long)
    assert (long, 1) == (mine.reviewer and mine.reviewer.subject, mine.items)
    which = ItemFilter(campaign=odd, part=long, group=long, grant=long, role=odd, holder=("subject", odd, long))
    (stored,) = store.campaign_items(which)
    assert (odd, 255) == (stored.finding["note"], len(stored.id))
    store.decide_items(odd, [wanted(long, comment=odd + long)], actor=BOB, at=NOW, parts=[mine])
    assert ("a\ufffdb?" + long) == next(store.campaign_items(which)).decision.comment  # type: ignore[union-attr]
    assert (stored.id, 1) == (store.item_history([long])[0].id, len(store.campaign_groups(odd, long)))
    assert [{"x": odd, "y": [1, 2]}, "decided"] == [
        each.details if n == 0 else each.action for n, each in enumerate(check_chain(store))
    ]
    assert 2 == len(trail(store, campaign=odd, object=long))


def test_items_are_selected_and_paged(store: Store) -> None:
    """Each filter alone, and the pages of a part."""
    other = {"of": "role", "issuer": "", "name": "clerk", "role": "boss", "grant": "a:b"}
    freeze(
        store,
        [item(f"i{n}", n, group="g1" if n < 2 else "") for n in range(5)] + [item("j", 0, part="cy", finding=other)],
    )
    decide(store, wanted("i1"), wanted("i3", "keep"))
    assert (["i1"], ["i3"]) == (ids(store, decision="remove"), ids(store, decision="keep"))
    assert ["i0", "i1", "i2", "i3", "i4", "j"] == ids(store)
    assert (["i1", "i3"], ["i0", "i2", "i4", "j"]) == (ids(store, decided=True), ids(store, decided=False))
    assert (["i0", "i2"], ["i4"]) == (
        ids(store, part="bob", decided=False, limit=2), ids(store, part="bob", decided=False, after=2),
    )  # fmt: skip
    assert (["j"], ["j"], ["j"]) == (
        ids(store, holder=("role", "", "clerk")), ids(store, grant="a:b"), ids(store, role="boss"),
    )  # fmt: skip
    assert (["i0", "i1"], ["i2", "j"], []) == (
        ids(store, group="g1"),
        ids(store, ids=["j", "i2", "x"]),
        ids(store, ids=[]),
    )
    for bad in ({"after": 1}, {"ids": ["x"] * 1001}):
        with pytest.raises(ValueError, match=r"name the part|at most 1000"):
            ItemFilter(campaign="c1", **bad)


def test_a_decision_is_written_with_its_numbers_and_its_entry(store: Store) -> None:
    """The decision, the version, the counters, the day and the entry of the audit trail change together."""
    freeze(store, [item("i1", 0), item("i2", 1), item("i3", 0, part="cy")])
    result = decide(store, wanted("i1", "exempt", until="2027-03-01", comment="needed"), wanted("i3", group="g1"))
    assert (("i1", "i3"), ()) == result
    first = items(store, ids=["i1"])[0]
    made = ItemDecision(decision="exempt", by=BOB, at=NOW + 5, until="2027-03-01", comment="needed")
    assert (made, 1) == (first.decision, first.version)
    assert ((3, 2), {"bob": (2, 1), "cy": (1, 1)}) == counts(store)
    assert (("i1",), ()) == decide(store, wanted("i1", "keep", 1), at=NOW + DAY, actor=CY)
    assert ((3, 2), {"bob": (2, 1), "cy": (1, 1)}) == counts(store)
    assert (("i1",), ()) == decide(store, wanted("i1", "", 2), rule=True)
    assert (None, 3) == (items(store, ids=["i1"])[0].decision, items(store, ids=["i1"])[0].version)
    assert ((3, 1), {"bob": (2, 0), "cy": (1, 1)}) == counts(store)
    assert ((), ()) == decide(store, wanted("i2", ""))
    logged = [(each.object, each.actor, each.details) for each in check_chain(store)[1:]]
    assert [
        ("i1", BOB, {"decision": "exempt", "until": "2027-03-01", "comment": "needed", "before": "", "part": "bob", "version": 1}),
        ("i3", BOB, {"decision": "remove", "until": "", "comment": "", "before": "", "part": "cy", "version": 1, "group": "g1"}),
        ("i1", CY, {"decision": "keep", "until": "", "comment": "", "before": "exempt", "part": "bob", "version": 2}),
        ("i1", BOB, {"decision": "", "until": "", "comment": "", "before": "keep", "part": "bob", "version": 3, "rule": True}),
    ] == logged  # fmt: skip


def test_a_decision_about_what_has_changed_is_a_conflict(store: Store) -> None:
    """The item comes back as it is now; the other decisions of the request are written. An override writes all."""
    freeze(store, [item("i1", 0), item("i2", 1)])
    decide(store, wanted("i1", "keep"))
    changed, conflicts = decide(store, wanted("i1", "remove", 0), wanted("i2"), actor=CY)
    assert (("i2",), items(store, ids=["i1"])) == (changed, list(conflicts))
    assert "keep" == conflicts[0].decision.decision  # type: ignore[union-attr]
    assert ((), tuple(items(store, ids=["i1"]))) == decide(store, wanted("i1", "", 0))
    assert (("i1",), ()) == decide(store, wanted("i1", "remove", 0), override=True)
    assert (2, True) == (items(store)[0].version, check_chain(store)[-1].details["override"])


@pytest.mark.parametrize(
    ("decisions", "error"),
    [
        ([wanted("i1"), wanted("j")], CampaignRefused),
        ([wanted("i1"), wanted("nonesuch")], CampaignUnknown),
        ([wanted("i1"), wanted("i1", "keep")], CampaignRefused),
    ],
    ids=["another part", "unknown", "twice"],
)
def test_a_request_with_a_refused_decision_writes_nothing(store: Store, decisions: Any, error: Any) -> None:
    """All or none."""
    freeze(store, [item("i1", 0), item("j", 0, part="cy")])
    known = counts(store), items(store), store.audit_head()
    with pytest.raises(error):
        decide(store, *decisions, parts=store.campaign_parts("c1")[:1])
    assert known == (counts(store), items(store), store.audit_head())


def test_a_campaign_that_is_over_does_not_change(store: Store) -> None:
    """After the close, or the cancelling, every change is refused."""
    freeze(store, [item("i1", 0)])
    with pytest.raises(CampaignRefused, match="1 of its items") as refused:
        store.close_campaign("c1", at=NOW + 9, actor=ADA)
    assert "undecided" == refused.value.reason
    decide(store, wanted("i1"))
    closed = store.close_campaign("c1", at=NOW + 9, actor=ADA)
    assert (NOW + 9, closed) == (closed.closed_at, store.campaign("c1"))
    freeze(store, [item("i1", 0)], of="c2", made_at=NOW + 1)
    cancelled = store.cancel_campaign("c2", at=NOW + 8, actor=CY, reason="typo")
    assert (NOW + 8, cancelled) == (cancelled.cancelled_at, store.campaign("c2"))
    known = store.campaigns(), store.audit_head()
    assert [cancelled, closed] == list(known[0])
    for name in ("c1", "c2"):
        for change in (
            partial(store.decide_items, name, [wanted("i1", "keep", 1)], actor=BOB, at=NOW),
            partial(store.assign_part, name, "bob", CY, version=0, actor=ADA, at=NOW),
            partial(store.mark_reminded, name, ["bob"], at=NOW, actor=ADA),
            partial(store.close_campaign, name, at=NOW, actor=ADA),
            partial(store.cancel_campaign, name, at=NOW, actor=ADA),
        ):
            with pytest.raises(CampaignClosed):
                change()
    assert known == (store.campaigns(), store.audit_head())
    details = [(each.action, each.campaign, each.details) for each in check_chain(store)]
    assert ("closed", "c1", {"items": 1}) in details
    assert ("cancelled", "c2", {"reason": "typo", "items": 1, "decided": 0}) in details


def test_what_is_unknown_is_not_changed(store: Store) -> None:
    """There is no campaign, or no such part."""
    freeze(store, [item("i1", 0)])
    for change in (
        partial(store.decide_items, "c9", [wanted("i1")], actor=BOB, at=NOW),
        partial(store.assign_part, "c9", "bob", CY, version=0, actor=ADA, at=NOW),
        partial(store.assign_part, "c1", "nobody", CY, version=0, actor=ADA, at=NOW),
        partial(store.mark_reminded, "c9", ["bob"], at=NOW, actor=ADA),
        partial(store.mark_reminded, "c1", ["bob", "nobody"], at=NOW, actor=ADA),
        partial(store.close_campaign, "c9", at=NOW, actor=ADA),
        partial(store.cancel_campaign, "c9", at=NOW, actor=ADA),
    ):
        with pytest.raises(CampaignUnknown):
            change()
    assert ["frozen"] == [each.action for each in check_chain(store)]
    assert ((), (), (), ()) == (
        store.campaign_parts("c9"), store.campaign_groups("c9", ""), store.item_history(["x"]), store.decisions_by_day("c9"),
    )  # fmt: skip


def test_a_part_is_given_to_another_reviewer(store: Store) -> None:
    """The new reviewer finds it, the old one does not; an assignment that came first wins."""
    freeze(store, [item("i1", 0)])
    assert ("bob",) == tuple(each.name for each in store.parts_of(ISSUER, "bob"))
    given = store.assign_part("c1", "bob", CY, version=0, actor=BOB, at=NOW, delegated=True)
    assert (replace(part(items=1), reviewer=CY, delegated_by=BOB, version=1), given) == (
        given,
        store.campaign_parts("c1")[0],
    )
    assert ((), ["bob", "cy"]) == (store.parts_of(ISSUER, "bob"), [each.name for each in store.parts_of("", "cy")])
    with pytest.raises(CampaignRefused, match="somebody else"):
        store.assign_part("c1", "bob", ADA, version=0, actor=ADA, at=NOW)
    taken = store.assign_part("c1", "bob", None, version=1, actor=ADA, at=NOW)
    assert (None, None, 2) == (taken.reviewer, taken.delegated_by, taken.version)
    assert ["cy"] == [each.name for each in store.parts_of("", "cy")]
    cy = {"issuer": "", "subject": "cy", "name": ""}
    assert [("delegated", "bob", cy), ("assigned", "bob", None)] == [
        (each.action, each.object, each.details["reviewer"]) for each in check_chain(store)[1:]
    ]


def test_who_has_lost_a_part_does_not_decide(store: Store) -> None:
    """A decision about a part that was given to somebody else since it was read is refused, and so is one of no part."""
    freeze(store, [item("i1", 0), item("i2", 1)])
    bobs, cys = store.campaign_parts("c1")
    assert ("i1",) == decide(store, wanted("i1"), parts=[bobs, cys]).changed
    store.assign_part("c1", "bob", CY, version=0, actor=ADA, at=NOW)
    for parts in ([bobs], [cys, bobs], [replace(bobs, name="nobody")]):
        with pytest.raises(CampaignRefused, match="somebody else") as refused:
            decide(store, wanted("i2"), parts=parts)
        assert "version" == refused.value.reason
    with pytest.raises(CampaignRefused, match="another part"):
        decide(store, wanted("i2"), parts=[])
    assert ("i2",) == decide(store, wanted("i2"), parts=store.campaign_parts("c1")).changed


def test_what_others_write_behind_our_backs_is_noticed(store: Store) -> None:
    """A decision that another program has changed is not replaced, and the audit trail is not continued from a wrong end."""
    from jwt_lp.stores.campaign_changes import ItemChange

    freeze(store, [item("i1", 0)])
    decide(store, wanted("i1"))
    stale = [ItemChange(item("i1", 0), None)]
    with pytest.raises(StoreError, match="somebody else has written"):
        _write_past_the_lock(store, stale)
    assert 1 == items(store)[0].version
    _set_head(store, 0)
    with pytest.raises(StoreError, match="entries behind its last one: somebody else has written"):
        store.append_audit([entry()])
    _set_head(store, 2)
    assert 2 == len(list(store.audit_entries(AuditFilter())))


def _write_past_the_lock(store: Any, changes: Any) -> None:
    if store.name.startswith("django:"):
        from jwt_lp_django import campaign_rows as rows

        store._database.write(lambda: rows._write_decisions(store._alias, "c1", changes))
        return
    from jwt_lp.stores import campaign_rows

    with store._database.write() as connection:
        campaign_rows._write_decisions(connection, "c1", changes)


def _set_head(store: Any, sequence: int) -> None:
    if store.name.startswith("django:"):
        from jwt_lp_django.models import AuditHead

        store._database.write(lambda: AuditHead.objects.using(store._alias).update(sequence=sequence))
        return
    from jwt_lp.stores.campaign_schema import audit_head

    with store._database.write() as connection:
        connection.execute(audit_head.update().values(sequence=sequence))


def test_an_actor_is_a_subject_of_an_issuer() -> None:
    """The shown name does not count."""
    assert [True, False, False] == [ADA.is_same(replace(ADA, name="")), ADA.is_same(BOB), ADA.is_same(None)]


def test_reviewers_see_the_next_deadline_first(store: Store) -> None:
    """Parts of campaigns that are over are left out."""
    for number, deadline in ((1, 9), (2, 3), (3, 6), (4, 1)):
        freeze(store, [], of=f"c{number}", deadline=NOW + deadline * DAY)
    store.close_campaign("c1", at=NOW, actor=ADA)
    store.cancel_campaign("c4", at=NOW, actor=ADA)
    assert ["c2", "c3"] == [each.campaign for each in store.parts_of(ISSUER, "bob")]
    assert () == store.parts_of(ISSUER, "BOB")


def test_reminders_are_noted(store: Store) -> None:
    """The time of the last one stays with the part."""
    freeze(store, [item("i1", 0)])
    store.mark_reminded("c1", ["bob", "cy"], at=NOW + 3, actor=ADA)
    store.mark_reminded("c1", ["cy"], at=NOW + 4, actor=ADA)
    store.mark_reminded("c1", [], at=NOW + 5, actor=ADA)
    assert [NOW + 3, NOW + 4] == [each.reminded_at for each in store.campaign_parts("c1")]
    assert [("reminded", "bob"), ("reminded", "cy"), ("reminded", "cy")] == trail(store)[1:]


def test_items_have_a_history(store: Store) -> None:
    """What was decided about the same findings in earlier campaigns, the newest first, at most some of each."""
    for number in range(3):
        freeze(store, [item("i1", 0), item("i2", 1), item("i3", 2)], of=f"c{number + 1}", made_at=NOW + number)
    decide(store, wanted("i1", "keep"))

    def history(*ids: str, **other: Any) -> list[tuple[str, str, str]]:
        found = store.item_history(ids, **other)
        return [(each.campaign, each.id, each.decision.decision if each.decision else "") for each in found]

    assert [("c3", "i1", ""), ("c2", "i1", ""), ("c1", "i1", "keep")] == history("i1", "x")
    assert [("c3", "i1", ""), ("c3", "i2", ""), ("c2", "i1", ""), ("c2", "i2", "")] == history("i1", "i2", limit=2)
    assert [("c1", "i1", "keep")] == history("i1", before=NOW + 1)
    assert [] == history()


def test_the_groups_of_a_part_are_counted(store: Store) -> None:
    """Items and decisions of each group, and of the items in none."""
    freeze(
        store, [item(f"i{n}", n, group="g1" if n < 3 else "") for n in range(5)] + [item("j", 0, part="cy", group="g1")]
    )
    decide(store, wanted("i0"), wanted("i1", "keep"))
    assert {"": (2, 0), "g1": (3, 2)} == store.group_counts("c1", "bob")
    assert {} == store.group_counts("c1", "nobody")


def test_decisions_are_counted_by_day(store: Store) -> None:
    """Days in UTC of the decisions that stand; a decision that was taken back counts no more."""
    freeze(store, [item(f"i{n}", n) for n in range(5)])
    decide(store, *(wanted(f"i{n}") for n in range(3)), at=NOW)
    decide(store, wanted("i3"), at=NOW + DAY)
    decide(store, wanted("i0", "", 1), at=NOW + DAY)
    decide(store, wanted("i1", "keep", 1), at=NOW + DAY)
    assert (("2027-01-15", 1), ("2027-01-16", 2)) == store.decisions_by_day("c1")


def test_the_audit_trail_is_read_in_parts(store: Store) -> None:
    """Entries of others follow; each filter alone, and pages in both directions."""
    assert ((0, ""), []) == (store.audit_head(), trail(store))
    freeze(store, [])
    added = store.append_audit(
        [
            entry("applied", campaign="", object="p1", details={"n": 1.5}, at=NOW + 1),
            entry("undone", object="p1", actor=CY, at=NOW + 2),
        ]
    )
    assert list(added) == check_chain(store)[1:]
    assert () == store.append_audit([])
    frozen, applied, undone = ("frozen", ""), ("applied", "p1"), ("undone", "p1")
    assert [applied, undone] == trail(store, object="p1")
    assert [frozen, undone] == trail(store, campaign="c1")
    assert ([undone], [applied]) == (trail(store, after=2), trail(store, after=1, before=3))
    assert [undone, applied] == trail(store, newest_first=True, limit=2)
    assert ([applied], [], [undone]) == (
        trail(store, action="applied"),
        trail(store, action="Undone"),
        trail(store, actor="cy"),
    )
    assert ([frozen, applied], [frozen, applied]) == (trail(store, actor="ada"), trail(store, actor=ADA.name))
    assert ([applied, undone], [applied]) == (trail(store, since=NOW + 1), trail(store, since=NOW + 1, until=NOW + 2))


def test_a_purge_keeps_campaigns_and_the_audit_trail(store: Store) -> None:
    """They are the evidence of what was decided."""
    freeze(store, [item("i1", 0)])
    known = store.campaigns(), items(store), check_chain(store)
    assert PurgeCounts() == store.purge(before="2099-01-01", now=NOW + 9999 * DAY)
    assert known == (store.campaigns(), items(store), check_chain(store))


def test_reviewers_at_once_lose_no_decision(store: Store) -> None:
    """Of twenty decisions about one item one is written, and all about different items; the chain does not fork."""
    freeze(store, [item(f"i{n}", n) for n in range(20)])

    def vote(number: int) -> tuple[int, int]:
        own = decide(store, wanted(f"i{number}"), actor=Actor(issuer=ISSUER, subject=str(number)))
        shared = decide(store, wanted("i0", "keep", version=1), actor=Actor(issuer=ISSUER, subject=str(number)))
        return len(own.changed), len(shared.changed)

    votes = [partial(vote, number) for number in range(1, 20)]
    results = at_once(store, *votes, partial(decide, store, wanted("i0")))
    assert {(1, 0), (1, 1)} >= set(results[:-1])
    won = sum(shared for _, shared in results[:-1])
    found = {each.id: each for each in items(store)}
    assert (1 + won, {1}) == (found["i0"].version, {found[f"i{n}"].version for n in range(1, 20)})
    assert won <= 1
    assert ((20, 20), {"bob": (20, 20), "cy": (0, 0)}) == counts(store)
    assert 1 + 20 + won == len(check_chain(store))


def test_a_close_comes_before_or_after_a_decision(store: Store) -> None:
    """A decision either counts in the closed campaign, or is refused."""
    freeze(store, [item("i1", 0), item("i2", 1)])
    decide(store, wanted("i1"), wanted("i2"))
    change = partial(decide, store, wanted("i1", "keep", 1))
    closed, result = at_once(store, partial(store.close_campaign, "c1", at=NOW, actor=ADA), change)
    assert NOW == closed.closed_at
    refused = isinstance(result, CampaignClosed)
    assert (1 if refused else 2) == items(store)[0].version
    actions = [each.action for each in check_chain(store)]

    assert "closed" == actions[-1]


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_tables_of_version_4_get_what_is_new(engine: str, tmp_path: Path) -> None:
    """The tables of campaigns and the audit trail, and the indexes for pages; what was stored stays."""
    with ENGINES[engine](tmp_path) as url, closing(open_store(url)) as store:
        store.revoke([RevocationEntry(id="1", of="subject", issuer="i", name="n", pattern="a:*")], at=1.0)
        new = _index_names(url)
        for table in ("campaign", "campaign_part", "campaign_group", "campaign_item", "audit", "audit_head"):
            _execute(url, f"DROP TABLE jwt_lp_{table}")
        for name in (
            "holder_sum_client", "holder_sum_permission", "daily_sum_permission", "sighting_client", "sighting_role",
            "sighting_grant", "held_role", "held_grant",
        ):  # fmt: skip
            _execute(url, f"DROP INDEX jwt_lp_{name}")
        _execute(url, "UPDATE jwt_lp_schema SET version = 4")
        with closing(open_store(url)) as other, pytest.raises(ConfigurationError, match="older release"):
            other.audit_head()
        assert (4, VERSION) == store.migrate()
        assert (new, 1, (0, "")) == (_index_names(url), len(list(store.revocations())), store.audit_head())
        assert [1] == [each.sequence for each in store.append_audit([entry()])]


@contextmanager
def _engine(url: str) -> Iterator[Any]:
    import sqlalchemy as sa

    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    yield engine
    engine.dispose()


def _execute(url: str, statement: str) -> None:
    with _engine(url) as engine, engine.begin() as connection:
        connection.exec_driver_sql(statement)


def _index_names(url: str) -> set[str]:
    import sqlalchemy as sa

    with _engine(url) as engine:
        found = sa.inspect(engine)
        return {str(each["name"]) for table in found.get_table_names() for each in found.get_indexes(table)}


def test_the_rows_of_django_are_shown_by_name() -> None:
    """Each model of campaigns and of the audit trail says which row it is."""
    pytest.importorskip("django", reason="needs Django (extra `django`)")
    from hosts.django_setup import configure

    configure()
    from jwt_lp_django import models

    rows = [
        models.Campaign(name="Autumn"), models.CampaignPart(name="bob"), models.CampaignGroup(part="cy"),
        models.CampaignItem(item="i1"), models.AuditEntry(sequence=3, action="closed"), models.AuditHead(sequence=4),
    ]  # fmt: skip
    assert ["Autumn", "bob", "cy", "i1", "3: closed", "4"] == list(map(str, rows))
