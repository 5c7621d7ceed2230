"""Revocations in the console: listed, previewed, written once, and lifted."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from html import unescape
from typing import Any

import pytest

pytest.importorskip("starlette")
pytest.importorskip("sqlalchemy")
pytest.importorskip("uvicorn")
pytest.importorskip("jinja2")

from console.serving import ISSUER, Person, ServedConsole, served_console, settings, text_of
from hosts.serving import HttpAnswer, serve
from jwt_lp.console import create_console
from jwt_lp.errors import StoreError
from jwt_lp.revocation.entries import RevocationEntry
from jwt_lp.stores import AuditFilter, RevocationFilter, open_store
from jwt_lp.stores.push import CHANNEL
from review_factory import make_use, record_uses
from servers import REDIS, redis_server

WRITE = "jwt-lp:revocation:write"
READ = "jwt-lp:review:read"
FIELDS = {"what": "permission", "of": "subject", "issuer": ISSUER, "name": "alice", "pattern": "orders:read"}


@pytest.fixture
def writer(console: ServedConsole) -> Person:
    """Somebody who may revoke and lift."""
    return console.person("wim", WRITE)


@pytest.fixture(autouse=True)
def empty(store: Any) -> Iterator[None]:
    """Nothing is in force before and after each test."""
    yield
    store.lift([row.entry.id for row in store.revocations()], at=1.0)


def confirm(person: Person, **fields: str) -> tuple[HttpAnswer, dict[str, str]]:
    """Send the form, and return the preview with the fields of its own form."""
    answer = person.post("/revocations/new", FIELDS | fields)
    found = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', answer.body.decode())
    return answer, {name: unescape(value) for name, value in found if name != "csrf_token"}


def revoke(person: Person, **fields: str) -> HttpAnswer:
    """Revoke with both forms."""
    answer, confirmed = confirm(person, **fields)
    assert 200 == answer.status, text_of(answer)
    return person.post("/revocations/new", confirmed | {"step": "write"})


def standing(store: Any) -> list[RevocationEntry]:
    """The entries in force."""
    return [row.entry for row in store.revocations()]


def test_a_permission_is_revoked_after_a_preview(writer: Person, store: Any) -> None:
    """The first form writes nothing and says what it means; the second writes it, with who and why."""
    record_uses(
        store,
        make_use("orders:read", "2026-11-01", issuer=ISSUER),
        make_use("orders:list", "2026-11-02", issuer=ISSUER),
    )
    answer, fields = confirm(writer, reason="left the team", until="7d")
    shown = text_of(answer)
    assert ([], True, False) == (
        standing(store),
        "orders:read is refused to the subject alice" in shown,
        "orders:list" in shown,
    )
    answer = writer.follow(writer.post("/revocations/new", fields | {"step": "write"}))
    (row,) = store.revocations()
    assert ("subject", ISSUER, "alice", "orders:read", "left the team", "wim") == (
        row.entry.of, row.entry.issuer, row.entry.name, row.entry.pattern, row.entry.reason, row.by
    )  # fmt: skip
    assert "Revoked. Services poll every" in text_of(answer)
    (entry,) = store.audit_entries(AuditFilter(object=row.entry.id))
    assert ("revoked", "wim", "left the team") == (entry.action, entry.actor.subject, entry.details["reason"])


@pytest.mark.parametrize(
    ("fields", "of", "kind"),
    [
        pytest.param({"what": "token", "name": "9f2c", "pattern": ""}, "token", "token", id="token"),
        pytest.param({"what": "issued", "pattern": ""}, "subject", "not_before", id="issued"),
        pytest.param(
            {"what": "block", "of": "client", "name": "batch", "pattern": ""}, "client", "not_before", id="block"
        ),
        pytest.param({"of": "role", "name": "clerk", "pattern": "**"}, "role", "deny", id="role"),
        pytest.param({"pattern": "orders:**", "keep": "orders:list  orders:read"}, "subject", "deny", id="keep"),
    ],
)
def test_each_kind_of_revocation_is_written(writer: Person, store: Any, fields: Any, of: str, kind: str) -> None:
    """The kinds that the commands have."""
    answer = revoke(writer, **fields)
    (entry,) = standing(store)
    assert (303, of, kind) == (answer.status, entry.of, entry.kind)
    assert tuple(fields.get("keep", "").split()) == entry.keep
    assert (fields.get("what") == "issued") == (entry.before is not None)


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        pytest.param({"name": ""}, "1 to 1024 characters", id="no name"),
        pytest.param({"name": "a\u202eb"}, "1 to 1024 characters", id="direction mark"),
        pytest.param({"issuer": "x" * 1025}, "1 to 1024 characters", id="long issuer"),
        pytest.param({"pattern": "orders read"}, "orders read", id="no permission"),
        pytest.param({"pattern": "orders:read", "keep": "users:read"}, "does not cover it", id="keep elsewhere"),
        pytest.param({"until": "yesterday"}, "write a day such as", id="no end"),
        pytest.param({"until": "2020-01-01"}, "is over", id="past"),
        pytest.param({"what": "block", "pattern": "", "until": "7d"}, "a block has no end", id="block with an end"),
        pytest.param({"what": "issued", "pattern": "orders:read"}, "only where a permission is revoked", id="both"),
        pytest.param({"what": "block", "of": "role", "pattern": ""}, "revoke the permission **", id="tokens of a role"),
        pytest.param({"what": "everything"}, "choose one of these", id="unknown kind"),
        pytest.param({"of": "issuer"}, "choose one of these", id="unknown holder"),
        pytest.param({"reason": "x" * 1001}, "at most 1000", id="long reason"),
        pytest.param(
            {"keep": " ".join(f"orders:{n}" for n in range(51))}, "at most 50 exceptions", id="many exceptions"
        ),
        pytest.param({"entry": "../../etc"}, "choose one of these", id="forged id"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_written(writer: Person, store: Any, fields: Any, fault: str) -> None:
    """The form comes back with the fault at its field and what was typed."""
    answer = writer.post("/revocations/new", FIELDS | fields | {"step": "write"})
    assert (400, True, []) == (answer.status, fault in text_of(answer), standing(store))


def test_attack_a_form_that_is_sent_twice_writes_once(writer: Person, store: Any) -> None:
    """The entry has the id of the preview, so it is written once."""
    _, fields = confirm(writer)
    answers = [writer.post("/revocations/new", fields | {"step": "write"}) for _ in range(2)]
    assert ([303, 303], 1) == ([answer.status for answer in answers], len(standing(store)))
    assert "revoked already" in text_of(writer.follow(answers[1]))
    assert 1 == len([*store.audit_entries(AuditFilter(object=fields["entry"]))])


def test_attack_whoever_reads_changes_nothing(console: ServedConsole, writer: Person, store: Any) -> None:
    """Without the permission no form is shown, and a forged one is refused."""
    revoke(writer)
    (row,) = store.revocations()
    reader = console.person("rob", READ)
    shown = reader.get(f"/revocations/{row.sequence}")
    assert (200, False) == (shown.status, b"Lift this" in shown.body)
    answers = (
        reader.get("/revocations/new"),
        reader.post("/revocations/new", FIELDS | {"step": "write"}),
        reader.post(f"/revocations/{row.sequence}/lift", {"sure": "yes"}),
    )
    assert ([403] * 3, 1) == ([answer.status for answer in answers], len(standing(store)))


def test_an_entry_is_lifted_with_a_confirmation(writer: Person, store: Any) -> None:
    """Without the box nothing happens; with it the entry is lifted, once, with a note in the trail."""
    revoke(writer)
    (row,) = store.revocations()
    path = f"/revocations/{row.sequence}/lift"
    refused = [writer.post(path).status, writer.post(path, {"sure": "yes", "reason": "x" * 1001}).status]
    assert ([400, 400], 1) == (refused, len(standing(store)))
    answers = [writer.post(path, {"sure": "yes", "reason": "a mistake"}) for _ in range(2)]
    assert ([303, 409], []) == ([answer.status for answer in answers], standing(store))
    assert "lifted" in text_of(writer.get(f"/revocations/{row.sequence}"))
    revoked, lifted = store.audit_entries(AuditFilter(object=row.entry.id))
    assert ("revoked", "lifted", "a mistake") == (revoked.action, lifted.action, lifted.details["reason"])


@pytest.mark.parametrize("number", ["0", "999999999", "9" * 30, "-1", "1.5", "..%2F1"])
def test_attack_an_unknown_entry_cannot_be_lifted(writer: Person, store: Any, number: str) -> None:
    """A number that no entry has is not found, and lifts nothing."""
    revoke(writer)
    answers = (writer.get(f"/revocations/{number}"), writer.post(f"/revocations/{number}/lift", {"sure": "yes"}))
    assert ([404, 404], 1) == ([answer.status for answer in answers], len(standing(store)))


def test_attack_names_and_reasons_are_shown_as_text(writer: Person, store: Any) -> None:
    """Markup in a name and a reason is escaped in the preview, in the list and on the entry's page."""
    revoke(writer, name="<img src=x>", reason='=cmd|"<b>x</b>')
    (row,) = store.revocations()
    for path in ("/revocations", f"/revocations/{row.sequence}"):
        body = writer.get(path).body.decode()
        assert (False, False, True) == ("<img src=x>" in body, "<b>x</b>" in body, "&lt;img src=x&gt;" in body)


def test_the_list_has_pages_and_finds_a_holder(writer: Person, store: Any) -> None:
    """Sixty entries a page, the newest first; the entries of one holder; and lifted ones where they are asked for."""
    store.revoke(
        [
            RevocationEntry(id=f"e{number}", of="subject", issuer=ISSUER, name=f"s{number}", pattern="a:b")
            for number in range(65)
        ],
        at=5.0,
    )
    body = writer.get("/revocations").body.decode()
    assert (60, True, False) == (body.count("a:b is refused"), "subject s64" in body, "subject s4 " in body)
    following = re.search(r'rel="next" href="([^"]+)"', body)
    assert following is not None
    assert 5 == writer.get(unescape(following[1])).body.count(b"a:b is refused")
    query = f"/revocations?of=subject&issuer={ISSUER}&name=s4"
    assert 1 == writer.get(query).body.count(b"a:b is refused")
    store.lift(["e4"], at=6.0)
    assert (0, 1) == tuple(writer.get(f"{query}{more}").body.count(b"a:b is refused") for more in ("", "&lifted=yes"))


def test_a_wrong_page_is_refused(writer: Person) -> None:
    """The place in the list is a number."""
    assert [400, 400] == [writer.get(f"/revocations?before={before}").status for before in ("x", "9" * 19)]


def test_the_only_issuer_is_filled_in(tmp_path: Any) -> None:
    """Where the store has seen one issuer, nobody has to type it."""
    store = open_store(f"sqlite:///{tmp_path}/a.db")
    store.migrate()
    record_uses(store, make_use("orders:read", "2026-11-01", issuer="https://only.test/"))
    with served_console(store) as console:
        assert b'value="https://only.test/"' in console.person("wim", WRITE).get("/revocations/new").body
    store.close()


def test_a_revocation_does_not_wait_for_the_audit_trail(tmp_path: Any) -> None:
    """Where the trail takes no entry, access is revoked all the same, and the log says what is missing in the trail."""
    store = open_store(f"sqlite:///{tmp_path}/a.db")
    store.migrate()
    with closing(sqlite3.connect(tmp_path / "a.db")) as database, database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        database.execute(f"DROP TABLE {next(name for name in tables if name.endswith(('audit_entry', 'audit')))}")
    with served_console(store) as console:
        answer = revoke(console.person("wim", WRITE))
    assert (303, ["alice"]) == (answer.status, [entry.name for entry in standing(store)])
    store.close()


def test_services_are_told_at_once(tmp_path: Any) -> None:
    """With PUSH in the settings a revocation is announced, and the page says to how many."""
    with redis_server() as redis:
        store = open_store(f"sqlite:///{tmp_path}/a.db")
        store.migrate()
        app = create_console(settings(store, PUSH=REDIS))
        with redis.pubsub() as heard, serve("asgi", app) as client:
            heard.subscribe(CHANNEL)
            assert heard.get_message(timeout=5) is not None
            wim = ServedConsole(app, client, app.guard, store).person("wim", WRITE)
            assert "Pushed to" in text_of(wim.follow(revoke(wim)))
            assert heard.get_message(timeout=5) is not None
        store.close()


def test_an_announcement_that_fails_hides_no_revocation(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis is not there, and the store stops after the change: it is written, and the page says so."""
    pytest.importorskip("redis")
    store = open_store(f"sqlite:///{tmp_path}/a.db")
    store.migrate()

    def fail(*_: object, **__: object) -> tuple[object, ...]:
        raise StoreError("no answer")

    app = create_console(settings(store, PUSH="redis://127.0.0.1:1/0"))
    with serve("asgi", app) as client, monkeypatch.context() as patch:
        wim = ServedConsole(app, client, app.guard, store).person("wim", WRITE)
        patch.setattr(type(store), "heartbeats", fail)
        answer = wim.follow(revoke(wim))
    assert (True, 1) == ("Revoked. Services poll every" in text_of(answer), len(standing(store)))
    store.close()


def test_a_revocation_that_fails_is_no_success(writer: Person, store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the store does not answer, the page does not say that anything was revoked."""
    _, fields = confirm(writer)

    def fail(*_: object, **__: object) -> int:
        raise StoreError("no answer from postgresql://secret-host/")

    with monkeypatch.context() as patch:
        patch.setattr(type(store), "revoke", fail)
        answer = writer.post("/revocations/new", fields | {"step": "write"})
    assert (503, False, []) == (answer.status, b"secret-host" in answer.body, standing(store))


def test_attack_two_who_lift_at_once_lift_once(writer: Person, store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else lifts the entry between the look and the change: the second one is told."""
    revoke(writer)
    (row,) = store.revocations()
    lift = type(store).lift

    def be_late(self: Any, ids: Any, *, at: float) -> int:
        lift(self, ids, at=at)
        result: int = lift(self, ids, at=at)
        return result

    with monkeypatch.context() as patch:
        patch.setattr(type(store), "lift", be_late)
        answer = writer.post(f"/revocations/{row.sequence}/lift", {"sure": "yes"})
    assert (409, True) == (answer.status, "It was lifted already" in text_of(answer))


def test_an_entry_of_a_plan_says_so(writer: Person, store: Any) -> None:
    """Lifting it by hand would leave the plan's journal wrong, so the page warns."""
    store.revoke([RevocationEntry(id="plan-0123", of="subject", issuer=ISSUER, name="bob", pattern="a:b")], at=5.0)
    (row,) = store.revocations()
    assert "Undo the plan" in text_of(writer.get(f"/revocations/{row.sequence}"))


def test_an_issuer_that_the_store_does_not_know_is_a_warning(writer: Person, store: Any) -> None:
    """The comparison is exact, so a similar issuer is suggested before anything is written."""
    record_uses(store, make_use("orders:read", "2026-11-01", issuer=ISSUER))
    answer, _ = confirm(writer, issuer="https://id.test")
    assert "the store has seen no token of https://id.test" in text_of(answer)


def test_the_query_fills_the_form(writer: Person) -> None:
    """Other pages link to a form that is filled in."""
    body = writer.get("/revocations/new?of=client&name=%22%3Ex&issuer=i&pattern=a:b").body.decode()
    assert (True, True) == ('value="client" selected' in body, 'value="&#34;&gt;x"' in body)


def test_a_lift_that_fails_is_no_success(writer: Person, store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the store does not answer, the page does not say that the entry was lifted."""
    revoke(writer)
    (row,) = store.revocations()

    def fail(*_: object, **__: object) -> int:
        raise StoreError("no answer from postgresql://secret-host/")

    with monkeypatch.context() as patch:
        patch.setattr(type(store), "lift", fail)
        answer = writer.post(f"/revocations/{row.sequence}/lift", {"sure": "yes"})
    assert (503, False, False) == (answer.status, "Lifted" in text_of(answer), b"secret-host" in answer.body)


def test_attack_a_form_without_the_preview_writes_nothing(writer: Person, store: Any) -> None:
    """Each entry has an id of its own from its preview: without one, the second would pass for written already."""
    for name in ("without-1", "without-2"):
        fields = {"what": "block", "of": "subject", "issuer": ISSUER, "name": name, "step": "write"}
        answer = writer.post("/revocations/new", fields)
        assert 200 == answer.status
        assert "Revoke this?" in text_of(answer)
        assert () == store.revocation_page(RevocationFilter(name=name, limit=1))
