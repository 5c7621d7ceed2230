"""Tests of `make bench-check`: what it passes, and what it fails because of."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.figures import Figure, Key, SectionResult, Unit, by_key, load, save
from benchmarks.floors import FLOORS, Floor, check
from benchmarks.rounds import Distribution
from benchmarks.sections import SECTIONS
from benchmarks.tables import findings_text

COLD = Key("cold", "RS256", "PyJWT")
LEAST = Floor(COLD, 2.0, "times")
MOST = Floor(COLD, 0.15, "share", most=True)


def figure(median: float, low: float, high: float, unit: Unit = "times", quiet: float | None = None) -> Figure:
    value = Distribution(median, low, high)
    return Figure(what="RS256", against="PyJWT", unit=unit, value=value, quiet=quiet)


@pytest.mark.parametrize(
    ("floor", "measured", "verdict"),
    [
        (LEAST, figure(2.4, 2.1, 2.9), "reached"),
        (LEAST, figure(2.0, 1.1, 2.1), "reached"),
        (LEAST, figure(1.9, 1.7, 2.1), "within spread"),
        (LEAST, figure(1.9, 1.9, 2.0), "within spread"),
        (LEAST, figure(1.9, 1.0, 1.99), "missed"),
        (LEAST, figure(float("nan"), 1.0, 3.0), "missed"),
        (MOST, figure(0.1, 0.05, 0.3, "share"), "reached"),
        (MOST, figure(0.16, 0.14, 0.5, "share"), "within spread"),
        (MOST, figure(0.2, 0.16, 0.21, "share"), "missed"),
        (MOST, figure(float("nan"), 0.0, 0.1, "share"), "missed"),
        (LEAST, None, "not measured"),
    ],
)
def test_a_floor_is_missed_by_more_than_the_spread(floor: Floor, measured: Figure | None, verdict: str) -> None:
    """A median on the wrong side is forgiven only if the better quartile is on the right one."""
    assert verdict == floor.judge(measured)


@pytest.mark.parametrize(
    ("quiet", "verdict"), [(34.0, "reached"), (36.0, "within spread"), (44.0, "missed"), (None, "missed")]
)
def test_a_floor_of_the_quiet_half_reads_the_quiet_half(quiet: float | None, verdict: str) -> None:
    """Its spread is that of all rounds."""
    floor = Floor(COLD, 35.0, "µs", most=True, quiet=True)
    assert verdict == floor.judge(figure(60.0, 52.0, 90.0, "µs", quiet))


def test_a_floor_in_another_unit_is_a_mistake() -> None:
    """A floor for a ratio is not compared with a time."""
    with pytest.raises(ValueError, match="cold / RS256 / PyJWT is in µs, and its floor in times"):
        LEAST.judge(figure(2.0, 2.0, 2.0, "µs"))


def test_only_ratios_fail() -> None:
    """A time that misses its goal is told and not counted; a ratio fails, and so does one that was not measured."""
    times, ratio = Floor(COLD, 35.0, "µs", most=True), Floor(Key("cold", "ES256", "PyJWT"), 1.5, "times")
    results = {"cold": SectionResult((figure(90.0, 80.0, 95.0, "µs"),))}
    first, second = check(results, ["cold"], {floor.key: floor for floor in (times, ratio)})
    assert ("missed", False) == (first.verdict, first.fails)
    assert ("not measured", True) == (second.verdict, second.fails)


@pytest.mark.parametrize(("high", "noisy"), [(2.0, False), (2.5, True), (1.95, False)])
def test_a_wide_spread_is_told(high: float, noisy: bool) -> None:
    """A miss within a spread of a quarter of the median or more is shown as one that cannot be told."""
    (finding,) = check({"cold": SectionResult((figure(1.9, 1.7, high),))}, ["cold"], {COLD: LEAST})
    assert noisy == finding.is_noisy
    assert noisy == ("too noisy to tell" in findings_text([finding]))


def test_other_sections_are_not_judged() -> None:
    """What was not asked for is not missing."""
    floors = {floor.key: floor for floor in (LEAST, Floor(Key("warm", "RS256", "PyJWT"), 50, "times"))}
    assert [LEAST] == [finding.floor for finding in check({}, ["cold"], floors)]


def _made_up(factor: float) -> dict[str, SectionResult]:
    """Figures for all floors, each by this factor better than its floor, with a spread of a tenth."""
    figures: dict[str, list[Figure]] = {}
    for key, floor in FLOORS.items():
        median = floor.limit / factor if floor.most else floor.limit * factor
        value = Distribution(median, median * 0.9, median * 1.1)
        made = Figure(what=key.what, against=key.against, unit=floor.unit, value=value, quiet=median)
        figures.setdefault(key.section, []).append(made)
    return {name: SectionResult(tuple(each)) for name, each in figures.items()}


@pytest.mark.parametrize(("factor", "code"), [(1.2, 0), (1.0, 0), (0.95, 0), (0.8, 1)])
def test_the_command_fails_below_the_floors(
    factor: float, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Better than the floors and within the spread pass; worse fails, and every floor that is not reached is shown."""
    path = tmp_path / "results.json"
    save(path, _made_up(factor))
    only = [word for section in {key.section for key in FLOORS} for word in ("--only", section)]
    assert code == main(["check", "--results", str(path), *only])
    shown = capsys.readouterr().out
    assert (0 if factor >= 1 else len(FLOORS)) == shown.count("; at ")


def test_the_command_fails_if_something_was_not_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A figure that is not there misses its floor."""
    results = _made_up(1.2)
    cold = results["cold"]
    path = tmp_path / "results.json"
    save(path, {**results, "cold": SectionResult(cold.figures[1:])})
    assert 1 == main(["check", "--results", str(path)])
    assert "cold / RS256 / PyJWT: not measured" in capsys.readouterr().out
    assert 0 == main(["check", "--results", str(path), "--only", "warm"])


def test_every_floor_is_of_a_section() -> None:
    """A floor of a section that does not exist would never be judged."""
    assert {key.section for key in FLOORS} <= set(SECTIONS)


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    """Figures keep four digits; samples are only kept where they are asked for."""
    measured = Figure.of_value("memory", "MB", 7.5, ours=1.0, samples=(0.5, 0.25))
    results = {"cold": SectionResult((measured, figure(2.0, 1.5, 2.5, quiet=2.25)), {"python": "3"}, 41, "text")}
    path = tmp_path / "new" / "results.json"
    save(path, results, samples=True)
    assert results == load(path)
    save(path, results)
    assert () == load(path)["cold"].figures[0].samples
    assert {} == load(tmp_path / "nothing.json")


def test_two_figures_with_one_key_are_a_mistake() -> None:
    """One of them would be judged and the other not."""
    same = figure(1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="same key"):
        by_key({"cold": SectionResult((same, same))})
