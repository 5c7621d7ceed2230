"""Families of refresh tokens in every store, on each engine."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from jwt_lp.errors import ConfigurationError, StoreError
from jwt_lp.revocation.entries import RevocationEntry
from jwt_lp.stores import FamilyEnding, PurgeCounts, RefreshFamily, open_store
from jwt_lp.stores.families import KEEP_FAMILIES, WRITER
from stores.threads import at_once

if TYPE_CHECKING:
    from jwt_lp.stores import Store

NOW = 1_800_000_000.5
ISSUER = "https://issuer.example/"
DAY = 86400.0


def family(name: str = "f1", **other: Any) -> RefreshFamily:
    values = {"issuer": ISSUER, "subject": "alice", "counter": 0, "created_at": NOW, "rotated_at": NOW}
    return RefreshFamily(**{"id": name, "expires_at": NOW + 30 * DAY, **values, **other})


def ending(name: str | None = "f1", at: float = NOW + 5, **other: Any) -> FamilyEnding:
    values = {"id": f"e{at}", "issuer": ISSUER, "subject": "alice", "reason": "sign_out", "tokens_until": at + 900}
    return FamilyEnding(**{"family": name, "at": at, **values, **other})


def revoked(store: Store) -> list[tuple[str, str, float | None]]:
    return [(row.entry.of, row.entry.name, row.entry.before) for row in store.revocations()]


def test_a_family_comes_back_as_it_was_written(store: Store) -> None:
    """Every member is stored, once; an unknown id gives None."""
    written = family(subject="Älice “1”", counter=7, ended_at=NOW + 1.25, reason="reuse")
    store.add_family(written)
    assert (written, None) == (store.family("f1"), store.family("F1"))
    with pytest.raises(StoreError, match="exists already"):
        store.add_family(family(subject="mallory"))
    assert written == store.family("f1")


def test_a_rotation_moves_the_counter_once(store: Store) -> None:
    """Only the current counter moves, and each of its values once; not from the last second of the family on."""
    store.add_family(family())
    assert [True, False, True] == [
        store.rotate_family("f1", counter=counter, at=NOW + 1 + counter) for counter in (0, 0, 1)
    ]
    assert replace(family(), counter=2, rotated_at=NOW + 2) == store.family("f1")
    assert [False] * 3 == [store.rotate_family("f1", counter=counter, at=NOW + 9) for counter in (1, 3, -1)]
    assert not store.rotate_family("other", counter=0, at=NOW)
    assert not store.rotate_family("f1", counter=2, at=NOW + 30 * DAY)
    assert store.rotate_family("f1", counter=2, at=NOW + 30 * DAY - 1)


def test_one_of_many_rotations_wins(store: Store) -> None:
    """Of threads that send the same counter at once, one moves it."""
    store.add_family(family())
    for counter in range(4):
        rotate = partial(store.rotate_family, "f1", counter=counter, at=NOW)
        assert [False] * 5 + [True] == sorted(at_once(store, *[rotate] * 6))


def test_an_ended_family_does_not_rotate(store: Store) -> None:
    """It is returned once, as it was; its access tokens are revoked until the last of them has expired."""
    store.add_family(family())
    store.add_family(family("f2"))
    assert (family(),) == store.end_families(ending())
    assert () == store.end_families(ending(at=NOW + 6))
    assert not store.rotate_family("f1", counter=0, at=NOW + 5)
    assert replace(family(), ended_at=NOW + 5, reason="sign_out") == store.family("f1")
    assert family("f2") == store.family("f2")
    (row,) = store.revocations()
    expected = RevocationEntry(
        id="f1", of="token", issuer=ISSUER, name="f1", until=NOW + 905, reason="sign_out", at=NOW + 5
    )
    assert (expected, WRITER) == (row.entry, row.by)
    assert [expected] == list(store.changes(0).entries)


def test_only_the_named_families_end(store: Store) -> None:
    """The subject and the issuer count, too; nothing is revoked for a family that is not there."""
    store.add_family(family())
    others: tuple[dict[str, Any], ...] = (
        {"subject": "bob"},
        {"issuer": "https://other.example/"},
        {"subject": "Alice"},
        {"family": "f9"},
    )
    assert [()] * 4 == [store.end_families(ending(**{"id": f"e{n}", **other})) for n, other in enumerate(others)]
    assert (family(), []) == (store.family("f1"), revoked(store))


def test_all_families_of_a_subject_end(store: Store) -> None:
    """All older tokens of the subject are revoked with one entry, and families of the last second with their own."""
    old = [family(f"f{number:04}", created_at=NOW - 5) for number in range(3)]
    fresh, other, gone = family("g"), family("h", subject="bob"), family("i", ended_at=1.0, reason="reuse")
    for each in (*old, fresh, other, gone):
        store.add_family(each)
    everywhere = ending(None, at=NOW + 0.25, reason="sign_out_everywhere")
    # A subject without families may have tokens that come from none.
    assert () == store.end_families(ending(None, subject="carol", id="c"))
    assert (*old, fresh) == store.end_families(everywhere)
    assert ("subject", "carol", 1_800_000_004.0) == revoked(store)[0]
    assert [("token", "g", None), ("subject", "alice", 1_799_999_999.0)] == revoked(store)[1:]
    assert [None, 1.0] == [each.ended_at for each in (store.family("h"), store.family("i")) if each is not None]
    ended = [store.family(name) for name in ("f0000", "f0001", "f0002", "g")]
    assert [(NOW + 0.25, "sign_out_everywhere")] * 4 == [(each.ended_at, each.reason) for each in ended if each]


def test_ending_is_all_or_nothing(store: Store) -> None:
    """If the revocation cannot be written, the family lives on."""
    store.add_family(family())
    store.revoke([RevocationEntry(id="f1", of="token", issuer=ISSUER, name="other")], at=1.0)
    with pytest.raises(StoreError):
        store.end_families(ending())
    assert family() == store.family("f1")


def test_one_of_many_endings_is_counted(store: Store) -> None:
    """Of threads that end the families of a subject at once, each family is returned to one, and is revoked once."""
    for number in range(5):
        store.add_family(family(f"f{number}"))

    def end(number: int) -> int:
        name = None if number % 2 else f"f{number}"
        return len(store.end_families(ending(name, id=f"e{number}")))

    assert 5 == sum(at_once(store, *(partial(end, number) for number in range(6))))
    assert 3 == sum(name == "alice" for _, name, _ in revoked(store))


def test_purge_deletes_expired_families(store: Store) -> None:
    """A day after its end a family goes, and so does the entry that revoked its tokens; other entries stay."""
    store.add_family(family("f1", expires_at=NOW))
    store.add_family(family("f2"))
    store.add_family(family("f3"))
    store.end_families(ending("f2"))
    store.revoke([RevocationEntry(id="x", of="token", issuer=ISSUER, name="x", until=NOW)], at=NOW)
    assert PurgeCounts() == store.purge(before="2020-01-01", now=NOW + KEEP_FAMILIES)
    assert PurgeCounts(families=1) == store.purge(before="2020-01-01", now=NOW + KEEP_FAMILIES + 1)
    assert PurgeCounts(revocations=1) == store.purge(before="2020-01-01", now=NOW + KEEP_FAMILIES + 906)
    assert [("token", "x", None)] == revoked(store)
    assert (None, "sign_out", "") == (
        store.family("f1"),
        *(found.reason for name in ("f2", "f3") if (found := store.family(name))),
    )


def test_migrating_adds_the_table_to_an_older_store(store: Store, url: str) -> None:
    """Tables of the release before are refused until they are migrated, and keep their rows."""
    store.revoke([RevocationEntry(id="x", of="token", issuer=ISSUER, name="x")], at=1.0)
    if url.startswith("django:"):
        from django.core.management import call_command

        call_command("migrate", "jwt_lp_django", "0002", database=url.removeprefix("django:"), verbosity=0)
    else:
        import sqlalchemy as sa

        engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE jwt_lp_family")
            connection.exec_driver_sql("UPDATE jwt_lp_schema SET version = 2")
        engine.dispose()
    store.close()
    with closing(open_store(url)) as other, pytest.raises(ConfigurationError, match="migrate"):
        other.add_family(family())
    assert (2, 5) == store.migrate()
    store.add_family(family())
    assert (family(), [("token", "x", None)]) == (store.family("f1"), revoked(store))
