"""Database engines that the tests of every store run on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from servers import postgres_database
from stores.deletion import delete_all
from stores.django_engines import alias, django_sqlite, settings_of

if TYPE_CHECKING:
    from jwt_lp.stores import Store

# A context manager that takes an empty folder and yields the URL of an empty store with its tables.
Engine = Callable[[Path], AbstractContextManager[str]]


@contextmanager
def sqlite(folder: Path) -> Iterator[str]:
    """A file; the first write creates its tables."""
    pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy (extra `sql`)")
    yield f"sqlite:///{folder / 'store.db'}"


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """A migrated database on the server."""
    from jwt_lp.stores import open_store

    with postgres_database() as url:
        store = open_store(url)
        store.migrate()
        store.close()
        yield url


@contextmanager
def django_postgresql(folder: Path) -> Iterator[str]:
    """The server as the database of a Django project."""
    with postgres_database() as url, alias(**settings_of(url)) as name:
        yield name


# The engines by name. A new store needs one line here: its name and a function as above.
ENGINES: dict[str, Engine] = {
    "sqlite": sqlite,
    "postgresql": postgresql,
    "django-sqlite": django_sqlite,
    "django-postgresql": django_postgresql,
}


@pytest.fixture(params=ENGINES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty store, on each engine in turn."""
    with ENGINES[request.param](tmp_path) as url:
        yield url


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """An empty store, on each engine in turn."""
    from jwt_lp.stores import open_store

    store = open_store(url)
    yield store
    store.close()


@pytest.fixture(params=ENGINES, scope="module")
def shared_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a store that the tests of a module share, on each engine in turn."""
    with ENGINES[request.param](tmp_path_factory.mktemp(request.param)) as url:
        yield url


@pytest.fixture
def emptied_store(shared_url: str) -> Iterator[Store]:
    """The shared store, emptied: much quicker than a new one."""
    from jwt_lp.stores import open_store

    store = open_store(shared_url)
    delete_all(store)
    yield store
    store.close()


@pytest.fixture
def postgres() -> Iterator[str]:
    """A database without tables."""
    with postgres_database() as url:
        yield url
