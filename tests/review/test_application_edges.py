"""Application, undo and verification of plans in unusual situations."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("tomlkit")

import tomlkit

from jwt_lp import Policy
from jwt_lp._support.file_lock import hold_lock, lock_path
from jwt_lp.errors import ConfigurationError, PolicyError
from jwt_lp.review.findings import USED_THROUGH_ANOTHER
from jwt_lp.review.plan import PolicyFileChanged, application, apply, frozen_plan, prepare_undo, preview, undo
from jwt_lp.review.plan.plan_journal import append_entry, journal_path, read_status
from jwt_lp.review.plan.plan_preview import PlanPreview
from jwt_lp.review.plan.policy_editor import edit_policy, parse_policy, read_bytes, write_atomically
from jwt_lp.review.plan.verification import verify
from jwt_lp.stores import HeldGrant, ObservedGrant, open_store
from review_factory import DAY, ISSUER, LATER, at, make_finding, make_review, make_use, record_uses

POLICY = """version = 1
[permissions]
"orders:list" = {}
"orders:read" = {}
"reports:a" = {}
"reports:b" = {}
"exports:a" = {}
# who may do what
[roles.clerk]
grants = ["orders:list", "orders:read", "reports:*"]
[roles.chief]
includes = ["clerk"]
grants = ["orders:list"]
[roles.desk]
grants = ["exports:*", "orders:read"]
"""
NOW = at(LATER)
AFTER = NOW + 3 * 86400


def _after(days: int) -> str:
    return f"2026-11-{10 + days:02}"


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


@pytest.fixture
def journal(tmp_path):
    """The path of the plan's journal."""
    return journal_path(tmp_path / "q.plan")


def _planned(*findings, policy=None, **more):
    loaded = None if policy is None else Policy.load(policy)
    return frozen_plan.from_review(make_review(*findings, policy=loaded, **more), now=NOW)


def _apply(plan, store, journal, policy=None, **more):
    return apply(plan, store, policy, journal=journal, now=NOW, by="carol", **more)


def _verified(plan, journal, store):
    return {outcome.item.id: outcome for outcome in verify(plan, journal, store)}


def test_an_invalid_policy_file_is_refused(store, policy, journal) -> None:
    """A file that is not TOML, or not UTF-8, is not edited."""
    with pytest.raises(ConfigurationError, match="not TOML"):
        parse_policy("version = ")
    plan = _planned(make_finding("clerk", of="role", members=2), policy=policy)
    policy.write_bytes(b"\xff\xfe")
    with pytest.raises(PolicyError, match="not UTF-8"):
        _apply(plan, store, journal, policy)


def test_without_tomlkit_the_error_names_the_extra(monkeypatch) -> None:
    """Without tomlkit, the error names the extra that installs it."""
    monkeypatch.setitem(sys.modules, "tomlkit", None)
    with pytest.raises(ConfigurationError, match=r"jwt-lp\[cli\]"):
        edit_policy(POLICY, {("clerk", "orders:read"): ()})


def test_an_edit_that_differs_from_the_intent_is_refused(monkeypatch) -> None:
    """An edit is refused if its result differs from the intended policy or allows more."""
    monkeypatch.setattr(tomlkit, "dumps", lambda _: POLICY)
    with pytest.raises(ConfigurationError, match="by hand"):
        edit_policy(POLICY, {("clerk", "orders:read"): ()})
    monkeypatch.undo()
    with pytest.raises(ConfigurationError, match="would allow more"):
        edit_policy(POLICY, {("clerk", "orders:read"): ("reports:**",)})


def test_a_grant_is_narrowed_in_its_place(policy) -> None:
    """The narrower grants replace the pattern in its place, without duplicates."""
    edited = edit_policy(POLICY, {("clerk", "reports:*"): ("reports:a", "orders:list", "reports:b")})
    assert '["orders:list", "orders:read", "reports:a", "reports:b"]' in edited
    assert "# who may do what" in edited


def test_files_that_cannot_be_read_or_written_are_named(tmp_path) -> None:
    """An error of the operating system names the file, and no temporary file is left."""
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_bytes(tmp_path / "nonesuch")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_atomically(tmp_path / "no" / "such" / "folder", b"")
    policy = tmp_path / "p.toml"
    policy.write_text(POLICY)
    with pytest.raises(ConfigurationError):
        write_atomically(policy, b"version = 2", policy=True)
    assert POLICY == policy.read_text()
    assert ["p.toml"] == [file.name for file in tmp_path.iterdir()]
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_atomically(tmp_path / "folder", b"")
    with pytest.raises(ConfigurationError, match="is not a file"):
        write_atomically(tmp_path / "folder", b"", mode=0o600)
    assert ["folder", "p.toml"] == sorted(file.name for file in tmp_path.iterdir())


def test_a_linked_policy_stays_a_link_and_keeps_its_mode(tmp_path) -> None:
    """A policy behind a link is edited in the link's target, which keeps its mode."""
    real = tmp_path / "real.toml"
    real.write_text(POLICY)
    real.chmod(0o640)
    link = tmp_path / "least-privilege.toml"
    link.symlink_to(real)
    write_atomically(link, POLICY.replace("orders", "carts").encode(), policy=True)
    assert link.is_symlink()
    assert "carts:list" in real.read_text()
    assert 0o640 == real.stat().st_mode & 0o777


def test_an_interrupted_journal_line_is_ignored(journal) -> None:
    """An incomplete last line is ignored; a complete line that is not a journal's is refused with its number."""
    assert "new" == read_status(journal).state
    journal.write_text('{"what": "inte')
    append_entry(journal, "undone", at=NOW, by="carol")
    assert "undone" == read_status(journal).state
    for content, fault in (
        ("[]\n", "line 1: not a journal"),
        ('{"what": "nonesuch"}\n', "line 1: not a journal"),
        ('{"what": "done"}\n', "a line is incomplete"),
        ('{"what": "intent", "at": 1, "by": ""}\n', "a line is incomplete"),
    ):
        journal.write_text(content)
        with pytest.raises(ConfigurationError, match=fault):
            read_status(journal)
    journal.write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_status(journal)


def test_a_journal_that_cannot_be_written_stops_everything(store, tmp_path) -> None:
    """If the journal cannot be written, nothing is applied."""
    with pytest.raises(ConfigurationError, match="cannot be locked"):
        _apply(_planned(make_finding()), store, tmp_path / "no" / "folder.journal")
    assert [] == list(store.revocations())
    with pytest.raises(ConfigurationError, match="cannot be written"):
        append_entry(tmp_path / "no" / "folder.journal", "done", at=NOW, by="carol")


def test_a_journal_of_another_plan_is_refused(store, journal) -> None:
    """A plan is not applied with another plan's journal, not applied twice, and not undone twice."""
    plan = _planned(make_finding())
    _apply(plan, store, journal)
    with pytest.raises(PolicyError, match="another plan"):
        _apply(_planned(make_finding("bob")), store, journal)
    with pytest.raises(PolicyError, match="applied already"):
        _apply(plan, store, journal)
    append_entry(journal, "undoing", at=NOW, by="carol")
    with pytest.raises(PolicyError, match="undone only in part"):
        _apply(plan, store, journal)
    undo(journal, store, now=NOW, by="carol")
    with pytest.raises(PolicyError, match="no applied plan to undo"):
        undo(journal, store, now=NOW, by="carol")


def test_a_plan_that_has_nothing_to_do_is_refused(store, journal) -> None:
    """If every item was used since the review, nothing is written."""
    record_uses(store, make_use("orders:read", _after(0)))
    with pytest.raises(PolicyError, match="no item of the plan is left"):
        _apply(_planned(make_finding()), store, journal)
    found = preview(_planned(make_finding()), store, None, now=NOW)
    assert not found
    assert isinstance(found, PlanPreview)
    assert "after the review" in found.dropped[0].reason


def test_use_after_the_review_does_not_keep_what_a_leaver_holds(store, journal) -> None:
    """A leaver's grant is revoked although it was used since; in the frozen plan only such an item says so."""
    record_uses(store, make_use("orders:read", LATER))
    record_uses(store, make_use("orders:list", LATER, "bob"))
    plan = _planned(make_finding(verdict="leaver"), make_finding("bob", "orders:list"))
    assert 1 == plan.encode().count('"leaver"')
    found = preview(frozen_plan.Plan.decode(plan.encode()), store, None, now=NOW)
    assert (["alice"], ["bob"]) == ([item.name for item in found.items], [left.item.name for left in found.dropped])


def test_a_crash_before_the_policy_was_written_is_finished(store, policy, journal) -> None:
    """Applying again finishes an interrupted plan without writing twice; a manual edit in between stops it."""
    plan = _planned(
        make_finding("clerk", of="role", members=2), make_finding("chief", "orders:read", of="role"), policy=policy
    )
    found = preview(plan, store, POLICY, now=NOW)
    assert found
    _apply(plan, store, journal, policy)
    written = journal.read_text().splitlines()
    policy.write_text(POLICY)
    journal.write_text(f"{written[0]}\n")
    policy.write_text(f"{POLICY}# mine\n")
    with pytest.raises(PolicyFileChanged, match="while the plan was applied"):
        _apply(plan, store, journal, policy)
    policy.write_text(POLICY)
    again = _apply(plan, store, journal, policy)
    assert (True, True, 0) == (again.resumed, again.policy, again.entries)
    assert '"orders:read"' not in policy.read_text().split("[roles")[1]


def test_a_manual_edit_just_before_the_replacement_is_kept(store, policy, journal, monkeypatch) -> None:
    """Editors take no lock, so the file is compared again just before it is replaced."""
    plan = _planned(make_finding("desk", "exports:*", of="role", members=2), policy=policy)
    mine = f"{POLICY}# mine\n"
    load = Policy.load

    def edit(path):
        policy.write_text(mine)
        return load(path)

    # Of all that happens before the file is replaced, the last.
    with monkeypatch.context() as patched:
        patched.setattr(Policy, "load", edit)
        with pytest.raises(PolicyFileChanged, match="while the plan was applied"):
            _apply(plan, store, journal, policy)
    assert ("begun", mine) == (read_status(journal).state, policy.read_text())
    policy.write_text(POLICY)
    assert _apply(plan, store, journal, policy).resumed
    with monkeypatch.context() as patched:
        patched.setattr(Policy, "load", edit)
        with pytest.raises(PolicyFileChanged, match="--leave-policy"):
            undo(journal, store, now=NOW, by="dave")
    assert mine == policy.read_text()
    undo(journal, store, now=NOW, by="dave", policy=False)
    assert {"least-privilege.toml", "a.db", "q.plan.journal"} == {
        file.name for file in policy.parent.iterdir() if not file.name.startswith("a.db-")
    }


def test_a_policy_file_that_another_process_edits_is_left_alone(store, policy, journal, monkeypatch) -> None:
    """If another process locks the policy file, nothing is done and the error names it; other plans go on."""
    monkeypatch.setattr(application, "WAIT", 0.1)
    role = _planned(make_finding("desk", "exports:*", of="role", members=2), policy=policy)
    busy = rf"least-privilege.toml is being changed by process {os.getpid()} on .*waited 0.1 s"
    with hold_lock(lock_path(policy), "it", wait=0):
        with pytest.raises(PolicyError, match=busy):
            _apply(role, store, journal, policy)
        assert ("new", POLICY, []) == (read_status(journal).state, policy.read_text(), list(store.revocations()))
        _apply(_planned(make_finding(), policy=policy), store, journal.with_name("s.plan.journal"), policy)
    _apply(role, store, journal, policy)
    edited = policy.read_text()
    with hold_lock(lock_path(policy), "it", wait=0):
        with pytest.raises(PolicyError, match=busy):
            undo(journal, store, now=NOW, by="dave")
        assert ("applied", edited) == (read_status(journal).state, policy.read_text())
        undo(journal, store, now=NOW, by="dave", policy=False)


@pytest.mark.parametrize("locked", ["the store", "the plan"])
def test_one_plan_at_a_time_with_one_store(store, journal, monkeypatch, locked) -> None:
    """A plan waits for another plan with the same store, and for itself with another store."""
    monkeypatch.setattr(application, "WAIT", 0.1)
    lock = store.exclusive("a plan", wait=0) if locked == "the store" else hold_lock(lock_path(journal), "it", wait=0)
    with lock, pytest.raises(PolicyError, match=rf"is being changed by process {os.getpid()} on "):
        _apply(_planned(make_finding()), store, journal)
    assert ("new", []) == (read_status(journal).state, list(store.revocations()))


def test_undo_keeps_a_later_edit_of_the_policy(store, policy, journal) -> None:
    """If the policy was edited since, undo shows the edit to make by hand, and can lift the entries alone."""
    plan = _planned(make_finding("desk", "exports:*", of="role", members=2), policy=policy)
    assert _apply(plan, store, journal, policy).policy
    policy.write_text(policy.read_text() + "# mine\n")
    with pytest.raises(PolicyFileChanged, match="--leave-policy") as caught:
        undo(journal, store, now=NOW, by="dave")
    assert any("exports" in line for line in caught.value.lines)
    assert prepare_undo(journal, policy=False).plan == plan.hash
    assert "" == undo(journal, store, now=NOW, by="dave", policy=False).path
    assert "# mine" in policy.read_text()


def test_a_plan_about_roles_needs_the_reviewed_policy(store, policy, journal) -> None:
    """A plan about roles needs the policy that was reviewed; a plan about subjects does not."""
    role = make_finding("clerk", "reports:*", of="role", members=2)
    with pytest.raises(PolicyError, match="pass --policy"):
        preview(_planned(role, policy=policy), store, None, now=NOW)
    with pytest.raises(PolicyError, match="has changed since"):
        preview(_planned(role, policy=policy), store, POLICY.replace("orders:list", "orders:all"), now=NOW)
    assert preview(_planned(make_finding(), policy=policy), store, None, now=NOW)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (make_finding(""), "records no subjects"),
        (make_finding("h:AAAAAAAAAAAAAAAAAAAAAA"), "as keyed hashes"),
        (make_finding(guards=("last holder",)), "--even-last-holder"),
    ],
)
def test_an_item_that_cannot_be_revoked_is_left_out(store, found, reason) -> None:
    """The item is dropped with its reason, and the other items are applied."""
    shown = preview(_planned(found, make_finding("zed"), source="tokens"), store, None, now=NOW)
    assert [reason in dropped.reason for dropped in shown.dropped] == [True]
    assert ["zed"] == [item.name for item in shown.items]


def _exempted(plan, name, until):
    items = tuple(replace(item, action="exempt", until=until) if item.name == name else item for item in plan.items)
    return replace(plan, items=items)


def test_an_exemption_of_a_member_keeps_the_roles_grant(store, policy) -> None:
    """While a member's exemption lasts, the role keeps the grant; an expired exemption is noted."""
    plan = _planned(
        make_finding("desk", "exports:*", of="role", members=2),
        make_finding("alice", "exports:*", role="desk"),
        policy=policy,
    )
    running = preview(_exempted(plan, "alice", "2027-01-01"), store, POLICY, now=NOW)
    assert "is exempt until 2027-01-01" in running.dropped[0].reason
    ended = preview(_exempted(plan, "alice", "2026-01-01"), store, POLICY, now=NOW)
    assert any("ended on 2026-01-01" in note for note in ended.notes)
    assert ["desk"] == [item.name for item in ended.items]


def test_a_membership_is_revoked_with_all_grants_of_the_role(store, policy, journal) -> None:
    """A membership is revoked by an entry for each grant of the role, except kept grants, and a hand-off line."""
    member = make_finding("alice", "", role="clerk")
    plan = _planned(member, make_finding("alice", "reports:a"), policy=policy)
    plan = replace(plan, items=(plan.items[0], replace(plan.items[1], action="keep")))
    assert ["", "reports:a"] == [item.grant for item in plan.items]
    shown = preview(plan, store, POLICY, now=NOW)
    assert {("orders:list", ()), ("orders:read", ()), ("reports:*", ("reports:a",))} == {
        (entry.pattern, entry.keep) for entry in shown.entries
    }
    assert [("alice", "clerk")] == [(handoff.name, handoff.role) for handoff in shown.handoffs]
    ghost = preview(_planned(make_finding("alice", "", role="ghost")), store, None, now=NOW)
    assert ((), 1) == (ghost.entries, len(ghost.handoffs))


@pytest.mark.parametrize(
    ("action", "until", "left"),
    [
        ("keep", "", {"orders:list", "orders:read", "reports:*"}),
        ("exempt", "2999-01-01", {"orders:list", "reports:*"}),
    ],
)
def test_a_membership_that_ends_takes_the_rows_of_its_grants_along(store, policy, action, until, left) -> None:
    """A row that says to decide about the membership holds nothing back if it is kept, only if it is exempted."""
    member, grant = make_finding("alice", "", role="clerk"), make_finding("alice", "orders:read", role="clerk")
    plan = _planned(member, grant, policy=policy)
    plan = replace(plan, items=(plan.items[0], replace(plan.items[1], action=action, until=until)))
    entries = preview(plan, store, POLICY, now=NOW).entries
    assert left == {entry.pattern for entry in entries}


def test_a_membership_that_ends_leaves_what_is_used_through_another_grant(store, policy) -> None:
    """A kept row of the same role that says so holds its permission back."""
    member, grant = make_finding("alice", "", role="clerk"), make_finding("alice", "orders:read", role="clerk")
    plan = _planned(member, grant, policy=policy)
    kept = replace(plan.items[1], action="keep", guards=(USED_THROUGH_ANOTHER,))
    entries = preview(replace(plan, items=(plan.items[0], kept)), store, POLICY, now=NOW).entries
    assert {"orders:list", "reports:*"} == {entry.pattern for entry in entries}


def test_two_narrowings_of_one_holder_keep_what_each_needs(store) -> None:
    """A deny entry refuses a use through any grant, so it names the permissions that other items keep."""
    one = make_finding("alice", "orders:*", proposal="narrow", instead=("orders:list",))
    other = make_finding("alice", "orders:**", proposal="narrow", instead=("orders:7:read", "orders:read"))
    shown = preview(_planned(one, other), store, None, now=NOW)
    assert {
        ("orders:*", ("orders:list", "orders:read")),
        ("orders:**", ("orders:7:read", "orders:read", "orders:list")),
    } == {(entry.pattern, entry.keep) for entry in shown.entries}


def test_a_dropped_item_is_kept_by_the_other_entries(store) -> None:
    """The grant of a dropped item is excepted from the patterns of the same plan."""
    wide = make_finding("alice", "orders:*")
    used = make_finding("alice", "orders:read")
    record_uses(store, make_use("orders:read", _after(0)))
    shown = preview(_planned(wide, used), store, None, now=NOW)
    assert [("orders:read", True)] == [
        (dropped.item.grant, "after the review" in dropped.reason) for dropped in shown.dropped
    ]
    assert [("orders:*", ("orders:read",))] == [(entry.pattern, entry.keep) for entry in shown.entries]


def test_clients_are_found_by_their_uses(store, journal) -> None:
    """An item of a client counts the client's use for any subject; refusals of other clients do not count."""
    plan = _planned(make_finding("web", "orders:read", of="client"), make_finding("web", "orders:list", of="client"))
    _apply(plan, store, journal)
    record_uses(
        store,
        make_use("orders:read", _after(2), "bob", client="web", outcome="revoked", grant=""),
        make_use("orders:read", _after(2), "bob", client="web", outcome="denied", grant=""),
        make_use("orders:list", _after(2), "bob", client="web"),
        make_use("orders:refund", _after(2), "bob", client="web"),
        make_use("orders:read", _after(2), "bob", client="other", outcome="revoked", grant=""),
        make_use("orders:refund", _after(2), "bob", client="web", outcome="revoked", grant=""),
    )
    found = {outcome.item.grant: outcome for outcome in verify(plan, journal, store)}
    assert (0, 1, True) == (found["orders:read"].used, found["orders:read"].refused, found["orders:read"].is_effective)
    assert (1, 0, False) == (found["orders:list"].used, found["orders:list"].refused, found["orders:list"].is_effective)


def test_the_outcome_of_each_item_is_verified(store, policy, journal) -> None:
    """Verification reports revocation, use, refusals, renewed grants and the author of the undo."""
    plan = _planned(
        make_finding("alice"),
        make_finding("bob"),
        make_finding("carl"),
        make_finding("dora"),
        make_finding("desk", "exports:*", of="role", members=1),
        policy=policy,
    )
    _apply(plan, store, journal, policy)
    ids = {item.name: item.id for item in plan.items}
    record_uses(
        store,
        make_use("orders:read", _after(0), "alice"),
        make_use("orders:read", _after(2), "alice", outcome="observed", grant=""),
        make_use("orders:list", _after(2), "alice"),
        make_use("orders:read", _after(2), "alice", outcome="revoked", grant=""),
        make_use("exports:a", _after(2), "erin", outcome="revoked", grant=""),
        make_use("orders:read", _after(3), "dora"),
        hour=13,
        observed_grants=(
            ObservedGrant(ISSUER, "bob", "", "", "orders:read", _after(2)),
            ObservedGrant(ISSUER, "bob", "", "", "orders:read", "2026-10-02"),
            ObservedGrant(ISSUER, "dora", "", "", "orders:read", _after(3)),
        ),
    )
    store.import_grants([HeldGrant(ISSUER, "carl", "", "", "orders:read")], as_of=_after(1), complete=True)
    lifted = [row.entry.id for row in store.revocations() if row.entry.name == "dora"]
    store.lift(lifted, at=at(_after(2)))
    found = _verified(plan, journal, store)
    assert (1, 1, "") == (found[ids["alice"]].used, found[ids["alice"]].refused, found[ids["alice"]].held_again)
    assert _after(2) == found[ids["bob"]].held_again
    assert _after(1) == found[ids["carl"]].held_again
    assert (0, "", at(_after(2))) == (
        found[ids["dora"]].used,
        found[ids["dora"]].held_again,
        found[ids["dora"]].lifted_at,
    )
    assert 1 == found[ids["desk"]].refused
    assert [False, False, False, True, True] == [
        found[ids[name]].is_effective for name in ("alice", "bob", "carl", "dora", "desk")
    ]
    undo(journal, store, now=AFTER, by="dave")
    assert {"dave"} == {outcome.lifted_by for outcome in verify(plan, journal, store)}


def test_what_was_not_applied_cannot_be_verified(store, journal) -> None:
    """A plan without a journal of its own cannot be verified; without entries there is no use to report."""
    plan = _planned(make_finding("alice", "", role="ghost"))
    with pytest.raises(PolicyError, match="no journal"):
        verify(plan, journal, store)
    _apply(plan, store, journal)
    assert [True] == [outcome.is_effective for outcome in verify(plan, journal, store)]
    with pytest.raises(PolicyError, match="no journal"):
        verify(_planned(make_finding("bob")), journal, store)


def test_use_through_another_revoked_grant_keeps_nothing(store) -> None:
    """Use through a grant that the plan also revokes is no reason to keep an item; use through a kept grant is."""
    record_uses(store, make_use("orders:read", _after(0), "alice", grant="orders:*"))
    stays = preview(_planned(make_finding()), store, None, now=NOW)
    assert "which is kept" in stays.dropped[0].reason
    role = preview(_planned(make_finding("alice", "", role="clerk"), policy=None), store, None, now=NOW)
    assert [] == list(role.dropped)


def test_a_plan_that_was_changed_is_refused() -> None:
    """The hash covers all contents of a plan."""
    contents = json.loads(_planned(make_finding()).encode())
    contents["items"][0]["grant"] = "**"
    with pytest.raises(ConfigurationError, match="changed after it was made"):
        frozen_plan.Plan.decode(json.dumps(contents))


def test_a_refusal_since_the_review_keeps_nothing(store, policy) -> None:
    """A refusal is no use; the use of a role by any member is."""
    record_uses(store, make_use("orders:read", _after(0), outcome="denied", grant=""))
    assert not preview(_planned(make_finding()), store, None, now=NOW).dropped
    record_uses(store, make_use("exports:a", _after(0), "erin", role="desk", grant="exports:*"))
    shown = preview(_planned(make_finding("desk", "exports:*", of="role"), policy=policy), store, POLICY, now=NOW)
    assert [True] == ["exports:a was used" in dropped.reason for dropped in shown.dropped]


def test_an_entry_that_would_refuse_nothing_is_not_written(store) -> None:
    """If kept grants cover all of a pattern, only the hand-off line remains."""
    plan = _planned(
        make_finding("alice", "orders:read"), make_finding("alice", "orders:*"), make_finding("alice", "", role="ghost")
    )
    narrow, wide, member = (
        next(item for item in plan.items if item.grant == grant) for grant in ("orders:read", "orders:*", "")
    )
    items = (narrow, replace(wide, action="keep"), replace(member, action="keep"))
    shown = preview(replace(plan, items=items), store, None, now=NOW)
    assert ((), ["orders:read"]) == (shown.entries, [handoff.grant for handoff in shown.handoffs])


def test_grants_seen_before_the_application_are_not_renewed(store, journal) -> None:
    """Tokens and imports from before the application do not count as granted again."""
    plan = _planned(make_finding(), make_finding("bob"))
    record_uses(store, observed_grants=(ObservedGrant(ISSUER, "alice", "", "", "orders:read", "2026-10-02"),))
    store.import_grants([HeldGrant(ISSUER, "bob", "", "", "orders:read")], as_of="2026-10-02", complete=False)
    _apply(plan, store, journal)
    assert ["", ""] == [value.held_again for value in _verified(plan, journal, store).values()]


def test_use_after_an_entry_was_lifted_is_no_failure(store, journal) -> None:
    """Use after an entry was lifted does not count; an entry that is missing in the store counts nothing."""
    plan = _planned(make_finding())
    _apply(plan, store, journal)
    store.lift([row.entry.id for row in store.revocations()], at=at(_after(1)))
    record_uses(store, make_use("orders:read", _after(2)))
    assert [(0, at(_after(1)))] == [(value.used, value.lifted_at) for value in _verified(plan, journal, store).values()]
    store.purge(before="2026-01-01", now=NOW + 900 * 86400)
    assert [] == list(store.revocations(lifted=True))
    assert [(1, 0.0)] == [(value.used, value.lifted_at) for value in _verified(plan, journal, store).values()]


def test_two_roles_one_of_which_includes_the_other(store, policy) -> None:
    """An edit is dropped if an including role would lose a grant without a decision; the others are made."""
    plan = _planned(
        make_finding("clerk", "orders:read", of="role"),
        make_finding("desk", "exports:*", of="role"),
        make_finding("desk", "orders:read", of="role"),
        policy=policy,
    )
    shown = preview(plan, store, POLICY, now=NOW)
    assert [("clerk", True)] == [(dropped.item.name, "includes it" in dropped.reason) for dropped in shown.dropped]
    assert ["exports:*", "orders:read"] == sorted(item.grant for item in shown.items)


def test_a_role_that_is_included_twice(store, tmp_path) -> None:
    """Includes are followed along all chains; an including role keeps grants of its own."""
    text = """version = 1
[roles.base]
grants = ["a:b", "a:c"]
[roles.left]
includes = ["base"]
grants = ["l:x"]
[roles.right]
includes = ["base"]
grants = ["r:x"]
[roles.top]
includes = ["left", "right"]
grants = ["a:b"]
"""
    path = tmp_path / "p.toml"
    path.write_text(text)
    plan = _planned(make_finding("base", "a:b", of="role"), make_finding("base", "a:c", of="role"), policy=path)
    shown = preview(plan, store, text, now=NOW)
    assert ["a:b", "a:c"] == sorted(dropped.item.grant for dropped in shown.dropped)
    both = _planned(
        *(make_finding(role, grant, of="role") for role in ("left", "right", "top") for grant in ("a:b", "a:c")),
        *(make_finding("base", grant, of="role") for grant in ("a:b", "a:c")),
        policy=path,
    )
    shown = preview(both, store, text, now=NOW)
    assert {("base", "a:b"), ("base", "a:c")} == {
        (item.name, item.grant) for item in shown.items if item.name == "base"
    }
    assert shown.after is not None
    assert "a:c" not in shown.after


def test_a_membership_that_was_used_since_stays(store, policy) -> None:
    """Any use through the role since the review keeps the membership."""
    plan = _planned(make_finding("alice", "", role="desk"), policy=policy)
    record_uses(store, make_use("exports:a", _after(0), "alice", role="desk", grant="exports:*"))
    shown = preview(plan, store, POLICY, now=NOW)
    assert ["exports:a was used on 2026-11-10, after the review"] == [dropped.reason for dropped in shown.dropped]


def test_use_earlier_on_the_day_of_the_application_does_not_count(store, journal) -> None:
    """Use on the day of the application counts only if it was later."""
    plan = _planned(make_finding())
    _apply(plan, store, journal)
    record_uses(store, make_use("orders:read", _after(0)), hour=1)
    assert [0] == [value.used for value in _verified(plan, journal, store).values()]


def test_the_last_holder_of_an_import_is_revoked(store) -> None:
    """With an imported list the last holder is revoked; with tokens only, it needs a flag."""
    last = make_finding(guards=("last holder",))
    assert ["alice"] == [item.name for item in preview(_planned(last), store, None, now=NOW).items]
    assert not preview(_planned(last, source="tokens"), store, None, now=NOW)
    assert preview(_planned(last, source="tokens"), store, None, now=NOW, even_last_holder=True)


def test_an_exemption_holds_on_its_last_day(store, policy) -> None:
    """An exemption includes its last day."""
    plan = _planned(
        make_finding("desk", "exports:*", of="role", members=2),
        make_finding("alice", "exports:*", role="desk"),
        policy=policy,
    )
    today = preview(_exempted(plan, "alice", LATER), store, POLICY, now=NOW)
    assert ([], ()) == ([item.name for item in today.items], today.notes)


@pytest.mark.parametrize(("hour", "dropped"), [(9, False), (15, True)])
def test_use_on_the_day_of_the_review_counts_from_the_review_on(store, hour, dropped) -> None:
    """A review at noon knows the use of the morning, but not of the afternoon."""
    record_uses(store, make_use("orders:read", DAY), hour=hour)
    shown = preview(_planned(make_finding(last_day=DAY)), store, None, now=NOW)
    assert dropped is bool(shown.dropped)
