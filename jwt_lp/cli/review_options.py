"""The options of everything that reviews: what is reviewed, and by which rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from jwt_lp.cli.param_types import BudgetParam, DayParam
from jwt_lp.cli.people import load_exemptions, load_people
from jwt_lp.cli.plan import restored_grants
from jwt_lp.cli.row_input import default_issuer, subject_naming
from jwt_lp.cli.usage_folder import usage_option
from jwt_lp.policy.file import EMPTY_POLICY, Policy
from jwt_lp.review.analysis.decision_rule import DEFAULT_WINDOW_DAYS, YOUNG_LIKELIHOOD
from jwt_lp.review.quantities import format_percent
from jwt_lp.review.trained_review import DEFAULT_HORIZON, ReviewOptions, choose_rule

if TYPE_CHECKING:
    from jwt_lp.guard.settings import Settings
    from jwt_lp.review import Person
    from jwt_lp.stores import UsageAggregates


def analysis_options(command: Any) -> Any:
    """Add the options that `read_options` and `read_policy` read, `--now`, and `--usage`."""
    for option in (
        click.option("--exempt", "exempt", type=click.Path(dir_okay=False), multiple=True, metavar="WORKSHEET",
                     help="Apply the exemptions of an earlier worksheet until they end. Repeatable."),
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
    return command


def check_options(options: dict[str, Any]) -> None:
    """Fill in the default horizon; `UsageError` for options that exclude each other."""
    if options["window"] is not None and options["likelihood"] is not None:
        raise click.UsageError("--window and --likelihood exclude each other: pass one")
    budget = options["budget"]
    if budget is not None and options["horizon"] not in (None, budget.days):
        raise click.UsageError(f"--budget looks {budget.days} days ahead: leave --horizon out")
    options["horizon"] = options["horizon"] or (DEFAULT_HORIZON if budget is None else budget.days)


def read_options(
    options: dict[str, Any], settings: Settings | None, usage: UsageAggregates | None, *, backtest: bool
) -> ReviewOptions:
    """What the options say, after `check_options`; `Failure` for a file that cannot be read."""
    return ReviewOptions(
        rule=choose_rule(window=options["window"], likelihood=options["likelihood"], budget=options["budget"]),
        usage=usage,
        grace=options["grace"],
        horizon=options["horizon"],
        budget=options["budget"],
        issuer=options["issuer"],
        people=read_people(options["people"], options["issuer"], settings),
        exempt=load_exemptions(options["exempt"]),
        restored=[each for plan in options["earlier_plans"] for each in restored_grants(plan)],
        issuer_names=read_issuer_names(settings),
        backtest=backtest,
    )


def read_issuer_names(settings: Settings | None) -> dict[str, str]:
    """The names of issuers in the settings."""
    return {} if settings is None else {issuer.issuer: issuer.name for issuer in settings.issuers}


def read_people(file: str | None, issuer: str | None, settings: Settings | None) -> dict[str, Person]:
    """The persons in the file, by the names that the store has of them."""
    if not file:
        return {}
    name, issuer_of_people = subject_naming(settings), issuer or default_issuer(None, settings)
    return load_people(file, lambda subject: name(issuer_of_people, subject))


def read_policy(file: str | None, settings: Settings | None) -> Policy:
    """The policy in the file, else that of the settings."""
    if file is not None:
        return Policy.load(file)
    return settings.policy if settings is not None else EMPTY_POLICY
