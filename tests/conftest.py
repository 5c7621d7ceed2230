"""What holds for every test, wherever it runs."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest

from examples import usual


def pytest_configure(config: pytest.Config) -> None:
    """Tests pass over libraries that are not installed; over those that TESTS_INSTALLED names they must not."""
    promised = filter(None, os.environ.get("TESTS_INSTALLED", "").split(","))
    if missing := [name for name in promised if find_spec(name) is None]:
        raise pytest.UsageError(f"TESTS_INSTALLED promises what is not installed: {', '.join(missing)}")
    if not config.getoption("numprocesses", None):
        # What measures this process, a worker of pytest-xdist, is none of the business of processes that tests start.
        os.environ.pop("COVERAGE_PROCESS_CONFIG", None)
    usual()
