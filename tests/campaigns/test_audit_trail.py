"""The audit trail: verified in a store and in an exported file."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from campaigns.conftest import OPERATOR, Quarter
from jwt_lp.campaigns import BrokenEntry, export_audit, verify_audit, verify_audit_file
from jwt_lp.errors import ConfigurationError, StoreError
from jwt_lp.stores import open_store
from jwt_lp.stores.audit import Actor, WantedEntry, chain_entries
from jwt_lp.stores.campaign_values import audit_row

pytestmark = pytest.mark.once

ENTRY = (
    '{"sequence":1,"at":1.0,"actor":{"issuer":"","subject":"","name":""},"action":"","campaign":"","object":"",'
    '"details":{},"previous":"","hash":""}'
)


def fill(quarter: Quarter, number: int = 5) -> None:
    quarter.store.append_audit(
        [WantedEntry(actor=OPERATOR, at=1000.5 + each, action="tested", details={"n": each, "é": [None, 0.1]}) for each in range(number)]
    )  # fmt: skip


def exported(quarter: Quarter) -> list[str]:
    file = io.StringIO()
    assert 5 == export_audit(quarter.store, file)
    return file.getvalue().splitlines(keepends=True)


def test_a_whole_trail(quarter: Quarter) -> None:
    """An empty trail is whole, and so is one with entries, in the store and exported."""
    assert (0, "", None) == verify_audit(quarter.store)
    assert (0, "", None) == verify_audit_file([])
    fill(quarter)
    found = verify_audit(quarter.store)
    assert (5, None) == (found.entries, found.broken)
    assert (
        found == verify_audit_file(exported(quarter)) == verify_audit_file([*exported(quarter), "\n"], head=found.hash)
    )
    third = json.loads(exported(quarter)[2])["hash"]
    assert verify_audit_file(exported(quarter), head=third).broken is None


@pytest.mark.parametrize(
    ("statement", "broken"),
    [
        ("UPDATE {table} SET at = 7.0 WHERE sequence = 3", BrokenEntry(3, "was changed: its hash is another one")),
        ("UPDATE {table} SET action = 'x' WHERE sequence = 5", BrokenEntry(5, "was changed: its hash is another one")),
        ("UPDATE {table} SET previous = 'x' WHERE sequence = 2",
         BrokenEntry(2, "does not name the hash of the entry before it")),
        ("DELETE FROM {table} WHERE sequence = 1", BrokenEntry(1, "is missing")),
        ("DELETE FROM {table} WHERE sequence = 4", BrokenEntry(4, "is missing")),
        ("DELETE FROM {table} WHERE sequence = 5",
         BrokenEntry(5, "is missing: the trail ends before the entry that is known to be there")),
        ("DELETE FROM {table}",
         BrokenEntry(1, "is missing: the trail ends before the entry that is known to be there")),
        ("UPDATE {table} SET sequence = 9 WHERE sequence = 2", BrokenEntry(2, "is missing")),
        *(
            (f"UPDATE {{table}} SET {column} = {value} WHERE sequence = 3",
             BrokenEntry(3, "was changed: its hash is another one"))
            for column, value in [
                ("details", "'x'"), ("details", "'[1]'"), ("details", "x'ff00'"), ("at", "'x'"), ("at", "9e999"),
                ("details", "'{{\"n\":NaN}}'"), ("action", "x'ff00'"), ("details", "replace(hex(zeroblob(50000)), '0', '[')"),
            ]
        ),
    ],
)  # fmt: skip
def test_a_changed_trail(quarter: Quarter, tmp_path: Path, statement: str, broken: BrokenEntry) -> None:
    """The first entry that was changed, deleted or moved in the tables is named."""
    fill(quarter)
    with closing(sqlite3.connect(tmp_path / "access.db")) as connection, connection:
        (table,) = [
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if "audit" in name and "head" not in name
        ]
        connection.execute(statement.format(table=table))
    assert broken == verify_audit(quarter.store).broken
    assert str(broken) == f"entry {broken.sequence}: {broken.fault}"


def test_an_entry_that_was_added_by_hand(quarter: Quarter, tmp_path: Path) -> None:
    """It is found behind the last entry, although it fits."""
    fill(quarter)
    (added,) = chain_entries([WantedEntry(actor=OPERATOR, at=2000, action="closed")], quarter.store.audit_head())
    row = audit_row(added)
    with closing(sqlite3.connect(tmp_path / "access.db")) as connection, connection:
        connection.execute(
            f"INSERT INTO jwt_lp_audit ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",
            [*row.values()],
        )
    broken = verify_audit(quarter.store).broken
    assert broken is not None
    assert "entry 6: stands behind the last entry: somebody else has written to the table" == str(broken)


def test_an_older_copy_of_the_store_needs_a_known_hash(quarter: Quarter, tmp_path: Path) -> None:
    """A copy is whole in itself, so only a hash that was kept elsewhere tells."""
    fill(quarter, 3)
    earlier = verify_audit(quarter.store).hash
    shutil.copy(tmp_path / "access.db", tmp_path / "older.db")
    fill(quarter, 2)
    later = verify_audit(quarter.store).hash
    assert all(verify_audit(quarter.store, head=known).broken is None for known in (earlier, later))
    with closing(open_store(f"sqlite:///{tmp_path / 'older.db'}")) as older:
        assert verify_audit(older, head=earlier).broken is None
        broken = verify_audit(older, head=later).broken
        assert BrokenEntry(4, "is missing: the trail ends before the entry that is known to be there") == broken


def test_a_trail_without_its_last_entry(quarter: Quarter, tmp_path: Path) -> None:
    """It is neither verified nor continued, and the message says why."""
    fill(quarter)
    with closing(sqlite3.connect(tmp_path / "access.db")) as connection, connection:
        connection.execute("DELETE FROM jwt_lp_audit_head")
    for attempt in (lambda: verify_audit(quarter.store), lambda: fill(quarter, 1)):
        with pytest.raises(StoreError, match="somebody else has deleted from its tables"):
            attempt()


def test_others_verify_an_export_by_its_description(quarter: Quarter) -> None:
    """Whoever has only the documentation and SHA-256 comes to the same result, whatever the texts are."""
    hostile = 'é \u202e\ud800\0"hash":"x",\\=1+1\n'
    actor = Actor(issuer=hostile, subject=hostile, name=hostile)
    details = {"hash": "0" * 64, "n": 10**30, "f": 1e-7, "g": -0.0, hostile: [hostile, None, {"hash": hostile}]}
    for at in (0.0, 1764500000, 1764500000.25):
        quarter.store.append_audit([WantedEntry(actor=actor, at=at, action=hostile, object=hostile, details=details)])
    file = io.StringIO()
    assert 3 == export_audit(quarter.store, file)
    previous = ""
    for number, line in enumerate(file.getvalue().splitlines(), 1):
        entry = json.loads(line)
        before, _, behind = line.rpartition(f'"hash":"{entry["hash"]}",')
        assert hashlib.sha256((before + behind).encode("ascii")).hexdigest() == entry["hash"]
        assert (number, previous) == (entry["sequence"], entry["previous"])
        previous = entry["hash"]
    assert (3, previous, None) == verify_audit(quarter.store) == verify_audit_file(file.getvalue().splitlines())


def test_an_entry_that_came_while_it_was_verified(quarter: Quarter) -> None:
    """What is added meanwhile is no fault."""
    fill(quarter)
    head = quarter.store.audit_head

    class Busy:
        def __getattr__(self, name: str) -> Any:
            return getattr(quarter.store, name)

        def audit_head(self) -> tuple[int, str]:
            found = head()
            fill(quarter, 1)
            return found

    busy: Any = Busy()
    found = verify_audit(busy)
    assert (6, None) == (found.entries, found.broken)


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        (lambda lines: [*lines[:2], *lines[3:]], BrokenEntry(3, "is missing")),
        (lambda lines: [*lines[:3], lines[1], *lines[3:]], BrokenEntry(2, "stands behind a later one")),
        (lambda lines: [lines[1], lines[0], *lines[2:]], BrokenEntry(1, "is missing")),
        (lambda lines: [line.replace("tested", "x") for line in lines],
         BrokenEntry(1, "was changed: its hash is another one")),
    ],
)  # fmt: skip
def test_a_changed_file(quarter: Quarter, change: Any, broken: BrokenEntry) -> None:
    """The same is found in an exported file."""
    fill(quarter)
    assert broken == verify_audit_file(change(exported(quarter))).broken


def test_a_file_that_was_cut_needs_the_last_hash(quarter: Quarter) -> None:
    """The end of a file can be missing unseen, unless the last hash is known."""
    fill(quarter)
    lines = exported(quarter)
    last = json.loads(lines[-1])["hash"]
    assert verify_audit_file(lines[:-1]).broken is None
    broken = verify_audit_file(lines[:-1], head=last).broken
    assert broken is not None
    assert 5 == broken.sequence


@pytest.mark.parametrize(
    "line",
    [
        "hello",
        "[]",
        "{}",
        "{" * 10_000,
        '{"a":1,"a":2}',
        '"' + "x" * (1 << 20) + '"',
        ENTRY.replace('"sequence":1', '"sequence":"1"'),
        ENTRY.replace('"at":1.0', '"at":"1"'),
        ENTRY.replace('"at":1.0', '"at":NaN'),
        ENTRY.replace('"previous":""', '"previous":1'),
    ],
    ids=["text", "list", "empty", "deep", "twice", "long", "number", "time", "no number", "hash"],
)
def test_a_line_that_is_no_entry(line: str) -> None:
    """It is a fault of the file, with its line."""
    with pytest.raises(ConfigurationError, match="line 2: not an entry"):
        verify_audit_file(["\n", line])


def test_the_entries_of_one_campaign(quarter: Quarter) -> None:
    """They can be exported apart, and are no chain."""
    fill(quarter, 1)
    campaign = quarter.freeze()
    file = io.StringIO()
    assert 1 == export_audit(quarter.store, file, campaign=campaign.id)
    assert BrokenEntry(1, "is missing") == verify_audit_file([file.getvalue()]).broken
