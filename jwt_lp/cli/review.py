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

from jwt_lp.cli._gate import Condition
from jwt_lp.cli._params import Day
from jwt_lp.cli.backtest import trade_off
from jwt_lp.cli.filed import naming, only_issuer
from jwt_lp.cli.memory import Where, store_options
from jwt_lp.cli.output import GOOD, Failure, console, count, notices, say, text
from jwt_lp.cli.people import exemptions_in, people_in
from jwt_lp.cli.plan import unapplied
from jwt_lp.policy import EMPTY, Policy
from jwt_lp.report import render
from jwt_lp.review import review as reviewed
from jwt_lp.review._edits import put
from jwt_lp.review.judging import WINDOW, Rule
from jwt_lp.review.learning import learned
from jwt_lp.review.planning import from_review
from jwt_lp.review.replay import WARM, fitted
from jwt_lp.review.worksheet import split, write

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from jwt_lp.cli._gate import Gate
    from jwt_lp.review import Finding, Review
    from jwt_lp.settings import Settings

_SHOWN: Final = 5
_BY: Final = ("permission", "role", "subject", "owner")


def _options(command: Any) -> Any:
    for option in (
        click.option("--fail-on", "gates", type=Condition(), multiple=True, metavar="CONDITION",
                     help="Exit with 1 where findings meet it: unused>90d, dormant@high, remove>10. Repeatable."),
        click.option("--split-by", type=click.Choice(["manager", "team"]), help="One worksheet for each."),
        click.option("--worksheet", type=click.Path(dir_okay=False), metavar="FILE",
                     help="Write a worksheet (CSV) for those who decide."),
        click.option("--plan", type=click.Path(dir_okay=False), metavar="FILE",
                     help="Write a plan of what the rules alone decide."),
        click.option("--html", type=click.Path(dir_okay=False), metavar="FILE", help="Write one self-contained page."),
        click.option("--top", type=click.IntRange(1), default=50, show_default=True, help="How many groups are shown."),
        click.option("--by", type=click.Choice(_BY), help="Group text and page. Default for many: permission."),
        click.option("--format", "form", type=click.Choice(["text", "json", "csv"]), default="text",
                     show_default=True, help="How to print it."),
        click.option("--exempt", "exempt", type=click.Path(dir_okay=False), multiple=True, metavar="WORKSHEET",
                     help="Leave alone what it says is exempt, for as long as it says. Repeatable."),
        click.option("--people", type=click.Path(dir_okay=False), metavar="FILE",
                     help="Who subjects are: CSV with subject,name,team,manager,active. Shown, never stored."),
        click.option("--policy", "policy_file", type=click.Path(dir_okay=False), metavar="FILE",
                     help="The policy. Default: that of the settings."),
        click.option("--issuer", metavar="ISS", help="Only of this iss."),
        click.option("--horizon", type=click.IntRange(30, 3650), default=365, show_default=True,
                     help="Within how many days a need counts."),
        click.option("--grace", type=click.IntRange(0, 3650), default=14, show_default=True,
                     help="For how many days a new grant is left alone."),
        click.option("--likelihood", type=click.FloatRange(0, 1, min_open=True, max_open=True), metavar="P",
                     help="Judge by how likely it is needed again: unused is what is not likelier than P."),
        click.option("--window", type=click.IntRange(30, 36500), metavar="DAYS",
                     help=f"Judge by a plain window: unused is what is idle for so long. Default: {WINDOW}."),
        click.option("--now", type=Day(), metavar="DAY", help="Review as of this day. Default: today, in UTC."),
    ):  # fmt: skip
        command = option(command)
    return store_options(command)


@click.command(short_help="Show what was granted and is not needed.")
@_options
@click.pass_context
def review(ctx: click.Context, /, **options: Any) -> None:
    """Hold what was granted against what was used: who was looked at, what is not needed, and how sure that is.

    Nothing is changed. What is proposed becomes a plan, from a worksheet that people fill in or from the rules alone;
    jwt-lp apply carries it out, and jwt-lp undo takes it back.

    \b
      jwt-lp review --html review.html
      jwt-lp review --likelihood 0.05 --worksheet decide.csv --people people.csv --split-by manager
      jwt-lp review --window 90 --format csv > findings.csv
      jwt-lp review --fail-on "unused>90d" --fail-on "dormant@high"
    """  # noqa: D301 - a real backspace is what click looks for
    if options["window"] is not None and options["likelihood"] is not None:
        raise click.UsageError("one rule judges: --window or --likelihood, not both")
    if options["split_by"] and not (options["worksheet"] and options["people"]):
        raise click.UsageError("--split-by divides a --worksheet by what --people says: pass both")
    place = Where(options["url"], options["target"], options["where"])
    settings = place.settings(ctx)
    with place.opened(settings) as store, _progress() as step:
        made = _made(store, settings, options, step)
    if options["gates"] and not (made.window.first_day or made.population.grants):
        # A gate over nothing is open: a name that is mistyped must not be what lets everything pass.
        raise Failure(f"{made.store}: nothing was ever recorded or imported there, so that --fail-on would always pass")
    _write(made, options)
    form = options["form"]
    click.echo(render(made, form, by=options["by"], top=options["top"]), nl=False)
    failing = [(gate, hit) for gate in options["gates"] if (hit := gate.failing(made.findings))]
    for gate, hit in failing:
        _say_failing(gate, hit)
    if failing:
        ctx.exit(1)


def _made(store: Any, settings: Settings | None, options: dict[str, Any], step: Callable[[str, int], None]) -> Review:
    now = options["now"] or datetime.fromtimestamp(time.time(), UTC).date().isoformat()
    likelihood = options["likelihood"]
    rule = (
        Rule("likelihood", float(likelihood)) if likelihood is not None else Rule("fixed", options["window"] or WINDOW)
    )
    issuer = options["issuer"]
    name = naming(settings)
    people = {}
    if options["people"]:
        own = issuer or only_issuer(None, settings)
        people = people_in(options["people"], lambda subject: name(own, subject))
    step("history read", 0)
    # No case of the past has its answer before a year of record and the horizon are over.
    taught = learned(store, until=now, issuer=issuer, least=WARM + options["horizon"])
    model = fitted(taught.history, until=now, horizon=options["horizon"])
    made = reviewed(
        store,
        now=now,
        rule=rule,
        model=model,
        history=taught.history,
        policy=_policy(options["policy_file"], settings),
        grace=options["grace"],
        horizon=options["horizon"],
        exempt=exemptions_in(options["exempt"]),
        people=people,
        issuer=issuer,
        on_step=step,
    )
    if not options["html"]:
        return made
    return replace(made, backtest=trade_off(taught, options["horizon"], 0.1, step))


def _policy(file: str | None, settings: Settings | None) -> Policy:
    if file is not None:
        return Policy.load(file)
    return settings.policy if settings is not None else EMPTY


def _write(made: Review, options: dict[str, Any]) -> None:
    """What goes to files; each is named on standard error."""
    if options["html"]:
        _put(options["html"], render(made, "html", by=options["by"], top=options["top"]), "the page")
    if options["plan"]:
        unapplied(options["plan"])
        _put(options["plan"], from_review(made, now=made.made_at).encode(), "the plan of what the rules decide")
    if options["worksheet"]:
        file = Path(options["worksheet"])
        if not options["split_by"]:
            _put(str(file), write(made), "the worksheet")
            return
        for who, findings in sorted(split(made.findings, options["split_by"]).items()):
            part = file.with_name(f"{file.stem}-{_plain(who) or 'nobody'}{file.suffix or '.csv'}")
            _put(str(part), write(replace(made, findings=tuple(findings))), f"the worksheet of {who or 'nobody'}")


def _plain(name: str) -> str:
    return "".join(each if each.isalnum() and each.isascii() else "-" for each in name).strip("-")[:60]


def _put(file: str, content: str, what: str) -> None:
    # It names people and what they may do.
    put(file, content.encode(), mode=0o600)
    say(text(f"{what}: {file}", GOOD), err=True)


def _say_failing(gate: Gate, hit: list[Finding]) -> None:
    notices([f"{gate.written}: {count(len(hit), 'finding')}"], err=True)
    for each in hit[:_SHOWN]:
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
