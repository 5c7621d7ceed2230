"""Likelihood that a grant is needed again: a logistic regression that starts from a prior and learns from the store.

The prior comes from the histories of other organisations. Each past case of the store moves the model from the prior
towards the store's own past.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log, sqrt
from operator import mul
from typing import TYPE_CHECKING, Final

from jwt_lp.review.analysis import prior
from jwt_lp.review.analysis.grant_features import FEATURES, IDLE_FEATURES, GrantFeatures
from jwt_lp.review.analysis.logistic import Posterior, fit, invert, logistic
from jwt_lp.review.findings import Coefficient

if TYPE_CHECKING:
    from jwt_lp.review.analysis.logistic import Matrix

_MAX_CASES: Final = 12_000
_FIRST_REVIEW_DAYS: Final = 60
"""Reviews are 30 days apart and judge from 30 idle days on, so one case of each pause is idle for less than this."""
_EVIDENCE: Final = 0.3
"""How many independent observations one pause is: holders start and stop together. Chosen on other histories."""
_ONE_IN_TWENTY: Final = 1.645
"""Standard deviations of a normal distribution that 1 value of 20 exceeds."""


@dataclass(frozen=True, slots=True)
class LikelihoodModel:
    """A model of need within `horizon` days: its coefficients, each with the mean and spread of its feature.

    It was fitted on `fitted_on` past cases of the store, in `pauses` pauses of a grant's use; on none, it is the prior.
    `own_share` is the share of its certainty that comes from these cases, between 0 and 1. `posterior` has the constant
    and the weights with their precision.
    """

    coefficients: tuple[Coefficient, ...]
    constant: float
    fitted_on: int
    pauses: int
    own_share: float
    horizon: int
    posterior: Posterior
    covariance: Matrix
    """Of the constant and the weights: the inverse of the posterior's precision."""

    @classmethod
    def fit(cls, cases: Iterable[tuple[GrantFeatures, bool]], *, horizon: int = prior.HORIZON) -> LikelihoodModel:
        """Fit a model to past cases, each with whether it was needed again within the horizon.

        Without cases, the model is the prior. Of very many cases, an evenly spread sample is used. The same cases give
        the same model.
        """
        sample, pauses = _thin_out(cases)
        centre = list(prior.CENTRE)
        centre[0] += prior.HORIZON_SLOPE * log(horizon / prior.HORIZON)
        precision = invert(prior.COVARIANCE)
        rows = [scale(features) for features, _ in sample]
        labels = [float(needed) for _, needed in sample]
        # All pauses, shared out among the sampled cases.
        weight = _EVIDENCE * pauses / len(sample) if sample else 0.0
        found = fit(rows, labels, weight=weight, centre=centre, precision=precision)
        if not falls_with_idleness(found.weights):
            # INVARIANT: more idle days never raise the likelihood. Where the store's past says that they do, the
            # weights of idle time stay those of the prior.
            kept = {FEATURES.index(name) + 1 for name in IDLE_FEATURES}
            found = fit(rows, labels, weight=weight, centre=centre, precision=precision, fixed=kept)
        coefficients = map(Coefficient, FEATURES, found.weights[1:], prior.MEANS, prior.SPREADS, centre[1:])
        return cls(
            tuple(coefficients),
            found.weights[0],
            len(sample),
            pauses,
            _own_share(found, precision),
            horizon,
            found,
            invert(found.precision),
        )

    def likelihood(self, features: GrantFeatures) -> float:
        """The likelihood of need within the horizon, between 0 and 1."""
        return logistic(self.constant + sum(weight for _, weight in self.contributions(features)))

    def bound(self, features: GrantFeatures) -> float:
        """The upper bound of that likelihood: uncertain weights make it higher in 1 of 20 cases."""
        row = scale(features)
        variance = sum(value * sum(map(mul, line, row)) for line, value in zip(self.covariance, row, strict=True))
        log_odds = self.constant + sum(weight for _, weight in self.contributions(features))
        return logistic(log_odds + _ONE_IN_TWENTY * sqrt(max(variance, 0.0)))

    def contributions(self, features: GrantFeatures) -> tuple[tuple[str, float], ...]:
        """The effect of each feature on the logarithm of the odds of need, compared with the average case."""
        return tuple(
            (each.name, each.weight * (value - each.mean) / each.spread)
            for each, value in zip(self.coefficients, features.values(), strict=True)
        )


def scale(features: GrantFeatures) -> list[float]:
    """The row of a case: 1, and its features in spreads from their means."""
    return [
        1.0,
        *(
            (value - mean) / spread
            for value, mean, spread in zip(features.values(), prior.MEANS, prior.SPREADS, strict=True)
        ),
    ]


def falls_with_idleness(weights: Sequence[float]) -> bool:
    """Whether the likelihood falls, or stays, as idle days increase, whatever the other features are."""
    raw = {name: weight / spread for name, weight, spread in zip(FEATURES, weights[1:], prior.SPREADS, strict=True)}
    # The holder's pause grows with the grant's only while the holder uses nothing else, and counts up to 90 days.
    own = raw["idle"]
    both = own + raw["holder_idle"]
    return max(own, both, both + raw["holder_pause"], raw["quiet"]) <= 0


def _thin_out(cases: Iterable[tuple[GrantFeatures, bool]]) -> tuple[list[tuple[GrantFeatures, bool]], int]:
    """An evenly spread sample, of at most `_MAX_CASES`, and the number of pauses among all cases."""
    sample: list[tuple[GrantFeatures, bool]] = []
    step, pauses = 1, 0
    for number, case in enumerate(cases):
        pauses += case[0].idle < _FIRST_REVIEW_DAYS
        if number % step:
            continue
        sample.append(case)
        if len(sample) > _MAX_CASES:
            del sample[1::2]
            step *= 2
    return sample, pauses


def _own_share(found: Posterior, precision: Matrix) -> float:
    """The share of certainty that is not the prior's, averaged over all directions of the weights."""
    before = invert(found.precision)
    size = len(precision)
    kept = sum(precision[i][j] * before[j][i] for i in range(size) for j in range(size))
    return min(max(1 - kept / size, 0.0), 1.0)
