"""A project in a temporary folder, with fixtures that run the command line in it."""

from __future__ import annotations

import inspect
import json
import logging
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from jwt_lp.testing.authority import Authority

HERE = Path(__file__).parent

collect_ignore_glob = [] if find_spec("click") and find_spec("rich") else ["test_*.py"]

SHOP = """
import json, pathlib
from jwt_lp import AUTHENTICATED, IDENTIFIED, PUBLIC, Route, all_of, any_of, external
from toyhost import ToyApp

JWT_LP = json.loads(pathlib.Path(__file__).with_name("settings.json").read_text())

def create_app(extra=()):
    return ToyApp([
        Route(("GET",), "/", "shop.home", PUBLIC, "@public"),
        Route(("GET",), "/hello", "shop.hello", IDENTIFIED, "@public"),
        Route(("GET",), "/me", "shop.me", AUTHENTICATED, "@authenticated"),
        Route(("GET", "HEAD"), "/orders", "shop.orders", all_of("orders:list"), "@requires"),
        Route(("GET",), "/orders/{order_id}", "shop.order", all_of("orders:{order_id}:read"), "@requires",
              parameters=frozenset({"order_id"})),
        Route(("GET",), "/either", "shop.either", any_of("orders:audit", all_of("orders:list", "orders:export"))),
        Route(("GET",), "/users/{user_id}", "shop.user", all_of("users:read", where={"user_id": "sub"}),
              parameters=frozenset({"user_id"})),
        Route(("GET",), "/legacy", "shop.legacy", external("the proxy"), "@external"),
        *extra,
    ], JWT_LP)

app = create_app()
undeclared = create_app([Route(("POST",), "/orders", "shop.create", hint='@requires("orders:create")')])
bare = ToyApp([])
"""


def invoker(app):
    """Run the commands in this process and return exit code, standard output and standard error."""
    from click.testing import CliRunner

    from jwt_lp.cli.commands import commands

    # Until click 8.2 the two streams were kept apart only on request.
    apart: dict[str, Any] = {"mix_stderr": False} if "mix_stderr" in inspect.signature(CliRunner).parameters else {}
    runner = CliRunner(**apart)

    def invoke(*args, given=app, stdin="", **env):
        result = runner.invoke(commands, list(args), obj=given, input=stdin, env=env)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout, result.stderr

    return invoke


@pytest.fixture
def cli():
    """`cli(*arguments, stdin="", NAME="value")` in this process, with nothing passed by a host."""
    return invoker(())


@dataclass
class Project:
    folder: Path
    authority: Authority

    def write(self, name, text):
        (self.folder / name).write_text(text, encoding="utf-8")

    def settings(self, **overrides):
        """Write the settings that `shop` reads."""
        found = {name: value for name, value in self.authority.settings(**overrides).items() if value is not None}
        self.write("settings.json", json.dumps(found))

    def run(self, *args, stdin="", **env):
        """A real process, as a shell starts it."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("JWT_LP")}
        paths = os.pathsep.join([str(HERE), str(self.folder / "site"), str(HERE.parents[1])])
        done = subprocess.run(
            [sys.executable, "-c", "from jwt_lp.cli import main; main()", *args],
            cwd=self.folder,
            env={**kept, "PYTHONPATH": paths, **env},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with the module `shop`, its settings, and the toy host installed beside it."""
    info = tmp_path / "site" / "toyhost-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toyhost\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[jwt_lp.hosts]\ntoy = toyhost:host\n", encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(HERE), str(tmp_path / "site"), *sys.path])
    monkeypatch.chdir(tmp_path)
    for name in [*os.environ]:
        if name.startswith("JWT_LP") or name in {"DJANGO_SETTINGS_MODULE", "NO_COLOR", "FORCE_COLOR", "COLUMNS"}:
            monkeypatch.delenv(name)
    before = set(sys.modules)
    found = Project(tmp_path, Authority())
    found.write("shop.py", SHOP)
    found.settings()
    yield found
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def app(project):
    """The project's application, as a host's own command passes it."""
    from jwt_lp.cli.target import load

    return load("shop:app")


@pytest.fixture(autouse=True)
def nothing_is_logged(caplog):
    """No command may log a refusal, because it only tries requests out."""
    caplog.set_level(logging.DEBUG, logger="jwt_lp")
    yield
    # Building the test's application may log; verifying a token may not.
    assert [] == [record.message for record in caplog.records if "jwt-lp refused" in record.message]
