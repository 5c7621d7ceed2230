"""Results as text: tables for a terminal and for a Markdown page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from benchmarks.figures import Figure, Key, SectionResult
from benchmarks.floors import FLOORS, Finding
from benchmarks.sections import Section

HEADING: Final = ("measured", "compared with", "figure", "quartiles", "quiet half", "ours", "theirs", "floor")

_UNITS: Final = {"times": "times as fast", "share": "of their cost"}
_WITHOUT: Final = {"requests per second", "requests per CPU second"}


def rows(section: str, result: SectionResult) -> list[tuple[str, ...]]:
    """One row of text for each figure, as in `HEADING`."""
    return [_row(section, figure) for figure in result]


def section_text(section: Section, result: SectionResult) -> str:
    """A section for a terminal."""
    if result.text:
        return f"\n{section.title}\n{result.text}"
    table = [HEADING, *rows(section.name, result)]
    widths = [max(len(row[column]) for row in table) for column in range(len(HEADING))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    return "\n".join(("", f"{section.title} ({result.rounds} rounds)", *lines))


def markdown(section: str, result: SectionResult) -> str:
    """A section's table as Markdown, without columns that are empty in every row."""
    table = rows(section, result)
    columns = [column for column in range(len(HEADING)) if any(row[column] for row in table)]
    return "\n".join(
        (
            _markdown_row(HEADING[column] for column in columns),
            _markdown_row("---" for _ in columns),
            *(_markdown_row(row[column] for column in columns) for row in table),
        )
    )


def findings_text(findings: Sequence[Finding]) -> str:
    """What was found about the floors: all that are not reached, and how many are."""
    lines = [_finding(finding) for finding in findings if finding.verdict != "reached"]
    reached = sum(finding.verdict == "reached" for finding in findings)
    failed = sum(finding.fails for finding in findings)
    return "\n".join(("", *lines, f"{reached} of {len(findings)} floors are reached, {failed} ratios miss theirs"))


def machine_text(result: SectionResult) -> str:
    """Where and when a section was measured, in one line."""
    described = dict(result.machine)
    if not described:
        return ""
    day, system, processor = (described.pop(name, "") for name in ("day", "system", "processor"))
    cores, load, python = (described.pop(name, "") for name in ("cores", "load", "python"))
    rounds = f", {result.rounds} rounds" if result.rounds else ""
    libraries = ", ".join(f"{name} {release}" for name, release in described.items() if name != "jwt-lp")
    return (
        f"{day}: {python} on {system}, {processor}, {cores} cores, load {load} before the start{rounds}. {libraries}."
    )


def _row(section: str, figure: Figure) -> tuple[str, ...]:
    floor = FLOORS.get(Key(section, figure.what, figure.against))
    once = figure.value.low == figure.value.high
    return (
        figure.what,
        figure.against,
        _value(figure, figure.value.median) + f" {_unit(figure)}",
        "" if once else f"{_value(figure, figure.value.low)} to {_value(figure, figure.value.high)}",
        "" if figure.quiet is None else _value(figure, figure.quiet),
        _time(figure.ours),
        _time(figure.theirs),
        "" if floor is None else str(floor),
    )


def _unit(figure: Figure) -> str:
    if figure.against in _WITHOUT:
        return "of those without a guard"
    return _UNITS.get(figure.unit, figure.unit)


def _value(figure: Figure, value: float) -> str:
    if figure.unit == "share" or figure.against in _WITHOUT:
        return f"{value:.3f}"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.2f}"  # noqa: PLR2004 - three digits are enough


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds * 1e3:,.1f} ms" if seconds >= 1e-2 else f"{seconds * 1e6:,.1f} µs"  # noqa: PLR2004


def _finding(finding: Finding) -> str:
    floor, figure = finding.floor, finding.figure
    found = (
        "not measured"
        if figure is None
        else f"{_value(figure, figure.value.median)} ({_value(figure, figure.value.low)} to "
        f"{_value(figure, figure.value.high)}) {_UNITS.get(figure.unit, figure.unit)}"
    )
    verdict = finding.verdict if floor.is_checked else f"{finding.verdict}, a time: not counted"
    noisy = ", but too noisy to tell" if finding.is_noisy else ""
    return f"{floor.key}: {found}; {floor}{' in the quiet half' if floor.quiet else ''}: {verdict}{noisy}"


def _markdown_row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
