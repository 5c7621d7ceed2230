"""The command `jwt-lp plan`, and reading and writing plan files."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jwt_lp.cli.output import DIM, Failure, count, notices, say, text
from jwt_lp.errors import ConfigurationError
from jwt_lp.review.analysis.training import RestoredGrant
from jwt_lp.review.plan import (
    Plan,
    from_worksheet,
    join_worksheets,
    journal_path,
    parse_stages,
    read_status,
    write_atomically,
)
from jwt_lp.review.plan import read_worksheet as read_sheet
from jwt_lp.review.plan.sheet_file import SheetFile, sheet_candidates, sheet_path

if TYPE_CHECKING:
    from collections.abc import Collection

    from jwt_lp.review.plan import Worksheet


@click.command(short_help="Make a plan from the decisions in a worksheet.")
@click.argument("worksheets", metavar="WORKSHEET...", nargs=-1, required=True)
@click.option("-o", "--output", metavar="PLAN", required=True, help="The file for the plan.")
@click.option(
    "--review", "reviewed", metavar="FILE", help="The same review as JSON. Rows of another review are refused."
)
@click.option(
    "--sheet",
    "sheet_file",
    metavar="FILE",
    help="The sheet file of the worksheets. Default: NAME.sheet.json beside it.",
)
@click.option("--cap", type=click.IntRange(1), metavar="N", help="The plan may revoke at most N grants.")
@click.option(
    "--stages", metavar="STAGES", help="Take grants back in stages, such as notice=14d,trial=30d. Default: at once."
)
def plan(
    worksheets: tuple[str, ...],
    output: str,
    reviewed: str | None,
    sheet_file: str | None,
    cap: int | None,
    stages: str | None,
) -> None:
    """Make a plan from one or more worksheets of the same review.

    Every row needs a decision: keep, remove, narrow (to the permission in the column instead), or exempt until a day.
    The decision of a group holds for its rows that have none. The column reviewer names who decided. Nothing is changed yet: jwt-lp apply shows what would change.

    \b
      jwt-lp review --store sqlite:///jwt-lp.db --worksheet review.csv
      jwt-lp plan review.csv -o quarter.plan
      jwt-lp apply quarter.plan --dry-run
      jwt-lp plan review.csv -o quarter.plan --stages notice=14d,trial=30d
    """  # noqa: D301 - a real backspace is what click looks for
    ids = None if reviewed is None else _ids(reviewed)
    steps = () if stages is None else parse_stages(stages)
    files: dict[Path, SheetFile] = {}
    sheet = join_worksheets([_worksheet(path, find_sheet_file(path, sheet_file), files, ids) for path in worksheets])
    if (missing := sheet.asked - len(sheet.decisions)) > 0:
        notices([f"findings that need a decision, and are in none of these worksheets: {missing:,}"])
    frozen = from_worksheet(sheet, now=time.time(), cap=cap, stages=steps)
    write_plan(frozen, output)


def write_plan(plan: Plan, output: str) -> None:
    """Write a plan that only its owner can read, and print a summary. `Failure` if the file holds an applied plan."""
    require_unapplied(output)
    write_atomically(output, plan.encode().encode(), mode=0o600)
    revoked = sum(item.revokes for item in plan.items)
    exempt = sum(item.action == "exempt" for item in plan.items)
    say(
        text(output, "bold"),
        f": {count(revoked, 'grant')} to revoke, {exempt:,} exempt, {len(plan.items) - revoked - exempt:,} kept",
    )
    say(text(f"hash {plan.hash[:12]}; what it would change: jwt-lp apply {output} --dry-run", DIM))


def require_unapplied(output: str) -> None:
    """`Failure` if the plan was applied, because its journal refers to it."""
    if read_status(journal_path(output)).state != "new":
        raise Failure(f"{output} was applied, and {journal_path(output)} records the changes: name another file")


def read_plan(path: str) -> Plan:
    """The plan in a file."""
    return Plan.decode(read_text(path))


def restored_grants(path: str) -> list[RestoredGrant]:
    """What was restored to subjects during the trial of an applied plan; `Failure` if the plan was not applied."""
    items = {item.id: item for item in read_plan(path).items}
    status = read_status(journal_path(path))
    if status.intent is None:
        raise Failure(f"{path} was not applied: there is no journal of it")
    return [
        RestoredGrant(item.issuer, item.name, item.grant, datetime.fromtimestamp(restored.at, UTC).date().isoformat())
        for restored in status.restored
        if (item := items.get(restored.id)) is not None and item.of == "subject" and item.grant
    ]


def find_sheet_file(worksheet: str, named: str | None) -> Path:
    """The sheet file of a worksheet: `named`, or the one beside it; `Failure` where there is none."""
    if named is not None:
        return Path(named)
    for path in sheet_candidates(worksheet):
        if path.exists():
            return path
    read_text(worksheet)
    raise Failure(f"{worksheet}: there is no {sheet_path(worksheet).name} beside it: pass --sheet FILE")


def read_sheet_file(path: Path) -> SheetFile:
    """The sheet file; `Failure` if it is not one, or was changed."""
    try:
        return SheetFile.decode(read_text(str(path)))
    except ConfigurationError as error:
        raise Failure(*(f"{path}: {fault}" for fault in error.faults)) from None


def _worksheet(path: str, sheet: Path, files: dict[Path, SheetFile], known: Collection[str] | None) -> Worksheet:
    if sheet not in files:
        files[sheet] = read_sheet_file(sheet)
    try:
        return read_sheet(read_text(path), files[sheet], known=known)
    except ConfigurationError as error:
        raise Failure(*(f"{path}: {fault}" for fault in error.faults)) from None


def _ids(path: str) -> Collection[str]:
    try:
        return {str(finding["id"]) for finding in json.loads(read_text(path))["findings"]}
    except (ValueError, KeyError, TypeError):
        raise Failure(f"{path}: not a review as JSON: jwt-lp review --format json") from None


def read_text(path: str) -> str:
    """The text of a file, byte by byte; `Failure` if it cannot be read, or is not UTF-8."""
    try:
        # Bytes, so that line ends inside cells are kept.
        return Path(path).read_bytes().decode()
    except UnicodeDecodeError:
        raise Failure(f"{path}: is not UTF-8: save it as CSV UTF-8") from None
    except OSError as error:
        raise Failure(f"{path}: cannot be read: {error.strerror}") from None
