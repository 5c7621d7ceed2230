"""What would a rule have cost in the past?"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from jwt_lp.cli.param_types import DayParam
from jwt_lp.cli.store import StoreOptions, store_options
from jwt_lp.review.analysis import backtest as replayed
from jwt_lp.review.analysis import load_history
from jwt_lp.review.report import render_backtest

if TYPE_CHECKING:
    from collections.abc import Callable

    from jwt_lp.review import Backtest
    from jwt_lp.review.analysis import TrainingHistory


def run_backtest(taught: TrainingHistory, horizon: int, regret: float, step: Callable[[str, int], object]) -> Backtest:
    """The past of every setting, of what was learned."""
    found = replayed(
        taught.history, horizon=horizon, regret=regret, on_step=lambda number: step("reviews replayed", number)
    )
    return replace(found, sampled=taught.share)


@click.command(short_help="Show what a rule would have cost in the past.")
@click.option("--horizon", type=click.IntRange(30, 3650), default=365, show_default=True,
              help="Revoked and needed again within this many days counts as regret.")  # fmt: skip
@click.option("--regret", type=click.FloatRange(0, 1), default=0.1, show_default=True,
              help="The share of revoked grants that the recommended setting may regret.")  # fmt: skip
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="How to print it.")  # fmt: skip
@click.option("--now", type=DayParam(), metavar="DAY", help="The day of the review. Default: today, in UTC.")
@click.option("--issuer", metavar="ISS", help="Only this issuer.")
@store_options
@click.pass_context
def backtest(
    ctx: click.Context, /, horizon: int, regret: float, form: str, now: str | None, issuer: str | None, **options: Any
) -> None:
    """Replay reviews over the recorded past: what each setting revokes, regrets, and leaves held without need.

    A review every 30 days, over the last two fifths of the record; the likelihood is fitted on what lies before. What
    is revoked and used within the horizon is regretted; what is kept and not used is needlessly held.

    \b
      jwt-lp backtest --store sqlite:///access.db
      jwt-lp backtest --regret 0.05
    """  # noqa: D301 - a real backspace is what click looks for
    place = StoreOptions(**options)
    with place.open(place.settings(ctx)) as store:
        until = now or datetime.fromtimestamp(time.time(), UTC).date().isoformat()
        found = run_backtest(
            load_history(store, until=until, issuer=issuer), horizon, regret, lambda _what, _number: None
        )
    click.echo(render_backtest(found, "json" if form == "json" else "text"), nl=False)
