"""Analysis of a review: evidence, decision rules, likelihoods, backtests and findings."""

from __future__ import annotations

from jwt_lp.review.analysis.backtesting import backtest, fit_model
from jwt_lp.review.analysis.decision_rule import DEFAULT_WINDOW_DAYS, DecisionRule
from jwt_lp.review.analysis.earlier_review import EarlierReview
from jwt_lp.review.analysis.engine import review
from jwt_lp.review.analysis.people import Person
from jwt_lp.review.analysis.training import TrainingHistory, load_history
from jwt_lp.review.analysis.verdicts import ReviewExemption

__all__ = [
    "DEFAULT_WINDOW_DAYS",
    "DecisionRule",
    "EarlierReview",
    "Person",
    "ReviewExemption",
    "TrainingHistory",
    "backtest",
    "fit_model",
    "load_history",
    "review",
]
