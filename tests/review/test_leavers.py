"""Leavers: what a person holds who has left, by the list of people."""

from __future__ import annotations

import pytest

from jwt_lp.review import Person, ReviewExemption
from jwt_lp.review.analysis import people as people_of_review
from jwt_lp.review.analysis.people import ACTIVE, INACTIVE
from jwt_lp.review.findings import LAST_HOLDER
from jwt_lp.stores import HeldGrant
from review_scenario import ISSUER, NOW, ReviewScenario, days_ago, find_finding

GONE = Person("Alice Adams", "sales", "bob", "no")


@pytest.mark.parametrize("word", sorted(INACTIVE | {" No ", "FALSE", "Inactive"}))
def test_who_is_not_active_has_left(word: str) -> None:
    """Every word for no makes a leaver, in any case."""
    assert Person(active=word).has_left(NOW)


@pytest.mark.parametrize("word", sorted(ACTIVE | {" Yes ", "TRUE"}))
def test_who_is_active_has_not_left(word: str) -> None:
    """Every word for yes, and no word, makes no leaver."""
    assert not Person(active=word).has_left(NOW)


@pytest.mark.parametrize(("left", "leaver"), [(days_ago(1), True), (NOW, False), ("2099-12-31", False), ("", False)])
def test_a_leaver_has_had_the_last_day(left: str, leaver: bool) -> None:
    """On the last day of work the person has not left, whatever `active` says of a later day."""
    assert leaver is Person(active="yes", left=left).has_left(NOW)


def test_a_leaver_loses_what_was_used_today(past: ReviewScenario) -> None:
    """A grant of a leaver is proposed for removal, however recently it was used, and comes first."""
    past.record_use("carol", "orders:refund", 390)
    past.record_use("alice", "orders:read", 300, 0)
    found = past.review(people={"alice": GONE, "carol": Person()}, policy=past.policy())
    first = found.findings[0]
    assert ("leaver", "remove", "alice", ()) == (first.verdict, first.proposal, first.name, ())
    assert ("Alice Adams", "sales", "bob", "no") == (first.person_name, first.team, first.manager, first.active)
    assert f"not active any more. Used 2 times, last on {NOW}, 0 days ago." in first.reason
    assert (None, ()) == (first.likelihood, first.because)


def test_use_after_the_last_day_is_said(past: ReviewScenario) -> None:
    """Use after the last day of work is in the reason and in a note, and comes first among leavers."""
    past.record_use("alice", "orders:read", 300, 5)
    past.record_use("bob", "orders:refund", 300)
    people = {"alice": Person(left=days_ago(15)), "bob": Person(left=days_ago(15))}
    found = past.review(people=people, policy=past.policy())
    assert ["alice", "bob"] == [finding.name for finding in found.findings if finding.verdict == "leaver"]
    assert f"the last day was {days_ago(15)}, but it was used 10 days after that" in found.findings[0].reason
    assert [True, False] == [finding.used_after_leaving for finding in found.findings[:2]]
    assert "1 person used a grant after the last day of work" in found.notes


def test_a_leaver_who_used_nothing(past: ReviewScenario) -> None:
    """A grant that a leaver never used is a leaver's grant too, also if nothing requires it."""
    past.declare_permissions("orders:read")
    past.observe_grant("alice", "orders:archive", 3)
    one = find_finding(past.review(people={"alice": Person(left=days_ago(2))}), "alice", "orders:archive")
    assert ("leaver", "remove") == (one.verdict, one.proposal)
    assert one.reason == f"The holder has left: the last day was {days_ago(2)}. Never used."


def test_a_leaver_leaves_whole_patterns_and_roles(past: ReviewScenario) -> None:
    """A pattern is removed and not narrowed; a membership is removed as a whole, and its grants refer to it."""
    past.declare_permissions("orders:list", "orders:read")
    past.record_use("alice", "orders:list", 5, grant="orders:*")
    past.record_use("alice", "orders:list", 4, role="clerk")
    found = past.review(people={"alice": GONE}, policy=past.policy())
    whole = find_finding(found, "alice", "orders:*")
    member = find_finding(found, "alice", kind="member")
    (of_role,) = [one for one in found.findings if one.of == "subject" and one.role and one.kind == "grant"]
    assert ("grant", "leaver", "remove", ()) == (whole.kind, whole.verdict, whole.proposal, whole.instead)
    assert ("leaver", "remove", "clerk", ()) == (member.verdict, member.proposal, member.role, member.guards)
    assert ("leaver", "keep") == (of_role.verdict, of_role.proposal)
    assert of_role.guards[0].startswith("conferred by the role clerk")


def test_a_leavers_use_is_no_need_of_the_role(past: ReviewScenario) -> None:
    """A grant of a role that only a leaver used is not needed by any member."""
    past.declare_permissions("orders:list", "orders:read", "orders:refund")
    past.record_use("alice", "orders:refund", 5, role="clerk")
    past.record_use("bob", "orders:list", 5, role="clerk")
    assert "used" == find_finding(past.review(policy=past.policy()), "clerk", "orders:refund").verdict
    found = past.review(people={"alice": GONE, "bob": Person()}, policy=past.policy())
    assert ("unused", 0) == (
        find_finding(found, "clerk", "orders:refund").verdict,
        find_finding(found, "clerk", "orders:refund").users,
    )


def test_guards_that_rest_on_records_do_not_keep_a_leaver(past: ReviewScenario) -> None:
    """Grace, short records and use through another grant keep nothing for a leaver."""
    past.import_grants(HeldGrant(ISSUER, "alice", "", "", "orders:read", since=days_ago(3)))
    past.record_use("alice", "orders:read", 2, grant="orders:*")
    for window in (180, 3000):
        one = find_finding(past.review(window, people={"alice": GONE}), "alice", "orders:read")
        assert ("remove", (LAST_HOLDER,)) == (one.proposal, one.guards)


def test_guards_of_decisions_keep_a_leaver(past: ReviewScenario) -> None:
    """What is revoked already, or exempt, is not proposed again."""
    past.record_use("alice", "orders:read", 3)
    past.record_use("alice", "orders:list", 3)
    past.deny("alice", "orders:list")
    exempt = find_finding(past.review(people={"alice": GONE}), "alice", "orders:read").id
    found = past.review(people={"alice": GONE}, exempt=[ReviewExemption(exempt, NOW, "eve")])
    assert ("revoked already",) == find_finding(found, "alice", "orders:list").guards
    assert (f"exempt until {NOW} by eve",) == find_finding(found, "alice", "orders:read").guards
    assert {"keep"} == {one.proposal for one in found.findings if one.name == "alice"}


def test_what_a_leaver_asks_for_is_not_needed(past: ReviewScenario) -> None:
    """A refused request of a leaver says so."""
    past.record_refusal("alice", "orders:refund", 3)
    one = find_finding(past.review(people={"alice": GONE}), "alice", "orders:refund")
    assert ("needed-but-denied", "keep") == (one.verdict, one.proposal)
    assert one.reason.endswith("The person has left.")


def test_differences_between_list_and_store_are_noted(past: ReviewScenario) -> None:
    """Subjects that the list lacks, and persons that the store lacks, are named, the first three of each."""
    for name in ("alice", "bob", "carol", "dave"):
        past.record_use(name, "orders:read", 3)
    notes = "\n".join(past.review(people={"eve": Person()}).notes)
    assert "4 subjects are not in the list of people (alice, bob, carol, ...): they may have left" in notes
    assert "1 person in the list of people is not in this review (eve)" in notes
    everybody = {name: Person(active="yes") for name in ("alice", "bob", "carol", "dave")}
    assert "list of people" not in "\n".join(past.review(people=everybody).notes)
    one_less = {**everybody, **{f"x{number}": Person() for number in range(4)}}
    del one_less["dave"]
    notes = "\n".join(past.review(people=one_less).notes)
    assert "1 subject is not in the list of people (dave): they may have left" in notes
    assert "4 people in the list of people are not in this review (x0, x1, x2, ...)" in notes


def test_an_active_person_past_the_last_day_is_noted(past: ReviewScenario) -> None:
    """The two columns contradict each other: the last day counts, and the note says so."""
    past.record_use("alice", "orders:read", 3)
    found = past.review(people={"alice": Person(active="yes", left=days_ago(1))})
    assert "leaver" == find_finding(found, "alice", "orders:read").verdict
    assert any("marked as active, but the last day of work is over" in note for note in found.notes)


@pytest.mark.parametrize(("leavers", "noted", "proposed"), [(2, False, True), (3, True, True), (6, True, False)])
def test_a_wrong_list_removes_nobody(
    past: ReviewScenario, monkeypatch: pytest.MonkeyPatch, leavers: int, noted: bool, proposed: bool
) -> None:
    """Above a fifth of leavers the list is doubted in a note; above a half nothing is proposed for any of them."""
    monkeypatch.setattr(people_of_review, "_FEW", 2)
    names = [f"user{number}" for number in range(10)]
    past.add([past.use(name, "orders:read", 3, "orders:read") for name in names])
    people = {name: Person(active="no" if number < leavers else "yes") for number, name in enumerate(names)}
    found = past.review(people=people)
    assert noted is any("check the list before you remove anything" in note for note in found.notes)
    of_leavers = [one for one in found.findings if one.verdict == "leaver"]
    assert leavers == len(of_leavers)
    assert {"remove" if proposed else "keep"} == {one.proposal for one in of_leavers}
    assert proposed is not any("the list of people may be wrong" in "; ".join(one.guards) for one in of_leavers)


def test_a_name_of_two_issuers_is_nobody_certain(past: ReviewScenario) -> None:
    """The list has no issuers, so a leaver's name that two issuers use is proposed for neither of them."""
    past.record_use("alice", "orders:read", 3)
    past.add([past.use("alice", "orders:read", 3, "orders:read")._replace(issuer="https://other.test")])
    found = past.review(people={"alice": GONE})
    assert ["keep", "keep"] == [one.proposal for one in found.findings]
    assert all("several issuers" in one.guards[0] for one in found.findings)
    assert ["remove"] == [one.proposal for one in past.review(people={"alice": GONE}, issuer=ISSUER).findings]


def test_the_list_of_people_is_in_the_digest(past: ReviewScenario) -> None:
    """A list decides about verdicts, so another list gives another digest."""
    past.record_use("alice", "orders:read", 3)
    digests = {past.review(people=people).digest for people in (None, {}, {"alice": GONE}, {"alice": Person()})}
    assert 3 == len(digests)
