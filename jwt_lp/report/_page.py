"""What does a reviewer read, and an auditor sign?

One page that needs nothing else: it asks no server for anything, is readable without its script, and runs no other.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections import Counter
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from jwt_lp.errors import ConfigurationError
from jwt_lp.report import _pictures, _words
from jwt_lp.report._grouped import By, grouped, recommendation, setting

if TYPE_CHECKING:
    from collections.abc import Callable

    from jwt_lp.review.values import Review

_INSTALL: Final = 'the page needs Jinja2: pip install "jwt-lp[cli]"'
# What a template's lines begin with is for whoever reads the template; a row is written ten thousand times.
_INDENT: Final = re.compile(r"^[ \t]+", re.MULTILINE)


def page(review: Review, by: By, top: int) -> str:
    """The review as one HTML page. Raises `ConfigurationError` where Jinja2 is not installed."""
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise ConfigurationError(_INSTALL) from error

    def finalize(value: Any) -> Any:
        # INVARIANT: every expression of the template comes through here and is escaped after it; only what is
        # written in this package is markup.
        return value if hasattr(value, "__html__") else _words.shown(value)

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, finalize=finalize, trim_blocks=True, lstrip_blocks=True
    )
    filters: dict[str, Callable[..., str]] = {
        "n": "{:,}".format,
        "count": _words.count,
        "percent": _words.percent,
        "moment": _words.moment,
    }
    environment.filters.update(filters)
    style, script = _part("page.css"), _part("page.js")
    template = environment.from_string(_INDENT.sub("", _part("page.html")))
    return template.render(
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
        **_told(review, by, top),
    )


def _told(review: Review, by: By, top: int) -> dict[str, Any]:
    """What the template asks for."""
    findings = review.findings
    groups = grouped(findings, by)
    bars, more_bars = _pictures.bars(findings)
    backtest = review.backtest
    return {
        "review": review,
        "by": by,
        "groups": groups[:top],
        "more_groups": max(0, len(groups) - top),
        # Which group each finding belongs to, for the button that shows a group alone.
        "place": {each.id: place for place, group in enumerate(groups) for each in group.findings},
        "verdicts": _words.VERDICTS,
        "proposals": _words.PROPOSALS,
        "kinds": {kind: said for kind, said in _words.KINDS.items() if any(each.kind == kind for each in findings)},
        "table": Counter((str(each.verdict), str(each.proposal)) for each in findings),
        "verdict": Counter(str(each.verdict) for each in findings),
        "proposal": Counter(str(each.proposal) for each in findings),
        "warnings": _words.warnings(review),
        "population": _words.population(review),
        "window": _words.window(review),
        "rule": _words.rule(review.judging),
        "matrix": _pictures.matrix(findings),
        "bars": bars,
        "more_bars": more_bars,
        "wide": _pictures.BAR,
        "times": _pictures.times(review.timeline),
        "left": _pictures.LEFT,
        "panel": _pictures.TIMES,
        "plot": None if backtest is None else _pictures.tradeoff(backtest),
        "plot_size": _pictures.PLOT,
        "area": _pictures.AREA,
        "recommendation": "" if backtest is None else recommendation(backtest),
        "setting": setting,
    }


def _part(name: str) -> str:
    return files("jwt_lp.report").joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    """What a content security policy calls an inline style or script."""
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
