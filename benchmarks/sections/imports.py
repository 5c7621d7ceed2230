"""The time of imports, in new interpreters that take turns: jwt-lp beside PyJWT with cryptography, which it needs anyway."""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks.figures import Figure
from benchmarks.rounds import WARM_UP, Rounds, turn_order
from benchmarks.scale import Scale

STATEMENTS = {
    "import jwt_lp": "import jwt_lp",
    "from jwt_lp import Guard": "from jwt_lp import Guard",
    "PyJWT and cryptography": "import jwt, cryptography",
}
_PROGRAM = "import time; start = time.process_time_ns(); {statement}; print(time.process_time_ns() - start)"


def run(scale: Scale) -> list[Figure]:
    """The figures of both ways to import jwt-lp."""
    costs: dict[str, list[float]] = {side: [] for side in STATEMENTS}
    # The first round compiles what was never imported here before.
    for number in range(WARM_UP + scale.rounds):
        for side in turn_order(tuple(STATEMENTS), number):
            spent = import_time(STATEMENTS[side])
            if number >= WARM_UP:
                costs[side].append(spent)
    rounds = Rounds({side: tuple(values) for side, values in costs.items()})
    theirs = "PyJWT and cryptography"
    return [Figure.of_share(rounds, side, side, theirs) for side in STATEMENTS if side != theirs]


def import_time(statement: str) -> float:
    """The seconds of CPU time that a statement takes in a new interpreter."""
    program = _PROGRAM.format(statement=statement)
    # What pip installed is compiled already; a checkout is only if it may be.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", program]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return int(answer.stdout) / 1e9
