"""pipx and pre-commit, as those use them who do not install jwt-lp into their project."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from jwt_lp import Issuer, SigningKey
from prerequisites import require

pytestmark = pytest.mark.servers

pytest.importorskip("flask", reason="the hook lists the routes of a Flask application")
pytest.importorskip("click", reason="the commands need the extra `cli`")

ROOT = Path(__file__).parents[1]
APP = """
from flask import Flask
from jwt_lp_flask import LeastPrivilege, public

app = Flask(__name__, static_folder=None)
app.config["JWT_LP"] = {
    "ISSUER": "https://login.example.com/", "AUDIENCE": "orders-api", "ALGORITHMS": ["RS256"], "DISCOVERY": True,
}
LeastPrivilege(app)

@app.get("/health")
@public
def health():
    return {"ok": True}
"""
POLICY = """version = 1
[roles.clerk]
grants = ["orders:list"]
"""


def _run(command: list[str], folder: Path, text: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    # the command that is installed beside this Python, as in a project's activated environment
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, **variables, "PATH": path, "NO_COLOR": "1"}
    return subprocess.run(
        command, cwd=folder, env=environment, input=text, capture_output=True, text=True, timeout=300, check=False
    )


def _git(folder: Path, *words: str) -> None:
    done = _run(["git", "-c", "user.name=tests", "-c", "user.email=tests@example.com", *words], folder)
    assert 0 == done.returncode, done.stderr


def test_pipx_runs_a_command_from_the_wheel(tmp_path: Path) -> None:
    """`pipx run --spec "jwt-lp[cli]" jwt-lp lint -` reads a token from standard input."""
    pytest.importorskip("pipx", reason="pipx runs the command")
    require(find_spec("hatchling"), "hatchling, to build with (dependency group `test`)")
    built = _run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)], ROOT)
    assert 0 == built.returncode, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    pipx = [sys.executable, "-m", "pipx", "run", "--spec", f"{wheel}[cli]", "jwt-lp", "lint", "-"]
    issuer = Issuer("https://id.example.com/", SigningKey.generate("ES256"), audience="orders-api", client="web")
    homes = {"PIPX_HOME": str(tmp_path / "home"), "PIPX_BIN_DIR": str(tmp_path / "bin")}
    minimal = _run(pipx, tmp_path, issuer.issue("alice", permissions=["orders:list"]), **homes)
    assert (0, "0 errors, 0 warnings, 0 notes") == (minimal.returncode, minimal.stdout.splitlines()[-1]), minimal.stderr
    assert 2 == _run(pipx, tmp_path, "no token", **homes).returncode


def test_the_hooks_of_pre_commit(tmp_path: Path) -> None:
    """A project's hooks pass, and fail once a route has no declaration and the policy file has a fault."""
    pytest.importorskip("pre_commit", reason="pre-commit runs the hooks")
    hooks, project = tmp_path / "hooks", tmp_path / "project"
    # what is here, whether it is committed or not
    shutil.copytree(
        ROOT, hooks, ignore=shutil.ignore_patterns(".git", ".venv*", ".tox", "dist", "site", ".cache", "tests")
    )
    for folder in (hooks, project):
        folder.mkdir(exist_ok=True)
        _git(folder, "init", "--quiet")
    _git(hooks, "add", "--all")
    _git(hooks, "commit", "--quiet", "--message", "hooks", "--no-verify")
    revision = _run(["git", "rev-parse", "HEAD"], hooks).stdout.strip()
    (project / ".pre-commit-config.yaml").write_text(
        f"repos: [{{repo: {hooks}, rev: {revision}, hooks: [{{id: jwt-lp-routes, args: ['shop:app']}}, "
        "{id: jwt-lp-policy-check}]}]\n",
        encoding="utf-8",
    )
    (project / "shop.py").write_text(APP, encoding="utf-8")
    (project / "least-privilege.toml").write_text(POLICY, encoding="utf-8")
    _git(project, "add", "--all")
    run = [sys.executable, "-m", "pre_commit", "run", "--all-files"]
    home = str(tmp_path / "home")
    passed = _run(run, project, PRE_COMMIT_HOME=home)
    assert (0, 2) == (passed.returncode, passed.stdout.count("Passed")), passed.stdout + passed.stderr
    (project / "shop.py").write_text(APP.replace("@public\n", ""), encoding="utf-8")
    (project / "least-privilege.toml").write_text(POLICY.replace("orders:list", "orders list"), encoding="utf-8")
    failed = _run(run, project, PRE_COMMIT_HOME=home)
    assert (1, 2) == (failed.returncode, failed.stdout.count("Failed")), failed.stdout + failed.stderr
    assert "no declaration: refused" in failed.stdout
    assert "least-privilege.toml:3:" in failed.stdout
