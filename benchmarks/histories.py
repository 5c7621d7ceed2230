"""Histories of public projects: traces of use from commits, the prior that is fitted on them, and how it judges.

    python -m benchmarks.histories trace GIT_DIRECTORY TRACE.csv
    python -m benchmarks.histories fit TRACE.csv...
    python -m benchmarks.histories judge TRACE.csv...

A trace has a row for each author, directory (two levels deep) and day: who changed which part when. Authors are numbers.
`fit` prints the numbers of jwt_lp/review/analysis/prior.py. `judge` fits a prior without each fifth of the histories and
replays reviews of that fifth. Traces and names of people stay outside the repository.
"""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from math import log
from pathlib import Path
from random import Random
from statistics import fmean, pstdev
from typing import Final, NamedTuple

from jwt_lp.review.analysis.grant_features import FEATURES, IDLE_FEATURES
from jwt_lp.review.analysis.logistic import Posterior, fit, invert, logistic
from jwt_lp.review.analysis.usage_history import UsageHistory

HORIZONS: Final = (90, 180, 365, 730)
_PROGRAM: Final = re.compile(
    r"\[bot\]|bot\b|jenkins|travis|automation|-ci\b|transifex|weblate|zuul|no author|svn", re.IGNORECASE
)
_SWEEPING: Final = 30
"""A commit that changes more parts than this is no use of each."""
_CLOCK_ERRORS: Final = 0.0005
_REVIEWS: Final = 16
_RESTARTS: Final = 6
_CASES: Final = 1800
_STEPS: Final = 5
_NEVER: Final = 10**6
_YEAR: Final = 365


class PastCase(NamedTuple):
    """The values of a past case, and the shortest horizon within which it was needed again, or `_NEVER`.

    `every` is whether every horizon was looked at, and not just a year.
    """

    values: tuple[float, ...]
    needed_in: int
    every: bool


class FittedPrior(NamedTuple):
    """A prior: mean and spread of each feature, the weights (the constant first), their covariance, the horizon's slope."""

    means: list[float]
    spreads: list[float]
    centre: tuple[float, ...]
    covariance: list[list[float]]
    horizon_slope: float


def write_trace(directory: str, file: str) -> None:
    """Write the trace of a git directory."""
    commits = list(_commits(directory))
    persons: dict[str, int] = {}
    rows = set()
    for name, mail, day, parts in commits:
        number = persons.get(mail) or (persons.get(name) if " " in name else None) or len(commits) + len(persons)
        persons[mail] = number
        if " " in name:
            persons.setdefault(name, number)
        rows |= {(number, part, day) for part in parts}
    kept = sorted(rows, key=lambda row: row[2])
    cut = int(len(kept) * _CLOCK_ERRORS)
    kept = kept[cut : len(kept) - cut]
    numbers = {number: index for index, number in enumerate(sorted({row[0] for row in kept}), 1)}
    labels = {part: f"p{index}" for index, part in enumerate(sorted({row[1] for row in kept}))}
    with Path(file).open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["subject", "permission", "day"])
        writer.writerows((f"u{numbers[number]}", labels[part], day) for number, part, day in kept)


def _commits(directory: str) -> Iterator[tuple[str, str, str, set[str]]]:
    command = ["git", "--git-dir", directory, "log", "--reverse", "--no-merges", "--name-only", "--no-renames", "-z"]
    form = ["--format=%x01%aN%x02%aE%x02%ad", "--date=format:%Y-%m-%d"]
    text = subprocess.run([*command, *form], check=True, capture_output=True).stdout.decode("utf-8", "replace")
    for commit in text.split("\x01")[1:]:
        head, _, files = commit.partition("\0")
        name, mail, day = (part.strip().lower() for part in head.split("\x02"))
        parts = {":".join(file.strip("\n").split("/")[:-1][:2]) or "root" for file in files.split("\0") if file.strip()}
        if 0 < len(parts) <= _SWEEPING and not _PROGRAM.search(name) and not _PROGRAM.search(mail):
            yield name, mail, day, parts


def load_trace(file: str) -> list[tuple[str, str, str, int]]:
    """The rows of a trace as `UsageHistory` takes them."""
    with Path(file).open(newline="") as rows:
        return [
            ("", row["subject"], row["permission"], date.fromisoformat(row["day"]).toordinal())
            for row in csv.DictReader(rows)
        ]


def past_cases(rows: Sequence[tuple[str, str, str, int]], seed: int) -> list[PastCase]:
    """Cases of a history: of reviews all over it, and of the first year and a half of records that begin later."""
    chance = Random(seed)
    history = UsageHistory(rows)
    latest = history.last - 365
    days = [chance.randint(history.first + 30, latest) for _ in range(_REVIEWS)]
    cases = _sample(_cases(history, days), _CASES, chance)
    for _ in range(_RESTARTS):
        first = chance.randint(history.first, max(history.first, latest - 180))
        part = UsageHistory(row for row in rows if first <= row[3] <= first + 1300)
        young = [part.first + age for age in (30, 60, 90, 150, 210, 270, 365, 540) if part.first + age <= latest]
        cases += _sample(_cases(part, young), _CASES // _RESTARTS, chance)
    return cases


def _sample(cases: list[PastCase], number: int, chance: Random) -> list[PastCase]:
    return chance.sample(cases, min(number, len(cases)))


def _cases(history: UsageHistory, days: Iterable[int]) -> list[PastCase]:
    """Cases of some days. Only the first day is replayed for every horizon, which the slope is measured by."""
    found = []
    for number, day in enumerate(days):
        horizons = HORIZONS if number == 0 else (365,)
        for group in zip(*(history.replay_day(day, horizon) for horizon in horizons), strict=True):
            needed = next((horizon for horizon, case in zip(horizons, group, strict=True) if case.needed), _NEVER)
            found.append(PastCase(group[0].pair.values(), needed, len(horizons) > 1))
    return found


def fit_prior(histories: Sequence[Sequence[PastCase]]) -> FittedPrior:
    """The pooled weights, and how far the weights of single histories lie from them (expectation maximisation)."""
    cases = [case for history in histories for case in history]
    columns = list(zip(*(case.values for case in cases), strict=True))
    means, spreads = [fmean(column) for column in columns], [pstdev(column) or 1.0 for column in columns]
    scaled = [[_scale(case.values, means, spreads) for case in history] for history in histories]
    labels = [[float(case.needed_in <= _YEAR) for case in history] for history in histories]
    size = len(means) + 1
    flat, all_labels = [row for rows in scaled for row in rows], [label for each in labels for label in each]
    loose = [[float(i == j) for j in range(size)] for i in range(size)]
    pooled = _fit_pooled(flat, all_labels, loose, spreads)
    covariance = [[0.25 * value for value in row] for row in loose]
    for _ in range(_STEPS):
        precision = invert(covariance)
        found = [
            fit(rows, needed, weight=0.3, centre=pooled.weights, precision=precision)
            for rows, needed in zip(scaled, labels, strict=True)
        ]
        covariance = _spread_of(found, pooled.weights)
    return FittedPrior(means, spreads, pooled.weights, covariance, _slope(cases, pooled, means, spreads))


def _fit_pooled(
    rows: list[list[float]], labels: list[float], precision: list[list[float]], spreads: Sequence[float]
) -> Posterior:
    """The weights of all histories; a feature by which idle grants would be needed more is left out."""
    centre = [0.0] * len(precision)
    fixed: set[int] = set()
    while True:
        found = fit(rows, labels, weight=1.0, centre=centre, precision=precision, fixed=fixed)
        raw = {name: found.weights[i + 1] / spreads[i] for i, name in enumerate(FEATURES)}
        both = raw["idle"] + raw["holder_idle"]
        risen = {
            "idle": raw["idle"] > 0,
            "holder_idle": both > 0,
            "holder_pause": both + raw["holder_pause"] > 0,
            "quiet": raw["quiet"] > 0,
        }
        wrong = {FEATURES.index(name) + 1 for name in IDLE_FEATURES if risen[name]} - fixed
        if not wrong:
            return found
        fixed.add(min(wrong))


def _spread_of(found: Sequence[Posterior], centre: Sequence[float]) -> list[list[float]]:
    size = len(centre)
    inverses = [invert(each.precision) for each in found]
    return [
        [
            fmean(
                (each.weights[i] - centre[i]) * (each.weights[j] - centre[j]) + inverse[i][j]
                for each, inverse in zip(found, inverses, strict=True)
            )
            for j in range(size)
        ]
        for i in range(size)
    ]


def _slope(cases: Sequence[PastCase], pooled: Posterior, means: Sequence[float], spreads: Sequence[float]) -> float:
    """By how much the log-odds grow with the logarithm of the horizon, by least log loss on a grid."""
    sample = [case for case in cases if case.every]
    sample = sample[:: max(1, len(sample) // 8000)]
    odds = [
        sum(a * b for a, b in zip(pooled.weights, _scale(case.values, means, spreads), strict=True)) for case in sample
    ]
    return min(
        (step / 20 for step in range(41)),
        key=lambda slope: sum(
            _loss(odd + slope * log(horizon / 365), case.needed_in <= horizon)
            for horizon in HORIZONS
            for odd, case in zip(odds, sample, strict=True)
        ),
    )


def _loss(odds: float, needed: bool) -> float:  # noqa: FBT001 - an outcome
    chance = min(max(logistic(odds), 1e-9), 1 - 1e-9)
    return -log(chance if needed else 1 - chance)


def _scale(values: Sequence[float], means: Sequence[float], spreads: Sequence[float]) -> list[float]:
    return [1.0, *((value - mean) / spread for value, mean, spread in zip(values, means, spreads, strict=True))]


def _print_prior(prior: FittedPrior) -> None:
    for name in ("means", "spreads", "centre"):
        print(f"{name.upper()}: Final = ({', '.join(f'{value:.4f}' for value in getattr(prior, name))})")
    print(f"HORIZON_SLOPE: Final = {prior.horizon_slope:.2f}")
    print("_LOWER: Final = (")
    for index, row in enumerate(prior.covariance):
        print(f"    ({', '.join(f'{value:.5f}' for value in row[: index + 1])},),".replace(",,", ","))
    print(")")


if __name__ == "__main__":
    task, *files = sys.argv[1:]
    if task == "trace":
        write_trace(*files)
    elif task == "fit":
        _print_prior(fit_prior([past_cases(load_trace(file), number) for number, file in enumerate(files)]))
