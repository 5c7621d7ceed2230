"""What a process of its own does in the tests of the key ring; it is found by its module's name, so it stands here."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from jwt_lp import Issuer, PolicyError
from jwt_lp.jose.key_rotation import KeyRing, rotate_keys


def rotate_once(folder: Path, now: float, gate: Any, said: Any) -> None:
    """Rotate when all are ready, and say what came of it."""
    gate.wait()
    try:
        rotate_keys(folder, clock=lambda: now)
    except PolicyError as error:
        said.put(error.code)
    else:
        said.put("rotated")


def issue_until(folder: Path, name: str, tokens: Any, stop: Any) -> None:
    """Issue from the same folder until told to stop; None is the last thing said."""
    issuer = Issuer(name, KeyRing(folder, reload_interval=0.02), audience="orders", client="c")
    while not stop.is_set():
        tokens.put(issuer.issue("bob"))
        time.sleep(0.005)
    tokens.put(None)
