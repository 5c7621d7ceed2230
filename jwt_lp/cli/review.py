"""The command `jwt-lp review`: unused grants, with reasons, verdicts and proposals."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from jwt_lp.cli.fail_conditions import FailConditionParam, MatchCount
from jwt_lp.cli.output import Failure, count, notices, say, show_steps, text
from jwt_lp.cli.review_files import write_outputs
from jwt_lp.cli.review_options import analysis_options, check_options, read_options, read_policy
from jwt_lp.cli.store import StoreOptions, store_options
from jwt_lp.cli.usage_folder import open_usage
from jwt_lp.review import EarlierReview
from jwt_lp.review.plan.plan_stages import parse_stages
from jwt_lp.review.report import KeptFindings, iter_table, render
from jwt_lp.review.trained_review import trained_review

if TYPE_CHECKING:
    from collections.abc import Callable

    from jwt_lp.guard.settings import Settings
    from jwt_lp.review import Finding, Review
    from jwt_lp.stores import Store, UsageAggregates

_PIECES: Final = 1000
_GROUPINGS: Final = ("permission", "role", "subject", "manager", "team")


def _options(command: Any) -> Any:
    for option in (
        click.option("--fail-on", "gates", type=FailConditionParam(), multiple=True, metavar="CONDITION",
                     help="Exit with 1 if findings meet it: unused>90d, dormant@high, remove>10. Repeatable."),
        click.option("--split-by", type=click.Choice(["manager", "team"]),
                     help="Write one worksheet for each manager or team in --people."),
        click.option("--worksheet", type=click.Path(dir_okay=False), metavar="FILE",
                     help="Write a worksheet (CSV) in which reviewers enter their decisions."),
        click.option("--plan", type=click.Path(dir_okay=False), metavar="FILE",
                     help="Write a plan of the removals that the rule alone decides."),
        click.option("--stages", metavar="STAGES",
                     help="With --plan: take grants back in stages, such as notice=14d,trial=30d. Default: at once."),
        click.option("--html", type=click.Path(dir_okay=False), metavar="FILE",
                     help="Write the review as one self-contained HTML page."),
        click.option("--top", type=click.IntRange(1), default=50, show_default=True,
                     help="Show at most this many groups."),
        click.option("--by", type=click.Choice(_GROUPINGS),
                     help="Group the findings in text and HTML. Default: permission, if there are many findings."),
        click.option("--format", "form", type=click.Choice(["text", "json", "csv"]), default="text",
                     show_default=True, help="The output format."),
        click.option("--since", type=click.Path(dir_okay=False), metavar="FILE",
                     help="Compare with an earlier review: the output of --format json. Shows what is new, gone, came "
                     "back."),
    ):  # fmt: skip
        command = option(command)
    return store_options(analysis_options(command))


@click.command(short_help="Show which grants are not used, and propose what to do.")
@_options
@click.pass_context
def review(ctx: click.Context, /, **options: Any) -> None:
    """Compare grants with recorded usage: which grants are not used, how sure that is, and what to do about them.

    Nothing is changed. Proposals become a plan, either from a worksheet that reviewers fill in or from the rule alone;
    jwt-lp apply carries it out, and jwt-lp undo undoes it.

    \b
      jwt-lp review --html review.html
      jwt-lp review --likelihood 0.05 --worksheet decide.csv --people people.csv --split-by manager
      jwt-lp review --window 90 --format csv > findings.csv
      jwt-lp review --fail-on "unused>90d" --fail-on "dormant@high"
    """  # noqa: D301 - a real backspace is what click looks for
    if options["split_by"] and not (options["worksheet"] and options["people"]):
        raise click.UsageError("--split-by needs both --worksheet and --people")
    if options["stages"] is not None and not options["plan"]:
        raise click.UsageError("--stages needs --plan")
    stages = parse_stages(options["stages"]) if options["stages"] is not None else ()
    check_options(options)
    place = StoreOptions(options["url"], options["target"], options["where"])
    settings = place.settings(ctx)
    matches = [MatchCount(condition) for condition in options["gates"]]
    with ExitStack() as stack:
        form = options["form"]
        kept = stack.enter_context(closing(KeptFindings(form))) if form in ("json", "csv") else None
        result = _make_review(place, settings, options, _kept_sink(kept, matches))
        write_outputs(result, options, stages)
        _print_review(result, kept, options)
    for match in matches:
        match.add(result.findings)
    failing = [match for match in matches if match.fails]
    for match in failing:
        _print_failing(match)
    if failing:
        ctx.exit(1)


def _make_review(
    place: StoreOptions,
    settings: Settings | None,
    options: dict[str, Any],
    on_kept: Callable[[Finding], object] | None,
) -> Review:
    """The review of the store; `Failure` where it holds nothing and a condition is to be checked."""
    with place.open(settings) as store, open_usage(options["usage"], store) as usage, show_steps() as step:
        result = _run_review(store, usage, settings, options, on_kept, step)
    if options["gates"] and not (result.window.first_day or result.population.grants):
        # Without data every condition passes, so a mistyped store must not look like a clean review.
        raise Failure(f"{result.store}: nothing was recorded or imported there, so --fail-on would always pass")
    return result


def _print_review(result: Review, kept: KeptFindings | None, options: dict[str, Any]) -> None:
    if kept is None:
        click.echo(render(result, options["form"], by=options["by"], top=options["top"]), nl=False)
        return
    pieces = iter_table(result, options["form"], kept)
    while some := "".join(islice(pieces, _PIECES)):
        click.echo(some, nl=False)


def _kept_sink(kept: KeptFindings | None, matches: list[MatchCount]) -> Callable[[Finding], object] | None:
    """What takes the findings that a review of a large store does not list; None where nothing needs them."""
    if kept is None and not matches:
        return None

    def take(finding: Finding) -> None:
        if kept is not None:
            kept.add(finding)
        for match in matches:
            match.add((finding,))

    return take


def _run_review(
    store: Store,
    usage: UsageAggregates | None,
    settings: Settings | None,
    options: dict[str, Any],
    on_kept: Callable[[Finding], object] | None,
    step: Callable[[str, int], None],
) -> Review:
    now = options["now"] or datetime.fromtimestamp(time.time(), UTC).date().isoformat()
    # Faults in these files are cheap to find, so they come before the long work.
    given = replace(
        read_options(options, settings, usage, backtest=bool(options["html"])),
        earlier=EarlierReview(Path(options["since"])) if options["since"] else None,
    )
    policy = read_policy(options["policy_file"], settings)
    return trained_review(store, given, now=now, policy=policy, on_kept=on_kept, on_step=step)


def _print_failing(match: MatchCount) -> None:
    notices([f"{match.condition.written}: {count(match.number, 'finding')}"], err=True)
    for finding in match.examples:
        say(text(f"   {finding.name}  {finding.grant or finding.role}: {finding.reason}"), err=True)
