"""What the sections share: tokens, requirements, stores, and the settings of guards."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from jwt_lp import Call, Guard
from jwt_lp.revocation.entries import RevocationEntry
from jwt_lp.stores import open_store
from jwt_lp.testing.authority import ISSUER, Authority

ALGORITHMS: Final = ("RS256", "ES256", "EdDSA", "HS256")

SCOPES: Final = tuple(f"orders:{number}:read" for number in range(10))
WANTED: Final = SCOPES[3]
ROUTE: Final = "GET /orders"
CALL: Final = Call("GET", lambda: "http://api.test/orders", lambda _: (), "views.orders")

REVOKED: Final = 1000
"""How many other subjects' revocations a store holds."""


@contextmanager
def store_url() -> Iterator[str]:
    """The URL of a new store, in which permissions of other subjects are revoked."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        url = f"sqlite:///{Path(folder) / 'store.db'}"
        store = open_store(url)
        entries = [
            RevocationEntry(id=f"e{number}", of="subject", issuer=ISSUER, name=f"other-{number}", pattern="orders:**")
            for number in range(REVOKED)
        ]
        store.revoke(entries, at=time.time())
        store.close()
        yield url


@contextmanager
def guard_with_store(authority: Authority, **settings: object) -> Iterator[Guard]:
    """A guard that records usage and checks revocations."""
    with store_url() as url, authority.guard(STORE=url, **settings) as guard:
        yield guard


def issue(authority: Authority, number: int, permissions: tuple[str, ...] = SCOPES) -> list[str]:
    """So many tokens of different subjects."""
    return [authority.token(f"user-{index}", permissions, lifetime=3600) for index in range(number)]


@contextmanager
def logging_off() -> Iterator[None]:
    """Nobody logs anything."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


@contextmanager
def logging_to_nowhere() -> Iterator[None]:
    """The log of jwt-lp is formatted and written, to the null device."""
    logger = logging.getLogger("jwt_lp")
    level, propagate = logger.level, logger.propagate
    with Path("/dev/null").open("w", encoding="utf-8") as nowhere:
        handler = logging.StreamHandler(nowhere)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate
