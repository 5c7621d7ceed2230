"""JSON and CSV of a review and of a backtest, for programs and spreadsheets.

Both have every finding, whatever text and page group or leave out. They are made piece by piece, because a large store
has more grants than fit into memory as text.
"""

from __future__ import annotations

import io
import json
from dataclasses import fields, is_dataclass, replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final, cast

from jwt_lp.review.elevation_values import ElevationCost, JustInTime
from jwt_lp.review.findings import Backtest, BacktestedSetting, Finding
from jwt_lp.review.plan.decision_groups import sort_out
from jwt_lp.review.report.elevations import elevated_cells
from jwt_lp.review.report.wording import escape_unprintable, format_time
from jwt_lp.usage.row_reader import write_csv

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jwt_lp.review.elevation_values import ElevatedUse
    from jwt_lp.review.findings import Review

_FINDING_COLUMNS: Final = tuple(field.name for field in fields(Finding))
_ROWS: Final = 256
"""The rows of CSV that are made at once."""
_REVIEW_COLUMNS: Final = (
    *("population", "population_source", "population_as_of", "population_complete", "population_subjects"),
    *("population_clients", "population_roles", "population_grants", "population_excluded"),
    *("window_first_day", "window_last_day", "fresh_until", "recorded_days", "dropped"),
    *("rule", "threshold", "floor", "grace", "horizon", "made_at", "digest", "policy_digest"),
)
_BACKTEST_COLUMNS: Final = ("rule", "threshold", "revoked", "regretted", "days_needlessly_held")
COLUMNS: Final = (*_FINDING_COLUMNS, *_REVIEW_COLUMNS)
"""The columns of a review as CSV."""


def iter_json(review: Review, kept: Iterable[str] = ()) -> Iterator[str]:
    """One object with the review's members, piece by piece; `findings` lists all of them, each on a line of its own.

    `kept` has more findings, from `finding_as_json`. The text is ASCII.
    """
    content = _to_plain(replace(review, findings=()))
    del content["findings"]
    content["population"]["said"] = str(review.population)
    content["timeline"] = [
        {"month": month, "granted": granted, "denied": denied, "revoked": revoked}
        for month, granted, denied, revoked in review.timeline
    ]
    content["decisions"] = _to_plain(sort_out(review.findings))
    yield json.dumps(content, indent=2, allow_nan=False).removesuffix("\n}")
    yield ',\n  "findings": ['
    separator = "\n    "
    for line in chain(map(finding_as_json, review.findings), kept):
        yield f"{separator}{line}"
        separator = ",\n    "
    yield "\n  ]\n}\n"


def finding_as_json(finding: Finding) -> str:
    """A finding as an object on one line."""
    members = {name: getattr(finding, name) for name in _FINDING_COLUMNS}
    members["because"] = [reason._asdict() for reason in finding.because]
    members["just_in_time"] = None if finding.just_in_time is None else finding.just_in_time._asdict()
    members["score_parts"] = [part._asdict() for part in finding.score_parts]
    return json.dumps(members, allow_nan=False)


def iter_csv(review: Review, kept: Iterable[str] = ()) -> Iterator[str]:
    """A row for each finding, with the population, the window, the rule and the digests in each, row by row.

    A list is one cell, with "; " between its parts. Characters that are not printable are escaped, except in `id`. A
    text that a spreadsheet would read as a formula gets an apostrophe in front (`jwt_lp.usage.row_reader`). `kept` has
    more findings, from `finding_cells`. Last comes a row of the kind `elevation` for each permission that a subject used
    by elevations; it is no finding.
    """
    population, window, judging = review.population, review.window, review.judging
    shared = (
        *(str(population), population.source, population.as_of, population.complete),
        *(population.subjects, population.clients, population.roles, population.grants, population.excluded),
        *(*window, judging.rule, judging.threshold, judging.floor, judging.grace, judging.horizon),
        *(format_time(review.made_at), review.digest, review.policy),
    )
    tail = [_cell(value) for value in shared]
    rows = chain(map(_cells_of, review.findings), map(json.loads, kept), map(_elevated_row, review.elevated))
    yield _write_csv(COLUMNS, ())
    while some := list(islice(rows, _ROWS)):
        # Without the header, which stands in the first piece.
        yield _write_csv(COLUMNS, ((*cells, *tail) for cells in some)).partition("\n")[2]


def finding_cells(finding: Finding) -> str:
    """The cells of a finding as a JSON array on one line."""
    return json.dumps(_cells_of(finding), allow_nan=False)


def _cells_of(finding: Finding) -> list[object]:
    return [finding.id, *(_cell(getattr(finding, name)) for name in _FINDING_COLUMNS[1:])]


def _elevated_row(elevated: ElevatedUse) -> list[object]:
    cells = elevated_cells(elevated)
    return [_cell(cells.get(name)) for name in _FINDING_COLUMNS]


def render_backtest_json(backtest: Backtest) -> str:
    """A list of the settings with their results, and what each costs where elevations answer."""
    costs = {(cost.rule, cost.threshold): cost for cost in backtest.elevation}
    rows = [setting._asdict() for setting in backtest.settings]
    for row in rows:
        if (cost := costs.get((row["rule"], row["threshold"]))) is not None:
            row["elevation"] = _cost_members(cost)
    return json.dumps(rows, indent=2, allow_nan=False) + "\n"


def render_backtest_csv(backtest: Backtest) -> str:
    """A row for each setting."""
    return _write_csv(_BACKTEST_COLUMNS, backtest.settings)


def _write_csv(header: tuple[str, ...], rows: Any) -> str:
    output = io.StringIO(newline="")
    write_csv(output, header, rows)
    return output.getvalue()


def _cell(value: object) -> object:
    """`value` as one cell, on one line."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return value
    several = isinstance(value, tuple) and not isinstance(value, JustInTime)
    text = "; ".join(map(str, cast("tuple[object, ...]", value))) if several else str(value)
    return escape_unprintable(text)


def _cost_members(cost: ElevationCost) -> dict[str, object]:
    computed = ("share_removed", "requests_a_year", "hours_waited")
    return {**cost._asdict(), **{name: getattr(cost, name) for name in computed}}


def _to_plain(value: Any) -> Any:
    """`value` for JSON, with every member by its name."""
    names: tuple[str, ...] = getattr(value, "_fields", ())
    if isinstance(value, BacktestedSetting):
        return {**value._asdict(), "regret": value.regret}
    if isinstance(value, ElevationCost):
        return _cost_members(value)
    if is_dataclass(value):
        return {field.name: _to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        members = cast("Iterable[Any]", value)
        return (
            dict(zip(names, map(_to_plain, members), strict=True))
            if names
            else [_to_plain(member) for member in members]
        )
    return value
