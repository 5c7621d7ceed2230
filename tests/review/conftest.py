"""A store with a past, for reviews of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from jwt_lp.stores import open_store
from review_scenario import ReviewScenario


@pytest.fixture
def past(tmp_path: Any) -> Iterator[ReviewScenario]:
    """A store that recorded for more than a year, until today."""
    pytest.importorskip("sqlalchemy", reason="a store with a past is SQLite, which needs SQLAlchemy (extra `sql`)")
    store = open_store(f"sqlite:///{tmp_path}/access.db")
    store.migrate()
    made = ReviewScenario(store, tmp_path)
    made.record_period()
    yield made
    store.close()
