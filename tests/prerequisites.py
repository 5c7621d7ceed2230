"""Prerequisites of tests, such as servers and data files."""

from __future__ import annotations

import os

import pytest


def require(condition: object, why: str) -> None:
    """Skip the test unless the condition holds; with TESTS_REQUIRE_ALL=1 a missing prerequisite fails it."""
    if condition:
        return
    if os.environ.get("TESTS_REQUIRE_ALL") == "1":
        pytest.fail(f"a prerequisite is missing: {why}")
    pytest.skip(why)
