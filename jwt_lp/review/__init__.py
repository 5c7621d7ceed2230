"""Reviews of grants against usage: analysis, plans and reports."""

from __future__ import annotations

from jwt_lp.review.analysis import DecisionRule, EarlierReview, Person, ReviewExemption, review
from jwt_lp.review.comparison import Comparison, GoneGrant
from jwt_lp.review.elevation_values import ElevatedUse, ElevationCost, JustInTime
from jwt_lp.review.findings import (
    AppliedRule,
    Backtest,
    BacktestedSetting,
    Change,
    Coefficient,
    Finding,
    FindingKind,
    Population,
    Proposal,
    Reason,
    Review,
    ReviewWindow,
    ScorePart,
    Verdict,
)

__all__ = [
    "AppliedRule",
    "Backtest",
    "BacktestedSetting",
    "Change",
    "Coefficient",
    "Comparison",
    "DecisionRule",
    "EarlierReview",
    "ElevatedUse",
    "ElevationCost",
    "Finding",
    "FindingKind",
    "GoneGrant",
    "JustInTime",
    "Person",
    "Population",
    "Proposal",
    "Reason",
    "Review",
    "ReviewExemption",
    "ReviewWindow",
    "ScorePart",
    "Verdict",
    "review",
]
