"""Who would be refused if it were enforced?

Reads the guard's own log lines, `jwt-lp observed {...}`, wherever they stand in a line: alone, behind a prefix, or
inside the string of a JSON log, however often that was escaped.
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
"""Route, cause, and what is missing."""


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
        """Count one event, seen at `at` where the log says when."""
        self.count += 1
        who = (_text(event, "issuer"), _text(event, "subject"))
        if who in self.subjects or who[1] == "":
            pass
        elif len(self.subjects) < _MAX_SUBJECTS:
            self.subjects[who] = None
        else:
            self.more = True
        if at is not None:
            self.first = min(self.first or at, at)
            self.last = max(self.last or at, at)

    @property
    def who(self) -> str:
        """A few subjects by name, and how many more."""
        names = [f"{issuer}/{subject}" if issuer else subject for issuer, subject in self.subjects]
        rest = len(names) - _MAX_SHOWN
        plus = "" if rest <= 0 else f" +{rest}{' or more' if self.more else ''}"
        return f"{', '.join(map(brief, names[:_MAX_SHOWN]))}{plus}" or "no subject: no good token was sent"


@dataclass(slots=True)
class ObserveReport:
    """What a log holds. Memory is bounded, whatever its size."""

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
        names = cast("list[object]", missing) if isinstance(missing, list) else []
        key = (_text(event, "route"), _text(event, "cause"), tuple(map(str, names)))
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
        """Whether the log shows a guard that was observing."""
        return bool(self.observing or self.observed)

    @property
    def safe(self) -> bool:
        """Whether enforcing would refuse nobody that the log knows of."""
        return self.has_evidence and not self.observed and not self.unreadable


@click.command(short_help="Read a log of observe mode: who would be refused?")
@click.argument("logs", metavar="LOGFILE|-...", nargs=-1, required=True, type=click.File("rb"))
@click.option("--json", "as_json", is_flag=True, help="One object on standard output, and nothing else there.")
@click.pass_context
def observed(ctx: click.Context, logs: tuple[IO[bytes], ...], *, as_json: bool) -> None:
    """List by route and reason what OBSERVE_UNTIL let pass and enforcing would refuse.

    Reads the lines "jwt-lp observed {...}" and "jwt-lp observing {...}" of the logger jwt_lp, plain or inside JSON
    logs; pass several files, or "-" for standard input.

    \b
      jwt-lp observed server.log server.log.1
      journalctl -u shop -o cat | jwt-lp observed -

    The exit code is 0 when it is safe to enforce: the log shows a guard that was observing, and nothing that it
    would have refused. It is 1 when there would be refusals or guard lines that cannot be read, and 2 when the log
    says nothing either way.
    """  # noqa: D301 - a real backspace is what click looks for
    found = ObserveReport()
    for log in logs:
        for line in _lines(log):
            found.lines += 1
            if "jwt-lp " in line:
                found.read_line(line)
    if as_json:
        emit(_as_json(found))
    else:
        _print_report(found)
    ctx.exit(0 if found.safe else 1 if found.has_evidence or found.unreadable else 2)


def _lines(log: IO[bytes]) -> Iterator[str]:
    while line := log.readline(_MAX_LINE):
        yield line.decode("utf-8", "replace")


def _events(line: str) -> Iterator[tuple[str, dict[str, object] | None, datetime | None]]:
    """Each guard line in `line`: its kind, its event (None where it cannot be read) and its time."""
    seen = 0
    for mark in _MARK.finditer(line):
        if mark.start() < seen:
            continue
        event, size = _event(line[mark.end() :])
        seen = mark.end() + size
        yield mark[1], event, _time(line[: mark.start()]) or _time(line[seen:])


def _event(said: str) -> tuple[dict[str, object] | None, int]:
    """The JSON object at the start of `said`, and how much of it that took; the string may be escaped."""
    decoder = json.JSONDecoder()
    inner, size = said, 0
    for _ in range(_MAX_NESTING):
        try:
            found, end = decoder.raw_decode(inner)
        except (ValueError, RecursionError):
            pass
        else:
            return (cast("dict[str, object]", found) if isinstance(found, dict) else None), size or end
        try:
            inner, end = decoder.raw_decode(f'"{inner}')
        except ValueError:
            break
        size = size or end - 1
    return None, size


def _text(event: dict[str, object], name: str) -> str:
    value = event.get(name)
    return value if isinstance(value, str) else ""


def _time(said: str) -> datetime | None:
    for found in _TIME.findall(said):
        try:
            at = datetime.fromisoformat(found.replace(",", "."))
        except ValueError:
            continue
        # Without an offset nobody can say; UTC, so that they can be put in order at all.
        return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    epoch = _EPOCH.search(said)
    return datetime.fromtimestamp(float(epoch[1]), UTC) if epoch else None


def _sorted(found: ObserveReport) -> Iterable[tuple[Key, RefusalGroup]]:
    return sorted(found.groups.items(), key=lambda each: (-each[1].count, each[0]))


def _time_text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="seconds").replace("+00:00", "Z")


def _print_report(found: ObserveReport) -> None:
    for (route, cause, missing), group in _sorted(found):
        why = f"{brief(cause)}: lacks {brief(', '.join(missing))}" if missing else brief(cause)
        say(text(f"{group.count} x ", ERROR), text(brief(route) or "(no route)", "bold"))
        rows = [(text("  why"), text(why)), (text("  who"), text(group.who))]
        if group.requirement:
            rows.insert(0, (text("  asks for"), text(brief(group.requirement))))
        if group.first is not None:
            rows.append((text("  when", DIM), text(f"{_time_text(group.first)} to {_time_text(group.last)}", DIM)))
        grid(rows, fixed=1)
    if found.beyond:
        notices([f"{found.beyond} more, of routes or reasons beyond the first {_MAX_GROUPS}"])
    if found.unreadable:
        notices([f"{found.unreadable} guard lines could not be read: cut, or written by another format"])
    say(text(f"{found.lines} lines: {found.observed} would be refused, {found.refused} were refused", DIM))
    say(_verdict(found))


def _verdict(found: ObserveReport) -> Text:
    if found.safe:
        return text("safe to enforce: a guard was observing, and let nothing pass that it would refuse", OK)
    if found.has_evidence or found.unreadable:
        return text("not yet safe to enforce", ERROR)
    return text(
        "this log says nothing: it has no line of a guard that was observing. Is OBSERVE_UNTIL set, is the logger "
        "jwt_lp written here from WARNING up, and is the log there from the start of the process?",
        ERROR,
    )


def _as_json(found: ObserveReport) -> dict[str, object]:
    return {
        "safe": found.safe,
        "observing": found.has_evidence,
        "lines": found.lines,
        "observed": found.observed,
        "refused": found.refused,
        "unreadable": found.unreadable,
        "beyond": found.beyond,
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
            for (route, cause, missing), group in _sorted(found)
        ],
    }
