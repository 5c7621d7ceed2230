"""The commands `jwt-lp usage export` and `jwt-lp usage show`."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import click

from jwt_lp.cli.output import DIM, brief, count, moment, notices, say, text
from jwt_lp.cli.param_types import DayParam
from jwt_lp.cli.row_input import subject_naming
from jwt_lp.cli.store import StoreOptions, format_option, print_json_list, print_line, store_options
from jwt_lp.stores import Use
from jwt_lp.usage.row_reader import write_csv

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import TypeVar

    from jwt_lp.stores import RecordingPeriod, Store, UsageRow

    _C = TypeVar("_C", bound=Callable[..., object])

_FILTERS: Final = ("issuer", "subject", "client", "permission", "service", "since", "until")
_COLUMNS: Final = (*Use._fields, "count", "last")


def _filters(command: _C) -> _C:
    for option in (
        click.option("--until", type=DayParam(), metavar="DAY", help="Up to and including this day."),
        click.option("--since", type=DayParam(), metavar="DAY", help="From this day on."),
        click.option("--service", metavar="NAME", help="Only in this service."),
        click.option(
            "--permission", metavar="NAME", help="Only this permission; a template is written as in its declaration."
        ),
        click.option("--client", metavar="NAME", help="Only with this client."),
        click.option("--subject", metavar="NAME", help="Only by this subject."),
        click.option("--issuer", metavar="ISS", help="Only this issuer."),
    ):
        command = option(command)
    return store_options(command)


@dataclass(slots=True)
class UsageLine:
    """The usage of one permission by one subject through one grant."""

    key: tuple[str, ...]
    outcomes: dict[str, int]
    first: str
    last: str
    at: float

    def add(self, row: UsageRow) -> None:
        """Count one row."""
        use = row.use
        self.outcomes[use.outcome] = self.outcomes.get(use.outcome, 0) + row.count
        self.first, self.last = min(self.first, use.day), max(self.last, use.day)
        self.at = max(self.at, row.last)


@click.command(short_help="Export recorded usage as CSV or JSON Lines.")
@click.option(
    "--format", "form", type=click.Choice(["csv", "jsonl"]), default="csv", show_default=True, help="The output format."
)
@_filters
@click.pass_context
def export(ctx: click.Context, /, form: str, **options: Any) -> None:
    """Write every row of usage to standard output, in the form that jwt-lp usage import reads.

    \b
      jwt-lp usage export --since 2026-01-01 > used.csv
    """  # noqa: D301 - a real backspace is what click looks for
    with _UsageQuery(ctx, options) as (store, wanted):
        if form == "jsonl":
            for row in store.usage(**wanted):
                click.echo(json.dumps({**row.use._asdict(), "count": row.count, "last": moment(row.last)}))
            return
        write_csv(sys.stdout, _COLUMNS, ((*row.use, row.count, moment(row.last)) for row in store.usage(**wanted)))


@click.command(short_help="Show who used what, when last and how often.")
@_filters
@format_option
@click.pass_context
def show(ctx: click.Context, /, form: str, **options: Any) -> None:
    """Show who used which permission through which grant, from which day to which, and how often.

    Refused requests are counted too. The last lines show the recorded period and how many uses were lost: a permission
    that is not listed was not used in that period and in those services, but may have been used elsewhere.

    \b
      jwt-lp usage show --subject alice --since 2026-01-01
    """  # noqa: D301 - a real backspace is what click looks for
    with _UsageQuery(ctx, options) as (store, wanted):
        lines = _usage_lines(store.usage(**wanted))
        if form == "json":
            print_json_list(json.dumps(_as_json(line)) for line in lines)
            return
        for line in lines:
            _print_line(line)
        _print_coverage(list(store.recording_periods()), wanted["service"])


def _usage_lines(usage: Iterable[UsageRow]) -> Iterator[UsageLine]:
    """A line for each subject, permission and grant. Only one subject is in memory, because the store sorts by it."""
    for _, rows in groupby(usage, key=lambda row: row.use[1:3]):
        lines: dict[tuple[str, ...], UsageLine] = {}
        for row in rows:
            use = row.use
            key = (use.issuer, use.subject, use.permission, use.grant, use.role, use.service, use.client)
            lines.setdefault(key, UsageLine(key, {}, use.day, use.day, row.last)).add(row)
        yield from (lines[key] for key in sorted(lines))


def _print_line(line: UsageLine) -> None:
    issuer, subject, permission, grant, role, service, client = map(brief, line.key)
    times = ", ".join(f"{number} x {outcome}" for outcome, number in sorted(line.outcomes.items()))
    through = f" through {grant}" if grant and grant != permission else ""
    by_role = f" of the role {role}" if role else ""
    days = line.first if line.first == line.last else f"{line.first} to {line.last}"
    where = "".join((f" in {service}" if service else "", f" with {client}" if client else ""))
    of_issuer = f" ({issuer})" if issuer else ""
    print_line(f"{subject or '(no subject)'}  {permission}{through}{by_role}: {times}, {days}{where}{of_issuer}")


def _print_coverage(periods: list[RecordingPeriod], service: str | None) -> None:
    """Print the recorded and imported periods, and how many uses were lost."""
    periods = [period for period in periods if service is None or period.service == service]
    if not periods:
        notices(["no history yet: nothing was recorded or imported, so an empty list proves nothing"])
        return
    for source, verb in (("recorder", "recorded"), ("import", "imported")):
        matching = [period for period in periods if period.source == source]
        if matching:
            first, last = min(period.started for period in matching), max(period.until for period in matching)
            number, dropped = sum(period.recorded for period in matching), sum(period.dropped for period in matching)
            parts = count(len(matching), "run" if source == "recorder" else "file")
            lost = f", {dropped} lost" if dropped else ""
            say(text(f"{verb} from {_day(first)} to {_day(last)} by {parts}: {count(number, 'use')}{lost}", DIM))


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()


def _as_json(line: UsageLine) -> dict[str, object]:
    names = ("issuer", "subject", "permission", "grant", "role", "service", "client")
    members: dict[str, object] = dict(zip(names, line.key, strict=True))
    return {
        **members,
        "outcomes": line.outcomes,
        "first_day": line.first,
        "last_day": line.last,
        "last": moment(line.at),
    }


class _UsageQuery:
    """A context manager that opens the store, and gives it with the filters of the command line."""

    def __init__(self, ctx: click.Context, options: Mapping[str, Any]) -> None:
        place = StoreOptions(options["url"], options["target"], options["where"])
        settings = place.settings(ctx)
        self._opened = place.open(settings)
        self._wanted: dict[str, str | None] = {name: options[name] for name in _FILTERS}
        issuers = [configured.issuer for configured in settings.issuers] if settings is not None else []
        issuer, subject = self._wanted["issuer"], self._wanted["subject"]
        if subject is not None and (issuer is not None or len(issuers) == 1):
            # The filter has the plain name, but the store may have a pseudonym (SUBJECTS).
            self._wanted["subject"] = subject_naming(settings)(issuer or issuers[0], subject)

    def __enter__(self) -> tuple[Store, Any]:
        return self._opened.__enter__(), self._wanted

    def __exit__(self, *error: object) -> None:
        self._opened.__exit__(*error)  # type: ignore[arg-type]
