"""How the prior and the recommended settings do on histories that the prior was not fitted on.

    python -m benchmarks.prior_judging TRACE.csv...

Prints a row of figures for each history, then geometric means, scores and the reliability table. Definitions are those
of a backtest: docs/likelihood.md.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from hashlib import sha256
from math import exp, log
from pathlib import Path
from statistics import fmean
from typing import Any
from unittest.mock import patch

from benchmarks.histories import FittedPrior, fit_prior, load_trace, past_cases
from jwt_lp.review.analysis import prior
from jwt_lp.review.analysis.backtesting import EARLIER_SHARE, backtest
from jwt_lp.review.analysis.decision_rule import DEFAULT_WINDOW_DAYS, YOUNG_LIKELIHOOD, DecisionRule, settle_rule
from jwt_lp.review.analysis.likelihood import LikelihoodModel
from jwt_lp.review.analysis.usage_history import REVIEW_INTERVAL_DAYS, UsageHistory

_FOLDS = 3
_MAX_PAIRS = 2500
_YOUNG = (90, 180, 365)
_THRESHOLDS = (0.05, 0.1, 0.25, YOUNG_LIKELIHOOD, 0.5)
_HORIZON = 365
_Rows = list[tuple[str, str, str, int]]


def thin_out(rows: _Rows) -> _Rows:
    """The rows of a sample of whole subjects with about `_MAX_PAIRS` pairs at most."""
    pairs: dict[str, set[str]] = {}
    for _, subject, grant, _ in rows:
        pairs.setdefault(subject, set()).add(grant)
    kept: set[str] = set()
    total = 0
    for subject in sorted(pairs, key=lambda name: sha256(name.encode()).digest()):
        if total < _MAX_PAIRS:
            kept.add(subject)
            total += len(pairs[subject])
    return [row for row in rows if row[1] in kept]


def young_counts(history: UsageHistory, days: int) -> dict[str, list[int]]:
    """Revocations, regrets and needless days on the first days of a record, by the prior and by the window.

    Reviews take place every 30 days of the record up to and including its last one; outcomes are those of the year after
    each review. `window` is half of the record on the day of the review, at most 180 days; `young` are likelihoods as a
    review settles on them, and `likelihood` are the same without the window.
    """
    model = LikelihoodModel.fit(())
    asked = [DecisionRule("likelihood", limit) for limit in _THRESHOLDS]
    counts = {"window": [0, 0, 0]}
    counts.update({f"{name} {rule.threshold:g}": [0, 0, 0] for name in ("young", "likelihood") for rule in asked})
    gone: dict[tuple[str, int], int] = {}
    for day in range(history.first + REVIEW_INTERVAL_DAYS, history.first + days + 1, REVIEW_INTERVAL_DAYS):
        young = [settle_rule(rule, record_days=day - history.first, model=model) for rule in asked]
        rules = [DecisionRule("fixed", young[0].floor), *young, *asked]
        for case in history.replay_day(day, _HORIZON):
            chance = model.likelihood(case.pair)
            for name, rule in zip(counts, rules, strict=True):
                if gone.get((name, case.number)) == case.uses:
                    continue
                if rule.is_due(case.pair.idle, chance):
                    gone[name, case.number] = case.uses
                    counts[name][0] += 1
                    counts[name][1] += case.needed
                elif not case.needed:
                    counts[name][2] += REVIEW_INTERVAL_DAYS
    return counts


def scores(history: UsageHistory) -> dict[str, list[tuple[float, bool]]]:
    """Likelihoods with outcomes on the later part: of the fitted model, the prior, and the rate of idle time alone."""
    start = history.first + int(EARLIER_SHARE * (history.last - _HORIZON - history.first))
    training = list(history.training_cases(start, _HORIZON))
    model, before = LikelihoodModel.fit(training), LikelihoodModel.fit(())
    rates = {}
    for due in (False, True):
        labels = [needed for features, needed in training if (features.idle >= DEFAULT_WINDOW_DAYS) is due]
        rates[due] = (sum(labels) + 0.5) / (len(labels) + 1)
    found: dict[str, list[tuple[float, bool]]] = {"model": [], "prior": [], "window": []}
    for day in range(start, history.last - _HORIZON, 4 * REVIEW_INTERVAL_DAYS):
        for case in history.replay_day(day, _HORIZON):
            if case.pair.idle < 2 * _HORIZON:  # beyond, every rule has decided long ago
                found["model"].append((model.likelihood(case.pair), case.needed))
                found["prior"].append((before.likelihood(case.pair), case.needed))
                found["window"].append((rates[case.pair.idle >= DEFAULT_WINDOW_DAYS], case.needed))
    return found


def _brier(pairs: Sequence[tuple[float, bool]]) -> float:
    return fmean((chance - needed) ** 2 for chance, needed in pairs)


def _log_loss(pairs: Sequence[tuple[float, bool]]) -> float:
    return fmean(-log(max(chance if needed else 1 - chance, 1e-9)) for chance, needed in pairs)


def judge(name: str, rows: _Rows) -> dict[str, Any]:
    """The figures of one history, by the prior in force."""
    history = UsageHistory(rows)
    found = backtest(history)
    window, best = found.in_force, found.recommended
    assert window is not None
    assert best is not None
    within = [each for each in found.settings if each.days_needlessly_held <= window.days_needlessly_held]
    scored = scores(history)
    return {
        "history": name, "subjects": len({row[1] for row in rows}), "pairs": history.pairs, "days": len(rows),
        "window": window[2:], "chosen": (best.rule, *best[1:]), "interval": found.interval,
        "best": min(each.regretted for each in within),
        "young": {days: young_counts(history, days) for days in _YOUNG},
        "brier": {key: _brier(pairs) for key, pairs in scored.items()},
        "log_loss": {key: _log_loss(pairs) for key, pairs in scored.items()},
        "bins": [
            [sum(low <= c < low + 0.1 for c, _ in scored["model"]),
             sum(c for c, _ in scored["model"] if low <= c < low + 0.1),
             sum(n for c, n in scored["model"] if low <= c < low + 0.1)]
            for low in (tenth / 10 for tenth in range(10))
        ],
    }  # fmt: skip


def use_prior(fitted: FittedPrior) -> AbstractContextManager[object]:
    """A context in which models start from another prior."""
    return patch.multiple(
        prior, MEANS=fitted.means, SPREADS=fitted.spreads, CENTRE=fitted.centre, COVARIANCE=fitted.covariance,
        HORIZON_SLOPE=fitted.horizon_slope,
    )  # fmt: skip


def main(files: Sequence[str]) -> None:
    """Fit a prior without each third of the histories, and judge that third by it."""
    rows = {file: load_trace(file) for file in files}
    cases = {file: past_cases(rows[file], number) for number, file in enumerate(files)}
    results: list[dict[str, Any]] = []
    for fold in range(_FOLDS):
        fitted = fit_prior([cases[file] for number, file in enumerate(files) if number % _FOLDS != fold])
        for number, file in enumerate(files):
            if number % _FOLDS == fold:
                with use_prior(fitted):
                    results.append(judge(Path(file).stem, thin_out(rows[file])))
                print(json.dumps(results[-1]), flush=True)
    ratios = [max(each["chosen"][3], 0.5) / max(each["window"][1], 0.5) for each in results]
    needless = [max(each["chosen"][4], 1) / max(each["window"][2], 1) for each in results]
    print(
        "geometric mean of regrets:", exp(fmean(map(log, ratios))), "of needless days:", exp(fmean(map(log, needless)))
    )


if __name__ == "__main__":
    main(sys.argv[1:])
