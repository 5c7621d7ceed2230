"""How does a database keep commands on several machines apart?

By an advisory lock, which is nobody's any more when the connection of whoever has it ends.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp._support.file_lock import POLL_INTERVAL, lock_busy_error, process_label

if TYPE_CHECKING:
    from collections.abc import Callable

IDLE_TIMEOUT: Final = 600
"""Seconds for which whoever has the lock, and was cut off without a word, keeps others out at most."""


class LockStatements(NamedTuple):
    """What is asked first, with the name of this process; what takes the lock, giving 1; what says who has it."""

    begin: str
    acquire: str
    has: str


POSTGRESQL: Final = LockStatements(
    "SELECT set_config('application_name', %s, true), "
    f"set_config('idle_in_transaction_session_timeout', '{IDLE_TIMEOUT * 1000}', true)",
    # Of a transaction rather than a session, so that it holds behind a pool of connections too. Its key is "jwt-lp".
    "SELECT pg_try_advisory_xact_lock(x'6a77'::int, x'742d6c70'::int)::int",
    "SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND granted "
    "AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND classid = x'6a77'::int AND objid = x'742d6c70'::int AND objsubid = 2",
)
"""Within a transaction that stays open."""


def acquire(ask: Callable[[str, tuple[str, ...]], object], statements: LockStatements, what: str, wait: float) -> None:
    """Take the lock, by `ask`, which gives the first value of the answer. `PolicyError` names who has it."""
    until = time.monotonic() + wait
    ask(statements.begin, (process_label(),))
    while ask(statements.acquire, ()) != 1:
        if time.monotonic() >= until:
            raise lock_busy_error(what, str(ask(statements.has, ()) or ""), wait)
        time.sleep(POLL_INTERVAL)
