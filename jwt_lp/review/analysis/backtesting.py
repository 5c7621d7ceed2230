"""What would a rule have cost in the past?

Reviews every 30 days over the last part of a history. A model is fitted on what lies before the first of them alone.
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
"""Days of a history that teach what others do, before the first case."""
_TRAINING_SHARE: Final = 0.6
# From the least eager to the most eager of its kind: what one takes, each later one takes too.
WINDOW_RULES: Final = tuple(DecisionRule("fixed", days) for days in (365, 270, 180, 120, 90, 60))
LIKELIHOOD_RULES: Final = tuple(DecisionRule("likelihood", hundredths / 100) for hundredths in range(1, 51))


class _GrantDays(NamedTuple):
    grant: int
    days: array[int]


class ReplayedGrant(NamedTuple):
    """One pair on one review day: how often it was used until then, and whether it was within the horizon after."""

    number: int
    uses: int
    pair: GrantFeatures
    needed: bool


class UsageHistory:
    """Which holder used what on which days; of an iterable of issuer, subject, grant and the day's ordinal.

    Rows come in any order, and may be there twice.
    """

    def __init__(self, rows: Iterable[tuple[str, str, str, int]]) -> None:
        holders: dict[tuple[str, str], dict[str, array[int]]] = {}
        for issuer, subject, grant, day in rows:
            holders.setdefault((issuer, subject), {}).setdefault(intern(grant), array("i")).append(day)
        grants = {
            grant: number for number, grant in enumerate(sorted({each for uses in holders.values() for each in uses}))
        }
        self._holders: Final = [
            tuple(_GrantDays(grants[grant], array("i", sorted(set(days)))) for grant, days in sorted(uses.items()))
            for _, uses in sorted(holders.items())
        ]
        self._grants: Final = len(grants)
        self._names: Final = tuple(grants)
        self.first: Final = min((uses.days[0] for each in self._holders for uses in each), default=0)
        self.last: Final = max((uses.days[-1] for each in self._holders for uses in each), default=0)
        self.pairs: Final = sum(map(len, self._holders))

    def replay_day(self, day: int, horizon: int) -> Iterator[ReplayedGrant]:
        """Every pair that a review on this day judges; a pair knows of nothing after the day."""
        users = [0] * self._grants
        active = 0
        known: list[list[tuple[int, int]]] = []
        for uses in self._holders:
            mine: list[tuple[int, int]] = []
            recent = False
            for each in uses:
                count = bisect_right(each.days, day)
                idle = day - each.days[count - 1] if count else -1
                mine.append((count, idle))
                if count and idle <= RECENT_DAYS:
                    users[each.grant] += 1
                    recent = True
            active += recent
            known.append(mine)
        number = -1
        for uses, mine in zip(self._holders, known, strict=True):
            idles = sorted(idle for count, idle in mine if count)
            lately = bisect_right(idles, RECENT_DAYS)
            rest = active - bool(lately)
            for each, (count, idle) in zip(uses, mine, strict=True):
                number += 1
                if not count or idle < FLOOR_DAYS:
                    continue
                me = idle <= RECENT_DAYS
                # The least idle of the others: the first of all, or the second where this is the first.
                other = idles[0] if idles[0] != idle else idles[1] if len(idles) > 1 else None
                first = each.days[0]
                pair = GrantFeatures(
                    idle=idle,
                    days=count,
                    span=day - idle - first,
                    age=day - first,
                    elsewhere_idle=other,
                    elsewhere_recent=lately - me,
                    others=(users[each.grant] - me) / rest if rest > 0 else 0.0,
                )
                needed = count < len(each.days) and each.days[count] <= day + horizon
                yield ReplayedGrant(number, count, pair, needed)

    def recent_users(self, day: int) -> tuple[dict[str, int], int]:
        """How many holders used each grant within a year until this day, and how many used anything."""
        users: dict[str, int] = {}
        active = 0
        for uses in self._holders:
            recent = [
                each.grant for each in uses if bisect_right(each.days, day) > bisect_left(each.days, day - RECENT_DAYS)
            ]
            active += bool(recent)
            for grant in recent:
                users[self._names[grant]] = users.get(self._names[grant], 0) + 1
        return users, active

    def training_cases(self, until: int, horizon: int) -> Iterator[tuple[GrantFeatures, bool]]:
        """What a model may learn from: reviews of which everything is known that happened within the horizon."""
        for day in range(self.first + WARM_UP_DAYS, until - horizon + 1, REVIEW_INTERVAL_DAYS):
            yield from ((each.pair, each.needed) for each in self.replay_day(day, horizon))


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
    """What every setting would have revoked, regretted and needlessly held; no setting where the past is too short.

    `on_step` hears how many reviews were replayed. `regret` is the share that the recommended setting may regret.
    """
    start = history.first + int(_TRAINING_SHARE * (history.last - horizon - history.first))
    days = range(start, history.last - horizon, REVIEW_INTERVAL_DAYS) if history.pairs else range(0)
    settings: list[BacktestedSetting] = []
    model = None
    if days:
        model = LikelihoodModel.fit(history.training_cases(start, horizon))
        tallies = [_SettingCounts(WINDOW_RULES), _SettingCounts(LIKELIHOOD_RULES)]
        for number, day in enumerate(days, 1):
            for each in history.replay_day(day, horizon):
                likelihood = model.likelihood(each.pair) if model is not None else None
                for tally in tallies:
                    tally.add(each, likelihood)
            on_step(number)
        settings = [*reversed(tallies[0].results()), *tallies[1].results()]
    within = [each for each in settings if each.revoked and each.regret <= regret]
    return Backtest(
        horizon=horizon,
        first_review=date.fromordinal(start).isoformat() if days else "",
        last_day=date.fromordinal(history.last).isoformat() if history.pairs else "",
        pairs=history.pairs,
        regret=regret,
        settings=tuple(settings),
        recommended=min(
            within,
            # Without a model every likelihood is the plain window.
            key=lambda each: (each.days_needlessly_held, (each.rule == "fixed") is (model is not None), each.threshold),
            default=None,
        ),
    )


class _SettingCounts:
    """Counts for all settings of one kind at once.

    A pair that was revoked is judged again after its next use. Until then, the settings that took it are those from
    `taken` on.
    """

    def __init__(self, rules: Sequence[DecisionRule]) -> None:
        self._rules = rules
        self._revoked_from: dict[int, tuple[int, int]] = {}
        # Differences from one setting to the next, which add up in the end.
        self._counts = [[0] * (len(rules) + 1) for _ in range(3)]

    def add(self, each: ReplayedGrant, likelihood: float | None) -> None:
        """One pair on one review day."""
        uses, taken = self._revoked_from.get(each.number, (0, 0))
        if uses != each.uses:
            taken = len(self._rules)
        idle = each.pair.idle
        now = min(taken, bisect_left(self._rules, 1, key=lambda rule: rule.is_due(idle, likelihood)))
        self._revoked_from[each.number] = each.uses, now
        backs, regrets, needless = self._counts
        if now < taken:
            backs[now] += 1
            backs[taken] -= 1
            regrets[now] += each.needed
            regrets[taken] -= each.needed
        if not each.needed:
            needless[0] += REVIEW_INTERVAL_DAYS
            needless[now] -= REVIEW_INTERVAL_DAYS

    def results(self) -> list[BacktestedSetting]:
        """The sums, by setting."""
        found: list[BacktestedSetting] = []
        sums = [0, 0, 0]
        for index, rule in enumerate(self._rules):
            sums = [total + counts[index] for total, counts in zip(sums, self._counts, strict=True)]
            found.append(BacktestedSetting(rule.kind, rule.threshold, *sums))
        return found
