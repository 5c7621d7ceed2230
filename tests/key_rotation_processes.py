"""Functions that the tests of key rotation run in other processes, which import them from this module."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from jwt_lp import Issuer, PolicyError
from jwt_lp.jose.key_rotation import KeyRing, rotate_keys


def rotate_once(folder: Path, now: float, gate: Any, results: Any) -> None:
    """Rotate when all processes are ready, and report the result."""
    gate.wait()
    try:
        rotate_keys(folder, clock=lambda: now)
    except PolicyError as error:
        results.put(error.code)
    else:
        results.put("rotated")


def issue_until(folder: Path, name: str, tokens: Any, stop: Any) -> None:
    """Issue tokens from the folder's keys until `stop` is set; the last item is None."""
    issuer = Issuer(name, KeyRing(folder, reload_interval=0.02), audience="orders", client="c")
    while not stop.is_set():
        tokens.put(issuer.issue("bob"))
        time.sleep(0.005)
    tokens.put(None)
