from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

from prerequisites import require

OLD = """\
version = 1

[permissions]
"orders:list" = { risk = "high" }
"orders:create" = {}

[roles.clerk]
grants = ["orders:list"]

[roles.boss]
grants = ["orders:*"]
"""
NEW = OLD.replace("[roles.clerk]", '"orders:refund" = {}\n\n[roles.clerk]').replace(
    '["orders:list"]', '[\n    "orders:list",\n    "orders:create",\n]'
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a policy, in no repository."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / "least-privilege.toml").write_text(OLD, encoding="utf-8")
    return tmp_path


@pytest.fixture
def git(folder, monkeypatch):
    """`git(*words)` in the folder, which is a repository with the policy committed on the branch `main`."""
    require(shutil.which("git"), "the command git")
    for name in [*os.environ]:
        if name.startswith("GIT_") and name != "GIT_CEILING_DIRECTORIES":
            monkeypatch.delenv(name)
    who = ("-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")

    def git(*words):
        subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)

    git("init", "--initial-branch=main")
    git("add", "least-privilege.toml")
    git("commit", "--message=first")
    return git


def write(folder, text, name="least-privilege.toml"):
    (folder / name).write_text(text, encoding="utf-8")


def test_a_good_file(cli, folder):
    """A policy file without faults is summarised: exit code 0."""
    code, out, err = cli("policy", "check")
    assert (0, "") == (code, err)
    assert "least-privilege.toml: 2 permissions, 2 roles, 0 audiences, 0 clients; digest " in out
    write(folder, OLD.replace('"orders:create" = {}', '"orders:create" = { retired = true }'), "other.toml")
    assert "other.toml: 2 permissions (1 retired), 2 roles" in cli("policy", "check", "other.toml")[1]


def test_faults_have_their_lines(cli, folder):
    """Every fault is named with file and line: exit code 2."""
    write(
        folder, OLD.replace('"orders:create" = {}', '"orders:create" = { riks = "low" }').replace(":list", ":lost", 1)
    )
    code, out, err = cli("policy", "check")
    assert (2, "") == (code, out)
    assert "least-privilege.toml:5: permissions.'orders:create'.riks: unknown key; did you mean 'risk'?" in err
    assert "least-privilege.toml:8: roles.clerk.grants[0]: 'orders:list' is not in the catalogue" in err


@pytest.mark.parametrize("words", [(), ("--against", "main")])
def test_no_file(cli, tmp_path, monkeypatch, words):
    """Without a file there is nothing to check: exit code 2."""
    monkeypatch.chdir(tmp_path)
    code, _, err = cli("policy", "check", *words)
    assert 2 == code
    assert "there is no file least-privilege.toml; give its path: jwt-lp policy check PATH" in " ".join(err.split())


def test_against_a_revision(cli, folder, git):
    """Compared with a revision of the same file, what is newly allowed has its line: exit code 1."""
    assert (0, "allows nothing more") == outcome(cli("policy", "check", "--against", "main"))
    write(folder, NEW)
    code, out, err = cli("policy", "check", "--against", "main")
    assert (1, "") == (code, err)
    assert "compared with the revision main, digest " in out
    assert "allows more:\n" in out
    assert "  least-privilege.toml:7   'orders:refund', which orders:* of role boss covers: it is new in the" in out
    assert "  least-privilege.toml:10  role clerk grants orders:create: none of its grants covered that before" in out
    assert "allows nothing more" not in out
    git("commit", "--all", "--message=second")
    assert (0, "allows nothing more") == outcome(cli("policy", "check", "--against", "HEAD"))
    assert 1 == cli("policy", "check", "--against", "HEAD~1")[0]
    write(folder, OLD)
    code, out, _ = cli("policy", "check", "--against", "HEAD")
    assert 1 == code
    assert "was removed" in out


def outcome(done):
    code, out, _ = done
    return code, out.splitlines()[-1]


def test_the_file_is_found_from_anywhere(cli, folder, git, monkeypatch):
    """The revision is of the policy's own repository and path, wherever the command runs."""
    deeper = folder / "deploy" / "shop"
    deeper.mkdir(parents=True)
    write(deeper, OLD, "policy.toml")
    git("add", "deploy")
    git("commit", "--message=second")
    write(deeper, NEW, "policy.toml")
    assert 1 == cli("policy", "check", "deploy/shop/policy.toml", "--against", "main")[0]
    monkeypatch.chdir(folder.parent)
    assert 1 == cli("policy", "check", str(deeper / "policy.toml"), "--against", "main")[0]
    assert 0 == cli("policy", "check", str(folder / "least-privilege.toml"), "--against", "main")[0]


def test_against_a_file(cli, folder):
    """Compared with another file, in no repository at all."""
    write(folder, OLD, "before.toml")
    assert (0, "allows nothing more") == outcome(cli("policy", "check", "--against", "before.toml"))
    write(folder, NEW)
    code, out, _ = cli("policy", "check", "--against", "before.toml")
    assert 1 == code
    assert "compared with the file before.toml, digest " in out
    code, out, _ = cli("policy", "check", "before.toml", "--against", "least-privilege.toml")
    assert (1, True, True) == (code, "'orders:refund' was removed" in out, "allows less:" in out)


def test_what_is_allowed_no_longer_passes(cli, folder):
    """A change that only takes away is listed, and passes: exit code 0."""
    write(folder, OLD, "before.toml")
    write(folder, OLD.replace('["orders:*"]', '["orders:list"]'))
    code, out, _ = cli("policy", "check", "--against", "before.toml")
    assert 0 == code
    assert "allows less:\n" in out
    assert "no longer: role boss grants orders:*" in out
    assert "allows nothing more" in out


def test_a_broken_catalogue_fails(cli, folder):
    """A catalogue that was changed elsewhere than at its end fails, though nothing more is allowed: exit code 1."""
    write(folder, OLD, "before.toml")
    lines = OLD.splitlines(keepends=True)
    write(folder, "".join([*lines[:3], lines[4], lines[3], *lines[5:]]))
    code, out, _ = cli("policy", "check", "--against", "before.toml")
    assert 1 == code
    assert "the catalogue may only grow at its end:\n" in out
    assert "put it back" in out
    assert "allows more" not in out
    assert "allows nothing more" not in out


def test_as_json(cli, folder):
    """With --format json the same is there for another program, and nothing else."""
    write(folder, OLD, "before.toml")
    write(folder, NEW)
    code, out, err = cli("policy", "check", "--against", "before.toml", "--format", "json")
    found = json.loads(out)
    assert (1, "") == (code, err)
    assert {"permissions": 3, "retired": 0, "roles": 2, "audiences": 0, "clients": 0, "elevation": 0} == found["counts"]
    assert ("file", "before.toml", 64) == (
        found["against"]["kind"],
        found["against"]["name"],
        len(found["against"]["digest"]),
    )
    assert ([], []) == (found["broken"], found["narrowed"])
    assert {
        "line": 10,
        "place": ["roles", "clerk", "grants"],
        "text": "role clerk grants orders:create: none of its grants covered that before",
    } == found["allowed"][1]
    code, out, _ = cli("policy", "check", "--format", "json")
    assert (0, None, []) == (code, json.loads(out)["against"], json.loads(out)["allowed"])


# What there is nothing to compare with


@pytest.mark.parametrize(
    ("against", "expected"),
    [
        pytest.param("nonesuch", "no such git revision here; fetch a revision of another branch first", id="unknown"),
        pytest.param("--output=/tmp/x", "is neither a file nor a git revision", id="an option"),
        pytest.param("-p", "is neither a file nor a git revision", id="a short option"),
        pytest.param("", "is neither a file nor a git revision", id="the index"),
        pytest.param("main:", "is neither a file nor a git revision", id="a path in a revision"),
        pytest.param("main\n", "is neither a file nor a git revision", id="a line end"),
        pytest.param("main; touch pwned", "no such git revision", id="a shell's"),
        pytest.param("$(touch pwned)", "no such git revision", id="another shell's"),
        pytest.param("main^{tree}", "no such git revision", id="no commit"),
        pytest.param("main..main", "no such git revision", id="a range"),
        pytest.param(".", "no such git revision", id="a folder"),
    ],
)
def test_no_revision(cli, folder, git, against, expected):
    """A name that is neither a file nor a revision is refused and never reaches a shell: exit code 2."""
    code, out, err = cli("policy", "check", f"--against={against}")
    assert (2, "") == (code, out)
    assert expected in err
    assert {"least-privilege.toml", ".git"} == {path.name for path in folder.iterdir()}


def test_no_repository(cli, folder):
    """A revision needs a repository: exit code 2."""
    code, _, err = cli("policy", "check", "--against", "main")
    assert 2 == code
    assert "there is no such file, and least-privilege.toml is not in a git repository that git can read" in err


def test_no_git(cli, folder, monkeypatch):
    """Without git there are no revisions, but files can still be compared."""
    monkeypatch.setenv("PATH", str(folder))
    write(folder, OLD, "before.toml")
    assert 0 == cli("policy", "check", "--against", "before.toml")[0]
    assert 2 == cli("policy", "check", "--against", "main")[0]


def test_a_file_that_is_new(cli, folder, git):
    """Where the revision has no such file there is nothing to compare with: exit code 2."""
    write(folder, OLD, "new.toml")
    code, _, err = cli("policy", "check", "new.toml", "--against", "main")
    assert 2 == code
    assert "new.toml at main: the file is not in that revision, so there is nothing to compare with" in err


def test_a_file_named_as_a_revision(cli, folder, git):
    """A file with the name of a revision is refused, because a change could add it: exit code 2."""
    git("branch", "before")
    write(folder, NEW)
    write(folder, NEW, "before")
    code, _, err = cli("policy", "check", "--against", "before")
    assert 2 == code
    assert "a file and a git revision have that name; write ./before for the file" in err
    assert 0 == cli("policy", "check", "--against", "./before")[0]
    assert 1 == cli("policy", "check", "--against", "refs/heads/before")[0]


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        pytest.param(b"version = 2\n", "least-privilege.toml at HEAD: version: must be 1", id="faults"),
        pytest.param(b"version =\n", "least-privilege.toml at HEAD: not TOML: Invalid value", id="no TOML"),
        pytest.param(b"version = 1\n#\xff", "least-privilege.toml at HEAD: not TOML: ", id="no UTF-8"),
        pytest.param(b"version = " + b"1" * 5000, "least-privilege.toml at HEAD: not TOML: ", id="a huge number"),
        pytest.param(b"version = " + b"[" * 5000, "least-privilege.toml at HEAD: not TOML: ", id="deep"),
        pytest.param(b"#" * 1024**2 + b"\n", "least-privilege.toml at HEAD: is longer than 1048576 bytes", id="long"),
    ],
)
def test_an_older_file_that_cannot_be_read(cli, folder, git, before, expected):
    """Faults of the file in the revision are reported: exit code 2."""
    (folder / "least-privilege.toml").write_bytes(before)
    git("commit", "--all", "--message=bad")
    write(folder, OLD)
    code, _, err = cli("policy", "check", "--against", "HEAD")
    assert 2 == code
    assert expected in err


def test_wrong_usage(cli, folder):
    """An unknown format is wrong usage: exit code 2."""
    assert 2 == cli("policy", "check", "--format", "xml")[0]
    assert 2 == cli("policy", "chekc")[0]


WIDE = OLD.replace('["orders:list"]', '["**"]')


def test_a_folder_that_became_a_link(cli, folder, git):
    """The path is resolved from the repository's root, so a link cannot redirect the comparison."""
    for name, text in (("deploy", OLD), ("fixtures", WIDE)):
        (folder / name).mkdir()
        write(folder / name, text)
    git("add", "--all")
    git("commit", "--message=two")
    shutil.rmtree(folder / "deploy")
    (folder / "deploy").symlink_to("fixtures")
    code, out, _ = cli("policy", "check", "deploy/least-privilege.toml", "--against", "main")
    assert 1 == code
    assert "clerk" in out


def test_a_repository_that_the_change_brings(cli, folder, git):
    """A folder on the way to the policy is not used as a repository, even if it looks like one."""
    (folder / "deploy").mkdir()
    write(folder / "deploy", OLD)
    git("add", "--all")
    git("commit", "--message=two")
    write(folder / "deploy", WIDE)
    inner = folder / "deploy"
    (inner / "objects").mkdir()
    (inner / "refs" / "heads").mkdir(parents=True)
    (inner / "HEAD").write_text("ref: refs/heads/main\n", encoding="utf-8")
    (inner / "config").write_text("[core]\n\trepositoryformatversion = 0\n\tbare = true\n", encoding="utf-8")
    code, out, _ = cli("policy", "check", "deploy/least-privilege.toml", "--against", "main")
    assert 1 == code
    assert "clerk" in out


def test_a_tag_that_is_called_like_a_branch(cli, folder, git):
    """A tag never stands for a branch with the same name: the full name is required."""
    write(folder, WIDE)
    git("commit", "--all", "--message=wide")
    git("tag", "main")
    code, _, err = cli("policy", "check", "--against", "main")
    assert 2 == code
    assert "refs/heads/main and refs/tags/main" in err
    assert 0 == cli("policy", "check", "--against", "refs/heads/main")[0]
