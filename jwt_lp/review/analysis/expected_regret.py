"""Expected regret of removing several grants: how many would be needed again, with an upper bound."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from math import prod, sqrt
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp.review.analysis.likelihood import scale

if TYPE_CHECKING:
    from jwt_lp.review.analysis.grant_features import GrantFeatures
    from jwt_lp.review.analysis.likelihood import LikelihoodModel

_Z: Final = 1.645
"""The 95th percentile of the normal distribution."""


class ExpectedRegret(NamedTuple):
    """How many are expected to be needed again, and a bound that 95 of 100 outcomes do not exceed.

    `grants` with `most_grants` count grants; `holders` with `most_holders` count holders who need at least one of them.
    """

    grants: float
    most_grants: float
    holders: float
    most_holders: float


def expected_regret(model: LikelihoodModel, removals: Iterable[tuple[Hashable, GrantFeatures]]) -> ExpectedRegret:
    """The regret to expect from removing grants, each with its holder, within the horizon of the model.

    The bounds allow for chance and for the uncertainty of the model's weights (normal approximation). Where there is a
    choice, they are cautious: the grants of one holder vary together in the bound of grants, and are independent of each
    other in the number of holders.
    """
    holders: dict[Hashable, list[tuple[float, list[float]]]] = {}
    for holder, features in removals:
        holders.setdefault(holder, []).append((model.likelihood(features), scale(features)))
    total = expected = variance = variance_of_holders = 0.0
    size = len(model.posterior.weights)
    slope, slope_of_holders = [0.0] * size, [0.0] * size
    for grants in holders.values():
        unneeded = prod(1 - likelihood for likelihood, _ in grants)
        total += sum(likelihood for likelihood, _ in grants)
        expected += 1 - unneeded
        variance += sum(sqrt(likelihood * (1 - likelihood)) for likelihood, _ in grants) ** 2
        variance_of_holders += unneeded * (1 - unneeded)
        for likelihood, row in grants:
            for index, value in enumerate(row):
                slope[index] += likelihood * (1 - likelihood) * value
                slope_of_holders[index] += unneeded * likelihood * value
    variance += model.posterior.variance(slope)
    variance_of_holders += model.posterior.variance(slope_of_holders)
    count = sum(map(len, holders.values()))
    return ExpectedRegret(
        total,
        min(total + _Z * sqrt(variance), count),
        expected,
        min(expected + _Z * sqrt(variance_of_holders), len(holders)),
    )
