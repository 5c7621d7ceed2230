"""Reviews of grants against usage: analysis, plans and reports."""

from __future__ import annotations

from jwt_lp.review.analysis.context import Person, ReviewExemption
from jwt_lp.review.analysis.decision_rule import DecisionRule
from jwt_lp.review.analysis.engine import review
from jwt_lp.review.findings import (
    AppliedRule,
    Backtest,
    BacktestedSetting,
    Coefficient,
    Finding,
    Population,
    Review,
    ReviewWindow,
)

__all__ = [
    "AppliedRule",
    "Backtest",
    "BacktestedSetting",
    "Coefficient",
    "DecisionRule",
    "Finding",
    "Person",
    "Population",
    "Review",
    "ReviewExemption",
    "ReviewWindow",
    "review",
]
