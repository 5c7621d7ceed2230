from __future__ import annotations

import json

import pytest

from jwt_lp.stores import ObservedGrant, UsageBatch, open_store

pytest.importorskip("sqlalchemy")

URL = "sqlite:///jwt-lp.db"
ISSUER = "https://issuer.test/"
FILE = "subject,client,role,grant,since,more\nalice,,,orders:*,2026-01-01,x\nbob,,clerk,,,\n,job,,orders:read,,\n"


@pytest.fixture
def run(project, cli):
    """`run(*arguments)`: a command on the store of the project's folder."""

    def run(*arguments, **more):
        code, out, err = cli("grants", *arguments, JWT_LP_STORE=URL, COLUMNS="400", **more)
        return code, out, " ".join(err.split())

    return run


def test_grants_are_imported(project, run):
    """Each row is a grant; the same day again replaces it."""
    project.write("grants.csv", FILE)
    arguments = ("import", "grants.csv", "--as-of", "2026-05-01", "--complete", "--issuer", ISSUER)
    for _ in range(2):
        code, out, _ = run(*arguments)
        assert (0, f"grants.csv: 3 grants as of 2026-05-01, the complete list; added to {URL}") == (
            code, out.splitlines()[0],
        )  # fmt: skip
        assert "columns that are not read: more" == out.splitlines()[1]
    assert [
        f"the client job ({ISSUER})  orders:read: imported as of 2026-05-01",
        f"alice ({ISSUER})  orders:*: imported as of 2026-05-01, held since 2026-01-01",
        f"bob ({ISSUER})  all of it through the role clerk: imported as of 2026-05-01",
        "3 imported, 0 seen in tokens",
    ] == run("show")[1].splitlines()


def test_what_our_own_files_neutralise_is_restored(project, run):
    """A name behind an apostrophe that keeps a spreadsheet from computing it is the name without it."""
    project.write("grants.csv", '"subject","grant"\n"\'=x","a:b"\n"\'\'@y","a:b"\n"\'s-Gravenhage","a:b"\n')
    assert 0 == run("import", "grants.csv", "--as-of", "2026-05-01")[0]
    assert {"=x", "'@y", "'s-Gravenhage"} == {
        each["subject"] for each in json.loads(run("show", "--format", "json")[1])
    }


def test_an_incomplete_list_of_grants(run):
    """Without --complete, the output says that the list is not complete."""
    data = '{"subject": "alice", "grant": "orders:read"}\n'
    code, out, _ = run("import", "-", "--format", "jsonl", "--as-of", "2026-05-01", stdin=data)
    assert (0, True) == (code, "1 grant as of 2026-05-01, not the complete list" in out)


def test_one_faulty_row_stops_the_import(project, run):
    """Nothing is imported, what was imported before stays, and every fault has its line."""
    project.write("good.csv", FILE)
    project.write("bad.csv", "subject,grant\nalice,orders:read\nsecret,a b\n,orders:read\nsecret,c d\n")
    assert 0 == run("import", "good.csv", "--as-of", "2026-05-01")[0]
    code, out, err = run("import", "bad.csv", "--as-of", "2026-05-01")
    assert (2, "", False) == (code, out, "secret" in err)
    assert "bad.csv: line 3, 5: its grant is neither a permission nor a pattern" in err
    assert "bad.csv: line 4: it has neither a subject nor a client" in err
    assert "nothing was imported" in err
    assert "3 imported" in run("show")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("import", "grants.csv"), "--as-of"),
        (("import", "grants.csv", "--as-of", "May"), "write a day such as 2026-01-31"),
        (("import", "nowhere.csv", "--as-of", "2026-05-01"), "nowhere.csv cannot be read"),
        (("import", "grants.txt", "--as-of", "2026-05-01"), "is it CSV or JSON Lines?"),
        (("import", "empty.csv", "--as-of", "2026-05-01"), "the file is empty"),
        (("import", "other.csv", "--as-of", "2026-05-01"), "it has neither a subject nor a client"),
    ],
)
def test_what_cannot_be_imported(project, run, arguments, message):
    """The exit code is 2, and the error says what to do."""
    project.write("grants.csv", FILE)
    project.write("empty.csv", "")
    project.write("other.csv", "user,permission\nalice,orders:read\n")
    code, out, err = run(*arguments)
    assert (2, "", True) == (code, out, message in err)


def test_grants_are_shown_with_their_origin(project, run):
    """Imported grants and grants seen in tokens are shown with their origin, as text and as JSON."""
    project.write("grants.csv", FILE)
    run("import", "grants.csv", "--as-of", "2026-05-01", "--issuer", ISSUER)
    store = open_store(URL)
    store.record(
        UsageBatch(
            id="a", observed_grants=[ObservedGrant(ISSUER, "alice", "web", "clerk", "orders:list", "2026-04-01")]
        )
    )
    store.close()
    assert [
        f"alice ({ISSUER})  orders:*: imported as of 2026-05-01, held since 2026-01-01",
        f"alice ({ISSUER})  orders:list through the role clerk with web: seen from 2026-04-01 to 2026-04-01",
        "1 imported, 1 seen in tokens",
    ] == run("show", "--subject", "alice")[1].splitlines()
    found = json.loads(run("show", "--client", "web", "--format", "json")[1])
    assert [("seen", "orders:list")] == [(each["known"], each["grant"]) for each in found]
    assert ["imported"] * 3 + ["seen"] == [each["known"] for each in json.loads(run("show", "--format", "json")[1])]
    assert "0 imported, 0 seen in tokens" in run("show", "--issuer", "x")[1]
