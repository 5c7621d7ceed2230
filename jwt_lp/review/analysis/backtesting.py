"""Backtest: each rule replayed over the recorded past.

Reviews take place every 30 days over the last part of a history. The model is fitted only on the time before the first
of them.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from sys import intern
from typing import Final, NamedTuple

from jwt_lp.review.analysis.decision_rule import FLOOR_DAYS, DecisionRule
from jwt_lp.review.analysis.likelihood import GrantFeatures, LikelihoodModel
from jwt_lp.review.findings import Backtest, BacktestedSetting

REVIEW_INTERVAL_DAYS: Final = 30
"""Days between two reviews."""
RECENT_DAYS: Final = 365
WARM_UP_DAYS: Final = 365
"""Days at the start of a history that have no training case, so that the share of other users is meaningful."""
_TRAINING_SHARE: Final = 0.6
# From the most cautious to the most eager of each kind: what one setting revokes, each later setting revokes too.
WINDOW_RULES: Final = tuple(DecisionRule("fixed", days) for days in (365, 270, 180, 120, 90, 60))
LIKELIHOOD_RULES: Final = tuple(DecisionRule("likelihood", hundredths / 100) for hundredths in range(1, 51))


class _GrantDays(NamedTuple):
    grant: int
    days: array[int]


class ReplayedGrant(NamedTuple):
    """One pair on one review day: its days of use until then, and whether it was needed within the horizon after."""

    number: int
    uses: int
    pair: GrantFeatures
    needed: bool


class UsageHistory:
    """Days of use by holder and grant, from rows of issuer, subject, grant and the day's ordinal.

    The rows may come in any order and may repeat.
    """

    def __init__(self, rows: Iterable[tuple[str, str, str, int]]) -> None:
        holders: dict[tuple[str, str], dict[str, array[int]]] = {}
        for issuer, subject, grant, day in rows:
            holders.setdefault((issuer, subject), {}).setdefault(intern(grant), array("i")).append(day)
        grants = {
            grant: number for number, grant in enumerate(sorted({grant for uses in holders.values() for grant in uses}))
        }
        self._holders: Final = [
            tuple(_GrantDays(grants[grant], array("i", sorted(set(days)))) for grant, days in sorted(uses.items()))
            for _, uses in sorted(holders.items())
        ]
        self._grants: Final = len(grants)
        self._names: Final = tuple(grants)
        self.first: Final = min((uses.days[0] for holder in self._holders for uses in holder), default=0)
        self.last: Final = max((uses.days[-1] for holder in self._holders for uses in holder), default=0)
        self.pairs: Final = sum(map(len, self._holders))

    def replay_day(self, day: int, horizon: int) -> Iterator[ReplayedGrant]:
        """Every features that a review on this day judges; its features use nothing after the day."""
        users = [0] * self._grants
        active = 0
        counted: list[list[tuple[int, int]]] = []
        for uses in self._holders:
            pairs: list[tuple[int, int]] = []
            recent = False
            for pair_days in uses:
                count = bisect_right(pair_days.days, day)
                idle = day - pair_days.days[count - 1] if count else -1
                pairs.append((count, idle))
                if count and idle <= RECENT_DAYS:
                    users[pair_days.grant] += 1
                    recent = True
            active += recent
            counted.append(pairs)
        number = -1
        for uses, pairs in zip(self._holders, counted, strict=True):
            idles = sorted(idle for count, idle in pairs if count)
            lately = bisect_right(idles, RECENT_DAYS)
            rest = active - bool(lately)
            for pair_days, (count, idle) in zip(uses, pairs, strict=True):
                number += 1
                if not count or idle < FLOOR_DAYS:
                    continue
                own = idle <= RECENT_DAYS
                # The least idle of the other grants: the first of all, or the second where this grant is the first.
                other = idles[0] if idles[0] != idle else idles[1] if len(idles) > 1 else None
                first = pair_days.days[0]
                features = GrantFeatures(
                    idle=idle,
                    days=count,
                    span=day - idle - first,
                    age=day - first,
                    elsewhere_idle=other,
                    elsewhere_recent=lately - own,
                    others=(users[pair_days.grant] - own) / rest if rest > 0 else 0.0,
                )
                needed = count < len(pair_days.days) and pair_days.days[count] <= day + horizon
                yield ReplayedGrant(number, count, features, needed)

    def recent_users(self, day: int) -> tuple[dict[str, int], int]:
        """The number of holders who used each grant in the year before this day, and the number who used any grant."""
        users: dict[str, int] = {}
        active = 0
        for uses in self._holders:
            recent = [
                pair.grant for pair in uses if bisect_right(pair.days, day) > bisect_left(pair.days, day - RECENT_DAYS)
            ]
            active += bool(recent)
            for grant in recent:
                users[self._names[grant]] = users.get(self._names[grant], 0) + 1
        return users, active

    def training_cases(self, until: int, horizon: int) -> Iterator[tuple[GrantFeatures, bool]]:
        """Training cases: past reviews whose horizon ends on or before `until`."""
        for day in range(self.first + WARM_UP_DAYS, until - horizon + 1, REVIEW_INTERVAL_DAYS):
            yield from ((case.pair, case.needed) for case in self.replay_day(day, horizon))


def fit_model(history: UsageHistory, *, until: str, horizon: int) -> LikelihoodModel | None:
    """The model for a review on the day `until`; None where the history is too short or too small."""
    return LikelihoodModel.fit(history.training_cases(date.fromisoformat(until).toordinal(), horizon))


def backtest(
    history: UsageHistory,
    *,
    horizon: int = 365,
    regret: float = 0.1,
    on_step: Callable[[int], object] = lambda _: None,
) -> Backtest:
    """The revocations, regrets and needless days of every setting; no settings where the history is too short.

    `on_step` is called with the number of replayed reviews. `regret` is the highest share of regrets that the
    recommended setting may have.
    """
    start = history.first + int(_TRAINING_SHARE * (history.last - horizon - history.first))
    days = range(start, history.last - horizon, REVIEW_INTERVAL_DAYS) if history.pairs else range(0)
    settings: list[BacktestedSetting] = []
    model = None
    if days:
        model = LikelihoodModel.fit(history.training_cases(start, horizon))
        tallies = [_SettingCounts(WINDOW_RULES), _SettingCounts(LIKELIHOOD_RULES)]
        for number, day in enumerate(days, 1):
            for case in history.replay_day(day, horizon):
                likelihood = model.likelihood(case.pair) if model is not None else None
                for tally in tallies:
                    tally.add(case, likelihood)
            on_step(number)
        settings = [*reversed(tallies[0].results()), *tallies[1].results()]
    within = [setting for setting in settings if setting.revoked and setting.regret <= regret]
    return Backtest(
        horizon=horizon,
        first_review=date.fromordinal(start).isoformat() if days else "",
        last_day=date.fromordinal(history.last).isoformat() if history.pairs else "",
        pairs=history.pairs,
        regret=regret,
        settings=tuple(settings),
        recommended=min(
            within,
            # Without a model, every likelihood setting judges by the default window.
            key=lambda setting: (
                setting.days_needlessly_held,
                (setting.rule == "fixed") is (model is not None),
                setting.threshold,
            ),
            default=None,
        ),
    )


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

    def add(self, case: ReplayedGrant, likelihood: float | None) -> None:
        """Count one pair on one review day."""
        uses, before = self._revoked_from.get(case.number, (0, 0))
        if uses != case.uses:
            before = len(self._rules)
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

    def results(self) -> list[BacktestedSetting]:
        """The totals of each setting."""
        results: list[BacktestedSetting] = []
        sums = [0, 0, 0]
        for index, rule in enumerate(self._rules):
            sums = [total + counts[index] for total, counts in zip(sums, self._counts, strict=True)]
            results.append(BacktestedSetting(rule.kind, rule.threshold, *sums))
        return results
