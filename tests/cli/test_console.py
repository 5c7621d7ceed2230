"""The command `jwt-lp console`: what it says, and how it starts and stops."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("python_multipart", reason="the console needs python-multipart (extra `console`)")

from hosts.serving import HttpClient
from jwt_lp.cli import run
from jwt_lp.stores import open_store


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The URL of a store with tables."""
    address = f"sqlite:///{tmp_path / 'store.db'}"
    store = open_store(address)
    store.migrate()
    store.close()
    return address


@contextmanager
def _running(*arguments: str, **more: Any) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command in a process of its own, and the link that it prints."""
    code = f"import sys; from jwt_lp.cli import run; sys.exit(run({list(arguments)!r}))"
    command = [sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "BROWSER": "true"}
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        env=environment,
        **more,
    )
    try:
        assert process.stdout is not None
        lines = (line for line in process.stdout if "http://" in line)
        yield process, next(lines).strip()
    finally:
        process.kill()
        process.wait()
        process.stdout and process.stdout.close()


def _get(link: str) -> int:
    match = re.fullmatch(r"http://127\.0\.0\.1:(\d+)(/local/sign-in\?code=[\w-]{32})", link)
    assert match is not None, link
    client, deadline = HttpClient(int(match[1])), time.monotonic() + 20
    while True:
        try:
            return client.request("GET", match[2], [("Sec-Fetch-Site", "none")]).status
        except ConnectionError:
            assert time.monotonic() < deadline


@pytest.mark.once
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "terminated"])
def test_it_signs_in_and_stops(url: str, tmp_path: Path, stop: signal.Signals) -> None:
    """The printed link signs in; the end is clean, and the folder of plans was made."""
    plans = tmp_path / "plans"
    with _running("console", "--store", url, "--no-open", "--plans", str(plans)) as (process, link):
        assert 303 == _get(link)
        process.send_signal(stop)
        output, _ = process.communicate(timeout=20)
    assert "Traceback" not in output
    assert (stop is signal.SIGINT) == ("The console has stopped." in output)
    assert process.returncode == (0 if stop is signal.SIGINT else -stop)
    assert plans.is_dir()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param([], "which store?", id="no store"),
        pytest.param(["--store", "nonsense"], "has no scheme", id="no URL"),
        pytest.param(["--store", "postgresql://nobody@127.0.0.1:1/none"], "127.0.0.1", id="no server"),
        pytest.param(["--store", "sqlite:///missing/store.db"], "missing/store.db", id="no folder"),
    ],
)
def test_a_wrong_store_is_named(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command ends before anything is served, and says what to do."""
    monkeypatch.delenv("JWT_LP_STORE", raising=False)
    assert 2 == run(["console", "--no-open", *arguments])
    assert said in capsys.readouterr().err


def test_a_store_without_tables_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message has the command that makes the tables."""
    assert 2 == run(["console", "--no-open", "--store", f"sqlite:///{tmp_path / 'new.db'}"])
    assert "jwt-lp store migrate" in capsys.readouterr().err


def test_a_port_in_use_is_named(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Another program has the port."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert 2 == run(["console", "--no-open", "--store", url, "--port", str(port)])
    assert f"port {port} is in use" in capsys.readouterr().err


def test_a_missing_library_is_named(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message has the extra that installs it."""
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert 2 == run(["console", "--no-open", "--store", url])
    assert 'the console needs uvicorn: pip install "jwt-lp[console]"' in capsys.readouterr().err


def test_tables_of_another_release_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message has the command that migrates them."""
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(tmp_path / "store.db")) as database:
        database.execute("CREATE TABLE other (name TEXT)")
        database.commit()
    assert 2 == run(["console", "--no-open", "--store", f"sqlite:///{tmp_path / 'store.db'}"])
    assert "jwt-lp store migrate" in capsys.readouterr().err


def test_a_wrong_list_of_people_is_named(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each faulty row is named, as by every command with that list."""
    (tmp_path / "people.csv").write_text("subject,active\nalice,perhaps\n")
    assert 2 == run(["console", "--no-open", "--store", url, "--people", str(tmp_path / "people.csv")])
    assert "line 2: active" in capsys.readouterr().err
