"""Prior of the likelihood: what the histories of public projects say before a store has a history of its own.

Fitted by `python -m benchmarks.histories fit` on 53 histories of 6 to 27 years: who changed which part on which day. The
numbers are those of the features in `grant_features.FEATURES`, each in spreads from its mean; docs/likelihood.md has the
method and the figures.
"""

from __future__ import annotations

from typing import Final

HORIZON: Final = 365
"""Days: need within so many days is what the prior was fitted on."""
HORIZON_SLOPE: Final = 0.65
"""By how much the log-odds grow with the natural logarithm of the horizon."""
MEANS: Final = (
    5.8962,
    1.7727,
    5.1522,
    1.1235,
    0.4042,
    4.9740,
    3.8344,
    1.8542,
    0.8818,
    2.4462,
    0.5696,
)
SPREADS: Final = (
    1.4132,
    2.4912,
    2.2025,
    1.2952,
    0.3029,
    2.1633,
    1.2237,
    1.3679,
    0.6220,
    1.6581,
    0.4050,
)
CENTRE: Final = (
    -2.8804,
    -0.7375,
    0.2519,
    -0.3529,
    0.6114,
    0.5412,
    -0.3494,
    0.2384,
    -0.7975,
    0.2106,
    0.3332,
    -0.6006,
)
"""The constant, and a weight for each feature: those of all histories together."""
# How far the weights of single histories lie from the centre: the lower half of a symmetric matrix.
_LOWER: Final[tuple[tuple[float, ...], ...]] = (
    (0.07612,),
    (0.01817, 0.03305),
    (0.00120, 0.00338, 0.01633),
    (-0.00050, -0.01273, -0.00873, 0.14294),
    (0.01557, 0.00884, 0.00239, 0.03052, 0.09472),
    (-0.01287, -0.00744, -0.01192, 0.01658, 0.00631, 0.05462),
    (-0.00504, -0.00591, 0.00119, -0.03251, 0.02538, -0.00243, 0.17071),
    (0.01569, 0.01539, 0.00135, -0.04625, -0.01129, -0.00585, -0.06203, 0.06483),
    (-0.02192, -0.02496, -0.01487, -0.00505, -0.04035, 0.02806, -0.01203, -0.00567, 0.13151),
    (0.01311, 0.01629, 0.00066, -0.00533, 0.00692, -0.00739, 0.00596, 0.00531, -0.01363, 0.01919),
    (0.01080, 0.01815, 0.00134, 0.03608, -0.00304, -0.00071, 0.03236, -0.01072, -0.07514, 0.00866, 0.13055),
    (0.03343, 0.00781, 0.00564, -0.02266, 0.00055, 0.00096, -0.04810, 0.03301, 0.01043, 0.00399, -0.01858, 0.07061),
)
COVARIANCE: Final = tuple(tuple(_LOWER[max(i, j)][min(i, j)] for j in range(len(_LOWER))) for i in range(len(_LOWER)))
"""The covariance of the weights of single histories around the centre."""
