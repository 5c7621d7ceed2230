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

from jwt_lp.review.judging import FLOOR, Rule
from jwt_lp.review.likelihood import Model, Pair
from jwt_lp.review.values import Backtest, Traded

PACE: Final = 30
"""Days between two reviews."""
RECENT: Final = 365
WARM: Final = 365
"""Days of a history that teach what others do, before the first case."""
_LEARNT: Final = 0.6
# From the least eager to the most eager of its kind: what one takes, each later one takes too.
WINDOWS: Final = tuple(Rule("fixed", days) for days in (365, 270, 180, 120, 90, 60))
LIKELIHOODS: Final = tuple(Rule("likelihood", hundredths / 100) for hundredths in range(1, 51))


class _Uses(NamedTuple):
    grant: int
    days: array[int]


class Judged(NamedTuple):
    """One pair on one review day: how often it was used until then, and whether it was within the horizon after."""

    number: int
    uses: int
    pair: Pair
    needed: bool


class History:
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
            tuple(_Uses(grants[grant], array("i", sorted(set(days)))) for grant, days in sorted(uses.items()))
            for _, uses in sorted(holders.items())
        ]
        self._grants: Final = len(grants)
        self._names: Final = tuple(grants)
        self.first: Final = min((uses.days[0] for each in self._holders for uses in each), default=0)
        self.last: Final = max((uses.days[-1] for each in self._holders for uses in each), default=0)
        self.pairs: Final = sum(map(len, self._holders))

    def judged(self, day: int, horizon: int) -> Iterator[Judged]:
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
                if count and idle <= RECENT:
                    users[each.grant] += 1
                    recent = True
            active += recent
            known.append(mine)
        number = -1
        for uses, mine in zip(self._holders, known, strict=True):
            idles = sorted(idle for count, idle in mine if count)
            lately = bisect_right(idles, RECENT)
            rest = active - bool(lately)
            for each, (count, idle) in zip(uses, mine, strict=True):
                number += 1
                if not count or idle < FLOOR:
                    continue
                me = idle <= RECENT
                # The least idle of the others: the first of all, or the second where this is the first.
                other = idles[0] if idles[0] != idle else idles[1] if len(idles) > 1 else None
                first = each.days[0]
                pair = Pair(
                    idle=idle,
                    days=count,
                    span=day - idle - first,
                    age=day - first,
                    elsewhere_idle=other,
                    elsewhere_recent=lately - me,
                    others=(users[each.grant] - me) / rest if rest > 0 else 0.0,
                )
                needed = count < len(each.days) and each.days[count] <= day + horizon
                yield Judged(number, count, pair, needed)

    def crowd(self, day: int) -> tuple[dict[str, int], int]:
        """How many holders used each grant within a year until this day, and how many used anything."""
        users: dict[str, int] = {}
        active = 0
        for uses in self._holders:
            recent = [
                each.grant for each in uses if bisect_right(each.days, day) > bisect_left(each.days, day - RECENT)
            ]
            active += bool(recent)
            for grant in recent:
                users[self._names[grant]] = users.get(self._names[grant], 0) + 1
        return users, active

    def cases(self, until: int, horizon: int) -> Iterator[tuple[Pair, bool]]:
        """What a model may learn from: reviews of which everything is known that happened within the horizon."""
        for day in range(self.first + WARM, until - horizon + 1, PACE):
            yield from ((each.pair, each.needed) for each in self.judged(day, horizon))


def fitted(history: History, *, until: str, horizon: int) -> Model | None:
    """The model for a review on the day `until`; None where the history is too short or too small."""
    return Model.fit(history.cases(date.fromisoformat(until).toordinal(), horizon))


def backtest(
    history: History,
    *,
    horizon: int = 365,
    regret: float = 0.1,
    on_step: Callable[[int], object] = lambda _: None,
) -> Backtest:
    """What every setting would have taken back, regretted and needlessly held; no setting where the past is too short.

    `on_step` hears how many reviews were replayed. `regret` is the share that the recommended setting may regret.
    """
    start = history.first + int(_LEARNT * (history.last - horizon - history.first))
    days = range(start, history.last - horizon, PACE) if history.pairs else range(0)
    settings: list[Traded] = []
    model = None
    if days:
        model = Model.fit(history.cases(start, horizon))
        tallies = [_Tally(WINDOWS), _Tally(LIKELIHOODS)]
        for number, day in enumerate(days, 1):
            for each in history.judged(day, horizon):
                likelihood = model.likelihood(each.pair) if model is not None else None
                for tally in tallies:
                    tally.add(each, likelihood)
            on_step(number)
        settings = [*reversed(tallies[0].traded()), *tallies[1].traded()]
    within = [each for each in settings if each.taken_back and each.regret <= regret]
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


class _Tally:
    """Counts for all settings of one kind at once.

    A pair that was taken back is judged again after its next use. Until then, the settings that took it are those from
    `taken` on.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self._taken: dict[int, tuple[int, int]] = {}
        # Differences from one setting to the next, which add up in the end.
        self._counts = [[0] * (len(rules) + 1) for _ in range(3)]

    def add(self, each: Judged, likelihood: float | None) -> None:
        """One pair on one review day."""
        uses, taken = self._taken.get(each.number, (0, 0))
        if uses != each.uses:
            taken = len(self._rules)
        idle = each.pair.idle
        now = min(taken, bisect_left(self._rules, 1, key=lambda rule: rule.judges(idle, likelihood)))
        self._taken[each.number] = each.uses, now
        backs, regrets, needless = self._counts
        if now < taken:
            backs[now] += 1
            backs[taken] -= 1
            regrets[now] += each.needed
            regrets[taken] -= each.needed
        if not each.needed:
            needless[0] += PACE
            needless[now] -= PACE

    def traded(self) -> list[Traded]:
        """The sums, by setting."""
        found: list[Traded] = []
        sums = [0, 0, 0]
        for index, rule in enumerate(self._rules):
            sums = [total + counts[index] for total, counts in zip(sums, self._counts, strict=True)]
            found.append(Traded(rule.kind, rule.threshold, *sums))
        return found
