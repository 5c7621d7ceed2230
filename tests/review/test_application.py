"""Preview, application, verification and undo of a plan."""

from __future__ import annotations

import pytest

from jwt_lp import Policy, all_of
from jwt_lp.errors import PolicyError, StoreError
from jwt_lp.review.plan import PolicyFileChanged, apply, frozen_plan, journal_path, preview, undo
from jwt_lp.review.plan.plan_journal import read_status
from jwt_lp.review.plan.verification import plan_entries, verify
from jwt_lp.stores import open_store
from jwt_lp.testing.authority import Authority
from review_factory import ISSUER, LATER, at, make_finding, make_review, make_use, record_uses

pytest.importorskip("sqlalchemy")
pytest.importorskip("tomlkit")

POLICY = """version = 1
# who may do what
[roles.clerk]  # the counter
grants = [
  "orders:list",  # everybody
  # rarely
  "orders:read",
  "reports:*",
]
[roles.auditor]
grants = ["orders:export"]
"""
NOW = at(LATER)
REQUIRED = ("orders:list", "orders:read", "orders:export", "reports:a", "reports:b")


@pytest.fixture
def store(tmp_path):
    """A store that knows one issuer."""
    found = open_store(f"sqlite:///{tmp_path}/a.db")
    found.migrate()
    record_uses(found, make_use("orders:list", "2026-10-01", "zoe"))
    yield found
    found.close()


@pytest.fixture
def policy(tmp_path):
    """The policy file."""
    path = tmp_path / "least-privilege.toml"
    path.write_text(POLICY)
    return path


def planned(policy, *findings, **more):
    return frozen_plan.from_review(make_review(*findings, policy=Policy.load(policy), **more), now=NOW)


def decisions(store, policy):
    """The decisions for each subject, with the original policy and with the current one."""
    found = []
    for text in (POLICY, policy.read_text()):
        path = policy.with_name("live.toml")
        path.write_text(text)
        authority = Authority(policy=str(path))
        with authority.guard(STORE=store.name) as guard:
            for subject, permissions, roles in (
                ("alice", ["orders:*"], []),
                ("bob", [], ["clerk"]),
                ("eve", ["orders:read"], ["clerk", "auditor"]),
            ):
                token = guard.authenticate(authority.headers(subject, permissions, roles)["Authorization"]).token
                found.append([guard.can(token, all_of(permission)) for permission in REQUIRED])
    return found


ROLE = make_finding("clerk", of="role", members=2)
NARROW = make_finding("clerk", "reports:*", of="role", proposal="narrow", instead=("reports:a",), members=2)


def test_apply_and_undo(store, policy, tmp_path):
    """After an undo, policy file and decisions are as before; in between, live tokens lose the grants."""
    plan, journal, before = (
        planned(policy, ROLE, NARROW, make_finding()),
        tmp_path / "p.journal",
        decisions(store, policy),
    )
    done = apply(plan, store, policy, journal=journal, now=NOW, by="carol")
    between = decisions(store, policy)
    assert [True, False, True, False, False] == between[0]
    assert [True, False, False, True, False] == between[1]
    assert between[:3] == between[3:]
    assert "# rarely" in policy.read_text()
    assert "# the counter" in policy.read_text()
    assert done.difference is not None
    assert [row.entry.id for row in plan_entries(store)] == [entry.id for entry in done.difference.entries]
    assert 0o600 == journal.stat().st_mode & 0o777
    undone = undo(journal, store, now=NOW + 9, by="dave")
    assert (POLICY.encode(), before, str(policy)) == (policy.read_bytes(), decisions(store, policy), undone.path)
    assert [] == list(plan_entries(store))
    again = apply(plan, store, policy, journal=journal, now=NOW + 20, by="carol")
    assert len(done.difference.entries) == again.entries


class BrokenStore:
    """A store whose `revoke` fails."""

    def __init__(self, store):
        self._store = store

    def revoke(self, entries, **more):
        raise StoreError("down")

    def __getattr__(self, name):
        return getattr(self._store, name)


def test_an_interrupted_plan_is_finished_once(store, policy, tmp_path):
    """Applying again finishes an interrupted plan, and a third attempt is refused."""
    plan, journal = planned(policy, ROLE), tmp_path / "p.journal"
    with pytest.raises(StoreError):
        apply(plan, BrokenStore(store), policy, journal=journal, now=NOW, by="carol")
    assert POLICY == policy.read_text()
    done = apply(plan, store, policy, journal=journal, now=NOW, by="carol")
    assert (True, True, 1) == (done.resumed, done.policy, len(list(plan_entries(store))))
    with pytest.raises(PolicyError, match="applied already"):
        apply(plan, store, policy, journal=journal, now=NOW, by="carol")


def test_a_changed_policy_is_refused(store, policy, tmp_path):
    """A policy that was changed before applying or before undoing is refused, and nothing is changed."""
    plan, journal = planned(policy, ROLE), tmp_path / "p.journal"
    policy.write_text(POLICY.replace("orders:export", "orders:x"))
    with pytest.raises(PolicyError, match="has changed since the review"):
        apply(plan, store, policy, journal=journal, now=NOW, by="carol")
    policy.write_text(POLICY)
    apply(plan, store, policy, journal=journal, now=NOW, by="carol")
    policy.write_text(policy.read_text() + "# more\n")
    with pytest.raises(PolicyFileChanged) as caught:
        undo(journal, store, now=NOW, by="carol")
    assert '+  "orders:read",' in caught.value.lines
    assert 1 == len(undo(journal, store, now=NOW, by="carol", policy=False).lifted)


def reasons(found):
    return [dropped.reason.partition(",")[0] for dropped in found.dropped]


def test_a_grant_used_since_the_review_is_left_out(store, policy):
    """An item is dropped if its permission was used since, through its own grant or through one that is kept."""
    record_uses(
        store, make_use("orders:read", "2026-11-05"), make_use("orders:read", "2026-11-05", "bob", grant="orders:*")
    )
    found = preview(planned(policy, make_finding(), make_finding("bob"), make_finding("eve")), store, POLICY, now=NOW)
    assert ["eve"] == [item.name for item in found.items]
    assert ["orders:read was used on 2026-11-05", "orders:read was used on 2026-11-05 through orders:*"] == reasons(
        found
    )


def test_guards_of_applying(store, policy, tmp_path):
    """The last holder known from tokens only needs a flag, the cap is enforced, and hashed subjects are dropped."""
    plan = planned(policy, make_finding(guards=("last holder",)), source="tokens")
    assert ["no other holder was seen"] == reasons(preview(plan, store, POLICY, now=NOW))
    assert 1 == len(preview(plan, store, POLICY, now=NOW, even_last_holder=True).items)
    keyed = planned(policy, make_finding("h:" + "a" * 22))
    assert ["the store records subjects as keyed hashes (SUBJECTS)"] == reasons(preview(keyed, store, POLICY, now=NOW))
    many = planned(policy, make_finding("clerk", of="role", members=300))
    with pytest.raises(PolicyError, match="300 grants would be revoked, but the limit is 250"):
        apply(many, store, policy, journal=tmp_path / "j", now=NOW, by="carol")


def test_verify(store, policy, tmp_path):
    """Verification counts use and refusals since, and finds grants that were given again."""
    from jwt_lp.stores import ObservedGrant

    plan, journal = planned(policy, make_finding(), make_finding("bob")), journal_path(tmp_path / "p")
    apply(plan, store, policy, journal=journal, now=NOW, by="carol")
    assert [True, True] == [outcome.is_effective for outcome in verify(plan, journal, store)]
    record_uses(store, make_use("orders:read", "2026-11-12", "bob"), count=3)
    record_uses(store, make_use("orders:read", "2026-11-12", grant="", outcome="revoked"), count=2,
           observed_grants=(ObservedGrant(ISSUER, "alice", "", "", "orders:read", "2026-11-13"),))  # fmt: skip
    assert [(0, 2, "2026-11-13"), (3, 0, "")] == [
        (x.used, x.refused, x.held_again) for x in verify(plan, journal, store)
    ]


def test_use_by_an_elevation_drops_nothing_and_is_no_use_since(store, policy, tmp_path):
    """What was used by an elevation since needs no standing grant, so the item stays, and it stays effective."""
    from jwt_lp.stores import ObservedGrant

    plan, journal = planned(policy, make_finding(), make_finding("web", of="client")), journal_path(tmp_path / "p")
    record_uses(store, make_use("orders:read", "2026-11-05", role="elevation:7", client="web"))
    assert ["alice", "web"] == [item.name for item in preview(plan, store, POLICY, now=NOW).items]
    apply(plan, store, policy, journal=journal, now=NOW, by="carol")
    record_uses(store, make_use("orders:read", "2026-11-12", role="elevation:8", client="web"),
           observed_grants=(ObservedGrant(ISSUER, "alice", "web", "elevation:8", "orders:read", "2026-11-13"),))  # fmt: skip
    assert [True, True] == [outcome.is_effective for outcome in verify(plan, journal, store)]


def test_what_a_leaver_held_is_refused_to_elevations_too(store, policy, tmp_path):
    """Who has left gets nothing back, whatever somebody approves."""
    plan = planned(policy, make_finding(verdict="leaver"), make_finding("web", of="client"))
    apply(plan, store, policy, journal=journal_path(tmp_path / "p"), now=NOW, by="carol")
    assert {"alice": False, "web": True} == {row.entry.name: row.entry.standing for row in plan_entries(store)}


def test_what_a_plan_denies_can_be_had_by_an_elevation(store, policy, tmp_path):
    """Its entries are for standing grants, also as its journal tells them; undoing lifts them as any entry."""
    plan, journal = planned(policy, make_finding(), make_finding("web", of="client")), journal_path(tmp_path / "p")
    apply(plan, store, policy, journal=journal, now=NOW, by="carol")
    intent = read_status(journal).intent
    assert [True, True] == [row.entry.standing for row in plan_entries(store)]
    assert intent is not None
    assert [True, True] == [entry.standing for entry in intent.entries]
    undo(journal, store, now=NOW, by="carol")
    assert [] == list(plan_entries(store))
