"""The command `jwt-lp backtest`: reviews replayed over the recorded past."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import click

from jwt_lp.cli.param_types import DayParam, DurationParam
from jwt_lp.cli.store import StoreOptions, store_options
from jwt_lp.cli.usage_folder import open_usage, usage_option
from jwt_lp.review.analysis.decision_rule import DEFAULT_WINDOW_DAYS, DecisionRule
from jwt_lp.review.analysis.training import load_history
from jwt_lp.review.report import render_backtest
from jwt_lp.review.trained_review import DEFAULT_HORIZON, replay_rules


@click.command(short_help="Show how often each rule would have revoked something needed.")
@click.option("--horizon", type=click.IntRange(30, 3650), default=DEFAULT_HORIZON, show_default=True,
              help="A revoked grant counts as regret if it is needed within this many days.")  # fmt: skip
@click.option("--window", type=click.IntRange(30, 36500), default=DEFAULT_WINDOW_DAYS, show_default=True, metavar="DAYS",
              help="The window in force, which the recommended setting is compared with.")  # fmt: skip
@click.option("--regret", type=click.FloatRange(0, 1), metavar="SHARE",
              help="Recommend the setting with the fewest needless days among those with at most this share of regrets. "
              "Default: the fewest regrets at no more needless days than the window in force.")  # fmt: skip
@click.option("--waiting", type=DurationParam(), default="10m", show_default=True,
              help="How long a request for an elevation waits for its answer.")  # fmt: skip
@click.option("--longest", type=DurationParam(), default="1h", show_default=True,
              help="How long an elevation lasts.")  # fmt: skip
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="How to print it.")  # fmt: skip
@click.option("--now", type=DayParam(), metavar="DAY", help="The last day of the record. Default: today, in UTC.")
@click.option("--issuer", metavar="ISS", help="Only this issuer.")
@usage_option
@store_options
@click.pass_context
def backtest(
    ctx: click.Context,
    /,
    horizon: int,
    window: int,
    regret: float | None,
    form: str,
    now: str | None,
    issuer: str | None,
    **options: Any,
) -> None:
    """Replay reviews over the recorded past, and show for each rule setting what it revokes and regrets.

    There is a review every 30 days over the last two fifths of the record. The likelihood is fitted on the record
    before that, and the recommended setting is chosen there. A grant that is revoked and used within the horizon is a regret. Days on which a kept grant is not
    used are needless days. Beside the regrets stand the requests for elevations that would answer them: a grant that was taken back
    stays so, and each day of need is a request.

    \b
      jwt-lp backtest --store sqlite:///access.db
      jwt-lp backtest --regret 0.05
    """  # noqa: D301 - a real backspace is what click looks for
    folder, longest, waiting = (options.pop(name) for name in ("usage", "longest", "waiting"))
    place = StoreOptions(**options)
    with place.open(place.settings(ctx)) as store, open_usage(folder, store) as usage:
        until = now or datetime.fromtimestamp(time.time(), UTC).date().isoformat()
        result = replay_rules(
            load_history(usage or store, until=until, issuer=issuer),
            horizon,
            lambda _what, _number: None,
            regret=regret,
            in_force=DecisionRule("fixed", window),
            longest=longest,
            waiting=waiting,
        )
    click.echo(render_backtest(result, "json" if form == "json" else "text"), nl=False)
