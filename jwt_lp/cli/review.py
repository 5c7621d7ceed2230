"""The command `jwt-lp review`: unused grants, with reasons, verdicts and proposals."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from jwt_lp.cli.fail_conditions import FailConditionParam, MatchCount
from jwt_lp.cli.output import Failure, count, notices, say, show_steps, text
from jwt_lp.cli.param_types import BudgetParam, DayParam
from jwt_lp.cli.people import load_exemptions, load_people
from jwt_lp.cli.plan import restored_grants
from jwt_lp.cli.review_files import write_outputs
from jwt_lp.cli.row_input import default_issuer, subject_naming
from jwt_lp.cli.store import StoreOptions, store_options
from jwt_lp.cli.usage_folder import open_usage, usage_option
from jwt_lp.policy.file import EMPTY_POLICY, Policy
from jwt_lp.review import EarlierReview
from jwt_lp.review.analysis.decision_rule import DEFAULT_WINDOW_DAYS, YOUNG_LIKELIHOOD
from jwt_lp.review.plan.plan_stages import parse_stages
from jwt_lp.review.quantities import format_percent
from jwt_lp.review.report import KeptFindings, iter_table, render
from jwt_lp.review.trained_review import DEFAULT_HORIZON, ReviewOptions, choose_rule, trained_review

if TYPE_CHECKING:
    from collections.abc import Callable

    from jwt_lp.guard.settings import Settings
    from jwt_lp.review import Finding, Person, Review
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
        click.option("--exempt", "exempt", type=click.Path(dir_okay=False), multiple=True, metavar="WORKSHEET",
                     help="Apply the exemptions of an earlier worksheet until they end. Repeatable."),
        click.option("--since", type=click.Path(dir_okay=False), metavar="FILE",
                     help="Compare with an earlier review: the output of --format json. Shows what is new, gone, came "
                     "back."),
        click.option("--earlier-plan", "earlier_plans", type=click.Path(dir_okay=False), multiple=True, metavar="PLAN",
                     help="A plan that was applied: what was restored during its trial counts as needed. Repeatable."),
        click.option("--people", type=click.Path(dir_okay=False), metavar="FILE",
                     help="Persons by subject: CSV with subject,name,team,manager,active,left. What leavers hold is proposed "
                     "for removal. Shown, never stored."),
        click.option("--policy", "policy_file", type=click.Path(dir_okay=False), metavar="FILE",
                     help="The policy file. Default: POLICY in the settings."),
        click.option("--issuer", metavar="ISS", help="Only this issuer."),
        click.option("--horizon", type=click.IntRange(30, 3650),
                     help="The likelihood is that of being needed within this many days. Default: 365, or the period of "
                     "--budget."),
        click.option("--grace", type=click.IntRange(0, 3650), default=14, show_default=True,
                     help="Propose nothing for a grant that is newer than this many days."),
        click.option("--budget", type=BudgetParam(), metavar="BUDGET",
                     help="Propose only as much as this allows to be needed again: '3 people this quarter', '10 grants this "
                     "year'. Its period is the horizon."),
        click.option("--likelihood", type=click.FloatRange(0, 1, min_open=True, max_open=True), metavar="P",
                     help="Decide by likelihood: a grant is unused if it is needed again with likelihood P or less."),
        click.option("--window", type=click.IntRange(30, 36500), metavar="DAYS",
                     help="Decide by a fixed window: a grant is unused if it is idle for this many days. "
                     f"Default: {DEFAULT_WINDOW_DAYS}; while the records are shorter than twice that, a likelihood of "
                     f"{format_percent(YOUNG_LIKELIHOOD)} that is also idle for half of them."),
        click.option("--now", type=DayParam(), metavar="DAY", help="Review as of this day. Default: today, in UTC."),
        usage_option,
    ):  # fmt: skip
        command = option(command)
    return store_options(command)


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
    if options["window"] is not None and options["likelihood"] is not None:
        raise click.UsageError("--window and --likelihood exclude each other: pass one")
    if options["split_by"] and not (options["worksheet"] and options["people"]):
        raise click.UsageError("--split-by needs both --worksheet and --people")
    if options["stages"] is not None and not options["plan"]:
        raise click.UsageError("--stages needs --plan")
    stages = parse_stages(options["stages"]) if options["stages"] is not None else ()
    budget = options["budget"]
    if budget is not None and options["horizon"] not in (None, budget.days):
        raise click.UsageError(f"--budget looks {budget.days} days ahead: leave --horizon out")
    options["horizon"] = options["horizon"] or (DEFAULT_HORIZON if budget is None else budget.days)
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
    issuer = options["issuer"]
    # Faults in these files are cheap to find, so they come before the long work.
    people = _people(options["people"], issuer, settings)
    exempt = load_exemptions(options["exempt"])
    restored = [each for plan in options["earlier_plans"] for each in restored_grants(plan)]
    earlier = EarlierReview(Path(options["since"])) if options["since"] else None
    return trained_review(
        store,
        ReviewOptions(
            rule=choose_rule(window=options["window"], likelihood=options["likelihood"], budget=options["budget"]),
            usage=usage,
            grace=options["grace"],
            horizon=options["horizon"],
            budget=options["budget"],
            issuer=issuer,
            exempt=exempt,
            restored=restored,
            people=people,
            issuer_names=_issuer_names(settings),
            earlier=earlier,
            backtest=bool(options["html"]),
        ),
        now=now,
        policy=_policy(options["policy_file"], settings),
        on_kept=on_kept,
        on_step=step,
    )


def _issuer_names(settings: Settings | None) -> dict[str, str]:
    return {} if settings is None else {issuer.issuer: issuer.name for issuer in settings.issuers}


def _people(file: str | None, issuer: str | None, settings: Settings | None) -> dict[str, Person]:
    if not file:
        return {}
    name, issuer_of_people = subject_naming(settings), issuer or default_issuer(None, settings)
    return load_people(file, lambda subject: name(issuer_of_people, subject))


def _policy(file: str | None, settings: Settings | None) -> Policy:
    if file is not None:
        return Policy.load(file)
    return settings.policy if settings is not None else EMPTY_POLICY


def _print_failing(match: MatchCount) -> None:
    notices([f"{match.condition.written}: {count(match.number, 'finding')}"], err=True)
    for finding in match.examples:
        say(text(f"   {finding.name}  {finding.grant or finding.role}: {finding.reason}"), err=True)
