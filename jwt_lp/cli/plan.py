"""What was decided?"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jwt_lp.cli.output import DIM, Failure, count, say, text
from jwt_lp.errors import ConfigurationError
from jwt_lp.review.plan import Plan, from_worksheet, join_worksheets, journal_path, read_status, write_atomically
from jwt_lp.review.plan import read_worksheet as read_sheet

if TYPE_CHECKING:
    from collections.abc import Collection

    from jwt_lp.review.plan import Worksheet


@click.command(short_help="Make a plan from the decisions in a worksheet.")
@click.argument("worksheets", metavar="WORKSHEET...", nargs=-1, required=True)
@click.option("-o", "--output", metavar="PLAN", required=True, help="Where to write the plan.")
@click.option(
    "--review", "reviewed", metavar="FILE", help="The same review as JSON; rows of another review are refused."
)
@click.option("--cap", type=click.IntRange(1), metavar="N", help="The most grants that the plan may revoke at once.")
def plan(worksheets: tuple[str, ...], output: str, reviewed: str | None, cap: int | None) -> None:
    """Make a plan from a worksheet of jwt-lp review, or from several of one review.

    Every row needs a decision: keep, remove, narrow (to what stands under instead), or exempt until a day. Whoever
    decided stands under reviewer. Nothing is changed yet: jwt-lp apply shows what would be.

    \b
      jwt-lp review --store sqlite:///jwt-lp.db --worksheet review.csv
      jwt-lp plan review.csv -o quarter.plan
      jwt-lp apply quarter.plan --dry-run
    """  # noqa: D301 - a real backspace is what click looks for
    known = None if reviewed is None else _ids(reviewed)
    made = from_worksheet(join_worksheets([_sheet(each, known) for each in worksheets]), now=time.time(), cap=cap)
    write_plan(made, output)


def write_plan(made: Plan, output: str) -> None:
    """Write a plan for its owner alone, and say what it holds; never over one that was applied."""
    require_unapplied(output)
    write_atomically(output, made.encode().encode(), mode=0o600)
    taking = sum(item.revokes for item in made.items)
    exempt = sum(item.action == "exempt" for item in made.items)
    say(
        text(output, "bold"),
        f": {count(taking, 'grant')} to revoke, {exempt} exempt, {len(made.items) - taking - exempt} kept",
    )
    say(text(f"hash {made.hash[:12]}; what it would change: jwt-lp apply {output} --dry-run", DIM))


def require_unapplied(output: str) -> None:
    """`Failure` for a plan that was applied: it is what its journal speaks of, and stays as it is."""
    if read_status(journal_path(output)).state != "new":
        raise Failure(f"{output} was applied, and {journal_path(output)} says what was done: name another file")


def read_plan(path: str) -> Plan:
    """The plan in a file."""
    return Plan.decode(_text(path))


def _sheet(path: str, known: Collection[str] | None) -> Worksheet:
    try:
        return read_sheet(_text(path), known=known)
    except ConfigurationError as error:
        raise Failure(*(f"{path}: {fault}" for fault in error.faults)) from None


def _ids(path: str) -> Collection[str]:
    try:
        return {str(each["id"]) for each in json.loads(_text(path))["findings"]}
    except (ValueError, KeyError, TypeError):
        raise Failure(f"{path}: not a review as JSON: jwt-lp review --format json") from None


def _text(path: str) -> str:
    try:
        # The line ends within cells stay as they are.
        return Path(path).read_bytes().decode()
    except UnicodeDecodeError:
        raise Failure(f"{path}: is not UTF-8: save it as CSV UTF-8") from None
    except OSError as error:
        raise Failure(f"{path}: cannot be read: {error.strerror}") from None
