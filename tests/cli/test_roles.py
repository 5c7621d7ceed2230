"""The commands `jwt-lp roles`, and the import of assignments with columns of other names."""

from __future__ import annotations

import csv
import json
import stat
from pathlib import Path

import pytest

from jwt_lp import Policy
from jwt_lp.stores import open_store

pytest.importorskip("sqlalchemy")
pytest.importorskip("tomlkit")

URL = "sqlite:///jwt-lp.db"
ASSIGNMENTS = "user,permission\nann,a:read\nann,a:write\nbob,a:read\nbob,a:write\ncid,b:read\n"
MAP = ("--map", "subject=user,grant=permission")


@pytest.fixture
def run(project, cli):
    """`run(*arguments)`: a command on the store of the project's folder."""
    project.write("held.csv", ASSIGNMENTS)

    def run(*arguments):
        code, out, err = cli(*arguments, JWT_LP_STORE=URL, COLUMNS="400")
        return code, out, " ".join(err.split())

    return run


def test_roles_from_a_file_to_a_policy_and_back(run):
    """The mined roles are a policy, and with the list of members each has exactly what the file gave them."""
    code, out, _ = run("roles", "mine", "held.csv", *MAP, "-o", "mined.toml", "--members", "members.csv")
    assert (0, True) == (code, "2 roles for 3 holders with 5 assignments; no exact cover has fewer than 2" in out)
    policy = Policy.load("mined.toml")
    rows = list(csv.DictReader(Path("members.csv").read_text(encoding="utf-8").splitlines()))
    found = {(row["subject"], str(grant)) for row in rows for grant in policy.grants([row["role"]])}
    assert {tuple(line.split(",")) for line in ASSIGNMENTS.splitlines()[1:]} == found
    assert [0o600] * 2 == [stat.S_IMODE(Path(name).stat().st_mode) for name in ("mined.toml", "members.csv")]
    assert 0 == run("policy", "check", "mined.toml")[0]
    assert 0 == run("store", "migrate")[0]
    assert 0 == run("grants", "import", "members.csv", "--as-of", "2026-11-01")[0]
    store = open_store(URL)
    assert {("ann", "mined-001"), ("bob", "mined-001"), ("cid", "mined-002")} == {
        (row.held.subject, row.held.role) for row in store.held_grants()
    }
    store.close()


def test_roles_from_a_store_with_the_split_that_use_suggests(run, project):
    """A role that is broader than its use is shown with the roles that would suffice, and with what nobody uses."""
    assert 0 == run("store", "migrate")[0]
    assert (0, True) == (
        (done := run("grants", "import", "held.csv", *MAP, "--as-of", "2026-11-01"))[0], "5 grants" in done[1]
    )  # fmt: skip
    project.write("used.csv", "subject,permission,day\nann,a:read,2026-05-01\nbob,a:read,2026-05-01\n")
    assert 0 == run("usage", "import", "used.csv")[0]
    out = run("roles", "mine")[1]
    assert "mined-001 is broader than its use: 2 members: a:read; nobody uses a:write" in out
    found = json.loads(run("roles", "mine", "--report", "json", "--min-members", "2")[1])
    assert (5, 0.8, 1, 2) == tuple(found[name] for name in ("assignments", "coverage", "deviation", "least_roles"))
    assert [{"issuer": "", "subject": "cid", "client": "", "grant": "b:read"}] == found["direct"]
    assert ("mined-001", ["a:write"]) == (found["splits"][0]["role"], found["splits"][0]["unused"])
    assert "so they stay direct: 1 assignment" in run("roles", "mine", "--min-members", "2")[1]


def test_what_roles_cannot_be_mined_from(run, project):
    """A file without a grant, with faulty rows or without the columns is exit code 2, and nothing is written."""
    project.write("roles.csv", "subject,role\nann,clerk\n")
    project.write("bad.csv", "user,permission\n" + "ann,a b\n" * 12)
    for arguments, message in (
        (("roles.csv",), "nobody holds a grant directly"),
        (("bad.csv", *MAP), "bad.csv: line 2: its grant is neither a permission nor a pattern"),
        (("bad.csv", *MAP), "and 2 more faulty rows"),
        (("held.csv", "--map", "subject=usr"), "there is no column 'usr'; did you mean 'user'?"),
        (("held.csv", "--map", "count=user"), "no such field"),
        ((), "nobody holds a grant directly"),
    ):
        code, out, err = run("roles", "mine", *arguments, "-o", "mined.toml")
        assert (2, "", True) == (code, out, message in err), err
    assert not Path("mined.toml").exists()
