"""A store with a past, for reviews of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from jwt_lp.stores import open_store
from past import Past


@pytest.fixture
def past(tmp_path: Any) -> Iterator[Past]:
    """A store that recorded for more than a year, until today."""
    pytest.importorskip("sqlalchemy", reason="a store with a past is SQLite, which needs SQLAlchemy (extra `sql`)")
    store = open_store(f"sqlite:///{tmp_path}/access.db")
    store.migrate()
    made = Past(store, tmp_path)
    made.recorded()
    yield made
    store.close()
