"""The revocation poller and its snapshots: refused tokens, denied permissions, and the age of the snapshot."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clock import Clock
from examples import examples
from jwt_lp import AccessToken, Permissions
from jwt_lp.errors import StoreError
from jwt_lp.permissions.grants import Denial, Grant
from jwt_lp.revocation.entries import RevocationChanges, RevocationEntry, RevocationKey
from jwt_lp.revocation.poller import Freshness, RevocationPoller
from jwt_lp.revocation.snapshot import NO_MATCH, RevocationSnapshot, SnapshotBuilder, free_incrementally, with_pauses
from jwt_lp.tokens.delegation import Lineage
from memory_store import MemoryStore, entry

ISSUER = "https://authority.test"
IDP = "https://idp.test"
NOW = 1_800_000_000.0
DAY = 86400.0


def token(**changes: Any) -> AccessToken:
    grants = [Grant("orders:*", "scope", pattern=True), Grant("stock:take", "role clerk", "clerk")]
    usual: dict[str, Any] = {
        "issuer": ISSUER,
        "issuer_name": "own",
        "subject": "alice",
        "client": "web",
        "permissions": Permissions.of(grants),
        "_claims": {},
        "issued_at": NOW,
        "expires_at": NOW + 300,
        "token_id": "t1",
        "roles": ("clerk",),
        "fingerprint": "abc",
    }
    return AccessToken(**{**usual, **changes})


def polled(
    *entries: RevocationEntry, wall: Clock | None = None, **options: Any
) -> tuple[MemoryStore, RevocationPoller]:
    store = MemoryStore()
    store.revoke(entries, at=NOW)
    poller = RevocationPoller(store, retention=DAY, wall=wall or Clock(NOW), **options)
    poller.poll()
    return store, poller


LINEAGE = Lineage(NOW - 100, ((ISSUER, "p1"), (ISSUER, "p2")), ("spa",), ("gateway", "proxy"))
FOREIGN = Lineage(NOW - 100, ((IDP, "p1"), (ISSUER, "p2")), ("spa",), (), (IDP, "42"))


@pytest.mark.parametrize(
    ("dead", "revocation", "access_token"),
    [
        pytest.param(True, entry("token", "t1"), token(), id="the token"),
        pytest.param(False, entry("token", "t2"), token(), id="another token"),
        pytest.param(False, entry("token", "t1", IDP), token(), id="of another issuer"),
        pytest.param(False, entry("token", "t1"), token(token_id=None), id="a token without an id"),
        pytest.param(True, entry("token", "p1"), token(lineage=LINEAGE), id="its first ancestor"),
        pytest.param(True, entry("token", "p2"), token(lineage=LINEAGE), id="its parent"),
        pytest.param(True, entry("token", "p1", IDP), token(lineage=FOREIGN), id="a foreign ancestor"),
        pytest.param(False, entry("token", "p1"), token(lineage=FOREIGN), id="not of our own by that id"),
        pytest.param(True, entry("subject", "alice", before=NOW), token(), id="issued at that second"),
        pytest.param(False, entry("subject", "alice", before=NOW - 1), token(), id="issued after"),
        pytest.param(True, entry("subject", "alice", before=NOW - 1), token(lineage=LINEAGE), id="its root before"),
        pytest.param(True, entry("subject", "alice"), token(issued_at=NOW + 9e6), id="blocked"),
        pytest.param(False, entry("subject", "alice", IDP), token(), id="the same name elsewhere"),
        pytest.param(True, entry("subject", "42", IDP), token(lineage=FOREIGN), id="by its name elsewhere"),
        pytest.param(True, entry("client", "web", before=NOW), token(), id="its client"),
        pytest.param(False, entry("client", "web", before=NOW), token(client=None), id="no client"),
        pytest.param(True, entry("client", "spa", before=NOW), token(lineage=LINEAGE), id="the client before"),
        pytest.param(True, entry("client", "gateway", before=NOW), token(lineage=LINEAGE), id="the actor"),
        pytest.param(True, entry("client", "proxy", before=NOW), token(lineage=LINEAGE), id="an earlier actor"),
        pytest.param(True, entry("client", "spa", IDP, before=NOW), token(lineage=FOREIGN), id="a foreign client"),
        pytest.param(True, entry("issuer", "", before=NOW), token(), id="the issuer"),
        pytest.param(True, entry("issuer", "", IDP, before=NOW), token(lineage=FOREIGN), id="the first issuer"),
        pytest.param(False, entry("issuer", "", IDP, before=NOW), token(), id="another issuer"),
        pytest.param(True, entry("role", "clerk", before=NOW), token(), id="a role's holders"),
        pytest.param(False, entry("subject", "alice", pattern="**"), token(), id="a deny entry"),
    ],
)
def test_which_tokens_are_refused(dead: bool, revocation: RevocationEntry, access_token: AccessToken) -> None:
    """The look-up covers the token's own identity, its original subject, its clients, each actor and every ancestor."""
    _, poller = polled(revocation)
    assert dead is (poller.match_token(access_token).cause is not None)
    assert dead is (poller.match(access_token).cause is not None)


@pytest.mark.parametrize(
    ("denied", "allowed", "deny_entry"),
    [
        (["orders:read"], ["orders:list", "stock:take"], entry("subject", "alice", pattern="orders:read")),
        (["orders:list"], ["orders:read"], entry("subject", "alice", pattern="orders:*", keep=("orders:read",))),
        (["orders:read", "stock:take"], [], entry("subject", "alice", pattern="**")),
        (["orders:read"], ["stock:take"], entry("client", "web", pattern="orders:*")),
        (["stock:take"], ["orders:read"], entry("role", "clerk", pattern="**")),
        ([], ["orders:read", "stock:take"], entry("role", "clerk", pattern="orders:*")),
        ([], ["orders:read"], entry("role", "boss", pattern="**")),
        ([], ["orders:read"], entry("subject", "bob", pattern="**")),
        ([], ["orders:read"], entry("subject", "alice", pattern="**", until=NOW)),
        (["orders:read"], [], entry("subject", "alice", pattern="**", until=NOW + 1)),
    ],
)
def test_what_a_deny_entry_denies(denied: list[str], allowed: list[str], deny_entry: RevocationEntry) -> None:
    """Exactly what the pattern covers and the exceptions do not; for a role, what that role confers."""
    _, poller = polled(deny_entry)
    access_token = token()
    remaining = access_token.permissions.with_denials(poller.match_token(access_token).denials)
    assert (denied, allowed) == (
        [text for text in denied if text not in remaining],
        [text for text in allowed if text in remaining],
    )
    assert [deny_entry.id] * len(denied) == [denial.id for text in denied if (denial := remaining.denial_for(text))]
    assert [None] * len(allowed) == [remaining.denial_for(text) for text in allowed]


def test_a_revoked_role_leaves_other_grants() -> None:
    """A permission that is also held directly or through another role stays."""
    grants = [Grant("a", "scope"), Grant("a", "role clerk", "clerk"), Grant("b", "role clerk", "clerk")]
    grants += [Grant("b", "role boss", "boss"), Grant("c", "role clerk", "clerk")]
    _, poller = polled(entry("role", "clerk", pattern="**"))
    access_token = token(permissions=Permissions.of(grants))
    remaining = access_token.permissions.with_denials(poller.match_token(access_token).denials)
    assert [True, True, False] == [text in remaining for text in ("a", "b", "c")]
    served = remaining.grant_for("b")
    assert served is not None
    assert "boss" == served.role


def test_every_role_that_confers_a_permission_is_checked() -> None:
    """What was revoked from all roles that confer it is gone, even if the token names none of them."""
    grants = [
        Grant("a", "role_scope", "clerk"),
        Grant("a", "role_scope", "boss"),
        Grant("b:*", "role_scope", "chief", pattern=True),
    ]
    access_token = token(permissions=Permissions.of(grants), roles=())
    _, poller = polled(*(entry("role", role, pattern="**") for role in ("clerk", "boss", "chief")))
    remaining = access_token.permissions.with_denials(poller.match_token(access_token).denials)
    assert [False, False] == ["a" in remaining, "b:c" in remaining]
    assert ["boss", "chief", "clerk"] == sorted(access_token.permissions.roles)
    assert () == Permissions().roles == Permissions.of(["a"]).roles


def test_entries_are_lifted_one_by_one() -> None:
    """Several entries about one subject are independent, and lifting one leaves the others."""
    one, two = entry("subject", "alice", pattern="orders:a"), entry("subject", "alice", pattern="orders:b")
    store, poller = polled(one, two)
    generation = poller.generation
    assert [one.id, two.id] == [denial.id for denial in poller.match_token(token()).denials]
    store.lift([one.id], at=NOW)
    assert poller.poll() == 5.0
    assert [two.id] == [denial.id for denial in poller.match_token(token()).denials]
    assert generation + 1 == poller.generation
    store.lift([two.id], at=NOW)
    poller.poll()
    assert (NO_MATCH, 4, 0) == (poller.match_token(token()), poller.sequence, len(poller))


def test_two_entries_about_one_token() -> None:
    """A token that was revoked twice is revoked until both are lifted."""
    one, two = entry("token", "t1"), entry("token", "t1")
    store, poller = polled(one, two)
    store.lift([one.id], at=NOW)
    poller.poll()
    assert poller.match(token()).cause
    store.lift([two.id], at=NOW)
    poller.poll()
    assert not poller.match(token()).cause


def test_the_later_of_two_times_counts() -> None:
    """Of several not-before entries the latest counts, in whatever order they come."""
    _, poller = polled(entry("subject", "alice", before=NOW), entry("subject", "alice", before=NOW - 50))
    assert poller.match(token()).cause


def test_an_empty_poll_keeps_the_generation() -> None:
    """A poll without changes leaves the generation unchanged."""
    _, poller = polled(entry("token", "t1"))
    before = poller.generation
    poller.poll()
    assert before == poller.generation


def test_pages_are_put_together() -> None:
    """However small the pages, a poll applies all of them at once at its end."""
    store = MemoryStore(page=3)
    store.revoke([entry("token", f"t{number}") for number in range(20)], at=NOW)
    poller = RevocationPoller(store, retention=DAY, wall=Clock(NOW))
    poller.poll()
    assert (20, 20, 7) == (len(poller), poller.sequence, store.poll_count)


def test_a_snapshot_grows_stale() -> None:
    """The snapshot is fresh, then stale, then unusable, by the clock at the request."""
    clock = Clock(0)
    store, poller = polled(entry("token", "t1"), clock=clock)
    assert (Freshness.FRESH, 0) == (poller.freshness(), poller.age())
    clock.now = 60
    assert Freshness.FRESH is poller.freshness()
    clock.now = 61
    assert Freshness.STALE is poller.freshness()
    with pytest.raises(StoreError, match="are not current"):
        poller.match(token())
    assert poller.match_token(token()).cause
    clock.now = 3601
    assert Freshness.NONE is poller.freshness()
    store.down = OSError("down")
    with pytest.raises(OSError, match="down"):
        poller.poll()
    assert Freshness.NONE is poller.freshness()
    store.down = None
    poller.poll()
    assert Freshness.FRESH is poller.freshness()


@pytest.mark.parametrize(("expected", "start"), [(Freshness.NONE, "closed"), (Freshness.FRESH, "open")])
def test_before_the_first_snapshot(expected: Freshness, start: Any) -> None:
    """Everything is refused before the first poll, unless the operator configured otherwise."""
    poller = RevocationPoller(MemoryStore(), retention=DAY, start=start)
    assert (expected, math.inf) == (poller.freshness(), poller.age())


def test_the_age_counts_from_the_start_of_the_poll() -> None:
    """An answer that took ten seconds is ten seconds old."""
    clock = Clock(0)

    class Slow(MemoryStore):
        def changes(self, since: int) -> RevocationChanges:
            clock.now += 10
            return super().changes(since)

    poller = RevocationPoller(Slow(), retention=DAY, clock=clock)
    poller.poll()
    assert 10 == poller.age()


class Backwards(MemoryStore):
    """A store that was restored from an older copy, with pages or without."""

    older = 3
    more = False

    def changes(self, since: int) -> RevocationChanges:
        return super().changes(since) if since == 0 else RevocationChanges(self.older, more=self.more)


@pytest.mark.parametrize("more", [False, True])
def test_a_sequence_never_goes_back(more: bool) -> None:
    """An older copy of the store removes nothing from the snapshot; it is an error until the restart."""
    store = Backwards()
    store.more = more
    store.revoke([entry("token", f"t{number}") for number in range(5)], at=NOW)
    poller = RevocationPoller(store, retention=DAY, wall=Clock(NOW))
    poller.poll()
    with pytest.raises(StoreError, match="went back from 5 to 3"):
        poller.poll()
    assert (5, True) == (poller.sequence, poller.match(token()).cause is not None)


def test_an_older_copy_is_noticed_from_the_start_too() -> None:
    """A rebuild from an older copy removes nothing from the snapshot either."""
    store, poller = polled(*(entry("token", f"t{number}") for number in range(5)), wall=(wall := Clock(NOW)))
    before = poller.polled
    older = MemoryStore()
    older.revoke([entry("token", f"t{number}") for number in range(3)], at=NOW)
    store.standing, store.sequence = older.standing, older.sequence
    wall.now += DAY + 1
    with pytest.raises(StoreError, match="went back from 5 to 3"):
        poller.poll()
    assert before is poller.polled


@pytest.mark.parametrize("jump", [-400 * DAY, -3600.0, 3600.0, 400 * DAY])
def test_setting_the_wall_clock_does_not_change_the_age(jump: float) -> None:
    """A wall clock that jumps makes the snapshot neither older nor newer."""
    wall, clock = Clock(NOW), Clock(0)
    _, poller = polled(entry("subject", "alice", pattern="orders:read"), wall=wall, clock=clock)
    clock.now = 7
    wall.now += jump
    assert (7, Freshness.FRESH) == (poller.age(), poller.freshness())
    assert ["orders:read"] == [denial.pattern for denial in poller.match_token(token()).denials]
    poller.poll()
    assert (0, 1) == (poller.age(), len(poller))
    clock.now = 7 + 61
    assert Freshness.STALE is poller.freshness()


def test_pauses_between_items() -> None:
    """All items are yielded once, in order, with pauses for other threads."""
    assert list(range(1000)) == list(with_pauses(range(1000)))
    rests: list[int] = []
    builder = SnapshotBuilder(RevocationSnapshot(), NOW, DAY, pause=lambda: rests.append(1))
    for number in range(1000):
        builder.add(entry("token", f"t{number}", at=NOW))
    assert 1000 // 64 == len(rests)


def test_replaced_shards_are_freed() -> None:
    """For one new token one shard is replaced, and only the old one is freed."""
    store, poller = polled(entry("token", "t1"))
    old = poller.polled.snapshot
    store.revoke([entry("token", "t2")], at=NOW)
    poller.poll()
    replaced = old.unshared_shards(poller.polled.snapshot)
    assert [True] == [any(shard is part for part in old.tokens) for shard in replaced]
    assert [] == old.unshared_shards(old)
    free_incrementally(replaced)
    assert [] == replaced


def test_ends_within_an_hour_share_one_number() -> None:
    """Tokens whose entries end within the same hour share one object, which saves memory."""
    _, poller = polled(*(entry("token", f"t{number}", at=NOW + number) for number in range(50)))
    assert 1 == len({id(end) for shard in poller.polled.snapshot.tokens for end in shard.values()})


def test_ended_entries_are_dropped() -> None:
    """An entry is dropped when no token that it refuses can be alive; an entry without end stays."""
    wall = Clock(NOW)
    store, poller = polled(
        entry("token", "t1"),
        entry("subject", "bob", before=NOW),
        entry("subject", "eve"),
        entry("subject", "alice", pattern="a", until=NOW + 10),
        entry("subject", "alice", pattern="b"),
        wall=wall,
    )
    assert 4 == len(poller)
    wall.now += DAY + 3601
    poller.poll()
    assert (2, 5) == (len(poller), poller.sequence)
    assert [denial.pattern for denial in poller.match_token(token()).denials] == ["b"]
    assert poller.match_token(token(subject="eve")).cause
    store.revoke([entry("token", "t9", at=NOW)], at=NOW)
    poller.poll()
    assert 2 == len(poller)


def test_an_entry_stays_as_long_as_a_token_can_live_here() -> None:
    """The longest lifetime that this process accepts counts, whatever end the writer chose."""
    wall = Clock(NOW)
    _, poller = polled(entry("token", "t1", until=NOW + 1), wall=wall)
    wall.now += DAY - 1
    assert poller.match(token()).cause


def test_a_clock_that_jumps_back_forgets_nothing() -> None:
    """The snapshot is rebuilt from all entries."""
    wall = Clock(NOW)
    _, poller = polled(entry("token", "t1"), wall=wall)
    wall.now -= 10 * DAY
    poller.poll()
    assert poller.match(token()).cause


def test_entries_dropped_by_a_clock_ahead_come_back() -> None:
    """An entry that ended only by a clock that was ahead is in force when the clock is corrected."""
    wall = Clock(NOW)
    store, poller = polled(entry("subject", "bob"), wall=wall)
    wall.now += 3600
    store.revoke([entry("subject", "alice", pattern="b", until=NOW + 600)], at=NOW)
    poller.poll()
    assert () == poller.match_token(token()).denials
    wall.now -= 3590
    store.changes, changes = lambda since: 1 / 0, store.changes  # type: ignore[method-assign, return-value, assignment]
    with pytest.raises(ZeroDivisionError):
        poller.poll()
    store.changes = changes  # type: ignore[method-assign]
    wall.now += 500
    poller.poll()
    assert ["b"] == [denial.pattern for denial in poller.match_token(token()).denials]
    assert poller.match_token(token(subject="bob")).cause


def test_a_snapshot_is_never_changed() -> None:
    """A new snapshot shares what did not change; the old one stays the same."""
    old = RevocationSnapshot()
    builder = SnapshotBuilder(old, NOW, DAY, pause=lambda: None)
    for number in range(600):
        builder.add(entry("token", f"t{number}", at=NOW))
    new = builder.build()
    assert (0, 600) == (len(old), len(new))
    again = SnapshotBuilder(new, NOW, DAY)
    again.remove([RevocationKey("token", ISSUER, "t1"), RevocationKey("subject", ISSUER, "nobody")])
    last = again.build()
    assert (600, 599) == (len(new), len(last))
    shared = sum(one is other for one, other in zip(new.tokens, last.tokens, strict=True))
    assert 1023 == shared
    assert last is SnapshotBuilder(last, NOW, DAY).build()


OF = st.sampled_from(["token", "subject", "client", "role", "issuer"])
NAMES = {"token": ["t1", "p1"], "subject": ["alice", "42"], "client": ["web", "spa"], "role": ["clerk"], "issuer": [""]}
ENTRIES = OF.flatmap(
    lambda of: st.builds(
        lambda name, issuer, pattern, before: entry(
            of, name, issuer, pattern="" if of == "token" else pattern, before=before
        ),
        st.sampled_from(NAMES[of]),
        st.sampled_from([ISSUER, IDP]),
        st.sampled_from(["", "", "orders:*", "**", "orders:read"]),
        st.sampled_from([None, NOW - 200, NOW]),
    )
)


@examples(150)
@given(st.lists(st.tuples(ENTRIES, st.booleans(), st.integers(1, 4)), max_size=12))
def test_polling_in_between_makes_no_difference(steps: list[tuple[RevocationEntry, bool, int]]) -> None:
    """However entries come and go between polls, the snapshot equals that of a new process."""
    store = MemoryStore(page=2)
    poller = RevocationPoller(store, retention=DAY, wall=Clock(NOW))
    for added, poll, lift in steps:
        store.revoke([added], at=NOW)
        if poll:
            poller.poll()
        if len(store.standing) >= lift:
            store.lift([list(store.standing)[lift - 1]], at=NOW)
    poller.poll()
    fresh = RevocationPoller(store, retention=DAY, wall=Clock(NOW))
    fresh.poll()
    for access_token in (token(), token(lineage=LINEAGE), token(lineage=FOREIGN), token(subject="bob")):
        one, other = poller.match_token(access_token), fresh.match_token(access_token)
        assert one.cause == other.cause
        assert {denial.id for denial in one.denials} == {denial.id for denial in other.denials}


@examples(200)
@given(
    st.lists(st.sampled_from(["a", "b", "a:b", "a:*", "**", "*", "a::b"]), min_size=1, max_size=4),
    st.lists(
        st.tuples(st.sampled_from(["a", "a:*", "**", "*"]), st.lists(st.sampled_from(["a", "a:b"]), max_size=1)),
        max_size=3,
    ),
    st.sampled_from(["a", "b", "a:b", "a:c", "a::b"]),
)
def test_a_denial_removes_what_it_covers_and_nothing_else(
    texts: list[str], denials: list[tuple[str, list[str]]], permission: str
) -> None:
    """A permission is held if it is granted and not denied; without denials nothing changes."""
    whole = Permissions.of(texts, patterns=True)
    remaining = whole.with_denials(Denial(str(number), *denial) for number, denial in enumerate(denials))
    denied = any(
        (pattern == "**" or permission in Permissions.of([pattern], patterns=True)) and permission not in keep
        for pattern, keep in denials
    )
    assert (permission in whole and not denied) is (permission in remaining)
    assert (permission in whole and denied) is (remaining.denial_for(permission) is not None)
    assert (permission in whole) is (permission in remaining.with_denials(()))
    assert bool(denials) is remaining.has_denials
