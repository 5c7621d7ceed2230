"""The recipes of docs/signing-in.md work with the libraries that they are for."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from docs.pages import blocks

if TYPE_CHECKING:
    from docs.pages import Block

pytestmark = pytest.mark.peers

TESTS = Path(__file__).parents[1]
RECIPES = {block.title: block for block in blocks("docs/signing-in.md", "python") if block.title}


def recipe(title: str) -> Block:
    return RECIPES[title]


@pytest.mark.parametrize("title", RECIPES)
def test_a_recipe_is_python(title: str) -> None:
    """Also where its library is not installed."""
    ast.parse(recipe(title).text)


def test_django_allauth_gives_our_tokens(tmp_path: Path) -> None:
    """Who signs in at its headless API gets both tokens; refreshing rotates them, and refuses what is none."""
    pytest.importorskip("allauth", reason="needs django-allauth")
    pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy (extra `sql`)")
    (tmp_path / "tokens.py").write_text(recipe("tokens.py").text)
    path = os.pathsep.join([str(TESTS), str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "peers.allauth_project"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stderr[-3000:]
    result = json.loads(done.stdout)
    assert (200, True, True, None) == (result["status"], result["subject"], result["refreshed"], result["bad"])
    assert {"access_token", "refresh_token", "expires_in"} <= {*result["meta"]}


def test_authlib_has_what_the_recipe_uses() -> None:
    """A client registered as in the recipe has the two methods that it calls."""
    client: Any = pytest.importorskip(
        "authlib.integrations.starlette_client", reason="needs Authlib, httpx and itsdangerous"
    )
    tree = ast.parse(recipe("social.py").text)
    (register,) = [each for each in tree.body if isinstance(each, ast.Expr) and isinstance(each.value, ast.Call)]
    oauth = client.OAuth()
    exec(compile(ast.Module([register], []), "social.py", "exec"), {"oauth": oauth})
    assert callable(oauth.google.authorize_redirect)
    assert callable(oauth.google.authorize_access_token)
