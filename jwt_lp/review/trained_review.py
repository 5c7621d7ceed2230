"""Reviews by a model that is trained on the store's own history, with their backtest: those of commands and campaigns."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from jwt_lp.errors import ConfigurationError
from jwt_lp.policy.file import EMPTY_POLICY
from jwt_lp.review.analysis.backtesting import WINDOW_IN_FORCE, backtest, fit_model
from jwt_lp.review.analysis.decision_rule import DecisionRule
from jwt_lp.review.analysis.elevation_costs import LONGEST, WAITING
from jwt_lp.review.analysis.engine import GRACE_DAYS, review
from jwt_lp.review.analysis.training import load_history

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from jwt_lp.policy.file import Policy
    from jwt_lp.review.analysis.earlier_review import EarlierReview
    from jwt_lp.review.analysis.people import Person
    from jwt_lp.review.analysis.regret_budget import RegretBudget
    from jwt_lp.review.analysis.training import RestoredGrant, TrainingHistory
    from jwt_lp.review.analysis.verdicts import ReviewExemption
    from jwt_lp.review.findings import Backtest, Finding, Review
    from jwt_lp.stores import Store, UsageAggregates

DEFAULT_HORIZON: Final = 365

_LIKELIER_THAN_NOT: Final = 0.5
"""A budget alone chooses among all grants whose need is not likelier than not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewOptions:
    """What a review is made with; each is that of `review`, and None or empty for its default.

    `usage` is read in place of the store's own. `restored` grants count as needed. With `backtest`, every rule is
    replayed over the store's past too.
    """

    rule: DecisionRule | None = None
    usage: UsageAggregates | None = None
    grace: int = GRACE_DAYS
    horizon: int = DEFAULT_HORIZON
    budget: RegretBudget | None = None
    issuer: str | None = None
    exempt: Iterable[ReviewExemption] = ()
    restored: Iterable[RestoredGrant] = ()
    people: Mapping[str, Person] = field(default_factory=dict[str, "Person"])
    issuer_names: Mapping[str, str] = field(default_factory=dict[str, str])
    earlier: EarlierReview | None = None
    backtest: bool = False


def choose_rule(
    *, window: int | None = None, likelihood: float | None = None, budget: RegretBudget | None = None
) -> DecisionRule | None:
    """The rule that was asked for; None for the default. `ConfigurationError` for a window and a likelihood at once."""
    if window is not None and likelihood is not None:
        raise ConfigurationError("a window and a likelihood exclude each other: pass one")
    if window is not None:
        return DecisionRule("fixed", window)
    if likelihood is not None:
        return DecisionRule("likelihood", float(likelihood))
    return DecisionRule("likelihood", _LIKELIER_THAN_NOT) if budget is not None else None


def trained_review(
    store: Store,
    options: ReviewOptions,
    *,
    now: str,
    policy: Policy = EMPTY_POLICY,
    made_at: float | None = None,
    on_kept: Callable[[Finding], object] | None = None,
    on_step: Callable[[str, int], object] = lambda _what, _count: None,
) -> Review:
    """Train the model on the history up to the day `now`, and review; errors, `on_kept` and `on_step` are those of `review`."""
    on_step("history read", 0)
    training = load_history(options.usage or store, until=now, issuer=options.issuer, restored=options.restored)
    result = review(
        store,
        now=now,
        rule=options.rule,
        usage=options.usage,
        model=fit_model(training.history, until=now, horizon=options.horizon),
        history=training.history,
        policy=policy,
        grace=options.grace,
        horizon=options.horizon,
        exempt=options.exempt,
        people=options.people,
        earlier=options.earlier,
        budget=options.budget,
        issuer=options.issuer,
        issuer_names=options.issuer_names,
        made_at=made_at,
        on_kept=on_kept,
        on_step=on_step,
    )
    if not options.backtest:
        return result
    judged = DecisionRule(result.judging.rule, result.judging.threshold, result.judging.floor)
    # A recommendation is compared with the window of the review, or the default.
    window = judged if judged.kind == "fixed" else WINDOW_IN_FORCE
    replayed = replay_rules(training, options.horizon, on_step, in_force=window, judged=judged)
    return replace(result, backtest=replayed)


def replay_rules(
    training: TrainingHistory,
    horizon: int,
    on_step: Callable[[str, int], object],
    *,
    regret: float | None = None,
    in_force: DecisionRule = WINDOW_IN_FORCE,
    judged: DecisionRule | None = None,
    longest: int = LONGEST,
    waiting: int = WAITING,
) -> Backtest:
    """Replay every rule setting over `training`, also that which a review judged by. `on_step` is told of the progress."""
    result = backtest(
        training.history,
        horizon=horizon,
        regret=regret,
        in_force=in_force,
        judged=judged,
        longest=longest,
        waiting=waiting,
        on_step=lambda number: on_step("reviews replayed", number),
    )
    return replace(result, sampled=training.share)
