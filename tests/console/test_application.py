"""The console's application: what it serves, and to whom."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the console is built on it")
pytest.importorskip("jinja2", reason="the pages are templates")
pytest.importorskip("sqlalchemy", reason="the store is an SQL store")
pytest.importorskip("uvicorn", reason="the console is served by it")

from console.serving import ServedConsole, settings, text_of
from jwt_lp.console import create_console
from jwt_lp.errors import ConfigurationError


def test_the_overview_is_served_to_who_may_read(console: ServedConsole) -> None:
    """Somebody with the permission sees the page, with their name and the pages that they may open."""
    answer = console.person("alice", "jwt-lp:review:read").get("/")
    assert 200 == answer.status
    assert "alice" in text_of(answer)
    assert "Overview" in text_of(answer)


@pytest.mark.parametrize(
    ("changed", "options", "fault"),
    [
        ({"COOKIE": None}, {}, 'its settings need "COOKIE": True'),
        ({"STORE": ""}, {}, "the console needs a store: pass store="),
        ({}, {"people": "people.csv"}, "people are a mapping by subject"),
        ({}, {"sign_in_url": "https://login.example.com/"}, "sign_in_url is a path on this host"),
    ],
    ids=["no cookie", "no store", "people as a path", "sign-in elsewhere"],
)
def test_what_cannot_work_is_refused_at_start(
    tmp_path: Path, changed: dict[str, Any], options: dict[str, Any], fault: str
) -> None:
    """A wrong setting or parameter is named when the console is made, before anything is opened."""
    with pytest.raises(ConfigurationError, match=fault):
        create_console(settings(f"sqlite:///{tmp_path}/unused.db") | changed, **options)
    assert [] == [*tmp_path.iterdir()]


@pytest.mark.parametrize("path", ["access", "", "/"])
def test_flask_mounts_it_at_a_path_of_its_own(path: str) -> None:
    """A path that never matches, or that would hide the whole application, is refused."""
    flask = pytest.importorskip("flask")
    jwt_lp_flask = pytest.importorskip("jwt_lp_flask")
    with pytest.raises(ConfigurationError, match='needs a path of its own, such as "/access"'):
        jwt_lp_flask.mount_console(flask.Flask(__name__), None, path)


def test_a_missing_library_is_named_with_the_extra() -> None:
    """Without Starlette, the import says what to install."""
    code = "import sys; sys.modules['starlette'] = None; from jwt_lp.console import create_console"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 1 == made.returncode
    assert 'the console needs: pip install "jwt-lp[console]"' in made.stderr
