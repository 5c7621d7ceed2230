"""Fixtures of the review tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from jwt_lp.stores import open_store
from review_scenario import ReviewScenario


@pytest.fixture
def past(tmp_path: Any) -> Iterator[ReviewScenario]:
    """A store with records of more than a year, until the day of the review."""
    pytest.importorskip("sqlalchemy", reason="a store with a past is SQLite, which needs SQLAlchemy (extra `sql`)")
    store = open_store(f"sqlite:///{tmp_path}/access.db")
    store.migrate()
    scenario = ReviewScenario(store, tmp_path)
    scenario.record_period()
    yield scenario
    store.close()
