"""What was granted and is not needed?"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from rich.progress import Progress, SpinnerColumn, TextColumn

from jwt_lp.cli.backtest import run_backtest
from jwt_lp.cli.fail_conditions import FailConditionParam
from jwt_lp.cli.output import OK, Failure, console, count, notices, say, text
from jwt_lp.cli.param_types import DayParam
from jwt_lp.cli.people import load_exemptions, load_people
from jwt_lp.cli.plan import require_unapplied
from jwt_lp.cli.row_input import default_issuer, subject_naming
from jwt_lp.cli.store import StoreOptions, store_options
from jwt_lp.policy.file import EMPTY_POLICY, Policy
from jwt_lp.review import review as reviewed
from jwt_lp.review.analysis import DEFAULT_WINDOW_DAYS, WARM_UP_DAYS, DecisionRule, fit_model, load_history
from jwt_lp.review.plan import from_review, split_findings, write_atomically, write_worksheet
from jwt_lp.review.report import render

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from jwt_lp.cli.fail_conditions import FailCondition
    from jwt_lp.guard.settings import Settings
    from jwt_lp.review import Finding, Review

_MAX_SHOWN: Final = 5
_GROUPINGS: Final = ("permission", "role", "subject", "owner")


def _options(command: Any) -> Any:
    for option in (
        click.option("--fail-on", "gates", type=FailConditionParam(), multiple=True, metavar="CONDITION",
                     help="Exit with 1 where findings meet it: unused>90d, dormant@high, remove>10. Repeatable."),
        click.option("--split-by", type=click.Choice(["manager", "team"]), help="One worksheet for each."),
        click.option("--worksheet", type=click.Path(dir_okay=False), metavar="FILE",
                     help="Write a worksheet (CSV) for those who decide."),
        click.option("--plan", type=click.Path(dir_okay=False), metavar="FILE",
                     help="Write a plan of what the rule alone decides."),
        click.option("--html", type=click.Path(dir_okay=False), metavar="FILE", help="Write one self-contained page."),
        click.option("--top", type=click.IntRange(1), default=50, show_default=True, help="How many groups are shown."),
        click.option("--by", type=click.Choice(_GROUPINGS), help="Group text and page. Default for many: permission."),
        click.option("--format", "form", type=click.Choice(["text", "json", "csv"]), default="text",
                     show_default=True, help="How to print it."),
        click.option("--exempt", "exempt", type=click.Path(dir_okay=False), multiple=True, metavar="WORKSHEET",
                     help="Leave findings alone that it exempts, for as long as it says. Repeatable."),
        click.option("--people", type=click.Path(dir_okay=False), metavar="FILE",
                     help="Names of subjects: CSV with subject,name,team,manager,active. Shown, never stored."),
        click.option("--policy", "policy_file", type=click.Path(dir_okay=False), metavar="FILE",
                     help="The policy. Default: that of the settings."),
        click.option("--issuer", metavar="ISS", help="Only this issuer."),
        click.option("--horizon", type=click.IntRange(30, 3650), default=365, show_default=True,
                     help="Within how many days a need counts."),
        click.option("--grace", type=click.IntRange(0, 3650), default=14, show_default=True,
                     help="For how many days a new grant is left alone."),
        click.option("--likelihood", type=click.FloatRange(0, 1, min_open=True, max_open=True), metavar="P",
                     help="Decide by likelihood: unused is what is needed again with likelihood P or less."),
        click.option("--window", type=click.IntRange(30, 36500), metavar="DAYS",
                     help=f"Decide by a fixed window: unused is what is idle for this many days. Default: {DEFAULT_WINDOW_DAYS}."),
        click.option("--now", type=DayParam(), metavar="DAY", help="Review as of this day. Default: today, in UTC."),
    ):  # fmt: skip
        command = option(command)
    return store_options(command)


@click.command(short_help="Show what was granted and is not needed.")
@_options
@click.pass_context
def review(ctx: click.Context, /, **options: Any) -> None:
    """Compare what was granted with what was used: who was reviewed, what is not needed, and how sure that is.

    Nothing is changed. What is proposed becomes a plan, from a worksheet that people fill in or from the rules alone;
    jwt-lp apply carries it out, and jwt-lp undo undoes it.

    \b
      jwt-lp review --html review.html
      jwt-lp review --likelihood 0.05 --worksheet decide.csv --people people.csv --split-by manager
      jwt-lp review --window 90 --format csv > findings.csv
      jwt-lp review --fail-on "unused>90d" --fail-on "dormant@high"
    """  # noqa: D301 - a real backspace is what click looks for
    if options["window"] is not None and options["likelihood"] is not None:
        raise click.UsageError("one rule decides: pass --window or --likelihood, not both")
    if options["split_by"] and not (options["worksheet"] and options["people"]):
        raise click.UsageError("--split-by divides a --worksheet by what --people says: pass both")
    place = StoreOptions(options["url"], options["target"], options["where"])
    settings = place.settings(ctx)
    with place.open(settings) as store, _progress() as step:
        made = _run_review(store, settings, options, step)
    if options["gates"] and not (made.window.first_day or made.population.grants):
        # A gate over nothing is open: a name that is mistyped must not be what lets everything pass.
        raise Failure(f"{made.store}: nothing was ever recorded or imported there, so that --fail-on would always pass")
    _write_outputs(made, options)
    form = options["form"]
    click.echo(render(made, form, by=options["by"], top=options["top"]), nl=False)
    failing = [(gate, hit) for gate in options["gates"] if (hit := gate.failing_findings(made.findings))]
    for gate, hit in failing:
        _print_failing(gate, hit)
    if failing:
        ctx.exit(1)


def _run_review(
    store: Any, settings: Settings | None, options: dict[str, Any], step: Callable[[str, int], None]
) -> Review:
    now = options["now"] or datetime.fromtimestamp(time.time(), UTC).date().isoformat()
    likelihood = options["likelihood"]
    rule = (
        DecisionRule("likelihood", float(likelihood))
        if likelihood is not None
        else DecisionRule("fixed", options["window"] or DEFAULT_WINDOW_DAYS)
    )
    issuer = options["issuer"]
    name = subject_naming(settings)
    people = {}
    if options["people"]:
        own = issuer or default_issuer(None, settings)
        people = load_people(options["people"], lambda subject: name(own, subject))
    step("history read", 0)
    # No case of the past has its answer before a year of record and the horizon are over.
    taught = load_history(store, until=now, issuer=issuer, min_days=WARM_UP_DAYS + options["horizon"])
    model = fit_model(taught.history, until=now, horizon=options["horizon"])
    made = reviewed(
        store,
        now=now,
        rule=rule,
        model=model,
        history=taught.history,
        policy=_policy(options["policy_file"], settings),
        grace=options["grace"],
        horizon=options["horizon"],
        exempt=load_exemptions(options["exempt"]),
        people=people,
        issuer=issuer,
        on_step=step,
    )
    if not options["html"]:
        return made
    return replace(made, backtest=run_backtest(taught, options["horizon"], 0.1, step))


def _policy(file: str | None, settings: Settings | None) -> Policy:
    if file is not None:
        return Policy.load(file)
    return settings.policy if settings is not None else EMPTY_POLICY


def _write_outputs(made: Review, options: dict[str, Any]) -> None:
    """What goes to files; each is named on standard error."""
    if options["html"]:
        _write_file(options["html"], render(made, "html", by=options["by"], top=options["top"]), "the page")
    if options["plan"]:
        require_unapplied(options["plan"])
        _write_file(options["plan"], from_review(made, now=made.made_at).encode(), "the plan of what the rule decides")
    if options["worksheet"]:
        file = Path(options["worksheet"])
        if not options["split_by"]:
            _write_file(str(file), write_worksheet(made), "the worksheet")
            return
        for who, findings in sorted(split_findings(made.findings, options["split_by"]).items()):
            part = file.with_name(f"{file.stem}-{_file_name_part(who) or 'nobody'}{file.suffix or '.csv'}")
            _write_file(
                str(part),
                write_worksheet(replace(made, findings=tuple(findings))),
                f"the worksheet of {who or 'nobody'}",
            )


def _file_name_part(name: str) -> str:
    return "".join(each if each.isalnum() and each.isascii() else "-" for each in name).strip("-")[:60]


def _write_file(file: str, content: str, what: str) -> None:
    # It names people and what they may do.
    write_atomically(file, content.encode(), mode=0o600)
    say(text(f"{what}: {file}", OK), err=True)


def _print_failing(gate: FailCondition, hit: list[Finding]) -> None:
    notices([f"{gate.written}: {count(len(hit), 'finding')}"], err=True)
    for each in hit[:_MAX_SHOWN]:
        say(text(f"   {each.name}  {each.grant or each.role}: {each.reason}"), err=True)


@contextmanager
def _progress() -> Generator[Callable[[str, int], None]]:
    """What is being done, on a terminal; nothing is printed otherwise."""
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}", markup=False), console=console(err=True), transient=True
    ) as shown:
        task = shown.add_task("", total=None)

        def step(what: str, number: int) -> None:
            shown.update(task, description=f"{what}: {number}" if number else what)

        yield step
