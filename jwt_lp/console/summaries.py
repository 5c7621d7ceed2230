"""Summaries of reviews: the numbers that a campaign keeps of the review it was frozen from, and their pictures.

A summary is stored as JSON. A member that it lacks is left out of the page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from jwt_lp.console.pictures.bars import build_bar
from jwt_lp.console.pictures.matrix import build_matrix
from jwt_lp.console.pictures.months import build_months
from jwt_lp.console.pictures.tradeoff import build_tradeoff
from jwt_lp.console.pictures.trend import build_trend
from jwt_lp.review import Backtest, BacktestedSetting
from jwt_lp.review.quantities import count_noun, format_quantity
from jwt_lp.review.report.wording import VERDICTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from jwt_lp.console.pictures.bars import Bar
    from jwt_lp.console.pictures.matrix import Matrix
    from jwt_lp.console.pictures.months import Months
    from jwt_lp.console.pictures.tradeoff import Tradeoff
    from jwt_lp.console.pictures.trend import Trend
    from jwt_lp.stores.campaigns import Campaign

_MOST_REVIEWS: Final = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewPictures:
    """The pictures of a review, and its facts as pairs of a label and a text; without what its summary lacks."""

    facts: tuple[tuple[str, str], ...]
    share: Bar | None
    verdicts: Bar | None
    matrix: Matrix | None
    months: Months | None
    tradeoff: Tradeoff | None
    trend: Trend | None


def latest_review(campaigns: Iterable[Campaign]) -> Campaign | None:
    """The newest campaign that was not cancelled; campaigns come newest first."""
    return next((each for each in campaigns if each.cancelled_at is None), None)


def draw_review(review: Campaign, campaigns: Sequence[Campaign]) -> ReviewPictures:
    """The pictures of a campaign's review, with the trend over the latest campaigns."""
    summary = review.summary
    backtest = read_backtest(summary)
    return ReviewPictures(
        facts=tuple(_facts(summary)),
        share=_share(summary),
        verdicts=_verdicts(summary),
        matrix=build_matrix(matrix_rows(summary)),
        months=build_months([(row[0], row[1], row[2], row[3]) for row in summary.get("timeline", ())]),
        tradeoff=None if backtest is None else build_tradeoff(backtest),
        trend=build_trend([*_trend(campaigns)]),
    )


def matrix_rows(summary: Mapping[str, Any]) -> Iterator[tuple[str, str, int, int]]:
    """The role, the grant, the members and the users of each cell of a summary's matrix."""
    return ((role, grant, members, users) for role, grant, members, users in summary.get("matrix", ()))


def read_backtest(summary: Mapping[str, Any]) -> Backtest | None:
    """The backtest in a summary; None if none was made."""
    stored = summary.get("backtest")
    if not stored:
        return None
    interval = stored.get("interval")
    return Backtest(
        horizon=stored["horizon"],
        first_review=stored["first_review"],
        last_day=stored["last_day"],
        pairs=stored["pairs"],
        regret=stored.get("regret"),
        settings=tuple(map(_setting, stored["settings"])),
        interval=None if interval is None else (interval[0], interval[1]),
        sampled=stored.get("sampled", 1.0),
        recommended=_marked(stored, "recommended"),
        in_force=_marked(stored, "in_force"),
        judged=_marked(stored, "judged"),
    )


def _marked(stored: Mapping[str, Any], name: str) -> BacktestedSetting | None:
    return None if stored.get(name) is None else _setting(stored[name])


def _setting(stored: Any) -> BacktestedSetting:
    """A setting, which JSON has as a list or as an object."""
    members = BacktestedSetting._fields
    return BacktestedSetting(*([stored[name] for name in members] if isinstance(stored, dict) else stored))


def _facts(summary: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    window = summary.get("window")
    if window:
        fresh = window.get("fresh_until") or "unknown"
        first, last = window.get("first_day") or "unknown", window.get("last_day") or "unknown"
        yield "Days reviewed", f"{first} to {last}, recorded completely until {fresh}"
    if rule := summary.get("rule"):
        yield "Rule", str(rule)
    if refused := summary.get("refused"):
        yield (
            "Requested and refused",
            f"{count_noun(refused, 'permission')}, counted for each subject who does not hold it",
        )
    if (expected := summary.get("expected")) is not None and summary.get("removals"):
        unknown = summary.get("unknown", 0)
        without = f"; {unknown:,} have no likelihood" if unknown else ""
        days = summary.get("horizon", "")
        yield (
            "Expected to be needed again",
            f"{format_quantity(expected)} of {summary['removals']:,} proposed removals"
            + (f" within {count_noun(days, 'day')}" if days else "")
            + without,
        )


def _share(summary: Mapping[str, Any]) -> Bar | None:
    if "standing" not in summary or "needed" not in summary:
        return None
    needed = summary["needed"]
    return build_bar([("used", "needed", needed), ("unused", "not needed", summary["standing"] - needed)])


def _verdicts(summary: Mapping[str, Any]) -> Bar | None:
    counts = summary.get("verdicts")
    if not counts:
        return None
    # What was requested and refused is no standing grant.
    shown = [(name, words) for name, words in VERDICTS.items() if name != "needed-but-denied"]
    return build_bar([(name, f"{name}: {words}", counts.get(name, 0)) for name, words in shown])


def _trend(campaigns: Sequence[Campaign]) -> Iterator[tuple[str, int, int]]:
    shown = [each for each in campaigns if each.cancelled_at is None and "standing" in each.summary]
    for each in shown[:_MOST_REVIEWS]:
        yield each.day, each.summary["standing"], each.summary.get("needed", 0)
