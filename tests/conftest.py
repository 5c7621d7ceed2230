"""Setup of every test run."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from examples import load_default_profile
from servers import drop_databases


def pytest_configure(config: pytest.Config) -> None:
    """Fail if a library in TESTS_INSTALLED is missing; tests of any other missing library are skipped."""
    promised = filter(None, os.environ.get("TESTS_INSTALLED", "").split(","))
    if missing := [name for name in promised if find_spec(name) is None]:
        raise pytest.UsageError(f"TESTS_INSTALLED promises what is not installed: {', '.join(missing)}")
    if not config.getoption("numprocesses", None):
        # Processes that tests start must not be measured by the coverage of this process.
        os.environ.pop("COVERAGE_PROCESS_CONFIG", None)
    load_default_profile()


def pytest_unconfigure() -> None:
    """Drop the databases of this process."""
    drop_databases()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `-m MARKER`, pass over the files that do not name the marker, because importing them takes seconds."""
    marker = config.option.markexpr
    if marker.isidentifier() and collection_path.suffix == ".py":
        return f"mark.{marker}" not in collection_path.read_text(encoding="utf-8") or None
    return None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Keep the garbage collector away from what collecting tests makes, all of which lives until the end.

    A full collection then looks at a test's own objects, not at those of thirteen thousand tests.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="module")
def _earlier_objects_set_aside() -> None:
    """Keep the garbage collector away from what the files before this one have left, such as imported libraries."""
    gc.collect()
    gc.freeze()
