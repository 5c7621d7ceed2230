"""The command line of the benchmarks.

    python -m benchmarks quick      a table within two minutes
    python -m benchmarks full       what the docs show: figures, page and charts
    python -m benchmarks check      measures, and exits 1 if a ratio misses its floor by more than its spread
    python -m benchmarks long       the reviews and the revocations, which take minutes each
    python -m benchmarks render     page and charts again, from the figures in docs/

`--only SECTION` restricts each of them to some sections, and may be repeated.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from importlib import import_module
from pathlib import Path

from benchmarks import machine
from benchmarks.figures import SectionResult, load, save
from benchmarks.floors import check
from benchmarks.page import RESULTS, render
from benchmarks.scale import FULL, QUICK, SCALES, Scale
from benchmarks.sections import SECTIONS, Section, long
from benchmarks.tables import findings_text, machine_text, section_text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, and return its exit code."""
    given = _parser().parse_args(arguments)
    if given.command == "section":
        save(given.output, {given.name: run_section(SECTIONS[given.name], SCALES[given.scale])}, samples=True)
        return 0
    if given.command == "render":
        render(load(RESULTS))
        return 0
    sections = [section for section in SECTIONS.values() if _is_wanted(section, given.command, given.only)]
    scale = SCALES[given.scale or (QUICK.name if given.command == "quick" else FULL.name)]
    if given.command == "check" and given.results is not None:
        return _show_findings(load(given.results), [section.name for section in sections])
    results = _measure(sections, scale, keep=given.command in {"full", "long"})
    if given.pyperf is not None:
        from benchmarks.pyperf_file import write

        write(given.pyperf, results)
    if given.command == "check":
        return _show_findings(results, list(results))
    return 0


def run_section(section: Section, scale: Scale) -> SectionResult:
    """Run a section in this process. `RuntimeError` without assertions, because those are what calls the libraries."""
    if not __debug__:
        raise RuntimeError("run the benchmarks without -O and without PYTHONOPTIMIZE")
    described = machine.describe()
    if section.name in long.PROGRAMS:
        return SectionResult(machine=described, text=long.run(section.name))
    figures = import_module(f"benchmarks.sections.{section.name}").run(scale)
    return SectionResult(tuple(figures), described, scale.rounds)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks", description="Measures jwt-lp beside other libraries.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("quick", "full", "check", "long", "render"):
        command = commands.add_parser(name)
        command.add_argument("--only", action="append", choices=list(SECTIONS), metavar="SECTION")
        command.add_argument("--scale", choices=list(SCALES), help="how much is measured, instead of what is usual")
        command.add_argument("--pyperf", type=Path, metavar="FILE", help="also write our costs for `pyperf compare_to`")
        if name == "check":
            command.add_argument(
                "--results", type=Path, metavar="FILE", help="judge these figures, and measure nothing"
            )
    section = commands.add_parser("section", help="used by the others: one section, in a process of its own")
    section.add_argument("name", choices=list(SECTIONS))
    section.add_argument("--scale", choices=list(SCALES), required=True)
    section.add_argument("--output", type=Path, required=True)
    return parser


def _is_wanted(section: Section, command: str, only: Collection[str] | None) -> bool:
    if only is not None:
        return section.name in only
    return section.long if command == "long" else not section.long and (section.quick or command != "quick")


def _measure(sections: Sequence[Section], scale: Scale, *, keep: bool) -> dict[str, SectionResult]:
    """Run the sections one after another. Each is printed, and with `keep` shown on the page, as soon as it is known."""
    results: dict[str, SectionResult] = {}
    print(machine_text(SectionResult(machine=machine.describe())))
    with tempfile.TemporaryDirectory() as folder:
        for section in sections:
            output = Path(folder) / f"{section.name}.json"
            command = [sys.executable, "-m", "benchmarks", "section", section.name]
            subprocess.run([*command, "--scale", scale.name, "--output", str(output)], check=True)
            results |= load(output)
            print(section_text(section, results[section.name]), flush=True)
            if keep:
                # Sections that are not run keep the figures of their last run.
                save(RESULTS, load(RESULTS) | {section.name: results[section.name]})
                render(load(RESULTS))
    return results


def _show_findings(results: Mapping[str, SectionResult], sections: Collection[str]) -> int:
    findings = check(results, sections)
    print(findings_text(findings))
    return 1 if any(finding.fails for finding in findings) else 0


if __name__ == "__main__":
    sys.exit(main())
