"""What a process of its own does in the tests of the key ring; it is found by its module's name, so it stands here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jwt_lp import PolicyError
from jwt_lp.keyring import rotate_keys


def rotate_once(folder: Path, now: float, gate: Any, said: Any) -> None:
    """Rotate when all are ready, and say what came of it."""
    gate.wait()
    try:
        rotate_keys(folder, clock=lambda: now)
    except PolicyError as error:
        said.put(error.code)
    else:
        said.put("rotated")
