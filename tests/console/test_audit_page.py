"""The audit trail in the console: shown, filtered, verified and exported."""

from __future__ import annotations

import csv
import io
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

pytest.importorskip("starlette")
pytest.importorskip("sqlalchemy")
pytest.importorskip("uvicorn")
pytest.importorskip("jinja2")

from console.serving import Person, ServedConsole, served_console, text_of
from jwt_lp.campaigns import verify_audit_file
from jwt_lp.stores import Actor, AuditFilter, WantedEntry, open_store
from review_factory import at

READ = "jwt-lp:review:read"


@contextmanager
def console_in(folder: Path) -> Iterator[ServedConsole]:
    """A console with a trail of four entries."""
    store = open_store(f"sqlite:///{folder}/a.db")
    store.migrate()
    for day, who, action, details in (
        ("2026-11-01", "ann", "decided", {"decision": "remove", "comment": '=HYPERLINK("http://evil.test")'}),
        ("2026-11-02", "ben", "applied", {"plan": "f" * 64, "entries": 3}),
        ("2026-11-02", "ann", "<script>x</script>", {"reason": "<img src=x>"}),
        ("2026-11-03", "eve", "undone", {"lifted": 3, "until": at("2026-12-24")}),
    ):
        actor = Actor(issuer="i", subject=who, name=who.capitalize())
        store.append_audit(
            [WantedEntry(actor=actor, at=at(day), action=action, object=f"about-{who}", details=details)]
        )
    with served_console(store) as served:
        yield served
    store.close()


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedConsole]:
    """The console of the tests that only read."""
    with console_in(tmp_path_factory.mktemp("trail")) as served:
        yield served


@pytest.fixture
def auditor(console: ServedConsole) -> Person:
    """Somebody who may read everything."""
    return console.person("olga", READ)


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[ServedConsole]:
    """The console of a test that changes the trail."""
    with console_in(tmp_path) as served:
        yield served


def test_the_newest_entry_is_first_with_its_hash(auditor: Person, console: ServedConsole) -> None:
    """Each entry says who, what, about what, and its hash."""
    shown = text_of(auditor.get("/audit"))
    entries = [*console.store.audit_entries(AuditFilter())]
    places = [shown.index(entry.hash) for entry in reversed(entries)]
    assert (sorted(places), True, True) == (places, "Ben ben" in shown, "until 2026-12-24T12:00:00Z" in shown)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("actor=ann", {"1", "3"}),
        ("actor=Ann", {"1", "3"}),
        ("action=undone", {"4"}),
        ("day=2026-11-02", {"2", "3"}),
        ("object=about-ben", {"2"}),
        ("actor=ann&day=2026-11-02", {"3"}),
        ("campaign=none", set()),
    ],
)
def test_filters(auditor: Person, query: str, found: set[str]) -> None:
    """By actor, action, day, object and campaign, and by several of them."""
    answer = auditor.get(f"/audit?{query}")
    body = answer.body.decode()
    assert f" {query.rpartition('=')[2]} " in text_of(answer).partition("Only:")[2]
    assert found == {number for number in "1234" if f'data-label="Number">{number}<' in body}


@pytest.mark.parametrize(
    "query", ["day=tomorrow", "day=2026-13-01", "day=20261101", "day=9999-12-31", "before=x", "before=-1"]
)
def test_a_wrong_filter_is_refused(auditor: Person, query: str) -> None:
    """A day or a number that is none gets 400."""
    assert 400 == auditor.get(f"/audit?{query}").status


def test_pages(alone: ServedConsole) -> None:
    """Sixty entries a page, and a link to those before."""
    actor = Actor(issuer="i", subject="x")
    alone.store.append_audit([WantedEntry(actor=actor, at=1.0, action="decided") for _ in range(80)])
    auditor = alone.person("olga", READ)
    assert "before=25" in auditor.get("/audit").body.decode()
    assert 24 == auditor.get("/audit?before=25").body.count(b'data-label="Number"')


def test_a_whole_chain_is_verified(auditor: Person, console: ServedConsole) -> None:
    """The page says how many entries there are, and the hash to keep elsewhere."""
    shown = text_of(auditor.get("/audit/verify"))
    assert (True, True) == ("The chain is whole: 4 entries" in shown, console.store.audit_head()[1] in shown)


@pytest.mark.parametrize(
    ("statement", "number"),
    [
        ("UPDATE {} SET action = 'denied' WHERE sequence = 2", 2),
        ("DELETE FROM {} WHERE sequence = 4", 4),
        ("DELETE FROM {} WHERE sequence = 1", 1),
    ],
)
def test_attack_a_change_in_the_database_is_found(alone: ServedConsole, statement: str, number: int) -> None:
    """An entry that was changed or deleted is named."""
    with closing(sqlite3.connect(alone.store.name.removeprefix("sqlite:///"))) as database, database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        database.execute(statement.format(next(name for name in tables if name.endswith(("audit_entry", "audit")))))
    shown = text_of(alone.person("olga", READ).get("/audit/verify"))
    assert (True, True) == ("The trail is not as it was written" in shown, f"Entry {number}:" in shown)


def test_attack_markup_in_entries_is_text(auditor: Person) -> None:
    """Actions and details are escaped."""
    body = auditor.get("/audit").body.decode()
    assert (False, False, True) == ("<script>x" in body, "<img src=x>" in body, "&lt;img src=x&gt;" in body)


def test_the_export_is_verified_elsewhere(auditor: Person, console: ServedConsole) -> None:
    """JSON lines hold the whole chain; a changed line is found."""
    answer = auditor.get("/audit/export")
    lines = answer.body.decode().splitlines()
    whole = verify_audit_file(lines)
    assert ("application/jsonl", None, 4) == (
        answer.headers["content-type"].partition(";")[0], whole.broken, whole.entries
    )  # fmt: skip
    broken = verify_audit_file([line.replace("applied", "applauded") for line in lines]).broken
    assert broken is not None
    assert 2 == broken.sequence
    assert console.store.audit_head()[1] in lines[-1]


def test_attack_the_csv_has_no_formula(auditor: Person) -> None:
    """No cell that a spreadsheet opens begins with a formula."""
    answer = auditor.get("/audit/export?form=csv")
    rows = list(csv.DictReader(io.StringIO(answer.body.decode())))
    assert 4 == len(rows)
    assert ("2026-11-01T12:00:00Z", "decided", "ann") == tuple(rows[0][name] for name in ("at", "action", "subject"))
    assert [] == [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "-", "@"))]


def test_attack_the_trail_is_for_readers_alone(console: ServedConsole) -> None:
    """Whoever may decide or revoke, but not read everything, sees nothing of it."""
    other = console.person("dan", "jwt-lp:review:decide", "jwt-lp:revocation:write")
    assert [403] * 3 == [other.get(path).status for path in ("/audit", "/audit/verify", "/audit/export")]


def test_another_form_of_export_is_refused(auditor: Person) -> None:
    """There are JSON lines and CSV."""
    assert 400 == auditor.get("/audit/export?form=xml").status


def test_an_export_that_fails_is_no_short_file(alone: ServedConsole) -> None:
    """Where the store cannot be read, the answer is an error, not the first lines of a trail."""
    with closing(sqlite3.connect(alone.store.name.removeprefix("sqlite:///"))) as database, database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        database.execute(f"DROP TABLE {next(name for name in tables if name.endswith(('audit_entry', 'audit')))}")
    assert [503, 503] == [
        alone.person("olga", READ).get(f"/audit/export?form={form}").status for form in ("jsonl", "csv")
    ]
