"""Usage in a folder of Parquet files: its export, and the option with which reviews read it."""

from __future__ import annotations

from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from click.core import ParameterSource

from jwt_lp.cli.output import OK, brief, count, notices, say, show_steps, text
from jwt_lp.stores.month_recording import month_ends

if TYPE_CHECKING:
    from collections.abc import Generator

    from jwt_lp.stores import Store, UsageAggregates

_PARTS: Final = ("subject", "client", "permission", "service", "issuer", "form")

usage_option: Final = click.option(
    "--usage",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Read usage from this folder, as jwt-lp usage export --parquet writes it, and the grants from the store.",
)


@contextmanager
def open_usage(folder: str | None, store: Store) -> Generator[UsageAggregates | None]:
    """Open the usage in a folder, and warn if it is that of another store; None without a folder."""
    if folder is None:
        yield None
        return
    from jwt_lp.stores.parquet_usage import ParquetUsage

    with closing(ParquetUsage(folder)) as usage:
        if others := [name for name in usage.stores if name != store.name]:
            other = ", ".join(map(brief, others))
            notices(
                [f"the usage in {brief(folder)} is that of {other}, and the grants are those of {store.name}"], err=True
            )
        yield usage


def refuse_other_options(ctx: click.Context) -> None:
    """Refuse what would leave out a part of a month: a review of the folder would take it as unused."""
    for parameter in ctx.command.params:
        if parameter.name in _PARTS and ctx.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--parquet writes all usage of a month: leave out {parameter.opts[0]}")


def export_folder(store: Store, folder: str, since: str | None, until: str | None) -> None:
    """Export whole months to a folder, and say which and how much."""
    first = since[:7] if since is not None else None
    last = until[:7] if until is not None else None
    if first is not None and since != month_ends(first)[0]:
        raise click.UsageError(f"--parquet writes whole months: pass --since {month_ends(first)[0]}")
    if last is not None and until != month_ends(last)[1]:
        raise click.UsageError(f"--parquet writes whole months: pass --until {month_ends(last)[1]}")
    from jwt_lp.stores.parquet_export import export_parquet

    with show_steps() as step:
        months = export_parquet(
            store, Path(folder), since=first, until=last, on_rows=lambda number: step("rows read", number)
        )
    if not months:
        notices([f"{store.name}: nothing was recorded or imported there, so nothing was written"])
        return
    for month in months:
        kept = f", {month.kept} of them no longer in the store" if month.kept else ""
        say(f"{month.month}: {count(month.rows, 'row')}{kept}")
    total = count(sum(month.rows for month in months), "row")
    say(text(f"{brief(folder)}: {total} in {count(len(months), 'month')} were written", OK))
