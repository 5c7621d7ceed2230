"""Likelihood that a grant is needed again: a logistic regression, fitted on the store's own past.

Its features are totals that a store can compute from millions of rows, the same for a past case and for today's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp, log1p, sqrt
from typing import Final, NamedTuple

from jwt_lp.review.findings import Coefficient

MIN_CASES: Final = 300
"""The fewest past cases for which a model is fitted."""
MIN_CASES_PER_CLASS: Final = 20
"""The fewest cases that must have been needed again, and the fewest that must not."""

_PENALTY: Final = 1.0
_MAX_ITERATIONS: Final = 25
_TOLERANCE: Final = 1e-7
_MAX_CASES: Final = 12_000
_MAX_DAYS: Final = 3650
_FEATURES: Final = ("idle", "days", "pace", "span", "elsewhere", "breadth", "others")
_IDLE_FEATURES: Final = (0, 2)


class GrantFeatures(NamedTuple):
    """Features of one grant of one holder on the day of a review. Numbers of days, except the last two.

    `days` of use lay within `span`, the first `age` days ago, the last `idle` days ago. The holder last used another
    grant `elsewhere_idle` days ago (None for never), and used `elsewhere_recent` other grants within a year. `others`
    is the share of the other holders active within a year who used this grant in that year.
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
    """The coefficients, each with the mean and spread of its feature, fitted on `fitted_on` past cases."""

    coefficients: tuple[Coefficient, ...]
    constant: float
    fitted_on: int

    @classmethod
    def fit(cls, cases: Iterable[tuple[GrantFeatures, bool]]) -> LikelihoodModel | None:
        """Fit a model to past cases, each with whether it was needed again; None where there are too few cases.

        Of very many cases, an evenly spread sample is used. The same cases give the same model.
        """
        sample = _thin_out(cases)
        needed = sum(label for _, label in sample)
        if len(sample) < MIN_CASES or min(needed, len(sample) - needed) < MIN_CASES_PER_CLASS:
            return None
        rows = [_features(pair) for pair, _ in sample]
        labels = [float(label) for _, label in sample]
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
        # INVARIANT: more idle days never raise the likelihood. Where the fit would, the idle features are left out.
        for left_out in ({_IDLE_FEATURES[1] + 1}, {index + 1 for index in _IDLE_FEATURES}):
            if _decreases_with_idleness(weights, spreads):
                break
            weights = _fit_weights(scaled, labels, left_out)
        coefficients = map(Coefficient, _FEATURES, weights[1:], means, spreads)
        return cls(tuple(coefficients), weights[0], len(sample))

    def likelihood(self, pair: GrantFeatures) -> float:
        """The likelihood of need within the horizon of the training cases, between 0 and 1."""
        return _logistic(self.constant + sum(self._parts(pair)))

    def contributions(self, pair: GrantFeatures) -> tuple[tuple[str, float], ...]:
        """The effect of each feature on the logarithm of the odds of need, compared with the average case."""
        return tuple(zip(_FEATURES, self._parts(pair), strict=True))

    def _parts(self, pair: GrantFeatures) -> Iterable[float]:
        return (
            coefficient.weight * (value - coefficient.mean) / coefficient.spread
            for coefficient, value in zip(self.coefficients, _features(pair), strict=True)
        )


def _thin_out(cases: Iterable[tuple[GrantFeatures, bool]]) -> list[tuple[GrantFeatures, bool]]:
    """Every case, or every second, fourth and so on, so that at most `_MAX_CASES` remain, evenly spread."""
    sample: list[tuple[GrantFeatures, bool]] = []
    step = 1
    for number, case in enumerate(cases):
        if number % step:
            continue
        sample.append(case)
        if len(sample) > _MAX_CASES:
            del sample[1::2]
            step *= 2
    return sample


def _features(pair: GrantFeatures) -> tuple[float, ...]:
    # One day of use has no pace; a year is assumed, which is longer than most.
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


def _decreases_with_idleness(weights: Sequence[float], spreads: Sequence[float]) -> bool:
    """Whether the likelihood falls, or stays, as idle days increase, at any pace."""
    plain, paced = (weights[index + 1] / spreads[index] for index in _IDLE_FEATURES)
    # The derivative of log1p(idle) is the larger of the two; that of log1p(idle / pace) lies between it and 0.
    return plain <= 0 and plain + paced <= 0


def _logistic(value: float) -> float:
    return 1 / (1 + exp(-value)) if value >= 0 else exp(value) / (1 + exp(value))


def _fit_weights(rows: Sequence[Sequence[float]], labels: Sequence[float], left_out: set[int]) -> list[float]:
    """Weights of a penalised logistic regression, by Newton's method; 0 for features that are left out."""
    size = len(rows[0])
    weights = [0.0] * size
    used = [index for index in range(size) if index not in left_out]
    for _ in range(_MAX_ITERATIONS):
        gradient = [0.0] * size
        hessian = [[0.0] * size for _ in range(size)]
        for row, label in zip(rows, labels, strict=True):
            likelihood = _logistic(sum(map(float.__mul__, weights, row)))
            error, weight = label - likelihood, likelihood * (1 - likelihood)
            for i in used:
                part = row[i]
                gradient[i] += error * part
                part *= weight
                line = hessian[i]
                for j in range(i + 1):
                    line[j] += part * row[j]
        for i in used[1:]:
            gradient[i] -= _PENALTY * weights[i]
            hessian[i][i] += _PENALTY
        hessian[0][0] += _TOLERANCE
        step = _solve_cholesky(
            [[hessian[max(i, j)][min(i, j)] for j in used] for i in used], [gradient[i] for i in used]
        )
        for index, change in zip(used, step, strict=True):
            weights[index] += change
        if max(map(abs, step)) < _TOLERANCE:
            break
    return weights


def _solve_cholesky(matrix: list[list[float]], target: list[float]) -> list[float]:
    """The solution of a positive definite system of equations, by Cholesky's method."""
    size = len(target)
    lower = [[0.0] * size for _ in range(size)]
    for i in range(size):
        for j in range(i + 1):
            remainder = matrix[i][j] - sum(lower[i][k] * lower[j][k] for k in range(j))
            lower[i][j] = sqrt(remainder) if i == j else remainder / lower[j][j]
    forward = [0.0] * size
    for i in range(size):
        forward[i] = (target[i] - sum(lower[i][k] * forward[k] for k in range(i))) / lower[i][i]
    solution = [0.0] * size
    for i in reversed(range(size)):
        solution[i] = (forward[i] - sum(lower[k][i] * solution[k] for k in range(i + 1, size))) / lower[i][i]
    return solution
