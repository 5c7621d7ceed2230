"""HTML page of a review, for reviewers to read and auditors to sign.

The page is one file. It makes no network requests, is readable without its script, and allows no other script.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from jwt_lp.errors import ConfigurationError
from jwt_lp.review.plan.decision_groups import describe_group, describe_triage, sort_out
from jwt_lp.review.quantities import count_noun, format_percent
from jwt_lp.review.report import charts, wording
from jwt_lp.review.report.assets import csp_hash as _csp_hash
from jwt_lp.review.report.assets import read_asset as _read_asset
from jwt_lp.review.report.backtest_text import describe_drawback, describe_past, describe_recommendation
from jwt_lp.review.report.elevations import NO_PLAN, describe_elevations
from jwt_lp.review.report.text import By, group_findings

if TYPE_CHECKING:
    from collections.abc import Callable

    from jwt_lp.review.findings import Review

_MOST_GONE: Final = 500
_MOST_ELEVATED: Final = 500
_MOST_ASKED: Final = 10
_BUFFERED: Final = 1000
_INSTALL: Final = 'the page needs Jinja2: pip install "jwt-lp[cli]"'
# The template's indentation is removed, because a page may have ten thousand rows.
_INDENT: Final = re.compile(r"^[ \t]+", re.MULTILINE)


def render_page(review: Review, by: By, top: int) -> str:
    """The review as one HTML page; `ConfigurationError` where Jinja2 is not installed."""
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise ConfigurationError(_INSTALL) from error

    def finalize(value: Any) -> Any:
        # INVARIANT: every expression of the template passes through here and is escaped afterwards; only this package's
        # own text is markup.
        return value if hasattr(value, "__html__") else wording.escape_unprintable(value)

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, finalize=finalize, trim_blocks=True, lstrip_blocks=True
    )
    filters: dict[str, Callable[..., str]] = {
        "n": "{:,}".format,
        "count": count_noun,
        "percent": format_percent,
        "moment": wording.format_time,
        "change": wording.describe_change,
    }
    environment.filters.update(filters)
    style, script = _read_asset("page.css"), _read_asset("page.js")
    template = environment.from_string(_INDENT.sub("", _read_asset("page.html")))
    stream = template.stream(
        style=style,
        script=script,
        style_hash=_csp_hash(style),
        script_hash=_csp_hash(script),
        **_template_context(review, by, top),
    )
    # A large page has millions of small parts, which need several times its memory until they are joined.
    stream.enable_buffering(_BUFFERED)
    return "".join(stream)


def _template_context(review: Review, by: By, top: int) -> dict[str, Any]:
    """The variables of the template."""
    findings = review.findings
    groups = group_findings(findings, by)
    bars, more_bars = charts.build_bars(findings)
    backtest = review.backtest
    gone = review.comparison.gone_on(review.now) if review.comparison is not None else ()
    triage = sort_out(findings)
    by_id = {finding.id: finding for finding in findings}
    return {
        "review": review,
        "by": by,
        "groups": groups[:top],
        "more_groups": max(0, len(groups) - top),
        # The group of each finding, for the button that shows one group.
        "place": {found.id: place for place, group in enumerate(groups) for found in group.findings},
        "verdicts": wording.VERDICTS,
        "proposals": wording.PROPOSALS,
        "kinds": {kind: text for kind, text in wording.KINDS.items() if any(found.kind == kind for found in findings)},
        "table": Counter((str(found.verdict), str(found.proposal)) for found in findings),
        "verdict": Counter(str(found.verdict) for found in findings),
        "proposal": Counter(str(found.proposal) for found in findings),
        "leavers": len({(found.issuer, found.name) for found in findings if found.verdict == "leaver"}),
        "decisions": describe_triage(triage),
        "obvious": [(group.id, describe_group(group)) for group in triage.groups],
        "questions": [by_id[name] for name in triage.questions[:_MOST_ASKED]] if triage.groups else [],
        "budget": wording.describe_budget(review),
        "changes": wording.describe_comparison(review),
        "gone": gone[:_MOST_GONE],
        "more_gone": max(0, len(gone) - _MOST_GONE),
        "elevations": describe_elevations(review),
        "elevated": review.elevated[:_MOST_ELEVATED],
        "more_elevated": max(0, len(review.elevated) - _MOST_ELEVATED),
        "no_plan": NO_PLAN,
        "unlisted": wording.describe_unlisted(review),
        "limit": format_percent(review.judging.threshold) if review.judging.rule == "likelihood" else "",
        "warnings": wording.exclusion_warnings(review),
        "population": wording.describe_population(review),
        "window": wording.describe_window(review),
        "rule": wording.describe_rule(review.judging),
        "matrix": charts.build_matrix(findings),
        "bars": bars,
        "more_bars": more_bars,
        "wide": charts.BAR_WIDTH,
        "times": charts.build_timeline(review.timeline),
        "left": charts.LEFT_MARGIN,
        "panel": charts.TIMELINE_SIZE,
        "plot": None if backtest is None else charts.build_tradeoff(backtest),
        "plot_size": charts.PLOT_SIZE,
        "area": charts.PLOT_AREA,
        "past": "" if backtest is None else describe_past(backtest, with_budget=review.budget is not None),
        "drawback": "" if backtest is None else describe_drawback(backtest),
        "recommendation": "" if backtest is None else describe_recommendation(backtest),
        "setting": wording.describe_setting,
    }
