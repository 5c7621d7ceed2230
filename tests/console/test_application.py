"""The console's application: what it serves, and to whom."""

from __future__ import annotations

from typing import Any

import pytest

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
def test_what_cannot_work_is_refused_at_start(changed: dict[str, Any], options: dict[str, Any], fault: str) -> None:
    """A wrong setting or parameter is named when the console is made, not when somebody opens a page."""
    with pytest.raises(ConfigurationError, match=fault):
        create_console(settings("sqlite:///unused.db") | changed, **options)


@pytest.mark.parametrize("path", ["access", "", "/"])
def test_flask_mounts_it_at_a_path_of_its_own(path: str) -> None:
    """A path that never matches, or that would hide the whole application, is refused."""
    flask = pytest.importorskip("flask")
    jwt_lp_flask = pytest.importorskip("jwt_lp_flask")
    with pytest.raises(ConfigurationError, match='needs a path of its own, such as "/access"'):
        jwt_lp_flask.mount_console(flask.Flask(__name__), None, path)
