"""The command `jwt-lp observed`: a report of the refusals that observe mode only logged.

The guard's log lines, `jwt-lp observed {...}`, are found anywhere in a line: alone, after a prefix, or inside a string
of a JSON log, even if it was escaped several times.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Final, TypeAlias, cast

import click

from jwt_lp.cli.output import DIM, ERROR, OK, brief, emit, grid, notices, say, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.text import Text

_MAX_LINE: Final = 1024 * 1024
_MAX_GROUPS: Final = 10_000
_MAX_SUBJECTS: Final = 1_000
_MAX_SHOWN: Final = 3
_MAX_NESTING: Final = 4

_MARK: Final = re.compile(r"jwt-lp (observed|observing|refused) (?=\{)")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,6})?\d*(?:Z|[+-]\d\d:?\d\d)?")
_EPOCH: Final = re.compile(r'"(?:ts|time|timestamp|created|epoch)\\*": ?"?(\d{10}(?:\.\d+)?)\b')


Key: TypeAlias = tuple[str, str, tuple[str, ...]]
"""Route, cause, and the missing permissions."""


@dataclass(slots=True)
class RefusalGroup:
    """The would-be refusals of one route for one reason."""

    requirement: str
    count: int = 0
    subjects: dict[tuple[str, str], None] = field(default_factory=dict[tuple[str, str], None])
    more: bool = False
    first: datetime | None = None
    last: datetime | None = None

    def add(self, event: dict[str, object], at: datetime | None) -> None:
        """Count one event; `at` is None if the log has no time for it."""
        self.count += 1
        holder = (_text(event, "issuer"), _text(event, "subject"))
        if holder in self.subjects or holder[1] == "":
            pass
        elif len(self.subjects) < _MAX_SUBJECTS:
            self.subjects[holder] = None
        else:
            self.more = True
        if at is not None:
            self.first = min(self.first or at, at)
            self.last = max(self.last or at, at)

    @property
    def who(self) -> str:
        """The first subjects by name, and how many more there are."""
        names = [f"{issuer}/{subject}" if issuer else subject for issuer, subject in self.subjects]
        rest = len(names) - _MAX_SHOWN
        plus = "" if rest <= 0 else f" +{rest}{' or more' if self.more else ''}"
        return f"{', '.join(map(brief, names[:_MAX_SHOWN]))}{plus}" or "no subject: no valid token was sent"


@dataclass(slots=True)
class ObserveReport:
    """The counts and groups of a log. Memory is bounded, whatever the size of the log."""

    groups: dict[Key, RefusalGroup] = field(default_factory=dict[Key, RefusalGroup])
    lines: int = 0
    observing: int = 0
    observed: int = 0
    refused: int = 0
    unreadable: int = 0
    beyond: int = 0

    def read_line(self, line: str) -> None:
        """Read one line."""
        for kind, event, at in _events(line):
            if kind == "refused":
                self.refused += 1
            elif event is None:
                self.unreadable += 1
            elif kind == "observing":
                self.observing += 1
            else:
                self._observed(event, at)

    def _observed(self, event: dict[str, object], at: datetime | None) -> None:
        missing = event.get("missing")
        permissions = cast("list[object]", missing) if isinstance(missing, list) else []
        key = (_text(event, "route"), _text(event, "cause"), tuple(map(str, permissions)))
        self.observed += 1
        group = self.groups.get(key)
        if group is None and len(self.groups) >= _MAX_GROUPS:
            self.beyond += 1
            return
        if group is None:
            group = self.groups[key] = RefusalGroup(_text(event, "requirement"))
        group.add(event, at)

    @property
    def has_evidence(self) -> bool:
        """Whether the log has a line of a guard in observe mode."""
        return bool(self.observing or self.observed)

    @property
    def safe(self) -> bool:
        """Whether enforcement would have refused none of the logged requests."""
        return self.has_evidence and not self.observed and not self.unreadable


@click.command(short_help="Read logs of observe mode, and show what enforcement would refuse.")
@click.argument("logs", metavar="LOGFILE|-...", nargs=-1, required=True, type=click.File("rb"))
@click.option("--json", "as_json", is_flag=True, help="One object on standard output, and nothing else there.")
@click.pass_context
def observed(ctx: click.Context, logs: tuple[IO[bytes], ...], *, as_json: bool) -> None:
    """List by route and reason the requests that passed because of OBSERVE_UNTIL and that enforcement would refuse.

    It reads the lines "jwt-lp observed {...}" and "jwt-lp observing {...}" of the logger jwt_lp, plain or inside JSON
    logs. Pass one file or several, or "-" for standard input.

    \b
      jwt-lp observed server.log server.log.1
      journalctl -u shop -o cat | jwt-lp observed -

    The exit code is 0 if it is safe to enforce: the log has lines of a guard in observe mode, and no request that it
    would have refused. It is 1 if there would be refusals, or if guard lines cannot be read. It is 2 if the log has no
    line of a guard in observe mode.
    """  # noqa: D301 - a real backspace is what click looks for
    report = ObserveReport()
    for log in logs:
        for line in _lines(log):
            report.lines += 1
            if "jwt-lp " in line:
                report.read_line(line)
    if as_json:
        emit(_as_json(report))
    else:
        _print_report(report)
    ctx.exit(0 if report.safe else 1 if report.has_evidence or report.unreadable else 2)


def _lines(log: IO[bytes]) -> Iterator[str]:
    while line := log.readline(_MAX_LINE):
        yield line.decode("utf-8", "replace")


def _events(line: str) -> Iterator[tuple[str, dict[str, object] | None, datetime | None]]:
    """Each guard line in `line`: its kind, its event (None if it cannot be read) and its time."""
    end = 0
    for match in _MARK.finditer(line):
        if match.start() < end:
            continue
        event, size = _event(line[match.end() :])
        end = match.end() + size
        yield match[1], event, _time(line[: match.start()]) or _time(line[end:])


def _event(text: str) -> tuple[dict[str, object] | None, int]:
    """The JSON object at the start of `text`, which may be escaped, and its length in characters."""
    decoder = json.JSONDecoder()
    inner, size = text, 0
    for _ in range(_MAX_NESTING):
        try:
            value, end = decoder.raw_decode(inner)
        except (ValueError, RecursionError):
            pass
        else:
            return (cast("dict[str, object]", value) if isinstance(value, dict) else None), size or end
        try:
            inner, end = decoder.raw_decode(f'"{inner}')
        except ValueError:
            break
        size = size or end - 1
    return None, size


def _text(event: dict[str, object], name: str) -> str:
    value = event.get(name)
    return value if isinstance(value, str) else ""


def _time(text: str) -> datetime | None:
    for match in _TIME.findall(text):
        try:
            at = datetime.fromisoformat(match.replace(",", "."))
        except ValueError:
            continue
        # A time without an offset counts as UTC, so that times can be compared.
        return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    epoch = _EPOCH.search(text)
    return datetime.fromtimestamp(float(epoch[1]), UTC) if epoch else None


def _sorted(report: ObserveReport) -> Iterable[tuple[Key, RefusalGroup]]:
    return sorted(report.groups.items(), key=lambda item: (-item[1].count, item[0]))


def _time_text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="seconds").replace("+00:00", "Z")


def _print_report(report: ObserveReport) -> None:
    for (route, cause, missing), group in _sorted(report):
        why = f"{brief(cause)}: lacks {brief(', '.join(missing))}" if missing else brief(cause)
        say(text(f"{group.count} x ", ERROR), text(brief(route) or "(no route)", "bold"))
        rows = [(text("  why"), text(why)), (text("  who"), text(group.who))]
        if group.requirement:
            rows.insert(0, (text("  requires"), text(brief(group.requirement))))
        if group.first is not None:
            rows.append((text("  when", DIM), text(f"{_time_text(group.first)} to {_time_text(group.last)}", DIM)))
        grid(rows, fixed=1)
    if report.beyond:
        notices([f"{report.beyond} more in groups beyond the first {_MAX_GROUPS}"])
    if report.unreadable:
        notices([f"{report.unreadable} guard lines could not be read: they are cut off, or have another format"])
    say(text(f"{report.lines} lines: {report.observed} would be refused, {report.refused} were refused", DIM))
    say(_verdict(report))


def _verdict(report: ObserveReport) -> Text:
    if report.safe:
        return text("safe to enforce: a guard was in observe mode, and would have refused nothing", OK)
    if report.has_evidence or report.unreadable:
        return text("not yet safe to enforce", ERROR)
    return text(
        "no evidence: the log has no line of a guard in observe mode. Check that OBSERVE_UNTIL is set, that this log "
        "has the logger jwt_lp from WARNING up, and that it begins at the start of the process",
        ERROR,
    )


def _as_json(report: ObserveReport) -> dict[str, object]:
    return {
        "safe": report.safe,
        "observing": report.has_evidence,
        "lines": report.lines,
        "observed": report.observed,
        "refused": report.refused,
        "unreadable": report.unreadable,
        "beyond": report.beyond,
        "groups": [
            {
                "route": route,
                "cause": cause,
                "missing": list(missing),
                "requirement": group.requirement or None,
                "count": group.count,
                "subjects": [
                    {"issuer": issuer, "subject": subject} for issuer, subject in list(group.subjects)[:_MAX_SHOWN]
                ],
                "distinct_subjects": len(group.subjects),
                "more_subjects": group.more,
                "first": _time_text(group.first),
                "last": _time_text(group.last),
            }
            for (route, cause, missing), group in _sorted(report)
        ],
    }
