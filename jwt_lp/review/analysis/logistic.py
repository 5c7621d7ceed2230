"""Logistic regression with a normal prior: the most likely weights, and how uncertain they are.

A weight for each column; the first column of each row is 1. Pure Python, for some ten columns and some thousand rows.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import exp, sqrt
from typing import Final, TypeAlias

Vector: TypeAlias = Sequence[float]
Matrix: TypeAlias = Sequence[Sequence[float]]

_MAX_ITERATIONS: Final = 25
_MAX_STEP: Final = 3.0
_TOLERANCE: Final = 1e-7


@dataclass(frozen=True, slots=True)
class Posterior:
    """The most likely weights, and the precision matrix (inverse covariance) of the normal distribution around them."""

    weights: tuple[float, ...]
    precision: tuple[tuple[float, ...], ...]

    def variance(self, direction: Vector) -> float:
        """The variance of the product of the weights with a vector."""
        return sum(a * b for a, b in zip(direction, solve(self.precision, direction), strict=True))


def logistic(value: float) -> float:
    """The probability whose log-odds are `value`."""
    return 1 / (1 + exp(-value)) if value >= 0 else exp(value) / (1 + exp(value))


def fit(
    rows: Matrix,
    labels: Vector,
    *,
    weight: float,
    centre: Vector,
    precision: Matrix,
    fixed: Collection[int] = (),
) -> Posterior:
    """The weights that are most likely after the rows with their labels (1 or 0), by Newton's method.

    Before the rows, the weights are normally distributed around `centre`, with `precision` as the inverse of their
    covariance, which must be positive definite. Each row counts as `weight` independent observations. `fixed` are the
    columns whose weights stay those of the centre.
    """
    weights = list(centre)
    free = [index for index in range(len(weights)) if index not in fixed]
    hessian = precision
    for _ in range(_MAX_ITERATIONS):
        gradient, hessian = _derivatives(rows, labels, weights, weight, centre, precision)
        step = solve([[hessian[i][j] for j in free] for i in free], [gradient[i] for i in free])
        longest = max(map(abs, step))
        # A full step from a far-off centre can overshoot.
        scale = min(1.0, _MAX_STEP / longest) if longest else 1.0
        for index, change in zip(free, step, strict=True):
            weights[index] += scale * change
        if longest < _TOLERANCE:
            break
    return Posterior(tuple(weights), tuple(map(tuple, hessian)))


def _derivatives(
    rows: Matrix, labels: Vector, weights: Vector, weight: float, centre: Vector, precision: Matrix
) -> tuple[list[float], list[list[float]]]:
    """The gradient and the negated second derivatives of the logarithm of the posterior density."""
    size = len(weights)
    moved = [now - before for now, before in zip(weights, centre, strict=True)]
    gradient = [0.0] * size
    hessian = [[0.0] * size for _ in range(size)]
    for row, label in zip(rows, labels, strict=True):
        likelihood = logistic(sum(map(float.__mul__, weights, row)))
        error, curvature = label - likelihood, likelihood * (1 - likelihood)
        for i, part in enumerate(row):
            gradient[i] += error * part
            part_of_curvature = part * curvature
            line = hessian[i]
            for j in range(i + 1):
                line[j] += part_of_curvature * row[j]
    return (
        [
            weight * gradient[i] - sum(part * move for part, move in zip(precision[i], moved, strict=True))
            for i in range(size)
        ],
        [[weight * hessian[max(i, j)][min(i, j)] + precision[i][j] for j in range(size)] for i in range(size)],
    )


def solve(matrix: Matrix, target: Vector) -> list[float]:
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


def invert(matrix: Matrix) -> list[list[float]]:
    """The inverse of a positive definite matrix."""
    size = len(matrix)
    return [solve(matrix, [float(row == column) for row in range(size)]) for column in range(size)]
