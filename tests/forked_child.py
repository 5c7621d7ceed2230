"""Calls in a forked child."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable


def run_in_child(action: Callable[[], bool]) -> bool:
    """Whether the action returns True in a forked child."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if action() else 2
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
