"""Attacks on elevations: each ends without a permission that the rules do not give."""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from elevation.elevation_world import APPROVE, NOW, ROLES, RULE, World, policy
from jwt_lp import (
    ElevationClosed,
    ElevationInvalid,
    ElevationNotAllowed,
    ElevationTooMany,
    Issuer,
    Operator,
    Policy,
    all_of,
)
from jwt_lp.permissions.grants import Grant, Permissions
from jwt_lp.revocation.entries import RevocationEntry
from jwt_lp.stores import ElevationChange, ElevationFilter, ObservedGrant, UsageBatch, open_store
from jwt_lp.stores.elevations import MAX_OPEN
from jwt_lp.tokens.delegation import Ancestor, Lineage
from stores.conftest import ENGINES

if TYPE_CHECKING:
    from collections.abc import Iterator


HOUR, DAY = 3600.0, 86400.0


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[Any]:
    """A store in a file, with the clock of the tests."""
    pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy (extra `sql`)")
    with closing(open_store(f"sqlite:///{tmp_path / 'store.db'}")) as store:
        store._clock = lambda: NOW  # type: ignore[attr-defined]
        yield store


# Approving for oneself


def test_approving_for_oneself() -> None:
    """The permission to approve does not help for a request of one's own."""
    world = World()
    both = world.token("ana", "support", "lead")
    request = world.ask()
    assert "own" == world.refusal(both, request)
    assert "own" == world.refusal(world.token("ana", "lead", client="other"), request)
    assert () == world.elevations.waiting_for(both)
    assert "" == world.refusal(world.token("bob"), request)


def test_approving_for_oneself_where_the_rule_allows_it() -> None:
    """Only as the same subject: another account of the same person counts no second time."""
    rules = policy(self=True, approvals=2, catalogue={"orders:export": {"risk": "low"}, APPROVE: {}, "orders:read": {}})
    world = World(rules, person="email")
    ana = world.token("ana", "support", permissions=[APPROVE], claims={"email": "ana@example.com"})
    request = world.elevations.request(ana, "orders:export")
    assert "" == world.refusal(ana, request)
    twin = world.token("ana2", "lead", claims={"email": "ana@example.com"})
    assert "own" == world.refusal(twin, request)
    bob = world.token("bob", permissions=[APPROVE], claims={"email": "bob@example.com"})
    assert world.approve(bob, request).since is not None


def test_approving_through_another_account_of_the_same_issuer() -> None:
    """It is found by the claim that identifies the person. Without that claim nobody can know."""
    world = World(person="employee")
    request = world.elevations.request(world.token("ana", claims={"employee": "7"}), "orders:export")
    assert "own" == world.refusal(world.token("ana.admin", claims={"employee": "7"}), request)
    assert "" == world.refusal(world.token("bob", claims={"employee": "8"}), request)


def test_approving_through_another_issuer() -> None:
    """Approvers come from the asker's issuer alone, unless the rule names others."""
    world = World(policy(ask="anyone"), several=True)
    request = world.elevations.request(world.token("ana", issuer="staff", permissions=["a:b"]), "orders:export")
    at = {"permissions": [APPROVE]}
    assert "issuer" == world.refusal(world.token("ana", issuer="partners", **at), request)
    assert "issuer" == world.refusal(world.token("bob", issuer="partners", **at), request)
    assert "own" == world.refusal(world.token("ana", issuer="staff", **at), request)
    assert "" == world.refusal(world.token("bob", issuer="staff", **at), request)


@pytest.mark.parametrize(
    ("mine", "theirs", "reason"),
    [("", "", "person"), ("7", "", "person"), ("", "8", "person"), ("7", "7", "own"), ("7", "8", "")],
)
def test_approving_through_another_issuer_that_the_rule_names(mine: str, theirs: str, reason: str) -> None:
    """Both tokens must show that they are of two people."""
    world = World(policy(ask="anyone", approver_issuers=["Partners"]), several=True, person="employee")

    def token(subject: str, issuer: str, employee: str, permission: str) -> Any:
        claims = {"employee": employee} if employee else {}
        return world.token(subject, issuer=issuer, permissions=[permission], claims=claims)

    request = world.elevations.request(token("ana", "staff", mine, "a:b"), "orders:export")
    assert reason == world.refusal(token("anna", "partners", theirs, APPROVE), request)


def test_approving_as_the_actor_who_asked() -> None:
    """Whoever acts for the asker is one of those that asked."""
    clients = {"bot": {"grants": ["orders:read"]}, "cron": {"grants": ["orders:read"]}}
    rule = {**RULE, "ask": "anyone"}
    world = World(
        Policy.from_mapping({"version": 1, "roles": ROLES, "elevation": {"orders:export": rule}, "clients": clients})
    )
    narrow = world.authority.issuer.narrow
    text = narrow(world.authority.token("ana", permissions=["orders:read"]), ["orders:read"], actor="cron")
    asking = world.read(narrow(text, ["orders:read"], actor="bot"))
    request = world.elevations.request(asking, "orders:export")
    assert ((asking.issuer, "bot"), (asking.issuer, "cron")) == request.known_as
    assert ["own", "own", ""] == [world.refusal(world.token(name), request) for name in ("bot", "cron", "bob")]


def test_approving_as_the_client_that_asked() -> None:
    """A client that asked in its own name cannot approve with the token of a user, which was issued to it."""
    world = World()
    request = world.elevations.request(world.token("bot", "support", client="bot"), "orders:export")
    assert "own" == world.refusal(world.token("bob", client="bot"), request)
    assert "" == world.refusal(world.token("bob", client="console"), request)


# Approving with a token that is no proof of the approver


def our_issuer(world: World, **more: Any) -> Issuer:
    return Issuer(
        "https://authority.test",
        world.authority,
        policy=world.policy,
        audience="tests",
        clock=lambda: world.now,
        **more,
    )


def test_approving_with_a_narrowed_token() -> None:
    """A token that was handed on, for an approval or with an actor, decides nothing. A token of a session does."""
    world = World(Policy.from_mapping({
        "version": 1, "roles": ROLES, "elevation": {"orders:export": RULE}, "clients": {"bot": {"grants": [APPROVE]}},
    }))  # fmt: skip
    issuer = world.authority.issuer
    request = world.ask()
    approver = world.authority.token("bob", permissions=[APPROVE])
    narrowed = issuer.narrow(approver, [APPROVE])
    acting = issuer.narrow(approver, [APPROVE], actor="bot")
    again = issuer.narrow(narrowed, [APPROVE])
    assert ["delegated"] * 3 == [world.refusal(world.read(text), request) for text in (narrowed, acting, again)]
    session = issuer.issue("bob", permissions=[APPROVE], ancestor=Ancestor("f1", int(NOW)))
    of_session = issuer.narrow(session, [APPROVE])
    assert "delegated" == world.refusal(world.read(of_session), request)
    assert "" == world.refusal(world.read(session), request)


def test_approving_with_a_foreign_token_that_names_an_actor() -> None:
    """Another issuer's token with `act` is no proof either."""
    world = World(policy(ask="anyone"), several=True)
    request = world.elevations.request(world.token("ana", issuer="staff", permissions=["a:b"]), "orders:export")
    token = world.token("bob", issuer="staff", permissions=[APPROVE], claims={"act": "?"})
    assert "delegated" == world.refusal(token, request)


def test_asking_through_a_narrowed_token_names_the_first_subject() -> None:
    """A subject that an exchange renamed cannot approve under its first name."""
    world = World(policy(ask="anyone"))
    first = ("https://staff.example/", "ana")
    lineage = Lineage(NOW, (("https://staff.example/", "t1"),), subject=first)
    request = world.elevations.request(replace(world.token("staff:ana", "support"), lineage=lineage), "orders:export")
    assert (first,) == request.known_as
    assert "own" == world.refusal(replace(world.token("ana", "lead"), issuer=first[0]), request)


def test_approving_by_an_elevation() -> None:
    """What is held by an elevation decides about none, and nobody can ask for the approval itself."""
    world = World()
    request = world.ask()
    bob = world.token("bob", permissions=["a:b"])
    elevated = Grant(APPROVE, "elevation", "elevation:e9")
    assert "elevated" == world.refusal(replace(bob, permissions=Permissions.of([elevated])), request)
    both = Permissions.of([elevated, Grant("orders:*:approve", "scope", None, True)])
    assert "" == world.refusal(replace(bob, permissions=both), request)
    with pytest.raises(ElevationNotAllowed) as caught:
        world.elevations.request(world.token(), APPROVE)
    assert "rule" == caught.value.reason


def test_approving_with_a_denied_permission() -> None:
    """A deny entry for the approver counts, as the guard's decision has it."""
    world = World()
    request = world.ask()
    entry = RevocationEntry(id="d", of="subject", issuer=request.issuer, name="bob", pattern="orders:*:approve")
    world.store.revoke([entry], at=NOW)
    header = f"Bearer {world.authority.token('bob', roles=['lead'])}"
    with closing(world.authority.guard(STORE=world.store)) as guard:
        decision = guard.check(header, all_of("orders:read"), {}, "GET /x")
    assert decision is not None
    assert decision.token is not None
    assert "approver" == world.refusal(decision.token, request)


def test_approving_through_a_role_just_given(sqlite_store: Any) -> None:
    """With `approver_since`, the store has to have seen the approver with the permission long enough before."""
    world = World(policy(approver_since="7d"), sqlite_store)
    request = world.ask()
    issuer = world.token().issuer

    def seen(subject: str, grant: str, day: str, role: str = "lead", at: str = issuer) -> None:
        batch = UsageBatch(id=f"{subject}{grant}{day}{role}{at}", uses={}, observed_grants=[
            ObservedGrant(at, subject, "web", role, grant, day)
        ])  # fmt: skip
        sqlite_store.record(batch)

    # The request was made on 2027-01-15, so the last day that counts is the 7th.
    seen("bob", "orders:*:approve", "2027-01-08")
    seen("bob", "orders:read", "2026-01-01")
    seen("bob", APPROVE, "2026-01-01", role="elevation:e9")
    seen("bob", APPROVE, "2026-01-01", at="https://other.example/")
    seen("cy", "orders:*:approve", "2027-01-07")
    assert ["new_approver", "new_approver", ""] == [
        world.refusal(world.token(who), request) for who in ("bob", "dan", "cy")
    ]


# What is approved, and how often


def test_replaying_an_approval() -> None:
    """It counts once: not for the quorum, not for another request, and not after the end."""
    world = World(policy(approvals=2))
    request, bob = world.ask(), world.token("bob")
    world.approve(bob, request)
    with pytest.raises(ElevationClosed, match="already"):
        world.approve(bob, request)
    assert world.approve(world.token("cy"), request).since == NOW
    with pytest.raises(ElevationClosed):
        world.approve(world.token("dan"), request)
    other = world.ask()
    with pytest.raises(ElevationClosed, match="not the one that was seen"):
        world.elevations.approve(bob, other.id, digest=request.digest)
    world.elevations.end(world.token(), request.id)
    with pytest.raises(ElevationClosed, match="it is ended"):
        world.approve(world.token("dan"), request)


@pytest.mark.parametrize("column", ["permission = 'orders:**'", "seconds = 999999", "subject = 'eve'", "reason = 'x'"])
def test_a_request_that_is_edited_after_an_approval(sqlite_store: Any, tmp_path: Path, column: str) -> None:
    """Each approval of a quorum is of the same request; whoever edits the row in between gains nothing."""
    import sqlite3

    world = World(policy(approvals=2), sqlite_store)
    request = world.ask()
    world.approve(world.token("bob"), request)
    with closing(sqlite3.connect(tmp_path / "store.db")) as connection, connection:
        connection.execute(f"UPDATE jwt_lp_elevation SET {column}")
    edited = sqlite_store.elevation(request.id)
    cy = world.token("cy")
    for digest in (request.digest, edited.digest):
        with pytest.raises((ElevationClosed, ElevationNotAllowed)):
            world.elevations.approve(cy, request.id, digest=digest)
    assert () == sqlite_store.changes(0).grants


@pytest.mark.parametrize(
    "wish", ["orders:*", "orders:**", "**", "*:export", "orders:{id}", "orders:", "", "orders:export "]
)
def test_a_pattern_that_is_wider_than_the_rule(wish: str) -> None:
    """One permission is asked for, never a pattern."""
    world = World(
        Policy.from_mapping({"version": 1, "roles": ROLES, "elevation": {"orders:*": {**RULE, "approve": "lead"}}})
    )
    with pytest.raises(ElevationInvalid, match="one permission"):
        world.elevations.request(world.token(), wish)
    assert "orders:export" == world.ask().permission


def test_a_permission_that_the_catalogue_does_not_have() -> None:
    """A rule with a pattern confers nothing that does not exist, or that is retired."""
    catalogue: dict[str, Any] = {"orders:export": {}, "orders:old": {"retired": True}, "lead": {}, "orders:read": {}}
    rules = Policy.from_mapping({
        "version": 1, "permissions": catalogue, "roles": {"support": {"grants": ["orders:read"]}},
        "elevation": {"orders:*": {**RULE, "approve": "lead"}},
    })  # fmt: skip
    world = World(rules)
    for wish in ("orders:old", "orders:new"):
        with pytest.raises(ElevationInvalid):
            world.elevations.request(world.token(), wish)
    assert world.ask()


# Clocks, copies and crowds


def test_a_clock_that_steps() -> None:
    """Neither step gives more time than the rule: a lapsed request stays so, and a grant has its length."""
    world = World()
    request = world.ask()
    world.now = NOW - 30 * DAY
    granted = world.approve(world.token("bob", lifetime=300), request)
    assert (NOW, NOW + HOUR) == (granted.since, granted.until)
    late = world.ask()
    ahead = world.under(world.policy, clock=lambda: late.answer_by)
    with pytest.raises(ElevationClosed, match="expired"):
        ahead.approve(world.token("bob"), late.id, digest=late.digest)
    fast = world.under(world.policy, clock=lambda: late.answer_by - 1)
    granted = fast.approve(world.token("bob"), late.id, digest=late.digest)
    # It begins when the fast clock says so, and guards count nothing before it begins.
    assert HOUR == (granted.until or 0) - (granted.since or 0)


def test_a_store_that_is_restored_from_an_older_copy(sqlite_store: Any, tmp_path: Path) -> None:
    """The sequence goes back, so guards read all of it again; what lapsed meanwhile stays lapsed."""
    world = World(store=sqlite_store)
    request = world.ask()
    world.approve(world.token("bob"), request)
    sqlite_store.close()
    shutil.copy(tmp_path / "store.db", tmp_path / "copy.db")
    world.elevations.end(world.token(), request.id)
    other = world.ask()
    world.approve(world.token("cy"), other)
    known = sqlite_store.changes(0).sequence
    sqlite_store.close()
    for suffix in ("-wal", "-shm"):
        (tmp_path / f"store.db{suffix}").unlink(missing_ok=True)
    shutil.copy(tmp_path / "copy.db", tmp_path / "store.db")
    assert sqlite_store.changes(known).sequence < known
    (grant,) = sqlite_store.changes(0).grants
    assert (request.id, NOW + HOUR) == (grant.id, grant.until)
    assert sqlite_store.elevation(other.id) is None
    world.now = NOW + HOUR
    assert () == world.elevations.held(request.issuer, "ana", "tests")


def test_ten_thousand_open_requests_of_one_subject() -> None:
    """Its number is bounded, with a clear error, and the others can ask."""
    world = World()
    for _ in range(MAX_OPEN):
        world.ask()
    for _ in range(50):
        with pytest.raises(ElevationTooMany, match=f"{MAX_OPEN} requests wait"):
            world.ask()
    assert MAX_OPEN == len(world.store.asked)
    assert world.elevations.request(world.token("eve", "support"), "orders:export")
    assert 10 == len(world.elevations.waiting_for(world.token("bob"), limit=10))


@pytest.mark.once
@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_approvers_at_once_in_processes(engine: str, tmp_path: Path) -> None:
    """Of three processes that approve at the same moment, as many count as the quorum needs."""
    with ENGINES[engine](tmp_path) as url, closing(open_store(url)) as store:
        world = World(policy(approvals=2), store)
        request = world.ask()
        script = Path(__file__).with_name("approver_process.py")
        start = str(tmp_path / "start")
        processes = [
            subprocess.Popen(
                [sys.executable, str(script), url, request.id, f"b{number}", start],
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in range(3)
        ]
        for process in processes:
            assert process.stdout is not None
            assert "ready\n" == process.stdout.readline()
        Path(start).touch()
        results = sorted(process.communicate(timeout=60)[0].strip() for process in processes)
        assert ["closed", "granted", "waiting"] == results
        actions = [step.action for step in store.elevation_steps(request.id)]
        assert ["asked", "approved", "approved", "granted"] == actions
        assert 1 == len(store.changes(0).grants)


# What changes after the request


def test_a_rule_that_is_removed_after_the_request_or_the_approval() -> None:
    """Nothing is approved any more, and nothing goes into tokens of our own. It can still be denied and ended."""
    world = World()
    waiting, running = world.ask(), world.ask()
    world.approve(world.token("bob"), running)
    without = world.under(Policy.from_mapping({"version": 1, "roles": ROLES}))
    for step in (without.approve, without.deny):
        with pytest.raises(ElevationNotAllowed) as caught:
            step(world.token("bob"), waiting.id, **({"digest": waiting.digest} if step == without.approve else {}))
        assert "rule" == caught.value.reason
    assert [running.id] == [grant.id for grant in world.elevations.held(running.issuer, "ana", "tests")]
    assert () == without.held(running.issuer, "ana", "tests")
    assert () == without.waiting_for(world.token("bob"))
    assert without.deny(Operator("", "root"), waiting.id).denied_at == NOW
    assert without.end(world.token(), running.id).ended_at == NOW


def test_a_rule_that_is_tightened_after_the_request_or_the_approval() -> None:
    """The rule at the time of the approval counts; what runs longer than it allows now is in no new token of our own."""
    world = World()
    waiting, running = world.ask(), world.ask()
    world.approve(world.token("bob"), running)
    strict = world.under(policy(longest="10m", approvals=2))
    assert () == strict.held(running.issuer, "ana", "tests")
    bob, cy = world.token("bob"), world.token("cy")
    assert strict.approve(bob, waiting.id, digest=waiting.digest).since is None
    assert NOW + 600 == strict.approve(cy, waiting.id, digest=waiting.digest).until
    assert [waiting.id] == [grant.id for grant in strict.held(running.issuer, "ana", "tests")]


def test_a_subject_that_is_revoked_meanwhile(sqlite_store: Any) -> None:
    """Its requests and elevations end with its tokens, and a late approval finds nothing to approve."""
    world = World(store=sqlite_store)
    waiting, running = world.ask(), world.ask()
    world.approve(world.token("bob"), running)
    sqlite_store.revoke([RevocationEntry(id="r", of="subject", issuer=waiting.issuer, name="ana")], at=NOW + 1)
    with pytest.raises(ElevationClosed, match="it is ended"):
        world.approve(world.token("bob"), waiting)
    assert () == sqlite_store.changes(0).grants
    assert [] == list(sqlite_store.elevations(ElevationFilter(held_at=NOW + 1)))


def test_an_asker_who_is_not_in_the_role_any_more() -> None:
    """It cannot ask again. What waits is for the approver to judge, who sees when it was asked."""
    world = World()
    request = world.ask()
    with pytest.raises(ElevationNotAllowed) as caught:
        world.elevations.request(world.token("ana", permissions=["orders:read"]), "orders:export")
    assert "ask" == caught.value.reason
    assert "" == world.refusal(world.token("bob"), request)


def test_break_glass_needs_a_rule_a_review_and_ones_own_token() -> None:
    """Nothing is granted at once to a token that was handed on, to an operator, or after an unreviewed one."""
    glass = policy(break_glass=True)
    world = World(glass)
    text = world.authority.token("ana", roles=["support"])
    narrowed = world.read(world.authority.issuer.narrow(text, ["orders:read"]))
    narrowed = replace(narrowed, roles=("support",))

    def refused(who: Any, elevations: Any = world.elevations) -> str:
        with pytest.raises(ElevationNotAllowed) as caught:
            elevations.request(who, "orders:export", break_glass=True)
        return caught.value.reason

    assert ["delegated", "ask", "break_glass"] == [
        refused(narrowed), refused(Operator("i", "ana")), refused(world.token(), world.under(policy())),
    ]  # fmt: skip
    first = world.ask(break_glass=True)
    assert ("approved", [first.id]) == (first.state(NOW), [grant.id for grant in world.store.changes(0).grants])
    world.now += HOUR
    assert "unreviewed" == refused(world.token())
    for nobody, reason in ((world.token("ana", "support", "lead"), "own"), (world.token("eve", "support"), "approver")):
        with pytest.raises(ElevationNotAllowed) as caught:
            world.elevations.review(nobody, first.id)
        assert reason == caught.value.reason
    assert world.elevations.review(world.token("bob"), first.id, reason="fine").reviewed_at == world.now
    assert world.ask(break_glass=True).since == world.now


def test_an_operator_never_approves() -> None:
    """Nothing shows what an operator holds, not even one that names an approver."""
    world = World(policy(ask=["subject:ana"]))
    request = world.elevations.request(Operator("https://authority.test", "ana"), "orders:export")
    for operator in (Operator("", "root"), Operator("https://authority.test", "bob")):
        with pytest.raises(ElevationNotAllowed):
            world.elevations.approve(operator, request.id, digest=request.digest)
    assert None is request.client


def test_a_stolen_digest_without_the_store() -> None:
    """The change itself checks nothing of policies: only `Elevations` does, and whoever has the store has everything."""
    world = World()
    request = world.ask()
    change = ElevationChange(elevation=request.id, action="approved", at=NOW, issuer="", subject="", digest="0" * 64)
    with pytest.raises(ElevationClosed):
        world.store.change_elevation(change)
