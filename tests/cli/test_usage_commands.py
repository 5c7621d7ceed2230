from __future__ import annotations

import csv
import json
import re
import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from jwt_lp.cli.row_input import open_input
from jwt_lp.stores import RecordingPeriod, UsageBatch, Use, open_store
from prerequisites import require
from servers import postgres_database

pytest.importorskip("sqlalchemy")

URL = "sqlite:///jwt-lp.db"
ISSUER = "https://issuer.test/"
TRACE = Path(__file__).parents[3] / "shared" / "data" / "usage_trace.csv"
LOG = "subject=user,time=ts,method=verb,path=uri,status=code"


@pytest.fixture
def run(project, cli):
    """`run(*arguments)`: a command on the store of the project's folder."""

    def run(*arguments, store=URL, **more):
        code, out, err = cli(*arguments, JWT_LP_STORE=store, COLUMNS="400", **more)
        return code, out, " ".join(err.split())

    return run


@pytest.fixture
def postgres():
    """The URL of a database of its own."""
    with postgres_database() as url:
        yield url


def _usage(url=URL):
    store = open_store(url)
    found = Counter({row.use: row.count for row in store.usage()})
    store.close()
    return found


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_a_real_trace(run, request, engine):
    """Every row is imported once, even if the file is imported again, and the export equals the import."""
    require(TRACE.exists(), "the shared data is not here")
    url = URL if engine == "sqlite" else request.getfixturevalue("postgres")
    assert 0 == run("store", "migrate", store=url)[0]
    arguments = ("usage", "import", str(TRACE), "--issuer", ISSUER, "--service", "trace")
    assert 0 == run(*arguments, store=url)[0]
    with TRACE.open(encoding="utf-8") as opened:
        expected = Counter(tuple(row) for row in list(csv.reader(opened))[1:])
    found = _usage(url)
    assert expected == Counter({(use.subject, use.permission, use.day): n for use, n in found.items()})
    code, out, _ = run(*arguments, store=url)
    assert (0, True, found) == (code, f"the file was imported before: nothing changed in {url}" in out, _usage(url))
    store = open_store(url)
    (source,) = store.recording_periods()
    days = sorted(row[2] for row in expected)
    store.close()
    assert ("import", "trace", sum(expected.values())) == (source.source, source.service, source.recorded)
    shown = run("usage", "show", "--subject", "u0001", store=url)[1].splitlines()
    assert len({row[1] for row in expected if row[0] == "u0001"}) + 1 == len(shown)
    assert f"imported from {days[0]} to {days[-1]} by 1 file: {sum(expected.values()):,} uses" == shown[-1]


def test_an_export_can_be_imported(project, run):
    """An export as CSV or JSON Lines is imported with the same counts."""
    project.write(
        "used.csv",
        "who,permission,day,client,outcome,count\nalice,orders:read,2026-05-01,web,,3\nbob,orders:list,2026-05-02,,denied,1\n",
    )
    assert 0 == run("usage", "import", "used.csv", "--map", "subject=who", "--issuer", ISSUER)[0]
    for form in ("csv", "jsonl"):
        project.write(f"again.{form}", run("usage", "export", "--format", form)[1])
        assert 0 == run("usage", "import", f"again.{form}", store=f"sqlite:///{form}.db")[0]
        assert _usage() == _usage(f"sqlite:///{form}.db")
    assert 2 == len(run("usage", "export", "--subject", "alice")[1].splitlines())
    assert 1 == len(run("usage", "export", "--until", "2026-04-01")[1].splitlines())


NASTY = ("=1+1", "+1", "-1", "@x", "  =x", "a;=x", "a,b;c", "'=x", "''=x", "'", "'x", '"=x', "＝x", "plain")


def test_exported_cells_are_not_formulas_and_are_restored(project, run):
    """Exported cells are quoted and never computed by a spreadsheet, and an import restores them."""
    store = open_store(URL)
    uses = {
        Use("orders", ISSUER, name, name, name, name, "GET", name, "a:b", "a:b", "granted", "2026-05-01"): (
            2,
            1777636800,
        )
        for name in NASTY
    }
    store.record(UsageBatch(id="1", uses=uses))
    store.close()
    out = run("usage", "export")[1]
    project.write("again.csv", out)
    assert [True] * (len(NASTY) + 1) == [line.startswith('"') and line.endswith('"') for line in out.splitlines()]
    for delimiter in ",;":
        cells = [cell for row in csv.reader(out.splitlines(), delimiter=delimiter) for cell in row]
        assert [] == [cell for cell in cells if re.match(r'[\s"]*[=+\-@＝]', cell)]
    assert 0 == run("usage", "import", "again.csv", "--service", "x", store="sqlite:///again.db")[0]
    # What a file says was asked for is the permission alone.
    kept = Counter({use._replace(requirement="a:b"): number for use, number in _usage().items()})
    assert kept == _usage("sqlite:///again.db")


def test_bad_rows(project, run):
    """Faulty rows are left out and shown with a reason and a line number, never with their content."""
    project.write(
        "used.csv",
        "subject,permission,day,Extra\nalice,orders:read,2026-05-01,\nsecret,orders:read,never,\nsecret,x,never,\n,x,y\n",
    )
    code, out, err = run("usage", "import", "used.csv")
    assert (1, "", False) == (code, err, "secret" in out or "never" in out)
    assert "used.csv: 4 rows, 1 granted, from 2026-05-01 to 2026-05-01" in out
    assert "!! 2 its day is not an ISO date, ISO time or number of seconds since the epoch such as line 3" in " ".join(
        out.split()
    )
    assert "!! 1 it has more or fewer cells than the header such as line 5" in " ".join(out.split())
    assert "columns that are not read: Extra" in out
    assert 1 == len(_usage())


def test_an_access_log(project, run):
    """Through the routes of the application, requests become uses and denials."""
    routes = run("routes", "shop:app", "--json")[1]
    project.write("routes.json", routes)
    lines = [
        {"user": "alice", "ts": 1777636800, "verb": "GET", "uri": "/orders?x=1", "code": 200},
        {"user": "alice", "ts": "2026-05-01T10:00:00Z", "verb": "GET", "uri": "/orders/4711", "code": "403"},
        {"user": "bob", "ts": "2026-05-01T10:00:00Z", "verb": "GET", "uri": "/either", "code": "200"},
        {"user": "-", "ts": "2026-05-01T10:00:00Z", "verb": "GET", "uri": "/orders", "code": "401"},
        {"user": "bob", "ts": "2026-05-01T10:00:00Z", "verb": "GET", "uri": "/nowhere", "code": "404"},
    ]
    project.write("access.jsonl", "".join(f"{json.dumps(line)}\n" for line in lines))
    code, out, _ = run("usage", "import", "access.jsonl", "--map", LOG, "--routes", "routes.json")
    assert (0, True) == (code, "5 rows, 1 denied, 4 granted" in out)
    assert "1 rows belong to routes that accept any of several permissions" in out
    assert {
        ("alice", "orders:list", "shop.orders", "granted"),
        ("alice", "orders:{order_id}:read", "shop.order", "denied"),
        ("bob", "orders:audit", "shop.either", "granted"),
        ("bob", "orders:list", "shop.either", "granted"),
        ("bob", "orders:export", "shop.either", "granted"),
    } == {(use.subject, use.permission, use.endpoint, use.outcome) for use in _usage()}
    assert "nothing changed" in run("usage", "import", "access.jsonl", "--map", LOG, "--routes", "routes.json")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("missing.csv",), "missing.csv cannot be read: No such file or directory"),
        (("used.xlsx",), "is it CSV or JSON Lines? pass --format"),
        ((".", "--format", "csv"), ". cannot be read: Is a directory"),
        (("-",), "pass --format csv or jsonl"),
        (("wrong.csv",), "wrong.csv: line 1: there is no column 'subject'; did you mean 'subjet'?"),
        (("used.csv", "--map", "subjet=x"), "no such field; did you mean 'subject'?"),
        (("used.csv", "--map", LOG), "to read an access log, pass --routes FILE"),
        (("used.csv", "--routes", "missing.json"), "missing.json cannot be read"),
        (("used.csv", "--routes", "used.csv"), "used.csv is not JSON: write it with jwt-lp routes --json"),
        (
            ("used.csv", "--routes", "object.json"),
            "object.json: the routes must be the list that jwt-lp routes --json prints",
        ),
        (("used.csv", "--routes", "routes.json"), "there is no column 'method'"),
    ],
)
def test_what_cannot_be_imported(project, run, arguments, message):
    """A wrong file is exit code 2, with what to do, and nothing is written."""
    project.write("used.csv", "subject,permission,day\n")
    project.write("used.xlsx", "PK")
    project.write("wrong.csv", "subjet,permission,day\n")
    project.write("object.json", "{}")
    project.write("routes.json", "[]")
    code, out, err = run("usage", "import", *arguments)
    assert (2, "") == (code, out)
    assert message in err
    assert not (project.folder / "jwt-lp.db").exists()


def test_a_pipe(run):
    """Standard input that is imported twice counts once."""
    data = "subject,permission,day\nalice,orders:read,2026-05-01\n"
    assert 0 == run("usage", "import", "-", "--format", "csv", stdin=data)[0]
    assert "nothing changed" in run("usage", "import", "-", "--format", "csv", stdin=data)[1]
    assert [1] == list(_usage().values())


def test_a_file_that_grows(project):
    """Rows that are appended during an import are not read."""
    project.write("a.csv", "one\n")
    with open_input("a.csv", None) as found:
        with Path("a.csv").open("a", encoding="utf-8") as more:
            more.write("two\n")
        seen: list[int] = []
        assert ["one\n"] == list(found.lines(seen.append))
    assert 4 == sum(seen)


def test_subjects_stand_as_the_settings_say(project, run):
    """If SUBJECTS omits names, an import stores none."""
    project.settings(STORE=URL, SUBJECTS="absent")
    project.write("used.csv", "subject,permission,day\nalice,orders:read,2026-05-01\n")
    assert 0 == run("usage", "import", "used.csv", "--settings", "shop")[0]
    (use,) = _usage()
    assert ("", project.authority.settings()["ISSUER"]) == (use.subject, use.issuer)


def test_usage_is_shown(project, run):
    """Usage is listed by subject, permission and grant, with refusals and the recorded period."""
    project.write(
        "used.csv",
        "subject,permission,day,client,grant,role,count,outcome\n"
        "alice,orders:read,2026-05-01,web,orders:*,clerk,3,\n"
        "alice,orders:read,2026-05-04,web,orders:*,clerk,2,granted\n"
        "alice,orders:read,2026-05-05,web,,,1,denied\n"
        "a\x01,orders:read,2026-05-05,web,,,1,denied\n",
    )
    assert 1 == run("usage", "import", "used.csv", "--issuer", ISSUER, "--service", "shop")[0]
    store = open_store(URL)
    store.record(
        UsageBatch(
            id="x",
            period=RecordingPeriod(id="r", service="shop", started=86400.0, until=86500.0, recorded=7, dropped=2),
        )
    )
    assert [
        f"alice  orders:read: 1 x denied, 2026-05-05 in shop with web ({ISSUER})",
        f"alice  orders:read through orders:* of the role clerk: 5 x granted, 2026-05-01 to 2026-05-04 in shop with web ({ISSUER})",
        "recorded from 1970-01-02 to 1970-01-02 by 1 run: 7 uses, 2 lost",
        "imported from 2026-05-01 to 2026-05-05 by 1 file: 6 uses",
    ] == run("usage", "show")[1].splitlines()
    found = json.loads(run("usage", "show", "--format", "json", "--since", "2026-05-05")[1])
    assert [({"denied": 1}, "2026-05-05")] == [(each["outcomes"], each["last_day"]) for each in found]
    assert "no history yet: nothing was recorded or imported" in run("usage", "show", "--service", "other")[1]
    assert 2 == run("usage", "show", "--since", "yesterday")[0]
    assert 2 == run("usage", "show", "--since", "2026-02-30")[0]
    store.close()


def test_an_import_that_was_interrupted_goes_on(project, run, monkeypatch):
    """An interrupted import is continued without counting rows twice."""
    from jwt_lp.errors import StoreError
    from jwt_lp.stores.sql import SqlStore
    from jwt_lp.usage import usage_import

    monkeypatch.setattr(usage_import, "BATCH_ROWS", 10)
    rows = "".join(f"s{number},orders:read,2026-05-01\n" for number in range(35))
    project.write("used.csv", f"subject,permission,day\n{rows}")
    record, left = SqlStore.record, [None, None]

    def dies(self, batch):
        if not left:
            raise StoreError("gone")
        left.pop()
        return record(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(SqlStore, "record", dies)
        assert (2, True) == ((found := run("usage", "import", "used.csv"))[0], "gone" in found[2])
    assert 20 == sum(_usage().values())
    code, out, _ = run("usage", "import", "used.csv")
    assert (0, True) == (code, "an earlier import had added 2 of 4 parts; the rest was added now" in out)
    assert (35, {1}) == (len(_usage()), set(_usage().values()))


def test_a_bar_on_a_terminal(project, run):
    """A progress bar is shown if standard error is a terminal, and standard output does not change."""
    project.write("used.csv", "subject,permission,day\nalice,orders:read,2026-05-01\n")
    code, out, err = run("usage", "import", "used.csv", FORCE_COLOR="1", TERM="xterm")
    assert (0, True, True) == (code, bool(re.search(r"used\.csv", err)), "1 granted" in out)


def test_sums_are_checked_and_made_anew(project, run):
    """`--check` exits with 1 where a sum differs from its rows, and `--rebuild` puts it right."""
    project.write("used.csv", "subject,permission,day\nalice,orders:read,2026-05-01\n")
    assert 0 == run("usage", "import", "used.csv", "--issuer", ISSUER)[0]
    assert (0, f"{URL}: every sum is that of its rows\n") == run("usage", "sums", "--check")[:2]
    with sqlite3.connect("jwt-lp.db") as connection:
        connection.execute("UPDATE jwt_lp_holder_sum SET uses = 7")
    connection.close()
    code, out, _ = run("usage", "sums", "--check")
    assert (1, f"{URL}: 1 sum with other totals than the rows: run jwt-lp usage sums --rebuild\n") == (code, out)
    assert (0, f"{URL}: the sums were made anew\n") == run("usage", "sums", "--rebuild")[:2]
    assert 0 == run("usage", "sums", "--check")[0]
    assert (2, True) == ((failed := run("usage", "sums"))[0], "pass --check or --rebuild" in failed[2])
