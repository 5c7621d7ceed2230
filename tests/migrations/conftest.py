"""Fixtures of the tests of migrations."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

collect_ignore_glob = [] if all(map(find_spec, ("click", "rich", "libcst", "cryptography"))) else ["test_*.py"]


@pytest.fixture
def cli():
    """`cli(*arguments)` gives the exit code, standard output and standard error of a command."""
    from cli.conftest import invoker

    return invoker(())
