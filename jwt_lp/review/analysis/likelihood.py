"""How likely is it that a grant is needed again?

A logistic regression, fitted on the store's own past. What it looks at are sums that any store can give of millions
of rows, so that a case of the past and one of today are the same thing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp, log1p, sqrt
from typing import Final, NamedTuple

from jwt_lp.review.findings import Coefficient

MIN_CASES: Final = 300
"""Cases of the past without which there is no likelihood."""
MIN_CASES_PER_CLASS: Final = 20
"""How many of them have to be needed again, and how many not."""

_PENALTY: Final = 1.0
_MAX_ITERATIONS: Final = 25
_TOLERANCE: Final = 1e-7
_MAX_CASES: Final = 12_000
_MAX_DAYS: Final = 3650
_FEATURES: Final = ("idle", "days", "pace", "span", "elsewhere", "breadth", "others")
_IDLE_FEATURES: Final = (0, 2)
_MAX_REASONS: Final = 3


class GrantFeatures(NamedTuple):
    """What is known of one holder's one grant on the day of a review. Numbers of days, but for the last two.

    `days` of use lay within `span`, the first one `age` ago, the last one `idle` ago. The holder last used something
    else `elsewhere_idle` ago (None for never), and `elsewhere_recent` other grants within a year. `others` is the share
    of the other holders that were active within a year who used this grant in it.
    """

    idle: int
    days: int
    span: int
    age: int
    elsewhere_idle: int | None
    elsewhere_recent: int
    others: float


@dataclass(frozen=True, slots=True)
class LikelihoodModel:
    """Coefficients, and the mean and spread of what each is about. `fitted_on` cases of the past."""

    coefficients: tuple[Coefficient, ...]
    constant: float
    fitted_on: int

    @classmethod
    def fit(cls, cases: Iterable[tuple[GrantFeatures, bool]]) -> LikelihoodModel | None:
        """Fit to cases of the past, each with whether it was needed again; None where they are too few to tell.

        Of very many, evenly spread ones are taken. The same cases give the same model.
        """
        known = _thin_out(cases)
        needed = sum(label for _, label in known)
        if len(known) < MIN_CASES or min(needed, len(known) - needed) < MIN_CASES_PER_CLASS:
            return None
        rows = [_features(pair) for pair, _ in known]
        labels = [float(label) for _, label in known]
        means = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
        spreads = [
            sqrt(sum((value - mean) ** 2 for value in column) / len(rows)) or 1.0
            for column, mean in zip(zip(*rows, strict=True), means, strict=True)
        ]
        scaled = [
            [1.0, *((value - mean) / spread for value, mean, spread in zip(row, means, spreads, strict=True))]
            for row in rows
        ]
        weights = _fit_weights(scaled, labels, set())
        # INVARIANT: more idle never makes need likelier. Where the past seems to say so, it says nothing of idleness.
        for left_out in ({_IDLE_FEATURES[1] + 1}, {each + 1 for each in _IDLE_FEATURES}):
            if _decreases_with_idleness(weights, spreads):
                break
            weights = _fit_weights(scaled, labels, left_out)
        reasons = zip(_FEATURES, weights[1:], means, spreads, strict=True)
        return cls(tuple(Coefficient(*each) for each in reasons), weights[0], len(known))

    def likelihood(self, pair: GrantFeatures) -> float:
        """Between 0 and 1: how likely it is needed within the horizon that the model was fitted for."""
        return _logistic(self.constant + sum(self._parts(pair)))

    def because(self, pair: GrantFeatures) -> tuple[str, ...]:
        """What weighs most, heaviest first, in words."""
        parts = list(self._parts(pair))
        order = sorted(range(len(parts)), key=lambda index: -abs(parts[index]))
        said = dict.fromkeys(_describe_feature(_FEATURES[index], pair) for index in order if parts[index])
        return tuple(said)[:_MAX_REASONS]

    def _parts(self, pair: GrantFeatures) -> Iterable[float]:
        return (
            each.weight * (value - each.mean) / each.spread
            for each, value in zip(self.coefficients, _features(pair), strict=True)
        )


def _thin_out(cases: Iterable[tuple[GrantFeatures, bool]]) -> list[tuple[GrantFeatures, bool]]:
    """Every case, or every second, fourth and so on: evenly spread ones, of which there are not too many."""
    known: list[tuple[GrantFeatures, bool]] = []
    step = 1
    for number, case in enumerate(cases):
        if number % step:
            continue
        known.append(case)
        if len(known) > _MAX_CASES:
            del known[1::2]
            step *= 2
    return known


def _features(pair: GrantFeatures) -> tuple[float, ...]:
    # Of what was used once, the pace is a year: longer than most, and no promise.
    pace = pair.span / (pair.days - 1) if pair.days > 1 else 364.0
    elsewhere = pair.age + 365 if pair.elsewhere_idle is None else pair.elsewhere_idle
    return (
        log1p(pair.idle),
        log1p(pair.days),
        log1p(pair.idle / (pace + 1)),
        log1p(pair.span),
        log1p(min(elsewhere, _MAX_DAYS)),
        log1p(pair.elsewhere_recent),
        sqrt(max(pair.others, 0.0)),
    )


def _describe_feature(feature: str, pair: GrantFeatures) -> str:
    if feature == "idle":
        return f"idle for {_days(pair.idle)}"
    if feature in ("days", "span"):
        return f"used on {_days(pair.days)} within {_days(pair.span + 1)}"
    if feature == "pace":
        if pair.days == 1:
            return "used once"
        return f"idle for {pair.idle / (pair.span / (pair.days - 1) + 1):.1f} times its usual pause"
    if feature == "elsewhere":
        if pair.elsewhere_idle is None:
            return "the holder never used anything else"
        return f"the holder last used something else {_days(pair.elsewhere_idle)} ago"
    if feature == "breadth":
        return f"the holder used {pair.elsewhere_recent} other grants within a year"
    return f"{pair.others:.0%} of the other active holders used it within a year"


def _days(number: int) -> str:
    return f"{number} day{'' if number == 1 else 's'}"


def _decreases_with_idleness(weights: Sequence[float], spreads: Sequence[float]) -> bool:
    """Whether the likelihood falls, or stays, as idleness grows, at whatever pace."""
    plain, paced = (weights[index + 1] / spreads[index] for index in _IDLE_FEATURES)
    # d/d idle of log1p(idle) is the greater of the two, d/d idle of log1p(idle / pace) anything between it and 0.
    return plain <= 0 and plain + paced <= 0


def _logistic(value: float) -> float:
    return 1 / (1 + exp(-value)) if value >= 0 else exp(value) / (1 + exp(value))


def _fit_weights(rows: Sequence[Sequence[float]], labels: Sequence[float], left_out: set[int]) -> list[float]:
    """Weights of a penalised logistic regression, by Newton's method; 0 for what is left out."""
    size = len(rows[0])
    weights = [0.0] * size
    used = [index for index in range(size) if index not in left_out]
    for _ in range(_MAX_ITERATIONS):
        slope = [0.0] * size
        bend = [[0.0] * size for _ in range(size)]
        for row, label in zip(rows, labels, strict=True):
            chance = _logistic(sum(map(float.__mul__, weights, row)))
            error, weight = label - chance, chance * (1 - chance)
            for i in used:
                part = row[i]
                slope[i] += error * part
                part *= weight
                line = bend[i]
                for j in range(i + 1):
                    line[j] += part * row[j]
        for i in used[1:]:
            slope[i] -= _PENALTY * weights[i]
            bend[i][i] += _PENALTY
        bend[0][0] += _TOLERANCE
        step = _solve_cholesky([[bend[max(i, j)][min(i, j)] for j in used] for i in used], [slope[i] for i in used])
        for index, change in zip(used, step, strict=True):
            weights[index] += change
        if max(map(abs, step)) < _TOLERANCE:
            break
    return weights


def _solve_cholesky(matrix: list[list[float]], wanted: list[float]) -> list[float]:
    """The solution of a positive definite system of equations, by Cholesky's method."""
    size = len(wanted)
    lower = [[0.0] * size for _ in range(size)]
    for i in range(size):
        for j in range(i + 1):
            rest = matrix[i][j] - sum(lower[i][k] * lower[j][k] for k in range(j))
            lower[i][j] = sqrt(rest) if i == j else rest / lower[j][j]
    forth = [0.0] * size
    for i in range(size):
        forth[i] = (wanted[i] - sum(lower[i][k] * forth[k] for k in range(i))) / lower[i][i]
    back = [0.0] * size
    for i in reversed(range(size)):
        back[i] = (forth[i] - sum(lower[k][i] * back[k] for k in range(i + 1, size))) / lower[i][i]
    return back
