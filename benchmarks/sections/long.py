"""The programs that take minutes, each of which prints its own text."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

PROGRAMS: Final = {
    "revocations": (("revocations.py",),),
    "review": (("review.py",),),
    "flush": (("flush.py", "sqlite"), ("flush.py", "postgresql")),
    "parquet": (("parquet.py",),),
}
"""The programs of each section, with their arguments.

The review and the flush need PostgreSQL, where `BENCH_POSTGRES` says; Parquet files need 2 GB of disk.
"""


def run(section: str) -> str:
    """Run the section's programs, and return what they printed."""
    return "".join(map(_output, PROGRAMS[section]))


def _output(program: tuple[str, ...]) -> str:
    name, *arguments = program
    command = [sys.executable, str(Path(__file__).parents[1] / name), *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
