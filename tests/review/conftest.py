"""A store with a past, for reviews of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("sqlalchemy", reason="reviews are tested on SQLite, which needs SQLAlchemy")

from jwt_lp.stores import open_store
from past import Past


@pytest.fixture
def past(tmp_path: Any) -> Iterator[Past]:
    """A store that recorded for more than a year, until today."""
    store = open_store(f"sqlite:///{tmp_path}/access.db")
    store.migrate()
    made = Past(store, tmp_path)
    made.recorded()
    yield made
    store.close()
