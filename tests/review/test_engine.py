"""Findings of a review, by the recorded events."""

from __future__ import annotations

import dataclasses

import pytest

from jwt_lp.errors import ConfigurationError
from jwt_lp.review import DecisionRule, Person, ReviewExemption
from jwt_lp.review.analysis import finding_collector, training
from jwt_lp.review.analysis.backtesting import fit_model
from jwt_lp.review.analysis.evidence import ordinal
from jwt_lp.review.analysis.grant_features import GrantFeatures
from jwt_lp.review.analysis.likelihood import LikelihoodModel
from jwt_lp.review.analysis.training import RestoredGrant, load_history
from jwt_lp.review.findings import USED_THROUGH_ANOTHER
from jwt_lp.review.trained_review import choose_rule
from jwt_lp.stores import HeldGrant
from review_scenario import ISSUER, NOW, ReviewScenario, days_ago, find_finding, noon_of


def verdict_of(found, name, grant, kind=""):
    one = find_finding(found, name, grant, kind)
    return one.verdict, one.proposal


def test_a_used_grant_is_kept(past: ReviewScenario) -> None:
    """A grant that was used within the window has the verdict used, with its numbers."""
    past.record_use("alice", "orders:read", 300, 20, 3)
    one = find_finding(past.review(), "alice", "orders:read")
    assert ("used", "keep", 3, 3, days_ago(300), days_ago(3), 3) == (
        one.verdict,
        one.proposal,
        one.uses,
        one.days,
        one.first_day,
        one.last_day,
        one.idle,
    )


def test_a_grant_idle_for_the_window_is_unused(past: ReviewScenario) -> None:
    """A grant that was last used before the window is unused and proposed for removal."""
    past.record_use("alice", "orders:read", 300, 180)
    past.record_use("bob", "orders:read", 300, 179)
    found = past.review()
    assert ("unused", "remove") == verdict_of(found, "alice", "orders:read")
    assert ("used", "keep") == verdict_of(found, "bob", "orders:read")
    assert "idle for 180 days or more" in find_finding(found, "alice", "orders:read").reason


def test_a_grant_never_used_in_the_whole_window_is_dormant(past: ReviewScenario) -> None:
    """A grant that was observable for the whole window without use is dormant; a newer one is not proposed."""
    past.declare_permissions("orders:refund")
    past.observe_grant("alice", "orders:refund", 200)
    past.observe_grant("bob", "orders:refund", 100)
    found = past.review()
    assert ("dormant", "remove") == verdict_of(found, "alice", "orders:refund")
    assert ("dormant", "keep") == verdict_of(found, "bob", "orders:refund")
    assert "observable for only 100 of 180 days" in find_finding(found, "bob", "orders:refund").guards[0]


def test_without_a_model_the_default_window_decides(past: ReviewScenario) -> None:
    """A likelihood that nobody computed is none; the review says what was used instead."""
    past.record_use("alice", "orders:read", 300, 180)
    found = past.review(rule=DecisionRule("likelihood", 0.05))
    assert ("unused", "remove") == verdict_of(found, "alice", "orders:read")
    assert "There is not enough history for likelihoods: a window of 180 days was used instead" in found.notes


def test_a_grant_that_was_first_seen_today(past: ReviewScenario) -> None:
    """It has no days without use to be counted."""
    past.declare_permissions("orders:refund")
    past.observe_grant("alice", "orders:refund", 0)
    found = find_finding(past.review(), "alice", "orders:refund")
    assert found.reason.startswith("Never used; its use can be seen only since today, 20")


def test_a_grant_that_no_enforcement_point_requires_is_unobservable(past: ReviewScenario) -> None:
    """A grant that no known enforcement point requires is never unused."""
    past.declare_permissions("orders:read")
    past.observe_grant("alice", "orders:archive", 300)
    assert ("unobservable", "keep") == verdict_of(past.review(), "alice", "orders:archive")


@pytest.mark.parametrize(
    ("asked", "grant"),
    [("orders:{id}:read", "orders:42:read"), ("orders:{id}:read", "orders:*:read"), ("a:b", "**"), ("a:b", "a:*")],
)
def test_a_grant_that_overlaps_a_requirement_is_observable(past: ReviewScenario, asked: str, grant: str) -> None:
    """Templates and patterns overlap with the permissions that they match."""
    past.declare_permissions(asked)
    past.observe_grant("alice", grant, 300)
    assert ("dormant", "remove") == verdict_of(past.review(), "alice", grant)


def test_a_new_grant_has_grace(past: ReviewScenario) -> None:
    """A grant within the grace period is not proposed, whatever its last use."""
    past.record_use("alice", "orders:read", 300)
    past.import_grants(HeldGrant(ISSUER, "alice", "", "", "orders:read", since=days_ago(10)))
    one = find_finding(past.review(), "alice", "orders:read")
    assert "keep" == one.proposal
    assert ("held for only 10 days, within the grace period of 14 days",) == one.guards


def test_old_records_propose_nothing(tmp_path) -> None:
    """If the records end days before the review, the verdicts remain and nothing is proposed."""
    pytest.importorskip("sqlalchemy")
    from jwt_lp.stores import open_store

    store = open_store(f"sqlite:///{tmp_path}/old.db")
    past = ReviewScenario(store, tmp_path)
    past.record_period(400, fresh=6)
    past.record_use("alice", "orders:read", 300)
    found = past.review()
    one = find_finding(found, "alice", "orders:read")
    assert ("unused", "keep") == (one.verdict, one.proposal)
    assert (f"the records end on {days_ago(6)}, 6 days before the review",) == one.guards
    assert any(note.startswith("Nothing is proposed") for note in found.notes)
    store.close()


def test_short_records_propose_nothing(tmp_path) -> None:
    """If the records are shorter than the window, nothing is proposed."""
    pytest.importorskip("sqlalchemy")
    from jwt_lp.stores import open_store

    store = open_store(f"sqlite:///{tmp_path}/short.db")
    past = ReviewScenario(store, tmp_path)
    past.record_period(90)
    past.record_use("alice", "orders:read", 80)
    one = find_finding(past.review(window=180), "alice", "orders:read")
    assert "keep" == one.proposal
    store.close()


def test_rows_after_the_day_of_the_review_are_ignored(past: ReviewScenario) -> None:
    """A review as of a day ignores later use."""
    past.record_use("alice", "orders:read", 300, 1)
    early = past.review(now=days_ago(50))
    assert ("unused", days_ago(300), 1) == (
        find_finding(early, "alice", "orders:read").verdict,
        find_finding(early, "alice", "orders:read").last_day,
        find_finding(early, "alice", "orders:read").uses,
    )


def test_the_population_names_its_source(past: ReviewScenario) -> None:
    """Without an import the population is tokens only; a complete import removes holders that it does not list."""
    past.record_use("alice", "orders:read", 300)
    past.record_use("bob", "orders:read", 300)
    assert "tokens seen only" == str(past.review().population)
    past.import_grants(HeldGrant(ISSUER, "alice", "", "", "orders:read"))
    found = past.review()
    assert f"grants imported as of {NOW}" == str(found.population)
    assert ["alice"] == [finding.name for finding in found.findings if finding.of == "subject"]


def test_a_role_of_an_import_is_what_the_policy_says(past: ReviewScenario) -> None:
    """An imported role is expanded to its grants; an unknown role is one finding."""
    past.declare_permissions("orders:list", "orders:read", "orders:refund")
    past.import_grants(
        HeldGrant(ISSUER, "alice", "", "clerk", "", since=days_ago(300)),
        HeldGrant(ISSUER, "alice", "", "ghost", "", since=days_ago(300)),
    )
    found = past.review(policy=past.policy())
    assert {("clerk", "orders:list"), ("clerk", "orders:read"), ("clerk", "orders:refund"), ("ghost", "")} == {
        (finding.role, finding.grant)
        for finding in found.findings
        if finding.of == "subject" and finding.kind == "grant"
    }


def test_a_pattern_is_narrowed_to_what_was_needed(past: ReviewScenario) -> None:
    """A wildcard broader than its use gets the narrower grants, with templates as patterns."""
    past.declare_permissions("orders:list", "orders:read", "orders:{id}:read")
    past.record_use("alice", "orders:list", 5, grant="orders:**")
    past.record_use("alice", "orders:{id}:read", 7, grant="orders:**")
    past.record_use("alice", "orders:read", 300, grant="orders:**")
    one = find_finding(past.review(), "alice", "orders:**")
    assert ("wildcard", "used", "narrow", ("orders:*:read", "orders:list")) == (
        one.kind,
        one.verdict,
        one.proposal,
        one.instead,
    )


def test_a_pattern_that_is_needed_whole_stays(past: ReviewScenario) -> None:
    """A wildcard is kept if every required permission that it covers is needed."""
    past.declare_permissions("orders:list", "orders:read")
    past.record_use("alice", "orders:list", 5, grant="orders:*")
    past.record_use("alice", "orders:read", 7, grant="orders:*")
    assert ("used", "keep") == verdict_of(past.review(), "alice", "orders:*")


def test_a_pattern_that_its_needed_template_covers_whole_stays(past: ReviewScenario) -> None:
    """A wildcard is kept if what is needed covers the rest too: with each order, order 7 is needed."""
    past.declare_permissions("orders:{id}:read", "orders:7:read")
    past.record_use("alice", "orders:{id}:read", 5, grant="orders:*:read")
    assert ("used", "keep") == verdict_of(past.review(), "alice", "orders:*:read")


def test_an_idle_pattern_keeps_what_others_serve(past: ReviewScenario) -> None:
    """An idle wildcard is narrowed to what is used through other grants, which a deny entry would refuse too."""
    past.declare_permissions("orders:list", "orders:read")
    past.record_use("alice", "orders:list", 300, grant="orders:*")
    past.record_use("alice", "orders:read", 5)
    one = find_finding(past.review(), "alice", "orders:*")
    assert ("unused", "narrow", ("orders:read",), ("orders:read",)) == (
        one.verdict,
        one.proposal,
        one.instead,
        one.others,
    )


def test_an_idle_grant_is_kept_while_another_grant_to_it_is_used(past: ReviewScenario) -> None:
    """A grant is not revoked while its permission is used through another grant."""
    past.record_use("alice", "orders:read", 300)
    past.record_use("alice", "orders:read", 5, grant="orders:*")
    one = find_finding(past.review(), "alice", "orders:read")
    assert ("unused", "keep", ("orders:*",)) == (one.verdict, one.proposal, one.others)
    assert "in use through another grant" in one.guards[0]


def test_other_grants_of_the_same_permission_are_shown(past: ReviewScenario) -> None:
    """A finding names the holder's other grants of the permission, roles included."""
    past.record_use("alice", "orders:read", 300)
    past.observe_grant("alice", "orders:read", 300, role="clerk")
    past.observe_grant("alice", "orders:**", 300)
    past.observe_grant("alice", "reports:read", 300)
    found = past.review().findings
    (one,) = [row for row in found if row.grant == "orders:read" and row.of == "subject" and not row.role]
    assert {"orders:**", "orders:read of the role clerk"} == set(one.others)


def test_a_grant_through_a_role_is_decided_for_the_role(past: ReviewScenario) -> None:
    """A member's idle grant refers to its role; the role's finding says that no member needs it."""
    past.declare_permissions("orders:list", "orders:read", "orders:refund")
    for name in ("alice", "bob"):
        past.record_use(name, "orders:list", 5, role="clerk")
        past.record_use(name, "orders:refund", 300, role="clerk")
    found = past.review(policy=past.policy())
    member = find_finding(found, "alice", "orders:refund")
    assert ("unused", "keep") == (member.verdict, member.proposal)
    assert member.guards[0].startswith("conferred by the role clerk")
    role = find_finding(found, "clerk", "orders:refund")
    assert ("role", "unused", "remove", 2, 0) == (role.kind, role.verdict, role.proposal, role.members, role.users)
    assert ("used", "keep", 2) == (
        *verdict_of(found, "clerk", "orders:list"),
        find_finding(found, "clerk", "orders:list").users,
    )


def test_a_members_need_keeps_the_roles_grant(past: ReviewScenario) -> None:
    """A role keeps a grant that one member needs."""
    past.record_use("alice", "orders:refund", 5, role="clerk")
    past.record_use("bob", "orders:refund", 300, role="clerk")
    assert ("used", "keep") == verdict_of(past.review(policy=past.policy()), "clerk", "orders:refund")


def test_a_membership_without_need_is_proposed_for_removal(past: ReviewScenario) -> None:
    """A membership of which no grant is needed is proposed for removal."""
    past.record_use("alice", "orders:list", 300, role="clerk")
    past.record_use("bob", "orders:list", 3, role="clerk")
    found = past.review(policy=past.policy())
    one = find_finding(found, "alice", kind="member")
    assert ("clerk", "unused", "remove") == (one.role, one.verdict, one.proposal)
    assert not [finding for finding in found.findings if finding.kind == "member" and finding.name == "bob"]


@pytest.mark.parametrize(
    ("through", "proposal"),
    [
        ({"grant": "orders:list"}, "keep"),
        ({"grant": "orders:*"}, "keep"),
        ({"grant": "orders:list", "role": "chief"}, "keep"),
        ({"grant": "reports:read"}, "remove"),
    ],
)
def test_a_membership_is_kept_while_another_grant_to_the_same_is_used(past: ReviewScenario, through, proposal) -> None:
    """Its deny entries would refuse what the member needs through a direct grant, a pattern or another role."""
    past.record_use("alice", "orders:list", 300, role="clerk")
    used = "reports:read" if "reports:read" == through["grant"] else "orders:list"
    past.record_use("alice", used, 3, **through)
    one = find_finding(past.review(policy=past.policy()), "alice", kind="member")
    assert ("clerk", proposal) == (one.role, one.proposal)
    assert (USED_THROUGH_ANOTHER in one.guards) == ("keep" == proposal)


def test_a_role_with_separate_needs_is_reported_for_a_split(past: ReviewScenario) -> None:
    """Members whose needed grants have nothing in common suggest a split of the role."""
    for number in range(2):
        past.record_use(f"seller{number}", "orders:list", 3, role="staff")
        past.record_use(f"buyer{number}", "stock:order", 3, role="staff")
    one = find_finding(past.review(), "staff", kind="split")
    assert ("orders:list (2 members)", "stock:order (2 members)") == one.instead


def test_a_refused_permission_without_a_grant_is_needed_but_denied(past: ReviewScenario) -> None:
    """Refusals without a grant are reported, and no grant is proposed."""
    past.record_refusal("alice", "orders:refund", 3)
    past.record_refusal("alice", "orders:refund", 2)
    one = find_finding(past.review(), "alice", "orders:refund")
    assert ("needed-but-denied", "keep", 2) == (one.verdict, one.proposal, one.denied)


def test_a_request_for_a_revoked_permission_is_a_regret(past: ReviewScenario) -> None:
    """A request for a revoked permission is a regret, and the standing revocation is not proposed again."""
    past.record_use("alice", "orders:refund", 300)
    past.deny("alice", "orders:refund")
    past.record_refusal("alice", "orders:refund", 2, outcome="revoked")
    found = past.review()
    assert ("needed-but-denied", 1) == (
        find_finding(found, "alice", "orders:refund", "regret").verdict,
        find_finding(found, "alice", "orders:refund", "regret").refused_since,
    )
    assert ("revoked already",) == find_finding(found, "alice", "orders:refund", "grant").guards


def test_an_exemption_holds_until_its_day(past: ReviewScenario) -> None:
    """An exempt finding counts as excluded; after its last day it is proposed again."""
    past.record_use("alice", "orders:read", 300)
    name = find_finding(past.review(), "alice", "orders:read").id
    found = past.review(exempt=[ReviewExemption(name, NOW, "eve")])
    assert (f"exempt until {NOW} by eve",) == find_finding(found, "alice", "orders:read").guards
    assert 1 == found.population.excluded
    assert any("exempt" in note for note in found.notes)
    assert (
        "remove"
        == find_finding(
            past.review(exempt=[ReviewExemption(name, days_ago(1), "eve")]), "alice", "orders:read"
        ).proposal
    )


def test_the_last_holder_is_marked(past: ReviewScenario) -> None:
    """If every holder would lose a grant, the one who used it last is marked."""
    past.record_use("alice", "orders:read", 300)
    past.record_use("bob", "orders:read", 250)
    past.record_use("carol", "orders:list", 250)
    past.record_use("dave", "orders:list", 2)
    found = past.review()
    assert {"bob": ("last holder",), "alice": (), "carol": ()} == {
        name: find_finding(found, name, grant).guards
        for name, grant in (("bob", "orders:read"), ("alice", "orders:read"), ("carol", "orders:list"))
    }


def test_clients_are_judged_over_all_their_users(past: ReviewScenario) -> None:
    """A client's grant is used if it served any subject, and unused otherwise."""
    past.record_use("alice", "orders:read", 300, client="web")
    past.record_use("bob", "orders:read", 5, client="web")
    past.record_use("alice", "orders:list", 300, client="web")
    found = past.review()
    assert ("used", "keep") == verdict_of(found, "web", "orders:read")
    assert ("unused", "remove") == verdict_of(found, "web", "orders:list")
    assert "client" == find_finding(found, "web", "orders:list").of


def test_unreached_requirements_and_unrequired_permissions_are_reported(past: ReviewScenario) -> None:
    """Requirements without a request, and catalogue permissions that no route requires, are reported."""
    past.declare_permissions("orders:list", "orders:refund")
    past.record_use("alice", "orders:list", 3)
    found = past.review(policy=past.policy())
    assert ["orders:refund"] == [finding.grant for finding in found.findings if finding.kind == "requirement"]
    assert ["orders:read", "reports:read"] == sorted(
        finding.grant for finding in found.findings if finding.kind == "permission"
    )


def test_people_are_shown(past: ReviewScenario) -> None:
    """A finding has the manager, team and status of its subject."""
    past.record_use("alice", "orders:read", 300)
    one = find_finding(past.review(people={"alice": Person("Alice", "sales", "bob", "no")}), "alice", "orders:read")
    assert ("bob", "sales", "no") == (one.manager, one.team, one.active)


def test_the_riskiest_removal_is_first(past: ReviewScenario) -> None:
    """Findings are ordered by urgency."""
    past.record_use("alice", "orders:read", 390)
    past.record_use("alice", "orders:refund", 300)
    past.record_use("bob", "orders:refund", 1)
    past.record_use("bob", "orders:read", 1)
    found = past.review(policy=past.policy())
    assert [("alice", "orders:refund"), ("alice", "orders:read")] == [
        (finding.name, finding.grant) for finding in found.findings[:2]
    ]


def test_a_review_can_be_made_again(past: ReviewScenario) -> None:
    """The same store, day and rule give the same review and digest; another rule gives another digest."""
    past.record_use("alice", "orders:read", 300)
    one, other = past.review(), past.review()
    assert dataclasses.asdict(one) == dataclasses.asdict(other)
    assert one.digest != past.review(window=90).digest


def test_months_are_counted(past: ReviewScenario) -> None:
    """The timeline has granted, denied and revoked decisions by month."""
    past.record_use("alice", "orders:read", 1)
    past.record_refusal("alice", "orders:list", 1)
    assert (("2026-10-01", 1, 1, 0),) == past.review().timeline


def test_a_pattern_that_is_needed_as_it_is_stays(past: ReviewScenario) -> None:
    """An idle pattern that another grant serves completely cannot be narrowed."""
    past.declare_permissions("orders:{id}:read")
    past.observe_grant("alice", "orders:*:read", 300)
    past.record_use("alice", "orders:{id}:read", 5, grant="orders:**")
    assert ("dormant", "keep") == verdict_of(past.review(), "alice", "orders:*:read")


def test_a_client_alone_is_judged_as_a_client(past: ReviewScenario) -> None:
    """Use without a subject counts for the client and the role only."""
    past.record_use("", "orders:read", 3, client="cron", role="robot")
    past.record_use("svc", "orders:list", 3, client="svc")
    found = past.review()
    assert {("client", "cron"), ("role", "robot"), ("subject", "svc")} == {
        (finding.of, finding.name) for finding in found.findings
    }


def test_an_import_names_clients(past: ReviewScenario) -> None:
    """A client's imported grant without use is proposed for removal, unless it is revoked already."""
    past.declare_permissions("orders:list")
    past.import_grants(
        HeldGrant(ISSUER, "", "web", "", "orders:list"), HeldGrant(ISSUER, "", "cron", "", "orders:list")
    )
    past.deny("cron", "orders:list", of="client")
    found = past.review()
    assert ("dormant", "remove") == verdict_of(found, "web", "orders:list")
    assert ("revoked already",) == find_finding(found, "cron", "orders:list").guards


def test_revoked_grants_of_roles_are_not_proposed_again(past: ReviewScenario) -> None:
    """Deny entries on a role, and on all grants of a membership, prevent a second proposal."""
    past.record_use("alice", "orders:refund", 300, role="clerk")
    past.record_use("bob", "orders:list", 3, role="clerk")
    past.deny("clerk", "orders:refund", of="role")
    past.deny("alice", "orders:refund")
    found = past.review()
    assert ("revoked already",) == find_finding(found, "clerk", "orders:refund").guards
    assert ("revoked already",) == find_finding(found, "alice", kind="member").guards


def test_a_membership_without_required_permissions_is_unobservable(past: ReviewScenario) -> None:
    """The need of a role is unknown if no enforcement point requires its permissions."""
    past.declare_permissions("orders:list")
    past.observe_grant("alice", "archive:read", 300, role="archivist")
    found = past.review()
    assert ("unobservable", "keep") == (
        find_finding(found, "alice", kind="member").verdict,
        find_finding(found, "alice", kind="member").proposal,
    )
    assert ("unobservable", "keep") == verdict_of(found, "archivist", "archive:read")


def test_a_roles_wildcard_is_narrowed_to_what_its_members_need(past: ReviewScenario) -> None:
    """A role's pattern is narrowed to the grants that its members need."""
    past.declare_permissions("orders:list", "orders:read")
    past.record_use("alice", "orders:list", 300, 3, grant="orders:*", role="clerk")
    one = find_finding(past.review(), "clerk", "orders:*")
    assert ("narrow", ("orders:list",)) == (one.proposal, one.instead)


def test_roles_that_share_a_need_are_one(past: ReviewScenario) -> None:
    """Grants that one member needs together do not suggest a split."""
    for number in range(2):
        past.record_use(f"seller{number}", "orders:list", 3, role="staff")
        past.record_use(f"buyer{number}", "stock:order", 3, role="staff")
    past.record_use("both", "orders:list", 3, role="staff")
    past.record_use("both", "stock:order", 3, role="staff")
    past.observe_grant("idle", "orders:list", 3, role="staff")
    assert not [finding for finding in past.review().findings if finding.kind == "split"]


def test_without_any_enforcement_point_nothing_is_unobservable(past: ReviewScenario) -> None:
    """Without known requirements an unused grant is dormant, and the catalogue is not judged."""
    past.observe_grant("alice", "orders:read", 300)
    found = past.review(policy=past.policy())
    assert ("dormant", "remove") == verdict_of(found, "alice", "orders:read")
    assert not [finding for finding in found.findings if finding.kind == "permission"]


def test_a_refusal_of_a_permission_held_now_is_not_reported(past: ReviewScenario) -> None:
    """A refusal is not reported if a grant covers the permission today."""
    past.record_refusal("alice", "orders:read", 20)
    past.record_use("alice", "orders:read", 3, grant="orders:*")
    assert ["orders:*"] == [finding.grant for finding in past.review().findings]


def test_observed_requests_are_no_use(past: ReviewScenario) -> None:
    """A request that only observe mode let pass is neither use nor refusal."""
    past.record_refusal("alice", "orders:read", 20, outcome="observed")
    assert () == past.review().findings


def test_gaps_and_losses_are_noted(past: ReviewScenario) -> None:
    """Days without records, lost decisions and an incomplete import are noted."""
    past.add(started=noon_of(days_ago(500)), until=noon_of(days_ago(450)), dropped=7)
    past.add(started=noon_of(days_ago(-5)), until=noon_of(days_ago(-9)))
    past.import_grants(HeldGrant(ISSUER, "alice", "", "", "orders:read"), complete=False)
    notes = "\n".join(past.review().notes)
    assert "Nothing was recorded on 49 days between" in notes
    assert "Lost before they were stored: 7 decisions" in notes
    assert "not marked as complete" in notes


def test_many_used_grants_are_counted_and_not_listed(past: ReviewScenario, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the limit, used grants are only counted; the progress callback is called."""
    monkeypatch.setattr(finding_collector, "MAX_LISTED", 10)
    past.add([past.use(f"s{number}", "orders:read", 3, "orders:read") for number in range(300)])
    past.record_use("alice", "orders:list", 300)
    steps: list[tuple[str, int]] = []
    found = past.review(on_step=lambda what, number: steps.append((what, number)))
    assert ["orders:list"] == [finding.grant for finding in found.findings]
    assert 300 == found.unlisted
    assert {("subjects judged", 256), ("subjects judged", 301)} == set(steps)


def test_a_likelihood_judges_and_says_why(past: ReviewScenario) -> None:
    """With a model, each used grant has a likelihood with reasons, and the rule can use it."""
    cases = [
        (GrantFeatures(30 + number, 1 + number % 9, 50, 80 + number, 5, 2, 0.1, 700, 9, 3), number % 9 > 4)
        for number in range(600)
    ]
    model = LikelihoodModel.fit(cases)
    past.record_use("alice", "orders:read", 390)
    past.record_use("bob", "orders:read", 60)
    past.record_use("bob", "orders:list", 90)
    found = past.review(rule=DecisionRule("likelihood", 0.5), model=model)
    one = find_finding(found, "alice", "orders:read")
    assert one.likelihood is not None
    assert one.because
    assert "its likelihood of need is at most 50 %" in one.reason
    assert 600 == found.judging.fitted_on
    assert 11 == len(found.judging.coefficients)


def test_a_large_store_is_sampled_by_subject(past: ReviewScenario, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large store is sampled by whole subjects, always the same ones, and the share is given."""
    for number in range(20):
        past.record_use(f"s{number}", "orders:read", 300, 200, 100)
    past.record_use("", "orders:read", 300, client="cron")
    assert 1.0 == load_history(past.store, until=NOW).share
    assert 20 == load_history(past.store, until=NOW).history.pairs
    monkeypatch.setattr(training, "MAX_DAYS", 20)
    # Days of a sum may be counted more than once, and never less.
    few = load_history(past.store, until=NOW)
    assert 0 < few.share < 1
    assert few.share * 20 == few.history.pairs
    assert list(few.history.replay_day(few.history.last, 100)) == list(
        load_history(past.store, until=NOW).history.replay_day(few.history.last, 100)
    )


def test_a_young_store_is_judged_by_the_prior(past: ReviewScenario) -> None:
    """Without past cases, the likelihoods are those of the prior, which the review says, and it can propose removals."""
    past.record_use("alice", "orders:read", 300)
    past.record_use("bob", "orders:read", 3, 5, 60)
    history = load_history(past.store, until=NOW).history
    model = fit_model(history, until=NOW, horizon=365)
    found = past.review(rule=DecisionRule("likelihood", 0.2), model=model, history=history)
    assert "remove" == find_finding(found, "alice", "orders:read").proposal
    assert "keep" == find_finding(found, "bob", "orders:read").proposal
    assert any("those of other organisations' histories" in note for note in found.notes)
    assert (0, 0, 0.0) == (found.judging.fitted_on, found.judging.pauses, round(found.judging.own_share, 9))
    assert not any("organisations" in note for note in past.review(model=model).notes)


def test_a_request_after_the_revocation_was_need(past: ReviewScenario) -> None:
    """A permission that was revoked and requested since counts as needed, in training and in a backtest."""
    past.record_use("alice", "orders:read", 350)
    past.record_use("bob", "orders:read", 350)
    past.record_refusal("alice", "orders:read", 100, "revoked")
    past.record_refusal("alice", "orders:read", 40, "revoked")
    past.record_refusal("alice", "orders:list", 100, "revoked")
    past.record_refusal("carol", "orders:read", 100, "revoked")
    past.record_refusal("bob", "orders:read", 100, "denied")
    history = load_history(past.store, until=NOW).history
    assert 2 == history.pairs
    day = ordinal(days_ago(200))
    assert [True, False] == [case.needed for case in history.replay_day(day, 120)]
    assert [False, False] == [case.needed for case in history.replay_day(day, 90)]
    later = ordinal(days_ago(60))
    assert [True, False] == [case.needed for case in history.replay_day(later, 30)]


def test_the_grace_ends_on_its_day(past: ReviewScenario) -> None:
    """A grant of 14 days ago is not new any more; a grant of 13 days ago is."""
    past.record_use("alice", "orders:read", 300)
    past.record_use("bob", "orders:read", 300)
    past.record_use("carol", "orders:read", 3)
    held = {"alice": days_ago(14), "bob": days_ago(13), "carol": ""}
    past.import_grants(*(HeldGrant(ISSUER, name, "", "", "orders:read", since=since) for name, since in held.items()))
    found = past.review()
    assert ("remove", "keep") == (
        find_finding(found, "alice", "orders:read").proposal,
        find_finding(found, "bob", "orders:read").proposal,
    )


def test_a_complete_import_ends_grants_seen_until_its_day(past: ReviewScenario) -> None:
    """A complete import ends unlisted grants seen until its day; grants seen later are held again."""
    past.record_use("bob", "orders:read", 3)
    past.record_use("carol", "orders:read", 2)
    past.import_grants(HeldGrant(ISSUER, "alice", "", "", "orders:read"), days=3)
    assert {"alice", "carol"} == {finding.name for finding in past.review().findings if finding.of == "subject"}


def test_grants_that_were_first_seen_later_are_not_there_yet(past: ReviewScenario) -> None:
    """A review as of a day ignores grants that tokens carried first later."""
    past.record_use("alice", "orders:read", 300)
    past.observe_grant("alice", "orders:list", 10)
    assert ["orders:read"] == [finding.grant for finding in past.review(now=days_ago(50)).findings]


@pytest.mark.parametrize(("needed", "reported"), [(1, True), (2, False)])
def test_who_needs_a_quarter_of_a_role_needs_little(past: ReviewScenario, needed: int, reported: bool) -> None:
    """A member who needs one of four grants needs little, two of four is not little; neither is proposed."""
    for number in range(4):
        past.record_use("alice", f"area:{number}", *((300, 3) if number < needed else (300,)), role="clerk")
    found = [finding for finding in past.review().findings if finding.kind == "member"]
    assert [("used", "keep", needed)] * reported == [(one.verdict, one.proposal, len(one.instead)) for one in found]


def test_a_restoration_was_need(past: ReviewScenario) -> None:
    """What was restored counts as needed on that day, unless a recorded request says so or it is no part of the review."""
    for name in ("alice", "bob"):
        past.record_use(name, "orders:read", 350)
    past.record_refusal("bob", "orders:read", 100, "revoked")
    restored = [
        RestoredGrant(ISSUER, "alice", "orders:read", days_ago(90)),
        RestoredGrant(ISSUER, "bob", "orders:read", days_ago(90)),
        RestoredGrant(ISSUER, "alice", "orders:read", days_ago(-1)),
        RestoredGrant(ISSUER, "carol", "orders:read", days_ago(90)),
        RestoredGrant("https://other.example/", "alice", "orders:read", days_ago(90)),
    ]
    history = load_history(past.store, until=NOW, restored=restored).history
    assert 2 == history.pairs
    early = ordinal(days_ago(200))
    assert [[True, True], [False, True]] == [
        [case.needed for case in history.replay_day(early, horizon)] for horizon in (115, 105)
    ]
    # Bob's request on the day 100 is all that is known of him: his restoration adds nothing.
    assert [1] == [case.uses - 1 for case in history.replay_day(ordinal(NOW), 30) if case.number == 1]


def test_a_window_and_a_likelihood_exclude_each_other() -> None:
    """Of two rules nobody could tell which one was meant."""
    with pytest.raises(ConfigurationError, match="exclude each other"):
        choose_rule(window=90, likelihood=0.1)
