"""Text report of a backtest, and its sentences, which text and page show."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Final

from jwt_lp.review.quantities import count_noun, format_percent
from jwt_lp.review.report.elevations import cost_lines
from jwt_lp.review.report.wording import describe_setting

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jwt_lp.review.findings import Backtest, BacktestedSetting

_NO_HISTORY: Final = "no history yet: nothing was recorded or imported, so there is nothing to replay"
_INDENT: Final = "  "


def render_backtest_text(backtest: Backtest, width: int | None) -> str:
    """The result of each setting, then the recommendation."""
    return fold_lines(_backtest_lines(backtest), width)


def describe_recommendation(backtest: Backtest) -> str:
    """The recommended setting and its results, in a sentence."""
    best, window = backtest.recommended, backtest.in_force
    if not backtest.first_review:
        return _NO_HISTORY
    if best is None:
        return "no setting had so few regrets, or the history is too short"
    parts = [describe_result(best)]
    if backtest.interval is not None:
        low, high = map(format_percent, backtest.interval)
        parts.append(f"its share of regrets is between {low} and {high} with a confidence of 95 %")
    if window is not None and window != best:
        needless = count_noun(window.days_needlessly_held, "needless day")
        parts.append(
            f"the window in force, {describe_setting(window)}, regretted {window.regretted:,}, with {needless}"
        )
    return "; ".join(parts)


def describe_drawback(backtest: Backtest) -> str:
    """What is worse about the recommended setting than about the window in force; "" if nothing is."""
    best, window = backtest.recommended, backtest.in_force
    if best is None or window is None:
        return ""
    more = best.regretted - window.regretted
    if more > 0:
        return f"the recommended setting regretted {count_noun(more, 'grant')} more than the window in force"
    longer = best.days_needlessly_held - window.days_needlessly_held
    if longer > 0:
        return f"the recommended setting held {count_noun(longer, 'needless day')} more than the window in force"
    return ""


def describe_result(setting: BacktestedSetting) -> str:
    """A setting and its results, in a sentence."""
    needed = "was" if setting.regretted == 1 else "were"
    return (
        f"{describe_setting(setting)} would have revoked {count_noun(setting.revoked, 'grant')}, of which "
        f"{setting.regretted:,} ({format_percent(setting.regret)}) {needed} needed later, with "
        f"{count_noun(setting.days_needlessly_held, 'needless day')}"
    )


def describe_past(backtest: Backtest, *, with_budget: bool = False) -> str:
    """The past of the rule that judged; a backtest of other rules says nothing about it."""
    if with_budget:
        return "a review with a budget proposes less than its rule, and that was not replayed"
    if not backtest.first_review:
        return _NO_HISTORY
    if backtest.judged is None:
        return "the rule of this review was not replayed, so nothing is known about its past"
    return describe_result(backtest.judged)


def _backtest_lines(backtest: Backtest) -> Iterator[str]:
    if not backtest.first_review:
        yield f"Backtest: {_NO_HISTORY}"
        return
    if drawback := describe_drawback(backtest):
        yield f"!! {drawback}"
    yield (
        f"Backtest: reviews from {backtest.first_review} to {backtest.last_day}, each looking "
        f"{count_noun(backtest.horizon, 'day')} ahead, over {count_noun(backtest.pairs, 'pair')} of subject and "
        "permission"
    )
    if backtest.sampled < 1:
        yield f"!! only {format_percent(backtest.sampled)} of the subjects were replayed"
    for setting in backtest.settings:
        mark = "*" if setting == backtest.recommended else " "
        yield (
            f"{mark} {describe_setting(setting)}: {setting.revoked:,} revoked, {setting.regretted:,} regretted "
            f"({format_percent(setting.regret)}), {count_noun(setting.days_needlessly_held, 'needless day')}"
        )
    yield from cost_lines(backtest)
    yield f"Recommended: {describe_recommendation(backtest)}"


def fold_lines(lines: Iterable[str], width: int | None) -> str:
    """The lines as text, folded at `width` columns with a deeper indent."""
    folded: list[str] = []
    for line in lines:
        indent = line[: len(line) - len(line.lstrip())] + _INDENT * 2
        wrapped = textwrap.wrap(line, width, subsequent_indent=indent, drop_whitespace=True) if width else [line]
        folded += wrapped or [""]
    return "".join(f"{line.rstrip()}\n" for line in folded)
