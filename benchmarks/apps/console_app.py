"""The console that a server process serves, as the environment variable `BENCHMARKS_CONSOLE` describes it."""

from __future__ import annotations

import json
import logging
import os
from typing import TYPE_CHECKING, Final

from benchmarks.console_store import ConsoleSize, people, policy
from jwt_lp import Policy
from jwt_lp.console import create_console

if TYPE_CHECKING:
    from jwt_lp.console import Console

VARIABLE: Final = "BENCHMARKS_CONSOLE"


def create() -> Console:
    """The console over the store of `settings`, with a list of people of this size."""
    wanted = json.loads(os.environ[VARIABLE])
    logging.disable(logging.CRITICAL)
    return create_console(
        wanted["settings"], policy=Policy.from_mapping(policy()), people=people(ConsoleSize(**wanted["size"]))
    )
