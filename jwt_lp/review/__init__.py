"""Reviews of grants against usage: analysis, plans and reports."""

from __future__ import annotations

from jwt_lp.review.analysis import DecisionRule, Person, ReviewExemption, review
from jwt_lp.review.findings import (
    AppliedRule,
    Backtest,
    BacktestedSetting,
    Coefficient,
    Finding,
    FindingKind,
    Population,
    Proposal,
    Review,
    ReviewWindow,
    Verdict,
)

__all__ = [
    "AppliedRule",
    "Backtest",
    "BacktestedSetting",
    "Coefficient",
    "DecisionRule",
    "Finding",
    "FindingKind",
    "Person",
    "Population",
    "Proposal",
    "Review",
    "ReviewExemption",
    "ReviewWindow",
    "Verdict",
    "review",
]
