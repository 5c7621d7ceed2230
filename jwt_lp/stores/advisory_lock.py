"""Advisory lock of a database, by which commands on several machines exclude each other.

The lock is freed when the connection of its holder ends.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp._support.file_lock import POLL_INTERVAL, lock_busy_error, process_label

if TYPE_CHECKING:
    from collections.abc import Callable

IDLE_TIMEOUT: Final = 600
"""Seconds for which a holder whose connection was lost silently keeps the lock at most."""


class LockStatements(NamedTuple):
    """Statements of one database: `begin` takes the name of this process, `acquire` returns 1 once it has the lock.

    `holder` returns the name of the process that has the lock.
    """

    begin: str
    acquire: str
    holder: str


POSTGRESQL: Final = LockStatements(
    "SELECT set_config('application_name', %s, true), "
    f"set_config('idle_in_transaction_session_timeout', '{IDLE_TIMEOUT * 1000}', true)",
    # Bound to the transaction, not the session, so that it also works behind a connection pool. Its key is "jwt-lp".
    "SELECT pg_try_advisory_xact_lock(x'6a77'::int, x'742d6c70'::int)::int",
    "SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND granted "
    "AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND classid = x'6a77'::int AND objid = x'742d6c70'::int AND objsubid = 2",
)
"""They run in a transaction that stays open."""


def acquire_lock(
    execute: Callable[[str, tuple[str, ...]], object], statements: LockStatements, what: str, wait: float
) -> None:
    """Take the lock within `wait` seconds; `PolicyError` names its holder otherwise.

    `execute` runs a statement and returns the first value of the result.
    """
    deadline = time.monotonic() + wait
    execute(statements.begin, (process_label(),))
    while execute(statements.acquire, ()) != 1:
        if time.monotonic() >= deadline:
            raise lock_busy_error(what, str(execute(statements.holder, ()) or ""), wait)
        time.sleep(POLL_INTERVAL)
