"""How is a review written for programs and spreadsheets?

Both hold every finding, whatever the text and the page group or leave out.
"""

from __future__ import annotations

import io
import json
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from jwt_lp.report._words import moment, shown
from jwt_lp.review.values import Backtest, Finding, Traded
from jwt_lp.tabular import write

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jwt_lp.review.values import Review

_FINDING: Final = tuple(each.name for each in fields(Finding))
_REVIEW: Final = (
    *("population", "population_source", "population_as_of", "population_complete", "population_subjects"),
    *("population_clients", "population_roles", "population_grants", "population_excluded"),
    *("window_first_day", "window_last_day", "fresh_until", "recorded_days", "dropped"),
    *("rule", "threshold", "floor", "grace", "horizon", "made_at", "digest", "policy_digest"),
)
_TRADED: Final = ("rule", "threshold", "taken_back", "regretted", "days_needlessly_held")
COLUMNS: Final = (*_FINDING, *_REVIEW)
"""The columns of a review as CSV."""


def as_json(review: Review) -> str:
    """One object with the review's members; `findings` a list of all. Its escapes keep it ASCII."""
    made = _plain(review)
    made["population"]["said"] = str(review.population)
    made["timeline"] = [
        {"month": month, "granted": granted, "denied": denied, "revoked": revoked}
        for month, granted, denied, revoked in review.timeline
    ]
    return json.dumps(made, indent=2, allow_nan=False) + "\n"


def as_csv(review: Review) -> str:
    """A row for each finding, with the population, the window, the rule and the digests in each.

    A list is one cell, its parts on either side of "; ". Characters that are not printable are escaped, but in `id`.
    What a spreadsheet would take for a formula stands behind an apostrophe (`jwt_lp.tabular`).
    """
    who, window, judging = review.population, review.window, review.judging
    same = (
        *(str(who), who.source, who.as_of, who.complete, who.subjects, who.clients, who.roles, who.grants),
        *(who.excluded, *window, judging.rule, judging.threshold, judging.floor, judging.grace, judging.horizon),
        *(moment(review.made_at), review.digest, review.policy),
    )
    tail = [_cell(each) for each in same]
    rows = ([each.id, *(_cell(getattr(each, name)) for name in _FINDING[1:]), *tail] for each in review.findings)
    return _written(COLUMNS, rows)


def trades_as_json(backtest: Backtest) -> str:
    """A list of the settings, and what each would have cost."""
    return json.dumps([each._asdict() for each in backtest.settings], indent=2, allow_nan=False) + "\n"


def trades_as_csv(backtest: Backtest) -> str:
    """A row for each setting."""
    return _written(_TRADED, backtest.settings)


def _written(header: tuple[str, ...], rows: Any) -> str:
    written = io.StringIO(newline="")
    write(written, header, rows)
    return written.getvalue()


def _cell(value: object) -> object:
    """`value` as one cell, on one line."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return value
    text = "; ".join(map(str, cast("tuple[object, ...]", value))) if isinstance(value, tuple) else str(value)
    return shown(text)


def _plain(value: Any) -> Any:
    """`value` as JSON has it, every member by its name."""
    names: tuple[str, ...] = getattr(value, "_fields", ())
    if isinstance(value, Traded):
        return {**value._asdict(), "regret": value.regret}
    if is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, tuple):
        members = cast("Iterable[Any]", value)
        return dict(zip(names, map(_plain, members), strict=True)) if names else [_plain(each) for each in members]
    return value
