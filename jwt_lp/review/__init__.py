"""What was granted and is not needed?"""

from __future__ import annotations

from jwt_lp.review.bench import Exemption, Person
from jwt_lp.review.engine import review
from jwt_lp.review.judging import Rule
from jwt_lp.review.values import Backtest, Finding, Judging, Population, Reason, Review, Traded, Window

__all__ = [
    "Backtest",
    "Exemption",
    "Finding",
    "Judging",
    "Person",
    "Population",
    "Reason",
    "Review",
    "Rule",
    "Traded",
    "Window",
    "review",
]
