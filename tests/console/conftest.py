"""Fixtures of the console's tests: a store with tables, a served console, and a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chromium import chromium
from console.serving import ServedConsole, served_console
from jwt_lp.stores import open_store

_LIBRARIES = ("starlette", "jinja2", "sqlalchemy", "uvicorn", "python_multipart")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A store of its own for each module, with tables and without rows; the test is skipped without the libraries."""
    for library in _LIBRARIES:
        pytest.importorskip(library, reason=f"the console needs {library} (extra `console`)")
    opened = open_store(f"sqlite:///{tmp_path_factory.mktemp('console') / 'store.db'}")
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of plan files."""
    return tmp_path_factory.mktemp("plans")


@pytest.fixture(scope="module")
def console(store: Any, plans: Path) -> Iterator[ServedConsole]:
    """A console on a real server."""
    with served_console(store, plans=plans) as served:
        yield served


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real browser; the test is skipped without one.

    Only for one module, because Playwright's event loop runs as long as it, and Django works in no thread that has one.
    """
    with chromium() as opened:
        yield opened
