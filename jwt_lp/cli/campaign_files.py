"""The commands `jwt-lp campaign worksheet`, `import` and `plan`: what a campaign writes to files, and reads from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from jwt_lp.cli.campaign_place import (
    campaign_argument,
    changing_options,
    find_campaign,
    opened_campaigns,
    operator_of,
    take_place,
)
from jwt_lp.cli.campaign_view import print_result
from jwt_lp.cli.file_names import name_parts
from jwt_lp.cli.output import OK, CheckFailed, Failure, say, text
from jwt_lp.cli.plan import read_text, write_plan
from jwt_lp.cli.store import store_options
from jwt_lp.errors import InvalidDecision
from jwt_lp.review.plan import write_atomically
from jwt_lp.review.plan.sheet_file import sheet_path


@click.command(short_help="Write the worksheets of a campaign.")
@campaign_argument
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False), metavar="FILE",
              help="The worksheet (CSV). Its sheet file is written beside it.")  # fmt: skip
@click.option("--part", metavar="NAME", help="Only this part.")
@click.option("--split", is_flag=True, help="One worksheet for each part: FILE-PART.csv.")
@store_options
@click.pass_context
def worksheet(ctx: click.Context, /, campaign_id: str, **options: Any) -> None:
    """Write the items of CAMPAIGN as the worksheet that jwt-lp review writes, with the decisions so far filled in.

    jwt-lp campaign import reads it back. jwt-lp plan reads it too, once every row has a decision.
    """
    output, part, split = (options.pop(each) for each in ("output", "part", "split"))
    if part is not None and split:
        raise click.UsageError("--part and --split exclude each other: pass one")
    file = Path(output)
    with opened_campaigns(ctx, take_place(options)) as campaigns:
        found = find_campaign(campaigns, campaign_id)
        if split:
            sheets = campaigns.worksheets(found.id)
            for name, suffix in name_parts(sheets):
                path = file.with_name(f"{file.stem}-{suffix}{file.suffix or '.csv'}")
                _write(path, sheets[name].text, f"the worksheet of {name or 'nobody'}")
            sheet = next(iter(sheets.values())).sheet
        else:
            text_of_all, sheet = campaigns.worksheet(found.id, part)
            _write(file, text_of_all, "the worksheet")
        _write(sheet_path(file), sheet, "the sheet file, which jwt-lp plan needs too")


def _write(file: Path, content: str, what: str) -> None:
    # The content names people and their permissions, so only the owner may read it.
    write_atomically(str(file), content.encode(), mode=0o600)
    say(text(f"{what}: {file}", OK), err=True)


@click.command("import", short_help="Store the decisions of filled-in worksheets.")
@changing_options
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(dir_okay=False))
@click.option("--part", metavar="NAME", help="Only this part; rows of others are refused.")
@click.pass_context
def import_worksheets(
    ctx: click.Context, /, campaign_id: str, files: tuple[str, ...], by: str | None, **options: Any
) -> None:
    """Store the decisions of each worksheet FILE of CAMPAIGN. Rows without a decision stay as they are.

    The column reviewer names who decided, and the audit trail who imported it. A file with a fault changes nothing. Exit code 1
    where somebody else decided about an item at the same time.
    """
    part = options.pop("part")
    with opened_campaigns(ctx, take_place(options)) as campaigns:
        found, conflicts = find_campaign(campaigns, campaign_id), 0
        for file in files:
            try:
                result = campaigns.read_worksheet(operator_of(by), found.id, read_text(file), part=part)
            except InvalidDecision as error:
                raise Failure(*(f"{file}: {fault}" for fault in error.faults)) from None
            say(text(file, "bold"))
            print_result(result)
            conflicts += len(result.conflicts)
    if conflicts:
        raise CheckFailed("import the worksheets again, if these decisions are to hold")


@click.command(short_help="Make the plan of a closed campaign.")
@campaign_argument
@click.option("-o", "--output", metavar="PLAN", required=True, help="The file for the plan.")
@store_options
@click.pass_context
def plan(ctx: click.Context, /, campaign_id: str, output: str, **options: Any) -> None:
    """Make the plan of the decisions about CAMPAIGN, which must be closed. jwt-lp apply shows what it would change."""
    with opened_campaigns(ctx, take_place(options)) as campaigns:
        write_plan(campaigns.plan(find_campaign(campaigns, campaign_id).id), output)
