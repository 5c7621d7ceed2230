"""The command `jwt-lp demo`, which runs the demo in `examples/` of a checkout."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Final

import click

EXAMPLES: Final = Path(__file__).parents[2] / "examples"


@click.command()
@click.option("--console", is_flag=True, help="Only open a console over a made-up company, until Ctrl-C.")
def demo(*, console: bool) -> None:
    """Start an issuer and the orders API on every host, and compare their answers to the same requests.

    It ends with a console over a made-up company, which on a terminal runs until Ctrl-C. It runs in a checkout only,
    because the applications are in its examples/ folder. The exit code is 1 if an answer is wrong.
    """
    if not (EXAMPLES / "demo").is_dir():
        raise click.ClickException(
            "the demo runs the applications in examples/: start it in a checkout, with make demo"
        )
    sys.path.insert(0, str(EXAMPLES))
    runpy.run_module("demo.console" if console else "demo", run_name="__main__")
