"""Backtest: each rule replayed over the recorded past.

Reviews take place every 30 days over the last two fifths of a history. The model is fitted only on the time before the
first of them, and the recommended setting is chosen there: by reviews over the last two fifths of that time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from datetime import date
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp.review.analysis.decision_rule import DEFAULT_WINDOW_DAYS, FLOOR_DAYS, DecisionRule
from jwt_lp.review.analysis.elevation_costs import LONGEST, WAITING, ElevationCosts
from jwt_lp.review.analysis.likelihood import LikelihoodModel
from jwt_lp.review.analysis.recommendation import recommend, settle, share_interval
from jwt_lp.review.analysis.usage_history import REVIEW_INTERVAL_DAYS, ReplayedGrant, UsageHistory
from jwt_lp.review.findings import Backtest, BacktestedSetting

if TYPE_CHECKING:
    from jwt_lp.review.elevation_values import ElevationCost

EARLIER_SHARE: Final = 0.6
"""The share of a history that a model is fitted on, and a setting chosen on, before it is judged on the rest."""
# From the most cautious to the most eager of each kind: what one setting revokes, each later setting revokes too.
WINDOW_RULES: Final = tuple(DecisionRule("fixed", days) for days in (365, 270, 180, 120, 90, 60))
WINDOW_IN_FORCE: Final = DecisionRule("fixed", DEFAULT_WINDOW_DAYS)
LIKELIHOOD_RULES: Final = tuple(DecisionRule("likelihood", hundredths / 100) for hundredths in range(1, 51))


def fit_model(history: UsageHistory, *, until: str, horizon: int) -> LikelihoodModel:
    """The model for a review on the day `until`; the prior where the history is too short for a case of its own."""
    return LikelihoodModel.fit(history.training_cases(date.fromisoformat(until).toordinal(), horizon), horizon=horizon)


def backtest(
    history: UsageHistory,
    *,
    horizon: int = 365,
    regret: float | None = None,
    in_force: DecisionRule = WINDOW_IN_FORCE,
    judged: DecisionRule | None = None,
    longest: int = LONGEST,
    waiting: int = WAITING,
    on_step: Callable[[int], object] = lambda _: None,
) -> Backtest:
    """The revocations, regrets and needless days of every setting; no settings where the history is too short.

    The recommended setting is chosen on reviews of the earlier part of the history, and reported on the later part,
    which all settings are replayed on. `recommend` says how it is chosen from `regret` and the window `in_force`.
    `judged` is the rule of a review, which is replayed as well. An elevation lasts for `longest` seconds, and a request
    waits for `waiting` seconds. `on_step` is called with the number of replayed reviews.
    """
    start = _later_start(history.first, history.last - horizon)
    days = range(start, history.last - horizon, REVIEW_INTERVAL_DAYS) if history.pairs else range(0)
    rules = _rules(in_force, judged)
    settings: list[BacktestedSetting] = []
    costs: list[ElevationCost] = []
    chosen = held_back = None
    interval = None
    if days:
        choice = _later_start(history.first, start - horizon)
        earlier = _replay(history, range(choice, start - horizon, REVIEW_INTERVAL_DAYS), horizon, rules)
        chosen = recommend(earlier.settings(), in_force=in_force, regret=regret)
        later = _replay(history, days, horizon, rules, chosen=chosen, longest=longest, on_step=on_step)
        costs = later.costs(waiting)
        settings = later.settings()
        interval = later.interval()
        held_back = later.held_back()
    kept = {(setting.rule, setting.threshold): setting for setting in settings}
    window = kept.get((in_force.kind, in_force.threshold))
    best = None
    if chosen is not None and window is not None:
        earlier_best = kept[chosen.kind, chosen.threshold]
        best = settle(earlier_best, window, regret=regret)
        interval = interval if best == earlier_best else None
    return Backtest(
        horizon=horizon,
        first_review=date.fromordinal(start).isoformat() if days else "",
        last_day=date.fromordinal(history.last).isoformat() if history.pairs else "",
        pairs=history.pairs,
        regret=regret,
        settings=tuple(settings),
        recommended=best,
        in_force=window,
        judged=held_back or (kept.get((judged.kind, judged.threshold)) if judged is not None else None),
        interval=interval,
        elevation=tuple(costs),
    )


def _later_start(first: int, last: int) -> int:
    return first + int(EARLIER_SHARE * (last - first))


class _Rules(NamedTuple):
    """The rules of each kind, each from the most cautious to the most eager, with those of the review.

    `held_back` is the rule of a review that a longer floor holds back: it has no place in that order.
    """

    windows: tuple[DecisionRule, ...]
    likelihoods: tuple[DecisionRule, ...]
    held_back: tuple[DecisionRule, ...]


def _rules(*more: DecisionRule | None) -> _Rules:
    held_back = tuple(rule for rule in more if rule and rule.floor != FLOOR_DAYS)
    ordered = [rule for rule in more if rule and rule.floor == FLOOR_DAYS]
    windows = sorted({*WINDOW_RULES, *(rule for rule in ordered if rule.kind == "fixed")}, key=_threshold)
    likelihoods = {*LIKELIHOOD_RULES, *(rule for rule in ordered if rule.kind == "likelihood")}
    return _Rules(tuple(reversed(windows)), tuple(sorted(likelihoods, key=_threshold)), held_back)


def _threshold(rule: DecisionRule) -> float:
    return rule.threshold


class _Replay:
    """The counts of all settings, and of each holder for the chosen one."""

    def __init__(self, rules: _Rules, chosen: DecisionRule | None, costs: Sequence[ElevationCosts] = ()) -> None:
        self._costs: Final = costs
        self._tallies: Final = [_SettingCounts(each) for each in rules]
        self._chosen: Final = next(
            ((number, each.index(chosen)) for number, each in enumerate(rules) if chosen in each), None
        )
        self._holders: Final[dict[int, list[int]]] = {}

    def add(self, case: ReplayedGrant, model: LikelihoodModel) -> None:
        """Count one pair on one review day."""
        if not any(tally.remaining(case) for tally in self._tallies):
            return
        likelihood = model.likelihood(case.pair)
        for number, tally in enumerate(self._tallies):
            now, before = tally.add(case, likelihood)
            if self._costs:
                self._costs[number].add(case, now, before)
            if self._chosen is not None and self._chosen[0] == number and now <= self._chosen[1] < before:
                counts = self._holders.setdefault(case.holder, [0, 0])
                counts[0] += 1
                counts[1] += case.needed

    def settings(self) -> list[BacktestedSetting]:
        """The totals of each setting, from the shortest window to the longest, then by likelihood."""
        windows, likelihoods, _ = self._tallies
        return [*reversed(windows.results()), *likelihoods.results()]

    def held_back(self) -> BacktestedSetting | None:
        """The totals of the rule of a review that a longer floor holds back; None without such a rule."""
        return next(iter(self._tallies[-1].results()), None)

    def costs(self, waiting: int) -> list[ElevationCost]:
        """What each setting costs where elevations answer, in the order of the settings."""
        windows, likelihoods = (list(costs.results(waiting)) for costs in self._costs[:2])
        return [*reversed(windows), *likelihoods]

    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the chosen setting's share of regrets; None where nothing was revoked."""
        return share_interval(self._holders.values()) if self._holders else None


def _replay(
    history: UsageHistory,
    days: range,
    horizon: int,
    rules: _Rules,
    *,
    chosen: DecisionRule | None = None,
    longest: int | None = None,
    on_step: Callable[[int], object] = lambda _: None,
) -> _Replay:
    """Replay the reviews of some days, by a model that is fitted on what lies before the first of them.

    With `longest`, the seconds of an elevation, the costs of elevations are counted too.
    """
    model = LikelihoodModel.fit(history.training_cases(days.start, horizon), horizon=horizon)
    costs = [] if longest is None else [ElevationCosts(each, history, days, longest) for each in rules]
    replay = _Replay(rules, chosen, costs)
    for number, day in enumerate(days, 1):
        for case in history.replay_day(day, horizon):
            replay.add(case, model)
        on_step(number)
    return replay


class _SettingCounts:
    """Counts for all settings of one kind at once.

    A pair that was revoked is judged again after its next use. Until then, the settings that revoked it are those from
    an index on; the index is kept in `_revoked_from`.
    """

    def __init__(self, rules: Sequence[DecisionRule]) -> None:
        self._rules = rules
        self._revoked_from: dict[int, tuple[int, int]] = {}
        # Differences from one setting to the next; `results` sums them up.
        self._counts = [[0] * (len(rules) + 1) for _ in range(3)]

    def remaining(self, case: ReplayedGrant) -> int:
        """The number of settings by which a pair is still held; they are the first ones."""
        uses, before = self._revoked_from.get(case.number, (0, 0))
        return before if uses == case.uses else len(self._rules)

    def add(self, case: ReplayedGrant, likelihood: float) -> tuple[int, int]:
        """Count one pair on one review day; the settings from the first number up to the second revoke it now."""
        before = self.remaining(case)
        idle = case.pair.idle
        now = min(before, bisect_left(self._rules, 1, key=lambda rule: rule.is_due(idle, likelihood)))
        self._revoked_from[case.number] = case.uses, now
        revoked, regretted, needless = self._counts
        if now < before:
            revoked[now] += 1
            revoked[before] -= 1
            regretted[now] += case.needed
            regretted[before] -= case.needed
        if not case.needed:
            needless[0] += REVIEW_INTERVAL_DAYS
            needless[now] -= REVIEW_INTERVAL_DAYS
        return now, before

    def results(self) -> list[BacktestedSetting]:
        """The totals of each setting."""
        results: list[BacktestedSetting] = []
        sums = [0, 0, 0]
        for index, rule in enumerate(self._rules):
            sums = [total + counts[index] for total, counts in zip(sums, self._counts, strict=True)]
            results.append(BacktestedSetting(rule.kind, rule.threshold, *sums))
        return results
